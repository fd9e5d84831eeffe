"""Batch normalization across replicas: what the undivided batch gives, to rounding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import EPS, close

from companion import normalization as reference


@pytest.fixture(scope="module")
def replicas():
    """The worker, imported for its cases; this process stays with one device."""
    pytest.importorskip("tensorflow")
    import replicas

    return replicas


@pytest.fixture(scope="module")
def found(replicas, tmp_path_factory):
    """All results of the worker."""
    results = tmp_path_factory.mktemp("replicas") / "results.npz"
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, Path(replicas.__file__), results],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    with np.load(results) as arrays:
        return dict(arrays)


def check(replicas, found, case):
    """Compare each step of a case with the reference on the undivided batch."""
    make, arguments, parts, mean = replicas.CASES[case]
    settings = {key: v for key, v in arguments.items() if key != "synchronized"}
    name = "keras" if make is replicas.KERAS else "torch"
    twin = reference.BatchNorm.like(name, 3, **settings)
    gamma, beta = np.array(replicas.GAMMA), np.array(replicas.BETA)
    twin.parameters = {"gamma": gamma, "beta": beta}
    for step in range(replicas.STEPS):
        x, dy = map(np.float64, replicas.data(parts, mean, step))
        y, dx = twin.forward(x, training=True), twin.backward(dy)
        gradients = twin.gradients["gamma"], twin.gradients["beta"]
        expected = y, dx, *gradients, twin.running_mean, twin.running_var
        for key, value in zip(replicas.NAMES, expected, strict=True):
            # At most 64 numbers are summed, one after another at worst, and divided by
            # a standard deviation of at least 0.5.  The running mean is rounded where
            # it is, at up to 10000.
            tolerance = 200 * EPS["float32"]
            where = f"{case}, step {step}: {key}"
            relative = 2 * EPS["float32"]
            close(found[f"{case}/{step}/{key}"], value, relative, tolerance, where)


@pytest.mark.parametrize(
    "case",
    [
        "equal",
        "unequal",
        "one row each",
        "empty part",
        "average",
        "large mean",
        "Keras",
    ],
)
def test_replicas_compute_what_one_would(replicas, found, case):
    """Outputs, gradients, and the running values of both."""
    check(replicas, found, case)


def test_replicas_that_do_not_synchronize_do_not(replicas, found):
    case = "not synchronized"
    with pytest.raises(AssertionError, match=f"{case}, step 0: y"):
        check(replicas, found, case)
    _, _, (n, _), mean = replicas.CASES[case]
    for k in range(2):  # each has the running values of its own part
        twin = reference.BatchNorm(3)
        for step in range(replicas.STEPS):
            x, _ = replicas.data((n, n), mean, step)
            twin.forward(x[k * n : (k + 1) * n], training=True)
            for key in ("running_mean", "running_var"):
                running = found[f"{case}/{step}/{key}"][k]
                close(running, getattr(twin, key), 0.0, 100 * EPS["float32"], key)


def test_keras_loses_the_variance_at_a_large_mean(replicas, found):
    """It subtracts the squared mean, 1e8, from the mean square, both rounded to 8."""
    case = "Keras, large mean"
    with pytest.raises(AssertionError, match=f"{case}, step 0: y"):
        check(replicas, found, case)
    _, _, parts, mean = replicas.CASES[case]
    x, _ = replicas.data(parts, mean, 0)
    var = (found[f"{case}/0/running_var"] - 0.99) / 0.01
    assert (np.abs(var - np.var(x, axis=0, dtype=float)) > 0.2).any()


def test_fit_on_two_replicas_is_fit_on_one(found):
    """Where the parts are equal: else Keras gives each part's loss the same weight."""
    one = [key for key in found if key.startswith("fit/one/")]
    for key in one:
        two = found[key.replace("one", "two")]
        # Four steps, with sums of 16 numbers that are below 10 in size.
        close(found[key], two, 0.0, 100 * EPS["float32"], key)
    assert len(one) == 9


def test_one_row_in_all_is_refused(found):
    text = "`x` must hold at least 2 values for each feature in training."
    assert text in str(found["one row"])
