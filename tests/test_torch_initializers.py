"""Random weights in PyTorch: the layout, the statistics and the refusals."""

import math

import numpy as np
import pytest
from helpers import EPS, public, refusal
from weights import (
    BAD,
    BAD_GAINS,
    BAD_NAMES,
    DENSE,
    FANS,
    GENERAL,
    NAMED,
    NAMES,
    ORTHOGONAL,
    RECOMMENDED,
    check_even,
    check_orthogonal,
    check_weights,
)

from companion.initializers import DISTRIBUTIONS


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def torch_initializers(torch):
    import companion.torch.initializers

    return companion.torch.initializers


def torch_layout(shape):
    *field, n_inputs, n_outputs = shape
    return n_outputs, n_inputs, *field


def test_every_public_function_is_that_of_the_reference(torch_initializers):
    # An underscore ends the names of those that fill in place.
    names = {name.removesuffix("_") for name in public(torch_initializers)}
    assert names == NAMES


@pytest.mark.parametrize(("mode", "distribution", "shape"), GENERAL)
def test_weights_have_the_statistics(
    torch, torch_initializers, mode, distribution, shape
):
    w = torch.empty(torch_layout(shape))
    result = torch_initializers.variance_scaling_(
        w,
        scale=1.7,
        mode=mode,
        distribution=distribution,
        generator=torch.Generator().manual_seed(1),
    )
    assert result is w
    variance = 1.7 / FANS[shape][mode]
    check_weights(w.numpy(), variance, distribution, eps=EPS["float32"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMED)
def test_named_initializer(torch, torch_initializers, name, dtype):
    scale, mode, distribution = NAMED[name]
    w = torch.nn.Parameter(torch.empty(200, 500, dtype=getattr(torch, dtype)))
    draw = getattr(torch_initializers, f"{name}_")
    result = draw(w, generator=torch.Generator().manual_seed(1))
    assert result is w
    assert w.requires_grad
    assert w.grad_fn is None
    variance = scale / FANS[DENSE][mode]
    numbers = w.detach().double().numpy()
    check_weights(numbers, variance, distribution, eps=EPS[dtype])


def test_layers_are_filled_as_they_are(torch, torch_initializers):
    # The layer knows its fan_in; the variance must be 2 over it, in either layout.
    linear = torch.nn.Linear(in_features=500, out_features=200)
    convolution = torch.nn.Conv2d(in_channels=40, out_channels=60, kernel_size=(3, 5))
    for layer, fan_in in ((linear, 500), (convolution, 600)):
        generator = torch.Generator().manual_seed(1)
        w = torch_initializers.he_normal_(layer.weight, generator=generator)
        assert w is layer.weight
        check_weights(w.detach().numpy(), 2 / fan_in, "normal")


def test_transposed_convolution_through_a_view(torch, torch_initializers):
    layer = torch.nn.ConvTranspose2d(40, 60, kernel_size=(3, 5))
    view = layer.weight.transpose(0, 1)
    torch_initializers.he_normal_(view, generator=torch.Generator().manual_seed(1))
    check_weights(layer.weight.detach().numpy(), 2 / 600, "normal")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_orthogonal_keeps_lengths(torch, torch_initializers, shape, dtype):
    dimensions = torch_layout(shape)
    w = torch.nn.Parameter(torch.empty(dimensions, dtype=getattr(torch, dtype)))
    generator = torch.Generator().manual_seed(1)
    result = torch_initializers.orthogonal_(w, gain=1.7, generator=generator)
    assert result is w
    assert w.requires_grad
    assert w.grad_fn is None
    matrix = w.detach().double().numpy().reshape(dimensions[0], -1)
    check_orthogonal(matrix, 1.7, EPS[dtype])


def test_orthogonal_is_even(torch, torch_initializers):
    generator, w = torch.Generator().manual_seed(1), torch.empty(3, 3)
    draw = torch_initializers.orthogonal_
    check_even([draw(w, generator=generator)[0, 0].item() for _ in range(4000)])


@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_orthogonal_is_that_of_torch(torch, torch_initializers, shape):
    # From one seed even the same one.
    ours, theirs = (
        draw(
            torch.empty(torch_layout(shape)),
            gain=1.7,
            generator=torch.Generator().manual_seed(1),
        )
        for draw in (torch_initializers.orthogonal_, torch.nn.init.orthogonal_)
    )
    eps = EPS["float32"]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=max(shape) * eps)


