"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import numpy as np

from companion.activations import SELU_ALPHA, softplus
from companion.recorded import facts_of

BEFORE = facts_of("activations")[
    "dead at the largest rate that works, pixels from 0 to 1"
]


def sign(z):
    return np.where(z > 0, 1, -1).astype(z.dtype)


def changing(z):
    z *= 2
    return softplus(z / 2)


#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "activations-1": 1 / 17,
    "activations-2": (np.abs, sign),
    "activations-3": (0.19617, 2 / 11, 11 / 48),
    "activations-4": 0.26,
    "activations-5": SELU_ALPHA,
    "activations-6": lambda z: np.logaddexp(z, np.zeros((), z.dtype)),
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("activations-1", 17, "That is a count"),
    ("activations-1", 1 / 1079, "share of the images"),
    ("activations-1", 64 / 1079, "is a step too"),
    ("activations-1", 1 / 16, "the images left over"),
    ("activations-1", 0.059, "too high, by a hundredth or less: if it is rounded"),
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
