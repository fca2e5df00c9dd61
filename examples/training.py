"""What the training scripts share: arguments, optimizer, `fit` with checkpoints, and the preset."""

import argparse
import json
import pathlib
import shlex
import sys
import tempfile

import keras
import numpy as np

import keras_staa
from keras_staa.training.publishing import preset_name


def parser(description, **defaults):
    """Return the arguments of every training, with the defaults of this one."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the run")
    parser.add_argument("--architecture", default="STAAVGG")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="time steps T")
    parser.add_argument("--no-attention", dest="attention", action="store_false")
    parser.add_argument("--neuron", type=json.loads, help="arguments of LIF, in JSON")
    parser.add_argument("--weights", help="preset to start from, with any number of time steps")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument(
        "--learning-rate", type=float, default=0.2, help="peak of the learning rate"
    )
    parser.add_argument("--weight-decay", type=float, default=5e-3, help="decoupled weight decay")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--augment", default="standard", help="augmentation policy")
    parser.add_argument("--policy", default="float32", help="dtype policy, such as mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=1)
    parser.set_defaults(**defaults)
    return parser


def image_arguments(parser):
    """Return the arguments of a training on a file of images."""
    parser.add_argument("--npz", required=True, help="file of images and labels")
    parser.add_argument("--data-set", default="cifar10")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets, for class names")


def channel_statistics(images):
    """Mean and deviation of each channel of uint8 images scaled to [0, 1]: the `normalization`."""
    pixels = images.reshape(-1, images.shape[-1]) / 255.0
    return list(zip(pixels.mean(0).tolist(), pixels.std(0).tolist(), strict=True))


def begin(args):
    """Prepare the folder of the run and the seeds; a run that is done is left alone."""
    if done := list(args.out.glob(f"*/{keras_staa.presets.DESCRIPTION}")):
        sys.exit(f"{done[0].parent} is there: this run is done.")
    args.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.policy)


def network(args, fresh, **arguments):
    """Build a network or load a preset; `fresh` are arguments that a preset knows itself."""
    create = keras_staa.models.FACTORIES[args.architecture]
    arguments = {**arguments, "classifier_activation": None}
    if args.weights:
        return create(weights=args.weights, **arguments)
    fresh = {"width": args.width, "attention": args.attention, "neuron": args.neuron, **fresh}
    return create(**fresh, **arguments)


def optimizer(args, model, batches, kind=keras.optimizers.SGD, momentum=0.9, undecayed=(), **more):
    """SGD with Nesterov momentum, and decay where it is meant: on the kernels.

    `undecayed` are further weights without it.
    """
    warmup = min(2.0, 0.2 * args.epochs)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=args.learning_rate / 25,
        warmup_target=args.learning_rate,
        warmup_steps=round(warmup * batches),
        decay_steps=round((args.epochs - warmup) * batches),
    )
    sgd = kind(schedule, momentum=momentum, nesterov=True, weight_decay=args.weight_decay, **more)
    own = keras_staa.layers.undecayed_weights(model)
    sgd.exclude_from_weight_decay(var_list=[*own, *undecayed])
    return sgd


def fit(model, args, train):
    """Train a compiled network, from the last finished epoch on."""
    checkpoint = keras_staa.callbacks.Checkpoint(args.out / "checkpoint", data=train)
    model.fit(
        train,
        epochs=args.epochs,
        initial_epoch=checkpoint.restore(model),
        shuffle=False,  # `train` is shuffled already
        callbacks=[
            keras.callbacks.CSVLogger(args.out / "history.csv", append=True),
            checkpoint,
        ],
        verbose=2,
    )


def publish(model, args, test, *, data_set, class_names, split, unit, **training):
    """Write the preset, measured with the rounded weights that it holds."""
    name, recorded = model.factory, model.arguments
    keras.config.set_dtype_policy("float32")
    read_out = {"step_logits": False, "classifier_activation": "softmax"}
    network = keras_staa.models.FACTORIES[name](**{**recorded, **read_out})
    network.set_weights(model.get_weights())
    places = ("out", "data", "data_dir", "cache_dir", "npz", "weights", "teacher")
    training = {
        "command": command(),
        "backend": f"{keras.backend.backend()}, Keras {keras.__version__}",
        **{k: v for k, v in vars(args).items() if k not in places},
        "reported_epoch": args.epochs,
        **training,
    }
    if args.weights:
        training["start"] = keras_staa.zoo.describe(args.weights)["training"]
    card = {
        "data_set": data_set,
        "class_names": class_names,
        "training": training,
        "history": _whole_history(args),
    }
    title = preset_name(name, recorded, data_set)
    with tempfile.TemporaryDirectory() as folder:
        draft = keras_staa.zoo.save(network, pathlib.Path(folder) / title, **card)
        rounded = keras_staa.zoo.load(draft)
    rounded.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    value = rounded.evaluate(test, return_dict=True, verbose=0)["accuracy"]
    count = sum(len(labels) for _, labels in test)
    print(f"accuracy on {count} {unit} after epoch {args.epochs}: {value:.4f}")
    accuracy = {
        "value": round(value, 4),
        "split": split,
        "images": count,
        "measured": "python examples/evaluate.py",
    }
    keras_staa.zoo.save(rounded, args.out / title, accuracy=accuracy, **card)


def publish_on_images(model, args, images, labels, *, split, **training):
    """`publish`, measured on uint8 images."""
    test = keras_staa.data.arrays(
        images / np.float32(255),
        keras.utils.to_categorical(labels, model.output_shape[-1]),
        batch_size=500,
        shuffle=False,
    )
    publish(
        model,
        args,
        test,
        data_set=args.data_set,
        class_names=keras_staa.data.class_names(args.data_set, data_dir=args.data_dir),
        split=split,
        unit="images",
        **training,
    )


def _whole_history(args):
    """Return the epochs of this run, behind those of the run that it started from."""
    own = args.out / "history.csv"
    if not args.weights:
        return own
    before = keras_staa.presets.open_preset(args.weights).history_path
    whole = args.out / "whole_history.csv"
    _, rows = own.read_text().split("\n", 1)
    whole.write_text(before.read_text() + rows)
    return whole


def command():
    """Return the command line, with placeholders for where this machine keeps its files."""
    script = f"examples/{pathlib.Path(sys.argv[0]).name}"
    return " ".join(["python", script, *_portable(sys.argv[1:])])


def _portable(argv):
    places = {
        "--out": "OUT",
        "--data": "DATA",
        "--data-dir": "DIR",
        "--npz": "FILE",
        "--cache-dir": "CACHE",
        "--weights": "START",
        "--teacher": "TEACHER",
    }
    words = [places.get(before, word) for before, word in zip(["", *argv], argv, strict=False)]
    return [shlex.quote(word) for word in words]
