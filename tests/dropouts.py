"""What the tests of dropout share: numbers, masks, and two checks for any backend.

:func:`check_masked` compares a function with the reference in NumPy where the mask is
given, :func:`check_drawn` holds what it draws to what can be told from its values.
Both raise ``AssertionError`` with a message that names what differs;
``test_dropout_can_fail.py`` plants faults to prove it.
"""

import inspect
import math

import numpy as np
from helpers import EPS, close, require

from companion import activations
from companion import dropout as reference

NAMES = ("dropout", "alpha_dropout")
#: SELU's own fixed point, another net's, and one where a is above 1.
CONSTANTS = (
    {},
    {"alpha": 1.2, "scale": 1.1, "mean": 0.5, "var": 2.0},
    {"alpha": 1.5, "scale": 1.0, "mean": -1.5, "var": 0.5},
)
#: Each function with each set of constants.
FORMS = [("dropout", {}), *(("alpha_dropout", point) for point in CONSTANTS)]

X = np.array(
    [
        [-np.inf, -1.5, -0.5, np.nan, 0.0, 0.25],
        [np.inf, 1.5, 3.0, np.nan, -0.0, 1e-3],
        [-np.inf, np.inf, np.nan, 100.0, -100.0, 1.0],
        [-2.0, 0.1, 0.2, 0.3, 0.4, 0.5],
    ]
)
MASKS = {
    "one for each element": np.arange(24).reshape(4, 6) % 5 % 2 == 0,
    "one for each row": np.array([[True], [False], [True], [False]]),
    "one for each unit": np.array([True, False, False, True, False, True]),
    "all kept": np.array(True),
    "all dropped": np.zeros((1, 1), bool),
}


def constants(name, rate, point):
    """Return the value that stands for a dropped unit, a and b."""
    if name == "dropout":
        return 0.0, 1 / (1 - rate), 0.0
    given = {"alpha": activations.SELU_ALPHA, "scale": activations.SELU_SCALE} | point
    value = -given["alpha"] * given["scale"]
    return value, *reference.alpha_dropout_affine(rate, **point)


def check_masked(name, backend, dtype, rate, mask, *, function=None, **point):
    """Compare value and gradient with the reference's, for one mask.

    The reference is NumPy in float64, at the very numbers that `dtype` holds.  A value
    is a sum of three terms, a x, a times the dropped value and b, in any order: at most
    eight roundings of half an eps, of terms that are not larger than all together.  A
    gradient is a product, with two.

    Parameters
    ----------
    name : {"dropout", "alpha_dropout"}
    backend : NumpyBackend, TorchBackend or TensorFlowBackend
    dtype : {"float16", "bfloat16", "float32", "float64"}
    rate : float
    mask : ndarray of bool
    function : callable, optional
        What to check in place of the backend's own.
    **point : float
        Constants of alpha dropout.
    """
    function = function or getattr(backend.topic("dropout"), name)
    where = f"{name} in {backend.name}, {dtype}"
    signature = str(inspect.signature(function)).replace(backend.random, "rng")
    expected = str(inspect.signature(getattr(reference, name)))
    require(signature == expected, f"{where}: signature {signature}")
    x = backend.tensor(X, dtype)
    x64 = backend.array(x).copy()  # else a change in place would change both
    upstream64 = np.resize([1.0, 2.0, 0.5, -1.0, 4.0], X.shape)  # no rounding
    y, gradient = backend.value_and_gradient(
        function,
        x,
        backend.tensor(upstream64, dtype),
        rate=rate,
        mask=backend.tensor(mask, "bool"),
        **point,
    )
    require(backend.dtype(y) == dtype, f"{where}: dtype {backend.dtype(y)}")
    require(tuple(y.shape) == X.shape, f"{where}: shape {tuple(y.shape)}")
    same = np.array_equal(backend.array(x), x64, equal_nan=True)
    require(same, f"{where}: input changed in place")

    value, a, b = constants(name, rate, point)
    known = {"rate": rate, "mask": mask, **point}
    size = a * np.abs(x64) + abs(a * value) + abs(b)
    dropped = ~np.broadcast_to(mask, X.shape) & (rate > 0)
    size[dropped] = abs(a * value) + abs(b)
    expected = getattr(reference, name)(x64, **known)
    close(backend.array(y), expected, 0.0, 4 * EPS[dtype] * size, f"{where}: value")
    alike = len(np.unique(backend.array(y)[dropped])) <= 1  # nan is not nan
    require(alike, f"{where}: dropped units differ")
    got = backend.dtype(gradient), tuple(gradient.shape)
    require(got == (dtype, X.shape), f"{where}: gradient is {got}")
    expected = upstream64 * getattr(reference, f"{name}_grad")(x64, **known)
    gradient = backend.array(gradient)
    close(gradient, expected, 2 * EPS[dtype], 0.0, f"{where}: gradient")


