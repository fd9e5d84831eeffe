"""Following a Keras model through its calls: a private part of the diagnostics."""

import collections
import contextlib
import functools
import inspect
import math
import threading
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from companion import activations
from companion._calls import Call, Signal, Weights, alike, norm, shares, slope_of
from companion.tensorflow.mlp import Activation

# --- following the calls --------------------------------------------------------------
#: Layers that are one, although they call others: these see one step, or one head.
_WHOLE = (keras.layers.RNN, keras.layers.MultiHeadAttention)


@dataclass(eq=False)
class _Frame:
    """A call that is under way.

    Attributes
    ----------
    operation : keras.Operation
    name : str
    activation : tuple
        Of the last one inside: its place among the calls, z and h.
    measured : set
        The ids of the weights of the layers inside that have been measured.
    has_layers : bool
        There were layers with weights among these.
    """

    operation: keras.Operation
    name: str
    activation: tuple = (0, None, None)
    measured: set = field(default_factory=set)
    has_layers: bool = False


class Recorder:
    """What the calls of a model did.

    Attributes
    ----------
    inputs : list of companion._calls.Signal
    probabilities, squashed_by : tf.Tensor and str, or None
        The last output of a softmax or a logistic, and which of them it was.
    """

    def __init__(self, tape):
        self.tape = tape
        self.inputs, self.probabilities, self.squashed_by = [], None, None
        self._found = []  # calls, each with its output and, if any, layer and kernel
        self._stack, self._counts = [], collections.Counter()
        self._axis = -1  # of the units of images: that of the last convolution

    @property
    def calls(self):
        return [call for call, *_ in self._found]

    def follow(self, run, operation, args, kwargs):
        """Call an operation, by the function `run`, and measure what it did."""
        if any(isinstance(frame.operation, _WHOLE) for frame in self._stack):
            return run(operation, *args, **kwargs)
        inputs = _floats((args, kwargs))
        if not self._stack:
            self.inputs = [Signal.of(_rows(x)) for x in inputs]
        if hasattr(operation, "data_format"):
            self._axis = 1 if operation.data_format == "channels_first" else -1
        frame = _Frame(operation, self._name(operation))
        self._stack.append(frame)
        try:
            with self._activation_seen(frame):
                outputs = run(operation, *args, **kwargs)
        finally:
            self._stack.pop()
        if floats := _floats(outputs):
            self.tape.watch(floats[0])  # else what is frozen would have no gradient
            indices = isinstance(operation, keras.layers.Embedding)  # even as floats
            first = inputs[0] if inputs and not indices else None
            self._measure(frame, first, floats[0], bool(kwargs.get("training")))
        return outputs

    def measure_gradients(self, loss):
        """Fill in the weights, and the gradients of `loss`."""
        outputs = [output for _, output, _ in self._found]
        owners = {call: owner for call, _, owner in self._found if owner}
        kernels = [kernel.value for _, kernel in owners.values()]
        deltas, gradients = self.tape.gradient(loss, [outputs, kernels])
        for call, delta in zip(self.calls, deltas, strict=True):
            if delta is not None:
                call.delta_norm = norm(_rows(delta))
        for call, kernel, gradient in zip(owners, kernels, gradients, strict=True):
            layer, variable = owners[call]
            matrix, settings = _matrix(layer, _array(kernel))
            call.weights = Weights.of(matrix, **settings)
            if gradient is not None and variable.trainable:
                matrix, _ = _matrix(layer, _array(gradient))
                call.gradient_norm, call.gradients_alike = norm(matrix), alike(matrix)

    def _name(self, operation):
        inner = [*(frame.operation for frame in self._stack), operation][1:]
        path = "/".join(one.name for one in inner) or operation.name
        self._counts[path] += 1
        n = self._counts[path]
        return path if n == 1 else f"{path} #{n}"

    @contextlib.contextmanager
    def _activation_seen(self, frame):
        """Measure a function that a layer has as its ``activation``."""
        attributes = vars(frame.operation)
        function = attributes.get("activation")
        if not callable(function) or isinstance(function, keras.Operation):
            yield  # a layer in its place is called as any other
            return

        @functools.wraps(function)
        def measured(z, *args, **kwargs):
            self.tape.watch(_floats(z))
            h = function(z, *args, **kwargs)
            if self._stack and self._stack[-1] is frame and len(_floats((z, h))) == 2:
                self._measure_activation(frame.name, *_function(function), z, h)
            return h

        # Not by setattr, by which Keras keeps account of what a layer consists of.
        attributes["activation"] = measured
        try:
            yield
        finally:
            attributes["activation"] = function

    def _measure(self, frame, inputs, output, training):
        """Measure a call that has ended."""
        operation = frame.operation
        weights = getattr(operation, "weights", ())
        kind, function = _kind(operation)
        if kind == "activation":
            known = _with_slope(function, self._settings(operation, inputs))
            self._measure_activation(frame.name, *known, inputs, output)
        elif kind == "normalization":
            training = training and operation.trainable
            self._add(frame.name, kind, function, inputs, output, training=training)
        elif kind == "dropout" and operation.get_config()["rate"] > 0:
            self._add(frame.name, kind, function, inputs, output, training=training)
        elif kind is None and not frame.has_layers:
            own = [one for one in weights if id(one) not in frame.measured]
            kernel = _kernel(own)
            if kernel is not None:
                place, z, h = frame.activation
                if h is not output:
                    place, z = len(self._found), output
                signals = {"output": self._signal(z), "inputs": self._signal(inputs)}
                call = Call(frame.name, "weights", type(operation).__name__, **signals)
                self._found.insert(place, (call, z, (operation, kernel)))
                frame.has_layers = True
        for outer in self._stack:
            outer.has_layers |= frame.has_layers
            outer.measured.update(map(id, weights if kind else ()))

    def _measure_activation(self, name, function, slope, z, h):
        """Keep in mind that `z` became `h`, and measure it if the slope is known."""
        if self._stack:
            self._stack[-1].activation = len(self._found), z, h
        if function in ("softmax", "logistic"):
            self.probabilities, self.squashed_by = h, function
        if slope:
            saturated, dead = shares(slope, self._rows(z))
            shared = {"saturated": saturated, "dead": dead}
            self._add(name, "activation", function, z, h, **shared)

    def _add(self, name, kind, function, inputs, output, **more):
        signals = {"output": self._signal(output), "inputs": self._signal(inputs)}
        call = Call(name, kind, function, **signals, **more)
        self._found.append((call, output, None))

    def _signal(self, tensor):
        return None if tensor is None else Signal.of(self._rows(tensor))

    def _rows(self, tensor):
        return _rows(tensor, self._axis if len(tensor.shape) > 2 else -1)

    def _settings(self, operation, z):
        """Return all that a layer or an operation holds, its arguments among it."""
        settings = dict(getattr(operation, "arguments", {})) | vars(operation)
        if isinstance(settings.get("alpha"), keras.Variable):
            alpha = _array(settings["alpha"].value)
            if alpha.ndim > 1:  # Keras' own has one for each position of an image
                alpha = self._rows(np.broadcast_to(alpha, z.shape))
            settings["alpha"] = alpha
        return settings


