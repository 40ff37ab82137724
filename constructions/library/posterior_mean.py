"""The program of Appendix B.2, corrected: f*_pi in nine operators (ten with a prior)."""

from typing import Any, Literal

import numpy as np

from constructions.box import LARGEST, Box
from constructions.library.sigmoid_route import check_range, route_operations, route_ranges
from constructions.matrices import Matrix
from constructions.operators import Aff, CopyDown, CopyOver, Mul, Operator, ScaledAgg, Soft
from constructions.program import I_EVEN, I_ODD, QUERY, Program, Register, stack_registers

#: How the softmax over components is computed.
SoftmaxRoute = Literal["head", "sigmoids"]

#: Name, dimension and range of a register.
Range = tuple[str, int, float, float]


def posterior_mean_program(
    components: Matrix,
    noise_std: Any,
    num_examples: int,
    *,
    log_weights: Matrix | None = None,
    box: Box | None = None,
    softmax: SoftmaxRoute = "head",
    epsilon: float = 2.0**-52,
) -> Program:
    """Return the corrected program of Appendix B.2 for k examples.

    Its registers, from row 1: token (d), x (d), y (1), r (m), s (m), p (m), pr (m), f (1), which
    is p = 2d + 4m + 2 rows on q = 2k + 1 columns (m more, l = s + ln pi, with a prior); f*_pi(P)
    ends in the last row and column. In the label columns s holds the squares r^2, in the query's
    column the scores.
    Source: pathak2023, Appendix B.2, with the corrections in `papers.pathak2023.program_lines`.

    Parameters
    ----------
    components
        W* (m, d), float64, mpmath or sympy.
    noise_std
        sigma > 0, a scalar of the same kind.
    num_examples
        k >= 0.
    log_weights
        ln pi (m,): one more operator adds it to the scores. None is the uniform prior, whose
        constant ln(1/m) the softmax does not see.
    box
        Bounds on prompts, from which the registers' ranges follow; without it they are infinite
        and the program can be run, not compiled.
    softmax
        "head": the operator soft, one attention head. "sigmoids": the route of Lemma 2, for
        scores within its range; it needs a box.
    epsilon
        Machine epsilon of the arithmetic that will run the route (the default is float64's).

    Raises
    ------
    ValueError
        If sigma is a number that is not positive, k is negative, the softmax is unknown, or its
        route would lose more than half of all digits on the box.
    """
    _check(noise_std, num_examples)
    if softmax not in ("head", "sigmoids"):
        raise ValueError(f"softmax is {softmax!r}, expected 'head' or 'sigmoids'")
    ranges = _ranges(components, noise_std, num_examples, log_weights, box)
    if softmax == "sigmoids":
        ranges = _with_route(ranges, epsilon)
    registers = stack_registers(ranges)
    return Program(
        name="posterior mean",
        registers=registers,
        num_columns=2 * num_examples + 1,
        inputs=("token",),
        operations=(
            *_scores(registers, components, noise_std, num_examples),
            *_prior(registers, log_weights, num_examples),
            *_weighted_mean(registers, num_examples, softmax),
        ),
    )


def _check(noise_std: Any, num_examples: int) -> None:
    if getattr(noise_std, "is_number", True):
        if not noise_std > 0:
            raise ValueError(
                f"noise_std is {noise_std}, expected a positive number: the scores grow like "
                "1/sigma^2, so that no finite network has sigma = 0; theory.Argmin is its limit"
            )
        if not 1 / LARGEST < noise_std < LARGEST:
            raise ValueError(
                f"noise_std is {noise_std}, expected between {1 / LARGEST:g} and {LARGEST:g}: "
                "rescale the problem"
            )
    if num_examples < 0:
        raise ValueError(f"num_examples is {num_examples}, expected 0 or more")


