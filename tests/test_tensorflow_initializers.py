"""Random weights in TensorFlow, and its Keras classes."""

import inspect
import json
import math

import numpy as np
import pytest
from helpers import EPS, public, refusal
from weights import (
    BAD,
    BAD_GAINS,
    BAD_NAMES,
    BAD_SHAPES,
    DENSE,
    FANS,
    GENERAL,
    KERNEL,
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
def tf():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def tf_initializers(tf):
    import companion.tensorflow.initializers

    return companion.tensorflow.initializers


@pytest.fixture(scope="module")
def keras(tf_initializers):
    import keras

    return keras


def test_every_public_name_is_tested(tf_initializers):
    assert public(tf_initializers) == NAMES
    assert public(tf_initializers, inspect.isclass) == set(CLASSES)


@pytest.mark.parametrize(("mode", "distribution", "shape"), GENERAL)
def test_weights_have_the_statistics(tf_initializers, mode, distribution, shape):
    w = tf_initializers.variance_scaling(
        shape, scale=1.7, mode=mode, distribution=distribution, seed=1
    )
    assert tuple(w.shape) == shape
    assert w.dtype == "float32"
    variance = 1.7 / FANS[shape][mode]
    check_weights(w.numpy(), variance, distribution, eps=EPS["float32"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMED)
def test_named_initializer(tf, tf_initializers, name, dtype):
    scale, mode, distribution = NAMED[name]
    w = getattr(tf_initializers, name)(DENSE, seed=(1, 2), dtype=dtype)
    assert w.dtype == dtype
    numbers = tf.cast(w, "float64").numpy()
    check_weights(numbers, scale / FANS[DENSE][mode], distribution, eps=EPS[dtype])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_orthogonal_keeps_lengths(tf, tf_initializers, shape, dtype):
    w = tf_initializers.orthogonal(shape, gain=1.7, seed=1, dtype=dtype)
    assert tuple(w.shape) == shape
    assert w.dtype == dtype
    matrix = tf.cast(w, "float64").numpy().reshape(-1, shape[-1])
    check_orthogonal(matrix, 1.7, EPS[dtype])


def test_orthogonal_is_even(tf, tf_initializers):
    draw = tf.function(lambda seed: tf_initializers.orthogonal((3, 3), seed=seed)[0, 0])
    check_even([draw(seed).numpy() for seed in tf.range(4000)])


@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_orthogonal_of_keras_is_alike(keras, shape):
    w = keras.initializers.Orthogonal(gain=1.7, seed=1)(shape).numpy()
    check_orthogonal(w.reshape(-1, shape[-1]), 1.7, EPS["float32"])


def test_orthogonal_of_keras_is_even(keras):
    draw = keras.initializers.Orthogonal(seed=keras.random.SeedGenerator(1))
    check_even([draw((3, 3)).numpy()[0, 0] for _ in range(1000)])


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("name", RECOMMENDED)
def test_for_activation(tf_initializers, name, distribution):
    expected = getattr(tf_initializers, f"{RECOMMENDED[name]}_{distribution}")
    assert tf_initializers.for_activation(name, distribution) is expected
    if distribution == "normal":
        assert tf_initializers.for_activation(name) is expected


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_same_seed_gives_the_same_weights(tf, tf_initializers, distribution):
    def draw(seed):
        return tf_initializers.variance_scaling(
            (3, 4), distribution=distribution, seed=seed
        ).numpy()

    seeds = [0, 1, -1, 2**40, np.int64(3), (1, 2), [2, 1], tf.constant([5, 6])]
    for i, seed in enumerate(seeds):
        np.testing.assert_array_equal(draw(seed), draw(seed))
        for other in seeds[:i]:
            assert np.all(draw(seed) != draw(other))
    for kind in ("int64", "uint64", "uint8"):
        np.testing.assert_array_equal(draw(tf.constant(1, kind)), draw(1))


def test_keras_initializers_are_alike(keras, tf_initializers):
    eps = EPS["float32"]
    for theirs, variance, distribution in (
        (keras.initializers.GlorotUniform(seed=1), 1 / 350, "uniform"),
        (keras.initializers.HeUniform(seed=1), 2 / 500, "uniform"),
        (keras.initializers.LecunUniform(seed=1), 1 / 500, "uniform"),
        # Keras truncates every normal, and corrects it, to eight digits.
        (keras.initializers.GlorotNormal(seed=1), 1 / 350, "truncated_normal"),
        (keras.initializers.HeNormal(seed=1), 2 / 500, "truncated_normal"),
        (keras.initializers.LecunNormal(seed=1), 1 / 500, "truncated_normal"),
    ):
        check_weights(theirs(DENSE), variance, distribution, eps=eps)
    kernel = keras.initializers.HeUniform(seed=1)(KERNEL)
    check_weights(kernel, 2 / 600, "uniform", eps=eps)
    ours = tf_initializers.he_uniform(KERNEL, seed=1)
    check_weights(ours, 2 / 600, "uniform", eps=eps)


def test_check_finds_faults_in_tf(tf, tf_initializers):
    w = tf.random.stateless_truncated_normal(DENSE, (1, 2), 0.0, math.sqrt(1 / 500))
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w, 1 / 500, "truncated_normal")
    # PyTorch's layout handed to the function of TensorFlow.
    w = tf_initializers.he_normal(DENSE[::-1], seed=1)
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w, 2 / 500, "normal")


