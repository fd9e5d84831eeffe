"""The checks of batch normalization can fail: faults are planted, and found."""

import numpy as np
import pytest
from backends import BACKENDS, FRAMEWORKS, backend_named
from normalizations import check_batch_norm, check_edges, check_refusals

from companion.normalization import BatchNorm

# --- a layer that is written out once more, and goes wrong where it is told to --------
#: Each fault, and the words that say so.
FAULTS = {
    "variances exchanged": "training: value",
    "biased running variance": "training: running_var",
    "eps left out": "training: value",
    "eps outside the root": "training: value",
    "momentum reversed": "training: running_mean",
    "variance in one pass": "training: value",
    "gradient without the mean": "training: dx",
    "gradient without the slope": "training: dx",
    "gamma and beta exchanged": "training: value",
    "gamma averaged, not summed": "training: dgamma",
    "moved in testing": "testing: running_mean",
    "mean in testing only": "testing: value",
    "dtype widened": "training: result is",
    "computed in the dtype of x": "training: (value|dx)",
    "counts twice": "training: n_batches",
}
#: A variable of TensorFlow cannot be kept in a graph, nor is a tensor changed in place.
FAULTS_OF_TORCH = {
    "statistics kept in the graph": "training: learned",
    "input changed in place": "training: input changed in place",
}
#: Where only numbers of few digits show it.
DTYPES = {"dtype widened": "float16", "computed in the dtype of x": "float16"}


def wrong(backend, fault):
    """Return the backend's class with a step of its own that has this fault."""
    right, library = backend.topic("normalization").BatchNorm, backend.framework
    torch = backend.name == "torch"

    def stopped(x):
        return x.detach() if torch else library.stop_gradient(x)

    def cast(x, dtype):
        return x.to(dtype) if torch else library.cast(x, dtype)

    def mean(x, axes):
        return (
            x.mean(axes, keepdim=True) if torch else library.reduce_mean(x, axes, True)
        )

    def moved(running, batch, share):
        new = (1 - share) * running + share * library.reshape(batch, (-1,))
        return new if fault == "statistics kept in the graph" else stopped(new)

    def step(layer, x, training):
        axes = [i for i in range(len(x.shape)) if i != layer.axis % len(x.shape)]
        form = [1 if i in axes else -1 for i in range(len(x.shape))]
        vectors = {
            name: library.reshape(1.0 * getattr(layer, name), form)
            for name in ("gamma", "beta", "running_mean", "running_var")
        }
        gamma, beta, running_mean, running_var = vectors.values()
        inside = x.dtype if fault == "computed in the dtype of x" else gamma.dtype
        rows, m = cast(x, inside), int(np.prod([x.shape[i] for i in axes]))
        center = mean(rows, axes)
        if fault == "variance in one pass":
            var = mean(rows * rows, axes) - center * center
        else:
            var = mean((rows - center) ** 2, axes)
        if fault == "gradient without the mean":
            center = stopped(center)
        if fault == "gradient without the slope":
            var = stopped(var)
        if training or fault == "moved in testing":
            share = 1 / (int(layer.n_batches) + 1)
            if layer.momentum is not None:
                share = 1 - layer.momentum
            if fault == "momentum reversed":
                share = 1 - share
            seen = var * (m / (m - 1))
            if fault in ("biased running variance", "variances exchanged"):
                seen = var
            new = [
                moved(running, cast(batch, gamma.dtype), share)
                for running, batch in [
                    (layer.running_mean, center), (layer.running_var, seen)
                ]
            ]  # fmt: skip
            counted = 2 if fault == "counts twice" else 1
            if torch:
                layer.running_mean, layer.running_var = new
                layer.n_batches += counted
            else:
                layer.running_mean.assign(new[0])
                layer.running_var.assign(new[1])
                layer.n_batches.assign_add(counted)
        if not training:
            center, var = running_mean, running_var
            if fault == "mean in testing only":
                center = 0 * center
        elif fault == "variances exchanged":
            var = var * (m / (m - 1))
        eps = 0.0 if fault == "eps left out" else layer.eps
        root = (var + eps) ** 0.5
        if fault == "eps outside the root":
            root = var**0.5 + eps
        x_hat = (rows - cast(center, inside)) / cast(root, inside)
        if fault == "gamma and beta exchanged":
            gamma, beta = beta, gamma
        if fault == "gamma averaged, not summed":
            gamma = gamma / m + stopped(gamma - gamma / m)
        y = cast(gamma, inside) * x_hat + cast(beta, inside)
        if fault == "input changed in place":
            x.data.add_(1)
        return y if fault == "dtype widened" else cast(y, x.dtype)

    if torch:

        class Wrong(right):
            def forward(self, x):
                return step(self, x, self.training)

    else:

        class Wrong(right):
            def call(self, x, training=False):
                return step(self, x, training)

    return Wrong


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_check_accepts_the_layer_without_a_fault(backend):
    backend = backend_named(backend)
    for dtype in ("float16", "float32"):
        check_batch_norm(backend, dtype, layer=wrong(backend, None))


@pytest.mark.parametrize(
    ("backend", "fault", "words"),
    [
        *((backend, *fault) for backend in FRAMEWORKS for fault in FAULTS.items()),
        *(("torch", *fault) for fault in FAULTS_OF_TORCH.items()),
    ],
)
def test_check_finds_a_planted_fault(backend, fault, words):
    backend, dtype = backend_named(backend), DTYPES.get(fault, "float32")
    for batch in ("dense", "images", "images, features last"):
        with pytest.raises(AssertionError, match=f"{dtype}, {batch} in {words}"):
            check_batch_norm(backend, dtype, batch=batch, layer=wrong(backend, fault))


