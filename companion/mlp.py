r"""Feed-forward nets with forward and backward passes written out.

Rows are instances: a layer takes an array of shape ``(n, n_inputs)`` and returns
``(n, n_outputs)``, so that :math:`z = xW + b`.  A net may also hold K copies of
itself, each with weights of its own: its arrays then have K in front, inputs of
shape ``(n, n_inputs)`` are shared by the copies, inputs ``(K, n, n_inputs)`` are
not, and one call computes all copies at once.  That is how the chapters repeat an
experiment over many seeds.

Each ``backward`` takes the gradient of the loss with respect to what the layer
returned last, and gives that with respect to what it got.  Some layers do something
else in training than afterwards: each ``forward`` is told, by ``training``.  Chapters
*Vanishing and exploding gradients* and *Nonsaturating activations*.
"""

import functools
import itertools

import numpy as np

from companion import _checks, activations, dropout, initializers
from companion._dense_net import layers_of
from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.initializers import glorot_uniform
from companion.normalization import BatchNorm, LayerNorm

#: The functions that :class:`Activation` applies: each has its derivative
#: ``NAME_grad``, and neither a slope to be learned nor a random one.
ACTIVATIONS = tuple(
    sorted(
        name.removesuffix("_grad")
        for name in vars(activations)
        if name.endswith("_grad") and name not in ("prelu_grad", "rrelu_grad")
    )
)


class Dense:
    r"""Connect every input with every output.

    .. math:: z = xW + b, \qquad
       \frac{\partial \mathcal{L}}{\partial W} = x^T \delta, \quad
       \frac{\partial \mathcal{L}}{\partial b} = \sum_\text{rows} \delta, \quad
       \frac{\partial \mathcal{L}}{\partial x} = \delta W^T, \qquad
       \delta = \frac{\partial \mathcal{L}}{\partial z}

    Parameters
    ----------
    n_inputs, n_outputs : int
    initializer : function of (shape, rng), as in :mod:`companion.initializers`
    rng : numpy.random.Generator, or a sequence of K of them
        K generators make K copies; each draws what it would draw alone.

    Attributes
    ----------
    parameters : dict
        ``W`` of shape ``(n_inputs, n_outputs)`` and ``b`` of shape ``(n_outputs,)``,
        with K in front for K copies; biases start at 0.
    gradients : dict
        The same shapes, filled by :meth:`backward`.

    Raises
    ------
    TypeError, ValueError
        If a size is not a positive integer, or `rng` not a generator.

    Examples
    --------
    >>> layer = Dense(3, 2, rng=np.random.default_rng(0))
    >>> layer.forward(np.ones((5, 3))).shape
    (5, 2)
    """

    def __init__(self, n_inputs, n_outputs, *, initializer=glorot_uniform, rng):
        shape = (
            _checks.integer("Dense", "n_inputs", n_inputs, minimum=1),
            _checks.integer("Dense", "n_outputs", n_outputs, minimum=1),
        )
        if not callable(initializer):
            raise TypeError(
                f"Dense: `initializer` must be a function of (shape, rng), such as "
                f"companion.initializers.he_normal; got {initializer!r}."
            )
        rngs, copies = _generators("Dense", rng)
        W = np.stack([initializer(shape, rng=r) for r in rngs])
        if W.shape[1:] != shape:
            raise ValueError(
                f"Dense: `initializer` must return shape {shape}; got {W.shape[1:]}."
            )
        W = W if copies else W[0]
        self.parameters = {"W": W, "b": np.zeros((*copies, n_outputs))}
        self.gradients = {}
        self.x = None

    def forward(self, x, training=False):
        W, b = self.parameters["W"], self.parameters["b"]
        x = _checks.real_array("Dense.forward", "x", x)
        if x.ndim < 2 or x.shape[-1] != W.shape[-2]:
            raise ValueError(
                f"Dense.forward: `x` must have shape (..., n, {W.shape[-2]}); got "
                f"{x.shape}."
            )
        self.x = x
        return x @ W + b[..., None, :]

    def backward(self, dz):
        _require_forward("Dense.backward", self.x)
        self.gradients = {"W": _transpose(self.x) @ dz, "b": dz.sum(axis=-2)}
        return dz @ _transpose(self.parameters["W"])