@contextlib.contextmanager
def following(recorder):
    """Let a recorder follow each operation that this thread calls on eager tensors.

    Layers call ``keras.Operation`` once their inputs are converted and ``training`` is
    known.
    """
    original, thread = keras.Operation.__call__, threading.get_ident()

    @functools.wraps(original)
    def call(operation, *args, **kwargs):
        if threading.get_ident() != thread or not tf.executing_eagerly():
            return original(operation, *args, **kwargs)
        return recorder.follow(original, operation, args, kwargs)

    keras.Operation.__call__ = call
    try:
        yield
    finally:
        keras.Operation.__call__ = original


# --- what is known about layers -------------------------------------------------------
#: Where names can be relied on: a class of one's own may be called anything.
_WELL_KNOWN = ("keras.", "tensorflow.", "companion.")
#: Names in lower case, of classes and functions alike, and the names of this project.
_ACTIVATIONS = {
    name.removesuffix("_grad").replace("_", ""): name.removesuffix("_grad")
    for name in vars(activations)
    if name.endswith("_grad")
} | {"relu6": "relu6", "sigmoid": "logistic", "swish": "silu", "softmax": "softmax"}
_OTHERS = {
    "BatchNormalization": ("normalization", "batch"),
    "BatchNorm": ("normalization", "batch"),
    "LayerNormalization": ("normalization", "layer"),
    "GroupNormalization": ("normalization", "group"),
    "RMSNormalization": ("normalization", "rms"),
    "Normalization": ("preprocessing", "normalization"),  # of data, before the model
    "AlphaDropout": ("dropout", "alpha_dropout"),
    "Dropout": ("dropout", "dropout"),  # the spatial ones too
}


