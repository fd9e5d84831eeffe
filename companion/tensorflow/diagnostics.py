r"""A doctor for Keras models: what happens to the signal and to the gradient.

:func:`diagnose` follows a model of one's own through one forward and one backward
pass and fills the :class:`companion.diagnostics.Report` of the reference, which has
the rules too.  Chapters *Vanishing and exploding gradients* and *Recipes*.
"""

import contextlib
import math
import random
import threading

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state  # has Keras' global seed generator
from tensorflow.python.eager import context  # has what tf.random.set_seed sets
from tensorflow.python.ops import stateful_random_ops

from companion import _checks
from companion._findings import Examination
from companion.diagnostics import Report
from companion.tensorflow._recorder import Recorder, _array, _floats, following
from companion.tensorflow.normalization import _require_model

#: Two that end in the order in which they began would leave Keras as the first made it.
_LOCK = threading.RLock()


def diagnose(model, x, y=None, loss=None, *, training=None):
    """Measure signal and gradients of `model` in one forward and one backward pass.

    Parameters
    ----------
    model : keras.Model
        Sequential, functional or subclassed.  Nothing of it is changed, on an error
        neither: weights, running statistics, seeds, losses, metrics.  The exception is
        a model that is not built: one more call, without training, builds it first.
    x : array or tf.Tensor, or a tuple, list or dict of them
        The inputs, at least one row.
    y : array or tf.Tensor, optional
        The labels, or what else `loss` takes.
    loss : str, keras.losses.Loss or function of (y, outputs), optional
        What it returns is averaged.  Without `y` it is a function of the outputs.  By
        default it is the cross-entropy for integers, from probabilities where the last
        layer has a softmax or a logistic, else from logits, and the mean squared error
        for other numbers.  Without `y` and `loss` a random direction of norm 1, always
        the same, takes the place of the gradient at the outputs.
    training : bool, optional
        Whether the model is measured as it learns, with dropout and the statistics of
        the batch: by default if there is `y` or `loss`.

    Returns
    -------
    companion.diagnostics.Report

    Raises
    ------
    TypeError, ValueError
        If `model` is something else or has no layer with weights, or if the loss
        cannot be computed.  An error inside the model is passed on.

    Notes
    -----
    Seen are calls of layers, the functions that they have as their ``activation``, and
    the operations of a functional model.  A function that a layer calls by itself, such
    as ``tf.nn.relu``, cannot be seen: activations that are to be judged should be
    layers.  A recurrent or an attention layer is one layer, whatever is inside.
    Meanwhile every ``tf.function`` runs eagerly.

    Examples
    --------
    >>> model = keras.Sequential([keras.Input((5,))])
    >>> for n_units, activation in [(8, "relu"), (3, None)]:
    ...     model.add(keras.layers.Dense(n_units, activation, name=f"dense_{n_units}"))
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((100, 5)), rng.integers(3, size=100)
    >>> report = diagnose(model, x, y)
    >>> report.layers, report.healthy
    (('dense_8: Dense, relu', 'dense_3: Dense'), True)
    >>> model.set_weights([np.ones_like(w) for w in model.get_weights()])
    >>> diagnose(model, x, y).findings[0].disease
    'symmetric'
    """
    _require_model("diagnose", model)
    labeled = y is not None or loss is not None
    if training is None:
        training = labeled
    training = _checks.boolean("diagnose", "training", training)
    x = keras.tree.map_structure(_tensor, x)
    for one in keras.tree.flatten(x):
        if 0 in one.shape:
            raise ValueError(
                "diagnose: `x` must hold at least one row; got shape "
                f"{tuple(one.shape)}."
            )
    if not model.built:
        model(x, training=False)
    quiet = np.errstate(all="ignore")  # nan and inf are what is looked for
    with _LOCK, _unchanged(model), quiet, tf.GradientTape() as tape:
        seen = Recorder(tape)
        with following(seen):
            outputs = model(x, training=training)
        if not any(call.kind == "weights" for call in seen.calls):
            raise ValueError(
                "diagnose: `model` must have a layer with weights that a call reaches; "
                "got none."
            )
        floats = _floats(outputs)
        if not floats:
            raise ValueError(
                f"diagnose: `model` must return real numbers; got {outputs!r}."
            )
        if labeled:
            value = _mean(_losses(outputs, y, loss, seen))
        else:
            value = _in_a_random_direction(floats)
        seen.measure_gradients(value)
    examination = Examination(
        seen.calls,
        seen.inputs,
        testing=not training,
        labeled=labeled,
        outputs_finite=all(np.isfinite(_array(output)).all() for output in floats),
        loss_finite=bool(np.isfinite(_array(value))),
    )
    return Report.of(examination)


