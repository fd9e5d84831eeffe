"""Training of nets at once: together, alone, in parts, and with early stopping."""

import importlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ensembles = importlib.import_module("ensembles")
ensemble = importlib.import_module("companion.torch.ensemble")
engine = importlib.import_module("companion.torch._ensemble_training")
SEEDS, RTOL, build, close = (
    getattr(ensembles, name) for name in ("SEEDS", "RTOL", "build", "close")
)
LEARNING_RATES = [0.02, 0.3, 0.05]
RATES = {"rate": [0.0, 0.1, 0.3], "input_rate": [0.1, 0.0, 0.2]}
OPTIONS = {"epochs": 12, "batch_size": 16, "patience": 3}


def some(values, k):
    return {name: value[k : k + 1] for name, value in values.items()}


def data(own):
    """Return rows for training and validation, of each copy or of all."""
    shape = (3,) if own else ()
    return ensembles.rows(*shape, 52), ensembles.rows(*shape, 30, seed=1)


def check_equal(net, history, other, histories, dtype, columns=slice(None)):
    """Compare the copies of a net with those of others, and what training saw."""
    rtol = RTOL[dtype]
    losses, validation, best_epoch, _ = histories
    ends = len(losses)
    for ours, theirs in ((history.losses, losses), (history.validation, validation)):
        close(ours[:ends, columns], theirs, rtol)
        assert np.isnan(ours[ends:, columns]).all()
    np.testing.assert_array_equal(history.best_epoch[columns], best_epoch)
    for ours, theirs in zip(ensembles.state(net), ensembles.state(other), strict=True):
        close(ours[columns], theirs, rtol)


@pytest.mark.parametrize("dtype", RTOL, ids=str)
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("method", ensemble.METHODS)
def test_each_copy_is_what_it_would_be_alone(method, own, dtype):
    rows, held = data(own)
    net = build(method, dtype=dtype, **RATES)
    history = ensemble.train(
        net, *rows, learning_rate=LEARNING_RATES, validation=held, **OPTIONS
    )
    logits = ensemble.predict(net, held[0]).numpy()
    stopped = np.isfinite(history.losses).sum(axis=0)
    assert len(set(stopped)) > 1  # else nothing would stop while others go on
    for k in range(3):
        alone = build(method, seeds=SEEDS[k : k + 1], dtype=dtype, **some(RATES, k))
        x, y, *pair = [a[k] if own else a for a in (*rows, *held)]
        histories = ensemble.train(
            alone, x, y, learning_rate=LEARNING_RATES[k], validation=pair, **OPTIONS
        )
        assert len(histories.losses) == stopped[k]
        check_equal(net, history, alone, histories, dtype, [k])
        close(logits[[k]], ensemble.predict(alone, pair[0]), RTOL[dtype])


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("method", ensemble.METHODS)
@pytest.mark.parametrize("groups", [1, 2])
def test_training_in_parts_is_training_at_once(groups, method, own):
    rows, held = data(own)
    nets = [build(method, **RATES) for _ in range(2)]
    bytes_of_two = 2 * engine.bytes_of_a_copy(nets[0], OPTIONS["batch_size"])
    histories = [
        ensemble.train(
            net,
            *rows,
            learning_rate=LEARNING_RATES,
            validation=held,
            max_bytes=limit,
            **OPTIONS,
        )
        for net, limit in zip(nets, (None, [1, bytes_of_two][groups - 1]), strict=True)
    ]
    check_equal(nets[0], histories[0], nets[1], histories[1], torch.float64)


@pytest.mark.parametrize(("limit", "groups"), [(1, 5), (2, 3), (4, 2), (5, 1)])
def test_parts_are_as_large_as_memory_allows(limit, groups, monkeypatch):
    x, y = ensembles.rows(20)
    net = build(seeds=range(5))
    calls, train = [], engine._train
    monkeypatch.setattr(
        engine, "_train", lambda n, *a, **o: calls.append(n.seeds) or train(n, *a, **o)
    )
    limit *= engine.bytes_of_a_copy(net, 8)
    options = {"learning_rate": 0.1, "epochs": 2, "batch_size": 8, "by_step": True}
    history = ensemble.train(net, x, y, max_bytes=limit, **options)
    assert sum(calls, ()) == net.seeds
    assert len(calls) == groups
    assert history.losses.shape == (6, 5)  # minibatches of 8, 8 and 4 rows
    assert history.validation.shape == (0, 5)
    np.testing.assert_array_equal(history.best_epoch, 1)


