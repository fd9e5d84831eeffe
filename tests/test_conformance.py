"""Every backend has the reference's activations, and the check of that can fail."""

import functools
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    BACKENDS,
    EPS,
    POINTS,
    NumpyBackend,
    check_activation,
    close,
)

#: One dtype is not enough, and not every backend has all of them.
CASES = [
    (backend, dtype) for backend, kind in BACKENDS.items() for dtype in kind.dtypes
]
FRAMEWORKS = ["torch", "tensorflow"]

#: Arguments other than the defaults; alpha = 0 is ReLU, and has a trap at infinity.
ARGUMENTS = [
    ("leaky_relu", {"alpha": 0.2}),
    ("leaky_relu", {"alpha": 0.0}),
    ("leaky_relu", {"alpha": -0.5}),
    ("elu", {"alpha": 1.5}),
    ("elu", {"alpha": 0.0}),
    ("selu", {"alpha": 1.5, "scale": 1.25}),
]


@functools.cache
def backend_named(name):
    if name != "numpy":
        pytest.importorskip(name)
    return BACKENDS[name]()


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_conforms(name, backend, dtype):
    check_activation(name, backend_named(backend), dtype)


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_activation_conforms_with_other_arguments(name, arguments, backend, dtype):
    check_activation(name, backend_named(backend), dtype, **arguments)


# --- the frameworks' own functions ----------------------------------------------------
#: Where they are defined alike: finite, and not at a kink.
FINITE = POINTS[np.isfinite(POINTS) & (POINTS != 0)]


def compare_with_framework(backend, ours, theirs):
    """Require values and gradients alike to four roundings of 1 or of the number.

    Absolutely too, because tf.nn.elu subtracts 1 from an exponential.
    """
    z = backend.tensor(FINITE, "float32")
    one = backend.tensor(np.ones_like(FINITE), "float32")
    mine = backend.value_and_gradient(ours, z, one)
    other = backend.value_and_gradient(theirs, z, one)
    eps = 4 * EPS["float32"]
    for part, a, b in zip(("value", "gradient"), mine, other, strict=True):
        close(backend.array(a), backend.array(b), eps, eps, part)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_torch_functional_is_alike(name):
    backend = backend_named("torch")
    functional = backend.framework.nn.functional
    theirs = getattr(functional, {"logistic": "sigmoid"}.get(name, name))
    compare_with_framework(backend, backend.function(name), theirs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_tf_nn_is_alike(name):
    backend = backend_named("tensorflow")
    theirs = getattr(backend.framework.nn, {"logistic": "sigmoid"}.get(name, name))
    if name == "leaky_relu":  # TensorFlow's default is 0.2
        theirs = partial(theirs, alpha=0.01)
    compare_with_framework(backend, backend.function(name), theirs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_keras_activations_are_alike(name):
    backend = backend_named("tensorflow")
    import keras

    theirs = getattr(keras.activations, {"logistic": "sigmoid"}.get(name, name))
    if name == "leaky_relu":
        theirs = partial(theirs, negative_slope=0.01)
    compare_with_framework(backend, backend.function(name), theirs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_tf_function_gives_the_same(name):
    backend = backend_named("tensorflow")
    z = backend.tensor(POINTS, "float32")
    eager = backend.value_and_gradient(backend.function(name), z, z)
    graph = backend.framework.function(backend.function(name), autograph=False)
    traced = backend.value_and_gradient(graph, z, z)
    for a, b in zip(eager, traced, strict=True):
        np.testing.assert_array_equal(backend.array(a), backend.array(b))


# --- the check can fail ---------------------------------------------------------------
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
    ("torch", "softsign", "value", lambda torch: torch.nn.functional.softsign),
    ("tensorflow", "softsign", "value", lambda tf: tf.nn.softsign),
    ("tensorflow", "elu", "value", lambda tf: tf.nn.elu),
    ("tensorflow", "selu", "value|gradient", lambda tf: tf.nn.selu),
    (
        "tensorflow",
        "leaky_relu",
        "value",
        lambda tf: partial(tf.nn.leaky_relu, alpha=0.01),
    ),
]


@pytest.mark.parametrize(("backend", "name", "word", "theirs"), KNOWN)
def test_check_finds_what_the_framework_does_otherwise(backend, name, word, theirs):
    backend = backend_named(backend)
    theirs = theirs(backend.framework)
    fault = with_signature_of(backend.function(name))(lambda z: theirs(z))
    with pytest.raises(AssertionError, match=f"float64: {word}"):
        check_activation(name, backend, "float64", function=fault)


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


# --- imports --------------------------------------------------------------------------
def run_python(code, **environment):
    # Without these two, whatever the tests themselves were started with.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")
    }
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=inherited | {"PYTHONPATH": path} | environment,
        timeout=120,
        check=False,
    )


def test_core_loads_no_framework():
    code = (
        "import sys, companion, companion.activations, companion.initializers;"
        "print({'torch', 'tensorflow', 'keras', 'scipy'} & set(sys.modules))"
    )
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "set()\n", "")


def test_tensorflow_starts_in_silence():
    pytest.importorskip("tensorflow")
    code = (
        "import sys\n"
        "from companion.tensorflow.activations import selu\n"
        "print(selu([0]).numpy(), 'torch' in sys.modules)\n"
        "print('still heard', file=sys.stderr)"
    )
    done = run_python(code)
    assert done.returncode == 0
    assert done.stdout == "[0.] False\n"
    assert done.stderr == "still heard\n"
