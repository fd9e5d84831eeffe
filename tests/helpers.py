"""The checks that the tests of all backends share.

:func:`check_activation` compares a function with the reference in NumPy: signature,
value, gradient, shape, dtype, arguments left alone, refusals.
:func:`check_random_slopes` does what remains for RReLU in training.  Both raise
``AssertionError`` with a message that names what differs;
``test_conformance_can_fail.py`` plants faults to prove it.
"""

import functools
import inspect
import math

import numpy as np
import pytest
from backends import sum_to
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from companion import activations

#: z times a gate that opens from 0 to 1; these fall before they rise.
GATED = ("silu", "gelu", "mish")
#: All that need no other argument than z.
ACTIVATIONS = (
    *("logistic", "tanh", "softsign", "relu", "leaky_relu", "elu", "celu", "selu"),
    *("softplus", *GATED),
)
#: What the others need.
REQUIRED = {"prelu": {"alpha": 0.25}, "rrelu": {"training": False}}
NAMES = [*ACTIVATIONS, *REQUIRED]
BOTH = [*NAMES, *(f"{name}_grad" for name in NAMES)]

#: Those that need no random numbers, with an approximation.
FORMS = [
    *((name, {}) for name in ACTIVATIONS),
    ("gelu", {"approximate": True}),
    ("rrelu", {"training": False}),
]

#: Distance from 1 to the next number, and the smallest normal number.
EPS = {"float16": 2**-10, "bfloat16": 2**-7, "float32": 2**-23, "float64": 2**-52}
TINY = {"float16": 2**-14, "bfloat16": 2**-126, "float32": 2**-126, "float64": 2**-1022}

#: Both sides of the kink, the digits next to it, both tails, the limits and nan.
POINTS = np.array(
    [
        [-np.inf, -1e4, -88.0, -20.0, -3.0, -1.0],
        [-0.5, -1e-3, -1e-4, -0.0, 0.0, 1e-4],
        [1e-3, 0.5, 1.0, 3.0, 20.0, 88.0],
        [1e4, np.inf, np.nan, 0.1, -0.1, 25.0],
    ]
)


def reference(name):
    """Return a function of :mod:`companion.activations` that needs nothing but z."""
    name, approximate, _ = name.partition(" approximate")
    f = getattr(activations, name)
    given = REQUIRED.get(name.partition("_")[0], {})
    if approximate:
        given = {"approximate": True}
    return functools.partial(f, **given) if given else f


def value_tolerance(name, z, dtype):
    """Return how far a value may be from the exact one: relatively, and absolutely.

    Relatively four roundings of size eps, since no function here takes more steps
    than that and none of them cancels.  Below the smallest normal number a backend
    may round to 0, and a gated function multiplies that by z.  GELU alone may be off
    by eps times z: the gate of PyTorch is a sum that cancels in the left tail.  It is
    0 there from z = -40 on in every dtype.
    """
    eps, absolute = EPS[dtype], np.full_like(z, TINY[dtype])
    if name in GATED:
        absolute *= 1 + _until(1000, z)
    if name == "gelu":
        absolute += 4 * eps * _until(40, z)
    return 4 * eps, absolute


def gradient_tolerance(name, z, dtype):
    """Return how far a derivative may be from the exact one, likewise.

    Relatively eight roundings, since it takes twice as many steps.  Absolutely four,
    since the frameworks compute the derivative of the logistic as y(1 - y) from a
    rounded y, and eight for tanh, since 1 - y^2 doubles the error of y; the gated
    functions multiply that by z and by the derivative of the gate's argument.  From
    z = 40 on y is 1.
    """
    eps = EPS[dtype]
    absolute = (8 if name == "tanh" else 4) * eps
    return 8 * eps, absolute * (1 + 2 * _until(40, z) * (name in GATED))


def _until(end, z):
    """Return the size of z, and 0 where the gate is shut or open for certain."""
    return np.where(np.abs(z) < end, np.abs(z), 0)


