"""The activations of the reference, against mathematics rather than a framework."""

import functools
import math

import mpmath
import numpy as np
import pytest
from helpers import BOTH, EPS, GATED, NAMES, TINY, arrays, close, reference
from hypothesis import given, settings
from scipy import integrate, stats

from companion import activations
from companion.activations import SELU_ALPHA, SELU_SCALE

pytestmark = pytest.mark.usefixtures("floating_point_errors")

DTYPES = ("float16", "float32", "float64")
GATED_GRAD = [f"{name}_grad" for name in GATED]

#: The limits at minus infinity and at infinity.
LIMITS = {
    "logistic": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1.0, np.inf),
    "celu": (-1.0, np.inf),
    "selu": (-SELU_SCALE * SELU_ALPHA, np.inf),
    "prelu": (-np.inf, np.inf),
    "rrelu": (-np.inf, np.inf),
    **dict.fromkeys(["softplus", *GATED], (0.0, np.inf)),
    "logistic_grad": (0.0, 0.0),
    "tanh_grad": (0.0, 0.0),
    "softsign_grad": (0.0, 0.0),
    "relu_grad": (0.0, 1.0),
    "leaky_relu_grad": (0.01, 1.0),
    "elu_grad": (0.0, 1.0),
    "celu_grad": (0.0, 1.0),
    "selu_grad": (0.0, SELU_SCALE),
    "prelu_grad": (0.25, 1.0),
    "rrelu_grad": (11 / 48, 1.0),
    **dict.fromkeys(["softplus_grad", *GATED_GRAD], (0.0, 1.0)),
}

#: The values at 0; at a kink the derivative is the one from the left.
AT_ZERO = dict.fromkeys(NAMES, 0.0) | {
    "logistic": 0.5,
    "softplus": math.log(2),
    "logistic_grad": 0.25,
    "tanh_grad": 1.0,
    "softsign_grad": 1.0,
    "relu_grad": 0.0,
    "leaky_relu_grad": 0.01,
    "elu_grad": 1.0,
    "celu_grad": 1.0,
    "selu_grad": SELU_SCALE * SELU_ALPHA,
    "prelu_grad": 0.25,
    "rrelu_grad": 11 / 48,
    "softplus_grad": 0.5,
    "silu_grad": 0.5,
    "gelu_grad": 0.5,
    "mish_grad": 0.6,
}

#: Functions with a kink at 0 for some arguments, with such arguments.
KINKED = [
    ("relu", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"alpha": -0.5}),
    ("elu", {"alpha": 1.5}),
    ("selu", {}),
    ("selu", {"alpha": 0.5, "scale": 3.0}),
    ("prelu", {}),
    ("prelu", {"alpha": np.array([0.5])}),
    ("rrelu", {}),
    ("rrelu", {"lower": -0.5, "upper": 0.25}),
]
#: Other forms without a kink.
SMOOTH = [("celu", {"alpha": 1.5}), ("gelu", {"approximate": True})]

#: The definitions, for forty-digit arithmetic.
EXACT = {
    "logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "softsign": lambda z: z / (1 + abs(z)),
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "leaky_relu": lambda z: z if z > 0 else mpmath.mpf(0.01) * z,
    "prelu": lambda z: z if z > 0 else z / 4,
    "rrelu": lambda z: z if z > 0 else mpmath.mpf(11 / 48) * z,
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "celu": lambda z: z if z > 0 else mpmath.expm1(z),
    "selu": lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * mpmath.expm1(z)),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "gelu": lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "gelu approximate": lambda z: (
        z / (1 + mpmath.exp(-mpmath.sqrt(8 / mpmath.pi) * (z + 0.044715 * z**3)))
    ),
    "mish": lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
}

#: How much a rounding of the gate's argument, of which the left tail is an exponential,
#: weighs there: as much as the argument itself.
AMPLIFIED = {
    "gelu": lambda z: z**2,
    "gelu approximate": lambda z: np.abs(z) + np.abs(z) ** 3,
}


def tolerance(dtype, y, name=""):
    """Allow eight roundings: no function here takes more, and few cancel.

    The derivatives of the gated functions do, where they cross 0.
    """
    size = np.maximum(np.abs(y), 1) if name in GATED_GRAD else np.abs(y)
    return 8 * EPS[dtype] * size + TINY[dtype]


