r"""Activation functions in TensorFlow, with the reference's values and derivatives.

Each takes a ``tf.Tensor`` of any shape, or what ``tf.convert_to_tensor`` accepts,
and returns a ``tf.Tensor`` of the same shape: float16, bfloat16, float32 and float64
stay what they are, integers become ``keras.backend.floatx()``, complex numbers and
strings raise ``TypeError``.  At infinity each function returns its limit, and nan
stays nan.  The derivative is that of ``tf.GradientTape``; at a kink it is the one
from the left :math:`(z \le 0)`, where TensorFlow sees subnormal numbers too.  All
of them work inside ``tf.function``, compiled by XLA too.

Where TensorFlow's own kernel does exactly this, it is called; see
:mod:`companion.activations` for the functions themselves.  The classes at the end are
the same functions as Keras layers.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from companion import _checks
from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.tensorflow.initializers import _register, _seed_pair, _uniform


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
    ``tf.nn.softsign`` returns nan; here its argument is made finite first.  For a
    bfloat16 tensor it has no kernel on a GPU: that is computed in float32.

    Examples
    --------
    >>> softsign([-float("inf"), 0.0, 3.0]).numpy()
    array([-1.  ,  0.  ,  0.75], dtype=float32)
    """
    z = _real_tensor("softsign", "z", z)
    # Older XLA would clip nan to a number.
    finite = tf.where(tf.math.is_inf(z), tf.sign(z) * z.dtype.max, z)
    wide = tf.float32 if z.dtype == tf.bfloat16 else z.dtype
    return tf.cast(tf.nn.softsign(tf.cast(finite, wide)), z.dtype)


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
    return _leak(_real_tensor("leaky_relu", "z", z), alpha)


def prelu(z, alpha):
    r"""Pass positive numbers, and a learned part of the others.

    .. math::

       \operatorname{prelu}(z) =
       \begin{cases} z & z > 0 \\ \alpha z & z \le 0 \end{cases}

    Parameters
    ----------
    z : tf.Tensor or array_like of real numbers, any shape
    alpha : float, or tf.Tensor or ndarray that broadcasts to the shape of `z`
        The slopes for negative z, and the derivative at the kink.  The tape reaches a
        tensor: the derivative with respect to a slope is the sum of
        :math:`\min(z, 0)` over the elements that share it.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `alpha` is not real.
    ValueError
        If `alpha` is a number that is not finite, or has another shape.

    Notes
    -----
    ``tf.nn`` has no such function.  Where a graph does not know the shape of `z`, that
    of `alpha` is not checked.  :class:`PReLU` trains the slopes.

    Examples
    --------
    >>> prelu([[-2.0, -2.0], [3.0, 0.0]], tf.constant([0.25, 0.5])).numpy()
    array([[-0.5, -1. ],
           [ 3. ,  0. ]], dtype=float32)
    """
    z = _real_tensor("prelu", "z", z)
    if not (tf.is_tensor(alpha) or isinstance(alpha, np.ndarray)):
        return _leak(z, _checks.finite("prelu", "alpha", alpha))
    alpha = _real_tensor("prelu", "alpha", alpha)
    if z.shape.is_fully_defined():
        _checks.broadcasts("prelu", "alpha", alpha.shape, z.shape)
    return _leak(z, tf.cast(alpha, z.dtype))


