"""Which keys a new paper can have: they name a Python package, and begin the ids of statements."""

import keyword
import re
from collections.abc import Collection
from importlib.util import find_spec

#: Folders of the project beside the package.
_FOLDERS = frozenset({"tests"})


def check_key(key: str, taken: Collection[str]) -> None:
    """Refuse a key that cannot be the name of a new paper and of its package.

    Parameters
    ----------
    key
        Expected: a letter a-z, then a-z and 0-9.
    taken
        The keys of the papers that there are.

    Raises
    ------
    ValueError
        If it is no such name, is a word of Python, or names a paper or a module that is there; a
        near key that is free is proposed.
    """
    free = _free(key, taken)
    proposal = f"; {free} would do" if free is not None else ""
    if not re.fullmatch(r"[a-z][a-z0-9]*", key):
        reason = _what_is_wrong(key)
    elif keyword.iskeyword(key):
        reason = "it is a word of Python"
    elif key in taken:
        reason = "there is a paper with this key already"
    elif key in _FOLDERS:
        reason = "the folder of the project's tests is called so"
    elif _is_module(key):
        reason = "there is a Python module of this name, which the paper would hide or be hidden by"
    else:
        return
    raise ValueError(
        f"the key of the paper is {key!r}: {reason}; expected a letter a-z, then a-z and 0-9, such"
        f" as an author and a year{proposal}"
    )


def _what_is_wrong(key: str) -> str:
    """Say why a key cannot name a package and begin an id, most telling reason first."""
    if not key:
        return "it is empty"
    if re.fullmatch(r"[0-9][a-z0-9]*", key):
        return "a Python package cannot begin with a digit"
    if key.lower() != key and re.fullmatch(r"[a-z][a-z0-9]*", key.lower()):
        return "ids of statements are in lower case"
    if "-" in key and re.fullmatch(r"[a-z0-9-]+", key):
        return "a Python package has no hyphens"
    if "_" in key and re.fullmatch(r"[a-z0-9_]+", key):
        return "ids of statements have no underscores"
    others = dict.fromkeys(re.findall(r"[^a-z0-9]", key))
    return f"it contains {', '.join(map(repr, others))}"


def _free(key: str, taken: Collection[str]) -> str | None:
    """Return a key like the one given that can be used, if what is left of it is a name."""
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    letters = plain.lstrip("0123456789")
    if not letters:
        return None
    first = letters + plain.removesuffix(letters)
    # As in lists of references: a second paper of one author and year is b.
    others = "bcdefghijklmnopqrstuvwxyz" if first in taken else ("paper",)
    tried = (first, *(f"{first}{more}" for more in others))
    return next((name for name in tried if not _is_refused(name, taken)), None)


def _is_refused(name: str, taken: Collection[str]) -> bool:
    return keyword.iskeyword(name) or name in taken or name in _FOLDERS or _is_module(name)


def _is_module(name: str) -> bool:
    """Tell whether a module of this name can be imported; a folder without code is none."""
    try:
        found = find_spec(name)
    except ValueError:  # it is being run, and has no specification
        return True
    return found is not None and (found.origin is not None or not found.submodule_search_locations)
