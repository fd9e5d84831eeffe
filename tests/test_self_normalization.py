"""The closed forms against quadrature, the constants against their equations."""

import re
from decimal import Decimal

import mpmath as mp
import numpy as np
import pytest
from helpers import refusal
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.activations import SELU_ALPHA, SELU_SCALE, selu
from companion.self_normalization import (
    constants,
    fixed_point,
    iterate,
    jacobian,
    moments,
)

MEANS = [-60.0, -10.0, -3.0, -1.0, -0.1, -1e-3, 0.0, 1e-3, 0.1, 1.0, 3.0, 10.0, 300.0]
VARIANCES = [1e-10, 1e-6, 1e-4, 0.01, 0.2499, 0.2501, 1.0, 4.0, 30.0, 1e4]


def quadrature(m, v, alpha=SELU_ALPHA, scale=SELU_SCALE):
    """Return mean, variance and their derivatives by m and v, integrated.

    Nothing nearly equal is subtracted: c = selu(m) is taken off before squaring, and
    f(z) - c is written for each pair of branches.
    """
    s = np.sqrt(v)
    # The bell of u, the same tilted by exp(su) and exp(2su), and the kink, towards
    # which exp(2su) falls off within 1 / s.
    kink = np.clip(-m / s, -38, 38 + 2 * s)
    bells = np.add.outer(s * np.arange(3), np.arange(-38, 39))
    near = kink - 2.0 ** np.arange(-6, 6) / s
    edges = np.unique([kink, *bells.ravel(), *near[near > -38]])
    nodes, weights = np.polynomial.legendre.leggauss(30)
    half = np.diff(edges)[:, None] / 2
    u = (edges[:-1, None] + half + half * nodes).ravel()
    p = (half * weights).ravel() * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    right, below_zero = u > kink, np.minimum(m + s * u, 0)
    e = np.exp(below_zero)
    if m > 0:
        c, f = m, np.where(right, s * u, alpha * np.expm1(below_zero) - m)
    else:
        c = alpha * np.expm1(m)
        f = np.where(right, m + s * u - c, alpha * np.exp(m) * np.expm1(s * u * ~right))
    slope = np.where(right, 1, alpha * e)
    spike = (1 - alpha) * np.exp(-((m / s) ** 2) / 2) / np.sqrt(2 * np.pi) / s
    first, second, slopes = p @ f, p @ f**2, p @ slope
    bends = spike + p @ (slope * ~right)
    below, squares = p @ (f * slope * ~right), p @ slope**2
    return np.array(
        [
            scale * (c + first),
            scale**2 * (second - first**2),
            scale * slopes,
            scale * bends / 2,
            scale**2 * 2 * (p @ (f * slope) - first * slopes),
            scale**2 * (squares + below - c * spike - first * bends),
        ]
    )


def closed_form(m, v, **options):
    """Return the same six from the package: with these weights m and v arrive."""
    values = moments(m, v, weight_sum=1.0, **options)
    return np.array([*values, *jacobian(m, v, weight_sum=1.0, **options).ravel()])


def require_integrals(m, v, found, **options):
    """Require 12 digits of what does not cancel.

    The mean may, and the covariance of f and f'; and the spike of f'' at the kink may
    cancel the rest of f''.
    """
    expected = quadrature(m, v, **options)
    size = abs(expected)
    spike = np.exp(-(m**2) / v / 2) / v**0.5
    allowed = 1e-12 * size + 1e-300
    allowed[0] += 1e-15
    allowed[3:] += 1e-13 * spike * (1 + size[0])
    allowed[4] += 1e-14 * size[1] ** 0.5 * size[2]
    assert (abs(found - expected) <= allowed).all(), (found, expected)


@pytest.mark.parametrize("v", VARIANCES)
@pytest.mark.parametrize("m", MEANS)
def test_closed_form_is_the_integral(m, v):
    require_integrals(m, v, closed_form(m, v))


@pytest.mark.parametrize(("alpha", "scale"), [(1.0, 1.0), (0.0, 2.0), (3.0, 0.5)])
@pytest.mark.parametrize("m", [-2.0, 0.0, 0.5])
def test_closed_form_with_other_constants(m, alpha, scale):
    found = closed_form(m, 1.5, alpha=alpha, scale=scale)
    require_integrals(m, 1.5, found, alpha=alpha, scale=scale)


@given(st.floats(-300, 1000), st.floats(1e-10, 1e4))
def test_closed_form_is_the_integral_anywhere(m, v):
    require_integrals(m, v, closed_form(m, v))


@pytest.mark.parametrize("which", range(6))
def test_a_wrong_digit_is_found(which):
    found = closed_form(0.5, 1.0)
    found[which] *= 1 + 1e-11
    with pytest.raises(AssertionError):
        require_integrals(0.5, 1.0, found)


