"""`keras-staa train`: train a network by a recipe."""

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
        "--devices",
        type=int,
        help="devices of this machine that share each batch; on PyTorch each has its own process",
    )
    parser.add_argument(
        "--split-read-out",
        action="store_true",
        help="each of the devices holds the read-out of its part of the classes alone (JAX)",
    )
    parser.add_argument(
        "--processes", type=int, help="processes that train one network (not on TensorFlow)"
    )
    parser.add_argument(
        "--process",
        type=int,
        help="which of them this is, from 0; without it all are started on this machine",
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="address of the process 0")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--cache-dir", help="folder for cached frames of event recordings")
    parser.add_argument("--import", dest="module", help="module that registers the network")
    parser.add_argument("--list", action="store_true", help="list the recipes and exit")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema and exit")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the recipe and what it takes, then exit"
    )
    parser.add_argument(
        "--topology",
        help="with --dry-run: TPUs such as v5e:4x4, or GPUs such as h100:8, for which the training "
        "step is compiled",
    )


def run(args):
    from keras_staa.cli import backend

    backend.choose(args.backend)
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
        if args.split_read_out:
            raise ValueError("`split_read_out` must not be given with --dry-run.")
        _dry_run(recipe, places, args.topology)
        return
    if args.topology is not None:
        raise ValueError("`topology` must be given with --dry-run, and not without it.")
    from keras_staa.training import devices, processes

    group = training.Group()
    args.devices, args.processes = devices.of_devices(args.devices, args.processes)
    if args.processes is not None:
        if args.process is None:
            _launch(args.processes)
            return
        processes.end_with_launcher()
        group = training.connect(args.coordinator, args.processes, args.process)
    out = args.out or pathlib.Path("runs") / pathlib.Path(args.recipe).stem
    how = {"devices": args.devices, "split_read_out": args.split_read_out, "group": group}
    result = training.train(recipe, out, **how, **places)
    if result is not None:
        print(f"{pathlib.Path(out) / result['preset']}: accuracy {result['accuracy']}")


def _launch(count):
    import sys

    from keras_staa.training import processes

    fault = processes.launch([sys.executable, "-m", "keras_staa", *sys.argv[1:]], count)
    if fault is not None:
        raise ChildProcessError(
            f"{fault}. The others were stopped. Run the same command again to resume from the last "
            "checkpoint."
        )


def _list(training):
    from rich.table import Table

    from keras_staa.cli.tables import show

    table = Table("Recipe", "Title")
    for name in training.list_recipes():
        table.add_row(name, training.load_recipe(name).title)
    show(table)


def _dry_run(recipe, places, topology):
    from keras_staa.training.recipe import dump, stages_of

    print(dump(recipe))
    stages = stages_of(recipe)
    for number, stage in enumerate(stages, start=1):
        if len(stages) > 1:
            print(f"Stage {number}")
        _print_cost(stage, places, topology)


def _print_cost(recipe, places, topology):
    from keras_staa import training
    from keras_staa.training import build, cost
    from keras_staa.training.run import sample_shape

    samples = build.read(recipe, recipe.data.train, training=True, **places)
    names = build.class_names(recipe, samples, places["data_dir"])
    count = len(samples) * recipe.training.batch_size
    _, shape = build.layers_in_step(recipe, sample_shape(samples))
    found = cost.estimate(recipe, shape, len(names), count, timed=topology is None)
    print(f"parameters: {found['parameters']:,}")
    print(f"operations a sample, forward and backward: {found['flops'] / 1e9:.2f} GFLOP")
    print(f"memory, at most about: {found['memory'] / 2**30:.1f} GiB")
    print(f"steps: {found['steps']:,}")
    if topology is None:
        print(f"hours on this machine, from one step: {found['hours']:.1f}")
        return
    step = training.topology.describe_recipe(recipe, topology, shape, len(names))
    print(f"chips: {step['chips']}, samples on each: {step['batch']}")
    print(f"memory of a chip: {step['memory'] / 1e9:.2f} GB")
    print(f"operations of a chip in a step: {step['flops'] / 1e12:.2f} TFLOP")
    print(f"exchanged between chips: {step['collectives'] or 'nothing'}")
