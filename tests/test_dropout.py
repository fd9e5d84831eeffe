"""Dropout and alpha dropout of the reference."""

import math

import numpy as np
import pytest
from dropouts import CONSTANTS, FORMS, MASKS, NAMES, X, constants
from helpers import EPS, close
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from companion import dropout as reference
from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.dropout import alpha_dropout, alpha_dropout_affine, dropout

pytestmark = pytest.mark.usefixtures("floating_point_errors")

quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)
rates = st.floats(0, 0.99)
#: From tiny to huge, but without squares that vanish or overflow.
points = st.fixed_dictionaries(
    {
        "alpha": st.floats(-3, 3),
        "scale": st.floats(-3, 3),
        "mean": st.floats(-10, 10),
        "var": st.floats(1e-3, 100),
    }
)


def rng(seed=1):
    return np.random.default_rng(seed)


# --- the affine correction ------------------------------------------------------------
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.5, 0.9])
def test_affine_is_that_of_the_paper_for_mean_0_and_variance_1(rate):
    q, dropped = 1 - rate, -SELU_SCALE * SELU_ALPHA
    expected = (q + dropped**2 * q * (1 - q)) ** -0.5
    a, b = alpha_dropout_affine(rate)
    assert a == pytest.approx(expected, rel=1e-14)
    assert b == pytest.approx(-expected * (1 - q) * dropped, rel=1e-14)
    assert b >= 0  # since the dropped value is negative


@quick
@given(
    x=hnp.arrays(float, st.integers(2, 20), elements=st.floats(-10, 10)).filter(
        lambda x: x.var() > 1e-3
    ),
    rate=rates,
    alpha=st.floats(-3, 3),
    scale=st.floats(-3, 3),
)
def test_affine_keeps_mean_and_variance_of_any_distribution(x, rate, alpha, scale):
    """Over all x and both values of d, weighted with their probabilities."""
    point = {"alpha": alpha, "scale": scale, "mean": x.mean(), "var": x.var()}
    kept, dropped = (
        alpha_dropout(x, rate, mask=np.array(keep), **point) for keep in (True, False)
    )
    weights = np.repeat([1 - rate, rate], len(x)) / len(x)
    y = np.concatenate([kept, dropped])
    mean = weights @ y
    # Some ten roundings of numbers no larger than 10 times an a of at most 10.
    assert mean == pytest.approx(x.mean(), abs=1e-12)
    assert weights @ (y - mean) ** 2 == pytest.approx(x.var(), rel=1e-10, abs=1e-10)


@quick
@given(rate=rates, point=points)
def test_affine_of_a_shifted_and_stretched_unit_follows(rate, point):
    """Alpha dropout of c x + d, with all constants changed likewise, is c y + d."""
    value = -point["alpha"] * point["scale"]
    a, b = alpha_dropout_affine(rate, **point)
    c, d = 3.0, 2.0
    moved = {"mean": c * point["mean"] + d, "var": c**2 * point["var"]}
    moved |= {"alpha": -(c * value + d), "scale": 1.0}
    a_moved, b_moved = alpha_dropout_affine(rate, **moved)
    assert a_moved == pytest.approx(a, rel=1e-10)
    assert b_moved == pytest.approx(c * b + d - a * d, rel=1e-10, abs=1e-10)


@quick
@given(point=points)
def test_affine_at_rate_0_is_the_identity(point):
    assert alpha_dropout_affine(0, **point) == (1.0, 0.0)


def test_affine_returns_python_floats():
    got = alpha_dropout_affine(np.float32(0.5), mean=np.int64(0), var=2)
    assert [type(number) for number in got] == [float, float]


def test_dropped_units_have_the_sign_that_is_often_left_out():
    y = alpha_dropout([0.0, 0.0], 0.1, mask=[True, False])
    assert y[1] < 0 < y[0]
    a, b = alpha_dropout_affine(0.1)
    assert (y[1] - b) / a == pytest.approx(-1.7580993408473766, rel=1e-14)


