"""The exercises on batch normalization."""

import numpy as np

from companion.exercises._answers import (
    PERCENT,
    Number,
    array,
    call,
    formula,
    measured,
    numbers,
    several,
)
from companion.exercises._register import exercise
from companion.normalization import BatchNorm
from companion.recorded import facts_of


@exercise("normalization-1", "the outputs, the two gradients, and those of the inputs")
def _by_hand(answer):
    parts, problem = several(answer, 3)
    if problem:
        yield problem
        return
    x_hat, delta = np.array([-1.0, -1, 1, 1]), np.array([1.0, 0, 0, 0])
    y = 3 * x_hat + 1
    less_mean, along = delta - delta.mean(), x_hat * np.mean(delta * x_hat)
    given = np.array([(delta * x_hat).sum(), delta.sum()])
    expected = (
        (
            "The row of outputs",
            y,
            {
                "The outputs need gamma and beta.": x_hat,
                "The outputs need beta too.": 3 * x_hat,
                "In the outputs gamma and beta are the wrong way round.": x_hat + 3,
                "The variance of the batch is divided by the number of its rows, not "
                "by one less.": 3 * x_hat * np.sqrt(3) / 2 + 1,
            },
        ),
        (
            "The pair of gradients of gamma and beta",
            given,
            {
                "The gradients of gamma and beta are the wrong way round.": given[::-1],
                "Gamma multiplies the normalized values, not the outputs.": (
                    np.array([(delta * y).sum(), 1])
                ),
                "Gamma multiplies the normalized values, not the inputs.": (
                    np.array([0, 1])
                ),
                "The gradients of gamma and beta are sums, not means.": given / 4,
            },
        ),
        (
            "The row of gradients of the inputs",
            3 * (less_mean - along),
            {
                "The gradients of the inputs lack gamma.": less_mean - along,
                "Mean and variance depend on the inputs too.": 3 * delta,
                "The path through the mean is missing.": 3 * (delta - along),
                "The path through the variance is missing.": 3 * less_mean,
                "The gradients of the inputs hold means, not sums, of what comes from "
                "above.": 3 * (delta - 1 - 4 * along),
            },
        ),
    )
    for part, (what, wanted, mistakes) in zip(parts, expected, strict=True):
        # Epsilon may be that of a layer.
        yield from array(part, wanted, what, beside=1e-4, mistakes=mistakes)


@exercise("normalization-2", "a function of the variance and epsilon")
def _two_rows(answer):
    yield from formula(
        answer,
        lambda var, eps: eps / (var + eps) ** 1.5,
        [(1.0, 0.0), (4.0, 0.0), (1.0, 1e-5), (0.02, 1e-3), (2.0, 0.5)],
        mistakes={
            "It is zero without epsilon only.": lambda var, eps: 0.0,
            "Batch mean and variance depend on the inputs too.": (
                lambda var, eps: (var + eps) ** -0.5
            ),
            "That is the share that is left: the layer divides it besides.": (
                lambda var, eps: eps / (var + eps)
            ),
            "That is nearly the share that is left: the layer divides it besides.": (
                lambda var, eps: eps / var
            ),
            "That is nearly so, if epsilon is small.": (
                lambda var, eps: eps / var**1.5
            ),
        },
    )


@exercise("normalization-3", "the gradient of the bias, and the numbers that are saved")
def _bias(answer):
    each = "What of a convolution has a bias of its own: weights, pixels, channels?"
    pixel = "To add the same number to all inputs of a unit: what does it change?"
    yield from numbers(
        answer,
        Number("The gradient of the bias", 0.0, beside=1e-6, high=pixel, low=pixel),
        Number("The number of biases saved", 64, within=0, high=each, low=each),
    )


@exercise("normalization-4", "a function of sizes, means and variances of two parts")
def _parts(answer):
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((40, 3)), 2 * rng.standard_normal((24, 3)) + 3]
    (m1, mu1, v1), (m2, mu2, v2) = (
        (len(p), p.mean(axis=0), p.var(axis=0)) for p in parts
    )
    got, problem = call(
        answer, m1, mu1.copy(), v1.copy(), m2, mu2.copy(), v2.copy(), parts=2
    )
    if problem:
        yield problem
        return
    whole = np.concatenate(parts)
    m, gap = m1 + m2, (mu1 - mu2) ** 2
    within, between = (m1 * v1 + m2 * v2) / m, m1 * m2 * gap / m**2
    mean, var = got
    yield from array(
        mean,
        whole.mean(axis=0),
        "The mean",
        mistakes={"The means count alike, though the parts do not.": (mu1 + mu2) / 2},
    )
    yield from array(
        var,
        whole.var(axis=0),
        "The variance",
        mistakes={
            "The variance lacks what lies between the parts.": within,
            "The variance lacks what lies between the parts, and their sizes.": (
                (v1 + v2) / 2
            ),
            "In the variance both parts count alike, though they do not.": (
                (v1 + v2) / 2 + gap / 4
            ),
            "What lies between the parts grows with their sizes: it should not.": (
                within + between * m
            ),
            "What lies between the parts takes the sizes of both.": within + gap / 4,
            "The variance is divided by one less than the number.": (
                whole.var(axis=0, ddof=1)
            ),
            "That is the deviation, not the variance.": whole.std(axis=0),
        },
    )


