"""The page of framework conventions: what each one does when it is not told.

Every cell of its tables is measured by calling the framework, or read from a
signature; none is typed.  Numbers are printed with four digits.  A distribution is
printed as a name, and only if :func:`weights.check_weights` accepts it and rejects
every other candidate.

``make conventions`` writes the page, and ``test_conventions.py`` compares it.
"""

import functools
import inspect
import itertools
import math
import sys
import textwrap

from companion.tensorflow.initializers import HeNormal  # isort: skip  (first: in silence)
import keras
import numpy as np
import tensorflow as tf
import torch
import torch.nn.functional as F
from backends import THEIRS
from conventions_optimizers import HEADER, optimizers
from scipy import integrate, stats
from weights import check_weights

from companion import activations, initializers, mlp, normalization
from companion.initializers import TRUNCATED_STD

INTRODUCTION = """\
Functions, layers and optimizers of one name do different things in different
frameworks. The tables say what each of them does when it is not told otherwise. Every
cell was measured by calling the framework, or is the default of an argument: where it
names a distribution, a test of mean, variance, range and shape accepts that one and
rejects all other candidates. "None" means that there is nothing of that name. The
column TensorFlow is about `tf.nn` for functions, and about `tf.compat.v1` for
initializers."""

FRAMEWORKS = ("", "`companion`", "PyTorch", "Keras", "TensorFlow")

v1 = tf.compat.v1.initializers

#: The arrays that the functions of each framework take.
MAKE = (
    np.array,
    functools.partial(torch.tensor, dtype=torch.float64),
    functools.partial(tf.constant, dtype=tf.float64),
    functools.partial(tf.constant, dtype=tf.float64),
)

#: Numbers of inputs and outputs in the golden ratio: no two of the variances 1/(3 n),
#: 1/n and 2/n, with n the one, the other or their mean, are then within 20 %.
DENSE = (356, 576)
CHANNELS = (89, 144)
#: A shape of which no two products of axes are within 50 %.
FOUR_AXES = (4, 10, 25, 16)

SECTIONS = []


def page():
    """Return the page as Markdown."""
    keras.utils.set_random_seed(1)
    torch.manual_seed(1)
    lines = [
        "# What the frameworks do by default",
        "",
        *wrap(INTRODUCTION),
        "",
        f"Measured with PyTorch {torch.__version__.partition('+')[0]}, Keras "
        f"{keras.__version__} and TensorFlow {tf.__version__}.",
        "",
        "<!-- `make conventions` writes this from tests/conventions.py. -->",
    ]
    for label, title, header, table in SECTIONS:
        lines += ["", f"(conventions-{label})=", f"## {title}", ""]
        lines += [*wrap(inspect.getdoc(table)), ""]
        lines += map(row, [header, ["---"] * len(header), *table()])
    return "\n".join(lines) + "\n"


def wrap(text):
    return textwrap.wrap(text, 90, break_long_words=False, break_on_hyphens=False)


def row(cells):
    return f"| {' | '.join(cells)} |"


def section(label, title, header=FRAMEWORKS):
    """Put a function that returns rows on the page; its docstring introduces them."""

    def put(table):
        SECTIONS.append((label, title, header, table))
        return table

    return put


# --- functions ------------------------------------------------------------------------
@section("slopes", "Slopes and bounds")
def slopes():
    """What multiplies a negative number, and how far down an exponential goes."""
    tilted = layers("LeakyReLU", mlp.Activation("leaky_relu").forward)
    learned = layers("PReLU", mlp.PReLU().forward)
    counted = layers("PReLU", mlp.PReLU())
    random = functions("rrelu")
    return [
        ["leaky ReLU, function: slope", *each(slope, functions("leaky_relu"))],
        ["leaky ReLU, layer: slope", *each(slope, tilted)],
        ["PReLU, layer: first slope", *each(slope, learned)],
        ["PReLU: slopes for 4 x 4 x 3 elements", *each(count, counted)],
        ["RReLU: slopes in training", *each(random_slopes, random)],
        ["RReLU: slope in testing", *each(mean_slope, random)],
        ["ELU: lower bound", *each(lower_bound, functions("elu"))],
        ["CELU: lower bound", *each(lower_bound, functions("celu"))],
        ["SELU: lower bound", *each(lower_bound, functions("selu"))],
        ["SELU: slope above 0", *each(slope_above, functions("selu"))],
    ]


