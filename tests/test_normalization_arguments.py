"""What the normalization layers of the reference refuse, and in which words."""

import numpy as np
import pytest
from helpers import refusal
from nets import rng

from companion.mlp import Sequential, stack
from companion.normalization import (
    BatchNorm,
    LayerNorm,
    final_statistics,
    fold_batch_norm,
    weight_norm,
    weight_norm_grad,
)

pytestmark = pytest.mark.usefixtures("floating_point_errors")

NO_NUMBERS = [
    ([[1j, 0, 0]], "complex128"),
    ([["a", "b", "c"]], "<U1"),
    ([[None, 0, 0]], "object"),
]


# --- settings -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("bad", "kind", "text"),
    [
        ({"momentum": -0.1}, ValueError, "must be in [0, 1], or None; got -0.1."),
        ({"momentum": 1.5}, ValueError, "must be in [0, 1], or None; got 1.5."),
        ({"momentum": 2}, ValueError, "must be in [0, 1], or None; got 2.0."),
        ({"momentum": np.nan}, ValueError, "must be a finite number; got nan."),
        ({"momentum": "0.9"}, TypeError, "must be a real number; got '0.9'."),
        ({"momentum": True}, TypeError, "must be a real number; got True."),
        ({"eps": -1e-5}, ValueError, "must be a finite number of at least 0; got "
         "-1e-05."),
        ({"eps": np.inf}, ValueError, "must be a finite number of at least 0; got "
         "inf."),
        ({"eps": None}, TypeError, "must be a real number; got None."),
        ({"unbiased": 1}, TypeError, "must be True or False; got 1."),
        ({"unbiased": None}, TypeError, "must be True or False; got None."),
        ({"axis": 0}, ValueError, "must be 1, or -1 for channels last; got 0."),
        ({"axis": 3}, ValueError, "must be 1, or -1 for channels last; got 3."),
        ({"axis": None}, ValueError, "must be 1, or -1 for channels last; got None."),
        ({"axis": "last"}, ValueError, "must be 1, or -1 for channels last; got "
         "'last'."),
        ({"axis": True}, ValueError, "must be 1, or -1 for channels last; got True."),
    ],
)  # fmt: skip
def test_batch_norm_refuses_a_setting(bad, kind, text):
    expected = kind, f"BatchNorm: `{next(iter(bad))}` {text}"
    assert refusal(BatchNorm, 3, **bad) == expected
    assert refusal(BatchNorm.like, "keras", 3, **bad) == expected


@pytest.mark.parametrize("layer", [BatchNorm, LayerNorm])
@pytest.mark.parametrize(
    ("n_features", "kind", "text"),
    [
        (0, ValueError, "must be at least 1; got 0."),
        (-3, ValueError, "must be at least 1; got -3."),
        (2.0, TypeError, "must be an integer; got 2.0."),
        (None, TypeError, "must be an integer; got None."),
        (True, TypeError, "must be an integer; got True."),
    ],
)
def test_layers_refuse_another_number_of_features(layer, n_features, kind, text):
    expected = kind, f"{layer.__name__}: `n_features` {text}"
    assert refusal(layer, n_features) == expected


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pytorch", " Did you mean 'torch'?"),
        ("Keras", " Did you mean 'keras'?"),
        ("jax", ""),
        (None, ""),
    ],
)
def test_like_refuses_another_convention(name, hint):
    text = (
        "BatchNorm.like: `convention` must be one of 'torch', 'keras', 'paper'; got "
        f"{name!r}.{hint}"
    )
    assert refusal(BatchNorm.like, name, 3) == (ValueError, text)


def test_like_refuses_what_the_layer_does_not_have():
    with pytest.raises(TypeError, match="unexpected keyword argument 'epsilon'"):
        BatchNorm.like("torch", 3, epsilon=1e-5)


@pytest.mark.parametrize("settings", [(0.9,), (0.9, 1e-5)])
def test_settings_are_named(settings):
    with pytest.raises(TypeError, match="positional argument"):
        BatchNorm(3, *settings)


@pytest.mark.parametrize(
    ("eps", "kind", "text"),
    [
        (-1.0, ValueError, "must be a finite number of at least 0; got -1.0."),
        (np.nan, ValueError, "must be a finite number of at least 0; got nan."),
        ("a", TypeError, "must be a real number; got 'a'."),
    ],
)
def test_layer_norm_refuses_eps(eps, kind, text):
    assert refusal(LayerNorm, 3, eps=eps) == (kind, f"LayerNorm: `eps` {text}")


