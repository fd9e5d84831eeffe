"""A doctor for PyTorch models: signal and gradients, layer by layer, and findings.

:func:`diagnose` follows any ``torch.nn.Module`` through one forward and one backward
pass and fills the report of :mod:`companion.diagnostics`, by the same rules.  Chapters
*Vanishing and exploding gradients* and *Recipes*.
"""

import contextlib
import copy
import math
import random
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import mtrand  # the global generator's module
from torch import nn

from companion._calls import Signal
from companion._findings import Examination
from companion.diagnostics import Report
from companion.torch._recorder import Recorder, floats, rows
from companion.torch.normalization import _check_module


def diagnose(model, x, y=None, loss=None):
    """Measure signal and gradients of `model` in one forward and one backward pass.

    The model is measured in the mode in which it is, training or evaluation, and stays
    as it is, on an error too: parameters, their ``grad``, buffers, modes, hooks,
    attributes that are tensors, generators or containers of them, and the global random
    state of PyTorch, NumPy and Python.

    Parameters
    ----------
    model : torch.nn.Module
    x : torch.Tensor or array, or a tuple, list or dict of them
        The inputs: ``model(x)``, ``model(*x)`` or ``model(**x)``.  Arrays get the
        model's device, and those of floats its dtype.
    y : torch.Tensor or array, or what `loss` takes, optional
        The labels.
    loss : function of (outputs, y), or without `y` of outputs, optional
        It returns a scalar tensor.  By default the cross-entropy from logits where `y`
        holds integers, of a single logit where there is one output only, and the mean
        squared error where it holds floats; of several outputs the first one counts.
        Without `y` the backward pass starts from a fixed random direction of norm 1.

    Returns
    -------
    companion.diagnostics.Report
        A row for each call of a layer with weights; layers are named by their path in
        the model.

    Raises
    ------
    TypeError
        If `model` is not a module, or has a part in TorchScript, or `loss` returns no
        scalar tensor.
    ValueError
        If the model calls no layer with weights, or has a lazy one that has seen no
        data, or the labels do not match the outputs.

    Notes
    -----
    Layers with weights are those of PyTorch, and any module with parameters of its own
    and no such layer inside.  Activations, normalizations and dropouts are seen as
    modules and as functions of ``torch`` and ``torch.nn.functional``.  Those of this
    package are seen as modules; its functions only as what they call in PyTorch.  What
    goes on inside recurrent layers, attention and TorchScript functions is not seen.

    Units are the channels; all other axes are rows.  A parameter that does not require
    gradients has the gradient nan.  Of ``torch.compile``, ``DataParallel`` and
    ``DistributedDataParallel`` the model inside is measured.  Beside the model, there
    must be room for a copy of its parameters and for the gradients of all layers'
    outputs at once.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(100, 5, generator=g)
    >>> y = torch.randint(3, (100,), generator=g)
    >>> report = diagnose(model, x, y)
    >>> report.layers, report.healthy
    (('0: Linear, relu', '2: Linear'), True)
    >>> _ = nn.init.constant_(model[0].weight, 0.5)
    >>> [finding.disease for finding in diagnose(model, x, y).findings]
    ['symmetric']
    """
    model = _checked(model)
    testing = not model.training
    modules = [*model.modules(), *(loss.modules() if _is_module(loss) else ())]
    with _unchanged(modules), np.errstate(over="ignore", invalid="ignore"):
        x, y = _copied(x, model, grad=True), _copied(y, model)
        inputs = [Signal.of(rows(tensor)) for tensor in floats(x)]
        recorder = Recorder()
        outputs = recorder.follow(model, lambda: _answer(model, x))
        if not any(seen.call.kind == "weights" for seen in recorder.seen):
            raise ValueError(
                "diagnose: `model` must call a layer with weights; got none."
            )
        objective = _objective(outputs, y, loss)
        recorder.measure_gradients(objective)
        examination = Examination(
            [seen.call for seen in recorder.seen],
            inputs,
            testing,
            labeled=y is not None or loss is not None,
            outputs_finite=all(_is_finite(tensor) for tensor in floats(outputs)),
            loss_finite=_is_finite(objective),
        )
        return Report.of(examination)


def _answer(model, x):
    if isinstance(x, Mapping):
        return model(**x)
    # A named tuple, such as a packed sequence, is one input.
    return model(*x) if type(x) in (tuple, list) else model(x)


_WRAPPERS = nn.DataParallel, nn.parallel.DistributedDataParallel


def _checked(model):
    """Return the model that is to be followed, or raise."""
    _check_module("diagnose", model)
    while isinstance(model, _WRAPPERS):
        model = model.module
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                "diagnose: `model` must consist of Python modules, which can be "
                f"followed; got TorchScript in `{path}`."
            )
    if any(map(nn.parameter.is_lazy, model.parameters())):
        raise ValueError(
            "diagnose: `model` must know its shapes; got lazy layers. Call it once."
        )
    return model


def _is_module(value):
    return isinstance(value, nn.Module)


def _is_finite(tensor):
    return bool(torch.isfinite(tensor).all())


