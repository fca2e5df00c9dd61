"""What the kernels for PyTorch read and write on a GPU of NVIDIA, by their compiler alone.

    KERAS_BACKEND=torch python benchmarks/triton_kernels.py

No GPU is needed, but Triton: `pip install triton`. Each kernel is compiled for a GPU and currents
(64, T, 32, 32, 128) of bfloat16. "reads" and "writes" are its loads and stores over those of one
pass over the current, without the position encoding, which all samples share.
"spilled" are bytes of each thread that do not fit into registers.
"""

import argparse
import math
import os
import re
import subprocess
import tempfile
from pathlib import Path

os.environ.pop("TRITON_INTERPRET", None)

import torch
import triton
from rich import box
from rich.console import Console
from rich.table import Table
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from keras_staa import surrogates
from keras_staa.ops import Leaky
from keras_staa.ops.inputs import Inputs
from keras_staa.ops.kernels.torch import launch, neuron, summaries

TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
CAPABILITIES = {"a100": 80, "h100": 90}
TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.float16: "*fp16"}
SHAPE = 64, 1024, 128


def calls(steps, encoded=True):
    """Return each kernel with what it is started with, without starting any.

    Args:
        steps: positive integer, T.
        encoded: whether there is a position encoding.
    """
    batch, places, channels = SHAPE

    def empty(*shape, dtype=torch.float32):
        return torch.empty(shape, dtype=dtype, device="meta")

    found, run = [], launch.run
    launch.run = lambda kernel, grid, *arguments, **constants: found.append(
        (kernel, grid, arguments, constants)
    )
    x = empty(batch, steps, places, channels, dtype=torch.bfloat16)
    encoding, keep = (x[0], empty(batch, steps)) if encoded else (None, None)
    of_channels, gate = empty(channels), empty(batch, steps, channels)
    dynamics = Leaky(surrogates.Rectangular())
    inputs = {
        "LIF": Inputs(x, 0.25, 1.0),
        "LIF, M and N learned": Inputs(x, of_channels, of_channels),
        "LIF behind an aggregator": Inputs(x, of_channels, gate, encoding, keep),
    }
    attention, mean = empty(batch, steps, places), empty(batch, steps, channels)
    try:
        for a in inputs.values():
            neuron.forward(dynamics, a)
            neuron.backward(dynamics, a, x)
        query = x[0, 0, 0]
        summaries.forward(x, query, encoding)
        summaries.backward(x, x, attention, gate, gate, mean, query, encoding, keep)
    finally:
        launch.run = run
    names = [*inputs, "means of an aggregator"]
    return dict(zip([n + more for n in names for more in ("", ", gradient")], found, strict=True))


def compiled(kernel, arguments, constants, capability):
    """Compile a kernel for a GPU."""
    signature, attributes, fixed = {}, {}, dict(constants)
    for place, (name, value) in enumerate(zip(kernel.arg_names, arguments, strict=False)):
        if value is None:
            fixed[name] = None
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            signature[name] = TYPES[value.dtype]
            attributes[(place,)] = [["tt.divisibility", 16]]
    signature |= dict.fromkeys(fixed, "constexpr")
    signature = {name: signature[name] for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed, attrs=attributes)
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options={"num_warps": launch.WARPS})


def resources(binary):
    """Return registers and bytes of stack of a thread."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(binary)
        command = [TOOLS / "cuobjdump", "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack, local = (
        int(re.search(rf"{name}:(\d+)", text)[1]) for name in ("REG", "STACK", "LOCAL")
    )
    return registers, stack + local


def passes(program, constants, gradient):
    """Return how often a program reads and writes as much as the current is."""
    numbers = constants["ROWS"] * constants["COLUMNS"] // (32 * launch.WARPS)
    width = {2: "b32", 8: "v4.b32"}[numbers]
    counts = [program.count(f"{what}.global.{width} ") for what in ("ld", "st")]
    if "KIND" not in constants:
        return counts
    steps = constants["STEPS"]
    # Coefficients and their sums are float32, one number for each thread.
    own = (0, 2, 1 + steps)[constants["KIND"]] if width == "b32" else 0
    return (counts[0] - own) / steps, (counts[1] - own * gradient) / steps


def row(gpu, name, steps):
    """Return a row of the table, as a dictionary."""
    kernel, grid, arguments, constants = calls(steps)[name]
    made = compiled(kernel, arguments, constants, CAPABILITIES[gpu])
    alone = calls(steps, encoded=False)[name]
    text = compiled(alone[0], *alone[2:], CAPABILITIES[gpu]).asm["ptx"]
    reads, writes = passes(text, constants, "gradient" in name)
    registers, spilled = resources(made.asm["cubin"])
    return {
        "GPU": gpu,
        "kernel": name,
        "T": steps,
        "reads": f"{reads:.1f}",
        "writes": f"{writes:.1f}",
        "registers": registers,
        "spilled": spilled,
        "programs": math.prod(grid),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", nargs="+", choices=CAPABILITIES, default=CAPABILITIES)
    parser.add_argument("--steps", nargs="+", type=int, default=(1, 4, 16))
    args = parser.parse_args()
    found = [row(gpu, name, t) for gpu in args.gpus for t in args.steps for name in calls(t)]
    table = Table(*found[0], box=box.MARKDOWN)
    for one in found:
        table.add_row(*map(str, one.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
