"""Section 1.2, definition by definition: columns, shapes, softmax, GeLU, layer normalisation.

`pathak2023/section-1-2` holds a whole layer of the library to the formulas; here each formula is
held to what characterises it, and the library to each formula.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy as sp
import torch

from constructions import architecture, matrices
from constructions.architecture import ConstantColumnError, Layer, LayerWeights
from papers.ledger import Correction, Evidence, Fault, Grade, statement

#: Which columns a layer computes, from p and q.
ColumnsClaim = Callable[[int, int], range]

#: (p, q), with p > q, p < q and p = q; of p = 1 there is no layer normalisation.
SHAPES = ((2, 1), (2, 3), (3, 2), (3, 3))


def _layer(p: int, rng: np.random.Generator) -> Layer:
    """A layer of one head with random weights."""
    shapes = ((1, 2, p), (1, 2, p), (1, 2, p), (1, p, 2), (16, p), (p, 16))
    return Layer(LayerWeights(*(torch.tensor(rng.normal(size=shape)) for shape in shapes)))


@statement(
    id="pathak2023/section-1-2-columns",
    title="A layer computes every column i in [q]",
    source="Section 1.2, below display (3)",
    latex=r"\text{for each column } i \in [p]",
    printed=lambda p, q: range(1, p + 1),
    correction=Correction[ColumnsClaim](
        lambda p, q: range(1, q + 1),
        "[q]: H' has q columns. p is the number of rows.",
        Fault.SLIP,
        latex=r"\text{for each column } i \in [q]",
    ),
    mutants={
        "without the first": lambda p, q: range(2, q + 1),
        "without the last": lambda p, q: range(1, q),
        "one more": lambda p, q: range(1, q + 2),
        "the smaller of p and q": lambda p, q: range(1, min(p, q) + 1),
    },
)
def COLUMNS(claim: ColumnsClaim, rng: np.random.Generator) -> Evidence:
    """Ask a layer of the library which columns it has changed."""
    wrong = ""
    for p, q in SHAPES:
        H = torch.tensor(rng.normal(size=(1, p, q)))
        with torch.no_grad():
            moved = (_layer(p, rng)(H) - H)[0].abs().amax(dim=0).numpy()
        found = [int(i) + 1 for i in np.flatnonzero(moved > 0)]
        if not wrong and found != list(claim(p, q)):
            wrong = (
                f"p = {p}, q = {q}: the columns {_listed(found)} are computed,"
                f" not {_listed(claim(p, q))}"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the columns that a layer of random weights changes",
        f"(p, q) in {SHAPES}",
        counterexample=wrong,
    )


def _listed(columns: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, columns)) + "}"


#: Rows and columns of the weights, by name, as letters: a = d_att, p, f = d_ff.
ShapeClaim = Mapping[str, str]

_SHAPES = {"Q": "ap", "K": "ap", "V": "ap", "C": "pa", "in": "fp", "out": "pf"}


def _times(*shapes: tuple[int, int]) -> tuple[int, int]:
    """The shape of a product; a mismatch is a ValueError."""
    rows, inner = shapes[0]
    for other_rows, columns in shapes[1:]:
        if inner != other_rows:
            raise ValueError(f"{rows} x {inner} times {other_rows} x {columns}")
        inner = columns
    return rows, inner


@statement(
    id="pathak2023/display-3",
    title="The shapes of the weights fit together",
    source="Section 1.2, display (3)",
    latex=r"W^Q, W^K, W^V \in \mathbf{R}^{d_{att} \times p},\ W^C \in \mathbf{R}^{p \times"
    r" d_{att}},\ W^{in} \in \mathbf{R}^{d_{ff} \times p},\ W^{out} \in \mathbf{R}^{p \times"
    r" d_{ff}}",
    printed=_SHAPES,
    mutants={
        "W^C transposed": {**_SHAPES, "C": "ap"},
        "W^Q of d_ff rows": {**_SHAPES, "Q": "fp"},
        "W^V square": {**_SHAPES, "V": "pp"},
        "W^in transposed": {**_SHAPES, "in": "pf"},
        "W^out square": {**_SHAPES, "out": "pp"},
    },
)
def WEIGHTS(claim: ShapeClaim, rng: np.random.Generator) -> Evidence:
    """Multiply shapes with three different sizes; then give such weights to the library."""
    size, before, wrong = {"a": 2, "p": 3, "f": 5}, 7, ""
    shape = {name: (size[letters[0]], size[letters[1]]) for name, letters in claim.items()}
    prefix, column = (3, before), (3, 1)
    try:
        keys, query = _times(shape["K"], prefix), _times(shape["Q"], column)
        logits = _times(keys[::-1], query)
        attended = _times(shape["C"], shape["V"], prefix, logits)
        dense = _times(shape["out"], _times(shape["in"], column))
        if (logits, attended, dense) != ((before, 1), column, column):
            wrong = f"logits {logits}, a_i {attended}, dense part {dense}; h_i is {column}"
    except ValueError as error:
        wrong = f"d_att = 2, p = 3, d_ff = 5: {error}"
    if not wrong:
        heads = [torch.zeros(1, *shape[name], dtype=torch.float64) for name in "QKVC"]
        dense_weights = [torch.zeros(shape[name], dtype=torch.float64) for name in ("in", "out")]
        H = torch.tensor(rng.normal(size=(1, 3, 4)))
        with torch.no_grad():
            if not bool((Layer(LayerWeights(*heads, *dense_weights))(H) == H).all()):
                wrong = "p = 3: a layer of zero weights is not the identity"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the shapes of all products, with three different sizes",
        "any d_att, p, d_ff and prefix: a product is defined or not by which letters meet",
        counterexample=wrong,
    )


#: What stands before column 1, (p, n), and the weights (n,) on it.
EmptyPrefixClaim = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@statement(
    id="pathak2023/footnote-2",
    title="Nothing is attended to at the first column: a_1 = 0",
    source="Section 1.2, footnotes 2 and 3",
    latex=r"H_{:1} = 0,\ s_{1j} = 0 \Rightarrow a_1 = 0",
    printed=lambda h: (np.zeros((len(h), 1)), np.zeros(1)),
    mutants={
        "the column itself": lambda h: (h[:, None], np.ones(1)),
        "a unit vector": lambda h: (np.eye(len(h), 1), np.ones(1)),
        "1 % of the column": lambda h: (h[:, None], np.full(1, 0.01)),
        "a column of ones": lambda h: (np.ones((len(h), 1)), np.ones(1)),
    },
)
def EMPTY_PREFIX(claim: EmptyPrefixClaim, rng: np.random.Generator) -> Evidence:
    """Multiply out with integers; ask the library for a_1."""
    wrong = ""
    for p in (2, 3, 5):
        h, merged = rng.integers(1, 9, p), rng.integers(1, 9, (p, p))
        told = merged @ np.matmul(*claim(h))
        # Footnote 2 alone does as well: one zero column of weight softmax(0) = 1.
        other = merged @ claim(h)[0] @ np.ones(1)
        with torch.no_grad():
            found = _layer(p, rng).attend(torch.tensor(h[None, :, None].astype(float)))[0, :, 0]
        if not wrong and (np.any(told) or np.any(other) or bool(found.abs().max() > 0)):
            wrong = f"p = {p}: a_1 is {told if np.any(told) else other}, the library's {found}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "W^C W^V H_{:1} s_1 in integers, with and without footnote 3; the library's a_1",
        "p in (2, 3, 5), all weights",
        counterexample=wrong,
    )


#: The softmax of a vector.
SoftmaxClaim = Callable[[Sequence[Any]], list[Any]]


def _softmax(v: Sequence[Any], factor: Any = 1, extra: int = 0) -> list[Any]:
    powers = [sp.exp(factor * x) for x in v]
    return [power / (sum(powers) + extra) for power in powers]


@statement(
    id="pathak2023/section-1-2-softmax",
    title="softmax: positive weights of sum 1, with the ratios e^{v_s - v_t}",
    source="Section 1.2, below the display of s_ij",
    latex=r"\mathrm{softmax}(v) = (e^{v_t} / \sum_{t'} e^{v_{t'}})_t",
    printed=_softmax,
    mutants={
        "1 more in the denominator": lambda v: _softmax(v, extra=1),
        "of 2 v": lambda v: _softmax(v, 2),
        "of -v": lambda v: _softmax(v, -1),
        "of 1.01 v": lambda v: _softmax(v, sp.Rational(101, 100)),
        "the powers": lambda v: [sp.exp(x) for x in v],
    },
)
def SOFTMAX(claim: SoftmaxClaim, rng: np.random.Generator) -> Evidence:
    """Take sum and ratios with symbols, of the claim and of the library's softmax."""
    wrong = ""
    for length in (1, 2, 3):
        v = list(sp.symbols(f"v1:{length + 1}", real=True))
        at = dict(zip(v, (1, 0, 3), strict=False))
        for name, s in (("the claim", claim(v)), ("the library", matrices.softmax(np.array(v)))):
            values = [sum(s), *(s[0] / x for x in s)]
            right = [sp.Integer(1), *(sp.exp(v[0] - x) for x in v)]
            for found, expected in zip(values, right, strict=True):
                if not wrong and sp.simplify(found - expected) != 0:
                    numbers = [sp.N(value.subs(at), 4) for value in (found, expected)]
                    wrong = f"v = {[*at.values()]}: {name} has {numbers[0]} for {numbers[1]}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "sum and ratios of the claim and of constructions.matrices.softmax, with symbols",
        "every v of length 1 to 3",
        counterexample=wrong,
    )


