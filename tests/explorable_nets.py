"""The nets of the page "Signal through depth", predicted, simulated and drawn."""

import inspect
import math
from functools import cache, partial

import numpy as np
import pictures
from explorable_texts import setting, start_of

from companion import activations, initializers

PAGE = "signal_through_depth"
of_button = partial(setting, PAGE)
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


def alikeness():
    """Return how far a layer's mean or deviation is from that below, at most."""
    worst = 0
    for changes in LOGISTIC.values():
        h = net(of_button(1, **changes), 0)[0][2:]
        told = np.array([(one.mean(), one.std()) for one in h])
        worst = max(worst, np.abs(np.diff(told, axis=0)).max())
    return worst


LOGISTIC = {"as set": {}, "gain": {"gain": 4}, "N": {"initializer": "standard_normal"}}


def relu_factors(n=20):
    """Draw what 50 ReLU layers multiply the mean square of one input by, in many nets.

    The law of a factor is the same for all inputs: a direction does not matter.
    """
    z = math.sqrt(2) * np.random.default_rng(0).standard_normal((50, 2000, n))
    return (np.maximum(z, 0) ** 2).mean(axis=2)


def off_average(factors):
    """Return how many standard errors a mean is from 1."""
    factors = np.ravel(factors)
    return (factors.mean() - 1) / (factors.std() / math.sqrt(len(factors)))


def strays(**changes):
    """Return how the logarithm of the mean square scatters at the top."""
    return np.log(nets(of_button(2, **changes), last, range(100))).std()


def tanh(steps, depth):
    """Predict for a gain so many steps of its slider above 1."""
    return line(of_button(3, gain=2 ** (0.05 * steps), depth=depth))


def selu(n=30, gain=1, std=3):
    """Return mean and variance of layer n, and chi."""
    squares, means, chis, _ = line(of_button(4, gain=gain, inputStd=std, depth=n))
    return means[-1], squares[-1] - means[-1] ** 2, chis[-1]


def selu_off(h, slopes, left):
    """Return how far mean and variance of layer 20 are from 0 and 1."""
    return max(abs(h[20].mean()), abs(h[20].var() - 1))


def flatness(settings):
    """Return how far mean squares are from that of the inputs, at most."""
    h = net(settings, 0)[0]
    return max(abs((one**2).mean() / (h[0] ** 2).mean() - 1) for one in h)


@cache
def drawn(panel):
    """Return the lines of a panel of the still picture: predicted before simulated."""
    axes = pictures.signal_through_depth().axes[panel]
    return [np.array(one.get_ydata()) for one in axes.lines]


def narrowing():
    """Return how wide the band of the still picture is at its end, over its start."""
    low, _, high = drawn(0)
    return (high - low)[-1] / (high - low)[0]


def starts():
    """Return what the still picture shows, and what the page starts from."""
    picture = inspect.signature(pictures.signal_through_depth).parameters
    start = start_of(PAGE)
    drawn_at = [picture[name].default for name in ("depth", "width")]
    names = ("depth", "width", "activation", "initializer", "gain")
    return drawn_at, [start[name] for name in names]


def same_weights():
    """Compare LeCun's and Glorot's weights of one seed, in a square layer."""
    draws = (initializers.lecun_normal, initializers.glorot_normal)
    lecun, glorot = (draw((20, 20), rng=np.random.default_rng(0)) for draw in draws)
    return np.abs(lecun - glorot).max()


def gone_together():
    """Correlate what becomes of the signal and of the gradient, in many nets."""
    measured = [nets(of_button(2), what) for what in (last, gradient)]
    return np.corrcoef(np.log(measured))[0, 1]


def slowing():
    """Return by how much a layer's factors at gain 1 exceed those of the one below."""
    squares, _, chis, _ = tanh(0, 200)
    return min(np.diff(squares[1:] / squares[:-1]).min(), np.diff(chis).min())


def back_in_order():
    """Return how far mean and variance of layer 20 are from 0 and 1, as predicted."""
    found = np.array([selu(20, std=std)[:2] for std in (3, 0.1)])
    return np.abs(found - (0, 1)).max()
