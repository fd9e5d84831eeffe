"""Small ensembles, and the same nets made of PyTorch's own modules, for the tests."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from companion.torch.ensemble import METHODS, Ensemble

WIDTHS = [6, 5, 5, 5, 5, 3]
SEEDS = [3, 1, 4]
#: Sums in another order, amplified by a few dozen steps.
RTOL = {torch.float64: 1e-9, torch.float32: 1e-4}


def rows(*shape, classes=3, seed=0):
    """Return normal inputs of WIDTHS' size and classes that follow from them loosely.

    The numbers are those of float32, and so the same in both dtypes.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*shape, WIDTHS[0])).astype(np.float32).astype(float)
    noisy = x[..., :classes] + rng.standard_normal((*shape, classes))
    return x, noisy.argmax(axis=-1)


def build(method="selu", seeds=SEEDS, widths=WIDTHS, **options):
    """Return an ensemble of that method, other options instead of its own."""
    return Ensemble(widths, seeds=seeds, **METHODS[method] | options)


def numbers(tensors):
    return [t.detach().numpy() for t in tensors]


def state(net):
    """Return all that a net has, learned or averaged, as arrays of K copies."""
    names = (*net.LEARNED, *net.AVERAGED)
    return [w for name in names for w in numbers(getattr(net, name))]


def close(ours, theirs, rtol=RTOL[torch.float64]):
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class Highway(nn.Module):
    """Srivastava et al. 2015, eq. 3."""

    def __init__(self, layer, gate):
        super().__init__()
        self.layer, self.gate = layer, gate

    def forward(self, h):
        t = torch.sigmoid(self.gate(h))
        return self.layer(h) * t + h * (1 - t)


class Around(nn.Module):
    """Two layers and a way around them."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, h):
        return h + self.layers(h)


class Modules:
    """One copy of an ensemble as a module of PyTorch, `model`, without dropout.

    `learned` holds its parameters in the order of the ensemble's, as PyTorch has them:
    transposed.
    """

    def __init__(self, method, net, k):
        options = METHODS[method]
        kind, skip = options.get("normalization"), options.get("skip")
        activation = nn.SELU() if options["activation"] == "selu" else nn.ReLU()
        *hidden, last = [
            linear(w[k], b[k]) for w, b in zip(net.weights, net.biases, strict=True)
        ]
        weights, biases, scales = [m.weight for m in hidden], [], []
        layers, self.norms = [], []
        for m in hidden:
            layer = [m, activation]
            biases.append(m.bias)
            if kind == "weight":
                weight_norm(m)
                weights[len(layers)] = m.parametrizations.weight.original1
                scales.append(m.parametrizations.weight.original0)
            elif kind:
                norm = NORMS[kind](m.out_features, dtype=m.weight.dtype)
                m.bias, biases[-1] = None, norm.bias
                scales.append(norm.weight)
                self.norms.append(norm)
                layer.insert(1, norm)
            layers.append(nn.Sequential(*layer))
        gates = []
        if skip == "highway":
            pairs = zip(net.gate_weights, net.gate_biases, strict=True)
            gates = [linear(w[k], b[k]) for w, b in pairs]
            pairs = zip(layers[1:], gates, strict=True)
            layers[1:] = itertools.starmap(Highway, pairs)
        if skip == "residual":
            layers[1:3] = [Around(*layers[1:3])]
        self.model = nn.Sequential(*layers, last)
        self.learned = [*weights, last.weight, *biases, last.bias, *scales]
        self.learned += [gate.weight for gate in gates]
        self.learned += [gate.bias for gate in gates]

    def train(self, x, y, orders, learning_rate, momentum):
        """Take a step for each minibatch of rows; return their losses."""
        optimizer = torch.optim.SGD(self.model.parameters(), learning_rate, momentum)
        x, y, losses = torch.tensor(x), torch.tensor(y), []
        for batch in orders:
            optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


def linear(weight, bias):
    layer = nn.Linear(*weight.shape, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight.T)
        layer.bias.copy_(bias[0])
    return layer
