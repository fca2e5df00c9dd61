"""Kernels are checked against the plain equations, once in a process, before a device runs them.

The tests run kernels in interpreters; what a compiler makes of them on a device is seen there
alone. A kernel that fails is not used in this process any more: a warning says so, and the plain
form takes its place.
"""

import contextlib
import functools
import threading
import warnings
from concurrent import futures

import keras
import numpy as np

# Allowed differences, over the largest value of an output: one step between bfloat16 numbers.
TOLERANCE = 2.0**-7
# Seconds that a process whose kernel failed waits for what the others found.
PATIENCE = 300

# By backend, kernel, dtype and kind of device: what was wrong, or None.
_FOUND = {}
_LOCK = threading.Lock()
_THREAD = threading.local()


def trusted(kernel, held, x):
    """Return those of the kernels that are right on the devices of this process.

    A machine that this process has no device of keeps its kernel: programs for it are compiled
    here and run elsewhere.

    Args:
        kernel: string, `"neuron"` or `"summaries"`.
        held: dictionary from machines to kernels, as `kernels.of_neuron` returns it.
        x: tensor that the kernel is for.

    Returns:
        A dictionary with a part of `held`.

    Raises:
        RuntimeError: in a program that several processes run, if a kernel fails in some of them.
    """
    if not held:
        return held
    backend = keras.backend.backend()
    key = backend, kernel, keras.backend.standardize_dtype(x.dtype)
    faults = {
        machine: [_fault(key, machine, *one) for one in DEVICES[backend](machine, x)]
        for machine in held
    }
    return {machine: form for machine, form in held.items() if not any(faults[machine])}


def is_running():
    """Whether this thread makes a check, in which what is not a kernel is the plain form."""
    return getattr(_THREAD, "checks", False)


def _fault(key, machine, kind, device):
    """Return what is wrong with a kernel on a device, or None, and warn where it is found."""
    key = *key, kind
    if key in _FOUND:
        return _FOUND[key]
    with _LOCK:
        new = key not in _FOUND
        if new:
            backend, kernel, dtype, _ = key
            fault = _in_a_thread(kernel, machine, dtype, device)
            AGREE[backend](kernel, dtype, fault)
            _FOUND[key] = fault
    if new and _FOUND[key]:
        warnings.warn(
            f"The kernel {kernel!r} of keras_staa failed its check on {kind!r} in {dtype}: {fault} "
            "In this process the plain form is used in its place, which computes the same in more "
            "passes over memory.",
            stacklevel=2,
        )
    return _FOUND[key]


def _in_a_thread(kernel, machine, dtype, device):
    """Run a check where no program is being traced and no mode of a backend is set."""
    from keras_staa.ops.kernels import trials

    with futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(check, trials.TRIALS[kernel], machine, dtype, device).result()


def check(trials, machine, dtype, device):
    """Return what is wrong with a kernel on a device, as a sentence, or None.

    Args:
        trials: function `(machine, dtype)` that gives `Trial`s, as in `trials.TRIALS`.
        machine: string, of `kernels.MACHINES`.
        dtype: string, of the current.
        device: what the backend knows it by.
    """
    run = RUN[keras.backend.backend()]
    _THREAD.checks = True
    try:
        for trial in trials(machine, dtype):
            expected = run(trial.plain, trial.inputs, device)
            found = run(trial.kernel, trial.inputs, device)
            for name, values in expected.items():
                apart = _difference(found[name], values)
                # NaN is not below anything.
                if not apart <= TOLERANCE:
                    return (
                        f"{name} differs by {apart:.2g} of the largest value, and "
                        f"{TOLERANCE:.2g} is allowed."
                    )
    except Exception as error:
        text = (str(error).strip().splitlines() or [""])[0]
        return f"it raised {type(error).__name__}: {text[:300]}."
    finally:
        _THREAD.checks = False
    return None


def _difference(found, expected):
    found = np.reshape(found, expected.shape)
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


@functools.cache
def _jax_devices(machine):
    """Return a device of each kind that this process has."""
    import jax

    platform = {"triton": "cuda", "mosaic": "tpu"}[machine]
    try:
        found = jax.local_devices(backend=platform)
    except RuntimeError:
        return ()
    return tuple({device.device_kind: device for device in reversed(found)}.items())


def _torch_devices(machine, x):
    import torch

    # Nothing may be read back while a graph is recorded, which a call without a record precedes.
    if not x.is_cuda or torch.cuda.is_current_stream_capturing():
        return ()
    return ((_torch_kind(x.device), x.device),)


@functools.cache
def _torch_kind(device):
    import torch

    return torch.cuda.get_device_name(device)


def _run_jax(function, inputs, device):
    """Return what a function of tensors, by name, returns on a device, as arrays of NumPy."""
    import jax

    with jax.default_device(device), jax.default_matmul_precision("highest"):
        found = jax.jit(lambda given: function(**given))(jax.device_put(inputs, device))
        return jax.device_get(found)


def _run_torch(function, inputs, device):
    import torch

    # Another thread would run the gradient, and not as this one does.
    alone = torch.autograd.set_multithreading_enabled(False)
    here = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
    with here, alone, keras.device(str(device)):
        given = {name: torch.as_tensor(array, device=device) for name, array in inputs.items()}
        return {n: keras.ops.convert_to_numpy(x) for n, x in function(**given).items()}


def _agree_on_jax(kernel, dtype, fault):
    """Fail if other processes of one program use a kernel that failed here.

    Theirs would be another program, and each would wait for the other without end. A process whose
    kernel is right waits for none.
    """
    import jax

    if jax.process_count() == 1:
        return
    from jax._src import distributed

    client = distributed.global_state.client
    names = [f"keras_staa/kernels/{kernel}/{dtype}/{i}" for i in range(jax.process_count())]
    own = names.pop(jax.process_index())
    if client is not None:
        client.key_value_set(own, "failed" if fault else "passed", allow_overwrite=True)
    if not fault:
        return
    reason = "the others cannot be asked"
    if client is not None:
        try:
            said = [client.blocking_key_value_get(name, 1000 * PATIENCE) for name in names]
        except Exception as error:
            reason = f"the others do not say what they found ({type(error).__name__})"
        else:
            if "passed" not in said:
                return
            reason = "another process uses it"
    raise RuntimeError(
        f"The kernel {kernel!r} of keras_staa failed its check in process {jax.process_index()}, "
        f"and {reason}: {fault} All processes must run one program. Set KERAS_STAA_KERNELS=0 in "
        "the environment of all of them to use no kernels."
    )


DEVICES = {"jax": lambda machine, x: _jax_devices(machine), "torch": _torch_devices}
RUN = {"jax": _run_jax, "torch": _run_torch}
AGREE = {"jax": _agree_on_jax, "torch": lambda kernel, dtype, fault: None}
