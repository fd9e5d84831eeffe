"""Support vectors and forests: what is chosen, what is fitted, and odd data sets."""

import itertools
import math

import numpy as np
import pytest
import sklearn.ensemble
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.svm import SVC

from companion.datasets import standardize
from companion.studies import classical
from companion.studies.classical import METHODS, choose, predict

quick = settings(max_examples=25, deadline=None, derandomize=True, database=None)
SVM = {"C": 4.0, "gamma": 1.0}
FOREST = {"max_features": "sqrt", "min_samples_leaf": 1}
EITHER = pytest.mark.parametrize(
    ("method", "chosen"), [("svm", SVM), ("random_forest", FOREST)]
)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(classical, "TREES", 25)
    monkeypatch.setattr(classical, "TREES_OF_CHOICE", 25)


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(n=90, d=3, classes=3, *, noise=0.6, seed=0):
    """Return rows whose class is where the first two features are, nearly."""
    x = rng(seed).standard_normal((n, d))
    angle = np.arctan2(x[:, 0], x[:, 1] + noise * rng(seed + 1).standard_normal(n))
    return x, ((angle / np.pi + 1) / 2 * classes).astype(int) % classes


def split(x, y):
    n = len(x) // 2
    return x[:n], y[:n], x[n:], y[n:]


def refusal(function, *args, **arguments):
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*args, **arguments)
    return caught.type, str(caught.value)


# --- the choice -----------------------------------------------------------------------
def test_grids_are_those_of_the_docstring():
    pairs = [(s["C"], s["gamma"]) for s in METHODS["svm"]]
    grid = itertools.product(2.0 ** np.arange(-2, 12, 2), 2.0 ** np.arange(-6, 6, 2))
    assert sorted(pairs) == sorted(grid)
    steps = [abs(math.log2(c / 4)) + abs(math.log2(g)) for c, g in pairs]
    assert steps == sorted(steps)
    assert METHODS["svm"][0] == SVM
    forests = [tuple(s.values()) for s in METHODS["random_forest"]]
    assert forests[0] == (FOREST["max_features"], FOREST["min_samples_leaf"])
    assert {*forests} == {*itertools.product(("sqrt", 0.5, 1.0), (1, 2, 4))}
    assert len(forests) == 9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [0, 1])
def test_choice_is_the_first_of_the_best(method, seed):
    x, y, x_validation, y_validation = split(*rows(seed=seed))
    accuracies = [
        np.mean(predict(method, s, x, y, x_validation, seed=seed) == y_validation)
        for s in METHODS[method]
    ]
    assert max(accuracies) > min(accuracies)
    best = METHODS[method][accuracies.index(max(accuracies))]
    found = choose(method, x, y, x_validation, y_validation, seed=seed)
    assert found == {**best, "rows": 45, "validation_rows": 45}


@pytest.mark.parametrize("method", METHODS)
def test_first_settings_are_chosen_where_all_are_equal(method):
    x = np.repeat([[-1.0], [1.0]], 30, axis=0)
    y = np.repeat([2, 5], 30)
    found = choose(method, x, y, x, y, seed=0)
    assert found == {**METHODS[method][0], "rows": 60, "validation_rows": 60}


def test_choice_is_what_the_data_ask_for():
    # A checkerboard needs a narrow kernel, noise without a signal a stiff machine.
    x = rng().uniform(-2, 2, (400, 2))
    y = np.floor(x).sum(axis=1).astype(int) % 2
    fine = choose("svm", *split(x, y), seed=0)
    assert fine["gamma"] >= 4
    y = (rng(1).random(400) < 0.2).astype(int)
    stiff = choose("svm", *split(x, y), seed=0)
    assert stiff["C"] * stiff["gamma"] < fine["C"] * fine["gamma"]


@pytest.mark.parametrize("method", METHODS)
def test_choice_sees_at_most_max_rows_of_either_kind(method, monkeypatch):
    seen = []

    def spy(method, settings, x, y, new, *_):
        seen.append((x, y, new))
        return np.zeros(len(new))

    monkeypatch.setattr(classical, "_predict", spy)
    x = np.arange(70.0)[:, None]
    y = np.arange(70)
    for seed in 0, 0, 1:
        found = choose(method, x, y, -x[:50], y[:50], seed=seed, max_rows=40)
        assert (found["rows"], found["validation_rows"]) == (40, 40)
    first, again, other = seen[0], seen[len(METHODS[method])], seen[-1]
    for table, labels, new in seen:
        assert np.array_equal(table[:, 0], labels)  # each row keeps its label
        assert len({*labels}) == len({*new[:, 0]}) == 40
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert {*one.ravel()} != {*three.ravel()}
    seen.clear()
    found = choose(method, x, y, -x[:50], y[:50], seed=0, max_rows=70)
    assert (found["rows"], found["validation_rows"]) == (70, 50)
    np.testing.assert_array_equal(seen[0][0], x)
    np.testing.assert_array_equal(seen[0][2], -x[:50])


