"""The ledger: what the literature says, and what the course measured.

Each claim stands in ``ledger.toml`` with its source, the rule by which it is
judged, and the verdict.  A notebook prints the rule first (:func:`state`), then
measures, and ends with :func:`check`, which fails if the measured verdict is not
the ledger's.  The page *The claims* is this module's output.
"""

import functools
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path

from companion import _checks
from companion.recorded import Fact, facts_of

#: What the measurement of a claim can come to.
VERDICTS = ("holds", "holds here with limits", "does not hold here", "corrected")


@dataclass(frozen=True)
class Claim:
    """One claim of the literature.

    Attributes
    ----------
    id : str
    chapter : str
        The name of the notebook that measures it.
    source : str
        The key of the work in the bibliography.
    statement : str
        What the source says, in our words.
    rule : str
        How the verdict follows from what is measured, stated before it is.
    verdict : str
        One of :data:`VERDICTS`.
    finding : str
        What was found, in a sentence without figures.
    facts : tuple of str
        The names of the recorded figures that the verdict rests on.
    pilot : str
        What was seen before the rule was written; empty if nothing was.
    """

    id: str
    chapter: str
    source: str
    statement: str
    rule: str
    verdict: str
    finding: str
    facts: tuple[str, ...]
    pilot: str = ""


@functools.cache
def ledger():
    """Return all claims by their id.

    Examples
    --------
    >>> ledger()["V1"].chapter
    'vanishing_gradients'
    """
    text = Path(__file__).with_name("ledger.toml").read_text("utf-8")
    claims = {}
    for id, entry in tomllib.loads(text).items():
        _checks.one_of(f"ledger: {id}", "verdict", entry["verdict"], VERDICTS)
        claims[id] = Claim(id=id, **{**entry, "facts": tuple(entry["facts"])})
    return claims


def state(id):
    """Print a claim and the rule by which it will be judged.

    Raises
    ------
    ValueError
        If the ledger has no such claim.
    """
    claim = _claim("state", id)
    _say(f"Claim {id} ({claim.source}): {claim.statement}")
    _say(f"Rule: {claim.rule}")
    if claim.pilot:
        _say(f"Before the rule: {claim.pilot}")


def check(id, verdict, *facts):
    """Print what was measured and the verdict, which must be the ledger's.

    Parameters
    ----------
    id : str
    verdict : {"holds", "holds here with limits", "does not hold here", "corrected"}
        What the rule gives for the facts measured in this cell.
    *facts : companion.recorded.Fact
        The figures the verdict rests on: those the ledger names, in its order.

    Raises
    ------
    TypeError
        If a fact is not a recorded one.
    ValueError
        If the ledger has no such claim, names other facts, or has another verdict.

    Examples
    --------
    >>> check("V1", "no idea")
    Traceback (most recent call last):
    ...
    ValueError: check: `verdict` must be one of 'holds', 'holds here with limits', \
'does not hold here', 'corrected'; got 'no idea'.
    """
    claim = _claim("check", id)
    _checks.one_of("check", "verdict", verdict, VERDICTS)
    for fact in facts:
        if not isinstance(fact, Fact):
            raise TypeError(
                f"check: `facts` of {id} must be recorded; got {fact!r}. Pass what "
                "Record.number or Record.interval returns."
            )
        print(f"Fact: {fact}")
    names = tuple(fact.name for fact in facts)
    if names != claim.facts:
        raise ValueError(
            f"check: `facts` of {id} must be those of the ledger, {claim.facts}; got "
            f"{names}."
        )
    if verdict != claim.verdict:
        raise ValueError(
            f"check: `verdict` of {id} must be the ledger's, {claim.verdict!r}; what "
            f"was measured gives {verdict!r}."
        )
    _say(f"Verdict on {id}: {verdict}. {claim.finding}")


def to_markdown(folder):
    """Render the ledger as the book's page, with the figures recorded in `folder`."""
    lines = [
        "# The claims",
        "",
        "What the literature says, and what was measured here. Each verdict links to "
        "the cell that measures it. Each rule is stated before its measurement; where "
        "a pilot run came before the rule, the claim says so. A verdict against a "
        "source counts as much as one for it. A figure in brackets is the 95 % "
        "interval of the mean over the seeds, or whatever else it names.",
        "",
        "<!-- `make claims` writes this from companion/ledger.toml and recorded/. -->",
    ]
    for claim in ledger().values():
        facts = facts_of(claim.chapter, folder=Path(folder))
        lines += [
            "",
            f"## {claim.id}: {claim.verdict}",
            "",
            f"**Claim** {{cite:p}}`{claim.source}`: {claim.statement}",
            "",
            f"**Rule**: {claim.rule}",
            "",
            *([f"**Before the rule**: {claim.pilot}", ""] if claim.pilot else []),
            *(f"- {facts[name]}" for name in claim.facts),
            "",
            f"**Verdict: {claim.verdict}.** {claim.finding} Measured in "
            f"{{ref}}`this cell <claim-{claim.id}>`.",
        ]
    return "\n".join(lines) + "\n"


def _say(text):
    print(textwrap.fill(text, 80))


def _claim(function, id):
    return ledger()[_checks.one_of(function, "id", id, tuple(ledger()))]


if __name__ == "__main__":
    sys.stdout.write(to_markdown(sys.argv[1]))
