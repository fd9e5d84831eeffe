"""Every backend has the reference's activations."""

import operator
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from backends import BACKENDS, CASES, FRAMEWORKS, THEIRS, backend_named
from helpers import (
    ACTIVATIONS,
    BOTH,
    EPS,
    FORMS,
    NAMES,
    POINTS,
    REQUIRED,
    TINY,
    arrays,
    check_activation,
    check_random_slopes,
    close,
    gradient_tolerance,
    public,
    require_alike,
    value_tolerance,
)
from hypothesis import given, settings

from companion import activations

#: Arguments other than the defaults; alpha = 0 is ReLU, and has a trap at infinity.
ARGUMENTS = [
    ("leaky_relu", {"alpha": 0.2}),
    ("leaky_relu", {"alpha": 0.0}),
    ("leaky_relu", {"alpha": -0.5}),
    ("prelu", {"alpha": 0.25}),
    ("prelu", {"alpha": 0.0}),
    ("prelu", {"alpha": np.array(-0.5)}),
    ("prelu", {"alpha": np.array([0.0, 0.25, -0.5, 1.0, 1.5, 0.1])}),
    ("prelu", {"alpha": np.array([[0.0], [0.25], [-0.5], [1.5]])}),
    ("prelu", {"alpha": np.linspace(-1, 1, POINTS.size).reshape(POINTS.shape)}),
    ("rrelu", {"training": False}),
    ("rrelu", {"lower": -0.5, "upper": 0.25, "training": False}),
    ("rrelu", {"lower": -0.5, "upper": 0.5, "training": False}),
    ("elu", {"alpha": 1.5}),
    ("elu", {"alpha": 0.0}),
    ("celu", {"alpha": 1.5}),
    ("selu", {"alpha": 1.5, "scale": 1.25}),
    ("gelu", {"approximate": True}),
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_public_function_is_compared(backend):
    names = {*BOTH, "prelu_slope_derivative"} if backend == "numpy" else set(NAMES)
    assert public(backend_named(backend).module) == names


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_conforms(name, backend, dtype):
    check_activation(name, backend_named(backend), dtype)


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_activation_conforms_with_other_arguments(name, arguments, backend, dtype):
    check_activation(name, backend_named(backend), dtype, **arguments)


@pytest.mark.parametrize(("backend", "dtype"), CASES)
def test_random_slopes_conform(backend, dtype):
    check_random_slopes(backend_named(backend), dtype)


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(z=arrays())
def test_any_array_gives_value_and_gradient_of_the_reference(name, backend, z):
    backend, dtype = backend_named(backend), z.dtype.name
    arguments = REQUIRED.get(name, {})
    tensor, one = (backend.tensor(a, dtype) for a in (z, np.ones_like(z)))
    y, gradient = backend.value_and_gradient(
        backend.function(name), tensor, one, **arguments
    )
    for part in (y, gradient):
        assert backend.dtype(part) == dtype
        assert tuple(part.shape) == z.shape
    z = z.astype(float)
    expected = getattr(activations, name)(z, **arguments)
    close(backend.array(y), expected, *value_tolerance(name, z, dtype), name)
    # At nan each framework has its own, and TensorFlow takes a subnormal number for 0.
    told = (np.abs(z) >= TINY[dtype]) | (z == 0)
    expected = getattr(activations, f"{name}_grad")(z, **arguments)[told]
    relative, absolute = gradient_tolerance(name, z[told], dtype)
    close(backend.array(gradient)[told], expected, relative, absolute, f"{name}_grad")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(1,), (3,), (3, 1), (1, 2, 3), (0,)])
def test_prelu_refuses_slopes_of_another_shape(backend, shape):
    backend = backend_named(backend)
    z = backend.tensor(np.ones((2, 3) if shape != (1,) else ()), "float32")
    alpha = backend.tensor(np.ones(shape), "float32")
    if shape == (3,):
        assert tuple(backend.function("prelu")(z, alpha).shape) == (2, 3)
        return
    message = (
        f"prelu: `alpha` must broadcast to the shape {tuple(z.shape)}; got shape "
        f"{shape}."
    )
    with pytest.raises(ValueError, match="broadcast") as caught:
        backend.function("prelu")(z, alpha)
    assert str(caught.value) == message


@pytest.mark.parametrize("backend", BACKENDS)
def test_prelu_refuses_complex_slopes(backend):
    backend = backend_named(backend)
    alpha = next(backend.refused())[0]
    z = backend.tensor([1.0], "float32")
    message = "prelu: `alpha` must hold real numbers; got dtype .*complex"
    with pytest.raises(TypeError, match=message):
        backend.function("prelu")(z, alpha)


@pytest.mark.parametrize(
    ("backend", "source", "message"),
    [
        (
            "numpy",
            {},
            "`rng` must be a numpy.random.Generator; got NoneType. Pass "
            "rng=numpy.random.default_rng(seed).",
        ),
        (
            "torch",
            {"generator": 1},
            "`generator` must be a torch.Generator or None; got int. Pass "
            "generator=torch.Generator().manual_seed(seed).",
        ),
        (
            "tensorflow",
            {},
            "`seed` must be an integer or a pair of integers in training; got None. "
            "Pass seed=step, another one at each call.",
        ),
        (
            "tensorflow",
            {"seed": 1.5},
            "`seed` must be an integer or a pair of integers; got 1.5.",
        ),
    ],
)
def test_rrelu_names_the_source_of_random_numbers(backend, source, message):
    backend = backend_named(backend)
    z = backend.tensor([1.0], "float32")
    with pytest.raises(TypeError) as caught:
        backend.function("rrelu")(z, training=True, **source)
    assert str(caught.value) == f"rrelu: {message}"


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_rrelu_draws_anew_at_each_call(backend):
    backend = backend_named(backend)
    rrelu, z = backend.function("rrelu"), backend.tensor(-np.ones(99), "float64")
    source = backend.source(1)
    first, second = (rrelu(z, training=True, **source) for _ in range(2))
    assert np.mean(backend.array(first) != backend.array(second)) > 0.9


