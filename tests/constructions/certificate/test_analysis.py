"""Every wire of compiled networks stays within its certified error, in both float types."""

import numpy as np
import pytest
import torch

from constructions import Box, Circuit, CompiledCircuit, Prompt, compile_posterior_mean, previous
from constructions.architecture import LayerWeights
from constructions.certificate.analysis import Analysis
from constructions.certificate.bounds import CertificateError
from constructions.certificate.rounding import RoundingModel
from constructions.certificate.selection import constant_logits
from constructions.certificate.sizes import BoxSizes, PromptSizes
from constructions.evaluate import Evaluation, columns_of
from constructions.library.certified import wings_for
from constructions.library.posterior_mean_transformer import PosteriorMeanTransformer
from constructions.values import attention, total
from constructions.winged import fitted_square
from tests.cases import STAGE_CASES, Case
from tests.constructions.drawing import with_prior
from theory import RegressionMixture

DTYPES = (torch.float64, torch.float32)


def tokens_in(box: Box, dim: int, examples: int, rng: np.random.Generator) -> np.ndarray:
    """Random prompts, prompts at the corners of the box, and small ones; float32 holds them."""
    q = 2 * examples + 1
    tokens = np.zeros((12, dim, q))
    sizes = rng.uniform(-1, 1, (12, dim, examples + 1))
    sizes[4:8] = np.sign(sizes[4:8])
    sizes[8:] *= 1e-3
    xs = sizes * box.covariate
    norms = np.linalg.norm(xs, axis=1, keepdims=True)
    tokens[:, :, 0::2] = xs * np.minimum(1.0, 0.999 * box.covariate_norm / norms)
    ys = rng.uniform(-1, 1, (12, examples))
    ys[4:8] = np.sign(ys[4:8])
    tokens[:, 0, 1::2] = ys * box.label
    return tokens.astype(np.float32).astype(float)


