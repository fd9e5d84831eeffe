"""Nets from recipes, in all three backends: what is built, and that it is the same."""

import functools
import importlib
import itertools
import math
import warnings

import numpy as np
import pytest
from backends import FRAMEWORKS, backend_named
from helpers import EPS, refusal
from nets import normal, rng, rngs
from weights import NAMED, check_weights

from companion import mlp as nets
from companion.mlp import mlp
from companion.recipes import OPTIONS, recommend

pytestmark = pytest.mark.usefixtures("floating_point_errors")

BACKENDS = ["numpy", *FRAMEWORKS]
backends = pytest.mark.parametrize("backend", BACKENDS)
frameworks = pytest.mark.parametrize("framework", FRAMEWORKS)

#: The activations that are classes of their own, by those names.
CLASSES = {
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "elu": "ELU",
    "celu": "CELU",
    "selu": "SELU",
    "gelu": "GELU",
}
#: What a framework calls a layer otherwise than the reference.
THEIRS = {
    "torch": {"Dense": "Linear"},
    "tensorflow": {"LayerNorm": "LayerNormalization"},
}

DROPOUT = {"regularizer": ("early_stopping", "dropout")}
ALPHA_DROPOUT = {"regularizer": ("alpha_dropout",)}
#: Wishes, and what follows each of the two dense layers in front of the output.
CASES = {
    "default": ({}, ["selu"], ["selu"]),
    "self-normalizing, dropout": (
        ALPHA_DROPOUT,
        ["selu", "AlphaDropout"],
        ["selu", "AlphaDropout"],
    ),
    "batch": ({"normalization": "batch"}, ["BatchNorm", "elu"], ["BatchNorm", "elu"]),
    "batch, dropout": (
        {"normalization": "batch"} | DROPOUT,
        ["BatchNorm", "elu"],
        ["BatchNorm", "elu", "Dropout"],
    ),
    "layer": ({"normalization": "layer"}, ["LayerNorm", "elu"], ["LayerNorm", "elu"]),
    "layer, dropout": (
        {"normalization": "layer"} | DROPOUT,
        ["LayerNorm", "elu", "Dropout"],
        ["LayerNorm", "elu", "Dropout"],
    ),
    "dropout": (DROPOUT, ["elu", "Dropout"], ["elu", "Dropout"]),
    "penalties": ({"regularizer": ("l1", "l2")}, ["selu"], ["selu"]),
} | {name: ({"activation": name}, [name], [name]) for name in OPTIONS["activation"]}
SIZES = {"n_inputs": 6, "n_outputs": 3, "widths": [5, 4]}


def recipe(**wishes):
    return recommend(depth=2, **wishes)


def quiet_recipe(**wishes):
    """Return the recipe of wishes that contradict each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return recipe(**wishes)


def build(backend, recipe, seed=0, **arguments):
    """Return a backend's net."""
    arguments = SIZES | arguments
    if backend == "numpy":
        return mlp(recipe, **arguments, rng=rng(seed))
    source = backend_named(backend).source(seed)
    return backend_named(backend).topic("mlp").mlp(recipe, **arguments, **source)


def layers(net):
    return net.layers if hasattr(net, "layers") else list(net)


def kinds(net):
    """Return what each layer is: its class, or its function."""
    found = []
    for layer in layers(net):
        kind = type(layer).__name__
        if kind == "Activation":
            kind = layer.name if hasattr(layer, "f_grad") else layer.function
        found.append(kind)
    return found


def weights(backend, net):
    """Return the matrices of the dense layers as (fan_in, fan_out), and the biases."""
    if backend == "numpy":
        return [(layer.parameters["W"], layer.parameters["b"]) for layer in net.dense]
    if backend == "torch":
        dense = [layer for layer in net if hasattr(layer, "in_features")]
        pairs = [(layer.weight.T, layer.bias) for layer in dense]
        return [(W.detach().numpy(), b.detach().numpy()) for W, b in pairs]
    dense = [layer for layer in net.layers if hasattr(layer, "kernel")]
    return [tuple(layer.get_weights()) for layer in dense]


