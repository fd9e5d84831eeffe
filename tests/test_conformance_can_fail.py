"""The checks of the activations can fail: faults are planted, and found."""

import functools
import operator

import numpy as np
import pytest
from backends import FRAMEWORKS, NumpyBackend, backend_named
from helpers import EPS, check_activation, check_random_slopes, close


def with_signature_of(function):
    """Let a planted fault pass for `function`."""

    def decorate(fault):
        return functools.update_wrapper(fault, function)

    return decorate


def stop(backend, x):
    return x.detach() if backend.name == "torch" else backend.framework.stop_gradient(x)


def faults(backend, function):
    """Give functions that differ from ELU in one way, and the word that says so."""
    library = backend.framework

    def wrong_value(z, alpha=1.0):
        return function(z, alpha) * (1 + 16 * EPS["float32"])

    def zero_for_nan(z, alpha=1.0):
        y = function(z, alpha)
        return library.where(y == y, y, library.zeros_like(y))

    def nan_at_infinity(z, alpha=1.0):
        return function(z, alpha) + (z - z)

    def wrong_gradient(z, alpha=1.0):
        bounded = 1e-4 * library.tanh(z)
        return function(z, alpha) + bounded - stop(backend, bounded)

    def no_gradient(z, alpha=1.0):
        return z * 0 + stop(backend, function(z, alpha))

    def widened(z, alpha=1.0):
        wide = function(z, alpha)
        return (
            wide.double() if backend.name == "torch" else library.cast(wide, "double")
        )

    def integers_widened(z, alpha=1.0):
        if backend.dtype(z).startswith(("int", "uint", "bool")):
            z = backend.tensor(backend.array(z), "float64")
        return function(z, alpha)

    def flattened(z, alpha=1.0):
        return library.reshape(function(z, alpha), (-1,))

    def other_text(z, alpha=1.0):
        try:
            return function(z, alpha)
        except TypeError as error:
            raise TypeError(str(error).replace("`z`", "z")) from error

    def other_type(z, alpha=1.0):
        try:
            return function(z, alpha)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def accepts_complex(z, alpha=1.0):
        if "complex" in str(getattr(z, "dtype", "")):
            return z
        return function(z, alpha)

    def accepts_bad_alpha(z, alpha=1.0):
        return function(z, alpha if isinstance(alpha, float) else 1.0)

    yield wrong_value, "value"
    yield zero_for_nan, "value"
    yield nan_at_infinity, "value"
    yield wrong_gradient, "gradient"
    yield no_gradient, "value|gradient"
    yield widened, "dtype float64"
    yield integers_widened, "dtype float64 from int32"
    yield flattened, r"shape \(24,\)"
    yield other_text, "error"
    yield other_type, "error"
    yield accepts_complex, "error"
    yield accepts_bad_alpha, "error"


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_check_finds_planted_faults(backend):
    backend = backend_named(backend)
    elu = backend.function("elu")
    for fault, word in faults(backend, elu):
        fault = with_signature_of(elu)(fault)
        with pytest.raises(AssertionError, match=f"float32: {word}"):
            check_activation("elu", backend, "float32", function=fault)


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_check_accepts_a_function_without_fault(backend):
    backend = backend_named(backend)
    elu = backend.function("elu")

    @with_signature_of(elu)
    def same(z, alpha=1.0):
        return elu(z, alpha)

    check_activation("elu", backend, "float32", function=same)


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_check_finds_another_signature(backend):
    backend = backend_named(backend)
    elu = backend.function("elu")
    with pytest.raises(AssertionError, match="signature"):
        check_activation("elu", backend, "float32", function=lambda z: elu(z))
    with pytest.raises(AssertionError, match="signature"):
        check_activation(
            "elu", backend, "float32", function=lambda z, alpha=1.1: elu(z, alpha)
        )


def slope_faults(backend, prelu):
    """Give functions that differ from PReLU only in the gradient of their slopes."""
    library = backend.framework

    def perturbed(z, alpha):
        return prelu(z, alpha * (1 + 1e-4) - stop(backend, alpha * 1e-4))

    def detached(z, alpha):
        return prelu(z, stop(backend, alpha)) + 0 * alpha

    def nan_beside_infinity(z, alpha):
        return library.where(z > 0, z, alpha * z)

    yield perturbed
    yield detached
    yield nan_beside_infinity


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_check_finds_a_wrong_slope_gradient(backend):
    backend = backend_named(backend)
    prelu = backend.function("prelu")
    alpha = np.array([0.5, 0.25, -0.5, 1.0, 1.5, 0.125])
    for fault in slope_faults(backend, prelu):

        def function(z, alpha, fault=fault):
            fails = hasattr(alpha, "shape") and tuple(alpha.shape) == (6,)
            return (fault if fails else prelu)(z, alpha)

        function = with_signature_of(prelu)(function)
        with pytest.raises(AssertionError, match="float32: slope gradient"):
            check_activation(
                "prelu", backend, "float32", function=function, alpha=alpha
            )


