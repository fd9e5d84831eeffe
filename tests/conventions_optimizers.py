"""The optimizers of the page of framework conventions, each measured on one weight.

A measure takes what makes an optimizer, and the class that steps it.  It returns what
is printed, and raises where none of the rules that it knows gives every step.
"""

import functools
import inspect
import math

import keras
import numpy as np
import torch

from companion import training
from companion.mlp import PReLU

HEADER = ("", "`companion`", "PyTorch", "Keras", "`like` agrees with")

#: What the optimizers are called: in companion, in PyTorch, in Keras.
NAMES = {
    "SGD": ("SGD", "SGD", "SGD"),
    "RMSProp": ("RMSProp", "RMSprop", "RMSprop"),
    "Adam": ("Adam", "Adam", "Adam"),
    "Nadam": ("Nadam", "NAdam", "Nadam"),
    "AdamW": ("AdamW", "AdamW", "AdamW"),
}

#: The momentum and the decay of mean squares that are asked for.  Like the rates, they
#: are exact in float32, to which Keras rounds some of them.
MU, RHO = 0.75, 0.75
#: A gradient beside which no epsilon counts, and one that does not count beside any.
LARGE, SMALL = 2.0**40, 2.0**-100


def optimizers():
    r"""What a step takes from a weight of gradient $g$ at a learning rate $\eta$, where
    $\mu$ is the momentum, and $v'$ what becomes of the velocity $v$: the place of the
    rate matters as soon as it changes. Epsilon keeps the root of a mean square from
    being 0; Adam and Nadam correct the root for its start at 0, and it is raw before
    that. Nadam's momentum decay is $\psi$ in $\mu_t = \beta_1 (1-0.96^{\psi t}/2)$ of
    step $t$, and where there is none, $\mu_t = \beta_1$. The last column tells which
    framework does the same as what `like("torch")` or `like("keras")` makes of
    `companion`; these must be given a learning rate.
    """
    nesterov = functools.partial(momentum, nesterov=True)
    of_rmsprop = functools.partial(epsilon, rho=RHO)
    of_adam = functools.partial(epsilon, beta_1=0.0, beta_2=RHO)
    return [
        row("SGD: default learning rate", "SGD", learning_rate),
        row("RMSProp: default learning rate", "RMSProp", learning_rate),
        row("Adam: default learning rate", "Adam", learning_rate),
        row("Nadam: default learning rate", "Nadam", learning_rate),
        row("momentum: step", "SGD", momentum),
        row("Nesterov's momentum: step", "SGD", nesterov),
        row("RMSProp: share of the mean square kept", "RMSProp", share_kept),
        row("RMSProp: epsilon", "RMSProp", of_rmsprop),
        row("Adam: both betas", "Adam", betas),
        row("Adam: epsilon", "Adam", of_adam),
        row("Nadam: epsilon", "Nadam", of_adam),
        row("Nadam: momentum decay", "Nadam", momentum_decay),
        row("momentum: weight decay", "SGD", functools.partial(decay, momentum=MU)),
        row("Adam: weight decay", "Adam", decay),
        row("AdamW: weight decay", "AdamW", decay),
        row("AdamW: default weight decay", "AdamW", default_decay),
    ]


def row(label, name, measure):
    """Measure one thing in each framework, and what `like` makes of `companion`."""
    modules = training, torch.optim, keras.optimizers
    makes = [
        getattr(module, word, None)
        for module, word in zip(modules, NAMES[name], strict=True)
    ]
    ours, *theirs = (
        "none" if make is None else measure(make, on)
        for make, on in zip(makes, (OwnWeight, TorchWeight, KerasWeight), strict=True)
    )
    alike = [
        "none" if makes[0] is None else measure(like(makes[0], convention), OwnWeight)
        for convention in ("torch", "keras")
    ]
    return [label, ours, *theirs, agreement(alike, theirs)]


def like(make, convention):
    return functools.partial(make.like, convention)


def agreement(alike, theirs):
    """Name those of PyTorch and Keras of which the measurement is the same."""
    if alike == theirs:
        return "both"
    names = zip(("PyTorch", "Keras"), alike, theirs, strict=True)
    return next((name for name, one, other in names if one == other), "neither")