# --- the fit --------------------------------------------------------------------------
def test_machine_is_scikit_learns():
    x, y = rows(200, 5)
    new = rng(7).standard_normal((50, 5))
    for chosen in METHODS["svm"][::5]:
        model = SVC(C=chosen["C"], gamma=chosen["gamma"] / 5).fit(x, y)
        found = predict("svm", {**chosen, "rows": 9}, x, y, new, seed=0)
        np.testing.assert_array_equal(found, model.predict(new))


def test_machine_of_two_rows_takes_the_nearer():
    # With C so large that no row is within the margin, the machine of two rows is the
    # sign of k(x, b) - k(x, a): the nearer row.
    x, y = np.array([[-1.0, 0.5], [2.0, -1.0]]), np.array([4, 9])
    new = rng().uniform(-3, 3, (100, 2))
    nearer = np.linalg.norm(new[:, None] - x, axis=2).argmin(axis=1)
    found = predict("svm", {"C": 1024.0, "gamma": 1.0}, x, y, new, seed=0)
    np.testing.assert_array_equal(found, y[nearer])


def test_gamma_is_relative_to_the_number_of_features():
    x, y = rows()
    new = rng(7).standard_normal((50, 3))
    wide, new_wide = (np.hstack([t, np.zeros_like(t)]) for t in (x, new))
    for gamma in 0.25, 4.0:
        narrow = predict("svm", {"C": 4.0, "gamma": gamma}, x, y, new, seed=0)
        twice = {"C": 4.0, "gamma": 2 * gamma}
        found = predict("svm", twice, wide, y, new_wide, seed=0)
        np.testing.assert_array_equal(found, narrow)


def test_forest_is_scikit_learns_with_all_its_trees(monkeypatch):
    made = []

    class Spy(sklearn.ensemble.RandomForestClassifier):
        def fit(self, x, y):
            made.append((self.get_params(), len(x)))
            return super().fit(x, y)

    x, y = rows()
    new = rng(7).standard_normal((50, 3))
    chosen = {"max_features": 0.5, "min_samples_leaf": 2, "rows": 9}
    model = sklearn.ensemble.RandomForestClassifier(
        25, max_features=0.5, min_samples_leaf=2, random_state=3
    )
    expected = model.fit(x, y).predict(new)
    monkeypatch.setattr(sklearn.ensemble, "RandomForestClassifier", Spy)
    found = predict("random_forest", chosen, x, y, new, seed=3)
    np.testing.assert_array_equal(found, expected)
    ((parameters, n),) = made
    assert (parameters["n_jobs"], parameters["n_estimators"], n) == (1, 25, len(x))


def test_seed_is_that_of_the_forest():
    x, y = rows(noise=3.0)
    new = rng(7).standard_normal((200, 3))
    first, again, other = (
        predict("random_forest", FOREST, x, y, new, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    machines = [predict("svm", SVM, x, y, new, seed=seed) for seed in (0, 1)]
    np.testing.assert_array_equal(*machines)


@EITHER
def test_accuracy_is_known(method, chosen, monkeypatch):
    # About 97 or 98 % have been reported of all three.  Of 75 rows or more, 92 % would
    # be at least two standard errors below: what is fitted must not be much worse.
    monkeypatch.setattr(classical, "TREES", 100)
    for load in load_iris, load_wine, load_breast_cancer:
        x, y = load(return_X_y=True)
        order = rng().permutation(len(y))
        x, y, new, truth = split(x[order], y[order])
        x, new = standardize(x, new)
        found = predict(method, chosen, x, y, new, seed=0)
        assert np.mean(found == truth) >= 0.92


# --- odd data sets --------------------------------------------------------------------
@EITHER
@quick
@given(data=st.data())
def test_any_labels_and_few_rows_are_taken(method, chosen, data):
    n, d = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    labels = st.lists(st.integers(-3, 30), min_size=n, max_size=n)
    y = np.array(data.draw(labels))
    x = rng(data.draw(st.integers(0, 9))).integers(-2, 3, (n, d))
    found = predict(method, chosen, x, y, x[::-1] / 2, seed=0)
    assert (found.shape, found.dtype) == ((n,), np.int64)
    assert {*found} <= {*y}


@EITHER
def test_one_class_is_what_all_rows_are_of(method, chosen):
    x = rng().standard_normal((5, 2))
    found = predict(method, chosen, x, np.full(5, 7), x[:3], seed=0)
    assert found.tolist() == [7, 7, 7]
    found = choose(method, x, np.full(5, 7), x, np.array([7, 7, 0, 7, 1]), seed=0)
    assert found == {**METHODS[method][0], "rows": 5, "validation_rows": 5}


@EITHER
def test_a_class_that_is_only_in_the_validation_rows_is_taken(method, chosen):
    # Its rows are wrong with any settings, so that they change nothing but a number.
    x, y, x_validation, y_validation = split(*rows())
    known, others = y != 2, y_validation != 2
    assert not others.all()
    found = choose(method, x[known], y[known], x_validation, y_validation, seed=0)
    without = choose(
        method, x[known], y[known], x_validation[others], y_validation[others], seed=0
    )
    assert found == {**without, "validation_rows": len(others)}
    assert {*chosen} < {*found}


@EITHER
def test_twenty_six_classes_are_told_apart(method, chosen):
    centers = 10 * rng().standard_normal((26, 3))
    y = np.tile(np.arange(26), 12)
    x = centers[y] + 0.1 * rng(1).standard_normal((len(y), 3))
    x, new = standardize(x, centers)
    found = predict(method, {**chosen, "gamma": 16.0}, x, y, new, seed=0)
    np.testing.assert_array_equal(found, np.arange(26))


@EITHER
def test_constant_features_are_taken(method, chosen):
    x, y = rows()
    x[:, 2] = 0
    found = predict(method, chosen, x, y, x, seed=0)
    assert np.mean(found == y) > 0.8
    nothing = predict(method, chosen, 0 * x, y, 0 * x, seed=0)
    assert len({*nothing}) == 1


@EITHER
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_type_of_the_rows_does_not_matter(method, chosen, dtype):
    x = np.round(4 * rng().standard_normal((60, 3)))
    y = (x[:, 0] > x[:, 1]).astype("uint8")
    found = predict(method, chosen, x.astype(dtype), y, x.astype(dtype), seed=0)
    np.testing.assert_array_equal(found, predict(method, chosen, x, y, x, seed=0))


@EITHER
def test_rows_are_left_as_they_were(method, chosen):
    x, y = rows()
    before = x.copy(), y.copy(), dict(chosen)
    choose(method, x, y, x, y, seed=0, max_rows=20)
    predict(method, chosen, x, y, x, seed=0)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])
    assert chosen == before[2]


