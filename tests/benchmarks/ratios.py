"""Ratios of speed, each of two things measured in turn in one run: `make bench`."""

import functools
import subprocess
import sys
import time

import numpy as np

from companion.mlp import stack
from companion.training import SGD, fit


def best_time(function, repeats):
    """Return the shortest of several times in seconds: the least disturbed one."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


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
