"""Each term of rounding in a certificate, against ball arithmetic and against real roundings.

Some terms are far below others, so that no prompt could show that they are missing: those are
compared with docs/certificates.md, evaluated in balls, with sizes at which they count.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from flint import arb

from constructions import Box, PosteriorMeanTransformer, compile_posterior_mean
from constructions.certificate.layer_norm import _spared, _stored, layer_norm_errors
from constructions.certificate.rounding import RoundingModel
from constructions.certificate.squares import EnclosedSquare, enclose, summation
from constructions.certificate.wings import EnclosedWings, enclose_wings
from constructions.checker.rounding import ROUNDING
from theory import RegressionMixture

DTYPES = (torch.float64, torch.float32)
every_type = pytest.mark.parametrize("dtype", DTYPES, ids=str)

#: Bounds are computed in floats: what these sums of a few terms may round.
CLOSE = 1e-13


def within(value: float, expected: arb) -> bool:
    return bool(abs(arb(value) - expected) <= CLOSE * abs(expected))


@every_type
def test_the_unit_roundoff_is_that_of_the_type(dtype: torch.dtype) -> None:
    """To nearest: half the distance of 1 and the next number, and attained."""
    u = RoundingModel.of(dtype).unit_roundoff
    assert u == torch.finfo(dtype).eps / 2
    one = torch.tensor(1.0, dtype=dtype)
    # A tie goes to the even 1; a little more than half goes up, with an error of nearly u.
    assert one + torch.tensor(u, dtype=dtype) == 1
    assert one + torch.tensor(u * (1 + 2.0**-20), dtype=dtype) == 1 + 2 * u


@every_type
def test_the_assumptions_are_those_of_the_checker(dtype: torch.dtype) -> None:
    """It has numbers of its own."""
    ours, theirs = RoundingModel.of(dtype), ROUNDING[str(dtype).removeprefix("torch.")]
    names = {"unit_roundoff": "unit", "gelu": "gelu", "exp": "exp", "underflow": "gap"}
    for name, other in (names | {"silent": "silent"}).items():
        assert getattr(ours, name) == getattr(theirs, other)


@every_type
@pytest.mark.parametrize("terms", [1, 7, 1000])
def test_gamma(dtype: torch.dtype, terms: int) -> None:
    nu = arb(terms) * arb(torch.finfo(dtype).eps) / 2
    assert within(RoundingModel.of(dtype).gamma(terms), nu / (1 - nu))
    expected = (1 + arb(terms) / 2) * arb(torch.finfo(dtype).eps) / 2
    assert within(summation(terms, RoundingModel.of(dtype)), expected / (1 - expected))


#: Errors of an argument, each by itself and all together.
READS = {
    "none": (0.0, 0.0, 0.0, 0.0),
    "common": (0.1, 0.0, 0.0, 0.0),
    "odd": (0.0, 0.1, 0.0, 0.0),
    "rough": (0.0, 0.0, 0.1, 0.0),
    "scale": (0.0, 0.0, 0.0, 0.1),
    "all": (0.03, 0.05, 0.07, 0.11),
}

#: A coarse arithmetic, in which no term is small, and a gadget of round figures.
COARSE = RoundingModel(2.0**-6, 2.0, 3.0, 2.0, 746.0, 9.0)
GADGET = EnclosedSquare(0.01, 20.0, 30.0, 20)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("constant", ["gelu", "pair", "unit_roundoff", "none"])
def test_every_term_of_a_square_is_that_of_the_table(
    read: tuple[float, float, float, float], constant: str
) -> None:
    """With every constant of the arithmetic as it is, and zero."""
    rounding = COARSE if constant == "none" else replace(COARSE, **{constant: 0.0})
    found = GADGET.errors(rounding, *read)
    u, G, P = arb(rounding.unit_roundoff), arb(rounding.gelu), arb(rounding.pair)
    tau, A, C = arb(GADGET.truncation), arb(GADGET.amplification), arb(GADGET.curvature)
    tau_0, h, rough, nu = map(arb, read)
    reach = sum(map(arb, read))
    slopes = arb(2.2581)  # twice the largest slope of gelu
    # Of a pair P u |s t|; of two neurons that differ by h' each errs by G u of the difference, too.
    gelu = P * u * A * reach + 2 * G * u * A * rough
    assert within(found.constant, tau_0**2 + C * h * reach + slopes * A * rough + gelu)
    assert within(found.linear, 2 * tau_0 + C * h + P * u * A)
    assert within(found.quadratic, tau * (1 + reach) ** 2 + 2 * nu + nu**2 + 3 * u * C)


NETWORKS = [(1, 1, 1, 0.25), (1, 1, 1, 200.0), (2, 2, 3, 2.0), (3, 5, 4, 4.0), (20, 20, 60, 5.0)]


@lru_cache
def built(
    size: tuple[int, int, int, float], dtype: torch.dtype
) -> tuple[PosteriorMeanTransformer, EnclosedSquare, EnclosedWings | None]:
    d, m, K, reach = size
    mixture = RegressionMixture.random(m, d, 1.0, np.random.default_rng(0))
    model = compile_posterior_mean(mixture, K, Box.entrywise(d, reach, 2 * reach), dtype)
    winged, rounding = model.winged, RoundingModel.of(dtype)
    wings = None if winged is None else enclose_wings(winged, rounding)
    return model, enclose(model.square), wings


@every_type
@pytest.mark.parametrize("u", [None, 2.0**-12])
@pytest.mark.parametrize("size", NETWORKS, ids=str)
def test_every_term_of_layer_norm(
    size: tuple[int, int, int, float], dtype: torch.dtype, u: float | None
) -> None:
    """The scale's error and |mu| in balls, from the sizes of what rows hold.

    Also for an arithmetic so coarse that the mean, 2 L u, costs something. The rest of a column is
    |v - mu|^2 <= 2 |v|^2 + 2 p mu^2. The second term is only what the proof gives: where nothing is
    rounded p mu^2 <= |v|^2, so that 2 |v|^2 would do by itself.
    """
    model, square, wings = built(size, dtype)
    rounding = RoundingModel.of(dtype)
    if u is not None:
        rounding = replace(rounding, unit_roundoff=u)
    stream, p = model.stream, model.stream.num_rows
    L, unit = arb(stream.bypass), arb(rounding.unit_roundoff)
    gamma = p * unit / (1 - p * unit)
    for layer in range(3):
        stored = _stored(model, layer, square, wings)
        spared = _spared(model, stored) if layer == 0 else 0.0
        others = [
            [float(v) for row, v in enumerate(column) if row not in (stream.plus, stream.minus)]
            for column in model.constants.double().numpy()[:, stream.before :].T
        ]
        imbalance = max(float(abs(total(column))) for column in others)
        sizes = max(float(total(map(abs, column))) for column in others)
        held = max(float(total(v * v for v in column)) for column in others)
        mean = (total(stored) - arb(spared) + imbalance + gamma * sizes) / p + 2 * L * unit
        squares = held + total(v * v for v in stored)
        found = layer_norm_errors(model, layer, rounding, square, wings)
        assert within(found.mean, mean)
        assert within(found.scale, 12 * unit + (2 * squares + 4 * p * mean**2) / L**2)


def total(values: Iterable[float]) -> arb:
    return sum((arb(float(v)) for v in values), arb(0))


@every_type
def test_the_rounding_of_layer_norm_is_seen(dtype: torch.dtype) -> None:
    """In columns at random: sums in any order stay within nu, and not within nu - 12 u."""
    rounding, seen, rng = RoundingModel.of(dtype), 0.0, np.random.default_rng(1)
    kind = np.float64 if dtype == torch.float64 else np.float32
    for size in NETWORKS:
        model, square, wings = built(size, dtype)
        norm = layer_norm_errors(model, 0, rounding, square, wings)
        stream, p = model.stream, model.stream.num_rows
        held = _stored(model, 0, square, wings)
        stored = np.pad(held, (0, p - len(held)))
        column = model.constants.double().numpy()[:, stream.before]
        state: npt.NDArray[Any]
        state = (column[:, None] + stored[:, None] * rng.uniform(-1, 1, (p, 200))).astype(kind)
        order = rng.permutation(p)
        mean = added(state[order]) / kind(p)
        root = np.sqrt(added((state - mean)[order] ** 2))
        scale = (np.sqrt(kind(p)) / root).astype(np.longdouble)
        ideal = np.sqrt(np.longdouble(p) / 2) / np.longdouble(stream.bypass)
        error = float(np.abs(scale / ideal - 1).max())
        assert error <= norm.scale
        seen = max(seen, error - (norm.scale - 12 * rounding.unit_roundoff))
    assert seen > 0


def added(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Their sum, one row after the other, in their own type."""
    result: npt.NDArray[Any] = np.zeros_like(rows[0])
    for row in rows:
        result = result + row
    return result
