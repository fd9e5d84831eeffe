"""Figures: what they draw is collected without exception, and the book's style."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredText

from companion.plotting import (
    COLORS,
    critical_difference,
    drawn,
    table,
    use_style,
)


@pytest.fixture(autouse=True)
def _settings():
    """Start from matplotlib's own settings, and leave them as they were."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.use("Agg")
        yield


def axes_of(n=1):
    figure = Figure()
    return figure, figure.subplots(1, n, squeeze=False)[0]


X = np.array([1.0, 2.0, 4.0, 5.0])
Y = np.array([3.0, -1.0, 0.5, 2.0])
Z = np.array([0.25, 0.5, 1.0, 0.125])
IMAGE = np.arange(6.0).reshape(2, 3) / 7


# --- what is drawn --------------------------------------------------------------------
def test_lines_are_their_points():
    figure, (axes,) = axes_of()
    axes.plot(X, Y, "o-", X, Z)
    axes.axhline(0.5)
    arrays = drawn(figure)
    assert list(arrays) == [f"panel 0 line {i}" for i in range(3)]
    np.testing.assert_array_equal(arrays["panel 0 line 0"], np.column_stack([X, Y]))
    np.testing.assert_array_equal(arrays["panel 0 line 1"], np.column_stack([X, Z]))
    np.testing.assert_array_equal(arrays["panel 0 line 2"], [[0, 0.5], [1, 0.5]])


def test_bars_are_their_corners_and_sizes():
    figure, (axes,) = axes_of()
    axes.bar(X, Z, width=0.5, bottom=Y)
    arrays = drawn(figure)
    assert list(arrays) == [f"panel 0 bar {i}" for i in range(4)]
    expected = np.column_stack([X - 0.25, Y, np.full(4, 0.5), Z])
    np.testing.assert_allclose(list(arrays.values()), expected, rtol=1e-15)


def test_histogram_is_its_counts():
    figure, (axes,) = axes_of()
    counts, edges, _ = axes.hist(Y, bins=3)
    bars = np.array(list(drawn(figure).values()))
    np.testing.assert_allclose(bars[:, 3], counts)
    np.testing.assert_allclose(bars[:, 0], edges[:-1])
    np.testing.assert_allclose(bars[:, 2], np.diff(edges))


def test_area_is_its_two_edges():
    figure, (axes,) = axes_of()
    axes.fill_between(X, Y, Y + Z)
    arrays = drawn(figure)
    assert list(arrays) == ["panel 0 area 0"]
    corners = {tuple(p) for p in arrays["panel 0 area 0"]}
    assert corners == {*zip(X, Y, strict=True), *zip(X, Y + Z, strict=True)}


def test_area_in_pieces_is_all_of_them():
    figure, (axes,) = axes_of()
    x, y = np.arange(7.0), np.array([1.0, 2, 9, 9, 9, 3, 4])
    axes.fill_between(x, 0, y, where=y < 9)
    (area,) = drawn(figure).values()
    assert {1, 2, 3, 4} <= set(area[:, 1])
    assert 9 not in area[:, 1]


def test_points_are_their_offsets():
    figure, (axes,) = axes_of()
    axes.scatter(X, Y)
    arrays = drawn(figure)
    assert list(arrays) == ["panel 0 points 0"]
    np.testing.assert_array_equal(arrays["panel 0 points 0"], np.column_stack([X, Y]))


def test_error_bars_are_their_ends():
    figure, (axes,) = axes_of()
    axes.errorbar(X, Y, yerr=Z, xerr=[Z, 2 * Z], fmt="o", capsize=2)
    arrays = drawn(figure)
    points = arrays["panel 0 line 0"].astype(float)
    np.testing.assert_array_equal(points, np.column_stack([X, Y]))
    ends = np.stack([[X - Z, Y], [X + 2 * Z, Y]]).transpose(2, 0, 1).reshape(-1, 2)
    np.testing.assert_array_equal(arrays["panel 0 segments 0"], ends)
    ends = np.stack([[X, Y - Z], [X, Y + Z]]).transpose(2, 0, 1).reshape(-1, 2)
    np.testing.assert_array_equal(arrays["panel 0 segments 1"], ends)
    caps = [f"panel 0 line {i}" for i in range(1, 5)]
    assert list(arrays) == ["panel 0 line 0", *caps, *list(arrays)[-2:]]