#: sigma(u).
GeluClaim = Callable[[Any], Any]


@statement(
    id="pathak2023/section-1-2-gelu",
    title="The GeLU is u Phi(u), Phi the normal distribution function",
    source="Section 1.2, the display of sigma(u)",
    latex=r"\sigma(u) = \frac u2 \Big(1 + \mathrm{erf}\Big(\frac{u}{\sqrt 2}\Big)\Big)",
    printed=lambda u: u / 2 * (1 + sp.erf(u / sp.sqrt(2))),
    mutants={
        "erf(u)": lambda u: u / 2 * (1 + sp.erf(u)),
        "without the half": lambda u: u * (1 + sp.erf(u / sp.sqrt(2))),
        "1 - erf": lambda u: u / 2 * (1 - sp.erf(u / sp.sqrt(2))),
        "by tanh": lambda u: (
            u / 2 * (1 + sp.tanh(sp.sqrt(2 / sp.pi) * (u + sp.Rational(44715, 10**6) * u**3)))
        ),
        "the sigmoid of 1.702 u": lambda u: u / (1 + sp.exp(-sp.Rational(1702, 1000) * u)),
        "1 % more": lambda u: u * sp.Rational(101, 200) * (1 + sp.erf(u / sp.sqrt(2))),
    },
)
def GELU(claim: GeluClaim, rng: np.random.Generator) -> Evidence:
    """Differentiate sigma(u)/u, which must be the normal density; compare torch's gelu."""
    u = sp.Symbol("u", real=True)
    gate = sp.expand(claim(u) / u)
    density = sp.exp(-(u**2) / 2) / sp.sqrt(2 * sp.pi)
    slope, start = sp.simplify(sp.diff(gate, u) - density), gate.subs(u, 0)
    wrong, worst = "", 0.0
    if slope != 0 or start != sp.Rational(1, 2):
        wrong = f"(sigma(u)/u)' - phi(u) is {sp.N(slope.subs(u, 1), 4)} at 1; sigma(u)/u -> {start}"
    else:
        points = np.linspace(-6, 6, 61)
        found = torch.nn.functional.gelu(torch.tensor(points)).numpy()
        told = np.array([float(sp.N(claim(sp.Rational(int(n), 5)), 20)) for n in range(-30, 31)])
        worst = float(np.abs(found - told).max())
        if worst > GELU_TOLERANCE:
            wrong = f"torch's gelu is {worst:.2g} off on [-6, 6]"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the derivative of sigma(u)/u against the normal density, and its value at 0; torch's gelu",
        "every u; torch at 61 points",
        worst,
        GELU_TOLERANCE,
        wrong,
    )