def amplified(name, z):
    return np.where(z < 0, 1 + AMPLIFIED.get(name, np.zeros_like)(z), 1)


# --- values ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", EXACT)
def test_value_is_exact_to_rounding(name):
    points = np.concatenate([np.geomspace(1e-300, 700, 60), [1e-18, 1e-9, 0.3, 37.0]])
    points = np.concatenate([-points, points])
    with mpmath.workdps(40):
        exact = [float(EXACT[name](mpmath.mpf(z))) for z in points]
    relative = 4 * EPS["float64"] * amplified(name, points)
    close(reference(name)(points), exact, relative, TINY["float64"], name)


@pytest.mark.parametrize("name", EXACT)
def test_derivative_is_exact_to_rounding(name):
    # The tails too, where differences of function values have no digits left.
    points = np.concatenate([np.geomspace(1e-12, 700, 40), [0.3, 37.0]])
    points = np.concatenate([-points, points])
    with mpmath.workdps(700):
        exact = [
            float(mpmath.diff(EXACT[name], mpmath.mpf(z), h=mpmath.mpf(10) ** -320))
            for z in points
        ]
    base, _, form = name.partition(" ")
    got = reference(f"{base}_grad {form}".rstrip())(points)
    relative = 8 * EPS["float64"] * amplified(name, points)
    # Absolutely where a gated function has its minimum.
    crossing = (base in GATED) & (np.abs(points) < 4)
    absolute = np.where(crossing, 8 * EPS["float64"], TINY["float64"])
    close(got, exact, relative, absolute, name)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_float_is_the_wide_one_rounded(name, dtype):
    z = np.array([-20, -3, -1, -1e-3, -0.0, 0, 1e-3, 0.5, 1, 3, 20], dtype)
    got = reference(name)(z)
    assert got.dtype == dtype
    wide = reference(name)(z.astype(float))
    assert np.all(np.abs(got - wide) <= tolerance(dtype, wide, name))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_value_at_zero_is_exact(name, dtype):
    zeros = np.array([0.0, -0.0], dtype)
    expected = np.array(AT_ZERO[name], dtype)
    np.testing.assert_array_equal(reference(name)(zeros), [expected, expected])


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_infinity_gives_the_limit(name, dtype):
    expected = np.array(LIMITS[name])
    got = reference(name)(np.array([-np.inf, np.inf], dtype))
    assert got.dtype == dtype
    close(got, expected, 2 * EPS[dtype], 0.0, name)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_arguments_are_near_the_limit(name, dtype):
    z = np.array([-1e4, 1e4], dtype)
    got = reference(name)(z)
    assert np.isfinite(got).all()
    for value, number, limit in zip(got, z, LIMITS[name], strict=True):
        if np.isinf(limit):  # linear there, with the slope that the derivative gives
            slope = reference(f"{name}_grad")(number)
            np.testing.assert_allclose(value, number * slope, rtol=2 * EPS[dtype])
        else:  # softsign comes no nearer than 1/z
            assert abs(value - limit) <= 1e-4 + 2 * EPS[dtype] * abs(limit)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_nan_and_touches_nothing_else(name, dtype):
    got = reference(name)(np.array([np.nan, 1.0], dtype))
    assert got.dtype == dtype
    assert np.isnan(got).tolist() == [True, False]


@pytest.mark.parametrize("dtype", DTYPES)
def test_leaky_relu_computes_nothing_in_the_branch_not_taken(dtype):
    # 10 * 1e4 is beyond the largest float16.
    z = np.array([1e4, -1.0], dtype)
    np.testing.assert_array_equal(activations.leaky_relu(z, 10.0), [1e4, -10.0])


def test_leaky_relu_without_slope_is_relu():
    z = [-np.inf, -1.0, 0.0, 2.0, np.inf]
    got = activations.leaky_relu(z, alpha=0.0)
    np.testing.assert_array_equal(got, activations.relu(z))


