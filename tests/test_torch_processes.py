"""Batch normalization on two processes: that of the undivided batch."""

import importlib

import numpy as np
import pytest
from helpers import EPS

from companion import normalization as reference

torch = pytest.importorskip("torch")
processes = importlib.import_module("processes")

#: Sums of float64 in another order.
RTOL = 1e-12
SUMS = ("dgamma", "dbeta")
SYNCHRONIZED = [
    name
    for name, case in processes.CASES.items()
    if not case.grouped and case.settings.get("synchronized", True)
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run two processes that meet in a file, and return what each got."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(processes.run, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def joined(parts, step, quantity):
    """Put the two processes' parts of a quantity together."""
    first, second = (part[step][quantity] for part in parts)
    if quantity in SUMS:
        return first + second
    if quantity in ("y", "dx"):
        return torch.cat([first, second])
    assert torch.equal(first, second), quantity
    return first


def differences(parts, expected):
    """Name the steps and quantities that are not those of the undivided batch."""
    return [
        (step, quantity)
        for step, quantities in enumerate(expected)
        for quantity, value in quantities.items()
        if not torch.allclose(
            joined(parts, step, quantity), value, rtol=RTOL, atol=RTOL
        )
    ]


@pytest.mark.parametrize("name", [n for n in SYNCHRONIZED if n != "large mean"])
def test_parts_are_the_undivided_batch(results, name):
    case = processes.CASES[name]
    expected = processes.steps(case.layer(), case.batches())
    parts = [result[name] for result in results]
    assert differences(parts, expected) == []
    assert len(expected) == processes.STEPS


@pytest.mark.parametrize("name", ["not synchronized", "own group"])
def test_parts_of_their_own_are_batches_of_their_own(results, name):
    case = processes.CASES[name]
    for rank, result in enumerate(results):
        expected = processes.steps(case.layer(), case.part(rank))
        for one, other in zip(result[name], expected, strict=True):
            for quantity, value in other.items():
                torch.testing.assert_close(one[quantity], value, rtol=RTOL, atol=RTOL)


def test_the_comparison_can_fail(results):
    """Without synchronization outputs and gradients differ from the first step on."""
    case = processes.CASES["not synchronized"]
    expected = processes.steps(case.layer(), case.batches())
    parts = [result["not synchronized"] for result in results]
    without = [
        [
            {k: v for k, v in step.items() if not k.startswith("running")}
            for step in steps
        ]
        for steps in (*parts, expected)
    ]
    found = differences(without[:2], without[2])
    # The gradient of beta is a sum of what comes from above, however it is divided.
    assert {quantity for _, quantity in found} == {"y", "dx", "dgamma"}
    with pytest.raises(AssertionError, match="running_mean"):
        differences(parts, expected)


def test_a_large_mean_is_rounded_once(results):
    """The common mean is the float32 number next to the exact one."""
    case = processes.CASES["large mean"]
    layer = case.layer()
    expected = reference.BatchNorm(3, momentum=0.0)
    expected.parameters = {
        "gamma": layer.gamma.detach().double().numpy(),
        "beta": layer.beta.detach().double().numpy(),
    }
    parts = [result["large mean"] for result in results]
    off = np.spacing(np.float32(case.mean)) / 2  # the standard deviation is 1
    squared = off**2 + 4 * EPS["float32"]
    largest = 4 * np.abs(expected.gamma).max()  # no number is more than 4 away
    for step, (x, dy) in enumerate(case.batches().double().numpy()):
        tolerances = {
            "y": (expected.forward(x, training=True), off * largest),
            "dx": (expected.backward(dy), off * largest),
            "running_mean": (expected.running_mean, off),
            "running_var": (expected.running_var, squared * expected.running_var),
        }
        for quantity, (value, tolerance) in tolerances.items():
            got = joined(parts, step, quantity).double().numpy()
            assert (np.abs(got - value) <= tolerance).all(), (step, quantity)


def test_one_row_in_all_is_too_few_for_each_process(results):
    text = (
        "BatchNorm.forward: `x` must hold at least 2 values for each feature in "
        "training; got 1."
    )
    for result in results:
        assert result["too few"].startswith(text)


def test_a_process_outside_the_group_is_alone(results):
    for rank, result in enumerate(results):
        assert result["of process 0"][0]["y"].shape == (4 + rank, 3)


def test_ddp_trains_as_one_process_with_all_rows(results):
    """The mean of two equal parts' losses, and of their gradients, is the whole's."""
    model = processes.net()
    losses = processes.train(model, processes.rows_of_ddp())
    mean = np.mean([result["ddp losses"] for result in results], axis=0)
    np.testing.assert_allclose(mean, losses, rtol=RTOL)
    assert losses[-1] < losses[0]
    for result in results:
        for key, value in model.state_dict().items():
            torch.testing.assert_close(result["ddp"][key], value, rtol=RTOL, atol=RTOL)
