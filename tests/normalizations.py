"""What the tests of batch normalization share: differences, and checks for any backend.

:func:`check_batch_norm` compares a layer with the reference in NumPy over several
batches in training and one in testing, :func:`check_edges` where there is no number,
one or none at all, and :func:`check_refusals` in what it refuses.  All three raise
``AssertionError`` with a message that names what differs;
``test_normalization_can_fail.py`` plants faults to prove it.
"""

import inspect
import itertools
import math

import numpy as np
from helpers import EPS, TINY, close, require

from companion import normalization as reference

#: The axis of the features and the shapes of the batches, of 2 and more rows each.
BATCHES = {
    "dense": (1, [(7, 5), (4, 5), (2, 5)]),
    "images": (1, [(3, 5, 2, 3), (2, 5, 2, 2), (1, 5, 1, 2)]),
    "images, features last": (-1, [(3, 2, 3, 5), (2, 2, 2, 5), (1, 1, 2, 5)]),
}
N_FEATURES = 5
#: Far from 0, with a variance like eps, constant, and two of the usual kind.
MEAN = np.array([0.0, 1e4, 0.0, 0.5, -2.0])
STD = np.array([1.0, 3.0, 0.003, 0.0, 3.0])
#: Numbers that every dtype holds.
GAMMA = np.array([1.5, -0.5, 2.0, 1.0, 0.25])
BETA = np.array([0.25, -1.0, 3.0, 0.5, 0.0])
UPSTREAM = [1.0, 2.0, 0.5, -1.0, 4.0, -0.25, 3.0]

VECTORS = ("gamma", "beta", "running_mean", "running_var")


