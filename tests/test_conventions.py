"""The page of framework conventions: measured anew, and no name given too easily."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from companion import _optimizers, activations, initializers, normalization
from companion.training import SGD, Adam, Nadam, RMSProp

#: They need both frameworks.
conventions = pytest.importorskip("conventions")
optimizers = pytest.importorskip("conventions_optimizers")

PAGE = Path(__file__).parents[1] / "book" / "conventions.md"
FANS = conventions.DENSE
#: Names of rules, by where the learning rate is in them.
OUTSIDE, INSIDE, NESTEROV_OUTSIDE, NESTEROV_INSIDE = optimizers.RULES


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
    moved = found["optimizers"]
    assert moved["momentum: step"][1:] == [OUTSIDE, INSIDE, "both"]
    assert moved["RMSProp: share of the mean square kept"][1:3] == ["0.99", "0.9"]
    assert moved["RMSProp: epsilon"][2] == "1e-07, inside the root"
    assert moved["Adam: epsilon"][1] == "1e-08, outside the corrected root"
    assert moved["Nadam: momentum decay"] == ["none", "0.004", "1", "both"]
    decays = ["none", "added to the gradient", "apart from the gradient", "neither"]
    assert moved["Adam: weight decay"] == decays


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


# --- a wrong convention of an optimizer is found --------------------------------------
Own = optimizers.OwnWeight


def with_(make, **settings):
    """Return what makes an optimizer with other settings than its own."""
    return lambda rate, **given: make(rate, **settings | given)


def moving(make, move):
    """Return what makes an optimizer of the same settings and another rule."""
    return type("Moving", (make,), {"_move": move})


def test_place_of_the_rate_and_nesterov_are_found():
    for inside, names in (
        (False, (OUTSIDE, NESTEROV_OUTSIDE)),
        (True, (INSIDE, NESTEROV_INSIDE)),
    ):
        make = with_(SGD, rate_inside=inside)
        for nesterov, name in zip((False, True), names, strict=True):
            assert optimizers.momentum(make, Own, nesterov=nesterov) == name


def test_another_momentum_gets_no_name():
    def dampened(self, rate, g, state):
        v = state["v"] = self.momentum * state.get("v", g) + (1 - self.momentum) * g
        return rate * v

    def late(self, rate, g, state):
        before = state.get("v", 0)
        state["v"] = self.momentum * before + g
        return rate * (g + self.momentum**2 * before)

    for move in (dampened, late):
        with pytest.raises(ValueError, match=r"^fitting: one of 4 rules .* got \[\]"):
            optimizers.momentum(moving(SGD, move), Own)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
def test_decays_of_an_optimizer_are_measured(share):
    make = with_(RMSProp, rho=share)
    assert optimizers.share_kept(make, Own) == str(share)
    assert optimizers.betas(with_(Adam, beta_1=share), Own) == f"{share}, 0.999"
    assert optimizers.betas(with_(Adam, beta_2=share), Own) == f"0.9, {share}"


#: What to divide by, of the mean square, its correction and epsilon.
PLACES = {
    "outside the root": lambda s, c, e: np.sqrt(s) + e,
    "inside the root": lambda s, c, e: np.sqrt(s + e),
    "outside the corrected root": lambda s, c, e: np.sqrt(s / c) + e,
    "inside the corrected root": lambda s, c, e: np.sqrt(s / c + e),
    "outside the raw root": lambda s, c, e: (np.sqrt(s) + e) / np.sqrt(c),
    "inside the raw root": lambda s, c, e: np.sqrt((s + e) / c),
}


def dividing(divisor, start=0.0):
    """Return what makes an RMSProp with another divisor, and another first mean."""

    def move(self, rate, g, state):
        s = state["s"] = self.rho * state.get("s", start) + (1 - self.rho) * g**2
        p = state["p"] = self.rho * state.get("p", 1.0)
        return rate * g / divisor(s, 1 - p, self.eps)

    return moving(RMSProp, move)


@pytest.mark.parametrize("eps", [1e-3, 1e-7, 1e-8, 1.1e-8])
@pytest.mark.parametrize("place", PLACES)
def test_epsilon_of_an_optimizer_and_its_place_are_measured(eps, place):
    make = with_(dividing(PLACES[place]), eps=eps)
    found = optimizers.epsilon(make, Own, rho=optimizers.RHO)
    assert found == f"{eps:.4g}, {place}"


@pytest.mark.parametrize(
    "make",
    [
        dividing(lambda s, c, e: np.sqrt(s) + e, start=1.0),
        dividing(lambda s, c, e: np.maximum(np.sqrt(s), e)),
        dividing(lambda s, c, e: np.sqrt(s) / c + e),
        lambda rate, rho: RMSProp(rate, rho=0.5),
    ],
    ids=["start at 1", "a lower bound", "corrected by c", "another share"],
)
def test_an_epsilon_elsewhere_gets_no_place(make):
    with pytest.raises(ValueError, match=r"^fitting: one of 6 rules .* got \[\]"):
        optimizers.epsilon(make, Own, rho=optimizers.RHO)


@pytest.mark.parametrize("decay", [None, 0.001, 0.004, 1.0, 20.0])
def test_momentum_decay_is_measured(decay):
    expected = "none" if decay is None else f"{decay:.4g}"
    make = with_(Nadam, momentum_decay=decay)
    assert optimizers.momentum_decay(make, Own) == expected


def decaying(make, coupled, apart):
    """Return what makes an optimizer with so much weight decay of each kind."""

    class Decaying(make):
        def __init__(self, rate, weight_decay, **settings):
            super().__init__(rate, **settings)
            self.share = weight_decay

        def step(self, layers):
            (layer,) = layers
            lost = self.share * layer.parameters["alpha"]
            layer.gradients["alpha"] = layer.gradients["alpha"] + coupled * lost
            super().step(layers)
            lost = self.learning_rate * apart * lost
            layer.parameters["alpha"] = layer.parameters["alpha"] - lost

    return Decaying


@pytest.mark.parametrize(
    ("make", "settings"),
    [(SGD, {"momentum": 0.5}), (RMSProp, {}), (Adam, {}), (Nadam, {})],
)
def test_kinds_of_weight_decay_are_told_apart(make, settings):
    def kind(make):
        return optimizers.decay(make, Own, **settings)

    assert kind(make) == "none"
    assert kind(decaying(make, 1, 0)) == "added to the gradient"
    assert kind(decaying(make, 0, 1)) == "apart from the gradient"
    for coupled, apart in (0, 0), (0, 2), (1, 1):
        with pytest.raises(ValueError, match=r"^fitting: one of 2 rules .* got \[\]"):
            kind(decaying(make, coupled, apart))


def test_weight_decay_without_momentum_is_of_no_kind():
    with pytest.raises(ValueError, match=r"got \['added .*', 'apart .*'\]"):
        optimizers.decay(decaying(SGD, 1, 0), Own)


def test_a_convention_that_like_has_wrong_is_named():
    assert optimizers.agreement(["1", "2"], ["1", "2"]) == "both"
    assert optimizers.agreement(["1", "1"], ["1", "2"]) == "PyTorch"
    assert optimizers.agreement(["2", "2"], ["1", "2"]) == "Keras"
    assert optimizers.agreement(["2", "1"], ["1", "2"]) == "neither"


def test_a_wrong_number_in_like_reaches_the_page(monkeypatch):
    def word():
        return optimizers.row("", "RMSProp", optimizers.share_kept)[-1]

    assert word() == "both"
    for which, other in (("torch", "Keras"), ("keras", "PyTorch")):
        with monkeypatch.context() as patch:
            patch.setitem(_optimizers.CONVENTIONS[which]["RMSProp"], "rho", 0.95)
            assert word() == other
