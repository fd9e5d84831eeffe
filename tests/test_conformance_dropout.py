"""Every backend has the reference's dropout."""

import functools
import inspect

import numpy as np
import pytest
from backends import BACKENDS, CASES, FRAMEWORKS, backend_named
from dropouts import FORMS, MASKS, NAMES, check_drawn, check_masked, constants
from helpers import EPS, TINY, arrays, close, public, refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from companion import dropout as reference


def functions(backend):
    """Return dropout and alpha dropout of a backend by name."""
    module = backend_named(backend).topic("dropout")
    return {name: getattr(module, name) for name in NAMES}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_public_name_is_compared(backend):
    module = backend_named(backend).topic("dropout")
    more = {"alpha_dropout_affine", *(f"{name}_grad" for name in NAMES)}
    assert public(module) == {*NAMES, *(more if backend == "numpy" else ())}
    classes = set() if backend == "numpy" else {"Dropout", "AlphaDropout"}
    assert public(module, inspect.isclass) - {"_Masked", "_Dropout"} == classes


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.9])
@pytest.mark.parametrize(("name", "point"), FORMS)
def test_masked_dropout_conforms(name, point, rate, backend, dtype):
    for mask in MASKS.values():
        check_masked(name, backend_named(backend), dtype, rate, mask, **point)


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@pytest.mark.parametrize(("name", "point"), FORMS)
def test_drawn_dropout_conforms(name, point, backend, dtype):
    for rate in (0.05, 0.1, 0.5, 0.9):
        check_drawn(name, backend_named(backend), dtype, rate, **point)


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(data=st.data(), x=arrays(), rate=st.floats(0, 0.99))
def test_any_array_and_mask_give_the_value_of_the_reference(
    name, backend, data, x, rate
):
    shapes = hnp.broadcastable_shapes(x.shape, max_dims=x.ndim, max_side=4)
    fitting = shapes.filter(lambda s: np.broadcast_shapes(s, x.shape) == x.shape)
    mask = data.draw(hnp.arrays(bool, fitting))
    backend, dtype = backend_named(backend), x.dtype.name
    function = functions(backend.name)[name]
    y = function(backend.tensor(x, dtype), rate, mask=backend.tensor(mask, "bool"))
    assert (backend.dtype(y), tuple(y.shape)) == (dtype, x.shape)
    expected = getattr(reference, name)(x.astype(float), rate, mask=mask)
    value, a, b = constants(name, rate, {})
    size = a * np.abs(np.where(mask, x, 0).astype(float)) + abs(a * value) + abs(b)
    tolerance = 4 * EPS[dtype] * size + TINY[dtype]
    fits = ~(np.abs(expected) > 0.99 * np.finfo(dtype).max)  # else rounded to infinity
    close(backend.array(y)[fits], expected[fits], 0.0, tolerance[fits], name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_integers_become_the_default_float(name, backend):
    backend = backend_named(backend)
    mask = backend.tensor([True, False], "bool")
    for kind in ("int32", "uint8", "bool"):
        x = backend.tensor([1, 1], kind)
        y = functions(backend.name)[name](x, 0.5, mask=mask)
        assert backend.dtype(y) == backend.default_float
        assert backend.array(y)[0] != backend.array(y)[1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (7,), (2, 1, 3)])
def test_any_shape_is_kept(name, shape, backend):
    backend = backend_named(backend)
    x = backend.tensor(np.ones(shape), "float32")
    for arguments in (backend.source(1), {"mask": backend.tensor(True, "bool")}):
        y = functions(backend.name)[name](x, 0.5, **arguments)
        assert tuple(y.shape) == shape


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", NAMES)
def test_each_call_drops_others(name, backend):
    backend = backend_named(backend)
    x, source = backend.tensor(np.ones(1000), "float32"), backend.source(1)
    first, second = (
        backend.array(functions(backend.name)[name](x, 0.5, **source)) for _ in range(2)
    )
    # Half of them, give or take five standard deviations.
    assert abs(np.mean(first != second) - 0.5) < 5 * 0.5 / np.sqrt(1000)


@pytest.mark.parametrize("backend", BACKENDS)
def test_neighbors_are_dropped_independently(backend):
    """Four elements share 64 random bits in PyTorch: neither a lane nor a lag shows."""
    backend = backend_named(backend)
    n = 2**20
    x = backend.tensor(np.ones(n), "float32")
    for rate in (0.1, 0.5):
        y = functions(backend.name)["dropout"](x, rate, **backend.source(1))
        dropped = (backend.array(y) == 0) - rate
        var = rate * (1 - rate)
        lanes = dropped.reshape(-1, 4).mean(axis=0)
        assert np.abs(lanes).max() < 5 * np.sqrt(var / (n / 4))
        for lag in (*range(1, 9), 64, 1024):
            correlation = np.mean(dropped[lag:] * dropped[:-lag]) / var
            assert abs(correlation) < 5 / np.sqrt(n - lag), lag


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rate", [1e-4, 1 - 1e-4])
def test_rate_is_not_as_coarse_as_the_dtype(rate, backend):
    """Numbers drawn in float16 would be multiples of 1/1024."""
    backend = backend_named(backend)
    n = 2**20
    x = backend.tensor(np.ones(n), "float16")
    y = backend.array(functions(backend.name)["dropout"](x, rate, **backend.source(1)))
    assert abs(np.mean(y == 0) - rate) < 5 * np.sqrt(rate * (1 - rate) / n)


