"""Certificates: the interval operations, what is proved, and that no false claim is."""

import functools
import math
import sys
from decimal import Decimal
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from helpers import public, refusal
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import _extremes, _intervals, proofs, self_normalization
from companion.activations import SELU_ALPHA, SELU_SCALE

ENGINES = ("flint", "numpy")
#: One rounding of a sampled value, times the few hundred steps of its formula.
ROUNDING = 1e-13
#: How near a sampled extreme must come to its enclosure.
NEAR = 1e-4
THEOREM_1 = {"mu": 0.1, "omega": 0.1, "nu": (0.8, 1.5), "tau": (0.95, 1.1)}
LEMMA_12 = THEOREM_1 | {"tau": (0.8, 1.25)}
THEOREM_2 = {"mu": 1, "omega": 0.1, "nu": (3, 16), "tau": (0.8, 1.25)}
THEOREM_3 = THEOREM_1 | {"nu": (0.02, 0.16), "tau": (0.8, 1.25)}
THEOREM_3_WIDE = THEOREM_1 | {"nu": (0.02, 0.24), "tau": (0.9, 1.25)}


@functools.cache
def certificate(name, engine):
    return getattr(proofs, name)(engine=engine)


def test_public_names():
    assert public(proofs) == {
        *("theorem_1", "lemma_12", "theorem_2", "theorem_3"),
        *(
            "standard_fixed_point",
            "enclose",
        ),
    }


# --- the operations -------------------------------------------------------------------
NUMBERS = st.floats(-30, 30, allow_subnormal=False).map(float)
OPERATIONS = {
    "sum": lambda kit, x, y: x + y,
    "difference": lambda kit, x, y: x - y,
    "product": lambda kit, x, y: x * y,
    "quotient": lambda kit, x, y: x / y,
    "negative": lambda kit, x, y: -x,
    "added to a number": lambda kit, x, y: 3 + x,
    "taken from a number": lambda kit, x, y: 3 - x,
    "times a number": lambda kit, x, y: 3 * x,
    "under a number": lambda kit, x, y: 3 / x,
    "exponential": lambda kit, x, y: kit.exp(x),
    "square root": lambda kit, x, y: kit.sqrt(x * x),
    "Mills' ratio": lambda kit, x, y: kit.mills(x),
}


class Exact:
    """What a kit offers, for fractions: with 60 digits, where it is not rational."""

    @staticmethod
    def exp(x):
        return mpmath.exp(mpmath.mpf(x.numerator) / x.denominator)

    @staticmethod
    def sqrt(x):
        return mpmath.sqrt(mpmath.mpf(x.numerator) / x.denominator)

    @staticmethod
    def mills(x):
        x = mpmath.mpf(x.numerator) / x.denominator
        root = mpmath.sqrt(mpmath.pi / 2)
        return root * mpmath.exp(x**2 / 2) * mpmath.erfc(x / mpmath.sqrt(2))


def check_contains(kit, operation, boxes, shares):
    """Require that the interval of a result holds the result at points of a box.

    The boxes are rows (low x, high x, low y, high y); a share of 0 is one corner, of 1
    the opposite one.
    """
    with kit.working():
        x = kit.between(boxes[:, 0], boxes[:, 1])
        y = kit.between(boxes[:, 2], boxes[:, 3])
        found = operation(kit, x, y)
        lower, upper = kit.lower(found), kit.upper(found)
    with mpmath.workdps(60):
        for row, low, high in zip(boxes, lower, upper, strict=True):
            x0, x1, y0, y1 = map(Fraction, map(float, row))
            for share in map(Fraction, shares):
                x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
                try:
                    value = operation(Exact, x, y)
                except ZeroDivisionError:
                    assert (low, high) == (-np.inf, np.inf)
                    continue
                inside = float(low) <= value <= float(high)
                assert inside, f"{value} at {x}, {y} not in {low, high}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=20, deadline=None)
@given(ends=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), thin=st.booleans())
def test_operation_contains_every_result(name, engine, ends, thin):
    boxes = np.array([[*sorted(ends[:2]), *sorted(ends[2:])]])
    if thin:
        boxes[:, 1::2] = boxes[:, ::2]
    kit = _intervals.arithmetic("test", engine)
    check_contains(kit, OPERATIONS[name], boxes, (0, 0.25, 0.5, 1))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_contains_results_at_random_points(name, engine):
    rng = np.random.default_rng(0)
    points = rng.normal(0, 3, (100, 2))
    points[:5, 0] = 0.0, 2.0, -2.0, np.nextafter(2, 0), 1e-300  # 2: another formula
    kit = _intervals.arithmetic("test", engine)
    check_contains(kit, OPERATIONS[name], np.repeat(points, 2, axis=1), (0,))


