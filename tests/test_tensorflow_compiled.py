"""TensorFlow's functions and layers in a graph, compiled by XLA, and on a GPU.

Each gives what it gives eagerly on a CPU, to rounding: the same random numbers too, but
for XLA's normal ones.  Nothing may be placed elsewhere than where it was told.
"""

import functools
import inspect

import numpy as np
import pytest
from backends import TensorFlowBackend, backend_named
from dropouts import FORMS as DROPOUTS
from dropouts import MASKS, X, constants
from helpers import EPS, FORMS, POINTS, close, public, require_alike
from philox import philox
from weights import DENSE, FANS, NAMED, check_orthogonal, check_weights

gpu = pytest.mark.gpu
dtypes = pytest.mark.parametrize("dtype", TensorFlowBackend.dtypes)


@pytest.fixture(scope="module")
def backend():
    return backend_named("tensorflow")


@pytest.fixture(scope="module")
def tf(backend):
    return backend.framework


@pytest.fixture(scope="module")
def keras(backend):
    import keras

    return keras


class Way:
    """One way to call a function on one device, which may use no other.

    A compiler may fuse steps and so leave out a rounding, or take another series for
    e^z: results are held to the tolerance that the eager ones have.
    """

    def __init__(self, tf, device, name):
        self.tf, self.device, self.name = tf, device, name

    def function(self, f):
        if self.name == "eager":
            return f
        return self.tf.function(f, autograph=False, jit_compile=self.name == "xla")

    def place(self):
        """Say where everything is to be; a graph is to leave it open."""
        return self.tf.device(None if self.name == "graph" else self.device)

    def check_places(self, function, *tensors):
        if self.name == "graph":
            operations = function.get_concrete_function(*tensors).graph.get_operations()
            assert {operation.device for operation in operations} == {""}

    def expected_and_found(self, f, *arrays):
        """Return the nested results of `f` eagerly on a CPU, and in this way."""
        with self.tf.device("/CPU:0"):
            expected = f(*map(self.tf.constant, arrays))
        with self.place():
            tensors = [*map(self.tf.constant, arrays)]
            g = self.function(f)
            self.check_places(g, *tensors)
            found = g(*tensors)
        assert {y.device for y in self.tf.nest.flatten(found)} == {tensors[0].device}
        return expected, found


@pytest.fixture(
    params=[
        *(("/CPU:0", "graph"), ("/CPU:0", "xla")),
        *(pytest.param(("/GPU:0", name), marks=gpu) for name in ("eager", "xla")),
    ],
    ids=" ".join,
)
def way(request, tf):
    soft = tf.config.get_soft_device_placement()
    tf.config.set_soft_device_placement(False)
    yield Way(tf, *request.param)
    tf.config.set_soft_device_placement(soft)


def with_gradient(tf, f, x, **arguments):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x, **arguments)
    return y, tape.gradient(y, x)


# --- functions ------------------------------------------------------------------------
@dtypes
def test_activations(tf, backend, way, dtype):
    forms = [
        *FORMS,
        ("prelu", {"alpha": 0.25}),
        ("rrelu", {"training": True, "seed": 3}),
    ]

    def every(z):
        z = tf.cast(z, dtype)
        found = {
            f"{name} {i}": with_gradient(tf, backend.function(name), z, **arguments)
            for i, (name, arguments) in enumerate(forms)
        }
        slopes = tf.linspace(-tf.ones_like(z[0]), tf.ones_like(z[0]), 4)
        prelu = functools.partial(backend.function("prelu"), z)
        return found | {"prelu": with_gradient(tf, prelu, slopes)}

    expected, found = way.expected_and_found(every, POINTS)
    z = backend.array(backend.tensor(POINTS, dtype))
    for form, pair in found.items():
        name = form.partition(" ")[0]
        require_alike(backend, name, z, pair, expected[form], dtype=dtype)


