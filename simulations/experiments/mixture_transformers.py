"""Transformers trained on a mixture, beside the candidates: Pathak et al. 2023, Figures 2 to 6.

Arrays of a run, beside those of `simulations.experiments.transformer_training`; ``num_examples`` is
k = 0..K, all curves have one entry for each k, errors are those against <w, x_{k+1}>, divided by d
(the zero predictor has 1), distances are d_k^sq, not divided, and every curve has ``mean``,
``low``, ``high`` and ``standard_error``.

- ``error/CANDIDATE``, also ``/median``: of `candidates`: ``posterior_mean``, ``argmin``,
  ``ridge`` (penalty sigma^2), ``least_squares`` and ``zero``, and posterior mean and argmin with
  the components that EM and the subspace algorithm estimate (``posterior_mean_em``, ...).
- ``apart/CANDIDATE``: its distance from the posterior mean.
- ``seed-S/error``, also ``/median``, and ``seed-S/excess``: of the trained model, and over that of
  the posterior mean, paired.
- ``seed-S/distance/CANDIDATE``, ``seed-S/margin/CANDIDATE``: from the model to the candidate, and
  that less the distance to the posterior mean, paired.
- ``KIND/shifts``, ``KIND/posterior_mean``, ``seed-S/KIND``: errors on shifted prompts, shape
  (shifts, k + 1); the kinds are ``covariate-scaling``, ``weight-scaling``, ``weight-shift``.

For sigma = 0 the posterior mean is the argmin, and estimates, ridge and shifts are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from jaxtyping import Float

from simulations.bootstrap import bootstrap_band
from simulations.comparison import Comparison, compare
from simulations.experiments.error_curves import PromptLaw, prefix_lengths
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from simulations.experiments.fitted_mixtures import FittedMixtures, fit_components
from simulations.experiments.transformer_training import (
    evaluation_stream,
    seed_parts,
    trained,
    training_arrays,
)
from simulations.transformers import MixturePrompts, TrainingSet, TransformerTraining
from simulations.transformers.predictor import ModelPredictor
from simulations.transformers.presets import presets
from theory import (
    Argmin,
    LeastSquares,
    PosteriorMean,
    Predictor,
    PromptBatch,
    RegressionMixture,
    Ridge,
    Zero,
)
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "SHIFTS", "MixtureTransformers", "candidates"]

#: The shifts of Section 3.4 by kind.
SHIFTS: Final[Mapping[str, tuple[float, ...]]] = {
    "covariate-scaling": (0.33, 0.5, 1.0, 2.0, 3.0),
    "weight-scaling": (0.33, 0.5, 1.0, 2.0, 3.0),
    "weight-shift": (0.0, 0.25, 0.5, 0.75, 1.0),
}

#: Which algorithms estimate components, and what their arrays are called.
_ESTIMATES = {"em_spread": "em", "sa": "sa"}

#: Keys of the streams of the evaluation.
_PROMPTS, _BOOTSTRAP, _SHIFTED = 0, 1, 2

#: The part that needs no training.
_CANDIDATES = "candidates"


@dataclass(frozen=True)
class MixtureTransformers:
    """A training on a mixture, and the prompts that the trained models are judged by.

    Parameters
    ----------
    training
        On `simulations.transformers.MixturePrompts`.
    estimated_from
        How many prompts EM and the subspace algorithm have, >= m; that of the training set if
        there is one.
    num_prompts
        New prompts, >= 2, the same for every predictor and seed.
    bootstrap_trials
        Of the bands, >= 1.
    seed
        Of the new prompts, >= 0.

    Raises
    ------
    ValueError
        If a number is out of range, or the prompts of training are of another kind; all problems
        are listed at once.
    """

    training: TransformerTraining = field(default_factory=TransformerTraining)
    estimated_from: int = 15_000
    num_prompts: int = 8192
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("MixtureTransformers")
        least = {"num_prompts": 2, "bootstrap_trials": 1, "seed": 0}
        for name, lower in least.items():
            object.__setattr__(self, name, problems.count(name, getattr(self, name), lower))
        if not isinstance(self.training.prompts, MixturePrompts):
            problems.add(
                f"training.prompts are of kind {self.training.prompts.kind!r}; expected 'mixture'"
            )
        else:
            problems.count(
                "estimated_from", self.estimated_from, self.training.prompts.num_components
            )
        problems.raise_if_any()

    @property
    def prompts(self) -> MixturePrompts:
        """The law of the prompts."""
        law = self.training.prompts
        if not isinstance(law, MixturePrompts):  # refused when it was made
            raise TypeError(f"prompts are of kind {law.kind!r}; expected 'mixture'")
        return law


def candidates(config: MixtureTransformers) -> dict[str, Predictor]:
    """Return the predictors that trained models are compared with, the posterior mean first."""
    law, mixture = config.prompts, config.prompts.mixture
    found: dict[str, Predictor] = {"posterior_mean": PosteriorMean(mixture)}
    if law.noise_std > 0:
        found["argmin"] = Argmin(mixture)
        found["ridge"] = Ridge(law.noise_std**2)
    found |= {"least_squares": LeastSquares(), "zero": Zero()}
    return found


def _estimates(config: MixtureTransformers) -> dict[str, Predictor]:
    """Posterior mean and argmin with estimated components."""
    law = config.prompts
    if law.noise_std == 0 or law.num_examples < 3:
        return {}
    own = config.training.training_set
    size = config.estimated_from if own is None else own.size
    fits = FittedMixtures(
        size,
        law.num_components,
        law.dim,
        law.noise_std,
        law.num_examples,
        seed=law.components_seed,
    )
    found: dict[str, Predictor] = {}
    for fit, name in _ESTIMATES.items():
        components = fit_components(fits, fit)[f"{fit}/components"]
        mixture = RegressionMixture(components, law.noise_std)
        found |= {
            f"posterior_mean_{name}": PosteriorMean(mixture),
            f"argmin_{name}": Argmin(mixture),
        }
    return found


def _parts(config: MixtureTransformers) -> tuple[str, ...]:
    """Return the names of the parts: the candidates, and the seeds."""
    return (_CANDIDATES, *seed_parts(config.training))


def _compute(config: MixtureTransformers, part: str, checkpoint: Checkpoint) -> Arrays:
    """Train the models of a part and compare them; or compare the candidates with each other."""
    known = candidates(config)
    if part == _CANDIDATES:
        return _among_candidates(config, known)
    run = trained(seed_parts(config.training)[part], checkpoint)
    arrays = dict(training_arrays(run))
    known |= _estimates(config)
    for seed, model in zip(run.config.seeds, run.models(), strict=True):
        predictor = ModelPredictor(model)
        arrays |= _of_model(f"seed-{seed}", _compared(config, predictor, known), config.prompts.dim)
        if config.prompts.noise_std > 0:
            for kind in SHIFTS:
                arrays |= _shifted(config, kind, f"seed-{seed}/{kind}", predictor)
    return arrays


def _combine(config: MixtureTransformers, parts: Mapping[str, Arrays]) -> Arrays:
    """Put the arrays of all parts together."""
    found = {name: array for arrays in parts.values() for name, array in arrays.items()}
    shifts = {f"{kind}/shifts": np.array(values) for kind, values in SHIFTS.items()}
    return (
        found
        | (shifts if config.prompts.noise_std > 0 else {})
        | {
            "num_examples": prefix_lengths(config.prompts.num_examples),
            "components": config.prompts.mixture.components,
        }
    )


def _new_prompts(
    config: MixtureTransformers,
) -> tuple[PromptBatch, Float[np.ndarray, "batch prefixes"]]:
    """Draw the prompts that all predictors answer, and the labels without noise."""
    xs, ys, exact = config.prompts.sample(
        config.num_prompts, evaluation_stream(config.seed, _PROMPTS)
    )
    return PromptBatch(xs, ys[:, :-1]), exact


def _compared(
    config: MixtureTransformers, model: Predictor, known: Mapping[str, Predictor]
) -> Comparison:
    """Compare a model with candidates on the new prompts."""
    prompts, exact = _new_prompts(config)
    rng = evaluation_stream(config.seed, _BOOTSTRAP)
    return compare(model, known, prompts, exact, rng, trials=config.bootstrap_trials)


def _among_candidates(config: MixtureTransformers, known: Mapping[str, Predictor]) -> Arrays:
    """Errors of the candidates, and how far they are from the posterior mean."""
    rest = {**known, **_estimates(config)}
    reference = rest.pop("posterior_mean")
    prompts, exact = _new_prompts(config)
    rng = evaluation_stream(config.seed, _BOOTSTRAP)
    found = compare(
        reference,
        rest,
        prompts,
        exact,
        rng,
        name="posterior_mean",
        trials=config.bootstrap_trials,
    ).as_arrays()
    arrays = _renamed(found, "error", "error", 1 / config.prompts.dim)
    for name in rest:
        arrays |= _renamed(found, f"distance/{name}", f"apart/{name}")
    if config.prompts.noise_std > 0:
        for kind in SHIFTS:
            arrays |= _shifted(config, kind, f"{kind}/posterior_mean", reference)
    return arrays


def _of_model(start: str, found: Comparison, dim: int) -> Arrays:
    """Take what is about the model, and not about the candidates alone."""
    arrays = found.as_arrays()
    taken = _renamed(arrays, f"error/{found.model}", f"{start}/error", 1 / dim)
    taken |= _renamed(arrays, f"excess/{found.candidates[0]}", f"{start}/excess", 1 / dim)
    for name in found.candidates:
        taken |= _renamed(arrays, f"distance/{name}", f"{start}/distance/{name}")
        taken |= _renamed(arrays, f"margin/{name}", f"{start}/margin/{name}")
    return taken


def _renamed(arrays: Arrays, old: str, new: str, factor: float = 1.0) -> dict[str, np.ndarray]:
    """The arrays under one name, under another, times a number."""
    return {
        new + name.removeprefix(old): factor * array
        for name, array in arrays.items()
        if name.startswith(f"{old}/")
    }


def _shifted_law(law: MixturePrompts, kind: str, shift: float) -> PromptLaw:
    components, scale = law.mixture.components, 1.0
    if kind == "covariate-scaling":
        scale = shift
    elif kind == "weight-scaling":
        components = shift * components
    else:
        components = components + shift / np.sqrt(law.dim)
    return PromptLaw(components, scale, law.noise_std, law.num_examples)


def _shifted(config: MixtureTransformers, kind: str, start: str, predictor: Predictor) -> Arrays:
    """Errors on the prompts of every shift of a kind, noise not included, divided by d."""
    law, squares = config.prompts, []
    for shift in SHIFTS[kind]:
        prompts, exact = _shifted_law(law, kind, shift).sample(
            config.num_prompts, evaluation_stream(config.seed, _SHIFTED)
        )
        squares.append((predictor.predict_all_prefixes(prompts) - exact) ** 2 / law.dim)
    rng = evaluation_stream(config.seed, _BOOTSTRAP)
    band = bootstrap_band(np.concatenate(squares, axis=1), rng, trials=config.bootstrap_trials)
    curves = band.as_arrays(start)
    return {name: array.reshape(len(squares), -1) for name, array in curves.items()}


def _labelled(
    trainings: Mapping[str, TransformerTraining], **sizes: int
) -> dict[str, MixtureTransformers]:
    return {label: MixtureTransformers(t, **sizes) for label, t in trainings.items()}


def _fixed_sets() -> dict[str, MixtureTransformers]:
    """Sets of prompts that are small enough for a small model to learn by heart, and larger ones.

    As in Appendix C.1, dropout is for small sets only.
    """
    whole = presets("laptop")["m=5, sigma=1"]
    found = {}
    for size, dropout in ((1000, 0.1), (4000, 0.05), (15_000, 0.0), (60_000, 0.0)):
        training = replace(
            whole,
            model=replace(whole.model, dropout=dropout),
            steps=replace(whole.steps, count=3500),
            training_set=TrainingSet(size),
            seeds=(0,),
        )
        found[f"m=5, n={size}"] = MixtureTransformers(training)
    return found


def _smoke(training_set: TrainingSet | None = None) -> dict[str, MixtureTransformers]:
    whole = presets("smoke")["m=2"]
    steps = replace(whole.steps, count=100)
    training = replace(whole, steps=steps, training_set=training_set, records=10)
    return {"m=2": MixtureTransformers(training, 300, num_prompts=128, bootstrap_trials=100)}


def _experiment(
    name: str, title: str, figures: str, known: Mapping[Preset, Mapping[str, MixtureTransformers]]
) -> Experiment[MixtureTransformers]:
    return Experiment(
        name=name,
        title=title,
        source=f"Pathak et al. 2023, {figures}",
        config_type=MixtureTransformers,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets=known,
    )


EXPERIMENTS: tuple[Experiment[MixtureTransformers], ...] = (
    _experiment(
        "pathak2023-transformers",
        "Transformers trained on a mixture: errors, nearest candidates, shifted prompts",
        "Figures 2, 4, 5 and 6",
        {
            "smoke": _smoke(),
            "laptop": _labelled(presets("laptop")),
            # Appendix C: "mean squared errors computed over batch sizes of 256".
            "paper": _labelled(presets("paper"), estimated_from=60_000, num_prompts=256),
        },
    ),
    _experiment(
        "pathak2023-training-sets",
        "Transformers trained on a fixed set of n prompts, beside EM and the subspace algorithm",
        "Figure 3 and Appendix C.1",
        {"smoke": _smoke(TrainingSet(300)), "laptop": _fixed_sets()},
    ),
)