@pytest.mark.parametrize(("argument", "value", "error", "text"), BAD)
def test_refuses_alike(tf_initializers, argument, value, error, text):
    got = refusal(tf_initializers.variance_scaling, (2, 3), **{argument: value}, seed=1)
    assert got == (error, f"variance_scaling: `{argument}` {text}")


@pytest.mark.parametrize(("value", "error", "text"), BAD_GAINS)
def test_refuses_a_bad_gain_alike(tf_initializers, value, error, text):
    got = refusal(tf_initializers.orthogonal, (2, 3), gain=value, seed=1)
    assert got == (error, f"orthogonal: `gain` {text}")
    got = refusal(tf_initializers.Orthogonal, value, seed=1)
    assert got == (error, f"Orthogonal: `gain` {text}")


@pytest.mark.parametrize(("arguments", "text"), BAD_NAMES)
def test_refuses_a_bad_activation_alike(tf_initializers, arguments, text):
    got = refusal(tf_initializers.for_activation, *arguments)
    assert got == (ValueError, f"for_activation: {text}")


@pytest.mark.parametrize("name", ["variance_scaling", "orthogonal"])
@pytest.mark.parametrize(("shape", "error", "text"), BAD_SHAPES)
def test_refuses_a_bad_shape_alike(tf_initializers, name, shape, error, text):
    got = refusal(getattr(tf_initializers, name), shape, seed=1)
    assert got == (error, f"{name}: `shape` {text}")


@pytest.mark.parametrize("name", ["variance_scaling", "orthogonal"])
def test_refuses_a_bad_seed_or_dtype(tf_initializers, name):
    draw = getattr(tf_initializers, name)
    for seed in (None, 0.5, "a", True, (1,), (1, 2, 3), 2**70, (1, None)):
        assert refusal(draw, (2, 3), seed=seed) == (
            TypeError,
            f"{name}: `seed` must be an integer or a pair of integers; got {seed!r}.",
        )
    for dtype in ("int32", "complex64"):
        assert refusal(draw, (2, 3), seed=1, dtype=dtype) == (
            TypeError,
            f"{name}: `dtype` must be a floating-point dtype; got {dtype}.",
        )


# --- Keras ----------------------------------------------------------------------------
#: Class -> the function it calls; those with arguments have the defaults.
CLASSES = {
    "VarianceScaling": "variance_scaling",
    "Orthogonal": "orthogonal",
    "GlorotUniform": "glorot_uniform",
    "GlorotNormal": "glorot_normal",
    "HeUniform": "he_uniform",
    "HeNormal": "he_normal",
    "HeAvgUniform": "he_avg_uniform",
    "LecunUniform": "lecun_uniform",
    "LecunNormal": "lecun_normal",
}
classes = pytest.mark.parametrize("name", CLASSES)

#: Class -> arguments other than the defaults.
ARGUMENTS = {
    "VarianceScaling": {
        "scale": 1.7,
        "mode": "fan_out",
        "distribution": "truncated_normal",
    },
    "Orthogonal": {"gain": 1.7},
}


def layers(keras, initializer):
    """Build a dense layer and a convolution of the shapes DENSE and KERNEL."""
    dense = keras.layers.Dense(200, kernel_initializer=initializer)
    dense.build((None, 500))
    convolution = keras.layers.Conv2D(60, (3, 5), kernel_initializer=initializer)
    convolution.build((None, 8, 8, 40))
    return {DENSE: dense, KERNEL: convolution}


