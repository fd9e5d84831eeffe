r"""Moments of columns, and an affine map of each column with an activation.

A tensor is seen as a table with a column for each feature.  The element in row r and
column c stands at :math:`\lfloor r / s \rfloor C s + c s + r \bmod s`, where C is the
number of columns.  Features that are last in memory have s = 1; in images
``(n, channels, h, w)`` it is the number of pixels.  A program works on tiles of a few
rows and columns, and the long way down a column is shared by several, each with a
stretch of rows.  What they find is combined in a fixed order: no atomic additions, the
same bits in every run.

All arithmetic is float32.
"""

import triton
import triton.language as tl

from companion.torch._triton_activations import slope, value

_ELEMENTS = 4096  # of a tile
_STRETCHES = 1024  # of rows, in all columns together: several for each multiprocessor


def tile(n_columns, s):
    """Return how many rows and columns a tile has: long where memory is."""
    columns = min(triton.next_power_of_2(max(n_columns, 1)), 128) if s == 1 else 1
    return _ELEMENTS // columns, columns


def stretches(n_rows, n_columns, s):
    """Return how many rows a program goes down, and how many stretches that makes."""
    rows, columns = tile(n_columns, s)
    wanted = max(1, _STRETCHES // max(1, triton.cdiv(n_columns, columns)))
    length = max(1, triton.cdiv(triton.cdiv(n_rows, wanted), rows)) * rows
    return length, triton.cdiv(n_rows, length)


def index(n_rows):
    """Return the type of a row's number: 64 bits where that of a tile needs them."""
    return tl.int32 if n_rows < 2**31 - 2 * _ELEMENTS else tl.int64


@triton.jit
def moments(
    x_at,
    mean_at,
    squares_at,
    n_rows,
    n_columns,
    s,
    length,
    INDEX: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Store mean and sum of squared deviations of each column in a stretch of rows.

    Each place of the tile follows the values that come by, as Welford (1962) does; at
    the end the places are combined.
    """
    stretch, column = tl.program_id(0), _columns(COLUMNS)
    first = stretch.to(INDEX) * length
    last = tl.minimum(first + length, n_rows)
    mean = tl.zeros((ROWS, COLUMNS), tl.float32)
    squares = tl.zeros((ROWS, COLUMNS), tl.float32)
    count = 0.0
    for start in range(first, last, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < last)[:, None] & (column < n_columns)[None, :]
        x = tl.load(x_at + _place(row, column, n_columns, s), mask=inside, other=0.0)
        x = x.to(tl.float32)
        count += 1
        before = tl.where(inside, x - mean, 0.0)
        mean += before / count
        squares += before * (x - mean)
    left = last - first - tl.arange(0, ROWS) + ROWS - 1
    counts = tl.maximum(left // ROWS, 0).to(tl.float32)
    mean, squares = _combined(counts[:, None], mean, squares)
    place = stretch.to(tl.int64) * n_columns + column
    tl.store(mean_at + place, mean, mask=column < n_columns)
    tl.store(squares_at + place, squares, mask=column < n_columns)


@triton.jit
def combine(
    means_at,
    squares_at,
    mean_at,
    var_at,
    n_rows,
    n_columns,
    length,
    n_stretches,
    STRETCHES: tl.constexpr,
):
    """Store mean and variance of a column, from those of its stretches."""
    column = tl.program_id(0)
    stretch = tl.arange(0, STRETCHES)
    place = stretch.to(tl.int64) * n_columns + column
    means = tl.load(means_at + place, mask=stretch < n_stretches, other=0.0)
    squares = tl.load(squares_at + place, mask=stretch < n_stretches, other=0.0)
    counts = tl.minimum(tl.maximum(n_rows - stretch * length, 0), length)
    mean, square = _combined(counts.to(tl.float32), means, squares)
    tl.store(mean_at + column, mean)
    tl.store(var_at + column, square / n_rows)


@triton.jit
def _combined(counts, means, squares):
    """Combine means and sums of squared deviations: Chan et al. (1983), all at once."""
    n = tl.sum(counts, axis=0)
    mean = tl.sum(counts * means, axis=0) / n
    # Far from 0 that sum has lost digits: what it is off by is a sum of small numbers.
    mean += tl.sum(counts * (means - mean), axis=0) / n
    apart = counts * (means - mean) * (means - mean)
    return mean, tl.sum(squares + apart, axis=0)


@triton.jit
def forward(
    x_at,
    center_at,
    factor_at,
    shift_at,
    y_at,
    n_rows,
    n_columns,
    s,
    p,
    q,
    NAME: tl.constexpr,
    AFFINE: tl.constexpr,
    INDEX: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Store f(factor (x - center) + shift), or f(x + shift) unless AFFINE."""
    row, column = _rows(INDEX, ROWS), _columns(COLUMNS)
    inside = (row < n_rows)[:, None] & (column < n_columns)[None, :]
    place = _place(row, column, n_columns, s)
    x = tl.load(x_at + place, mask=inside).to(tl.float32)
    if AFFINE:
        x -= _of(center_at, column, n_columns)
    u = _mapped(x, factor_at, shift_at, column, n_columns, AFFINE)
    tl.store(y_at + place, value(u, p, q, NAME), mask=inside)


@triton.jit
def sums(
    dy_at,
    x_at,
    center_at,
    factor_at,
    shift_at,
    du_at,
    plain_at,
    product_at,
    n_rows,
    n_columns,
    s,
    length,
    p,
    q,
    NAME: tl.constexpr,
    AFFINE: tl.constexpr,
    INDEX: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Store the sums over a stretch of rows that the gradients are made of.

    With du = f'(u) dy they are that of du and, if AFFINE, that of du (x - center).
    Otherwise du is the gradient of x, and is stored.
    """
    stretch, column = tl.program_id(0), _columns(COLUMNS)
    first = stretch.to(INDEX) * length
    last = tl.minimum(first + length, n_rows)
    plain = tl.zeros((ROWS, COLUMNS), tl.float32)
    product = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(first, last, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < last)[:, None] & (column < n_columns)[None, :]
        place = _place(row, column, n_columns, s)
        x = tl.load(x_at + place, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_at + place, mask=inside, other=0.0).to(tl.float32)
        if AFFINE:
            x -= _of(center_at, column, n_columns)
        u = _mapped(x, factor_at, shift_at, column, n_columns, AFFINE)
        du = tl.where(inside, dy * slope(u, p, q, NAME), 0.0)
        plain += du
        if AFFINE:
            product += tl.where(inside, du * x, 0.0)
        else:
            tl.store(du_at + place, du, mask=inside)
    place = stretch.to(tl.int64) * n_columns + column
    tl.store(plain_at + place, tl.sum(plain, axis=0), mask=column < n_columns)
    if AFFINE:
        tl.store(product_at + place, tl.sum(product, axis=0), mask=column < n_columns)


@triton.jit
def backward(
    dy_at,
    x_at,
    center_at,
    factor_at,
    shift_at,
    plain_at,
    product_at,
    dx_at,
    n_rows,
    n_columns,
    s,
    p,
    q,
    NAME: tl.constexpr,
    INDEX: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Store factor (du - plain - (x - center) product)."""
    row, column = _rows(INDEX, ROWS), _columns(COLUMNS)
    inside = (row < n_rows)[:, None] & (column < n_columns)[None, :]
    place = _place(row, column, n_columns, s)
    x = tl.load(x_at + place, mask=inside).to(tl.float32)
    x -= _of(center_at, column, n_columns)
    u = _mapped(x, factor_at, shift_at, column, n_columns, True)
    dx = tl.load(dy_at + place, mask=inside).to(tl.float32) * slope(u, p, q, NAME)
    dx -= _of(plain_at, column, n_columns) + x * _of(product_at, column, n_columns)
    dx *= _of(factor_at, column, n_columns)
    tl.store(dx_at + place, dx, mask=inside)


@triton.jit
def _mapped(x, factor_at, shift_at, column, n_columns, AFFINE: tl.constexpr):
    """Return what the activation is applied to, of x - center."""
    if AFFINE:
        x *= _of(factor_at, column, n_columns)
    return x + _of(shift_at, column, n_columns)


@triton.jit
def _rows(INDEX: tl.constexpr, ROWS: tl.constexpr):
    return tl.program_id(0).to(INDEX) * ROWS + tl.arange(0, ROWS)


@triton.jit
def _columns(COLUMNS: tl.constexpr):
    return tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)


@triton.jit
def _of(values_at, column, n_columns):
    """Load one value for each column, as a row of the tile."""
    return tl.load(values_at + column, mask=column < n_columns, other=0.0)[None, :]


@triton.jit
def _place(row, column, n_columns, s):
    """Return where the elements of a tile stand; there may be more than 2^31."""
    block = (row // s).to(tl.int64)[:, None] * n_columns * s
    return block + (column.to(tl.int64) * s)[None, :] + (row % s)[:, None]
