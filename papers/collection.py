"""The papers whose statements are checked: ours, and those of other packages.

A package adds a paper of its own through the entry point group ``iclproof.papers``; the entry's
name is the paper's key, and its value names a `Paper`::

    [project.entry-points."iclproof.papers"]
    mine2025 = "mine2025.paper:PAPER"

Nothing here imports the statements before they are asked for: they bring torch and sympy.
"""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from papers.description import Description, describe
from papers.ledger import AnyStatement

#: The entry point group of other packages' papers.
GROUP = "iclproof.papers"


@dataclass(frozen=True)
class Paper:
    """A paper, and where its statements are.

    Parameters
    ----------
    key
        What the ids of its statements begin with, such as ``zhang2024``: a-z, 0-9 and hyphens.
    title, reference
        For the reader: the title, and authors, year and where it is printed.
    module
        The module with ``STATEMENTS``, a sequence of statements; it is imported when they are
        asked for, and not before.
    """

    key: str
    title: str
    reference: str
    module: str

    def __post_init__(self) -> None:
        """Refuse a key that cannot begin an id."""
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.key):
            raise ValueError(
                f"the paper's key is {self.key!r}; expected a-z, 0-9 and single hyphens, such as"
                " zhang2024"
            )

    @property
    def statements(self) -> tuple[AnyStatement, ...]:
        """Its statements, in order.

        Raises
        ------
        ValueError
            If the module cannot be imported or has no ``STATEMENTS``, or if an id does not begin
            with the key or is there twice.
        """
        try:
            listed = tuple(import_module(self.module).STATEMENTS)
        except (ImportError, SyntaxError, AttributeError) as error:
            raise ValueError(
                f"the paper {self.key!r}: {self.module} gives no STATEMENTS:"
                f" {type(error).__name__}: {error}"
            ) from error
        ids = Counter(item.id for item in listed)
        wrong = [name for name, n in ids.items() if not name.startswith(f"{self.key}/") or n > 1]
        if wrong:
            raise ValueError(
                f"the paper {self.key!r}: ids are not as expected, {self.key}/NAME, each once:"
                f" {', '.join(wrong)}"
            )
        return listed

    @property
    def folder(self) -> Path:
        """Where its module lies; its package is imported, but not the module."""
        found = find_spec(self.module)
        if found is None or found.origin is None:
            raise ValueError(f"the paper {self.key!r}: there is no module {self.module}")
        return Path(found.origin).parent

    def descriptions(self) -> list[Description]:
        """Return what its statements say, each with the module that lists it."""
        statements = self.statements
        listing = _listing_modules(self.module)
        return [describe(item, listing.get(id(item), self.module)) for item in statements]


_OURS = (
    Paper(
        "pathak2023",
        "Transformers can optimally learn regression mixture models",
        "Pathak, Sen, Kong and Das 2023, arXiv 2311.08362",
        "papers.pathak2023",
    ),
    Paper(
        "zhang2024",
        "Trained transformers learn linear models in-context",
        "Zhang, Frei and Bartlett 2024, Journal of Machine Learning Research",
        "papers.zhang2024",
    ),
    Paper(
        "beyond",
        "Beyond the papers",
        "results of our own on the papers' subjects",
        "papers.beyond",
    ),
)

#: Modules that only list what their neighbours hold: no statement depends on them.
LISTS = frozenset(paper.module for paper in _OURS)


def papers() -> tuple[Paper, ...]:
    """Return all papers: ours, then those of other packages by key.

    Raises
    ------
    ValueError
        If an entry point cannot be loaded, is no `Paper`, has another key than its name, or a key
        that is taken.
    """
    found = list(_OURS)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        where = f"the entry point {entry.name} = {entry.value!r} in {GROUP}"
        try:
            paper = entry.load()
        except (ImportError, SyntaxError, AttributeError) as error:
            raise ValueError(f"{where} cannot be loaded: {error}") from error
        if not isinstance(paper, Paper) or paper.key != entry.name:
            raise ValueError(f"{where} is {paper!r}; expected a papers.collection.Paper so called")
        if any(paper.key == other.key for other in found):
            raise ValueError(f"{where}: there is a paper {paper.key} already; choose another key")
        found.append(paper)
    return tuple(found)


def statements() -> list[AnyStatement]:
    """Return the statements of all papers; this imports them, with torch and sympy."""
    return [item for paper in papers() for item in paper.statements]


def find_papers(key: str | None) -> tuple[Paper, ...]:
    """Return the paper with a key, or all papers for None.

    Raises
    ------
    ValueError
        If there is none; near keys are named.
    """
    known = {paper.key: paper for paper in papers()}
    if key is None:
        return tuple(known.values())
    if key not in known:
        near = get_close_matches(key, known, n=2) or known
        raise ValueError(f"there is no paper {key!r}; did you mean {' or '.join(near)}?")
    return (known[key],)


def _listing_modules(package: str) -> dict[int, str]:
    """Return the module of a package that lists each statement, by the statement's identity."""
    found: dict[int, str] = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith(f"{package}."):
            listed = getattr(module, "STATEMENTS", ())
            found |= {id(item): name for item in listed if isinstance(listed, Sequence)}
    return found
