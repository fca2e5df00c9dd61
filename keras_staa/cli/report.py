"""`keras-staa report`: pages that show what a trained network does."""

HELP = "Write a page of HTML about a trained network."


def add_arguments(parser):
    parser.add_argument("models", nargs="*", help="names, aliases or folders of presets")
    parser.add_argument("--all", action="store_true", help="every published network")
    parser.add_argument(
        "--out",
        required=True,
        help="an .html file for one network, or a folder for a page of each and an index",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]SOURCE",
        help="data set, file or folder; with NAME= for the networks of this data set. Without it "
        "and without --data-dir, freely licensed pictures of scikit-image",
    )
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--cache-dir", help="folder for cached frames of event recordings")
    parser.add_argument("--samples", type=int, default=500, help="how many samples are used")
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"])


def run(args):
    from keras_staa import presets
    from keras_staa.cli import backend

    names = presets.names() if args.all else args.models
    if not names or (args.all and args.models):
        raise ValueError("`models` must be given, or --all and no names.")
    described = [presets.open_preset(name) for name in names]
    backend.choose(args.backend)
    from keras_staa.pages import look_at, write_gallery, write_page
    from keras_staa.pages.writing import checked

    single = args.out.lower().endswith((".html", ".htm"))
    if single:
        if len(names) > 1:
            raise ValueError("`out` must be a folder for several networks.")
        checked(args.out)
    by_name = dict(source.split("=", 1) for source in args.data if "=" in source)
    plain = next((source for source in args.data if "=" not in source), None)
    places = {"data_dir": args.data_dir, "cache_dir": args.cache_dir}
    every = []
    for name, preset in zip(names, described, strict=True):
        print(preset.name, flush=True)
        source = by_name.get(preset.data_set, plain)
        every.append(look_at(name, source, args.samples, **places))
    if single:
        write_page(every[0], args.out)
    else:
        write_gallery(every, args.out)
    print(args.out)
