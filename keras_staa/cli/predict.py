"""`keras-staa predict`: classify pictures."""

HELP = "Classify pictures with a trained network."


def add_arguments(parser):
    parser.add_argument("pictures", nargs="+", help="image files")
    parser.add_argument("--model", default="cifar10", help="name, alias or folder of a preset")
    parser.add_argument("--top", type=int, default=3, help="how many classes to print")


def run(args):
    import keras
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from keras_staa import checks, zoo

    top = min(checks.positive_int("top", args.top), zoo.describe(args.model)["classes"])
    names = zoo.describe(args.model)["class_names"]
    model = zoo.load(args.model)
    if len(model.input_shape) != 4:
        raise ValueError(
            "`model` must take images; this one takes frames of an event camera. "
            f"Received: model={args.model!r}, input_shape={model.input_shape}"
        )
    size = model.input_shape[1:3]
    # The square in the middle, as the network was trained on square pictures of one thing.
    pictures = [
        keras.utils.img_to_array(
            keras.utils.load_img(
                path, target_size=size, interpolation="lanczos", keep_aspect_ratio=True
            )
        )
        for path in args.pictures
    ]
    probabilities = model.predict(np.stack(pictures) / 255.0, verbose=0)
    table = Table("Picture", "Class", "Probability")
    for path, row in zip(args.pictures, probabilities, strict=True):
        for place, index in enumerate(np.argsort(-row)[:top]):
            table.add_row(path if place == 0 else "", names[index], f"{row[index]:.3f}")
    Console().print(table)
