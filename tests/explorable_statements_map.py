"""What the page "The self-normalizing map" states, and the number that stands for it.

A row is a quote, the least and the most that its words can mean, and what computes the
number, from the settings of the button beside it.
"""

import math

import numpy as np
from explorable_maps import (
    PAGE,
    RATES,
    SELU,
    alpha_dropout,
    drawn_path,
    drops,
    everywhere,
    frame_is_that_of_the_theorem,
    layers_until,
    moved,
    nearest_lambda,
    of,
    of_button,
    of_theorem,
    path,
    radius,
    settled,
    star,
    starts,
    towards,
)
from explorable_texts import constant

from companion.self_normalization import constants, jacobian, moments

__all__ = ["PAGE", "STATEMENTS"]

STATEMENTS = [
    # The still picture.
    (
        "whose weights sum to one half, and their squares to 1",
        1,
        1,
        lambda: starts()[0][1:] == starts()[1][1:] == [0.5, 1],
    ),
    (
        "from mean 1 and variance 3 on",
        1,
        1,
        lambda: starts()[0][0] == starts()[1][0] == (1, 3),
    ),
    ("The dots are 20 layers", 20, 20, lambda: len(drawn_path()[1])),
    (
        "arrows that all lead towards a star at mean 0 and variance 1",
        0.7,
        1,
        towards,
    ),
    (
        "starts at mean 1 and variance 3, comes nearer with every layer",
        -1,
        0,
        lambda: np.diff(drawn_path()[0]).max(),
    ),
    ("in ever smaller steps", -1, 0, lambda: np.diff(drawn_path()[1]).max()),
    ("ends almost at the star", 0, 0.05, lambda: drawn_path()[0][-1]),
    # What to look at, and how it is computed.
    ("The dashed frame is the domain", 1, 1, frame_is_that_of_the_theorem),
    (r"for $|\omega| \le 1/10$", 0.1, 0.1, lambda: of_theorem("omega")),
    (r"$19/20 \le \tau", 0.95, 0.95, lambda: of_theorem("tau")[0]),
    (r"\tau \le 11/10$", 1.1, 1.1, lambda: of_theorem("tau")[1]),
    (
        "two hundred layers from $(0, 1)$",
        200,
        200,
        lambda: constant("fixed_point", r"i >= (\d+)"),
    ),
    (
        "and ten of Newton's steps",
        10,
        10,
        lambda: constant("fixed_point", r"i < (\d+)") - 200,
    ),
    # 1. How far does it reach?
    ("weights that sum to 0 and squares", 0, 0, lambda: of_button(1)["omega"]),
    ("squares that sum to 1, is there", 1, 1, lambda: of_button(1)["tau"]),
    ("From all of them it does", 0, 0.01, everywhere),
    (
        r"forgets which mean came in, since the mean of $z$ is $\mu\omega$, which is 0",
        0,
        1e-15,
        lambda: np.ptp([path(of_button(1, mean=m))[1, 1] for m in (-2, 0, 2)]),
    ),
    ("from far below longest", 3, 10, lambda: layers_until(0.02) - layers_until(4)),
    # 2. A tenth too much.
    ("the weights sum to 11/10 instead of 1", 1.1, 1.1, lambda: of_button(2)["tau"]),
    (
        "The error of a tenth grows to four tenths in the variance",
        0.35,
        0.45,
        lambda: star(of_button(2))[1] - 1,
    ),
    (
        "Each layer undoes only part",
        0.5,
        0.9,
        lambda: jacobian(0.0, 1.0, **of(of_button(2, tau=1)))[1, 1],
    ),
    (
        "Just below three halves the star leaves",
        3.5,
        4,
        lambda: star(of_button(2, tau=1.45))[1],
    ),
    (
        "Just below three halves the star leaves",
        4,
        4.5,
        lambda: star(of_button(2, tau=1.49))[1],
    ),
    ("the star leaves its frame", 1, 1.5, lambda: star(of_button(2, tau=1.1))[1]),
    (
        "stops at 11/10 for a reason: a little above, the star leaves its frame",
        1.5,
        2,
        lambda: star(of_button(2, tau=1.15))[1],
    ),
    # 3. A fixed point that repels.
    (
        r"mean 0 and variance 1 stay where they are whatever the sum $\omega$ is",
        0,
        1e-14,
        lambda: max(moved(omega) for omega in np.linspace(-1.5, 1.5, 7)),
    ),
    (
        "an eigenvalue of the Jacobian is larger than 1",
        1.05,
        2,
        lambda: radius(of_button(3)),
    ),
    ("From a mean of 1/10", 0.1, 0.1, lambda: of_button(3)["mean"]),
    ("it runs away", 10, 1e3, lambda: path(of_button(3))[-1, 1]),
    (
        "from $-1/10$ the variance dies out",
        0,
        1e-9,
        lambda: path(of_button(3, mean=-0.1))[-1, 1],
    ),
    # 4. Other constants.
    (r"$\alpha = 1$ and $\lambda = 1$", 1, 1, lambda: of_button(4)["alpha"]),
    (r"$\alpha = 1$ and $\lambda = 1$", 1, 1, lambda: of_button(4)["scale"]),
    ("It fades, slowly", 1e-3, 1e-2, lambda: path(of_button(4))[-1, 1]),
    (
        "a layer always makes the variance smaller",
        0,
        1,
        lambda: max(
            moments(0.0, v, **of(of_button(4)))[1] / v
            for v in np.geomspace(1e-3, 10, 50)
        ),
    ),
    (
        "1.27 holds it at 1",
        1.265,
        1.275,
        lambda: moments(0.0, 1.0, **of(of_button(4)))[1] ** -0.5,
    ),
    (
        "1.27 holds it at 1",
        0.98,
        1.02,
        lambda: star(of_button(4, scale=nearest_lambda()))[1],
    ),
    (
        "the mean then rests at one fifth",
        0.19,
        0.21,
        lambda: star(of_button(4, scale=nearest_lambda()))[0],
    ),
    (
        r"for mean 0 $\alpha$ must fit as well. Two wishes, two constants",
        0,
        1e-12,
        lambda: max(abs(a - b) for a, b in zip(constants(), SELU, strict=True)),
    ),
    # 5. Dropout.
    ("Plain dropout keeps the mean", -3, 3, lambda: drops(1)),
    ("and raises the variance, in every layer", -3, 3, lambda: drops(2)),
    (
        "the star rises",
        0.1,
        2,
        lambda: np.diff([settled(r) for r in (0, 0.1, 0.2, 0.25)]).min(),
    ),
    ("a little above a rate of 1/4 it leaves", 3, 4, lambda: settled(0.25)),
    ("a little above a rate of 1/4 it leaves", 4, 5, lambda: settled(0.28)),
    (
        "Alpha dropout leaves it at its place at any rate",
        0,
        1e-12,
        lambda: max(abs(alpha_dropout(r)[1] - 1) for r in RATES),
    ),
    (
        "it even attracts more strongly",
        0,
        0.99,
        lambda: max(alpha_dropout(r)[2] for r in RATES),
    ),
    (
        "at a rate of one half nothing settles",
        1e9,
        math.inf,
        lambda: settled(0.5, random=True),
    ),
    (
        "do not sum to exactly 0. Then it is worse still",
        1.5,
        2,
        lambda: settled(0.4, random=True) / settled(0.4),
    ),
]
