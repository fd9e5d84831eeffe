"""Recorded figures: what a chapter measured, and by how much it may differ.

Floating-point results differ a little between machines, thread counts and
versions, so a notebook cannot print what it measures and be compared letter by
letter.  Instead, each figure is compared with the recorded one; within the
tolerance the recorded one is what the reader sees, outside it the cell fails and
names both.  The records are ``book/recorded/CHAPTER.json``; ``make record`` alone
writes them.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from companion import _checks

#: How much a measured figure may differ from the recorded one, relative to it or,
#: where the number is above 1, by that factor.
TOLERANCES = {
    "rounding": (
        1e-6,
        "Sums of float64 taken in another order. Noise of 1e-15 in the data moved no "
        "such figure in any of the nine digits that are recorded.",
    ),
    "training": (
        1e-3,
        "Training, and deep nets with large weights, amplify rounding. Noise of 1e-15 "
        "in the data moved such figures by up to 3e-7, noise of 1e-14 by up to 8e-6.",
    ),
    "chaotic": (
        0.2,
        "Training at rates near divergence amplifies rounding until single units "
        "differ. Noise of 1e-15 in the data moved means and counts over ten seeds by "
        "up to 3 %, the extremes that a figure shows by up to 14 %.",
    ),
    "draws": (
        0.03,
        "Versions of PyTorch draw other numbers from one seed. Of the variance of "
        "400 000 weights, and the share of a million that lies in the tails, 3 % are "
        "more than four standard errors of the difference; it was 0.4 % and 0.6 %.",
    ),
    "time": (
        50.0,
        "Ratios of times depend on the machine: on one without vector instructions "
        "some were 20 times those of one that has them. The recorded ratio is that of "
        "the machine that wrote the record.",
    ),
}

_DIGITS = 9  # of a recorded figure: far below the smallest tolerance


@dataclass(frozen=True)
class Fact:
    """A recorded figure, with its interval if it was measured more than once.

    Attributes
    ----------
    name : str
    value : float
    low, high : float, or None
        The ends of the interval.
    n : int, or None
        The number of samples behind it.
    over : str
        What the samples are.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    over: str = "seeds"

    def __str__(self):
        text = f"{self.name}: {self.value:.4g}"
        if self.n is not None:
            text += f" [{self.low:.4g}, {self.high:.4g}] over {self.n} {self.over}"
        return text

    __repr__ = __str__


