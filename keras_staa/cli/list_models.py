"""`keras-staa list`: the zoo as a table."""

HELP = "List the trained networks."


def add_arguments(parser):
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args):
    import json

    from rich.table import Table

    from keras_staa import presets
    from keras_staa.cli import tables

    described = [presets.open_preset(name).as_dictionary() for name in presets.names()]
    if args.json:
        print(json.dumps(described, indent=2))
        return
    short = {}
    for alias, name in presets.aliases().items():
        short.setdefault(name, []).append(alias)
    table = Table("Name", "Alias", "Accuracy", "Steps", "Parameters", "MB")
    for preset in described:
        accuracy = preset["accuracy"]
        table.add_row(
            preset["name"],
            ", ".join(short.get(preset["name"], [])),
            f"{accuracy['value']:.2%}" if accuracy else "-",
            str(preset["steps"]),
            f"{preset['parameters']:,}",
            f"{preset['bytes'] / 1e6:.1f}",
        )
    tables.show(table)
