"""A model beside candidate predictors on the same prompts, at every prefix.

Pathak et al. 2023, Section 3.3: d_k^sq(f, g) = E (f(P) - g(P))^2 over prompts P of k examples says
which algorithm a transformer is nearest to. All comparisons are paired: every predictor answers the
same prompts, and differences are taken prompt by prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from simulations.bootstrap import Band, bootstrap_band
from theory import Predictor, PromptBatch
from theory.validation import Problems

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found; all arrays have one entry for each prefix, n = 0..k.

    Attributes
    ----------
    model
        The name of the model.
    candidates
        The names of the candidates, the reference first.
    num_prompts
        How many prompts were answered.
    errors
        Of the model and of each candidate, (f(P) - <w, x>)^2 with its mean and band; empty where
        the labels without noise are not known.
    median_errors
        The medians of the same, which an exploding least squares leaves alone.
    excess
        Error of the model less that of each candidate, paired; empty as `errors`.
    distances
        d^sq from the model to each candidate.
    margins
        Distance from the model to each candidate less that to the reference, paired: above 0 where
        the reference is nearer.
    apart
        d^sq from the reference to each other candidate: how much there is to tell apart.
    """

    model: str
    candidates: tuple[str, ...]
    num_prompts: int
    errors: Mapping[str, Band]
    median_errors: Mapping[str, Float[np.ndarray, " prefixes"]]
    excess: Mapping[str, Band]
    distances: Mapping[str, Band]
    margins: Mapping[str, Band]
    apart: Mapping[str, Band]

    @property
    def closest(self) -> tuple[tuple[str, ...], ...]:
        """The candidates nearest to the model at each prefix: several if they answer alike."""
        means = {name: band.mean for name, band in self.distances.items()}
        found = []
        for n in range(len(next(iter(means.values())))):
            least = min(mean[n] for mean in means.values())
            found.append(tuple(name for name, mean in means.items() if mean[n] <= least))
        return tuple(found)

    def as_arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return everything by names such as ``distance/argmin/mean``.

        They are ``error``, ``excess``, ``distance``, ``margin`` or ``apart``, then the predictor,
        then ``mean``, ``low``, ``high`` or ``standard_error``; and ``error/PREDICTOR/median``.
        """
        bands = {
            "error": self.errors,
            "excess": self.excess,
            "distance": self.distances,
            "margin": self.margins,
            "apart": self.apart,
        }
        arrays: dict[str, npt.NDArray[np.float64]] = {}
        for kind, named in bands.items():
            for name, band in named.items():
                arrays |= band.as_arrays(f"{kind}/{name}")
        return arrays | {f"error/{name}/median": m for name, m in self.median_errors.items()}


def compare(
    model: Predictor,
    candidates: Mapping[str, Predictor],
    prompts: PromptBatch,
    exact: npt.ArrayLike | None,
    rng: np.random.Generator,
    *,
    name: str = "transformer",
    trials: int = 1000,
) -> Comparison:
    """Let a model and candidates answer every prefix of the same prompts.

    Parameters
    ----------
    model
        What is compared.
    candidates
        What with, by name; the first is the reference of margins.
    prompts
        At least two.
    exact
        Labels without noise <w, x_{n+1}>, shape (batch, k+1); None if they are not known.
    rng
        Where the resampled prompts of all bands are drawn from; they are the same for all.
    name
        Of the model; no candidate may have it.
    trials
        How often prompts are resampled.

    Raises
    ------
    ValueError
        If there is no candidate, one has the model's name, there are fewer than two prompts, or
        answers or `exact` are not finite numbers of shape (batch, k+1). All problems are listed at
        once.
    """
    problems = Problems("compare(model, candidates, prompts, exact, rng)")
    if not candidates or name in candidates:
        problems.add(f"candidates are {list(candidates)}; expected one or more, not named {name!r}")
    if len(prompts) < 2:
        problems.add(f"there are {len(prompts)} prompts; expected at least 2")
    problems.raise_if_any()
    answers = {
        who: _answers(problems, who, predictor.predict_all_prefixes(prompts), prompts)
        for who, predictor in {name: model, **candidates}.items()
    }
    truth = None if exact is None else _answers(problems, "exact", exact, prompts)
    problems.raise_if_any()
    return _compared(name, tuple(candidates), answers, truth, rng, trials=trials)


def _compared(
    name: str,
    candidates: tuple[str, ...],
    answers: Mapping[str, Float[np.ndarray, "batch prefixes"]],
    truth: Float[np.ndarray, "batch prefixes"] | None,
    rng: np.random.Generator,
    *,
    trials: int,
) -> Comparison:
    reference, *others = candidates
    squares = {} if truth is None else {who: (a - truth) ** 2 for who, a in answers.items()}
    away = {who: (answers[name] - answers[who]) ** 2 for who in candidates}
    rows = {
        "errors": squares,
        "excess": {who: squares[name] - squares[who] for who in candidates if squares},
        "distances": away,
        "margins": {who: away[who] - away[reference] for who in others},
        "apart": {who: (answers[reference] - answers[who]) ** 2 for who in others},
    }
    medians = {who: np.median(values, axis=0) for who, values in squares.items()}
    return Comparison(
        name,
        candidates,
        len(answers[name]),
        median_errors=medians,
        **_bands(rows, rng, trials),
    )


def _bands(
    rows: Mapping[str, Mapping[str, Float[np.ndarray, "batch prefixes"]]],
    rng: np.random.Generator,
    trials: int,
) -> dict[str, dict[str, Band]]:
    """Return a band for each, all with the same resampled prompts: drawing those takes longest."""
    flat = [values for named in rows.values() for values in named.values()]
    whole = bootstrap_band(np.concatenate(flat, axis=1), rng, trials=trials)
    width = flat[0].shape[1]
    pieces = iter(range(0, width * len(flat), width))

    def band() -> Band:
        first = next(pieces)
        return Band(*(values[first : first + width] for values in vars(whole).values()))

    return {kind: {who: band() for who in named} for kind, named in rows.items()}


def _answers(
    problems: Problems, who: str, values: npt.ArrayLike, prompts: PromptBatch
) -> npt.NDArray[np.float64]:
    """Check the answers of a predictor."""
    checked = problems.array(f"answers of {who}", values, ("batch", "k+1"))
    expected = (len(prompts), prompts.num_examples + 1)
    if checked is not None and checked.shape != expected:
        problems.add(f"answers of {who} have shape {checked.shape}; expected {expected}")
    return np.zeros(expected) if checked is None else checked
