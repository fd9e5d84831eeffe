"""The report of signal and gradients: each statistic against its definition."""

import dataclasses
import json
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import refusal

from companion import activations
from companion.diagnostics import SATURATED_BELOW, Finding, Report, diagnose
from companion.mlp import (
    Activation,
    Dense,
    PReLU,
    RReLU,
    Sequential,
    softmax_cross_entropy,
    stack,
)

#: The columns of a report: arrays with a row for each layer.
FIELDS = [field.name for field in dataclasses.fields(Report)][1:-1]
STEP = 6e-6  # the cube root of eps: best for a central difference


def rng(seed=0):
    return np.random.default_rng(seed)


def rngs(n=3):
    return [rng(seed) for seed in range(n)]


def batch(n=6, features=4, classes=3, seed=9):
    r = rng(seed)
    return r.standard_normal((n, features)), r.integers(classes, size=n)


def identity(shape, rng):
    return np.eye(*shape)


def net_of(*parts, r=None):
    """Build a net from widths, a number, and names of activations, a string."""
    layers, n = [], parts[0]
    r = r or rng()
    copies = (len(r),) if isinstance(r, list) else ()
    for part in parts[1:]:
        if part == "prelu":  # slopes from -1 to 2, the same for each copy
            layer = PReLU(n, copies=copies)
            layer.parameters["alpha"][:] = np.linspace(-1, 2, n)
            layers.append(layer)
        elif part == "rrelu":
            layers.append(RReLU(rng=r))
        elif isinstance(part, str):
            layers.append(Activation(part))
        else:
            layers.append(Dense(n, part, rng=r))
            n = part
    return Sequential(layers)


#: A common net, one whose output has an activation, one with dense layers in a row,
#: one that begins with an activation, and one layer alone.
NETS = {
    "hidden": (4, 5, "tanh", 5, "tanh", 3),
    "activation at the end": (4, 5, "logistic", 3, "softsign"),
    "two dense in a row": (4, 5, 4, "tanh", 3),
    "activation first": (4, "tanh", 5, "logistic", 3),
    "one layer": (4, 3),
    "learned slopes": (4, 5, "prelu", 6, "prelu", 3),
    "random slopes": (4, 5, "rrelu", 6, "rrelu", 3),
}
nets = pytest.mark.parametrize("parts", NETS.values(), ids=NETS)


def blocks(net):
    """Split a net into its dense layers, each with what follows it."""
    groups = []
    for layer in net.layers:
        if isinstance(layer, Dense):
            groups.append([layer])
        elif groups:
            groups[-1].append(layer)
    return groups


def signals(net, x):
    """Return z and h of each dense layer, computed without the layers' code."""
    found, h = [], np.asarray(x, float)
    for layer in net.layers:
        if isinstance(layer, Dense):
            z = h @ layer.parameters["W"] + layer.parameters["b"][..., None, :]
            h = z
            found.append([z, h])
        else:
            h = after(layer, h)
            if found:
                found[-1][1] = h
    return found


def after(layer, z):
    """Return what an activation makes of `z`, computed without the layer's code."""
    if isinstance(layer, PReLU):
        return np.where(z > 0, z, layer.parameters["alpha"][..., None, :] * z)
    if isinstance(layer, RReLU):
        return np.where(z > 0, z, 11 / 48 * z)
    return getattr(activations, layer.name)(z)


# --- against the definitions ----------------------------------------------------------
@nets
def test_mean_and_variance_are_those_of_the_outputs(parts):
    net, (x, y) = net_of(*parts), batch()
    report = diagnose(net, x, y)
    outputs = [h for _, h in signals(net, x)]
    np.testing.assert_allclose(report.mean, [h.mean() for h in outputs], rtol=1e-13)
    np.testing.assert_allclose(report.variance, [h.var() for h in outputs], rtol=1e-13)


