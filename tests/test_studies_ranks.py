"""Ranks over data sets: a published example, brute force, and what must not matter."""

import functools
import itertools
import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from companion.studies.ranks import (
    cliques,
    critical_difference,
    friedman,
    holm,
    intervals,
    mean_ranks,
    rank_differences,
    ranks,
    wilcoxon,
)

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

#: Demšar (2006), table 6: C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets.
AUC = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],  # printed 0.975 twice, with the ranks 2 and 3
        [0.957, 0.978, 0.946, 0.970],
    ]
)
#: The ranks in parentheses there.
PRINTED = [
    [4, 3, 2, 1],
    [1, 2, 3, 4],
    [4, 1, 2, 3],
    [4, 1, 3, 2],
    [4, 2, 3, 1],
    [1, 2.5, 4, 2.5],
    [3, 2, 4, 1],
    [2.5, 2.5, 4, 1],
    [4, 3, 2, 1],
    [2.5, 2.5, 2.5, 2.5],
    [4, 2.5, 1, 2.5],
    [3, 2, 4, 1],
    [4, 1, 2, 3],
    [3, 1, 4, 2],
]

#: Tables of few different scores, so that many are tied.
tables = st.tuples(st.integers(1, 6), st.integers(2, 6)).flatmap(
    lambda shape: arrays(float, shape, elements=st.sampled_from([-1.0, 0.25, 0.5, 3.0]))
)


def rng(seed=0):
    return np.random.default_rng(seed)


def refusal(function, *args, **arguments):
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*args, **arguments)
    return caught.type, str(caught.value)


# --- ranks ----------------------------------------------------------------------------
def test_ranks_are_those_of_the_published_example():
    np.testing.assert_array_equal(ranks(AUC), PRINTED)
    assert mean_ranks(AUC).round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    assert rank_differences(AUC).round(3).tolist() == [0.643, -0.5, 0.393, -0.536]


@quick
@given(tables)
def test_ranks_count_the_better_and_half_of_the_equal(scores):
    better = (scores[:, None, :] > scores[:, :, None]).sum(axis=2)
    equal = (scores[:, None, :] == scores[:, :, None]).sum(axis=2) - 1
    np.testing.assert_array_equal(ranks(scores), 1 + better + equal / 2)


@quick
@given(tables, st.integers(0, 99))
def test_ranks_follow_their_methods_and_data_sets(scores, seed):
    rows, columns = (rng(seed).permutation(n) for n in scores.shape)
    moved = scores[rows][:, columns]
    np.testing.assert_array_equal(ranks(moved), ranks(scores)[rows][:, columns])
    near = {"rtol": 0, "atol": 1e-14}  # the ranks are summed in another order
    np.testing.assert_allclose(mean_ranks(moved), mean_ranks(scores)[columns], **near)
    np.testing.assert_allclose(
        rank_differences(moved), rank_differences(scores)[columns], **near
    )


@quick
@given(tables)
def test_ranks_ask_only_which_score_is_higher(scores):
    rows = np.arange(1.0, len(scores) + 1)[:, None]  # data sets on scales of their own
    np.testing.assert_array_equal(ranks(rows * np.exp(scores) - rows), ranks(scores))


@quick
@given(tables)
def test_rank_differences_add_up_to_nothing(scores):
    assert abs(rank_differences(scores).sum()) < 1e-13
    assert (
        ranks(scores).sum(axis=1) == scores.shape[1] * (scores.shape[1] + 1) / 2
    ).all()


def test_the_better_method_has_the_lower_difference():
    scores = np.stack([np.linspace(0, 0.8, 9), np.linspace(0.1, 0.9, 9)], axis=1)
    assert rank_differences(scores).tolist() == [0.5, -0.5]


def test_means_of_the_same_folds_are_tied():
    folds = [0.1, 0.2, 0.3, 0.4, 0.7]
    # `sum` itself is exact to the last digit from Python 3.12 on.
    there, back = (functools.reduce(operator.add, f) / 5 for f in (folds, folds[::-1]))
    scores = [[there, back, 0.3]]
    assert scores[0][0] != scores[0][1]
    assert ranks(scores).tolist() == [[1.5, 1.5, 3]]
    assert ranks([[0.5, 0.5 + 1e-9, 0.3]]).tolist() == [[2, 1, 3]]


# --- intervals ------------------------------------------------------------------------
def test_intervals_agree_with_scipys_bootstrap():
    low, high = intervals(AUC, rng=rng(), confidence=0.9)
    options = {"confidence_level": 0.9, "method": "percentile", "axis": 0}
    theirs = stats.bootstrap((ranks(AUC),), np.mean, **options).confidence_interval
    # Of 9999 means the 5 % quantile is known to 0.22 % of their number (one standard
    # error), and the means are multiples of 1/28: it may be the next one or two.
    np.testing.assert_allclose(low, theirs.low, atol=2 / 28 + 1e-12)
    np.testing.assert_allclose(high, theirs.high, atol=2 / 28 + 1e-12)


