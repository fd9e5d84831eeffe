"""The exercises on self-normalization."""

import numpy as np

from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.exercises._answers import PERCENT, Number, formula, measured, numbers
from companion.exercises._register import exercise
from companion.recorded import facts_of
from companion.self_normalization import constants, iterate, jacobian, moments


def _slope(**layer):
    return np.abs(np.linalg.eigvals(jacobian(0.0, 1.0, **layer))).max()


@exercise("self_normalization-1", "the number of layers, and that for each digit")
def _repair(answer):
    _, variances = iterate(0.0, 3.0, 50)
    layers = np.flatnonzero(np.abs(variances - 1) < 0.01)[0]
    slope = _slope()
    alone = (
        "That is what the Jacobian alone promises, but it holds near the fixed point: "
        "apply the map itself."
    )
    natural = "That is for a factor e: a digit is a factor of ten."
    yield from numbers(
        answer,
        Number(
            "The number of layers",
            layers,
            within=0,
            beside=1,  # the input may be counted or not
            mistakes={alone: np.ceil(np.log(0.01 / 2) / np.log(slope))},
            near=1,
        ),
        Number(
            "The number of layers for each digit",
            np.log(10) / -np.log(slope),
            within=0.07,  # it may be rounded, up or down
            mistakes={
                natural: -1 / np.log(slope),
                "It has the wrong sign.": np.log(10) / np.log(slope),
            },
        ),
    )


@exercise("self_normalization-2", "alpha, lambda and the largest slope")
def _other_weights(answer):
    alpha, scale = constants(0.0, 1 / 3)
    mine = {"alpha": alpha, "scale": scale * np.sqrt(3)}
    own = "That is SELU's own, for weights whose squares sum to one."
    kept = (
        "With it the outputs have the variance of the pre-activations. They shall "
        "have variance one."
    )
    squared = "A factor of the outputs changes their variance by its square."
    normalized = "That is with weights whose squares sum to one."
    yield from numbers(
        answer,
        Number(
            "The value of alpha",
            alpha,
            mistakes={own: SELU_ALPHA},
            high="With it the mean of the outputs is negative.",
            low="With it the mean of the outputs is positive.",
        ),
        Number(
            "The value of lambda",
            mine["scale"],
            mistakes={
                own: SELU_SCALE,
                kept: scale,
                squared: 3 * scale,
                "It fits SELU's own alpha, not the new one.": _scale(SELU_ALPHA),
            },
            high="With it the variance of the outputs is above one.",
            low="With it the variance of the outputs is below one.",
        ),
        Number(
            "The largest slope",
            _slope(**mine, weight_sumsq=1 / 3),
            mistakes={
                "That is SELU's own with normalized weights.": _slope(),
                "That is SELU's own with these weights.": _slope(weight_sumsq=1 / 3),
                normalized: _slope(**mine),
            },
        ),
    )


def _scale(alpha):
    """Return the lambda that makes the variance 1 at the default of PyTorch."""
    _, var = moments(0.0, 1.0, weight_sumsq=1 / 3, alpha=alpha, scale=1.0)
    return 1 / np.sqrt(var)


@exercise("self_normalization-3", "tau up and down, and the variances in both layers")
def _uneven(answer):
    pair, variances = moments(0.0, 1.0, weight_sumsq=64 / 82), []
    for layer in range(2, 51):
        pair = moments(*pair, weight_sumsq=1 / 2 if layer % 2 == 0 else 3 / 2)
        variances.append(pair[1])
    narrow, wide = variances[-2:]
    facts = facts_of("self_normalization")
    nets = "That was measured: hand in what the map says."
    other = "That is the variance of the other layers."
    around = "It is the other way round: a unit has as many squares as it has inputs."
    weight = "That is the variance of a weight: a unit sums the squares of many."
    yield from numbers(
        answer,
        Number("Tau on the way up", 1 / 2, mistakes={around: 3 / 2, weight: 1 / 200}),
        Number("Tau on the way down", 3 / 2, mistakes={around: 1 / 2, weight: 1 / 200}),
        *(
            Number(
                f"The variance in layers of {width} units",
                own,
                within=0.01,  # the numbers of other layers high up are as close
                mistakes={nets: facts[f"variance in layer {layer}, nets"].value}
                | {other: swapped},
            )
            for width, own, swapped, layer in (
                ("fewer", narrow, wide, 49),
                ("more", wide, narrow, 50),
            )
        ),
    )


