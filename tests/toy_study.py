"""Small studies for ``test_studies_*.py``, which started processes import too."""

import math
import os
import time
from pathlib import Path

import numpy as np

from companion.studies import Study
from companion.studies.runner import identifier

COUNT = 12


def tasks(reduced=False):
    return [{"method": "square", "n": n} for n in range(3 if reduced else COUNT)]


def square(task):
    """Take the time that the environment says, and log that this was computed."""
    if "TOY_LOG" in os.environ:
        with Path(os.environ["TOY_LOG"]).open("a") as log:
            log.write(f"{identifier(task)} {os.getpid()}\n")
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    n = task.pop("n")  # what is done to the settings must not get into the record
    return {
        "square": np.float32(n) ** 2,
        "powers": np.arange(3) ** n,
        "limits": [math.nan, math.inf, -math.inf, 0.1],
    }


def square_or_fail(task):
    """Fail for 2 and 5, unless the environment says that this is mended."""
    if task["n"] in (2, 5) and "TOY_MENDED" not in os.environ:
        raise ArithmeticError(f"no square of {task['n']}")
    return {"square": task["n"] ** 2}


def square_or_die(task):
    """End the process for the last, as the system does when no memory is left."""
    if task["n"] == COUNT - 1:
        time.sleep(0.3)  # until what it did before has been told
        os._exit(7)
    return {"square": task["n"] ** 2}


STUDY = Study("toy", "Squares of small numbers.", tasks, square)
FAILING = Study("failing", "Squares, two of which fail.", tasks, square_or_fail)
DEADLY = Study("deadly", "Squares, one of which is deadly.", tasks, square_or_die)
NOT_A_STUDY = tasks
