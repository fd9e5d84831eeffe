"""Batch normalization in PyTorch: values, gradients, edges, folding, statistics."""

import copy
import importlib
from collections import OrderedDict

import numpy as np
import pytest
from helpers import EPS, refusal

from companion import normalization as reference

torch = pytest.importorskip("torch")
ours = importlib.import_module("companion.torch.normalization")
activations = importlib.import_module("companion.torch.activations")
nn = torch.nn
BatchNorm = ours.BatchNorm

#: Sums of float64 in another order.
RTOL = 1e-12


def normal(*shape, seed=0, mean=0.0, dtype="float64"):
    rng = np.random.default_rng([seed, *shape])
    return torch.tensor(rng.normal(mean, 1.0, shape)).to(getattr(torch, dtype))


def close(actual, expected, rtol=RTOL, atol=None):
    actual, expected = (
        a.detach().double().numpy() if isinstance(a, torch.Tensor) else a
        for a in (actual, expected)
    )
    atol = rtol if atol is None else atol
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def step(layer, x, dy):
    """Return the output, and the gradients of the input, gamma and beta."""
    x = x.clone().requires_grad_()
    y = layer(x)
    return y, *torch.autograd.grad(y, [x, *layer.parameters()], dy)


# --- against PyTorch and NumPy --------------------------------------------------------
@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("momentum", [0.9, None])
def test_like_torch_is_torchs_layer_in_a_training_run(images, momentum):
    torch.manual_seed(0)
    first = nn.Conv2d(2, 4, 3) if images else nn.Linear(2, 4)
    kind = nn.BatchNorm2d if images else nn.BatchNorm1d
    theirs = kind(4, momentum=None if momentum is None else 1 - momentum)
    layer = BatchNorm.like("torch", 4, **({} if momentum else {"momentum": None}))
    nets = [
        nn.Sequential(copy.deepcopy(first), bn, nn.Tanh()) for bn in (theirs, layer)
    ]
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.1) for net in nets]
    # A few roundings at each of 20 steps.
    tolerance = 100 * EPS["float32"]
    for i in range(20):
        x = normal(*((8, 2, 6, 5) if images else (8, 2)), seed=i, dtype="float32")
        outputs = [net(x) for net in nets]
        close(*outputs, tolerance)
        for y, optimizer in zip(outputs, optimizers, strict=True):
            optimizer.zero_grad()
            (y - x.mean()).square().sum().backward()
        pairs = zip(*(net.parameters() for net in nets), strict=True)
        for one, other in pairs:
            close(one.grad, other.grad, tolerance)
        for optimizer in optimizers:
            optimizer.step()
        for one, other in zip(theirs.buffers(), layer.buffers(), strict=True):
            close(one, other, tolerance)
    assert layer.n_batches == 20
    outputs = [net.eval()(x) for net in nets]
    close(*outputs, tolerance)


SHAPES = [
    (1, (6, 3)),
    (1, (4, 3, 5)),
    (1, (2, 3, 4, 5)),
    (1, (2, 3, 2, 3, 2)),
    (-1, (6, 3)),
    (-1, (2, 4, 5, 3)),
]


@pytest.mark.parametrize(("axis", "shape"), SHAPES)
@pytest.mark.parametrize("settings", reference.CONVENTIONS, ids=str)
@pytest.mark.parametrize("eps", [1e-3, 0.0])  # PyTorch's own function wants eps > 0
def test_it_is_the_reference(axis, shape, settings, eps):
    layer = BatchNorm.like(settings, 3, axis=axis, eps=eps).double()
    expected = reference.BatchNorm.like(settings, 3, axis=axis, eps=eps)
    with torch.no_grad():
        layer.gamma.copy_(normal(3, seed=1))
        layer.beta.copy_(normal(3, seed=2))
    expected.parameters = {
        "gamma": layer.gamma.detach().numpy(),
        "beta": layer.beta.detach().numpy(),
    }
    for i, training in enumerate([True, True, False, True]):
        x, dy = normal(*shape, seed=i, mean=3.0), normal(*shape, seed=i + 9)
        y, dx, dgamma, dbeta = step(layer.train(training), x, dy)
        close(y, expected.forward(x.numpy(), training=training))
        close(dx, expected.backward(dy.numpy()))
        close(dgamma, expected.gradients["gamma"])
        close(dbeta, expected.gradients["beta"])
        close(layer.running_mean, expected.running_mean)
        close(layer.running_var, expected.running_var)
        assert layer.n_batches == expected.n_batches


