"""How the benchmarks measure: contestants take turns, and the clock fits the device."""

import ctypes
import time

import numpy as np


def in_turns(*calls, turns=15, warm_up=2, clock=None):
    """Return the times of each call in seconds, as many as there are turns.

    The first rounds do not count.  Neighbors in time are then alike in all that changes
    slowly, so that ratios are taken turn by turn.
    """
    clock = clock or processor_time
    for _ in range(warm_up):
        for call in calls:
            call()
    return np.array([[clock(call) for call in calls] for _ in range(turns)]).T


def processor_time(call):
    """Measure what other programs do not change, if there is one thread."""
    start = time.process_time()
    call()
    return time.process_time() - start


def wall_time(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def gpu_time(call):
    """Measure on the GPU, whose cache is cleared before by writing 256 MiB."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.empty(2**28, dtype=torch.int8, device="cuda").zero_()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def clock_of(device):
    """Return the clock for a device of PyTorch."""
    return gpu_time if device == "cuda" else processor_time


def peak_bytes(call, device):
    """Return how far memory rises during a call; on a CPU, what is kept for backwards.

    Parameters of modules do not count: they are there before the call.
    """
    import torch

    if device == "cuda":
        call()  # once before, since libraries take memory at their first call
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    kept = {}

    def keep(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        call()
    return sum(n_bytes for _, n_bytes in kept.values())


def keep_memory(n_bytes):
    """Let the C library of Linux keep memory from call to call, so much at first.

    Otherwise it returns all larger pieces, and getting them anew takes most of the
    time; a training loop, whose tensors are smaller, does not wait for that.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(-4, 0)  # M_MMAP_MAX: all from one heap
        library.mallopt(-1, -1)  # M_TRIM_THRESHOLD: which does not shrink
        np.ones(n_bytes, np.uint8)