def _kind(operation):
    """Return the kind and the function of a :class:`companion._calls.Call`, or None."""
    if isinstance(operation, Activation):
        return "activation", operation.function
    for cls in type(operation).__mro__:
        name = cls.__name__
        if cls.__module__.startswith(_WELL_KNOWN) and name in _OTHERS:
            return _OTHERS[name]
        if cls.__module__.startswith(_WELL_KNOWN) and name.lower() in _ACTIVATIONS:
            return "activation", _ACTIVATIONS[name.lower()]
    return None, None


def _function(function):
    """Return the name of a function and its derivative, None if it is not known."""
    inner = function.func if isinstance(function, functools.partial) else function
    name = getattr(inner, "__name__", "").replace("_", "")
    module = getattr(inner, "__module__", None) or ""
    if not module.startswith(_WELL_KNOWN) or name not in _ACTIVATIONS:
        return None, None
    parameters = inspect.signature(function).parameters.values()
    settings = {one.name: one.default for one in parameters if one.default != one.empty}
    return _with_slope(_ACTIVATIONS[name], settings)


def _with_slope(name, settings):
    """Return the name of an activation and its derivative, with these arguments.

    The derivative is None if it is not one of each element.
    """
    if name == "softmax":
        return name, None
    if name in ("relu", "relu6"):  # Keras' own has three arguments more
        below, start = settings.get("negative_slope"), settings.get("threshold")
        end = 6.0 if name == "relu6" else settings.get("max_value")
        name = "leaky_relu" if below else "relu6" if end == 6 else "relu"
        below, start = below or 0.0, start or 0.0
        end = math.inf if end is None else end
        return name, lambda z: np.where(z > start, (z < end) * 1.0, below)
    given = {"training": False, "alpha": settings.get("negative_slope")} | settings
    alpha = given["alpha"]
    if np.ndim(alpha) == 2:  # of each row and unit; where there are none, the largest
        largest = np.abs(alpha).max(axis=0)
        return name, lambda z: activations.prelu_grad(
            z, alpha if z.shape == alpha.shape else largest
        )
    known = inspect.signature(getattr(activations, name)).parameters
    given = {k: v for k, v in given.items() if k in known and v is not None}
    return name, slope_of(name, **given)


def _kernel(weights):
    """Return the weights that meet the inputs: the first matrix, else the first vector.

    Of a recurrent layer and of an attention that is the first, too.
    """
    real = [one for one in weights if tf.as_dtype(one.dtype).is_floating]
    return next((one for one in real if len(one.shape) > 1), next(iter(real), None))


def _matrix(layer, kernel):
    """Return a kernel as a matrix (fan_in, units), and arguments of `Weights.of`."""
    if isinstance(layer, _DEPTHWISE):
        *positions, n_inputs, multiplier = kernel.shape
        fan_out = math.prod(positions) * multiplier
        matrix = kernel.reshape(-1, n_inputs * multiplier)
        return matrix, {"fan_out": fan_out, "grouped": True}
    if isinstance(layer, keras.layers.EinsumDense):
        left, outputs = layer.equation.split("->")
        letters = left.split(",")[1]
        summed = [i for i, letter in enumerate(letters) if letter not in outputs]
        kernel = np.moveaxis(kernel, summed, range(len(summed)))
        return kernel.reshape(math.prod(kernel.shape[: len(summed)]), -1), {}
    if isinstance(layer, keras.layers.MultiHeadAttention):
        return kernel.reshape(len(kernel), -1), {}
    if isinstance(layer, _TRANSPOSED):
        kernel = np.swapaxes(kernel, -1, -2)
    *positions, _, units = kernel.shape if kernel.ndim > 1 else (1, kernel.size)
    matrix = kernel.reshape(-1, units)
    alone = len(matrix) == 1 and not isinstance(layer, keras.layers.Dense)
    grouped = alone or getattr(layer, "groups", 1) > 1
    return matrix, {"fan_out": math.prod(positions) * units, "grouped": grouped}


_DEPTHWISE = (
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


# --- tensors --------------------------------------------------------------------------
def _floats(structure):
    """Return the tensors of real numbers in a structure, those with any."""
    return [
        one
        for one in keras.tree.flatten(structure)
        if isinstance(one, tf.Tensor) and one.dtype.is_floating and 0 not in one.shape
    ]


def _array(tensor):
    """Return a tensor, or the slices of one, as an array in float64."""
    return tf.convert_to_tensor(tensor).numpy().astype(np.float64)


def _rows(tensor, axis=-1):
    """Return a tensor as an array of shape (rows, units)."""
    array = _array(tensor)
    if array.ndim < 2:
        return array.reshape(-1, 1)
    return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
