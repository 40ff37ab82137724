"""Prompt batches: storage, prefixes, padding, layout, and errors that say all that is wrong."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from theory import PromptBatch
from theory.misfit import Misfit


def counting(batch: int, k: int, d: int) -> PromptBatch:
    xs = np.arange(1.0, 1 + batch * (k + 1) * d).reshape(batch, k + 1, d)
    return PromptBatch(xs, -np.arange(1.0, 1 + batch * k).reshape(batch, k))


def test_arrays_are_read_only_copies_in_float64() -> None:
    xs = np.asfortranarray(np.ones((2, 3, 4), dtype=np.float32))
    prompts = PromptBatch(xs, [[1, 2], [3, 4]])
    xs[:] = 5
    assert prompts.xs.max() == 1
    for array in (prompts.xs, prompts.ys):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert (prompts.batch_size, prompts.num_examples, prompts.dim) == (2, 2, 4)
    assert repr(prompts) == "PromptBatch(batch_size=2, num_examples=2, dim=4)"


def test_examples_and_queries() -> None:
    prompts = counting(2, 3, 2)
    np.testing.assert_array_equal(prompts.examples, prompts.xs[:, :3])
    np.testing.assert_array_equal(prompts.queries, prompts.xs[:, 3])


def test_no_examples() -> None:
    prompts = PromptBatch([[[1.0, 2.0]]], [[]])
    assert prompts.num_examples == 0
    np.testing.assert_array_equal(prompts.interleaved(), [[[1.0], [2.0]]])


def test_prefix_ends_in_its_own_query() -> None:
    prompts = counting(2, 3, 2)
    prefix = prompts.prefix(1)
    np.testing.assert_array_equal(prefix.queries, prompts.xs[:, 1])
    np.testing.assert_array_equal(prefix.ys, prompts.ys[:, :1])
    with pytest.raises(ValueError, match=r"prefix\(4\).*from 0 to 3"):
        prompts.prefix(4)
    with pytest.raises(ValueError, match=r"prefix\(-1\)"):
        prompts.prefix(-1)


def test_pad_inserts_zero_examples_before_the_query() -> None:
    prompts = counting(2, 1, 2)
    padded = prompts.pad(3)
    np.testing.assert_array_equal(padded.queries, prompts.queries)
    np.testing.assert_array_equal(padded.xs[:, 0], prompts.xs[:, 0])
    np.testing.assert_array_equal(padded.xs[:, 1:3], 0)
    np.testing.assert_array_equal(padded.ys, [[-1, 0, 0], [-2, 0, 0]])
    with pytest.raises(ValueError, match=r"pad\(0\).*already have 1 examples"):
        prompts.pad(0)


def test_interleaved_is_the_input_of_the_paper() -> None:
    columns = PromptBatch([[[1, 2], [3, 4], [5, 6]]], [[7, 8]]).interleaved()
    np.testing.assert_array_equal(columns, [[[1, 7, 3, 8, 5], [2, 0, 4, 0, 6]]])


def test_slices_select_prompts() -> None:
    prompts = counting(5, 2, 3)
    assert len(prompts) == 5
    np.testing.assert_array_equal(prompts[1:3].xs, prompts.xs[1:3])
    np.testing.assert_array_equal(prompts[1:3].ys, prompts.ys[1:3])
    with pytest.raises(ValueError, match="batch = 0"):
        prompts[5:]


GOOD_XS = np.ones((2, 3, 4))
GOOD_YS = np.ones((2, 2))


@pytest.mark.parametrize(
    ("xs", "ys", "messages"),
    [
        (GOOD_XS[0], GOOD_YS, [r"xs has shape \(3, 4\)", r"\(batch, k\+1, d\)", "add the missing"]),
        (GOOD_XS, GOOD_YS[..., None], [r"ys has shape \(2, 2, 1\)", r"\(batch, k\)", "drop the"]),
        (GOOD_XS, np.ones((2, 3)), ["expected 2 labels for each prompt", "got 3"]),
        (GOOD_XS, np.ones((5, 2)), ["2 and 5 prompts; expected as many"]),
        (GOOD_XS * 1j, GOOD_YS, ["xs has dtype complex128", "convert it to float64"]),
        (GOOD_XS, [["a", "b"], ["c", "d"]], ["ys has dtype <U1"]),
        (GOOD_XS, [[1.0], [1.0, 2.0]], ["ys is not a rectangular array"]),
        (np.ones((2, 3, 0)), GOOD_YS, ["d = 0", "at least one coordinate"]),
        (np.ones((2, 0, 4)), GOOD_YS, [r"k\+1 = 0", "at least one covariate, the query"]),
        (np.ones((0, 3, 4)), np.ones((0, 2)), ["batch = 0", "at least one prompt"]),
    ],
)
def test_bad_input_is_explained(xs: object, ys: object, messages: list[str]) -> None:
    for message in messages:
        with pytest.raises(ValueError, match=message):
            PromptBatch(xs, ys)  # type: ignore[arg-type]


def test_the_first_entry_that_is_not_finite_is_named() -> None:
    xs, ys = GOOD_XS.copy(), GOOD_YS.copy()
    xs[1, 2, 3] = xs[1, 0, 2] = np.nan
    ys[0, 1] = -np.inf
    with pytest.raises(ValueError, match=r"2 problem") as caught:
        PromptBatch(xs, ys)
    assert "xs[1, 0, 2] is nan (and 1 more such entries)" in str(caught.value)
    assert "ys[0, 1] is -inf; expected finite" in str(caught.value)


def test_all_problems_come_at_once() -> None:
    xs = np.ones((2, 3, 0))
    ys = [[1.0, np.nan, 1.0]]
    with pytest.raises(ValueError, match="4 problem") as caught:
        PromptBatch(xs, ys)
    for part in ("d = 0", "ys[0, 1] is nan", "2 and 1 prompts", "expected 2 labels"):
        assert part in str(caught.value)


def test_shapes_in_signatures_are_enforced_while_tests_run() -> None:
    with pytest.raises(TypeCheckError):
        Misfit(counting(1, 1, 2), np.ones(2), 1.0)
