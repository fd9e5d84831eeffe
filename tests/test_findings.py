"""The doctor's rules: each finds its disease, and leaves a healthy net alone."""

import dataclasses
import math

import numpy as np
import pytest

from companion import initializers
from companion._calls import Call, Signal, Weights, alike, norm, shares, slope_of
from companion._findings import RULES, Examination, Finding, findings, named
from companion.diagnostics import diagnose
from companion.mlp import AlphaDropout, Dropout, stack
from companion.normalization import BatchNorm, LayerNorm
from companion.recipes import OPTIONS

CHAPTERS = (
    *("vanishing_gradients", "initializers", "activations", "self_normalization"),
    *("dropout", "normalization", "recipes"),
)


def data(n=100, features=20, classes=5):
    r = np.random.default_rng(9)
    return r.standard_normal((n, features)), r.integers(classes, size=n)


def net_of(activation="relu", depth=8, initializer=None, **options):
    name = initializers.recommended("test", activation, "normal")
    initializer = initializer or getattr(initializers, name)
    widths = [20, *[50] * depth, 5]
    r = np.random.default_rng(1)
    return stack(
        widths, activation=activation, initializer=initializer, rng=r, **options
    )


def standard_normal(shape, *, rng):
    return rng.standard_normal(shape)


def of_variance(scale):
    """Return an initializer whose variance is `scale` over fan_in."""
    return lambda shape, rng: rng.normal(0, math.sqrt(scale / shape[0]), shape)


def diseases(net, x=None, y=None, **options):
    x, y = data() if x is None else (x, data()[1] if y is None else y)
    with np.errstate(all="ignore"):
        return [f.disease for f in diagnose(net, x, y, **options).findings]


def only(net, *arguments):
    """Return the one finding of a net."""
    (finding,) = diagnose(net, *(arguments or data())).findings
    assert finding.chapter in CHAPTERS
    return finding


# --- healthy --------------------------------------------------------------------------
@pytest.mark.parametrize("activation", OPTIONS["activation"])
@pytest.mark.parametrize("depth", [1, 5])
def test_nets_with_the_recommended_weights_are_healthy(activation, depth):
    if (activation, depth) == ("logistic", 5):
        return  # that one is not: see below
    assert diseases(net_of(activation, depth)) == []


@pytest.mark.parametrize(("activation", "depth"), [("elu", 30), ("selu", 50)])
def test_deep_nets_with_the_recommended_weights_are_healthy(activation, depth):
    assert diseases(net_of(activation, depth)) == []


# --- the gradient on its way ----------------------------------------------------------
def test_logistic_after_glorot_weights_vanishes():
    finding = only(net_of("logistic", 10))
    assert finding.disease == "vanishing"
    assert finding.message.startswith("Gradients shrink 0.3")
    assert (
        "per layer from layer 20 down to layer 0: logistic after Glo" in finding.message
    )
    assert finding.layers == ("layer 0", "layer 20")
    assert "He's weights" in finding.remedy


def test_relu_after_the_default_of_pytorch_vanishes():
    finding = only(net_of("relu", 12, of_variance(1 / 3)))
    assert finding.disease == "vanishing"
    assert "relu after PyTorch's default weights" in finding.message
    assert finding.remedy == "Try He's weights, or batch normalization."


def test_relu_after_standard_normal_weights_explodes():
    finding = only(net_of("relu", 10, standard_normal))
    assert finding.disease == "exploding"
    assert "relu after N(0, 1) weights" in finding.message


def test_a_signal_without_gradients_vanishes_and_explodes_too():
    for scale, disease in [(1 / 3, "vanishing"), (18.0, "exploding")]:
        seen = examination(net_of("relu", 12, of_variance(scale)))
        for call in seen.calls:
            call.delta_norm = math.nan
        (finding,) = findings(seen)
        assert finding.disease == disease
        assert finding.message.startswith("The signal ")
        assert "from layer 0 up to layer 24" in finding.message


def test_weights_that_no_initializer_explains_are_described():
    finding = only(net_of("relu", 10, of_variance(18.0)))
    assert "relu after weights of variance 18/fan_in" in finding.message