@section("kinks", "Derivatives at the kink")
def kinks():
    """What backpropagation takes for the derivative at 0, and from which side."""
    return [
        ["ReLU", *each(kink, differentiable("relu"))],
        ["leaky ReLU", *each(kink, differentiable("leaky_relu"))],
        ["ELU, alpha = 1.5", *each(kink, differentiable("elu", alpha=1.5))],
        ["SELU", *each(kink, differentiable("selu"))],
    ]


@section("formulas", "Formulas and limits")
def formulas():
    """Which formula is behind a name, and what it gives where infinity meets 0."""
    return [
        ["GELU", *each(gelu_formula, functions("gelu"))],
        ["softplus of 21 in float64", *each(softplus_formula, functions("softplus"))],
        ["softsign of infinity", *each(upper_limit, functions("softsign"))],
        ["SiLU of minus infinity", *each(lower_limit, functions("silu"))],
        ["GELU of minus infinity", *each(lower_limit, functions("gelu"))],
        ["Mish of minus infinity", *each(lower_limit, functions("mish"))],
    ]


def functions(name):
    """Return the function of that name in each framework, or None."""
    modules = activations, F, keras.activations, tf.nn
    return [getattr(module, name, None) for module in modules]


def layers(name, ours):
    """Return the layer of that name in each framework, or None."""
    theirs = getattr(torch.nn, name)().double(), getattr(keras.layers, name)()
    return [ours, *theirs, getattr(tf.nn, name, None)]


def differentiable(name, **arguments):
    """Return the functions with arguments, or None where one cannot be passed."""
    theirs = (
        functools.partial(f, **arguments)
        if arguments.keys() <= inspect.signature(f).parameters.keys()
        else None
        for f in functions(name)[1:]
    )
    return [mlp.Activation(name, **arguments), *theirs]


def each(measure, subjects):
    """Measure one thing in every framework that has it."""
    return [
        "none" if subject is None else measure(subject, make)
        for subject, make in zip(subjects, MAKE, strict=True)
    ]


def number(x):
    """Print four digits, and no sign of a zero."""
    return f"{x + 0.0:.4g}"


def value(function, z, make):
    """Return what a function makes of a batch with one number."""
    return as_array(function(make([[z]]))).item()


def as_array(tensor):
    return np.asarray(tensor.detach() if isinstance(tensor, torch.Tensor) else tensor)


def slope(function, make):
    return number(-value(function, -1.0, make))


def slope_above(function, make):
    return number(value(function, 1.0, make))


def lower_bound(function, make):
    return number(value(function, -1e4, make))


def lower_limit(function, make):
    return number(value(function, -math.inf, make))


def upper_limit(function, make):
    return number(value(function, math.inf, make))


def mean_slope(function, make):
    return slope(functools.partial(function, training=False), make)


def random_slopes(function, make):
    """Name the distribution of the slopes that are drawn in training."""
    arguments = {"rng": np.random.default_rng(1)} if make is np.array else {}
    a = -as_array(function(make(np.full(20_000, -1.0)), training=True, **arguments))
    return only(
        {
            "U(1/8, 1/3)": (a - 11 / 48, (1 / 3 - 1 / 8) ** 2 / 12, "uniform"),
            "1 / U(3, 8)": (1 / a - 11 / 2, (8 - 3) ** 2 / 12, "uniform"),
        }
    )


def count(layer, make):
    """Count the parameters of a layer that has met images of 4 x 4 pixels, 3 colors."""
    if isinstance(layer, mlp.PReLU):
        return str(layer.parameters["alpha"].size)
    layer(make(np.ones((1, 3, 4, 4))))
    arrays = layer.weights if isinstance(layer, keras.Layer) else layer.parameters()
    return str(sum(math.prod(array.shape) for array in arrays))


def kink(subject, make):
    """Return the derivative at 0, and the side on which it is the function's slope."""
    function, z = subject, make([[0.0]])
    if isinstance(subject, mlp.Activation):
        function = subject.forward
        function(z)
        derivative = subject.backward(np.ones((1, 1)))
    elif isinstance(z, torch.Tensor):
        function(z.requires_grad_()).backward()
        derivative = z.grad
    else:
        with tf.GradientTape() as tape:
            tape.watch(z)
            y = function(z)
        derivative = tape.gradient(y, z)
    derivative = as_array(derivative).item()
    h = 1e-6  # bends a slope by that order, while the two sides differ by more
    slopes = {
        "left": value(function, -h, make) / -h,
        "right": value(function, h, make) / h,
    }
    return f"{number(derivative)}, {nearest(slopes, derivative)}"


