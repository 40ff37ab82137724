r"""The "oracle prediction error" of Figure 3.

With w the element of W-hat that is nearest to the w*_j of the prompt, y - w'x = (w*_j - w)'x +
sigma e, and E (a'x)^2 = |a|^2 for isotropic x, independent of e: so E (y - w'x)^2 is sigma^2 plus
the mean over j of min |w*_j - w|^2. (No predictor that answers with one element of W-hat does
better; one that mixes elements may: w* = 1 is the mean of W-hat = {0, 2}.)
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import product

import numpy as np

from papers.ledger import Correction, Evidence, Fault, Grade, statement

#: From the noise level sigma and the squared distances |w*_j - w|^2, a row for each j, to the
#: error before it is divided by d.
ErrorClaim = Callable[[Fraction, Sequence[Sequence[Fraction]]], Fraction]

Rows = list[list[Fraction]]

#: W*, W-hat and sigma in one dimension: one component, and two.
SMALL: tuple[tuple[tuple[int, ...], tuple[int, ...], int], ...] = (
    ((1,), (0,), 2),
    ((0, 2), (0, 1), 2),
)

#: Random sizes d, m and |W-hat| up to these.
LARGEST = 5

DRAWN = 12


def _mean_of_least(distances: Sequence[Sequence[Fraction]]) -> Fraction:
    return sum((min(row) for row in distances), Fraction()) / len(distances)


def _latex(noise: str) -> str:
    return (
        rf"\text{{oracle prediction error}} = {noise} + \frac{{1}}{{m}} \sum_{{j=1}}^m"
        r" \min_{w \in \hat{\mathcal{W}}} \|w_j^* - w\|_2^2,\ \sigma \text{ the noise level}"
    )


@statement(
    id="pathak2023/figure-3-oracle",
    title="The error with oracle knowledge of the nearest estimated component",
    source="Section 3.2, the display below Figure 3",
    latex=_latex(r"\sigma"),
    printed=lambda sigma, distances: sigma + _mean_of_least(distances),
    correction=Correction[ErrorClaim](
        lambda sigma, distances: sigma**2 + _mean_of_least(distances),
        "The noise adds its variance sigma^2. 'The noise level' is sigma elsewhere (Figure 4: 'the"
        " noise level is set as sigma = 1.0'), where both are 1.",
        Fault.AMBIGUOUS,
        latex=_latex(r"\sigma^2"),
    ),
    mutants={
        "the largest distance": lambda sigma, distances: (
            sigma**2 + sum(max(row) for row in distances) / Fraction(len(distances))
        ),
        "without 1/m": lambda sigma, distances: sigma**2 + sum(min(row) for row in distances),
        "one element for all j": lambda sigma, distances: (
            sigma**2 + min(map(sum, zip(*distances, strict=True))) / Fraction(len(distances))
        ),
        "without noise": lambda sigma, distances: _mean_of_least(distances),
        "1 % more": lambda sigma, distances: (
            sigma**2 + Fraction(101, 100) * _mean_of_least(distances)
        ),
    },
    hypotheses=("E xx' = I", "noise of mean 0 and variance sigma^2, independent of x"),
)
def ORACLE_ERROR(claim: ErrorClaim, rng: np.random.Generator) -> Evidence:
    """Compute the expectation exactly, for mixtures of integers, small ones first.

    The error is of degree 2 in each of the Gaussian variables, and the rule with nodes -1 and 1 is
    exact for these.
    """
    wrong = ""
    for truth, found, sigma in _instances(rng):
        m = len(truth)
        distances = [[_square_distance(w, v) for v in found] for w in truth]
        expected = Fraction()
        for w, row in zip(truth, distances, strict=True):
            nearest = found[row.index(min(row))]
            expected += _expected_error(w, nearest, sigma) / m
        told = claim(sigma, distances)
        if told != expected:
            wrong = (
                f"d = {len(truth[0])}, W* = {_text(truth)}, W-hat = {_text(found)}, sigma ="
                f" {sigma}: the error is {expected}, not {told}"
            )
            break
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "E (y - w'x)^2 with the nearest w, by a quadrature that is exact, in rational numbers",
        f"{len(SMALL)} small and {DRAWN} random mixtures of fractions; d, m and the number of"
        f" estimated components up to {LARGEST}",
        counterexample=wrong,
    )


def _instances(rng: np.random.Generator) -> Iterator[tuple[Rows, Rows, Fraction]]:
    """Yield W*, W-hat and sigma."""
    for here, there, noise in SMALL:
        yield [[Fraction(a)] for a in here], [[Fraction(a)] for a in there], Fraction(noise)
    for _ in range(DRAWN):
        d, m, count = rng.integers(1, LARGEST + 1, 3).tolist()
        truth, found = _rows(rng, m, d), _rows(rng, count, d)
        yield truth, found, Fraction(int(rng.integers(1, 20)), 20)


def _rows(rng: np.random.Generator, rows: int, dim: int) -> Rows:
    return [[Fraction(int(a), 4) for a in rng.integers(-9, 10, dim)] for _ in range(rows)]


def _square_distance(w: Sequence[Fraction], v: Sequence[Fraction]) -> Fraction:
    return sum(((a - b) ** 2 for a, b in zip(w, v, strict=True)), Fraction())


def _expected_error(truth: Sequence[Fraction], w: Sequence[Fraction], sigma: Fraction) -> Fraction:
    """Return E (y - w'x)^2 for y = truth'x + sigma e, over the nodes of x and e."""
    total, nodes = Fraction(), list(product((-1, 1), repeat=len(w) + 1))
    for *x, noise in nodes:
        label = sum((a * b for a, b in zip(truth, x, strict=True)), sigma * noise)
        total += (label - sum(a * b for a, b in zip(w, x, strict=True))) ** 2
    return total / len(nodes)


def _text(rows: Sequence[Sequence[Fraction]]) -> str:
    return "; ".join("(" + ", ".join(map(str, row)) + ")" for row in rows)


STATEMENTS = (ORACLE_ERROR,)
