"""Learning rates that change: 1cycle, schedules in training, and the range test."""

import copy

import numpy as np
import pytest

from companion.mlp import Dropout, softmax_cross_entropy, stack
from companion.training import (
    SGD,
    Adam,
    Nadam,
    RMSProp,
    find_learning_rate,
    fit,
    one_cycle,
)

WIDTHS = [4, 6, 3]
SEEDS = (3, 5, 8)


def rng(seed=0):
    return np.random.default_rng(seed)


def rngs(seeds=SEEDS):
    return [rng(seed) for seed in seeds]


def rows(n=50):
    x = rng(42).standard_normal((n, 4))
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)


def build(r=None, activation="tanh", **options):
    return stack(WIDTHS, activation=activation, rng=r or rng(2), **options)


def train(net, optimizer, *, r=None, **options):
    options = {"epochs": 3, "batch_size": 16, "progress": False} | options
    return fit(net, *rows(), optimizer=optimizer, rng=r or rng(1), **options)


def weights(net):
    return [w for layer in net.trainable for w in layer.parameters.values()]


def same(net, other):
    for one, two in zip(weights(net), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def refusal(function, *args, **arguments):
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*args, **arguments)
    return caught.type, str(caught.value)


def spy(make):
    """Make an optimizer that remembers with what settings it took each step."""

    class Spy(make):
        def __init__(self, *args):
            super().__init__(*args)
            self.seen = []

        def step(self, layers):
            momentum = getattr(self, "momentum", None)
            self.seen.append((self.learning_rate.tolist(), momentum))
            super().step(layers)

    return Spy(1.0)


# --- 1cycle ---------------------------------------------------------------------------
@pytest.mark.parametrize("n_steps", [4, 5, 11, 100, 101, 1000])
@pytest.mark.parametrize("last", [0.05, 0.1, 0.5])
def test_one_cycle_goes_up_and_down_and_far_down(n_steps, last):
    schedule = one_cycle(n_steps, max_rate=2.0, start=0.25, final=0.001, last=last)
    steps = np.arange(n_steps)
    rates = np.array([schedule(int(step)) for step in steps])
    momenta = np.array([schedule.momentum(int(step)) for step in steps])
    top = rates.argmax()
    end = 2 * top  # of the cycle: down in as many steps as up
    assert rates[top] == 2
    assert abs((n_steps - 1 - end) - last * (n_steps - 1)) <= 2  # whole steps
    np.testing.assert_allclose(rates[: end + 1], rates[end::-1], rtol=1e-14)
    assert rates[0] == rates[end] == 0.5
    np.testing.assert_allclose(rates[-1], 0.002, rtol=1e-12)
    for part in (slice(top + 1), slice(top, end + 1), slice(end, None)):
        np.testing.assert_allclose(np.diff(rates[part], 2), 0, atol=1e-14)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    # The momentum goes the other way, and stays at the end.
    slope = (momenta - 0.95) / (rates - 0.5 + (rates == 0.5))
    np.testing.assert_allclose(slope[1:end], -0.1 / 1.5, rtol=1e-10)
    np.testing.assert_array_equal(momenta[end:], 0.95)
    assert momenta[0] == 0.95


def test_one_cycle_without_momentum_has_none():
    assert not hasattr(one_cycle(10, max_rate=1.0, momentum=None), "momentum")
    schedule = one_cycle(11, max_rate=1.0, momentum=(0.5, 0.25))
    assert [schedule.momentum(step) for step in (0, 4, 10)] == [0.5, 0.25, 0.5]


