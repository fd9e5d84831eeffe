"""Batch normalization as a Keras layer, beside the reference and beside Keras' own."""

import inspect

import numpy as np
import pytest
from helpers import EPS, close, public, refusal

from companion import normalization as reference

#: Keras asks TensorFlow's tensors for an array in a way that NumPy 2 deprecates.
old_array = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def ours(tf):
    import companion.tensorflow.normalization

    return companion.tensorflow.normalization


@pytest.fixture(scope="module")
def keras(ours):
    import keras

    return keras


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def arrays(values):
    return [np.asarray(value.numpy(), np.float64) for value in values]


def value_and_gradients(tf, layer, x, dy, training=True):
    """Return the output, and the gradients of the input, gamma and beta."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
    dy = tf.cast(dy, y.dtype)
    return y, *tape.gradient(y, [x, layer.gamma, layer.beta], output_gradients=dy)


def twins(ours, x, gamma, beta, dtype="float32", **arguments):
    """Return the reference's layer and a Keras layer, with the same parameters."""
    twin = reference.BatchNorm(len(gamma), **arguments)
    layer = ours.BatchNorm(**arguments, dtype=dtype)
    layer.build(x.shape)
    twin.parameters = {"gamma": gamma, "beta": beta}
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    return twin, layer


def said(call, *arguments, **keywords):
    """Return the error of a layer's call as :func:`refusal` does, without Keras' frame.

    Keras names the arguments that the layer received around our text, set in bold.
    """
    kind, text = refusal(call, *arguments, **keywords)
    return kind, text.partition("\x1b[1m")[2].partition("\x1b[0m")[0]


def test_every_public_name_is_tested(ours):
    assert public(ours) == {"final_statistics", "fold_batch_norm"}
    assert public(ours, inspect.isclass) == {"BatchNorm"}


