r"""Theorem 1 at its edges: all prompts of R^d, and no noise.

For all prompts (`beyond/no-network-is-exact`): on the ray x_{k+1} = t u an answer is <c, E u> t
plus something that stays bounded, so that TF = f*_pi for two sets of examples P, P' needs w(P) =
w(P'). Labels move w(P) as soon as two components differ (`beyond/labels-move-the-posterior`).
Otherwise (one component, equal ones, or no examples) f*_pi is one linear function of the query, and
a layer of zero weights, with the read-out w(P), is exact.

Without noise the limit f_0 of f*_pi is the argmin (`pathak2023/display-4-zero-noise`), which jumps
where two components fit equally well: for w = 1 and -1, x_1 = 1 and y_1 = +-epsilon it is +-x_2.
Softmax, gelu, and lambda at a column that is not constant are continuous, so that a network is
continuous at such a tie, and near it the error is at least half the jump, |v_1 - v_2|/2. The
softmax over components, at any sigma, comes to that. The hypothesis on lambda cannot be dropped:
for p = 2, lambda(z, -z) = sign(z) (1, -1), and a network of two layers jumps with f_0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd

import numpy as np
import torch
from flint import arb, arb_mat, ctx

from constructions.architecture import LayerWeights
from papers.beyond.ball_network import SECTION_1_2, Network
from papers.beyond.drawn_networks import compiled_networks, random_networks
from papers.ledger import Correction, Evidence, Fault, Grade, statement
from theory import RegressionMixture

Components = tuple[tuple[int, ...], ...]

#: Whether some network is f*_pi for all prompts, from the components and k; sigma = 1.
EverywhereClaim = Callable[[Components, int], bool]

#: Components and k, smallest first: one, equal and different ones.
CASES: tuple[tuple[Components, int], ...] = (
    (((2,),), 1),
    (((1,), (-1,)), 0),
    (((1,), (-1,)), 1),
    (((1, 2), (1, 2)), 1),
    (((1, 0), (0, 1), (1, 0)), 1),
    (((1, 2), (1, 2), (1, 2)), 3),
    (((1, 0), (0, 1)), 3),
    (((1, 0), (0, 1), (2, 2)), 0),
)

PRECISION = 256


def _slope(W: Components, x: tuple[int, ...], y: int, k: int) -> list[arb]:
    """w(P) for k times the example (x, y), sigma = 1, in balls."""
    misfits = [k * (sum(a * b for a, b in zip(w, x, strict=True)) - y) ** 2 for w in W]
    powers = [(-arb(a) / 2).exp() for a in misfits]
    total = sum(powers, arb(0))
    columns = zip(*W, strict=True)
    return [
        sum((p * c for p, c in zip(powers, column, strict=True)), arb(0)) / total
        for column in columns
    ]


def _two_examples(W: Components) -> tuple[tuple[int, ...], int, int]:
    """An x and two labels that tell the first pair of different components apart."""
    other = next((w for w in W if w != W[0]), W[0])
    apart = tuple(a - b for a, b in zip(W[0], other, strict=True)) if other != W[0] else W[0]
    x = tuple(a // gcd(*apart) for a in apart)
    one, two = (sum(a * b for a, b in zip(w, x, strict=True)) for w in (W[0], other))
    # With equal components, two labels all the same.
    return x, one, two + (other == W[0])


def _linear_network(w: list[float], columns: int) -> Network:
    """No layers that do anything: the token in the stream, and a read-out."""
    d = len(w)
    return Network((), np.zeros((d, columns)), np.eye(d), np.array(w), SECTION_1_2)


@statement(
    id="pathak2023/theorem-1-everywhere",
    title="For all prompts of R^d a network is f*_pi only where f*_pi is linear in the query",
    source="Theorem 1, read for all prompts",
    latex=r"\exists\, \mathrm{TF}\ \forall P: \mathrm{TF}(P) = f^*_\pi(P)",
    printed=lambda W, k: True,
    correction=Correction[EverywhereClaim](
        lambda W, k: k == 0 or len(set(W)) == 1,
        "Only if there are no examples or no two different components, so that f*_pi is one linear"
        " function of the query. On a box, and up to rounding, there is a network for every mixture"
        " (pathak2023/theorem-1).",
        Fault.FALSE,
        latex=r"\big(\exists\, \mathrm{TF}\ \forall P: \mathrm{TF}(P) = f^*_\pi(P)\big)"
        r" \iff k = 0 \text{ or } w_1 = \dots = w_m",
    ),
    mutants={
        "never": lambda W, k: False,
        "never with examples": lambda W, k: k == 0,
        "one component only": lambda W, k: k == 0 or len(W) == 1,
        "no examples only if the components are equal": lambda W, k: len(set(W)) == 1,
        "up to two different components": lambda W, k: k == 0 or len(set(W)) <= 2,
        "in one dimension": lambda W, k: k == 0 or len(set(W)) == 1 or len(W[0]) == 1,
        "after one example": lambda W, k: k <= 1 or len(set(W)) == 1,
    },
    hypotheses=("sigma > 0", "a linear read-out of the query's column"),
    depends_on=("beyond/no-network-is-exact", "beyond/labels-move-the-posterior"),
)
def EVERYWHERE(claim: EverywhereClaim, rng: np.random.Generator) -> Evidence:
    """Enclose w(P) for two sets of examples; where all are equal, run the linear network."""
    wrong = ""
    with ctx.workprec(PRECISION):
        for W, k in CASES:
            x, *labels = _two_examples(W)
            one, two = (_slope(W, x, y, k) for y in labels)
            # f*_pi differs by t |u|^2 on the ray x_{k+1} = t u, u = w(P) - w(P').
            apart = sum(((a - b) ** 2 for a, b in zip(one, two, strict=True)), arb(0))
            linear = k == 0 or len(set(W)) == 1
            if not linear and not apart > 0:
                raise AssertionError(f"W = {W}, k = {k}: the examples do not move w(P)")
            if linear and not _is_exact(W, k):
                wrong = wrong or f"W = {W}, k = {k}: the linear network is not f*_pi"
            if not wrong and claim(W, k) != linear:
                named = ", ".join(f"w_{j} = {_point(w)}" for j, w in enumerate(W, 1))
                told = " and ".join(_point([float(c.mid()) for c in slope]) for slope in (one, two))
                wrong = f"d = {len(W[0])}, k = {k}, {named}, sigma = 1: " + (
                    "f*_pi is one linear function of x_{k+1}: a layer of zero weights computes it"
                    if linear
                    else f"with all x_i = {_point(x)}, and all y_i = {labels[0]} or all y_i ="
                    f" {labels[1]}, f*_pi is <w, x_{{k+1}}> with w = {told}: the two differ without"
                    " bound in x_{k+1}, and the answers of any network by a bounded amount"
                )
    return Evidence(
        not wrong,
        Grade.CERTIFIED,
        "w(P) - w(P') in balls, with the bound of beyond/no-network-is-exact; where w(P) cannot"
        " differ, the linear network itself",
        f"every network, by the proof; {len(CASES)} mixtures",
        counterexample=wrong,
    )


def _point(entries: Sequence[int] | Sequence[float]) -> str:
    told = ", ".join(f"{x:.4g}" for x in entries)
    return told if len(entries) == 1 else f"({told})"


def _is_exact(W: Components, k: int) -> bool:
    """Whether reading out the mean component is exact, for integers far out."""
    m, d = len(W), len(W[0])
    mean = [sum(column) / m for column in zip(*W, strict=True)]
    query = [1000 * (axis + 1) for axis in range(d)]
    tokens = arb_mat([[*([1] * 2 * k), x] for x in query])
    network = _linear_network(mean, 2 * k + 1)
    expected = sum(Fraction(a) * x for a, x in zip(mean, query, strict=True))
    answer = network.answer(network.states(tokens)[-1])
    return bool(abs(answer - arb(expected.numerator) / expected.denominator) < 1e-9)


@dataclass(frozen=True)
class JumpClaim:
    """The least error near a tie that a network can have, over the jump of f_0.

    Parameters
    ----------
    share
        The error over the jump.
    distance
        y_1 is this power of 2 away from the tie.
    constant_columns
        Whether networks are meant that have a constant column at the tie.
    """

    share: Fraction
    distance: int = -60
    constant_columns: bool = False


def sign_network() -> Network:
    """Return two layers on p = 2 rows that answer sign(y_1) at x_1 = x_2 = 1.

    A token z enters as (z, -z), where lambda is sign(z) (1, -1): layer 1 adds gelu(l) - gelu(-l) =
    l = sign(z) to row 1, so that the sum of the rows is sign(z). Layer 2 adds to the query's row 1
    twice their mean over x_1 and y_1, 1 + sign(y_1), to 1 + 1; row 2 is -1.
    """
    no_heads = [
        torch.zeros(shape, dtype=torch.float64) for shape in ((0, 1, 2),) * 3 + ((0, 2, 1),)
    ]
    dense = [torch.tensor(m, dtype=torch.float64) for m in ([[1, 0], [-1, 0]], [[1, -1], [0, 0]])]
    blind = torch.zeros(1, 1, 2, dtype=torch.float64)
    value, output = (torch.tensor(m, dtype=torch.float64) for m in ([[[1, 1]]], [[[2], [0]]]))
    none = [torch.zeros(shape, dtype=torch.float64) for shape in ((0, 2), (2, 0))]
    layers = (LayerWeights(*no_heads, *dense), LayerWeights(blind, blind, value, output, *none))
    embedding, readout = np.array([[1.0], [-1.0]]), np.array([1.0, 3.0])
    return Network(layers, np.zeros((2, 3)), embedding, readout, SECTION_1_2)


#: Random networks that are tried, and how near the error has to be.
RANDOM, NEAR = 4, 1e-6

_HALF = JumpClaim(Fraction(1, 2))


@statement(
    id="pathak2023/theorem-1-zero-noise",
    title="Without noise no network comes nearer to f*_pi at a tie than half its jump",
    source="Theorem 1, for the sigma = 0 of Section 1.1",
    latex=r"\sigma = 0:\ \exists\, \mathrm{TF}\ \forall P: \mathrm{TF}(P) = f^*_\pi(P)",
    printed=JumpClaim(Fraction(0)),
    correction=Correction(
        _HALF,
        "Not for sigma = 0: f_0, the limit of display (4), jumps where two components tie, and a"
        " network without constant columns is continuous. The error there is at least half the"
        " jump, whatever the weights and sizes.",
        Fault.FALSE,
        latex=r"\sigma = 0:\ \inf_{\mathrm{TF}} \limsup_{P' \to P} |\mathrm{TF}(P') - f^*_\pi(P')|"
        r" = \tfrac12 |v_1 - v_2| > 0",
    ),
    mutants={
        "all of the jump": replace(_HALF, share=Fraction(1)),
        "a quarter": replace(_HALF, share=Fraction(1, 4)),
        "1 % more": replace(_HALF, share=Fraction(101, 200)),
        "1 % less": replace(_HALF, share=Fraction(99, 200)),
        "far from the tie": replace(_HALF, distance=1),
        "a constant column at the tie": replace(_HALF, constant_columns=True),
    },
    hypotheses=(
        "no column of the network is constant at the tie (+L and -L rows see to it)",
        "the components at the tie answer differently",
    ),
    depends_on=("pathak2023/display-4-zero-noise", "pathak2023/section-1-2-layer-norm"),
)
def ZERO_NOISE(claim: JumpClaim, rng: np.random.Generator) -> Evidence:
    """Answer on both sides of the tie in balls: random networks, and those of sigma = 1/2."""
    mixture = RegressionMixture([[1.0], [-1.0]], 0.5)
    networks = [*random_networks(1, 3, RANDOM, SECTION_1_2, rng), *compiled_networks(mixture, 1)]
    if claim.constant_columns:
        networks.append(sign_network())
    shares = []
    with ctx.workprec(PRECISION):
        for network in networks:
            errors = []
            for side in (1, -1):
                label = side * arb(2) ** claim.distance
                answer = network.answer(network.states(arb_mat([[arb(1), label, arb(1)]]))[-1])
                errors.append(abs(answer - side))
            # f_0 jumps from -1 to 1.
            shares.append(min(float(max(e.lower() for e in errors)) / 2, 1e9))
    least, told = min(shares), float(claim.share)
    wrong = ""
    if abs(least - told) > NEAR:
        wrong = (
            f"d = k = 1, w = 1 and -1, x_1 = x_2 = 1: f_0 is 1 at y_1 = 2^{claim.distance} and -1"
            f" at y_1 = -2^{claim.distance}, and the best of {len(networks)} networks is off by"
            f" {abs(2 * least):.4g} at one of them, not by {2 * told:g}"
        )
    return Evidence(
        not wrong,
        Grade.CERTIFIED,
        "the larger error on both sides of the tie over the jump, least over networks, in balls",
        f"every network, by continuity; {len(networks)} tried: {RANDOM} random ones and the"
        " compiled ones for sigma = 1/2, which come to one half",
        abs(least - told),
        NEAR,
        wrong,
    )


STATEMENTS = (EVERYWHERE, ZERO_NOISE)