def rrelu(z, lower=1 / 8, upper=1 / 3, *, training, seed=None):
    r"""Pass positive numbers, and a random part of the others.

    .. math::

       \operatorname{rrelu}(z) =
       \begin{cases} z & z > 0 \\ a z & z \le 0 \end{cases}
       \qquad a \sim U(\text{lower}, \text{upper})

    Parameters
    ----------
    z : tf.Tensor or array_like of real numbers, any shape
    lower, upper : float
        The ends of the slopes.
    training : bool
        In training each element has a slope of its own; otherwise all have the mean,
        ``(lower + upper) / 2``.
    seed : int or pair of int, or a tensor of one or two
        Needed in training.  The same seed draws the same slopes, in a ``tf.function``
        and compiled by XLA too: pass another one at each call, and as a tensor into a
        ``tf.function``, which traces anew for each new int.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, a bound is not a number, `training` is not a
        bool, or `seed` is missing in training.
    ValueError
        If a bound is not finite, or `lower` is above `upper`.

    Notes
    -----
    ``tf.nn`` has no such function.  Slopes for float16 and bfloat16 are drawn in
    float32 and then rounded.

    Examples
    --------
    >>> rrelu([-48.0, 0.0, 3.0], training=False).numpy()
    array([-11.,   0.,   3.], dtype=float32)
    >>> y = rrelu(-tf.ones(1000), training=True, seed=0).numpy()
    >>> bool(-1 / 3 <= y.min() < y.max() <= -1 / 8)
    True
    """
    z = _real_tensor("rrelu", "z", z)
    lower, upper = _checks.slope_range("rrelu", lower, upper)
    if not _checks.boolean("rrelu", "training", training):
        return _leak(z, (lower + upper) / 2)
    if seed is None:
        raise TypeError(
            "rrelu: `seed` must be an integer or a pair of integers in training; got "
            "None. Pass seed=step, another one at each call."
        )
    seed = _seed_pair("rrelu", seed)
    dtype = tf.float64 if z.dtype == tf.float64 else tf.float32
    slopes = _uniform(tf.shape(z), seed, lower, upper, dtype)
    return _leak(z, tf.cast(slopes, z.dtype))


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


def celu(z, alpha=1.0):
    r"""Bend an ELU so that its slope has no jump, whatever its bound.

    .. math::

       \operatorname{celu}(z) =
       \begin{cases} z & z > 0 \\ \alpha (e^{z/\alpha} - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : tf.Tensor or array_like of real numbers, any shape
    alpha : float, above 0
        Minus the limit at minus infinity.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite and above 0.

    Notes
    -----
    The derivative at 0 is 1 from both sides.  ``tf.nn`` has no such function.

    Examples
    --------
    >>> celu([-float("inf"), 0.0, 2.0], alpha=1.5).numpy()
    array([-1.5,  0. ,  2. ], dtype=float32)
    """
    alpha = _checks.finite("celu", "alpha", alpha, above=0.0)
    return _elu(_real_tensor("celu", "z", z), alpha, width=alpha)


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


def softplus(z):
    r"""Round off the corner of ReLU.

    .. math:: \operatorname{softplus}(z) = \ln(1 + e^z) = \max(z, 0) + \ln(1 + e^{-|z|})

    Arguments, result and errors are those of :func:`logistic`; smooth, ln 2 at 0 and
    never 0.  ``tf.nn.softplus`` changes to :math:`z` and to :math:`e^z` a little too
    early, which costs it four roundings.

    Examples
    --------
    >>> print(*(f"{y:.4f}" for y in softplus([-float("inf"), 0.0, 1000.0]).numpy()))
    0.0000 0.6931 1000.0000
    """
    z = _real_tensor("softplus", "z", z)
    return tf.where(z > 0, z, tf.zeros_like(z)) + tf.math.log1p(_exp_minus_abs(z))


def silu(z):
    r"""Let each number decide how much of it passes.

    .. math:: \operatorname{silu}(z) = z\,\sigma(z)

    Arguments, result and errors are those of :func:`logistic`; smooth, 0 at 0 and at
    minus infinity, with a minimum of about -0.28 near -1.28.  ``tf.nn.silu``, which
    returns nan at minus infinity, and whose derivative is nan at both.

    Examples
    --------
    >>> silu([-float("inf"), 0.0, float("inf")]).numpy()
    array([ 0.,  0., inf], dtype=float32)
    """
    return _gated(tf.nn.silu, _real_tensor("silu", "z", z))


