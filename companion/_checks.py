"""Argument checks that every topic shares, and their messages.

One grammar throughout: the function, the argument, the constraint, what was
got, and a hint where one mend is likely::

    alpha_dropout: `rate` must be in [0, 1); got 1.0.
"""

import difflib
import math
import numbers

import numpy as np


def real_array(function, name, value):
    """Return `value` as a floating-point array; integers become float64."""
    array = np.asarray(value)
    if array.dtype.kind in "bui":
        return array.astype(float)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{function}: `{name}` must hold real numbers; got dtype {array.dtype}."
        )
    return array


def finite(function, name, value, *, minimum=-math.inf, above=-math.inf):
    """Return `value` as a Python float, so that it never widens an array's dtype."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{function}: `{name}` must be a real number; got {value!r}.")
    try:
        value = float(value)
    except OverflowError:  # an integer beyond the largest float
        value = math.inf if value > 0 else -math.inf
    if not (minimum <= value < math.inf and value > above):  # nan is neither
        bound = f" of at least {minimum:g}" if minimum > -math.inf else ""
        bound = f" above {above:g}" if above > -math.inf else bound
        raise ValueError(
            f"{function}: `{name}` must be a finite number{bound}; got {value!r}."
        )
    return value


def integer(function, name, value, *, minimum):
    """Return `value` as a Python int of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{function}: `{name}` must be an integer; got {value!r}.")
    if value < minimum:
        raise ValueError(
            f"{function}: `{name}` must be at least {minimum}; got {value}."
        )
    return int(value)


def boolean(function, name, value):
    """Return `value` if it is True or False."""
    # Older versions of PyTorch cannot compile a union of types.
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{function}: `{name}` must be True or False; got {value!r}.")
    return bool(value)


def slope_range(function, lower, upper):
    """Return the two ends of a range of slopes as floats, the lower one first."""
    lower = finite(function, "lower", lower)
    upper = finite(function, "upper", upper)
    if lower > upper:
        raise ValueError(
            f"{function}: `lower` must not be above `upper`; got {lower} and {upper}."
        )
    return lower, upper


def broadcasts(function, name, shape, target):
    """Require that `shape` broadcasts to `target` without changing it."""
    fits = len(shape) <= len(target) and all(
        n == 1 or n == m for n, m in zip(shape[::-1], target[::-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"{function}: `{name}` must broadcast to the shape {tuple(target)}; got "
            f"shape {tuple(shape)}."
        )


def one_of(function, name, value, options):
    """Return `value` if it is one of the strings `options`; None may be one too."""
    if value in options:
        return value
    names = [option for option in options if option is not None]
    close = difflib.get_close_matches(str(value), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"{function}: `{name}` must be one of {', '.join(map(repr, options))}; "
        f"got {value!r}.{hint}"
    )


def weight_shape(function, shape):
    """Return `shape` as a tuple of at least two positive integers."""
    try:
        shape = tuple(shape)
    except TypeError:
        raise TypeError(
            f"{function}: `shape` must be a sequence of integers such as "
            f"(fan_in, fan_out); got {shape!r}."
        ) from None
    if len(shape) < 2:
        raise ValueError(
            f"{function}: `shape` must have at least two axes, (fan_in, fan_out) "
            f"last; got {shape}."
        )
    return tuple(integer(function, "shape", n, minimum=1) for n in shape)


def generator(function, name, rng):
    """Return `rng` if it is a NumPy Generator: randomness is always explicit."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{function}: `{name}` must be a numpy.random.Generator; got "
            f"{type(rng).__name__}. Pass {name}=numpy.random.default_rng(seed)."
        )
    return rng