def check_activation(name, backend, dtype, *, function=None, **arguments):
    """Compare one backend's function with the reference, and raise if they differ.

    The reference is NumPy in float64, at the very numbers that `dtype` holds, so
    that the whole difference is the backend's own rounding: see
    :func:`value_tolerance` and :func:`gradient_tolerance`.  The gradient is not
    compared at nan, where each framework has its own; nan must stay nan in the value.

    Parameters
    ----------
    name : str
        The function's name in :mod:`companion.activations`.
    backend : NumpyBackend, TorchBackend or TensorFlowBackend
    dtype : {"float16", "bfloat16", "float32", "float64"}
    function : callable, optional
        What to check in place of the backend's own.
    arguments : float, bool or ndarray
        Those without a default, and others to be used in place of it.  An array holds
        slopes, whose gradient is compared too.
    """
    function = function or backend.function(name)
    where = f"{name} in {backend.name}, {dtype}"
    signature = str(inspect.signature(function)).replace(backend.random, "rng")
    require(
        signature == str(inspect.signature(getattr(activations, name))),
        f"{where}: signature {signature}",
    )

    z = backend.tensor(POINTS, dtype)
    z64 = backend.array(z).copy()  # else a change in place would change both
    # Powers of two: multiplying by them adds no rounding.
    upstream64 = np.resize([1.0, 2.0, 0.5, -1.0, 4.0], POINTS.shape)
    upstream = backend.tensor(upstream64, dtype)
    slopes = {k: v for k, v in arguments.items() if isinstance(v, np.ndarray)}
    given = arguments | {k: backend.tensor(v, dtype) for k, v in slopes.items()}
    given64 = arguments | {k: backend.array(given[k]) for k in slopes}
    y, gradient = backend.value_and_gradient(function, z, upstream, **given)
    require(backend.dtype(y) == dtype, f"{where}: dtype {backend.dtype(y)}")
    require(tuple(y.shape) == POINTS.shape, f"{where}: shape {tuple(y.shape)}")
    unchanged = np.array_equal(backend.array(z), z64, equal_nan=True)
    require(unchanged, f"{where}: input changed in place")

    expected = getattr(activations, name)(z64, **given64)
    tolerance = value_tolerance(name, z64, dtype)
    close(backend.array(y), expected, *tolerance, f"{where}: value")
    require(gradient is not None, f"{where}: gradient is missing")
    require(
        backend.dtype(gradient) == dtype,
        f"{where}: gradient dtype {backend.dtype(gradient)}",
    )
    derivative = getattr(activations, f"{name}_grad")(z64, **given64)
    number = ~np.isnan(z64)
    relative, absolute = gradient_tolerance(name, z64, dtype)
    close(
        backend.array(gradient)[number],
        (upstream64 * derivative)[number],
        relative,
        (absolute * np.abs(upstream64))[number],
        f"{where}: gradient",
    )
    for k in slopes:
        _check_slope_gradient(
            backend, dtype, function, z64, upstream64, given64[k], where
        )

    # One slope instead of an array, which suits no other shape.
    arguments |= {k: float(v.flat[0]) for k, v in slopes.items()}
    for shape in ((), (0,), (2, 0, 3), (5,), (2, 1, 3)):
        y = function(backend.tensor(np.ones(shape), dtype), **arguments)
        require(tuple(y.shape) == shape, f"{where}: shape {tuple(y.shape)}")
        require(backend.dtype(y) == dtype, f"{where}: dtype {backend.dtype(y)}")
    for kind in ("int32", "uint8", "bool"):
        integers = np.array([0, 1, 1])
        y = function(backend.tensor(integers, kind), **arguments)
        got, default = backend.dtype(y), backend.default_float
        require(got == default, f"{where}: dtype {got} from {kind}")
        expected = getattr(activations, name)(integers, **arguments)
        tolerance = value_tolerance(name, integers.astype(float), default)
        close(backend.array(y), expected, *tolerance, f"{where}: value from {kind}")

    _check_refusals(name, backend, function, arguments, where)


def _check_slope_gradient(backend, dtype, function, z64, upstream64, alpha64, where):
    """Compare the gradient of the slopes: a sum, whose terms are exact or rounded."""
    # At minus infinity a slope of 0 stands for the limit, and has no derivative.
    z64 = np.where(np.isinf(z64) & (alpha64 == 0), -1.0, z64)
    z, upstream, alpha = (backend.tensor(x, dtype) for x in (z64, upstream64, alpha64))
    gradient = backend.slope_gradient(function, z, upstream, alpha)
    got = backend.dtype(gradient), tuple(gradient.shape)
    require(got == (dtype, alpha64.shape), f"{where}: slope gradient is {got}")
    terms = upstream64 * activations.prelu_slope_derivative(z64, alpha64)
    close(
        backend.array(gradient),
        sum_to(terms, alpha64.shape),
        0.0,
        8 * EPS[dtype] * sum_to(np.abs(terms), alpha64.shape),
        f"{where}: slope gradient",
    )


def _check_refusals(name, backend, function, arguments, where):
    """Require the reference's error, type and text, for each bad argument."""
    for bad, end in backend.refused():
        text = f"{name}: `z` {end}"
        _require_error(function, (bad,), arguments, TypeError, text, where)
    z = backend.tensor([1.0], "float32")
    for argument in list(inspect.signature(function).parameters)[1:]:
        for bad in ("a", None, True, 1j, math.inf, math.nan, 0.0, -1.0):
            if argument == backend.random or (argument, bad) == ("training", True):
                continue  # each backend has its own source of random numbers
            given = arguments | {argument: bad}
            try:
                getattr(activations, name)(1.0, **given)
            except (TypeError, ValueError) as error:
                _require_error(function, (z,), given, type(error), str(error), where)


def _require_error(function, args, arguments, kind, text, where):
    try:
        function(*args, **arguments)
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
    else:
        got = "nothing"
    expected = f"{kind.__name__}: {text}"
    require(got == expected, f"{where}: error is {got!r}, not {expected!r}")


