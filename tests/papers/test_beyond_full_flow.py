"""The statements on all weights of the layer: what breaks them; the exact tools."""

import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx, fmpq
from numpy.testing import assert_allclose

from papers.beyond import (
    certified_minimum,
    conserved_quantity,
    layer_minimum,
    one_dimension,
    other_minima,
)
from papers.beyond.certified_minimum import certify
from papers.beyond.figures import BasinMaps, basins, basins_figure, draw_basins
from papers.beyond.figures.basins import descend, layer_field
from papers.beyond.layer_polynomial import Inertia, LayerPolynomial, inertia, is_positive_definite
from papers.beyond.real_zeros import count_real_zeros
from papers.beyond.symmetric_layer import DIM, LENGTH, WEIGHTS, symmetric_loss
from papers.ledger import Verdict
from papers.runner import run_one
from simulations.drawing import files
from tests.papers.statement_checks import by_id
from theory import PopulationLoss
from theory.full_flow import OneDimension, PointKind, StationaryPoint
from theory.whitened_loss import LayerBlocks

MODULES = (conserved_quantity, layer_minimum, other_minima, one_dimension)
STATEMENTS = by_id(statement for module in MODULES for statement in module.STATEMENTS)


def test_a_library_with_wrong_saddles_makes_its_statement_fall(monkeypatch):
    right = OneDimension.kappa
    monkeypatch.setattr(OneDimension, "kappa", property(lambda self: right.fget(self) * (1 + 1e-9)))
    assert run_one(STATEMENTS["beyond/no-other-minima-for-d-1"], 0).verdict is Verdict.FAILS


def test_a_library_that_calls_saddles_minima_makes_its_statement_fall(monkeypatch):
    monkeypatch.setattr(StationaryPoint, "num_negative", 0)
    assert run_one(STATEMENTS["beyond/other-minima"], 0).verdict is Verdict.FAILS


def test_a_wrong_loss_makes_the_global_minimum_fall(monkeypatch):
    right = PopulationLoss.__call__
    wrong = lambda self, p, q, U, u: right(self, p, q, U, u) - 1e-6 * float(np.sum(np.square(p)))  # noqa: E731
    monkeypatch.setattr(PopulationLoss, "__call__", wrong)
    assert run_one(STATEMENTS["beyond/layer-minimum"], 0).verdict is Verdict.FAILS


# Exact tools


@pytest.mark.parametrize(("dim", "N"), [(1, 3), (2, 2)])
def test_the_polynomial_is_the_loss_of_the_library(dim, N):
    eigenvalues = tuple(range(1, dim + 1))
    polynomial = LayerPolynomial.loss(eigenvalues, N)
    loss = PopulationLoss(np.diag(eigenvalues), N)
    point = np.random.default_rng(0).integers(-3, 4, polynomial.size)
    exact = [fmpq(int(x), 2) for x in point]
    weights = LayerBlocks.unstack(point / 2)

    def as_floats(values):
        return [float(v.p) / float(v.q) for v in values]

    assert as_floats([polynomial(exact)])[0] == pytest.approx(loss(*weights), rel=1e-13)
    assert_allclose(as_floats(polynomial.gradient(exact)), loss.gradient(*weights).stacked)
    found = [as_floats(row) for row in polynomial.hessian(exact)]
    assert_allclose(found, loss.hessian(*weights), atol=1e-12)


@pytest.mark.parametrize(
    ("diagonal", "expected"),
    [((1, -2, 0, 0, 3), (1, 2, 2)), ((0,), (0, 1, 0)), ((-1, -1), (2, 0, 0)), ((5, 5), (0, 0, 2))],
)
def test_inertia_counts_signs(diagonal, expected):
    size = len(diagonal)
    turn = np.tril(np.ones((size, size), dtype=int))
    matrix = turn @ np.diag(diagonal) @ turn.T
    assert inertia([[fmpq(int(x)) for x in row] for row in matrix]) == Inertia(*expected)


def test_positive_definite_is_proved_only_where_it_is_certain():
    assert is_positive_definite([[fmpq(2), fmpq(1)], [fmpq(1), fmpq(1)]])
    assert not is_positive_definite([[fmpq(1), fmpq(1)], [fmpq(1), fmpq(1)]])
    assert not is_positive_definite([[arb(1, 2)]])


