r"""Methods compared over many data sets, by their ranks.

Accuracies on different data sets cannot be averaged: one is easy, another is not.  So
the methods are ranked on each data set, and the ranks are averaged; whether they differ
by more than chance is for tests that use ranks alone.  Demšar (2006), sections 3.1.3
and 3.2; so did Klambauer et al. (2017) on the tasks of
:func:`companion.datasets.uci`.

Throughout, `scores` is a table of one row for each data set and one column for each
method, and higher is better.  Scores that agree in twelve decimals are tied: means over
folds taken in another order differ in the sixteenth.
"""

import math
from dataclasses import dataclass

import numpy as np

from companion import _checks

_DECIMALS = 12  # in which scores must agree to be tied
_RESAMPLES = 9999


@dataclass(frozen=True)
class Friedman:
    """What Friedman's test found.

    Attributes
    ----------
    statistic : float
        0 where all mean ranks agree.
    p : float
        The chance of a statistic as large among methods that are all alike.
    """

    statistic: float
    p: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """One method against each of the others.

    Attributes
    ----------
    best : int
        The column of the one method.
    ahead : ndarray of int, shape (n_methods,)
        1 where the ranks speak for the method, -1 where for the other, 0 for neither.
    p : ndarray of float64, shape (n_methods,)
        Two-sided; 1 for the method itself.
    adjusted : ndarray of float64, shape (n_methods,)
        The same after Holm's correction for n_methods - 1 comparisons.
    """

    best: int
    ahead: np.ndarray
    p: np.ndarray
    adjusted: np.ndarray


def ranks(scores):
    r"""Rank the methods on each data set: 1 is the best, and ties share their mean.

    .. math:: r_{ij} = 1 + \#\{l : s_{il} > s_{ij}\}
       + \tfrac{1}{2} \#\{l \ne j : s_{il} = s_{ij}\}

    Parameters
    ----------
    scores : array of shape (n_data_sets, n_methods)

    Returns
    -------
    ndarray of float64, shape (n_data_sets, n_methods)
        Each row has the sum :math:`k (k + 1) / 2` for k methods.

    Raises
    ------
    TypeError, ValueError
        If the scores are not a table of finite numbers with a data set and two methods.
        A method without a score on a data set has no rank there.

    Notes
    -----
    Source: Demšar (2006), section 3.2.2.

    Examples
    --------
    >>> ranks([[0.9, 0.7, 0.8], [0.5, 0.6, 0.6]])
    array([[1. , 3. , 2. ],
           [3. , 1.5, 1.5]])
    """
    return _ranks(_table("ranks", scores))


def mean_ranks(scores):
    r"""Average the ranks of each method over the data sets.

    .. math:: R_j = \frac{1}{N} \sum_{i=1}^N r_{ij}

    Arguments and errors are those of :func:`ranks`.

    Returns
    -------
    ndarray of float64, shape (n_methods,)

    Notes
    -----
    Source: Demšar (2006), section 3.2.2.

    Examples
    --------
    >>> mean_ranks([[0.9, 0.7, 0.8], [0.5, 0.6, 0.6]])
    array([2.  , 2.25, 1.75])
    """
    return _ranks(_table("mean_ranks", scores)).mean(axis=0)


def rank_differences(scores):
    r"""Compare the mean rank of each method with that of all: negative is better.

    .. math:: R_j - \frac{k + 1}{2}

    since k ranks have the mean :math:`(k + 1) / 2` on every data set.

    Arguments and errors are those of :func:`ranks`.

    Returns
    -------
    ndarray of float64, shape (n_methods,)
        Their sum is 0.

    Notes
    -----
    Source: Klambauer et al. (2017), table 1, where self-normalizing nets have -0.756
    among seven kinds of nets, and the seven numbers have the sum 0 but for rounding.

    Examples
    --------
    >>> rank_differences([[0.9, 0.7, 0.8], [0.5, 0.6, 0.6]])
    array([ 0.  ,  0.25, -0.25])
    """
    table = _table("rank_differences", scores)
    return _ranks(table).mean(axis=0) - (table.shape[1] + 1) / 2