def close(actual, expected, relative, absolute, message):
    """Require each number within its tolerance, and the same infinities and nans.

    Plain ``assert`` would vanish under ``python -O``.
    """
    actual, expected = np.broadcast_arrays(actual, expected)
    with np.errstate(invalid="ignore"):  # inf - inf, and 0 times inf
        wrong = np.abs(actual - expected) > absolute + relative * np.abs(expected)
    wrong |= np.isnan(actual) != np.isnan(expected)
    infinite = np.isinf(actual) | np.isinf(expected)
    wrong |= infinite & (actual != expected)
    require(
        not wrong.any(),
        f"{message}: {actual[wrong][:4]} where {expected[wrong][:4]} was expected",
    )


def require_alike(backend, name, z, mine, other, absolutely=0.0, dtype="float32"):
    """Compare two pairs of value and gradient, as if the other one were exact."""
    for part, tolerance, a, b in zip(
        ("value", "gradient"),
        (value_tolerance, gradient_tolerance),
        mine,
        other,
        strict=True,
    ):
        relative, absolute = tolerance(name, z, dtype)
        absolute = absolute + absolutely
        close(
            backend.array(a), backend.array(b), relative, absolute, f"{part} of {name}"
        )


def require(holds, message):
    if not holds:
        raise AssertionError(message)


def public(module, kind=inspect.isfunction):
    """Return the names of the functions, or classes, that a module offers."""
    return {
        name
        for name, member in inspect.getmembers(module, kind)
        if member.__module__ == module.__name__ and not name.startswith("_")
    }


def refusal(function, *args, **arguments):
    """Return the type and text of the error that a call raises."""
    with pytest.raises((TypeError, ValueError, ImportError)) as caught:
        function(*args, **arguments)
    return caught.type, str(caught.value)


#: How often a correct sampler fails one comparison: the two tails beyond 5 sigma.
FALSE_ALARM = 2 * stats.norm.sf(5.0)  # 5.7e-7


def check_random_slopes(backend, dtype, *, function=None):
    r"""Require of RReLU in training all that can be told from its values.

    Positive numbers pass, the slopes of the others are uniform between the two ends,
    the gradient is the slope that the value shows, and a seed tells what is drawn.
    The largest distance between the distribution functions and the mean are held to
    what a correct sampler exceeds with probability 5.7e-7, as in
    :func:`check_weights`; a slope may be rounded to the dtype.

    Parameters
    ----------
    backend : NumpyBackend, TorchBackend or TensorFlowBackend
    dtype : {"float16", "bfloat16", "float32", "float64"}
    function : callable, optional
        What to check in place of the backend's own.
    """
    function = function or backend.function("rrelu")
    where = f"rrelu in {backend.name}, {dtype}"
    lower, upper, n = -0.25, 0.5, 10_000
    rounding = EPS[dtype] * upper

    def draw(seed):
        z = np.concatenate([np.full(n, -1.0), [0.0, 1e-3, 2.0, 1e4, np.inf, np.nan]])
        y, gradient = backend.value_and_gradient(
            function,
            backend.tensor(z, dtype),
            backend.tensor(np.ones_like(z), dtype),
            lower=lower,
            upper=upper,
            training=True,
            **backend.source(seed),
        )
        require(gradient is not None, f"{where}: shape or dtype of the value")
        passed = backend.array(backend.tensor(z, dtype))[n:]
        same = np.array_equal(backend.array(y)[n:], passed, equal_nan=True)
        require(same, f"{where}: positive numbers are changed")
        require(
            (backend.array(gradient)[n + 1 : -1] == 1).all(),
            f"{where}: gradient of positive numbers",
        )
        slopes = -backend.array(y)[:n]
        same = np.array_equal(backend.array(gradient)[:n], slopes)
        require(same, f"{where}: gradient is not the slope")
        return slopes

    slopes = draw(1)
    inside = lower - rounding <= slopes.min() and slopes.max() <= upper + rounding
    require(inside, f"{where}: range {slopes.min()} to {slopes.max()}")
    cdf = (np.sort(slopes) - lower) / (upper - lower)
    distance = np.abs(cdf - (np.arange(n) + 0.5) / n).max()
    allowed = special.kolmogi(FALSE_ALARM) / math.sqrt(n)
    allowed += 0.5 / n + rounding / (upper - lower)
    require(distance <= allowed, f"{where}: distribution is {distance:.4f} off")
    tested = backend.array(
        function(backend.tensor([-1.0], dtype), lower, upper, training=False)
    )
    error = 5 * (upper - lower) / math.sqrt(12 * n) + rounding
    off = abs(slopes.mean() + tested[0])
    require(off <= error, f"{where}: mean is {off:.4f} from the test slope")
    require(np.array_equal(draw(1), slopes), f"{where}: the same seed draws others")
    differ = np.mean(draw(2) != slopes)
    require(differ > 0.5, f"{where}: another seed draws {differ:.0%} others")


def arrays(special=True):
    """Draw arrays of any shape and float dtype, empty ones and subnormals too."""

    def of_width(width):
        numbers = st.floats(-1e4, 1e4, width=width, allow_subnormal=True)
        if special:
            numbers |= st.sampled_from([np.nan, np.inf, -np.inf])
        shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
        return hnp.arrays(f"float{width}", shapes, elements=numbers)

    return st.sampled_from([16, 32, 64]).flatmap(of_width)