def number(x):
    """Print four digits."""
    return f"{x:.4g}"


def fitting(candidates, measured):
    """Return the name of the one sequence of numbers that was measured."""
    found = [
        name
        for name, expected in candidates.items()
        # Rounding is a millionth of that, and the rules differ by percents.
        if np.allclose(measured, expected, rtol=1e-9, atol=0)
    ]
    if len(found) != 1:
        raise ValueError(
            f"fitting: one of {len(candidates)} rules must fit; got {found}."
        )
    return found[0]


# --- one weight -----------------------------------------------------------------------
class OwnWeight:
    """A weight that an optimizer of companion moves."""

    def __init__(self, make, **settings):
        self.layer = PReLU()
        self.optimizer = make(1.0, **settings)

    def step(self, gradient, weight=0.0, rate=1.0):
        """Return what a step takes from the weight."""
        self.layer.parameters["alpha"] = np.array([weight])
        self.layer.gradients = {"alpha": np.array([gradient])}
        self.optimizer.learning_rate = rate
        self.optimizer.step([self.layer])
        return weight - self.layer.parameters["alpha"].item()


class TorchWeight:
    """The same for an optimizer of PyTorch, which has other words for the settings."""

    def __init__(self, make, **settings):
        parameters = inspect.signature(make).parameters
        if "rho" in settings:
            settings["alpha"] = settings.pop("rho")
        if "betas" in parameters:
            defaults = zip(
                ("beta_1", "beta_2"), parameters["betas"].default, strict=True
            )
            settings["betas"] = tuple(settings.pop(*default) for default in defaults)
        self.weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.optimizer = make([self.weight], lr=1.0, **settings)

    def step(self, gradient, weight=0.0, rate=1.0):
        torch.nn.init.constant_(self.weight, weight)
        self.weight.grad = torch.tensor(gradient, dtype=torch.float64)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        return weight - self.weight.item()


class KerasWeight:
    """The same for an optimizer of Keras."""

    def __init__(self, make, **settings):
        self.weight = keras.Variable(0.0, dtype="float64")
        self.optimizer = make(1.0, **settings)

    def step(self, gradient, weight=0.0, rate=1.0):
        self.weight.assign(weight)
        self.optimizer.learning_rate = rate
        tensor = keras.ops.convert_to_tensor(gradient, "float64")
        self.optimizer.apply([tensor], [self.weight])
        return weight - self.weight.numpy().item()


# --- measures -------------------------------------------------------------------------
def learning_rate(make, on):
    parameters = inspect.signature(make).parameters
    default = parameters["lr" if "lr" in parameters else "learning_rate"].default
    return "must be given" if default is inspect.Parameter.empty else number(default)


#: What becomes of the velocity, and what is then taken from the weight, by what both
#: are together; of the rate, the gradient and the velocity.
RULES = {
    r"$\eta v'$, $v' = \mu v + g$": (
        lambda r, g, v: MU * v + g,
        lambda r, g, v: r * v,
    ),
    r"$v'$, $v' = \mu v + \eta g$": (
        lambda r, g, v: MU * v + r * g,
        lambda r, g, v: v,
    ),
    r"$\eta (\mu v' + g)$, $v' = \mu v + g$": (
        lambda r, g, v: MU * v + g,
        lambda r, g, v: r * (MU * v + g),
    ),
    r"$\mu v' + \eta g$, $v' = \mu v + \eta g$": (
        lambda r, g, v: MU * v + r * g,
        lambda r, g, v: MU * v + r * g,
    ),
}


def momentum(make, on, **settings):
    """Name the rule of three steps of different rates."""
    steps = [(1.0, 1.0), (0.25, 2.0), (0.5, 4.0)]
    weight = on(make, momentum=MU, **settings)
    measured = [weight.step(g, rate=r) for r, g in steps]
    candidates = {}
    for name, (velocity, taken) in RULES.items():
        v, candidates[name] = 0.0, []
        for r, g in steps:
            v = velocity(r, g, v)
            candidates[name].append(taken(r, g, v))
    return fitting(candidates, measured)