# --- beside the reference -------------------------------------------------------------
#: Features in the same place, with axis 1 and with -1.
SHAPES = [(1, (8, 3)), (-1, (8, 3)), (1, (4, 3, 5, 2)), (-1, (4, 5, 2, 3))]


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("momentum", [0.7, None])
@pytest.mark.parametrize(("axis", "shape"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layer_is_that_of_the_reference(
    tf, ours, dtype, axis, shape, momentum, unbiased
):
    """In four batches of training and one of testing, with the gradients of each."""
    gamma, beta = 1 + normal(2, 3, seed=1) / 4
    settings = {"axis": axis, "momentum": momentum, "unbiased": unbiased}
    twin, layer = twins(ours, np.empty(shape), gamma, beta, dtype, **settings)
    for step, training in enumerate([True] * 4 + [False]):
        x, dy = 3 + 2 * normal(*shape, seed=step), normal(*shape, seed=9 + step)
        expected = twin.forward(x, training=training), twin.backward(dy)
        tensors = tf.constant(x, dtype), tf.constant(dy, dtype)
        found = arrays(value_and_gradients(tf, layer, *tensors, training=training))
        expected += twin.gradients["gamma"], twin.gradients["beta"]
        found += arrays([layer.running_mean, layer.running_var])
        expected += twin.running_mean, twin.running_var
        names = ("y", "dx", "dgamma", "dbeta", "running_mean", "running_var")
        for name, a, b in zip(names, found, expected, strict=True):
            # At most 40 numbers are summed, all of them below 10 in size.
            close(a, b, 0.0, 100 * EPS[dtype], f"{name}, {step}")
    assert layer.n_batches.numpy() == twin.n_batches == 4
    layer.reset()
    twin.reset()
    np.testing.assert_array_equal(layer.running_mean, twin.running_mean)
    np.testing.assert_array_equal(layer.running_var, twin.running_var)
    assert layer.n_batches.numpy() == 0


@pytest.mark.parametrize("compiled", [False, True])
def test_large_mean_costs_no_digits(tf, ours, compiled):
    """At mean 10000 the mean square has a relative error of 1e-7, of which 10 is."""
    x = np.float32(1e4 + normal(1000, 3))  # numbers that are float32 and float64
    dy = normal(1000, 3, seed=1)
    settings = {"momentum": 0.0, "eps": 0.0, "unbiased": False}
    twin, layer = twins(ours, x, np.ones(3), np.zeros(3), **settings)
    y, dx = twin.forward(np.float64(x), training=True), twin.backward(dy)
    f = tf.function(value_and_gradients, jit_compile=True) if compiled else None
    found = arrays((f or value_and_gradients)(tf, layer, tf.constant(x), dy))
    # A thousand terms are summed, one after another at worst.
    tolerance = 1000 * EPS["float32"]
    close(found[0], y, 0.0, tolerance, "y")
    close(found[1], dx, 0.0, tolerance, "dx")
    close(*arrays([layer.running_var, tf.constant(twin.running_var)]), tolerance, 0, "")
    close(*arrays([layer.running_mean, tf.constant(twin.running_mean)]), 1e-7, 0, "")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("policy", ["", "mixed_"])
def test_half_types_have_statistics_in_float32(tf, ours, policy, dtype):
    """Numbers whose squares float16 cannot hold, and whose sum it rounds."""
    x = tf.cast(500 + 100 * normal(1000, 3), dtype)
    layer = ours.BatchNorm(momentum=0.0, dtype=policy + dtype)
    y, dx, *_ = value_and_gradients(tf, layer, x, tf.cast(x, dtype))
    assert y.dtype == dx.dtype == dtype
    assert {v.dtype for v in layer.variables} == {"float32", "int64"}
    twin = reference.BatchNorm(3, momentum=0.0)
    expected = twin.forward(*arrays([x]), training=True)
    close(*arrays([y]), expected, EPS[dtype], 1e-4, "y")  # one rounding, of float32's
    close(*arrays([layer.running_var]), twin.running_var, 1e-4, 0.0, "running_var")
    np.testing.assert_array_equal(layer(tf.cast([[1, 2, 3]], "int32")).dtype, dtype)


@pytest.mark.parametrize("momentum", [0.9, None])
def test_xla_computes_the_same_and_nothing_is_traced_twice(tf, ours, momentum):
    """With a batch of unknown size: one graph for all sizes and all steps."""
    eager, compiled = (ours.BatchNorm(3, momentum=momentum) for _ in range(2))
    for layer in (eager, compiled):
        layer.build((None, 3))
    traces = []

    @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([None, 3])] * 2)
    def step(x, dy):
        traces.append(x)
        return value_and_gradients(tf, compiled, x, dy)

    for n in (8, 8, 5, 8):
        x, dy = (tf.constant(normal(n, 3, seed=n + i), "float32") for i in (0, 1))
        expected = value_and_gradients(tf, eager, x, dy)
        for a, b in zip(arrays(step(x, dy)), arrays(expected), strict=True):
            close(a, b, 0.0, 20 * EPS["float32"], "sums of eight numbers")
        for a, b in zip(*map(arrays, (compiled.weights, eager.weights)), strict=True):
            close(a, b, 0.0, 20 * EPS["float32"], "weights")
    assert len(traces) == 1
    assert compiled.n_batches.numpy() == 4


# --- beside Keras' own ----------------------------------------------------------------
@pytest.mark.parametrize(("axis", "shape"), SHAPES)
def test_training_run_is_that_of_keras(tf, ours, keras, axis, shape):
    """Twenty steps: output, gradients, moving statistics, and testing afterwards."""
    nets, start = [], keras.initializers.GlorotUniform(seed=1)
    for norm in (
        keras.layers.BatchNormalization(axis=axis),
        ours.BatchNorm.like("keras", axis=axis),
    ):
        out = keras.layers.Dense(2, kernel_initializer=start)
        layers = [norm, keras.layers.ReLU(), keras.layers.Flatten(), out]
        nets.append(keras.Sequential([keras.Input(shape[1:]), *layers]))
    optimizers = [keras.optimizers.SGD(0.1) for _ in nets]
    goal = tf.constant(normal(shape[0], 2, seed=1), "float32")
    for step in range(20):
        x = tf.constant(2 + normal(*shape, seed=step), "float32")
        results = []
        for net, optimizer in zip(nets, optimizers, strict=True):
            with tf.GradientTape() as tape:
                y = net(x, training=True)
                loss = tf.reduce_mean((y - goal) ** 2)
            gradients = tape.gradient(loss, net.trainable_weights)
            optimizer.apply_gradients(
                zip(gradients, net.trainable_weights, strict=True)
            )
            weights = [w for w in net.weights if w.dtype == "float32"]
            results.append(arrays([y, *gradients, *weights, net(x)]))
        for a, b in zip(*results, strict=True):
            # A step rounds some ten times, and gets what the steps before rounded.
            tolerance = 10 * (step + 1) * EPS["float32"]
            close(a, b, 0.0, tolerance * max(1, np.abs(b).max()), f"step {step}")
    assert (nets[1].layers[0].running_mean.numpy() > 0.1).all()


