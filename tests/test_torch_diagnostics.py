"""The doctor for PyTorch: what it measures, and that it leaves everything as it was."""

import copy
import importlib

import numpy as np
import pytest

from companion import _calls, activations
from companion import diagnostics as reference
from companion.mlp import softmax_cross_entropy, stack

torch = pytest.importorskip("torch")
torch_nets = importlib.import_module("torch_nets")
ours = importlib.import_module("companion.torch.activations")
dropouts = importlib.import_module("companion.torch.dropout")
BatchNorm = importlib.import_module("companion.torch.normalization").BatchNorm
Activation = importlib.import_module("companion.torch.mlp").Activation
Recorder = importlib.import_module("companion.torch._recorder").Recorder
diagnose = importlib.import_module("companion.torch.diagnostics").diagnose
F, nn = torch.nn.functional, torch.nn

COLUMNS = ("mean", "variance", "saturated", "dead")
GRADIENTS = ("delta_norm", "gradient_norm", "gradient_to_weight")
#: Sums of float64 in another order.
RTOL = 1e-12


class Calling(nn.Module):
    """A linear layer, and then any function: what a model's own ``forward`` does."""

    def __init__(self, function, n=6):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.function = nn.Linear(4, n), function
        self.double()

    def forward(self, x):
        return self.function(self.linear(x))


def inputs(n=40, seed=0):
    return 3 * torch.randn(
        n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def followed(model, *x):
    """Return what the recorder has seen of a copy of the model."""
    recorder, model = Recorder(), copy.deepcopy(model)
    recorder.follow(model, lambda: model(*x))
    return recorder.seen


def calls(model, *x):
    return [seen.call for seen in followed(model, *x)]


def same(report, expected, columns=(*COLUMNS, *GRADIENTS), rtol=RTOL):
    for name in columns:
        got, wanted = getattr(report, name), getattr(expected, name)
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol, err_msg=name)


# --- against the reference ------------------------------------------------------------
@pytest.mark.parametrize("batch_norm", [None, "before", "after"])
@pytest.mark.parametrize("name", ["relu", "tanh", "logistic", "selu", "elu"])
def test_report_is_that_of_numpy(name, batch_norm):
    rng = np.random.default_rng(0)
    net = stack([4, 9, 8, 7, 3], activation=name, batch_norm=batch_norm, rng=rng)
    layers = []
    for layer in net.layers:
        kind = type(layer).__name__
        if kind == "Dense":
            layer.parameters["W"] *= 2  # so that some outputs saturate
            layers.append(nn.Linear(*layer.parameters["W"].shape))
            state = {"weight": layer.parameters["W"].T, "bias": layer.parameters["b"]}
        elif kind == "BatchNorm":
            layer.running_var[:] = rng.uniform(1, 2, layer.running_var.shape)
            layers.append(BatchNorm(len(layer.gamma)))
            names = ("gamma", "beta", "running_mean", "running_var")
            state = {n: getattr(layer, n) for n in names} | {"n_batches": np.array(0)}
        else:
            others = {"selu": nn.SELU, "elu": nn.ELU}
            layers.append(others[name]() if name in others else Activation(name))
            state = {}
        layers[-1].double()
        state = {key: torch.tensor(np.array(value)) for key, value in state.items()}
        layers[-1].load_state_dict(state)
    x, y = rng.standard_normal((50, 4)), rng.integers(3, size=50)
    report = diagnose(nn.Sequential(*layers).eval(), x, y)
    expected = reference.diagnose(net, x, y, softmax_cross_entropy)
    same(report, expected)
    same_findings = [f.disease for f in expected.findings]
    assert [f.disease for f in report.findings] == same_findings


