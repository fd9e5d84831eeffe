r"""Dropout in TensorFlow, with the values and derivatives of the reference.

Each function takes a ``tf.Tensor`` of any shape, or what ``tf.convert_to_tensor``
accepts, and returns a ``tf.Tensor`` of the same shape: float16, bfloat16, float32 and
float64 stay what they are, integers become ``keras.backend.floatx()``.  Both work
inside ``tf.function``, compiled by XLA too.  See :mod:`companion.dropout` for the
functions themselves.  The classes at the end are the same functions as Keras layers.
"""

import keras
import tensorflow as tf

from companion import _checks
from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.dropout import _dropped_value, _point, _rate, alpha_dropout_affine
from companion.tensorflow.activations import _Activation, _real_tensor
from companion.tensorflow.initializers import _bits, _register, _seed_pair


def dropout(x, rate, *, seed=None, training=True, mask=None):
    r"""Set each unit to 0 with probability `rate`, and scale up the others.

    .. math:: \operatorname{dropout}(x) = \frac{d\,x}{q}, \qquad
       d \sim B(1, q), \quad q = 1 - \text{rate}

    Parameters
    ----------
    x : tf.Tensor or array_like of real numbers, any shape
    rate : float in [0, 1)
        The probability of dropping a unit.
    seed : int or pair of int, or a tensor of one or two
        Needed in training, unless there is a mask or the rate is 0.  The same seed
        drops the same units, in a ``tf.function`` and compiled by XLA too: pass another
        one at each call, and as a tensor into a ``tf.function``, which traces anew for
        each new int.
    training : bool
        Otherwise, and at rate 0, `x` comes back as it is.
    mask : tf.Tensor or array_like of bool that broadcasts to the shape of `x`, optional
        True where a unit is kept.  Drawn for each element if there is none.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `x`
        A dropped unit is 0, even where `x` is nan or infinite.

    Raises
    ------
    TypeError
        If `x` is complex or not numeric, `rate` is not a number, `training` is not a
        bool, `mask` is not boolean, or `seed` is missing where it is needed.
    ValueError
        If `rate` is not in [0, 1), or `mask` has another shape.

    Notes
    -----
    ``tf.nn.dropout`` and ``keras.layers.Dropout`` do the same, from seeds of their own.

    Examples
    --------
    >>> dropout([1.0, 2.0, float("nan")], 0.5, mask=[True, True, False]).numpy()
    array([2., 4., 0.], dtype=float32)
    """
    x, rate, mask = _arguments("dropout", x, rate, seed, training, mask)
    return tf.where(mask, x, tf.zeros_like(x)) / (1 - rate)


def alpha_dropout(
    x,
    rate,
    *,
    seed=None,
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
    x, rate, seed, training, mask
        Those of :func:`dropout`.
    alpha, scale : float
        :math:`\alpha` and :math:`\lambda` of the SELU before it.
    mean, var : float
        The mean :math:`\mu` and the variance :math:`\nu > 0` of `x`, which are kept:
        the fixed point of the net.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `x`
        A dropped unit is :math:`a\alpha' + b`, even where `x` is nan or infinite.

    Raises
    ------
    TypeError
        As for :func:`dropout`, or if a constant is not a number.
    ValueError
        As for :func:`dropout`, or if a constant is not finite or `var` not above 0.

    Notes
    -----
    :func:`companion.dropout.alpha_dropout_affine` derives a and b.
    ``keras.layers.AlphaDropout`` has the default constants only, and multiplies a
    dropped nan or infinity by 0, which gives nan.

    Examples
    --------
    >>> y = alpha_dropout([1.0, -1.0, float("nan")], 0.1, mask=[True, True, False])
    >>> print(*(f"{unit:.4f}" for unit in y.numpy()))
    1.0833 -0.7593 -1.4577
    """
    point = _point("alpha_dropout", alpha, scale, mean, var)
    x, rate, mask = _arguments("alpha_dropout", x, rate, seed, training, mask)
    a, b = alpha_dropout_affine(rate, **point)
    value = tf.constant(_dropped_value(point), x.dtype)
    return a * tf.where(mask, x, value) + b


def _arguments(function, x, rate, seed, training, mask):
    """Return `x` as a tensor, the rate that applies, and where units are kept."""
    x = _real_tensor(function, "x", x)
    rate = _rate(function, rate)
    training = _checks.boolean(function, "training", training)
    if mask is not None:
        mask = _mask(function, mask, x)
    if not training or rate == 0:
        return x, 0.0, tf.constant(True)
    if mask is None:
        mask = _draw(function, x, rate, seed)
    return x, rate, mask


def _mask(function, mask, x):
    """Return `mask` in the shape of `x` if it is boolean and broadcasts to that."""
    mask = tf.convert_to_tensor(mask)
    if mask.dtype != tf.bool:
        raise TypeError(
            f"{function}: `mask` must be boolean; got dtype {mask.dtype.name}. "
            "Pass tf.cast(mask, bool)."
        )
    if mask.shape.is_fully_defined() and x.shape.is_fully_defined():
        _checks.broadcasts(function, "mask", mask.shape, x.shape)
    return tf.broadcast_to(mask, tf.shape(x))  # refuses a shape that was not known yet


def _draw(function, x, rate, seed):
    """Draw a mask: True, a unit is kept, with probability 1 - rate."""
    if seed is None:
        raise TypeError(
            f"{function}: `seed` must be an integer or a pair of integers in training; "
            "got None. Pass seed=step, another one at each call."
        )
    seed = _seed_pair(function, seed)
    return _bits(tf.shape(x), seed, tf.uint32) >= int(rate * 2**32)


# --- as Keras layers ------------------------------------------------------------------
class _Dropout(_Activation):
    """Apply the function `f`, in training with a seed that is new at each call."""

    def __init__(self, rate, seed, constants, **keywords):
        rate = _rate(type(self).__name__, rate)
        super().__init__({"rate": rate} | constants, **keywords)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        seed = self.seed_generator.next() if training else None
        return self.f(x, **self.arguments, training=bool(training), seed=seed)

    def get_config(self):
        return super().get_config() | {"seed": self.seed}


@_register
class Dropout(_Dropout):
    """Apply :func:`dropout`, in training only.

    Parameters
    ----------
    rate : float in [0, 1)
    seed : int, optional
        Where the masks start: each call in training draws another one.

    Raises
    ------
    TypeError, ValueError
        If `rate` is not a number in [0, 1).

    Examples
    --------
    >>> Dropout(0.2)(tf.constant([1.0, 2.0])).numpy()
    array([1., 2.], dtype=float32)
    """

    f = staticmethod(dropout)

    def __init__(self, rate, *, seed=None, **keywords):
        super().__init__(rate, seed, {}, **keywords)


@_register
class AlphaDropout(_Dropout):
    """Apply :func:`alpha_dropout`, in training only.

    Parameters
    ----------
    rate, seed
        Those of :class:`Dropout`.
    alpha, scale, mean, var : float
        Those of :func:`alpha_dropout`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`Dropout`, or if a constant is not finite or `var` not above 0.

    Examples
    --------
    >>> AlphaDropout(0.1)(tf.constant([1.0, 2.0])).numpy()
    array([1., 2.], dtype=float32)
    """

    f = staticmethod(alpha_dropout)

    def __init__(
        self,
        rate,
        *,
        seed=None,
        alpha=SELU_ALPHA,
        scale=SELU_SCALE,
        mean=0.0,
        var=1.0,
        **keywords,
    ):
        point = _point("AlphaDropout", alpha, scale, mean, var)
        super().__init__(rate, seed, point, **keywords)
