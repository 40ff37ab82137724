import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import norm

from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics, expectation_step, maximisation_step
from theory.grouped_examples import GroupedExamples

#: d, m, the sizes of groups, a seed.
SIZES = st.tuples(
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.integers(1, 7), min_size=1, max_size=6),
    st.integers(0, 999),
)


def problem(d, m, sizes, seed):
    """Groups with their rows shuffled, and a mixture of the same dimension."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat([f"g{i}" for i in range(len(sizes))], sizes))
    table = GroupedExamples(rng.normal(size=(len(groups), d)), rng.normal(size=len(groups)), groups)
    return table, RegressionMixture(rng.normal(size=(m, d)), 0.7, rng.dirichlet(np.ones(m)))


def rows_of(table, group):
    rows = table.codes == group
    return table.xs[rows], table.ys[rows]


def test_names_are_sorted_and_sizes_counted():
    table = GroupedExamples([[1.0]] * 4, [1, 2, 3, 4], ["b", "a", "b", "c"])
    assert table.names.tolist() == ["a", "b", "c"]
    assert table.codes.tolist() == [1, 0, 1, 2]
    assert table.sizes.tolist() == [1, 2, 1]
    assert (len(table), table.dim) == (3, 1)
    assert repr(table) == "GroupedExamples(3 groups of 1 to 2 rows, dim=1)"
    assert GroupedExamples([[1.0]], [1], [7]).names.tolist() == [7]
    assert GroupedExamples([[1.0]], [1], np.array(["a"], dtype=object)).names.tolist() == ["a"]


@settings(deadline=None)
@given(SIZES)
def test_the_e_step_is_bayes_rule_with_the_rows_of_each_group(size):
    table, mixture = problem(*size)
    found = expectation_step(PromptStatistics(table), mixture)
    densities = np.empty((len(table), mixture.num_components))
    for i in range(len(table)):
        xs, ys = rows_of(table, i)
        for j, w in enumerate(mixture.components):
            densities[i, j] = mixture.weights[j] * np.prod(norm.pdf(ys, xs @ w, 0.7))
    total = densities.sum(axis=1, keepdims=True)
    assert_allclose(found.responsibilities, densities / total, rtol=1e-9, atol=1e-300)
    assert_allclose(found.log_likelihood, np.sum(np.log(total)), rtol=1e-11, atol=1e-10)


@settings(deadline=None)
@given(SIZES)
def test_the_m_step_is_weighted_least_squares_on_the_rows(size):
    table, mixture = problem(*size)
    statistics = PromptStatistics(table)
    gamma = expectation_step(statistics, mixture).responsibilities
    found = maximisation_step(statistics, gamma, None)
    squares = 0.0
    for j, w in enumerate(found.components):
        roots = np.sqrt(gamma[table.codes, j])
        best = np.linalg.lstsq(roots[:, None] * table.xs, roots * table.ys)[0]
        residuals = [np.sum((roots * (table.ys - table.xs @ v)) ** 2) for v in (w, best)]
        assert residuals[0] <= residuals[1] * (1 + 1e-9) + 1e-12
        squares += residuals[0]
    assert_allclose(found.noise_std**2, squares / len(table.ys), rtol=1e-9, atol=1e-14)
    assert_allclose(found.weights, gamma.mean(axis=0), rtol=1e-12)


@settings(deadline=None)
@given(SIZES)
def test_the_likelihood_never_falls_whether_the_noise_level_is_known_or_not(size):
    table, start = problem(*size)
    statistics = PromptStatistics(table)
    for noise_std in (0.7, None):
        mixture, values = start, []
        for _ in range(8):
            expectation = expectation_step(statistics, mixture)
            values.append(expectation.log_likelihood)
            mixture = maximisation_step(statistics, expectation.responsibilities, noise_std)
            if mixture.noise_std < 1e-6:  # everything is fitted: the likelihood has no maximum
                break
        steps = np.diff(values)
        assert np.all(steps >= -1e-9 * (1 + np.abs(values[1:])))


def test_groups_of_one_size_are_prompts():
    mixture = RegressionMixture.random(3, 4, 0.5, np.random.default_rng(0))
    prompts = mixture.sample_prompts(30, 6, np.random.default_rng(1))
    table = GroupedExamples(
        prompts.examples.reshape(-1, 4), prompts.ys.ravel(), np.repeat(np.arange(30), 6)
    )
    one, other = PromptStatistics(prompts), PromptStatistics(table)
    assert np.array_equal(one.triangles, other.triangles)
    assert np.array_equal(one.num_examples, other.num_examples)


def test_the_statistics_are_the_same_block_by_block(monkeypatch):
    mixture = RegressionMixture.random(3, 4, 0.5, np.random.default_rng(0))
    prompts = mixture.sample_prompts(30, 6, np.random.default_rng(1))
    whole = PromptStatistics(prompts)
    monkeypatch.setattr("theory.em._BLOCK", 100)
    parts = PromptStatistics(prompts)
    assert np.array_equal(whole.triangles, parts.triangles)
    sums = [s.residual_sums(mixture.components) for s in (whole, parts)]
    assert_allclose(*sums, rtol=1e-14)


def test_the_noise_within_groups_has_no_bias():
    """Even for groups whose covariates do not span the space."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(2000), rng.integers(1, 7, 2000))
    xs = rng.normal(size=(len(codes), 2))
    xs[codes % 2 == 0, 1] = 0.0
    w = rng.normal(size=(2000, 2))
    ys = np.sum(xs * w[codes], axis=1) + 0.5 * rng.normal(size=len(codes))
    statistics = PromptStatistics(GroupedExamples(xs, ys, codes))
    free = np.sum(np.maximum(np.bincount(codes) - 2, 0))
    # The square is a chi-square over its degrees of freedom: a relative deviation of sqrt(2/free).
    assert abs(statistics.noise_std_within() ** 2 / 0.25 - 1) < 4 * np.sqrt(2 / free)


def test_short_groups_show_no_noise():
    table = GroupedExamples(np.ones((4, 2)), np.ones(4), [0, 0, 1, 1])
    assert PromptStatistics(table).noise_std_within() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0], ["a"]), r"xs has shape \(1,\)"),
        (([[1.0]], [1.0, 2.0], ["a"]), "1 rows in xs, 2 in ys and 1 in groups"),
        (([[np.nan]], [1.0], ["a"]), r"xs\[0, 0\] is nan"),
        ((np.ones((0, 2)), [], np.array([], dtype=int)), "rows >= 1"),
        (([[1.0]], [1.0], [0.5]), "dtype float64; expected the name"),
        (([[1.0]], [1.0], [["a"]]), "groups has shape"),
        (([[1.0]] * 2, [1.0] * 2, np.array(["a", None], dtype=object)), "types NoneType, str"),
        (([[1.0]] * 2, [1.0] * 2, ["a", ""]), r"groups\[1\] is empty"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupedExamples(*arguments)


def test_a_batch_and_a_table_of_other_dimension_are_refused():
    statistics = PromptStatistics(GroupedExamples([[1.0, 2.0]], [1.0], ["a"]))
    with pytest.raises(ValueError, match="dimension d = 2 and the components 1"):
        expectation_step(statistics, RegressionMixture([[1.0]], 1.0))
    with pytest.raises(ValueError, match="no labelled examples"):
        PromptStatistics(PromptBatch(np.ones((2, 1, 3)), np.ones((2, 0))))