#: Ways to write an activation, and its name and derivative in the reference.
SPELLED = [
    *[(f, "relu", {}) for f in (nn.ReLU(), nn.ReLU(True), F.relu, F.relu_, torch.relu)],
    *[(f, "relu", {}) for f in (torch.Tensor.relu, lambda z: z.relu_(), ours.relu)],
    *[(f, "logistic", {}) for f in (nn.Sigmoid(), F.sigmoid, torch.special.expit)],
    *[(f, "logistic", {}) for f in (lambda z: z.sigmoid_(), ours.logistic)],
    *[(f, "tanh", {}) for f in (nn.Tanh(), F.tanh, torch.tanh, torch.Tensor.tanh_)],
    *[(f, "selu", {}) for f in (nn.SELU(True), F.selu, torch.selu_, ours.SELU())],
    *[(f, "softsign", {}) for f in (nn.Softsign(), F.softsign, Activation("softsign"))],
    *[(f, "softplus", {}) for f in (nn.Softplus(), F.softplus, ours.softplus)],
    *[(f, "silu", {}) for f in (nn.SiLU(), F.silu, Activation("silu"))],
    *[(f, "mish", {}) for f in (nn.Mish(), F.mish, Activation("mish"))],
    *[(f, "gelu", {}) for f in (nn.GELU(), F.gelu, ours.GELU())],
    (nn.GELU("tanh"), "gelu", {"approximate": True}),
    (ours.GELU(approximate=True), "gelu", {"approximate": True}),
    (ours.SELU(1.5, 1.1), "selu", {"alpha": 1.5, "scale": 1.1}),
    *[(f, "leaky_relu", {"alpha": 0.01}) for f in (nn.LeakyReLU(), F.leaky_relu)],
    *[(f(0.2), "leaky_relu", {"alpha": 0.2}) for f in (nn.LeakyReLU, ours.LeakyReLU)],
    (lambda z: F.leaky_relu(z, 0.2), "leaky_relu", {"alpha": 0.2}),
    *[(f(1.5), "elu", {"alpha": 1.5}) for f in (nn.ELU, ours.ELU)],
    (lambda z: F.elu_(input=z, alpha=1.5), "elu", {"alpha": 1.5}),
    *[(f(1.5), "celu", {"alpha": 1.5}) for f in (nn.CELU, ours.CELU)],
    (lambda z: torch.celu(z, 1.5), "celu", {"alpha": 1.5}),
    *[(f(6, 0.01), "prelu", {"alpha": 0.01}) for f in (nn.PReLU, ours.PReLU)],
    *[(f(0.0, 0.04), "rrelu", {"lower": 0.0, "upper": 0.04, "training": False})
      for f in (nn.RReLU, ours.RReLU)],
]  # fmt: skip


@pytest.mark.parametrize(("function", "name", "arguments"), SPELLED)
def test_activation_is_seen_however_it_is_written(function, name, arguments):
    model, x = Calling(function), inputs()
    z = model.linear(x).detach().numpy().copy()
    report = diagnose(model, x)
    (layer,) = report.layers
    assert layer == f"linear: Linear, {name}"
    f_grad = getattr(activations, f"{name}_grad")
    saturated, dead = _calls.shares(lambda z: f_grad(z, **arguments), z)
    assert (report.saturated[0], report.dead[0]) == (saturated, dead)
    (call,) = [call for call in calls(model, x) if call.kind == "activation"]
    np.testing.assert_allclose(call.inputs.variance, z.var(), rtol=RTOL)
    np.testing.assert_allclose(call.output.variance, report.variance[0], rtol=RTOL)


@pytest.mark.parametrize("function", [nn.ReLU6(), F.relu6, nn.Hardtanh(0, 6)])
def test_relu6_is_dead_on_both_sides(function):
    model = Calling(function)
    with torch.no_grad():
        model.linear.bias[:] = torch.tensor([-1e3, -1e3, 1e3, 0.0, 0.0, 0.0])
    assert diagnose(model, inputs()).dead.tolist() == [1 / 2]
    assert calls(model, inputs())[1].function == "relu6"


def test_other_activations_have_their_names():
    for function in (F.hardswish, F.hardsigmoid, F.logsigmoid, F.hardtanh):
        name = function.__name__.replace("log_sigmoid", "logsigmoid")
        (layer,) = diagnose(Calling(function), inputs()).layers
        assert layer == f"linear: Linear, {name}"


OF_THE_BATCH = nn.BatchNorm1d(6, track_running_stats=False).eval()


