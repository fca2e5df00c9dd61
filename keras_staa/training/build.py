"""Data, network, loss and optimizer of a recipe."""

import inspect
import pathlib

import keras

from keras_staa import data, metrics, models, zoo
from keras_staa.data.batches import first_inputs
from keras_staa.data.image import augmenting
from keras_staa.layers import undecayed_weights
from keras_staa.losses import TET
from keras_staa.models.transfer import transfer
from keras_staa.training.augmented import Augmented, with_labels
from keras_staa.training.distiller import Distiller
from keras_staa.training.processes import ALONE
from keras_staa.training.recipe import find_class

# Before the names of its layers in a recipe.
OF_KERAS_CV = "keras_cv.layers."


def read(recipe, split, data_dir=None, cache_dir=None, training=False, augmented=True, group=ALONE):
    """Return the samples of a split as batches for `fit`.

    Args:
        recipe: what `load_recipe` gives.
        split: string.
        data_dir: optional path of the folder with the data sets.
        cache_dir: optional path of the folder for the cached frames of event recordings.
        training: boolean, whether the samples are shuffled and augmented.
        augmented: boolean. If False, they are not augmented in training either.
        group: `Group`, the processes of this training, each of which reads its part of each batch.
    """
    arguments = recipe.data.arguments()
    augment = arguments.pop("augment", None)
    arguments |= {"split": split, "data_dir": data_dir, "one_hot": True, "shuffle": training}
    arguments["batch_size"] = recipe.training.batch_size
    if training:
        arguments |= {"drop_remainder": True, "seed": recipe.training.seed, "shard": group}
        if augmented and not recipe.training.augment_in_step:
            arguments["augment"] = augmentation(augment)
    else:
        # Windows that are measured do not overlap.
        arguments.pop("stride", None)
        if recipe.data.test_size is not None:
            arguments["size"] = recipe.data.test_size
    if recipe.data.reader == "events":
        samples = data.events(recipe.data.source, cache_dir=cache_dir, **arguments)
    else:
        samples = data.images(recipe.data.source, **arguments)
    if not len(samples):
        raise ValueError(
            "`training.batch_size` must be at most the number of training samples. "
            f"Received: {recipe.training.batch_size}"
        )
    return samples


def class_names(recipe, samples, data_dir=None):
    """Return the names of the classes."""
    names = getattr(samples, "classes", None)
    return names or data.class_names(recipe.data.source, data_dir=data_dir)


def network(recipe, sample_shape, classes):
    """Return the network of a recipe, with logits as output.

    Args:
        recipe: what `load_recipe` gives.
        sample_shape: shape of a sample, without the batch.
        classes: positive integer.
    """
    create = models.FACTORIES[recipe.network.factory]
    return create(
        input_shape=tuple(sample_shape),
        classes=classes,
        classifier_activation=None,
        step_logits=step_logits(recipe),
        weights=recipe.network.weights,
        **_tuples(recipe.network.arguments()),
    )


def without_teacher(recipe):
    """Return a recipe without its teacher, which may not be there where costs are estimated."""
    return recipe.model_copy(update={"teacher": None})


def begin(recipe, network, before, samples):
    """Give the network of a stage the weights that it starts from.

    Args:
        recipe: the recipe of the stage.
        network: the network, with its initial weights.
        before: the trained network of the stage before, or None.
        samples: function without arguments that gives batches of training samples, not augmented.
    """
    if before is not None:
        transfer(before, network)
        return
    adapt = models.FACTORIES[recipe.network.factory].adapt
    if adapt is not None and recipe.network.weights is None:
        adapt(network, first_inputs(samples(), 5000))


def layers_in_step(recipe, sample_shape):
    """Return the layers that augment within the training step, and the shape after them.

    Args:
        recipe: what `load_recipe` gives.
        sample_shape: shape of a sample before them, without the batch.
    """
    if not recipe.training.augment_in_step:
        return [], tuple(sample_shape)
    augment = augmentation(recipe.data.arguments().get("augment"))
    layers = augmenting.layers_of(augment, sample_shape)
    shape = (None, *sample_shape)
    for layer in layers:
        shape = layer.compute_output_shape(shape)
    return layers, tuple(shape[1:])


