r"""The constants of SELU for a fixed point, in decimals: any number of digits.

:func:`companion.self_normalization.constants` says which equations are solved.  The
decimals come with Python, but know neither the normal distribution nor :math:`\pi`.
"""

from decimal import Decimal, localcontext

from companion._half_normal import neighbors


def solve(mean, var, digits):
    """Return alpha and lambda for a mean and a variance, right to `digits` digits."""
    mean, var = Decimal(mean), Decimal(var)
    with localcontext() as context:
        # A small variance, or a mean near the border, cancels leading digits.
        context.prec = digits + 2 * max(0, -var.adjusted()) + 25
        alpha, scale = _quadratic(mean, var, context.prec)
        context.prec = digits
        return +alpha, +scale


def _quadratic(mean, var, precision):
    """Solve the quadratic equation for alpha, in the context's precision."""
    s = var.sqrt()
    m0, m1, m2 = (mills(k * s, precision) for k in range(3))
    density = 1 / (2 * pi(precision)).sqrt()
    p1, p2 = s * density, var / 2
    n1, n2 = density * (m1 - m0), density * (m2 - 2 * m1 + m0)
    share = mean**2 / (var + mean**2)
    # alpha = 0 has the largest positive mean, alpha to infinity the lowest.
    ends = p1**2 / p2, n1**2 / n2
    if share >= ends[mean < 0]:
        low, high = ((end * var / (1 - end)).sqrt() for end in reversed(ends))
        raise ValueError(
            f"constants: `mean` must be between {-low:.4g} and {high:.4g} when "
            f"`var` is {float(var):g}; got {float(mean)}. No SELU has that fixed point."
        )
    # (n1^2 - share n2) alpha^2 + 2 p1 n1 alpha + (p1^2 - share p2) = 0, and p1 n1 < 0
    root = (share * (n1**2 * p2 + p1**2 * n2 - share * n2 * p2)).sqrt()
    if mean < 0:
        alpha = (root - p1 * n1) / (n1**2 - share * n2)
    else:
        alpha = (p1**2 - share * p2) / (root - p1 * n1)
    return alpha, ((var + mean**2) / (p2 + alpha**2 * n2)).sqrt()


def mills(y, digits):
    r"""Return :math:`M(y)` to so many digits, for a Decimal :math:`y \ge 0`.

    .. math:: M(y) = \sqrt{\pi/2}\; e^{y^2/2} - \sum_{n \ge 0} \frac{y^{2n+1}}{(2n+1)!!}

    Beyond 8, where the two terms cancel too much, the continued fraction.
    """
    with localcontext() as context:
        context.prec = digits + 20  # 14 of them may cancel
        if y > 8:
            return neighbors(y, 20 + digits**2 // 15)[0]
        total, term, n = Decimal(0), y, 1
        while term > Decimal(10) ** -context.prec:
            total, n = total + term, n + 2
            term *= y**2 / n
        return (pi(context.prec) / 2).sqrt() * (y**2 / 2).exp() - total


def pi(digits):
    r"""Return :math:`\pi` as a Decimal.

    .. math:: \pi = 16 \arctan \tfrac15 - 4 \arctan \tfrac1{239} \qquad \text{(Machin)}
    """
    with localcontext() as context:
        context.prec = digits + 5

        def arctan_of_inverse(n):
            total, power, k = Decimal(0), 1 / Decimal(n), 1
            while abs(power) > Decimal(10) ** -context.prec:
                total, power, k = total + power / k, -power / n**2, k + 2
            return total

        return 16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)
