r"""Random weights whose variance keeps a signal alive, in PyTorch.

Each function fills a tensor in place, a ``torch.nn.Parameter`` too, and returns it;
autograd does not see it.  The mean is 0 and the variance ``scale / fan``.

**The fans are read in PyTorch's layout, which is not NumPy's.**
``torch.nn.Linear`` keeps its weights as ``(fan_out, fan_in)`` and a convolution as
``(channels_out, channels_in, *field)``: outputs first, inputs second.  (A transposed
convolution has them the other way round: pass ``weight.transpose(0, 1)``.)  Each
fan counts the receptive field's size times the channels.

float16 and bfloat16 weights are drawn in float32 and then rounded.
"""

import math

import torch

from companion import _checks
from companion.initializers import DISTRIBUTIONS, MODES, TRUNCATED_STD, fan, recommended


def variance_scaling_(
    tensor, *, scale=1.0, mode="fan_in", distribution="normal", generator=None
):
    r"""Fill a tensor with weights of mean 0 and variance ``scale / fan``.

    .. math:: \operatorname{Var}(W) = \frac{\text{scale}}{n}, \qquad
       n \in \left\{ n_\text{in},\ n_\text{out},\
       \tfrac12 (n_\text{in} + n_\text{out}) \right\}

    Parameters
    ----------
    tensor : torch.Tensor of floats, shape (fan_out, fan_in, *field)
        **PyTorch's layout, outputs first**: the weight of a ``torch.nn.Linear`` or
        of a convolution as it is.
    scale : float, above 0
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"normal", "truncated_normal", "uniform"}
        The truncated normal is cut at two standard deviations and widened so that
        its variance is still ``scale / fan``; the uniform has the limit
        :math:`\sqrt{3\,\text{scale}/n}`.
    generator : torch.Generator, optional
        On the device of `tensor`.  Without one, PyTorch's global generator is used.

    Returns
    -------
    torch.Tensor
        `tensor` itself.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> layer = torch.nn.Linear(in_features=400, out_features=100)
    >>> g = torch.Generator().manual_seed(0)
    >>> w = variance_scaling_(layer.weight, scale=2.0, generator=g)
    >>> f"{400 * w.var().item():.1f}"
    '2.0'
    """
    scale = _checks.finite("variance_scaling_", "scale", scale, above=0)
    _checks.one_of("variance_scaling_", "mode", mode, MODES)
    _checks.one_of("variance_scaling_", "distribution", distribution, DISTRIBUTIONS)
    _check_generator("variance_scaling_", generator)
    n_outputs, n_inputs, *field = _weight_shape("variance_scaling_", tensor)
    std = math.sqrt(scale / fan((*field, n_inputs, n_outputs), mode))
    with torch.no_grad():
        dtype = torch.promote_types(tensor.dtype, torch.float32)
        draw = tensor if tensor.dtype == dtype else tensor.to(dtype)
        if distribution == "uniform":
            limit = math.sqrt(3) * std
            draw.uniform_(-limit, limit, generator=generator)
        elif distribution == "normal":
            draw.normal_(0, std, generator=generator)
        else:
            _truncated_normal_(draw, generator).mul_(std / TRUNCATED_STD)
        return tensor.copy_(draw)


def _check_generator(function, generator):
    """Require that `generator` is one of PyTorch's, or none."""
    # Older versions of PyTorch cannot compile `torch.Generator | None`.
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            f"{function}: `generator` must be a torch.Generator or None; got "
            f"{type(generator).__name__}. "
            "Pass generator=torch.Generator().manual_seed(seed)."
        )


def _weight_shape(function, tensor):
    """Return the shape of `tensor` if its first two axes can be (fan_out, fan_in)."""
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        dtype = getattr(tensor, "dtype", type(tensor).__name__)
        raise TypeError(
            f"{function}: `tensor` must be a floating-point torch.Tensor; got {dtype}."
        )
    if tensor.ndim < 2 or 0 in tensor.shape:
        raise ValueError(
            f"{function}: `tensor` must have at least two axes, (fan_out, fan_in) "
            f"first, and none of size 0; got shape {tuple(tensor.shape)}."
        )
    return tensor.shape


def _truncated_normal_(tensor, generator):
    r"""Fill `tensor` from N(0, 1) cut off at -2 and 2.

    The inverse of the distribution function, :math:`\sqrt2 \operatorname{erf}^{-1}`,
    of a uniform number: no draw is rejected, so nothing waits for the device.
    """
    edge = math.erf(math.sqrt(2))
    tensor.uniform_(-edge, edge, generator=generator)
    return tensor.erfinv_().mul_(math.sqrt(2))


def glorot_uniform_(tensor, *, generator=None):
    r"""Fill from :math:`U(\pm\sqrt{6/(n_\text{in} + n_\text{out})})`.

    Variance 1/fan_avg: Glorot & Bengio (2010), eq. 16.  Arguments (the layout is
    PyTorch's), result and errors are those of :func:`variance_scaling_`.

    Examples
    --------
    >>> w = glorot_uniform_(torch.empty(50, 100))
    >>> bool(w.abs().max() <= 0.2)
    True
    """
    return variance_scaling_(
        tensor, mode="fan_avg", distribution="uniform", generator=generator
    )


