"""The prompts with a symbol for every entry, beside the library and by hand."""

import numpy as np
import pytest
from sympy import QQ

from papers.zhang2024.symbolic_prompt import SymbolicPrompt, array, vec
from theory import LinearAttention, PromptBatch
from theory.linear_attention import embed, quadratic_form

SIZES = ((1, 1), (1, 3), (2, 1), (2, 2))


def numbers(s, polynomials):
    """Evaluate at drawn numbers."""
    drawn = np.random.default_rng(0).integers(-3, 4, len(s.ring.gens)).tolist()
    at = list(zip(s.ring.gens, drawn, strict=True))
    values = [(s.ring.zero + p).evaluate(at) for p in np.ravel(polynomials)]
    return np.array(values, dtype=float).reshape(np.shape(polynomials))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("plane", [False, True])
def test_it_is_the_library_s_prompt_and_layer(size, plane):
    s = SymbolicPrompt(*size, plane=plane)
    xs = numbers(s, np.vstack([s.xs, s.query[None]]))
    prompts = PromptBatch(xs[None], numbers(s, s.labels)[None])
    U = numbers(s, s.U)
    layer = LinearAttention.from_blocks(U[:-1, -1], U[-1, :-1], U[:-1, :-1], U[-1, -1])
    assert np.allclose(numbers(s, s.E), embed(prompts)[0])
    assert np.allclose(numbers(s, s.H), quadratic_form(prompts)[0])
    assert np.allclose(numbers(s, s.u), layer.vector)
    assert np.allclose(numbers(s, s.prediction()), layer.predict(prompts)[0])
    assert np.any(layer.u12) != plane


@pytest.mark.parametrize("size", SIZES)
def test_the_covariates_have_their_covariance(size):
    s = SymbolicPrompt(*size, plane=True)
    for x in (s.xs[0], s.query):
        assert s.difference("xx'", s.mean(np.multiply.outer(x, x)), s.covariance) == ""
    zero = np.full((s.d, s.d), s.ring.zero)
    assert s.difference("x q'", s.mean(np.multiply.outer(s.xs[0], s.query)), zero) == ""
    eye = np.eye(s.d, dtype=int)
    assert s.difference("ww'", s.mean(np.multiply.outer(s.task, s.task)), eye) == ""


def test_tasks_are_averaged_by_their_moments():
    s = SymbolicPrompt(2, 1, plane=True)
    first, second = s.task
    label = s.query[0]
    value = [first**2 * second * label + 3 * second**3, label**2]
    found = s.over_tasks(value, (QQ(1, 2), 5, 7))
    assert found.tolist() == [label * QQ(5, 2) + 21, label**2]
    assert s.mean_given_task([label])[0] == 0


def test_a_difference_is_told_with_numbers():
    s = SymbolicPrompt(1, 1, plane=True)
    assert s.difference("x", [s.query[0]], [s.query[0]]) == ""
    assert s.difference("x", [s.query[0]], s.U).startswith("d = 1, N = 1, x: the shape is (1,)")
    assert "entry 1, letters 2, 3, 4 in turn: 0, not 1" in s.difference("x", [0, 0], [0, 1])


def test_vec_stacks_columns():
    assert vec(array(range(4), (2, 2))).tolist() == [0, 2, 1, 3]
