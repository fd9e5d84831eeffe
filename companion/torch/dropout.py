r"""Dropout in PyTorch, with the values and derivatives of the reference.

Each function takes a ``torch.Tensor`` of any shape and returns one of the same shape,
on the same device: float16, bfloat16, float32 and float64 stay what they are, integers
become ``torch.get_default_dtype()``.  See :mod:`companion.dropout` for the functions
themselves.  The classes at the end are the same functions as modules.

A mask is drawn from 16 random bits for each element, four elements at a time: that is
much faster than one floating-point number for each.  A rate is therefore rounded
to a multiple of 1/65536, but neither to 0 nor to 1 unless it is 0: a unit may be
dropped, and may be kept, at every other rate.  The scaling is that of the rounded rate,
so that mean and variance are kept exactly.  With a `mask` no rate is rounded.
"""

import torch

from companion import _checks
from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.dropout import _dropped_value, _point, _rate, alpha_dropout_affine
from companion.torch._fused import activate_and_drop, applies
from companion.torch.activations import _Activation, _real_tensor
from companion.torch.initializers import _check_generator

_LEVELS = 2**16  # of a random number, and so of a rate
_WORDS = -(2**63), 2**63 - 1  # four of those numbers; the end is left out
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by their size in bytes


def dropout(x, rate, *, generator=None, training=True, mask=None):
    r"""Set each unit to 0 with probability `rate`, and scale up the others.

    .. math:: \operatorname{dropout}(x) = \frac{d\,x}{q}, \qquad
       d \sim B(1, q), \quad q = 1 - \text{rate}

    Parameters
    ----------
    x : torch.Tensor of real numbers, any shape
    rate : float in [0, 1)
        The probability of dropping a unit.
    generator : torch.Generator, optional
        On the device of `x`.  Without one, PyTorch's global generator is used.
    training : bool
        Otherwise, and at rate 0, `x` comes back as it is.
    mask : torch.Tensor of bool that broadcasts to the shape of `x`, optional
        True where a unit is kept.  Drawn for each element if there is none.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `x`
        A dropped unit is 0, even where `x` is nan or infinite.

    Raises
    ------
    TypeError
        If `x` is not a tensor, or complex, `rate` is not a number, `training` is not a
        bool, `mask` is not a boolean tensor, or `generator` is something else.
    ValueError
        If `rate` is not in [0, 1), or `mask` has another shape.

    Notes
    -----
    :func:`torch.nn.functional.dropout` knows only the global generator, multiplies a
    dropped nan or infinity by 0, which gives nan, and accepts rate 1.

    Examples
    --------
    >>> mask = torch.tensor([True, True, False])
    >>> dropout(torch.tensor([1.0, 2.0, torch.nan]), 0.5, mask=mask)
    tensor([2., 4., 0.])
    """
    arguments = _arguments("dropout", x, rate, generator, training, mask)
    return _drop(*arguments, lambda rate: (0.0, 1 / (1 - rate), 0.0))


