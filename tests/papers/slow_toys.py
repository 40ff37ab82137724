"""Many toy statements that each take a moment."""

import numpy as np

from papers.ledger import Evidence, Statement, statement
from tests.papers.toy_paper import note, slow


def _slow(name: str) -> Statement[float]:
    @statement(
        id=f"slow/{name}", title=name, source="here", latex="", printed=1.0, mutants={"two": 2.0}
    )
    def check(claim: float, rng: np.random.Generator) -> Evidence:
        if claim == 1:
            note(name)
        return slow(claim, rng)

    return check


STATEMENTS = tuple(_slow(f"s{number}") for number in range(24))
