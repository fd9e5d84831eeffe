"""The doctor for Keras: what it measures, which calls it sees, and what it leaves."""

import dataclasses
import functools

import numpy as np
import pytest
from helpers import refusal

from companion import mlp
from companion.diagnostics import Report
from companion.diagnostics import diagnose as reference


@pytest.fixture(scope="module")
def diagnose():
    pytest.importorskip("tensorflow")
    from companion.tensorflow.diagnostics import diagnose

    return diagnose


@pytest.fixture(scope="module")
def nets(diagnose):
    import keras_nets

    return keras_nets


@pytest.fixture
def examine(diagnose, monkeypatch):
    """What the rules are given for a model: an Examination."""
    monkeypatch.setattr(Report, "of", staticmethod(lambda examination: examination))
    return diagnose


def calls(examination):
    return [(call.name, call.kind, call.function) for call in examination.calls]


# --- beside the reference -------------------------------------------------------------
@pytest.fixture
def float64(nets):
    """Let Keras compute in float64."""
    policy = nets.keras.config.dtype_policy()
    nets.keras.config.set_dtype_policy("float64")
    yield
    nets.keras.config.set_dtype_policy(policy)


def twin(nets, net):
    """Return a net of the reference as a Keras model."""
    model = nets.keras.Sequential([nets.keras.Input((20,), dtype="float64")])
    for one in net.layers:
        if isinstance(one, mlp.Dense):
            weights = [one.parameters["W"], one.parameters["b"]]
            model.add(nets.layers.Dense(len(weights[1])))
            model.layers[-1].set_weights(weights)
        else:
            name = getattr(one, "name", type(one).__name__.lower())
            model.add(nets.activation(name))
    return model


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("labeled", ["labels", "numbers"])
@pytest.mark.parametrize("name", [*mlp.ACTIVATIONS, "prelu", "rrelu"])
def test_statistics_are_those_of_the_reference(nets, diagnose, name, labeled):
    """Up to the rounding of some hundred operations in float64; some sums cancel.

    The logistic's derivative alone has an error of eps near 1, not relative to itself.
    """
    rng = np.random.default_rng(0)
    net = mlp.stack([20, 30, 30, 30, 5], activation=name, rng=rng)
    for layer in net.dense:
        layer.parameters["b"][:] = rng.standard_normal(layer.parameters["b"].shape)
    x, y = rng.standard_normal((50, 20)), rng.integers(5, size=50)
    loss = mlp.softmax_cross_entropy
    if labeled == "numbers":
        y = rng.standard_normal((50, 5))

        def loss(outputs, y):
            return ((outputs - y) ** 2).mean(), 2 * (outputs - y) / y.size

    ours = diagnose(twin(nets, net), x, y, training=False)
    expected = reference(net, x, y, loss)
    assert [f.disease for f in ours.findings] == [f.disease for f in expected.findings]
    for field in dataclasses.fields(Report)[1:-1]:
        np.testing.assert_allclose(
            getattr(ours, field.name),
            getattr(expected, field.name),
            rtol=1e-10,
            atol=1e-13,
            err_msg=field.name,
        )


# --- which calls are seen -------------------------------------------------------------
def slopes(nets, apply, z):
    """Return the derivative of a function of each element, by TensorFlow's tape."""
    z = nets.tf.convert_to_tensor(z)
    with nets.tf.GradientTape() as tape:
        tape.watch(z)
        h = apply(z)
    return np.abs(tape.gradient(h, z).numpy())


