r"""Which activation is best?  The ranking of Geron (2019) on the UCI tasks.

Nets with each activation learn the tasks of 1000 to 10000 rows, as in
:mod:`companion.studies.uci`: each activation with its own initializer, and with a
depth and a learning rate chosen on validation rows.  There is no dropout: the ranking
is about activations.  Chapter *Replications*.
"""

import functools

import torch.nn.functional as F

from companion import datasets
from companion.initializers import glorot_normal, he_normal, lecun_normal
from companion.studies import uci
from companion.studies.runner import Study

#: Activation -> arguments of :class:`companion.torch.ensemble.Ensemble`.
NETS = {
    "selu": {"activation": "selu", "initializer": lecun_normal},
    "elu": {"activation": "elu", "initializer": he_normal},
    "leaky_relu_0.01": {"activation": "leaky_relu", "initializer": he_normal},
    "leaky_relu_0.2": {
        "activation": functools.partial(F.leaky_relu, negative_slope=0.2),
        "initializer": he_normal,
    },
    "relu": {"activation": "relu", "initializer": he_normal},
    "tanh": {"activation": "tanh", "initializer": glorot_normal},
    "logistic": {"activation": "logistic", "initializer": glorot_normal},
}
#: What a form of the study does.
FORMS = {
    "full": uci.FORMS["full"]
    | {"depths": (2, 6), "learning_rates": (0.0016, 0.0063, 0.025, 0.1, 0.4)},
    "reduced": uci.FORMS["reduced"],
}
SIZES = range(1000, 10_001)
REDUCED_TASKS = "iris", "wine", "seeds"


def tasks(reduced=False):
    """Return the task of each data set and activation, large data sets first."""
    form, names = "reduced", REDUCED_TASKS
    if not reduced:
        rows = {name: len(datasets.uci_rows(name)[1]) for name in datasets.uci_names()}
        form, names = "full", [name for name, n in rows.items() if n in SIZES]
        names = sorted(names, key=lambda name: -rows[name])
    return [
        {"data": name, "activation": activation, "form": form, "seed": 0}
        for name in names
        for activation in NETS
    ]


def run(task):
    """Return the test accuracy in each fold, and the settings that were chosen."""
    prepared = uci.prepared(task["data"], task["seed"])
    form, net = FORMS[task["form"]], NETS[task["activation"]]
    scores, details = uci.learn(net, (0.0,), *prepared, form, task["seed"])
    return {"accuracy": scores} | details


STUDY = Study(
    "activations",
    "Seven activations on UCI tasks, with tuned learning rates (Geron 2019).",
    tasks,
    run,
)
