r"""What happens to the signal and to the gradient, layer by layer.

A :class:`Report` has one entry for each dense layer, its activation included.
:func:`diagnose` fills one for a NumPy net.  Chapter *Vanishing and exploding
gradients*.
"""

from dataclasses import asdict, dataclass

import numpy as np

from companion import _checks
from companion.mlp import Dense, Sequential, softmax_cross_entropy

#: A unit counts as saturated where its slope is below this share of the largest.
SATURATED_BELOW = 0.05


@dataclass(frozen=True, eq=False)
class Report:
    r"""Statistics of each layer, from the first hidden one to the output.

    Attributes
    ----------
    mean, variance : ndarray of shape (n_layers,), or (n_layers, K) for K copies
        Of the layer's outputs :math:`h`, over rows and units.
    saturated : ndarray of the same shape
        Share of the outputs where :math:`|f'(z)|` is below 5 % of its largest value;
        0 for a layer without an activation.
    dead : ndarray of the same shape
        Share of the units with :math:`f'(z) = 0` in every row.
    delta_norm : ndarray of the same shape
        :math:`\lVert \delta \rVert` with :math:`\delta = \partial \mathcal{L} /
        \partial z`, the backpropagated gradient.
    gradient_norm : ndarray of the same shape
        :math:`\lVert \partial \mathcal{L} / \partial W \rVert`.
    update_ratio : ndarray of the same shape, or None
        :math:`\eta \lVert \partial \mathcal{L} / \partial W \rVert /
        \lVert W \rVert`, what one step of plain gradient descent changes.

    All norms are Frobenius norms.
    """

    mean: np.ndarray
    variance: np.ndarray
    saturated: np.ndarray
    dead: np.ndarray
    delta_norm: np.ndarray
    gradient_norm: np.ndarray
    update_ratio: np.ndarray | None = None

    def to_dict(self):
        """Return the statistics by name."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    def __str__(self):
        """Format as a table, a row for each layer; copies show their median."""
        columns = self.to_dict()
        width = max(map(len, columns))
        lines = ["layer " + " ".join(f"{name:>{width}}" for name in columns)]
        for i in range(len(self.mean)):
            cells = (f"{np.median(v[i]):>{width}.3g}" for v in columns.values())
            lines.append(f"{i + 1:>5} " + " ".join(cells))
        return "\n".join(lines)


def diagnose(net, x, y, loss=softmax_cross_entropy, *, learning_rate=None):
    """Measure signal and gradients of `net` in one forward and one backward pass.

    Parameters
    ----------
    net : companion.mlp.Sequential
        Dense layers, each followed by an activation or by none.  Its parameters
        stay as they are; its stored gradients become those of `x`.
    x : ndarray of shape (n, n_features)
    y : ndarray of int, shape (n,)
    loss : function of (outputs, y) returning (loss, gradient)
    learning_rate : float, optional
        Needed for the update ratio.

    Returns
    -------
    Report

    Raises
    ------
    TypeError, ValueError
        If the net has no dense layer or the shapes do not match.

    Examples
    --------
    >>> from companion.mlp import stack
    >>> rng = np.random.default_rng(0)
    >>> net = stack([5, 8, 3], activation="relu", rng=rng)
    >>> x, y = rng.standard_normal((100, 5)), rng.integers(3, size=100)
    >>> diagnose(net, x, y).delta_norm.shape
    (2,)
    """
    if learning_rate is not None:
        learning_rate = _checks.finite(
            "diagnose", "learning_rate", learning_rate, above=0.0
        )
    if not isinstance(net, Sequential):
        raise TypeError(f"diagnose: `net` must be a Sequential; got {net!r}.")
    if not net.dense:
        raise ValueError("diagnose: `net` must have a dense layer; got none.")
    outputs = []
    h = x
    for layer in net.layers:
        h = layer.forward(h)
        outputs.append(h)
    _, d = loss(h, y)
    rows = []
    activation, h = None, outputs[-1]
    for layer, output in zip(reversed(net.layers), reversed(outputs), strict=True):
        if not isinstance(layer, Dense):
            activation, h = layer, output
            d = layer.backward(d)
            continue
        h = output if activation is None else h
        dz, d = d, layer.backward(d)
        rows.append(_row(layer, activation, h, dz, learning_rate))
        activation = None
    columns = (np.stack(c) for c in zip(*reversed(rows), strict=True))
    return Report(*columns)


def _row(layer, activation, h, dz, learning_rate):
    """Return the statistics of one dense layer, in the order of Report."""
    saturated = dead = np.zeros(h.shape[:-2])
    if activation is not None:
        slope = np.abs(activation.f_grad(activation.z))
        z = np.linspace(-5.0, 5.0, 201)[:, None]  # where every activation is steepest
        z = np.broadcast_to(z, (*h.shape[:-2], 201, h.shape[-1]))
        steepest = np.abs(activation.f_grad(z)).max(axis=(-2, -1), keepdims=True)
        saturated = (slope < SATURATED_BELOW * steepest).mean(axis=(-2, -1))
        dead = (slope == 0).all(axis=-2).mean(axis=-1)
    gradient_norm = _norm(layer.gradients["W"])
    row = [h.mean(axis=(-2, -1)), h.var(axis=(-2, -1)), saturated, dead, _norm(dz)]
    row.append(gradient_norm)
    if learning_rate is not None:
        row.append(learning_rate * gradient_norm / _norm(layer.parameters["W"]))
    return row


def _norm(matrices):
    return np.linalg.norm(matrices, axis=(-2, -1))
