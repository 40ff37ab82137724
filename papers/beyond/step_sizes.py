r"""The step size 0.1 of pathak2023, Appendix C: with it small transformers learn nothing.

"We trained our transformers using Adam, with a constant step size of 0.1." The recipe that it
follows (Garg et al. 2022) has Adam at 1e-4, which is 0.1 times 1e-3, torch's default for Adam: a
factor of the default is what the printed number can mean. A model that tells nothing from the
examples can at best answer with the prior mean wbar, whose loss is

    sigma^2 + (1/m) sum_j |w_j - wbar|^2.

Whether a model has learned is whether its training loss is below that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from papers.beyond.trained_models import Found, committed_run, evidence
from papers.ledger import Evidence, statement
from simulations.transformers import (
    MixturePrompts,
    ModelConfig,
    Steps,
    TrainingRun,
    TransformerTraining,
    train,
)

EXPERIMENT, LABEL = "pathak2023-step-sizes", "width 64"

#: Records at the end whose mean is the loss of a committed training: 200 steps of 1,000.
LAST = 4

#: A model has learned if its loss is below this share of that of the prior mean, and nothing if it
#: is above the other. Committed losses are means over 12,800 prompts, to about 1 %.
LEARNED, NOTHING = 0.8, 0.97


@dataclass(frozen=True)
class StepSizeClaim:
    """At which constant step sizes of Adam a small transformer learns.

    Parameters
    ----------
    learned, nothing
        The step sizes with which it does, and with which it does not.
    helped
        Those with which it does not, even with gradients of norm at most 1 and a warm-up.
    here
        A step size with which a smaller model learns in the check, and one with which it does not.
    """

    learned: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    nothing: tuple[float, ...] = (1e-2, 3e-2, 1e-1)
    helped: tuple[float, ...] = (1e-1,)
    here: tuple[float, float] = (2e-3, 1e-1)


def prior_mean_loss(law: MixturePrompts) -> float:
    """Return sigma^2 + (1/m) sum_j |w_j - wbar|^2, of x ~ N(0, I)."""
    w = law.mixture.components
    return law.noise_std**2 + float(np.mean(np.sum((w - w.mean(axis=0)) ** 2, axis=1)))


def _stored(claim: StepSizeClaim) -> Iterator[Found]:
    config, arrays = committed_run(EXPERIMENT, LABEL)
    prior = prior_mean_loss(config.training.prompts)
    ends = arrays["losses"][:, 0, -LAST:].mean(axis=1) / prior
    sizes = zip(arrays["step_sizes"].tolist(), arrays["clipped"].tolist(), strict=True)
    found = dict(zip(sizes, ends.tolist(), strict=True))
    for size in claim.learned:
        yield _below(found[size, False], f"d = m = 5, 1,000 steps of {size:g}")
    for helped, several in ((False, claim.nothing), (True, claim.helped)):
        for size in several:
            how = ", clipped and warmed up" if helped else ""
            yield _above(found[size, helped], f"d = m = 5, 1,000 steps of {size:g}{how}")


@cache
def _trained_here(step_size: float, seed: int) -> float:
    """The loss of the last of four records, over that of the prior mean."""
    law = MixturePrompts(2, 2, 0.5, 6, components_seed=3)
    steps = Steps(320, 32, step_size, (0.9, 0.999), warm_up=0, decay="none")
    model = ModelConfig(layers=2, heads=4, width=32)
    run = train(TrainingRun(TransformerTraining(law, model, steps, seeds=(seed,), records=4)))
    return float(run.records().losses[-1, 0]) / prior_mean_loss(law)


def _below(share: float, told: str) -> Found:
    return Found(
        share / LEARNED,
        f"{told}: the loss is {share:.3f} of that of the prior mean, not at most {LEARNED:g}",
    )


def _above(share: float, told: str) -> Found:
    return Found(
        NOTHING / share,
        f"{told}: the loss is {share:.3f} of that of the prior mean, not at least {NOTHING:g}",
    )


def _found(claim: StepSizeClaim, seed: int) -> Iterator[Found]:
    yield from _stored(claim)
    good, bad = claim.here
    told = "d = m = 2, 320 steps of"
    yield _below(_trained_here(good, seed), f"{told} {good:g}")
    yield _above(_trained_here(bad, seed), f"{told} {bad:g}")


_STEP_SIZES = StepSizeClaim()


@statement(
    id="beyond/step-size-of-a-tenth",
    title="With Adam at a constant step size of 0.1 small transformers learn nothing",
    source="pathak2023, Appendix C; the sizes are ours",
    latex=r"\text{loss} \ge 0.97 \left(\sigma^2 + \tfrac1m\sum_j |w_j - \bar w|^2\right)"
    r" \text{ for } \eta \in \{0.01, 0.03, 0.1\},\quad \le 0.8 (\cdot) \text{ for } \eta \in"
    r" \{10^{-4}, 3\cdot 10^{-4}, 10^{-3}, 3\cdot 10^{-3}\}",
    printed=_STEP_SIZES,
    mutants={
        "0.1 is as good as 0.001": replace(_STEP_SIZES, learned=(1e-3, 1e-1)),
        "0.01 is": replace(_STEP_SIZES, learned=(1e-2,)),
        "0.0001 is too small": replace(_STEP_SIZES, nothing=(1e-4,)),
        "0.003 is too large": replace(_STEP_SIZES, nothing=(3e-3,)),
        "the other way round": replace(_STEP_SIZES, here=(1e-1, 2e-3)),
    },
    hypotheses=(
        "GPT-2 of 3 layers, width 64, d = m = 5, 1,000 steps on 64 prompts, one seed",
        "and one of 2 layers, width 32, d = m = 2, trained in the check",
    ),
    depends_on=(),
    beyond=True,
)
def STEP_SIZES(claim: StepSizeClaim, rng: np.random.Generator) -> Evidence:
    """Read the committed losses, and train two models here."""
    return evidence(
        _found(claim, int(rng.integers(2**31))),
        "training loss at the end over that of the prior mean, over what is claimed; the largest",
        "one committed run of eight trainings, whose losses are read and not computed again; and"
        " two trainings here from a drawn seed",
    )


STATEMENTS = (STEP_SIZES,)
