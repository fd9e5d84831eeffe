"""Training: the optimizer against PyTorch's, copies against nets alone, the record."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest

from companion.mlp import (
    ACTIVATIONS,
    Dense,
    PReLU,
    Sequential,
    softmax_cross_entropy,
    stack,
)
from companion.training import SGD, History, evaluate, fit

N, FEATURES, CLASSES = 50, 4, 3
BATCH = 16  # does not divide N: the last minibatch has 2 rows
WIDTHS = [FEATURES, 6, CLASSES]


def rng(seed=0):
    return np.random.default_rng(seed)


def rngs(seeds):
    return [rng(seed) for seed in seeds]


def rows(n=N, seed=42):
    r = rng(seed)
    x = r.standard_normal((n, FEATURES))
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)


def train(net, *, optimizer=None, epochs=3, r=None, data=None, **arguments):
    """Fit quietly; the arguments are those that most tests here share."""
    return fit(
        net,
        *(data or rows()),
        optimizer=optimizer or SGD(0.1),
        epochs=epochs,
        batch_size=arguments.pop("batch_size", BATCH),
        rng=rng(1) if r is None else r,
        progress=arguments.pop("progress", False),
        **arguments,
    )


def refusal(function, *args, **arguments):
    """Return the type and text of the error that a call raises."""
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*args, **arguments)
    return caught.type, str(caught.value)


class Spy(Sequential):
    """A net that keeps every minibatch it gets, and whether it is trained by it."""

    def __init__(self, net):
        super().__init__(net.layers)
        self.seen = []
        self.told = []

    def forward(self, x, training=False):
        self.seen.append(x)
        self.told.append(training)
        return super().forward(x, training=training)


def curves(history):
    """Return what a history holds of each epoch, by name."""
    return {name: v for name, v in vars(history).items() if name != "best_epoch"}


def weights(net, copy=...):
    return [array[copy] for d in net.trainable for array in d.parameters.values()]


def assert_same_weights(net, others, copy=..., **tolerance):
    for a, b in zip(weights(net, copy), others, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


# --- the optimizer --------------------------------------------------------------------
#: What a net is built with, and the layer of PyTorch that it equals.
TWINS = {
    "tanh": ("tanh", lambda nn: nn.Tanh()),
    "prelu": ("prelu", lambda nn: nn.PReLU().double()),
    "prelu of each unit": (
        lambda n_units, rng: PReLU(n_units, alpha=0.125),
        lambda nn: nn.PReLU(6, init=0.125).double(),
    ),
}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", TWINS)
def test_a_hundred_steps_are_those_of_torch(name, momentum):
    torch = pytest.importorskip("torch")
    x, y = rows()
    ours, theirs = TWINS[name]
    net = Spy(stack(WIDTHS, activation=ours, rng=rng(2)))
    first, last = (
        torch.nn.Linear(*shape, dtype=torch.float64)
        for shape in ((FEATURES, 6), (6, CLASSES))
    )
    with torch.no_grad():
        for linear, dense in zip((first, last), net.dense, strict=True):
            linear.weight[:] = torch.from_numpy(dense.parameters["W"].T)
            linear.bias[:] = torch.from_numpy(dense.parameters["b"])
    twin = torch.nn.Sequential(first, theirs(torch.nn), last)

    train(net, optimizer=SGD(0.1, momentum=momentum), epochs=25, data=(x, y))
    assert len(net.seen) == 100
    label_of = {tuple(row): label for row, label in zip(x, y, strict=True)}
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=momentum)
    start = [t.detach().clone() for t in twin.parameters()]
    for batch in net.seen:
        optimizer.zero_grad()
        labels = torch.tensor([label_of[tuple(row)] for row in batch])
        output = twin(torch.from_numpy(batch))
        torch.nn.functional.cross_entropy(output, labels).backward()
        optimizer.step()
    for before, after in zip(start, twin.parameters(), strict=True):
        assert (after - before).abs().max() > 0.01  # there was something to learn
    expected = [t.detach().numpy().T for t in twin.parameters()]
    assert_same_weights(net, expected, rtol=1e-11, atol=1e-12)


def test_step_is_the_equation():
    layer = Dense(2, 1, rng=rng())
    W, b = (layer.parameters[name].copy() for name in ("W", "b"))
    layer.gradients = {"W": np.array([[1.0], [2.0]]), "b": np.array([4.0])}
    optimizer = SGD(0.5, momentum=0.5)
    moved = 0.0
    for v in (1.0, 1.5, 1.75):  # 1, 1/2 + 1, 3/4 + 1
        optimizer.step([layer])
        moved += 0.5 * v
        close = {"rtol": 1e-14, "atol": 1e-15}
        np.testing.assert_allclose(
            layer.parameters["W"], W - moved * np.array([[1.0], [2.0]]), **close
        )
        np.testing.assert_allclose(layer.parameters["b"], b - moved * 4, **close)


def test_step_keeps_a_velocity_for_each_layer():
    layers = [Dense(1, 1, rng=rng()) for _ in range(2)]
    for layer, gradient in zip(layers, (1.0, -3.0), strict=True):
        layer.parameters["W"] = np.zeros((1, 1))
        layer.gradients = {"W": np.array([[gradient]])}
    optimizer = SGD(1.0, momentum=0.5)
    optimizer.step(layers)
    optimizer.step(layers)
    got = [layer.parameters["W"].item() for layer in layers]
    assert got == [-2.5, 7.5]


def test_step_leaves_the_old_arrays_alone():
    layer = Dense(2, 2, rng=rng())
    W, gradient = layer.parameters["W"], np.ones((2, 2))
    kept = W.copy()
    for array in (W, gradient):
        array.setflags(write=False)
    layer.gradients = {"W": gradient}
    optimizer = SGD(0.1, momentum=0.9)
    for _ in range(2):
        optimizer.step([layer])
    np.testing.assert_array_equal(W, kept)
    np.testing.assert_array_equal(gradient, 1)


# --- copies ---------------------------------------------------------------------------
SEEDS = (3, 5, 8)
RATES = (0.05, 0.2, 0.4)
ALIKE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize("name", ["tanh", "relu", "logistic", "prelu", "rrelu"])
@pytest.mark.parametrize("rates", [RATES, 0.3])
@pytest.mark.parametrize("sequence", [list, tuple])
def test_copies_train_as_each_alone(name, rates, sequence):
    validation = rows(20, seed=6)
    copies = stack(WIDTHS, activation=name, rng=sequence(rngs(SEEDS)))
    together = train(
        copies,
        optimizer=SGD(rates, momentum=0.8),
        epochs=10,
        r=sequence(rngs(range(10, 13))),
        validation=validation,
    )
    endings = []
    for k, seed in enumerate(SEEDS):
        net = stack(WIDTHS, activation=name, rng=rng(seed))
        history = train(
            net,
            optimizer=SGD(np.broadcast_to(rates, 3)[k], momentum=0.8),
            epochs=10,
            r=rng(10 + k),
            validation=validation,
        )
        assert_same_weights(copies, weights(net), k, **ALIKE)
        for part, values in curves(history).items():
            np.testing.assert_allclose(curves(together)[part][:, k], values, **ALIKE)
        endings.append(history.loss[-1])
    assert np.ptp(endings) > 1e-3  # the copies are not one net three times


def test_one_generator_gives_all_copies_the_same_order():
    copies = stack(WIDTHS, activation="tanh", rng=rngs([3, 3]))
    train(copies, r=rng(4))
    assert_same_weights(copies, weights(copies, 1), 0, **ALIKE)
    copies = stack(WIDTHS, activation="tanh", rng=rngs([3, 3]))
    train(copies, r=rngs([4, 5]))
    assert np.abs(weights(copies, 0)[0] - weights(copies, 1)[0]).max() > 1e-3


@pytest.mark.parametrize("name", ["elu", "prelu", "rrelu"])
def test_same_seed_same_training(name):
    nets = [stack(WIDTHS, activation=name, rng=rng(3)) for _ in range(2)]
    one, other = (train(net, r=rng(7)) for net in nets)
    np.testing.assert_array_equal(one.loss, other.loss)
    assert_same_weights(nets[0], weights(nets[1]), rtol=0)


@pytest.mark.parametrize("name", [*ACTIVATIONS, "prelu", "rrelu"])
def test_copy_that_diverges_leaves_the_others_alone(name):
    # Warnings are errors here, and numpy's own settings must survive the call.
    histories, nets = [], []
    before = np.geterr()
    for bad in (0.1, 1.5e308):
        net = stack([FEATURES, 6, 6, CLASSES], activation=name, rng=rngs(SEEDS))
        history = train(
            net,
            optimizer=SGD([0.1, bad, 0.2], momentum=0.5),
            epochs=4,
            r=rngs([1, 2, 3]),
            validation=rows(20, seed=6),
        )
        histories.append(curves(history))
        nets.append(net)
    assert np.geterr() == before
    for part, values in histories[1].items():
        assert values.shape == (4, 3)
        expected = histories[0][part]
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(values[:, ::2], expected[:, ::2], rtol=1e-12)
    for k in (0, 2):
        assert_same_weights(nets[1], weights(nets[0], k), k, rtol=1e-12)
    assert not np.isfinite(histories[1]["loss"][-1, 1])
    assert not np.isfinite(histories[1]["validation_loss"][-1, 1])


# --- minibatches ----------------------------------------------------------------------
@pytest.mark.parametrize("batch_size", [1, 7, 16, 49, 50, 51, 1000])
@pytest.mark.parametrize("copies", [None, 3])
def test_every_row_is_seen_once_an_epoch(batch_size, copies):
    x, y = rows()
    x[:, 0] = np.arange(N)
    seeds = rng(1) if copies is None else rngs(range(copies))
    net = Spy(stack(WIDTHS, activation="tanh", rng=seeds))
    order = rng(1) if copies is None else rngs(range(copies))
    train(net, epochs=2, batch_size=batch_size, r=order, data=(x, y))
    sizes = [batch.shape[-2] for batch in net.seen]
    full, rest = divmod(N, batch_size)
    assert sizes == 2 * ([batch_size] * full + [rest] * bool(rest))
    steps = len(sizes) // 2
    epochs = [
        np.concatenate(net.seen[half], axis=-2)[..., 0]
        for half in (slice(steps), slice(steps, None))
    ]
    for order in epochs:
        expected = np.broadcast_to(np.arange(N), order.shape)
        np.testing.assert_array_equal(np.sort(order, axis=-1), expected)
        assert (order != expected).any(axis=-1).all()
    assert (epochs[0] != epochs[1]).any()
    if copies:
        assert len(np.unique(epochs[0], axis=0)) == copies


def test_labels_stay_with_their_rows():
    x, _ = rows()
    y = np.arange(N) % CLASSES
    x[:, 0], x[:, 1:] = y, 0
    net = stack([FEATURES, CLASSES], activation="relu", rng=rng())
    history = train(net, optimizer=SGD(1.0), epochs=60, data=(x, y), validation=(x, y))
    assert history.validation_accuracy[-1] == 1


@pytest.mark.parametrize("copies", [None, 3])
def test_smaller_last_minibatch_counts_for_its_rows(copies):
    # A learning rate so small that nothing moves: the history is the loss itself.
    x, y = rows()
    x *= np.linspace(0.1, 10, N)[:, None]
    net = Spy(
        stack(WIDTHS, activation="tanh", rng=rng() if copies is None else rngs(SEEDS))
    )
    order = rng(1) if copies is None else rngs(range(copies))
    history = train(net, optimizer=SGD(1e-300), epochs=1, r=order, data=(x, y))
    expected, _ = evaluate(net, x, y)
    np.testing.assert_allclose(history.loss[0], expected, rtol=1e-13)

    # The mean over minibatches of any size is another number.
    label_of = {tuple(row): label for row, label in zip(x, y, strict=True)}
    losses = []
    for batch in net.seen[:4]:
        labels = [label_of[tuple(row)] for row in batch.reshape(-1, FEATURES)]
        labels = np.reshape(labels, batch.shape[:-1])
        losses.append(softmax_cross_entropy(net.forward(batch), labels)[0])
    assert (np.abs(np.mean(losses, axis=0) - expected) > 1e-3).all()


def test_loss_is_taken_before_the_step():
    x, y = rows()
    net = stack(WIDTHS, activation="tanh", rng=rng())
    expected, _ = evaluate(net, x, y)
    history = train(net, optimizer=SGD(1.0), epochs=1, batch_size=N)
    np.testing.assert_allclose(history.loss, [expected], rtol=1e-13)
    after, _ = evaluate(net, x, y)
    assert after < expected - 0.01


# --- layers that differ in training ---------------------------------------------------
def test_only_the_steps_are_taken_in_training():
    net = Spy(stack(WIDTHS, activation="tanh", rng=rng()))
    train(net, epochs=2, validation=rows(9))
    steps = [True] * 4  # 50 rows in minibatches of 16
    assert net.told == 2 * [*steps, False]
    evaluate(net, *rows(9))
    assert net.told[-1] is False


def test_random_slopes_are_for_training_alone():
    # Where nothing moves, the loss of the steps is random and that of evaluate is not.
    net = stack(WIDTHS, activation="rrelu", rng=rng())
    validation = rows()
    history = train(
        net, optimizer=SGD(1e-300), batch_size=N, validation=validation, epochs=4
    )
    assert len(set(history.loss)) == 4
    expected, accuracy = evaluate(net, *validation)
    assert set(history.validation_loss) == {float(expected)}
    assert set(history.validation_accuracy) == {float(accuracy)}


# --- the history ----------------------------------------------------------------------
@pytest.mark.parametrize(("seeds", "shape"), [(None, (3,)), ((1,), (3, 1))])
def test_history_has_a_row_for_each_epoch(seeds, shape):
    make = rng if seeds is None else lambda: rngs(seeds)
    history = train(stack(WIDTHS, activation="tanh", rng=make()), r=make())
    assert isinstance(history, History)
    assert history.loss.shape == shape
    assert history.validation_loss is None
    assert history.validation_accuracy is None
    history = train(
        stack(WIDTHS, activation="tanh", rng=make()), r=make(), validation=rows(9)
    )
    assert {v.shape for v in curves(history).values()} == {shape}
    assert history.best_epoch is None


@pytest.mark.parametrize("make", [rng, lambda: rngs(SEEDS)])
def test_validation_is_taken_after_the_epoch(make):
    x, y = rows(31, seed=8)
    net = stack(WIDTHS, activation="tanh", rng=make())
    history = train(net, optimizer=SGD(0.5), r=make(), validation=(x, y))
    logits = net.forward(x)
    loss, _ = softmax_cross_entropy(logits, y)
    np.testing.assert_array_equal(history.validation_loss[-1], loss)
    accuracy = (logits.argmax(axis=-1) == y).mean(axis=-1)
    np.testing.assert_array_equal(history.validation_accuracy[-1], accuracy)
    assert ((0 < accuracy) & (accuracy < 1)).all()


def test_validation_changes_nothing():
    nets = [stack(WIDTHS, activation="tanh", rng=rng()) for _ in range(2)]
    train(nets[0])
    train(nets[1], validation=rows(20, seed=6))
    assert_same_weights(nets[0], weights(nets[1]), rtol=0)


def test_evaluate_counts_the_right_ones():
    net = stack([2, 2], activation="relu", rng=rngs([0, 1]))
    net.dense[0].parameters["W"] = np.array([np.eye(2), -np.eye(2)])
    x, y = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0], [2.0, 3.0]]), [0, 1, 0, 0]
    loss, accuracy = evaluate(net, x, np.array(y))
    assert accuracy.tolist() == [0.75, 0.25]
    gaps = np.array([-1.0, -1.0, -1.0, 1.0])  # of the other logit above the right one
    expected = [np.log1p(np.exp(sign * gaps)).mean() for sign in (1, -1)]
    np.testing.assert_allclose(loss, expected, rtol=1e-14)


def test_arguments_are_not_changed():
    x, y = rows()
    kept = x.copy(), y.copy()
    for array in (x, y):
        array.setflags(write=False)
    rate = np.array([0.1, 0.2])
    rate.setflags(write=False)
    net = stack(WIDTHS, activation="relu", rng=rngs([0, 1]))
    train(net, optimizer=SGD(rate, 0.9), r=rngs([0, 1]), data=(x, y))
    train(net, r=rngs([0, 1]), data=(x.tolist(), y.tolist()))
    for array, copy in zip((x, y), kept, strict=True):
        np.testing.assert_array_equal(array, copy)


# --- progress -------------------------------------------------------------------------
def test_fit_needs_no_tqdm(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    history = train(stack(WIDTHS, activation="tanh", rng=rng()), progress=True)
    expected = train(stack(WIDTHS, activation="tanh", rng=rng()))
    np.testing.assert_array_equal(history.loss, expected.loss)
    assert capfd.readouterr() == ("", "")


def test_fit_without_progress_asks_for_no_bar(monkeypatch, capfd):
    def bar(epochs, **arguments):
        print("a bar")
        return epochs

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=bar))
    for progress, out in ((True, "a bar\n"), (False, "")):
        net = stack(WIDTHS, activation="tanh", rng=rng())
        assert train(net, progress=progress).loss.shape == (3,)
        assert capfd.readouterr() == (out, "")


@pytest.mark.parametrize(("value", "silent"), [("1", True), (None, False)])
def test_environment_can_hide_the_bar(value, silent):
    pytest.importorskip("tqdm")  # which reads its environment when it is imported
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TQDM")}
    if value:
        environment["TQDM_DISABLE"] = value
    code = (
        "import numpy as np\n"
        "from companion.mlp import stack\n"
        "from companion.training import SGD, fit\n"
        "r = np.random.default_rng(0)\n"
        "net = stack([2, 2], activation='relu', rng=r)\n"
        "fit(net, np.ones((4, 2)), np.array([0, 1, 0, 1]), optimizer=SGD(0.1),\n"
        "    epochs=2, batch_size=2, rng=r)\n"
    )
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert done.stdout == ""
    assert ("epoch" not in done.stderr) == silent
    assert (done.stderr == "") == silent


# --- refusals -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((0.0,), ValueError, "`learning_rate` must be finite and above 0; got 0.0."),
        ((-1,), ValueError, "`learning_rate` must be finite and above 0; got -1.0."),
        (
            ([0.1, np.inf],),
            ValueError,
            "`learning_rate` must be finite and above 0; got [0.1 inf].",
        ),
        (
            ([0.1, np.nan],),
            ValueError,
            "`learning_rate` must be finite and above 0; got [0.1 nan].",
        ),
        (
            ("a",),
            TypeError,
            "`learning_rate` must hold real numbers; got dtype <U1.",
        ),
        (
            (None,),
            TypeError,
            "`learning_rate` must hold real numbers; got dtype object.",
        ),
        ((0.1, 1), ValueError, "`momentum` must be in [0, 1); got 1."),
        ((0.1, 1.5), ValueError, "`momentum` must be in [0, 1); got 1.5."),
        (
            (0.1, -0.1),
            ValueError,
            "`momentum` must be a finite number of at least 0; got -0.1.",
        ),
        (
            (0.1, np.nan),
            ValueError,
            "`momentum` must be a finite number of at least 0; got nan.",
        ),
        ((0.1, "a"), TypeError, "`momentum` must be a real number; got 'a'."),
        ((0.1, True), TypeError, "`momentum` must be a real number; got True."),
    ],
)
def test_sgd_refuses(arguments, kind, text):
    assert refusal(SGD, *arguments) == (kind, f"SGD: {text}")


def test_rates_for_copies_are_refused_by_a_net_without():
    # Three rates would else be taken for those of the three inputs.
    net = stack([3, 3], activation="relu", rng=rng())
    data = np.ones((4, 3)), np.array([0, 1, 2, 0])
    with pytest.raises(ValueError, match="`learning_rate`"):
        train(net, optimizer=SGD([0.1, 0.2, 0.3]), data=data)


GENERATOR = "`rng` must be a numpy.random.Generator; got"
PASS_ONE = "Pass rng=numpy.random.default_rng(seed)."


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"epochs": 0}, ValueError, "`epochs` must be at least 1; got 0."),
        ({"epochs": 1.0}, TypeError, "`epochs` must be an integer; got 1.0."),
        ({"epochs": True}, TypeError, "`epochs` must be an integer; got True."),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1; got 0."),
        ({"batch_size": "8"}, TypeError, "`batch_size` must be an integer; got '8'."),
        ({"r": 0}, TypeError, f"{GENERATOR} int. {PASS_ONE}"),
        ({"r": [rng(), 0]}, TypeError, f"{GENERATOR} int. {PASS_ONE}"),
        (
            {"data": (np.zeros((4, 4), complex), np.zeros(4, int))},
            TypeError,
            "`x` must hold real numbers; got dtype complex128.",
        ),
    ],
)
def test_fit_refuses(arguments, kind, text):
    net = stack(WIDTHS, activation="relu", rng=rng())
    before = weights(net)
    assert refusal(train, net, **arguments) == (kind, f"fit: {text}")
    assert_same_weights(net, before, rtol=0)


@pytest.mark.parametrize(
    ("x", "y"),
    [((4,), (4,)), ((4, 4), (3,)), ((4, 4), (4, 1)), ((2, 4, 4), (4,)), ((4, 4), ())],
)
def test_fit_refuses_shapes_that_do_not_match(x, y):
    text = f"fit: `x` must have shape (n, n_features) and `y` (n,); got {x} and {y}."
    net = stack(WIDTHS, activation="relu", rng=rng())
    data = np.zeros(x), np.zeros(y, int)
    assert refusal(train, net, data=data) == (ValueError, text)


@pytest.mark.parametrize(
    ("y", "kind", "text"),
    [
        ([0.0, 1.0], TypeError, "`labels` must be integers; got float64."),
        (
            [0, CLASSES],
            ValueError,
            "`labels` must be at least one, each from 0 to 2; got array([0, 3]).",
        ),
    ],
)
def test_fit_refuses_labels_that_are_no_classes(y, kind, text):
    net = stack(WIDTHS, activation="relu", rng=rng())
    data = np.zeros((2, FEATURES)), np.array(y)
    got_kind, got = refusal(train, net, data=data)
    assert got_kind is kind
    # The minibatch is shuffled: the labels come in either order.
    assert got.replace("[3, 0]", "[0, 3]") == f"softmax_cross_entropy: {text}"


def test_fit_refuses_no_rows():
    net = stack(WIDTHS, activation="relu", rng=rng())
    data = np.zeros((0, FEATURES)), np.zeros(0, int)
    with pytest.raises(ValueError, match=r"^fit: `x` must "):
        train(net, data=data)


def test_fit_refuses_a_net_of_another_width():
    text = "Dense.forward: `x` must have shape (..., n, 5); got (16, 4)."
    net = stack([FEATURES + 1, CLASSES], activation="relu", rng=rng())
    assert refusal(train, net) == (ValueError, text)


@pytest.mark.parametrize(
    ("copies", "generators"), [(None, 3), (1, 2), (3, 2), (3, 1), (None, 0), (3, 0)]
)
def test_fit_refuses_generators_for_another_number_of_copies(copies, generators):
    seeds = rng() if copies is None else rngs(range(copies))
    net = stack(WIDTHS, activation="relu", rng=seeds)
    text = (
        "fit: `rng` must be one generator, or a sequence of one for each copy of the "
        f"net; got {generators} for a net with copies "
        f"{() if copies is None else (copies,)}."
    )
    assert refusal(train, net, r=rngs(range(generators))) == (ValueError, text)


def test_fit_refuses_what_is_no_optimizer():
    net = stack(WIDTHS, activation="relu", rng=rng())
    text = "fit: `optimizer` must be an SGD, RMSProp, Adam or Nadam; got 0.1."
    assert refusal(train, net, optimizer=0.1) == (TypeError, text)


@pytest.mark.parametrize(
    ("validation", "got"),
    [(np.zeros((2, FEATURES)), "ndarray"), ((1, 2, 3), "3 entries"), (3, "int")],
)
def test_fit_refuses_validation_that_is_no_pair(validation, got):
    net = stack(WIDTHS, activation="relu", rng=rng())
    text = f"fit: `validation` must be a tuple (x, y); got {got}."
    assert refusal(train, net, validation=validation) == (TypeError, text)


def test_a_reused_optimizer_trains_like_a_fresh_one():
    optimizer = SGD(0.1, momentum=0.9)
    losses = []
    for used in (optimizer, optimizer, SGD(0.1, momentum=0.9)):
        net = stack(WIDTHS, activation="tanh", rng=rng())
        losses.append(train(net, optimizer=used).loss)
    np.testing.assert_array_equal(losses[0], losses[1])
    np.testing.assert_array_equal(losses[0], losses[2])


def test_fit_refuses_bad_validation_data():
    net = stack(WIDTHS, activation="relu", rng=rng())
    text = (
        "softmax_cross_entropy: `logits` (..., n, n_classes) and `labels` (..., n) "
        "must have the same n; got shapes (5, 3) and (4,)."
    )
    bad = np.zeros((5, FEATURES)), np.zeros(4, int)
    assert refusal(train, net, validation=bad) == (ValueError, text)
