r"""Activation functions and their derivatives as parts of Triton kernels.

All compute in float32, whatever the tensors hold.  `NAME` is known when a kernel is
compiled: each kernel holds the code of one activation.  p and q are its parameters, as
in the table of :mod:`companion.torch.kernels`.
"""

import triton
import triton.language as tl

#: With which each kernel is started: a product and a sum may be rounded once, together.
#: Triton's own default differs between versions.
OPTIONS = {"enable_fp_fusion": True}

_TAIL = tl.constexpr(-0.35)  # below, e^z - 1 loses less than two bits
_SQRT_HALF = tl.constexpr(0.7071067811865476)
_DENSITY_AT_0 = tl.constexpr(0.3989422804014327)  # of the standard normal


@triton.jit
def value(z, p, q, NAME: tl.constexpr):
    """Return the activation of z."""
    if NAME == "relu":
        return tl.where(z <= 0, 0.0, z)  # nan stays nan
    elif NAME == "leaky_relu":
        return tl.where(z <= 0, p * z, z)
    elif NAME == "elu":
        return tl.where(z <= 0, p * expm1(z), z)
    elif NAME == "selu":
        return q * tl.where(z <= 0, p * expm1(z), z)
    elif NAME == "logistic":
        return tl.sigmoid(z)
    elif NAME == "tanh":
        return tanh(z)
    elif NAME == "silu":
        return gate(z, tl.sigmoid(z))
    elif NAME == "gelu":
        return gate(z, 0.5 * (1 + tl.erf(z * _SQRT_HALF)))
    else:
        tl.static_assert(NAME == "identity")
        return z


@triton.jit
def slope(z, p, q, NAME: tl.constexpr):
    """Return the derivative at z; at a kink it is the one from the left."""
    if NAME == "relu":
        return tl.where(z <= 0, 0.0, 1.0)
    elif NAME == "leaky_relu":
        return tl.where(z > 0, 1.0, p)
    elif NAME == "elu":
        return tl.where(z > 0, 1.0, p * tl.exp(tl.minimum(z, 0.0)))
    elif NAME == "selu":
        return q * tl.where(z > 0, 1.0, p * tl.exp(tl.minimum(z, 0.0)))
    elif NAME == "logistic":
        return tl.sigmoid(z) * tl.sigmoid(-z)
    elif NAME == "tanh":
        return 4 * tl.sigmoid(2 * z) * tl.sigmoid(-2 * z)
    elif NAME == "silu":
        return tl.sigmoid(z) + gate(z, tl.sigmoid(z) * tl.sigmoid(-z))
    elif NAME == "gelu":
        below = 0.5 * (1 + tl.erf(z * _SQRT_HALF))
        return below + gate(z, tl.exp(-0.5 * z * z) * _DENSITY_AT_0)
    else:
        tl.static_assert(NAME == "identity")
        return z * 0 + 1


@triton.jit
def expm1(z):
    """Return e^z - 1 for z <= 0, anything finite above.

    Near 0 the difference cancels; there it is the Taylor polynomial of degree 8, whose
    remainder is below 0.35^8 / 9!, 6e-10 of the result.
    """
    t = tl.maximum(tl.minimum(z, 0.0), _TAIL)
    series = 1 + t / 8
    series = 1 + t / 7 * series
    series = 1 + t / 6 * series
    series = 1 + t / 5 * series
    series = 1 + t / 4 * series
    series = 1 + t / 3 * series
    series = 1 + t / 2 * series
    return tl.where(z < _TAIL, tl.exp(tl.minimum(z, 0.0)) - 1, t * series)


@triton.jit
def tanh(z):
    """Return (1 - e^(-2 |z|)) / (1 + e^(-2 |z|)), with the sign of z."""
    t = expm1(-2 * tl.abs(z))
    size = -t / (t + 2)
    return tl.where(z < 0, -size, tl.where(z == z, size, z))


@triton.jit
def gate(z, share):
    """Return z times its share, the limit 0 where that has become 0."""
    return tl.where(share == 0, 0.0, z * share)
