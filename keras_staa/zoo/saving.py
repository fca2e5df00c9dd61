"""Write a network as a preset."""

import io
import pathlib
import shutil

import keras

from keras_staa import checks, files, h5_files, presets, serialized
from keras_staa.models.format import FORMAT
from keras_staa.models.pretrained import parameters
from keras_staa.new_folder import new_folder
from keras_staa.presets import weight_files
from keras_staa.zoo.origin import factory_network


def save(
    model,
    folder,
    *,
    data_set,
    class_names,
    accuracy=None,
    training=None,
    licence="Apache-2.0",
    history=None,
    text="",
    dtype="float16",
):
    """Write a network of this library's factories as a preset that `load` reads.

    The folder appears whole or not at all. Its name is the name of the preset.

    Args:
        model: a network that a factory or `load` returned, such a network copied by
            `keras.models.clone_model` or read from a `.keras` file, or one without its top
            (`include_top=False, pooling="avg"`) with Dropout and a Dense layer on it.
        folder: path of the new folder. A name that `load` takes for a preset of this library is
            refused.
        data_set: string, what the network was trained on.
        class_names: list of strings, one for each class.
        accuracy: None, or a dictionary with `value` in [0, 1], `split`, `images` (how many) and
            `measured` (the command).
        training: None or a dictionary of what another would need to train it again: recipe, seed.
        licence: string, of the weights.
        history: None or the path of the `history.csv` of the training.
        text: string, Markdown for the card.
        dtype: `"float16"` or `"float32"`, of the stored weights; loaded they are float32.

    Returns:
        The path of the folder.

    Raises:
        ValueError: if the model is not one of a factory, the folder exists or has the name of a
            preset of this library, or what is said of the network does not fit it.
        OSError: if the folder cannot be written, as on a full disk. Nothing is left of it then.

    Example:

    ```python
    model = keras_staa.STAAResNet19(weights="cifar10", classes=2)
    ...
    keras_staa.zoo.save(model, "cats", data_set="my photographs", class_names=["cat", "other"])
    keras_staa.zoo.load("cats")
    ```
    """
    folder = pathlib.Path(folder)
    architecture, arguments, network = factory_network(model)
    arguments = serialized.plain(arguments)
    checks.choice("dtype", dtype, ("float16", "float32"))
    if len(class_names) != arguments["classes"]:
        raise ValueError(
            f"`class_names` must hold one name for each of the {arguments['classes']} classes. "
            f"Received: class_names={list(class_names)}"
        )
    if known := presets.known_as(str(folder)):
        raise ValueError(
            f"`folder` must not be the name of a preset of this library, {known}, which `load` "
            f"could not tell from it. Received: folder={str(folder)!r}"
        )
    with new_folder(folder) as partial:
        weights = partial / presets.WEIGHTS
        write_weights(network, weights, dtype)
        preset = presets.description_class()(
            format=FORMAT,
            name=folder.name,
            architecture=architecture,
            arguments=arguments,
            data_set=data_set,
            classes=arguments["classes"],
            class_names=list(class_names),
            steps=arguments["steps"],
            parameters=parameters(network),
            accuracy=accuracy,
            training=training or {},
            licence=licence,
            sha256=files.sha256(weights),
            bytes=weights.stat().st_size,
            weights_dtype=dtype,
            keras_version=keras.__version__,
        )
        (partial / presets.DESCRIPTION).write_text(preset.model_dump_json(indent=2) + "\n", "utf-8")
        (partial / presets.CARD).write_text(_card(preset, text), "utf-8")
        if history is not None:
            shutil.copyfile(history, partial / presets.HISTORY)
    return folder


def write_weights(model, path, dtype):
    """Write a `.weights.h5` file whose floating-point numbers are of the given dtype, compressed.

    Args:
        model: a `keras.Model`.
        path: of the file, which ends in `.weights.h5`.
        dtype: `"float16"` or `"float32"`.

    Raises:
        ValueError: if a weight is too large for float16.
        OSError: if the file cannot be written, as on a full disk. None is left then.
    """
    packed = io.BytesIO()
    weight_files.rewrite(h5_files.weights(model), packed, dtype)
    files.write(path, packed.getbuffer())


def _list(items, indent=""):
    lines = []
    for name, value in items.items():
        nested = isinstance(value, dict)
        lines.append(f"{indent}- {name}:" if nested else f"{indent}- {name}: {value}")
        lines += _list(value, indent + "  ") if nested else []
    return lines


def _card(preset, text):
    lines = [f"# {preset.name}", "", f"{preset.architecture} for {preset.data_set}."]
    if preset.accuracy:
        shape = preset.arguments["input_shape"]
        unit = "samples" if shape and len(shape) == 4 else "images"
        lines += [
            "",
            f"Accuracy: {preset.accuracy.value:.2%} on {preset.accuracy.images} {unit} "
            f"({preset.accuracy.split}), measured with `{preset.accuracy.measured}`.",
        ]
    lines += ["", f"Time steps: {preset.steps}. Trainable parameters: {preset.parameters}."]
    if preset.training:
        lines += ["", "Training:", "", *_list(preset.training)]
    lines += ["", f"License of the weights: {preset.licence}.", ""]
    return "\n".join(lines) + (f"\n{text.strip()}\n" if text.strip() else "")
