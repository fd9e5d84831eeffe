r"""Dropout, for any activation and for self-normalizing nets: the reference in NumPy.

In training each unit is kept with probability :math:`q = 1 - \text{rate}`, anew at
each call, and the kept and the dropped ones are scaled so that the mean stays what it
was; alpha dropout keeps the variance too.  After training nothing is dropped.  Both
functions take an array of any shape and return one of the same shape: float16, 32 and
64 stay what they are, integers become float64.  Each stands beside its derivative.

Which units are kept can be told by a `mask`: one for all time steps, one for each
feature map, or the same in every framework.
"""

import math

import numpy as np

from companion import _checks
from companion.activations import SELU_ALPHA, SELU_SCALE


def dropout(x, rate, *, rng=None, training=True, mask=None):
    r"""Set each unit to 0 with probability `rate`, and scale up the others.

    .. math:: \operatorname{dropout}(x) = \frac{d\,x}{q}, \qquad
       d \sim B(1, q), \quad q = 1 - \text{rate}

    Parameters
    ----------
    x : array_like of real numbers, any shape
    rate : float in [0, 1)
        The probability of dropping a unit.
    rng : numpy.random.Generator
        Needed in training, unless there is a mask or the rate is 0.
    training : bool
        Otherwise, and at rate 0, `x` comes back as it is.
    mask : ndarray of bool that broadcasts to the shape of `x`, optional
        True where a unit is kept.  Drawn for each element if there is none.

    Returns
    -------
    ndarray, the shape and float dtype of `x`
        A dropped unit is 0, even where `x` is nan or infinite.

    Raises
    ------
    TypeError
        If `x` is complex or not numeric, `rate` is not a number, `training` is not a
        bool, `mask` is not boolean, or `rng` is missing where it is needed.
    ValueError
        If `rate` is not in [0, 1), or `mask` has another shape.

    Notes
    -----
    The mean is kept, the variance is not: it grows from :math:`\nu` to
    :math:`(\nu + \mu^2)/q - \mu^2`.  Srivastava et al. (2014) multiply the weights by q
    after training, and give scaling up in training, as here, as an equivalent.

    Examples
    --------
    >>> dropout([1.0, 2.0, np.nan], 0.5, mask=np.array([True, True, False]))
    array([2., 4., 0.])
    >>> y = dropout(np.ones(10_000), 0.2, rng=np.random.default_rng(0))
    >>> np.unique(y)
    array([0.  , 1.25])
    """
    x, rate, mask = _arguments("dropout", x, rate, rng, training, mask)
    return np.where(mask, x, 0) / (1 - rate)


def dropout_grad(x, rate, *, rng=None, training=True, mask=None):
    """Differentiate dropout: 1 / (1 - rate) where a unit is kept, 0 where it is not.

    Arguments, result and errors are those of :func:`dropout`.  The mask is drawn as
    there: a generator in the same state draws the same one.
    :class:`companion.mlp.Dropout` remembers it instead.

    Examples
    --------
    >>> dropout_grad([3.0, 3.0], 0.5, mask=np.array([True, False]))
    array([2., 0.])
    """
    x, rate, mask = _arguments("dropout_grad", x, rate, rng, training, mask)
    return np.where(mask, np.ones_like(x), 0) / (1 - rate)


def alpha_dropout(
    x,
    rate,
    *,
    rng=None,
    training=True,
    mask=None,
    alpha=SELU_ALPHA,
    scale=SELU_SCALE,
    mean=0.0,
    var=1.0,
):
    r"""Set units to SELU's lower bound, and restore mean and variance.

    .. math::

       \operatorname{alpha\_dropout}(x) = a\,\bigl(d\,x + (1 - d)\,\alpha'\bigr) + b,
       \qquad \alpha' = -\lambda\alpha, \quad d \sim B(1, q), \quad q = 1 - \text{rate}

    Parameters
    ----------
    x, rate, rng, training, mask
        Those of :func:`dropout`.
    alpha, scale : float
        :math:`\alpha` and :math:`\lambda` of the SELU before it.
    mean, var : float
        The mean :math:`\mu` and the variance :math:`\nu > 0` of `x`, which are kept:
        the fixed point of the net.

    Returns
    -------
    ndarray, the shape and float dtype of `x`
        A dropped unit is :math:`a\alpha' + b`, even where `x` is nan or infinite.

    Raises
    ------
    TypeError
        As for :func:`dropout`, or if a constant is not a number.
    ValueError
        As for :func:`dropout`, or if a constant is not finite or `var` not above 0.

    Notes
    -----
    Klambauer et al. (2017), section "New Dropout Technique", who recommend rates of
    0.05 and 0.1.  :func:`alpha_dropout_affine` derives a and b.  PyTorch and Keras have
    this function for the default constants, but there a dropped nan or infinity is
    multiplied by 0, which gives nan.

    Examples
    --------
    >>> x = np.array([1.0, -1.0, np.nan])
    >>> y = alpha_dropout(x, 0.1, mask=np.array([True, True, False]))
    >>> print(*(f"{unit:.4f}" for unit in y))
    1.0833 -0.7593 -1.4577
    """
    point = _point("alpha_dropout", alpha, scale, mean, var)
    x, rate, mask = _arguments("alpha_dropout", x, rate, rng, training, mask)
    a, b = alpha_dropout_affine(rate, **point)
    return a * np.where(mask, x, _dropped_value(point)) + b


