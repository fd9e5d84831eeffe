"""Following a PyTorch model: a private part of the diagnostics.

Layers with weights, activations, normalizations and dropouts are seen where PyTorch's
functions are called, by a torch function mode: it makes no difference whether a model
calls ``nn.ReLU()``, ``F.relu`` or ``x.relu_()``.  What is not made of these functions,
such as recurrent layers and the modules of this package, is seen where the module is
called: its ``forward`` is wrapped meanwhile.
"""

import collections
import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.overrides import TorchFunctionMode

from companion._calls import Call, Signal, Weights, alike, norm, shares, slope_of
from companion.torch.activations import PReLU, RReLU, _Activation
from companion.torch.dropout import AlphaDropout, Dropout
from companion.torch.mlp import Activation
from companion.torch.normalization import BatchNorm


@dataclass(frozen=True)
class _Kernel:
    """The weights of a layer, and how they become a matrix of shape (fan_in, units)."""

    weight: torch.Tensor
    matrix: Callable
    positions: int = 1
    grouped: bool = False


@dataclass(frozen=True)
class _Seen:
    """A call, and where its gradients are to be had.

    An edge is a place in autograd's graph, which stays the same when a later operation
    changes the tensor in place.
    """

    call: Call
    output: GradientEdge | None
    kernel: _Kernel | None
    weight: GradientEdge | None


class Recorder(TorchFunctionMode):
    """Measures the calls of a model's layers, in the order of the forward pass."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.following = False
        self.names = collections.Counter()
        self.running = []  # path and module of each forward that has not returned
        self.used = set()  # ids of the parameters that recorded functions have got
        self.axis = None  # of the units, in the latest layer with weights

    def follow(self, model, run):
        """Return ``run()``, in which the model is called, and record what it does.

        This changes attributes of its modules: it is for the caller to restore them.
        What the backward pass computes again, as checkpoints do, is not recorded.
        """
        for path, module in model.named_modules():
            steps = path.split(".")
            if "parametrizations" in steps:  # they make weights, and are no layers
                continue
            path = ".".join(step for step in steps if step != "_orig_mod")
            vars(module).pop("_compiled_call_impl", None)
            vars(module)["forward"] = self._wrapped(path, module)
        self.running = [("", model)]  # whose hooks may call functions too
        with self, self._switched(True):
            return run()

    @contextlib.contextmanager
    def _switched(self, following):
        before, self.following = self.following, following
        try:
            yield
        finally:
            self.following = before

    def _wrapped(self, path, module):
        forward = getattr(module, "_orig_mod", module.forward)  # not the compiled one

        def followed(*args, **kwargs):
            if not self.following:
                return forward(*args, **kwargs)
            self.running.append((path, module))
            try:
                inputs = floats([*args, *kwargs.values()])[:1]
                return self._module(module, inputs, lambda: forward(*args, **kwargs))
            finally:
                self.running.pop()

        return followed

    def _module(self, module, inputs, run):
        """Run a module, and record it as a whole if its functions do not show it."""
        described = _of_this_package(module)
        if described and inputs:
            with self._switched(False):
                return self._measure(*inputs, run, whole=True, **described)
        own = list(module.parameters(recurse=False))
        # A copy: the module may change its inputs in place.
        x = inputs[0].detach().clone() if own and inputs else None
        start = len(self.seen)
        outputs = run()
        inside = self.seen[start:]
        shown = any(seen.kernel for seen in inside)
        if own and not shown and self.used.isdisjoint(map(id, own)) and floats(outputs):
            del self.seen[start:]  # the layer comes first, then the functions in it
            described = _of_another_class(module, own, x)
            self._measure(x, lambda: outputs, whole=True, **described)
            self.seen += inside
        return outputs

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        details = None
        if self.following and func in _FUNCTIONS:
            further = dict(kwargs)
            x = args[0] if args else further.pop("input")
            if floats(x) and not isinstance(x, nn.Parameter):
                details = _FUNCTIONS[func](*args[1:], **further)
        if details is None:
            return func(*args, **kwargs)
        got = {id(value) for value in (*args[1:], *further.values())}
        _, module = self.running[-1]
        own = set(map(id, module.parameters(recurse=False)))
        self.used |= got & own
        alone = next(module.children(), None) is None
        whole = alone and (not own or not got.isdisjoint(own))
        return self._measure(x, lambda: func(*args, **kwargs), whole=whole, **details)

    def _measure(
        self,
        x,
        run,
        *,
        whole,
        kind,
        function,
        axis=None,
        slope=None,
        kernel=None,
        training=False,
    ):
        """Run a layer, and record what it got and what came out."""
        if kernel and axis is not None:
            self.axis = axis
        axis = self.axis if axis is None else axis
        inputs, of_slopes = None, (0.0, 0.0)
        if x is not None:
            array = rows(x, axis)
            inputs = Signal.of(array)
            if slope:
                of_slopes = shares(slope, array)
        outputs = run()
        output = floats(outputs)[0]
        weights = None
        if kernel:
            matrix = kernel.matrix(kernel.weight)
            fan_out = matrix.shape[1] * kernel.positions
            weights = Weights.of(matrix, fan_out=fan_out, grouped=kernel.grouped)
        call = Call(
            *self._named(kind, function, whole),
            Signal.of(rows(output, axis)),
            inputs,
            *of_slopes,
            weights,
            training,
        )
        edges = _edge(output), kernel, kernel and _edge(kernel.weight)
        self.seen.append(_Seen(call, *edges))
        return outputs

    def _named(self, kind, function, whole):
        """Return the name of a call, its kind and its function.

        A function has the name of the module around it, if it is the whole of that, and
        else one of its own.
        """
        path, module = self.running[-1]
        if function is None or (kind == "weights" and (whole or _is_layer(module))):
            whole, function = True, type_before_parametrizations(module).__name__
        name = path or function if whole else f"{path}.{function}".lstrip(".")
        self.names[name] += 1
        n = self.names[name]
        return name if n == 1 else f"{name} #{n}", kind, function

    def measure_gradients(self, objective):
        """Fill in the gradients of a scalar, without touching any ``grad``."""
        wanted = [
            (seen, edge, edge is seen.weight)
            for seen in self.seen
            for edge in (seen.output, seen.weight)
            if edge
        ]
        if not wanted or not objective.requires_grad:
            return
        edges = [edge for _, edge, _ in wanted]
        gradients = torch.autograd.grad(objective, edges, allow_unused=True)
        for (seen, _, of_weight), gradient in zip(wanted, gradients, strict=True):
            if gradient is None:
                continue
            if not of_weight:
                seen.call.delta_norm = norm(_array(gradient).reshape(1, -1))
                continue
            matrix = seen.kernel.matrix(gradient)
            seen.call.gradient_norm = norm(matrix)
            seen.call.gradients_alike = 0.0 if seen.kernel.grouped else alike(matrix)


def floats(value):
    """Return the tensors of real numbers in a tensor, or in containers of them."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() and value.numel() else []
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, tuple | list):
        return []
    return [tensor for part in value for tensor in floats(part)]