def random_faults(backend, rrelu):
    """Give functions that differ from RReLU in one way, and the word that says so."""
    library = backend.framework

    def beyond_the_range(z, lower=0, upper=0, *, training, **source):
        return rrelu(z, lower, upper * 1.01, training=training, **source)

    def one_slope_for_all(z, lower=0, upper=0, *, training, **source):
        one = rrelu(
            -library.ones_like(z[:1]), lower, upper, training=training, **source
        )
        return library.where(z > 0, z, -one * z)

    def squeezed(z, lower=0, upper=0, *, training, **source):
        centre, width = (lower + upper) / 2, upper - lower
        ends = centre - 0.4 * width, centre + 0.4 * width
        return rrelu(z, *ends, training=training, **source)

    def other_in_testing(z, lower=0, upper=0, *, training, **source):
        return rrelu(
            z, lower, upper if training else lower, training=training, **source
        )

    def mean_in_the_gradient(z, lower=0, upper=0, *, training, **source):
        mean = rrelu(z, lower, upper, training=False)
        y = rrelu(z, lower, upper, training=training, **source)
        return library.where(z < 0, mean + stop(backend, y - mean), y)

    def positive_touched(z, lower=0, upper=0, *, training, **source):
        y = rrelu(z, lower, upper, training=training, **source)
        return library.where(z > 0, 1.01 * z, y)

    def seed_ignored(z, lower=0, upper=0, *, training, **source):
        return rrelu(z, lower, upper, training=training, **backend.source(1))

    yield beyond_the_range, "range"
    yield one_slope_for_all, "distribution"
    yield squeezed, "distribution"
    yield other_in_testing, "mean"
    yield mean_in_the_gradient, "gradient is not the slope"
    yield positive_touched, "positive numbers are changed"
    yield seed_ignored, "another seed draws 0% others"


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_check_finds_wrong_random_slopes(backend):
    backend = backend_named(backend)
    for fault, word in random_faults(backend, backend.function("rrelu")):
        with pytest.raises(AssertionError, match=f"float32: {word}"):
            check_random_slopes(backend, "float32", function=fault)


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_check_finds_random_slopes_in_testing(backend):
    backend = backend_named(backend)
    rrelu = backend.function("rrelu")

    def always(z, lower=1 / 8, upper=1 / 3, *, training, **source):
        return rrelu(z, lower, upper, training=True, **backend.source(1))

    always = with_signature_of(rrelu)(always)
    with pytest.raises(AssertionError, match="float32: value"):
        check_activation("rrelu", backend, "float32", function=always, training=False)


def test_check_finds_a_seed_that_does_not_repeat():
    backend = backend_named("torch")
    rrelu = backend.function("rrelu")
    with pytest.raises(AssertionError, match="the same seed draws others"):
        check_random_slopes(
            backend,
            "float32",
            function=lambda z, *args, generator=None, **rest: rrelu(z, *args, **rest),
        )


def test_check_finds_an_upstream_gradient_left_out():
    backend = backend_named("torch")
    relu = backend.function("relu")

    class Forgetful(backend.framework.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return relu(z)

        @staticmethod
        def backward(ctx, upstream):
            return (ctx.saved_tensors[0] > 0).to(upstream.dtype)

    forgetful = with_signature_of(relu)(lambda z: Forgetful.apply(z))
    with pytest.raises(AssertionError, match="float32: gradient"):
        check_activation("relu", backend, "float32", function=forgetful)


def test_check_finds_an_argument_changed_in_place():
    backend = NumpyBackend()
    relu = backend.function("relu")

    @with_signature_of(relu)
    def in_place(z):
        y = relu(z)
        np.copyto(z, y, casting="unsafe")
        return y

    with pytest.raises(AssertionError, match="in place"):
        check_activation("relu", backend, "float64", function=in_place)


#: What a function of the framework does differently, and ours exists to mend.
KNOWN = [
    ("torch", "softsign", "value", {}, "nn.functional.softsign"),
    ("torch", "softplus", "value", {}, "nn.functional.softplus"),
    ("torch", "silu", "value", {}, "nn.functional.silu"),
    ("torch", "gelu", "value", {}, "nn.functional.gelu"),
    ("torch", "mish", "value", {}, "nn.functional.mish"),
    ("torch", "prelu", "value", {"alpha": np.zeros(1)}, "nn.functional.prelu"),
    ("tensorflow", "softsign", "value", {}, "nn.softsign"),
    ("tensorflow", "elu", "value", {}, "nn.elu"),
    ("tensorflow", "selu", "value|gradient", {}, "nn.selu"),
    ("tensorflow", "leaky_relu", "value", {"alpha": 0.01}, "nn.leaky_relu"),
    ("tensorflow", "silu", "value", {}, "nn.silu"),
    ("tensorflow", "gelu", "value", {}, "nn.gelu"),
    ("tensorflow", "gelu", "value", {"approximate": True}, "nn.gelu"),
    ("tensorflow", "mish", "value", {}, "keras.activations.mish"),
]


@pytest.mark.parametrize(("backend", "name", "word", "arguments", "theirs"), KNOWN)
def test_check_finds_what_the_framework_does_otherwise(
    backend, name, word, arguments, theirs
):
    backend = backend_named(backend)
    theirs = operator.attrgetter(theirs)(backend.framework)
    fault = with_signature_of(backend.function(name))(
        lambda *a, **k: theirs(*a, *k.values())
    )
    with pytest.raises(AssertionError, match=f"float64: {word}"):
        check_activation(name, backend, "float64", function=fault, **arguments)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (1.1, 1.0),
        (np.nan, 1.0),
        (1.0, np.nan),
        (np.inf, 1.0),
        (1.0, np.inf),
        (-np.inf, np.inf),
        (np.nan, np.inf),
    ],
)
def test_close_can_fail(actual, expected):
    close(np.array([expected]), np.array([expected]), 0.01, 0.01, "same")
    with pytest.raises(AssertionError, match="other: "):
        close(np.array([actual]), np.array([expected]), 0.01, 0.01, "other")