@pytest.mark.parametrize(
    "image",
    [
        IMAGE,
        np.arange(6).reshape(2, 3),
        IMAGE > 0.5,
        np.arange(24, dtype="uint8").reshape(2, 3, 4),
    ],
)
def test_images_are_their_pixels(image):
    figure, (axes,) = axes_of()
    axes.imshow(image)
    arrays = drawn(figure)
    assert list(arrays) == ["panel 0 image 0"]
    np.testing.assert_array_equal(arrays["panel 0 image 0"], image)


@pytest.mark.parametrize("image", [IMAGE, np.arange(6).reshape(2, 3)])
def test_masked_pixels_are_no_numbers(image):
    figure, (axes,) = axes_of()
    axes.imshow(np.ma.masked_array(image, np.eye(2, 3, dtype=bool)))
    (pixels,) = drawn(figure).values()
    np.testing.assert_array_equal(np.isnan(pixels), np.eye(2, 3, dtype=bool))


def test_panels_are_numbered_and_so_is_what_they_hold():
    figure, (left, middle, right) = axes_of(3)
    left.plot(X, Y)
    left.fill_between(X, Y, Z)
    left.plot(X, Z)
    middle.set_title("nothing")
    right.imshow(IMAGE)
    right.plot(Y)
    right.twinx().plot(Z)
    arrays = drawn(figure)
    assert list(arrays) == [
        "panel 0 line 0",
        "panel 0 line 1",
        "panel 0 area 0",
        "panel 2 line 0",
        "panel 2 image 0",
        "panel 3 line 0",
    ]
    np.testing.assert_array_equal(arrays["panel 0 line 1"][:, 1], Z)
    np.testing.assert_array_equal(arrays["panel 2 line 0"][:, 0], range(4))
    np.testing.assert_array_equal(arrays["panel 3 line 0"][:, 1], Z)


def test_panels_of_subfigures_are_found():
    figure = Figure()
    for half, y in zip(figure.subfigures(1, 2), (Y, Z), strict=True):
        half.subplots().plot(X, y)
    arrays = drawn(figure)
    assert list(arrays) == ["panel 0 line 0", "panel 1 line 0"]
    np.testing.assert_array_equal(arrays["panel 1 line 0"][:, 1], Z)


def test_named_points_are_their_positions():
    figure, (axes,) = axes_of()
    axes.plot(["a", "b", "c", "d"], Y)
    (line,) = drawn(figure).values()
    np.testing.assert_array_equal(line.astype(float), np.column_stack([range(4), Y]))


def test_gaps_in_a_line_are_no_numbers():
    figure, (axes,) = axes_of()
    axes.plot(X, np.ma.masked_array(Y, [0, 1, 0, 0]))
    (line,) = drawn(figure).values()
    np.testing.assert_array_equal(line[:, 1], [3, np.nan, 0.5, 2])


# --- nothing that is drawn is left out ------------------------------------------------
#: Each draws with the arrays it gets; all of them must matter.
DRAWINGS = {
    "plot": (lambda axes, x, y: axes.plot(x, y), X, Y),
    "step": (lambda axes, x, y: axes.step(x, y), X, Y),
    "stem": (lambda axes, x, y: axes.stem(x, y), X, Y),
    "semilogy": (lambda axes, x, y: axes.semilogy(x, y), X, Z),
    "bar": (lambda axes, x, y, z: axes.bar(x, y, bottom=z), X, Y, Z),
    "barh": (lambda axes, x, y: axes.barh(x, y), X, Y),
    "hist": (lambda axes, y: axes.hist(y, bins=[-2, 0, 1, 4]), Y),
    "fill_between": (lambda axes, x, y, z: axes.fill_between(x, y, z), X, Y, Z),
    "scatter": (lambda axes, x, y: axes.scatter(x, y), X, Y),
    "scatter, colors": (lambda axes, x, y, z: axes.scatter(x, y, c=z), X, Y, Z),
    "scatter, sizes": (lambda axes, x, y, z: axes.scatter(x, y, s=z), X, Y, Z),
    "errorbar": (lambda axes, x, y, z: axes.errorbar(x, y, z), X, Y, Z),
    "vlines": (lambda axes, x, y, z: axes.vlines(x, y, y + z), X, Y, Z),
    "imshow": (lambda axes, image: axes.imshow(image), IMAGE),
    "table": (
        lambda axes, values, colors: table(
            axes, values, rows="ab", columns="cde", half=1, colors=colors
        ),
        IMAGE,
        IMAGE[::-1],
    ),
    "inset": (
        lambda axes, x, y: (
            axes.plot(X),
            axes.inset_axes([0.5, 0.5, 0.4, 0.4]).plot(x, y),
        ),
        X,
        Y,
    ),
    "critical difference": (
        lambda axes, ranks, cd: critical_difference(
            axes, ranks, "abcd", cd=cd[0], cliques=[(1, 2), (2, 3, 0)]
        ),
        Y,
        np.array([1.5]),
    ),
    "quiver": (lambda axes, *arrows: axes.quiver(*arrows), X, Y, Z, Y),
    "colored quiver": (lambda axes, *arrows: axes.quiver(*arrows), X, Y, Z, Y, Z),
}
#: What a table writes is text, which the page shows: it is not asked of the arrays.
UNSEEN = {("table", 0)}
CHANGES = [
    (name, which)
    for name, (_, *arrays) in DRAWINGS.items()
    for which in range(len(arrays))
    if (name, which) not in UNSEEN
]


