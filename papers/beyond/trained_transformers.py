r"""Trained transformers beside the posterior mean: Figures 2 and 4 of pathak2023, at d = 5.

The models are committed runs, three seeds each: see `papers.beyond.trained_models`. What is not
shown at this size is anything about d = 20 and 12 layers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import torch

from papers.beyond.trained_models import (
    PROMPTS,
    STORED,
    Estimates,
    Found,
    Subject,
    TrainedModels,
    answered_again,
    evidence,
    mixture_prompts,
    trained,
    trained_models,
    untrained,
    who_answers,
)
from papers.false_alarms import largest_z
from papers.ledger import Evidence, statement
from simulations.transformers.predictor import ModelPredictor
from theory import PosteriorMean, Predictor, Ridge

EXPERIMENT = "pathak2023-transformers"

#: The most excess at k = K, by label: the limits that issue 7 asks for.
LABELS = {"m=2, sigma=1": 0.01, "m=5, sigma=1": 0.03}

#: Of all comparisons of a check: labels, seeds, prefixes and candidates.
Z = largest_z(1000)


#: Which seeds answer the stored prompts again.
Which: TypeAlias = Callable[[TrainedModels, np.random.Generator], Sequence[int]]


def _one(run: TrainedModels, rng: np.random.Generator) -> Sequence[int]:
    return [int(rng.choice(list(run.models)))]


def _all(run: TrainedModels, rng: np.random.Generator) -> Sequence[int]:
    return list(run.models)


@dataclass(frozen=True)
class ErrorsClaim:
    """The excess of the error over that of the posterior mean, divided by d, is small.

    Parameters
    ----------
    at_full
        The most at k = K, by label.
    everywhere
        The most at every k >= 1.
    below
        Whose median errors are larger at every k <= d - 2.
    subject
        Who answers.
    """

    at_full: Mapping[str, float]
    everywhere: float
    below: tuple[str, ...] = ("ridge", "least_squares")
    subject: Subject = trained


def _errors(
    claim: ErrorsClaim, label: str, rng: np.random.Generator, which: Which
) -> Iterator[Found]:
    run = trained_models(EXPERIMENT, label)
    yield from who_answers(run, claim.subject, rng, Z)
    yield from answered_again(run, claim.subject, which(run, rng))
    d, K = run.training.prompts.dim, run.training.prompts.num_examples
    for seed in run.models:
        limits = Estimates.stored(run.arrays, f"seed-{seed}/excess").above(Z)
        for k in range(1, K + 1):
            most = claim.at_full[label] if k == K else claim.everywhere
            # A limit of 0 is passed by whatever is above it.
            share = limits[k] / most if most > 0 else np.inf * np.sign(limits[k])
            yield Found(
                float(share),
                f"{label}, seed {seed}, k = {k}: the excess is up to {limits[k]:.4f}, and the claim"
                f" says {most:g}",
            )
        own = run.arrays[f"seed-{seed}/error/median"]
        for name in claim.below:
            other = run.arrays[f"error/{name}/median"]
            for k in range(1, d - 1):
                yield Found(
                    float(own[k] / other[k]),
                    f"{label}, seed {seed}, k = {k}: the median error is {own[k]:.4f}, that of"
                    f" {name} {other[k]:.4f}",
                )


def _scope(which: Which) -> str:
    told = "all models" if which is _all else "one model of each, drawn,"
    return (
        f"committed models {'; '.join(LABELS)} (d = 5, K = 15, width 64, three seeds each),"
        f" {STORED:,} stored prompts, which {told} answered again, and {PROMPTS} new ones"
    )


def _of_another_mixture(run: TrainedModels) -> Mapping[int, Predictor]:
    """The posterior mean of components that were not trained on."""
    law = mixture_prompts(run)
    other = PosteriorMean(replace(law, components_seed=law.components_seed + 1).mixture)
    return dict.fromkeys(run.models, other)


def _posterior_mean(run: TrainedModels) -> Mapping[int, Predictor]:
    return dict.fromkeys(run.models, PosteriorMean(mixture_prompts(run).mixture))


def _ridge(run: TrainedModels) -> Mapping[int, Predictor]:
    return dict.fromkeys(run.models, Ridge(run.training.prompts.noise_std**2))


def _seeds_exchanged(run: TrainedModels) -> Mapping[int, Predictor]:
    seeds = list(run.models)
    turned = [*seeds[1:], seeds[0]]
    return {seed: run.models[other] for seed, other in zip(seeds, turned, strict=True)}


def _one_percent_more(run: TrainedModels) -> Mapping[int, Predictor]:
    """The models with a read-out that is 1 % too large."""
    found = {}
    for seed, own in run.models.items():
        model = deepcopy(own.model)
        with torch.no_grad():
            for p in model.get_submodule("read_out").parameters():
                p.mul_(1.01)
        found[seed] = ModelPredictor(model)
    return found


def _judge_errors(claim: ErrorsClaim, rng: np.random.Generator, which: Which) -> Evidence:
    found = (share for label in claim.at_full for share in _errors(claim, label, rng, which))
    return evidence(
        found,
        "upper confidence limits of the excess over what is claimed; median errors over"
        " those of ridge and least squares at k <= d - 2; errors on new prompts against the"
        " stored medians, and curves of the stored prompts again, over their limit; the largest",
        _scope(which),
    )


def _all_errors(claim: ErrorsClaim, rng: np.random.Generator) -> Evidence:
    """Let every model answer the stored prompts again."""
    return _judge_errors(claim, rng, _all)


_ERRORS = ErrorsClaim(LABELS, 0.06)


@statement(
    id="beyond/trained-errors",
    title="Small transformers trained on a mixture are nearly as good as the posterior mean",
    source="pathak2023, Section 3.1 and Figure 2, at d = 5, m = 2 and 5, sigma = 1",
    latex=r"\tfrac1d\mathbf{E}\left[(f(P) - \langle w, x_{k+1}\rangle)^2 - (f^*_\pi(P) -"
    r" \langle w, x_{k+1}\rangle)^2\right] \le 0.06 \text{ for } 1 \le k \le 15,\quad \le 0.01"
    r"\ (m = 2),\ 0.03\ (m = 5) \text{ for } k = 15",
    printed=_ERRORS,
    mutants={
        "no worse than the posterior mean": replace(_ERRORS, at_full=dict.fromkeys(LABELS, 0.0)),
        "a tenth of the excess everywhere": replace(_ERRORS, everywhere=0.006),
        "before training": replace(_ERRORS, subject=untrained),
        "the posterior mean of other components": replace(_ERRORS, subject=_of_another_mixture),
        "ridge regression": replace(_ERRORS, subject=_ridge),
        "every seed in the place of another": replace(_ERRORS, subject=_seeds_exchanged),
        "answers 1 % larger": replace(_ERRORS, subject=_one_percent_more),
        "below the posterior mean, too": replace(_ERRORS, below=("posterior_mean",)),
    },
    hypotheses=("the laptop preset, three seeds each",),
    depends_on=("pathak2023/display-4-optimal",),
    beyond=True,
    full=_all_errors,
)
def ERRORS(claim: ErrorsClaim, rng: np.random.Generator) -> Evidence:
    """Hold the stored curves to the limits, and the stored weights to the curves."""
    return _judge_errors(claim, rng, _one)


_FARTHER = {
    "argmin": 5,
    "ridge": 5,
    "zero": 5,
    "posterior_mean_sa": 5,
    "argmin_sa": 5,
    "argmin_em": 5,
    "least_squares": 3,
}


@dataclass(frozen=True)
class NearestClaim:
    """Of the candidates one is nearest to the models, and near.

    Parameters
    ----------
    farther
        Candidates that are farther than the posterior mean at every k >= 1 up to this one: d = 5,
        and d - 2 for least squares, whose squares have no finite variance beyond.
    share
        At k = 1 and 2 the squared distance to the posterior mean is at most this share of that
        between posterior mean and argmin.
    alike
        A candidate whose distance differs from that to the posterior mean by at most this share of
        it, at every k from 1 to d, and the share.
    subject
        Who answers.
    """

    farther: Mapping[str, int] = field(default_factory=lambda: dict(_FARTHER))
    share: float = 0.25
    alike: tuple[str, float] = ("posterior_mean_em", 0.02)
    subject: Subject = trained


def _nearest(
    claim: NearestClaim, label: str, rng: np.random.Generator, which: Which
) -> Iterator[Found]:
    run = trained_models(EXPERIMENT, label)
    yield from who_answers(run, claim.subject, rng, Z)
    yield from answered_again(run, claim.subject, which(run, rng))
    apart = Estimates.stored(run.arrays, "apart/argmin")
    for seed in run.models:
        near = Estimates.stored(run.arrays, f"seed-{seed}/distance/posterior_mean")
        for k in (1, 2):
            # Both are means over the same prompts: their errors add up by no more than hypot if
            # they are not negatively correlated.
            error = np.hypot(near.error[k], claim.share * apart.error[k])
            yield Found(
                float((near.mean[k] + Z * error) / (claim.share * apart.mean[k])),
                f"{label}, seed {seed}, k = {k}: d^sq to the posterior mean is {near.mean[k]:.4f},"
                f" not surely at most {claim.share:g} of that to the argmin from there,"
                f" {apart.mean[k]:.4f}",
            )
        for name, until in claim.farther.items():
            margin = Estimates.stored(run.arrays, f"seed-{seed}/margin/{name}")
            for k in range(1, until + 1):
                mean = float(margin.mean[k])
                yield Found(
                    float(Z * margin.error[k] / mean) if mean > 0 else np.inf,
                    f"{label}, seed {seed}, k = {k}: d^sq to {name} is {margin.mean[k]:.4f} more"
                    f" than the {near.mean[k]:.4f} to the posterior mean: not surely farther",
                )
        name, share = claim.alike
        margin = Estimates.stored(run.arrays, f"seed-{seed}/margin/{name}")
        for k in range(1, run.training.prompts.dim + 1):
            yield Found(
                float(abs(margin.mean[k]) / (share * near.mean[k])),
                f"{label}, seed {seed}, k = {k}: d^sq to {name} is {margin.mean[k]:.5f} more than"
                f" the {near.mean[k]:.4f} to the posterior mean",
            )


def _judge_nearest(claim: NearestClaim, rng: np.random.Generator, which: Which) -> Evidence:
    found = (share for label in LABELS for share in _nearest(claim, label, rng, which))
    return evidence(
        found,
        "Z standard errors over how much farther a candidate is; distances over what"
        " is claimed; errors on new prompts against the stored medians, and curves of the stored"
        " prompts again (but margins to estimates by EM and SA, which are read only), over their"
        " limit",
        _scope(which),
    )


def _all_nearest(claim: NearestClaim, rng: np.random.Generator) -> Evidence:
    """Let every model answer the stored prompts again."""
    return _judge_nearest(claim, rng, _all)


_NEAREST = NearestClaim()


@statement(
    id="beyond/trained-nearest",
    title="Posterior means, by true or EM components, are nearest to small trained transformers",
    source="pathak2023, Section 3.3 and Figure 4, at d = 5, m = 2 and 5, sigma = 1",
    latex=r"d_k^{\mathrm{sq}}(f, f^*_\pi) < d_k^{\mathrm{sq}}(f, g),\ 1 \le k \le d,\ g \text{ the"
    r" argmin, by true, EM and SA components, } f^*_{\hat\pi} \text{ by SA, ridge, }"
    r" 0, \text{ and least squares for } k \le d - 2;\quad d_k^{\mathrm{sq}}(f, f^*_\pi) \le"
    r" \tfrac14 d_k^{\mathrm{sq}}(f^*_\pi, \text{argmin}),\ k = 1, 2",
    printed=_NEAREST,
    mutants={
        "at every k up to K": replace(_NEAREST, farther={"argmin": 15}),
        "farther from the posterior mean by EM, too": replace(
            _NEAREST, farther={"posterior_mean_em": 5}
        ),
        "the argmin is as near": replace(_NEAREST, alike=("argmin", 0.02)),
        "a hundredth in the place of a quarter": replace(_NEAREST, share=0.01),
        "before training": replace(_NEAREST, subject=untrained),
        "the posterior mean itself": replace(_NEAREST, subject=_posterior_mean),
    },
    hypotheses=(
        "the laptop preset, three seeds each",
        "EM and SA from 15,000 prompts; squared distances to the posterior means by true and by EM"
        " components differ by at most 2 %: which of them is nearer differs between seeds",
        "least squares at k <= d - 2 only: its squares have no finite variance from d - 1 on",
    ),
    depends_on=("beyond/trained-errors", "pathak2023/section-3-3-distance"),
    beyond=True,
    full=_all_nearest,
)
def NEAREST(claim: NearestClaim, rng: np.random.Generator) -> Evidence:
    """Hold the stored, paired distances to the claim, and the stored weights to the curves."""
    return _judge_nearest(claim, rng, _one)


STATEMENTS = (ERRORS, NEAREST)
