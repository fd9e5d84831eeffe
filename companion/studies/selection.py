r"""Choose the settings of nets on validation rows, as every study here does.

A net of each combination of depth, learning rate and rate of dropout in a grid is
trained.  Nets of one depth have one shape and are trained at once.  They start from the
same seed, so that differences are those of the settings.
"""

import itertools

import numpy as np
import torch

from companion.torch.ensemble import METHODS, Ensemble, predict, train

#: Rates of dropout to choose from; alpha dropout needs less of it (Klambauer et al.
#: 2017 recommend 0.05 to 0.1).
DROP_RATES = {m: (0.0, 0.05) if m == "selu" else (0.0, 0.2) for m in METHODS}


def build(net, n_inputs, n_outputs, settings, seeds, rate):
    """Return an ensemble in float32, whose hidden layers are equally wide.

    Parameters
    ----------
    net : dict
        What kind of net: arguments of :class:`companion.torch.ensemble.Ensemble`.
    n_inputs, n_outputs : int
    settings : dict
        With `depth`, the number of hidden layers, and `width`.
    seeds : sequence of K int
    rate : float, or sequence of K of them
        Of dropout.
    """
    widths = [n_inputs, *settings["depth"] * [settings["width"]], n_outputs]
    return Ensemble(widths, seeds=seeds, rate=rate, dtype=torch.float32, **net)


def search(
    net,
    rows,
    validation,
    *,
    n_outputs,
    width,
    depths,
    learning_rates,
    drop_rates,
    score,
    seed,
    **training,
):
    """Train a net for each settings of the grid, and return how good they are.

    Parameters
    ----------
    net : dict
        As for :func:`build`.
    rows, validation : pairs of ndarray
        Inputs and labels.
    n_outputs, width : int
    depths, learning_rates, drop_rates : sequence
        The grid.
    score : function of (logits, y)
        What is to be large, of one net's logits on the validation rows.
    seed : int
    **training
        What :func:`companion.torch.ensemble.train` takes.

    Returns
    -------
    list of dict
        The settings, with `score` and `loss` on the validation rows; the best first:
        that of the highest score, rounded to nine digits, and of the lowest loss where
        scores are the same.
    """
    found = []
    for depth in depths:
        grid = list(itertools.product(learning_rates, drop_rates))
        rates, drops = np.array(grid).T
        settings = {"depth": depth, "width": width}
        seeds = [seed] * len(grid)
        nets = build(net, rows[0].shape[-1], n_outputs, settings, seeds, drops)
        history = train(
            nets, *rows, learning_rate=rates, validation=validation, **training
        )
        losses = np.nanmin(np.nan_to_num(history.validation, nan=np.inf), axis=0)
        logits = predict(nets, validation[0]).numpy()
        for (rate, drop), loss, each in zip(grid, losses, logits, strict=True):
            point = {"learning_rate": rate, "drop_rate": drop}
            worth = {"score": score(each, validation[1]), "loss": float(loss)}
            found.append(settings | point | worth)
    return sorted(found, key=lambda s: (-round(s["score"], 9), s["loss"]))


def final(net, rows, validation, found, *, n_outputs, seeds, **training):
    """Train a net for each seed, with the best settings with which none diverges.

    Settings are chosen with one seed.  At the edge of divergence it may be the only one
    whose net learns, and that the others do not is seen without a test row: they have
    no finite validation loss.

    Parameters
    ----------
    net : dict
        As for :func:`build`.
    rows, validation : pairs of ndarray
        Inputs and labels, of shape (K, n, n_inputs) and (K, n) where each seed has rows
        of its own.
    found : list of dict
        What :func:`search` returned.
    n_outputs : int
    seeds : sequence of K int
    **training
        What :func:`companion.torch.ensemble.train` takes, with `patience`.

    Returns
    -------
    nets : Ensemble
    history : History
    settings : dict
        The one of `found` that was taken; the last one if all diverge.
    """
    n_inputs = rows[0].shape[-1]
    for settings in found:
        rates = settings["drop_rate"], settings["learning_rate"]
        nets = build(net, n_inputs, n_outputs, settings, seeds, rates[0])
        history = train(
            nets, *rows, learning_rate=rates[1], validation=validation, **training
        )
        if (history.best_epoch >= 0).all():
            break
    return nets, history, settings


def table(found):
    """Return what :func:`search` found as rows of numbers, for a record.

    Their columns: depth, learning rate, rate of dropout, score and loss.
    """
    keys = "depth", "learning_rate", "drop_rate", "score", "loss"
    return [[float(f"{point[key]:.6g}") for key in keys] for point in found]


def accuracy(logits, y):
    """Return the share of rows whose largest logit is that of their class."""
    return float((logits.argmax(axis=-1) == y).mean())


def auc(logits, y):
    """Return the area under the ROC curve, the mean over the outputs.

    For logits of shape (n, 2) and classes y the score is their difference; for
    (n, n_outputs) and labels y of that shape, nan where one is not known, each output
    has a curve of its own, over the rows whose label is known.  Of a net that has
    diverged it is 1/2.
    """
    from sklearn.metrics import roc_auc_score

    if not np.isfinite(logits).all():
        return 0.5
    if y.ndim == 1:
        return float(roc_auc_score(y, logits[:, 1] - logits[:, 0]))
    known = ~np.isnan(y)
    columns = zip(logits.T, y.T, known.T, strict=True)
    return float(np.mean([roc_auc_score(b[k], z[k]) for z, b, k in columns]))
