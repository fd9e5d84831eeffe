"""What one call of a layer did, in numbers: a private part of the diagnostics.

Each backend follows a model through one forward and one backward pass and fills a
:class:`Call` for every call of a layer with weights, an activation, a normalization
or a dropout.  All arithmetic is here, in NumPy and float64: a backend hands over
arrays of shape (..., rows, units), where the positions of an image are rows and its
channels are units.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from companion import activations

#: A unit counts as saturated where its slope is below this share of the largest.
SATURATED_BELOW = 0.05


@dataclass(frozen=True, eq=False)
class Signal:
    """Statistics of an array of shape (..., rows, units).

    Attributes
    ----------
    means, scales : ndarray of shape (..., units)
        Mean and standard deviation of each unit over the rows.
    rows : int
    finite : bool
        Neither nan nor inf anywhere.
    """

    means: np.ndarray
    scales: np.ndarray
    rows: int
    finite: bool

    @classmethod
    def of(cls, array):
        array = np.asarray(array, dtype=float)
        rows = array.shape[-2]
        with np.errstate(over="ignore", invalid="ignore"):
            means = array.mean(axis=-2)
            centered = array - means[..., None, :]
            scales = np.sqrt(np.einsum("...ij,...ij->...j", centered, centered) / rows)
        finite = bool(np.isfinite(means).all())  # else a mean is nan or inf, too
        return cls(means, scales, rows, finite)

    @functools.cached_property
    def mean(self):
        """Over rows and units: one for each copy."""
        return self.means.mean(axis=-1)

    @functools.cached_property
    def variance(self):
        """Over rows and units: within the units, and between them."""
        with np.errstate(over="ignore", invalid="ignore"):
            return (self.scales**2).mean(axis=-1) + self.means.var(axis=-1)

    @property
    def rms(self):
        """Root mean square, of one copy."""
        return math.sqrt(self.mean**2 + self.variance)

    @property
    def offset(self):
        """The median over units of the mean's size in standard deviations.

        It is 0 where no unit varies.
        """
        varies = self.scales > 1e-12 * np.abs(self.means)
        if not self.finite or not varies.any():
            return 0.0
        return float(np.median(np.abs(self.means[varies]) / self.scales[varies]))


@dataclass(frozen=True, eq=False)
class Weights:
    """Statistics of weights of shape (..., fan_in, units).

    Attributes
    ----------
    fan_in, fan_out : int
    variance, norm : float, or ndarray of shape (...)
    size : int
        Of one matrix.
    finite : bool
    alike : float, or ndarray of shape (...)
        Share of the units whose incoming weights are those of another unit.
    zero : bool
        All of them are 0.
    """

    fan_in: int
    fan_out: int
    variance: float
    norm: float
    size: int
    finite: bool
    alike: float
    zero: bool

    @classmethod
    def of(cls, matrix, *, fan_out=None, grouped=False):
        """Measure a matrix; the units of a `grouped` layer have different inputs."""
        matrix = np.asarray(matrix, dtype=float)
        *_, fan_in, units = matrix.shape
        return cls(
            fan_in,
            units if fan_out is None else fan_out,
            matrix.var(axis=(-2, -1)),
            norm(matrix),
            fan_in * units,
            bool(np.isfinite(matrix).all()),
            0.0 if grouped else alike(matrix),
            not matrix.any(),
        )


@dataclass(eq=False)
class Call:
    """One call of a layer.

    Attributes
    ----------
    name : str
        Of the layer, as its framework names it; later calls have a number too.
    kind : {"weights", "activation", "normalization", "dropout"}
    function : str
        The name of this package, such as ``"relu"``, ``"batch"`` or
        ``"alpha_dropout"``; for a layer with weights the class.
    output, inputs : Signal
        Inputs that are not real numbers, such as indices, have None.
    saturated, dead : float
        Of an activation: :func:`shares`.
    weights : Weights, or None
    training : bool
        Of a normalization: by the statistics of the batch.  Of a dropout: at work.
    delta_norm : float
        The norm of the gradient at the output: nan where it was not measured, and inf
        where nan or inf is in it.
    gradient_norm : float
        The norm of the gradient of the weights.
    gradients_alike : float
        As `alike` of the weights.
    """

    name: str
    kind: str
    function: str
    output: Signal
    inputs: Signal | None
    saturated: float = 0.0
    dead: float = 0.0
    weights: Weights | None = None
    training: bool = False
    delta_norm: float = math.nan
    gradient_norm: float = math.nan
    gradients_alike: float = math.nan


def blocks(calls):
    """Pair each layer with the first activation between it and the next layer."""
    pairs = []
    for call in calls:
        if call.kind == "weights":
            pairs.append([call, None])
        elif call.kind == "activation" and pairs and pairs[-1][1] is None:
            pairs[-1][1] = call
    return pairs


def norm(matrices):
    """Return Frobenius norms, and inf where there is nan or inf."""
    norms = np.linalg.norm(np.asarray(matrices, dtype=float), axis=(-2, -1))
    return np.where(np.isfinite(norms), norms, np.inf)[()]


def alike(matrices):
    """Return the share of the columns that equal another one, up to rounding.

    Columns are compared by one random projection: different ones agree in it by
    accident only.  A single column has no other.
    """
    rows, columns = matrices.shape[-2:]
    if columns < 2:
        return 0.0
    projected = np.sort(np.random.default_rng(0).standard_normal(rows) @ matrices)
    largest = np.abs(projected).max(axis=-1, keepdims=True)
    near = np.diff(projected) <= 1e-9 * largest
    none = np.zeros_like(near[..., :1])
    has_twin = np.concatenate([near, none], -1) | np.concatenate([none, near], -1)
    return has_twin.mean(axis=-1)


def shares(f_grad, z):
    """Return the shares of saturated outputs and of dead units.

    Saturated: the slope is below 5 % of the largest.  Dead: it is 0 in every row.

    Parameters
    ----------
    f_grad : function
        The derivative, of an array of shape (..., rows, units).
    z : ndarray of that shape
    """
    slope = np.abs(f_grad(z))
    grid = np.linspace(-5.0, 5.0, 201)[:, None]  # where every activation is steepest
    grid = np.broadcast_to(grid, (*z.shape[:-2], 201, z.shape[-1]))
    steepest = np.abs(f_grad(grid)).max(axis=(-2, -1), keepdims=True)
    saturated = (slope < SATURATED_BELOW * steepest).mean(axis=(-2, -1))
    return saturated, (slope == 0).all(axis=-2).mean(axis=-1)


def slope_of(name, **arguments):
    """Return the derivative of an activation, or None if there is none of that name."""
    if name == "relu6":
        return lambda z: ((z > 0) & (z < 6)).astype(float)
    f_grad = getattr(activations, f"{name}_grad", None)
    return f_grad and (lambda z: f_grad(z, **arguments))
