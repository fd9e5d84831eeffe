r"""The theorems on self-normalizing nets, proved by interval arithmetic.

Klambauer et al. (2017) prove three theorems on the map of mean and variance through a
layer of SELU units (:mod:`companion.self_normalization`): near :math:`(0, 1)` it has
one fixed point and contracts to it; a large variance falls; a small one rises.  Their
proof of the first evaluates a grid and bounds by hand what happens between its points.
Here boxes cover each domain without a gap, every formula is evaluated on whole boxes,
and all rounding goes outward (``companion._intervals``).  What comes out is a
:class:`Certificate`: the extremes of the map, each enclosed between two numbers.

**Two variables.**  The map depends on :math:`m = \mu\omega` and :math:`v = \nu\tau`
alone.  At given m and v the claims are hardest at known ends of the rest:

- The Jacobian by :math:`(\mu, \nu)` is :math:`J = A \operatorname{diag}(\omega, \tau)`,
  where A is the Jacobian by :math:`(m, v)`, with columns a and b.  So
  :math:`J J^T = \omega^2 a a^T + \tau^2 b b^T` grows with :math:`\omega^2` and with
  :math:`\tau^2`, and so does the largest singular value, the root of its larger
  eigenvalue.  It is largest at the largest :math:`|\omega|`, which every m allows, and
  at the largest :math:`\tau` that v allows, :math:`\min(\tau_1, v / \nu_0)`.
- A variance that must fall starts at worst from the smallest :math:`\nu` that v allows,
  :math:`\max(\nu_0, v / \tau_1)`; one that must rise from the largest,
  :math:`\min(\nu_1, v / \tau_0)`.

Each of these has one bend, at which the range of v is cut in two.

The integrals and what is bounded are in ``companion._extremes``;
``companion._intervals.maximum`` finds the extremes.  Chapter
*Self-normalization*.
"""

import functools
import numbers
import textwrap
import time
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

import numpy as np

from companion import _checks, _extremes, _intervals

#: How far apart the ends of an enclosure may be; after how many boxes a search stops.
TOLERANCE, BUDGET = 1e-10, 10_000


@dataclass(frozen=True)
class Certificate:
    """What was proved, and the extremes that prove it.

    Attributes
    ----------
    theorem : str
        The statement, in words.
    holds : bool
        Whether it is proved.  If not, it may be false, or the boxes were too few.
    bounds : dict of str to (float, float)
        Each extreme, between two numbers that are rounded outward.
    boxes : int
        How many boxes were evaluated.
    engine : str
        The interval arithmetic.
    seconds : float
        How long it took.  It is neither printed nor compared.
    """

    theorem: str
    holds: bool
    bounds: dict[str, tuple[float, float]]
    boxes: int
    engine: str
    seconds: float = field(compare=False)

    def __str__(self):
        verdict = "Proved" if self.holds else "Not proved"
        width = max(map(len, self.bounds))
        return "\n".join(
            [
                textwrap.fill(f"{verdict}: {self.theorem}", 80),
                *(f"  {k:{width}}  {_show(*ends)}" for k, ends in self.bounds.items()),
                f"  (boxes: {self.boxes}; {self.engine})",
            ]
        )


@dataclass(frozen=True)
class Printed:
    """A bound as the paper prints it.

    Attributes
    ----------
    bound : str
        Its name in ``Certificate.bounds``.
    relation : {"above", "below", "is"}
        Whether it is said to be above `value`, below it, or that, as far as printed.
    value : str
    place : str
        Where the paper prints it.

    Examples
    --------
    >>> claim = Printed("largest new mean", "below", "0.06773", "eq. 110")
    >>> print(f"{claim}: {claim.verdict(theorem_1(engine='numpy'))}")
    largest new mean below 0.06773 (eq. 110): proved
    """

    bound: str
    relation: str
    value: str
    place: str

    def verdict(self, certificate):
        """Return "proved", "corrected", or "open" where the enclosure is too wide."""
        lower, upper = certificate.bounds[self.bound]
        value = Fraction(self.value)
        if self.relation == "is":  # the two numbers that round to it
            half = Fraction(1, 2 * 10 ** len(self.value.partition(".")[2]))
            above, below = value - half, value + half
        else:
            above = value if self.relation == "above" else -np.inf
            below = value if self.relation == "below" else np.inf
        if above < lower and upper < below:
            return "proved"
        return "corrected" if upper <= above or below <= lower else "open"

    def __str__(self):
        return f"{self.bound} {self.relation} {self.value} ({self.place})"


