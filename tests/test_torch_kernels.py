"""Fused kernels: values, gradients, masks, strides, and what must not be stored.

Each test that runs a kernel does so on a GPU, or in Triton's interpreter where
``TRITON_INTERPRET=1`` is set before Python starts, as ``make unit`` does for this file.
The others hold everywhere: they are about the way without kernels.
"""

import importlib
import sys

import numpy as np
import pytest
from helpers import EPS, POINTS, close, gradient_tolerance, refusal, value_tolerance
from philox import numbers, philox
from scipy import stats

from companion import activations as reference
from companion import dropout as dropout_reference

torch = pytest.importorskip("torch")
TorchDispatchMode = importlib.import_module(
    "torch.utils._python_dispatch"
).TorchDispatchMode
tree_leaves = importlib.import_module("torch.utils._pytree").tree_leaves
kernels = importlib.import_module("companion.torch.kernels")
fused = importlib.import_module("companion.torch._fused")
columns = importlib.import_module("companion.torch._fused_columns")
plain = importlib.import_module("companion.torch.activations")
normalization = importlib.import_module("companion.torch.normalization")

# The interpreter computes with NumPy, which warns where a GPU goes on as IEEE 754 says.
pytestmark = [
    pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
]
DTYPES = "float16", "bfloat16", "float32"
NAMES = [name for name in kernels.ACTIVATIONS if name != "identity"]


@pytest.fixture
def device():
    """Return where kernels run."""
    name = "cuda" if torch.cuda.is_available() else "cpu"
    if not kernels.applies(torch.empty(0, device=name)):
        pytest.skip(
            "needs a GPU, or TRITON_INTERPRET=1 and Triton; `make unit` sets it"
        )
    return name


def tensor(values, dtype="float32", device="cpu"):
    return torch.tensor(np.array(values)).to(device, getattr(torch, dtype))


def normal(*shape, seed=0, mean=0.0):
    return np.random.default_rng([seed, *shape]).normal(mean, 1.0, shape)


def array(tensor):
    return tensor.detach().double().cpu().numpy()


def gradients(function, upstream, *tensors):
    """Return the value and the gradients of all tensors."""
    leaves = [t.detach().requires_grad_() for t in tensors]
    y = function(*leaves)
    return y, *torch.autograd.grad(y, leaves, upstream)


