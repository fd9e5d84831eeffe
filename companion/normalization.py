r"""Normalization layers: the reference in NumPy.

:class:`BatchNorm` gives each feature mean 0 and variance 1 over a batch, then a mean
and a scale that are learned; after training it uses fixed statistics.
:func:`final_statistics` measures those over the whole training set, and
:func:`fold_batch_norm` puts the layer into the weights before it.  :class:`LayerNorm`
and :func:`weight_norm` are there for comparison.

Layers have ``forward`` and ``backward`` as in :mod:`companion.mlp`.  Everything is
computed in float64, the variance in two passes; a result has the shape and the float
dtype of the input, and integers become float64.  Chapter *Batch normalization*.
"""

import math

import numpy as np

from companion import _checks

#: What distinguishes the layers of the frameworks, and of Ioffe and Szegedy (2015).
CONVENTIONS = {
    "torch": {"momentum": 0.9, "eps": 1e-5, "unbiased": True, "axis": 1},
    "keras": {"momentum": 0.99, "eps": 1e-3, "unbiased": False, "axis": -1},
    "paper": {"momentum": None, "eps": 1e-5, "unbiased": True, "axis": 1},
}


def _parameter(name):
    """Return an attribute that stands for an entry of `parameters`."""

    def get(self):
        return self.parameters[name]

    def set(self, values):
        self.parameters[name] = values

    return property(get, set)


class _Normalization:
    """Scale and shift what is normalized, by vectors that are learned."""

    def __init__(self, n_features, copies):
        self.n_features = n_features
        self.copies = copies
        self.parameters = {
            "gamma": np.ones((*copies, n_features)),
            "beta": np.zeros((*copies, n_features)),
        }
        self.gradients = {}
        self.x_hat = self.std = None  # of the last batch

    gamma = _parameter("gamma")
    beta = _parameter("beta")

    def _output(self):
        gamma, beta = self.gamma[..., None, :], self.beta[..., None, :]
        return gamma * self.x_hat + beta

    def _backward(self, dy, axis):
        """Return the gradient of the input; `axis` is the normalized one, or None."""
        if dy.shape != self.x_hat.shape:
            raise ValueError(
                f"{type(self).__name__}.backward: `dy` must have as many values as the "
                f"last `x`, {self.x_hat.size}; got {dy.size}."
            )
        self.gradients = {
            "gamma": (dy * self.x_hat).sum(axis=-2),
            "beta": dy.sum(axis=-2),
        }
        dx_hat = self.gamma[..., None, :] * dy
        if axis is not None:
            # Mean and variance are functions of the input too.
            mean = dx_hat.mean(axis, keepdims=True)
            slope = (dx_hat * self.x_hat).mean(axis, keepdims=True)
            dx_hat = dx_hat - mean - slope * self.x_hat
        return dx_hat / self.std