def test_like_takes_each_convention(ours):
    for name, row in reference.CONVENTIONS.items():
        layer = ours.BatchNorm.like(name, 4, eps=0.5)
        expected = row | {"eps": 0.5, "n_features": 4}
        assert {key: layer.get_config()[key] for key in expected} == expected
    text = (
        "BatchNorm.like: `convention` must be one of 'torch', 'keras', 'paper'; got "
        "'keas'. Did you mean 'keras'?"
    )
    assert refusal(ours.BatchNorm.like, "keas") == (ValueError, text)


def test_defaults_are_those_of_the_reference_but_for_the_axis(ours):
    of_twin = inspect.signature(reference.BatchNorm).parameters
    mine = inspect.signature(ours.BatchNorm).parameters
    for name in ("momentum", "eps", "unbiased"):
        assert mine[name].default == of_twin[name].default
    assert mine["axis"].default == -1


def test_frozen_layer_uses_its_running_values(tf, ours):
    layer = ours.BatchNorm()
    x = tf.constant(5 + normal(8, 3), "float32")
    layer(x, training=True)
    before, tested = arrays(layer.variables), layer(x).numpy()
    layer.trainable = False
    np.testing.assert_array_equal(layer(x, training=True), tested)
    for a, b in zip(arrays(layer.variables), before, strict=True):
        np.testing.assert_array_equal(a, b)
    layer.trainable = True
    assert (layer(x, training=True).numpy() != tested).all()


# --- edges ----------------------------------------------------------------------------
MEND = "Leave a last batch of so few rows out."


@pytest.mark.parametrize(("unbiased", "n"), [(True, 1), (True, 0), (False, 0)])
def test_too_few_rows_are_refused(tf, ours, unbiased, n):
    """Where the graph knows how many, at once; else when it runs, but not by XLA."""
    layer = ours.BatchNorm(3, unbiased=unbiased)
    layer.build((None, 3))
    x, before = tf.ones((n, 3)), arrays(layer.weights)
    text = (
        f"BatchNorm.call: `x` must hold at least {2 if unbiased else 1} values for "
        "each feature in training"
    )
    assert said(layer, x, training=True) == (ValueError, f"{text}; got {n}. {MEND}")

    def train(x):
        return layer(x, training=True)

    unknown = {"input_signature": [tf.TensorSpec([None, 3])]}
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.function(train, **unknown)(x)
    assert f"[{text}.]" in str(caught.value)
    for a, b in zip(arrays(layer.weights), before, strict=True):
        np.testing.assert_array_equal(a, b)
    tf.function(train, **unknown, jit_compile=True)(x)
    assert np.isnan(layer.running_var.numpy()).all()


def test_one_row_gives_beta_with_the_biased_variance(tf, ours):
    layer = ours.BatchNorm(2, unbiased=False, momentum=0.5)
    layer.build((None, 2))
    layer.beta.assign([3.0, -1.0])
    y, dx, dgamma, dbeta = value_and_gradients(
        tf, layer, tf.constant([[5.0, 7.0]]), tf.constant([[1.0, 2.0]])
    )
    np.testing.assert_array_equal(y, [[3.0, -1.0]])
    np.testing.assert_array_equal(dx, [[0.0, 0.0]])
    np.testing.assert_array_equal(dgamma, [0.0, 0.0])
    np.testing.assert_array_equal(dbeta, [1.0, 2.0])
    np.testing.assert_array_equal(layer.running_mean, [2.5, 3.5])
    np.testing.assert_array_equal(layer.running_var, [0.5, 0.5])


