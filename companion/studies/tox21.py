r"""Twelve toxic effects of molecules: Klambauer et al. (2017), section 3, Tox21.

Nets of seven kinds and 2 to 32 hidden layers learn all assays at once, from
fingerprints; what was not measured has no part in the loss.  They are judged by the
area under the ROC curve, the mean over the assays.  Chapter *Replications*.

What differs from the paper: fingerprints of 1024 bits, where there were several
thousand descriptors of different kinds; molecules split at random, ten times, where the
challenge had a test set of its own; hidden layers of 64 units; a single net, no
ensemble.
"""

import functools

import numpy as np

from companion import datasets
from companion.studies.fingerprints import fingerprints, readable
from companion.studies.runner import Study
from companion.studies.selection import DROP_RATES, auc, final, search, table
from companion.torch.ensemble import METHODS, predict

#: What a form of the study does.
FORMS = {
    "full": {
        "depths": (2, 3, 4, 6, 8, 16, 32),
        "learning_rates": (0.004, 0.02, 0.1),
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
    form, method = FORMS[task["form"]], task["method"]
    options = {"loss": "binary_cross_entropy", **form["training"]}
    width = 64

    def known(seed):
        return _split(form["n_bits"], form["rows"], seed)

    rows, validation, _ = known(task["seed"] + 100)  # a split of its own
    found = search(
        METHODS[method],
        rows,
        validation,
        n_outputs=rows[1].shape[1],
        width=width,
        depths=(task["depth"],),
        learning_rates=form["learning_rates"],
        drop_rates=DROP_RATES[method],
        score=auc,
        seed=task["seed"],
        **options,
    )
    areas = []
    for split in range(form["splits"]):
        rows, validation, test = known(task["seed"] + split)
        nets, _ = final(
            METHODS[method],
            rows,
            validation,
            found[0],
            n_outputs=rows[1].shape[1],
            seeds=[task["seed"] + split],
            **options,
        )
        areas.append(auc(predict(nets, test[0]).numpy()[0], test[1]))
    return {"auc": areas, "settings": found[0], "searched": table(found)}


def _split(n_bits, n_rows, seed):
    """Return fingerprints and labels for training, validation and test."""
    x, labels, smiles = _molecules(n_bits, n_rows)
    molecules, molecule = np.unique(smiles, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(molecules)) % 5
    part = dealt[molecule]  # rows of the same molecule stay together
    masks = part < 3, part == 3, part == 4
    rows, validation, test = ((x[mask], labels[mask]) for mask in masks)
    n = len(rows[0]) - (len(rows[0]) % 64 == 1)
    return (rows[0][:n], rows[1][:n]), validation, test


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
