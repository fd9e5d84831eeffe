r"""The checks that the tests of all backends share.

:func:`check_activation` compares a function with the reference in NumPy: signature,
value, gradient, shape, dtype, arguments left alone, refusals.  :func:`check_weights`
decides whether random weights have the mean, variance, range and distribution they
should.  Both raise ``AssertionError`` with a message that names what differs, and
``test_conformance.py`` and ``test_initializers.py`` plant faults to prove it.
"""

import inspect
import math

import numpy as np
from scipy import special, stats

from companion import activations
from companion.initializers import TRUNCATED_STD

ACTIVATIONS = ("logistic", "tanh", "softsign", "relu", "leaky_relu", "elu", "selu")

#: Distance from 1 to the next number, and the smallest normal number.
EPS = {"float16": 2**-10, "bfloat16": 2**-7, "float32": 2**-23, "float64": 2**-52}
TINY = {"float16": 2**-14, "bfloat16": 2**-126, "float32": 2**-126, "float64": 2**-1022}

#: Both sides of the kink, the digits next to it, both tails, the limits and nan.
POINTS = np.array(
    [
        [-np.inf, -1e4, -88.0, -20.0, -3.0, -1.0],
        [-0.5, -1e-3, -1e-4, -0.0, 0.0, 1e-4],
        [1e-3, 0.5, 1.0, 3.0, 20.0, 88.0],
        [1e4, np.inf, np.nan, 0.1, -0.1, 2.0],
    ]
)


class NumpyBackend:
    """The reference itself, in the dtype asked for: ``f`` and ``f_grad``."""

    name = "numpy"
    default_float = "float64"
    dtypes = ("float16", "float32", "float64")

    def function(self, name):
        return getattr(activations, name)

    def tensor(self, values, dtype):
        return np.asarray(values).astype(dtype)

    def array(self, tensor):
        return np.asarray(tensor, dtype=np.float64)

    def dtype(self, tensor):
        return tensor.dtype.name

    def value_and_gradient(self, function, z, upstream, **arguments):
        derivative = getattr(activations, f"{function.__name__}_grad")
        return function(z, **arguments), upstream * derivative(z, **arguments)

    def refused(self):
        """Give arguments that are no real numbers, each with its message's end."""
        yield np.array([1j]), "must hold real numbers; got dtype complex128."
        yield np.array([None]), "must hold real numbers; got dtype object."
        yield ["a"], "must hold real numbers; got dtype <U1."


class TorchBackend:
    """``companion.torch`` and autograd."""

    name = "torch"
    dtypes = ("float16", "bfloat16", "float32", "float64")

    def __init__(self):
        import torch

        import companion.torch.activations

        self.framework = torch
        self.module = companion.torch.activations
        self.default_float = self.dtype(torch.empty(0))

    def function(self, name):
        return getattr(self.module, name)

    def tensor(self, values, dtype):
        values = self.framework.from_numpy(np.array(values))
        return values.to(getattr(self.framework, dtype))

    def array(self, tensor):
        return tensor.detach().double().numpy()

    def dtype(self, tensor):
        return str(tensor.dtype).removeprefix("torch.")

    def value_and_gradient(self, function, z, upstream, **arguments):
        z = z.clone().requires_grad_()
        y = function(z, **arguments)
        # A result of another shape or dtype cannot be asked for the gradient.
        if y.shape != z.shape or y.dtype != z.dtype:
            return y, None
        return y, self.framework.autograd.grad(y, z, upstream)[0]

    def refused(self):
        complex_number = self.framework.tensor([1j])
        yield complex_number, "must hold real numbers; got dtype torch.complex64."
        yield [1.0], "must be a torch.Tensor; got list. Pass torch.as_tensor(z)."
        yield "a", "must be a torch.Tensor; got str. Pass torch.as_tensor(z)."


