"""A preset from elsewhere runs nothing, reads nothing beside it and takes no memory it has not."""

import json
import pathlib
import shutil
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import presets, serialized, zoo
from keras_staa.layers import LIF, STAALIF
from keras_staa.surrogates import Triangular
from tests.real import ROOT
from tests.zoo.support import Tiny, predictions, registered, saved, tiny


@pytest.fixture(autouse=True)
def tiny_factory(monkeypatch):
    registered(monkeypatch)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("presets") / "tiny_w4_t1.noise")


@pytest.fixture
def copy(preset, tmp_path):
    """A copy to change."""
    return shutil.copytree(preset, tmp_path / preset.name)


def describe(folder, change):
    """Change the description of a preset by a function of its dictionary."""
    path = folder / "preset.json"
    said = json.loads(path.read_text("utf-8"))
    change(said)
    path.write_text(json.dumps(said), "utf-8")


def with_arguments(folder, **arguments):
    describe(folder, lambda said: said["arguments"].update(arguments))


def sign(folder):
    """Let the description fit the weight file, as one who changes both would."""
    file = folder / "model.weights.h5"
    size, digest = file.stat().st_size, presets.sha256(file)
    describe(folder, lambda said: said.update(sha256=digest, bytes=size))


def refused(folder, *parts):
    """Every way of loading says which file it refuses."""
    ways = [
        lambda: zoo.load(folder),
        lambda: Tiny(weights=folder, classes=5),
    ]
    for way in ways:
        with pytest.raises(ValueError) as error:
            way()
        for part in (str(folder), *parts):
            assert part in str(error.value)


def form(class_name, config=None, module=None, name=None):
    return {
        "module": module,
        "class_name": class_name,
        "config": {} if config is None else config,
        "registered_name": name or class_name,
    }


BOMB = form("Bomb", {}, "keras_hub.evil")
FORMS = {
    "a module beside Keras's": BOMB,
    "a layer of Keras": form("Dense", {"units": 3}, "keras.layers"),
    "a layer that runs files": form("TFSMLayer", {"filepath": "/tmp/x"}, "keras.layers"),
    "a lambda": form("__lambda__", {"value": "gAAA"}, "builtins"),
    "an array": form("__numpy__", {"value": [1.0], "dtype": "float32"}),
    "a function of the system": form("function", "system", "os", "system"),
    "an activation": form("function", "relu", "builtins", "function"),
    "a wrapper of ours": form(
        "PerStep", {"layer": BOMB}, "keras_staa.layers.steps", "keras_staa>PerStep"
    ),
    "a layer of ours in Keras's way": form(
        "Conv2D", {"filters": 3, "kernel_size": 3}, "keras_staa.layers", "keras_staa>Conv2D"
    ),
    "one inside ours": form("LIF", {"surrogate": BOMB}, None, "keras_staa>LIF"),
    "a dtype inside ours": form("LIF", {"dtype": BOMB}, None, "keras_staa>LIF"),
    "another name": form("LIF", {}, "keras_hub.evil", "keras_hub>LIF"),
    "no configuration": {"class_name": "LIF", "registered_name": "keras_staa>LIF"},
    "no name": {"class_name": None, "config": {}},
}