def _ranges(
    components: Matrix,
    noise_std: Any,
    num_examples: int,
    log_weights: Matrix | None,
    box: Box | None,
) -> tuple[Range, ...]:
    m, d = components.shape
    if box is None:
        x_bound = y_bound = image = residual = score = prior = np.inf
    else:
        x_bound, y_bound = box.covariate, box.label
        image = float(box.images(components).max())
        residual = image + y_bound
        prior = 0.0 if log_weights is None else float(np.abs(log_weights).max())
        with np.errstate(over="ignore"):  # an infinite range is refused when it is compiled
            score = float(num_examples * (np.float64(residual) / noise_std) ** 2 / 2) + prior
    token = max(x_bound, y_bound)
    return (
        ("token", d, -token, token),
        ("x", d, -x_bound, x_bound),
        ("y", 1, -y_bound, y_bound),
        ("r", m, -residual, residual),
        ("s", m, -score, residual**2),
        *([] if log_weights is None else [("l", m, -score, 0.0)]),
        ("p", m, 0.0, 1.0),
        ("pr", m, -residual, residual),
        ("f", 1, -image, image),
    )


def _with_route(ranges: tuple[Range, ...], epsilon: float) -> tuple[Range, ...]:
    """Put the registers of Lemma 2 between the logits and their softmax p."""
    place = next(i for i, (name, *_) in enumerate(ranges) if name == "p")
    _, m, low, _ = ranges[place - 1]
    # Scores are never positive; the squares in the label columns share their rows.
    check_range(m, low, 0.0, epsilon)
    return (*ranges[:place], *route_ranges(m, low, 0.0), *ranges[place:])


def _named(registers: tuple[Register, ...], *names: str) -> list[Register]:
    by_name = {register.name: register for register in registers}
    return [by_name[name] for name in names]


def _scores(
    registers: tuple[Register, ...], components: Matrix, noise_std: Any, num_examples: int
) -> tuple[Operator, ...]:
    """Lines 1 to 6: from tokens to scores."""
    x, y, r, s = _named(registers, "x", "y", "r", "s")
    m, d = components.shape
    even, odd, query = (columns.of(num_examples) for columns in (I_EVEN, I_ODD, QUERY))
    return (
        CopyDown(1, x.first, d, odd),
        CopyOver(x.first, x.first, x.last, even),
        CopyDown(1, y.first, 1, even),
        Aff(
            x.first, y.first, r.first, x.last, y.last, r.last,
            components, -np.ones((m, 1), dtype=int), 0, even | query,
        ),
        Mul(r.first, r.first, s.first, r.last, even),
        ScaledAgg(-1 / (2 * noise_std**2), s.first, s.last, s.first, 2 * num_examples + 1, even),
    )  # fmt: skip


def _prior(
    registers: tuple[Register, ...], log_weights: Matrix | None, num_examples: int
) -> tuple[Operator, ...]:
    """The line that the paper's uniform prior does not need: l = s + ln pi."""
    if log_weights is None:
        return ()
    s, y, logits = _named(registers, "s", "y", "l")
    add = Aff(
        s.first, y.first, logits.first, s.last, y.last, logits.last,
        np.eye(s.dim, dtype=int), 0, log_weights, QUERY.of(num_examples),
    )  # fmt: skip
    return (add,)


def _weighted_mean(
    registers: tuple[Register, ...], num_examples: int, softmax: SoftmaxRoute
) -> tuple[Operator, ...]:
    """Lines 7 to 9: from the logits, l if there is a prior and s otherwise, to f*_pi."""
    x, r, p, pr, f = _named(registers, "x", "r", "p", "pr", "f")
    query, q = QUERY.of(num_examples), 2 * num_examples + 1
    names = [register.name for register in registers]
    start = names.index("l" if "l" in names else "s")
    between = registers[start : names.index("p") + 1]
    probabilities: tuple[Operator, ...] = (
        (Soft(between[0].first, between[0].last, p.first),)
        if softmax == "head"
        else route_operations(between, q)
    )
    return (
        *probabilities,
        Mul(r.first, p.first, pr.first, r.last, query),
        Aff(
            pr.first, x.first, f.first, pr.last, x.first, f.last,
            np.ones((1, r.dim), dtype=int), 0, 0, query,
        ),
    )  # fmt: skip


def initial_matrix(tokens: Matrix, num_rows: int) -> Matrix:
    """Return H^(0) (..., p, q): the tokens (..., d, q) in rows 1..d, zeros below.

    Source: pathak2023, Appendix B.2: the only nonzero entries are H_{1:d, 2j-1} = x_j and
    H_{1, 2j} = y_j.
    """
    *batch, d, q = tokens.shape
    below = np.zeros((*batch, num_rows - d, q), dtype=tokens.dtype)
    return np.concatenate([tokens, below], axis=-2)
