"""The doctor for PyTorch leaves everything as it was, and refuses what it cannot do."""

import contextlib
import copy
import importlib
import random

import numpy as np
import pytest
from helpers import refusal
from numpy.random import mtrand

torch = pytest.importorskip("torch")
torch_nets = importlib.import_module("torch_nets")
Recorder = importlib.import_module("companion.torch._recorder").Recorder
diagnose = importlib.import_module("companion.torch.diagnostics").diagnose
rrelu = importlib.import_module("companion.torch.activations").RReLU
dropout = importlib.import_module("companion.torch.dropout").Dropout
F, nn = torch.nn.functional, torch.nn


class Restless(nn.Module):
    """Change, in each forward pass, whatever a model can change."""

    def __init__(self, raises=False):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)
        self.layers = nn.Sequential(
            *(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True)),
            *(rrelu(generator=self.generator), dropout(0.5, generator=self.generator)),
        )
        self.last, self.raises = nn.Linear(6, 4), raises
        self.register_buffer("moving", torch.zeros(6))
        self.alias = self.moving
        self.rng, self.random = np.random.default_rng(0), random.Random(0)
        self.count, self.kept, self.memory = 0, [torch.zeros(6)], {"outputs": None}
        self.tensor, self.array = torch.zeros(2), np.zeros(2)

    def forward(self, x):
        x *= 2
        x = self.layers(x)
        self.moving += x.detach().mean(0)
        self.count += 1
        self.kept[0].add_(1)
        self.kept.append(x)
        self.memory["outputs"] = x
        self.tensor += 1
        self.array += 1
        self.new = nn.Parameter(torch.zeros(1))
        self.last.weight.data.mul_(2)
        with torch.no_grad():
            self.last.bias.add_(1)
        self.last.bias.requires_grad_(False)
        self.layers[0].weight.grad = torch.zeros(6, 8)
        self.register_forward_hook(lambda *_: None)
        self.layers[0].eval()
        self.rng.random(), self.random.random(), random.random()
        mtrand.standard_normal()
        torch.rand(1), torch.rand(1, generator=self.generator)
        torch.set_grad_enabled(not torch.is_grad_enabled())
        torch.set_grad_enabled(True)
        if self.raises:
            raise RuntimeError("the model's own error")
        return self.last(x)


