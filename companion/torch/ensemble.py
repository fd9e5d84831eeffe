r"""Many dense nets of one shape, trained at once.

A comparison of methods needs many small nets: several seeds for each, and several
learning rates.  Nets of one shape stand in tensors with the net as first axis, so
that each layer is one batched product.  Every copy keeps its own weights, its own
learning rate and its own order of the minibatches.  Chapters *Self-normalization* and
*Dropout that keeps the fixed point*.
"""

import itertools

import numpy as np
import torch
import torch.nn.functional as F

import companion.torch.activations
from companion import _checks, activations
from companion.torch.dropout import alpha_dropout, dropout

#: The activations that :class:`Ensemble` knows by name: those without an argument.
ACTIVATIONS = tuple(
    sorted(
        name.removesuffix("_grad")
        for name in vars(activations)
        if name.endswith("_grad") and name not in ("prelu_grad", "rrelu_grad")
    )
)
DROPOUTS = {"alpha_dropout": alpha_dropout, "dropout": dropout}


class Ensemble:
    r"""K dense nets of one shape, computed at once in float64.

    .. math:: h^{(l)} = f\bigl(h^{(l-1)} W^{(l)} + b^{(l)}\bigr)
       \quad \text{for each copy}

    The last layer has no activation: its outputs are logits.

    Parameters
    ----------
    widths : sequence of int
        The number of inputs, of each hidden layer's units, and of outputs.
    activation : str, or function of a tensor
        One of :data:`ACTIVATIONS`, with its default arguments.
    initializer : function of (shape, rng), as in :mod:`companion.initializers`
    seeds : sequence of K int
        Copy k draws its weights, layer by layer, from
        ``numpy.random.default_rng(seeds[k])``; biases start at 0.
    rate, input_rate : float in [0, 1)
        In training, the share of the hidden layers' outputs and of the inputs that is
        dropped.
    dropout : {"alpha_dropout", "dropout"}
        How.
    batch_norm : bool
        Normalize what enters each activation, as :class:`torch.nn.BatchNorm1d` does:
        then the bias is added last, after a scale that is learned too.
    residual : bool
        Skip connections: to the output of each second hidden layer after the first is
        added the output of the one two below.

    Attributes
    ----------
    weights, biases : list of K x n_inputs x n_units and K x 1 x n_units tensors
    scales : list of K x 1 x n_units tensors
        Of the hidden layers with batch normalization; else empty.
    running : list of (mean, variance)
        The moving averages that replace the batch's after training, K * n_units each.
    parameters : list of tensor
        All that is learned.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or hidden layers of different widths are to be
        added.

    Examples
    --------
    >>> from companion.initializers import lecun_normal
    >>> net = Ensemble([4, 8, 8, 3], activation="selu", initializer=lecun_normal,
    ...                seeds=range(5))
    >>> [tuple(h.shape) for h in net.layers(torch.ones(10, 4))]
    [(5, 10, 8), (5, 10, 8), (5, 10, 3)]
    """

    def __init__(
        self,
        widths,
        *,
        activation,
        initializer,
        seeds,
        rate=0.0,
        input_rate=0.0,
        dropout="alpha_dropout",
        batch_norm=False,
        residual=False,
    ):
        if np.ndim(widths) != 1 or len(widths) < 2:
            raise ValueError(
                f"Ensemble: `widths` must hold the numbers of inputs and outputs at "
                f"least; got {widths!r}."
            )
        widths = [_checks.integer("Ensemble", "widths", n, minimum=1) for n in widths]
        self.seeds = tuple(seeds)
        if not self.seeds:
            raise ValueError("Ensemble: `seeds` must hold one at least; got none.")
        if not callable(activation):
            _checks.one_of("Ensemble", "activation", activation, ACTIVATIONS)
            activation = getattr(companion.torch.activations, activation)
        self.activation = activation
        self.rate = _rate("rate", rate)
        self.input_rate = _rate("input_rate", input_rate)
        self.dropout = DROPOUTS[
            _checks.one_of("Ensemble", "dropout", dropout, tuple(DROPOUTS))
        ]
        self.residual = _checks.boolean("Ensemble", "residual", residual)
        if self.residual and len(set(widths[1:-1])) > 1:
            raise ValueError(
                f"Ensemble: `widths` of the hidden layers must be equal with "
                f"residual=True; got {widths[1:-1]}."
            )
        rngs = [np.random.default_rng(seed) for seed in self.seeds]
        self.weights = [
            torch.tensor(np.stack([initializer(shape, rng=r) for r in rngs]))
            for shape in itertools.pairwise(widths)
        ]
        self.biases = [w.new_zeros(len(w), 1, w.shape[2]) for w in self.weights]
        hidden = self.biases[:-1]
        self.scales, self.running = [], []
        if _checks.boolean("Ensemble", "batch_norm", batch_norm):
            self.scales = [torch.ones_like(b) for b in hidden]
            self.running = [
                (torch.zeros_like(b).flatten(), torch.ones_like(b).flatten())
                for b in hidden
            ]
        self.parameters = [*self.weights, *self.biases, *self.scales]
        for w in self.parameters:
            w.requires_grad_()

    def layers(self, x, training=False, generator=None):
        """Return what each layer gives to the next, and the logits last.

        Parameters
        ----------
        x : torch.Tensor of shape (n, n_inputs), or (K, n, n_inputs)
            In two axes the rows are shared by the copies.
        training : bool
            Drop units, and normalize by the minibatch, whose moving averages are kept.
        generator : torch.Generator, optional
            Of what is dropped; without one, PyTorch's global generator is used.

        Returns
        -------
        list of torch.Tensor of float64, shape (K, n, n_units)
        """
        x = torch.as_tensor(x, dtype=torch.float64)
        copies, n_inputs, _ = self.weights[0].shape
        shapes = (n_inputs,), (copies, n_inputs)
        if x.ndim < 2 or (*x.shape[:-2], x.shape[-1]) not in shapes:
            raise ValueError(
                f"Ensemble.layers: `x` must have shape (n, {n_inputs}) or ({copies}, "
                f"n, {n_inputs}); got {tuple(x.shape)}."
            )

        def drop(h, rate):
            if not (training and rate):
                return h
            return self.dropout(h, rate, generator=generator)

        h = drop(x.expand(copies, *x.shape[-2:]), self.input_rate)
        outputs, kept = [], 0
        for i in range(len(self.weights) - 1):
            h = drop(self.activation(self._preactivation(i, h, training)), self.rate)
            if self.residual and i % 2 == 0:
                h = kept = h + kept
            outputs.append(h)
        return [*outputs, torch.baddbmm(self.biases[-1], h, self.weights[-1])]

    def _preactivation(self, i, h, training):
        if not self.scales:
            return torch.baddbmm(self.biases[i], h, self.weights[i])
        # The copies' units side by side: to PyTorch they are the units of one layer.
        z = torch.bmm(h, self.weights[i]).transpose(0, 1).flatten(1)
        scale, bias = self.scales[i].flatten(), self.biases[i].flatten()
        z = F.batch_norm(z, *self.running[i], scale, bias, training=training)
        return z.unflatten(1, (len(self.seeds), -1)).transpose(0, 1)


