"""What nets computed at once refuse, and in which words."""

import importlib

import numpy as np
import pytest
from helpers import refusal

from companion.initializers import he_normal, lecun_normal

torch = pytest.importorskip("torch")
ensembles = importlib.import_module("ensembles")
ensemble = importlib.import_module("companion.torch.ensemble")
build = ensembles.build


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"widths": [3]},
            ValueError,
            "`widths` must hold the numbers of inputs and outputs at least; got [3].",
        ),
        (
            {"widths": 3},
            ValueError,
            "`widths` must hold the numbers of inputs and outputs at least; got 3.",
        ),
        ({"widths": [3, 0]}, ValueError, "`widths` must be at least 1; got 0."),
        ({"seeds": []}, ValueError, "`seeds` must hold one at least; got none."),
        ({"rate": 1.0}, ValueError, "`rate` must be in [0, 1); got 1.0."),
        ({"rate": np.nan}, ValueError, "`rate` must be in [0, 1); got nan."),
        (
            {"rate": [0.5, -0.1]},
            ValueError,
            "`rate` must be in [0, 1); got [ 0.5 -0.1].",
        ),
        ({"input_rate": 1}, ValueError, "`input_rate` must be in [0, 1); got 1.0."),
        (
            {"rate": [0.5]},
            ValueError,
            "`rate` must be a number or one for each copy; got shape (1,) for 2 "
            "copies.",
        ),
        (
            {"input_rate": [0.1, 0.2, 0.3]},
            ValueError,
            "`input_rate` must be a number or one for each copy; got shape (3,) for "
            "2 copies.",
        ),
        (
            {"dropout": "alpha"},
            ValueError,
            "`dropout` must be one of 'alpha_dropout', 'dropout'; got 'alpha'.",
        ),
        (
            {"normalization": "group"},
            ValueError,
            "`normalization` must be one of None, 'batch', 'layer', 'weight'; got "
            "'group'.",
        ),
        (
            {"skip": True},
            ValueError,
            "`skip` must be one of None, 'residual', 'highway'; got True.",
        ),
        (
            {"widths": [3, 5, 4, 2], "skip": "residual"},
            ValueError,
            "`widths` of the hidden layers must be equal with a skip connection; got "
            "[5, 4].",
        ),
        (
            {"widths": [3, 5, 4, 2], "skip": "highway"},
            ValueError,
            "`widths` of the hidden layers must be equal with a skip connection; got "
            "[5, 4].",
        ),
    ],
)
def test_refuses_a_net(arguments, error, text):
    good = {
        "widths": [3, 4, 2],
        "activation": "selu",
        "initializer": lecun_normal,
        "seeds": [0, 1],
    }
    given = good | arguments
    got = refusal(ensemble.Ensemble, given.pop("widths"), **given)
    assert got == (error, f"Ensemble: {text}")


def test_refuses_an_activation_that_needs_more():
    _, text = refusal(
        ensemble.Ensemble, [3, 2], activation="prelu", initializer=he_normal, seeds=[0]
    )
    assert text.startswith("Ensemble: `activation` must be one of 'celu', 'elu', ")