def gelu_formula(function, make):
    u = math.sqrt(2 / math.pi) * (1 + 0.044715)
    formulas = {"exact": stats.norm.cdf(1), "tanh": (1 + math.tanh(u)) / 2}
    return nearest(formulas, value(function, 1.0, make))


def softplus_formula(function, make):
    formulas = {"exact": 21 + math.log1p(math.exp(-21)), "z itself": 21.0}
    return nearest(formulas, value(function, 21.0, make))


def nearest(named, y):
    """Return the name of the number that `y` is, by far nearer than the other."""
    errors = {name: abs(x - y) for name, x in named.items()}
    best, other = sorted(errors, key=errors.get)
    if errors[best] > 1e-3 * errors[other]:
        raise ValueError(f"nearest: one of {named} must fit; got {y}.")
    return best


# --- dropout --------------------------------------------------------------------------
@section("dropout", "Dropout")
def dropout():
    """The rate that is taken where none is given, the share that a rate of 0.25 drops,
    and what comes out at rate 1, and where an infinity is dropped at rate 0.5.
    """
    rows = []
    for name, label in ("Dropout", "dropout"), ("AlphaDropout", "alpha dropout"):
        new, training = dropouts(name)
        rows += [
            [f"{label}: default rate", *each(default_rate, new)],
            [f"{label}, rate 0.25: share dropped", *each(share_dropped, training)],
            [f"{label}, rate 1", *each(at_rate_1, training)],
            [f"{label}: a dropped infinity", *each(dropped_infinity, training)],
        ]
    return rows


def dropouts(name):
    """Return what takes a rate in each framework, and functions of one that drop."""
    new = [getattr(module, name) for module in (mlp, torch.nn, keras.layers)]
    ours, module, layer = new
    training = [
        lambda rate: functools.partial(
            ours(rate, rng=np.random.default_rng(1)).forward, training=True
        ),
        module,
        lambda rate: functools.partial(layer(rate, seed=1), training=True),
    ]
    if name == "Dropout":
        return [*new, tf.nn.dropout], [
            *training,
            lambda rate: functools.partial(tf.nn.dropout, rate=rate, seed=1),
        ]
    return [*new, None], [*training, None]


def default_rate(function, make):
    parameters = inspect.signature(function).parameters
    rate = parameters[next(name for name in ("rate", "p") if name in parameters)]
    return "must be given" if rate.default is rate.empty else number(rate.default)


def share_dropped(drop, make):
    """Return the rate, or one minus it, of which the share is a likely outcome."""
    n, rate = 20_000, 0.25
    y = as_array(drop(rate)(make(np.linspace(1, 2, n))))
    share = np.mean(y == y.min())
    error = 5 * math.sqrt(rate * (1 - rate) / n)
    (found,) = (r for r in (rate, 1 - rate) if abs(share - r) < error)
    return number(found)


def at_rate_1(drop, make):
    try:
        (y,) = set(as_array(drop(1.0)(make(np.linspace(1, 2, 20)))))
    except ValueError:
        return "refused"
    except ZeroDivisionError as error:
        return type(error).__name__
    return number(y)


def dropped_infinity(drop, make):
    y = as_array(drop(0.5)(make(np.full(100, math.inf))))
    (dropped,) = np.unique(y[y != math.inf])
    return number(dropped)