@pytest.mark.parametrize("name", ["sum", "product", "quotient", "square root"])
def test_check_finds_an_operation_that_does_not_round_outward(name, monkeypatch):
    for direction in ("_down", "_up"):
        monkeypatch.setattr(_intervals, direction, lambda x: x)
    with pytest.raises(AssertionError, match="not in"):
        test_operation_contains_results_at_random_points(name, "numpy")


def test_check_finds_a_wrong_tail(monkeypatch):
    monkeypatch.setattr(_intervals, "_SERIES", 2)  # not yet less than half
    with pytest.raises(AssertionError, match="not in"):
        test_operation_contains_results_at_random_points("Mills' ratio", "numpy")


@pytest.mark.parametrize(
    ("terms", "n"), [("_FRACTION", 1), ("_FRACTION", 4), ("_SERIES", 5), ("_SERIES", 8)]
)
def test_fewer_terms_are_still_right(terms, n, monkeypatch):
    monkeypatch.setattr(_intervals, terms, n)
    test_operation_contains_results_at_random_points("Mills' ratio", "numpy")


@pytest.mark.parametrize("engine", ENGINES)
def test_operations_are_tight(engine):
    kit = _intervals.arithmetic("test", engine)
    with kit.working():
        x = kit.between(np.linspace(-5, 9, 99), np.linspace(-5, 9, 99))
        ratio = kit.mills(x)
        # From x = 2 on a hundred terms of the fraction leave this much.
        assert np.all(kit.upper(ratio) - kit.lower(ratio) <= 1e-12 * kit.upper(ratio))


