"""Exports that cannot be: all problems at once, with what would be needed."""

import numpy as np
import pytest
import torch

from constructions import Box, CompiledCircuit, compile_posterior_mean
from constructions.circuit import Circuit, Prompt
from constructions.export.gpt2 import gpt2_files, gpt2_problems, smallest_shape
from constructions.export.self_attention import self_attention_problems
from constructions.gpt2 import PATHAK2023, GPT2Shape
from constructions.values import COVARIATES, EVERY, Sum, attention, previous
from tests.constructions.export.drawn import separated

PROMPT = Prompt(2, 3, Box.entrywise(2, 3.0, 3.0))


def compiled(output, **options):
    return CompiledCircuit(Circuit("test", PROMPT, output), **options)


def test_everything_that_is_too_small_is_named_at_once():
    model = compile_posterior_mean(separated(5, 5, 0.3), 20, layers=2)
    problems = gpt2_problems(model, GPT2Shape(1, 8, 32, 64))
    assert problems == [
        "n_layer is 1, but the model needs 2 layers",
        f"n_embd is 32, but the model needs {model.stream.num_rows} rows of the residual stream",
        "n_embd / n_head is 4, but the model needs 7 pairs of a key and a query in one head",
        "n_head is 8, but the model needs 60 heads in one layer, of at most 4 values",
        "n_inner is 64, but the model needs 2000 neurons in one layer",
    ]
    with pytest.raises(ValueError, match=r"posterior mean cannot .* 2 layers; .* 2000 neurons"):
        gpt2_files(model, GPT2Shape(1, 8, 32, 64))


def test_forty_components_do_not_fit_a_head_of_the_papers_shape():
    model = compile_posterior_mean(separated(2, 40, 1.0), 2)
    assert gpt2_problems(model, PATHAK2023) == [
        "n_embd / n_head is 32, but the model needs 42 pairs of a key and a query in one head"
    ]
    assert gpt2_problems(model, smallest_shape(model)) == []


def test_float32_is_refused():
    model = compile_posterior_mean(separated(2, 2, 1.0), 2, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"the model is torch\.float32: build it in float64"):
        gpt2_files(model)


def test_columns_that_sum_over_themselves_are_refused():
    model = compiled(Sum(PROMPT.covariate, COVARIATES))
    (problem,) = self_attention_problems(model)
    assert "sums over columns that receive the sum" in problem
    with pytest.raises(ValueError, match="these would see themselves"):
        gpt2_files(model)


def test_attention_over_its_own_columns_is_refused():
    model = compiled(attention(PROMPT.covariate, PROMPT.covariate, PROMPT.covariate))
    assert len(self_attention_problems(model)) == 1


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (previous(previous(PROMPT.covariate)), "reads the first column"),
        (previous(PROMPT.label), "without examples"),
        (previous(PROMPT.label) * previous(PROMPT.label), "without examples"),
    ],
)
def test_without_prefix_the_first_column_sees_itself(output, words):
    found = self_attention_problems(compiled(output, prefix_columns=False))
    assert any(words in problem for problem in found)
    assert self_attention_problems(compiled(output)) == []


def test_the_posterior_mean_is_safe_in_every_form():
    for options in ({}, {"layers": 2}, {"prefix_columns": False}):
        model = compile_posterior_mean(separated(3, 3, 1.0), 4, **options)
        assert self_attention_problems(model) == [], options


def test_sums_over_labels_into_every_column_overlap():
    assert EVERY.kinds > COVARIATES.kinds
    assert self_attention_problems(compiled(Sum(PROMPT.label, COVARIATES))) == []
    model = compiled(np.ones((1, 2)) @ Sum(PROMPT.covariate, EVERY))
    assert len(self_attention_problems(model)) == 1


@pytest.mark.parametrize(
    ("sizes", "words"),
    [((1, 3, 32, 64), "not a multiple of n_head"), ((0, 1, 8, 8), "expected positive sizes")],
)
def test_shapes_that_no_gpt2_has(sizes, words):
    with pytest.raises(ValueError, match=words):
        GPT2Shape(*sizes)
