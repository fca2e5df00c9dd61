"""Training with a teacher: its loss, what it trains, and a run by a recipe."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import STAACompact, training, zoo
from keras_staa.losses import Distillation
from keras_staa.training.distiller import Distiller
from tests.training.support import pictures, recipe_of

SHAPE, CLASSES = (16, 16, 3), 3


def teacher():
    inputs = keras.Input(SHAPE)
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def student(**more):
    keras.utils.set_random_seed(1)
    given = {"input_shape": SHAPE, "classes": CLASSES, "width": 4, "steps": 2, **more}
    return STAACompact(**given, step_logits=True, neuron={"threshold": 0.5})


def samples(count=6):
    rng = np.random.default_rng(0)
    return rng.random((count, *SHAPE), "float32"), np.eye(CLASSES, dtype="float32")[
        np.arange(count) % CLASSES
    ]


@pytest.mark.heavy
def test_the_loss_is_that_of_labels_and_teacher():
    x, y = samples()
    model = Distiller(student(), teacher(), temperature=2.0, weight=0.7)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    logits, soft = model(x, training=False), model.teacher(x)
    mean = ops.mean(logits, axis=1)
    by_labels = keras.losses.CategoricalCrossentropy(from_logits=True)(y, mean)
    expected = 0.3 * float(by_labels) + 0.7 * float(Distillation(2.0)(soft, logits))
    assert float(model.compute_loss(x, y, logits)) == pytest.approx(expected, rel=1e-5)
    without = model.compute_loss(x, y, logits, training=False)
    assert float(without) == pytest.approx(float(by_labels), rel=1e-5)


@pytest.mark.heavy
def test_the_student_follows_and_the_teacher_stays():
    x, y = samples()
    model = Distiller(student(), teacher(), weight=1.0)
    before = [ops.convert_to_numpy(w) for w in model.teacher.weights]
    start = float(Distillation()(model.teacher(x), model(x, training=True)))
    model.compile(keras.optimizers.Adam(0.01), keras.losses.CategoricalCrossentropy(True))
    model.fit(x, y, batch_size=6, epochs=20, verbose=0)
    for weight, value in zip(model.teacher.weights, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), value)
    assert float(Distillation()(model.teacher(x), model(x, training=True))) < start / 2


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="`network` must have the logits of each step"):
        Distiller(teacher(), teacher())
    with pytest.raises(ValueError, match="`teacher` must have 4 classes"):
        Distiller(student(classes=4), teacher())
    with pytest.raises(ValueError, match="`weight`"):
        Distiller(student(), teacher(), weight=1.5)


@pytest.mark.heavy
def test_a_run_with_a_teacher(tmp_path):
    teacher().save(tmp_path / "teacher.keras")
    path = recipe_of(pictures(tmp_path / "colors"))
    change = f'teacher={{ model = "{(tmp_path / "teacher.keras").as_posix()}", weight = 0.5 }}'
    recipe = training.load_recipe(path, [change])
    result = training.train(recipe, tmp_path / "run", verbose=0)
    model = zoo.load(tmp_path / "run" / result["preset"])
    assert model.output_shape == (None, CLASSES)
    known = zoo.describe(tmp_path / "run" / result["preset"])
    assert known["training"]["recipe"]["teacher"]["weight"] == 0.5
    with pytest.raises(ValueError, match="`teacher.model` must be a preset or a `.keras` file"):
        missing = training.load_recipe(path, ["teacher.model=nowhere.keras"])
        training.train(missing, tmp_path / "other", verbose=0)
    with pytest.raises(ValueError, match="`teacher.heat` is not a key of a recipe"):
        training.load_recipe(path, [change, "teacher.heat=3"])