def test_intervals_hold_their_means_and_widen_with_confidence():
    low, high = intervals(AUC, rng=rng())
    assert (low < mean_ranks(AUC)).all()
    assert (mean_ranks(AUC) < high).all()
    wider = intervals(AUC, rng=rng(), confidence=0.999)
    assert (wider[0] < low).all()
    assert (wider[1] > high).all()


def test_intervals_cover_the_truth_as_often_as_they_say():
    # Three equal methods have the mean rank 2.  Of 100 intervals 95 hold it, with a
    # standard deviation of 2.2, less two or three for there being only 20 data sets.
    hits = 0
    for seed in range(100):
        low, high = intervals(rng(seed).random((20, 3)), rng=rng(seed))
        hits += low[0] <= 2 <= high[0]
    assert 85 <= hits <= 99


def test_interval_of_one_rank_is_a_point():
    scores = np.column_stack([np.full(9, 2.0), rng().random((9, 3))])
    low, high = intervals(scores, rng=rng())
    assert low[0] == high[0] == 1
    assert (low[1:] < high[1:]).all()
    assert (low[1:] >= 2).all()
    assert (high <= 4).all()


def test_intervals_are_the_same_with_the_same_seed():
    first, again, other = (intervals(AUC, rng=rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# --- Friedman's test ------------------------------------------------------------------
def equation(scores):
    """Return Friedman's statistic as printed, and the correction c for ties."""
    n, k = scores.shape
    means = mean_ranks(scores)
    statistic = 12 * n / (k * (k + 1)) * (np.sum(means**2) - k * (k + 1) ** 2 / 4)
    ties = sum(
        count**3 - count
        for row in scores
        for count in np.unique(row, return_counts=True)[1]
    )
    return statistic, 1 - ties / (n * k * (k**2 - 1))


def test_friedman_is_that_of_the_published_example():
    statistic, c = equation(AUC)
    assert round(statistic, 2) == 9.28
    found = friedman(AUC)
    assert found.statistic == pytest.approx(9.28 / c, rel=1e-3)  # of three digits
    assert found.p < 0.05  # "so we reject the null-hypothesis"


@quick
@given(tables.filter(lambda t: t.shape[1] > 2 and np.ptp(t, axis=1).any()))
def test_friedman_is_its_equation(scores):
    statistic, c = equation(scores)
    found = friedman(scores)
    assert found.statistic == pytest.approx(statistic / c, rel=1e-9, abs=1e-9)
    p = stats.chi2.sf(statistic / c, scores.shape[1] - 1)
    assert found.p == pytest.approx(p, rel=1e-6)


def test_friedman_of_methods_that_are_alike():
    found = friedman(np.arange(12.0).reshape(4, 3) * 0 + [[1], [2], [3], [4]])
    assert (found.statistic, found.p) == (0, 1)


# --- Wilcoxon's test ------------------------------------------------------------------
def sums(difference):
    """Return the sums of ranks of either sign, zeros halved, as Demšar defines them."""
    size = stats.rankdata(np.abs(difference).round(9))
    zero = size[difference == 0].sum() / 2
    return size[difference > 0].sum() + zero, size[difference < 0].sum() + zero


def test_wilcoxon_is_that_of_the_published_example():
    difference = (AUC[:, 1] - AUC[:, 0]).round(9)
    assert sums(difference) == (93, 12)  # section 3.1.3
    # There are ties, so the normal approximation holds; ties in size take
    # (t^3 - t) / 48 off the variance, here twice 6 / 48, of the zeros and of 0.005.
    n = len(difference)
    variance = n * (n + 1) * (2 * n + 1) / 24 - 2 * 6 / 48
    p = 2 * stats.norm.cdf((12 - n * (n + 1) / 4) / math.sqrt(variance))
    found = wilcoxon(AUC, best=1)
    assert found.p[0] == pytest.approx(p, rel=0.01)  # of how zeros enter the variance
    assert found.p[0] < 0.05  # "We therefore reject the null-hypothesis"
    assert found.ahead[0] == 1  # 93 is more than 12


@pytest.mark.parametrize("n", [1, 4, 7, 9])
def test_wilcoxon_counts_all_signs(n):
    scores = rng(n).random((n, 3))
    found = wilcoxon(scores, best=2)
    for j in 0, 1:
        difference = scores[:, 2] - scores[:, j]
        size = stats.rankdata(np.abs(difference))
        signs = np.array(list(itertools.product([-1, 1], repeat=n)))
        far = np.abs(signs @ size) >= abs(np.sign(difference) @ size)
        assert found.p[j] == pytest.approx(far.mean(), rel=1e-12)
        assert found.ahead[j] == np.sign(np.sign(difference) @ size)
        assert found.ahead[j] == -wilcoxon(scores, best=j).ahead[2]
    assert found.ahead[2] == 0


def test_wilcoxon_is_against_the_best_by_default():
    found = wilcoxon(AUC)
    assert found.best == mean_ranks(AUC).argmin() == 3
    assert found.p[3] == found.adjusted[3] == 1
    named = wilcoxon(AUC, best=3)
    np.testing.assert_array_equal(found.p, named.p)
    np.testing.assert_array_equal(found.adjusted[:3], holm(found.p[:3]))
    assert wilcoxon(AUC[:, [3, 3, 0]]).best == 0  # the first of two that are equal


def test_wilcoxon_follows_its_methods():
    order = [2, 0, 3, 1]
    found, moved = wilcoxon(AUC), wilcoxon(AUC[:, order])
    assert order[moved.best] == found.best
    np.testing.assert_array_equal(moved.p, found.p[order])
    np.testing.assert_array_equal(moved.adjusted, found.adjusted[order])


def test_wilcoxon_of_methods_that_are_alike():
    found = wilcoxon(AUC[:, [1, 1, 1]], best=0)
    assert not found.ahead.any()
    assert found.p.tolist() == found.adjusted.tolist() == [1, 1, 1]


def test_wilcoxon_treats_rounding_as_ties():
    scores = AUC[:, [1, 0]]
    noise = rng().uniform(-1e-14, 1e-14, scores.shape)
    np.testing.assert_array_equal(wilcoxon(scores + noise).p, wilcoxon(scores).p)


def test_wilcoxon_ties_differences_of_the_same_size():
    tenths = rng().integers(0, 10, (20, 2))
    sizes = np.abs(np.diff(tenths / 10)).ravel()
    assert len({*sizes}) > len({*sizes.round(9)})  # 0.3 - 0.1 is not 0.9 - 0.7
    np.testing.assert_array_equal(wilcoxon(tenths / 10).p, wilcoxon(tenths).p)


# --- Holm's correction ----------------------------------------------------------------
def test_holm_is_that_of_the_published_example():
    # Section 3.2.2: at 5 % the first two hypotheses are rejected, the third is not.
    adjusted = holm([0.607, 0.016, 0.019])
    np.testing.assert_allclose(adjusted, [0.607, 0.048, 0.048], rtol=1e-12)


@quick
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.floats(0.001, 0.999),
)
def test_holm_rejects_step_by_step(p, alpha):
    rejected = set()
    for i, j in enumerate(np.argsort(p, kind="stable")):
        if p[j] * (len(p) - i) > alpha:
            break
        rejected.add(j)
    assert {*np.flatnonzero(holm(p) <= alpha)} == rejected


def test_holm_of_none_is_none():
    assert holm([]).shape == (0,)


# --- Nemenyi's test -------------------------------------------------------------------
#: Demšar (2006), table 5(a), for 2 to 10 methods.
CRITICAL = {
    0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
    0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
}


@pytest.mark.parametrize("alpha", CRITICAL)
@pytest.mark.parametrize("k", range(2, 11))
def test_critical_difference_is_that_of_the_published_table(k, alpha):
    q = critical_difference(k, 1, alpha) / math.sqrt(k * (k + 1) / 6)
    assert q == pytest.approx(CRITICAL[alpha][k - 2], abs=0.001)  # printed with three


def test_critical_difference_of_two_is_normal():
    # The ranks of two methods differ by +1 or -1 a data set: a sum of signs.
    expected = stats.norm.ppf(0.975) / math.sqrt(50)
    assert critical_difference(2, 50) == pytest.approx(expected, rel=1e-6)


def test_equal_methods_are_that_far_apart_as_often_as_alpha():
    # Of 4000 tables 400 exceed it at 10 %, with a standard deviation of 19; the ranks
    # of 60 data sets are discrete and nearly normal, which moves it less than that.
    r = rng().random((4000, 60, 5)).argsort(axis=2).argsort(axis=2).mean(axis=1)
    beyond = np.ptp(r, axis=1) >= critical_difference(5, 60, 0.1)
    assert 325 <= beyond.sum() <= 475


def test_cliques_are_those_of_the_published_example():
    means = mean_ranks(AUC)
    assert cliques(means, critical_difference(4, 14)) == ((3, 1, 2, 0),)
    # "C4.5 is significantly worse than C4.5+m and C4.5+m+cf. We cannot tell which group
    # C4.5+cf belongs to."
    assert cliques(means, critical_difference(4, 14, 0.1)) == ((3, 1, 2), (2, 0))


@quick
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=7),
    st.integers(1, 8),
)
def test_cliques_are_the_largest_sets_that_are_near(quarters, cd):
    means = np.array(quarters) / 4
    near = [
        set(members)
        for n in range(2, len(means) + 1)
        for members in itertools.combinations(range(len(means)), n)
        if np.ptp(means[list(members)]) < cd / 4
    ]
    largest = [group for group in near if not any(group < other for other in near)]
    found = cliques(means, cd / 4)
    assert sorted(map(sorted, found)) == sorted(map(sorted, largest))
    assert all((np.diff(means[list(group)]) >= 0).all() for group in found)
    starts = [means[group[0]] for group in found]
    assert starts == sorted(starts)


