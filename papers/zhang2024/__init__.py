"""Zhang, Frei, Bartlett 2024: Trained transformers learn linear models in-context."""

from papers.ledger import AnyStatement

STATEMENTS: tuple[AnyStatement, ...] = ()
