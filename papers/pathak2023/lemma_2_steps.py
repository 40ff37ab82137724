"""Lemma 2 in small: the operators div, mov and sigmoid, the five steps, and the attention step.

`papers.pathak2023.lemma_2` runs the whole route and compiles it; here each step of the proof is
judged alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import exp, nan
from typing import Any

import numpy as np
import sympy as sp
import torch

from constructions.architecture import Layer, LayerWeights
from constructions.operators import Div, Mov, Operator, Sigmoid
from papers.ledger import Correction, Evidence, Fault, Grade, statement
from papers.pathak2023.definition_check import (
    Case,
    Definition,
    Entries,
    Read,
    cases_of,
    define,
    matrix_of,
    shapes,
)


def _quotients(case: Case, read: Read, first: int = 0, by: int = 0) -> Entries:
    """(j, k, k', l)."""
    j, k, target, last = case.rows
    return {
        # Not a number where the divisor is 0, which the printed definition allows.
        (target + t, i): read(k + t, i) / (read(j + by, i) or nan)
        for i in case.columns
        for t in range(first, last - k + 1)
    }


def _div_fits(case: Case) -> bool:
    j, k, target, last = case.rows
    return k <= last and case.fits(j, last, target + last - k)


def _no_zero(case: Case) -> bool:
    H = matrix_of(case.p, case.q)
    return _div_fits(case) and all(H[case.rows[0] - 1][i - 1] != 0 for i in case.columns)


def _library_div(case: Case) -> Operator:
    j, k, target, last = case.rows
    return Div(j, k, target, last, case.columns)


_DIV = Definition(_no_zero, _quotients)

DIV = define(
    "div",
    "Appendix B.3.1",
    r"H'_{k'+t,i} = H_{k+t,i} / H_{j,i},\ t \in \{0, \dots, \ell - k\},\ i \in \mathcal{I}",
    _library_div,
    cases_of(2, 4),
    printed=replace(_DIV, allowed=_div_fits),
    correction=Correction(
        _DIV,
        "H_{j,i} must not be 0 for i in I. In the proof of Lemma 2 it is 1/(1 + e^{s_i}) or a sum"
        " of exponentials, which is positive.",
        Fault.GAP,
        latex=r"H'_{k'+t,i} = H_{k+t,i} / H_{j,i},\ t \in \{0, \dots, \ell - k\},"
        r"\ i \in \mathcal{I},\ \text{where } H_{j,i} \ne 0 \text{ for all } i \in \mathcal{I}",
    ),
    mutants={
        "from t = 1": replace(_DIV, entries=lambda case, read: _quotients(case, read, first=1)),
        "by a square": replace(
            _DIV,
            entries=lambda case, read: {
                entry: value / read(case.rows[0], entry[1])
                for entry, value in _quotients(case, read).items()
            },
        ),
        "inverted": replace(
            _DIV,
            entries=lambda case, read: {
                entry: 1 / value if value else 1.0
                for entry, value in _quotients(case, read).items()
            },
        ),
        "only by positive numbers": replace(
            _DIV,
            allowed=lambda case: _no_zero(case) and all(
                matrix_of(case.p, case.q)[case.rows[0] - 1][i - 1] > 0 for i in case.columns
            ),
        ),
    },
    tolerance=1e-14,
)  # fmt: skip


def _moved(case: Case, read: Read, skip: int = 0, factor: float = 1.0) -> Entries:
    k, target, last = case.rows
    return {
        (target + t, i): factor * read(k + t, i)
        for i in case.columns
        for t in range(last - k + 1 - skip)
    }


def _mov_fits(case: Case) -> bool:
    k, target, last = case.rows
    return k <= last and case.fits(last, target + last - k)


def _library_mov(case: Case) -> Operator:
    k, target, last = case.rows
    return Mov(k, target, last, case.columns)


_MOV = Definition(_mov_fits, _moved)

MOV = define(
    "mov",
    "Appendix B.3.1",
    r"H'_{k'+t,i} = H_{k+t,i},\ t \in \{0, \dots, \ell - k\},\ i \in \mathcal{I}",
    _library_mov,
    cases_of(3, 3),
    printed=_MOV,
    mutants={
        "without row l": replace(_MOV, entries=lambda case, read: _moved(case, read, skip=1)),
        "1 % more": replace(_MOV, entries=lambda case, read: _moved(case, read, factor=1.01)),
        "only downwards, as copy_down": replace(
            _MOV, allowed=lambda case: _mov_fits(case) and case.rows[1] >= case.rows[0]
        ),
        "the old place is cleared": replace(
            _MOV,
            entries=lambda case, read: {
                **{(row, i): 0.0 for i in case.columns
                   for row in range(case.rows[0], case.rows[2] + 1)},
                **_moved(case, read),
            },
        ),
    },
)  # fmt: skip


def _logistic(case: Case, read: Read, factor: float = 1.0) -> Entries:
    source, target = case.rows
    return {(target, case.q): 1 / (1 + exp(-factor * read(source, case.q)))}


_SIGMOID = Definition(lambda case: case.fits(*case.rows), _logistic)

SIGMOID = define(
    "sigmoid",
    "Appendix B.3.1",
    r"H'_{k',q} = \frac{1}{1 + e^{-H_{k,q}}}",
    lambda case: Sigmoid(*case.rows),
    [Case(p, q, rows) for p, q in shapes(3) for rows in product(range(1, p + 2), repeat=2)],
    printed=_SIGMOID,
    mutants={
        "of -H": replace(_SIGMOID, entries=lambda case, read: _logistic(case, read, -1.0)),
        "of 1.01 H": replace(_SIGMOID, entries=lambda case, read: _logistic(case, read, 1.01)),
        "in column 1": replace(
            _SIGMOID,
            entries=lambda case, read: {
                (row, 1): value for (row, _), value in _logistic(case, read).items()
            },
        ),
        "added to what is there": replace(
            _SIGMOID,
            entries=lambda case, read: {
                (row, q): value + read(row, q) for (row, q), value in _logistic(case, read).items()
            },
        ),
    },
    tolerance=1e-14,
)


@dataclass(frozen=True)
class Steps:
    """The steps of the proof: each a function of what the step before gives."""

    first: Callable[[Any], Any]
    inverted: Callable[[Any], Any]
    total: Callable[[Sequence[Any]], Any]
    divided: Callable[[Any, Any], Any]
    moved: Callable[[Sequence[Any]], list[Any]]


_STEPS = Steps(
    lambda s: 1 / (1 + sp.exp(s)),
    lambda v: 1 / v - 1,
    sum,
    lambda e, S: e / S,
    list,
)

_HUNDREDTH = sp.Rational(101, 100)


@statement(
    id="pathak2023/lemma-2-steps",
    title="The five steps from s to its softmax: sigmoid, inverse, sum, quotient, move",
    source="Proof of Lemma 2, Appendix B.3.1, second paragraph",
    latex=r"s_i \mapsto v_i = \frac{1}{1 + e^{s_i}} \mapsto e^{s_i} = \frac{1}{v_i} - 1 \mapsto"
    r" S = \sum_i e^{s_i} \mapsto e^{s_i}/S",
    printed=_STEPS,
    mutants={
        "sigmoid(s) for sigmoid(-s)": replace(_STEPS, first=lambda s: 1 / (1 + sp.exp(-s))),
        "inverted without the 1": replace(_STEPS, inverted=lambda v: 1 / v),
        "1 % of the 1 left": replace(_STEPS, inverted=lambda v: 1 / v - _HUNDREDTH),
        "the sum without the last": replace(_STEPS, total=lambda e: sum(e[:-1])),
        "divided by the square": replace(_STEPS, divided=lambda e, S: e / S**2),
        "moved in the other order": replace(_STEPS, moved=lambda p: list(reversed(p))),
    },
    hypotheses=("two or more logits",),
    depends_on=tuple(f"pathak2023/definition-{name}" for name in ("aff", "div", "mov", "sigmoid")),
)
def STEPS(claim: Steps, rng: np.random.Generator) -> Evidence:
    """Judge each step on the right input, with symbols."""
    wrong = ""
    s = list(sp.symbols("s1:4", real=True))
    powers = [sp.exp(x) for x in s]
    p = list(sp.symbols("p1:4", positive=True))
    total = sp.Symbol("S", positive=True)
    steps = [
        ("1/(1 + e^s)", claim.first(s[0]), 1 / (1 + powers[0])),
        ("e^s", claim.inverted(1 / (1 + powers[0])), powers[0]),
        ("the sum", claim.total(powers), powers[0] + powers[1] + powers[2]),
        ("the quotient", claim.divided(powers[0], total), powers[0] / total),
        *zip(("p_1", "p_2", "p_3"), claim.moved(p), p, strict=True),
    ]
    for name, found, expected in steps:
        if not wrong and sp.simplify(found - expected) != 0:
            at = {s[0]: 1, s[1]: 2, s[2]: 3, total: 5}
            told = [sp.N(value.subs(at), 5) for value in (found, expected)]
            wrong = f"s = (1, 2, 3), S = 5: {name} is {told[1]}, not {told[0]}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "each step against its result, with symbols",
        "every real s, m = 3",
        counterexample=wrong,
    )