#: What the paper prints of the bounds in these certificates.
PRINTED = {
    "theorem_1": (
        Printed("smallest new mean", "above", "-0.03106", "eq. 110"),
        Printed("largest new mean", "below", "0.06773", "eq. 110"),
        Printed("smallest new variance", "above", "0.80009", "lemma 13"),
        Printed("largest new variance", "below", "1.48617", "lemma 13"),
    ),
    "lemma_12": (
        Printed("largest singular value", "below", "0.9912524171058772", "lemma 12"),
    ),
    "theorem_2": (
        Printed("smallest fall to the second moment", "is", "0.0180173", "eq. 43"),
    ),
    "theorem_3": (
        Printed("smallest ratio, nu up to 0.16", "above", "1.049301", "eq. 49"),
        Printed("smallest ratio, nu up to 0.24", "above", "1.060255", "eq. 51"),
    ),
}


def theorem_1(
    *,
    mu=0.1,
    omega=0.1,
    nu=(0.8, 1.5),
    tau=(0.95, 1.1),
    mean=None,
    variance=None,
    norm=1,
    **options,
):
    r"""Prove that near (0, 1) the map has one fixed point, and that it attracts.

    The map takes the domain of :math:`(\mu, \nu)` into itself, and the largest singular
    value of its Jacobian is below 1.  The domain is closed and convex, so the map
    contracts it, and by Banach's theorem each :math:`(\omega, \tau)` has exactly one
    fixed point there, to which every start converges.

    Every number is taken to be exact: an integer, a fraction, or the decimal number
    that a string or a float shows, so that 0.1 is one tenth.

    Parameters
    ----------
    mu, omega : number
        The largest size of the mean and of the sum of the weights.
    nu, tau : pair of numbers
        The range of the variance and of the sum of the squares of the weights.
    mean, variance : pair of numbers, optional
        The claim that the image lies in these; by default, that it lies in the domain.
    norm : number
        The claim that the largest singular value is below this.
    **options
        `alpha`, `scale`, `engine`, `tolerance` and `budget`, as in :func:`enclose`.

    Returns
    -------
    Certificate

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, is out of range, or is an unknown name.
    ModuleNotFoundError
        If python-flint is asked for and not installed.

    Notes
    -----
    Klambauer et al. (2017), theorem 1, with lemmas 12 and 13.

    Examples
    --------
    >>> theorem_1(engine="numpy").holds
    True
    >>> theorem_1(engine="numpy", variance=(0.81, 1.48)).holds
    False
    """
    where = _Domain.of("theorem_1", mu, omega, nu, tau)
    mean = where.mean if mean is None else _pair("theorem_1", "mean", mean)
    variance = (
        where.nu if variance is None else _pair("theorem_1", "variance", variance)
    )
    norm = _exact("theorem_1", "norm", norm)
    proof = _Proof("theorem_1", **options)
    holds = True
    for name, claim, domain in (
        ("mean", mean, where.mean),
        ("variance", variance, where.nu),
    ):
        lower, _ = proof.extreme(where, f"smallest new {name}")
        _, upper = proof.extreme(where, f"largest new {name}")
        for low, high in (claim, domain):
            holds = holds and low <= lower and upper <= high
    _, upper = proof.extreme(where, "largest singular value")
    return proof.certificate(
        f"For {where}, the map takes (mu, nu) to a mean {_within(mean)} and a variance "
        f"{_within(variance)}, and the largest singular value of its Jacobian is below "
        f"{_plain(norm)}. So each (omega, tau) has one fixed point in the domain, and "
        "everything in the domain converges to it.",
        holds and upper < min(norm, 1),
    )


def lemma_12(*, mu=0.1, omega=0.1, nu=(0.8, 1.5), tau=(0.8, 1.25), norm=1, **options):
    """Prove that the map contracts, for more weights than in theorem 1.

    It need not map this domain into itself.  Arguments, result and errors are those of
    :func:`theorem_1`.  Klambauer et al. (2017), lemma 12.

    Examples
    --------
    >>> lemma_12(engine="numpy").holds, lemma_12(engine="numpy", norm=0.98).holds
    (True, False)
    """
    where = _Domain.of("lemma_12", mu, omega, nu, tau)
    norm = _exact("lemma_12", "norm", norm)
    proof = _Proof("lemma_12", **options)
    _, upper = proof.extreme(where, "largest singular value")
    return proof.certificate(
        f"For {where}, the largest singular value of the map's Jacobian is below "
        f"{_plain(norm)}.",
        upper < norm,
    )