def test_the_quadrature_is_that_of_forty_digits():
    with mp.workdps(40):
        alpha, scale, s = mp.mpf(SELU_ALPHA), mp.mpf(SELU_SCALE), mp.sqrt(2)

        def f(u):
            z = s * u - 1
            return scale * (z if z > 0 else alpha * mp.expm1(z))

        edges = [-14, -7, 0, 1 / s, 7, 14]
        mean = mp.quad(lambda u: f(u) * mp.npdf(u), edges)
        square = mp.quad(lambda u: f(u) ** 2 * mp.npdf(u), edges)
        expected = [float(mean), float(square - mean**2)]
    np.testing.assert_allclose(quadrature(-1.0, 2.0)[:2], expected, 1e-14)


def test_both_sides_of_a_switch_of_formula_agree():
    # from the series to differences at v = 0.25, from one branch to the other at m = 0
    for m, v in ((-0.1, 0.25), (0.1, 0.25), (0.0, 1.0), (-2.0, 1.0), (-4.0, 4.0)):
        near = [closed_form(m + d, v + d) for d in (-1e-13, 0.0, 1e-13)]
        np.testing.assert_allclose(near, [near[1]] * 3, 1e-11, 1e-12)


def test_sampled_units_have_these_moments():
    rng = np.random.default_rng(0)
    h = selu(rng.normal(-0.2, 1.3, 4_000_000))
    mean, var = moments(-2.0, 1.69, weight_sum=0.1)
    deviations = (h - h.mean()) ** 2
    assert abs(h.mean() - mean) < 5 * h.std() / 2000
    assert abs(deviations.mean() - var) < 5 * deviations.std() / 2000


@given(st.floats(-5, 5), st.floats(0.01, 20), st.floats(-2, 2), st.floats(0.1, 3))
def test_jacobian_is_the_derivative(mean, var, weight_sum, weight_sumsq):
    weights = {"weight_sum": weight_sum, "weight_sumsq": weight_sumsq}
    step = 1e-5 * min(1, var)
    differences = [
        (np.array(moments(*ahead, **weights)) - moments(*behind, **weights))
        / (2 * step)
        for ahead, behind in (
            ((mean + step, var), (mean - step, var)),
            ((mean, var + step), (mean, var - step)),
        )
    ]
    found = jacobian(mean, var, **weights)
    np.testing.assert_allclose(found.T, differences, 1e-5, 1e-5 * abs(found).max())


@given(st.floats(-1e3, 1e3), st.floats(1e-12, 1e6))
def test_moments_are_those_of_something(m, v):
    mean, var = moments(m, v, weight_sum=1.0)
    assert mean > -SELU_ALPHA * SELU_SCALE * (1 + 1e-15)
    assert var >= 0
    assert np.isfinite([mean, var]).all()
    assert np.isfinite(jacobian(m, v, weight_sum=1.0)).all()


def test_arguments_broadcast():
    mean, var = moments(
        np.zeros((3, 1)), 1.0, weight_sum=0.1, weight_sumsq=np.ones(4, np.float32)
    )
    assert mean.shape == var.shape == (3, 4)
    assert mean.dtype == var.dtype == np.float64
    assert jacobian(0, np.ones(4, int), weight_sum=np.zeros((3, 1))).shape == (
        3,
        4,
        2,
        2,
    )
    one = moments(0.3, 1.1)
    assert np.shape(one[0]) == ()
    means, variances = iterate(np.zeros((2, 1)), np.ones(3), 5, weight_sum=0.1)
    assert means.shape == variances.shape == (6, 2, 3)


def test_iterating_is_calling_again():
    means, variances = iterate(0.4, 2.0, 3, weight_sumsq=1.1)
    assert (means[0], variances[0]) == (0.4, 2.0)
    for row in range(3):
        expected = moments(means[row], variances[row], weight_sumsq=1.1)
        assert (means[row + 1], variances[row + 1]) == expected
    np.testing.assert_array_equal(iterate(0.4, 2.0, 0), [[0.4], [2.0]])


@settings(deadline=None, max_examples=30)
@given(st.floats(-0.9, 0.9), st.floats(0.55, 2.4))
def test_a_fixed_point_stays_and_attracts(weight_sum, weight_sumsq):
    weights = {"weight_sum": weight_sum, "weight_sumsq": weight_sumsq}
    try:
        mean, var = fixed_point(**weights)
    except ValueError:
        return  # there need not be one
    after = np.array(moments(mean, var, **weights))
    np.testing.assert_allclose(after, [mean, var], 1e-9, 1e-12)
    slopes = np.linalg.eigvals(jacobian(mean, var, **weights))
    assert abs(slopes).max() < 1


