r"""Training of an ensemble: gradient descent, early stopping, memory, evaluation."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from companion import _checks


class History(NamedTuple):
    """What :func:`train` saw.

    Attributes
    ----------
    losses : ndarray of shape (epochs, K), or (steps, K)
        Mean loss of the minibatches, each before its step, and as training sees it,
        with dropout; nan once a copy has stopped.
    validation : ndarray of shape (epochs, K)
        Loss of the validation rows after each epoch, without dropout; nan once a copy
        has stopped.  Of shape (0, K) without such rows.
    best_epoch : ndarray of int, shape (K,)
        The epoch, from 0, whose weights a copy has in the end; -1 if no validation loss
        was finite.  The last one without `patience`.
    seen : list
        What `after` returned; empty without it.
    """

    losses: np.ndarray
    validation: np.ndarray
    best_epoch: np.ndarray
    seen: list


def train(
    net,
    x,
    y,
    *,
    learning_rate,
    epochs,
    batch_size=64,
    momentum=0.9,
    loss="cross_entropy",
    validation=None,
    patience=None,
    max_bytes=None,
    by_step=False,
    after=None,
):
    r"""Train every copy by gradient descent with momentum on its own minibatches.

    .. math:: v \leftarrow \mu v + \eta_k \frac{\partial \mathcal{L}_k}{\partial w},
       \qquad w \leftarrow w - v

    Parameters
    ----------
    net : Ensemble
        Trained in place.
    x : torch.Tensor or ndarray of shape (n, n_inputs), or (K, n, n_inputs)
        With three axes each copy has rows of its own, a fold for instance.
    y : torch.Tensor or ndarray of shape (n,), or (K, n)
        The classes, integers from 0.  For ``loss="binary_cross_entropy"`` 0, 1 or nan
        where it is not known, with a last axis for the outputs.
    learning_rate : float, or sequence of K of them
        :math:`\eta_k`, above 0.
    epochs, batch_size : int
        Copy k shuffles the rows with ``numpy.random.default_rng([seeds[k], 1])``; the
        last minibatch of an epoch is smaller where `batch_size` does not divide n.
    momentum : float in [0, 1)
        :math:`\mu`.
    loss : {"cross_entropy", "binary_cross_entropy"}
        In nats, the mean over the rows; the binary one over the known labels.
    validation : pair like (x, y), optional
        Rows whose loss is taken after each epoch.
    patience : int, optional
        Early stopping: a copy stops when its validation loss has not fallen below its
        lowest for so many epochs, and gets back the weights of the lowest one.
    max_bytes : int, optional
        Train as many copies at a time as need about so much memory in a step, one at
        least.  Without it, all at once.
    by_step : bool
        Return the loss of every step instead of the mean over each epoch.
    after : function of net, optional
        Called after each epoch; not with `patience` or `max_bytes`, where the copies
        are not all trained at the same time.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid or the shapes do not match.

    Notes
    -----
    :func:`companion.training.fit` does the same in NumPy, without dropout.  A copy that
    diverges has a loss of inf or nan, and the others train on.

    Examples
    --------
    >>> from companion.torch.ensemble import METHODS, Ensemble
    >>> x = np.random.default_rng(0).standard_normal((200, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> net = Ensemble([2, 8, 2], seeds=[0, 1], **METHODS["selu"])
    >>> history = train(net, x, y, learning_rate=[0.01, 0.1], epochs=10)
    >>> history.losses.shape
    (10, 2)
    >>> bool((evaluate(net, x, y)[1] > 0.95).all())
    True
    """
    copies = len(net.seeds)
    x, y = _data("train", net, x, y, loss)
    if validation is not None:
        validation = _data("train", net, *validation, loss)
    options = {
        "epochs": _checks.integer("train", "epochs", epochs, minimum=1),
        "batch_size": _checks.integer("train", "batch_size", batch_size, minimum=1),
        "momentum": _momentum(momentum),
        "loss": LOSSES[loss],
        "patience": patience,
        "by_step": _checks.boolean("train", "by_step", by_step),
        "after": after,
    }
    rates = _learning_rates(learning_rate, net)
    if net.normalization == "batch" and (x.shape[1] - 1) % batch_size == 0:
        raise ValueError(
            f"train: `batch_size` must not leave a minibatch of one row, which has no "
            f"variance to normalize by; got {batch_size} for {x.shape[1]} rows."
        )
    if patience is not None:
        _checks.integer("train", "patience", patience, minimum=1)
        if validation is None:
            raise ValueError("train: `patience` needs `validation` rows; got none.")
    at_once = copies
    if max_bytes is not None:
        limit = _checks.integer("train", "max_bytes", max_bytes, minimum=1)
        at_once = min(copies, max(1, limit // bytes_of_a_copy(net, batch_size)))
    if after is not None and (patience is not None or at_once < copies):
        raise ValueError(
            "train: `after` must be None with `patience`, or where `max_bytes` splits "
            "the copies."
        )
    if at_once == copies:
        return _train(net, x, y, rates, validation, **options)
    histories = []
    for k in range(0, copies, at_once):
        some = slice(k, k + at_once)
        part = net.take(range(copies)[some])
        held = validation and [_of(data, some) for data in validation]
        data = _of(x, some), _of(y, some)
        histories.append(_train(part, *data, rates[some], held, **options))
        net.put(some, part)
    return _joined(histories)


def _train(net, x, y, rates, validation, epochs, patience, loss, after, **options):
    """Train all copies of the net at once; see :func:`train`."""
    copies = np.arange(len(net.seeds))
    orders = [np.random.default_rng([s, 1]) for s in net.seeds]
    velocity = [torch.zeros_like(w) for w in net.parameters]
    best_loss, best_epoch = np.full(len(copies), np.inf), np.full(len(copies), -1)
    losses, held, seen = [], [], []
    # With early stopping `net` keeps the best weights, and `part` is what trains on.
    part = net if patience is None else net.take(copies)
    for epoch in range(epochs):
        now = _epoch(part, x, y, rates, orders, velocity, loss, **options)
        losses += list(_spread(now, copies, best_loss))
        if after is not None:
            seen.append(after(net))
        if validation is None:
            continue
        found = _mean_loss(part, *validation, loss)
        held += list(_spread(found[None], copies, best_loss))
        if patience is None:
            continue
        better = np.flatnonzero(found < best_loss[copies])
        best_loss[copies[better]], best_epoch[copies[better]] = found[better], epoch
        net.put(copies[better], part, better)
        going = np.flatnonzero(epoch - best_epoch[copies] < patience)
        if not len(going):
            break
        if len(going) < len(copies):
            copies, part, rates = copies[going], part.take(going), rates[going]
            orders = [orders[k] for k in going]
            velocity = [v[going] for v in velocity]
            x, y = _of(x, going), _of(y, going)
            validation = [_of(data, going) for data in validation]
    if patience is None:
        best_epoch[:] = epochs - 1
    held = np.reshape(held, (-1, len(best_epoch)))
    return History(np.array(losses), held, best_epoch, seen)


def _epoch(net, x, y, rates, orders, velocity, loss, batch_size, momentum, by_step):
    """Take the steps of an epoch; return the losses, shape (1 or steps, copies)."""
    order = torch.tensor(np.stack([r.permutation(x.shape[1]) for r in orders]))
    batches = order.to(x.device).split(batch_size, dim=1)
    losses = []
    for rows in batches:
        logits = net.layers(_rows(x, rows), training=True)[-1]
        each = loss(logits, _rows(y, rows))
        # Each copy's gradient times its own learning rate.
        steps = torch.autograd.grad((rates * each).sum(), net.parameters)
        with torch.no_grad():
            for w, v, step in zip(net.parameters, velocity, steps, strict=True):
                w.sub_(torch.add(step, v, alpha=momentum, out=v))
        del steps, step  # else they would take memory until the next ones are there
        losses.append(each.detach())
    losses = torch.stack(losses).cpu().numpy()
    if by_step:
        return losses
    shares = [rows.shape[1] / x.shape[1] for rows in batches]
    return np.einsum("sk,s->k", losses, shares)[None]


def _of(data, copies):
    """Return the rows of some copies; data of length 1 are shared by all."""
    return data if len(data) == 1 else data[copies]


def _rows(data, rows):
    """Return the rows of each copy's minibatch; data of length 1 are shared by all."""
    if len(data) == 1:
        return data[0][rows]
    return data[torch.arange(len(data), device=data.device)[:, None], rows]


def _spread(losses, copies, like):
    """Return the losses of some copies as those of all, nan for the others."""
    spread = np.full((len(losses), len(like)), np.nan)
    spread[:, copies] = losses
    return spread


def _joined(histories):
    """Return the histories of groups of copies as one; those of fewer epochs end."""

    def join(arrays):
        joined = np.full((max(map(len, arrays)), *arrays[0].shape[1:-1], 0), np.nan)
        for a in arrays:
            ends = [(0, len(joined) - len(a)), *[(0, 0)] * (a.ndim - 1)]
            padded = np.pad(a, ends, constant_values=np.nan)
            joined = np.concatenate([joined, padded], axis=-1)
        return joined

    losses, validation, best_epoch, _ = zip(*histories, strict=True)
    return History(join(losses), join(validation), np.concatenate(best_epoch), [])


def bytes_of_a_copy(net, batch_size):
    """Return about how much memory the training of one copy takes.

    The weights, their gradients, velocities and best values, and with weight
    normalization the normalized ones and their gradients; and for each input and each
    output of a layer six numbers that the backward pass needs or that are there for a
    moment.
    """
    learned = sum(w[0].numel() for w in net.parameters)
    widths = [net.weights[0].shape[1], *[b.shape[2] for b in net.biases]]
    numbers = (6 if net.normalization == "weight" else 4) * learned
    numbers += 6 * batch_size * sum(widths)
    return numbers * net.weights[0].element_size()


def predict(net, x, batch_size=1024):
    """Return the logits of each copy, in batches of rows and without a graph.

    Without dropout, and with the moving averages of batch normalization.

    Parameters
    ----------
    net : Ensemble
    x : torch.Tensor or ndarray of shape (n, n_inputs), or (K, n, n_inputs)
    batch_size : int
        Rows at a time, which bounds the memory.

    Returns
    -------
    torch.Tensor of shape (K, n, n_outputs)
    """
    x = torch.as_tensor(x)
    with torch.no_grad():
        return torch.cat([net.logits(rows) for rows in x.split(batch_size, -2)], dim=1)


def evaluate(net, x, y, loss="cross_entropy"):
    """Return the loss in nats and the accuracy of each copy, as arrays of shape (K,).

    Without dropout, and with the moving averages of batch normalization.  The accuracy
    is the share of rows with the right class; with ``loss="binary_cross_entropy"``
    that of the known labels on whose side of 0 the logit is.

    Examples
    --------
    >>> from companion.torch.ensemble import METHODS, Ensemble
    >>> net = Ensemble([2, 3], seeds=[0, 1], **METHODS["relu"])
    >>> evaluate(net, np.zeros((4, 2)), np.array([0, 0, 0, 1]))[1]
    array([0.75, 0.75])
    """
    x, y = _data("evaluate", net, x, y, loss)
    logits = predict(net, x)
    losses = LOSSES[loss](logits, y).cpu().numpy()
    answers = logits.argmax(dim=2) if loss == "cross_entropy" else logits > 0
    y = y.expand(answers.shape).flatten(1)
    right = (answers.flatten(1) == y).sum(dim=1).double() / (~y.isnan()).sum(dim=1)
    return losses, right.cpu().numpy()


def _mean_loss(net, x, y, loss):
    return loss(predict(net, x), y).cpu().numpy()


def _cross_entropy(logits, y):
    y = y.expand(logits.shape[:2])
    return F.cross_entropy(logits.mT, y, reduction="none").mean(dim=1)


def _binary_cross_entropy(logits, y):
    y = y.expand(logits.shape)
    known = ~y.isnan()
    losses = F.binary_cross_entropy_with_logits(
        logits, y.where(known, 0.0), weight=known, reduction="none"
    )
    return losses.sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp(min=1)


#: The mean loss of each copy, shape (K,), of logits and labels.
LOSSES = {
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
}


def _data(function, net, x, y, loss):
    """Return the rows and labels as tensors of K copies, or of one that all share."""
    _checks.one_of(function, "loss", loss, tuple(LOSSES))
    w = net.parameters[0]
    x = torch.as_tensor(x, dtype=w.dtype, device=w.device)
    y = torch.as_tensor(y, device=w.device)
    classes, n_outputs = loss == "cross_entropy", net.biases[-1].shape[2]
    if classes and y.is_floating_point():
        raise TypeError(f"{function}: `y` must be integers; got {y.dtype}.")
    outputs = () if classes else (n_outputs,)
    if x.ndim not in (2, 3) or y.shape != (*x.shape[:-1], *outputs):
        raise ValueError(
            f"{function}: `x` must have shape (n, n_inputs) and `y` "
            f"{'(n,)' if classes else f'(n, {n_outputs})'}, or both a first axis for "
            f"the copies; got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    if x.ndim == 2:
        x, y = x[None], y[None]
    if len(x) not in (1, len(net.seeds)):
        raise ValueError(
            f"{function}: `x` must have rows for each copy, or for all; got rows for "
            f"{len(x)} of {len(net.seeds)} copies."
        )
    if not x.shape[1]:
        raise ValueError(f"{function}: `x` must have a row; got none.")
    if classes and not ((0 <= y) & (y < n_outputs)).all():
        raise ValueError(
            f"{function}: `y` must be classes from 0 to {n_outputs - 1}; got "
            f"{y.min()} to {y.max()}."
        )
    return x, y.long() if classes else y.to(w.dtype)


def _learning_rates(rates, net):
    rates = _checks.real_array("train", "learning_rate", rates)
    copies = len(net.seeds)
    if rates.shape not in ((), (copies,)):
        raise ValueError(
            f"train: `learning_rate` must be a number or one for each copy; got shape "
            f"{rates.shape} for {copies} copies."
        )
    if not (np.isfinite(rates) & (rates > 0)).all():
        raise ValueError(
            f"train: `learning_rate` must be finite and above 0; got {rates}."
        )
    w = net.parameters[0]
    rates = np.broadcast_to(rates, copies).copy()
    return torch.tensor(rates, dtype=w.dtype, device=w.device)


def _momentum(momentum):
    momentum = _checks.finite("train", "momentum", momentum, minimum=0.0)
    if momentum >= 1:
        raise ValueError(f"train: `momentum` must be in [0, 1); got {momentum!r}.")
    return momentum
