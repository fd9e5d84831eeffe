"""The exercises on dropout."""

from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.dropout import alpha_dropout_affine
from companion.exercises._answers import PERCENT, Number, measured, numbers
from companion.exercises._register import exercise
from companion.recorded import facts_of
from companion.self_normalization import jacobian

_BOUND = -SELU_SCALE * SELU_ALPHA  # alpha' of the chapter

_CLOSE = 5e-3  # of what is computed: three digits will do


def _signal(rate, bound=_BOUND):
    """Return the share of signal in what dropout to `bound` passes on."""
    keep = 1 - rate
    return keep / (1 + bound**2 * rate)


@exercise("dropout-1", "the factor per layer, and the variance times the inputs")
def _relu(answer):
    keep = 0.8
    factor = 1 / keep
    yield from numbers(
        answer,
        Number(
            "The factor per layer",
            factor,
            within=0.02,  # a measurement is as close
            mistakes={
                "The mean stays the same, but not the mean square.": 1.0,
                "Fewer units are kept, but their squares grow by more.": keep,
                "The squares of those kept grow by that. How many are kept?": factor**2,
                "That is the factor of thirty layers.": factor**30,
                "That is the factor at a rate of four fifths.": 5.0,
            },
        ),
        Number(
            "The variance of the weights times the number of inputs",
            2 * keep,
            within=0.02,
            mistakes={
                "Those are He's weights, with which the signal grows.": 2.0,
                "With it the signal grows faster still.": 2 / keep,
                "The variance takes the factor once, their deviation its root.": (
                    2 * keep**2
                ),
                "That is the factor; He's weights have a two besides.": keep,
            },
            high="With it the mean square grows.",
            low="With it the mean square shrinks.",
        ),
    )


@exercise("dropout-2", "the two rates: alpha dropout, standard dropout")
def _equal_noise(answer):
    rate = 1 / (2 + _BOUND**2)
    unscaled = "The bound of SELU is not alpha: which constant is missing?"
    yield from numbers(
        answer,
        Number(
            "The rate of alpha dropout",
            rate,
            _CLOSE,
            mistakes={
                "That is the probability of keeping.": 1 - rate,
                unscaled: 1 / (2 + SELU_ALPHA**2),
                "There the correlation is one half: the share is its square.": (
                    3 / (4 + _BOUND**2)
                ),
                "That is the rate of standard dropout.": 0.5,
            },
            high="At this rate there is more noise than signal.",
            low="At this rate there is more signal than noise.",
        ),
        Number(
            "The rate of standard dropout",
            0.5,
            _CLOSE,
            mistakes={"There the correlation is one half.": 0.75},
            high="At this rate there is more noise than signal.",
            low="At this rate there is more signal than noise.",
        ),
    )


@exercise("dropout-3", "the factor")
def _attract(answer):
    (a, _), keep = alpha_dropout_affine(0.1), 0.9
    (_, by_mean), (_, by_var) = jacobian(0.0, 1.0)
    pull = a**2 * keep
    mean = 2 * (1 - keep) * _BOUND * by_mean
    sign = "The mean acts the other way: how far is it from the bound?"
    yield from numbers(
        answer,
        Number(
            "The factor",
            pull * (by_var - mean),
            _CLOSE,
            mistakes={
                "That is the factor without dropout.": by_var,
                "That is the factor of dropout alone.": pull,
                "That leaves out the mean of what SELU returns.": pull * by_var,
                sign: pull * (by_var + mean),
                "Dropout keeps only some of the units.": a**2 * (by_var - mean),
                "What is kept is multiplied by a, and its variance?": (
                    a * keep * (by_var - mean)
                ),
            },
        ),
    )


@exercise("dropout-4", "the two shares: at a tenth, at nine tenths")
def _keep_or_drop(answer):
    yield from numbers(
        answer,
        *(
            Number(
                f"The share at {name}",
                _signal(rate) ** 8,
                0.01,
                mistakes={
                    "That is the share of one layer.": _signal(rate),
                    "That is the share of standard dropout.": (1 - rate) ** 8,
                    "That is the correlation: the share is its square.": (
                        _signal(rate) ** 4
                    ),
                    "The bound of SELU is not alpha: which constant is missing?": (
                        _signal(rate, SELU_ALPHA) ** 8
                    ),
                    "That is the share at the other rate.": _signal(1 - rate) ** 8,
                    "That is what is lost.": 1 - _signal(rate) ** 8,
                },
            )
            for name, rate in (("a tenth", 0.1), ("nine tenths", 0.9))
        ),
    )


@exercise("dropout-5", "the variance over all, and the mean variance of a unit")
def _one_mask(answer):
    (a, _), keep = alpha_dropout_affine(0.1), 0.9
    yield from numbers(
        answer,
        Number(
            "The variance over all",
            1.0,
            within=0.05,  # of a mask of two thousand units
            high="Draw many units: the share that is dropped should be near a tenth.",
            low="Take it over images and units together; and draw many units.",
        ),
        Number(
            "The mean variance of a unit",
            a**2 * keep,
            within=0.05,
            mistakes={"That is the variance of a unit that is kept.": a**2},
            near=0.02,
            high="Take the variance over the images first, then the mean over units.",
            low="Units that are kept are multiplied by a.",
        ),
    )


@exercise("dropout-6", "the temperature, and the difference of the likelihoods")
def _temperature(answer):
    facts = facts_of("dropout")
    chosen = facts["chosen temperature"]
    difference = facts["negative log-likelihood, temperature minus 50 masks"]
    subtracted = "Which of the two is subtracted, and which has the larger loss?"
    yield from numbers(
        answer,
        measured(
            "The temperature",
            chosen,
            mistakes={
                "The logits are divided by it, not multiplied.": 1 / chosen.value,
                "These are the logits as they are.": 1.0,
            },
            low="Is it the best for images of validation?",
            high="Is it the best for images of validation?",
        ),
        measured(
            "The difference",
            difference,
            mistakes={subtracted: -difference.value},
            high="Has each net a temperature of its own?",
        ),
    )


@exercise("dropout-7", "four accuracies, from no dropout to the highest rate")
def _shallow(answer):
    facts = facts_of("dropout")
    wanted = []
    for rate, name in (
        (0.0, "without dropout"),
        (0.1, "at a tenth"),
        (0.2, "at a fifth"),
        (0.35, "at the highest rate"),
    ):
        fact = facts[f"accuracy with 2 layers, rate {rate}"]
        wanted.append(
            measured(
                f"The accuracy {name}",
                fact,
                within=0.005,  # another learning rate may be chosen
                mistakes={
                    PERCENT: 100 * fact.value,
                    "That is the share of errors.": 1 - fact.value,
                },
                low="Is the learning rate tuned for each rate of dropout?",
                high="Is it that on the test images, with as few for training?",
            )
        )
    yield from numbers(answer, *wanted)