class BatchNorm(_Normalization):
    r"""Normalize each feature over the batch, then scale and shift it.

    .. math::

       \mu = \frac1m \sum_{i=1}^m x_i, \quad
       \sigma^2 = \frac1m \sum_{i=1}^m (x_i - \mu)^2, \qquad
       \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \quad
       y_i = \gamma \hat x_i + \beta

    After training :math:`\mu` and :math:`\sigma^2` are replaced by running values,
    which every batch in training moves:
    :math:`r \leftarrow \text{momentum} \cdot r + (1 - \text{momentum}) \cdot
    \text{batch}`.

    Parameters
    ----------
    n_features : int
        Units, or channels of images: one mean and one variance for each.
    momentum : float in [0, 1], or None
        PyTorch calls 1 minus this number the momentum.  None: the running values are
        the plain average over all batches since :meth:`reset`.
    eps : float
        :math:`\varepsilon`, at least 0.
    unbiased : bool
        Whether the variance that enters `running_var` is divided by m - 1.  The batch
        itself is always normalized by the one divided by m.
    axis : {1, -1}
        Where the features are: in inputs of shape ``(n, n_features)`` both are the
        same, images are ``(n, n_features, height, width)`` with 1, and
        ``(n, height, width, n_features)`` with -1.
    copies : tuple
        ``(K,)`` for K copies as in :mod:`companion.mlp`, which then take inputs of
        shape ``(n, n_features)``, shared, or ``(K, n, n_features)``.

    Attributes
    ----------
    gamma, beta : ndarray of shape (n_features,), or (K, n_features)
        :math:`\gamma`, at first 1, and :math:`\beta`, at first 0.  They are learned:
        they are what `parameters` and, after :meth:`backward`, `gradients` hold.
    running_mean, running_var : ndarray, the same shape
        At first 0 and 1.
    n_batches : int
        How many batches have moved them since :meth:`reset`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Notes
    -----
    Ioffe and Szegedy (2015), algorithm 1; the running values with ``momentum=None``
    are those of their algorithm 2.  A feature of variance 0 gives :math:`\beta` and a
    finite gradient, or nan with ``eps=0``.  A nan makes its feature nan in all rows of
    the batch, and the running values of that feature from then on; other features are
    not touched.

    Examples
    --------
    >>> layer = BatchNorm(2, eps=0.0)
    >>> layer.forward(np.array([[1.0, 10.0], [3.0, 50.0]]), training=True)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.running_mean, layer.running_var
    (array([0.2, 3. ]), array([ 1.1, 80.9]))
    >>> layer.backward(np.array([[1.0, 0.0], [0.0, 0.0]]))  # two rows are always -1, 1
    array([[0., 0.],
           [0., 0.]])
    """

    def __init__(
        self,
        n_features,
        *,
        momentum=0.9,
        eps=1e-5,
        unbiased=True,
        axis=1,
        copies=(),
    ):
        n_features = _checks.integer("BatchNorm", "n_features", n_features, minimum=1)
        settings = _settings("BatchNorm", momentum, eps, unbiased, axis)
        self.momentum, self.eps, self.unbiased, self.axis = settings
        super().__init__(n_features, tuple(copies))
        self.training = None
        self.reset()

    @classmethod
    def like(cls, convention, n_features, **changes):
        """Make the layer that a framework has by default, or that the paper describes.

        Parameters
        ----------
        convention : {"torch", "keras", "paper"}
            A row of :data:`CONVENTIONS`.  The paper names no momentum, and averages
            over batches that are run through the trained net; its `eps` is PyTorch's.
        n_features : int
        **changes
            Other arguments, in place of the convention's.

        Examples
        --------
        >>> layer = BatchNorm.like("keras", 3)
        >>> layer.momentum, layer.eps, layer.unbiased
        (0.99, 0.001, False)
        """
        _checks.one_of("BatchNorm.like", "convention", convention, tuple(CONVENTIONS))
        return cls(n_features, **CONVENTIONS[convention] | changes)

    def reset(self):
        """Forget the running values: mean 0, variance 1, no batch."""
        self.running_mean = np.zeros_like(self.beta)
        self.running_var = np.ones_like(self.gamma)
        self.n_batches = 0

    @np.errstate(invalid="ignore")  # infinity minus infinity is nan
    def forward(self, x, training=False):
        """Normalize by the batch in training, else by the running values.

        Raises
        ------
        TypeError, ValueError
            If `x` does not hold real numbers or has another shape; in training also if
            it has fewer than two values for each feature.  With ``unbiased=False`` one
            is enough, as in Keras: then the output is :math:`\\beta`.
        """
        x = _checks.real_array("BatchNorm.forward", "x", x)
        training = _checks.boolean("BatchNorm.forward", "training", training)
        rows, restore = self._rows("BatchNorm.forward", "x", x)
        if training:
            mean, var = self._batch_statistics(rows)
        else:
            mean, var = self.running_mean, self.running_var
        self.training = training
        self.std = np.sqrt(var + self.eps)[..., None, :]
        self.x_hat = (rows - mean[..., None, :]) / self.std
        return restore(self._output())

    @np.errstate(invalid="ignore")
    def backward(self, dy):
        r"""Return the gradient of the input, and put those of gamma and beta by.

        .. math::

           \frac{\partial \mathcal{L}}{\partial x_i} =
           \frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}} \Bigl(\delta_i
           - \frac1m \sum_j \delta_j - \hat x_i \frac1m \sum_j \delta_j \hat x_j\Bigr),
           \qquad \delta_i = \frac{\partial \mathcal{L}}{\partial y_i}

        After a forward pass in testing both sums are absent: the statistics are
        constants.
        """
        if self.x_hat is None:
            raise ValueError(
                "BatchNorm.backward: `forward` must have been called before."
            )
        dy = _checks.real_array("BatchNorm.backward", "dy", dy)
        rows, restore = self._rows("BatchNorm.backward", "dy", dy)
        return restore(self._backward(rows, axis=-2 if self.training else None))

    def _rows(self, function, name, x):
        """Return `x` as float64 of shape (..., m, n_features), and the way back."""
        lead, given = len(self.copies), x.shape
        if lead and x.ndim == 2:  # shared by the copies
            x = np.broadcast_to(x, self.copies + x.shape)
        axis = self.axis if self.axis < 0 else lead + self.axis
        if (
            x.ndim < lead + 2
            or x.shape[axis] != self.n_features
            or x.shape[:lead] != self.copies
        ):
            features = (
                f"{self.n_features}, ..."
                if self.axis > 0
                else f"..., {self.n_features}"
            )
            shape = ", ".join([*map(str, self.copies), "n", features])
            raise ValueError(
                f"{function}: `{name}` must have shape ({shape}); got {given}."
            )
        last = np.moveaxis(x, axis, -1)
        rows = last.reshape(*self.copies, -1, self.n_features)

        def restore(rows):
            rows = rows.reshape(last.shape).astype(x.dtype, copy=False)
            return np.moveaxis(rows, -1, axis)

        return rows.astype(np.float64, copy=False), restore

    def _batch_statistics(self, rows):
        """Return mean and variance of the batch, and move the running values."""
        m = rows.shape[-2]
        _enough("BatchNorm.forward", m, self.unbiased)
        mean = rows.mean(axis=-2)
        var = np.square(rows - mean[..., None, :]).mean(axis=-2)
        self.n_batches += 1
        keep = 1 - 1 / self.n_batches if self.momentum is None else self.momentum
        seen = var * m / (m - 1) if self.unbiased else var
        self.running_mean = keep * self.running_mean + (1 - keep) * mean
        self.running_var = keep * self.running_var + (1 - keep) * seen
        return mean, var