def train(
    net,
    x,
    y,
    *,
    learning_rate,
    epochs,
    batch_size=64,
    momentum=0.9,
    seed=0,
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
    x : torch.Tensor or ndarray of shape (n, n_inputs)
    y : torch.Tensor or ndarray of int, shape (n,)
        The classes, from 0.
    learning_rate : float, or sequence of K of them
        :math:`\eta_k`, above 0.
    epochs, batch_size : int
        Copy k shuffles the rows with ``numpy.random.default_rng([seeds[k], 1])``; the
        last minibatch of an epoch is smaller where `batch_size` does not divide n.
    momentum : float in [0, 1)
        :math:`\mu`.
    seed : int
        Of what is dropped.  All copies draw from one generator: with dropout, unlike
        without, a copy is not what it would be alone.
    by_step : bool
        Return the loss of every step instead of the mean over each epoch.
    after : function of net, optional
        Called after each epoch.

    Returns
    -------
    losses : ndarray of shape (epochs, K), or (steps, K)
        Cross entropy in nats of the minibatches, each before its step, and as training
        sees it, with dropout.
    seen : list
        What `after` returned; empty without it.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid or the shapes do not match.

    Notes
    -----
    :func:`companion.training.fit` does the same in NumPy, without dropout and batch
    normalization.  A copy that diverges has a loss of inf or nan, and the others train
    on.

    Examples
    --------
    >>> from companion.initializers import lecun_normal
    >>> x = np.random.default_rng(0).standard_normal((200, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> net = Ensemble([2, 8, 2], activation="selu", initializer=lecun_normal,
    ...                seeds=[0, 1])
    >>> losses, _ = train(net, x, y, learning_rate=[0.01, 0.1], epochs=10)
    >>> losses.shape
    (10, 2)
    >>> bool((evaluate(net, x, y)[1] > 0.95).all())
    True
    """
    x, y = _data("train", x, y)
    rates = _checks.real_array("train", "learning_rate", learning_rate)
    if rates.shape not in ((), (len(net.seeds),)):
        raise ValueError(
            f"train: `learning_rate` must be a number or one for each copy; got shape "
            f"{rates.shape} for {len(net.seeds)} copies."
        )
    if not (np.isfinite(rates) & (rates > 0)).all():
        raise ValueError(
            f"train: `learning_rate` must be finite and above 0; got {rates}."
        )
    epochs = _checks.integer("train", "epochs", epochs, minimum=1)
    batch_size = _checks.integer("train", "batch_size", batch_size, minimum=1)
    by_step = _checks.boolean("train", "by_step", by_step)
    momentum = _checks.finite("train", "momentum", momentum, minimum=0.0)
    if momentum >= 1:
        raise ValueError(f"train: `momentum` must be in [0, 1); got {momentum!r}.")
    rates = torch.tensor(np.broadcast_to(rates, len(net.seeds)).copy())
    generator = torch.Generator(x.device).manual_seed(seed)
    orders = [np.random.default_rng([s, 1]) for s in net.seeds]
    velocity = [torch.zeros_like(w) for w in net.parameters]
    losses, seen = [], []
    for _ in range(epochs):
        order = torch.tensor(np.stack([r.permutation(len(x)) for r in orders]))
        batches = order.split(batch_size, dim=1)
        for rows in batches:
            logits = net.layers(x[rows], training=True, generator=generator)[-1]
            loss = _cross_entropy(logits, y[rows])
            # Each copy's gradient times its own learning rate.
            steps = torch.autograd.grad((rates * loss).sum(), net.parameters)
            with torch.no_grad():
                for w, v, step in zip(net.parameters, velocity, steps, strict=True):
                    w.sub_(v.mul_(momentum).add_(step))
            losses.append(loss.detach().numpy())
        if after is not None:
            seen.append(after(net))
    losses = np.array(losses)
    if not by_step:
        shares = [rows.shape[1] / len(x) for rows in batches]
        losses = np.einsum("esk,s->ek", losses.reshape(epochs, -1, len(rates)), shares)
    return losses, seen


def evaluate(net, x, y):
    """Return the loss in nats and the accuracy of each copy, as arrays of shape (K,).

    Without dropout, and with the moving averages of batch normalization.

    Examples
    --------
    >>> from companion.initializers import he_normal
    >>> net = Ensemble([2, 3], activation="relu", initializer=he_normal, seeds=[0, 1])
    >>> evaluate(net, np.zeros((4, 2)), np.array([0, 0, 0, 1]))[1]
    array([0.75, 0.75])
    """
    x, y = _data("evaluate", x, y)
    with torch.no_grad():
        logits = net.layers(x)[-1]
        right = (logits.argmax(dim=2) == y).double().mean(dim=1)
        return _cross_entropy(logits, y).numpy(), right.numpy()


def _cross_entropy(logits, y):
    """Return the mean loss of each copy."""
    y = y.expand(logits.shape[:2])
    return F.cross_entropy(logits.mT, y, reduction="none").mean(dim=1)


def _data(function, x, y):
    """Return the rows as a float64 tensor and the labels as an integer one."""
    x, y = torch.as_tensor(x, dtype=torch.float64), torch.as_tensor(y)
    if y.is_floating_point():
        raise TypeError(f"{function}: `y` must be integers; got {y.dtype}.")
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(
            f"{function}: `x` must have shape (n, n_inputs) and `y` (n,); got "
            f"{tuple(x.shape)} and {tuple(y.shape)}."
        )
    if not len(x):
        raise ValueError(f"{function}: `x` must have a row; got none.")
    return x, y.long()


def _rate(name, rate):
    rate = _checks.finite("Ensemble", name, rate, minimum=0.0)
    if rate >= 1:
        raise ValueError(f"Ensemble: `{name}` must be in [0, 1); got {rate!r}.")
    return rate
