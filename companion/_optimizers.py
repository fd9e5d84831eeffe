"""Optimizers: what a step makes of the gradients.

:mod:`companion.training` has them as its own.  Each follows its source, and ``like``
makes what PyTorch or Keras has under the same name.
"""

import copy

import numpy as np

from companion import _checks

#: What the optimizers of the frameworks are when they are not told otherwise.
CONVENTIONS = {
    "torch": {
        "SGD": {"rate_inside": False},
        "RMSProp": {"rho": 0.99, "eps": 1e-8, "eps_inside": False},
        "Adam": {"eps": 1e-8, "eps_hat": False},
        "Nadam": {"eps": 1e-8, "momentum_decay": 0.004},
    },
    "keras": {
        "SGD": {"rate_inside": True},
        "RMSProp": {"rho": 0.9, "eps": 1e-7, "eps_inside": True},
        "Adam": {"eps": 1e-7, "eps_hat": True},
        "Nadam": {"eps": 1e-7, "momentum_decay": 1.0},
    },
}


def _fraction(name):
    """Return an attribute that must be in [0, 1), whenever it is set."""

    def get(self):
        return vars(self)[name]

    def set(self, value):
        function = type(self).__name__
        number = _checks.finite(function, name, value, minimum=0.0)
        if number >= 1:
            raise ValueError(f"{function}: `{name}` must be in [0, 1); got {value!r}.")
        vars(self)[name] = number

    return property(get, set)