@dtypes
def test_dropout(tf, backend, way, dtype):
    module = backend.topic("dropout")
    rate = 0.3

    def every(x, mask, seed):
        x = tf.cast(x, dtype)
        return [
            with_gradient(tf, getattr(module, name), x, rate=rate, **source, **point)
            for name, point in DROPOUTS
            for source in ({"mask": mask}, {"seed": seed})
        ]

    given = X, MASKS["one for each row"], (2**40, -5)
    forms = [form for form in DROPOUTS for _ in range(2)]
    for (name, point), expected, found in zip(
        forms, *way.expected_and_found(every, *given), strict=True
    ):
        # A sum of three rounded terms, as in `check_masked`.
        value, a, b = constants(name, rate, point)
        expected, found = map(backend.array, expected), map(backend.array, found)
        (y, gradient), (other, slopes) = expected, found
        kept = gradient != 0
        assert 0 < kept.sum() < X.size
        x = backend.array(backend.tensor(X, dtype))
        size = np.where(kept, a * np.abs(x), 0) + abs(a * value) + abs(b)
        close(other, y, 0.0, 4 * EPS[dtype] * size, f"value of {name}")
        close(slopes, gradient, 2 * EPS[dtype], 0.0, f"gradient of {name}")


@dtypes
def test_initializers(tf, backend, way, dtype):
    """XLA draws other normal numbers: then they are held to their distribution."""
    module = backend.topic("initializers")
    cases = NAMED | {"variance_scaling": (1.0, "fan_in", "truncated_normal")}

    def every(seed):
        drawn = {}
        for name, (_, _, distribution) in cases.items():
            other = {"distribution": distribution} if name not in NAMED else {}
            f = functools.partial(getattr(module, name), **other)
            drawn[name] = f(DENSE, seed=seed, dtype=dtype)
        return drawn | {"square": module.orthogonal((20, 20), seed=seed, dtype=dtype)}

    seed = (2**40, -5)
    expected, found = way.expected_and_found(every, seed)
    square, same = backend.array(found.pop("square")), backend.array(expected["square"])
    check_orthogonal(square, 1.0, EPS[dtype])
    if way.name != "xla":
        # What it is made of is known to rounding, and it amplifies that a little.
        close(square, same, 0.0, 100 * EPS[dtype], "orthogonal")
    for name, w in found.items():
        scale, mode, distribution = cases[name]
        w, same = backend.array(w), backend.array(expected[name])
        variance = scale / FANS[DENSE][mode]
        check_weights(w, variance, distribution, eps=EPS[dtype])
        if way.name == "xla" and distribution != "uniform":
            assert np.mean(w == same) < 0.1
        else:
            # A product and a sum of terms not larger than the largest of the weights.
            close(w, same, 0.0, 4 * EPS[dtype] * np.abs(same).max(), name)


