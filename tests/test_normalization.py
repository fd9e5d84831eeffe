"""Batch normalization of the reference: values, gradients, running values, folding."""

from fractions import Fraction

import numpy as np
import pytest
from helpers import EPS, close, refusal, require
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nets import COPIES, normal, rng, rngs
from normalizations import difference

from companion.mlp import Activation, Dense, Dropout, Sequential, stack
from companion.normalization import (
    CONVENTIONS,
    BatchNorm,
    LayerNorm,
    final_statistics,
    fold_batch_norm,
    weight_norm,
    weight_norm_grad,
)

pytestmark = pytest.mark.usefixtures("floating_point_errors")

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

E = EPS["float64"]
H = E ** (1 / 3)  # the best step of a central difference
#: What a difference leaves out is of the order H**2 times a third derivative, and the
#: rounding divided by H is of that order too; 1e4 of it leaves room for these layers.
ALLOWED = 1e4 * H**2

#: The copies, the axis of the features, and the shape of a batch.
BATCHES = {
    "dense": ((), 1, (5, 3)),
    "dense, features last": ((), -1, (5, 3)),
    "sequences": ((), 1, (2, 3, 4)),
    "images": ((), 1, (2, 3, 2, 2)),
    "images, features last": ((), -1, (2, 2, 2, 3)),
    "copies, x shared": ((COPIES,), 1, (5, 3)),
    "copies, x of their own": ((COPIES,), 1, (COPIES, 5, 3)),
    "copies of images": ((COPIES,), 1, (COPIES, 2, 3, 2, 2)),
    "copies of images, features last": ((COPIES,), -1, (COPIES, 2, 2, 2, 3)),
}
batches = pytest.mark.parametrize("batch", BATCHES)


def learned(layer, seed=3):
    """Give gamma and beta numbers of their own, and return the layer."""
    for i, array in enumerate(layer.parameters.values()):
        array += normal(*array.shape, seed=seed + i)
    return layer


def made(batch, **settings):
    """Return a layer whose parameters and running values are not the first ones."""
    copies, axis, shape = BATCHES[batch]
    layer = learned(BatchNorm(3, axis=axis, copies=copies, **settings))
    layer.running_mean = normal(*copies, 3, seed=6)
    layer.running_var = np.exp(normal(*copies, 3, seed=7))
    return layer, 2 * normal(*shape) + 1


def rows(x, axis):
    """Return `x` with one row for each value that a feature has."""
    return np.moveaxis(x, axis, -1).reshape(-1, 3)


# --- values ---------------------------------------------------------------------------
def test_values_by_hand():
    layer = BatchNorm(1, momentum=0.75, eps=4.0)
    layer.gamma[:], layer.beta[:] = 3.0, 10.0
    # Mean 3 and variance 5: the deviations are divided by the root of 5 + 4.
    x = np.array([[0.0], [2.0], [4.0], [6.0]])
    y = layer.forward(x, training=True)
    np.testing.assert_allclose(y, [[7], [9], [11], [13]], rtol=2 * E)
    dx = layer.backward([[1.0], [0.0], [0.0], [0.0]])
    expected = [[1 / 2], [-1 / 3], [-1 / 6], [0]]
    np.testing.assert_allclose(dx, expected, rtol=0, atol=2 * E)
    np.testing.assert_allclose(layer.gradients["gamma"], [-1], rtol=2 * E)
    np.testing.assert_array_equal(layer.gradients["beta"], [1])
    np.testing.assert_allclose(layer.running_mean, [3 / 4], rtol=2 * E)
    np.testing.assert_allclose(layer.running_var, [3 / 4 + 20 / 3 / 4], rtol=2 * E)
    # Mean 7 and variance 12.
    layer.running_mean, layer.running_var = np.array([7.0]), np.array([12.0])
    np.testing.assert_array_equal(layer.forward([[3.0], [11.0]]), [[7.0], [13.0]])
    np.testing.assert_array_equal(layer.backward([[4.0], [0.0]]), [[3.0], [0.0]])
    np.testing.assert_array_equal(layer.gradients["gamma"], [-4.0])


@batches
@pytest.mark.parametrize("training", [True, False])
def test_a_batch_is_rows_of_features(batch, training):
    layer, x = made(batch)
    copies, axis, _ = BATCHES[batch]
    alone = [BatchNorm(3) for _ in range(COPIES if copies else 1)]
    for k, one in enumerate(alone):
        here = (k,) if copies else ()
        one.parameters = {name: a[here] for name, a in layer.parameters.items()}
        one.running_mean, one.running_var = (
            layer.running_mean[here].copy(),
            layer.running_var[here].copy(),
        )
    y = layer.forward(x, training=training)
    dy = normal(*y.shape, seed=8)
    dx = layer.backward(dy)
    own = copies and x.ndim > 2
    assert y.shape == dx.shape == (x.shape if own else copies + x.shape)
    same = {"rtol": 1e-13, "atol": 1e-14}  # sums may be taken in another order
    for k, one in enumerate(alone):
        here = (k,) if copies else ()
        y_k = one.forward(rows(x[here] if own else x, axis), training=training)
        np.testing.assert_allclose(rows(y[here], axis), y_k, **same)
        dx_k = one.backward(rows(dy[here], axis))
        np.testing.assert_allclose(rows(dx[here], axis), dx_k, **same)
        for name in ("gamma", "beta"):
            got, expected = layer.gradients[name][here], one.gradients[name]
            np.testing.assert_allclose(got, expected, **same)
        for name in ("running_mean", "running_var"):
            got, expected = getattr(layer, name)[here], getattr(one, name)
            np.testing.assert_allclose(got, expected, **same)


