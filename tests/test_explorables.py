"""The net of the explorable "Signal through depth", in a real browser.

The scripts are taken from the book's sources: these tests need no rendered site.
"""

import itertools
import math

import numpy as np
import pytest
from explorable_scripts import FOLDER, SCRIPTS, agree
from scipy import stats

from companion import activations, initializers
from companion.diagnostics import diagnose
from companion.mlp import Activation, Dense, Sequential

NAMES = [
    *("logistic", "tanh", "relu", "leaky_relu", "elu", "selu"),
    *("softplus", "gelu", "silu"),
]


def test_the_pages_are_light():
    sizes = [path.stat().st_size for path in FOLDER.glob("*.js")]
    assert 0 < sum(sizes) < 60_000
    for path in FOLDER.glob("*.png"):
        assert path.stat().st_size < 60_000


def test_nothing_but_the_pages_touches_a_document():
    for name in SCRIPTS:
        assert "document" not in (FOLDER / f"{name}.js").read_text("utf-8")


# --- functions ------------------------------------------------------------------------
def test_erfc(js):
    x = np.linspace(-6, 26, 3201)
    ours = js("(x) => x.map(explorables.normal.erfc)", x)
    agree(ours, [math.erfc(one) for one in x], 12)


@pytest.mark.parametrize("name", NAMES)
def test_an_activation_and_its_derivative(js, name):
    far = np.array([0.0, 1e-300, 1e-12, 1e-6, 1e-3, 50, 700, 800, 1e4, 1e100])
    z = np.concatenate([np.linspace(-40, 40, 1601), far, -far])
    for part, function in (("f", name), ("slope", f"{name}_grad")):
        ours = js(f"(z) => z.map(explorables.activations.{name}.{part})", z)
        # Where terms cancel, a rounding of 1 is left.
        agree(ours, getattr(activations, function)(z), 11, floor=3e-16)


def test_the_constants(js):
    assert js("() => explorables.SELU_ALPHA") == activations.SELU_ALPHA
    assert js("() => explorables.SELU_SCALE") == activations.SELU_SCALE


def test_a_wrong_constant_is_found(js):
    z = np.linspace(-3, 3, 61)
    ours = js("(z) => z.map(explorables.activations.selu.f)", z)
    agree(ours, activations.selu(z), 11)
    with pytest.raises(AssertionError):
        agree(ours, activations.selu(z, scale=1.0507009), 11)


# --- random numbers -------------------------------------------------------------------
def test_normal_numbers_are_normal(js):
    z = np.array(js("() => [...explorables.generator(3).normals(100000)]"))
    assert stats.kstest(z, "norm").pvalue > 0.01
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        error = stats.sem(z**power)
        assert abs((z**power).mean() - moment) < 4 * error
    assert abs(np.corrcoef(z[1:], z[:-1])[0, 1]) < 4 / math.sqrt(len(z))


def test_uniform_numbers_are_uniform(js):
    draw = "() => { const r = explorables.generator(1, 2); "
    draw += "return Array.from({ length: 100000 }, r.uniform); }"
    u = np.array(js(draw))
    assert stats.kstest(u, "uniform").pvalue > 0.01
    assert 0 < u.min() < u.max() < 1


def test_a_seed_and_a_stream_fix_what_is_drawn(js):
    draw = "(s, t) => [...explorables.generator(s, t).normals(20000)]"
    one = js(draw, 0, 1)
    assert js(draw, 0, 1) == one
    for other in (js(draw, 1, 1), js(draw, 0, 2)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(len(one))


@pytest.mark.parametrize(
    "name",
    [
        *("lecun_normal", "lecun_uniform", "glorot_normal"),
        *("glorot_uniform", "he_normal", "he_uniform", "orthogonal"),
    ],
)
def test_an_initializer_draws_like_its_namesake(js, name):
    n = 100
    draw = (
        "(name, n) => [...explorables.drawWeights(name, n, explorables.generator(1))]"
    )
    ours = np.array(js(draw, name, n)).reshape(n, n)
    theirs = getattr(initializers, name)((n, n), rng=np.random.default_rng(0))
    assert stats.ks_2samp(ours.ravel(), theirs.ravel()).pvalue > 0.01
    scale = js("(name, n) => explorables.initializers[name].scale(n)", name, n)
    for w in (ours, theirs):
        assert abs((w**2).mean() * n / scale - 1) < 4 * math.sqrt(2) / n
        if name.endswith("uniform"):
            assert 0.999 < np.abs(w).max() / math.sqrt(3 * scale / n) <= 1
        if name == "orthogonal":
            np.testing.assert_allclose(w.T @ w, np.eye(n), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "scale"), [("pytorch_default", 1 / 3), ("standard_normal", 50)]
)
def test_an_initializer_has_its_variance(js, name, scale):
    draw = "(name) => [...explorables.drawWeights(name, 50, explorables.generator(0))]"
    w = np.array(js(draw, name))
    assert abs((w**2).mean() * 50 / scale - 1) < 4 * math.sqrt(2) / 50


