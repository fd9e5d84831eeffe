"""The UCI tasks that come with the package."""

import hashlib
import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal

from companion import _uci, datasets

MANIFEST = _uci.manifest(_uci.PACKAGED)
FOLDER = os.environ.get("COMPANION_DATA")
tasks = pytest.mark.parametrize("name", MANIFEST)


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    """Hide the folder of this machine."""
    monkeypatch.delenv("COMPANION_DATA", raising=False)


def counts(entry):
    return tuple(int(entry[key]) for key in ("N", "d", "K"))


# --- the collection -------------------------------------------------------------------
@tasks
def test_task_is_as_its_manifest_says(name):
    entry = MANIFEST[name]
    x, y = datasets.uci_rows(name)
    assert (x.dtype, y.dtype) == ("float64", "int64")
    assert (*x.shape, len(np.unique(y))) == counts(entry)
    assert np.unique(y).tolist() == list(range(y.max() + 1))
    content = x.astype("<f4").tobytes() + y.astype("<i8").tobytes()
    assert hashlib.sha256(content).hexdigest().startswith(entry["sha256_16"])
    assert len(entry["sha256_16"]) == 16
    # A feature that tells nothing is left out, as in the published collection.
    assert (np.nanmin(x, axis=0) < np.nanmax(x, axis=0)).all()


def test_collection_is_small_complete_and_attributed():
    files = {path.name for path in _uci.PACKAGED.iterdir()}
    assert files == {f"{n}.npz" for n in MANIFEST} | {"manifest.csv", "ATTRIBUTION.md"}
    assert sum((_uci.PACKAGED / file).stat().st_size for file in files) < 2**20
    assert list(MANIFEST) == sorted(MANIFEST)
    rows = [counts(entry)[0] for entry in MANIFEST.values()]
    assert (min(rows), max(rows)) == (101, 6435)  # as the docstring of uci says
    assert sum(n >= 1000 for n in rows) >= 6  # Klambauer et al. (2017) part them there
    assert sum(n < 1000 for n in rows) >= 6
    text = (_uci.PACKAGED / "ATTRIBUTION.md").read_text("utf-8")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    attributed = [re.findall("`([^`]+)`", line[0]) for line in lines]
    assert sorted(itertools.chain(*attributed)) == list(MANIFEST)
    for line in lines:
        assert "archive.ics.uci.edu/dataset/" in line[2]
        assert line[-1].rstrip(" |") in ("quoted", "general", "rule")


def test_tasks_of_a_known_shape():
    # Fisher (1936): 50 flowers of each of three species, to 0.1 cm.
    x, y = datasets.uci_rows("iris")
    assert np.bincount(y).tolist() == [50, 50, 50]
    np.testing.assert_allclose(x[0], [5.1, 3.5, 1.4, 0.2], rtol=2**-24)
    np.testing.assert_allclose(10 * x, (10 * x).round(), rtol=2**-24)
    # All boards at the end of a game that X began, and whether X won: 626 of 958.
    assert np.bincount(datasets.uci_rows("tic-tac-toe")[1]).tolist() == [332, 626]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_monks_follow_the_published_rules(number):
    # Thrun et al. (1991): all 432 robots, and no noise.
    x, y = datasets.uci_rows(f"monks-{number}")
    sizes = (3, 3, 2, 3, 4, 2)
    assert sorted(map(tuple, x)) == [
        *itertools.product(*(range(1, n + 1) for n in sizes))
    ]
    a = dict(enumerate(x.T, start=1))
    expected = {
        1: (a[1] == a[2]) | (a[5] == 1),
        2: (x == 1).sum(axis=1) == 2,
        3: (a[5] == 3) & (a[4] == 1) | (a[5] != 4) & (a[2] != 3),
    }
    np.testing.assert_array_equal(y, expected[number])