class Activation:
    r"""Apply a function to every element.

    .. math:: h = f(z), \qquad
       \frac{\partial \mathcal{L}}{\partial z} =
       \frac{\partial \mathcal{L}}{\partial h} \odot f'(z)

    Parameters
    ----------
    name : str
        One of the functions of :mod:`companion.activations`, but for ``prelu`` and
        ``rrelu``, which are :class:`PReLU` and :class:`RReLU`.
    **arguments
        The function's other arguments, such as ``alpha=0.2``.

    Raises
    ------
    TypeError, ValueError
        If there is no function of that name, or it refuses an argument.

    Examples
    --------
    >>> Activation("leaky_relu", alpha=0.5).forward(np.array([[-1.0, 2.0]]))
    array([[-0.5,  2. ]])
    """

    def __init__(self, name, **arguments):
        self.name = _checks.one_of("Activation", "name", name, ACTIVATIONS)
        f, f_grad = getattr(activations, name), getattr(activations, name + "_grad")
        self.f = functools.partial(f, **arguments)
        self.f_grad = functools.partial(f_grad, **arguments)
        self.f(0.0)  # refuses a bad argument here and not in the first step
        self.z = None

    def forward(self, z, training=False):
        self.z = z
        return self.f(z)

    def backward(self, dh):
        _require_forward("Activation.backward", self.z)
        return dh * self.f_grad(self.z)


class PReLU:
    r"""Leaky ReLU with slopes that are trained like weights.

    .. math::
       \frac{\partial \mathcal{L}}{\partial \alpha} =
       \sum \frac{\partial \mathcal{L}}{\partial h} \min(z, 0)
       \quad \text{over the elements that share } \alpha

    Parameters
    ----------
    n_units : int
        1 for one slope that all units share, else their number.
    alpha : float
        Where the slopes start.
    copies : tuple
        ``(K,)`` for K copies, ``()`` for one net.

    Attributes
    ----------
    parameters, gradients : dict
        ``alpha`` of shape ``(n_units,)``, with K in front for K copies.

    Raises
    ------
    TypeError, ValueError
        If `n_units` is not a positive integer, or `alpha` not a finite number.

    Notes
    -----
    He et al. (2015), eq. 2; they start from 0.25 and do not decay the slopes.

    Examples
    --------
    >>> layer = PReLU(2)
    >>> layer.forward(np.array([[-4.0, 2.0]]))
    array([[-1.,  2.]])
    >>> _ = layer.backward(np.array([[1.0, 1.0]]))
    >>> layer.gradients["alpha"]
    array([-4.,  0.])
    """

    def __init__(self, n_units=1, *, alpha=0.25, copies=()):
        n_units = _checks.integer("PReLU", "n_units", n_units, minimum=1)
        alpha = _checks.finite("PReLU", "alpha", alpha)
        self.parameters = {"alpha": np.full((*copies, n_units), alpha)}
        self.gradients = {}
        self.z = None

    @property
    def alpha(self):
        """The slopes, with an axis for the rows."""
        return self.parameters["alpha"][..., None, :]

    def f(self, z):
        return activations.prelu(z, self.alpha)

    def f_grad(self, z):
        return activations.prelu_grad(z, self.alpha)

    def forward(self, z, training=False):
        self.z = z
        return self.f(z)

    def backward(self, dh):
        _require_forward("PReLU.backward", self.z)
        dalpha = dh * activations.prelu_slope_derivative(self.z, self.alpha)
        dalpha = dalpha.sum(axis=-2)
        if self.alpha.shape[-1] == 1:  # shared by all units
            dalpha = dalpha.sum(axis=-1, keepdims=True)
        self.gradients = {"alpha": dalpha}
        return dh * self.f_grad(self.z)


