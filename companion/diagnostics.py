r"""A doctor for nets: what happens to the signal and to the gradient, layer by layer.

:func:`diagnose` follows a NumPy net through one forward and one backward pass and fills
a :class:`Report`; those of :mod:`companion.torch.diagnostics` and
:mod:`companion.tensorflow.diagnostics` do so for any model of their frameworks.
Chapters *Vanishing and exploding gradients* and *Recipes*.
"""

import html
import math
from dataclasses import dataclass, fields

import numpy as np

from companion._calls import (
    SATURATED_BELOW,
    Call,
    Signal,
    Weights,
    alike,
    blocks,
    norm,
    shares,
)
from companion._findings import Examination, Finding, findings
from companion.mlp import (
    Activation,
    AlphaDropout,
    Dense,
    Dropout,
    PReLU,
    RReLU,
    Sequential,
    softmax_cross_entropy,
)
from companion.normalization import BatchNorm, LayerNorm

__all__ = ["SATURATED_BELOW", "Finding", "Report", "diagnose"]


@dataclass(frozen=True, eq=False)
class Report:
    r"""Statistics of each layer, from the first one to the output, and the findings.

    A layer is one with weights, together with the activation that follows it.  One that
    is called several times has an entry for each call.

    Attributes
    ----------
    layers : tuple of str
        Names, as the framework gives them, and what each layer consists of.
    mean, variance : ndarray of shape (n_layers,), or (n_layers, K) for K copies
        Of the layer's outputs :math:`h`, over rows and units.
    saturated : ndarray of the same shape
        Share of the outputs where :math:`|f'(z)|` is below 5 % of its largest value;
        0 for a layer without an activation.
    dead : ndarray of the same shape
        Share of the units with :math:`f'(z) = 0` in every row.
    delta_norm : ndarray of the same shape
        :math:`\lVert \delta \rVert` with :math:`\delta = \partial \mathcal{L} /
        \partial z`, the backpropagated gradient; nan where none was measured.
    gradient_norm : ndarray of the same shape
        :math:`\lVert \partial \mathcal{L} / \partial W \rVert`.
    gradient_to_weight : ndarray of the same shape
        :math:`\lVert \partial \mathcal{L} / \partial W \rVert / \lVert W \rVert`: times
        the learning rate, what a step of plain gradient descent changes.
    findings : tuple of Finding
        What is wrong, worst first.  Nets with K copies have none.

    All norms are Frobenius norms.
    """

    layers: tuple
    mean: np.ndarray
    variance: np.ndarray
    saturated: np.ndarray
    dead: np.ndarray
    delta_norm: np.ndarray
    gradient_norm: np.ndarray
    gradient_to_weight: np.ndarray
    findings: tuple = ()

    @classmethod
    def of(cls, examination):
        """Make the report of what a backend has seen, an Examination."""
        pairs = blocks(examination.calls)
        rows = [_row(*pair) for pair in pairs]
        columns = (np.stack(column) for column in zip(*rows, strict=True))
        layers = tuple(
            f"{layer.name}: {layer.function}"
            + (f", {activation.function}" if activation else "")
            for layer, activation in pairs
        )
        copies = np.ndim(rows[0][0])
        return cls(layers, *columns, () if copies else findings(examination))

    @property
    def std(self):
        """Standard deviation of the layers' outputs."""
        return np.sqrt(self.variance)

    @property
    def healthy(self):
        """Nothing was found, but for notes."""
        return all(finding.note for finding in self.findings)

    def to_dict(self):
        """Return what json can write: layers, findings and whether it is healthy.

        What was not measured, or is not finite, becomes None.
        """
        rows = [
            {"layer": name, **{k: _plain(v[i]) for k, v in self._columns().items()}}
            for i, name in enumerate(self.layers)
        ]
        found = [
            {field.name: getattr(finding, field.name) for field in fields(finding)}
            for finding in self.findings
        ]
        return {"healthy": self.healthy, "findings": found, "layers": rows}

    def _columns(self):
        names = ["mean", "std", *(field.name for field in fields(self)[3:-1])]
        return {name: getattr(self, name) for name in names}

    def _diagnosis(self):
        if not self.findings:
            return ["Healthy: nothing was found."]
        first = "Healthy, with a note:" if self.healthy else "Findings:"
        found = [
            f"{'note' if finding.note else i}. {finding}"
            for i, finding in enumerate(self.findings, 1)
        ]
        return [first, *found]

    def _table(self):
        """Return the columns' names and a row of texts for each layer.

        Copies show their median.
        """
        columns = self._columns()
        rows = [
            [name, *(f"{np.median(v[i]):.3g}" for v in columns.values())]
            for i, name in enumerate(self.layers)
        ]
        return ["layer", *columns], rows

    def __str__(self):
        """Format as a table, a row for each layer, with the findings below it."""
        head, rows = self._table()
        table = [head, *rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            " ".join(
                [name.ljust(widths[0])]
                + [c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)]
            )
            for name, *cells in table
        ]
        return "\n".join([*lines, "", *self._diagnosis()])

    __repr__ = __str__

    def _repr_html_(self):
        head, rows = self._table()

        def line(cells, tag):
            style = "padding: 0 0.6em; white-space: nowrap"
            cells = (f'<{tag} style="{style}">{html.escape(c)}</{tag}>' for c in cells)
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join(line(row, "td") for row in rows)
        first, *found = self._diagnosis()
        items = "".join(f"<p>{html.escape(text)}</p>" for text in found)
        table = f"<thead>{line(head, 'th')}</thead><tbody>{body}</tbody>"
        return (
            f"<p><b>{first}</b></p>{items}"
            f'<div style="overflow-x: auto"><table>{table}</table></div>'
        )

    def plot(self):
        """Draw signal, units and gradients over the layers; needs matplotlib.

        Returns
        -------
        matplotlib.figure.Figure
        """
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 3, figsize=(10.5, 2.8), layout="constrained")
        x = np.arange(1, len(self.layers) + 1)
        panels = {
            "signal": ("mean", "std"),
            "share of the layer": ("saturated", "dead"),
            "norm of the gradient": ("delta_norm", "gradient_norm"),
        }
        for ax, (label, names) in zip(axes, panels.items(), strict=True):
            for name, marker in zip(names, "os", strict=True):
                values = getattr(self, name)
                if values.ndim == 2:
                    values = np.median(values, axis=1)
                ax.plot(x, values, marker=marker, label=name.replace("_", " "))
            ax.set(xlabel="layer", ylabel=label)
            ax.legend()
        axes[1].set_ylim(-0.05, 1.05)
        gradients = np.concatenate(
            [self.delta_norm.ravel(), self.gradient_norm.ravel()]
        )
        if (gradients > 0).any():
            axes[2].set_yscale("log")
        return figure


