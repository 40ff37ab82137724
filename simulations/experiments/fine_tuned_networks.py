"""A hand-built network fine-tuned on prompts of a shifted mixture, and lines between networks.

The network of Theorem 1 is built for a mixture; then it is trained on prompts of regressors
w_j + shift 1 / sqrt(d), the weight shift of Pathak et al. 2023, Figure 6, in three ways
(`simulations.transformers.fine_tuning`):

- ``relative``: w = w0 (1 + delta) on the weights that are not zero, but for those that attention
  finds columns by (`ADDRESSES`);
- ``everywhere``: w = w0 (1 + delta) on all weights that are not zero;
- ``plain``: Adam on all weights as they are.

``unshifted`` is the first way on prompts of the mixture that the network is built for: there its
error is least, and training can only take it away from there. ``scratch`` is a network of exactly
the same shapes, trained from random weights on prompts of the mixture that the other is built for.

Arrays of a run; a distance is the mean of (f(P) - g(P))^2 over held-out prompts and their prefixes,
not divided by d, and infinite where training ended for want of finite numbers:

- ``steps``: after how many steps; ``WAY/step_sizes`` and ``WAY/distances`` (step sizes, steps) from
  the posterior mean of the mixture that prompts are from.
- ``scratch/steps`` and ``scratch/distances``: the same of the network from random weights.
- ``line/old`` and ``line/new``: at w0 (1 + t delta) for the t of ``line/shares``, from fine-tuning
  in the first way at the step size that ended best (``line/step_size``), the distance from the
  posterior mean of either mixture on its own prompts.
- ``barrier/shares``: s, 0 and from 1e-18 to 1; ``barrier/from_scratch`` and ``barrier/from_built``:
  the distance from the posterior mean at the weights (1 - s) scratch + s built, and at
  (1 - s) built + s scratch. Neither the order of neurons nor the scales of rows are matched: the
  built network has rows of size 10^10 and more, which weights of the other make into answers.
- ``largest_weight``, ``smallest_weight``: sizes of the weights that are not zero; ``components``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from constructions import compile_posterior_mean
from constructions.library.posterior_mean_transformer import NumLayers
from simulations.experiments.error_curves import PromptLaw, draw_mixture
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from simulations.transformers.config import Steps
from simulations.transformers.fine_tuning import (
    ADDRESSES,
    Draw,
    RelativeChanges,
    between,
    fine_tune,
    redrawn,
)
from simulations.transformers.models import tokens_of
from simulations.transformers.section_1_2 import Section12
from theory import PosteriorMean, RegressionMixture
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "FineTunedNetworks"]

#: Streams of the seed, beside that of the components: held-out prompts, batches, random weights.
_HELD_OUT, _BATCHES, _START = 10, 11, 12

#: Points of a line, and the power of ten of the least share of a barrier.
_POINTS, _NEAREST = 21, -18

#: How often the distance is taken along a training.
_RECORDS = 20


@dataclass(frozen=True)
class FineTunedNetworks:
    """A mixture that a network is built for, a shift of it, and trainings.

    Parameters
    ----------
    num_components, dim, noise_std
        m, d and sigma > 0.
    max_examples
        K.
    built_layers
        3 (one head each) or 2 (the first with 2K heads).
    shift
        epsilon >= 0 of w_j + epsilon 1 / sqrt(d).
    step_sizes, everywhere_step_sizes, plain_step_sizes
        > 0; of ``relative`` and ``unshifted``, and of the two others.
    steps, batch_size
        Of each training, the step size falling along half a cosine.
    scratch_steps, scratch_step_size
        Of the network from random weights.
    num_prompts
        Held-out prompts of each mixture.
    seed
        >= 0. The components depend on it and on m and d alone.

    Raises
    ------
    ValueError
        If a number is out of range; all problems are listed at once.
    """

    num_components: int = 2
    dim: int = 3
    noise_std: float = 1.0
    max_examples: int = 6
    built_layers: NumLayers = 3
    shift: float = 1.0
    step_sizes: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    everywhere_step_sizes: tuple[float, ...] = (1e-6, 1e-3)
    plain_step_sizes: tuple[float, ...] = (1e-3, 1e-9, 1e-12, 1e-15)
    steps: int = 200
    batch_size: int = 64
    scratch_steps: int = 800
    scratch_step_size: float = 3e-3
    num_prompts: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("FineTunedNetworks")
        for name in ("num_components", "dim", "max_examples", "steps", "batch_size",
                     "scratch_steps", "num_prompts"):  # fmt: skip
            object.__setattr__(self, name, problems.count(name, getattr(self, name), 1))
        object.__setattr__(self, "seed", problems.count("seed", self.seed, 0))
        shift = problems.number("shift", self.shift, 0.0, strict=False)
        object.__setattr__(self, "shift", shift)
        for name in ("noise_std", "scratch_step_size"):
            value = problems.number(name, getattr(self, name), 0.0, strict=True)
            object.__setattr__(self, name, value)
        for name in ("step_sizes", "everywhere_step_sizes", "plain_step_sizes"):
            sizes = getattr(self, name)
            if not sizes or not all(0 < size < np.inf for size in sizes):
                problems.add(f"{name} is {sizes!r}; expected one or more numbers > 0")
        if self.built_layers not in (2, 3):
            problems.add(f"built_layers is {self.built_layers!r}; expected 2 or 3")
        problems.raise_if_any()

    @property
    def mixture(self) -> RegressionMixture:
        """What the network is built for."""
        return draw_mixture(self.num_components, self.dim, self.noise_std, self.seed)

    @property
    def shifted(self) -> RegressionMixture:
        """What it is fine-tuned on."""
        moved = self.mixture.components + self.shift / np.sqrt(self.dim)
        return RegressionMixture(moved, self.noise_std)

    def built(self) -> Section12:
        """Build the network, float64."""
        return Section12.of(
            compile_posterior_mean(self.mixture, self.max_examples, layers=self.built_layers)
        )


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Prompts of a mixture, and what its posterior mean answers."""

    tokens: Float[Tensor, "batch columns d"]
    answers: Float[np.ndarray, "batch prefixes"]

    @classmethod
    def of(cls, config: FineTunedNetworks, mixture: RegressionMixture) -> _HeldOut:
        law = _law(config, mixture, config.max_examples)
        prompts, _ = law.sample(config.num_prompts, _stream(config.seed, _HELD_OUT))
        tokens = tokens_of(prompts.xs, prompts.ys)
        return cls(tokens, PosteriorMean(mixture).predict_all_prefixes(prompts))

    def distance(self, model: Callable[[Tensor], Tensor]) -> float:
        """The mean squared distance of a model's answers."""
        with torch.no_grad():
            found = model(self.tokens)[:, ::2, 0].numpy()
        return float(np.mean((found - self.answers) ** 2))


