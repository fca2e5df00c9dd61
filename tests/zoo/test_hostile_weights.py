"""A weight file from elsewhere reads nothing beside it and takes no memory it has not."""

import pathlib
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.real import ROOT
from tests.zoo.hostile import describe, refused, sign, with_arguments
from tests.zoo.support import Tiny


def replace(folder, name, make):
    """Put something else in the place of a data set of the weight file."""
    with h5py.File(folder / "model.weights.h5", "a") as file:
        old = file[name][()]
        del file[name]
        make(file, name, old)
    sign(folder)


SECRET = b"secret of another file".ljust(432, b".")


def external(file, name, old):
    path = pathlib.Path(file.filename).parent / "secret"
    path.write_bytes(SECRET)
    file.create_dataset(name, old.shape, "float32", external=[(str(path), 0, old.nbytes)])


def virtual(file, name, old):
    path = pathlib.Path(file.filename).parent / "secret.h5"
    with h5py.File(path, "w") as other:
        other["values"] = old
    layout = h5py.VirtualLayout(old.shape, "float32")
    layout[...] = h5py.VirtualSource(str(path), "values", old.shape)
    file.create_virtual_dataset(name, layout)


def external_link(file, name, old):
    path = pathlib.Path(file.filename).parent / "secret.h5"
    with h5py.File(path, "w") as other:
        other["values"] = old
    file[name] = h5py.ExternalLink(str(path), "values")


def soft_link(file, name, old):
    file["elsewhere"] = old
    file[name] = h5py.SoftLink("/elsewhere")


def group_twice(file, name, old):
    file[name] = old
    file["layers/conv2d/again"] = file["layers"]


def never_written(file, name, old):
    file.create_dataset(name, old.shape, "float32")


def pieces_never_written(file, name, old):
    file.create_dataset(name, old.shape, "float32", chunks=old.shape, compression="gzip")


def larger_pieces(file, name, old):
    large = tuple(4 * n for n in old.shape)
    file.create_dataset(name, data=old, chunks=large, maxshape=(None,) * 4, compression="gzip")


def unfolding(file, name, old):
    import zlib

    made = file.create_dataset(name, old.shape, "float32", chunks=old.shape, compression="gzip")
    packed = zlib.compress(b"\0" * 2**22)
    assert len(packed) < 2 * old.nbytes + 4096
    made.id.write_direct_chunk((0,) * old.ndim, packed)


def other_filter(file, name, old):
    file.create_dataset(name, data=old, chunks=old.shape, compression="lzf")


def not_finite(value):
    def make(file, name, old):
        old[0, 0, 0, 0] = value
        file[name] = old

    return make


def other(value):
    def make(file, name, old):
        file[name] = value(old)

    return make


def one_more(file, name, old):
    file[name] = file["layers/more"] = old


WEIGHTS = {
    "external storage": external,
    "a virtual data set": virtual,
    "an external link": external_link,
    "a soft link": soft_link,
    "a group inside itself": group_twice,
    "values that were never written": never_written,
    "pieces that were never written": pieces_never_written,
    "pieces larger than the whole": larger_pieces,
    "a piece that unfolds": unfolding,
    "another filter": other_filter,
    "NaN": not_finite(np.nan),
    "infinity": not_finite(-np.inf),
    "another shape": other(lambda old: old[..., :2]),
    "text": other(lambda old: np.full(old.shape, b"abc")),
    "a number more": other(lambda old: np.zeros(old.shape, [("a", "f4"), ("b", "f4")])),
    "nothing": lambda file, name, old: None,
    "a group": lambda file, name, old: file.create_group(name),
    "one weight more": one_more,
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_weight_that_is_not_plain(kind, copy):
    replace(copy, "layers/conv2d/vars/0", WEIGHTS[kind])
    refused(copy, "model.weights.h5")
    file = copy / "model.weights.h5"
    with pytest.raises(ValueError) as error:
        Tiny(weights=file, classes=3, steps=1, neuron={"threshold": 0.3})
    assert str(file) in str(error.value)


FILES = {
    "truncated": lambda content: content[: len(content) // 2],
    "only a start": lambda content: content[:600],
    "empty": lambda content: b"",
    "text": lambda content: b"no HDF5 at all\n" * 100,
    "a pickle": lambda content: b"\x80\x04" + content[2:],
}


@pytest.mark.parametrize("kind", FILES)
def test_no_weight_file(kind, copy):
    file = copy / "model.weights.h5"
    file.write_bytes(FILES[kind](file.read_bytes()))
    sign(copy)
    refused(copy, str(file))
    with pytest.raises(ValueError) as error:
        Tiny(weights=file, classes=3, steps=1, neuron={"threshold": 0.3})
    assert str(file) in str(error.value)


def test_another_hdf5_file(copy):
    file = copy / "model.weights.h5"
    with h5py.File(file, "w") as foreign:
        foreign["events/x"] = np.arange(9)
    sign(copy)
    refused(copy, str(file), "has no weight")


LOAD = """
import resource, sys
import keras, numpy
from keras_staa import zoo
from keras_staa.models import FACTORIES
from tests.zoo.support import Tiny, predictions
FACTORIES["Tiny"] = Tiny
zoo.load(sys.argv[1])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in sys.argv[2:]:
    for arguments in ({}, {"weights": False}):
        try:
            zoo.load(folder, **arguments)
        except ValueError as error:
            assert folder in str(error), error
        else:
            raise SystemExit(f"{folder} is loaded")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


def wide(folder):
    with_arguments(folder, width=2048)


def wide_and_declared(folder):
    """A file that declares as many weights as the network would need, and holds none of them."""
    with_arguments(folder, width=2048)
    describe(folder, lambda said: said.update(parameters=75_000_000))
    with h5py.File(folder / "model.weights.h5", "a") as file:

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                found[name] = item.shape

        found = {}
        file.visititems(visit)
        for name, shape in found.items():
            large = tuple({4: 2048, 8: 4096, 1: 1024, 2: 1024}.get(n, n) for n in shape)
            if large != shape:
                del file[name]
                file.create_dataset(name, large, "float32")
    sign(folder)


def declared(folder):
    """A large data set that the network has no use for."""
    with h5py.File(folder / "model.weights.h5", "a") as file:
        file.create_dataset("layers/more", (2**29,), "float32")
    sign(folder)


def large_images(folder):
    with_arguments(folder, input_shape=[10**5, 10**5, 3], attention={"position": "sinusoidal"})


def test_what_is_not_there_takes_no_memory(preset, tmp_path):
    folders = []
    for kind in (wide, wide_and_declared, declared, large_images):
        folders.append(shutil.copytree(preset, tmp_path / kind.__name__))
        kind(folders[-1])
    out = subprocess.run(
        [sys.executable, "-c", LOAD, str(preset), *map(str, folders)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stderr[-2000:]
    assert int(out.stdout.splitlines()[-1]) < 100_000  # KiB