def rows(tensor, axis=None):
    """Return an array of shape (rows, units), with the units from an axis.

    Without one it is that of the channels of images, else the last, which also is
    taken where there is no such axis behind that of the rows.
    """
    array = np.atleast_1d(_array(tensor))
    if axis is None:
        axis = 1 if array.ndim > 3 else -1
    elif array.ndim <= abs(axis):
        axis = -1
    array = np.moveaxis(array, axis, -1)
    return array.reshape(-1, array.shape[-1])


def _is_layer(module):
    return isinstance(module, nn.Linear | nn.modules.conv._ConvNd)


def _array(tensor):
    tensor = tensor.detach()
    if tensor.is_sparse:
        tensor = tensor.to_dense()
    return tensor.double().cpu().numpy()


def _edge(tensor):
    return get_gradient_edge(tensor) if tensor.requires_grad else None


# --- what PyTorch's functions are -----------------------------------------------------
# Each of these has the arguments of PyTorch's functions, but for the first one.
def _activation(name, arguments=lambda *_, **__: {}):
    def describe(*args, **kwargs):
        slope = slope_of(name, **arguments(*args, **kwargs))
        return {"kind": "activation", "function": name, "slope": slope}

    return describe


def _hardtanh(min_val=-1.0, max_val=1.0, *_, **__):
    return _activation("relu6" if (min_val, max_val) == (0, 6) else "hardtanh")()


def _prelu(weight):
    slope = slope_of("prelu", alpha=_array(weight))
    axis = 1 if weight.numel() > 1 else None
    return {"kind": "activation", "function": "prelu", "slope": slope, "axis": axis}


def _rrelu(lower=1 / 8, upper=1 / 3, *_, **__):
    slope = slope_of("rrelu", lower=lower, upper=upper, training=False)
    return {"kind": "activation", "function": "rrelu", "slope": slope}


def _dropout(function, by_default):
    def describe(p=0.5, training=by_default, *_, **__):
        details = {"kind": "dropout", "function": function, "training": training}
        return details if p > 0 else None

    return describe


def _batch_norm(mean, variance, weight=None, bias=None, training=False, *_, **__):
    details = {"kind": "normalization", "function": "batch", "axis": 1}
    return details | {"training": training}


def _normalization(function):
    return lambda *_, **__: {"kind": "normalization", "function": function}