class Record:
    """The recorded figures of one chapter.

    Parameters
    ----------
    chapter : str
        The name of the notebook, without its ending.
    strict : bool
        False lets you play with a notebook: a figure that differs is shown with the
        recorded one beside it, and nothing fails.

    Raises
    ------
    ValueError
        If there is no record of that name; later, from every method, if a figure is
        outside its tolerance, unknown, or not finite.

    Notes
    -----
    With ``COMPANION_RECORD=1`` in the environment the figures are taken down instead
    of compared, and :meth:`finish` writes the file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "demo.json").write_text(
    ...     '{"pi": {"tolerance": "rounding", "value": 3.14159265}}')
    >>> record = Record("demo", folder=folder)
    >>> record.number("pi", 3.1415926)
    pi: 3.142
    >>> record.number("pi", 3.2)
    Traceback (most recent call last):
    ...
    ValueError: Record 'demo': 'pi' must be 3.14159265 within 1e-06 of it; got 3.2.
    """

    def __init__(self, chapter, *, strict=True, folder=None):
        self.chapter = chapter
        self.strict = strict
        self.recording = os.environ.get("COMPANION_RECORD") == "1"
        self.measured = {}
        self.refused = 0
        folder = folder or _folder("recorded")
        self._path = folder / f"{chapter}.json"
        self.entries = {} if self.recording else _entries("Record", chapter, folder)

    def number(self, name, value, tolerance="rounding"):
        """Compare one figure and return the recorded :class:`Fact`."""
        return Fact(name, self._compare(name, {"value": float(value)}, tolerance)[0])

    def interval(self, name, samples, tolerance="rounding", over="seeds"):
        """Compare a mean and its 95 % interval and return the recorded :class:`Fact`.

        The interval is Student's, for one sample a seed, or whatever else it is `over`.
        """
        from scipy import stats

        samples = np.asarray(samples, float)
        if samples.ndim != 1 or samples.size < 2:
            raise ValueError(
                f"Record.interval: `samples` must be a row of at least two; got shape "
                f"{samples.shape}."
            )
        with np.errstate(invalid="ignore"):  # inf - inf: not finite, refused below
            mean = samples.mean()
            half = stats.t.ppf(0.975, samples.size - 1) * stats.sem(samples)
        entry = {"value": [mean, mean - half, mean + half], "n": samples.size}
        if over != "seeds":
            entry["over"] = over
        numbers = self._compare(name, entry, tolerance)
        return Fact(name, *numbers, samples.size, over)

    def figure(self, name, arrays, tolerance="rounding"):
        """Compare all that a figure draws, and print one line that says so.

        Parameters
        ----------
        name : str
        arrays : dict
            Each array by its name: what :func:`companion.plotting.drawn` returns.
        """
        refused = self.refused
        for label, array in arrays.items():
            entry = _summary(np.asarray(array, float))
            self._compare(f"{name}: {label}", entry, tolerance)
        if self.refused == refused:
            n = len(arrays)
            print(f"{name}: what is drawn ({n} arrays) agrees with the record.")

    def finish(self):
        """Check that no record is left over, and print one line that says so.

        Where figures are being taken down, this is what writes them.
        """
        left = sorted(set(self.entries) - set(self.measured))
        if left and not self.recording:
            self._refuse(f"Record {self.chapter!r}: recorded but not measured: {left}.")
            return
        if self.recording:
            rows = (
                f"{json.dumps(k)}: {json.dumps(v)}" for k, v in self.measured.items()
            )
            self._path.parent.mkdir(exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")
            part.replace(self._path)
        print(f"{len(self.measured)} recorded figures, all of them measured again.")

    def _compare(self, name, entry, tolerance):
        """Return the recorded numbers of `name`, if the measured ones are near them."""
        _checks.one_of("Record", "tolerance", tolerance, tuple(TOLERANCES))
        measured = np.atleast_1d(np.asarray(entry["value"], float))
        if not np.isfinite(measured).all():
            raise ValueError(
                f"Record {self.chapter!r}: {name!r} must be finite; got {measured}."
            )
        entry = {"tolerance": tolerance, **entry, "value": _rounded(entry["value"])}
        self.measured[name] = entry
        if self.recording:
            return np.atleast_1d(entry["value"])
        recorded = self.entries.get(name)
        if recorded is None:
            self._refuse(
                f"Record {self.chapter!r}: {name!r} is not recorded. `make record` "
                "takes it down."
            )
            return measured
        values = np.atleast_1d(np.asarray(recorded["value"], float))
        relative, _ = TOLERANCES[tolerance]
        same = {**entry, "value": 0} == {**recorded, "value": 0}
        if not same or not _near(measured, values, relative):
            self._refuse(
                f"Record {self.chapter!r}: {name!r} must be {recorded['value']} within "
                f"{_allowed(relative)}; got {entry['value']}."
            )
            return measured
        return values

    def _refuse(self, message):
        if self.strict:
            raise ValueError(message)
        self.refused += 1
        print(message)


def facts_of(chapter, *, folder=None):
    """Return what a chapter has recorded: each :class:`Fact` by its name.

    Raises
    ------
    ValueError
        If there is no record of that name.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "demo.json").write_text(
    ...     '{"pi": {"tolerance": "rounding", "value": 3.14159265}}')
    >>> facts_of("demo", folder=folder)
    {'pi': pi: 3.142}
    """
    facts = {}
    for name, entry in _entries(
        "facts_of", chapter, folder or _folder("recorded")
    ).items():
        if "shape" not in entry:  # which is an array of a figure
            values = entry["value"] if "n" in entry else [entry["value"]]
            options = {key: entry[key] for key in ("n", "over") if key in entry}
            facts[name] = Fact(name, *values, **options)
    return facts


def _entries(function, chapter, folder):
    path = folder / f"{chapter}.json"
    if not path.is_file():
        raise ValueError(
            f"{function}: `chapter` must name a file of {folder}; got {chapter!r}. "
            "`make record` writes them."
        )
    return json.loads(path.read_text("utf-8"))


def results_folder():
    """Return ``book/results``: what was measured, and no notebook has the time for.

    In an installed package it is the copy inside it.

    Examples
    --------
    >>> (results_folder() / "benchmarks" / "cpu.json").is_file()
    True
    """
    return _folder("results")


def _folder(name):
    """Return a folder of the book, or in an installed package the copy inside it."""
    package = Path(__file__).parent
    found = [f for f in (Path(name), package / f"_{name}") if f.is_dir()]
    return found[0] if found else package.parent / "book" / name


def _summary(array):
    """Keep an array whole: no sum of many elements shows when one of them changes."""
    if not array.size:
        raise ValueError("Record.figure: an array must have an element; got none.")
    return {"shape": list(array.shape), "value": array.ravel().tolist()}


def _allowed(relative):
    return f"a factor of {relative:g}" if relative > 1 else f"{relative:g} of it"


def _near(measured, recorded, relative):
    """Compare relatively, except for what is 0 but for the rounding of the rest."""
    if measured.shape != recorded.shape:
        return False
    if relative > 1:
        ratio = measured / recorded
        return bool(((1 / relative <= ratio) & (ratio <= relative)).all())
    allowed = relative * np.abs(recorded) + 1e-15 * np.abs(recorded).max()
    return bool((np.abs(measured - recorded) <= allowed).all())


def _rounded(value):
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.{_DIGITS}g}")
