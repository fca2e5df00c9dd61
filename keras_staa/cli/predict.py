"""`keras-staa predict`: classify pictures."""

HELP = "Classify pictures with a trained network."


def add_arguments(parser):
    parser.add_argument("pictures", nargs="+", help="image files")
    parser.add_argument("--model", default="cifar10", help="name, alias or folder of a preset")
    parser.add_argument("--top", type=int, default=3, help="how many classes to print")


def run(args):
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from keras_staa import checks, zoo

    preset = zoo.describe(args.model)
    top = min(checks.positive_int("top", args.top), preset["classes"])
    model = zoo.load(args.model)
    if len(model.input_shape) != 4 or model.input_shape[-1] not in (1, 3):
        raise ValueError(
            "`model` must take grey or RGB images, not frames of an event camera or the like. "
            f"Received: model={args.model!r}, input_shape={model.input_shape}"
        )
    images = np.stack([_read(path, model.input_shape[1:]) for path in args.pictures])
    probabilities = _probabilities(model.predict(images, verbose=0), preset["arguments"])
    table = Table("Picture", "Class", "Probability")
    for path, row in zip(args.pictures, probabilities, strict=True):
        for place, index in enumerate(np.argsort(-row)[:top]):
            name = preset["class_names"][index]
            table.add_row(path if place == 0 else "", name, f"{row[index]:.3f}")
    Console(markup=False).print(table)


def _read(path, shape):
    """The square in the middle, as the networks were trained on square pictures of one thing."""
    import keras

    try:
        picture = keras.utils.load_img(
            path,
            color_mode="grayscale" if shape[-1] == 1 else "rgb",
            target_size=shape[:2],
            interpolation="lanczos",
            keep_aspect_ratio=True,
        )
    except OSError as error:
        reason = (
            "is missing" if isinstance(error, FileNotFoundError) else f"is unreadable ({error})"
        )
        raise ValueError(
            f"`pictures` must be image files. Received: {path!r}, which {reason}"
        ) from error
    return keras.utils.img_to_array(picture) / 255.0


def _probabilities(outputs, arguments):
    """What a network says, as probabilities (B, classes), whatever its read-out."""
    import keras

    if arguments.get("step_logits"):
        outputs = outputs.mean(axis=1)
    elif arguments.get("classifier_activation", "softmax") is not None:
        return outputs
    return keras.ops.convert_to_numpy(keras.ops.softmax(outputs, axis=-1))
