"""Appendix B.2 as a whole: column sets, where the answer stands, and the matrices of B.2.1.

The lines are judged one by one in `papers.pathak2023.program_lines`; here the corrected program
runs from H^(0) to H^(9), and every matrix is held to the blocks that B.2.1 prints for k = 2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import exp

import numpy as np

from constructions.interpreter import run
from constructions.library.posterior_mean import initial_matrix, posterior_mean_program
from constructions.program import I_EVEN, I_ODD
from papers.ledger import Correction, Evidence, Fault, Grade, statement
from theory import PromptBatch, RegressionMixture

#: The sets I_even(k) and I_odd(k).
SetsClaim = Callable[[int], tuple[set[int], set[int]]]


def _sets(k: int, labels: int = 0, covariates: int = 1) -> tuple[set[int], set[int]]:
    even = {2 * j for j in range(1, k + labels + 1)}
    return even, {2 * j - 1 for j in range(1, k + covariates + 1)}


@statement(
    id="pathak2023/program-columns",
    title="I_even(k) are the columns of the labels, I_odd(k) those of the covariates",
    source="Appendix B.2, first display",
    latex=r"\mathcal{I}_{even}(k) := \{2j : j \in [k]\},\quad"
    r" \mathcal{I}_{odd}(k) := \{2j - 1 : j \in [k + 1]\}",
    printed=_sets,
    mutants={
        "a label of the query": lambda k: _sets(k, labels=1),
        "without the query": lambda k: _sets(k, covariates=0),
        "exchanged": lambda k: _sets(k)[::-1],
        "without the last label": lambda k: _sets(k, labels=-1),
    },
)
def SETS(claim: SetsClaim, rng: np.random.Generator) -> Evidence:
    """Look where a prompt's matrix holds which token, and at the library's sets."""
    wrong = ""
    for k in (1, 2, 5):
        prompts = PromptBatch(np.ones((1, k + 1, 1)), np.full((1, k), 2.0))
        row = prompts.interleaved()[0, 0]
        found = [{int(i) + 1 for i in np.flatnonzero(row == value)} for value in (2.0, 1.0)]
        library = [set(columns.of(k)) for columns in (I_EVEN, I_ODD)]
        if not wrong and (found != list(claim(k)) or found != library):
            wrong = f"k = {k}: labels and covariates are in {found}, not in {[*claim(k)]}"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the columns of [x_1, y_1, ..., x_{k+1}], and the library's sets",
        "k in (1, 2, 5)",
        counterexample=wrong,
    )


#: (d, m, k) and sigma; with so much noise no component is ruled out.
SIZES, SIGMA = ((1, 1, 2), (2, 3, 2), (3, 2, 2)), 8.0

#: Of an entry, in float64.
TOLERANCE = 1e-12

#: (n, row, column) of H^(n), from d, m, k.
AnswerClaim = Callable[[int, int, int], tuple[int, int, int]]


def _prompt(
    size: tuple[int, int, int], rng: np.random.Generator
) -> tuple[RegressionMixture, PromptBatch, list[np.ndarray]]:
    """A mixture of integers, a prompt of integers, and the corrected program run on it."""
    d, m, k = size
    mixture = RegressionMixture(rng.permutation(7)[: m * d].reshape(m, d) - 3.0, SIGMA)
    prompts = PromptBatch(rng.integers(1, 5, (1, k + 1, d)), rng.integers(1, 9, (1, k)))
    return mixture, prompts, _stages(mixture, prompts)


def _stages(mixture: RegressionMixture, prompts: PromptBatch) -> list[np.ndarray]:
    """H^(0), ..., H^(9) of the corrected program."""
    (m, d), k = mixture.components.shape, prompts.ys.shape[1]
    program = posterior_mean_program(mixture.components, SIGMA, k)
    return run(program, initial_matrix(prompts.interleaved()[0], 2 * d + 4 * m + 2))


@statement(
    id="pathak2023/program-answer",
    title="The program constructs H^(9), whose last entry is f*_pi(P)",
    source="Appendix B.2, above the program ('the matrix H^(8) is constructed by')",
    latex=r"f^*(P) = H^{(9)}_{2d+4m+2, 2k+1} \text{, where the matrix } H^{(8)}"
    r" \text{ is constructed}",
    printed=lambda d, m, k: (8, 2 * d + 4 * m + 2, 2 * k + 1),
    correction=Correction[AnswerClaim](
        lambda d, m, k: (9, 2 * d + 4 * m + 2, 2 * k + 1),
        "The process constructs H^(9), and 'f*(P)' is its entry; in H^(8) that row is still empty.",
        Fault.SLIP,
        latex=r"f^*_\pi(P) = H^{(9)}_{2d+4m+2, 2k+1} \text{, where the matrix } H^{(9)}"
        r" \text{ is constructed}",
    ),
    mutants={
        "one row higher": lambda d, m, k: (9, 2 * d + 4 * m + 1, 2 * k + 1),
        "one column earlier": lambda d, m, k: (9, 2 * d + 4 * m + 2, 2 * k),
        "the row 2d + 3m + 2": lambda d, m, k: (9, 2 * d + 3 * m + 2, 2 * k + 1),
        "H^(7)": lambda d, m, k: (7, 2 * d + 4 * m + 2, 2 * k + 1),
    },
    depends_on=tuple(f"pathak2023/program-line-{line}" for line in range(1, 10)),
)
def ANSWER(claim: AnswerClaim, rng: np.random.Generator) -> Evidence:
    """Run the corrected program and compare the entry with theory's posterior mean."""
    wrong, worst = "", 0.0
    # One component answers <w_1, x_2> whatever the label.
    smallest = RegressionMixture([[1.0]], SIGMA), PromptBatch([[[1.0], [2.0]]], [[1.0]])
    given = [(*smallest, _stages(*smallest), "w_1 = x_1 = y_1 = 1, x_2 = 2")]
    given += [(*_prompt(size, rng), "random integers") for size in SIZES]
    for mixture, prompts, stages, told in given:
        (m, d), k = mixture.components.shape, prompts.ys.shape[1]
        n, row, column = claim(d, m, k)
        expected, found = float(mixture.posterior_mean(prompts)[0]), stages[n][row - 1, column - 1]
        worst = max(worst, abs(found - expected))
        if not wrong and abs(found - expected) > TOLERANCE:
            wrong = (
                f"d = {d}, m = {m}, k = {k}, {told}: entry ({row}, {column}) of H^({n}) is"
                f" {found:.4g}, and f*_pi(P) is {expected:.4g}"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the entry after the corrected program against theory.RegressionMixture",
        f"d = m = k = 1; (d, m, k) in {SIZES}, sigma = {SIGMA:g}, random integers",
        worst,
        TOLERANCE,
        wrong,
    )


