"""Nets of the reference: copies, random slopes, what is built, and the loss."""

import numpy as np
import pytest
from helpers import EPS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nets import COPIES, MAKERS, NAMES, normal, rng, rngs
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
from companion.normalization import BatchNorm

pytestmark = pytest.mark.usefixtures("floating_point_errors")

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


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


@pytest.mark.parametrize("training", [True, False])
def test_rrelu_keeps_the_dtype_and_stops_infinity_without_slope(training):
    z = np.array([[-np.inf, -1.0, 2.0, np.inf]], "float32")
    y = RReLU(0.0, 0.0, rng=rng()).forward(z, training=training)
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y, [[0.0, 0.0, 2.0, np.inf]])


def test_rrelu_tells_function_and_derivative_after_training():
    z = [[-1.0, 0.0, 2.0]]
    layer = RReLU(0.25, 0.75, rng=rng())
    np.testing.assert_array_equal(layer.f(z), [[-0.5, 0.0, 2.0]])
    np.testing.assert_array_equal(layer.f_grad(z), [[0.5, 0.5, 1.0]])
    np.testing.assert_array_equal(layer.forward(z), layer.f(z))


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


@pytest.mark.parametrize(("make", "front"), [(rng, ()), (rngs, (COPIES,))])
@pytest.mark.parametrize("name", ["selu", "prelu", "rrelu"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_stack_normalizes_each_hidden_layer(place, name, make, front):
    net = stack([7, 6, 5, 2], activation=name, batch_norm=place, rng=make())
    plain = stack([7, 6, 5, 2], activation=name, rng=make())
    first, second, third = ([layer for layer in net.layers[i:6:3]] for i in range(3))
    norms, others = (second, third) if place == "before" else (third, second)
    assert {type(layer) for layer in norms} == {BatchNorm}
    for layer, n_units in zip(norms, (6, 5), strict=True):
        assert layer.gamma.shape == layer.running_var.shape == (*front, n_units)
        assert (layer.momentum, layer.eps, layer.axis) == (0.9, 1e-5, 1)
    # But for these it is the net that it is without.
    assert net.dense == [*first, net.layers[6]]
    rest = [layer for layer in net.layers if layer not in norms]
    assert [type(layer) for layer in rest] == [type(layer) for layer in plain.layers]
    assert [type(layer) for layer in others] == [type(plain.layers[1])] * 2
    for layer, same in zip(net.dense, plain.dense, strict=True):
        np.testing.assert_array_equal(layer.parameters["W"], same.parameters["W"])
    assert net.forward(normal(3, 7), training=True).shape == (*front, 3, 2)


@pytest.mark.parametrize("place", [None, "before", "after"])
def test_stack_without_hidden_layers_has_nothing_to_normalize(place):
    net = stack([4, 2], activation="relu", batch_norm=place, rng=rng())
    assert [type(layer) for layer in net.layers] == [Dense]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("place", ["before", "after"])
def test_copies_are_normalized_by_batches_of_their_own(place, shared):
    arguments = {"activation": "tanh", "batch_norm": place}
    copies = stack([6, 5, 4, 3], **arguments, rng=rngs())
    x = normal(7, 6) if shared else normal(COPIES, 7, 6)
    y = copies.forward(x, training=True)
    dx = copies.backward(np.ones_like(y) * [1.0, 2.0, 3.0])
    same = {"rtol": 1e-11, "atol": 1e-13}  # another order of sums, over a small spread
    for k, r in enumerate(rngs()):
        net = stack([6, 5, 4, 3], **arguments, rng=r)
        y_k = net.forward(x if shared else x[k], training=True)
        np.testing.assert_allclose(y[k], y_k, **same)
        dx_k = net.backward(np.ones_like(y_k) * [1.0, 2.0, 3.0])
        np.testing.assert_allclose(dx[k], dx_k, **same)
        for many, one in zip(copies.layers, net.layers, strict=True):
            if isinstance(one, BatchNorm):
                got, expected = many.running_var[k], one.running_var
                np.testing.assert_allclose(got, expected, **same)


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
