"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import numpy as np

from companion.recorded import facts_of

FACTS = facts_of("dropout")
TEMPERATURE = FACTS["chosen temperature"].value
DIFFERENCE = FACTS["negative log-likelihood, temperature minus 50 masks"].value
ACCURACIES = [
    FACTS[f"accuracy with 2 layers, rate {rate}"].value
    for rate in (0.0, 0.1, 0.2, 0.35)
]


def but(place, value):
    """Return the accuracies with another one in a place."""
    return [value if i == place else a for i, a in enumerate(ACCURACIES)]


#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "dropout-1": (1.245, 1.6),
    "dropout-2": [0.196, 0.5],
    "dropout-3": 0.62,
    "dropout-4": (0.0499, 2.4e-13),
    "dropout-5": np.array([1.01, 0.7639], np.float32),
    "dropout-6": (4.7, -0.11),
    "dropout-7": tuple(ACCURACIES),
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("dropout-1", (1, 1.6), "but not the mean square"),
    ("dropout-1", (0.8, 1.6), "their squares grow by more"),
    ("dropout-1", (1.5625, 1.6), "How many are kept?"),
    ("dropout-1", (808, 1.6), "of thirty layers"),
    ("dropout-1", (5, 1.6), "a rate of four fifths"),
    ("dropout-1", (1.25, 2), "Those are He's weights"),
    ("dropout-1", (1.25, 2.5), "grows faster still"),
    ("dropout-1", (1.25, 1.28), "takes the factor once"),
    ("dropout-1", (1.25, 0.8), "have a two besides"),
    ("dropout-1", (1.25, 1.5), "the mean square shrinks"),
    ("dropout-2", (0.8036, 0.5), "the probability of keeping"),
    ("dropout-2", (0.2083, 0.5), "which constant is missing?"),
    ("dropout-2", (0.4231, 0.5), "the share is its square"),
    ("dropout-2", (0.5, 0.5), "That is the rate of standard dropout"),
    ("dropout-2", (0.196, 0.75), "the correlation is one half"),
    ("dropout-2", (0.3, 0.4), "more noise than signal"),
    ("dropout-2", (0.3, 0.4), "more signal than noise"),
    ("dropout-3", 0.7826, "without dropout"),
    ("dropout-3", 0.7639, "of dropout alone"),
    ("dropout-3", 0.5979, "leaves out the mean"),
    ("dropout-3", 0.574, "The mean acts the other way"),
    ("dropout-3", 0.6908, "keeps only some of the units"),
    ("dropout-3", 0.6748, "is multiplied by a, and its variance?"),
    ("dropout-4", (0.6875, 2.39e-13), "the share of one layer"),
    ("dropout-4", (0.9**8, 0.1**8), "the share of standard dropout"),
    ("dropout-4", (0.0499**0.5, 2.39e-13**0.5), "the share is its square"),
    ("dropout-4", (2.39e-13, 0.0499), "the share at the other rate"),
    ("dropout-4", (0.9501, 2.39e-13), "That is what is lost"),
    ("dropout-5", (1, 0.8488), "a unit that is kept"),
    ("dropout-5", (1, 0.8421), "a unit that is kept"),
    ("dropout-5", (1, 1), "over the images first"),
    ("dropout-5", (0.764, 0.764), "over images and units together"),
    ("dropout-5", (1, 0.7), "Units that are kept are multiplied by a"),
    ("dropout-6", (1 / TEMPERATURE, DIFFERENCE), "not multiplied"),
    ("dropout-6", (TEMPERATURE, -DIFFERENCE), "Which of the two is subtracted"),
    ("dropout-6", (1, 0), "These are the logits as they are"),
    ("dropout-6", (2, 0), "the best for images of validation"),
    ("dropout-7", [100 * a for a in ACCURACIES], "That is a percentage"),
    ("dropout-7", but(0, 1 - ACCURACIES[0]), "without dropout is too low. That is the"),
    (
        "dropout-7",
        but(2, 0.6),
        "at a fifth is too low, by less than half. Is the",
    ),
    ("dropout-7", but(1, 0.95), "at a tenth is too high"),
    ("dropout-7", ACCURACIES[:3], "must be a row of four"),
]