def content(value):
    """Return something that compares equal as long as a value is the same."""
    if isinstance(value, torch.Tensor):
        grad = None if value.grad is None else content(value.grad)
        return id(value), value.tolist(), value.requires_grad, grad
    if isinstance(value, np.ndarray):
        return id(value), value.tolist()
    if isinstance(value, torch.Generator):
        return id(value), value.get_state().tolist()
    if isinstance(value, np.random.Generator):
        return id(value), str(value.bit_generator.state)
    if isinstance(value, random.Random):
        return id(value), value.getstate()
    if isinstance(value, dict):
        return id(value), [(key, content(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return id(value), [content(part) for part in value]
    return id(value)


def state(model, *tensors):
    """Return all that a diagnosis must leave as it is."""
    return {
        "attributes": [content(vars(module)) for module in model.modules()],
        "tensors": [content(tensor) for tensor in tensors],
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(mtrand.get_state()),
        "python": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
    }


def restless(raises=False):
    torch.manual_seed(0)
    model = Restless(raises)
    x, y = torch.randn(20, 8), torch.randint(4, (20,))
    model.last.weight.grad = torch.ones(4, 6)
    model.layers[1].bias.requires_grad_(False)
    return model, x, y


def failing(outputs, y):
    outputs.detach().zero_(), y.zero_(), torch.rand(1)
    raise RuntimeError("the loss's own error")


def in_place(outputs, y):
    y.fmod_(2), random.random(), mtrand.standard_normal(), torch.rand(1)
    return F.cross_entropy(outputs, y)


MODES = {
    "as usual": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("raises", "loss"),
    [(False, None), (False, in_place), (False, failing), (True, None)],
)
def test_nothing_is_changed(mode, training, raises, loss):
    model, x, y = restless(raises)
    model.train(training)
    with MODES[mode]():
        before = state(model, x, y)
        if raises or loss is failing:
            with pytest.raises(RuntimeError, match=r"^the (model|loss)'s own error$"):
                diagnose(model, x, y, loss)
        else:
            diagnose(model, x, y, loss)
        after = state(model, x, y)
    for part, value in before.items():
        assert after[part] == value, part


def test_gradients_of_the_backward_pass_are_not_left():
    for name in torch_nets.NETS:
        model, x, y = torch_nets.case(name)
        before = state(model, *torch_nets.tensors(x))
        diagnose(model, x, y)
        assert state(model, *torch_nets.tensors(x)) == before, name
        assert all(p.grad is None for p in model.parameters())


#: Each of these is a change that the test above must see.
CHANGES = {
    "a weight": lambda m: m.last.weight.data.mul_(2),
    "a parameter's grad": lambda m: m.last.weight.grad.mul_(2),
    "another grad": lambda m: setattr(m.last.weight, "grad", torch.ones(4, 6)),
    "requires_grad": lambda m: m.last.bias.requires_grad_(False),
    "a buffer": lambda m: m.layers[1].running_mean.add_(1),
    "a batch's number": lambda m: m.layers[1].num_batches_tracked.add_(1),
    "a mode": lambda m: m.layers[0].eval(),
    "a hook": lambda m: m.last.register_forward_pre_hook(lambda *_: None),
    "a method": lambda m: setattr(m.last, "forward", m.last.forward),
    "a generator": lambda m: torch.rand(1, generator=m.generator),
    "a NumPy generator": lambda m: m.rng.random(),
    "a tensor": lambda m: m.tensor.add_(1),
    "a list": lambda m: m.kept.append(1),
    "a tensor in a list": lambda m: m.kept[0].add_(1),
    "a number": lambda m: setattr(m, "count", 1),
    "PyTorch's random state": lambda m: torch.rand(1),
    "NumPy's random state": lambda m: mtrand.standard_normal(),
    "Python's random state": lambda m: random.random(),
    "the grad mode": lambda m: torch.set_grad_enabled(False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_would_be_seen(change):
    model, x, _ = restless()
    before = state(model, x)
    assert state(model, x) == before
    CHANGES[change](model)
    changed = state(model, x) != before
    torch.set_grad_enabled(True)
    assert changed


def test_the_model_works_on_what_it_shares():
    model, x, y = restless()
    seen = []

    def hook(*_):
        seen.append(model.alias is model.moving)

    model.layers[2].register_forward_hook(hook)
    diagnose(model, x, y)
    assert seen == [True]


def test_a_loss_with_parameters_and_state_is_left_too():
    class Loss(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.count = [model], 0
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, outputs, y):
            self.count += 1
            penalty = sum(p.square().sum() for p in self.model[0].parameters())
            return self.scale * F.cross_entropy(outputs, y) + penalty

    model, x, y = torch_nets.case("relu")
    loss = Loss(model)
    before = state(loss)
    report = diagnose(model, x, y, loss)
    assert state(loss) == before
    plain = diagnose(model, x, y)
    # The gradient of the penalty reaches the weights, and not the signal.
    np.testing.assert_allclose(report.delta_norm, plain.delta_norm, rtol=1e-6)
    weight = model[0].weight.double().detach()
    assert abs(report.gradient_norm[0] - 2 * weight.norm()) < plain.gradient_norm[0]


# --- models in other forms ------------------------------------------------------------
class Checkpointed(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, x):
        checkpoint = importlib.import_module("torch.utils.checkpoint").checkpoint
        return checkpoint(self.inner, x, use_reentrant=False)


def compiled(model):
    return torch.compile(model, backend="eager")


def compiled_inside(model):
    """Compile a part, and the part around it in place; both have run."""
    model = copy.deepcopy(model)
    model[2] = compiled(model[2])
    model.compile(backend="eager")
    with torch.no_grad():
        model(torch.ones(3, 8))
    return model


@pytest.mark.parametrize(
    "wrapped", [Checkpointed, nn.DataParallel, compiled, compiled_inside]
)
def test_a_wrapped_model_is_measured_as_it_is_alone(wrapped):
    model, x, y = torch_nets.case("tanh")
    expected, report = diagnose(model, x, y), diagnose(wrapped(model), x, y)
    for name in ("variance", "saturated", "delta_norm", "gradient_norm"):
        np.testing.assert_array_equal(getattr(report, name), getattr(expected, name))
    names = [layer.removeprefix("inner.") for layer in report.layers]
    assert names == list(expected.layers)


def test_parametrized_weights_are_those_that_are_used():
    model, x, y = torch_nets.case("relu")
    expected = diagnose(model, x, y)
    nn.utils.parametrizations.weight_norm(model[2])
    report = diagnose(model, x, y)
    assert report.layers == expected.layers
    # The weights are the same, up to a root and a division in float32.
    for name in ("variance", "delta_norm", "gradient_norm"):
        got, wanted = getattr(report, name), getattr(expected, name)
        np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_a_packed_sequence_is_one_input():
    lstm, x = nn.LSTM(5, 3), torch.randn(4, 2, 5)
    packed = nn.utils.rnn.pack_padded_sequence(x, [4, 4])
    expected = diagnose(lstm, x, loss=lambda outputs: outputs[0].sum())
    for given in (packed, (packed,)):
        report = diagnose(lstm, given, loss=lambda outputs: outputs[0].data.sum())
        for name in ("mean", "variance", "gradient_norm"):
            got, wanted = getattr(report, name), getattr(expected, name)
            np.testing.assert_allclose(got, wanted, rtol=1e-5)  # sums in float32


# --- refusals -------------------------------------------------------------------------
X, Y = torch.ones(5, 2), torch.zeros(5, dtype=torch.int64)


class NoNumbers(nn.Linear):
    def forward(self, x):
        return super().forward(x).argmax(-1)


@pytest.mark.parametrize(
    ("model", "y", "loss", "kind", "end"),
    [
        (5, Y, None, TypeError, "`model` must be a torch.nn.Module; got int."),
        (
            *(nn.Sequential(nn.ReLU()), Y, None, ValueError),
            "`model` must call a layer with weights; got none.",
        ),
        (
            *(nn.LazyLinear(3), Y, None, ValueError),
            "`model` must know its shapes; got lazy layers. Call it once.",
        ),
        (
            *(nn.Sequential(torch.jit.ScriptModule()), Y, None, TypeError),
            "`model` must consist of Python modules, which can be followed; got "
            "TorchScript in `0`.",
        ),
        (
            *(nn.Linear(2, 3), Y, lambda z, y: z[:, 0], TypeError),
            "`loss` must return a scalar tensor; got shape (5,).",
        ),
        (
            *(nn.Linear(2, 3), None, lambda z: 1.0, TypeError),
            "`loss` must return a scalar tensor; got float.",
        ),
        (
            *(nn.Linear(2, 3), Y[:4], None, ValueError),
            "`y` must match the outputs, of shape (5, 3); got shape (4,). Pass loss=, "
            "a function of (outputs, y).",
        ),
        (
            *(nn.Linear(2, 3), torch.ones(5), None, ValueError),
            "`y` must match the outputs, of shape (5, 3); got shape (5,). Pass loss=, "
            "a function of (outputs, y).",
        ),
        (
            *(nn.Linear(2, 3), Y + 3, None, ValueError),
            "`y` must hold labels from 0 to 2; got 3 to 3.",
        ),
        (
            *(nn.Linear(2, 1), Y + 2, None, ValueError),
            "`y` must hold labels from 0 to 1; got 2 to 2.",
        ),
        (
            *(NoNumbers(2, 3), Y, None, ValueError),
            "`model` must return real numbers; got none.",
        ),
    ],
)
def test_refusals(model, y, loss, kind, end):
    assert refusal(diagnose, model, X, y, loss) == (kind, f"diagnose: {end}")