def test_slope_that_rounds_to_zero_stops_infinity_too():
    z, alpha = np.array([-np.inf, 2.0], "float16"), 1e-9
    for got in (
        activations.leaky_relu(z, alpha),
        activations.prelu(z, alpha),
        activations.rrelu(z, 0.0, alpha, training=False),
    ):
        np.testing.assert_array_equal(got, [0.0, 2.0])


def test_elu_bends_to_minus_alpha():
    np.testing.assert_array_equal(activations.elu([-np.inf, -1e4], 1.5), [-1.5, -1.5])


# --- derivatives ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, {}) for name in NAMES] + KINKED + SMOOTH,
)
def test_derivative_is_the_central_difference(name, arguments):
    # The best step is the cube root of eps; what it leaves out, h**2 / 6 times the
    # third derivative (at most 2), and the rounding of f, divided by h, are each of
    # the order eps**(2/3).
    h = EPS["float64"] ** (1 / 3)
    z = np.concatenate([np.linspace(-20, -0.01, 101), np.linspace(0.01, 20, 101)])
    f, f_grad = reference(name), reference(f"{name}_grad")
    up, down = z + h, z - h
    difference = (f(up, **arguments) - f(down, **arguments)) / (up - down)
    allowed = 4 * h**2 * (1 + np.abs(f(z, **arguments)))
    assert np.all(np.abs(f_grad(z, **arguments) - difference) <= allowed)


@pytest.mark.parametrize(("name", "arguments"), KINKED)
def test_derivative_at_the_kink_is_the_one_from_the_left(name, arguments):
    # One-sided: the best step is the square root of eps, and so is the error.
    h = math.sqrt(EPS["float64"])
    f, f_grad = reference(name), reference(f"{name}_grad")
    left, middle, right = f([-h, 0.0, h], **arguments)
    derivative = f_grad([0.0], **arguments)[0]
    assert abs(derivative - (middle - left) / h) <= 4 * h
    assert abs(derivative - (right - middle) / h) > 0.1


@pytest.mark.parametrize("alpha", [0.25, 1.0, 4.0])
def test_celu_has_no_kink(alpha):
    h = math.sqrt(EPS["float64"])
    left, right = activations.celu_grad([-h, h], alpha)
    assert abs(left - right) <= 2 * h / alpha
    assert activations.celu_grad(0.0, alpha) == 1.0


@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (2, 3)])
def test_prelu_is_linear_in_its_slopes(shape):
    # A difference of any width is the derivative, up to the rounding of the values.
    z = np.array([[-2.0, 0.0, 3.0], [-0.3, -1e-9, np.nan]])
    alpha = np.linspace(-1, 1, math.prod(shape)).reshape(shape)
    step = 0.5
    up, down = (activations.prelu(z, alpha + h) for h in (step, -step))
    got = activations.prelu_slope_derivative(z, alpha)
    close(got, (up - down) / (2 * step), 4 * EPS["float64"], 0.0, "slope")


# --- the constants of SELU ------------------------------------------------------------
def test_selu_constants_are_the_fixed_point():
    # With z ~ N(0, 1), E selu(z) = 0 gives alpha, and E selu(z)^2 = 1 gives lambda:
    # E[e^(t z); z < 0] = e^(t^2 / 2) Phi(-t).
    with mpmath.workdps(50):
        phi_1, phi_2 = mpmath.ncdf(-1), mpmath.ncdf(-2)
        e = mpmath.e
        below = mpmath.sqrt(e) * phi_1 - mpmath.mpf(1) / 2
        below_squared = e**2 * phi_2 - 2 * mpmath.sqrt(e) * phi_1 + mpmath.mpf(1) / 2
        alpha = -1 / mpmath.sqrt(2 * mpmath.pi) / below
        scale = 1 / mpmath.sqrt(mpmath.mpf(1) / 2 + alpha**2 * below_squared)
        assert float(alpha) == SELU_ALPHA
        assert float(scale) == SELU_SCALE


@pytest.mark.parametrize(("power", "expected"), [(1, 0.0), (2, 1.0)])
def test_selu_reproduces_mean_and_variance(power, expected):
    def integrand(z):
        return stats.norm.pdf(z) * activations.selu(z) ** power

    # The integrals beyond 40 are below 1e-300; the kink is an end of both.
    halves = [
        integrate.quad(integrand, *ends, epsabs=1e-14, epsrel=1e-13)[0]
        for ends in ((-40, 0), (0, 40))
    ]
    assert abs(sum(halves) - expected) <= 1e-13


