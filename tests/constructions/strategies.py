"""Random operators that fit a random (p, q) matrix, for hypothesis."""

from collections.abc import Callable
from functools import partial

import numpy as np
from hypothesis import strategies as st

from constructions.operators import (
    Aff,
    Columns,
    CopyDown,
    CopyOver,
    Div,
    Mov,
    Mul,
    Operator,
    Raw,
    ScaledAgg,
    Sigmoid,
    Soft,
)

Shape = tuple[int, int]
Build = Callable[[], Operator]


@st.composite
def shapes_and_operators(
    draw: st.DrawFn, kinds: tuple[type[Operator], ...] = ()
) -> tuple[Shape, Build, np.random.Generator]:
    """A shape (p, q), what builds an operator defined on it, and a generator for the entries.

    The operator is built outside: beartype's checks draw random numbers, which hypothesis forbids
    within a strategy.
    """
    shape = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    kind = draw(st.sampled_from(kinds or tuple(MAKERS)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return shape, MAKERS[kind](draw, shape, rng), rng


def _interval(draw: st.DrawFn, p: int) -> tuple[int, int]:
    first = draw(st.integers(1, p))
    return first, draw(st.integers(first, p))


def _start(draw: st.DrawFn, p: int, size: int, lowest: int = 1) -> int:
    return draw(st.integers(lowest, p - size + 1))


def _columns(draw: st.DrawFn, q: int, first: int = 1) -> Columns:
    if q < first:
        return frozenset()
    return draw(st.frozensets(st.integers(first, q)))


def _copy_down(draw: st.DrawFn, shape: Shape, _: np.random.Generator) -> Build:
    first, last = _interval(draw, shape[0])
    target = _start(draw, shape[0], last - first + 1, lowest=first)
    return partial(CopyDown, first, target, last, _columns(draw, shape[1]))


def _mov(draw: st.DrawFn, shape: Shape, _: np.random.Generator) -> Build:
    first, last = _interval(draw, shape[0])
    return partial(
        Mov, first, _start(draw, shape[0], last - first + 1), last, _columns(draw, shape[1])
    )


def _copy_over(draw: st.DrawFn, shape: Shape, _: np.random.Generator) -> Build:
    first, last = _interval(draw, shape[0])
    target = _start(draw, shape[0], last - first + 1)
    return partial(CopyOver, first, target, last, _columns(draw, shape[1], first=2))


def _mul(draw: st.DrawFn, shape: Shape, _: np.random.Generator) -> Build:
    left, last = _interval(draw, shape[0])
    right, target = (_start(draw, shape[0], last - left + 1) for _ in range(2))
    return partial(Mul, left, right, target, last, _columns(draw, shape[1]))


def _aff(draw: st.DrawFn, shape: Shape, rng: np.random.Generator) -> Build:
    (a, b), (c, d), (e, f) = (_interval(draw, shape[0]) for _ in range(3))
    rows = f - e + 1
    weight = rng.uniform(-1, 1, (rows, b - a + 1))
    second_weight = rng.uniform(-1, 1, (rows, d - c + 1))
    bias = rng.uniform(-1, 1, rows)
    return partial(Aff, a, c, e, b, d, f, weight, second_weight, bias, _columns(draw, shape[1]))


def _scaled_agg(draw: st.DrawFn, shape: Shape, rng: np.random.Generator) -> Build:
    first, last = _interval(draw, shape[0])
    target = _start(draw, shape[0], last - first + 1)
    column = draw(st.integers(1, shape[1]))
    scale = float(rng.uniform(-1, 1))
    return partial(ScaledAgg, scale, first, last, target, column, _columns(draw, column - 1))


def _soft(draw: st.DrawFn, shape: Shape, _: np.random.Generator) -> Build:
    first, last = _interval(draw, shape[0])
    return partial(Soft, first, last, _start(draw, shape[0], last - first + 1))


def _sigmoid(draw: st.DrawFn, shape: Shape, _: np.random.Generator) -> Build:
    return partial(Sigmoid, *(draw(st.integers(1, shape[0])) for _ in range(2)))


def _div(draw: st.DrawFn, shape: Shape, _: np.random.Generator) -> Build:
    first, last = _interval(draw, shape[0])
    target = _start(draw, shape[0], last - first + 1)
    divisor = draw(st.integers(1, shape[0]))
    return partial(Div, divisor, first, target, last, _columns(draw, shape[1]))


def _raw(draw: st.DrawFn, shape: Shape, rng: np.random.Generator) -> Build:
    p, q = shape
    rows = st.permutations(range(1, p + 1))
    read, own = (tuple(draw(rows)[: draw(st.integers(0, p))]) for _ in range(2))
    write = tuple(draw(rows)[: draw(st.integers(1, p))])
    r = draw(st.integers(1, 3))
    maps = (rng.uniform(-1, 1, s) for s in ((r, len(read)), (r, len(own)), (len(write), r)))
    seen = {i: _columns(draw, i - 1) for i in draw(st.sets(st.integers(1, q)))}
    return partial(Raw, draw(st.sampled_from(("+", "*"))), read, own, write, *maps, seen)


MAKERS: dict[type[Operator], Callable[[st.DrawFn, Shape, np.random.Generator], Build]] = {
    CopyDown: _copy_down,
    CopyOver: _copy_over,
    Mov: _mov,
    Mul: _mul,
    Aff: _aff,
    ScaledAgg: _scaled_agg,
    Soft: _soft,
    Sigmoid: _sigmoid,
    Div: _div,
    Raw: _raw,
}
