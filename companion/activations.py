r"""Activation functions and their derivatives: the reference in NumPy.

Every function :math:`f(z)` stands beside its derivative ``f_grad``.  All of
them take an array of any shape and return one of the same shape: float16, 32
and 64 stay what they are, integers become float64, complex numbers and objects
raise ``TypeError``.  No exponential overflows, at infinity each function returns
its limit, and nan stays nan.  At a kink the derivative is the one from the left
:math:`(z \le 0)`, as in PyTorch.

The chapter *Vanishing and exploding gradients* starts from the logistic; the
others are its competitors.
"""

import numpy as np

from companion import _checks

#: :math:`\alpha` and :math:`\lambda` of SELU, eq. 14 of Klambauer et al. (2017):
#: the one pair for which mean 0 and variance 1 are a fixed point.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


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
    Only :math:`e^{-|z|}` is computed, which cannot overflow.  Also known as the
    sigmoid; chapter *Vanishing and exploding gradients*.

    Examples
    --------
    >>> logistic([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    z = _checks.real_array("logistic", "z", z)
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


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
    and no bound above.

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
    return _piecewise(z, 1, np.zeros_like(z))


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
    if alpha == 0:  # 0 times minus infinity would be nan
        return relu(z)
    return np.where(z > 0, z, alpha * np.minimum(z, 0))


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
    return _piecewise(z, 1, np.full_like(z, alpha))


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
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


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
    return scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


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


def _piecewise(z, right, left):
    """Choose `right` for z > 0, `left` for z <= 0, and nan for nan."""
    return np.where(np.isnan(z), z, np.where(z > 0, z.dtype.type(right), left))
