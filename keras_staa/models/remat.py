"""Recomputation of blocks in the backward pass: memory for time."""

import keras
from keras import ops

from keras_staa.ops.recompute import recomputed


@keras.saving.register_keras_serializable("keras_staa")
class RematerializedModel(keras.Model):
    """A functional model whose training keeps only the tensors between its segments.

    The backward pass computes the inside of a segment again. What a segment does besides its
    result, to moving averages, metrics and random seeds, happens once, and its random draws are
    the same both times, which `keras.RematScope` does not take care of; losses that its layers
    add belong to the model. Layers, weight files and results are those of the `keras.Model`
    without it.

    Args:
        inputs, outputs, name: as in `keras.Model`, with one input and one output.
        cuts: names of the layers after which one segment ends and the next begins, in order; all
            that comes later must depend on what is there alone.
    """

    def __init__(self, *args, cuts=(), **kwargs):
        super().__init__(*args, **kwargs)
        self._cut(cuts)

    def _cut(self, cuts):
        ends = [self.inputs[0], *(self.get_layer(name).output for name in cuts), self.outputs[0]]
        pairs = zip(ends[:-1], ends[1:], strict=True)
        segments = [keras.Model(start, end) for start, end in pairs if start is not end]
        # Past the model's own bookkeeping: their layers are in the model already.
        object.__setattr__(self, "_segments", (tuple(cuts), segments))

    def call(self, inputs, training=None, mask=None):
        if not training:
            return super().call(inputs, training=training, mask=mask)
        for segment in self._segments[1]:
            inputs, losses = _recomputed(segment, inputs)
            for loss in losses:
                # A functional model refuses losses, meaning those of symbolic tensors.
                keras.layers.Layer.add_loss(self, loss)
        return inputs

    def get_config(self):
        return {**super().get_config(), "cuts": list(self._segments[0])}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        cuts = config["cuts"]
        config = {key: value for key, value in config.items() if key != "cuts"}
        model = super().from_config(config, custom_objects)
        model._cut(cuts)
        return model


def _recomputed(segment, inputs):
    """The outputs of a segment, and the losses that its layers add."""
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
