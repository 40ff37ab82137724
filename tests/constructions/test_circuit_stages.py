"""One list of circuits through every stage: interpreter, unrolled, folded, plans, weights.

The judge is `loops`: every value, in every column where it is defined, not the answer alone.
"""

import numpy as np
import pytest
import torch

from constructions.compiled_circuit import CompiledCircuit
from constructions.evaluate import Evaluation, columns_of, evaluate
from constructions.passes.fold_linear import fold_linear
from constructions.passes.unroll import unroll
from constructions.passes.validate import validate
from constructions.values import (
    Affine,
    Attention,
    Fetch,
    Mixture,
    Previous,
    Product,
    ProductSum,
    Sum,
    Token,
)
from tests.circuits import BUILDERS, NAMES, CircuitCase, tokens_in_box
from tests.constructions.circuit_checks import PLAN, planned, uses, weighted
from tests.constructions.judges import Matrix
from tests.constructions.loops import Meaning

every_circuit = pytest.mark.parametrize("name", NAMES)
every_dtype = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
UNROLLED = tuple(name for name in NAMES if BUILDERS[name]().unrolls)


def built(name: str) -> tuple[CircuitCase, Matrix]:
    case = BUILDERS[name]()
    return case, tokens_in_box(case.circuit.prompt, 2, seed=NAMES.index(name))


def test_every_kind_of_value_is_in_the_list() -> None:
    circuits = [BUILDERS[name]().circuit for name in NAMES]
    kinds = {type(value) for circuit in circuits for value in circuit.values()}
    kinds |= {type(value) for circuit in circuits for value in fold_linear(circuit).values()}
    nodes = {Token, Affine, Product, ProductSum, Previous, Sum, Fetch, Mixture, Attention}
    assert kinds == nodes
    assert len(UNROLLED) < len(NAMES)


@every_circuit
def test_the_interpreter_agrees_with_loops_on_every_value(name: str) -> None:
    case, tokens = built(name)
    circuit = validate(case.circuit)
    for dtype in (np.float64, np.longdouble):
        run = Evaluation(circuit, tokens.astype(dtype))
        for b, prompt in enumerate(tokens):
            meaning = Meaning(circuit, prompt)
            for value in circuit.values():
                wanted = meaning.matrix(value)
                outside = np.isnan(wanted)
                assert not run[value][b][outside].any()
                size = max(1.0, float(np.nanmax(np.abs(wanted))))
                error = np.abs(run[value][b] - wanted)[~outside].max()
                assert error <= 32 * 2.0**-52 * size


@every_circuit
def test_prefixes_are_what_shorter_prompts_give(name: str) -> None:
    case, tokens = built(name)
    whole = evaluate(case.circuit, tokens)
    for q in range(1, tokens.shape[2], 2):
        part = evaluate(case.circuit, tokens[:, :, :q])
        size = max(1.0, float(np.abs(whole).max()))
        np.testing.assert_allclose(part, whole[:, :, :q], rtol=0, atol=1e-14 * size)


@pytest.mark.parametrize("name", UNROLLED)
def test_unrolled_circuits_agree(name: str) -> None:
    case, tokens = built(name)
    unrolled = validate(unroll(case.circuit))
    assert not any(isinstance(value, Sum) for value in unrolled.values())
    for prompt in tokens:
        wanted = Meaning(case.circuit, prompt).matrix(case.circuit.output)
        found = Meaning(unrolled, prompt).matrix(unrolled.output)
        size = max(1.0, float(np.nanmax(np.abs(wanted))))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * size)


@every_dtype
@pytest.mark.parametrize("wide", [False, True])
@every_circuit
def test_every_value_of_every_stage(name: str, wide: bool, dtype: torch.dtype) -> None:
    case, tokens = built(name)
    if wide and not case.unrolls:
        with pytest.raises(ValueError, match="cannot be unrolled"):
            CompiledCircuit(case.circuit, dtype, wide=True)
        return
    model = CompiledCircuit(case.circuit, dtype, wide=wide)
    found = list(uses(case.circuit, model, tokens))
    assert {use.stage.split()[0] for use in found} == {"fold", "plan", "weights"}
    assert [use for use in found if not use.use <= 1] == []


@pytest.mark.parametrize("wide", [False, True])
@every_circuit
def test_the_answer_is_read_from_the_last_layer(name: str, wide: bool) -> None:
    """`run_tokens` reads what the stages above have compared, and the answer's constant."""
    case, tokens = built(name)
    model = CompiledCircuit(case.circuit, wide=wide and case.unrolls)
    found = model.run_tokens(tokens)
    size = model.ranges[model.folded.output].largest
    for b, prompt in enumerate(tokens):
        wanted = Meaning(case.circuit, prompt).matrix(case.circuit.output)
        defined = ~np.isnan(wanted)
        assert np.abs(found[b] - wanted)[defined].max() <= 2**9 * 2.0**-52 * size


@pytest.mark.parametrize("wide", [False, True])
@every_circuit
def test_attended_rows_are_exactly_zero_where_they_mean_nothing(name: str, wide: bool) -> None:
    """Rows are shared on the strength of it. Plans add a zero part of what the sink carries."""
    case, tokens = built(name)
    model = CompiledCircuit(case.circuit, wide=wide and case.unrolls)
    q = tokens.shape[2]
    for r, row in enumerate(model.allocation.rows):
        if not row.attended:
            continue
        meant = {c for kind in _sets(row.kinds) for c in columns_of(kind, q)}
        rest = [c for c in range(q) if c not in meant]
        for streams in (planned, weighted):
            for prompt in tokens:
                *_, last = streams(model, prompt)
                assert not last[r, : model.stream.before].any()
                assert not last[r, model.stream.before :][rest].any()


def _sets(kinds):
    from constructions.program import ColumnSet

    return [ColumnSet(frozenset({kind})) for kind in kinds]


@every_circuit
def test_ranges_hold_on_the_whole_box(name: str) -> None:
    """Corners and middle of the box, every wire and every operand."""
    case, _ = built(name)
    model = CompiledCircuit(case.circuit)
    prompt = case.circuit.prompt
    draws = [tokens_in_box(prompt, 2, seed=s, fill=f) for s in (0, 1) for f in (1.0, 0.3)]
    draws += [np.sign(draws[0]) * _largest(prompt), np.zeros_like(draws[0])]
    for tokens in draws:
        run = Evaluation(model.folded, tokens)
        for value in model.folded.values():
            held = run[value][:, :, columns_of(value.columns, tokens.shape[2])]
            bounds = model.ranges[value]
            slack = PLAN * 2.0**-52 * max(bounds.largest, 1.0)
            assert (held >= bounds.low[None, :, None] - slack).all()
            assert (held <= bounds.high[None, :, None] + slack).all()


def _largest(prompt) -> Matrix:
    """The corner of cube and ball, for every entry of the tokens (d, 2K + 1)."""
    corner = np.zeros((prompt.dim, prompt.num_columns))
    corner[:, ::2] = min(prompt.box.covariate, prompt.box.covariate_norm / prompt.dim**0.5)
    corner[0, 1::2] = prompt.box.label
    return corner