def test_one_cycle_takes_a_rate_for_each_copy():
    rates = np.array([0.1, 1.0, 4.0])
    together = one_cycle(20, max_rate=rates)
    for step in (0, 3, 19):
        expected = [one_cycle(20, max_rate=rate)(step) for rate in rates]
        np.testing.assert_array_equal(together(step), expected)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"n_steps": 3}, ValueError, "`n_steps` must be at least 4; got 3."),
        ({"n_steps": 9.0}, TypeError, "`n_steps` must be an integer; got 9.0."),
        (
            *({"max_rate": 0}, ValueError),
            "`max_rate` must be finite and above 0; got 0.0.",
        ),
        (
            *({"max_rate": [1, np.nan]}, ValueError),
            "`max_rate` must be finite and above 0; got [ 1. nan].",
        ),
        (
            *({"start": 0}, ValueError),
            "`start` must be a finite number above 0; got 0.0.",
        ),
        (
            *({"final": -1}, ValueError),
            "`final` must be a finite number above 0; got -1.0.",
        ),
        (
            *({"last": 0}, ValueError),
            "`last` must be a finite number above 0; got 0.0.",
        ),
        ({"last": 1}, ValueError, "`last` must be in (0, 1); got 1.0."),
        (
            *({"momentum": 0.9}, TypeError),
            "`momentum` must be a pair (high, low), or None; got 0.9.",
        ),
        (
            *({"momentum": (1.0, 0.9)}, ValueError),
            "`momentum` must be in [0, 1); got (1.0, 0.9).",
        ),
    ],
)
def test_one_cycle_refuses(arguments, kind, text):
    arguments = {"n_steps": 10, "max_rate": 1.0} | arguments
    assert refusal(one_cycle, **arguments) == (kind, f"one_cycle: {text}")


@pytest.mark.parametrize(
    ("step", "kind", "text"),
    [
        (10, ValueError, "`step` must be below `n_steps`, 10; got 10."),
        (-1, ValueError, "`step` must be at least 0; got -1."),
        (0.5, TypeError, "`step` must be an integer; got 0.5."),
    ],
)
def test_one_cycle_has_n_steps(step, kind, text):
    schedule = one_cycle(10, max_rate=1.0)
    for function in (schedule, schedule.momentum):
        assert refusal(function, step) == (kind, f"one_cycle: {text}")


# --- schedules in training ------------------------------------------------------------
@pytest.mark.parametrize("make", [SGD, Adam, Nadam])
def test_each_step_has_the_rate_and_momentum_of_its_schedule(make):
    optimizer, schedule = spy(make), one_cycle(12, max_rate=0.25)
    train(build(), optimizer, schedule=schedule)
    expected = [(schedule(step), schedule.momentum(step)) for step in range(12)]
    assert optimizer.seen == expected


@pytest.mark.parametrize("make", [SGD, RMSProp])
def test_a_schedule_may_leave_the_momentum_alone(make):
    optimizer = spy(make)
    train(build(), optimizer, schedule=lambda step: 1 / (step + 4))
    momentum = 0.0 if make is SGD else None
    assert optimizer.seen == [(1 / (step + 4), momentum) for step in range(12)]


def test_a_constant_schedule_is_none():
    nets = [build(), build()]
    train(nets[0], SGD(0.1, momentum=0.5))
    train(nets[1], SGD(9.9, momentum=0.5), schedule=lambda step: 0.1)
    same(*nets)


def test_copies_with_a_schedule_train_as_each_alone():
    rates = np.array([0.1, 0.4, 0.8])
    copies = build(rngs())
    schedule = one_cycle(12, max_rate=rates)
    together = train(copies, SGD(1.0), r=rngs((7, 8, 9)), schedule=schedule)
    for k, seed in enumerate(SEEDS):
        net = build(rng(seed))
        schedule = one_cycle(12, max_rate=rates[k])
        alone = train(net, SGD(1.0), r=rng(7 + k), schedule=schedule)
        np.testing.assert_allclose(together.loss[:, k], alone.loss, rtol=1e-12)
        for one, other in zip(weights(copies), weights(net), strict=True):
            np.testing.assert_allclose(one[k], other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("schedule", "optimizer", "kind", "text"),
    [
        (
            *(0.1, SGD(1.0), TypeError),
            "fit: `schedule` must be a function of the step; got 0.1.",
        ),
        (
            *(one_cycle(11, max_rate=0.1), SGD(1.0), ValueError),
            "fit: `schedule` must give the rates of all 12 steps; got an error for "
            "step 11.",
        ),
        (
            *(one_cycle(12, max_rate=0.1), RMSProp(1.0), ValueError),
            "fit: `schedule` must not have a momentum for RMSProp, which has none. "
            "Pass one_cycle(..., momentum=None).",
        ),
        (
            *(lambda step: 0.0, SGD(1.0), ValueError),
            "SGD: `learning_rate` must be finite and above 0; got 0.0.",
        ),
        (
            *(lambda step: [0.1, 0.2], SGD(1.0), ValueError),
            "fit: `learning_rate` must be a number or one for each copy; got shape "
            "(2,) for ().",
        ),
    ],
)
def test_bad_schedules_are_refused_before_a_step(schedule, optimizer, kind, text):
    net = build()
    assert refusal(train, net, optimizer, schedule=schedule) == (kind, text)
    same(net, build())


