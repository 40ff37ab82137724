r"""When Algorithm 1 declares itself converged: the minimum over j' lets components jump.

For n = 2 prompts of one example, x = (3, 1) and y = (2, -6), let w_1 = 0, the least squares of
both, and w_2 = 3. Then r_i2^2 - r_i1^2 = 45 for both prompts, so that no responsibility
depends on the prompt, and both components go to 0, whatever pi and sigma are: the rule's value is
0 at once, though w_2 has moved by 3. From a w_2 nearby they end within epsilon of each other,
where the likelihood is nearly stationary but no maximum: going on, they part. With j' = j the rule
says what it should: |sigma^2 dL/dw_j| = |G_j (w_j(+) - w_j)| <= |G_j| epsilon.

Two components cannot meet the rule by changing places. With D = w_1 - w_2, c their mean and
t_i = D'X_i'(y_i - X_i c), the log odds gamma_i1/gamma_i2 are a constant plus t_i / sigma^2, so that
gamma_i1 t_i >= s t_i and gamma_i2 t_i <= (1 - s) t_i for one s in (0, 1). Summed over i, these are
D'G_1(w_1(+) - c) >= s T and D'G_2(w_2(+) - c) <= (1 - s) T. After a change of places the left sides
are -D'G_1 D/2 <= 0 and D'G_2 D/2 >= 0, which leaves T = 0 and X_i D = 0: they predict alike.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import log

import numpy as np

from papers.ledger import Correction, Evidence, Fault, Grade, statement

#: d = 1: components, prompts' x and y.
Numbers = Sequence[Fraction]

#: How far an iteration has moved, from the components before and after.
MoveClaim = Callable[[Numbers, Numbers], Fraction]

#: The example of the module's docstring.
XS, YS = (Fraction(3), Fraction(1)), (Fraction(2), Fraction(-6))
BEFORE = (Fraction(0), Fraction(3))

#: M-steps with any responsibilities (x, y, w, gamma): to where |w_1| was, and nearly an exchange.
_ONE, _HALF, _QUARTER = Fraction(1), Fraction(1, 2), Fraction(1, 4)
SMALL = (
    ((_ONE, _ONE), (-_ONE, -_ONE), (_ONE, -_ONE), ((_HALF, _HALF),) * 2),
    (
        (_ONE, _ONE),
        (-_ONE, _ONE),
        (_ONE, -_ONE),
        ((3 * _QUARTER, _QUARTER), (_QUARTER, 3 * _QUARTER)),
    ),
)

#: Random iterations that are looked at too, and the prompts of each.
DRAWN, PROMPTS = 200, 4


def _nearest(before: Numbers, after: Numbers) -> Fraction:
    return max(min(abs(w - v) for v in before) for w in after)


def _own(before: Numbers, after: Numbers) -> Fraction:
    return max(abs(w - v) for w, v in zip(after, before, strict=True))


def _mean(before: Numbers, after: Numbers) -> Fraction:
    return sum((abs(w - v) for w, v in zip(after, before, strict=True)), Fraction()) / len(after)


def _least(before: Numbers, after: Numbers) -> Fraction:
    return min(abs(w - v) for w, v in zip(after, before, strict=True))


def _backwards(before: Numbers, after: Numbers) -> Fraction:
    return _nearest(after, before)


@statement(
    id="pathak2023/algorithm-1-stopping-rule",
    title="Where the stopping rule holds, the likelihood is stationary up to epsilon",
    source="Appendix C.2, the display after Algorithm 1",
    latex=r"\max_j \min_{j'} \|w_j^{(t)} - w_{j'}^{(t-1)}\|_2 \le \varepsilon \Rightarrow"
    r" \sigma^2 \|\nabla_{w_j} L(\pi^{(t-1)}, w^{(t-1)})\| \le \|G_j\| \varepsilon",
    printed=_nearest,
    correction=Correction[MoveClaim](
        _own,
        "j' = j: each component is compared with itself. Otherwise components may jump to where"
        " others were; two of them that meet can stop the algorithm at a saddle.",
        Fault.AMBIGUOUS,
        latex=r"\max_j \|w_j^{(t)} - w_j^{(t-1)}\|_2 \le \varepsilon \Rightarrow"
        r" \sigma^2 \|\nabla_{w_j} L(\pi^{(t-1)}, w^{(t-1)})\| \le \|G_j\| \varepsilon",
    ),
    mutants={
        "the nearest one after, of each before": _backwards,
        "1 % less": lambda before, after: Fraction(99, 100) * _own(before, after),
        "the mean over j": _mean,
        "the least over j": _least,
        "the longest difference of norms": lambda before, after: max(
            abs(abs(w) - abs(v)) for w, v in zip(after, before, strict=True)
        ),
    },
    hypotheses=("G_j invertible",),
    depends_on=("pathak2023/algorithm-1-fixed-points",),
)
def STOPPING_RULE(claim: MoveClaim, rng: np.random.Generator) -> Evidence:
    """Compare the slope with the claimed move in the example and in random M-steps, exactly."""
    gaps = [
        (y - x * BEFORE[1]) ** 2 - (y - x * BEFORE[0]) ** 2 for x, y in zip(XS, YS, strict=True)
    ]
    if gaps[0] != gaps[1]:
        raise AssertionError("the responsibilities of the example depend on the prompt")
    wrong = _wrong_iteration(claim, XS, YS, BEFORE, ((_HALF, _HALF),) * 2)
    if wrong and claim(BEFORE, (BEFORE[0],) * 2) == 0:
        wrong = f"{wrong}; {_early_stop()}"
    for step in SMALL:
        wrong = wrong or _wrong_iteration(claim, *step)
    for _ in range(DRAWN):
        if wrong:
            break
        numbers = [Fraction(int(a), 7) for a in rng.integers(1, 50, 2 * PROMPTS + 2)]
        signs = [Fraction(int(s)) for s in rng.choice([-1, 1], PROMPTS)]
        xs, ys = numbers[:PROMPTS], numbers[PROMPTS : 2 * PROMPTS]
        labels = [s * y for s, y in zip(signs, ys, strict=True)]
        gamma = [(g := Fraction(int(a), 100), 1 - g) for a in rng.integers(1, 100, PROMPTS)]
        wrong = _wrong_iteration(claim, xs, labels, numbers[2 * PROMPTS :], gamma)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "sigma^2 |dL/dw_j| / |G_j| against the claimed move of the iteration, exact rational"
        " numbers; in general it is |G_j (w_j(+) - w_j)| <= |G_j| |w_j(+) - w_j|",
        f"every size, by this inequality; tried for d = 1, m = 2: the example, {len(SMALL)} small"
        f" M-steps, and {DRAWN} random ones on {PROMPTS} prompts with any responsibilities",
        counterexample=wrong,
    )


def _wrong_iteration(
    claim: MoveClaim, xs: Numbers, ys: Numbers, before: Numbers, gamma: Sequence[Numbers]
) -> str:
    curvatures, slopes = [], []
    for j, w in enumerate(before):
        weights = [row[j] for row in gamma]
        curvatures.append(sum((g * x * x for g, x in zip(weights, xs, strict=True)), Fraction()))
        rows = zip(weights, xs, ys, strict=True)
        slopes.append(sum((g * x * (y - x * w) for g, x, y in rows), Fraction()))
    after = [
        w + slope / curvature
        for w, slope, curvature in zip(before, slopes, curvatures, strict=True)
    ]
    move = claim(before, after)
    for j, (slope, curvature) in enumerate(zip(slopes, curvatures, strict=True), 1):
        if abs(slope) > curvature * move:
            return (
                f"d = k = 1, x = {_listed(xs)}, y = {_listed(ys)}, gamma_i1 ="
                f" {_listed([row[0] for row in gamma])}: from w = {_listed(before)} to"
                f" {_listed(after)} the claimed move is {move}, but sigma^2 |dL/dw_{j}| is"
                f" {abs(slope) / curvature} times |G_{j}|"
            )
    return ""


def _listed(numbers: Numbers) -> str:
    return f"({', '.join(map(str, numbers))})"


def _early_stop(epsilon: float = 1e-3, offset: float = 1e-4) -> str:
    """Run the example with sigma = 1 from a w_2 nearby, to the rule and beyond it."""
    xs, ys = np.array(XS, dtype=float), np.array(YS, dtype=float)
    pi, w = np.array([0.5, 0.5]), np.array(BEFORE, dtype=float)
    w[1] += offset
    trace: list[float] = []
    stopped = 0
    while len(trace) < 400:
        a = pi * np.exp(-((ys[:, None] - xs[:, None] * w) ** 2) / 2)
        trace.append(sum(log(value) for value in a.sum(axis=1)))
        gamma = a / a.sum(axis=1, keepdims=True)
        before, pi = w, gamma.mean(axis=0)
        w = (gamma.T @ (xs * ys)) / (gamma.T @ xs**2)
        move = max(min(abs(v - u) for u in before) for v in w)
        if not stopped and move <= epsilon:
            stopped = len(trace)
    if not stopped:
        raise AssertionError("the rule does not hold near the example")
    return (
        f"with sigma = 1, pi = (1/2, 1/2) and w_2 = {float(BEFORE[1]) + offset:g} at first, the"
        f" rule for epsilon = {epsilon:g} holds after iteration {stopped}, where the log-likelihood"
        f" is {trace[stopped]:.4g}; going on, it rises to {trace[-1]:.4g}, at w = ({w[0]:.4g},"
        f" {w[1]:.4g})"
    )


STATEMENTS = (STOPPING_RULE,)
