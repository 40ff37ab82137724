r"""What gradient flow of all weights of the layer conserves, and that it conserves nothing else.

The prediction is bilinear in f = (u12, u_1) and V = (U11; u21'), so that the loss does not change
under (s f, V / s). The derivative of that in s at s = 1 is 0, and along the flow it is -1/2 times
the time derivative of |f|^2 - |V|_F^2.

*Nothing else.* Two linear layers side by side, f'V, would conserve the matrix f f' - V V'. Here
the prompt stands between them, and only its trace is left. A quadratic form x'Ax of the weights x
with a symmetric A is conserved if and only if <grad L, A x> = 0 for all x. Let it be so at
Lambda = I and S = I, d >= 2, and take L apart by degrees.

- Degree 2, -(u tr U + p'q): its matrix H has HA + AH = 0, so that A maps the eigenspace of mu to
  that of -mu. These are +-1 for p +- q, +-sqrt(d) for u and the part of U along I, and 0 for
  traceless U. So A has three blocks: (p, q) -> (X p + Y q, Y'p - X q) with Y' = -Y; b on u and -b
  on the part of U along I; and any on traceless U.
- Degree 4 on p = q = 0, (Gamma/2) u^2 |U|^2: 2 b u^2 |U|^2 + 2 u^2 <U, A U> = 0 makes A = -b on
  all U.
- Degree 4 on U = 0, the part with u^2, a multiple of u^2 |q|^2: b |q|^2 + q'(Y'p - X q) = 0 makes
  X = b, Y = 0.

That is b times the balance. For d = 1, where sqrt(d) = 1, linear algebra with rationals says it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from flint import fmpq, fmpq_mat

from papers.beyond.layer_polynomial import LayerPolynomial, Powers
from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.letters import disagreement
from theory.full_flow import solve_full_flow
from theory.moments.evaluation import derivative
from theory.moments.expression import Expression
from theory.moments.layer import U11, U12, U21, U_1, derive_loss
from theory.population_loss import PopulationLoss
from theory.whitened_loss import LayerBlocks

#: Of the library's solver, in units of |weights|^2.
TOLERANCE = 1e-8

#: Dimensions of the flow lines of the library, and how long they are followed.
DIMENSIONS, HORIZON = (1, 2), 1.0

#: Eigenvalues of Lambda and N at which the conserved quadratic forms are counted.
SETTINGS = (((1,), 1), ((2,), 3), ((1, 1), 1), ((1, 3), 2), ((1, 1, 1), 2))


@dataclass(frozen=True)
class Balance:
    """The number p |u12|^2 + q |u21|^2 + U |U11|^2 + u u_1^2 is conserved."""

    p: Expression
    q: Expression
    U: Expression
    u: Expression

    def __call__(self, weights: LayerBlocks) -> float:
        """Return the number."""
        squares = [float(np.sum(np.square(block))) for block in weights]
        factors = (self.p, self.q, self.U, self.u)
        return sum(
            float(factor.terms.get(frozenset(), 0)) * x
            for factor, x in zip(factors, squares, strict=True)
        )


def _balance(p: int = 100, q: int = -100, U: int = -100, u: int = 100) -> Balance:
    """Coefficients in percent."""
    return Balance(*(Expression.constant(x) / 100 for x in (p, q, U, u)))


@statement(
    id="beyond/conserved-quantity",
    title="Gradient flow of all weights conserves |u_12|^2 + u_{-1}^2 - |U_11|^2 - |u_21|^2",
    source="ours; zhang2024/lemma-17 is the case u_12 = u_21 = 0",
    latex=r"\|u_{12}\|^2 + u_{-1}^2 - \|U_{11}\|_F^2 - \|u_{21}\|^2 \text{ is constant}",
    printed=_balance(),
    beyond=True,
    mutants={
        "u_21 on the other side": _balance(q=100),
        "u_12 on the other side": _balance(p=-100),
        "without u_12": _balance(p=0),
        "without u_21": _balance(q=0),
        "the sum of all squares": _balance(q=100, U=100),
        "1 % more of |U_11|^2": _balance(U=-101),
    },
    hypotheses=("x ~ N(0, Lambda), w ~ N(0, S), label noise or none", "every start"),
    depends_on=("beyond/full-loss",),
)
def CONSERVED(claim: Balance, rng: np.random.Generator) -> Evidence:
    """Differentiate the derived loss along (p, -q, -U, u); then follow the library's flow."""
    slope = derivative(
        derive_loss(),
        {"p": U12 * claim.p, "q": U21 * claim.q, "U": U11 * claim.U, "u": U_1 * claim.u},
    )
    wrong, worst = disagreement(slope, Expression({}), rng), 0.0
    for dim in DIMENSIONS if not wrong else ():
        drift = _drift(claim, dim, rng)
        worst = max(worst, drift)
        if not drift <= TOLERANCE:
            wrong = f"d = {dim}: it drifts by {drift:.4g} |weights|^2 on a flow line"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "its derivative along the flow, as a polynomial in words (it must be 0); and its drift on"
        " flow lines of the library, in units of |weights|^2",
        f"every d, N, Lambda, S and sigma; flow lines with S and noise, d in {DIMENSIONS}",
        worst,
        TOLERANCE,
        wrong,
    )


