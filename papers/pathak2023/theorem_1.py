"""Theorem 1: a transformer of the architecture computes f*_pi.

As printed, for all prompts: false for the entry that the proof reads, which starts at 0. By
causality the earlier columns do not see the query, so that attention adds a convex combination of
fixed vectors to its column, and each feed-forward part a bounded one; f*_pi is linear in the query
with slope w when m = 1, and not bounded. As corrected: on a box of prompts, to rounding accuracy.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from constructions import PosteriorMeanTransformer
from constructions.architecture import LayerWeights
from constructions.library.posterior_mean import initial_matrix
from papers.ledger import Correction, Evidence, Fault, Grade, Statement, statement
from papers.pathak2023.boundedness import attention_bound, feed_forward_bound
from simulations.experiments.accuracy import (
    SIZES,
    Accuracy,
    Build,
    Kind,
    Precision,
    build_transformer,
    largest_error,
)
from theory import PromptBatch, RegressionMixture

#: Undecided mixtures come first: they notice errors in the scores.
KINDS: tuple[Kind, ...] = ("undecided", "separated")

#: The largest error allowed in each float type.
TOLERANCE: dict[Precision, float] = {"float64": 1e-9, "float32": 2e-3}


@dataclass(frozen=True)
class NetworkClaim:
    """A way to build the network, claimed to be f*_pi on its box (or everywhere)."""

    build: Build
    everywhere: bool = False


def _check(precision: Precision, claim: NetworkClaim, seed: int) -> Evidence:
    if claim.everywhere:
        return _far_away(claim)
    tolerance, worst = TOLERANCE[precision], 0.0
    for size in SIZES:
        for kind in KINDS:
            config = Accuracy(*size, kind, precision, seed=seed)
            worst = max(worst, largest_error(config, claim.build))
            if not worst <= tolerance:
                return _evidence(precision, worst, f"error {worst:.3g} for {config}")
    return _evidence(precision, worst, "")


def _evidence(precision: Precision, worst: float, counterexample: str) -> Evidence:
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        f"max |TF(P) - f*_pi(P)| of the {precision} network, f*_pi by theory.RegressionMixture",
        "d, m in {2, 5, 20}, k in {2, 10, 60}, sigma in {0.3, 1}, separated and undecided "
        "components, 100 random prompts each",
        worst,
        TOLERANCE[precision],
        counterexample,
    )


def _far_away(claim: NetworkClaim) -> Evidence:
    """A prompt on which the network's answer is out of reach, from its weights alone."""
    mixture = RegressionMixture([[1.0]], 1.0)
    network = claim.build(mixture, 1, torch.float64)
    bound = _answer_bound(network)
    query = 10.0 * (1.0 + bound)
    prompt = PromptBatch(np.array([[[0.0], [query]]]), np.zeros((1, 1)))
    # The matrix goes in directly: `predict` refuses a prompt outside the box.
    matrix = initial_matrix(prompt.interleaved(), network.program.num_rows)
    with torch.no_grad():
        found = float(network.read(network(network.embed(matrix)))[0, -1, -1])
    expected = float(mixture.posterior_mean(prompt)[0])
    return Evidence(
        not (abs(found) <= bound < expected),
        Grade.PROVED,
        "a bound on the answer that any weights give, against f*_pi(P) = <w, x_{k+1}> for m = 1",
        "every network that reads an entry starting at 0; each has its own prompt",
        counterexample=(
            f"d = m = k = 1, w = 1: this network's answer stays below {bound:.3g}; at "
            f"x_1 = y_1 = 0, x_2 = {query:.3g} it is {found:.3g}, and f*_pi is {expected:.3g}"
        ),
    )


def _answer_bound(network: PosteriorMeanTransformer) -> float:
    """Bound on the answer for any query, with x_1 = y_1 = 0."""
    quiet = PromptBatch(np.zeros((1, 2, 1)), np.zeros((1, 1)))
    states = [activation.stream for activation in network.trace(quiet)]
    row, unit = network.program.num_rows - 1, network.stream.units()
    bound = 0.0
    for layer, state in zip(network.layers, states, strict=False):
        weights = layer.weights()
        # Earlier columns do not depend on the query, so that these are their values.
        earlier = torch.tensor(state[0, :, :-1] * unit[:, None])
        added = feed_forward_bound(weights) + attention_bound(weights, earlier)
        bound += float(added[row] / unit[row])
    return bound


def _weights_changed(layer: int, change: Callable[[LayerWeights], object]) -> NetworkClaim:
    """The built network with the weights of one layer (from 1) changed in place."""

    def build(mixture: RegressionMixture, k: int, dtype: torch.dtype) -> PosteriorMeanTransformer:
        network = build_transformer(mixture, k, dtype)
        change(network.layers[layer - 1].weights())
        return network

    return NetworkClaim(build)


def _other_mixture(change: Callable[[RegressionMixture], RegressionMixture]) -> NetworkClaim:
    """The network of another mixture."""

    def build(mixture: RegressionMixture, k: int, dtype: torch.dtype) -> PosteriorMeanTransformer:
        return build_transformer(change(mixture), k, dtype)

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


def _statement(precision: Precision, suffix: str) -> Statement[NetworkClaim]:
    def check(claim: NetworkClaim, rng: np.random.Generator) -> Evidence:
        return _check(precision, claim, int(rng.integers(2**31)))

    return statement(
        id=f"pathak2023/theorem-1{suffix}",
        title=f"A transformer implements f*_pi ({precision})",
        source="Theorem 1, Section 2 and Appendix B.2",
        latex=r"\mathrm{TF}(P) = f^*_\pi(P) = \langle \hat w(P), x_{k+1} \rangle",
        printed=NetworkClaim(build_transformer, everywhere=True),
        mutants=MUTANTS,
        correction=Correction(
            NetworkClaim(build_transformer),
            "For prompts in a box (|x_i| and |y_i| bounded), to an accuracy that the float type "
            "sets; with constant rows and m + 1 constant columns beyond the paper's "
            "p = 2d + 4m + 2 and q = 2k + 1.",
            Fault.FALSE,
        ),
        hypotheses=("sigma > 0", "prompts in the box"),
        depends_on=(
            *(f"pathak2023/program-line-{line}" for line in range(1, 10)),
            *(
                f"pathak2023/proposition-1-{name}"
                for name in ("copy-down", "copy-over", "mul", "aff", "scaled-agg", "soft")
            ),
        ),
    )(check)


FLOAT64 = _statement("float64", "")
FLOAT32 = _statement("float32", "-float32")

STATEMENTS = (FLOAT64, FLOAT32)
