"""What all benchmarks share: a report of what they measured, and PyTorch on a CPU."""

import os

import benchmarks_page as results
import pytest
from timing import keep_memory

_MEASURED = pytest.StashKey()


def pytest_configure(config):
    config.stash[_MEASURED] = {}


@pytest.fixture
def report(request):
    """Give a function that takes an id and what was measured, of ours and the other.

    Each is an array of seconds or bytes, one for each turn.
    """
    measured = request.config.stash[_MEASURED]

    def put(id, ours, other):
        measured[id] = results.summary(id, ours, other)
        print(f"\n{results.line(id, measured[id])}", end="")

    return put


@pytest.fixture(scope="session")
def _kept_memory():
    keep_memory(2**31)


@pytest.fixture
def torch(_kept_memory):
    """PyTorch on one thread, whose processor time other programs do not change."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def pytest_terminal_summary(terminalreporter, config):
    """Print all ratios, and write those of a device of which none is missing."""
    measured = config.stash[_MEASURED]
    for device in results.DEVICES:
        rows = results.targets(device)
        here = {id: measured[id] for id in rows if id in measured}
        if not here:
            continue
        terminalreporter.section(f"ratios on a {results.DEVICES[device]}")
        for id, row in here.items():
            terminalreporter.write_line(results.line(id, row))
        missing = [id for id in rows if id not in here]
        if missing:
            text = f"nothing written: {len(missing)} of {len(rows)} rows not measured"
        else:
            path = results.write(device, here)
            text = f"written to {os.path.relpath(path)}; `make benchmarks` shows it"
        terminalreporter.write_line(text)
