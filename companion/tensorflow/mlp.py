"""Nets from recipes, in TensorFlow: those of :func:`companion.mlp.mlp`."""

import random

import keras

from companion import _checks
from companion._dense_net import layers_of
from companion.tensorflow import activations, initializers
from companion.tensorflow.activations import (
    CELU,
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    PReLU,
    RReLU,
    _Activation,
)
from companion.tensorflow.dropout import AlphaDropout, Dropout
from companion.tensorflow.initializers import _register
from companion.tensorflow.normalization import BatchNorm

_CLASSES = {
    "leaky_relu": LeakyReLU,
    "prelu": PReLU,
    "elu": ELU,
    "celu": CELU,
    "selu": SELU,
    "gelu": GELU,
}


@_register
class Activation(_Activation):
    """Apply a function that has no class of its own, since it has no arguments.

    Parameters
    ----------
    function : {"logistic", "tanh", "softsign", "relu", "softplus", "silu", "mish"}
        One of :mod:`companion.tensorflow.activations`.

    Raises
    ------
    ValueError
        If `function` is something else.

    Examples
    --------
    >>> Activation("relu")(keras.ops.array([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    FUNCTIONS = ("logistic", "tanh", "softsign", "relu", "softplus", "silu", "mish")

    def __init__(self, function, **keywords):
        _checks.one_of("Activation", "function", function, self.FUNCTIONS)
        super().__init__({}, **keywords)
        self.function = function

    def call(self, x):
        return getattr(activations, self.function)(x)

    def get_config(self):
        return super().get_config() | {"function": self.function}


def mlp(recipe, n_inputs, n_outputs, widths, *, rate=None, seed=None):
    """Build the net that a recipe describes.

    Parameters
    ----------
    recipe, n_inputs, n_outputs, widths, rate
        Those of :func:`companion.mlp.mlp`, which says what is built, and what of the
        recipe is left to training.
    seed : int of at least 0, optional
        Each layer that draws gets a seed of its own from it.  Without one, they come
        from Python's global generator, which ``keras.utils.set_random_seed`` sets.

    Returns
    -------
    keras.Sequential
        Built, with an input of shape ``(None, n_inputs)``; not compiled.

    Raises
    ------
    TypeError, ValueError
        As for :func:`companion.mlp.mlp`, or if `seed` is something else.

    Examples
    --------
    >>> from companion.recipes import recommend
    >>> recipe = recommend(depth=1, regularizer=("alpha_dropout",))
    >>> net = mlp(recipe, 64, 10, [32], seed=0)
    >>> print(*[type(layer).__name__ for layer in net.layers])
    Dense SELU AlphaDropout Dense
    """
    plan = layers_of("mlp", recipe, n_inputs, n_outputs, widths, rate)
    source = random
    if seed is not None:
        source = random.Random(_checks.integer("mlp", "seed", seed, minimum=0))

    def new_seed():
        return source.getrandbits(31)  # what fits TensorFlow's integers

    def dense(n_inputs, n_units, name):
        initializer = getattr(initializers, name.title().replace("_", ""))
        return keras.layers.Dense(
            n_units, kernel_initializer=initializer(seed=new_seed())
        )

    def activation(name):
        if name == "rrelu":
            return RReLU(seed=new_seed())
        return _CLASSES[name]() if name in _CLASSES else Activation(name)

    make = {
        "dense": dense,
        "batch": BatchNorm,
        "layer": lambda n_units: keras.layers.LayerNormalization(epsilon=1e-5),
        "activation": activation,
        "dropout": lambda rate: Dropout(rate, seed=new_seed()),
        "alpha_dropout": lambda rate: AlphaDropout(rate, seed=new_seed()),
    }
    layers = [make[kind](*arguments) for kind, *arguments in plan]
    return keras.Sequential([keras.Input((n_inputs,)), *layers])
