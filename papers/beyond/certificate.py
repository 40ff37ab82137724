r"""A bound on the compiled network's error for every prompt of a box, rounding included.

Theorem. Under the rounding model of docs/certificates.md, the three-layer network for d = m = 20,
K = 60, sigma = 1 and the box |x_il| <= 5, |y| <= 30 answers every prompt of it, at every prefix,
within 1e-5 of f*_pi, and within 2e-8 where the residual sum of some component is at most
2 k sigma^2.

Proof. Wire by wire (docs/certificates.md): the heads' weights are shown to be exactly one and zero
from the constants, the gadget for squares is enclosed in ball arithmetic, sums are bounded in any
order, and a score error a moves the answer by the integral of -Cov_p(a, <w, x>), which Gibbs'
inequality bounds by the smallest score. The bound is computed by `constructions.certificate`.

What a wrong bound looks like is checked on a network of coarse gadgets, whose errors are far above
rounding: random prompts and gradient ascent come within a factor of about a hundred of its bound,
so that one that is a thousand times smaller, or the same bound for changed weights, is violated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from constructions import Box, PosteriorMeanTransformer, compile_posterior_mean
from constructions.certificate import Bound, Certificate
from papers.ledger import Evidence, Grade, statement
from simulations.experiments.violations import Search, search
from theory import RegressionMixture

#: The stated size, and what its certificate must be within.
STATED, BOX_LIMIT, EXPLAINED_LIMIT = (20, 20, 60), 1e-5, 2e-8

#: The attacked network is certified to this only: its errors are the gadgets', not rounding.
COARSE = 1e-4

EFFORT = Search(random_prompts=300, starts=60, steps=60)


def _unchanged(network: PosteriorMeanTransformer) -> None:
    """Leave the weights as they are."""


@dataclass(frozen=True)
class CertificateClaim:
    """A network, claimed to stay within the certificate of the honest one.

    Parameters
    ----------
    change
        What is done to the weights after they have been certified.
    factor
        The claimed bound, as a part of the certificate.
    """

    change: Callable[[PosteriorMeanTransformer], object] = _unchanged
    factor: float = 1.0


def _network(dim: int, components: int, examples: int, seed: int) -> PosteriorMeanTransformer:
    rng = np.random.default_rng(seed)
    mixture = RegressionMixture.random(components, dim, 1.0, rng)
    coarse = (dim, components, examples) != STATED
    box = Box.entrywise(dim, 3.0, 9.0) if coarse else Box.entrywise(dim, 5.0, 30.0)
    tolerance = COARSE if coarse else None
    return compile_posterior_mean(mixture, examples, box, tolerance=tolerance)


def _scale(layer: int, part: str, factor: float) -> CertificateClaim:
    def change(network: PosteriorMeanTransformer) -> None:
        with torch.no_grad():
            getattr(network.layers[layer - 1], part).mul_(factor)

    return CertificateClaim(change)


def _no_sink(network: PosteriorMeanTransformer) -> None:
    with torch.no_grad():
        network.layers[1].key[0, 1] = 0.0


@statement(
    id="beyond/certificate",
    title="Every prompt of a box is answered within a certified error",
    source="docs/certificates.md",
    latex=r"|\mathrm{TF}(P) - f^*_\pi(P)| \le 10^{-5}\ "
    r"\forall P: |x_{il}| \le 5, |y_i| \le 30\quad (d = m = 20, K = 60, \sigma = 1)",
    printed=CertificateClaim(),
    beyond=True,
    mutants={
        "a bound a thousand times smaller": CertificateClaim(factor=1e-3),
        "gadgets of the scores off by 1 %": _scale(1, "outward", 1.01),
        "answers off by 0.1 %": _scale(3, "outward", 1.001),
        "residuals read 1 % off": _scale(1, "value", 1.01),
        "a sink that does not fill the denominator up": CertificateClaim(_no_sink),
    },
    hypotheses=("the rounding model of docs/certificates.md", "sigma = 1", "equal weights"),
)
def CERTIFICATE(claim: CertificateClaim, rng: np.random.Generator) -> Evidence:
    """Compute the bounds of the stated size; attack those of a coarse network."""
    seed = int(rng.integers(2**31))
    stated = _network(*STATED, seed).certificate()
    attacked = _network(3, 4, 10, seed)
    honest = attacked.certificate()
    claim.change(attacked)
    bounds = Certificate(*(_part(bound, claim.factor) for bound in (honest.box, honest.explained)))
    found = search(attacked, EFFORT, bounds=bounds)
    ratio = max(found.random_ratio, found.ascent_ratio)
    problems = []
    if stated.box.value > BOX_LIMIT or stated.explained.value > EXPLAINED_LIMIT:
        problems.append(f"certified {stated.box.value:.2e}, {stated.explained.value:.2e}")
    if found.violated:
        problems.append(f"an error {ratio:.3g} times its bound")
    return Evidence(
        not problems,
        Grade.CERTIFIED,
        f"bounds for d = m = 20, K = 60: {stated.box.value:.2g} in the box, "
        f"{stated.explained.value:.2g} explained; largest error found, as a part of its bound",
        f"every prompt of the box, every prefix; attack: d = 3, m = 4, K = 10, "
        f"{EFFORT.random_prompts} random prompts, {EFFORT.starts} ascents",
        ratio,
        1.0,
        "; ".join(problems),
    )


def _part(bound: Bound, factor: float) -> Bound:
    return Bound(bound.name, factor * bound.value)


STATEMENTS = (CERTIFICATE,)
