"""Training: optimizers, schedules, minibatches, and a record of what happened.

Nets with K copies (:mod:`companion.mlp`) are trained at once, each copy with its
own order of minibatches and, where an array of K is given, its own learning rate.
Chapter *Vanishing and exploding gradients*.
"""

import copy
import itertools
from dataclasses import dataclass

import numpy as np

from companion import _checks
from companion._early_stopping import BestWeights
from companion._optimizers import SGD, Adam, Nadam, RMSProp, _Optimizer
from companion._schedules import one_cycle
from companion.mlp import softmax_cross_entropy

__all__ = [
    "SGD",
    "Adam",
    "History",
    "Nadam",
    "RMSProp",
    "RangeTest",
    "evaluate",
    "find_learning_rate",
    "fit",
    "one_cycle",
    "prune",
]


@dataclass(eq=False)
class History:
    """What :func:`fit` saw after each epoch.

    Attributes
    ----------
    loss : ndarray of shape (n_epochs,), or (n_epochs, K)
        In nats: the mean over the minibatches, each before its step.  A copy that has
        stopped early has nan from then on, here and below.
    validation_loss, validation_accuracy : ndarray of the same shape, or None
        On the validation data, after the epoch.
    best_epoch : int, or ndarray of int of shape (K,), or None
        With early stopping: the epoch, counted from 0, whose weights the net has.
    """

    loss: np.ndarray
    validation_loss: np.ndarray | None = None
    validation_accuracy: np.ndarray | None = None
    best_epoch: np.ndarray | None = None


