r"""The map of mean and variance in interval arithmetic, and which extremes of it count.

For a normal z, :math:`\partial_m \operatorname{E} f = \operatorname{E} f'` and
:math:`\partial_v \operatorname{E} f = \frac12 \operatorname{E} f''`, where a jump of f
gives a spike of :math:`f'`.  So a few integrals give the map and all its derivatives
(:func:`expectations`).  Every other function here returns a quantity with its
derivatives by m and by v.  :mod:`companion.proofs` says what they prove.
"""

import functools
from fractions import Fraction


# --- the map and its derivatives ------------------------------------------------------
def expectations(kit, m, v, alpha, scale):
    r"""Return E f and E f^2 of f = SELU, each followed by four derivatives by m.

    With :math:`x = m/\sqrt v`, Mills' ratio M and the density :math:`\delta` of z at 0,

    .. math:: E_k = \operatorname{E}[e^{kz}; z < 0] = \varphi(x)\, M(x + k \sqrt v),
       \qquad P_k = \operatorname{E}[z^k; z > 0],

    .. math:: E_k' = k E_k - \delta, \qquad P_0' = \delta, \qquad P_k' = k P_{k-1},

    .. math:: \operatorname{E} f = \lambda (P_1 + \alpha (E_1 - E_0)), \qquad
       \operatorname{E} f^2 = \lambda^2 (P_2 + \alpha^2 (E_2 - 2 E_1 + E_0)).

    One derivative by v is half of two by m.

    Parameters
    ----------
    kit : companion._intervals.Balls or companion._intervals.Intervals
        The arithmetic.
    m, v, alpha, scale
        Intervals of that arithmetic, v above 0.

    Returns
    -------
    two lists of five intervals

    Examples
    --------
    >>> from companion._intervals import Intervals
    >>> kit = Intervals()
    >>> m, v, alpha, scale = (kit.number(q) for q in (0, 1, 1, 1))
    >>> with kit.working():
    ...     elu, _ = expectations(kit, m, v, alpha, scale)
    >>> print(f"{elu[0].lower:.6f} {elu[0].upper:.6f}")
    0.160521 0.160521
    """
    s = kit.sqrt(v)
    x = m / s
    density = kit.exp(-x * x / 2) / kit.sqrt(2 * kit.pi())
    e0, e1, e2 = (density * kit.mills(x + k * s) for k in range(3))
    p0 = 1 - e0
    p1 = m * p0 + s * density
    p2 = m * p1 + v * p0
    d = density / s
    d1 = -m / v * d
    d2 = (m * m / v - 1) / v * d
    alpha2 = alpha * alpha
    f = [
        p1 + alpha * (e1 - e0),
        p0 + alpha * e1,
        d + alpha * (e1 - d),
        d1 + alpha * (e1 - d - d1),
        d2 + alpha * (e1 - d - d1 - d2),
    ]
    f_squared = [
        p2 + alpha2 * (e2 - 2 * e1 + e0),
        2 * p1 + alpha2 * (2 * e2 - 2 * e1),
        2 * p0 + alpha2 * (4 * e2 - 2 * e1),
        2 * d + alpha2 * (8 * e2 - 2 * e1 - 2 * d),
        2 * d1 + alpha2 * (16 * e2 - 2 * e1 - 6 * d - 2 * d1),
    ]
    return [scale * q for q in f], [scale * scale * q for q in f_squared]


def exact_constants(kit):
    """Enclose the alpha that makes the mean of SELU(N(0, 1)) 0, and its scale."""
    half = kit.number(Fraction(1, 2))
    density = 1 / kit.sqrt(2 * kit.pi())
    e1, e2 = (density * kit.mills(kit.number(Fraction(k))) for k in (1, 2))
    alpha = density / (half - e1)
    return alpha, 1 / kit.sqrt(half + alpha * alpha * (e2 - 2 * e1 + half))


# --- what is bounded: its value, its derivative by m, its derivative by v -------------
def new_mean(found, piece, v):
    f, _ = found
    return f[0], f[1], f[2] / 2


def new_second_moment(found, piece, v):
    _, f2 = found
    return f2[0], f2[1], f2[2] / 2


def new_variance(found, piece, v):
    f, f2 = found
    by_v = f2[2] / 2 - f[0] * f[2]
    return f2[0] - f[0] * f[0], f2[1] - 2 * f[0] * f[1], by_v


def rise(quantity, found, piece, v):
    new, by_m, by_v = quantity(found, piece, v)
    nu, nu_by_v = piece.nu(v)
    return new - nu, by_m, by_v - nu_by_v


def ratio(found, piece, v):
    new, by_m, by_v = new_variance(found, piece, v)
    nu, nu_by_v = piece.nu(v)
    return new / nu, by_m / nu, (by_v - new / nu * nu_by_v) / nu


def singular_value(found, piece, v):
    r"""Return the larger singular value of the matrix with the columns a and b.

    .. math:: \tfrac12 \sqrt{(a_1 + b_2)^2 + (a_2 - b_1)^2}
       + \tfrac12 \sqrt{(a_1 - b_2)^2 + (a_2 + b_1)^2}
    """
    f, f2 = found
    _, by_m, by_v = new_variance(found, piece, v)
    by_mm = f2[2] - 2 * (f[1] * f[1] + f[0] * f[2])
    by_mv = f2[3] / 2 - f[1] * f[2] - f[0] * f[3]
    by_vv = f2[4] / 4 - (f[2] * f[2] + f[0] * f[4]) / 2
    tau, tau_by_v = piece.tau(v)
    a1 = [piece.omega * q for q in (f[1], f[2], f[3] / 2)]
    a2 = [piece.omega * q for q in (by_m, by_mm, by_mv)]
    b1 = [tau * q for q in (f[2] / 2, f[3] / 2, f[4] / 4)]
    b2 = [tau * q for q in (by_v, by_mv, by_vv)]
    b1[2] = b1[2] + tau_by_v * f[2] / 2
    b2[2] = b2[2] + tau_by_v * by_v
    total = 0, 0, 0
    for sign in (1, -1):
        p = [x + sign * y for x, y in zip(a1, b2, strict=True)]
        q = [x - sign * y for x, y in zip(a2, b1, strict=True)]
        root = piece.kit.sqrt(p[0] * p[0] + q[0] * q[0])
        slopes = [(p[0] * p[i] + q[0] * q[i]) / root for i in (1, 2)]
        total = [t + part / 2 for t, part in zip(total, (root, *slopes), strict=True)]
    return total


_QUANTITIES = {
    "new mean": new_mean,
    "new second moment": new_second_moment,
    "new variance": new_variance,
    "rise of the variance": functools.partial(rise, new_variance),
    "ratio": ratio,
}
_FALLS = {
    "fall of the variance": functools.partial(rise, new_variance),
    "fall to the second moment": functools.partial(rise, new_second_moment),
}
#: Of each extreme: what is bounded, whether its maximum (1) or its minimum (-1) is
#: sought, and the sign with which that is given.
EXTREMES = {
    "largest singular value": (singular_value, 1, 1),
    **{f"largest {name}": (of, 1, 1) for name, of in _QUANTITIES.items()},
    **{f"smallest {name}": (of, -1, 1) for name, of in _QUANTITIES.items()},
    **{f"largest {name}": (of, -1, -1) for name, of in _FALLS.items()},
    **{f"smallest {name}": (of, 1, -1) for name, of in _FALLS.items()},
}
