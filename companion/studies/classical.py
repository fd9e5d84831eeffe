r"""Two classical methods to compare nets with: support vectors and random forests.

On the tasks of :func:`companion.datasets.uci` these are the two best families among
those that Fernandez-Delgado et al. (2014) compare, and the ones that Klambauer et al.
(2017) set beside their nets.  Here scikit-learn computes them, and their settings are
chosen as those of the nets are: by the accuracy on validation rows.

A support vector machine with a Gaussian kernel says of two classes

.. math:: \operatorname{sign} \Bigl( b + \sum_i \alpha_i y_i k(x_i, x) \Bigr), \qquad
   k(x, x') = \exp \Bigl( -\frac{\gamma}{d} \lVert x - x' \rVert^2 \Bigr), \qquad
   0 \le \alpha_i \le C

for rows of d features, and of more classes whichever wins most of the pairs.  In
standardized rows, :math:`\lVert x - x' \rVert^2` is 2 d on average, so that
:math:`\gamma` means the same for any d.  A random forest averages decision trees, each
grown on rows drawn with replacement, with a random choice of features at each split.
"""

import itertools

import numpy as np

from companion import _checks

#: The number of trees in a forest, and in those from which the settings are chosen.
TREES, TREES_OF_CHOICE = 500, 100


def _support_vectors():
    """Return the settings of a machine, from the middle of the grid outward."""
    logs = itertools.product(range(-2, 12, 2), range(-6, 6, 2))  # of C and gamma
    nearest = sorted(logs, key=lambda log: abs(log[0] - 2) + abs(log[1]))
    return tuple({"C": 2.0**c, "gamma": 2.0**g} for c, g in nearest)


def _forests():
    """Return the settings of a forest, from scikit-learn's own onward."""
    grid = itertools.product((1, 2, 4), ("sqrt", 0.5, 1.0))
    return tuple({"max_features": m, "min_samples_leaf": n} for n, m in grid)


#: Method -> the settings among which :func:`choose` chooses, in this order.
#:
#: :meta hide-value:
METHODS = {"svm": _support_vectors(), "random_forest": _forests()}


def choose(method, x, y, x_validation, y_validation, *, seed, max_rows=5000):
    r"""Choose the settings with the best accuracy on the validation rows.

    Parameters
    ----------
    method : {"svm", "random_forest"}
        Its settings are those of ``METHODS[method]``: for a support vector machine
        :math:`C = 2^{-2}, 2^0, \dots, 2^{10}` and
        :math:`\gamma = 2^{-6}, 2^{-4}, \dots, 2^4`; for a forest, of 100 trees here, 1,
        2 or 4 rows in a leaf at least, and the root of the number of features, half of
        them or all to choose from at a split.  Of settings that are equally good the
        first is chosen: for a machine the one nearest to :math:`C = 4, \gamma = 1`, for
        a forest the one nearest to scikit-learn's defaults.
    x, x_validation : arrays of shape (n, n_features) and (m, n_features)
        Standardized, as by :func:`companion.datasets.standardize`, and without nan.
    y, y_validation : arrays of int, shape (n,) and (m,)
    seed : int
        Of the rows that are drawn, and of the forests.
    max_rows : int
        Where there are more rows for training, or for validation, as many are drawn at
        random: the time for a support vector machine grows with the square of them.

    Returns
    -------
    dict
        The settings, for :func:`predict`, and in `rows` and `validation_rows` how many
        rows they were chosen with.

    Raises
    ------
    TypeError, ValueError
        If there is no such method, or the rows, labels or numbers are not such.

    Notes
    -----
    Source: the methods are those of Fernandez-Delgado et al. (2014), whose grid for a
    machine is finer; Klambauer et al. (2017), appendix A4.2, took their results.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((60, 2))
    >>> y = (x[:, 0] * x[:, 1] > 0).astype(int)
    >>> choose("svm", x[:40], y[:40], x[40:], y[40:], seed=0)
    {'C': 4.0, 'gamma': 1.0, 'rows': 40, 'validation_rows': 20}
    """
    _checks.one_of("choose", "method", method, tuple(METHODS))
    x, y = _labeled("choose", "x", x, "y", y)
    new, truth = _labeled(
        "choose", "x_validation", x_validation, "y_validation", y_validation
    )
    _same_features("choose", "x_validation", new, x)
    rng = np.random.default_rng(_checks.integer("choose", "seed", seed, minimum=0))
    max_rows = _checks.integer("choose", "max_rows", max_rows, minimum=1)
    (x, y), (new, truth) = (
        _some(rng, max_rows, *rows) for rows in ((x, y), (new, truth))
    )

    def accuracy(settings):
        trees = TREES_OF_CHOICE
        return np.mean(_predict(method, settings, x, y, new, seed, trees) == truth)

    best = max(METHODS[method], key=accuracy)
    return {**best, "rows": len(x), "validation_rows": len(new)}


