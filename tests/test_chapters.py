"""What every chapter tells its reader first and last."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
(CHAPTERS,) = (
    [Path(page["file"]).stem for page in part["chapters"]]
    for part in PARTS
    if part["caption"] == "Chapters"
)
PROMISES = ("You will be able to", "You need", "It takes")


def prose(name):
    cells = nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def section(text, title):
    """Return what stands between a heading and the next one of its level."""
    return "".join(re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", text, re.M | re.S))


def faults(text, before):
    """List what the opening and the ending of a chapter lack.

    `before` are the chapters that a reader of this one may know.
    """
    found = []
    opening = re.match(
        r"# [^\n]+\n\n```\{admonition\} Before you start\n(.*?)\n```", text, re.S
    )
    box = opening[1] if opening else ""
    promises = re.findall(r"^\*\*(.+?)\*\*", box, re.M)
    found += [f"does not open with {p!r}" for p in PROMISES if p not in promises]
    takes = box.partition("**It takes**")[2]
    if not ("exercises" in takes and re.search(r"minutes?|hours?", takes)):
        found.append("does not say how long it takes, exercises included")
    needs = re.findall(r"\[\]\((\w+)\.ipynb\)", box)
    found += [
        f"needs {name}, which comes later" for name in needs if name not in before
    ]
    summary = section(text, "Summary")
    if len(re.findall("^- ", summary, re.M)) < 3:
        found.append("has no summary of three points or more")
    if not ("verdicts" in summary and "[](claims.md)" in summary):
        found.append("does not say where the verdicts are")
    if "{exercise}" not in section(text, "Exercises"):
        found.append("has no exercises")
    if [*re.findall("^## (.+)$", text, re.M)][-2:] != ["Summary", "Exercises"]:
        found.append("does not end with the summary and the exercises")
    return found


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_opens_with_promises_and_ends_with_a_summary(name):
    assert faults(prose(name), CHAPTERS[: CHAPTERS.index(name)]) == []


GOOD = """\
# A chapter

```{admonition} Before you start
:class: tip

**You will be able to** see.

**You need** [](first.ipynb).

**It takes** an hour, and another for the exercises.
```

## A question

## Summary

- One.
- Two.
- Three.

The verdicts are in [](claims.md).

## Exercises

```{exercise} One
```"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Before you start", "Before", "does not open with 'You need'"),
        ("**It takes**", "It takes", "does not open with 'It takes'"),
        ("# A chapter\n", "# A chapter\n\nOnce.\n", "does not open with 'You need'"),
        (", and another for the exercises", "", "how long it takes"),
        ("first.ipynb", "second.ipynb", "needs second, which comes later"),
        ("- Three.\n", "", "no summary"),
        ("The verdicts are in [](claims.md).", "", "where the verdicts are"),
        ("```{exercise} One\n```", "", "no exercises"),
        ("## Exercises", "## More\n\n## Exercises", "does not end with"),
    ],
)
def test_what_a_chapter_lacks_is_found(old, new, fault):
    assert faults(GOOD, ["first"]) == []
    assert old in GOOD
    assert any(fault in found for found in faults(GOOD.replace(old, new), ["first"]))
