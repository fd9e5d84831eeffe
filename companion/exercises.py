"""Answers to the exercises of the book, checked without showing a solution.

``check("activations-3", answer)`` is about the third exercise of the chapter
``book/activations.ipynb``.  It says whether the answer is right and, if not, what is
wrong: where a function is off, in which direction a number.
"""

from dataclasses import dataclass

import numpy as np

from companion import _checks, activations
from companion._answers import Number, array, call, function, numbers, several
from companion.recorded import facts_of

_CHECKS = {}


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right; true if it is.

    Attributes
    ----------
    name : str
        The exercise.
    problems : tuple of str
        What is wrong, in words; empty if nothing is.
    """

    name: str
    problems: tuple

    def __bool__(self):
        return not self.problems

    def __str__(self):
        if self:
            return f"{self.name}: right."
        return "\n".join([f"{self.name}: not yet.", *(f"- {p}" for p in self.problems)])

    __repr__ = __str__


def check(name, answer):
    """Check the answer to an exercise.

    Parameters
    ----------
    name : str
        The chapter's file and the place of the exercise in it, ``"activations-3"``.
    answer : number, sequence, array, function or a pair of functions
        What the exercise asks for.

    Returns
    -------
    Verdict
        True if the answer is right.  It prints what is wrong, never what is right.

    Raises
    ------
    ValueError
        If no exercise that can be checked has this name.

    Examples
    --------
    >>> check("activations-1", 17)
    activations-1: not yet.
    - The share of the steps is too high. That is a count; a share is at most one.
    >>> bool(check("activations-1", 1 / 17))
    True
    """
    asks, problems = _CHECKS[_checks.one_of("check", "name", name, names())]
    if answer is None:
        return Verdict(name, (f"There is no answer yet. Hand in {asks}.",))
    return Verdict(name, tuple(dict.fromkeys(problems(answer))))


def names():
    """List the exercises that can be checked.

    Examples
    --------
    >>> [name for name in names() if name.startswith("activations")][:2]
    ['activations-1', 'activations-2']
    """
    return list(_CHECKS)


def _exercise(name, asks):
    """Register a generator of problems as the check of an exercise."""

    def register(problems):
        _CHECKS[name] = asks, problems
        return problems

    return register


# --- vanishing and exploding gradients ------------------------------------------------
@_exercise("vanishing_gradients-1", "the number of layers")
def _depth(answer):
    def layers(factor):
        return np.ceil(np.log(np.finfo(np.float32).tiny) / np.log(factor))

    facts = facts_of("vanishing_gradients")
    glorot = facts["factor per layer, logistic, Glorot"].value
    bound = "That is for the largest slope; take the factor that was measured."
    sums = "Count the layers, not the powers of ten: divide by the factor's logarithm."
    yield from numbers(
        answer,
        Number(
            "The number of layers",
            layers(glorot),
            beside=1,  # the last layer may be counted or not
            within=0,
            mistakes={bound: layers(0.25), sums: 38},
        ),
    )


@_exercise("vanishing_gradients-2", "a function of an array of pre-activations")
def _best_case(answer):
    def root(z):
        return np.sqrt(np.mean(activations.logistic_grad(z) ** 2))

    z = np.random.default_rng(0).standard_normal((20, 5))
    cases = {
        "where all of them are zero": np.zeros((3, 4)),
        "where they are small": 0.1 * z,
        "where they vary": 2 * z,
        "where half of them are large and negative": np.array([-1000.0, 0.5]),
        "where half of them are large and positive": np.array([1000.0, 0.5]),
    }
    for where, z in cases.items():
        got, problem = call(answer, z.copy())
        if problem is None and got.size != 1:
            problem = "The answer must return one number for all pre-activations."
        if problem:
            yield problem
            return
        slopes = activations.logistic_grad(z)
        expected, got = root(z), float(got.squeeze())
        if np.isclose(got, expected, rtol=1e-6):
            continue
        if np.isclose(got, expected**2, rtol=1e-6):
            yield "The answer returns the factor of the squared gradient: its root?"
            return
        if np.isclose(got, slopes.mean(), rtol=1e-6):
            yield (
                f"The answer is too low {where}: it takes the mean of the slopes, "
                "not of their squares."
            )
        else:
            yield from array(got, expected, f"The answer, {where},")


@_exercise("vanishing_gradients-3", "a function of the number of inputs")
def _relu_weights(answer):
    for n in (50, 200, 800):
        got, problem = call(answer, n)
        if problem is None and got.size != 1:
            problem = "The answer must return one number."
        if problem:
            yield problem
            return
        expected, got = np.sqrt(2 / n), float(got.squeeze())
        if np.isclose(got, expected, rtol=1e-6):
            continue
        if np.isclose(got, expected**2, rtol=1e-6):
            yield "That is the variance of the weights: their standard deviation?"
        elif np.isclose(got, expected / np.sqrt(2), rtol=1e-6):
            yield "The weights are too small: how many of the units pass a gradient?"
        else:
            yield from array(got, expected, "The standard deviation")
        return


@_exercise("vanishing_gradients-4", "a function of weights and biases")
def _disguise(answer):
    rng = np.random.default_rng(0)
    W, b = rng.standard_normal((4, 3)), rng.standard_normal(3)
    got, problem = call(answer, W.copy(), b.copy(), parts=2)
    if problem:
        yield problem
        return
    weights, biases = got
    if weights.shape == W.shape and np.allclose(weights, W / 2):
        yield (
            "The weights are those of a layer whose inputs do not come from logistic "
            "units: what becomes of the half before the tanh?"
        )
    else:
        yield from array(weights, W / 4, "The array of weights")
    if biases.shape == b.shape and np.allclose(biases, b / 2):
        yield "The biases forget the mean that the layer below adds."
    elif biases.shape == b.shape and np.allclose(biases, b + W.sum(axis=0) / 2):
        yield "The biases must be halved too: the tanh is that of half of z."
    else:
        yield from array(biases, (b + W.sum(axis=0) / 2) / 2, "The array of biases")


@_exercise("vanishing_gradients-5", "a function of a list of gradients and a limit")
def _clipping(answer):
    rng = np.random.default_rng(0)
    large = [rng.standard_normal((4, 3)), 5 * rng.standard_normal(3)]
    norm = np.sqrt(sum((g**2).sum() for g in large))
    cases = {
        "above the limit": (large, norm / 3),
        "below the limit": (large, 2 * norm),
        "of zeros": ([np.zeros((4, 3)), np.zeros(3)], 1.0),
    }
    for which, (gradients, limit) in cases.items():
        given = [g.copy() for g in gradients]
        got, problem = call(answer, given, limit, parts=2)
        if problem:
            yield problem
            return
        if not all(map(np.array_equal, given, gradients)):
            yield "The answer changes the gradients that it is given."
        if which == "above the limit":
            own = [min(1, limit / np.linalg.norm(g)) * g for g in gradients]
            if all(map(_equal, got, [np.clip(g, -limit, limit) for g in gradients])):
                yield "Each number is cut on its own: that changes the direction."
                continue
            if all(map(_equal, got, own)):
                yield "Each layer has a norm of its own: take that of all together."
                continue
        factor = min(1, limit / norm) if which != "of zeros" else 1
        for g, expected in zip(got, gradients, strict=True):
            yield from array(
                g, factor * expected, f"The answer, for gradients {which},"
            )


def _equal(a, b):
    return a.shape == b.shape and np.allclose(a, b)


@_exercise("vanishing_gradients-6", "the size of the weights of the shallower net")
def _edge(answer):
    facts = facts_of("vanishing_gradients")
    ten, twenty = (
        facts[f"size of the weights at the edge, depth {depth}"].value
        for depth in (10, 20)
    )
    deeper = "That is the edge of a net of twice the depth."
    yield from numbers(
        answer,
        Number(
            "The size of the weights",
            ten,
            within=0.02,  # other seeds have another edge
            mistakes={deeper: twenty},
        ),
    )


# --- initialization -------------------------------------------------------------------
@_exercise("initializers-1", "the number of different columns")
def _same(answer):
    yield from numbers(answer, Number("The number of different columns", 1))


@_exercise("initializers-2", "the three values of q: GELU, SiLU, Mish")
def _gelu(answer):
    facts = facts_of("initializers")
    yield from numbers(
        answer,
        *(
            Number(f"q after fifty layers of {name}", fact.value, within=0.01)
            for name, fact in (
                ("GELU", facts["q after 50 layers, gelu"]),
                ("SiLU", facts["q after 50 layers, silu"]),
                ("Mish", facts["q after 50 layers, mish"]),
            )
        ),
    )


@_exercise("initializers-3", "the three factors: fan_in, fan_out, fan_avg")
def _fans(answer):
    each = "That is the factor of one layer."
    cancel = "Every other layer undoes what the one before it did."
    halves = "The product of two layers is not one: multiply five such pairs."
    close = 0.05  # a measurement over 20 seeds is as close
    yield from numbers(
        answer,
        Number("The factor with fan_in", 1, close),
        Number("The factor with fan_out", 1, close, mistakes={cancel: 4.0**10}),
        Number(
            "The factor with fan_avg",
            (16 / 25) ** 5,
            close,
            mistakes={
                each: 8 / 5,
                halves: 1.0,
                "That is the factor of two layers.": 16 / 25,
            },
        ),
    )


@_exercise("initializers-4", "the two numbers of layers, that of the smaller c last")
def _tanh(answer):
    t = np.linspace(-8, 8, 2001)
    density = np.exp(-(t**2) / 2)
    density /= density.sum()

    def layers(c, q=1.0):
        count = 0
        while q >= 1e-3:
            q, count = density @ np.tanh(np.sqrt(c * q) * t) ** 2, count + 1
        return count

    alone = "From the start on tanh takes its share too, beside c."
    yield from numbers(
        answer,
        # The approximation by 1/(2l) is as close.
        Number("The number of layers with Glorot's weights", layers(1.0), 0.01),
        Number(
            "The number of layers with the smaller c",
            layers(0.9),
            0,
            beside=1,
            mistakes={alone: np.ceil(np.log(1e-3) / np.log(0.9))},
        ),
    )


@_exercise("initializers-5", "the mean of the logarithm at each of the four widths")
def _typical(answer):
    facts = facts_of("initializers")
    wanted = []
    for width in (50, 100, 200, 400):
        fact = facts[f"mean of the logarithm, width {width}"]
        other = facts[f"logarithm of the mean, width {width}"].value
        hint = "That is the logarithm of the mean."
        wanted.append(
            Number(
                f"The mean of the logarithm at the {_WIDTHS[width]} width",
                fact.value,
                0,
                beside=(fact.high - fact.low) / 2,  # other images, other seeds
                mistakes={hint: other},
            )
        )
    yield from numbers(answer, *wanted)


_WIDTHS = {50: "first", 100: "second", 200: "third", 400: "fourth"}


@_exercise("initializers-6", "a function of weights and inputs")
def _data(answer):
    rng = np.random.default_rng(0)
    W, x = 3 * rng.standard_normal((6, 4)), rng.standard_normal((50, 6)) + 1
    given = W.copy()
    got, problem = call(answer, given, x.copy())
    if problem:
        yield problem
        return
    if not np.array_equal(given, W):
        yield "The answer changes the weights that it is given: return new ones."
    z = x @ W
    expected = W / z.std()
    if got.shape != W.shape:
        yield "The array of weights must have another shape."
    elif np.allclose(got, W / z.std(axis=0)):
        yield "Each unit is divided by a number of its own: one is for all of them."
    elif np.allclose(got, W / z.var()):
        yield "The weights are divided by the variance of z."
    elif np.allclose(got, W / W.std()):
        yield "The weights are divided by their own standard deviation, not that of z."
    else:
        yield from array(got, expected, "The array of weights")


# --- nonsaturating activations --------------------------------------------------------
@_exercise("activations-1", "the share of the steps")
def _nearly_dead(answer):
    steps = np.ceil(1079 / 64)
    yield from numbers(
        answer,
        Number(
            "The share of the steps",
            1 / steps,
            mistakes={
                "That is a count; a share is at most one.": steps,
                "That is a share of the images, not of the steps.": 1 / 1079,
                "The last minibatch, which is smaller, is a step too.": 64 / 1079,
            },
        ),
    )


@_exercise("activations-2", "a pair of functions: the unit and its derivative")
def _any_leak(answer):
    parts, problem = several(answer, 2)
    if problem:
        yield problem
        return
    unit, slope = parts
    yield from function(unit, np.abs, what="The unit")
    yield from function(
        slope, lambda z: np.where(z > 0, 1.0, -1.0), what="The derivative"
    )


@_exercise("activations-3", "three slopes: training, testing, PyTorch")
def _three_means(answer):
    slope = "That is the slope at the mean of a, not the mean of the slopes."
    divisor = "That is a mean of the divisor: the slope is what it divides by."
    yield from numbers(
        answer,
        Number(
            "The mean slope in training",
            np.log(8 / 3) / 5,
            mistakes={slope: 2 / 11, divisor: 11 / 2},
        ),
        Number("The slope in testing", 2 / 11, mistakes={divisor: 11 / 2}),
        Number("The mean slope in PyTorch", (1 / 8 + 1 / 3) / 2),
    )


@_exercise("activations-4", "the share of dead units, the mean over the seeds")
def _shift(answer):
    facts = facts_of("activations")
    fact = facts["dead at that rate, centered"]
    before = facts["dead at the largest rate that works, pixels from 0 to 1"].value
    each = facts["dead at that rate, each pixel centered"].value
    yield from numbers(
        answer,
        Number(
            "The share of dead units",
            fact.value,
            0.2,  # as chaotic as the record allows, and as uncertain as the seeds
            beside=(fact.high - fact.low) / 2,
            mistakes={
                "That is the share before the shift.": before,
                "That is the share with a shift for each pixel.": each,
            },
        ),
    )


@_exercise("activations-5", "the value of alpha")
def _mean_zero(answer):
    yield from numbers(
        answer,
        Number(
            "The value of alpha",
            activations.SELU_ALPHA,
            high="With it the mean of the outputs is negative.",
            low="With it the mean of the outputs is positive.",
        ),
    )


@_exercise("activations-6", "a function of an array")
def _thirteenth(answer):
    # Far to the left the function is small, not 0: relative errors alone count.
    yield from function(answer, activations.softplus, beside=0)
