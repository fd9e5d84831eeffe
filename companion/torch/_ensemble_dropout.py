r"""Dropout for nets computed at once: each at its own rate, with its own masks.

As in :mod:`companion.torch.dropout` a mask is drawn from 16 random bits an element, and
a rate is rounded to a multiple of 1/65536.
"""

import functools

import numpy as np
import torch

from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.dropout import alpha_dropout_affine
from companion.torch.dropout import _LEVELS


class Drops:
    r"""What dropout does to the outputs of layers, for K nets.

    .. math:: a \bigl(d h + (1 - d) v\bigr) + b = h\,ad + (av + b - v\,ad)

    with d = 1 where a unit is kept, else 0, and v the value of a dropped one.

    Parameters
    ----------
    kind : {"alpha_dropout", "dropout"}
    rates : ndarray of shape (K,), each in [0, 1)
    rngs : sequence of K numpy.random.Generator
        What one draws hangs on nothing but the shapes, and is the same on every device.
    tensor : dtype and device
    """

    def __init__(self, kind, rates, rngs, **tensor):
        self.kind, self.rates, self.rngs, self.tensor = kind, rates, rngs, tensor
        kept = np.clip(np.round((1 - rates) * _LEVELS), 1, _LEVELS - 1)
        kept[rates == 0] = _LEVELS
        if kind == "dropout":
            self.value, affine = 0.0, [(_LEVELS / k, 0.0) for k in kept]
        else:
            self.value = -SELU_SCALE * SELU_ALPHA
            affine = [alpha_dropout_affine(1 - k / _LEVELS) for k in kept]
        self.a, b = torch.tensor(affine, **tensor).T[..., None, None]
        self.shift = self.a * self.value + b
        # A unit stays where a number from -32768 to 32767 is below this.
        self.limit = torch.tensor(kept - _LEVELS // 2, **tensor)[:, None, None]

    def take(self, copies):
        """Return the same for some of the nets."""
        rngs = [self.rngs[k] for k in copies]
        return Drops(self.kind, self.rates[copies], rngs, **self.tensor)

    def of(self, *shapes):
        """Return a function for each layer, of its outputs of shape (K, *shape).

        Each generator draws once for all layers.
        """
        if not self.rates.any():
            return [unchanged] * len(shapes)
        sizes = [int(np.prod(shape)) for shape in shapes]
        words = -(-sum(sizes) // 4)  # of four numbers each
        drawn = np.stack([rng.bit_generator.random_raw(words) for rng in self.rngs])
        drawn = torch.from_numpy(drawn.view(np.int16)).to(self.tensor["device"])
        numbers = drawn[:, : sum(sizes)].split(sizes, dim=1)
        return [
            functools.partial(self._drop, numbers=n.unflatten(1, shape))
            for n, shape in zip(numbers, shapes, strict=True)
        ]

    def _drop(self, h, numbers):
        # Compared as floating-point numbers: on a CPU three times as fast as integers.
        mask = numbers.to(h.dtype).lt_(self.limit).mul_(self.a)
        if self.kind == "dropout":
            return h * mask
        return torch.addcmul(torch.add(self.shift, mask, alpha=-self.value), h, mask)


def unchanged(h):
    return h
