"""The exercises on recipes: configurations, schedules, and nets that answer fast."""

from companion import initializers, recipes
from companion.exercises._answers import (
    PERCENT,
    Number,
    measured,
    numbers,
    row,
    several,
)
from companion.exercises._register import exercise
from companion.recorded import facts_of


# --- configurations -------------------------------------------------------------------
@exercise("recipes-1", "a pair: the number of contradictions, the mended recipe")
def _configuration(answer):
    parts, problem = several(answer, 2)
    if problem:
        yield problem
        return
    count, recipe = parts
    yield from numbers(
        count,
        Number(
            "The number of contradictions",
            3,
            within=0,
            high="In a contradiction one choice undoes what another one is there for.",
            low="Ask of each part whether it goes with the activation.",
        ),
    )
    if not isinstance(recipe, recipes.Recipe):
        yield "The second part must be a Recipe, as `recommend` returns it."
        return
    activation, initializer = recipe.activation.value, recipe.initializer.value
    if recipe.inputs.value is not None:
        yield "The pixels are to stay as they are."
    kept = recipe.normalization.value == "layer"
    if not kept or "dropout" not in recipe.regularizer.value:
        yield "That is not the shortest change: one part is in every contradiction."
    elif list(recipes._contradictions(recipe, sparse=False)):
        yield "The recipe still holds a contradiction."
    elif activation not in initializers.RECOMMENDED[initializer.partition("_")[0]]:
        yield "The weights do not go with the activation of the mended recipe."


@exercise("recipes-2", "two largest inputs and the mean difference of the accuracies")
def _one_scale(answer):
    facts = facts_of("recipes")
    gain = facts["accuracy, one scale minus raw"]
    other = facts["accuracy, one scale minus standardized"].value
    yield from numbers(
        answer,
        Number(
            "The largest standardized input",
            facts["largest input, standardized"].value,
            within=0.01,
            low="Are mean and deviation those of each pixel, on the training images?",
        ),
        Number(
            "The largest input with one scale",
            facts["largest input, one scale"].value,
            within=0.01,
            high="Is it one scale for all of the pixels?",
            low="Is each pixel centered by its own mean? Is the scale a deviation?",
        ),
        measured(
            "The mean difference of the accuracies",
            gain,
            mistakes={
                "That is the difference from the standardized ones.": other,
                "Subtract the other way round.": -gain.value,
                PERCENT: 100 * gain.value,
            },
        ),
    )


@exercise("recipes-3", "four accuracies, two of each activation")
def _two_at_a_time(answer):
    facts = facts_of("recipes")
    keys = {
        (unit, normalization): facts[f"accuracy, {unit}, normalization {normalization}"]
        for unit in ("elu", "logistic")
        for normalization in ("none", "batch")
    }
    names = {"elu": "ELU", "logistic": "logistic units"}
    words = {"none": "without normalization", "batch": "with normalization"}
    swap = {"none": "batch", "batch": "none", "elu": "logistic", "logistic": "elu"}
    wanted = []
    for (unit, normalization), fact in keys.items():
        mistakes = {
            f"That is the accuracy {words[swap[normalization]]}.": (
                keys[unit, swap[normalization]].value
            ),
            f"That is the accuracy of {names[swap[unit]]}.": (
                keys[swap[unit], normalization].value
            ),
            PERCENT: 100 * fact.value,
        }
        what = f"The accuracy of {names[unit]} {words[normalization]}"
        # Other seeds are as near, and so is every way to guess.
        wanted.append(Number(what, fact.value, 0, beside=0.025, mistakes=mistakes))
    yield from numbers(answer, *wanted)


# --- schedules ------------------------------------------------------------------------
@exercise("recipes-4", "the factor between the sums")
def _one_cycle(answer):
    yield from numbers(
        answer,
        Number(
            "The factor",
            2,
            mistakes={
                "That is the factor between the highest rates, not the sums.": 4,
                "That is the share of the highest rate: how high is that?": 0.5,
                "The last tenth has a mean of its own.": 4 * 11 / 20,
                "In the last tenth the rates are small, but they are there.": (
                    4 * 0.9 * 11 / 20
                ),
                "The rates start at a tenth of the highest one, not at nothing.": (
                    4 * (0.9 * 0.5 + 0.1 * 0.05)
                ),
            },
        ),
    )


@exercise("recipes-5", "three accuracies: whole, constant momentum, no last part")
def _which_half(answer):
    facts = facts_of("recipes")
    wanted = []
    for name, key in (
        ("the whole cycle", "1cycle"),
        ("a constant momentum", "constant momentum"),
        ("no last part", "no last part"),
    ):
        fact = facts[f"accuracy, {key}"]
        wanted.append(
            measured(
                f"The accuracy with {name}",
                fact,
                within=0.01,
                mistakes={PERCENT: 100 * fact.value},
                high="Is it the accuracy on the test images?",
                low="Are the rates those of the chapter, and the epochs five?",
            )
        )
    yield from numbers(answer, *wanted)


# --- small and fast nets --------------------------------------------------------------
@exercise("recipes-6", "two errors: without and with the large weight")
def _large_weight(answer):
    whole = "That is a whole step: rounding is off by less."
    yield from numbers(
        answer,
        Number("The error without it", 1 / 255, 0.01, mistakes={whole: 2 / 255}),
        Number(
            "The error with it",
            100 / 255,
            within=0.01,
            mistakes={
                whole: 200 / 255,
                "The range reaches as far below zero as above.": 101 / 510,
                "The step of the large weight is that of all others, too.": 1 / 255,
            },
        ),
    )


@exercise("recipes-7", "the share of zeros")
def _sparse(answer):
    n = 256
    share = 0.5 + (n + 1) / (2 * n**2)
    yield from numbers(
        answer,
        Number(
            "The share of zeros",
            share,
            mistakes={
                PERCENT: 100 * share,
                "Where the rows begin takes bytes too.": 0.5,
                "That is the share of the numbers that are kept.": 1 - share,
                "A number that is kept comes with its column.": (n + 1) / n**2,
            },
        ),
    )


@exercise(
    "recipes-8", "four accuracies: in float32 plain and clipped, in eight bits too"
)
def _clip(answer):
    plain = facts_of("recipes")["accuracy in 32 bits, clipped at inf"]
    got, problem = row(answer, 4)
    if problem:
        yield problem
        return
    if got.min() < 0 or got.max() > 1:
        yield "An accuracy is a share of the images."
        return
    whole, clipped, short, mended = got
    wanted = Number("The accuracy in float32", plain.value, 0, beside=0.05)
    problems = list(wanted.problems(whole))
    if problems:
        yield from problems
        return
    if clipped < whole - 0.02:
        yield "In float32 the repair costs accuracy: does it clip ordinary pixels?"
    if short > whole - 0.01:
        yield "In eight bits the net has lost nothing: are all layers stored so?"
    if mended < clipped - 0.02:
        yield "In eight bits the repair does not help: are rare pixels still far out?"