#: Of torch's gelu on [-6, 6].
GELU_TOLERANCE = 1e-14


@dataclass(frozen=True)
class NormClaim:
    """Layer normalisation: where it is defined, and its value."""

    defined: Callable[[Sequence[int]], bool]
    value: Callable[[Sequence[int]], list[sp.Expr]]


def _normalised(
    v: Sequence[int], scale: Callable[[int], Any] = sp.sqrt, epsilon: Any = 0, centre: Any = 1
) -> list[sp.Expr]:
    p = len(v)
    parts = [sp.Rational(x) - centre * sp.Rational(sum(v), p) for x in v]
    return [scale(p) * part / sp.sqrt(sum(x**2 for x in parts) + epsilon) for part in parts]


_NORM = NormClaim(lambda v: len(set(v)) > 1, _normalised)

_LAMBDA = r"\lambda(v) = \sqrt p\, \frac{v - \bar v \mathbf{1}_p}{\|v - \bar v \mathbf{1}_p\|_2}"

#: All vectors of these entries and lengths.
VECTORS = [v for p in (1, 2, 3) for v in product((0, 1, 3, -2), repeat=p)]


@statement(
    id="pathak2023/section-1-2-layer-norm",
    title="lambda(v): mean 0, mean square 1, the direction of v - mean(v); not for constant v",
    source="Section 1.2, the display of lambda(v)",
    latex=r"\lambda: \mathbf{R}^p \to \mathbf{R}^p,\quad " + _LAMBDA,
    printed=replace(_NORM, defined=lambda v: True),
    correction=Correction(
        _NORM,
        "Not a map of all of R^p: for constant v it is 0/0. The paper's own H^(0) meets this: the"
        " column of a label y_j = 0 is zero. A row of its own constant repairs it.",
        Fault.GAP,
        latex=r"\lambda: \mathbf{R}^p \setminus \{t\, \mathbf{1}_p : t \in \mathbf{R}\} \to"
        r" \mathbf{R}^p,\quad " + _LAMBDA,
    ),
    mutants={
        "without sqrt(p)": replace(_NORM, value=lambda v: _normalised(v, lambda p: 1)),
        "sqrt(p - 1)": replace(_NORM, value=lambda v: _normalised(v, lambda p: sp.sqrt(p - 1))),
        "not centred": replace(_NORM, value=lambda v: _normalised(v, centre=0)),
        "epsilon 1e-5": replace(
            _NORM, value=lambda v: _normalised(v, epsilon=sp.Rational(1, 10**5))
        ),
        "not for v of mean 0": replace(_NORM, defined=lambda v: len(set(v)) > 1 and sum(v) != 0),
        "not for v with equal entries": replace(_NORM, defined=lambda v: len(set(v)) == len(v) > 1),
    },
)
def LAYER_NORM(claim: NormClaim, rng: np.random.Generator) -> Evidence:
    """Check mean, length and direction exactly, and the library on the same vectors."""
    wrong = next(filter(None, (_wrong_norm(claim, v) for v in VECTORS)), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "mean 0, mean square 1 and the direction, exactly; constructions.architecture.layer_norm",
        f"all {len(VECTORS)} vectors of length 1 to 3 with entries 0, 1, 3, -2",
        counterexample=wrong,
    )


