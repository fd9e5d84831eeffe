"""Exercises: right answers pass, wrong ones are told what is wrong and nothing more."""

import importlib
import re
from pathlib import Path

import exercise_notebooks
import nbformat
import numpy as np
import pytest
from exercise_notebooks import BOOK, CHAPTERS
from exercise_texts import LEFT, readable

from companion import exercises
from companion.exercises import Verdict, check

#: The module of answers of each chapter that has checks.
ANSWERS = {
    path.stem: importlib.import_module(f"answers.{path.stem}")
    for path in sorted((Path(__file__).parent / "answers").glob("*.py"))
}
RIGHT = {name: a for answers in ANSWERS.values() for name, a in answers.RIGHT.items()}
TYPICAL = [wrong for answers in ANSWERS.values() for wrong in answers.TYPICAL]

#: Nothing, and what answers no exercise.
NO_ANSWERS = ["61", {}, [], [[1], [1, 2]], np.nan, True, 1j, object(), lambda: 1]


@pytest.mark.parametrize("name", exercises.names())
def test_a_right_answer_passes(name):
    verdict = check(name, RIGHT[name])
    assert verdict, verdict
    assert str(verdict) == repr(verdict) == f"{name}: right."


@pytest.mark.parametrize(("name", "answer", "hint"), TYPICAL)
def test_a_typical_wrong_answer_gets_its_hint(name, answer, hint):
    verdict = check(name, answer)
    assert not verdict
    assert hint in str(verdict)


@pytest.mark.parametrize("name", exercises.names())
def test_every_exercise_has_two_typical_wrong_answers(name):
    assert sum(name == other for other, _, _ in TYPICAL) >= 2


@pytest.mark.parametrize("name", exercises.names())
def test_none_is_no_answer(name):
    verdict = check(name, None)
    assert not verdict
    assert "There is no answer yet. Hand in " in str(verdict)


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=lambda answer: type(answer).__name__)
@pytest.mark.parametrize("name", exercises.names())
def test_what_answers_nothing_is_refused_in_words(name, answer):
    assert not check(name, answer)


@pytest.mark.parametrize("name", exercises.names())
def test_no_problem_holds_a_number(name):
    # What a learner's own function raises may; it is not among these.
    wrong = [answer for other, answer, hint in TYPICAL if name == other]
    for answer in [None, *wrong, *NO_ANSWERS[:-1]]:
        for problem in check(name, answer).problems:
            told = re.sub(r"raises .*|at 0\b|float32", "", problem)
            assert not re.search(r"\d", told), problem


def test_an_unknown_exercise_is_named_with_its_nearest():
    with pytest.raises(ValueError, match=r"Did you mean 'activations-\d'\?"):
        check("activation-3", 1)


def test_a_verdict_prints_a_line_for_each_problem():
    assert str(Verdict("a", ("One.", "Two."))) == "a: not yet.\n- One.\n- Two."


# --- the chapters ---------------------------------------------------------------------
def outputs(chapter):
    """Return all text that a chapter's cells showed."""
    cells = nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4).cells
    shown = [o for cell in cells for o in cell.get("outputs", [])]
    return "\n".join(o.get("data", {}).get("text/plain", "") for o in shown)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_check_is_asked_for_and_passed_by_the_solution(chapter):
    _, _, found = exercise_notebooks.read(chapter)
    assert len(found) >= 6
    for exercise in found:
        call = f'exercises.check("{exercise.name}", '
        wanted = exercise.name in exercises.names()
        assert re.findall(r"exercises\.check\(.*?, ", exercise.text) == [call] * wanted
        solved = "\n".join(exercise.solution)
        assert re.findall(r"exercises\.check\(.*?, ", solved) == [call] * wanted
        assert (f"{exercise.name}: right." in outputs(chapter)) == wanted


def test_every_check_belongs_to_an_exercise():
    found = [e.name for c in CHAPTERS for e in exercise_notebooks.read(c)[2]]
    assert set(exercises.names()) == set(RIGHT) <= set(found)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_of_exercises_is_what_its_chapter_makes(chapter):
    text = (BOOK / "exercises" / f"{chapter}.ipynb").read_text("utf-8")
    assert text == exercise_notebooks.notebook(chapter), "`make exercises` writes it"


def test_every_notebook_of_exercises_has_a_chapter():
    assert sorted(p.stem for p in (BOOK / "exercises").iterdir()) == CHAPTERS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_of_exercises_shows_no_solution(chapter):
    made = nbformat.reads(exercise_notebooks.notebook(chapter), as_version=4)
    nbformat.validate(made)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    _, _, found = exercise_notebooks.read(chapter)
    solutions = {cell for exercise in found for cell in exercise.solution}
    assert not solutions & {cell.source for cell in code}
    text = "\n".join(cell.source for cell in made.cells)
    assert "solution-start" not in text
    assert not LEFT.findall(text)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_of_exercises_holds_all_that_its_solutions_use(chapter):
    made = nbformat.reads(exercise_notebooks.notebook(chapter), as_version=4)
    _, _, found = exercise_notebooks.read(chapter)
    bound = {"__name__"}
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    for source in [*code, *(cell for e in found for cell in e.solution)]:
        uses, binds, _ = exercise_notebooks.names(source)
        assert uses <= bound
        bound |= binds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{cite:t}`geron2019` says", "Géron (2019) says"),
        ("cut {cite:p}`xu2015, glorot2010`", "cut (Xu et al., 2015; Glorot and Bengio"),
        ("{ref}`claim S6 <claim-S6>`", "claim S6"),
        ("the [last chapter](dropout.ipynb)", "the last chapter"),
        ("[](dropout.ipynb) measures", "*Dropout"),
        ("Solve equation {eq}`eq-chan`.", "Solve equation (1) below.\n\n$$\n"),
        ("{eq}`eq-chi`, [](eq-chan), {eq}`eq-chi`", "below, equation (2) below, equat"),
        ("{eq}`eq-chi`", r"\operatorname{E} \lVert \delta_{l+1} \rVert^2"),
        ("$\\Var$ or $\\Variable$", r"$\operatorname{Var}$ or $\Variable$"),
    ],
)
def test_an_exercise_is_readable_outside_the_book(text, expected):
    assert expected in readable(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{cite:t}`nobody1900`", KeyError),
        ("{eq}`eq-nowhere`", KeyError),
        ("{numref}`fig-roofline`", ValueError),
        ("[](fig-roofline)", ValueError),
        ("{ref}`claim-S6`", ValueError),
    ],
)
def test_what_would_be_a_key_in_an_exercise_is_an_error(text, error):
    with pytest.raises(error):
        readable(text)


def test_names_are_told_apart():
    source = (
        "import a.b\nx = x + y\ndef f(z):\n    return [k for k in w if z]\nd[q] = 1"
    )
    uses, binds, changes = exercise_notebooks.names(source)
    assert uses == {"x", "y", "w", "d", "q"}
    assert binds == {"a", "x", "f"}
    assert changes == {"d"}


def test_only_needed_cells_are_kept():
    cells = ["a = 1", "b = 2", "a = b", "c = a\na = 3", "d = {}", "d[1] = a", "e = d"]
    assert exercise_notebooks.needed("print(c, d)", cells) == [
        *("b = 2", "a = b", "c = a\na = 3", "d = {}", "d[1] = a")
    ]