@pytest.mark.parametrize("engine", ENGINES)
def test_unknown_ends_are_infinite(engine):
    kit = _intervals.arithmetic("test", engine)
    with kit.working():
        x = kit.between(np.array([-1.0, 1.0]), np.array([1.0, 2.0]))
        for unknown in (1 / x, x / x - x / x, (1 / x) * 0, kit.exp(1 / x)):
            assert kit.upper(unknown)[0] == np.inf
        assert kit.lower(1 / x)[0] == -np.inf
        assert np.isfinite(kit.upper(1 / x)[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_are_enclosed(engine):
    kit = _intervals.arithmetic("test", engine)
    with kit.working():
        for value in map(Fraction, ("1/10", "1/3", "0.5", "-7", "1e-30")):
            x = kit.number(value)
            assert float(kit.lower(x)) <= value <= float(kit.upper(x))
        pi = kit.pi()
        with mpmath.workdps(30):
            assert float(kit.lower(pi)) < mpmath.pi < float(kit.upper(pi))


# --- the search -----------------------------------------------------------------------
def search(engine, function, tolerance=1e-9, budget=2000):
    """Maximize a function of x, y in the unit square that returns value and slopes."""
    kit = _intervals.arithmetic("test", engine)

    def values(lower, upper):
        x, y = (kit.between(lower[:, i], upper[:, i]) for i in range(2))
        return function(x, y)

    with kit.working():
        return _intervals.maximum(kit, values, tolerance=tolerance, budget=budget)


def valley(x, y):
    """Have the maxima 1/4 at two corners, and a saddle in the middle."""
    x, y = x - 0.5, y - 0.5
    return x * x + x * y - y * y, [2 * x + y, x - 2 * y]


def hill(x, y):
    """Have the maximum 0 inside, at a point no bisection meets."""
    x, y = 3 * x - 1, 7 * y - 3
    return -x * x - y * y, [-6 * x, -14 * y]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("function", "maximum"), [(valley, 5 / 16), (hill, 0)])
def test_search_encloses_the_maximum(function, maximum, engine):
    lower, upper, boxes = search(engine, function)
    assert lower <= maximum <= upper <= lower + 1e-9
    assert boxes < 500
    lower, upper, boxes = search(engine, function, budget=3)
    assert lower <= maximum <= upper
    assert boxes <= 4
    lower, upper, _ = search(engine, function, tolerance=0.1)
    assert lower <= maximum <= upper <= lower + 0.1


@pytest.mark.parametrize("engine", ENGINES)
def test_search_does_not_miss_a_peak_between_centers(engine):
    def values(peak, lower, upper):
        x, y = (kit.between(lower[:, i], upper[:, i]) for i in range(2))
        distance = kit.sqrt((x - peak) * (x - peak))
        slope = kit.between(-np.ones(len(lower)), np.ones(len(lower)))
        return -distance - y, [slope, 0 * y - 1]

    kit = _intervals.arithmetic("test", engine)
    for peak in np.random.default_rng(0).uniform(0, 1, 30):
        peaked = functools.partial(values, peak)
        with kit.working():
            ends = _intervals.maximum(kit, peaked, tolerance=0.1, budget=100)
        assert ends[0] <= 0 <= ends[1] <= ends[0] + 0.1


@pytest.mark.parametrize("engine", ENGINES)
def test_search_does_not_trust_what_it_does_not_know(engine):
    def function(x, y):
        return x / (y - 1 / 2), [1 / (y - 1 / 2), -x / ((y - 1 / 2) * (y - 1 / 2))]

    lower, upper, boxes = search(engine, function, budget=100)
    assert (lower > 0, upper) == (True, np.inf)
    assert 100 <= boxes < 200


@pytest.mark.parametrize("engine", ENGINES)
def test_search_with_a_wrong_slope_is_wrong(engine):
    def function(x, y):
        value, (by_x, by_y) = hill(x, y)
        return value, [by_x + 7, by_y]

    lower, upper, _ = search(engine, function)
    assert not lower <= 0 <= upper


# --- the map --------------------------------------------------------------------------
@functools.cache
def quadrature(m, v, alpha, scale):
    """Integrate SELU and its square, and four derivatives of each by m, over N(m, v).

    Gauss and Legendre's rule on both sides of the kink, 14 standard deviations far; a
    derivative of the density is a Hermite polynomial times it.
    """
    node, weight = np.polynomial.legendre.leggauss(200)
    s = math.sqrt(v)
    sums = np.zeros((2, 5))
    for low, high in ((m - 14 * s, 0), (0, m + 14 * s)):
        z = (low + high) / 2 + (high - low) / 2 * node
        f = scale * np.where(z > 0, z, alpha * np.expm1(z))
        x = (z - m) / s
        density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) / s
        for n in range(5):
            hermite = np.polynomial.hermite_e.hermeval(x, np.eye(5)[n]) / s**n
            parts = (high - low) / 2 * weight * density * hermite
            sums[:, n] += (parts * f).sum(), (parts * f**2).sum()
    return sums


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("m", "v"), [(0.5, 0.25), (-0.25, 4.0), (0.0, 1.0), (0.1, 16.0), (-0.01, 0.0625)]
)
def test_expectations_are_those_of_quadrature(m, v, engine):
    kit = _intervals.arithmetic("test", engine)
    with kit.working():
        arguments = (kit.number(Fraction(q)) for q in (m, v, 1.5, 1.25))
        found = _extremes.expectations(kit, *arguments)
        lower, upper = (
            np.array([[end(q) for q in row] for row in found])
            for end in (kit.lower, kit.upper)
        )
    value = quadrature(m, v, 1.5, 1.25)
    # What the sum of the 400 terms of the rule can lose to rounding.
    lost = 1e-13 * (1 + np.abs(value)) * max(1, 1 / v**2)
    assert np.all(lower - lost <= value)
    assert np.all(value <= upper + lost)
    assert np.all(upper - lower < 1e-11 * max(1, 1 / v**2))


