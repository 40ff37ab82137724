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

#: By level, the degree of what it computes in what it reads; None: no polynomial.
DegreeClaim = tuple[int | None, ...]


@statement(
    id="pathak2023/figure-1-operations",
    title="What the levels of the circuit do: linear, square, sum, softmax, and a product",
    source="Section 2, last sentence",
    latex=r"\deg = (1, 2, 1, -, 2)",
    printed=(1, 2, 1, None, 1),
    correction=Correction[DegreeClaim](
        (1, 2, 1, None, 2),
        "The final layer is not linear: it multiplies p_j by r_{k+1,j}, both of which the circuit"
        " has computed, and needs a product (line 8 of the program) besides the sum (line 9).",
        Fault.FALSE,
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
    t, circuit = sp.Symbol("t", positive=True), Circuit(2, 3, 2)
    reads: tuple[tuple[LevelClaim, Values], ...] = (
        (squares, residual_inputs(circuit)),
        (scores, circuit.symbols("q", rows_of(circuit), circuit.components)),
        (softmax, circuit.symbols("s", circuit.components)),
    )
    query = circuit.symbols("v", circuit.components)
    p = circuit.symbols("p", circuit.components)
    prompt = [circuit.vector("x", 1)[axis] for axis in range(2)] + [sp.Symbol("y1", real=True)]
    levels = [
        (circuit.residual(1, 1), prompt),
        *((level(circuit, given)[next(iter(level(circuit, given)))], [*given.values()])
          for level, given in reads),
        (sum(p[j] * query[j] for j in p), [*p.values(), *query.values()]),
    ]  # fmt: skip
    wrong = ""
    for number, ((value, inputs), degree) in enumerate(zip(levels, claim, strict=True), start=1):
        scaled = value.subs({symbol: t * symbol for symbol in inputs}, simultaneous=True)
        powers = [n for n in (1, 2, 3) if sp.expand(scaled - t**n * value) == 0]
        found = powers[0] if powers else None
        if not wrong and found != degree:
            one = dict.fromkeys(inputs, sp.Integer(1))
            doubled = [sp.N(value.subs({s: c * v for s, v in one.items()}), 4) for c in (1, 2)]
            wrong = (
                f"level {number}: inputs 1 and 2 give {doubled[0]} and {doubled[1]}:"
                f" the degree is {found}, not {degree}"
            )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "how each level scales with its inputs, with symbols",
        "m = 3, k = 2, d = 2",
        counterexample=wrong,
    )


STATEMENTS = (OPERATIONS,)
