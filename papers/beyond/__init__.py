"""Results of our own on the papers' subjects: what no network can do, and what it costs."""

from papers.beyond import (
    certificate,
    no_network_is_exact,
    posterior_slope,
    scores_need_heads,
    two_layers,
)
from papers.ledger import AnyStatement

STATEMENTS: tuple[AnyStatement, ...] = (
    *certificate.STATEMENTS,
    *posterior_slope.STATEMENTS,
    *no_network_is_exact.STATEMENTS,
    *scores_need_heads.STATEMENTS,
    *two_layers.STATEMENTS,
)