def _vector(values: Sequence[int] | Sequence[float]) -> str:
    return "(" + ", ".join(f"{x:.3g}" for x in values) + ")"


def _wrong_norm(claim: NormClaim, v: Sequence[int]) -> str:
    at = f"p = {len(v)}, v = {_vector(v)}"
    try:
        column = torch.tensor(v, dtype=torch.float64)[None, :, None]
        found = architecture.layer_norm(column)[0, :, 0].tolist()
    except ConstantColumnError:
        return f"{at}: v - mean(v) is 0, and lambda(v) is 0/0" if claim.defined(v) else ""
    if len(set(v)) == 1:
        return f"{at}: the library has {_vector(found)} for 0/0"
    if not claim.defined(v):
        return f"{at}: lambda(v) is {_vector(found)}, and the claim says that there is no value"
    value, p = claim.value(v), len(v)
    # Squares and signs tell everything, and are rational.
    squares = [sp.nsimplify(x**2) for x in value]
    centred = [Fraction(x) - Fraction(sum(v), p) for x in v]
    length = sum(x * x for x in centred)
    for x, square, part, other in zip(value, squares, centred, found, strict=True):
        right = sp.Rational(p * part * part / length)
        if square != right or sp.sign(x) != (part > 0) - (part < 0):
            signed = "" if square != right else f", with the sign of {part}"
            return f"{at}: an entry is {sp.N(x, 5)}, and its square must be {right}{signed}"
        if abs(float(x) - other) > NORM_TOLERANCE:
            return f"{at}: the library has {other}, the claim {float(x)}"
    return ""


#: Of an entry of the library's lambda.
NORM_TOLERANCE = 1e-14

STATEMENTS = (COLUMNS, WEIGHTS, EMPTY_PREFIX, SOFTMAX, GELU, LAYER_NORM)