def sample(n, point, seed=1):
    """Draw n numbers with the fixed point's mean and variance, far from constant."""
    rng = np.random.default_rng(seed)
    if not point:
        return activations.selu(rng.standard_normal(n))
    return point["mean"] + math.sqrt(point["var"]) * (rng.exponential(size=n) - 1)


def check_drawn(name, backend, dtype, rate, *, function=None, **point):
    r"""Require of a drawn mask what can be told from value and gradient.

    A share `rate` is dropped, and mean and variance are kept, within five standard
    errors: a correct function exceeds that in one of two million comparisons.  The
    value is that of the mask which the gradient shows, scaled for the rate at which
    it was drawn, a multiple of 1/65536 in PyTorch.  Seeds tell what is drawn.
    Arguments are those of :func:`check_masked`.
    """
    function = function or getattr(backend.topic("dropout"), name)
    where = f"{name} in {backend.name}, {dtype}"
    n = 40_000
    x = backend.tensor(sample(n, point), dtype)
    x64, one = backend.array(x), backend.tensor(np.ones(n), dtype)

    def draw(seed):
        given = {"rate": rate, **point, **backend.source(seed)}
        y, gradient = backend.value_and_gradient(function, x, one, **given)
        return backend.array(y), backend.array(gradient)

    y, gradient = draw(1)
    kept = gradient != 0
    off = abs(np.mean(~kept) - rate)
    error = math.sqrt(rate * (1 - rate) / n)
    require(off < 5 * error, f"{where}: share is {off:.4f} from the rate")
    drawn_at = round(rate * 2**16) / 2**16 if backend.name == "torch" else rate
    value, a, b = constants(name, drawn_at, point)
    tolerance = 4 * EPS[dtype] * (a * np.abs(x64) + abs(a * value) + abs(b))
    expected = np.where(kept, a * x64 + b, a * value + b)
    close(y, expected, 0.0, tolerance, f"{where}: value")
    close(gradient[kept], a, 2 * EPS[dtype], 0.0, f"{where}: gradient")

    mean, var = point.get("mean", 0.0), point.get("var", 1.0)
    if name == "dropout":
        var = (var + mean**2) / (1 - rate) - mean**2
    rounding = 4 * EPS[dtype] * (abs(a * value) + abs(b) + 1)
    off = abs(y.mean() - mean)
    allowed = 5 * math.sqrt(var / n) + rounding
    require(off < allowed, f"{where}: mean is {off:.4f} off")
    off = abs(y.var() - var)
    allowed = 5 * math.sqrt((np.mean((y - mean) ** 4) - var**2) / n) + 2 * rounding
    require(off < allowed, f"{where}: variance is {off:.4f} off")

    require(np.array_equal(draw(1)[0], y), f"{where}: the same seed draws others")
    differ = np.mean((draw(2)[1] != 0) != kept)
    off = abs(differ - 2 * rate * (1 - rate))
    require(off < 5 * error, f"{where}: another seed drops {differ:.0%} others")
