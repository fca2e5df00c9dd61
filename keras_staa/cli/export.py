"""`keras-staa export`: a trained network as a file for another runtime."""

import importlib.util
import os

HELP = "Write a trained network for another runtime, and run it there."


def add_arguments(parser):
    from keras_staa.exporting import FORMATS

    parser.add_argument("model", help="name, alias, folder or address of a preset")
    parser.add_argument("path", help="of the file, or of the folder for tf_saved_model")
    parser.add_argument("--format", choices=FORMATS, default="onnx")
    parser.add_argument("--dtype", choices=["float32", "float16", "int8"], default="float32")
    parser.add_argument("--steps", type=int, help="time steps, by default those of the preset")
    parser.add_argument("--data", metavar="SOURCE", help="samples to compare: data set or folder")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--cache-dir", help="folder for cached frames of event recordings")
    parser.add_argument("--split", help="by default the one that the accuracy is stated for")
    parser.add_argument(
        "--samples", type=int, default=100, help="how many of its samples to compare"
    )
    parser.add_argument("--at-least", type=float, default=0.95, help="share of equal classes")
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"])


def run(args):
    from keras_staa.cli import backend
    from keras_staa.exporting import FORMATS

    able = FORMATS[args.format].BACKENDS
    installed = [name for name in able if importlib.util.find_spec(name)]
    chosen = args.backend or os.environ.get("KERAS_BACKEND")
    backend.choose(chosen or (installed or able)[0])
    import keras

    from keras_staa import checks, zoo
    from keras_staa.exporting.writing import export

    checks.positive_int("samples", args.samples)
    arguments = {} if args.steps is None else {"steps": args.steps}
    model = zoo.load(args.model, step_logits=False, **arguments)
    samples = _samples(args) if args.data or args.data_dir else None
    found = export(model, args.path, args.format, args.dtype, samples, args.at_least)
    print(
        f"{found.path}: {found.bytes / 1e6:.1f} MB, the same class as on "
        f"{keras.backend.backend()} for {found.same} of {found.samples} samples, "
        f"{found.milliseconds:.1f} ms a sample"
    )


def _samples(args):
    from keras_staa import presets
    from keras_staa.data.batches import first_inputs
    from keras_staa.zoo.measuring import read_samples

    preset = presets.open_preset(args.model)
    size = min(args.samples, 128)
    places = args.data_dir, args.cache_dir
    return first_inputs(read_samples(preset, args.data, args.split, *places, size), args.samples)
