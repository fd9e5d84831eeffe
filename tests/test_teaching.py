"""The page for instructors: its times are those of the chapters, its sections exist."""

import re

import nbformat
import pytest
from slide_text import BOOK, chapters

PAGE = (BOOK / "teaching.md").read_text("utf-8")
WORDS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3}
#: | meeting, day or audience | minutes | what, a chapter or its exercises | sections |
ROW = re.compile(
    r"^\| (.+?) \| (\d+) \| (exercises of )?\[\]\((\w+)\.ipynb\) \| (.*) \|$", re.M
)
MEETING = 90


def takes(name):
    """Return the minutes that a chapter says it takes: for reading, for exercises."""
    first = nbformat.read(BOOK / f"{name}.ipynb", as_version=4).cells[0].source
    return minutes(first.partition("**It takes**")[2])


def minutes(text):
    """Return the first two times in a text, in minutes.

    >>> minutes("about two hours, and one more for the exercises")
    (120, 60)
    """
    number = r"(\d+|a|an|one|two|three)"
    unit, found = 1, []
    for count, named in re.findall(
        rf"\b{number}(?: more)?(?: (hour|minute)s?)?\b", text
    ):
        unit = {"hour": 60, "minute": 1}.get(named, unit)
        found.append(unit * (WORDS.get(count) or int(count)))
    return tuple(found[:2])


def rows(title):
    """Return the rows of the table below a heading."""
    part = re.search(rf"^### {title}.*?(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return [
        (when, int(time), bool(exercises), name, sections)
        for when, time, exercises, name, sections in ROW.findall(part[0])
    ]


def faults(schedule, parts):
    """List the rows of a schedule that do not agree with what the chapters say.

    ``parts`` says whether a chapter may be spread over several rows.
    """
    found, spent, meetings = [], {}, {}
    for when, time, exercises, name, sections in schedule:
        key = (name, exercises)
        spent[key] = spent.get(key, 0) + time if parts else time
        meetings[when] = meetings.get(when, 0) + time
        prose = "\n".join(
            cell.source
            for cell in nbformat.read(BOOK / f"{name}.ipynb", as_version=4).cells
        )
        for section in re.findall(r"\*(.+?)\*", sections):
            if f"\n## {section}\n" not in f"\n{prose}\n":
                found.append(f"{name} has no section {section!r}")
    for (name, exercises), time in spent.items():
        if time != takes(name)[exercises]:
            what = "exercises" if exercises else "reading"
            found.append(f"{what} of {name}: {time}, not {takes(name)[exercises]}")
    if parts:
        long = [when for when, time in meetings.items() if time > MEETING]
        found += [f"meeting {when} is too long" for when in long]
    return found


@pytest.mark.parametrize(
    ("title", "parts"),
    [("A seminar", True), ("A workshop", False), ("A single lecture", False)],
    ids=["seminar", "workshop", "lecture"],
)
def test_a_schedule_agrees_with_the_chapters(title, parts):
    schedule = rows(title)
    assert len(schedule) >= 5
    assert faults(schedule, parts) == []


def test_the_seminar_has_seven_weeks_and_every_chapter_in_order():
    schedule = rows("A seminar")
    when = [row[0] for row in schedule]
    assert sorted(set(when)) == [f"{w}.{m}" for w in range(1, 8) for m in (1, 2)]
    assert when == sorted(when)
    read = [name for _, _, exercises, name, _ in schedule if not exercises]
    assert list(dict.fromkeys(read)) == chapters()
    at_home = {"gpu"}  # as the homework says
    done = {name for _, _, exercises, name, _ in schedule if exercises}
    assert done == set(chapters()) - at_home


def test_the_times_of_the_chapters_are_theirs():
    table = re.findall(r"^\| \[\]\((\w+)\.ipynb\) \| (\d+) \| (\d+) \|", PAGE, re.M)
    assert [name for name, _, _ in table] == chapters()
    for name, reading, exercises in table:
        assert (int(reading), int(exercises)) == takes(name)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("1.1", 61, False, "gpu", ""), "reading of gpu: 61, not 60"),
        (("1.1", 30, True, "gpu", ""), "exercises of gpu: 30, not 40"),
        (("1.1", 60, False, "gpu", "*No such*"), "gpu has no section 'No such'"),
        (("1.1", 120, False, "recipes", ""), "meeting 1.1 is too long"),
    ],
    ids=["reading", "exercises", "section", "meeting"],
)
def test_a_wrong_row_is_found(row, fault):
    assert faults([("1.1", 60, False, "gpu", "*Several GPUs*")], parts=True) == []
    assert fault in faults([row], parts=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("about 60 minutes, and 40 more for the exercises.", (60, 40)),
        ("about two hours, and one more for the exercises.", (120, 60)),
        ("about an hour, and 40 minutes for the exercises.", (60, 40)),
    ],
    ids=["minutes", "hours", "both"],
)
def test_times_are_read(text, expected):
    assert minutes(text) == expected