# --- batch normalization --------------------------------------------------------------
@section("batch-norm", "Batch normalization")
def batch_normalization():
    """What is added to a variance, what the sum of squares is divided by, how much of
    a running value one batch leaves, and what becomes of one row, of a nan, and of a
    layer whose parameters are frozen. The column TensorFlow is about
    `tf.compat.v1.nn.fused_batch_norm`, a function that is given the running values and
    returns new ones.
    """
    ours, *theirs, _ = batch_norms()
    rows = [
        ["epsilon", *each(epsilon, batch_norms())],
        ["share of the old value kept", *each(share_kept, batch_norms())],
        ["default called momentum", *each(called_momentum, batch_norms())],
        ["batch variance divided by", *each(divisor, batch_norms())],
        ["running variance divided by", *each(running_divisor, batch_norms())],
        ["image of 4 axes: features", *each(axis_of_features, batch_norms())],
        ["vectors of a layer", *each(vectors, [ours, *theirs, None])],
        ["one row in training", *each(one_row, batch_norms())],
        ["frozen, in training: statistics", *each(frozen, [None, *theirs, None])],
        ["running mean after nan", *each(after_nan, batch_norms())],
    ]
    return [*rows, ["layer normalization: epsilon", *each(epsilon, layer_norms())]]


class OwnNorm:
    """A layer of companion in training, and its running values."""

    def __init__(self, layer):
        self.layer = layer

    def step(self, x):
        return self.layer.forward(x, training=True)

    def shift(self, beta):
        self.layer.beta[:] = beta

    def running(self):
        return self.layer.running_mean, self.layer.running_var

    def counts(self, x):
        """Return the numbers of trained vectors, moved vectors and counters."""
        before = vars(self.layer).copy()
        self.step(x)
        kinds = [
            np.shape(now)
            for name, now in vars(self.layer).items()
            if before[name] is not None
            and np.shape(now) == np.shape(before[name])
            and np.any(now != before[name])
        ]
        n = len(self.layer.parameters)
        return n, kinds.count(x.shape[-1:]), kinds.count(())


class TorchNorm:
    """The same for a layer of PyTorch."""

    def __init__(self, layer):
        self.layer = layer.double()

    def step(self, x):
        return self.layer(x)

    def shift(self, beta):
        torch.nn.init.constant_(self.layer.bias, beta)

    def freeze(self):
        self.layer.requires_grad_(False)

    def running(self):
        return self.layer.running_mean, self.layer.running_var

    def counts(self, x):
        kinds = [tuple(buffer.shape) for buffer in self.layer.buffers()]
        n = len([*self.layer.parameters()])
        return n, kinds.count(tuple(x.shape[-1:])), kinds.count(())


class KerasNorm:
    """The same for a layer of Keras, which is built for the first batch."""

    def __init__(self, layer):
        self.layer = layer

    def step(self, x):
        return self.layer(x, training=True)

    def shift(self, beta):
        self.layer.build((None, 1))
        self.layer.beta.assign([beta])

    def freeze(self):
        self.layer.trainable = False

    def running(self):
        return self.layer.moving_mean.value, self.layer.moving_variance.value

    def counts(self, x):
        self.step(x)
        kinds = [tuple(v.shape) for v in self.layer.non_trainable_variables]
        n = len(self.layer.trainable_variables)
        return n, kinds.count(tuple(x.shape[-1:])), kinds.count(())


class FusedNorm:
    """The same for the function of TensorFlow: float32 images, and its results kept."""

    layer = staticmethod(tf.compat.v1.nn.fused_batch_norm)

    def __init__(self, n_features):
        self.ones, self.beta = tf.ones(n_features), tf.zeros(n_features)
        self.state = tf.zeros(n_features), self.ones

    def step(self, x):
        images = tf.cast(x if len(x.shape) == 4 else x[:, None, None, :], tf.float32)
        y, *state = self.layer(images, self.ones, self.beta, *self.state)
        self.state = state[:2]
        return tf.reshape(y, x.shape)

    def shift(self, beta):
        self.beta = self.beta + beta

    def running(self):
        return self.state


def batch_norms():
    """Return functions of the number of features, and axes, that make a layer."""
    torch_kinds = {2: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}
    return [
        lambda n, ndim=2: OwnNorm(normalization.BatchNorm(n)),
        lambda n, ndim=2: TorchNorm(torch_kinds[ndim](n)),
        lambda n, ndim=2: KerasNorm(keras.layers.BatchNormalization(dtype="float64")),
        lambda n, ndim=2: FusedNorm(n),
    ]


def layer_norms():
    return [
        lambda n: OwnNorm(normalization.LayerNorm(n)),
        lambda n: TorchNorm(torch.nn.LayerNorm(n)),
        lambda n: KerasNorm(keras.layers.LayerNormalization(dtype="float64")),
        None,
    ]