@batches
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_differences(batch, training):
    layer, x = made(batch)
    dy = normal(*layer.forward(x).shape, seed=8)

    def objective():
        return (dy * layer.forward(x, training=training)).sum()

    check_gradients(layer, objective, x, dy, batch)


def check_gradients(layer, objective, x, dy, message):
    objective()
    dx = layer.backward(dy)
    gradients = dict(layer.gradients)
    if dx.ndim > x.ndim:  # the copies share x
        dx = dx.sum(axis=0)
    expected = difference(objective, x, H)
    close(dx, expected, ALLOWED, ALLOWED, f"{message}: x")
    assert gradients.keys() == layer.parameters.keys() == {"gamma", "beta"}
    for name, array in layer.parameters.items():
        assert gradients[name].shape == array.shape
        expected = difference(objective, array, H)
        close(gradients[name], expected, ALLOWED, ALLOWED, f"{message}: {name}")


def test_gradient_check_finds_statistics_taken_for_constants():
    class Constant(BatchNorm):
        def backward(self, dy):
            self.training = False
            return super().backward(dy)

    layer, x = learned(Constant(3)), normal(5, 3)
    dy = normal(5, 3, seed=8)
    with pytest.raises(AssertionError, match="constant: x"):
        check_gradients(
            layer,
            lambda: (dy * layer.forward(x, training=True)).sum(),
            x,
            dy,
            "constant",
        )


def test_backward_is_that_of_the_last_forward():
    layer, x = made("dense")
    dy = normal(5, 3, seed=8)
    expected = {}
    for training in (True, False):
        layer.running_mean, layer.running_var = np.zeros(3), np.ones(3)
        layer.forward(x, training=training)
        expected[training] = layer.backward(dy)
    assert (expected[True] != expected[False]).all()
    for training in (False, True, True, False):
        layer.running_mean, layer.running_var = np.zeros(3), np.ones(3)
        layer.forward(x, training=training)
        np.testing.assert_array_equal(layer.backward(dy), expected[training])


# --- two passes -----------------------------------------------------------------------
def check_variance(variance, x):
    """Require the variance of `x` to the rounding of the dtype in which it is computed.

    Exact is a fraction.  Adding 50 numbers in eight lanes, as NumPy does, takes ten
    additions one after another, so that with the division the mean is off by less than
    eight eps of their size.  Its square is added to the variance, which has no more
    than m roundings of its own.
    """
    m, eps = len(x), EPS[x.dtype.name]
    numbers = [Fraction(float(number)) for number in x]
    mean = sum(numbers) / m
    exact = float(sum((number - mean) ** 2 for number in numbers) / m)
    allowed = m * eps * exact + (8 * eps * float(np.abs(x).max())) ** 2
    got = float(variance(x))
    require(abs(got - exact) <= allowed, f"variance: {got} where {exact} is exact")


def of_the_layer(x):
    layer = BatchNorm(1, momentum=0.0, unbiased=False)
    layer.forward(x[:, None], training=True)
    return layer.running_var[0]


def in_one_pass(x):
    return (x * x).mean() - x.mean() ** 2


#: Where the numbers are, and in which dtype a variance in one pass is lost there.
PLACES = [(1e3, "float32"), (1e4, "float32"), (1e6, "float32"), (1e9, "float64")]


@pytest.mark.parametrize(("place", "dtype"), PLACES)
def test_variance_takes_two_passes(place, dtype):
    x = (place + 10 * normal(50)).astype(dtype)
    check_variance(of_the_layer, x)
    # In the dtype of x too the check leaves room for two passes, and not for one.
    check_variance(np.var, x)
    with pytest.raises(AssertionError, match="variance: "):
        check_variance(in_one_pass, x)


@pytest.mark.parametrize("place", [0.0, 1e4, 1e6])
def test_variance_of_float32_is_computed_in_float64(place):
    x = (place + 10 * normal(50)).astype("float32")
    check_variance(lambda x64: of_the_layer(x64.astype("float32")), x.astype("float64"))


