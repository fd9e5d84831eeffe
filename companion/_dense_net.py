"""What a recipe's net consists of, for the builders of all backends."""

import itertools

import numpy as np

from companion import _checks

#: The kinds of dropout, and the rate of each where none is given.
RATES = {"dropout": 0.2, "alpha_dropout": 0.05}


def layers_of(function, recipe, n_inputs, n_outputs, widths, rate):
    """Return the layers of a dense net as a recipe wants them, each as (kind, ...).

    All backends build what stands here, in this order.
    """
    parts = ("initializer", "activation", "normalization", "regularizer")
    try:
        architecture = recipe.architecture
        initializer, *parts = (getattr(recipe, part).value for part in parts)
    except AttributeError:
        raise TypeError(
            f"{function}: `recipe` must be a Recipe; got {type(recipe).__name__}. Pass "
            "companion.recipes.recommend(...)."
        ) from None
    activation, normalization, regularizer = parts
    if architecture != "dense":
        raise ValueError(
            f"{function}: `recipe` must be for the architecture 'dense', a plain stack "
            f"of dense layers, which is what is built; got {architecture!r}."
        )
    n_outputs = _checks.integer(function, "n_outputs", n_outputs, minimum=1)
    if np.ndim(widths) != 1 or len(widths) == 0:
        raise ValueError(
            f"{function}: `widths` must hold the units of each hidden layer, of one at "
            f"least; got {widths!r}."
        )
    sizes = [_checks.integer(function, "n_inputs", n_inputs, minimum=1)]
    sizes += [_checks.integer(function, "widths", n, minimum=1) for n in widths]

    dropout = [name for name in regularizer if name in RATES]
    if len(dropout) > 1:
        raise ValueError(
            f"{function}: `recipe` must name one kind of dropout at most; got "
            f"{' and '.join(map(repr, dropout))}."
        )
    if rate is None:
        rate = RATES[dropout[0]] if dropout else None
    elif not dropout:
        raise ValueError(
            f"{function}: `rate` must be None for a recipe without dropout; got "
            f"{rate!r}. Pass recommend(regularizer=('dropout',), ...)."
        )

    layers, last = [], len(widths) - 1
    for i, (n, n_units) in enumerate(itertools.pairwise(sizes)):
        layers.append(("dense", n, n_units, initializer))
        if normalization is not None:
            layers.append((normalization, n_units))
        layers.append(("activation", activation))
        # Below a batch normalization it would shift the variance that this has learned.
        if dropout and (normalization != "batch" or i == last):
            layers.append((dropout[0], rate))
    distribution = initializer.partition("_")[2]
    return [*layers, ("dense", sizes[-1], n_outputs, f"glorot_{distribution}")]
