"""Tries to break a certificate: random prompts, and prompts driven to where answers are fragile.

The error itself is rounding noise, and has no useful gradient. What can be ascended is what the
bound is made of: under the posterior, the spread of <w_t, x> times the size of the scores,
sqrt(Var_p <w, x> E_p L), which is large where components tie far from the data.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from constructions import PosteriorMeanTransformer
from constructions.certificate import Certificate
from theory import PromptBatch, RegressionMixture

#: Prompts whose errors are measured at once.
CHUNK = 500

#: Adam's step, relative to the size of the box.
STEP = 0.02


@dataclass(frozen=True)
class Search:
    """What to try against a certificate.

    Parameters
    ----------
    random_prompts
        Prompts of the mixture; those outside the box are refused, and counted.
    starts, steps
        Starting points and steps of gradient ascent inside the box.
    seed
        Of all random numbers.
    """

    random_prompts: int = 100_000
    starts: int = 1_000
    steps: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """The worst that a search has found; a ratio above 1 is a violation.

    Parameters
    ----------
    refused
        Random prompts outside the box.
    random_ratio, random_error
        Largest error over its bound, and largest error, at any prefix of random prompts. The
        bound is ``explained`` where some component explains the prompt, and ``box`` elsewhere.
    ascent_ratio, ascent_error
        The same for prompts that gradient ascent has found.
    """

    refused: int
    random_ratio: float
    random_error: float
    ascent_ratio: float
    ascent_error: float

    @property
    def violated(self) -> bool:
        """Whether an error exceeds its bound."""
        return not max(self.random_ratio, self.ascent_ratio) <= 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, for JSON."""
        return asdict(self) | {"violated": self.violated}


def search(
    model: PosteriorMeanTransformer,
    config: Search,
    on_prompts: Callable[[int], object] = lambda done: None,
    *,
    bounds: Certificate | None = None,
) -> Found:
    """Return the worst ratio of measured errors to certified bounds.

    Parameters
    ----------
    model
        The network, whose certificate is under attack.
    config
        How much to try.
    on_prompts
        Called with the number of prompts that have been tried since the last call.
    bounds
        The bounds to break; by default the network's own certificate.

    Raises
    ------
    CertificateError
        If the network has no certificate.
    """
    rng = np.random.default_rng(config.seed)
    claimed = model.certificate() if bounds is None else bounds
    limits = (claimed.box.value, claimed.explained.value)
    refused, ratio, error = 0, 0.0, 0.0
    for start in range(0, config.random_prompts, CHUNK):
        size = min(CHUNK, config.random_prompts - start)
        prompts = model.mixture.sample_prompts(size, model.max_examples, rng)
        outside = {i for i, _ in model.box.problems(prompts)}
        refused += len(outside)
        inside = sorted(set(range(size)) - outside)
        if inside:
            kept = PromptBatch(prompts.xs[inside], prompts.ys[inside])
            ratio, error = _worse((ratio, error), _measure(model, kept, limits))
        on_prompts(size)
    found = (0.0, 0.0)
    for start in range(0, config.starts, CHUNK):
        size = min(CHUNK, config.starts - start)
        climbed = ascend(model, size, config.steps, rng)
        found = _worse(found, _measure(model, climbed, limits))
        on_prompts(size)
    return Found(refused, ratio, error, *found)


def ascend(
    model: PosteriorMeanTransformer, starts: int, steps: int, rng: np.random.Generator
) -> PromptBatch:
    """Return prompts in the box that gradient ascent has made fragile, from uniform starts."""
    d, k, box = model.mixture.dim, model.max_examples, model.box
    xs = torch.tensor(rng.uniform(-1, 1, (starts, k + 1, d)) * box.covariate, requires_grad=True)
    ys = torch.tensor(rng.uniform(-1, 1, (starts, k)) * box.label, requires_grad=True)
    optimiser = torch.optim.Adam(
        [{"params": [xs], "lr": STEP * box.covariate}, {"params": [ys], "lr": STEP * box.label}],
        maximize=True,
    )
    for _ in range(steps):
        optimiser.zero_grad()
        torch.autograd.backward(_fragility(model.mixture, xs, ys).sum())
        optimiser.step()
        with torch.no_grad():
            xs.clamp_(-box.covariate, box.covariate)
            norms = torch.linalg.vector_norm(xs, dim=2, keepdim=True)
            xs.mul_((box.covariate_norm * (1 - 1e-12) / norms).clamp(max=1.0))
            ys.clamp_(-box.label, box.label)
    return PromptBatch(xs.detach().numpy(), ys.detach().numpy())


def _fragility(
    mixture: RegressionMixture, xs: Float[Tensor, "b n d"], ys: Float[Tensor, "b k"]
) -> Float[Tensor, " b"]:
    """The logarithm of Var_p <w, x> E_p L, and how near the best components are to a tie."""
    possible = mixture.weights > 0
    components = torch.tensor(np.array(mixture.components[possible]))
    log_prior = torch.tensor(np.log(np.array(mixture.weights[possible])))
    residuals = xs[:, :-1] @ components.T - ys[:, :, None]
    scores = (residuals**2).sum(dim=1) / (2 * mixture.noise_std**2)
    posterior = torch.softmax(log_prior - scores, dim=1)
    images = xs[:, -1] @ components.T
    mean = (posterior * images).sum(dim=1, keepdim=True)
    variance = (posterior * (images - mean) ** 2).sum(dim=1)
    energy = (posterior * scores).sum(dim=1)
    # Where one component wins by far the variance has no slope; the tie has.
    tie = torch.logsumexp(log_prior - scores, dim=1) - (log_prior - scores).max(dim=1).values
    return torch.log(variance + 1e-30) + torch.log(energy + 1e-30) + tie


def _measure(
    model: PosteriorMeanTransformer, prompts: PromptBatch, limits: tuple[float, float]
) -> tuple[float, float]:
    """The largest ratio of error to bound, and the largest error, over all prefixes."""
    exact, explained = judge(model.mixture, prompts)
    errors = np.abs(model.predict_all_prefixes(prompts) - exact).astype(float)
    bound = np.where(explained, limits[1], limits[0])
    return float((errors / bound).max()), float(errors.max())


def judge(
    mixture: RegressionMixture, prompts: PromptBatch
) -> tuple[npt.NDArray[np.longdouble], Bool[np.ndarray, "batch prefixes"]]:
    """Return f*_pi at every prefix in extended precision, and whether a component explains it.

    float64 would be off by as much as the network is.
    """
    possible = mixture.weights > 0
    components = np.array(mixture.components[possible], dtype=np.longdouble)
    log_prior = np.log(np.array(mixture.weights[possible], dtype=np.longdouble))
    xs, ys = prompts.xs.astype(np.longdouble), prompts.ys.astype(np.longdouble)
    images = xs @ components.T
    squares = (images[:, :-1] - ys[:, :, None]) ** 2
    sums = np.concatenate([np.zeros_like(images[:, :1]), squares.cumsum(axis=1)], axis=1)
    logits = log_prior - sums / (2 * np.longdouble(mixture.noise_std) ** 2)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    mean = (powers * images).sum(axis=2) / powers.sum(axis=2)
    allowed = 2 * np.arange(sums.shape[1]) * mixture.noise_std**2
    return mean, sums.min(axis=2) <= allowed


def _worse(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return max(first[0], second[0]), max(first[1], second[1])
