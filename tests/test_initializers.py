"""Random weights of all backends: the statistics, the fans and the refusals."""

import json
import math

import numpy as np
import pytest
from helpers import EPS, FALSE_ALARM, check_weights
from scipy import stats

from companion import activations, initializers
from companion.initializers import DISTRIBUTIONS, MODES, TRUNCATED_STD

#: Name -> scale, mode, distribution.
NAMED = {
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "glorot_normal": (1.0, "fan_avg", "normal"),
    "he_uniform": (2.0, "fan_in", "uniform"),
    "he_normal": (2.0, "fan_in", "normal"),
    "he_avg_uniform": (2.0, "fan_avg", "uniform"),
    "lecun_uniform": (1.0, "fan_in", "uniform"),
    "lecun_normal": (1.0, "fan_in", "normal"),
}

#: More inputs than outputs, so that no fan can stand in for another.
DENSE = (500, 200)
KERNEL = (3, 5, 40, 60)
FANS = {
    DENSE: {"fan_in": 500, "fan_out": 200, "fan_avg": 350},
    KERNEL: {"fan_in": 600, "fan_out": 900, "fan_avg": 750},
}
GENERAL = [(m, d, shape) for m in MODES for d in DISTRIBUTIONS for shape in FANS]

#: More inputs than outputs, as many, and fewer; then the same of a kernel's fan_in.
ORTHOGONAL = [(50, 20), (30, 30), (20, 50), (1, 4), (3, 5, 8, 20), (3, 5, 2, 40)]

#: Which initializer is for which activation, written out without the package's table.
RECOMMENDED = {
    "linear": "glorot",
    "logistic": "glorot",
    "softmax": "glorot",
    "softsign": "glorot",
    "tanh": "glorot",
    "celu": "he",
    "elu": "he",
    "gelu": "he",
    "leaky_relu": "he",
    "mish": "he",
    "prelu": "he",
    "relu": "he",
    "rrelu": "he",
    "silu": "he",
    "softplus": "he",
    "selu": "lecun",
}


def rng(seed=1):
    return np.random.default_rng(seed)


def refusal(function, *args, **arguments):
    """Return the type and text of the error that a call raises."""
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*args, **arguments)
    return caught.type, str(caught.value)


def check_orthogonal(weights, gain, eps):
    """Require that a matrix keeps lengths, from or to its smaller side.

    Each entry of the product is a sum of as many products as the larger side has
    entries, each rounded once.
    """
    tall = weights if weights.shape[0] >= weights.shape[1] else weights.T
    product, identity = tall.T @ tall, gain**2 * np.eye(tall.shape[1])
    np.testing.assert_allclose(
        product, identity, rtol=0, atol=gain**2 * len(tall) * eps
    )


def check_even(first_entries):
    """Require what makes an orthogonal matrix of three rows evenly distributed.

    Its first column is then a point anywhere on the unit sphere, and a coordinate of
    that is uniform on (-1, 1), as Archimedes found: variance 1/3.
    """
    check_weights(first_entries, 1 / 3, "uniform", eps=EPS["float32"])


# --- the reference --------------------------------------------------------------------
@pytest.mark.parametrize(("mode", "distribution", "shape"), GENERAL)
def test_weights_have_the_statistics_asked_for(mode, distribution, shape):
    w = initializers.variance_scaling(
        shape, scale=1.7, mode=mode, distribution=distribution, rng=rng()
    )
    assert w.shape == shape
    assert w.dtype == np.float64
    check_weights(w, 1.7 / FANS[shape][mode], distribution)


@pytest.mark.parametrize("shape", FANS)
@pytest.mark.parametrize("name", NAMED)
def test_named_initializer_is_variance_scaling(name, shape):
    scale, mode, distribution = NAMED[name]
    w = getattr(initializers, name)(shape, rng=rng())
    general = initializers.variance_scaling(
        shape, scale=scale, mode=mode, distribution=distribution, rng=rng()
    )
    np.testing.assert_array_equal(w, general)
    check_weights(w, scale / FANS[shape][mode], distribution)


