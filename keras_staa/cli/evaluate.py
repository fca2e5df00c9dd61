"""`keras-staa evaluate`: the accuracy of a trained network on a data set."""

HELP = "Measure the accuracy of a trained network."


def add_arguments(parser, source="data set, folder or file; by default that of the training"):
    parser.add_argument("model", help="name, alias, folder or address of a preset")
    parser.add_argument("--data", metavar="SOURCE", help=source)
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--cache-dir", help="folder for cached frames of event recordings")
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--split", help="by default the one that the accuracy is stated for")
    parser.add_argument("--by-class", action="store_true", help="print the accuracy of each class")


def run(args):
    from keras_staa.cli import backend

    backend.choose(args.backend)
    import keras

    from keras_staa import zoo

    found = zoo.evaluate(args.model, args.data, args.split, **places(args))
    if args.by_class:
        _show_classes(found)
    print(
        f"{found.name} on {keras.backend.backend()}: {found.accuracy:.2%} of {found.samples} "
        "samples"
    )


def places(args):
    """Return what the functions of the zoo are given of the arguments."""
    return {name: getattr(args, name) for name in ("data_dir", "cache_dir", "batch_size")}


def _show_classes(found):
    from rich.table import Table

    from keras_staa.cli import tables

    table = Table("Class", "Samples", "Accuracy", "Most often taken for")
    for name, row, label in zip(found.class_names, found.confusion, range(999), strict=False):
        others = row.copy()
        others[label] = 0
        other = found.class_names[others.argmax()] if others.any() else ""
        share = f"{row[label] / row.sum():.2%}" if row.any() else ""
        table.add_row(name, str(row.sum()), share, other)
    tables.show(table)