# --- what is computed at the end of the forward pass ----------------------------------
def _losses(outputs, y, loss, seen):
    """Return the loss, or one of each row."""
    if loss is None:
        return _default_losses(outputs, y, seen)
    if y is None:
        if not callable(loss):
            raise TypeError(
                "diagnose: `loss` must be a function of the outputs where there is no "
                f"`y`; got {loss!r}."
            )
        return loss(outputs)
    if isinstance(outputs, tf.Tensor):
        y = _tensor(y)
        y = tf.cast(y, outputs.dtype) if y.dtype.is_floating else y
    return keras.losses.get(loss)(y, outputs)


def _default_losses(outputs, y, seen):
    if not isinstance(outputs, tf.Tensor):
        raise ValueError(
            "diagnose: `loss` must be given for a model that returns a "
            f"{type(outputs).__name__}; got None."
        )
    y, shape = _tensor(y), outputs.shape
    if shape == (*y.shape, 1):
        y = y[..., None]
    if y.dtype.is_floating:
        if y.shape != shape:
            raise ValueError(
                "diagnose: `y` must have the shape of the outputs, "
                f"{tuple(shape)}; got {tuple(y.shape)}."
            )
        return tf.square(outputs - tf.cast(y, outputs.dtype))
    function = seen.squashed_by if outputs is seen.probabilities else None
    logits = {"from_logits": function is None}
    n_classes = shape[-1]
    if y.shape == shape and (n_classes == 1 or function == "logistic"):
        _require_labels(y, 2)
        return keras.losses.binary_crossentropy(y, outputs, **logits)
    if y.shape == (*shape[:-1], 1):
        y = y[..., 0]
    if y.shape != shape[:-1]:
        raise ValueError(
            "diagnose: `y` must hold an integer for each row of the outputs, of shape "
            f"{tuple(shape)}; got shape {tuple(y.shape)}."
        )
    _require_labels(y, n_classes)
    return keras.losses.sparse_categorical_crossentropy(y, outputs, **logits)


def _require_labels(y, n_classes):
    labels = tf.cast(y, tf.int64).numpy()
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"diagnose: `y` must hold integers from 0 to {n_classes - 1}; got "
            f"{labels.min()} to {labels.max()}."
        )


def _mean(losses):
    try:
        return tf.reduce_mean(tf.convert_to_tensor(losses, _float_type(losses)))
    except (TypeError, ValueError):
        raise TypeError(
            "diagnose: `loss` must return a real number, or one for each row; got "
            f"{type(losses).__name__}."
        ) from None


def _float_type(value):
    """Return the type of a floating-point tensor, else the default."""
    kind = getattr(value, "dtype", None)
    return kind if getattr(kind, "is_floating", False) else keras.config.floatx()


def _in_a_random_direction(outputs):
    """Return a number whose gradient at the outputs has norm 1."""
    rng = np.random.default_rng(0)
    directions = [rng.standard_normal(output.shape) for output in outputs]
    length = math.sqrt(sum((direction**2).sum() for direction in directions))
    terms = [
        tf.reduce_sum(output * tf.cast(direction / length, output.dtype))
        for output, direction in zip(outputs, directions, strict=True)
    ]
    return sum(tf.cast(term, tf.float64) for term in terms)


def _tensor(value):
    return value if tf.is_tensor(value) else tf.convert_to_tensor(value)


# --- leaving no trace -----------------------------------------------------------------
@contextlib.contextmanager
def _unchanged(model):
    """Undo what calls change: variables, losses, and what generators draw next."""
    with contextlib.ExitStack() as stack:
        # Variables of Keras, seeds among them, keep their values in such a scope.
        stack.enter_context(keras.StatelessScope(collect_losses=True))
        for layer in model._flatten_layers():
            stack.callback(_set_losses, layer, layer._losses[:])
        trackables = tf.train.TrackableView(model).descendants()
        variables = [one for one in trackables if isinstance(one, tf.Variable)]
        if stateful_random_ops.global_generator is not None:
            variables.append(stateful_random_ops.global_generator.state)
        for variable in variables:
            stack.callback(variable.assign, variable.read_value())
        name = "global_seed_generator"  # of Keras: made when it is first needed
        generator = global_state.get_global_attribute(name)
        stack.callback(global_state.set_global_attribute, name, generator)
        if context.global_seed() is not None:
            stack.callback(_seed_tensorflow, context.context()._rng.getstate())
        stack.callback(random.setstate, random.getstate())
        bits = np.random.get_bit_generator()
        stack.callback(setattr, bits, "state", bits.state)
        eagerly = tf.config.functions_run_eagerly()
        stack.callback(tf.config.run_functions_eagerly, eagerly)
        tf.config.run_functions_eagerly(True)
        yield


def _set_losses(layer, losses):
    layer._losses[:] = losses
    layer._loss_ids.clear()


def _seed_tensorflow(state):
    """Set the seeds that operations draw, if they have drawn any, and forget theirs."""
    if context.context()._rng.getstate() != state:
        tf.random.set_seed(context.global_seed())
        context.context()._rng.setstate(state)
