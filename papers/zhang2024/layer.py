r"""Eqs. (3) to (6) and Lemma 13: the layer, what its prediction depends on, the proof of Lemma 9.

Everything is a polynomial identity in the entries of the prompt and of the weights. Lemma 13 is
Lemma 9 again (`papers.zhang2024.quadratic_form`); here it is its proof in Appendix A.1, line by
line.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from sympy import QQ
from sympy.polys.rings import PolyRing

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.symbolic_prompt import SymbolicPrompt, array, vec
from theory import LinearAttention, PromptBatch
from theory.linear_attention import embed

#: (d, N) of proofs with symbols.
SIZES = ((1, 1), (1, 2), (2, 1), (2, 2))

#: Of the library against a claim, relatively; and on how many layers.
TOLERANCE, LAYERS = 1e-12, 20


@dataclass(frozen=True)
class LayerClaim:
    """Eq. (4), from (N + 1, d) covariates and N labels; and eq. (3), token by token.

    Parameters
    ----------
    embedding
        E.
    update
        What column j of the output has more than column j of E, from E, W^PV, W^KQ and j.
    """

    embedding: Callable[[Any, Any], Any]
    update: Callable[[Any, Any, Any, int], Any]


def _embedding(xs: Any, ys: Any) -> Any:
    return np.vstack([xs.T, np.append(ys, 0)])


def _update(E: Any, value: Any, key: Any, j: int, *, rho: int = -1, last: int = 0) -> Any:
    """Sum over all tokens i, the query's own included: W^PV e_i (e_i' W^KQ e_j) / rho."""
    columns = E.shape[1]
    tokens = (E[:, i] for i in range(columns - last))
    return sum(value @ e * (e @ key @ E[:, j]) for e in tokens) / (columns + rho)


_LAYER = LayerClaim(_embedding, _update)


@statement(
    id="zhang2024/eq-3",
    title="The linear self-attention layer and its embedding",
    source="Section 3.2, eqs. (3) and (4), rho = N",
    latex=r"f_{LSA}(E; \theta) = E + W^{PV}E \cdot \frac{E^\top W^{KQ}E}{\rho},\ E ="
    r" \begin{pmatrix} x_1 & \cdots & x_N & x_{\mathrm{query}} \\ y_1 & \cdots & y_N & 0"
    r"\end{pmatrix},\ \rho = N",
    printed=_LAYER,
    mutants={
        "rho = N + 1": replace(_LAYER, update=lambda *of: _update(*of, rho=0)),
        "the query does not attend to itself": replace(
            _LAYER, update=lambda *of: _update(*of, last=1)
        ),
        "W^KQ transposed": replace(
            _LAYER, update=lambda E, value, key, j: _update(E, value, key.T, j)
        ),
        "W^PV transposed": replace(
            _LAYER, update=lambda E, value, key, j: _update(E, value.T, key, j)
        ),
        "1 % more": replace(_LAYER, update=lambda *of: _update(*of) * 1.01),
        "the labels one column early": replace(
            _LAYER, embedding=lambda xs, ys: np.vstack([xs.T, np.append(0, ys)])
        ),
    },
    hypotheses=("N >= 1",),
)
def EQ_3(claim: LayerClaim, rng: np.random.Generator) -> Evidence:
    """Compare `LinearAttention.output` and `embed` with sums over tokens."""
    worst, wrong = 0.0, ""
    for _ in range(LAYERS):
        d, N = (int(n) for n in rng.integers(1, 6, 2))
        value, key = rng.standard_normal((2, d + 1, d + 1))
        xs, ys = rng.standard_normal((N + 1, d)), rng.standard_normal(N)
        layer, prompts = LinearAttention(value, key), PromptBatch(xs[None], ys[None])
        E = claim.embedding(xs, ys)
        columns = [E[:, j] + claim.update(E, value, key, j) for j in range(N + 1)]
        found = layer.output(embed(prompts))[0]
        gaps = (
            np.max(np.abs(embed(prompts)[0] - E)),
            np.max(np.abs(found - np.column_stack(columns))),
            abs(layer.predict(prompts)[0] - columns[-1][-1]),
        )
        error = float(max(gaps) / (1 + np.max(np.abs(found))))
        worst = max(worst, error)
        if not wrong and not error <= TOLERANCE:
            wrong = f"d = {d}, N = {N}: the library and the claim differ by {max(gaps):.4g}"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "theory.linear_attention (products of matrices) against sums over tokens, relatively",
        f"{LAYERS} random layers and prompts, d and N <= 5",
        worst,
        TOLERANCE,
        wrong,
    )


@dataclass(frozen=True)
class PredictionClaim:
    """The bottom right entry of eq. (3), from E, W^PV and W^KQ.

    `labelled` says whether the query may come with a label, where eq. (4) has a zero.
    """

    prediction: Callable[[Any, Any, Any], Any]
    labelled: bool = False


def _prediction(E: Any, value: Any, key: Any, *, rho: int = 1) -> Any:
    """Eq. (6)."""
    return value[-1] @ (E @ E.T / (E.shape[1] - rho)) @ (key[:, :-1] @ E[:-1, -1])


_EQ_6 = PredictionClaim(_prediction)


@statement(
    id="zhang2024/eq-6",
    title="Which entries of the weights the prediction depends on",
    source="Section 3.2, eqs. (5) and (6)",
    latex=r"\hat y_{\mathrm{query}} = \begin{pmatrix} (w_{21}^{PV})^\top & w_{22}^{PV}"
    r"\end{pmatrix}\left(\frac{EE^\top}{N}\right)\begin{pmatrix} W_{11}^{KQ} \\ (w_{21}^{KQ})^\top"
    r"\end{pmatrix} x_{\mathrm{query}}",
    printed=_EQ_6,
    mutants={
        "the last column of W^PV": PredictionClaim(lambda E, v, k: _prediction(E, v.T, k)),
        "the first d rows of W^KQ": PredictionClaim(lambda E, v, k: _prediction(E, v, k.T)),
        "divided by N + 1": PredictionClaim(lambda E, v, k: _prediction(E, v, k, rho=0)),
        "the examples alone in E E'": PredictionClaim(
            lambda E, v, k: (
                v[-1] @ (E[:, :-1] @ E[:, :-1].T / (E.shape[1] - 1)) @ (k[:, :-1] @ E[:-1, -1])
            )
        ),
        "u_12 = 0": PredictionClaim(
            lambda E, v, k: _prediction(E, np.concatenate([0 * v[:, :-1], v[:, -1:]], axis=1), k)
        ),
        "1 % more": PredictionClaim(lambda E, v, k: _prediction(E, v, k) * 101 / 100),
        "the query may have a label": PredictionClaim(_prediction, labelled=True),
    },
    hypotheses=("the bottom right entry of E is 0",),
    depends_on=("zhang2024/eq-3",),
)
def EQ_6(claim: PredictionClaim, rng: np.random.Generator) -> Evidence:
    """Multiply eq. (3) out with a symbol for every entry of E and of both matrices."""
    wrong = next(filter(None, (_wrong_entry(claim, d, N) for d, N in SIZES)), "")
    worst = 0.0
    for _ in range(LAYERS):
        d, N = (int(n) for n in rng.integers(1, 6, 2))
        layer = LinearAttention(*rng.standard_normal((2, d + 1, d + 1)))
        bare = LinearAttention.from_blocks(layer.u12, layer.u21, layer.U11, layer.u_1)
        prompts = PromptBatch(rng.standard_normal((1, N + 1, d)), rng.standard_normal((1, N)))
        found = layer.output(embed(prompts))[0, -1, -1]
        gap = max(abs(found - each.predict(prompts)[0]) for each in (layer, bare))
        worst = max(worst, float(gap / (1 + abs(found))))
    if not wrong and not worst <= TOLERANCE:
        wrong = f"LinearAttention.predict and .output differ by {worst:.4g}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "polynomials in all entries of E, W^PV and W^KQ; the library's layer beside the one of"
        " these blocks, all other entries zero",
        f"(d, N) in {SIZES}; {LAYERS} random layers, d and N <= 5",
        worst,
        TOLERANCE,
        wrong,
    )


def _wrong_entry(claim: PredictionClaim, d: int, N: int) -> str:
    shapes = {"E": (d + 1, N + 1), "P": (d + 1, d + 1), "K": (d + 1, d + 1)}
    names = [f"{s}{i}{j}" for s, (a, b) in shapes.items() for i in range(a) for j in range(b)]
    ring = PolyRing(names, QQ)
    gens = iter(ring.gens)
    E, value, key = (array(gens, shape) for shape in shapes.values())
    if not claim.labelled:
        E[-1, -1] = ring.zero
    output = E + value @ E @ (E.T @ key @ E) / N
    claimed = claim.prediction(E, value, key)
    if claimed == output[-1, -1]:
        return ""
    at = [(z, 1 + i % 3) for i, z in enumerate(ring.gens)]
    numbers = tuple(x.evaluate(at) for x in (output[-1, -1], claimed))
    return (
        f"d = {d}, N = {N}, entries 1, 2, 3 in turn: {numbers[0]}, and the claim says {numbers[1]}"
    )


class Steps(NamedTuple):
    """The four lines of the proof of Lemma 13 between eq. (6) and <H, uu'>."""

    over_columns: Callable[[SymbolicPrompt], Any]
    under_vec: Callable[[SymbolicPrompt], Any]
    in_blocks: Callable[[SymbolicPrompt], Any]
    as_inner_product: Callable[[SymbolicPrompt], Any]