#: The block rows of B.2.1 by name: what stands in the columns x_1, y_1, x_2, y_2, x_3.
BLOCKS: dict[str, tuple[str, ...]] = {
    "token": ("x1", "Y1", "x2", "Y2", "x3"),
    "x, odd": ("x1", "0", "x2", "0", "x3"),
    "x": ("x1", "x1", "x2", "x2", "x3"),
    "y": ("0", "y1", "0", "y2", "0"),
    "r": ("0", "r1", "0", "r2", "r3"),
    "r^2": ("0", "r1^2", "0", "r2^2", "0"),
    "s": ("0", "r1^2", "0", "r2^2", "s"),
    "p": ("0", "0", "0", "0", "p"),
    "pr": ("0", "0", "0", "0", "p r3"),
    "f": ("0", "0", "0", "0", "f"),
}

#: The rows of H^(0), ..., H^(9), first to last.
STAGES: tuple[tuple[str, ...], ...] = (
    ("token",),
    ("token", "x, odd"),
    ("token", "x"),
    ("token", "x", "y"),
    ("token", "x", "y", "r"),
    ("token", "x", "y", "r", "r^2"),
    ("token", "x", "y", "r", "s"),
    ("token", "x", "y", "r", "s", "p"),
    ("token", "x", "y", "r", "s", "p", "pr"),
    ("token", "x", "y", "r", "s", "p", "pr", "f"),
)

Numbers = list[float]


