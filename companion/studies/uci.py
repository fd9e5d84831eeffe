r"""Feed-forward nets on the UCI tasks: Klambauer et al. (2017), section 3.

Each of nine methods (seven kinds of nets, support vector machines, random forests)
learns each task four times, and every row is in the test fold of one of them.
Chapter *Replications*.

What differs from the paper: the tasks are those at hand, up to 68 of 121; folds are our
own; hidden layers have 64 units, or 128 where there are ten thousand rows, and not 256
to 1024, and are 2 to 16, not up to 32; gradient descent has momentum; the settings are
searched for with 5000 rows at most, and all nets see two million rows at most.  As in
the paper the settings are chosen once, on validation rows; they are then used for all
four folds, or, where a net of these diverges, the next best.
"""

import numpy as np

from companion import datasets
from companion.studies import classical
from companion.studies.runner import Study
from companion.studies.selection import DROP_RATES, accuracy, final, search, table
from companion.torch.ensemble import METHODS, predict

N_FOLDS = 4
#: What a form of the study does; the full one is the study.  Settings are searched for
#: with some of the rows and less training; the nets that count see more of both.
FORMS = {
    "full": {
        "depths": (2, 4, 8, 16),
        "learning_rates": (0.004, 0.02, 0.1, 0.5),
        "width": 64,
        "wide": 128,
        "max_epochs": 200,
        "searched_rows": 5000,
        "rows_seen_in_search": 150_000,
        "rows_seen": 2_000_000,
        "seeds": 2,
        "rows_of_one_seed": 5000,
    },
    "reduced": {
        "depths": (2, 8),
        "learning_rates": (0.02, 0.1),
        "width": 32,
        "wide": 32,
        "max_epochs": 30,
        "searched_rows": 1000,
        "rows_seen_in_search": 10_000,
        "rows_seen": 10_000,
        "seeds": 1,
        "rows_of_one_seed": 5000,
    },
}
WIDE_ROWS = 10_000  # from here on hidden layers have `wide` units
REDUCED_TASKS = "iris", "wine", "hepatitis"


def tasks(reduced=False):
    """Return the task of each data set and method, large data sets first."""
    names = REDUCED_TASKS if reduced else datasets.uci_names()
    names = sorted(names, key=lambda name: -len(datasets.uci_rows(name)[1]))
    form = "reduced" if reduced else "full"
    return [
        {"data": name, "method": method, "form": form, "seed": 0}
        for name in names
        for method in (*METHODS, *classical.METHODS)
    ]


def run(task):
    """Return the test accuracy in each fold, and the settings that were chosen."""
    method, seed = task["method"], task["seed"]
    inputs, y, folds = prepared(task["data"], seed)
    size = {
        "rows": len(y),
        "features": inputs[0].shape[1],
        "classes": int(y.max()) + 1,
    }
    if method in METHODS:
        form = FORMS[task["form"]]
        if len(y) >= WIDE_ROWS:
            form = form | {"width": form["wide"]}
        kind = METHODS[method], DROP_RATES[method]
        scores, details = learn(*kind, inputs, y, folds, form, seed)
        return size | {"accuracy": scores} | details
    rows, validation, _ = folds[0]
    settings = classical.choose(
        method,
        *(inputs[0][rows], y[rows], inputs[0][validation], y[validation]),
        seed=seed,
    )
    scores = []
    for x, (rows, validation, test) in zip(inputs, folds, strict=True):
        known = np.concatenate([rows, validation])  # no early stopping to hold some for
        labels = classical.predict(
            method, settings, x[known], y[known], x[test], seed=seed
        )
        scores.append([float((labels == y[test]).mean())])
    return size | {"accuracy": scores, "settings": settings}


def prepared(name, seed):
    """Return the inputs of a data set for each fold, the labels, and the folds.

    All rows of the inputs are filled and standardized by those for training, as
    float32.
    """
    x, y = datasets.uci_rows(name)
    dealt = folds(y, seed)
    inputs = [
        datasets.standardize(*datasets.fill(x[rows], x))[1].astype(np.float32)
        for rows, _, _ in dealt
    ]
    return inputs, y, dealt


