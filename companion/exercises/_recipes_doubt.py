"""The exercises on recipes that come last: doubt, few labels, and a doctor."""

import numpy as np

from companion.exercises._answers import (
    PERCENT,
    Number,
    call,
    formula,
    measured,
    numbers,
    row,
    several,
    word,
)
from companion.exercises._register import exercise
from companion.recorded import facts_of


# --- doubt ----------------------------------------------------------------------------
@exercise("recipes-9", "log loss and Brier score of the first net, then of the second")
def _extremes(answer):
    mean = "The score is a sum over all classes, the right one too, and no mean."
    yield from numbers(
        answer,
        Number(
            "The log loss of the first net",
            np.log(10),
            mistakes={
                "Take the natural logarithm.": 1.0,
                "Take the natural logarithm, not that of base two.": np.log2(10),
                "A loss is a logarithm with a minus.": -np.log(10),
            },
        ),
        Number(
            "The Brier score of the first net",
            0.9,
            mistakes={
                mean: 0.09,
                "The wrong classes count too.": 0.81,
            },
        ),
        Number(
            "The log loss of the second net",
            np.inf,
            low="What does it say of the right class when it is wrong?",
        ),
        Number(
            "The Brier score of the second net",
            0.2,
            mistakes={
                mean: 0.02,
                "A net that is sure and wrong is wrong about two classes.": 0.1,
                "That is the score of an image on which it is wrong.": 2.0,
            },
        ),
    )


@exercise("recipes-10", "a function of probabilities, one row for each pass")
def _averaging(answer):
    rng = np.random.default_rng(0)
    yield from formula(
        answer,
        lambda p: p.var(axis=0).sum(),
        [(rng.dirichlet(np.ones(k), passes),) for k, passes in ((10, 20), (4, 3))],
        mistakes={
            "Divide by the number of passes, not one less.": (
                lambda p: p.var(axis=0, ddof=1).sum()
            ),
            "Add up the classes; that is their mean.": lambda p: p.var(axis=0).mean(),
            "Take the mean over the passes; that is their sum.": (
                lambda p: p.var(axis=0).sum() * len(p)
            ),
            "Add up variances, not deviations.": lambda p: p.std(axis=0).sum(),
            "The variance is over the passes, not over the classes.": (
                lambda p: p.var(axis=1).sum()
            ),
            "It gains: a mean of squares is above the square of the mean.": (
                lambda p: -p.var(axis=0).sum()
            ),
        },
    )


# --- few labels -----------------------------------------------------------------------
@exercise("recipes-11", "the three digits")
def _upside_down(answer):
    digits = list(answer) if isinstance(answer, set | frozenset) else answer
    got, problem = row(digits, 3)
    if problem:
        yield problem
        return
    facts = facts_of("recipes")
    seen = [facts[f"turns seen right, digit {digit}"].value for digit in range(10)]
    hardest = np.argsort(seen)[:3]
    if not np.isin(got, np.arange(10)).all():
        yield "There is one among them that is no digit."
    elif len(set(got)) < 3:
        yield "There must be three different digits."
    elif np.isin(got, [6, 9]).any():
        yield (
            "Turned in print, one of them is another digit. Does the net take it for "
            "that one? Look at the measured shares."
        )
    elif (strangers := (~np.isin(got, hardest)).sum()) > 0:
        count = {1: "one", 2: "two", 3: "all three"}[strangers]
        yield f"Of your digits {count} can be told upside down: the net sees the turns."


@exercise("recipes-12", "the mean difference of the accuracies")
def _unfreeze(answer):
    facts = facts_of("recipes")
    fact = facts["accuracy, unfrozen minus classes 0 to 4"]
    scratch = facts["accuracy, unfrozen minus from scratch"].value
    yield from numbers(
        answer,
        measured(
            "The mean difference",
            fact,
            mistakes={
                "That is the difference from nets that start from scratch.": scratch,
                "Subtract the other way round.": -fact.value,
                PERCENT: 100 * fact.value,
            },
            high="Is it the accuracy on the test images, of the last step?",
            low="Are the nets those that know the other classes, on the same seeds?",
        ),
    )


@exercise("recipes-13", "three areas: of one pass, of the mean, of the disagreement")
def _other_kind(answer):
    facts = facts_of("recipes")
    wanted = []
    for name, key in (
        ("the entropy of one pass", "entropy of one pass"),
        ("the entropy of the mean", "entropy of the mean"),
        ("the disagreement", "disagreement"),
    ):
        fact = facts[f"ROC area, turned or upright, {key}"]
        wanted.append(
            measured(
                f"The area of {name}",
                fact,
                within=0.02,
                mistakes={
                    "That is how often the upright image has more.": 1 - fact.value,
                    PERCENT: 100 * fact.value,
                },
                low="Of how many pairs does the turned image have more doubt?",
            )
        )
    yield from numbers(answer, *wanted)


# --- a doctor -------------------------------------------------------------------------
CURES = "inputs", "units", "weights"


@exercise("recipes-14", "the names of the cures, the one that is missed most first")
def _which_of_three(answer):
    parts, problem = several(answer, 3)
    if problem:
        yield problem
        return
    problems = [word(part, CURES, "Each part")[1] for part in parts]
    if any(problems):
        yield next(filter(None, problems))
        return
    if len(set(parts)) < 3:
        yield "Each cure must be named once."
        return
    facts = facts_of("recipes")
    left = {
        "inputs": facts["accuracy, 120 steps, raw inputs left"].value,
        "units": facts["accuracy, 120 steps, logistic units left"].value,
        "weights": facts["accuracy, 120 steps, default weights left"].value,
    }
    right = sorted(CURES, key=left.get)
    if list(parts) == right[::-1]:
        yield "That is the reverse order: where the accuracy is low a cure is missed."
    elif parts[0] != right[0]:
        yield "Another cure is missed more than the first one."
    elif list(parts) != right:
        yield "The last two are in the wrong order: look at the last step, not earlier."


@exercise("recipes-15", "a function of the number of classes")
def _disease(answer):
    for n_classes in (2, 10, 50_000, 10**9):
        got, problem = call(answer, n_classes)
        if problem is None and got.size != 1:
            problem = "The answer must return one number."
        if problem:
            yield problem
            return
        knows_nothing, limit = np.log(n_classes), float(got.squeeze())
        size = "few" if n_classes < 100 else "many"
        if not limit >= 1.2 * knows_nothing:
            yield (
                f"With {size} classes the limit is too low: nets that are healthy, and "
                "know nothing yet, would be ill."
            )
            return
        if limit > 30 * knows_nothing:
            yield (
                f"With {size} classes the limit is too high: how large is the loss of "
                "a net that knows nothing?"
            )
            return