@dataclass(frozen=True)
class Illustrated:
    """B.2.1.

    Parameters
    ----------
    stages
        The block rows of each matrix.
    blocks
        What a block row holds.
    scale
        s over r_1^2 + r_2^2, from sigma.
    labelled_query
        Whether r_3 has a label to subtract (y_2).
    """

    stages: tuple[tuple[str, ...], ...]
    blocks: Mapping[str, tuple[str, ...]]
    scale: Callable[[float], float]
    labelled_query: bool = False

    def values(self, W: list[Numbers], xs: list[Numbers], ys: Numbers) -> dict[str, Numbers]:
        """Return every vector that is named in the blocks, "0" left out."""
        named: dict[str, Numbers] = {}
        for i, x in enumerate(xs, start=1):
            y = ys[i - 1] if i < 3 else ys[1] * self.labelled_query
            r = [sum(a * b for a, b in zip(w, x, strict=True)) - y for w in W]
            named |= {f"x{i}": x, f"r{i}": r, f"r{i}^2": [v * v for v in r]}
            named |= {f"Y{i}": [y] + [0.0] * (len(x) - 1), f"y{i}": [y]}
        pairs = zip(named["r1^2"], named["r2^2"], strict=True)
        s = [self.scale(SIGMA) * (a + b) for a, b in pairs]
        powers = [exp(v) for v in s]
        p = [power / sum(powers) for power in powers]
        products = [a * b for a, b in zip(p, named["r3"], strict=True)]
        return {**named, "s": s, "p": p, "p r3": products, "f": [sum(products)]}


_PRINTED = Illustrated(STAGES, BLOCKS, lambda sigma: -1 / (2 * sigma**2))


def _changed(stage: int, old: str, new: str) -> Illustrated:
    """A block row of one matrix exchanged for another."""
    rows = tuple(new if row == old else row for row in STAGES[stage])
    return replace(_PRINTED, stages=(*STAGES[:stage], rows, *STAGES[stage + 1 :]))


@statement(
    id="pathak2023/program-illustration",
    title="The matrices H^(0) to H^(9) of the illustration",
    source="Appendix B.2.1 ('to implement the softmax operation': f*_pi is meant)",
    latex=r"H^{(0)} = [x_1\ \tilde y_1\ x_2\ \tilde y_2\ x_3],\ \dots,\ H^{(9)}",
    printed=_PRINTED,
    mutants={
        "H^(1) with x_j in the label columns": _changed(1, "x, odd", "x"),
        "H^(2) as H^(1)": _changed(2, "x", "x, odd"),
        "H^(5) as H^(6)": _changed(5, "r^2", "s"),
        "H^(6) without the scores": _changed(6, "s", "r^2"),
        "the square of r_3 as well": replace(_PRINTED,
            blocks={**BLOCKS, "r^2": ("0", "r1^2", "0", "r2^2", "r3^2")}
        ),
        "r_3 without p": replace(_PRINTED, blocks={**BLOCKS, "pr": ("0", "0", "0", "0", "r3")}),
        "scores without the half": replace(_PRINTED, scale=lambda sigma: -1 / sigma**2),
        "scores 1 % larger": replace(_PRINTED, scale=lambda sigma: -1.01 / (2 * sigma**2)),
        "a label of the query": replace(_PRINTED, labelled_query=True),
    },
    hypotheses=("lines 3, 4 and 9 corrected",),
    depends_on=("pathak2023/program-answer", "pathak2023/program-columns"),
)  # fmt: skip
def ILLUSTRATION(claim: Illustrated, rng: np.random.Generator) -> Evidence:
    """Run the corrected program from H^(0) and compare every matrix, block by block."""
    wrong, worst = "", 0.0
    for size in SIZES:
        mixture, prompts, stages = _prompt(size, rng)
        xs, ys = prompts.xs[0].tolist(), prompts.ys[0].tolist()
        values = claim.values(mixture.components.tolist(), xs, ys)
        for n, (found, rows) in enumerate(zip(stages, claim.stages, strict=True)):
            told, first = np.zeros_like(found), 0
            for name in rows:
                height = max(len(values[cell]) for cell in claim.blocks[name] if cell != "0")
                for column, cell in enumerate(claim.blocks[name]):
                    if cell != "0":
                        told[first : first + height, column] = values[cell]
                first += height
            gaps = np.abs(found - told)
            worst = max(worst, float(gaps.max()))
            if not wrong and gaps.max() > TOLERANCE:
                row, column = (int(i) for i in np.unravel_index(gaps.argmax(), gaps.shape))
                wrong = (
                    f"d, m, k = {size}: entry ({row + 1}, {column + 1}) of H^({n}) is"
                    f" {found[row, column]:.4g}, not {told[row, column]:.4g}"
                )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the corrected program run from H^(0) against the printed blocks, filled in by loops",
        f"k = 2, (d, m, k) in {SIZES}, sigma = {SIGMA:g}, random integers",
        worst,
        TOLERANCE,
        wrong,
    )


STATEMENTS = (SETS, ANSWER, ILLUSTRATION)
