"""Reports of compiled circuits, against figures that are counted here by hand."""

import json

import numpy as np
import pytest
import torch

from constructions.box import Box
from constructions.circuit import Circuit, Prompt
from constructions.compiled_circuit import CompiledCircuit
from constructions.gadgets import square_gadget
from constructions.library.posterior_mean_transformer import (
    PosteriorMeanTransformer,
    compile_posterior_mean,
)
from constructions.reports import PaperBudget
from constructions.values import total
from theory import RegressionMixture

#: d, m, k, and whether the prior is uniform.
SIZES = [(1, 1, 1, True), (3, 3, 4, True), (2, 5, 6, False), (5, 2, 3, True), (7, 3, 2, False)]
KINDS = ("query", "key", "value", "output", "inward", "outward")


def mixture(d: int, m: int, uniform: bool) -> RegressionMixture:
    drawn = RegressionMixture.random(m, d, 0.7, np.random.default_rng([d, m]))
    weights = np.ones(m) if uniform else np.arange(1.0, m + 1)
    return RegressionMixture(drawn.components, 0.7, weights / weights.sum())


def arrays(model: PosteriorMeanTransformer, kind: str) -> list[np.ndarray]:
    return [getattr(layer, kind).detach().numpy() for layer in model.layers]


@pytest.mark.parametrize(("d", "m", "k", "uniform"), SIZES)
def test_three_layers_have_the_sizes_of_the_circuit(d: int, m: int, k: int, uniform: bool) -> None:
    model = compile_posterior_mean(mixture(d, m, uniform), k)
    report, n = model.report(), len(model.square.scales)
    assert report.layers == 3
    assert report.heads == (1, 1, 1)
    # Logits: (cos, sin, sink), (columns, sink), (scores, columns, sink). Values: W x; s; W' p or p.
    assert report.attention_widths == (max(3, m), max(2, m), m + 2)
    # A square takes 2n neurons: m of them; f takes a product, two squares, for each entry of the
    # shorter of x and p.
    assert report.feed_forward_widths == (2 * n * m, 0, 4 * n * min(d, m))
    assert report.columns == 1 + m + 2 * k + 1
    assert report.extra_columns == 1 + m
    assert report.width == model.constants.shape[0]
    p, d_att, d_ff = report.width, report.attention_widths, report.feed_forward_widths
    assert report.parameters == sum(
        4 * heads * a * p + 2 * f * p for heads, a, f in zip(report.heads, d_att, d_ff, strict=True)
    )
    assert report.parameters == sum(weights.numel() for weights in model.parameters())


@pytest.mark.parametrize(("d", "m", "k", "uniform"), SIZES)
def test_two_layers_have_a_head_for_every_token(d: int, m: int, k: int, uniform: bool) -> None:
    model = compile_posterior_mean(mixture(d, m, uniform), k, layers=2)
    report, n = model.report(), len(model.square.scales)
    assert report.layers == 2
    assert report.heads == (2 * k, 1)
    assert report.feed_forward_widths == (2 * n * m * k, 4 * n * min(d, m))
    assert report.columns == 1 + m + 2 * k + 1


def test_rows_of_a_small_network_by_name() -> None:
    report = compile_posterior_mean(mixture(3, 3, True), 4).report()
    # Rows: the token, W x shared with W' p, the squares, the scores, f; all others are constants.
    assert report.width - report.extra_rows == 3 + 3 + 3 + 3 + 1
    assert len(report.constants) == report.extra_rows
    assert {"zero", "+L", "-L", "one", "cos", "sin", "sink", "e_1", "e_2", "e_3"} <= set(
        report.constants
    )


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize(("d", "m", "k", "uniform"), SIZES)
def test_norms_are_those_of_a_singular_value_decomposition(
    d: int, m: int, k: int, uniform: bool, layers: int
) -> None:
    model = compile_posterior_mean(mixture(d, m, uniform), k, layers=layers)
    norms = model.report().norms
    assert tuple(norms) == KINDS
    for kind, found in norms.items():
        for layer, matrix in enumerate(arrays(model, kind)):
            stack = matrix if matrix.ndim == 3 else matrix[None]
            values = [
                np.linalg.svd(part, compute_uv=False)[0] if part.size else 0.0 for part in stack
            ]
            assert found.spectral[layer] == pytest.approx(max(values, default=0.0), rel=1e-12)
            squares = sum(np.square(part).sum() for part in stack)
            assert found.frobenius[layer] == pytest.approx(float(squares) ** 0.5, rel=1e-12)
            assert found.largest[layer] == max(map(abs, matrix.ravel().tolist()), default=0.0)


def test_nonzero_parameters_are_counted_one_by_one() -> None:
    model = compile_posterior_mean(mixture(3, 3, True), 2)
    counted = sum(
        1
        for kind in KINDS
        for matrix in arrays(model, kind)
        for entry in matrix.ravel().tolist()
        if entry != 0
    )
    assert model.report().nonzero_parameters == counted
    assert 0 < counted < model.report().parameters


@pytest.mark.parametrize(("d", "m", "k", "uniform"), SIZES)
def test_the_paper_stands_beside_it(d: int, m: int, k: int, uniform: bool) -> None:
    budget = compile_posterior_mean(mixture(d, m, uniform), k).report().budget
    operators = 9 if uniform or m == 1 else 10
    assert budget == PaperBudget(operators, rows=2 * d + 4 * m + 2, columns=2 * k + 1)


def test_components_of_weight_0_are_not_counted() -> None:
    drawn = RegressionMixture.random(3, 2, 0.7, np.random.default_rng(0))
    model = compile_posterior_mean(RegressionMixture(drawn.components, 0.7, [0.5, 0.0, 0.5]), 2)
    report = model.report()
    assert report.budget == PaperBudget(9, 2 * 2 + 4 * 2 + 2, 5)
    assert report.extra_columns == 3


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float64, "float64"), (torch.float32, "float32")]
)
def test_gadget_and_float_type(dtype: torch.dtype, name: str) -> None:
    gadget = square_gadget(3, 1e-4)
    model = PosteriorMeanTransformer(mixture(2, 2, True), 2, dtype=dtype, square=gadget)
    report = model.report()
    assert (report.gadget_order, report.gadget_error, report.dtype) == (3, 1e-4, name)
    assert report.feed_forward_widths == (2 * 3 * 2, 0, 4 * 3 * 2)
    assert report.certified_error is None
    assert report.measured_error is None


def test_other_circuits_have_no_budget_and_layers_without_heads() -> None:
    prompt = Prompt(1, 3, Box.entrywise(1, 2.0, 3.0))
    doubled = Circuit("sum of labels", prompt, total(prompt.label))
    report = CompiledCircuit(doubled).report()
    assert (report.circuit, report.budget) == ("sum of labels", None)
    assert report.feed_forward_widths == (0,)
    assert report.norms["inward"].spectral == (0.0,)
    squares = Circuit("x squared", prompt, prompt.covariate * prompt.covariate)
    report = CompiledCircuit(squares).report()
    assert report.heads == report.attention_widths == (0,)
    assert report.norms["query"].spectral == report.norms["query"].largest == (0.0,)


def test_as_dict_survives_json() -> None:
    report = compile_posterior_mean(mixture(2, 3, False), 2).report()
    data = report.as_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["budget"] == {"operators": 10, "rows": 18, "columns": 5}
    assert data["heads"] == [1, 1, 1]
    assert data["norms"]["inward"]["largest"] == list(report.norms["inward"].largest)
