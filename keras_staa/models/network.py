"""The class of all networks: a functional model that knows how it was made."""

import copy
import dataclasses
import functools
import types

import keras
from keras import ops

from keras_staa import _keras, checks, serialized
from keras_staa.image_utils import warn_of_range
from keras_staa.models.format import FORMAT, of_format
from keras_staa.ops.recompute import recomputed

BACKBONE = "backbone"

# A Keras tensor made of a network's layers has what the network knows.
MARK = "_staa_network"


def _looking(name):
    """Return a method of `keras.Model` that takes a look at the first images."""
    method = getattr(keras.Model, name)

    @functools.wraps(method)
    def enter(self, *args, **kwargs):
        self.check_range(args[0] if args else kwargs.get("x"))
        return method(self, *args, **kwargs)

    return enter


@dataclasses.dataclass
class _Notes:
    """What a network knows of itself. Keras looks into dictionaries and lists, but not in here."""

    factory: str | None
    arguments: dict | None
    stages: dict
    remat: bool
    class_names: list | None
    unit_range: bool
    warned: bool = False
    segments: list | None = None
    # By the name of a layer: whether it and those inside it were trained before they were frozen.
    frozen: dict = dataclasses.field(default_factory=dict)


@keras.saving.register_keras_serializable("keras_staa")
class Network(_keras.MarkingModel):
    """A functional model that knows how it was made, and where its stages end.

    The factories return it. What it knows is kept by `.keras` files, `keras.models.clone_model`
    and `pickle`. Layers and weight files are those of a `keras.Model` of the same tensors.

    Args:
        inputs, outputs, name: as in `keras.Model`, with one input and one output.
        factory: name of the factory that made the network, or None.
        arguments: dictionary of the factory's arguments, or None.
        stages: dictionary from names of stages to lists of names of layers, after which a block
            of the stage ends. All that comes later depends on what is there alone.
        remat: whether training keeps only the tensors between the blocks; see `rematerialize`.
        class_names: list of strings, the names of the classes, or None.
        unit_range: whether the network takes images in [0, 1], and warns of larger values.
        format: integer, how `arguments` are written. Configurations that do not say are of
            format 1; `keras_staa.models.format.FORMAT` is today's.

    Example:

    >>> from keras_staa import STAAVGG
    >>> model = STAAVGG(width=4, steps=2)
    >>> model.factory, model.arguments["width"]
    ('STAAVGG', 4)
    >>> model.stage_outputs["stage2"].shape
    (None, 2, 8, 8, 8)
    """

    def __init__(
        self,
        *args,
        factory=None,
        arguments=None,
        stages=None,
        remat=False,
        class_names=None,
        unit_range=False,
        format=1,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        arguments = None if arguments is None else of_format(arguments, format)
        own = _Notes(factory, arguments, stages or {}, remat, class_names, unit_range)
        # The mark of a network that is a layer here says nothing about this one.
        nested = isinstance(_keras.made_by(self.outputs[0]), keras.Model)
        cloned = None if nested else getattr(self.outputs[0], MARK, None)
        self._notes = dataclasses.replace(cloned) if cloned and not factory else own
        self.rematerialize(self._notes.remat)

    def mark(self, tensor):
        setattr(tensor, MARK, getattr(self, "_notes", None))

    @property
    def factory(self):
        """The name of the factory that made the network, or None."""
        return self._notes.factory

    @property
    def arguments(self):
        """The arguments of the factory that made the network, as presets keep them, or None."""
        found = self._notes.arguments
        return None if found is None else types.MappingProxyType(found)

    @property
    def class_names(self):
        """The names of the classes, a list of strings, or None where they are not known."""
        found = self._notes.class_names
        return None if found is None else list(found)

    @class_names.setter
    def class_names(self, names):
        self._notes.class_names = None if names is None else [str(name) for name in names]

    @property
    def stage_outputs(self):
        """Keras tensors (B, T, h, w, channels) at the end of each stage, by the stage's name.

        What heads for detection and segmentation build on, as on keras-hub's pyramid outputs.
        """
        return {n: self.get_layer(ends[-1]).output for n, ends in self._notes.stages.items()}

    def freeze(self, parts=BACKBONE):
        """Let parts of the network stand still in training.

        Weights, moving averages and the time-step dropout of a frozen layer stand still. What an
        earlier call has frozen trains again unless it is named again. Call it before `compile`.

        Args:
            parts: `"backbone"` for everything before the read-out, or the name of a stage, or a
                list of names: keys of `stage_outputs`. Layers before the first stage belong to it.
                An empty list for nothing.

        Returns:
            The same network.

        Raises:
            ValueError: for a name that is none of them.

        Example:

        >>> from keras_staa import STAAVGG
        >>> model = STAAVGG(width=4, steps=2).freeze("backbone")
        >>> [layer.name for layer in model.layers if layer.trainable_weights]
        ['predictions']
        """
        names = list(self._notes.stages)
        given = [parts] if isinstance(parts, str) else list(parts)
        checks.choice_each("parts", given, (BACKBONE, *names))
        # Not `self.trainable = True`: on TensorFlow nothing happens where it is True already.
        for name, before in self._notes.frozen.items():
            layers = _keras.all_layers(self.get_layer(name))
            for layer, trainable in zip(layers, before, strict=True):
                layer.trainable = trainable
        self._notes.frozen, start = {}, self.inputs[0]
        own = {id(layer) for layer in self.layers}
        for name, end in self.stage_outputs.items():
            between = keras.Model(start, end).layers
            if name in given or BACKBONE in given:
                for layer in between:
                    # The first one may be an input that Keras puts there.
                    if id(layer) in own:
                        before = [inner.trainable for inner in _keras.all_layers(layer)]
                        self._notes.frozen[layer.name] = before
                        layer.trainable = False
            start = end
        return self

    def forget_factory(self):
        """Let `factory` and `arguments` be None: the layers are others than the factory's."""
        self._notes.factory = self._notes.arguments = None

    def rematerialize(self, enabled=True):
        """Let training compute the inside of each block again instead of keeping it.

        Training then keeps only the tensors between the blocks: less memory, more time, the same
        gradients. What a block does besides its result, to moving averages, metrics and random
        seeds, happens once, and its random draws are the same both times, which
        `keras.RematScope` does not take care of.

        Args:
            enabled: False undoes it.
        """
        self._notes.remat = bool(enabled)
        self._notes.segments = self._segments() if enabled else None
        # What was compiled before is compiled again.
        self.train_function = None

    def _segments(self):
        ends = [name for names in self._notes.stages.values() for name in names]
        cuts = [self.inputs[0], *(self.get_layer(n).output for n in ends), self.outputs[0]]
        pairs = zip(cuts[:-1], cuts[1:], strict=True)
        return [keras.Model(start, end) for start, end in pairs if start is not end]

    def call(self, inputs, training=None, mask=None):
        self.check_range(inputs, arrays_only=True)
        if not (training and self._notes.remat):
            return super().call(inputs, training=training, mask=mask)
        for segment in self._notes.segments:
            inputs, losses = _recomputed(segment, inputs)
            for loss in losses:
                # A functional model refuses losses, meaning those of symbolic tensors.
                keras.layers.Layer.add_loss(self, loss)
        return inputs

    fit = _looking("fit")
    evaluate = _looking("evaluate")
    predict = _looking("predict")
    train_on_batch = _looking("train_on_batch")
    test_on_batch = _looking("test_on_batch")
    predict_on_batch = _looking("predict_on_batch")

    def check_range(self, x, arrays_only=False):
        """Warn once of images that are not in [0, 1], if the network was trained on such.

        Args:
            x: what the network is given: an array or a tensor. Nothing is read from data sets.
            arrays_only: whether tensors are passed over.
        """
        notes = self._notes
        if notes.unit_range and not notes.warned:
            notes.warned = warn_of_range(self.name, x, arrays_only)

    def get_config(self):
        notes = self._notes
        return {
            **super().get_config(),
            "factory": notes.factory,
            "arguments": serialized.plain(notes.arguments),
            "stages": copy.deepcopy(notes.stages),
            "remat": notes.remat,
            "class_names": self.class_names,
            "unit_range": notes.unit_range,
            "format": FORMAT,
        }


def _recomputed(segment, inputs):
    """Return the outputs of a segment, and the losses that its layers add."""
    trained = segment.trainable_variables
    fixed = [*segment.non_trainable_variables, *segment.metrics_variables]
    # Copies, since PyTorch's variables change in place before the backward pass.
    state = [ops.copy(ops.convert_to_tensor(variable)) for variable in fixed]

    def run(trainable, state, inputs):
        mapping = [*zip(trained, trainable, strict=True), *zip(fixed, state, strict=True)]
        # `segment.stateless_call` would count losses by the address of freed tensors, and those
        # of regularizers, which the model has too.
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            outputs = segment(inputs, training=True)
        after = [scope.get_current_value(variable) for variable in fixed]
        return (outputs, list(scope.losses)), after

    trainable = [ops.convert_to_tensor(variable) for variable in trained]
    (outputs, losses), after = recomputed(run)(trainable, state, inputs)
    for variable, value in zip(fixed, after, strict=True):
        variable.assign(value)
    return outputs, losses
