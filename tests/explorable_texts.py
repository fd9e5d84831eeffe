"""What the pages of the explorables hold: their text, and the settings behind it."""

import json
import re
from functools import cache
from pathlib import Path

from explorable_scripts import FOLDER

from companion import activations

BOOK = Path(__file__).parents[1] / "book"


@cache
def text_of(page):
    """Return the source of a page as one line."""
    return " ".join((BOOK / f"{page}.md").read_text("utf-8").split())


def constant(name, pattern):
    """Return the number, or the list of them, that a pattern finds in a script."""
    code = (FOLDER / f"{name}.js").read_text("utf-8")
    return json.loads(re.search(pattern, code)[1])


@cache
def start_of(page):
    """Return the settings that a page starts from, as its script has them."""
    code = (FOLDER / f"{page}.js").read_text("utf-8")
    code = code[code.index("const CONTROLS") :]
    found = re.findall(
        r'name: "(\w+)",.*?(?:around\(|value: )"?([\w.]+)', code, re.DOTALL
    )
    return {name: _value(word) for name, word in found}


def _value(word):
    """Return a number, a constant of `activations`, or the word itself."""
    if re.fullmatch(r"[\d.]+", word):
        return float(word)
    return getattr(activations, word) if word.isupper() else word


def setting(page, n, **changes):
    """Return what the n-th button of a page sets up, with changes."""
    button = re.findall(r"data-settings='(.*?)'", text_of(page))[n - 1]
    return start_of(page) | json.loads(button) | changes