def slopes_fit(name, engine="numpy", n=200):
    """Whether the slopes of a quantity on boxes fit its values at their corners."""
    quantity, _, _ = _extremes.EXTREMES[name]
    proof = proofs._Proof("test", engine=engine)
    where = proofs._Domain.of("test", **(THEOREM_1 | {"mu": 2, "nu": ("0.2", 3)}))
    rng = np.random.default_rng(1)
    fits = []
    with proof.kit.working():
        for largest_tau in (True, False):
            for rectangle in where.pieces(largest_tau):
                piece = proofs._Piece(proof.kit, where, *rectangle)
                lower = rng.uniform(0, 0.99, (n, 2))
                upper = lower + 1e-4
                corner = np.where([True, False], upper, lower)
                values = functools.partial(proof._values, quantity, 1, piece)
                _, slopes = values(lower, upper)
                # One step along each axis, from corner to corner.
                for i, (start, end) in enumerate(((lower, corner), (corner, upper))):
                    before, after = (values(at, at)[0] for at in (start, end))
                    rise = after - before
                    step = proof.kit.between(*[(end - start)[:, i]] * 2)
                    bound = slopes[i] * step
                    fits.append(rise.lower <= bound.upper)
                    fits.append(bound.lower <= rise.upper)
                    # And the slopes are narrow, so that a wrong one would not fit.
                    size = np.abs(bound.upper).max()
                    fits.append(bound.upper - bound.lower < 0.1 * size)
    return bool(np.all(fits))


@pytest.mark.parametrize("name", [n for n in _extremes.EXTREMES if "largest" in n])
def test_slopes_fit_the_values(name):
    assert slopes_fit(name)


def test_wrong_slopes_do_not_fit(monkeypatch):
    def faulty(found, piece, v):
        value, by_m, by_v = _extremes.new_mean(found, piece, v)
        return value, by_m, 1.2 * by_v

    monkeypatch.setitem(_extremes.EXTREMES, "largest new mean", (faulty, 1, 1))
    assert not slopes_fit("largest new mean")


# --- what is proved -------------------------------------------------------------------
IN_DOMAIN = {"theorem_1": THEOREM_1, "lemma_12": LEMMA_12, "theorem_2": THEOREM_2}
FULL = (*IN_DOMAIN, "theorem_3")


@functools.cache
def sample(mu, omega, nu, tau):
    """Map 100 000 points of a domain, many of them on its faces, edges and corners.

    Returns each quantity of :func:`proofs.enclose`, as an array.
    """
    rng = np.random.default_rng(0)
    ranges = np.array([(-mu, mu), (-omega, omega), nu, tau], float)
    share = np.clip(rng.uniform(-0.6, 1.6, (4, 100_000)), 0, 1)
    points = ranges[:, :1] + share * np.diff(ranges, axis=1)
    mean, weight_sum, var, weight_sumsq = points
    weights = {"weight_sum": weight_sum, "weight_sumsq": weight_sumsq}
    new_mean, new_var = self_normalization.moments(mean, var, **weights)
    jacobian = self_normalization.jacobian(mean, var, **weights)
    return {
        "new mean": new_mean,
        "new second moment": new_var + new_mean**2,
        "new variance": new_var,
        "rise of the variance": new_var - var,
        "fall of the variance": var - new_var,
        "fall to the second moment": var - new_var - new_mean**2,
        "ratio": new_var / var,
        "singular value": np.linalg.norm(jacobian, 2, axis=(-2, -1)),
    }


def check_extreme(name, ends, domain):
    """Require that sampled points are within an extreme, and one is near it."""
    extreme, _, quantity = name.partition(", nu")[0].partition(" ")
    found = sample(**domain)[quantity]
    lower, upper = ends
    if extreme == "largest":
        found, lower, upper = -found, -upper, -lower
    scale = 1 + abs(lower)
    require = found.min() >= lower - ROUNDING * scale
    assert require, f"{name}: a point is beyond {ends}"
    assert found.min() <= upper + NEAR * scale, f"{name}: no point is near {ends}"


def domain_of(name, bound):
    if name == "theorem_3":
        return THEOREM_3 if bound.endswith("0.16") else THEOREM_3_WIDE
    return IN_DOMAIN[name]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FULL)
def test_theorem_is_proved(name, engine):
    found = certificate(name, engine)
    assert found.holds
    assert found.boxes < 2000
    assert 0 < found.seconds < 60
    for bound, (lower, upper) in found.bounds.items():
        assert lower <= upper <= lower + 1e-9
        assert {type(lower), type(upper)} == {float}
        check_extreme(bound, (lower, upper), domain_of(name, bound))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", _extremes.EXTREMES)
def test_every_extreme_is_sharp(name, engine):
    # Small variances too: the smallest new mean is not at a corner.
    domain = {"mu": 0.5, "omega": 0.4, "nu": (0.1, 1.5), "tau": (0.7, 1.2)}
    ends = proofs.enclose(name, engine=engine, tolerance=1e-6, **domain)
    assert ends[0] <= ends[1] <= ends[0] + 1e-6
    check_extreme(name, ends, domain)


