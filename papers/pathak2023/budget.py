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

COMPONENTS = 1

#: Largest error, relative to |x|.
TOLERANCE = 1e-12

#: What a layer makes of the first column (x, 0, ..., 0): rows d + 1..2d of the result. Its weights
#: are random, from the seed; for the seed None they are such that e_1 is copied.
CopyClaim = Callable[[Float[np.ndarray, " d"], int | None], Float[np.ndarray, " d"]]


def _num_rows(d: int) -> int:
    return 2 * d + 4 * COMPONENTS + 2


def _dense(d: int, seed: int | None) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "p n"]]:
    """Return W^in and W^out on the paper's rows."""
    p = _num_rows(d)
    if seed is not None:
        rng = np.random.default_rng(seed)
        return rng.normal(size=(16, p)), rng.normal(size=(p, 16))
    # gelu(v) - gelu(-v) = v, and lambda(c e_1) is (p - 1)^{1/2} in its first row for every c > 0.
    inward, outward = np.zeros((2, p)), np.zeros((p, 2))
    inward[:, 0], outward[d] = (1.0, -1.0), np.array([1.0, -1.0]) / (p - 1) ** 0.5
    return inward, outward


def _paper_rows(x: Float[np.ndarray, " d"], seed: int | None) -> Float[np.ndarray, " d"]:
    """A layer on the paper's rows alone; one seed is one layer."""
    d = len(x)
    p = _num_rows(d)
    no_head = torch.zeros(0, 1, p, dtype=torch.float64)
    inward, outward = _dense(d, seed)
    weights = LayerWeights(
        query=no_head,
        key=no_head,
        value=no_head,
        output=no_head.transpose(1, 2),
        inward=torch.tensor(inward),
        outward=torch.tensor(outward),
    )
    column = torch.zeros(1, p, 1, dtype=torch.float64)
    column[0, :d, 0] = torch.tensor(x)
    with torch.no_grad():
        copied: Float[np.ndarray, " d"] = Layer(weights)(column)[0, d : 2 * d, 0].numpy()
    return copied


def _with_constants(x: Float[np.ndarray, " d"], seed: int | None) -> Float[np.ndarray, " d"]:
    """The compiled line 1, with its constant rows."""
    d = len(x)
    p = _num_rows(d)
    register = Register("H", 1, p, -8.0, 8.0)
    line = CopyDown(1, d + 1, d, frozenset({1}))
    H = np.zeros((1, p, 1))
    H[0, :d, 0] = x
    network = CompiledProgram(Program("line 1", (register,), 1, (line,), ("H",)))
    return network.run_matrices(H)[0, d : 2 * d, 0]


def _shrunk(factor: float) -> CopyClaim:
    def copy(x: Float[np.ndarray, " d"], seed: int | None) -> Float[np.ndarray, " d"]:
        return factor * _with_constants(x, seed)

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
        latex=r"H \in \mathbf{R}^{p \times q},\ p > 2d + 4m + 2,\ q = 2k + 1,"
        r"\ \text{with rows of constants}",
    ),
    mutants={
        "half a copy": _shrunk(0.5),
        "a copy off by 1 %": _shrunk(1.01),
        "the prompt's direction only": lambda x, seed: x / np.linalg.norm(x),
    },
    hypotheses=("x_1 is not zero",),
    depends_on=("pathak2023/program-line-1",),
)
def ROWS_SUFFICE(claim: CopyClaim, rng: np.random.Generator) -> Evidence:
    """Copy x and 2x with the same layer; by scale invariance one is off by |x| / 2 at least."""
    worst, counterexample = 0.0, ""
    drawn = [(rng.uniform(-3, 3, 2), int(rng.integers(2**31))) for _ in range(50)]
    for x, seed in [(np.ones(1), None), *drawn]:
        # The same seed is the same layer for both columns.
        one, two = (claim(c * x, seed) for c in (1.0, 2.0))
        off = max(np.linalg.norm(one - x), np.linalg.norm(two - 2 * x)) / np.linalg.norm(x)
        worst = max(worst, float(off))
        if not counterexample and off > TOLERANCE:
            d = len(x)
            counterexample = (
                f"d = {d}, m = {COMPONENTS}, p = {_num_rows(d)}: from the column ({_listed(x)}, 0,"
                f" ..., 0) a layer copies {_listed(one)}, and from the one with {_listed(2 * x)} it"
                f" copies {_listed(two)}: off by {off:.3g} |x|"
            )
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "what one layer copies from the columns x and 2x, against x and 2x, relative to |x|",
        "x = 1 with the layer that is exact there, and 50 vectors x, each with a layer of its own "
        "(that no layer can do better than 1/2 follows from lambda(2v) = lambda(v))",
        worst,
        TOLERANCE,
        counterexample,
    )


def _listed(numbers: Float[np.ndarray, " d"]) -> str:
    return ", ".join(f"{x:.4g}" for x in numbers)


STATEMENTS = (ROWS_SUFFICE,)
