"""The doctor for Keras: each disease planted in nets of several kinds, and found."""

import numpy as np
import pytest


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
def examined(diagnose, nets):
    """The report of a net by its name, after a change of the model and its inputs."""

    def examine(name, change=None, *, inputs=lambda x: x, net=None, **arguments):
        model, x, y = net or nets.HEALTHY[name]()
        if name == "attention":
            arguments.setdefault("loss", nets.from_logits)
        if not model.built:
            model(x)
        if change:
            change(model)
        return diagnose(model, inputs(x), y, **arguments)

    return examine


def found(report):
    return [finding.disease for finding in report.findings]


def kernels(model, *names):
    """Return the variables whose names are given, those called kernel by default."""
    return [v for v in model.variables if v.name in (names or ("kernel", "matrix"))]


def scaled(factor, *names):
    """Return a change that multiplies all weights of these names."""

    def change(model):
        for variable in kernels(model, *names):
            variable.assign(variable * factor)

    return change


def filled(value, *names, last=None):
    """Return a change that makes weights constant, all but the `last` ones."""

    def change(model):
        for variable in kernels(model, *names)[:last]:
            variable.assign(np.full(variable.shape, value))

    return change


NETS = ["dense", "residual", "mobile", "convolutional", "reused", "recurrent"]
NETS += ["attention", "subclassed"]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_healthy_nets_are_found_healthy(nets, examined, name, training):
    assert set(NETS) == set(nets.HEALTHY)
    report = examined(name, training=training)
    assert found(report) == []
    assert len(report.layers) >= 5
    assert np.isfinite(report.delta_norm).all()
    assert (report.gradient_norm > 0).all()


# --- gradient and signal --------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("dense", scaled(0.2)),
        ("reused", scaled(0.1)),
    ],
)
def test_vanishing(examined, name, change):
    assert "vanishing" in found(examined(name, change))


def test_vanishing_below_dead_units_is_told(examined):
    def kill(model):
        model.layers[5].bias.assign(np.full(40, -1e3))

    report = examined("dense", kill)
    (message,) = [f.message for f in report.findings if f.disease == "vanishing"]
    name = report.layers[5].removesuffix(": Dense, relu")
    assert message == f"No gradient at all reaches {name} and the layers below."
    assert (report.delta_norm > 0).tolist() == [False] * 6 + [True]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("dense", scaled(5)),
        ("subclassed", scaled(5)),
        ("attention", scaled(100, "kernel")),
    ],
)
def test_exploding(examined, name, change):
    assert "exploding" in found(examined(name, change))


# --- units that do not learn ----------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "names"),
    [("dense", ["bias"]), ("residual", ["beta"])],
)
def test_dead(examined, name, names):
    report = examined(name, filled(-100.0, *names, last=-1))
    assert "dead" in found(report)
    assert report.dead.max() == 1


@pytest.mark.parametrize("name", ["reused", "convolutional"])
def test_saturated(nets, examined, name):
    net = None if name == "reused" else getattr(nets, name)("tanh")
    report = examined(name, scaled(1000), net=net)
    assert "saturated" in found(report)
    assert report.saturated.max() > 0.9


@pytest.mark.parametrize(
    ("name", "value"),
    [("dense", 0.1), ("residual", 0.1), ("reused", 0.0)],
)
def test_symmetric(examined, name, value):
    assert "symmetric" in found(examined(name, filled(value)))


def test_zeros_that_lead_to_different_units_are_not_symmetric(examined):
    report = examined("dense", filled(0.0, "bias"))
    assert found(report) == []


# --- nan and inf ----------------------------------------------------------------------
def nan(report):
    """Return the message about nan, which comes first."""
    assert report.findings[0].disease == "nan"
    return report.findings[0].message


def with_nan(x):
    if isinstance(x, dict):
        return x | {"right": with_nan(x["right"])}
    x = x.copy()
    x.flat[-1] = np.nan
    return x


@pytest.mark.parametrize("name", ["reused", "attention"])
def test_nan_in_the_inputs(examined, name):
    assert nan(examined(name, inputs=with_nan)) == "The inputs hold nan or inf."


@pytest.mark.parametrize("name", ["recurrent", "mobile"])
def test_nan_in_the_weights(examined, name):
    def break_one(model):
        variable = kernels(model)[2]
        variable.assign(variable * np.inf)

    assert "put them there" in nan(examined(name, break_one))


@pytest.mark.parametrize("name", ["own", "residual"])
def test_nan_born_in_a_layer(nets, examined, name):
    def break_one(model):
        if name == "residual":
            model.layers[5].gamma.assign(np.full(8, 1e38))
            model.layers[5].beta.assign(np.full(8, 3e38))
        else:
            model.hidden[3].step = lambda z: z / 0.0

    report = examined("subclassed" if name == "own" else name, break_one)
    where = "own_3 (Own)" if name == "own" else "(batch)"
    assert "nan or inf is born in" in nan(report)
    assert where in nan(report)


def test_nan_born_between_layers(nets, examined):
    net = nets.subclassed(between=lambda x: x / 0.0)
    report = examined("subclassed", net=net)
    assert "is born between own_5 and last" in nan(report)
    report = examined("functional", net=nets.logarithm(place=1))
    assert "is born between dense_0 and dense_1" in nan(report)


