"""Answers to the exercises of the chapter, right ones and typical wrong ones."""

import numpy as np

from companion.recorded import facts_of

FACTS = facts_of("replications")
LUCK = FACTS["validation minus test accuracy"].value
TIES = np.array(
    [
        FACTS[f"{what}, {size} tasks"].value
        for size in ("small", "large")
        for what in ("share with a tie at the top", "share that the rule changes")
    ]
)

#: Three tasks, four nets; two of them are equal on the last task.
TABLE = np.array(
    [[0.96, 0.91, 0.95, 0.90], [0.95, 0.98, 0.97, 0.96], [0.91, 0.92, 0.92, 0.86]]
)
RANKS = np.array([8, 5.5, 5.5, 11]) / 3

#: An answer that is right: that of the solution, or of another way to it.
RIGHT = {
    "replications-1": [0.05, 0.085],
    "replications-2": (325, 16),
    "replications-3": 0.0145,
    "replications-4": TIES.round(3),
    "replications-5": ("layer_norm", np.float32(2.8e-6)),
    "replications-6": [0, 1, 2, 4, 5, 3],
    "replications-7": (TABLE.tolist(), RANKS.round(3)),
}

#: An exercise, a wrong answer to it, and a part of what the learner is told.
TYPICAL = [
    ("replications-1", [0.21, 0.099], "Is each p corrected by Holm's method?"),
    ("replications-1", [0.041, 0.43], "Is each p corrected by Holm's method?"),
    ("replications-1", [0.05, 0.05], "Is the best one looked for anew"),
    ("replications-2", [324, 15], "With a task less the difference is too wide"),
    ("replications-2", [324.69, 15.37], "Tasks come whole"),
    ("replications-2", [650, 31], "range by the root of two"),
    ("replications-2", [163, 8], "enters by its square"),
    ("replications-2", [16, 325], "for seven methods is too low, by more than half"),
    ("replications-3", -LUCK, "the other way round"),
    ("replications-3", 100 * LUCK, "a percentage"),
    ("replications-3", -0.0023, "Is it the best of the settings"),
    ("replications-4", TIES[[2, 3, 0, 1]], "That is the share on large tasks"),
    ("replications-4", 100 * TIES, "a percentage"),
    (
        "replications-4",
        TIES / [1, TIES[0], 1, TIES[2]],
        "That is the share of the ties",
    ),
    ("replications-4", TIES[:2], "must be a row of four"),
    ("replications-5", ("batch_norm", 0), "in a batch short rows and long ones differ"),
    ("replications-5", ("relu", 0), "one is far behind"),
    ("replications-5", ("layer norm", 0), "must be one of 'selu', 'relu'"),
    (
        "replications-5",
        ("layer_norm", 0.1359),
        "Is there a constant beside the inputs?",
    ),
    ("replications-5", ("layer_norm", 0.2), "Does anything but the inputs"),
    ("replications-5", "layer_norm", "must be a pair; got str"),
    ("replications-6", [0, 1, 4, 16, 25, 9], "Those are the results"),
    ("replications-6", [0, 1, 2, 4, 5], "was the function mended"),
    ("replications-6", [0, 1, 2, 3], "Not all tasks were done"),
    ("replications-6", [0, 1, 2, 4, 5, 0, 1, 2, 3, 4, 5], "have the same folder?"),
    ("replications-6", [0, 1, 2, 3, 4, 5, 3], "A task that fails is not done"),
    ("replications-6", [0, 1, 2, 3, 4, 5], "That is not the order"),
    ("replications-6", [1, 2, 3, 4, 5, 6], "is no task"),
    ("replications-7", (TABLE, 5 - RANKS), "The ranks go the wrong way"),
    ("replications-7", (TABLE, [2, 3, 1, 4]), "the mean of the ranks"),
    ("replications-7", (TABLE, [8 / 3, 2, 2, 11 / 3]), "equal nets share"),
    ("replications-7", (TABLE, RANKS[::-1]), "row of mean ranks is wrong: in part too"),
    ("replications-7", (TABLE.T, RANKS), "a row for each task"),
    ("replications-7", (100 * TABLE, RANKS), "An accuracy is a share"),
    ("replications-7", (1 - TABLE, RANKS), "guesses would do better"),
    ("replications-7", RANKS, "must be a pair"),
]
