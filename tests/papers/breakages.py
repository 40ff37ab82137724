"""The mathematics and the architecture, broken on purpose, and the statements that must fall."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from constructions import (
    architecture,
    compiled,
    compiled_circuit,
    gadgets,
    line_by_line,
    matrices,
    planning,
)
from constructions.operators import program_lines, softmax_route
from constructions.operators.base import Operator
from papers.pathak2023 import illustration, proposition_1
from theory import RegressionMixture

Break = Callable[[pytest.MonkeyPatch], None]


def values_of(operator: type[Operator], change: Callable) -> Break:
    """Replace what an operator computes by a function of it, the matrix and the old result."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        right = operator.values
        patch.setattr(operator, "values", lambda self, H: change(self, H, right(self, H)))

    return apply


def second_map_negated(line, H, right):
    second = line.matrices()[1]
    return right - 2 * (second @ line.sources()[1].of(H, line.columns))


def softmax_without_sum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(program_lines, "softmax", lambda z: matrices.exponential_of(z)(z))


def squares_off(patch: pytest.MonkeyPatch) -> None:
    right = compiled.gadget_for

    def wrong(dtype):
        square = right(dtype)
        return replace(square, coefficients=square.coefficients * (1 + 1e-6))

    for module in (compiled, compiled_circuit, proposition_1):
        patch.setattr(module, "gadget_for", wrong)


def small_gap(patch: pytest.MonkeyPatch) -> None:
    for module in (gadgets, line_by_line, planning):
        patch.setattr(module, "HARD_GAP", 3.0)


