"""The trained transformers that come with the program, for statements about them.

They are committed runs of the ``laptop`` presets: three layers (two for m = 2) of width 64, d = 5
or 10. What is stated of them is stated at that size, which is not that of the papers: statements of
the papers about models of 12 layers and d = 20 stay open until such a model is trained.

A check has two parts. The limits that it claims are held to the stored curves, means over 8,192
prompts, by confidence limits. And whoever answers in the claim, the models with the stored weights,
answers some new prompts, drawn in the check: about half of the errors must be below the medians
that are stored. That holds whatever the law of the errors, whose means a few large ones decide.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from papers.ledger import Evidence, Grade
from simulations.experiments.catalogue import find_experiment
from simulations.experiments.experiment import Arrays
from simulations.experiments.transformer_training import trained_predictor
from simulations.runs import Runs, laptop_results
from simulations.transformers import TransformerTraining
from simulations.transformers.models import new_model
from simulations.transformers.predictor import ModelPredictor
from theory import Predictor, PromptBatch

__all__ = [
    "PROMPTS",
    "STORED",
    "Estimates",
    "Found",
    "Subject",
    "TrainedModels",
    "evidence",
    "trained",
    "trained_models",
    "untrained",
    "who_answers",
]


#: New prompts that are drawn in a check, and those of the stored curves.
PROMPTS, STORED = 512, 8192


class TrainedModels(NamedTuple):
    """The models of a committed run.

    Attributes
    ----------
    label
        Of the run in its preset.
    training
        What they were trained on.
    models
        By seed.
    arrays
        Everything that the run stored.
    """

    label: str
    training: TransformerTraining
    models: dict[int, ModelPredictor]
    arrays: Arrays


#: Who answers in a check: predictors by seed.
Subject: TypeAlias = Callable[[TrainedModels], Mapping[int, Predictor]]


def trained(run: TrainedModels) -> Mapping[int, Predictor]:
    """Return the models of a run."""
    return run.models


def untrained(run: TrainedModels) -> Mapping[int, Predictor]:
    """Return the models of a run as they were before their first step."""
    return {seed: ModelPredictor(new_model(run.training, seed).eval()) for seed in run.models}


@cache
def trained_models(experiment: str, label: str) -> TrainedModels:
    """Read a committed run; its checksums are verified.

    Parameters
    ----------
    experiment
        Its name, such as ``pathak2023-transformers``.
    label
        Of its preset ``laptop``.

    Raises
    ------
    LookupError
        If it is not there; the message has the command that makes it.
    """
    known = find_experiment(experiment)
    config: Any = known.presets["laptop"][label]
    run = Runs(laptop_results()).find_any_code(known, config)
    if run is None:
        raise LookupError(
            f"there is no committed run {label!r} of {experiment} in {laptop_results().root}; make"
            f" it with: iclproof runs start {experiment} --label {label!r}"
        )
    training: TransformerTraining = config.training
    models = {seed: trained_predictor(training, run.arrays, seed) for seed in training.seeds}
    return TrainedModels(label, training, models, run.arrays)


class Estimates(NamedTuple):
    """Means over prompts, with their standard errors; shape (points,) or a number each."""

    mean: Float[np.ndarray, "..."]
    error: Float[np.ndarray, "..."]

    @classmethod
    def stored(cls, arrays: Arrays, name: str) -> "Estimates":
        """Return a curve of a run."""
        return cls(arrays[f"{name}/mean"], arrays[f"{name}/standard_error"])

    def at(self, place: Any) -> "Estimates":
        """Return some points."""
        return Estimates(self.mean[place], self.error[place])

    def below(self, z: float) -> Float[np.ndarray, "..."]:
        """Return lower confidence limits."""
        return np.asarray(self.mean - z * self.error)

    def above(self, z: float) -> Float[np.ndarray, "..."]:
        """Return upper confidence limits."""
        return np.asarray(self.mean + z * self.error)


class Found(NamedTuple):
    """The share of a limit that was found, above 1 beyond it, and what to say if it is."""

    share: float
    told: str


def evidence(found: Iterator[Found], comparison: str, scope: str) -> Evidence:
    """Return the evidence of shares of limits: the first beyond its limit is the counterexample.

    Parameters
    ----------
    found
        The shares; not looked at beyond the first counterexample.
    comparison, scope
        As in `papers.ledger.Evidence`.
    """
    worst, wrong = 0.0, ""
    for share, told in found:
        worst = max(worst, share)
        if not share <= 1:
            wrong = told
            break
    return Evidence(not wrong, Grade.TRAINED, comparison, scope, worst, 1.0, wrong)


def who_answers(
    run: TrainedModels, subject: Subject, rng: np.random.Generator, z: float
) -> Iterator[Found]:
    """Compare who answers with the stored medians of the squared errors, at every k.

    Of n new errors the share below the true median has mean 1/2 and variance 1/4n, and that of the
    N stored ones below their own 1/2 up to 1/4N: by z standard errors, z sqrt(1/4n + 1/4N).

    Parameters
    ----------
    run, subject
        The models, and who answers.
    rng
        Where the new prompts are drawn from.
    z
        How many standard errors are allowed.
    """
    law = run.training.prompts
    xs, ys, exact = law.sample(PROMPTS, rng)
    prompts = PromptBatch(xs, ys[:, :-1])
    allowed = z * np.sqrt(1 / (4 * PROMPTS) + 1 / (4 * STORED))
    for seed, model in subject(run).items():
        errors = (model.predict_all_prefixes(prompts) - exact) ** 2 / law.dim
        medians = run.arrays[f"seed-{seed}/error/median"]
        off = np.abs(np.mean(errors < medians, axis=0) - 0.5)
        k = int(np.argmax(off))
        yield Found(
            float(off[k] / allowed),
            f"{run.label}, seed {seed}, k = {k}: who answers here has the median error"
            f" {np.median(errors[:, k]):.4f}, and the stored one is {medians[k]:.4f}",
        )
