r"""Layers that move less memory on a GPU: several steps in one kernel.

An activation reads and writes each number once and computes little in between: on a GPU
its time is that of the memory.  So steps that follow each other are *fused*: what one
hands to the next never leaves the chip.  :func:`selu_alpha_dropout` also draws its mask
twice instead of storing it, and :class:`BatchNormActivation` computes its activation
again on the way back.

Kernels, written in Triton, are chosen where the tensor is on an NVIDIA GPU, Triton is
installed, and the dtype is float16, bfloat16 or float32; see :func:`applies`.  All
arithmetic is float32.  Everywhere else the same steps run one after the other, by the
other modules of :mod:`companion.torch`.  Values agree up to rounding.

The kernels are deterministic: they have no atomic additions, and the same inputs and
the same seed give the same bits, with ``torch.use_deterministic_algorithms(True)`` and
without.  ``torch.compile`` takes each of them as one step, and draws a new mask at each
call; a generator of your own breaks its graph in two there.  In a CUDA graph a mask is
new at each replay; a generator of your own has to be made known to the graph, by
``torch.cuda.CUDAGraph.register_generator_state``.
"""

import torch

from companion import _checks
from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.dropout import _dropped_value, _point, alpha_dropout_affine
from companion.normalization import _axis, _enough
from companion.torch import activations, dropout
from companion.torch._fused import activate_and_drop, applies
from companion.torch._fused_columns import map_and_activate, normalize_and_activate
from companion.torch.activations import _real_tensor
from companion.torch.normalization import BatchNorm

__all__ = [
    "ACTIVATIONS",
    "BatchNormActivation",
    "SELUAlphaDropout",
    "applies",
    "bias_activation",
    "selu",
    "selu_alpha_dropout",
]

#: Each activation that can be fused, and its constants with their defaults.
ACTIVATIONS = {
    "identity": {},
    "relu": {},
    "leaky_relu": {"alpha": 0.01},
    "elu": {"alpha": 1.0},
    "selu": {"alpha": SELU_ALPHA, "scale": SELU_SCALE},
    "logistic": {},
    "tanh": {},
    "silu": {},
    "gelu": {},
}


def selu(z, alpha=SELU_ALPHA, scale=SELU_SCALE):
    r"""Compute SELU in one kernel, whatever its constants.

    Arguments, result and errors are those of :func:`companion.torch.activations.selu`,
    which takes two for constants of your own.

    Examples
    --------
    >>> selu(torch.tensor([-torch.inf, 0.0, 1.0]))
    tensor([-1.7581,  0.0000,  1.0507])
    """
    z = _real_tensor("selu", "z", z)
    constants = _constants("selu", "selu", {"alpha": alpha, "scale": scale})
    if not applies(z):
        return activations.selu(z, **constants)
    return activate_and_drop(z, None, "selu", *_two(constants), 0, 0.0, 1.0, 0.0)


