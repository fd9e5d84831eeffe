"""PyTorch's functions and layers under torch.compile, at sizes that are left open.

No compiler is needed: what is recorded runs operation by operation.
"""

import functools
import importlib

import numpy as np
import pytest
from helpers import EPS, REQUIRED, close, public

torch = pytest.importorskip("torch")
activations = importlib.import_module("companion.torch.activations")
dropout = importlib.import_module("companion.torch.dropout")
kernels = importlib.import_module("companion.torch.kernels")
normalization = importlib.import_module("companion.torch.normalization")

FUNCTIONS = {
    **{
        name: functools.partial(getattr(activations, name), **REQUIRED.get(name, {}))
        for name in sorted(public(activations))
    },
    "prelu with slopes": lambda z: activations.prelu(z, torch.linspace(-1, 1, 6)),
    "rrelu in training": functools.partial(activations.rrelu, training=True),
    "dropout": functools.partial(dropout.dropout, rate=0.3),
    "alpha_dropout": functools.partial(dropout.alpha_dropout, rate=0.3),
    "selu_alpha_dropout": functools.partial(kernels.selu_alpha_dropout, rate=0.3),
    "bias_activation": lambda z: kernels.bias_activation(z, z[0], "elu"),
    "BatchNorm": normalization.BatchNorm(6).double(),
    "BatchNormActivation": kernels.BatchNormActivation(6, "gelu").double(),
}
DRAWN = "rrelu in training", "dropout", "alpha_dropout", "selu_alpha_dropout"
# PyTorch warns of what it does itself: it makes a torch.autograd.Function to look into
# it, and reads the `grad` of each tensor that a graph begins with.
pytestmark = [
    pytest.mark.filterwarnings("ignore:<class 'torch.autograd.function.Function'>"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not"),
]


def value_and_gradient(function, n, generator):
    rng = np.random.default_rng(n)
    z, upstream = (torch.tensor(rng.standard_normal((n, 6))) for _ in range(2))
    generator.manual_seed(n)
    y = function(z.requires_grad_())
    return y, torch.autograd.grad(y, z, upstream)[0]


def check(function, compiled, generator):
    """Compare both at sizes that are given one after the other."""
    for n in (20, 11, 5):
        expected = value_and_gradient(function, n, generator)
        found = value_and_gradient(compiled, n, generator)
        for part, other in zip(found, expected, strict=True):
            part, other = part.detach().numpy(), other.detach().numpy()
            close(part, other, 16 * EPS["float64"], 16 * EPS["float64"], "compiled")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dynamic", [True, None])
def test_a_function_is_compiled_whole(name, dynamic):
    torch.compiler.reset()
    options = {"backend": "aot_eager", "fullgraph": True, "dynamic": dynamic}
    function = FUNCTIONS[name]
    check(function, torch.compile(function, **options), torch.default_generator)


@pytest.mark.parametrize("name", DRAWN)
def test_a_generator_of_its_own_breaks_the_graph_and_nothing_else(name):
    torch.compiler.reset()
    generator = torch.Generator()
    function = functools.partial(FUNCTIONS[name], generator=generator)
    compiled = torch.compile(function, backend="aot_eager", dynamic=True)
    check(function, compiled, generator)
