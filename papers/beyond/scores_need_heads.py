r"""How much one layer can bring together: why two layers with few heads have no scores as logits.

After one layer with H heads of width a, a column depends on the earlier tokens z_i through sums
only: head h adds N_h / D_h, N_h = sum_i exp(logit_i) W^V z_i in R^a and D_h = sum_i exp(logit_i),
where each summand is a function of one token (and the column's own). So the column is a smooth
function g(A + B) of H (a + 1) numbers, A a function of the covariates and B one of the labels, and

    the matrix d^2 g / (dx_i dy_j), i, j = 1..k, has rank at most H (a + 1).

But the scores need the products x_i y_i: with d = 1, l_1 - l_2 has the matrix (w_1 - w_2) / sigma^2
times the unit matrix, of rank k. The difference of two logits of the second layer is a function of
three columns after the first, two of which may hold a token of their own: its rank is at most
3 H (a + 1) + 2. So no head of a second layer has l_1 - l_2 as a difference of logits unless that is
k or more: with fewer, the softmax over components is left to the last feed-forward part. What is
bounded is H (a + 1), and not H: a few wide heads may do. The two-layer network has 2k heads with
a = d: at d = 1 its H (a + 1) = 4k is of the right order. (This says nothing about approximations.)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from constructions.architecture import Layer, LayerWeights
from papers.ledger import Evidence, Grade, statement

ROWS, FEED_FORWARD_WIDTH, EXAMPLES = 9, 12, 16

#: Singular values below this part of the largest count as zero (rounding is near 1e-15).
NEGLIGIBLE = 1e-10

Answer = Callable[[Float[torch.Tensor, " tokens"]], Float[torch.Tensor, ""]]

#: (H, a).
SIZES = ((1, 1), (1, 2), (2, 1), (2, 3), (3, 2))


@dataclass(frozen=True)
class RankClaim:
    """That after ``layers`` layers the rank is at most ``factor`` H (a + ``extra``)."""

    factor: float = 1.0
    extra: int = 1
    layers: int = 1


def random_answer(
    heads: int, width: int, layers: int, rng: np.random.Generator
) -> tuple[Answer, Float[torch.Tensor, " tokens"]]:
    """Return <c, h> of the query's column for random weights, d = 1, and tokens to try it at.

    The answer is a function of (x_1, y_1, ..., x_k, y_k), float64.
    """
    stack = [Layer(_random_weights(heads, width, rng)) for _ in range(layers)]
    constants = torch.tensor(rng.normal(size=(ROWS, 2 * EXAMPLES + 1)))
    embedding, readout = (torch.tensor(rng.normal(size=ROWS)) for _ in range(2))

    def answer(tokens: Float[torch.Tensor, " tokens"]) -> Float[torch.Tensor, ""]:
        query = torch.full((1,), 0.5, dtype=torch.float64)
        H = (constants + embedding[:, None] * torch.cat([tokens, query]))[None]
        for layer in stack:
            H = layer(H)
        return readout @ H[0, :, -1]

    return answer, torch.tensor(rng.normal(size=2 * EXAMPLES))


def mixed_derivatives(
    answer: Answer, point: Float[torch.Tensor, " tokens"]
) -> Float[np.ndarray, "k k"]:
    """Return d^2 answer / (dx_i dy_j), i, j = 1..k."""
    tokens = point.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(answer(tokens), tokens, create_graph=True)
    rows = [torch.autograd.grad(slope, tokens, retain_graph=True)[0] for slope in slopes[::2]]
    mixed: Float[np.ndarray, "k k"] = torch.stack(rows).numpy()[:, 1::2]
    return mixed


def _random_weights(heads: int, width: int, rng: np.random.Generator) -> LayerWeights:
    wide, tall = (heads, width, ROWS), (heads, ROWS, width)
    shapes = (wide, wide, wide, tall, (FEED_FORWARD_WIDTH, ROWS), (ROWS, FEED_FORWARD_WIDTH))
    return LayerWeights(*(torch.tensor(0.5 * rng.normal(size=shape)) for shape in shapes))


@statement(
    id="beyond/one-layer-brings-little-together",
    title="Products x_i y_i of k examples, in one layer, need heads H and their width a with"
    " H (a + 1) >= k",
    source="ours; the architecture of pathak2023, Section 1.2",
    latex=r"\mathrm{rank}\, \partial_{x_i} \partial_{y_j} \langle c, h_q \rangle \le H (a + 1),"
    r"\quad \mathrm{rank}\, \partial_{x_i} \partial_{y_j} \textstyle\sum_l x_l y_l = k",
    printed=RankClaim(),
    beyond=True,
    mutants={
        "without the denominators": RankClaim(extra=0),
        "half": RankClaim(factor=0.5),
        "the same for two layers": RankClaim(layers=2),
    },
    hypotheses=("raw tokens before the layer", "softmax attention to earlier columns"),
)
def ONE_LAYER(claim: RankClaim, rng: np.random.Generator) -> Evidence:
    """Count singular values of the mixed derivatives of random layers, and of the products."""
    counterexample = ""
    products = mixed_derivatives(
        lambda tokens: (tokens[::2] * tokens[1::2]).sum(),
        torch.tensor(rng.normal(size=2 * EXAMPLES)),
    )
    if _rank(products) != EXAMPLES:
        counterexample = f"sum_l x_l y_l has rank {_rank(products)}, not {EXAMPLES}"
    for heads, width in SIZES:
        bound = claim.factor * heads * (width + claim.extra)
        matrix = mixed_derivatives(*random_answer(heads, width, claim.layers, rng))
        rank = _rank(matrix)
        if rank > bound:
            counterexample = f"H = {heads}, a = {width}: rank {rank}, more than {bound:g}"
            break
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "the numerical rank of d^2 <c, h> / (dx_i dy_j) of the query's column against H (a + 1)",
        f"k = {EXAMPLES}, (H, a) in {SIZES}, random weights; the bound itself is proved above",
        counterexample=counterexample,
    )


def _rank(matrix: Float[np.ndarray, "k k"]) -> int:
    values = np.linalg.svd(matrix, compute_uv=False)
    return int((values > NEGLIGIBLE * values[0]).sum())


STATEMENTS = (ONE_LAYER,)
