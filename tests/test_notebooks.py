"""What every notebook must be: executed, quiet, captioned, and true to the ledger."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from companion import claims

BOOK = Path(__file__).parents[1] / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))


def code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def calls(source, function):
    """Return the first argument of each call of `function`, a dotted name."""
    return [
        node.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function
    ]


def faults(cell):
    """List what is wrong with a code cell."""
    found = []
    if cell.execution_count is None:
        found.append("not executed")
    if len(cell.source.splitlines()) > 20:
        found.append("longer than 20 lines")
    if max(map(len, cell.source.splitlines()), default=0) > 88:
        found.append("a line of more than 88 characters")
    exempt = "nbval" in str(cell.metadata.get("tags", [])) or "NBVAL" in cell.source
    if exempt and "time" not in cell.metadata.tags:
        found.append("exempt, though its output is not a time")
    if "execution" in cell.metadata:
        found.append("holds the time of its execution")
    for output in cell.outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            found.append(f"prints {output.get('text', 'an error')!r} to stderr")
        if "image/png" in output.get("data", {}):
            figure = cell.metadata.get("mystnb", {}).get("figure", {})
            image = cell.metadata.get("mystnb", {}).get("image", {})
            if not (figure.get("caption") and figure.get("name") and image.get("alt")):
                found.append("a figure without caption, name or alternative text")
            if figure.get("name") not in calls(cell.source, "record.figure"):
                found.append("a figure whose arrays are not compared")
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_in_order(path):
    cells = code_cells(path)
    assert {cell.source: faults(cell) for cell in cells if faults(cell)} == {}
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_its_record_strictly_and_finishes_it(path):
    first, *_, last = code_cells(path)
    assert f'Record("{path.stem}")' in first.source
    assert last.source.endswith("record.finish()")


PICTURE = {"output_type": "display_data", "data": {"image/png": "x"}, "metadata": {}}
STDERR = {"output_type": "stream", "name": "stderr", "text": "oh"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"execution_count": None}, "not executed"),
        ({"source": "x\n" * 21}, "longer than 20 lines"),
        ({"source": "x" * 89}, "more than 88"),
        ({"metadata": {"tags": ["nbval-ignore-output"]}}, "not a time"),
        ({"source": "# NBVAL_SKIP", "metadata": {"tags": ["x"]}}, "not a time"),
        ({"metadata": {"execution": {}}}, "the time of its execution"),
        ({"outputs": [STDERR]}, "to stderr"),
        ({"outputs": [PICTURE]}, "without caption"),
        ({"outputs": [PICTURE]}, "not compared"),
    ],
)
def test_faults_are_found(change, fault):
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    assert faults(cell) == []
    cell.update(nbformat.from_dict(change))
    assert any(fault in found for found in faults(cell))


def checked():
    """Return where each claim is checked: claim id to names of notebooks."""
    where = {}
    for path in NOTEBOOKS:
        for cell in code_cells(path):
            for id in calls(cell.source, "claims.check"):
                where.setdefault(id, []).append(path.stem)
    return where


def test_every_claim_is_checked_in_exactly_one_notebook():
    expected = {id: [claim.chapter] for id, claim in claims.ledger().items()}
    assert checked() == expected


def test_a_claim_checked_twice_or_elsewhere_is_found():
    source = 'claims.check("V1", "holds")\nclaims.check("V1", "holds")'
    assert calls(source, "claims.check") == ["V1", "V1"]


@pytest.mark.parametrize("claim", claims.ledger().values(), ids=lambda c: c.id)
def test_the_rule_is_shown_before_the_verdict(claim):
    cells = [cell.source for cell in code_cells(BOOK / f"{claim.chapter}.ipynb")]
    stated = [i for i, s in enumerate(cells) if claim.id in calls(s, "claims.state")]
    judged = [i for i, s in enumerate(cells) if claim.id in calls(s, "claims.check")]
    assert len(stated) == len(judged) == 1
    assert stated < judged


def test_the_page_of_claims_is_the_ledgers():
    page = (BOOK / "claims.md").read_text("utf-8")
    assert page == claims.to_markdown(BOOK / "recorded"), "`make claims` writes it"


def test_every_record_belongs_to_a_notebook():
    records = {path.stem for path in (BOOK / "recorded").iterdir()}
    assert records == {path.stem for path in NOTEBOOKS}


def test_prose_holds_no_measured_number():
    # A decimal number in the prose could go stale: it belongs into an output.
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                found = re.findall(r"(?<!section )\d\.\d", cell.source)
                assert not found, cell.source