def theorem_2(*, mu=1, omega=0.1, nu=(3, 16), tau=(0.8, 1.25), **options):
    r"""Prove that a large variance falls.

    Arguments, result and errors are those of :func:`theorem_1`.

    Notes
    -----
    Klambauer et al. (2017), theorem 2; their proof shows that even the second moment is
    below the old variance.  The new mean can exceed 1, and then the theorem says
    nothing about the next layer.  With ``mu=1.25`` it still holds, and the new mean
    stays below that.

    Examples
    --------
    >>> theorem_2(engine="numpy").holds, theorem_2(engine="numpy", nu=(2, 16)).holds
    (True, False)
    """
    where = _Domain.of("theorem_2", mu, omega, nu, tau)
    proof = _Proof("theorem_2", **options)
    lower, _ = proof.extreme(where, "smallest fall of the variance")
    for name in (
        *("smallest fall to the second moment", "largest ratio"),
        *("smallest new mean", "largest new mean"),
    ):
        proof.extreme(where, name)
    return proof.certificate(f"For {where}, the new variance is below nu.", lower > 0)


def theorem_3(
    *,
    mu=0.1,
    omega=0.1,
    nu=((0.02, 0.16), (0.02, 0.24)),
    tau=((0.8, 1.25), (0.9, 1.25)),
    **options,
):
    r"""Prove that a small variance rises.

    Arguments, result and errors are those of :func:`theorem_1`; but `nu` and `tau` hold
    one pair for each domain.

    Notes
    -----
    Klambauer et al. (2017), theorem 3.  The text has variances from 0.02 on, the
    appendix states and proves it from 0.05 on.

    Examples
    --------
    >>> theorem_3(engine="numpy").holds
    True
    """
    if len(nu) != len(tau):
        raise ValueError(
            f"theorem_3: `tau` must hold as many ranges as `nu`, {len(nu)}; got "
            f"{len(tau)}."
        )
    parts = zip(nu, tau, strict=True)
    domains = [_Domain.of("theorem_3", mu, omega, *part) for part in parts]
    proof = _Proof("theorem_3", **options)
    holds = True
    for where in domains:
        suffix = f", nu up to {_plain(where.nu[1])}"
        lower, _ = proof.extreme(where, "smallest rise of the variance", suffix)
        holds = holds and lower > 0
        for name in ("smallest ratio", "smallest new mean", "largest new mean"):
            proof.extreme(where, name, suffix)
    return proof.certificate(
        f"For {', and for '.join(map(str, domains))}, the new variance is above nu.",
        holds,
    )


def standard_fixed_point(**options):
    r"""Check that mean 0 and variance 1 are kept where :math:`\omega = 0, \tau = 1`.

    The exact constants are defined by this.  So it is a check of their enclosures: the
    new mean is within 1e-30 of 0, the new variance of 1, and the enclosures hold 0
    and 1 (1e-12 for NumPy's intervals).  Rounded constants fail.

    Arguments, result and errors are those of :func:`theorem_1`.

    Examples
    --------
    >>> standard_fixed_point(engine="numpy").holds
    True
    >>> standard_fixed_point(engine="numpy", alpha=1.67326, scale=1.0507).holds
    False
    """
    proof = _Proof("standard_fixed_point", **options)
    small = proof.kit.resolution
    holds = True
    for name, offset in proof.offsets().items():
        proof.bounds[name] = lower, upper = offset
        holds = holds and -small < lower <= 0 <= upper < small
    return proof.certificate(
        f"For omega = 0, tau = 1 the map keeps mean 0 and variance 1 within {small:g}.",
        holds,
    )