def test_nan_born_in_the_outputs(nets, examined):
    report = examined("functional", net=nets.logarithm(place=2))
    assert "is born behind dense_1, in the outputs" in nan(report)


@pytest.mark.parametrize("name", ["dense", "attention"])
def test_nan_born_in_the_loss(nets, examined, name):
    def loss(y, outputs):
        outputs = outputs["logits"] if name == "attention" else outputs
        return nets.tf.math.log(0.0 * nets.tf.reduce_sum(outputs))

    assert "is born in the loss" in nan(examined(name, loss=loss))


def test_nan_born_in_the_backward_pass(nets, examined):
    def root(x):
        return nets.tf.sqrt(0.0 * x)  # its slope at 0 is inf, and inf times 0 is nan

    report = examined("subclassed", net=nets.subclassed(between=root))
    assert "between last and the outputs of own_5" in nan(report)


# --- batch normalization --------------------------------------------------------------
@pytest.mark.parametrize("name", ["residual", "mobile"])
def test_batch_statistics_without_labels_are_a_note(nets, diagnose, name):
    model, x, _ = nets.HEALTHY[name]()
    (finding,) = diagnose(model, x, training=True).findings
    assert (finding.disease, finding.note) == ("batch_statistics", True)
    assert found(diagnose(model, x)) == []
    model.trainable = False  # then Keras normalizes by the running values
    assert found(diagnose(model, x, training=True)) == []


@pytest.mark.parametrize("kind", ["BatchNormalization", "BatchNorm"])
def test_batch_statistics_in_a_model_that_answers_are_a_disease(nets, diagnose, kind):
    layer = getattr(nets, kind, None) or getattr(nets.layers, kind)
    norm = layer(name="always")
    net = nets.subclassed(between=lambda x: norm(x, training=True))
    report = diagnose(*net, training=False)
    (finding,) = report.findings
    assert (finding.disease, finding.note) == ("batch_statistics", False)
    assert finding.layers == ("always",)


# --- SELU -----------------------------------------------------------------------------
SELU = ["dense", "convolutional"]


def selu(nets, name, **arguments):
    arguments.setdefault("initializer", "lecun_normal")
    return getattr(nets, name)("selu", **arguments)


@pytest.mark.parametrize("name", SELU)
def test_selu_is_healthy_under_its_preconditions(nets, examined, name):
    def alpha_dropout():
        return nets.layers.AlphaDropout(0.05)

    assert found(examined(name, net=selu(nets, name))) == []
    assert found(examined(name, net=selu(nets, name, between=alpha_dropout))) == []


@pytest.mark.parametrize("name", SELU)
def test_selu_inputs(nets, examined, name):
    report = examined(name, net=selu(nets, name), inputs=lambda x: 3 * x + 1)
    assert found(report) == ["selu_inputs"]


@pytest.mark.parametrize("name", SELU)
def test_selu_weights(nets, examined, name):
    report = examined(name, net=selu(nets, name, initializer="he_normal"))
    assert "selu_weights" in found(report)
    report = examined(name, net=selu(nets, name), change=scaled(0.75))
    assert "selu_gain" in found(report)


@pytest.mark.parametrize("name", SELU)
@pytest.mark.parametrize("kind", ["Dropout", "SpatialDropout2D", "ours"])
def test_selu_dropout(nets, examined, name, kind):
    if (name, kind) == ("dense", "SpatialDropout2D"):
        kind = "GaussianDropout"  # another noise: no finding
    make = getattr(nets.layers, kind, nets.Dropout)
    report = examined(name, net=selu(nets, name, between=lambda: make(0.1)))
    assert found(report) == ["selu_dropout"] * (kind != "GaussianDropout")
    report = examined(name, net=selu(nets, name, between=lambda: make(0.0)))
    assert found(report) == []


@pytest.mark.parametrize("name", SELU)
@pytest.mark.parametrize("kind", ["BatchNormalization", "LayerNormalization"])
def test_selu_normalization(nets, examined, name, kind):
    make = getattr(nets.layers, kind)
    report = examined(name, net=selu(nets, name, between=make))
    assert found(report) == ["selu_normalization"]


# --- the inputs -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "factor"), [("dense", 1e-3), ("subclassed", 1e3), ("reused", 1e3)]
)
def test_unscaled_inputs(examined, name, factor):
    def scale(x):
        return x | {"right": factor * x["right"]} if name == "reused" else factor * x

    assert "unscaled_inputs" in found(examined(name, inputs=scale))


def test_inputs_that_the_model_normalizes_are_left_alone(nets, diagnose):
    model, x, y = nets.dense()
    for layer in (nets.layers.BatchNormalization(), nets.layers.Normalization()):
        if hasattr(layer, "adapt"):
            layer.adapt(1e4 * x)
        parts = [nets.keras.Input((20,)), layer, *model.layers]
        assert found(diagnose(nets.keras.Sequential(parts), 1e4 * x, y)) == []


def test_indices_are_no_inputs_to_be_scaled(nets, examined):
    report = examined("recurrent", inputs=lambda x: x.astype("float32"))
    assert found(report) == []
