"""What the page "Signal through depth" states, and the number that stands for it.

A row is a quote, the least and the most that its words can mean, and what computes the
number, from the settings of the button beside it.
"""

import inspect
import math
from functools import cache, partial

import numpy as np
import pictures
from explorable_nets import T, flat, gradient, last, line, net, nets
from explorable_texts import constant, setting, start_of

from companion import activations, initializers

PAGE = "signal_through_depth"
of_button = partial(setting, PAGE)


def alikeness():
    """Return how far a layer's mean or deviation is from that below, at most."""
    worst = 0
    for changes in LOGISTIC.values():
        h = net(of_button(1, **changes), 0)[0][2:]
        told = np.array([(one.mean(), one.std()) for one in h])
        worst = max(worst, np.abs(np.diff(told, axis=0)).max())
    return worst


LOGISTIC = {"as set": {}, "gain": {"gain": 4}, "N": {"initializer": "standard_normal"}}


def relu_factors(n=20):
    """Draw what 50 ReLU layers multiply the mean square of one input by, in many nets.

    The law of a factor is the same for all inputs: a direction does not matter.
    """
    z = math.sqrt(2) * np.random.default_rng(0).standard_normal((50, 2000, n))
    return (np.maximum(z, 0) ** 2).mean(axis=2)


def off_average(factors):
    """Return how many standard errors a mean is from 1."""
    factors = np.ravel(factors)
    return (factors.mean() - 1) / (factors.std() / math.sqrt(len(factors)))


def strays(**changes):
    """Return how the logarithm of the mean square scatters at the top."""
    return np.log(nets(of_button(2, **changes), last, range(100))).std()


def tanh(steps, depth):
    """Predict for a gain so many steps of its slider above 1."""
    return line(of_button(3, gain=2 ** (0.05 * steps), depth=depth))


def selu(n=30, gain=1, std=3):
    """Return mean and variance of layer n, and chi."""
    squares, means, chis, _ = line(of_button(4, gain=gain, inputStd=std, depth=n))
    return means[-1], squares[-1] - means[-1] ** 2, chis[-1]


def selu_off(h, slopes, left):
    """Return how far mean and variance of layer 20 are from 0 and 1."""
    return max(abs(h[20].mean()), abs(h[20].var() - 1))


def flatness(settings):
    """Return how far mean squares are from that of the inputs, at most."""
    h = net(settings, 0)[0]
    return max(abs((one**2).mean() / (h[0] ** 2).mean() - 1) for one in h)


@cache
def drawn(panel):
    """Return the lines of a panel of the still picture: predicted before simulated."""
    axes = pictures.signal_through_depth().axes[panel]
    return [np.array(one.get_ydata()) for one in axes.lines]


def narrowing():
    """Return how wide the band of the still picture is at its end, over its start."""
    low, _, high = drawn(0)
    return (high - low)[-1] / (high - low)[0]


def starts():
    """Return what the still picture shows, and what the page starts from."""
    picture = inspect.signature(pictures.signal_through_depth).parameters
    start = start_of(PAGE)
    drawn_at = [picture[name].default for name in ("depth", "width")]
    names = ("depth", "width", "activation", "initializer", "gain")
    return drawn_at, [start[name] for name in names]


def same_weights():
    """Compare LeCun's and Glorot's weights of one seed, in a square layer."""
    draws = (initializers.lecun_normal, initializers.glorot_normal)
    lecun, glorot = (draw((20, 20), rng=np.random.default_rng(0)) for draw in draws)
    return np.abs(lecun - glorot).max()


def gone_together():
    """Correlate what becomes of the signal and of the gradient, in many nets."""
    measured = [nets(of_button(2), what) for what in (last, gradient)]
    return np.corrcoef(np.log(measured))[0, 1]


def slowing():
    """Return by how much a layer's factors at gain 1 exceed those of the one below."""
    squares, _, chis, _ = tanh(0, 200)
    return min(np.diff(squares[1:] / squares[:-1]).min(), np.diff(chis).min())


def back_in_order():
    """Return how far mean and variance of layer 20 are from 0 and 1, as predicted."""
    found = np.array([selu(20, std=std)[:2] for std in (3, 0.1)])
    return np.abs(found - (0, 1)).max()


