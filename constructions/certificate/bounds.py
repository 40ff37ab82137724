"""A certificate as data: a tree of named bounds that another program can re-check."""

from dataclasses import dataclass
from typing import Any


class CertificateError(ValueError):
    """No bound can be certified; the message says which step failed and what to relax."""


@dataclass(frozen=True)
class Bound:
    """A bound and what it is made of.

    Parameters
    ----------
    name
        What is bounded.
    value
        The bound, not negative.
    rule
        How it follows from the parts: "sum", "max", or the name of a formula in
        docs/certificates.md whose arguments are the parts; "leaf" has none.
    parts
        The bounds it follows from.
    """

    name: str
    value: float
    rule: str = "leaf"
    parts: tuple["Bound", ...] = ()

    @classmethod
    def sum(cls, name: str, *parts: "Bound") -> "Bound":
        """The sum of the parts."""
        return cls(name, float(sum(part.value for part in parts)), "sum", parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the tree for JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "rule": self.rule,
            "parts": [part.as_dict() for part in self.parts],
        }

    def lines(self, depth: int = 0) -> list[str]:
        """Return the tree as indented text, largest parts first."""
        ordered = sorted(self.parts, key=lambda part: -part.value)
        below = [line for part in ordered for line in part.lines(depth + 1)]
        return [f"{'  ' * depth}{self.value:.2e}  {self.name}", *below]


@dataclass(frozen=True)
class Certificate:
    """|TF(P) - f*(P)| <= box for every prompt of the box, <= explained where a component explains.

    Parameters
    ----------
    box
        For every prompt of the box, at every prefix.
    explained
        For prompts for which some component's residual sum is at most 2 k sigma^2.
    """

    box: Bound
    explained: Bound

    def as_dict(self) -> dict[str, Any]:
        """Return both trees for JSON."""
        return {"box": self.box.as_dict(), "explained": self.explained.as_dict()}