@exercise("self_normalization-4", "the number of layers")
def _overflow(answer):
    largest = float(np.finfo(np.float16).max)
    other = "That is for the factor of He's weights: SELU's is lambda."
    powers = "Count layers, not powers of ten: divide by the logarithm of the factor."
    yield from numbers(
        answer,
        Number(
            "The number of layers",
            np.ceil(np.log(largest) / np.log(SELU_SCALE)),
            within=0,
            beside=1,  # the last layer may be counted or not
            mistakes={
                "There the variance reaches it, not its root.": np.ceil(
                    np.log(largest) / np.log(SELU_SCALE**2)
                ),
                other: np.ceil(np.log(largest) / np.log(np.sqrt(2))),
                powers: 5,
            },
            near=1,
        ),
    )


@exercise("self_normalization-5", "two variances: only scaled, only shifted")
def _shift(answer):
    facts = facts_of("self_normalization")
    scaled, shifted, neither = (
        facts[f"variance in layer 20, {name}"]
        for name in ("only scaled", "only shifted", "neither")
    )
    both = "That is with neither of the two."
    around = "That is the variance of the other one."
    yield from numbers(
        answer,
        measured(
            "The variance of what is only scaled",
            scaled,
            mistakes={both: neither.value, around: shifted.value},
            high="Only divide: what all images have in common stays.",
        ),
        measured(
            "The variance of what is only shifted",
            shifted,
            mistakes={both: neither.value, around: scaled.value},
            low="Subtract from each pixel its own mean over the images.",
        ),
    )


@exercise("self_normalization-6", "the variance after fifty steps")
def _recurrent(answer):
    facts = facts_of("self_normalization")
    before = facts["variance in layer 50, the same, driven"].value
    yield from numbers(
        answer,
        measured(
            "The variance",
            facts["variance after 50 steps, halved"],
            mistakes={
                "That is the promise of the map: measure.": 1.0,
                "That is the variance before the division.": before,
            },
            high="Both matrices are divided, that of the input too.",
            low="To divide by two, not by its root, is too much.",
        ),
    )


@exercise("self_normalization-7", "a function of n")
def _edge(answer):
    def share(n):
        return 1 - (1 - 2 / (3 * n)) ** 2

    yield from formula(
        answer,
        share,
        [(5,), (8,), (32,), (224,)],
        mistakes={
            "That is the share along one side.": lambda n: 2 / (3 * n),
            "The corners are counted twice.": lambda n: 4 / (3 * n),
            "That is the share of the corners alone.": lambda n: (2 / (3 * n)) ** 2,
            "That is the share of what is not padding.": lambda n: 1 - share(n),
            PERCENT: lambda n: 100 * share(n),
            "That is the share of the pixels at the edge.": (
                lambda n: (4 * n - 4) / n**2
            ),
            "That is the share of the padded image. A number at its edge is seen by "
            "fewer fields than one inside.": lambda n: 1 - (n / (n + 2)) ** 2,
        },
    )


@exercise("self_normalization-8", "the growth that is predicted, and that measured")
def _orthogonal(answer):
    facts = facts_of("self_normalization")
    predicted = facts["log10 of the gradient's growth, SELU, predicted"].value
    fact = facts["log10 of the growth, SELU, orthogonal"]
    root = "That is the growth of the square of the norm."
    natural = "That is the natural logarithm: take that to base ten."
    factor = "That is the factor itself: take its logarithm to base ten."
    falls = "From the last layer down to the first: does the gradient grow or shrink?"
    yield from numbers(
        answer,
        Number(
            "The predicted growth",
            predicted,
            within=0.012,  # for a layer more or less
            mistakes=_in_other_units(predicted, natural, factor, falls)
            | {root: 2 * predicted, "One layer is not all.": predicted / 99},
            low="Poincaré's inequality is strict where an activation bends.",
        ),
        measured(
            "The measured growth",
            fact,
            mistakes=_in_other_units(fact.value, natural, factor, falls)
            | {"That is the prediction.": predicted},
        ),
    )


def _in_other_units(value, natural, factor, falls):
    return {natural: value * np.log(10), factor: 10**value, falls: -value}
