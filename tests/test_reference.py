"""The reference in the book: each public name has an entry that one can link to.

``make book`` renders it before these tests run.
"""

import ast
import re

import pytest
from test_layout import MODULES, ROOT, toc_pages
from test_site import SITE


def name_of(path):
    """Return the name under which a file of the package is imported."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


PUBLIC = {name_of(path): path for path in MODULES if "._" not in name_of(path)}


def public_names(source):
    """List what a module offers: what it names in ``__all__``, or else defines.

    A constant is offered if a comment that begins with ``#:`` describes it.
    """
    lines = source.splitlines()
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "__all__":
                return ast.literal_eval(node.value)
            if lines[node.lineno - 2].startswith("#:"):
                names.append(node.targets[0].id)
    return [name for name in names if not name.startswith("_")]


@pytest.fixture(scope="module")
def anchors():
    pages = [name for name in toc_pages() if name.startswith("book/api")]
    text = "".join((SITE / f"{name}.html").read_text("utf-8") for name in pages)
    return re.findall(r' id="((?:module-)?companion[\w.]*)"', text)


def test_public_names_are_found():
    source = (
        "#: What it is.\nA = 1\nB = 2\ndef f(): pass\ndef _g(): pass\nclass C: pass"
    )
    assert public_names(source) == ["A", "f", "C"]
    assert public_names(source + "\n__all__ = ['f', 'h']") == ["f", "h"]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_has_one_entry(module, anchors):
    assert anchors.count(f"module-{module}") == 1
    names = public_names(PUBLIC[module].read_text("utf-8"))
    assert [n for n in names if anchors.count(f"{module}.{n}") != 1] == []