def many(nets):
    """Return activations as Keras has them, and the names under which they are seen."""
    keras, layers, tf = nets.keras, nets.layers, nets.tf
    partial = functools.partial(keras.activations.leaky_relu, negative_slope=0.5)
    ours = nets.activations

    def relu(z):
        return z

    return {
        "a layer, relu": (layers.ReLU(), "relu"),
        "a layer, relu6": (layers.ReLU(6.0), "relu6"),
        "three arguments": (layers.ReLU(2.0, 0.04, 0.5), "leaky_relu"),
        "a layer, leaky": (layers.LeakyReLU(0.01), "leaky_relu"),
        "a layer, elu": (layers.ELU(0.5), "elu"),
        "a layer, prelu": (layers.PReLU("uniform"), "prelu"),
        "a name": (layers.Activation("sigmoid"), "logistic"),
        "another name": (layers.Activation("swish"), "silu"),
        "a function": (layers.Activation(tf.nn.tanh), "tanh"),
        "its default": (layers.Activation("leaky_relu"), "leaky_relu"),
        "another default": (layers.Activation(tf.nn.leaky_relu), "leaky_relu"),
        "an argument given": (layers.Activation(partial), "leaky_relu"),
        "relu6 as a function": (layers.Activation("relu6"), "relu6"),
        "ours, a function": (layers.Activation(ours.selu), "selu"),
        "ours, a layer": (ours.GELU(approximate=True), "gelu"),
        "ours, by name": (nets.activation("softsign"), "softsign"),
        "ours, one slope": (ours.PReLU(alpha=0.04), "prelu"),
        "ours, random slopes": (ours.RReLU(0.0, 0.09, seed=0), "rrelu"),
        "unknown": (layers.Activation("hard_sigmoid"), None),
        "one's own": (layers.Activation(relu), None),
    }


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_activations_are_recognized(nets, examine, image, inside):
    """By their names, and by their derivatives: those that TensorFlow computes."""
    z = 4 * nets.numbers(30, 3, 2, 4) if image else 4 * nets.numbers(60, 4)
    for case, (layer, name) in many(nets).items():
        is_function = isinstance(layer, nets.layers.Activation)
        activation = layer.activation if is_function else layer
        start = {"kernel_initializer": "identity", "name": "dense"}
        dense = nets.layers.Dense(4, activation if inside else None, **start)
        stack = [dense] if inside else [dense, layer]
        seen = examine(nets.keras.Sequential(stack), z)
        assert seen.calls[0].name == "dense", case
        assert seen.calls[0].output.mean == pytest.approx(z.mean(), abs=1e-6), case
        if name is None:
            assert len(seen.calls) == 1, case
            continue
        call = seen.calls[1]
        assert (call.kind, call.function) == ("activation", name), case
        grid = np.linspace(-5, 5, 201).reshape(-1, *[1] * (z.ndim - 1))
        grid = np.broadcast_to(grid, (201, *z.shape[1:])).astype("float32")
        slope, steepest = slopes(nets, layer, z), slopes(nets, layer, grid).max()
        assert call.saturated == np.mean(slope < 0.05 * steepest), case
        assert call.dead == (slope.reshape(-1, 4) == 0).all(axis=0).mean(), case
        assert call.output.mean == pytest.approx(layer(z).numpy().mean(), 1e-5), case


def test_operations_of_a_functional_model_are_seen(nets, examine):
    ops = nets.keras.ops
    x = inputs = nets.keras.Input((20,))
    for function in (ops.relu, ops.relu6, lambda x: ops.elu(x, alpha=0.5), ops.sigmoid):
        x = function(nets.layers.Dense(8)(x))
    seen = examine(nets.keras.Model(inputs, x), nets.numbers(64, 20))
    functions = [function for _, kind, function in calls(seen) if kind == "activation"]
    assert functions == ["relu", "relu6", "elu", "logistic"]


def test_names_are_paths_and_later_calls_have_numbers(nets, examine):
    seen = examine(*nets.reused()[:2])
    names = [name for name, kind, _ in calls(seen) if kind == "weights"]
    steps = ["inner/step", *(f"inner/step #{n}" for n in range(2, 13))]
    assert names[:-1] == steps
    assert [name for name, kind, _ in calls(seen) if kind == "activation"] == steps


def test_kinds_and_classes_are_told(nets, examine):
    seen = examine(*nets.attention()[:2])
    assert calls(seen)[:5] == [
        ("norm_0", "normalization", "layer"),
        ("norm_0 #2", "normalization", "layer"),
        ("attention_0", "weights", "MultiHeadAttention"),
        ("up_0", "weights", "Dense"),
        ("up_0", "activation", "gelu"),
    ]
    kinds = {kind for _, kind, _ in calls(examine(*nets.mobile()[:2]))}
    assert kinds == {"weights", "activation", "normalization"}


@pytest.mark.parametrize("training", [False, True])
def test_training_is_that_which_reaches_a_layer(nets, examine, training):
    model, x, _ = nets.dense(between=lambda: nets.layers.Dropout(0.5), depth=1)
    norms = [nets.layers.BatchNormalization(), nets.BatchNorm()]
    norms[0].trainable = False
    model = nets.keras.Sequential([*norms, *model.layers])
    seen = examine(model, x, training=training)
    told = [call.training for call in seen.calls if call.kind != "activation"]
    assert told == [False, training, False, training, False]
    assert seen.testing is not training


