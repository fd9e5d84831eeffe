r"""Activation functions in TensorFlow, with the reference's values and derivatives.

Each takes a ``tf.Tensor`` of any shape, or what ``tf.convert_to_tensor`` accepts,
and returns a ``tf.Tensor`` of the same shape: float16, bfloat16, float32 and float64
stay what they are, integers become ``keras.backend.floatx()``, complex numbers and
strings raise ``TypeError``.  At infinity each function returns its limit, and nan
stays nan.  The derivative is that of ``tf.GradientTape``; at a kink it is the one
from the left :math:`(z \le 0)`.  All of them work inside ``tf.function``.

Where TensorFlow's own kernel does exactly this, it is called; see
:mod:`companion.activations` for the functions themselves.
"""

import keras
import tensorflow as tf

from companion import _checks
from companion.activations import SELU_ALPHA, SELU_SCALE


def logistic(z):
    r"""Squash any number into (0, 1).

    .. math:: \sigma(z) = \frac{1}{1 + e^{-z}}

    Parameters
    ----------
    z : tf.Tensor or array_like of real numbers, any shape

    Returns
    -------
    tf.Tensor, the shape and float dtype of `z`
        0 at minus infinity, 1/2 at 0, 1 at infinity; smooth everywhere.

    Raises
    ------
    TypeError
        If `z` is complex or not numeric.

    Notes
    -----
    ``tf.nn.sigmoid``, whose derivative is computed as :math:`\sigma(1 - \sigma)`
    from the rounded :math:`\sigma`: it rounds to 0 in the right tail sooner than
    :func:`companion.activations.logistic_grad` does.

    Examples
    --------
    >>> logistic([-1000.0, 0.0, 1000.0]).numpy()
    array([0. , 0.5, 1. ], dtype=float32)
    """
    return tf.nn.sigmoid(_real_tensor("logistic", "z", z))


def tanh(z):
    r"""Squash any number into (-1, 1), with 0 at 0.

    .. math:: \tanh z = 2\sigma(2z) - 1

    Arguments, result and errors are those of :func:`logistic`; odd, smooth, -1 and
    1 at infinity.  ``tf.nn.tanh``.

    Examples
    --------
    >>> tanh([-float("inf"), 0.0, float("inf")]).numpy()
    array([-1.,  0.,  1.], dtype=float32)
    """
    return tf.nn.tanh(_real_tensor("tanh", "z", z))


def softsign(z):
    r"""Squash any number into (-1, 1), with tails that flatten slowly.

    .. math:: \operatorname{softsign}(z) = \frac{z}{1 + |z|}

    Arguments, result and errors are those of :func:`logistic`; odd, with a
    continuous first derivative and a second one that jumps at 0.  At infinity
    ``tf.nn.softsign`` returns nan; here its argument is made finite first.

    Examples
    --------
    >>> softsign([-float("inf"), 0.0, 3.0]).numpy()
    array([-1.  ,  0.  ,  0.75], dtype=float32)
    """
    z = _real_tensor("softsign", "z", z)
    return tf.nn.softsign(tf.clip_by_value(z, z.dtype.min, z.dtype.max))


def relu(z):
    r"""Pass positive numbers and stop the others.

    .. math:: \operatorname{relu}(z) = \max(z, 0)

    Arguments, result and errors are those of :func:`logistic`; it has a kink at 0,
    where the derivative is 0, and no bound above.  ``tf.nn.relu``.

    Examples
    --------
    >>> relu([-2.0, 0.0, 3.0]).numpy()
    array([0., 0., 3.], dtype=float32)
    """
    return tf.nn.relu(_real_tensor("relu", "z", z))


def leaky_relu(z, alpha=0.01):
    r"""Pass positive numbers, and a little of the others.

    .. math::

       \operatorname{leaky\_relu}(z) =
       \begin{cases} z & z > 0 \\ \alpha z & z \le 0 \end{cases}

    Parameters
    ----------
    z : tf.Tensor or array_like of real numbers, any shape
    alpha : float
        The slope for negative z, and the derivative at the kink.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite.

    Notes
    -----
    ``tf.nn.leaky_relu`` keeps its slope in float32, which costs a float64 `z` half
    its digits; its default, 0.2, is another one too.

    Examples
    --------
    >>> leaky_relu([-2.0, 0.0, 3.0]).numpy()
    array([-0.02,  0.  ,  3.  ], dtype=float32)
    """
    alpha = _checks.finite("leaky_relu", "alpha", alpha)
    z = _real_tensor("leaky_relu", "z", z)
    if alpha == 0:  # 0 times minus infinity would be nan
        return tf.nn.relu(z)
    return tf.where(z > 0, z, alpha * z)


def elu(z, alpha=1.0):
    r"""Pass positive numbers, and bend the others towards a bound.

    .. math::

       \operatorname{elu}(z) =
       \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : tf.Tensor or array_like of real numbers, any shape
    alpha : float
        Minus the limit at minus infinity.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite.

    Notes
    -----
    The derivative at 0 is `alpha`, from the left.  ``tf.nn.elu`` has no `alpha`, and
    subtracts 1 from the exponential, which loses the digits of a small z.

    Examples
    --------
    >>> elu([-float("inf"), 0.0, 2.0], alpha=1.5).numpy()
    array([-1.5,  0. ,  2. ], dtype=float32)
    """
    alpha = _checks.finite("elu", "alpha", alpha)
    return _elu(_real_tensor("elu", "z", z), alpha)


def selu(z, alpha=SELU_ALPHA, scale=SELU_SCALE):
    r"""Scale an ELU so that mean 0 and variance 1 reproduce themselves.

    .. math::

       \operatorname{selu}(z) = \lambda
       \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : tf.Tensor or array_like of real numbers, any shape
    alpha, scale : float
        :math:`\alpha` and :math:`\lambda`; other values give other fixed points.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or a constant is not a number.
    ValueError
        If a constant is not finite.

    Notes
    -----
    The derivative at 0 is :math:`\lambda\alpha`, from the left; that of
    ``tf.nn.selu`` is :math:`\lambda`, from the right.

    Examples
    --------
    >>> selu([-float("inf"), 0.0, 1.0]).numpy()
    array([-1.7580993,  0.       ,  1.050701 ], dtype=float32)
    """
    alpha = _checks.finite("selu", "alpha", alpha)
    scale = _checks.finite("selu", "scale", scale)
    return scale * _elu(_real_tensor("selu", "z", z), alpha)


def _elu(z, alpha):
    """Compute ELU on a floating-point tensor.

    The exponential sees no positive number: it would overflow there, and the
    derivative would be 0 times infinity, nan, although that branch is not taken.
    """
    positive = z > 0
    others = tf.where(positive, tf.zeros_like(z), z)
    return tf.where(positive, z, alpha * tf.math.expm1(others))


def _real_tensor(function, name, value):
    """Return `value` as a floating-point tensor; integers become Keras' default."""
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{function}: `{name}` must hold real numbers; got "
            f"{type(value).__name__}, which TensorFlow cannot convert to a tensor."
        ) from error
    if tensor.dtype.is_integer or tensor.dtype.is_bool:
        return tf.cast(tensor, keras.backend.floatx())
    if not tensor.dtype.is_floating:
        raise TypeError(
            f"{function}: `{name}` must hold real numbers; got dtype "
            f"{tensor.dtype.name}."
        )
    return tensor
