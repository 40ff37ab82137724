r"""Sections 1 and 1.1: components, the mixture (1), the law of prompts (2), and the error MSE(f).

Given w and x_i, a label is <w, x_i> + sigma e_i with e_i ~ N(0, 1); all examples of a prompt share
one w, so that E y_1 y_2 <x_1, x_2> = E |w|^2, where labels of different w would leave |E w|^2.
Expectations of degree at most 3 in a standard normal variable are those over the nodes -1 and 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from papers.false_alarms import largest_z
from papers.ledger import Correction, Evidence, Fault, Grade, statement
from theory import RegressionMixture

Vector = Sequence[int]

#: f_i(x) from i (from 1), the components, x and the covariates x_1.. of a batch; None: undefined.
ComponentClaim = Callable[[int, Sequence[Vector], Vector, Sequence[Vector]], int | None]


def _dot(w: Sequence[Any], x: Sequence[Any]) -> Any:
    return sum(a * b for a, b in zip(w, x, strict=True))


def _vector(v: Vector) -> str:
    return str(v[0]) if len(v) == 1 else f"({', '.join(map(str, v))})"


def _named(letter: str, vectors: Sequence[Vector]) -> str:
    return ", ".join(f"{letter}_{i} = {_vector(v)}" for i, v in enumerate(vectors, start=1))


@statement(
    id="pathak2023/section-1-components",
    title="The simplest components are linear: f_i(x) = <w_i, x>",
    source="Section 1, third paragraph",
    latex=r"f_i^*(x) = \langle w_i^*, x_i \rangle",
    printed=lambda i, W, x, xs: _dot(W[i - 1], xs[i - 1]) if i <= len(xs) else None,
    correction=Correction[ComponentClaim](
        lambda i, W, x, xs: _dot(W[i - 1], x),
        "<w_i, x>: i numbers components, and x_i would be the i-th example of a batch.",
        Fault.SLIP,
        latex=r"f_i^*(x) = \langle w_i^*, x \rangle",
    ),
    mutants={
        "the first component": lambda i, W, x, xs: _dot(W[0], x),
        "the component before": lambda i, W, x, xs: _dot(W[i - 2], x),
        "minus": lambda i, W, x, xs: -_dot(W[i - 1], x),
        "the last example": lambda i, W, x, xs: _dot(W[i - 1], xs[-1]),
    },
)
def COMPONENTS(claim: ComponentClaim, rng: np.random.Generator) -> Evidence:
    """Compare with the mean label of an example (x, y) of subpopulation i, in integers."""
    wrong = ""
    given: list[tuple[list[list[int]], list[int], list[list[int]]]] = [
        ([[1]], [1], [[2]]),
        ([[1], [2]], [1], [[2], [3]]),
    ]
    for d, m, k in product((1, 2), (1, 3), (1, 2)):
        W, x, xs = (rng.integers(1, 9, shape).tolist() for shape in ((m, d), (1, d), (k, d)))
        given.append((W, x[0], [[-a for a in other] for other in xs]))
    for W, x, xs in given:
        for i in range(1, len(W) + 1):
            told, expected = claim(i, W, x, xs), int(np.dot(W[i - 1], x))
            if not wrong and told != expected:
                wrong = (
                    f"{_named('w', W)}, x = {_vector(x)}, examples {_named('x', xs)}:"
                    f" f_{i}(x) is {expected}, not {told}"
                )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the claim in integers against W x",
        "d in (1, 2), m in (1, 2, 3), batches of 1 and 2",
        counterexample=wrong,
    )


@dataclass(frozen=True)
class MixtureClaim:
    """What eq. (1) says of pi: the weight of each of m atoms, and the square of their norms."""

    weight: Callable[[int], Fraction]
    square: Callable[[int], Fraction]


_MIXTURE = MixtureClaim(lambda m: Fraction(1, m), Fraction)


@statement(
    id="pathak2023/display-1",
    title="pi is a probability on the sphere of radius sqrt(d): labels have the variance d +"
    " sigma^2",
    source="Section 1.1, eq. (1)",
    latex=r"\pi := \frac1m \sum_{i=1}^m \delta_{w_i^*},\quad \|w_i^*\|_2 = \sqrt d",
    printed=_MIXTURE,
    mutants={
        "weights 1/(m + 1)": replace(_MIXTURE, weight=lambda m: Fraction(1, m + 1)),
        "weights 1": replace(_MIXTURE, weight=lambda m: Fraction(1)),
        "unit vectors": replace(_MIXTURE, square=lambda d: Fraction(1)),
        "the radius d": replace(_MIXTURE, square=lambda d: Fraction(d * d)),
        "1 % longer": replace(_MIXTURE, square=lambda d: d * Fraction(101, 100) ** 2),
    },
)
def MIXTURE(claim: MixtureClaim, rng: np.random.Generator) -> Evidence:
    """Add up masses, equal atoms too; compare norms and weights with theory's mixtures."""
    wrong, worst = "", 0.0
    for m, d in product((1, 2, 5), (1, 2, 7)):
        names = ["w_1" if i < 2 else f"w_{i}" for i in range(m)]
        mass = dict.fromkeys(names, Fraction())
        for name in names:
            mass[name] += claim.weight(m)
        if not wrong and sum(mass.values()) != 1:
            wrong = f"m = {m}: the masses sum to {sum(mass.values())}"
        mixture = RegressionMixture.random(m, d, 1.0, rng)
        squares = np.sum(mixture.components**2, axis=1) / float(claim.square(d))
        weights = mixture.weights / float(claim.weight(m))
        off = float(max(np.abs(squares - 1).max(), np.abs(weights - 1).max()))
        worst = max(worst, off)
        if not wrong and off > ROUNDING:
            wrong = (
                f"m = {m}, d = {d}: theory draws |w|^2 = {squares[0] * float(claim.square(d)):.3f}"
                f" with the weight {mixture.weights[0]:.3f}; the claim is {claim.square(d)},"
                f" {claim.weight(m)}"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the sum of the masses, exactly; norms and weights of theory.RegressionMixture.random",
        "m in (1, 2, 5), two equal atoms included; d in (1, 2, 7)",
        worst,
        ROUNDING,
        wrong,
    )


