"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import numpy as np

from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.recorded import facts_of

FACTS = facts_of("self_normalization")
SCALED, SHIFTED, NEITHER = (
    FACTS[f"variance in layer 20, {name}"].value
    for name in ("only scaled", "only shifted", "neither")
)


def percent(n):
    return 100 * (4 / (3 * n) - 4 / (9 * n**2))


#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "self_normalization-1": (20, 10),
    "self_normalization-2": np.array([1.379, 1.794, 0.843], np.float32),
    "self_normalization-3": [0.5, 1.5, 0.733, 0.449],
    "self_normalization-4": np.int64(225),
    "self_normalization-5": (0.6, 0.9),
    "self_normalization-6": 0.89,
    "self_normalization-7": lambda n: (n * 3 * 4 - 4) / (3 * n) ** 2,
    "self_normalization-8": [1.501, 1.61],
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("self_normalization-1", (22, 9.4), "it holds near the fixed point"),
    ("self_normalization-1", (20, 4.08), "a digit is a factor of ten"),
    ("self_normalization-1", (20, -9.396), "the wrong sign"),
    ("self_normalization-1", 20, "must be a pair"),
    ("self_normalization-2", (SELU_ALPHA, SELU_SCALE, 0.8432), "alpha is too high. Th"),
    ("self_normalization-2", (1.379, 1.0358, 0.8432), "variance of the pre-activation"),
    ("self_normalization-2", (1.379, 3.1074, 0.8432), "changes their variance by its"),
    ("self_normalization-2", (1.5, 1.794, 0.8432), "mean of the outputs is negative"),
    ("self_normalization-2", (1.3, 1.794, 0.8432), "mean of the outputs is positive"),
    ("self_normalization-2", (1.379, 1.6, 0.8432), "variance of the outputs is below"),
    ("self_normalization-2", (1.379, 1.794, 0.7826), "own with normalized weights"),
    ("self_normalization-3", [1.5, 0.5, 0.732, 0.4486], "the other way round"),
    ("self_normalization-3", [0.005, 0.005, 0.732, 0.4486], "the variance of a weight"),
    ("self_normalization-3", [0.5, 1.5, 0.4486, 0.732], "variance of the other layers"),
    ("self_normalization-3", [0.5, 1.5, 0.6196, 0.3769], "hand in what the map says"),
    ("self_normalization-4", 113, "There the variance reaches it"),
    ("self_normalization-4", 32, "the factor of He's weights"),
    ("self_normalization-4", 5, "not powers of ten"),
    ("self_normalization-4", 4.8, "not powers of ten"),
    ("self_normalization-5", (SHIFTED, SCALED), "the variance of the other one"),
    ("self_normalization-5", (NEITHER, SHIFTED), "with neither of the two"),
    ("self_normalization-5", (SCALED, 0.7), "its own mean over the images"),
    ("self_normalization-6", 1, "the promise of the map"),
    (
        "self_normalization-6",
        FACTS["variance in layer 50, the same, driven"].value,
        "before the division",
    ),
    ("self_normalization-6", 0.3, "To divide by two"),
    ("self_normalization-7", lambda n: 2 / (3 * n), "along one side"),
    ("self_normalization-7", lambda n: 4 / (3 * n), "corners are counted twice"),
    ("self_normalization-7", lambda n: (4 * n - 4) / n**2, "the pixels at the edge"),
    ("self_normalization-7", lambda n: 1 - n**2 / (n + 2) ** 2, "by fewer fields"),
    ("self_normalization-7", percent, "That is a percentage"),
    ("self_normalization-7", lambda n: 1 / n, "wrong: it is too low"),
    ("self_normalization-7", lambda n: [1 / n, n], "must return one number"),
    ("self_normalization-8", (10**1.486, 1.619), "the factor itself"),
    ("self_normalization-8", (1.486, -1.619), "does the gradient grow or shrink"),
    ("self_normalization-8", (2.972, 1.619), "the square of the norm"),
    ("self_normalization-8", (0, 0), "strict where an activation bends"),
    ("self_normalization-8", (1.4861, 1.4861), "That is the prediction"),
]
