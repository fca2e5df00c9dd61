"""Run a network one time step at a time, on streams whose next step is not there yet.

A layer that carries something from one time step to the next, or that depends on the number of the
step, has two methods besides `call`:

- `initial_state(shape)` returns its state before the first step: a tensor or nested tuples of
  tensors, whose first axis is that of the streams. `shape` is that of one time step, (B, ...).
- `stream(inputs, state, clock)` takes one time step, a tensor (B, ...), and returns the outputs of
  that step and the state after it. `clock` is an int32 tensor (B,), the number of the step that
  each stream is at, from 0.

Give a layer of your own these methods, and a network that has it can be streamed. Neurons have
them from `keras_staa.layers.Neuron`.
"""

from keras_staa.streaming.exits import EarlyExit, Exits, early_exit
from keras_staa.streaming.live import LiveFrames
from keras_staa.streaming.stepping import State, Stepper

__all__ = ["EarlyExit", "Exits", "LiveFrames", "State", "Stepper", "early_exit"]