def diagnose(net, x, y, loss=softmax_cross_entropy):
    """Measure signal and gradients of `net` in one forward and one backward pass.

    Parameters
    ----------
    net : companion.mlp.Sequential
        It is measured as it answers, not as it is in training.  Its parameters stay
        as they are; its stored gradients become those of `x`.
    x : ndarray of shape (n, n_features)
    y : ndarray of int, shape (n,)
    loss : function of (outputs, y) returning (loss, gradient)

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
    >>> report = diagnose(net, x, y)
    >>> report.delta_norm.shape, report.healthy
    ((2,), True)
    >>> for layer in net.dense:
    ...     layer.parameters["W"][:] = 0.5
    >>> diagnose(net, x, y).findings[0].disease
    'symmetric'
    """
    if not isinstance(net, Sequential):
        raise TypeError(f"diagnose: `net` must be a Sequential; got {net!r}.")
    if not net.dense:
        raise ValueError("diagnose: `net` must have a dense layer; got none.")
    calls, h = {}, x
    for i, layer in enumerate(net.layers):
        inputs, h = h, layer.forward(h)
        call = _call(f"layer {i}", layer, inputs, h)
        if call:
            calls[layer] = call
    value, d = loss(h, y)
    for layer in reversed(net.layers):
        if layer in calls:
            calls[layer].delta_norm = norm(d)
        d = layer.backward(d)
        if isinstance(layer, Dense):
            calls[layer].gradient_norm = norm(layer.gradients["W"])
            calls[layer].gradients_alike = alike(layer.gradients["W"])
    examination = Examination(
        list(calls.values()),
        [Signal.of(x)],
        testing=True,
        outputs_finite=bool(np.isfinite(h).all()),
        loss_finite=bool(np.isfinite(value).all()),
    )
    return Report.of(examination)


def _call(name, layer, inputs, output):
    """Measure a layer's call; a layer that computes something else has none."""
    signals = {"output": Signal.of(output), "inputs": Signal.of(inputs)}
    if isinstance(layer, Dense):
        return Call(
            name,
            "weights",
            "Dense",
            **signals,
            weights=Weights.of(layer.parameters["W"]),
        )
    if isinstance(layer, Activation | PReLU | RReLU):
        function = getattr(layer, "name", type(layer).__name__.lower())
        saturated, dead = shares(layer.f_grad, layer.z)
        return Call(
            name, "activation", function, **signals, saturated=saturated, dead=dead
        )
    for kind, function, layers in _OTHERS:
        if isinstance(layer, layers):
            return Call(name, kind, function, **signals)
    return None


_OTHERS = (
    ("normalization", "batch", BatchNorm),
    ("normalization", "layer", LayerNorm),
    ("dropout", "dropout", Dropout),
    ("dropout", "alpha_dropout", AlphaDropout),
)


def _row(layer, activation):
    """Return the statistics of a layer, in the order of Report."""
    last = activation or layer
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.divide(layer.gradient_norm, layer.weights.norm)
    row = [
        last.output.mean,
        last.output.variance,
        last.saturated,
        last.dead,
        layer.delta_norm,
        layer.gradient_norm,
        ratio,
    ]
    return [np.broadcast_to(value, np.shape(row[0])) for value in row]


def _plain(value):
    """Return a number, or a list of K, as json writes it."""
    if np.ndim(value):
        return [_plain(one) for one in value]
    return float(value) if math.isfinite(value) else None
