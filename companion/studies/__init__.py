"""Studies: measurements of a size that a notebook has no time for.

A study is a list of tasks (a data set, a method, settings), a function that does one of
them, and a folder of results, one record a task.  :func:`run` spreads the tasks over
the cores of this machine, or over a Dask cluster; it may be killed at any time, and the
next one does what is not in the folder yet.  Each study also has a reduced form of few
and small tasks, which a notebook runs.  On the command line: ``python -m
companion.studies``.
"""

import importlib

from companion import _checks
from companion.studies._records import compact, read
from companion.studies.runner import Study, run

__all__ = ["NAMES", "Study", "compact", "read", "run", "study"]

#: The studies of the course, each a module of this package.
NAMES = ("uci", "depth", "tox21", "htru2", "activations")


def study(name):
    """Return a study of the course.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`.  Its module alone is imported, with what that needs.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If there is no study of that name.

    Examples
    --------
    >>> study("uzi")
    Traceback (most recent call last):
    ValueError: study: `name` must be one of 'uci', 'depth', 'tox21', 'htru2', \
'activations'; got 'uzi'. Did you mean 'uci'?
    """
    _checks.one_of("study", "name", name, NAMES)
    return importlib.import_module(f"companion.studies.{name}").STUDY