def test_the_fixed_point_of_normalized_weights():
    mean, var = fixed_point()
    assert abs(mean) < 1e-15
    assert abs(var - 1) < 1e-14
    mean, var = fixed_point(weight_sum=np.array([-0.1, 0.0, 0.1]))
    # Their sum does not matter while the mean is 0.
    np.testing.assert_allclose(mean, 0, atol=1e-14)
    np.testing.assert_allclose(var, 1, 1e-14)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight_sumsq": 0.4}, r"got 0\.0 and 0\.4, with which it goes .* 0\.0\)"),
        (
            {"weight_sumsq": [1.0, 3.0]},
            r"got 0\.0 and 3\.0, with which .* 9\d{8}\.\d+\)",
        ),
        ({"weight_sum": 2.0}, r"got 2\.0 and 1\.0, with which"),
    ],
)
def test_a_map_without_fixed_point_is_refused(weights, message):
    with pytest.raises(ValueError, match=f"^fixed_point: .* comes to rest; {message}"):
        fixed_point(**weights)


def test_the_constants_are_those_of_the_package_to_the_last_digit():
    assert constants() == (SELU_ALPHA, SELU_SCALE)


def test_forty_digits():
    with mp.workdps(60):
        root, e = mp.sqrt(2), mp.e
        alpha = -mp.sqrt(2 / mp.pi) / (mp.erfc(1 / root) * mp.sqrt(e) - 1)
        below = e**2 * mp.erfc(root) - 2 * mp.sqrt(e) * mp.erfc(1 / root) + 1
        scale = mp.sqrt(2 / (1 + alpha**2 * below))
        expected = mp.nstr(alpha, 40), mp.nstr(scale, 40)
    assert tuple(map(str, constants(digits=40))) == expected
    assert constants(digits=5) == (Decimal("1.6733"), Decimal("1.0507"))


@given(st.floats(-0.68, 0.68), st.floats(1e-4, 100))
def test_constants_put_the_fixed_point_where_it_is_asked_for(mean, var):
    mean *= var**0.5  # within what is possible for every variance
    alpha, scale = constants(mean, var)
    assert alpha > 0
    assert scale > 0
    found = moments(mean, var, alpha=alpha, scale=scale)
    np.testing.assert_allclose(found, [mean, var], 1e-11, 1e-12 * var**0.5)


@pytest.mark.parametrize("var", [0.01, 1.0, 25.0])
def test_no_constants_beyond_the_borders(var):
    with pytest.raises(ValueError, match="No SELU has that fixed point") as caught:
        constants(100.0, var)
    borders = re.search(r"between (\S+) and (\S+) when", str(caught.value)).groups()
    for border in map(float, borders):
        inside, outside = 0.999 * border, 1.001 * border
        alpha, scale = constants(inside, var)
        found = moments(0.0, var, alpha=alpha, scale=scale)
        np.testing.assert_allclose(found, [inside, var], 1e-9)
        with pytest.raises(ValueError, match="No SELU"):
            constants(outside, var)


def test_at_the_upper_border_selu_is_a_relu():
    # mean^2 / (mean^2 + var) of a ReLU is 1 / pi: the border, where alpha is 0
    mean = (1 / (np.pi - 1)) ** 0.5
    alpha, _ = constants(mean * (1 - 1e-9))
    assert 0 < alpha < 1e-8


BAD = [
    ({"mean": "a"}, "moments: `mean` must hold real numbers; got dtype <U1."),
    ({"mean": np.inf}, "moments: `mean` must be finite; got inf."),
    ({"var": 0.0}, "moments: `var` must be positive and finite; got 0.0."),
    ({"var": np.nan}, "moments: `var` must be positive and finite; got nan."),
    (
        {"weight_sumsq": [1, -1]},
        "moments: `weight_sumsq` must be positive and finite; got [1, -1].",
    ),
    ({"alpha": "a"}, "moments: `alpha` must be a real number; got 'a'."),
    (
        {"mean": np.zeros(2), "var": np.ones(3)},
        "moments: `mean`, `var`, `weight_sum`, `weight_sumsq` must broadcast; got "
        "shapes (2,), (3,), (), ().",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_arguments(change, message):
    arguments = {"mean": 0.0, "var": 1.0} | change
    assert refusal(moments, **arguments)[1] == message
    other = message.replace("moments", "jacobian")
    assert refusal(jacobian, **arguments)[1] == other


@pytest.mark.parametrize(
    ("call", "end"),
    [
        (lambda: constants(var=0.0), "must be a finite number above 0; got 0.0."),
        (lambda: constants(digits=0), "`digits` must be at least 1; got 0."),
        (lambda: iterate(0, 1, -1), "`n` must be at least 0; got -1."),
        (lambda: fixed_point(weight_sumsq=0), "must be positive and finite; got 0."),
    ],
)
def test_bad_arguments_of_the_rest(call, end):
    assert refusal(call)[1].endswith(end)
