r"""Many dense nets of one shape, trained at once.

A comparison of methods needs many small nets: several seeds for each, several learning
rates and rates of dropout.  Nets of one shape stand in tensors with the net as first
axis, so that each layer is one batched product.  Every copy keeps its own weights, its
own learning rate, its own masks and its own order of the minibatches, and is what it
would be alone.  Chapters *Self-normalization*, *Dropout that keeps the fixed point* and
*Replications*.
"""

import collections
import copy
import itertools

import numpy as np
import torch
import torch.nn.functional as F

import companion.torch.activations
from companion import _checks, activations
from companion.initializers import he_normal, lecun_normal
from companion.torch._ensemble_dropout import Drops, unchanged
from companion.torch._ensemble_training import History, evaluate, predict, train

__all__ = [
    "ACTIVATIONS",
    "METHODS",
    "Ensemble",
    "History",
    "evaluate",
    "predict",
    "train",
]

#: The activations that :class:`Ensemble` knows by name: those without an argument.
ACTIVATIONS = tuple(
    sorted(
        name.removesuffix("_grad")
        for name in vars(activations)
        if name.endswith("_grad") and name not in ("prelu_grad", "rrelu_grad")
    )
)
DROPOUTS = "alpha_dropout", "dropout"
NORMALIZATIONS = None, "batch", "layer", "weight"
SKIPS = None, "residual", "highway"

_RELU = {"activation": "relu", "initializer": he_normal, "dropout": "dropout"}
#: The methods that Klambauer et al. (2017) compare, as arguments of :class:`Ensemble`.
METHODS = {
    "selu": {
        "activation": "selu",
        "initializer": lecun_normal,
        "dropout": "alpha_dropout",
    },
    "relu": _RELU,
    "batch_norm": _RELU | {"normalization": "batch"},
    "layer_norm": _RELU | {"normalization": "layer"},
    "weight_norm": _RELU | {"normalization": "weight"},
    "highway": _RELU | {"skip": "highway"},
    "residual": _RELU | {"normalization": "batch", "skip": "residual"},
}


