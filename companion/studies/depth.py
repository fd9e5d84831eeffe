r"""How fast deep nets learn: Klambauer et al. (2017), figure 1.

Nets of 8, 16 and 32 hidden layers learn MNIST and CIFAR-10: SELU, ReLU with batch
normalization, and plain ReLU.  Chapter *Replications*.

What differs from the paper: hidden layers have 64 units; each method has a learning
rate of its own, chosen on validation rows; gradient descent with momentum; ten seeds.
"""

import functools

import numpy as np

from companion import datasets
from companion.studies.runner import Study
from companion.studies.selection import accuracy, build
from companion.torch.ensemble import METHODS, predict, train

WIDTH = 64
#: What a form of the study does.
FORMS = {
    "full": {
        "data": {"mnist": 10, "cifar10": 30},  # epochs
        "depths": (8, 16, 32),
        "learning_rates": (0.001, 0.004, 0.016, 0.064),
        "tuning_seeds": 3,
        "seeds": 10,
    },
    "reduced": {
        "data": {"mnist5000": 2},
        "depths": (8,),
        "learning_rates": (0.004, 0.016),
        "tuning_seeds": 1,
        "seeds": 3,
    },
}


def tasks(reduced=False):
    """Return the task of each data set, depth and method, the deepest nets first."""
    form = "reduced" if reduced else "full"
    return [
        {"data": data, "depth": depth, "method": method, "form": form, "seed": 0}
        for data in FORMS[form]["data"]
        for depth in reversed(FORMS[form]["depths"])
        for method in ("selu", "batch_norm", "relu")
    ]


def run(task):
    """Return losses and accuracies, epoch by epoch, for each seed.

    `roughness` is the root mean square of the differences between the logarithms of
    the losses of successive steps, in the second half of the training.
    """
    form, first = FORMS[task["form"]], task["seed"]
    data = _data(task["data"])
    settings = {"depth": task["depth"], "width": WIDTH}
    epochs = form["data"][task["data"]]
    learn = functools.partial(_learn, data, METHODS[task["method"]], settings)

    grid = form["learning_rates"]
    seeds = first + 100 + np.arange(form["tuning_seeds"])
    pairs = np.repeat(seeds, len(grid)), np.tile(grid, len(seeds))
    _, tuning = learn(*pairs, epochs=max(1, epochs // 3))
    lowest = np.nan_to_num(tuning.validation, nan=np.inf).min(axis=0)
    tuned = lowest.reshape(len(seeds), -1).mean(axis=0)
    rate = float(grid[tuned.argmin()])

    seeds = range(first, first + form["seeds"])
    nets, history = learn(seeds, rate, epochs=epochs)
    logarithms = np.log(np.maximum(history.losses, 1e-12))
    late = np.diff(logarithms[len(logarithms) // 2 :], axis=0)
    scores = [
        accuracy(each, data.y_test) for each in predict(nets, data.x_test).numpy()
    ]
    steps = len(history.losses) // epochs
    return {
        "learning_rate": rate,
        "tuned": tuned.tolist(),
        "losses": _short(history.losses.reshape(epochs, steps, -1).mean(axis=1)),
        "validation": _short(history.validation),
        "roughness": _short(np.sqrt((late**2).mean(axis=0))),
        "accuracy": scores,
    }


def _learn(data, net, settings, seeds, rates, epochs):
    n_outputs = int(data.y_train.max()) + 1
    nets = build(net, data.x_train.shape[1], n_outputs, settings, seeds, rate=0.0)
    return nets, train(
        nets,
        data.x_train,
        data.y_train,
        learning_rate=rates,
        validation=(data.x_validation, data.y_validation),
        epochs=epochs,
        batch_size=64,
        by_step=True,
    )


def _short(figures):
    """Return figures with six digits, which is what float32 knows."""
    return [[float(f"{f:.6g}") for f in row] for row in np.atleast_2d(figures)]


@functools.cache
def _data(name):
    if name == "mnist5000":
        return datasets.load(name)
    return getattr(datasets, name)()


STUDY = Study(
    "depth",
    "Training loss of deep nets on MNIST and CIFAR-10 "
    "(Klambauer et al. 2017, figure 1).",
    tasks,
    run,
)