@pytest.mark.parametrize(
    ("function", "kind", "name", "training"),
    [
        (lambda z: F.dropout(z, 0.1, False), "dropout", "dropout", False),
        (F.dropout, "dropout", "dropout", True),
        (nn.Dropout(), "dropout", "dropout", True),
        (nn.Dropout().eval(), "dropout", "dropout", False),
        (nn.Dropout1d(), "dropout", "dropout", True),
        (nn.AlphaDropout(), "dropout", "alpha_dropout", True),
        (nn.FeatureAlphaDropout().eval(), "dropout", "alpha_dropout", False),
        (F.alpha_dropout, "dropout", "alpha_dropout", False),
        (dropouts.Dropout(0.5), "dropout", "dropout", True),
        (dropouts.AlphaDropout(0.5).eval(), "dropout", "alpha_dropout", False),
        (nn.BatchNorm1d(6), "normalization", "batch", True),
        (nn.BatchNorm1d(6).eval(), "normalization", "batch", False),
        (OF_THE_BATCH, "normalization", "batch", True),
        (BatchNorm(6), "normalization", "batch", True),
        (BatchNorm(6).eval(), "normalization", "batch", False),
        (nn.LayerNorm(6), "normalization", "layer", False),
        (nn.GroupNorm(2, 6), "normalization", "group", False),
        (lambda z: F.instance_norm(z[:, None]), "normalization", "instance", False),
        (nn.RMSNorm(6), "normalization", "rms", False),
    ],
)
def test_normalizations_and_dropouts_are_seen(function, kind, name, training):
    model = Calling(function)
    first, second = calls(model, inputs())
    assert first.function == "Linear"
    assert (second.kind, second.function, second.training) == (kind, name, training)


@pytest.mark.parametrize("function", [nn.Dropout(0.0), dropouts.Dropout(0.0)])
def test_dropout_of_rate_0_is_none(function):
    assert [call.kind for call in calls(Calling(function), inputs())] == ["weights"]


# --- layers with weights --------------------------------------------------------------
def of_units(layer):
    """Give all the weights into unit i the value i."""
    w, groups = layer.weight, getattr(layer, "groups", 1)
    if getattr(layer, "transposed", False):  # (inputs, units of a group, ...)
        units = torch.arange(groups * w.shape[1]).view(groups, 1, -1)
        units = units.expand(-1, len(w) // groups, -1).flatten(0, 1)
    else:
        units = torch.arange(len(w))
    with torch.no_grad():
        w.copy_(units.view(*units.shape, *(1,) * (w.ndim - units.ndim)).expand_as(w))


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in", "fan_out", "units"),
    [
        (nn.Linear(6, 4), (3, 6), 6, 4, 4),
        (nn.Conv1d(6, 4, 5), (3, 6, 9), 6 * 5, 4 * 5, 4),
        (nn.Conv2d(6, 4, (2, 3)), (3, 6, 9, 9), 6 * 6, 4 * 6, 4),
        (nn.Conv3d(6, 4, 2, groups=2), (3, 6, 9, 9, 9), 3 * 8, 4 * 8, 4),
        (nn.Conv2d(6, 12, 3, groups=6), (3, 6, 9, 9), 9, 12 * 9, 12),
        (nn.ConvTranspose1d(6, 4, 5), (3, 6, 9), 6 * 5, 4 * 5, 4),
        (nn.ConvTranspose2d(6, 4, (2, 3), groups=2), (3, 6, 9, 9), 3 * 6, 4 * 6, 4),
    ],
)
def test_weights_are_a_matrix_of_units(layer, shape, fan_in, fan_out, units):
    of_units(layer)
    (seen,) = followed(layer, torch.randn(shape))
    matrix, weights = seen.kernel.matrix(layer.weight), seen.call.weights
    np.testing.assert_array_equal(matrix, np.tile(np.arange(units), (fan_in, 1)))
    assert (weights.fan_in, weights.fan_out) == (fan_in, fan_out)
    assert weights.alike == 0
    nn.init.ones_(layer.weight)
    (seen,) = followed(layer, torch.randn(shape))
    grouped = getattr(layer, "groups", 1) > 1  # its units see different inputs
    assert seen.call.weights.alike == (0 if grouped else 1)


@pytest.mark.parametrize(
    ("layer", "x", "fan_in", "units", "grouped"),
    [
        (nn.LSTM(5, 3), torch.randn(2, 4, 5), 5, 12, False),
        (nn.GRUCell(5, 3), torch.randn(2, 5), 5, 9, False),
        (nn.MultiheadAttention(4, 2), (torch.randn(2, 3, 4),) * 3, 4, 12, False),
        (nn.Embedding(7, 3), torch.tensor([0, 6]), 7, 3, True),
        (nn.EmbeddingBag(7, 3, sparse=True), torch.tensor([[0, 6]]), 7, 3, True),
        (nn.Bilinear(4, 5, 3), (torch.randn(2, 4), torch.randn(2, 5)), 12, 5, True),
    ],
)
def test_other_layers_are_recorded_as_a_whole(layer, x, fan_in, units, grouped):
    (seen,) = followed(layer, *(x if isinstance(x, tuple) else [x]))
    assert seen.call.weights.fan_in == fan_in
    assert seen.kernel.matrix(seen.kernel.weight).shape == (fan_in, units)
    assert seen.kernel.grouped == grouped
    report, name = diagnose(layer, x), type(layer).__name__
    assert report.layers == (f"{name}: {name}",)
    assert report.gradient_norm > 0


