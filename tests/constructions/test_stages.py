"""One case list through every stage: program, plans, weights in both float types, whole model.

After every line of the program the matrices agree with the judge's, entry by entry, within the
error budget of `error_budget`; what the program leaves at zero stays exactly zero.
"""

import numpy as np
import pytest
import torch

from constructions import compile_line_by_line
from constructions.interpreter import run
from tests.cases import STAGE_CASES, Case
from tests.constructions.drawing import (
    Draw,
    drawn,
    initial,
    rounded_to_float32,
    undecided,
    with_prior,
)
from tests.constructions.stage_checks import by_line, by_plan, judged_stages, worst_use
from theory import PromptBatch, RegressionMixture

every_case = pytest.mark.parametrize("case", STAGE_CASES, ids=str)
every_draw = pytest.mark.parametrize("draw", [drawn, undecided])
every_prior = pytest.mark.parametrize("prior", [False, True])
DTYPES = (torch.float64, torch.float32)


def problem(case: Case, draw: Draw, *, prior: bool) -> tuple[RegressionMixture, PromptBatch]:
    """A mixture and four prompts that float32 holds exactly."""
    mixture, prompts = draw(case, 4)
    return with_prior(mixture, case.seed) if prior else mixture, rounded_to_float32(prompts)


@every_prior
@every_draw
@every_case
def test_program_and_plans_agree_line_by_line(case: Case, draw: Draw, prior: bool) -> None:
    mixture, prompts = problem(case, draw, prior=prior)
    model, stages = (
        compile_line_by_line(mixture, case.num_examples),
        judged_stages(mixture, prompts),
    )
    H = initial(prompts, model.program.num_rows)
    interpreted = np.array([run(model.program, h) for h in H]).transpose(1, 0, 2, 3)
    for matrices in (dict(enumerate(interpreted)), by_plan(model, prompts)):
        uses = worst_use(model, stages, matrices, exact=True)
        assert list(uses) == list(range(len(stages.matrices)))
        assert max(uses.values()) <= 1


@every_prior
@every_draw
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@every_case
def test_weights_agree_line_by_line(
    case: Case, dtype: torch.dtype, draw: Draw, prior: bool
) -> None:
    mixture, prompts = problem(case, draw, prior=prior)
    model = compile_line_by_line(mixture, case.num_examples, dtype=dtype)
    stages = judged_stages(mixture, prompts)
    uses = worst_use(model, stages, by_line(model.trace(prompts)))
    assert list(uses) == list(range(len(stages.matrices)))
    assert max(uses.values()) <= 1


@every_draw
@every_case
def test_the_last_matrix_is_what_the_model_returns(case: Case, draw: Draw) -> None:
    mixture, prompts = problem(case, draw, prior=False)
    model = compile_line_by_line(mixture, case.num_examples)
    last = model.trace(prompts)[-1].matrix
    np.testing.assert_array_equal(model.predict(prompts), last[:, -1, -1])
    H = initial(prompts, model.program.num_rows)
    np.testing.assert_array_equal(model.run_matrices(H), last)
    wanted = judged_stages(mixture, prompts).matrices[-1][:, -1, -1]
    np.testing.assert_allclose(model.predict(prompts), wanted, rtol=0, atol=5e-12)


@every_case
def test_extra_rows_and_columns_are_back_to_their_constants(case: Case) -> None:
    """Between lines, scratch is zero and +L, -L and the constants are bitwise what they were."""
    mixture, prompts = problem(case, drawn, prior=False)
    model = compile_line_by_line(mixture, case.num_examples)
    first, *later = model.trace(prompts)
    rows = model.program.num_rows
    for activation in later:
        np.testing.assert_array_equal(activation.stream[:, rows:], first.stream[:, rows:])
        before = model.stream.prompt_columns.start
        np.testing.assert_array_equal(activation.stream[:, :, :before], first.stream[:, :, :before])
    assert len(later) == len(model.program.operations)
