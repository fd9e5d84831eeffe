"""Each function of `companion.torch` against PyTorch's own, on a CPU: `make bench`.

The numbers of each tensor take 128 MiB, more than caches hold.
"""

import functools
import math

import pytest
import torch.nn.functional as F
from device_rows import selu_net_memory, selu_net_time, steps
from timing import in_turns
from torch import nn, ones, randn, sigmoid, tanh, zeros
from torch.autograd import grad

from companion.initializers import TRUNCATED_STD
from companion.recipes import recommend
from companion.torch import activations, initializers
from companion.torch.mlp import mlp
from companion.torch.normalization import BatchNorm

ROWS, COLUMNS = 2**19, 64
IMAGES = 2**5, 64, 2**7, 2**7

partial = functools.partial
#: Ours and PyTorch's own, each a function of one tensor.
ACTIVATIONS = {
    **{
        name: (getattr(activations, name), getattr(F, name))
        for name in (
            *("softsign", "relu", "leaky_relu", "elu", "celu", "selu", "softplus"),
            *("silu", "gelu", "mish"),
        )
    },
    "logistic": (activations.logistic, sigmoid),
    "tanh": (activations.tanh, tanh),
    "gelu-tanh": (
        partial(activations.gelu, approximate=True),
        partial(F.gelu, approximate="tanh"),
    ),
    "rrelu-training": (
        partial(activations.rrelu, training=True),
        partial(F.rrelu, training=True),
    ),
    "rrelu-testing": (
        partial(activations.rrelu, training=False),
        partial(F.rrelu, training=False),
    ),
}


@pytest.fixture(autouse=True)
def _one_thread(torch):
    """Measure processor time, as the fixture says."""


def report_both_ways(report, id, ours, theirs, x, weights=((), ())):
    """Report a forward pass alone, and one with the backward pass."""
    plain, upstream = x.detach(), randn(x.shape)
    calls = partial(ours, plain), partial(theirs, plain)
    report(f"{id}-forward", *in_turns(*calls))
    calls = [
        lambda f=f, leaves=(x, *more): grad(f(x), leaves, upstream)
        for f, more in zip((ours, theirs), weights, strict=True)
    ]
    report(f"{id}-both-ways", *in_turns(*calls))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name, report):
    x = randn(ROWS, COLUMNS, requires_grad=True)
    report_both_ways(report, f"cpu-{name}".replace("_", "-"), *ACTIVATIONS[name], x)


@pytest.mark.parametrize("slopes", [1, COLUMNS])
def test_prelu(slopes, report):
    x = randn(ROWS, COLUMNS, requires_grad=True)
    alpha = (ones(slopes) / 4).requires_grad_()
    ours, theirs = (partial(_prelu, f, alpha) for f in (activations.prelu, F.prelu))
    name = "cpu-prelu" if slopes == 1 else "cpu-prelu-channels"
    report_both_ways(report, name, ours, theirs, x, 2 * [[alpha]])


def _prelu(function, alpha, x):
    return function(x, alpha)


@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), IMAGES], ids=["rows", "images"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "testing"])
def test_batch_norm(training, shape, report):
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    layers = [layer(shape[1]).train(training) for layer in (BatchNorm, kind)]
    id = f"cpu-batch-norm-{'rows' if len(shape) == 2 else 'images'}"
    id += "-training" if training else "-testing"
    weights = [list(layer.parameters()) for layer in layers]
    report_both_ways(report, id, *layers, randn(shape, requires_grad=True), weights)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("he-normal", nn.init.kaiming_normal_),
        ("he-uniform", nn.init.kaiming_uniform_),
        ("glorot-normal", nn.init.xavier_normal_),
        ("glorot-uniform", nn.init.xavier_uniform_),
        ("lecun-normal", partial(nn.init.kaiming_normal_, nonlinearity="linear")),
        ("lecun-uniform", partial(nn.init.kaiming_uniform_, nonlinearity="linear")),
    ],
)
def test_initializer(name, theirs, report):
    w = zeros(4096, 8192)
    ours = getattr(initializers, f"{name.replace('-', '_')}_")
    report(f"cpu-{name}", *in_turns(partial(ours, w), partial(theirs, w)))


def test_truncated_normal(report):
    w = zeros(4096, 8192)
    std = 1 / math.sqrt(w.shape[1]) / TRUNCATED_STD
    ours = partial(initializers.variance_scaling_, w, distribution="truncated_normal")
    theirs = partial(nn.init.trunc_normal_, w, 0.0, std, -2 * std, 2 * std)
    report("cpu-truncated-normal", *in_turns(ours, theirs))


def test_orthogonal(report):
    w = zeros(1024, 1024)
    calls = partial(initializers.orthogonal_, w), partial(nn.init.orthogonal_, w)
    report("cpu-orthogonal", *in_turns(*calls))


# --- nets -----------------------------------------------------------------------------
DEPTH, WIDTH, BATCH = 8, 256, 2**14
#: What a recipe is asked for, and PyTorch's own layers after a dense one.
NETS = {
    "selu": (
        {"activation": "selu", "regularizer": ("alpha_dropout",)},
        lambda: [nn.SELU(), nn.AlphaDropout(0.05)],
    ),
    "relu-batch-norm": (
        {"activation": "relu", "normalization": "batch", "regularizer": ()},
        lambda: [nn.BatchNorm1d(WIDTH), nn.ReLU()],
    ),
    "gelu-layer-norm": (
        {"activation": "gelu", "normalization": "layer", "regularizer": ()},
        lambda: [nn.LayerNorm(WIDTH), nn.GELU()],
    ),
}


def plain(between, width=WIDTH, depth=DEPTH):
    """Stack PyTorch's own dense layers with others after each but the last."""
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), *between()]
    return nn.Sequential(*layers, nn.Linear(width, width))


@pytest.mark.parametrize("name", NETS)
def test_net(name, report):
    wishes, between = NETS[name]
    recipe = recommend(depth=DEPTH, **wishes)
    ours, theirs = mlp(recipe, WIDTH, WIDTH, DEPTH * [WIDTH]), plain(between)
    kinds = [[type(m).__name__ for m in net.modules()] for net in (ours, theirs)]
    assert len(kinds[0]) == len(kinds[1])
    report(f"cpu-net-{name}", *in_turns(*steps((ours, theirs), randn(BATCH, WIDTH))))


def test_selu_net_over_batch_norm_net(report):
    report("cpu-selu-net-time", *selu_net_time("cpu", 2**13, WIDTH))
    report("cpu-selu-net-memory", *selu_net_memory("cpu", 2**13, WIDTH))
