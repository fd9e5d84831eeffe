r"""The map of mean and variance through a SELU layer, and its fixed points.

Take a unit of a dense layer: :math:`z = \sum_i w_i h_i` with inputs of mean
:math:`\mu` and variance :math:`\nu`.  With the sum of its weights
:math:`\omega = \sum_i w_i` and the sum of their squares :math:`\tau = \sum_i w_i^2`,
independent inputs give z the mean :math:`\mu \omega` and the variance
:math:`\nu \tau`, and many of them make it nearly normal.  The map of Klambauer et al.
(2017), eq. 3, takes :math:`(\mu, \nu)` to the mean and the variance of
:math:`\operatorname{selu}(z)`.  Here are its closed form, its Jacobian, its fixed
points, and the constants that put the fixed point where one wants it.  Chapter
*Self-normalization*.
"""

import numpy as np

from companion import _checks, _selu_constants
from companion._half_normal import halves
from companion.activations import SELU_ALPHA, SELU_SCALE

_VANISHED, _EXPLODED = 1e-9, 1e9  # where :func:`fixed_point` gives up


def moments(
    mean, var, *, weight_sum=0.0, weight_sumsq=1.0, alpha=SELU_ALPHA, scale=SELU_SCALE
):
    r"""Map mean and variance through one layer of SELU units.

    .. math:: \tilde\mu = \operatorname{E}[\operatorname{selu}(z)], \qquad
       \tilde\nu = \operatorname{Var}[\operatorname{selu}(z)], \qquad
       z \sim N(\mu \omega, \nu \tau)

    Parameters
    ----------
    mean, var : array_like of real numbers
        :math:`\mu` and :math:`\nu > 0`, of the inputs.
    weight_sum, weight_sumsq : array_like of real numbers
        :math:`\omega` and :math:`\tau > 0`, of the weights of a unit.
    alpha, scale : float
        The constants of SELU.

    Returns
    -------
    mean, var : ndarray of float64
        Of the outputs; all arguments broadcast against each other.

    Raises
    ------
    TypeError
        If an argument does not hold real numbers.
    ValueError
        If one is not finite, `var` or `weight_sumsq` is not positive, or the shapes do
        not broadcast.

    Notes
    -----
    The closed form is that of Klambauer et al. (2017), eq. 4 and 5, written with Mills'
    ratio instead of products of exponentials and error functions, and with
    :math:`c = \operatorname{selu}(m)` subtracted before anything is squared.  It agrees
    with quadrature to 12 digits for variances from 1e-10 to 1e4, however many standard
    deviations the mean is away from 0.

    Examples
    --------
    >>> mean, var = moments(0.0, 1.0)
    >>> bool(abs(mean) < 1e-15), bool(abs(var - 1) < 1e-15)
    (True, True)
    >>> print("{:.4f} {:.4f}".format(*moments(0.0, 4.0)))
    0.2548 2.9411
    """
    m, v, *_ = _arguments("moments", mean, var, weight_sum, weight_sumsq)
    alpha, scale = _constants("moments", alpha, scale)
    _, c, first, second = _about_c(m, v, alpha)
    return scale * (c + first), scale**2 * (second - first**2)


