r"""Pulsars among 17898 candidates: Klambauer et al. (2017), section 3, HTRU2.

Each method learns to tell pulsars from noise in ten folds, and is judged by the area
under the ROC curve.  Chapter *Replications*.

What differs from the paper: folds are our own; hidden layers have 64 units and are 2 to
16; the settings are chosen once, on the validation rows of the first fold; a number of
epochs that is bounded.  A random forest and a logistic regression of scikit-learn stand
beside the nets.
"""

import numpy as np

from companion import datasets
from companion.studies import uci
from companion.studies.runner import Study
from companion.studies.selection import DROP_RATES, auc
from companion.torch.ensemble import METHODS

N_FOLDS = 10
CLASSICAL = "random_forest", "logistic_regression"
#: What a form of the study does, beside what :data:`companion.studies.uci.FORMS` says.
FORMS = {
    "full": uci.FORMS["full"] | {"rows": None},
    "reduced": uci.FORMS["reduced"] | {"rows": 2000},
}


def tasks(reduced=False):
    """Return the task of each method."""
    form = "reduced" if reduced else "full"
    return [
        {"method": method, "form": form, "seed": 0} for method in (*METHODS, *CLASSICAL)
    ]


def run(task):
    """Return the area under the curve in each fold, and the settings."""
    form, method, seed = FORMS[task["form"]], task["method"], task["seed"]
    data = datasets.htru2(standardized=False)
    parts = "train", "validation", "test"
    x = np.concatenate([getattr(data, f"x_{part}") for part in parts])[: form["rows"]]
    y = np.concatenate([getattr(data, f"y_{part}") for part in parts])[: form["rows"]]
    folds = uci.folds(y, seed, N_FOLDS)
    inputs = [
        datasets.standardize(x[rows], x)[1].astype(np.float32) for rows, _, _ in folds
    ]
    if method in CLASSICAL:
        return {"auc": [[a] for a in _classical(method, inputs, y, folds, seed)]}
    kind = METHODS[method], DROP_RATES[method]
    scores, details = uci.learn(*kind, inputs, y, folds, form, seed, score=auc)
    return {"auc": scores} | details


def _classical(method, inputs, y, folds, seed):
    """Return the area of each fold, with scikit-learn's own settings."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    for x, (rows, validation, test) in zip(inputs, folds, strict=True):
        known = np.concatenate([rows, validation])
        if method == "random_forest":
            model = RandomForestClassifier(500, random_state=seed)
        else:
            model = LogisticRegression(max_iter=1000)
        chances = model.fit(x[known], y[known]).predict_proba(x[test])
        yield auc(np.log(np.maximum(chances, 1e-12)), y[test])


STUDY = Study(
    "htru2",
    "Nets on HTRU2, the area under the ROC curve in ten folds "
    "(Klambauer et al. 2017, section 3).",
    tasks,
    run,
)