def drawn_by(name, *arrays):
    figure, (axes,) = axes_of()
    DRAWINGS[name][0](axes, *arrays)
    return drawn(figure)


def same(a, b):
    return list(a) == list(b) and all(
        np.array_equal(a[k], b[k], equal_nan=True) for k in a
    )


@pytest.mark.parametrize(("name", "which"), CHANGES)
def test_every_array_that_is_drawn_counts(name, which):
    arrays = DRAWINGS[name][1:]
    before = drawn_by(name, *arrays)
    assert same(before, drawn_by(name, *(a.copy() for a in arrays)))
    for i in range(arrays[which].size):
        changed = [a.copy() for a in arrays]
        changed[which].flat[i] += 3.0 if name == "hist" else 1e-3
        assert not same(before, drawn_by(name, *changed)), i


@pytest.mark.parametrize("style", [{"color": "red"}, {"linewidth": 5}, {"label": "y"}])
def test_looks_do_not_count(style):
    figures = []
    for looks in ({}, style):
        figure, (axes,) = axes_of()
        axes.plot(X, Y, **looks)
        axes.set(xlabel="x", title="t")
        axes.legend(["y"])
        axes.annotate("here", (1, 1))
        figures.append(drawn(figure))
    assert same(*figures)


def test_drawing_changes_nothing():
    use_style()
    figure, (left, right) = axes_of(2)
    left.errorbar(X, Y, Z)
    left.fill_between(X, Y, Z)
    right.imshow(IMAGE)
    before = drawn(figure)
    figure.draw_without_rendering()
    assert same(before, drawn(figure))


def test_what_is_returned_is_not_the_figures_own():
    y = Y.copy()
    figure, (axes,) = axes_of()
    axes.plot(X, y)
    arrays = drawn(figure)
    arrays["panel 0 line 0"][:] = 0
    np.testing.assert_array_equal(drawn(figure)["panel 0 line 0"][:, 1], Y)


# --- refusals -------------------------------------------------------------------------
UNKNOWN = {
    "Polygon": lambda axes: axes.hist(Y, histtype="step"),
    "Wedge": lambda axes: axes.pie([1, 2]),
    "QuadMesh": lambda axes: axes.pcolormesh(IMAGE),
    "FancyArrow": lambda axes: axes.arrow(0, 0, 1, 1),
    "Circle": lambda axes: axes.add_patch(mpl.patches.Circle((0, 0))),
    "AnchoredText": lambda axes: axes.add_artist(AnchoredText("a", "upper left")),
    "Table": lambda axes: axes.table([["1", "2"]]),
}


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("alone", [True, False])
def test_unknown_kind_of_artist_is_refused(kind, alone):
    figure, (axes,) = axes_of()
    if not alone:
        axes.plot(X, Y)
    UNKNOWN[kind](axes)
    with pytest.raises(TypeError, match=f"got a {kind}") as caught:
        drawn(figure)
    assert str(caught.value) == (
        "drawn: `figure` must hold lines, segments, bars, areas, arrows, points and "
        f"images; got a {kind}."
    )


