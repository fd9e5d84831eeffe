"""Early stopping: the best weights come back, for each copy as if it were alone."""

import numpy as np
import pytest

from companion.mlp import stack
from companion.normalization import BatchNorm
from companion.training import SGD, Adam, fit

WIDTHS = [4, 16, 3]
SEEDS = (3, 5, 8, 13)
VALIDATION = 40


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(n, seed):
    """Draw classes of which three in ten are noise: a net soon learns that too."""
    r = rng(seed)
    x = r.standard_normal((n, 4))
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    return x, np.where(r.random(n) < 0.3, r.integers(3, size=n), y)


def build(seeds=SEEDS[0], **options):
    r = [rng(s) for s in seeds] if isinstance(seeds, tuple) else rng(seeds)
    return stack(WIDTHS, activation="tanh", rng=r, **options)


def train(net, *, r, epochs=60, optimizer=None, **options):
    return fit(
        net,
        *rows(30, 1),
        optimizer=optimizer or SGD(0.1, momentum=0.5),
        epochs=epochs,
        batch_size=8,
        rng=r,
        validation=rows(VALIDATION, 2),
        progress=False,
        **options,
    )


def state(net, copy=...):
    """Return all that a net has learned, or counted."""
    found = [w[copy] for layer in net.trainable for w in layer.parameters.values()]
    for layer in net.layers:
        if isinstance(layer, BatchNorm):
            found += [layer.running_mean[copy], layer.running_var[copy]]
    return found


def counts(net):
    return [layer.n_batches for layer in net.layers if isinstance(layer, BatchNorm)]


def same(one, other, **tolerance):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, **tolerance or {"rtol": 0})


@pytest.mark.parametrize("batch_norm", [None, "before"])
def test_the_best_epoch_comes_back(batch_norm):
    net = build(batch_norm=batch_norm)
    history = train(net, r=rng(7), patience=5)
    best = history.best_epoch
    assert 0 < best < 50  # it got better, and then worse
    assert len(history.loss) == len(history.validation_loss) == best + 1 + 5
    assert best == history.validation_loss.argmin()

    other = build(batch_norm=batch_norm)
    until = train(other, r=rng(7), epochs=int(best) + 1)
    same(state(net), state(other))
    assert counts(net) == counts(other)
    np.testing.assert_array_equal(until.loss, history.loss[: best + 1])

    longer = build(batch_norm=batch_norm)  # without patience nothing comes back
    train(longer, r=rng(7), epochs=len(history.loss))
    with pytest.raises(AssertionError):
        same(state(net), state(longer))


@pytest.mark.parametrize("patience", [1, 3, 10])
def test_patience_is_the_number_of_epochs_without_a_better_one(patience):
    history = train(build(), r=rng(7), patience=patience)
    losses, lowest, waited = history.validation_loss, np.inf, 0
    for epoch, loss in enumerate(losses):
        lowest, waited = (loss, 0) if loss < lowest else (lowest, waited + 1)
        assert (waited == patience) == (epoch == len(losses) - 1)


def test_it_comes_back_after_the_last_epoch_too():
    net, other = build(), build()
    history = train(net, r=rng(7), epochs=20, patience=100)
    assert len(history.loss) == 20
    assert history.best_epoch < 19
    train(other, r=rng(7), epochs=int(history.best_epoch) + 1)
    same(state(net), state(other))


def test_as_good_is_not_better():
    # With so small a learning rate nothing moves.
    history = train(build(), r=rng(7), optimizer=SGD(1e-300), patience=4)
    assert history.best_epoch == 0
    assert len(history.loss) == 5


@pytest.mark.parametrize("batch_norm", [None, "after"])
@pytest.mark.parametrize("own_orders", [True, False])
@pytest.mark.parametrize("make", [lambda: SGD(0.1, momentum=0.8), lambda: Adam(0.01)])
def test_each_copy_stops_as_it_would_alone(batch_norm, own_orders, make):
    close = {"rtol": 1e-8, "atol": 1e-10}  # rounding, grown by some hundred steps
    orders = [rng(20 + s) for s in SEEDS] if own_orders else rng(20)
    copies = build(SEEDS, batch_norm=batch_norm)
    options = {"patience": 3, "epochs": 40}
    together = train(copies, r=orders, optimizer=make(), **options)
    lengths = []
    for k, seed in enumerate(SEEDS):
        net, order = build(seed, batch_norm=batch_norm), rng(20 + seed * own_orders)
        alone = train(net, r=order, optimizer=make(), **options)
        same(state(copies, k), state(net), **close)
        assert together.best_epoch[k] == alone.best_epoch
        n = len(alone.loss)
        for name in ("loss", "validation_loss", "validation_accuracy"):
            curve = getattr(together, name)[:, k]
            np.testing.assert_allclose(curve[:n], getattr(alone, name), **close)
            assert np.isnan(curve[n:]).all()
        if own_orders:  # a copy that has stopped draws no order either
            assert orders[k].random() == order.random()
        lengths.append(n)
    assert len(set(lengths)) > 1
    assert len(together.loss) == max(lengths)


def test_counted_batches_are_those_of_the_last_best_epoch():
    copies = build(SEEDS, batch_norm="before")
    history = train(copies, r=rng(7), patience=3)
    assert len(set(history.best_epoch)) > 1
    steps = 4  # 30 rows in minibatches of 8
    assert counts(copies) == [steps * (history.best_epoch.max() + 1)]


def test_a_copy_that_diverges_gets_back_what_it_had():
    rates = np.array([0.1, 1.5e308])
    copies, before = build((3, 5)), state(build((3, 5)), 1)
    history = train(copies, r=rng(7), optimizer=SGD(rates), epochs=12, patience=2)
    assert history.best_epoch[1] == -1
    same(state(copies, 1), before)
    assert not np.isfinite(history.validation_loss[:2, 1]).any()
    assert np.isnan(history.validation_loss[2:, 1]).all()

    alone = build(3)
    expected = train(alone, r=rng(7), optimizer=SGD(0.1), epochs=12, patience=2)
    assert history.best_epoch[0] == expected.best_epoch > 0
    same(state(copies, 0), state(alone), rtol=1e-11)


def test_patience_changes_nothing_that_it_does_not_restore():
    one, other = build(), build()
    with_it = train(one, r=rng(7), epochs=8, patience=100)
    without = train(other, r=rng(7), epochs=8)
    np.testing.assert_array_equal(with_it.loss, without.loss)
    np.testing.assert_array_equal(with_it.validation_loss, without.validation_loss)
    assert without.best_epoch is None


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"patience": 0}, ValueError, "`patience` must be at least 1; got 0."),
        ({"patience": 2.0}, TypeError, "`patience` must be an integer; got 2.0."),
        ({"patience": True}, TypeError, "`patience` must be an integer; got True."),
    ],
)
def test_refusals(options, kind, text):
    with pytest.raises(kind) as caught:
        train(build(), r=rng(7), **options)
    assert str(caught.value) == f"fit: {text}"


def test_patience_needs_validation_data():
    text = "^fit: `validation` must be given where there is a `patience`; got None.$"
    options = {"optimizer": SGD(0.1), "epochs": 1, "batch_size": 8, "rng": rng()}
    with pytest.raises(ValueError, match=text):
        fit(build(), *rows(30, 1), **options, patience=2)
