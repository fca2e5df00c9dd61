"""`Stepper`: a network one time step at a time, with a state that is carried from step to step."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_staa import _keras, checks
from keras_staa.insight import finding
from keras_staa.layers import RepeatSteps
from keras_staa.models.network import Network
from keras_staa.ops.inference import for_inference
from keras_staa.streaming import graph


@dataclasses.dataclass(frozen=True)
class State:
    """Where streams are.

    Attributes:
        clock: int32 array (B,), how many time steps each stream has had.
        layers: dictionary from names of layers to their states: tensors, or nested tuples of
            them, whose first axis is that of the streams.
    """

    clock: np.ndarray
    layers: dict

    def __len__(self):
        return len(self.clock)


class Prepared:
    """What `Stepper.prepare` returns: images behind the layers that come before the time axis."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __len__(self):
        return self.tensor.shape[0]

    def take(self, streams):
        """Return the part of some streams, an array of indices."""
        return Prepared(ops.take(self.tensor, streams, axis=0))


class Stepper:
    """Run a network one time step at a time, on many streams at once.

    After T steps the outputs are those that the model gives for the whole sequence. Before, a mean
    over the steps is that over the steps so far. Inference only.

    Args:
        model: a built functional or sequential `keras.Model` with one input: images (B, H, W, C)
            or frames (B, T, ...). Its step attention must be causal (`causal=True`), if it has any.

    Attributes:
        steps: the number of time steps T, or None if it is not known.
        bounded: whether a stream ends after T steps, as it does with position encodings or step
            attention. Otherwise it may go on.
        takes_images: whether the model takes images, and not frames.

    Raises:
        ValueError: if the model is not such a model, has no fixed size, looks at later time steps,
            or has a layer that cannot run one step at a time.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(input_shape=(4, 32, 32, 2), width=8, causal=True)
    >>> frames = np.random.rand(3, 4, 32, 32, 2).astype("float32")
    >>> stepper = Stepper(model)
    >>> state = stepper.initial_state(streams=3)
    >>> for t in range(4):
    ...     outputs, state = stepper.step(frames[:, t], state)
    >>> whole = model.predict(frames, verbose=0)
    >>> np.allclose(keras.ops.convert_to_numpy(outputs), whole, atol=1e-5)
    True
    """

    def __init__(self, model):
        finding.check_model(model)
        self.model = model
        self._before, self._after = graph.split(model)
        self.takes_images = not graph.has_time_axis(model)
        self._shape = model.input_shape[1 if self.takes_images else 2 :]
        if None in self._shape:
            raise ValueError(
                "`model` must have an input of a fixed size. Received: "
                f"input_shape={model.input_shape}"
            )
        inner = _keras.all_layers(model)
        self.bounded = any(getattr(layer, "bounds_steps", False) for layer in inner)
        self.steps = _steps(model, self.takes_images)
        self._calls = {}
        x = np.zeros((1, *self._shape), "float32")
        x = x if self._before is None else self._before(x)
        graph.run(self._after, ops.convert_to_tensor(x), ops.zeros((1,), "int32"), self._look)
        self._prepare = self._before and for_inference(self._before, self._before.variables)
        self._step = for_inference(self._one_step, self._after.variables)

    def _look(self, name, layer, inputs, clock):
        """Note a call, and run it on new streams."""
        shape = tuple(inputs.shape)
        self._calls[name] = layer, shape[1:]
        return layer.stream(inputs, layer.initial_state(shape), clock)[0]

    def _one_step(self, x, states, clock):
        after = dict(states)

        def visit(name, layer, inputs, clock):
            outputs, after[name] = layer.stream(inputs, states[name], clock)
            return outputs

        return graph.run(self._after, x, clock, visit), after

    def initial_state(self, streams=1):
        """Return the state before the first time step.

        Args:
            streams: positive integer, how many there are.

        Returns:
            A `State`.
        """
        count = checks.positive_int("streams", streams)
        states = {
            name: layer.initial_state((count, *shape))
            for name, (layer, shape) in self._calls.items()
        }
        return State(np.zeros(count, "int32"), states)

    def prepare(self, images):
        """Compute once what is the same at all time steps of an image.

        Args:
            images: array (B, H, W, C).

        Returns:
            What `step` takes in the place of the images.

        Raises:
            ValueError: if the network takes frames, or images of another shape.
        """
        if not self.takes_images:
            raise ValueError(
                "`prepare` is for networks that take images. The network takes frames of shape "
                f"{tuple(self.model.input_shape[1:])}."
            )
        images = self._checked(images, len(images))
        return Prepared(images if self._prepare is None else self._prepare(images))

    def step(self, x, state, streams=None):
        """Give streams their next time step.

        Args:
            x: array (B, ...), an image or frame for each stream; or what `prepare` returned.
            state: what `initial_state` or the step before returned. It is not changed.
            streams: the streams that x is for, a list of indices: others stand still. All by
                default.

        Returns:
            The outputs of the model after this step, (B, ...), and the `State` after it. Outputs
            with a time axis are those of this step, without that axis.

        Raises:
            ValueError: if x has another shape than the model takes or than there are streams, or a
                stream has had all its steps.
        """
        if streams is not None:
            streams = _indices(streams, len(state))
            outputs, moved = self.step(x, self.take(state, streams))
            return outputs, _put(state, streams, moved)
        self._check_clock(state)
        if isinstance(x, Prepared):
            tensor = x.tensor
            if len(x) != len(state):
                raise ValueError(_wrong_count(len(x), len(state)))
        else:
            tensor = self._checked(x, len(state))
            tensor = tensor if self._prepare is None else self._prepare(tensor)
        outputs, after = self._step(tensor, state.layers, state.clock)
        return outputs, State(state.clock + np.int32(1), after)

    def each_step(self, x):
        """Yield the outputs after each of the T steps of whole samples.

        Args:
            x: array (B, ...), images or frames as the model takes them.
        """
        inputs = self.prepare(x) if self.takes_images else None
        state = self.initial_state(len(x))
        for t in range(self.steps):
            outputs, state = self.step(x[:, t] if inputs is None else inputs, state)
            yield ops.convert_to_numpy(outputs)

    def reset(self, state, streams=None):
        """Let streams begin anew.

        Args:
            state: a `State`. It is not changed.
            streams: list of indices, or a boolean for each stream. All by default.

        Returns:
            A `State`.
        """
        every = range(len(state)) if streams is None else streams
        indices = _indices(every, len(state))
        if not len(indices):
            return state
        return _put(state, indices, self.initial_state(len(indices)))

    def take(self, state, streams):
        """Return the state of some of the streams.

        Args:
            state: a `State`.
            streams: list of indices, which may repeat, or a boolean for each stream.

        Returns:
            A `State`.
        """
        indices = _indices(streams, len(state), repeats=True)
        parts = keras.tree.map_structure(lambda v: ops.take(v, indices, axis=0), state.layers)
        return State(state.clock[indices], parts)

    def _check_clock(self, state):
        if not self.bounded or not len(state) or state.clock.max() < self.steps:
            return
        ended = np.flatnonzero(state.clock >= self.steps)
        raise ValueError(
            f"`state` must be of streams that have had less than {self.steps} time steps, which "
            f"the network has. Received: streams {ended[:10].tolist()} have had them all. Call "
            "`reset`."
        )

    def _checked(self, x, count):
        x = x if ops.is_tensor(x) else np.asarray(x)
        if tuple(x.shape[1:]) != tuple(self._shape):
            raise ValueError(
                f"`x` must have one time step of each stream, of the shape (B, "
                f"{', '.join(map(str, self._shape))}). Received: shape {tuple(x.shape)}"
            )
        if x.shape[0] != count:
            raise ValueError(_wrong_count(x.shape[0], count))
        if isinstance(self.model, Network):
            self.model.check_range(x)
        return ops.cast(x, self.model.inputs[0].dtype)


