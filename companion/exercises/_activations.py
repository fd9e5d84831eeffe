"""The exercises on nonsaturating activations."""

import numpy as np

from companion import activations
from companion.exercises._answers import Number, function, numbers, several
from companion.exercises._register import exercise
from companion.recorded import facts_of


@exercise("activations-1", "the share of the steps")
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
                "There is one more step: what becomes of the images left over?": 1 / 16,
            },
        ),
    )


@exercise("activations-2", "a pair of functions: the unit and its derivative")
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


@exercise("activations-3", "three slopes: training, testing, PyTorch")
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


@exercise("activations-4", "the share of dead units, the mean over the seeds")
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


@exercise("activations-5", "the value of alpha")
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


@exercise("activations-6", "a function of an array")
def _thirteenth(answer):
    # Far to the left the function is small, not 0: relative errors alone count.
    yield from function(answer, activations.softplus, beside=0)