def test_empty_batch_in_testing_is_empty(tf, ours):
    assert ours.BatchNorm(3)(tf.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("n", "value"), [(100, 0.0), (100, 7.0), (100, 1e4 + 0.1), (1000, 123456789.0)]
)
def test_feature_without_variance_gives_beta(tf, ours, n, value):
    """Also where the sum of the rows is rounded, and their mean is not the value.

    About a mean that is 1192 off, as the last one is, the variance is below 0 by
    rounding.
    """
    layer = ours.BatchNorm(2)
    layer.build((None, 2))
    layer.beta.assign([3.0, -1.0])
    x = np.float32(normal(n, 2))
    x[:, 0] = value
    y, dx, *more = value_and_gradients(tf, layer, tf.constant(x), normal(n, 2))
    np.testing.assert_array_equal(y[:, 0], np.full(n, 3.0))
    for gradient in (dx, *more):
        assert np.isfinite(gradient.numpy()).all()
    assert np.std(y[:, 1]) == pytest.approx(1.0, rel=1e-4)  # eps is 1e-5


@pytest.mark.parametrize("compiled", [False, True])
def test_nan_stays_in_its_feature(tf, ours, compiled):
    layer = ours.BatchNorm(2, momentum=0.5)
    layer.build((None, 2))
    x = np.float32(normal(8, 2))
    other = layer(x, training=True)[:, 1]
    kept = [running.numpy()[1] for running in (layer.running_mean, layer.running_var)]
    layer.reset()
    x[3, 0] = np.nan
    f = tf.function(lambda x: layer(x, training=True), jit_compile=compiled)
    y = f(x).numpy()
    assert np.isnan(y[:, 0]).all()
    np.testing.assert_allclose(y[:, 1], other, rtol=1e-5, atol=1e-6)
    running = np.array([layer.running_mean.numpy(), layer.running_var.numpy()])
    assert np.isnan(running[:, 0]).all()
    np.testing.assert_allclose(running[:, 1], kept, rtol=1e-5)
    f(np.ones((8, 2), "float32"))
    running = np.array([layer.running_mean.numpy(), layer.running_var.numpy()])
    assert np.isnan(running[:, 0]).all()


BAD = [
    ({"n_features": 0}, ValueError, "`n_features` must be at least 1; got 0."),
    ({"n_features": 2.0}, TypeError, "`n_features` must be an integer; got 2.0."),
    ({"momentum": 2}, ValueError, "`momentum` must be in [0, 1], or None; got 2.0."),
    ({"momentum": "0"}, TypeError, "`momentum` must be a real number; got '0'."),
    ({"eps": -1}, ValueError, "`eps` must be a finite number of at least 0; got -1.0."),
    ({"unbiased": 1}, TypeError, "`unbiased` must be True or False; got 1."),
    ({"axis": 0}, ValueError, "`axis` must be 1, or -1 for channels last; got 0."),
    ({"synchronized": 0}, TypeError, "`synchronized` must be True or False; got 0."),
]


@pytest.mark.parametrize(("arguments", "kind", "text"), BAD)
def test_bad_arguments_are_refused(ours, arguments, kind, text):
    assert refusal(ours.BatchNorm, **arguments) == (kind, f"BatchNorm: {text}")


def test_bad_inputs_are_refused(tf, ours, keras):
    build = "BatchNorm.build: `x` must have shape"
    for axis, size, shape, text in (
        (-1, None, (4,), "(n, ..., n_features); got (4,)."),
        (1, 3, (4, 2), "(n, 3, ...); got (4, 2)."),
        (-1, 3, (4, 3, 2), "(n, ..., 3); got (4, 3, 2)."),
    ):
        layer = ours.BatchNorm(size, axis=axis)
        assert refusal(layer, tf.ones(shape)) == (ValueError, f"{build} {text}")
    text = f"{build} (n, ..., n_features); got (None, None)."
    assert refusal(ours.BatchNorm(), keras.Input((None,))) == (ValueError, text)
    layer = ours.BatchNorm()
    layer(tf.ones((4, 3)))
    text = "BatchNorm.call: `x` must have shape (n, ..., 3); got (4, 1)."
    assert said(layer, tf.ones((4, 1))) == (ValueError, text)
    text = "BatchNorm.call: `x` must hold real numbers; got dtype complex64."
    assert said(layer, tf.ones((4, 3), "complex64")) == (TypeError, text)


