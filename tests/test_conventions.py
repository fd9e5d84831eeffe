"""The page of framework conventions: measured anew, and no name given too easily."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from companion import activations, initializers, normalization

#: It needs both frameworks.
conventions = pytest.importorskip("conventions")

PAGE = Path(__file__).parents[1] / "book" / "conventions.md"
FANS = conventions.DENSE


def rng(seed=1):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def page():
    return conventions.page()


def tables(page):
    """Return the rows of each table by the label of its section."""
    found = {}
    for part in re.split(r"^\(conventions-", page, flags=re.MULTILINE)[1:]:
        label, rest = part.split(")=\n", 1)
        lines = [line for line in rest.splitlines() if line.startswith("|")]
        found[label] = [line[2:-2].split(" | ") for line in lines]
    return found


def test_page_is_what_is_measured(page):
    assert PAGE.read_text("utf-8") == page, "`make conventions` writes it"


def test_every_section_has_a_title_a_sentence_and_a_table(page):
    found = tables(page)
    assert len(found) == len(conventions.SECTIONS)
    for label, rows in found.items():
        start = page.index(f"(conventions-{label})=\n")
        title, blank, sentence = page[start:].splitlines()[1:4]
        assert re.fullmatch(r"## [A-Z].*", title)
        assert blank == ""
        assert sentence[0].isupper()
        assert len(rows) >= 4  # the header, the rule, and two things to compare


def test_every_cell_is_filled_and_short(page):
    for label, rows in tables(page).items():
        assert len(rows[0]) <= 5
        for row in rows:
            assert len(row) == len(rows[0])
        for row in rows[2:]:
            for cell in row:
                assert 0 < len(cell.strip()) <= 40, (label, row)


def test_prose_is_wrapped(page):
    for line in page.splitlines():
        assert len(line) <= 90 or line.startswith("|")


def test_page_shows_that_the_frameworks_differ(page):
    # One difference of each kind, so that a page of nothing but agreement is found.
    found = {
        label: {row[0]: row[1:] for row in rows} for label, rows in tables(page).items()
    }
    assert found["slopes"]["leaky ReLU, layer: slope"] == [
        "0.01",
        "0.01",
        "0.3",
        "none",
    ]
    assert found["kinks"]["SELU"][1:] == ["1.758, left", *["1.051, right"] * 2]
    rate_1 = found["dropout"]["alpha dropout, rate 1"]
    assert rate_1 == ["refused", "0", "ZeroDivisionError", "none"]
    norm = found["batch-norm"]
    assert norm["default called momentum"] == ["0.9", "0.1", "0.99", "none"]
    assert norm["share of the old value kept"] == ["0.9", "0.9", "0.99", "0"]
    assert norm["running variance divided by"] == ["m - 1", "m - 1", "m", "m - 1"]
    assert norm["layer normalization: epsilon"][1:] == ["1e-05", "0.001", "none"]
    dense = found["defaults"]["dense layer: weights"]
    assert dense[1:] == ["uniform, 1/(3 fan_in)", "uniform, 1/fan_avg"]
    assert found["gains"]["`selu`"] == ["0.75", "1"]
    assert found["gains"]["`tanh`"] == ["1.667", "1.593"]


# --- names are not given too easily ---------------------------------------------------
def drawn(distribution, variance):
    """Draw as many weights as a dense layer of the page has."""
    draw = {
        "uniform": lambda: rng().uniform(-math.sqrt(3), math.sqrt(3), FANS),
        "normal": lambda: rng().standard_normal(FANS),
        "truncated normal": lambda: stats.truncnorm(
            -2, 2, scale=1 / initializers.TRUNCATED_STD
        ).rvs(FANS, random_state=rng()),
    }[distribution]
    return math.sqrt(variance) * draw()


N_IN, N_OUT = FANS
SIZES = {"fan_in": N_IN, "fan_out": N_OUT, "fan_avg": (N_IN + N_OUT) / 2}
SCALES = {"1/(3 {})": 1 / 3, "1/{}": 1.0, "2/{}": 2.0}


@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated normal"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", SIZES)
def test_each_distribution_gets_its_own_name(distribution, scale, size):
    w = drawn(distribution, SCALES[scale] / SIZES[size])
    expected = f"{distribution}, {scale.format(size)}"
    assert conventions.distribution_of(w, FANS) == expected


def test_range_of_one_over_root_n_is_not_the_one_of_he():
    w = rng().uniform(-1, 1, FANS) / math.sqrt(N_IN)
    assert conventions.distribution_of(w, FANS) == "uniform, 1/(3 fan_in)"
    he = {"uniform, 2/fan_in": (w, 2 / N_IN, "uniform")}
    with pytest.raises(
        ValueError, match=r"^only: one of 1 candidates must fit; got \[\]"
    ):
        conventions.only(he)


@pytest.mark.parametrize(
    "fault",
    [
        lambda w: 1.05 * w,
        lambda w: w + 0.05 * w.std(),
        np.abs,
        lambda w: np.broadcast_to(w[:1], w.shape),
        lambda w: np.where(np.abs(w) > 2 * w.std(), 0, w),
        lambda w: np.sign(w) * w.std(),
    ],
    ids=["wide", "shifted", "one-sided", "repeated", "clipped", "two values"],
)
def test_what_has_no_name_gets_none(fault):
    w = drawn("normal", 2 / N_IN)
    assert conventions.distribution_of(w, FANS) == "normal, 2/fan_in"
    with pytest.raises(ValueError, match=r"^only: .* must fit; got \[\]\.$"):
        conventions.distribution_of(fault(w), FANS)


def test_too_few_weights_get_no_name():
    w = drawn("normal", 2 / N_IN)
    with pytest.raises(ValueError, match=r"must fit; got \[\]"):
        conventions.distribution_of(w[:1, :500], FANS)
    # As many as the check takes, but too few to tell a normal from a truncated one.
    truncated = drawn("truncated normal", 2 / N_IN).ravel()[:1000]
    with pytest.raises(ValueError, match=r"got .*normal.*, 'truncated normal"):
        conventions.distribution_of(truncated, FANS)


def test_slopes_of_the_paper_are_not_those_of_torch():
    def paper(z, *, training, rng):
        return z / rng.uniform(3, 8, z.shape)

    def torch(z, *, training, rng):
        return z * rng.uniform(1 / 8, 1 / 3, z.shape)

    assert conventions.random_slopes(paper, np.array) == "1 / U(3, 8)"
    assert conventions.random_slopes(torch, np.array) == "U(1/8, 1/3)"


def test_truncation_without_correction_is_found():
    z = stats.truncnorm(-2, 2).rvs(FANS, random_state=rng())
    assert conventions.truncated(z, 1.0) == "truncated, too small"
    corrected = z / initializers.TRUNCATED_STD
    assert conventions.truncated(corrected, 1.0) == "truncated, corrected"
    assert conventions.truncated(rng().standard_normal(FANS), 1.0) == "not truncated"


def test_orthogonal_matrices_without_their_signs_are_found():
    r = rng()

    def uneven(shape):
        return np.linalg.qr(r.standard_normal(shape))[0]

    assert conventions.first_entry(uneven) == "U(-1, 0)"
    assert conventions.first_entry(lambda shape: -uneven(shape)) == "U(0, 1)"


@pytest.mark.parametrize("share", [0.25, 0.75, 0.3])
def test_share_of_the_kept_is_not_taken_for_that_of_the_dropped(share):
    def drop(rate):
        return lambda x: np.where(rng().random(x.shape) < share, 0, x)

    if share == 0.3:
        with pytest.raises(ValueError, match="not enough values"):
            conventions.share_dropped(drop, np.array)
    else:
        assert conventions.share_dropped(drop, np.array) == str(share)


# --- a wrong convention of batch normalization is found -------------------------------
class Altered(normalization.BatchNorm):
    """A layer whose batch statistics and outputs can be replaced."""

    var = staticmethod(lambda var, m: var)
    output = staticmethod(lambda y, x: y)

    def _batch_statistics(self, rows):
        mean, var = super()._batch_statistics(rows)
        return mean, self.var(var, len(rows))

    def forward(self, x, training=False):
        return self.output(super().forward(x, training=training), np.asarray(x))


def altered(var=None, output=None, **settings):
    """Return a function that makes such a layer as the measures of the page want it."""

    def new(n, ndim=2):
        layer = Altered(n, **settings)
        layer.var, layer.output = var or layer.var, output or layer.output
        return conventions.OwnNorm(layer)

    return new


@pytest.mark.parametrize("eps", [1e-2, 1e-3, 1e-5, 1e-6, 1.1e-5])
def test_epsilon_is_measured(eps):
    assert conventions.epsilon(altered(eps=eps), np.array) == f"{eps:.4g}"


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.9, 0.99])
@pytest.mark.parametrize("unbiased", [True, False])
def test_momentum_and_divisor_are_told_apart(momentum, unbiased):
    new = altered(momentum=momentum, unbiased=unbiased)
    assert conventions.share_kept(new, np.array) == f"{momentum:.4g}"
    expected = "m - 1" if unbiased else "m"
    assert conventions.running_divisor(new, np.array) == expected
    assert conventions.divisor(new, np.array) == "m"


def test_another_divisor_is_found():
    new = altered(lambda var, m: var * m / (m - 1))
    assert conventions.divisor(new, np.array) == "m - 1"
    with pytest.raises(ValueError, match=r"^nearest: one of "):
        conventions.divisor(altered(lambda var, m: var * m / (m + 1)), np.array)


def test_axis_of_the_features_is_found():
    assert conventions.axis_of_features(altered(axis=-1), np.array) == "axis 3"
    for output in (
        lambda y, x: x,
        lambda y, x: (x - x.mean()) / x.std(),
        lambda y, x: x - x.mean(axis=(1, 2), keepdims=True),
    ):
        with pytest.raises(ValueError, match="values to unpack"):
            conventions.axis_of_features(altered(output=output), np.array)


def test_what_becomes_of_one_row_is_found():
    assert conventions.one_row(altered(unbiased=True), np.array) == "refused"
    assert conventions.one_row(altered(unbiased=False), np.array) == "beta"
    passed = altered(output=lambda y, x: x, unbiased=False)
    assert conventions.one_row(passed, np.array) == "what came in"
    other = altered(output=lambda y, x: y + x, unbiased=False)
    with pytest.raises(ValueError, match=r"^nearest: one of "):
        conventions.one_row(other, np.array)


def test_statistics_of_a_frozen_layer_are_found():
    class Frozen(conventions.OwnNorm):
        def freeze(self):
            self.step = self.layer.forward

    def thawed(n):
        norm = altered()(n)
        norm.freeze = lambda: None
        return norm

    running = Frozen(normalization.BatchNorm(1))
    assert conventions.frozen(lambda n: running, np.array) == "the running ones"
    assert conventions.frozen(thawed, np.array) == "the batch's"


def test_a_nan_that_is_forgotten_is_found():
    assert conventions.after_nan(altered(), np.array) == "nan from then on"
    cleaned = altered(output=lambda y, x: y, momentum=0.5)

    def forgets(n):
        norm = cleaned(n)
        norm.running = lambda: (np.nan_to_num(norm.layer.running_mean), None)
        return norm

    assert conventions.after_nan(forgets, np.array) == "forgets it"


def test_vectors_are_counted():
    assert conventions.vectors(altered(), np.array) == "2 trained, 2 moved, 1 counter"

    def more(n):
        norm = altered()(n)
        norm.layer.parameters["alpha"] = np.ones(n)
        return norm

    assert conventions.vectors(more, np.array).startswith("3 trained, 2 moved")
    still = altered(momentum=1.0)
    assert conventions.vectors(still, np.array) == "2 trained, 0 moved, 1 counter"


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2), (1, 2, 3), (0, 1, 2, 3)])
def test_axes_of_a_fan_are_found(axes):
    shape = conventions.FOUR_AXES
    fan = math.prod(shape[axis] for axis in axes)
    w = rng().uniform(-1, 1, shape) * math.sqrt(3 / fan)
    word = "axis" if len(axes) == 1 else "axes"
    expected = f"{word} {', '.join(map(str, axes))}"
    assert conventions.axes_of(w, shape) == expected


def test_a_formula_must_fit():
    assert conventions.nearest({"a": 1.0, "b": 2.0}, 1.0 + 1e-6) == "a"
    for y in (1.5, 1.01, -1e3):
        with pytest.raises(ValueError, match=r"^nearest: one of "):
            conventions.nearest({"a": 1.0, "b": 2.0}, y)


@pytest.mark.parametrize("name", ["tanh", "selu", "relu"])
def test_a_gain_keeps_the_mean_square(name):
    z = rng().standard_normal(1_000_000)
    square = (conventions.kept_gain(name) * getattr(activations, name)(z)) ** 2
    assert abs(square.mean() - 1) < 5 * square.std() / math.sqrt(z.size)


def test_draws_that_are_partly_alike_get_no_word():
    a, b = np.array([1.0, 2.0]), np.array([1.0, 3.0])
    assert conventions.comparison(a, a) == "the same"
    assert conventions.comparison(a, a + 1) == "different"
    with pytest.raises(ValueError, match="too many values"):
        conventions.comparison(a, b)


def test_a_missing_function_is_none_and_a_missing_argument_too():
    assert conventions.functions("rrelu")[2:] == [None, None]
    assert conventions.differentiable("elu", alpha=1.5)[3] is None
    assert conventions.each(conventions.slope, [None] * 4) == ["none"] * 4
