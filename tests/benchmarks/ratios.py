"""Ratios of speed, each of two things measured in turn in one run: `make bench`."""

import functools
import subprocess
import sys
import time

import numpy as np
import pytest

from companion.mlp import stack
from companion.training import SGD, fit


def best_time(function, repeats, clock=time.perf_counter):
    """Return the shortest of several times in seconds: the least disturbed one."""
    times = []
    for _ in range(repeats):
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def best_in_turns(*calls, turns=40):
    """Return the shortest processor time of each call; they take turns."""
    times = [[best_time(c, 1, time.process_time) for c in calls] for _ in range(turns)]
    return np.min(times, axis=0)


def start_python(code):
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_companion_over_import_numpy():
    codes = ("pass", "import numpy", "import companion")
    empty, numpy, companion = (
        best_time(functools.partial(start_python, code), 10) for code in codes
    )
    ratio = (companion - empty) / (numpy - empty)
    print(f"\nimport companion takes {ratio:.2f} times as long as import numpy")
    assert ratio < 1.5


def test_copies_at_once_over_one_by_one():
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

    ratio = best_time(one_by_one, 3) / best_time(at_once, 3)
    print(f"\n20 nets at once train {ratio:.1f} times as fast as one by one")
    assert ratio > 1


@pytest.fixture
def torch():
    """PyTorch on one thread, whose processor time other programs do not change."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # Once 31 MiB have been freed, the C library keeps as much from call to call, as it
    # does in a training loop; otherwise returning memory may take most of the time.
    torch.empty(31, 2**20, dtype=torch.uint8)
    yield torch
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("name", "least_forward", "least_both_ways"),
    [("alpha_dropout", 2.5, 1.5), ("dropout", 1.5, 1.2)],
)
def test_dropout_of_torch_over_ours(name, least_forward, least_both_ways, torch):
    import companion.torch.dropout

    ours = functools.partial(getattr(companion.torch.dropout, name), rate=0.1)
    theirs = functools.partial(getattr(torch.nn.functional, name), p=0.1, training=True)
    x = torch.randn(4096, 1024, requires_grad=True)
    upstream = torch.randn_like(x)

    def forward(f):
        f(x.detach())

    def both_ways(f):
        torch.autograd.grad(f(x), x, upstream)

    for way, least in ((forward, least_forward), (both_ways, least_both_ways)):
        other, own = best_in_turns(*(functools.partial(way, f) for f in (theirs, ours)))
        words = way.__name__.replace("_", " ")
        print(f"\n{name}, {words}: {other / own:.1f} times as fast as PyTorch's own")
        assert other / own > least


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_torch_over_ours(training, torch):
    from companion.torch.normalization import BatchNorm

    layers = [
        layer.train(training) for layer in (torch.nn.BatchNorm1d(256), BatchNorm(256))
    ]
    x = torch.randn(4096, 256, requires_grad=True)
    upstream = torch.randn_like(x)

    def both_ways(layer):
        torch.autograd.grad(layer(x), x, upstream)

    other, own = best_in_turns(*(functools.partial(both_ways, f) for f in layers))
    mode = "training" if training else "testing"
    print(f"\nbatch norm, {mode}: {own / other:.2f} times the time of PyTorch's own")
    assert own / other < 1.15


def test_folded_net_over_the_net(torch):
    from companion.torch.normalization import BatchNorm, fold_batch_norm

    layers = []
    for _ in range(8):
        layers += [torch.nn.Linear(256, 256), BatchNorm(256), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers).eval()
    x, folded = torch.randn(1, 256), fold_batch_norm(net)
    with torch.no_grad():
        long, short = best_in_turns(lambda: net(x), lambda: folded(x), turns=300)
    print(
        f"\nfolded, a net answers {long / short:.1f} times as fast, one row at a time"
    )
    assert long / short > 1.2