def glorot_normal_(tensor, *, generator=None):
    """Fill from a normal distribution of variance 1/fan_avg.

    Glorot & Bengio (2010), eq. 12.  Arguments (the layout is PyTorch's), result and
    errors are those of :func:`variance_scaling_`.

    Examples
    --------
    >>> glorot_normal_(torch.empty(50, 100)).shape
    torch.Size([50, 100])
    """
    return variance_scaling_(tensor, mode="fan_avg", generator=generator)


def he_uniform_(tensor, *, generator=None):
    r"""Fill from :math:`U(\pm\sqrt{6/n_\text{in}})`, variance 2/fan_in.

    He et al. (2015), eq. 10, give the variance.  Arguments (the layout is
    PyTorch's), result and errors are those of :func:`variance_scaling_`.

    Examples
    --------
    >>> w = he_uniform_(torch.empty(50, 600))
    >>> bool(w.abs().max() <= 0.1)
    True
    """
    return variance_scaling_(
        tensor, scale=2.0, distribution="uniform", generator=generator
    )


def he_normal_(tensor, *, generator=None):
    """Fill from a normal distribution of variance 2/fan_in.

    He et al. (2015), eq. 10.  Arguments (the layout is PyTorch's), result and errors
    are those of :func:`variance_scaling_`.

    Examples
    --------
    >>> he_normal_(torch.empty(50, 100)).shape
    torch.Size([50, 100])
    """
    return variance_scaling_(tensor, scale=2.0, generator=generator)


def he_avg_uniform_(tensor, *, generator=None):
    """Fill from a uniform distribution of variance 2/fan_avg.

    He's scale with Glorot's fan.  Arguments (the layout is PyTorch's), result and
    errors are those of :func:`variance_scaling_`.

    Examples
    --------
    >>> he_avg_uniform_(torch.empty(50, 100)).shape
    torch.Size([50, 100])
    """
    return variance_scaling_(
        tensor,
        scale=2.0,
        mode="fan_avg",
        distribution="uniform",
        generator=generator,
    )


def lecun_uniform_(tensor, *, generator=None):
    r"""Fill from :math:`U(\pm\sqrt{3/n_\text{in}})`, variance 1/fan_in.

    LeCun et al. (1998), eq. 16, give the variance.  Arguments (the layout is
    PyTorch's), result and errors are those of :func:`variance_scaling_`.

    Examples
    --------
    >>> w = lecun_uniform_(torch.empty(50, 300))
    >>> bool(w.abs().max() <= 0.1)
    True
    """
    return variance_scaling_(tensor, distribution="uniform", generator=generator)


def lecun_normal_(tensor, *, generator=None):
    """Fill from a normal distribution of variance 1/fan_in.

    LeCun et al. (1998), eq. 16.  Arguments (the layout is PyTorch's), result and
    errors are those of :func:`variance_scaling_`.

    Examples
    --------
    >>> lecun_normal_(torch.empty(50, 100)).shape
    torch.Size([50, 100])
    """
    return variance_scaling_(tensor, generator=generator)


def orthogonal_(tensor, *, gain=1.0, generator=None):
    r"""Fill with a matrix that keeps lengths, evenly among all such matrices.

    .. math:: W^T W = g^2 I \quad (n_\text{in} \le n_\text{out}), \qquad
       W W^T = g^2 I \quad (n_\text{in} \ge n_\text{out})

    Parameters
    ----------
    tensor : torch.Tensor of floats, shape (fan_out, fan_in, *field)
        **PyTorch's layout, outputs first**; of a convolution all axes but the first
        one count as inputs.
    gain : float, above 0
        :math:`g`; the variance of an entry is :math:`g^2` over the larger side.
    generator : torch.Generator, optional
        On the device of `tensor`.  Without one, PyTorch's global generator is used.

    Returns
    -------
    torch.Tensor
        `tensor` itself.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    Saxe et al. (2014), section 3, and the algorithm of
    :func:`companion.initializers.orthogonal`; :math:`W` is that function's
    transposed, as the layout is.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> w = orthogonal_(torch.empty(3, 4), gain=2.0, generator=g)
    >>> bool(torch.allclose(w @ w.T, 4 * torch.eye(3), atol=1e-5))
    True
    """
    gain = _checks.finite("orthogonal_", "gain", gain, above=0)
    _check_generator("orthogonal_", generator)
    rows, *others = _weight_shape("orthogonal_", tensor)
    columns = math.prod(others)
    with torch.no_grad():
        dtype = torch.promote_types(tensor.dtype, torch.float32)
        draw = torch.empty(rows, columns, dtype=dtype, device=tensor.device)
        draw.normal_(generator=generator)
        q, r = torch.linalg.qr(draw if rows >= columns else draw.T)
        q = gain * torch.where(r.diagonal() < 0, -q, q)
        return tensor.copy_((q if rows >= columns else q.T).reshape(tensor.shape))


def for_activation(name, distribution="normal"):
    """Return the initializer that is recommended for the layers before an activation.

    The recommendation, `name`, `distribution` and errors are those of
    :func:`companion.initializers.for_activation`.

    Returns
    -------
    function of (tensor, generator)

    Examples
    --------
    >>> for_activation("relu").__name__, for_activation("tanh", "uniform").__name__
    ('he_normal_', 'glorot_uniform_')
    """
    return globals()[recommended("for_activation", name, distribution) + "_"]
