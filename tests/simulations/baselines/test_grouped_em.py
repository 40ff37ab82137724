"""Batch EM on tables: groups of any sizes, an unknown noise level, and their CSV files."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from simulations.baselines import (
    BatchEM,
    GroupedExamples,
    SubspaceAlgorithm,
    read_grouped_csv,
    spread_start,
)
from theory import RegressionMixture
from theory.em import PromptStatistics, expectation_step

MIXTURE = RegressionMixture([[1.0, 2.0], [0.0, -1.0], [-2.0, 0.5]], 0.5, [0.5, 0.3, 0.2])


def draw(groups=200, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), rng.integers(1, 9, groups))
    chosen = rng.choice(3, p=MIXTURE.weights, size=groups)
    xs = rng.normal(size=(len(codes), 2))
    ys = np.sum(xs * MIXTURE.components[chosen[codes]], axis=1) + 0.5 * rng.normal(size=len(codes))
    return GroupedExamples(xs, ys, codes), chosen


@pytest.fixture(scope="module")
def table():
    return draw()[0]


@pytest.fixture(scope="module")
def fitted(table):
    return BatchEM(3, None, start=spread_start, n_init=5, tol=1e-8).fit(table)


def test_it_finds_components_weights_and_noise(fitted):
    order = np.argmin(
        np.linalg.norm(fitted.components_ - MIXTURE.components[:, None], axis=2), axis=1
    )
    assert sorted(order) == [0, 1, 2]
    # 900 rows, a fifth of them of the rarest component: a standard error of 0.5 / sqrt(180).
    assert_allclose(fitted.components_[order], MIXTURE.components, atol=5 * 0.5 / np.sqrt(180))
    assert_allclose(fitted.weights_[order], MIXTURE.weights, atol=4 * np.sqrt(0.25 / 200))
    assert abs(fitted.noise_std_ / 0.5 - 1) < 5 / np.sqrt(2 * 900)
    assert fitted.n_features_in_ == 2


def test_the_noise_level_maximises_the_likelihood(fitted, table):
    statistics = PromptStatistics(table)

    def loss(sigma):
        return -expectation_step(statistics, fitted.mixture_.with_noise_std(sigma)).log_likelihood

    best = minimize_scalar(loss, bounds=(0.2, 1.0), method="bounded", options={"xatol": 1e-9}).x
    assert_allclose(fitted.noise_std_, best, rtol=1e-5)
    assert np.all(np.diff(fitted.log_likelihoods_) >= -1e-9)


def test_without_long_groups_the_noise_starts_at_one_regression_for_all():
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(300, 2))
    ys = np.sum(xs * MIXTURE.components[rng.integers(2, size=300)], axis=1)
    ys += 0.1 * rng.normal(size=300)
    lonely = GroupedExamples(xs, ys, np.arange(300))  # every row a group of its own
    seen = []

    def start(statistics, m, noise_std, rng):
        seen.append(noise_std)
        return RegressionMixture(MIXTURE.components[:2], noise_std)

    em = BatchEM(2, None, start=start).fit(lonely)
    pooled = np.linalg.lstsq(xs, ys)[1][0]
    assert_allclose(seen, np.sqrt(pooled / 300), rtol=1e-9)
    assert abs(em.noise_std_ - 0.1) < 0.02
    assert_allclose(em.components_, MIXTURE.components[:2], atol=0.05)


def test_labels_without_noise_have_no_likelihood_to_maximise():
    table = GroupedExamples([[1.0], [2.0], [1.0], [2.0]], [1.0, 2.0, -1.0, -2.0], [0, 0, 1, 1])
    exact = RegressionMixture([[1.0], [-1.0]], 1.0)
    with pytest.raises(ValueError, match="2 components fit every label"):
        BatchEM(2, None, start=lambda *_: exact).fit(table)
    single = GroupedExamples([[1.0], [2.0]], [1.0, 2.0], [0, 1])
    with pytest.raises(ValueError, match="one regression fits every label"):
        BatchEM(1, None).fit(single)


def test_starts_are_at_groups_that_determine_a_component(table):
    """Groups of one row are not drawn."""
    statistics = PromptStatistics(table)
    for seed in range(20):
        start = spread_start(statistics, 3, 0.5, np.random.default_rng(seed))
        alone = statistics.residual_sums(start.components)
        assert np.all(np.any((alone < 1e-20) | (statistics.num_examples[:, None] > 2), axis=0))
    short = GroupedExamples(np.eye(2), [1.0, 2.0], [0, 1])
    start = spread_start(PromptStatistics(short), 2, 0.1, np.random.default_rng(0))
    assert np.all(np.isfinite(start.components))


def test_statistics_serve_many_fits(table, fitted):
    statistics = PromptStatistics(table)
    again = BatchEM(3, None, start=spread_start, n_init=5, tol=1e-8).fit(statistics)
    assert np.array_equal(again.components_, fitted.components_)
    assert again.score(statistics) == fitted.score(table)


def test_bic_counts_parameters_and_groups(table, fitted):
    L = fitted.score(table) * 200
    assert fitted.bic(table) == pytest.approx(-2 * L + (6 + 2 + 1) * np.log(200))
    known = BatchEM(3, 0.5, start=spread_start).fit(table)
    assert known.bic(table) == pytest.approx(-400 * known.score(table) + 8 * np.log(200))


def test_bic_and_held_out_groups_find_the_number_of_components(table):
    other, _ = draw(seed=1)
    fits = [BatchEM(m, None, start=spread_start, n_init=5).fit(table) for m in (1, 2, 3, 4)]
    assert np.argmin([em.bic(table) for em in fits]) == 2
    assert np.argmax([em.score(other) for em in fits[:3]]) == 2


def test_predictions_of_rows_weigh_the_components_by_their_group(table, fitted):
    rng = np.random.default_rng(5)
    xs = rng.normal(size=(6, 2))
    groups = np.array([7, 3, 7, 900, 3, 901])
    found = fitted.predict_rows(xs, groups, table)
    gamma = fitted.responsibilities(table)
    for x, group, value in zip(xs, groups, found, strict=True):
        weights = gamma[group] if group < 200 else fitted.weights_
        assert value == pytest.approx(weights @ fitted.components_ @ x)
    with pytest.raises(ValueError, match="dimension d = 1 and the components 2"):
        fitted.predict_rows([[1.0]], [7], table)
    with pytest.raises(ValueError, match="2 rows in xs, 2 in ys and 1 in groups"):
        fitted.predict_rows(xs[:2], [7], table)


def test_parameters_are_those_of_scikit_learn():
    """`sklearn.base.clone` builds a new estimator from what `get_params` says."""
    for em in (BatchEM(3, None, start=spread_start, tol=0.1), SubspaceAlgorithm(2, 1.0)):
        params = em.get_params(deep=False)
        other = type(em)(**params)
        assert all(other.get_params()[name] is value for name, value in params.items())
        assert not hasattr(other, "mixture_")
    em = BatchEM(3, None)
    assert em.set_params(n_components=4, n_init=2) is em
    assert (em.n_components, em.n_init) == (4, 2)
    with pytest.raises(
        ValueError, match=r"no parameter 'n_component': did you mean 'n_components'"
    ):
        em.set_params(n_init=7, n_component=3)
    assert em.n_init == 2
    with pytest.raises(ValueError, match="expected n_components, noise_std"):
        em.set_params(zzz=3)


# Files


def written(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_a_table_is_read(tmp_path):
    path = written(tmp_path, "y,group,x1,x2\n1,b,2,3\n\n4, a ,5,6\n7,b,8,9e0\n")
    found = read_grouped_csv(path)
    assert found.names.tolist() == ["a", "b"]
    assert found.codes.tolist() == [1, 0, 1]
    assert found.xs.tolist() == [[2, 3], [5, 6], [8, 9]]
    assert found.ys.tolist() == [1, 4, 7]


def test_columns_can_be_named_and_an_intercept_added(tmp_path):
    path = written(tmp_path, "shop,price,adverts,sales,note\n1,2,3,4,x\n1,5,6,7,y\n")
    found = read_grouped_csv(
        str(path), group="shop", label="sales", covariates=["adverts", "price"], intercept=True
    )
    assert found.xs.tolist() == [[1, 3, 2], [1, 6, 5]]
    assert found.names.tolist() == ["1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the columns are none; expected at least one covariate"),
        ("group,x1,y\n", "there are 0 rows below the header"),
        ("g,x1,y\n1,2,3\n", "exactly one that is called 'group'"),
        ("group,y\n1,2\n", "at least one covariate"),
        ("group,x1,x1,y\n1,2,3,4\n", "exactly one that is called 'x1'"),
        ("group,x1,y\n1,2,3,4\n", "line 2 has 4 cells; expected 3"),
        ("group,x1,y\n1,2,3\n1,,4\n", "line 3, column x1 is ''; expected a number"),
        ("group,x1,y\n1,2,inf\n", "line 2, column y is inf"),
        ("group,x1,y\n,2,3\n", "line 2, column group is empty"),
        ('group,x1,y\n"1,2,3\n', "is not CSV"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_grouped_csv(written(tmp_path, text))


def test_a_missing_covariate_is_named_and_all_problems_are_told(tmp_path):
    path = written(tmp_path, "group,x1,y\na,b,3\n,2,c\n")
    with pytest.raises(ValueError, match="3 problem") as caught:
        read_grouped_csv(path)
    assert "line 2, column x1" in str(caught.value)
    with pytest.raises(ValueError, match="exactly one that is called 'x7'"):
        read_grouped_csv(path, covariates=["x7"])
    with pytest.raises(ValueError, match="called 'grop': did you mean 'group'"):
        read_grouped_csv(path, group="grop")
    for covariates in (["x1", "y"], ["group", "x1"], ["x1", "x1"]):
        with pytest.raises(ValueError, match="is asked for 2 times; expected different columns"):
            read_grouped_csv(path, covariates=covariates)
    with pytest.raises(ValueError, match=r"covariates is 'x1'; expected a list of names"):
        read_grouped_csv(path, covariates="x1")
    with pytest.raises(OSError, match="nowhere"):
        read_grouped_csv(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("noise_std", [0.5, None])
@pytest.mark.parametrize(
    ("offset", "unit"),
    [(0.0, 1e8), (1e5, 50.0), (6e7, 2e7), (2e7, 3e3), (1.7e9, 1e7)],
    ids=["large unit", "pascals", "incomes", "yyyymmdd", "seconds"],
)
def test_neither_units_nor_offsets_of_covariates_cost_accuracy(offset, unit, noise_std):
    """The judge is EM on standardised covariates; normal equations fell by 1e4 in likelihood."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(200), 8)
    standard = rng.normal(size=len(codes))
    slopes = np.where(rng.integers(0, 2, 200), 2.0, -2.0)
    ys = slopes[codes] * standard + 0.5 * rng.normal(size=len(codes))

    def fit(xs):
        columns = np.stack([np.ones(len(xs)), xs], axis=1)
        em = BatchEM(2, noise_std, start=spread_start, n_init=2)
        return em.fit(GroupedExamples(columns, ys, codes))

    raw, judge = fit(offset + unit * standard), fit(standard)
    assert np.diff(raw.log_likelihoods_).min() > -1e-6
    assert raw.log_likelihoods_[-1] == pytest.approx(judge.log_likelihoods_[-1], abs=1e-6)
    assert_allclose(raw.components_[:, 1] * unit, judge.components_[:, 1], rtol=1e-6)
    assert_allclose(raw.noise_std_, judge.noise_std_, rtol=1e-9)