def trained(recipe, **arguments):
    """Return a net of the reference whose every parameter is a random number."""
    net = build("numpy", recipe, **arguments)
    for seed, layer in enumerate(net.trainable):
        for name, array in layer.parameters.items():
            layer.parameters[name] = array + 0.1 * normal(*array.shape, seed=seed)
        if isinstance(layer, nets.BatchNorm):
            layer.running_mean = 0.1 * normal(layer.n_features, seed=seed)
            layer.running_var = rng(seed).uniform(0.5, 2.0, layer.n_features)
    return net


def copy_weights(net, backend, twin):
    """Give a framework's net the parameters and running values of the reference's."""
    for layer, other in zip(net.layers, layers(twin), strict=True):
        arrays = list(getattr(layer, "parameters", {}).values())
        if isinstance(layer, nets.BatchNorm):
            arrays += [layer.running_mean, layer.running_var, np.array(0)]
        if backend == "torch":
            tensors = other.state_dict()
            if isinstance(layer, nets.Dense):
                arrays[0] = arrays[0].T
            for tensor, array in zip(tensors.values(), arrays, strict=True):
                tensor.copy_(backend_named("torch").tensor(array, "float64"))
        elif arrays:
            if isinstance(layer, nets.PReLU):
                arrays = [arrays[0].reshape(())]
            other.set_weights(arrays)


def output(backend, net, x, training):
    if backend == "numpy":
        return net.forward(x, training=training)
    x = backend_named(backend).tensor(x, "float32")
    if backend == "torch":
        return net.train(training)(x).detach().numpy().astype(float)
    return net(x, training=training).numpy().astype(float)


# --- what is built --------------------------------------------------------------------
@backends
@pytest.mark.parametrize("case", CASES)
def test_layers_are_those_of_the_recipe_in_order(case, backend):
    wishes, *hidden = CASES[case]
    net = build(backend, quiet_recipe(**wishes))
    expected = []
    for names in hidden:
        expected += ["Dense", *names]
    classes = {"prelu": "PReLU", "rrelu": "RReLU"} if backend == "numpy" else CLASSES
    names = classes | THEIRS.get(backend, {})
    assert kinds(net) == [names.get(kind, kind) for kind in [*expected, "Dense"]]
    shapes = [(W.shape, b.shape) for W, b in weights(backend, net)]
    assert shapes == [((6, 5), (5,)), ((5, 4), (4,)), ((4, 3), (3,))]


@backends
@pytest.mark.parametrize("widths", [[5], (5,), np.array([5])])
def test_one_hidden_layer_is_enough(widths, backend):
    net = build(backend, recipe(normalization="batch", **DROPOUT), widths=widths)
    assert len(kinds(net)) == 5
    assert kinds(net)[-2] == "Dropout"


@backends
@pytest.mark.parametrize(
    ("wishes", "rate"), [(DROPOUT, 0.2), (ALPHA_DROPOUT, 0.05)], ids=["plain", "alpha"]
)
def test_rate_has_a_default_for_each_kind_of_dropout(wishes, rate, backend):
    for given, expected in ((None, rate), (0.5, 0.5), (0, 0.0)):
        net = build(backend, recipe(**wishes), rate=given)
        drops = [layer for layer in layers(net) if "Dropout" in type(layer).__name__]
        assert [layer.arguments["rate"] for layer in drops] == [expected] * 2


@backends
@pytest.mark.parametrize("wishes", [DROPOUT, ALPHA_DROPOUT, {"activation": "rrelu"}])
def test_what_is_random_in_training_repeats_with_its_seed(wishes, backend):
    wanted, x = quiet_recipe(**wishes), normal(50, 6)
    net, again = build(backend, wanted), build(backend, wanted)
    first = output(backend, net, x, training=True)
    np.testing.assert_array_equal(first, output(backend, again, x, training=True))
    assert not np.array_equal(first, output(backend, net, x, training=True))
    tested = output(backend, net, x, training=False)
    np.testing.assert_array_equal(tested, output(backend, again, x, training=False))


