"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import numpy as np

from companion.normalization import fold_batch_norm
from companion.recorded import facts_of

FACTS = facts_of("normalization")
BEFORE = FACTS["accuracy, another camera"].value
REPAIRED = FACTS["accuracy, another camera, repaired"].value

X_HAT, DELTA = np.array([-1.0, -1, 1, 1]), np.array([1.0, 0, 0, 0])
Y, GAMMA_BETA, DX = [-2, -2, 4, 4], (-1, 1), [1.5, -1.5, 0, 0]


def combined(m1, mu1, v1, m2, mu2, v2):
    m = m1 + m2
    mean = (m1 * mu1 + m2 * mu2) / m
    return [mean, (m1 * (v1 + mu1**2) + m2 * (v2 + mu2**2)) / m - mean**2]


def variance(of):
    """Return a function with the right mean and another variance."""
    return lambda *parts: (combined(*parts)[0], of(*parts))


def within(m1, mu1, v1, m2, mu2, v2):
    return (m1 * v1 + m2 * v2) / (m1 + m2)


def scaled(norm):
    s = norm.gamma / np.sqrt(norm.running_var + norm.eps)
    return s, norm.beta - s * norm.running_mean


def folded(W, b, norm):
    s, t = scaled(norm)
    return np.diag(s) @ W, b + t @ W


def weights(of):
    """Return a function with the right biases and other weights."""
    return lambda W, b, norm: (of(W, norm), folded(W, b, norm)[1])


def biases(of):
    """Return a function with the right weights and other biases."""
    return lambda W, b, norm: (folded(W, b, norm)[0], of(W, b, norm))


def in_place(W, b, norm):
    W[:], b[:] = folded(W, b, norm)
    return W, b


def after(W, g, eta, decay):
    return ((W - eta * decay * W) ** 2 + (eta * g) ** 2) ** 0.5