class RReLU:
    """Leaky ReLU with random slopes in training, and their mean afterwards.

    Parameters
    ----------
    lower, upper : float
        The ends of the slopes, as in :func:`companion.activations.rrelu`.
    rng : numpy.random.Generator, or a sequence of K of them for K copies

    Raises
    ------
    TypeError, ValueError
        If a bound is invalid, or `rng` not a generator.

    Examples
    --------
    >>> layer = RReLU(0.25, 0.75, rng=np.random.default_rng(0))
    >>> layer.forward(np.array([[-1.0, 2.0]]))
    array([[-0.5,  2. ]])
    """

    def __init__(self, lower=1 / 8, upper=1 / 3, *, rng):
        self.lower, self.upper = _checks.slope_range("RReLU", lower, upper)
        self.rngs, self.copies = _generators("RReLU", rng)
        self.z = self.slopes = None

    def f(self, z):
        return activations.rrelu(z, self.lower, self.upper, training=False)

    def f_grad(self, z):
        return activations.rrelu_grad(z, self.lower, self.upper, training=False)

    def forward(self, z, training=False):
        z = _checks.real_array("RReLU.forward", "z", z)
        shape = z.shape[-2:] if self.copies else z.shape
        self.z = np.broadcast_to(z, self.copies + shape)
        self.slopes = np.array((self.lower + self.upper) / 2)
        if training:
            draws = [r.uniform(self.lower, self.upper, shape) for r in self.rngs]
            self.slopes = np.reshape(draws, self.z.shape)
        return activations.prelu(self.z, self.slopes)

    def backward(self, dh):
        _require_forward("RReLU.backward", self.z)
        return dh * activations.prelu_grad(self.z, self.slopes)


class _Dropout:
    """Apply the function `f` with a mask of its own at each call in training."""

    def __init__(self, rate, rng, **constants):
        name = type(self).__name__
        self.arguments = {"rate": dropout._rate(name, rate), **constants}
        self.rngs, self.copies = _generators(name, rng)
        self.x = self.masked = None

    def forward(self, x, training=False):
        x = _checks.real_array(f"{type(self).__name__}.forward", "x", x)
        shape, rate = x.shape[-2:] if self.copies else x.shape, self.arguments["rate"]
        self.x = np.broadcast_to(x, self.copies + shape)
        self.masked = {"training": training}
        if training and rate > 0:
            masks = [dropout._draw(shape, rate, r) for r in self.rngs]
            self.masked["mask"] = np.reshape(masks, self.x.shape)
        return self.f(self.x, **self.arguments, **self.masked)

    def backward(self, dy):
        _require_forward(f"{type(self).__name__}.backward", self.x)
        return dy * self.f_grad(self.x, **self.arguments, **self.masked)


class Dropout(_Dropout):
    """Drop units at random in training, and none afterwards.

    Parameters
    ----------
    rate : float in [0, 1)
        The probability of dropping a unit, as in :func:`companion.dropout.dropout`.
    rng : numpy.random.Generator, or a sequence of K of them for K copies

    Raises
    ------
    TypeError, ValueError
        If `rate` is not a number in [0, 1), or `rng` not a generator.

    Examples
    --------
    >>> layer = Dropout(0.5, rng=np.random.default_rng(0))
    >>> layer.forward(np.array([[1.0, 2.0, 3.0]]), training=True)
    array([[2., 0., 0.]])
    >>> layer.backward(np.array([[1.0, 1.0, 1.0]]))
    array([[2., 0., 0.]])
    """

    f, f_grad = staticmethod(dropout.dropout), staticmethod(dropout.dropout_grad)

    def __init__(self, rate, *, rng):
        super().__init__(rate, rng)


class AlphaDropout(_Dropout):
    """Drop units of a self-normalizing net in training, and none afterwards.

    Parameters
    ----------
    rate, rng
        Those of :class:`Dropout`.
    alpha, scale, mean, var : float
        Those of :func:`companion.dropout.alpha_dropout`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`Dropout`, or if a constant is not finite or `var` not above 0.

    Examples
    --------
    >>> layer = AlphaDropout(0.5, rng=np.random.default_rng(0))
    >>> layer.forward(np.array([[1.0, 2.0, 3.0]]), training=True).round(3)
    array([[ 1.666, -0.779, -0.779]])
    """

    f = staticmethod(dropout.alpha_dropout)
    f_grad = staticmethod(dropout.alpha_dropout_grad)

    def __init__(
        self, rate, *, rng, alpha=SELU_ALPHA, scale=SELU_SCALE, mean=0.0, var=1.0
    ):
        point = dropout._point("AlphaDropout", alpha, scale, mean, var)
        super().__init__(rate, rng, **point)


