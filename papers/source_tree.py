"""The source files that verdicts can depend on, as they were at one moment."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version_tuple

#: Our packages.
_OURS = ("theory", "constructions", "simulations", "papers")

#: The libraries whose versions count.
_LIBRARIES = ("numpy", "scipy", "sympy", "mpmath", "python-flint", "torch")


@dataclass(frozen=True)
class SourceTree:
    """The source files of some packages, with size and time of the last change.

    Attributes
    ----------
    files
        ``path -> (size, time in ns)``, None if it has gone meanwhile: Python files, and the
        manifests of committed results, which have the checksums of all that is in them.
    """

    files: dict[Path, tuple[int, int] | None]

    @classmethod
    def now(cls, modules: Iterable[str] = ()) -> "SourceTree":
        """Return it of our packages, and of those that some modules are in."""
        tops = {*_OURS, *(module.split(".")[0] for module in modules)}
        paths = {path for top in sorted(tops) for path in _files(top)}
        return cls({path: _stamp(path) for path in sorted(paths)})

    def content(self) -> str:
        """Return the SHA-256 (hex) of all files, byte for byte, and of `versions`."""
        digest = hashlib.sha256(versions().encode())
        for path in self.files:
            digest.update(f"{path}\0".encode())
            digest.update(hashlib.sha256(_bytes(path)).digest())
        return digest.hexdigest()

    def results(self) -> str:
        """Return the SHA-256 (hex) of the manifests of the committed results."""
        manifests = [path for path in self.files if path.suffix == ".json"]
        return hashlib.sha256(b"".join(map(_bytes, manifests))).hexdigest()

    def edited(self, paths: Iterable[Path]) -> list[Path]:
        """Return those of some files that are not as they were, or were not there."""
        stamps = ((path, _stamp(path)) for path in paths)
        return [path for path, now in stamps if now is None or now != self.files.get(path)]


def versions() -> str:
    """Return the versions of Python and of the libraries that checks use, in one line."""
    python = ".".join(python_version_tuple()[:2])
    return ", ".join([f"Python {python}", *(f"{name} {_version(name)}" for name in _LIBRARIES)])


def _files(top: str) -> Iterable[Path]:
    found = find_spec(top)
    if found is None:
        return
    for location in found.submodule_search_locations or ():
        # Unlike rglob, it minds no folder that goes meanwhile.
        for folder, _, names in os.walk(location):
            yield from (Path(folder, name) for name in names if name.endswith(".py"))
            if "laptop_results" in folder and not Path(folder).name.startswith("."):
                yield from (Path(folder, name) for name in names if name == "manifest.json")
    if not found.submodule_search_locations and found.origin:
        yield Path(found.origin)


def _bytes(path: Path) -> bytes:
    """Return what is in a file; nothing if it has gone meanwhile, which `edited` tells."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing"