@pytest.mark.parametrize("name", [n for n in NAMED if n.endswith("uniform")])
def test_uniform_weights_reach_their_limit(name):
    scale, mode, _ = NAMED[name]
    limit = math.sqrt(3 * scale / FANS[DENSE][mode])
    w = getattr(initializers, name)(DENSE, rng=rng())
    # All N draws stay a share d below the limit with probability (1 - d)**N.
    nearly = 1 - FALSE_ALARM ** (1 / w.size)
    assert limit * (1 - nearly) <= np.abs(w).max() <= limit


def test_truncated_std_is_that_of_scipy():
    np.testing.assert_allclose(TRUNCATED_STD, stats.truncnorm(-2, 2).std(), rtol=1e-14)


def test_truncated_weights_end_at_two_standard_deviations():
    w = initializers.variance_scaling(DENSE, distribution="truncated_normal", rng=rng())
    assert np.abs(w).max() <= 2 / TRUNCATED_STD / math.sqrt(500)


@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((784, 100), (784, 100)),
        ([1, 1], (1, 1)),
        ((7, 16, 32), (112, 224)),
        ((3, 3, 16, 32), (144, 288)),
        ((2, 3, 4, 5, 6), (120, 144)),
        (np.array([20, 30]), (20, 30)),
    ],
)
def test_fans_count_connections(shape, fans):
    assert initializers.fans(shape) == fans
    assert initializers.fan(shape, "fan_in") == fans[0]
    assert initializers.fan(shape, "fan_out") == fans[1]
    assert initializers.fan(shape, "fan_avg") == sum(fans) / 2


@pytest.mark.parametrize("gain", [1.0, 1.7])
@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_orthogonal_keeps_lengths(shape, gain):
    w = initializers.orthogonal(shape, gain=gain, rng=rng())
    assert w.shape == shape
    assert w.dtype == np.float64
    check_orthogonal(w.reshape(-1, shape[-1]), gain, EPS["float64"])


def test_orthogonal_is_even():
    r = rng()
    check_even([initializers.orthogonal((3, 3), rng=r)[0, 0] for _ in range(4000)])


def test_check_finds_an_orthogonal_matrix_without_its_signs():
    r = rng()
    uneven = [np.linalg.qr(r.standard_normal((3, 3)))[0] for _ in range(4000)]
    check_orthogonal(uneven[0], 1.0, EPS["float64"])
    with pytest.raises(AssertionError, match="mean"):
        check_even([w[0, 0] for w in uneven])


def test_check_finds_what_is_not_orthogonal():
    w = initializers.orthogonal((50, 20), rng=rng())
    for bad in (
        1.001 * w,
        w + 1e-6,
        w[:-1],
        initializers.lecun_normal((50, 20), rng=rng()),
    ):
        with pytest.raises(AssertionError, match="Not equal"):
            check_orthogonal(bad, 1.0, EPS["float64"])


def test_recommendations_are_for_every_activation():
    ours = {name.removesuffix("_grad") for name in vars(activations) if "_grad" in name}
    assert set(RECOMMENDED) == ours | {"linear", "softmax"}
    offered = [a for names in initializers.RECOMMENDED.values() for a in names]
    assert sorted(offered) == sorted(RECOMMENDED)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("name", RECOMMENDED)
def test_for_activation(name, distribution):
    expected = getattr(initializers, f"{RECOMMENDED[name]}_{distribution}")
    assert initializers.for_activation(name, distribution) is expected
    if distribution == "normal":
        assert initializers.for_activation(name) is expected


@pytest.mark.parametrize("name", NAMED)
def test_same_seed_gives_the_same_weights(name):
    draw = getattr(initializers, name)
    np.testing.assert_array_equal(draw((4, 3), rng=rng(5)), draw((4, 3), rng=rng(5)))
    assert np.all(draw((4, 3), rng=rng(5)) != draw((4, 3), rng=rng(6)))
    generator = rng(5)
    first, second = draw((4, 3), rng=generator), draw((4, 3), rng=generator)
    assert np.all(first != second)


