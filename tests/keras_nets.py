"""Keras models with their batches, healthy until a test makes them ill."""

import random

import companion.tensorflow.activations as activations  # isort: skip  (in silence)
import keras
import numpy as np
import tensorflow as tf
from keras import layers

from companion.tensorflow import mlp
from companion.tensorflow.dropout import Dropout as Dropout
from companion.tensorflow.normalization import BatchNorm

#: The initializer of each activation; of the others, Glorot's.
INITIALIZERS = {"relu": "he_normal", "selu": "lecun_normal"}


def rng():
    return np.random.default_rng(0)


def numbers(*shape):
    return rng().standard_normal(shape).astype("float32")


def labels(n=64, classes=5):
    return rng().integers(classes, size=n)


def activation(name, **keywords):
    """Return this package's layer of an activation."""
    if name == "rrelu":
        return activations.RReLU(seed=0, **keywords)
    if name in mlp._CLASSES:
        return mlp._CLASSES[name](**keywords)
    return mlp.Activation(name, **keywords)


def dense(activation="relu", depth=6, between=None, initializer=None):
    """Return a Sequential, built; `between` makes a layer after each hidden one."""
    keras.utils.set_random_seed(0)
    initializer = initializer or INITIALIZERS.get(activation, "glorot_uniform")
    model = keras.Sequential([keras.Input((20,))])
    for _ in range(depth):
        model.add(layers.Dense(40, activation, kernel_initializer=initializer))
        if between:
            model.add(between())
    model.add(layers.Dense(5))
    return model, numbers(64, 20), labels()


