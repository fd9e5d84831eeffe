"""Optimizers: against both frameworks, their equations, copies against nets alone."""

import numpy as np
import pytest

from companion.mlp import Dense, PReLU, softmax_cross_entropy, stack
from companion.training import SGD, Adam, Nadam, RMSProp, fit

STEPS = 100
#: Exact in float32, as are the betas: to that Keras rounds them even for float64.
RATES = np.where(np.arange(STEPS) < 60, 2.0**-6, 2.0**-8)
BETAS = {"beta_1": 0.875, "beta_2": 1 - 2.0**-10}
NAMES = {
    "gradient descent": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.875}),
    "Nesterov": (SGD, {"momentum": 0.875, "nesterov": True}),
    "RMSProp": (RMSProp, {}),
    "Adam": (Adam, {}),
    "Nadam": (Nadam, {}),
}
ALL = [SGD, RMSProp, Adam, Nadam]


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(n=50, seed=42):
    x = rng(seed).standard_normal((n, 4))
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)


def close(actual, expected):
    """Compare to the rounding of a hundred steps, each of a few operations."""
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-12)


def one_weight(value=1.0, shape=(1,)):
    layer = PReLU(*shape)
    layer.parameters["alpha"] = np.full(shape, value)
    return layer


def moves(optimizer, gradients):
    """Return by how much each of a sequence of gradients moves a weight."""
    layer, moved = one_weight(0.0), []
    for g in gradients:
        before = layer.parameters["alpha"].copy()
        layer.gradients = {"alpha": np.array([g])}
        optimizer.step([layer])
        moved.append((before - layer.parameters["alpha"]).item())
    return np.array(moved)


# --- the frameworks -------------------------------------------------------------------
def history(optimizer):
    """Train a net; return its parameters at first, its gradients, and the last ones."""
    x, y = rows()
    net = stack([4, 6, 3], activation="relu", rng=rng(2))
    # Inputs and classes that are rare have gradients near 0, where epsilon counts.
    x = x * [1, 1, 1, 1e-4]
    start, gradients = list(arrays(net)), []
    for step in range(STEPS):
        batch = rng(step).choice(len(x), 10)
        _, gradient = softmax_cross_entropy(net.forward(x[batch]), y[batch])
        net.backward(gradient)
        found = [g for layer in net.trainable for g in layer.gradients.values()]
        gradients.append(found)
        optimizer.learning_rate = RATES[step]
        optimizer.step(net.trainable)
    return start, gradients, list(arrays(net))


def arrays(net):
    return (w for layer in net.trainable for w in layer.parameters.values())


@pytest.fixture
def torch():
    """PyTorch with float64 as its default, in which it then keeps Nadam's product."""
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_steps_are_those_of_torch(name, torch):
    ours, options = NAMES[name]
    start, gradients, end = history(ours.like("torch", 1.0, **options))
    theirs = {SGD: "SGD", RMSProp: "RMSprop", Adam: "Adam", Nadam: "NAdam"}[ours]
    weights = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in start]
    optimizer = getattr(torch.optim, theirs)(weights, lr=1.0, **options)
    for rate, step in zip(RATES, gradients, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        for w, g in zip(weights, step, strict=True):
            w.grad = torch.from_numpy(g)
        optimizer.step()
    for w, expected, before in zip(end, weights, start, strict=True):
        assert np.abs(w - before).max() > 0.01
        close(w, expected.detach().numpy())


@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_steps_are_those_of_keras(name):
    keras = pytest.importorskip("keras")
    ours, options = NAMES[name]
    options = options | (BETAS if ours in (Adam, Nadam) else {})
    start, gradients, end = history(ours.like("keras", 1.0, **options))
    theirs = {SGD: "SGD", RMSProp: "RMSprop", Adam: "Adam", Nadam: "Nadam"}[ours]
    weights = [keras.Variable(w, dtype="float64") for w in start]
    optimizer = getattr(keras.optimizers, theirs)(learning_rate=1.0, **options)
    for rate, step in zip(RATES, gradients, strict=True):
        optimizer.learning_rate = rate
        tensors = [keras.ops.convert_to_tensor(g, "float64") for g in step]
        optimizer.apply(tensors, weights)
    for w, expected, before in zip(end, weights, start, strict=True):
        assert np.abs(w - before).max() > 0.01
        if ours is Nadam:  # rounds its constant, 0.96, to float32 too
            np.testing.assert_allclose(w, expected.value.numpy(), atol=1e-7)
        else:
            close(w, expected.value.numpy())


@pytest.mark.parametrize(
    ("make", "name"), [(RMSProp, "RMSprop"), (Adam, "Adam"), (Nadam, "Nadam")]
)
def test_defaults_are_those_of_keras(make, name):
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.optimizers, name)()
    ours = make.like("keras", 0.001)
    assert ours.eps == theirs.epsilon
    for setting in ("rho", "beta_1", "beta_2"):
        assert getattr(ours, setting, None) == getattr(theirs, setting, None)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gradient descent"])
