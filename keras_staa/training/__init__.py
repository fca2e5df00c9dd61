"""Training by recipes."""

from keras_staa.training.distiller import Distiller
from keras_staa.training.recipe import json_schema, list_recipes, load_recipe
from keras_staa.training.run import train

__all__ = ["Distiller", "json_schema", "list_recipes", "load_recipe", "train"]