#: Arguments that every backend checks alike: argument, value, error, end of message.
BAD = [
    ("scale", "2", TypeError, "must be a real number; got '2'."),
    ("scale", None, TypeError, "must be a real number; got None."),
    ("scale", True, TypeError, "must be a real number; got True."),
    ("scale", 0.0, ValueError, "must be a finite number above 0; got 0.0."),
    ("scale", -1, ValueError, "must be a finite number above 0; got -1.0."),
    ("scale", math.inf, ValueError, "must be a finite number above 0; got inf."),
    ("scale", math.nan, ValueError, "must be a finite number above 0; got nan."),
    (
        "mode",
        "fan_inn",
        ValueError,
        "must be one of 'fan_in', 'fan_out', 'fan_avg'; got 'fan_inn'. "
        "Did you mean 'fan_in'?",
    ),
    (
        "mode",
        None,
        ValueError,
        "must be one of 'fan_in', 'fan_out', 'fan_avg'; got None.",
    ),
    (
        "distribution",
        "truncated",
        ValueError,
        "must be one of 'normal', 'truncated_normal', 'uniform'; got 'truncated'. "
        "Did you mean 'truncated_normal'?",
    ),
]

#: Gains that every backend refuses alike, and then names and distributions.
BAD_GAINS = [
    (value, error, text) for name, value, error, text in BAD if name == "scale"
]
OFFERED = ", ".join(
    repr(a) for names in initializers.RECOMMENDED.values() for a in names
)
BAD_NAMES = [
    (("rellu",), f"`name` must be one of {OFFERED}; got 'rellu'. Did you mean 'relu'?"),
    (("sigmoid",), f"`name` must be one of {OFFERED}; got 'sigmoid'."),
    ((None,), f"`name` must be one of {OFFERED}; got None."),
    (
        ("relu", "truncated_normal"),
        "`distribution` must be one of 'normal', 'uniform'; got 'truncated_normal'.",
    ),
]

#: Shapes that NumPy and TensorFlow refuse alike.
BAD_SHAPES = [
    (
        7,
        TypeError,
        "must be a sequence of integers such as (fan_in, fan_out); got 7.",
    ),
    (
        (7,),
        ValueError,
        "must have at least two axes, (fan_in, fan_out) last; got (7,).",
    ),
    ((), ValueError, "must have at least two axes, (fan_in, fan_out) last; got ()."),
    ((3, 0), ValueError, "must be at least 1; got 0."),
    ((3, -1), ValueError, "must be at least 1; got -1."),
    ((3, 2.0), TypeError, "must be an integer; got 2.0."),
    ((3, True), TypeError, "must be an integer; got True."),
    ("ab", TypeError, "must be an integer; got 'a'."),
]


@pytest.mark.parametrize(("argument", "value", "error", "text"), BAD)
def test_bad_argument_is_refused(argument, value, error, text):
    got = refusal(initializers.variance_scaling, (2, 3), **{argument: value}, rng=rng())
    assert got == (error, f"variance_scaling: `{argument}` {text}")


@pytest.mark.parametrize(("value", "error", "text"), BAD_GAINS)
def test_bad_gain_is_refused(value, error, text):
    got = refusal(initializers.orthogonal, (2, 3), gain=value, rng=rng())
    assert got == (error, f"orthogonal: `gain` {text}")


@pytest.mark.parametrize(("arguments", "text"), BAD_NAMES)
def test_bad_activation_is_refused(arguments, text):
    got = refusal(initializers.for_activation, *arguments)
    assert got == (ValueError, f"for_activation: {text}")


@pytest.mark.parametrize(("shape", "error", "text"), BAD_SHAPES)
def test_bad_shape_is_refused(shape, error, text):
    got = refusal(initializers.orthogonal, shape, rng=rng())
    assert got == (error, f"orthogonal: `shape` {text}")
    got = refusal(initializers.variance_scaling, shape, rng=rng())
    assert got == (error, f"variance_scaling: `shape` {text}")
    got = refusal(initializers.fans, shape)
    assert got == (error, f"fans: `shape` {text}")