# --- values ---------------------------------------------------------------------------
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
@pytest.mark.parametrize(("name", "point"), FORMS)
def test_value_is_the_formula(name, point, rate, mask):
    kept = np.broadcast_to(MASKS[mask], X.shape)
    value, a, b = constants(name, rate, point)
    y = getattr(reference, name)(X, rate, mask=MASKS[mask], **point)
    expected = np.where(kept, a * X + b, a * value + b)
    size = np.where(kept, a * np.abs(X), 0) + abs(a * value) + abs(b)
    close(y, expected, 0.0, 4 * EPS["float64"] * size, name)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("name", "point"), FORMS)
def test_gradient_is_the_slope_of_the_value(name, point, mask):
    given_ = {"rate": 0.3, "mask": MASKS[mask], **point}
    x = rng().standard_normal(X.shape)
    f, f_grad = getattr(reference, name), getattr(reference, f"{name}_grad")
    slope = (f(x + 1, **given_) - f(x, **given_)) / 1  # piecewise linear: exact
    np.testing.assert_allclose(f_grad(x, **given_), slope, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_dropped_unit_forgets_what_it_was(name, bad):
    f = getattr(reference, name)
    y = f([bad, 0.0, bad], 0.1, mask=[False, False, True])
    assert np.isfinite(y[0])
    assert y[0] == y[1]
    assert not abs(y[2]) < 1e307  # kept, whatever it is


@pytest.mark.parametrize("name", [*NAMES, *(f"{name}_grad" for name in NAMES)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "bool"])
def test_dtype_is_kept_and_integers_become_float64(name, dtype):
    f, x = getattr(reference, name), np.ones((2, 3), dtype)
    expected = dtype if dtype.startswith("float") else "float64"
    for arguments in (
        {"mask": np.array([True, False, True])},
        {"rng": rng()},
        {"training": False},
    ):
        y = f(x, 0.5, **arguments)
        assert (y.dtype, y.shape) == (expected, (2, 3))
    assert f(1.0, 0.5, rng=rng()).shape == ()
    assert f(np.ones((0, 3)), 0.5, rng=rng()).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("rate", "training"), [(0, True), (0.5, False), (0, False)])
def test_nothing_is_dropped_or_drawn(name, rate, training):
    r = rng()
    state = r.bit_generator.state
    sources = {}, {"rng": r}, {"mask": np.zeros_like(X, bool)}
    for source in sources:
        given_ = {"rate": rate, "training": training, **source}
        np.testing.assert_array_equal(getattr(reference, name)(X, **given_), X)
        slopes = getattr(reference, f"{name}_grad")(X, **given_)
        np.testing.assert_array_equal(slopes, np.ones_like(X))
    assert r.bit_generator.state == state


@pytest.mark.parametrize("name", NAMES)
def test_mask_is_used_in_place_of_the_generator(name):
    r = rng()
    state = r.bit_generator.state
    f = getattr(reference, name)
    f(np.ones(3), 0.5, rng=r, mask=np.array([True, False, True]))
    assert r.bit_generator.state == state
    f(np.ones(3), 0.5, rng=r)
    assert r.bit_generator.state != state


@pytest.mark.parametrize("name", NAMES)
@quick
@given(rate=rates, seed=st.integers(0, 2**32))
def test_generator_in_the_same_state_drops_the_same_units(name, rate, seed):
    x = rng().standard_normal(20)
    f, f_grad = getattr(reference, name), getattr(reference, f"{name}_grad")
    mask = f_grad(x, rate, rng=rng(seed)) != 0
    y = f(x, rate, rng=rng(seed))
    np.testing.assert_array_equal(y, f(x, rate, mask=mask))


@quick
@given(rate=rates, more=rates, seed=st.integers(0, 2**32))
def test_higher_rate_drops_the_same_units_and_more(rate, more, seed):
    rate, more = sorted((rate, more))
    few, many = (dropout(np.ones(20), r, rng=rng(seed)) == 0 for r in (rate, more))
    assert (few <= many).all()


@pytest.mark.parametrize("point", CONSTANTS)
def test_constants_reach_the_affine_correction(point):
    x = rng().standard_normal(10)
    a, b = alpha_dropout_affine(0.25, **point)
    y = alpha_dropout(x, 0.25, mask=np.array(True), **point)
    np.testing.assert_allclose(y, a * x + b, rtol=1e-14, atol=1e-14)
    assert math.isclose(reference.alpha_dropout_grad(0.0, 0.25, mask=True, **point), a)
