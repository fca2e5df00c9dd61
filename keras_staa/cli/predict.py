"""`keras-staa predict`: classify pictures."""

import importlib
import sys

HELP = "Classify pictures with a trained network."
# So many pictures are in memory at once.
CHUNK = 256


def add_arguments(parser):
    parser.add_argument("pictures", nargs="+", help="image files, or folders of them")
    parser.add_argument("--model", default="cifar10", help="name, alias or folder of a preset")
    parser.add_argument("--import", dest="module", help="module that registers the network")
    parser.add_argument("--top", type=int, default=3, help="how many classes to print")


def run(args):
    from rich.table import Table

    from keras_staa import backends, presets
    from keras_staa.cli import pictures, tables
    from keras_staa.pictures import pillow

    pillow()
    preset = presets.open_preset(args.model)
    backends.check()
    if args.module:
        importlib.import_module(args.module)
    from keras_staa import checks, image_utils, zoo

    top = checks.positive_int("top", args.top)
    model = zoo.load(args.model)
    if len(model.input_shape) != 4 or model.input_shape[-1] not in (1, 3):
        raise ValueError(
            "`model` must be a network for grayscale or RGB images. "
            f"Received: model={args.model!r}, input_shape={model.input_shape}"
        )
    if None in model.input_shape[1:]:
        raise ValueError(
            "`model` must be a network for images of a fixed size. "
            f"Received: model={args.model!r}, input_shape={model.input_shape}"
        )
    paths, errors = pictures.find(args.pictures)
    table = Table("Picture", "Class", "Probability")
    for chunk in _chunks(paths, model.input_shape[1:], errors):
        names, arrays = zip(*chunk, strict=True)
        outputs = model.predict(image_utils.preprocess_input(arrays), verbose=0)
        named = image_utils.decode_predictions(
            _probabilities(outputs, preset.arguments), top, preset.class_names
        )
        for path, best in zip(names, named, strict=True):
            for place, (_, name, probability) in enumerate(best):
                table.add_row(path if place == 0 else "", name, f"{probability:.3f}")
    if table.row_count:
        tables.show(table)
    for error in errors:
        print("keras-staa predict:", *str(error).split(), file=sys.stderr)
    return 1 if errors else 0


def _chunks(paths, shape, errors):
    """Yield lists of pairs of path and picture; append what cannot be read to `errors`."""
    from keras_staa.cli import pictures

    chunk = []
    for path in paths:
        try:
            chunk.append((path, pictures.read(path, shape)))
        except ValueError as error:
            errors.append(error)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _probabilities(outputs, arguments):
    """Return what a network says, as probabilities (B, classes), whatever its read-out."""
    import keras

    if arguments.get("step_logits"):
        outputs = outputs.mean(axis=1)
    elif arguments.get("classifier_activation", "softmax") is not None:
        return outputs
    return keras.ops.convert_to_numpy(keras.ops.softmax(outputs, axis=-1))
