"""Nets a second, trained at once and one by one: `make bench`.

Deep self-normalizing nets learn the digits.  Wall-clock time, since idle cores are to
count: nothing else may run meanwhile.
"""

import functools
import time

import joblib
import numpy as np
import pytest

from companion.datasets import load

DEPTH, WIDTH, RATE = 16, 64, 0.05
BATCH_SIZE, EPOCHS, LEARNING_RATE, MOMENTUM = 32, 10, 0.01, 0.9


@pytest.fixture(scope="module")
def rows():
    data = load("digits")
    return data.x_train.astype(np.float32), data.y_train.astype(np.int64)


@functools.cache
def rate_at_once():
    """Measure how many nets a second 32 at once are, a part of them on each core."""
    import torch

    from companion.torch.ensemble import METHODS, Ensemble, train

    data = load("digits")
    widths = [data.x_train.shape[1], *DEPTH * [WIDTH], 10]

    def train_nets(seeds):
        torch.set_num_threads(1)
        net = Ensemble(
            widths, seeds=seeds, rate=RATE, dtype=torch.float32, **METHODS["selu"]
        )
        history = train(
            *(net, data.x_train, data.y_train),
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
        )
        return history.losses[-1]

    cores = joblib.cpu_count()
    parts = [part.tolist() for part in np.array_split(np.arange(32), cores)]
    with joblib.Parallel(n_jobs=cores) as parallel:

        def train_all():
            losses = parallel(joblib.delayed(train_nets)(part) for part in parts)
            return np.mean(np.concatenate(losses))

        return rate_of(f"32 at once, processes: {cores}", train_all, nets=32)


def rate_of(what, function, nets=1):
    """Print and return the nets a second that a function trains at best.

    Called once before that.  The function returns their last loss, which shows that all
    learn alike.
    """
    function()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        loss = function()
        times.append(time.perf_counter() - start)
    rate = nets / min(times)
    print(f"\n{what}: {rate:.3f} nets a second, loss {loss:.2f}", end="")
    return rate


def test_at_once_over_one_by_one_in_torch(rows):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    x, y = map(torch.from_numpy, rows)

    def train_net():
        layers, n = [], x.shape[1]
        for _ in range(DEPTH):
            layers += [nn.Linear(n, WIDTH), nn.SELU(), nn.AlphaDropout(RATE)]
            n = WIDTH
        model = nn.Sequential(*layers, nn.Linear(n, 10))
        for layer in model[::3]:  # LeCun's initialization
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
        for _ in range(EPOCHS):
            total = 0.0
            for batch in torch.randperm(len(x)).split(BATCH_SIZE):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(batch)
        return total.item() / len(x)

    at_once, one_by_one, threads = rate_at_once(), [], torch.get_num_threads()
    try:
        for count in {threads, 1}:
            torch.set_num_threads(count)
            what = f"one by one in PyTorch, threads: {count}"
            one_by_one.append(rate_of(what, train_net))
    finally:
        torch.set_num_threads(threads)
    ratio = at_once / max(one_by_one)
    print(f"\n32 nets at once: {ratio:.1f} times as fast as one by one in PyTorch")
    assert ratio > 3


def test_at_once_over_one_by_one_in_keras(rows):
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    import keras

    ends = []
    notes = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
    )

    def train_net():
        keras.backend.clear_session()  # else each net would slow the next one down
        ends.clear()
        start = {"activation": "selu", "kernel_initializer": "lecun_normal"}
        model = keras.Sequential([keras.Input(rows[0].shape[1:])])
        for _ in range(DEPTH):
            model.add(keras.layers.Dense(WIDTH, **start))
            model.add(keras.layers.AlphaDropout(RATE))
        model.add(keras.layers.Dense(10))
        model.compile(
            optimizer=keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        history = model.fit(
            *rows,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            verbose=0,
            callbacks=[notes],
        )
        return history.history["loss"][-1]

    one_by_one = rate_of("one by one in Keras", train_net)
    later = (EPOCHS - 1) / (ends[-1] - ends[0]) / EPOCHS
    print(f"\nwithout the first epoch, which compiles: {later:.3f} nets a second")
    ratio = rate_at_once() / one_by_one
    print(f"\n32 nets at once: {ratio:.1f} times as fast as one by one in Keras")
    assert ratio > 15
