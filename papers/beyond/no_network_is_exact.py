r"""No network of Section 1.2 is f*_pi for all inputs, whatever its weights and sizes.

Theorem. Let TF have any number of layers, heads, rows and neurons, any constants in its stream, and
a linear read-out <c, h> of the query's column; let token z enter column i as constants_i + E z. Let
P and P' be two sets of k examples whose posterior means of the component, w(P) and w(P'), differ.
On the ray x_{k+1} = t u, u = w(P) - w(P'),

    max(|TF(P, t u) - f*(P, t u)|, |TF(P', t u) - f*(P', t u)|) >= (t |u|^2 - B(P) - B(P')) / 2

for all t > 0, with bounds B that do not depend on t. So the error has no bound, and TF = f*_pi
fails somewhere.

Proof. (1) Columns 1..2k are the same for every query: a column reads earlier ones only. (2) What a
head adds to <c, .> is a convex combination of <c, W^C W^V h_j> over those columns, whatever its
logits: at most max_j |<c, W^C W^V h_j>|. (3) |lambda(v)| = sqrt(p) and |gelu(u)| <= |u|, so that a
feed-forward part adds at most |c' W^out| |W^in|_F sqrt(p). (4) The sum of these is B(P), so that
|TF(P, t u) - <c, constants + t E u>| <= B(P). The linear part <c, E u> t is the same for P and P',
so that |TF(P, t u) - TF(P', t u)| <= B(P) + B(P'). (5) But f*(P, t u) - f*(P', t u) = t |u|^2. The
two errors together are at least the difference. The two sets exist as soon as k >= 1 and two
components of positive weight differ: `papers.beyond.posterior_slope`.

Without LayerNorm the theorem holds as well, by another bound: gelu is Lipschitz, so that a
feed-forward part that reads v itself moves two columns apart by a factor at most, and the distance
of the query's columns under P and P' stays bounded: D -> (D + what attention adds) (1 + Lip(gelu)
|W^in|_F |W^out|_F). It is the strict causality (no column sees itself), the softmax and the growth
of the hidden function (at most linear) that cannot be dropped; nor can the linear read-out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from flint import arb, arb_mat, ctx

from constructions.architecture import LayerWeights
from papers.beyond.ball_network import (
    SECTION_1_2,
    Architecture,
    Network,
    balls,
    first_columns,
    heads_of,
    softmax,
)
from papers.beyond.drawn_networks import compiled_networks, random_networks
from papers.ledger import Evidence, Grade, statement
from theory import RegressionMixture

#: Bits of the ball arithmetic: queries lie up to about 2^150 away.
PRECISION = 800

#: The network's two answers may differ by at most this part of what f*_pi asks for.
LIMIT = 0.25

RANDOM_NETWORKS = 12

#: Bounds |<c, h>(P) - <c, h>(P')| of the query's column for any query, from weights and examples.
Bound = Callable[[Network, Sequence[arb_mat], Sequence[arb_mat]], arb]


@dataclass(frozen=True)
class NotExact:
    """The claim that two answers of any such network cannot be as far apart as f*_pi's.

    Parameters
    ----------
    bound
        How far apart they can be, whatever the query.
    architecture
        The parts of a layer.
    components
        W* (m, d) as rows; prior weights are equal and sigma = 1.
    labels
        The label of the only example, x_1 = (1, ..., 1), in P and in P'; None for no examples.
    reads_product
        Whether the answer is multiplied by the query's last entry, and so not read out linearly.
    near_linear
        Whether each answer is claimed to stay within the bound of its linear part, too.
    """

    bound: Bound
    architecture: Architecture = SECTION_1_2
    components: tuple[tuple[float, ...], ...] = ((1.0, 2.0), (1.0, -1.0), (1.0, 0.5))
    labels: tuple[float, float] | None = (1.0, -1.0)
    reads_product: bool = False
    near_linear: bool = False

    def networks(self, rng: np.random.Generator) -> list[Network]:
        """Return the networks that the claim is tried on."""
        columns, dim = 1 + 2 * self.num_examples, len(self.components[0])
        found = random_networks(dim, columns, RANDOM_NETWORKS, self.architecture, rng)
        if self.architecture == SECTION_1_2 and self.labels is not None:
            mixture = RegressionMixture(list(map(list, self.components)), 1.0)
            found += compiled_networks(mixture, self.num_examples)
        return found

    @property
    def num_examples(self) -> int:
        """k, 0 or 1."""
        return 0 if self.labels is None else 1

    def examples(self) -> list[arb_mat]:
        """Return the tokens (d, 2k) of P and of P'."""
        dim = len(self.components[0])
        if self.labels is None:
            return [arb_mat(dim, 0)] * 2
        return [
            arb_mat([[1, label if row == 0 else 0] for row in range(dim)]) for label in self.labels
        ]

    def posterior_component(self, examples: arb_mat) -> arb_mat:
        """Return w(P) = sum_j p_j w_j (d, 1), sigma = 1. Source: pathak2023, eq. (4)."""
        W = balls(np.array(self.components))
        scores = []
        for row in range(W.nrows()):
            residuals = [
                sum((W[row, i] * examples[i, 2 * j] for i in range(W.ncols())), arb(0))
                - examples[0, 2 * j + 1]
                for j in range(examples.ncols() // 2)
            ]
            scores.append(-sum((r * r for r in residuals), arb(0)) / 2)
        return W.transpose() * arb_mat([[p] for p in softmax(scores)])


def normalised_bound(network: Network, states: Sequence[arb_mat], others: Sequence[arb_mat]) -> arb:
    """B(P) + B(P'), from steps (2) and (3) of the proof."""
    readout = balls(network.readout[None])
    total = arb(0)
    for layer, *pair in zip(network.layers, states, others, strict=False):
        for state in pair:
            total += _attended(readout, layer, state)
        inward, outward = balls(layer.inward.numpy()), readout * balls(layer.outward.numpy())
        total += 2 * _norm(outward) * _norm(inward) * arb(inward.ncols()).sqrt()
    return total


def lipschitz_bound(network: Network, states: Sequence[arb_mat], others: Sequence[arb_mat]) -> arb:
    """|c| D, D the distance of the query's columns after the last layer; no LayerNorm."""
    # gelu'' = phi(u) (2 - u^2): the slope Phi(u) + u phi(u) is largest at sqrt 2.
    root = arb(2).sqrt()
    steepest = (-root / root).erfc() / 2 + root * arb(-1).exp() / (2 * arb.pi()).sqrt()
    distance, p = arb(0), network.constants.shape[0]
    for layer, *pair in zip(network.layers, states, others, strict=False):
        for state in pair:
            added = [_attended(balls(row[None]), layer, state) for row in np.eye(p)]
            distance += sum((a * a for a in added), arb(0)).sqrt()
        inward, outward = balls(layer.inward.numpy()), balls(layer.outward.numpy())
        distance *= 1 + steepest * _norm(inward) * _norm(outward)
    return _norm(balls(network.readout[None])) * distance


def _attended(readout: arb_mat, layer: LayerWeights, state: arb_mat) -> arb:
    """sum_heads max_j |<c, W^C W^V h_j>| over the columns before the query's."""
    earlier = first_columns(state, state.ncols() - 1)
    total = arb(0)
    for _, _, value, output in heads_of(layer):
        read = readout * (output * (value * earlier))
        total += max((abs(read[0, j]).upper() for j in range(earlier.ncols())), default=arb(0))
    return total


def _norm(matrix: arb_mat) -> arb:
    return sum((entry * entry for entry in matrix.entries()), arb(0)).sqrt()


def _check(claim: NotExact, rng: np.random.Generator) -> Evidence:
    networks = claim.networks(rng)
    with ctx.workprec(PRECISION):
        worst, counterexample = _judge(claim, networks)
    return Evidence(
        not counterexample,
        Grade.CERTIFIED,
        "how far two answers to one query lie apart, as a part of what f*_pi asks for, and that "
        "this is within the bound from the weights; ball arithmetic",
        f"{len(networks)} networks, {RANDOM_NETWORKS} of them random and the others, if any, "
        f"compiled, d = 2, m = {len(claim.components)}, k = 1; that it is so for every network is "
        "proved in words in the module, which no machine has checked",
        worst,
        LIMIT,
        counterexample,
    )


def _judge(claim: NotExact, networks: Sequence[Network]) -> tuple[float, str]:
    examples = claim.examples()
    one, two = (claim.posterior_component(tokens) for tokens in examples)
    direction = one - two
    apart = sum((entry * entry for entry in direction.entries()), arb(0))
    if not apart > 0:
        return 1.0, f"f*_pi does not tell the two sets of examples apart: |u|^2 = {apart}"
    worst = 0.0
    for number, network in enumerate(networks, start=1):
        bound = claim.bound(network, *(_states(network, tokens, direction) for tokens in examples))
        distance = _power_of_two_above(4 * bound / apart)
        query = distance * direction
        answers = [_answer(claim, network, tokens, query) for tokens in examples]
        found, expected = abs(answers[0] - answers[1]), distance * apart
        worst = max(worst, float((found / expected).upper()))
        if not found <= bound or not found / expected <= LIMIT:
            return worst, (
                f"network {number}: at the query t u, t = {float(distance):.3g}, the answers "
                f"differ by {float(found.mid()):.3g}, the bound is {float(bound.mid()):.3g}; "
                f"f*_pi asks for {float(expected.mid()):.3g}"
            )
        drift = max(abs(answer - network.linear_part(query)).upper() for answer in answers)
        if claim.near_linear and not drift <= bound:
            return worst, (
                f"network {number}: at the query t u, t = {float(distance):.3g}, an answer is "
                f"{float(drift):.3g} away from its linear part, the bound is "
                f"{float(bound.mid()):.3g}"
            )
    return worst, ""


def _power_of_two_above(bound: arb) -> arb:
    """Beyond t = 4 B / |u|^2, f*_pi asks for four times what the network can give."""
    mantissa, exponent = bound.upper().man_exp()
    return arb(2) ** (int(mantissa).bit_length() + int(exponent))


def _states(network: Network, tokens: arb_mat, query: arb_mat) -> list[arb_mat]:
    rows = range(tokens.nrows())
    columns = range(tokens.ncols())
    prompt = arb_mat(
        [[*(tokens[row, column] for column in columns), query[row, 0]] for row in rows]
    )
    return network.states(prompt)


def _answer(claim: NotExact, network: Network, tokens: arb_mat, query: arb_mat) -> arb:
    answer = network.answer(_states(network, tokens, query)[-1])
    return answer * query[query.nrows() - 1, 0] if claim.reads_product else answer


def _mutants(claim: NotExact) -> dict[str, NotExact]:
    """The claim with one hypothesis dropped."""
    parts = claim.architecture
    return {
        "a column sees itself": replace(claim, architecture=replace(parts, sees_itself=True)),
        "attention without softmax": replace(claim, architecture=replace(parts, softmax=False)),
        "the answer is multiplied by the query": replace(claim, reads_product=True),
        "one component": replace(claim, components=((1.0, 2.0),)),
        "equal components": replace(claim, components=((1.0, 2.0), (1.0, 2.0))),
        "no examples": replace(claim, labels=None),
        "the same examples twice": replace(claim, labels=(1.0, 1.0)),
    }


_LATEX = r"\sup_P |\mathrm{TF}(P) - f^*_\pi(P)| = \infty"
_HYPOTHESES = (
    "k >= 1",
    "two components of positive weight differ",
    "the answer is a linear function of the query's column",
    "a token's first column does not depend on the other tokens",
)
_NORMALISED = NotExact(normalised_bound, near_linear=True)
_UNNORMALISED = NotExact(lipschitz_bound, Architecture(layer_norm=False))


@statement(
    id="beyond/no-network-is-exact",
    title="No network of the architecture is f*_pi for all inputs",
    source="ours; the architecture of pathak2023, Section 1.2, against Theorem 1 as printed",
    latex=_LATEX,
    printed=_NORMALISED,
    beyond=True,
    mutants={
        **_mutants(_NORMALISED),
        "no LayerNorm": replace(_NORMALISED, architecture=Architecture(layer_norm=False)),
    },
    hypotheses=_HYPOTHESES,
    depends_on=("beyond/labels-move-the-posterior",),
)
def NO_NETWORK_IS_EXACT(claim: NotExact, rng: np.random.Generator) -> Evidence:
    """Check the bound of the proof on networks, and that f*_pi leaves it behind."""
    return _check(claim, rng)


@statement(
    id="beyond/no-network-is-exact-without-layer-norm",
    title="Nor is one whose feed-forward parts have no LayerNorm",
    source="ours; the architecture of pathak2023, Section 1.2, without lambda",
    latex=_LATEX,
    printed=_UNNORMALISED,
    beyond=True,
    mutants={
        **_mutants(_UNNORMALISED),
        "squared ReLU": replace(_UNNORMALISED, architecture=Architecture(False, "squared relu")),
        "gated GeLU": replace(_UNNORMALISED, architecture=Architecture(False, "gated gelu")),
    },
    hypotheses=_HYPOTHESES,
    depends_on=("beyond/labels-move-the-posterior",),
)
def WITHOUT_LAYER_NORM(claim: NotExact, rng: np.random.Generator) -> Evidence:
    """Check the Lipschitz bound of the proof on networks, and that f*_pi leaves it behind."""
    return _check(claim, rng)


STATEMENTS = (NO_NETWORK_IS_EXACT, WITHOUT_LAYER_NORM)
