"""A linear classifier of the frames that a preset was trained on, for comparison.

    python examples/linear_events.py nmnist1k --data N-MNIST

Multinomial logistic regression, on the frames as they are and on their sum over time; which of the
two, and how strong the penalty on its weights, is chosen on a fifth of the training split kept
apart. The classifier chosen is trained again on all of it and measured on the test split.
"""

import argparse

import keras
import numpy as np
import recordings

import keras_staa

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
EPOCHS = 300


def arrays(frames):
    """Return counts (samples, T, H, W, 2) and labels."""
    return [np.concatenate(parts) for parts in zip(*frames, strict=True)]


def accuracy(train, test, summed, penalty):
    """Of a classifier trained on `train`, on `test`: two pairs of counts and labels."""
    x, unseen = (
        (counts.sum(axis=1) if summed else counts).reshape(len(counts), -1)
        for counts, _ in (train, test)
    )
    scale = np.sqrt(np.mean(np.square(x)))
    classes = 1 + int(max(labels.max() for _, labels in (train, test)))
    # From zero and in whole batches: the loss is convex, and nothing is drawn.
    dense = keras.layers.Dense(
        classes, kernel_initializer="zeros", kernel_regularizer=keras.regularizers.L2(penalty)
    )
    model = keras.Sequential([keras.Input(x.shape[1:]), dense])
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS)
    model.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x / scale, train[1], batch_size=len(x), epochs=EPOCHS, verbose=0)
    return model.evaluate(unseen / scale, test[1], verbose=0, return_dict=True)["accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument("--data", required=True, help="folder of event recordings")
    parser.add_argument("--cache-dir", help="folder for cached frames")
    args = parser.parse_args()
    preset = keras_staa.zoo.describe(args.model)
    trained = preset["training"]
    read = {"normalize": trained["normalize"], "shuffle": False, "cache_dir": args.cache_dir}
    whole = recordings.described(trained["data"], args.data, **read)
    test = recordings.described(trained["test_data"], args.data, **read)
    learned, kept = (arrays(recordings.apart(whole, part)) for part in (True, False))
    found = {}
    for summed in (False, True):
        for penalty in PENALTIES:
            found[summed, penalty] = accuracy(learned, kept, summed, penalty)
            kind = "summed over time" if summed else "all frames"
            print(f"{kind}, penalty {penalty:g}: {found[summed, penalty]:.4f} kept apart")
    summed, penalty = max(found, key=found.get)
    value = accuracy(arrays(whole), arrays(test), summed, penalty)
    print(
        f"linear classifier, {'summed over time' if summed else 'all frames'}, penalty "
        f"{penalty:g}: {value:.4f} of {len(test.cache.labels)} test samples"
    )


if __name__ == "__main__":
    main()