@pytest.mark.parametrize("value", [None, 0, np.random.RandomState(0), np.random])
@pytest.mark.parametrize("name", ["variance_scaling", "orthogonal"])
def test_randomness_is_explicit(name, value):
    assert refusal(getattr(initializers, name), (2, 3), rng=value) == (
        TypeError,
        f"{name}: `rng` must be a numpy.random.Generator; got "
        f"{type(value).__name__}. Pass rng=numpy.random.default_rng(seed).",
    )


def test_fan_refuses_an_unknown_mode():
    error, text = refusal(initializers.fan, (2, 3), "in")
    assert error is ValueError
    assert text.startswith("fan: `mode` must be one of 'fan_in', ")


# --- the check can fail ---------------------------------------------------------------
def test_check_finds_truncation_without_correction():
    z = stats.truncnorm(-2, 2).rvs(100_000, random_state=rng())
    check_weights(z / TRUNCATED_STD, 1.0, "truncated_normal")
    with pytest.raises(AssertionError, match="variance"):
        check_weights(z, 1.0, "truncated_normal")


def test_check_finds_the_wrong_fan():
    w = initializers.he_normal(DENSE, rng=rng())
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w, 2 / 200, "normal")
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w, 2 / 350, "normal")


def test_check_finds_a_mean():
    w = initializers.lecun_normal(DENSE, rng=rng())
    with pytest.raises(AssertionError, match="mean"):
        check_weights(w + 0.05 * w.std(), 1 / 500, "normal")


@pytest.mark.parametrize("drawn", DISTRIBUTIONS)
@pytest.mark.parametrize("claimed", DISTRIBUTIONS)
def test_check_tells_the_distributions_apart(drawn, claimed):
    w = initializers.variance_scaling(DENSE, distribution=drawn, rng=rng())
    if drawn == claimed:
        check_weights(w, 1 / 500, claimed)
    else:
        with pytest.raises(AssertionError, match=r"variance|range|distribution"):
            check_weights(w, 1 / 500, claimed)


def test_check_finds_repeated_rows():
    w = initializers.lecun_normal(DENSE, rng=rng())
    with pytest.raises(AssertionError, match=r"mean|variance|distribution"):
        check_weights(np.broadcast_to(w[:1], DENSE), 1 / 500, "normal")


def test_check_finds_a_range_too_wide():
    w = initializers.lecun_uniform(DENSE, rng=rng())
    w[0, 0] = math.sqrt(3 / 500) * 1.001
    with pytest.raises(AssertionError, match="range"):
        check_weights(w, 1 / 500, "uniform")


def test_check_wants_enough_weights():
    with pytest.raises(AssertionError, match="too few"):
        check_weights(np.zeros(10), 1.0, "normal")


# --- PyTorch --------------------------------------------------------------------------
@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def torch_initializers(torch):
    import companion.torch.initializers

    return companion.torch.initializers


def torch_layout(shape):
    *field, n_inputs, n_outputs = shape
    return n_outputs, n_inputs, *field


