r"""Figure 1, level by level, and display (5): the circuit that computes f*_pi.

Each level is a function of the levels before it, and is judged on the right inputs: residuals,
squares, scaled sums over the examples, softmax, and the answer sum_j p_j r_{k+1,j}. Inputs are
symbols, so that a level is right for every prompt. The figure has m = 3 and k = 2; "generalizing
the circuit to general (k, m) is straightforward", and the same levels do for all sizes tried.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from papers.ledger import Correction, Evidence, Fault, Grade, Statement, statement

#: (d, m, k): the edges, smallest first, and that of the figure (which has no d).
SIZES = (*product((1, 2), (1, 2), (1, 3)), (2, 3, 2))

#: Values by index (i, j), (j,) or (), from 1.
Values = Mapping[tuple[int, ...], Any]


@dataclass(frozen=True)
class Circuit:
    """The right values of all levels for d, m, k, each with inputs that are symbols.

    Parameters
    ----------
    d, m, k
        Dimension, components, examples.
    """

    d: int
    m: int
    k: int

    @property
    def examples(self) -> range:
        """1..k."""
        return range(1, self.k + 1)

    @property
    def components(self) -> range:
        """1..m."""
        return range(1, self.m + 1)

    @property
    def sigma(self) -> sp.Symbol:
        """The noise level."""
        return sp.Symbol("sigma", positive=True)

    def vector(self, letter: str, i: int) -> list[sp.Symbol]:
        """x_i or w_i."""
        return list(sp.symbols(f"{letter}{i}_1:{self.d + 1}", real=True))

    def symbols(self, letter: str, first: range, second: range | None = None) -> Values:
        """Return symbols by index."""
        indices = product(first) if second is None else product(first, second)
        return {
            index: sp.Symbol(f"{letter}_{'_'.join(map(str, index))}", real=True)
            for index in indices
        }

    def residual(self, i: int, j: int) -> sp.Expr:
        """<w_j, x_i>, less y_i for an example."""
        dot = sum(a * b for a, b in zip(self.vector("w", j), self.vector("x", i), strict=True))
        return dot if i == self.k + 1 else dot - sp.Symbol(f"y{i}", real=True)


#: A level: its values from the circuit (sizes, prompt and sigma), and from its inputs.
LevelClaim = Callable[[Circuit, Values], Values]

#: What a level reads, and what it has to give, as functions of the circuit.
Inputs = Callable[[Circuit], Values]


def rows_of(circuit: Circuit) -> range:
    """1..k + 1."""
    return range(1, circuit.k + 2)


def residual_inputs(circuit: Circuit) -> Values:
    """The r_ij as symbols."""
    return circuit.symbols("r", rows_of(circuit), circuit.components)


def _wrong(claim: LevelClaim, inputs: Inputs, expected: LevelClaim) -> str:
    for size in SIZES:
        circuit = Circuit(*size)
        given = inputs(circuit)
        found, right = claim(circuit, given), expected(circuit, given)
        at = f"d = {circuit.d}, m = {circuit.m}, k = {circuit.k}"
        for index in right:
            told = right[index]
            if index not in found:
                return f"{at}: {_name(index)} is used, and not defined: {told}{_at(told)}"
            if _differ(found[index], told):
                pair = found[index], told
                return f"{at}: {_name(index)} is {pair[0]}, not {told}{_at(*pair)}"
        extra = sorted(set(found) - set(right))
        if extra:
            return f"{at}: {', '.join(map(_name, extra))} should not be there"
    return ""


def _name(index: tuple[int, ...]) -> str:
    return f"the value ({', '.join(map(str, index))})" if index else "the answer"


def _at(*values: Any) -> str:
    """The values at small distinct integers, where there are symbols."""
    formulas = [sp.sympify(value) for value in values]
    symbols = sorted(set().union(*(formula.free_symbols for formula in formulas)), key=str)
    at = {symbol: value for value, symbol in enumerate(symbols, start=2)}
    where = ", ".join(f"{symbol} = {value}" for symbol, value in at.items())
    return f"; at {where}: {', not '.join(str(formula.subs(at)) for formula in formulas)}"


def _differ(found: Any, right: Any) -> bool:
    """Numbers tell what is wrong, and symbols that nothing is."""
    gap = sp.sympify(found - right)
    if gap == 0:
        return False
    free = sorted(gap.free_symbols, key=str)
    place = {symbol: sp.Rational(n * n + 3, 7) for n, symbol in enumerate(free)}
    if abs(sp.N(gap.subs(place))) > 1e-9:
        return True
    return bool(sp.expand(gap) != 0 and sp.simplify(gap) != 0)


def _level(
    name: str,
    title: str,
    source: str,
    latex: str,
    *,
    printed: LevelClaim,
    mutants: dict[str, LevelClaim],
    inputs: Inputs,
    expected: LevelClaim,
    correction: Correction[LevelClaim] | None = None,
    depends_on: tuple[str, ...] = (),
) -> Statement[LevelClaim]:
    def check(claim: LevelClaim, rng: np.random.Generator) -> Evidence:
        wrong = _wrong(claim, inputs, expected)
        return Evidence(
            not wrong,
            Grade.PROVED,
            "every value of the level against its definition, with symbols for all inputs",
            f"every prompt, W* and sigma > 0; (d, m, k) in {SIZES}",
            counterexample=wrong,
        )

    return statement(
        id=f"pathak2023/{name}",
        title=title,
        source=source,
        latex=latex,
        printed=printed,
        mutants=mutants,
        correction=correction,
        hypotheses=("sigma > 0", "k >= 1"),
        depends_on=depends_on,
    )(check)


def _residuals(circuit: Circuit, rows: range, subtracted: Callable[[int], Any]) -> Values:
    """<w_j, x_i> - subtracted(i) y_i."""
    result: dict[tuple[int, ...], Any] = {}
    for i, j in product(rows, circuit.components):
        w, x = circuit.vector("w", j), circuit.vector("x", i)
        y = sp.Symbol(f"y{i}", real=True)
        result[i, j] = sum(a * b for a, b in zip(w, x, strict=True)) - subtracted(i) * y
    return result


def _definition(circuit: Circuit, given: Values) -> Values:
    rows = product(rows_of(circuit), circuit.components)
    return {(i, j): circuit.residual(i, j) for i, j in rows}


def _before_query(circuit: Circuit) -> Callable[[int], int]:
    return lambda i: int(i != circuit.k + 1)


_RESIDUAL_MUTANTS: dict[str, LevelClaim] = {
    "a label of the query": lambda c, _: _residuals(c, rows_of(c), lambda i: 1),
    "labels added": lambda c, _: _residuals(c, rows_of(c), lambda i: -_before_query(c)(i)),
    "labels forgotten": lambda c, _: _residuals(c, rows_of(c), lambda i: 0),
    "the label of example k forgotten": lambda c, _: _residuals(
        c, rows_of(c), lambda i: int(i < c.k)
    ),
    "up to k + 2": lambda c, _: _residuals(c, range(1, c.k + 3), _before_query(c)),
    "labels of 1 % more": lambda c, _: _residuals(
        c, rows_of(c), lambda i: _before_query(c)(i) * sp.Rational(101, 100)
    ),
}

_DISPLAY_5 = r"r_{ij} = \langle w_j^*, x_i \rangle - y_i \mathbf{1}\{i \ne k + 1\},\quad "

RESIDUALS = _level(
    "display-5",
    "The residuals r_ij, and those of the query, <w_j, x_{k+1}>",
    "Section 2, display (5)",
    _DISPLAY_5 + r"i \in [k],\ j \in [m]",
    printed=lambda c, _: _residuals(c, c.examples, _before_query(c)),
    correction=Correction[LevelClaim](
        lambda c, _: _residuals(c, rows_of(c), _before_query(c)),
        "i in [k + 1]: the final layer uses r_{k+1,j}, and the indicator has no other purpose.",
        Fault.SLIP,
        latex=_DISPLAY_5 + r"i \in [k + 1],\ j \in [m]",
    ),
    mutants=_RESIDUAL_MUTANTS,
    inputs=lambda c: {},
    expected=_definition,
)

_FIGURE = "Section 2, Figure 1 and the text below display (5)"

LEVEL_1 = _level(
    "figure-1-level-1",
    "Level 1 of the circuit: the residuals, linear in the prompt",
    _FIGURE,
    r"r_{ij} = (\mathcal{W}^* x_i - y_i \mathbf{1}\{i \ne k+1\} \mathbf{1})_j",
    printed=lambda c, _: _residuals(c, rows_of(c), _before_query(c)),
    mutants=_RESIDUAL_MUTANTS,
    inputs=lambda c: {},
    expected=_definition,
    depends_on=("pathak2023/display-5",),
)


def squares(c: Circuit, r: Values, power: int = 2, factor: Any = 1) -> Values:
    """Level 2."""
    return {index: factor * value**power for index, value in r.items()}


LEVEL_2 = _level(
    "figure-1-level-2",
    "Level 2: the squares of the residuals",
    _FIGURE,
    r"r_{ij}^2",
    printed=squares,
    mutants={
        "cubes": lambda c, r: squares(c, r, 3),
        "the residuals themselves": lambda c, r: squares(c, r, 1),
        "1 % more": lambda c, r: squares(c, r, 2, sp.Rational(101, 100)),
        "those of component 1": lambda c, r: {(i, j): r[i, 1] ** 2 for i, j in r},
        "products with the next example": lambda c, r: {
            (i, j): value * r[min(i + 1, c.k + 1), j] for (i, j), value in r.items()
        },
    },
    inputs=residual_inputs,
    expected=lambda c, r: {index: r[index] * r[index] for index in r},
    depends_on=("pathak2023/figure-1-level-1",),
)


def _sums(c: Circuit, squared: Values, rows: range, scale: Any = None) -> Values:
    factor = -1 / (2 * c.sigma**2) if scale is None else scale
    return {(j,): factor * sum(squared[i, j] for i in rows) for j in c.components}


def scores(c: Circuit, squared: Values) -> Values:
    """Level 3: -1/2 sum_i (r_ij / sigma)^2, one example after the other."""
    result: dict[tuple[int, ...], Any] = {(j,): sp.Integer(0) for j in c.components}
    for (i, j), square in squared.items():
        if i <= c.k:
            result[(j,)] = result[(j,)] - square / c.sigma**2 / 2
    return result


LEVEL_3 = _level(
    "figure-1-level-3",
    "Level 3: the scaled sums over the examples, the query excluded",
    _FIGURE,
    r"s_j = -\tfrac{1}{2\sigma^2} \sum_{i=1}^k r_{ij}^2",
    printed=lambda c, q: _sums(c, q, c.examples),
    mutants={
        "the query included": lambda c, q: _sums(c, q, rows_of(c)),
        "without the half": lambda c, q: _sums(c, q, c.examples, -1 / c.sigma**2),
        "plus": lambda c, q: _sums(c, q, c.examples, 1 / (2 * c.sigma**2)),
        "sigma for sigma^2": lambda c, q: _sums(c, q, c.examples, -1 / (2 * c.sigma)),
        "the mean": lambda c, q: _sums(c, q, rows_of(c), -1 / (2 * c.k * c.sigma**2)),
        "the last example left out": lambda c, q: _sums(c, q, range(1, c.k)),
    },
    inputs=lambda c: c.symbols("q", rows_of(c), c.components),
    expected=scores,
    depends_on=("pathak2023/figure-1-level-2",),
)


def softmax(c: Circuit, s: Values, factor: Any = 1) -> Values:
    """Level 4."""
    total = sum(sp.exp(factor * value) for value in s.values())
    return {index: sp.exp(factor * value) / total for index, value in s.items()}


LEVEL_4 = _level(
    "figure-1-level-4",
    "Level 4: the softmax of the sums",
    _FIGURE,
    r"p_j = e^{s_j} / \sum_\ell e^{s_\ell}",
    printed=softmax,
    mutants={
        "of 2 s": lambda c, s: softmax(c, s, 2),
        "of -s": lambda c, s: softmax(c, s, -1),
        "of 1.01 s": lambda c, s: softmax(c, s, sp.Rational(101, 100)),
        "without the sum": lambda c, s: {index: sp.exp(value) for index, value in s.items()},
        "the next component's": lambda c, s: {
            (j,): softmax(c, s)[(j % c.m + 1,)] for j in c.components
        },
    },
    inputs=lambda c: c.symbols("s", c.components),
    # 1 / sum_l e^{s_l - s_j}.
    expected=lambda c, s: {
        index: 1 / sum(sp.exp(other - value) for other in s.values()) for index, value in s.items()
    },
    depends_on=("pathak2023/figure-1-level-3", "pathak2023/display-6"),
)


def _last_inputs(c: Circuit) -> Values:
    """The p_j, and r_{k+1,j} = <w_j, x_{k+1}>."""
    query: Values = {(c.k + 1, j): c.residual(c.k + 1, j) for j in c.components}
    return {**c.symbols("p", c.components), **query}


def _answer(c: Circuit, given: Values, row: int | None = None, power: int = 1) -> Values:
    i = c.k + 1 if row is None else row
    p = {j: given[(j,)] ** power for j in c.components}
    return {(): sum(p[j] * c.residual(i, j) for j in c.components)}


def _inner_product(c: Circuit, given: Values) -> Values:
    """<w-hat, x_{k+1}> with w-hat = sum_j p_j w_j."""
    mixed = [sum(given[(j,)] * c.vector("w", j)[axis] for j in c.components) for axis in range(c.d)]
    return {(): sum(a * b for a, b in zip(mixed, c.vector("x", c.k + 1), strict=True))}


LEVEL_5 = _level(
    "figure-1-level-5",
    "Level 5: sum_j p_j r_{k+1,j} = <sum_j p_j w_j, x_{k+1}> = f*_pi(P)",
    "Section 2, Figure 1 and the display below (6)",
    r"\sum_{j=1}^m p_j r_{(k+1),j} = \Big\langle \sum_{j=1}^m p_j w_j^*, x_{k+1}\Big\rangle",
    printed=_answer,
    mutants={
        "the last example's residuals": lambda c, given: _answer(c, given, c.k),
        "squared weights": lambda c, given: _answer(c, given, None, 2),
        "without the weights": lambda c, given: _answer(c, given, None, 0),
        "minus": lambda c, given: {(): -_answer(c, given)[()]},
        "1 % more": lambda c, given: {(): _answer(c, given)[()] * sp.Rational(101, 100)},
    },
    inputs=_last_inputs,
    expected=_inner_product,
    depends_on=("pathak2023/figure-1-level-4", "pathak2023/display-4"),
)

STATEMENTS = (RESIDUALS, LEVEL_1, LEVEL_2, LEVEL_3, LEVEL_4, LEVEL_5)