def share_kept(make, on):
    """Return rho, for which the first step has length 1 / sqrt(1 - rho)."""
    return number(1 - on(make).step(LARGE) ** -2)


#: Where an epsilon e stands in what the gradient is divided by, and the e of which that
#: is q if s is 0; s is the mean square, and s / c has been corrected for its start.
PLACES = {
    "outside the root": (
        lambda s, c, e: math.sqrt(s) + e,
        lambda q, c: q,
    ),
    "inside the root": (
        lambda s, c, e: math.sqrt(s + e),
        lambda q, c: q**2,
    ),
    "outside the corrected root": (
        lambda s, c, e: math.sqrt(s / c) + e,
        lambda q, c: q,
    ),
    "inside the corrected root": (
        lambda s, c, e: math.sqrt(s / c + e),
        lambda q, c: q**2,
    ),
    "outside the raw root": (
        lambda s, c, e: (math.sqrt(s) + e) / math.sqrt(c),
        lambda q, c: q * math.sqrt(c),
    ),
    "inside the raw root": (
        lambda s, c, e: math.sqrt((s + e) / c),
        lambda q, c: q**2 * c,
    ),
}


def epsilon(make, on, **settings):
    """Return epsilon and its place, as seen in steps of tiny and of larger gradients.

    The settings are a decay RHO of the mean square, and that of the gradients, if any,
    is 0.
    """

    def quotients(g):
        weight = on(make, **settings)
        return [g / weight.step(g) for _ in corrections]

    corrections = [1 - RHO, 1 - RHO**2]
    (q, _) = tiny = quotients(SMALL)
    measured = [*tiny, *quotients(q)]
    epsilons, candidates = {}, {}
    for name, (quotient, solved) in PLACES.items():
        e = epsilons[name] = solved(q, corrections[0])
        candidates[name] = [
            quotient(g**2 * c, c, e) for g in (SMALL, q) for c in corrections
        ]
    place = fitting(candidates, measured)
    return f"{number(epsilons[place])}, {place}"


def betas(make, on):
    """Return both, from a gradient after none: sqrt(1 + beta_2) / (1 + beta_1)."""
    first = on(make, beta_2=RHO)
    second = on(make, beta_1=0.0)
    for weight in (first, second):
        weight.step(0.0)
    beta_1 = math.sqrt(1 + RHO) / first.step(LARGE) - 1
    beta_2 = second.step(LARGE) ** 2 - 1
    return f"{number(beta_1)}, {number(beta_2)}"


def momentum_decay(make, on):
    """Return psi, or none, from mu_3, of a beta_1 so small that mu_1 mu_2 is nothing.

    A gradient of 0 after another one is then a step of mu_3 beta_1 (1 - beta_1) times
    the root of 1 + 1 / beta_2.
    """
    beta_1 = 2.0**-30
    weight = on(make, beta_1=beta_1, beta_2=RHO)
    weight.step(LARGE)
    mu = weight.step(0.0) / (beta_1 * (1 - beta_1) * math.sqrt(1 + 1 / RHO))
    left = 1 - mu / beta_1
    if abs(left) < 1e-9:  # nothing but rounding
        return "none"
    return number(math.log(2 * left, 0.96) / 3)


def decay(make, on, **settings):
    """Tell whether weight decay is a gradient, or a part of the step of its own."""
    if "weight_decay" not in inspect.signature(make).parameters:
        return "none"
    weight, rate, share = 1.0, 2.0**-4, 2.0**-6
    decaying = on(make, weight_decay=share, **settings)
    without = on(make, weight_decay=0.0, **settings)
    measured = [decaying.step(0.0, weight, rate) for _ in range(2)]
    candidates = {
        "added to the gradient": [
            without.step(share * weight, weight, rate) for _ in range(2)
        ],
        "apart from the gradient": [rate * share * weight] * 2,
    }
    return fitting(candidates, measured)


def default_decay(make, on):
    return number(inspect.signature(make).parameters["weight_decay"].default)
