"""The one list of circuits that runs through every stage of the compiler."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from constructions.box import Box
from constructions.circuit import Circuit, Prompt
from constructions.library.argmin import ArgminLimit
from constructions.library.gradient_descent import gradient_descent_circuit
from constructions.library.nadaraya_watson import nadaraya_watson_circuit
from constructions.library.posterior_mean_transformer import posterior_mean_circuit
from constructions.library.ridge import RidgeIteration
from constructions.values import (
    EVERY,
    LABELS,
    Attention,
    Fetch,
    Mixture,
    Sum,
    Value,
    attention,
    previous,
    softmax,
    total,
)
from tests.cases import STAGE_CASES, Case
from tests.constructions.drawing import drawn, with_prior
from theory import RegressionMixture

Tokens = npt.NDArray[np.float64]
Answer = Callable[[Prompt], Value]

#: The prompts of the small circuits: covariates in [-2, 2]^2, labels in [-3, 3], K = 3.
SMALL = Prompt(2, 3, Box.entrywise(2, 2.0, 3.0))


@dataclass(frozen=True)
class CircuitCase:
    """A circuit; ``unrolls`` says that its sums can be computed at the query."""

    circuit: Circuit
    unrolls: bool


def tokens_in_box(prompt: Prompt, batch: int, seed: int = 0, fill: float = 1.0) -> Tokens:
    """Random tokens in ``fill`` times the box (batch, d, 2K + 1), which float32 holds exactly.

    Covariates are uniform in the cube and shrunk to the ball, labels uniform.
    """
    rng = np.random.default_rng(seed)
    tokens = np.zeros((batch, prompt.dim, prompt.num_columns))
    shape = (batch, prompt.dim, prompt.max_examples + 1)
    xs = rng.uniform(-1, 1, shape) * prompt.box.covariate
    norms = np.sqrt((xs**2).sum(axis=1, keepdims=True))
    tokens[:, :, ::2] = fill * xs * np.minimum(1, prompt.box.covariate_norm / norms)
    labels = rng.uniform(-1, 1, (batch, prompt.max_examples)) * prompt.box.label
    tokens[:, 0, 1::2] = fill * labels
    # Rounding towards zero keeps the prompt in the box.
    return np.trunc(tokens * 2.0**12) / 2.0**12


def _posterior_mean(case: Case, *, prior: bool) -> CircuitCase:
    mixture, _ = drawn(case, 1)
    if prior:
        mixture = with_prior(mixture, case.seed)
    box = Box.for_mixture(mixture)
    return CircuitCase(posterior_mean_circuit(mixture, case.num_examples, box), unrolls=True)


def _argmin() -> CircuitCase:
    mixture = RegressionMixture.random(3, 2, 1.0, np.random.default_rng(1))
    box = Box.entrywise(2, 3.0, 8.0)
    return CircuitCase(ArgminLimit(mixture, 0.1).circuit(5, box), unrolls=True)


def _descent(dim: int, examples: int, steps: int) -> CircuitCase:
    box = Box.entrywise(dim, 2.0, 3.0)
    step = 1.0 / (examples * box.covariate_norm**2)
    circuit = gradient_descent_circuit(dim, examples, box, steps=steps, step_size=step)
    return CircuitCase(circuit, unrolls=True)


def _ridge() -> CircuitCase:
    ridge = RidgeIteration(2, 4, Box.entrywise(2, 2.0, 3.0), penalty=4.0, steps=4)
    return CircuitCase(ridge.circuit(), unrolls=True)


def _smoother(dim: int, examples: int) -> CircuitCase:
    box = Box.entrywise(dim, 2.0, 3.0)
    return CircuitCase(nadaraya_watson_circuit(dim, examples, box, 0.7), unrolls=True)


def _small(name: str, answer: Answer, prompt: Prompt = SMALL, *, unrolls: bool) -> CircuitCase:
    return CircuitCase(Circuit(name, prompt, answer(prompt)), unrolls)


W = np.array([[1.0, -2.0], [0.5, 1.5], [-1.0, 0.25]])


def _fetched(p: Prompt) -> Value:
    """Earlier tokens, at the fixed columns 1, 2 and 5."""
    return Fetch(p.covariate, 1) * Fetch(p.covariate, 5) + np.ones((2, 1)) @ Fetch(p.label, 2)


def _fetched_in_the_query(p: Prompt) -> Value:
    """A fetched product and a fetched affine map with a constant, beside the query itself."""
    residual = W @ previous(p.covariate) - np.ones((3, 1)) @ p.label
    late = Fetch(residual * residual + 1.5, 4)
    return W.T @ late + p.covariate


def _attended_covariates(p: Prompt) -> Value:
    return Attention(W @ p.covariate, 0.5 * (W @ p.covariate) + 1.0, p.covariate + 2.0)


def _attended_pairs(p: Prompt) -> Value:
    """Keys that are products, values that are softmaxes."""
    carried = previous(p.covariate)
    key = carried * carried
    return attention(0.3 * p.covariate - 1.0, key, softmax(W @ carried))


def _counted(p: Prompt) -> Value:
    """Sums of constants: how many examples there are, and 2 for every covariate."""
    return total(0.0 * p.label + 1.0) + total(0.0 * p.covariate[0] + 2.0)


def _covariates_summed(p: Prompt) -> Value:
    """Sums over covariates, into every column and into labels, and of a sum."""
    running = Sum(p.covariate * p.covariate, EVERY)
    at_labels = Sum(W @ p.covariate, LABELS) * Sum(W[:, :1] @ p.label, EVERY)
    return running + W.T @ total(at_labels) + total(previous(running * p.covariate))


def _previous_labels(p: Prompt) -> Value:
    """The label before, two columns before, and with a constant that column 1 must not get."""
    twice = previous(previous(p.label))
    return previous(p.label + 1.0) * p.covariate[:1] + total(twice * p.label)


def _powers(p: Prompt) -> Value:
    """x^2, x^4 and x^7 of each entry, and a product of unlike factors."""
    square = 0.5 * (p.covariate * p.covariate)
    fourth = square * square - 1.0
    seventh = (fourth * square) * p.covariate
    return seventh + (W[:2] @ fourth) * (square + 3.0)


def _mixed_at_labels(p: Prompt) -> Value:
    """Softmaxes in the label columns, with components that are no basis, summed and mixed again."""
    residual = W @ previous(p.covariate) - np.ones((3, 1)) @ p.label
    chosen = Mixture(-0.5 * residual, 3.0 * W.T)
    return Mixture(total(chosen) + 0.1, np.array([[1.0, -4.0]]))


def _lopsided(p: Prompt) -> Value:
    """Labels far above the covariates that stand in the same row, and that keys are read from."""
    near = attention(p.covariate, p.covariate, W @ p.covariate)
    return W.T @ (near * (W @ p.covariate)) + softmax(0.1 * (p.covariate * p.covariate))


#: Covariates in [-10, 10]^2, labels in [-20,000, 20,000].
LOPSIDED = Prompt(2, 3, Box.entrywise(2, 10.0, 2e4))

BUILDERS: dict[str, Callable[[], CircuitCase]] = {
    **{
        f"posterior mean {case}{' with prior' if prior else ''}": (
            lambda case=case, prior=prior: _posterior_mean(case, prior=prior)
        )
        for case in STAGE_CASES
        for prior in (False, True)
    },
    "argmin": _argmin,
    "gradient descent d1 T1": lambda: _descent(1, 2, 1),
    "gradient descent d2 T4": lambda: _descent(2, 4, 4),
    "ridge": _ridge,
    "nadaraya-watson d1": lambda: _smoother(1, 1),
    "nadaraya-watson d3": lambda: _smoother(3, 6),
    "fetched": lambda: _small("fetched", _fetched, unrolls=True),
    "fetched products": lambda: _small("fetched products", _fetched_in_the_query, unrolls=True),
    "attended covariates": lambda: _small("covariates", _attended_covariates, unrolls=True),
    "attended pairs": lambda: _small("pairs", _attended_pairs, unrolls=True),
    "counted": lambda: _small("counted", _counted, unrolls=False),
    "covariates summed": lambda: _small("sums", _covariates_summed, unrolls=False),
    "previous labels": lambda: _small("previous labels", _previous_labels, unrolls=False),
    "powers": lambda: _small("powers", _powers, unrolls=True),
    "mixed at labels": lambda: _small("mixed", _mixed_at_labels, unrolls=False),
    "lopsided": lambda: _small("lopsided", _lopsided, LOPSIDED, unrolls=True),
}

NAMES = tuple(BUILDERS)