def test_no_gradient_where_a_layer_is_zero():
    net = net_of("relu", 4)
    net.dense[2].parameters["W"][:] = 0
    net.dense[2].parameters["b"][:] = -1
    found = diagnose(net, *data()).findings
    assert "No gradient at all reaches layer 6" in found[1].message
    assert [f.disease for f in found] == ["symmetric", "vanishing", "dead"]


def test_a_slow_decay_over_many_layers_and_a_fast_one_over_few():
    slow, fast = (
        net_of("leaky_relu", 30, of_variance(1.1)),
        net_of("relu", 7, of_variance(0.3)),
    )
    assert diseases(slow) == ["vanishing"]
    assert diseases(fast) == ["vanishing"]
    assert diseases(net_of("leaky_relu", 12, of_variance(1.1))) == []
    assert diseases(net_of("relu", 4, of_variance(0.3))) == []


def test_two_layers_make_no_trend():
    net = net_of("relu", 1)
    net.dense[1].parameters["W"] *= 1e-4
    assert diseases(net) == []


def test_a_layer_out_of_line_is_no_trend():
    net = net_of("elu", 12)
    net.dense[5].parameters["W"] *= 1e-4
    net.dense[6].parameters["W"] *= 1e4
    assert diseases(net) == []


# --- units ----------------------------------------------------------------------------
def test_equal_units_are_found_in_hidden_layers():
    net = net_of("tanh", 3)
    net.dense[1].parameters["W"][:] = 0.1
    finding = only(net)
    assert finding.disease == "symmetric"
    assert finding.message.startswith("100 % of the units of layer 2 have the same")


def test_zero_weights_whose_gradients_differ_are_no_disease():
    net = net_of("tanh", 3)
    net.dense[-1].parameters["W"][:] = 0
    assert "symmetric" not in diseases(net)


def test_half_dead_layers_are_found_and_counted():
    net = net_of("relu", 3)
    net.dense[1].parameters["b"][:30] = -1e4
    finding = only(net)
    assert (finding.disease, finding.layers) == ("dead", ("layer 3",))
    assert finding.message.startswith("60 % of the units of layer 3 are dead")
    net.dense[1].parameters["b"][:10] = 0
    assert diseases(net) == []


def test_few_rows_say_nothing_about_a_unit():
    net = net_of("relu", 3)
    net.dense[1].parameters["b"][:30] = -1e4
    x, y = data()
    assert "dead" in diseases(net, x[:16], y[:16])
    assert "dead" not in diseases(net, x[:15], y[:15])


def test_tanh_after_standard_normal_weights_is_saturated():
    finding = only(net_of("tanh", 6, standard_normal))
    assert finding.disease == "saturated"
    assert finding.layers == tuple(f"layer {i}" for i in range(1, 13, 2))


def test_saturated_outputs_are_left_to_the_loss():
    net = net_of("tanh", 2)
    net.layers.append(type(net.layers[1])("logistic"))
    net.dense[-1].parameters["W"] *= 1000
    assert "saturated" not in diseases(net)


# --- nan ------------------------------------------------------------------------------
class Broken:
    """Compute the logarithm of what comes in."""

    def forward(self, x, training=False):
        with np.errstate(all="ignore"):
            return np.log(x)

    def backward(self, dy):
        return dy


def nan_inputs(net, x):
    x[3, 4] = np.nan


def nan_weights(net, x):
    net.dense[2].parameters["W"][3, 3] = np.inf


def overflow(net, x):
    net.dense[2].parameters["W"] *= 1e300
    net.dense[1].parameters["W"] *= 1e300


def outside(net, x):
    net.layers.insert(4, Broken())


def behind(net, x):
    net.layers.append(Broken())


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (nan_inputs, "The inputs hold nan or inf."),
        (nan_weights, "The weights of layer 4 hold nan or inf: a step"),
        (overflow, "nan or inf is born in layer 4 (Dense), from finite inputs."),
        (outside, "nan or inf is born between layer 3 and layer 5, in an operation"),
        (behind, "nan or inf is born behind layer 8, in the outputs."),
    ],
)
def test_the_birth_of_nan_is_found(plant, message):
    net, (x, y) = net_of("relu", 4), data()
    plant(net, x)
    with np.errstate(all="ignore"):
        found = diagnose(net, x, y).findings
    assert found[0].disease == "nan"
    assert found[0].message.startswith(message)