def alpha_dropout(
    x,
    rate,
    *,
    generator=None,
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
    x, rate, generator, training, mask
        Those of :func:`dropout`.
    alpha, scale : float
        :math:`\alpha` and :math:`\lambda` of the SELU before it.
    mean, var : float
        The mean :math:`\mu` and the variance :math:`\nu > 0` of `x`, which are kept:
        the fixed point of the net.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `x`
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
    :func:`torch.nn.functional.alpha_dropout` has the default constants only, knows only
    the global generator, multiplies a dropped nan or infinity by 0, which gives nan,
    and accepts rate 1.

    Examples
    --------
    >>> mask = torch.tensor([True, True, False])
    >>> alpha_dropout(torch.tensor([1.0, -1.0, torch.nan]), 0.1, mask=mask)
    tensor([ 1.0833, -0.7593, -1.4577])
    """
    point = _point("alpha_dropout", alpha, scale, mean, var)
    arguments = _arguments("alpha_dropout", x, rate, generator, training, mask)
    value = _dropped_value(point)
    return _drop(*arguments, lambda rate: (value, *alpha_dropout_affine(rate, **point)))


def _drop(x, rate, generator, mask, constants):
    r"""Compute :math:`a (d x + (1 - d) v) + b`, all that dropout and alpha dropout do.

    `constants` returns v, a and b for a rate: v is the value of a dropped unit.
    """
    if rate == 0:
        return x
    if mask is not None:
        return _Masked.apply(x, -mask.to(torch.int16), *constants(rate))
    kept, rate = _levels(rate)
    if applies(x):
        seed = _seed(x, generator)
        none = "identity", 0.0, 0.0
        return activate_and_drop(x, seed, *none, kept, *constants(rate))
    return _Masked.apply(x, _draw(x, kept, generator), *constants(rate))


class _Masked(torch.autograd.Function):
    r"""Compute :math:`a (d x + (1 - d) v) + b` as :math:`a d (x - v) + (a v + b)`.

    `bits` is -1, all ones, where a unit is kept and 0 elsewhere: of what is dropped all
    bits are set to 0, of nan and infinity too.  On a CPU that is several times as fast
    as ``torch.where``.
    """

    @staticmethod
    def forward(x, bits, value, a, b):
        y = x - value
        y.view(_INTEGERS[x.element_size()]).bitwise_and_(bits)
        return y.mul_(a).add_(a * value + b)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, bits, _, ctx.a, _ = inputs
        ctx.save_for_backward(bits)

    @staticmethod
    def backward(ctx, dy):
        (bits,) = ctx.saved_tensors
        return _Masked.apply(dy, bits, 0.0, ctx.a, 0.0), None, None, None, None


def _levels(rate):
    """Return how many of 65536 numbers stand for a unit that is kept, and the rate."""
    kept = min(max(round((1 - rate) * _LEVELS), 1), _LEVELS - 1)
    return kept, 1 - kept / _LEVELS


def _draw(x, kept, generator):
    """Return -1 for each element of `x` that is kept, else 0."""
    words = _words(-(-x.numel() // 4), x, generator)
    numbers = words.view(torch.int16)[: x.numel()].view(x.shape)
    if torch.compiler.is_compiling():  # which does that in place, and where it may
        return -(numbers < kept - _LEVELS // 2).to(torch.int16)
    return numbers.lt_(kept - _LEVELS // 2).neg_()


def _seed(x, generator):
    """Return an integer that a mask is made of."""
    return _words(1, x, generator)


def _words(n, x, generator):
    """Draw integers of 64 bits on the device of `x`.

    Where ``torch.randint`` is given a generator, be it None, it takes no size that a
    compiler has left open.
    """
    source = {} if generator is None else {"generator": generator}
    return torch.randint(*_WORDS, (n,), device=x.device, **source)


def _arguments(function, x, rate, generator, training, mask):
    """Return `x`, the rate that applies, the generator and the mask, all checked."""
    x = _real_tensor(function, "x", x)
    rate = _rate(function, rate)
    _check_generator(function, generator)
    if not _checks.boolean(function, "training", training):
        rate = 0.0
    if mask is not None:
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
            got = getattr(mask, "dtype", type(mask).__name__)
            raise TypeError(
                f"{function}: `mask` must be a boolean torch.Tensor; got {got}. "
                "Pass mask.bool()."
            )
        _checks.broadcasts(function, "mask", mask.shape, x.shape)
    return x, rate, generator, mask


# --- as modules -----------------------------------------------------------------------
class _Dropout(_Activation):
    """Apply the function `f`, in training or not as ``train()`` and ``eval()`` say."""

    def __init__(self, rate, generator, **constants):
        name = type(self).__name__
        super().__init__(rate=_rate(name, rate), **constants)
        _check_generator(name, generator)
        self.generator = generator

    def forward(self, x):
        random = {"training": self.training, "generator": self.generator}
        return self.f(x, **self.arguments, **random)


class Dropout(_Dropout):
    """Apply :func:`dropout`, in training or not as ``train()`` and ``eval()`` say.

    Parameters
    ----------
    rate : float in [0, 1)
        Without a default, which is 0.5 in PyTorch's own.
    generator : torch.Generator, optional
        Without one, PyTorch's global generator is used.

    Raises
    ------
    TypeError, ValueError
        If `rate` is not a number in [0, 1), or `generator` is something else.

    Examples
    --------
    >>> Dropout(0.2).eval()(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    f = staticmethod(dropout)

    def __init__(self, rate, *, generator=None):
        super().__init__(rate, generator)


class AlphaDropout(_Dropout):
    """Apply :func:`alpha_dropout`, in training or not, likewise.

    Parameters
    ----------
    rate, generator
        Those of :class:`Dropout`.
    alpha, scale, mean, var : float
        Those of :func:`alpha_dropout`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`Dropout`, or if a constant is not finite or `var` not above 0.

    Examples
    --------
    >>> AlphaDropout(0.1).eval()(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    f = staticmethod(alpha_dropout)

    def __init__(
        self,
        rate,
        *,
        generator=None,
        alpha=SELU_ALPHA,
        scale=SELU_SCALE,
        mean=0.0,
        var=1.0,
    ):
        point = _point("AlphaDropout", alpha, scale, mean, var)
        super().__init__(rate, generator, **point)
