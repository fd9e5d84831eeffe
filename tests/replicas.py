"""Train batch normalizations on two replicas, for ``test_tensorflow_replicas.py``.

Logical devices are made before TensorFlow starts, so that this runs in a process of its
own: ``python tests/replicas.py RESULTS.npz``.
"""

import contextlib
import sys

import companion.tensorflow.normalization as ours  # isort: skip  (first: in silence)
import keras
import numpy as np
import tensorflow as tf

STEPS = 3
KERAS = keras.layers.BatchNormalization
GAMMA, BETA = [1.5, 1.0, 0.5], [0.0, -1.0, 2.0]
#: Of each layer: the class, its arguments, the rows of both parts, the inputs' mean.
CASES = {
    "equal": (ours.BatchNorm, {}, (8, 8), 0.0),
    "unequal": (ours.BatchNorm, {}, (14, 2), 0.0),
    "one row each": (ours.BatchNorm, {}, (1, 1), 0.0),
    "empty part": (ours.BatchNorm, {}, (16, 0), 0.0),
    "average": (ours.BatchNorm, {"momentum": None, "unbiased": False}, (14, 2), 0.0),
    "large mean": (ours.BatchNorm, {}, (30, 34), 1e4),
    "not synchronized": (ours.BatchNorm, {"synchronized": False}, (8, 8), 0.0),
    "Keras": (KERAS, {"synchronized": True}, (14, 2), 0.0),
    "Keras, large mean": (KERAS, {"synchronized": True}, (30, 34), 1e4),
}
NAMES = ("y", "dx", "dgamma", "dbeta", "running_mean", "running_var")


def data(parts, mean, step):
    """Return the undivided batch, and the gradient of its output."""
    rng = np.random.default_rng(step)
    x = mean + rng.standard_normal((sum(parts), 3)) * [0.5, 1.0, 2.0]
    x[: parts[0]] += 1  # the parts have statistics of their own
    return np.float32(x), np.float32(rng.standard_normal(x.shape))


class Replicas:
    """A layer on two replicas, with a function for one step of training."""

    def __init__(self, strategy, make, arguments):
        self.strategy = strategy
        with strategy.scope():
            self.layer = make(**arguments)
            self.layer.build((None, 3))
        self.layer.gamma.assign(GAMMA)
        self.layer.beta.assign(BETA)
        self.train = tf.function(self._train)

    def _train(self, x, dy):
        return self.strategy.run(self._part, args=(x, dy))

    def _part(self, x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = self.layer(x, training=True)
        sources = [x, *self.layer.trainable_weights]
        return y, *tape.gradient(y, sources, output_gradients=dy)

    def step(self, x, dy, parts):
        """Return what :data:`NAMES` lists, the parts joined; running values of each."""
        x, dy = (self._divide(values, parts) for values in (x, dy))
        y, dx, dgamma, dbeta = map(self._local, self.train(x, dy))
        running = self.layer.non_trainable_weights[:2]
        mean, var = (np.stack(self._local(variable.value)) for variable in running)
        return np.concatenate(y), np.concatenate(dx), sum(dgamma), sum(dbeta), mean, var

    def _divide(self, values, parts):
        cut = np.split(values, np.cumsum(parts)[:-1])
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(cut[context.replica_id_in_sync_group])
        )

    def _local(self, value):
        values = self.strategy.experimental_local_results(value)
        return [np.array(part.numpy()) for part in values]


def fitted(scope):
    """Return the weights of a net after ``fit`` in the scope of a strategy, or none."""
    keras.utils.set_random_seed(1)
    with scope:
        layers = [keras.layers.Dense(4), ours.BatchNorm(momentum=0.5)]
        net = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
        net.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = data((16, 16), 0.0, 0)
    net.fit(x, y[:, :1], batch_size=16, epochs=2, shuffle=False, verbose=0)
    return [weight.numpy() for weight in net.weights]


def main(results):
    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, devices)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}
    for case, (make, arguments, parts, mean) in CASES.items():
        replicas = Replicas(strategy, make, arguments)
        for step in range(STEPS):
            values = replicas.step(*data(parts, mean, step), parts)
            for key, value in zip(NAMES, values, strict=True):
                found[f"{case}/{step}/{key}"] = value
    for key, scope in (("one", contextlib.nullcontext()), ("two", strategy.scope())):
        for i, weight in enumerate(fitted(scope)):
            found[f"fit/{key}/{i}"] = weight
    replicas = Replicas(strategy, ours.BatchNorm, {})
    try:
        replicas.step(*data((1, 0), 0.0, 0), (1, 0))
    except tf.errors.InvalidArgumentError as error:
        found["one row"] = str(error)
    np.savez(results, **found)


if __name__ == "__main__":
    main(sys.argv[1])