# --- running values -------------------------------------------------------------------
@batches
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 1.0, None])
@pytest.mark.parametrize("unbiased", [True, False])
def test_running_values(batch, momentum, unbiased):
    copies, axis, shape = BATCHES[batch]
    layer = BatchNorm(3, momentum=momentum, unbiased=unbiased, axis=axis, copies=copies)
    over = [*range(x_of_its_own(batch), len(shape))]
    over.remove(feature_axis(batch))
    over = tuple(over)
    mean, var = np.zeros((*copies, 3)), np.ones((*copies, 3))
    np.testing.assert_array_equal(layer.running_mean, mean)
    np.testing.assert_array_equal(layer.running_var, var)
    means, variances = [], []
    for step in range(4):
        x = (step + 1) * normal(*shape, seed=step) + step
        y = layer.forward(x, training=True)
        assert layer.n_batches == step + 1
        means.append(x.mean(axis=over))
        variances.append(x.var(axis=over, ddof=int(unbiased)))
        if momentum is None:
            mean, var = np.mean(means, axis=0), np.mean(variances, axis=0)
        else:
            mean = momentum * mean + (1 - momentum) * means[-1]
            var = momentum * var + (1 - momentum) * variances[-1]
        expected = np.broadcast_to(mean, (*copies, 3))
        np.testing.assert_allclose(layer.running_mean, expected, rtol=1e-13, atol=E)
        expected = np.broadcast_to(var, (*copies, 3))
        np.testing.assert_allclose(layer.running_var, expected, rtol=1e-13)
        # The batch itself is normalized by the variance divided by m, always.
        moved = tuple(i + y.ndim - x.ndim for i in over)
        np.testing.assert_allclose(y.mean(axis=moved), 0, atol=1e-14)
        expected = x.var(axis=over) / (x.var(axis=over) + layer.eps)
        expected = np.broadcast_to(expected, (*copies, 3))
        np.testing.assert_allclose(y.var(axis=moved), expected, rtol=1e-13)


def x_of_its_own(batch):
    copies, _, shape = BATCHES[batch]
    return bool(copies) and shape[0] == COPIES


def feature_axis(batch):
    """Return the axis of the features from the front."""
    _, axis, shape = BATCHES[batch]
    return axis + x_of_its_own(batch) if axis > 0 else len(shape) - 1


@batches
@pytest.mark.parametrize("momentum", [0.9, None])
def test_testing_moves_nothing(batch, momentum):
    layer, x = made(batch, momentum=momentum)
    layer.forward(x, training=True)
    before = {
        name: np.copy(getattr(layer, name))
        for name in ("running_mean", "running_var", "n_batches", "gamma", "beta")
    }
    first = layer.forward(x)
    layer.backward(np.ones_like(first))
    for again in (layer.forward(x), layer.forward(x, training=False)):
        np.testing.assert_array_equal(again, first)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(layer, name), value)
    # A row in testing does not depend on the others.
    at = (slice(None),) * x_of_its_own(batch) + (slice(1),)
    out = (slice(None),) * len(layer.copies) + (slice(1),)
    np.testing.assert_array_equal(layer.forward(x[at]), first[out])


def test_reset_starts_the_average_anew():
    layer = BatchNorm(3, momentum=None)
    fresh = BatchNorm(3, momentum=None)
    layer.forward(5 * normal(7, 3), training=True)
    gamma = learned(layer).gamma.copy()
    layer.reset()
    assert layer.n_batches == 0
    np.testing.assert_array_equal(layer.running_mean, np.zeros(3))
    np.testing.assert_array_equal(layer.running_var, np.ones(3))
    np.testing.assert_array_equal(layer.gamma, gamma)
    for seed in (1, 2):
        for each in (layer, fresh):
            each.forward(normal(4, 3, seed=seed), training=True)
        np.testing.assert_array_equal(layer.running_mean, fresh.running_mean)
        np.testing.assert_array_equal(layer.running_var, fresh.running_var)


# --- conventions ----------------------------------------------------------------------
SETTINGS = {
    "torch": (0.9, 1e-5, True, 1),
    "keras": (0.99, 1e-3, False, -1),
    "paper": (None, 1e-5, True, 1),
}


def settings_of(layer):
    return layer.momentum, layer.eps, layer.unbiased, layer.axis


@pytest.mark.parametrize("name", SETTINGS)
def test_like(name):
    assert settings_of(BatchNorm.like(name, 4)) == SETTINGS[name]
    assert BatchNorm.like(name, 4).gamma.shape == (4,)
    changes = {"momentum": 0.5, "eps": 0.0, "unbiased": False, "axis": -1}
    changed = BatchNorm.like(name, 4, **changes, copies=(2,))
    assert settings_of(changed) == (0.5, 0.0, False, -1)
    assert changed.running_var.shape == (2, 4)
    for i, (key, new) in enumerate(changes.items()):
        one = settings_of(BatchNorm.like(name, 4, **{key: new}))
        assert one == (*SETTINGS[name][:i], new, *SETTINGS[name][i + 1 :])
    assert settings_of(BatchNorm.like(name, 4)) == SETTINGS[name]  # still


def test_a_subclass_makes_its_own():
    class Mine(BatchNorm):
        pass

    assert type(Mine.like("keras", 2)) is Mine
    assert CONVENTIONS.keys() == SETTINGS.keys()
    assert settings_of(BatchNorm(2)) == SETTINGS["torch"]