def selu_alpha_dropout(
    z,
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
    r"""Compute SELU and alpha dropout in one kernel, which stores no mask.

    .. math::

       y = a\,\bigl(d\,\operatorname{selu}(z) + (1 - d)\,\alpha'\bigr) + b,
       \qquad \alpha' = -\lambda\alpha, \quad d \sim B(1, q), \quad q = 1 - \text{rate}

    Parameters
    ----------
    z : torch.Tensor of real numbers, any shape
    rate, generator, training, mask, alpha, scale, mean, var
        Those of :func:`companion.torch.dropout.alpha_dropout`.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `z`

    Raises
    ------
    TypeError, ValueError
        As for :func:`companion.torch.dropout.alpha_dropout`.

    Notes
    -----
    The mask is a function of one number of 64 bits, drawn from the generator, and of
    the place of an element in memory.  That number is all that is kept for the backward
    pass, beside `z`.  With a `mask` the two functions run one after the other.

    Klambauer et al. (2017), equations 2 and 5.

    Examples
    --------
    >>> mask = torch.tensor([True, True, False])
    >>> selu_alpha_dropout(torch.tensor([0.0, 1.0, 2.0]), 0.1, mask=mask)
    tensor([ 0.1620,  1.1300, -1.4577])
    """
    name = "selu_alpha_dropout"
    point = _point(name, alpha, scale, mean, var)
    z, rate, *_ = dropout._arguments(name, z, rate, generator, training, mask)
    constants = {"alpha": point["alpha"], "scale": point["scale"]}
    if rate == 0:
        return selu(z, **constants)
    if mask is not None or not applies(z):
        y = activations.selu(z, **constants)
        options = {"generator": generator, "mask": mask}
        return dropout.alpha_dropout(y, rate, **options, **point)
    kept, rate = dropout._levels(rate)
    affine = alpha_dropout_affine(rate, **point)
    seed = dropout._seed(z, generator)
    return activate_and_drop(
        z, seed, "selu", *_two(constants), kept, _dropped_value(point), *affine
    )


def bias_activation(x, bias, activation="relu", *, axis=-1, **constants):
    r"""Add a bias for each feature, and apply an activation, in one kernel.

    .. math:: y = f(x + b)

    Parameters
    ----------
    x : torch.Tensor of real numbers, two axes or more
        Features are on `axis`.
    bias : torch.Tensor, shape (n_features,)
    activation : str
        A name in :data:`ACTIVATIONS`.
    axis : {-1, 1}
        1 for images of shape (n, n_features, height, width).
    **constants : float
        Those of the activation, by default the ones in :data:`ACTIVATIONS`.

    Returns
    -------
    torch.Tensor, the shape, device and float dtype of `x`

    Raises
    ------
    TypeError
        If `x` or `bias` is not a tensor, or complex, or a constant is not a number or
        not one of this activation.
    ValueError
        If a shape, the axis or the activation is another, or a constant not finite.

    Examples
    --------
    >>> x, bias = torch.tensor([[1.0, -2.0]]), torch.tensor([1.0, 1.0])
    >>> bias_activation(x, bias, "leaky_relu", alpha=0.5)
    tensor([[ 2.0000, -0.5000]])
    """
    name = "bias_activation"
    x, bias = _real_tensor(name, "x", x), _real_tensor(name, "bias", bias)
    axis = _axis(name, axis)
    constants = _constants(name, activation, constants)
    if x.ndim < 2 or bias.shape != (x.shape[axis],):
        raise ValueError(
            f"{name}: `bias` must have one entry for each feature of `x`, on axis "
            f"{axis}; got shapes {tuple(bias.shape)} and {tuple(x.shape)}."
        )
    if applies(x):
        bias = bias.to(torch.float32)
        arguments = activation, *_two(constants)
        return map_and_activate(x, None, None, bias, axis, *arguments)
    ones = (1,) * (x.ndim - 2 if axis == 1 else 0)
    return _plain(activation, x + bias.to(x.dtype).view(-1, *ones), constants)


class SELUAlphaDropout(dropout._Dropout):
    """Apply :func:`selu_alpha_dropout`; in ``eval()`` mode it is SELU.

    Parameters
    ----------
    rate, generator, alpha, scale, mean, var
        Those of :class:`companion.torch.dropout.AlphaDropout`.

    Examples
    --------
    >>> SELUAlphaDropout(0.1).eval()(torch.tensor([1.0, 2.0]))
    tensor([1.0507, 2.1014])
    """

    f = staticmethod(selu_alpha_dropout)

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
        point = _point("SELUAlphaDropout", alpha, scale, mean, var)
        super().__init__(rate, generator, **point)


class BatchNormActivation(BatchNorm):
    r"""Normalize each feature over the batch, scale, shift, and apply an activation.

    .. math:: y_i = f(\gamma \hat x_i + \beta)

    Parameters
    ----------
    n_features : int
    activation : str
        A name in :data:`ACTIVATIONS`.
    constants : dict of str to float, optional
        Those of the activation.
    **settings
        Those of :class:`companion.torch.normalization.BatchNorm`, whose attributes and
        errors it has.

    Notes
    -----
    For the backward pass the input and two statistics a feature are kept; the output of
    the normalization never exists.  Where the batch is that of several processes, the
    two steps run one after the other.

    Examples
    --------
    >>> layer = BatchNormActivation(1, "relu")
    >>> layer(torch.tensor([[1.0], [3.0]])).detach().round(decimals=3)
    tensor([[0.],
            [1.]])
    """

    def __init__(self, n_features, activation="relu", *, constants=None, **settings):
        super().__init__(n_features, **settings)
        constants = _constants("BatchNormActivation", activation, constants or {})
        self.activation, self.constants = activation, constants

    def forward(self, x):
        """Normalize by the batch in training, else by the running values; activate."""
        x = self._checked(x)
        if not applies(x) or self._group() is not None:
            return _plain(self.activation, super().forward(x), self.constants)
        gamma, beta = self.gamma.to(torch.float32), self.beta.to(torch.float32)
        f = self.activation, *_two(self.constants)
        if not self.training:
            mean, var = self.running_mean.float(), self.running_var.float()
            factor = gamma * (var + self.eps).rsqrt()
            return map_and_activate(x, mean, factor, beta, self.axis, *f)
        m = x.numel() // self.n_features
        _enough("BatchNorm.forward", m, self.unbiased)
        settings = self.axis, self.eps
        y, mean, var = normalize_and_activate(x, gamma, beta, *settings, *f)
        self._move(mean, var * (m / (m - 1)) if self.unbiased else var)
        return y

    def extra_repr(self):
        constants = "".join(f", {k}={v:g}" for k, v in self.constants.items())
        return f"{super().extra_repr()}, activation={self.activation!r}{constants}"


def _constants(function, activation, given):
    """Return all constants of an activation, given ones in place of others."""
    _checks.one_of(function, "activation", activation, tuple(ACTIVATIONS))
    defaults = ACTIVATIONS[activation]
    for name in given:
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise TypeError(
                f"{function}: constants of {activation!r} must be its own ({known}); "
                f"got `{name}`."
            )
    values = defaults | given
    return {k: _checks.finite(function, k, v) for k, v in values.items()}


def _two(constants):
    """Return the parameters p and q of a kernel."""
    p, q, *_ = *constants.values(), 0.0, 0.0
    return p, q


def _plain(activation, z, constants):
    """Apply an activation by its name."""
    if activation == "identity":
        return z
    return getattr(activations, activation)(z, **constants)