def test_the_frameworks_differ(name):
    # Else a comparison with the one could not tell that the other was built.
    make, options = NAMES[name]
    one, other = (
        np.concatenate(
            [w.ravel() for w in history(make.like(which, 1.0, **options))[2]]
        )
        for which in ("torch", "keras")
    )
    with pytest.raises(AssertionError):
        close(one, other)


# --- the equations --------------------------------------------------------------------
G = rng(5).standard_normal(8)
T = np.arange(1, 9)


def average(beta, values):
    """Return the weighted means of all values up to each, the newest with weight 1."""
    found = []
    for t in T:
        w = beta ** np.arange(t - 1, -1, -1.0)
        found.append((w * values[:t]).sum() / w.sum())
    return np.array(found)


def test_nesterov_takes_the_gradient_where_the_momentum_leads():
    # Sutskever et al. (2013), on a function whose gradient is the sine.
    theta, v, mu, rate = 2.0, 0.0, 0.75, 0.5
    layer, optimizer = one_weight(theta), SGD(rate, mu, nesterov=True)
    for _ in range(6):
        w = layer.parameters["alpha"]
        np.testing.assert_allclose(w, theta + mu * v, rtol=1e-12)
        layer.gradients = {"alpha": np.sin(w)}
        optimizer.step([layer])
        v = mu * v - rate * np.sin(theta + mu * v)
        theta += v
    assert 0.01 < abs(theta) < 1  # it moved, and is not yet where nothing moves


@pytest.mark.parametrize("nesterov", [False, True])
def test_where_the_rate_stands_matters_only_if_it_changes(nesterov):
    both = [SGD(0.25, 0.5, nesterov, rate_inside=inside) for inside in (False, True)]
    one, other = (moves(optimizer, G) for optimizer in both)
    np.testing.assert_allclose(one, other, rtol=1e-14)
    for optimizer in both:
        optimizer.learning_rate = 0.125
    # v is 1/4 of what it is without the rate, and is then added to 1/8 of 1.
    v = sum(0.5**i * g for i, g in enumerate(G[::-1]))
    outside, inside = ((1 + 0.5 * v) / 8, 1 / 8 + 0.5 * v / 4)
    if nesterov:
        outside, inside = (1 / 8 + outside / 2, 1 / 8 + inside / 2)
    moved = [moves_further(optimizer, 1.0) for optimizer in both]
    np.testing.assert_allclose(moved, [outside, inside], rtol=1e-13)


def moves_further(optimizer, g):
    """Return by how much an optimizer moves the one weight that it has seen."""
    ((layer, _),) = optimizer.state
    before = layer.parameters["alpha"].copy()
    layer.gradients = {"alpha": np.array([g])}
    optimizer.step([layer])
    return (before - layer.parameters["alpha"]).item()


@pytest.mark.parametrize("inside", [False, True])
def test_rmsprop_is_its_equation(inside):
    rho, eps = 0.75, 0.1
    s = average(rho, G**2) * (1 - rho**T)
    root = np.sqrt(s + eps) if inside else np.sqrt(s) + eps
    got = moves(RMSProp(0.5, rho, eps, eps_inside=inside), G)
    np.testing.assert_allclose(got, 0.5 * G / root, rtol=1e-13)


@pytest.mark.parametrize("eps_hat", [False, True])
def test_adam_is_its_equation(eps_hat):
    eps, beta_2 = 0.1, 0.875
    m, v = average(0.75, G), average(beta_2, G**2)
    root = np.sqrt(v) + (eps / np.sqrt(1 - beta_2**T) if eps_hat else eps)
    got = moves(Adam(0.5, 0.75, beta_2, eps, eps_hat=eps_hat), G)
    np.testing.assert_allclose(got, 0.5 * m / root, rtol=1e-13)


