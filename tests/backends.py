"""NumPy, PyTorch and TensorFlow behind one set of methods, for tests of all three."""

import copy
import functools
import importlib
import sys

import numpy as np
import pytest

from companion import activations


class Backend:
    """What all have in common: the functions of a module, by name."""

    def function(self, name):
        return getattr(self.module, name)

    def topic(self, name):
        """Return the module of another topic than the activations."""
        package = self.module.__name__.rpartition(".")[0]
        return importlib.import_module(f"{package}.{name}")


class NumpyBackend(Backend):
    """The reference itself, in the dtype asked for: ``f`` and ``f_grad``."""

    name = "numpy"
    random = "rng"
    module = activations
    default_float = "float64"
    dtypes = ("float16", "float32", "float64")

    def tensor(self, values, dtype):
        return np.asarray(values).astype(dtype)

    def array(self, tensor):
        return np.asarray(tensor, dtype=np.float64)

    def dtype(self, tensor):
        return tensor.dtype.name

    def value_and_gradient(self, function, z, upstream, **arguments):
        module = sys.modules[function.__module__]
        derivative = getattr(module, f"{function.__name__}_grad")
        again = copy.deepcopy(arguments)  # a generator draws the same slopes twice
        return function(z, **arguments), upstream * derivative(z, **again)

    def slope_gradient(self, function, z, upstream, alpha):
        derivative = self.function(f"{function.__name__}_slope_derivative")
        return sum_to(upstream * derivative(z, alpha), alpha.shape)

    def source(self, seed):
        return {"rng": np.random.default_rng(seed)}

    def refused(self):
        """Give arguments that are no real numbers, each with its message's end."""
        yield np.array([1j]), "must hold real numbers; got dtype complex128."
        yield np.array([None]), "must hold real numbers; got dtype object."
        yield ["a"], "must hold real numbers; got dtype <U1."


class TorchBackend(Backend):
    """``companion.torch`` and autograd, on one device."""

    name = "torch"
    random = "generator"
    dtypes = ("float16", "bfloat16", "float32", "float64")

    def __init__(self, device="cpu"):
        import torch

        import companion.torch.activations

        self.framework, self.device = torch, device
        self.module = companion.torch.activations
        self.default_float = self.dtype(torch.empty(0))

    def tensor(self, values, dtype):
        values = self.framework.from_numpy(np.array(values))
        return values.to(self.device, getattr(self.framework, dtype))

    def array(self, tensor):
        return tensor.detach().double().cpu().numpy()

    def dtype(self, tensor):
        return str(tensor.dtype).removeprefix("torch.")

    def value_and_gradient(self, function, z, upstream, **arguments):
        z = z.clone().requires_grad_()
        y = function(z, **arguments)
        # A result of another shape or dtype cannot be asked for the gradient.
        if y.shape != z.shape or y.dtype != z.dtype:
            return y, None
        return y, self.framework.autograd.grad(y, z, upstream)[0]

    def slope_gradient(self, function, z, upstream, alpha):
        alpha = alpha.clone().requires_grad_()
        return self.framework.autograd.grad(function(z, alpha), alpha, upstream)[0]

    def source(self, seed):
        return {"generator": self.framework.Generator(self.device).manual_seed(seed)}

    def refused(self):
        complex_number = self.framework.tensor([1j])
        yield complex_number, "must hold real numbers; got dtype torch.complex64."
        yield [1.0], "must be a torch.Tensor; got list. Pass torch.as_tensor(z)."
        yield "a", "must be a torch.Tensor; got str. Pass torch.as_tensor(z)."


class TensorFlowBackend(Backend):
    """``companion.tensorflow`` and ``tf.GradientTape``, on one device."""

    name = "tensorflow"
    random = "seed"
    dtypes = ("float16", "bfloat16", "float32", "float64")

    def __init__(self, device="CPU"):
        import companion.tensorflow.activations  # isort: skip  (first: in silence)
        import keras
        import tensorflow

        self.framework, self.device = tensorflow, device
        self.module = companion.tensorflow.activations
        self.default_float = keras.backend.floatx()

    def tensor(self, values, dtype):
        with self.framework.device(self.device):
            return self.framework.cast(self.framework.constant(values), dtype)

    def array(self, tensor):
        return self.framework.cast(tensor, "float64").numpy()

    def dtype(self, tensor):
        return tensor.dtype.name

    def value_and_gradient(self, function, z, upstream, **arguments):
        with self.framework.device(self.device), self.framework.GradientTape() as tape:
            tape.watch(z)
            y = function(z, **arguments)
        if y.shape != z.shape or y.dtype != z.dtype:
            return y, None
        return y, tape.gradient(y, z, output_gradients=upstream)

    def slope_gradient(self, function, z, upstream, alpha):
        with self.framework.GradientTape() as tape:
            tape.watch(alpha)
            y = function(z, alpha)
        return tape.gradient(y, alpha, output_gradients=upstream)

    def source(self, seed):
        return {"seed": seed}

    def refused(self):
        complex_number = self.framework.constant([1j], "complex64")
        yield complex_number, "must hold real numbers; got dtype complex64."
        yield ["a"], "must hold real numbers; got dtype string."
        cannot = "which TensorFlow cannot convert to a tensor."
        yield object(), f"must hold real numbers; got object, {cannot}"


KINDS = {"numpy": NumpyBackend, "torch": TorchBackend, "tensorflow": TensorFlowBackend}
#: The frameworks that are compared with the reference.
FRAMEWORKS = ["torch", "tensorflow"]
ON_A_GPU = {"torch on a GPU": "cuda", "tensorflow on a GPU": "GPU:0"}
#: The names of all backends; those on a GPU are for `make test-gpu`.
BACKENDS = [*KINDS, *(pytest.param(name, marks=pytest.mark.gpu) for name in ON_A_GPU)]
#: One dtype is not enough, and not every backend has all of them.
CASES = [
    pytest.param(name, dtype, marks=[pytest.mark.gpu] if name in ON_A_GPU else [])
    for name in (*KINDS, *ON_A_GPU)
    for dtype in KINDS[name.split()[0]].dtypes
]
#: What the frameworks call a function otherwise than the reference does.
THEIRS = {"logistic": "sigmoid"}


@functools.cache
def backend_named(name):
    kind = name.split()[0]
    if kind != "numpy":
        pytest.importorskip(kind)
    return KINDS[kind](ON_A_GPU[name]) if name in ON_A_GPU else KINDS[kind]()


def sum_to(terms, shape):
    """Sum over the axes along which an array of `shape` was broadcast."""
    new = terms.ndim - len(shape)
    axes = [*range(new), *(i + new for i, n in enumerate(shape) if n == 1)]
    return terms.sum(axis=tuple(axes)).reshape(shape)
