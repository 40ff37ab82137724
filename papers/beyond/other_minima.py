r"""For d >= 2 the layer has local minima that are not global; from u_12 = u_21 = 0 none is met.

*Short prompts.* Let Lambda = I, v a unit vector, gamma = 1 + (d+1)/N. At U = 0, u = 0 and
p q' = vv'/gamma the gradient vanishes, and the loss is (d-1) / (2 gamma) above its minimum. The
Hessian has two blocks, because the loss is even in (p, q) and so in (U, u). That of (p, q) is the
one of gamma |pq' - I/gamma|^2 / 2, which is smallest there: p q' is the best approximation of rank
one. So it is >= 0, and 0 only along the scaling and the d - 1 rotations of v. That of (U, u) is the
one of 1/2 E (second part)^2 - u tr(U (I - vv')), see `papers.beyond.layer_minimum`, where the
expectation is positive but for U = 0, u = 0. By rotations around v, u mixes only with the x and t
of U = x vv' + t (I - vv'). The block of (x, t) is positive, so that the sign of one determinant, of
the block of (x, t, u), decides.

*Long prompts.* As N grows, that point becomes a saddle, and minima appear with all weights in use:
p q' does one direction, u U with a small u and a large U the others. With e = u/|p| the terms of
the loss that keep the two apart are about d e^2 + (d-1) / (2 N e^2), at least sqrt(2 d (d-1) / N).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np
import sympy as sp
from flint import arb, ctx, fmpq
from sympy.polys.matrices import DomainMatrix

from papers.beyond.certified_minimum import CertifiedMinimum, certify
from papers.beyond.layer_polynomial import LayerPolynomial, inertia
from papers.beyond.symmetric_layer import DIM, LENGTH, WEIGHTS, symmetric_loss
from papers.ledger import Evidence, Grade, statement
from theory.full_flow import PointKind, StationaryPoint, rank_one_point
from theory.population_loss import PopulationLoss

#: Where the whole Hessian is built, exactly: (d, N).
HESSIANS = tuple((d, N) for d in (1, 2, 3) for N in range(1, 7))

#: Where minima of the second kind are certified: (d, N).
CERTIFIED = ((2, 5), (2, 20), (2, 1000), (3, 50))

#: Bits of the balls.
PRECISION = 120


@dataclass(frozen=True)
class ShortPrompts:
    """For which d and N the point is a local minimum, and how high it is.

    Parameters
    ----------
    largest_dim
        For each N the largest d >= 2, None if every; no entry if none.
    excess
        From d and N, of its loss over the minimal one.
    """

    largest_dim: Mapping[int, int | None]
    excess: Callable[[int, int], Fraction]

    def is_minimum(self, dim: int, length: int) -> bool:
        """Say whether it is a local minimum; for d = 1 it is a global one."""
        if length not in self.largest_dim:
            return dim == 1
        largest = self.largest_dim[length]
        return largest is None or dim <= largest


_SHORT = ShortPrompts(
    {1: None, 2: 14, 3: 3, 4: 2}, lambda d, N: Fraction((d - 1) * N, 2 * (N + d + 1))
)


@statement(
    id="beyond/other-minima",
    title="Local minima with u_{-1} = 0, U_11 = 0 that are not global, for short prompts",
    source="ours; zhang2024 has u_12 = u_21 = 0, where every local minimum is global",
    latex=r"\Lambda = I,\ d \ge 2:\ u_{-1} = 0,\ U_{11} = 0,\ "
    r"u_{12} u_{21}^\top = v v^\top / \gamma \text{ is a local minimum}"
    r" \iff N = 1,\ N = 2 \wedge d \le 14,\ N = 3 \wedge d \le 3"
    r" \text{ or } N = 4 \wedge d = 2;\quad L - \min L = \tfrac{d-1}{2\gamma},\ "
    r"\gamma = 1 + \tfrac{d+1}{N}",
    printed=_SHORT,
    beyond=True,
    mutants={
        "d = 2 only up to N = 3": replace(_SHORT, largest_dim={1: None, 2: 14, 3: 3}),
        "N = 4 for d = 3 too": replace(_SHORT, largest_dim={1: None, 2: 14, 3: 3, 4: 3}),
        "N = 2 only up to d = 13": replace(_SHORT, largest_dim={1: None, 2: 13, 3: 3, 4: 2}),
        "N = 2 for every d": replace(_SHORT, largest_dim={1: None, 2: None, 3: 3, 4: 2}),
        "N = 5 for d = 2": replace(_SHORT, largest_dim={1: None, 2: 14, 3: 3, 4: 2, 5: 2}),
        "nowhere": replace(_SHORT, largest_dim={}),
        "1 % higher": replace(_SHORT, excess=lambda d, N: _SHORT.excess(d, N) * 101 / 100),
        "d where d - 1 is": replace(
            _SHORT, excess=lambda d, N: _SHORT.excess(d, N) * Fraction(d, max(d - 1, 1))
        ),
    },
    hypotheses=("Lambda = I", "S = I, no noise", "v any unit vector"),
    depends_on=("beyond/full-loss", "beyond/layer-minimum"),
)
def OTHER_MINIMA(claim: ShortPrompts, rng: np.random.Generator) -> Evidence:
    """Find the sign of the determinant for all d and N, and the inertia of whole Hessians."""
    wrong = _wrong_signs(claim)
    for dim, length in HESSIANS:
        wrong = wrong or _wrong_hessian(claim, dim, length)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the sign of the determinant of the block (x, t, u), a polynomial in d and N, derived by"
        " words; the inertia of the whole Hessian and the excess, in rationals; and the kind that"
        " theory.full_flow says",
        "every N and d >= 2 by the determinant and the proof in the module; the whole Hessian for"
        f" d <= 3, N <= {max(N for _, N in HESSIANS)}",
        counterexample=wrong,
    )


@cache
def _determinant() -> sp.Poly:
    """Return the determinant of the block (x, t, u), over what is positive, in d and N.

    Raises
    ------
    ArithmeticError
        If the block of (x, t) is not positive for all d >= 2.
    """
    P, Q, *others = WEIGHTS
    point = {P: LENGTH / (LENGTH + DIM + 1), Q: 1, **dict.fromkeys(others, 0)}
    block = sp.hessian(symmetric_loss(), others).subs(point).applyfunc(sp.cancel)
    entries = DomainMatrix.from_Matrix(block).to_field()
    dets = (entries.extract([0, 1], [0, 1]).det(), entries.det())
    (minor, below), (numerator, denominator) = (
        sp.fraction(sp.cancel(entries.domain.to_sympy(det) / (DIM - 1))) for det in dets
    )
    positive = (minor, below, denominator)
    if not all(c > 0 for part in positive for c in sp.Poly(part, DIM, LENGTH).coeffs()):
        raise ArithmeticError(f"the block of (x, t) is not positive: {minor / below}")
    return sp.Poly(numerator, DIM, LENGTH)


def _wrong_signs(claim: ShortPrompts) -> str:
    """Decide the sign for every d >= 2 and N >= 1."""
    determinant = _determinant()
    last = max(claim.largest_dim, default=0)
    if not _all_of_sign(determinant, -1, 2, last + 1):
        return _first_wrong_sign(claim, determinant)
    for length in range(1, last + 1):
        row = sp.Poly(determinant.as_expr().subs(LENGTH, length), DIM, LENGTH)
        largest = claim.largest_dim.get(length, 1)
        checked = largest is None or all(row.eval((d, 1)) > 0 for d in range(2, largest + 1))
        begin, sign = (2, 1) if largest is None else (largest + 1, -1)
        if not checked or not _all_of_sign(row, sign, begin, 0):
            return _first_wrong_sign(claim, determinant)
    return ""


def _all_of_sign(polynomial: sp.Poly, sign: int, dim: int, length: int) -> bool:
    """Say whether the coefficients prove this sign from d = dim and N = length on."""
    shifted = sp.Poly(
        polynomial.as_expr().subs({DIM: DIM + dim, LENGTH: LENGTH + length}), DIM, LENGTH
    )
    return all(c * sign > 0 for c in shifted.coeffs())


def _first_wrong_sign(claim: ShortPrompts, determinant: sp.Poly) -> str:
    for length in range(1, 10):
        for dim in range(2, 100):
            value = determinant.eval((dim, length))
            if (value > 0) != claim.is_minimum(dim, length):
                kind = "a saddle" if value < 0 else "a minimum"
                return f"d = {dim}, N = {length}: {kind}, the determinant is {value} (times > 0)"
    raise ArithmeticError("the coefficients do not decide the sign of the determinant")


def _wrong_hessian(claim: ShortPrompts, dim: int, length: int) -> str:
    loss = LayerPolynomial.loss((1,) * dim, length)
    gamma = 1 + fmpq(dim + 1, length)
    point = [fmpq(0)] * loss.size
    point[0], point[dim] = 1 / gamma, fmpq(1)
    told = f"d = {dim}, N = {length}"
    if any(loss.gradient(point)):
        return f"{told}: the gradient is {loss.gradient(point)}"
    signs, flat = inertia(loss.hessian(point)), dim
    if (signs.negative == 0) != claim.is_minimum(dim, length) or signs.zero != flat:
        return f"{told}: {signs}"
    least = fmpq(dim, 2) * (1 - 1 / gamma)
    excess = claim.excess(dim, length)
    if loss(point) - least != fmpq(excess.numerator, excess.denominator):
        return f"{told}: the loss is {loss(point) - least} above the minimum, not {excess}"
    library = PopulationLoss(np.eye(dim), length)
    kind = StationaryPoint(library, rank_one_point(library)).kind
    expected = PointKind.GLOBAL_MINIMUM if dim == 1 else PointKind.LOCAL_MINIMUM
    if kind is not (expected if signs.negative == 0 else PointKind.SADDLE):
        return f"{told}: theory.full_flow says {kind}"
    return ""


@dataclass(frozen=True)
class LongPrompts:
    """The excess loss is between (1 - 2/sqrt(N)) b and b.

    Parameters
    ----------
    bound
        b from d and N.
    uses
        Which of (p, q), U off v, and u are not 0.
    """

    bound: Callable[[int, int], float]
    all_in_use: bool = True


_LONG = LongPrompts(lambda d, N: float(np.sqrt(2 * d * (d - 1) / N)))


@statement(
    id="beyond/other-minima-long-prompts",
    title="Local minima with all weights in use that are not global, for long prompts",
    source="ours",
    latex=r"\Lambda = I,\ d \ge 2:\ \text{a local minimum with all of }"
    r" u_{12}, u_{21}, U_{11}, u_{-1} \ne 0,"
    r"\quad (1 - 2 N^{-1/2}) \sqrt{2d(d-1)/N} \le L - \min L \le \sqrt{2d(d-1)/N}",
    printed=_LONG,
    beyond=True,
    mutants={
        "sqrt(d(d-1)/N)": LongPrompts(lambda d, N: float(np.sqrt(d * (d - 1) / N))),
        "sqrt(2d^2/N)": LongPrompts(lambda d, N: float(np.sqrt(2 * d * d / N))),
        "1/N, not 1/sqrt(N)": LongPrompts(lambda d, N: float(np.sqrt(2 * d * (d - 1))) / N),
        "10 % lower": LongPrompts(lambda d, N: 0.9 * _LONG.bound(d, N)),
        "with u = 0": replace(_LONG, all_in_use=False),
    },
    hypotheses=("Lambda = I", "S = I, no noise", f"(d, N) in {CERTIFIED}"),
    depends_on=("beyond/full-loss", "beyond/layer-minimum"),
)
def LONG_PROMPTS(claim: LongPrompts, rng: np.random.Generator) -> Evidence:
    """Enclose the minima in balls: existence by Krawczyk's test, the Hessian by its pivots."""
    wrong, worst = "", 0.0
    for dim, length in CERTIFIED:
        with ctx.workprec(PRECISION):
            found = certify(dim, length)
            wrong = _wrong_minimum(claim, found)
            worst = max(worst, float(found.excess.mid()) / claim.bound(dim, length))
        if wrong:
            wrong = f"d = {dim}, N = {length}: {wrong}"
            break
    return Evidence(
        not wrong,
        Grade.CERTIFIED,
        "a ball that contains exactly one stationary point, balanced and diagonal; that its Hessian"
        " is positive but along the scaling and rotations; and the excess loss over the claim's",
        f"(d, N) in {CERTIFIED}",
        worst,
        1.0,
        wrong,
    )


def _wrong_minimum(claim: LongPrompts, found: CertifiedMinimum) -> str:
    if not found.is_minimum:
        return "the pivots do not prove a minimum"
    in_use = all(abs(x) > 0 for x in found.diagonal)
    if in_use != claim.all_in_use:
        return f"the weights P, Q, diag(U), u are {[str(x.mid()) for x in found.diagonal]}"
    bound = arb(claim.bound(found.dim, found.length))
    low = bound * (1 - 2 / arb(found.length).sqrt())
    if not (low <= found.excess and found.excess <= bound and found.excess > 0):
        excess = float(found.excess.mid())
        return f"the excess loss is {excess:.6g}, not in [{float(low):.6g}, {float(bound):.6g}]"
    return ""


STATEMENTS = (OTHER_MINIMA, LONG_PROMPTS)
