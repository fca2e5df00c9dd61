"""The private corners of Keras do what `keras_staa/_keras.py` says of them."""

import ast

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_staa import _keras
from keras_staa.presets import weight_store
from tests.real import ROOT

CHANGED = f"Keras {keras.__version__} changed what keras_staa/_keras.py uses: "


def dense():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="input")
    return keras.Model(inputs, layers.Dense(2, name="dense")(inputs))


def test_all_layers():
    inner = keras.Sequential([layers.Dropout(0.5, name="dropout")])
    model = keras.Sequential([layers.TimeDistributed(layers.Dense(2, name="dense")), inner])
    found = _keras.all_layers(model)
    assert found[0] is model, CHANGED + "a model comes first"
    names = [x.name for x in found if isinstance(x, keras.Layer)]
    assert {"dense", "dropout"} <= set(names), CHANGED + "what is inside is found"


def test_where_a_tensor_is_from():
    a, b = keras.Input((3,)), keras.Input((3,))
    add = layers.Add()
    first, second = add([a, a]), add([a, b])
    assert _keras.made_by(second) is add, CHANGED + "a tensor knows its layer"
    for tensor, expected in ((first, [a, a]), (second, [a, b])):
        found = _keras.inputs_of(tensor)
        assert [id(t) for t in found] == [id(t) for t in expected], CHANGED + "and its inputs"


def test_variables_of_a_frozen_layer():
    model = dense()
    layer = model.get_layer("dense")
    layer.trainable = False
    assert not layer.trainable_variables
    found = [v.name for v in _keras.trainable_even_if_frozen(layer)]
    assert found == ["kernel", "bias"], CHANGED + "a frozen layer keeps its own variables"


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone has such a state.")
def test_state_of_a_step_on_jax():
    model = dense()
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    state = _keras.jax_state(model)
    x, y = np.ones((1, 3), "float32"), np.ones((1, 2), "float32")
    _, after = model.train_step(state, (x, y))
    counts = [len(part) for part in (state[0], state[2])]
    assert counts == [2, len(model.optimizer.variables)], CHANGED + "the parts of the state"
    assert [len(part) for part in after] == [len(part) for part in state]


def test_waiting_variables():
    waiting = _keras.waiting_variables()
    assert waiting == []
    with keras.StatelessScope(initialize_variables=False):
        layer = layers.Dense(2, kernel_initializer="ones")
        layer.build((None, 3))
        assert [v.name for v in waiting] == ["kernel", "bias"], CHANGED + "variables wait"
        assert layer.kernel._value is None, CHANGED + "without a value"
    made = list(waiting)
    waiting.clear()
    for variable in made:
        _keras.initialize(variable)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer.kernel), np.ones((3, 2)), CHANGED + "and get their values"
    )


def test_state_of_weights(tmp_path):
    """The names are those of the file that Keras writes, and reading takes what stands there."""
    import h5py

    model, file = dense(), tmp_path / "a.h5"
    with h5py.File(file, "w") as written:
        store = _Named()
        _keras.save_state(model, store)
        assert store.found, CHANGED + "layers write to a store"
        for name, value in store.found.items():
            written[name] = value
    assert sorted(store.found) == sorted(weight_store.names(model))
    assert sorted(store.found) == ["layers/dense/vars/0", "layers/dense/vars/1"]
    with h5py.File(file) as held:
        datasets = {name: held[name] for name in store.found}
        other = dense()
        other.set_weights([w + 1 for w in other.get_weights()])
        assert _keras.load_state(other, weight_store._Reader(datasets)) == []
        for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b, CHANGED + "layers read from a store")
        del datasets["layers/dense/vars/1"]
        failed = _keras.load_state(dense(), weight_store._Reader(datasets))
    assert len(failed) == 1, CHANGED + "what cannot be read is told"
    assert isinstance(failed[0][1], Exception)