#: Of a square or a weight in float64.
ROUNDING = 1e-14


@dataclass(frozen=True)
class LabelClaim:
    """How labels come about.

    Parameters
    ----------
    label
        From <w, x>, a standard normal number and sigma.
    shared
        Whether all examples of a prompt have the same w.
    """

    label: Callable[[Fraction, int, Fraction], Fraction]
    shared: bool = True


_LABELS = LabelClaim(lambda mean, e, sigma: mean + sigma * e)

#: Prompts that are drawn; standard errors that either of two right moments may be off.
PROMPTS, Z_LIMIT = 4_000, largest_z(2)


@statement(
    id="pathak2023/display-2",
    title="The law of prompts: one w for all examples, labels N(<w, x>, sigma^2)",
    source="Section 1.1, eq. (2)",
    latex=r"w \sim \pi,\quad x_i \sim \mathbf{N}(0, I_d),\quad"
    r" y_i \mid x_i \sim \mathbf{N}(\langle w, x_i\rangle, \sigma^2)",
    printed=_LABELS,
    mutants={
        "the variance sigma^4": replace(_LABELS, label=lambda v, e, s: v + s**2 * e),
        "noise of 1 % more": replace(_LABELS, label=lambda v, e, s: v + s * e * Fraction(101, 100)),
        "noise that is not centred": replace(_LABELS, label=lambda v, e, s: v + s * (e + 1)),
        "minus the mean": replace(_LABELS, label=lambda v, e, s: s * e - v),
        "another w for each example": replace(_LABELS, shared=False),
    },
    hypotheses=("sigma >= 0",),
    depends_on=("pathak2023/display-1",),
)
def LABELS(claim: LabelClaim, rng: np.random.Generator) -> Evidence:
    """Integrate over the noise exactly; then compare moments of theory's prompts."""
    wrong = ""
    for mean, sigma in product(map(Fraction, (-2, 0, 3)), map(Fraction, ("0", "1/2", "3"))):
        values = [claim.label(mean, e, sigma) for e in (-1, 1)]
        centre = sum(values, Fraction()) / 2
        spread = sum(((v - centre) ** 2 for v in values), Fraction()) / 2
        if not wrong and (centre, spread) != (mean, sigma**2):
            wrong = f"<w, x> = {mean}, sigma = {sigma}: mean {centre} and variance {spread}"
    mixture = RegressionMixture([[1.0, 2.0, 0.0], [-1.0, -2.0, 1.0]], 0.7)
    drawn = mixture.sample_prompts(PROMPTS, 2, rng)
    pairs = np.prod(drawn.ys, axis=1) * np.sum(drawn.xs[:, 0] * drawn.xs[:, 1], axis=1)
    squares = np.sum(mixture.components**2, axis=1)
    centre_square = float(np.sum(mixture.components.mean(axis=0) ** 2))
    expected = (float(squares.mean()) if claim.shared else centre_square, squares.mean() + 0.49)
    worst = 0.0
    for name, found, told in zip(
        ("E y_1 y_2 <x_1, x_2>", "E y^2"), (pairs, drawn.ys[:, 0] ** 2), expected, strict=True
    ):
        z = abs(float(found.mean()) - float(told)) / (float(found.std()) / PROMPTS**0.5)
        worst = max(worst, z)
        if not wrong and z > Z_LIMIT:
            wrong = f"{name} of theory's prompts is {found.mean():.3f}, the claim says {told:.3f}"
    return Evidence(
        not wrong,
        Grade.SAMPLED,
        "mean and variance given <w, x>, exactly; E y_1 y_2 <x_1, x_2> and E y^2 of theory's"
        f" prompts in standard errors ({PROMPTS} prompts: labels of different w are 8 away)",
        "d = 3, m = 2, sigma = 0.7",
        worst,
        Z_LIMIT,
        wrong,
    )


