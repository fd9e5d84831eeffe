"""The book's figure style, and what a figure draws as arrays.

Only notebooks and studies import this module.
"""

import matplotlib as mpl
import numpy as np
from matplotlib.collections import (
    FillBetweenPolyCollection,
    LineCollection,
    PathCollection,
    PolyCollection,
)
from matplotlib.image import AxesImage
from matplotlib.quiver import Quiver

#: Okabe & Ito's colors, which color-blind readers can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

# Of PolyCollection's kinds those whose paths are all there is: no hexagons.
_AREAS = (PolyCollection, FillBetweenPolyCollection)


def use_style():
    """Set the book's style: size 3.5 x 2.5 inches, Okabe & Ito's colors.

    Examples
    --------
    >>> use_style()
    >>> mpl.rcParams["figure.figsize"]
    [3.5, 2.5]
    """
    mpl.rcParams.update(
        {
            "axes.prop_cycle": mpl.cycler(color=COLORS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": 200,
            "figure.figsize": (3.5, 2.5),
            "font.size": 8,
            "image.cmap": "cividis",
            "legend.frameon": False,
            "lines.linewidth": 1.5,
        }
    )


def table(axes, values, *, rows, columns, half, colors=None):
    """Draw a table of numbers on a diverging scale: purple low, orange high.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    values : ndarray of shape (n_rows, n_columns)
        Written into the cells.
    rows, columns : sequence
        The labels.
    half : float, above 0
        The color scale goes from ``-half`` to `half`; white is 0.
    colors : ndarray of shape (n_rows, n_columns), optional
        What the colors show; `values` by default.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> table(axes, np.array([[0.5, -100.0]]), rows=["a"], columns=[1, 2], half=1.0)
    >>> [text.get_text() for text in axes.texts]
    ['0.5', '-100']
    """
    colors = values if colors is None else colors
    axes.imshow(colors, cmap="PuOr_r", vmin=-half, vmax=half, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        ink = "white" if abs(colors[i, j]) > 0.6 * half else "black"
        text = f"{value:.2g}" if abs(value) < 99.5 else f"{value:.0f}"
        axes.text(j, i, text, ha="center", va="center", size=6, color=ink)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)


def critical_difference(axes, mean_ranks, names, *, cd, cliques):
    """Draw which methods differ: mean ranks on a line, the best at the left.

    A bar joins methods that the data do not tell apart; the topmost bar is `cd` long.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        5 x 2.5 inches have room for ten methods; each further pair needs 0.15 inches.
    mean_ranks : array of shape (n_methods,)
    names : sequence of n_methods str
    cd : float
        How far two mean ranks must be apart for their methods to differ.
    cliques : sequence of sequences of int
        The numbers of the methods that each bar joins.

    Returns
    -------
    matplotlib.axes.Axes

    Notes
    -----
    Source: Demšar (2006), figure 1(a), where the best is at the right.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> axes = critical_difference(axes, [1.5, 2.5, 2.0], "abc", cd=0.75,
    ...                            cliques=[(0, 2), (2, 1)])
    >>> [text.get_text() for text in axes.texts]
    ['CD = 0.75', 'a', 'c', 'b']
    """
    ranks = np.asarray(mean_ranks, float)
    low = np.floor(ranks.min())
    high = max(np.ceil(ranks.max()), low + cd)
    bar = {"linewidth": 3, "solid_capstyle": "butt"}
    axes.plot([low, low + cd], [1.6, 1.6], color=COLORS[1], **bar)
    axes.text(low, 1.9, f"CD = {cd:.2f}", color=COLORS[1], va="bottom")
    for i, clique in enumerate(cliques):
        ends = ranks[list(clique)].min(), ranks[list(clique)].max()
        axes.plot(ends, np.full(2, -0.5 - 0.5 * i), color=COLORS[0], **bar)
    order = np.argsort(ranks, kind="stable")
    half = (len(order) + 1) // 2
    sides = (order[:half], low, "right"), (order[: half - 1 : -1], high, "left")
    for side, edge, align in sides:  # each from the outermost name inward
        for i, j in enumerate(side):
            y = -1 - 0.5 * len(cliques) - i
            axes.plot([ranks[j], ranks[j], edge], [0, y, y], "k", linewidth=0.8)
            axes.annotate(
                names[j],
                (edge, y),
                (-3 if align == "right" else 3, 0),
                textcoords="offset points",
                ha=align,
                va="center",
            )
    axes.set(xlim=(low, high), ylim=(-1 - 0.5 * len(cliques) - half, 3), yticks=[])
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.spines["top"].set(position=("data", 0), visible=True)
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axes.set_xlabel("mean rank (best at the left)")
    axes.xaxis.set_label_position("bottom")
    return axes


def drawn(figure):
    """Collect the arrays that a figure draws: lines, bars, areas, points and more.

    Parameters
    ----------
    figure : matplotlib.figure.Figure

    Returns
    -------
    dict of str to ndarray
        Named by panel, kind and number, such as ``"panel 0 line 1"``.  They come
        from what matplotlib holds, so that nothing drawn is left out.

    Raises
    ------
    TypeError
        If the figure holds a kind of artist that is not known here.
    ValueError
        If it draws nothing.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> _ = figure.subplots().plot([1.0, 2.0], [3.0, 4.0])
    >>> drawn(figure)
    {'panel 0 line 0': array([[1., 3.],
           [2., 4.]])}
    """
    for artist in (*figure.lines, *figure.patches, *figure.images, *figure.artists):
        raise _unknown(artist)  # beside the panels
    arrays = {}
    panels = [panel for axes in figure.axes for panel in (axes, *axes.child_axes)]
    for i, axes in enumerate(panels):
        artists = [*axes.lines, *axes.patches, *axes.collections, *axes.images]
        artists += [*axes.artists, *axes.tables]
        counts = {}
        for artist in artists:
            kind, array = _data(artist)
            n = counts[kind] = counts.get(kind, -1) + 1
            arrays[f"panel {i} {kind} {n}"] = array
    if not arrays:
        raise ValueError("drawn: `figure` must draw something; got an empty one.")
    return arrays


def _data(artist):
    """Return the kind of an artist and the array behind it."""
    if isinstance(artist, mpl.lines.Line2D):
        return "line", np.column_stack(artist.get_data(orig=False))
    if isinstance(artist, mpl.patches.Rectangle):
        return "bar", np.array(artist.get_bbox().bounds)
    if isinstance(artist, AxesImage):
        return "image", np.ma.filled(artist.get_array().astype(float), np.nan)
    if isinstance(artist, PathCollection):
        columns = [artist.get_offsets()]
        if artist.get_array() is not None:  # colors
            columns.append(artist.get_array())
        if len(artist.get_sizes()) > 1:
            columns.append(artist.get_sizes())
        return "points", np.column_stack([np.ma.filled(c, np.nan) for c in columns])
    if isinstance(artist, Quiver):
        columns = [artist.XY, artist.U, artist.V]
        if artist.get_array() is not None:  # colors
            columns.append(artist.get_array())
        return "arrows", np.column_stack([np.ma.filled(c, np.nan) for c in columns])
    if isinstance(artist, LineCollection):
        return "segments", np.concatenate([np.empty((0, 2)), *artist.get_segments()])
    if type(artist) in _AREAS:
        return "area", np.concatenate([p.vertices for p in artist.get_paths()])
    raise _unknown(artist)


def _unknown(artist):
    return TypeError(
        "drawn: `figure` must hold lines, segments, bars, areas, arrows, points and "
        f"images; got a {type(artist).__name__}."
    )
