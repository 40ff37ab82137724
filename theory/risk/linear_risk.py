"""The exact risk of yhat = x_query' A (1/M) sum_i y_i x_i with a fixed matrix A, for any M.

A linear self-attention layer with u_12 = u_21 = 0 predicts so, with A = u_{-1} U_11': the column
(x_query, 0) of the query meets W^PV only through u_12 and its label, which are 0, and drops out.
The prompt's pairs are independent of one law, the query is independent of them:

    E(yhat - y_query)^2 = [v - r'Q^+ r] + tr(A'QA Sigma)/M + |A E xy - Q^+ r|_Q^2,

with Q = E x_query x_query', r = E y_query x_query, v = E y_query^2 and Sigma = Cov(yx). The law of
x need not be Gaussian, E y and the mean of y_query do not enter, and only the first term needs
E y_query^2.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.risk.label_moments import LabelMoments
from theory.validation import Problems

__all__ = [
    "QueryMoments",
    "RiskBreakdown",
    "SampledRisk",
    "linear_risk",
    "risk_from_samples",
    "shifted_risk",
    "theorem_5_bias",
]

_ROUNDING = 1e-10


class RiskBreakdown(NamedTuple):
    """E(yhat - y_query)^2 in its three parts.

    Attributes
    ----------
    floor
        The error of the best linear predictor for the query.
    variance
        What the M examples of the prompt leave undecided, of order 1/M.
    bias
        What remains for M to infinity, of order 1/N^2 without shift.
    """

    floor: float
    variance: float
    bias: float

    @property
    def excess(self) -> float:
        """The risk above that of the best linear predictor."""
        return self.variance + self.bias

    @property
    def total(self) -> float:
        """E(yhat - y_query)^2."""
        return self.floor + self.excess


class SampledRisk(NamedTuple):
    """The risk under an empirical law, with the standard error that the sampling leaves."""

    breakdown: RiskBreakdown
    standard_error: float


@dataclass(frozen=True, init=False, eq=False)
class QueryMoments:
    """Q = E xx', r = E yx and v = E y^2 of the query, independent of the prompt.

    Parameters
    ----------
    covariance
        Q, symmetric positive semidefinite, shape (d, d): the second moment, mean included.
    cross
        r, shape (d,), in the range of Q.
    label_square
        v >= r'Q^+ r; may be infinite.

    Raises
    ------
    ValueError
        If no law has these moments.
    """

    covariance: npt.NDArray[np.float64]
    cross: npt.NDArray[np.float64]
    label_square: float

    def __init__(
        self, covariance: npt.ArrayLike, cross: npt.ArrayLike, label_square: SupportsFloat
    ) -> None:
        problems = Problems("QueryMoments")
        second = problems.covariance("covariance (Q)", covariance, definite=False)
        mean = problems.array("cross (r)", cross, ("d",))
        square = float(label_square)
        if second is not None and mean is not None:
            _check_query(problems, second, mean, square)
        problems.raise_if_any()
        object.__setattr__(self, "covariance", second)
        object.__setattr__(self, "cross", mean)
        object.__setattr__(self, "label_square", square)

    @classmethod
    def same_law(cls, moments: LabelMoments) -> QueryMoments:
        """Return the moments of a query that has the law of the examples, as in Theorem 5."""
        return cls(moments.covariance, moments.cross, moments.label_square)

    @classmethod
    def of_weights(
        cls, covariance: npt.ArrayLike, weights: npt.ArrayLike, noise_std: SupportsFloat = 0.0
    ) -> QueryMoments:
        """Return the moments of y = w'x + e for a query with any second moment Q.

        Raises
        ------
        ValueError
            If Q is not positive semidefinite, or w has another dimension.
        """
        problems = Problems("QueryMoments.of_weights")
        second = problems.covariance("covariance (Q)", covariance, definite=False)
        w = problems.array("weights (w)", weights, ("d",))
        s = problems.number("noise_std", noise_std, 0.0, strict=False)
        if second is not None and w is not None and len(w) != len(second):
            problems.add(f"weights has {len(w)} entries; expected d = {len(second)}")
        problems.raise_if_any()
        assert second is not None
        assert w is not None
        return cls(second, second @ w, float(w @ second @ w) + s**2)

    @property
    def best_linear(self) -> Float[np.ndarray, " d"]:
        """The weights Q^+ r of the best linear predictor, shape (d,)."""
        return np.asarray(np.linalg.pinv(self.covariance, hermitian=True) @ self.cross)


def linear_risk(
    product: npt.ArrayLike,
    prompt: LabelMoments,
    num_examples: SupportsIndex,
    query: QueryMoments | None = None,
) -> RiskBreakdown:
    """Return the exact risk of yhat = x_query' A (1/M) sum_i y_i x_i.

    Parameters
    ----------
    product
        A: `FlowProblem.minimiser` for a trained layer, or u_{-1} U_11', shape (d, d).
    prompt
        The law of the examples.
    num_examples
        M >= 1.
    query
        The law of the query; that of the examples if not given.

    Raises
    ------
    ValueError
        If the dimensions differ, A is not finite, or M < 1.

    Notes
    -----
    Source: Zhang et al. 2024, Theorem 5, where A = Gamma^{-1} and the query has the law of the
    examples; the general A and query are ours.
    """
    asked = QueryMoments.same_law(prompt) if query is None else query
    problems = Problems("linear_risk")
    A = problems.array("product (A)", product, ("d", "d"))
    M = problems.count("num_examples (M)", num_examples, 1)
    sizes = {prompt.dim, len(asked.cross)} | (set() if A is None else set(A.shape))
    if len(sizes) > 1:
        problems.add(
            f"product has shape {np.shape(product)}, the prompt d = {prompt.dim}, the query d ="
            f" {len(asked.cross)}; expected one dimension d"
        )
    problems.raise_if_any()
    assert A is not None
    best = asked.best_linear
    gap = A @ prompt.cross - best
    return RiskBreakdown(
        floor=max(asked.label_square - float(best @ asked.cross), 0.0),
        variance=float(np.sum((A.T @ asked.covariance @ A) * prompt.spread)) / M,
        bias=float(gap @ asked.covariance @ gap),
    )


def theorem_5_bias(
    covariance: npt.ArrayLike, prompt_length: SupportsIndex, weights: npt.ArrayLike
) -> tuple[float, float, float]:
    """Return the three parts of the bias of eq. (16), which add up to that of `linear_risk`.

    (1/N^2) of |a|^2 with the weights Gamma^-2 Lambda^3, 2 tr(Lambda) Gamma^-2 Lambda^2 and
    tr(Lambda)^2 Gamma^-2 Lambda. In this form nothing cancels, however long the prompts.

    Parameters
    ----------
    covariance
        Lambda, of training and test, shape (d, d).
    prompt_length
        N >= 1, of training.
    weights
        a = Lambda^{-1} E xy, shape (d,).

    Raises
    ------
    ValueError
        If Lambda is not positive definite, N < 1, or a has another dimension.

    Notes
    -----
    Source: Zhang et al. 2024, eq. (16).
    """
    problems = Problems("theorem_5_bias")
    lam = problems.covariance("covariance (Lambda)", covariance)
    N = problems.count("prompt_length (N)", prompt_length, 1)
    a = problems.array("weights (a)", weights, ("d",))
    if lam is not None and a is not None and len(a) != len(lam):
        problems.add(f"weights has {len(a)} entries; expected d = {len(lam)}, as covariance")
    problems.raise_if_any()
    assert lam is not None
    assert a is not None
    eigenvalues, basis = np.linalg.eigh(lam)
    trace = float(np.sum(eigenvalues))
    gamma = eigenvalues + (eigenvalues + trace) / N
    squares = (basis.T @ a / gamma) ** 2 / N**2
    parts = (eigenvalues**3, 2 * trace * eigenvalues**2, trace**2 * eigenvalues)
    first, second, third = (float(squares @ part) for part in parts)
    return first, second, third


def shifted_risk(
    product: npt.ArrayLike,
    covariance: npt.ArrayLike,
    task_covariance: npt.ArrayLike,
    noise_std: SupportsFloat,
    num_examples: SupportsIndex,
    *,
    query_covariance: npt.ArrayLike | None = None,
) -> RiskBreakdown:
    """Return the exact risk on linear tasks under shifts of covariates, tasks, noise and query.

    Examples x ~ N(0, Lambda'), y = w'x + e with E ww' = S and Var e = s^2; the query has second
    moment Q and y_query = w'x_query + e. With c = tr(S Lambda') + s^2,

        s^2 + tr(A'QA (Lambda' S Lambda' + c Lambda'))/M + tr(Q (A Lambda' - I) S (A Lambda' - I)').

    Parameters
    ----------
    product
        A, shape (d, d), from training.
    covariance
        Lambda' of the test prompts, shape (d, d).
    task_covariance
        S, positive semidefinite, shape (d, d); ww' for one task w.
    noise_std
        s >= 0 at test.
    num_examples
        M >= 1.
    query_covariance
        Q, positive semidefinite; Lambda' if not given.

    Raises
    ------
    ValueError
        If a matrix has another dimension or is indefinite, s < 0 or M < 1.

    Notes
    -----
    Source: ours; derived by pairings in `papers.beyond.risk_under_shift`. For Lambda' = Q = Lambda
    and A = Gamma^{-1} it is the mean of Theorem 5 over the tasks.
    """
    problems = Problems("shifted_risk")
    A = problems.array("product (A)", product, ("d", "d"))
    lam = problems.covariance("covariance (Lambda')", covariance)
    S = problems.covariance("task_covariance (S)", task_covariance, definite=False)
    given_query = covariance if query_covariance is None else query_covariance
    Q = problems.covariance("query_covariance (Q)", given_query, definite=False)
    s = problems.number("noise_std", noise_std, 0.0, strict=False)
    M = problems.count("num_examples (M)", num_examples, 1)
    shapes = {matrix.shape for matrix in (A, lam, S, Q) if matrix is not None}
    if len(shapes) > 1:
        problems.add(f"the matrices have shapes {sorted(shapes)}; expected one shape (d, d)")
    problems.raise_if_any()
    assert A is not None
    assert lam is not None
    assert S is not None
    assert Q is not None
    label_variance = float(np.sum(S * lam)) + s**2
    spread = lam @ S @ lam + label_variance * lam
    gap = A @ lam - np.eye(len(lam))
    return RiskBreakdown(
        floor=s**2,
        variance=float(np.sum((A.T @ Q @ A) * spread)) / M,
        bias=float(np.sum((gap.T @ Q @ gap) * S)),
    )


def risk_from_samples(
    product: npt.ArrayLike,
    covariates: npt.ArrayLike,
    labels: npt.ArrayLike,
    num_examples: SupportsIndex,
) -> SampledRisk:
    """Estimate the risk on a law from n of its pairs, with a standard error.

    The risk is a polynomial in the moments; its standard error is that of the mean of its linear
    part (the delta method), and its own bias is of order 1/n. It needs E y^4 |x|^4 finite.

    Parameters
    ----------
    product
        A, shape (d, d).
    covariates, labels
        n >= 2 independent pairs (x, y), shapes (n, d) and (n,).
    num_examples
        M >= 1, the length of the prompts whose risk is asked for; it need not be n.

    Raises
    ------
    ValueError
        As `LabelMoments.from_samples` and `linear_risk`, or if n < 2.
    """
    moments = LabelMoments.from_samples(covariates, labels)
    breakdown = linear_risk(product, moments, num_examples)
    A, x, y = (np.asarray(given, dtype=np.float64) for given in (product, covariates, labels))
    if len(x) < 2:
        raise ValueError("risk_from_samples: 1 pair; expected n >= 2 for a standard error")
    m, M = moments.cross, operator.index(num_examples)
    yx = y[:, None] * x
    K = A.T @ moments.covariance @ A
    mapped = x @ A
    # The derivative in the direction of one pair's moments: of E y^2, r'Am, m'A'QAm, E y^2 xx'.
    linear = y**2 - 2 * yx @ (A + A.T) @ m
    linear += (1 - 1 / M) * (2 * yx @ K @ m + (mapped @ m) ** 2)
    linear += np.einsum("ni,ij,nj->n", yx, K, yx) / M
    linear += np.einsum("ni,ij,nj->n", mapped, moments.weighted_covariance, mapped) / M
    return SampledRisk(breakdown, float(np.std(linear, ddof=1) / np.sqrt(len(x))))


def _check_query(
    problems: Problems, second: Float[np.ndarray, "d d"], mean: Float[np.ndarray, " n"], v: float
) -> None:
    """Note what no law of a query and its label can have."""
    if len(mean) != len(second):
        problems.add(f"cross has {len(mean)} entries; expected d = {len(second)}, as covariance")
        return
    best = np.linalg.pinv(second, hermitian=True) @ mean
    size = float(np.max(np.abs(mean), initial=0.0))
    if np.max(np.abs(second @ best - mean), initial=0.0) > _ROUNDING * size:
        problems.add(
            "cross (r) is not in the range of covariance (Q); expected E y x of a law with"
            " E xx' = Q: where the query does not go, it has no correlation with y"
        )
    explained = float(best @ mean)
    if np.isnan(v) or v < explained * (1 - _ROUNDING):
        problems.add(f"label_square (v) is {v!r}; expected at least r'Q^+ r = {explained!r}")