def enclose(name, *, mu, omega, nu, tau, **options):
    r"""Enclose one extreme of the map.

    Parameters
    ----------
    name : str
        "largest singular value", or "smallest" or "largest" and one of "new mean",
        "new second moment", "new variance", "rise of the variance", "fall of the
        variance", "fall to the second moment", and "ratio" (of new and old variance).
    mu, omega, nu, tau
        As in :func:`theorem_1`.
    alpha, scale : number, optional
        The constants of SELU; by default the exact ones, as enclosures.
    engine : {"flint", "numpy"}, optional
        The interval arithmetic; by default python-flint where it is installed.
    tolerance : float
        How far apart the two numbers may be.
    budget : int
        The number of boxes after which a search stops and returns what it has.

    Returns
    -------
    lower, upper : float
        The extreme lies between them.  They are further apart than `tolerance` only if
        the budget was too small or the arithmetic too coarse.

    Raises
    ------
    TypeError, ValueError, ModuleNotFoundError
        As :func:`theorem_1`.

    Examples
    --------
    >>> domain = dict(mu=0.1, omega=0.1, nu=(0.8, 1.5), tau=(0.8, 1.25))
    >>> lower, upper = enclose("largest singular value", engine="numpy", **domain)
    >>> print(f"{lower:.6f} {upper:.6f}")
    0.989026 0.989026
    """
    _checks.one_of("enclose", "name", name, tuple(_extremes.EXTREMES))
    where = _Domain.of("enclose", mu, omega, nu, tau)
    return _Proof("enclose", **options).extreme(where, name)


# --- the search -----------------------------------------------------------------------
@dataclass(frozen=True)
class _Domain:
    """The ranges of the four variables, exactly; mu and omega have symmetric ones."""

    mu: Fraction
    omega: Fraction
    nu: tuple[Fraction, Fraction]
    tau: tuple[Fraction, Fraction]

    @classmethod
    def of(cls, function, mu, omega, nu, tau):
        sizes = [_exact(function, k, x) for k, x in (("mu", mu), ("omega", omega))]
        ranges = [_pair(function, k, x) for k, x in (("nu", nu), ("tau", tau))]
        for name, value in zip(("mu", "omega"), sizes, strict=True):
            if value < 0:
                raise ValueError(
                    f"{function}: `{name}` must be at least 0; got {_plain(value)}."
                )
        for name, (low, _) in zip(("nu", "tau"), ranges, strict=True):
            if low <= 0:
                raise ValueError(
                    f"{function}: `{name}` must start above 0; got {_plain(low)}."
                )
        return cls(*sizes, *ranges)

    @property
    def mean(self):
        return -self.mu, self.mu

    def pieces(self, largest_tau):
        """Return the two ranges of v, and which of nu and tau is at an end there.

        At the largest tau that v allows, nu is at its smallest, and conversely.
        """
        low, high = (v * w for v, w in zip(self.nu, self.tau, strict=True))
        if largest_tau:
            nu, tau = self.nu[0], self.tau[1]
            return ((low, nu * tau), "nu", nu), ((nu * tau, high), "tau", tau)
        nu, tau = self.nu[1], self.tau[0]
        return ((low, nu * tau), "tau", tau), ((nu * tau, high), "nu", nu)

    def __str__(self):
        return (
            f"mu {_within(self.mean)}, omega {_within((-self.omega, self.omega))}, "
            f"nu {_within(self.nu)}, tau {_within(self.tau)}"
        )


class _Piece:
    """A rectangle of (m, v) on which nu or tau is fixed, and the other v over it."""

    def __init__(self, kit, where, v_range, fixed, value):
        self.kit = kit
        self.omega = kit.number(where.omega)
        self._fixed, self._value = fixed, kit.number(value)
        product = where.mu * where.omega
        corners = (-product, v_range[0]), (product, v_range[1])
        self._low, high = ([kit.number(q) for q in corner] for corner in corners)
        self.widths = [b - a for a, b in zip(self._low, high, strict=True)]

    def points(self, lower, upper):
        """Return m and v for boxes of the unit square."""
        shares = (self.kit.between(lower[:, i], upper[:, i]) for i in range(2))
        rows = zip(self._low, shares, self.widths, strict=True)
        return [low + share * width for low, share, width in rows]

    def nu(self, v):
        """Return nu and its derivative by v."""
        return self._end(v, "nu")

    def tau(self, v):
        """Return tau and its derivative by v."""
        return self._end(v, "tau")

    def _end(self, v, name):
        if self._fixed == name:
            return self._value, 0
        return v / self._value, 1 / self._value


