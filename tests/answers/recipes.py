"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import warnings

import numpy as np

from companion.recipes import recommend
from companion.recorded import facts_of

FACTS = facts_of("recipes")
AREAS = np.array(
    [
        FACTS[f"ROC area, turned or upright, {sign}"].value
        for sign in ("entropy of one pass", "entropy of the mean", "disagreement")
    ]
)
FOUR = [
    FACTS[f"accuracy, {unit}, normalization {normalization}"].value
    for unit in ("elu", "logistic")
    for normalization in ("none", "batch")
]
SCRATCH = FACTS["accuracy, unfrozen minus from scratch"].value
GAIN = FACTS["accuracy, one scale minus raw"].value


def recipe(**changes):
    """Return the doubtful net of the exercise, or another, without a warning."""
    parts = {"normalization": "layer", "regularizer": ("dropout",), "inputs": None}
    with warnings.catch_warnings(action="ignore"):
        return recommend(depth=8, **parts | changes)


MENDED = recipe(activation="elu")

#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "recipes-1": [3, recipe(activation="relu", initializer="he_uniform")],
    "recipes-2": (79.3, 3.62, -0.004),
    "recipes-3": [0.94, 0.96, 0.1, 0.93],
    "recipes-4": np.float32(1.9999),
    "recipes-5": [0.95, 0.955, 0.965],
    "recipes-6": (1 / 254, 100 / 254),
    "recipes-7": 0.502,
    "recipes-8": np.array([0.9, 0.91, 0.84, 0.905]),
    "recipes-9": [2.3026, 0.9, np.inf, 0.2],
    "recipes-10": lambda p: (p**2).sum() / len(p) - (p.mean(axis=0) ** 2).sum(),
    "recipes-11": {8, 1, 0},
    "recipes-12": -0.05,
    "recipes-13": AREAS + 0.02,
    "recipes-14": ["units", "inputs", "weights"],
    "recipes-15": lambda n: 2 * np.log(n),
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("recipes-1", (2, MENDED), "Ask of each part whether it goes with the activation"),
    ("recipes-1", (4, MENDED), "undoes what another one is there for"),
    (
        "recipes-1",
        (3, recipe(activation="selu", inputs="standardize")),
        "The pixels are to stay",
    ),
    ("recipes-1", (3, recipe(activation="selu")), "still holds a contradiction"),
    (
        "recipes-1",
        (3, recipe(activation="selu", normalization=None, regularizer=())),
        "That is not the shortest change",
    ),
    (
        "recipes-1",
        (3, recipe(activation="elu", initializer="lecun_normal")),
        "weights do not go with the activation",
    ),
    ("recipes-1", (3, "elu"), "must be a Recipe"),
    ("recipes-1", 3, "must be a pair"),
    ("recipes-2", (15.0, 3.62, GAIN), "those of each pixel, on the training images?"),
    ("recipes-2", (79.27, 79.27, GAIN), "Is it one scale for all of the pixels?"),
    ("recipes-2", (79.27, 2.5, GAIN), "centered by its own mean?"),
    ("recipes-2", (79.27, 3.62, -4 * GAIN), "difference of the accuracies is too high"),
    (
        "recipes-2",
        (79.27, 3.62, FACTS["accuracy, one scale minus standardized"].value),
        "That is the difference from the standardized ones",
    ),
    (
        "recipes-3",
        [FOUR[1], FOUR[0], *FOUR[2:]],
        "the accuracy with normalization",
    ),
    ("recipes-3", [FOUR[0], FOUR[1], FOUR[0], FOUR[3]], "That is the accuracy of ELU"),
    ("recipes-3", [100 * share for share in FOUR], "a percentage"),
    ("recipes-3", [0.93, 0.97, 0.8, 0.94], "logistic units without normalization is"),
    ("recipes-3", FOUR[:2], "must be a row of four"),
    ("recipes-4", 4, "not the sums"),
    ("recipes-4", 0.5, "the share of the highest rate"),
    ("recipes-4", 2.2, "has a mean of its own"),
    ("recipes-4", 1.98, "but they are there"),
    ("recipes-4", 1.82, "start at a tenth of the highest one"),
    ("recipes-5", [1.0, 1.0, 1.0], "Is it the accuracy on the test images?"),
    ("recipes-5", [0.957, 0.958, 0.7], "no last part is too low"),
    ("recipes-6", (2 / 255, 200 / 255), "That is a whole step"),
    ("recipes-6", (1 / 255, 101 / 510), "as far below zero as above"),
    ("recipes-6", (1 / 255, 1 / 255), "is that of all others, too"),
    ("recipes-7", 0.5, "Where the rows begin"),
    ("recipes-7", 0.498, "the numbers that are kept"),
    ("recipes-7", 257 / 65536, "comes with its column"),
    ("recipes-7", 50.2, "a percentage"),
    ("recipes-8", [0.909, 0.5, 0.856, 0.5], "does it clip ordinary pixels?"),
    ("recipes-8", [0.909, 0.917, 0.91, 0.917], "are all layers stored so?"),
    ("recipes-8", [0.909, 0.909, 0.856, 0.856], "are rare pixels still far out?"),
    ("recipes-8", [90.9, 91.7, 85.6, 91.7], "is a share of the images"),
    ("recipes-8", [0.1, 0.1, 0.1, 0.1], "accuracy in float32 is too low"),
    ("recipes-9", [1, 0.9, np.inf, 0.2], "Take the natural logarithm"),
    ("recipes-9", [2.3026, 0.09, np.inf, 0.02], "a sum over all classes"),
    ("recipes-9", [2.3026, 0.81, np.inf, 0.1], "wrong about two classes"),
    ("recipes-9", [2.3026, 0.9, 0.23, 2], "What does it say of the right class"),
    ("recipes-10", lambda p: p.var(axis=0, ddof=1).sum(), "not one less"),
    ("recipes-10", lambda p: p.var(axis=0).mean(), "Add up the classes"),
    ("recipes-10", lambda p: p.std(axis=0).sum(), "not deviations"),
    ("recipes-10", lambda p: p.var(axis=1).sum(), "not over the classes"),
    ("recipes-10", lambda p: p.var(axis=0), "must return one number"),
    ("recipes-10", lambda p: -p.var(axis=0).sum(), "It gains"),
    ("recipes-10", lambda p: ((p - p.mean(0)) ** 2).sum(), "that is their sum"),
    ("recipes-11", [6, 9, 8], "Turned in print"),
    ("recipes-11", [0, 8, 5], "Of your digits one can be told"),
    ("recipes-11", [0, 0, 8], "three different digits"),
    ("recipes-11", [0, 8], "must be a row of three"),
    ("recipes-11", [0, 8, 11], "is no digit"),
    ("recipes-12", SCRATCH, "nets that start from scratch"),
    ("recipes-12", 0.0353, "the other way round"),
    ("recipes-12", 0.0, "the mean difference is too high".capitalize()),
    ("recipes-13", 1 - AREAS, "how often the upright image has more"),
    ("recipes-13", 100 * AREAS, "a percentage"),
    ("recipes-13", [0.5, 0.5, 0.5], "area of the disagreement is too low"),
    ("recipes-14", ["weights", "inputs", "units"], "the reverse order"),
    ("recipes-14", ["inputs", "units", "weights"], "is missed more than the first one"),
    ("recipes-14", ["units", "weights", "inputs"], "The last two are in the wrong ord"),
    ("recipes-14", ["units", "units", "inputs"], "must be named once"),
    ("recipes-14", ["logistic", "weights", "inputs"], "must be one of 'inputs'"),
    ("recipes-14", ["units", "inputs"], "must be a row of three"),
    ("recipes-15", lambda n: 10, "With many classes the limit is too low"),
    ("recipes-15", lambda n: 100, "With few classes the limit is too high"),
    ("recipes-15", np.log, "With few classes the limit is too low"),
    ("recipes-15", lambda n: 10 * n, "With few classes the limit is too high"),
    ("recipes-15", lambda n: np.log(n) > 1, "must return numbers; got bool"),
]
