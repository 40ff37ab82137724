"""What a compiled program refuses, rather than answer with a wrong number or NaN."""

import numpy as np
import pytest
import torch

from constructions import compile_line_by_line
from constructions.architecture import layer_norm
from constructions.compiled import CompiledProgram
from constructions.operators import Aff, CopyDown, CopyOver, Mul, OperatorError, Raw
from constructions.program import Program, Register
from theory import RegressionMixture

ONE = np.ones((1, 1))


def compiled(bound: float = 2.0, dtype: torch.dtype = torch.float64) -> CompiledProgram:
    registers = (Register("a", 1, 2, -bound, bound), Register("b", 3, 2, -bound, bound))
    line = CopyDown(1, 3, 2, frozenset({1, 2}))
    return CompiledProgram(Program("copy", registers, 3, (line,), ("a",)), dtype)


def matrix() -> np.ndarray:
    H = np.zeros((1, 4, 3))
    H[0, :2] = 1.5
    return H


@pytest.mark.parametrize("method", ["run_matrices", "trace_matrices"])
@pytest.mark.parametrize("shape", [(1, 5, 3), (1, 3, 3), (1, 4, 1)])
def test_wrong_shapes(method, shape):
    with pytest.raises(ValueError, match=r"expected \(batch, 4, 3\)"):
        getattr(compiled(), method)(np.zeros(shape))


@pytest.mark.parametrize("method", ["run_matrices", "trace_matrices"])
@pytest.mark.parametrize(
    ("row", "value"), [(0, 2.5), (0, 2.002), (1, np.nan), (2, 0.1), (0, np.inf)]
)
def test_entries_beyond_what_the_program_was_compiled_for(method, row, value):
    H = matrix()
    H[0, row, 1] = value
    complaint = r"rows \[3\] hold entries" if row == 2 else "register 'a' holds"
    with pytest.raises(ValueError, match=complaint):
        getattr(compiled(), method)(H)


def test_entries_within_are_answered():
    np.testing.assert_allclose(compiled().run_matrices(matrix())[0, 2:, :2], 1.5, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.int32, torch.float16, torch.bfloat16])
def test_other_types(dtype):
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"expected torch.float32 or torch.float64"):
        compile_line_by_line(mixture, 2, dtype=dtype)


@pytest.mark.parametrize(("bound", "dtype"), [(1e-40, torch.float32), (1e300, torch.float64)])
def test_ranges_that_the_float_type_cannot_scale(bound, dtype):
    with pytest.raises(ValueError, match=r"which the float type can scale"):
        compiled(bound, dtype)


@pytest.mark.parametrize("sigma", [1e-150, 1e-170])
def test_tiny_noise_is_refused_with_a_reason(sigma):
    mixture = RegressionMixture.random(2, 2, sigma, np.random.default_rng(0))
    with pytest.raises(ValueError, match="rescale"):
        compile_line_by_line(mixture, 2)


def test_many_columns_are_only_refused_where_a_line_copies_over():
    register = Register("H", 1, 2, -1.0, 1.0)
    down, over = CopyDown(1, 2, 1, frozenset({5})), CopyOver(1, 2, 1, frozenset({5}))
    CompiledProgram(Program("down", (register,), 20_000, (down,), ("H",)), torch.float32)
    with pytest.raises(ValueError, match="more than attention can tell apart"):
        CompiledProgram(Program("over", (register,), 20_000, (over,), ("H",)), torch.float32)


def test_raw_refuses_repeated_rows_and_columns_beyond_the_matrix():
    twice = Raw("+", (1,), (), (2, 2), ONE, np.zeros((1, 0)), np.ones((2, 1)), {})
    with pytest.raises(OperatorError, match=r"written rows \[2, 2\] repeat"):
        twice(np.zeros((3, 3)))
    beyond = Raw("+", (1,), (), (2,), ONE, np.zeros((1, 0)), ONE, {9: frozenset({1})})
    with pytest.raises(OperatorError, match=r"columns \[9\], which are not within 1..3"):
        beyond(np.zeros((3, 3)))


@pytest.mark.parametrize(
    "line",
    [
        Aff(1, 2, 3, 1, 2, 3, 0 * ONE, 0 * ONE, np.zeros(1), frozenset({1, 2})),
        Raw("+", (1,), (), (3,), ONE, np.zeros((1, 0)), ONE, {2: frozenset({1})}),
        Raw("*", (), (1,), (3,), np.zeros((1, 0)), ONE, ONE, {}),
        Mul(1, 1, 3, 1, frozenset()),
    ],
)
def test_empty_reads_zero_maps_and_empty_column_sets_are_compiled(line):
    register = Register("H", 1, 3, -4.0, 4.0)
    network = CompiledProgram(Program("edge", (register,), 3, (line,), ("H",)))
    H = np.random.default_rng(0).uniform(-2, 2, (5, 3, 3))
    expected = np.stack([line(matrix) for matrix in H])
    np.testing.assert_allclose(network.run_matrices(H), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-160, 1e160, 1e300])
def test_layer_norm_does_not_see_the_scale(size):
    V = torch.tensor([[[0.0], [1.0], [0.5], [-2.0]]], dtype=torch.float64)
    torch.testing.assert_close(layer_norm(size * V), layer_norm(V), rtol=1e-14, atol=0)


@pytest.mark.parametrize("size", [1e-35, 1e-25, 1e25, 1e37])
def test_layer_norm_does_not_see_the_scale_in_float32(size):
    V = torch.tensor([[[0.0], [1.0], [0.5], [-2.0]]], dtype=torch.float32)
    torch.testing.assert_close(layer_norm(size * V), layer_norm(V), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("scale", "sigma", "dtype"),
    [
        (1e-20, 0.5, torch.float64),
        (1e20, 0.5, torch.float64),
        (1e-10, 0.5, torch.float32),
        (1e10, 0.5, torch.float32),
        (1.0, 1e-6, torch.float32),
        (1.0, 1e6, torch.float32),
        (1.0, 1e12, torch.float64),
    ],
)
def test_float_types_too_coarse_for_the_problem_are_refused(scale, sigma, dtype):
    components = scale * np.random.default_rng(0).normal(size=(3, 2))
    mixture = RegressionMixture(components, scale * sigma)
    with pytest.raises(ValueError, match="rescale the problem"):
        compile_line_by_line(mixture, 4, dtype=dtype)


def test_components_of_weight_zero_do_not_widen_the_box():
    mixture = RegressionMixture([[1, 0], [0, 1], [1e8, 1e8]], 1.0, [0.5, 0.5, 0.0])
    network = compile_line_by_line(mixture, 4, dtype=torch.float32)
    prompts = mixture.sample_prompts(50, 4, np.random.default_rng(0))
    assert np.abs(network.predict(prompts) - mixture.posterior_mean(prompts)).max() < 1e-3


def test_a_prior_that_is_nearly_uniform_is_not_taken_for_uniform():
    mixture = RegressionMixture([[1.0], [-1.0]], 1.0, [0.5001, 0.4999])
    network = compile_line_by_line(mixture, 2)
    prompts = mixture.sample_prompts(20, 0, np.random.default_rng(0))
    np.testing.assert_allclose(
        network.predict(prompts), mixture.posterior_mean(prompts), atol=1e-12
    )
