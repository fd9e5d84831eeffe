"""The nets of the page "Signal through depth", predicted and simulated in NumPy."""

import math

import numpy as np

from companion import activations, initializers

#: A grid for integrals over N(0, 1), and the variance of weights times the width.
T = np.linspace(-10, 10, 4001)
DENSITY = np.exp(-(T**2) / 2) / np.exp(-(T**2) / 2).sum()
SCALES = {"he_normal": 2, "lecun_normal": 1, "glorot_normal": 1}


def pair(name):
    """Return an activation and its derivative."""
    if name == "linear":
        return (lambda z: z), np.ones_like
    return getattr(activations, name), getattr(activations, f"{name}_grad")


def line(settings):
    """Predict mean squares from the inputs on, means, chi, and what is left of the
    gradient in layer 1.
    """
    f, slope = pair(settings["activation"])
    n = settings["width"]
    scale = {**SCALES, "standard_normal": n}[settings["initializer"]]
    c = settings["gain"] ** 2 * scale
    squares, means, chis = [settings["inputStd"] ** 2], [], []
    for _ in range(int(settings["depth"])):
        z = math.sqrt(c * squares[-1]) * T
        squares.append(DENSITY @ f(z) ** 2)
        means.append(DENSITY @ f(z))
        chis.append(c * (DENSITY @ slope(z) ** 2))
    left = math.sqrt(math.prod(chis[:-1]))
    return np.array(squares), np.array(means), np.array(chis), left


def net(settings, seed):
    """Simulate: the layers' outputs, the slopes, and what is left of the gradient."""
    f, slope = pair(settings["activation"])
    rng, n = np.random.default_rng(seed), int(settings["width"])
    name, weights, slopes = settings["initializer"], [], []
    h = [settings["inputStd"] * rng.standard_normal((50, n))]
    for _ in range(int(settings["depth"])):
        if name == "standard_normal":
            w = rng.standard_normal((n, n))
        else:
            w = getattr(initializers, name)((n, n), rng=rng)
        weights.append(settings["gain"] * w)
        z = h[-1] @ weights[-1]
        h.append(f(z))
        slopes.append(slope(z))
    delta = rng.standard_normal((50, n))
    top = np.linalg.norm(delta)
    for w, s in zip(weights[:0:-1], slopes[-2::-1], strict=True):
        delta = delta @ w.T * s
    return h, np.array(slopes), np.linalg.norm(delta) / top


def nets(settings, what, seeds=range(30)):
    """Measure one thing in a net of each seed."""
    return np.array([what(*net(settings, seed)) for seed in seeds])


def last(h, slopes, left):
    """Return the mean square at the top."""
    return (h[-1] ** 2).mean()


def gradient(h, slopes, left):
    """Return what is left of the gradient in layer 1."""
    return left


def flat(h, slopes, left):
    """Return the share of outputs of the logistic that are saturated."""
    return (slopes < 0.05 / 4).mean()