class TensorFlowBackend:
    """``companion.tensorflow`` and ``tf.GradientTape``."""

    name = "tensorflow"
    dtypes = ("float16", "bfloat16", "float32", "float64")

    def __init__(self):
        import companion.tensorflow.activations  # isort: skip  (first: in silence)
        import keras
        import tensorflow

        self.framework = tensorflow
        self.module = companion.tensorflow.activations
        self.default_float = keras.backend.floatx()

    def function(self, name):
        return getattr(self.module, name)

    def tensor(self, values, dtype):
        return self.framework.cast(self.framework.constant(values), dtype)

    def array(self, tensor):
        return self.framework.cast(tensor, "float64").numpy()

    def dtype(self, tensor):
        return tensor.dtype.name

    def value_and_gradient(self, function, z, upstream, **arguments):
        with self.framework.GradientTape() as tape:
            tape.watch(z)
            y = function(z, **arguments)
        if y.shape != z.shape or y.dtype != z.dtype:
            return y, None
        return y, tape.gradient(y, z, output_gradients=upstream)

    def refused(self):
        complex_number = self.framework.constant([1j], "complex64")
        yield complex_number, "must hold real numbers; got dtype complex64."
        yield ["a"], "must hold real numbers; got dtype string."
        cannot = "which TensorFlow cannot convert to a tensor."
        yield object(), f"must hold real numbers; got object, {cannot}"


BACKENDS = {
    "numpy": NumpyBackend,
    "torch": TorchBackend,
    "tensorflow": TensorFlowBackend,
}


def check_activation(name, backend, dtype, *, function=None, **arguments):
    """Compare one backend's function with the reference, and raise if they differ.

    The reference is NumPy in float64, at the very numbers that `dtype` holds, so
    that the whole difference is the backend's own rounding.

    Value: four roundings of relative size eps, since no function here takes more
    steps than that and none of them cancels.  Gradient: eight, since it takes twice
    as many steps, and absolutely four, since the frameworks compute the derivative
    of the logistic and tanh as :math:`y(1 - y)` and :math:`1 - y^2` from a rounded
    y.  Below the smallest normal number a backend may round to 0.  The gradient is
    not compared at nan, where each framework has its own; nan must stay nan in the
    value.

    Parameters
    ----------
    name : str
        The function's name in :mod:`companion.activations`.
    backend : NumpyBackend, TorchBackend or TensorFlowBackend
    dtype : {"float16", "bfloat16", "float32", "float64"}
    function : callable, optional
        What to check in place of the backend's own.
    arguments : float
        alpha and scale, if not the defaults.
    """
    function = function or backend.function(name)
    eps, tiny = EPS[dtype], TINY[dtype]
    where = f"{name} in {backend.name}, {dtype}"
    _require(
        inspect.signature(function) == inspect.signature(getattr(activations, name)),
        f"{where}: signature {inspect.signature(function)}",
    )

    z = backend.tensor(POINTS, dtype)
    z64 = backend.array(z).copy()  # else a change in place would change both
    # Powers of two: multiplying by them adds no rounding.
    upstream64 = np.resize([1.0, 2.0, 0.5, -1.0, 4.0], POINTS.shape)
    upstream = backend.tensor(upstream64, dtype)
    y, gradient = backend.value_and_gradient(function, z, upstream, **arguments)
    _require(backend.dtype(y) == dtype, f"{where}: dtype {backend.dtype(y)}")
    _require(tuple(y.shape) == POINTS.shape, f"{where}: shape {tuple(y.shape)}")
    unchanged = np.array_equal(backend.array(z), z64, equal_nan=True)
    _require(unchanged, f"{where}: input changed in place")

    expected = getattr(activations, name)(z64, **arguments)
    close(backend.array(y), expected, 4 * eps, tiny, f"{where}: value")
    _require(gradient is not None, f"{where}: gradient is missing")
    _require(
        backend.dtype(gradient) == dtype,
        f"{where}: gradient dtype {backend.dtype(gradient)}",
    )
    expected = upstream64 * getattr(activations, f"{name}_grad")(z64, **arguments)
    number = ~np.isnan(z64)
    close(
        backend.array(gradient)[number],
        expected[number],
        8 * eps,
        4 * eps * np.abs(upstream64[number]),
        f"{where}: gradient",
    )

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
        message = f"{where}: value from {kind}"
        close(backend.array(y), expected, 4 * EPS[default], TINY[default], message)

    _check_refusals(name, backend, function, where)


def _check_refusals(name, backend, function, where):
    """Require the reference's error, type and text, for each bad argument."""
    for bad, end in backend.refused():
        _require_error(function, (bad,), {}, TypeError, f"{name}: `z` {end}", where)
    z = backend.tensor([1.0], "float32")
    for argument in list(inspect.signature(function).parameters)[1:]:
        for bad in ("a", None, True, 1j, math.inf, math.nan):
            try:
                getattr(activations, name)(1.0, **{argument: bad})
            except (TypeError, ValueError) as error:
                kind, text = type(error), str(error)
            _require_error(function, (z,), {argument: bad}, kind, text, where)


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
    with np.errstate(invalid="ignore"):  # inf - inf
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