# --- edges ----------------------------------------------------------------------------
FEW = (
    "BatchNorm.forward: `x` must hold at least {} values for each feature in training; "
    "got {}. Leave a last batch of so few rows out."
)


@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (1, 3)), (-1, (1, 3)), (1, (1, 3, 1, 1)), (-1, (1, 1, 3))]
)
def test_one_value_for_each_feature(axis, shape):
    layer = learned(BatchNorm(3, axis=axis))
    x = normal(*shape)
    expected = ValueError, FEW.format(2, 1)
    assert refusal(layer.forward, x, training=True) == expected
    assert layer.n_batches == 0
    np.testing.assert_array_equal(layer.running_var, np.ones(3))
    layer.forward(x)
    layer = learned(BatchNorm(3, axis=axis, unbiased=False))
    y = layer.forward(x, training=True)
    np.testing.assert_array_equal(y.ravel(), layer.beta)
    np.testing.assert_array_equal(layer.backward(np.ones(shape)), np.zeros(shape))
    np.testing.assert_array_equal(layer.gradients["gamma"], np.zeros(3))
    np.testing.assert_allclose(layer.running_var, np.full(3, 0.9))


def test_one_image_has_enough_values():
    layer = BatchNorm(3)
    y = layer.forward(normal(1, 3, 1, 2), training=True)
    np.testing.assert_allclose(np.abs(y), 1, rtol=1e-3)  # two numbers: -1 and 1


@batches
@pytest.mark.parametrize("unbiased", [True, False])
def test_an_empty_batch(batch, unbiased):
    layer, x = made(batch, unbiased=unbiased)
    empty = x[:, :0] if x_of_its_own(batch) else x[:0]
    text = FEW.format(2 if unbiased else 1, 0)
    assert refusal(layer.forward, empty, training=True) == (ValueError, text)
    y = layer.forward(empty)
    shape = empty.shape if x_of_its_own(batch) else layer.copies + empty.shape
    assert y.shape == shape
    assert layer.backward(y).shape == shape
    np.testing.assert_array_equal(layer.gradients["beta"], np.zeros_like(layer.beta))


@pytest.mark.parametrize("eps", [1e-5, 1e-12])
@pytest.mark.parametrize("m", [2, 3, 7])
def test_a_constant_feature_gives_beta(m, eps):
    layer, x = learned(BatchNorm(3, eps=eps)), normal(m, 3)
    x[:, 1] = 0.1  # the sum of m of these is rounded
    y = layer.forward(x, training=True)
    # The mean is off by m roundings at most.
    allowed = m * E * np.abs(layer.gamma[1]) / np.sqrt(eps) + E
    np.testing.assert_allclose(y[:, 1], layer.beta[1], rtol=0, atol=allowed)
    dx = layer.backward(normal(m, 3, seed=8))
    assert np.isfinite(dx).all()
    assert np.isfinite(layer.gradients["gamma"]).all()
    x[:, 1] = 0.5
    y = layer.forward(x, training=True)
    np.testing.assert_array_equal(y[:, 1], np.full(m, layer.beta[1]))


def test_a_constant_feature_without_eps_is_nan_and_the_others_are_not():
    layer, x = BatchNorm(3, eps=0.0), normal(4, 3)
    x[:, 1] = 0.5
    for result in (layer.forward(x, training=True), layer.backward(np.ones((4, 3)))):
        expected = np.zeros((4, 3), bool)
        expected[:, 1] = True
        np.testing.assert_array_equal(np.isnan(result), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("momentum", [0.0, 0.9, None])
def test_what_is_no_number_spoils_its_feature_only(bad, momentum):
    layer, x = learned(BatchNorm(3, momentum=momentum)), normal(4, 3)
    same = learned(BatchNorm(3, momentum=momentum))
    expected = same.forward(x, training=True)
    dy = normal(4, 3, seed=8)
    expected_dx = same.backward(dy)
    spoilt = x.copy()
    spoilt[2, 1] = bad
    y = layer.forward(spoilt, training=True)
    dx = layer.backward(dy)
    for got, right in ((y, expected), (dx, expected_dx)):
        assert np.isnan(got[:, 1]).all()
        np.testing.assert_array_equal(got[:, [0, 2]], right[:, [0, 2]])
    # Good batches do not bring the running values back.
    for _ in range(3):
        layer.forward(x, training=True)
        same.forward(x, training=True)
        assert np.isnan(layer.running_var[1])
        assert not np.isfinite(layer.running_mean[1])
        for name in ("running_mean", "running_var"):
            got, right = getattr(layer, name), getattr(same, name)
            np.testing.assert_array_equal(got[[0, 2]], right[[0, 2]])
    layer.reset()
    assert np.isfinite(layer.forward(x)).all()


@pytest.mark.parametrize("layer", [BatchNorm(3), BatchNorm(3, axis=-1)])
def test_in_testing_what_is_no_number_stays_in_its_place(layer):
    x = normal(4, 3)
    x[0, 0], x[1, 1], x[2, 1], x[3, 2] = np.nan, np.inf, -np.inf, np.inf
    layer.gamma[2] = 0.0
    y = layer.forward(x)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(x))
    np.testing.assert_array_equal(y[1:3, 1], [np.inf, -np.inf])
    assert np.isnan(y[3, 2])  # 0 times infinity
    dx = layer.backward(np.zeros((4, 3)))
    np.testing.assert_array_equal(dx, np.zeros((4, 3)))


