"""The activations of the reference, against mathematics rather than a framework."""

import inspect
import math
import warnings

import mpmath
import numpy as np
import pytest
from helpers import ACTIVATIONS, EPS, TINY, close
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats

from companion import activations
from companion.activations import SELU_ALPHA, SELU_SCALE

DTYPES = ("float16", "float32", "float64")
BOTH = [*ACTIVATIONS, *(f"{name}_grad" for name in ACTIVATIONS)]

#: The limits at minus infinity and at infinity.
LIMITS = {
    "logistic": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1.0, np.inf),
    "selu": (-SELU_SCALE * SELU_ALPHA, np.inf),
    "logistic_grad": (0.0, 0.0),
    "tanh_grad": (0.0, 0.0),
    "softsign_grad": (0.0, 0.0),
    "relu_grad": (0.0, 1.0),
    "leaky_relu_grad": (0.01, 1.0),
    "elu_grad": (0.0, 1.0),
    "selu_grad": (0.0, SELU_SCALE),
}

#: The values at 0; at a kink the derivative is the one from the left.
AT_ZERO = dict.fromkeys(ACTIVATIONS, 0.0) | {
    "logistic": 0.5,
    "logistic_grad": 0.25,
    "tanh_grad": 1.0,
    "softsign_grad": 1.0,
    "relu_grad": 0.0,
    "leaky_relu_grad": 0.01,
    "elu_grad": 1.0,
    "selu_grad": SELU_SCALE * SELU_ALPHA,
}

#: Functions with a kink at 0 for some arguments, with such arguments.
KINKED = [
    ("relu", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"alpha": -0.5}),
    ("elu", {"alpha": 1.5}),
    ("selu", {}),
    ("selu", {"alpha": 0.5, "scale": 3.0}),
]

#: The definitions, for forty-digit arithmetic.
EXACT = {
    "logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "softsign": lambda z: z / (1 + abs(z)),
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "leaky_relu": lambda z: z if z > 0 else mpmath.mpf(0.01) * z,
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "selu": lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * mpmath.expm1(z)),
}


def function(name):
    return getattr(activations, name)


