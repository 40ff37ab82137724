"""The trained transformers that come with the program, for statements about them.

They are committed runs of the ``laptop`` presets: three layers (two for m = 2) of width 64,
d = 5. What is stated of them is stated at that size, which is not that of the papers: statements of
the papers about models of 12 layers and d = 20 stay open until such a model is trained.

A check has two parts. The limits that it claims are held to the stored curves, means over 8,192
prompts, by confidence limits. And whoever answers in the claim, the models with the stored weights,
must be who made the curves: they answer new prompts (`who_answers`), and the stored ones again
(`answered_again`), from which means and standard errors are computed anew.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from jaxtyping import Float

from papers.ledger import Evidence, Grade
from simulations.experiments.catalogue import find_experiment
from simulations.experiments.experiment import Arrays
from simulations.experiments.transformer_training import evaluation_stream, trained_predictor
from simulations.runs import Runs, laptop_results
from simulations.transformers import MixturePrompts, TransformerTraining
from simulations.transformers.models import new_model
from simulations.transformers.predictor import ModelPredictor
from theory import LeastSquares, Predictor, PromptBatch, Ridge

__all__ = [
    "PROMPTS",
    "ROUNDING",
    "STORED",
    "Estimates",
    "Found",
    "Subject",
    "TrainedModels",
    "answered_again",
    "committed_run",
    "curves",
    "evidence",
    "mixture_prompts",
    "same_curves",
    "trained",
    "trained_models",
    "untrained",
    "who_answers",
]


#: New prompts that are drawn in a check, and those of the stored curves.
PROMPTS, STORED = 512, 8192

#: What float32 may change in a mean over the stored prompts, relatively (to 0.01 at least).
ROUNDING = 1e-4


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
def committed_run(experiment: str, label: str) -> tuple[Any, Arrays]:
    """Read config and arrays of a committed run; its checksums are verified.

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
    return config, run.arrays


@cache
def trained_models(experiment: str, label: str) -> TrainedModels:
    """Read a committed run with its models; arguments and errors are those of `committed_run`."""
    config, arrays = committed_run(experiment, label)
    training: TransformerTraining = config.training
    models = {seed: trained_predictor(training, arrays, seed) for seed in training.seeds}
    return TrainedModels(label, training, models, arrays)


class Estimates(NamedTuple):
    """Means over prompts, with their standard errors; shape (points,) or a number each."""

    mean: Float[np.ndarray, "..."]
    error: Float[np.ndarray, "..."]

    @classmethod
    def stored(cls, arrays: Arrays, name: str) -> "Estimates":
        """Return a curve of a run; a standard error that is none counts as infinite."""
        error = arrays[f"{name}/standard_error"]
        return cls(arrays[f"{name}/mean"], np.where(error >= 0, error, np.inf))

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
    """Compare errors on new prompts with the stored medians, for every seed.

    Of n new errors the share below the true median has mean 1/2 and variance 1/4n, and that of the
    N stored ones below their own 1/2 up to 1/4N.

    Parameters
    ----------
    run, subject
        The models of a run on a mixture, and who answers.
    rng
        Where the new prompts are drawn from.
    z
        How many standard errors, sqrt(1/4n + 1/4N), are allowed.
    """
    law, stream = mixture_prompts(run), int(rng.integers(2**31))
    allowed = z * np.sqrt(1 / (4 * PROMPTS) + 1 / (4 * STORED))
    answering = subject(run)
    if missing := set(run.models) - set(answering):
        yield Found(np.inf, f"{run.label}: nobody answers for seeds {sorted(missing)}")
        return
    for seed, model in answering.items():
        errors = _new_errors(cast(Hashable, model), law, stream)
        medians = run.arrays[f"seed-{seed}/error/median"]
        off = np.abs(np.mean(errors < medians, axis=0) - 0.5)
        k = int(np.argmax(off))
        yield Found(
            float(off[k] / allowed),
            f"{run.label}, seed {seed}, k = {k}: who answers here has the median error"
            f" {np.median(errors[:, k]):.4f}, and the stored one is {medians[k]:.4f}",
        )


@cache
def _new_errors(model: Predictor, law: MixturePrompts, stream: int) -> Float[np.ndarray, "n k"]:
    """The errors of a predictor on new prompts; most claims of a check ask the same models."""
    xs, ys, exact = law.sample(PROMPTS, np.random.default_rng(stream))
    answers = model.predict_all_prefixes(PromptBatch(xs, ys[:, :-1]))
    return np.asarray((answers - exact) ** 2 / law.dim)


def answered_again(run: TrainedModels, subject: Subject, seeds: Collection[int]) -> Iterator[Found]:
    """Draw and answer the stored prompts again, and compare every kind of curve.

    By computations of their own: posterior mean, argmin, means, standard errors and medians.
    Not computed again are margins to candidates whose components EM and SA estimate.

    Parameters
    ----------
    run, subject
        The models of a run on a mixture, and who answers.
    seeds
        For which of them.
    """
    law, answering = mixture_prompts(run), subject(run)
    yield from same_curves(run, _among_candidates(law))
    first: dict[bytes, int] = {}
    for seed in seeds:
        model = answering[seed]
        answers = _answers(model, law) if isinstance(model, ModelPredictor) else _asked(model, law)
        if (other := first.setdefault(answers.tobytes(), seed)) != seed:
            yield Found(np.inf, f"{run.label}: seeds {other} and {seed} have one model")
        yield from same_curves(run, _of_model(f"seed-{seed}", answers, law))


