r"""Activation functions in PyTorch, with the values and derivatives of the reference.

Each takes a ``torch.Tensor`` of any shape and returns one of the same shape, on
the same device: float16, bfloat16, float32 and float64 stay what they are,
integers become ``torch.get_default_dtype()``, complex numbers and anything that
is not a tensor raise ``TypeError``.  At infinity each function returns its limit,
and nan stays nan.  The derivative is autograd's; at a kink it is the one from the
left :math:`(z \le 0)`.

Where PyTorch's own kernel does exactly this, it is called; see
:mod:`companion.activations` for the functions themselves.
"""

import math

import torch
import torch.nn.functional as F

from companion import _checks
from companion.activations import SELU_ALPHA, SELU_SCALE


def logistic(z):
    r"""Squash any number into (0, 1).

    .. math:: \sigma(z) = \frac{1}{1 + e^{-z}}

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`
        0 at minus infinity, 1/2 at 0, 1 at infinity; smooth everywhere.

    Raises
    ------
    TypeError
        If `z` is not a tensor, or complex.

    Notes
    -----
    :func:`torch.sigmoid`, whose backward pass computes :math:`\sigma(1 - \sigma)`
    from the rounded :math:`\sigma`: the derivative rounds to 0 in the right tail
    sooner than :func:`companion.activations.logistic_grad` does.

    Examples
    --------
    >>> logistic(torch.tensor([-1000.0, 0.0, 1000.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.sigmoid(_real_tensor("logistic", "z", z))


def tanh(z):
    r"""Squash any number into (-1, 1), with 0 at 0.

    .. math:: \tanh z = 2\sigma(2z) - 1

    Arguments, result and errors are those of :func:`logistic`; odd, smooth, -1 and
    1 at infinity.  :func:`torch.tanh`.

    Examples
    --------
    >>> tanh(torch.tensor([-torch.inf, 0.0, 0.5]))
    tensor([-1.0000,  0.0000,  0.4621])
    """
    return torch.tanh(_real_tensor("tanh", "z", z))


def softsign(z):
    r"""Squash any number into (-1, 1), with tails that flatten slowly.

    .. math:: \operatorname{softsign}(z) = \frac{z}{1 + |z|}

    Arguments, result and errors are those of :func:`logistic`; odd, with a
    continuous first derivative and a second one that jumps at 0.  At infinity
    :func:`torch.nn.functional.softsign` returns nan; here its argument is made
    finite first.

    Examples
    --------
    >>> softsign(torch.tensor([-torch.inf, 0.0, 3.0]))
    tensor([-1.0000,  0.0000,  0.7500])
    """
    z = _real_tensor("softsign", "z", z)
    finite = torch.nan_to_num(z, nan=math.nan)  # infinity becomes the largest number
    return finite / (1 + finite.abs())


def relu(z):
    r"""Pass positive numbers and stop the others.

    .. math:: \operatorname{relu}(z) = \max(z, 0)

    Arguments, result and errors are those of :func:`logistic`; it has a kink at 0,
    where the derivative is 0, and no bound above.
    :func:`torch.nn.functional.relu`.

    Examples
    --------
    >>> relu(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([0., 0., 3.])
    """
    return F.relu(_real_tensor("relu", "z", z))


def leaky_relu(z, alpha=0.01):
    r"""Pass positive numbers, and a little of the others.

    .. math::

       \operatorname{leaky\_relu}(z) =
       \begin{cases} z & z > 0 \\ \alpha z & z \le 0 \end{cases}

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape
    alpha : float
        The slope for negative z, and the derivative at the kink.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is not a tensor, or complex, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite.

    Notes
    -----
    :func:`torch.nn.functional.leaky_relu`, but with 0 instead of nan at minus
    infinity when `alpha` is 0.

    Examples
    --------
    >>> leaky_relu(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([-0.0200,  0.0000,  3.0000])
    """
    alpha = _checks.finite("leaky_relu", "alpha", alpha)
    z = _real_tensor("leaky_relu", "z", z)
    if alpha == 0:  # 0 times minus infinity would be nan
        return F.relu(z)
    return F.leaky_relu(z, alpha)


def elu(z, alpha=1.0):
    r"""Pass positive numbers, and bend the others towards a bound.

    .. math::

       \operatorname{elu}(z) =
       \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape
    alpha : float
        Minus the limit at minus infinity.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is not a tensor, or complex, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite.

    Notes
    -----
    The derivative at 0 is `alpha`, from the left.
    :func:`torch.nn.functional.elu`.

    Examples
    --------
    >>> elu(torch.tensor([-torch.inf, 0.0, 2.0]), alpha=1.5)
    tensor([-1.5000,  0.0000,  2.0000])
    """
    alpha = _checks.finite("elu", "alpha", alpha)
    return F.elu(_real_tensor("elu", "z", z), alpha)


def selu(z, alpha=SELU_ALPHA, scale=SELU_SCALE):
    r"""Scale an ELU so that mean 0 and variance 1 reproduce themselves.

    .. math::

       \operatorname{selu}(z) = \lambda
       \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape
    alpha, scale : float
        :math:`\alpha` and :math:`\lambda`; other values give other fixed points.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is not a tensor, or complex, or a constant is not a number.
    ValueError
        If a constant is not finite.

    Notes
    -----
    The derivative at 0 is :math:`\lambda\alpha`, from the left.
    :func:`torch.nn.functional.selu` has the default constants only, in one kernel;
    others take two.

    Examples
    --------
    >>> selu(torch.tensor([-torch.inf, 0.0, 1.0]))
    tensor([-1.7581,  0.0000,  1.0507])
    """
    alpha = _checks.finite("selu", "alpha", alpha)
    scale = _checks.finite("selu", "scale", scale)
    z = _real_tensor("selu", "z", z)
    if (alpha, scale) == (SELU_ALPHA, SELU_SCALE):
        return F.selu(z)
    return scale * F.elu(z, alpha)


def _real_tensor(function, name, value):
    """Return `value` as a floating-point tensor; integers become the default float."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{function}: `{name}` must be a torch.Tensor; got "
            f"{type(value).__name__}. Pass torch.as_tensor({name})."
        )
    if value.is_floating_point():
        return value
    if value.is_complex():
        raise TypeError(
            f"{function}: `{name}` must hold real numbers; got dtype {value.dtype}."
        )
    return value.to(torch.get_default_dtype())
