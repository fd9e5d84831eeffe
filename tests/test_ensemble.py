"""Nets trained at once in PyTorch: each is what it would be alone."""

import numpy as np
import pytest
from helpers import refusal

from companion import mlp, training
from companion.initializers import he_normal, lecun_normal

WIDTHS = [6, 5, 5, 5, 3]
#: Sums of float64 in another order, amplified by a few dozen steps.
RTOL = 1e-9


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def ensemble(torch):
    import companion.torch.ensemble

    return companion.torch.ensemble


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((50, 6)), rng.integers(0, 3, 50)


@pytest.fixture
def build(ensemble):
    def build(seeds, **arguments):
        options = {"activation": "selu", "initializer": lecun_normal} | arguments
        return ensemble.Ensemble(WIDTHS, seeds=seeds, **options)

    return build


def numbers(tensors):
    return [t.detach().numpy() for t in tensors]


@pytest.mark.parametrize(
    "options", [{}, {"batch_norm": True}, {"residual": True}], ids=str
)
def test_each_copy_is_what_it_would_be_alone(ensemble, build, data, options):
    rates = [0.01, 0.05, 0.02]
    together = build([3, 1, 4], **options)
    losses, _ = ensemble.train(
        together, *data, learning_rate=rates, epochs=4, batch_size=16
    )
    scores = np.array(ensemble.evaluate(together, *data))
    for k, (seed, rate) in enumerate(zip([3, 1, 4], rates, strict=True)):
        alone = build([seed], **options)
        loss, _ = ensemble.train(
            alone, *data, learning_rate=rate, epochs=4, batch_size=16
        )
        np.testing.assert_allclose(losses[:, [k]], loss, rtol=RTOL)
        score = np.array(ensemble.evaluate(alone, *data))
        np.testing.assert_allclose(scores[:, [k]], score, rtol=RTOL)
        for ours, theirs in zip(together.parameters, alone.parameters, strict=True):
            ours, theirs = numbers([ours[k], theirs[0]])
            np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=RTOL)


@pytest.mark.parametrize(
    ("activation", "initializer"), [("selu", lecun_normal), ("relu", he_normal)]
)
def test_it_is_the_reference_in_numpy(ensemble, build, data, activation, initializer):
    seeds, rates = [0, 1, 7], [0.01, 0.05, 0.1]
    reference = mlp.stack(
        WIDTHS,
        activation=activation,
        initializer=initializer,
        rng=[np.random.default_rng(seed) for seed in seeds],
    )
    history = training.fit(
        reference,
        *data,
        optimizer=training.SGD(rates, momentum=0.8),
        epochs=5,
        batch_size=16,
        rng=[np.random.default_rng([seed, 1]) for seed in seeds],
        progress=False,
    )
    net = build(seeds, activation=activation, initializer=initializer)
    losses, _ = ensemble.train(
        net, *data, learning_rate=rates, epochs=5, batch_size=16, momentum=0.8
    )
    np.testing.assert_allclose(losses, history.loss, rtol=RTOL)
    np.testing.assert_allclose(
        ensemble.evaluate(net, *data), training.evaluate(reference, *data), rtol=RTOL
    )
    outputs = reference.layers[0].forward(data[0])
    outputs = reference.layers[1].forward(outputs)
    np.testing.assert_allclose(numbers(net.layers(data[0]))[0], outputs, rtol=RTOL)


def test_batch_norm_is_that_of_torch(torch, ensemble, data):
    x, y = torch.tensor(data[0]), torch.tensor(data[1])
    net = ensemble.Ensemble(
        [6, 5, 3],
        activation="relu",
        initializer=he_normal,
        seeds=[2, 0],
        batch_norm=True,
    )
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 5, bias=False),
        torch.nn.BatchNorm1d(5),
        torch.nn.ReLU(),
        torch.nn.Linear(5, 3),
    ).double()
    with torch.no_grad():
        model[0].weight.copy_(net.weights[0][0].T)
        model[3].weight.copy_(net.weights[1][0].T)
        model[3].bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    order = np.random.default_rng([2, 1])
    for _ in range(3):
        for rows in torch.tensor(order.permutation(50)).split(16):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    ensemble.train(net, x, y, learning_rate=0.1, epochs=3, batch_size=16)
    learned = [
        net.weights[0][0].T,
        net.scales[0][0, 0],
        net.biases[0][0, 0],
        net.weights[1][0].T,
        net.biases[1][0, 0],
    ]
    for ours, theirs in zip(learned, model.parameters(), strict=True):
        np.testing.assert_allclose(*numbers([ours, theirs]), rtol=RTOL, atol=RTOL)
    model.eval()
    ours, theirs = numbers([net.layers(x)[-1][0], model(x)])
    np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=RTOL)


def test_skip_connections_go_around_pairs(torch, build, data):
    net, h = build([0], residual=True), torch.tensor(data[0])
    outputs = net.layers(data[0])
    for i, kept in enumerate([0, 0, outputs[0][0]]):
        z = h @ net.weights[i][0] + net.biases[i][0]
        h = torch.nn.functional.selu(z) + kept
        np.testing.assert_allclose(*numbers([outputs[i][0], h]), rtol=RTOL)


def test_units_are_dropped_in_training_only(torch, build):
    x = torch.ones(200, 6)
    net = build([0, 1], rate=0.25, input_rate=0.5, dropout="dropout")
    generator = torch.Generator().manual_seed(0)
    first = net.layers(x, training=True, generator=generator)
    dropped = [(h == 0).double().mean().item() for h in first[:-1]]
    # Five standard deviations of the share among 2000 outputs.
    np.testing.assert_allclose(dropped, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 2000))
    assert not torch.equal(first[0][0] == 0, first[0][1] == 0)  # masks of their own
    again = net.layers(x, training=True, generator=generator.manual_seed(0))
    assert all(map(torch.equal, first, again))
    plain, evaluated = build([0, 1]).layers(x), net.layers(x)
    assert all(map(torch.equal, plain, evaluated))


