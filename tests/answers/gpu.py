"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import numpy as np

from companion.activations import SELU_ALPHA, SELU_SCALE, selu_grad

RIDGE = 989e12 / 3350e9
LOWEST = SELU_ALPHA * SELU_SCALE


def slope(y):
    return np.where(y > 0, SELU_SCALE, y + LOWEST)


def combined(one, other, far=1, weigh=lambda m, n: m * n / (m + n)):
    (m, mean, s), (n, mean2, s2) = one, other
    center = (m * mean + n * mean2) / (m + n)
    return m + n, center, s + s2 + far * (mean - mean2) ** 2 * weigh(m, n)


def changed(**parts):
    """Return a function that combines two parts with one of the results changed."""

    def combine(one, other):
        m, mean, squares = combined(one, other)
        given = {"m": m, "mean": mean, "squares": squares}
        given |= {name: part(one, other, squares) for name, part in parts.items()}
        return tuple(given.values())

    return combine


def of_squares(one, other, _):
    """Return the sum of squares less the square of the mean."""
    total = sum(s + m * mean**2 for m, mean, s in (one, other))
    m, mean, _ = combined(one, other)
    return total - m * mean**2


def drop(x, seed, dy, *, rate=0.1, forward=1 / 0.9, backward=1 / 0.9, later=0):
    """Return output and gradient of dropout; each of the options is a mistake."""
    kept = np.random.default_rng(seed).random(x.shape) >= rate
    again = np.random.default_rng(seed + later).random(x.shape) >= rate
    return kept * x * forward, again * dy * backward


def dropping(**mistakes):
    return lambda x, seed, dy: drop(x, seed, dy, **mistakes)


RNG = np.random.default_rng(0)

#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "gpu-1": (1, 10.017, 2.008),
    "gpu-2": [698, np.inf],
    "gpu-3": (slope, [-1.5, -0.24]),
    "gpu-4": np.float32([0.8996, 0.6535]),
    "gpu-5": combined,
    "gpu-6": (lambda *a: tuple(np.float32(part) for part in drop(*a)), 0.0),
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("gpu-1", [2, 10, 2], "So often batch normalization reads"),
    ("gpu-1", [1, 4, 2], "count the way back too"),
    ("gpu-1", [1, 5, 1], "kept is too low. That is one of the two layers"),
    ("gpu-1", [1, 20, 2], "passes is too high"),
    ("gpu-2", [RIDGE, RIDGE], "the outputs are moved too"),
    ("gpu-2", [np.inf, np.inf], "takes two bytes, and each product comes with a sum"),
    ("gpu-2", [RIDGE * 1024 / (1024 - RIDGE), np.inf], "both are moved"),
    ("gpu-2", [698, -226.2], "What does the intensity come to"),
    ("gpu-2", [np.nan, 256], "wide layer is nan"),
    ("gpu-3", (selu_grad, [-1.5, -0.24]), "it is the output"),
    ("gpu-3", (lambda y: y + LOWEST, [-1.5, -0.24]), "positive output: it is too high"),
    ("gpu-3", (lambda y: np.where(y >= 0, SELU_SCALE, y + LOWEST), [0, 1]), "wrong at"),
    ("gpu-3", (lambda y: np.where(y > 0, 1, y + LOWEST), [-1, 1]), "different outputs"),
    ("gpu-3", (slope, [-0.76, -0.75]), "hardly different"),
    ("gpu-3", (slope, -0.76), "must be a pair"),
    ("gpu-3", slope, "must be a pair"),
    ("gpu-4", [0.6561, 0.6561], "are not independent"),
    ("gpu-4", [0.9, 0.9], "That is the share in one layer"),
    ("gpu-4", [0.6532, 0.9011], "are not independent"),
    ("gpu-4", [0.1, 1e-4], "dropped in all of them"),
    (
        "gpu-5",
        changed(mean=lambda one, other, _: (one[1] + other[1]) / 2),
        "weighs both parts alike",
    ),
    ("gpu-5", lambda *a: combined(*a, far=0), "the means of the parts are apart"),
    ("gpu-5", lambda *a: combined(*a, weigh=lambda m, n: 1), "unweighted"),
    ("gpu-5", lambda *a: combined(*a, weigh=lambda m, n: m * n), "by too much"),
    (
        "gpu-5",
        changed(squares=lambda one, other, s: s / (one[0] + other[0])),
        "must be a sum, not a variance",
    ),
    ("gpu-5", changed(squares=of_squares), "loses its digits"),
    ("gpu-5", changed(m=lambda *_: 1), "The count, for parts of equal size"),
    ("gpu-5", lambda *a: combined(*a)[1], "must return three arrays"),
    ("gpu-6", (dropping(rate=0.9, forward=10, backward=10), 0), "Too few units"),
    ("gpu-6", (dropping(forward=1), 0), "output is not divided by the probability"),
    ("gpu-6", (dropping(backward=1), 0), "gradient is not divided by the probability"),
    ("gpu-6", (dropping(later=1), 0), "is it the same mask?"),
    ("gpu-6", (lambda x, seed, dy: (drop(x, seed, dy)[0], dy), 0), "mask is forgotten"),
    (
        "gpu-6",
        (lambda x, seed, dy: drop(x, 3, dy), 0),
        "another seed the function",
    ),
    (
        "gpu-6",
        (lambda x, seed, dy: drop(x, int(RNG.integers(99)), dy), 0),
        "same seed the function gives another output",
    ),
    ("gpu-6", (lambda x, seed, dy: (x, dy), 0), "No unit is dropped"),
    ("gpu-6", (dropping(rate=0.05), 0), "Too many units are kept"),
    ("gpu-6", (drop, 1), "Which array does the backward pass still need?"),
    ("gpu-6", (lambda x, seed, dy: drop(x, seed, dy)[0], 0), "must return a pair"),
]
