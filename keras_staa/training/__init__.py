"""Training by recipes."""

from keras_staa.training import topology
from keras_staa.training.augmented import Augmented, with_labels
from keras_staa.training.devices import layout_map
from keras_staa.training.distiller import Distiller
from keras_staa.training.processes import Group, connect
from keras_staa.training.recalibration import recalibrate
from keras_staa.training.recipe import json_schema, list_recipes, load_recipe
from keras_staa.training.run import train
from keras_staa.training.waiting import WaitingShare

__all__ = [
    "Augmented",
    "Distiller",
    "Group",
    "WaitingShare",
    "connect",
    "json_schema",
    "layout_map",
    "list_recipes",
    "load_recipe",
    "recalibrate",
    "topology",
    "train",
    "with_labels",
]