def epsilon(new, make):
    """Return what is added to the variance h**2 of numbers h and -h."""
    h = 1e-3  # not large beside the root of epsilon, so that no digits are lost
    y = as_array(new(2).step(make([[h, -h], [-h, h]])))
    return number((h / y[0, 0]) ** 2 - h**2)


def share_kept(new, make):
    """Return what is left of the first running variance, 1, after a batch of zeros."""
    return number(kept_by(new, make))


def kept_by(new, make):
    norm = new(1)
    norm.step(make([[0.0], [0.0]]))
    return as_array(norm.running()[1]).item()


def called_momentum(new, make):
    layer = new(1).layer
    function = layer if inspect.isfunction(layer) else type(layer)
    default = inspect.signature(function).parameters.get("momentum")
    return "none" if default is None else number(default.default)


#: Numbers so far apart that epsilon does not matter, and their variances.
APART = [[0.0], [200.0]]
VARIANCES = {"m": 1e4, "m - 1": 2e4}


def divisor(new, make):
    y = as_array(new(1).step(make(APART))).ravel()
    return nearest(VARIANCES, (200 / (y[1] - y[0])) ** 2)


def running_divisor(new, make):
    norm, kept = new(1), kept_by(new, make)
    norm.step(make(APART))
    return nearest(VARIANCES, (as_array(norm.running()[1]).item() - kept) / (1 - kept))


def axis_of_features(new, make):
    """Name the axis along which each slice has mean 0, though its numbers have not."""
    n = 3
    x = np.random.default_rng(1).exponential(size=(n,) * 4) ** 2
    y = as_array(new(n, ndim=4).step(make(x)))
    axes = range(4)
    means = {
        axis: y.mean(axis=tuple(other for other in axes if other != axis))
        for axis in axes
    }
    (found,) = (axis for axis in axes if np.abs(means[axis]).max() < 1e-5)
    return f"axis {found}"


def vectors(new, make):
    x = make([[0.0, 1.0], [2.0, 4.0]])
    trained, moved, counters = new(2).counts(x)
    counter = f", {counters} counter" if counters else ""
    return f"{trained} trained, {moved} moved{counter}"


def one_row(new, make):
    norm = new(1)
    norm.shift(7.0)
    try:
        y = as_array(norm.step(make([[3.0]]))).item()
    except ValueError:
        return "refused"
    return nearest({"beta": 7.0, "what came in": 3.0}, y)


def frozen(new, make):
    norm = new(1)
    norm.freeze()
    y = as_array(norm.step(make(APART))).ravel()
    return nearest({"the batch's": 2.0, "the running ones": 200.0}, y[1] - y[0])


def after_nan(new, make):
    norm = new(1)
    norm.step(make([[math.nan], [1.0]]))
    for _ in range(3):
        norm.step(make([[0.0], [1.0]]))
    mean = as_array(norm.running()[0]).item()
    return "nan from then on" if math.isnan(mean) else "forgets it"


# --- weights --------------------------------------------------------------------------
@section("defaults", "Weights of a new layer", FRAMEWORKS[:4])
def defaults():
    """What a layer starts from that is given no initializer: distribution, variance."""
    n_in, n_out = CHANNELS
    dense = (
        lambda: mlp.Dense(*DENSE, rng=np.random.default_rng()).parameters,
        lambda: torch_parameters(torch.nn.Linear(*DENSE)),
        lambda: keras_parameters(keras.layers.Dense(DENSE[1]), DENSE[:1]),
    )
    convolution = (
        getattr(mlp, "Conv2D", None),
        lambda: torch_parameters(torch.nn.Conv2d(n_in, n_out, 3)),
        lambda: keras_parameters(keras.layers.Conv2D(n_out, 3), (3, 3, n_in)),
    )
    fans = 9 * n_in, 9 * n_out
    return [
        ["dense layer: weights", *(parameter("W", make, DENSE) for make in dense)],
        ["dense layer: biases", *(parameter("b", make, DENSE) for make in dense)],
        ["convolution: weights", *(parameter("W", make, fans) for make in convolution)],
        ["convolution: biases", *(parameter("b", make, fans) for make in convolution)],
    ]


@section("initializers", "What an initializer draws from")
def names():
    """The distribution and its variance behind each name, for a dense layer and with
    default arguments; `xavier` and `kaiming` are PyTorch's words for Glorot and He.
    """
    return [
        [label, *(drawn(draw) for draw in named(*names))] for label, *names in NAMES
    ]