@pytest.mark.parametrize("decay", [None, 0.5])
def test_nadam_is_its_equation(decay):
    eps, beta_1, beta_2 = 0.1, 0.75, 0.875
    steps = np.arange(1, 10)
    mu = beta_1 * (1 - 0.5 * 0.96 ** (decay * steps)) if decay else beta_1 + 0 * steps
    product = np.cumprod(mu)
    m = average(beta_1, G) * (1 - beta_1**T)
    m_hat = mu[1:] * m / (1 - product[1:]) + (1 - mu[:-1]) * G / (1 - product[:-1])
    root = np.sqrt(average(beta_2, G**2)) + eps
    got = moves(Nadam(0.5, beta_1, beta_2, eps, momentum_decay=decay), G)
    np.testing.assert_allclose(got, 0.5 * m_hat / root, rtol=1e-13)


def test_adam_corrects_a_beta_that_changes():
    # The average of equal gradients is that gradient, whatever their weights.
    layer, optimizer = one_weight(0.0), Adam(0.5, eps=1e-300)
    layer.gradients = {"alpha": np.array([3.0])}
    for step, beta in enumerate((0.9, 0.5, 0.0, 0.75), 1):
        optimizer.momentum = beta
        optimizer.step([layer])
        assert optimizer.beta_1 == optimizer.momentum == beta
        np.testing.assert_allclose(layer.parameters["alpha"], -0.5 * step, rtol=1e-14)


@pytest.mark.parametrize("make", ALL)
def test_a_gradient_of_0_moves_nothing(make):
    layer = one_weight(2.0)
    layer.gradients = {"alpha": np.zeros(1)}
    optimizer = make(0.1)
    for _ in range(3):
        optimizer.step([layer])
    assert layer.parameters["alpha"] == 2


@pytest.mark.parametrize("make", ALL)
def test_a_gradient_that_is_nan_spoils_its_own_weight(make):
    layer, alone = (one_weight(2.0, shape=(2,)) for _ in range(2))
    layer.gradients = {"alpha": np.array([np.nan, 1.0])}
    alone.gradients = {"alpha": np.array([0.0, 1.0])}
    for one in (layer, alone):
        make(0.1).step([one])
    assert np.isnan(layer.parameters["alpha"][0])
    assert layer.parameters["alpha"][1] == alone.parameters["alpha"][1] != 2


# --- state ----------------------------------------------------------------------------
def of(make, rate, **options):
    momentum = {"momentum": 0.8} if make is SGD else {}
    return make(rate, **momentum, **options)


@pytest.mark.parametrize("make", ALL)
def test_each_layer_has_a_state_of_its_own(make):
    both, optimizer = [one_weight(0.0), one_weight(0.0)], of(make, 0.1)
    for g in G:
        for layer, sign in zip(both, (1, -1), strict=True):
            layer.gradients = {"alpha": np.array([sign * g])}
        optimizer.step(both)
    ends = [layer.parameters["alpha"].item() for layer in both]
    assert ends[0] == -ends[1] != 0
    np.testing.assert_allclose(ends[0], -moves(of(make, 0.1), G).sum(), rtol=1e-13)


@pytest.mark.parametrize("make", ALL)
def test_a_step_leaves_the_old_arrays_alone(make):
    layer, optimizer = Dense(2, 2, rng=rng()), of(make, 0.1)
    for _ in range(3):
        old = [*layer.parameters.values()]
        layer.gradients = {"W": np.ones((2, 2)), "b": np.ones(2)}
        for array in [*old, *layer.gradients.values()]:
            array.setflags(write=False)
        optimizer.step([layer])


@pytest.mark.parametrize("make", ALL)
def test_fresh_forgets_the_steps_and_keeps_the_settings(make):
    used = of(make, 0.25)
    first = moves(used, G)
    other = used.fresh()
    settings = {name: v for name, v in vars(used).items() if name != "state"}
    assert settings.items() <= vars(other).items()
    ((layer, _),) = used.state
    layer.gradients = {"alpha": G[:1]}
    before = layer.parameters["alpha"].copy()
    other.step([layer])
    # The weight is far from 0, where the first step started: one rounding more.
    moved = before - layer.parameters["alpha"]
    np.testing.assert_allclose(moved, first[0], rtol=1e-13)
    other.learning_rate = 1.0
    assert used.learning_rate == 0.25


