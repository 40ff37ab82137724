"""Linear probes: what a linear map reads off the residual stream."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import nn

from simulations.transformers.models import tokens_of
from theory import PromptBatch, RegressionMixture
from theory.validation import Problems

__all__ = ["CELLS", "LIMIT", "covariate_states", "explained_variance", "log_odds", "undecided"]

#: Prefixes with larger log-odds (e^10 is 22,000 to 1) are not probed: there the predictor has
#: stopped to depend on them.
LIMIT = 10.0

#: Cells to fit, at least, for each feature: with fewer the map fits chance.
CELLS = 5

#: Features vary if their standard deviation is at least so much of their largest entry; what
#: constants of a built network vary by is rounding.
_VARIES = 1e-9

#: Singular values of standardised features below so much of the largest count as 0.
_CUTOFF = 1e-9


def covariate_states(
    model: nn.Module, prompts: PromptBatch
) -> tuple[Float[np.ndarray, "batch prefixes width"], ...]:
    """Return the residual stream in the columns of covariates, before the layers and after each.

    Parameters
    ----------
    model
        With a method `states`, as `constructions.gpt2.GPT2` and `Section12` have.
    prompts
        What it reads. The column of x_{n+1} has seen the first n examples.

    Raises
    ------
    ValueError
        As the model's `states`.
    """
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        states = model.states(tokens_of(prompts.xs, prompts.ys).to(dtype))  # type: ignore[operator]
    return tuple(np.asarray(state[:, ::2].double().numpy()) for state in states)


def log_odds(
    mixture: RegressionMixture, prompts: PromptBatch
) -> Float[np.ndarray, "batch prefixes others"]:
    """Return log p_j / p_1 for j = 2..m after n = 0..k examples, shape (batch, k+1, m-1).

    They are linear in sums over examples: log pi_j / pi_1 + sigma^-2 sum_i (<w_j - w_1, x_i> y_i -
    (<w_j, x_i>^2 - <w_1, x_i>^2) / 2).

    Parameters
    ----------
    mixture
        Of two components or more, all of positive weight.
    prompts
        The prompts.
    """
    scores = mixture.scores(prompts)
    return np.asarray(scores[:, :, 1:] - scores[:, :, :1])


def undecided(odds: Float[np.ndarray, "batch prefixes others"]) -> Bool[np.ndarray, "batch n"]:
    """Tell the prompts and prefixes all of whose log-odds are at most `LIMIT` in size."""
    return np.asarray(np.abs(odds).max(axis=-1) <= LIMIT)


def explained_variance(
    features: npt.ArrayLike,
    targets: npt.ArrayLike,
    held_out_features: npt.ArrayLike,
    held_out_targets: npt.ArrayLike,
) -> float:
    """Fit an affine map by least squares, and return R^2 on what was held out.

    R^2 = 1 - sum |t - that|^2 / sum |t - tbar|^2 over the held-out targets t and all outputs, with
    their own mean tbar; 1 if the map is exact, at most about 0 if features do not help, and NaN
    if there are fewer than `CELLS` cells a feature to fit, or nothing varies to be explained.

    Parameters
    ----------
    features, targets
        What is fitted, shapes (cells, width) and (cells, outputs). Features are standardised,
        constant ones left out; of collinear ones the shortest map is taken.
    held_out_features, held_out_targets
        What R^2 is taken over, shapes (others, width) and (others, outputs).

    Raises
    ------
    ValueError
        If an array has entries that are not finite, or shapes do not fit; all problems at once.
    """
    own, wanted, others, other_wanted = _checked(
        features, targets, held_out_features, held_out_targets
    )
    if len(own) < CELLS * own.shape[1] or len(other_wanted) < 2:
        return float("nan")
    middle, spread = own.mean(axis=0), own.std(axis=0)
    varies = spread > _VARIES * np.abs(own).max(axis=0)
    mean = wanted.mean(axis=0)
    total = np.sum((other_wanted - other_wanted.mean(axis=0)) ** 2)
    if total == 0:
        return float("nan")

    def standardised(values: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n varying"]:
        return np.asarray((values[:, varies] - middle[varies]) / spread[varies])

    found, *_ = np.linalg.lstsq(standardised(own), wanted - mean, rcond=_CUTOFF)
    missed = other_wanted - mean - standardised(others) @ found
    return float(1 - np.sum(missed**2) / total)


def _checked(*arrays: npt.ArrayLike) -> tuple[Float[np.ndarray, "n entries"], ...]:
    problems = Problems("explained_variance(features, targets, ...)")
    names = ("features", "targets", "held_out_features", "held_out_targets")
    found = [
        problems.array(name, values, ("cells", "entries"))
        for name, values in zip(names, arrays, strict=True)
    ]
    known = tuple(array for array in found if array is not None)
    if len(known) == len(names):
        (cells, width), (rows, outputs), (others, own), (other_rows, own_outputs) = (
            array.shape for array in known
        )
        if (cells, others) != (rows, other_rows):
            problems.add(
                f"there are {cells} rows of features for {rows} of targets, and {others} for"
                f" {other_rows} held out; expected as many of both"
            )
        if (width, outputs) != (own, own_outputs):
            problems.add(
                f"features have {width} entries and {own} held out, targets {outputs} and"
                f" {own_outputs}; expected the same"
            )
    problems.raise_if_any()
    return known
