"""The checks of dropout can fail: faults are planted, and found."""

import functools

import numpy as np
import pytest
from backends import FRAMEWORKS, backend_named
from dropouts import MASKS, check_drawn, check_masked

from companion import dropout as reference


def faults(backend):
    """Give functions that differ from alpha dropout, and the words that say so."""
    module = backend.topic("dropout")
    right, library = module.alpha_dropout, backend.framework

    def wrong_sign(x, rate, *, alpha=reference.SELU_ALPHA, **rest):
        return right(x, rate, alpha=-alpha, **rest)

    def b_forgotten(x, rate, *, mean=0.0, **rest):
        b = reference.alpha_dropout_affine(rate)[1]
        return right(x, rate, mean=mean, **rest) - b

    def a_of_the_keep_probability(x, rate, *, mean=0.0, **rest):
        y = right(x, rate, mean=mean, **rest)
        other, own = (reference.alpha_dropout_affine(r)[0] for r in (1 - rate, rate))
        return y * (other / own)

    def backward_without_mask(x, rate, **rest):
        y = stopped(right(x, rate, **rest))
        a = reference.alpha_dropout_affine(rate)[0]
        finite = library.where(x - x == 0, x, library.zeros_like(x))
        return y + a * (finite - stopped(finite))

    def multiplied(x, rate, *, mask=None, **rest):
        if mask is None:
            return right(x, rate, **rest)
        return right(x, rate, mask=mask, **rest) + 0 * x

    def seed_ignored(x, rate, *, mask=None, **rest):
        source = {} if mask is not None else backend.source(1)
        rest.pop(backend.random, None)
        return right(x, rate, mask=mask, **rest, **source)

    def always_the_first_rows(x, rate, *, mask=None, **rest):
        if mask is None:
            n = len(x)
            mask = backend.tensor(np.arange(n) >= round(rate * n), "bool")
        return right(x, rate, mask=mask, **rest)

    def stopped(x):
        return x.detach() if backend.name == "torch" else library.stop_gradient(x)

    yield wrong_sign, "value", "value"
    yield b_forgotten, "value", "value"
    yield a_of_the_keep_probability, "value", "value"
    yield backward_without_mask, "gradient", "share"
    yield multiplied, "value", None
    yield seed_ignored, None, "another seed drops 0% others"
    yield always_the_first_rows, None, "another seed drops 0% others"


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_checks_find_planted_faults(backend):
    backend = backend_named(backend)
    right = backend.topic("dropout").alpha_dropout
    mask = MASKS["one for each element"]
    for fault, masked, drawn in faults(backend):
        fault = functools.update_wrapper(fault, right)
        given_ = "alpha_dropout", backend, "float32", 0.25  # a multiple of 1/65536
        for check, arguments, words in (
            (check_masked, (*given_, mask), masked),
            (check_drawn, given_, drawn),
        ):
            if words is None:
                check(*arguments, function=fault)
                continue
            with pytest.raises(AssertionError, match=f"float32: {words}"):
                check(*arguments, function=fault)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, b: (a, b + 0.05), "mean"),
        (lambda a, b: (1.05 * a, 1.05 * b), "variance"),
    ],
)
def test_moments_find_a_wrong_correction_that_all_share(change, words, monkeypatch):
    affine = reference.alpha_dropout_affine

    def wrong(rate, **point):
        return change(*affine(rate, **point))

    backend = backend_named("numpy")
    check_drawn("alpha_dropout", backend, "float64", 0.2)
    monkeypatch.setattr(reference, "alpha_dropout_affine", wrong)
    with pytest.raises(AssertionError, match=f"float64: {words}"):
        check_drawn("alpha_dropout", backend, "float64", 0.2)
