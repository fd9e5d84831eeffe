r"""Interval arithmetic: enclosures that hold whatever the rounding does.

An interval stands for a number known only to lie in it, and an operation returns an
interval that holds every possible result.  So a computation with intervals is a proof.
There are two arithmetics here, with the same few operations, and a formula is written
once for both:

- :class:`Balls` are those of python-flint (Arb), with 128 bits.
- :class:`Intervals` need NumPy alone.  After each operation both ends move outward to
  the next floating-point number.  Sums, products, quotients and square roots are taken
  to be rounded correctly (IEEE 754), and ``np.exp`` to be right within four units in
  the last place; nothing else is trusted.

Both hold arrays, so that one operation serves many boxes.  With either,
:func:`maximum` searches a square.
"""

import functools
import importlib.util
import math
from fractions import Fraction

import numpy as np

from companion import _checks

_BITS = 128
_BORDER = 2  # Mills' ratio is a series below it, and a continued fraction from it on
_SERIES = 40  # terms; from the fourth on each is less than half the one before
_FRACTION = 100  # terms; the interval around what is left out hardly matters then


def arithmetic(function, engine=None):
    """Return the arithmetic that `function` is asked to use, or the best installed.

    Examples
    --------
    >>> arithmetic("theorem_1", "numpy").name
    'NumPy intervals'
    """
    engines = {"flint": Balls, "numpy": Intervals}
    if engine is None:
        engine = "flint" if importlib.util.find_spec("flint") else "numpy"
    return engines[_checks.one_of(function, "engine", engine, tuple(engines))]()


class Balls:
    """The arithmetic of python-flint: an interval is a ``flint.arb``, or many.

    Use it within :meth:`working`.
    """

    name = "python-flint balls"
    resolution = 1e-30

    def __init__(self):
        import flint

        self._flint, arb = flint, flint.arb
        self.between = np.frompyfunc(lambda low, high: arb(low).union(arb(high)), 2, 1)
        self.exp = np.frompyfunc(lambda x: x.exp(), 1, 1)
        self.sqrt = np.frompyfunc(lambda x: x.nonnegative_part().sqrt(), 1, 1)
        self.mills = np.frompyfunc(self._mills, 1, 1)
        self._low = np.frompyfunc(lambda x: float(x.lower()), 1, 1)
        self._high = np.frompyfunc(lambda x: float(x.upper()), 1, 1)

    def working(self):
        """Return the context of 128 bits."""
        return self._flint.ctx.workprec(_BITS)

    def number(self, value):
        """Enclose a rational number."""
        return self._flint.arb(self._flint.fmpq(value.numerator, value.denominator))

    def pi(self):
        """Enclose pi."""
        return self._flint.arb.pi()

    def lower(self, x):
        """Return floats that are not above anything in `x`."""
        return _known(_down(np.asarray(self._low(x), float)), -np.inf)

    def upper(self, x):
        """Return floats that are not below anything in `x`."""
        return _known(_up(np.asarray(self._high(x), float)), np.inf)

    def _mills(self, x):
        """Enclose Mills' ratio, which falls, between its values at the ends."""
        return self._mills_at(x.lower()).union(self._mills_at(x.upper()))

    def _mills_at(self, x):
        arb = self._flint.arb
        return (arb.pi() / 2).sqrt() * (x * x / 2).exp() * (x / arb(2).sqrt()).erfc()


