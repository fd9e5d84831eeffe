"""Dropout and alpha dropout as layers of NumPy nets, PyTorch modules, Keras layers."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from backends import FRAMEWORKS, backend_named
from helpers import refusal
from nets import BATCHES, COPIES, batches, normal, rng, rngs

from companion import dropout as reference
from companion import mlp
from companion.mlp import Activation, AlphaDropout, Dense, Dropout, Sequential

POINT = {"alpha": 1.2, "scale": 1.1, "mean": 0.5, "var": 2.0}
#: Each class with other arguments than its defaults, and the name of its function.
LAYERS = [
    ("Dropout", {}, "dropout"),
    ("AlphaDropout", {}, "alpha_dropout"),
    ("AlphaDropout", POINT, "alpha_dropout"),
]
#: Of a thousand units at rate 0.5, within six standard deviations.
HALF = pytest.approx(0.5, abs=0.1)
layers = pytest.mark.parametrize(("name", "point", "function"), LAYERS)


# --- NumPy ----------------------------------------------------------------------------
@layers
@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (5,)])
def test_layer_is_its_function(name, point, function, shape):
    x, dy = normal(*shape), normal(*shape, seed=98)
    layer = getattr(mlp, name)(0.4, rng=rng(5), **point)
    y, dx = layer.forward(x, training=True), layer.backward(dy)
    expected = getattr(reference, function)(x, 0.4, rng=rng(5), **point)
    np.testing.assert_array_equal(y, expected)
    slopes = getattr(reference, f"{function}_grad")(x, 0.4, rng=rng(5), **point)
    np.testing.assert_array_equal(dx, dy * slopes)


@layers
def test_layer_drops_in_training_only_and_others_each_time(name, point, function):
    r = rng(5)
    x, dy = normal(2, 40, 25)
    layer = getattr(mlp, name)(0.5, rng=r, **point)
    first, second = (layer.forward(x, training=True) for _ in range(2))
    assert np.mean(first != second) == HALF
    state = r.bit_generator.state
    for arguments in ({}, {"training": False}):
        np.testing.assert_array_equal(layer.forward(x, **arguments), x)
        np.testing.assert_array_equal(layer.backward(dy), dy)
    assert r.bit_generator.state == state


@layers
def test_layer_goes_back_by_the_mask_of_the_last_forward(name, point, function):
    layer, one = getattr(mlp, name)(0.5, rng=rng(5), **point), np.ones((9, 8))
    for training in (True, False, True, True):
        y, above = layer.forward(normal(9, 8), training=training), layer.backward(one)
        dropped = above == 0
        assert dropped.any() == training
        assert len(np.unique(y[dropped])) == training
        assert len(np.unique(y[~dropped])) == np.sum(~dropped)


@layers
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (COPIES, 3), (1, 3), (COPIES, 4, 3)])
def test_copies_draw_what_each_would_alone(name, point, function, shape, training):
    make, x = getattr(mlp, name), normal(*shape)
    together = make(0.5, rng=rngs(), **point)
    y = together.forward(x, training=training)
    dx = together.backward(np.ones_like(y))
    assert y.shape == (COPIES, *shape[-2:])
    for k, r in enumerate(rngs()):
        alone = make(0.5, rng=r, **point)
        y_k = alone.forward(x[k] if len(shape) == 3 else x, training=training)
        np.testing.assert_array_equal(y[k], y_k)
        np.testing.assert_array_equal(dx[k], alone.backward(np.ones_like(y_k)))


def test_layer_at_rate_0_draws_nothing():
    r, x = rng(5), normal(4, 3)
    state = r.bit_generator.state
    for layer in (Dropout(0, rng=r), AlphaDropout(0, rng=r)):
        np.testing.assert_array_equal(layer.forward(x, training=True), x)
    assert r.bit_generator.state == state


@batches
def test_net_with_dropout_has_the_right_gradient(batch):
    """By differences of the loss, with the same masks each time."""
    make, shape = BATCHES[batch]
    net = Sequential(
        [
            Dropout(0.3, rng=make()),
            Dense(3, 5, rng=make()),
            Activation("selu"),
            AlphaDropout(0.3, rng=make(), **POINT),
            Dense(5, 2, rng=make()),
        ]
    )

    def loss(x):
        again = copy.deepcopy(net)  # with generators in the same state
        y = again.forward(x, training=True)
        return (y**2).sum(), again, y

    x = normal(*shape)
    _, used, y = loss(x)
    dx = used.backward(2 * y)
    dx = dx.sum(axis=0) if dx.ndim > x.ndim else dx  # of all copies that share x
    h = 1e-6
    for i in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[i] = h
        slope = (loss(x + moved)[0] - loss(x - moved)[0]) / (2 * h)
        # The error of the difference is about eps / h.
        np.testing.assert_allclose(dx[i], slope, rtol=1e-6, atol=1e-6)


def test_numpy_layer_refuses():
    mend = "Pass rng=numpy.random.default_rng(seed)."
    for make in (Dropout, AlphaDropout):
        name = make.__name__
        text = f"{name}: `rate` must be in [0, 1); got 1.0."
        assert refusal(make, 1, rng=rng()) == (ValueError, text)
        text = f"{name}: `rng` must be a numpy.random.Generator; got int. {mend}"
        assert refusal(make, 0.5, rng=1) == (TypeError, text)
        text = f"{name}.backward: `forward` must have been called before."
        assert refusal(make(0.5, rng=rng()).backward, np.ones(1)) == (ValueError, text)
        text = f"{name}.forward: `x` must hold real numbers; got dtype complex128."
        assert refusal(make(0.5, rng=rng()).forward, [1j]) == (TypeError, text)
    text = "AlphaDropout: `var` must be a finite number above 0; got 0.0."
    assert refusal(AlphaDropout, 0.5, rng=rng(), var=0) == (ValueError, text)


# --- PyTorch and Keras ----------------------------------------------------------------
def build(backend, name, *arguments, **more):
    return getattr(backend.topic("dropout"), name)(*arguments, **more)


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize("name", ["Dropout", "AlphaDropout"])
def test_layer_refuses_by_name(name, backend):
    backend = backend_named(backend)
    text = f"{name}: `rate` must be in [0, 1); got -0.1."
    assert refusal(build, backend, name, -0.1) == (ValueError, text)
    text = f"{name}: `rate` must be a real number; got '0.5'."
    assert refusal(build, backend, name, "0.5") == (TypeError, text)
    if name == "AlphaDropout":
        text = "AlphaDropout: `var` must be a finite number above 0; got -1.0."
        assert refusal(build, backend, name, 0.5, var=-1) == (ValueError, text)


@pytest.mark.parametrize("backend", ["numpy", *FRAMEWORKS])
@pytest.mark.parametrize(("name", "function"), [row[::2] for row in LAYERS[:2]])
def test_layer_has_the_defaults_of_its_function(name, function, backend):
    backend = backend_named(backend)
    module = mlp if backend.name == "numpy" else backend.topic("dropout")
    of_layer = inspect.signature(getattr(module, name)).parameters
    function = getattr(backend.topic("dropout"), function)
    for argument, of_function in inspect.signature(function).parameters.items():
        if argument in ("x", "training", "mask"):
            assert argument not in of_layer
        elif (backend.name, argument) != ("numpy", "rng"):  # which a layer needs
            assert of_layer[argument].default == of_function.default


@layers
def test_torch_module_follows_train_and_eval(name, point, function):
    backend = backend_named("torch")
    torch, x = backend.framework, backend.tensor(normal(1000), "float32")
    layer = build(backend, name, 0.5, **backend.source(1), **point)
    f = getattr(backend.topic("dropout"), function)
    first, second = layer(x), layer(x)
    assert torch.equal(first, f(x, 0.5, **backend.source(1), **point))
    assert (first != second).float().mean() == HALF
    assert torch.equal(layer.eval()(x), x)
    text = (
        f"{name}: `generator` must be a torch.Generator or None; got int. "
        "Pass generator=torch.Generator().manual_seed(seed)."
    )
    assert refusal(build, backend, name, 0.5, generator=1) == (TypeError, text)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_torch_module_can_be_copied_and_pickled(again):
    backend = backend_named("torch")
    torch, x = backend.framework, backend.tensor(normal(100), "float32")
    layer = build(backend, "AlphaDropout", 0.5, **POINT)
    other = again(layer)
    words = "rate=0.5, alpha=1.2, scale=1.1, mean=0.5, var=2.0"
    assert repr(other) == repr(layer) == f"AlphaDropout({words})"
    outputs = []
    for module in (layer, other):
        torch.manual_seed(1)
        outputs.append(module(x))
    assert torch.equal(*outputs)


@layers
def test_keras_layer_drops_in_training_only(name, point, function):
    backend = backend_named("tensorflow")
    x = normal(1000).astype("float32")
    one, other = (build(backend, name, 0.5, seed=1, **point) for _ in range(2))
    first = one(x, training=True).numpy()
    np.testing.assert_array_equal(first, other(x, training=True))
    assert np.mean(first != one(x, training=True).numpy()) == HALF
    np.testing.assert_array_equal(one(x), x)
    traced = backend.framework.function(lambda x: one(x, training=True))
    assert np.mean(traced(x).numpy() != traced(x).numpy()) == HALF
    f = getattr(backend.topic("dropout"), function)
    kept = f(x, 0.5, mask=True, **point).numpy()  # all of them
    assert np.mean(kept == first) == HALF


# Keras asks TensorFlow's tensors for an array in a way that NumPy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_keras_net_trains_and_is_saved(policy, tmp_path):
    backend = backend_named("tensorflow")
    import keras

    keras.config.set_dtype_policy(policy)
    try:
        net = keras.Sequential(
            [
                keras.Input((3,)),
                build(backend, "Dropout", 0.1, seed=1),
                keras.layers.Dense(4, "selu"),
                build(backend, "AlphaDropout", 0.1, seed=2, **POINT),
                keras.layers.Dense(1),
            ]
        )
        assert net.layers[2].compute_dtype == policy.removeprefix("mixed_")
        before = [w.numpy() for w in net.trainable_weights]
        net.compile("sgd", "mse")
        net.fit(normal(64, 3), np.ones((64, 1)), epochs=8, verbose=0)
        pairs = zip(before, net.trainable_weights, strict=True)
        assert all(np.any(old != new.numpy()) for old, new in pairs)
        net.save(tmp_path / "net.keras")
        loaded = keras.models.load_model(tmp_path / "net.keras")
        for mine, other in zip(net.layers, loaded.layers, strict=True):
            assert type(mine) is type(other)
            assert mine.get_config() == other.get_config()
        x = normal(5, 3).astype("float32")
        np.testing.assert_array_equal(loaded(x), net(x))
    finally:
        keras.config.set_dtype_policy("float32")
