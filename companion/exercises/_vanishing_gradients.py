"""The exercises on vanishing and exploding gradients."""

import numpy as np

from companion import activations
from companion.exercises._answers import Number, array, call, numbers
from companion.exercises._register import exercise
from companion.recorded import facts_of


@exercise("vanishing_gradients-1", "the number of layers")
def _depth(answer):
    def layers(factor):
        return np.ceil(np.log(float(np.finfo(np.float32).tiny)) / np.log(factor))

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
            near=1,
        ),
    )


@exercise("vanishing_gradients-2", "a function of an array of pre-activations")
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
            return
        else:
            yield from array(got, expected, f"The answer, {where},")


@exercise("vanishing_gradients-3", "a function of the number of inputs")
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


@exercise("vanishing_gradients-4", "a function of weights and biases")
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


@exercise("vanishing_gradients-5", "a function of a list of gradients and a limit")
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


@exercise("vanishing_gradients-6", "the size of the weights of the shallower net")
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