def test_images_in_another_memory_format_are_the_same_images():
    x, dy = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)
    last = {"memory_format": torch.channels_last}
    results = [step(BatchNorm(3).double(), x, dy)]
    results += [step(BatchNorm(3).double(), x.to(**last), dy.to(**last))]
    x, dy = (t.permute(0, 2, 3, 1) for t in (x, dy))
    y, dx, *others = step(BatchNorm(3, axis=-1).double(), x, dy)
    results += [(y.permute(0, 3, 1, 2), dx.permute(0, 3, 1, 2), *others)]
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            close(one, other)


@pytest.mark.parametrize("eps", [1e-5, 0.0])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("axis", "shape"), SHAPES[2:6:3])
def test_gradients_are_those_of_differences(eps, training, axis, shape):
    layer = BatchNorm(3, eps=eps, axis=axis).double().train(training)

    def f(x, gamma, beta):
        parameters = {"gamma": gamma, "beta": beta}
        return torch.func.functional_call(layer, parameters, x)

    inputs = normal(*shape), normal(3, seed=1), normal(3, seed=2)
    inputs = [t.requires_grad_() for t in inputs]
    assert torch.autograd.gradcheck(f, inputs)
    if eps or not training:
        assert torch.autograd.gradgradcheck(f, inputs)


def test_running_values_move_in_training_only_and_outside_the_graph():
    layer = BatchNorm(2)
    buffers = [layer.running_mean, layer.running_var, layer.n_batches]
    layer.eval()(normal(5, 2, dtype="float32"))
    assert layer.n_batches == 0
    close(layer.running_mean, np.zeros(2), 0)
    layer.train()(normal(5, 2, dtype="float32"))
    now = [layer.running_mean, layer.running_var, layer.n_batches]
    assert all(one is other for one, other in zip(buffers, now, strict=True))
    assert not any(t.requires_grad for t in now)
    assert layer.n_batches == 1
    assert (layer.running_mean != 0).all()
    layer.reset()
    assert [t.tolist() for t in now] == [[0, 0], [1, 1], 0]


