r"""Batch normalization in TensorFlow, with the values and derivatives of the reference.

:class:`BatchNorm` is a Keras layer: plain operations that TensorFlow differentiates,
compiled by XLA too.  Statistics, parameters and running values are float32, also where
a layer's policy or its inputs are float16 or bfloat16, and float64 for a float64 layer.
Where a ``tf.distribute`` strategy splits a batch into parts, one for each replica, the
statistics are those of the whole batch.

:func:`final_statistics` measures the running values over a whole training set, and
:func:`fold_batch_norm` puts the layer into the weights before it.  See
:mod:`companion.normalization` for the functions themselves.
"""

import collections
import math
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
from keras.src.models import Functional  # what keras.Model(inputs, outputs) makes

from companion import _checks
from companion import normalization as reference
from companion.normalization import CONVENTIONS, _enough, _settings
from companion.tensorflow.activations import _real_tensor
from companion.tensorflow.initializers import _register


@_register
class BatchNorm(keras.layers.Layer):
    r"""Normalize each feature over the batch, then scale and shift it.

    .. math::

       \mu = \frac1m \sum_{i=1}^m x_i, \quad
       \sigma^2 = \frac1m \sum_{i=1}^m (x_i - \mu)^2, \qquad
       y_i = \gamma \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta

    After training :math:`\mu` and :math:`\sigma^2` are replaced by running values.  So
    they are in a frozen layer, ``trainable = False``, as in Keras' own.

    Parameters
    ----------
    n_features : int, optional
        Otherwise that of the first input.
    momentum, eps, unbiased
        Those of :class:`companion.normalization.BatchNorm`.
    axis : {-1, 1}
        Where the features are; images are ``(n, height, width, n_features)`` with -1.
    synchronized : bool
        Whether the replicas of a ``tf.distribute`` strategy share their statistics, of
        parts that need not be equal and may be empty.  Otherwise each normalizes its
        part and has running values of its own; those of the first are saved.

    Attributes
    ----------
    gamma, beta : keras.Variable of shape (n_features,)
        :math:`\gamma` and :math:`\beta`, trained unless ``trainable = False``.
    running_mean, running_var : keras.Variable of shape (n_features,)
    n_batches : keras.Variable of shape ()
        How many batches have moved them since :meth:`reset`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or an input has another shape; in training also if
        there are fewer than two values for each feature, or with ``unbiased=False``
        none.  Where a graph does not know the size of the batch, or replicas share it,
        that is ``tf.errors.InvalidArgumentError`` when the graph runs.  XLA leaves such
        checks out: then a single value makes the running variance nan.

    Notes
    -----
    The variance is computed in two passes, and the mean is corrected in the second:
    in float32 a mean of 10000 costs no digits of it.
    ``keras.layers.BatchNormalization(synchronized=True)`` subtracts the squared mean
    from the mean square, which leaves none.

    Examples
    --------
    >>> layer = BatchNorm(eps=0.0)
    >>> layer(tf.constant([[1.0, 10.0], [3.0, 50.0]]), training=True).numpy()
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.running_mean.numpy(), layer.running_var.numpy()
    (array([0.2, 3. ], dtype=float32), array([ 1.1, 80.9], dtype=float32))
    """

    def __init__(
        self,
        n_features=None,
        *,
        momentum=0.9,
        eps=1e-5,
        unbiased=True,
        axis=-1,
        synchronized=True,
        **keywords,
    ):
        if n_features is not None:
            n_features = _checks.integer(
                "BatchNorm", "n_features", n_features, minimum=1
            )
        settings = _settings("BatchNorm", momentum, eps, unbiased, axis)
        super().__init__(**keywords)
        self.n_features = n_features
        self.momentum, self.eps, self.unbiased, self.axis = settings
        self.synchronized = _checks.boolean("BatchNorm", "synchronized", synchronized)
        self._measuring = False  # see `final_statistics`

    @classmethod
    def like(cls, convention, n_features=None, **changes):
        """Make the layer that a framework has by default, or that the paper describes.

        Parameters
        ----------
        convention : {"torch", "keras", "paper"}
            A row of :data:`companion.normalization.CONVENTIONS`.
        n_features : int, optional
        **changes
            Other arguments, in place of the convention's.

        Examples
        --------
        >>> layer = BatchNorm.like("torch", 3)
        >>> layer.momentum, layer.eps, layer.unbiased, layer.axis
        (0.9, 1e-05, True, 1)
        """
        _checks.one_of("BatchNorm.like", "convention", convention, tuple(CONVENTIONS))
        return cls(n_features, **CONVENTIONS[convention] | changes)

    def build(self, input_shape):
        self._check_shape("BatchNorm.build", input_shape)
        shape = (input_shape[self.axis],)
        dtype = "float64" if self.variable_dtype == "float64" else "float32"

        def add(name, start, **settings):
            settings = {"shape": shape, "dtype": dtype, "trainable": False} | settings
            return self.add_weight(
                name=name, initializer=start, autocast=False, **settings
            )

        self.gamma = add("gamma", "ones", trainable=True)
        self.beta = add("beta", "zeros", trainable=True)
        self.running_mean = add("running_mean", "zeros")
        self.running_var = add("running_var", "ones")
        self.n_batches = add("n_batches", "zeros", shape=(), dtype="int64")

    def reset(self):
        """Forget the running values: mean 0, variance 1, no batch."""
        self.running_mean.assign(tf.zeros_like(self.beta))
        self.running_var.assign(tf.ones_like(self.gamma))
        self.n_batches.assign(0)

    def call(self, x, training=False):
        x = _real_tensor("BatchNorm.call", "x", x)
        self._check_shape("BatchNorm.call", x.shape)
        x = tf.cast(x, self.gamma.dtype)
        if self._measuring or (training and self.trainable):
            centered, var = self._centered_and_variance(x)
        else:
            centered = x - self._beside(x, self.running_mean)
            var = self.running_var
        scale = self.gamma * tf.math.rsqrt(var + self.eps)
        y = centered * self._beside(x, scale) + self._beside(x, self.beta)
        return tf.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "n_features": self.n_features,
            "momentum": self.momentum,
            "eps": self.eps,
            "unbiased": self.unbiased,
            "axis": self.axis,
            "synchronized": self.synchronized,
        }

    def _check_shape(self, function, shape):
        """Require an axis for the features, of the right size, and one for the rows."""
        size = self.gamma.shape[0] if self.built else self.n_features
        known = shape[self.axis] if len(shape) > 1 else None
        if known is None or size not in (None, known):
            size = size or "n_features"
            form = f"n, {size}, ..." if self.axis > 0 else f"n, ..., {size}"
            raise ValueError(
                f"{function}: `x` must have shape ({form}); got {tuple(shape)}."
            )

    def _beside(self, x, vector):
        """Return a vector of the features in a shape that broadcasts to `x`."""
        shape = [1] * len(x.shape)
        shape[self.axis] = -1
        return tf.reshape(vector, shape)

    def _check_size(self, m):
        """Require enough values for each feature when the graph runs."""
        least = 2 if self.unbiased else 1
        return tf.debugging.assert_greater_equal(
            m,
            tf.cast(least, m.dtype),
            f"BatchNorm.call: `x` must hold at least {least} values for each feature "
            "in training.",
        )

    def _centered_and_variance(self, x):
        """Return `x` minus its mean, and its variance; move the running values."""
        axes = [*range(len(x.shape))]
        del axes[self.axis]
        replicas = _replicas() if self.synchronized else None
        sizes = [x.shape[i] for i in axes]
        known = replicas is None and None not in sizes
        if known:
            _enough("BatchNorm.call", math.prod(sizes), self.unbiased)

        def over_all(*sums):
            sums = tf.stack(sums)
            return tf.unstack(replicas.all_reduce("sum", sums) if replicas else sums)

        total = tf.reduce_sum(x, axes)
        size = tf.cast(tf.size(x) // total.shape[0], x.dtype)
        total, m = over_all(total, tf.fill(total.shape, size))
        checks = [] if known else [self._check_size(m)]
        with tf.control_dependencies(checks):  # nothing moves before
            self.n_batches.assign_add(1)
            m = tf.identity(m)
        # Moments about any constant give the same mean and variance.  About the mean
        # itself, up to rounding, they lose no digits.
        about = tf.stop_gradient(total / m)
        centered = x - self._beside(x, about)
        first, second = over_all(
            tf.reduce_sum(centered, axes), tf.reduce_sum(tf.square(centered), axes)
        )
        rest = first / m
        var = tf.maximum(second / m - tf.square(rest), 0)
        keep = self.momentum
        if self._measuring or keep is None:
            keep = 1 - 1 / tf.cast(self.n_batches, x.dtype)
        seen = var * m / (m - 1) if self.unbiased else var
        self.running_mean.assign(keep * self.running_mean + (1 - keep) * (about + rest))
        self.running_var.assign(keep * self.running_var + (1 - keep) * seen)
        return centered - self._beside(x, rest), var


def _replicas():
    """Return the context of one replica among several, or None."""
    context = tf.distribute.get_replica_context()
    return context if context and context.num_replicas_in_sync > 1 else None


# --- after training -------------------------------------------------------------------
def final_statistics(model, batches):
    """Measure the running values anew, over the whole training set.

    Those left by training are averages over weights that have changed since.  Here the
    weights stay what they are: each :class:`BatchNorm` of the model, frozen ones too,
    gets the plain average of the batches' means and variances.  Dropout is off
    meanwhile.

    Parameters
    ----------
    model : keras.Model, built
        Its running values are replaced; on an error they are what they were.
    batches : iterable of inputs of the model
        Each counts the same.  Of a ``tf.data.Dataset`` of pairs take
        ``dataset.map(lambda x, y: x)``.

    Raises
    ------
    TypeError, ValueError
        If `model` is something else, has no BatchNorm, is not built, or has a
        ``keras.layers.BatchNormalization``, which is in training only if the whole
        model is, dropout included; if `batches` is a single tensor, or holds none.

    Notes
    -----
    Ioffe and Szegedy (2015), algorithm 2, steps 8 to 10.

    Examples
    --------
    >>> model = keras.Sequential([keras.Input((1,)), BatchNorm()])
    >>> final_statistics(model, [tf.constant([[1.0], [2.0], [3.0]])])
    >>> model.layers[0].running_mean.numpy(), model.layers[0].running_var.numpy()
    (array([2.], dtype=float32), array([1.], dtype=float32))
    """
    name = "final_statistics"
    _require_model(name, model)
    if isinstance(batches, tf.Tensor | np.ndarray) or not isinstance(batches, Iterable):
        raise TypeError(
            f"{name}: `batches` must be an iterable of inputs; got "
            f"{type(batches).__name__}. Pass [x] for one batch."
        )
    layers = []
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            raise ValueError(
                f"{name}: `model` must normalize with the BatchNorm of "
                f"companion.tensorflow.normalization; got {layer.name!r}, a "
                "keras.layers.BatchNormalization, which is in training only if the "
                "whole model is, dropout included."
            )
        if isinstance(layer, BatchNorm):
            layers.append(layer)
    if not layers:
        raise ValueError(f"{name}: `model` must have a BatchNorm; got none.")
    if not all(layer.built for layer in layers):
        raise ValueError(
            f"{name}: `model` must be built; got {model.name!r}, which is not. Call it "
            "on a batch."
        )
    before = [layer.get_weights() for layer in layers]
    try:
        for layer in layers:
            layer.reset()
            layer._measuring = True
        for batch in batches:
            model(batch, training=False)
        if not all(layer.n_batches.numpy() for layer in layers):
            raise ValueError(
                f"{name}: `batches` must hold a batch that reaches each BatchNorm; got "
                "none."
            )
    except BaseException:
        for layer, weights in zip(layers, before, strict=True):
            layer.set_weights(weights)
        raise
    finally:
        for layer in layers:
            layer._measuring = False


#: The layers whose outputs are sums of inputs, weighted by the last of their kernels.
_LINEAR = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
_NORMS = (BatchNorm, keras.layers.BatchNormalization)


def fold_batch_norm(model):
    r"""Put each batch normalization, as it is after training, into the layer before it.

    .. math:: W' = W s, \qquad b' = (b - \mu)\,s + \beta, \qquad
       s = \frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}}

    with the running values :math:`\mu` and :math:`\sigma^2`.

    Parameters
    ----------
    model : keras.Sequential or functional keras.Model
        Not changed.  Each :class:`BatchNorm` and ``keras.layers.BatchNormalization``
        must directly follow a layer without activation that is dense or convolutional:
        depthwise and separable ones too, transposed ones not.  Neither of the two may
        be called twice, and nothing else may use what is between them.

    Returns
    -------
    keras.Model
        The same function after training, without the normalizations: of the same kind,
        with copies of all other weights, not compiled.  A layer that had no bias has
        one.  Products are computed in float64 and rounded once.

    Raises
    ------
    TypeError, ValueError
        If `model` is something else, or cannot be folded for a reason that the message
        names.

    Examples
    --------
    >>> layers = [keras.Input((3,)), keras.layers.Dense(2), BatchNorm()]
    >>> model = keras.Sequential(layers)
    >>> [type(layer).__name__ for layer in fold_batch_norm(model).layers]
    ['Dense']
    """
    graph = _graph(model)
    norms = _folded(graph)
    clones = {}

    def clone(layer):
        config = layer.get_config()
        if layer in norms:
            config["use_bias"] = True
        clones[layer] = type(layer).from_config(config)
        return clones[layer]

    def call(layer, *arguments, **keywords):
        if isinstance(layer, _NORMS):
            passed = (*arguments, *keywords.values())
            return next(filter(keras.utils.is_keras_tensor, passed))
        return layer(*arguments, **keywords)

    folded = keras.models.clone_model(graph, clone_function=clone, call_function=call)
    for layer, copy in clones.items():
        if isinstance(layer, keras.layers.Layer) and not isinstance(layer, _NORMS):
            norm = norms.get(layer)
            copy.set_weights(_weights(layer, norm) if norm else layer.get_weights())
    if isinstance(model, keras.Sequential):
        return keras.Sequential(folded.layers, name=model.name)
    return folded


def _graph(model):
    """Return `model` as a functional model, which shares its layers."""
    name = "fold_batch_norm"
    _require_model(name, model)
    if type(model) not in (keras.Sequential, Functional):
        raise ValueError(
            f"{name}: `model` must be a Sequential or a functional model, whose graph "
            f"is known; got {type(model).__name__}."
        )
    if type(model) is Functional:
        return keras.Model(model.input, model.output, name=model.name)
    if not hasattr(model, "inputs"):
        raise ValueError(
            f"{name}: `model` must be built; got {model.name!r}, which is not. Put "
            "keras.Input(shape) before its layers."
        )
    return keras.Model(model.inputs, model.outputs)


def _folded(graph):
    """Return the normalization that each linear layer is to take up, or refuse."""
    nodes = [node for level in graph._nodes_by_depth.values() for node in level]
    calls = collections.Counter(node.operation for node in nodes)
    tensors = [x for node in nodes for x in node.input_tensors] + graph.outputs
    uses = collections.Counter(map(id, tensors))
    norms = {}
    for node in nodes:
        norm = node.operation
        if not isinstance(norm, _NORMS):
            _require_no_norm_inside(norm)
            continue
        (x,) = node.input_tensors
        layer = x._keras_history.operation
        kind = type(layer).__name__
        wrong = None
        if node.arguments.kwargs.get("training"):
            wrong = "be called without training=True", "a call with it"
        elif calls[norm] > 1:
            wrong = "be called once", f"{calls[norm]} calls"
        elif type(layer) not in _LINEAR:
            wrong = "follow a dense or convolutional layer", f"{layer.name!r}, {kind}"
        elif layer.activation is not keras.activations.linear:
            function = keras.activations.serialize(layer.activation)
            wrong = "follow a layer without activation", f"{function} in {layer.name!r}"
        elif calls[layer] > 1:
            wrong = "follow a layer that is called once", f"{layer.name!r}, shared"
        elif uses[id(x)] > 1:
            wrong = "alone use the output before it", f"{layer.name!r}, used elsewhere"
        elif norm.axis % len(x.shape) != _channels(layer, x):
            wrong = "normalize the channels", f"axis={norm.axis} after {layer.name!r}"
        if wrong:
            must, got = wrong
            raise ValueError(f"fold_batch_norm: {norm.name!r} must {must}; got {got}.")
        norms[layer] = norm
    if not norms:
        raise ValueError(
            "fold_batch_norm: `model` must have a batch normalization; got none."
        )
    return norms


def _require_no_norm_inside(layer):
    """Refuse a model that would keep a normalization unseen, in a model inside it."""
    if not isinstance(layer, keras.layers.Layer):  # but a function of keras.ops
        return
    if any(isinstance(inner, _NORMS) for inner in layer._flatten_layers()):
        raise ValueError(
            "fold_batch_norm: `model` must have its batch normalizations in its own "
            f"graph; got one inside {layer.name!r}."
        )


def _channels(layer, x):
    """Return the axis of the outputs of a linear layer."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return 1 if first else len(x.shape) - 1


def _weights(layer, norm):
    """Return the weights of a linear layer that does what `norm` did too."""
    *weights, bias = [*layer.get_weights(), *([] if layer.use_bias else [None])]
    kernel, twin = weights.pop(), _in_numpy(norm)
    # A depthwise kernel has outputs on its last two axes.
    flat = kernel.reshape(-1, twin.n_features).astype(np.float64)
    bias = bias if bias is None else bias.astype(np.float64)
    flat, bias = reference.fold_batch_norm(flat, bias, twin)
    return [*weights, flat.reshape(kernel.shape), bias]


def _in_numpy(norm):
    """Return a batch normalization as the reference's, in float64."""
    if isinstance(norm, BatchNorm):
        mean, var, eps = norm.running_mean, norm.running_var, norm.eps
    else:
        mean, var, eps = norm.moving_mean, norm.moving_variance, norm.epsilon
    twin = reference.BatchNorm(mean.shape[0], eps=eps)
    twin.running_mean, twin.running_var = _array(mean), _array(var)
    for name in ("gamma", "beta"):
        if (values := getattr(norm, name)) is not None:  # as without scale and center
            twin.parameters[name] = _array(values)
    return twin


def _array(variable):
    return variable.numpy().astype(np.float64)


def _require_model(function, model):
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"{function}: `model` must be a keras.Model; got {type(model).__name__}."
        )
