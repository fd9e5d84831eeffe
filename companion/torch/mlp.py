"""Nets from recipes, in PyTorch: those of :func:`companion.mlp.mlp`."""

import torch
from torch import nn

from companion import _checks
from companion._dense_net import layers_of
from companion.torch import activations, initializers
from companion.torch.activations import CELU, ELU, GELU, SELU, LeakyReLU, PReLU, RReLU
from companion.torch.dropout import AlphaDropout, Dropout
from companion.torch.initializers import _check_generator
from companion.torch.normalization import BatchNorm

_CLASSES = {
    "leaky_relu": LeakyReLU,
    "prelu": PReLU,
    "elu": ELU,
    "celu": CELU,
    "selu": SELU,
    "gelu": GELU,
}


class Activation(nn.Module):
    """Apply a function that has no class of its own, since it has no arguments.

    Parameters
    ----------
    function : {"logistic", "tanh", "softsign", "relu", "softplus", "silu", "mish"}
        One of :mod:`companion.torch.activations`.

    Raises
    ------
    ValueError
        If `function` is something else.

    Examples
    --------
    >>> Activation("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    FUNCTIONS = ("logistic", "tanh", "softsign", "relu", "softplus", "silu", "mish")

    def __init__(self, function):
        super().__init__()
        self.function = _checks.one_of(
            "Activation", "function", function, self.FUNCTIONS
        )

    def forward(self, z):
        return getattr(activations, self.function)(z)

    def extra_repr(self):
        return repr(self.function)


def mlp(recipe, n_inputs, n_outputs, widths, *, rate=None, generator=None):
    """Build the net that a recipe describes.

    Parameters
    ----------
    recipe, n_inputs, n_outputs, widths, rate
        Those of :func:`companion.mlp.mlp`, which says what is built, and what of the
        recipe is left to training.
    generator : torch.Generator, optional
        It draws the weights, and in training random slopes and dropout.  The net lies
        on its device.  Without one, PyTorch's global generator and default device are
        used.

    Returns
    -------
    torch.nn.Sequential
        In float32, and in training mode, as PyTorch's layers are.

    Raises
    ------
    TypeError, ValueError
        As for :func:`companion.mlp.mlp`, or if `generator` is something else.

    Examples
    --------
    >>> from companion.recipes import recommend
    >>> recipe = recommend(depth=1, regularizer=("alpha_dropout",))
    >>> mlp(recipe, 64, 10, [32])
    Sequential(
      (0): Linear(in_features=64, out_features=32, bias=True)
      (1): SELU(alpha=1.6732632423543772, scale=1.0507009873554805)
      (2): AlphaDropout(rate=0.05, alpha=1.6732632423543772, \
scale=1.0507009873554805, mean=0.0, var=1.0)
      (3): Linear(in_features=32, out_features=10, bias=True)
    )
    """
    plan = layers_of("mlp", recipe, n_inputs, n_outputs, widths, rate)
    _check_generator("mlp", generator)
    device = torch.get_default_device() if generator is None else generator.device

    def dense(n_inputs, n_units, name):
        # PyTorch's own weights would be drawn from the global generator, in vain.
        to = {"device": device, "dtype": torch.float32}
        layer = nn.utils.skip_init(nn.Linear, n_inputs, n_units, **to)
        getattr(initializers, f"{name}_")(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        return layer

    def activation(name):
        if name == "rrelu":
            return RReLU(generator=generator)
        return _CLASSES[name]() if name in _CLASSES else Activation(name)

    make = {
        "dense": dense,
        "batch": BatchNorm,
        "layer": lambda n_units: nn.LayerNorm(n_units, eps=1e-5),
        "activation": activation,
        "dropout": lambda rate: Dropout(rate, generator=generator),
        "alpha_dropout": lambda rate: AlphaDropout(rate, generator=generator),
    }
    net = nn.Sequential(*[make[kind](*arguments) for kind, *arguments in plan])
    return net.to(device, torch.float32)
