"""A paper of toy statements for the commands; each check notes in $TOY_LOG that it ran."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from papers.ledger import Correction, Evidence, Fault, Grade, OpenStatement, Statement, statement


def note(name: str) -> None:
    """Write that a check ran; lines of this length are written whole."""
    if log := os.environ.get("TOY_LOG"):
        with Path(log).open("a") as file:
            file.write(f"{name}\n")


def one(name: str, *depends_on: str, grade: Grade = Grade.CONFIRMED, **more) -> Statement[float]:
    """The claim is a number, and right is 1."""

    @statement(
        id=f"toy/{name}",
        title=f"Title of {name}",
        source=f"Section {len(name)}",
        hypotheses=("x is a number",),
        depends_on=tuple(f"toy/{below}" for below in depends_on),
        **{"latex": "x = 1", "printed": 1.0, "mutants": {"two": 2.0, "1 % more": 1.01}, **more},
    )
    def check(claim: float, rng: np.random.Generator) -> Evidence:
        """Compare with 1."""
        note(name)
        wrong = "" if claim == 1 else f"x = {claim}, not 1"
        return Evidence(not wrong, grade, "x against 1", "x", abs(claim - 1), 1e-3, wrong)

    return check


def dying(claim: float, rng: np.random.Generator) -> Evidence:
    """Kill the process."""
    note("dying")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def slow(claim: float, rng: np.random.Generator) -> Evidence:
    """Take a moment, and draw."""
    time.sleep(0.03)
    measured = rng.random()
    wrong = "" if claim == 1 else f"x = {claim}, not 1"
    return Evidence(not wrong, Grade.SAMPLED, "x against 1", "x", measured, 1.0, wrong)


def corrected(fault: Fault) -> dict[str, object]:
    repair = Correction(1.0, f"1 for 5 ({fault.name})", fault, r"x = 1")
    return {"printed": 5.0, "latex": "x = 5", "correction": repair}


STATEMENTS = (
    one("lemma-1", grade=Grade.PROVED),
    one("lemma-2", "lemma-1", **corrected(Fault.SLIP)),
    one("theorem-1", "lemma-1", "lemma-2", grade=Grade.CERTIFIED),
    one("corollary-1", "theorem-1", **corrected(Fault.FALSE)),
    one("ours", "lemma-1", beyond=True),
    OpenStatement("toy/conjecture", "A conjecture", "Section 9", "nobody knows"),
)