@frameworks
def test_every_layer_norm_divides_as_the_reference_does(framework):
    wanted = recipe(normalization="layer")
    reference = build("numpy", wanted).layers[1].eps
    layer = layers(build(framework, wanted))[1]
    assert (layer.eps if framework == "torch" else layer.epsilon) == reference == 1e-5


# --- weights --------------------------------------------------------------------------
@backends
@pytest.mark.parametrize("name", OPTIONS["initializer"])
def test_weights_have_the_variance_of_the_initializer(name, backend):
    wanted = quiet_recipe(initializer=name)
    net = build(backend, wanted, n_inputs=50, n_outputs=40, widths=[30, 60])
    *hidden, last = weights(backend, net)
    distribution = name.partition("_")[2]
    names = [name, name, f"glorot_{distribution}"]
    eps = EPS["float64" if backend == "numpy" else "float32"]
    for (W, b), name in zip([*hidden, last], names, strict=True):
        scale, mode, distribution = NAMED[name]
        fan = W.shape[0] if mode == "fan_in" else sum(W.shape) / 2
        check_weights(W, scale / fan, distribution, eps=eps)
        np.testing.assert_array_equal(b, 0)


@backends
def test_layers_differ_and_seeds_repeat(backend):
    same = {"n_inputs": 5, "n_outputs": 5, "widths": [5, 5, 5]}
    one, again, other = (
        [W for W, _ in weights(backend, build(backend, recipe(), seed, **same))]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    drawn = np.concatenate([one, other])
    for a, b in itertools.combinations(drawn, 2):
        assert not np.isclose(a, b, rtol=1e-6).all()


DEEP = {"n_inputs": 100, "n_outputs": 10, "widths": [100] * 20}


@backends
def test_twenty_layers_of_selu_keep_mean_and_variance(backend):
    # The copies say how far the mean and variance of one net of this size are off.
    moments = moments_of_copies()
    spread = moments.std(axis=0, ddof=1)
    if backend == "numpy":
        assert (abs(moments.mean(axis=0) - [0, 1]) < 5 * spread / math.sqrt(20)).all()
        return
    net = build(backend, recommend(depth=20), **DEEP)
    h = backend_named(backend).tensor(normal(100, 100), "float32")
    for layer in layers(net)[:-1]:
        h = layer(h)
    h = backend_named(backend).array(h.detach() if backend == "torch" else h)
    assert (abs([h.mean(), h.var()] - moments.mean(axis=0)) < 5 * spread).all()


@functools.cache
def moments_of_copies():
    """Return mean and variance behind the last activation, for each of 20 copies."""
    net = mlp(recommend(depth=20), **DEEP, rng=rngs(20))
    net.layers.pop()
    h = net.forward(normal(100, 100))
    return np.stack([h.mean(axis=(1, 2)), h.var(axis=(1, 2))], axis=1)


# --- the same in all three ------------------------------------------------------------
def rounding(outputs):
    """Return how far float32 may be off: in sums that cancel, by parts of the largest.

    Three dense layers round at most 6 products and 6 sums each, and normalization and
    activation as often again.
    """
    return 3 * 2 * 12 * EPS["float32"] / 2 * np.abs(outputs).max()


@frameworks
@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_reference(case, framework):
    wanted = quiet_recipe(**CASES[case][0])
    net, twin = trained(wanted), build(framework, wanted)
    copy_weights(net, framework, twin)
    x = normal(20, 6).astype(np.float32)
    random = {"dropout", "alpha_dropout"} & {*wanted.regularizer.value}
    for training in [False] if random or case == "rrelu" else [False, True]:
        expected = output("numpy", net, x.astype(float), training)
        got = output(framework, twin, x, training)
        np.testing.assert_allclose(got, expected, rtol=0, atol=rounding(expected))
        assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("case", CASES)
def test_copies_are_nets_of_their_own(case):
    wanted = quiet_recipe(**CASES[case][0])
    x = normal(7, 6)
    copies = mlp(wanted, **SIZES, rng=rngs())
    alone = [mlp(wanted, **SIZES, rng=r) for r in rngs()]
    for training in (True, False):
        y = copies.forward(x, training=training)
        expected = [net.forward(x, training=training) for net in alone]
        # The sums of a matrix product may be taken in another order.
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)
    assert copies.backward(np.ones_like(y)).shape == (3, 7, 6)