def alpha_dropout_grad(
    x,
    rate,
    *,
    rng=None,
    training=True,
    mask=None,
    alpha=SELU_ALPHA,
    scale=SELU_SCALE,
    mean=0.0,
    var=1.0,
):
    """Differentiate alpha dropout: a where a unit is kept, 0 where it is not.

    Arguments, result and errors are those of :func:`alpha_dropout`.  The mask is drawn
    as there: a generator in the same state draws the same one.
    :class:`companion.mlp.AlphaDropout` remembers it instead.

    Examples
    --------
    >>> y = alpha_dropout_grad([3.0, 3.0], 0.1, mask=np.array([True, False]))
    >>> print(*(f"{unit:.4f}" for unit in y))
    0.9213 0.0000
    """
    point = _point("alpha_dropout_grad", alpha, scale, mean, var)
    x, rate, mask = _arguments("alpha_dropout_grad", x, rate, rng, training, mask)
    a, _ = alpha_dropout_affine(rate, **point)
    return a * np.where(mask, np.ones_like(x), 0)


def alpha_dropout_affine(
    rate, *, alpha=SELU_ALPHA, scale=SELU_SCALE, mean=0.0, var=1.0
):
    r"""Return the a and b with which alpha dropout keeps mean and variance.

    .. math::

       a = \sqrt{\frac{\nu}{q\,\nu + q\,(1 - q)\,(\alpha' - \mu)^2}}, \qquad
       b = \mu - a\,\bigl(q\,\mu + (1 - q)\,\alpha'\bigr)

    Parameters
    ----------
    rate, alpha, scale, mean, var
        Those of :func:`alpha_dropout`.

    Returns
    -------
    a, b : float

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or one that :func:`alpha_dropout` refuses.

    Notes
    -----
    Let x have mean :math:`\mu` and variance :math:`\nu`, and d be 1 with probability
    q, independently.  Then :math:`y = dx + (1 - d)\alpha'` has mean
    :math:`q\mu + (1 - q)\alpha'`.  Its variance is the mean of the two conditional
    variances, :math:`q\nu`, plus the variance of the two conditional means,
    :math:`q(1 - q)(\alpha' - \mu)^2`.  Of :math:`ay + b`, a sets the variance and then
    b the mean.  For mean 0 and variance 1 that is, as in Klambauer et al. (2017),
    section "New Dropout Technique", :math:`a = (q + \alpha'^2 q (1 - q))^{-1/2}` and
    :math:`b = -a (1 - q) \alpha'`; they give the two moments of y for any
    :math:`\mu` and :math:`\nu`.

    Examples
    --------
    >>> a, b = alpha_dropout_affine(0.1)
    >>> print(f"{a:.4f} {b:.4f}")
    0.9213 0.1620
    """
    rate = _rate("alpha_dropout_affine", rate)
    point = _point("alpha_dropout_affine", alpha, scale, mean, var)
    mean, var, q = point["mean"], point["var"], 1 - rate
    dropped = _dropped_value(point)
    below = dropped - mean
    a = math.sqrt(var / (q * var + q * rate * (below * below)))
    return a, mean - a * (q * mean + rate * dropped)


def _rate(function, rate):
    """Return `rate` as a float in [0, 1)."""
    rate = _checks.finite(function, "rate", rate)
    if not 0 <= rate < 1:
        raise ValueError(f"{function}: `rate` must be in [0, 1); got {rate!r}.")
    return rate


def _point(function, alpha, scale, mean, var):
    """Return SELU's constants and the fixed point as floats, by name."""
    return {
        "alpha": _checks.finite(function, "alpha", alpha),
        "scale": _checks.finite(function, "scale", scale),
        "mean": _checks.finite(function, "mean", mean),
        "var": _checks.finite(function, "var", var, above=0.0),
    }


def _dropped_value(point):
    """Return SELU's lower bound, before the affine correction."""
    return -point["scale"] * point["alpha"]


def _draw(shape, rate, rng):
    """Draw a mask: True, a unit is kept, with probability 1 - rate."""
    return rng.random(shape) >= rate


def _arguments(function, x, rate, rng, training, mask):
    """Return `x` as an array, the rate that applies, and where units are kept."""
    x = _checks.real_array(function, "x", x)
    rate = _rate(function, rate)
    training = _checks.boolean(function, "training", training)
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(
                f"{function}: `mask` must be boolean; got dtype {mask.dtype}. "
                "Pass mask.astype(bool)."
            )
        _checks.broadcasts(function, "mask", mask.shape, x.shape)
    if not training or rate == 0:
        return x, 0.0, np.True_
    if mask is None:
        mask = _draw(x.shape, rate, _checks.generator(function, "rng", rng))
    return x, rate, mask
