r"""The Triton kernels for columns as operators of PyTorch, each with its derivative.

See :mod:`companion.torch._fused`, and :mod:`companion.torch._triton_columns` for what a
column is.  An operator that takes `x` in another order than that copies it first.
"""

import torch
from torch.library import custom_op

from companion.torch._fused import _as


# --- batch normalization and an activation --------------------------------------------
@custom_op("companion::normalize_and_activate", mutates_args=())
def normalize_and_activate(
    x: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    axis: int,
    eps: float,
    name: str,
    p: float,
    q: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return f(gamma x_hat + beta), and mean and variance of the batch."""
    x, size = _table(x, axis)
    mean, var = _moments(x, size)
    columns = mean, gamma * (var + eps).rsqrt(), beta
    return _forward(x, size, columns, name, p, q), mean, var


@custom_op("companion::normalize_and_activate_backward", mutates_args=())
def _normalize_and_activate_backward(
    dy: torch.Tensor,
    x: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    axis: int,
    eps: float,
    name: str,
    p: float,
    q: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, size = _table(x, axis)
    m, inverse = size[0], (var + eps).rsqrt()
    columns = mean, gamma * inverse, beta
    _, dbeta, product = _sums(dy, x, size, columns, name, p, q)
    dgamma = inverse * product
    means = dbeta / m, inverse * dgamma / m
    return _backward(dy, x, size, columns, means, name, p, q), dgamma, dbeta


@normalize_and_activate.register_fake
def _(x, gamma, beta, axis, *_):
    return _like(x, axis), torch.empty_like(gamma), torch.empty_like(gamma)


@_normalize_and_activate_backward.register_fake
def _(dy, x, mean, var, gamma, beta, axis, *_):
    return _like(x, axis), torch.empty_like(gamma), torch.empty_like(beta)


def _keep_batch(ctx, inputs, output):
    x, gamma, beta, *ctx.constants = inputs
    _, mean, var = output
    ctx.mark_non_differentiable(mean, var)
    ctx.save_for_backward(x, mean, var, gamma, beta)


def _batch_backward(ctx, dy, _dmean, _dvar):
    gradients = _normalize_and_activate_backward(dy, *ctx.saved_tensors, *ctx.constants)
    return *gradients, *5 * [None]


normalize_and_activate.register_autograd(_batch_backward, setup_context=_keep_batch)


# --- an affine map, or a bias, and an activation --------------------------------------
@custom_op("companion::map_and_activate", mutates_args=())
def map_and_activate(
    x: torch.Tensor,
    center: torch.Tensor | None,
    factor: torch.Tensor | None,
    shift: torch.Tensor,
    axis: int,
    name: str,
    p: float,
    q: float,
) -> torch.Tensor:
    """Return f(factor (x - center) + shift), or f(x + shift) if both are None."""
    x, size = _table(x, axis)
    return _forward(x, size, (center, factor, shift), name, p, q)


@custom_op("companion::map_and_activate_backward", mutates_args=())
def _map_and_activate_backward(
    dy: torch.Tensor,
    x: torch.Tensor,
    center: torch.Tensor | None,
    factor: torch.Tensor | None,
    shift: torch.Tensor,
    axis: int,
    name: str,
    p: float,
    q: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, size = _table(x, axis)
    columns = center, factor, shift
    dx, dshift, dfactor = _sums(dy, x, size, columns, name, p, q)
    if factor is not None:
        means = 2 * [torch.zeros_like(shift)]  # the center does not depend on x
        dx = _backward(dy, x, size, columns, means, name, p, q)
    return dx, dfactor, dshift


@map_and_activate.register_fake
def _(x, center, factor, shift, axis, *_):
    return _like(x, axis)


@_map_and_activate_backward.register_fake
def _(dy, x, center, factor, shift, axis, *_):
    return _like(x, axis), torch.empty_like(shift), torch.empty_like(shift)


def _keep_map(ctx, inputs, output):
    *tensors, ctx.axis, ctx.name, ctx.p, ctx.q = inputs
    ctx.save_for_backward(*tensors)


def _map_backward(ctx, dy):
    dx, dfactor, dshift = _map_and_activate_backward(
        dy, *ctx.saved_tensors, ctx.axis, ctx.name, ctx.p, ctx.q
    )
    given = ctx.saved_tensors[2] is not None
    return dx, None, dfactor if given else None, dshift, *4 * [None]


map_and_activate.register_autograd(_map_backward, setup_context=_keep_map)


# --- what the operators have in common ------------------------------------------------
def _table(x, axis):
    """Return `x` without gaps, and its size as a table: rows, columns and s."""
    n_columns = x.shape[axis]
    n_rows = x.numel() // max(n_columns, 1)
    last = x.movedim(axis, -1)
    if last.is_contiguous():
        return x, (n_rows, n_columns, 1)
    x = x.contiguous()
    return x, (n_rows, n_columns, x[0, 0].numel() if axis == 1 else 1)


def _like(x, axis):
    """Return an empty tensor with the strides of what :func:`_table` returns."""
    last = x.movedim(axis, -1)
    if last.is_contiguous():
        return torch.empty_like(last).movedim(-1, axis)
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _tile(size):
    """Return the constants of a kernel, and the options that it is started with."""
    from companion.torch._triton_activations import OPTIONS
    from companion.torch._triton_columns import index, tile

    rows, columns = tile(*size[1:])
    return {"ROWS": rows, "COLUMNS": columns, "INDEX": index(size[0])} | OPTIONS


def _moments(x, size):
    from companion.torch import _triton_columns as kernels
    from companion.torch._triton_activations import OPTIONS

    n_rows, n_columns, _ = size
    length, n = kernels.stretches(*size)
    means, squares = x.new_empty(2, n, n_columns, dtype=torch.float32)
    mean, var = (means.new_empty(n_columns) for _ in range(2))
    tile = _tile(size)
    with torch.cuda.device_of(x):
        grid = n, -(-n_columns // tile["COLUMNS"])
        kernels.moments[grid](x, means, squares, *size, length, **tile)
        kernels.combine[(n_columns,)](
            *(means, squares, mean, var),
            *(n_rows, n_columns, length, n),
            STRETCHES=1 << (n - 1).bit_length(),
            **OPTIONS,
        )
    return mean, var


def _forward(x, size, columns, name, p, q):
    from companion.torch import _triton_columns as kernels

    y, tile = torch.empty_like(x), _tile(size)
    affine = {"NAME": name, "AFFINE": columns[0] is not None}
    if x.numel():
        with torch.cuda.device_of(x):
            grid = -(-size[0] // tile["ROWS"]), -(-size[1] // tile["COLUMNS"])
            kernels.forward[grid](x, *columns, y, *size, p, q, **affine, **tile)
    return y


def _sums(dy, x, size, columns, name, p, q):
    """Return du, or nothing of use if it is not the gradient of `x`, and two sums."""
    from companion.torch import _triton_columns as kernels

    affine = {"NAME": name, "AFFINE": columns[0] is not None}
    length, n = kernels.stretches(*size)
    plain, product = x.new_empty(2, n, size[1], dtype=torch.float32)
    du = x.new_empty(0) if affine["AFFINE"] else torch.empty_like(x)
    tile = _tile(size)
    if x.numel():
        with torch.cuda.device_of(x):
            grid = n, -(-size[1] // tile["COLUMNS"])
            kernels.sums[grid](
                *(_as(dy, x), x, *columns, du, plain, product),
                *(*size, length, p, q),
                **affine,
                **tile,
            )
    return du, plain.sum(0), product.sum(0)


def _backward(dy, x, size, columns, means, name, p, q):
    from companion.torch import _triton_columns as kernels

    dx, tile = torch.empty_like(x), _tile(size)
    if x.numel():
        with torch.cuda.device_of(x):
            grid = -(-size[0] // tile["ROWS"]), -(-size[1] // tile["COLUMNS"])
            kernels.backward[grid](
                *(_as(dy, x), x, *columns, *means, dx),
                *(*size, p, q),
                NAME=name,
                **tile,
            )
    return dx