def test_cliques_of_a_tie_are_one():
    assert cliques([2.0, 2.0, 2.0], 0.5) == ((0, 1, 2),)
    assert cliques([1.0, 2.0], 1.0) == ()  # as far apart as cd is apart


# --- refusals -------------------------------------------------------------------------
TABLE = {
    "ranks": ranks,
    "mean_ranks": mean_ranks,
    "rank_differences": rank_differences,
    "friedman": friedman,
    "wilcoxon": wilcoxon,
    "intervals": lambda scores: intervals(scores, rng=rng()),
}


@pytest.mark.parametrize("name", TABLE)
def test_scores_that_are_no_table_are_refused(name):
    for value in (math.nan, math.inf):
        scores = AUC.copy()
        scores[3, 1] = value
        assert refusal(TABLE[name], scores) == (
            ValueError,
            f"{name}: `scores` must be finite; got {value} for data set 3, method 1. "
            "Leave out the data sets that not every method has a score on.",
        )
    for shape in [(4,), (3, 1), (0, 3), (2, 3, 4)]:
        assert refusal(TABLE[name], np.ones(shape)) == (
            ValueError,
            f"{name}: `scores` must have shape (n_data_sets, n_methods) with a data "
            f"set and two methods or more; got shape {shape}.",
        )
    assert refusal(TABLE[name], [["a", "b"]]) == (
        TypeError,
        f"{name}: `scores` must hold real numbers; got dtype <U1.",
    )


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: intervals(AUC, rng=0), TypeError, "intervals: `rng` must be"),
        (
            lambda: intervals(AUC, rng=rng(), confidence=1),
            ValueError,
            "intervals: `confidence` must be below 1; got 1.0.",
        ),
        (
            lambda: friedman(AUC[:, :2]),
            ValueError,
            "friedman: `scores` must have three methods or more; got 2. wilcoxon",
        ),
        (
            lambda: wilcoxon(AUC, best=4),
            ValueError,
            "wilcoxon: `best` must be a column of the 4 of `scores`; got 4.",
        ),
        (lambda: wilcoxon(AUC, best=-1), ValueError, "wilcoxon: `best` must be at"),
        (lambda: holm([0.1, 1.1]), ValueError, "holm: `p` must be a row of numbers in"),
        (lambda: holm([math.nan]), ValueError, "holm: `p` must be a row of numbers in"),
        (lambda: holm(0.1), ValueError, "holm: `p` must be a row of numbers in [0, 1]"),
        (
            lambda: critical_difference(1, 9),
            ValueError,
            "critical_difference: `n_methods` must be at least 2; got 1.",
        ),
        (
            lambda: critical_difference(2, 0),
            ValueError,
            "critical_difference: `n_data_sets` must be at least 1; got 0.",
        ),
        (
            lambda: critical_difference(2, 9, 0),
            ValueError,
            "critical_difference: `alpha` must be a finite number above 0; got 0.0.",
        ),
        (
            lambda: critical_difference(2, 9, 1.5),
            ValueError,
            "critical_difference: `alpha` must be below 1; got 1.5.",
        ),
        (
            lambda: cliques([1, math.nan], 1),
            ValueError,
            "cliques: `mean_ranks` must be",
        ),
        (
            lambda: cliques([[1, 2]], 1),
            ValueError,
            "cliques: `mean_ranks` must be a row",
        ),
        (
            lambda: cliques([1, 2], 0),
            ValueError,
            "cliques: `cd` must be a finite number",
        ),
    ],
)
def test_bad_arguments_are_refused(call, kind, text):
    found, message = refusal(call)
    assert found is kind
    assert message.startswith(text)


def test_scores_are_left_as_they_were():
    scores = AUC.copy()
    for function in TABLE.values():
        function(scores)
    np.testing.assert_array_equal(scores, AUC)
