r"""Random weights whose variance keeps a signal alive, in TensorFlow.

All of them draw :math:`W` with mean 0 and variance ``scale / fan``, in the layout of
NumPy and Keras: ``(fan_in, fan_out)``, with a convolution's receptive field in
front, ``(height, width, channels_in, channels_out)``.  Each fan counts the field's
size times the channels.

The random operations are stateless ones: the same `seed` and `shape` give the same
weights in every run, eagerly and in a ``tf.function``; compiled by XLA, which rounds
random bits in its own way, the same uniform weights, but other normal and orthogonal
ones.  float16 and bfloat16 weights are drawn in float32 and then rounded.

The classes at the end are the same functions for Keras: ``keras.layers.Dense(100,
kernel_initializer=HeNormal(seed=1))``.
"""

import math
import numbers

import keras
import tensorflow as tf

from companion import _checks
from companion.initializers import DISTRIBUTIONS, MODES, TRUNCATED_STD, fan, recommended


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
    seed : int or pair of int, or a tensor of one or two
        Inside ``tf.function`` each new int is traced anew; a tensor is not.
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
    scale = _check_scaling("variance_scaling", scale, mode, distribution)
    shape = _checks.weight_shape("variance_scaling", shape)
    seed = _seed_pair("variance_scaling", seed)
    dtype, drawn = _dtypes("variance_scaling", dtype)
    std = math.sqrt(scale / fan(shape, mode))
    if distribution == "uniform":
        limit = math.sqrt(3) * std
        w = _uniform(shape, seed, -limit, limit, drawn)
    elif distribution == "normal":
        w = std * tf.random.stateless_normal(shape, seed, dtype=drawn, alg=_algorithm())
    else:
        std = std / TRUNCATED_STD
        w = std * tf.random.stateless_truncated_normal(
            shape, seed, dtype=drawn, alg=_algorithm()
        )
    return tf.cast(w, dtype)


def _check_scaling(function, scale, mode, distribution):
    """Return `scale` as a float if the three make sense."""
    scale = _checks.finite(function, "scale", scale, above=0)
    _checks.one_of(function, "mode", mode, MODES)
    _checks.one_of(function, "distribution", distribution, DISTRIBUTIONS)
    return scale


def _dtypes(function, dtype):
    """Return the dtype of the result, and that in which it is drawn."""
    dtype = tf.as_dtype(dtype or keras.backend.floatx())
    if not dtype.is_floating:
        raise TypeError(
            f"{function}: `dtype` must be a floating-point dtype; got {dtype.name}."
        )
    return dtype, tf.float64 if dtype == tf.float64 else tf.float32


def _seed_pair(function, seed):
    """Return `seed`, an integer or two of them, as a tensor of two integers."""
    try:
        pair = tf.convert_to_tensor(seed)
    except (TypeError, ValueError, OverflowError):
        pair = None
    if pair is None or not pair.dtype.is_integer or pair.shape not in ((), (2,)):
        raise TypeError(
            f"{function}: `seed` must be an integer or a pair of integers; got "
            f"{seed!r}."
        )
    if pair.dtype not in (tf.int32, tf.int64):  # the only ones that can be a seed
        pair = tf.cast(pair, tf.int64)
    return tf.stack([tf.zeros_like(pair), pair]) if pair.shape == () else pair


def _algorithm():
    """Name the generator of random numbers, Philox, where XLA may compile the call.

    TensorFlow selects it anyway, and eagerly does so sooner than it reads the name.
    But then XLA takes ten times as long or more on a CPU, and leaves out the upper
    halves of a seed of 64 bits.
    """
    return "auto_select" if tf.executing_eagerly() else "philox"


def _bits(shape, seed, dtype):
    """Draw unsigned integers, evenly among all of a dtype: XLA draws the same."""
    return tf.random.stateless_uniform(shape, seed, None, None, dtype, alg=_algorithm())


def _uniform(shape, seed, lower, upper, dtype):
    """Draw float32 or float64 numbers between two; TensorFlow's differ under XLA."""
    integers, digits = (tf.uint64, 53) if dtype == tf.float64 else (tf.uint32, 24)
    bits = _bits(shape, seed, integers)
    rest = tf.bitwise.right_shift(bits, tf.cast(8 * integers.size - digits, integers))
    return lower + (upper - lower) * 2.0**-digits * tf.cast(rest, dtype)


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