def test_what_is_drawn_beside_the_panels_is_refused():
    for add in (
        lambda figure: figure.figimage(IMAGE),
        lambda figure: figure.add_artist(Line2D([0, 1], [0, 1])),
    ):
        figure, (axes,) = axes_of()
        axes.plot(X, Y)
        add(figure)
        with pytest.raises(TypeError, match="drawn: `figure` must hold"):
            drawn(figure)


def test_colorbar_is_refused_by_name():
    figure, (axes,) = axes_of()
    figure.colorbar(axes.imshow(IMAGE), ax=axes)
    with pytest.raises(TypeError, match="got a QuadMesh"):
        drawn(figure)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_empty_figure_is_refused(n):
    figure = Figure()
    for axes in figure.subplots(1, n, squeeze=False)[0] if n else ():
        axes.set(title="t", xlabel="x")
        axes.text(0, 0, "text")
    text = "drawn: `figure` must draw something; got an empty one."
    with pytest.raises(ValueError, match="empty") as caught:
        drawn(figure)
    assert str(caught.value) == text


# --- table ----------------------------------------------------------------------------
def test_table_writes_its_numbers_into_their_cells():
    figure, (axes,) = axes_of()
    values = np.array([[0.123, -1.0, 20.0], [3.456, 0.0, -0.5]])
    table(axes, values, rows=["r", "s"], columns=[1, 2, 4], half=12)
    cells = {tuple(map(float, t.get_position())): t.get_text() for t in axes.texts}
    assert cells == {
        (0, 0): "0.12",
        (1, 0): "-1",
        (2, 0): "20",
        (0, 1): "3.5",
        (1, 1): "0",
        (2, 1): "-0.5",
    }
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2", "4"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["r", "s"]
    np.testing.assert_array_equal(drawn(figure)["panel 0 image 0"], values)


def test_table_colors_diverge_from_white_at_zero():
    _, (axes,) = axes_of()
    table(axes, np.array([[-2.0, 0.0, 2.0]]), rows=["r"], columns="abc", half=2)
    (image,) = axes.images
    low, middle, high = (image.to_rgba(np.array([v]))[0, :3] for v in (-2.0, 0.0, 2.0))
    assert middle.min() > 0.95
    assert low[2] > low[1]  # purple: more blue than green
    assert high[0] > high[2]  # orange: more red than blue
    ink = [t.get_color() for t in axes.texts]
    assert ink == ["white", "black", "white"]


def test_table_can_show_other_colors():
    figure, (axes,) = axes_of()
    values, colors = np.array([[1.0, 2.0]]), np.array([[5.0, -0.1]])
    table(axes, values, rows=["r"], columns="ab", half=5, colors=colors)
    np.testing.assert_array_equal(drawn(figure)["panel 0 image 0"], colors)
    assert [t.get_text() for t in axes.texts] == ["1", "2"]
    assert [t.get_color() for t in axes.texts] == ["white", "black"]


# --- critical difference --------------------------------------------------------------
RANKS = np.array([3.25, 1.5, 2.0, 4.5, 2.125])
METHODS = ["self-normalizing", "ReLU", "layer norm", "SVM", "random forest"]
CLIQUES = ((1, 2, 4), (4, 0))


def critical_difference_of(ranks, names, cd, cliques):
    figure, (axes,) = axes_of()
    assert critical_difference(axes, ranks, names, cd=cd, cliques=cliques) is axes
    return axes, list(drawn(figure).values())


def test_critical_difference_draws_its_numbers():
    _, (scale, *lines) = critical_difference_of(RANKS, METHODS, 1.25, CLIQUES)
    np.testing.assert_array_equal(scale[:, 0], [1, 2.25])
    bars, stems = lines[: len(CLIQUES)], lines[len(CLIQUES) :]
    assert [bar[:, 0].tolist() for bar in bars] == [[1.5, 2.125], [2.125, 3.25]]
    assert sorted(stem[0, 0] for stem in stems) == sorted(RANKS)
    assert all(stem[0, 1] == 0 and stem[1, 0] == stem[0, 0] for stem in stems)
    heights = [bar[0, 1] for bar in bars]
    assert len({*heights}) == len(bars)  # none hides another
    assert all(stem[1, 1] < min(heights) for stem in stems)  # each crosses all bars