def trained(recipe, model, layers):
    """Return what is trained: the network, or one with a teacher and augmentation around it.

    Args:
        recipe: what `load_recipe` gives.
        model: the network.
        layers: list of layers that augment within the training step.
    """
    if recipe.teacher is None:
        return Augmented(model, layers) if layers else model
    name = recipe.teacher.model
    if name.endswith(".keras") and pathlib.Path(name).is_file():
        teacher = keras.saving.load_model(name)
    else:
        try:
            teacher = zoo.load(name, classifier_activation=None)
        except ValueError as error:
            raise ValueError(
                f"`teacher.model` must be a preset or a `.keras` file. Received: {name!r}"
            ) from error
    return Distiller(model, teacher, recipe.teacher.temperature, recipe.teacher.weight, layers)


def for_step(recipe, samples):
    """Return batches in the form that what `trained` returns is trained on."""
    return with_labels(samples) if recipe.training.augment_in_step else samples


def metric(recipe):
    """Return the metric that `fit` shows."""
    return metrics.step_accuracy if step_logits(recipe) else "accuracy"


def step_logits(recipe):
    """Whether the training needs the logits of each step."""
    return recipe.teacher is not None or issubclass(find_class("loss", recipe.loss.class_name), TET)


def loss(recipe):
    """Return the loss of a recipe, on logits."""
    kind = find_class("loss", recipe.loss.class_name)
    logits = "from_logits" in inspect.signature(kind).parameters
    return kind(**({"from_logits": True} if logits else {}), **recipe.loss.arguments())


def optimizer(recipe, model, steps):
    """Return the optimizer of a recipe.

    Args:
        recipe: what `load_recipe` gives.
        model: the network, whose layers declare which weights have no weight decay.
        steps: positive integer, the steps of an epoch.
    """
    kind = find_class("optimizer", recipe.optimizer.class_name)
    made = kind(schedule(recipe, steps), **recipe.optimizer.arguments())
    if made.weight_decay:
        made.exclude_from_weight_decay(var_list=undecayed_weights(model))
    return made


def schedule(recipe, steps):
    """Return the schedule of the learning rate, or the rate itself where there is none.

    Numbers of epochs, such as `warmup_epochs`, become numbers of steps. A schedule with a
    `decay_steps` falls until the end of the training. With a warmup it rises from
    `initial_learning_rate`, 0 by default, to the rate of the optimizer.
    """
    peak, named = recipe.optimizer.learning_rate, recipe.schedule
    if named is None:
        return peak
    kind = find_class("schedule", named.class_name)
    allowed = inspect.signature(kind).parameters
    given = {}
    for key, value in named.arguments().items():
        if key.endswith("_epochs"):
            key, value = key.removesuffix("_epochs") + "_steps", round(value * steps)
        given[key] = value
    if warmup := given.get("warmup_steps", 0):
        given = {"warmup_target": peak, "initial_learning_rate": 0.0, **given}
    elif "initial_learning_rate" in allowed:
        given.setdefault("initial_learning_rate", peak)
    total = recipe.training.epochs * steps
    if warmup >= total:
        raise ValueError(
            f"`schedule` must have fewer steps of warmup than the training has steps. Received: "
            f"{warmup} of {total} steps"
        )
    if "decay_steps" in allowed:
        given.setdefault("decay_steps", total - warmup)
    return kind(**given)


def augmentation(augment):
    """Return an augmentation with layers in place of tables `{class_name = ..., ...}`."""
    if isinstance(augment, dict):
        return _layer(augment)
    if isinstance(augment, list):
        return [_layer(part) if isinstance(part, dict) else part for part in augment]
    return augment


def _layer(table):
    name = table.get("class_name")
    # Half precision would round the colors.
    arguments = {"dtype": "float32", **table}
    arguments.pop("class_name", None)
    for kind in _kinds(str(name)):
        if inspect.isclass(kind) and issubclass(kind, keras.layers.Layer):
            return kind(**_tuples(arguments))
    raise ValueError(
        "`class_name` in `data.augment` must be a layer of keras_staa.data, of keras.layers or, as "
        f"'keras_cv.layers.GridMask', of keras-cv. Received: {table}"
    )


def _kinds(name):
    """Return what a name of an augmentation may stand for."""
    if name.startswith(OF_KERAS_CV):
        import keras_cv

        return [getattr(keras_cv.layers, name.removeprefix(OF_KERAS_CV), None)]
    return [getattr(place, name, None) for place in (data, keras.layers)]


def _tuples(arguments):
    """Return arguments with tuples for lists, as Python writes shapes and ranges."""

    def changed(value):
        return tuple(map(changed, value)) if isinstance(value, list) else value

    return {key: changed(value) for key, value in arguments.items()}
