"""Answers to the exercises of the book, checked without showing a solution.

``check("activations-3", answer)`` is about the third exercise of the chapter
``book/activations.ipynb``.  It says whether the answer is right and, if not, what is
wrong: where a function is off, in which direction a number.
"""

from dataclasses import dataclass

from companion import _checks
from companion.exercises import (  # noqa: F401, each adds the checks of its chapter
    _activations,
    _dropout,
    _gpu,
    _initializers,
    _normalization,
    _recipes,
    _recipes_doubt,
    _replications,
    _self_normalization,
    _vanishing_gradients,
)
from companion.exercises._register import CHECKS


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right; true if it is.

    Attributes
    ----------
    name : str
        The exercise.
    problems : tuple of str
        What is wrong, in words; empty if nothing is.
    """

    name: str
    problems: tuple

    def __bool__(self):
        return not self.problems

    def __str__(self):
        if self:
            return f"{self.name}: right."
        return "\n".join([f"{self.name}: not yet.", *(f"- {p}" for p in self.problems)])

    __repr__ = __str__


def check(name, answer):
    """Check the answer to an exercise.

    Parameters
    ----------
    name : str
        The chapter's file and the place of the exercise in it, ``"activations-3"``.
    answer : number, name, sequence, array, function, or several of these
        What the exercise asks for.

    Returns
    -------
    Verdict
        True if the answer is right.  It prints what is wrong, never what is right.

    Raises
    ------
    ValueError
        If no exercise that can be checked has this name.

    Examples
    --------
    >>> check("activations-1", 17)
    activations-1: not yet.
    - The share of the steps is too high. That is a count; a share is at most one.
    >>> bool(check("activations-1", 1 / 17))
    True
    """
    asks, problems = CHECKS[_checks.one_of("check", "name", name, names())]
    if answer is None:
        return Verdict(name, (f"There is no answer yet. Hand in {asks}.",))
    return Verdict(name, tuple(dict.fromkeys(problems(answer))))


def names():
    """List the exercises that can be checked.

    Examples
    --------
    >>> [name for name in names() if name.startswith("activations")][:2]
    ['activations-1', 'activations-2']
    """
    return list(CHECKS)