@pytest.fixture(autouse=True)
def _floating_point_errors():
    """Let no test overflow, divide by zero or make a nan in passing."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield


def tolerance(dtype, y):
    """Allow eight roundings: no function here takes more, and none cancels."""
    return 8 * EPS[dtype] * np.abs(y) + TINY[dtype]


# --- values ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_is_exact_to_rounding(name):
    points = np.concatenate([np.geomspace(1e-300, 700, 60), [1e-18, 1e-9, 0.3, 37.0]])
    points = np.concatenate([-points, points])
    with mpmath.workdps(40):
        exact = [float(EXACT[name](mpmath.mpf(z))) for z in points]
    close(function(name)(points), exact, 4 * EPS["float64"], TINY["float64"], name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_is_exact_to_rounding(name):
    # The tails too, where differences of function values have no digits left.
    points = np.concatenate([np.geomspace(1e-12, 700, 40), [0.3, 37.0]])
    points = np.concatenate([-points, points])
    with mpmath.workdps(700):
        exact = [
            float(mpmath.diff(EXACT[name], mpmath.mpf(z), h=mpmath.mpf(10) ** -320))
            for z in points
        ]
    got = function(f"{name}_grad")(points)
    close(got, exact, 8 * EPS["float64"], TINY["float64"], name)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_float_is_the_wide_one_rounded(name, dtype):
    z = np.array([-20, -3, -1, -1e-3, -0.0, 0, 1e-3, 0.5, 1, 3, 20], dtype)
    got = function(name)(z)
    assert got.dtype == dtype
    wide = function(name)(z.astype(float))
    assert np.all(np.abs(got - wide) <= tolerance(dtype, wide))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_value_at_zero_is_exact(name, dtype):
    zeros = np.array([0.0, -0.0], dtype)
    expected = np.array(AT_ZERO[name], dtype)
    np.testing.assert_array_equal(function(name)(zeros), [expected, expected])


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_infinity_gives_the_limit(name, dtype):
    expected = np.array(LIMITS[name])
    got = function(name)(np.array([-np.inf, np.inf], dtype))
    assert got.dtype == dtype
    close(got, expected, 2 * EPS[dtype], 0.0, name)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_arguments_are_near_the_limit(name, dtype):
    z = np.array([-1e4, 1e4], dtype)
    got = function(name)(z)
    assert np.isfinite(got).all()
    for value, number, limit in zip(got, z, LIMITS[name], strict=True):
        if np.isinf(limit):  # linear there, with the slope that the derivative gives
            slope = function(f"{name}_grad")(number)
            np.testing.assert_allclose(value, number * slope, rtol=2 * EPS[dtype])
        else:  # softsign comes no nearer than 1/z
            assert abs(value - limit) <= 1e-4 + 2 * EPS[dtype] * abs(limit)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_nan_and_touches_nothing_else(name, dtype):
    got = function(name)(np.array([np.nan, 1.0], dtype))
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


def test_elu_bends_to_minus_alpha():
    np.testing.assert_array_equal(activations.elu([-np.inf, -1e4], 1.5), [-1.5, -1.5])


# --- derivatives ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, {}) for name in ACTIVATIONS] + KINKED,
)
def test_derivative_is_the_central_difference(name, arguments):
    # The best step is the cube root of eps; what it leaves out, h**2 / 6 times the
    # third derivative (at most 2), and the rounding of f, divided by h, are each of
    # the order eps**(2/3).
    h = EPS["float64"] ** (1 / 3)
    z = np.concatenate([np.linspace(-20, -0.01, 101), np.linspace(0.01, 20, 101)])
    f, f_grad = function(name), function(f"{name}_grad")
    up, down = z + h, z - h
    difference = (f(up, **arguments) - f(down, **arguments)) / (up - down)
    allowed = 4 * h**2 * (1 + np.abs(f(z, **arguments)))
    assert np.all(np.abs(f_grad(z, **arguments) - difference) <= allowed)


@pytest.mark.parametrize(("name", "arguments"), KINKED)
def test_derivative_at_the_kink_is_the_one_from_the_left(name, arguments):
    # One-sided: the best step is the square root of eps, and so is the error.
    h = math.sqrt(EPS["float64"])
    f, f_grad = function(name), function(f"{name}_grad")
    left, middle, right = f([-h, 0.0, h], **arguments)
    derivative = f_grad([0.0], **arguments)[0]
    assert abs(derivative - (middle - left) / h) <= 4 * h
    assert abs(derivative - (right - middle) / h) > 0.1


# --- arguments ------------------------------------------------------------------------
@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool"])
def test_integers_become_float64(name, dtype):
    z = np.array([0, 1, 1], dtype)
    got = function(name)(z)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, function(name)(z.astype(float)))


@pytest.mark.parametrize("name", BOTH)
def test_lists_and_numbers_are_accepted(name):
    f = function(name)
    expected = f(np.array([[1.0, -2.0]]))
    np.testing.assert_array_equal(f([[1, -2]]), expected)
    np.testing.assert_array_equal(f(1.0), expected[0, 0])


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.array([1j]), "complex128"),
        (np.array([1j], "complex64"), "complex64"),
        ([1 + 1j], "complex128"),
        (None, "object"),
        ([object()], "object"),
        ("a", "<U1"),
        (b"ab", "|S2"),
        (np.array(["2020-01-01"], "datetime64[D]"), "datetime64[D]"),
    ],
)
def test_what_is_not_a_real_number_is_refused(name, value, dtype):
    message = f"{name}: `z` must hold real numbers; got dtype {dtype}."
    with pytest.raises(TypeError) as caught:
        function(name)(value)
    assert str(caught.value) == message


PARAMETERS = [
    (name, parameter)
    for name in BOTH
    for parameter in list(inspect.signature(function(name)).parameters)[1:]
]


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("value", ["0.1", None, True, 1j, [0.1], np.array(0.1)])
def test_constant_that_is_no_number_is_refused(name, parameter, value):
    message = f"{name}: `{parameter}` must be a real number; got {value!r}."
    with pytest.raises(TypeError) as caught:
        function(name)(1.0, **{parameter: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_constant_that_is_not_finite_is_refused(name, parameter, value):
    message = f"{name}: `{parameter}` must be a finite number; got {value!r}."
    with pytest.raises(ValueError, match="finite") as caught:
        function(name)(1.0, **{parameter: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("kind", [np.float64, np.float32, int])
def test_constant_of_any_real_type_keeps_the_dtype(name, parameter, kind):
    z = np.array([-1.0, 2.0], "float16")
    got = function(name)(z, **{parameter: kind(2)})
    assert got.dtype == "float16"
    np.testing.assert_array_equal(got, function(name)(z, **{parameter: 2.0}))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_argument_is_never_changed(name, dtype):
    z = np.array([-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf, np.nan], dtype)
    before = z.tobytes()
    z.setflags(write=False)
    got = function(name)(z)
    assert z.tobytes() == before
    assert not np.shares_memory(got, z)


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


def arrays(special=True):
    """Draw arrays of any shape and float dtype, empty ones and subnormals too."""

    def of_width(width):
        numbers = st.floats(-1e4, 1e4, width=width, allow_subnormal=True)
        if special:
            numbers |= st.sampled_from([np.nan, np.inf, -np.inf])
        shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
        return hnp.arrays(f"float{width}", shapes, elements=numbers)

    return st.sampled_from([16, 32, 64]).flatmap(of_width)


@pytest.mark.parametrize("name", BOTH)
@quick
@given(z=arrays())
def test_shape_dtype_and_nan_are_kept(name, z):
    got = function(name)(z)
    assert np.shape(got) == z.shape
    assert got.dtype == z.dtype
    np.testing.assert_array_equal(np.isnan(got), np.isnan(z))


@pytest.mark.parametrize("name", ACTIVATIONS)
@quick
@given(z=arrays(special=False))
def test_function_never_falls(name, z):
    y = function(name)(np.sort(z, axis=None))
    rises = y[1:] - y[:-1]
    assert np.all(rises >= -tolerance(z.dtype.name, y[1:]))


@pytest.mark.parametrize("name", BOTH)
@quick
@given(z=arrays())
def test_value_is_between_the_bounds(name, z):
    ends = (*LIMITS[name], AT_ZERO[name])
    low, high = min(ends), max(ends)
    y = function(name)(z)[~np.isnan(z)]
    dtype = z.dtype.name
    assert np.all(y >= low - (tolerance(dtype, low) if np.isfinite(low) else 0))
    assert np.all(y <= high + (tolerance(dtype, high) if np.isfinite(high) else 0))


@pytest.mark.parametrize("name", ["tanh", "softsign"])
@quick
@given(z=arrays())
def test_function_is_odd(name, z):
    np.testing.assert_array_equal(function(name)(-z), -function(name)(z))


@pytest.mark.parametrize("name", ["logistic_grad", "tanh_grad", "softsign_grad"])
@quick
@given(z=arrays())
def test_derivative_is_even(name, z):
    np.testing.assert_array_equal(function(name)(-z), function(name)(z))


@quick
@given(z=arrays(special=False))
def test_logistic_and_its_mirror_image_sum_to_one(z):
    both = activations.logistic(z) + activations.logistic(-z)
    assert np.all(np.abs(both - 1) <= tolerance(z.dtype.name, 1.0))


@quick
@given(z=arrays())
def test_scaled_elu_is_selu(z):
    expected = SELU_SCALE * activations.elu(z, SELU_ALPHA)
    np.testing.assert_array_equal(activations.selu(z), expected)