def gelu(z, approximate=False):
    r"""Let as much of a number pass as a standard normal one is likely to be below it.

    .. math::

       \operatorname{gelu}(z) = z\,\Phi(z), \qquad
       \Phi(z) = \tfrac12 \operatorname{erfc}\bigl(-z / \sqrt2\bigr)

    Parameters
    ----------
    z : tf.Tensor or array_like of real numbers, any shape
    approximate : bool
        Replace :math:`\Phi(z)` by
        :math:`\frac12 \bigl(1 + \tanh u\bigr) = \sigma(2u)` with
        :math:`u = \sqrt{2/\pi}\,(z + 0.044715 z^3)`.

    Returns
    -------
    tf.Tensor, the shape and float dtype of `z`
        0 at 0 and at minus infinity, with a minimum of about -0.17 near -0.75;
        smooth everywhere.

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `approximate` is not a bool.

    Notes
    -----
    ``tf.nn.gelu`` keeps its constants in float32, which costs a float64 `z` half its
    digits, and returns nan at minus infinity.

    Examples
    --------
    >>> print(*(f"{y:.5f}" for y in gelu([-1.0, 0.0, 1.0]).numpy()))
    -0.15866 0.00000 0.84134
    >>> print(*(f"{y:.5f}" for y in gelu([-1.0, 0.0, 1.0], approximate=True).numpy()))
    -0.15881 0.00000 0.84119
    """
    approximate = _checks.boolean("gelu", "approximate", approximate)
    z = _real_tensor("gelu", "z", z)
    return _gated(_tanh_gelu if approximate else _erf_gelu, z)


def mish(z):
    r"""Gate each number by the tanh of its softplus.

    .. math:: \operatorname{mish}(z) = z \tanh\bigl(\ln(1 + e^z)\bigr)
       = z\,\frac{w^2 + 2w}{w^2 + 2w + 2}, \qquad w = e^z

    Arguments, result and errors are those of :func:`logistic`; smooth, 0 at 0 and at
    minus infinity, with a minimum of about -0.31 near -1.19.
    ``keras.activations.mish`` returns nan at minus infinity, and its derivative is nan
    at both.

    Examples
    --------
    >>> mish([-float("inf"), 0.0, float("inf")]).numpy()
    array([ 0.,  0., inf], dtype=float32)
    """
    return _gated(_mish, _real_tensor("mish", "z", z))


def _leak(z, slopes):
    """Multiply what is not positive by a number or by a tensor of slopes.

    A slope of 0 stops infinity too: its product would be nan.  The product sees no
    positive number, since infinity would make the derivative of its slope nan.
    """
    positive = z > 0
    stopped = positive | (tf.math.is_inf(z) & (slopes == 0))
    return tf.where(positive, z, slopes * tf.where(stopped, tf.zeros_like(z), z))


def _elu(z, alpha, width=1.0):
    """Compute ELU, or CELU for a width of `alpha`, on a floating-point tensor.

    The exponential sees no positive number: it would overflow there, and the
    derivative would be 0 times infinity, nan, although that branch is not taken.
    """
    positive = z > 0
    others = tf.where(positive, tf.zeros_like(z), z)
    return tf.where(positive, z, alpha * tf.math.expm1(others / width))


def _exp_minus_abs(z):
    """Compute e^-|z|, which cannot overflow, with the derivative from the left at 0."""
    return tf.exp(tf.where(z > 0, -z, z))


def _gated(function, z):
    """Compute z times a gate that opens from 0 to 1: far out it is ReLU.

    Beyond 1000 every gate is 0 or 1, in float64 too, and infinity times 0 would be
    nan, in the value or in the derivative.
    """
    far = tf.abs(z) > 1000
    return tf.where(far, tf.nn.relu(z), function(tf.where(far, tf.zeros_like(z), z)))


def _erf_gelu(z):
    return z * (0.5 * tf.math.erfc(-math.sqrt(0.5) * z))


def _tanh_gelu(z):
    return z * tf.nn.sigmoid(math.sqrt(8 / math.pi) * z * (1 + 0.044715 * z * z))


def _mish(z):
    e = _exp_minus_abs(z)
    positive = z > 0
    top = tf.where(positive, 1 + 2 * e, e * (e + 2))
    return z * (top / (top + 2 * tf.where(positive, e * e, tf.ones_like(z))))


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


# --- as Keras layers ------------------------------------------------------------------
class _Activation(keras.layers.Layer):
    """Apply the function `f` with the same arguments at each call."""

    def __init__(self, arguments, **keywords):
        super().__init__(**keywords)
        self.arguments = arguments
        self.supports_masking = True

    def call(self, x):
        return self.f(x, **self.arguments)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | self.arguments


