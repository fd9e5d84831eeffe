"""What is wrong with an answer, in words: the helpers of the checks of exercises.

A private part of :mod:`companion.exercises`.  Each helper yields problems, sentences
for the learner, and nothing if the answer is right.  No sentence holds a number: a
problem says where an answer is off, and in which direction, never what is right.
"""

import warnings
from dataclasses import dataclass, field

import numpy as np

#: By how much a number is off, relative to the right one: up to the first, and so on.
AMOUNTS = (
    (0.01, "by a hundredth or less: if it is rounded, give more digits"),
    (0.1, "by less than a tenth"),
    (0.5, "by less than half"),
    (1.0, "by more than half"),
    (9.0, "several times over"),
    (np.inf, "by orders of magnitude"),
)

#: What to say of a share that is a hundred times too high.
PERCENT = "That is a percentage: a share is at most one."

#: Inputs of a function of one number, by what the reader calls them.
ORDINARY = np.array([[-2.5, -1.0, -0.3], [0.4, 1.2, 3.0]])
REGIONS = {
    "for positive input": np.array([0.1, 0.5, 1.0, 3.0]),
    "for negative input": -np.array([0.1, 0.5, 1.0, 3.0]),
    "at 0": np.zeros(1),
    "for large positive input": np.array([50.0, 1000.0]),
    "for large negative input": np.array([-50.0, -1000.0]),
    "for an array of integers": np.array([-3, -1, 1, 2]),
}


@dataclass(frozen=True)
class Number:
    """A number that is asked for.

    Attributes
    ----------
    what : str
        What it is, as the subject of a sentence.
    value : float
        It may be infinite: then no other number is near it.
    within : float
        The relative error that is allowed.
    beside : float
        The absolute error that is allowed besides.
    mistakes : dict of str to float
        What to say of the numbers that a typical mistake leads to.
    near : float
        The absolute error within which a number is that of a mistake, besides a
        relative one: a count may be rounded, and a measured number scatters.
    high, low : str
        What to say of any other number that is too high or too low.
    """

    what: str
    value: float
    within: float = 1e-3
    beside: float = 0.0
    mistakes: dict = field(default_factory=dict)
    near: float = 0.0
    high: str = ""
    low: str = ""

    def problems(self, got):
        """Yield what is wrong with one number."""
        finite = np.isfinite(got) and np.isfinite(self.value)
        error = abs(got - self.value) if finite else np.inf
        allowed = self.within * abs(self.value) + self.beside
        if got == self.value or (finite and error <= allowed):
            return
        direction = "high" if got > self.value else "low"
        for hint, mistake in self.mistakes.items():
            if np.isclose(got, mistake, rtol=1e-3, atol=self.near):
                yield f"{self.what} is too {direction}. {hint}"
                return
        if np.isnan(got):
            yield f"{self.what} is nan."
            return
        if np.isfinite(self.value) and not finite:
            yield f"{self.what} must be finite."
            return
        scale = max(abs(self.value), self.beside) if finite else 1
        amount = next(words for limit, words in AMOUNTS if error <= limit * scale)
        meaning = self.high if direction == "high" else self.low
        yield f"{self.what} is too {direction}, {amount}. {meaning}".rstrip()


def numbers(answer, *expected):
    """Yield what is wrong with one number, or with a row of them."""
    got, problem = row(answer, len(expected))
    if problem:
        yield problem
        return
    for number, value in zip(expected, got, strict=True):
        yield from number.problems(value)


def row(answer, count=None):
    """Return the numbers of an answer, and what is wrong with their count or None."""
    got = _array(answer)
    if got is not None and got.ndim <= 1 and count in (None, got.size):
        return np.atleast_1d(got), None
    wanted = {None: "a row of numbers", 1: "one number", **_COUNTS}[count]
    return None, f"The answer must be {wanted}; got {_kind(answer)}."


def function(answer, reference, *, what="The answer", regions=REGIONS, beside=1e-12):
    """Yield what is wrong with a function of an array, number by number.

    It is compared with `reference` in each of `regions`, within a relative error of
    1e-6 or an absolute one of `beside`; shape and dtype are looked at first.
    """
    given = ORDINARY.copy()
    got, problem = call(answer, given, what=what)
    if problem is None and got.shape != ORDINARY.shape:
        problem = f"{what} must return an array of the shape of its input."
    if problem:
        yield problem
        return
    if not np.array_equal(given, ORDINARY):
        yield f"{what} changes the array that it is given."
    for region, z in regions.items():
        got, problem = call(answer, z.copy(), what=what)
        if problem:
            yield f"{problem[:-1]} {region}."
        elif got.shape != z.shape:
            yield f"{what} returns another shape {region}."
        else:
            yield from _compare(got, reference(z), f"{what} is wrong {region}", beside)
    got, _ = call(answer, ORDINARY.astype(np.float32), what=what)
    if got is not None and got.dtype != np.float32:
        yield f"{what} must keep the dtype: float32 in, float32 out."