class _Optimizer:
    """Subtract from each array of parameters what the rule makes of its gradients."""

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate
        self.state = {}

    @classmethod
    def like(cls, convention, learning_rate, **changes):
        """Make the optimizer of this name that a framework has by default.

        Parameters
        ----------
        convention : {"torch", "keras"}
        learning_rate : float, or array_like of shape (K,) for K copies
        **changes
            Other arguments, in place of the framework's.

        Examples
        --------
        >>> RMSProp.like("torch", 0.01).rho, RMSProp.like("keras", 0.01).rho
        (0.99, 0.9)
        """
        name = cls.__name__
        _checks.one_of(f"{name}.like", "convention", convention, tuple(CONVENTIONS))
        return cls(learning_rate, **CONVENTIONS[convention][name] | changes)

    @property
    def learning_rate(self):
        """The learning rate, which may be set between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        name = type(self).__name__
        rate = _checks.real_array(name, "learning_rate", value)
        if not (np.isfinite(rate) & (rate > 0)).all():
            raise ValueError(
                f"{name}: `learning_rate` must be finite and above 0; got {rate}."
            )
        self._learning_rate = rate

    def fresh(self):
        """Return an optimizer with these settings that has taken no step.

        Examples
        --------
        >>> SGD(0.1, momentum=0.9).fresh().momentum
        0.9
        """
        other = copy.copy(self)
        other.state = {}
        return other

    def step(self, layers):
        """Move the parameters of `layers` along their gradients."""
        for layer in layers:
            for name, gradient in layer.gradients.items():
                w = layer.parameters[name]
                rate = self.learning_rate
                rate = rate.reshape(rate.shape + (1,) * (w.ndim - rate.ndim))
                state = self.state.setdefault((layer, name), {})
                layer.parameters[name] = w - self._move(rate, gradient, state)


class SGD(_Optimizer):
    r"""Go down the gradient, with momentum.

    .. math:: v \leftarrow \mu v + g, \qquad w \leftarrow w - \eta v, \qquad
       g = \frac{\partial \mathcal{L}}{\partial w}

    and with `nesterov`, :math:`w \leftarrow w - \eta (g + \mu v)`.

    Parameters
    ----------
    learning_rate : float, or array_like of shape (K,) for K copies
        :math:`\eta`, above 0.
    momentum : float in [0, 1)
        :math:`\mu`; 0 is plain gradient descent.
    nesterov : bool
        Take the gradient where the momentum is about to carry the weights.
    rate_inside : bool
        Whether each gradient is multiplied by the learning rate of its own step,
        :math:`v \leftarrow \mu v + \eta g` and :math:`w \leftarrow w - v`, or with
        `nesterov` :math:`w \leftarrow w - (\mu v + \eta g)`, rather than all of them by
        that of the last one.  The same while the learning rate is constant.

    Raises
    ------
    TypeError, ValueError
        If a learning rate is not a positive number, the momentum out of range, or
        another argument not a bool.

    Notes
    -----
    Rumelhart et al. (1986), eq. 9, write :math:`\Delta w` for :math:`-v`, with the rate
    inside, as in Keras; outside it is PyTorch's.  Nesterov's method as Sutskever et al.
    (2013) have it, :math:`v' = \mu v - \eta g(\theta + \mu v)` and :math:`\theta' =
    \theta + v'`, is the rule above for :math:`w = \theta + \mu v`, the weights at which
    the gradient is taken: :math:`w' = \theta' + \mu v' = w + \mu v' - \eta g(w)`.

    Examples
    --------
    >>> from companion.mlp import Dense
    >>> layer = Dense(1, 1, initializer=lambda shape, rng: np.ones(shape),
    ...               rng=np.random.default_rng(0))
    >>> layer.gradients = {"W": np.array([[2.0]]), "b": np.array([0.0])}
    >>> SGD(0.1).step([layer])
    >>> layer.parameters["W"]
    array([[0.8]])
    """

    momentum = _fraction("momentum")

    def __init__(
        self, learning_rate, momentum=0.0, nesterov=False, *, rate_inside=False
    ):
        super().__init__(learning_rate)
        self.momentum = momentum
        self.nesterov = _checks.boolean("SGD", "nesterov", nesterov)
        self.rate_inside = _checks.boolean("SGD", "rate_inside", rate_inside)

    def _move(self, rate, g, state):
        term = rate * g if self.rate_inside else g
        v = state["v"] = self.momentum * state.get("v", 0) + term
        move = term + self.momentum * v if self.nesterov else v
        return move if self.rate_inside else rate * move


class RMSProp(_Optimizer):
    r"""Divide each gradient by the root of the mean of its recent squares.

    .. math:: s \leftarrow \rho s + (1 - \rho)\, g^2, \qquad
       w \leftarrow w - \eta \frac{g}{\sqrt{s} + \varepsilon}

    with s at first 0.

    Parameters
    ----------
    learning_rate : float, or array_like of shape (K,) for K copies
        :math:`\eta`, above 0.
    rho : float in [0, 1)
        :math:`\rho`, what is left of the mean after a step.
    eps : float
        :math:`\varepsilon`, above 0.
    eps_inside : bool
        Divide by :math:`\sqrt{s + \varepsilon}` instead.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of range.

    Notes
    -----
    Tieleman and Hinton (2012), lecture 6, with 0.9; they write no :math:`\varepsilon`,
    which keeps a gradient that was always 0 from being divided by 0.  PyTorch: 0.99,
    and 1e-8 outside the root; Keras: 0.9, and 1e-7 inside.  The first step has length
    :math:`\eta / \sqrt{1 - \rho}` in each weight, whatever the gradient's size.

    Examples
    --------
    >>> from companion.mlp import PReLU
    >>> layer = PReLU(2, alpha=1.0)
    >>> layer.gradients = {"alpha": np.array([1e-3, 1e3])}
    >>> RMSProp(0.1, rho=0.75).step([layer])
    >>> layer.parameters["alpha"].round(3)
    array([0.8, 0.8])
    """

    rho = _fraction("rho")

    def __init__(self, learning_rate, rho=0.9, eps=1e-8, *, eps_inside=False):
        super().__init__(learning_rate)
        self.rho = rho
        self.eps = _checks.finite("RMSProp", "eps", eps, above=0.0)
        self.eps_inside = _checks.boolean("RMSProp", "eps_inside", eps_inside)

    def _move(self, rate, g, state):
        s = state["s"] = self.rho * state.get("s", 0) + (1 - self.rho) * np.square(g)
        if self.eps_inside:
            return rate * g / np.sqrt(s + self.eps)
        return rate * g / (np.sqrt(s) + self.eps)


class _Moments(_Optimizer):
    """Average the gradients and their squares."""

    beta_1 = _fraction("beta_1")
    beta_2 = _fraction("beta_2")

    def __init__(self, learning_rate, beta_1, beta_2, eps):
        super().__init__(learning_rate)
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.eps = _checks.finite(type(self).__name__, "eps", eps, above=0.0)

    @property
    def momentum(self):
        """Another name of `beta_1`, for schedules."""
        return self.beta_1

    @momentum.setter
    def momentum(self, value):
        self.beta_1 = value

    def _averages(self, g, state, beta):
        """Return m and v, and the products of the given `beta` and of `beta_2`."""
        for name, factor, value in (
            ("m", self.beta_1, g),
            ("v", self.beta_2, np.square(g)),
        ):
            state[name] = factor * state.get(name, 0) + (1 - factor) * value
        for name, factor in (("product_1", beta), ("product_2", self.beta_2)):
            state[name] = factor * state.get(name, 1)
        return [state[name] for name in ("m", "v", "product_1", "product_2")]


class Adam(_Moments):
    r"""Average gradients and squares, and correct both averages for their start at 0.

    .. math::

       m &\leftarrow \beta_1 m + (1 - \beta_1)\, g, &\qquad
       \hat m &= \frac{m}{1 - \beta_1^t}, \\
       v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2, &\qquad
       \hat v &= \frac{v}{1 - \beta_2^t}, \qquad
       w \leftarrow w - \eta \frac{\hat m}{\sqrt{\hat v} + \varepsilon}

    in step t = 1, 2, ...

    Parameters
    ----------
    learning_rate : float, or array_like of shape (K,) for K copies
        :math:`\eta`, above 0.
    beta_1, beta_2 : float in [0, 1)
        :math:`\beta_1` and :math:`\beta_2`, what is left of the averages after a step.
    eps : float
        :math:`\varepsilon`, above 0.
    eps_hat : bool
        Add :math:`\varepsilon` to :math:`\sqrt v`, which is not corrected: in terms of
        :math:`\sqrt{\hat v}` it is then :math:`\varepsilon / \sqrt{1 - \beta_2^t}`,
        larger in the first steps.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of range.

    Notes
    -----
    Kingma and Ba (2015), algorithm 1, and PyTorch; `eps_hat` is the faster form of
    their section 2, and Keras, with 1e-7.  Where `beta_1` changes between steps, the
    product of all of them stands for :math:`\beta_1^t`: by 1 minus that the weights of
    the average fall short of 1.  The frameworks take the power of the last one.

    Examples
    --------
    >>> from companion.mlp import PReLU
    >>> layer = PReLU(2, alpha=1.0)
    >>> layer.gradients = {"alpha": np.array([1e-3, 1e3])}
    >>> Adam(0.1).step([layer])
    >>> layer.parameters["alpha"].round(3)
    array([0.9, 0.9])
    """

    def __init__(
        self, learning_rate, beta_1=0.9, beta_2=0.999, eps=1e-8, *, eps_hat=False
    ):
        super().__init__(learning_rate, beta_1, beta_2, eps)
        self.eps_hat = _checks.boolean("Adam", "eps_hat", eps_hat)

    def _move(self, rate, g, state):
        m, v, product_1, product_2 = self._averages(g, state, self.beta_1)
        eps = self.eps / np.sqrt(1 - product_2) if self.eps_hat else self.eps
        return rate * m / (1 - product_1) / (np.sqrt(v / (1 - product_2)) + eps)


class Nadam(_Moments):
    r"""Adam that looks ahead, as Nesterov's momentum does.

    .. math::

       w \leftarrow w - \frac{\eta}{\sqrt{\hat v} + \varepsilon} \left(
       \frac{\mu_{t+1}\, m}{1 - \prod_{i=1}^{t+1} \mu_i} +
       \frac{(1 - \mu_t)\, g}{1 - \prod_{i=1}^{t} \mu_i} \right)

    with m and :math:`\hat v` as in :class:`Adam`, and :math:`\mu_t = \beta_1` unless
    there is a `momentum_decay`.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, eps
        Those of :class:`Adam`.
    momentum_decay : float, optional
        :math:`\psi` of :math:`\mu_t = \beta_1 (1 - 0.96^{\psi t} / 2)`, above 0: the
        momentum warms up from half of :math:`\beta_1`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of range.

    Notes
    -----
    Dozat (2016).  Both frameworks warm up: PyTorch with 0.004 and an `eps` of 1e-8,
    Keras with 1, 250 times faster, and 1e-7; the average m is that with
    :math:`\beta_1` all the while, as here.

    Examples
    --------
    >>> from companion.mlp import PReLU
    >>> layer = PReLU(2, alpha=1.0)
    >>> layer.gradients = {"alpha": np.array([1e-3, 1e3])}
    >>> Nadam(0.1, beta_1=0.5).step([layer])
    >>> layer.parameters["alpha"].round(3)  # 0.1 (0.25 / 0.75 + 0.5 / 0.5) further
    array([0.867, 0.867])
    """

    def __init__(
        self, learning_rate, beta_1=0.9, beta_2=0.999, eps=1e-8, momentum_decay=None
    ):
        super().__init__(learning_rate, beta_1, beta_2, eps)
        if momentum_decay is not None:
            momentum_decay = _checks.finite(
                "Nadam", "momentum_decay", momentum_decay, above=0.0
            )
        self.momentum_decay = momentum_decay

    def _move(self, rate, g, state):
        t = state["t"] = state.get("t", 0) + 1
        now, ahead = self._momentum_at(t), self._momentum_at(t + 1)
        m, v, product, product_2 = self._averages(g, state, now)
        m_hat = ahead * m / (1 - product * ahead) + (1 - now) * g / (1 - product)
        return rate * m_hat / (np.sqrt(v / (1 - product_2)) + self.eps)

    def _momentum_at(self, t):
        if self.momentum_decay is None:
            return self.beta_1
        return self.beta_1 * (1 - 0.5 * 0.96 ** (self.momentum_decay * t))
