"""The exercises of each chapter as a notebook to work in, without the solutions.

``make exercises`` writes ``book/exercises/NAME.ipynb`` from ``book/NAME.ipynb``: the
first cell, those cells of the chapter without which its solutions could not run, and
each exercise with a cell to work in, and one that checks the answer if a check exists.
``test_exercises.py`` compares them.
"""

import ast
import builtins
import re
import symtable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from exercise_texts import readable
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from companion import exercises

BOOK = Path(__file__).parents[1] / "book"
CHAPTERS = sorted(
    path.stem
    for path in BOOK.glob("*.ipynb")
    if "{exercise}" in path.read_text("utf-8")
)

EXERCISE = re.compile(
    r"^```\{exercise\} (?P<title>.*)\n:label: .*\n\n(?P<text>(?s:.*?))\n```$",
    re.MULTILINE,
)
INTRODUCTION = """\
# {title}: exercises

Run the first cells: they hold what the exercises need of the chapter, and take up to
two minutes. Solutions and sources are on its page. Put an answer that can be checked
into `answer`: the cell after it says what is wrong with it, and never what is right."""


@dataclass
class Exercise:
    """An exercise as it stands in a chapter, with the code of its solution."""

    name: str
    title: str
    text: str
    solution: list = field(default_factory=list)


def read(chapter):
    """Return the title of a chapter, its code before the exercises, and those."""
    cells = nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4).cells
    title = cells[0].source.partition("\n")[0].removeprefix("# ")
    code, found, solving = [], [], False
    for cell in cells:
        if cell.cell_type == "code":
            if solving:
                found[-1].solution.append(cell.source)
            elif not found:
                code.append(cell.source)
            continue
        for match in EXERCISE.finditer(cell.source):
            name = f"{chapter}-{len(found) + 1}"
            found.append(Exercise(name, match["title"], match["text"]))
        marks = re.findall(r"\{solution-(start|end)\}", cell.source)
        solving = marks[-1] == "start" if marks else solving
    return title, code, found


def notebook(chapter):
    """Return the text of a chapter's notebook of exercises."""
    title, (first, *code), found = read(chapter)
    solutions = "\n".join(cell for exercise in found for cell in exercise.solution)
    cells = [new_markdown_cell(INTRODUCTION.format(title=title))]
    cells += map(new_code_cell, [first, *needed(solutions, code)])
    for number, exercise in enumerate(found, 1):
        heading = f"## {number}. {exercise.title}"
        cells.append(new_markdown_cell(f"{heading}\n\n{readable(exercise.text)}"))
        if exercise.name in exercises.names():
            check = f'exercises.check("{exercise.name}", answer)'
            cells += map(new_code_cell, ["answer = None", check])
        else:
            cells.append(new_code_cell())
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number:03}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return nbformat.writes(made) + "\n"


def needed(source, cells):
    """Return those of `cells` that a source needs, in order, by the names it uses."""
    missing, kept = names(source)[0], []
    for cell in reversed(cells):
        uses, binds, changes = names(cell)
        if missing & (binds | changes):
            missing = missing - binds | uses
            kept.insert(0, cell)
    return kept


def names(source):
    """Return the names that a source uses from elsewhere, binds, and changes in place.

    A loop may use what it binds, as ``with`` and a definition may.
    """
    uses, binds, changes = set(), set(), set()
    for statement in ast.parse(source).body:
        table = symtable.symtable(ast.unparse(statement), "", "exec")
        bound = {s.get_name() for s in table.get_symbols() if s.is_assigned()}
        bound |= {s.get_name() for s in table.get_symbols() if s.is_imported()}
        used = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
        for inner in nested(table):
            used |= {s.get_name() for s in inner.get_symbols() if s.is_global()}
        # Python 3.12 and newer count them as names of the scope around.
        inside = loop_names(statement)
        used, bound = used - inside, bound - inside
        if not isinstance(statement, ast.Assign | ast.AugAssign):
            used -= bound
        uses |= used - binds
        binds |= bound
        for node in ast.walk(statement):
            if isinstance(node, ast.Subscript | ast.Attribute):
                if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
                    changes.add(node.value.id)
    return uses - set(dir(builtins)), binds, changes


def loop_names(statement):
    """Return the names that the comprehensions in a statement bind."""
    loops = [n.target for n in ast.walk(statement) if isinstance(n, ast.comprehension)]
    parts = [part for target in loops for part in ast.walk(target)]
    return {part.id for part in parts if isinstance(part, ast.Name)}


def nested(table):
    """Yield the tables of all scopes in a scope."""
    for child in table.get_children():
        yield child
        yield from nested(child)


if __name__ == "__main__":
    (BOOK / "exercises").mkdir(exist_ok=True)
    for chapter in CHAPTERS:
        path = BOOK / "exercises" / f"{chapter}.ipynb"
        path.write_text(notebook(chapter), "utf-8")
