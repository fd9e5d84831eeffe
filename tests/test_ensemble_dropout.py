"""Dropout of nets computed at once: rates, masks and moments of each copy."""

import importlib

import numpy as np
import pytest

from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.dropout import alpha_dropout_affine

torch = pytest.importorskip("torch")
ensembles = importlib.import_module("ensembles")
functions = importlib.import_module("companion.torch.dropout")
build, close = ensembles.build, ensembles.close
N, WIDTH = 400, 50
RATES = [0.0, 0.05, 0.3, 0.9]
#: What a dropped unit is before mean and variance are restored.
VALUE = {"dropout": 0.0, "alpha_dropout": -SELU_SCALE * SELU_ALPHA}


def identity(seeds, kind, activation=lambda z: z, **options):
    """Return nets of two hidden layers that do nothing but drop."""
    return build(
        widths=4 * [WIDTH],
        seeds=seeds,
        activation=activation,
        initializer=lambda shape, rng: np.eye(*shape),
        dropout=kind,
        **options,
    )


def kept(seeds, rate=0.0, input_rate=0.0, steps=1, **options):
    """Return what is kept: by step, of the inputs and of two layers, by copy."""
    inputs = identity(seeds, "dropout", input_rate=input_rate, **options)
    # Their layers give 1, whatever enters.
    hidden = identity(seeds, "dropout", torch.ones_like, rate=rate, **options)
    masks, x = [], torch.ones(N, WIDTH)
    for _ in range(steps):
        outputs = inputs.layers(x, training=True)[:1]
        outputs += hidden.layers(x, training=True)[:2]
        masks.append([h.detach().numpy() != 0 for h in outputs])
    return np.array(masks)


def test_each_copy_drops_its_own_share():
    rates, steps = np.array(RATES), 3
    input_rates = rates[::-1]
    masks = kept(range(4), rates, input_rates, steps)
    shares = 1 - masks.mean(axis=(0, 3, 4))
    expected = np.array([input_rates, rates, rates])
    error = np.sqrt(expected * (1 - expected) / (steps * N * WIDTH))
    assert (np.abs(shares - expected) <= 5 * error).all()


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_no_other_rate_is_rounded_to_0_or_1(rate):
    # Of 2**20 units 16 are rare on average, with a standard deviation of 4, and none
    # with a chance of e**-16.
    drops = identity([0], "dropout", rate=rate).drops
    (drop,) = drops.of((1024, 1024))
    share = (drop(torch.ones(1, 1024, 1024)) == 0).double().mean()
    rare = min(share, 1 - share) * 2**20
    assert 0 < rare <= 16 + 5 * 4


def test_masks_are_independent():
    # In 2 steps, of the inputs and of 2 layers, of 3 copies with neighboring seeds.
    masks = kept(range(3), 0.5, 0.5, steps=2).reshape(18, N * WIDTH)
    correlation = np.corrcoef(masks)[np.triu_indices(18, 1)]
    assert np.abs(correlation).max() <= 5 / np.sqrt(N * WIDTH)
    for lag in (1, 2, 3, 4, WIDTH):
        lagged = [np.corrcoef(m[lag:], m[:-lag])[0, 1] for m in masks]
        assert np.abs(lagged).max() <= 5 / np.sqrt(N * WIDTH - lag)


def test_masks_are_those_of_no_weights_and_no_order():
    """The seed's streams differ: 0 draws weights, 1 the order, 2 and 3 the masks."""
    nets = identity([7], "dropout", rate=0.1, input_rate=0.1)
    streams = [drops.rngs[0] for drops in (nets.drops, nets.input_drops)]
    streams += [np.random.default_rng(7), np.random.default_rng([7, 1])]
    assert len({tuple(s.bit_generator.random_raw(4)) for s in streams}) == 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_of_a_copy_do_not_hang_on_the_others(dtype):
    dtype = getattr(torch, dtype)
    own = kept([1], 0.2, 0.3, steps=2)[:, :, 0]
    others = [
        (1, [3, 1, 4], [0.1, 0.2, 0.3], [0.0, 0.3, 0.1]),
        (0, [1, 9], [0.2, 0.0], [0.3, 0.0]),
        (2, [1, 1, 1], [0.9, 0.5, 0.2], 0.3),
    ]
    for k, seeds, rate, input_rate in others:
        together = kept(seeds, rate, input_rate, steps=2, dtype=dtype)[:, :, k]
        np.testing.assert_array_equal(together, own)