#: A layer's kernel, its matrix, its fan_out, and whether its units have other inputs.
LAYOUTS = {
    "Dense": ({"units": 6}, (5,), (5, 6), 6, False),
    "Conv2D": ({"filters": 6, "kernel_size": (3, 2)}, (8, 8, 4), (24, 6), 36, False),
    "grouped": (
        {"filters": 6, "kernel_size": 3, "groups": 2},
        (8, 8, 4),
        (18, 6),
        54,
        True,
    ),
    "Conv1DTranspose": ({"filters": 6, "kernel_size": 3}, (8, 4), (12, 6), 18, False),
    "DepthwiseConv2D": (
        {"kernel_size": 3, "depth_multiplier": 2},
        (8, 8, 4),
        (9, 8),
        18,
        True,
    ),
    "SeparableConv1D": ({"filters": 6, "kernel_size": 3}, (8, 4), (3, 4), 3, True),
    "LSTM": ({"units": 6}, (8, 4), (4, 24), 24, False),
    "EinsumDense": (
        {"equation": "abc,cde->abde", "output_shape": (None, 3, 2)},
        (8, 4),
        (4, 6),
        6,
        False,
    ),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_weights_are_a_matrix_of_fan_in_and_units(nets, examine, case):
    arguments, shape, matrix, fan_out, grouped = LAYOUTS[case]
    layer = getattr(nets.layers, case if case != "grouped" else "Conv2D")(**arguments)
    model = nets.keras.Sequential([nets.keras.Input(shape), layer])
    kernel = layer.weights[0]
    kernel.assign(np.ones(kernel.shape))
    (call,) = examine(model, nets.numbers(3, *shape)).calls
    weights = call.weights
    assert (weights.fan_in, weights.size) == (matrix[0], matrix[0] * matrix[1])
    assert (weights.fan_out, weights.alike) == (fan_out, float(not grouped))
    # One unit that is not like the others: where it is shows which axis the units are.
    if case != "Conv1DTranspose":
        values = np.ones(kernel.shape)
        values[..., 0] += np.random.default_rng(0).standard_normal(kernel.shape[:-1])
        kernel.assign(values)
        (call,) = examine(model, nets.numbers(3, *shape)).calls
        assert call.weights.alike < 1


def test_attention_and_vectors_have_weights(nets, examine):
    x = nets.keras.Input((7, 16))
    y = nets.layers.MultiHeadAttention(2, 8)(x, x)
    (call,) = examine(nets.keras.Model(x, y), nets.numbers(3, 7, 16)).calls
    assert (call.weights.fan_in, call.weights.size) == (16, 256)

    class Scale(nets.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=shape[-1:], initializer="ones")

        def call(self, x):
            return self.scale * x

    (call,) = examine(nets.keras.Sequential([Scale()]), nets.numbers(9, 4)).calls
    assert (call.function, call.weights.size, call.weights.alike) == ("Scale", 4, 0)


def test_frozen_weights_have_no_gradient_but_signals_have(nets, examine):
    later, x, y = nets.dense()
    later.trainable = False
    parts = [(8, "relu"), (5, None)]
    at_once = [nets.layers.Dense(*part, trainable=False) for part in parts]
    for model in (later, nets.keras.Sequential(at_once)):
        for call in examine(model, x, y).calls:
            assert np.isfinite(call.delta_norm)
            assert np.isnan(call.gradient_norm)


def test_channels_may_come_first(nets, examine):
    convolution = nets.layers.Conv2D(4, 3, data_format="channels_first")
    model = nets.keras.Sequential([convolution, nets.layers.ReLU()])
    for call in examine(model, nets.numbers(2, 3, 8, 7)).calls:
        assert (call.output.rows, call.output.scales.shape) == (2 * 6 * 5, (4,))


def test_half_precision_is_measured(nets, diagnose):
    x, y = nets.numbers(64, 20), nets.labels()
    parts = [(40, "relu"), (40, "relu"), (5, None)]
    single, half = (
        nets.keras.Sequential([nets.layers.Dense(*p, dtype=kind) for p in parts])
        for kind in ("float32", "mixed_bfloat16")
    )
    expected = diagnose(single, x, y)
    half.build((None, 20))
    half.set_weights(single.get_weights())
    report = diagnose(half, x, y)
    # A few roundings of 2^-9, the last of them where the logits cancel.
    np.testing.assert_allclose(report.variance, expected.variance, rtol=0.05)
    np.testing.assert_allclose(report.delta_norm, expected.delta_norm, rtol=0.05)


# --- the loss -------------------------------------------------------------------------
@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_default_loss_of_integers_is_the_cross_entropy(nets, diagnose, activation):
    """From logits and from probabilities, of classes and of two classes."""
    losses = nets.keras.losses
    units = 1 if activation == "sigmoid" else 5
    model = nets.keras.Sequential([nets.layers.Dense(units, activation)])
    x, y = nets.numbers(64, 20), nets.labels(classes=max(2, units))
    kind = "Binary" if units == 1 else "SparseCategorical"
    loss = getattr(losses, f"{kind}Crossentropy")(from_logits=activation is None)
    expected = diagnose(model, x, y[:, None], loss).delta_norm
    assert expected.min() > 1e-3
    np.testing.assert_allclose(diagnose(model, x, y).delta_norm, expected, rtol=1e-6)
    column = diagnose(model, x, y[:, None])
    np.testing.assert_allclose(column.delta_norm, expected, rtol=1e-6)


def test_losses_are_given_in_many_ways(nets, diagnose):
    model, x, _ = nets.dense()
    y = np.random.default_rng(1).standard_normal((64, 5))
    expected = diagnose(model, x, y).delta_norm
    for loss in (
        "mse",
        nets.keras.losses.MeanSquaredError(),
        nets.keras.losses.MeanSquaredError(reduction=None),
        lambda y, outputs: nets.tf.reduce_mean((y - outputs) ** 2),
    ):
        delta = diagnose(model, x, y, loss).delta_norm
        np.testing.assert_allclose(delta, expected, rtol=1e-5)
    delta = diagnose(model, x, loss=lambda outputs: outputs[:, 0]).delta_norm
    assert delta[-1] == pytest.approx(64**-0.5)


def test_without_labels_the_gradient_starts_with_norm_1(nets, examine):
    seen = examine(*nets.dense()[:2])
    assert seen.calls[-1].delta_norm == pytest.approx(1, rel=1e-6)
    assert (seen.labeled, seen.testing) == (False, True)
    model, x, _ = nets.attention()  # a dict
    assert examine(model, x).calls[-1].delta_norm > 0
    assert examine(*nets.dense()).labeled
    assert not examine(*nets.dense()).testing


# --- refusals -------------------------------------------------------------------------
def test_what_is_no_model_is_refused(nets, diagnose):
    layer = nets.layers.Dense(3)
    text = "diagnose: `model` must be a keras.Model; got Dense."
    assert refusal(diagnose, layer, nets.numbers(4, 4)) == (TypeError, text)
    model = nets.keras.Sequential(
        [nets.layers.ReLU(), nets.layers.BatchNormalization()]
    )
    text = "diagnose: `model` must have a layer with weights that a call reaches; got "
    assert refusal(diagnose, model, nets.numbers(4, 4)) == (ValueError, text + "none.")


@pytest.mark.parametrize(
    ("y", "loss", "kind", "text"),
    [
        (np.zeros(63, int), None, ValueError, "`y` must hold an integer for each row"),
        (np.full(64, 5), None, ValueError, "`y` must hold integers from 0 to 4; got 5"),
        (np.zeros((64, 4)), None, ValueError, "`y` must have the shape of the outputs"),
        (
            None,
            "mse",
            TypeError,
            "`loss` must be a function of the outputs where there",
        ),
        (None, lambda outputs: None, TypeError, "`loss` must return a real number"),
        (None, lambda outputs: "a", TypeError, "`loss` must return a real number"),
    ],
)
def test_losses_that_cannot_be_computed_are_refused(
    nets, diagnose, y, loss, kind, text
):
    model, x, _ = nets.dense()
    got = refusal(diagnose, model, x, y, loss)
    assert got[0] is kind
    assert got[1].startswith(f"diagnose: {text}")


def test_a_dict_of_outputs_needs_a_loss(nets, diagnose):
    text = "diagnose: `loss` must be given for a model that returns a dict; got None."
    assert refusal(diagnose, *nets.attention()) == (ValueError, text)


def test_other_arguments_are_checked(nets, diagnose):
    model, x, _ = nets.dense()
    text = "diagnose: `x` must hold at least one row; got shape (0, 20)."
    assert refusal(diagnose, model, x[:0]) == (ValueError, text)
    text = "diagnose: `training` must be True or False; got 'yes'."
    assert refusal(diagnose, model, x, training="yes") == (TypeError, text)
    outputs = nets.keras.ops.argmax(model.outputs[0], -1)
    model = nets.keras.Model(model.inputs, outputs)
    assert refusal(diagnose, model, x)[1].startswith(
        "diagnose: `model` must return real numbers; got"
    )