def fold_batch_norm(weight, bias, batch_norm):
    r"""Put a batch normalization, as it is after training, into the layer before it.

    .. math:: W' = W s, \qquad b' = (b - \mu)\,s + \beta, \qquad
       s = \frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}}

    with the running values :math:`\mu` and :math:`\sigma^2`.

    Parameters
    ----------
    weight : array_like of shape (..., n_features)
        Of a dense layer, ``(n_inputs, n_features)``, or a convolution,
        ``(height, width, n_inputs, n_features)``; K in front for K copies.
    bias : array_like of shape (n_features,), or None
        None stands for 0.
    batch_norm : BatchNorm

    Returns
    -------
    weight, bias : ndarray, the shape and float dtype of `weight`, and its last axis

    Raises
    ------
    TypeError, ValueError
        If `batch_norm` is something else, or a shape does not match.

    Notes
    -----
    The layer must follow directly: an activation in between is not linear.

    Examples
    --------
    >>> layer = BatchNorm(2, eps=0.0)
    >>> layer.running_mean, layer.running_var = np.array([[1.0, 2.0], [4.0, 1.0]])
    >>> fold_batch_norm(np.array([[2.0, 3.0]]), None, layer)
    (array([[1., 3.]]), array([-0.5, -2. ]))
    """
    name = "fold_batch_norm"
    if not isinstance(batch_norm, BatchNorm):
        raise TypeError(
            f"{name}: `batch_norm` must be a BatchNorm; got {batch_norm!r}."
        )
    weight = _checks.real_array(name, "weight", weight)
    shape, copies = batch_norm.gamma.shape, batch_norm.copies
    lead = weight.shape[: len(copies)]
    if weight.ndim < len(shape) + 1 or (*lead, weight.shape[-1]) != shape:
        raise ValueError(
            f"{name}: `weight` must have shape (..., {shape[-1]}), the features of "
            f"`batch_norm` last; got {weight.shape}."
        )
    bias = np.zeros(shape) if bias is None else _checks.real_array(name, "bias", bias)
    if bias.shape != shape:
        raise ValueError(f"{name}: `bias` must have shape {shape}; got {bias.shape}.")
    s = batch_norm.gamma / np.sqrt(batch_norm.running_var + batch_norm.eps)
    b = (bias - batch_norm.running_mean) * s + batch_norm.beta
    s = s.reshape(*copies, *(1,) * (weight.ndim - len(shape)), shape[-1])
    return (weight * s).astype(weight.dtype), b.astype(weight.dtype)


