"""Nonlinear components and random mixtures: the open questions of Pathak et al. 2023, Section 4.

"The regression function within each component could potentially be nonlinear": prompts of one of m
fixed two-layer networks. The optimal predictor is still a posterior mean, with f_j(x) in the place
of <w_j, x>.

"The mixture distribution would be sampled from a distribution over mixture models for each prompt":
if a prompt keeps one component, its regressor has the prior of a component whatever m is, and there
is no mixture to learn. So each example has a component of its own. Then no predictor can know the
query's component: E (f - <w_z, x>)^2 >= E <w_z - wbar, x>^2, where wbar is the mean of the prompt's
components. Of all predictors that are linear in the labels (and any function of the covariates),
the best is `BestLinear`. What a transformer gains on it, it gains by being nonlinear in them.

Arrays of a run, beside those of `simulations.experiments.transformer_training`: ``num_examples`` is
k = 0..K; errors are those against labels without noise, divided by d, with ``mean``, ``low``,
``high`` and ``standard_error``.

- ``error/CANDIDATE``: of ``posterior_mean`` (nonlinear) or ``best_linear`` (random mixtures),
  ``least_squares`` and ``zero``.
- ``floor``: the least error with known components, a number; NaN for nonlinear ones.
- ``seed-S/error``, ``seed-S/excess``: of the model, and over that of the first candidate, paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from simulations.comparison import compare
from simulations.experiments.error_curves import prefix_lengths
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment
from simulations.experiments.transformer_training import (
    evaluation_stream,
    seed_parts,
    trained,
    training_arrays,
)
from simulations.transformers import (
    ModelConfig,
    NonlinearPrompts,
    RandomMixturePrompts,
    Steps,
    TransformerTraining,
)
from simulations.transformers.predictor import ModelPredictor
from simulations.transformers.prompts import Prompts
from theory import LeastSquares, Predictor, PromptBatch, Zero
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "BestLinear", "NetworkPosteriorMean", "OpenQuestionTransformers"]

#: Keys of the streams of the evaluation.
_PROMPTS, _BOOTSTRAP = 0, 1


@dataclass(frozen=True)
class OpenQuestionTransformers:
    """A training on prompts of an open question, and the prompts that judge it.

    Parameters
    ----------
    training
        On `simulations.transformers.NonlinearPrompts` or `RandomMixturePrompts`.
    num_prompts
        New prompts, >= 2, the same for every predictor.
    bootstrap_trials
        Of the bands, >= 1.
    seed
        Of the new prompts, >= 0.

    Raises
    ------
    ValueError
        If a number is out of range, or the prompts are of another kind; all problems are listed at
        once.
    """

    training: TransformerTraining = field(
        default_factory=lambda: TransformerTraining(NonlinearPrompts())
    )
    num_prompts: int = 8192
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("OpenQuestionTransformers")
        for name, lower in {"num_prompts": 2, "bootstrap_trials": 1, "seed": 0}.items():
            object.__setattr__(self, name, problems.count(name, getattr(self, name), lower))
        prompts = self.training.prompts
        if not isinstance(prompts, NonlinearPrompts | RandomMixturePrompts):
            problems.add(
                f"training.prompts are of kind {prompts.kind!r}; expected 'nonlinear' or"
                " 'random-mixture'"
            )
        elif prompts.noise_std == 0:
            problems.add("training.prompts.noise_std is 0; expected a number > 0")
        problems.raise_if_any()


@dataclass(frozen=True, eq=False)
class NetworkPosteriorMean:
    """The Bayes predictor of prompts of one of m known networks.

    f*(P) = sum_j p_j f_j(x_{k+1}), p_j proportional to exp(-sum_i (f_j(x_i) - y_i)^2 / 2 sigma^2):
    eq. (4) of Pathak et al. 2023 with f_j(x) for <w_j, x>.

    Parameters
    ----------
    prompts
        The law, whose networks are known; sigma > 0.
    """

    prompts: NonlinearPrompts
    name: str = "posterior mean"

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict y_{k+1} of every prompt, shape (batch,), float64."""
        return self.predict_all_prefixes(prompts)[:, -1]

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Predict y_{n+1} from the first n examples, n = 0..k, shape (batch, k+1), float64."""
        values = self.prompts.networks(prompts.xs)
        scores = -((values[:, :-1] - prompts.ys[:, :, None]) ** 2) / (2 * self.prompts.noise_std**2)
        sums = np.pad(np.cumsum(scores, axis=1), ((0, 0), (1, 0), (0, 0)))
        weights = np.exp(sums - sums.max(axis=2, keepdims=True))
        return np.asarray(np.sum(weights * values, axis=2) / np.sum(weights, axis=2))


@dataclass(frozen=True, eq=False)
class BestLinear:
    """Of the predictors that are linear in the labels, the best for `RandomMixturePrompts`.

    Given the covariates, y_i = <wbar, x_i> + e_i, where wbar has mean 0 and covariance I/m, and the
    e_i = <w_{z_i} - wbar, x_i> + noise have mean 0, are uncorrelated with wbar and with each other,
    and have variances v_i = sigma^2 + (1 - 1/m) |x_i|^2, as E w_j w_j' = I. So it is <what, x>
    with the weighted ridge regression

        what = (sum_i x_i x_i' / v_i + m I)^{-1} sum_i x_i y_i / v_i.

    Parameters
    ----------
    prompts
        The law, with sigma > 0.
    """

    prompts: RandomMixturePrompts
    name: str = "best linear"

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict y_{k+1} of every prompt, shape (batch,), float64."""
        return self.predict_all_prefixes(prompts)[:, -1]

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Predict y_{n+1} from the first n examples, n = 0..k, shape (batch, k+1), float64."""
        m, xs = self.prompts.num_components, prompts.examples
        variances = self.prompts.noise_std**2 + (1 - 1 / m) * np.sum(xs**2, axis=2)
        scaled = xs / variances[:, :, None]
        squares = np.cumsum(np.einsum("bnd,bne->bnde", scaled, xs), axis=1)
        sums = np.cumsum(scaled * prompts.ys[:, :, None], axis=1)
        w = np.linalg.solve(squares + m * np.eye(prompts.dim), sums[..., None])[..., 0]
        answers = np.einsum("bnd,bnd->bn", w, prompts.xs[:, 1:])
        return np.pad(answers, ((0, 0), (1, 0)))


def _candidates(config: OpenQuestionTransformers) -> dict[str, Predictor]:
    law = config.training.prompts
    if isinstance(law, NonlinearPrompts):
        first: dict[str, Predictor] = {"posterior_mean": NetworkPosteriorMean(law)}
    else:
        first = {"best_linear": BestLinear(_random_mixture(law))}
    return {**first, "least_squares": LeastSquares(), "zero": Zero()}


def _random_mixture(law: Prompts) -> RandomMixturePrompts:
    if not isinstance(law, RandomMixturePrompts):  # refused when the config was made
        raise TypeError(f"prompts are of kind {law.kind!r}; expected 'random-mixture'")
    return law


def _parts(config: OpenQuestionTransformers) -> tuple[str, ...]:
    return tuple(seed_parts(config.training))


def _compute(config: OpenQuestionTransformers, part: str, checkpoint: Checkpoint) -> Arrays:
    run = trained(seed_parts(config.training)[part], checkpoint)
    arrays = dict(training_arrays(run))
    law, known = config.training.prompts, _candidates(config)
    xs, ys, exact = law.sample(config.num_prompts, evaluation_stream(config.seed, _PROMPTS))
    prompts = PromptBatch(xs, ys[:, :-1])
    for seed, model in zip(run.config.seeds, run.models(), strict=True):
        rng = evaluation_stream(config.seed, _BOOTSTRAP)
        found = compare(
            ModelPredictor(model), known, prompts, exact, rng, trials=config.bootstrap_trials
        )
        bands = {f"error/{name}": found.errors[name] for name in known}
        bands[f"seed-{seed}/error"] = found.errors[found.model]
        bands[f"seed-{seed}/excess"] = found.excess[found.candidates[0]]
        for name, band in bands.items():
            arrays |= {key: values / law.dim for key, values in band.as_arrays(name).items()}
    return arrays


def _combine(config: OpenQuestionTransformers, parts: Mapping[str, Arrays]) -> Arrays:
    found = {name: array for arrays in parts.values() for name, array in arrays.items()}
    law = config.training.prompts
    floor = 1 - 1 / law.num_components if isinstance(law, RandomMixturePrompts) else np.nan
    return found | {"num_examples": prefix_lengths(law.num_examples), "floor": np.array(floor)}


def _smoke() -> dict[str, OpenQuestionTransformers]:
    model, steps = ModelConfig(layers=2, heads=2, width=16), Steps(100, 32, warm_up=20)
    laws: dict[str, Prompts] = {
        "nonlinear": NonlinearPrompts(2, 2, 0.5, 6, 4),
        "random mixtures": RandomMixturePrompts(2, 2, 0.1, 8),
    }
    return {
        label: OpenQuestionTransformers(
            TransformerTraining(law, model, steps, records=10), 128, bootstrap_trials=100
        )
        for label, law in laws.items()
    }


def _laptop() -> dict[str, OpenQuestionTransformers]:
    laws: dict[str, tuple[Prompts, int]] = {
        "nonlinear": (NonlinearPrompts(5, 5, 1.0, 15, 20), 5000),
        "random mixtures": (RandomMixturePrompts(2, 3, 0.1, 40), 5000),
    }
    return {
        label: OpenQuestionTransformers(
            TransformerTraining(law, ModelConfig(layers=3, heads=8, width=64), Steps(count, 64))
        )
        for label, (law, count) in laws.items()
    }


EXPERIMENTS: tuple[Experiment[OpenQuestionTransformers], ...] = (
    Experiment(
        name="pathak2023-open-questions",
        title="Transformers on nonlinear components, and on a mixture of its own for each prompt",
        source="Pathak et al. 2023, Section 4",
        config_type=OpenQuestionTransformers,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets={"smoke": _smoke(), "laptop": _laptop()},
    ),
)