# --- in a model -----------------------------------------------------------------------
@old_array
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_net_trains_and_is_saved(ours, keras, policy, tmp_path):
    layers = [
        keras.layers.Dense(4, dtype=policy),
        ours.BatchNorm(momentum=0.5, dtype=policy),
        keras.layers.ReLU(dtype=policy),
        ours.BatchNorm.like("paper", 4, dtype=policy),
        keras.layers.Dense(1),
    ]
    net = keras.Sequential([keras.Input((3,)), *layers])
    before = arrays(net.weights)
    net.compile("sgd", "mse")
    x = np.float32(normal(64, 3))
    net.fit(x, x[:, :1], epochs=2, batch_size=20, verbose=0)
    for old, new in zip(before, arrays(net.weights), strict=True):
        assert np.any(old != new)
    assert [layers[i].n_batches.numpy() for i in (1, 3)] == [8, 8]
    assert layers[1].compute_dtype == policy.removeprefix("mixed_")
    net.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    for mine, other in zip(net.layers, loaded.layers, strict=True):
        assert type(mine) is type(other)
        assert mine.get_config() == other.get_config()
    np.testing.assert_array_equal(loaded(x), net(x))
    assert loaded.layers[1].n_batches.numpy() == 8


def test_config_says_all(ours):
    settings = {
        "n_features": 3,
        "momentum": None,
        "eps": 0.25,
        "unbiased": False,
        "axis": 1,
        "synchronized": False,
    }
    config = ours.BatchNorm(**settings, name="norm").get_config()
    assert settings.items() <= config.items()
    assert ours.BatchNorm.from_config(config).get_config() == config
    signature = {*inspect.signature(ours.BatchNorm).parameters}
    assert signature == {*settings, "keywords"}


# --- folding --------------------------------------------------------------------------
def shaken(model):
    """Give all weights other values, variances positive ones; return the model."""
    for i, weight in enumerate(model.weights):
        if weight.dtype != "int64":
            weight.assign(np.abs(1 + normal(*weight.shape, seed=i) / 4))
    return model


def require_same(model, folded, n_layers):
    """Require the function of `model` with so many layers less, of other variables."""
    x = [np.float32(normal(4, *x.shape[1:], seed=7)) for x in model.inputs]
    x = x if len(x) > 1 else x[0]
    y, other = arrays([model(x), folded(x)])
    # A layer sums at most 100 products, and there are at most two in a row.
    close(other, y, 0.0, 200 * EPS["float32"] * np.abs(y).max(), "folded")
    assert len(folded.layers) == len(model.layers) - n_layers
    ids = {id(weight) for weight in model.weights}
    assert not ids & {id(weight) for weight in folded.weights}


