"""Nets computed at once in PyTorch: each is what the references say it is."""

import importlib

import numpy as np
import pytest

from companion import mlp, training
from companion.initializers import glorot_normal, he_normal, lecun_normal

torch = pytest.importorskip("torch")
ensembles = importlib.import_module("ensembles")
ensemble = importlib.import_module("companion.torch.ensemble")
WIDTHS, SEEDS = ensembles.WIDTHS, ensembles.SEEDS
build, close, numbers = ensembles.build, ensembles.close, ensembles.numbers


@pytest.mark.parametrize(
    ("activation", "initializer"), [("selu", lecun_normal), ("relu", he_normal)]
)
def test_it_is_the_reference_in_numpy(activation, initializer):
    seeds, rates = [0, 1, 7], [0.01, 0.05, 0.1]
    x, y = ensembles.rows(50)
    reference = mlp.stack(
        WIDTHS,
        activation=activation,
        initializer=initializer,
        rng=[np.random.default_rng(seed) for seed in seeds],
    )
    history = training.fit(
        reference,
        *(x, y),
        optimizer=training.SGD(rates, momentum=0.8),
        epochs=5,
        batch_size=16,
        rng=[np.random.default_rng([seed, 1]) for seed in seeds],
        progress=False,
    )
    net = build(seeds=seeds, activation=activation, initializer=initializer)
    options = {"epochs": 5, "batch_size": 16, "momentum": 0.8}
    losses = ensemble.train(net, x, y, learning_rate=rates, **options).losses
    close(losses, history.loss)
    close(ensemble.evaluate(net, x, y), training.evaluate(reference, x, y))
    outputs = reference.layers[1].forward(reference.layers[0].forward(x))
    close(numbers(net.layers(x))[0], outputs)


@pytest.mark.parametrize("method", ensemble.METHODS)
def test_each_method_is_what_modules_of_pytorch_are(method):
    x, y = ensembles.rows(52)  # minibatches of 16, 16, 16 and 4 rows
    net, rates = build(method), [0.05, 0.02, 0.1]
    modules = [ensembles.Modules(method, net, k) for k in range(3)]
    options = {"epochs": 3, "batch_size": 16, "momentum": 0.8, "by_step": True}
    losses = ensemble.train(net, x, y, learning_rate=rates, **options).losses
    logits = ensemble.predict(net, x)
    for k, one in enumerate(modules):
        rng = np.random.default_rng([SEEDS[k], 1])
        batches = [
            b for _ in range(3) for b in np.split(rng.permutation(52), [16, 32, 48])
        ]
        close(losses[:, k], one.train(x, y, batches, rates[k], 0.8))
        assert len(one.learned) == len(net.parameters)
        for ours, theirs in zip(net.parameters, one.learned, strict=True):
            close(*numbers([ours[k].mT.squeeze(), theirs.squeeze()]))
        for i, norm in enumerate(one.norms if net.running_means else []):
            close(net.running_means[i][k, 0], norm.running_mean)
            close(net.running_variances[i][k, 0], norm.running_var)
        close(*numbers([logits[k], one.model.eval()(torch.tensor(x))]))


def test_methods_differ_in_what_they_say():
    methods = ensemble.METHODS
    assert list(methods) == [
        *("selu", "relu", "batch_norm", "layer_norm", "weight_norm"),
        *("highway", "residual"),
    ]
    relu = {"activation": "relu", "initializer": he_normal, "dropout": "dropout"}
    assert methods["selu"] == {
        "activation": "selu",
        "initializer": lecun_normal,
        "dropout": "alpha_dropout",
    }
    added = {
        name: dict(options.items() - relu.items()) for name, options in methods.items()
    }
    assert added | {"selu": None} == {
        "selu": None,
        "relu": {},
        "batch_norm": {"normalization": "batch"},
        "layer_norm": {"normalization": "layer"},
        "weight_norm": {"normalization": "weight"},
        "highway": {"skip": "highway"},
        "residual": {"normalization": "batch", "skip": "residual"},
    }


def test_skip_connections_go_around_pairs():
    x = ensembles.rows(10)[0]
    net, h = build(skip="residual", seeds=[0]), torch.tensor(x)
    outputs = net.layers(x)
    for i, kept in enumerate([0, 0, outputs[0][0], 0]):
        z = h @ net.weights[i][0] + net.biases[i][0]
        h = torch.nn.functional.selu(z) + kept
        close(*numbers([outputs[i][0], h]))


def test_gates_start_nearly_shut():
    net = build("highway")
    assert len(net.gate_weights) == len(WIDTHS) - 3
    assert all((b == -1).all() for b in net.gate_biases)
    # Drawn after all weights, from the same generators, as the weights are.
    rng = np.random.default_rng(SEEDS[1])
    drawn = [he_normal(w.shape[1:], rng=rng) for w in net.weights + net.gate_weights]
    for ours, theirs in zip(net.weights + net.gate_weights, drawn, strict=True):
        np.testing.assert_array_equal(ours[1].detach(), theirs)