def test_critical_difference_puts_each_name_at_the_end_of_its_stem():
    axes, (_, *lines) = critical_difference_of(RANKS, METHODS, 1.25, CLIQUES)
    ends = {tuple(line[2]): line[0, 0] for line in lines[len(CLIQUES) :]}
    named = {text.get_text(): ends[text.xy] for text in axes.texts[1:]}
    assert named == dict(zip(METHODS, RANKS, strict=True))
    low, high = axes.get_xlim()
    assert low == 1 < RANKS.min() < RANKS.max() < high  # the best at the left
    assert axes.texts[0].get_text() == "CD = 1.25"


@pytest.mark.parametrize("n", range(1, 8))
def test_critical_difference_stems_do_not_cross(n):
    ranks = np.random.default_rng(n).permutation(n) + 1.0
    axes, (_, *stems) = critical_difference_of(ranks, "abcdefg"[:n], 0.5, [])
    assert len(axes.texts) == n + 1
    for (x, _), (_, y), (edge, _) in stems:
        for (other, _), (_, depth), _ in stems:
            across = min(x, edge) < other < max(x, edge)
            assert not (across and depth < y)  # goes down where the first goes out


def test_critical_difference_has_room_for_its_scale():
    axes, (scale, *_) = critical_difference_of([1.2, 1.4], "ab", 5.0, [(0, 1)])
    assert axes.get_xlim() == (1, 6)
    np.testing.assert_array_equal(scale[:, 0], [1, 6])


def overlaps(figure):
    """List the pairs of texts that overlap, and the texts that the figure cuts off."""
    figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = [*axes.texts, *axes.get_xticklabels(), axes.xaxis.label]
    boxes = {text.get_text(): text.get_window_extent() for text in texts}
    wrong = [
        (a, b)
        for a, b in itertools.combinations(boxes, 2)
        if boxes[a].overlaps(boxes[b])
    ]
    edge = figure.bbox
    return wrong + [
        name
        for name, box in boxes.items()
        if min(box.x0, box.y0) < 0 or box.x1 > edge.x1 or box.y1 > edge.y1
    ]


@pytest.mark.parametrize(("n", "height"), [(2, 2.5), (10, 2.5), (24, 3.55)])
def test_critical_difference_can_be_read(n, height):
    use_style()
    figure = Figure(figsize=(5, height), dpi=96)  # 480 pixels wide
    ranks = np.linspace(n / 3, 2 * n / 3, n)
    names = [f"normalization {i}" for i in range(n)]
    cliques = [(0, n // 2), (n // 4, n - 2), (n // 2, n - 1), (n // 2 + 1, n - 1)]
    axes = figure.subplots()
    critical_difference(axes, ranks, names, cd=n / 8, cliques=cliques[: n // 2])
    assert overlaps(figure) == []


def test_an_overlap_is_found():
    use_style()
    figure = Figure(figsize=(5, 0.8), dpi=96)
    axes = figure.subplots()
    critical_difference(axes, RANKS, METHODS, cd=1.25, cliques=CLIQUES)
    figure.set_layout_engine("none")
    assert overlaps(figure) != []


# --- the style ------------------------------------------------------------------------
def test_style_sets_size_and_colors():
    use_style()
    assert mpl.rcParams["figure.figsize"] == [3.5, 2.5]
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(COLORS)
    figure, (axes,) = axes_of()
    lines = axes.plot(np.zeros((2, 3)))
    assert [line.get_color() for line in lines] == list(COLORS[:3])
    assert figure.get_size_inches().tolist() == [3.5, 2.5]
    assert figure.get_constrained_layout()  # labels of one panel keep off the next


def test_style_draws_without_a_warning(tmp_path):
    # Warnings are errors here; a layout that does not fit warns while it is drawn.
    use_style()
    figure, (left, right) = axes_of(2)
    left.plot(X, Y, label="$y_l$")
    left.errorbar(X, Y, Z)
    left.set(xlabel="$x$", ylabel=r"$\|\delta_l\|$", xscale="log")
    left.legend()
    table(right, IMAGE, rows="ab", columns="cde", half=1)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_style_can_be_set_twice():
    use_style()
    once = dict(mpl.rcParams)
    use_style()
    assert dict(mpl.rcParams) == once


def test_colors_are_seven_different_ones():
    assert len({mpl.colors.to_hex(color) for color in COLORS}) == 7