def jacobian(
    mean, var, *, weight_sum=0.0, weight_sumsq=1.0, alpha=SELU_ALPHA, scale=SELU_SCALE
):
    r"""Differentiate :func:`moments` with respect to mean and variance.

    .. math::

       J = \begin{pmatrix}
       \partial\tilde\mu/\partial\mu & \partial\tilde\mu/\partial\nu \\
       \partial\tilde\nu/\partial\mu & \partial\tilde\nu/\partial\nu
       \end{pmatrix}

    Arguments and errors are those of :func:`moments`.

    Returns
    -------
    ndarray of float64, shape (..., 2, 2)
        The rows are those of the outputs, the columns those of the inputs.

    Notes
    -----
    A derivative by the mean of a normal z differentiates inside the expectation, one
    by its variance does so twice and halves: :math:`\partial_m \operatorname{E} f =
    \operatorname{E} f'` and :math:`\partial_v \operatorname{E} f = \frac12
    \operatorname{E} f''` (Price 1958).  At the kink :math:`f''` has a spike of weight
    :math:`\lambda (1 - \alpha)`.

    Examples
    --------
    >>> j = jacobian(0.0, 1.0)
    >>> j.round(4)
    array([[0.    , 0.0888],
           [0.    , 0.7826]])
    >>> jacobian(np.zeros(5), 1.0, weight_sum=0.1).shape
    (5, 2, 2)
    """
    m, v, omega, tau = _arguments("jacobian", mean, var, weight_sum, weight_sumsq)
    alpha, scale = _constants("jacobian", alpha, scale)
    z, c, first, _ = _about_c(m, v, alpha)
    e, p = np.exp(np.minimum(m, 0)), np.maximum(m, 0)
    spike = (1 - alpha) * z.density / np.sqrt(v)
    # Below, f is SELU without its scale.  For z < 0, f - c = alpha (e^z - e^r) - p and
    # f' = f'' = alpha e^z.
    slope = z.positive[0] + alpha * z.tilted[1]
    bend = alpha * z.tilted[1] + spike
    slope_squared = z.positive[0] + alpha**2 * z.tilted[2]
    below = alpha * (alpha * (z.bent[1] + e * z.bent[0]) - p * z.tilted[1])
    above, _ = _above(z, m, v, c)
    by_mean = 2 * (above + below - first * slope)
    by_var = slope_squared + below - c * spike - first * bend
    rows = [
        [omega * scale * slope, tau * scale * bend / 2],
        [omega * scale**2 * by_mean, tau * scale**2 * by_var],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def iterate(mean, var, n, **arguments):
    r"""Apply :func:`moments` n times, as n layers with the same weight statistics do.

    Parameters
    ----------
    mean, var : array_like of real numbers
        Where to start.
    n : int
        How many layers, 0 or more.
    **arguments
        The other arguments of :func:`moments`.

    Returns
    -------
    mean, var : ndarray of float64, shape (n + 1, ...)
        The start and what follows, layer by layer.

    Raises
    ------
    TypeError, ValueError
        As :func:`moments`, and if `n` is not an integer of at least 0.

    Examples
    --------
    >>> mean, var = iterate(0.5, 3.0, 20)
    >>> print("{:.3f} {:.3f}".format(mean[-1], var[-1]))
    0.001 1.008
    """
    n = _checks.integer("iterate", "n", n, minimum=0)
    moments(mean, var, **arguments)  # checks them, and finds the shape
    rows = [np.broadcast_arrays(*map(np.asarray, (mean, var)))]
    for _ in range(n):
        rows.append(moments(*rows[-1], **arguments))
    return tuple(np.array(rows, float).swapaxes(0, 1))


def fixed_point(
    *, weight_sum=0.0, weight_sumsq=1.0, alpha=SELU_ALPHA, scale=SELU_SCALE
):
    r"""Find the mean and variance that a layer keeps.

    .. math:: (\tilde\mu, \tilde\nu) = (\mu, \nu)

    Parameters
    ----------
    weight_sum, weight_sumsq : array_like of real numbers
        :math:`\omega` and :math:`\tau > 0`, of the weights of a unit.
    alpha, scale : float
        The constants of SELU.

    Returns
    -------
    mean, var : ndarray of float64
        The fixed point that the map reaches from (0, 1), so one that attracts.

    Raises
    ------
    TypeError, ValueError
        As :func:`moments`, and if the map goes to a variance of 0 or to infinity, or
        does not come to rest.

    Notes
    -----
    The map is applied two hundred times.  Newton's steps on
    :math:`(\tilde\mu - \mu, \tilde\nu - \nu) = 0` do the rest.

    Examples
    --------
    >>> mean, var = fixed_point(weight_sum=0.1, weight_sumsq=[0.95, 1.05])
    >>> mean.round(3), var.round(3)
    (array([-0.021,  0.025]), array([0.826, 1.194]))
    """
    options = {"weight_sum": weight_sum, "weight_sumsq": weight_sumsq}
    options |= {"alpha": alpha, "scale": scale}
    omega, tau = np.broadcast_arrays(weight_sum, weight_sumsq)
    state = np.array([np.zeros(omega.shape), np.ones(omega.shape)])
    for step in range(210):
        change = np.array(moments(*state, **options)) - state
        if step >= 200:
            slopes = jacobian(*state, **options) - np.eye(2)
            columns = np.moveaxis(-change, 0, -1)[..., None]
            change = np.moveaxis(np.linalg.solve(slopes, columns)[..., 0], -1, 0)
        new = state + change
        inside = (new[1] > _VANISHED) & (np.abs(new) < _EXPLODED).all(axis=0)
        state = np.where(inside, new, state)
    wrong = ~inside | (np.abs(change) > 1e-12 * (1 + np.abs(state))).any(axis=0)
    eigenvalues = np.linalg.eigvals(jacobian(*state, **options))
    wrong |= np.abs(eigenvalues).max(axis=-1) >= 1  # the map circles around it
    if wrong.any():
        raise ValueError(
            "fixed_point: `weight_sum` and `weight_sumsq` must be such that the map "
            f"comes to rest; got {omega[wrong][0]} and {tau[wrong][0]}, with which it "
            f"goes from (0, 1) to {tuple(state[:, wrong][:, 0].round(6).tolist())}."
        )
    mean, var = state
    return mean, var


def constants(mean=0.0, var=1.0, *, digits=None):
    r"""Find the constants of SELU that give it a certain fixed point.

    With weights normalized to :math:`\omega = 0, \tau = 1`, the fixed point is
    :math:`(\mu, \nu)` when, for :math:`z \sim N(0, \nu)`,

    .. math::

       \lambda\,(P_1 + \alpha N_1) = \mu, \qquad
       \lambda^2 (P_2 + \alpha^2 N_2) = \nu + \mu^2,

    .. math::

       P_k = \operatorname{E}[z^k; z > 0], \qquad
       N_k = \operatorname{E}[(e^z - 1)^k; z < 0].

    Parameters
    ----------
    mean, var : float
        The fixed point, `var` above 0.
    digits : int, optional
        Of the result; a thousand take about a second.

    Returns
    -------
    alpha, scale : float, or Decimal where `digits` are asked for
        :math:`\alpha > 0` and :math:`\lambda > 0`, right to the last digit.

    Raises
    ------
    TypeError
        If an argument is not a number.
    ValueError
        If no pair of positive constants has that fixed point: a mean that is too
        large, of either sign, for the variance.

    Notes
    -----
    Dividing the square of the first equation by the second leaves a quadratic
    equation for :math:`\alpha`.  For (0, 1) its solution is that of Klambauer et al.
    (2017), eq. 14:  :math:`\alpha = -P_1 / N_1`.

    Examples
    --------
    >>> constants() == (SELU_ALPHA, SELU_SCALE)
    True
    >>> for constant in constants(digits=40):
    ...     print(constant)
    1.673263242354377284817042991671652038461
    1.050700987355480493419334985294606351959
    >>> constants(mean=2.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: constants: `mean` must be between -0.8... and 0.6833 when `var` ...
    """
    mean = _checks.finite("constants", "mean", mean)
    var = _checks.finite("constants", "var", var, above=0.0)
    if digits is None:
        alpha, scale = _selu_constants.solve(mean, var, 40)
        return float(alpha), float(scale)
    digits = _checks.integer("constants", "digits", digits, minimum=1)
    return _selu_constants.solve(mean, var, digits)


def _about_c(m, v, alpha):
    """Return the halves of N(m, v), c = selu(m), E[f - c] and E[(f - c)^2].

    Without the scale of SELU: f(z) = z for z > 0, alpha (e^z - 1) otherwise.
    """
    z = halves(m, v)
    p = np.maximum(m, 0)
    c = np.where(m > 0, m, alpha * np.expm1(np.minimum(m, 0)))
    above1, above2 = _above(z, m, v, c)
    below1 = alpha * z.bent[0] - p * z.tilted[0]
    below2 = alpha**2 * z.bent[1] - 2 * p * alpha * z.bent[0] + p**2 * z.tilted[0]
    return z, c, above1 + below1, above2 + below2


def _above(z, m, v, c):
    """Return E[(z - c)^k; z > 0] for k = 1, 2."""
    mass, first, second = z.positive
    s = np.sqrt(v)
    at_mean = s * z.density, v * (mass - m / s * z.density)  # where c = m
    elsewhere = first - c * mass, second - 2 * c * first + c**2 * mass
    return tuple(
        np.where(m > 0, *pair) for pair in zip(at_mean, elsewhere, strict=True)
    )


def _arguments(function, mean, var, weight_sum, weight_sumsq):
    """Return m, v, omega and tau as arrays of one shape."""
    names = ("mean", "var", "weight_sum", "weight_sumsq")
    arrays = []
    for name, value in zip(names, (mean, var, weight_sum, weight_sumsq), strict=True):
        array = _checks.real_array(function, name, value).astype(float)
        positive = name in ("var", "weight_sumsq")
        if not np.isfinite(array).all() or (positive and (array <= 0).any()):
            kind = "positive and finite" if positive else "finite"
            raise ValueError(f"{function}: `{name}` must be {kind}; got {value!r}.")
        arrays.append(array)
    try:
        mean, var, omega, tau = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(
            f"{function}: {', '.join(f'`{name}`' for name in names)} must broadcast; "
            f"got shapes {shapes}."
        ) from None
    return mean * omega, var * tau, omega, tau


def _constants(function, alpha, scale):
    return (
        _checks.finite(function, "alpha", alpha),
        _checks.finite(function, "scale", scale),
    )
