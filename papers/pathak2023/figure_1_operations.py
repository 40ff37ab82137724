"""Section 2, last sentence: which operations the circuit of Figure 1 is made of."""

import numpy as np
import sympy as sp

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from papers.pathak2023.figure_1 import (
    Circuit,
    LevelClaim,
    Values,
    residual_inputs,
    rows_of,
    scores,
    softmax,
    squares,
)

#: (d, m, k), smallest first; the last is that of the figure.
SIZES = ((1, 1, 1), (1, 2, 1), (2, 3, 2))

#: By level, the degree of what it computes in what it reads; None: no polynomial.
DegreeClaim = tuple[int | None, ...]


_OTHERS = (
    r"\text{squaring in the second layer, summation in the third layer,}\quad"
    r" \text{softmax in the fourth layer}"
)


@statement(
    id="pathak2023/figure-1-operations",
    title="What the levels of the circuit do: linear, square, sum, softmax, and a product",
    source="Section 2, last sentence",
    latex=r"\text{linear transforms in the first and final layers,}\quad " + _OTHERS,
    printed=(1, 2, 1, None, 1),
    correction=Correction[DegreeClaim](
        (1, 2, 1, None, 2),
        "The final layer is not linear: it multiplies p_j by r_{k+1,j}, both of which the circuit"
        " has computed, and needs a product (line 8 of the program) besides the sum (line 9).",
        Fault.FALSE,
        latex=r"\text{linear transforms in the first layer,}\quad "
        + _OTHERS
        + r",\quad \text{products } p_j r_{(k+1),j} \text{ and their sum in the final layer}",
    ),
    mutants={
        "a linear second level": (1, 1, 1, None, 2),
        "a quadratic first level": (2, 2, 1, None, 2),
        "a quadratic third level": (1, 2, 2, None, 2),
        "a linear softmax": (1, 2, 1, 1, 2),
        "a cubic final level": (1, 2, 1, None, 3),
    },
    depends_on=tuple(f"pathak2023/figure-1-level-{level}" for level in range(1, 6)),
)
def OPERATIONS(claim: DegreeClaim, rng: np.random.Generator) -> Evidence:
    """Multiply all inputs of a level by t, and look at the power of t that comes out."""
    wrong = next(filter(None, (_wrong_degree(claim, Circuit(*size)) for size in SIZES)), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "how each level scales with its inputs, with symbols",
        f"(d, m, k) in {SIZES}",
        counterexample=wrong,
    )


def _wrong_degree(claim: DegreeClaim, circuit: Circuit) -> str:
    t = sp.Symbol("t", positive=True)
    reads: tuple[tuple[LevelClaim, Values], ...] = (
        (squares, residual_inputs(circuit)),
        (scores, circuit.symbols("q", rows_of(circuit), circuit.components)),
        (softmax, circuit.symbols("s", circuit.components)),
    )
    query = circuit.symbols("v", circuit.components)
    p = circuit.symbols("p", circuit.components)
    levels = [
        (circuit.residual(1, 1), [*circuit.vector("x", 1), sp.Symbol("y1", real=True)]),
        *((level(circuit, given)[next(iter(level(circuit, given)))], [*given.values()])
          for level, given in reads),
        (sum(p[j] * query[j] for j in p), [*p.values(), *query.values()]),
    ]  # fmt: skip
    for number, ((value, inputs), degree) in enumerate(zip(levels, claim, strict=True), start=1):
        scaled = value.subs({symbol: t * symbol for symbol in inputs}, simultaneous=True)
        powers = [n for n in (1, 2, 3) if sp.expand(scaled - t**n * value) == 0]
        found = powers[0] if powers else None
        if found != degree:
            # Weights and the noise level are no inputs.
            others = dict.fromkeys(value.free_symbols - set(inputs), 2)
            once, twice = (value.subs({**others, **dict.fromkeys(inputs, c)}) for c in (1, 2))
            with_others = f", and {' = '.join(map(str, others))} = 2," if others else ""
            return (
                f"d = {circuit.d}, m = {circuit.m}, k = {circuit.k}, level {number}: inputs that"
                f" are all 1{with_others} give {once}, all 2 give {twice}: {_named(found)}, not"
                f" {_named(degree)}"
            )
    return ""


def _named(degree: int | None) -> str:
    return "no power" if degree is None else f"the power {degree}"


STATEMENTS = (OPERATIONS,)