@frameworks
@pytest.mark.parametrize("case", ["batch", "batch, dropout"])
def test_batch_normalization_folds(case, framework):
    wanted = quiet_recipe(**CASES[case][0])
    net, twin = trained(wanted), build(framework, wanted)
    copy_weights(net, framework, twin)
    x = normal(20, 6)
    expected = output(framework, twin, x, training=False)
    fold = backend_named(framework).topic("normalization").fold_batch_norm
    folded = fold(twin)
    assert "BatchNorm" not in kinds(folded)
    assert len(kinds(folded)) == len(kinds(twin)) - 2
    got = output(framework, folded, x, training=False)
    np.testing.assert_allclose(got, expected, rtol=0, atol=rounding(expected))


# --- PyTorch --------------------------------------------------------------------------
def test_torch_net_is_float32_whatever_the_default():
    torch = backend_named("torch").framework
    torch.set_default_dtype(torch.float64)
    try:
        net = build("torch", quiet_recipe(normalization="batch", activation="prelu"))
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_torch_draws_from_one_generator_alone():
    torch = backend_named("torch").framework
    make = backend_named("torch").topic("mlp").mlp
    before = torch.get_rng_state()
    build("torch", recipe())
    assert torch.equal(torch.get_rng_state(), before)
    drawn = []
    with torch.random.fork_rng():
        for _ in range(2):
            torch.manual_seed(5)
            drawn.append(make(recipe(), **SIZES)[0].weight.detach().numpy())
    np.testing.assert_array_equal(*drawn)


def test_torch_net_lies_on_the_default_device():
    torch = backend_named("torch").framework
    make = backend_named("torch").topic("mlp").mlp
    with torch.device("meta"):
        net = make(recipe(normalization="layer"), **SIZES)
    assert {p.device.type for p in net.parameters()} == {"meta"}