def test_check_finds_an_enclosure_that_is_wrong_or_loose():
    lower, upper = certificate("theorem_1", "flint").bounds["largest new mean"]
    check_extreme("largest new mean", (lower, upper), THEOREM_1)
    for ends in ((lower - 1e-5, upper - 1e-5), (lower, lower - 1e-9)):
        with pytest.raises(AssertionError, match="beyond"):
            check_extreme("largest new mean", ends, THEOREM_1)
    with pytest.raises(AssertionError, match="near"):
        check_extreme("largest new mean", (lower + 2e-4, upper + 2e-4), THEOREM_1)


def test_a_wrong_map_is_found(monkeypatch):
    def without_spike(kit, m, v, alpha, scale):
        f, squared = expectations(kit, m, v, alpha, scale)
        f[2] = f[1] - scale * (1 - density(kit, m, v))
        return f, squared

    def density(kit, m, v):
        return (
            kit.exp(-m * m / v / 2)
            * kit.mills(m / kit.sqrt(v))
            / kit.sqrt(2 * kit.pi())
        )

    expectations = _extremes.expectations
    monkeypatch.setattr(_extremes, "expectations", without_spike)
    name = "largest singular value"
    wrong = proofs.enclose(name, engine="flint", **THEOREM_1)
    with pytest.raises(AssertionError, match="singular value"):
        check_extreme(name, wrong, THEOREM_1)


@pytest.mark.parametrize("name", FULL)
def test_engines_agree(name):
    first, second = (certificate(name, engine).bounds for engine in ENGINES)
    assert first.keys() == second.keys()
    for bound, (lower, upper) in first.items():
        assert lower <= second[bound][1]
        assert second[bound][0] <= upper


def test_what_the_paper_prints_is_proved_or_corrected():
    verdicts = {
        printed.place: printed.verdict(certificate(name, engine))
        for name, rows in proofs.PRINTED.items()
        for printed in rows
        for engine in ENGINES
        if printed.bound != "smallest new mean"
    }
    assert set(verdicts.values()) == {"proved"}
    assert len(verdicts) == 6
    for engine in ENGINES:
        printed = proofs.PRINTED["theorem_1"][0]
        assert printed.verdict(certificate("theorem_1", engine)) == "corrected"


@pytest.mark.parametrize(
    ("relation", "value", "verdict"),
    [
        ("above", "0.24", "proved"),
        ("above", "0.25", "open"),
        ("above", "0.3", "open"),
        ("above", "0.5", "corrected"),
        ("below", "0.51", "proved"),
        ("below", "0.5", "open"),
        ("below", "0.25", "corrected"),
        ("is", "0.4", "open"),  # from 0.35 to 0.45
        ("is", "0.2", "corrected"),
        ("is", "0.1", "corrected"),
        ("is", "0.6", "corrected"),
        ("is", "0", "open"),
        ("is", "1", "corrected"),
    ],
)
def test_verdict_on_a_printed_bound(relation, value, verdict):
    wide = proofs.Certificate("", True, {"x": (0.25, 0.5)}, 1, "", 0.0)
    assert proofs.Printed("x", relation, value, "").verdict(wide) == verdict


def test_paper_s_bounds_of_the_variance_come_from_the_second_moment():
    # The printed bounds of the variance are those of the second moment, the lower one
    # less the square of the largest mean.
    moment = {
        extreme: proofs.enclose(f"{extreme} new second moment", **THEOREM_1)
        for extreme in ("smallest", "largest")
    }
    largest_mean = certificate("theorem_1", "flint").bounds["largest new mean"]
    assert f"{moment['smallest'][0] - largest_mean[1] ** 2:.5f}" == "0.80009"
    assert moment["largest"][1] < 1.48617 < moment["largest"][0] + 1e-5


def test_largest_singular_value_at_the_fixed_point():
    # Klambauer et al. (2017), below eq. 6
    there = {"mu": 0, "omega": 0, "nu": (1, 1), "tau": (1, 1)}
    lower, upper = proofs.enclose("largest singular value", **there)
    assert f"{lower:.4f}" == f"{upper:.4f}" == "0.7877"


