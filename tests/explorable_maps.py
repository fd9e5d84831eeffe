"""The map of the page "The self-normalizing map", as `companion` computes it."""

import inspect
import math
from functools import partial

import numpy as np
import pictures
from explorable_texts import constant, setting, start_of

from companion import activations
from companion.dropout import alpha_dropout_affine, dropout
from companion.proofs import theorem_1
from companion.self_normalization import fixed_point, iterate, jacobian, moments

PAGE = "self_normalizing_map"
of_button = partial(setting, PAGE)
SELU = (activations.SELU_ALPHA, activations.SELU_SCALE)


def of(settings):
    """Return the arguments of the map of a page's settings."""
    names = {"omega": "weight_sum", "tau": "weight_sumsq"}
    names |= {"alpha": "alpha", "scale": "scale"}
    return {name: settings[one] for one, name in names.items()}


def moved(omega):
    """Return how far a layer takes mean 0 and variance 1, at most."""
    after = moments(0.0, 1.0, **of(of_button(3, omega=omega)))
    return np.abs(np.subtract(after, (0, 1))).max()


def path(settings):
    start, layers = (settings["mean"], settings["variance"]), int(settings["layers"])
    return np.transpose(iterate(*start, layers, **of(settings)))


def star(settings):
    return fixed_point(**of(settings))


def radius(settings):
    """Return the size of the largest eigenvalue at mean 0 and variance 1."""
    return np.abs(np.linalg.eigvals(jacobian(0.0, 1.0, **of(settings)))).max()


def everywhere():
    """Return how far from the star the paths from the whole plane end, at most."""
    grid = np.meshgrid(np.linspace(-2, 2, 41), np.linspace(0.02, 4, 41))
    settings = of_button(1)
    ends = iterate(*grid, int(settings["layers"]), **of(settings))
    return max(np.abs(ends[0][-1]).max(), np.abs(ends[1][-1] - 1).max())


def layers_until(variance):
    """Count the layers until the variance is within a twentieth of 1."""
    return np.count_nonzero(abs(path(of_button(1, variance=variance))[:, 1] - 1) > 0.05)


def nearest_lambda():
    """Return the place of the slider of lambda that is nearest to 1.27."""
    places = start_of(PAGE)["scale"] + 0.01 * np.arange(-50, 71)
    return places[np.abs(places - 1.27).argmin()]


def settled(rate, random=False):
    """Return the variance where layers and plain dropout settle, or where they run to.

    With random weights the sum is not 0, but has the variance of the weights.
    """
    arguments, mean, variance = of(of_button(5)), 0.0, 1.0
    for _ in range(3000):
        below = (0.0, variance + mean**2) if random else (mean, variance)
        mean, variance = moments(*below, **arguments)
        variance = (variance + mean**2) / (1 - rate) - mean**2
        if variance > 1e9:
            break
    return variance


def alpha_dropout(rate):
    """Return what alpha dropout makes of mean 0 and variance 1, and its slope."""
    a, b = alpha_dropout_affine(rate)
    low = -math.prod(SELU)
    q = 1 - rate
    return a * rate * low + b, a**2 * q * (1 + rate * low**2), a**2 * q


RATES = [rate / 100 for rate in range(1, 91)]


def drops(moment):
    """Return how many standard errors a moment behind dropout is from what is said."""
    x = 1 + np.random.default_rng(0).standard_normal(400_000)
    rate = of_button(5)["rate"]
    y = dropout(x, rate, rng=np.random.default_rng(1))
    told = {1: 1, 2: 2 / (1 - rate)}[moment]
    return (np.mean(y**moment) - told) / (np.std(y**moment) / math.sqrt(len(y)))


def towards():
    """Return the smallest cosine of a drawn arrow and its way to the star."""
    arrows = pictures.self_normalizing_map().axes[0].collections[0]
    steps, way = np.column_stack([arrows.U, arrows.V]), [0, 1] - arrows.XY
    lengths = np.linalg.norm(steps, axis=1) * np.linalg.norm(way, axis=1)
    return ((steps * way).sum(axis=1) / lengths).min()


def drawn_path():
    """Return how far the picture's dots are from the star, and how long its steps."""
    path = pictures.self_normalizing_map().axes[0].lines[0]
    points = np.transpose(path.get_data())
    steps = np.diff(points, axis=0)
    return np.linalg.norm(points - [0, 1], axis=1), np.linalg.norm(steps, axis=1)


def starts():
    """Return what the still picture shows, and what the page starts from."""
    picture = inspect.signature(pictures.self_normalizing_map).parameters
    start = start_of(PAGE)
    drawn_at = [picture[name].default for name in ("start", "omega", "tau")]
    return drawn_at, [(start["mean"], start["variance"]), start["omega"], start["tau"]]


def of_theorem(name):
    return inspect.signature(theorem_1).parameters[name].default


def frame_is_that_of_the_theorem():
    mu, nu = of_theorem("mu"), of_theorem("nu")
    shown = constant("map_charts", r"THEOREM_1 = (\[.*?\])")
    return shown == [-mu, mu, *nu]
