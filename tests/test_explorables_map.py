"""The map of the explorable "The self-normalizing map", in a real browser."""

import itertools

import numpy as np
import pytest
from explorable_scripts import agree

from companion.activations import SELU_ALPHA, SELU_SCALE
from companion.dropout import alpha_dropout_affine
from companion.self_normalization import fixed_point, iterate, jacobian, moments

#: Means and variances, sums of weights and of squares, alpha and lambda: the page's and
#: far beyond.
MEANS = [-40.0, -2.0, -0.3, 0.0, 1e-9, 0.1, 1.0, 30.0]
VARIANCES = [1e-8, 1e-3, 0.02, 0.249, 0.26, 1.0, 4.0, 300.0, 1e4]
WEIGHTS = [(0.0, 1.0), (0.5, 0.5), (-1.5, 2.0)]
CONSTANTS = [
    (SELU_ALPHA, SELU_SCALE),
    (1.0, 1.0),
    (3.2, 0.6),
]
MAP = """(states, omega, tau, alpha, scale) => states.map((state) => {
  const settings = { omega, tau, alpha, scale };
  return [explorables.moments(state, settings), explorables.jacobian(state, settings)];
})"""


def options(omega, tau, alpha, scale):
    return {"weight_sum": omega, "weight_sumsq": tau, "alpha": alpha, "scale": scale}


@pytest.mark.parametrize("constants", CONSTANTS, ids=["selu", "elu", "other"])
@pytest.mark.parametrize("weights", WEIGHTS, ids=["normalized", "small", "large"])
def test_the_map_and_its_slopes(js, weights, constants):
    states = np.array(list(itertools.product(MEANS, VARIANCES)))
    told = js(MAP, states, *weights, *constants)
    values, slopes = (np.array([pair[i] for pair in told]) for i in (0, 1))
    arguments = options(*weights, *constants)
    mean, variance = moments(*states.T, **arguments)
    agree(values[:, 0], mean, 12, floor=1e-15)
    agree(values[:, 1], variance, 11)
    # Of the slopes, what rounding leaves is relative to the largest terms.
    agree(slopes, jacobian(*states.T, **arguments), 10, floor=1e-13)


def test_a_wrong_lambda_is_found(js):
    alpha, scale = CONSTANTS[0]
    told = js(MAP, [[0.5, 1.5]], 0.1, 1.1, alpha, scale)
    right = moments(0.5, 1.5, **options(0.1, 1.1, alpha, scale))
    wrong = moments(0.5, 1.5, **options(0.1, 1.1, alpha, scale + 1e-9))
    agree(told[0][0], right, 12)
    with pytest.raises(AssertionError):
        agree(told[0][0], wrong, 12)


LAYER = """
  const layer = {
    step: (state) => explorables.moments(state, settings),
    slopes: (state) => explorables.jacobian(state, settings),
  };
"""
FIXED = f"""(omega, tau, alpha, scale) => {{
  const settings = {{ omega, tau, alpha, scale }};
  {LAYER}
  return explorables.maps.fixedPoint(layer);
}}"""


@pytest.mark.parametrize("constants", CONSTANTS, ids=["selu", "elu", "other"])
def test_the_fixed_point(js, constants):
    found = 0
    for omega in (-1.5, -0.8, -0.1, 0.0, 0.3, 0.9, 1.1, 1.3, 1.5):
        for tau in (0.5, 0.7, 0.95, 1.0, 1.1, 1.5, 2.0):
            ours = js(FIXED, omega, tau, *constants)
            arguments = options(omega, tau, *constants)
            try:
                point = fixed_point(**arguments)
            except ValueError:
                assert ours["kind"] != "stable", (omega, tau)
                continue
            assert ours["kind"] == "stable", (omega, tau)
            agree(ours["state"], point, 10, floor=1e-11)
            eigenvalues = np.linalg.eigvals(jacobian(*point, **arguments))
            agree(ours["radius"], np.abs(eigenvalues).max(), 9)
            found += 1
    assert found >= (0 if constants == (1.0, 1.0) else 10)


def test_a_fixed_point_can_repel(js):
    selu = CONSTANTS[0]
    ours = js(FIXED, 1.1, 1.0, *selu)
    assert ours["kind"] == "unstable"
    agree(ours["state"], (0, 1), 12, floor=1e-12)
    eigenvalues = np.linalg.eigvals(jacobian(0.0, 1.0, **options(1.1, 1.0, *selu)))
    agree(ours["radius"], np.abs(eigenvalues).max(), 11)