def intervals(scores, *, rng, confidence=0.95):
    r"""Bound the mean ranks: what if other data sets of this kind had been chosen?

    The bootstrap draws N of the N data sets, with replacement, again and again (9999
    times), and the interval holds the mean ranks that are left when as many are cut
    off at either end.  Unlike Student's, it does not leave the range of ranks, and it
    is a point where a method has the same rank everywhere.

    Parameters
    ----------
    scores : array of shape (n_data_sets, n_methods)
    rng : numpy.random.Generator
    confidence : float, above 0 and below 1

    Returns
    -------
    low, high : ndarrays of float64, shape (n_methods,)

    Raises
    ------
    TypeError, ValueError
        If the scores are not those that :func:`ranks` takes, the generator is none, or
        the confidence is not between 0 and 1.

    Notes
    -----
    Source: the percentile interval of Efron & Tibshirani (1993), section 13.3.

    Examples
    --------
    >>> scores = [[0.9, 0.7, 0.8], [0.9, 0.6, 0.5], [0.8, 0.6, 0.7], [0.9, 0.8, 0.7]]
    >>> low, high = intervals(scores, rng=np.random.default_rng(0))
    >>> low, high
    (array([1., 2., 2.]), array([1., 3., 3.]))
    """
    found = _ranks(_table("intervals", scores))
    rng = _checks.generator("intervals", "rng", rng)
    tail = (1 - _share("intervals", "confidence", confidence)) / 2
    n = len(found)
    times = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)  # each is drawn
    low, high = np.quantile(times @ found / n, [tail, 1 - tail], axis=0)
    return low, high


def friedman(scores):
    r"""Test whether the methods differ at all.

    .. math:: \chi_F^2 = \frac{1}{c} \frac{12 N}{k (k + 1)}
       \left[ \sum_j R_j^2 - \frac{k (k + 1)^2}{4} \right], \qquad
       c = 1 - \frac{\sum (t^3 - t)}{N k (k^2 - 1)}

    has nearly the distribution :math:`\chi^2` with :math:`k - 1` degrees of freedom if
    all N k ranks are chance.  The sum in c is over the ties on each data set, t methods
    in each; without ties, c is 1.

    Parameters
    ----------
    scores : array of shape (n_data_sets, n_methods)
        Three methods or more: for two, see :func:`wilcoxon`.

    Returns
    -------
    Friedman

    Raises
    ------
    TypeError, ValueError
        If the scores are not those that :func:`ranks` takes, or there are two methods.

    Notes
    -----
    Source: Demšar (2006), section 3.2.2, where c is left out.

    Examples
    --------
    >>> friedman([[0.9, 0.7, 0.8], [0.9, 0.6, 0.5], [0.8, 0.6, 0.7], [0.9, 0.8, 0.7]])
    Friedman(statistic=6.0, p=0.04978706836786395)
    """
    from scipy import stats

    table = _table("friedman", scores)
    if table.shape[1] < 3:
        raise ValueError(
            f"friedman: `scores` must have three methods or more; got "
            f"{table.shape[1]}. wilcoxon compares two."
        )
    if (np.ptp(table, axis=1) == 0).all():  # 0 / 0 in the equation
        return Friedman(0.0, 1.0)
    return Friedman(*map(float, stats.friedmanchisquare(*table.T)))


def wilcoxon(scores, best=None):
    r"""Test one method against each of the others.

    The differences of two methods' scores are ranked by their size, and those of either
    sign should have nearly the same sum of ranks if neither method is the better one.
    A difference of 0 counts half for either side.

    Parameters
    ----------
    scores : array of shape (n_data_sets, n_methods)
    best : int, optional
        The column of the one method; by default that of the lowest mean rank, of
        several such the first.  Chosen by the same scores, it has been lucky, and the p
        values are too low for it: name it beforehand where you can.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        If the scores are not those that :func:`ranks` takes, or there is no such
        column.

    Notes
    -----
    Source: Wilcoxon's signed-rank test as in Demšar (2006), section 3.1.3.  Klambauer
    et al. (2017), table 1, give p values against the best method, without a correction.
    Recomputed from the accuracies in their table A11, those are one-sided: half of
    these.

    Examples
    --------
    >>> scores = [[0.90, 0.71, 0.90], [0.80, 0.62, 0.79], [0.70, 0.53, 0.70],
    ...           [0.60, 0.44, 0.62], [0.50, 0.35, 0.49], [0.40, 0.26, 0.40]]
    >>> comparison = wilcoxon(scores)
    >>> comparison.best, comparison.p, comparison.adjusted
    (0, array([1.     , 0.03125, 1.     ]), array([1.    , 0.0625, 1.    ]))
    >>> comparison.ahead
    array([0, 1, 1])
    """
    from scipy import stats

    table = _table("wilcoxon", scores)
    k = table.shape[1]
    if best is None:
        best = int(_ranks(table).mean(axis=0).argmin())
    best = _checks.integer("wilcoxon", "best", best, minimum=0)
    if best >= k:
        raise ValueError(
            f"wilcoxon: `best` must be a column of the {k} of `scores`; got {best}."
        )
    others = np.delete(np.arange(k), best)
    lead = np.round(table[:, [best]] - table[:, others], _DECIMALS)
    ahead, p, adjusted = np.zeros(k, int), np.ones(k), np.ones(k)
    p[others] = stats.wilcoxon(lead, zero_method="zsplit", axis=0).pvalue
    adjusted[others] = holm(p[others])
    signed_ranks = np.sign(lead) * stats.rankdata(np.abs(lead), axis=0)
    ahead[others] = np.sign(signed_ranks.sum(axis=0))
    return Comparison(best, ahead, p, adjusted)


