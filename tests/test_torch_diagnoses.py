"""Diseases planted in PyTorch models of many kinds: each is found, and none before."""

import importlib

import pytest

torch = pytest.importorskip("torch")
torch_nets = importlib.import_module("torch_nets")
diagnose = importlib.import_module("companion.torch.diagnostics").diagnose
F, nn = torch.nn.functional, torch.nn
NETS, case = torch_nets.NETS, torch_nets.case


def diseases(model, x, y=None, loss=None):
    return [f.disease for f in diagnose(model, x, y, loss).findings if not f.note]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_healthy_models_have_no_disease(name, training, seed):
    model, x, y = case(name, seed)
    model.train(training)
    assert diseases(model, x, y) == diseases(model, x) == []


# --- planting -------------------------------------------------------------------------
def matrices(model):
    return [p for p in model.parameters() if p.ndim > 1]


def scaled(factor):
    def plant(model, x):
        for matrix in matrices(model):
            matrix.mul_(factor)

    return plant


def constant(place, value=0.1):
    return lambda model, x: nn.init.constant_(model.get_parameter(place), value)


def filled(place, value):
    """Fill a parameter, but for its first element."""
    return lambda model, x: model.get_parameter(place).view(-1)[1:].fill_(value)


def one_weight(place, value):
    return lambda model, x: model.get_parameter(place).view(-1)[-1:].fill_(value)


def inputs_times(factor, shift=0.0):
    def plant(model, x):
        for tensor in torch_nets.tensors(x):
            tensor.mul_(factor).add_(shift)

    return plant


def one_input(value):
    def plant(model, x):
        torch_nets.tensors(x)[-1].view(-1)[-1:].fill_(value)

    return plant


def replaced(place, module):
    """Put another module in the place of one, or behind it: ``(old) -> new``."""
    parent, _, key = place.rpartition(".")

    def plant(model, x):
        parent_module = model.get_submodule(parent)
        setattr(parent_module, key, module(parent_module.get_submodule(key)))

    return plant


def behind(place, module):
    return replaced(place, lambda old: nn.Sequential(old, module))


def left_in_training(place):
    return lambda model, x: model.eval().get_submodule(place).train()


def attribute(name, value):
    return lambda model, x: setattr(model, name, value)


def drawn(gain):
    """Draw all weights but the last ones anew, with variance gain^2 / fan_in."""

    def plant(model, x):
        for matrix in matrices(model)[:-1]:
            nn.init.normal_(matrix, std=gain * matrix[0].numel() ** -0.5)

    return plant


class Logarithm(nn.Module):
    """Not a layer: nan is born between the layers."""

    def forward(self, x):
        return x + 0 * torch.log(x - 100)