# --- early stopping -------------------------------------------------------------------
def brute_force(curve, patience):
    """Return the best epoch of a whole curve, and the epochs until training stops."""
    best = -1
    for epoch, loss in enumerate(curve):
        if np.isfinite(loss) and (best < 0 or loss < curve[best]):
            best = epoch
        if epoch - best >= patience:
            return best, epoch + 1
    return best, len(curve)


@pytest.mark.parametrize("method", ["selu", "residual"])
@pytest.mark.parametrize("patience", [1, 2, 5, 20])
def test_early_stopping_is_what_the_whole_curves_say(patience, method):
    rows, held = data(own=False)
    seeds, epochs = range(8), 15
    rates = [0.001, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0, 1e20]
    net, stopped = build(method, seeds), build(method, seeds)
    options = {"learning_rate": rates, "epochs": epochs, "validation": held}
    whole = ensemble.train(
        net, *rows, **options, after=lambda n: [w.copy() for w in ensembles.state(n)]
    )
    assert (whole.best_epoch == epochs - 1).all()
    assert np.isfinite(whole.validation[:, :6]).all()
    # Batch normalization bounds what the layers give on.
    assert np.isfinite(whole.validation[-1, 7]) == (method == "residual")
    history = ensemble.train(stopped, *rows, **options, patience=patience)
    for k in seeds:
        best, end = brute_force(whole.validation[:, k], patience)
        assert history.best_epoch[k] == best
        for name in ("losses", "validation"):
            curve = getattr(history, name)[:, k]
            close(curve[:end], getattr(whole, name)[:end, k])
            assert np.isnan(curve[end:]).all()
        for ours, theirs in zip(
            ensembles.state(stopped), whole.seen[best], strict=True
        ):
            close(ours[k], theirs[k])


@pytest.mark.parametrize("method", ["selu", "batch_norm"])
def test_a_copy_without_a_finite_loss_keeps_its_weights(method):
    (x, y), (held, labels) = data(own=True)
    held[1, 0] = np.nan
    net = build(method)
    start = [w.copy() for w in ensembles.state(net)]
    history = ensemble.train(
        *(net, x, y), learning_rate=0.02, validation=(held, labels), **OPTIONS
    )
    assert history.best_epoch[1] == -1
    assert (history.best_epoch[[0, 2]] >= 0).all()
    assert np.isnan(history.validation[:, 1]).all()
    assert np.isfinite(history.losses[:, 1]).sum() == OPTIONS["patience"]
    for ours, before in zip(ensembles.state(net), start, strict=True):
        np.testing.assert_array_equal(ours[1], before[1])
    others = build(method, seeds=[SEEDS[0], SEEDS[2]])
    histories = ensemble.train(
        *(others, x[[0, 2]], y[[0, 2]]),
        learning_rate=0.02,
        validation=(held[[0, 2]], labels[[0, 2]]),
        **OPTIONS,
    )
    check_equal(net, history, others, histories, torch.float64, [0, 2])


def test_a_copy_that_diverges_leaves_the_others_alone():
    (x, y), _ = data(own=False)
    net = build()
    rates = [0.01, 1e6, 0.02]
    history = ensemble.train(
        net, x, y, learning_rate=rates, epochs=6, after=lambda net: net.seeds
    )
    assert history.seen == 6 * [(3, 1, 4)]
    assert not np.isfinite(history.losses[-1, 1])
    others = build(seeds=[3, 4])
    losses = ensemble.train(others, x, y, learning_rate=[0.01, 0.02], epochs=6).losses
    close(history.losses[:, [0, 2]], losses)


