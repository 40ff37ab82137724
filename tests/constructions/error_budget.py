"""What every entry of the program's matrices may be off by, in a network of given precision.

First-order propagation along the program: a read costs `READ` epsilon of its register's bound; a
square of t R costs epsilon times the gadget's amplification times (`FLOOR` + |t|) R^2; scores add
up those of their examples; a probability moves by p_j (|dl_j| + sum_l p_l |dl_l|).
"""

import numpy as np

from constructions.compiled import CompiledProgram
from tests.constructions.judges import Matrix
from tests.constructions.one_line import READ

#: Neurons close to 0 still read LayerNorm with this part of epsilon (measured: 0.03).
FLOOR = 1 / 16


def budget(
    model: CompiledProgram, last: Matrix, noise_std: float, epsilon: float, *, exact: bool = False
) -> Matrix:
    """Allowed errors (p, q), from the judge's last matrix of one prompt.

    An entry that the program leaves at zero is allowed no error at all. ``exact`` is for plans,
    which multiply where weights approximate.
    """
    block = {r.name: slice(r.first - 1, r.last) for r in model.program.registers}
    bound = {r.name: r.bound for r in model.program.registers}
    square, R = model.square, bound["r"]
    amplification = 4.0
    if not exact:
        amplification += 4 * float(np.sum(np.abs(square.coefficients) * square.scales))
    value, allowed = np.abs(last), np.zeros(last.shape)
    for name in ("x", "y", "r"):
        allowed[block[name]] = READ * epsilon * max(bound[name], R if name == "r" else 0)

    even = slice(1, None, 2)
    r = value[block["r"]]
    t = r[:, even] / R
    allowed[block["s"], even] = (amplification * (FLOOR + t) + 2 * READ * t) * epsilon * R**2
    if not exact:
        relative = square.relative_error * t ** (2 * len(square.scales))
        allowed[block["s"], even] += relative * r[:, even] ** 2
    scores = allowed[block["s"], even].sum(axis=1) / (2 * noise_std**2)
    scores += READ * epsilon * value[block["s"], -1]
    allowed[block["s"], -1] = scores
    if "l" in block:
        scores = scores + READ * epsilon * bound["l"]
        allowed[block["l"], -1] = scores

    p, at_query = value[block["p"], -1], r[:, -1]
    moved = 1.3 * p * (scores + p @ scores) + READ * epsilon
    allowed[block["p"], -1] = moved
    rounding = (amplification + READ) * epsilon * (FLOOR * R + at_query + R * p)
    products = moved * at_query + rounding + READ * epsilon * R * p
    if not exact:
        products += square.relative_error * R * np.maximum(at_query / R, p) ** 2
    allowed[block["pr"], -1] = products
    allowed[block["f"], -1] = products.sum() + READ * epsilon * len(p) * R
    return np.where(last != 0, allowed, 0.0)
