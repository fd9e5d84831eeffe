"""Ratios of speed on a CPU: `make bench`."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from timing import in_turns, wall_time

from companion.mlp import stack
from companion.training import SGD, fit


def start_python(code):
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_companion_over_import_numpy(report):
    codes = "pass", "import numpy", "import companion"
    calls = [functools.partial(start_python, code) for code in codes]
    empty, numpy, companion = in_turns(*calls, turns=30, clock=wall_time)
    report("cpu-import", companion - np.median(empty), numpy - np.median(empty))


def test_copies_at_once_over_one_by_one(report):
    x = np.random.default_rng(0).standard_normal((1000, 64))
    y = np.arange(1000) % 10

    def train(rng):
        net = stack([64, 32, 10], activation="tanh", rng=rng)
        options = {"epochs": 2, "batch_size": 20, "progress": False}
        fit(net, x, y, optimizer=SGD(0.1), rng=rng, **options)

    def at_once():
        train([np.random.default_rng(seed) for seed in range(20)])

    def one_by_one():
        for seed in range(20):
            train(np.random.default_rng(seed))

    report("cpu-copies", *in_turns(at_once, one_by_one, turns=7))


@pytest.mark.parametrize("name", ["alpha_dropout", "dropout"])
def test_dropout_of_torch_over_ours(name, torch, report):
    import companion.torch.dropout

    ours = functools.partial(getattr(companion.torch.dropout, name), rate=0.1)
    theirs = functools.partial(getattr(torch.nn.functional, name), p=0.1, training=True)
    x = torch.randn(2**25, requires_grad=True)
    upstream = torch.randn_like(x)

    def forward(f):
        f(x.detach())

    def both_ways(f):
        torch.autograd.grad(f(x), x, upstream)

    for way in forward, both_ways:
        times = in_turns(*(functools.partial(way, f) for f in (ours, theirs)))
        report(f"cpu-{name}-{way.__name__}".replace("_", "-"), *times)


def test_folded_net_over_the_net(torch, report):
    from companion.torch.normalization import BatchNorm, fold_batch_norm

    layers = []
    for _ in range(8):
        layers += [torch.nn.Linear(256, 256), BatchNorm(256), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers).eval()
    x, folded = torch.randn(1, 256), fold_batch_norm(net)
    with torch.no_grad():
        report("cpu-folded", *in_turns(lambda: folded(x), lambda: net(x), turns=300))