@pytest.mark.parametrize(("mode", "distribution", "shape"), GENERAL)
def test_torch_weights_have_the_statistics(
    torch, torch_initializers, mode, distribution, shape
):
    w = torch.empty(torch_layout(shape))
    result = torch_initializers.variance_scaling_(
        w,
        scale=1.7,
        mode=mode,
        distribution=distribution,
        generator=torch.Generator().manual_seed(1),
    )
    assert result is w
    variance = 1.7 / FANS[shape][mode]
    check_weights(w.numpy(), variance, distribution, eps=EPS["float32"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMED)
def test_torch_named_initializer(torch, torch_initializers, name, dtype):
    scale, mode, distribution = NAMED[name]
    w = torch.nn.Parameter(torch.empty(200, 500, dtype=getattr(torch, dtype)))
    draw = getattr(torch_initializers, f"{name}_")
    result = draw(w, generator=torch.Generator().manual_seed(1))
    assert result is w
    assert w.requires_grad
    assert w.grad_fn is None
    variance = scale / FANS[DENSE][mode]
    numbers = w.detach().double().numpy()
    check_weights(numbers, variance, distribution, eps=EPS[dtype])


def test_torch_layers_are_filled_as_they_are(torch, torch_initializers):
    # The layer knows its fan_in; the variance must be 2 over it, in either layout.
    linear = torch.nn.Linear(in_features=500, out_features=200)
    convolution = torch.nn.Conv2d(in_channels=40, out_channels=60, kernel_size=(3, 5))
    for layer, fan_in in ((linear, 500), (convolution, 600)):
        generator = torch.Generator().manual_seed(1)
        w = torch_initializers.he_normal_(layer.weight, generator=generator)
        assert w is layer.weight
        check_weights(w.detach().numpy(), 2 / fan_in, "normal")


def test_torch_transposed_convolution_through_a_view(torch, torch_initializers):
    layer = torch.nn.ConvTranspose2d(40, 60, kernel_size=(3, 5))
    view = layer.weight.transpose(0, 1)
    torch_initializers.he_normal_(view, generator=torch.Generator().manual_seed(1))
    check_weights(layer.weight.detach().numpy(), 2 / 600, "normal")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_torch_orthogonal_keeps_lengths(torch, torch_initializers, shape, dtype):
    dimensions = torch_layout(shape)
    w = torch.nn.Parameter(torch.empty(dimensions, dtype=getattr(torch, dtype)))
    generator = torch.Generator().manual_seed(1)
    result = torch_initializers.orthogonal_(w, gain=1.7, generator=generator)
    assert result is w
    assert w.requires_grad
    assert w.grad_fn is None
    matrix = w.detach().double().numpy().reshape(dimensions[0], -1)
    check_orthogonal(matrix, 1.7, EPS[dtype])


def test_torch_orthogonal_is_even(torch, torch_initializers):
    generator, w = torch.Generator().manual_seed(1), torch.empty(3, 3)
    draw = torch_initializers.orthogonal_
    check_even([draw(w, generator=generator)[0, 0].item() for _ in range(4000)])


@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_torch_orthogonal_is_that_of_torch(torch, torch_initializers, shape):
    # From one seed even the same one.
    ours, theirs = (
        draw(
            torch.empty(torch_layout(shape)),
            gain=1.7,
            generator=torch.Generator().manual_seed(1),
        )
        for draw in (torch_initializers.orthogonal_, torch.nn.init.orthogonal_)
    )
    eps = EPS["float32"]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=max(shape) * eps)


def test_torch_orthogonal_fills_what_is_not_contiguous(torch, torch_initializers):
    layer = torch.nn.ConvTranspose2d(40, 60, kernel_size=(3, 5))
    view = layer.weight.transpose(0, 1)
    torch_initializers.orthogonal_(view, generator=torch.Generator().manual_seed(1))
    matrix = view.detach().numpy().reshape(60, -1)
    check_orthogonal(matrix, 1.0, EPS["float32"])


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("name", RECOMMENDED)
def test_torch_for_activation(torch_initializers, name, distribution):
    expected = getattr(torch_initializers, f"{RECOMMENDED[name]}_{distribution}_")
    assert torch_initializers.for_activation(name, distribution) is expected
    if distribution == "normal":
        assert torch_initializers.for_activation(name) is expected


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_torch_same_seed_gives_the_same_weights(
    torch, torch_initializers, distribution
):
    def draw(seed):
        return torch_initializers.variance_scaling_(
            torch.empty(3, 4),
            distribution=distribution,
            generator=torch.Generator().manual_seed(seed),
        )

    assert torch.equal(draw(1), draw(1))
    assert not (draw(1) == draw(2)).any()
    # Without a generator it is the global one.
    torch.manual_seed(1)
    w = torch_initializers.variance_scaling_(
        torch.empty(3, 4), distribution=distribution
    )
    assert torch.equal(w, draw(1))


