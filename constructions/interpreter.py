"""Runs a program exactly as its operators say, on matrices of any scalar."""

from constructions.matrices import Matrix, as_matrix
from constructions.program import Program


def run(program: Program, H: object) -> list[Matrix]:
    """Return H^(0), H^(1), ..., H^(n), each (p, q), for the n lines of the program.

    Parameters
    ----------
    program
        The program.
    H
        H^(0) (p, q), float64, longdouble, mpmath or sympy; the arithmetic is that of its entries.

    Raises
    ------
    ValueError
        If H has another shape than the program works on.
    """
    matrix = as_matrix(H)
    expected = (program.num_rows, program.num_columns)
    if matrix.shape != expected:
        raise ValueError(
            f"program {program.name!r} works on matrices of shape {expected}, got {matrix.shape}"
        )
    stages = [matrix]
    for operation in program.operations:
        stages.append(operation(stages[-1]))
    return stages
