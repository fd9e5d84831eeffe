"""Nets of the reference: gradients, copies, the loss and the refusals."""

import re

import numpy as np
import pytest
from helpers import EPS, close
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from companion import activations
from companion.initializers import glorot_uniform
from companion.mlp import (
    ACTIVATIONS,
    Activation,
    Dense,
    PReLU,
    RReLU,
    Sequential,
    softmax_cross_entropy,
    stack,
)

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

KINKED = ("relu", "leaky_relu", "prelu", "rrelu", "elu", "selu")
#: What a net can be built with.
NAMES = (*ACTIVATIONS, "prelu", "rrelu")
COPIES = 3


def rng(seed=0):
    return np.random.default_rng(seed)


def rngs(n=COPIES):
    return [rng(seed) for seed in range(n)]


def normal(*shape, seed=99):
    return rng(seed).standard_normal(shape)


def refusal(function, *args, **arguments):
    """Return the type and text of the error that a call raises."""
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*args, **arguments)
    return caught.type, str(caught.value)


@pytest.fixture(autouse=True)
def _floating_point_errors():
    """Let no test overflow, divide by zero or make a nan in passing."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


# --- gradients ------------------------------------------------------------------------
H = EPS["float64"] ** (1 / 3)  # the best step of a central difference


def difference(objective, array, n_axes):
    """Return the central differences of each copy's objective.

    The last `n_axes` axes of `array` are varied one element at a time, in all copies
    at once: what another copy has to do with it is the business of the tests that
    compare copies with nets of their own.
    """
    columns = []
    for index in np.ndindex(array.shape[array.ndim - n_axes :]):
        here = (..., *index)
        kept = array[here].copy()
        ends = []
        for h in (H, -H):
            array[here] = kept + h
            ends.append(objective())
        array[here] = kept
        columns.append((ends[0] - ends[1]) / (2 * H))
    stacked = np.stack(columns, axis=-1)
    return stacked.reshape(stacked.shape[:-1] + array.shape[array.ndim - n_axes :])


#: The axes of a parameter, without that of the copies.
N_AXES = {"W": 2, "b": 1, "alpha": 1}


def check_backward(net, x, seed=5):
    """Compare backward with differences, for the input and for all parameters.

    The objective is a random combination of the outputs.  What the difference leaves
    out is of the order H**2 times a third derivative, and the rounding divided by H
    is of that order too; 1e4 of it leaves room for the nets here.
    """
    x = x.copy()
    y = net.forward(x)
    dy = rng(seed).standard_normal(y.shape)
    dx = net.backward(dy)
    layers = net.trainable if isinstance(net, Sequential) else [net]
    gradients = [dict(getattr(layer, "gradients", {})) for layer in layers]

    def objective():
        return (dy * net.forward(x)).sum(axis=(-2, -1))

    allowed = 1e4 * H**2
    close(dx, difference(objective, x, 2), allowed, allowed, "x")
    for i, (layer, gradient) in enumerate(zip(layers, gradients, strict=True)):
        for name, array in getattr(layer, "parameters", {}).items():
            expected = difference(objective, array, N_AXES[name])
            got = gradient[name]
            if got.shape != array.shape:
                raise AssertionError(f"layer {i} {name}: shape {got.shape}")
            close(got, expected, allowed, allowed, f"layer {i} {name}")


def away_from_kinks(net, x):
    """Tell whether no pre-activation is so near 0 that a difference could cross it."""
    net.forward(x)
    after = [layer for layer in net.layers if not isinstance(layer, Dense)]
    return all(np.abs(layer.z).min() > 100 * H for layer in after)


def prelu_of_each_unit(n_units, rng):
    return PReLU(n_units, copies=(COPIES,) if isinstance(rng, list | tuple) else ())


MAKERS = {"prelu of each unit": prelu_of_each_unit}

#: A net alone, K copies on the same rows, K copies each on its own.
BATCHES = {
    "single": (rng, (4, 3)),
    "copies, x shared": (rngs, (4, 3)),
    "copies, x of their own": (rngs, (COPIES, 4, 3)),
}
batches = pytest.mark.parametrize("batch", BATCHES)


@batches
def test_dense_backward(batch):
    make, shape = BATCHES[batch]
    layer = Dense(3, 5, rng=make())
    layer.parameters["b"] += normal(*layer.parameters["b"].shape)
    check_backward(layer, normal(*shape))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(4, 3), (COPIES, 4, 3)])
def test_activation_backward(name, shape):
    z = 2 * normal(*shape)
    assert np.abs(z).min() > 100 * H
    check_backward(Activation(name), z)


@pytest.mark.parametrize("n_units", [1, 3])
@pytest.mark.parametrize("front", [(), (COPIES,)])
def test_prelu_backward(n_units, front):
    layer = PReLU(n_units, copies=front)
    assert layer.parameters["alpha"].shape == (*front, n_units)
    layer.parameters["alpha"] += normal(*front, n_units, seed=8)
    z = 2 * normal(*front, 4, 3)
    assert np.abs(z).min() > 100 * H
    check_backward(layer, z)


@batches
@pytest.mark.parametrize("name", [*NAMES, "prelu of each unit"])
def test_net_backward(name, batch):
    make, shape = BATCHES[batch]
    net = stack([3, 5, 4, 2], activation=MAKERS.get(name, name), rng=make())
    for layer in net.trainable:
        part = "alpha" if isinstance(layer, PReLU) else "b"
        layer.parameters[part] += normal(*layer.parameters[part].shape, seed=8)
    x = normal(*shape)
    if name in (*KINKED, *MAKERS):
        assert away_from_kinks(net, x)
    check_backward(net, x)


@pytest.mark.parametrize("shape", [(4, 3), (COPIES, 4, 3)])
@pytest.mark.parametrize("shared", [True, False])
def test_loss_gradient(shape, shared):
    logits = 3 * normal(*shape)
    labels = rng(1).integers(3, size=shape[-2:-1] if shared else shape[:-1])
    _, gradient = softmax_cross_entropy(logits, labels)
    expected = difference(lambda: softmax_cross_entropy(logits, labels)[0], logits, 2)
    close(gradient, expected, 1e4 * H**2, 1e4 * H**2, "logits")


def test_loss_gradient_check_finds_a_mean_left_out():
    logits, labels = normal(4, 3), np.array([0, 1, 2, 0])
    _, gradient = softmax_cross_entropy(logits, labels)
    expected = difference(lambda: softmax_cross_entropy(logits, labels)[0], logits, 2)
    with pytest.raises(AssertionError, match="logits"):
        close(4 * gradient, expected, 1e4 * H**2, 1e4 * H**2, "logits")


# Square layers and as many rows, so that a fault is not betrayed by its shape.
class WeightsNotTransposed(Dense):
    def backward(self, dz):
        super().backward(dz)
        return dz @ self.parameters["W"]


class InputNotTransposed(Dense):
    def backward(self, dz):
        dx = super().backward(dz)
        self.gradients["W"] = self.x @ dz
        return dx


class GradientTransposed(Dense):
    def backward(self, dz):
        dx = super().backward(dz)
        self.gradients["W"] = np.swapaxes(self.gradients["W"], -1, -2)
        return dx


class BiasNotSummed(Dense):
    def backward(self, dz):
        dx = super().backward(dz)
        self.gradients["b"] = dz[..., 0, :]
        return dx


class BiasAveraged(Dense):
    def backward(self, dz):
        dx = super().backward(dz)
        self.gradients["b"] = dz.mean(axis=-2)
        return dx


class BiasSummedOverUnits(Dense):
    def backward(self, dz):
        dx = super().backward(dz)
        self.gradients["b"] = dz.sum(axis=-1)
        return dx


class GradientOfRounding(Dense):
    """Off by one part in a million: the smallest fault that must be found."""

    def backward(self, dz):
        return super().backward(dz) * (1 + 3e-6)


DENSE_FAULTS = [
    (WeightsNotTransposed, "x"),
    (InputNotTransposed, "layer 0 W"),
    (GradientTransposed, "layer 0 W"),
    (BiasNotSummed, "layer 0 b"),
    (BiasAveraged, "layer 0 b"),
    (BiasSummedOverUnits, "layer 0 b"),
    (GradientOfRounding, "x"),
]


@batches
@pytest.mark.parametrize(("fault", "word"), DENSE_FAULTS)
def test_gradient_check_finds_a_wrong_dense(fault, word, batch):
    make, shape = BATCHES[batch]
    x = normal(*shape[:-2], 3, 3)
    check_backward(Dense(3, 3, rng=make()), x)
    with pytest.raises(AssertionError, match=f"^{word}: "):
        check_backward(fault(3, 3, rng=make()), x)


def test_gradient_check_finds_a_wrong_activation():
    class Upstreamless(Activation):
        def backward(self, dh):
            return self.f_grad(self.z)

    class Derivativeless(Activation):
        def backward(self, dh):
            return dh * self.f(self.z)

    for fault in (Upstreamless, Derivativeless):
        with pytest.raises(AssertionError, match=r"^x: "):
            check_backward(fault("tanh"), normal(4, 3))


class SlopeOfAllInputs(PReLU):
    def backward(self, dh):
        dz = super().backward(dh)
        self.gradients["alpha"] = (dh * self.z).sum(axis=-2)
        return dz


class SlopeWithoutUpstream(PReLU):
    def backward(self, dh):
        dz = super().backward(dh)
        self.gradients["alpha"] = np.minimum(self.z, 0).sum(axis=-2)
        return dz


class SlopeAveraged(PReLU):
    def backward(self, dh):
        dz = super().backward(dh)
        self.gradients["alpha"] = self.gradients["alpha"] / dh.shape[-2]
        return dz


class SlopesExchanged(PReLU):
    def backward(self, dh):
        return dh * np.where(self.z > 0, self.parameters["alpha"][..., None, :], 1)


class SharedSlopeOfOneUnit(PReLU):
    def backward(self, dh):
        dz = super().backward(dh)
        self.gradients["alpha"] = (dh * np.minimum(self.z, 0)).sum(axis=-2)[..., :1]
        return dz


@pytest.mark.parametrize("front", [(), (COPIES,)])
@pytest.mark.parametrize(
    ("fault", "word", "n_units"),
    [
        (SlopeOfAllInputs, "layer 0 alpha", 3),
        (SlopeWithoutUpstream, "layer 0 alpha", 3),
        (SlopeAveraged, "layer 0 alpha", 3),
        (SharedSlopeOfOneUnit, "layer 0 alpha", 1),
        (SlopesExchanged, "x", 3),
    ],
)
def test_gradient_check_finds_a_wrong_prelu(fault, word, n_units, front):
    z = 2 * normal(*front, 4, 3)
    check_backward(PReLU(n_units, copies=front), z)
    with pytest.raises(AssertionError, match=f"^{word}: "):
        check_backward(fault(n_units, copies=front), z)


def test_gradient_check_finds_a_net_walked_the_wrong_way():
    class Forwards(Sequential):
        def backward(self, dy):
            for layer in self.layers:
                dy = layer.backward(dy)
            return dy

    layers = stack([3, 3, 3], activation="tanh", rng=rng()).layers
    with pytest.raises(AssertionError, match=r"^x: "):
        check_backward(Forwards(layers), normal(4, 3))


def test_gradient_check_finds_a_gradient_of_another_shape():
    class Mixed(Dense):
        def backward(self, dz):
            dx = super().backward(dz)
            self.gradients["W"] = self.gradients["W"].sum(axis=0)
            return dx

    with pytest.raises(AssertionError, match="layer 0 W: shape"):
        check_backward(Mixed(3, 3, rng=rngs()), normal(4, 3))


def test_gradients_are_replaced_and_not_added_up():
    net = stack([3, 4, 2], activation="tanh", rng=rng())
    x, dy = normal(5, 3), normal(5, 2)
    seen = []
    for _ in range(2):
        net.forward(x)
        dx = net.backward(dy)
        seen.append([dx, *(g for d in net.dense for g in d.gradients.values())])
    for first, second in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, second)


# --- copies ---------------------------------------------------------------------------
@pytest.mark.parametrize("sequence", [list, tuple])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", [*NAMES, "prelu of each unit"])
def test_copies_are_nets_of_their_own(name, shared, sequence):
    widths, activation = [6, 5, 4, 3], MAKERS.get(name, name)
    copies = stack(widths, activation=activation, rng=sequence(rngs()))
    alone = [stack(widths, activation=activation, rng=r) for r in rngs()]
    x = normal(7, 6) if shared else normal(COPIES, 7, 6)
    labels = rng(3).integers(3, size=7 if shared else (COPIES, 7))
    y = copies.forward(x, training=True)
    loss, gradient = softmax_cross_entropy(y, labels)
    dx = copies.backward(gradient)
    assert y.shape == (COPIES, 7, 3)
    assert loss.shape == (COPIES,)
    assert dx.shape == (COPIES, 7, 6)
    for k, net in enumerate(alone):
        # The sums of a matrix product may be taken in another order.
        same = {"rtol": 1e-13, "atol": 1e-15}
        x_k, labels_k = (x, labels) if shared else (x[k], labels[k])
        y_k = net.forward(x_k, training=True)
        np.testing.assert_allclose(y[k], y_k, **same)
        loss_k, gradient_k = softmax_cross_entropy(y_k, labels_k)
        np.testing.assert_allclose(loss[k], loss_k, **same)
        np.testing.assert_allclose(gradient[k], gradient_k, **same)
        np.testing.assert_allclose(dx[k], net.backward(gradient_k), **same)
        for many, one in zip(copies.trainable, net.trainable, strict=True):
            for part, array in one.parameters.items():
                np.testing.assert_array_equal(many.parameters[part][k], array)
                got, expected = many.gradients[part][k], one.gradients[part]
                np.testing.assert_allclose(got, expected, **same)


def test_copies_differ_and_one_copy_keeps_its_axis():
    W = Dense(4, 3, rng=rngs()).parameters["W"]
    assert W.shape == (COPIES, 4, 3)
    assert len(np.unique(W)) == W.size
    layer = Dense(4, 3, rng=[rng()])
    assert layer.parameters["b"].shape == (1, 3)
    assert layer.forward(normal(5, 4)).shape == (1, 5, 3)


# --- random slopes --------------------------------------------------------------------
def test_rrelu_is_the_function():
    z, dh = normal(4, 3), normal(4, 3, seed=98)
    layer = RReLU(0.1, 0.6, rng=rng(5))
    in_training = {"lower": 0.1, "upper": 0.6, "training": True}
    y, dz = layer.forward(z, training=True), layer.backward(dh)
    expected = activations.rrelu(z, **in_training, rng=rng(5))
    np.testing.assert_array_equal(y, expected)
    slopes = activations.rrelu_grad(z, **in_training, rng=rng(5))
    np.testing.assert_array_equal(dz, dh * slopes)
    # New slopes for each minibatch.
    again = layer.forward(z, training=True)
    assert (again[z < 0] != y[z < 0]).all()


def test_rrelu_has_the_mean_slope_after_training():
    r = rng(5)
    layer, z, dh = RReLU(0.1, 0.6, rng=r), normal(4, 3), normal(4, 3, seed=98)
    layer.forward(z, training=True)
    state = r.bit_generator.state
    expected = np.where(z > 0, z, 0.35 * z)
    for arguments in ({}, {"training": False}):
        np.testing.assert_allclose(layer.forward(z, **arguments), expected, rtol=1e-15)
        expected_dz = dh * np.where(z > 0, 1, 0.35)
        np.testing.assert_allclose(layer.backward(dh), expected_dz, rtol=1e-15)
    assert r.bit_generator.state == state


def test_rrelu_goes_back_by_the_slopes_of_the_last_forward():
    layer, z, dh = RReLU(rng=rng(5)), normal(4, 3), np.ones((4, 3))
    ways = [True, False, True, True, False]
    for training in ways:
        y = layer.forward(z, training=training)
        np.testing.assert_allclose(layer.backward(dh), y / z, rtol=1e-15)


@pytest.mark.parametrize("shape", [(4, 3), (COPIES, 3), (1, 3), (COPIES, 4, 3)])
def test_rrelu_copies_draw_what_each_would_alone(shape):
    z = normal(*shape)
    y = RReLU(rng=rngs()).forward(z, training=True)
    for k, r in enumerate(rngs()):
        z_k = z[k] if len(shape) == 3 else z
        alone = RReLU(rng=r).forward(z_k, training=True)
        np.testing.assert_array_equal(y[k], alone)


def test_one_rrelu_draws_for_every_element_of_any_shape():
    z = -np.ones((2, 4, 3))
    y = RReLU(rng=rng(5)).forward(z, training=True)
    assert len(np.unique(y)) == z.size


# --- what is built --------------------------------------------------------------------
def test_every_activation_is_offered():
    # Without prelu and rrelu, which need more than a function and its derivative.
    offered = "celu elu gelu leaky_relu logistic mish relu selu silu softplus softsign"
    assert ACTIVATIONS == (*offered.split(), "tanh")


def test_stack_makes_the_layers_of_prelu_and_rrelu():
    for front, r in (((), rng(8)), ((COPIES,), rngs())):
        net = stack([4, 3, 5, 2], activation="prelu", rng=r)
        assert [type(layer) for layer in net.layers] == [Dense, PReLU] * 2 + [Dense]
        for layer in net.layers[1::2]:
            expected = np.full((*front, 1), 0.25)
            np.testing.assert_array_equal(layer.parameters["alpha"], expected)
        assert net.trainable == net.layers
        assert net.dense == net.layers[::2]
        net = stack([4, 3, 2], activation="rrelu", rng=r)
        assert (net.layers[1].lower, net.layers[1].upper) == (1 / 8, 1 / 3)
        assert net.trainable == net.dense == net.layers[::2]


@pytest.mark.parametrize("make", [rng, rngs])
def test_stack_makes_what_a_function_returns(make):
    r, made = make(), []

    def activation(n_units, rng):
        assert rng is r
        made.append((n_units, Activation("leaky_relu", alpha=0.2)))
        return made[-1][1]

    net = stack([4, 3, 5, 2], activation=activation, rng=r)
    assert net.layers[1::2] == [layer for _, layer in made[:2]]
    assert [n_units for n_units, _ in made[:2]] == [3, 5]


def test_a_net_tells_every_layer_whether_it_is_trained():
    told = []

    class Spy:
        def forward(self, z, training=False):
            told.append(training)
            return z

    net = Sequential([Spy(), Sequential([Spy()])])
    for arguments in ({"training": True}, {"training": False}, {}):
        net.forward(normal(2, 3), **arguments)
    assert told == [True, True, False, False, False, False]


@pytest.mark.parametrize(("make", "front"), [(rng, ()), (rngs, (COPIES,))])
@pytest.mark.parametrize("widths", [(7, 2), [7, 5, 2], np.array([7, 6, 5, 2])])
def test_stack_has_dense_layers_with_activations_between(widths, make, front):
    net = stack(widths, activation="selu", rng=make())
    kinds = [type(layer) for layer in net.layers]
    assert kinds == [Dense, Activation] * (len(widths) - 2) + [Dense]
    assert {a.name for a in net.layers[1::2]} <= {"selu"}
    assert net.dense == net.layers[::2]
    for layer, n_in, n_out in zip(net.dense, widths[:-1], widths[1:], strict=True):
        assert layer.parameters["W"].shape == (*front, n_in, n_out)
        np.testing.assert_array_equal(layer.parameters["b"], np.zeros((*front, n_out)))
        assert layer.gradients == {}
    assert net.forward(normal(3, 7)).shape == (*front, 3, 2)


def test_stack_draws_layer_by_layer_from_one_generator():
    net = stack([4, 3, 2], activation="relu", rng=rng(8))
    r = rng(8)
    for layer, shape in zip(net.dense, [(4, 3), (3, 2)], strict=True):
        expected = glorot_uniform(shape, rng=r)
        np.testing.assert_array_equal(layer.parameters["W"], expected)


def test_stack_uses_the_initializer_it_is_given():
    def counting(shape, rng):
        assert isinstance(rng, np.random.Generator)
        return np.arange(float(np.prod(shape))).reshape(shape)

    net = stack([3, 2, 1], activation="relu", initializer=counting, rng=rngs())
    for layer, shape in zip(net.dense, [(3, 2), (2, 1)], strict=True):
        for W in layer.parameters["W"]:
            np.testing.assert_array_equal(W, counting(shape, rng()))


def test_dense_is_the_equation():
    layer = Dense(2, 2, rng=rng())
    layer.parameters = {
        "W": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "b": np.array([10.0, 20.0]),
    }
    np.testing.assert_array_equal(layer.forward([[1, 0], [1, 1]]), [[11, 22], [14, 26]])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_the_function(name):
    z = normal(4, 3)
    expected = getattr(activations, name)(z)
    np.testing.assert_array_equal(Activation(name).forward(z), expected)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("leaky_relu", {"alpha": 0.2}),
        ("elu", {"alpha": 1.5}),
        ("celu", {"alpha": 0.5}),
        ("selu", {"alpha": 1.2, "scale": 1.1}),
        ("gelu", {"approximate": True}),
    ],
)
def test_activation_passes_its_arguments_on(name, arguments):
    layer, z, dh = Activation(name, **arguments), 2 * normal(4, 3), normal(4, 3)
    f, f_grad = getattr(activations, name), getattr(activations, f"{name}_grad")
    np.testing.assert_array_equal(layer.forward(z), f(z, **arguments))
    np.testing.assert_array_equal(layer.backward(dh), dh * f_grad(z, **arguments))
    assert (layer.forward(z) != f(z)).any()  # the arguments are not the defaults


def test_net_with_two_dense_in_a_row_and_a_last_activation():
    net = Sequential([Dense(3, 4, rng=rng()), Dense(4, 2, rng=rng(1))])
    net = Sequential([*net.layers, Activation("tanh")])
    assert len(net.dense) == 2
    check_backward(net, normal(4, 3))


# --- the loss -------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(1, 2), (50, 10), (COPIES, 20, 4)])
def test_loss_is_the_mean_log_softmax(shape):
    logits = 5 * normal(*shape)
    labels = rng(2).integers(shape[-1], size=shape[:-1])
    loss, gradient = softmax_cross_entropy(logits, labels)
    log_p = special.log_softmax(logits, axis=-1)
    chosen = np.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(loss, -chosen.mean(axis=-1), rtol=1e-13)
    expected = special.softmax(logits, axis=-1) - (
        np.arange(shape[-1]) == labels[..., None]
    )
    np.testing.assert_allclose(gradient, expected / shape[-2], rtol=0, atol=1e-15)


def test_loss_is_that_of_torch():
    torch = pytest.importorskip("torch")
    logits, labels = 5 * normal(40, 6), rng(2).integers(6, size=40)
    loss, gradient = softmax_cross_entropy(logits, labels)
    tensor = torch.tensor(logits, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(tensor, torch.tensor(labels))
    theirs.backward()
    np.testing.assert_allclose(loss, theirs.item(), rtol=1e-13)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_is_stable_at_large_logits(dtype):
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], dtype)
    right, gradient = softmax_cross_entropy(logits[:1], np.array([0]))
    assert right == 0
    np.testing.assert_array_equal(gradient, [[0, 0, 0]])
    wrong, gradient = softmax_cross_entropy(logits[:1], np.array([1]))
    assert wrong == 2e4
    np.testing.assert_array_equal(gradient, [[1, -1, 0]])
    even, _ = softmax_cross_entropy(logits[1:], np.array([2]))
    np.testing.assert_allclose(even, np.log(3), rtol=EPS[dtype])
    assert gradient.dtype == dtype


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_labels_of_any_integer_type(dtype):
    logits = normal(3, 4)
    expected = softmax_cross_entropy(logits, np.array([0, 3, 1]))
    got = softmax_cross_entropy(logits, np.array([0, 3, 1], dtype))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@st.composite
def batches_of_logits(draw):
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5))
    numbers = st.floats(-1e4, 1e4)
    logits = draw(hnp.arrays(float, shape, elements=numbers))
    labels = hnp.arrays(int, shape[:-1], elements=st.integers(0, shape[-1] - 1))
    return logits, draw(labels)


@quick
@given(batch=batches_of_logits(), shift=st.floats(-100, 100))
def test_loss_properties(batch, shift):
    logits, labels = batch
    loss, gradient = softmax_cross_entropy(logits, labels)
    n = logits.shape[-2]
    assert loss.shape == logits.shape[:-2]
    assert gradient.shape == logits.shape
    assert (loss >= 0).all()
    assert (np.abs(gradient) <= 1 / n).all()
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-14)
    # Adding a number to all logits of a row rounds them by 1e4 times eps.
    shifted, _ = softmax_cross_entropy(logits + shift, labels)
    np.testing.assert_allclose(shifted, loss, rtol=1e-10, atol=1e-10)


# --- arguments are left alone ---------------------------------------------------------
def frozen(array):
    array.setflags(write=False)
    return array


@batches
@pytest.mark.parametrize("name", ["elu", "prelu", "rrelu"])
def test_no_argument_is_changed(name, batch):
    make, shape = BATCHES[batch]
    net = stack([3, 4, 2], activation=name, rng=make())
    net.layers.append(Activation("relu"))
    before = [{k: v.copy() for k, v in d.parameters.items()} for d in net.trainable]
    x, labels = frozen(normal(*shape)), frozen(np.array([0, 1, 1, 0]))
    kept = x.copy()
    y = frozen(net.forward(x, training=True))
    _, gradient = softmax_cross_entropy(y, labels)
    kept_gradient = gradient.copy()
    dx = net.backward(frozen(gradient))
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(labels, [0, 1, 1, 0])
    np.testing.assert_array_equal(gradient, kept_gradient)
    for made, given_ in ((y, x), (gradient, y), (dx, gradient), (dx, x)):
        assert not np.shares_memory(made, given_)
    for layer, parameters in zip(net.trainable, before, strict=True):
        for part, array in parameters.items():
            np.testing.assert_array_equal(layer.parameters[part], array)


# --- refusals -------------------------------------------------------------------------
GENERATOR = "must be a numpy.random.Generator; got"
PASS_ONE = "Pass rng=numpy.random.default_rng(seed)."


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((0, 2, rng()), ValueError, "`n_inputs` must be at least 1; got 0."),
        ((2, -1, rng()), ValueError, "`n_outputs` must be at least 1; got -1."),
        ((2.0, 2, rng()), TypeError, "`n_inputs` must be an integer; got 2.0."),
        ((2, True, rng()), TypeError, "`n_outputs` must be an integer; got True."),
        ((2, None, rng()), TypeError, "`n_outputs` must be an integer; got None."),
        ((2, 2, 0), TypeError, f"`rng` {GENERATOR} int. {PASS_ONE}"),
        ((2, 2, None), TypeError, f"`rng` {GENERATOR} NoneType. {PASS_ONE}"),
        ((2, 2, iter(())), TypeError, f"`rng` {GENERATOR} tuple_iterator. {PASS_ONE}"),
    ],
)
def test_dense_refuses(arguments, kind, text):
    n_inputs, n_outputs, r = arguments
    assert refusal(Dense, n_inputs, n_outputs, rng=r) == (kind, f"Dense: {text}")


def test_dense_refuses_a_sequence_with_something_else_in_it():
    kind, text = refusal(Dense, 2, 2, rng=[rng(), 3])
    assert kind is TypeError
    assert text.endswith(f": `rng` {GENERATOR} int. {PASS_ONE}")


def test_dense_refuses_no_copies():
    with pytest.raises(ValueError, match=r"^Dense: `rng` must "):
        Dense(2, 2, rng=[])


@pytest.mark.parametrize("make", [rng, rngs])
@quick
@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4).filter(
        lambda shape: len(shape) < 2 or shape[-1] != 3
    )
)
def test_dense_refuses_another_shape(make, shape):
    text = f"Dense.forward: `x` must have shape (..., n, 3); got {shape}."
    layer = Dense(3, 2, rng=make())
    assert refusal(layer.forward, np.zeros(shape)) == (ValueError, text)


@pytest.mark.parametrize(
    ("x", "dtype"), [([[1j, 0, 0]], "complex128"), ([["a", "b", "c"]], "<U1")]
)
def test_dense_refuses_what_is_no_number(x, dtype):
    text = f"Dense.forward: `x` must hold real numbers; got dtype {dtype}."
    assert refusal(Dense(3, 2, rng=rng()).forward, x) == (TypeError, text)


def test_copies_refuse_inputs_for_another_number_of_copies():
    with pytest.raises(ValueError, match="2"):
        Dense(3, 2, rng=rngs()).forward(normal(2, 4, 3))


OFFERED = ", ".join(map(repr, ACTIVATIONS))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rellu", " Did you mean 'relu'?"),
        ("relu_grad", " Did you mean 'relu'?"),
        ("sigmoid", ""),
        (None, ""),
        (3, ""),
    ],
)
def test_activation_refuses_another_name(name, hint):
    text = f"Activation: `name` must be one of {OFFERED}; got {name!r}.{hint}"
    assert refusal(Activation, name) == (ValueError, text)
    arguments = {"activation": name, "rng": rng()}
    more = f"{OFFERED}, 'prelu', 'rrelu'"
    text = f"stack: `activation` must be one of {more}; got {name!r}.{hint}"
    assert refusal(stack, [2, 2], **arguments) == (ValueError, text)


@pytest.mark.parametrize("name", ["prelu", "rrelu"])
def test_activation_refuses_what_is_a_layer_of_its_own(name):
    text = f"Activation: `name` must be one of {OFFERED}; got {name!r}."
    kind, got = refusal(Activation, name)
    assert kind is ValueError
    assert got.startswith(text)


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "text"),
    [
        ("leaky_relu", {"alpha": "a"}, TypeError, "`alpha` must be a real number; got "
         "'a'."),
        ("elu", {"alpha": np.nan}, ValueError, "`alpha` must be a finite number; got "
         "nan."),
        ("celu", {"alpha": 0}, ValueError, "`alpha` must be a finite number above 0; "
         "got 0.0."),
        ("gelu", {"approximate": "tanh"}, TypeError, "`approximate` must be True or "
         "False; got 'tanh'."),
    ],
)  # fmt: skip
def test_activation_refuses_a_bad_argument_at_once(name, arguments, kind, text):
    assert refusal(Activation, name, **arguments) == (kind, f"{name}: {text}")


def test_activation_refuses_an_argument_that_its_function_does_not_have():
    with pytest.raises(TypeError, match=r"relu\(\) got an unexpected .* 'alpha'"):
        Activation("relu", alpha=0.1)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"n_units": 0}, ValueError, "`n_units` must be at least 1; got 0."),
        ({"n_units": 2.0}, TypeError, "`n_units` must be an integer; got 2.0."),
        ({"alpha": "a"}, TypeError, "`alpha` must be a real number; got 'a'."),
        ({"alpha": np.inf}, ValueError, "`alpha` must be a finite number; got inf."),
    ],
)
def test_prelu_refuses(arguments, kind, text):
    assert refusal(PReLU, **arguments) == (kind, f"PReLU: {text}")


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((0.5, 0.2, rng()), ValueError, "`lower` must not be above `upper`; got 0.5 "
         "and 0.2."),
        (("a", 0.2, rng()), TypeError, "`lower` must be a real number; got 'a'."),
        ((0.1, np.nan, rng()), ValueError, "`upper` must be a finite number; got nan."),
        ((0.1, 0.2, 7), TypeError, f"`rng` {GENERATOR} int. {PASS_ONE}"),
        ((0.1, 0.2, [rng(), 7]), TypeError, f"`rng` {GENERATOR} int. {PASS_ONE}"),
        ((0.1, 0.2, []), ValueError, "`rng` must hold a generator; got none."),
    ],
)  # fmt: skip
def test_rrelu_refuses(arguments, kind, text):
    lower, upper, r = arguments
    assert refusal(RReLU, lower, upper, rng=r) == (kind, f"RReLU: {text}")


@pytest.mark.parametrize("name", ["prelu", "rrelu"])
def test_stack_refuses_what_is_no_generator(name):
    arguments = {"activation": name, "rng": 7}
    text = f"Dense: `rng` {GENERATOR} int. {PASS_ONE}"
    assert refusal(stack, [2, 2], **arguments) == (TypeError, text)


@pytest.mark.parametrize("widths", [[], [3], (3,)])
def test_stack_refuses_too_few_widths(widths):
    text = (
        "stack: `widths` must hold the numbers of inputs and outputs at least; got "
        f"{widths!r}."
    )
    arguments = {"activation": "relu", "rng": rng()}
    assert refusal(stack, widths, **arguments) == (ValueError, text)


@pytest.mark.parametrize(
    ("widths", "kind", "text"),
    [
        ([3, 0, 2], ValueError, "Dense: `n_outputs` must be at least 1; got 0."),
        ([3, 2.5], TypeError, "Dense: `n_outputs` must be an integer; got 2.5."),
        (["3", 2], TypeError, "Dense: `n_inputs` must be an integer; got '3'."),
    ],
)
def test_stack_refuses_a_bad_width(widths, kind, text):
    arguments = {"activation": "relu", "rng": rng()}
    assert refusal(stack, widths, **arguments) == (kind, text)


@pytest.mark.parametrize(
    ("logits", "labels", "kind", "text"),
    [
        (np.zeros((2, 3), complex), [0, 1], TypeError, "`logits` must hold real numbers"
         "; got dtype complex128."),
        (np.zeros((2, 3)), [0.0, 1.0], TypeError, "`labels` must be integers; got "
         "float64."),
        (np.zeros((2, 3)), [True, False], TypeError, "`labels` must be integers; got "
         "bool."),
        (np.zeros((2, 3)), ["a", "b"], TypeError, "`labels` must be integers; got "
         "<U1."),
        (np.zeros((2, 3)), [0, 3], ValueError, "`labels` must be at least one, each "
         "from 0 to 2; got array([0, 3])."),
        (np.zeros((2, 3)), [-1, 0], ValueError, "`labels` must be at least one, each "
         "from 0 to 2; got array([-1,  0])."),
        (np.zeros((0, 3)), np.zeros(0, int), ValueError, "`labels` must be at least "
         "one, each from 0 to 2; got array([], dtype=int64)."),
    ],
)  # fmt: skip
def test_loss_refuses(logits, labels, kind, text):
    got = refusal(softmax_cross_entropy, logits, np.asarray(labels))
    assert got == (kind, f"softmax_cross_entropy: {text}")


@pytest.mark.parametrize(
    ("logits", "labels"),
    [((3,), (3,)), ((), ()), ((2, 3), (3,)), ((2, 3), ()), ((4, 2, 3), (4,))],
)
def test_loss_refuses_shapes_that_do_not_match(logits, labels):
    text = (
        "softmax_cross_entropy: `logits` (..., n, n_classes) and `labels` (..., n) "
        f"must have the same n; got shapes {logits} and {labels}."
    )
    got = refusal(softmax_cross_entropy, np.zeros(logits), np.zeros(labels, int))
    assert got == (ValueError, text)


@pytest.mark.parametrize(("logits", "labels"), [((4, 2), (3, 4)), ((2, 4, 2), (3, 4))])
def test_loss_refuses_labels_for_other_copies(logits, labels):
    shapes = re.escape(f"got shapes {logits} and {labels}.")
    with pytest.raises(ValueError, match=rf"^softmax_cross_entropy: .* {shapes}$"):
        softmax_cross_entropy(np.zeros(logits), np.zeros(labels, int))


@pytest.mark.parametrize(
    "layer", [Dense(2, 3, rng=rng()), Activation("relu"), PReLU(), RReLU(rng=rng())]
)
def test_backward_asks_for_forward_first(layer):
    text = f"{type(layer).__name__}.backward: `forward` must have been called before."
    assert refusal(layer.backward, np.zeros((1, 3))) == (ValueError, text)


def test_dense_refuses_the_name_of_an_initializer():
    text = (
        "Dense: `initializer` must be a function of (shape, rng), such as "
        "companion.initializers.he_normal; got 'he_normal'."
    )
    arguments = {"initializer": "he_normal", "rng": rng()}
    assert refusal(Dense, 2, 3, **arguments) == (TypeError, text)


@pytest.mark.parametrize("r", [rng(), rngs(2)])
def test_dense_refuses_weights_of_another_shape(r):
    def transposed(shape, *, rng):
        return rng.standard_normal(shape[::-1])

    text = "Dense: `initializer` must return shape (2, 3); got (3, 2)."
    arguments = {"initializer": transposed, "rng": r}
    assert refusal(Dense, 2, 3, **arguments) == (ValueError, text)


def test_stack_refuses_a_number():
    text = "stack: `widths` must hold the numbers of inputs and outputs at least; got 5"
    arguments = {"activation": "relu", "rng": rng()}
    assert refusal(stack, 5, **arguments) == (ValueError, f"{text}.")