def residual():
    """Return a functional ResNet of three blocks with batch normalization."""
    keras.utils.set_random_seed(0)

    def convolution(x, n, stride=1):
        x = layers.Conv2D(
            n, 3, stride, "same", use_bias=False, kernel_initializer="he_normal"
        )(x)
        return layers.BatchNormalization()(x)

    x = inputs = keras.Input((8, 8, 3))
    x = layers.ReLU()(convolution(x, 8))
    for n, stride in [(8, 1), (16, 2), (16, 1)]:
        y = layers.ReLU()(convolution(x, n, stride))
        y = convolution(y, n)
        if stride > 1:
            x = layers.BatchNormalization()(layers.Conv2D(n, 1, stride)(x))
        x = layers.ReLU()(layers.Add()([x, y]))
    outputs = layers.Dense(5, "softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs), numbers(32, 8, 8, 3), labels(32)


def mobile():
    """Return a functional MobileNet of three inverted residuals, with ReLU6."""
    keras.utils.set_random_seed(0)

    def normalized(x):
        return BatchNorm.like("keras")(x)

    x = inputs = keras.Input((8, 8, 3))
    x = layers.ReLU(6.0)(normalized(layers.Conv2D(8, 3, padding="same")(x)))
    for _ in range(3):
        y = layers.ReLU(6.0)(normalized(layers.Conv2D(24, 1)(x)))
        y = layers.DepthwiseConv2D(3, padding="same")(y)
        y = layers.ReLU(6.0)(normalized(y))
        x = layers.Add()([x, normalized(layers.Conv2D(8, 1)(y))])
    outputs = layers.Dense(5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs), numbers(32, 8, 8, 3), labels(32)


def convolutional(activation="selu", between=None, initializer="lecun_normal"):
    """Return a plain convolutional net, whose outputs are probabilities."""
    keras.utils.set_random_seed(0)
    start = {"kernel_initializer": initializer}
    x = inputs = keras.Input((8, 8, 3))
    for _ in range(4):
        x = layers.Conv2D(24, 3, padding="same", **start)(x)
        x = layers.Activation(activation)(x)
        x = between()(x) if between else x
    outputs = layers.Dense(5, "softmax", **start)(layers.Flatten()(x))
    return keras.Model(inputs, outputs), numbers(32, 8, 8, 3), labels(32)


def reused(activation="tanh"):
    """Return a net of two named inputs that uses one layer for both, and again."""
    keras.utils.set_random_seed(0)
    inputs = {name: keras.Input((20,), name=name) for name in ("left", "right")}
    step = layers.Dense(20, activation, kernel_initializer="orthogonal", name="step")
    inner = keras.Sequential([step], name="inner")
    left, right = (inner(x) for x in inputs.values())
    for _ in range(5):
        left, right = inner(left), inner(right)
    outputs = layers.Dense(5)(layers.Concatenate()([left, right]))
    x = {"left": numbers(64, 20), "right": numbers(64, 20)[::-1]}
    return keras.Model(inputs, outputs), x, labels()


def recurrent():
    """Return a classifier of sequences of indices."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Embedding(30, 16),
            layers.Bidirectional(layers.LSTM(16, return_sequences=True)),
            layers.GRU(16, name="gru"),
            layers.Dense(5),
        ]
    )
    return model, rng().integers(30, size=(64, 12)), labels()


class Attention(keras.Model):
    """Two blocks of a transformer, in a ``tf.function``."""

    def __init__(self):
        super().__init__(name="attention")
        self.blocks = [
            (
                layers.LayerNormalization(name=f"norm_{i}"),
                layers.MultiHeadAttention(2, 8, name=f"attention_{i}"),
                layers.Dense(32, "gelu", name=f"up_{i}"),
                layers.Dense(16, name=f"down_{i}"),
            )
            for i in range(2)
        ]
        self.last = layers.Dense(5, name="last")

    @tf.function
    def call(self, x):
        for norm, attention, up, down in self.blocks:
            x = x + attention(norm(x), norm(x))
            x = x + down(up(x))
        return {"logits": self.last(tf.reduce_mean(x, axis=1))}


def attention():
    keras.utils.set_random_seed(0)
    return Attention(), numbers(32, 10, 16), labels(32)


def from_logits(y, outputs):
    return keras.losses.sparse_categorical_crossentropy(
        y, outputs["logits"], from_logits=True
    )


class Own(keras.layers.Layer):
    """A layer with a matrix, an activation and a step that a test replaces."""

    def __init__(self, units, activation=None, step=lambda z: z, **keywords):
        super().__init__(**keywords)
        self.units, self.step = units, step
        self.activation = keras.activations.get(activation)

    def build(self, shape):
        self.start = self.add_weight(shape=(self.units,), initializer="zeros")
        self.matrix = self.add_weight(
            name="matrix", shape=(shape[-1], self.units), initializer="he_normal"
        )

    def call(self, x):
        return self.activation(self.step(x @ self.matrix + self.start))


class Subclassed(keras.Model):
    """Layers of one's own, in a loop, with operations between them."""

    def __init__(self, between=lambda x: x):
        super().__init__(name="subclassed")
        self.hidden = [Own(40, "relu", name=f"own_{i}") for i in range(6)]
        self.last, self.between = layers.Dense(5, name="last"), between

    def call(self, x):
        for layer in self.hidden:
            x = layer(x)
        return self.last(self.between(x))


def subclassed(**arguments):
    keras.utils.set_random_seed(0)
    return Subclassed(**arguments), numbers(64, 20), labels()


def logarithm(place):
    """Return a functional net with an operation that makes nan: after that layer."""
    x = inputs = keras.Input((20,))
    for i in range(2):
        x = layers.Dense(5, name=f"dense_{i}")(x)
        x = keras.ops.log(-1 - x * x) if place == i + 1 else x
    return keras.Model(inputs, x), numbers(64, 20), labels()


HEALTHY = {
    function.__name__: function
    for function in (
        *(dense, residual, mobile, convolutional, reused, recurrent, attention),
        subclassed,
    )
}


class Restless(keras.Model):
    """A model of which each call in training changes all that a call can change."""

    def __init__(self, fails=False):
        super().__init__(name="restless")
        self.fails = fails
        self.normalized = layers.BatchNormalization()
        self.ours = BatchNorm()
        self.dropped = layers.Dropout(0.5, seed=1)
        self.spectral = layers.SpectralNormalization(layers.Dense(4))
        self.squared = layers.Dense(4, self.look, activity_regularizer="l2")
        self.states = layers.GRU(4, stateful=True, dropout=0.5)
        self.seen = keras.metrics.Mean()
        self.count = tf.Variable(0)
        self.generator = tf.random.Generator.from_seed(0)
        self.meanwhile = ()

    def call(self, x, training=False):
        x = self.spectral(self.ours(self.normalized(x)))
        x = self.states(self.squared(self.dropped(x))[:, None])
        if training:
            x += keras.random.normal((4,)) + tf.random.normal((4,)) + random.random()
            x += (
                self.generator.normal((4,)) + np.random.get_bit_generator().random_raw()
            )
            x += tf.random.get_global_generator().normal((4,))
            self.seen.update_state(x)
            self.add_loss(tf.reduce_sum(x))
            self.count.assign_add(1)
            if self.fails:
                raise RuntimeError("on purpose")
        return x

    def look(self, z):
        """Note what is in force inside a layer."""
        self.meanwhile = replaced(self)
        return tf.tanh(z)


def replaced(model):
    """Return what a diagnosis replaces while it runs."""
    function = vars(model.squared)["activation"]
    return keras.Operation.__call__, tf.config.functions_run_eagerly(), function