class Sequential:
    """Chain layers: the output of each is the input of the next.

    Parameters
    ----------
    layers : list
        Objects with ``forward`` and ``backward``; those that learn have
        ``parameters`` and ``gradients`` as well.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> net = Sequential([Dense(4, 3, rng=rng), Activation("tanh")])
    >>> net.forward(np.ones((2, 4))).shape
    (2, 3)
    """

    def __init__(self, layers):
        self.layers = list(layers)

    def forward(self, x, training=False):
        for layer in self.layers:
            x = layer.forward(x, training=training)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    @property
    def dense(self):
        """The dense layers, from the input to the output."""
        return [layer for layer in self.layers if isinstance(layer, Dense)]

    @property
    def trainable(self):
        """The layers that learn, from the input to the output."""
        return [layer for layer in self.layers if hasattr(layer, "parameters")]


def stack(widths, *, activation, initializer=glorot_uniform, batch_norm=None, rng):
    """Build a net of dense layers, each but the last followed by an activation.

    Parameters
    ----------
    widths : sequence of int
        The number of inputs, of each hidden layer's units, and of outputs.
    activation : str, or function of (n_units, rng) that returns a layer
        One of the functions of :mod:`companion.activations`, with its default
        arguments; ``prelu`` has one slope a layer.
    initializer : function of (shape, rng)
    batch_norm : {None, "before", "after"}
        Where a :class:`companion.normalization.BatchNorm` stands in each hidden layer:
        nowhere, before its activation or after it.
    rng : numpy.random.Generator, or a sequence of K of them for K copies

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two widths, or an argument is invalid.

    Examples
    --------
    >>> net = stack([64, 32, 10], activation="relu", rng=np.random.default_rng(0))
    >>> [layer.parameters["W"].shape for layer in net.dense]
    [(64, 32), (32, 10)]
    """
    if np.ndim(widths) != 1 or len(widths) < 2:
        raise ValueError(
            f"stack: `widths` must hold the numbers of inputs and outputs at least; "
            f"got {widths!r}."
        )
    make = activation if callable(activation) else _maker("stack", activation)
    if batch_norm is not None:
        _checks.one_of("stack", "batch_norm", batch_norm, ("before", "after"))
    copies = _generators("stack", rng)[1]
    layers = []
    for n_inputs, n_units in itertools.pairwise(widths[:-1]):
        layers.append(Dense(n_inputs, n_units, initializer=initializer, rng=rng))
        layers.append(make(n_units, rng))
        if batch_norm is not None:
            place = len(layers) - (batch_norm == "before")
            layers.insert(place, BatchNorm(n_units, copies=copies))
    layers.append(Dense(*widths[-2:], initializer=initializer, rng=rng))
    return Sequential(layers)


def mlp(recipe, n_inputs, n_outputs, widths, *, rate=None, rng):
    """Build the net that a recipe describes.

    Each hidden layer is dense, with the recipe's weights and biases of 0, then comes
    its normalization, if any, then its activation.  Dropout, if the recipe has it,
    follows each hidden layer; where the normalization is by batch, only the last.  The
    output layer is linear, with Glorot's weights, normal or uniform as the others.

    What the recipe says about training is not the net's business: optimizer, schedule,
    early stopping, the penalties l1 and l2, and how inputs are scaled.

    Parameters
    ----------
    recipe : companion.recipes.Recipe
        For the architecture ``"dense"``.
    n_inputs, n_outputs : int
    widths : sequence of int
        The number of units of each hidden layer.
    rate : float in [0, 1), optional
        How often dropout drops a unit: by default 0.2, and 0.05 for alpha dropout.
    rng : numpy.random.Generator, or a sequence of K of them for K copies
        Random slopes and dropout go on drawing from it in training.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If `recipe` is none, for another architecture or for both kinds of dropout,
        `rate` is given without dropout, or an argument is invalid.

    Notes
    -----
    A batch normalization above a dropout learns the variance of training, which is not
    that of testing: Li et al. (2019).

    Examples
    --------
    >>> from companion.recipes import recommend
    >>> recipe = recommend(depth=2, normalization="batch", regularizer=("dropout",))
    >>> net = mlp(recipe, 64, 10, [32, 32], rng=np.random.default_rng(0))
    >>> print(*[type(layer).__name__ for layer in net.layers])
    Dense BatchNorm Activation Dense BatchNorm Activation Dropout Dense
    """
    plan = layers_of("mlp", recipe, n_inputs, n_outputs, widths, rate)
    copies = _generators("mlp", rng)[1]

    def dense(n_inputs, n_units, name):
        initializer = getattr(initializers, name)
        return Dense(n_inputs, n_units, initializer=initializer, rng=rng)

    make = {
        "dense": dense,
        "batch": lambda n_units: BatchNorm(n_units, copies=copies),
        "layer": lambda n_units: LayerNorm(n_units, copies=copies),
        "activation": lambda name: _maker("mlp", name)(None, rng),
        "dropout": lambda rate: Dropout(rate, rng=rng),
        "alpha_dropout": lambda rate: AlphaDropout(rate, rng=rng),
    }
    return Sequential([make[kind](*arguments) for kind, *arguments in plan])