def _weights(function, weight, axis, matrix, **more):
    """Describe a layer, unless its weights are constants, as those of a blur are."""
    if not isinstance(weight, nn.Parameter) and not weight.requires_grad:
        return None
    kernel = _Kernel(weight, matrix, **more)
    return {"kind": "weights", "function": function, "axis": axis, "kernel": kernel}


def _linear(weight, bias=None):
    return _weights("linear", weight, -1, lambda w: _array(w).T)


def _convolution(weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _weights(
        "convolution",
        weight,
        1 - weight.ndim,
        lambda w: _array(w).reshape(len(w), -1).T,
        positions=math.prod(weight.shape[2:]),
        grouped=groups > 1,
    )


def _transposed(
    weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    def matrix(w):  # of shape (inputs, units of a group, positions...)
        by_group = _array(w).reshape(groups, len(w) // groups, w.shape[1], -1)
        units_last = by_group.transpose(1, 3, 0, 2)
        return units_last.reshape(-1, groups * w.shape[1])

    return _weights(
        "transposed convolution",
        weight,
        1 - weight.ndim,
        matrix,
        positions=math.prod(weight.shape[2:]),
        grouped=groups > 1,
    )


_ACTIVATIONS = {
    name: _activation(name)
    for name in (
        *("tanh", "softsign", "relu", "relu6", "selu", "softplus", "silu", "mish"),
        *("hardswish", "hardsigmoid", "logsigmoid"),
    )
} | {
    "sigmoid": _activation("logistic"),
    "expit": _activation("logistic"),
    "hardtanh": _hardtanh,
    "leaky_relu": _activation(
        "leaky_relu",
        lambda negative_slope=0.01, *_, **__: {"alpha": negative_slope},
    ),
    "prelu": _prelu,
    "rrelu": _rrelu,
    "elu": _activation("elu", lambda alpha=1.0, *_, **__: {"alpha": alpha}),
    "celu": _activation("celu", lambda alpha=1.0, *_, **__: {"alpha": alpha}),
    "gelu": _activation(
        "gelu", lambda approximate="none": {"approximate": approximate == "tanh"}
    ),
}
_FUNCTIONS = {
    getattr(place, spelled): describe
    for name, describe in _ACTIVATIONS.items()
    for place in (F, torch, torch.Tensor, torch.special)
    for spelled in (name, f"{name}_")  # the latter changes its argument
    if hasattr(place, spelled)
} | {
    F.dropout: _dropout("dropout", True),
    F.dropout1d: _dropout("dropout", True),
    F.dropout2d: _dropout("dropout", True),
    F.dropout3d: _dropout("dropout", True),
    F.alpha_dropout: _dropout("alpha_dropout", False),
    F.feature_alpha_dropout: _dropout("alpha_dropout", False),
    F.batch_norm: _batch_norm,
    F.layer_norm: _normalization("layer"),
    F.group_norm: _normalization("group"),
    F.instance_norm: _normalization("instance"),
    F.rms_norm: _normalization("rms"),
    F.linear: _linear,
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _convolution),
    torch.conv_transpose1d: _transposed,
    torch.conv_transpose2d: _transposed,
    torch.conv_transpose3d: _transposed,
}


# --- what modules are -----------------------------------------------------------------
def _of_this_package(module):
    """Describe a module of this package; None for any other."""
    if isinstance(module, Dropout | AlphaDropout):
        function = "dropout" if isinstance(module, Dropout) else "alpha_dropout"
        return _dropout(function, module.training)(module.arguments["rate"])
    if isinstance(module, BatchNorm):
        details = _batch_norm(None, None, training=module.training)
        return details | {"axis": module.axis}
    if isinstance(module, PReLU):
        return _prelu(module.alpha)
    if isinstance(module, RReLU):
        return _rrelu(**module.arguments)
    if isinstance(module, Activation):
        return _activation(module.function)()
    if isinstance(module, _Activation):
        return _activation(module.f.__name__, dict)(**module.arguments)
    return None


def _of_another_class(module, own, x):
    """Describe a module with parameters of its own, such as a recurrent layer.

    Its weights are the first parameter that is a matrix; a matrix for these inputs, if
    one of its axes has their size.
    """
    if "Norm" in type(module).__name__:
        return {"kind": "normalization", "function": None}
    weight = next((p for p in own if p.ndim > 1), own[0])
    n_inputs = None if x is None or x.ndim == 0 else x.shape[-1]

    def flat(w):
        return _array(w).reshape(-1, w.shape[-1] if w.ndim else 1)

    if weight.ndim == 2 and n_inputs in weight.shape:
        if weight.shape[1] == n_inputs:  # PyTorch's order, (units, inputs)
            return _weights(None, weight, -1, lambda w: flat(w).T)
        return _weights(None, weight, -1, flat)
    return _weights(None, weight, None, flat, grouped=True)
