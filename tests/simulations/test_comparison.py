"""A model beside candidates: every number by hand, on arrays small enough for it."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.comparison import compare
from theory import PromptBatch


@dataclass(frozen=True, eq=False)
class Told:
    """A predictor whose answers are given."""

    answers: np.ndarray
    name: str = "told"

    def predict(self, prompts):
        return self.answers[:, -1]

    def predict_all_prefixes(self, prompts):
        return self.answers


PROMPTS = PromptBatch(np.ones((4, 2, 3)), np.ones((4, 1)))
MODEL = Told(np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0], [3.0, 1.0]]))
NEAR = Told(np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 1.0], [1.0, 1.0]]))
FAR = Told(np.array([[2.0, 0.0], [2.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))
EXACT = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 3.0]])


def compared(exact=EXACT, candidates=None, model=MODEL, **options):
    named = {"near": NEAR, "far": FAR} if candidates is None else candidates
    return compare(model, named, PROMPTS, exact, np.random.default_rng(0), **options)


def test_means_and_medians_by_hand():
    found = compared()
    assert (found.model, found.candidates, found.num_prompts) == ("transformer", ("near", "far"), 4)
    means = {
        # (f - exact)^2: columns are prefixes.
        "error/transformer": [(1 + 1 + 0 + 4) / 4, (0 + 1 + 1 + 4) / 4],
        "error/near": [(1 + 1 + 0 + 0) / 4, (0 + 1 + 0 + 4) / 4],
        "error/far": [(1 + 1 + 0 + 0) / 4, (1 + 1 + 1 + 9) / 4],
        "excess/near": [1.0, 0.25],
        "excess/far": [1.0, -1.5],
        "distance/near": [(0 + 0 + 0 + 4) / 4, (0 + 0 + 1 + 0) / 4],
        "distance/far": [(4 + 4 + 0 + 4) / 4, (1 + 4 + 0 + 1) / 4],
        "margin/far": [2.0, 1.25],
        "apart/far": [(4 + 4 + 0 + 0) / 4, (1 + 4 + 1 + 1) / 4],
    }
    arrays = found.as_arrays()
    for name, expected in means.items():
        assert arrays[f"{name}/mean"].tolist() == expected, name
    medians = {"transformer": [1.0, 1.0], "near": [0.5, 0.5], "far": [0.5, 1.0]}
    for name, expected in medians.items():
        assert arrays[f"error/{name}/median"].tolist() == expected
    fields = {"mean", "low", "high", "standard_error"}
    expected_names = {f"{name}/{field}" for name in means for field in fields}
    assert arrays.keys() == expected_names | {f"error/{name}/median" for name in medians}


def test_standard_errors_are_of_paired_differences():
    """(0 4 0 0) - (1 4 0 1) over prompts, not the difference of two bands."""
    found = compared()
    differences = np.array([1.0, 4.0, 0.0, 1.0]) - np.array([0.0, 0.0, 1.0, 0.0])
    assert found.margins["far"].standard_error[1] == pytest.approx(differences.std(ddof=1) / 2)
    paired = np.array([0.0, 1.0, 1.0, 4.0]) - np.array([0.0, 1.0, 0.0, 4.0])
    assert found.excess["near"].standard_error[1] == pytest.approx(paired.std(ddof=1) / 2)


def test_all_bands_are_of_the_same_resamples():
    """Candidates that differ by a constant error have bands that differ by it, draw by draw."""
    rng = np.random.default_rng(1)
    answers = rng.normal(size=(50, 3))
    prompts = PromptBatch(rng.normal(size=(50, 3, 2)), rng.normal(size=(50, 2)))
    one, other = Told(answers), Told(-answers)
    found = compare(
        Told(2 * answers), {"one": one, "other": other, "again": one}, prompts, 0 * answers, rng
    )
    for field in ("low", "high"):
        bands = {name: getattr(band, field) for name, band in found.distances.items()}
        assert np.array_equal(bands["one"], bands["again"])
        # (2a + a)^2 = 9 (2a - a)^2 prompt by prompt.
        np.testing.assert_allclose(bands["other"], 9 * bands["one"], rtol=1e-12)
        margin, apart = getattr(found.margins["other"], field), getattr(found.apart["other"], field)
        np.testing.assert_allclose(margin, 8 * bands["one"], rtol=1e-12)
        np.testing.assert_allclose(apart, 4 * bands["one"], rtol=1e-12)
        np.testing.assert_allclose(getattr(found.errors["one"], field), bands["one"], rtol=1e-12)
    assert not found.margins["again"].high.any()


def test_the_closest_and_ties():
    assert compared().closest == (("near",), ("near",))
    tied = {"far": FAR, "near": NEAR, "also": Told(NEAR.answers.copy())}
    assert compared(candidates=tied).closest == (("near", "also"), ("near", "also"))
    mixed = Told(np.column_stack([NEAR.answers[:, 0], FAR.answers[:, 1]]))
    assert compared(model=mixed).closest == (("near",), ("far",))


def test_without_the_labels_without_noise_there_are_no_errors():
    found = compared(exact=None)
    assert (found.errors, found.median_errors, found.excess) == ({}, {}, {})
    assert found.closest == compared().closest
    kinds = {name.split("/")[0] for name in found.as_arrays()}
    assert kinds == {"distance", "margin", "apart"}


def test_one_candidate_has_no_margin():
    found = compared(candidates={"near": NEAR})
    assert (found.margins, found.apart) == ({}, {})
    assert found.closest == (("near",), ("near",))


@given(st.integers(0, 2**32), st.integers(2, 20), st.integers(1, 4), st.integers(1, 30))
@settings(max_examples=15)
def test_the_same_stream_gives_the_same_bands(seed, batch, prefixes, trials):
    rng = np.random.default_rng(seed)
    model, one, two, exact = rng.normal(size=(4, batch, prefixes))
    prompts = PromptBatch(np.ones((batch, prefixes, 1)), np.ones((batch, prefixes - 1)))
    first, second = (
        compare(
            Told(model),
            {"one": Told(one), "two": Told(two)},
            prompts,
            exact,
            np.random.default_rng(seed),
            trials=trials,
        ).as_arrays()
        for _ in range(2)
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)
    for name in first:
        if name.endswith("/low"):
            assert np.all(first[name] <= first[name.replace("/low", "/high")])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"candidates": {}}, ["candidates are []; expected one or more"]),
        ({"candidates": {"transformer": NEAR}}, ["not named 'transformer'"]),
        ({"name": "near"}, ["not named 'near'"]),
        ({"exact": EXACT[:, :1]}, ["answers of exact have shape (4, 1); expected (4, 2)"]),
        ({"exact": EXACT[0]}, ["answers of exact has shape (2,)"]),
        ({"trials": 0}, ["trials is 0; expected an integer >= 1"]),
        (
            {"model": Told(np.full((4, 2), np.nan)), "candidates": {"a": Told(np.ones((4, 3)))}},
            ["answers of transformer[0, 0] is nan", "answers of a have shape (4, 3)", "2 problem"],
        ),
        ({"model": Told(np.full((4, 2), "x"))}, ["answers of transformer has dtype <U1"]),
    ],
)
def test_bad_input_is_named_all_at_once(changes, told):
    with pytest.raises(ValueError, match="problem") as caught:
        compared(**changes)
    assert all(part in str(caught.value) for part in told), caught.value


def test_one_prompt_is_too_few():
    with pytest.raises(ValueError, match="there are 1 prompts; expected at least 2"):
        compare(MODEL, {"near": NEAR}, PROMPTS[:1], None, np.random.default_rng(0))
