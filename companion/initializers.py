r"""Random weights whose variance keeps a signal alive: the reference in NumPy.

All of them draw :math:`W` with mean 0 and variance ``scale / fan``.  A weight
array has shape ``(fan_in, fan_out)``; a convolution kernel has its receptive
field in front, ``(height, width, channels_in, channels_out)``, and then each fan
counts the field's size times the channels.  The result is float64.

The chapter *Vanishing and exploding gradients* shows what the variance does, and the
chapter *Initialization* derives and measures each of them.
"""

import math

import numpy as np

from companion import _checks

#: Standard deviation of N(0, 1) cut off at -2 and 2, about 0.8796.  A truncated
#: draw is divided by it, so that its variance is the one asked for.
TRUNCATED_STD = math.sqrt(
    1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))
)

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("normal", "truncated_normal", "uniform")

#: Which initializer suits which activation.  Géron (2019), table 11-1, and for what it
#: does not have (softsign, and the second line of He's) the row of the nearest kin.
RECOMMENDED = {
    "glorot": ("linear", "logistic", "softmax", "tanh", "softsign"),
    "he": (
        *("relu", "leaky_relu", "prelu", "rrelu", "elu"),
        *("celu", "softplus", "silu", "gelu", "mish"),
    ),
    "lecun": ("selu",),
}


def fans(shape):
    """Count the connections into and out of one unit.

    Parameters
    ----------
    shape : sequence of int
        ``(fan_in, fan_out)``, with a receptive field in front for a convolution.

    Returns
    -------
    fan_in, fan_out : int

    Raises
    ------
    TypeError, ValueError
        If `shape` has fewer than two axes or an entry that is not a positive
        integer.

    Examples
    --------
    >>> fans((784, 100))
    (784, 100)
    >>> fans((3, 3, 16, 32))
    (144, 288)
    """
    *field, n_inputs, n_outputs = _checks.weight_shape("fans", shape)
    return math.prod(field) * n_inputs, math.prod(field) * n_outputs


def variance_scaling(shape, *, scale=1.0, mode="fan_in", distribution="normal", rng):
    r"""Draw weights of mean 0 and variance ``scale / fan``.

    .. math::

       \operatorname{Var}(W) = \frac{\text{scale}}{n}, \qquad n \in
       \left\{ n_\text{in},\ n_\text{out},\
       \tfrac12 (n_\text{in} + n_\text{out}) \right\}

    Parameters
    ----------
    shape : sequence of int
        ``(fan_in, fan_out)``, with a receptive field in front for a convolution.
    scale : float, above 0
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"normal", "truncated_normal", "uniform"}
        The truncated normal is cut at two standard deviations and widened so that
        its variance is still ``scale / fan``; the uniform has the limit
        :math:`\sqrt{3\,\text{scale}/n}`.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, shape `shape`

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> w = variance_scaling((400, 400), scale=2.0, rng=rng)
    >>> f"{400 * w.var():.1f}"
    '2.0'
    """
    scale = _checks.finite("variance_scaling", "scale", scale, above=0)
    _checks.one_of("variance_scaling", "mode", mode, MODES)
    _checks.one_of("variance_scaling", "distribution", distribution, DISTRIBUTIONS)
    _checks.generator("variance_scaling", "rng", rng)
    shape = _checks.weight_shape("variance_scaling", shape)
    std = math.sqrt(scale / fan(shape, mode))
    if distribution == "uniform":
        limit = math.sqrt(3) * std
        return rng.uniform(-limit, limit, shape)
    if distribution == "normal":
        return std * rng.standard_normal(shape)
    return std / TRUNCATED_STD * _truncated_normal(shape, rng)


def fan(shape, mode):
    """Return the fan that `mode` names, for weights of shape `shape`.

    Examples
    --------
    >>> fan((300, 100), "fan_avg")
    200.0
    """
    fan_in, fan_out = fans(shape)
    averages = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    return averages[_checks.one_of("fan", "mode", mode, MODES)]


def _truncated_normal(shape, rng):
    """Draw from N(0, 1), and draw again whatever falls outside [-2, 2]."""
    z = rng.standard_normal(shape)
    while (outside := np.abs(z) > 2).any():
        z[outside] = rng.standard_normal(outside.sum())
    return z


def glorot_uniform(shape, *, rng):
    r"""Draw from :math:`U(\pm\sqrt{6/(n_\text{in} + n_\text{out})})`.

    Variance 1/fan_avg: Glorot & Bengio (2010), eq. 16.  Arguments, result and errors
    are those of :func:`variance_scaling`.

    Examples
    --------
    >>> w = glorot_uniform((100, 50), rng=np.random.default_rng(0))
    >>> bool(abs(w).max() <= 0.2)
    True
    """
    return variance_scaling(shape, mode="fan_avg", distribution="uniform", rng=rng)


def glorot_normal(shape, *, rng):
    """Draw from a normal distribution of variance 1/fan_avg.

    Glorot & Bengio (2010), eq. 12.  Arguments, result and errors are those of
    :func:`variance_scaling`.

    Examples
    --------
    >>> glorot_normal((100, 50), rng=np.random.default_rng(0)).shape
    (100, 50)
    """
    return variance_scaling(shape, mode="fan_avg", rng=rng)


