r"""A normal variable, cut at 0: the integrals behind the moments of SELU.

Every moment of :math:`\operatorname{selu}(z)`, :math:`z \sim N(m, v)`, is made of
powers of :math:`z` over :math:`z > 0` and exponentials of it over :math:`z < 0`.  With
:math:`x = m / \sqrt{v}` and the normal density :math:`\varphi`, they are
:math:`\varphi(x)` times Mills' ratio

.. math:: M(y) = \frac{1 - \Phi(y)}{\varphi(y)} = \int_0^\infty e^{-yt - t^2/2}\, dt

and its relatives.  The usual way to write them, as an exponential times the error
function, is infinity times 0 for large arguments.  Mills' ratio is about 1 / y there.
Chapter *Self-normalization*.
"""

import math
from dataclasses import dataclass

import numpy as np

from companion.activations import _erfc

_SMALL = 0.5  # standard deviations below it use a series, of so many terms:
_TERMS = 36  # (2 * 0.5)**36 / 36!! is below 1e-20
_SWITCH = 2.5  # from there on Mills' ratio is a continued fraction, of so many steps:
_STEPS = 80  # its error is near exp(-1.6 * 2.5 * sqrt(80))


@dataclass(frozen=True, eq=False)
class Halves:
    r"""The two halves of :math:`z \sim N(m, v)`, as arrays.

    Attributes
    ----------
    density : :math:`\varphi(m / \sqrt{v})`
    positive : :math:`\operatorname{E}[z^k; z > 0]`, for k = 0, 1, 2
    tilted : :math:`\operatorname{E}[e^{kz}; z < 0]`, for k = 0, 1, 2
    bent : :math:`\operatorname{E}[(e^z - e^r)^k; z < 0]`, for k = 1, 2
        With :math:`r = \min(m, 0)`, where the exponential branch is nearest the mean.
    """

    density: np.ndarray
    positive: tuple[np.ndarray, ...]
    tilted: tuple[np.ndarray, ...]
    bent: tuple[np.ndarray, ...]


def halves(m, v):
    """Return the :class:`Halves` of N(m, v), for float64 arrays of one shape."""
    s = np.sqrt(v)
    x = m / s
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    e0, e1, e2 = (_tilted(k, m, v, x + k * s, density) for k in range(3))
    e = np.exp(np.minimum(m, 0))
    # For a small variance these differences cancel, and a series does not.
    direct = e1 - e * e0, e2 - 2 * e * e1 + e**2 * e0
    w1, w2 = _series(m, np.minimum(s, _SMALL), x, e0, density)
    bent = (
        np.where(s < _SMALL, e * w1, direct[0]),
        np.where(s < _SMALL, e**2 * w2, direct[1]),
    )
    return Halves(density, _positive(m, s, x, density), (e0, e1, e2), bent)


def mills(y):
    r"""Return :math:`K_0 = M(y), K_1, K_2` for :math:`y \ge 0`.

    .. math:: K_j(y) = \frac{1}{j!} \int_0^\infty t^j e^{-yt - t^2/2}\, dt,
       \qquad (j + 1)\, K_{j+1} = K_{j-1} - y K_j, \quad K_{-1} = 1

    For small y the recurrence starts from the error function.  For large y it would
    subtract nearly equal numbers.  Downwards it only adds: as a continued fraction
    for the ratios of neighbors.
    """
    small = np.minimum(y, _SWITCH)
    k0 = math.sqrt(math.pi / 2) * np.exp(small**2 / 2) * _erfc(small / math.sqrt(2))
    k1 = 1 - small * k0
    upwards = k0, k1, (k0 - small * k1) / 2
    if (y < _SWITCH).all():
        return upwards
    r0, r1, r2 = neighbors(np.maximum(y, _SWITCH), _STEPS)
    pairs = zip(upwards, (r0, r0 * r1, r0 * r1 * r2), strict=True)
    return tuple(np.where(y < _SWITCH, *pair) for pair in pairs)


def neighbors(y, steps):
    """Return the ratios K_j / K_{j-1} for j = 0, 1, 2; y is an array or a Decimal."""
    ratios = [0 * y]
    for j in range(steps, -1, -1):
        ratios.append(1 / (y + (j + 1) * ratios[-1]))
    return ratios[:-4:-1]


def _tilted(k, m, v, y, density):
    """Return E[exp(kz); z < 0]: a factor times the mass of N(m + kv, v) below 0."""
    below = np.exp(np.minimum(k * m + k**2 * v / 2, 0)) * _erfc(y / math.sqrt(2)) / 2
    return np.where(y < 0, below, density * mills(np.maximum(y, 0))[0])


def _positive(m, s, x, density):
    """Return E[z**k; z > 0] for k = 0, 1, 2."""
    k0, k1, k2 = mills(np.maximum(-x, 0))
    mass = _erfc(-x / math.sqrt(2)) / 2
    above = mass, m * mass + s * density, (m**2 + s**2) * mass + m * s * density
    below = density * k0, s * density * k1, 2 * s**2 * density * k2
    return tuple(np.where(x < 0, *pair) for pair in zip(below, above, strict=True))


def _series(m, s, x, mass, density):
    r"""Return E[(e^w - 1)^k; z < 0] for k = 1, 2, where w = z - min(m, 0) is small.

    .. math:: e^w - 1 = \sum_{j \ge 1} \frac{w^j}{j!}, \qquad
       (e^w - 1)^2 = \sum_{j \ge 2} (2^j - 2) \frac{w^j}{j!}

    The powers of w over :math:`w < q` follow from each other by partial integration.
    """
    p = np.maximum(m, 0)  # the mean of w
    q = np.minimum(-np.minimum(m, 0), 40 * s)  # beyond 40 s the density is 0
    before, power = 0, mass
    first = second = 0
    for j in range(1, _TERMS):
        edge = s * density * q ** (j - 1)
        before, power = power, p * power + (j - 1) * s**2 * before - edge
        first = first + power / math.factorial(j)
        second = second + (2**j - 2) * power / math.factorial(j)
    return first, second
