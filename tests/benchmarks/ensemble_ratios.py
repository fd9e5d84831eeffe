"""Nets a second, trained at once and one by one: `make bench`.

Wall-clock time, since idle cores are to count: nothing else may run meanwhile.
"""

import functools

import joblib
import numpy as np
import pytest
from timing import in_turns, wall_time

EPOCHS, NETS = 10, 32


@pytest.fixture(scope="module")
def train_all():
    """Give a function that trains all nets at once, a part of them on each core."""
    pytest.importorskip("torch")
    cores = joblib.cpu_count()
    parts = [part.tolist() for part in np.array_split(np.arange(NETS), cores)]
    with joblib.Parallel(n_jobs=cores) as parallel:

        def call():
            losses = parallel(joblib.delayed(_part)(part) for part in parts)
            assert np.mean(np.concatenate(losses)) < 1  # they have learned

        yield call


def _part(seeds):
    import torch
    from digit_nets import at_once

    torch.set_num_threads(1)
    return at_once(seeds, EPOCHS)


def turns_of(train_all, *singles):
    """Return seconds a net at once, and one by one in the quickest way."""
    options = {"turns": 5, "warm_up": 1, "clock": wall_time}
    together, *alone = in_turns(train_all, *singles, **options)
    return together / NETS, min(alone, key=np.median)


def test_at_once_over_one_by_one_in_torch(train_all, report):
    import torch
    from digit_nets import one

    threads = torch.get_num_threads()

    def train_net(count):
        torch.set_num_threads(count)
        assert one(EPOCHS) < 1

    try:
        calls = [functools.partial(train_net, count) for count in {threads, 1}]
        report("cpu-ensemble-torch", *turns_of(train_all, *calls))
    finally:
        torch.set_num_threads(threads)


def test_at_once_over_one_by_one_in_keras(train_all, report):
    pytest.importorskip("companion.tensorflow")  # which loads Triton before
    import keras
    from digit_nets import BATCH_SIZE, DEPTH, LEARNING_RATE, MOMENTUM, RATE, WIDTH, rows

    x, y = rows()

    def train_net():
        keras.backend.clear_session()  # else each net would slow the next one down
        start = {"activation": "selu", "kernel_initializer": "lecun_normal"}
        model = keras.Sequential([keras.Input(x.shape[1:])])
        for _ in range(DEPTH):
            model.add(keras.layers.Dense(WIDTH, **start))
            model.add(keras.layers.AlphaDropout(RATE))
        model.add(keras.layers.Dense(10))
        model.compile(
            optimizer=keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        options = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "verbose": 0}
        assert model.fit(x, y, **options).history["loss"][-1] < 1

    report("cpu-ensemble-keras", *turns_of(train_all, train_net))