#: What an initializer is called: in companion and TensorFlow, in PyTorch, in Keras.
NAMES = (
    ("Glorot, uniform", "glorot_uniform", "xavier_uniform_", "GlorotUniform"),
    ("Glorot, normal", "glorot_normal", "xavier_normal_", "GlorotNormal"),
    ("He, uniform", "he_uniform", "kaiming_uniform_", "HeUniform"),
    ("He, normal", "he_normal", "kaiming_normal_", "HeNormal"),
    ("LeCun, uniform", "lecun_uniform", "lecun_uniform_", "LecunUniform"),
    ("LeCun, normal", "lecun_normal", "lecun_normal_", "LecunNormal"),
    ("variance scaling", "variance_scaling", "variance_scaling_", "VarianceScaling"),
)


@section("truncation", "Truncated normal distributions")
def truncation():
    """What comes out where a truncated normal of a standard deviation is asked for:
    cutting it off makes it smaller, unless that is corrected, and PyTorch takes the
    ends for numbers, not for multiples of the standard deviation.
    """
    draws = (
        lambda std: initializers.variance_scaling(
            DENSE,
            scale=DENSE[0] * std**2,
            distribution="truncated_normal",
            rng=np.random.default_rng(1),
        ),
        lambda std: torch.nn.init.trunc_normal_(torch.empty(DENSE), std=std),
        lambda std: keras.initializers.TruncatedNormal(stddev=std, seed=1)(DENSE),
        lambda std: v1.truncated_normal(stddev=std, seed=1)(DENSE),
    )
    return [
        [f"asked for {std}", *(truncated(draw(std), std) for draw in draws)]
        for std in (1.0, 0.02)
    ]


def torch_parameters(layer):
    return {"W": layer.weight, "b": layer.bias}


def keras_parameters(layer, shape):
    layer.build((None, *shape))
    return {"W": layer.kernel, "b": layer.bias}


def parameter(name, make, fans):
    """Name what a parameter is drawn from, over as many layers as it takes to tell."""
    if make is None:
        return "none"
    arrays = []
    while sum(map(np.size, arrays)) < 20_000:
        arrays.append(as_array(make()[name]).ravel())
    weights = np.concatenate(arrays)
    return distribution_of(weights, fans) if weights.any() else "0"


def named(name, in_torch, in_keras):
    """Return functions of (fan_in, fan_out) that draw, or None."""
    fill = getattr(torch.nn.init, in_torch, None)
    return (
        functools.partial(getattr(initializers, name), rng=np.random.default_rng(1)),
        fill and (lambda shape: fill(torch.empty(shape[::-1]))),
        getattr(keras.initializers, in_keras)(seed=1),
        getattr(v1, name)(seed=1),
    )


def drawn(draw):
    return "none" if draw is None else distribution_of(draw(DENSE), DENSE)


def distribution_of(weights, fans):
    """Name the one distribution and variance that fit, among all that have a name."""
    n_in, n_out = fans
    sizes = {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / 2}
    scales = {"1/(3 {})": 1 / 3, "1/{}": 1.0, "2/{}": 2.0}
    names = itertools.product(initializers.DISTRIBUTIONS, scales, sizes)
    return only(
        {
            f"{distribution.replace('_', ' ')}, {scale.format(size)}": (
                weights,
                scales[scale] / sizes[size],
                distribution,
            )
            for distribution, scale, size in names
        }
    )


def truncated(weights, std):
    return only(
        {
            "truncated, corrected": (weights, std**2, "truncated_normal"),
            "truncated, too small": (
                weights,
                (TRUNCATED_STD * std) ** 2,
                "truncated_normal",
            ),
            "not truncated": (weights, std**2, "normal"),
        }
    )


def only(candidates):
    """Return the name of the one candidate that the statistical check accepts."""
    accepted = []
    for name, (weights, variance, distribution) in candidates.items():
        try:
            check_weights(as_array(weights), variance, distribution, eps=2**-23)
        except AssertionError:
            continue
        accepted.append(name)
    if len(accepted) != 1:
        raise ValueError(
            f"only: one of {len(candidates)} candidates must fit; got {accepted}."
        )
    return accepted[0]


