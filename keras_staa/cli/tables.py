"""Tables that cut nothing."""


def show(table):
    """Print a table of rich at its own width: narrow terminals break lines, but lose nothing."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(markup=False)
    unbounded = console.options.update(max_width=10**6)
    console.width = max(console.width, Measurement.get(console, unbounded, table).maximum)
    console.print(table)