#: The characteristic function of N(v, 0) at t.
PointClaim = Callable[[sp.Symbol, sp.Symbol], sp.Expr]


@statement(
    id="pathak2023/footnote-1",
    title="N(v, 0) is the point mass at v, the limit of N(v, sigma^2)",
    source="Section 1.1, footnote 1",
    latex=r"\lim_{\sigma \to 0} \mathbf{N}(v, \sigma^2) = \delta_v",
    printed=lambda v, t: sp.exp(sp.I * t * v),
    mutants={
        "the point mass at 0": lambda v, t: sp.Integer(1),
        "the point mass at -v": lambda v, t: sp.exp(-sp.I * t * v),
        "N(v, 1)": lambda v, t: sp.exp(sp.I * t * v - t**2 / 2),
        "v and -v": lambda v, t: sp.cos(t * v),
        "1 % further": lambda v, t: sp.exp(sp.I * t * v * sp.Rational(101, 100)),
    },
)
def POINT_MASS(claim: PointClaim, rng: np.random.Generator) -> Evidence:
    """Take the limit of the characteristic function (Levy's theorem does the rest)."""
    v, t = sp.symbols("v t", real=True)
    sigma = sp.Symbol("sigma", positive=True)
    limit = sp.exp(sp.I * t * v - sigma**2 * t**2 / 2).subs(sigma, 0)
    told = claim(v, t)
    wrong = ""
    if sp.simplify(limit - told) != 0:
        at = {v: 1, t: 1}
        wrong = f"v = t = 1: the limit is {limit.subs(at)}, the claim {told.subs(at)}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the limit of the characteristic function, continuous in sigma, with symbols",
        "every v and t",
        counterexample=wrong,
    )


