"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import numpy as np

from companion.recorded import facts_of

FACTS = facts_of("initializers")


def each_width(name):
    return [FACTS[f"{name}, width {width}"].value for width in (50, 100, 200, 400)]


#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "initializers-1": 1,
    "initializers-2": np.array([0.486, 0.000426, 0.879]),
    "initializers-3": [1, 1, 0.107],
    "initializers-4": (500, 39),
    "initializers-5": each_width("mean of the logarithm"),
    "initializers-6": lambda W, x: W / (x @ W).std(),
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("initializers-1", 20, "too high, by orders of magnitude"),
    ("initializers-1", 0, "too low"),
    ("initializers-2", [1, 1, 1], "SiLU is too high, by orders of magnitude"),
    ("initializers-2", [0.4, 0.000426, 0.879], "GELU is too low, by less than half"),
    ("initializers-3", [1, 1, 1], "The product of two layers is not one"),
    ("initializers-3", [1, 4**10, 0.107], "undoes what the one before it did"),
    ("initializers-3", [1, 1, 1.6], "the factor of one layer"),
    ("initializers-4", [503, 66], "tanh takes its share"),
    ("initializers-4", [503, 65.6], "tanh takes its share"),
    ("initializers-4", [1000, 39], "weights is too high"),
    ("initializers-4", 503, "must be a pair; got int"),
    ("initializers-5", each_width("logarithm of the mean"), "logarithm of the mean."),
    ("initializers-5", [0, 0, 0, 0], "at the first width is too high"),
    ("initializers-6", lambda W, x: W / (x @ W).std(axis=0), "one is for all of them"),
    ("initializers-6", lambda W, x: W / (x @ W).var(), "divided by the variance"),
    ("initializers-6", lambda W, x: W / W.std(), "their own standard deviation"),
    ("initializers-6", lambda W, x: W.__itruediv__((x @ W).std()), "return new ones"),
]
