"""What score errors cost a softmax: the bound holds for every score, error, prior and value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions import Box, Prompt
from constructions.certificate.bounds import CertificateError
from constructions.certificate.scores import ScoreErrors, gibbs

FACTOR = Prompt(1, 1, Box.entrywise(1, 1.0, 1.0)).label


def mean(scores: np.ndarray, prior: np.ndarray, values: np.ndarray) -> float:
    logits = np.log(prior) - scores
    powers = np.exp(logits - logits.max())
    return float(powers @ values / powers.sum())


def errors(g: float, f: float, e: float) -> ScoreErrors:
    """G + f sqrt(L) + e L as one factor in one column, with L = r^2."""
    one = np.ones(1)
    return ScoreErrors(g * one, f * one, e * one, one, (FACTOR,))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(-6, -0.7), st.floats(-1, 2))
def test_the_answer_moves_by_less(seed: int, m: int, size: float, depth: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.exponential(10.0**depth, m)
    if rng.random() < 0.5:
        scores[1] = scores[0]
    prior = rng.dirichlet(np.ones(m)) + 1e-12
    prior /= prior.sum()
    values = rng.normal(size=m) * 10
    g, f, e = 10.0**size * rng.random(3) * np.array([1, 1, 0.3])
    if g + f / 2 + e > 0.5:
        return
    allowed = g + f * np.sqrt(scores) + e * scores
    signs = np.sign(values - np.median(values)) if rng.random() < 0.5 else rng.choice([-1, 1], m)
    moved = abs(mean(scores + signs * allowed, prior, values) - mean(scores, prior, values))
    least = float((scores - np.log(prior)).min())
    bound = gibbs(errors(g, f, e), float(np.ptp(values)), least, m).value
    assert moved <= bound * (1 + 1e-9) + 1e-12


def test_two_tied_components_attain_half_of_the_bound() -> None:
    scores, prior, values = np.array([50.0, 50.0]), np.full(2, 0.5), np.array([-1.0, 1.0])
    f = 1e-4
    moved = mean(scores + np.array([1, -1]) * f * np.sqrt(50), prior, values)
    bound = gibbs(errors(0.0, f, 0.0), 2.0, 50.0 + np.log(2), 2).value
    assert 0.9 * bound < moved <= bound


def test_a_factor_of_two_too_little_is_noticed() -> None:
    """The test above can fail: half of the bound does not hold."""
    moved = mean(np.array([1e-3, 0]), np.full(2, 0.5), np.array([-1.0, 1.0]))
    assert moved > gibbs(ScoreErrors.absolute(5e-4), 2.0, 0.0, 2).value / 2


def test_large_errors_are_refused_with_advice() -> None:
    with pytest.raises(CertificateError, match="float64, a smaller box"):
        gibbs(ScoreErrors.absolute(0.6), 1.0, 1.0, 2)