class _Proof:
    """Encloses extremes, one after the other, and keeps count."""

    def __init__(
        self,
        function,
        *,
        alpha=None,
        scale=None,
        engine=None,
        tolerance=TOLERANCE,
        budget=BUDGET,
    ):
        self.start = time.perf_counter()
        self.kit = _intervals.arithmetic(function, engine)
        self.tolerance = _checks.finite(function, "tolerance", tolerance, minimum=0)
        self.budget = _checks.integer(function, "budget", budget, minimum=1)
        self.boxes, self.bounds = 0, {}
        given = {"alpha": alpha, "scale": scale}
        self._given = {k: q for k, q in given.items() if q is not None}
        with self.kit.working():
            constants = dict(
                zip(given, _extremes.exact_constants(self.kit), strict=True)
            )
            for k, q in self._given.items():
                constants[k] = self.kit.number(_exact(function, k, q))
        self.constants = tuple(constants.values())

    def extreme(self, where, name, suffix=""):
        """Enclose the extreme of that name, and enter it among the bounds."""
        quantity, sought, sign = _extremes.EXTREMES[name]
        best = []
        with self.kit.working():
            for rectangle in where.pieces(largest_tau=sought == 1):
                piece = _Piece(self.kit, where, *rectangle)
                values = functools.partial(self._values, quantity, sought, piece)
                *ends, boxes = _intervals.maximum(
                    self.kit, values, tolerance=self.tolerance, budget=self.budget
                )
                best.append(ends)
                self.boxes += boxes
        # The sign sought made a maximum of it.
        lower, upper = (max(ends) for ends in zip(*best, strict=True))
        if sought * sign < 0:
            lower, upper = -upper, -lower
        self.bounds[name + suffix] = lower, upper
        return lower, upper

    def _values(self, quantity, sign, piece, lower, upper):
        """Return sign times the quantity and its slopes on boxes of the unit square."""
        m, v = piece.points(lower, upper)
        found = _extremes.expectations(self.kit, m, v, *self.constants)
        value, *slopes = (sign * q for q in quantity(found, piece, v))
        return value, [q * w for q, w in zip(slopes, piece.widths, strict=True)]

    def offsets(self):
        """Enclose how far from 0 and 1 a layer brings mean 0 and variance 1."""
        kit, self.boxes = self.kit, 1
        with kit.working():
            m, v = (kit.number(Fraction(q)) for q in (0, 1))
            found = _extremes.expectations(kit, m, v, *self.constants)
            offsets = {
                "new mean": _extremes.new_mean(found, None, v)[0],
                "new variance less 1": _extremes.new_variance(found, None, v)[0] - 1,
            }
            return {
                name: (float(kit.lower(x)), float(kit.upper(x)))
                for name, x in offsets.items()
            }

    def certificate(self, theorem, holds):
        """Close the proof."""
        if self._given:
            given = " and ".join(f"{name} = {q}" for name, q in self._given.items())
            theorem = f"{theorem} Here {given}."
        seconds = time.perf_counter() - self.start
        return Certificate(
            theorem, bool(holds), self.bounds, self.boxes, self.kit.name, seconds
        )


# --- exact numbers in and out ---------------------------------------------------------
def _exact(function, name, value):
    """Return `value` as a fraction: a float is the decimal number that it shows."""
    kinds = numbers.Real | Decimal | str
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{function}: `{name}` must be a number; got {value!r}.")
    try:
        return Fraction(str(value) if isinstance(value, float | np.floating) else value)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(
            f"{function}: `{name}` must be a finite number; got {value!r}."
        ) from None


def _pair(function, name, value):
    """Return the two ends of a range, the lower one first."""
    try:
        low, high = value
    except (TypeError, ValueError):
        raise TypeError(
            f"{function}: `{name}` must be a pair of numbers; got {value!r}."
        ) from None
    low, high = _exact(function, name, low), _exact(function, name, high)
    if low > high:
        raise ValueError(
            f"{function}: `{name}` must not start above its end; got {_plain(low)} and "
            f"{_plain(high)}."
        )
    return low, high


def _plain(value):
    return repr(float(value)).removesuffix(".0")


def _within(ends):
    return f"in [{_plain(ends[0])}, {_plain(ends[1])}]"


def _show(lower, upper):
    """Write an enclosure with ten digits, rounded outward."""
    down, up = (Context(prec=10, rounding=r) for r in (ROUND_FLOOR, ROUND_CEILING))
    low, high = down.create_decimal(lower), up.create_decimal(upper)
    return f"[{low}, {high}]"