def _over_columns(s: SymbolicPrompt) -> Any:
    """Sum x^i tr[u_i (u_12', u_{-1}) E E'/N] over the columns u_i of [U_11; u_21']."""
    row, columns = s.U[:, -1], s.U[:, :-1]
    return sum(
        s.query[i] * np.trace(np.multiply.outer(columns[:, i], row) @ s.gram) for i in range(s.d)
    )


def _under_vec(s: SymbolicPrompt) -> Any:
    """tr[Vec([U_11; u_21']) (u_12', u_{-1}) (x_query' (x) E E'/N)]."""
    outer = np.multiply.outer(vec(s.U[:, :-1]), s.U[:, -1])
    return np.trace(outer @ np.kron(s.query[None], s.gram))


def _in_blocks(s: SymbolicPrompt, lower: int = 1) -> Any:
    """Half of tr[Vec(U) Vec(U)' times the two blocks]."""
    rows = s.d * (s.d + 1)
    blocks = np.full((rows + s.d + 1, rows + s.d + 1), s.ring.zero, dtype=object)
    blocks[:rows, rows:] = np.kron(s.query[:, None], s.gram)
    blocks[rows:, :rows] = np.kron(s.query[None], s.gram) * lower
    return np.trace(np.multiply.outer(s.u, s.u) @ blocks) / 2


