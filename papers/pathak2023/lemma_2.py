"""Lemma 2: the softmax out of sigmoids, divisions and affine maps, step by step.

The route is sound with exact numbers once its first step uses the sigmoid instead of the softmax
itself. The attention step, as printed, gives another function. On a machine the route loses digits
as e^{|s|}: the last statement holds a compiled network to that
(`constructions.library.sigmoid_route`).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.special
import sympy

from constructions.compiled import CompiledProgram
from constructions.interpreter import run
from constructions.library.sigmoid_route import rounding_error, softmax_by_sigmoids
from constructions.operators import Aff, Operator, Sigmoid, Soft
from constructions.program import Program
from papers.ledger import Correction, Evidence, Fault, Grade, statement

#: A program that puts the softmax of its first m rows into its last m rows, for given m.
RouteClaim = Callable[[int], Program]

#: For H_{k,q} and q: the logit of every earlier column, and whether its key is (1, 0), so that its
#: weight counts towards the sigmoid.
AttentionClaim = Callable[[sympy.Symbol, int], list[tuple[sympy.Expr, bool]]]

#: The range on which the network is held to `rounding_error`.
LOW, HIGH = -8.0, 0.0


def _route(num_logits: int) -> Program:
    return softmax_by_sigmoids(num_logits, LOW, HIGH, num_columns=3)


def _changed(change: Callable[[int, int, Operator], Operator]) -> RouteClaim:
    """The route with lines replaced: change(m, index of the line, line)."""

    def route(num_logits: int) -> Program:
        program = _route(num_logits)
        lines = enumerate(program.operations)
        return replace(program, operations=tuple(change(num_logits, i, op) for i, op in lines))

    return route


def _soft_for_sigmoid(m: int, index: int, line: Operator) -> Operator:
    if isinstance(line, Sigmoid):
        return Soft(line.source_row, line.source_row, line.target_row)
    return line


def _scale_first(m: int, index: int, line: Operator) -> Operator:
    """Line 1 as n = +s."""
    if index == 0 and isinstance(line, Aff):
        return replace(line, weight=np.eye(m, dtype=int))
    return line


def _keep_one(m: int, index: int, line: Operator) -> Operator:
    """The subtraction as e = v."""
    if index == 2 * m + 2 and isinstance(line, Aff):
        return replace(line, second_weight=np.zeros((m, 1), dtype=int))
    return line


def _drop_last(m: int, index: int, line: Operator) -> Operator:
    """The sum with terms missing."""
    if index == 2 * m + 3 and isinstance(line, Aff):
        return replace(line, weight=np.eye(1, m, dtype=int) if m > 1 else 0 * line.weight)
    return line


ROUTE_MUTANTS: dict[str, RouteClaim] = {
    "s not negated": _changed(_scale_first),
    "1 not subtracted": _changed(_keep_one),
    "terms missing in the sum": _changed(_drop_last),
}


def _route_latex(first: str) -> str:
    """The steps, the first by aff and this."""
    return (
        rf"\frac{{1}}{{1 + e^{{s_i}}}} \text{{ by aff and {first}}},\quad"
        r" e^{s_i} \text{ by aff and div},\quad \textstyle\sum_j e^{s_j} \text{ by aff},\quad"
        r" e^{s_i} / \sum_j e^{s_j} \text{ by div}"
    )


@statement(
    id="pathak2023/lemma-2",
    title="The softmax is a sequence of aff, sigmoid, div and mov",
    source="Lemma 2 and its proof, Appendix B.3.1",
    latex=_route_latex("soft"),
    printed=_changed(_soft_for_sigmoid),
    correction=Correction[RouteClaim](
        _route,
        'The first step is printed with "the softmax operation (soft)", which is what is being '
        "built: soft of the pair (0, s_i) does give 1/(1 + e^{s_i}), but that is circular. The "
        "sigmoid, built from attention below, is meant.",
        Fault.GAP,
        latex=_route_latex("sigmoid"),
    ),
    mutants=ROUTE_MUTANTS,
    depends_on=("pathak2023/lemma-2-sigmoid", "pathak2023/proposition-1-aff"),
)
def ROUTE(claim: RouteClaim, rng: np.random.Generator) -> Evidence:
    """Run the route on symbols and compare with the softmax."""
    wrong = next(filter(None, (_route_failure(claim, m) for m in (1, 2, 3))), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the route run on symbols against e^{s_i} / sum_j e^{s_j}",
        "every real s; m in {1, 2, 3}",
        counterexample=wrong,
    )


def _route_failure(claim: RouteClaim, m: int) -> str:
    program = claim(m)
    for number, line in enumerate(program.operations, 1):
        if isinstance(line, Soft):
            return f"m = {m}: step {number} of the route is soft, the operator that it builds"
    logits = sympy.symbols(f"s_1:{m + 1}", real=True)
    H = np.full((program.num_rows, program.num_columns), sympy.Integer(0), dtype=object)
    H[:m, -1] = logits
    try:
        found = run(program, H)[-1][-m:, -1]
    except ZeroDivisionError as error:
        return f"m = {m}: {error}"
    total = sum(sympy.exp(s) for s in logits)
    for i, s in enumerate(logits):
        gap = sympy.simplify(found[i] - sympy.exp(s) / total)
        if gap != 0:
            at = {symbol: value for value, symbol in enumerate(logits)}
            is_, should = (
                float(sympy.sympify(e).subs(at)) for e in (found[i], sympy.exp(s) / total)
            )
            return f"m = {m}: p_{i + 1} at s = {list(at.values())} is {is_:.4g}, not {should:.4g}"
    return ""


def _alternating(h: sympy.Expr, second: int, q: int) -> list[tuple[sympy.Expr, bool]]:
    """Keys (1, 0), (0, 1), (1, 0), ... and the query (h, second)."""
    keys = [(h, True), (sympy.Integer(second), False)]
    return [keys[j % 2] for j in range(q - 1)]


def _in_front(h: sympy.Expr, second: int, q: int) -> list[tuple[sympy.Expr, bool]]:
    """Identity in the first two columns, zero keys after them, and the query (h, second)."""
    return [*_alternating(h, second, 3), *[(sympy.Integer(0), False)] * (q - 3)]


def _head_latex(second: str) -> str:
    """The head with the query (H_{k,i}, second)."""
    return (
        rf"W^Q h_i = (H_{{k,i}}, {second}),\quad"
        r" W^K H_{:i} = \big((1, 0)^\top, (0, 1)^\top, (1, 0)^\top, \dots\big) \Rightarrow"
        r" a = \frac{1}{e^{-H_{k,i}} + 1} e_{k'}"
    )


@statement(
    id="pathak2023/lemma-2-sigmoid",
    title="The sigmoid is one attention head over alternating constant columns",
    source="Proof of Lemma 2, Appendix B.3.1, last paragraph",
    latex=_head_latex("1"),
    printed=lambda h, q: _alternating(h, 1, q),
    correction=Correction[AttentionClaim](
        lambda h, q: _alternating(h, 0, q),
        "The query must be (H_{k,i}, 0), not (H_{k,i}, 1). The keys must alternate over all 2k "
        "earlier columns: an identity in the first 2 columns alone leaves weight e^0 on each of "
        "the others. (The display also lacks an exponential: 1 + H for 1 + e^H.)",
        Fault.GAP,
        latex=_head_latex("0"),
    ),
    mutants={
        "identity in the first two columns only, query (H, 1)": lambda h, q: _in_front(h, 1, q),
        "identity in the first two columns only, query (H, 0)": lambda h, q: _in_front(h, 0, q),
        "-H for H": lambda h, q: _alternating(-h, 0, q),
        "one column short": lambda h, q: _alternating(h, 0, q - 1),
        "query (2 H, 0)": lambda h, q: _alternating(2 * h, 0, q),
    },
    hypotheses=("q = 2k + 1 columns, so that 2k are earlier",),
)
def ATTENTION(claim: AttentionClaim, rng: np.random.Generator) -> Evidence:
    """Compare the weight of the columns with key (1, 0) with the sigmoid, with a symbol for H."""
    wrong = next(filter(None, (_head_failure(claim, q) for q in (3, 5, 7))), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "total weight of the attention head on keys (1, 0) against 1/(1 + e^{-h})",
        "every real h; q in {3, 5, 7} columns",
        counterexample=wrong,
    )


def _head_failure(claim: AttentionClaim, q: int) -> str:
    h = sympy.Symbol("h", real=True)
    keys = claim(h, q)
    weight = sum(sympy.exp(z) for z, counts in keys if counts) / sum(sympy.exp(z) for z, _ in keys)
    sigmoid = 1 / (1 + sympy.exp(-h))
    if sympy.simplify(weight - sigmoid) == 0:
        return ""
    # At H = 0 the sigmoid cannot tell H from -H.
    at = 0 if weight.subs(h, 0) != sympy.Rational(1, 2) else 1
    found, expected = (
        f"{str(e.subs(h, at)).replace('E', 'e')} = {float(e.subs(h, at)):.4f}"
        for e in (weight, sigmoid)
    )
    scores = ", ".join(str(z.subs(h, at)) for z, _ in keys)
    return (
        f"q = {q}, H = {at}: the scores are ({scores}), so that the head gives {found};"
        f" the sigmoid is {expected}"
    )


@statement(
    id="pathak2023/lemma-2-network",
    title="The route of Lemma 2 as layers of the architecture, and what it costs",
    source="Lemma 2, Appendix B.3.1",
    latex=r"|p_i - \mathrm{softmax}(s)_i| \le 16 \sqrt{m}\, \varepsilon\,"
    r" ((1 + e^{s_{max}}) e^{-s_{min}} + 32)",
    printed=_route,
    beyond=True,
    mutants=ROUTE_MUTANTS,
    hypotheses=(f"logits in [{LOW:g}, {HIGH:g}]; beyond half of all digits lost it is refused",),
    depends_on=("pathak2023/lemma-2",),
)
def NETWORK(claim: RouteClaim, rng: np.random.Generator) -> Evidence:
    """Compile the route and compare it with scipy's softmax."""
    worst, layers = 0.0, []
    for m in (1, 3, 6):
        network = CompiledProgram(claim(m))
        layers.append(len(network.layers))
        H = np.zeros((200, network.program.num_rows, network.program.num_columns))
        H[:, :m, -1] = rng.uniform(LOW, HIGH, (200, m))
        H[:20, :m, -1] = LOW
        expected = scipy.special.softmax(H[:, :m, -1], axis=1)
        error = float(np.abs(network.run_matrices(H)[:, -m:, -1] - expected).max())
        worst = max(worst, error / rounding_error(m, LOW, HIGH, 2.0**-52))
    return Evidence(
        worst <= 1,
        Grade.CONFIRMED,
        f"networks of {layers} layers (4m + 8 each, where Proposition 1 says one) against scipy: "
        "error over the bound",
        f"m in {{1, 3, 6}}, 200 vectors of logits in [{LOW:g}, {HIGH:g}] each, float64",
        worst,
        1.0,
        "" if worst <= 1 else f"the error of a probability is {worst:.3g} times the bound",
    )


STATEMENTS = (ROUTE, ATTENTION, NETWORK)