def measured(model: CompiledCircuit, tokens: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The largest error of every entry of every wire (dim,), against extended precision."""
    exact = Evaluation(model.folded, tokens.astype(np.longdouble))
    state = model.embed(tokens)
    found = []
    with torch.no_grad():
        for layer, scheduled in zip(model.layers, model.schedule, strict=True):
            state = layer(state)
            stream = model.stream_of(state)[:, :, model.stream.before :]
            for wire in (*scheduled.attended, *scheduled.multiplied):
                columns = columns_of(wire.columns, tokens.shape[2])
                every = [stream[:, rows].sum(axis=1) for rows in model.allocation.all_rows(wire)]
                rows = np.stack(every, axis=1)[:, :, columns]
                errors = np.abs(rows - exact[wire][:, :, columns]).astype(float)
                found.append((type(wire).__name__, errors.max(axis=(0, 2))))
    return found


def certified(model: CompiledCircuit, analysis: Analysis) -> list[np.ndarray]:
    return [analysis.total(wire) for wire in model.wires[2:]]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("case", STAGE_CASES, ids=str)
def test_every_wire_is_within_its_bound(
    case: Case, prior: bool, layers: int, dtype: torch.dtype
) -> None:
    rng = np.random.default_rng(case.seed)
    mixture = RegressionMixture.random(case.num_components, case.dim, 1.0, rng)
    if prior:
        mixture = with_prior(mixture, case.seed)
    box = Box.entrywise(case.dim, 2.0, 4.0)
    model = compile_posterior_mean(mixture, case.num_examples, box, dtype, layers=layers)
    analysis = Analysis(model, BoxSizes(model.ranges))
    tokens = tokens_in(box, case.dim, case.num_examples, rng)
    for (name, errors), bound in zip(
        measured(model, tokens), certified(model, analysis), strict=True
    ):
        assert (errors <= bound).all(), name


@pytest.mark.parametrize("box", [Box(8.0, 30.0, 4.0), Box(2.0, 3.0)], ids=["wide", "narrow"])
@pytest.mark.parametrize("case", STAGE_CASES, ids=str)
def test_every_wire_is_within_its_bound_with_wings(case: Case, box: Box) -> None:
    rng = np.random.default_rng(case.seed)
    mixture = RegressionMixture.random(case.num_components, case.dim, 1.0, rng)
    plain = compile_posterior_mean(mixture, case.num_examples, box)
    winged = wings_for(plain, 1.0)
    model = PosteriorMeanTransformer(
        mixture, case.num_examples, box, square=fitted_square(), winged=winged
    )
    analysis = Analysis(model, BoxSizes(model.ranges))
    tokens = tokens_in(box, case.dim, case.num_examples, rng)
    for (name, errors), bound in zip(
        measured(model, tokens), certified(model, analysis), strict=True
    ):
        assert (errors <= bound).all(), name
    for some in tokens[:4]:
        sizes = PromptSizes(model.ranges, model.folded, some[None])
        bound = Analysis(model, sizes).answer().value
        exact = Evaluation(model.folded, some[None].astype(np.longdouble))[model.folded.output]
        error = np.abs(model.run_tokens(some[None]) - exact)[:, :, ::2].max()
        assert error <= bound <= analysis.answer().value


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("case", STAGE_CASES, ids=str)
def test_the_bound_at_a_prompt_is_sharper_and_holds(case: Case, layers: int) -> None:
    rng = np.random.default_rng(case.seed + 1)
    mixture = RegressionMixture.random(case.num_components, case.dim, 1.0, rng)
    box = Box.entrywise(case.dim, 4.0, 12.0)
    model = compile_posterior_mean(mixture, case.num_examples, box, layers=layers)
    whole = Analysis(model, BoxSizes(model.ranges)).answer().value
    for tokens in tokens_in(box, case.dim, case.num_examples, rng):
        sizes = PromptSizes(model.ranges, model.folded, tokens[None])
        bound = Analysis(model, sizes).answer().value
        exact = Evaluation(model.folded, tokens[None].astype(np.longdouble))[model.folded.output]
        error = np.abs(model.run_tokens(tokens[None]) - exact)[:, :, ::2].max()
        assert error <= bound <= whole


def test_a_circuit_with_attention_has_a_certificate() -> None:
    prompt = Prompt(2, 6, Box.entrywise(2, 2.0, 3.0))
    key = previous(prompt.covariate)
    circuit = Circuit("smoother", prompt, attention(prompt.covariate, 0.5 * key, prompt.label))
    model = CompiledCircuit(circuit)
    bound = Analysis(model, BoxSizes(model.ranges)).answer().value
    rng = np.random.default_rng(0)
    tokens = tokens_in(prompt.box, 2, 6, rng)
    exact = Evaluation(model.folded, tokens.astype(np.longdouble))[model.folded.output]
    error = np.abs(model.run_tokens(tokens) - exact)[:, :, ::2].max()
    assert 0 < error <= bound < 1e-11


def test_sums_with_constants_find_nothing_in_the_sink() -> None:
    prompt = Prompt(1, 5, Box.entrywise(1, 2.0, 3.0))
    shifted = prompt.label - 1.5
    circuit = Circuit("sum", prompt, total(shifted * shifted) + 2.0 * total(shifted))
    model = CompiledCircuit(circuit)
    tokens = tokens_in(prompt.box, 1, 5, np.random.default_rng(3))
    exact = Evaluation(model.folded, tokens.astype(np.longdouble))[model.folded.output]
    error = np.abs(model.run_tokens(tokens) - exact)[:, :, ::2].max()
    assert error <= Analysis(model, BoxSizes(model.ranges)).answer().value < 1e-9


def test_networks_without_prefix_columns_have_none() -> None:
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    model = compile_posterior_mean(mixture, 4, prefix_columns=False)
    with pytest.raises(CertificateError, match="without constant prefix columns"):
        model.certificate()


def scaled(weights: LayerWeights, factor: float) -> LayerWeights:
    return LayerWeights(
        weights.query * factor,
        weights.key,
        weights.value,
        weights.output,
        weights.inward,
        weights.outward,
    )


def test_a_head_that_blurs_its_columns_is_refused() -> None:
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    model = compile_posterior_mean(mixture, 4)
    model.certificate()
    with torch.no_grad():
        model.layers[0].query.mul_(0.9)
    with pytest.raises(CertificateError, match="layer 1, head 1: column"):
        model.certificate()


def test_a_mixture_that_sees_other_columns_is_refused() -> None:
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    model = compile_posterior_mean(mixture, 4)
    with torch.no_grad():
        model.layers[2].query[:, 2:].mul_(0.5)
    with pytest.raises(CertificateError, match="layer 3, head 1: columns that carry no component"):
        model.certificate()


def test_constant_logits_refuse_heads_that_read_the_prompt() -> None:
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    model = compile_posterior_mean(mixture, 4)
    rows = np.array([row.constant is not None for row in model.stream.rows])
    with pytest.raises(CertificateError, match="reads rows of the prompt"):
        constant_logits(
            model.layers[2].weights(),
            0,
            model.constants.numpy(),
            rows,
            RoundingModel.of(torch.float64),
        )