def test_inputs_have_the_moments_asked_for(js):
    settings = {"width": 200, "seed": 4, "inputMean": 1.5, "inputStd": 2, "zeros": 0.3}
    x = np.array(js("(s) => [...explorables.network.drawInputs(500, s)]", settings))
    assert abs((x == 0).mean() - 0.3) < 4 * math.sqrt(0.21 / len(x))
    assert abs(x[x != 0].mean() - 1.5) < 4 * 2 / math.sqrt(0.7 * len(x))
    assert abs(x[x != 0].std() - 2) < 0.03


# --- a net ----------------------------------------------------------------------------
RUN = """(activation, gain, n, depth, rows, initializer) => {
  const { generator, network } = explorables;
  const rng = generator(5, 0);
  const x = rng.normals(rows * n);
  const delta = rng.normals(rows * n);
  const weights = network.weightsOf({ initializer, width: n, seed: 7, depth });
  const layers = network.run({ x, weights, gain, activation, delta: delta.slice() });
  const lists = (a) => [...a];
  return {
    x: lists(x),
    delta: lists(delta),
    weights: weights.map(lists),
    layers: layers.map(({ slopes, ...layer }) => ({ ...layer, h: lists(layer.h) })),
  };
}"""


def column(layers, what):
    return np.array([layer[what] for layer in layers])


@pytest.mark.parametrize(
    ("activation", "gain", "initializer"),
    [
        ("tanh", 1.0, "lecun_normal"),
        ("relu", 1.3, "he_uniform"),
        ("selu", 0.7, "orthogonal"),
        ("gelu", 1.5, "glorot_uniform"),
        ("logistic", 2.0, "standard_normal"),
    ],
)
def test_a_net_is_that_of_companion(js, activation, gain, initializer):
    n, depth, rows = 20, 8, 12
    told = js(RUN, activation, gain, n, depth, rows, initializer)
    x, delta = (np.reshape(told[name], (rows, n)) for name in ("x", "delta"))
    layers = []
    for w in told["weights"]:
        weights = gain * np.reshape(w, (n, n))
        dense = Dense(n, n, rng=np.random.default_rng(0))
        dense.parameters["W"] = weights
        layers.append(dense)
        layers.append(Activation(activation))
    outputs = [x]
    for layer in layers:
        outputs.append(layer.forward(outputs[-1]))
    above = told["layers"][1:]
    h = np.array(outputs[2::2])
    agree(column(above, "h").reshape(h.shape), h, 10, floor=1e-13)
    agree(column(above, "mean"), h.mean(axis=(1, 2)), 8, floor=1e-13)
    agree(column(above, "std"), h.std(axis=(1, 2)), 9)
    agree(column(above, "meanSquare"), (h**2).mean(axis=(1, 2)), 9)

    norms = [np.linalg.norm(delta)]  # the gradient starts below the topmost activation
    for layer in layers[-2::-1]:
        delta = layer.backward(delta)
        if isinstance(layer, Activation):
            norms.append(np.linalg.norm(delta))
    agree(column(above, "gradient"), norms[::-1], 9)

    top = Dense(n, 2, rng=np.random.default_rng(0))
    report = diagnose(Sequential([*layers, top]), x, np.zeros(rows, int))
    agree(column(above, "saturated"), report.saturated[:-1], 12)
    agree(column(above, "dead"), report.dead[:-1], 12)