# --- faults of the class itself, in every backend -------------------------------------
def renamed(right):
    class Wrong(right):
        def __init__(self, n_features, *, decay=0.9, **keywords):
            super().__init__(n_features, momentum=decay, **keywords)

    return Wrong


def another_default(right):
    class Wrong(right):
        def __init__(self, n_features, *, momentum=0.99, **keywords):
            super().__init__(n_features, momentum=momentum, **keywords)

    return Wrong


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("fault", [renamed, another_default])
def test_check_finds_another_signature(fault, backend):
    backend = backend_named(backend)
    kind = fault(backend.topic("normalization").BatchNorm)
    with pytest.raises(AssertionError, match="float32: parameters"):
        check_batch_norm(backend, "float32", layer=kind)


class GradientOfConstants(BatchNorm):
    def backward(self, dy):
        self.training = False
        return super().backward(dy)


class GradientsNotSummed(BatchNorm):
    def backward(self, dy):
        dx = super().backward(dy)
        self.gradients["beta"] = self.gradients["beta"] / len(dy)
        return dx


class MovedInTesting(BatchNorm):
    def forward(self, x, training=False):
        y = super().forward(x, training=training)
        if not training:
            self._batch_statistics(self._rows("", "", x)[0])
        return y


class OnePass(BatchNorm):
    def _batch_statistics(self, rows):
        mean, _ = super()._batch_statistics(rows)
        rows = rows.astype("float32")
        var = (rows * rows).mean(axis=0) - rows.mean(axis=0) ** 2
        return mean, np.maximum(var, 0)


class Widened(BatchNorm):
    def forward(self, x, training=False):
        return super().forward(x, training=training).astype(float)


class InPlace(BatchNorm):
    def forward(self, x, training=False):
        y = super().forward(x, training=training)
        x += 1
        return y


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (GradientOfConstants, "dense in training: dx"),
        (GradientsNotSummed, "dense in training: dbeta"),
        (MovedInTesting, "dense in testing: running_mean"),
        (OnePass, "dense in training: value"),
        (Widened, r"dense in training: result is \('float64'"),
        (InPlace, "dense in training: input changed in place"),
    ],
)
def test_check_finds_a_fault_of_the_reference(fault, words):
    backend = backend_named("numpy")
    with pytest.raises(AssertionError, match=f"float32, {words}"):
        check_batch_norm(backend, "float32", layer=fault)


# --- edges and refusals ---------------------------------------------------------------
class NanOnly(BatchNorm):
    """Leave a nan out of mean and variance."""

    def _batch_statistics(self, rows):
        return super()._batch_statistics(np.nan_to_num(rows))


class Forgets(BatchNorm):
    """Let good numbers bring the running values back."""

    def _batch_statistics(self, rows):
        self.running_var = np.nan_to_num(self.running_var, nan=1.0)
        return super()._batch_statistics(rows)


class OneValueIsKept(BatchNorm):
    def forward(self, x, training=False):
        return super().forward(x, training=training and len(x) > 1)


class WithoutEmpty(BatchNorm):
    def forward(self, x, training=False):
        return super().forward(x, training=training)[: len(x) or None, ..., :1]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (NanOnly, "nan spoils"),
        (Forgets, "nan in running_var"),
        (OneValueIsKept, "one value gives"),
        (WithoutEmpty, "an empty batch gives"),
    ],
)
def test_check_finds_a_wrong_edge(fault, words):
    backend = backend_named("numpy")
    check_edges(backend, "float32", -1, layer=BatchNorm)
    with pytest.raises(AssertionError, match=f"float32: {words}"):
        check_edges(backend, "float32", -1, layer=fault)


class AnyAxis(BatchNorm):
    def __init__(self, n_features, *, axis=1, **settings):
        super().__init__(n_features, **settings)


class AnyShape(BatchNorm):
    def forward(self, x, training=False):
        return x if x.ndim < 2 else super().forward(x, training=training)


class OtherWords(BatchNorm):
    def forward(self, x, training=False):
        if training and len(x) < 2:
            raise ValueError("too few rows")
        return super().forward(x, training=training)


class MovedByWhatIsRefused(BatchNorm):
    def forward(self, x, training=False):
        if training:
            self.running_var = 2 * self.running_var
        return super().forward(x, training=training)


class CountedThoughRefused(BatchNorm):
    def forward(self, x, training=False):
        self.n_batches += training
        return super().forward(x, training=training)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (AnyAxis, "error is 'nothing', not .*`axis` must be 1, or -1"),
        (AnyShape, "error is 'nothing', not .*`x` must have shape"),
        (OtherWords, "error is 'ValueError: too few rows', not"),
        (MovedByWhatIsRefused, "what is refused moves running_var"),
        (CountedThoughRefused, "what is refused is counted"),
    ],
)
def test_check_finds_a_wrong_refusal(fault, words):
    backend = backend_named("numpy")
    check_refusals(backend, layer=BatchNorm)
    with pytest.raises(AssertionError, match=f"BatchNorm in numpy: {words}"):
        check_refusals(backend, layer=fault)
