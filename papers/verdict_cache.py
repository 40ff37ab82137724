"""Verdicts in the store: found again while the code that they rest on is the same.

Two kinds of entries. A *verdict* is that of one statement, tier and seed; in it stands the version
of the code that came to it, and verdicts by other code do not count. The next code's verdict takes
its place, so that the store does not grow with every edit. The *index* has what all statements say
and the version of each one's code, under the checksum of all sources: while nothing has changed,
nothing is imported and no source is analysed.

A verdict's code is that of the module that lists the statement, of the runner, and of all modules
of ours and of its package that these import, directly or not, inside functions too, without
comments and docstrings; with the versions of Python and the libraries, and the committed results if
stored runs are read. Files that a check opens by itself are not seen.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from papers.collection import LISTS, BrokenPaperError, Paper, describe_all
from papers.description import Description, as_plain, from_plain
from papers.ledger import Evidence, Grade, Tier, Verdict
from papers.runner import MutantResult, Result
from papers.source_tree import SourceTree, versions
from simulations.store import Store
from simulations.stored_folder import JSON, DamagedFolderError

#: Changes with what is written.
_FORMAT = 1

_FILE = "entry.json"
_RUNNER = "papers.runner"


class VerdictCache:
    """What the store has of statements and verdicts.

    Parameters
    ----------
    store
        Where; see `verdict_store`.
    papers
        Whose statements.

    Attributes
    ----------
    notes
        What the user should know: entries that were damaged, or could not be kept.
    broken
        What is wrong with papers that could not be loaded for `descriptions`.
    """

    def __init__(self, store: Store, papers: Sequence[Paper]) -> None:
        self.notes: list[str] = []
        self.broken: list[BrokenPaperError] = []
        self._store = store
        self._papers = papers
        self._tree = SourceTree.now(paper.module for paper in papers)
        self._codes: dict[str, str] = {}
        self._paths: dict[str, list[Path]] = {}
        store.clean()  # what kills have left

    def descriptions(self) -> list[Description]:
        """Return what every statement of the papers says, from the index if it is of this code."""
        content = self._tree.content()
        key = self._key("index", papers=[[paper.key, paper.module] for paper in self._papers])
        index = self._load(key)
        if index is None or index["sources"] != content:
            found, self.broken = describe_all(self._papers)
            codes = {module: self._code(module) for module in {item.module for item in found}}
            statements = [as_plain(item) for item in found]
            index = {"sources": content, "codes": codes, "statements": statements}
            # What is broken may be for want of another package: it is tried again each time.
            if not self.broken and not self._tree.edited(self._tree.files):
                self._save(key, index)
        self._codes = index["codes"]
        return [from_plain(item) for item in index["statements"]]

    def find(self, said: Description, tier: Tier, seed: int) -> Result | None:
        """Return the verdict on a statement that this very code came to, or None."""
        entry = self._load(self._verdict_key(said, tier, seed))
        if entry is None or entry["code"] != self._codes[said.module]:
            return None
        return _result(said, entry)

    def keep(self, result: Result, tier: Tier, seed: int) -> None:
        """Store a verdict, unless its code was edited since: which one it was made by is open.

        A crash is not kept: it may be for want of memory.
        """
        said = result.statement
        if result.verdict is Verdict.CRASHED:
            return
        edited = self._tree.edited(self._reached(said.module))
        if edited:
            names = ", ".join(path.name for path in edited)
            self._note(f"{names}: edited while statements were checked; not all verdicts are kept")
            return
        entry = {
            "code": self._codes[said.module],
            "verdict": str(result.verdict),
            "printed": result.printed and asdict(result.printed),
            "corrected": result.corrected and asdict(result.corrected),
            "mutants": [asdict(mutant) for mutant in result.mutants],
            "seconds": result.seconds,
            "error": result.error,
        }
        self._save(self._verdict_key(said, tier, seed), entry)

    # The code

    def _code(self, module: str) -> str:
        """Return the SHA-256 (hex) of the code that the statements of a module rest on."""
        # Here: it brings scipy, which verdicts in the store do without.
        from simulations.runs.source_code import sources  # noqa: PLC0415

        found, _ = sources((module, _RUNNER), LISTS)
        digest = hashlib.sha256(versions().encode())
        if "simulations.runs" in found:
            digest.update(self._tree.results().encode())
        for name, source in found.items():
            # Length first, so that no text can pass for the boundary between two.
            digest.update(f"{name} {len(source)}\n".encode())
            digest.update(source)
        return digest.hexdigest()

    def _reached(self, module: str) -> list[Path]:
        """Return the source files that a module reaches."""
        # Here: it brings scipy, which verdicts in the store do without.
        from simulations.runs.source_code import source_file, sources  # noqa: PLC0415

        if module not in self._paths:
            found, _ = sources((module, _RUNNER), LISTS)
            places = (source_file(name) for name in found)
            self._paths[module] = [place for place in places if place is not None]
        return self._paths[module]

    # The entries

    def _verdict_key(self, said: Description, tier: Tier, seed: int) -> dict[str, JSON]:
        return self._key("verdict", statement=said.id, tier=tier, seed=seed)

    def _key(self, kind: str, **what: JSON) -> dict[str, JSON]:
        return {"kind": kind, "format": _FORMAT, **what}

    def _load(self, key: dict[str, JSON]) -> dict[str, Any] | None:
        try:
            stored = self._store.get(key)
        except DamagedFolderError as error:
            self._note(f"{error}; it was taken away, and made anew")
            self._store.remove(key)
            return None
        return None if stored is None else dict(json.loads(stored.files[_FILE]))

    def _save(self, key: dict[str, JSON], entry: dict[str, Any]) -> None:
        """Write an entry; that it cannot be written costs time later, and nothing else."""
        # Python's JSON, which has infinities: a measured figure may be one.
        files = {_FILE: json.dumps(entry, default=_plain).encode()}
        try:
            try:
                self._store.put(key, files)
            except FileExistsError:  # damaged since it was looked at
                self._store.remove(key)
                self._store.put(key, files)
        except OSError as error:
            self._note(f"{self._store.root}: {error.strerror}: verdicts cannot be kept there")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def verdict_store(root: Path) -> Store:
    """Return the store of verdicts inside of the store at a root: apart from runs, and as many."""
    return Store(root / "verdicts")


def _plain(value: Any) -> Any:
    """Return a number of numpy as Python's."""
    return value.item()


def _result(said: Description, entry: dict[str, Any]) -> Result:
    return Result(
        said,
        Verdict(entry["verdict"]),
        _evidence(entry["printed"]),
        _evidence(entry["corrected"]),
        tuple(MutantResult(**mutant) for mutant in entry["mutants"]),
        entry["seconds"],
        entry["error"],
    )


def _evidence(entry: dict[str, Any] | None) -> Evidence | None:
    return None if entry is None else Evidence(**{**entry, "grade": Grade(entry["grade"])})
