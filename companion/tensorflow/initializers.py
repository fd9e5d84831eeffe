r"""Random weights whose variance keeps a signal alive, in TensorFlow.

All of them draw :math:`W` with mean 0 and variance ``scale / fan``, in the layout of
NumPy and Keras: ``(fan_in, fan_out)``, with a convolution's receptive field in
front, ``(height, width, channels_in, channels_out)``.  Each fan counts the field's
size times the channels.

The random operations are TensorFlow's stateless ones: the same `seed` and `shape`
give the same weights.  float16 and bfloat16 weights are drawn in float32 and then
rounded.
"""

import math

import keras
import tensorflow as tf

from companion import _checks
from companion.initializers import DISTRIBUTIONS, MODES, TRUNCATED_STD, fan


def variance_scaling(
    shape, *, scale=1.0, mode="fan_in", distribution="normal", seed, dtype=None
):
    r"""Draw weights of mean 0 and variance ``scale / fan``.

    .. math:: \operatorname{Var}(W) = \frac{\text{scale}}{n}, \qquad
       n \in \left\{ n_\text{in},\ n_\text{out},\
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
    seed : int or pair of int
    dtype : floating-point dtype, optional
        By default ``keras.backend.floatx()``.

    Returns
    -------
    tf.Tensor, shape `shape`

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> w = variance_scaling((400, 400), scale=2.0, seed=0)
    >>> f"{400 * w.numpy().var():.1f}"
    '2.0'
    """
    scale = _checks.finite("variance_scaling", "scale", scale, above=0)
    _checks.one_of("variance_scaling", "mode", mode, MODES)
    _checks.one_of("variance_scaling", "distribution", distribution, DISTRIBUTIONS)
    shape = _checks.weight_shape("variance_scaling", shape)
    seed = _seed_pair(seed)
    dtype = tf.as_dtype(dtype or keras.backend.floatx())
    if not dtype.is_floating:
        raise TypeError(
            "variance_scaling: `dtype` must be a floating-point dtype; got "
            f"{dtype.name}."
        )
    std = math.sqrt(scale / fan(shape, mode))
    drawn = {"dtype": tf.float64 if dtype == tf.float64 else tf.float32}
    if distribution == "uniform":
        limit = math.sqrt(3) * std
        w = tf.random.stateless_uniform(shape, seed, -limit, limit, **drawn)
    elif distribution == "normal":
        w = tf.random.stateless_normal(shape, seed, 0.0, std, **drawn)
    else:
        std = std / TRUNCATED_STD
        w = tf.random.stateless_truncated_normal(shape, seed, 0.0, std, **drawn)
    return tf.cast(w, dtype)


def _seed_pair(seed):
    """Return `seed`, an integer or two of them, as a tensor of two integers."""
    try:
        pair = tf.convert_to_tensor(seed)
    except (TypeError, ValueError, OverflowError):
        pair = tf.constant("")
    if not pair.dtype.is_integer or pair.shape not in ((), (2,)):
        raise TypeError(
            "variance_scaling: `seed` must be an integer or a pair of integers; got "
            f"{seed!r}."
        )
    return tf.stack([tf.zeros_like(pair), pair]) if pair.shape == () else pair


def glorot_uniform(shape, *, seed, dtype=None):
    r"""Draw from :math:`U(\pm\sqrt{6/(n_\text{in} + n_\text{out})})`.

    Variance 1/fan_avg: Glorot & Bengio (2010), eq. 16.  Arguments, result and errors
    are those of :func:`variance_scaling`.

    Examples
    --------
    >>> w = glorot_uniform((100, 50), seed=0)
    >>> bool(abs(w.numpy()).max() <= 0.2)
    True
    """
    return variance_scaling(
        shape, mode="fan_avg", distribution="uniform", seed=seed, dtype=dtype
    )


def glorot_normal(shape, *, seed, dtype=None):
    """Draw from a normal distribution of variance 1/fan_avg.

    Glorot & Bengio (2010), eq. 12.  Arguments, result and errors are those of
    :func:`variance_scaling`.

    Examples
    --------
    >>> glorot_normal((100, 50), seed=0).shape
    TensorShape([100, 50])
    """
    return variance_scaling(shape, mode="fan_avg", seed=seed, dtype=dtype)


def he_uniform(shape, *, seed, dtype=None):
    r"""Draw from :math:`U(\pm\sqrt{6/n_\text{in}})`, variance 2/fan_in.

    He et al. (2015), eq. 10, give the variance.  Arguments, result and errors are
    those of :func:`variance_scaling`.

    Examples
    --------
    >>> w = he_uniform((600, 50), seed=0)
    >>> bool(abs(w.numpy()).max() <= 0.1)
    True
    """
    return variance_scaling(
        shape, scale=2.0, distribution="uniform", seed=seed, dtype=dtype
    )


def he_normal(shape, *, seed, dtype=None):
    """Draw from a normal distribution of variance 2/fan_in.

    He et al. (2015), eq. 10.  Arguments, result and errors are those of
    :func:`variance_scaling`.

    Examples
    --------
    >>> he_normal((100, 50), seed=0).shape
    TensorShape([100, 50])
    """
    return variance_scaling(shape, scale=2.0, seed=seed, dtype=dtype)


def he_avg_uniform(shape, *, seed, dtype=None):
    """Draw from a uniform distribution of variance 2/fan_avg.

    He's scale with Glorot's fan.  Arguments, result and errors are those of
    :func:`variance_scaling`.

    Examples
    --------
    >>> he_avg_uniform((100, 50), seed=0).shape
    TensorShape([100, 50])
    """
    return variance_scaling(
        shape,
        scale=2.0,
        mode="fan_avg",
        distribution="uniform",
        seed=seed,
        dtype=dtype,
    )


def lecun_uniform(shape, *, seed, dtype=None):
    r"""Draw from :math:`U(\pm\sqrt{3/n_\text{in}})`, variance 1/fan_in.

    LeCun et al. (1998), eq. 16, give the variance.  Arguments, result and errors are
    those of :func:`variance_scaling`.

    Examples
    --------
    >>> w = lecun_uniform((300, 50), seed=0)
    >>> bool(abs(w.numpy()).max() <= 0.1)
    True
    """
    return variance_scaling(shape, distribution="uniform", seed=seed, dtype=dtype)


def lecun_normal(shape, *, seed, dtype=None):
    """Draw from a normal distribution of variance 1/fan_in.

    LeCun et al. (1998), eq. 16.  Arguments, result and errors are those of
    :func:`variance_scaling`.

    Examples
    --------
    >>> lecun_normal((100, 50), seed=0).shape
    TensorShape([100, 50])
    """
    return variance_scaling(shape, seed=seed, dtype=dtype)