def _wrong_count(found, streams):
    return f"`x` must have a time step for each of the {streams} streams. Received: {found}"


def _steps(model, takes_images):
    if not takes_images:
        return model.input_shape[1]
    every = _keras.all_layers(model)
    found = {layer.steps for layer in every if isinstance(layer, RepeatSteps)}
    return found.pop() if len(found) == 1 else None


def _indices(streams, count, repeats=False):
    """Return an int32 array of indices, from indices or booleans."""
    found = np.asarray(list(streams))
    if found.dtype == bool and found.shape == (count,):
        return np.flatnonzero(found).astype("int32")
    whole = not len(found) or np.issubdtype(found.dtype, np.integer)
    if found.ndim != 1 or not whole or (len(found) and not 0 <= found.min() <= found.max() < count):
        raise ValueError(
            f"`streams` must be indices from 0 to {count - 1}, or {count} booleans. "
            f"Received: {streams!r}"
        )
    if not repeats and len(set(found.tolist())) != len(found):
        raise ValueError(f"`streams` must name each stream once. Received: {streams!r}")
    return found.astype("int32")


def _put(state, streams, part):
    """Return a state in which some streams have the state that `part` has for them."""
    clock = state.clock.copy()
    clock[streams] = part.clock
    places = streams[:, None]
    layers = keras.tree.map_structure(
        lambda whole, values: ops.scatter_update(whole, places, values), state.layers, part.layers
    )
    return State(clock, layers)