def _stream(seed: int, key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key,)))


def _law(config: FineTunedNetworks, mixture: RegressionMixture, num_examples: int) -> PromptLaw:
    return PromptLaw(mixture.components, 1.0, config.noise_std, num_examples)


def _batches(config: FineTunedNetworks, mixture: RegressionMixture) -> Draw:
    """Batches of prompts; one example more holds the label of the query."""
    rng, law = _stream(config.seed, _BATCHES), _law(config, mixture, config.max_examples + 1)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        prompts, _ = law.sample(config.batch_size, rng)
        return prompts.xs[:, :-1], prompts.ys

    return draw


def _watched(steps: int) -> tuple[int, ...]:
    """After how many steps the distance is taken: densely at first."""
    grid = np.unique(np.round(np.geomspace(1, steps, _RECORDS)).astype(int))
    return (0, *(int(step) for step in grid))


# Parts: the ways, the first with its line, and the network from scratch with its barrier


def _parts(config: FineTunedNetworks) -> tuple[str, ...]:
    return (*_WAYS, "scratch")


def _compute(config: FineTunedNetworks, part: str, checkpoint: Checkpoint) -> Arrays:
    return _scratch(config) if part == "scratch" else _tuned(config, part)


def _combine(config: FineTunedNetworks, parts: Mapping[str, Arrays]) -> Arrays:
    sizes = torch.cat([p.detach().abs().flatten() for p in config.built().parameters()])
    nonzero = sizes[sizes > 0]
    return {name: array for arrays in parts.values() for name, array in arrays.items()} | {
        "steps": np.array(_watched(config.steps), dtype=np.int64),
        "largest_weight": np.array(float(nonzero.max())),
        "smallest_weight": np.array(float(nonzero.min())),
        "components": config.mixture.components,
    }


@dataclass(frozen=True)
class _Way:
    """A way to fine-tune: what is trained, which step sizes it has, on which mixture."""

    trained: Callable[[Section12], nn.Module]
    step_sizes: Callable[[FineTunedNetworks], tuple[float, ...]]
    shifted: bool = True


_WAYS: Final[Mapping[str, _Way]] = MappingProxyType(
    {
        "relative": _Way(lambda m: RelativeChanges(m, ADDRESSES), lambda c: c.step_sizes),
        "unshifted": _Way(lambda m: RelativeChanges(m, ADDRESSES), lambda c: c.step_sizes, False),
        "everywhere": _Way(RelativeChanges, lambda c: c.everywhere_step_sizes),
        "plain": _Way(lambda m: m, lambda c: c.plain_step_sizes),
    }
)


