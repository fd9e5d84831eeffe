"""The doctor for Keras leaves no trace: of what a call changes, nothing is changed."""

import random
import threading

import numpy as np
import pytest


@pytest.fixture(scope="module")
def diagnose():
    pytest.importorskip("tensorflow")
    from companion.tensorflow.diagnostics import diagnose

    return diagnose


@pytest.fixture(scope="module")
def nets(diagnose):
    import keras_nets

    return keras_nets


def state(nets, model):
    """Return all that a call of a restless model changes."""
    tf, generator = nets.tf, nets.tf.random.get_global_generator()
    return {
        **{
            f"{i}: {variable.name}": variable.numpy().tobytes()
            for i, variable in enumerate([*model.variables, *model.seen.variables])
        },
        "variable of TensorFlow": model.count.numpy(),
        "generator of the model": model.generator.state.numpy().tolist(),
        "losses": [float(loss) for loss in model.losses],
        "Python": random.getstate(),
        "NumPy": repr(np.random.get_bit_generator().state),
        "TensorFlow": generator.state.numpy().tolist(),
        "next of TensorFlow": tf.random.normal((2,)).numpy().tolist(),
        "next of Keras": nets.keras.random.normal((2,)).numpy().tolist(),
        "next of Python": random.random(),  # from which Keras may have drawn a seed
    }


def restless(nets, **arguments):
    """Return a restless model that has been built, with the losses of a call."""
    nets.keras.utils.set_random_seed(0)
    model = nets.Restless(**arguments)
    x = nets.numbers(16, 4)
    model(x)
    return model, x


def states(nets, change, **arguments):
    """Return the states of two equal models, the second after `change`."""
    found = []
    for one in (lambda model, x: None, change):
        model, x = restless(nets, **arguments)
        nets.tf.random.get_global_generator().reset_from_seed(1)
        nets.keras.utils.set_random_seed(1)
        one(model, x)
        found.append(state(nets, model))
    return found


@pytest.mark.parametrize("fails", [False, True, "in the loss"])
def test_nothing_is_changed(nets, diagnose, fails):
    """Neither by a diagnosis that ends, nor by one that does not."""

    def change(model, x):
        kept, replaced = x.copy(), nets.replaced(model)
        if fails:
            with pytest.raises((RuntimeError, ZeroDivisionError)):
                diagnose(model, x, loss=lambda outputs: 1 / 0)
        else:
            diagnose(model, x, loss=nets.tf.reduce_sum)
        assert nets.replaced(model) == replaced
        np.testing.assert_array_equal(x, kept)
        pairs = zip(model.meanwhile, replaced, strict=True)
        assert not any(meanwhile == now for meanwhile, now in pairs)

    before, after = states(nets, change, fails=fails is True)
    assert before == after


def test_a_call_changes_all_of_that(nets):
    """All but weights; else the test above could not fail."""
    before, after = states(nets, lambda model, x: model(x, training=True))
    same = {name.split()[-1] for name in before if before[name] == after[name]}
    assert same == {"gamma", "beta", "kernel", "bias", "recurrent_kernel"}


def test_what_is_not_built_is_built(nets, diagnose):
    """By a call without training; nothing else is changed."""
    found = []
    for build in (
        lambda model, x: model(x),
        lambda model, x: diagnose(model, x, loss=nets.tf.reduce_sum),
    ):
        nets.keras.utils.set_random_seed(0)
        nets.tf.random.get_global_generator().reset_from_seed(1)
        model = nets.Restless()
        build(model, nets.numbers(16, 4))
        found.append(state(nets, model))
    assert found[0] == found[1]


def test_another_thread_is_left_alone(nets, diagnose):
    other = nets.keras.Sequential([nets.layers.Dense(3, "relu", name="other")])

    def between(x):
        thread = threading.Thread(target=other, args=(nets.numbers(2, 2),))
        thread.start()
        thread.join()
        return x

    model, x, _ = nets.subclassed(between=between)
    names = [layer.partition(":")[0] for layer in diagnose(model, x).layers]
    assert names == [*(f"own_{i}" for i in range(6)), "last"]
    assert other.built


def test_two_diagnoses_at_once_do_not_mix(nets, diagnose):
    original = nets.keras.Operation.__call__
    arguments = [nets.dense(), nets.subclassed()]
    expected = [diagnose(*one).layers for one in arguments]
    got = [None, None]

    def run(i):
        got[i] = diagnose(*arguments[i]).layers

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected
    assert nets.keras.Operation.__call__ is original
