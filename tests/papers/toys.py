"""Toy statements for the runner and the command line: the claim is a number, and right is 1."""

import numpy as np

from papers.ledger import Correction, Evidence, Fault, Grade, OpenStatement, Statement, statement

#: A claim on which the check of a toy crashes.
CRASH = "crash"


def evidence(holds: bool, measured: float = 0.0) -> Evidence:
    why = "" if holds else f"{measured} is not 1"
    return Evidence(holds, Grade.CONFIRMED, "value against 1", "here", measured, 0.5, why)


def toy(
    name: str = "a",
    printed: object = 1,
    corrected: object = None,
    mutants: tuple = (2, 3),
    *,
    beyond: bool = False,
) -> Statement[object]:
    correction = None if corrected is None else Correction(corrected, "it is 1", Fault.SLIP)

    @statement(
        id=f"toy/{name}",
        title="One",
        source="here",
        latex="x = 1",
        printed=printed,
        mutants={f"mutant {i}": claim for i, claim in enumerate(mutants)},
        correction=correction,
        beyond=beyond,
    )
    def check(claim: object, rng: np.random.Generator) -> Evidence:
        if claim == CRASH:
            raise RuntimeError("the check broke")
        return evidence(claim == 1, float(claim))

    return check


def drawing(name: str) -> Statement[float]:
    """A statement whose evidence shows the random number that its check was given."""

    @statement(id=name, title="", source="", latex="", printed=1.0, mutants={"m": 0.0})
    def check(claim: float, rng: np.random.Generator) -> Evidence:
        return evidence(claim == 1.0, rng.random())

    return check


def unchecked() -> OpenStatement:
    return OpenStatement("toy/open", "One", "here", "nobody has tried")