# --- refusals -------------------------------------------------------------------------
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rate", "kind", "text"),
    [
        (1, ValueError, "must be in [0, 1); got 1.0."),
        (1.0, ValueError, "must be in [0, 1); got 1.0."),
        (-0.1, ValueError, "must be in [0, 1); got -0.1."),
        (1.5, ValueError, "must be in [0, 1); got 1.5."),
        (np.nan, ValueError, "must be a finite number; got nan."),
        ("0.5", TypeError, "must be a real number; got '0.5'."),
        (True, TypeError, "must be a real number; got True."),
        (None, TypeError, "must be a real number; got None."),
    ],
)
def test_rate_is_refused(name, rate, kind, text, backend):
    x = backend_named(backend).tensor([1.0], "float32")
    function = functions(backend)[name]
    assert refusal(function, x, rate) == (kind, f"{name}: `rate` {text}")
    # Not only where it matters.
    expected = kind, f"{name}: `rate` {text}"
    assert refusal(function, x, rate, training=False) == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("constant", "bad", "kind", "text"),
    [
        ("alpha", "a", TypeError, "must be a real number; got 'a'."),
        ("scale", np.inf, ValueError, "must be a finite number; got inf."),
        ("mean", np.nan, ValueError, "must be a finite number; got nan."),
        ("mean", [0.0], TypeError, "must be a real number; got [0.0]."),
        ("var", 0, ValueError, "must be a finite number above 0; got 0.0."),
        ("var", -1.0, ValueError, "must be a finite number above 0; got -1.0."),
        ("var", True, TypeError, "must be a real number; got True."),
    ],
)
def test_constant_is_refused(constant, bad, kind, text, backend):
    x = backend_named(backend).tensor([1.0], "float32")
    expected = kind, f"alpha_dropout: `{constant}` {text}"
    function = functions(backend)["alpha_dropout"]
    assert refusal(function, x, 0.5, **{constant: bad}) == expected
    expected = kind, f"alpha_dropout_affine: `{constant}` {text}"
    affine = reference.alpha_dropout_affine
    assert refusal(affine, 0.5, **{constant: bad}) == expected


WORDS = {
    "numpy": ("boolean; got dtype {}", "Pass mask.astype(bool)"),
    "torch": ("a boolean torch.Tensor; got torch.{}", "Pass mask.bool()"),
    "tensorflow": ("boolean; got dtype {}", "Pass tf.cast(mask, bool)"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_mask_is_refused(name, training, backend):
    backend = backend_named(backend)
    what, mend = WORDS[backend.name]
    function = functools.partial(functions(backend.name)[name], training=training)
    x = backend.tensor(np.ones((2, 3)), "float32")
    for dtype in ("int64", "float32"):
        text = f"{name}: `mask` must be {what.format(dtype)}. {mend}."
        mask = backend.tensor(np.ones((2, 3)), dtype)
        assert refusal(function, x, 0.5, mask=mask) == (TypeError, text)
    for shape in ((2,), (3, 1), (1, 2, 3), (0,)):
        mask = backend.tensor(np.ones(shape), "bool")
        text = f"{name}: `mask` must broadcast to the shape (2, 3); got shape {shape}."
        assert refusal(function, x, 0.5, mask=mask) == (ValueError, text)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_other_arguments_are_refused(name, backend):
    backend = backend_named(backend)
    function = functions(backend.name)[name]
    for bad, end in backend.refused():
        text = f"{name}: `x` {end.replace('(z)', '(x)')}"
        assert refusal(function, bad, 0.5) == (TypeError, text)
    x = backend.tensor([1.0], "float32")
    for bad in (1, None, "yes"):
        text = f"{name}: `training` must be True or False; got {bad!r}."
        assert refusal(function, x, 0.5, training=bad) == (TypeError, text)
    source, text = {
        "numpy": ({}, "`rng` must be a numpy.random.Generator; got NoneType. Pass "
            "rng=numpy.random.default_rng(seed)."),
        "torch": ({"generator": 1}, "`generator` must be a torch.Generator or None; "
            "got int. Pass generator=torch.Generator().manual_seed(seed)."),
        "tensorflow": ({}, "`seed` must be an integer or a pair of integers in "
            "training; got None. Pass seed=step, another one at each call."),
    }[backend.name]  # fmt: skip
    assert refusal(function, x, 0.5, **source) == (TypeError, f"{name}: {text}")


def test_gradients_of_the_reference_refuse_in_their_own_name():
    for name in NAMES:
        f_grad = getattr(reference, f"{name}_grad")
        text = f"{name}_grad: `rate` must be in [0, 1); got 1.0."
        assert refusal(f_grad, [1.0], 1) == (ValueError, text)