# --- properties -----------------------------------------------------------------------
#: Reproducible, and without a directory of examples.
quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("name", BOTH)
@quick
@given(z=arrays())
def test_shape_dtype_and_nan_are_kept(name, z):
    got = reference(name)(z)
    assert np.shape(got) == z.shape
    assert got.dtype == z.dtype
    np.testing.assert_array_equal(np.isnan(got), np.isnan(z))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(GATED)))
@quick
@given(z=arrays(special=False))
def test_function_never_falls(name, z):
    y = reference(name)(np.sort(z, axis=None))
    rises = y[1:] - y[:-1]
    assert np.all(rises >= -tolerance(z.dtype.name, y[1:]))


#: Near which number a gated function, or its derivative, has which extrema.
EXTREMA = {
    "silu": [-1.3],
    "gelu": [-0.75],
    "mish": [-1.2],
    "silu_grad": [-2.4, 2.4],
    "gelu_grad": [-1.4, 1.4],
    "mish_grad": [-2.3, 1.5],
}


@functools.cache
def bounds(name):
    """Return the lowest and the highest value: at the ends, at 0 or at an extremum."""
    values = [*LIMITS[name], AT_ZERO[name]]
    exact = EXACT[name.removesuffix("_grad")]
    order = int(name.endswith("_grad"))
    for near in EXTREMA.get(name, []):
        top = mpmath.findroot(lambda z: mpmath.diff(exact, z, order + 1), near)
        values.append(float(mpmath.diff(exact, top, order)))
    return min(values), max(values)


@pytest.mark.parametrize("name", BOTH)
@quick
@given(z=arrays())
def test_value_is_between_the_bounds(name, z):
    low, high = bounds(name)
    y = reference(name)(z)[~np.isnan(z)]
    dtype = z.dtype.name
    assert np.all(y >= low - (tolerance(dtype, low) if np.isfinite(low) else 0))
    assert np.all(y <= high + (tolerance(dtype, high) if np.isfinite(high) else 0))


@pytest.mark.parametrize("name", EXTREMA)
def test_bounds_are_reached(name):
    z = np.linspace(-4, 4, 80_001)
    y = reference(name)(z)
    # Quadratic in the distance from the extremum, which is at most half a step.
    for bound, value in zip(bounds(name), (y.min(), y.max()), strict=True):
        assert np.isinf(bound) or abs(value - bound) <= 1e-8


@pytest.mark.parametrize("name", ["tanh", "softsign"])
@quick
@given(z=arrays())
def test_function_is_odd(name, z):
    np.testing.assert_array_equal(reference(name)(-z), -reference(name)(z))


@pytest.mark.parametrize("name", ["logistic_grad", "tanh_grad", "softsign_grad"])
@quick
@given(z=arrays())
def test_derivative_is_even(name, z):
    np.testing.assert_array_equal(reference(name)(-z), reference(name)(z))


@quick
@given(z=arrays(special=False))
def test_logistic_and_its_mirror_image_sum_to_one(z):
    both = activations.logistic(z) + activations.logistic(-z)
    assert np.all(np.abs(both - 1) <= tolerance(z.dtype.name, 1.0))


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu approximate"])
@quick
@given(z=arrays(special=False))
def test_gate_and_its_mirror_image_sum_to_one(name, z):
    both = reference(name)(z) - reference(name)(-z)
    assert np.all(np.abs(both - z) <= tolerance(z.dtype.name, z))


@quick
@given(z=arrays(special=False))
def test_softplus_and_its_mirror_image_differ_by_z(z):
    up, down = activations.softplus(z), activations.softplus(-z)
    assert np.all(np.abs(up - down - z) <= tolerance(z.dtype.name, np.abs(z) + 1))


@quick
@given(z=arrays())
def test_scaled_elu_is_selu(z):
    expected = SELU_SCALE * activations.elu(z, SELU_ALPHA)
    np.testing.assert_array_equal(activations.selu(z), expected)
