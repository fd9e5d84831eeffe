r"""Activation functions and their derivatives: the reference in NumPy.

Every function :math:`f(z)` stands beside its derivative ``f_grad``.  All of
them take an array of any shape and return one of the same shape: float16, 32
and 64 stay what they are, integers become float64, complex numbers and objects
raise ``TypeError``.  No exponential overflows, at infinity each function returns
its limit, and nan stays nan.  At a kink the derivative is the one from the left
:math:`(z \le 0)`, as in PyTorch.

The chapter *Vanishing and exploding gradients* starts from the logistic, and the
chapter *Nonsaturating activations* compares them all.
"""

import math

import numpy as np

from companion import _checks

#: :math:`\alpha` of SELU, eq. 14 of Klambauer et al. (2017).  With
#: :data:`SELU_SCALE`, the one pair for which mean 0 and variance 1 are a fixed point.
SELU_ALPHA = 1.6732632423543772848170429916717
#: :math:`\lambda` of SELU, beside :data:`SELU_ALPHA`.
SELU_SCALE = 1.0507009873554804934193349852946

_LARGE = 1e100  # stands for infinity where infinity times 0 would be nan


def logistic(z):
    r"""Squash any number into (0, 1).

    .. math:: \sigma(z) = \frac{1}{1 + e^{-z}}

    Parameters
    ----------
    z : array_like of real numbers, any shape

    Returns
    -------
    ndarray, the shape and float dtype of `z`
        0 at minus infinity, 1/2 at 0, 1 at infinity; smooth everywhere.

    Raises
    ------
    TypeError
        If `z` is complex or not numeric.

    Notes
    -----
    Computed as :math:`p / (p + q)` with :math:`p = e^{\min(z, 0)}` and
    :math:`q = e^{-\max(z, 0)}`, which cannot overflow.  Also known as the sigmoid;
    chapter *Vanishing and exploding gradients*.

    Examples
    --------
    >>> logistic([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    z = _checks.real_array("logistic", "z", z)
    p, q = _exponentials(z)
    return p / (p + q)


def logistic_grad(z):
    r"""Differentiate the logistic.

    .. math:: \sigma'(z) = \sigma(z)\,\sigma(-z) = \frac{e^{-|z|}}{(1 + e^{-|z|})^2}

    At most 1/4, at 0, and 0 in both tails: it is even, and the form with
    :math:`|z|` keeps its tails, where :math:`\sigma(1 - \sigma)` would round to 0.
    Arguments, result and errors are those of :func:`logistic`.

    Examples
    --------
    >>> print("{:.2f} {:.3g}".format(*logistic_grad([0.0, 50.0])))
    0.25 1.93e-22
    """
    z = _checks.real_array("logistic_grad", "z", z)
    e = np.exp(-np.abs(z))
    return e / (1 + e) ** 2


def tanh(z):
    r"""Squash any number into (-1, 1), with 0 at 0.

    .. math:: \tanh z = 2\sigma(2z) - 1

    Arguments, result and errors are those of :func:`logistic`; odd, smooth, -1 and
    1 at infinity.  LeCun et al. (1998), section 4.4, prefer it to the logistic for
    its mean near 0.

    Examples
    --------
    >>> tanh([-np.inf, 0.0, 0.5])
    array([-1.        ,  0.        ,  0.46211716])
    """
    return np.tanh(_checks.real_array("tanh", "z", z))


def tanh_grad(z):
    r"""Differentiate tanh.

    .. math:: \tanh'(z) = 1 - \tanh^2 z = \frac{4 e^{-2|z|}}{(1 + e^{-2|z|})^2}

    1 at 0, and 0 in both tails.  Arguments, result and errors are those of
    :func:`logistic`.

    Examples
    --------
    >>> print("{:.2f} {:.3g}".format(*tanh_grad([0.0, 30.0])))
    1.00 3.5e-26
    """
    z = _checks.real_array("tanh_grad", "z", z)
    e = np.exp(-np.abs(z)) ** 2
    return 4 * e / (1 + e) ** 2


def softsign(z):
    r"""Squash any number into (-1, 1), with tails that flatten slowly.

    .. math:: \operatorname{softsign}(z) = \frac{z}{1 + |z|}

    Arguments, result and errors are those of :func:`logistic`; odd, with a
    continuous first derivative and a second one that jumps at 0.  Compared with
    tanh by Glorot & Bengio (2010), section 3.

    Examples
    --------
    >>> softsign([-np.inf, 0.0, 3.0])
    array([-1.  ,  0.  ,  0.75])
    """
    z = _checks.real_array("softsign", "z", z)
    infinite = np.isinf(z)
    finite = np.where(infinite, 0, z)
    return np.where(infinite, np.sign(z), finite / (1 + np.abs(finite)))


def softsign_grad(z):
    r"""Differentiate softsign.

    .. math:: \operatorname{softsign}'(z) = \frac{1}{(1 + |z|)^2}

    1 at 0, and 0 at infinity.  Arguments, result and errors are those of
    :func:`logistic`.

    Examples
    --------
    >>> softsign_grad([-3.0, 0.0, np.inf])
    array([0.0625, 1.    , 0.    ])
    """
    z = _checks.real_array("softsign_grad", "z", z)
    return (1 / (1 + np.abs(z))) ** 2


def relu(z):
    r"""Pass positive numbers and stop the others.

    .. math:: \operatorname{relu}(z) = \max(z, 0)

    Arguments, result and errors are those of :func:`logistic`; it has a kink at 0
    and no bound above.  Nair & Hinton (2010).

    Examples
    --------
    >>> relu([-2.0, 0.0, 3.0])
    array([0., 0., 3.])
    """
    return np.maximum(_checks.real_array("relu", "z", z), 0)


def relu_grad(z):
    """Differentiate ReLU: 1 for z > 0, otherwise 0, at the kink too.

    Arguments, result and errors are those of :func:`logistic`.

    Examples
    --------
    >>> relu_grad([-2.0, 0.0, 3.0])
    array([0., 0., 1.])
    """
    z = _checks.real_array("relu_grad", "z", z)
    return np.sign(np.maximum(z, 0))  # nan stays nan


def leaky_relu(z, alpha=0.01):
    r"""Pass positive numbers, and a little of the others.

    .. math::

       \operatorname{leaky\_relu}(z) =
       \begin{cases} z & z > 0 \\ \alpha z & z \le 0 \end{cases}

    Parameters
    ----------
    z : array_like of real numbers, any shape
    alpha : float
        The slope for negative z.

    Returns
    -------
    ndarray, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite.

    Notes
    -----
    The default is that of Maas et al. (2013) and of PyTorch.

    Examples
    --------
    >>> leaky_relu([-2.0, 0.0, 3.0])
    array([-0.02,  0.  ,  3.  ])
    """
    alpha = _checks.finite("leaky_relu", "alpha", alpha)
    z = _checks.real_array("leaky_relu", "z", z)
    return _leak(z, z.dtype.type(alpha))


def leaky_relu_grad(z, alpha=0.01):
    """Differentiate the leaky ReLU: 1 for z > 0, otherwise `alpha`.

    Arguments, result and errors are those of :func:`leaky_relu`.

    Examples
    --------
    >>> leaky_relu_grad([-2.0, 0.0, 3.0], alpha=0.2)
    array([0.2, 0.2, 1. ])
    """
    alpha = _checks.finite("leaky_relu_grad", "alpha", alpha)
    z = _checks.real_array("leaky_relu_grad", "z", z)
    return _piecewise(z, 1, alpha)


def prelu(z, alpha):
    r"""Pass positive numbers, and a learned part of the others.

    .. math::

       \operatorname{prelu}(z) =
       \begin{cases} z & z > 0 \\ \alpha z & z \le 0 \end{cases}

    Parameters
    ----------
    z : array_like of real numbers, any shape
    alpha : float, or ndarray that broadcasts to the shape of `z`
        The slopes for negative z: one, or one for each unit, as shape
        ``(n_units,)`` for `z` of shape ``(n, n_units)``.

    Returns
    -------
    ndarray, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `alpha` is not real.
    ValueError
        If `alpha` is a number that is not finite, or has another shape.

    Notes
    -----
    The leaky ReLU with slopes that are trained, from 0.25 on: He et al. (2015),
    eq. 1.  :class:`companion.mlp.PReLU` trains them.

    Examples
    --------
    >>> prelu([[-2.0, -2.0], [3.0, 0.0]], alpha=np.array([0.25, 0.5]))
    array([[-0.5, -1. ],
           [ 3. ,  0. ]])
    """
    z = _checks.real_array("prelu", "z", z)
    return _leak(z, _slopes("prelu", alpha, z))


def prelu_grad(z, alpha):
    """Differentiate PReLU with respect to z: 1 for z > 0, otherwise `alpha`.

    Arguments, result and errors are those of :func:`prelu`.

    Examples
    --------
    >>> prelu_grad([-2.0, 0.0, 3.0], alpha=0.25)
    array([0.25, 0.25, 1.  ])
    """
    z = _checks.real_array("prelu_grad", "z", z)
    return _piecewise(z, 1, _slopes("prelu_grad", alpha, z))


def prelu_slope_derivative(z, alpha):
    r"""Differentiate PReLU with respect to its slope: 0 for z > 0, otherwise z.

    .. math:: \frac{\partial \operatorname{prelu}(z)}{\partial \alpha} = \min(z, 0)

    One number for each element; a slope that several elements share has the sum of
    theirs.  Arguments, result and errors are those of :func:`prelu`; it does not
    depend on `alpha`.  He et al. (2015), eq. 3.

    Examples
    --------
    >>> prelu_slope_derivative([-2.0, 0.0, 3.0], alpha=0.25)
    array([-2.,  0.,  0.])
    """
    z = _checks.real_array("prelu_slope_derivative", "z", z)
    _slopes("prelu_slope_derivative", alpha, z)
    return np.minimum(z, 0)


def rrelu(z, lower=1 / 8, upper=1 / 3, *, training, rng=None):
    r"""Pass positive numbers, and a random part of the others.

    .. math::

       \operatorname{rrelu}(z) =
       \begin{cases} z & z > 0 \\ a z & z \le 0 \end{cases}
       \qquad a \sim U(\text{lower}, \text{upper})

    Parameters
    ----------
    z : array_like of real numbers, any shape
    lower, upper : float
        The ends of the slopes.
    training : bool
        In training each element has a slope of its own, drawn anew at every call;
        otherwise all have the mean, ``(lower + upper) / 2``.
    rng : numpy.random.Generator
        Needed in training.

    Returns
    -------
    ndarray, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, a bound is not a number, `training` is not
        a bool, or `rng` is missing in training.
    ValueError
        If a bound is not finite, or `lower` is above `upper`.

    Notes
    -----
    The convention is PyTorch's.  Xu et al. (2015) draw the *divisor* from U(3, 8)
    and test with its mean, hence a slope of 2/11 and not of 11/48.

    Examples
    --------
    >>> rrelu([-48.0, 0.0, 3.0], training=False)
    array([-11.,   0.,   3.])
    >>> y = rrelu(-np.ones(1000), training=True, rng=np.random.default_rng(0))
    >>> bool(-1 / 3 <= y.min() < y.max() <= -1 / 8)
    True
    """
    z = _checks.real_array("rrelu", "z", z)
    return _leak(z, _random_slopes("rrelu", lower, upper, z, training, rng))


def rrelu_grad(z, lower=1 / 8, upper=1 / 3, *, training, rng=None):
    """Differentiate RReLU: 1 for z > 0, otherwise the slope.

    Arguments, result and errors are those of :func:`rrelu`.  In training the slopes
    are drawn as there: a generator in the same state draws the same ones.
    :class:`companion.mlp.RReLU` remembers them instead.

    Examples
    --------
    >>> rrelu_grad([-2.0, 0.0, 3.0], lower=0.25, upper=0.75, training=False)
    array([0.5, 0.5, 1. ])
    """
    z = _checks.real_array("rrelu_grad", "z", z)
    slopes = _random_slopes("rrelu_grad", lower, upper, z, training, rng)
    return _piecewise(z, 1, slopes)


def elu(z, alpha=1.0):
    r"""Pass positive numbers, and bend the others towards a bound.

    .. math::

       \operatorname{elu}(z) =
       \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : array_like of real numbers, any shape
    alpha : float
        Minus the limit at minus infinity.

    Returns
    -------
    ndarray, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite.

    Notes
    -----
    The derivative at 0 is `alpha` from the left and 1 from the right: for any
    other alpha than 1 there is a kink.  Clevert et al. (2016), section 3.

    Examples
    --------
    >>> elu([-np.inf, 0.0, 2.0], alpha=1.5)
    array([-1.5,  0. ,  2. ])
    """
    alpha = _checks.finite("elu", "alpha", alpha)
    z = _checks.real_array("elu", "z", z)
    return np.maximum(z, 0) + alpha * np.expm1(np.minimum(z, 0))


def elu_grad(z, alpha=1.0):
    r"""Differentiate ELU: 1 for z > 0, otherwise :math:`\alpha e^z`.

    Arguments, result and errors are those of :func:`elu`; `alpha` at 0.

    Examples
    --------
    >>> elu_grad([-np.inf, 0.0, 2.0], alpha=1.5)
    array([0. , 1.5, 1. ])
    """
    alpha = _checks.finite("elu_grad", "alpha", alpha)
    z = _checks.real_array("elu_grad", "z", z)
    return _piecewise(z, 1, alpha * np.exp(np.minimum(z, 0)))


def celu(z, alpha=1.0):
    r"""Bend an ELU so that its slope has no jump, whatever its bound.

    .. math::

       \operatorname{celu}(z) =
       \begin{cases} z & z > 0 \\ \alpha (e^{z/\alpha} - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : array_like of real numbers, any shape
    alpha : float, above 0
        Minus the limit at minus infinity.

    Returns
    -------
    ndarray, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite and above 0.

    Notes
    -----
    The derivative at 0 is 1 from both sides.  Barron (2017), eq. 3.

    Examples
    --------
    >>> celu([-np.inf, 0.0, 2.0], alpha=1.5)
    array([-1.5,  0. ,  2. ])
    """
    alpha = _checks.finite("celu", "alpha", alpha, above=0.0)
    z = _checks.real_array("celu", "z", z)
    x = np.minimum(z, 0).astype(float)  # alpha may round to 0 in a narrower dtype
    return np.maximum(z, 0) + (alpha * np.expm1(x / alpha)).astype(z.dtype)


def celu_grad(z, alpha=1.0):
    r"""Differentiate CELU: 1 for z > 0, otherwise :math:`e^{z/\alpha}`.

    Arguments, result and errors are those of :func:`celu`; 1 at 0.

    Examples
    --------
    >>> celu_grad([-np.inf, 0.0, 2.0], alpha=1.5)
    array([0., 1., 1.])
    """
    alpha = _checks.finite("celu_grad", "alpha", alpha, above=0.0)
    z = _checks.real_array("celu_grad", "z", z)
    x = np.minimum(z, 0).astype(float)
    return _piecewise(z, 1, np.exp(x / alpha).astype(z.dtype))


def selu(z, alpha=SELU_ALPHA, scale=SELU_SCALE):
    r"""Scale an ELU so that mean 0 and variance 1 reproduce themselves.

    .. math::

       \operatorname{selu}(z) = \lambda
       \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : array_like of real numbers, any shape
    alpha, scale : float
        :math:`\alpha` and :math:`\lambda`; other values give other fixed points.

    Returns
    -------
    ndarray, the shape and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or a constant is not a number.
    ValueError
        If a constant is not finite.

    Notes
    -----
    There is a kink at 0.  Klambauer et al. (2017), eq. 2.

    Examples
    --------
    >>> selu([-np.inf, 0.0, 1.0])
    array([-1.75809934,  0.        ,  1.05070099])
    """
    alpha = _checks.finite("selu", "alpha", alpha)
    scale = _checks.finite("selu", "scale", scale)
    z = _checks.real_array("selu", "z", z)
    return scale * (np.maximum(z, 0) + alpha * np.expm1(np.minimum(z, 0)))


def selu_grad(z, alpha=SELU_ALPHA, scale=SELU_SCALE):
    r"""Differentiate SELU: :math:`\lambda` for z > 0, else :math:`\lambda\alpha e^z`.

    Arguments, result and errors are those of :func:`selu`;
    :math:`\lambda\alpha` at 0.

    Examples
    --------
    >>> selu_grad([-np.inf, 0.0, 1.0])
    array([0.        , 1.75809934, 1.05070099])
    """
    alpha = _checks.finite("selu_grad", "alpha", alpha)
    scale = _checks.finite("selu_grad", "scale", scale)
    z = _checks.real_array("selu_grad", "z", z)
    return _piecewise(z, scale, scale * alpha * np.exp(np.minimum(z, 0)))


def softplus(z):
    r"""Round off the corner of ReLU.

    .. math:: \operatorname{softplus}(z) = \ln(1 + e^z) = \max(z, 0) + \ln(1 + e^{-|z|})

    Arguments, result and errors are those of :func:`logistic`; smooth, ln 2 at 0 and
    never 0.  Dugas et al. (2001).

    Examples
    --------
    >>> softplus([-np.inf, 0.0, 1000.0])
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    z = _checks.real_array("softplus", "z", z)
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softplus_grad(z):
    r"""Differentiate softplus: its derivative is the logistic.

    Arguments, result and errors are those of :func:`logistic`.

    Examples
    --------
    >>> softplus_grad([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    return logistic(_checks.real_array("softplus_grad", "z", z))


def silu(z):
    r"""Let each number decide how much of it passes.

    .. math:: \operatorname{silu}(z) = z\,\sigma(z)

    Arguments, result and errors are those of :func:`logistic`; smooth, 0 at 0 and at
    minus infinity, with a minimum of about -0.28 near -1.28.  Hendrycks & Gimpel
    (2016), section 2, name it; Ramachandran et al. (2017), section 4, call it Swish.

    Examples
    --------
    >>> silu([-np.inf, 0.0, np.inf])
    array([-0.,  0., inf])
    """
    z = _checks.real_array("silu", "z", z)
    return np.maximum(z, np.finfo(z.dtype).min) * logistic(z)


def silu_grad(z):
    r"""Differentiate SiLU.

    .. math:: \operatorname{silu}'(z) = \sigma(z)\,\bigl(1 + z\,\sigma(-z)\bigr)

    1/2 at 0, 0 and 1 in the tails.  Arguments, result and errors are those of
    :func:`logistic`.

    Examples
    --------
    >>> silu_grad([-np.inf, 0.0, np.inf])
    array([-0. ,  0.5,  1. ])
    """
    z = _checks.real_array("silu_grad", "z", z)
    largest = np.finfo(z.dtype).max
    return logistic(z) * (1 + np.clip(z, -largest, largest) * logistic(-z))


def gelu(z, approximate=False):
    r"""Let as much of a number pass as a standard normal one is likely to be below it.

    .. math::

       \operatorname{gelu}(z) = z\,\Phi(z), \qquad
       \Phi(z) = \tfrac12 \operatorname{erfc}\bigl(-z / \sqrt2\bigr)

    Parameters
    ----------
    z : array_like of real numbers, any shape
    approximate : bool
        Replace :math:`\Phi(z)` by
        :math:`\frac12 \bigl(1 + \tanh u\bigr) = \sigma(2u)` with
        :math:`u = \sqrt{2/\pi}\,(z + 0.044715 z^3)`.

    Returns
    -------
    ndarray, the shape and float dtype of `z`
        0 at 0 and at minus infinity, with a minimum of about -0.17 near -0.75;
        smooth everywhere.

    Raises
    ------
    TypeError
        If `z` is complex or not numeric, or `approximate` is not a bool.

    Notes
    -----
    Hendrycks & Gimpel (2016), section 2, give both forms.  NumPy has no error
    function: the exact form calls :func:`math.erfc` for each element, which is slow.

    Examples
    --------
    >>> print(*(f"{y:.6f}" for y in gelu([-1.0, 0.0, 1.0])))
    -0.158655 0.000000 0.841345
    >>> print(*(f"{y:.6f}" for y in gelu([-1.0, 0.0, 1.0], approximate=True)))
    -0.158808 0.000000 0.841192
    """
    _checks.boolean("gelu", "approximate", approximate)
    z = _checks.real_array("gelu", "z", z)
    x = np.maximum(z.astype(float), -_LARGE)
    phi = logistic(2 * _gelu_u(x)) if approximate else _normal_cdf(x)
    return (x * phi).astype(z.dtype)


def gelu_grad(z, approximate=False):
    r"""Differentiate GELU.

    .. math::

       \operatorname{gelu}'(z) = \Phi(z) + z\,\varphi(z), \qquad
       \varphi(z) = \frac{e^{-z^2/2}}{\sqrt{2\pi}}

    and with `approximate` the derivative of that form,
    :math:`\sigma(2u) + 2z\,u'\,\sigma'(2u)`.  1/2 at 0, 0 and 1 in the tails.
    Arguments, result and errors are those of :func:`gelu`.

    Examples
    --------
    >>> gelu_grad([-np.inf, 0.0, np.inf])
    array([0. , 0.5, 1. ])
    """
    _checks.boolean("gelu_grad", "approximate", approximate)
    z = _checks.real_array("gelu_grad", "z", z)
    x = np.clip(z.astype(float), -_LARGE, _LARGE)
    if approximate:
        u = _gelu_u(x)
        u_grad = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        gradient = logistic(2 * u) + 2 * x * u_grad * logistic_grad(2 * u)
    else:
        density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        gradient = _normal_cdf(x) + x * density
    return gradient.astype(z.dtype)


def mish(z):
    r"""Gate each number by the tanh of its softplus.

    .. math:: \operatorname{mish}(z) = z \tanh\bigl(\ln(1 + e^z)\bigr)
       = z\,\frac{w^2 + 2w}{w^2 + 2w + 2}, \qquad w = e^z

    Arguments, result and errors are those of :func:`logistic`; smooth, 0 at 0 and at
    minus infinity, with a minimum of about -0.31 near -1.19.  Misra (2020).

    Examples
    --------
    >>> mish([-np.inf, 0.0, np.inf])
    array([-0.,  0., inf])
    """
    z = _checks.real_array("mish", "z", z)
    x = np.maximum(z.astype(float), -_LARGE)
    gate, _ = _mish_gate(x)
    return (x * gate).astype(z.dtype)


def mish_grad(z):
    r"""Differentiate Mish.

    .. math::

       \operatorname{mish}'(z) = g + z\,\sigma(z)\,(1 - g^2), \qquad
       g = \tanh\bigl(\ln(1 + e^z)\bigr)

    3/5 at 0, 0 and 1 in the tails.  Arguments, result and errors are those of
    :func:`logistic`.

    Examples
    --------
    >>> mish_grad([-np.inf, 0.0, np.inf])
    array([0. , 0.6, 1. ])
    """
    z = _checks.real_array("mish_grad", "z", z)
    x = np.clip(z.astype(float), -_LARGE, _LARGE)
    gate, slope = _mish_gate(x)
    return (gate + x * logistic(x) * slope).astype(z.dtype)


def _piecewise(z, right, left):
    """Choose `right` for z > 0, `left` for z <= 0, and nan for nan.

    By arithmetic, since a branch on random signs costs several times as much.
    """
    positive = np.sign(np.maximum(z, 0))  # nan stays nan
    return right * positive + left * (1 - positive)


def _exponentials(z):
    """Return e^min(z, 0) and e^-max(z, 0): one is 1, and their ratio is e^z."""
    return np.exp(np.minimum(z, 0)), np.exp(-np.maximum(z, 0))


def _leak(z, slopes):
    """Multiply what is not positive by `slopes`; one of 0 stops infinity too."""
    negative = np.minimum(z, 0)
    if not np.all(slopes):
        negative = np.where(np.isinf(z) & (slopes == 0), 0, negative)
    return np.maximum(z, 0) + slopes * negative


def _slopes(function, alpha, z):
    """Return one slope, or as many as broadcast to `z`, in the dtype of `z`."""
    if not isinstance(alpha, np.ndarray):
        return z.dtype.type(_checks.finite(function, "alpha", alpha))
    alpha = _checks.real_array(function, "alpha", alpha)
    _checks.broadcasts(function, "alpha", alpha.shape, z.shape)
    return alpha.astype(z.dtype)


def _random_slopes(function, lower, upper, z, training, rng):
    """Return the mean slope or, in training, one for each element, as `z`'s dtype."""
    lower, upper = _checks.slope_range(function, lower, upper)
    if not _checks.boolean(function, "training", training):
        return z.dtype.type((lower + upper) / 2)
    rng = _checks.generator(function, "rng", rng)
    return rng.uniform(lower, upper, z.shape).astype(z.dtype)


def _normal_cdf(x):
    """Return the probability that a standard normal number is below `x`."""
    return _erfc(-x / math.sqrt(2)) / 2


_erfc = np.vectorize(math.erfc, otypes=[float])


def _gelu_u(x):
    """Return the argument of tanh in the approximate GELU."""
    x = np.minimum(x, _LARGE)
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _mish_gate(x):
    """Return g = tanh(softplus(x)) and 1 - g^2, neither of which cancels."""
    p, q = _exponentials(x)
    part = p**2 + 2 * p * q
    total = part + 2 * q**2
    return part / total, (2 * q * (p + q) / total) ** 2