# --- what a mask is made of -----------------------------------------------------------
def test_philox_answers_as_its_authors_say():
    # The vectors of the authors' library Random123 for philox4x32 with ten rounds.
    zeros = philox([[0]] * 4, [0, 0], rounds=10)[:, 0]
    ones = philox([[0xFFFFFFFF]] * 4, [0xFFFFFFFF] * 2, rounds=10)[:, 0]
    assert [*map(hex, zeros)] == [
        "0x6627e8d5",
        "0xe169c58d",
        "0xbc57ac4c",
        "0x9b00dbd8",
    ]
    assert [*map(hex, ones)] == ["0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]


@pytest.mark.parametrize("seed", [0, 77, -5, 2**63 - 2])
def test_a_mask_is_that_of_philox(seed, device):
    n, kept = 20_001, 50_000
    x = torch.ones(n, device=device)
    given = torch.tensor([seed], device=device)
    y = fused.activate_and_drop(x, given, "identity", 0, 0, kept, 0.0, 1.0, 0.0)
    expected = numbers(seed, n, places=1024, rounds=7) < kept
    np.testing.assert_array_equal(array(y), expected)
    # One round less, or another order of the elements, would be seen.
    for places, rounds in ((1024, 6), (512, 7)):
        other = numbers(seed, n, places=places, rounds=rounds) < kept
        assert np.mean(array(y) != other) > 0.3


def test_both_passes_have_one_mask(device):
    z = tensor(normal(3000), device=device)
    generator = torch.Generator(device).manual_seed(0)
    y, dz = gradients(
        lambda z: kernels.selu_alpha_dropout(z, 0.3, generator=generator),
        torch.ones_like(z),
        z,
    )
    value, a, b = -1.7580993408473766, *dropout_reference.alpha_dropout_affine(0.3)
    dropped = np.isclose(array(y), a * value + b, rtol=1e-3)
    np.testing.assert_array_equal(array(dz) == 0, dropped)


def test_shares_and_neighbors_are_those_of_chance(device):
    n, rate = 2**16, 0.25
    generator = torch.Generator(device).manual_seed(1)
    x = torch.ones(n, device=device)
    drop = importlib.import_module("companion.torch.dropout").dropout
    masks = [array(drop(x, rate, generator=generator)) > 0 for _ in range(2)]
    assert stats.binomtest(int(masks[0].sum()), n, 1 - rate).pvalue > 1e-6
    again = generator.manual_seed(1)
    np.testing.assert_array_equal(array(drop(x, rate, generator=again)) > 0, masks[0])
    # Elements that share a counter, neighbors, and two draws: no correlation.
    others = [np.roll(masks[0], shift) for shift in (1, 1024, 8192)] + [masks[1]]
    for other in others:
        correlation = np.corrcoef(masks[0], other)[0, 1]
        assert abs(correlation) < stats.norm.isf(1e-6) / np.sqrt(n)


def test_a_generator_that_comes_back_draws_the_same(device):
    z = tensor(normal(100), device=device)
    generator = torch.Generator(device).manual_seed(3)
    state = generator.get_state()
    first = kernels.selu_alpha_dropout(z, 0.2, generator=generator)
    second = kernels.selu_alpha_dropout(z, 0.2, generator=generator)
    generator.set_state(state)
    third = kernels.selu_alpha_dropout(z, 0.2, generator=generator)
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


# --- values and gradients -------------------------------------------------------------
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_an_activation_is_the_reference(name, dtype, device):
    z = tensor(POINTS, dtype, device)
    upstream = tensor(np.resize([1.0, 2.0, 0.5, -1.0], POINTS.shape), dtype, device)
    constants = kernels._constants("test", name, {})
    y, dz = gradients(
        lambda z: fused.activate_and_drop(
            z, None, name, *kernels._two(constants), 0, 0.0, 1.0, 0.0
        ),
        upstream,
        z,
    )
    z64 = array(z)
    close(
        array(y),
        getattr(reference, name)(z64),
        *value_tolerance(name, z64, dtype),
        name,
    )
    expected = array(upstream) * getattr(reference, f"{name}_grad")(z64)
    known = ~np.isnan(z64)
    relative, absolute = gradient_tolerance(name, z64, dtype)
    absolute = 2 * np.broadcast_to(absolute, z64.shape)  # upstream is up to 2
    close(array(dz)[known], expected[known], relative, absolute[known], name)
    assert y.dtype == dz.dtype == z.dtype


@pytest.mark.parametrize("point", [{}, {"alpha": 1.2, "scale": 1.1, "mean": 0.5}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_selu_alpha_dropout_is_the_two_functions(point, dtype, device):
    z = tensor(normal(50, 60), dtype, device)
    upstream = tensor(normal(50, 60, seed=1), dtype, device)
    rate = 1 / 8  # no rounding
    generator = torch.Generator(device).manual_seed(0)
    seed = torch.randint(-(2**63), 2**63 - 1, (1,), generator=generator, device=device)
    y, dz = gradients(
        lambda z: kernels.selu_alpha_dropout(
            z, rate, generator=generator.manual_seed(0), **point
        ),
        upstream,
        z,
    )
    kept = numbers(seed.item(), 3000, places=1024, rounds=7) < 7 / 8 * 65536
    mask = torch.tensor(kept.reshape(50, 60))
    z64, upstream64 = z.double().cpu(), upstream.double().cpu()
    expected = gradients(
        lambda z: kernels.selu_alpha_dropout(z, rate, mask=mask, **point),
        upstream64,
        z64,
    )
    eps = EPS[dtype]
    for got, exact in zip((y, dz), expected, strict=True):
        close(array(got), array(exact), 8 * eps, 8 * eps, "selu_alpha_dropout")


LAYOUTS = {
    "as it is": lambda x: x,
    "transposed": lambda x: x.t(),
    "every second": lambda x: x[::2, ::3],
    "broadcast": lambda x: x[:1].expand(7, -1),
    "one number": lambda x: x[0, 0],
    "none": lambda x: x[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_stride_and_size(layout, device):
    z = LAYOUTS[layout](tensor(normal(30, 40), device=device))
    upstream = LAYOUTS[layout](tensor(normal(30, 40, seed=1), device=device))
    y, dz = gradients(kernels.selu, upstream, z)
    expected = gradients(plain.selu, upstream.double(), z.double())
    for got, exact in zip((y, dz), expected, strict=True):
        assert got.shape == z.shape
        close(array(got), array(exact), 8 * EPS["float32"], 1e-30, layout)
    # The mask is the same in both passes, in whatever order memory has.
    y, dz = gradients(
        lambda z: kernels.selu_alpha_dropout(z.clone() * 0 + 1, 0.5), upstream, z
    )
    y, dz = gradients(lambda z: kernels.selu_alpha_dropout(z, 0.5), upstream * 0 + 1, z)
    value, a, b = -1.7580993408473766, *dropout_reference.alpha_dropout_affine(0.5)
    dropped = np.isclose(array(y), a * value + b, rtol=1e-5)
    np.testing.assert_array_equal(array(dz) == 0, dropped)


SHAPES = [
    ((40, 7), 1),
    ((200, 3), -1),
    ((4, 5, 3, 2), 1),
    ((4, 3, 5), -1),
    ((9, 130), 1),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_batch_norm_and_activation(shape, axis, dtype, device):
    x = tensor(normal(*shape, mean=3.0), dtype, device)
    upstream = tensor(normal(*shape, seed=1), dtype, device)
    n = shape[axis]
    layers = [kernels.BatchNormActivation(n, "selu", axis=axis) for _ in range(2)]
    for layer in layers:
        layer.gamma.data = tensor(normal(n, seed=2))
        layer.beta.data = tensor(normal(n, seed=3))
    layers[0].to(device)
    layers[1].double()
    eps = EPS[dtype]
    size = x.numel() // n
    for training in (True, False):
        outputs = []
        for layer, x_, upstream_ in zip(
            layers,
            (x, x.double().cpu()),
            (upstream, upstream.double().cpu()),
            strict=True,
        ):
            layer.train(training)
            outputs.append(
                gradients(lambda x, *_, layer=layer: layer(x), upstream_, x_)
                + tuple(
                    torch.autograd.grad(layer(x_), [layer.gamma, layer.beta], upstream_)
                )
            )
        for got, exact, terms in zip(*outputs, (1, 1, size, size), strict=True):
            scale = np.abs(array(exact)).max()
            # Sums have as many roundings of float32 as terms; the rest has a few.
            tolerance = 16 * eps + 4 * np.sqrt(terms) * EPS["float32"]
            close(array(got), array(exact), tolerance, tolerance * scale, str(training))
    for name in ("running_mean", "running_var"):
        pair = [array(getattr(layer, name)) for layer in layers]
        close(*pair, 1e-5, 1e-6, name)


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_variance_of_numbers_far_from_0(channels_last, device):
    x = tensor(normal(16, 3, 8, 8, mean=1e4), device=device)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    one, zero = torch.ones(3, device=device), torch.zeros(3, device=device)
    _, mean, var = columns.normalize_and_activate(
        x, one, zero, 1, 1e-5, "relu", 0.0, 0.0
    )
    over = (0, 2, 3)
    close(array(mean), array(x).mean(over), 2 * EPS["float32"], 0, "mean")
    close(array(var), array(x).var(over), 1e-5, 0, "variance")
    # The mean of squares minus the square of the mean would be off by more than itself.
    naive = (x * x).mean(over) - x.mean(over) ** 2
    assert (np.abs(array(naive) - array(var)) > array(var)).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu"])
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_bias_and_activation(name, shape, axis, dtype, device):
    x = tensor(normal(*shape), dtype, device)
    bias = tensor(normal(shape[axis], seed=1), dtype, device)
    upstream = tensor(normal(*shape, seed=2), dtype, device)

    def function(x, bias):
        return kernels.bias_activation(x, bias, name, axis=axis)

    got = gradients(function, upstream, x, bias)
    doubles = (t.double().cpu() for t in (upstream, x, bias))
    expected = gradients(function, *doubles)
    for actual, exact in zip(got, expected, strict=True):
        assert actual.dtype == x.dtype
        scale = 1 + np.abs(array(exact)).max()
        close(array(actual), array(exact), 8 * EPS[dtype], 8 * EPS[dtype] * scale, name)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 3, 2, 2), (2, 3, 0, 2)])
def test_no_element_at_all(shape, device):
    x = torch.empty(shape, device=device)
    bias = torch.ones(shape[1], device=device)

    def function(x, bias):
        return kernels.bias_activation(x, bias, axis=1)

    y, dx, dbias = gradients(function, x, x, bias)
    assert y.shape == dx.shape == shape
    assert (dbias == 0).all()


# --- as operators ---------------------------------------------------------------------
def test_operators_are_what_compilers_expect(device):
    z = tensor(normal(6, 5), device=device).requires_grad_()
    x = tensor(normal(6, 5, 2, 2), device=device).requires_grad_()
    one = torch.ones(5, device=device, requires_grad=True)
    seed = torch.tensor([7], device=device)
    f = "selu", 1.6, 1.05
    calls = [
        (fused.activate_and_drop, (z, seed, *f, 50_000, -1.7, 1.1, 0.1)),
        (columns.normalize_and_activate, (x, one, one, 1, 1e-5, *f)),
        (columns.map_and_activate, (x, None, None, one, 1, *f)),
        (columns.map_and_activate, (x, one.detach(), one, one, 1, *f)),
    ]
    for operator, arguments in calls:
        torch.library.opcheck(operator, arguments)


# A module of PyTorch's own does what this warning of its own is about.
@pytest.mark.filterwarnings("ignore:<class 'torch.autograd.function.Function'>")
@pytest.mark.parametrize("with_kernels", [True, False])
@pytest.mark.parametrize("name", ["selu", "dropout", "bias", "norm", "layer"])
def test_a_compiled_function_is_the_function(name, with_kernels, request):
    device = request.getfixturevalue("device") if with_kernels else "cpu"
    dtype = "float32" if with_kernels else "float64"
    layers = {
        "norm": kernels.BatchNormActivation(5, "elu"),
        "layer": kernels.SELUAlphaDropout(0.2),
    }
    functions = {
        "selu": kernels.selu,
        "dropout": lambda z: kernels.selu_alpha_dropout(z, 0.2),
        "bias": lambda z: kernels.bias_activation(z, z[0], "gelu"),
    }
    function = (
        layers[name].to(device).to(getattr(torch, dtype))
        if name in layers
        else functions[name]
    )
    torch.compiler.reset()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    z, upstream = (tensor(normal(30, 5, seed=i), dtype, device) for i in range(2))
    results = []
    for f in (function, compiled):
        torch.manual_seed(0)
        results.append(gradients(f, upstream, z))
    for plain_one, compiled_one in zip(*results, strict=True):
        assert torch.equal(plain_one, compiled_one)
    if name in ("dropout", "layer"):
        assert not torch.equal(compiled(z), compiled(z))  # each call has its own mask


def test_a_compiled_function_takes_a_generator(device):
    generator, z = torch.Generator(device), torch.ones(100, device=device)
    compiled = torch.compile(
        lambda z: kernels.selu_alpha_dropout(z, 0.5, generator=generator),
        backend="aot_eager",
    )
    masks = [compiled(z) for seed in (1, 1, 2) if generator.manual_seed(seed)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_the_same_bits_in_every_run(device):
    x = tensor(normal(3000, 20), device=device)
    upstream = tensor(normal(3000, 20, seed=1), device=device)
    layer = kernels.BatchNormActivation(20, "gelu").to(device)
    torch.use_deterministic_algorithms(True)
    try:
        runs = [gradients(layer, upstream, x) for _ in range(3)]
    finally:
        torch.use_deterministic_algorithms(False)
    for run in runs[1:]:
        assert all(map(torch.equal, run, runs[0]))


def test_a_mask_is_not_stored(device):
    z = tensor(normal(1000), device=device).requires_grad_()
    saved = []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        kernels.selu_alpha_dropout(z, 0.1)
    assert sorted(t.numel() for t in saved) == [1, 1000]
    assert any(t.data_ptr() == z.data_ptr() for t in saved)


class Traffic(TorchDispatchMode):
    """Count the bytes of all tensors that an operation reads or writes."""

    def __init__(self):
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        output = operation(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, output)) if torch.is_tensor(x)]
        if not operation.is_view and "empty" not in operation.__name__:
            self.n_bytes += sum(x.nbytes for x in tensors)
        return output


@pytest.mark.parametrize(
    "layer",
    [
        kernels.selu,
        lambda z: kernels.selu_alpha_dropout(z, 0.1),
        lambda z: kernels.bias_activation(z, z.detach()[0], "gelu"),
        lambda z: kernels.BatchNormActivation(8, "elu").to(z.device)(z),
    ],
)
def test_five_passes_over_memory_and_no_more(layer, device):
    # z is read and y written, then z and dy are read and dz is written.
    z = tensor(normal(20_000, 8), device=device).requires_grad_()
    with Traffic() as traffic:
        y = layer(z)
        torch.autograd.grad(y, z, y.detach())
    assert 5 <= traffic.n_bytes / z.nbytes < 5.01


# --- on a GPU alone -------------------------------------------------------------------
@pytest.mark.gpu
def test_a_replayed_graph_draws_new_masks():
    generator = torch.Generator("cuda")
    z = torch.ones(1000, device="cuda", requires_grad=True)
    layers = [
        kernels.SELUAlphaDropout(0.5),
        kernels.SELUAlphaDropout(0.5, generator=generator),
    ]

    def step():
        y = torch.stack([layer(z) for layer in layers])
        return y, torch.autograd.grad(y.sum(), z)[0]

    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    graph.register_generator_state(generator)
    with torch.cuda.stream(stream):
        step()  # compiles the kernels, which a capture must not
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph):
        y, dz = step()
    masks = []
    for _ in range(2):
        graph.replay()
        kept = array(y) > 0
        np.testing.assert_array_equal(array(dz) > 0, kept.any(axis=0))
        masks.append(kept)
    for one, other in zip(*masks, strict=True):
        assert 0.4 < np.mean(one != other) < 0.6


@pytest.mark.gpu
def test_more_elements_than_32_bits_count():
    n, rate = 2**31 + 5000, 0.5
    z = torch.ones(n, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    y = kernels.selu_alpha_dropout(z, rate)
    (dz,) = torch.autograd.grad(y, z, torch.ones_like(z))
    for end in (slice(5000), slice(-5000, None)):
        assert torch.equal(y[end] > 0, dz[end] != 0)
        assert 0.45 < (y[end] > 0).float().mean() < 0.55
    assert not torch.equal(y[:5000], y[-5000:])


@pytest.mark.gpu
def test_more_elements_in_columns_than_32_bits_count():
    x = torch.randn(2**21 + 3, 2**10, device="cuda", dtype=torch.bfloat16)
    layer = kernels.BatchNormActivation(2**10, "relu").cuda()
    y, end = layer(x), slice(-100, None)
    mean = x.mean(0, dtype=torch.float32)
    var = sum(((part - mean) ** 2).sum(0) for part in x.split(2**16)) / len(x)
    expected = ((x[end] - mean) * (var + layer.eps).rsqrt()).relu()
    close(array(y[end]), array(expected), 2 * EPS["bfloat16"], 1e-3, "last rows")


@pytest.mark.gpu
def test_nothing_but_the_output_takes_memory():
    z = torch.ones(2**24, device="cuda", requires_grad=True)
    kernels.selu_alpha_dropout(z, 0.1)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    y = kernels.selu_alpha_dropout(z, 0.1)
    assert torch.cuda.max_memory_allocated() - before < 1.01 * y.nbytes


# --- without kernels ------------------------------------------------------------------
def test_float64_has_derivatives_of_any_order():
    z = tensor(normal(3, 4), "float64").requires_grad_()
    mask = torch.tensor(normal(3, 4, seed=1) > 0)
    calls = [
        lambda z: kernels.selu(z, 1.2, 1.1),
        lambda z: kernels.selu_alpha_dropout(z, 0.2, mask=mask),
        lambda z: kernels.bias_activation(z, z[0], "gelu"),
        lambda z: kernels.BatchNormActivation(4, "silu").double()(z),
    ]
    for function in calls:
        assert torch.autograd.gradcheck(function, z)
        assert torch.autograd.gradgradcheck(function, z)
    assert not kernels.applies(z)


def test_kernels_need_a_compiler_and_triton_before_tensorflow(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("CC", "/usr/bin/cc")
    assert fused._usable()
    monkeypatch.setattr("triton.__version__", "3.3.1")
    assert not fused._usable()
    monkeypatch.undo()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    assert not fused._usable()
    monkeypatch.setenv("CC", "/usr/bin/cc")
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    assert fused._usable()
    monkeypatch.delitem(sys.modules, "triton")
    assert not fused._usable()


def test_at_rate_0_and_out_of_training_it_is_selu():
    z = tensor(normal(50))
    layer = kernels.SELUAlphaDropout(0.3)
    for y in (
        layer.eval()(z),
        kernels.selu_alpha_dropout(z, 0.0),
        kernels.selu_alpha_dropout(z, 0.3, training=False),
    ):
        close(array(y), array(plain.selu(z)), 4 * EPS["float32"], 1e-30, "selu")


def test_what_is_refused():
    x, bias = torch.ones(2, 3), torch.ones(3)
    calls = [
        (
            lambda: kernels.bias_activation(x, torch.ones(2)),
            "one entry for each feature",
        ),
        (lambda: kernels.bias_activation(x, bias, "swish"), "`activation` must be"),
        (lambda: kernels.bias_activation(x, bias, axis=0), "`axis` must be"),
        (lambda: kernels.bias_activation(x, bias, "elu", alpha=np.inf), "finite"),
        (lambda: kernels.BatchNormActivation(3, "swish"), "`activation` must be"),
        (lambda: kernels.selu_alpha_dropout(x, 1.0), "`rate` must be"),
    ]
    for call, message in calls:
        kind, text = refusal(call)
        assert kind is ValueError
        assert message in text
    kind, text = refusal(kernels.bias_activation, x, bias, "leaky_relu", slope=0.1)
    assert kind is TypeError
    assert "must be its own (alpha); got `slope`." in text