@pytest.mark.parametrize("kind", ["dropout", "alpha_dropout"])
def test_the_kind_of_dropout_is_the_one_asked_for(torch, build, kind):
    import companion.torch.dropout as functions

    net = build([0], rate=0.25, dropout=kind, activation=lambda z: z)
    generator = torch.Generator().manual_seed(3)
    h = net.layers(torch.ones(4, 6), training=True, generator=generator)[0]
    expected = getattr(functions, kind)(
        torch.ones(1, 4, 6, dtype=torch.float64) @ net.weights[0],
        0.25,
        generator=generator.manual_seed(3),
    )
    np.testing.assert_array_equal(*numbers([h, expected]))


def test_losses_of_steps_average_to_those_of_epochs(ensemble, build, data):
    def losses(by_step):
        options = {"learning_rate": 0.05, "epochs": 2, "batch_size": 16}
        return ensemble.train(build([0, 1]), *data, **options, by_step=by_step)[0]

    steps = losses(True).reshape(2, 4, 2)  # 16, 16, 16 and 2 rows
    epochs = np.average(steps, axis=1, weights=[16, 16, 16, 2])
    np.testing.assert_allclose(losses(False), epochs, rtol=RTOL)


def test_a_copy_that_diverges_leaves_the_others_alone(ensemble, build, data):
    rates = [0.01, 1e6, 0.02]
    net = build([0, 1, 2])
    losses, seen = ensemble.train(
        net, *data, learning_rate=rates, epochs=6, after=lambda net: net.seeds
    )
    assert seen == 6 * [(0, 1, 2)]
    assert not np.isfinite(losses[-1, 1])
    assert np.isfinite(losses[:, [0, 2]]).all()


def test_dropout_in_training_has_a_seed(ensemble, build, data):
    def losses(seed):
        net = build([0, 1], rate=0.1)
        return ensemble.train(net, *data, learning_rate=0.01, epochs=1, seed=seed)[0]

    np.testing.assert_array_equal(losses(1), losses(1))
    assert (losses(1) != losses(2)).all()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"widths": [3]},
            ValueError,
            "`widths` must hold the numbers of inputs and outputs at least; got [3].",
        ),
        ({"widths": [3, 0]}, ValueError, "`widths` must be at least 1; got 0."),
        ({"seeds": []}, ValueError, "`seeds` must hold one at least; got none."),
        ({"rate": 1.0}, ValueError, "`rate` must be in [0, 1); got 1.0."),
        ({"input_rate": 1}, ValueError, "`input_rate` must be in [0, 1); got 1.0."),
        (
            {"dropout": "alpha"},
            ValueError,
            "`dropout` must be one of 'alpha_dropout', 'dropout'; got 'alpha'.",
        ),
        (
            {"batch_norm": 1},
            TypeError,
            "`batch_norm` must be True or False; got 1.",
        ),
        (
            {"widths": [3, 5, 4, 2], "residual": True},
            ValueError,
            "`widths` of the hidden layers must be equal with residual=True; got "
            "[5, 4].",
        ),
    ],
)
def test_refuses_a_net(ensemble, arguments, error, text):
    good = {
        "widths": [3, 4, 2],
        "activation": "selu",
        "initializer": lecun_normal,
        "seeds": [0],
    }
    given = good | arguments
    got = refusal(ensemble.Ensemble, given.pop("widths"), **given)
    assert got == (error, f"Ensemble: {text}")


def test_refuses_an_activation_that_needs_more(ensemble):
    _, text = refusal(
        ensemble.Ensemble, [3, 2], activation="prelu", initializer=he_normal, seeds=[0]
    )
    assert text.startswith("Ensemble: `activation` must be one of 'celu', 'elu', ")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"learning_rate": [0.1]},
            ValueError,
            "`learning_rate` must be a number or one for each copy; got shape (1,) for "
            "2 copies.",
        ),
        (
            {"learning_rate": 0},
            ValueError,
            "`learning_rate` must be finite and above 0; got 0.0.",
        ),
        ({"epochs": 0}, ValueError, "`epochs` must be at least 1; got 0."),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1; got 0."),
        ({"momentum": 1}, ValueError, "`momentum` must be in [0, 1); got 1.0."),
        (
            {"y": np.zeros(4)},
            TypeError,
            "`y` must be integers; got torch.float64.",
        ),
        (
            {"y": np.zeros(5, int)},
            ValueError,
            "`x` must have shape (n, n_inputs) and `y` (n,); got (4, 6) and (5,).",
        ),
        (
            {"x": np.zeros((0, 6)), "y": np.zeros(0, int)},
            ValueError,
            "`x` must have a row; got none.",
        ),
    ],
)
def test_refuses_a_training(ensemble, build, arguments, error, text):
    good = {"x": np.zeros((4, 6)), "y": np.zeros(4, int)}
    given = good | {"learning_rate": 0.1, "epochs": 1} | arguments
    got = refusal(
        ensemble.train, build([0, 1]), given.pop("x"), given.pop("y"), **given
    )
    assert got == (error, f"train: {text}")


@pytest.mark.parametrize("shape", [(4, 5), (6,), (3, 4, 6), (1, 2, 4, 6)])
def test_refuses_inputs_of_another_shape(build, shape):
    got = refusal(build([0, 1]).layers, np.zeros(shape))
    assert got == (
        ValueError,
        f"Ensemble.layers: `x` must have shape (n, 6) or (2, n, 6); got {shape}.",
    )