# --- dtypes ---------------------------------------------------------------------------
@batches
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
def test_float_dtypes_are_kept(batch, dtype, training):
    (layer, x), (same, _) = made(batch), made(batch)
    x = x.astype(dtype)
    x.setflags(write=False)
    kept = x.copy()
    y = layer.forward(x, training=training)
    y64 = same.forward(x.astype(float), training=training)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, y64.astype(dtype))  # computed in float64
    assert layer.running_var.dtype == "float64"
    np.testing.assert_array_equal(layer.running_var, same.running_var)
    dy = normal(*y.shape, seed=8).astype(dtype)
    dy.setflags(write=False)
    dx = layer.backward(dy)
    dx64 = same.backward(dy.astype(float))
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, dx64.astype(dtype))
    assert layer.gradients["gamma"].dtype == "float64"
    np.testing.assert_array_equal(x, kept)
    for made_, given_ in ((y, x), (dx, dy), (dx, x)):
        assert not np.shares_memory(made_, given_)


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_integers_become_float64(dtype, kind):
    x = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype)
    y = kind(3).forward(x, training=True)
    assert y.dtype == "float64"
    expected = kind(3).forward(x.astype(float), training=True)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(kind(3).forward(x.tolist(), training=True), expected)


# --- properties -----------------------------------------------------------------------
def integers(least=2):
    """Draw rows of integers, so that sums and differences of them are exact."""
    shapes = st.tuples(st.integers(least, 6), st.integers(1, 4))
    elements = st.integers(-1000, 1000).map(float)
    return hnp.arrays(float, shapes, elements=elements)


def rounding(x, std):
    """Bound what rounding may add to normalized numbers.

    The mean is off by at most m roundings of the largest number, and so is each
    deviation, in units of the standard deviation; the root and the quotient have four.
    """
    m = len(x)
    return (m + 4) * E * (np.abs(x).max(axis=0) / std + np.sqrt(m))


@quick
@given(x=integers(), eps=st.floats(1e-8, 1.0), seed=st.integers(0, 100))
def test_outputs_have_mean_beta_and_a_known_deviation(x, eps, seed):
    layer = learned(BatchNorm(x.shape[1], eps=eps), seed)
    y = layer.forward(x, training=True)
    std = np.sqrt(x.var(axis=0) + eps)
    allowed = 2 * np.abs(layer.gamma) * rounding(x, std)
    allowed += (len(x) + 2) * E * np.abs(layer.beta)
    assert (np.abs(y.mean(axis=0) - layer.beta) <= allowed).all()
    expected = np.abs(layer.gamma) * x.std(axis=0) / std
    assert (np.abs(y.std(axis=0) - expected) <= allowed).all()


@quick
@given(x=integers(), shift=st.integers(-1000, 1000), eps=st.floats(1e-8, 1.0))
def test_a_shift_changes_nothing(x, shift, eps):
    layer = BatchNorm(x.shape[1], eps=eps)
    y, moved = (layer.forward(each, training=True) for each in (x, x + shift))
    std = np.sqrt(x.var(axis=0) + eps)
    allowed = rounding(x, std) + rounding(x + shift, std)
    assert (np.abs(y - moved) <= allowed).all()


@quick
@given(x=integers(), scale=st.floats(1e-3, 1e3), power=st.integers(-30, 30))
def test_without_eps_a_scale_changes_nothing(x, scale, power):
    assume((x.std(axis=0) > 0).all())
    layer = BatchNorm(x.shape[1], eps=0.0)
    y = layer.forward(x, training=True)
    np.testing.assert_array_equal(layer.forward(2.0**power * x, training=True), y)
    scaled = layer.forward(scale * x, training=True)
    # The product has a rounding of its own.
    assert (np.abs(y - scaled) <= 3 * rounding(x, x.std(axis=0))).all()
    flipped = layer.forward(-x, training=True)
    np.testing.assert_array_equal(flipped, -y)


@quick
@given(x=integers(3), eps=st.sampled_from([0.0, 1e-5, 1.0]), seed=st.integers(0, 100))
def test_gradient_is_at_right_angles_to_what_has_no_effect(x, eps, seed):
    std = x.std(axis=0)
    assume((std > 0).all())
    layer = learned(BatchNorm(x.shape[1], eps=eps), seed)
    layer.forward(x, training=True)
    dy = normal(*x.shape, seed=seed)
    dx = layer.backward(dy)
    # dx is a product of 1 / std with three terms, each as large as the sum of |dy|.
    size = np.abs(layer.gamma) / std * np.abs(dy).sum(axis=0)
    allowed = 4 * len(x) * size * rounding(x, std)
    assert (np.abs(dx.sum(axis=0)) <= allowed).all()
    x_hat = (x - x.mean(axis=0)) / std
    along = (dx * x_hat).sum(axis=0)
    if eps == 0:
        assert (np.abs(along) <= allowed).all()
    else:
        # What is left of it: eps / (var + eps) of the gradient of x_hat along x_hat.
        full = std**2 + eps
        expected = layer.gamma / np.sqrt(full) * (dy * x_hat).sum(axis=0) * eps / full
        assert (np.abs(along - expected) <= allowed).all()