def orthogonal(shape, *, gain=1.0, seed, dtype=None):
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
    seed : int or pair of int, or a tensor of one or two
    dtype : floating-point dtype, optional
        By default ``keras.backend.floatx()``.

    Returns
    -------
    tf.Tensor, shape `shape`

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    Saxe et al. (2014), section 3, and the algorithm of
    :func:`companion.initializers.orthogonal`.

    Examples
    --------
    >>> w = orthogonal((4, 3), gain=2.0, seed=0).numpy()
    >>> bool(abs(w.T @ w - 4 * tf.eye(3)).numpy().max() < 1e-5)
    True
    """
    gain = _checks.finite("orthogonal", "gain", gain, above=0)
    shape = _checks.weight_shape("orthogonal", shape)
    seed = _seed_pair("orthogonal", seed)
    dtype, drawn = _dtypes("orthogonal", dtype)
    rows, columns = math.prod(shape[:-1]), shape[-1]
    tall = max(rows, columns), min(rows, columns)
    normal = tf.random.stateless_normal(tall, seed, dtype=drawn, alg=_algorithm())
    q, r = tf.linalg.qr(normal)
    q = gain * tf.where(tf.linalg.diag_part(r) < 0, -q, q)
    w = q if rows >= columns else tf.transpose(q)
    return tf.cast(tf.reshape(w, shape), dtype)


def for_activation(name, distribution="normal"):
    """Return the initializer that is recommended for the layers before an activation.

    The recommendation, `name`, `distribution` and errors are those of
    :func:`companion.initializers.for_activation`.

    Returns
    -------
    function of (shape, seed, dtype)

    Examples
    --------
    >>> for_activation("relu").__name__, for_activation("tanh", "uniform").__name__
    ('he_normal', 'glorot_uniform')
    """
    return globals()[recommended("for_activation", name, distribution)]


# --- for Keras ------------------------------------------------------------------------
class _Initializer(keras.initializers.Initializer):
    """Call the function `draw` with a seed that Keras does not pass.

    Parameters
    ----------
    seed : int or keras.random.SeedGenerator
        An integer gives the same weights at each call, as in Keras: **two layers of
        one shape start alike**.  A generator gives new ones.

    Raises
    ------
    TypeError
        If `seed` is neither.
    """

    def __init__(self, *, seed):
        integer = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
        if not integer and not isinstance(seed, keras.random.SeedGenerator):
            raise TypeError(
                f"{type(self).__name__}: `seed` must be an integer or a "
                f"keras.random.SeedGenerator; got {seed!r}."
            )
        self.seed = int(seed) if integer else seed
        self.arguments = {}

    def __call__(self, shape, dtype=None):
        seed = self.seed if isinstance(self.seed, int) else self.seed.next()
        return self.draw(shape, **self.arguments, seed=seed, dtype=dtype)

    def get_config(self):
        config = {**self.arguments, "seed": self.seed}
        return keras.saving.serialize_keras_object(config)

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


_register = keras.saving.register_keras_serializable(package="companion")


@_register
class VarianceScaling(_Initializer):
    """Draw the weights of a Keras layer from :func:`variance_scaling`.

    Parameters
    ----------
    scale, mode, distribution
        Those of :func:`variance_scaling`, whose default is a true normal; Keras'
        class of this name truncates it.
    seed : int or keras.random.SeedGenerator
        An integer gives the same weights at each call, as in Keras: **two layers of
        one shape start alike**.  A generator gives new ones.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> he = VarianceScaling(2.0, seed=keras.random.SeedGenerator(0))
    >>> layer = keras.layers.Dense(100, kernel_initializer=he)
    >>> layer.build((None, 400))
    >>> f"{400 * layer.kernel.numpy().var():.1f}"
    '2.0'
    """

    draw = staticmethod(variance_scaling)

    def __init__(self, scale=1.0, mode="fan_in", distribution="normal", *, seed):
        super().__init__(seed=seed)
        scale = _check_scaling("VarianceScaling", scale, mode, distribution)
        self.arguments = {"scale": scale, "mode": mode, "distribution": distribution}


@_register
class GlorotUniform(_Initializer):
    """Draw the weights of a Keras layer from :func:`glorot_uniform`."""

    draw = staticmethod(glorot_uniform)


@_register
class GlorotNormal(_Initializer):
    """Draw the weights of a Keras layer from :func:`glorot_normal`, not truncated."""

    draw = staticmethod(glorot_normal)


@_register
class HeUniform(_Initializer):
    """Draw the weights of a Keras layer from :func:`he_uniform`."""

    draw = staticmethod(he_uniform)


@_register
class HeNormal(_Initializer):
    """Draw the weights of a Keras layer from :func:`he_normal`, not truncated."""

    draw = staticmethod(he_normal)


@_register
class HeAvgUniform(_Initializer):
    """Draw the weights of a Keras layer from :func:`he_avg_uniform`; Keras has none."""

    draw = staticmethod(he_avg_uniform)


@_register
class LecunUniform(_Initializer):
    """Draw the weights of a Keras layer from :func:`lecun_uniform`."""

    draw = staticmethod(lecun_uniform)


@_register
class LecunNormal(_Initializer):
    """Draw the weights of a Keras layer from :func:`lecun_normal`, not truncated."""

    draw = staticmethod(lecun_normal)


@_register
class Orthogonal(_Initializer):
    """Draw the weights of a Keras layer from :func:`orthogonal`.

    Parameters
    ----------
    gain : float, above 0
    seed : int or keras.random.SeedGenerator
        As for :class:`VarianceScaling`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.
    """

    draw = staticmethod(orthogonal)

    def __init__(self, gain=1.0, *, seed):
        super().__init__(seed=seed)
        self.arguments = {"gain": _checks.finite("Orthogonal", "gain", gain, above=0)}
