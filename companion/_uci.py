"""Where the UCI tasks are: in the reader's folder, and in the package.

A collection is a folder of tasks as :func:`companion.datasets.uci` describes it.  That
of ``COMPANION_DATA`` is looked into first; the package's holds the tasks that may be
passed on, and ``ATTRIBUTION.md`` says whose they are and under which license.
"""

import csv
from pathlib import Path

import numpy as np

from companion import _archives, _checks, _downloads

#: The collection that comes with the package.
PACKAGED = Path(__file__).with_name("_uci_tasks")

#: All tasks, with no published checksum.
_HOME = "http://persoal.citius.usc.es/manuel.fernandez.delgado/papers/jmlr/data.tar.gz"

#: What a manifest says of a task -> how it relates to the published collection.
STATUS = {
    "exact": "as many rows, features and classes as published",
    "differs": "not as many rows, features or classes as published",
    "regenerated": "rows made anew by the published rule",
}


def collections(function):
    """Return the folders of tasks, the one to be looked into first."""
    folder = _downloads.data_folder(function)
    if folder and (folder / "uci" / "manifest.csv").is_file():
        return [folder / "uci", PACKAGED]
    return [PACKAGED]


def manifest(collection):
    """Return what the manifest of a collection says of each of its tasks."""
    with open(collection / "manifest.csv", encoding="utf-8", newline="") as file:
        return {row["task"]: row for row in csv.DictReader(file)}


def rows(function, name):
    """Return the rows and the labels of a task, and what they are, for a reader."""
    found = {}
    for collection in reversed(collections(function)):
        found |= {n: (collection, task) for n, task in manifest(collection).items()}
    try:
        collection, task = found[_checks.one_of(function, "name", name, sorted(found))]
    except ValueError as error:
        raise ValueError(
            f"{error} Others, of {_HOME}, are not downloaded, for they have no "
            "published checksum; companion.datasets.uci says how to lay them out in "
            f"the folder that the variable {_downloads.VARIABLE} names."
        ) from None
    path = collection / f"{name}.npz"
    x, y = _archives.arrays(function, path, ("X", "y"), task["sha256_16"])
    status = STATUS.get(task["status"], task["status"])
    source = f"{name}, from {task['package']}; {status}"
    return x.astype(float), y.astype(np.int64), source