@pytest.mark.parametrize("engine", ENGINES)
def test_falls_and_rises_are_opposites(engine):
    ends = {
        name: proofs.enclose(name, engine=engine, **THEOREM_2)
        for name in _extremes.EXTREMES
        if "of the variance" in name
    }
    for one, other in (("largest", "smallest"), ("smallest", "largest")):
        lower, upper = ends[f"{one} rise of the variance"]
        assert ends[f"{other} fall of the variance"] == (-upper, -lower)


def test_theorem_2_needs_a_wider_mean_to_be_applied_again():
    assert certificate("theorem_2", "flint").bounds["largest new mean"][0] > 1
    wider = proofs.theorem_2(mu=1.25)
    assert wider.holds
    assert -1.25 < wider.bounds["smallest new mean"][0]
    assert wider.bounds["largest new mean"][1] < 1.25


def test_theorem_3_can_be_applied_again():
    for bound, (lower, upper) in certificate("theorem_3", "flint").bounds.items():
        if "new mean" in bound:
            assert -0.1 < lower <= upper < 0.1


# --- the constants --------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_standard_fixed_point_is_that_of_the_exact_constants(engine):
    exact = proofs.standard_fixed_point(engine=engine)
    assert exact.holds
    small = {"flint": 1e-30, "numpy": 1e-11}[engine]
    for lower, upper in exact.bounds.values():
        assert -small < lower <= 0 <= upper < small
    # Solved with decimals, without this file.
    alpha, scale = self_normalization.constants(digits=60)
    assert proofs.standard_fixed_point(alpha=alpha, scale=scale, engine=engine).holds
    # An error of 1e-33 is small, but it is one: the balls are smaller.
    alpha, scale = self_normalization.constants(digits=33)
    rounded = proofs.standard_fixed_point(alpha=alpha, scale=scale, engine=engine)
    assert rounded.holds == (engine == "numpy")
    six = proofs.standard_fixed_point(alpha=1.67326, scale=1.05070, engine=engine)
    assert not six.holds


def test_standard_fixed_point_is_not_that_of_float64():
    as_float = {"alpha": Fraction(SELU_ALPHA), "scale": Fraction(SELU_SCALE)}
    assert not proofs.standard_fixed_point(engine="flint", **as_float).holds
    for name in FULL:
        assert getattr(proofs, name)(**as_float).holds


@pytest.mark.parametrize("engine", ENGINES)
def test_bounds_with_other_constants(engine):
    with_relu = proofs.theorem_1(alpha=0, scale=1, engine=engine)
    assert not with_relu.holds
    # ReLU of N(m, v) has the mean m Phi(m/s) + s phi(m/s), largest at (0.01, 1.65).
    s = 1.65**0.5
    mean = 0.01 * mpmath.ncdf(0.01 / s) + s * mpmath.npdf(0.01 / s)
    lower, upper = with_relu.bounds["largest new mean"]
    assert lower - 1e-12 <= mean <= upper + 1e-12


