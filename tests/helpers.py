r"""The checks that the tests of all backends share.

:func:`check_activation` compares a function with the reference in NumPy: signature,
value, gradient, shape, dtype, arguments left alone, refusals.
:func:`check_random_slopes` does what remains for RReLU in training, and
:func:`check_weights` decides whether random weights have the mean, variance, range and
distribution they should.  All raise ``AssertionError`` with a message that names what
differs; ``test_conformance_can_fail.py`` and ``test_initializers.py`` plant faults to
prove it.
"""

import functools
import inspect
import math

import numpy as np
from backends import sum_to
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from companion import activations
from companion.initializers import TRUNCATED_STD

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
    since the frameworks compute the derivative of the logistic and tanh as
    :math:`y(1 - y)` and :math:`1 - y^2` from a rounded y; the gated functions multiply
    that by z and by the derivative of the gate's argument.  From z = 40 on y is 1.
    """
    eps = EPS[dtype]
    return 8 * eps, 4 * eps * (1 + 2 * _until(40, z) * (name in GATED))


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
    _require(
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
    _require(backend.dtype(y) == dtype, f"{where}: dtype {backend.dtype(y)}")
    _require(tuple(y.shape) == POINTS.shape, f"{where}: shape {tuple(y.shape)}")
    unchanged = np.array_equal(backend.array(z), z64, equal_nan=True)
    _require(unchanged, f"{where}: input changed in place")

    expected = getattr(activations, name)(z64, **given64)
    tolerance = value_tolerance(name, z64, dtype)
    close(backend.array(y), expected, *tolerance, f"{where}: value")
    _require(gradient is not None, f"{where}: gradient is missing")
    _require(
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
        _require(tuple(y.shape) == shape, f"{where}: shape {tuple(y.shape)}")
        _require(backend.dtype(y) == dtype, f"{where}: dtype {backend.dtype(y)}")
    for kind in ("int32", "uint8", "bool"):
        integers = np.array([0, 1, 1])
        y = function(backend.tensor(integers, kind), **arguments)
        got, default = backend.dtype(y), backend.default_float
        _require(got == default, f"{where}: dtype {got} from {kind}")
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
    _require(got == (dtype, alpha64.shape), f"{where}: slope gradient is {got}")
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
    _require(got == expected, f"{where}: error is {got!r}, not {expected!r}")


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
    _require(
        not wrong.any(),
        f"{message}: {actual[wrong][:4]} where {expected[wrong][:4]} was expected",
    )


def _require(holds, message):
    if not holds:
        raise AssertionError(message)


#: How often a correct sampler fails one comparison: the two tails beyond 5 sigma.
FALSE_ALARM = 2 * stats.norm.sf(5.0)  # 5.7e-7

_EDGE = 1 / TRUNCATED_STD  # a truncated normal of variance 1 ends at twice this
UNIT = {
    "normal": stats.norm(),
    "truncated_normal": stats.truncnorm(-2, 2, scale=_EDGE),
    "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
}


def check_weights(weights, variance, distribution, *, eps=2**-52):
    r"""Require mean 0, the variance, and the distribution, within sampling error.

    Each of the three is given five standard errors, which a correct sampler exceeds
    with probability 5.7e-7: the mean has the standard error
    :math:`\sigma / \sqrt N`, the variance :math:`\sigma^2 \sqrt{(\kappa - 1) / N}`
    with the kurtosis :math:`\kappa` of the distribution, and the largest distance
    between the two distribution functions (Kolmogorov and Smirnov) is held to the
    quantile of the same probability.  The range is exact, up to the rounding `eps`
    of the dtype.

    Parameters
    ----------
    weights : array of at least 1000 entries
    variance : float
    distribution : {"normal", "truncated_normal", "uniform"}
    eps : float
    """
    unit = UNIT[distribution]
    z = np.asarray(weights, dtype=np.float64).ravel() / math.sqrt(variance)
    _require(z.size >= 1000, f"size: {z.size} is too few to tell")
    sigmas = z.mean() * math.sqrt(z.size)
    _require(abs(sigmas) <= 5, f"mean: {sigmas:.1f} standard errors from 0")
    kurtosis = unit.stats("k") + 3
    error = math.sqrt((kurtosis - 1) / z.size)
    sigmas = (np.mean(z**2) - 1) / error
    _require(abs(sigmas) <= 5, f"variance: {sigmas:.1f} standard errors off")
    largest, end = np.abs(z).max(), unit.support()[1]
    _require(
        largest <= end * (1 + 8 * eps), f"range: {largest} is beyond the end {end}"
    )
    distance = np.abs(unit.cdf(np.sort(z)) - (np.arange(z.size) + 0.5) / z.size).max()
    allowed = special.kolmogi(FALSE_ALARM) / math.sqrt(z.size) + eps
    _require(
        distance <= allowed, f"distribution: distance {distance:.4f} > {allowed:.4f}"
    )


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
        _require(gradient is not None, f"{where}: shape or dtype of the value")
        passed = backend.array(backend.tensor(z, dtype))[n:]
        same = np.array_equal(backend.array(y)[n:], passed, equal_nan=True)
        _require(same, f"{where}: positive numbers are changed")
        _require(
            (backend.array(gradient)[n + 1 : -1] == 1).all(),
            f"{where}: gradient of positive numbers",
        )
        slopes = -backend.array(y)[:n]
        same = np.array_equal(backend.array(gradient)[:n], slopes)
        _require(same, f"{where}: gradient is not the slope")
        return slopes

    slopes = draw(1)
    inside = lower - rounding <= slopes.min() and slopes.max() <= upper + rounding
    _require(inside, f"{where}: range {slopes.min()} to {slopes.max()}")
    cdf = (np.sort(slopes) - lower) / (upper - lower)
    distance = np.abs(cdf - (np.arange(n) + 0.5) / n).max()
    allowed = special.kolmogi(FALSE_ALARM) / math.sqrt(n)
    allowed += 0.5 / n + rounding / (upper - lower)
    _require(distance <= allowed, f"{where}: distribution is {distance:.4f} off")
    tested = backend.array(
        function(backend.tensor([-1.0], dtype), lower, upper, training=False)
    )
    error = 5 * (upper - lower) / math.sqrt(12 * n) + rounding
    off = abs(slopes.mean() + tested[0])
    _require(off <= error, f"{where}: mean is {off:.4f} from the test slope")
    _require(np.array_equal(draw(1), slopes), f"{where}: the same seed draws others")
    differ = np.mean(draw(2) != slopes)
    _require(differ > 0.5, f"{where}: another seed draws {differ:.0%} others")


def arrays(special=True):
    """Draw arrays of any shape and float dtype, empty ones and subnormals too."""

    def of_width(width):
        numbers = st.floats(-1e4, 1e4, width=width, allow_subnormal=True)
        if special:
            numbers |= st.sampled_from([np.nan, np.inf, -np.inf])
        shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
        return hnp.arrays(f"float{width}", shapes, elements=numbers)

    return st.sampled_from([16, 32, 64]).flatmap(of_width)