def measured(what, fact, within=0.0, **options):
    """Return the :class:`Number` of a recorded mean over seeds, for any other seeds.

    Two such means nearly always lie within one and a half of the interval's halves.
    """
    return Number(what, fact.value, within, 0.75 * (fact.high - fact.low), **options)


def formula(answer, reference, cases, *, mistakes=None, what="The answer"):
    """Yield what is wrong with a function of numbers that returns one number.

    It is compared with `reference` for all of `cases`, each a tuple of arguments.  Of
    `mistakes`, hints and the functions that a typical mistake leads to, the first that
    agrees with it is told.
    """
    values = []
    for case in cases:
        got, problem = call(answer, *case, what=what)
        if problem is None and got.size != 1:
            problem = f"{what} must return one number."
        if problem:
            yield problem
            return
        values.append(got.item())
    values, expected = np.array(values), np.array([reference(*case) for case in cases])
    wrong = {
        hint: np.array([mistake(*case) for case in cases])
        for hint, mistake in (mistakes or {}).items()
    }
    yield from array(values, expected, what, mistakes=wrong)


def array(got, expected, what, *, beside=1e-12, mistakes=None):
    """Yield what is wrong with an array; an axis of length one more or less is not.

    `mistakes` are hints and the arrays that a typical mistake leads to.
    """
    got, expected = _array(got), np.asarray(expected)
    if got is None:
        yield f"{what} must hold numbers."
    elif got.squeeze().shape != expected.squeeze().shape:
        yield f"{what} must have another shape."
    else:
        got = got.reshape(expected.shape)
        problems = list(_compare(got, expected, f"{what} is wrong", beside))
        for hint, mistake in (mistakes or {}).items() if problems else ():
            if np.allclose(got, mistake, rtol=1e-6, atol=beside):
                problems = [hint]
                break
        yield from problems


def call(function, *arguments, what="The answer", parts=1):
    """Call what a learner wrote: return its arrays, and what went wrong or None."""
    if not callable(function):
        return None, f"{what} must be a function; got {_kind(function)}."
    try:
        with warnings.catch_warnings(action="ignore"):  # the numbers will tell
            result = function(*arguments)
    except Exception as error:
        return None, f"{what} raises {type(error).__name__}: {error}."
    if parts == 1:
        got = _array(result)
        wanted = "numbers"
    else:
        pair = isinstance(result, tuple | list) and len(result) == parts
        got = [_array(part) for part in result] if pair else [None]
        got = None if any(part is None for part in got) else got
        wanted = {2: "a pair of arrays", 3: "three arrays"}[parts]
    if got is None:
        return None, f"{what} must return {wanted}; got {_kind(result)}."
    return got, None


def several(answer, count):
    """Return the parts of an answer, and what is wrong with their number or None."""
    if isinstance(answer, tuple | list) and len(answer) == count:
        return answer, None
    return None, f"The answer must be {_COUNTS[count]}; got {_kind(answer)}."


def word(answer, options, what="The answer"):
    """Return which of some names an answer is, and what is wrong with it or None."""
    if isinstance(answer, str) and answer in options:
        return answer, None
    got = "another word" if isinstance(answer, str) else _kind(answer)
    return None, f"{what} must be one of {', '.join(map(repr, options))}; got {got}."


_COUNTS = {2: "a pair", 3: "a row of three", 4: "a row of four"}


def _compare(got, expected, wrong, beside):
    """Yield where `got` is off, and in which direction."""
    close = np.isclose(got, expected, rtol=1e-6, atol=beside)
    if close.all():
        return
    got, expected = got[~close], expected[~close]
    for fault, words in (
        (np.isnan(got), "nan"),
        (np.isinf(got), "infinite"),
        (got == 0, "zero"),
        (got * expected < 0, "of the wrong sign"),
        (got > expected, "too high"),
        (got < expected, "too low"),
    ):
        if fault.all():
            yield f"{wrong}: it is {words}."
            return
    yield f"{wrong}: in part too high, in part too low."


def _array(value):
    """Return `value` as an array of numbers, or None if it is none."""
    try:
        result = np.asarray(value)
    except Exception:  # of any library whose arrays do not convert
        return None
    return result if result.dtype.kind in "iuf" and result.size else None


def _kind(value):
    """Say what a learner handed in, without its contents."""
    if value is None:
        return "None"
    if isinstance(value, tuple | list | np.ndarray):
        return f"{type(value).__name__} of another length or content"
    return type(value).__name__