def test_nan_of_the_loss_and_of_its_gradient():
    def loss(outputs, y):
        return np.nan, np.zeros_like(outputs)

    def gradient(outputs, y):
        return 1.0, np.full_like(outputs, np.nan)

    net = net_of("relu", 2)
    messages = [diagnose(net, *data(), f).findings[0].message for f in (loss, gradient)]
    assert messages[0] == "nan or inf is born in the loss, from finite outputs."
    assert messages[1].endswith("between the loss and the outputs of layer 4.")


# --- SELU -----------------------------------------------------------------------------
def test_selu_wants_standardized_inputs():
    x, y = data()
    finding = only(net_of("selu", 4), 2 * x + 1, y)
    assert finding.disease == "selu_inputs"
    assert "standard deviation 2" in finding.message


@pytest.mark.parametrize(
    ("initializer", "disease", "words"),
    [
        (initializers.he_normal, "selu_weights", "SELU after He's weights"),
        (of_variance(1 / 3), "selu_weights", "SELU after PyTorch's default weights"),
        (of_variance(9 / 16), "selu_gain", "calculate_gain('selu')"),
        (of_variance(4.0), "selu_weights", "variance is 3.9"),
    ],
)
def test_selu_wants_lecun_weights(initializer, disease, words):
    finding = only(net_of("selu", 4, initializer))
    assert finding.disease == disease
    assert words in finding.message


def test_selu_beside_plain_dropout_and_normalization():
    r = np.random.default_rng(0)
    for layers, disease in [
        ([Dropout(0.1, rng=r)], "selu_dropout"),
        ([BatchNorm(50)], "selu_normalization"),
        ([LayerNorm(50)], "selu_normalization"),
        ([AlphaDropout(0.1, rng=r)], None),
    ]:
        net = net_of("selu", 3)
        net.layers[2:2] = layers
        assert diseases(net) == ([disease] if disease else [])


def test_another_activation_may_have_all_that():
    net = net_of("elu", 3)
    net.layers[2:2] = [BatchNorm(50), Dropout(0.1, rng=np.random.default_rng(0))]
    assert diseases(net) == []


def test_one_selu_among_others_makes_no_selu_net():
    net = net_of("elu", 3, initializers.he_normal)
    net.layers[3] = type(net.layers[3])("selu")
    assert diseases(net) == []


def test_a_normalization_of_the_inputs_suits_selu():
    net, (x, y) = net_of("selu", 3), data()
    net.layers.insert(0, BatchNorm(20))
    net.layers[0].running_mean, net.layers[0].running_var = (
        x.mean(axis=0),
        x.var(axis=0),
    )
    assert diseases(net, 300 * (x + 5), y) != []
    net.layers[0].running_mean = 300 * (x.mean(axis=0) + 5)
    net.layers[0].running_var = 300**2 * x.var(axis=0)
    assert diseases(net, 300 * (x + 5), y) == []


# --- inputs and modes -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: 100 * x, "their root mean square is 100"),
        (lambda x: x / 100, "their root mean square is 0.0"),
        (
            lambda x: x * np.where(np.arange(20) < 1, 40, 1),
            "the largest of them varies",
        ),
        (lambda x: x + 8, "their means are 8"),
    ],
)
def test_unscaled_inputs_are_found(change, words):
    x, y = data()
    finding = only(net_of("relu", 3), change(x), y)
    assert finding.disease == "unscaled_inputs"
    assert words in finding.message


