"""Dropout beside that of PyTorch and Keras, and what only one framework can do."""

import functools

import numpy as np
import pytest
from backends import FRAMEWORKS, backend_named
from dropouts import FORMS, MASKS, NAMES, X, constants
from helpers import EPS, close

from companion.dropout import alpha_dropout_affine

LAYERS = {"dropout": "Dropout", "alpha_dropout": "AlphaDropout"}


def theirs(backend, name, rate):
    """Return the framework's own layer, in training."""
    if backend.name == "torch":
        return getattr(backend.framework.nn, LAYERS[name])(rate)
    import keras

    layer = getattr(keras.layers, LAYERS[name])(rate, seed=1)
    return functools.partial(layer, training=True)


def ours(backend, name):
    return getattr(backend.topic("dropout"), name)


@pytest.fixture(autouse=True)
def _seed():
    backend_named("torch").framework.manual_seed(1)


# --- the frameworks' own --------------------------------------------------------------
@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("name", NAMES)
def test_framework_does_the_same_with_its_own_mask(name, rate, backend):
    """Its mask is read off its output: of numbers above 0, a dropped one is not."""
    backend = backend_named(backend)
    numbers = np.random.default_rng(1).uniform(0.5, 2, 1000)
    x, upstream = (backend.tensor(v, "float32") for v in (numbers, numbers[::-1]))
    y, gradient = backend.value_and_gradient(theirs(backend, name, rate), x, upstream)
    mask = backend.array(y) > 0
    assert 0 < mask.mean() < 1
    known = {"rate": rate, "mask": backend.tensor(mask, "bool")}
    mine = backend.value_and_gradient(ours(backend, name), x, upstream, **known)
    # Four roundings, of terms that are not larger than all together.
    value, a, b = constants(name, rate, {})
    size = a * numbers + abs(a * value) + abs(b)
    pairs = (y, mine[0], size), (gradient, mine[1], a * numbers[::-1])
    for other, own, terms in pairs:
        tolerance = 4 * EPS["float32"] * terms
        close(backend.array(own), backend.array(other), 0.0, tolerance, name)


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_framework_keeps_a_dropped_nan(bad, backend):
    """It multiplies by 0, which makes a nan of both; ours is the constant."""
    backend = backend_named(backend)
    x = backend.tensor(np.full(100, bad), "float32")
    y = backend.array(theirs(backend, "alpha_dropout", 0.5)(x))
    assert np.isnan(y).any()
    assert not np.isfinite(y).any()
    y = backend.array(ours(backend, "alpha_dropout")(x, 0.5, **backend.source(1)))
    a, b = alpha_dropout_affine(0.5)
    value, *_ = constants("alpha_dropout", 0.5, {})
    finite = y[np.isfinite(y)]
    assert 0 < len(finite) < 100
    np.testing.assert_allclose(finite, a * value + b, rtol=4 * EPS["float32"])


# --- PyTorch --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rate", "of_65536"),
    [(0.1, 6554), (0.05, 3277), (0.5, 32768), (1e-9, 1), (1 - 1e-9, 65535)],
)
def test_torch_scales_for_the_rate_that_it_draws(rate, of_65536):
    """A multiple of 1/65536, never 0 or 1; the share of it is within five sigma."""
    backend = backend_named("torch")
    n = 2**22  # of which one in 65536 is 64, eight standard deviations from 0
    x, one = (backend.tensor(v, "float64") for v in (np.zeros(n), np.ones(n)))
    drawn = of_65536 / 65536
    for name in NAMES:
        y, gradient = backend.value_and_gradient(
            ours(backend, name), x, one, rate=rate, **backend.source(1)
        )
        y, gradient = backend.array(y), backend.array(gradient)
        kept = gradient != 0
        error = 5 * np.sqrt(drawn * (1 - drawn) / n)
        assert abs(np.mean(~kept) - drawn) < error
        value, a, b = constants(name, drawn, {})
        close(gradient[kept], a, 2 * EPS["float64"], 0.0, "gradient")
        expected = np.where(kept, b, a * value + b)
        tolerance = 4 * EPS["float64"] * (abs(a * value) + abs(b))
        close(y, expected, 0.0, tolerance, "value")


def test_torch_follows_the_global_generator():
    backend = backend_named("torch")
    torch, x = backend.framework, backend.framework.ones(99)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(ours(backend, "dropout")(x, 0.5))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(("name", "point"), FORMS)
def test_torch_derivatives_of_both_orders(name, point):
    backend = backend_named("torch")
    torch, f = backend.framework, ours(backend, name)
    x = backend.tensor(X[3], "float64").requires_grad_()
    mask = backend.tensor(MASKS["one for each unit"], "bool")

    def drawn(x):
        return f(x, 0.4, **backend.source(1), **point)

    def masked(x):
        return f(x.view(2, 3).T, 0.4, mask=mask.view(2, 3).T, **point)  # strided

    for function in (drawn, masked):
        assert torch.autograd.gradcheck(function, x)
        slopes = torch.func.grad(lambda x, g=function: g(x).sum())(x.detach())
        (expected,) = torch.autograd.grad(function(x).sum(), x)
        assert torch.equal(slopes, expected)
        assert torch.autograd.gradgradcheck(lambda x, g=function: g(x.tanh()), x)


def test_torch_value_does_not_depend_on_the_layout():
    backend = backend_named("torch")
    x = backend.tensor(np.arange(24.0).reshape(2, 3, 2, 2), "float32")
    other = x.contiguous(memory_format=backend.framework.channels_last)
    for name in NAMES:
        f = functools.partial(ours(backend, name), rate=0.5)
        y, expected = (f(t, **backend.source(1)) for t in (other, x))
        assert backend.framework.equal(y, expected)


# The compiler itself makes an object of the class that holds the two directions.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_torch_compiles_without_a_break():
    backend = backend_named("torch")
    torch = backend.framework
    x, mask = torch.randn(50, requires_grad=True), torch.arange(50) % 3 > 0
    f, g = (ours(backend, name) for name in NAMES)

    def both(x):
        return f(g(x, 0.3, mask=mask), 0.3, mask=mask), g(x, 0.5)

    y, drawn = torch.compile(both, backend="aot_eager", fullgraph=True)(x)
    assert torch.equal(y, both(x)[0])
    (gradient,) = torch.autograd.grad(drawn.sum(), x)
    expected = [0.0, alpha_dropout_affine(0.5)[0]]
    assert gradient.unique().tolist() == pytest.approx(expected)


# --- TensorFlow -----------------------------------------------------------------------
def test_tf_function_takes_a_mask_for_a_batch_of_any_size():
    backend = backend_named("tensorflow")
    tf = backend.framework
    spec = [tf.TensorSpec([None, 3]), tf.TensorSpec([None, 1], "bool")]
    f = functools.partial(ours(backend, "dropout"), rate=0.5)
    graph = tf.function(lambda x, mask: f(x, mask=mask), input_signature=spec)
    x, mask = tf.ones((2, 3)), tf.constant([[True], [False]])
    np.testing.assert_array_equal(graph(x, mask), [[2, 2, 2], [0, 0, 0]])
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.ones((1, 3)), mask)