class Intervals:
    """The arithmetic of NumPy alone: an interval is an :class:`Interval`.

    Use it within :meth:`working`.

    Examples
    --------
    >>> kit = Intervals()
    >>> third = kit.number(Fraction(1, 3))
    >>> bool(third.lower < third.upper), bool((3 * third).lower < 1 < (3 * third).upper)
    (True, True)
    """

    name = "NumPy intervals"
    resolution = 1e-11

    def working(self):
        """Return a context in which an end may overflow or be unknown."""
        return np.errstate(all="ignore")

    def number(self, value):
        """Enclose a rational number."""
        near = float(value)
        exact = Fraction(near) == value
        return Interval(near, near) if exact else Interval(_down(near), _up(near))

    def between(self, lower, upper):
        """Return the intervals with these ends."""
        return Interval(lower, upper)

    def pi(self):
        """Enclose pi, which is between ``math.pi`` and the number above it."""
        return Interval(math.pi, _up(math.pi))

    def lower(self, x):
        """Return floats that are not above anything in `x`."""
        return _known(x.lower, -np.inf)

    def upper(self, x):
        """Return floats that are not below anything in `x`."""
        return _known(x.upper, np.inf)

    def sqrt(self, x):
        """Enclose the square root of what is not negative."""
        lower, upper = (np.sqrt(np.maximum(end, 0)) for end in (x.lower, x.upper))
        return Interval(np.maximum(_down(lower), 0), _up(upper))

    def exp(self, x):
        """Enclose the exponential: four units in the last place are 2**-50 or less."""
        low, high = np.exp(x.lower), np.exp(x.upper)
        # What is added covers the numbers too small to have all their digits.
        low = _down(low * (1 - 2.0**-50) - 2.0**-1000)
        return Interval(np.maximum(low, 0), _up(high * (1 + 2.0**-50) + 2.0**-1000))

    def mills(self, x):
        """Enclose Mills' ratio, which falls, between its values at the ends."""
        ends = self._mills_at(np.stack([x.upper, x.lower]))
        return Interval(ends.lower[0], ends.upper[1])

    def _mills_at(self, x):
        """Enclose M(x) at numbers; M(-x) = sqrt(2 pi) exp(x^2 / 2) - M(x)."""
        size = Interval(np.abs(x), np.abs(x))
        whole = self.sqrt(2 * self.pi()) * self.exp(size * size / 2)
        ratio = _where(size.lower < _BORDER, whole / 2 - _series(size), _fraction(size))
        return _where(x < 0, whole - ratio, ratio)


def _series(x):
    r"""Enclose :math:`\sum_{n \ge 0} x^{2n+1} / (1 \cdot 3 \cdots (2n + 1))`, x < 2.

    The last term bounds what is left out.
    """
    low = high = low_sum = high_sum = x = np.minimum(x.lower, _BORDER)
    for n in range(3, 2 * _SERIES, 2):
        low = _down(_down(low * _down(x * x)) / n)
        high = _up(_up(high * _up(x * x)) / n)
        low_sum, high_sum = _down(low_sum + low), _up(high_sum + high)
    return Interval(low_sum, _up(high_sum + high))


def _fraction(x):
    r"""Enclose Laplace's :math:`1/(x + 1/(x + 2/(x + 3/(x + \dots))))` for x > 0.

    The tail :math:`t_n = x + n / t_{n+1}` lies between x and x + n/x.
    """
    low, high = x.lower, _up(x.upper + _up(_FRACTION / x.lower))
    for n in range(_FRACTION - 1, 0, -1):
        low, high = _down(x.lower + _down(n / high)), _up(x.upper + _up(n / low))
    return Interval(_down(1 / high), _up(1 / low))