def softmax_cross_entropy(logits, labels):
    r"""Measure how improbable a net finds the right classes.

    .. math:: \mathcal{L} = -\frac1n \sum_i \log p_{i, y_i}, \quad
       p_{ij} = \frac{e^{z_{ij}}}{\sum_k e^{z_{ik}}}, \quad
       \frac{\partial \mathcal{L}}{\partial z_{ij}} = \frac{p_{ij} - [j = y_i]}{n}

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes), or (K, n, n_classes)
    labels : ndarray of int, shape (n,), or (K, n)
        From 0 to ``n_classes - 1``.

    Returns
    -------
    loss : ndarray of shape () or (K,)
        In nats, the mean over the rows.
    gradient : ndarray, the shape of `logits`
        For K copies, each loss with respect to its own logits.

    Raises
    ------
    TypeError, ValueError
        If the labels are not integers in range, or the shapes do not match.

    Examples
    --------
    >>> loss, gradient = softmax_cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> print(f"{loss:.4f}", gradient)
    0.6931 [[ 0.5 -0.5]]
    """
    name = "softmax_cross_entropy"
    logits, labels = _checks.real_array(name, "logits", logits), np.asarray(labels)
    if labels.dtype.kind not in "ui":
        raise TypeError(f"{name}: `labels` must be integers; got {labels.dtype}.")
    rows = logits.shape[:-1]
    if logits.ndim < 2 or labels.shape not in (rows, rows[-1:]):
        raise ValueError(
            f"{name}: `logits` (..., n, n_classes) and `labels` (..., n) must have the "
            f"same n; got shapes {logits.shape} and {labels.shape}."
        )
    *_, n, n_classes = logits.shape
    if n == 0 or labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"{name}: `labels` must be at least one, each from 0 to {n_classes - 1}; "
            f"got {labels!r}."
        )
    labels = np.broadcast_to(labels, logits.shape[:-1])[..., None]
    shifted = logits - logits.max(axis=-1, keepdims=True)  # no exponential overflows
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    one_hot = labels == np.arange(n_classes)
    loss = -np.take_along_axis(log_p, labels, axis=-1)[..., 0].mean(axis=-1)
    return loss, (np.exp(log_p) - one_hot) / n


def _maker(function, name):
    """Return the function of (n_units, rng) that makes the layer of that name."""
    if name == "prelu":
        return lambda n_units, rng: PReLU(copies=_generators(function, rng)[1])
    if name == "rrelu":
        return lambda n_units, rng: RReLU(rng=rng)
    _checks.one_of(function, "activation", name, (*ACTIVATIONS, "prelu", "rrelu"))
    return lambda n_units, rng: Activation(name)


def _generators(function, rng):
    """Return the generators as a list, and the shape that the copies put in front."""
    many = isinstance(rng, list | tuple)
    rngs = [_checks.generator(function, "rng", r) for r in (rng if many else [rng])]
    if not rngs:
        raise ValueError(f"{function}: `rng` must hold a generator; got none.")
    return rngs, (len(rngs),) if many else ()


def _require_forward(function, seen):
    if seen is None:
        raise ValueError(f"{function}: `forward` must have been called before.")


def _transpose(matrices):
    return np.swapaxes(matrices, -1, -2)
