"""Random weights of the reference: the statistics, the fans and the refusals."""

import math

import numpy as np
import pytest
from helpers import EPS, FALSE_ALARM, public, refusal
from scipy import stats
from weights import (
    BAD,
    BAD_GAINS,
    BAD_NAMES,
    BAD_SHAPES,
    DENSE,
    FANS,
    GENERAL,
    NAMED,
    NAMES,
    ORTHOGONAL,
    RECOMMENDED,
    check_even,
    check_orthogonal,
    check_weights,
)

from companion import activations, initializers
from companion.initializers import DISTRIBUTIONS, TRUNCATED_STD


def rng(seed=1):
    return np.random.default_rng(seed)


def test_every_public_function_is_tested():
    assert public(initializers) == {*NAMES, "fan", "fans", "recommended"}


@pytest.mark.parametrize(("mode", "distribution", "shape"), GENERAL)
def test_weights_have_the_statistics_asked_for(mode, distribution, shape):
    w = initializers.variance_scaling(
        shape, scale=1.7, mode=mode, distribution=distribution, rng=rng()
    )
    assert w.shape == shape
    assert w.dtype == np.float64
    check_weights(w, 1.7 / FANS[shape][mode], distribution)


@pytest.mark.parametrize("shape", FANS)
@pytest.mark.parametrize("name", NAMED)
def test_named_initializer_is_variance_scaling(name, shape):
    scale, mode, distribution = NAMED[name]
    w = getattr(initializers, name)(shape, rng=rng())
    general = initializers.variance_scaling(
        shape, scale=scale, mode=mode, distribution=distribution, rng=rng()
    )
    np.testing.assert_array_equal(w, general)
    check_weights(w, scale / FANS[shape][mode], distribution)


@pytest.mark.parametrize("name", [n for n in NAMED if n.endswith("uniform")])
def test_uniform_weights_reach_their_limit(name):
    scale, mode, _ = NAMED[name]
    limit = math.sqrt(3 * scale / FANS[DENSE][mode])
    w = getattr(initializers, name)(DENSE, rng=rng())
    # All N draws stay a share d below the limit with probability (1 - d)**N.
    nearly = 1 - FALSE_ALARM ** (1 / w.size)
    assert limit * (1 - nearly) <= np.abs(w).max() <= limit


def test_truncated_std_is_that_of_scipy():
    np.testing.assert_allclose(TRUNCATED_STD, stats.truncnorm(-2, 2).std(), rtol=1e-14)


def test_truncated_weights_end_at_two_standard_deviations():
    w = initializers.variance_scaling(DENSE, distribution="truncated_normal", rng=rng())
    assert np.abs(w).max() <= 2 / TRUNCATED_STD / math.sqrt(500)


@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((784, 100), (784, 100)),
        ([1, 1], (1, 1)),
        ((7, 16, 32), (112, 224)),
        ((3, 3, 16, 32), (144, 288)),
        ((2, 3, 4, 5, 6), (120, 144)),
        (np.array([20, 30]), (20, 30)),
    ],
)
def test_fans_count_connections(shape, fans):
    assert initializers.fans(shape) == fans
    assert initializers.fan(shape, "fan_in") == fans[0]
    assert initializers.fan(shape, "fan_out") == fans[1]
    assert initializers.fan(shape, "fan_avg") == sum(fans) / 2


@pytest.mark.parametrize("gain", [1.0, 1.7])
@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_orthogonal_keeps_lengths(shape, gain):
    w = initializers.orthogonal(shape, gain=gain, rng=rng())
    assert w.shape == shape
    assert w.dtype == np.float64
    check_orthogonal(w.reshape(-1, shape[-1]), gain, EPS["float64"])


def test_orthogonal_is_even():
    r = rng()
    check_even([initializers.orthogonal((3, 3), rng=r)[0, 0] for _ in range(4000)])


def test_check_finds_an_orthogonal_matrix_without_its_signs():
    r = rng()
    uneven = [np.linalg.qr(r.standard_normal((3, 3)))[0] for _ in range(4000)]
    check_orthogonal(uneven[0], 1.0, EPS["float64"])
    with pytest.raises(AssertionError, match="mean"):
        check_even([w[0, 0] for w in uneven])


def test_check_finds_what_is_not_orthogonal():
    w = initializers.orthogonal((50, 20), rng=rng())
    for bad in (
        1.001 * w,
        w + 1e-6,
        w[:-1],
        initializers.lecun_normal((50, 20), rng=rng()),
    ):
        with pytest.raises(AssertionError, match="Not equal"):
            check_orthogonal(bad, 1.0, EPS["float64"])


def test_recommendations_are_for_every_activation():
    ours = {name.removesuffix("_grad") for name in vars(activations) if "_grad" in name}
    assert set(RECOMMENDED) == ours | {"linear", "softmax"}
    offered = [a for names in initializers.RECOMMENDED.values() for a in names]
    assert sorted(offered) == sorted(RECOMMENDED)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("name", RECOMMENDED)
