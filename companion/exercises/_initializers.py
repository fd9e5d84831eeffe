"""The exercises on initialization."""

import numpy as np

from companion.exercises._answers import Number, array, call, numbers
from companion.exercises._register import exercise
from companion.recorded import facts_of


@exercise("initializers-1", "the number of different columns")
def _same(answer):
    yield from numbers(answer, Number("The number of different columns", 1))


@exercise("initializers-2", "the three values of q: GELU, SiLU, Mish")
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


@exercise("initializers-3", "the three factors: fan_in, fan_out, fan_avg")
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


@exercise("initializers-4", "the two numbers of layers, that of the smaller c last")
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
            near=1,
        ),
    )


@exercise("initializers-5", "the mean of the logarithm at each of the four widths")
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


@exercise("initializers-6", "a function of weights and inputs")
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