#: The two softmax values from h = H_{k,i}.
WeightsClaim = Callable[[Any], tuple[Any, Any]]


@statement(
    id="pathak2023/lemma-2-weights",
    title="The softmax values of the attention step are sigmoid(h) and 1 - sigmoid(h)",
    source="Proof of Lemma 2, Appendix B.3.1, last paragraph",
    latex=r"s_i = \big(e^{H_{k+t,i}}/(1 + H_{k,i}),\ 1/(e^{H_{k,i}} + 1)\big)",
    printed=lambda h: (sp.exp(h) / (1 + h), 1 / (sp.exp(h) + 1)),
    correction=Correction[WeightsClaim](
        lambda h: (sp.exp(h) / (1 + sp.exp(h)), 1 / (sp.exp(h) + 1)),
        "e^h/(1 + e^h): the exponential is missing, and the index t (k + t, k' + t) is of no use.",
        Fault.SLIP,
        latex=r"s_i = \big(e^{H_{k,i}}/(1 + e^{H_{k,i}}),\ 1/(e^{H_{k,i}} + 1)\big)",
    ),
    mutants={
        "exchanged": lambda h: (1 / (sp.exp(h) + 1), sp.exp(h) / (1 + sp.exp(h))),
        "of 2 h": lambda h: (sp.exp(2 * h) / (1 + sp.exp(2 * h)), 1 / (sp.exp(2 * h) + 1)),
        "linear": lambda h: (h / (1 + h), 1 / (1 + h)),
        "1 % of the other": lambda h: (
            (sp.exp(h) + sp.Rational(1, 100)) / (1 + sp.exp(h)),
            sp.Rational(99, 100) / (sp.exp(h) + 1),
        ),
    },
    depends_on=("pathak2023/lemma-2-sigmoid",),
)
def WEIGHTS(claim: WeightsClaim, rng: np.random.Generator) -> Evidence:
    """Compare with the softmax of the logits (h, 0), by their sum and quotient."""
    h = sp.Symbol("h", real=True)
    first, second = claim(h)
    gaps = (first + second - 1, sp.powsimp(first / second) - sp.exp(h))
    wrong = ""
    if any(sp.simplify(gap) != 0 for gap in gaps):
        values = [value.subs(h, 0) for value in (first, second)]
        wrong = f"H = 0: {values[0]} and {values[1]}, the softmax of (0, 0) is 1/2 and 1/2"
        if values == [sp.Rational(1, 2)] * 2:
            values = [sp.N(value.subs(h, 1), 4) for value in (first, second)]
            wrong = (
                f"H = 1: {values[0]} and {values[1]}, the softmax of (1, 0) is 0.7311 and 0.2689"
            )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "sum 1 and quotient e^h, with symbols",
        "every real h",
        counterexample=wrong,
    )