def _as_inner_product(s: SymbolicPrompt, half: int = 2) -> Any:
    return np.sum(np.kron(s.X, s.gram) * np.multiply.outer(s.u, s.u)) / half


_STEPS = Steps(_over_columns, _under_vec, _in_blocks, _as_inner_product)


@statement(
    id="zhang2024/lemma-13",
    title="The proof of Lemma 9, line by line",
    source="Appendix A.1, Lemma 13 (Lemma 9 again) and its proof",
    latex=r"\hat y = \sum_i \mathrm{tr}\left[u_i (u_{12}^\top\ u_{-1}) x^i \tfrac{EE^\top}{N}"
    r"\right] = \mathrm{tr}\left[\mathrm{Vec}(\cdot)(u_{12}^\top\ u_{-1})\, x^\top\!\otimes"
    r"\tfrac{EE^\top}{N}\right] = \tfrac12\mathrm{tr}\left[uu^\top X\otimes\tfrac{EE^\top}{N}"
    r"\right] = \langle H, uu^\top\rangle",
    printed=_STEPS,
    mutants={
        "the columns of [U_11', u_21]": _STEPS._replace(
            over_columns=lambda s: sum(
                s.query[i] * (s.U[:, -1] @ s.gram @ s.U[i]) for i in range(s.d)
            )
        ),
        "E E'/N before x_query'": _STEPS._replace(
            under_vec=lambda s: np.trace(
                np.multiply.outer(vec(s.U[:, :-1]), s.U[:, -1]) @ np.kron(s.gram, s.query[None])
            )
        ),
        "rows of [U_11; u_21'] stacked": _STEPS._replace(
            under_vec=lambda s: np.trace(
                np.multiply.outer(s.U[:, :-1].ravel(), s.U[:, -1]) @ np.kron(s.query[None], s.gram)
            )
        ),
        "minus x' in the lower block": _STEPS._replace(in_blocks=lambda s: _in_blocks(s, -1)),
        "without the lower block": _STEPS._replace(in_blocks=lambda s: _in_blocks(s, 0)),
        "without the half": _STEPS._replace(as_inner_product=lambda s: _as_inner_product(s, 1)),
        "1 % more": _STEPS._replace(as_inner_product=lambda s: _as_inner_product(s) * QQ(101, 100)),
    },
    hypotheses=("the bottom right entry of E is 0",),
    depends_on=("zhang2024/eq-6", "zhang2024/lemma-29"),
)
def LEMMA_13(claim: Steps, rng: np.random.Generator) -> Evidence:
    """Compare every line with eq. (6), as polynomials."""
    wrong = ""
    for d, N in SIZES:
        prompt = SymbolicPrompt(d, N, plane=False)
        prediction = prompt.prediction()
        for name, step in claim._asdict().items():
            wrong = wrong or prompt.difference(name, [prediction], [step(prompt)])
    return Evidence(
        not wrong,
        Grade.PROVED,
        "each line as a polynomial in the entries of prompt, task and weights",
        f"(d, N) in {SIZES}, all prompts and weights",
        counterexample=wrong,
    )


STATEMENTS = (EQ_3, EQ_6, LEMMA_13)