class Matrix(nn.Module):
    """A layer of one's own, which has its activation in it."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 5))

    def forward(self, x):
        x -= x.mean()  # in place: the inputs are those before
        return F.relu(x @ self.w)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(5))

    def forward(self, x):
        return x * self.gamma


class MyNorm(Scale):
    """Called a normalization, it is taken for one."""


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(Matrix(), Scale(), MyNorm())
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        return F.linear(self.last(self.layers(x)), self.last.weight.T)  # tied


def test_layers_of_ones_own_are_seen():
    model, x = Own(), torch.randn(20, 4) + 3
    kept = x.clone()
    names = ["layers.0: Matrix, relu", "layers.1: Scale", "last: Linear"]
    assert diagnose(model, x).layers == (*names, "linear: linear")
    found = calls(model, x.clone())
    kinds = ["weights", "activation", "weights", "normalization", "weights", "weights"]
    assert [call.kind for call in found] == kinds
    assert torch.equal(x, kept)
    np.testing.assert_allclose(found[0].inputs.mean, x.double().mean(), rtol=1e-6)
    assert found[0].weights.fan_in == 4


def test_a_blur_with_constant_weights_is_no_layer():
    model = Calling(lambda z: F.linear(z, torch.ones(2, 6, dtype=z.dtype)))
    assert [call.name for call in calls(model, inputs())] == ["linear"]


def test_a_gate_without_inputs_is_no_activation():
    gate = nn.Parameter(torch.zeros(6))
    model = Calling(lambda z: z * torch.sigmoid(gate))
    assert [call.name for call in calls(model, inputs())] == ["linear"]


@pytest.mark.parametrize("inplace", [False, True])
def test_values_are_those_before_later_changes_in_place(inplace):
    torch.manual_seed(0)
    conv, last = nn.Conv2d(3, 5, 3).double(), nn.Linear(80, 2).double()
    model = nn.Sequential(conv, nn.ReLU(inplace), nn.Flatten(), last)
    x, y = torch.randn(20, 3, 6, 6, dtype=torch.float64), torch.randint(2, (20,))
    z = conv(x)
    h = z.relu()
    (delta,) = torch.autograd.grad(F.cross_entropy(last(h.flatten(1)), y), z)
    first, second, _ = calls(model, x)
    got = first.output.variance, second.output.variance
    wanted = [value.var(correction=0).item() for value in (z, h)]
    np.testing.assert_allclose(got, wanted, rtol=RTOL)
    channels = z.detach().std([0, 2, 3], correction=0)
    np.testing.assert_allclose(first.output.scales, channels, rtol=RTOL)
    report = diagnose(model, x, y)
    np.testing.assert_allclose(report.delta_norm[0], delta.norm(), rtol=RTOL)


@pytest.mark.parametrize(
    ("layers", "shape", "units"),
    [
        ([nn.Conv2d(3, 5, 2), nn.Tanh()], (6, 3, 8, 9), [5, 5]),
        ([nn.Conv1d(3, 5, 2), nn.Tanh()], (6, 3, 8), [5, 5]),
        ([nn.Linear(9, 5), nn.Tanh()], (6, 3, 9), [5, 5]),
        ([nn.Linear(9, 5), nn.Tanh()], (6, 7, 3, 9), [5, 5]),  # channels are last
        ([nn.Linear(9, 5), nn.PReLU(3)], (6, 3, 9), [5, 3]),  # which has them on axis 1
        ([nn.Conv2d(3, 5, 8), nn.Flatten(), nn.Tanh()], (6, 3, 8, 9), [5, 10]),
        ([nn.Conv2d(3, 5, 2), nn.Flatten(2), nn.LayerNorm(56)], (6, 3, 8, 9), [5, 56]),
    ],
)
def test_units_are_the_channels(layers, shape, units):
    found = calls(nn.Sequential(*layers), torch.randn(shape))
    assert [len(call.output.scales) for call in found] == units


def test_later_calls_of_a_layer_have_numbers():
    model, x, y = torch_nets.case("shared")
    names = [layer.partition(":")[0] for layer in diagnose(model, x, y).layers]
    assert names[:3] == ["first", "layer", "layer #2"]
    assert names[-2:] == ["layer #8", "last"]
    assert [call.name for call in calls(model, x)][1:4:2] == ["relu", "relu #2"]


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_low_precision_is_measured_in_float64(name):
    dtype = getattr(torch, name)
    model, x, y = torch_nets.case("relu")
    report = diagnose(model.to(dtype), x.to(dtype), y)
    expected = diagnose(model.double(), x.to(dtype).double(), y)
    # Each of 13 layers rounds once on the way up, and once on the way down.
    rtol = 26 * torch.finfo(dtype).eps
    same(report, expected, (*COLUMNS[:2], *GRADIENTS), rtol)


# --- losses, inputs -------------------------------------------------------------------
def classes_last(z, y):
    return F.cross_entropy(z.flatten(0, -2), y.flatten())


def binary(z, y):
    y = y.view(z.shape).to(z.dtype)
    return F.binary_cross_entropy_with_logits(z, y)


@pytest.mark.parametrize(
    ("shape", "y", "expected"),
    [
        ((6, 3), torch.tensor([0, 1, 2, 2, -100, 0]), F.cross_entropy),
        ((6, 3), torch.tensor([0, 1, 2, 2, 0, 0], dtype=torch.uint8), F.cross_entropy),
        ((6, 3), np.array([0, 1, 2, 2, 0, 0]), F.cross_entropy),
        ((2, 3, 4), torch.tensor([[0, 1, 2, 0], [1, 1, 0, 2]]), F.cross_entropy),
        ((2, 4, 3), torch.tensor([[0, 1, 2, 0], [1, 1, 0, 2]]), classes_last),
        ((6, 1), torch.tensor([0, 1, 1, 0, 0, 0]), binary),
        ((6,), torch.tensor([0, 1, 1, 0, 0, 0]).bool(), binary),
        ((6, 3), torch.linspace(-1, 1, 18).view(6, 3), F.mse_loss),
        ((6, 1), np.linspace(-1, 1, 6), lambda z, y: F.mse_loss(z[:, 0], y)),
    ],
)
def test_loss_by_default(shape, y, expected):
    torch.manual_seed(0)
    n = int(np.prod(shape))
    model = nn.Sequential(nn.Linear(2, n), nn.Unflatten(1, shape), nn.Flatten(0, 1))
    model, x = model.double(), torch.randn(1, 2, dtype=torch.float64)
    z = model(x).detach().requires_grad_()
    y64 = torch.as_tensor(y)
    y64 = y64.double() if y64.is_floating_point() else y64.long()
    (gradient,) = torch.autograd.grad(expected(z, y64), z)
    report = diagnose(model, x, y)
    np.testing.assert_allclose(report.delta_norm, gradient.norm(), rtol=RTOL)


def test_without_loss_the_gradient_starts_with_norm_1():
    model, x = Calling(lambda z: z), inputs()
    report = diagnose(model, x)
    np.testing.assert_allclose(report.delta_norm, 1, rtol=RTOL)
    same(diagnose(model, x), report, rtol=0)
    weighted = diagnose(model, x, loss=lambda outputs: 2 * outputs.sum())
    np.testing.assert_allclose(weighted.delta_norm, 2 * 240**0.5, rtol=RTOL)


def test_inputs_may_be_given_in_many_ways():
    model, (left, right), y = torch_nets.case("two inputs")
    model.double().eval()
    left, right = left.double(), right.double()
    expected = diagnose(model, (left, right), y)
    arrays = {"right": right.numpy(), "left": left.numpy()}
    for x in ([left, right], arrays, {"left": left, "right": right}):
        same(diagnose(model, x, y), expected, rtol=0)
    model.float()  # arrays of floats get the dtype of the model
    same(diagnose(model, arrays, y), diagnose(model, (left.float(), right.float()), y))


def test_frozen_parameters_have_no_gradient():
    model, x, y = torch_nets.case("relu")
    expected = diagnose(model, x, y)
    model[0].requires_grad_(False)
    report = diagnose(model, x, y)
    assert np.isnan(report.gradient_norm).tolist() == [True, *[False] * 6]
    same(report, expected, ("delta_norm",), rtol=0)
    same(diagnose(model.requires_grad_(False), x, y), expected, ("delta_norm",), rtol=0)


def test_functions_in_a_hook_are_seen():
    model = Calling(F.tanh)
    model.register_forward_pre_hook(lambda module, x: F.relu(*x))
    assert [call.name for call in calls(model, inputs())] == ["relu", "linear", "tanh"]