class Ensemble:
    r"""K dense nets of one shape, computed at once.

    .. math:: h^{(l)} = f\bigl(h^{(l-1)} W^{(l)} + b^{(l)}\bigr)
       \quad \text{for each copy}

    The last layer has no activation: its outputs are logits.

    Parameters
    ----------
    widths : sequence of int
        The number of inputs, of each hidden layer's units, and of outputs.
    activation : str, or function of a tensor
        One of :data:`ACTIVATIONS`, with its default arguments.
    initializer : function of (shape, rng), or sequence of K of them
        As in :mod:`companion.initializers`.
    seeds : sequence of K int
        Copy k draws its weights, layer by layer, from
        ``numpy.random.default_rng(seeds[k])``, and what it drops from
        generators with ``[seeds[k], 2]`` and, for the inputs, 3; biases start at 0.
    rate, input_rate : float in [0, 1), or sequence of K of them
        In training, the share of the hidden layers' outputs and of the inputs that is
        dropped, rounded to a multiple of 1/65536.
    dropout : {"alpha_dropout", "dropout"}
        How.
    normalization : {None, "batch", "layer", "weight"}
        Of what enters each activation: over the minibatch as
        :class:`torch.nn.BatchNorm1d` does, over the layer as
        :class:`torch.nn.LayerNorm`, each with a learned scale and then the bias; or of
        the weights, whose columns are a learned scale (at first their own length) times
        a direction (Salimans and Kingma 2016, eq. 2).
    skip : {None, "residual", "highway"}
        Residual: to the output of each second hidden layer after the first is added the
        output of the one two below.  Highway (Srivastava et al. 2015, eq. 3): each
        hidden layer after the first gives :math:`t \odot h^{(l)} + (1 - t) \odot
        h^{(l-1)}` with gates :math:`t = \sigma(h^{(l-1)} W_t + b_t)`, whose weights
        are drawn as the others and whose biases start at -1.
    dtype : torch.dtype
        Of weights and computations.
    device : torch.device or str
        Where they are.

    Attributes
    ----------
    weights, biases : list of K x n_inputs x n_units and K x 1 x n_units tensors
    scales : list of K x 1 x n_units tensors
        Of the hidden layers with a normalization; else empty.
    gate_weights, gate_biases : list of tensors like `weights` and `biases`
        Of the hidden layers after the first with highway; else empty.
    running_means, running_variances : list of K x 1 x n_units tensors
        The moving averages that replace the batch's after training.
    parameters : list of tensor
        All that is learned.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or hidden layers of different widths are to be
        added.

    Examples
    --------
    >>> net = Ensemble([4, 8, 8, 3], seeds=range(5), **METHODS["selu"])
    >>> [tuple(h.shape) for h in net.layers(torch.ones(10, 4))]
    [(5, 10, 8), (5, 10, 8), (5, 10, 3)]
    """

    LEARNED = "weights", "biases", "scales", "gate_weights", "gate_biases"
    AVERAGED = "running_means", "running_variances"

    def __init__(
        self,
        widths,
        *,
        activation,
        initializer,
        seeds,
        rate=0.0,
        input_rate=0.0,
        dropout="alpha_dropout",
        normalization=None,
        skip=None,
        dtype=torch.float64,
        device="cpu",
    ):
        self.seeds = tuple(seeds)
        if not self.seeds:
            raise ValueError("Ensemble: `seeds` must hold one at least; got none.")
        if not callable(activation):
            _checks.one_of("Ensemble", "activation", activation, ACTIVATIONS)
            activation = getattr(companion.torch.activations, activation)
        self.activation = activation
        _checks.one_of("Ensemble", "dropout", dropout, DROPOUTS)
        self.normalization = _checks.one_of(
            "Ensemble", "normalization", normalization, NORMALIZATIONS
        )
        self.skip = _checks.one_of("Ensemble", "skip", skip, SKIPS)
        widths = _widths(widths, equal=skip is not None)
        self._tensor = {"dtype": dtype, "device": torch.device(device)}
        self.drops, self.input_drops = (
            Drops(
                dropout,
                _rates(name, rates, len(self.seeds)),
                [np.random.default_rng([seed, stream]) for seed in self.seeds],
                **self._tensor,
            )
            for name, rates, stream in (
                ("rate", rate, 2),
                ("input_rate", input_rate, 3),
            )
        )
        self._start(widths, initializer)

    def _start(self, widths, initializer):
        """Draw the weights, layer by layer for each copy, and set the rest."""
        rngs = [np.random.default_rng(seed) for seed in self.seeds]
        if callable(initializer):
            initializer = [initializer] * len(rngs)

        def drawn(shape):
            pairs = zip(initializer, rngs, strict=True)
            weights = np.stack([draw(shape, rng=rng) for draw, rng in pairs])
            return torch.tensor(weights, **self._tensor)

        shapes = list(itertools.pairwise(widths))
        self.weights = [drawn(shape) for shape in shapes]
        self.biases = [w.new_zeros(len(w), 1, w.shape[2]) for w in self.weights]
        hidden = self.biases[:-1]
        self.scales, self.running_means, self.running_variances = [], [], []
        self.gate_weights, self.gate_biases = [], []
        if self.normalization == "weight":
            self.scales = [w.norm(dim=1, keepdim=True) for w in self.weights[:-1]]
        elif self.normalization:
            self.scales = [torch.ones_like(b) for b in hidden]
        if self.normalization == "batch":
            self.running_means = [torch.zeros_like(b) for b in hidden]
            self.running_variances = [torch.ones_like(b) for b in hidden]
        if self.skip == "highway":
            self.gate_weights = [drawn(shape) for shape in shapes[1:-1]]
            self.gate_biases = [torch.full_like(b, -1.0) for b in hidden[1:]]
        for w in self.parameters:
            w.requires_grad_()

    @property
    def parameters(self):
        return [w for name in self.LEARNED for w in getattr(self, name)]

    def take(self, copies):
        """Return an ensemble of some of the copies, in new tensors.

        Parameters
        ----------
        copies : sequence of int, from 0

        Examples
        --------
        >>> net = Ensemble([2, 3], seeds=[5, 6, 7], **METHODS["relu"])
        >>> part = net.take([2])
        >>> part.seeds, torch.equal(part.weights[0][0], net.weights[0][2])
        ((7,), True)
        """
        copies = list(copies)
        part = copy.copy(self)
        part.seeds = tuple(self.seeds[k] for k in copies)
        part.drops = self.drops.take(copies)
        part.input_drops = self.input_drops.take(copies)
        for name in (*self.LEARNED, *self.AVERAGED):
            tensors = [w.detach()[copies] for w in getattr(self, name)]
            setattr(part, name, tensors)
        for w in part.parameters:
            w.requires_grad_()
        return part

    def put(self, copies, part, rows=slice(None)):
        """Set those copies to these rows of another ensemble of the same shape."""
        with torch.no_grad():
            for name in (*self.LEARNED, *self.AVERAGED):
                for w, new in zip(
                    getattr(self, name), getattr(part, name), strict=True
                ):
                    w[copies] = new[rows]

    def layers(self, x, training=False):
        """Return what each layer gives to the next, and the logits last.

        Parameters
        ----------
        x : torch.Tensor of shape (n, n_inputs), or (K, n, n_inputs)
            In two axes the rows are shared by the copies.
        training : bool
            Drop units, and normalize by the minibatch, whose moving averages are kept.

        Returns
        -------
        list of torch.Tensor of shape (K, n, n_units)
        """
        return list(self._layers(x, training))

    def logits(self, x):
        """Return the last of :meth:`layers`, and hold none of the others meanwhile."""
        return collections.deque(self._layers(x, training=False), maxlen=1).pop()

    def _layers(self, x, training):
        x = torch.as_tensor(x, **self._tensor)
        copies, n_inputs, _ = self.weights[0].shape
        shapes = (n_inputs,), (1, n_inputs), (copies, n_inputs)
        if x.ndim < 2 or (*x.shape[:-2], x.shape[-1]) not in shapes:
            raise ValueError(
                f"Ensemble.layers: `x` must have shape (n, {n_inputs}) or ({copies}, "
                f"n, {n_inputs}); got {tuple(x.shape)}."
            )
        h, kept = x.expand(copies, *x.shape[-2:]), 0
        n, widths = h.shape[1], [w.shape[1] for w in self.weights]
        drops = [unchanged] * len(widths)
        if training:
            drops = self.input_drops.of((n, widths[0]))
            drops += self.drops.of(*[(n, width) for width in widths[1:]])
        h = drops[0](h)
        for i, drop in enumerate(drops[1:]):
            below = h
            h = drop(self.activation(self._preactivation(i, h, training)))
            if self.skip == "residual" and i % 2 == 0:
                h = kept = h + kept
            if self.skip == "highway" and i > 0:
                gate = self.gate_biases[i - 1], below, self.gate_weights[i - 1]
                h = torch.lerp(below, h, torch.baddbmm(*gate).sigmoid())
            yield h
        yield torch.baddbmm(self.biases[-1], h, self.weights[-1])

    def _preactivation(self, i, h, training):
        W, b = self.weights[i], self.biases[i]
        if self.normalization is None:
            return torch.baddbmm(b, h, W)
        scale = self.scales[i]
        if self.normalization == "weight":
            return torch.baddbmm(b, h, W * (scale / W.norm(dim=1, keepdim=True)))
        z = torch.bmm(h, W)
        if self.normalization == "layer":
            return torch.addcmul(b, F.layer_norm(z, z.shape[2:]), scale)
        # The copies' units side by side: to PyTorch they are the units of one layer.
        vectors = self.running_means[i], self.running_variances[i], scale, b
        vectors = [v.flatten() for v in vectors]
        z = F.batch_norm(z.transpose(0, 1).flatten(1), *vectors, training=training)
        return z.unflatten(1, (len(self.seeds), -1)).transpose(0, 1)


def _widths(widths, equal):
    if np.ndim(widths) != 1 or len(widths) < 2:
        raise ValueError(
            f"Ensemble: `widths` must hold the numbers of inputs and outputs at "
            f"least; got {widths!r}."
        )
    widths = [_checks.integer("Ensemble", "widths", n, minimum=1) for n in widths]
    if equal and len(set(widths[1:-1])) > 1:
        raise ValueError(
            f"Ensemble: `widths` of the hidden layers must be equal with a skip "
            f"connection; got {widths[1:-1]}."
        )
    return widths


def _rates(name, rates, copies):
    """Return one rate for each copy, checked."""
    rates = _checks.real_array("Ensemble", name, rates)
    if rates.shape not in ((), (copies,)):
        raise ValueError(
            f"Ensemble: `{name}` must be a number or one for each copy; got shape "
            f"{rates.shape} for {copies} copies."
        )
    if not ((rates >= 0) & (rates < 1)).all():
        raise ValueError(f"Ensemble: `{name}` must be in [0, 1); got {rates}.")
    return np.broadcast_to(rates, copies).copy()
