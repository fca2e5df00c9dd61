"""GPUs that need not be there, described for XLA's compiler, with JAX and its plugin for CUDA."""

import importlib.util
import os

PLUGIN = "jax_cuda13_plugin"
INSTALL = "pip install --no-deps jax-cuda13-plugin jax-cuda13-pjrt, in JAX's version"

# What NVIDIA publishes of these: sizes in bytes, bandwidth in bytes a second.
_COMMON = {
    "threads_per_block_limit": 1024,
    "threads_per_warp": 32,
    "shared_memory_per_block": 49152,
    "threads_per_core_limit": 2048,
    "block_dim_limit_x": 2147483647,
    "block_dim_limit_y": 65535,
    "block_dim_limit_z": 65535,
    "registers_per_core_limit": 65536,
    "registers_per_block_limit": 65536,
}
_CHIPS = {
    "h100": (
        "NVIDIA H100 80GB HBM3",
        (9, 0),
        {
            "core_count": 132,
            "fpus_per_core": 128,
            "shared_memory_per_core": 233472,
            "shared_memory_per_block_optin": 232448,
            "memory_bandwidth": 3352320000000,
            "l2_cache_size": 52428800,
            "clock_rate_ghz": 1.98,
            "device_memory_size": 84978434048,
        },
    ),
    "a100": (
        "NVIDIA A100-SXM4-40GB",
        (8, 0),
        {
            "core_count": 108,
            "fpus_per_core": 64,
            "shared_memory_per_core": 167936,
            "shared_memory_per_block_optin": 166912,
            "memory_bandwidth": 1555200000000,
            "l2_cache_size": 41943040,
            "clock_rate_ghz": 1.41,
            "device_memory_size": 42331013120,
        },
    ),
}
NAMES = tuple(_CHIPS)


def devices(name):
    """Return the devices of a machine with GPUs, for compilation alone.

    Args:
        name: string, such as `"h100:1"` or `"a100:8"`: the chip and how many.

    Returns:
        A list of JAX's devices.

    Raises:
        ImportError: if JAX's plugin for CUDA is not installed.
        RuntimeError: if JAX did not load it.
        ValueError: if there is no such chip.
    """
    chip, _, count = name.partition(":")
    if chip not in _CHIPS or not (count or "1").isdigit() or int(count or 1) < 1:
        raise ValueError(
            f"`topology` must be such as 'h100:1', of {', '.join(NAMES)}. Received: {name!r}"
        )
    _find_compiler()
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(
            platform="cuda",
            topology_name="",
            topology=f"1x1x{int(count or 1)}",
            target_config=target(chip),
        ).devices
    except NotImplementedError as error:
        # Where it finds no GPU it loads for JAX on a CPU alone.
        raise RuntimeError(
            "JAX did not load its plugin for CUDA. Where there is no GPU, set JAX_PLATFORMS=cpu "
            f"before Python starts. Received: JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS')!r}"
        ) from error


def target(chip):
    """Return the description of a chip, as the text that XLA reads."""
    name, (major, minor), numbers = _CHIPS[chip]
    parts = " ".join(f"{key}: {value}" for key, value in {**_COMMON, **numbers}.items())
    capability = f"cuda_compute_capability {{ major: {major} minor: {minor} }}"
    return (
        f"gpu_device_info {{ {parts} {capability} }} "
        f'platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 8 }} '
        f'device_description_str: "{name}"'
    )


def _find_compiler():
    """Let JAX find its plugin for CUDA, as it does when it starts."""
    if importlib.util.find_spec(PLUGIN) is None:
        raise ImportError(f"Programs for GPUs are compiled by JAX's plugin for CUDA: {INSTALL}.")
    # Without a GPU there is none to try variants of a kernel on.
    flag = "--xla_gpu_autotune_level=0"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    import jax

    jax.devices()