def test_the_first_activation_belongs_to_the_layer():
    net, (x, y) = net_of(4, 5, "relu", "tanh", 3), batch()
    report = diagnose(net, x, y)
    assert report.layers == ("layer 0: Dense, relu", "layer 3: Dense")
    (_, h), _ = signals(net, x)
    assert report.mean[0] == np.maximum(signals(net, x)[0][0], 0).mean() != h.mean()


def loss_from(net, layer, z, y):
    """Go on from the pre-activation `z` of a layer to the loss."""
    for later in net.layers[net.layers.index(layer) + 1 :]:
        z = later.forward(z)
    return softmax_cross_entropy(z, y)[0]


def central_difference(objective, array):
    """Return the gradient of `objective` with respect to each element of `array`."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        ends = []
        for h in (STEP, -STEP):
            array[index] = kept + h
            ends.append(objective())
        array[index] = kept
        gradient[index] = (ends[0] - ends[1]) / (2 * STEP)
    return gradient


@nets
def test_norms_are_those_of_finite_differences(parts):
    net, (x, y) = net_of(*parts), batch()
    report = diagnose(net, x, y)
    for i, (layer, (z, _)) in enumerate(zip(net.dense, signals(net, x), strict=True)):
        delta = central_difference(
            lambda layer=layer, z=z: loss_from(net, layer, z, y), z
        )
        W = layer.parameters["W"]
        gradient = central_difference(
            lambda: softmax_cross_entropy(net.forward(x), y)[0], W
        )
        rtol = {"rtol": 1e-7}
        np.testing.assert_allclose(report.delta_norm[i], frobenius(delta), **rtol)
        np.testing.assert_allclose(report.gradient_norm[i], frobenius(gradient), **rtol)
        expected = frobenius(gradient) / frobenius(W)
        np.testing.assert_allclose(report.gradient_to_weight[i], expected, **rtol)


def frobenius(matrix):
    return np.sqrt((matrix**2).sum())


@pytest.mark.parametrize("name", [n for n in NETS if "slopes" not in n])
def test_shares_are_those_of_the_slopes(name):
    net, (x, y) = net_of(*NETS[name]), batch(n=40)
    for layer in net.dense:
        layer.parameters["W"] *= 4  # so that some are saturated
    report = diagnose(net, x, y)
    peaks = {"tanh": 1, "logistic": 1 / 4, "softsign": 1}
    for i, (group, (z, _)) in enumerate(zip(blocks(net), signals(net, x), strict=True)):
        saturated = dead = 0.0
        if len(group) == 2:
            name = group[1].name
            slope = getattr(activations, f"{name}_grad")(z)
            saturated = np.mean(slope < 0.05 * peaks[name])
            dead = np.mean((slope == 0).all(axis=0))
            assert 0 < saturated < 1
        assert report.saturated[i] == saturated
        assert report.dead[i] == dead


def test_another_loss_is_the_one_that_is_differentiated():
    net, (x, y) = net_of(*NETS["hidden"]), batch()

    def squared(outputs, targets):
        difference = outputs - targets[:, None]
        return (difference**2).sum() / 2, difference

    report = diagnose(net, x, y, squared)
    z = signals(net, x)[-1][0]
    np.testing.assert_allclose(report.delta_norm[-1], frobenius(z - y[:, None]))


# --- by construction ------------------------------------------------------------------
def test_units_with_a_huge_negative_bias_are_dead():
    net, (x, y) = net_of(4, 8, "relu", 3), batch(n=200)
    assert diagnose(net, x, y).dead.tolist() == [0, 0]
    net.dense[0].parameters["b"][[1, 4, 6]] = -1e4
    report = diagnose(net, x, y)
    assert report.dead.tolist() == [3 / 8, 0]
    alive = np.delete(signals(net, x)[0][0], [1, 4, 6], axis=1)
    expected = (3 + 5 * np.mean(alive <= 0)) / 8
    np.testing.assert_allclose(report.saturated[0], expected, rtol=1e-13)


def test_unit_that_lives_in_one_row_is_not_dead():
    net = Sequential([Dense(2, 2, initializer=identity, rng=rng()), Activation("relu")])
    x = np.array([[-1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])
    report = diagnose(net, x, np.array([0, 1, 0]))
    assert report.dead.tolist() == [0.5]
    np.testing.assert_allclose(report.saturated, [5 / 6])


def test_leaky_units_never_die():
    net, (x, y) = net_of(4, 8, "leaky_relu", 3), batch()
    net.dense[0].parameters["b"][:] = -1e4
    report = diagnose(net, x, y)
    assert report.dead.tolist() == [0, 0]
    assert report.saturated.tolist() == [1, 0]  # a slope of 0.01 is below 5 % of 1


def test_learned_slopes_have_their_own_threshold():
    # The steepest slope of the layer is 4, so that all below 0.2 are saturated.
    net, (x, y) = net_of(4, 5, "prelu", 3), batch(n=40)
    net.layers[1].parameters["alpha"] = np.array([0.0, -0.1, 0.21, 1.0, -4.0])
    net.dense[0].parameters["b"][:] = -1e4
    report = diagnose(net, x, y)
    assert report.saturated.tolist() == [2 / 5, 0]
    assert report.dead.tolist() == [1 / 5, 0]


def test_random_slopes_are_reported_by_their_mean():
    # 11/48 is above 5 % of 1: nothing is saturated, and no number is drawn.
    r = rng()
    net, (x, y) = net_of(4, 5, "rrelu", 3, r=r), batch(n=40)
    state = r.bit_generator.state
    first, second = (diagnose(net, x, y) for _ in range(2))
    assert r.bit_generator.state == state
    assert first.to_dict() == second.to_dict()
    assert first.saturated.tolist() == first.dead.tolist() == [0, 0]
    net.layers[1] = RReLU(0.0, 0.08, rng=rng())
    net.dense[0].parameters["b"][:] = -1e4
    assert diagnose(net, x, y).saturated.tolist() == [1, 0]


def test_logistic_with_huge_weights_saturates():
    net, (x, y) = net_of(4, 8, "logistic", 3), batch(n=100)
    assert diagnose(net, x, y).saturated[0] == 0
    net.dense[0].parameters["W"] *= 1e6
    report = diagnose(net, x, y)
    assert report.saturated[0] > 0.99
    assert 0.2 < report.variance[0] <= 0.25


@pytest.mark.parametrize(
    ("name", "peak"), [("tanh", 1.0), ("logistic", 0.25), ("selu", 1.7580993408473766)]
)
def test_threshold_is_a_twentieth_of_the_largest_slope(name, peak):
    assert SATURATED_BELOW == 0.05
    grad = getattr(activations, f"{name}_grad")
    z = np.linspace(-8, 0, 4001)
    slopes = grad(z) / peak
    z = z[[np.abs(slopes - share).argmin() for share in (0.049, 0.051)]]
    assert (grad(z) / peak < 0.05).tolist() == [True, False]
    net = Sequential([Dense(2, 2, initializer=identity, rng=rng()), Activation(name)])
    assert diagnose(net, z[None, :], np.array([0])).saturated.tolist() == [0.5]


# --- copies, and what is left alone ---------------------------------------------------
@nets
@pytest.mark.parametrize("shared", [True, False])
def test_copies_are_reported_as_each_alone(parts, shared):
    net, (x, y) = net_of(*parts, r=rngs()), batch(n=20)
    if not shared:
        x = rng(1).standard_normal((3, *x.shape))
        y = rng(2).integers(3, size=(3, 20))
    report = diagnose(net, x, y)
    for k in range(3):
        alone = net_of(*parts, r=rng(k))
        x_k, y_k = (x, y) if shared else (x[k], y[k])
        expected = diagnose(alone, x_k, y_k)
        for name in FIELDS:
            got = getattr(report, name)
            assert got.shape == (len(net.dense), 3)
            np.testing.assert_allclose(
                got[:, k], getattr(expected, name), rtol=1e-12, err_msg=name
            )
    assert len(np.unique(report.variance)) == report.variance.size


@pytest.mark.parametrize("r", [rng(), rngs()])
@pytest.mark.parametrize("name", ["hidden", "learned slopes"])
def test_parameters_and_arguments_stay_as_they_are(name, r):
    net, (x, y) = net_of(*NETS[name], r=r), batch()
    before = [{k: v.copy() for k, v in d.parameters.items()} for d in net.trainable]
    kept = x.copy(), y.copy()
    frozen = [x, y, *(v for d in net.trainable for v in d.parameters.values())]
    for array in frozen:
        array.setflags(write=False)
    diagnose(net, x, y)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])
    for layer, parameters in zip(net.trainable, before, strict=True):
        for part, array in parameters.items():
            np.testing.assert_array_equal(layer.parameters[part], array)


def test_stored_gradients_become_those_of_the_rows():
    net, (x, y) = net_of(*NETS["hidden"]), batch()
    report = diagnose(net, x, y)
    norms = [frobenius(layer.gradients["W"]) for layer in net.dense]
    np.testing.assert_allclose(report.gradient_norm, norms, rtol=1e-14)
    assert diagnose(net, x, y).to_dict() == report.to_dict()


# --- the report -----------------------------------------------------------------------
COLUMNS = ["mean", "std", *FIELDS[2:]]


def report_of(*values, layers=("layer 0: Dense, relu", "layer 2: Dense"), found=()):
    """Make a report by hand, whose columns but the mean are all the same."""
    mean, other = map(np.array, values)
    return Report(layers, mean, other**2, *[other] * 5, findings=found)


def test_to_dict_has_what_was_measured():
    net, (x, y) = net_of(*NETS["hidden"]), batch()
    report = diagnose(net, x, y)
    found = json.loads(json.dumps(report.to_dict()))
    assert found["healthy"] is True
    assert found["findings"] == []
    names = ["layer 0: Dense, tanh", "layer 2: Dense, tanh", "layer 4: Dense"]
    assert [row.pop("layer") for row in found["layers"]] == names == [*report.layers]
    for i, row in enumerate(found["layers"]):
        assert list(row) == COLUMNS
        assert row == {name: getattr(report, name)[i] for name in COLUMNS}


def test_to_dict_writes_copies_as_lists_and_what_is_not_finite_as_none():
    report = report_of([[1.0, 2.0]], [[np.nan, np.inf]], layers=("layer 0: Dense",))
    (row,) = report.to_dict()["layers"]
    assert row["mean"] == [1.0, 2.0]
    assert row["dead"] == [None, None]


def test_to_dict_has_the_findings():
    report = report_of([0.0, 0.0], [1.0, 1.0], found=(SICK, NOTE))
    found = report.to_dict()["findings"]
    assert [Finding(**finding) for finding in found] == [SICK, NOTE]


def test_report_prints_a_row_for_each_layer():
    text = str(report_of([1.0, -0.25], [0.5, 1e-9])).splitlines()
    assert text[0].split() == ["layer", *COLUMNS]
    assert text[1].split() == ["layer", "0:", "Dense,", "relu", "1", *["0.5"] * 6]
    assert text[2].split() == ["layer", "2:", "Dense", "-0.25", *["1e-09"] * 6]
    assert len({len(line) for line in text[:3]}) == 1
    assert text[3:] == ["", "Healthy: nothing was found."]
    assert repr(report_of([1.0, -0.25], [0.5, 1e-9])).splitlines() == text


def test_report_prints_the_median_of_the_copies():
    report = report_of([[1.0, 2.0, 30.0]], [[2.0, 2.0, 2.0]], layers=("layer 0",))
    assert str(report).splitlines()[1].split() == ["layer", "0", *["2"] * 7]


SICK = Finding("dead", "All are dead.", "Revive <them>.", ("a",), "activations")
NOTE = Finding("batch_statistics", "Hm.", "Ha.", (), "normalization", note=True)


def test_report_prints_the_findings_worst_first():
    report = report_of([0.0, 0.0], [1.0, 1.0], found=(SICK, NOTE))
    assert not report.healthy
    assert str(report).splitlines()[4:] == [
        "Findings:",
        "1. All are dead. Revive <them>. [chapter activations]",
        "note. Hm. Ha. [chapter normalization]",
    ]


def test_a_note_is_no_disease():
    report = report_of([0.0, 0.0], [1.0, 1.0], found=(NOTE,))
    assert report.healthy
    assert str(report).splitlines()[4] == "Healthy, with a note:"


def test_html_has_the_table_and_the_findings_escaped():
    report = report_of([1.0, -0.25], [0.5, 1e-9], found=(SICK,))
    page = ElementTree.fromstring(f"<div>{report._repr_html_()}</div>")
    rows = [[cell.text for cell in row] for row in page.iter("tr")]
    assert rows[0] == ["layer", *COLUMNS]
    assert rows[2] == ["layer 2: Dense", "-0.25", *["1e-09"] * 6]
    (paragraph,) = (p.text for p in page.iter("p") if p.text)
    assert paragraph == "1. All are dead. Revive <them>. [chapter activations]"


def test_plot_draws_each_column():
    figure = report_of([1.0, -0.25], [0.5, 0.25]).plot()
    lines = [line for ax in figure.axes for line in ax.lines]
    assert [line.get_label() for line in lines] == [
        *("mean", "std", "saturated", "dead", "delta norm", "gradient norm")
    ]
    for line, height in zip(lines, [[1.0, -0.25], *[[0.5, 0.25]] * 5], strict=True):
        assert line.get_xdata().tolist() == [1, 2]
        assert line.get_ydata().tolist() == height
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
    plt.close(figure)


@pytest.mark.parametrize("nothing", [0.0, np.nan])
def test_plot_of_copies_and_without_gradients(nothing):
    report = report_of([[1.0, 3.0, 2.0]], [[nothing] * 3], layers=("layer 0",))
    figure = report.plot()
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2]
    assert figure.axes[2].get_yscale() == "linear"
    plt.close(figure)


def test_report_cannot_be_changed():
    report = report_of([0.0, 0.0], [1.0, 1.0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.mean = np.ones(1)


# --- refusals -------------------------------------------------------------------------
@pytest.mark.parametrize("layers", [[], [Activation("relu")]])
def test_net_without_dense_layer_is_refused(layers):
    text = "diagnose: `net` must have a dense layer; got none."
    assert refusal(diagnose, Sequential(layers), *batch()) == (ValueError, text)


@pytest.mark.parametrize("shape", [(6,), (6, 5), (2, 6, 5)])
def test_inputs_of_another_shape_are_refused(shape):
    net, (_, y) = net_of(*NETS["hidden"]), batch()
    text = f"Dense.forward: `x` must have shape (..., n, 4); got {shape}."
    assert refusal(diagnose, net, np.zeros(shape), y) == (ValueError, text)


def test_labels_of_another_shape_are_refused():
    net, (x, y) = net_of(*NETS["hidden"]), batch()
    text = (
        "softmax_cross_entropy: `logits` (..., n, n_classes) and `labels` (..., n) "
        "must have the same n; got shapes (6, 3) and (5,)."
    )
    assert refusal(diagnose, net, x, y[:5]) == (ValueError, text)


@pytest.mark.parametrize("name", ["relu", "prelu", "rrelu"])
def test_stack_of_the_book_is_reported(name):
    net, (x, y) = stack([4, 6, 3], activation=name, rng=rng()), batch()
    assert diagnose(net, x, y).mean.shape == (2,)


def test_refuses_what_is_no_net():
    with pytest.raises(TypeError, match=r"^diagnose: `net` must be a Sequential; got"):
        diagnose(5, np.zeros((1, 2)), np.zeros(1, int))


def test_reports_can_be_compared():
    net = stack([2, 3, 2], activation="relu", rng=np.random.default_rng(0))
    x, y = np.ones((4, 2)), np.zeros(4, int)
    assert diagnose(net, x, y) != diagnose(net, x, y)
