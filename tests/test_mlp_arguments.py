"""What nets of the reference leave alone, and what they refuse."""

import re

import numpy as np
import pytest
from helpers import refusal
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from nets import BATCHES, batches, normal, rng, rngs

from companion.mlp import (
    ACTIVATIONS,
    Activation,
    Dense,
    PReLU,
    RReLU,
    softmax_cross_entropy,
    stack,
)

pytestmark = pytest.mark.usefixtures("floating_point_errors")

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


# --- arguments are left alone ---------------------------------------------------------
def frozen(array):
    array.setflags(write=False)
    return array


@batches
@pytest.mark.parametrize("name", ["elu", "prelu", "rrelu"])
def test_no_argument_is_changed(name, batch):
    make, shape = BATCHES[batch]
    net = stack([3, 4, 2], activation=name, rng=make())
    net.layers.append(Activation("relu"))
    before = [{k: v.copy() for k, v in d.parameters.items()} for d in net.trainable]
    x, labels = frozen(normal(*shape)), frozen(np.array([0, 1, 1, 0]))
    kept = x.copy()
    y = frozen(net.forward(x, training=True))
    _, gradient = softmax_cross_entropy(y, labels)
    kept_gradient = gradient.copy()
    dx = net.backward(frozen(gradient))
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(labels, [0, 1, 1, 0])
    np.testing.assert_array_equal(gradient, kept_gradient)
    for made, given_ in ((y, x), (gradient, y), (dx, gradient), (dx, x)):
        assert not np.shares_memory(made, given_)
    for layer, parameters in zip(net.trainable, before, strict=True):
        for part, array in parameters.items():
            np.testing.assert_array_equal(layer.parameters[part], array)


# --- refusals -------------------------------------------------------------------------
GENERATOR = "must be a numpy.random.Generator; got"
PASS_ONE = "Pass rng=numpy.random.default_rng(seed)."


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((0, 2, rng()), ValueError, "`n_inputs` must be at least 1; got 0."),
        ((2, -1, rng()), ValueError, "`n_outputs` must be at least 1; got -1."),
        ((2.0, 2, rng()), TypeError, "`n_inputs` must be an integer; got 2.0."),
        ((2, True, rng()), TypeError, "`n_outputs` must be an integer; got True."),
        ((2, None, rng()), TypeError, "`n_outputs` must be an integer; got None."),
        ((2, 2, 0), TypeError, f"`rng` {GENERATOR} int. {PASS_ONE}"),
        ((2, 2, None), TypeError, f"`rng` {GENERATOR} NoneType. {PASS_ONE}"),
        ((2, 2, iter(())), TypeError, f"`rng` {GENERATOR} tuple_iterator. {PASS_ONE}"),
    ],
)
def test_dense_refuses(arguments, kind, text):
    n_inputs, n_outputs, r = arguments
    assert refusal(Dense, n_inputs, n_outputs, rng=r) == (kind, f"Dense: {text}")


def test_dense_refuses_a_sequence_with_something_else_in_it():
    kind, text = refusal(Dense, 2, 2, rng=[rng(), 3])
    assert kind is TypeError
    assert text.endswith(f": `rng` {GENERATOR} int. {PASS_ONE}")


def test_dense_refuses_no_copies():
    with pytest.raises(ValueError, match=r"^Dense: `rng` must "):
        Dense(2, 2, rng=[])


@pytest.mark.parametrize("make", [rng, rngs])
@quick
@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4).filter(
        lambda shape: len(shape) < 2 or shape[-1] != 3
    )
)
def test_dense_refuses_another_shape(make, shape):
    text = f"Dense.forward: `x` must have shape (..., n, 3); got {shape}."
    layer = Dense(3, 2, rng=make())
    assert refusal(layer.forward, np.zeros(shape)) == (ValueError, text)


@pytest.mark.parametrize(
    ("x", "dtype"), [([[1j, 0, 0]], "complex128"), ([["a", "b", "c"]], "<U1")]
)
def test_dense_refuses_what_is_no_number(x, dtype):
    text = f"Dense.forward: `x` must hold real numbers; got dtype {dtype}."
    assert refusal(Dense(3, 2, rng=rng()).forward, x) == (TypeError, text)


def test_copies_refuse_inputs_for_another_number_of_copies():
    with pytest.raises(ValueError, match="2"):
        Dense(3, 2, rng=rngs()).forward(normal(2, 4, 3))


