"""The activations as PyTorch modules and Keras layers."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from backends import FRAMEWORKS, backend_named
from helpers import EPS, close, gradient_tolerance, public, value_tolerance

#: Each class with other arguments than its defaults, and its function with the same.
LAYERS = [
    ("LeakyReLU", {"alpha": 0.2}, "leaky_relu", {"alpha": 0.2}),
    ("PReLU", {"alpha": 0.4}, "prelu", {"alpha": 0.4}),
    (
        *("RReLU", {"lower": -0.5, "upper": 0.25}),
        *("rrelu", {"lower": -0.5, "upper": 0.25, "training": False}),
    ),
    ("ELU", {"alpha": 1.5}, "elu", {"alpha": 1.5}),
    ("CELU", {"alpha": 1.5}, "celu", {"alpha": 1.5}),
    (
        *("SELU", {"alpha": 1.5, "scale": 1.25}),
        *("selu", {"alpha": 1.5, "scale": 1.25}),
    ),
    ("GELU", {"approximate": True}, "gelu", {"approximate": True}),
]
NAMES = [name for name, *_ in LAYERS]
Z = np.array([[-3.0, -1.0, -0.5, 0.0], [0.25, 1.0, 2.0, -20.0]])


def build(name, backend, **arguments):
    """Return a layer that is not in training."""
    layer = getattr(backend.module, name)(**arguments)
    return layer.eval() if backend.name == "torch" else layer


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_every_public_layer_is_compared(backend):
    assert public(backend_named(backend).module, inspect.isclass) == set(NAMES)


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize(("name", "arguments", "function", "given"), LAYERS)
def test_layer_is_its_function(name, arguments, function, given, backend):
    backend = backend_named(backend)
    f, z = backend.function(function), backend.tensor(Z, "float32")
    y = build(name, backend, **arguments)(z)
    # The slope that is a weight has been rounded to float32, the constant has not.
    relative = EPS["float32"] if name == "PReLU" else 0.0
    close(backend.array(y), backend.array(f(z, **given)), relative, 0.0, name)


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize(("name", "function"), [(row[0], row[2]) for row in LAYERS])
def test_layer_has_the_defaults_of_its_function(name, function, backend):
    backend = backend_named(backend)
    arguments = inspect.signature(getattr(backend.module, name)).parameters
    for argument, of_function in inspect.signature(
        backend.function(function)
    ).parameters.items():
        if argument in arguments and of_function.default is not inspect.Parameter.empty:
            assert arguments[argument].default == of_function.default


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "GELU"])
def test_layer_refuses_a_bad_constant_by_name(name, backend):
    layer = getattr(backend_named(backend).module, name)
    argument = "upper" if name == "RReLU" else "alpha"
    with pytest.raises(TypeError) as caught:
        layer(**{argument: "a"})
    assert str(caught.value) == f"{name}: `{argument}` must be a real number; got 'a'."
    bound = " above 0" if name == "CELU" else ""
    with pytest.raises(ValueError, match=f"{name}: `{argument}` must be a .*{bound};"):
        layer(**{argument: np.inf})


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize(
    ("name", "arguments", "kind", "message"),
    [
        ("CELU", {"alpha": 0}, ValueError, "a finite number above 0; got 0.0"),
        ("GELU", {"approximate": "tanh"}, TypeError, "True or False; got 'tanh'"),
        ("RReLU", {"lower": 0.5}, ValueError, "`lower` must not be above `upper`"),
    ],
)
def test_layer_refuses_what_its_function_does(name, arguments, kind, message, backend):
    layer = getattr(backend_named(backend).module, name)
    with pytest.raises(kind, match=f"{name}: .*{message}"):
        layer(**arguments)


def compare(backend, ours, theirs, name):
    """Require two layers to agree in value and gradient, as functions do."""
    finite = Z[Z != 0]
    z, one = (backend.tensor(a, "float32") for a in (finite, np.ones_like(finite)))
    mine = backend.value_and_gradient(ours, z, one)
    other = backend.value_and_gradient(theirs, z, one)
    tolerances = value_tolerance, gradient_tolerance
    for a, b, tolerance in zip(mine, other, tolerances, strict=True):
        relative, absolute = tolerance(name, finite, "float32")
        absolute = absolute + 4 * EPS["float32"]
        close(backend.array(a), backend.array(b), relative, absolute, name)


# --- PyTorch --------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_module_is_that_of_torch(name):
    backend = backend_named("torch")
    theirs = getattr(backend.framework.nn, name)().eval()
    compare(backend, build(name, backend), theirs, name.lower())


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 2), (5, 3, 2, 4)])
def test_torch_slopes_are_along_axis_1(shape):
    backend = backend_named("torch")
    torch = backend.framework
    z = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    slopes = torch.tensor([0.5, -0.25, 1.5])
    ours, theirs = backend.module.PReLU(3), torch.nn.PReLU(3)
    with torch.no_grad():
        ours.alpha.copy_(slopes)
        theirs.weight.copy_(slopes)
    y, expected = ours(z), theirs(z)
    assert torch.equal(y, expected)
    y.square().sum().backward()
    expected.square().sum().backward()
    # Sums of at most 40 terms, each rounded, whose sizes add up to this.
    size = (2 * expected * z).abs().sum().item()
    got, wanted = ours.alpha.grad.numpy(), theirs.weight.grad.numpy()
    close(got, wanted, 0.0, 40 * EPS["float32"] * size, "gradient of the slopes")


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_torch_one_slope_suits_any_shape(shape):
    backend = backend_named("torch")
    z = -backend.framework.ones(shape)
    assert backend.framework.equal(backend.module.PReLU()(z), 0.25 * z)


def test_torch_slopes_that_do_not_fit_are_refused():
    backend = backend_named("torch")
    with pytest.raises(ValueError, match=r"shape \(5, 4\); got shape \(3,\)"):
        backend.module.PReLU(3)(backend.framework.ones(5, 4))
    with pytest.raises(
        TypeError, match=r"PReLU: `z` must be a torch\.Tensor; got list"
    ):
        backend.module.PReLU(3)([1.0])
    for n in (0, 1.0):
        with pytest.raises((TypeError, ValueError), match="PReLU: `n_channels` must"):
            backend.module.PReLU(n)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (), (2, 3, 4)])
def test_torch_each_element_may_have_its_slope(shape):
    functions = pytest.importorskip("companion.torch.activations")
    import torch

    z = -torch.rand(shape)
    slopes = torch.rand(shape) + 1
    assert torch.equal(functions.prelu(z, slopes), slopes * z)
    assert functions.rrelu(z, training=True).shape == z.shape


@pytest.mark.parametrize("name", ["softsign", "silu", "gelu", "mish", "prelu"])
def test_torch_function_has_second_derivatives(name):
    functions = pytest.importorskip("companion.torch.activations")
    import torch

    more = [torch.tensor([0.25, 0.5, 2.0, 3.0])] if name == "prelu" else []

    def function(z):
        return getattr(functions, name)(z, *more)

    z = torch.tensor(Z)[:, :3].repeat(1, 2)[:, :4].add(0.1).requires_grad_()
    assert torch.autograd.gradgradcheck(function, z)
    rows = torch.func.vmap(torch.func.grad(lambda row: function(row).sum()))(z)
    torch.testing.assert_close(rows, *torch.autograd.grad(function(z).sum(), z))


def test_torch_module_says_what_it_is():
    module = backend_named("torch").module
    assert repr(module.SELU(1.5, 1.25)) == "SELU(alpha=1.5, scale=1.25)"
    assert repr(module.RReLU(0, 1)) == "RReLU(lower=0.0, upper=1.0)"
    assert repr(module.PReLU(3)) == "PReLU(n_channels=3)"
    assert repr(module.GELU()) == "GELU(approximate=False)"


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
@pytest.mark.parametrize("name", NAMES)
def test_torch_module_can_be_copied_and_pickled(name, again):
    backend = backend_named("torch")
    module = build(name, backend)
    z = backend.tensor(Z, "float32")
    other = again(module)
    assert repr(other) == repr(module)
    assert backend.framework.equal(other(z), module(z))


def test_torch_slopes_are_in_the_state():
    backend = backend_named("torch")
    one, other = backend.module.PReLU(3, alpha=0.5), backend.module.PReLU(3)
    assert list(one.state_dict()) == ["alpha"]
    other.load_state_dict(one.state_dict())
    assert other.alpha.tolist() == [0.5, 0.5, 0.5]


def test_torch_rrelu_follows_train_and_eval():
    backend = backend_named("torch")
    torch = backend.framework
    z = -torch.ones(1000)
    layer = backend.module.RReLU(generator=torch.Generator().manual_seed(1))
    expected = backend.function("rrelu")(z, training=True, **backend.source(1))
    first, second = layer(z), layer(z)
    assert torch.equal(first, expected)
    assert (first != second).float().mean() > 0.9
    assert len(layer.eval()(z).unique()) == 1
    with pytest.raises(TypeError, match=r"RReLU: `generator` must be a torch\.Gen"):
        backend.module.RReLU(generator=1)


# --- Keras ----------------------------------------------------------------------------
@pytest.fixture
def keras():
    """Keras, with the usual dtype policy restored."""
    backend_named("tensorflow")
    import keras

    yield keras
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("name", "arguments", "theirs"),
    [
        ("LeakyReLU", {}, {"negative_slope": 0.01}),
        ("ELU", {"alpha": 1.5}, {"alpha": 1.5}),
    ],
)
def test_layer_is_that_of_keras(keras, name, arguments, theirs):
    backend = backend_named("tensorflow")
    theirs = getattr(keras.layers, name)(**theirs)
    compare(backend, build(name, backend, **arguments), theirs, name.lower())


def test_keras_slopes_are_along_the_last_axis(keras):
    backend = backend_named("tensorflow")
    tf = backend.framework
    z = tf.random.stateless_normal((5, 4, 3), (1, 2))
    ours = backend.module.PReLU(shared=False)
    theirs = keras.layers.PReLU(shared_axes=[1])
    for layer in (ours, theirs):
        layer.build(z.shape)
        layer.trainable_weights[0].assign(
            np.reshape([0.5, -0.25, 1.5], layer.trainable_weights[0].shape)
        )
    assert ours.alpha.shape == (3,)
    np.testing.assert_array_equal(ours(z), theirs(z))
    gradients = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(z) ** 2)
        gradients.append(
            tape.gradient(loss, layer.trainable_weights[0]).numpy().ravel()
        )
    # Sums of 20 terms, each rounded, whose sizes add up to this.
    size = np.abs(2 * theirs(z).numpy() * z.numpy()).sum()
    close(*gradients, 0.0, 20 * EPS["float32"] * size, "gradient of the slopes")


def test_keras_slope_is_one_weight_by_default(keras):
    layer = backend_named("tensorflow").module.PReLU()
    layer.build((None, 5))
    assert [w.shape for w in layer.trainable_weights] == [()]
    with pytest.raises(TypeError, match="PReLU: `shared` must be True or False; got 1"):
        type(layer)(shared=1)


def test_keras_rrelu_draws_in_training_only(keras):
    backend = backend_named("tensorflow")
    z = -np.ones(1000, "float32")
    one, other = (backend.module.RReLU(seed=1) for _ in range(2))
    first = one(z, training=True).numpy()
    np.testing.assert_array_equal(first, other(z, training=True))
    assert np.mean(first != one(z, training=True).numpy()) > 0.9
    assert len(np.unique(one(z))) == 1
    traced = backend.framework.function(lambda z: one(z, training=True))
    assert np.mean(traced(z).numpy() != traced(z).numpy()) > 0.9


def network(keras, module):
    """Return a net with every layer, for inputs of 4 numbers."""
    layers = [
        *(module.PReLU(shared=False), module.PReLU(alpha=0.5), module.LeakyReLU(0.2)),
        *(module.RReLU(0.25, 0.75, seed=1), module.ELU(1.5), module.CELU(2)),
        *(module.SELU(1.5, 1.25), module.GELU(approximate=True)),
    ]
    start = keras.initializers.GlorotUniform(seed=1)
    dense = keras.layers.Dense(3, kernel_initializer=start)
    return keras.Sequential([keras.Input((4,)), dense, *layers])


# Keras asks TensorFlow's tensors for an array in a way that NumPy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_keras_net_trains_and_is_saved(keras, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    net = network(keras, backend_named("tensorflow").module)
    assert net.output_shape == (None, 3)
    assert net.layers[1].compute_dtype == policy.removeprefix("mixed_")
    before = [w.numpy() for w in net.trainable_weights]
    net.compile("sgd", "mse")
    # Mixed precision leaves out the first steps, until its scaled loss fits float16.
    net.fit(np.resize(Z, (64, 4)), np.ones((64, 3)), epochs=8, verbose=0)
    after = [w.numpy() for w in net.trainable_weights]
    assert len(before) == 4
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))

    net.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    for mine, other in zip(net.layers, loaded.layers, strict=True):
        assert type(mine) is type(other)
        assert mine.get_config() == other.get_config()
    z = Z.astype("float32")
    np.testing.assert_array_equal(loaded(z), net(z))


@pytest.mark.parametrize("name", NAMES)
def test_keras_layer_keeps_shape_and_mask(keras, name):
    layer = build(name, backend_named("tensorflow"))
    assert layer.compute_output_shape((None, 3, 2)) == (None, 3, 2)
    assert layer(keras.Input((3, 2))).shape == (None, 3, 2)
    assert layer.supports_masking
