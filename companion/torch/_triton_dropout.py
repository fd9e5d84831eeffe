r"""An activation and dropout in one pass over memory, forward and backward.

Both passes draw the same mask: it is a function of a seed and of the place of an
element, and so it need not be stored.  The function is Philox4x32 with 7 rounds, the
fewest that pass all tests in Salmon et al. (2011).  Eight elements share
what it returns, 128 bits.
"""

import triton
import triton.language as tl

from companion.torch._triton_activations import OPTIONS, slope, value

_ROUNDS = tl.constexpr(7)
_SHARERS = tl.constexpr(8)
_PLACES = 1024  # of each of the eight in a block


def launch(kernel, *tensors, n, **arguments):
    """Start a kernel with enough programs for n elements."""
    if n > 0:
        places = _PLACES
        grid = (triton.cdiv(n, places * _SHARERS.value),)
        kernel[grid](*tensors, n, **arguments, PLACES=places, **OPTIONS)


@triton.jit
def forward(
    z_at,
    seed_at,
    y_at,
    n,
    p,
    q,
    kept,
    dropped,
    a,
    b,
    NAME: tl.constexpr,
    DROP: tl.constexpr,
    PLACES: tl.constexpr,
):
    """Store a f(z) + b where an element is kept, a times `dropped` plus b elsewhere."""
    first, counter = _block(PLACES)
    if DROP:
        words = tl.randint4x(tl.load(seed_at), counter, n_rounds=_ROUNDS)
    for i in tl.static_range(_SHARERS):
        place = first + i * PLACES + tl.arange(0, PLACES)
        z = tl.load(z_at + place, mask=place < n).to(tl.float32)
        y = value(z, p, q, NAME)
        if DROP:
            y = a * tl.where(_number(words, i) < kept, y, dropped) + b
        tl.store(y_at + place, y, mask=place < n)


@triton.jit
def backward(
    dy_at,
    z_at,
    seed_at,
    dz_at,
    n,
    p,
    q,
    kept,
    a,
    NAME: tl.constexpr,
    DROP: tl.constexpr,
    PLACES: tl.constexpr,
):
    """Store a f'(z) dy where an element is kept, 0 elsewhere."""
    first, counter = _block(PLACES)
    if DROP:
        words = tl.randint4x(tl.load(seed_at), counter, n_rounds=_ROUNDS)
    for i in tl.static_range(_SHARERS):
        place = first + i * PLACES + tl.arange(0, PLACES)
        dz = tl.load(dy_at + place, mask=place < n).to(tl.float32)
        if NAME != "identity":
            z = tl.load(z_at + place, mask=place < n).to(tl.float32)
            dz *= slope(z, p, q, NAME)
        if DROP:
            dz = tl.where(_number(words, i) < kept, a * dz, 0.0)
        tl.store(dz_at + place, dz, mask=place < n)


@triton.jit
def _block(PLACES: tl.constexpr):
    """Return the first element of this program, and a counter for each place.

    They are 64 bits wide: there may be more than 2^31 elements.
    """
    program = tl.program_id(0).to(tl.int64)
    return program * (_SHARERS * PLACES), program * PLACES + tl.arange(0, PLACES)


@triton.jit
def _number(words, i: tl.constexpr):
    """Return the i-th of eight random numbers of 16 bits."""
    return (words[i // 2] >> (16 * (i % 2))) & 0xFFFF