#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "normalization-1": (np.array([Y]).T, GAMMA_BETA, np.array(DX, np.float32)),
    "normalization-2": lambda var, eps: (1 - var / (var + eps)) / np.sqrt(var + eps),
    "normalization-3": (-3e-17, 64),
    "normalization-4": combined,
    "normalization-5": [43.7, 459, 3, 28.7],
    "normalization-6": folded,
    "normalization-7": (0.5, 0.97),
    "normalization-8": after,
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("normalization-1", (X_HAT, GAMMA_BETA, DX), "need gamma and beta"),
    ("normalization-1", (3 * X_HAT, GAMMA_BETA, DX), "need beta too"),
    ("normalization-1", (X_HAT + 3, GAMMA_BETA, DX), "outputs gamma and beta are the"),
    ("normalization-1", (X_HAT * 6.75**0.5 + 1, GAMMA_BETA, DX), "not by one less"),
    ("normalization-1", (Y, (1, -1), DX), "gradients of gamma and beta are the wrong"),
    ("normalization-1", (Y, (-2, 1), DX), "not the outputs"),
    ("normalization-1", (Y, (0, 1), DX), "not the inputs"),
    ("normalization-1", (Y, (-0.25, 0.25), DX), "are sums, not means"),
    ("normalization-1", (Y, GAMMA_BETA, 3 * DELTA), "Mean and variance depend on"),
    ("normalization-1", (Y, GAMMA_BETA, [0.5, -0.5, 0, 0]), "inputs lack gamma"),
    ("normalization-1", (Y, GAMMA_BETA, [2.25, -0.75, 0.75, 0.75]), "through the mean"),
    (
        "normalization-1",
        (Y, GAMMA_BETA, [2.25, -0.75, -0.75, -0.75]),
        "The path through the variance is missing",
    ),
    ("normalization-1", (Y, GAMMA_BETA, [-3, -6, 0, 0]), "hold means, not sums"),
    ("normalization-1", (Y, GAMMA_BETA, [1.5, -1.5]), "must have another shape"),
    ("normalization-2", lambda var, eps: 0, "zero without epsilon only"),
    ("normalization-2", lambda var, eps: (var + eps) ** -0.5, "depend on the inputs"),
    (
        "normalization-2",
        lambda var, eps: eps / (var + eps),
        "That is the share that is left",
    ),
    ("normalization-2", lambda var, eps: eps / var, "That is nearly the share"),
    ("normalization-2", lambda var, eps: eps / var**1.5, "if epsilon is small"),
    ("normalization-2", lambda x, dy, eps: 0, "raises TypeError"),
    ("normalization-3", (1, 64), "what does it change?"),
    ("normalization-3", (0, 128), "has a bias of its own"),
    ("normalization-3", (0, 576), "has a bias of its own"),
    ("normalization-4", variance(within), "lacks what lies between the parts."),
    (
        "normalization-4",
        variance(lambda m1, mu1, v1, m2, mu2, v2: (v1 + v2) / 2),
        "between the parts, and their sizes",
    ),
    (
        "normalization-4",
        lambda m1, mu1, v1, m2, mu2, v2: (
            (mu1 + mu2) / 2,
            (v1 + v2) / 2 + (mu1 - mu2) ** 2 / 4,
        ),
        "The means count alike",
    ),
    (
        "normalization-4",
        variance(lambda m1, mu1, v1, m2, mu2, v2: (v1 + v2) / 2 + (mu1 - mu2) ** 2 / 4),
        "both parts count alike",
    ),
    (
        "normalization-4",
        variance(lambda *p: within(*p) + p[0] * p[3] * (p[1] - p[4]) ** 2 / 64),
        "grows with their sizes",
    ),
    (
        "normalization-4",
        variance(lambda *p: within(*p) + (p[1] - p[4]) ** 2 / 4),
        "takes the sizes of both",
    ),
    (
        "normalization-4",
        variance(lambda *p: combined(*p)[1] * 64 / 63),
        "by one less than the number",
    ),
    ("normalization-4", variance(lambda *p: combined(*p)[1] ** 0.5), "the deviation"),
    ("normalization-4", within, "must return a pair of arrays"),
    ("normalization-5", [10, 459, 3, 29], "a third is left"),
    ("normalization-5", [43, 458, 3, 29], "slightly more than that is left"),
    ("normalization-5", [2, 459, 3, 29], "the share of what is new"),
    ("normalization-5", [22, 459, 3, 29], "a tenth is left"),
    ("normalization-5", [44, 459, 44, 459], "That is how many steps it takes"),
    ("normalization-5", [44, 459, 4, 29], "how many minibatches has it?"),
    ("normalization-6", fold_batch_norm, "The columns are scaled"),
    ("normalization-6", fold_batch_norm, "of a layer before the normalization"),
    (
        "normalization-6",
        weights(
            lambda W, norm: (norm.gamma / np.sqrt(norm.running_var))[:, None] * W,
        ),
        "Epsilon is missing",
    ),
    (
        "normalization-6",
        weights(
            lambda W, norm: (norm.gamma / (norm.running_var + norm.eps))[:, None] * W
        ),
        "by the variance, not by its root",
    ),
    (
        "normalization-6",
        weights(lambda W, norm: W / np.sqrt(norm.running_var + norm.eps)[:, None]),
        "The weights lack gamma",
    ),
    (
        "normalization-6",
        weights(lambda W, norm: W),
        "weights are those of the layer as",
    ),
    (
        "normalization-6",
        biases(lambda W, b, norm: b),
        "biases are those of the layer as",
    ),
    (
        "normalization-6",
        biases(lambda W, b, norm: scaled(norm)[1] @ W),
        "lack those of the layer as it was",
    ),
    ("normalization-6", biases(lambda W, b, norm: b + norm.beta @ W), "running mean."),
    (
        "normalization-6",
        biases(lambda W, b, norm: b - (scaled(norm)[0] * norm.running_mean) @ W),
        "The biases lack beta",
    ),
    (
        "normalization-6",
        biases(lambda W, b, norm: b + (norm.beta - norm.running_mean) @ W),
        "of the running mean is not scaled",
    ),
    (
        "normalization-6",
        biases(lambda W, b, norm: b + scaled(norm)[1] @ folded(W, b, norm)[0]),
        "is scaled twice",
    ),
    (
        "normalization-6",
        biases(lambda W, b, norm: b + scaled(norm)[1]),
        "has to pass through the weights",
    ),
    ("normalization-6", in_place, "return new arrays"),
    ("normalization-7", (100 * BEFORE, 97), "before the repair is too high. That is a"),
    ("normalization-7", (REPAIRED, BEFORE), "the accuracy after the repair."),
    ("normalization-7", (REPAIRED, BEFORE), "the accuracy before the repair."),
    ("normalization-7", (0.96, REPAIRED), "those of the new camera?"),
    ("normalization-7", (BEFORE, 0.7), "those of the old camera still?"),
    ("normalization-8", lambda W, g, eta, decay: np.hypot(W, eta * g), "do not decay"),
    (
        "normalization-8",
        lambda W, g, eta, decay: W - eta * (g + decay * W),
        "it does not shorten the weights",
    ),
    (
        "normalization-8",
        lambda W, g, eta, decay: W + eta * (g - decay * W),
        "the lengths do not add",
    ),
    ("normalization-8", lambda W, g, eta, decay: W - eta * decay * W, "all the same"),
    (
        "normalization-8",
        lambda W, g, eta, decay: np.hypot((1 - decay) * W, eta * g),
        "the rate multiplies it too",
    ),
    (
        "normalization-8",
        lambda W, g, e, decay: after(W, g / e, e, decay),
        "gradient to",
    ),
    ("normalization-8", lambda W, g, e, decay: after(W, g, e, 2 * decay), "not twice"),
    ("normalization-8", lambda W, g, e, decay: after(W, g, e, -decay), "not longer"),
    ("normalization-8", lambda *given: after(*given) ** 2, "the square of the length"),
]
