"""Every backend has the reference's batch normalization; that has each framework's."""

import inspect
import itertools

import numpy as np
import pytest
from backends import BACKENDS, CASES, backend_named
from helpers import EPS, public
from normalizations import (
    BATCHES,
    N_FEATURES,
    check_batch_norm,
    check_edges,
    check_refusals,
    layers_of,
)

from companion.normalization import CONVENTIONS, BatchNorm

#: What distinguishes the conventions but for the axis.
SETTINGS = {
    name: {key: value for key, value in row.items() if key != "axis"}
    for name, row in CONVENTIONS.items()
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_has_the_same_names(backend):
    module = backend_named(backend).topic("normalization")
    more = {"weight_norm", "weight_norm_grad"} if backend == "numpy" else set()
    assert public(module) == {"final_statistics", "fold_batch_norm"} | more
    more = {"LayerNorm"} if backend == "numpy" else set()
    assert public(module, inspect.isclass) == {"BatchNorm"} | more


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("convention", SETTINGS)
def test_batch_norm_conforms(convention, batch, backend, dtype):
    backend, settings = backend_named(backend), SETTINGS[convention]
    check_batch_norm(backend, dtype, batch=batch, **settings)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("momentum", [0.0, 1.0, None])
def test_batch_norm_without_eps_conforms(momentum, dtype, backend):
    settings = {"momentum": momentum, "eps": 0.0, "unbiased": False}
    check_batch_norm(backend_named(backend), dtype, batch="images", **settings)


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@pytest.mark.parametrize("axis", [1, -1])
def test_edges_conform(axis, backend, dtype):
    check_edges(backend_named(backend), dtype, axis)


@pytest.mark.parametrize("backend", BACKENDS)
def test_refusals_conform(backend):
    check_refusals(backend_named(backend))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_conventions_are_the_same_everywhere(convention, backend):
    kind = backend_named(backend).topic("normalization").BatchNorm
    for changes in ({}, {"momentum": 0.5}, {"eps": 0.1, "axis": -1}):
        layer = kind.like(convention, N_FEATURES, **changes)
        assert type(layer) is kind
        expected = CONVENTIONS[convention] | changes
        assert {name: getattr(layer, name) for name in expected} == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_reset_starts_the_average_anew(backend):
    backend = backend_named(backend)
    layers = layers_of(backend)
    kind = backend.topic("normalization").BatchNorm
    used, new = (layers.make(kind, "float32", momentum=None) for _ in range(2))
    x = backend.tensor(np.arange(20.0).reshape(4, N_FEATURES), "float32")
    layers.run(used, -3 * x, True)
    used.reset()
    for layer in (used, new):
        assert int(layer.n_batches) == 0
        layers.run(layer, x, True)
        layers.run(layer, x + 1, True)
        assert int(layer.n_batches) == 2
    for name in ("running_mean", "running_var"):
        got, expected = (
            backend.array(layers.get(layer, name)) for layer in (used, new)
        )
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_integers_become_the_default_float(dtype, backend):
    backend = backend_named(backend)
    layers = layers_of(backend)
    layer = layers.make(backend.topic("normalization").BatchNorm, "float32")
    x = backend.tensor(np.arange(20).reshape(4, N_FEATURES), dtype)
    y = layers.run(layer, x, True)
    assert backend.dtype(y) == backend.default_float
    assert abs(backend.array(y).mean()) < 20 * EPS["float32"]


@pytest.mark.parametrize("training", [True, False])
def test_layout_in_memory_does_not_matter(training):
    """A picture whose colors are last in memory, as files have them, is no other.

    The backward pass of ``torch.nn.BatchNorm2d`` on a CPU mixes them up where one such
    picture is the whole batch.
    """
    backend = backend_named("torch")
    layers, torch = layers_of(backend), backend.framework
    x64, dy64 = np.random.default_rng(1).standard_normal((2, 1, 4, 3, N_FEATURES))
    twin = BatchNorm(N_FEATURES, axis=-1)
    expected = [twin.forward(x64, training=training), twin.backward(dy64)]

    def layouts(array):
        yield torch.from_numpy(array[0]).permute(2, 0, 1).unsqueeze(0)
        yield torch.from_numpy(array).permute(0, 3, 1, 2)
        yield torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()

    for x, dy in itertools.product(layouts(x64), layouts(dy64)):
        layer = layers.make(backend.topic("normalization").BatchNorm, "float64")
        y, (dx, *_) = layers.run_back(layer, x, dy, training)
        for got, right in zip((y, dx), expected, strict=True):
            got = np.moveaxis(backend.array(got), 1, -1)
            np.testing.assert_allclose(got, right, rtol=0, atol=1e-13)


# --- the reference has each framework's conventions -----------------------------------
def theirs_in_torch(shape):
    """Return PyTorch's own layer as a function of a batch, and its vectors."""
    torch = backend_named("torch").framework
    kind = {2: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}[len(shape)]
    layer = kind(N_FEATURES).double()

    def run(x, upstream, training):
        x = torch.tensor(x, requires_grad=True)
        y = layer.train(training)(x)
        inputs = x, layer.weight, layer.bias
        gradients = torch.autograd.grad(y, inputs, torch.tensor(upstream))
        return [part.detach().numpy() for part in (y, *gradients)]

    return run, lambda: [layer.running_mean.numpy(), layer.running_var.numpy()]


def theirs_in_keras(shape):
    tensorflow = backend_named("tensorflow").framework
    layer = tensorflow.keras.layers.BatchNormalization(dtype="float64")
    layer.build((None, *shape[1:]))

    def run(x, upstream, training):
        x = tensorflow.constant(x)
        with tensorflow.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
        inputs = x, layer.gamma.value, layer.beta.value
        gradients = tape.gradient(y, inputs, output_gradients=upstream)
        return [part.numpy() for part in (y, *gradients)]

    return run, lambda: [layer.moving_mean.numpy(), layer.moving_variance.numpy()]


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize(
    ("convention", "make"), [("torch", theirs_in_torch), ("keras", theirs_in_keras)]
)
def test_reference_has_the_framework_s_own_layer(convention, make, images):
    layer = BatchNorm.like(convention, N_FEATURES)
    shape = (6, N_FEATURES)
    if images:
        shape = (6, N_FEATURES, 3, 2) if layer.axis == 1 else (6, 3, 2, N_FEATURES)
    run, vectors = make(shape)
    rng = np.random.default_rng(1)
    same = {"rtol": 1e-12, "atol": 1e-13}  # float64 on both sides
    for training in (True, True, True, False):
        x, dy = rng.normal(2, 3, shape), rng.standard_normal(shape)
        y = layer.forward(x, training=training)
        ours = [y, layer.backward(dy), *layer.gradients.values()]
        for got, expected in zip(ours, run(x, dy, training), strict=True):
            np.testing.assert_allclose(got, expected, **same)
        ours = layer.running_mean, layer.running_var
        for got, expected in zip(ours, vectors(), strict=True):
            np.testing.assert_allclose(got, expected, **same)