def curves(name: str, rows: Float[np.ndarray, "n k"]) -> dict[str, Float[np.ndarray, " k"]]:
    """Return means over prompts and their standard errors, by the names of a run."""
    errors = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    return {f"{name}/mean": rows.mean(axis=0), f"{name}/standard_error": errors}


def same_curves(
    run: TrainedModels, again: Mapping[str, Float[np.ndarray, " k"]], place: int | None = None
) -> Iterator[Found]:
    """Compare curves that were computed again with the stored ones, to the rounding of float32.

    Parameters
    ----------
    run
        Whose arrays are compared.
    again
        The curves by the names of these.
    place
        Which row of the stored arrays it is, if they have several.
    """
    for name, values in again.items():
        stored = run.arrays[name] if place is None else run.arrays[name][place]
        off = np.abs(values - stored) / (ROUNDING * np.maximum(np.abs(stored), 0.01))
        k = int(np.argmax(off))
        yield Found(
            float(off[k]),
            f"{run.label}, {name}, k = {k}: the stored prompts are answered again with"
            f" {values[k]:.6f}, and stored is {stored[k]:.6f}",
        )


def _of_model(
    start: str, answers: Float[np.ndarray, "n k"], law: MixturePrompts
) -> dict[str, Float[np.ndarray, " k"]]:
    """The curves of a model: errors and excess divided by d, distances and margins not."""
    there = _stored_prompts(law)
    own, optimal = (answers - there.exact) ** 2 / law.dim, (there.best - there.exact) ** 2 / law.dim
    away = (answers - there.best) ** 2
    found = {
        **curves(f"{start}/error", own),
        f"{start}/error/median": np.median(own, axis=0),
        **curves(f"{start}/excess", own - optimal),
        **curves(f"{start}/distance/posterior_mean", away),
    }
    for name, others in there.others.items():
        found |= curves(f"{start}/margin/{name}", (answers - others) ** 2 - away)
    return found


@cache
def _among_candidates(law: MixturePrompts) -> dict[str, Float[np.ndarray, " k"]]:
    """How far the argmin is from the posterior mean; medians of ridge and least squares."""
    there = _stored_prompts(law)
    found = curves("apart/argmin", (there.others["argmin"] - there.best) ** 2)
    for name in ("ridge", "least_squares"):
        errors = (there.others[name] - there.exact) ** 2 / law.dim
        found[f"error/{name}/median"] = np.median(errors, axis=0)
    return found


class StoredPrompts(NamedTuple):
    """The prompts of the stored curves, with labels without noise and the answers of predictors.

    Attributes
    ----------
    prompts, exact
        They, and their labels without noise.
    best
        What the posterior mean answers.
    others
        What argmin, ridge, least squares and zero answer.
    """

    prompts: PromptBatch
    exact: Float[np.ndarray, "n k"]
    best: Float[np.ndarray, "n k"]
    others: Mapping[str, Float[np.ndarray, "n k"]]


def _asked(model: Predictor, law: MixturePrompts) -> Float[np.ndarray, "n k"]:
    return model.predict_all_prefixes(_stored_prompts(law).prompts)


#: Models are asked once: several statements are about the same ones.
_answers = cache(_asked)


@cache
def _stored_prompts(law: MixturePrompts) -> StoredPrompts:
    """Draw them again, as `simulations.experiments.mixture_transformers` does for its seed 0."""
    xs, ys, exact = law.sample(STORED, evaluation_stream(0, 0))
    prompts = PromptBatch(xs, ys[:, :-1])
    components, variance = law.mixture.components, law.noise_std**2
    said = np.einsum("bnd,md->bnm", xs, components)
    scores = np.cumsum((said[:, :-1] - ys[:, :-1, None]) ** 2, axis=1) / (2 * variance)
    scores = np.pad(scores, ((0, 0), (1, 0), (0, 0)))
    weights = np.exp(scores.min(axis=2, keepdims=True) - scores)
    best = np.sum(weights * said, axis=2) / np.sum(weights, axis=2)
    nearest = np.take_along_axis(said, scores.argmin(axis=2)[..., None], axis=2)[..., 0]
    nearest[:, 0] = said[:, 0].mean(axis=1)
    others = {
        "argmin": nearest,
        "ridge": Ridge(variance).predict_all_prefixes(prompts),
        "least_squares": LeastSquares().predict_all_prefixes(prompts),
        "zero": np.zeros_like(exact),
    }
    return StoredPrompts(prompts, exact, best, others)


def mixture_prompts(run: TrainedModels) -> MixturePrompts:
    """Return the law that models were trained on.

    Raises
    ------
    TypeError
        If it is no mixture.
    """
    law = run.training.prompts
    if not isinstance(law, MixturePrompts):
        raise TypeError(f"{run.label}: prompts are of kind {law.kind!r}; expected 'mixture'")
    return law
