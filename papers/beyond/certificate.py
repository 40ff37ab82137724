r"""A bound on the compiled network's error for every prompt of a box, rounding included.

Theorem. Under the rounding model of docs/certificates.md, the three-layer network for d = m = 20,
K = 60, sigma = 1 and the box |x_il| <= 5, |y| <= 30 answers every prompt of it, at every prefix,
within 1e-5 of f*_pi, and within 2e-8 where the residual sum of some component is at most
2 k sigma^2.

Proof. Wire by wire (docs/certificates.md): the heads' weights are shown to be exactly one and zero
from the constants, the gadget for squares is enclosed in ball arithmetic, sums are bounded in any
order, and a score error a moves the answer by the integral of -Cov_p(a, <w, x>), which Gibbs'
inequality bounds by the smallest score. The bound is computed by `constructions.certificate`.

Whether the bound is too small is checked at the stated size: `constructions.checker`, which shares
no code with the compiler and its certificate, derives bounds of its own from the stored weights,
here 0.84 and 0.89 of ours. A certificate that is below them has lost something, as without the
rounding of a pair of neurons, or with half of u.

What wrong weights look like is checked on a network of coarse gadgets, whose errors are far above
rounding: random prompts and gradient ascent come within a factor of about a hundred of its bound,
so that the same bound for changed weights is violated.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from constructions import Box, PosteriorMeanTransformer, compile_posterior_mean
from constructions.certificate import Bound, Certificate
from constructions.certificate.rounding import RoundingModel
from constructions.checker import check
from papers.ledger import Evidence, Grade, statement
from simulations.built_models import save_model
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
    arithmetic
        Constants of the rounding model that the bounds of the stated size are computed with, where
        they are not those of docs/certificates.md.
    """

    change: Callable[[PosteriorMeanTransformer], object] = _unchanged
    factor: float = 1.0
    arithmetic: Mapping[str, float] = field(default_factory=dict)


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
        "a bound a fifth smaller": CertificateClaim(factor=0.8),
        "rounding left out": CertificateClaim(arithmetic={"unit_roundoff": 2.0**-73}),
        "half the unit roundoff": CertificateClaim(arithmetic={"unit_roundoff": 2.0**-54}),
        "no rounding of gelu": CertificateClaim(arithmetic={"gelu": 0.0, "pair": 0.0}),
        "gadgets of the scores off by 1 %": _scale(1, "outward", 1.01),
        "answers off by 0.1 %": _scale(3, "outward", 1.001),
        "residuals read 1 % off": _scale(1, "value", 1.01),
        "a sink that does not fill the denominator up": CertificateClaim(_no_sink),
    },
    hypotheses=("the rounding model of docs/certificates.md", "sigma = 1", "equal weights"),
)
def CERTIFICATE(claim: CertificateClaim, rng: np.random.Generator) -> Evidence:
    """Compare the bounds of the stated size with the checker's; attack a coarse network."""
    seed = int(rng.integers(2**31))
    stated, problems, part = _derived(claim, _network(*STATED, seed))
    if stated.box.value > BOX_LIMIT or stated.explained.value > EXPLAINED_LIMIT:
        problems.append(f"certified {stated.box.value:.2e}, {stated.explained.value:.2e}")
    ratio = 0.0 if problems else _attack(claim, _network(3, 4, 10, seed))
    if not ratio <= 1:
        problems.append(f"an error {ratio:.3g} times its bound")
    return Evidence(
        not problems,
        Grade.CERTIFIED,
        f"bounds for d = m = 20, K = 60: {stated.box.value:.2g} in the box, "
        f"{stated.explained.value:.2g} explained; the independent checker's own, as a part of them",
        f"every prompt of the box, every prefix, components of one random mixture; attack on wrong "
        f"weights: d = 3, m = 4, K = 10, {EFFORT.random_prompts} random prompts, "
        f"{EFFORT.starts} ascents, errors up to {ratio:.2g} of the bound",
        part,
        1.0,
        "; ".join(problems),
    )


def _derived(
    claim: CertificateClaim, network: PosteriorMeanTransformer
) -> tuple[Certificate, list[str], float]:
    """The claimed bounds, what the checker has against them, and its own as a part of them."""
    constants = replace(RoundingModel.of(network.dtype), **claim.arithmetic)
    with mock.patch.object(RoundingModel, "of", return_value=constants):
        honest = network.certificate()
    bounds = Certificate(*(_part(bound, claim.factor) for bound in (honest.box, honest.explained)))
    with tempfile.TemporaryDirectory() as folder:
        finding = check(save_model(Path(folder) / "network", network))
    problems, worst = list(finding.problems), float("inf")
    if finding.derived is not None:
        pairs = {
            "box": (finding.derived.box, bounds.box.value),
            "explained": (finding.derived.explained, bounds.explained.value),
        }
        worst = max(own / claimed for own, claimed in pairs.values())
        problems += [
            f"{name}: certified {claimed:.3g}, the checker derives {own:.3g}"
            for name, (own, claimed) in pairs.items()
            if not own <= claimed
        ]
    return bounds, problems, worst


def _attack(claim: CertificateClaim, network: PosteriorMeanTransformer) -> float:
    """The largest error found, as a part of the bound of the network before it is changed."""
    bounds = network.certificate()
    claim.change(network)
    found = search(network, EFFORT, bounds=bounds)
    return max(found.random_ratio, found.ascent_ratio)


def _part(bound: Bound, factor: float) -> Bound:
    return Bound(bound.name, factor * bound.value)


STATEMENTS = (CERTIFICATE,)
