"""A study that counts threads, apart from the others because it loads PyTorch."""

import torch
from threadpoolctl import threadpool_info

from companion.studies import Study


def tasks(reduced=False):
    return [{"n": 0}]


def count(task):
    """Return how many threads PyTorch would use, and the most that any library would.

    PyTorch asks its libraries when it first computes in a thread, so let it.
    """
    torch.ones(300, 300) @ torch.ones(300, 300)
    others = max(library["num_threads"] for library in threadpool_info())
    return {"torch": torch.get_num_threads(), "others": others}


STUDY = Study("threads", "Count threads.", tasks, count)
