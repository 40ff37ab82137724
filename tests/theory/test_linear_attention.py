"""The linear self-attention layer: definition (3), prediction (6), quadratic form (24) agree."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from theory import Predictor, PromptBatch
from theory.linear_attention import LinearAttention, embed, quadratic_form, query_matrix

RNG = np.random.default_rng


def case(d: int, N: int, seed: int) -> tuple[LinearAttention, PromptBatch]:
    """A layer with all weights drawn, and prompts with labels that no w explains."""
    rng = RNG(seed)
    layer = LinearAttention(*rng.standard_normal((2, d + 1, d + 1)))
    return layer, PromptBatch(rng.standard_normal((4, N + 1, d)), rng.standard_normal((4, N)))


def by_definition(layer: LinearAttention, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Eqs. (3) and (4) for one prompt, with the matrix of all attention scores."""
    E = np.vstack([xs.T, np.append(ys, 0.0)])
    scores = E.T @ layer.key_query @ E / len(ys)
    return E + layer.projection_value @ E @ scores


def by_formula(layer: LinearAttention, xs: np.ndarray, ys: np.ndarray) -> float:
    """Eq. (6) written out in the blocks."""
    p, q, U, u, query = layer.u12, layer.u21, layer.U11, layer.u_1, xs[-1]
    total = (p @ query) * (query @ U @ query)
    for x, y in zip(xs[:-1], ys, strict=True):
        total += (p @ x + u * y) * (x @ U @ query + y * (q @ query))
    return float(total / len(ys))


