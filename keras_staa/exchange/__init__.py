"""Networks from other libraries of spiking networks, and for them."""

from keras_staa.exchange.nir_reading import from_nir
from keras_staa.exchange.nir_writing import to_nir
from keras_staa.exchange.torch_state import load_torch_weights, torch_weights

__all__ = ["from_nir", "load_torch_weights", "to_nir", "torch_weights"]
