"""The softmax of Lemma 2: out of sigmoids, divisions and affine maps, as its proof has it.

The route computes 1/(1 + e^{s_i}), inverts it, subtracts 1, and divides by the sum. Nothing in it
subtracts the largest logit first, so that it loses about e^{|s|} epsilon: in float64 half of all
digits at |s| = 14, and everything at 37, where 1 + e^{s} equals 1. The operator `Soft` is compiled
to one attention head instead, which has no such limit.
"""

import numpy as np

from constructions.operators import Aff, Div, Mov, Operator, Sigmoid
from constructions.program import Program, Register, stack_registers


def rounding_error(num_logits: int, low: float, high: float, epsilon: float) -> float:
    """Return what rounding costs the route: an estimate of the error of a probability.

    1 + e^{s} carries the absolute error epsilon (1 + e^{high}), which stays when 1 is taken off,
    and is divided by a sum as small as m e^{low}. The factor 16 covers the roundings on the way
    (sigmoid, inversion, subtraction, division, each read through LayerNorm), 32 what divisions by
    LayerNorm cost at any range; tests hold the measured error of the network below this, and
    within a factor of 300.
    """
    with np.errstate(over="ignore"):
        lost = (1 + np.exp(high)) * np.exp(-low) + 32
        return float(16 * epsilon * max(1, num_logits) ** 0.5 * lost)


def check_range(num_logits: int, low: float, high: float, epsilon: float) -> None:
    """Refuse logits on which the route loses more than half of all digits.

    Raises
    ------
    ValueError
        If there are no logits, the range is not finite, or `rounding_error` exceeds
        sqrt(epsilon).
    """
    if num_logits < 1 or not -np.inf < low <= high < np.inf:
        raise ValueError(
            f"{num_logits} logits in {low}..{high}: expected at least one, and a finite range"
        )
    error = rounding_error(num_logits, low, high, epsilon)
    if error > epsilon**0.5:
        raise ValueError(
            f"logits in {low:g}..{high:g} cost the sigmoid route about {error:.1e} of a "
            f"probability, more than half of all digits ({epsilon**0.5:.1e}): 1 + e^s swallows "
            "e^s; use the softmax head (soft)"
        )


def softmax_by_sigmoids(
    num_logits: int,
    low: float,
    high: float,
    num_columns: int,
    epsilon: float = 2.0**-52,
) -> Program:
    """Return the program of Lemma 2, repaired, for logits within [low, high].

    In the last column: n = -s; g_i = sigmoid(n_i); v_i = 1 / g_i; e = v - 1; S = sum e;
    u = e / S; p = u. Registers, from row 1: s, n, g (each m), one (1), v, e (m), S (1), u, p (m).
    It takes 2m + 6 operators and, a division taking three layers, 4m + 8 layers, where
    Proposition 1 says one.
    Source: pathak2023, Appendix B.3.1.

    Parameters
    ----------
    num_logits
        m >= 1.
    low, high
        Range of the logits.
    num_columns
        q >= 1.
    epsilon
        Machine epsilon of the arithmetic that will run it (the default is float64's).

    Raises
    ------
    ValueError
        If m or the range is not valid, or if the route would lose more than half of all digits
        (an error above sqrt(epsilon)).
    """
    check_range(num_logits, low, high, epsilon)
    logits, probabilities = ("s", num_logits, low, high), ("p", num_logits, 0.0, 1.0)
    registers = stack_registers((logits, *route_ranges(num_logits, low, high), probabilities))
    operations = route_operations(registers, num_columns)
    return Program("softmax by sigmoids", registers, num_columns, operations, ("s",))


def route_ranges(m: int, low: float, high: float) -> tuple[tuple[str, int, float, float], ...]:
    """Return the registers n, g, one, v, e, S, u between logits and probabilities."""
    smallest, largest = float(np.exp(low)), float(np.exp(high))
    return (
        ("n", m, -high, -low),
        ("g", m, 1 / (1 + largest), 1 / (1 + smallest)),
        ("one", 1, 1.0, 1.0),
        ("v", m, 1 + smallest, 1 + largest),
        ("e", m, smallest, largest),
        ("S", 1, m * smallest, m * largest),
        ("u", m, 0.0, 1.0),
    )


def route_operations(registers: tuple[Register, ...], q: int) -> tuple[Operator, ...]:
    """Return the lines of the route; registers are s, n, g, one, v, e, S, u, p in this order."""
    s, n, g, one, v, e, total, u, p = registers
    m, last = s.dim, frozenset({q})
    eye = np.eye(m, dtype=int)
    ones = np.ones((m, 1), dtype=int)
    return (
        Aff(s.first, s.first, n.first, s.last, s.first, n.last, -eye, 0, 0, last),
        *(Sigmoid(n.first + t, g.first + t) for t in range(m)),
        Aff(s.first, s.first, one.first, s.first, s.first, one.last, 0, 0, 1, last),
        *(Div(g.first + t, one.first, v.first + t, one.last, last) for t in range(m)),
        Aff(v.first, one.first, e.first, v.last, one.last, e.last, eye, -ones, 0, last),
        Aff(e.first, s.first, total.first, e.last, s.first, total.last, ones.T, 0, 0, last),
        Div(total.first, e.first, u.first, e.last, last),
        Mov(u.first, p.first, u.last, last),
    )