@_register
class LeakyReLU(_Activation):
    """Apply :func:`leaky_relu` to every element; the slope of Keras' own is 0.3.

    Examples
    --------
    >>> LeakyReLU(alpha=0.25)(tf.constant([-1.0, 2.0])).numpy()
    array([-0.25,  2.  ], dtype=float32)
    """

    f = staticmethod(leaky_relu)

    def __init__(self, alpha=0.01, **keywords):
        alpha = _checks.finite("LeakyReLU", "alpha", alpha)
        super().__init__({"alpha": alpha}, **keywords)


@_register
class PReLU(_Activation):
    """Apply :func:`prelu` with slopes that are trained.

    Parameters
    ----------
    shared : bool
        One slope for all, else one for each unit or channel, on the last axis.
        Keras' own has one for each position too, unless told which axes share.
    alpha : float
        Where the slopes start; in Keras' own it is 0.

    Attributes
    ----------
    alpha : keras.Variable, shape () or (n_units,)

    Raises
    ------
    TypeError, ValueError
        If `shared` is not a bool, or `alpha` not a finite number.

    Examples
    --------
    >>> PReLU()(tf.constant([[-4.0, 2.0]])).numpy()
    array([[-1.,  2.]], dtype=float32)
    """

    def __init__(self, shared=True, alpha=0.25, **keywords):
        shared = _checks.boolean("PReLU", "shared", shared)
        alpha = _checks.finite("PReLU", "alpha", alpha)
        super().__init__({"shared": shared, "alpha": alpha}, **keywords)

    def build(self, input_shape):
        shape = () if self.arguments["shared"] else input_shape[-1:]
        start = keras.initializers.Constant(self.arguments["alpha"])
        self.alpha = self.add_weight(shape=shape, initializer=start, name="alpha")

    def call(self, x):
        return prelu(x, self.alpha)


@_register
class RReLU(_Activation):
    """Apply :func:`rrelu`, random in training only; Keras has no such layer.

    Parameters
    ----------
    lower, upper : float
        The ends of the slopes.
    seed : int, optional
        Where the random slopes start: each call in training draws others.

    Raises
    ------
    TypeError, ValueError
        If a bound is not a finite number, or `lower` is above `upper`.

    Examples
    --------
    >>> RReLU(0.25, 0.75)(tf.constant([-1.0, 2.0])).numpy()
    array([-0.5,  2. ], dtype=float32)
    """

    def __init__(self, lower=1 / 8, upper=1 / 3, *, seed=None, **keywords):
        lower, upper = _checks.slope_range("RReLU", lower, upper)
        super().__init__({"lower": lower, "upper": upper}, **keywords)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        seed = self.seed_generator.next() if training else None
        return rrelu(x, **self.arguments, training=bool(training), seed=seed)

    def get_config(self):
        return super().get_config() | {"seed": self.seed}


@_register
class ELU(_Activation):
    """Apply :func:`elu` to every element."""

    f = staticmethod(elu)

    def __init__(self, alpha=1.0, **keywords):
        alpha = _checks.finite("ELU", "alpha", alpha)
        super().__init__({"alpha": alpha}, **keywords)


@_register
class CELU(_Activation):
    """Apply :func:`celu` to every element."""

    f = staticmethod(celu)

    def __init__(self, alpha=1.0, **keywords):
        alpha = _checks.finite("CELU", "alpha", alpha, above=0.0)
        super().__init__({"alpha": alpha}, **keywords)


@_register
class SELU(_Activation):
    """Apply :func:`selu` to every element."""

    f = staticmethod(selu)

    def __init__(self, alpha=SELU_ALPHA, scale=SELU_SCALE, **keywords):
        alpha = _checks.finite("SELU", "alpha", alpha)
        scale = _checks.finite("SELU", "scale", scale)
        super().__init__({"alpha": alpha, "scale": scale}, **keywords)


@_register
class GELU(_Activation):
    """Apply :func:`gelu` to every element."""

    f = staticmethod(gelu)

    def __init__(self, approximate=False, **keywords):
        approximate = _checks.boolean("GELU", "approximate", approximate)
        super().__init__({"approximate": approximate}, **keywords)