@exercise("normalization-5", "two numbers of steps, and two of epochs")
def _forget(answer):
    def steps(momentum):
        return np.ceil(np.log(0.01) / np.log(momentum))

    epoch = "Divide the steps by those of one epoch: how many minibatches has it?"
    less = "After as many steps slightly more than that is left."
    other = "There momentum is the share of what is new."
    yield from numbers(
        answer,
        *(
            Number(
                f"The number of steps with {name}",
                steps(momentum),
                within=0,
                beside=0.9,  # it need not be rounded up
                mistakes={
                    "After as many steps a third is left.": 1 / (1 - momentum),
                    less: steps(momentum) - 1,
                    other: np.log(0.01) / np.log(1 - momentum),
                    "After as many steps a tenth is left.": (
                        np.ceil(np.log(0.1) / np.log(momentum))
                    ),
                },
            )
            for name, momentum in (("nine tenths", 0.9), ("Keras' default", 0.99))
        ),
        *(
            Number(
                f"The number of epochs with {name}",
                steps(momentum) / 16,
                within=0.1,
                high=epoch,
                low=epoch,
                mistakes={"That is how many steps it takes.": steps(momentum)},
            )
            for name, momentum in (("nine tenths", 0.9), ("Keras' default", 0.99))
        ),
    )


@exercise("normalization-6", "a function of weights, biases and a batch normalization")
def _forward(answer):
    rng = np.random.default_rng(0)
    norm = BatchNorm(4, eps=0.1)
    gamma, beta = rng.uniform(0.5, 2, 4), rng.standard_normal(4)
    norm.parameters = {"gamma": gamma, "beta": beta}
    norm.running_mean, norm.running_var = rng.standard_normal(4), rng.uniform(0.2, 3, 4)
    # With as many units above as below, a wrong axis is no error but a wrong result.
    W, b = rng.standard_normal((4, 4)), rng.standard_normal(4)
    weight, bias = W.copy(), b.copy()
    got, problem = call(answer, weight, bias, norm, parts=2)
    if problem:
        yield problem
        return
    if not (np.array_equal(weight, W) and np.array_equal(bias, b)):
        yield "The answer changes what it is given: return new arrays."
    mean, var = norm.running_mean, norm.running_var + norm.eps
    s = gamma / np.sqrt(var)
    t = beta - s * mean
    rows = s[:, None] * W
    yield from array(
        got[0],
        rows,
        "The array of weights",
        mistakes={
            "The columns are scaled, but the inputs are the rows.": s * W,
            "The weights are those of the layer as it was.": W,
            "Epsilon is missing.": (gamma / np.sqrt(norm.running_var))[:, None] * W,
            "The weights are divided by the variance, not by its root.": (
                (gamma / var)[:, None] * W
            ),
            "The weights lack gamma.": W / np.sqrt(var)[:, None],
        },
    )
    yield from array(
        got[1],
        b + t @ W,
        "The array of biases",
        mistakes={
            "The biases are those of the layer as it was.": b,
            "The biases lack those of the layer as it was.": t @ W,
            "The biases lack the running mean.": b + beta @ W,
            "The biases lack beta.": b - (s * mean) @ W,
            "What the biases hold of the running mean is not scaled.": (
                b + (beta - mean) @ W
            ),
            "What joins the biases is scaled twice.": b + t @ rows,
            "What joins the biases has to pass through the weights.": b + t,
            "These are the biases of a layer before the normalization.": (
                (b - mean) * s + beta
            ),
        },
    )


@exercise("normalization-7", "two accuracies: before the repair, after it")
def _camera(answer):
    facts = facts_of("normalization")
    before = facts["accuracy, another camera"]
    after = facts["accuracy, another camera, repaired"]
    lost = "That is what is lost, or nearly."
    yield from numbers(
        answer,
        measured(
            "The accuracy before the repair",
            before,
            mistakes={
                PERCENT: 100 * before.value,
                lost: after.value - before.value,
                "That is the accuracy after the repair.": after.value,
            },
            high="Are the test images those of the new camera?",
        ),
        measured(
            "The accuracy after the repair",
            after,
            within=0.01,  # other images of the new camera will do as well
            mistakes={
                PERCENT: 100 * after.value,
                "That is the accuracy before the repair.": before.value,
            },
            low="Which numbers in the net are those of the old camera still?",
        ),
    )


@exercise("normalization-8", "a function of two lengths, the rate and the decay")
def _decay(answer):
    def after(W, g, eta, decay):
        return np.hypot((1 - eta * decay) * W, eta * g)

    yield from formula(
        answer,
        after,
        [(2, 1, 0.5, 0.4), (10, 3, 0.05, 0), (1, 4, 0.5, 0.1), (3, 0, 0.1, 0.2)],
        mistakes={
            "The weights do not decay.": lambda W, g, e, d: after(W, g, e, 0),
            "The decay makes weights shorter, not longer.": (
                lambda W, g, e, d: after(W, g, e, -d)
            ),
            "The decay adds the weights once, not twice.": (
                lambda W, g, e, d: after(W, g, e, 2 * d)
            ),
            "The decay joins the gradient: the rate multiplies it too.": (
                lambda W, g, e, d: after(W, g, e, d / e)
            ),
            "The rate multiplies the gradient too.": (
                lambda W, g, e, d: after(W, g / e, e, d)
            ),
            "The gradient is at right angles: it does not shorten the weights.": (
                lambda W, g, e, d: W - e * (d * W + g)
            ),
            "The gradient is at right angles: the lengths do not add.": (
                lambda W, g, e, d: W - e * (d * W - g)
            ),
            "The gradient is at right angles, but it moves the weights all the same.": (
                lambda W, g, e, d: after(W, 0, e, d)
            ),
            "That is the square of the length.": lambda *given: after(*given) ** 2,
        },
    )
