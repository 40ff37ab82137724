"""Results of our own on the papers' subjects: what no network can do, and what it costs."""

from papers.beyond import (
    certificate,
    conserved_quantity,
    corollary_6_looseness,
    exact_rate,
    full_loss,
    initialisation,
    layer_minimum,
    no_network_is_exact,
    one_dimension,
    other_minima,
    posterior_slope,
    random_covariance,
    risk_under_shift,
    scores_need_heads,
    sharper_bounds,
    two_layers,
    unbalanced_starts,
    uniform_bias,
)
from papers.ledger import AnyStatement

STATEMENTS: tuple[AnyStatement, ...] = (
    *certificate.STATEMENTS,
    *posterior_slope.STATEMENTS,
    *no_network_is_exact.STATEMENTS,
    *scores_need_heads.STATEMENTS,
    *two_layers.STATEMENTS,
    *full_loss.STATEMENTS,
    *initialisation.STATEMENTS,
    *exact_rate.STATEMENTS,
    *unbalanced_starts.STATEMENTS,
    *sharper_bounds.STATEMENTS,
    *conserved_quantity.STATEMENTS,
    *layer_minimum.STATEMENTS,
    *other_minima.STATEMENTS,
    *one_dimension.STATEMENTS,
    *corollary_6_looseness.STATEMENTS,
    *uniform_bias.STATEMENTS,
    *risk_under_shift.STATEMENTS,
    *random_covariance.STATEMENTS,
)