# --- copies ---------------------------------------------------------------------------
SEEDS = (3, 5, 8)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("rates", [(0.01, 0.03, 0.05), 0.02])
def test_copies_train_as_each_alone(make, rates):
    def train(net, optimizer, r):
        x, y = rows()
        options = {"epochs": 5, "batch_size": 16, "progress": False}
        return fit(net, x, y, optimizer=optimizer, rng=r, **options).loss

    copies = stack([4, 6, 3], activation="prelu", rng=[rng(s) for s in SEEDS])
    together = train(copies, of(make, rates), [rng(10 + s) for s in SEEDS])
    for k, seed in enumerate(SEEDS):
        net = stack([4, 6, 3], activation="prelu", rng=rng(seed))
        optimizer = of(make, np.broadcast_to(rates, 3)[k])
        close(together[:, k], train(net, optimizer, rng(10 + seed)))
        for one, other in zip(arrays(copies), arrays(net), strict=True):
            close(one[k], other)
    assert np.ptp(together[-1]) > 1e-3


# --- arguments ------------------------------------------------------------------------
@pytest.mark.parametrize("make", ALL)
def test_like_takes_changes(make):
    options = {"eps": 0.5} if make is not SGD else {"momentum": 0.5}
    optimizer = make.like("keras", [0.1, 0.2], **options)
    assert type(optimizer) is make
    assert optimizer.learning_rate.tolist() == [0.1, 0.2]
    assert options.items() <= {**vars(optimizer)}.items()


@pytest.mark.parametrize("make", ALL)
def test_like_refuses_other_frameworks(make):
    name = make.__name__
    with pytest.raises(ValueError, match=f"^{name}.like: `convention` must be one of"):
        make.like("caffe", 0.1)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan, np.inf, [0.1, 0.0]])
def test_rates_must_be_positive_whenever_they_are_set(make, rate):
    text = f"^{make.__name__}: `learning_rate` must be finite and above 0; got"
    with pytest.raises(ValueError, match=text):
        make(rate)
    optimizer = make(0.1)
    with pytest.raises(ValueError, match=text):
        optimizer.learning_rate = rate
    assert optimizer.learning_rate == 0.1


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *((SGD, "momentum"), (RMSProp, "rho"), (Adam, "beta_1"), (Adam, "beta_2")),
        *((Nadam, "beta_1"), (Nadam, "beta_2")),
    ],
)
def test_fractions_must_be_below_1_whenever_they_are_set(make, name):
    function = make.__name__
    optimizer = make(0.1, **{name: 0.5})
    for bad, text in (
        (1.0, "must be in [0, 1); got 1.0."),
        (-0.5, "must be a finite number of at least 0; got -0.5."),
    ):
        for set_it in (
            lambda bad: make(0.1, **{name: bad}),
            lambda bad: setattr(optimizer, name, bad),
        ):
            with pytest.raises(ValueError, match="must") as caught:
                set_it(bad)
            assert str(caught.value) == f"{function}: `{name}` {text}"
    assert getattr(optimizer, name) == 0.5


@pytest.mark.parametrize(
    ("make", "arguments", "kind", "text"),
    [
        *(
            (
                m,
                {"eps": 0},
                ValueError,
                "`eps` must be a finite number above 0; got 0.0.",
            )
            for m in (RMSProp, Adam, Nadam)
        ),
        (SGD, {"nesterov": 1}, TypeError, "`nesterov` must be True or False; got 1."),
        (
            *(SGD, {"rate_inside": None}, TypeError),
            "`rate_inside` must be True or False; got None.",
        ),
        (
            *(RMSProp, {"eps_inside": "no"}, TypeError),
            "`eps_inside` must be True or False; got 'no'.",
        ),
        (Adam, {"eps_hat": 0}, TypeError, "`eps_hat` must be True or False; got 0."),
        (Adam, {"beta_1": "a"}, TypeError, "`beta_1` must be a real number; got 'a'."),
        (
            *(Nadam, {"momentum_decay": 0.0}, ValueError),
            "`momentum_decay` must be a finite number above 0; got 0.0.",
        ),
    ],
)
def test_refusals(make, arguments, kind, text):
    with pytest.raises(kind) as caught:
        make(0.1, **arguments)
    assert str(caught.value) == f"{make.__name__}: {text}"