def final_statistics(net, x, *, batch_size=None):
    """Measure the running values anew, over the whole training set.

    Those left by training are averages over weights that have changed since.  Here the
    weights stay what they are: each :class:`BatchNorm` of the net gets the plain
    average of the batches' means and variances.  Dropout is off meanwhile.

    Parameters
    ----------
    net : companion.mlp.Sequential
        Its running values are replaced; on an error they are what they were.
    x : array_like of shape (n, n_inputs)
    batch_size : int, optional
        At most so many rows at a time, in batches as equal as can be; otherwise all.

    Raises
    ------
    TypeError, ValueError
        If there is no BatchNorm in the net, or an argument is invalid.

    Notes
    -----
    Ioffe and Szegedy (2015), algorithm 2, steps 8 to 10.

    Examples
    --------
    >>> from companion.mlp import Sequential
    >>> net = Sequential([BatchNorm(1)])
    >>> final_statistics(net, np.array([[1.0], [2.0], [3.0]]))
    >>> net.layers[0].running_mean, net.layers[0].running_var
    (array([2.]), array([1.]))
    """
    name = "final_statistics"
    x = _checks.real_array(name, "x", x)
    if x.ndim < 2 or not len(x):
        raise ValueError(f"{name}: `x` must hold rows; got shape {x.shape}.")
    size = len(x)
    if batch_size is not None:
        size = _checks.integer(name, "batch_size", batch_size, minimum=1)
    layers = [layer for layer in net.layers if isinstance(layer, BatchNorm)]
    if not layers:
        raise ValueError(f"{name}: `net` must have a BatchNorm; got none.")
    before = [(vars(layer), vars(layer).copy()) for layer in layers]
    try:
        for layer in layers:
            layer.reset()
            layer.momentum = None
        for batch in np.array_split(x, math.ceil(len(x) / size)):
            for layer in net.layers:
                batch = layer.forward(batch, training=isinstance(layer, BatchNorm))
    except BaseException:
        for now, then in before:
            now.update(then)
        raise
    for now, then in before:
        now["momentum"] = then["momentum"]


