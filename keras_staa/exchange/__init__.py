"""Networks from other libraries of spiking networks, and for them."""

from keras_staa.exchange.nir_reading import from_nir
from keras_staa.exchange.nir_writing import to_nir

__all__ = ["from_nir", "to_nir"]
