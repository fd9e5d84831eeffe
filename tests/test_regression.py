"""A change of data, constants, figures or records turns a notebook's test red.

The real chapter is the subject: a few of its quick cells, each time with one change,
run by pytest with nbval as `make test` does.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest

BOOK = Path(__file__).parents[1] / "book"
CHAPTER = "vanishing_gradients"
#: What the chosen cells contain: imports, data, nets, a figure, a claim and its cell.
CHOSEN = [
    "import matplotlib",
    'datasets.load("digits")',
    "def new_net(",
    'record.figure("fig-logistic"',
    'claims.state("V1")',
    'claims.check("V1"',
]

SOURCE, OUTPUT, RECORD = "source", "output", "record"
CHANGES = {
    "nothing": (SOURCE, "", ""),
    "noise in the data": (
        SOURCE,
        "digits.x_train[:200],",
        "digits.x_train[:200] * (1 + 1e-10),",
    ),
    "noise in a plotted array": (SOURCE, "z, logistic(z)", "z, logistic(z) + 1e-12"),
    "other data": (SOURCE, "digits.x_train[:200]", "digits.x_train[1:201]"),
    "one pixel": (SOURCE, "mean_output =", "x[3, 20] += 1\nmean_output ="),
    "a constant": (SOURCE, "0.05 / 4", "0.06 / 4"),
    "a plotted array": (SOURCE, "z, logistic(z)", "z, logistic(z) * 1.001"),
    "a verdict": (SOURCE, '"holds" if', '"corrected" if'),
    "a stored output": (OUTPUT, "0.5006", "0.5007"),
    "a recorded number": (RECORD, "[0.5005", "[0.5015"),
    "a record left out": (RECORD, "largest derivative beyond |z| = 10", "another"),
}
HARMLESS = {"nothing", "noise in the data", "noise in a plotted array"}


def replaced(text, old, new):
    assert old in text, f"the chapter no longer holds {old!r}"
    return text.replace(old, new)


def changed_chapter(part, old, new):
    """Return the chosen cells and the record, one of them changed."""
    notebook = nbformat.read(BOOK / f"{CHAPTER}.ipynb", as_version=4)
    record = (BOOK / "recorded" / f"{CHAPTER}.json").read_text("utf-8")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells = [next(c for c in code if mark in c.source) for mark in CHOSEN]
    notebook.cells = cells
    if part == RECORD:
        record = replaced(record, old, new)
    elif part == SOURCE:
        (cell,) = [c for c in cells if old in c.source] if old else cells[:1]
        cell.source = replaced(cell.source, old, new)
    else:
        outputs = [output for cell in cells for output in cell.outputs]
        (output,) = [o for o in outputs if old in o.get("text", "")]
        output.text = replaced(output.text, old, new)
    return notebook, record


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    """Run all changed chapters at once and return the changes that failed."""
    folder = tmp_path_factory.mktemp("chapters")
    notebooks = []
    for name, change in CHANGES.items():
        notebook, record = changed_chapter(*change)
        here = folder / name.replace(" ", "_")
        (here / "recorded").mkdir(parents=True)
        (here / "recorded" / f"{CHAPTER}.json").write_text(record, "utf-8")
        nbformat.write(notebook, here / "chapter.ipynb")
        notebooks.append(here / "chapter.ipynb")
    environment = {k: v for k, v in os.environ.items() if k != "COMPANION_RECORD"}
    report = folder / "report.xml"
    nbval = ["--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *nbval, f"--junitxml={report}", *notebooks],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert len(cases) == len(CHANGES) * len(CHOSEN), done.stdout + done.stderr
    failed = {c.get("classname") for c in cases if c.find("failure") is not None}
    return {n for n in CHANGES if any(n.replace(" ", "_") in c for c in failed)}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_turns_the_test_red_and_noise_does_not(change, red):
    assert (change in red) == (change not in HARMLESS)
