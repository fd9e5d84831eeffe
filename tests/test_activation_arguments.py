"""What the activations of the reference accept, keep and refuse."""

import inspect
import math

import numpy as np
import pytest
from helpers import BOTH, reference

DTYPES = ("float16", "float32", "float64")


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool"])
def test_integers_become_float64(name, dtype):
    z = np.array([0, 1, 1], dtype)
    got = reference(name)(z)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, reference(name)(z.astype(float)))


@pytest.mark.parametrize("name", BOTH)
def test_lists_and_numbers_are_accepted(name):
    f = reference(name)
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
        reference(name)(value)
    assert str(caught.value) == message


PARAMETERS = [
    (name, parameter)
    for name in BOTH
    for parameter in inspect.signature(reference(name)).parameters
    if parameter in ("alpha", "scale", "lower", "upper")
]


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("value", ["0.1", None, True, 1j, [0.1]])
def test_constant_that_is_no_number_is_refused(name, parameter, value):
    message = f"{name}: `{parameter}` must be a real number; got {value!r}."
    with pytest.raises(TypeError) as caught:
        reference(name)(1.0, **{parameter: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_constant_that_is_an_array_is_refused_but_for_slopes(name, parameter):
    value = np.array(0.1)
    if name.startswith("prelu"):
        got = reference(name)(1.0, **{parameter: value})
        assert got == reference(name)(1.0, **{parameter: 0.1})
        return
    message = f"{name}: `{parameter}` must be a real number; got {value!r}."
    with pytest.raises(TypeError) as caught:
        reference(name)(1.0, **{parameter: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_constant_that_is_not_finite_is_refused(name, parameter, value):
    bound = " above 0" if name.startswith("celu") else ""
    message = f"{name}: `{parameter}` must be a finite number{bound}; got {value!r}."
    with pytest.raises(ValueError, match="finite") as caught:
        reference(name)(1.0, **{parameter: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("kind", [np.float64, np.float32, int])
def test_constant_of_any_real_type_keeps_the_dtype(name, parameter, kind):
    z = np.array([-1.0, 2.0], "float16")
    value = kind(0 if parameter == "lower" else 2)
    got = reference(name)(z, **{parameter: value})
    assert got.dtype == "float16"
    np.testing.assert_array_equal(got, reference(name)(z, **{parameter: float(value)}))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_argument_is_never_changed(name, dtype):
    z = np.array([-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf, np.nan], dtype)
    before = z.tobytes()
    z.setflags(write=False)
    got = reference(name)(z)
    assert z.tobytes() == before
    assert not np.shares_memory(got, z)


# --- slopes, and the two forms --------------------------------------------------------
@pytest.mark.parametrize("name", ["prelu", "prelu_grad", "prelu_slope_derivative"])
def test_prelu_keeps_the_dtype_whatever_that_of_its_slopes(name):
    f = reference(name)
    for dtype in DTYPES:
        z = np.array([[-1.0, 2.0]], dtype)
        for alpha in (np.array([0.5, 0.25]), np.array([[1], [1]]).T, np.array(0.5)):
            got = f(z, alpha=alpha)
            assert got.dtype == dtype
            assert got.shape == z.shape


@pytest.mark.parametrize("name", ["prelu", "prelu_grad", "prelu_slope_derivative"])
def test_slopes_of_another_shape_are_refused(name):
    message = f"{name}: `alpha` must broadcast to the shape (2, 3); got shape (2,)."
    with pytest.raises(ValueError, match="broadcast") as caught:
        reference(name)(np.ones((2, 3)), alpha=np.ones(2))
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["rrelu", "rrelu_grad"])
@pytest.mark.parametrize("training", [0, None, "yes"])
def test_training_is_true_or_false(name, training):
    message = f"{name}: `training` must be True or False; got {training!r}."
    with pytest.raises(TypeError) as caught:
        reference(name)(1.0, training=training)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["gelu", "gelu_grad"])
@pytest.mark.parametrize("form", [1, None, "tanh"])
def test_approximate_is_true_or_false(name, form):
    message = f"{name}: `approximate` must be True or False; got {form!r}."
    with pytest.raises(TypeError) as caught:
        reference(name)(1.0, approximate=form)
    assert str(caught.value) == message
