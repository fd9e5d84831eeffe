"""Schedules: how the learning rate changes from step to step.

:mod:`companion.training` has them as its own.  A schedule is a function of the step,
counted from 0, that returns the learning rate; if it also has a method ``momentum`` of
the step, that gives the momentum.
"""

import numpy as np

from companion import _checks


class _Cycle:
    """Go through straight lines between `steps`; what :func:`one_cycle` returns."""

    def __init__(self, steps, rate, factors, momenta):
        self.steps, self.rate, self.factors = steps, rate, factors
        if momenta is not None:
            self.momentum = lambda step: float(self._between(step, momenta))

    def __call__(self, step):
        return self.rate * self._between(step, self.factors)

    def _between(self, step, values):
        step = _checks.integer("one_cycle", "step", step, minimum=0)
        if step > self.steps[-1]:
            raise ValueError(
                f"one_cycle: `step` must be below `n_steps`, {self.steps[-1] + 1}; got "
                f"{step}."
            )
        return np.interp(step, self.steps, values)


def one_cycle(
    n_steps, *, max_rate, start=0.1, final=1e-4, last=0.1, momentum=(0.95, 0.85)
):
    """Make the 1cycle schedule: up, down again, and at last far down.

    The learning rate rises along a straight line from ``start * max_rate`` to
    `max_rate`, falls back in as many steps, and in the last ones falls to
    ``final * max_rate``.  The momentum goes the other way: it falls, rises again, and
    stays.

    Parameters
    ----------
    n_steps : int
        All steps of the training, at least 4.
    max_rate : float, or array_like of shape (K,) for K copies
        Above 0; :func:`companion.training.find_learning_rate` suggests one.
    start, final : float
        Above 0, as shares of `max_rate`.
    last : float in (0, 1)
        The share of steps that come after the cycle.
    momentum : (high, low), each in [0, 1), or None
        None leaves the optimizer's momentum alone.

    Returns
    -------
    callable
        ``schedule(step)`` is the learning rate of a step, from 0 to ``n_steps - 1``,
        and ``schedule.momentum(step)`` its momentum, if there is one.  Another step is
        a ``ValueError``.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Notes
    -----
    Smith (2018), in the form that Géron (2019), chapter 11, gives it: a tenth of the
    highest learning rate at first, momentum from 0.95 to 0.85 and back, in the end
    several orders of magnitude less.

    Examples
    --------
    >>> schedule = one_cycle(11, max_rate=1.0, last=0.2)
    >>> [round(float(schedule(step)), 4) for step in (0, 2, 4, 6, 8, 10)]
    [0.1, 0.55, 1.0, 0.55, 0.1, 0.0001]
    >>> [round(schedule.momentum(step), 4) for step in (0, 2, 4, 6, 8, 10)]
    [0.95, 0.9, 0.85, 0.9, 0.95, 0.95]
    """
    name = "one_cycle"
    n_steps = _checks.integer(name, "n_steps", n_steps, minimum=4)
    rate = _checks.real_array(name, "max_rate", max_rate)
    if not (np.isfinite(rate) & (rate > 0)).all():
        raise ValueError(f"{name}: `max_rate` must be finite and above 0; got {rate}.")
    start = _checks.finite(name, "start", start, above=0.0)
    final = _checks.finite(name, "final", final, above=0.0)
    last = _checks.finite(name, "last", last, above=0.0)
    if last >= 1:
        raise ValueError(f"{name}: `last` must be in (0, 1); got {last!r}.")
    momenta = None
    if momentum is not None:
        high, low = _momenta(name, momentum)
        momenta = (high, low, high, high)
    half = max(1, int((n_steps - 1) * (1 - last) / 2))
    steps = (0, half, 2 * half, n_steps - 1)
    return _Cycle(steps, rate, (start, 1.0, start, final), momenta)


def _momenta(function, momentum):
    """Return the two ends of the momentum as floats."""
    if not isinstance(momentum, list | tuple) or len(momentum) != 2:
        raise TypeError(
            f"{function}: `momentum` must be a pair (high, low), or None; got "
            f"{momentum!r}."
        )
    ends = [_checks.finite(function, "momentum", m, minimum=0.0) for m in momentum]
    if max(ends) >= 1:
        raise ValueError(
            f"{function}: `momentum` must be in [0, 1); got {tuple(ends)}."
        )
    return ends
