"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import numpy as np

from companion.activations import logistic_grad


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
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("vanishing_gradients-1", 64, "largest slope"),
    ("vanishing_gradients-1", 62.99, "largest slope"),
    ("vanishing_gradients-1", 37.9, "too low. Count the layers"),
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
]