class LayerNorm(_Normalization):
    r"""Normalize each row over its features, then scale and shift these.

    .. math::

       \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad
       y = \gamma \odot \hat x + \beta

    with mean and variance (divided by the number) of one row: no other row matters, and
    testing is as training.

    Parameters
    ----------
    n_features : int
        The size of the last axis.
    eps : float
        :math:`\varepsilon`, at least 0.
    copies : tuple
        As for :class:`BatchNorm`.

    Attributes
    ----------
    gamma, beta : ndarray of shape (n_features,), or (K, n_features)
        At first 1 and 0; learned.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Notes
    -----
    Ba et al. (2016).  A row of variance 0 gives :math:`\beta`.

    Examples
    --------
    >>> LayerNorm(2, eps=0.0).forward(np.array([[1.0, 3.0], [10.0, 50.0]]))
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    def __init__(self, n_features, *, eps=1e-5, copies=()):
        n_features = _checks.integer("LayerNorm", "n_features", n_features, minimum=1)
        self.eps = _checks.finite("LayerNorm", "eps", eps, minimum=0.0)
        super().__init__(n_features, tuple(copies))

    @np.errstate(invalid="ignore")  # infinity minus infinity is nan
    def forward(self, x, training=False):
        """Normalize each row; `training` changes nothing."""
        x = self._checked("LayerNorm.forward", "x", x)
        rows = x.astype(np.float64)
        centered = rows - rows.mean(axis=-1, keepdims=True)
        var = np.square(centered).mean(axis=-1, keepdims=True)
        self.std = np.sqrt(var + self.eps)
        self.x_hat = centered / self.std
        return self._output().astype(x.dtype)

    @np.errstate(invalid="ignore")
    def backward(self, dy):
        """Return the gradient of the input, and put those of gamma and beta by."""
        if self.x_hat is None:
            raise ValueError(
                "LayerNorm.backward: `forward` must have been called before."
            )
        dy = self._checked("LayerNorm.backward", "dy", dy)
        return self._backward(dy.astype(np.float64), axis=-1).astype(dy.dtype)

    def _checked(self, function, name, x):
        x = _checks.real_array(function, name, x)
        given = x.shape
        if self.copies and x.ndim == 2:  # shared by the copies
            x = np.broadcast_to(x, self.copies + x.shape)
        if x.ndim < 2 or x.shape[-1] != self.n_features or x.shape[:-2] != self.copies:
            shape = ", ".join(map(str, (*self.copies, "n", self.n_features)))
            raise ValueError(
                f"{function}: `{name}` must have shape ({shape}); got {given}."
            )
        return x


def weight_norm(v, g):
    r"""Give each unit's weights a direction and a length of their own.

    .. math:: w = g \, \frac{v}{\lVert v \rVert}

    Parameters
    ----------
    v : array_like of shape (..., n_units)
        The direction; the norm is taken over all axes but the last.
    g : array_like of shape (n_units,)
        The length.

    Returns
    -------
    ndarray, the shape and float dtype of `v`

    Raises
    ------
    TypeError, ValueError
        If an argument does not hold real numbers, the shapes do not match, or a
        direction is 0.

    Notes
    -----
    Salimans and Kingma (2016), eq. 2.

    Examples
    --------
    >>> weight_norm(np.array([[3.0, 0.0], [4.0, 2.0]]), np.array([10.0, 1.0]))
    array([[6., 0.],
           [8., 1.]])
    """
    v, g, norm = _direction("weight_norm", v, g)
    return (g * (v / norm)).astype(v.dtype)


def weight_norm_grad(v, g, dw):
    r"""Pass the gradient of the weights on to direction and length.

    .. math::

       \frac{\partial \mathcal{L}}{\partial g} =
       \frac{v \cdot \partial \mathcal{L} / \partial w}{\lVert v \rVert}, \qquad
       \frac{\partial \mathcal{L}}{\partial v} = \frac{g}{\lVert v \rVert}
       \Bigl(\frac{\partial \mathcal{L}}{\partial w} -
       \frac{\partial \mathcal{L}}{\partial g} \frac{v}{\lVert v \rVert}\Bigr)

    Parameters
    ----------
    v, g
        Those of :func:`weight_norm`.
    dw : array_like, the shape of `v`

    Returns
    -------
    dv, dg : ndarray, the shapes of `v` and `g`
        dv is at right angles to v.

    Raises
    ------
    TypeError, ValueError
        As for :func:`weight_norm`.

    Notes
    -----
    Salimans and Kingma (2016), eq. 3.

    Examples
    --------
    >>> dv, dg = weight_norm_grad([[3.0], [4.0]], [10.0], [[1.0], [0.0]])
    >>> dv.ravel().round(2), dg
    (array([ 1.28, -0.96]), array([0.6]))
    """
    v, g, norm = _direction("weight_norm_grad", v, g)
    dw = _checks.real_array("weight_norm_grad", "dw", dw)
    if dw.shape != v.shape:
        raise ValueError(
            f"weight_norm_grad: `dw` must have the shape of `v`, {v.shape}; got "
            f"{dw.shape}."
        )
    unit = v / norm
    dg = (unit * dw).sum(axis=tuple(range(v.ndim - 1)))
    dv = g / norm * (dw - dg * unit)
    return dv.astype(v.dtype), dg.astype(g.dtype)


def _direction(function, v, g):
    """Return `v`, `g` and the norm of each unit's direction, which must not be 0."""
    v = _checks.real_array(function, "v", v)
    g = _checks.real_array(function, "g", g)
    if v.ndim < 2 or g.shape != v.shape[-1:]:
        raise ValueError(
            f"{function}: `v` must have shape (..., n_units) and `g` (n_units,); got "
            f"{v.shape} and {g.shape}."
        )
    squares = np.square(v, dtype=np.float64)
    norm = np.sqrt(squares.sum(axis=tuple(range(v.ndim - 1))))
    if (norm == 0).any():
        raise ValueError(
            f"{function}: `v` must have a direction for each unit; got zeros for unit "
            f"{int(np.argmax(norm == 0))}."
        )
    return v, g, norm


def _settings(function, momentum, eps, unbiased, axis):
    """Return the four settings of a batch normalization, in that order."""
    if momentum is not None:
        momentum = _checks.finite(function, "momentum", momentum)
        if not 0 <= momentum <= 1:
            raise ValueError(
                f"{function}: `momentum` must be in [0, 1], or None; got {momentum!r}."
            )
    eps = _checks.finite(function, "eps", eps, minimum=0.0)
    unbiased = _checks.boolean(function, "unbiased", unbiased)
    return momentum, eps, unbiased, _axis(function, axis)


def _axis(function, axis):
    """Return where the features are, if it is one of the two places."""
    if isinstance(axis, bool) or axis not in (1, -1):
        raise ValueError(
            f"{function}: `axis` must be 1, or -1 for channels last; got {axis!r}."
        )
    return int(axis)


def _enough(function, m, unbiased):
    """Require as many values for each feature as there must be in training."""
    least = 2 if unbiased else 1
    if m < least:
        raise ValueError(
            f"{function}: `x` must hold at least {least} values for each feature in "
            f"training; got {m}. Leave a last batch of so few rows out."
        )
