"""Small nets, single and in copies, for the tests of :mod:`companion.mlp`."""

import numpy as np
import pytest

from companion.mlp import ACTIVATIONS, PReLU

#: What a net can be built with.
NAMES = (*ACTIVATIONS, "prelu", "rrelu")
COPIES = 3


def rng(seed=0):
    return np.random.default_rng(seed)


def rngs(n=COPIES):
    return [rng(seed) for seed in range(n)]


def normal(*shape, seed=99):
    return rng(seed).standard_normal(shape)


def prelu_of_each_unit(n_units, rng):
    return PReLU(n_units, copies=(COPIES,) if isinstance(rng, list | tuple) else ())


MAKERS = {"prelu of each unit": prelu_of_each_unit}

#: A net alone, K copies on the same rows, K copies each on its own.
BATCHES = {
    "single": (rng, (4, 3)),
    "copies, x shared": (rngs, (4, 3)),
    "copies, x of their own": (rngs, (COPIES, 4, 3)),
}
batches = pytest.mark.parametrize("batch", BATCHES)
