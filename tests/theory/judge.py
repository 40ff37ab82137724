"""The judge: eq. (4) of Pathak et al. 2023 in plain loops, with 50 digits or exact fractions.

It shares no code with `theory`, and reads numbers from nested sequences only.
"""

from collections.abc import Sequence
from fractions import Fraction

from mpmath import mp, mpf

Row = Sequence[float]


def posterior(
    xs: Sequence[Row], ys: Row, components: Sequence[Row], weights: Row, noise_std: float
) -> list[mpf]:
    """Posterior weights of one prompt (eq. (6)), for sigma > 0."""
    with mp.workdps(50):
        likelihoods = []
        for w, weight in zip(components, weights, strict=True):
            total = mpf(0)
            for x, y in zip(xs[:-1], ys, strict=True):
                residual = -mpf(float(y))
                for a, b in zip(w, x, strict=True):
                    residual += mpf(float(a)) * mpf(float(b))
                total += residual**2
            exponent = -total / (2 * mpf(float(noise_std)) ** 2)
            likelihoods.append(mpf(float(weight)) * mp.exp(exponent))
        normaliser = mp.fsum(likelihoods)
        return [likelihood / normaliser for likelihood in likelihoods]


def posterior_mean(
    xs: Sequence[Row], ys: Row, components: Sequence[Row], weights: Row, noise_std: float
) -> mpf:
    """Posterior mean of one prompt at its query (eq. (4)), for sigma > 0."""
    p = posterior(xs, ys, components, weights, noise_std)
    with mp.workdps(50):
        mean = mpf(0)
        for p_j, w in zip(p, components, strict=True):
            for a, b in zip(w, xs[-1], strict=True):
                mean += p_j * mpf(float(a)) * mpf(float(b))
        return mean


def argmin_mean(xs: Sequence[Row], ys: Row, components: Sequence[Row], weights: Row) -> Fraction:
    """The limit sigma -> 0 of eq. (4), in exact arithmetic: ties of eq. (7) are averaged."""
    losses = {}
    for j, w in enumerate(components):
        if weights[j] > 0:
            losses[j] = Fraction(0)
            for x, y in zip(xs[:-1], ys, strict=True):
                losses[j] += (_exact_dot(w, x) - Fraction(float(y))) ** 2
    tied = [j for j, loss in losses.items() if loss == min(losses.values())]
    mass = sum(Fraction(float(weights[j])) for j in tied)
    values = [Fraction(float(weights[j])) * _exact_dot(components[j], xs[-1]) for j in tied]
    return sum(values, Fraction(0)) / mass


def _exact_dot(w: Row, x: Row) -> Fraction:
    products = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(w, x, strict=True)]
    return sum(products, Fraction(0))