def holm(p):
    r"""Correct p values for being many.

    .. math:: \tilde p_{(i)} = \min \bigl( 1, \max_{j \le i} (m - j + 1) p_{(j)} \bigr)

    where :math:`p_{(1)} \le \dots \le p_{(m)}`: the smallest is multiplied by m, the
    next by m - 1, and none becomes smaller than the one before it.  The chance that
    one or more of those at most :math:`\alpha` is an error is at most :math:`\alpha`,
    however the tests depend on each other.

    Parameters
    ----------
    p : array of shape (m,)

    Returns
    -------
    ndarray of float64, shape (m,)
        In the order of the argument.

    Raises
    ------
    TypeError, ValueError
        If the p values are not a row of numbers from 0 to 1.

    Notes
    -----
    Source: Holm (1979); Demšar (2006), section 3.2.2.

    Examples
    --------
    >>> holm([0.04, 0.01, 0.03])
    array([0.06, 0.03, 0.06])
    """
    p = _checks.real_array("holm", "p", p)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"holm: `p` must be a row of numbers in [0, 1]; got {p}.")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)


def critical_difference(n_methods, n_data_sets, alpha=0.05):
    r"""Say how far two mean ranks must be apart for their methods to differ.

    .. math:: CD = q_\alpha \sqrt{\frac{k (k + 1)}{6 N}}

    for k methods on N data sets, where :math:`q_\alpha` is the critical value of the
    Studentized range of k normal numbers, divided by :math:`\sqrt 2`.  With the chance
    :math:`1 - \alpha`, no two of methods that are all alike are as far apart: this is
    Nemenyi's test.

    Parameters
    ----------
    n_methods : int, at least 2
    n_data_sets : int, at least 1
    alpha : float, above 0 and below 1

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If an argument is not such a number.

    Notes
    -----
    Source: Demšar (2006), section 3.2.2 and table 5(a).

    Examples
    --------
    Four methods on fourteen data sets, as in section 3.2.2:

    >>> round(critical_difference(4, 14), 2), round(critical_difference(4, 14, 0.1), 2)
    (1.25, 1.12)
    """
    from scipy import stats

    function = "critical_difference"
    k = _checks.integer(function, "n_methods", n_methods, minimum=2)
    n = _checks.integer(function, "n_data_sets", n_data_sets, minimum=1)
    alpha = _share(function, "alpha", alpha)
    q = stats.studentized_range.ppf(1 - alpha, k, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(k * (k + 1) / (6 * n)))


def cliques(mean_ranks, cd):
    """Group the methods whose mean ranks are less than `cd` apart.

    Parameters
    ----------
    mean_ranks : array of shape (n_methods,)
    cd : float, above 0
        Such as :func:`critical_difference` returns.

    Returns
    -------
    tuple of tuples of int
        The largest such groups of two methods or more, as columns, the best first.
        They may overlap: then the data do not tell where their common methods belong.
        A method that differs from all others is in none.

    Raises
    ------
    TypeError, ValueError
        If the ranks are not a row of finite numbers, or `cd` is not above 0.

    Notes
    -----
    Source: the lines of Demšar (2006), figure 1(a), which
    :func:`companion.plotting.critical_difference` draws.

    Examples
    --------
    >>> cliques([3.0, 1.5, 2.0, 6.0], cd=1.25)
    ((1, 2), (2, 0))
    """
    ranks = _checks.real_array("cliques", "mean_ranks", mean_ranks)
    if ranks.ndim != 1 or not np.isfinite(ranks).all():
        raise ValueError(
            f"cliques: `mean_ranks` must be a row of finite numbers; got {ranks}."
        )
    cd = _checks.finite("cliques", "cd", cd, above=0)
    order = np.argsort(ranks, kind="stable")
    ends = np.searchsorted(ranks[order], ranks[order] + cd)  # of the group that starts
    found, reached = [], 0
    for start, end in enumerate(ends):
        if end > max(reached, start + 1):
            found.append(tuple(order[start:end].tolist()))
            reached = end
    return tuple(found)


def _table(function, scores):
    """Return scores as a table in which ties are exact."""
    table = _checks.real_array(function, "scores", scores)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(
            f"{function}: `scores` must have shape (n_data_sets, n_methods) with a "
            f"data set and two methods or more; got shape {table.shape}."
        )
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(
            f"{function}: `scores` must be finite; got {table[i, j]} for data set {i}, "
            f"method {j}. Leave out the data sets that not every method has a score on."
        )
    return np.round(table.astype(float), _DECIMALS)


def _ranks(table):
    from scipy import stats

    return stats.rankdata(-table, axis=1)


def _share(function, name, value):
    """Return a number between 0 and 1."""
    value = _checks.finite(function, name, value, above=0)
    if value >= 1:
        raise ValueError(f"{function}: `{name}` must be below 1; got {value!r}.")
    return value
