"""Weights near 0: the penalty on their sizes, and setting them to 0."""

import numpy as np
import pytest

from companion.mlp import softmax_cross_entropy, stack
from companion.training import SGD, Adam, fit, prune

SEEDS = (3, 5, 8)


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(n=60):
    """Draw inputs of which two in ten matter."""
    x = rng(42).standard_normal((n, 10))
    return x, (x[:, 0] + x[:, 1] > 0).astype(int)


def build(r=None):
    return stack([10, 6, 2], activation="prelu", batch_norm="before", rng=r or rng(2))


def train(net, *, r=None, optimizer=None, **options):
    options = {"epochs": 3, "batch_size": 16, "progress": False} | options
    optimizer = optimizer or SGD(0.1)
    return fit(net, *rows(), optimizer=optimizer, rng=r or rng(1), **options)


def parameters(net):
    return [item for layer in net.trainable for item in layer.parameters.items()]


# --- l1 -------------------------------------------------------------------------------
def test_l1_adds_the_sign_of_each_weight_to_its_gradient():
    one, other = build(), build()
    for net in (one, other):
        net.dense[0].parameters["W"][0, :2] = 0  # has no sign
    signs = {id(layer): np.sign(layer.parameters["W"]) for layer in one.dense}
    step = {"epochs": 1, "batch_size": 60}
    train(one, l1=0.25, **step)
    train(other, **step)
    for layer, twin in zip(one.trainable, other.trainable, strict=True):
        for name, value in layer.parameters.items():
            moved = 0.1 * 0.25 * signs[id(layer)] if name == "W" else 0
            expected = twin.parameters[name] - moved
            np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-15)
    assert {name for name, _ in parameters(one)} == {"W", "b", "alpha", "gamma", "beta"}


def test_l1_is_the_gradient_of_the_sum_of_sizes():
    # Against differences of the penalized loss, in a net without a kink nearby.
    x, y = rows()
    net = stack([10, 2], activation="tanh", rng=rng(2))
    W = net.dense[0].parameters["W"].copy()

    def loss(W):
        net.dense[0].parameters["W"] = W
        return softmax_cross_entropy(net.forward(x), y)[0] + 0.5 * np.abs(W).sum()

    h, expected = 1e-6, np.empty_like(W)
    for i in np.ndindex(*W.shape):
        d = np.zeros_like(W)
        d[i] = h
        expected[i] = (loss(W + d) - loss(W - d)) / (2 * h)
    net.dense[0].parameters["W"] = W
    train(net, optimizer=SGD(1.0), epochs=1, batch_size=60, l1=0.5)
    got = W - net.dense[0].parameters["W"]
    # A central difference: h**2, and rounding over h.
    np.testing.assert_allclose(got, expected, atol=1e-8)


def test_no_l1_changes_nothing():
    one, other = build(), build()
    losses = train(one).loss, train(other, l1=0.0).loss
    np.testing.assert_array_equal(*losses)
    for (_, w), (_, twin) in zip(*map(parameters, (one, other)), strict=True):
        np.testing.assert_array_equal(w, twin)


def test_the_history_does_not_count_l1():
    # With so small a learning rate nothing moves.
    losses = [train(build(), optimizer=SGD(1e-300), l1=l1).loss for l1 in (0.0, 5.0)]
    np.testing.assert_array_equal(*losses)


def test_copies_with_l1_train_as_each_alone():
    copies = build([rng(s) for s in SEEDS])
    orders = [rng(10 + s) for s in SEEDS]
    train(copies, r=orders, optimizer=Adam(0.01), l1=0.01)
    for k, seed in enumerate(SEEDS):
        net = build(rng(seed))
        train(net, r=rng(10 + seed), optimizer=Adam(0.01), l1=0.01)
        for (_, one), (_, other) in zip(*map(parameters, (copies, net)), strict=True):
            np.testing.assert_allclose(one[k], other, rtol=1e-9, atol=1e-11)


def test_l1_leaves_weights_small_that_do_not_matter():
    shares = []
    for l1 in (0.0, 0.02):
        net = stack([10, 2], activation="tanh", rng=rng(2))
        train(net, l1=l1, epochs=200)
        shares.append(prune(net, 0.02))
    without, with_it = shares
    assert without < 0.3
    # Each step is 0.1 * 0.02 long: the 16 weights of no use stay that near to 0.
    assert 0.5 < with_it <= 0.8


@pytest.mark.parametrize(
    ("l1", "kind", "text"),
    [
        (-0.1, ValueError, "must be a finite number of at least 0; got -0.1."),
        (np.inf, ValueError, "must be a finite number of at least 0; got inf."),
        ("a", TypeError, "must be a real number; got 'a'."),
    ],
)
def test_l1_refusals(l1, kind, text):
    with pytest.raises(kind) as caught:
        train(build(), l1=l1)
    assert str(caught.value) == f"fit: `l1` {text}"


# --- pruning --------------------------------------------------------------------------
def test_prune_sets_what_is_below_the_threshold_to_0():
    net = build()
    before = [(name, w.copy()) for name, w in parameters(net)]
    size = np.abs(net.dense[0].parameters["W"][0, 0])  # just the threshold: stays
    share = prune(net, size)
    zeros = total = 0
    for (name, old), (_, new) in zip(before, parameters(net), strict=True):
        small = (np.abs(old) < size) & (name == "W")
        np.testing.assert_array_equal(new, np.where(small, 0, old))
        zeros += small.sum()
        total += old.size * (name == "W")
    assert net.dense[0].parameters["W"][0, 0] != 0
    assert 0 < share == zeros / total < 1
    assert prune(net, 0) == share  # those that are 0 already count


def test_prune_leaves_nan():
    net = build()
    net.dense[0].parameters["W"][0] = np.nan
    assert prune(net, 1e9) == 1 - 6 / 72
    assert np.isnan(net.dense[0].parameters["W"][0]).all()


def test_prune_leaves_the_old_arrays_alone():
    net = build()
    old = net.dense[0].parameters["W"]
    old.setflags(write=False)
    prune(net, 1e9)
    assert (old != 0).all()


def test_copies_are_pruned_as_each_alone():
    copies = build([rng(s) for s in SEEDS])
    shares = prune(copies, 0.2)
    assert len(set(shares)) > 1
    for k, seed in enumerate(SEEDS):
        net = build(rng(seed))
        assert prune(net, 0.2) == shares[k]
        for one, other in zip(copies.dense, net.dense, strict=True):
            np.testing.assert_array_equal(one.parameters["W"][k], other.parameters["W"])


@pytest.mark.parametrize(
    ("threshold", "kind", "text"),
    [
        (-1, ValueError, "must be a finite number of at least 0; got -1.0."),
        (np.nan, ValueError, "must be a finite number of at least 0; got nan."),
        (None, TypeError, "must be a real number; got None."),
    ],
)
def test_prune_refuses(threshold, kind, text):
    net = build()
    with pytest.raises(kind) as caught:
        prune(net, threshold)
    assert str(caught.value) == f"prune: `threshold` {text}"
    assert all((layer.parameters["W"] != 0).all() for layer in net.dense)
