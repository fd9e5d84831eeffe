r"""Activation functions in PyTorch, with the values and derivatives of the reference.

Each takes a ``torch.Tensor`` of any shape and returns one of the same shape, on
the same device: float16, bfloat16, float32 and float64 stay what they are,
integers become ``torch.get_default_dtype()``, complex numbers and anything that
is not a tensor raise ``TypeError``.  At infinity each function returns its limit,
and nan stays nan.  The derivative is autograd's; at a kink it is the one from the
left :math:`(z \le 0)`.  Softsign, SiLU, GELU and Mish have derivatives of any order,
but not forward-mode ones.

Where PyTorch's own kernel does exactly this, it is called; see
:mod:`companion.activations` for the functions themselves.  The classes at the end are
the same functions as modules.
"""

import functools
import math

import torch
import torch.nn.functional as F

from companion import _checks
from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.torch.initializers import _check_generator


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
    :func:`torch.nn.functional.softsign` returns nan.

    Examples
    --------
    >>> softsign(torch.tensor([-torch.inf, 0.0, 3.0]))
    tensor([-1.0000,  0.0000,  0.7500])
    """
    return _Softsign.apply(_real_tensor("softsign", "z", z))


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
    return _leak(_real_tensor("leaky_relu", "z", z), alpha)


def prelu(z, alpha):
    r"""Pass positive numbers, and a learned part of the others.

    .. math::

       \operatorname{prelu}(z) =
       \begin{cases} z & z > 0 \\ \alpha z & z \le 0 \end{cases}

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape
    alpha : float, or torch.Tensor that broadcasts to the shape of `z`
        The slopes for negative z, and the derivative at the kink.  Autograd reaches a
        tensor: the derivative with respect to a slope is the sum of
        :math:`\min(z, 0)` over the elements that share it.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is not a tensor, or complex, or `alpha` is not real.
    ValueError
        If `alpha` is a number that is not finite, or has another shape.

    Notes
    -----
    :func:`torch.nn.functional.prelu` takes one slope, or one for each channel on axis
    1, and returns nan for minus infinity times a slope of 0.  :class:`PReLU` trains
    the slopes.

    Examples
    --------
    >>> prelu(torch.tensor([[-2.0, -2.0], [3.0, 0.0]]), torch.tensor([0.25, 0.5]))
    tensor([[-0.5000, -1.0000],
            [ 3.0000,  0.0000]])
    """
    z = _real_tensor("prelu", "z", z)
    if not isinstance(alpha, torch.Tensor):
        return _leak(z, _checks.finite("prelu", "alpha", alpha))
    alpha = _real_tensor("prelu", "alpha", alpha)
    _checks.broadcasts("prelu", "alpha", alpha.shape, z.shape)
    alpha = alpha.to(z.dtype)
    # A GPU would have to be waited for, and a compiler cannot know.
    known = alpha.device.type == "cpu" and not torch.compiler.is_compiling()
    return _leak(z, alpha, with_zero=not (known and alpha.all()))


def rrelu(z, lower=1 / 8, upper=1 / 3, *, training, generator=None):
    r"""Pass positive numbers, and a random part of the others.

    .. math::

       \operatorname{rrelu}(z) =
       \begin{cases} z & z > 0 \\ a z & z \le 0 \end{cases}
       \qquad a \sim U(\text{lower}, \text{upper})

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape
    lower, upper : float
        The ends of the slopes.
    training : bool
        In training each element has a slope of its own, drawn anew at every call;
        otherwise all have the mean, ``(lower + upper) / 2``.
    generator : torch.Generator, optional
        On the device of `z`.  Without one, PyTorch's global generator is used.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is not a tensor, or complex, a bound is not a number, `training` is not
        a bool, or `generator` is something else.
    ValueError
        If a bound is not finite, or `lower` is above `upper`.

    Notes
    -----
    :func:`torch.nn.functional.rrelu` knows only the global generator.  Slopes for
    float16 and bfloat16 are drawn in float32 and then rounded.

    Examples
    --------
    >>> rrelu(torch.tensor([-48.0, 0.0, 3.0]), training=False)
    tensor([-11.,   0.,   3.])
    >>> g = torch.Generator().manual_seed(0)
    >>> y = rrelu(-torch.ones(1000), training=True, generator=g)
    >>> bool(-1 / 3 <= y.min() < y.max() <= -1 / 8)
    True
    """
    z = _real_tensor("rrelu", "z", z)
    lower, upper = _checks.slope_range("rrelu", lower, upper)
    _check_generator("rrelu", generator)
    if not _checks.boolean("rrelu", "training", training):
        return _leak(z, (lower + upper) / 2)
    slopes = torch.empty_like(z, dtype=torch.promote_types(z.dtype, torch.float32))
    slopes.uniform_(lower, upper, generator=generator)
    return _leak(z, slopes.to(z.dtype), with_zero=lower <= 0 <= upper)


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


def celu(z, alpha=1.0):
    r"""Bend an ELU so that its slope has no jump, whatever its bound.

    .. math::

       \operatorname{celu}(z) =
       \begin{cases} z & z > 0 \\ \alpha (e^{z/\alpha} - 1) & z \le 0 \end{cases}

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape
    alpha : float, above 0
        Minus the limit at minus infinity.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`

    Raises
    ------
    TypeError
        If `z` is not a tensor, or complex, or `alpha` is not a number.
    ValueError
        If `alpha` is not finite and above 0.

    Notes
    -----
    The derivative at 0 is 1 from both sides.  :func:`torch.nn.functional.celu`.

    Examples
    --------
    >>> celu(torch.tensor([-torch.inf, 0.0, 2.0]), alpha=1.5)
    tensor([-1.5000,  0.0000,  2.0000])
    """
    alpha = _checks.finite("celu", "alpha", alpha, above=0.0)
    return F.celu(_real_tensor("celu", "z", z), alpha)


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


def softplus(z):
    r"""Round off the corner of ReLU.

    .. math:: \operatorname{softplus}(z) = \ln(1 + e^z)

    Arguments, result and errors are those of :func:`logistic`; smooth, ln 2 at 0 and
    never 0.  :func:`torch.nn.functional.softplus`, which by default returns z itself
    beyond 20 and there drops 2e-9, six digits of float64; beyond 40 nothing is lost.

    Examples
    --------
    >>> softplus(torch.tensor([-torch.inf, 0.0, 2.0]))
    tensor([0.0000, 0.6931, 2.1269])
    """
    return F.softplus(_real_tensor("softplus", "z", z), threshold=40)


def silu(z):
    r"""Let each number decide how much of it passes.

    .. math:: \operatorname{silu}(z) = z\,\sigma(z)

    Arguments, result and errors are those of :func:`logistic`; smooth, 0 at 0 and at
    minus infinity, with a minimum of about -0.28 near -1.28.
    :func:`torch.nn.functional.silu`, which returns nan at minus infinity, and whose
    derivative is nan at both; the pass over `z` that makes it finite takes as long.

    Examples
    --------
    >>> silu(torch.tensor([-torch.inf, 0.0, torch.inf]))
    tensor([-0., 0., inf])
    """
    return _Gated.apply(_real_tensor("silu", "z", z), "silu", {})


def gelu(z, approximate=False):
    r"""Let as much of a number pass as a standard normal one is likely to be below it.

    .. math::

       \operatorname{gelu}(z) = z\,\Phi(z), \qquad
       \Phi(z) = \tfrac12 \bigl(1 + \operatorname{erf}(z / \sqrt2)\bigr)

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape
    approximate : bool
        Replace :math:`\Phi(z)` by :math:`\frac12 \bigl(1 + \tanh u\bigr)` with
        :math:`u = \sqrt{2/\pi}\,(z + 0.044715 z^3)`.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`
        0 at 0 and at minus infinity, with a minimum of about -0.17 near -0.75;
        smooth everywhere.

    Raises
    ------
    TypeError
        If `z` is not a tensor, or complex, or `approximate` is not a bool.

    Notes
    -----
    :func:`torch.nn.functional.gelu`, but with a limit instead of nan at infinity, which
    takes passes over `z` that make it finite and put the limit back.  It computes both
    forms as they stand here: for negative z the sum cancels, and the error is about eps
    times z, not eps times the result.

    Examples
    --------
    >>> gelu(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.0000,  0.8413])
    >>> gelu(torch.tensor([-1.0, 0.0, 1.0]), approximate=True)
    tensor([-0.1588,  0.0000,  0.8412])
    """
    form = "tanh" if _checks.boolean("gelu", "approximate", approximate) else "none"
    return _Gated.apply(_real_tensor("gelu", "z", z), "gelu", {"approximate": form})


def mish(z):
    r"""Gate each number by the tanh of its softplus.

    .. math:: \operatorname{mish}(z) = z \tanh\bigl(\ln(1 + e^z)\bigr)

    Arguments, result and errors are those of :func:`logistic`; smooth, 0 at 0 and at
    minus infinity, with a minimum of about -0.31 near -1.19.
    :func:`torch.nn.functional.mish`, which returns nan at minus infinity, and whose
    derivative is nan at both.

    Examples
    --------
    >>> mish(torch.tensor([-torch.inf, 0.0, torch.inf]))
    tensor([-0., 0., inf])
    """
    return _Gated.apply(_real_tensor("mish", "z", z), "mish", {})


def _leak(z, slopes, with_zero=False):
    """Multiply what is not positive by a number or by a tensor of slopes.

    A slope of 0, which there may be `with_zero`, stops infinity too: its product would
    be nan.  The product then sees no positive number, since infinity would make the
    derivative of its slope nan.
    """
    if isinstance(slopes, float):
        return F.leaky_relu(z, slopes) if slopes else F.relu(z)
    if not with_zero:
        return _prelu(z, slopes)
    positive = z > 0
    stopped = positive | (z.isinf() & (slopes == 0))
    return torch.where(positive, z, slopes * z.masked_fill(stopped, 0))


def _prelu(z, slopes):
    """Call PyTorch's own, which takes one slope, or one for each place on axis 1."""
    if slopes.numel() == 1:
        return F.prelu(z, slopes.view(1))
    shape = (1,) * (z.ndim - slopes.ndim) + slopes.shape
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    if len(axes) == 1:
        (axis,) = axes
        rows = z.unsqueeze(0).movedim(axis + 1, 1)
        return F.prelu(rows, slopes.flatten()).movedim(1, axis + 1).squeeze(0)
    y = F.prelu(z.reshape(1, -1), slopes.expand(z.shape).flatten())
    return y.view(z.shape)