def test_torch_nn_init_is_alike(torch, torch_initializers):
    init = torch.nn.init
    generator = torch.Generator().manual_seed(1)
    w = torch.empty(200, 500)
    eps = EPS["float32"]
    init.kaiming_normal_(w, mode="fan_in", nonlinearity="relu", generator=generator)
    check_weights(w.numpy(), 2 / 500, "normal", eps=eps)
    init.kaiming_uniform_(w, mode="fan_in", nonlinearity="relu", generator=generator)
    check_weights(w.numpy(), 2 / 500, "uniform", eps=eps)
    init.xavier_uniform_(w, generator=generator)
    check_weights(w.numpy(), 1 / 350, "uniform", eps=eps)
    init.xavier_normal_(w, generator=generator)
    check_weights(w.numpy(), 1 / 350, "normal", eps=eps)
    # From one seed a uniform draw is even the same one.
    theirs = init.xavier_uniform_(
        torch.empty(200, 500), generator=torch.Generator().manual_seed(1)
    )
    ours = torch_initializers.glorot_uniform_(
        torch.empty(200, 500), generator=torch.Generator().manual_seed(1)
    )
    torch.testing.assert_close(ours, theirs, rtol=4 * eps, atol=eps)


def test_check_finds_faults_in_torch(torch, torch_initializers):
    generator = torch.Generator().manual_seed(1)
    w = torch.empty(200, 500)
    std = math.sqrt(1 / 500)
    torch.nn.init.trunc_normal_(w, std=std, a=-2 * std, b=2 * std, generator=generator)
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w.numpy(), 1 / 500, "truncated_normal")
    # NumPy's layout handed to the function of PyTorch: fan_out instead of fan_in.
    w = torch_initializers.he_normal_(torch.empty(500, 200), generator=generator)
    with pytest.raises(AssertionError, match="variance"):
        check_weights(w.numpy(), 2 / 500, "normal")


@pytest.mark.parametrize(("argument", "value", "error", "text"), BAD)
def test_torch_refuses_alike(torch, torch_initializers, argument, value, error, text):
    w = torch.zeros(2, 3)
    got = refusal(torch_initializers.variance_scaling_, w, **{argument: value})
    assert got == (error, f"variance_scaling_: `{argument}` {text}")
    assert not w.any()


@pytest.mark.parametrize(("value", "error", "text"), BAD_GAINS)
def test_torch_refuses_a_bad_gain_alike(torch, torch_initializers, value, error, text):
    w = torch.zeros(2, 3)
    got = refusal(torch_initializers.orthogonal_, w, gain=value)
    assert got == (error, f"orthogonal_: `gain` {text}")
    assert not w.any()


@pytest.mark.parametrize(("arguments", "text"), BAD_NAMES)
def test_torch_refuses_a_bad_activation_alike(torch_initializers, arguments, text):
    got = refusal(torch_initializers.for_activation, *arguments)
    assert got == (ValueError, f"for_activation: {text}")


@pytest.mark.parametrize("name", ["variance_scaling_", "orthogonal_"])
def test_torch_refuses_what_it_cannot_fill(torch, torch_initializers, name):
    fill = getattr(torch_initializers, name)
    start = f"{name}: `tensor` must be a floating-point torch.Tensor; got "
    for bad, got in (
        ((2, 3), "tuple"),
        (np.zeros((2, 3)), "float64"),
        (torch.zeros(2, 3, dtype=torch.int64), "torch.int64"),
        (torch.zeros(2, 3, dtype=torch.complex64), "torch.complex64"),
    ):
        assert refusal(fill, bad) == (TypeError, f"{start}{got}.")
    for shape in ((), (3,), (0, 3), (3, 2, 0)):
        assert refusal(fill, torch.zeros(shape)) == (
            ValueError,
            f"{name}: `tensor` must have at least two axes, (fan_out, fan_in) first, "
            f"and none of size 0; got shape {shape}.",
        )
    assert refusal(fill, torch.zeros(2, 3), generator=0) == (
        TypeError,
        f"{name}: `generator` must be a torch.Generator or None; got int. "
        "Pass generator=torch.Generator().manual_seed(seed).",
    )


# --- TensorFlow -----------------------------------------------------------------------
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