def test_torch_rrelu_follows_the_global_generator():
    backend = backend_named("torch")
    z = -backend.framework.ones(99)
    draws = []
    for seed in (1, 1, 2):
        backend.framework.manual_seed(seed)
        draws.append(backend.array(backend.function("rrelu")(z, training=True)))
    assert np.array_equal(draws[0], draws[1])
    assert np.mean(draws[0] != draws[2]) > 0.9


# --- the frameworks' own functions ----------------------------------------------------
#: Where they are defined alike: finite, and not at a kink.
FINITE = POINTS[np.isfinite(POINTS) & (POINTS != 0)]


def compare_with_framework(backend, ours, theirs, **arguments):
    """Require values and gradients alike within the tolerances of ours.

    Absolutely to four roundings of 1 at least, since tf.nn.elu subtracts 1 from an
    exponential.
    """
    z = backend.tensor(FINITE, "float32")
    one = backend.tensor(np.ones_like(FINITE), "float32")
    mine = backend.value_and_gradient(ours, z, one, **arguments)
    other = backend.value_and_gradient(theirs, z, one)
    require_alike(backend, ours.__name__, FINITE, mine, other, 4 * EPS["float32"])


@pytest.mark.parametrize(("name", "arguments"), FORMS)
def test_torch_functional_is_alike(name, arguments):
    backend = backend_named("torch")
    theirs = getattr(backend.framework.nn.functional, THEIRS.get(name, name))
    if "approximate" in arguments:
        theirs = partial(theirs, approximate="tanh")
    compare_with_framework(backend, backend.function(name), theirs, **arguments)


@pytest.mark.parametrize(("name", "arguments"), FORMS)
@pytest.mark.parametrize("library", ["tf.nn", "keras.activations"])
def test_tensorflow_and_keras_are_alike(library, name, arguments):
    backend = backend_named("tensorflow")
    import keras

    module = keras.activations if library[0] == "k" else backend.framework.nn
    theirs = getattr(module, THEIRS.get(name, name), None)
    if theirs is None:
        assert name in {"tf.nn": ("celu", "mish", "rrelu")}.get(library, "rrelu")
        return
    if name == "gelu":  # Keras' default is the approximation
        theirs = partial(theirs, approximate=bool(arguments))
    if name == "leaky_relu":  # 0.2 by default
        slope = {"tf.nn": "alpha"}.get(library, "negative_slope")
        theirs = partial(theirs, **{slope: 0.01})
    compare_with_framework(backend, backend.function(name), theirs, **arguments)


def test_tf_function_takes_slopes_for_a_batch_of_any_size():
    backend = backend_named("tensorflow")
    tf = backend.framework
    spec, slopes = (tf.TensorSpec(shape, "float32") for shape in ([None, 3], [3]))
    graph = tf.function(backend.function("prelu"), input_signature=[spec, slopes])
    y = graph(tf.constant([[-4.0, -4.0, 2.0]]), tf.constant([0.25, 0.5, 1.0]))
    np.testing.assert_array_equal(y, [[-1.0, -2.0, 2.0]])


@pytest.mark.parametrize("name", ["silu", "gelu", "mish"])
@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_derivative_of_the_framework_is_nan_at_infinity(backend, name):
    backend = backend_named(backend)
    library = {"torch": "nn.functional", "tensorflow": "keras.activations"}
    theirs = getattr(
        operator.attrgetter(library[backend.name])(backend.framework), name
    )
    z = backend.tensor([-np.inf, np.inf], "float64")
    one = backend.tensor([1.0, 1.0], "float64")
    _, gradient = backend.value_and_gradient(theirs, z, one)
    assert np.isnan(backend.array(gradient)).all()
    _, gradient = backend.value_and_gradient(backend.function(name), z, one)
    np.testing.assert_array_equal(backend.array(gradient), [0.0, 1.0])


def test_derivative_of_gelu_does_not_overflow():
    # The cube of 1e20 is beyond float32, that of 200 beyond float16.
    for name, z, dtype in (("torch", 1e20, "float32"), ("tensorflow", 200, "float16")):
        backend = backend_named(name)
        f = partial(backend.function("gelu"), approximate=True)
        z, one = backend.tensor([-z, z], dtype), backend.tensor([1.0, 1.0], dtype)
        _, gradient = backend.value_and_gradient(f, z, one)
        np.testing.assert_array_equal(backend.array(gradient), [0.0, 1.0])


def test_softplus_of_tensorflow_loses_more_digits():
    backend = backend_named("tensorflow")
    z = np.linspace(-40, 40, 2001)
    exact = activations.softplus(z)

    def error(softplus):
        y = backend.array(softplus(backend.tensor(z, "float64")))
        return np.max(np.abs(y / exact - 1)) / EPS["float64"]

    ours, theirs = backend.function("softplus"), backend.framework.nn.softplus
    assert error(ours) < 3 < error(theirs)


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


def test_triton_is_loaded_before_tensorflow(tmp_path):
    # After it the process would end.  PyTorch's builds for NVIDIA GPUs bring Triton;
    # here a module of that name stands for it.
    pytest.importorskip("tensorflow")
    (tmp_path / "triton.py").write_text(
        "import sys\nfirst = 'tensorflow' not in sys.modules\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import companion.tensorflow\n"
        "print(sys.modules['triton'].first, 'tensorflow' in sys.modules)"
    )
    assert run_python(code).stdout == "True True\n"
