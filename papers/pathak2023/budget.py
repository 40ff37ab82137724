"""The paper's own rows: p = 2d + 4m + 2, all zero but for the prompt, are not enough.

LayerNorm does not see the length of a column: lambda(c v) = lambda(v) for c > 0. In column 1, where
attention adds nothing, a layer therefore adds the same to the columns x and 2x when nothing but the
prompt stands in them; line 1 must add x to one and 2x to the other, so that one of them is off by
at least half of |x|, whatever the weights. One row that does not scale with the prompt repairs it.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from constructions.architecture import Layer, LayerWeights
from constructions.compiled import CompiledProgram
from constructions.operators import CopyDown
from constructions.program import Program, Register
from papers.ledger import Correction, Evidence, Fault, Grade, statement

DIM, COMPONENTS = 2, 1
ROWS = 2 * DIM + 4 * COMPONENTS + 2

#: Largest error, relative to |x|.
TOLERANCE = 1e-12

#: What a layer makes of the first column (x, 0, ..., 0): rows d + 1..2d of the result.
CopyClaim = Callable[[Float[np.ndarray, " d"], np.random.Generator], Float[np.ndarray, " d"]]


def _paper_rows(x: Float[np.ndarray, " d"], rng: np.random.Generator) -> Float[np.ndarray, " d"]:
    """A layer of random weights on the paper's rows alone; one generator state is one layer."""
    no_head = torch.zeros(0, 1, ROWS, dtype=torch.float64)
    weights = LayerWeights(
        query=no_head,
        key=no_head,
        value=no_head,
        output=no_head.transpose(1, 2),
        inward=torch.tensor(rng.normal(size=(16, ROWS))),
        outward=torch.tensor(rng.normal(size=(ROWS, 16))),
    )
    column = torch.zeros(1, ROWS, 1, dtype=torch.float64)
    column[0, :DIM, 0] = torch.tensor(x)
    with torch.no_grad():
        copied: Float[np.ndarray, " d"] = Layer(weights)(column)[0, DIM : 2 * DIM, 0].numpy()
    return copied


def _with_constants(
    x: Float[np.ndarray, " d"], rng: np.random.Generator
) -> Float[np.ndarray, " d"]:
    """The compiled line 1, with its constant rows."""
    register = Register("H", 1, ROWS, -8.0, 8.0)
    line = CopyDown(1, DIM + 1, DIM, frozenset({1}))
    H = np.zeros((1, ROWS, 1))
    H[0, :DIM, 0] = x
    network = CompiledProgram(Program("line 1", (register,), 1, (line,), ("H",)))
    return network.run_matrices(H)[0, DIM : 2 * DIM, 0]


def _shrunk(factor: float) -> CopyClaim:
    def copy(x: Float[np.ndarray, " d"], rng: np.random.Generator) -> Float[np.ndarray, " d"]:
        return factor * _with_constants(x, rng)

    return copy


@statement(
    id="pathak2023/budget-rows",
    title="The prompt's own rows suffice for line 1",
    source="Appendix B.2.1, last line (p = 2d + 4m + 2), with line 1 and Section 1.2",
    latex=r"H \in \mathbf{R}^{p \times q},\ p = 2d + 4m + 2,\ q = 2k + 1",
    printed=_paper_rows,
    correction=Correction[CopyClaim](
        _with_constants,
        "Some row must not scale with the prompt: rows of constants (and, for exactness on a box, "
        "+L, -L and a zero row) beside the paper's.",
        Fault.FALSE,
    ),
    mutants={
        "half a copy": _shrunk(0.5),
        "a copy off by 1 %": _shrunk(1.01),
        "the prompt's direction only": lambda x, rng: x / np.linalg.norm(x),
    },
    hypotheses=("x_1 is not zero",),
    depends_on=("pathak2023/program-line-1",),
)
def ROWS_SUFFICE(claim: CopyClaim, rng: np.random.Generator) -> Evidence:
    """Copy x and 2x with the same layer; by scale invariance one is off by |x| / 2 at least."""
    worst, counterexample = 0.0, ""
    for _ in range(50):
        x, seed = rng.uniform(-3, 3, DIM), int(rng.integers(2**31))
        # The same seed is the same layer for both columns.
        one, two = (claim(c * x, np.random.default_rng(seed)) for c in (1.0, 2.0))
        off = max(np.linalg.norm(one - x), np.linalg.norm(two - 2 * x)) / np.linalg.norm(x)
        worst = max(worst, float(off))
        if not counterexample and off > TOLERANCE:
            counterexample = (
                f"for x = {np.round(x, 3)} a layer copies {np.round(one, 3)} from x and "
                f"{np.round(two, 3)} from 2x: off by {off:.3g} |x|"
            )
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "what one layer copies from the columns x and 2x, against x and 2x, relative to |x|",
        "50 vectors x, each with a layer of its own (that no layer can do better than 1/2 follows "
        "from lambda(2v) = lambda(v))",
        worst,
        TOLERANCE,
        counterexample,
    )


STATEMENTS = (ROWS_SUFFICE,)