def examination(net, **options):
    """Return what diagnose sees, for the rules that NumPy's nets cannot break."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("companion.diagnostics.Report.of", lambda seen: kept.append(seen))
        diagnose(net, *data())
    return dataclasses.replace(kept[0], **options)


@pytest.mark.parametrize(
    ("testing", "labeled", "expected"),
    [
        (True, True, ("batch_statistics", False)),
        (True, False, ("batch_statistics", False)),
        (False, False, ("batch_statistics", True)),
        (False, True, None),
    ],
)
def test_statistics_of_the_batch_are_for_training(testing, labeled, expected):
    net = net_of("relu", 3, batch_norm="before")
    seen = examination(net, testing=testing, labeled=labeled)
    assert findings(seen) == ()
    for call in seen.calls:
        call.training = call.kind == "normalization"
    found = [(finding.disease, finding.note) for finding in findings(seen)]
    assert found == ([expected] if expected else [])


# --- order, and parts -----------------------------------------------------------------
def test_findings_come_in_the_order_of_the_rules():
    net, (x, y) = net_of("selu", 4, initializers.he_normal), data()
    net.layers[2:2] = [Dropout(0.1, rng=np.random.default_rng(0))]
    net.dense[3].parameters["W"][:] = 0.01
    assert diseases(net, 50 * x, y) == [
        *("symmetric", "saturated", "selu_inputs", "selu_weights", "selu_dropout"),
        "unscaled_inputs",
    ]
    assert len(RULES) == 10


def test_a_finding_reads_as_a_sentence():
    finding = Finding("dead", "Dead.", "Mend.", ("a",), "activations")
    assert str(finding) == "Dead. Mend. [chapter activations]"


@pytest.mark.parametrize(
    ("initializer", "names"),
    [
        (initializers.glorot_normal, ("Glorot's",)),
        (initializers.lecun_uniform, ("LeCun's",)),
        (initializers.he_uniform, ("He's",)),
        (of_variance(1 / 3), ("PyTorch's default",)),
        (of_variance(9 / 16), ("gain-3/4",)),
        (standard_normal, ("N(0, 1)",)),
        (of_variance(5.0), ()),
    ],
)
def test_initializers_are_known_by_their_variance(initializer, names):
    W = initializer((200, 120), rng=np.random.default_rng(0))
    assert named(Weights.of(W)) == names


def test_glorot_and_lecun_are_one_in_a_square():
    W = initializers.glorot_normal((200, 200), rng=np.random.default_rng(0))
    assert named(Weights.of(W)) == ("Glorot's", "LeCun's")


def test_twins_are_counted():
    W = np.random.default_rng(0).standard_normal((30, 10))
    assert alike(W) == 0
    W[:, 3] = W[:, 8] = W[:, 1] * (1 + 1e-15)
    assert alike(W) == 3 / 10
    W[:, 3] *= 1 + 1e-5
    assert alike(W) == 2 / 10
    assert alike(W[:, :1]) == 0
    assert alike(np.stack([W, np.ones_like(W)])).tolist() == [2 / 10, 1]
    assert Weights.of(np.ones((3, 4)), grouped=True).alike == 0


def test_norm_of_what_is_not_finite_is_inf():
    assert norm(np.array([[3.0, 4.0]])) == 5
    assert norm(np.array([[3.0, np.nan]])) == math.inf
    assert norm(np.array([[[1.0]], [[-np.inf]]])).tolist() == [1, math.inf]


def test_signal_is_measured_over_rows_and_units():
    array = np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 10.0]])
    signal = Signal.of(array)
    assert (signal.mean, signal.rows) == (6.5, 3)
    np.testing.assert_allclose(signal.variance, array.var())
    np.testing.assert_allclose(signal.rms, np.sqrt((array**2).mean()))
    np.testing.assert_allclose(signal.scales, [np.sqrt(8 / 3), 0])
    np.testing.assert_allclose(signal.offset, 3 / np.sqrt(8 / 3))
    assert Signal.of(np.ones((2, 2))).offset == 0
    assert not Signal.of(np.array([[1.0, np.nan]])).finite


def test_relu6_has_a_slope_in_between():
    z = np.array([[-1.0], [0.0], [3.0], [6.0], [7.0]])
    assert slope_of("relu6")(z).ravel().tolist() == [0, 0, 1, 0, 0]
    assert shares(slope_of("relu6"), z) == (4 / 5, 0)
    assert slope_of("leaky_relu", alpha=0.3)(z[:1]).item() == 0.3
    assert slope_of("no such thing") is None


def test_an_examination_knows_its_hidden_layers():
    signal = Signal.of(np.ones((2, 2)))
    calls = [
        Call(name, kind, "f", signal, signal)
        for name, kind in [
            *(("a", "weights"), ("b", "dropout"), ("c", "weights"), ("d", "dropout"))
        ]
    ]
    seen = Examination(calls, [], testing=True)
    assert [call.name for call in seen.hidden("dropout")] == ["b"]
    assert [call.name for call in seen.weighted] == ["a", "c"]
