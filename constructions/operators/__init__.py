"""The operators of Appendix B, with exactly the paper's meaning.

An operator with its arguments is a value: ``CopyDown(1, 4, 3, frozenset({1, 3}))`` says what is
copied where, and calling it on a matrix H (p, q) returns H'. The same values are the lines of a
program, what the lowering turns into layers, and what the ledger judges.
``copy_down(H, 1, 4, 3, frozenset({1, 3}))`` is the paper's own notation for the same thing.

Rows and columns are the paper's: counted from 1, intervals inclusive at both ends. Entries may be
float64, longdouble, mpmath or sympy numbers (`constructions.matrices`). All reads see H, all
writes go to H', so source and target may overlap. Every operator checks rows, columns, shapes and
causality first, and reports all its problems in one `OperatorError`.
"""

from constructions.operators.base import Columns, Operator, OperatorError, Rows, on_matrix
from constructions.operators.program_lines import Aff, CopyDown, CopyOver, Mul, ScaledAgg, Soft
from constructions.operators.raw import Raw
from constructions.operators.softmax_route import Div, Mov, Sigmoid

copy_down = on_matrix(CopyDown)
copy_over = on_matrix(CopyOver)
mul = on_matrix(Mul)
aff = on_matrix(Aff)
scaled_agg = on_matrix(ScaledAgg)
soft = on_matrix(Soft)
div = on_matrix(Div)
mov = on_matrix(Mov)
sigmoid = on_matrix(Sigmoid)
raw = on_matrix(Raw)

__all__ = [
    "Aff",
    "Columns",
    "CopyDown",
    "CopyOver",
    "Div",
    "Mov",
    "Mul",
    "Operator",
    "OperatorError",
    "Raw",
    "Rows",
    "ScaledAgg",
    "Sigmoid",
    "Soft",
    "aff",
    "copy_down",
    "copy_over",
    "div",
    "mov",
    "mul",
    "raw",
    "scaled_agg",
    "sigmoid",
    "soft",
]
