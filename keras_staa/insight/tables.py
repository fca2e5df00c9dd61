"""A `Report` as tables of rich."""

from rich import box
from rich.table import Table

from keras_staa.insight.results import MEANS


def of_layers(report):
    """Return the table of the layers, the stages and the sum."""
    table = Table(
        title=f"{report.name}: {report.samples} samples, T = {report.steps}", box=box.SIMPLE
    )
    for name in ("layer", "input"):
        table.add_column(name, no_wrap=True)
    for name in (
        "neurons",
        "firing rate",
        "silent",
        "saturated",
        "additions, M",
        "MACs, M",
        "energy, mJ",
        "ReLU, mJ",
    ):
        table.add_column(name, justify="right")
    for layer in report.layers:
        table.add_row(*_cells(layer))
    stages = report.stages()
    if stages:
        table.add_section()
        for stage in stages:
            table.add_row(*_cells(stage))
    table.add_section()
    table.add_row(*_cells(report))
    return table


def _cells(row):
    spiking = row.neurons > 0
    return (
        row.name,
        getattr(row, "input", None) or "",
        str(row.neurons) if spiking else "",
        *(f"{getattr(row, name):.2%}" if spiking else "" for name in MEANS),
        _millions(row.sops + row.additions),
        _millions(row.macs),
        f"{row.energy:.6f}" if row.energy else "",
        f"{row.relu_energy:.6f}" if row.relu_energy else "",
    )


def _millions(number):
    return f"{number / 1e6:.3f}" if number else ""


def summary(report):
    """Return the sentences below the table."""
    costs = report.costs
    prices = f"{costs.mac:g} pJ a multiplication and addition and {costs.ac:g} pJ an addition"
    if costs.memory:
        prices += f" and {costs.byte:g} pJ a byte read or written"
    lines = [
        f"{report.energy:.6f} mJ a sample, {report.ratio:.2f} of the {report.relu_energy:.6f} mJ "
        f"of the ReLU network, at {prices}."
    ]
    if report.ratio > 1:
        lines.append("The spiking network takes more energy than the ReLU network.")
    if not costs.memory:
        lines.append("Reading and writing memory is not counted: memory=True counts it.")
    if report.uncounted:
        lines.append(f"Not counted: {', '.join(report.uncounted)}.")
    return "\n".join(lines)
