"""The papers whose statements are checked: ours, and those of other packages.

A package adds a paper of its own through the entry point group ``iclproof.papers``; the entry's
name is the paper's key, and its value names a `Paper`::

    [project.entry-points."iclproof.papers"]
    mine2025 = "mine2025:PAPER"

Where it or its statements cannot be loaded, a `BrokenPaperError` says why. The commands report it
and go on with the other papers, unless it is the one that they are called for.

Nothing here imports the statements before they are asked for: they bring torch and sympy.
"""

import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from papers.description import Description, describe
from papers.ledger import AnyStatement, OpenStatement, Statement

#: The entry point group of other packages' papers.
GROUP = "iclproof.papers"

#: An entry point: the library's own, or that of `importlib_metadata` once dask has imported it.
_Entry = Any


class BrokenPaperError(ValueError):
    """A paper or its statements cannot be loaded; the message says whose, why and what to do."""


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
        BrokenPaperError
            If the module cannot be imported or has no ``STATEMENTS``, or if an id does not begin
            with the key or is there twice.
        """
        where = f"the paper {self.key!r}{_origin(self.key)}: {self.module}"
        try:
            listed = tuple(import_module(self.module).STATEMENTS)
        except Exception as error:  # whatever the code of others raises
            raise BrokenPaperError(
                f"{where} gives no STATEMENTS: {_told(error, self.module)}; correct that"
            ) from error
        strangers = [item for item in listed if not isinstance(item, Statement | OpenStatement)]
        if strangers:
            raise BrokenPaperError(
                f"{where}: STATEMENTS has {strangers[0]!r}; expected what papers.ledger.statement"
                " makes, or an OpenStatement"
            )
        ids = Counter(item.id for item in listed)
        wrong = [name for name, n in ids.items() if not name.startswith(f"{self.key}/") or n > 1]
        if wrong:
            raise BrokenPaperError(
                f"{where}: ids are not as expected, {self.key}/NAME, each once: {', '.join(wrong)}"
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


def keys() -> tuple[str, ...]:
    """Return the keys of all papers, whether they can be loaded or not."""
    return (*(paper.key for paper in _OURS), *(entry.name for entry in _entries()))


def papers() -> tuple[Paper, ...]:
    """Return all papers that can be loaded: ours, then those of other packages by key."""
    return _sorted_out()[0]


def broken_papers() -> tuple[BrokenPaperError, ...]:
    """Return what is wrong with the papers that are missing from `papers`.

    An entry point cannot be loaded, is no `Paper`, has another key than its name, or a key that is
    taken.
    """
    return _sorted_out()[1]


def statements() -> list[AnyStatement]:
    """Return the statements of all papers; this imports them, with torch and sympy."""
    return [item for paper in papers() for item in paper.statements]


def find_papers(key: str | None) -> tuple[Paper, ...]:
    """Return the paper with a key, or all papers that can be loaded for None.

    Raises
    ------
    BrokenPaperError
        If the paper with the key cannot be loaded.
    ValueError
        If there is none; near keys are named.
    """
    known = {paper.key: paper for paper in papers()}
    if key is None:
        return tuple(known.values())
    if key in known:
        return (known[key],)
    for entry in _entries():
        if entry.name == key:
            _load(entry)
    near = get_close_matches(key, known, n=2) or known
    raise ValueError(f"there is no paper {key!r}; did you mean {' or '.join(near)}?")


def describe_all(
    chosen: Iterable[Paper],
) -> tuple[list[Description], list[BrokenPaperError]]:
    """Return what the statements of some papers say, and what is wrong with the other papers."""
    described: list[Description] = []
    broken = []
    for paper in chosen:
        try:
            described += paper.descriptions()
        except BrokenPaperError as error:
            broken.append(error)
    return described, broken


def _entries() -> list[_Entry]:
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def _sorted_out() -> tuple[tuple[Paper, ...], tuple[BrokenPaperError, ...]]:
    found, broken = list(_OURS), []
    for entry in _entries():
        try:
            found.append(_load(entry))
        except BrokenPaperError as error:
            broken.append(error)
    return tuple(found), tuple(broken)


def _load(entry: _Entry) -> Paper:
    where = f"the entry point {entry.name} = {entry.value!r} in {GROUP}{_origin(entry.name)}"
    if [other.name for other in _entries()].count(entry.name) > 1 or any(
        paper.key == entry.name for paper in _OURS
    ):
        raise BrokenPaperError(
            f"{where}: there is a paper {entry.name} already; choose another key"
        )
    try:
        paper = entry.load()
    except Exception as error:  # whatever the code of others raises
        told = _told(error, entry.value.partition(":")[0])
        raise BrokenPaperError(f"{where} cannot be loaded: {told}; correct that") from error
    if not isinstance(paper, Paper) or paper.key != entry.name:
        raise BrokenPaperError(
            f"{where} is {paper!r}; expected a papers.collection.Paper so called"
        )
    return paper


def _origin(key: str) -> str:
    """Return which distributions a paper is from, and how to be rid of it, for an error."""
    names = [entry.dist.name for entry in _entries() if entry.name == key and entry.dist]
    if not names:
        return ""
    told = " and ".join(names)
    return f" of the distribution {told} (python -m pip uninstall {names[-1]} removes it)"


def _told(error: Exception, module: str) -> str:
    """Return kind, message and, in the package of a module, place of an error."""
    package = module.partition(".")[0]
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{f.filename}:{f.lineno}" for f in frames if package in Path(f.filename).parts]
    # What papers come through, rather than where they fail.
    theirs = [place for place in places if not place.startswith(__file__)]
    return f"{type(error).__name__}: {error}{f' ({theirs[-1]})' if theirs else ''}"


def _listing_modules(paper: str) -> dict[int, str]:
    """Return the module beside or in a paper's that lists each statement, by its identity."""
    package = sys.modules[paper].__package__ or paper
    found: dict[int, str] = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith(f"{package}.") and name != paper:
            listed = getattr(module, "STATEMENTS", ())
            if listed is sys.modules[paper].STATEMENTS:  # imported, not listed there
                continue
            found |= {id(item): name for item in listed if isinstance(listed, Sequence)}
    return found