#: A prompt (x_1, y_1, x_2) and the label y_2, with a probability.
Draw = tuple[tuple[int, int, int], int, Fraction]

#: All values that MSE(f) can take, from draws and f(P) of each: one value, if it is a number.
ErrorClaim = Callable[[list[Draw], list[Fraction]], set[Fraction]]


def _over_prompts(draws: list[Draw], answers: list[Fraction]) -> set[Fraction]:
    """E_P for each value of the label."""
    return {
        sum((p * (f - y) ** 2 for (_, _, p), f in zip(draws, answers, strict=True)), Fraction())
        for _, y, _ in draws
    }


def _jointly(
    draws: list[Draw], answers: list[Fraction], power: int = 2, factor: Fraction = Fraction(1)
) -> set[Fraction]:
    rows = zip(draws, answers, strict=True)
    return {factor * sum((p * abs(f - y) ** power for (_, y, p), f in rows), Fraction())}


def _apart(draws: list[Draw], answers: list[Fraction]) -> set[Fraction]:
    """Label and prompt drawn independently."""
    rows = zip(draws, answers, strict=True)
    return {sum((p * r * (f - y) ** 2 for (_, _, p), f in rows for _, y, r in draws), Fraction())}


@statement(
    id="pathak2023/section-2-mse",
    title="The mean squared error is a number, over prompts and the label of the query",
    source="Section 2, first display",
    latex=r"\mathrm{MSE}(f) := \mathbf{E}_P [(f(P) - y_{k+1})^2]",
    printed=_over_prompts,
    correction=Correction[ErrorClaim](
        _jointly,
        "The expectation is over P and y_{k+1}, which is no part of P as Section 1.1 defines it"
        " and depends on it through w.",
        Fault.AMBIGUOUS,
        latex=r"\mathrm{MSE}(f) := \mathbf{E}_{(P, y_{k+1})} [(f(P) - y_{k+1})^2]",
    ),
    mutants={
        "label and prompt independent": _apart,
        "absolute error": lambda draws, answers: _jointly(draws, answers, power=1),
        "fourth powers": lambda draws, answers: _jointly(draws, answers, power=4),
        "1 % more": lambda draws, answers: _jointly(draws, answers, factor=Fraction(101, 100)),
    },
    depends_on=("pathak2023/display-2",),
)
def ERROR(claim: ErrorClaim, rng: np.random.Generator) -> Evidence:
    """Enumerate a small model: w, x_i, noise are -1 or 1; f(P) = 0 or x_1 y_1 x_2 / 2."""
    signs = (-1, 1)
    draws = [
        ((x, w * x + e, q), w * q + g, Fraction(1, 32))
        for w, x, e, q, g in product(signs, repeat=5)
    ]
    wrong = ""
    # Of f = 0: w x_2 and the noise e_2 have the variance 1 each. Of the other: f - y_2 =
    # x_2 (x_1 y_1 / 2 - w) - e_2, the variance 1 of e_2, and 1/4 of a label's noise in f with a
    # bias of 1/2.
    for name, factor, expected in (
        ("0", Fraction(0), Fraction(2)),
        ("x_1 y_1 x_2/2", Fraction(1, 2), 1 + Fraction(1, 4) + Fraction(1, 4)),
    ):
        told = claim(draws, [factor * x * y * q for (x, y, q), _, _ in draws])
        if not wrong and told != {expected}:
            by_label = ", depending on y_2" if len(told) > 1 else ""
            wrong = (
                f"d = k = 1, w, x and noise of -1 or 1, f(P) = {name}: the error"
                f" E (f(P) - y_2)^2 is {expected}, not {' or '.join(map(str, sorted(told)))}"
                f"{by_label}"
            )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the error in an enumerated model against variance and bias by hand",
        "32 draws and two f, exact",
        counterexample=wrong,
    )


STATEMENTS = (COMPONENTS, MIXTURE, LABELS, POINT_MASS, ERROR)