def he_uniform(shape, *, rng):
    r"""Draw from :math:`U(\pm\sqrt{6/n_\text{in}})`, variance 2/fan_in.

    He et al. (2015), eq. 10, give the variance.  Arguments, result and errors are
    those of :func:`variance_scaling`.

    Examples
    --------
    >>> w = he_uniform((600, 50), rng=np.random.default_rng(0))
    >>> bool(abs(w).max() <= 0.1)
    True
    """
    return variance_scaling(shape, scale=2.0, distribution="uniform", rng=rng)


def he_normal(shape, *, rng):
    """Draw from a normal distribution of variance 2/fan_in.

    He et al. (2015), eq. 10.  Arguments, result and errors are those of
    :func:`variance_scaling`.

    Examples
    --------
    >>> he_normal((100, 50), rng=np.random.default_rng(0)).shape
    (100, 50)
    """
    return variance_scaling(shape, scale=2.0, rng=rng)


def he_avg_uniform(shape, *, rng):
    """Draw from a uniform distribution of variance 2/fan_avg.

    He's scale with Glorot's fan.  Arguments, result and errors are those of
    :func:`variance_scaling`.

    Examples
    --------
    >>> he_avg_uniform((100, 50), rng=np.random.default_rng(0)).shape
    (100, 50)
    """
    return variance_scaling(
        shape, scale=2.0, mode="fan_avg", distribution="uniform", rng=rng
    )


def lecun_uniform(shape, *, rng):
    r"""Draw from :math:`U(\pm\sqrt{3/n_\text{in}})`, variance 1/fan_in.

    LeCun et al. (1998), eq. 16, give the variance.  Arguments, result and errors are
    those of :func:`variance_scaling`.

    Examples
    --------
    >>> w = lecun_uniform((300, 50), rng=np.random.default_rng(0))
    >>> bool(abs(w).max() <= 0.1)
    True
    """
    return variance_scaling(shape, distribution="uniform", rng=rng)


def lecun_normal(shape, *, rng):
    """Draw from a normal distribution of variance 1/fan_in.

    LeCun et al. (1998), eq. 16.  Arguments, result and errors are those of
    :func:`variance_scaling`.

    Examples
    --------
    >>> lecun_normal((100, 50), rng=np.random.default_rng(0)).shape
    (100, 50)
    """
    return variance_scaling(shape, rng=rng)


def orthogonal(shape, *, gain=1.0, rng):
    r"""Draw a matrix that keeps lengths, evenly among all such matrices.

    .. math:: W^T W = g^2 I \quad (n_\text{in} \ge n_\text{out}), \qquad
       W W^T = g^2 I \quad (n_\text{in} \le n_\text{out})

    Parameters
    ----------
    shape : sequence of int
        ``(fan_in, fan_out)``; of a convolution kernel all axes but the last one
        count as inputs.
    gain : float, above 0
        :math:`g`; the variance of an entry is :math:`g^2` over the larger side.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, shape `shape`

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    Saxe et al. (2014), section 3.  The columns of a normal matrix, orthogonalized by
    QR; without the signs of R's diagonal the draw would depend on the algorithm.

    Examples
    --------
    >>> w = orthogonal((4, 3), gain=2.0, rng=np.random.default_rng(0))
    >>> bool(np.allclose(w.T @ w, 4 * np.eye(3)))
    True
    """
    gain = _checks.finite("orthogonal", "gain", gain, above=0)
    _checks.generator("orthogonal", "rng", rng)
    shape = _checks.weight_shape("orthogonal", shape)
    rows, columns = math.prod(shape[:-1]), shape[-1]
    tall = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(rng.standard_normal(tall))
    q = q * np.where(np.diag(r) < 0, -1, 1)
    return gain * (q if rows >= columns else q.T).reshape(shape)


def for_activation(name, distribution="normal"):
    """Return the initializer that is recommended for the layers before an activation.

    Glorot's for none, logistic, tanh and softmax, He's for ReLU and its variants and
    for ELU, LeCun's for SELU.

    Parameters
    ----------
    name : str
        A function of :mod:`companion.activations`, or "linear" or "softmax".
    distribution : {"normal", "uniform"}

    Returns
    -------
    function of (shape, rng)

    Raises
    ------
    ValueError
        If there is no such activation or distribution.

    Notes
    -----
    Géron (2019), table 11-1.  Softsign, CELU, softplus, SiLU, GELU and Mish are not
    in it and get what their nearest kin has.  The chapter *Initialization* measures
    where the recommendation keeps the variance and where it does not.

    Examples
    --------
    >>> for_activation("relu").__name__, for_activation("tanh", "uniform").__name__
    ('he_normal', 'glorot_uniform')
    """
    return globals()[recommended("for_activation", name, distribution)]


def recommended(function, name, distribution):
    """Return the name of the initializer that `function` recommends.

    Examples
    --------
    >>> recommended("for_activation", "selu", "uniform")
    'lecun_uniform'
    """
    kinds = {a: kind for kind, names in RECOMMENDED.items() for a in names}
    kind = kinds[_checks.one_of(function, "name", name, tuple(kinds))]
    _checks.one_of(function, "distribution", distribution, ("normal", "uniform"))
    return f"{kind}_{distribution}"