# --- inputs and gradients -------------------------------------------------------------
SHAPES = [
    ({"axis": 1}, "n, 3, ...", [(), (3,), (4, 2), (3, 4), (4, 2, 3), (0, 2)]),
    ({"axis": -1}, "n, ..., 3", [(), (3,), (4, 2), (3, 4), (4, 3, 2), (0, 2)]),
    ({"axis": 1, "copies": (2,)}, "2, n, 3, ...",
     [(), (3,), (4, 2), (4, 2, 3), (2, 3, 4), (2, 4, 5, 3)]),
    ({"axis": -1, "copies": (2,)}, "2, n, ..., 3",
     [(), (3,), (4, 2), (4, 2, 3), (2, 3, 4), (2, 4, 3, 5)]),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "form", "shapes"), SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_refuses_another_shape(settings, form, shapes, training):
    layer = BatchNorm(3, **settings)
    good = np.arange(12.0).reshape(4, 3)
    for shape in shapes:
        text = f"must have shape ({form}); got {shape}."
        expected = ValueError, f"BatchNorm.forward: `x` {text}"
        x = np.ones(shape)
        assert refusal(layer.forward, x, training=training) == expected
        layer.forward(good, training=training)
        expected = ValueError, f"BatchNorm.backward: `dy` {text}"
        assert refusal(layer.backward, x) == expected


@pytest.mark.parametrize(
    ("copies", "form", "shapes"),
    [
        ((), "n, 3", [(), (3,), (4, 2), (2, 4, 3)]),
        ((2,), "2, n, 3", [(), (3,), (4, 2), (4, 2, 3), (1, 2, 4, 3)]),
    ],
)
def test_layer_norm_refuses_another_shape(copies, form, shapes):
    layer = LayerNorm(3, copies=copies)
    for shape in shapes:
        text = f"must have shape ({form}); got {shape}."
        expected = ValueError, f"LayerNorm.forward: `x` {text}"
        assert refusal(layer.forward, np.ones(shape)) == expected
        layer.forward(np.ones((4, 3)))
        expected = ValueError, f"LayerNorm.backward: `dy` {text}"
        assert refusal(layer.backward, np.ones(shape)) == expected


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
@pytest.mark.parametrize(("x", "dtype"), NO_NUMBERS)
def test_layers_refuse_what_is_no_number(kind, x, dtype):
    layer, name = kind(3), kind.__name__
    text = f"must hold real numbers; got dtype {dtype}."
    assert refusal(layer.forward, x) == (TypeError, f"{name}.forward: `x` {text}")
    layer.forward(np.ones((1, 3)))
    assert refusal(layer.backward, x) == (TypeError, f"{name}.backward: `dy` {text}")


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_layers_refuse_to_go_back_first(kind):
    text = f"{kind.__name__}.backward: `forward` must have been called before."
    assert refusal(kind(3).backward, np.ones((4, 3))) == (ValueError, text)


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_layers_refuse_the_gradient_of_another_batch(kind):
    layer = kind(3)
    layer.forward(np.ones((2, 3)), training=True)
    text = (
        f"{kind.__name__}.backward: `dy` must have as many values as the last `x`, 6; "
        "got 12."
    )
    assert refusal(layer.backward, np.ones((4, 3))) == (ValueError, text)


@pytest.mark.parametrize("training", [1, None, "yes"])
def test_batch_norm_is_told_whether_it_is_trained(training):
    text = f"BatchNorm.forward: `training` must be True or False; got {training!r}."
    x = np.ones((4, 3))
    assert refusal(BatchNorm(3).forward, x, training=training) == (TypeError, text)


def test_what_is_refused_does_not_change_the_way_back():
    layer, x = BatchNorm(3), np.arange(12.0).reshape(4, 3) ** 2
    dy = np.eye(4, 3)
    layer.forward(x, training=True)
    expected = layer.backward(dy)
    refusal(layer.forward, np.ones((4, 2)), training=False)
    np.testing.assert_array_equal(layer.backward(dy), expected)


# --- weight normalization -------------------------------------------------------------
@pytest.mark.parametrize(
    ("v", "g"), [((3,), (3,)), ((), ()), ((2, 3), (2,)), ((2, 3), (1, 3)), ((2, 3), ())]
)
def test_weight_norm_refuses_shapes_that_do_not_match(v, g):
    text = f"`v` must have shape (..., n_units) and `g` (n_units,); got {v} and {g}."
    v, g = np.ones(v), np.ones(g)
    assert refusal(weight_norm, v, g) == (ValueError, f"weight_norm: {text}")
    expected = ValueError, f"weight_norm_grad: {text}"
    assert refusal(weight_norm_grad, v, g, v) == expected


def test_weight_norm_grad_refuses_another_shape():
    text = "weight_norm_grad: `dw` must have the shape of `v`, (2, 3); got (3,)."
    expected = ValueError, text
    v, g = np.ones((2, 3)), np.ones(3)
    assert refusal(weight_norm_grad, v, g, np.ones(3)) == expected


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_weight_norm_refuses_what_has_no_direction(bad):
    v = np.array([[bad, 3.0, 0.0], [bad, 0.0, 0.0]])
    unit = 0 if bad == 0 else 2
    text = f"`v` must have a direction for each unit; got zeros for unit {unit}."
    expected = ValueError, f"weight_norm: {text}"
    assert refusal(weight_norm, v, np.ones(3)) == expected
    expected = ValueError, f"weight_norm_grad: {text}"
    assert refusal(weight_norm_grad, v, np.ones(3), v) == expected


