"""The records of a study: their names, and the folder that keeps them."""

import hashlib
import json
import os
import re
from pathlib import Path


def identifier(task):
    """Return a name for a task that is also the name of a file.

    It is made of the values, in the order of their keys, and of the first eight digits
    of the SHA-256 of the task as JSON with sorted keys and without spaces.

    Parameters
    ----------
    task : dict
        Of JSON values, none of them nan or infinite.

    Returns
    -------
    str
        Of ASCII letters, digits, dots, hyphens and underscores; at most 69.

    Raises
    ------
    TypeError
        If the task is not such a dict.

    Examples
    --------
    >>> identifier({"data": "iris", "method": "snn", "depth": 8, "rates": [0.1, 0.01]})
    'iris-8-snn-0.1-0.01-bcaa3443'
    """
    try:
        text = json.dumps(task, sort_keys=True, separators=(",", ":"), allow_nan=False)
        same = isinstance(task, dict) and json.loads(text) == task
    except (TypeError, ValueError):
        same = False
    if not same:
        raise TypeError(
            "identifier: `task` must be a dict of finite JSON values, with lists for "
            f"tuples; got {task!r}."
        )
    values = [task[k] for k in sorted(task)]
    words = " ".join(v if isinstance(v, str) else json.dumps(v) for v in values)
    slug = re.sub("[^A-Za-z0-9._-]+", "-", words).strip("-._")[:60]
    digits = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{slug}-{digits}".lstrip("-")


def read(folder):
    """Read the records of a study.

    Parameters
    ----------
    folder : path
        All its files ``*.jsonl`` are read, whatever number of lines each has.

    Returns
    -------
    dict of str to dict
        Identifier -> record.

    Raises
    ------
    ValueError
        If there is no such folder, a line is not a record, or there are two different
        records of a task.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "results.jsonl").write_text(
    ...     '{"id": "8-0a", "study": "depth", "task": {"n": 8}, "result": {"z": NaN}}')
    >>> read(folder)["8-0a"]["result"]
    {'z': nan}
    """
    return _records("read", folder)[1]


def compact(folder):
    """Put the records of a study, sorted by their id, into one file, results.jsonl.

    It may be killed at any time, and be called again after each run.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Path
        Of that file.

    Raises
    ------
    ValueError
        If :func:`read` refuses the folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for n in "21":
    ...     line = f'{{"id": "{n}", "study": "numbers", "task": {{}}, "result": {{}}}}'
    ...     _ = (folder / f"{n}.jsonl").write_text(line)
    >>> compact(folder).name
    'results.jsonl'
    >>> [path.name for path in folder.iterdir()], list(read(folder))
    (['results.jsonl'], ['1', '2'])
    """
    files, records = _records("compact", folder)
    whole = Path(folder) / "results.jsonl"
    write(whole, "".join(json.dumps(records[id]) + "\n" for id in sorted(records)))
    for path in files:
        if path != whole:
            path.unlink()
    return whole


def _records(function, folder):
    """Return the files of a folder, and their records."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{function}: `folder` must be a folder; got {str(folder)!r}.")
    files, records = sorted(folder.glob("*.jsonl")), {}
    for path in files:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
                id, *_ = (record[key] for key in ("id", "study", "task", "result"))
            except (ValueError, TypeError, KeyError):
                raise ValueError(
                    f"{function}: line {number} of {path} must be a record; got "
                    f"{line[:60]!r}."
                ) from None
            # As text: a nan does not equal itself.
            if json.dumps(records.setdefault(id, record)) != json.dumps(record):
                raise ValueError(
                    f"{function}: `folder` must hold one record a task; got two that "
                    f"differ of {id!r}, one of them in {path}."
                )
    return files, records


def write(path, text):
    """Write a file whole or not at all, whatever stops the process or the machine."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