def test_masks_go_on_where_copies_are_taken():
    def masks(nets):
        outputs = nets.layers(torch.ones(N, WIDTH), training=True)[:-1]
        return np.array([(h != 0).detach().numpy() for h in outputs])

    whole = identity(range(3), "dropout", rate=[0.1, 0.2, 0.3], input_rate=0.1)
    taken = identity(range(3), "dropout", rate=[0.1, 0.2, 0.3], input_rate=0.1)
    np.testing.assert_array_equal(masks(whole), masks(taken))
    part = taken.take([2, 0])
    np.testing.assert_array_equal(masks(whole)[:, [2, 0]], masks(part))


@pytest.mark.parametrize("kind", VALUE)
def test_a_dropped_unit_has_its_value(kind):
    nets = identity(range(4), kind, rate=RATES)
    h = torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(0))
    outputs = nets.layers(h, training=True)[0].detach().numpy()
    rounded = np.round(np.multiply(RATES, 2**16)) / 2**16
    for y, rate, mask in zip(
        outputs, rounded, kept(range(4), RATES)[0, 1], strict=True
    ):
        a, b = 1 / (1 - rate), 0.0
        if kind == "alpha_dropout":
            a, b = alpha_dropout_affine(rate)
        close(y, a * np.where(mask, h.double(), VALUE[kind]) + b)
        assert mask.all() == (rate == 0)


def test_alpha_dropout_keeps_mean_and_variance():
    nets = identity(range(4), "alpha_dropout", rate=RATES)
    h = torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(0))
    h = (h - h.mean()) / h.std(correction=0)
    for y in nets.layers(h, training=True)[0].detach().numpy():
        squares = (y - y.mean()) ** 2
        # Five standard errors, of numbers as these are.
        assert abs(y.mean()) <= 5 * y.std() / np.sqrt(y.size)
        assert abs(squares.mean() - 1) <= 5 * squares.std() / np.sqrt(y.size)


def test_dropout_keeps_the_mean():
    nets = identity(range(4), "dropout", rate=RATES)
    for y in nets.layers(torch.ones(N, WIDTH), training=True)[0].detach().numpy():
        assert abs(y.mean() - 1) <= 5 * y.std() / np.sqrt(y.size)


@pytest.mark.parametrize("kind", VALUE)
def test_rate_0_leaves_a_copy_alone(kind):
    x = ensembles.rows(40)[0]
    rates = {"rate": [0.0, 0.2, 0.0], "input_rate": [0.0, 0.0, 0.3]}
    nets, plain = build(dropout=kind, **rates), build(dropout=kind)
    pairs = zip(nets.layers(x, training=True), plain.layers(x), strict=True)
    for ours, theirs in pairs:
        ours, theirs = ensembles.numbers([ours[0], theirs[0]])
        if kind == "dropout":
            np.testing.assert_array_equal(ours, theirs)
        else:  # v is subtracted and added again: a few roundings
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", VALUE)
def test_nothing_is_dropped_after_training(kind):
    x = ensembles.rows(40)[0]
    nets, plain = build(dropout=kind, rate=0.2, input_rate=0.3), build()
    assert all(map(torch.equal, nets.layers(x), plain.layers(x)))


@pytest.mark.parametrize("kind", VALUE)
def test_gradient_is_the_difference_quotient(kind):
    nets = identity(range(3), kind, rate=[0.0, 0.25, 0.5])
    (drop,) = nets.drops.of((5, 4))
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(3, 5, 4, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(drop, h.requires_grad_())


@pytest.mark.parametrize("kind", VALUE)
def test_values_and_gradients_are_those_of_the_function(kind):
    x, rates = torch.tensor(ensembles.rows(40)[0]), [0.25, 0.5]  # not rounded
    options = {"seeds": [3, 1], "rate": rates}
    nets = build(**options, dropout=kind)
    outputs = nets.layers(x, training=True)
    slopes = torch.autograd.grad(outputs[-1].square().sum(), nets.parameters)
    # The same masks, where nothing else makes a 0.
    ones = build(**options, dropout="dropout", activation=torch.ones_like)
    masks = [h != 0 for h in ones.layers(x, training=True)[:-1]]
    function = getattr(functions, kind)
    for k, rate in enumerate(rates):
        own = [w[k].detach().requires_grad_() for w in nets.parameters]
        weights, biases = own[: len(own) // 2], own[len(own) // 2 :]
        h = x
        for i, mask in enumerate(masks):
            h = torch.nn.functional.selu(h @ weights[i] + biases[i])
            h = function(h, rate, mask=mask[k])
            close(*ensembles.numbers([outputs[i][k], h]))
        logits = h @ weights[-1] + biases[-1]
        expected = torch.autograd.grad(logits.square().sum(), own)
        for ours, theirs in zip(slopes, expected, strict=True):
            close(ours[k], theirs)