def test_the_size_of_eigenvalues(js):
    rng = np.random.default_rng(0)
    for matrix in rng.standard_normal((50, 2, 2)):
        ours = js("(m) => explorables.maps.spectralRadius(m)", matrix)
        agree(ours, np.abs(np.linalg.eigvals(matrix)).max(), 12)


def test_the_path(js):
    weights, constants = (0.5, 1.1), CONSTANTS[0]
    ours = js(
        f"""(omega, tau, alpha, scale) => {{
          const settings = {{ omega, tau, alpha, scale }};
          {LAYER}
          return explorables.maps.iterate(layer, [1, 3], 20);
        }}""",
        *(*weights, *constants),
    )
    path = np.transpose(iterate(1.0, 3.0, 20, **options(*weights, *constants)))
    agree(ours, path, 12)


def test_the_affine_map_of_alpha_dropout(js):
    affine = "(...given) => explorables.dropout.affine(...given)"
    for rate in (0.0, 0.05, 0.5, 0.9):
        for state in ((0.0, 1.0), (0.3, 2.0), (-0.7, 0.1)):
            for alpha, scale in CONSTANTS:
                ours = js(affine, rate, state, {"alpha": alpha, "scale": scale})
                told = {"alpha": alpha, "scale": scale}
                told |= {"mean": state[0], "var": state[1]}
                a, b = alpha_dropout_affine(rate, **told)
                agree([ours["a"], ours["b"]], [a, b], 12, floor=1e-15)


def test_alpha_dropout_keeps_its_point_and_plain_dropout_the_mean(js):
    step = "(kind, rate, at, point, constants) => (kind === 'alpha' ? "
    step += "explorables.dropout.alpha(rate, point, constants) : "
    step += "explorables.dropout.plain(rate)).step(at)"
    alpha, scale = CONSTANTS[0]
    constants = {"alpha": alpha, "scale": scale}
    agree(js(step, "alpha", 0.3, (0.2, 0.7), (0.2, 0.7), constants), (0.2, 0.7), 12)
    # Elsewhere: the moments of a d x + (1 - d) c, from those of its two parts.
    a, b = alpha_dropout_affine(0.3, mean=0.2, var=0.7)
    dropped, (mean, variance) = -alpha * scale, (1.0, 2.0)
    first = 0.7 * (a * mean + b) + 0.3 * (a * dropped + b)
    second = (
        0.7 * (a**2 * variance + (a * mean + b) ** 2) + 0.3 * (a * dropped + b) ** 2
    )
    ours = js(step, "alpha", 0.3, (mean, variance), (0.2, 0.7), constants)
    agree(ours, (first, second - first**2), 12)
    ours = js(step, "plain", 0.3, (mean, variance), (0, 1), constants)
    agree(ours, (mean, (variance + mean**2) / 0.7 - mean**2), 12)


@pytest.mark.parametrize("kind", ["alpha", "plain"])
def test_the_slopes_of_a_layer_with_dropout(js, kind):
    told = js(
        f"""(kind, omega, tau, alpha, scale) => {{
          const settings = {{ omega, tau, alpha, scale }};
          {LAYER}
          const {{ dropout, maps }} = explorables;
          const after = {{ alpha: dropout.alpha(0.2, [0.1, 1.2], settings),
            plain: dropout.plain(0.2) }}[kind];
          const map = maps.chain(layer, after);
          const by = (m, v) => map.step([0.3 + m, 1.5 + v]);
          return [map.slopes([0.3, 1.5]), by(1e-5, 0), by(-1e-5, 0), by(0, 1e-5),
            by(0, -1e-5)];
        }}""",
        *(kind, 0.4, 1.1, *CONSTANTS[0]),
    )
    slopes, right, left, up, down = map(np.array, told)
    measured = np.transpose([right - left, up - down]) / 2e-5
    agree(slopes, measured, 6, floor=1e-8)


def test_alpha_dropout_leaves_the_fixed_point_of_a_layer(js):
    told = js(
        f"""(omega, tau, alpha, scale) => {{
          const settings = {{ omega, tau, alpha, scale }};
          {LAYER}
          const {{ dropout, maps }} = explorables;
          const alone = maps.fixedPoint(layer);
          const after = dropout.alpha(0.3, alone.state, settings);
          return [alone, maps.fixedPoint(maps.chain(layer, after)),
            maps.fixedPoint(maps.chain(layer, dropout.plain(0.3)))];
        }}""",
        *(0.3, 1.1, *CONSTANTS[0]),
    )
    alone, alpha, plain = told
    agree(alpha["state"], alone["state"], 11)
    assert alpha["kind"] == "stable"
    assert plain["state"][1] > 1.5 * alone["state"][1]