# --- what float32 and smaller types keep ----------------------------------------------
@pytest.mark.parametrize("eps", [1e-5, 0.0])
def test_a_large_mean_costs_no_more_than_the_sum_of_the_batch(eps):
    """Adding m numbers one by one rounds m times: so far is the mean off at most.

    The variance of one pass would be off by the mean squared times eps, 12.
    """
    m, mean = 256, 1e4
    x, dy = normal(m, 3, mean=mean, dtype="float32"), normal(m, 3, dtype="float32")
    layer = BatchNorm(3, momentum=0.0, eps=eps)
    y, dx, _, _ = step(layer, x, dy)
    off = m * mean * EPS["float32"] / 2
    expected = reference.BatchNorm(3, momentum=0.0, eps=eps)
    close(y, expected.forward(x.double().numpy(), training=True), 0, 2 * off)
    close(dx, expected.backward(dy.double().numpy()), 0, 2 * off)
    close(layer.running_mean, expected.running_mean, 0, off)
    close(layer.running_var, expected.running_var, off**2 + m * EPS["float32"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("axis", [1, -1])
def test_half_precision_is_float32_rounded_once(dtype, training, axis):
    x, dy = (normal(4, 3, 3, seed=i, mean=10.0, dtype=dtype) for i in range(2))
    layer, single = (BatchNorm(3, axis=axis).train(training) for _ in range(2))
    y, dx, *gradients = step(layer, x, dy)
    y32, dx32, *gradients32 = step(single, x.float(), dy.float())
    assert torch.equal(y, y32.to(x.dtype))
    assert torch.equal(dx, dx32.to(x.dtype))
    for one, other in zip(
        [*gradients, *layer.buffers()], [*gradients32, *single.buffers()], strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_parameters_in_float64_compute_in_float64(dtype):
    x = normal(7, 3, dtype=dtype)
    layer, expected = BatchNorm(3).double(), reference.BatchNorm(3)
    assert layer(x).dtype == x.dtype
    expected.forward(x.double().numpy(), training=True)
    close(layer.running_mean, expected.running_mean)
    close(layer.running_var, expected.running_var)


def test_parameters_in_half_precision_compute_in_float32():
    x = normal(7, 3, mean=10.0, dtype="bfloat16")
    layer, single = BatchNorm(3).bfloat16(), BatchNorm(3)
    assert torch.equal(layer(x), single(x.float()).bfloat16())
    assert layer.n_batches.dtype == torch.int64
    close(layer.running_mean, single.running_mean, EPS["bfloat16"])


def test_integers_become_the_default_float():
    y = BatchNorm(1)(torch.tensor([[1], [3]]))
    assert y.dtype == torch.float32
    close(y, [[-1.0], [1.0]], 1e-5)


# --- edges ----------------------------------------------------------------------------
ENOUGH = (
    "BatchNorm.forward: `x` must hold at least {} values for each feature in training; "
    "got {}."
)


@pytest.mark.parametrize(("unbiased", "m"), [(True, 1), (True, 0), (False, 0)])
def test_training_wants_enough_values(unbiased, m):
    layer = BatchNorm(3, unbiased=unbiased)
    kind, text = refusal(layer, torch.ones(m, 3))
    assert kind is ValueError
    assert text.startswith(ENOUGH.format(1 + unbiased, m))
    assert layer.n_batches == 0
    close(layer.running_var, np.ones(3), 0)


def test_one_value_gives_beta_with_the_biased_variance():
    layer = BatchNorm(2, unbiased=False, momentum=0.5)
    with torch.no_grad():
        layer.beta.copy_(torch.tensor([3.0, 4.0]))
    y, dx, dgamma, dbeta = step(layer, torch.tensor([[5.0, 7.0]]), torch.ones(1, 2))
    assert y.tolist() == [[3.0, 4.0]]
    assert dx.tolist() == [[0.0, 0.0]]
    assert (dgamma.tolist(), dbeta.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert layer.running_mean.tolist() == [2.5, 3.5]
    assert layer.running_var.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2, 2), (4, 3, 0)])
def test_an_empty_batch_passes_in_testing(shape):
    y, dx, dgamma, dbeta = step(
        BatchNorm(3).eval(), torch.ones(shape), torch.ones(shape)
    )
    assert y.shape == dx.shape == shape
    assert dgamma.tolist() == dbeta.tolist() == [0.0] * 3


def test_a_feature_without_variance_gives_beta_and_a_finite_gradient():
    layer = BatchNorm(3)
    x = torch.cat([torch.full((8, 1), 5.0), normal(8, 2, dtype="float32")], dim=1)
    y, *gradients = step(layer, x, normal(8, 3, dtype="float32"))
    # One rounding of x, divided by the square root of eps.
    close(y[:, 0], np.zeros(8), 0, 5.0 * EPS["float32"] / layer.eps**0.5)
    assert all(torch.isfinite(g).all() for g in gradients)
    assert layer.running_var[0] == pytest.approx(0.9)


@pytest.mark.parametrize("eps", [1e-5, 0.0])
def test_nan_stays_in_its_feature(eps):
    x = normal(6, 3)
    layer, clean = BatchNorm(3, eps=eps).double(), BatchNorm(3, eps=eps).double()
    expected = clean(x)
    x[2, 1] = torch.nan
    y = layer(x)
    for _ in range(2):
        assert torch.isnan(y[:, 1]).all()
        close(y[:, ::2], expected[:, ::2])
        for name in ("running_mean", "running_var"):
            values = getattr(layer, name)
            assert torch.isnan(values[1])
            close(values[::2], getattr(clean, name)[::2])
        x = normal(6, 3, seed=1)
        y, expected = layer.eval()(x), clean.eval()(x)


# --- the module -----------------------------------------------------------------------
def test_state_is_saved_and_copied():
    layer = BatchNorm(3, momentum=None)
    layer(normal(6, 3, dtype="float32"))
    other = BatchNorm(3)
    other.load_state_dict(layer.state_dict())
    twin = copy.deepcopy(layer)
    names = ["gamma", "beta", "running_mean", "running_var", "n_batches"]
    assert list(layer.state_dict()) == names
    for name in names:
        assert torch.equal(getattr(layer, name), getattr(other, name))
        assert torch.equal(getattr(layer, name), getattr(twin, name))
        assert getattr(layer, name) is not getattr(twin, name)
    assert (twin.momentum, twin.training) == (None, True)


def test_repr_shows_the_settings():
    text = "BatchNorm(3, momentum=0.99, eps=0.001, unbiased=False, axis=-1)"
    assert repr(BatchNorm.like("keras", 3)) == text
    text = "BatchNorm(2, momentum=None, eps=1e-05, unbiased=True, axis=1"
    layer = BatchNorm.like("paper", 2, synchronized=False)
    assert repr(layer) == f"{text}, synchronized=False)"


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ({"n_features": 0}, ValueError, "`n_features` must be at least 1; got 0."),
        ({"n_features": 2.0}, TypeError, "`n_features` must be an integer; got 2.0."),
        (
            {"momentum": 1.5},
            ValueError,
            "`momentum` must be in [0, 1], or None; got 1.5.",
        ),
        ({"momentum": "a"}, TypeError, "`momentum` must be a real number; got 'a'."),
        (
            {"eps": -1},
            ValueError,
            "`eps` must be a finite number of at least 0; got -1.0.",
        ),
        ({"unbiased": 1}, TypeError, "`unbiased` must be True or False; got 1."),
        (
            {"axis": 2},
            ValueError,
            "`axis` must be 1, or -1 for channels last; got 2.",
        ),
        (
            {"synchronized": None},
            TypeError,
            "`synchronized` must be True or False; got None.",
        ),
    ],
    ids=str,
)
def test_layer_refuses(settings, kind, text):
    arguments = {"n_features": 3} | settings
    assert refusal(BatchNorm, **arguments) == (kind, f"BatchNorm: {text}")


