r"""Figures 8 and 9, where they level off: the posterior settles on the nearest component.

With v_l = w_l - w', labels of w' and components w_l, the squared residual of an example under w_l
is (<v_l, x> - sigma e)^2, of mean kappa^2 |v_l|^2 + sigma^2. By the law of large numbers the log
odds of two components with different |v_l| grow like k kappa^2 (|v_l|^2 - |v_n|^2) / (2 sigma^2),
so that all weight goes to the components nearest to w', and the excess error tends to
kappa^2 min_l |w_l - w'|^2.

Weight scaling: |w_l - alpha w_j|^2 = |w_l|^2 + alpha^2 |w_j|^2 - 2 alpha <w_l, w_j>. If all norms
are equal, Cauchy-Schwarz makes l = j the nearest, for every alpha > 0, and the error is
(1 - alpha)^2 |w_j|^2. The predictor 0 has alpha^2 |w_j|^2, which is less for alpha < 1/2.

Weight shift, w' = w_j + e with |e| = epsilon: |w_l - w'| >= |w_l - w_j| - epsilon >= epsilon where
2 epsilon is at most the least distance of components, and w_j itself is at distance epsilon.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from papers.pathak2023.experiments_shifts import two_component_excess
from simulations.experiments.error_curves import PromptLaw

#: Rows of components, exact numbers or symbols.
Rows = Sequence[Sequence[Any]]

#: The atoms of a shifted mixture, with their weights, from the components and alpha or epsilon.
LawClaim = Callable[[Rows, Any], list[tuple[Any, tuple[Any, ...]]]]


def _each(move: Callable[[Sequence[Any], Any], tuple[Any, ...]]) -> LawClaim:
    return lambda W, size: [(Fraction(1, len(W)), move(w, size)) for w in W]


def _first(move: Callable[[Sequence[Any], Any], tuple[Any, ...]]) -> LawClaim:
    """The printed sum over i of a term in j, for j = 1."""
    return lambda W, size: [(Fraction(1, len(W)), move(W[0], size)) for _ in W]


def _scaled(w: Sequence[Any], alpha: Any) -> tuple[Any, ...]:
    return tuple(alpha * x for x in w)


def _moved(w: Sequence[Any], epsilon: Any) -> tuple[Any, ...]:
    return tuple(x + epsilon / sp.sqrt(len(w)) for x in w)


def _wrong_law(
    claim: LawClaim, none: int, name: str, size: Callable[[Sequence[Any], Sequence[Any]], Any]
) -> str:
    """Compare with what the paper says of its law.

    Without a shift it is pi. Otherwise it has the weight 1/m at one place for each component, whose
    `size`, from the component and the place, is the square of the parameter, `name`. Where a claim
    fails it is told with the components of `_sign`.
    """
    t = sp.Symbol("t", positive=True)
    for m, d in product((2, 3), (1, 2, 3)):
        W = [tuple(sp.symbols(f"w{j}_1:{d + 1}", real=True)) for j in range(1, m + 1)]
        mass: Counter[Any] = Counter()
        for weight, place in claim(W, none):
            mass[place] += weight
        if mass != Counter({w: Fraction(1, m) for w in W}):
            numbers = {x: _sign(j) for j, w in enumerate(W, 1) for x in w}
            shown = ", ".join(f"{mass[at]} at {_in_numbers(at, numbers)}" for at in mass)
            return (
                f"m = {m}, d = {d}, {_components(m, d)}, {name} = {none}: the masses are {shown},"
                f" and pi has 1/{m} at each w_j"
            )
        for w, (weight, place) in zip(W, claim(W, t), strict=True):
            found = sp.simplify(size(w, place))
            if weight != Fraction(1, m) or sp.simplify(found - t**2) != 0:
                numbers = {x: _sign(j) for j, row in enumerate(W, 1) for x in row} | {t: 2}
                return (
                    f"m = {m}, d = {d}, {_components(m, d)}, {name} = 2: w_1 goes to"
                    f" {_in_numbers(place, numbers)} with the weight {weight}: the square is"
                    f" {sp.sympify(found).subs(numbers)}, not 4"
                )
    return ""


def _sign(j: int) -> int:
    """Every entry of w_j, so that |w_j| = sqrt(d): 1, -1, 1, ..."""
    return 1 if j % 2 else -1


def _components(m: int, d: int) -> str:
    return ", ".join(f"w_{j} = {_in_numbers((_sign(j),) * d, {})}" for j in range(1, m + 1))


def _in_numbers(place: Sequence[Any], numbers: dict[Any, int]) -> str:
    told = ", ".join(str(sp.sympify(x).subs(numbers)) for x in place)
    return told if len(place) == 1 else f"({told})"


_SLIP = "the sum over i is of a term in j, the same for all i; the sum is over j"


@statement(
    id="pathak2023/weight-scaling-law",
    title="The law of scaled weights, which is pi for alpha = 1",
    source="Section 3.4, weight scaling",
    latex=r"\pi_\alpha^{\mathrm{scale}} := \frac1m \sum_{i=1}^m \delta_{\alpha w_j^*}",
    printed=_first(_scaled),
    correction=Correction[LawClaim](
        _each(_scaled),
        _SLIP,
        Fault.SLIP,
        latex=r"\pi_\alpha^{\mathrm{scale}} := \frac1m \sum_{j=1}^m \delta_{\alpha w_j^*}",
    ),
    mutants={
        "alpha^2": _each(lambda w, alpha: _scaled(w, alpha**2)),
        "weights 1/(m + 1)": lambda W, a: [(Fraction(1, len(W) + 1), _scaled(w, a)) for w in W],
        "the first coordinate": _each(lambda w, alpha: (alpha * w[0], *w[1:])),
        "1 % more": _each(lambda w, alpha: _scaled(w, alpha * Fraction(101, 100))),
    },
)
def SCALING_LAW(claim: LawClaim, rng: np.random.Generator) -> Evidence:
    """Compare masses and lengths, with symbols for the components."""

    def size(w: Sequence[Any], place: Sequence[Any]) -> Any:
        return sum(x**2 for x in place) / sum(x**2 for x in w)

    return _law_evidence(_wrong_law(claim, 1, "alpha", size), "|alpha w_j|^2 / |w_j|^2 = alpha^2")


@statement(
    id="pathak2023/weight-shift-law",
    title="The law of shifted weights, which is pi for epsilon = 0, each of them moved by epsilon",
    source="Section 3.4, weight shift",
    latex=r"\pi_\varepsilon^{\mathrm{add}} := \frac1m \sum_{i=1}^m \delta_{w_j(\varepsilon)},"
    r" \quad w_j(\varepsilon) := w_j^* + \frac{\varepsilon}{\sqrt d} \mathbf{1}_d",
    printed=_first(_moved),
    correction=Correction[LawClaim](
        _each(_moved),
        _SLIP,
        Fault.SLIP,
        latex=r"\pi_\varepsilon^{\mathrm{add}} := \frac1m \sum_{j=1}^m \delta_{w_j(\varepsilon)},"
        r" \quad w_j(\varepsilon) := w_j^* + \frac{\varepsilon}{\sqrt d} \mathbf{1}_d",
    ),
    mutants={
        "without sqrt(d)": _each(lambda w, epsilon: tuple(x + epsilon for x in w)),
        "d for sqrt(d)": _each(lambda w, epsilon: tuple(x + epsilon / len(w) for x in w)),
        "epsilon^2": _each(lambda w, epsilon: _moved(w, epsilon**2)),
        "1 % more": _each(lambda w, epsilon: _moved(w, epsilon * Fraction(101, 100))),
    },
)
def SHIFT_LAW(claim: LawClaim, rng: np.random.Generator) -> Evidence:
    """Compare masses and distances, with symbols for the components."""

    def size(w: Sequence[Any], place: Sequence[Any]) -> Any:
        return sum((x - y) ** 2 for x, y in zip(place, w, strict=True))

    return _law_evidence(
        _wrong_law(claim, 0, "epsilon", size), "|w_j(epsilon) - w_j|^2 = epsilon^2"
    )


def _law_evidence(wrong: str, compared: str) -> Evidence:
    return Evidence(
        not wrong,
        Grade.PROVED,
        f"masses without a shift, and {compared}, with symbols",
        "m in (2, 3), d in (1, 2, 3), every w_j and shift",
        counterexample=wrong,
    )


#: Components in integers: equal norms, unequal ones, neighbours, and one beyond another along 1.
COMPONENTS: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((1, 2, 2, 0), (2, 1, 0, 2), (-2, 1, 2, 0), (0, -2, 2, 1)),
    ((3, 0, 0, 0), (0, 3, 0, 0)),
    ((7, 1, 0, 0), (5, 5, 0, 0), (1, 7, 0, 0)),
    ((1, 0, 0, 0), (3, 1, 0, 0), (0, 0, 5, 0)),
    ((0, 0, 0, 0), (2, 2, 2, 2), (1, -6, 3, 0)),
    ((8, 0, 1, 0), (8, 0, 2, 0)),
)


@dataclass(frozen=True)
class LimitClaim:
    """Where a curve levels off.

    Parameters
    ----------
    holds_for
        Whether the claim speaks of these components and this alpha or epsilon.
    excess
        The limit of E (f_pi - <w, x>)^2 / |w|^2 under weight scaling, of E (f_pi - <w, x>)^2 under
        a weight shift, from alpha or epsilon.
    """

    holds_for: Callable[[Rows, Any], bool]
    excess: Callable[[Any], Any]


def _square(v: Sequence[Any]) -> Any:
    return sum(x * x for x in v)


def _apart(v: Sequence[Any], w: Sequence[Any]) -> Any:
    return _square([x - y for x, y in zip(v, w, strict=True)])


def _equal_norms(W: Rows, alpha: Any) -> bool:
    return len({_square(w) for w in W}) == 1


def _within(W: Rows, epsilon: Any, share: Fraction) -> bool:
    """Whether epsilon is at most this share of every distance of components."""
    return all(epsilon**2 <= share**2 * _apart(W[i], W[j]) for i in range(len(W)) for j in range(i))


#: Examples after which a curve of two components has settled to 1e-9.
LONG = 600
SETTLED = 1e-9
#: Two components of one norm, for the quadrature.
PAIR = np.array([[1.0, 2.0, 2.0, 0.0], [2.0, 1.0, 0.0, 2.0]])


@dataclass(frozen=True)
class ScalingLimitClaim(LimitClaim):
    """The limit under weight scaling, and the alpha for which predicting 0 is better."""

    zero_wins: Callable[[Any], bool]


_SCALING = ScalingLimitClaim(_equal_norms, lambda a: (1 - a) ** 2, lambda a: a < Fraction(1, 2))


@statement(
    id="pathak2023/figure-8",
    title="Under weight scaling the posterior mean keeps the error (1 - alpha)^2, for every alpha;"
    " predicting 0 is better for alpha < 1/2",
    source="ours; Figure 8, and Figure 6 for what 'sensitive' means",
    latex=r"\lim_{k\to\infty} \tfrac1d \mathbf{E}(f^*_\pi(P) - \alpha\langle w, x_{k+1}\rangle)^2"
    r" = (1 - \alpha)^2",
    printed=_SCALING,
    beyond=True,
    mutants={
        "whatever the norms": replace(_SCALING, holds_for=lambda W, a: True),
        "|1 - alpha|": replace(_SCALING, excess=lambda a: abs(1 - a)),
        "1 - alpha^2": replace(_SCALING, excess=lambda a: abs(1 - a**2)),
        "alpha^2, that of 0": replace(_SCALING, excess=lambda a: a**2),
        "never worse than 0": replace(_SCALING, zero_wins=lambda a: False),
        "worse than 0 at 1/2 too": replace(_SCALING, zero_wins=lambda a: a <= Fraction(1, 2)),
        "1 % more": replace(_SCALING, excess=lambda a: (1 - a) ** 2 * Fraction(101, 100)),
    },
    hypotheses=("all w_j of one norm sqrt(d) and different", "sigma > 0", "alpha > 0"),
)
def FIGURE_8(claim: ScalingLimitClaim, rng: np.random.Generator) -> Evidence:
    """Look for nearest components in fractions; integrate for two components at large k."""
    wrong = ""
    alphas = [Fraction(*pair) for pair in ((1, 3), (1, 2), (1, 1), (3, 2), (2, 1), (3, 1), (9, 1))]
    for W, alpha in product(COMPONENTS, alphas):
        if wrong or not claim.holds_for(W, alpha):
            continue
        for w in W:
            nearest = min(_apart(v, [alpha * x for x in w]) for v in W)
            if not wrong and nearest != claim.excess(alpha) * _square(w):
                wrong = (
                    f"W = {W}, alpha = {alpha}, w = {w}: the nearest component is at the squared"
                    f" distance {nearest}, and the claim says {claim.excess(alpha) * _square(w)}"
                )
            zero = alpha**2 * _square(w)
            if not wrong and claim.zero_wins(alpha) != (zero < nearest):
                wrong = f"alpha = {alpha}, w = {w}: limit {nearest}, predicting 0 has {zero}"
    worst = 0.0
    for alpha in () if wrong else alphas[:-1]:
        law = PromptLaw(float(alpha) * PAIR, 1.0, 1.0, LONG)
        found = two_component_excess(law, PAIR) / float(PAIR[0] @ PAIR[0])
        worst = max(worst, abs(found - float(claim.excess(alpha))))
    if not wrong and not worst <= SETTLED:
        wrong = f"m = 2, k = {LONG}: the error is {worst:.1e} from the limit"
    return _limit_evidence(wrong, worst, "every alpha and m (the module has the proof)")


_SHIFT = LimitClaim(lambda W, e: _within(W, e, Fraction(1, 2)), lambda e: e**2)


@statement(
    id="pathak2023/figure-9",
    title="Under a weight shift of at most half the distance of components, the posterior mean"
    " keeps the error epsilon^2 (epsilon^2/d in the figure's units)",
    source="ours; Figure 9",
    latex=r"\lim_{k\to\infty} \mathbf{E}(f^*_\pi(P) - \langle w(\varepsilon), x_{k+1}\rangle)^2"
    r" = \varepsilon^2,\quad 2\varepsilon \le \min_{i \ne j} |w_i - w_j|",
    printed=_SHIFT,
    beyond=True,
    mutants={
        "every epsilon": replace(_SHIFT, holds_for=lambda W, e: True),
        "up to the distance": replace(_SHIFT, holds_for=lambda W, e: _within(W, e, Fraction(1))),
        "up to 1 % more": replace(_SHIFT, holds_for=lambda W, e: _within(W, e, Fraction(101, 200))),
        "epsilon": replace(_SHIFT, excess=lambda e: e),
        "4 epsilon^2, for d = 4": replace(_SHIFT, excess=lambda e: 4 * e**2),
        "1 % more": replace(_SHIFT, excess=lambda e: e**2 * Fraction(101, 100)),
    },
    hypotheses=("2 epsilon at most the least distance of components", "sigma > 0"),
    depends_on=("pathak2023/weight-shift-law",),
)
def FIGURE_9(claim: LimitClaim, rng: np.random.Generator) -> Evidence:
    """Look for nearest components in fractions; integrate for two components at large k."""
    wrong = ""
    # In COMPONENTS[4] half the distance is 2, along the shift.
    sizes = [
        Fraction(*pair) for pair in ((1, 4), (1, 2), (3, 4), (1, 1), (2, 1), (201, 100), (3, 1))
    ]
    for W, epsilon in product(COMPONENTS, sizes):
        if wrong or not claim.holds_for(W, epsilon):
            continue
        for w in W:
            nearest = min(_apart(v, [x + epsilon / 2 for x in w]) for v in W)
            if not wrong and nearest != claim.excess(epsilon):
                wrong = (
                    f"W = {W}, epsilon = {epsilon}, w = {w}: the nearest component is at the"
                    f" squared distance {nearest}, and the claim says {claim.excess(epsilon)}"
                )
    worst = 0.0
    for epsilon in () if wrong else sizes[:4]:
        law = PromptLaw(PAIR + float(epsilon) / 2, 1.0, 1.0, LONG)
        found = two_component_excess(law, PAIR)
        worst = max(worst, abs(found - float(claim.excess(epsilon))))
    if not wrong and not worst <= SETTLED:
        wrong = f"m = 2, k = {LONG}: the error is {worst:.1e} from the limit"
    return _limit_evidence(wrong, worst, "every mixture and shift (the module has the proof)")


def _limit_evidence(wrong: str, worst: float, scope: str) -> Evidence:
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        f"nearest components of {len(COMPONENTS)} mixtures in fractions; the error of two"
        f" components after {LONG} examples, by quadrature",
        scope,
        worst,
        SETTLED,
        wrong,
    )


STATEMENTS = (SCALING_LAW, SHIFT_LAW, FIGURE_8, FIGURE_9)
