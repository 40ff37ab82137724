r"""Lemmas 19 and 27: a positive lower bound on u_{-1} along the flow.

Below the threshold u = |U|_F > 0 (Lemmas 17, 18, 25, 26), the curved part of l is not negative, and
by |<B, U>|^2 = |B|^2 |U|^2 - |B ^ U|^2, B = E Lambda^2,

    -sqrt(d) |B|_op u^2 <= -u <B, U> <= l(t) <= l(0) <= -sigma^2 gain + sigma^4 sqrt(d) cost / 2,

which is solved for u^2 here with symbols.

For d = 1 and a constant covariance, and for Lambda = 2 I with Theta Theta' = I / sqrt(2), the bound
tends to u(0)^2 as sigma goes to 0: there it is attained, and a bound 1 % larger fails.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.flow_lines import (
    Line,
    Threshold,
    fixed_lines,
    operator_norm,
    random_lines,
)
from papers.zhang2024.positivity import (
    THRESHOLDS,
    Sizes,
    cost_by_squares,
    fixed_sizes,
    gain_by_squares,
    random_sizes,
    sizes_in_symbols,
)
from theory.gradient_flow.printed_bounds import printed_bounds
from theory.gradient_flow.trajectory import u_lower_bound

#: How far the library's bound may be from the claim, relatively.
TOLERANCE = 1e-9

#: u of the library is this accurate.
ROUNDING = 1e-10

#: Entries of U and B in the proof with symbols.
ENTRIES = (1, 2, 3)


@dataclass(frozen=True)
class LowerBound:
    """A lower bound on u(t)^2, positive below the threshold.

    Parameters
    ----------
    u_squared
        From sigma^2, the sizes and the norm |E Lambda^2|_op, as numbers or symbols.
    beyond
        sigma^2 in units of what the lines have: above 1 / 0.95 the hypothesis is dropped.
    """

    u_squared: Callable[[Any, Sizes, Any], Any]
    beyond: float = 1.0

    def of(self, line: Line, sizes: Callable[[Line], Sizes]) -> float:
        """Return the bound on a line."""
        top = operator_norm(line.mean(lambda lam: lam @ lam))
        return float(self.u_squared(line.sigma**2, sizes(line), top))

    def scaled(self, threshold: Threshold) -> Threshold:
        """Return the threshold that the lines are scaled by."""
        return lambda line: self.beyond * threshold(line)


def _printed(square: Any, x: Sizes, top: Any) -> Any:
    """Eqs. (44) and (60)."""
    return square * (2 * x.gain - x.root * square * x.cost) / (2 * x.root * top)


def _plus(square: Any, x: Sizes, top: Any) -> Any:
    return square * (2 * x.gain + x.root * square * x.cost) / (2 * x.root * top)


MUTANTS = {
    "1 % more": LowerBound(lambda *of: _printed(*of) * 101 / 100),
    "twice": LowerBound(lambda *of: 2 * _printed(*of)),
    "a plus for the minus": LowerBound(_plus),
    "without sqrt(d) below": LowerBound(lambda s, x, top: _printed(s, x, top) * x.root),
    "the root of the norm below": LowerBound(
        lambda s, x, top: _printed(s, x, top) * top ** sp.Rational(1, 2)
    ),
    "1.2 times the threshold": LowerBound(_printed, 1.2 / 0.95),
}


def _above(claim: LowerBound) -> str:
    """Say where the claim is above what the chain of inequalities gives."""
    x, (square, top) = sizes_in_symbols(), sp.symbols("s b", positive=True)
    level = -square * x.gain + square**2 * x.root * x.cost / 2
    excess = sp.factor(-level / (x.root * top) - claim.u_squared(square, x, top))
    return "" if excess.is_nonnegative else f"in symbols, the chain gives {excess} more"


def _not_a_sum_of_squares(entries: int) -> str:
    """Say where |B|^2 |U|^2 - <B, U>^2 is not the sum of (B_i U_j - B_j U_i)^2."""
    B, U = (sp.symbols(f"{name}1:{entries + 1}") for name in ("B", "U"))
    pairs = [(i, j) for i in range(entries) for j in range(i)]
    gap = sum(b**2 for b in B) * sum(v**2 for v in U)
    gap -= sum(b * v for b, v in zip(B, U, strict=True)) ** 2
    gap -= sum((B[i] * U[j] - B[j] * U[i]) ** 2 for i, j in pairs)
    return "" if sp.expand(gap) == 0 else f"{entries} entries: {gap} is not 0"


def _evidence(
    claim: LowerBound,
    lines: Iterator[Line],
    sizes: Callable[[Line], Sizes],
    scope: str,
    rng: np.random.Generator,
) -> Evidence:
    counterexample, least, most, tried = "", np.inf, 0.0, 0
    for line in lines:
        tried += 1
        bound = claim.of(line, sizes)
        if not bound > 0:
            counterexample = f"{line}: the bound on u^2 is {bound:.4g}, not > 0"
            break
        found = u_lower_bound(line.flow, line.times, float(np.sqrt(bound)))
        k = int(np.argmin(found.looseness))
        least, most = min(least, float(found.looseness[k])), max(most, float(found.looseness[k]))
        if not least >= 1 - ROUNDING:
            counterexample = (
                f"{line}, t = {found.times[k]:.4g}: u = {found.measured[k]:.6g} is below the bound"
                f" {found.bound[k]:.6g}"
            )
            break
        library = printed_bounds(line.problem, line.start).u_squared
        if not abs(library / bound - 1) <= TOLERANCE:
            counterexample = f"{line}: printed_bounds has {library!r} for u^2, not {bound!r}"
            break
    counterexample = counterexample or cost_by_squares(rng) or gain_by_squares(rng) or _above(claim)
    for entries in ENTRIES:
        counterexample = counterexample or _not_a_sum_of_squares(entries)
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "the chain of inequalities, by squares; the bound, by the paper's matrices, over u, along"
        f" flow lines of the library: its largest value (at best {1 / most if most else np.nan:.3g}"
        " on other lines)",
        f"every d, Lambda, N and Theta, given that l falls along the flow; {tried} flow lines,"
        f" {scope}, sigma^2 from 1e-4 to 0.95 of the threshold",
        float(1 / least),
        1 + ROUNDING,
        counterexample,
    )


@statement(
    id="zhang2024/lemma-19",
    title="A lower bound on u along the flow",
    source="Lemma 19, eq. (44)",
    latex=r"u_{-1}(t) \ge \sqrt{\tfrac{\sigma^2}{2\sqrt{d}\|\Lambda\|_{op}^2}"
    r"\|\Lambda\Theta\|_F^2 \left[2 - \sqrt{d}\sigma^2\|\Gamma\|_{op}\right]} > 0",
    printed=LowerBound(_printed),
    mutants=MUTANTS,
    hypotheses=("Assumption 3", "sigma^2 below the threshold of Lemma 18"),
    depends_on=(
        "zhang2024/lemma-17",
        "zhang2024/lemma-18",
        "zhang2024/lemma-31",
        "zhang2024/lemma-32",
    ),
)
def LEMMA_19(claim: LowerBound, rng: np.random.Generator) -> Evidence:
    """Compare u with the bound along flow lines."""
    return _evidence(
        claim,
        fixed_lines(claim.scaled(THRESHOLDS["lemma-18"]), rng),
        fixed_sizes,
        "d <= 4, fixed covariance",
        rng,
    )


@statement(
    id="zhang2024/lemma-27",
    title="A lower bound on u with a random covariance",
    source="Lemma 27, eq. (60)",
    latex=r"u_{-1}(t) \ge \sqrt{\tfrac{\sigma^2}{2\sqrt{d}\|\mathbf{E}\Lambda_\tau^2\|_{op}}"
    r"\left[2\|\mathbf{E}\Lambda_\tau\Theta\|_F^2 - \sqrt{d}\sigma^2"
    r"\mathbf{E}[\|\Gamma_\tau\|_{op}\|\Lambda_\tau\|_F^2]\right]} > 0",
    printed=LowerBound(_printed),
    mutants=MUTANTS,
    hypotheses=("Assumption 3", "sigma^2 below the threshold of Lemma 26"),
    depends_on=(
        "zhang2024/lemma-25",
        "zhang2024/lemma-26",
        "zhang2024/lemma-31",
        "zhang2024/lemma-32",
    ),
)
def LEMMA_27(claim: LowerBound, rng: np.random.Generator) -> Evidence:
    """Compare u with the bound along flow lines."""
    return _evidence(
        claim,
        random_lines(claim.scaled(THRESHOLDS["lemma-26"]), rng),
        random_sizes,
        "d <= 3, two-point and constant eigenvalues",
        rng,
    )


STATEMENTS = (LEMMA_19, LEMMA_27)
