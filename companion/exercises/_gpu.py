"""The exercises on memory, compilers and half precision."""

import numpy as np

from companion import activations
from companion.exercises._answers import (
    Number,
    array,
    call,
    function,
    numbers,
    row,
    several,
)
from companion.exercises._register import exercise


@exercise("gpu-1", "three numbers: readings, passes, arrays that are kept")
def _layer_norm(answer):
    batch = "So often batch normalization reads; a row is short, and stays where it is."
    forward = "That is the way up alone: count the way back too."
    alone = "That is one of the two layers: count both."
    yield from numbers(
        answer,
        Number("The number of readings", 1, 0, mistakes={batch: 2}),
        Number(
            "The number of passes",
            10,
            within=0,
            beside=0.2,  # mean, deviation and weights are small, but they are there
            mistakes={forward: 4, alone: 5},
        ),
        Number(
            "The number of arrays that are kept",
            2,
            within=0,
            beside=0.1,
            mistakes={alone: 1},
        ),
    )


@exercise("gpu-2", "two numbers of rows, with the wide layer and with the narrow one")
def _large_enough(answer):
    ridge, n = 989e12 / 3350e9, 1024
    result = "The inputs and the outputs are moved too, beside the weights."
    yield from numbers(
        answer,
        Number(
            "The number of rows with the wide layer",
            ridge * n / (n - 2 * ridge),
            within=0,
            beside=1,  # rounded or not
            mistakes={
                "A number takes two bytes, and each product comes with a sum.": np.inf,
                result: ridge,
                "Inputs are read, and outputs are written: both are moved.": (
                    ridge * n / (n - ridge)
                ),
            },
        ),
        Number(
            "The number of rows with the narrow layer",
            np.inf,
            low="What does the intensity come to as the batch grows?",
            mistakes={result: ridge},
        ),
    )


@exercise("gpu-3", "a pair: the derivative as a function of the output, two inputs")
def _in_place(answer):
    parts, problem = several(answer, 2)
    if problem:
        yield problem
        return
    derivative, inputs = parts
    alpha, scale = activations.SELU_ALPHA, activations.SELU_SCALE
    lowest = -scale * alpha
    below = lowest * np.array([0.1, 0.5, 0.9])
    got, problem = call(derivative, below.copy())
    as_input = activations.selu_grad(below)
    if problem is None and got.shape == below.shape and np.allclose(got, as_input):
        yield "The derivative takes what it is given for the input: it is the output."
    else:
        yield from function(
            derivative,
            lambda y: np.where(y > 0, scale, y - lowest),
            what="The derivative",
            regions={
                "for positive output": np.array([0.1, 1.0, 30.0]),
                "for negative output": below,
                "at 0": np.zeros(1),
                "where the output is nearly the lowest": np.array([lowest + 1e-4]),
            },
        )
    yield from _twins(inputs)


def _twins(inputs):
    """Yield what is wrong with two inputs of GELU that are to have equal outputs."""
    z, problem = row(inputs, 2)
    if problem:
        yield problem.replace("The answer", "The second part")
        return
    if np.ptp(activations.gelu(z)) > 0.01:
        yield "GELU has different outputs at the two inputs."
    elif np.ptp(activations.gelu_grad(z)) < 0.05:
        yield (
            "The derivatives of GELU at the two inputs are hardly different: take them "
            "further apart, on both sides of the minimum."
        )


@exercise("gpu-4", "two shares of pairs that are kept: with one seed, with four")
def _same_seed(answer):
    dropped = "That is a share that is dropped."
    yield from numbers(
        answer,
        Number(
            "The share with one seed",
            0.9,
            within=0,
            beside=0.01,  # of 64 000 pairs
            near=0.01,
            mistakes={
                dropped: 0.1,
                "With one seed the masks of the layers are not independent.": 0.9**4,
            },
        ),
        Number(
            "The share with four seeds",
            0.9**4,
            within=0,
            beside=0.01,
            near=0.01,
            mistakes={
                "That is the share in one layer: what is kept in all of four?": 0.9,
                "That is the share that is dropped in at least one.": 1 - 0.9**4,
                "That is the share that is dropped in all of them.": 0.1**4,
            },
        ),
    )