# --- where a task is read from --------------------------------------------------------
def test_without_a_folder_the_package_is_read(tmp_path, monkeypatch):
    assert datasets.uci_names() == tuple(MANIFEST)
    rows = datasets.uci_rows("zoo")
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))  # it holds no tasks
    assert datasets.uci_names() == tuple(MANIFEST)
    for one, other in zip(rows, datasets.uci_rows("zoo"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert datasets.catalog()["uci"][1] == str(_uci.PACKAGED)


def test_statuses_of_the_package():
    monks = ("monks-1", "monks-2", "monks-3")
    assert datasets.uci_names("regenerated") == monks
    assert datasets.uci_names("differs") == ()
    assert {*datasets.uci_names("exact"), *monks} == {*MANIFEST}


def lay_out(folder, name):
    """Put a task into a folder, of other rows than the package's."""
    (folder / "uci").mkdir()
    x, y = np.float32([[1], [2], [3], [4], [5]]), np.array([0, 1, 0, 1, 0])
    np.savez(folder / "uci" / f"{name}.npz", X=x, y=y)
    digest = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()[:16]
    (folder / "uci" / "manifest.csv").write_text(
        f"task,package,status,sha256_16\n{name},a-package,exact,{digest}\n"
    )


def test_folder_is_looked_into_first(tmp_path, monkeypatch):
    lay_out(tmp_path, "zoo")
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    assert datasets.uci_names() == ("zoo",)
    assert datasets.uci_rows("zoo")[0].shape == (5, 1)
    assert datasets.uci("zoo").source.startswith("zoo, from a-package;")
    assert datasets.uci_rows("iris")[0].shape == (150, 4)  # not in the folder
    assert datasets.catalog()["uci"][1] == str(tmp_path / "uci")


def test_broken_task_of_the_folder_is_not_replaced_by_the_package(
    tmp_path, monkeypatch
):
    lay_out(tmp_path, "zoo")
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    path = tmp_path / "uci" / "zoo.npz"
    path.write_bytes(b"not an archive")
    kind, text = refusal(datasets.uci_rows, "zoo")
    assert kind is ValueError
    assert text.startswith(f"uci_rows: {path} must be a complete file; got ")


@pytest.mark.parametrize("spoiled", ["row", "label", "order"])
def test_other_content_of_the_package_is_refused(spoiled, tmp_path, monkeypatch):
    with np.load(_uci.PACKAGED / "zoo.npz") as file:
        x, y = file["X"], file["y"]
    if spoiled == "row":
        x[3, 1] = 1 - x[3, 1]
    elif spoiled == "label":
        y[0] += 1
    else:
        x, y = x[::-1], y[::-1]
    manifest = (_uci.PACKAGED / "manifest.csv").read_bytes()
    (tmp_path / "manifest.csv").write_bytes(manifest)
    np.savez_compressed(tmp_path / "zoo.npz", X=x, y=y)
    monkeypatch.setattr(_uci, "PACKAGED", tmp_path)
    kind, text = refusal(datasets.uci, "zoo")
    assert kind is ValueError
    demand = f"uci: the content of {tmp_path / 'zoo.npz'} must have the SHA-256 "
    assert text.startswith(demand + MANIFEST["zoo"]["sha256_16"])


# --- the files of this machine --------------------------------------------------------
@pytest.mark.skipif(
    FOLDER is None or not Path(FOLDER, "uci", "manifest.csv").is_file(),
    reason="COMPANION_DATA is not set to a folder with uci/manifest.csv",
)
@tasks
def test_package_and_folder_hold_the_same_rows(name):
    theirs = _uci.manifest(Path(FOLDER, "uci"))[name]
    same = ("package", "status", "sha256_16")
    assert {k: theirs[k] for k in same} == {k: MANIFEST[name][k] for k in same}
    with np.load(Path(FOLDER, "uci", f"{name}.npz")) as file:
        for array, key in zip(datasets.uci_rows(name), ("X", "y"), strict=True):
            np.testing.assert_array_equal(array, file[key])
