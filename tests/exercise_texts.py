"""The text of an exercise outside its chapter, where roles and labels mean nothing.

A citation becomes authors and year, a chapter its title, and an equation that the text
refers to follows it with a number, without the book's macros.  What is unknown here is
an error, not a key in the text of a learner.
"""

import functools
import re
from pathlib import Path

import nbformat
import yaml
from pybtex.database import parse_file
from pybtex.richtext import Text

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"

CITATION = re.compile(r"\{cite:(?P<kind>[tp])\}`(?P<keys>[^`]*)`")
TITLED = re.compile(r"\{(?:ref|doc)\}`(?P<title>[^`<]*?) *<[^`]*>`")
EQUATION = re.compile(
    r"(?:equation )?(?:\{eq\}`(?P<role>[^`]*)`|\[\]\((?P<link>eq-[^)]*)\))"
)
CHAPTER = re.compile(r"\[(?P<text>[^]]*)\]\((?P<name>\w+)\.ipynb\)")
LEFT = re.compile(r"\{[a-z:]+\}`[^`]*`|\[\]\([^)]*\)")

DISPLAYED = re.compile(
    r"^\$\$\n(?P<body>[^$]*?)[ ,.:]*\n\$\$ \((?P<label>.*)\)$", re.MULTILINE
)
ARGUMENT = r"\{((?:[^{}]|\{[^{}]*\})*)\}"  # which may hold braces, one within the other


def readable(text):
    """Return a text of the book as it can be read anywhere.

    Raises
    ------
    KeyError
        If it cites or refers to what the book does not have.
    ValueError
        If a role or a reference is left that nothing here knows.
    """
    text = CITATION.sub(lambda match: cited(**match.groupdict()), text)
    text = TITLED.sub(r"\g<title>", text)
    text = CHAPTER.sub(lambda m: m["text"] or f"*{title(m['name'])}*", text)
    labels = list(dict.fromkeys(role or link for role, link in EQUATION.findall(text)))
    text = EQUATION.sub(
        lambda m: f"equation ({labels.index(m['role'] or m['link']) + 1}) below", text
    )
    for number, label in enumerate(labels, 1):
        text += f"\n\n$$\n{equations()[label]}\n\\tag{{{number}}}\n$$"
    text = expanded(text)
    if left := LEFT.findall(text):
        raise ValueError(f"readable: `text` must hold no other reference; got {left}.")
    return text


def cited(kind, keys):
    """Return authors and year, in a sentence (kind t) or in parentheses (kind p).

    Examples
    --------
    >>> cited("t", "geron2019"), cited("p", "xu2015,glorot2010")
    ('Géron (2019)', '(Xu et al., 2015; Glorot and Bengio, 2010)')
    """
    found = []
    for key in keys.split(","):
        entry = bibliography()[key.strip()]
        names = [
            str(Text.from_latex(" ".join(person.prelast_names + person.last_names)))
            for person in entry.persons["author"]
        ]
        who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        found.append((who, entry.fields["year"]))
    if kind == "t":
        return ", ".join(f"{who} ({year})" for who, year in found)
    return "(" + "; ".join(f"{who}, {year}" for who, year in found) + ")"


@functools.cache
def bibliography():
    """Return the entries of the book's bibliography by their keys."""
    return parse_file(BOOK / "references.bib").entries


@functools.cache
def equations():
    """Return the labelled equations of all chapters by their labels."""
    return {
        match["label"]: match["body"]
        for path in sorted(BOOK.glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        for match in DISPLAYED.finditer(cell.source)
    }


def title(chapter):
    """Return the title of a chapter."""
    cells = nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4).cells
    return cells[0].source.partition("\n")[0].removeprefix("# ")


def expanded(text):
    """Return a text with the book's macros written out."""
    for name, macro in macros().items():
        body, count = macro if isinstance(macro, list) else (macro, 0)
        text = re.sub(
            rf"\\{name}(?![A-Za-z])" + count * ARGUMENT,
            lambda found, body=body: re.sub(
                r"#(\d)", lambda place: found[int(place[1])], body
            ),
            text,
        )
    return text


@functools.cache
def macros():
    """Return the macros of the book's formulas, with their numbers of arguments."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return settings["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
