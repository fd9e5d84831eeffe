"""The still pictures of the explorables, for readers without scripts and for print.

``make pictures`` draws them with `companion` at the settings that a page starts from.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from companion.activations import tanh, tanh_grad
from companion.initializers import lecun_normal
from companion.plotting import COLORS, use_style
from companion.self_normalization import fixed_point, iterate, moments

FOLDER = Path(__file__).parents[1] / "book" / "_static" / "explorables"


def signal_through_depth(depth=30, width=100, rows=50):
    """Draw what thirty layers of tanh do to a signal and to a gradient."""
    rng = np.random.default_rng(0)
    h, zs, weights = [rng.standard_normal((rows, width))], [], []
    for _ in range(depth):
        weights.append(lecun_normal((width, width), rng=rng))
        zs.append(h[-1] @ weights[-1])
        h.append(tanh(zs[-1]))
    deltas = [rng.standard_normal((rows, width))]
    for z, w in zip(zs[-2::-1], weights[:0:-1], strict=True):
        deltas.append(deltas[-1] @ w.T * tanh_grad(z))
    norms = np.array([np.linalg.norm(delta) for delta in deltas[::-1]])
    squares, factors = predicted(depth)
    down = np.sqrt(np.cumprod([1, *factors[-2::-1]])[::-1])

    figure = Figure(figsize=(3.5, 4.6))
    top, middle, bottom = figure.subplots(3, 1, height_ratios=[1.3, 1, 1])
    edges = np.linspace(-4, 4, 65)
    counts = np.array([np.histogram(layer, edges)[0] for layer in h]).T
    cells = np.sqrt(counts / counts.max(axis=0))
    box = (-0.5, depth + 0.5, -4, 4)
    top.imshow(cells, cmap="Blues", extent=box, origin="lower", aspect="auto")
    mean, std = np.array([[layer.mean(), layer.std()] for layer in h]).T
    for line in (mean - std, mean, mean + std):
        top.plot(range(depth + 1), line, color=COLORS[1], linewidth=0.7)
    top.set(ylabel="outputs $h_l$", ylim=(-4, 4))
    middle.plot(range(depth + 1), squares, color=COLORS[1])
    measured = [(layer**2).mean() for layer in h]
    middle.plot(range(depth + 1), measured, ".", color=COLORS[0], markersize=4)
    middle.set(yscale="log", ylabel="mean square $q_l$")
    layers = np.arange(1, depth + 1)
    bottom.plot(layers, down, color=COLORS[1], label="predicted")
    simulated = {"color": COLORS[0], "markersize": 4, "label": "simulated"}
    bottom.plot(layers, norms / norms[-1], ".", **simulated)
    bottom.set(yscale="log", xlabel="layer $l$", ylim=(0.09, 1.5))
    bottom.set_ylabel(r"$\|\delta_l\|\, /\, \|\delta_L\|$")
    bottom.legend(loc="lower right")
    for axes in (top, middle, bottom):
        axes.set_xlim(-0.5, depth + 0.5)
    return figure


def predicted(depth):
    """Return the mean squares from the inputs on, and each layer's factor chi."""
    t = np.linspace(-8, 8, 20_001)
    density = np.exp(-(t**2) / 2)
    density /= density.sum()
    squares, factors = [1.0], []
    for _ in range(depth):
        z = np.sqrt(squares[-1]) * t
        squares.append(density @ tanh(z) ** 2)
        factors.append(density @ tanh_grad(z) ** 2)
    return squares, factors


def self_normalizing_map(start=(1.0, 3.0), omega=0.5, tau=1.0):
    """Draw the map of mean and variance, with its fixed point and one path."""
    weights = {"weight_sum": omega, "weight_sumsq": tau}
    grid = np.meshgrid(np.linspace(-1.5, 1.5, 11), np.linspace(0.3, 3.7, 10))
    steps = np.array(moments(*grid, **weights)) - grid
    steps *= 0.35 * np.tanh(1 / np.hypot(*steps))  # long arrows are shortened
    figure = Figure(figsize=(3.5, 3))
    axes = figure.subplots()
    axes.quiver(*grid, *steps, color="0.6", angles="xy", scale_units="xy", scale=1)
    axes.plot(*iterate(*start, 20, **weights), ".-", color=COLORS[1], linewidth=1)
    axes.plot(*start, "o", color=COLORS[1])
    axes.plot(*fixed_point(**weights), "*", color=COLORS[0], markersize=10)
    axes.set(xlabel=r"mean $\mu$", ylabel=r"variance $\nu$", ylim=(0, 4))
    return figure


PICTURES = {
    "signal_through_depth": signal_through_depth,
    "self_normalizing_map": self_normalizing_map,
}


def save(figure, path):
    """Write a picture without what would differ from one run to the next."""
    figure.savefig(path, format="png", dpi=160, metadata={"Software": None})


def main():
    use_style()
    for name, draw in PICTURES.items():
        part = FOLDER / f"{name}.part"
        save(draw(), part)
        part.replace(part.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(main())