@pytest.mark.parametrize(
    ("axis", "x", "kind", "text"),
    [
        (1, [1.0], TypeError, "be a torch.Tensor; got list. Pass torch.as_tensor(x)."),
        (
            1,
            torch.ones(2, 3) * 1j,
            TypeError,
            "hold real numbers; got dtype torch.complex64.",
        ),
        (1, torch.ones(3), ValueError, "have shape (n, 3, ...); got (3,)."),
        (1, torch.ones(2, 4), ValueError, "have shape (n, 3, ...); got (2, 4)."),
        (-1, torch.ones(2, 3, 4), ValueError, "have shape (n, ..., 3); got (2, 3, 4)."),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_forward_refuses(axis, x, kind, text, training):
    layer = BatchNorm(3, axis=axis).train(training)
    assert refusal(layer, x) == (kind, f"BatchNorm.forward: `x` must {text}")


def test_like_refuses_another_name():
    text = (
        "BatchNorm.like: `convention` must be one of 'torch', 'keras', 'paper'; got "
        "'Keras'. Did you mean 'keras'?"
    )
    assert refusal(BatchNorm.like, "Keras", 3) == (ValueError, text)


# --- folding --------------------------------------------------------------------------
class Residual(nn.Module):
    """Two convolutions, and what enters them added to what leaves them."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn1 = BatchNorm(4)
        self.act = activations.SELU()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(4)

    def forward(self, x):
        h = self.act(self.bn1(self.conv1(x)))
        return torch.relu(x + self.bn2(self.conv2(h)))


def seasoned(model):
    """Give each batch normalization values that training could have left."""
    torch.manual_seed(0)
    for module in model.modules():
        if "BatchNorm" in type(module).__name__:
            for parameter in module.parameters():
                nn.init.normal_(parameter)
            if module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.1, 2.0)
    return model.eval()


FOLDED = {
    "Linear": ([nn.Linear(3, 4), BatchNorm(4)], (5, 3)),
    "Linear, features last": ([nn.Linear(3, 4), BatchNorm(4, axis=-1)], (5, 2, 3)),
    "no bias": ([nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU()], (5, 3)),
    "not affine": ([nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False)], (5, 3)),
    "Conv1d": ([nn.Conv1d(3, 4, 2), BatchNorm.like("torch", 4)], (5, 3, 6)),
    "Conv2d": (
        [nn.Conv2d(3, 4, 2, padding=1, bias=False), nn.BatchNorm2d(4)],
        (2, 3, 5, 6),
    ),
    "Conv3d": ([nn.Conv3d(3, 4, 2), nn.BatchNorm3d(4)], (2, 3, 4, 3, 3)),
    "groups and dilation": (
        [nn.Conv2d(4, 6, 2, groups=2, dilation=2, stride=2), BatchNorm(6)],
        (2, 4, 7, 7),
    ),
    "transposed": ([nn.ConvTranspose2d(3, 4, 2), nn.BatchNorm2d(4)], (2, 3, 4, 4)),
    "transposed, groups": (
        [nn.ConvTranspose1d(4, 6, 3, groups=2, stride=2, bias=False), BatchNorm(6)],
        (2, 4, 5),
    ),
    "synchronized": ([nn.Linear(3, 4), nn.SyncBatchNorm(4)], (5, 3)),
    "nested": (
        [
            nn.Sequential(nn.Linear(3, 4), BatchNorm(4), nn.ReLU(), nn.Dropout()),
            nn.Sequential(nn.Sequential(nn.Linear(4, 2)), nn.BatchNorm1d(2)),
            BatchNorm(2),
        ],
        (5, 3),
    ),
    "residual": (
        [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Residual(), Residual(), nn.Flatten()],
        (2, 3, 6, 6),
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folded_model_has_the_same_outputs_and_no_batch_norm(name):
    layers, shape = FOLDED[name]
    model = seasoned(nn.Sequential(*copy.deepcopy(layers)).double())
    before = copy.deepcopy(model.state_dict())
    x = normal(*shape)
    expected = model(x)
    folded = ours.fold_batch_norm(model)
    close(folded(x), expected)
    kinds = [type(module).__name__ for module in folded.modules()]
    assert not [kind for kind in kinds if "BatchNorm" in kind]
    assert (type(folded) is nn.Sequential) == (name != "residual")
    assert not any(module.training for module in folded.modules())
    assert all(p.requires_grad for p in folded.parameters())
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert set(folded.state_dict()) <= {*before, *(f"{k}.bias" for k in owners(model))}


def owners(model):
    """Return the names of the modules that have a weight."""
    return [k.removesuffix(".weight") for k in model.state_dict() if "weight" in k]


def test_named_layers_keep_their_names():
    layers = OrderedDict(fc=nn.Linear(2, 3), bn=BatchNorm(3), act=nn.ReLU())
    folded = ours.fold_batch_norm(nn.Sequential(layers).eval())
    assert [name for name, _ in folded.named_children()] == ["fc", "act"]


def test_folded_weights_are_those_of_the_reference_rounded_once():
    model = seasoned(nn.Sequential(nn.Linear(30, 40), BatchNorm(40)))
    expected = reference.BatchNorm(40)
    for name in ("gamma", "beta"):
        expected.parameters[name] = getattr(model[1], name).detach().double().numpy()
    for name in ("running_mean", "running_var"):
        setattr(expected, name, getattr(model[1], name).double().numpy())
    weight, bias = (p.detach().double().numpy() for p in model[0].parameters())
    weight, bias = reference.fold_batch_norm(weight.T, bias, expected)
    (layer,) = ours.fold_batch_norm(model)
    half_a_step = EPS["float32"] / 2 * (1 + 1e-6)
    close(layer.weight, weight.T, half_a_step, 0)
    close(layer.bias, bias, half_a_step, 0)


class Net(nn.Module):
    """A linear layer, a batch normalization, and a way through them."""

    def __init__(self, way, **layers):
        super().__init__()
        self.way = way
        self.fc, self.bn, self.act = nn.Linear(3, 3), BatchNorm(3), nn.ReLU()
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.way(self, x)


def straight(net, x):
    return net.bn(net.fc(x))


LINEAR = (
    "`bn` must directly follow a layer that is linear (Linear, Conv1d, Conv2d, Conv3d, "
    "ConvTranspose1d, ConvTranspose2d, ConvTranspose3d); got "
)
FITS = "`bn` must normalize the outputs of "
REFUSED = [
    (Net(lambda net, x: net.bn(net.act(net.fc(x)))), LINEAR + "ReLU `act`."),
    (Net(straight, fc=nn.Dropout()), LINEAR + "Dropout `fc`."),
    (Net(lambda net, x: net.bn(torch.relu(net.fc(x)))), LINEAR + "the step `relu`."),
    (Net(lambda net, x: net.bn(x)), LINEAR + "the step `x`."),
    (
        Net(lambda net, x: net.bn(net.fc(net.fc(x)))),
        "`fc` must be used once; got 2 times.",
    ),
    (
        Net(lambda net, x: net.bn(net.fc(x)) @ net.fc.weight),
        "`fc` must be used once; got 2 times.",
    ),
    (
        Net(lambda net, x: net.bn(net.fc2(net.bn(net.fc(x)))), fc2=nn.Linear(3, 3)),
        "`bn` must be used once; got 2 times.",
    ),
    (
        Net(lambda net, x: (h := net.fc(x)) + net.bn(h)),
        "`bn` alone must use the output of Linear `fc`; got `add` too.",
    ),
    (
        Net(straight, bn=nn.BatchNorm1d(3, track_running_stats=False)),
        "`bn` must have running values; got track_running_stats=False.",
    ),
    (
        Net(straight, bn=nn.BatchNorm2d(3)),
        f"{FITS}Linear `fc`; got {nn.BatchNorm2d(3)}.",
    ),
    (Net(straight, bn=BatchNorm(4)), f"{FITS}Linear `fc`; got {BatchNorm(4)}."),
    (
        Net(straight, fc=nn.Conv1d(3, 3, 1), bn=BatchNorm(3, axis=-1)),
        f"{FITS}Conv1d `fc`; got {BatchNorm(3, axis=-1)}.",
    ),
    (
        Net(straight, fc=nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))),
        LINEAR + "ParametrizedLinear `fc`.",
    ),
    (Net(lambda net, x: net.fc(x)), "`model` must have a BatchNorm; got none."),
    (
        Net(lambda net, x: net.bn(net.fc(x)) if x.sum() > 0 else x),
        "`model` must be one that torch.fx can trace, without branches that depend on "
        "data; got TraceError: symbolically traced variables cannot be used as inputs "
        "to control flow",
    ),
]


@pytest.mark.parametrize(("model", "text"), REFUSED)
def test_folding_refuses_with_a_reason(model, text):
    text = f"fold_batch_norm: {text}"
    assert refusal(ours.fold_batch_norm, model.eval()) == (ValueError, text)


def test_folding_refuses_what_is_no_model_ready_for_it():
    model = Net(straight)
    text = (
        "fold_batch_norm: `model` must be in eval mode; got training mode{}. Call "
        "model.eval()."
    )
    assert refusal(ours.fold_batch_norm, model) == (ValueError, text.format(""))
    model.eval().bn.train()
    got = text.format(" of `bn`")
    assert refusal(ours.fold_batch_norm, model) == (ValueError, got)
    text = "fold_batch_norm: `model` must be a torch.nn.Module; got list."
    assert refusal(ours.fold_batch_norm, [model]) == (TypeError, text)
    model.eval().fc.register_forward_hook(lambda *_: None)
    text = "fold_batch_norm: `fc` must have no hooks; got some."
    assert refusal(ours.fold_batch_norm, model) == (ValueError, text)


def test_weights_used_by_two_layers_may_be_folded():
    model = nn.Sequential(nn.Linear(3, 3), BatchNorm(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    seasoned(model.double())
    x = normal(5, 3)
    close(ours.fold_batch_norm(model)(x), model(x))


# --- final statistics -----------------------------------------------------------------
def net_of(*norms):
    """Return a net with dropout and each of the batch normalizations in it."""
    layers = [nn.Dropout(0.5)]
    for norm in norms:
        layers += [nn.Linear(3, 3), norm, nn.Dropout(0.5), nn.Tanh()]
    return nn.Sequential(*layers).double()


def test_final_statistics_are_the_moments_of_all_rows():
    net = net_of(BatchNorm(3, momentum=0.3), nn.BatchNorm1d(3, momentum=0.3))
    net[5].eval()
    modes = [module.training for module in net.modules()]
    x = normal(40, 3)
    net(x)
    parameters = copy.deepcopy(list(net.parameters()))
    ours.final_statistics(net, [x])
    assert [module.training for module in net.modules()] == modes
    assert (net[2].momentum, net[6].momentum) == (0.3, 0.3)
    assert net[2].n_batches == net[6].num_batches_tracked == 1
    assert all(map(torch.equal, net.parameters(), parameters))
    first = net[1](x)  # without dropout
    second = net[5](torch.tanh(copy.deepcopy(net[2]).train()(first)))
    for norm, h in ((net[2], first), (net[6], second)):
        close(norm.running_mean, h.mean(0))
        close(norm.running_var, h.var(0))


def test_final_statistics_average_over_batches():
    net = net_of(BatchNorm(3))
    x = normal(40, 3)
    ours.final_statistics(net, (batch for batch in x.split(10)))
    parts = net[1](x).view(4, 10, 3)
    close(net[2].running_mean, parts.mean((0, 1)))
    close(net[2].running_var, parts.var(1).mean(0))


def test_final_statistics_leave_all_as_it_was_on_an_error():
    net = net_of(BatchNorm(3), nn.BatchNorm1d(3))
    net(normal(10, 3))
    net[3].eval()
    before = copy.deepcopy(net.state_dict())
    text = "final_statistics: `batches` must hold at least 1; got none."
    assert refusal(ours.final_statistics, net, []) == (ValueError, text)
    with pytest.raises(RuntimeError):  # of the linear layer
        ours.final_statistics(net, [normal(10, 3), normal(10, 2)])
    after = net.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert (net[2].momentum, net[6].momentum) == (0.9, 0.1)
    assert [not module.training for module in net].index(True) == 3


def test_final_statistics_refuse():
    name = "final_statistics"
    text = f"{name}: `model` must be a torch.nn.Module; got int."
    assert refusal(ours.final_statistics, 1, []) == (TypeError, text)
    text = f"{name}: `model` must have a BatchNorm with running values; got none."
    for model in (nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)):
        assert refusal(ours.final_statistics, model, []) == (ValueError, text)
    for batches in (torch.ones(4, 2), 3):
        text = (
            f"{name}: `batches` must be an iterable of inputs; got "
            f"{type(batches).__name__}. Pass [x] for one batch."
        )
        result = refusal(ours.final_statistics, BatchNorm(2), batches)
        assert result == (TypeError, text)