@pytest.fixture
def bomb(tmp_path, monkeypatch):
    """A package of a name that Keras imports from, which notes that it was imported."""
    folder = tmp_path / "path" / "keras_hub"
    folder.mkdir(parents=True)
    mark = tmp_path / "imported"
    for name in ("__init__", "evil"):
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(folder.parent)
    yield mark
    for name in [name for name in sys.modules if name.startswith("keras_hub")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize(
    "place",
    ["neuron", "surrogate", "attention", "activation"],
)
def test_a_description_names_only_what_is_on_the_list(place, kind, copy, bomb):
    found = FORMS[kind]
    if place == "activation":
        if kind == "an activation":
            pytest.skip("is allowed here")
        with_arguments(copy, classifier_activation=found)
    elif place == "surrogate":
        if kind == "an activation":
            pytest.skip("is a function of u")
        with_arguments(copy, neuron={"threshold": 0.3, "surrogate": found})
    elif place == "attention":
        with_arguments(copy, attention={"position": "axial", "seed": found})
    else:
        with_arguments(copy, neuron=found)
    refused(copy, "preset.json")
    with pytest.raises(ValueError, match=r"preset\.json"):
        zoo.load(copy, weights=False)
    assert not bomb.exists()


@pytest.mark.parametrize("kind", FORMS)
def test_a_dictionary_from_elsewhere_imports_nothing(kind, bomb):
    if kind in ("an activation", "a layer of ours in Keras's way"):
        pytest.skip("imports nothing")
    with pytest.raises((ValueError, TypeError)):
        keras_staa.surrogates.get(FORMS[kind])
    with pytest.raises(ValueError):
        tiny(neuron=FORMS[kind])
    assert not bomb.exists()


def test_the_list_is_what_this_library_registers():
    known = serialized.classes()
    for entry in (LIF, STAALIF, Triangular):
        assert known[f"keras_staa>{entry.__name__}"] is entry
    for entry in ("PerStep", "Conv2D", "BatchNormalization", "Network"):
        assert f"keras_staa>{entry}" not in known
        assert f"keras_staa>{entry}" in keras.saving.get_custom_objects()


@keras.saving.register_keras_serializable("another_package")
class Registered(LIF):
    """A neuron that the program has registered, which no preset may name by that alone."""


def test_a_neuron_of_ones_own_is_named_by_the_one_who_loads(tmp_path):
    model = tiny(neuron=Registered(threshold=0.3))
    folder = saved(tmp_path / "preset", model)
    refused(folder, "custom_object_scope", "'Registered'")
    with keras.saving.custom_object_scope({"Registered": Registered}):
        again = zoo.load(folder)
    assert type(again.get_layer("stem_neuron")) is Registered
    np.testing.assert_allclose(predictions(again), predictions(model), atol=1e-6)
    # In a dictionary of the program itself it is its own.
    own = keras.saving.serialize_keras_object(Registered(threshold=0.3))
    assert type(tiny(neuron=own).get_layer("stem_neuron")) is Registered


@pytest.mark.parametrize("name", ("weights", "input_tensor", "name", "remat"))
def test_an_argument_that_no_preset_has(name, copy):
    with_arguments(copy, **{name: "/etc/passwd"})
    refused(copy, "preset.json", name)
    with pytest.raises(ValueError, match=name):
        zoo.describe(copy)


def twice(text):
    return text.replace('"classes": 3', '"classes": 5, "classes": 3', 1)


TEXTS = {
    "a key twice": twice,
    "a key twice inside": lambda t: t.replace('"threshold": 0.3', '"threshold": 9, "threshold": 1'),
    "no number": lambda t: t.replace("0.3", "NaN"),
    "an infinite number": lambda t: t.replace("0.3", "1e999"),
    "a deep one": lambda t: t.replace('"training": {}', '"training": {"a": %s}' % ("[" * 10**5)),
    "a large one": lambda t: t + " " * 2**22,
    "no text": lambda t: "\udcff" + t,
    "text for a number": lambda t: t.replace('"classes": 3', '"classes": "3"', 1),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_description_that_is_not_plain(kind, copy):
    path = copy / "preset.json"
    text = path.read_text("utf-8")
    changed = TEXTS[kind](json.dumps(json.loads(text)))
    assert changed != text
    path.write_bytes(changed.encode("utf-8", "surrogateescape"))
    refused(copy, "preset.json")
    with pytest.raises(ValueError, match=r"preset\.json"):
        zoo.describe(copy)


CONTRADICTIONS = {
    "classes": lambda said: said.update(classes=4),
    "names": lambda said: said["class_names"].pop(),
    "classes of the arguments": lambda said: said["arguments"].update(classes=4),
    "steps": lambda said: said.update(steps=2),
    "parameters": lambda said: said.update(parameters=said["parameters"] + 1),
    "bytes": lambda said: said.update(bytes=said["bytes"] + 1),
    "frames": lambda said: said["arguments"].update(input_shape=[2, 16, 16, 3]),
    "dtype": lambda said: said.update(weights_dtype="float64"),
    "width": lambda said: said["arguments"].update(width=10**30),
    "all of classes": lambda said: (
        said.update(classes=2, class_names=["a", "b"]),
        said["arguments"].update(classes=2),
    ),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_a_description_that_contradicts_itself_or_the_weights(kind, copy):
    describe(copy, CONTRADICTIONS[kind])
    refused(copy)


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": "4"},
        {"normalization": [[None, 1], [0, 1], [0, 1]]},
        {"normalization": 3},
        {"neuron": {"threshold": []}},
        {"neuron": {"colour": 1}},
        {"neuron": {"surrogate": 5}},
        {"attention": {"ratio": {}}},
        {"attention": {"seed": "a"}},
        {"attention": [1]},
        {"input_shape": 5},
        {"input_shape": [16, 16]},
        {"input_shape": [16, 16, "3"]},
        {"pooling": {}},
        {"classifier_activation": "colour"},
        {"classifier_activation": 7},
        {"step_logits": 1},
    ],
    ids=str,
)
def test_arguments_of_other_types(arguments, copy):
    with_arguments(copy, **arguments)
    refused(copy, "preset.json")


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
