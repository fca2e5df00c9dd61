"""Write a network in a format of another runtime, and run the file there."""

import contextlib
import dataclasses
import importlib.util
import io
import logging
import os
import pathlib
import shutil
import tempfile
import time
import warnings

import keras
import numpy as np

from keras_staa import checks
from keras_staa.exporting import FORMATS
from keras_staa.ops.portable import portable

SAMPLES = 100


@dataclasses.dataclass(frozen=True)
class Exported:
    """A file that another runtime has run.

    Attributes:
        path: string, the file or folder.
        format: string.
        dtype: string, `"float32"`, `"float16"` or `"int8"`.
        bytes: size of all files together.
        samples: how many samples both have classified.
        same: of how many both say the same class.
        difference: the largest difference of an output.
        milliseconds: for one sample in the other runtime, the median of 20.
    """

    path: str
    format: str
    dtype: str
    bytes: int
    samples: int
    same: int
    difference: float
    milliseconds: float


def export(model, path, format="onnx", dtype="float32", samples=None, at_least=0.95):
    """Write a network for another runtime, run it there, and compare.

    The file is written by Keras's own `model.export` or the exporter of the backend, with a free
    batch size. Then its runtime classifies the samples, one by one and all at once. If it does not
    say the same as the network, there is an error and no file. The weights are those of inference;
    the file needs neither Keras nor this library.

    An exported network takes infinite inputs as its runtime does, and saturates at nothing.

    Args:
        model: a built `keras.Model` with one input, whose sizes but the batch are known, and one
            output, under the dtype policy float32.
        path: of the file, or of the folder for `"tf_saved_model"`. It must not exist.
        format: `"tf_saved_model"`, `"onnx"`, `"litert"`, `"openvino"`, `"stablehlo"` or `"torch"`.
        dtype: `"float32"`, or for `"litert"` also `"float16"` (weights) or `"int8"` (weights and
            activations; the ranges of the activations come from `samples`).
        samples: array (N, ...) of inputs to compare, and to calibrate with. Use samples of the
            data set: 100 are enough. Default: 100 samples of random numbers in [0, 1).
        at_least: share of the samples of which both must say the same class, in [0, 1].

    Returns:
        An `Exported`.

    Raises:
        ValueError: for an argument outside its range, a model of other inputs and outputs, a
            backend that cannot write the format, or a file that does not do what the network does.
        ImportError: if the format's packages are not installed.

    Example:

    ```python
    model = keras_staa.zoo.load("cifar10")
    found = keras_staa.export(model, "cifar10.onnx", samples=images[:100])
    found.same, found.milliseconds
    ```
    """
    module = FORMATS[checks.choice("format", format, FORMATS)]
    checks.choice("dtype", dtype, module.DTYPES)
    at_least = checks.fraction("at_least", at_least)
    path = _path(path, module.SUFFIX)
    _check_model(model)
    _check_backend(format, module)
    given = samples is not None
    samples = _samples(model, samples)
    if dtype == "int8" and not given:
        raise ValueError('`dtype="int8"` needs `samples` of the data set, to set the ranges by.')
    expected = keras.ops.convert_to_numpy(model.predict_on_batch(samples))
    with tempfile.TemporaryDirectory(prefix=".keras-staa-export-", dir=path.parent) as folder:
        partial = pathlib.Path(folder) / path.name
        with portable(), _quiet():
            module.write(model, partial, dtype, samples)
            run = module.runner(partial)
        found = run(samples)
        one_by_one = np.concatenate([run(samples[i : i + 1]) for i in range(len(samples))])
        exported = Exported(
            str(path),
            format,
            dtype,
            _size(pathlib.Path(folder)),
            len(samples),
            min(_same(expected, found), _same(expected, one_by_one)),
            float(np.max(np.abs(expected - found))),
            _milliseconds(run, samples[:1]),
        )
        del run
        if exported.same < at_least * len(samples):
            raise ValueError(
                f"The exported network says the same class as the model for {exported.same} of "
                f"{len(samples)} samples, and `at_least` is {at_least}. No file was written."
            )
        _move(pathlib.Path(folder), path)
    return exported


def _path(path, suffix):
    path = pathlib.Path(path)
    if suffix and path.suffix != suffix:
        raise ValueError(f"`path` must end in {suffix!r}. Received: path={str(path)!r}")
    if path.exists():
        raise ValueError(f"`path` must not exist yet. Received: path={str(path)!r}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"`path` must be in a folder that exists. Received: path={str(path)!r}")
    return path.absolute()


def _check_model(model):
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"`model` must be a built keras.Model. Received: model={model!r}")
    tensors = [model.inputs, model.outputs] if hasattr(model, "inputs") else [[], []]
    if [len(t or ()) for t in tensors] != [1, 1] or None in model.inputs[0].shape[1:]:
        raise ValueError(
            "`model` must have one input, whose sizes but the batch are known, and one output. "
            f"Received: inputs={tensors[0]}, outputs={tensors[1]}"
        )
    kinds = {layer.dtype_policy.name for layer in model.layers}
    if kinds != {"float32"}:
        raise ValueError(
            "`model` must have the dtype policy float32 in all layers. Make the network under "
            f"`float32` and set the weights of the other one. Received: {sorted(kinds)}"
        )


def _check_backend(name, module):
    if keras.backend.backend() not in module.BACKENDS:
        raise ValueError(
            f"`format` {name!r} is written on {' or '.join(module.BACKENDS)}. Set KERAS_BACKEND "
            f"before Python starts. Received: the backend {keras.backend.backend()}"
        )
    packages = module.PACKAGES[keras.backend.backend()]
    missing = [p for p in packages if importlib.util.find_spec(p.replace("-", "_")) is None]
    if missing:
        raise ImportError(f"`format` {name!r} needs: pip install {' '.join(missing)}")


def _samples(model, samples):
    shape = tuple(model.inputs[0].shape[1:])
    if samples is None:
        return np.random.default_rng(0).random((SAMPLES, *shape), "float32")
    samples = np.asarray(keras.ops.convert_to_numpy(samples), "float32")
    if samples.shape[1:] != shape or not len(samples):
        raise ValueError(
            f"`samples` must have the shape (N, {', '.join(map(str, shape))}). "
            f"Received: shape={samples.shape}"
        )
    return samples


def _same(expected, found):
    if found.shape != expected.shape:
        raise ValueError(f"The exported network gives {found.shape} for {expected.shape}.")
    return int(np.sum(np.argmax(expected, -1) == np.argmax(found, -1)))


def _milliseconds(run, sample, rounds=20):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run(sample)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def _size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _move(folder, path):
    """Move what was written to its place, the file that names the others last."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name == path.name):
        if os.path.lexists(target := path.parent / file.name):
            raise ValueError(f"{str(target)!r} exists already.")
        shutil.move(file, target)


@contextlib.contextmanager
def _quiet():
    """Keep what exporters print and warn of from the user: errors are raised."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