def test_losses_of_steps_average_to_those_of_epochs():
    (x, y), held = data(own=False)

    def histories(by_step):
        options = {"learning_rate": 0.05, "epochs": 2, "batch_size": 16}
        return ensemble.train(
            build(), x, y, **options, validation=held, by_step=by_step
        )

    steps, epochs = histories(True), histories(False)
    losses = steps.losses.reshape(2, 4, 3)  # minibatches of 16, 16, 16 and 4 rows
    losses = np.average(losses, axis=1, weights=[16, 16, 16, 4])
    close(epochs.losses, losses)
    for history in (steps, epochs):
        assert history.validation.shape == (2, 3)
        np.testing.assert_array_equal(history.best_epoch, 1)
        assert history.seen == []


def test_copies_shuffle_on_their_own():
    x, y = np.tile(np.arange(8.0)[:, None], 6), np.zeros(8, int)
    net = build(activation=lambda z: z, seeds=[0, 1, 0])
    inputs, layers = [], net.layers
    net.layers = lambda x, training: inputs.append(x) or layers(x, training)
    ensemble.train(net, x, y, learning_rate=0.1, epochs=2, batch_size=3)
    seen = torch.cat(inputs, dim=1)[:, :, 0].numpy()
    for k, seed in enumerate(net.seeds):
        rng = np.random.default_rng([seed, 1])
        shuffled = np.concatenate([rng.permutation(8) for _ in range(2)])
        np.testing.assert_array_equal(seen[k], shuffled)


# --- unknown labels -------------------------------------------------------------------
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
def test_unknown_labels_do_not_count(own):
    (x, _), _ = data(own)
    y = np.random.default_rng(1).choice([0, 1, np.nan], (*x.shape[:-1], 3))
    net, rates, momentum = build(), [0.1, 0.3, 0.2], 0.5
    weights = [w.detach().clone().requires_grad_() for w in net.parameters]
    options = {"loss": "binary_cross_entropy", "momentum": momentum, "by_step": True}
    losses = ensemble.train(
        net, x, y, learning_rate=rates, epochs=2, batch_size=16, **options
    ).losses
    for k, seed in enumerate(SEEDS):
        own_x, own_y = (torch.tensor(a[k] if own else a) for a in (x, y))
        own_w = [w[k].detach().requires_grad_() for w in weights]
        velocity, step = [0.0] * len(own_w), 0
        rng = np.random.default_rng([seed, 1])
        for _ in range(2):
            for rows in np.split(rng.permutation(52), [16, 32, 48]):
                h = own_x[rows]
                for W, b in zip(own_w[:4], own_w[5:9], strict=True):
                    h = torch.nn.functional.selu(h @ W + b)
                terms = []
                for row, labels in zip(
                    h @ own_w[4] + own_w[9], own_y[rows], strict=True
                ):
                    for z, label in zip(row, labels, strict=True):
                        if not label.isnan():
                            sign = 1 - 2 * label
                            terms.append(torch.nn.functional.softplus(sign * z))
                loss = sum(terms) / len(terms)
                close(losses[step, k], loss.item())
                slopes = torch.autograd.grad(loss, own_w)
                with torch.no_grad():
                    velocity = [
                        momentum * v + rates[k] * g
                        for v, g in zip(velocity, slopes, strict=True)
                    ]
                    for w, v in zip(own_w, velocity, strict=True):
                        w -= v
                step += 1
        for ours, theirs in zip(net.parameters, own_w, strict=True):
            close(*ensembles.numbers([ours[k], theirs]))


def test_a_minibatch_of_unknown_labels_teaches_nothing():
    (x, _), _ = data(own=False)
    y = np.ones((4, 3))
    y[2] = np.nan
    net = build()
    history = ensemble.train(
        *(net, x[:4], y),
        learning_rate=0.1,
        epochs=1,
        batch_size=1,
        loss="binary_cross_entropy",
        by_step=True,
    )
    for k, seed in enumerate(SEEDS):
        order = np.random.default_rng([seed, 1]).permutation(4)
        np.testing.assert_array_equal(history.losses[:, k] == 0, order == 2)
    net = build()
    before = [w.copy() for w in ensembles.state(net)]
    ensemble.train(
        net, x[:4], y * np.nan, learning_rate=1, epochs=2, loss="binary_cross_entropy"
    )
    for ours, theirs in zip(ensembles.state(net), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
