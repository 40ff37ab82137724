"""What results depend on besides arguments: versions, and our sources. Compared across machines."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["differences", "environment"]

#: The floors that a task may use.
_FLOORS = ("theory", "constructions", "simulations")

_PACKAGES = ("numpy", "scipy", "torch")


@cache
def environment() -> Mapping[str, str]:
    """Return the versions of this process by name, and the SHA-256 of iclproof's sources.

    Sources are read once a process: what is edited later, it has not loaded.
    """
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "Python": python,
        **{name: _version(name) for name in _PACKAGES},
        "iclproof": f"{_version('iclproof')} (sources {_sum_of_sources()[:12]})",
    }


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """Return in words what they have that we have not; empty if they are alike."""
    return ", ".join(
        f"{name} {theirs.get(name, 'missing')} instead of {wanted}"
        for name, wanted in ours.items()
        if theirs.get(name) != wanted
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _sum_of_sources() -> str:
    root = Path(__file__).parents[2]
    total = hashlib.sha256()
    for floor in _FLOORS:
        for path in sorted((root / floor).rglob("*.py")):
            total.update(f"{path.relative_to(root).as_posix()}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
