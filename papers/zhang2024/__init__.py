"""Zhang, Frei, Bartlett 2024: Trained transformers learn linear models in-context."""

from papers.ledger import AnyStatement
from papers.zhang2024 import (
    balance,
    corollary_6,
    dynamics,
    gaussian_moments,
    global_minima,
    limits,
    local_spectrum,
    lower_bounds,
    pl_inequality,
    positivity,
    quadratic_form,
    random_covariance_example,
    shifts,
    theorem_5,
    theorem_5_laws,
)

STATEMENTS: tuple[AnyStatement, ...] = (
    *quadratic_form.STATEMENTS,
    *gaussian_moments.STATEMENTS,
    *dynamics.STATEMENTS,
    *global_minima.STATEMENTS,
    *balance.STATEMENTS,
    *positivity.STATEMENTS,
    *lower_bounds.STATEMENTS,
    *pl_inequality.STATEMENTS,
    *limits.STATEMENTS,
    *theorem_5.STATEMENTS,
    *theorem_5_laws.STATEMENTS,
    *corollary_6.STATEMENTS,
    *shifts.STATEMENTS,
    *random_covariance_example.STATEMENTS,
    *local_spectrum.STATEMENTS,
)