class _Named(_keras.WeightStore):
    def __init__(self):
        self.mode, self.path, self.found = "w", "", {}

    def __bool__(self):
        return True

    def make(self, path, metadata=None):
        self.path = path
        return self

    def __setitem__(self, key, value):
        name = "/".join(part for part in (self.path, "vars", key) if part)
        self.found[name] = ops.convert_to_numpy(value)


def test_metrics_are_built():
    model = dense()
    model.compile("sgd", "mse", metrics=["mae"])
    _keras.build_metrics(model, (np.zeros((2, 3), "float32"), np.zeros((2, 2), "float32")))
    count = len(model.metrics_variables)
    assert count > 2, CHANGED + "metrics have a state"
    model.train_on_batch(np.zeros((2, 3)), np.zeros((2, 2)))
    assert len(model.metrics_variables) == count, CHANGED + "the state that training has"


class Noise(_keras.DataLayer):
    """Adds what it draws."""

    def __init__(self, seed, **kwargs):
        super().__init__(**kwargs)
        self.seed, self.generator = seed, keras.random.SeedGenerator(seed)

    def call(self, x):
        draw = self.backend.random.uniform(ops.shape(x)[:1], seed=_keras.seed_of(self))
        return x + draw[:, None]


def test_layers_of_data_draw_in_tf_data():
    """A data layer runs on TensorFlow's tensors there, whatever the backend."""
    tf = pytest.importorskip("tensorflow")
    (batch,) = tf.data.Dataset.from_tensors(np.zeros((2, 3), "float32")).map(Noise(1))
    assert batch.numpy().any() and type(batch).__module__.startswith("tensorflow")


def test_draws_of_others():
    def give():
        return ops.convert_to_tensor(np.array([1, 2], "uint32"))

    x = np.zeros((2, 3), "float32")
    layer = Noise(7)
    wrapped = keras.Sequential([layer])
    results = []
    for _ in range(2):
        with _keras.draw_from([wrapped, layer], give):
            results.append(ops.convert_to_numpy(layer(x)))
    np.testing.assert_array_equal(*results, CHANGED + "the seeds of layers can be given")
    after = [ops.convert_to_numpy(layer(x)) for _ in range(2)]
    assert not np.array_equal(*after), CHANGED + "and are their own again"


def test_clones_are_marked():
    class Marking(_keras.MarkingModel):
        def mark(self, tensor):
            tensor.by = self

    inputs = keras.Input((3,))
    model = Marking(inputs, layers.Dense(2)(inputs))
    marked = []
    Marking.mark = lambda self, tensor: marked.append(tensor)
    clone = keras.models.clone_model(model)
    assert type(clone) is Marking, CHANGED + "a clone has the class of its model"
    assert any(clone.outputs[0] is tensor for tensor in marked), CHANGED + "its tensor is marked"
    marked.clear()
    model.predict(np.zeros((1, 3)), verbose=0)
    model(np.zeros((1, 3), "float32"))
    assert all(keras.backend.is_keras_tensor(tensor) for tensor in marked)


# Names with an underscore of others than Keras: of named tuples, of os and of PyTorch.
OTHERS = {"_asdict", "_replace", "_fields", "_exit", "_inductor"}
OTHERS |= {"_C", "_len_torch_dispatch_stack", "_ops"}


def own_names(tree):
    """Names with an underscore that a module gives to its functions, classes and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from [node.attr] if getattr(node.value, "id", "") == "self" else []


def private_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras.src"):
            yield node.module
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            yield from [] if node.attr.startswith("__") else [node.attr]


@pytest.mark.once
def test_no_private_name_of_keras_is_used_elsewhere():
    package = ROOT / "keras_staa"
    trees = {
        path.relative_to(package).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in package.rglob("*.py")
        if path.name != "_keras.py"
    }
    own = OTHERS.union(*(own_names(tree) for tree in trees.values()))
    found = {name: set(private_names(tree)) - own for name, tree in trees.items()}
    assert {name: names for name, names in found.items() if names} == {}
    # What it looks for is found where it is.
    there = set(private_names(ast.parse((package / "_keras.py").read_text("utf-8"))))
    assert {"keras.src.saving", "_flatten_layers", "_keras_history"} <= there - own
