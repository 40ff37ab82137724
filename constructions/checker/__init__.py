"""Re-checks the certificate of a stored network, from the stored files alone.

Nothing of the compiler is used, and none of its certificate's arithmetic: the checker reads
weights, verifies what its layout claims about them, and derives bounds of its own under the
rounding model of docs/certificates.md. A certificate is accepted if these are no larger than the
claimed ones, and everything else fits together.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from constructions.checker.bound import Bounds, derive
from constructions.checker.reading import BOUNDS, NotCheckedError, Stored, UnreadableError, read
from constructions.checker.rounding import ROUNDING
from constructions.checker.tree import tree_problems
from constructions.checker.wiring import MismatchError, wiring

__all__ = ["Finding", "UnreadableError", "check"]


@dataclass(frozen=True)
class Finding:
    """What checking a certificate has found.

    Parameters
    ----------
    problems
        Why it is rejected, one line each; accepted if there are none.
    claimed
        The bounds that the certificate states, by name; none if the model is not of a kind that is
        checked.
    derived
        The checker's own; None if the weights do not allow any.
    """

    problems: tuple[str, ...]
    claimed: dict[str, float]
    derived: Bounds | None

    @property
    def accepted(self) -> bool:
        """Whether the certificate is accepted."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return everything as data for JSON; bounds that are infinite become None."""
        derived = None if self.derived is None else _finite(asdict(self.derived))
        return {
            "accepted": self.accepted,
            "problems": list(self.problems),
            "claimed": self.claimed,
            "derived": derived,
        }


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    return data if data < float("inf") else None


def check(folder: Path) -> Finding:
    """Return whether the certificate in a model folder holds.

    Raises
    ------
    UnreadableError
        If a file is missing or is not what it should be; the message names the entry.
    """
    try:
        stored = read(folder)
    except NotCheckedError as error:
        return Finding((str(error),), {}, None)
    problems = [*stored.problems, *_settings_problems(stored)]
    problems += tree_problems(stored.tree, stored.bounds)
    derived = None
    try:
        derived = derive(wiring(stored, ROUNDING[stored.certificate.dtype]))
    except MismatchError as error:
        problems.append(str(error))
    for name in BOUNDS if derived is not None else ():
        own, claimed = float(getattr(derived, name)), stored.bounds[name]
        if not own <= claimed:
            problems.append(
                f"the bound {name} is claimed to be {claimed:.6g}, the checker's own is {own:.6g}"
            )
    return Finding(tuple(problems), dict(stored.bounds), derived)


def _settings_problems(stored: Stored) -> list[str]:
    """Manifest and certificate must agree, and name the assumptions of the rounding model."""
    problems = []
    ours, theirs = asdict(stored.certificate), asdict(stored.manifest)
    for name, value in ours.items():
        if theirs[name] != value:
            problems.append(f"{name} is {value} in the certificate, {theirs[name]} in the manifest")
    rounding = ROUNDING[stored.certificate.dtype]
    expected = {"unit_roundoff": rounding.unit, "gelu": rounding.gelu, "exp": rounding.exp}
    if stored.layout.one is not None:
        expected["silent"] = rounding.silent
    for name, value in expected.items():
        if stored.assumptions[name] != value:
            problems.append(
                f"assumption {name} is {stored.assumptions[name]}, the rounding model has {value}"
            )
    return problems
