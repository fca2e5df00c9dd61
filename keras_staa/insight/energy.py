"""What operations and reading and writing cost."""

import dataclasses

# Bytes of a number, such as a weight or a membrane potential, and of a spike.
NUMBER, SPIKE = 4, 1 / 8
# Picojoules to millijoules.
PICO = 1e-9


@dataclasses.dataclass(frozen=True)
class Costs:
    """What operations cost, in picojoules.

    Args:
        mac: of a multiplication and addition.
        ac: of an addition.
        byte: of a byte that is read or written.
        memory: whether reading and writing counts.
    """

    mac: float = 4.6
    ac: float = 0.9
    byte: float = 12.5
    memory: bool = False

    def energy(self, row):
        """Return the energy of a `LayerReport`, and that of the ReLU network, in millijoules."""
        spiking = row.macs * self.mac * PICO + self.additions(row.sops + row.additions)
        relu = row.relu_macs * self.mac * PICO
        if self.memory:
            spiking += row.bytes * self.byte * PICO
            relu += row.relu_bytes * self.byte * PICO
        return spiking, relu

    def additions(self, count):
        """Return the energy of additions, in millijoules."""
        return count * self.ac * PICO


def bytes_of_weights(parameters, inputs, outputs, steps, relu_steps, binary):
    """Return the bytes that a layer with weights reads, and reads and writes in a ReLU network.

    It reads its weights and inputs in each time step. What it adds up are membrane potentials,
    which count for the neurons.

    Args:
        parameters: number of its weights.
        inputs, outputs: numbers of a time step.
        steps, relu_steps: how often it runs.
        binary: whether the inputs are spikes.

    Example:

    >>> bytes_of_weights(10, 8, 4, 2, 1, binary=True)
    (82.0, 88)
    """
    read = steps * (NUMBER * parameters + inputs * (SPIKE if binary else NUMBER))
    return read, relu_steps * NUMBER * (parameters + inputs + outputs)


def bytes_of_neurons(values, aggregated=False):
    """Return the bytes that neurons read and write: potentials twice, spikes once.

    Args:
        values: number of neurons times time steps.
        aggregated: whether there is an aggregator, which writes the current and reads it twice.

    Example:

    >>> bytes_of_neurons(8)
    65.0
    """
    return values * (2 * NUMBER + SPIKE) + bytes_of_attention(values) * aggregated


def bytes_of_attention(values):
    """Return the bytes for an aggregator: a current is written, and read twice."""
    return 3 * NUMBER * values