def test_a_wrong_gain_is_found(js):
    told = js(RUN, "tanh", 1.0, 20, 1, 12, "lecun_normal")
    x, w = np.reshape(told["x"], (12, 20)), np.reshape(told["weights"], (20, 20))
    agree(np.reshape(told["layers"][1]["h"], (12, 20)), np.tanh(x @ w), 10)
    with pytest.raises(AssertionError):
        agree(
            np.reshape(told["layers"][1]["h"], (12, 20)), np.tanh(1.00001 * x @ w), 10
        )


def test_a_deeper_net_begins_like_a_shallower_one(js):
    settings = {"initializer": "he_normal", "width": 10, "seed": 1}
    draw = "(s, depth) => "
    draw += "explorables.network.weightsOf({ ...s, depth }).map((w) => [...w])"
    three = js(draw, settings, 3)
    assert js(draw, settings | {"seed": 2}, 3) != three
    assert js(draw, settings, 5)[:3] == three
    assert js(draw, settings, 3) == three


# --- theory ---------------------------------------------------------------------------
def expected(f, s):
    """Integrate f(s t) over a standard normal t, both sides of the kink in parts."""
    ends = [0, 1e-3, 1e-2, 0.1, 0.5, 1, 2, 4, 8, 16, 38]
    nodes, weights = np.polynomial.legendre.leggauss(100)
    total = 0
    for low, high in itertools.pairwise(ends):
        t = (low + high + (high - low) * nodes) / 2
        both = f(s * t) + f(-s * t)
        total += (high - low) / 2 * weights @ (both * stats.norm.pdf(t))
    return total


@pytest.mark.parametrize("name", NAMES)
def test_the_prediction_is_that_of_quadrature(js, name):
    f, slope = getattr(activations, name), getattr(activations, f"{name}_grad")
    for c in (0.5, 2.0, 200.0):
        options = {"activation": name, "c": c, "inputMeanSquare": 1.5, "depth": 4}
        layers = js("(o) => explorables.meanField.predict(o)", options)
        q, chis = 1.5, []
        for layer in layers[1:]:
            s = math.sqrt(c * q)
            q = expected(lambda z: f(z) ** 2, s)
            chis.append(c * expected(lambda z: slope(z) ** 2, s))
            agree(layer["meanSquare"], q, 8)
            agree(layer["mean"], expected(f, s), 8, floor=1e-12)
            agree(layer["chi"], chis[-1], 8)
        norms = np.sqrt(np.cumprod([1, *chis[-2::-1]]))[::-1]
        agree(column(layers[1:], "gradient"), norms, 8)


def test_a_wrong_variance_is_found(js):
    options = {"activation": "tanh", "c": 1.0, "inputMeanSquare": 1.0, "depth": 1}
    layers = js("(o) => explorables.meanField.predict(o)", options)
    agree(layers[1]["meanSquare"], expected(lambda z: np.tanh(z) ** 2, 1.0), 8)
    with pytest.raises(AssertionError):
        agree(layers[1]["meanSquare"], expected(lambda z: np.tanh(z) ** 2, 1.00001), 8)


def test_a_wide_net_follows_its_prediction(js):
    settings = {
        **{"activation": "selu", "initializer": "lecun_normal", "gain": 1.1},
        **{"depth": 10, "width": 200, "seed": 0},
        **{"inputMean": 0.5, "inputStd": 1.2, "zeros": 0.4},
    }
    measured = js(
        "(s) => explorables.network.simulate(s).map((l) => l.meanSquare)", settings
    )
    told = js(
        "(s) => explorables.meanField.predictFor(s).map((l) => l.meanSquare)", settings
    )
    np.testing.assert_allclose(measured, told, rtol=0.15)


def test_a_histogram_counts_all(js):
    values = [-9.0, -1.0, -0.5, 0.0, 0.99, 1.0, 7.0]
    counts = js("(v) => explorables.histogram(v, -1, 1, 4)", values)
    assert counts == [2, 1, 1, 3]