def _tuned(config: FineTunedNetworks, name: str) -> Arrays:
    """Fine-tune the built network in one of the ways, at every step size of it."""
    way = _WAYS[name]
    mixture = config.shifted if way.shifted else config.mixture
    held_out, watched = _HeldOut.of(config, mixture), _watched(config.steps)
    step_sizes, models, curves = way.step_sizes(config), [], []
    for step_size in step_sizes:
        models.append(way.trained(config.built()))
        steps = Steps(config.steps, config.batch_size, step_size, warm_up=0)
        draw = _batches(config, mixture)
        curves.append(fine_tune(models[-1], draw, steps, held_out.distance, watched))
    arrays = {f"{name}/step_sizes": np.array(step_sizes), f"{name}/distances": np.array(curves)}
    if name == "relative":
        best = int(np.argmin([curve[-1] for curve in curves]))
        arrays |= {"line/step_size": np.array(step_sizes[best]), **_changed(config, models[best])}
    return arrays


def _changed(config: FineTunedNetworks, tuned: nn.Module) -> Arrays:
    """The line from the built network to the fine-tuned one."""
    if not isinstance(tuned, RelativeChanges):
        raise TypeError(f"the line is that of RelativeChanges, not of {type(tuned).__name__}")
    ends = {"old": config.mixture, "new": config.shifted}
    held_out = {name: _HeldOut.of(config, mixture) for name, mixture in ends.items()}
    found: dict[str, list[float]] = {name: [] for name in ends}
    shares = np.linspace(0, 1, _POINTS)
    for share in shares:
        tuned.share = float(share)
        for name, prompts in held_out.items():
            found[name].append(prompts.distance(tuned))
    lines = {f"line/{name}": np.array(distances) for name, distances in found.items()}
    return lines | {"line/shares": shares}


def _scratch(config: FineTunedNetworks) -> Arrays:
    """Train a network of the built one's shapes from random weights, and go from there to it."""
    built, watched = config.built(), _watched(config.scratch_steps)
    entropy = np.random.SeedSequence(config.seed, spawn_key=(_START,)).generate_state(1, np.uint64)
    scratch = redrawn(built, torch.Generator().manual_seed(int(entropy[0] >> np.uint64(1))))
    held_out = _HeldOut.of(config, config.mixture)
    steps = Steps(config.scratch_steps, config.batch_size, config.scratch_step_size,
                  warm_up=min(100, config.scratch_steps // 4))  # fmt: skip
    draw = _batches(config, config.mixture)
    curve = fine_tune(scratch, draw, steps, held_out.distance, watched)
    shares = np.concatenate([[0.0], np.logspace(_NEAREST, 0, 1 - 2 * _NEAREST)])

    def along(first: Section12, second: Section12) -> Float[np.ndarray, " shares"]:
        found = [held_out.distance(_at(first, second, float(share))) for share in shares]
        return np.array(found)

    return {
        "scratch/steps": np.array(watched, dtype=np.int64),
        "scratch/distances": curve,
        "barrier/shares": shares,
        "barrier/from_scratch": along(scratch, built),
        "barrier/from_built": along(built, scratch),
    }


def _at(first: Section12, second: Section12, share: float) -> Callable[[Tensor], Tensor]:
    """The network at a share of the way between two."""
    weights = between(first, second, share)

    def answer(tokens: Tensor) -> Tensor:
        answers: Tensor = functional_call(second, weights, (tokens,))
        return answers

    return answer


_PRESETS: Final[Mapping[Preset, Mapping[str, FineTunedNetworks]]] = MappingProxyType(
    {
        "smoke": {
            "m=2": FineTunedNetworks(
                2, 2, 1.0, 3, step_sizes=(1e-3,), everywhere_step_sizes=(1e-3,),
                plain_step_sizes=(1e-3, 1e-12), steps=10, batch_size=16, scratch_steps=10,
                num_prompts=64,
            )
        },
        "laptop": {"m=2": FineTunedNetworks()},
    }
)  # fmt: skip

EXPERIMENTS: tuple[Experiment[FineTunedNetworks], ...] = (
    Experiment(
        name="pathak2023-fine-tuned",
        title="A hand-built network fine-tuned on a shifted mixture, and lines between networks",
        source="Pathak et al. 2023, Theorem 1 and the weight shift of Figure 6",
        config_type=FineTunedNetworks,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets=_PRESETS,
    ),
)