# --- what goes in and out -------------------------------------------------------------
def _copied(value, model, grad=False):
    """Copy tensors and arrays, in containers too; those of floats may need gradients.

    The result is no leaf, so that the model may change it in place.
    """
    if isinstance(value, tuple | list):
        parts = [_copied(part, model, grad) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, Mapping):
        return {name: _copied(part, model, grad) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        example = next(filter(torch.is_floating_point, model.parameters()), None)
        value = torch.tensor(value, device=getattr(example, "device", None))
        if value.is_floating_point() and example is not None:
            value = value.to(example.dtype)
    if not isinstance(value, torch.Tensor):
        return value
    needs = grad and value.is_floating_point()
    return value.detach().clone().requires_grad_(needs).clone()


def _objective(outputs, y, loss):
    """Return the scalar whose gradient is measured."""
    if loss is not None:
        value = loss(outputs) if y is None else loss(outputs, y)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            got = getattr(value, "shape", None)
            got = type(value).__name__ if got is None else f"shape {tuple(got)}"
            raise TypeError(f"diagnose: `loss` must return a scalar tensor; got {got}.")
        return value.sum()
    tensors = floats(outputs)
    if y is None:
        rng = np.random.default_rng(0)
        draws = [rng.standard_normal(tensor.shape) for tensor in tensors]
        length = math.sqrt(sum((draw**2).sum() for draw in draws))
        parts = [
            (tensor.double() * torch.as_tensor(draw / length, device=tensor.device))
            for tensor, draw in zip(tensors, draws, strict=True)
        ]
        return sum((part.sum() for part in parts), torch.zeros(()))
    if not tensors:
        raise ValueError("diagnose: `model` must return real numbers; got none.")
    return _default_loss(tensors[0], torch.as_tensor(y, device=tensors[0].device))


def _default_loss(outputs, y):
    """Return the cross-entropy for integers, and else the mean squared error."""
    single = y.shape == outputs.shape or (*y.shape, 1) == outputs.shape
    classes = (*outputs.shape[:1], *outputs.shape[2:]) == y.shape
    classes_last = outputs.shape[:-1] == y.shape  # as in sequences
    if y.is_floating_point():
        if not single:
            raise _mismatch(outputs, y)
        return F.mse_loss(outputs, y.reshape(outputs.shape).to(outputs.dtype))
    if not single and not classes and not classes_last:
        raise _mismatch(outputs, y)
    if not classes and not single:
        outputs = outputs.movedim(-1, 1)
    n_classes = 2 if single else outputs.shape[1]
    labels = y[y != -100]  # cross_entropy's own mark of what is left out
    if labels.numel() and not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(
            f"diagnose: `y` must hold labels from 0 to {n_classes - 1}; got "
            f"{labels.min()} to {labels.max()}."
        )
    if single:
        y = y.reshape(outputs.shape).to(outputs.dtype)
        return F.binary_cross_entropy_with_logits(outputs, y)
    return F.cross_entropy(outputs, y.long())


def _mismatch(outputs, y):
    return ValueError(
        f"diagnose: `y` must match the outputs, of shape {tuple(outputs.shape)}; got "
        f"shape {tuple(y.shape)}. Pass loss=, a function of (outputs, y)."
    )


# --- leaving everything as it is ------------------------------------------------------
@contextlib.contextmanager
def _unchanged(modules):
    """Let modules work on copies of their attributes, and restore all else.

    Parameters are restored themselves: a loss may hold them too.
    """
    copies, kept = {}, [(module, dict(vars(module))) for module in modules]
    parameters = {p: None for module in modules for p in module.parameters()}
    parameters = [(p, p.detach().clone(), p.grad, p.requires_grad) for p in parameters]
    states = random.getstate(), mtrand.get_state()
    in_evaluation = any(isinstance(m, nn.RNNBase) and not m.training for m in modules)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(range(torch.cuda.device_count())))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if in_evaluation:  # where cuDNN has no backward pass
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        try:
            for module, attributes in kept:
                for name, value in attributes.items():
                    vars(module)[name] = _working_copy(value, copies)
            for parameter, *_ in parameters:
                parameter.grad = None
            yield
        finally:
            for module, attributes in kept:
                vars(module).clear()
                vars(module).update(attributes)
            for parameter, value, grad, requires_grad in parameters:
                if not torch.equal(parameter, value):
                    parameter.data.copy_(value)
                if parameter.requires_grad != requires_grad:
                    parameter.requires_grad_(requires_grad)
                parameter.grad = grad
            random.setstate(states[0])
            mtrand.set_state(states[1])


def _working_copy(value, copies):
    """Copy tensors, generators and containers; what is shared stays shared."""
    if isinstance(value, nn.Parameter | nn.Module):
        return value
    if id(value) in copies:
        return copies[id(value)]
    new = value
    if isinstance(value, torch.Tensor):
        new = value.clone()
    elif isinstance(value, torch.Generator):
        new = torch.Generator(value.device)
        new.set_state(value.get_state())
    elif isinstance(value, np.ndarray | np.random.Generator | random.Random):
        new = copy.deepcopy(value)
    elif isinstance(value, dict | list | set):
        new = copies[id(value)] = copy.copy(value)
        if isinstance(value, dict):
            new.update({k: _working_copy(v, copies) for k, v in value.items()})
        elif isinstance(value, list):
            new[:] = [_working_copy(v, copies) for v in value]
    copies[id(value)] = new
    return new