class _Softsign(torch.autograd.Function):
    """Compute softsign of infinity too, and keep nothing but the argument."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z):
        finite = z.nan_to_num(nan=math.nan)  # infinity becomes the largest number
        return finite.div_(finite.abs().add_(1))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        (z,) = ctx.saved_tensors
        divisor = z.abs().add_(1)
        return (dy / divisor).div_(divisor)  # whose square may be too large


class _Gated(torch.autograd.Function):
    """Compute z times a gate that opens from 0 to 1: far out it is ReLU.

    Beyond 1000 every gate is 0 or 1, in float64 too, and infinity times 0 would be
    nan, in the value or in the derivative: what PyTorch's own kernels see is finite.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z, name, form):
        doubles = form.get("approximate") == "none"  # z, on a CPU: infinity from half
        y = getattr(F, name)(z.clamp(-1000, 1000 if doubles else None), **form)
        return torch.maximum(y, F.threshold(z, 1000, -1)) if doubles else y

    @staticmethod
    def setup_context(ctx, inputs, output):
        z, ctx.name, ctx.form = inputs
        ctx.save_for_backward(z)

    @staticmethod
    def backward(ctx, dy):
        z = ctx.saved_tensors[0].clamp(-1000, 1000)
        if torch.is_grad_enabled():  # for a second derivative, which the kernel has not
            function = functools.partial(getattr(F, ctx.name), **ctx.form)
            (dz,) = torch.func.vjp(function, z)[1](dy)
        else:
            dz = getattr(torch.ops.aten, f"{ctx.name}_backward")(dy, z, **ctx.form)
        return dz, None, None


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