def predict(method, settings, x, y, x_new, *, seed):
    """Fit all rows with the given settings, and say which class new rows are of.

    A forest has 500 trees here.

    Parameters
    ----------
    method : {"svm", "random_forest"}
    settings : dict
        ``C`` and ``gamma``, or ``max_features`` and ``min_samples_leaf``; anything else
        in it is left alone.
    x, x_new : arrays of shape (n, n_features) and (m, n_features)
        As in :func:`choose`.
    y : array of int, shape (n,)
        Where only one class is left, it is what all new rows are said to be.
    seed : int
        Of a forest; a support vector machine has no randomness.

    Returns
    -------
    ndarray of int64, shape (m,)

    Raises
    ------
    TypeError, ValueError
        If there is no such method, settings are missing, or the rows, labels or the
        seed are not such.

    Examples
    --------
    >>> x, y = np.array([[-1.0], [-0.9], [0.9], [1.0]]), np.array([3, 3, 7, 7])
    >>> settings = {"C": 4.0, "gamma": 1.0}
    >>> predict("svm", settings, x, y, np.array([[-2.0], [2.0]]), seed=0)
    array([3, 7])
    """
    _checks.one_of("predict", "method", method, tuple(METHODS))
    names = METHODS[method][0]
    missing = [name for name in names if name not in settings]
    if missing:
        raise ValueError(
            f"predict: `settings` must have {' and '.join(names)}; got "
            f"{settings!r}. choose returns them."
        )
    x, y = _labeled("predict", "x", x, "y", y)
    new = _rows("predict", "x_new", x_new)
    _same_features("predict", "x_new", new, x)
    seed = _checks.integer("predict", "seed", seed, minimum=0)
    return _predict(method, settings, x, y, new, seed, TREES)


def _predict(method, settings, x, y, new, seed, trees):
    if (y == y[0]).all():  # a machine separates two classes or more
        return np.full(len(new), y[0])
    if method == "svm":
        from sklearn.svm import SVC

        gamma = settings["gamma"] / x.shape[1]
        model = SVC(C=settings["C"], gamma=gamma, cache_size=500)  # in MB
    else:
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(
            trees,
            max_features=settings["max_features"],
            min_samples_leaf=settings["min_samples_leaf"],
            n_jobs=1,
            random_state=seed,
        )
    return model.fit(x, y).predict(new)


def _some(rng, n, x, y):
    """Return n rows at random, or all if there are no more than that."""
    if len(x) <= n:
        return x, y
    rows = rng.permutation(len(x))[:n]
    return x[rows], y[rows]


def _rows(function, name, x):
    x = _checks.real_array(function, name, x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(
            f"{function}: `{name}` must have shape (n, n_features) with a row and a "
            f"feature; got shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError(
            f"{function}: `{name}` must be finite; got nan or infinity. Put a mean "
            "where a value is missing."
        )
    return x


def _labeled(function, name, x, label_name, y):
    x, y = _rows(function, name, x), np.asarray(y)
    if y.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: `{label_name}` must hold integers; got dtype {y.dtype}."
        )
    if y.shape != x.shape[:1]:
        raise ValueError(
            f"{function}: `{label_name}` must have one label for each of the {len(x)} "
            f"rows of `{name}`; got shape {y.shape}."
        )
    return x, y.astype(np.int64)


def _same_features(function, name, new, x):
    if new.shape[1] != x.shape[1]:
        raise ValueError(
            f"{function}: `{name}` must have the {x.shape[1]} features of `x`; got "
            f"{new.shape[1]}."
        )