def attention(change: Callable) -> Break:
    """Change what the heads add."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        right = architecture.Layer.attend
        patch.setattr(architecture.Layer, "attend", lambda self, H: change(self, H, right))

    return apply


def scaled_logits(layer, H, right):
    """Attention with the usual 1/sqrt(d_att)."""
    weights = layer.weights()
    query = weights.query / max(weights.query.shape[1], 1) ** 0.5
    return right(architecture.Layer(replace(weights, query=query)), H)


def whole_mean(layer, H, right):
    """Attention with the same weight for every earlier column."""
    weights = layer.weights()
    return right(architecture.Layer(replace(weights, query=torch.zeros_like(weights.query))), H)


def layer_norm(change: Callable) -> Break:
    def apply(patch: pytest.MonkeyPatch) -> None:
        right = architecture.layer_norm
        patch.setattr(architecture, "layer_norm", lambda V: change(V, right))

    return apply


def with_epsilon(V, right):
    centred = V - V.mean(dim=-2, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(dim=-2, keepdim=True) + 1e-5)


def relu(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.nn.functional, "gelu", torch.relu)


def oracle_off(patch: pytest.MonkeyPatch) -> None:
    for name in ("posterior_mean", "posterior_mean_all_prefixes"):
        right = getattr(RegressionMixture, name)
        patch.setattr(RegressionMixture, name, scaled(right, 1.000001))


def scaled(right: Callable, factor: float) -> Callable:
    return lambda *given: factor * right(*given)


def other_scores(patch: pytest.MonkeyPatch) -> None:
    """The illustration with sigma^2 for 2 sigma^2."""
    right = illustration.Illustration.matrices.func

    def wrong(self):
        stages = right(self)
        first = 2 * self.d + self.m + 1
        scores = stages[6][first : first + self.m, -1]
        for stage in stages[6:]:
            stage[first : first + self.m, -1] = 2 * scores
        return stages

    patch.setattr(illustration.Illustration, "matrices", property(wrong))


LAYERS = frozenset(
    f"proposition-1-{name}"
    for name in ("copy-down", "copy-over", "mul", "aff", "scaled-agg", "soft")
)
SHALLOW = frozenset({"three-layers", "two-layers"})
NETWORKS = frozenset({"lemma-2-network", "theorem-1", "theorem-1-float32"}) | SHALLOW
ARCHITECTURE = frozenset({"section-1-2"})
PROGRAM = frozenset({"program-answer", "program-illustration"})
LAYER_NORM = frozenset({"section-1-2-layer-norm"})
ATTENDING = frozenset({"proposition-1-copy-over", "proposition-1-scaled-agg"})

#: What is broken, and every statement that falls; all others stand.
BREAKAGES: dict[str, tuple[Break, frozenset[str]]] = {
    "nothing": (lambda patch: None, frozenset()),
    "copy_down negated": (
        values_of(program_lines.CopyDown, lambda line, H, right: -right),
        {
            "program-line-1",
            "program-line-3",
            "proposition-1-copy-down",
            "display-9b",
            "definition-copy-down",
        }
        | PROGRAM,
    ),
    "copy_over from the column itself": (
        values_of(
            program_lines.CopyOver, lambda line, H, right: line.sources()[0].of(H, line.columns)
        ),
        {"program-line-2", "proposition-1-copy-over", "display-9a", "definition-copy-over"}
        | PROGRAM,
    ),
    "mul as a sum": (
        values_of(
            program_lines.Mul,
            lambda line, H, right: sum(rows.of(H, line.columns) for rows in line.sources()),
        ),
        {"program-line-5", "program-line-8", "proposition-1-mul", "definition-mul"} | PROGRAM,
    ),
    "W' negated in aff": (
        values_of(program_lines.Aff, second_map_negated),
        {"program-line-4", "proposition-1-aff", "lemma-2", "definition-aff"} | PROGRAM,
    ),
    "sign of scaled_agg": (
        values_of(program_lines.ScaledAgg, lambda line, H, right: -right),
        {"program-line-6", "proposition-1-scaled-agg", "display-9c", "definition-scaled-agg"}
        | PROGRAM,
    ),
    "softmax without its sum": (
        softmax_without_sum,
        {"program-line-7", "proposition-1-soft", "definition-soft"} | PROGRAM,
    ),
    "sigmoid of -v": (
        lambda patch: patch.setattr(softmax_route, "logistic", lambda v: matrices.logistic(-v)),
        {"lemma-2", "definition-sigmoid"},
    ),
    "scores of the illustration doubled": (other_scores, {"program-line-6", "program-line-7"}),
    "squares off by 1e-6": (squares_off, {"proposition-1-mul", "theorem-1"} | SHALLOW),
    "logit gap of 3": (small_gap, ATTENDING | NETWORKS),
    "attention scaled by 1/sqrt(d)": (
        attention(scaled_logits),
        ARCHITECTURE | {"proposition-1-soft", "lemma-2-write"} | NETWORKS,
    ),
    "attention without logits": (
        attention(whole_mean),
        ARCHITECTURE | ATTENDING | {"proposition-1-soft", "lemma-2-write"} | NETWORKS,
    ),
    "attention of the wrong sign": (
        attention(lambda layer, H, right: -right(layer, H)),
        ARCHITECTURE | ATTENDING | {"proposition-1-soft", "lemma-2-write"} | NETWORKS,
    ),
    # The rows +L and -L drown an epsilon: the networks stand.
    "LayerNorm with epsilon 1e-5": (layer_norm(with_epsilon), ARCHITECTURE | LAYER_NORM),
    "LayerNorm off by 1e-3": (
        layer_norm(lambda V, right: 1.001 * right(V)),
        ARCHITECTURE | LAYER_NORM | LAYERS | NETWORKS | {"budget-rows"},
    ),
    # relu(u) - relu(-u) = u as well: only products fall.
    "ReLU for GeLU": (
        relu,
        ARCHITECTURE
        | {"section-1-2-gelu", "proposition-1-mul", "theorem-1", "theorem-1-float32"}
        | SHALLOW,
    ),
    "oracle off by 1e-6": (
        oracle_off,
        {"theorem-1", "display-7", "figure-2-least-squares", "program-answer"} | SHALLOW,
    ),
}
