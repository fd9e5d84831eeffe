"""The shared argument checks: what passes, and each message to the letter."""

import fractions
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import _checks

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def refusal(check, *args, **arguments):
    """Return the type and text of the error that a check raises."""
    with pytest.raises((TypeError, ValueError)) as caught:
        check("f", "x", *args, **arguments)
    return caught.type, str(caught.value)


# --- real_array -----------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_real_array_keeps_a_float_array_itself(dtype):
    array = np.array([1.0, np.nan, np.inf], dtype)
    assert _checks.real_array("f", "x", array) is array


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "uint64"])
def test_real_array_makes_integers_float64(dtype):
    got = _checks.real_array("f", "x", np.array([0, 1], dtype))
    assert got.dtype == np.float64
    assert got.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), [2], [[2.0]], (2,)])
def test_real_array_takes_numbers_and_nested_lists(value):
    got = _checks.real_array("f", "x", value)
    assert isinstance(got, np.ndarray)
    assert (got == 2).all()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1j, "complex128"),
        (None, "object"),
        ("a", "<U1"),
        (b"ab", "|S2"),
        ([2**70, object()], "object"),
        (np.array(["2020-01-01"], "datetime64[D]"), "datetime64[D]"),
    ],
)
def test_real_array_refuses_other_dtypes(value, dtype):
    message = f"f: `x` must hold real numbers; got dtype {dtype}."
    assert refusal(_checks.real_array, value) == (TypeError, message)


# --- finite ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "kind",
    [
        *(int, float, fractions.Fraction, np.int8, np.uint64),
        *(np.float16, np.float32, np.float64, np.longdouble),
    ],
)
def test_finite_returns_a_python_float(kind):
    got = _checks.finite("f", "x", kind(2))
    assert type(got) is float
    assert got == 2.0


@pytest.mark.parametrize(
    "value", [True, False, np.True_, "1", None, 1j, [1.0], np.array(1.0), np.array([1])]
)
def test_finite_refuses_what_is_no_number(value):
    message = f"f: `x` must be a real number; got {value!r}."
    assert refusal(_checks.finite, value) == (TypeError, message)


@pytest.mark.parametrize(
    ("value", "bounds", "end"),
    [
        (math.nan, {}, "; got nan."),
        (math.inf, {}, "; got inf."),
        (-math.inf, {}, "; got -inf."),
        (np.float32("nan"), {}, "; got nan."),
        (np.longdouble("inf"), {}, "; got inf."),
        (10**400, {}, "; got inf."),
        (-1, {"minimum": 0.0}, " of at least 0; got -1.0."),
        (math.nan, {"minimum": 0.0}, " of at least 0; got nan."),
        (np.float32(0.25), {"minimum": 0.5}, " of at least 0.5; got 0.25."),
        (0, {"above": 0.0}, " above 0; got 0.0."),
        (-0.0, {"above": 0.0}, " above 0; got -0.0."),
        (math.inf, {"above": 0.0}, " above 0; got inf."),
    ],
)
def test_finite_refuses_what_is_out_of_bounds(value, bounds, end):
    message = f"f: `x` must be a finite number{end}"
    assert refusal(_checks.finite, value, **bounds) == (ValueError, message)


def test_finite_names_the_sign_of_an_integer_beyond_the_floats():
    message = "f: `x` must be a finite number; got -inf."
    assert refusal(_checks.finite, -(10**400)) == (ValueError, message)


@quick
@given(value=st.floats(allow_nan=False), bound=st.floats(-10, 10))
def test_finite_decides_by_the_bound(value, bound):
    for name, fits in (("minimum", value >= bound), ("above", value > bound)):
        if fits and math.isfinite(value):
            assert _checks.finite("f", "x", value, **{name: bound}) == value
        else:
            kind, text = refusal(_checks.finite, value, **{name: bound})
            assert kind is ValueError
            assert text.endswith(f"; got {value!r}.")


# --- integer --------------------------------------------------------------------------
@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), 10**400])
def test_integer_returns_a_python_int(value):
    got = _checks.integer("f", "x", value, minimum=3)
    assert type(got) is int
    assert got == value


@pytest.mark.parametrize(
    "value",
    [True, False, np.True_, 1.0, np.float64(1), "1", None, 1j, [1], np.array(1)],
)
def test_integer_refuses_what_is_none(value):
    message = f"f: `x` must be an integer; got {value!r}."
    assert refusal(_checks.integer, value, minimum=0) == (TypeError, message)


@pytest.mark.parametrize(
    ("value", "minimum"), [(0, 1), (-1, 0), (np.int8(2), 3), (-(10**400), 0)]
)
def test_integer_refuses_what_is_too_small(value, minimum):
    message = f"f: `x` must be at least {minimum}; got {value}."
    assert refusal(_checks.integer, value, minimum=minimum) == (ValueError, message)


# --- boolean --------------------------------------------------------------------------
@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_boolean_returns_a_python_bool(value):
    got = _checks.boolean("f", "x", value)
    assert type(got) is bool
    assert got == value


@pytest.mark.parametrize("value", [0, 1, 1.0, "True", None, [True], np.array(True)])
def test_boolean_refuses_what_is_none(value):
    message = f"f: `x` must be True or False; got {value!r}."
    assert refusal(_checks.boolean, value) == (TypeError, message)


# --- slope_range ----------------------------------------------------------------------
@pytest.mark.parametrize("ends", [(0.25, 0.5), (-1, 1), (np.float32(2), 2), (0, -0.0)])
def test_slope_range_returns_python_floats(ends):
    got = _checks.slope_range("f", *ends)
    assert got == ends
    assert [type(end) for end in got] == [float, float]


