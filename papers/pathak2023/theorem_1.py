"""Theorem 1: a transformer of the architecture computes f*_pi.

As printed, for all prompts: false, whatever the weights and for any fixed linear read-out of the
query's column. By causality the earlier columns do not see the query x, so that attention adds a
convex combination of fixed vectors to its column, and each feed-forward part a bounded one: the
answer is one linear function of x, the same for all examples, plus something bounded. But f*_pi is
linear in x with a slope that depends on the examples, so that the answers for two sets of examples
must differ by more than any bound. As corrected: on random prompts, to rounding accuracy.

The network here has one layer for each operator, as the proof has; `papers.pathak2023.three_layers`
has the shallow ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from constructions import LineByLineTransformer
from constructions.architecture import LayerWeights
from constructions.library.posterior_mean import initial_matrix
from papers.ledger import Check, Correction, Evidence, Fault, Grade, statement
from papers.pathak2023.boundedness import attention_bound, feed_forward_bound
from simulations.experiments.accuracy import (
    KINDS,
    LINE_BY_LINE_LIMITS,
    SIZES,
    Accuracy,
    Precision,
    Size,
    build_line_by_line,
    largest_error,
)
from theory import PromptBatch, RegressionMixture

Build = Callable[[RegressionMixture, int, torch.dtype], LineByLineTransformer]

#: The largest d, m and k of the quick tier.
QUICK_SIZE = 10

#: The largest error allowed in each float type.
TOLERANCE: dict[Precision, float] = LINE_BY_LINE_LIMITS


@dataclass(frozen=True)
class NetworkClaim:
    """A way to build the network, claimed to be f*_pi on its box (or everywhere)."""

    build: Build
    everywhere: bool = False


def _check(
    precision: Precision, sizes: Sequence[Size], claim: NetworkClaim, rng: np.random.Generator
) -> Evidence:
    if claim.everywhere:
        return _far_away(claim)
    seed, tolerance, worst = int(rng.integers(2**31)), TOLERANCE[precision], 0.0
    for size in sizes:
        for kind in KINDS:
            config = Accuracy(*size, kind, precision, seed=seed)
            worst = max(worst, largest_error(config, claim.build))
            if not worst <= tolerance:
                return _evidence(precision, sizes, worst, f"error {worst:.3g} for {_told(config)}")
    return _evidence(precision, sizes, worst, "")


def _told(config: Accuracy) -> str:
    return (
        f"d = {config.dim}, m = {config.num_components}, k = {config.num_examples},"
        f" sigma = {config.noise_std:g}, {config.kind} components, {config.precision}"
    )


def _small() -> list[Size]:
    """Those of the quick tier."""
    return [size for size in SIZES if max(size) <= QUICK_SIZE]


def _evidence(
    precision: Precision, sizes: Sequence[Size], worst: float, counterexample: str
) -> Evidence:
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        f"max |TF(P) - f*_pi(P)| of the {precision} network, f*_pi by theory.RegressionMixture",
        f"{len(sizes)} of the sizes (d, m, k, sigma) from {sizes[0]} to {sizes[-1]}, "
        f"{' and '.join(KINDS)} components, {Accuracy.num_prompts} random prompts each",
        worst,
        TOLERANCE[precision],
        counterexample,
    )


def _far_away(claim: NetworkClaim) -> Evidence:
    """Two prompts with one query on which the network cannot be right, from its weights alone."""
    mixture = RegressionMixture([[1.0], [-1.0]], 1.0)
    network = claim.build(mixture, 1, torch.float64)
    examples = (1.0, -1.0)
    bound = sum(_added(network, y) for y in examples)
    query = 10.0 * (1.0 + bound)
    prompts = PromptBatch([[[1.0], [query]]] * 2, [[y] for y in examples])
    # The matrices go in directly: `predict` refuses prompts outside the box.
    matrices = initial_matrix(prompts.interleaved(), network.program.num_rows)
    with torch.no_grad():
        answers = network.read(network(network.embed(matrices)))[:, -1, -1]
    found, expected = (float(a[0] - a[1]) for a in (answers, mixture.posterior_mean(prompts)))
    return Evidence(
        not (abs(found) <= bound < abs(expected)),
        Grade.CONFIRMED,
        "how far two answers to one query can lie apart, from the weights, against f*_pi",
        "this network; any other has its own bound, and its own query",
        counterexample=(
            f"d = k = 1, w = 1 and -1, sigma = 1, x_1 = 1: the layers add so little, by their "
            f"weights, that the answers for y_1 = 1 and y_1 = -1 differ by at most B = {bound:.3g} "
            f"whatever x_2 is; f*_pi = tanh(y_1) x_2 differs by 2 tanh(1) x_2, which is "
            f"{expected / bound:.3g} B at x_2 = {query / bound:.3g} B, where the network's answers "
            f"differ by {found / bound:.3g} B"
        ),
    )


def _added(network: LineByLineTransformer, y: float) -> float:
    """Bound on what the layers add to the answer's row, for x_1 = 1, y_1 = y and any query."""
    states = network.trace(PromptBatch([[[1.0], [0.0]]], [[y]]))
    row, unit = network.program.num_rows - 1, network.stream.units()
    bound = 0.0
    for layer, before in zip(network.layers, states, strict=False):
        weights = layer.weights()
        # Earlier columns do not depend on the query, so that these are their values.
        earlier = torch.tensor(before.stream[0, :, :-1] * unit[:, None])
        added = feed_forward_bound(weights) + attention_bound(weights, earlier)
        bound += float(added[row] / unit[row])
    return bound