@classes
def test_keras_layer_gets_what_the_function_draws(keras, tf_initializers, name):
    draw = getattr(tf_initializers, CLASSES[name])
    arguments = ARGUMENTS.get(name, {})
    initializer = getattr(tf_initializers, name)(**arguments, seed=1)
    for shape, layer in layers(keras, initializer).items():
        expected = draw(shape, **arguments, seed=1)
        np.testing.assert_array_equal(layer.kernel, expected)
    plain = getattr(tf_initializers, name)(seed=2)
    np.testing.assert_array_equal(plain((3, 4)), draw((3, 4), seed=2))
    assert plain((3, 4), dtype="float64").dtype == "float64"


@pytest.mark.parametrize("name", [n for n, f in CLASSES.items() if f in NAMED])
def test_keras_layer_has_the_statistics(keras, tf_initializers, name):
    scale, mode, distribution = NAMED[CLASSES[name]]
    seed = keras.random.SeedGenerator(1)
    initializer = getattr(tf_initializers, name)(seed=seed)
    for shape, layer in layers(keras, initializer).items():
        variance = scale / FANS[shape][mode]
        check_weights(layer.kernel, variance, distribution, eps=EPS["float32"])


@classes
def test_keras_seeds(keras, tf_initializers, name):
    make = getattr(tf_initializers, name)
    fixed = make(seed=3)
    np.testing.assert_array_equal(fixed((4, 3)), fixed((4, 3)))
    np.testing.assert_array_equal(fixed((4, 3)), make(seed=np.int64(3))((4, 3)))
    assert np.all(fixed((4, 3)).numpy() != make(seed=4)((4, 3)).numpy())
    one, other = (make(seed=keras.random.SeedGenerator(3)) for _ in range(2))
    first, second = one((4, 3)).numpy(), one((4, 3)).numpy()
    assert np.all(first != second)
    np.testing.assert_array_equal(other((4, 3)), first)
    np.testing.assert_array_equal(other((4, 3)), second)


@classes
@pytest.mark.parametrize("seeded", ["integer", "generator"])
def test_keras_serialization(keras, tf_initializers, name, seeded):
    arguments = ARGUMENTS.get(name, {})
    seed = 5 if seeded == "integer" else keras.random.SeedGenerator(5)
    initializer = getattr(tf_initializers, name)(**arguments, seed=seed)
    assert initializer.get_config().items() >= arguments.items()
    if seeded == "integer":
        assert initializer.get_config() == {**arguments, "seed": 5}
    serialized = keras.initializers.serialize(initializer)
    assert serialized["registered_name"] == f"companion>{name}"
    again = keras.initializers.deserialize(json.loads(json.dumps(serialized)))
    assert type(again) is type(initializer)
    assert again.arguments == arguments
    clone = initializer.clone()
    expected = initializer((4, 3))
    np.testing.assert_array_equal(again((4, 3)), expected)
    np.testing.assert_array_equal(clone((4, 3)), expected)


@classes
def test_keras_model_is_built_again_from_its_config(keras, tf_initializers, name):
    initializer = getattr(tf_initializers, name)(**ARGUMENTS.get(name, {}), seed=5)
    layer = keras.layers.Dense(3, kernel_initializer=initializer)
    model = keras.Sequential([keras.Input((4,)), layer])
    again = keras.models.model_from_json(model.to_json())
    np.testing.assert_array_equal(again.layers[0].kernel, layer.kernel)


@classes
def test_keras_class_refuses_a_bad_seed(keras, tf_initializers, name):
    make = getattr(tf_initializers, name)
    for seed in (None, True, 0.5, "a", (1, 2)):
        assert refusal(make, seed=seed) == (
            TypeError,
            f"{name}: `seed` must be an integer or a keras.random.SeedGenerator; got "
            f"{seed!r}.",
        )
    with pytest.raises(TypeError, match="'seed'"):
        make()


@pytest.mark.parametrize(("argument", "value", "error", "text"), BAD)
def test_keras_class_refuses_alike(tf_initializers, argument, value, error, text):
    got = refusal(tf_initializers.VarianceScaling, **{argument: value}, seed=1)
    assert got == (error, f"VarianceScaling: `{argument}` {text}")