@given(d=st.integers(1, 4), N=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_the_layer_its_prediction_and_the_quadratic_form_agree(d: int, N: int, seed: int) -> None:
    layer, prompts = case(d, N, seed)
    pairs = list(zip(prompts.xs, prompts.ys, strict=True))
    outputs = np.stack([by_definition(layer, xs, ys) for xs, ys in pairs])
    expected = [by_formula(layer, xs, ys) for xs, ys in pairs]
    accuracy = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(layer.output(embed(prompts)), outputs, **accuracy)
    np.testing.assert_allclose(outputs[:, -1, -1], expected, **accuracy)
    np.testing.assert_allclose(layer.predict(prompts), expected, **accuracy)
    u, H = layer.vector, quadratic_form(prompts)
    np.testing.assert_allclose([u @ h @ u for h in H], expected, **accuracy)


def test_the_quadratic_form_is_the_kronecker_product_of_lemma_9() -> None:
    layer, prompts = case(3, 5, seed=0)
    for H, X, E in zip(quadratic_form(prompts), query_matrix(prompts), embed(prompts), strict=True):
        np.testing.assert_allclose(H, 0.5 * np.kron(X, E @ E.T / 5), rtol=1e-14, atol=1e-15)
    U = np.block([[layer.U11, layer.u12[:, None]], [layer.u21, np.array([layer.u_1])]])
    np.testing.assert_array_equal(layer.vector, [U[i, j] for j in range(4) for i in range(4)])
    # Row by row the form would be another one.
    by_rows = U.ravel() @ quadratic_form(prompts)[0] @ U.ravel()
    assert abs(by_rows - layer.predict(prompts)[0]) > 0.1


@pytest.mark.parametrize(("d", "N"), [(1, 1), (2, 2), (3, 3), (3, 9), (3, 2), (3, 1), (5, 1)])
def test_negative_eigenvalues_of_the_quadratic_form(d: int, N: int) -> None:
    """Section 5.1 says at least d+1: min(N, d) + 1 in fact, fewer for prompts with N < d."""
    rng = RNG(1)
    xs = rng.standard_normal((6, N + 1, d))
    prompts = PromptBatch(xs, np.einsum("bnd,bd->bn", xs[:, :-1], rng.standard_normal((6, d))))
    for eigenvalues in np.linalg.eigvalsh(quadratic_form(prompts)):
        size = np.max(np.abs(eigenvalues))
        assert np.sum(eigenvalues < -1e-9 * size) == min(N, d) + 1
        assert np.sum(eigenvalues > 1e-9 * size) == min(N, d) + 1


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_characteristic_polynomial_of_the_query_matrix(d: int) -> None:
    query = RNG(d).integers(-9, 10, d)
    (X,) = query_matrix(PromptBatch(query[None, None].astype(float), np.zeros((1, 0))))
    mu = sympy.Symbol("mu")
    found = sympy.Matrix(X.astype(int)).charpoly(mu).as_expr()
    expected = mu ** (d - 1) * (mu**2 - int(query @ query))
    assert sympy.expand(found - expected) == 0


def test_only_the_named_blocks_matter() -> None:
    layer, prompts = case(3, 4, seed=2)
    named = LinearAttention.from_blocks(layer.u12, layer.u21, layer.U11, layer.u_1)
    np.testing.assert_array_equal(named.predict(prompts), layer.predict(prompts))
    assert np.max(np.abs(named.output(embed(prompts)) - layer.output(embed(prompts)))) > 0.1
    value, key = layer.projection_value, layer.key_query
    for i, j in np.ndindex(4, 4):
        bump = np.zeros((4, 4))
        bump[i, j] = 1.0
        for changed, matters in (
            (LinearAttention(value + bump, key), i == 3),
            (LinearAttention(value, key + bump), j < 3),
        ):
            difference = np.abs(changed.predict(prompts) - layer.predict(prompts))
            assert np.all(difference > 1e-3) if matters else np.all(difference == 0)


def test_blocks_come_back() -> None:
    rng = RNG(3)
    u12, u21, U11, u_1 = *rng.standard_normal((2, 3)), rng.standard_normal((3, 3)), 2
    layer = LinearAttention.from_blocks(u12, u21, U11, u_1)
    np.testing.assert_array_equal(layer.u12, u12)
    np.testing.assert_array_equal(layer.u21, u21)
    np.testing.assert_array_equal(layer.U11, U11)
    assert (layer.u_1, layer.dim, repr(layer)) == (2.0, 3, "LinearAttention(dim=3)")
    with pytest.raises(ValueError, match="read-only"):
        layer.u12[0] = 1.0


def test_all_prefixes_are_predictions_on_the_prefixes() -> None:
    layer, prompts = case(3, 7, seed=4)
    assert isinstance(layer, Predictor)
    predictions = layer.predict_all_prefixes(prompts)
    assert (predictions.shape, predictions.dtype) == ((4, 8), np.float64)
    for n in range(8):
        prefix = layer.predict(prompts.prefix(n))
        np.testing.assert_allclose(predictions[:, n], prefix, rtol=1e-12, atol=1e-13)


def test_without_examples_the_prediction_is_0_and_the_layer_refuses() -> None:
    layer, prompts = case(2, 0, seed=5)
    np.testing.assert_array_equal(layer.predict(prompts), np.zeros(4))
    with pytest.raises(ValueError, match=r"rho = N is 0; expected N \+ 1 >= 2"):
        layer.output(embed(prompts))
    with pytest.raises(ValueError, match=r"N = 0 examples; expected N >= 1"):
        quadratic_form(prompts)


def test_long_prompts_need_no_square_matrix() -> None:
    """The matrix of attention scores would have 10^12 entries."""
    layer, prompts = case(2, 10**6, seed=6)
    one = prompts[:1]
    expected = layer.predict_all_prefixes(one)[:, -1]
    np.testing.assert_allclose(layer.predict(one), expected, rtol=1e-9)
    np.testing.assert_allclose(layer.output(embed(one))[0, -1, -1:], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("value", "key", "message"),
    [
        (np.eye(3), np.eye(2), r"\(3, 3\) and key_query \(2, 2\); expected \(d\+1, d\+1\)"),
        (np.ones((2, 3)), np.ones((2, 3)), r"projection_value has shape \(2, 3\)"),
        (np.eye(1), np.eye(1), r"with d >= 1"),
        (np.eye(2), np.full((2, 2), np.nan), "key_query"),
        (np.eye(2), np.eye(2) * 1j, "key_query has dtype complex128"),
    ],
)
def test_bad_matrices(value: np.ndarray, key: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearAttention(value, key)


def test_bad_blocks_are_all_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"2 problem\(s\)[^$]*u_1 has shape \(1,\)[^$]*\(d, d\)"):
        LinearAttention.from_blocks([1.0], [1.0, 2.0], [[1.0]], [1.0])


def test_bad_prompts() -> None:
    layer, _ = case(2, 3, seed=7)
    _, prompts = case(3, 3, seed=7)
    for call in (layer.predict, layer.predict_all_prefixes):
        with pytest.raises(ValueError, match=r"dimension 3 and the layer has dim = 2"):
            call(prompts)
    with pytest.raises(ValueError, match=r"shape \(4, 4, 4\); expected d\+1 = 3 rows"):
        layer.output(embed(prompts))
