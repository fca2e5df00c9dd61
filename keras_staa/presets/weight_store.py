"""Keras's names of weights in a file, and networks filled by them without a file in between."""

import math
import pathlib

from keras_staa import _keras
from keras_staa.presets import weight_files

VARIABLES = "vars"


def names(model):
    """Return the weights of a network by the names that a `.weights.h5` file has for them.

    Args:
        model: a built `keras.Model`, whose weights need no values.

    Returns:
        A dictionary of variables.
    """
    found = {}
    _keras.save_state(model, _Recorder(found))
    return {name: v for name, v in found.items() if not _of_training(name)}


def check(model, held, path, more=(), other=()):
    """Compare what a network needs with what a file holds, before either takes memory.

    Args:
        model: a built `keras.Model`, whose weights need no values.
        held: what `weight_files.opened` gave.
        path: of the file.
        more: starts of names of weights that the file may have and the network not, or the other
            way round.
        other: names of weights whose shape may be another one in the file.

    Raises:
        ValueError: if the network needs more than the file holds, or something else.
    """
    wanted = names(model)
    for name, variable in wanted.items():
        if name not in held and not name.startswith(tuple(more)):
            raise ValueError(f"{path} does not fit the network: it has no weight {name!r}.")
        if name in other:
            continue
        shapes = tuple(held[name].shape), tuple(variable.shape)
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{path} does not fit the network: weight {name!r} has the shape {shapes[0]}, "
                f"not {shapes[1]}."
            )
    for name in held:
        if not (name in wanted or _of_training(name) or name.startswith(tuple(more))):
            raise ValueError(f"{path} does not fit the network, which has no weight {name!r}.")
    needed = sum(4 * math.prod(v.shape) for name, v in wanted.items() if name not in other)
    if needed > weight_files.total(path):
        raise ValueError(
            f"{path} is refused: it has {pathlib.Path(path).stat().st_size} bytes and claims to "
            f"hold weights of {needed}."
        )


def fits(model, held):
    """Whether every weight of a network is in a file, in the same shape."""
    return all(
        name in held and tuple(held[name].shape) == tuple(v.shape)
        for name, v in names(model).items()
    )


def fill(model, held, path):
    """Give a network the weights of a file.

    Args:
        model: a built `keras.Model`, which `check` has compared with the file.
        held: what `weight_files.opened` gave.
        path: of the file.

    Raises:
        ValueError: if a weight is damaged.
    """
    for saveable, error in _keras.load_state(model, _Reader(held)):
        if str(path) in str(error):
            raise error
        raise ValueError(f"{path} has no weights for {saveable}: {error}") from error


def _of_training(name):
    return name.startswith(f"{weight_files.OPTIMIZER}/")


class _Recorder(_keras.WeightStore):
    """Where layers write to: it notes what they write and under which name."""

    def __init__(self, found):
        self.mode, self.found, self.path = "w", found, ""

    def __bool__(self):
        return True

    def make(self, path, metadata=None):
        self.path = path
        return self

    def __setitem__(self, key, value):
        self.found["/".join(part for part in (self.path, VARIABLES, key) if part)] = value


class _Reader(_keras.WeightStore):
    """Where layers read from: a data set is read when its layer asks for it."""

    def __init__(self, held):
        self.mode, self.groups, self.group = "r", {}, {}
        for name, dataset in held.items():
            parent, _, key = name.rpartition("/")
            self.groups.setdefault(parent, {})[key] = dataset

    def __bool__(self):
        return True

    def get(self, path):
        self.group = self.groups.get("/".join(part for part in (path, VARIABLES) if part), {})
        return self

    def has_path(self, path):
        return any(name.startswith(f"{path}/") for name in self.groups)

    def keys(self):
        return self.group.keys()

    def __len__(self):
        return len(self.group)

    def __contains__(self, key):
        return key in self.group

    def __getitem__(self, key):
        return weight_files.read(self.group[key])