# --- layer normalization --------------------------------------------------------------
@pytest.mark.parametrize("copies", [(), (COPIES,)])
@pytest.mark.parametrize("own", [True, False])
def test_layer_norm_is_batch_norm_of_the_transposed(copies, own):
    layer = LayerNorm(3, eps=1e-3, copies=copies)
    x = normal(*(copies if own else ()), 4, 3)
    y = layer.forward(x, training=True)
    turned = BatchNorm(4, eps=1e-3)
    expected = [turned.forward(one.T, training=True).T for one in x.reshape(-1, 4, 3)]
    expected = np.broadcast_to(np.reshape(expected, x.shape), (*copies, 4, 3))
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(layer.forward(x), y)  # testing is as training
    learned(layer)
    expected = layer.gamma[..., None, :] * y + layer.beta[..., None, :]
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-15)


@pytest.mark.parametrize("shape", [(4, 3), (COPIES, 4, 3)])
@pytest.mark.parametrize("copies", [(), (COPIES,)])
def test_layer_norm_gradients_are_those_of_differences(shape, copies):
    if len(shape) == 3 and not copies:
        shape = (1, 3)
    layer, x = learned(LayerNorm(3, copies=copies)), normal(*shape)
    dy = normal(*layer.forward(x).shape, seed=8)
    check_gradients(layer, lambda: (dy * layer.forward(x)).sum(), x, dy, "LayerNorm")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_layer_norm_keeps_the_dtype_and_each_row_to_itself(dtype):
    layer, x = learned(LayerNorm(3)), normal(4, 3).astype(dtype)
    x[1] = 0.5
    x.setflags(write=False)
    y, dx = layer.forward(x), layer.backward(np.ones((4, 3), dtype))
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(y, layer.forward(x.astype(float)).astype(dtype))
    np.testing.assert_array_equal(y[1], layer.beta.astype(dtype))
    for bad in (np.nan, np.inf):
        spoilt = x.copy()
        spoilt[2, 1] = bad
        got = layer.forward(spoilt)
        assert np.isnan(got[2]).all()
        np.testing.assert_array_equal(got[[0, 1, 3]], y[[0, 1, 3]])
    assert layer.forward(x[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_copies_may_share_a_gradient(kind):
    layer, dy = learned(kind(3, copies=(COPIES,))), normal(4, 3, seed=8)
    layer.forward(normal(COPIES, 4, 3), training=True)
    dx = layer.backward(dy)
    shared = dict(layer.gradients)
    np.testing.assert_array_equal(dx, layer.backward(np.stack([dy] * COPIES)))
    for name, gradient in layer.gradients.items():
        assert gradient.shape == (COPIES, 3)
        np.testing.assert_array_equal(shared[name], gradient)


# --- weight normalization -------------------------------------------------------------
SHAPES = [(4, 3), (1, 2), (2, 3, 4, 5)]


def along(a, b):
    """Return the scalar product for each unit."""
    return (a * b).sum(axis=tuple(range(a.ndim - 1)))


@pytest.mark.parametrize("shape", SHAPES)
def test_weight_norm_gives_length_and_direction(shape):
    v, g = normal(*shape), normal(shape[-1], seed=1)
    w = weight_norm(v, g)
    n = v[..., 0].size
    np.testing.assert_allclose(np.sqrt(along(w, w)), np.abs(g), rtol=n * E)
    cosine = along(w, v) / np.sqrt(along(w, w) * along(v, v))
    np.testing.assert_allclose(cosine, np.sign(g), rtol=4 * n * E)
    for scale in (3.0, 1e-100, 1e100):
        np.testing.assert_allclose(weight_norm(scale * v, g), w, rtol=4 * n * E)
    length = np.sqrt(along(v, v))
    np.testing.assert_allclose(weight_norm(v, length), v, rtol=n * E)


@pytest.mark.parametrize("shape", SHAPES)
def test_weight_norm_gradients_are_those_of_differences(shape):
    v, g, dw = normal(*shape), normal(shape[-1], seed=1), normal(*shape, seed=2)
    dv, dg = weight_norm_grad(v, g, dw)

    def objective():
        return (dw * weight_norm(v, g)).sum()

    close(dv, difference(objective, v, H), ALLOWED, ALLOWED, "v")
    close(dg, difference(objective, g, H), ALLOWED, ALLOWED, "g")
    size = np.sqrt(along(dw, dw)) * np.abs(g)
    assert (np.abs(along(dv, v)) <= 2 * v[..., 0].size * E * size).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_weight_norm_is_computed_in_float64(dtype):
    # The product of g and v, and the square of v, are beyond float16.
    v = np.array([[300.0], [400.0]], dtype)
    g, dw = np.array([1000.0], dtype), np.array([[1.0], [0.5]], dtype)
    w = weight_norm(v, g)
    np.testing.assert_array_equal(w, np.array([[600.0], [800.0]], dtype))
    dv, dg = weight_norm_grad(v, g, dw)
    assert (w.dtype, dv.dtype, dg.dtype) == (dtype,) * 3
    np.testing.assert_allclose(dg, [1.0], rtol=EPS[dtype])
    np.testing.assert_allclose(dv, [[0.8], [-0.6]], rtol=2 * EPS[dtype])


# --- folding --------------------------------------------------------------------------
def folded_is_both(layer, weight, bias, two, one, size):
    """Compare two layers with the one they are folded into.

    Each is a sum of n products and four more terms; `size` is that of all together.
    """
    shape, before = weight.shape, weight.copy()
    W, b = fold_batch_norm(weight, bias, layer)
    assert (W.shape, b.shape) == (shape, layer.gamma.shape)
    assert W.dtype == b.dtype == weight.dtype
    np.testing.assert_array_equal(weight, before)
    n = np.prod(shape[len(layer.copies) : -1])
    close(one(W, b), two(weight, bias), 0.0, 2 * (n + 4) * E * size, "folded")


@pytest.mark.parametrize("copies", [(), (COPIES,)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_dense_layer_takes_it_up(copies, with_bias):
    layer = made("copies, x of their own" if copies else "dense")[0]
    weight, x = normal(*copies, 6, 3), normal(*copies, 5, 6, seed=1)
    bias = normal(*copies, 3, seed=2) if with_bias else None

    def one(W, b):
        return x @ W + (0 if b is None else b[..., None, :])

    s = np.abs(layer.gamma) / np.sqrt(layer.running_var + layer.eps)
    shift = (np.abs(bias if with_bias else 0) + np.abs(layer.running_mean)) * s
    size = np.abs(x) @ np.abs(weight) * s[..., None, :]
    size += (shift + np.abs(layer.beta))[..., None, :]
    folded_is_both(
        layer, weight, bias, lambda W, b: layer.forward(one(W, b)), one, size
    )


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_convolution_takes_it_up(axis, with_bias):
    layer = made("images" if axis == 1 else "images, features last")[0]
    kernel, x = normal(2, 3, 4, 3), normal(2, 5, 6, 4, seed=1)
    bias = normal(3, seed=2) if with_bias else None

    def convolve(x, kernel):
        patches = np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(1, 2))
        y = np.einsum("nxyihw,hwio->nxyo", patches, kernel)
        assert y.shape == (2, 4, 4, 3)
        return y

    def one(W, b):
        y = convolve(x, W) + (0 if b is None else b)
        return y if axis == -1 else np.moveaxis(y, -1, 1)

    s = np.abs(layer.gamma) / np.sqrt(layer.running_var + layer.eps)
    size = convolve(np.abs(x), np.abs(kernel)) * s
    size += (np.abs(bias if with_bias else 0) + np.abs(layer.running_mean)) * s
    size += np.abs(layer.beta)
    if axis == 1:
        size = np.moveaxis(size, -1, 1)
    folded_is_both(
        layer, kernel, bias, lambda W, b: layer.forward(one(W, b)), one, size
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_folded_weights_keep_the_dtype_of_the_weights(dtype):
    layer = made("dense")[0]
    weight = normal(6, 3).astype(dtype)
    W, b = fold_batch_norm(weight, None, layer)
    assert W.dtype == b.dtype == dtype
    W64, b64 = fold_batch_norm(weight.astype(float), np.zeros(3), layer)
    np.testing.assert_array_equal(W, W64.astype(dtype))
    np.testing.assert_array_equal(b, b64.astype(dtype))


# --- final statistics -----------------------------------------------------------------
NAMES = ("running_mean", "running_var", "n_batches", "momentum")


def state(net):
    found = [layer for layer in net.layers if isinstance(layer, BatchNorm)]
    return [{name: np.copy(getattr(layer, name)) for name in NAMES} for layer in found]


def trained(place="before", rng_=None, *, steps=3):
    """Return a net whose running values are averages over batches it has seen."""
    net = stack([3, 5, 4, 2], activation="tanh", batch_norm=place, rng=rng_ or rng())
    for step in range(steps):
        net.forward(3 * normal(6, 3, seed=step) - 1, training=True)
    return net


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("make", [rng, rngs])
def test_final_statistics_are_the_moments_layer_by_layer(place, make):
    net, x = trained(place, make()), 2 * normal(20, 3) + 1
    for layer in net.layers:
        if isinstance(layer, BatchNorm):
            layer.unbiased = False
    parameters = [layer.parameters.copy() for layer in net.trainable]
    assert final_statistics(net, x) is None
    z = x
    for layer in net.layers:  # in testing, which does not move them
        if isinstance(layer, BatchNorm):
            mean, var = z.mean(axis=-2), z.var(axis=-2)
            np.testing.assert_allclose(layer.running_mean, mean, rtol=0, atol=1e-13)
            np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)
            assert (layer.momentum, layer.n_batches) == (0.9, 1)
        z = layer.forward(z)
    for layer, before in zip(net.trainable, parameters, strict=True):
        for name, array in before.items():
            np.testing.assert_array_equal(layer.parameters[name], array)


@pytest.mark.parametrize(("batch_size", "n"), [(None, 1), (7, 3), (10, 2), (99, 1)])
def test_final_statistics_average_over_batches(batch_size, n):
    net, x = trained(), 2 * normal(20, 3) + 1
    sizes = {1: [20], 2: [10, 10], 3: [7, 7, 6]}[n]
    seen = []
    for batch in np.split(x, np.cumsum(sizes)[:-1]):
        moments, z = [], batch
        for layer in net.layers:
            if isinstance(layer, BatchNorm):
                moments.append((z.mean(axis=0), z.var(axis=0, ddof=1)))
                z = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + layer.eps)
            else:
                z = layer.forward(z)
        seen.append(moments)
    final_statistics(net, x, batch_size=batch_size)
    for i, now in enumerate(state(net)):
        assert now["n_batches"] == n
        for j, name in enumerate(NAMES[:2]):
            expected = np.mean([moments[i][j] for moments in seen], axis=0)
            np.testing.assert_allclose(now[name], expected, rtol=1e-12, atol=1e-13)


def test_final_statistics_forget_what_was_before():
    nets = trained(), trained(steps=0)
    nets[0].layers[1].running_var[:] = np.nan
    for net in nets:
        final_statistics(net, normal(20, 3), batch_size=5)
    for one, other in zip(*map(state, nets), strict=True):
        for name in NAMES:
            np.testing.assert_array_equal(one[name], other[name])


def test_dropout_is_off_meanwhile():
    r = rng(4)
    plain, dropping = trained(), trained()
    dropping.layers.insert(3, Dropout(0.5, rng=r))
    before = r.bit_generator.state
    for net in (plain, dropping):
        final_statistics(net, normal(20, 3))
    assert r.bit_generator.state == before
    for one, other in zip(state(plain), state(dropping), strict=True):
        for name in NAMES:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_everything_as_it_was(kind):
    class Breaks:
        calls = 0

        def forward(self, x, training=False):
            self.calls += 1
            if self.calls == 2:
                raise kind("broken")
            return x

    net = trained()
    net.layers[3].momentum = 0.5
    net.layers.append(Breaks())
    before = state(net)
    assert before[0]["n_batches"] == 3
    with pytest.raises(kind, match="broken"):
        final_statistics(net, normal(20, 3), batch_size=5)
    for now, then in zip(state(net), before, strict=True):
        for name in NAMES:
            np.testing.assert_array_equal(now[name], then[name])


def test_a_batch_that_is_too_small_leaves_everything_as_it_was():
    net = trained()
    before = state(net)
    expected = ValueError, FEW.format(2, 1)
    assert refusal(final_statistics, net, normal(5, 3), batch_size=2) == expected
    for now, then in zip(state(net), before, strict=True):
        for name in NAMES:
            np.testing.assert_array_equal(now[name], then[name])


# --- in a net -------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("make", [rng, rngs])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_a_net(place, make, training):
    net = trained(place, make())
    for layer in net.layers:
        if isinstance(layer, BatchNorm):
            learned(layer)
    x = normal(4, 3)
    dy = normal(*net.forward(x).shape, seed=8)

    def objective():
        return (dy * net.forward(x, training=training)).sum()

    objective()
    dx = net.backward(dy)
    gradients = [dict(layer.gradients) for layer in net.trainable]
    dx = dx.sum(axis=0) if dx.ndim == 3 else dx
    close(dx, difference(objective, x, H), ALLOWED, ALLOWED, "x")
    for layer, gradient in zip(net.trainable, gradients, strict=True):
        for name, array in layer.parameters.items():
            expected = difference(objective, array, H)
            close(gradient[name], expected, ALLOWED, ALLOWED, f"{layer} {name}")


def test_a_bias_before_it_has_no_gradient_in_training():
    net = Sequential([Dense(3, 4, rng=rng()), BatchNorm(4), Activation("tanh")])
    net.forward(normal(6, 3), training=True)
    net.backward(normal(6, 4, seed=8))
    db, dW = (net.dense[0].gradients[name] for name in ("b", "W"))
    assert np.abs(db).max() < 100 * E < 1e-6 < np.abs(dW).min()


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_scale_and_shift_can_be_assigned(kind):
    layer, x = kind(3), normal(5, 3)
    plain = layer.forward(x, training=True)
    layer.gamma, layer.beta = np.array([2.0, 3.0, 4.0]), np.ones(3)
    assert layer.parameters["gamma"] is layer.gamma
    expected = plain * [2, 3, 4] + 1
    np.testing.assert_allclose(layer.forward(x, training=True), expected, rtol=1e-14)