@exercise("gpu-5", "a function of two parts, each a count, a mean and a sum of squares")
def _combine(answer):
    x = np.random.default_rng(0).standard_normal((30, 4))
    cases = {
        "for parts of equal size": (x[:15], x[15:]),
        "for parts of different size": (x[:5], x[5:] + 1),
        "for columns with one row in a part": (x[:29, 0], x[29:, 0] + 5),
        "for numbers far from zero": (x[:5] + 1e6, x[5:] + 1e6),
    }
    for where, (one, other) in cases.items():
        whole = np.concatenate([one, other])
        got, problem = call(answer, _summary(one), _summary(other), parts=3)
        if problem:
            yield problem
            return
        m, mean, squares = got
        problems = list(array(m, len(whole), f"The count, {where},"))
        hint = _mean_hint(mean, one, other)
        problems += hint or array(mean, whole.mean(axis=0), f"The mean, {where},")
        hint = _squares_hint(squares, one, other)
        problems += hint or array(squares, _summary(whole)[2], f"The sum, {where},")
        if problems:
            yield from problems
            return


def _summary(rows):
    return len(rows), rows.mean(axis=0), ((rows - rows.mean(axis=0)) ** 2).sum(axis=0)


def _mean_hint(got, one, other):
    """Return what is known of a wrong mean, in a list."""
    plain = (one.mean(axis=0) + other.mean(axis=0)) / 2
    right = np.concatenate([one, other]).mean(axis=0)
    if not _equal(right, plain) and _equal(got, plain):
        return ["The mean weighs both parts alike, though one of them has more rows."]
    return []


def _squares_hint(got, one, other):
    """Return what is known of a wrong sum of squares, in a list."""
    within = _summary(one)[2] + _summary(other)[2]
    right = _summary(np.concatenate([one, other]))[2]
    apart = (other.mean(axis=0) - one.mean(axis=0)) ** 2
    n, m = len(one) * len(other), len(one) + len(other)
    for mistake, hint in (
        (within, "The sum forgets that the means of the parts are apart."),
        (right / m, "The last of the three must be a sum, not a variance."),
        (right / (m - 1), "The last of the three must be a sum, not a variance."),
        (within + apart, "The sum adds the squared distance of the means, unweighted."),
        (within + apart * n, "The sum weighs the squared distance: by too much."),
    ):
        if not _equal(right, mistake) and _equal(got, mistake):
            return [hint]
    if one.mean() > 1e5 and not _equal(got, right):
        return [
            "The sum loses its digits for numbers far from zero: take the difference "
            "of the means before you square."
        ]
    return []


def _equal(got, expected):
    return got.shape == expected.shape and np.allclose(got, expected, rtol=1e-6)


@exercise("gpu-6", "a pair: a function of x, seed, dy, and a number of arrays")
def _maskless(answer):
    parts, problem = several(answer, 2)
    if problem:
        yield problem
        return
    run, kept = parts
    yield from numbers(
        kept,
        Number(
            "The number of arrays kept",
            0,
            beside=1e-3,  # a seed is small
            high="Which array does the backward pass still need?",
        ),
    )
    rng = np.random.default_rng(0)
    x, dy = rng.uniform(1, 2, (2, 100, 50))
    results = []
    for seed in (5, 5, 6):
        got, problem = call(
            run, x.copy(), seed, dy.copy(), parts=2, what="The function"
        )
        if problem is None and not got[0].shape == got[1].shape == x.shape:
            problem = "The function must return two arrays of the shape of x."
        if problem:
            yield problem
            return
        results.append(got)
    (y, dx), (again, _), (other, _) = results
    through = y != 0
    if through.all():
        yield "No unit is dropped."
        return
    if abs(through.mean() - 0.9) > 0.02:
        few = "few" if through.mean() < 0.9 else "many"
        yield f"Too {few} units are kept: the rate is the share that is dropped."
        return
    yield from _values("The output", y, through * x, through)
    yield from _values("The gradient", dx, through * dy, through)
    if not np.array_equal(y, again):
        yield "With the same seed the function gives another output."
    if np.array_equal(y, other):
        yield "With another seed the function drops the same units."


def _values(what, got, kept, through):
    """Yield what is wrong with numbers of which the kept ones are scaled, others 0."""
    if np.allclose(got, kept / 0.9, rtol=1e-5):
        return
    if np.array_equal(got != 0, through):
        if np.allclose(got, kept, rtol=1e-5):
            yield f"{what} is not divided by the probability of keeping."
        else:
            yield f"{what} is wrong where a unit is kept."
    elif got.all():
        yield f"{what} is not zero where the unit was dropped: the mask is forgotten."
    else:
        yield f"{what} has zeros in other places: is it the same mask?"