def learn(net, drop_rates, inputs, y, folds, form, seed, score=accuracy):
    """Choose settings on the first fold, and return the score in each test fold.

    Parameters
    ----------
    net : dict
        As for :func:`companion.studies.selection.build`.
    drop_rates : sequence of float
        To choose from.
    inputs : list of ndarray of shape (n, n_inputs)
        All rows, prepared for each fold.
    y : ndarray of int, shape (n,)
    folds : list of triples of indices
        Rows for training, for validation and for the test, of each fold.
    form : dict
        One of :data:`FORMS`.
    seed : int
    score : function of (logits, y)
        What is to be large.

    Returns
    -------
    scores : list of list of float
        For each fold, those of its seeds.
    details : dict
        The settings, all that were searched, and how the nets were trained.
    """
    n_outputs = int(y.max()) + 1
    rows, validation, _ = (part[: form["searched_rows"]] for part in folds[0])
    found = search(
        net,
        (inputs[0][rows], y[rows]),
        (inputs[0][validation], y[validation]),
        n_outputs=n_outputs,
        drop_rates=drop_rates,
        score=score,
        seed=seed,
        **{k: form[k] for k in ("depths", "learning_rates", "width")},
        **_training(len(rows), form["rows_seen_in_search"], form),
    )
    n_seeds = form["seeds"] if len(y) < form["rows_of_one_seed"] else 1
    training = _training(len(folds[0][0]), form["rows_seen"], form)
    # A copy for each fold and seed, each with the rows of its fold.
    seeds = [seed + 1 + s for _ in folds for s in range(n_seeds)]
    copies = [fold for fold in range(len(folds)) for _ in range(n_seeds)]

    def of(part):
        index = [folds[fold][part] for fold in copies]
        x = [inputs[fold][i] for fold, i in zip(copies, index, strict=True)]
        return np.stack(x), y[np.stack(index)]

    nets, history, settings = final(
        net, of(0), of(1), found, n_outputs=n_outputs, seeds=seeds, **training
    )
    logits = predict(nets, np.stack([inputs[fold] for fold in copies])).numpy()
    scores = [
        score(each[folds[fold][2]], y[folds[fold][2]])
        for fold, each in zip(copies, logits, strict=True)
    ]
    return np.reshape(scores, (len(folds), -1)).tolist(), {
        "settings": settings,
        "searched": table(found),
        "training": training,
        "best_epochs": history.best_epoch.tolist(),
    }


def _training(n, rows_seen, form):
    """Return how nets with n rows are trained, that may see so many in all epochs."""
    epochs = int(np.clip(rows_seen // n, 10, form["max_epochs"]))
    patience = max(4, epochs // 8)
    return {
        "epochs": epochs,
        "patience": patience,
        "batch_size": 32 if n < 2000 else 64,
    }


def folds(y, seed, n_folds=N_FOLDS):
    """Return rows for training, validation and test of each fold; classes are dealt.

    A fifth of what is not in the test fold is for validation.  All folds have equally
    many rows for training, and for validation, so that their nets have one shape: a row
    or two may be left out, and one more where a minibatch would have a single row.
    """
    rng = np.random.default_rng(seed)
    dealt = _deal(y, n_folds, rng)
    parts = []
    for fold in range(n_folds):
        rest = rng.permutation(np.flatnonzero(dealt != fold))
        held = _deal(y[rest], 5, rng) == 0
        parts.append((rest[~held], rest[held], np.flatnonzero(dealt == fold)))
    n, m = (min(len(part[i]) for part in parts) for i in range(2))
    n -= n % 32 == 1  # the sizes of minibatches are multiples of 32
    return [(rows[:n], held[:m], test) for rows, held, test in parts]


def _deal(y, n_hands, rng):
    """Deal the rows of each class like cards, and return who got which."""
    order = np.lexsort((rng.random(len(y)), y))
    hands = np.empty(len(y), int)
    hands[order] = np.arange(len(y)) % n_hands
    return hands


STUDY = Study(
    "uci",
    "Nets, support vector machines and random forests on UCI tasks "
    "(Klambauer et al. 2017, section 3).",
    tasks,
    run,
)
