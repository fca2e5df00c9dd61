"""The states of the random generators that belong to no network, as arrays."""

import json
import random

import keras
import numpy as np


def of_data():
    """Those that batches and their order are drawn from: Python's and NumPy's.

    Returns:
        A dictionary of arrays.
    """
    version, numbers, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state()
    return {
        "python": _bytes([version, list(numbers), gauss]),
        "numpy": _bytes([kind, keys.tolist(), *rest]),
    }


def of_backend():
    """Those that PyTorch draws from, which are of the data and of layers such as dropout.

    Returns:
        A dictionary of arrays, an empty one on other backends.
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return {f"torch_{place}": state.numpy() for place, state in enumerate(states)}


def restore(states):
    """Set what these functions returned."""
    if "python" in states:
        version, numbers, gauss = _parsed(states["python"])
        random.setstate((version, tuple(numbers), gauss))
    if "numpy" in states:
        kind, keys, *rest = _parsed(states["numpy"])
        np.random.set_state((kind, np.array(keys, "uint32"), *rest))
    if keras.backend.backend() != "torch":
        return
    import torch

    for name, state in states.items():
        if name == "torch_0":
            torch.set_rng_state(torch.from_numpy(state))
        elif name.startswith("torch_") and int(name[6:]) <= torch.cuda.device_count():
            torch.cuda.set_rng_state(torch.from_numpy(state), int(name[6:]) - 1)


def _bytes(value):
    return np.frombuffer(json.dumps(value).encode(), "uint8")


def _parsed(array):
    return json.loads(array.tobytes())
