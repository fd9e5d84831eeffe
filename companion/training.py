"""Training: an optimizer, minibatches, and a record of what happened.

Nets with K copies (:mod:`companion.mlp`) are trained at once, each copy with its
own order of minibatches and, where an array of K is given, its own learning rate.
Chapter *Vanishing and exploding gradients*.
"""

from dataclasses import dataclass

import numpy as np

from companion import _checks
from companion.mlp import softmax_cross_entropy


class SGD:
    r"""Go down the gradient, with momentum.

    .. math:: v \leftarrow \mu v + \frac{\partial \mathcal{L}}{\partial w}, \qquad
       w \leftarrow w - \eta v

    Parameters
    ----------
    learning_rate : float, or array_like of shape (K,) for K copies
        :math:`\eta`, above 0.
    momentum : float in [0, 1)
        :math:`\mu`; 0 is plain gradient descent, PyTorch's convention otherwise.

    Raises
    ------
    TypeError, ValueError
        If a learning rate is not a positive number, or the momentum out of range.

    Notes
    -----
    Rumelhart et al. (1986), eq. 9, write :math:`\Delta w` for :math:`-\eta v`.

    Examples
    --------
    >>> from companion.mlp import Dense
    >>> layer = Dense(1, 1, initializer=lambda shape, rng: np.ones(shape),
    ...               rng=np.random.default_rng(0))
    >>> layer.gradients = {"W": np.array([[2.0]]), "b": np.array([0.0])}
    >>> SGD(0.1).step([layer])
    >>> layer.parameters["W"]
    array([[0.8]])
    """

    def __init__(self, learning_rate, momentum=0.0):
        rate = _checks.real_array("SGD", "learning_rate", learning_rate)
        if not (np.isfinite(rate) & (rate > 0)).all():
            raise ValueError(
                f"SGD: `learning_rate` must be finite and above 0; got {rate}."
            )
        self.learning_rate = rate
        self.momentum = _checks.finite("SGD", "momentum", momentum, minimum=0.0)
        if self.momentum >= 1:
            raise ValueError(f"SGD: `momentum` must be in [0, 1); got {momentum!r}.")
        self.velocity = {}

    def step(self, layers):
        """Move the parameters of `layers` along their gradients."""
        for layer in layers:
            for name, gradient in layer.gradients.items():
                w = layer.parameters[name]
                v = self.momentum * self.velocity.get((layer, name), 0) + gradient
                self.velocity[layer, name] = v
                rate = self.learning_rate
                rate = rate.reshape(rate.shape + (1,) * (w.ndim - rate.ndim))
                layer.parameters[name] = w - rate * v


@dataclass(eq=False)
class History:
    """What :func:`fit` saw after each epoch.

    Attributes
    ----------
    loss : ndarray of shape (n_epochs,), or (n_epochs, K)
        In nats: the mean over the minibatches, each before its step.
    validation_loss, validation_accuracy : ndarray of the same shape, or None
        On the validation data, after the epoch.
    """

    loss: np.ndarray
    validation_loss: np.ndarray | None = None
    validation_accuracy: np.ndarray | None = None


def fit(
    net, x, y, *, optimizer, epochs, batch_size, rng, validation=None, progress=True
):
    """Train `net` on shuffled minibatches.

    Parameters
    ----------
    net : companion.mlp.Sequential
        Trained in place.
    x : ndarray of shape (n, n_features)
    y : ndarray of int, shape (n,)
    optimizer : SGD
    epochs, batch_size : int
        The last minibatch of an epoch is smaller where `batch_size` does not
        divide n.
    rng : numpy.random.Generator, or a sequence of K of them
        Shuffles the rows; K generators give each copy its own order.
    validation : (x, y), optional
    progress : bool
        Show a bar where tqdm is installed; ``TQDM_DISABLE=1`` hides it.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid or the shapes do not match.

    Notes
    -----
    A copy that diverges gets a loss of inf or nan in the history, without a
    warning, and the others train on.

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
    x, y = _checks.real_array("fit", "x", x), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(
            f"fit: `x` must have shape (n, n_features) and `y` (n,); got {x.shape} and "
            f"{y.shape}."
        )
    if not len(x):
        raise ValueError("fit: `x` must have a row; got none.")
    epochs = _checks.integer("fit", "epochs", epochs, minimum=1)
    batch_size = _checks.integer("fit", "batch_size", batch_size, minimum=1)
    if not isinstance(optimizer, SGD):
        raise TypeError(f"fit: `optimizer` must be an SGD; got {optimizer!r}.")
    if validation is not None and (
        not isinstance(validation, tuple) or len(validation) != 2
    ):
        pair = isinstance(validation, tuple)
        got = f"{len(validation)} entries" if pair else type(validation).__name__
        raise TypeError(f"fit: `validation` must be a tuple (x, y); got {got}.")
    rngs = rng if isinstance(rng, list | tuple) else [rng]
    for r in rngs:
        _checks.generator("fit", "rng", r)
    copies = net.dense[0].parameters["W"].shape[:-2]
    if isinstance(rng, list | tuple) and copies != (len(rngs),):
        raise ValueError(
            f"fit: `rng` must be one generator, or a sequence of one for each copy of "
            f"the net; got {len(rngs)} for a net with copies {copies}."
        )
    if optimizer.learning_rate.shape not in ((), copies):
        raise ValueError(
            f"fit: `learning_rate` must be a number or one for each copy; got "
            f"shape {optimizer.learning_rate.shape} for {copies}."
        )
    losses, scores = [], []
    with np.errstate(over="ignore", invalid="ignore"):  # a copy may diverge
        for _ in _bar(range(epochs), progress):
            order = np.stack([r.permutation(len(x)) for r in rngs])
            order = order if isinstance(rng, list | tuple) else order[0]
            losses.append(_epoch(net, x, y, order, batch_size, optimizer))
            if validation is not None:
                scores.append(evaluate(net, *validation))
    history = History(np.array(losses))
    if scores:
        history.validation_loss, history.validation_accuracy = (
            np.array(column) for column in zip(*scores, strict=True)
        )
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


def _epoch(net, x, y, order, batch_size, optimizer):
    """Take one step for each minibatch of `order` and return the mean loss."""
    total = 0.0
    for start in range(0, len(x), batch_size):
        rows = order[..., start : start + batch_size]
        loss, gradient = softmax_cross_entropy(
            net.forward(x[rows], training=True), y[rows]
        )
        net.backward(gradient)
        optimizer.step(net.trainable)
        total = total + loss * rows.shape[-1]
    return total / len(x)


def _bar(epochs, progress):
    """Wrap the epochs in a progress bar, if one is wanted and there is tqdm."""
    if progress:
        try:
            from tqdm import tqdm
        except ImportError:
            return epochs
        return tqdm(epochs, unit="epoch", leave=False)
    return epochs