STATEMENTS = [
    # The still picture.
    (
        "Three panels over thirty layers of tanh",
        1,
        1,
        lambda: [len(drawn(panel)[0]) for panel in range(3)] == [31, 31, 30],
    ),
    ("The band of outputs narrows to about a tenth", 0.08, 0.12, narrowing),
    (
        "Thirty layers of 100 tanh units with LeCun's weights",
        1,
        1,
        lambda: starts() == ([30, 100], [30, 100, "tanh", "lecun_normal", 1]),
    ),
    (
        "falls along a predicted line that ends near one sixtieth",
        55,
        65,
        lambda: 1 / drawn(1)[0][-1],
    ),
    (
        "the last dots a little below it",
        0.6,
        0.9,
        lambda: (drawn(1)[1] / drawn(1)[0])[-3:].max(),
    ),
    (
        "The gradient at layer 1 is predicted to be a sixth of that",
        5.5,
        6.5,
        lambda: 1 / drawn(2)[0][0],
    ),
    ("the dots end at a seventh", 6.5, 7.5, lambda: 1 / drawn(2)[1][0]),
    # What to look at, and how it is computed.
    (
        r"what lies beyond $\pm 4$ is counted",
        4,
        4,
        lambda: constant("signal_charts", r"REACH = (\d+)"),
    ),
    (
        "The net sees 50 random inputs",
        50,
        50,
        lambda: constant("network", r"ROWS = (\d+)"),
    ),
    (
        "the slope is below 5 % of the largest",
        0.05,
        0.05,
        lambda: constant("activations", r"saturatedBelow: ([\d.]+) \*"),
    ),
    # 1. How fast does a gradient vanish?
    (
        "The slope of the logistic is at most $1/4$",
        0.25,
        0.25,
        lambda: activations.logistic_grad(T).max(),
    ),
    ("below ten layers of it", 10, 10, lambda: of_button(1)["depth"]),
    (
        "A little less than $1/4$ survives each layer",
        0.2,
        0.25,
        lambda: np.sqrt(line(of_button(1))[2]).min(),
    ),
    (
        "A little less than $1/4$ survives each layer",
        0.2,
        0.25,
        lambda: np.sqrt(line(of_button(1))[2]).max(),
    ),
    ("nine steps leave", 9, 9, lambda: of_button(1)["depth"] - 1),
    ("leave two millionths", 1.5e-6, 2.5e-6, lambda: line(of_button(1))[3]),
    (
        "leave two millionths",
        1.5e-6,
        2.5e-6,
        lambda: nets(of_button(1), gradient).mean(),
    ),
    (
        "with a gain of 4 a little over a hundredth is left",
        0.01,
        0.015,
        lambda: line(of_button(1, gain=4))[3],
    ),
    (
        "with a gain of 4 a little over a hundredth is left",
        0.01,
        0.015,
        lambda: nets(of_button(1, gain=4), gradient).mean(),
    ),
    (
        "with $N(0, 1)$ weights about three quarters",
        0.7,
        0.8,
        lambda: line(of_button(1, **LOGISTIC["N"]))[3],
    ),
    (
        "with $N(0, 1)$ weights about three quarters",
        0.65,
        0.85,
        lambda: nets(of_button(1, **LOGISTIC["N"]), gradient).mean(),
    ),
    (
        "half of the outputs are saturated",
        0.45,
        0.55,
        lambda: nets(of_button(1, **LOGISTIC["N"]), flat).mean(),
    ),
    (
        "In each of the three nets one layer puts out much the same as the next",
        0,
        0.08,
        alikeness,
    ),
    # 2. Whose average?
    ("in a net of 20 units a layer", 20, 20, lambda: of_button(2)["width"]),
    (
        "He's weights keep the mean square at exactly 1",
        0,
        1e-9,
        lambda: np.abs(line(of_button(2))[0] - 1).max(),
    ),
    (
        "wanders away, mostly down",
        0.75,
        0.99,
        lambda: (nets(of_button(2), last) < 0.5).mean(),
    ),
    (
        "the dots of the gradient go with it",
        0.7,
        1,
        gone_together,
    ),
    (
        "The line is the average over all nets",
        -3,
        3,
        lambda: off_average(relu_factors()),
    ),
    (
        "the many that fade",
        0.8,
        1,
        lambda: (relu_factors().prod(axis=0) < 1).mean(),
    ),
    (
        "a few that explode",
        0.005,
        0.1,
        lambda: (relu_factors().prod(axis=0) > 3).mean(),
    ),
    (
        "How far a net strays depends on depth over width",
        0.75,
        1.33,
        lambda: strays(depth=20) / strays(depth=40, width=40),
    ),
    (
        "How far a net strays depends on depth over width",
        1.6,
        2.6,
        lambda: strays(depth=40, width=20) / strays(depth=40, width=80),
    ),
    (
        "LeCun's weights, by the way, halve the mean square in every layer",
        0.5 - 1e-9,
        0.5 + 1e-9,
        lambda: line(of_button(2, initializer="lecun_normal", depth=1))[0][1],
    ),
    (
        "Glorot's are LeCun's here",
        0,
        1e-15,
        same_weights,
    ),
    # 3. The edge.
    ("With LeCun's weights and gain 1", 1, 1, lambda: of_button(3)["gain"]),
    ("the signal of tanh fades slowly", 0.005, 0.02, lambda: line(of_button(3))[0][50]),
    ("Any gain above 1 keeps the signal", 0.03, 0.04, lambda: tanh(1, 1000)[0][-1]),
    ("about one half at gain 2", 0.45, 0.55, lambda: tanh(20, 50)[0][-1]),
    (
        "the gradient explodes on its way down",
        1.001,
        1.01,
        lambda: min(tanh(steps, 1000)[2][-1] for steps in range(1, 21, 3)),
    ),
    ("at gain 2 to sixteen hundred times", 1550, 1650, lambda: tanh(20, 50)[3]),
    ("(Just above 1 that takes more layers than these.)", 0, 1, lambda: tanh(1, 50)[3]),
    (
        "Below 1 both vanish",
        0,
        1e-9,
        lambda: max(tanh(-1, 1000)[0][-1], tanh(-1, 1000)[3]),
    ),
    (
        "Gain 1 is the edge between the two: there both fade, but ever more slowly",
        1e-9,
        1,
        slowing,
    ),
    (
        "Gain 1 is the edge between the two: there both fade, but ever more slowly",
        0,
        0.03,
        lambda: max(tanh(0, 2000)[0][-1], tanh(0, 2000)[3]),
    ),
    # 4. A net that repairs its signal.
    ("inputs that are three times too large", 3, 3, lambda: of_button(4)["inputStd"]),
    (
        "After twenty layers mean and variance are back near 0 and 1, from either",
        0,
        0.1,
        back_in_order,
    ),
    (
        "After twenty layers mean and variance are back near 0 and 1, from either",
        0,
        0.2,
        lambda: max(nets(of_button(4, inputStd=s), selu_off).max() for s in (3, 0.1)),
    ),
    (
        "the variance by a quarter with one step",
        1.2,
        1.3,
        lambda: selu(gain=2**0.05)[1],
    ),
    (
        "the variance by a quarter with one step",
        0.7,
        0.8,
        lambda: selu(gain=2**-0.05)[1],
    ),
    (
        "At 1.41 it is in the hundreds at the top",
        200,
        500,
        lambda: selu(gain=2**0.5)[1],
    ),
    ("at 0.5 the net is silent", 0, 1e-6, lambda: selu(gain=0.5)[1]),
    (
        "the gradient grows by 3 to 4 % a layer",
        1.03,
        1.04,
        lambda: math.sqrt(selu(200)[2]),
    ),
    # 5. Luck with directions.
    (
        "A linear net of 10 units a layer, 60 layers",
        10,
        10,
        lambda: of_button(5)["width"],
    ),
    (
        "A linear net of 10 units a layer, 60 layers",
        60,
        60,
        lambda: of_button(5)["depth"],
    ),
    ("The line is flat", 0, 1e-9, lambda: np.ptp(line(of_button(5))[0])),
    (
        "nearly always loses most of its mean square",
        0.85,
        1,
        lambda: (nets(of_button(5), last) < 0.5).mean(),
    ),
    (
        "a random factor that is 1 only on average",
        -3,
        3,
        lambda: off_average(nets(of_button(5, depth=1, width=100), last, range(200))),
    ),
    (
        "Orthogonal weights keep every length",
        0,
        1e-9,
        lambda: flatness(of_button(5, initializer="orthogonal")),
    ),
    (
        "That ends where an activation bends",
        0.5,
        1,
        lambda: flatness(of_button(5, initializer="orthogonal", activation="tanh")),
    ),
]