OFFERED = ", ".join(map(repr, ACTIVATIONS))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rellu", " Did you mean 'relu'?"),
        ("relu_grad", " Did you mean 'relu'?"),
        ("sigmoid", ""),
        (None, ""),
        (3, ""),
    ],
)
def test_activation_refuses_another_name(name, hint):
    text = f"Activation: `name` must be one of {OFFERED}; got {name!r}.{hint}"
    assert refusal(Activation, name) == (ValueError, text)
    arguments = {"activation": name, "rng": rng()}
    more = f"{OFFERED}, 'prelu', 'rrelu'"
    text = f"stack: `activation` must be one of {more}; got {name!r}.{hint}"
    assert refusal(stack, [2, 2], **arguments) == (ValueError, text)


@pytest.mark.parametrize("name", ["prelu", "rrelu"])
def test_activation_refuses_what_is_a_layer_of_its_own(name):
    text = f"Activation: `name` must be one of {OFFERED}; got {name!r}."
    kind, got = refusal(Activation, name)
    assert kind is ValueError
    assert got.startswith(text)


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "text"),
    [
        ("leaky_relu", {"alpha": "a"}, TypeError, "`alpha` must be a real number; got "
         "'a'."),
        ("elu", {"alpha": np.nan}, ValueError, "`alpha` must be a finite number; got "
         "nan."),
        ("celu", {"alpha": 0}, ValueError, "`alpha` must be a finite number above 0; "
         "got 0.0."),
        ("gelu", {"approximate": "tanh"}, TypeError, "`approximate` must be True or "
         "False; got 'tanh'."),
    ],
)  # fmt: skip
def test_activation_refuses_a_bad_argument_at_once(name, arguments, kind, text):
    assert refusal(Activation, name, **arguments) == (kind, f"{name}: {text}")


def test_activation_refuses_an_argument_that_its_function_does_not_have():
    with pytest.raises(TypeError, match=r"relu\(\) got an unexpected .* 'alpha'"):
        Activation("relu", alpha=0.1)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"n_units": 0}, ValueError, "`n_units` must be at least 1; got 0."),
        ({"n_units": 2.0}, TypeError, "`n_units` must be an integer; got 2.0."),
        ({"alpha": "a"}, TypeError, "`alpha` must be a real number; got 'a'."),
        ({"alpha": np.inf}, ValueError, "`alpha` must be a finite number; got inf."),
    ],
)
def test_prelu_refuses(arguments, kind, text):
    assert refusal(PReLU, **arguments) == (kind, f"PReLU: {text}")


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((0.5, 0.2, rng()), ValueError, "`lower` must not be above `upper`; got 0.5 "
         "and 0.2."),
        (("a", 0.2, rng()), TypeError, "`lower` must be a real number; got 'a'."),
        ((0.1, np.nan, rng()), ValueError, "`upper` must be a finite number; got nan."),
        ((0.1, 0.2, 7), TypeError, f"`rng` {GENERATOR} int. {PASS_ONE}"),
        ((0.1, 0.2, [rng(), 7]), TypeError, f"`rng` {GENERATOR} int. {PASS_ONE}"),
        ((0.1, 0.2, []), ValueError, "`rng` must hold a generator; got none."),
    ],
)  # fmt: skip
def test_rrelu_refuses(arguments, kind, text):
    lower, upper, r = arguments
    assert refusal(RReLU, lower, upper, rng=r) == (kind, f"RReLU: {text}")


@pytest.mark.parametrize("name", ["prelu", "rrelu"])
def test_stack_refuses_what_is_no_generator(name):
    arguments = {"activation": name, "rng": 7}
    text = f"stack: `rng` {GENERATOR} int. {PASS_ONE}"
    assert refusal(stack, [2, 2], **arguments) == (TypeError, text)


@pytest.mark.parametrize("widths", [[], [3], (3,)])
def test_stack_refuses_too_few_widths(widths):
    text = (
        "stack: `widths` must hold the numbers of inputs and outputs at least; got "
        f"{widths!r}."
    )
    arguments = {"activation": "relu", "rng": rng()}
    assert refusal(stack, widths, **arguments) == (ValueError, text)


