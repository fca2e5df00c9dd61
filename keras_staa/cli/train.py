"""`keras-staa train`: train a network by a recipe."""

import os

HELP = "Train a network by a recipe."


def add_arguments(parser):
    parser.add_argument("recipe", nargs="?", help="name of a recipe, or a .toml file")
    parser.add_argument("--out", help="folder of the run; by default runs/NAME")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="change a key of the recipe, such as optimizer.learning_rate=0.05",
    )
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"])
    parser.add_argument(
        "--devices", type=int, help="devices of this machine that share each batch (not on PyTorch)"
    )
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--cache-dir", help="folder for cached frames of event recordings")
    parser.add_argument("--import", dest="module", help="module that registers the network")
    parser.add_argument("--list", action="store_true", help="list the recipes and exit")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema and exit")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the recipe and what it takes, then exit"
    )


def run(args):
    if args.backend:
        os.environ["KERAS_BACKEND"] = args.backend
    from keras_staa import backends

    backends.check()
    import importlib
    import json
    import pathlib

    if args.module:
        importlib.import_module(args.module)
    from keras_staa import training

    if args.schema:
        print(json.dumps(training.json_schema(), indent=2))
        return
    if args.list:
        _list(training)
        return
    if args.recipe is None:
        raise ValueError(f"`recipe` must be one of {training.list_recipes()} or a .toml file.")
    recipe = training.load_recipe(args.recipe, args.changes)
    places = {"data_dir": args.data_dir, "cache_dir": args.cache_dir}
    if args.dry_run:
        _dry_run(recipe, places)
        return
    out = args.out or pathlib.Path("runs") / pathlib.Path(args.recipe).stem
    result = training.train(recipe, out, devices=args.devices, **places)
    print(f"{pathlib.Path(out) / result['preset']}: accuracy {result['accuracy']}")


def _list(training):
    from rich.table import Table

    from keras_staa.cli.tables import show

    table = Table("Recipe", "Title")
    for name in training.list_recipes():
        table.add_row(name, training.load_recipe(name).title)
    show(table)


def _dry_run(recipe, places):
    from keras_staa.training import build, cost
    from keras_staa.training.recipe import dump
    from keras_staa.training.run import sample_shape

    print(dump(recipe))
    samples = build.read(recipe, recipe.data.train, training=True, **places)
    names = build.class_names(recipe, samples, places["data_dir"])
    count = len(samples) * recipe.training.batch_size
    found = cost.estimate(recipe, sample_shape(samples), len(names), count)
    print(f"parameters: {found['parameters']:,}")
    print(f"operations a sample, forward and backward: {found['flops'] / 1e9:.2f} GFLOP")
    print(f"memory, at most about: {found['memory'] / 2**30:.1f} GiB")
    print(f"steps: {found['steps']:,}")
    print(f"hours on this machine, from one step: {found['hours']:.1f}")
