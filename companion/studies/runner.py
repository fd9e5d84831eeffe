"""Run the tasks of a study, each once, on all cores or on a cluster.

A record is a line of JSON with the `id` of the task, the name of the `study`, the
`task`, its `result`, how many `seconds` it took, when it was `finished` (UTC) and the
`versions` of what computed it.  Figures that are not finite are the literals ``NaN``,
``Infinity`` and ``-Infinity``, which are not standard JSON, but what Python's json
writes and reads: every float is read back as the one that was measured.
"""

import contextlib
import copy
import importlib.metadata
import json
import os
import platform
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import companion
from companion import _checks
from companion.studies._records import identifier, read, write

#: Name in a record -> the distribution whose version it tells.
_PACKAGES = {
    "numpy": "numpy",
    "rdkit": "rdkit",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
}


@dataclass(frozen=True)
class Study:
    """A list of tasks, and what does one of them.

    Attributes
    ----------
    name : str
    summary : str
        One sentence.
    tasks : callable
        ``tasks(reduced=False)`` returns a list of dict of JSON values, each different,
        those first that take longest.
    run : callable
        ``run(task)`` returns a dict of JSON values; NumPy's numbers and arrays become
        numbers and lists.  It is a function of a module that other processes import.
    """

    name: str
    summary: str
    tasks: Callable
    run: Callable


def run(
    study,
    folder=None,
    *,
    reduced=False,
    workers=None,
    dask=None,
    limit=None,
    progress=True,
):
    """Do the tasks of a study that are not done yet.

    Parameters
    ----------
    study : Study
    folder : path, optional
        Where the records are, and are kept: each as soon as it is there, whole or not
        at all.  It serves one run at a time.  None keeps nothing.
    reduced : bool
        Do the few small tasks of the reduced form.
    workers : int, optional
        How many processes; one for each core by default.  1 computes in this one.
    dask : str, optional
        The address of a scheduler, such as ``"tcp://10.0.0.1:8786"``: compute on the
        workers of that cluster.  They need no common disk: records travel back.
    limit : int, optional
        Start this many tasks at most.
    progress : bool
        Show a bar on stderr, unless Python was started with ``TQDM_DISABLE=1``.

    Returns
    -------
    list of dict
        The records of all tasks that are done, now or before, in the order of the
        tasks.

    Raises
    ------
    RuntimeError
        If tasks raised an error, after all others were done.  What failed is not
        recorded, and tried again by the next run.
    TypeError, ValueError
        If an argument cannot be used, a task is not a dict of finite JSON values, two
        are the same, or the folder holds what is no record of this study.

    Notes
    -----
    Tasks start in their order, and each computes with one thread; give the workers of a
    cluster one thread, too (``dask worker --nthreads 1``).  The scheduler and the
    workers import the function of the study: install the package on all of them.

    Processes end with the one that started them.  One that dies alone, as when there is
    no memory left, ends the run with joblib's error, and the next goes on from there.

    joblib has a backend for Dask, which is not used: where a worker dies, or cannot
    import the function, it waits forever.

    Examples
    --------
    >>> def tasks(reduced=False):
    ...     return [{"n": n} for n in range(3)]
    >>> def square(task):
    ...     return {"square": task["n"] ** 2}
    >>> squares = Study("squares", "Squares of small numbers.", tasks, square)
    >>> [r["result"] for r in run(squares, workers=1, progress=False)]
    [{'square': 0}, {'square': 1}, {'square': 4}]
    """
    if workers is not None:
        workers = _checks.integer("run", "workers", workers, minimum=1)
        if dask is not None:
            raise ValueError(
                f"run: `workers` must be None on a cluster, which has its own; got "
                f"{workers}."
            )
    if dask is not None and not re.fullmatch(r"[a-z]+://\S+:\d+", str(dask)):
        raise ValueError(
            "run: `dask` must be the address of a scheduler, such as "
            f"'tcp://10.0.0.1:8786'; got {dask!r}."
        )
    if limit is not None:
        limit = _checks.integer("run", "limit", limit, minimum=0)
    tasks, records = plan(study, folder, reduced=reduced)
    todo = {id: task for id, task in tasks.items() if id not in records}
    calls = [(study.name, study.run, *item) for item in list(todo.items())[:limit]]
    if folder is not None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob("*.part"):  # what a killed run left
            part.unlink()
    bar = tqdm(
        desc=study.name,
        unit="task",
        initial=len(records),
        total=len(records) + len(calls),
        smoothing=0,  # tasks differ: the estimate is of their mean
        **({} if progress else {"disable": True}),
    )
    failed = {}
    there = dask is not None
    finished = _there(calls, dask) if there else _here(calls, workers)
    with bar, contextlib.closing(finished):  # an error here ends the processes, too
        for id, line, error in finished if calls else ():
            if error is not None:
                failed[id] = error
            else:
                records[id] = json.loads(line)
                if folder is not None:
                    write(folder / f"{id}.jsonl", line)
            bar.update()
    if failed:
        first = next(id for id in tasks if id in failed)
        message, details = failed[first]
        error = RuntimeError(
            f"run: {len(failed)} of {len(calls)} tasks of {study.name!r} failed, the "
            f"first {first}: {message.rstrip('.')}."
            + ("" if folder is None else " The results of the others are kept.")
        )
        error.add_note(details)
        raise error
    return [records[id] for id in tasks if id in records]


