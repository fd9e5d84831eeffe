"""Keras layers that compute in float16 or bfloat16, with weights in float32."""

import inspect

import numpy as np
import pytest
from backends import backend_named
from helpers import EPS, close, public

from companion import normalization as reference
from companion.recipes import recommend

#: What is not a default of each class, and in which module the classes are.
ARGUMENTS = {
    "Activation": {"function": "silu"},
    "Dropout": {"rate": 0.2, "seed": 1},
    "AlphaDropout": {"rate": 0.2, "seed": 1},
    "RReLU": {"seed": 1},
}
TOPICS = ("activations", "dropout", "normalization", "mlp")
CLASSES = [
    *("LeakyReLU", "PReLU", "RReLU", "ELU", "CELU", "SELU", "GELU"),
    *("Dropout", "AlphaDropout", "BatchNorm", "Activation"),
]


@pytest.fixture(scope="module")
def backend():
    return backend_named("tensorflow")


@pytest.fixture(scope="module")
def keras(backend):
    import keras

    return keras


@pytest.fixture(params=["float16", "bfloat16"])
def half(request, keras):
    """Set the policy of a half type, and restore the usual one."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(f"mixed_{request.param}")
    yield request.param
    keras.mixed_precision.set_global_policy(before)


def classes(backend):
    modules = [backend.topic(topic) for topic in TOPICS]
    return {n: getattr(m, n) for m in modules for n in public(m, inspect.isclass)}


def test_every_layer_is_tested(backend):
    assert set(classes(backend)) == set(CLASSES)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_layer_computes_in_the_half_type(backend, half, name, training):
    """From float32 inputs: values and gradients, beside those of a float32 layer."""
    tf, kind = backend.framework, classes(backend)[name]
    rng = np.random.default_rng(0)
    x, dy = (tf.cast(rng.standard_normal((64, 3)), half) for _ in range(2))
    has_modes = "training" in inspect.signature(kind.call).parameters
    keywords = {"training": training} if has_modes else {}
    results = []
    for policy in (None, "float32"):
        layer = kind(**ARGUMENTS.get(name, {}), dtype=policy)
        inputs = tf.cast(x, "float32")
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs, **keywords)
        sources = [inputs, *layer.trainable_weights]
        upstream = tf.cast(dy, y.dtype)
        results.append((y, *tape.gradient(y, sources, output_gradients=upstream)))
        if policy is None:
            assert y.dtype == layer.compute_dtype == half
            floating = [v for v in layer.variables if "float" in v.dtype]
            assert {v.dtype for v in floating} <= {"float32"}
    for a, b in zip(*results, strict=True):
        # Eight roundings, and 192 where a gradient is the sum over all inputs.
        n = 8 if a.shape == x.shape else x.shape.num_elements()
        close(backend.array(a), b, 0.0, n * EPS[half] * np.abs(b).max(), name)


def test_statistics_hold_what_half_types_cannot(backend, half):
    """A sum that overflows float16, of more terms than bfloat16 can count."""
    tf = backend.framework
    layer = backend.topic("normalization").BatchNorm(momentum=0.0)
    x = tf.cast(50 + np.random.default_rng(0).standard_normal((100_000, 2)), half)
    y = layer(x, training=True)
    twin = reference.BatchNorm(2, momentum=0.0)
    expected = twin.forward(backend.array(x), training=True)
    assert np.abs(backend.array(x).sum(axis=0)).min() > 65504
    close(
        backend.array(y), expected, EPS[half], 1e-4, "y"
    )  # one rounding, of float32's
    for name in ("running_mean", "running_var"):
        found = getattr(layer, name)
        close(found.numpy(), getattr(twin, name), 1e-4, 0.0, name)
    # After training they are used in float32 too.
    close(backend.array(layer(x)), twin.forward(backend.array(x)), EPS[half], 1e-4, "y")


@pytest.mark.parametrize(
    "wishes",
    [
        {"regularizer": ("alpha_dropout",)},
        {"normalization": "batch", "regularizer": ("early_stopping", "dropout")},
        {"normalization": "layer"},
        {"activation": "prelu"},
    ],
    ids=lambda wishes: " ".join(wishes),
)
# Keras asks TensorFlow's tensors for an array in a way that NumPy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_mlp_trains(backend, keras, half, wishes):
    """Scaled losses, which float16 needs: none of the steps may overflow for good."""
    net = backend.topic("mlp").mlp(recommend(depth=2, **wishes), 8, 3, [32, 32], seed=0)
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=256)
    x = np.float32(rng.standard_normal((256, 8)) + 3 * np.eye(3, 8)[labels])
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**10
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer, loss)
    losses = net.fit(x, labels, epochs=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] / 2
    assert optimizer.inner_optimizer.iterations.numpy() > 0
    assert net(x).dtype == half
    assert {w.dtype for w in net.trainable_weights} == {"float32"}
    assert all(np.isfinite(w.numpy()).all() for w in net.trainable_weights)