@pytest.mark.parametrize(
    ("polynomials", "count"),
    [
        ("x**2 + y**2 - 1, x - y", 2),
        ("x**2 + y**2 + 1, x - y", 0),
        ("x**2 - 2, y**2 - 3", 4),
        ("x**3, y - x", 1),
        ("x**3 - x, x**2 + y**2 - 1", 4),
    ],
)
def test_real_zeros_are_counted(polynomials, count):
    x, y = sp.symbols("x y")
    assert count_real_zeros(sp.sympify(f"[{polynomials}]"), (x, y)) == count


def test_infinitely_many_zeros_are_refused():
    x, y = sp.symbols("x y")
    with pytest.raises(ValueError, match="infinitely many"):
        count_real_zeros([x * y], (x, y))


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_the_symmetric_loss_is_the_loss_of_the_library(dim):
    values = dict(zip(WEIGHTS, (0.3, -0.7, 1.1, 0.4, -0.6), strict=True))
    P, Q, x, t, u = values.values()
    v = np.full(dim, dim**-0.5)
    U = (x - t) * np.outer(v, v) + t * np.eye(dim)
    expected = PopulationLoss(np.eye(dim), 3)(P * v, Q * v, U, u)
    found = float(symmetric_loss().subs(values | {DIM: dim, LENGTH: 3}))
    assert found == pytest.approx(expected, rel=1e-13)


def test_a_certified_minimum_is_one_of_the_library():
    with ctx.workprec(120):
        found = certify(2, 6)
    assert found.is_minimum
    P, Q, first, second, u = (float(x.mid()) for x in found.diagonal)
    assert all(float(x.rad()) < 1e-15 for x in found.diagonal)
    weights = LayerBlocks(np.array([P, 0]), np.array([Q, 0]), np.diag([first, second]), u)
    point = StationaryPoint(PopulationLoss(np.eye(2), 6), weights)
    assert point.kind is PointKind.LOCAL_MINIMUM
    assert float(found.excess.mid()) == pytest.approx(point.excess, rel=1e-9)


def test_krawczyk_fails_where_there_is_no_stationary_point(monkeypatch):
    monkeypatch.setattr(certified_minimum, "_guess", lambda dim, N: [1.0, 1.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr(certified_minimum, "REFINEMENTS", 0)
    with pytest.raises(ArithmeticError, match="Krawczyk"):
        certify(2, 6)


# The map of basins


def test_the_field_is_minus_the_gradient():
    point = np.array([0.3, -0.7, 1.1, 0.4, -0.6])
    field = layer_field(3, 2)(point[:, None])[:, 0]
    v, U = np.eye(3)[0], np.diag([1.1, 0.4, 0.4])
    gradient = PopulationLoss(np.eye(3), 2).gradient(0.3 * v, -0.7 * v, U, -0.6)
    expected = [gradient.u12[0], gradient.u21[0], *np.diag(gradient.U11)[:2], gradient.u_1]
    assert_allclose(field, -np.array(expected), rtol=1e-12)


def test_descending_ends_at_stationary_points():
    starts = np.random.default_rng(0).uniform(0.1, 1.0, (5, 20))
    ends, least = descend(layer_field(2, 2), starts, steps=1500)
    assert np.max(np.abs(layer_field(2, 2)(ends))) < 1e-6
    assert np.all(least <= np.abs(ends[-1]) + 1e-12)


def test_the_map_of_basins_shows_what_is_proved(monkeypatch, tmp_path):
    figure = basins_figure(BasinMaps(resolution=21))
    assert len(figure.axes) == 3
    middle, right = (panel.collections[0].get_array().reshape(21, 21) for panel in figure.axes[1:])
    # On the balanced diagonals of the middle panel, the sign of u_1 U11 - u12 u21 decides.
    line = np.linspace(-2.5, 2.5, 21)
    for kinds, product in ((np.diag(middle), line**2), (np.diag(middle[::-1]), -(line**2))):
        clear = np.abs(product - 1) > 0.2
        assert_allclose(kinds[clear], (product > 1)[clear])
    assert np.all(right[1:, 0] == 0)
    assert np.all(right[0, 1:] == 1)
    assert "N=2" in figure.get_suptitle()
    monkeypatch.setattr(basins, "basins_figure", lambda maps: figure)
    monkeypatch.setattr(files, "RESOLUTION", 60)
    paths = draw_basins(tmp_path)
    assert [path.name for path in paths] == ["flow-basins.svg", "flow-basins.png"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"prompt_length": 5}, "1 to 4"), ({"prompt_length": 0}, "1 to 4"), ({"resolution": 1}, "2")],
)
def test_maps_of_nothing_are_refused(changes, word):
    with pytest.raises(ValueError, match=word):
        BasinMaps(**changes)