def plan(study, folder=None, *, reduced=False):
    """Return the tasks of a study by their id, and the records of those that are done.

    Arguments and errors are those of :func:`run`.  A folder that is not there yet is as
    good as an empty one, and nothing is written.

    Examples
    --------
    >>> two = Study("two", "Two tasks.", lambda reduced: [{"n": 1}, {"n": 2}], dict)
    >>> plan(two)
    ({'1-2bfd14f4': {'n': 1}, '2-36337974': {'n': 2}}, {})
    """
    reduced = _checks.boolean("run", "reduced", reduced)
    tasks = {}
    for task in study.tasks(reduced=reduced):
        if tasks.setdefault(identifier(task), task) is not task:
            raise ValueError(
                f"run: the tasks of {study.name!r} must be different; got {task} twice."
            )
    records = read(folder) if folder is not None and Path(folder).exists() else {}
    others = {record["study"] for record in records.values()} - {study.name}
    if others:
        raise ValueError(
            f"run: `folder` must hold records of {study.name!r} alone; got some of "
            f"{min(others)!r} in {folder}."
        )
    return tasks, {id: record for id, record in records.items() if id in tasks}


# --- where tasks are done: each yields the id, the line and the error of one ----------
def _here(calls, workers):
    """Compute in processes of this machine."""
    with joblib.parallel_config(
        "loky", inner_max_num_threads=1, initializer=_end_with_parent
    ):
        parallel = joblib.Parallel(
            -1 if workers is None else workers,
            return_as="generator_unordered",
            batch_size=1,
        )
    yield from parallel(joblib.delayed(_work)(*call) for call in calls)


def _there(calls, address):
    """Compute on a Dask cluster."""
    from distributed import Client, as_completed

    with Client(address, set_as_default=False) as client:
        futures = {
            client.submit(_work, *call, pure=False, priority=-number): call[2]
            for number, call in enumerate(calls)
        }
        for future in as_completed(futures, loop=client.loop):
            try:
                done = future.result()
            except Exception as error:  # the worker died, or cannot import the function
                done = futures[future], None, _told(error)
            yield done


def _work(name, function, id, task):
    """Do one task, and return its id, and its record or what went wrong."""
    start = time.perf_counter()
    try:
        with _one_thread():
            result = function(copy.deepcopy(task))
        seconds = round(time.perf_counter() - start, 3)
        record = {
            "id": id,
            "study": name,
            "task": task,
            "result": _json(name, result),
            "seconds": seconds,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": _versions(),
        }
        return id, json.dumps(record) + "\n", None
    except Exception as error:
        return id, None, _told(error)


def _told(error):
    """Return the message of an error, and its traceback."""
    details = "".join(traceback.format_exception(error))
    return f"{type(error).__name__}: {error}", details


def _json(name, result):
    """Return a result with NumPy's numbers and arrays as numbers and lists."""
    if not isinstance(result, dict):
        kind = type(result).__name__
        raise TypeError(f"run: a result of {name!r} must be a dict; got {kind}.")
    plain = {}
    for key, value in result.items():
        try:
            plain[key] = json.loads(json.dumps(value, default=_plain))
        except TypeError as error:
            raise TypeError(
                f"run: {key!r} of a result of {name!r} must hold JSON values, and "
                f"NumPy's numbers and arrays; got {error}."
            ) from None
    return plain


def _plain(value):
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(type(value).__name__)


def _versions():
    """Return the versions of what may have computed a result, importing none of it."""
    versions = {"python": platform.python_version(), "companion": companion.__version__}
    for name, distribution in _PACKAGES.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(distribution)
    return versions


@contextlib.contextmanager
def _one_thread():
    """Compute with one thread: a process for each core keeps all of them busy."""
    torch = sys.modules.get("torch")  # which counts for itself; it need not be loaded
    before = torch and torch.get_num_threads()
    with threadpool_limits(1):
        try:
            if torch:
                torch.set_num_threads(1)
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def _end_with_parent():
    """End this process soon after the one that started it, even if that was killed."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
