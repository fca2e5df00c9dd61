"""The files of `callbacks.Checkpoint`: what they hold, and whether it is whole and fits."""

import hashlib
import io
import json

import keras
import numpy as np

from keras_staa import _keras, files, h5_files

# What a file holds besides the weights and the optimizer's state in the layout of Keras.
_GENERATORS, _METRICS, _RECORD = "random_generators", "metrics", "run"
# The last bytes of a file, which HDF5 does not look at: the checksum of those before.
_MARK = b"keras-staa checkpoint sha256 "
_DIGEST = 64
# What tells neither networks nor optimizers apart: automatic names, and start values.
_IGNORED = ("name", "seed")


class Damaged(ValueError):
    """A file that is not as it was written, or holds values that are not finite."""


class NotFinite(ValueError):
    """A state that is not worth keeping."""


def write(path, model, record, metrics, arrays):
    """Write a checkpoint.

    Args:
        path: of the file.
        model: a compiled `keras.Model`.
        record: dictionary that JSON can hold.
        metrics: boolean, whether the state of the metrics is kept.
        arrays: dictionary of more groups, each a dictionary of arrays.

    Raises:
        NotFinite: if a weight or the optimizer's state is not finite.
        OSError: if the file cannot be written.
    """
    import h5py

    _check_finite(model)
    content = h5_files.weights(model)
    groups = {
        _GENERATORS: _numbered(generators(model)),
        _METRICS: _numbered(model.metrics_variables if metrics else []),
        **arrays,
    }
    record = {**record, **_signature(model), "groups": list(groups), "keras": keras.__version__}
    with h5py.File(content, "a") as file:
        for group, values in groups.items():
            for name, value in values.items():
                file[f"{group}/{name}"] = value
        file[_RECORD] = np.frombuffer(json.dumps(record).encode(), "uint8")
    content = content.getbuffer()
    digest = hashlib.sha256(content).hexdigest()
    files.write(path, content, _MARK, digest.encode())


def read(path):
    """Return what a checkpoint holds, without giving it to a model.

    Returns:
        A dictionary with `content` (the bytes), `sealed` (whether there is a checksum), `record`
        (None in a file of `save_weights`) and `groups` (each a dictionary of arrays).

    Raises:
        Damaged: if the file is not as it was written, or holds values that are not finite.
    """
    import h5py

    content = path.read_bytes()
    end = len(content) - _DIGEST - len(_MARK)
    sealed = content[max(end, 0) : -_DIGEST] == _MARK
    digest = hashlib.sha256(memoryview(content)[: max(end, 0)]).hexdigest()
    if sealed and content[-_DIGEST:] != digest.encode():
        raise Damaged(f"{path} is damaged: its checksum is wrong.")
    found = {"content": content, "record": None, "sealed": sealed, "groups": {}}
    try:
        with h5py.File(io.BytesIO(content)) as file:
            file.visititems(_check_finite_dataset)
            names = [_GENERATORS]
            if _RECORD in file:
                found["record"] = json.loads(file[_RECORD][()].tobytes())
                names = found["record"]["groups"]
            found["groups"] = {name: _arrays(file.get(name, {})) for name in names}
    except Damaged as error:
        raise Damaged(f"{path}: {error}") from error
    except Exception as error:
        # HDF5 has an error of its own for each kind of damage.
        raise Damaged(f"{path} is damaged: {error}") from error
    return found


def check_fits(found, path, model):
    """Refuse a checkpoint of another network or optimizer, before anything is restored."""
    if found["record"] is None:
        return
    for what, name in (("network", "model"), ("optimizer", "model.optimizer")):
        now = json.loads(json.dumps(_signature(model)))[what]
        if differences := list(_differences(found["record"][what], now)):
            raise ValueError(
                f"`{name}` must be the {what} of the checkpoint {path}. For another {what}, give a "
                f"new folder. Differences: {'; '.join(differences[:3])}"
            )