# --- as modules -----------------------------------------------------------------------
class _Activation(torch.nn.Module):
    """Apply the function `f` with the same arguments at each call."""

    def __init__(self, **arguments):
        super().__init__()
        self.arguments = arguments

    def forward(self, z):
        return self.f(z, **self.arguments)

    def extra_repr(self):
        return ", ".join(f"{name}={value}" for name, value in self.arguments.items())


class LeakyReLU(_Activation):
    """Apply :func:`leaky_relu` to every element.

    Examples
    --------
    >>> LeakyReLU(alpha=0.2)
    LeakyReLU(alpha=0.2)
    """

    f = staticmethod(leaky_relu)

    def __init__(self, alpha=0.01):
        super().__init__(alpha=_checks.finite("LeakyReLU", "alpha", alpha))


class PReLU(_Activation):
    """Apply :func:`prelu` with slopes that are trained.

    Parameters
    ----------
    n_channels : int
        1 for one slope and inputs of any shape, else the size of the input's axis 1,
        as in ``torch.nn.PReLU``, or of its only one.
    alpha : float
        Where the slopes start.

    Attributes
    ----------
    alpha : torch.nn.Parameter, shape (n_channels,)

    Raises
    ------
    TypeError, ValueError
        If `n_channels` is not a positive integer, or `alpha` not a finite number.

    Examples
    --------
    >>> layer = PReLU(n_channels=2)
    >>> layer(torch.tensor([[-4.0, 2.0]])).sum().backward()
    >>> layer.alpha.grad
    tensor([-4.,  0.])
    """

    def __init__(self, n_channels=1, alpha=0.25):
        n_channels = _checks.integer("PReLU", "n_channels", n_channels, minimum=1)
        super().__init__(n_channels=n_channels)
        alpha = _checks.finite("PReLU", "alpha", alpha)
        self.alpha = torch.nn.Parameter(torch.full((n_channels,), alpha))

    def forward(self, z):
        z = _real_tensor("PReLU", "z", z)
        shape = (-1, *(1,) * (z.ndim - 2)) if len(self.alpha) > 1 else ()
        return prelu(z, self.alpha.view(shape))


