r"""Batch normalization in PyTorch, with the values and derivatives of the reference.

:class:`BatchNorm` is a ``torch.nn.Module`` with the settings and attributes of
:class:`companion.normalization.BatchNorm`, on one process or on many.
:func:`final_statistics` measures its running values over the whole training set, and
:func:`fold_batch_norm` puts it into the layer before it; both take PyTorch's own layers
too.
"""

import copy
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import distributed, fx, nn

from companion import _checks
from companion.normalization import CONVENTIONS, _enough, _settings
from companion.torch.activations import _real_tensor


class BatchNorm(nn.Module):
    r"""Normalize each feature over the batch, then scale and shift it.

    .. math::

       \mu = \frac1m \sum_{i=1}^m x_i, \quad
       \sigma^2 = \frac1m \sum_{i=1}^m (x_i - \mu)^2, \qquad
       \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \quad
       y_i = \gamma \hat x_i + \beta

    In ``eval()`` mode :math:`\mu` and :math:`\sigma^2` are replaced by running values,
    which every batch in training moves:
    :math:`r \leftarrow \text{momentum} \cdot r + (1 - \text{momentum}) \cdot
    \text{batch}`.

    Parameters
    ----------
    n_features, momentum, eps, unbiased, axis
        Those of :class:`companion.normalization.BatchNorm`; momentum 0.9 is what
        PyTorch's own layers call 0.1.
    synchronized : bool
        Whether the batch in training is that of all processes together, where
        ``torch.distributed`` is in use.
    process_group : torch.distributed.ProcessGroup, optional
        Which processes; all of them by default.

    Attributes
    ----------
    gamma, beta : torch.nn.Parameter of shape (n_features,)
        :math:`\gamma`, at first 1, and :math:`\beta`, at first 0.
    running_mean, running_var : torch.Tensor of shape (n_features,)
        Buffers, at first 0 and 1.
    n_batches : torch.Tensor, an integer
        How many batches have moved them since :meth:`reset`; a buffer.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Notes
    -----
    Ioffe and Szegedy (2015), algorithm 1.  Statistics are computed in the dtype of the
    parameters, in float32 at least; the result has the float dtype of the input.  On
    one process :func:`torch.nn.functional.batch_norm` computes them, as exactly as it
    adds up a batch.  A process among several adds in float64.

    Statistics, outputs and running values on several processes are those of the
    undivided batch; the parts need not be equal, and one may be empty.  So is the
    gradient of the input, if the loss is the sum of all processes' losses.  Those of
    gamma and beta are sums over the own part, as those of any weight are: their sum
    over the processes is the gradient of the undivided batch, and
    ``DistributedDataParallel`` averages them with all others.  Every process must run
    backwards, one with an empty part too.

    Examples
    --------
    >>> layer = BatchNorm(2)
    >>> layer(torch.tensor([[1.0, 10.0], [3.0, 50.0]])).detach().round(decimals=3)
    tensor([[-1., -1.],
            [ 1.,  1.]])
    >>> layer.running_mean, layer.running_var
    (tensor([0.2000, 3.0000]), tensor([ 1.1000, 80.9000]))
    """

    def __init__(
        self,
        n_features,
        *,
        momentum=0.9,
        eps=1e-5,
        unbiased=True,
        axis=1,
        synchronized=True,
        process_group=None,
    ):
        super().__init__()
        name = "BatchNorm"
        self.n_features = _checks.integer(name, "n_features", n_features, minimum=1)
        settings = _settings(name, momentum, eps, unbiased, axis)
        self.momentum, self.eps, self.unbiased, self.axis = settings
        self.synchronized = _checks.boolean(name, "synchronized", synchronized)
        self.process_group = process_group
        self.gamma = nn.Parameter(torch.ones(self.n_features))
        self.beta = nn.Parameter(torch.zeros(self.n_features))
        self.register_buffer("running_mean", torch.zeros(self.n_features))
        self.register_buffer("running_var", torch.ones(self.n_features))
        self.register_buffer("n_batches", torch.tensor(0))

    @classmethod
    def like(cls, convention, n_features, **changes):
        """Make the layer that a framework has by default, or that the paper describes.

        Arguments and errors are those of
        :meth:`companion.normalization.BatchNorm.like`.

        Examples
        --------
        >>> BatchNorm.like("keras", 3, axis=1)
        BatchNorm(3, momentum=0.99, eps=0.001, unbiased=False, axis=1)
        """
        _checks.one_of("BatchNorm.like", "convention", convention, tuple(CONVENTIONS))
        return cls(n_features, **CONVENTIONS[convention] | changes)

    def reset(self):
        """Forget the running values: mean 0, variance 1, no batch."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.n_batches.zero_()

    def forward(self, x):
        """Normalize by the batch in training, else by the running values.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a tensor of real numbers, or has another shape; in training
            also if it has, on all processes together, fewer than two values for each
            feature.  With ``unbiased=False`` one is enough.
        """
        x = self._checked(x)
        dtype = torch.promote_types(self.gamma.dtype, torch.float32)
        gamma, beta = self.gamma.to(dtype), self.beta.to(dtype)
        # One axis for the pixels: with two, PyTorch's backward pass on a CPU mixes up a
        # batch of one image whose channels are last in memory.
        single = self.axis == 1 and len(x) == 1 and x.ndim > 3
        rows = x.flatten(0, -2) if self.axis == -1 else x.flatten(2) if single else x
        rows = rows.to(dtype)
        if self.training:
            y = self._train(rows, gamma, beta)
        else:
            mean, var = self.running_mean.to(dtype), self.running_var.to(dtype)
            if self.eps > 0:
                y = F.batch_norm(rows, mean, var, gamma, beta, eps=self.eps)
            else:
                # PyTorch 2.10 and 2.11 refuse 0 there, though not what it calls.
                constants = False, 0.0, 0.0, torch.backends.cudnn.enabled
                y = torch.batch_norm(rows, gamma, beta, mean, var, *constants)
        return y.view(x.shape).to(x.dtype)

    def _checked(self, x):
        """Return `x`, of real numbers, if it has the shape that it should have."""
        x = _real_tensor("BatchNorm.forward", "x", x)
        if x.ndim < 2 or x.shape[self.axis] != self.n_features:
            n = self.n_features
            shape = f"(n, {n}, ...)" if self.axis == 1 else f"(n, ..., {n})"
            raise ValueError(
                f"BatchNorm.forward: `x` must have shape {shape}; got {tuple(x.shape)}."
            )
        return x

    def _train(self, x, gamma, beta):
        """Normalize by the batch, and move the running values."""
        group = self._group()
        m = x.numel() // self.n_features
        if group is None and m > 1 and self.eps > 0:
            # PyTorch's own, which wants more than one value and an eps.
            mean, var = (x.new_zeros(self.n_features) for _ in range(2))
            y = F.batch_norm(x, mean, var, gamma, beta, True, 1.0, self.eps)
            seen = var if self.unbiased else var * ((m - 1) / m)
        else:
            m, mean, var = _moments(x.detach(), group)
            _enough("BatchNorm.forward", m, self.unbiased)
            y = _Normalize.apply(x, gamma, beta, mean, var, self.eps, m, group)
            seen = var * (m / (m - 1)) if self.unbiased else var
        self._move(mean, seen)
        return y

    def _move(self, mean, var):
        """Move the running values towards those of a batch."""
        self.n_batches.add_(1)
        dtype = self.running_mean.dtype
        if self.momentum is None:
            share = self.n_batches.to(dtype).reciprocal()
        else:
            share = 1 - self.momentum
        self.running_mean.lerp_(mean.to(dtype), share)
        self.running_var.lerp_(var.to(dtype), share)

    def _group(self):
        """Return the processes whose parts make one batch, or None for this one."""
        if not (
            self.synchronized
            and distributed.is_available()
            and distributed.is_initialized()
        ):
            return None
        group = self.process_group or distributed.group.WORLD
        return group if distributed.get_world_size(group) > 1 else None

    def extra_repr(self):
        names = ["momentum", "eps", "unbiased", "axis"]
        settings = [f"{name}={getattr(self, name)}" for name in names]
        if not self.synchronized:
            settings.append("synchronized=False")
        return ", ".join([str(self.n_features), *settings])

    def __deepcopy__(self, memo):
        """Copy all but the process group, which cannot be copied."""
        memo[id(self.process_group)] = self.process_group
        memo[id(self)] = new = self.__new__(type(self))
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return new


class _Normalize(torch.autograd.Function):
    """Normalize a part of a batch by the moments of the whole.

    The derivative is that of :meth:`companion.normalization.BatchNorm.backward`: both
    of its means are over the whole batch.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, mean, var, eps, m, group):
        inverse = (var + eps).rsqrt()
        x_hat = (x - _column(mean, x)) * _column(inverse, x)
        ctx.save_for_backward(x_hat, gamma * inverse)
        ctx.m, ctx.group = m, group
        return _column(gamma, x) * x_hat + _column(beta, x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        x_hat, slope = ctx.saved_tensors
        sums = torch.stack([_sum(dy), _sum(dy * x_hat)])
        dbeta, dgamma = sums.to(dy.dtype)
        dx = None
        if ctx.needs_input_grad[0]:
            means = (_over_processes(sums, ctx.group) / ctx.m).to(dy.dtype)
            mean, product = (_column(values, dy) for values in means)
            dx = _column(slope, dy) * (dy - mean - product * x_hat)
        return dx, dgamma, dbeta, None, None, None, None, None


def _moments(x, group):
    """Return m, mean and variance of all processes' parts, in two passes.

    Sums are float64: those of the parts, added up, have lost nothing to rounding.
    """
    own = x.new_tensor([x.numel() // x.shape[1]], dtype=torch.float64)
    total = _over_processes(torch.cat([_sum(x), own]), group)
    m = int(total[-1])
    mean = (total[:-1] / m).to(x.dtype)
    squares = _over_processes(_sum((x - _column(mean, x)).square()), group)
    return m, mean, (squares / m).to(x.dtype)


def _over_processes(tensor, group):
    """Return the sum of all processes' tensors; without a group, the own one."""
    if group is not None:
        tensor = tensor.clone()
        distributed.all_reduce(tensor, group=group)
    return tensor


def _sum(x):
    """Return the sum for each feature, which stands on axis 1, in float64."""
    return x.sum([0, *range(2, x.ndim)], dtype=torch.float64)


def _column(values, x):
    """Give one value for each feature the shape that broadcasts with `x`."""
    return values.view(-1, *(1,) * (x.ndim - 2))


# --- after training -------------------------------------------------------------------
_FOR_ALL_SHAPES = BatchNorm, nn.SyncBatchNorm
_BATCH_NORMS = *_FOR_ALL_SHAPES, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d
#: Each layer that can take a batch normalization, and PyTorch's own for its outputs.
_LINEAR = {
    nn.Linear: nn.BatchNorm1d,
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.ConvTranspose1d: nn.BatchNorm1d,
    nn.ConvTranspose2d: nn.BatchNorm2d,
    nn.ConvTranspose3d: nn.BatchNorm3d,
}


def final_statistics(model, batches):
    """Measure the running values anew, over the whole training set.

    Those left by training are averages over weights that have changed since.  Here the
    weights stay what they are: each batch normalization gets the plain average of the
    batches' means and variances.  Dropout is off meanwhile.

    Parameters
    ----------
    model : torch.nn.Module
        With :class:`BatchNorm` or PyTorch's own layers, whose running values are
        replaced; on an error they are what they were.
    batches : iterable of inputs
        Each is given to ``model``.  Of a data loader that gives pairs take
        ``(x for x, y in loader)``.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, there is no batch, or no batch
        normalization with running values in the model.

    Notes
    -----
    Ioffe and Szegedy (2015), algorithm 2, steps 8 to 10.  The mode of every module,
    training or not, is restored.

    Examples
    --------
    >>> model = torch.nn.Sequential(BatchNorm(1), torch.nn.Dropout())
    >>> final_statistics(model, [torch.tensor([[1.0], [2.0], [3.0]])])
    >>> model[0].running_mean, model[0].running_var
    (tensor([2.]), tensor([1.]))
    """
    name = "final_statistics"
    _check_module(name, model)
    if isinstance(batches, torch.Tensor) or not isinstance(batches, Iterable):
        raise TypeError(
            f"{name}: `batches` must be an iterable of inputs; got "
            f"{type(batches).__name__}. Pass [x] for one batch."
        )
    modes = [(module, module.training) for module in model.modules()]
    layers = [
        module
        for module, _ in modes
        if isinstance(module, _BATCH_NORMS) and module.running_mean is not None
    ]
    if not layers:
        raise ValueError(
            f"{name}: `model` must have a BatchNorm with running values; got none."
        )
    momenta = [layer.momentum for layer in layers]
    before = [copy.deepcopy(layer.state_dict()) for layer in layers]
    try:
        model.eval()
        for layer in layers:
            ours = isinstance(layer, BatchNorm)
            layer.reset() if ours else layer.reset_running_stats()
            layer.momentum = None
            layer.train()
        n = 0
        with torch.no_grad():
            for x in batches:
                model(x)
                n += 1
        if n == 0:
            raise ValueError(f"{name}: `batches` must hold at least 1; got none.")
    except BaseException:
        for layer, state in zip(layers, before, strict=True):
            layer.load_state_dict(state)
        raise
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, training in modes:
            module.training = training


def fold_batch_norm(model):
    r"""Put each batch normalization of a trained model into the layer before it.

    .. math:: W' = s W, \qquad b' = s\,(b - \mu) + \beta, \qquad
       s = \frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}}

    with the running values :math:`\mu` and :math:`\sigma^2`, for each output.

    Parameters
    ----------
    model : torch.nn.Module in ``eval()`` mode
        :class:`BatchNorm` and PyTorch's own may follow a linear layer or a convolution,
        transposed ones included.

    Returns
    -------
    torch.nn.Module
        A copy with the same outputs, up to rounding, in which the other layers keep
        their names: an ``nn.Sequential`` if the batch normalizations stand in plain
        ones, else a ``torch.fx.GraphModule``.  Each new weight is computed in float64
        and rounded once.

    Raises
    ------
    TypeError, ValueError
        If `model` is not a module in ``eval()`` mode, has no batch normalization, or
        one that cannot be folded: it does not follow a linear layer directly, that
        layer or its output is used elsewhere too, or there are no running values; or
        if ``torch.fx`` cannot trace the model.

    Notes
    -----
    After ``nn.Linear``, features are taken to be on the last axis, as in inputs of
    shape ``(n, n_features)``.  Hooks of the folded layers are refused.

    Examples
    --------
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 3), BatchNorm(3), torch.nn.ReLU()
    ... )
    >>> fold_batch_norm(model.eval())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (2): ReLU()
    )
    """
    name = "fold_batch_norm"
    _check_module(name, model)
    for path, module in model.named_modules():
        if module.training:
            where = f" of `{path}`" if path else ""
            raise ValueError(
                f"{name}: `model` must be in eval mode; got training mode{where}. Call "
                "model.eval()."
            )
    folded = copy.deepcopy(model)
    try:
        graph = _Tracer().trace(folded)
    except Exception as error:  # whatever the model makes of stand-ins for tensors
        raise ValueError(
            f"{name}: `model` must be one that torch.fx can trace, without branches "
            f"that depend on data; got {type(error).__name__}: {error}"
        ) from error
    calls = {node: _module(folded, node) for node in graph.nodes}
    found = [node for node in calls if isinstance(calls[node], _BATCH_NORMS)]
    if not found:
        raise ValueError(f"{name}: `model` must have a BatchNorm; got none.")
    for node in found:
        (before,) = node.all_input_nodes
        _check_pair(name, before, node, calls)
        _fold(calls[before], calls[node])
        node.replace_all_uses_with(before)
        graph.erase_node(node)
    containers = {
        ".".join(path[:depth])
        for path in (node.target.split(".") for node in found)
        for depth in range(len(path))
    }
    if all(type(folded.get_submodule(path)) is nn.Sequential for path in containers):
        for node in found:
            path, _, key = node.target.rpartition(".")
            delattr(folded.get_submodule(path), key)
        return folded
    return fx.GraphModule(folded, graph, type(model).__name__).eval()


class _Tracer(fx.Tracer):
    """See every layer as one step, ours too."""

    def is_leaf_module(self, module, path):
        alone = next(module.children(), None) is None
        return alone or super().is_leaf_module(module, path)


def _module(model, node):
    """Return the module that a node calls, or None."""
    return model.get_submodule(node.target) if node.op == "call_module" else None


def _check_pair(function, before, node, calls):
    """Require that the batch normalization `node` can be put into `before`."""
    layer, norm = calls[before], calls[node]
    kinds = ", ".join(kind.__name__ for kind in _LINEAR)
    described = f"{type(layer).__name__} `{before.target}`"
    if layer is None:
        described = f"the step `{before.name}`"
    if type(layer) not in _LINEAR:
        raise ValueError(
            f"{function}: `{node.target}` must directly follow a layer that is linear "
            f"({kinds}); got {described}."
        )
    for path in (before.target, node.target):
        uses = sum(
            other.op in ("call_module", "get_attr")
            and f"{other.target}.".startswith(f"{path}.")
            for other in calls
        )
        if uses > 1:
            raise ValueError(
                f"{function}: `{path}` must be used once; got {uses} times."
            )
    others = [other.name for other in before.users if other is not node]
    if others:
        raise ValueError(
            f"{function}: `{node.target}` alone must use the output of {described}; "
            f"got `{others[0]}` too."
        )
    if norm.running_mean is None:
        raise ValueError(
            f"{function}: `{node.target}` must have running values; got "
            "track_running_stats=False."
        )
    dense = type(layer) is nn.Linear
    fits = isinstance(norm, (*_FOR_ALL_SHAPES, _LINEAR[type(layer)]))
    if isinstance(norm, BatchNorm) and norm.axis == -1:
        fits = dense
    outputs = layer.out_features if dense else layer.out_channels
    if not fits or len(norm.running_mean) != outputs:
        raise ValueError(
            f"{function}: `{node.target}` must normalize the outputs of {described}; "
            f"got {norm!r}."
        )
    for path, module in ((before.target, layer), (node.target, norm)):
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(f"{function}: `{path}` must have no hooks; got some.")


def _fold(layer, norm):
    """Replace weight and bias of `layer` by those with `norm` in them."""
    ours = isinstance(norm, BatchNorm)
    gamma, beta = (norm.gamma, norm.beta) if ours else (norm.weight, norm.bias)
    w = layer.weight
    with torch.no_grad():
        s = (norm.running_var.double() + norm.eps).rsqrt()
        s = s * (1 if gamma is None else gamma)
        bias = (0 if layer.bias is None else layer.bias) - norm.running_mean.double()
        bias = s * bias + (0 if beta is None else beta)
        if getattr(layer, "transposed", False):
            # Weights (inputs, outputs of a group, ...): each group has its inputs.
            s = s.view(layer.groups, -1).repeat_interleave(len(w) // layer.groups, 0)
        else:
            s = s.view(-1, 1)
        s = s.view(*s.shape, *(1,) * (w.ndim - 2))
        layer.weight = nn.Parameter((w * s).to(w.dtype), w.requires_grad)
        layer.bias = nn.Parameter(bias.to(w.dtype), w.requires_grad)


def _check_module(function, model):
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{function}: `model` must be a torch.nn.Module; got "
            f"{type(model).__name__}."
        )