class Overflowing(nn.Module):
    """A layer of one's own."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(32, 32))

    def forward(self, x):
        return x @ self.w * 1e30 * 1e30


def first_tensor(outputs):
    return next(iter(torch_nets.tensors(outputs)))


def nan_loss(outputs, y):
    return torch.log(-first_tensor(outputs).square()).mean()


def nan_gradient(outputs, y):
    return torch.sqrt(0 * first_tensor(outputs)).sum()


#: The disease, the net, how it gets it, and the layers that the finding names first: a
#: dead layer kills those above.  None where one cannot say so beforehand.
PLANTED = [
    ("vanishing", "relu", scaled(0.2), ("0", "12")),
    ("vanishing", "shared", scaled(0.2), ("first", "last")),
    ("vanishing", "two inputs, tanh", scaled(0.1), None),
    ("vanishing", "tanh", constant("10.weight", 0.0), ("0", "2", "4", "6", "8")),
    ("exploding", "relu", scaled(5.0), ("0", "12")),
    ("exploding", "shared", scaled(4.0), None),
    ("exploding", "two inputs", scaled(6.0), None),
    ("dead", "relu", filled("4.bias", -100.0), ("5",)),
    ("dead", "mobile", filled("4.layers.1.bias", -100.0), ("4.layers.2",)),
    ("dead", "residual", filled("4.bn1.bias", -100.0), ("4.relu",)),
    ("dead", "shared", filled("first.bias", -100.0), ("relu",)),
    ("dead", "attention", filled("encoder.layers.1.linear1.bias", -100.0), None),
    ("saturated", "tanh", scaled(10.0), None),
    ("saturated", "two inputs, tanh", scaled(10.0), None),
    ("symmetric", "relu", constant("2.weight"), ("2",)),
    ("symmetric", "residual", constant("4.conv1.weight"), ("4.conv1",)),
    ("symmetric", "mobile", constant("5.layers.0.weight"), ("5.layers.0",)),
    ("symmetric", "recurrent", constant("lstm.weight_ih_l0"), ("lstm",)),
    (
        *("symmetric", "attention"),
        constant("encoder.layers.0.self_attn.in_proj_weight"),
        ("encoder.layers.0.self_attn",),
    ),
    ("nan", "relu", one_input(torch.nan), ()),
    ("nan", "two inputs, tanh", one_input(torch.inf), ()),
    ("nan", "relu", one_weight("6.weight", torch.nan), ("6",)),
    ("nan", "mobile", one_weight("5.layers.3.weight", torch.inf), ("5.layers.3",)),
    ("nan", "recurrent", one_weight("lstm.weight_ih_l0", torch.nan), ("lstm",)),
    ("nan", "relu", replaced("4", lambda _: Overflowing()), ("4",)),
    ("nan", "tanh", filled("4.weight", 3e38), ("4",)),
    ("nan", "residual", filled("4.conv2.weight", 3e38), ("4.conv2",)),
    ("nan", "relu", behind("5", Logarithm()), ("6",)),
    ("nan", "residual", behind("4.bn1", Logarithm()), ("4.relu",)),
    ("nan", "two inputs", attribute("between", torch.log), ("deep.0",)),
    ("nan", "relu", behind("12", Logarithm()), ()),
    ("batch_statistics", "residual", left_in_training("4.bn1"), ("4.bn1",)),
    ("batch_statistics", "mobile", left_in_training("1"), ("1",)),
    ("selu_inputs", "selu", inputs_times(2.0, 1.0), ()),
    ("selu_inputs", "two inputs", inputs_times(2.0, 1.0), ()),
    ("selu_weights", "selu", drawn(2**0.5), None),
    ("selu_weights", "two inputs", drawn(2**0.5), None),
    ("selu_gain", "selu", drawn(0.75), None),
    ("selu_gain", "two inputs", drawn(0.75), None),
    ("selu_dropout", "selu", behind("5", nn.Dropout(0.1)), ("5.1",)),
    ("selu_dropout", "two inputs", attribute("dropout", F.dropout), ("dropout",)),
    ("selu_normalization", "selu", behind("4", nn.BatchNorm1d(32)), ("4.1",)),
    (
        *("selu_normalization", "two inputs"),
        attribute("between", lambda x: F.layer_norm(x, (64,))),
        ("layer",),
    ),
    ("unscaled_inputs", "relu", inputs_times(100.0), ()),
    ("unscaled_inputs", "residual", inputs_times(0.001), ()),
    ("unscaled_inputs", "mobile", inputs_times(60.0, 127.0), ()),
    ("unscaled_inputs", "recurrent", inputs_times(1.0, 8.0), ()),
    ("unscaled_inputs", "two inputs, tanh", inputs_times(1.0, 8.0), ()),
]


@pytest.mark.parametrize(
    ("disease", "name", "plant", "layers"),
    PLANTED,
    ids=[f"{disease} {name}" for disease, name, *_ in PLANTED],
)
def test_planted_disease_is_found(disease, name, plant, layers):
    model, x, y = case(name)
    with torch.no_grad():
        plant(model, x)
    found = {f.disease: f for f in diagnose(model, x, y).findings if not f.note}
    assert disease in found, list(found)
    if layers is not None:
        assert found[disease].layers[: len(layers) or None] == layers


def test_nan_of_the_outputs_is_not_the_fault_of_the_loss():
    model, x, y = case("relu")
    behind("12", Logarithm())(model, x)
    (finding,) = diagnose(model, x, y).findings
    assert "is born behind 12.0, in the outputs" in finding.message


@pytest.mark.parametrize("name", ["relu", "residual", "two inputs"])
@pytest.mark.parametrize(
    ("loss", "where"),
    [(nan_loss, "in the loss"), (nan_gradient, "in the backward pass")],
)
def test_nan_of_the_loss_is_found(name, loss, where):
    model, x, y = case(name)
    (finding,) = diagnose(model, x, y, loss).findings
    assert finding.disease == "nan"
    assert where in finding.message


def test_every_disease_is_planted_in_two_kinds_of_nets():
    kinds = {}
    for disease, name, *_ in PLANTED:
        kinds.setdefault(disease, set()).add(name)
    assert min(map(len, kinds.values())) >= 2
    assert set(kinds) == {
        *("vanishing", "exploding", "dead", "saturated", "symmetric", "nan"),
        *("batch_statistics", "selu_inputs", "selu_weights", "selu_gain"),
        *("selu_dropout", "selu_normalization", "unscaled_inputs"),
    }


def test_batch_statistics_without_labels_are_a_note():
    model, x, _ = case("residual")
    (finding,) = diagnose(model, x).findings
    assert finding.disease == "batch_statistics"
    assert finding.note