def restore(found, model):
    """Give a model and its optimizer the state of a checkpoint."""
    h5_files.load_weights(model, found["content"])
    states = _listed(found["groups"].get(_GENERATORS, {}))
    for variable, value in zip(generators(model), states, strict=False):
        variable.assign(value)


def metrics(found):
    """Return the state of the metrics as a list of arrays."""
    return _listed(found["groups"].get(_METRICS, {}))


def generators(model):
    """Return the states of a model's random generators: its variables that are no weights."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _numbered(variables):
    return {str(index): _numpy(variable) for index, variable in enumerate(variables)}


def _listed(arrays):
    return [arrays[str(index)] for index in range(len(arrays))]


def _arrays(group):
    return {name: group[name][()] for name in group}


def _numpy(variable):
    return keras.ops.convert_to_numpy(variable)


def _check_finite(model):
    for variable in [*model.weights, *model.optimizer.variables]:
        if keras.backend.is_float_dtype(variable.dtype) and not np.isfinite(_numpy(variable)).all():
            raise NotFinite(
                "`model` must have finite weights, and its optimizer a finite state. Received: "
                f"{variable.path} with values that are not finite. Earlier checkpoints are kept."
            )


def _check_finite_dataset(name, item):
    # Metrics may start at infinity.
    kind = getattr(getattr(item, "dtype", None), "kind", "")
    if kind == "f" and not name.startswith(f"{_METRICS}/") and not np.isfinite(item[()]).all():
        raise Damaged(f"{name} has values that are not finite.")


def _signature(model):
    """Return what tells the networks and optimizers of checkpoints apart, as JSON holds it."""
    layers = []
    for layer in _keras.all_layers(model):
        # The layers of models are looked at themselves.
        config = {} if isinstance(layer, keras.Model) else _config(layer)
        layers.append({"class": type(layer).__name__, "config": config})
    optimizer = model.optimizer
    return {
        "network": {"weights": _described(model.weights), "layers": layers},
        "optimizer": {
            "class": type(optimizer).__name__,
            "config": _without_rate(_config(optimizer)),
            "variables": _described(optimizer.variables),
        },
    }


def _described(variables):
    """Without their names, which count the layers that a process made before."""
    return [[list(v.shape), keras.backend.standardize_dtype(v.dtype)] for v in variables]


def _config(thing):
    """Return the configuration of a layer or an optimizer, or {} of one that has none in JSON."""
    try:
        text = json.dumps(thing.get_config(), default=keras.saving.serialize_keras_object)
    except (NotImplementedError, TypeError, ValueError):
        return {}
    return _stripped(json.loads(text))


def _stripped(value):
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    if not isinstance(value, dict):
        return value
    # The name of a policy of dtypes, such as "mixed_bfloat16", is more than a name.
    if set(value) == {"name"}:
        return value
    kept = {k: v for k, v in value.items() if k not in _IGNORED and not k.endswith("initializer")}
    return {k: _stripped(v) for k, v in kept.items()}


def _without_rate(value):
    """Callbacks change a learning rate that is a number; a schedule stays."""
    if not isinstance(value, dict):
        return value
    changing = isinstance(value.get("learning_rate"), float)
    return {
        k: _without_rate(v) for k, v in value.items() if not (changing and k == "learning_rate")
    }


def _differences(kept, now, place=""):
    """Where two signatures differ. What only one version of Keras knows is no difference."""
    if isinstance(kept, dict) and isinstance(now, dict):
        for key in kept:
            if key in now:
                yield from _differences(kept[key], now[key], f"{place}.{key}" if place else key)
    elif isinstance(kept, list) and isinstance(now, list) and len(kept) == len(now):
        for index, (one, other) in enumerate(zip(kept, now, strict=True)):
            yield from _differences(one, other, f"{place}[{index}]")
    elif isinstance(kept, list) and isinstance(now, list):
        yield f"{len(kept)} {place} in the checkpoint, {len(now)} here"
    elif kept != now:
        yield f"{place} is {kept!r} in the checkpoint, {now!r} here"