# --- the range test -------------------------------------------------------------------
def search(net, optimizer=None, **options):
    options = {"batch_size": 16, "rng": rng(1), "n_steps": 60} | options
    return find_learning_rate(net, *rows(), optimizer=optimizer or SGD(1.0), **options)


@pytest.mark.parametrize("make", [SGD, RMSProp, Adam, Nadam])
def test_rates_grow_geometrically_and_losses_are_those_of_training(make):
    # In minibatches of all rows, an epoch is a step.
    options = {"min_rate": 1e-4, "max_rate": 0.01, "n_steps": 12}
    test = search(build(), make(7.0), batch_size=50, **options)
    np.testing.assert_allclose(test.rates, 1e-4 * 100 ** (np.arange(12) / 11))
    history = train(
        *(build(), make(7.0)),
        **{"epochs": 12, "batch_size": 50},
        schedule=lambda step: test.rates[step],
    )
    np.testing.assert_allclose(test.losses, history.loss, rtol=1e-13)
    assert np.ptp(test.losses) > 1e-3


@pytest.mark.parametrize("batch_size", [1, 16, 49, 50, 51])
def test_every_row_is_seen_before_any_again(batch_size):
    # Nothing moves, so that the losses of an epoch are those of all rows.
    test = search(build(), batch_size=batch_size, min_rate=1e-300, max_rate=1e-299)
    per_epoch = -(-50 // batch_size)
    sizes = np.full(per_epoch, min(batch_size, 50))
    sizes[-1] = 50 - sizes[:-1].sum()
    loss, _ = softmax_cross_entropy(build().forward(rows()[0]), rows()[1])
    for epoch in range(60 // per_epoch):
        part = test.losses[epoch * per_epoch : (epoch + 1) * per_epoch]
        np.testing.assert_allclose((part * sizes).sum() / 50, loss, rtol=1e-12)


def test_it_ends_when_the_loss_explodes():
    test = search(build(activation="relu"), max_rate=1e4)
    n = len(test.rates)
    assert len(test.losses) == n < 60
    # 60 steps: the mean of three.
    means = [test.losses[i : i + 3].mean() for i in range(n - 2)]
    assert (means[:-1] <= 4 * means[0]).all()
    assert not means[-1] <= 4 * means[0]
    calm = search(build(), max_rate=1e-3)
    assert len(calm.rates) == len(calm.losses) == 60


def test_suggested_is_a_tenth_of_the_rate_with_the_lowest_mean():
    # 100 steps: the mean over two before and two after.
    lucky = 0
    for seed in range(8):
        net = build(rng(seed), "relu")
        test = search(net, max_rate=1e3, n_steps=100)
        n = len(test.losses)
        means = [test.losses[i - 2 : i + 3].mean() for i in range(2, n - 2)]
        lowest = 2 + int(np.argmin(means))
        assert 10 < lowest < n - 3
        np.testing.assert_allclose(test.suggestion, test.rates[lowest] / 10)
        lucky += lowest != test.losses.argmin()
    assert lucky > 4  # one such minibatch does not decide


@pytest.mark.parametrize("activation", ["tanh", "rrelu", "dropout"])
def test_net_optimizer_and_generators_stay_as_they_were(activation):
    def fresh():
        if activation != "dropout":
            return build(rng(2), activation, batch_norm="before")
        return build(rng(2), lambda n_units, r: Dropout(0.25, rng=r))

    net, other = fresh(), fresh()
    optimizer = SGD(0.25, momentum=0.9)
    train(net, optimizer)
    kept, state = copy.deepcopy(vars(optimizer)), dict(optimizer.state)
    first = search(net, optimizer)
    assert optimizer.learning_rate == kept["_learning_rate"] == 0.25
    assert optimizer.state.keys() == state.keys()
    for key, values in state.items():
        assert optimizer.state[key] is values
    # What has been trained, searched and trained is what has been trained twice.
    again = SGD(0.25, momentum=0.9)
    train(other, again)
    for one, state in ((net, optimizer), (other, again)):
        train(one, state, r=rng(9), epochs=1)
    same(net, other)
    second = search(fresh())
    assert first.losses[0] != second.losses[0]  # it started from the trained net


def test_same_generator_same_result():
    one, other, third = (search(build(), rng=rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.losses, other.losses)
    assert one.losses[0] != third.losses[0]


@pytest.mark.parametrize("own_orders", [True, False])
def test_copies_are_searched_as_each_alone(own_orders):
    options = {"max_rate": 1e4, "batch_size": 50}
    orders = rngs((7, 8, 9)) if own_orders else rng(7)
    copies = build(rngs(), "relu")
    for layer in copies.dense:  # the copies explode at different rates
        layer.parameters["W"] = layer.parameters["W"] * [[[1.0]], [[2.0]], [[0.5]]]
    together = search(copies, SGD(1.0, momentum=0.5), rng=orders, **options)
    lengths = []
    for k, seed in enumerate(SEEDS):
        net, order = build(rng(seed), "relu"), rng(7 + k * own_orders)
        for layer in net.dense:
            layer.parameters["W"] = layer.parameters["W"] * (1.0, 2.0, 0.5)[k]
        alone = search(net, SGD(1.0, momentum=0.5), rng=order, **options)
        n = len(alone.losses)
        losses = together.losses[:, k]
        # Rounding grows where the rates are too large for a stable training.
        np.testing.assert_allclose(losses[:n], alone.losses, rtol=1e-6)
        assert np.isnan(losses[n:]).all()
        assert together.suggestion[k] == alone.suggestion
        if own_orders:
            assert orders[k].random() == order.random()
        lengths.append(n)
    assert len(together.rates) == max(lengths)
    assert len(set(lengths)) > 1


def test_a_net_that_is_broken_has_no_suggestion():
    net = build(rngs((3, 5)))
    net.dense[-1].parameters["W"][1] = np.inf
    test = search(net)
    assert np.isfinite(test.suggestion[0])
    assert np.isnan(test.suggestion[1])
    assert np.isnan(test.losses[1:, 1]).all()


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        (
            *({"min_rate": 0.0}, ValueError),
            "`min_rate` must be a finite number above 0; got 0.0.",
        ),
        (
            *({"min_rate": 2.0, "max_rate": 2.0}, ValueError),
            "`max_rate` must be a finite number above 2; got 2.0.",
        ),
        ({"n_steps": 1}, ValueError, "`n_steps` must be at least 2; got 1."),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1; got 0."),
        (
            *({"optimizer": 0.1}, TypeError),
            "`optimizer` must be an SGD, RMSProp, Adam or Nadam; got 0.1.",
        ),
        (
            *({"rng": None}, TypeError),
            "`rng` must be a numpy.random.Generator; got NoneType. "
            "Pass rng=numpy.random.default_rng(seed).",
        ),
        (
            *({"rng": rngs()}, ValueError),
            "`rng` must be one generator, or a sequence of one for each copy of the "
            "net; got 3 for a net with copies ().",
        ),
    ],
)
def test_the_range_test_refuses(options, kind, text):
    assert refusal(search, build(), **options) == (kind, f"find_learning_rate: {text}")
