"""Exercises: right answers pass, wrong ones are told what is wrong and nothing more."""

import re

import exercise_notebooks
import nbformat
import numpy as np
import pytest
from exercise_notebooks import BOOK, CHAPTERS

from companion import activations, exercises
from companion.activations import logistic_grad, softplus
from companion.exercises import Verdict, check
from companion.recorded import facts_of

WEIGHTS = facts_of("initializers")
BEFORE = facts_of("activations")[
    "dead at the largest rate that works, pixels from 0 to 1"
]


def each_width(name):
    return [WEIGHTS[f"{name}, width {width}"].value for width in (50, 100, 200, 400)]


def sign(z):
    return np.where(z > 0, 1, -1).astype(z.dtype)


def changing(z):
    z *= 2
    return softplus(z / 2)


def at_most(gradients, limit, norms):
    return [g * min(1, limit / n) for g, n in zip(gradients, norms, strict=True)]


def clipped(gradients, limit):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * (limit / max(norm, limit)) for g in gradients]


#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "vanishing_gradients-1": 61,
    "vanishing_gradients-2": lambda z: np.sqrt(np.mean(logistic_grad(z) ** 2)),
    "vanishing_gradients-3": lambda n: np.sqrt(2 / n),
    "vanishing_gradients-4": lambda W, b: (W / 4, b / 2 + W.sum(axis=0) / 4),
    "vanishing_gradients-5": clipped,
    "vanishing_gradients-6": 1.3,
    "initializers-1": 1,
    "initializers-2": np.array([0.486, 0.000426, 0.879]),
    "initializers-3": [1, 1, 0.107],
    "initializers-4": (500, 39),
    "initializers-5": each_width("mean of the logarithm"),
    "initializers-6": lambda W, x: W / (x @ W).std(),
    "activations-1": 1 / 17,
    "activations-2": (np.abs, sign),
    "activations-3": (0.19617, 2 / 11, 11 / 48),
    "activations-4": 0.26,
    "activations-5": activations.SELU_ALPHA,
    "activations-6": lambda z: np.logaddexp(z, np.zeros((), z.dtype)),
}

TYPICAL = [
    ("vanishing_gradients-1", 64, "largest slope"),
    ("vanishing_gradients-1", 38, "too low. Count the layers"),
    ("vanishing_gradients-1", 30, "too low, by more than half"),
    ("vanishing_gradients-2", lambda z: logistic_grad(z).mean(), "not of their squar"),
    ("vanishing_gradients-2", lambda z: (logistic_grad(z) ** 2).mean(), "its root?"),
    ("vanishing_gradients-2", lambda z: np.exp(z) / (1 + np.exp(z)) ** 2, "one number"),
    (
        "vanishing_gradients-2",
        lambda z: np.sqrt(np.mean((np.exp(z) / (1 + np.exp(z)) ** 2) ** 2)),
        "half of them are large and positive, is wrong: it is nan",
    ),
    ("vanishing_gradients-3", lambda n: 2 / n, "their standard deviation?"),
    ("vanishing_gradients-3", lambda n: np.sqrt(1 / n), "how many of the units"),
    ("vanishing_gradients-3", lambda n: 2 / np.sqrt(n), "too high"),
    ("vanishing_gradients-4", lambda W, b: (W / 2, b / 2), "biases forget the mean"),
    ("vanishing_gradients-4", lambda W, b: (W / 2, b / 2), "the half before"),
    ("vanishing_gradients-4", lambda W, b: (W / 4, b + W.sum(axis=0) / 2), "halved"),
    ("vanishing_gradients-4", lambda W, b: W / 4, "must return a pair of arrays"),
    ("vanishing_gradients-4", lambda W, b: (W / 4, b + W.sum(axis=1)), "raises ValueE"),
    (
        "vanishing_gradients-5",
        lambda gs, limit: [np.clip(g, -limit, limit) for g in gs],
        "changes the direction",
    ),
    (
        "vanishing_gradients-5",
        lambda gs, limit: at_most(gs, limit, map(np.linalg.norm, gs)),
        "take that of all together",
    ),
    (
        "vanishing_gradients-5",
        lambda gs, limit: [g * limit / np.linalg.norm(gs[0]) for g in gs],
        "gradients of zeros, is wrong: it is nan",
    ),
    ("vanishing_gradients-6", 1.2023, "edge of a net of twice the depth"),
    ("vanishing_gradients-6", 1.0, "too low, by less than half"),
    ("initializers-1", 20, "too high, by orders of magnitude"),
    ("initializers-1", 0, "too low"),
    ("initializers-2", [1, 1, 1], "SiLU is too high, by orders of magnitude"),
    ("initializers-2", [0.4, 0.000426, 0.879], "GELU is too low, by less than half"),
    ("initializers-3", [1, 1, 1], "The product of two layers is not one"),
    ("initializers-3", [1, 4**10, 0.107], "undoes what the one before it did"),
    ("initializers-3", [1, 1, 1.6], "the factor of one layer"),
    ("initializers-4", [503, 66], "tanh takes its share"),
    ("initializers-4", [1000, 39], "weights is too high"),
    ("initializers-4", 503, "must be a pair; got int"),
    ("initializers-5", each_width("logarithm of the mean"), "logarithm of the mean."),
    ("initializers-5", [0, 0, 0, 0], "at the first width is too high"),
    ("initializers-6", lambda W, x: W / (x @ W).std(axis=0), "one is for all of them"),
    ("initializers-6", lambda W, x: W / (x @ W).var(), "divided by the variance"),
    ("initializers-6", lambda W, x: W / W.std(), "their own standard deviation"),
    ("initializers-6", lambda W, x: W.__itruediv__((x @ W).std()), "return new ones"),
    ("activations-1", 17, "That is a count"),
    ("activations-1", 1 / 1079, "share of the images"),
    ("activations-1", 64 / 1079, "is a step too"),
    ("activations-2", (np.abs, np.sign), "derivative is wrong at 0: it is zero"),
    ("activations-2", (lambda z: -z, sign), "positive input: it is of the wrong sign"),
    ("activations-2", (np.abs, lambda z: np.where(z > 0, 1.0, -1.0)), "keep the dtype"),
    ("activations-2", np.abs, "must be a pair; got ufunc"),
    ("activations-3", [2 / 11, 2 / 11, 11 / 48], "not the mean of the slopes"),
    ("activations-3", [0.19617, 5.5, 11 / 48], "the slope is what it divides by"),
    ("activations-4", BEFORE.value, "before the shift"),
    ("activations-4", 0.002, "a shift for each pixel"),
    ("activations-4", 26, "too high, by orders of magnitude"),
    ("activations-5", 1.0, "the mean of the outputs is positive"),
    ("activations-5", 2.0, "the mean of the outputs is negative"),
    (
        "activations-6",
        lambda z: np.log(1 + np.exp(z)),
        "positive input: it is infinite",
    ),
    ("activations-6", lambda z: np.log(1 + np.exp(z)), "negative input: it is zero"),
    ("activations-6", lambda z: np.float64(softplus(z)), "keep the dtype"),
    ("activations-6", lambda z: softplus(z).sum(), "the shape of its input"),
    ("activations-6", lambda z: float(z), "raises TypeError"),
    ("activations-6", changing, "changes the array"),
    ("activations-6", lambda z: np.maximum(z, 0), "wrong at 0: it is zero"),
]
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
    assert "{cite" not in text


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
