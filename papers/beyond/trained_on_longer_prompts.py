r"""Prompts longer than those of training: the spike of zhang2024, Figure 1, and its cause.

"We conjecture that this spike in error comes from the absolute positional encodings." Four GPT-2s
(d = 5, N = 20, one seed each), with learned positions or none, trained on fixed or on random
covariances, answer prompts of up to 50 examples; positions beyond N were drawn at random and not
trained. The curves are stored, means over 4,096 prompts; who answers in the check answers new
prompts of every law, whose mean errors must be within a factor of the stored ones, and the stored
ones again: those of one law and model, drawn anew for each seed, or in the full tier all.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float

from papers.beyond.trained_models import (
    Estimates,
    Found,
    Subject,
    TrainedModels,
    curves,
    evidence,
    same_curves,
    trained,
    trained_models,
    untrained,
)
from papers.false_alarms import largest_z
from papers.ledger import Evidence, statement
from simulations.experiments.transformer_training import evaluation_stream
from simulations.transformers import GaussianPrompts
from simulations.transformers.predictor import ModelPredictor
from theory import Predictor, PromptBatch

EXPERIMENT = "zhang2024-transformers"

#: N, and the longest prompts.
LENGTH, LONGEST = 20, 50

#: New prompts, and the factor that the mean of their heavy-tailed errors is within: of 40 draws of
#: all eight curves the farthest was off by 2.9. What is nearer, the stored prompts tell apart.
PROMPTS, FACTOR = 512, 4.0

#: The prompts of the stored curves, and their laws in the order of their streams.
STORED, LAWS = 4096, ("fixed", "random-1", "random-4", "random-9")

#: Of all comparisons of a check: covariances, laws, and the lengths beyond N of both models, and N.
Z = largest_z(2 * 2 * (2 * (LONGEST - LENGTH) + 1))


@dataclass(frozen=True)
class SpikeClaim:
    """Errors at N < M <= 50 over that at M = N, with and without learned positions.

    Parameters
    ----------
    spike
        With learned positions they are at least so many times as large, at every such M.
    level
        Without positions they are at most so many times as large, by the law of the prompts. That
        is what 4,096 prompts establish; in their means it is 0.97 (fixed) and 1.09 (random), whose
        heavy tails make the confidence limits wide.
    cost
        At M = N a model without positions errs at least so many times as much as one with.
    with_positions, without
        The positions of either kind of model, as in `simulations.transformers.ModelConfig`.
    subject
        Who answers.
    """

    spike: float = 3.0
    level: Mapping[str, float] = field(default_factory=lambda: {"fixed": 2.0, "random-1": 2.8})
    cost: float = 3.0
    with_positions: str = "learned"
    without: str = "none"
    subject: Subject = trained


def _label(covariance: str, positions: str) -> str:
    return f"{covariance} covariance, positions {positions}"


#: The labels of the four runs.
LABELS = tuple(_label(c, p) for c in ("fixed", "random") for p in ("learned", "none"))


def _drawn(
    run: TrainedModels, law: str, size: int, rng: np.random.Generator
) -> tuple[PromptBatch, Float[np.ndarray, "n M"]]:
    """Draw prompts of a law ("fixed", "random-C"), and their labels without noise."""
    _, _, scale = law.partition("-")
    covariance: Literal["identity", "exponential"] = "exponential" if scale else "identity"
    prompts = GaussianPrompts(run.training.prompts.dim, 0.0, LONGEST, covariance)
    xs, _, exact = prompts.sample(size, rng)
    # Labels have no noise, and are linear in the covariates.
    root = np.sqrt(float(scale or 1))
    return PromptBatch(root * xs, root * exact[:, :-1]), root * exact


@cache
def _new_errors(model: Predictor, label: str, law: str, stream: int) -> Float[np.ndarray, " M"]:
    """The mean errors of a model on new prompts; most claims of a check ask the same models."""
    rng = np.random.default_rng((stream, LAWS.index(law)))
    prompts, exact = _drawn(trained_models(EXPERIMENT, label), law, PROMPTS, rng)
    squares = (model.predict_all_prefixes(prompts) - exact) ** 2 / prompts.dim
    return np.asarray(squares.mean(axis=0))


def _who_answers(label: str, claim: SpikeClaim, stream: int) -> Iterator[Found]:
    """Compare the mean errors of new prompts of each law, at every length, with the stored ones."""
    run = trained_models(EXPERIMENT, label)
    answering = claim.subject(run)
    if missing := set(run.models) - set(answering):
        yield Found(np.inf, f"{label}: nobody answers for seeds {sorted(missing)}")
        return
    for law in claim.level:
        for seed, model in answering.items():
            means = _new_errors(cast(Hashable, model), label, law, stream)
            stored = run.arrays[f"seed-{seed}/{law}/mean"]
            ratios = np.maximum(means / stored, stored / means)
            M = int(np.argmax(ratios))
            yield Found(
                float(ratios[M] / FACTOR),
                f"{label}, {law}, M = {M}: who answers here has the error {means[M]:.4f}, and the"
                f" stored one is {stored[M]:.4f}",
            )


def _again(label: str, law: str, subject: Subject) -> Iterator[Found]:
    """Draw and answer the stored prompts of a law again."""
    run = trained_models(EXPERIMENT, label)
    prompts, exact = _drawn(run, law, STORED, evaluation_stream(0, 0, LAWS.index(law)))
    for seed, model in subject(run).items():
        squares = (model.predict_all_prefixes(prompts) - exact) ** 2 / prompts.dim
        yield from same_curves(run, curves(f"seed-{seed}/{law}", squares))


def _untrained_positions_are_zero(run: TrainedModels) -> Mapping[int, Predictor]:
    """The models with zeros in the place of positions that were not trained, if they have any."""
    found = {}
    for seed, own in run.models.items():
        model = deepcopy(own.model)
        if run.training.model.positions == "learned":
            with torch.no_grad():
                model.get_parameter("positions")[2 * LENGTH + 1 :] = 0
        found[seed] = ModelPredictor(model)
    return found


def _found(claim: SpikeClaim, rng: np.random.Generator) -> Iterator[Found]:
    stream = int(rng.integers(2**31))
    for covariance in ("fixed", "random"):
        ends = {}
        for positions in (claim.with_positions, claim.without):
            label = _label(covariance, positions)
            yield from _who_answers(label, claim, stream)
            arrays = trained_models(EXPERIMENT, label).arrays
            for law in claim.level:
                curve = Estimates.stored(arrays, f"seed-0/{law}")
                ends[positions, law] = curve.at(LENGTH)
                beyond = curve.at(slice(LENGTH + 1, LONGEST + 1))
                if positions == claim.with_positions:
                    yield _spike(claim.spike, label, law, curve.at(LENGTH), beyond)
                else:
                    yield _level(claim.level[law], label, law, curve.at(LENGTH), beyond)
        for law in claim.level:
            own, other = ends[claim.without, law], ends[claim.with_positions, law]
            yield Found(
                float(claim.cost * other.above(Z) / own.below(Z)),
                f"{covariance} covariance, {law}, M = N: the error is {own.mean:.4f} without"
                f" positions, and {other.mean:.4f} with: not surely {claim.cost:g} times as large",
            )


def _spike(times: float, label: str, law: str, end: Estimates, beyond: Estimates) -> Found:
    least = beyond.below(Z)
    M = LENGTH + 1 + int(np.argmin(least))
    return Found(
        float(times * end.above(Z) / max(least.min(), 1e-300)),
        f"{label}, {law}, M = {M}: the error is {beyond.mean[M - LENGTH - 1]:.4f}, at M = N"
        f" {end.mean:.4f}: not surely {times:g} times as large",
    )


def _level(times: float, label: str, law: str, end: Estimates, beyond: Estimates) -> Found:
    most = beyond.above(Z)
    M = LENGTH + 1 + int(np.argmax(most))
    return Found(
        float(most.max() / (times * end.below(Z))),
        f"{label}, {law}, M = {M}: the error is {beyond.mean[M - LENGTH - 1]:.4f}, at M = N"
        f" {end.mean:.4f}: not surely at most {times:g} times as large",
    )


def _full(claim: SpikeClaim, rng: np.random.Generator) -> Evidence:
    """Let every model answer the stored prompts of every law again."""
    found = (_again(label, law, claim.subject) for label in LABELS for law in claim.level)
    return _evidence(claim, rng, chain.from_iterable(found), "all models answer them again")


def _evidence(
    claim: SpikeClaim, rng: np.random.Generator, again: Iterable[Found], told: str
) -> Evidence:
    return evidence(
        chain(_found(claim, rng), again),
        "ratios of confidence limits of errors over what is claimed; errors on new prompts against"
        f" the stored ones, within a factor {FACTOR:g}, and on the stored ones again; the largest",
        f"four committed models, {STORED:,} stored prompts of each law up to M = {LONGEST}, {told};"
        f" and {PROMPTS} new ones of each",
    )


_SPIKE = SpikeClaim()


@statement(
    id="beyond/positions-cause-the-spike",
    title="Learned positions cause the spike beyond the length of training; without them none",
    source="zhang2024, Section 4.3 and Figure 1, the conjecture on positional encodings, at d = 5",
    latex=r"\text{with learned positions } \mathrm{err}(M) \ge 3\,\mathrm{err}(N),\quad"
    r" \text{without } \mathrm{err}(M) \le c\,\mathrm{err}(N),\ c = 2\ (I),\ 2.8 \text{ (random)}"
    r" \quad (N < M \le 50);\quad"
    r" \mathrm{err}(N) \text{ without is } \ge 3 \text{ times that with}",
    printed=_SPIKE,
    mutants={
        "without positions, too": replace(_SPIKE, with_positions="none", without="learned"),
        "without positions the error falls by half": replace(_SPIKE, level={"fixed": 0.5}),
        "a spike of a hundred times everywhere": replace(_SPIKE, spike=100.0),
        "for large covariates, too": replace(_SPIKE, level={"random-9": 2.8}),
        "without positions it rises by a tenth at most": replace(_SPIKE, level={"fixed": 1.1}),
        "without positions a hundred times is lost": replace(_SPIKE, cost=100.0),
        "before training": replace(_SPIKE, subject=untrained),
        "with zeros for untrained positions": replace(
            _SPIKE, subject=_untrained_positions_are_zero
        ),
    },
    hypotheses=(
        "GPT-2 of 3 layers, 8 heads, width 64, one seed each; trained with N = 20",
        "positions beyond N as drawn at the start",
    ),
    depends_on=(),
    beyond=True,
    full=_full,
)
def SPIKE(claim: SpikeClaim, rng: np.random.Generator) -> Evidence:
    """Hold the stored curves to the claim, and the stored weights to the curves.

    For covariates of thrice the size (C = 9) the error at N is large itself, and the spike is not
    three times as large: the decrease that the paper leaves unexplained.
    """
    label, law = str(rng.choice(LABELS)), str(rng.choice(list(claim.level)))
    again = _again(label, law, claim.subject)
    return _evidence(claim, rng, again, "one model, drawn, answers those of one law again")


STATEMENTS = (SPIKE,)