#: Each layer, its arguments and the shape of one input.
FOLDABLE = {
    "dense": ("Dense", {"units": 4}, (3,)),
    "dense, sequence": ("Dense", {"units": 4}, (5, 3)),
    "conv1d": ("Conv1D", {"filters": 4, "kernel_size": 2, "strides": 2}, (6, 3)),
    "conv2d": (
        "Conv2D",
        {"filters": 4, "kernel_size": 3, "padding": "same"},
        (6, 5, 3),
    ),
    "groups": ("Conv2D", {"filters": 4, "kernel_size": 2, "groups": 2}, (4, 4, 6)),
    "conv3d": ("Conv3D", {"filters": 4, "kernel_size": 2}, (3, 4, 3, 2)),
    "depthwise1d": (
        "DepthwiseConv1D",
        {"kernel_size": 2, "depth_multiplier": 2},
        (5, 3),
    ),
    "depthwise2d": (
        "DepthwiseConv2D",
        {"kernel_size": 2, "depth_multiplier": 2},
        (4, 4, 3),
    ),
    "separable1d": ("SeparableConv1D", {"filters": 4, "kernel_size": 2}, (5, 3)),
    "separable2d": ("SeparableConv2D", {"filters": 4, "kernel_size": 2}, (4, 4, 3)),
}


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("which", FOLDABLE)
def test_layers_take_up_a_batch_normalization(ours, keras, which, use_bias):
    name, arguments, shape = FOLDABLE[which]
    layer = getattr(keras.layers, name)(**arguments, use_bias=use_bias)
    norm = ours.BatchNorm() if use_bias else keras.layers.BatchNormalization()
    model = shaken(keras.Sequential([keras.Input(shape), layer, norm], name="net"))
    before = arrays(model.weights)
    folded = ours.fold_batch_norm(model)
    require_same(model, folded, 1)
    assert type(folded) is keras.Sequential
    assert folded.name == "net"
    assert folded.layers[0].use_bias
    assert layer.use_bias == use_bias
    for a, b in zip(arrays(model.weights), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_normalization_of_keras_may_lack_parameters(ours, keras, scale, center):
    norm = keras.layers.BatchNormalization(center=center, scale=scale)
    layers = [keras.Input((3,)), keras.layers.Dense(4), norm, keras.layers.ReLU()]
    model = shaken(keras.Sequential(layers))
    require_same(model, ours.fold_batch_norm(model), 1)


def test_channels_may_come_first(ours, keras):
    """TensorFlow cannot run that on every CPU: the weights are compared instead."""
    first = keras.layers.Conv2D(4, 2, data_format="channels_first")
    last = keras.layers.Conv2D(4, 2)
    folded, expected = (
        ours.fold_batch_norm(shaken(keras.Sequential([keras.Input(shape), *layers])))
        for shape, layers in (
            ((3, 5, 5), [first, ours.BatchNorm(axis=1)]),
            ((5, 5, 3), [last, ours.BatchNorm()]),
        )
    )
    for a, b in zip(arrays(folded.weights), arrays(expected.weights), strict=True):
        np.testing.assert_array_equal(a, b)
    assert folded.layers[0].data_format == "channels_first"


def test_weights_are_rounded_once(ours, keras):
    """They are the reference's, which multiplies in float64, to the last digit."""
    norm = ours.BatchNorm(eps=1e-3)
    model = shaken(keras.Sequential([keras.Input((30,)), keras.layers.Dense(40), norm]))
    twin = reference.BatchNorm(40, eps=1e-3)
    gamma, beta, twin.running_mean, twin.running_var, _ = arrays(norm.weights)
    twin.parameters = {"gamma": gamma, "beta": beta}
    expected = reference.fold_batch_norm(*arrays(model.layers[0].weights), twin)
    for a, b in zip(ours.fold_batch_norm(model).weights, expected, strict=True):
        np.testing.assert_array_equal(a, np.float32(b))


def test_half_weights_are_folded(ours, keras):
    layers = [keras.layers.Dense(4), ours.BatchNorm()]
    model = shaken(keras.Sequential([keras.Input((3,)), *layers]))
    for dtype in ("float16", "bfloat16"):
        layers = [keras.layers.Dense(4, dtype=dtype), ours.BatchNorm(dtype=dtype)]
        half = shaken(keras.Sequential([keras.Input((3,)), *layers]))
        folded, expected = map(ours.fold_batch_norm, (half, model))
        for a, b in zip(arrays(folded.weights), arrays(expected.weights), strict=True):
            # The given weights are rounded too; a bias is a difference of terms to 5.
            close(a, b, EPS[dtype], 5 * EPS[dtype], dtype)
        assert {weight.dtype for weight in folded.weights} == {dtype}


def residual(keras, norm):
    """Return a model with two inputs, a sum and a layer that is called twice."""
    a, b = keras.Input((6, 6, 3), name="a"), keras.Input((6, 6, 4), name="b")
    x = norm()(keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(a))
    x = keras.layers.ReLU()(x)
    shortcut = norm()(keras.layers.Conv2D(4, 3, padding="same")(x))
    x = keras.layers.Add()([x, shortcut]) + b
    pool = keras.layers.GlobalAveragePooling2D()
    return keras.Model([a, b], pool(x) + pool(b), name="net")


def test_residual_model_is_folded(ours, keras):
    for norm in (ours.BatchNorm, keras.layers.BatchNormalization):
        model = shaken(residual(keras, norm))
        model.compile("sgd", "mse")
        folded = ours.fold_batch_norm(model)
        require_same(model, folded, 2)
        assert folded.name == "net"
        assert not folded.compiled


def test_structure_of_inputs_and_outputs_is_kept(ours, keras):
    """Also if the input is passed to the normalization by name."""
    x = keras.Input((3,), name="x")
    y = ours.BatchNorm()(x=keras.layers.Dense(2)(x), training=False)
    model = shaken(keras.Model({"x": x}, {"y": y, "z": 2 * y}))
    given = {"x": np.float32(normal(4, 3))}
    out, folded = model(given), ours.fold_batch_norm(model)(given)
    assert set(folded) == {"y", "z"}
    for name in folded:
        close(*arrays([folded[name], out[name]]), 1e-5, 1e-5, name)


# Models that cannot be folded: lists of layers, or functions of the input.
def norm_after_activation(keras, norm, dense):
    return [dense(), keras.layers.ReLU(name="relu"), norm()]


def norm_after_input(keras, norm, dense):
    return [norm()]


def norm_after_norm(keras, norm, dense):
    return [dense(), norm(), keras.layers.BatchNormalization(name="second")]


def activation_inside(keras, norm, dense):
    return [dense(activation="tanh"), norm()]


def no_norm(keras, norm, dense):
    return [dense()]


def norm_in_a_model(keras, norm, dense):
    inner = keras.Sequential([keras.Input((3,)), dense(), norm()], name="inner")
    return [dense(name="before"), inner]


def wrong_axis(keras, norm, dense):
    return [keras.layers.Reshape((3, 1)), dense(), norm(axis=1)]


def norm_in_training(keras, norm, dense):
    return lambda x: norm()(dense()(x), training=True)


def norm_called_twice(keras, norm, dense):
    shared = norm()
    return lambda x: shared(dense()(x)) + shared(dense(name="other")(x))


def dense_called_twice(keras, norm, dense):
    shared = dense()
    return lambda x: norm()(shared(x)) + shared(2 * x)


def output_used_elsewhere(keras, norm, dense):
    def call(x):
        x = dense()(x)
        return x + norm()(x)

    return call


def output_is_one_of_the_model(keras, norm, dense):
    def call(x):
        x = dense()(x)
        return [x, norm()(x)]

    return call


FOLLOW = "must follow a dense or convolutional layer; got"
ALONE = "'norm' must alone use the output before it; got 'dense', used elsewhere."
REFUSED = {
    norm_after_activation: f"'norm' {FOLLOW} 'relu', ReLU.",
    norm_after_input: f"'norm' {FOLLOW} 'x', InputLayer.",
    norm_after_norm: f"'second' {FOLLOW} 'norm', BatchNorm.",
    activation_inside: (
        "'norm' must follow a layer without activation; got tanh in 'dense'."
    ),
    no_norm: "`model` must have a batch normalization; got none.",
    norm_in_a_model: (
        "`model` must have its batch normalizations in its own graph; got one inside "
        "'inner'."
    ),
    wrong_axis: "'norm' must normalize the channels; got axis=1 after 'dense'.",
    norm_in_training: (
        "'norm' must be called without training=True; got a call with it."
    ),
    norm_called_twice: "'norm' must be called once; got 2 calls.",
    dense_called_twice: (
        "'norm' must follow a layer that is called once; got 'dense', shared."
    ),
    output_used_elsewhere: ALONE,
    output_is_one_of_the_model: ALONE,
}


def model_of(ours, keras, make):
    def norm(**more):
        return ours.BatchNorm(name="norm", **more)

    def dense(**more):
        return keras.layers.Dense(3, **{"name": "dense"} | more)

    x, made = keras.Input((3,), name="x"), make(keras, norm, dense)
    if isinstance(made, list):
        return keras.Sequential([x, *made])
    return keras.Model(x, made(x))


@pytest.mark.parametrize("make", REFUSED)
def test_what_cannot_be_folded_is_refused(ours, keras, make):
    model = model_of(ours, keras, make)
    expected = ValueError, f"fold_batch_norm: {REFUSED[make]}"
    assert refusal(ours.fold_batch_norm, model) == expected


def test_model_without_a_known_graph_is_refused(ours, keras):
    class Net(keras.Model):
        def call(self, x):
            return x

    fold, name = ours.fold_batch_norm, "fold_batch_norm"
    text = f"{name}: `model` must be a keras.Model; got Dense."
    assert refusal(fold, keras.layers.Dense(2)) == (TypeError, text)
    text = (
        f"{name}: `model` must be a Sequential or a functional model, whose graph is "
        "known; got Net."
    )
    assert refusal(fold, Net()) == (ValueError, text)
    text = (
        f"{name}: `model` must be built; got 'net', which is not. Put "
        "keras.Input(shape) before its layers."
    )
    model = keras.Sequential([ours.BatchNorm()], name="net")
    assert refusal(fold, model) == (ValueError, text)


# --- final statistics -----------------------------------------------------------------
def net_with_dropout(ours, keras):
    """Return a model of two normalizations, the second after dropout."""
    layers = [
        ours.BatchNorm(momentum=0.9),
        keras.layers.Dropout(0.5, seed=1),
        keras.layers.Dense(2),
        ours.BatchNorm.like("keras"),
    ]
    return keras.Sequential([keras.Input((3,)), *layers])


@pytest.mark.parametrize("frozen", [False, True])
def test_final_statistics_are_averages_over_the_batches(ours, keras, frozen):
    """Of batches that need not be equal; the second layer gets what the first gives."""
    net = shaken(net_with_dropout(ours, keras))
    net.trainable = not frozen
    first, _, dense, second = net.layers
    twins = [
        reference.BatchNorm(3, momentum=None),
        reference.BatchNorm.like("keras", 2, momentum=None),
    ]
    fixed = [first.gamma, first.beta, *dense.weights, second.gamma, second.beta]
    gamma, beta, W, b, *_ = weights = arrays(fixed)
    twins[0].parameters = {"gamma": gamma, "beta": beta}
    batches = [np.float32(3 + normal(n, 3, seed=n)) for n in (20, 30, 7)]
    ours.final_statistics(net, iter(batches))
    for batch in batches:
        hidden = twins[0].forward(np.float64(batch), training=True)
        twins[1].forward(hidden @ W + b, training=True)
    for layer, twin in zip((first, second), twins, strict=True):
        found = arrays([layer.running_mean, layer.running_var])
        for a, b in zip(found, (twin.running_mean, twin.running_var), strict=True):
            # Sums of at most 30 numbers below 10, in each of two layers.
            close(a, b, 0.0, 600 * EPS["float32"], layer.name)
        assert layer.n_batches.numpy() == 3
    for a, b in zip(arrays(fixed), weights, strict=True):
        np.testing.assert_array_equal(a, b)
    before = arrays(net.weights)
    net(batches[0])  # is in testing again
    for a, b in zip(arrays(net.weights), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_final_statistics_leave_all_as_it_was_on_an_error(ours, keras):
    net = shaken(net_with_dropout(ours, keras))
    x, before = np.float32(normal(8, 3)), arrays(net.weights)

    def interrupted():
        yield x
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ours.final_statistics(net, interrupted())
    text = (
        "final_statistics: `batches` must hold a batch that reaches each BatchNorm; "
        "got none."
    )
    assert refusal(ours.final_statistics, net, []) == (ValueError, text)
    kind, _ = refusal(ours.final_statistics, net, [x, x[:1]])
    assert kind is ValueError
    net(x)
    for a, b in zip(arrays(net.weights), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_final_statistics_reach_a_model_inside_a_subclass(ours, keras):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = net_with_dropout(ours, keras)

        def call(self, x):
            return self.inner(x)

    net, x = Net(), np.float32(5 + normal(8, 3))
    ours.final_statistics(net, [x])
    np.testing.assert_allclose(net.inner.layers[0].running_mean, x.mean(axis=0), 1e-6)


def test_final_statistics_refuse(ours, keras):
    f, name = ours.final_statistics, "final_statistics"
    text = f"{name}: `model` must be a keras.Model; got list."
    assert refusal(f, [], []) == (TypeError, text)
    text = f"{name}: `batches` must be an iterable of inputs; got"
    model = net_with_dropout(ours, keras)
    for batches, kind in ((1, "int"), (np.ones((4, 3)), "ndarray")):
        expected = TypeError, f"{text} {kind}. Pass [x] for one batch."
        assert refusal(f, model, batches) == expected
    text = f"{name}: `model` must have a BatchNorm; got none."
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert refusal(f, model, []) == (ValueError, text)
    text = (
        f"{name}: `model` must be built; got 'net', which is not. Call it on a batch."
    )
    model = keras.Sequential([ours.BatchNorm()], name="net")
    assert refusal(f, model, []) == (ValueError, text)
    text = (
        f"{name}: `model` must normalize with the BatchNorm of "
        "companion.tensorflow.normalization; got 'bn', a "
        "keras.layers.BatchNormalization, which is in training only if the whole model "
        "is, dropout included."
    )
    own = keras.layers.BatchNormalization(name="bn")
    model = keras.Sequential([keras.Input((3,)), ours.BatchNorm(), own])
    assert refusal(f, model, []) == (ValueError, text)