def difference(objective, array, h):
    """Return the central differences of a number, for each element of `array`."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + h
        above = objective()
        array[index] = kept - h
        gradient[index] = (above - objective()) / (2 * h)
        array[index] = kept
    return gradient


# --- layers of all backends behind one set of methods ---------------------------------
class NumpyLayers:
    changes = ()
    call = "BatchNorm.forward"

    def make(self, kind, dtype, **settings):
        return kind(N_FEATURES, **settings)

    def get(self, layer, name):
        return getattr(layer, name)

    def put(self, layer, name, values):
        self.get(layer, name)[:] = values

    def run(self, layer, x, training):
        return layer.forward(x, training=training)

    def run_back(self, layer, x, upstream, training):
        y = layer.forward(x, training=training)
        return y, [layer.backward(upstream), *layer.gradients.values()]

    def learned(self, layer):
        return set(layer.parameters)


class TorchLayers:
    changes = ("synchronized", True), ("process_group", None)
    call = "BatchNorm.forward"

    def __init__(self, backend):
        self.torch, self.device = backend.framework, backend.device

    def make(self, kind, dtype, **settings):
        layer = kind(N_FEATURES, **settings).to(self.device)
        return layer.double() if dtype == "float64" else layer

    def get(self, layer, name):
        return getattr(layer, name)

    def put(self, layer, name, values):
        with self.torch.no_grad():
            self.get(layer, name).copy_(self.torch.from_numpy(np.array(values)))

    def run(self, layer, x, training):
        return layer.train(training)(x)

    def run_back(self, layer, x, upstream, training):
        x = x.detach().requires_grad_()
        y = self.run(layer, x, training)
        if y.shape != x.shape or y.dtype != x.dtype:  # has no gradient for this
            return y, None
        inputs = x, layer.gamma, layer.beta
        return y, self.torch.autograd.grad(y, inputs, upstream)

    def learned(self, layer):
        buffers = [
            name for name, buffer in layer.named_buffers() if buffer.requires_grad
        ]
        return {*dict(layer.named_parameters()), *buffers}


class TensorFlowLayers:
    changes = ("n_features", None), ("axis", -1), ("synchronized", True)
    call = "BatchNorm.call"

    def __init__(self, backend):
        self.tensorflow, self.device = backend.framework, backend.device

    def make(self, kind, dtype, **settings):
        half = dtype in ("float16", "bfloat16")
        layer = kind(N_FEATURES, dtype=f"mixed_{dtype}" if half else dtype, **settings)
        with self.tensorflow.device(self.device):
            layer.build((None,) + (N_FEATURES,) * 3)
        return layer

    def get(self, layer, name):
        return self.tensorflow.convert_to_tensor(getattr(layer, name))

    def put(self, layer, name, values):
        getattr(layer, name).assign(values)

    def run(self, layer, x, training):
        return layer(x, training=training)

    def run_back(self, layer, x, upstream, training):
        inputs = x, layer.gamma.value, layer.beta.value
        scope = self.tensorflow.device(self.device)
        with scope, self.tensorflow.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
        if y.shape != x.shape or y.dtype != x.dtype:
            return y, None
        return y, tape.gradient(y, inputs, output_gradients=upstream)

    def learned(self, layer):
        return {variable.name for variable in layer.trainable_variables}


def layers_of(backend):
    """Return the methods that the layers of a backend are called with."""
    if backend.name == "numpy":
        return NumpyLayers()
    kind = {"torch": TorchLayers, "tensorflow": TensorFlowLayers}[backend.name]
    return kind(backend)


# --- the check ------------------------------------------------------------------------
def check_batch_norm(backend, dtype, *, batch="dense", layer=None, **settings):
    """Compare one backend's layer with the reference, and raise if they differ.

    The reference is NumPy in float64, at the very numbers that `dtype` holds, and with
    the running values that the layer has before a step, so that the whole difference
    is the rounding of one step: see :func:`_tolerances`.

    Parameters
    ----------
    backend : NumpyBackend, TorchBackend or TensorFlowBackend
    dtype : {"float16", "bfloat16", "float32", "float64"}
    batch : {"dense", "images", "images, features last"}
    layer : type, optional
        What to check in place of the backend's own class.
    **settings
        momentum, eps and unbiased, where they are not the defaults.
    """
    layers = layers_of(backend)
    kind = layer or backend.topic("normalization").BatchNorm
    where = f"BatchNorm in {backend.name}, {dtype}"
    _check_signature(kind, layers.changes, where)
    axis, shapes = BATCHES[batch]
    layer = layers.make(kind, dtype, axis=axis, **settings)
    twin = reference.BatchNorm(N_FEATURES, axis=axis, **settings)
    inside = "float64" if "float64" in (dtype, backend.default_float) else "float32"
    _check_vectors(backend, layers, layer, twin, inside, where)
    for name, values in (("gamma", GAMMA), ("beta", BETA)):
        layers.put(layer, name, values)
        twin.parameters[name][:] = values

    # Without eps no feature may be constant.
    std = np.where(STD + twin.eps > 0, STD, 1.0)
    rng = np.random.default_rng(1)
    for step, shape in enumerate([*shapes, shapes[0]]):
        training = step < len(shapes)
        normal = rng.standard_normal((math.prod(shape) // N_FEATURES, N_FEATURES))
        x = _shaped(MEAN + (1 + step) * std * normal, shape, axis)
        word = "training" if training else "testing"
        here = f"{where}, {batch} in {word}"
        _check_step(backend, dtype, inside, layers, layer, twin, x, training, here)


def _shaped(rows, shape, axis):
    """Put the features of some rows on their axis."""
    last = shape if axis == -1 else (shape[0], *shape[2:], shape[1])
    return np.ascontiguousarray(np.moveaxis(rows.reshape(last), -1, axis))


def _rows(x, axis):
    return np.moveaxis(x, axis, -1).reshape(-1, N_FEATURES)


def _check_signature(kind, changes, where):
    """Require the parameters of the reference, but for copies, and the changes."""
    expected = dict(inspect.signature(reference.BatchNorm).parameters)
    got = inspect.signature(kind).parameters
    if expected.keys() != got.keys():
        del expected["copies"]
    wanted = {name: p.default for name, p in expected.items()} | dict(changes)
    found = {name: p.default for name, p in got.items() if p.kind is not p.VAR_KEYWORD}
    require(found == wanted, f"{where}: parameters {found}")
    positional = [p.name for p in got.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    require(positional == ["n_features"], f"{where}: positional {positional}")


def _check_vectors(backend, layers, layer, twin, inside, where):
    learned = layers.learned(layer)
    require(learned == {"gamma", "beta"}, f"{where}: learned {sorted(learned)}")
    for name in VECTORS:
        vector = layers.get(layer, name)
        got = backend.dtype(vector), tuple(vector.shape)
        require(got == (inside, (N_FEATURES,)), f"{where}: {name} is {got}")
        same = np.array_equal(backend.array(vector), getattr(twin, name))
        require(same, f"{where}: {name} starts from {backend.array(vector)}")


def _check_step(backend, dtype, inside, layers, layer, twin, x, training, where):
    x = backend.tensor(x, dtype)
    x64 = backend.array(x).copy()  # else a change in place would change both
    dy64 = np.resize(UPSTREAM, x64.shape)
    for name in ("running_mean", "running_var"):
        setattr(twin, name, backend.array(layers.get(layer, name)).copy())
    before = {name: getattr(twin, name) for name in VECTORS}
    dy = backend.tensor(dy64, dtype)
    y, gradients = layers.run_back(layer, x, dy, training)
    got = backend.dtype(y), tuple(y.shape)
    require(got == (dtype, x64.shape), f"{where}: result is {got}")
    same = np.array_equal(backend.array(x), x64)
    require(same, f"{where}: input changed in place")

    expected = [twin.forward(x64, training=training), twin.backward(dy64)]
    expected += twin.gradients.values()
    axis = twin.axis
    off = _tolerances(
        _rows(x64, axis), _rows(dy64, axis), before, twin, training, EPS[inside]
    )
    kinds = [(dtype, x64.shape), *[(inside, (N_FEATURES,))] * 2]
    words = ["value", "dx", "dgamma", "dbeta"]
    for word, result, kind in zip(words[1:], gradients, kinds, strict=True):
        require(result is not None, f"{where}: {word} is missing")
        got = backend.dtype(result), tuple(result.shape)
        require(got == kind, f"{where}: {word} is {got}")
    for word, result, right in zip(words, [y, *gradients], expected, strict=True):
        result = backend.array(result)
        if result.ndim > 1:
            result, right = _rows(result, axis), _rows(right, axis)
        # In the dtype of x it is rounded once more.
        allowed = off[word] + TINY[dtype]
        close(result, right, EPS[dtype] / 2, allowed, f"{where}: {word}")

    learned = layers.learned(layer)
    require(learned == {"gamma", "beta"}, f"{where}: learned {sorted(learned)}")
    for name in VECTORS:
        vector = layers.get(layer, name)
        require(backend.dtype(vector) == inside, f"{where}: {name} changes dtype")
        allowed = off.get(name, 0.0)
        vector = backend.array(vector)
        close(vector, getattr(twin, name), 0.0, allowed, f"{where}: {name}")
    n = int(layer.n_batches)
    require(n == twin.n_batches, f"{where}: n_batches is {n}")


def _tolerances(x, dy, before, twin, training, eps):
    r"""Return how far rounding may take each result from the exact one.

    Every number is in units of e, two roundings: one of the backend, one of the
    reference.  A sum of m numbers is off by at most m e times the sum of their sizes,
    and k = m + 8 leaves room for the operations around it.  The mean is off by
    :math:`k e \max|x|`; so is each deviation, and the square of that is all it adds to
    the variance in two passes.  Also x times a scale plus a shift, instead of a
    deviation times a scale, is off by no more.  The rest is the propagation of the two
    to first order.  In testing both are given.
    """
    gamma, beta = np.abs(before["gamma"]), np.abs(before["beta"])
    m, e = len(x), 2 * eps
    k = m + 8
    if training:
        mean, var = x.mean(axis=0), x.var(axis=0)
    else:
        mean, var = before["running_mean"], before["running_var"]
    std = np.sqrt(var + twin.eps)
    x_hat, dy = np.abs(x - mean) / std, np.abs(dy)
    off_mean = k * e * np.abs(x).max(axis=0)
    off_var = (k * e * var + off_mean**2) * training
    off_std = off_var / (2 * std**2) + 4 * e  # relatively
    off_x_hat = (off_mean + 4 * e * np.abs(mean)) / std + x_hat * off_std
    product = (dy * x_hat).mean(axis=0)
    terms = dy + training * (dy.mean(axis=0) + x_hat * product)
    off_dx = terms * (k * e + off_std)
    off_dx += training * off_x_hat * product
    off_dx += training * (x_hat + off_x_hat) * (dy * off_x_hat).mean(axis=0)
    off = {
        "value": gamma * off_x_hat + 4 * e * (gamma * x_hat + beta),
        "dx": gamma / std * off_dx,
        "dgamma": (dy * off_x_hat + k * e * dy * x_hat).sum(axis=0),
        "dbeta": k * e * dy.sum(axis=0),
    }
    if training:
        seen = m / (m - 1) if twin.unbiased else 1.0
        size = np.abs(before["running_mean"]) + np.abs(mean)
        off["running_mean"] = off_mean + 4 * e * size
        size = before["running_var"] + seen * var
        off["running_var"] = seen * off_var + 4 * e * size
    return off


# --- edges and refusals ---------------------------------------------------------------
def check_edges(backend, dtype, axis, *, layer=None):
    """Require what the reference does with nan, with one value, and with none.

    Parameters
    ----------
    backend, dtype, layer
        Those of :func:`check_batch_norm`.
    axis : {1, -1}
    """
    layers = layers_of(backend)
    kind = layer or backend.topic("normalization").BatchNorm
    where = f"BatchNorm in {backend.name}, {dtype}"
    for end in [(5,), (5, 1, 1) if axis == 1 else (1, 1, 5)]:
        layer = layers.make(kind, dtype, axis=axis)
        y = layers.run(layer, backend.tensor(np.ones((0, *end)), dtype), False)
        got = backend.dtype(y), tuple(y.shape)
        require(got == (dtype, (0, *end)), f"{where}: an empty batch gives {got}")

        layer = layers.make(kind, dtype, axis=axis, unbiased=False)
        layers.put(layer, "beta", BETA)
        x = backend.tensor(np.full((1, *end), 3.0), dtype)
        y, gradients = layers.run_back(layer, x, x, True)
        value, dx = (backend.array(part).ravel() for part in (y, gradients[0]))
        require(np.array_equal(value, BETA), f"{where}: one value gives {value}")
        require(not dx.any(), f"{where}: one value has the gradient {dx}")

    layer = layers.make(kind, dtype, axis=axis)
    x = np.resize(UPSTREAM, (4, N_FEATURES))
    spoilt = np.arange(N_FEATURES) == 1
    shape = (4, N_FEATURES, 1, 1) if axis == 1 else (4, 1, 1, N_FEATURES)
    for bad in (np.nan, 1.0):  # and then a batch without nan
        x[2, 1] = bad
        y = layers.run(layer, backend.tensor(x.reshape(shape), dtype), True)
        where_nan = np.isnan(_rows(backend.array(y), axis))
        same = (where_nan == (spoilt & np.isnan(bad))).all()
        require(same, f"{where}: nan spoils features {where_nan.any(axis=0)}")
        for name in ("running_mean", "running_var"):
            stuck = np.isnan(backend.array(layers.get(layer, name)))
            require((stuck == spoilt).all(), f"{where}: nan in {name}: {stuck}")


def check_refusals(backend, *, layer=None):
    """Require the reference's errors, type and text, and that they leave no trace.

    Only the name of the method that is called differs, and Keras puts more words around
    the text.  Parameters are those of :func:`check_batch_norm`.
    """
    layers = layers_of(backend)
    kind = layer or backend.topic("normalization").BatchNorm
    where = f"BatchNorm in {backend.name}"
    right = reference.BatchNorm
    settings = (
        *({"momentum": value} for value in (-0.1, 1.5, math.nan, "a", True)),
        *({"eps": value} for value in (-1e-5, math.inf, None, "a")),
        *({"unbiased": value} for value in (1, None, "yes")),
        *({"axis": value} for value in (0, 2, -2, None, "a", True)),
    )
    calls = [
        *((kind, right, (5,), bad) for bad in settings),
        *((kind, right, (n,), {}) for n in (0, -1, 2.0, "a", True)),
        *((kind.like, right.like, (n, 5), {}) for n in ("pytorch", "Keras", None)),
        *((kind.like, right.like, ("torch", 5), bad) for bad in settings[:2]),
    ]
    for function, expected, args, arguments in calls:
        expected = _error(expected, *args, **arguments)
        got = _error(function, *args, **arguments)
        require(got == expected, f"{where}: error is {got!r}, not {expected!r}")

    shapes = {
        1: [(), (5,), (4, 3), (0, 6), (4, 2, 5)],
        -1: [(), (5,), (4, 3), (4, 5, 2)],
    }
    few = {True: [(0, 5), (1, 5)], False: [(0, 5)]}
    for axis, unbiased in itertools.product(shapes, few):
        arguments = {"axis": axis, "unbiased": unbiased}
        layer, twin = layers.make(kind, "float32", **arguments), right(5, **arguments)
        bad = [(shape, False) for shape in shapes[axis]]
        for shape, training in bad + [(shape, True) for shape in few[unbiased]]:
            expected = _error(twin.forward, np.ones(shape), training=training)
            x = backend.tensor(np.ones(shape), "float32")
            _check_call(layers, layer, x, training, expected, where)
        for name in VECTORS:
            vector = backend.array(layers.get(layer, name))
            same = np.array_equal(vector, getattr(twin, name))
            require(same, f"{where}: what is refused moves {name}")
        require(int(layer.n_batches) == 0, f"{where}: what is refused is counted")
    bad, end = next(backend.refused())
    expected = f"TypeError: BatchNorm.forward: `x` {end.replace('(z)', '(x)')}"
    _check_call(layers, layer, bad, True, expected, where)


def _check_call(layers, layer, x, training, expected, where):
    expected = expected.replace("BatchNorm.forward", layers.call)
    got = _error(layers.run, layer, x, training)
    kind, _, text = expected.partition(": ")
    same = got.startswith(f"{kind}: ") and text in got
    require(same, f"{where}: error is {got!r}, not {expected!r}")


def _error(function, *args, **arguments):
    """Return the type and text of what a call raises."""
    try:
        function(*args, **arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"