@pytest.mark.parametrize(
    ("ends", "kind", "end"),
    [
        (
            (0.5, 0.25),
            ValueError,
            "`lower` must not be above `upper`; got 0.5 and 0.25.",
        ),
        ((2, -1), ValueError, "`lower` must not be above `upper`; got 2.0 and -1.0."),
        (("a", 1), TypeError, "`lower` must be a real number; got 'a'."),
        ((1, None), TypeError, "`upper` must be a real number; got None."),
        ((math.nan, 1), ValueError, "`lower` must be a finite number; got nan."),
        ((1, math.inf), ValueError, "`upper` must be a finite number; got inf."),
    ],
)
def test_slope_range_refuses(ends, kind, end):
    with pytest.raises(kind) as caught:
        _checks.slope_range("f", *ends)
    assert str(caught.value) == f"f: {end}"


# --- broadcasts -----------------------------------------------------------------------
small_shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@quick
@given(shape=small_shapes, target=small_shapes)
def test_broadcasts_decides_as_numpy_does(shape, target):
    try:
        np.broadcast_to(np.empty(shape), target)
    except ValueError:
        message = f"f: `x` must broadcast to the shape {target}; got shape {shape}."
        assert refusal(_checks.broadcasts, shape, target) == (ValueError, message)
    else:
        _checks.broadcasts("f", "x", shape, target)


@pytest.mark.parametrize("shape", [(), (3,), (1,), (2, 1), (1, 3), (2, 3)])
def test_broadcasts_accepts(shape):
    _checks.broadcasts("f", "x", shape, (2, 3))


@pytest.mark.parametrize("shape", [(2,), (3, 1), (1, 2, 3), (0,)])
def test_broadcasts_refuses(shape):
    message = f"f: `x` must broadcast to the shape (2, 3); got shape {shape}."
    assert refusal(_checks.broadcasts, shape, [2, 3]) == (ValueError, message)


# --- one_of ---------------------------------------------------------------------------
OPTIONS = ("fan_in", "fan_out")


@pytest.mark.parametrize("option", OPTIONS)
def test_one_of_returns_the_option(option):
    assert _checks.one_of("f", "x", option, OPTIONS) == option


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("fan_inn", " Did you mean 'fan_in'?"),
        ("fanout", " Did you mean 'fan_out'?"),
        ("zzz", ""),
        ("", ""),
        (None, ""),
        (1, ""),
        (["fan_in"], " Did you mean 'fan_in'?"),
    ],
)
def test_one_of_names_the_options_and_the_nearest(value, hint):
    message = f"f: `x` must be one of 'fan_in', 'fan_out'; got {value!r}.{hint}"
    assert refusal(_checks.one_of, value, OPTIONS) == (ValueError, message)


def test_one_of_takes_none_where_it_is_an_option():
    assert _checks.one_of("f", "x", None, (None, *OPTIONS)) is None
    message = "f: `x` must be one of None, 'fan_in', 'fan_out'; got 'fan_i'. Did you "
    text = message + "mean 'fan_in'?"
    assert refusal(_checks.one_of, "fan_i", (None, *OPTIONS)) == (ValueError, text)


# --- weight_shape ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "shape", [(3, 2), [3, 2], np.array([3, 2]), (np.int8(3), 2), range(3, 1, -1)]
)
def test_weight_shape_returns_python_integers(shape):
    got = _checks.weight_shape("f", shape)
    assert got == (3, 2)
    assert [type(n) for n in got] == [int, int]


@pytest.mark.parametrize(
    ("shape", "kind", "end"),
    [
        (
            3,
            TypeError,
            "must be a sequence of integers such as (fan_in, fan_out); got 3.",
        ),
        (
            None,
            TypeError,
            "must be a sequence of integers such as (fan_in, fan_out); got None.",
        ),
        (
            (3,),
            ValueError,
            "must have at least two axes, (fan_in, fan_out) last; got (3,).",
        ),
        (
            [],
            ValueError,
            "must have at least two axes, (fan_in, fan_out) last; got ().",
        ),
        ((3, 0), ValueError, "must be at least 1; got 0."),
        ((3, 2.0), TypeError, "must be an integer; got 2.0."),
        ((True, 2), TypeError, "must be an integer; got True."),
        ("ab", TypeError, "must be an integer; got 'a'."),
    ],
)
def test_weight_shape_refuses(shape, kind, end):
    with pytest.raises(kind, match=re.escape(end)) as caught:
        _checks.weight_shape("f", shape)
    assert str(caught.value) == f"f: `shape` {end}"


# --- generator ------------------------------------------------------------------------
@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937])
def test_generator_returns_itself(bits):
    rng = np.random.Generator(bits(0))
    assert _checks.generator("f", "x", rng) is rng


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, "int"),
        (None, "NoneType"),
        (np.random, "module"),
        (np.random.PCG64(0), "PCG64"),
        ([np.random.default_rng(0)], "list"),
    ],
)
def test_generator_refuses_other_sources(value, kind):
    message = (
        f"f: `x` must be a numpy.random.Generator; got {kind}. Pass "
        "x=numpy.random.default_rng(seed)."
    )
    assert refusal(_checks.generator, value) == (TypeError, message)


def test_generator_refuses_the_legacy_state():
    legacy = np.random.RandomState(0)
    kind, text = refusal(_checks.generator, legacy)
    assert kind is TypeError
    assert "got RandomState." in text