#: What stands in row k' of the last column before the head, from what the operator finds there.
ClearedClaim = Callable[[float], float]


@statement(
    id="pathak2023/lemma-2-write",
    title="The attention step writes sigmoid(H_{k,q}) into row k'",
    source="Proof of Lemma 2, Appendix B.3.1, last paragraph",
    latex=r"a = \frac{1}{e^{-H_{k,q}} + 1} e_{k'},\quad W^{in} = W^{out} = 0 \Rightarrow"
    r" H'_{k',q} = \frac{1}{1 + e^{-H_{k,q}}}",
    printed=lambda old: old,
    correction=Correction[ClearedClaim](
        lambda old: 0.0,
        "A layer adds a to the column, so that H'_{k',q} = H_{k',q} + sigmoid(H_{k,q}): row k' must"
        " be cleared first, by an aff (or be empty, as in the program).",
        Fault.GAP,
        latex=r"a = \frac{1}{e^{-H_{k,q}} + 1} e_{k'},\quad W^{in} = W^{out} = 0,\ H_{k',q} = 0"
        r" \Rightarrow H'_{k',q} = \frac{1}{1 + e^{-H_{k,q}}}",
    ),
    mutants={
        "negated": lambda old: -old,
        "1 % is left": lambda old: 0.01 * old,
        "a one": lambda old: 1.0,
        "halved": lambda old: old / 2,
    },
    depends_on=("pathak2023/lemma-2-weights", "pathak2023/definition-sigmoid"),
)
def WRITE(claim: ClearedClaim, rng: np.random.Generator) -> Evidence:
    """Run the head of the proof in a layer of the library: rows h, k', and the identity."""
    select = [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    query = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    output = [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    heads = [torch.tensor([m], dtype=torch.float64) for m in (query, select, select, output)]
    dense = [torch.zeros(shape, dtype=torch.float64) for shape in ((0, 4), (4, 0))]
    layer, worst, wrong = Layer(LayerWeights(*heads, *dense)), 0.0, ""
    for h, old in product((0.0, 1.0, -3.0), (0.0, 1.0, -5.0)):
        columns = [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [h, claim(old), 0.0, 0.0]]
        with torch.no_grad():
            found = float(layer(torch.tensor(columns, dtype=torch.float64).T[None])[0, 1, -1])
        right = 1 / (1 + exp(-h))
        off = abs(found - right)
        worst = max(worst, off)
        if not wrong and off > TOLERANCE:
            wrong = f"H_kq = {h:g}, H_k'q = {old:g}: {found:.4g} is written, not {right:.4g}"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the head of the proof in constructions.architecture.Layer against 1/(1 + e^{-h})",
        "h in (0, 1, -3), old values 0, 1 and -5; q = 3",
        worst,
        TOLERANCE,
        wrong,
    )


#: Of a written sigmoid.
TOLERANCE = 1e-14

STATEMENTS = (DIV, MOV, SIGMOID, STEPS, WEIGHTS, WRITE)
