"""The glossary: every word is used in a chapter that its entry names."""

import re
from pathlib import Path

import pytest
from test_chapters import CHAPTERS, prose

BOOK = Path(__file__).parents[1] / "book"
ROLE = re.compile(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`")
EXERCISE = re.compile(r"^```\{exercise\}.*?^```$|^```\{solution-start\}.*", re.M | re.S)


def entries(text):
    """Return what the glossary says: the words of each entry, and its explanation."""
    body = text.partition(":sorted:\n\n")[2].rpartition("```")[0]
    found = {}
    for entry in body.strip().split("\n\n"):
        lines = entry.split("\n")
        words = tuple(line for line in lines if not line.startswith(" "))
        found[words] = " ".join(line.strip() for line in lines[len(words) :])
    return found


def faults(glossary, chapters):
    """List what is wrong with a glossary and the links of `chapters` to it."""
    links = {name: ROLE.findall(text) for name, text in chapters.items()}
    found = []
    for words, text in glossary.items():
        named = re.findall(r"\]\((\w+)\.ipynb\)", text)
        if not named:
            found.append(f"{words[0]} names no chapter")
        elif not any(set(words) & set(links[name]) for name in named):
            found.append(f"{words[0]} is linked from no chapter that it names")
    for name, used in links.items():
        meant = [w for word in used for w in glossary if word in w]
        if len(meant) < len(used):
            found.append(f"{name} links to a word that is not in the glossary")
        if len(set(meant)) < 8:
            found.append(f"{name} links to fewer than 8 words")
        found += [
            f"{name}: {w[0]} more than twice" for w in meant if meant.count(w) > 2
        ]
        if any(ROLE.search(text) for text in EXERCISE.findall(chapters[name])):
            found.append(
                f"{name} links from an exercise, which is a notebook of its own"
            )
    return found


def test_the_words_of_the_glossary_are_used():
    glossary = entries((BOOK / "glossary.md").read_text("utf-8"))
    assert 60 <= len(glossary) <= 120
    words = [word for entry in glossary for word in entry]
    assert len(set(map(str.lower, words))) == len(words)
    assert list(glossary) == sorted(glossary, key=lambda entry: entry[0].lower())
    assert faults(glossary, {name: prose(name) for name in CHAPTERS}) == []


TOY = "```{glossary}\n:sorted:\n\n" + "\n\n".join(
    f"word {i}\nother {i}\n  What it means.\n  See [](first.ipynb)." for i in range(8)
)
LINKS = " ".join(f"{{term}}`words <word {i}>`" for i in range(8))


@pytest.mark.parametrize(
    ("glossary", "chapter", "fault"),
    [
        (TOY.replace("See [](first.ipynb).", "", 1), LINKS, "names no chapter"),
        (TOY, LINKS.replace("word 3", "other 4"), "linked from no chapter"),
        (TOY, LINKS + " {term}`word 9`", "not in the glossary"),
        (TOY, LINKS.replace("word 3", "other 4"), "fewer than 8"),
        (TOY, LINKS + 2 * " {term}`other 1`", "more than twice"),
        (TOY, "```{exercise} One\n" + LINKS + "\n```", "from an exercise"),
    ],
)
def test_faults_of_a_glossary_are_found(glossary, chapter, fault):
    assert faults(entries(TOY + "\n```"), {"first": LINKS}) == []
    found = faults(entries(glossary + "\n```"), {"first": chapter})
    assert any(fault in text for text in found)