@pytest.mark.parametrize(("mode", "distribution", "shape"), GENERAL)
def test_tf_weights_have_the_statistics(tf_initializers, mode, distribution, shape):
    w = tf_initializers.variance_scaling(
        shape, scale=1.7, mode=mode, distribution=distribution, seed=1
    )
    assert tuple(w.shape) == shape
    assert w.dtype == "float32"
    variance = 1.7 / FANS[shape][mode]
    check_weights(w.numpy(), variance, distribution, eps=EPS["float32"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMED)
def test_tf_named_initializer(tf, tf_initializers, name, dtype):
    scale, mode, distribution = NAMED[name]
    w = getattr(tf_initializers, name)(DENSE, seed=(1, 2), dtype=dtype)
    assert w.dtype == dtype
    numbers = tf.cast(w, "float64").numpy()
    check_weights(numbers, scale / FANS[DENSE][mode], distribution, eps=EPS[dtype])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_tf_orthogonal_keeps_lengths(tf, tf_initializers, shape, dtype):
    w = tf_initializers.orthogonal(shape, gain=1.7, seed=1, dtype=dtype)
    assert tuple(w.shape) == shape
    assert w.dtype == dtype
    matrix = tf.cast(w, "float64").numpy().reshape(-1, shape[-1])
    check_orthogonal(matrix, 1.7, EPS[dtype])


def test_tf_orthogonal_is_even(tf, tf_initializers):
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
def test_tf_for_activation(tf_initializers, name, distribution):
    expected = getattr(tf_initializers, f"{RECOMMENDED[name]}_{distribution}")
    assert tf_initializers.for_activation(name, distribution) is expected
    if distribution == "normal":
        assert tf_initializers.for_activation(name) is expected


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_tf_same_seed_gives_the_same_weights(tf, tf_initializers, distribution):
    def draw(seed):
        return tf_initializers.variance_scaling(
            (3, 4), distribution=distribution, seed=seed
        ).numpy()

    seeds = [0, 1, -1, 2**40, np.int64(3), (1, 2), [2, 1], tf.constant([5, 6])]
    for i, seed in enumerate(seeds):
        np.testing.assert_array_equal(draw(seed), draw(seed))
        for other in seeds[:i]:
            assert np.all(draw(seed) != draw(other))


def test_tf_draws_inside_a_tf_function(tf, tf_initializers):
    traced = tf.function(lambda seed: tf_initializers.he_normal((3, 4), seed=seed))
    eager = tf_initializers.he_normal((3, 4), seed=7)
    np.testing.assert_array_equal(traced(tf.constant(7)), eager)


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
def test_tf_refuses_alike(tf_initializers, argument, value, error, text):
    got = refusal(tf_initializers.variance_scaling, (2, 3), **{argument: value}, seed=1)
    assert got == (error, f"variance_scaling: `{argument}` {text}")


@pytest.mark.parametrize(("value", "error", "text"), BAD_GAINS)
def test_tf_refuses_a_bad_gain_alike(tf_initializers, value, error, text):
    got = refusal(tf_initializers.orthogonal, (2, 3), gain=value, seed=1)
    assert got == (error, f"orthogonal: `gain` {text}")
    got = refusal(tf_initializers.Orthogonal, value, seed=1)
    assert got == (error, f"Orthogonal: `gain` {text}")


@pytest.mark.parametrize(("arguments", "text"), BAD_NAMES)
def test_tf_refuses_a_bad_activation_alike(tf_initializers, arguments, text):
    got = refusal(tf_initializers.for_activation, *arguments)
    assert got == (ValueError, f"for_activation: {text}")


@pytest.mark.parametrize("name", ["variance_scaling", "orthogonal"])
@pytest.mark.parametrize(("shape", "error", "text"), BAD_SHAPES)
def test_tf_refuses_a_bad_shape_alike(tf_initializers, name, shape, error, text):
    got = refusal(getattr(tf_initializers, name), shape, seed=1)
    assert got == (error, f"{name}: `shape` {text}")


@pytest.mark.parametrize("name", ["variance_scaling", "orthogonal"])
def test_tf_refuses_a_bad_seed_or_dtype(tf_initializers, name):
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