def _weights_changed(layer: int, change: Callable[[LayerWeights], object]) -> NetworkClaim:
    """The built network with the weights of one layer (from 1) changed in place."""

    def build(mixture: RegressionMixture, k: int, dtype: torch.dtype) -> LineByLineTransformer:
        network = build_line_by_line(mixture, k, dtype)
        change(network.layers[layer - 1].weights())
        return network

    return NetworkClaim(build)


def _other_mixture(change: Callable[[RegressionMixture], RegressionMixture]) -> NetworkClaim:
    """The network of another mixture."""

    def build(mixture: RegressionMixture, k: int, dtype: torch.dtype) -> LineByLineTransformer:
        return build_line_by_line(change(mixture), k, dtype)

    return NetworkClaim(build)


def _moved(mixture: RegressionMixture, factor: float) -> RegressionMixture:
    return RegressionMixture(factor * mixture.components, mixture.noise_std)


def _tilted(mixture: RegressionMixture) -> RegressionMixture:
    weights = np.arange(1.0, mixture.num_components + 1)
    weights /= weights.sum()
    return RegressionMixture(mixture.components, mixture.noise_std, weights)


MUTANTS = {
    "scores off by 1 %": _weights_changed(6, lambda w: w.value.mul_(1.01)),
    "scores without the half": _weights_changed(6, lambda w: w.value.mul_(2.0)),
    "scores with the wrong sign": _weights_changed(6, lambda w: w.value.neg_()),
    "squares off by 1 %": _weights_changed(5, lambda w: w.outward.mul_(1.01)),
    "softmax at another temperature": _weights_changed(7, lambda w: w.query.mul_(1.01)),
    "y added in the residual": _weights_changed(3, lambda w: w.outward.neg_()),
    "no copy_over": _weights_changed(2, lambda w: w.output.zero_()),
    "answer off by 1 %": _weights_changed(9, lambda w: w.outward.mul_(1.01)),
    "components off by 1 %": _other_mixture(lambda mixture: _moved(mixture, 1.01)),
    "sigma off by 1 %": _other_mixture(lambda mix: mix.with_noise_std(1.01 * mix.noise_std)),
    "another prior": _other_mixture(_tilted),
}


DEPENDS_ON = (
    "pathak2023/section-1-2",
    *(f"pathak2023/program-line-{line}" for line in range(1, 10)),
    *(
        f"pathak2023/proposition-1-{name}"
        for name in ("copy-down", "copy-over", "mul", "aff", "scaled-agg", "soft")
    ),
)

LATEX = r"\mathrm{TF}(P) = f^*_\pi(P) = \langle \hat w(P), x_{k+1} \rangle"


def _all_sizes(precision: Precision) -> Check[NetworkClaim]:
    return lambda claim, rng: _check(precision, SIZES, claim, rng)


@statement(
    id="pathak2023/theorem-1",
    title="A transformer implements f*_pi",
    source="Theorem 1, Section 2 and Appendix B.2",
    latex=rf"\exists\, \mathrm{{TF}}\ \forall P: {LATEX}",
    printed=NetworkClaim(build_line_by_line, everywhere=True),
    mutants=MUTANTS,
    correction=Correction(
        NetworkClaim(build_line_by_line),
        "To rounding accuracy, on prompts drawn from the mixture; the error grows with the box and "
        "with 1/sigma^2. With constant rows and m + 1 constant columns beyond the paper's "
        "p = 2d + 4m + 2 and q = 2k + 1.",
        Fault.FALSE,
        latex=r"\exists\, \mathrm{TF}: |\mathrm{TF}(P) - f^*_\pi(P)| \le 10^{-9}"
        r" \text{ in float64, for } P \text{ drawn from the mixture}",
    ),
    hypotheses=("sigma > 0", "prompts of the mixture"),
    depends_on=DEPENDS_ON,
    full=_all_sizes("float64"),
)
def FLOAT64(claim: NetworkClaim, rng: np.random.Generator) -> Evidence:
    """Compare the float64 network with f*_pi over the grid of sizes."""
    return _check("float64", _small(), claim, rng)


@statement(
    id="pathak2023/theorem-1-float32",
    title="The transformer of Theorem 1 in float32 arithmetic",
    source="Theorem 1, Section 2 and Appendix B.2",
    latex=LATEX,
    printed=NetworkClaim(build_line_by_line),
    beyond=True,
    mutants=MUTANTS,
    hypotheses=("sigma > 0", "prompts of the mixture, rounded to float32"),
    depends_on=DEPENDS_ON,
    full=_all_sizes("float32"),
)
def FLOAT32(claim: NetworkClaim, rng: np.random.Generator) -> Evidence:
    """Compare the float32 network with f*_pi over the grid of sizes."""
    return _check("float32", _small(), claim, rng)


STATEMENTS = (FLOAT64, FLOAT32)