@pytest.mark.parametrize(
    ("widths", "kind", "text"),
    [
        ([3, 0, 2], ValueError, "Dense: `n_outputs` must be at least 1; got 0."),
        ([3, 2.5], TypeError, "Dense: `n_outputs` must be an integer; got 2.5."),
        (["3", 2], TypeError, "Dense: `n_inputs` must be an integer; got '3'."),
    ],
)
def test_stack_refuses_a_bad_width(widths, kind, text):
    arguments = {"activation": "relu", "rng": rng()}
    assert refusal(stack, widths, **arguments) == (kind, text)


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("Before", " Did you mean 'before'?"),
        ("behind", ""),
        (True, ""),
        (False, ""),
        ("", ""),
    ],
)
def test_stack_refuses_another_place_for_batch_norm(place, hint):
    arguments = {"activation": "relu", "batch_norm": place, "rng": rng()}
    text = f"stack: `batch_norm` must be one of 'before', 'after'; got {place!r}.{hint}"
    for widths in ([2, 2], [3, 4, 2]):
        assert refusal(stack, widths, **arguments) == (ValueError, text)


@pytest.mark.parametrize(
    ("logits", "labels", "kind", "text"),
    [
        (np.zeros((2, 3), complex), [0, 1], TypeError, "`logits` must hold real numbers"
         "; got dtype complex128."),
        (np.zeros((2, 3)), [0.0, 1.0], TypeError, "`labels` must be integers; got "
         "float64."),
        (np.zeros((2, 3)), [True, False], TypeError, "`labels` must be integers; got "
         "bool."),
        (np.zeros((2, 3)), ["a", "b"], TypeError, "`labels` must be integers; got "
         "<U1."),
        (np.zeros((2, 3)), [0, 3], ValueError, "`labels` must be at least one, each "
         "from 0 to 2; got array([0, 3])."),
        (np.zeros((2, 3)), [-1, 0], ValueError, "`labels` must be at least one, each "
         "from 0 to 2; got array([-1,  0])."),
        (np.zeros((0, 3)), np.zeros(0, int), ValueError, "`labels` must be at least "
         "one, each from 0 to 2; got array([], dtype=int64)."),
    ],
)  # fmt: skip
def test_loss_refuses(logits, labels, kind, text):
    got = refusal(softmax_cross_entropy, logits, np.asarray(labels))
    assert got == (kind, f"softmax_cross_entropy: {text}")


@pytest.mark.parametrize(
    ("logits", "labels"),
    [((3,), (3,)), ((), ()), ((2, 3), (3,)), ((2, 3), ()), ((4, 2, 3), (4,))],
)
def test_loss_refuses_shapes_that_do_not_match(logits, labels):
    text = (
        "softmax_cross_entropy: `logits` (..., n, n_classes) and `labels` (..., n) "
        f"must have the same n; got shapes {logits} and {labels}."
    )
    got = refusal(softmax_cross_entropy, np.zeros(logits), np.zeros(labels, int))
    assert got == (ValueError, text)


@pytest.mark.parametrize(("logits", "labels"), [((4, 2), (3, 4)), ((2, 4, 2), (3, 4))])
def test_loss_refuses_labels_for_other_copies(logits, labels):
    shapes = re.escape(f"got shapes {logits} and {labels}.")
    with pytest.raises(ValueError, match=rf"^softmax_cross_entropy: .* {shapes}$"):
        softmax_cross_entropy(np.zeros(logits), np.zeros(labels, int))


@pytest.mark.parametrize(
    "layer", [Dense(2, 3, rng=rng()), Activation("relu"), PReLU(), RReLU(rng=rng())]
)
def test_backward_asks_for_forward_first(layer):
    text = f"{type(layer).__name__}.backward: `forward` must have been called before."
    assert refusal(layer.backward, np.zeros((1, 3))) == (ValueError, text)


def test_dense_refuses_the_name_of_an_initializer():
    text = (
        "Dense: `initializer` must be a function of (shape, rng), such as "
        "companion.initializers.he_normal; got 'he_normal'."
    )
    arguments = {"initializer": "he_normal", "rng": rng()}
    assert refusal(Dense, 2, 3, **arguments) == (TypeError, text)


@pytest.mark.parametrize("r", [rng(), rngs(2)])
def test_dense_refuses_weights_of_another_shape(r):
    def transposed(shape, *, rng):
        return rng.standard_normal(shape[::-1])

    text = "Dense: `initializer` must return shape (2, 3); got (3, 2)."
    arguments = {"initializer": transposed, "rng": r}
    assert refusal(Dense, 2, 3, **arguments) == (ValueError, text)


def test_stack_refuses_a_number():
    text = "stack: `widths` must hold the numbers of inputs and outputs at least; got 5"
    arguments = {"activation": "relu", "rng": rng()}
    assert refusal(stack, 5, **arguments) == (ValueError, f"{text}.")