def test_masks_are_the_same_in_every_run(tf, backend, way):
    """They are made of the bits of Philox, computed here from the seed."""
    rate, n, seed = 0.3, 99, (2**40 + 3, -5)
    start = [(s >> shift) % 2**32 for s in seed for shift in (0, 32)]
    mixed = philox(np.reshape(start, (4, 1)), (0x3EC8F720, 0x02461E29), rounds=10)
    key, high = mixed[:2, 0], mixed[2:]
    count = np.arange(-(-n // 4))
    counter = [count, 0 * count, *(high + 0 * count[:, None].T)]
    bits = philox(counter, key, rounds=10).T.ravel()[:n]

    dropout = backend.topic("dropout").dropout
    for y in way.expected_and_found(
        lambda x, s: dropout(x, rate, seed=s), [1.0] * n, seed
    ):
        np.testing.assert_array_equal(y.numpy() > 0, bits >= rate * 2**32)


# --- layers ---------------------------------------------------------------------------
def every_layer(backend):
    """Return a layer of each class, and for each function of `Activation`."""
    mlp = backend.topic("mlp")
    activations = [mlp.Activation(f, dtype="float64") for f in mlp.Activation.FUNCTIONS]
    arguments = {
        "PReLU": {"shared": False},
        "RReLU": {"seed": 1},
        "Dropout": {"rate": 0.2, "seed": 2},
        "AlphaDropout": {"rate": 0.2, "seed": 3},
    }
    layers = []
    for topic in ("activations", "normalization", "dropout"):
        module = backend.topic(topic)
        for name in sorted(public(module, inspect.isclass)):
            layers.append(
                getattr(module, name)(**arguments.get(name, {}), dtype="float64")
            )
    return layers + activations


def test_training_is_traced_once(tf, keras, backend, way):
    """With new data and new seeds at each step, and every layer of the package."""
    dropout = backend.topic("dropout").dropout
    he = backend.topic("initializers").HeNormal
    data = np.random.default_rng(0).standard_normal((5, 16, 8))

    def training(place, compiled):
        with place:
            start = he(seed=1)
            dense = keras.layers.Dense(4, kernel_initializer=start, dtype="float64")
            layers = [keras.Input((8,), dtype="float64"), dense, *every_layer(backend)]
            net, optimizer = keras.Sequential(layers), keras.optimizers.SGD(0.1)
            optimizer.build(net.trainable_weights)

            def step(x, seed):
                with tf.GradientTape() as tape:
                    masked = dropout(x, 0.5, seed=seed)
                    y = net(masked, training=True)
                    loss = tf.reduce_mean((y - x[:, :4]) ** 2)
                gradients = tape.gradient(loss, net.trainable_weights)
                optimizer.apply(gradients, net.trainable_weights)
                return masked == 0, *gradients

            step = compiled(step)
            batches = [(tf.constant(x), tf.constant(i)) for i, x in enumerate(data)]
            return step, batches, [step(*batch) for batch in batches], net.weights

    # Each of twenty layers rounds a few times, in sums of at most 64 numbers around 1.
    tolerance = 1000 * EPS["float64"]
    *_, expected, other = training(tf.device("/CPU:0"), lambda f: f)
    step, batches, found, weights = training(way.place(), way.function)
    way.check_places(step, *batches[0])
    if way.name != "eager":
        assert step.experimental_get_tracing_count() == 1
    for (_, *gradients), (_, *same) in zip(found, expected, strict=True):
        for a, b in zip(gradients, same, strict=True):
            assert np.any(b)
            close(backend.array(a), backend.array(b), 0.0, tolerance, "gradient")
    masks = [backend.array(mask).ravel() for mask, *_ in found]
    assert len(np.unique(masks, axis=0)) == len(data)
    for a, b in zip(weights, other, strict=True):
        close(backend.array(a.value), backend.array(b.value), 0.0, tolerance, a.path)


def test_int_seed_is_traced_at_each_value(tf, backend):
    f = tf.function(backend.topic("dropout").dropout, autograph=False)
    for seed in (1, 2, 1, 2):
        f(tf.ones(3), 0.5, seed=seed)
    assert f.experimental_get_tracing_count() == 2


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["Dropout", "AlphaDropout", "RReLU"])
def test_each_step_of_fit_draws_anew(keras, backend, name, compiled):
    """The gradient of the weights is what the layer makes of a row of -1."""
    topic = "activations" if name == "RReLU" else "dropout"
    arguments = {} if name == "RReLU" else {"rate": 0.5}
    layer = getattr(backend.topic(topic), name)(seed=1, **arguments)
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    net = keras.Sequential([keras.Input((50,)), layer, dense])
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(dense.kernel.numpy().ravel())
    )
    sgd = keras.optimizers.SGD(1.0)
    net.compile(sgd, lambda y, output: output, jit_compile=compiled)
    x = -np.ones((4, 50), "float32")
    net.fit(x, x[:, :1], batch_size=1, verbose=0, callbacks=[watch])
    steps = np.diff(seen, axis=0, prepend=0)
    assert len(np.unique(steps, axis=0)) == 4