def maximum(kit, values, *, tolerance, budget):
    """Enclose the maximum of a function on the unit square.

    Boxes cover the square, and are halved.  Where a slope has one sign on a whole box,
    the maximum is on an edge, and the box shrinks to that edge.  Else the value at the
    center and the slopes times the half-widths bound it.  A box is done when it cannot
    go beyond what some center has by more than the tolerance.

    Parameters
    ----------
    kit : Balls or Intervals
    values : function of (lower, upper)
        Takes the corners of boxes, arrays of shape (n, 2), and returns intervals: the
        function on each box, and the list of its two slopes there.
    tolerance : float
    budget : int
        The number of boxes after which the search stops.

    Returns
    -------
    lower, upper : float
        The maximum is between them.
    boxes : int
        How many there were.

    Examples
    --------
    >>> kit = Intervals()
    >>> def values(lower, upper):
    ...     x, y = (kit.between(lower[:, i], upper[:, i]) for i in (0, 1))
    ...     return x * (1 - x) + y, [1 - 2 * x, 1 + 0 * y]
    >>> with kit.working():
    ...     lower, upper, _ = maximum(kit, values, tolerance=1e-9, budget=1000)
    >>> lower <= 1.25 <= upper <= lower + 1e-9
    True
    """
    lower, upper = np.zeros((1, 2)), np.ones((1, 2))
    best = done = -np.inf
    boxes = 0
    while len(lower) and boxes < budget:
        boxes += len(lower)
        value, slopes = values(lower, upper)
        bound = kit.upper(value)
        low = np.stack([kit.lower(slope) for slope in slopes], axis=1)
        high = np.stack([kit.upper(slope) for slope in slopes], axis=1)
        rising, falling = low >= 0, (high <= 0) & (low < 0)
        lower, upper = np.where(rising, upper, lower), np.where(falling, lower, upper)
        center, half = (lower + upper) / 2, (upper - lower) / 2
        value, _ = values(center, center)
        best = max(best, float(kit.lower(value).max()))
        for i, slope in enumerate(slopes):
            value = value + slope * kit.between(-half[:, i], half[:, i])
        bound = np.minimum(bound, kit.upper(value))
        left = bound > best + tolerance
        done = max(done, float(bound[~left].max(initial=-np.inf)))
        steepness = np.minimum(np.maximum(-low, high), 1e9)  # an unknown slope is inf
        axis = np.argmax(half * steepness, axis=1)[left]
        lower, upper = _halve(lower[left], upper[left], center[left], axis)
    return best, max(done, float(bound[left].max(initial=-np.inf))), boxes


def _halve(lower, upper, center, axis):
    """Cut each box in two at its center, across its own axis."""
    rows = np.arange(len(axis))
    first_upper, second_lower = upper.copy(), lower.copy()
    first_upper[rows, axis] = second_lower[rows, axis] = center[rows, axis]
    return np.concatenate([lower, second_lower]), np.concatenate([first_upper, upper])


class Interval:
    """Closed intervals, in arrays; an end that is nan is unknown.

    Examples
    --------
    >>> x = Interval(1.0, 2.0) / 3
    >>> bool(x.lower < 1 / 3), bool(x.upper > 2 / 3)
    (True, True)
    """

    __array_ufunc__ = None  # an array times an interval is for the interval to do

    def __init__(self, lower, upper):
        self.lower, self.upper = np.asarray(lower, float), np.asarray(upper, float)

    def __neg__(self):
        return Interval(-self.upper, -self.lower)

    def __add__(self, other):
        other = _interval(other)
        return Interval(_down(self.lower + other.lower), _up(self.upper + other.upper))

    def __sub__(self, other):
        return self + -_interval(other)

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        other = _interval(other)
        return _hull(
            *(
                a * b
                for a in (self.lower, self.upper)
                for b in (other.lower, other.upper)
            )
        )

    def __truediv__(self, other):
        other = _interval(other)
        zero = (other.lower <= 0) & (other.upper >= 0)
        ends = [np.where(zero, np.nan, end) for end in (other.lower, other.upper)]
        return _hull(*(a / b for a in (self.lower, self.upper) for b in ends))

    def __rtruediv__(self, other):
        return _interval(other) / self

    __radd__ = __add__
    __rmul__ = __mul__


def _interval(x):
    return x if isinstance(x, Interval) else Interval(x, x)


def _where(condition, first, second):
    return Interval(
        np.where(condition, first.lower, second.lower),
        np.where(condition, first.upper, second.upper),
    )


def _hull(*values):
    """Enclose values that were each rounded once; one nan makes both ends unknown."""
    lower, upper = (functools.reduce(f, values) for f in (np.minimum, np.maximum))
    return Interval(_down(lower), _up(upper))


def _down(x):
    return np.nextafter(x, -np.inf)


def _up(x):
    return np.nextafter(x, np.inf)


def _known(x, otherwise):
    return np.where(np.isnan(x), otherwise, x)
