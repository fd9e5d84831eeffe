r"""Twelve toxic effects of molecules: Klambauer et al. (2017), section 3, Tox21.

Nets of seven kinds and 2 to 32 hidden layers learn all assays at once, from
fingerprints; what was not measured has no part in the loss.  They are judged by the
area under the ROC curve, the mean over the assays.  Chapter *Replications*.

What differs from the paper: fingerprints of 1024 bits, where there were several
thousand descriptors of different kinds; molecules split at random, ten times, where the
challenge had a test set of its own; hidden layers of 64 units, not 1024 or 2048, and
residual nets whose depth is in layers, not in blocks; settings that are chosen with one
net; dropout for all kinds; momentum and early stopping, and no penalty.
"""

import functools

import numpy as np

from companion import datasets
from companion.studies.fingerprints import fingerprints, readable
from companion.studies.runner import Study
from companion.studies.selection import DROP_RATES, auc, final, search, table
from companion.torch.ensemble import METHODS, predict

WIDTH = 64
#: What a form of the study does.
FORMS = {
    "full": {
        "depths": (2, 3, 4, 6, 8, 16, 32),
        "learning_rates": (0.004, 0.02, 0.1, 0.5, 2.5),
        "training": {"epochs": 30, "patience": 5, "batch_size": 64},
        "splits": 10,
        "n_bits": 1024,
        "rows": None,
    },
    "reduced": {
        "depths": (2, 8),
        "learning_rates": (0.02, 0.1),
        "training": {"epochs": 6, "patience": 3, "batch_size": 64},
        "splits": 2,
        "n_bits": 256,
        "rows": 1500,
    },
}


def tasks(reduced=False):
    """Return the task of each method and depth, the deepest nets first."""
    form = "reduced" if reduced else "full"
    return [
        {"method": method, "depth": depth, "form": form, "seed": 0}
        for depth in reversed(FORMS[form]["depths"])
        for method in METHODS
    ]


def run(task):
    """Return the area under the curve in each split, and the settings."""
    form, net = FORMS[task["form"]], METHODS[task["method"]]
    options = {"n_outputs": 12, "loss": "binary_cross_entropy", **form["training"]}
    seeds = task["seed"] + np.arange(form["splits"])
    # The settings are chosen on a split of its own, the first one here.
    rows, validation, tests = _splits(form, [task["seed"] + 100, *seeds])
    found = search(
        net,
        [part[0] for part in rows],
        [part[0] for part in validation],
        width=WIDTH,
        depths=(task["depth"],),
        learning_rates=form["learning_rates"],
        drop_rates=DROP_RATES[task["method"]],
        score=auc,
        seed=task["seed"],
        **options,
    )
    rows, validation = ([part[1:] for part in parts] for parts in (rows, validation))
    nets, _, settings = final(
        net, rows, validation, found, seeds=seeds.tolist(), **options
    )
    areas = [
        auc(predict(nets.take([k]), x).numpy()[0], y)
        for k, (x, y) in enumerate(tests[1:])
    ]
    return {"auc": areas, "settings": settings, "searched": table(found)}


def _splits(form, seeds):
    """Return inputs and labels for training, validation and test of each seed.

    Those for training are of shape (seeds, n, n_inputs) and (seeds, n, n_assays), those
    for validation too: a row or two of the longer ones are left out.  Those for the
    test are a list of pairs.
    """
    x, labels, smiles = _molecules(form["n_bits"], form["rows"])
    molecules, molecule = np.unique(smiles, return_inverse=True)
    splits = []
    for seed in seeds:
        dealt = np.random.default_rng(seed).permutation(len(molecules)) % 5
        part = dealt[molecule]  # rows of the same molecule stay together
        splits.append([np.flatnonzero(m) for m in (part < 3, part == 3, part == 4)])
    n, m = (min(len(split[i]) for split in splits) for i in range(2))
    n -= n % form["training"]["batch_size"] == 1  # no minibatch of one row
    known = np.stack([split[0][:n] for split in splits])
    held = np.stack([split[1][:m] for split in splits])
    tests = [(x[split[2]], labels[split[2]]) for split in splits]
    return (x[known], labels[known]), (x[held], labels[held]), tests


@functools.cache
def _molecules(n_bits, n_rows):
    """Return fingerprints, labels and SMILES of what RDKit can read."""
    data = datasets.tox21()
    smiles = np.array(data.smiles)
    clear = np.flatnonzero(readable(smiles.tolist()))[:n_rows]
    x = fingerprints(smiles[clear].tolist(), n_bits=n_bits).astype(np.float32)
    return x, data.labels[clear], smiles[clear]


STUDY = Study(
    "tox21",
    "Nets of 2 to 32 layers on Tox21, the area under the ROC curve "
    "(Klambauer et al. 2017, section 3).",
    tasks,
    run,
)