# --- layouts --------------------------------------------------------------------------
@section("layouts", "Layouts and fans")
def layouts():
    """The shape of the weights from 3 inputs to 5 outputs, and the axes that an
    initializer multiplies for the fans, whatever the layer: those of a transposed
    convolution it takes the wrong way round.
    """
    field, image = (7, 9), (20, 20, 3)
    dense = (
        mlp.Dense(3, 5, rng=np.random.default_rng()).parameters["W"],
        torch.nn.Linear(3, 5).weight,
        keras_parameters(keras.layers.Dense(5), (3,))["W"],
        accepted(multiply, (3, 5)),
    )
    convolution = (
        getattr(mlp, "Conv2D", None),
        torch.nn.Conv2d(3, 5, field).weight,
        keras_parameters(keras.layers.Conv2D(5, field), image)["W"],
        accepted(convolve, (*field, 3, 5)),
    )
    transposed = (
        getattr(mlp, "Conv2DTranspose", None),
        torch.nn.ConvTranspose2d(3, 5, field).weight,
        keras_parameters(keras.layers.Conv2DTranspose(5, field), image)["W"],
        accepted(convolve_transposed, (*field, 3, 5)),
    )
    rows = [
        ["dense layer", *map(shape_of, dense)],
        ["convolution, 7 x 9", *map(shape_of, convolution)],
        ["transposed convolution, 7 x 9", *map(shape_of, transposed)],
    ]
    for shape, mode in itertools.product((DENSE, FOUR_AXES), ("fan_in", "fan_out")):
        cells = (axes_of(w, shape) for w in fan_draws(shape, mode))
        rows.append([f"`{mode}` of {len(shape)} axes: product of", *cells])
    return rows


def shape_of(array):
    return "none" if array is None else str(tuple(array.shape))


def accepted(operation, sizes):
    """Return weights in the one order of `sizes` with which an operation works."""
    fitting = []
    for shape in itertools.permutations(sizes):
        weights = tf.zeros(shape)
        try:
            fitting += [weights] * operation(weights)
        except (ValueError, tf.errors.OpError):
            continue
    (weights,) = fitting
    return weights


def multiply(w):
    return tf.matmul(tf.zeros((1, 3)), w).shape == (1, 5)


def convolve(w):
    y = tf.nn.conv2d(tf.zeros((1, 20, 20, 3)), w, 1, "VALID")
    return y.shape == (1, 14, 12, 5)


def convolve_transposed(w):
    x, shape = tf.zeros((1, 14, 12, 3)), (1, 20, 20, 5)
    return tf.nn.conv2d_transpose(x, w, shape, 1, "VALID").shape == shape


def fan_draws(shape, mode):
    """Draw from a uniform distribution of variance 1/fan in each framework."""
    arguments = {"mode": mode, "distribution": "uniform"}
    rng = np.random.default_rng(1)
    w = torch.empty(shape)
    return (
        initializers.variance_scaling(shape, **arguments, rng=rng),
        torch.nn.init.kaiming_uniform_(w, mode=mode, nonlinearity="linear"),
        keras.initializers.VarianceScaling(**arguments, seed=1)(shape),
        v1.variance_scaling(**arguments, seed=1)(shape),
    )


def axes_of(weights, shape):
    """Name the axes whose product is one over the variance."""
    candidates = {}
    for n in range(1, len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), n):
            fan = math.prod(shape[axis] for axis in axes)
            name = f"{'axis' if n == 1 else 'axes'} {', '.join(map(str, axes))}"
            candidates[name] = (weights, 1 / fan, "uniform")
    return only(candidates)


# --- gains ----------------------------------------------------------------------------
@section(
    "gains",
    "Gains",
    ("activation", "`torch.nn.init.calculate_gain`", "keeps the mean square"),
)
def gains():
    r"""What PyTorch recommends as the standard deviation of the weights times the root
    of $n_\text{in}$, and what keeps the mean square of the outputs at 1 if that of the
    inputs is: $1 / \sqrt{\operatorname{E} f(z)^2}$ for a standard normal $z$, by
    quadrature.
    """
    names = "linear", *mlp.ACTIVATIONS
    return [
        [f"`{n}`", calculated_gain(THEIRS.get(n, n)), number(kept_gain(n))]
        for n in names
    ]