def fit(
    net,
    x,
    y,
    *,
    optimizer,
    epochs,
    batch_size,
    rng,
    validation=None,
    progress=True,
    schedule=None,
    patience=None,
    l1=0.0,
):
    r"""Train `net` on shuffled minibatches.

    Parameters
    ----------
    net : companion.mlp.Sequential
        Trained in place.
    x : ndarray of shape (n, n_features)
    y : ndarray of int, shape (n,)
    optimizer : SGD, RMSProp, Adam or Nadam
    epochs, batch_size : int
        The last minibatch of an epoch is smaller where `batch_size` does not
        divide n.
    rng : numpy.random.Generator, or a sequence of K of them
        Shuffles the rows; K generators give each copy its own order.
    validation : (x, y), optional
    progress : bool
        Show a bar where tqdm is installed; ``TQDM_DISABLE=1`` hides it.
    schedule : function of the step, optional
        The learning rate of each step, such as :func:`one_cycle`; the steps of all
        epochs are counted from 0.  If it has a method ``momentum``, that is set too:
        `beta_1` of Adam and Nadam.  The optimizer keeps the last ones.
    patience : int, optional
        Stop early: after so many epochs in a row without a validation loss below the
        lowest one, at least 1.  Then, and after the last epoch too, the net gets back
        what it had after its best epoch: the parameters, and the running values of each
        :class:`companion.normalization.BatchNorm`.
    l1 : float
        Add the gradient of :math:`l_1 \sum |w|` over the weights W of the dense layers,
        :math:`l_1 \operatorname{sign}(w)`: 0 at 0.  Biases and other parameters go
        free, and the losses in the history do not count it.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid or the shapes do not match; also if the schedule ends
        before the last step, or gives a momentum to an optimizer without one.

    Notes
    -----
    A copy that diverges gets a loss of inf or nan in the history, without a
    warning, and the others train on.  With early stopping that is an epoch without
    improvement; a net that had no other gets back what it had before training, and
    its `best_epoch` is -1.

    Each copy stops on its own, and is the net that it would be alone.  The state of the
    optimizer, and of the generators in layers, are not given back.

    Examples
    --------
    >>> from companion.mlp import stack
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> net = stack([2, 8, 2], activation="tanh", rng=rng)
    >>> history = fit(net, x, y, optimizer=SGD(0.5), epochs=20, batch_size=20, rng=rng,
    ...               validation=(x, y), progress=False)
    >>> bool(history.validation_accuracy[-1] > 0.95)
    True
    """
    x, y = _rows("fit", x, y)
    epochs = _checks.integer("fit", "epochs", epochs, minimum=1)
    batch_size = _checks.integer("fit", "batch_size", batch_size, minimum=1)
    _require_optimizer("fit", optimizer)
    if validation is not None and (
        not isinstance(validation, tuple) or len(validation) != 2
    ):
        pair = isinstance(validation, tuple)
        got = f"{len(validation)} entries" if pair else type(validation).__name__
        raise TypeError(f"fit: `validation` must be a tuple (x, y); got {got}.")
    copies = _copies("fit", net, rng)
    _require_rates(optimizer, copies)
    l1 = _checks.finite("fit", "l1", l1, minimum=0.0)
    if patience is not None:
        patience = _checks.integer("fit", "patience", patience, minimum=1)
        if validation is None:
            raise ValueError(
                "fit: `validation` must be given where there is a `patience`; got None."
            )
    if schedule is not None:
        _require_schedule(schedule, optimizer, epochs * -(-len(x) // batch_size))
    numbers = itertools.count()

    def step(rows):
        if schedule is not None:
            _set_pace(optimizer, schedule, next(numbers))
            _require_rates(optimizer, copies)
        return _step(net, x[rows], y[rows], optimizer, l1)

    best = BestWeights(net, patience, copies)
    losses, scores, order = [], [], None
    with np.errstate(over="ignore", invalid="ignore"):  # a copy may diverge
        for epoch in _bar(range(epochs), progress):
            order = _shuffle(rng, len(x), best.training, order)
            stopped = ~best.training
            losses.append(_without(stopped, _epoch(step, order, batch_size)))
            if validation is not None:
                score = evaluate(net, *validation)
                scores.append([_without(stopped, value) for value in score])
                best.see(epoch, score[0])
            if not best.training.any():
                break
    history = History(np.array(losses))
    if scores:
        history.validation_loss, history.validation_accuracy = (
            np.array(column) for column in zip(*scores, strict=True)
        )
    if patience is not None:
        best.restore()
        history.best_epoch = best.epoch[()]
    return history


def evaluate(net, x, y):
    """Return the loss in nats and the accuracy of `net`, for each copy.

    Examples
    --------
    >>> from companion.mlp import stack
    >>> net = stack([2, 2], activation="relu", rng=np.random.default_rng(0))
    >>> loss, accuracy = evaluate(net, np.zeros((4, 2)), np.array([0, 0, 0, 1]))
    >>> print(f"{loss:.4f} {accuracy:.2f}")
    0.6931 0.75
    """
    logits = net.forward(x)
    loss, _ = softmax_cross_entropy(logits, y)
    return loss, (logits.argmax(axis=-1) == y).mean(axis=-1)


def prune(net, threshold):
    """Set the weights of a net that are closer to 0 than `threshold` to 0.

    Parameters
    ----------
    net : companion.mlp.Sequential
        Changed in place: W of its dense layers, no bias and no other parameter.
    threshold : float
        At least 0; a weight of just this size stays, and so does nan.

    Returns
    -------
    float, or ndarray of shape (K,) for K copies
        The share of the weights that are 0 now.

    Raises
    ------
    TypeError, ValueError
        If the threshold is not a number of at least 0.

    Notes
    -----
    Training with `l1` in :func:`fit` leaves many weights small, and hardly any 0: each
    step carries them across it.

    Examples
    --------
    >>> from companion.mlp import Dense, Sequential
    >>> net = Sequential([Dense(2, 2, rng=np.random.default_rng(0))])
    >>> net.dense[0].parameters["W"] = np.array([[0.5, -0.01], [0.001, -2.0]])
    >>> float(prune(net, 0.1))
    0.5
    """
    threshold = _checks.finite("prune", "threshold", threshold, minimum=0.0)
    zeros = total = 0
    for layer in net.dense:
        W = layer.parameters["W"]
        W = layer.parameters["W"] = np.where(np.abs(W) < threshold, 0.0, W)
        zeros = zeros + (W == 0).sum(axis=(-2, -1))
        total += W.shape[-2] * W.shape[-1]
    return zeros / total


@dataclass(eq=False)
class RangeTest:
    """What :func:`find_learning_rate` saw.

    Attributes
    ----------
    rates : ndarray of shape (n,)
        The learning rate of each step that was taken.
    losses : ndarray of shape (n,), or (n, K)
        In nats, of the minibatch before that step; nan after the explosion.
    suggestion : ndarray of shape (), or (K,)
        A learning rate to train with, or nan where no mean of the losses is finite.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: np.ndarray


def find_learning_rate(
    net, x, y, *, optimizer, batch_size, rng, min_rate=1e-5, max_rate=10.0, n_steps=500
):
    """Raise the learning rate from step to step, and see when the loss explodes.

    The rates grow geometrically from `min_rate` to `max_rate`.  The losses of
    minibatches are noisy, and are averaged over ``w = 2 * (n_steps // 50) + 1`` steps.
    They have exploded when the mean of the last w is above four times that of the first
    w, or not finite.  A tenth of the rate is suggested at which the mean, with
    ``n_steps // 50`` steps before it and as many after, is lowest.

    Parameters
    ----------
    net : companion.mlp.Sequential
        A copy of it is trained; the net itself and its generators stay as they are.
    x : ndarray of shape (n, n_features)
    y : ndarray of int, shape (n,)
    optimizer : SGD, RMSProp, Adam or Nadam
        Gives the rule; neither its learning rate nor its state is used or changed.
    batch_size : int
    rng : numpy.random.Generator, or a sequence of K of them
        Shuffles the rows, as in :func:`fit`.
    min_rate, max_rate : float
        Above 0.
    n_steps : int
        At least 2.

    Returns
    -------
    RangeTest

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid or the shapes do not match.

    Notes
    -----
    Géron (2019), chapter 11: the best rate is often about ten times lower than that at
    which the loss turns up.  Where it never does, `max_rate` is too small.

    Examples
    --------
    >>> from companion.mlp import stack
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> net = stack([2, 8, 2], activation="relu", rng=rng)
    >>> test = find_learning_rate(net, x, y, optimizer=SGD(1.0), batch_size=20, rng=rng,
    ...                           max_rate=1000.0)
    >>> len(test.rates) < 500, bool(test.losses[-1] > 4 * test.losses[0])
    (True, True)
    >>> bool(0.01 < test.suggestion < 10)
    True
    """
    name = "find_learning_rate"
    x, y = _rows(name, x, y)
    batch_size = _checks.integer(name, "batch_size", batch_size, minimum=1)
    _require_optimizer(name, optimizer)
    copies = _copies(name, net, rng)
    min_rate = _checks.finite(name, "min_rate", min_rate, above=0.0)
    max_rate = _checks.finite(name, "max_rate", max_rate, above=min_rate)
    n_steps = _checks.integer(name, "n_steps", n_steps, minimum=2)
    net, optimizer = copy.deepcopy(net), optimizer.fresh()
    rates, half = np.geomspace(min_rate, max_rate, n_steps), n_steps // 50
    window = 2 * half + 1
    losses = np.full((n_steps, *copies), np.nan)
    alive, order = np.full(copies, True), None
    with np.errstate(over="ignore", invalid="ignore"):
        for number, rate in enumerate(rates):
            start = number * batch_size % (-(-len(x) // batch_size) * batch_size)
            if start == 0:
                order = _shuffle(rng, len(x), alive, order)
            rows = order[..., start : start + batch_size]
            optimizer.learning_rate = rate
            loss = _step(net, x[rows], y[rows], optimizer)
            losses[number] = _without(~alive, loss)
            seen = losses[: number + 1]
            alive = seen[-window:].mean(axis=0) <= 4 * seen[:window].mean(axis=0)
            if not alive.any():
                break
        means = np.lib.stride_tricks.sliding_window_view(losses, window, axis=0)
        means = means.mean(axis=-1)
    means = np.where(np.isfinite(means), means, np.inf)
    found = rates[half + means.argmin(axis=0)] / 10
    suggestion = np.where(np.isfinite(means.min(axis=0)), found, np.nan)[()]
    return RangeTest(rates[: len(seen)], seen, suggestion)


def _step(net, x, y, optimizer, l1=0.0):
    """Take one step on a minibatch and return its loss before that."""
    loss, gradient = softmax_cross_entropy(net.forward(x, training=True), y)
    net.backward(gradient)
    if l1 > 0:
        for layer in net.dense:
            sign = np.sign(layer.parameters["W"])
            layer.gradients["W"] = layer.gradients["W"] + l1 * sign
    optimizer.step(net.trainable)
    return loss


def _epoch(step, order, batch_size):
    """Take one step for each minibatch of `order` and return the mean loss."""
    n, total = order.shape[-1], 0.0
    for start in range(0, n, batch_size):
        rows = order[..., start : start + batch_size]
        total = total + step(rows) * rows.shape[-1]
    return total / n


def _shuffle(rng, n, training, last):
    """Draw an order of n rows: for all copies, or for each that is still training."""
    if not isinstance(rng, list | tuple):
        return rng.permutation(n)
    last = [None] * len(rng) if last is None else last
    rows = zip(rng, training, last, strict=True)
    return np.stack([r.permutation(n) if on else old for r, on, old in rows])


def _without(stopped, values):
    """Replace the values of copies that have stopped by nan."""
    return np.where(stopped, np.nan, values)


def _rows(function, x, y):
    """Return instances and labels as arrays."""
    x, y = _checks.real_array(function, "x", x), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(
            f"{function}: `x` must have shape (n, n_features) and `y` (n,); got "
            f"{x.shape} and {y.shape}."
        )
    if not len(x):
        raise ValueError(f"{function}: `x` must have a row; got none.")
    return x, y


def _copies(function, net, rng):
    """Return the shape that the copies of the net put in front, as `rng` has it."""
    many = isinstance(rng, list | tuple)
    for r in rng if many else [rng]:
        _checks.generator(function, "rng", r)
    copies = net.dense[0].parameters["W"].shape[:-2]
    if many and copies != (len(rng),):
        raise ValueError(
            f"{function}: `rng` must be one generator, or a sequence of one for each "
            f"copy of the net; got {len(rng)} for a net with copies {copies}."
        )
    return copies


def _require_optimizer(function, optimizer):
    if not isinstance(optimizer, _Optimizer):
        raise TypeError(
            f"{function}: `optimizer` must be an SGD, RMSProp, Adam or Nadam; got "
            f"{optimizer!r}."
        )


def _require_rates(optimizer, copies):
    if optimizer.learning_rate.shape not in ((), copies):
        raise ValueError(
            f"fit: `learning_rate` must be a number or one for each copy; got "
            f"shape {optimizer.learning_rate.shape} for {copies}."
        )


def _require_schedule(schedule, optimizer, n_steps):
    """Ask the schedule for the last step, so that it cannot end before."""
    if not callable(schedule):
        raise TypeError(
            f"fit: `schedule` must be a function of the step; got {schedule!r}."
        )
    if hasattr(schedule, "momentum") and not hasattr(optimizer, "momentum"):
        raise ValueError(
            f"fit: `schedule` must not have a momentum for {type(optimizer).__name__}, "
            "which has none. Pass one_cycle(..., momentum=None)."
        )
    try:
        schedule(n_steps - 1)
    except ValueError as error:
        raise ValueError(
            f"fit: `schedule` must give the rates of all {n_steps} steps; got an error "
            f"for step {n_steps - 1}."
        ) from error


def _set_pace(optimizer, schedule, step):
    """Set what the schedule says of a step."""
    optimizer.learning_rate = schedule(step)
    if hasattr(schedule, "momentum"):
        optimizer.momentum = schedule.momentum(step)


def _bar(epochs, progress):
    """Wrap the epochs in a progress bar, if one is wanted and there is tqdm."""
    if progress:
        try:
            from tqdm import tqdm
        except ImportError:
            return epochs
        return tqdm(epochs, unit="epoch", leave=False)
    return epochs