def _drift(claim: Balance, dim: int, rng: np.random.Generator) -> float:
    roots = rng.standard_normal((2, dim, dim))
    lam, tasks = (root @ root.T / dim + 0.5 * np.eye(dim) for root in roots)
    lam, tasks = (lam + lam.T) / 2, (tasks + tasks.T) / 2
    loss = PopulationLoss(lam, int(rng.integers(1, 6)), tasks, float(rng.uniform(0, 1)))
    start = LayerBlocks.unstack(rng.standard_normal((dim + 1) ** 2) / 2)
    flow = solve_full_flow(loss, start, horizon=HORIZON)
    points = [flow(t) for t in np.linspace(0, flow.horizon, 12)]
    size = max(float(point.stacked @ point.stacked) for point in points)
    return max(abs(claim(point) - claim(start)) for point in points) / size


#: A symmetric matrix over the weights, by its entries (i, j), i <= j, of the quadratic form.
Quadratic = dict[tuple[int, int], int]
#: The quadratic forms that are claimed to be conserved, a basis of all, from d.
AllConserved = Callable[[int], Sequence[Quadratic]]


def _rows(dim: int) -> tuple[list[int], list[list[int]]]:
    """Return the places of the entries of f = (u12, u_1), and of the rows of V = (U11; u21')."""
    f = [*range(dim), (dim + 1) ** 2 - 1]
    V = [[2 * dim + dim * i + j for j in range(dim)] for i in range(dim)]
    return f, [*V, list(range(dim, 2 * dim))]


def _matrix_entry(dim: int, i: int, j: int) -> Quadratic:
    """Return (f f' - V V')_ij, i <= j."""
    f, V = _rows(dim)
    crossed = {(f[i], f[j]): 1}
    return crossed | {(min(a, b), max(a, b)): -1 for a, b in zip(V[i], V[j], strict=True)}


def _trace(dim: int) -> Quadratic:
    return {key: c for i in range(dim + 1) for key, c in _matrix_entry(dim, i, i).items()}


def _matrix(dim: int) -> list[Quadratic]:
    pairs = combinations_with_replacement(range(dim + 1), 2)
    return [_matrix_entry(dim, i, j) for i, j in pairs]


def _norm(dim: int) -> Quadratic:
    return {(i, i): 1 for i in range((dim + 1) ** 2)}


@statement(
    id="beyond/no-other-conserved-quadratic",
    title="It is the only quadratic form of the weights that gradient flow conserves",
    source="ours",
    latex=r"x^\top A x \text{ constant along every flow line} \Rightarrow"
    r" A \propto \mathrm{diag}(I, -I, -I, 1) \text{ on } (u_{12}, u_{21}, U_{11}, u_{-1})",
    printed=lambda dim: [_trace(dim)],
    beyond=True,
    mutants={
        "all of f f' - V V', as for two linear layers": _matrix,
        "the diagonal of f f' - V V'": lambda dim: [
            _matrix_entry(dim, i, i) for i in range(dim + 1)
        ],
        "none": lambda dim: [],
        "the sum of all squares": lambda dim: [_norm(dim)],
        "with u_12 and u_21 exchanged": lambda dim: [
            _trace(dim) | {(i, i): (-1 if i < dim else 1) for i in range(2 * dim)}
        ],
    },
    hypotheses=("Lambda = I, S = I, no noise for every d; see the scope for other Lambda",),
    depends_on=("beyond/conserved-quantity",),
)
def NO_OTHER(claim: AllConserved, rng: np.random.Generator) -> Evidence:
    """Solve <grad L, A x> = 0 for A, a linear system with rational coefficients."""
    wrong = next(filter(None, (_miscounted(claim, *setting) for setting in SETTINGS)), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "<grad L, A x> for every claimed A (a polynomial, which must be 0), and the dimension of"
        " the space of all A for which it is 0",
        "d = 1, 2, 3 in rationals, at (eigenvalues of Lambda, N) ="
        f" {', '.join(map(str, SETTINGS))}; for every d >= 2 at Lambda = I it is proved in"
        " words in the module, which no machine has checked",
        counterexample=wrong,
    )


def _miscounted(claim: AllConserved, eigenvalues: tuple[int, ...], prompt_length: int) -> str:
    dim = len(eigenvalues)
    loss = LayerPolynomial.loss(eigenvalues, prompt_length)
    slopes = [loss.derivative(i).terms for i in range(loss.size)]
    places = list(combinations_with_replacement(range(loss.size), 2))
    columns = [_along(slopes, {place: 1}) for place in places]
    told = f"d = {dim}, Lambda = diag{eigenvalues}, N = {prompt_length}"
    claimed = claim(dim)
    for quadratic in claimed:
        if along := {m: c for m, c in _along(slopes, quadratic).items() if c != 0}:
            monomial, value = next(iter(along.items()))
            return f"{told}: <grad L, A x> has the coefficient {value} at the powers {monomial}"
    monomials = sorted(set().union(*columns))
    system = fmpq_mat([[column.get(m, fmpq(0)) for column in columns] for m in monomials])
    dimension = len(places) - system.rank()
    if dimension != len(claimed):
        return f"{told}: a space of dimension {dimension} is conserved, not {len(claimed)}"
    return ""


def _along(slopes: Sequence[Mapping[Powers, fmpq]], quadratic: Quadratic) -> dict[Powers, fmpq]:
    """Return the derivative of a quadratic form along grad L, by monomials."""
    total: dict[Powers, fmpq] = {}
    for (i, j), c in quadratic.items():
        for moved, kept in ((i, j), (j, i)):
            for powers, value in slopes[moved].items():
                raised = (*powers[:kept], powers[kept] + 1, *powers[kept + 1 :])
                total[raised] = total.get(raised, fmpq(0)) + c * value
    return total


STATEMENTS = (CONSERVED, NO_OTHER)