ROWS = np.zeros((4, 6)), np.zeros(4, int)
LABELS = "binary_cross_entropy"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"learning_rate": [0.1]},
            ValueError,
            "`learning_rate` must be a number or one for each copy; got shape (1,) for "
            "2 copies.",
        ),
        (
            {"learning_rate": 0},
            ValueError,
            "`learning_rate` must be finite and above 0; got 0.0.",
        ),
        (
            {"learning_rate": [0.1, np.inf]},
            ValueError,
            "`learning_rate` must be finite and above 0; got [0.1 inf].",
        ),
        ({"epochs": 0}, ValueError, "`epochs` must be at least 1; got 0."),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1; got 0."),
        ({"momentum": 1}, ValueError, "`momentum` must be in [0, 1); got 1.0."),
        ({"by_step": 1}, TypeError, "`by_step` must be True or False; got 1."),
        (
            {"loss": "hinge"},
            ValueError,
            "`loss` must be one of 'cross_entropy', 'binary_cross_entropy'; got "
            "'hinge'.",
        ),
        ({"max_bytes": 0}, ValueError, "`max_bytes` must be at least 1; got 0."),
        (
            {"patience": 0, "validation": ROWS},
            ValueError,
            "`patience` must be at least 1; got 0.",
        ),
        (
            {"patience": 2},
            ValueError,
            "`patience` needs `validation` rows; got none.",
        ),
        (
            {"patience": 2, "validation": ROWS, "after": print},
            ValueError,
            "`after` must be None with `patience`, or where `max_bytes` splits the "
            "copies.",
        ),
        (
            {"max_bytes": 1, "after": print},
            ValueError,
            "`after` must be None with `patience`, or where `max_bytes` splits the "
            "copies.",
        ),
        ({"y": np.zeros(4)}, TypeError, "`y` must be integers; got torch.float64."),
        (
            {"y": np.array([0, 1, -1, 2])},
            ValueError,
            "`y` must be classes from 0 to 2; got -1 to 2.",
        ),
        (
            {"y": np.array([0, 1, 3, 2])},
            ValueError,
            "`y` must be classes from 0 to 2; got 0 to 3.",
        ),
        (
            {"y": np.zeros(5, int)},
            ValueError,
            "`x` must have shape (n, n_inputs) and `y` (n,), or both a first axis for "
            "the copies; got (4, 6) and (5,).",
        ),
        (
            {"y": np.zeros((2, 4), int)},
            ValueError,
            "`x` must have shape (n, n_inputs) and `y` (n,), or both a first axis for "
            "the copies; got (4, 6) and (2, 4).",
        ),
        (
            {"y": np.zeros((4, 1)), "loss": LABELS},
            ValueError,
            "`x` must have shape (n, n_inputs) and `y` (n, 3), or both a first axis "
            "for the copies; got (4, 6) and (4, 1).",
        ),
        (
            {"x": np.zeros((3, 4, 6)), "y": np.zeros((3, 4), int)},
            ValueError,
            "`x` must have rows for each copy, or for all; got rows for 3 of 2 copies.",
        ),
        (
            {"x": np.zeros((0, 6)), "y": np.zeros(0, int)},
            ValueError,
            "`x` must have a row; got none.",
        ),
        (
            {"validation": (ROWS[0], ROWS[1][:3])},
            ValueError,
            "`x` must have shape (n, n_inputs) and `y` (n,), or both a first axis for "
            "the copies; got (4, 6) and (3,).",
        ),
    ],
)
def test_refuses_a_training(arguments, error, text):
    given = {"x": ROWS[0], "y": ROWS[1], "learning_rate": 0.1, "epochs": 1} | arguments
    net = build(seeds=[0, 1])
    before = ensembles.state(net.take([0, 1]))
    got = refusal(ensemble.train, net, given.pop("x"), given.pop("y"), **given)
    assert got == (error, f"train: {text}")
    assert all(map(np.array_equal, ensembles.state(net), before))


def test_after_is_called_where_memory_does_not_split():
    net = build(seeds=[0, 1])
    options = {"learning_rate": 0.1, "epochs": 2, "max_bytes": 2**40}
    assert ensemble.train(net, *ROWS, **options, after=lambda n: 5).seen == [5, 5]


@pytest.mark.parametrize("method", ensemble.METHODS)
@pytest.mark.parametrize(
    ("n", "batch_size", "refused"),
    [(4, 1, True), (1, 64, True), (4, 3, True), (4, 2, False), (4, 4, False)],
)
def test_one_row_has_no_variance(method, n, batch_size, refused):
    net = build(method, seeds=[0, 1])
    x, y = (a[:n] for a in ROWS)
    options = {"learning_rate": 0.1, "epochs": 1, "batch_size": batch_size}
    if refused and net.normalization == "batch":
        assert refusal(ensemble.train, net, x, y, **options) == (
            ValueError,
            "train: `batch_size` must not leave a minibatch of one row, which has no "
            f"variance to normalize by; got {batch_size} for {n} rows.",
        )
    else:
        losses = ensemble.train(net, x, y, **options).losses
        assert np.isfinite(losses).all()


def test_evaluation_names_itself():
    got = refusal(ensemble.evaluate, build(seeds=[0]), ROWS[0], np.zeros(4))
    assert got == (TypeError, "evaluate: `y` must be integers; got torch.float64.")


@pytest.mark.parametrize("shape", [(4, 5), (6,), (3, 4, 6), (1, 2, 4, 6)])
def test_refuses_inputs_of_another_shape(shape):
    got = refusal(build(seeds=[0, 1]).layers, np.zeros(shape))
    assert got == (
        ValueError,
        f"Ensemble.layers: `x` must have shape (n, 6) or (2, n, 6); got {shape}.",
    )
