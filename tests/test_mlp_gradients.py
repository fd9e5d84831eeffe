"""Backward passes of the reference against differences, and faults that are found."""

import numpy as np
import pytest
from helpers import EPS, close
from nets import BATCHES, COPIES, MAKERS, NAMES, batches, normal, rng, rngs

from companion.mlp import (
    ACTIVATIONS,
    Activation,
    Dense,
    PReLU,
    Sequential,
    softmax_cross_entropy,
    stack,
)

pytestmark = pytest.mark.usefixtures("floating_point_errors")

KINKED = ("relu", "leaky_relu", "prelu", "rrelu", "elu", "selu")

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


def test_net_with_two_dense_in_a_row_and_a_last_activation():
    net = Sequential([Dense(3, 4, rng=rng()), Dense(4, 2, rng=rng(1))])
    net = Sequential([*net.layers, Activation("tanh")])
    assert len(net.dense) == 2
    check_backward(net, normal(4, 3))
