"""The exercises on replications."""

import numpy as np

from companion.exercises._answers import (
    PERCENT,
    Number,
    array,
    call,
    numbers,
    row,
    several,
    word,
)
from companion.exercises._register import exercise
from companion.recorded import facts_of

#: The names of ``companion.torch.ensemble.METHODS``, which cannot be had without torch.
KINDS = (
    *("selu", "relu", "batch_norm", "layer_norm", "weight_norm"),
    *("highway", "residual"),
)


@exercise("replications-1", "two shares of false alarms: named before, chosen")
def _best_of_seven(answer):
    facts = facts_of("replications")
    holm = "Is each p corrected by Holm's method?"
    yield from numbers(
        answer,
        Number(
            "The share with the method named before",
            facts["false alarms, named before"].value,
            within=0,
            beside=0.025,  # a thousand throws, or some hundreds
            high=holm,
        ),
        Number(
            "The share with the method chosen",
            facts["false alarms, chosen by rank"].value,
            within=0,
            beside=0.045,
            high=holm,
            low="Is the best one looked for anew in each throw?",
        ),
    )


@exercise("replications-2", "two numbers of tasks, for seven methods and for two")
def _how_many_tasks(answer):
    critical = {7: 2.949, 2: 1.960}  # Demsar (2006), table 5a
    wanted = []
    for k, which in ((7, "seven"), (2, "two")):
        needed = critical[k] ** 2 * k * (k + 1) / (6 * 0.5**2)
        mistakes = {
            "With a task less the difference is too wide.": np.floor(needed),
            "Tasks come whole: round up.": needed,
            "Divide the critical value of the range by the root of two.": (
                np.ceil(2 * needed)
            ),
            "The critical difference enters by its square.": np.ceil(needed / 2),
        }
        what = f"The number of tasks for {which} methods"
        wanted.append(Number(what, np.ceil(needed), 0, mistakes=mistakes))
    yield from numbers(answer, *wanted)


@exercise("replications-3", "the mean over the tasks of validation minus test accuracy")
def _luck(answer):
    luck = facts_of("replications")["validation minus test accuracy"].value
    yield from numbers(
        answer,
        Number(
            "The mean difference",
            luck,
            within=0.01,
            mistakes={
                "Subtract the other way round.": -luck,
                PERCENT: 100 * luck,
            },
            low="Is it the best of the settings, and the mean of all test accuracies?",
            high="Do you subtract the mean of all test accuracies of the same net?",
        ),
    )


@exercise(
    "replications-4", "four shares: tied, changed, on small tasks, then on large ones"
)
def _ties(answer):
    facts = facts_of("replications")
    tied, changed = "share with a tie at the top", "share that the rule changes"
    wanted = []
    for size, other in (("small", "large"), ("large", "small")):
        for entry, name in ((tied, "tied"), (changed, "changed")):
            share = facts[f"{entry}, {size} tasks"].value
            mistakes = {
                f"That is the share on {other} tasks.": (
                    facts[f"{entry}, {other} tasks"].value
                ),
                PERCENT: 100 * share,
            }
            if entry == changed:
                among = share / facts[f"{tied}, {size} tasks"].value
                mistakes["That is the share of the ties: take that of all."] = among
            what = f"The share of {name} choices on {size} tasks"
            wanted.append(Number(what, share, within=0.01, mistakes=mistakes))
    yield from numbers(answer, *wanted)


@exercise("replications-5", "a pair: the kind of net, by its name, and the change")
def _ringnorm(answer):
    parts, problem = several(answer, 2)
    if problem:
        yield problem
        return
    name, change = parts
    kind, problem = word(name, KINDS, "The kind of net")
    if problem:
        yield problem
    elif kind == "batch_norm":
        yield (
            "The kind of net is another one: batch normalization divides by the spread "
            "of a batch, and in a batch short rows and long ones differ."
        )
    elif kind != "layer_norm":
        yield "The kind of net is another one: in the records one is far behind."
    facts = facts_of("replications")
    constant = facts["change with twice the length, layer norm, constant input"].value
    other = facts["change with twice the length, SELU"].value
    yield from numbers(
        change,
        Number(
            "The change",
            0,
            beside=0.01,
            mistakes={
                "Is there a constant beside the inputs? Leave it out.": constant,
                "That is the change of a net that does not normalize.": other,
            },
            high="Does anything but the inputs, such as a constant, enter the layer?",
        ),
    )


@exercise("replications-6", "the numbers in the order in which their tasks were done")
def _kill_it(answer):
    got, problem = row(answer)
    if problem:
        yield problem
        return
    done, counts = np.unique(got, return_counts=True)
    tasks = np.arange(6)
    if np.array_equal(done, tasks**2):
        yield "Those are the results: hand in the numbers of the tasks."
    elif not np.isin(done, tasks).all():
        yield "There is a number among them that is no task."
    elif 3 not in done:
        yield "The task that failed was not done: was the function mended in between?"
    elif done.size < tasks.size:
        yield "Not all tasks were done: one that fails does not end the run."
    elif counts[done != 3].max() > 1:
        yield "Tasks were done twice: do both runs have the same folder?"
    elif counts.max() > 1:
        yield "A task that fails is not done: note it when nothing can fail any more."
    elif got[-1] != 3:
        yield "That is not the order: when was the task done that had failed?"


@exercise("replications-7", "a pair: three rows of four accuracies, four mean ranks")
def _own_kind(answer):
    parts, problem = several(answer, 2)
    if problem:
        yield problem
        return
    table, given = parts
    table, problem = call(lambda: table, what="The table of accuracies")
    if problem or table.shape != (3, 4):
        yield "The table must have a row for each task, a column for each net."
        return
    if table.max() > 1 or table.min() < 0.2:
        yield "An accuracy is a share of the rows; guesses would do better than some."
        return
    ranks, problem = row(given, 4)
    if problem:
        yield problem.replace("The answer", "The second part")
        return
    right = _mean_ranks(-table)
    backward, first = _mean_ranks(table), _mean_ranks(-table.mean(axis=0)[None])
    if np.allclose(ranks, right, atol=1e-3):
        return
    if np.allclose(ranks, backward, atol=1e-3):
        yield "The ranks go the wrong way: the best net has the lowest."
    elif np.allclose(ranks, first, atol=1e-3):
        yield "Those are the ranks of mean accuracies: take the mean of the ranks."
    elif abs(ranks.sum() - right.sum()) > 1e-3:
        yield (
            "The sum of the mean ranks is not that of the places: equal nets share "
            "the mean of their places."
        )
    else:
        yield from array(ranks, right, "The row of mean ranks")


def _mean_ranks(scores):
    """Return the mean over the rows of the rank of each column, the lowest first."""
    one, other = scores[:, :, None], scores[:, None, :]
    below, level = (one > other).sum(axis=2), (one == other).sum(axis=2)
    return (below + (level + 1) / 2).mean(axis=0)