def test_each_copy_may_have_an_initializer_of_its_own():
    draws = [lecun_normal, he_normal, glorot_normal]
    net = build(initializer=draws)
    for k, draw in enumerate(draws):
        alone = build(initializer=draw, seeds=[SEEDS[k]])
        for ours, theirs in zip(net.parameters, alone.parameters, strict=True):
            assert torch.equal(ours[k], theirs[0])


def test_columns_of_normalized_weights_start_with_their_own_lengths():
    x = ensembles.rows(10)[0]
    net = build("weight_norm")
    for w, scale in zip(net.weights[:-1], net.scales, strict=True):
        close(*numbers([scale, w.square().sum(dim=1, keepdim=True).sqrt()]))
    for h, expected in zip(net.layers(x), build("relu").layers(x), strict=True):
        close(*numbers([h, expected]))


@pytest.mark.parametrize("name", ensemble.ACTIVATIONS)
def test_activations_are_known_by_name(name):
    x = ensembles.rows(10)[0]
    net = build(activation=name, widths=[6, 4, 3])
    z = torch.tensor(x) @ net.weights[0]
    function = getattr(importlib.import_module("companion.torch.activations"), name)
    close(*numbers([net.layers(x)[0], function(z)]))
    own = build(activation=function, widths=[6, 4, 3])
    assert torch.equal(own.logits(x), net.logits(x))


@pytest.mark.parametrize("method", ensemble.METHODS)
def test_some_copies_are_taken_and_put_back(method):
    x, y = ensembles.rows(40)
    net = build(method)
    ensemble.train(net, x, y, learning_rate=0.05, epochs=1)
    before = [w.copy() for w in ensembles.state(net)]
    part = net.take([2, 0])
    assert part.seeds == (4, 3)
    close(*numbers([part.logits(x), net.logits(x)[[2, 0]]]))
    ensemble.train(part, x, y, learning_rate=0.05, epochs=1)
    for ours, theirs in zip(ensembles.state(net), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    net.put([1], part, [0])
    after = zip(ensembles.state(net), before, ensembles.state(part), strict=True)
    for ours, old, new in after:
        np.testing.assert_array_equal(ours, np.stack([old[0], new[0], old[2]]))
    assert all(w.requires_grad for w in (*net.parameters, *part.parameters))


@pytest.mark.parametrize("method", ensemble.METHODS)
def test_predictions_do_not_hang_on_the_other_rows(method):
    x, y = ensembles.rows(50)
    net = build(method, rate=0.2, input_rate=0.2)
    ensemble.train(net, x, y, learning_rate=0.02, epochs=2)
    logits = ensemble.predict(net, x)
    assert not logits.requires_grad
    assert torch.equal(logits, ensemble.predict(net, x))
    close(ensemble.predict(net, x, batch_size=7), logits)
    close(ensemble.predict(net, np.stack([x, x, x])[:, 20:21]), logits[:, 20:21])
    close(net.layers(x)[-1].detach(), logits)
    assert torch.equal(net.logits(x).detach(), net.layers(x)[-1].detach())


def test_evaluation_is_loss_and_accuracy():
    x, y = ensembles.rows(3, 20)
    net = build()
    losses, accuracies = ensemble.evaluate(net, x, y)
    for k, logits in enumerate(ensemble.predict(net, x).numpy()):
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        close(losses[k], -logs[np.arange(20), y[k]].mean())
        close(accuracies[k], (logits.argmax(axis=1) == y[k]).mean())


def test_evaluation_leaves_out_unknown_labels():
    x = ensembles.rows(20)[0]
    y = np.random.default_rng(1).choice([0, 1, np.nan], (20, 3))
    net = build()
    losses, accuracies = ensemble.evaluate(net, x, y, loss="binary_cross_entropy")
    for k, logits in enumerate(ensemble.predict(net, x).tolist()):
        terms, right = [], []
        for row, labels in zip(logits, y, strict=True):
            for z, label in zip(row, labels, strict=True):
                if not np.isnan(label):
                    terms.append(np.log1p(np.exp(-z if label else z)))
                    right.append((z > 0) == (label == 1))
        close(losses[k], np.mean(terms))
        close(accuracies[k], np.mean(right))


def test_computes_in_the_dtype_asked_for():
    x, y = ensembles.rows(20)
    net = build("residual", dtype=torch.float32)
    ensemble.train(net, x, y, learning_rate=0.1, epochs=1)
    tensors = (*net.parameters, *net.running_means, *net.layers(x), net.logits(x))
    assert {t.dtype for t in tensors} == {torch.float32}


def test_the_exercises_know_the_kinds_of_nets_by_the_same_names():
    replications = importlib.import_module("companion.exercises._replications")
    assert tuple(ensemble.METHODS) == replications.KINDS
