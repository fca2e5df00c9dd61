"""Train on all chips of a TPU with plain `compile` and `fit`.

    KERAS_BACKEND=jax python examples/train_on_tpu.py --data-dir DIR --out runs/tpu

On a TPU pod, run the same command on every host with `--pod`. Each host reads its part of every
batch, and the first one writes the checkpoints. Without a TPU it runs on eight devices of a CPU:

    XLA_FLAGS=--xla_force_host_platform_device_count=8 KERAS_BACKEND=jax JAX_PLATFORMS=cpu \
        python examples/train_on_tpu.py --width 4 --batch 4 --steps 2 --data-dir DIR --out runs/tpu

The policy `mixed_bfloat16` computes in the chips' own type; spikes are exact in it. Batch
normalization uses the whole batch of all chips.
"""

import argparse
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras

import keras_staa


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="cifar10", help="as in `keras_staa.data.images`")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the run")
    parser.add_argument("--pod", action="store_true", help="one of several hosts of a TPU pod")
    parser.add_argument("--batch", type=int, default=128, help="images on each chip")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    return parser.parse_args()


def main():
    args = arguments()
    if args.pod:
        jax.distributed.initialize()
    chips = keras.distribution.list_devices()
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=chips, auto_shard_dataset=False)
    )
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(1)
    hosts = (jax.process_index(), jax.process_count())
    train = keras_staa.data.images(
        args.data,
        "train",
        data_dir=args.data_dir,
        batch_size=args.batch * len(chips),
        augment="standard",
        one_hot=True,
        drop_remainder=True,
        shard=hosts if hosts[1] > 1 else None,
    )
    names = keras_staa.data.class_names(args.data, data_dir=args.data_dir)
    model = keras_staa.STAAResNet19(
        width=args.width, steps=args.steps, classes=len(names), classifier_activation=None
    )
    total = args.epochs * len(train)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, total - total // 20, warmup_target=0.1, warmup_steps=total // 20
    )
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=5e-3)
    optimizer.exclude_from_weight_decay(var_list=keras_staa.layers.undecayed_weights(model))
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
    )
    checkpoint = keras_staa.callbacks.Checkpoint(args.out, data=train, write=hosts[0] == 0)
    model.fit(
        train,
        epochs=args.epochs,
        initial_epoch=checkpoint.restore(model),
        callbacks=[checkpoint],
        verbose=2 if hosts[0] == 0 else 0,
    )


if __name__ == "__main__":
    main()