# --- what is not proved ---------------------------------------------------------------
FALSE = {
    "variance in a smaller range": ("theorem_1", {"variance": (0.81, 1.48)}),
    "variance below its largest": ("theorem_1", {"variance": (0.8, 1.4815)}),
    "mean above its smallest": ("theorem_1", {"mean": (-0.03106, 0.1)}),
    "mean below its largest": ("theorem_1", {"mean": (-0.1, 0.0677)}),
    "smaller singular value": ("theorem_1", {"norm": 0.8976083584}),
    "any image is wide enough": ("theorem_1", {"tau": (0.8, 1.25), "variance": (0, 9)}),
    "contraction by more than 1": ("theorem_1", {"nu": (0.5, 1.5), "norm": 9}),
    "more weights": ("theorem_1", {"tau": (0.95, 1.2)}),
    "another activation": ("theorem_1", {"alpha": 1, "scale": 1}),
    "too few boxes": ("theorem_1", {"budget": 1}),
    "singular value of lemma 12": ("lemma_12", {"norm": 0.98}),
    "lemma 12 with more weights": ("lemma_12", {"tau": (0.8, 1.3)}),
    "fall from 2": ("theorem_2", {"nu": (2, 16)}),
    "fall with large weights": ("theorem_2", {"tau": (0.8, 1.4)}),
    "rise to 0.42": ("theorem_3", {"nu": ((0.02, 0.42),), "tau": ((0.8, 1.25),)}),
    "rise in one of two": (
        "theorem_3",
        {"nu": ((0.02, 0.16), (0.02, 0.7)), "tau": ((0.8, 1.25), (0.9, 1.25))},
    ),
    "rise in the other": (
        "theorem_3",
        {"nu": ((0.02, 0.7), (0.02, 0.16)), "tau": ((0.9, 1.25), (0.8, 1.25))},
    ),
    "rise with small weights": (
        "theorem_3",
        {"nu": ((0.02, 0.16),), "tau": ((0.6, 1.25),)},
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("claim", FALSE)
def test_false_claim_is_not_proved(claim, engine):
    name, arguments = FALSE[claim]
    found = getattr(proofs, name)(engine=engine, **arguments)
    assert not found.holds
    assert str(found).startswith("Not proved: For mu in [")


@pytest.mark.parametrize("engine", ENGINES)
def test_true_claims_next_to_the_false_ones_are_proved(engine):
    claim = {"mean": ("-0.0310606", "0.0677252"), "variance": (0.8037, 1.4816)}
    assert proofs.theorem_1(norm=0.8977, engine=engine, **claim).holds
    assert proofs.lemma_12(norm=0.9891, engine=engine).holds
    assert proofs.theorem_2(nu=(2.5, 16), engine=engine).holds
    assert proofs.theorem_3(nu=[(0.02, 0.4)], tau=[(0.8, 1.25)], engine=engine).holds


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exhausted_budget_leaves_what_is_right(engine):
    sharp = certificate("theorem_3", engine).bounds
    for budget in (1, 6):
        rough = proofs.theorem_3(budget=budget, engine=engine)
        for bound, (lower, upper) in sharp.items():
            assert rough.bounds[bound][0] <= upper
            assert lower <= rough.bounds[bound][1]
    lower, upper = proofs.theorem_3(budget=1, engine=engine).bounds[
        "smallest new mean, nu up to 0.16"
    ]
    assert upper - lower > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hopeless_domain_ends(engine):
    wide = {"mu": 10, "omega": 10, "nu": ("0.001", 100), "tau": (1, 1)}
    lower, upper = proofs.enclose("largest new mean", budget=50, engine=engine, **wide)
    assert lower <= 106
    assert upper >= 100 * SELU_SCALE


# --- engines --------------------------------------------------------------------------
def test_without_flint_numpy_does_it(monkeypatch):
    assert proofs.theorem_2().engine == "python-flint balls"
    monkeypatch.setitem(sys.modules, "flint", None)
    found = proofs.theorem_2()
    assert found.engine == "NumPy intervals"
    assert found == certificate("theorem_2", "numpy")
    with pytest.raises(ModuleNotFoundError, match="flint"):
        proofs.theorem_2(engine="flint")


def test_precision_and_warnings_are_left_as_they_were():
    import flint

    with flint.ctx.workprec(77), np.errstate(over="print"):
        before = np.geterr()
        for engine in ENGINES:
            proofs.theorem_2(engine=engine)
        assert (flint.ctx.prec, np.geterr()) == (77, before)


# --- the certificate and its arguments ------------------------------------------------
def test_certificate_is_readable_and_without_time():
    first, second = (proofs.theorem_1(engine="flint") for _ in range(2))
    assert first.seconds != second.seconds
    assert first == second
    assert str(first) == str(second)
    assert str(first) == (
        """\
Proved: For mu in [-0.1, 0.1], omega in [-0.1, 0.1], nu in [0.8, 1.5], tau in
[0.95, 1.1], the map takes (mu, nu) to a mean in [-0.1, 0.1] and a variance in
[0.8, 1.5], and the largest singular value of its Jacobian is below 1. So each
(omega, tau) has one fixed point in the domain, and everything in the domain
converges to it.
  smallest new mean       [-0.03106050180, -0.03106050179]
  largest new mean        [0.06772510168, 0.06772510169]
  smallest new variance   [0.8037117576, 0.8037117577]
  largest new variance    [1.481574958, 1.481574959]
  largest singular value  [0.8976083584, 0.8976083585]
"""
        f"  (boxes: {first.boxes}; python-flint balls)"
    )


def test_certificate_names_the_constants_that_are_given():
    text = str(proofs.lemma_12(alpha="1.67326", scale=1.0507)).replace("\n", " ")
    assert "below 1. Here alpha = 1.67326 and scale = 1.0507. " in text


def test_printed_enclosure_is_rounded_outward():
    bounds = {"x": (1 / 3, 2 / 3), "y": (-np.inf, -1 / 3), "long name": (1e-40, 1.0)}
    lines = str(proofs.Certificate("A", True, bounds, 7, "E", 0.1)).splitlines()
    assert lines == [
        "Proved: A",
        "  x          [0.3333333333, 0.6666666667]",
        "  y          [-Infinity, -0.3333333333]",
        "  long name  [9.999999999E-41, 1]",
        "  (boxes: 7; E)",
    ]


@pytest.mark.parametrize(
    "value", [0.1, "0.1", Decimal("0.1"), Fraction(1, 10), np.float64(0.1), "1/10"]
)
def test_a_tenth_is_a_tenth(value):
    found = proofs.theorem_1(mu=value, omega=value, engine="flint")
    assert found == certificate("theorem_1", "flint")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"mu": None}, TypeError, "`mu` must be a number; got None."),
        ({"mu": True}, TypeError, "`mu` must be a number; got True."),
        ({"mu": "a"}, ValueError, "`mu` must be a finite number; got 'a'."),
        ({"mu": "1/0"}, ValueError, "`mu` must be a finite number; got '1/0'."),
        ({"mu": np.nan}, ValueError, "`mu` must be a finite number; got nan."),
        ({"omega": np.inf}, ValueError, "`omega` must be a finite number; got inf."),
        ({"omega": -0.1}, ValueError, "`omega` must be at least 0; got -0.1."),
        ({"nu": 1}, TypeError, "`nu` must be a pair of numbers; got 1."),
        (
            {"nu": (1, 2, 3)},
            TypeError,
            "`nu` must be a pair of numbers; got (1, 2, 3).",
        ),
        ({"nu": (0, 1)}, ValueError, "`nu` must start above 0; got 0."),
        ({"tau": (-1, 1)}, ValueError, "`tau` must start above 0; got -1."),
        (
            {"tau": (2, 1)},
            ValueError,
            "`tau` must not start above its end; got 2 and 1.",
        ),
        ({"norm": "b"}, ValueError, "`norm` must be a finite number; got 'b'."),
        ({"mean": 3}, TypeError, "`mean` must be a pair of numbers; got 3."),
        (
            {"variance": "x"},
            TypeError,
            "`variance` must be a pair of numbers; got 'x'.",
        ),
        ({"alpha": []}, TypeError, "`alpha` must be a number; got []."),
        ({"scale": np.nan}, ValueError, "`scale` must be a finite number; got nan."),
        ({"budget": 0}, ValueError, "`budget` must be at least 1; got 0."),
        ({"budget": 1.5}, TypeError, "`budget` must be an integer; got 1.5."),
        (
            {"tolerance": -1},
            ValueError,
            "`tolerance` must be a finite number of at least 0; got -1.0.",
        ),
        (
            {"engine": "Flint"},
            ValueError,
            "`engine` must be one of 'flint', 'numpy'; got 'Flint'. Did you mean "
            "'flint'?",
        ),
    ],
)
def test_bad_argument_is_refused(arguments, error, text):
    assert refusal(proofs.theorem_1, **arguments) == (error, f"theorem_1: {text}")


def test_every_function_names_itself():
    for name in ("lemma_12", "theorem_2", "theorem_3"):
        text = f"{name}: `mu` must be at least 0; got -1."
        assert refusal(getattr(proofs, name), mu=-1) == (ValueError, text)
    text = "standard_fixed_point: `alpha` must be a number; got []."
    assert refusal(proofs.standard_fixed_point, alpha=[]) == (TypeError, text)
    error, text = refusal(proofs.enclose, "largest mean", **THEOREM_1)
    assert error is ValueError
    assert text.startswith("enclose: `name` must be one of 'largest singular value', ")
    assert text.endswith("got 'largest mean'. Did you mean 'largest new mean'?")
    ranges = {"nu": ((0.02, 0.16),), "tau": ((0.8, 1.25), (0.9, 1.25))}
    text = "theorem_3: `tau` must hold as many ranges as `nu`, 1; got 2."
    assert refusal(proofs.theorem_3, **ranges) == (ValueError, text)