def calculated_gain(name):
    try:
        return number(torch.nn.init.calculate_gain(name))
    except ValueError:
        return "none"


def kept_gain(name):
    """Return 1 over the root mean square of an activation of N(0, 1) numbers."""
    f = getattr(activations, name, lambda z: z)
    halves = (
        integrate.quad(lambda z: f(z) ** 2 * stats.norm.pdf(z), *ends)[0]
        for ends in ((-np.inf, 0), (0, np.inf))
    )
    return 1 / math.sqrt(sum(halves))


# --- orthogonal matrices --------------------------------------------------------------
@section("orthogonal", "Orthogonal matrices")
def orthogonals():
    """How long a unit vector is afterwards, which axis of a kernel counts the
    orthogonal vectors, and whether all orthogonal matrices are equally likely, as seen
    in the first entry of 3 x 3 ones: without a correction of signs it always has the
    same sign.
    """
    draws = (
        functools.partial(initializers.orthogonal, rng=np.random.default_rng(1)),
        lambda shape: torch.nn.init.orthogonal_(torch.empty(shape)),
        keras.initializers.Orthogonal(seed=keras.random.SeedGenerator(1)),
        v1.orthogonal(seed=1),
    )
    return [
        ["gain", *map(gain_of, draws)],
        ["kernel: axis of the vectors", *map(axis_of, draws)],
        ["first entry", *map(first_entry, draws)],
    ]


def gain_of(draw):
    w = as_array(draw((30, 30)))
    return number(math.sqrt(np.trace(w.T @ w) / 30))


def axis_of(draw):
    """Tell whether the first or the last axis counts the orthogonal vectors."""
    w = as_array(draw((4, 3, 2, 5)))
    vectors = {"axis 0": w.reshape(4, -1), "axis 3": w.reshape(-1, 5).T}
    (axis,) = (
        axis
        for axis, v in vectors.items()
        if np.allclose(v @ v.T, np.eye(len(v)), atol=1e-5)
    )
    return axis


def first_entry(draw):
    entries = np.array([as_array(draw((3, 3)))[0, 0] for _ in range(1000)])
    return only(
        {
            "U(-1, 1)": (entries, 1 / 3, "uniform"),
            "U(0, 1)": (entries - 1 / 2, 1 / 12, "uniform"),
            "U(-1, 0)": (entries + 1 / 2, 1 / 12, "uniform"),
        }
    )


# --- seeds ----------------------------------------------------------------------------
@section(
    "seeds",
    "Seeds",
    ("", "one of a seed, twice", "two of a seed, once each", "one without, twice"),
)
def seeds():
    """Whether two draws of He's normal weights are alike; what draws is a generator in
    `companion` and PyTorch and an initializer elsewhere, so that two Keras layers of
    one shape with the same initializer may start alike.
    """
    rng, generator = np.random.default_rng, torch.Generator
    theirs = keras.initializers.HeNormal
    sources = {
        "`companion`": (lambda: drawing(rng(1)), lambda: drawing(None)),
        "`companion` for Keras": (lambda: HeNormal(seed=1), HeNormal),
        "PyTorch": (lambda: filling(generator().manual_seed(1)), lambda: filling(None)),
        "Keras": (lambda: theirs(seed=1), theirs),
        "TensorFlow": (lambda: v1.he_normal(seed=1), v1.he_normal),
    }
    return [
        [name, twice(seeded), once_each(seeded), twice(unseeded)]
        for name, (seeded, unseeded) in sources.items()
    ]


def drawing(rng):
    return functools.partial(initializers.he_normal, rng=rng)


def filling(generator):
    fill = torch.nn.init.kaiming_normal_
    return lambda shape: fill(torch.empty(shape), generator=generator)


def twice(make):
    try:
        draw = make()
        return comparison(draw((3, 4)), draw((3, 4)))
    except TypeError:
        return "refused"


def once_each(make):
    return comparison(make()((3, 4)), make()((3, 4)))


def comparison(first, second):
    """Return a word for weights that are all equal, or all different."""
    (equal,) = set((as_array(first) == as_array(second)).ravel())
    return "the same" if equal else "different"


# --- optimizers -----------------------------------------------------------------------
section("optimizers", "Optimizers", HEADER)(optimizers)


if __name__ == "__main__":
    sys.stdout.write(page())