@pytest.mark.parametrize(("bad", "dtype"), NO_NUMBERS)
def test_weight_norm_refuses_what_is_no_number(bad, dtype):
    v, g = np.ones((1, 3)), np.ones(3)
    text = f"must hold real numbers; got dtype {dtype}."
    for name, function, rest in [
        ("weight_norm", weight_norm, ()),
        ("weight_norm_grad", weight_norm_grad, (v,)),
    ]:
        expected = TypeError, f"{name}: `v` {text}"
        assert refusal(function, bad, g, *rest) == expected
        expected = TypeError, f"{name}: `g` {text}"
        assert refusal(function, v, bad[0], *rest) == expected
    expected = TypeError, f"weight_norm_grad: `dw` {text}"
    assert refusal(weight_norm_grad, v, g, bad) == expected


# --- folding and final statistics -----------------------------------------------------
@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (2, 2, 4)])
def test_folding_refuses_weights_of_another_shape(shape):
    text = (
        "fold_batch_norm: `weight` must have shape (..., 3), the features of "
        f"`batch_norm` last; got {shape}."
    )
    got = refusal(fold_batch_norm, np.ones(shape), None, BatchNorm(3))
    assert got == (ValueError, text)


@pytest.mark.parametrize("shape", [(2, 3), (3, 4, 3), (2, 3, 4)])
def test_folding_refuses_weights_for_other_copies(shape):
    layer = BatchNorm(3, copies=(2,))
    kind, text = refusal(fold_batch_norm, np.ones(shape), None, layer)
    assert kind is ValueError
    assert text.startswith("fold_batch_norm: `weight` must have shape (")
    assert text.endswith(f"; got {shape}.")


@pytest.mark.parametrize("shape", [(), (2,), (1, 3), (3, 3)])
def test_folding_refuses_a_bias_of_another_shape(shape):
    text = f"fold_batch_norm: `bias` must have shape (3,); got {shape}."
    got = refusal(fold_batch_norm, np.ones((2, 3)), np.ones(shape), BatchNorm(3))
    assert got == (ValueError, text)


@pytest.mark.parametrize(("bad", "dtype"), NO_NUMBERS)
def test_folding_refuses_what_is_no_number(bad, dtype):
    text = f"must hold real numbers; got dtype {dtype}."
    expected = TypeError, f"fold_batch_norm: `weight` {text}"
    assert refusal(fold_batch_norm, bad, None, BatchNorm(3)) == expected
    expected = TypeError, f"fold_batch_norm: `bias` {text}"
    weight = np.ones((2, 3))
    assert refusal(fold_batch_norm, weight, bad[0], BatchNorm(3)) == expected


@pytest.mark.parametrize("bad", [None, "BatchNorm", 3, BatchNorm])
def test_folding_refuses_what_is_no_batch_norm(bad):
    text = f"fold_batch_norm: `batch_norm` must be a BatchNorm; got {bad!r}."
    assert refusal(fold_batch_norm, np.ones((2, 3)), None, bad) == (TypeError, text)


@pytest.mark.parametrize("shape", [(), (3,), (0, 3)])
def test_final_statistics_refuse_what_holds_no_rows(shape):
    text = f"final_statistics: `x` must hold rows; got shape {shape}."
    net = Sequential([BatchNorm(3)])
    assert refusal(final_statistics, net, np.ones(shape)) == (ValueError, text)


@pytest.mark.parametrize(
    ("batch_size", "kind", "text"),
    [
        (0, ValueError, "must be at least 1; got 0."),
        (-1, ValueError, "must be at least 1; got -1."),
        (2.0, TypeError, "must be an integer; got 2.0."),
        (True, TypeError, "must be an integer; got True."),
    ],
)
def test_final_statistics_refuse_a_batch_size(batch_size, kind, text):
    net, x = Sequential([BatchNorm(3)]), np.eye(4, 3)
    expected = kind, f"final_statistics: `batch_size` {text}"
    assert refusal(final_statistics, net, x, batch_size=batch_size) == expected


def test_final_statistics_refuse_a_net_without_batch_norm():
    net = stack([3, 4, 2], activation="relu", rng=rng())
    text = "final_statistics: `net` must have a BatchNorm; got none."
    assert refusal(final_statistics, net, np.eye(4, 3)) == (ValueError, text)


@pytest.mark.parametrize(("bad", "dtype"), NO_NUMBERS)
def test_final_statistics_refuse_what_is_no_number(bad, dtype):
    net = Sequential([BatchNorm(3)])
    text = f"final_statistics: `x` must hold real numbers; got dtype {dtype}."
    assert refusal(final_statistics, net, bad) == (TypeError, text)