# --- Keras ----------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("case", CASES)
def test_keras_net_is_built_and_can_be_saved(case, tmp_path):
    net = build("tensorflow", quiet_recipe(**CASES[case][0]))
    assert net.built
    assert net.input_shape == (None, 6)
    net.save(tmp_path / "net.keras")
    keras = importlib.import_module("keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert kinds(loaded) == kinds(net)
    x = normal(4, 6)
    np.testing.assert_array_equal(
        output("tensorflow", loaded, x, False), output("tensorflow", net, x, False)
    )


def test_keras_net_without_a_seed_follows_that_of_keras():
    make = backend_named("tensorflow").topic("mlp").mlp
    keras = importlib.import_module("keras")
    drawn = []
    for seed in (5, 5, None):
        if seed is not None:
            keras.utils.set_random_seed(seed)
        drawn.append(make(recipe(), **SIZES).get_weights()[0])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.isclose(drawn[1], drawn[2]).any()


# --- the functions without arguments --------------------------------------------------
@frameworks
def test_activation_takes_each_function_without_a_class_and_no_other(framework):
    Activation = backend_named(framework).topic("mlp").Activation
    assert set(Activation.FUNCTIONS) == {*nets.ACTIVATIONS} - {*CLASSES}
    names = ", ".join(map(repr, Activation.FUNCTIONS))
    text = f"Activation: `function` must be one of {names}; got 'rleu'. "
    expected = (ValueError, text + "Did you mean 'relu'?")
    assert refusal(Activation, "rleu") == expected


# --- refusals -------------------------------------------------------------------------
@backends
@pytest.mark.parametrize("architecture", ["conv", "skip", "recurrent"])
def test_other_architectures_are_refused(architecture, backend):
    text = (
        "mlp: `recipe` must be for the architecture 'dense', a plain stack of dense "
        f"layers, which is what is built; got {architecture!r}."
    )
    other = recommend(architecture=architecture, depth=2)
    assert refusal(build, backend, other) == (ValueError, text)


@backends
@pytest.mark.parametrize(
    "other", [None, "selu", {"architecture": "dense"}, recommend(depth=1).activation]
)
def test_what_is_no_recipe_is_refused(other, backend):
    text = (
        f"mlp: `recipe` must be a Recipe; got {type(other).__name__}. Pass "
        "companion.recipes.recommend(...)."
    )
    assert refusal(build, backend, other) == (TypeError, text)


BAD = [
    ({"n_inputs": 0}, ValueError, "mlp: `n_inputs` must be at least 1; got 0."),
    ({"n_inputs": 2.0}, TypeError, "mlp: `n_inputs` must be an integer; got 2.0."),
    ({"n_outputs": 0}, ValueError, "mlp: `n_outputs` must be at least 1; got 0."),
    ({"n_outputs": "3"}, TypeError, "mlp: `n_outputs` must be an integer; got '3'."),
    ({"widths": [5, 0]}, ValueError, "mlp: `widths` must be at least 1; got 0."),
    ({"widths": [5, True]}, TypeError, "mlp: `widths` must be an integer; got True."),
    *(
        (
            {"widths": widths},
            ValueError,
            "mlp: `widths` must hold the units of each hidden layer, of one at least; "
            f"got {widths!r}.",
        )
        for widths in ([], 5, "55", [[5], [4]])
    ),
    (
        {"rate": 0.5},
        ValueError,
        "mlp: `rate` must be None for a recipe without dropout; got 0.5. Pass "
        "recommend(regularizer=('dropout',), ...).",
    ),
]


@backends
@pytest.mark.parametrize(("arguments", "kind", "text"), BAD)
def test_arguments_are_refused(arguments, kind, text, backend):
    assert refusal(build, backend, recipe(), **arguments) == (kind, text)


@backends
def test_rates_are_those_of_the_dropout_layer(backend):
    text = "Dropout: `rate` must be in [0, 1); got 1."
    got = refusal(build, backend, recipe(**DROPOUT), rate=1)
    assert got[0] is ValueError
    assert got[1].startswith(text)


@backends
def test_two_kinds_of_dropout_are_refused(backend):
    both = quiet_recipe(regularizer=("alpha_dropout", "l2", "dropout"))
    text = (
        "mlp: `recipe` must name one kind of dropout at most; got 'alpha_dropout' and "
        "'dropout'."
    )
    assert refusal(build, backend, both) == (ValueError, text)


def test_sources_of_random_numbers_are_refused():
    bad = [
        (
            functools.partial(mlp, rng=0),
            "mlp: `rng` must be a numpy.random.Generator; got int. Pass "
            "rng=numpy.random.default_rng(seed).",
        ),
        (
            functools.partial(backend_named("torch").topic("mlp").mlp, generator=0),
            "mlp: `generator` must be a torch.Generator or None; got int. Pass "
            "generator=torch.Generator().manual_seed(seed).",
        ),
        (
            functools.partial(backend_named("tensorflow").topic("mlp").mlp, seed=0.5),
            "mlp: `seed` must be an integer; got 0.5.",
        ),
    ]
    for make, text in bad:
        assert refusal(make, recipe(), **SIZES) == (TypeError, text)