def test_orthogonal_fills_what_is_not_contiguous(torch, torch_initializers):
    layer = torch.nn.ConvTranspose2d(40, 60, kernel_size=(3, 5))
    view = layer.weight.transpose(0, 1)
    torch_initializers.orthogonal_(view, generator=torch.Generator().manual_seed(1))
    matrix = view.detach().numpy().reshape(60, -1)
    check_orthogonal(matrix, 1.0, EPS["float32"])


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("name", RECOMMENDED)
def test_for_activation(torch_initializers, name, distribution):
    expected = getattr(torch_initializers, f"{RECOMMENDED[name]}_{distribution}_")
    assert torch_initializers.for_activation(name, distribution) is expected
    if distribution == "normal":
        assert torch_initializers.for_activation(name) is expected


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_same_seed_gives_the_same_weights(torch, torch_initializers, distribution):
    def draw(seed):
        return torch_initializers.variance_scaling_(
            torch.empty(3, 4),
            distribution=distribution,
            generator=torch.Generator().manual_seed(seed),
        )

    assert torch.equal(draw(1), draw(1))
    assert not (draw(1) == draw(2)).any()
    # Without a generator it is the global one.
    torch.manual_seed(1)
    w = torch_initializers.variance_scaling_(
        torch.empty(3, 4), distribution=distribution
    )
    assert torch.equal(w, draw(1))


def test_nn_init_is_alike(torch, torch_initializers):
    init = torch.nn.init
    generator = torch.Generator().manual_seed(1)
    w = torch.empty(200, 500)
    eps = EPS["float32"]
    init.kaiming_normal_(w, mode="fan_in", nonlinearity="relu", generator=generator)
    check_weights(w.numpy(), 2 / 500, "normal", eps=eps)
    init.kaiming_uniform_(w, mode="fan_in", nonlinearity="relu", generator=generator)
    check_weights(w.numpy(), 2 / 500, "uniform", eps=eps)
    init.xavier_uniform_(w, generator=generator)
    check_weights(w.numpy(), 1 / 350, "uniform", eps=eps)
    init.xavier_normal_(w, generator=generator)
    check_weights(w.numpy(), 1 / 350, "normal", eps=eps)
    # From one seed a uniform draw is even the same one.
    theirs = init.xavier_uniform_(
        torch.empty(200, 500), generator=torch.Generator().manual_seed(1)
    )
    ours = torch_initializers.glorot_uniform_(
        torch.empty(200, 500), generator=torch.Generator().manual_seed(1)
    )
    torch.testing.assert_close(ours, theirs, rtol=4 * eps, atol=eps)


def test_check_finds_faults_in_torch(torch, torch_initializers):
    generator = torch.Generator().manual_seed(1)
    w = torch.empty(200, 500)
    std = math.sqrt(1 / 500)
    torch.nn.init.trunc_normal_(w, std=std, a=-2 * std, b=2 * std, generator=generator)
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w.numpy(), 1 / 500, "truncated_normal")
    # NumPy's layout handed to the function of PyTorch: fan_out instead of fan_in.
    w = torch_initializers.he_normal_(torch.empty(500, 200), generator=generator)
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w.numpy(), 2 / 500, "normal")


@pytest.mark.parametrize(("argument", "value", "error", "text"), BAD)
def test_refuses_alike(torch, torch_initializers, argument, value, error, text):
    w = torch.zeros(2, 3)
    got = refusal(torch_initializers.variance_scaling_, w, **{argument: value})
    assert got == (error, f"variance_scaling_: `{argument}` {text}")
    assert not w.any()


@pytest.mark.parametrize(("value", "error", "text"), BAD_GAINS)
def test_refuses_a_bad_gain_alike(torch, torch_initializers, value, error, text):
    w = torch.zeros(2, 3)
    got = refusal(torch_initializers.orthogonal_, w, gain=value)
    assert got == (error, f"orthogonal_: `gain` {text}")
    assert not w.any()


@pytest.mark.parametrize(("arguments", "text"), BAD_NAMES)
def test_refuses_a_bad_activation_alike(torch_initializers, arguments, text):
    got = refusal(torch_initializers.for_activation, *arguments)
    assert got == (ValueError, f"for_activation: {text}")


@pytest.mark.parametrize("name", ["variance_scaling_", "orthogonal_"])
def test_refuses_what_it_cannot_fill(torch, torch_initializers, name):
    fill = getattr(torch_initializers, name)
    start = f"{name}: `tensor` must be a floating-point torch.Tensor; got "
    for bad, got in (
        ((2, 3), "tuple"),
        (np.zeros((2, 3)), "float64"),
        (torch.zeros(2, 3, dtype=torch.int64), "torch.int64"),
        (torch.zeros(2, 3, dtype=torch.complex64), "torch.complex64"),
    ):
        assert refusal(fill, bad) == (TypeError, f"{start}{got}.")
    for shape in ((), (3,), (0, 3), (3, 2, 0)):
        assert refusal(fill, torch.zeros(shape)) == (
            ValueError,
            f"{name}: `tensor` must have at least two axes, (fan_out, fan_in) first, "
            f"and none of size 0; got shape {shape}.",
        )
    assert refusal(fill, torch.zeros(2, 3), generator=0) == (
        TypeError,
        f"{name}: `generator` must be a torch.Generator or None; got int. "
        "Pass generator=torch.Generator().manual_seed(seed).",
    )