class RReLU(_Activation):
    """Apply :func:`rrelu`, in training or not as ``train()`` and ``eval()`` say.

    Parameters
    ----------
    lower, upper : float
        The ends of the slopes.
    generator : torch.Generator, optional
        Without one, PyTorch's global generator is used.

    Raises
    ------
    TypeError, ValueError
        If a bound is not a finite number, `lower` is above `upper`, or `generator` is
        something else.

    Examples
    --------
    >>> RReLU(0.25, 0.75).eval()(torch.tensor([-1.0, 2.0]))
    tensor([-0.5000,  2.0000])
    """

    def __init__(self, lower=1 / 8, upper=1 / 3, *, generator=None):
        lower, upper = _checks.slope_range("RReLU", lower, upper)
        super().__init__(lower=lower, upper=upper)
        _check_generator("RReLU", generator)
        self.generator = generator

    def forward(self, z):
        random = {"training": self.training, "generator": self.generator}
        return rrelu(z, **self.arguments, **random)


class ELU(_Activation):
    """Apply :func:`elu` to every element."""

    f = staticmethod(elu)

    def __init__(self, alpha=1.0):
        super().__init__(alpha=_checks.finite("ELU", "alpha", alpha))


class CELU(_Activation):
    """Apply :func:`celu` to every element."""

    f = staticmethod(celu)

    def __init__(self, alpha=1.0):
        super().__init__(alpha=_checks.finite("CELU", "alpha", alpha, above=0.0))


class SELU(_Activation):
    """Apply :func:`selu` to every element."""

    f = staticmethod(selu)

    def __init__(self, alpha=SELU_ALPHA, scale=SELU_SCALE):
        alpha = _checks.finite("SELU", "alpha", alpha)
        super().__init__(alpha=alpha, scale=_checks.finite("SELU", "scale", scale))


class GELU(_Activation):
    """Apply :func:`gelu` to every element."""

    f = staticmethod(gelu)

    def __init__(self, approximate=False):
        approximate = _checks.boolean("GELU", "approximate", approximate)
        super().__init__(approximate=approximate)