# --- refusals -------------------------------------------------------------------------
X, Y = rows(6)


def hole():
    x = X.copy()
    x[3, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: choose("smv", X, Y, X, Y, seed=0),
            ValueError,
            "choose: `method` must be one of 'svm', 'random_forest'; got 'smv'. Did",
        ),
        (
            lambda: predict("forest", SVM, X, Y, X, seed=0),
            ValueError,
            "predict: `method` must be one of 'svm', 'random_forest'; got 'forest'.",
        ),
        (
            lambda: choose("svm", hole(), Y, X, Y, seed=0),
            ValueError,
            "choose: `x` must be finite; got nan or infinity. Put a mean where a value",
        ),
        (
            lambda: predict("svm", SVM, X, Y, hole(), seed=0),
            ValueError,
            "predict: `x_new` must be finite; got nan or infinity.",
        ),
        (
            lambda: choose("svm", X, Y, X[:, :2], Y, seed=0),
            ValueError,
            "choose: `x_validation` must have the 3 features of `x`; got 2.",
        ),
        (
            lambda: predict("svm", SVM, X, Y, X[:, :2], seed=0),
            ValueError,
            "predict: `x_new` must have the 3 features of `x`; got 2.",
        ),
        (
            lambda: choose("svm", X, Y[:5], X, Y, seed=0),
            ValueError,
            "choose: `y` must have one label for each of the 6 rows of `x`; got shape "
            "(5,).",
        ),
        (
            lambda: choose("svm", X, Y, X, Y[:, None], seed=0),
            ValueError,
            "choose: `y_validation` must have one label for each of the 6 rows of "
            "`x_validation`; got shape (6, 1).",
        ),
        (
            lambda: predict("svm", SVM, X, Y / 2, X, seed=0),
            TypeError,
            "predict: `y` must hold integers; got dtype float64.",
        ),
        (
            lambda: predict("svm", SVM, X[0], Y, X, seed=0),
            ValueError,
            "predict: `x` must have shape (n, n_features) with a row and a feature; "
            "got shape (3,).",
        ),
        (
            lambda: predict("svm", SVM, X, Y, X[:0], seed=0),
            ValueError,
            "predict: `x_new` must have shape (n, n_features) with a row and a feature",
        ),
        (
            lambda: predict("svm", FOREST, X, Y, X, seed=0),
            ValueError,
            "predict: `settings` must have C and gamma; got {'max_features': 'sqrt', "
            "'min_samples_leaf': 1}. choose returns them.",
        ),
        (
            lambda: choose("svm", X, Y, X, Y, seed=-1),
            ValueError,
            "choose: `seed` must be at least 0; got -1.",
        ),
        (
            lambda: predict("svm", SVM, X, Y, X, seed=None),
            TypeError,
            "predict: `seed` must be an integer; got None.",
        ),
        (
            lambda: choose("svm", X, Y, X, Y, seed=0, max_rows=0),
            ValueError,
            "choose: `max_rows` must be at least 1; got 0.",
        ),
    ],
)
def test_bad_arguments_are_refused(call, kind, text):
    found, message = refusal(call)
    assert found is kind
    assert message.startswith(text)
