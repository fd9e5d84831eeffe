"""What each of two processes computes for ``test_torch_processes.py``.

A process starts in seconds, so that both run all of :data:`CASES`, and save what they
got.  This module is what the started process imports.
"""

import copy
import dataclasses
import datetime

import numpy as np
import torch
from torch import distributed, nn

from companion.torch.normalization import BatchNorm

STEPS = 3
DDP_ROWS = 6  # of each of two equal parts


@dataclasses.dataclass(frozen=True)
class Case:
    """How many rows each process has, and which layer."""

    parts: tuple
    shape: tuple = (3,)
    mean: float = 0.0
    dtype: torch.dtype = torch.float64
    settings: dict = dataclasses.field(default_factory=dict)
    grouped: bool = False  # each process is a group of its own

    def layer(self, **more):
        layer = BatchNorm(3, **self.settings | more).to(self.dtype)
        with torch.no_grad():
            layer.gamma.copy_(torch.tensor([0.5, -2.0, 3.0]))
            layer.beta.copy_(torch.tensor([1.0, 0.0, -1.0]))
        return layer

    def batches(self):
        """Return inputs and gradients of the outputs, for each step."""
        rng = np.random.default_rng(0)
        shape = (STEPS, 2, sum(self.parts), *self.shape)
        values = torch.tensor(rng.standard_normal(shape))
        values[:, 0] += self.mean
        return values.to(self.dtype)

    def part(self, rank):
        return torch.split(self.batches(), self.parts, dim=2)[rank]


CASES = {
    "equal": Case((4, 4)),
    "unequal": Case((5, 3)),
    "empty part": Case((8, 0)),
    "one row each": Case((1, 1), settings={"momentum": None}),
    "biased": Case((3, 6), settings={"unbiased": False}),
    "images": Case((3, 2), (3, 4, 5), settings={"eps": 1e-3}),
    "channels last": Case((2, 3), (4, 5, 3), settings={"axis": -1}),
    "large mean": Case(
        (200, 56), mean=1e4, dtype=torch.float32, settings={"momentum": 0.0}
    ),
    "not synchronized": Case((5, 3), settings={"synchronized": False}),
    "own group": Case((5, 3), grouped=True),
}


def steps(layer, batches):
    """Return outputs, gradients and running values of each step."""
    results = []
    for x, dy in batches:
        x = x.clone().requires_grad_()
        y = layer(x)
        dx, dgamma, dbeta = torch.autograd.grad(y, [x, layer.gamma, layer.beta], dy)
        results.append(
            {
                "y": y.detach(),
                "dx": dx,
                "dgamma": dgamma,
                "dbeta": dbeta,
                "running_mean": layer.running_mean.clone(),
                "running_var": layer.running_var.clone(),
            }
        )
    return results


def net():
    """Return a small net with a batch normalization, the same at each call."""
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), BatchNorm(4), nn.Tanh(), nn.Linear(4, 1)]
    return nn.Sequential(*layers).double()


def train(model, x):
    """Take five steps, each with all rows, and return the losses."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def rows_of_ddp():
    rng = np.random.default_rng(1)
    return torch.tensor(rng.standard_normal((2 * DDP_ROWS, 3)))


def run(rank, folder):
    """Be process `rank` of two: run all cases, and save the results in `folder`."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(minutes=5),  # then an error, not a test that hangs
    )
    groups = [distributed.new_group([process]) for process in range(2)]
    results = {}
    for name, case in CASES.items():
        group = {"process_group": groups[rank]} if case.grouped else {}
        layer = copy.deepcopy(case.layer(**group))  # in which the group remains
        results[name] = steps(layer, case.part(rank))

    layer = BatchNorm(3)
    try:  # with the other process one row, with its own group none that counts
        layer(torch.ones(1 - rank, 3))
    except ValueError as error:
        results["too few"] = str(error)
    layer = BatchNorm(3, process_group=groups[0])  # to which process 1 does not belong
    results["of process 0"] = steps(layer, torch.ones(1, 2, 4 + rank, 3))

    parallel = nn.parallel.DistributedDataParallel(net())
    part = rows_of_ddp().split(DDP_ROWS)[rank]
    results["ddp losses"] = train(parallel, part)
    results["ddp"] = parallel.module.state_dict()
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
