"""One case through every stage: the judge's matrices, and where a network leaves its budget."""

from dataclasses import dataclass

import numpy as np
import torch

from constructions import layer_plan
from constructions.compiled import Activation, CompiledProgram
from tests.constructions import judges
from tests.constructions.drawing import initial
from tests.constructions.error_budget import budget
from tests.constructions.judges import Matrix
from theory import PromptBatch, RegressionMixture


@dataclass(frozen=True)
class Stages:
    """What the judge says of a batch: matrices [line][prompt], in float64."""

    matrices: list[Matrix]
    noise_std: float


def judged_stages(mixture: RegressionMixture, prompts: PromptBatch) -> Stages:
    """H^(0), H^(1), ... by the judge, in longdouble, for uniform or other priors."""
    exact = np.longdouble
    uniform = bool(np.all(mixture.weights == mixture.weights[0]))
    prior = None if uniform else np.log(mixture.weights.astype(exact))
    W, sigma = mixture.components.astype(exact), exact(mixture.noise_std)
    each = [
        judges.stages(W, sigma, xs.astype(exact), ys.astype(exact), prior)
        for xs, ys in zip(prompts.xs, prompts.ys, strict=True)
    ]
    return Stages([np.array(line, dtype=float) for line in zip(*each, strict=True)],
                  mixture.noise_std)  # fmt: skip


def worst_use(
    model: CompiledProgram, stages: Stages, matrices: dict[int, Matrix], *, exact: bool = False
) -> dict[int, float]:
    """The largest error over its budget after every line; infinite where none is allowed."""
    epsilon = 2.0**-52 if exact else torch.finfo(model.dtype).eps
    found = {}
    for line, computed in matrices.items():
        uses = []
        for b, H in enumerate(computed):
            wanted = stages.matrices[line][b]
            allowed = budget(model, stages.matrices[-1][b], stages.noise_std, epsilon, exact=exact)
            allowed = np.where(wanted != 0, allowed, 0.0)
            error = np.abs(H - wanted)
            error[~np.isfinite(error)] = np.inf
            with np.errstate(divide="ignore", invalid="ignore"):
                uses.append(np.where(error > 0, error / allowed, 0.0).max())
        found[line] = float(max(uses))
    return found


def by_line(activations: list[Activation]) -> dict[int, Matrix]:
    """The matrix after every line of the program."""
    return {a.line: a.matrix for a in activations if a.line is not None}


def by_plan(model: CompiledProgram, prompts: PromptBatch) -> dict[int, Matrix]:
    """The matrices after every line, as the layer plans compute them."""
    streams = model.stream.embed(initial(prompts, model.program.num_rows))
    found = {0: streams}
    for plan in model.plans:
        streams = np.array([layer_plan.apply(plan, stream) for stream in streams])
        if plan.completes is not None:
            found[plan.completes] = streams
    rows, columns = model.program.num_rows, model.stream.prompt_columns
    return {line: streams[:, :rows, columns] for line, streams in found.items()}


def first_failure(uses: dict[int, float]) -> int | None:
    """The first line after which a matrix leaves its budget."""
    return next((line for line, use in sorted(uses.items()) if use > 1), None)
