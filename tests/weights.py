"""What random weights must be in every backend: the cases, and the checks.

:func:`check_weights` decides whether weights have the mean, variance, range and
distribution they should, :func:`check_orthogonal` and :func:`check_even` whether a
matrix keeps lengths and is drawn evenly.  ``test_initializers.py`` plants faults to
prove that they can fail.
"""

import math

import numpy as np
from helpers import EPS, FALSE_ALARM, require
from scipy import special, stats

from companion import initializers
from companion.initializers import DISTRIBUTIONS, MODES, TRUNCATED_STD

#: Name -> scale, mode, distribution.
NAMED = {
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "glorot_normal": (1.0, "fan_avg", "normal"),
    "he_uniform": (2.0, "fan_in", "uniform"),
    "he_normal": (2.0, "fan_in", "normal"),
    "he_avg_uniform": (2.0, "fan_avg", "uniform"),
    "lecun_uniform": (1.0, "fan_in", "uniform"),
    "lecun_normal": (1.0, "fan_in", "normal"),
}
#: What draws, and what names one that does.
NAMES = {*NAMED, "variance_scaling", "orthogonal", "for_activation"}

#: More inputs than outputs, so that no fan can stand in for another.
DENSE = (500, 200)
KERNEL = (3, 5, 40, 60)
FANS = {
    DENSE: {"fan_in": 500, "fan_out": 200, "fan_avg": 350},
    KERNEL: {"fan_in": 600, "fan_out": 900, "fan_avg": 750},
}
GENERAL = [(m, d, shape) for m in MODES for d in DISTRIBUTIONS for shape in FANS]

#: More inputs than outputs, as many, and fewer; then the same of a kernel's fan_in.
ORTHOGONAL = [(50, 20), (30, 30), (20, 50), (1, 4), (3, 5, 8, 20), (3, 5, 2, 40)]

#: Which initializer is for which activation, written out without the package's table.
RECOMMENDED = {
    "linear": "glorot",
    "logistic": "glorot",
    "softmax": "glorot",
    "softsign": "glorot",
    "tanh": "glorot",
    "celu": "he",
    "elu": "he",
    "gelu": "he",
    "leaky_relu": "he",
    "mish": "he",
    "prelu": "he",
    "relu": "he",
    "rrelu": "he",
    "silu": "he",
    "softplus": "he",
    "selu": "lecun",
}

#: Arguments that every backend checks alike: argument, value, error, end of message.
BAD = [
    ("scale", "2", TypeError, "must be a real number; got '2'."),
    ("scale", None, TypeError, "must be a real number; got None."),
    ("scale", True, TypeError, "must be a real number; got True."),
    ("scale", 0.0, ValueError, "must be a finite number above 0; got 0.0."),
    ("scale", -1, ValueError, "must be a finite number above 0; got -1.0."),
    ("scale", math.inf, ValueError, "must be a finite number above 0; got inf."),
    ("scale", math.nan, ValueError, "must be a finite number above 0; got nan."),
    (
        "mode",
        "fan_inn",
        ValueError,
        "must be one of 'fan_in', 'fan_out', 'fan_avg'; got 'fan_inn'. "
        "Did you mean 'fan_in'?",
    ),
    (
        "mode",
        None,
        ValueError,
        "must be one of 'fan_in', 'fan_out', 'fan_avg'; got None.",
    ),
    (
        "distribution",
        "truncated",
        ValueError,
        "must be one of 'normal', 'truncated_normal', 'uniform'; got 'truncated'. "
        "Did you mean 'truncated_normal'?",
    ),
]

#: Gains that every backend refuses alike, and then names and distributions.
BAD_GAINS = [
    (value, error, text) for name, value, error, text in BAD if name == "scale"
]
OFFERED = ", ".join(
    repr(a) for names in initializers.RECOMMENDED.values() for a in names
)
BAD_NAMES = [
    (("rellu",), f"`name` must be one of {OFFERED}; got 'rellu'. Did you mean 'relu'?"),
    (("sigmoid",), f"`name` must be one of {OFFERED}; got 'sigmoid'."),
    ((None,), f"`name` must be one of {OFFERED}; got None."),
    (
        ("relu", "truncated_normal"),
        "`distribution` must be one of 'normal', 'uniform'; got 'truncated_normal'.",
    ),
]

#: Shapes that NumPy and TensorFlow refuse alike.
BAD_SHAPES = [
    (
        7,
        TypeError,
        "must be a sequence of integers such as (fan_in, fan_out); got 7.",
    ),
    (
        (7,),
        ValueError,
        "must have at least two axes, (fan_in, fan_out) last; got (7,).",
    ),
    ((), ValueError, "must have at least two axes, (fan_in, fan_out) last; got ()."),
    ((3, 0), ValueError, "must be at least 1; got 0."),
    ((3, -1), ValueError, "must be at least 1; got -1."),
    ((3, 2.0), TypeError, "must be an integer; got 2.0."),
    ((3, True), TypeError, "must be an integer; got True."),
    ("ab", TypeError, "must be an integer; got 'a'."),
]


# --- checks ---------------------------------------------------------------------------
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
    require(z.size >= 1000, f"size: {z.size} is too few to tell")
    sigmas = z.mean() * math.sqrt(z.size)
    require(abs(sigmas) <= 5, f"mean: {sigmas:.1f} standard errors from 0")
    kurtosis = unit.stats("k") + 3
    error = math.sqrt((kurtosis - 1) / z.size)
    sigmas = (np.mean(z**2) - 1) / error
    require(abs(sigmas) <= 5, f"variance: {sigmas:.1f} standard errors off")
    largest, end = np.abs(z).max(), unit.support()[1]
    require(largest <= end * (1 + 8 * eps), f"range: {largest} is beyond the end {end}")
    distance = np.abs(unit.cdf(np.sort(z)) - (np.arange(z.size) + 0.5) / z.size).max()
    allowed = special.kolmogi(FALSE_ALARM) / math.sqrt(z.size) + eps
    require(
        distance <= allowed, f"distribution: distance {distance:.4f} > {allowed:.4f}"
    )


def check_orthogonal(weights, gain, eps):
    """Require that a matrix keeps lengths, from or to its smaller side.

    Each entry of the product is a sum of as many products as the larger side has
    entries, each rounded once.
    """
    tall = weights if weights.shape[0] >= weights.shape[1] else weights.T
    product, identity = tall.T @ tall, gain**2 * np.eye(tall.shape[1])
    np.testing.assert_allclose(
        product, identity, rtol=0, atol=gain**2 * len(tall) * eps
    )


def check_even(first_entries):
    """Require what makes an orthogonal matrix of three rows evenly distributed.

    Its first column is then a point anywhere on the unit sphere, and a coordinate of
    that is uniform on (-1, 1), as Archimedes found: variance 1/3.
    """
    check_weights(first_entries, 1 / 3, "uniform", eps=EPS["float32"])