def test_for_activation(name, distribution):
    expected = getattr(initializers, f"{RECOMMENDED[name]}_{distribution}")
    assert initializers.for_activation(name, distribution) is expected
    if distribution == "normal":
        assert initializers.for_activation(name) is expected


@pytest.mark.parametrize("name", NAMED)
def test_same_seed_gives_the_same_weights(name):
    draw = getattr(initializers, name)
    np.testing.assert_array_equal(draw((4, 3), rng=rng(5)), draw((4, 3), rng=rng(5)))
    assert np.all(draw((4, 3), rng=rng(5)) != draw((4, 3), rng=rng(6)))
    generator = rng(5)
    first, second = draw((4, 3), rng=generator), draw((4, 3), rng=generator)
    assert np.all(first != second)


@pytest.mark.parametrize(("argument", "value", "error", "text"), BAD)
def test_bad_argument_is_refused(argument, value, error, text):
    got = refusal(initializers.variance_scaling, (2, 3), **{argument: value}, rng=rng())
    assert got == (error, f"variance_scaling: `{argument}` {text}")


@pytest.mark.parametrize(("value", "error", "text"), BAD_GAINS)
def test_bad_gain_is_refused(value, error, text):
    got = refusal(initializers.orthogonal, (2, 3), gain=value, rng=rng())
    assert got == (error, f"orthogonal: `gain` {text}")


@pytest.mark.parametrize(("arguments", "text"), BAD_NAMES)
def test_bad_activation_is_refused(arguments, text):
    got = refusal(initializers.for_activation, *arguments)
    assert got == (ValueError, f"for_activation: {text}")


@pytest.mark.parametrize(("shape", "error", "text"), BAD_SHAPES)
def test_bad_shape_is_refused(shape, error, text):
    got = refusal(initializers.orthogonal, shape, rng=rng())
    assert got == (error, f"orthogonal: `shape` {text}")
    got = refusal(initializers.variance_scaling, shape, rng=rng())
    assert got == (error, f"variance_scaling: `shape` {text}")
    got = refusal(initializers.fans, shape)
    assert got == (error, f"fans: `shape` {text}")


@pytest.mark.parametrize("value", [None, 0, np.random.RandomState(0), np.random])
@pytest.mark.parametrize("name", ["variance_scaling", "orthogonal"])
def test_randomness_is_explicit(name, value):
    assert refusal(getattr(initializers, name), (2, 3), rng=value) == (
        TypeError,
        f"{name}: `rng` must be a numpy.random.Generator; got "
        f"{type(value).__name__}. Pass rng=numpy.random.default_rng(seed).",
    )


def test_fan_refuses_an_unknown_mode():
    error, text = refusal(initializers.fan, (2, 3), "in")
    assert error is ValueError
    assert text.startswith("fan: `mode` must be one of 'fan_in', ")


# --- the check can fail ---------------------------------------------------------------
def test_check_finds_truncation_without_correction():
    z = stats.truncnorm(-2, 2).rvs(100_000, random_state=rng())
    check_weights(z / TRUNCATED_STD, 1.0, "truncated_normal")
    with pytest.raises(AssertionError, match="variance"):
        check_weights(z, 1.0, "truncated_normal")


def test_check_finds_the_wrong_fan():
    w = initializers.he_normal(DENSE, rng=rng())
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w, 2 / 200, "normal")
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w, 2 / 350, "normal")


def test_check_finds_a_mean():
    w = initializers.lecun_normal(DENSE, rng=rng())
    with pytest.raises(AssertionError, match="mean"):
        check_weights(w + 0.05 * w.std(), 1 / 500, "normal")


@pytest.mark.parametrize("drawn", DISTRIBUTIONS)
@pytest.mark.parametrize("claimed", DISTRIBUTIONS)
def test_check_tells_the_distributions_apart(drawn, claimed):
    w = initializers.variance_scaling(DENSE, distribution=drawn, rng=rng())
    if drawn == claimed:
        check_weights(w, 1 / 500, claimed)
    else:
        with pytest.raises(AssertionError, match=r"variance|range|distribution"):
            check_weights(w, 1 / 500, claimed)


def test_check_finds_repeated_rows():
    w = initializers.lecun_normal(DENSE, rng=rng())
    with pytest.raises(AssertionError, match=r"mean|variance|distribution"):
        check_weights(np.broadcast_to(w[:1], DENSE), 1 / 500, "normal")


def test_check_finds_a_range_too_wide():
    w = initializers.lecun_uniform(DENSE, rng=rng())
    w[0, 0] = math.sqrt(3 / 500) * 1.001
    with pytest.raises(AssertionError, match="range"):
        check_weights(w, 1 / 500, "uniform")


def test_check_wants_enough_weights():
    with pytest.raises(AssertionError, match="too few"):
        check_weights(np.zeros(10), 1.0, "normal")
