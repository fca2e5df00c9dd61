"""Every private corner of Keras that is used, checked with Keras 3.15.

The public API has no way to do what these do. `tests/test_keras.py` fails where Keras changes one,
and finds private names that are used elsewhere.
"""

import contextlib
import functools

import keras
from keras.src.backend.common import global_state
from keras.src.layers.preprocessing.data_layer import DataLayer
from keras.src.ops.function import Function
from keras.src.saving import saving_lib

__all__ = [
    "DataLayer",
    "MarkingModel",
    "WeightStore",
    "all_layers",
    "build_metrics",
    "draw_from",
    "initialize",
    "inputs_of",
    "is_functional",
    "jax_state",
    "load_state",
    "made_by",
    "run_watched",
    "run_with",
    "save_state",
    "seed_of",
    "trainable_even_if_frozen",
    "waiting_variables",
]

# Where layers write their weights to in `save_state` and read them from in `load_state`.
WeightStore = saving_lib.H5IOStore


def all_layers(layer):
    """Return the layer or model itself and everything inside it, those inside wrappers included.

    `model.layers` holds the outermost only. Things that are no layers, such as random seeds, are
    among them.
    """
    return layer._flatten_layers()


def made_by(tensor):
    """Return the layer or operation that made a Keras tensor."""
    return tensor._keras_history.operation


def inputs_of(tensor):
    """Return the Keras tensors that a Keras tensor was made from."""
    operation, node, _ = tensor._keras_history
    return operation._inbound_nodes[node].input_tensors


def trainable_even_if_frozen(layer):
    """Return the variables that a layer itself trains, or would if it were not frozen."""
    return layer._trainable_variables


def waiting_variables():
    """Return the list of variables made in a `keras.StatelessScope` that have no values yet."""
    return global_state.get_global_attribute("uninitialized_variables", [], set_to_default=True)


def initialize(variable):
    """Give a variable that waited its start value."""
    variable._deferred_initialize()


def save_state(model, store):
    """Let every layer write its weights to a `WeightStore`, as `save_weights` does to a file."""
    saving_lib._save_state(model, store, None, "", set())


def load_state(model, store):
    """Let every layer read its weights from a `WeightStore`, as `load_weights` does from a file.

    Returns:
        A list of pairs of what could not be loaded and its error.
    """
    errors = {}
    saving_lib._load_state(
        model,
        weights_store=store,
        assets_store=None,
        inner_path="",
        visited_saveables=set(),
        failed_saveables=set(),
        error_msgs=errors,
    )
    return list(errors.values())


def build_metrics(model, batch):
    """Make the state of a compiled model's metrics, which TensorFlow makes at the first step."""
    model._symbolic_build(data_batch=batch)


def seed_of(layer):
    """Return the seed generator of a `DataLayer` for the backend that it runs on at present.

    In `tf.data` that is TensorFlow, whatever the backend of Keras.
    """
    return layer._get_seed_generator(layer.backend._backend)


class _Seeds(keras.random.SeedGenerator):
    """Seeds that a function gives, without a state in a variable."""

    def __init__(self, give):
        self._give = give

    def next(self, ordered=True):
        return self._give()


@contextlib.contextmanager
def draw_from(layers, give):
    """Let layers, and those inside them, draw from seeds that a function gives.

    Args:
        layers: list of layers, whose own generators stay as they are.
        give: function `() -> seed`, a tensor of two integers.
    """
    seeds = _Seeds(give)
    every = [inner for layer in layers for inner in all_layers(layer)]
    # By identity, since one layer may stand in the list twice.
    drawing = {id(layer): layer for layer in every if hasattr(layer, "_get_seed_generator")}
    for layer in drawing.values():
        layer._get_seed_generator = lambda backend=None: seeds
    try:
        yield
    finally:
        for layer in drawing.values():
            del layer._get_seed_generator


def jax_state(model, training=True):
    """Return the state of a model that a step of training or prediction on JAX takes."""
    return model._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=training,
        metrics_variables=training,
    )


def run_watched(model, inputs, watch):
    """Run a functional or sequential model, those inside it too, and show each call of a layer.

    Args:
        model: a built `keras.Sequential`, or a functional `keras.Model`.
        inputs: tensors, as the model takes them.
        watch: function `(layer, inputs, outputs)`; `inputs` is the first argument of the call.

    Returns:
        The outputs of the model.
    """

    def call(layer, *args, **kwargs):
        if is_functional(layer):
            return run_watched(layer, args[0], watch)
        outputs = layer(*args, **kwargs)
        watch(layer, args[0] if args else None, outputs)
        return outputs

    return run_with(model, inputs, call)


def run_with(model, inputs, call):
    """Run a functional or sequential model with other calls in the place of those of its layers.

    Args:
        model: a built `keras.Sequential`, or a functional `keras.Model`.
        inputs: tensors, as the model takes them, but for the sizes.
        call: function `(layer, *args, **kwargs)` that returns the outputs of a layer or operation.

    Returns:
        The outputs of the model.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model

    def operation(layer):
        return functools.partial(call, layer)

    outputs = Function._run_through_graph(graph, graph._standardize_inputs(inputs), operation)
    single = isinstance(outputs, list | tuple) and len(outputs) == 1
    return outputs[0] if single else outputs


def is_functional(model):
    """Whether the layers of a model are known without running it."""
    if isinstance(model, keras.Sequential):
        return model._functional is not None
    return isinstance(model, keras.Model) and isinstance(model, Function)


class MarkingModel(keras.Model):
    """A functional model that can mark the Keras tensors made of its layers.

    `keras.models.clone_model` makes the copy of such tensors and of nothing else.
    """

    def mark(self, tensor):
        """Take the Keras tensor at the end of the layers; to be overridden."""

    def _run_through_graph(self, *args, **kwargs):
        outputs = super()._run_through_graph(*args, **kwargs)
        if keras.backend.is_keras_tensor(outputs):
            self.mark(outputs)
        return outputs
