"""What the page "Signal through depth" states, and the number that stands for it.

A row is a quote, the least and the most that its words can mean, and what computes the
number, from the settings of the button beside it.
"""

import math

import numpy as np
from explorable_nets import (
    LOGISTIC,
    PAGE,
    T,
    alikeness,
    back_in_order,
    drawn,
    flat,
    flatness,
    gone_together,
    gradient,
    last,
    line,
    narrowing,
    nets,
    of_button,
    off_average,
    relu_factors,
    same_weights,
    selu,
    selu_off,
    slowing,
    starts,
    strays,
    tanh,
)
from explorable_texts import constant

from companion import activations

__all__ = ["PAGE", "STATEMENTS"]

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
