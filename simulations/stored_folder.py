"""Folders that are written atomically and checksummed.

A stored folder holds plain files and a ``manifest.json``: the format version, metadata, and the
size and SHA-256 of every file, under a checksum of its own. It is written whole into a hidden
sibling, ``.NAME.<time>-<random>.tmp``, and renamed into place.

Replacing takes two renames: the old folder goes aside as ``.NAME.<time>-<random>.old``, then the
new one takes its place and the old one is removed. A process killed between the two leaves no
``NAME`` but a complete ``.old`` folder. Nothing is lost: every reader here then reads that folder,
the next write supersedes it, and `clean_leftovers` renames it back.

No locks are taken. Of several processes that write one folder the last wins, and a reader sees
one complete version or another. Renaming over an empty folder needs a POSIX file system.
"""

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

#: A value that JSON can hold: finite numbers, text keys. Tuples are read back as lists.
JSON: TypeAlias = bool | int | float | str | list[Any] | tuple[Any, ...] | dict[str, Any] | None

#: The version of the folder format that this module writes and reads.
FORMAT = 1

#: The file that lists all others of a stored folder.
MANIFEST = "manifest.json"

_T = TypeVar("_T")
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<born>\d{20})-[0-9a-f]{16}\.(?P<kind>tmp|old)")


class DamagedFolderError(ValueError):
    """A stored folder is not as it was written; the message names the file and what is wrong."""


@dataclass(frozen=True)
class StoredFolder:
    """A stored folder whose every checksum held when it was read.

    Attributes
    ----------
    path
        Where the folder was found: the path asked for, or its ``.old`` sibling (see the module).
    metadata
        What was stored beside the files.
    files
        The content of every file, by name.
    """

    path: Path
    metadata: Mapping[str, JSON]
    files: Mapping[str, bytes]


# Writing


def write_folder(path: Path, files: Mapping[str, bytes], metadata: Mapping[str, JSON]) -> Path:
    """Write a folder atomically: at any moment, and after a kill, `path` is the old or the new.

    Parameters
    ----------
    path
        The folder to write. A folder already there is replaced only if it is empty, or if all
        that lies in it was written by this function.
    files
        The content of every file, by a plain name: no folders, and not ``manifest.json``.
    metadata
        Small values to keep beside the files.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        If a file name is not plain, or a number of the metadata is not finite.
    TypeError
        If the metadata hold something that JSON cannot.
    FileExistsError
        If something else than a stored or empty folder is at `path`; it is left as it was.
    """
    _require_plain_names(path, files)
    require_json(dict(metadata), "metadata")
    listed = {name: {"sha256": _sha256(data), "size": len(data)} for name, data in files.items()}
    manifest = _encode({"format": FORMAT, "metadata": dict(metadata), "files": listed})
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = _sibling(target, "tmp")
    try:
        fresh.mkdir()
        for name, data in {**files, MANIFEST: manifest}.items():
            (fresh / name).write_bytes(data)
            _sync(fresh / name)
        _sync(fresh)
        _swap_in(fresh, target, metadata.get("kind"))
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _sync(target.parent)
    return path


def _swap_in(fresh: Path, target: Path, kind: object) -> None:
    """Rename `fresh` to `target`, setting aside and then removing what is there."""
    while True:
        if _unless_replaced(target, lambda held: _is_replaceable(held, kind)):
            with suppress(FileNotFoundError):  # another writer has just set it aside
                target.rename(_sibling(target, "old"))
        # Only these are superseded: what is set aside later may hold what is renamed in now.
        superseded = _set_aside(target)
        try:
            fresh.rename(target)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise  # otherwise another writer was faster, and is replaced in turn
    for folder in superseded:
        shutil.rmtree(folder, ignore_errors=True)


def _is_replaceable(target: Path, kind: object) -> bool:
    """Tell whether a stored folder of a kind is at `target`; refuse all but an empty folder."""
    if not target.exists():
        return False
    remedy = "nothing was written: choose another path, or move it away yourself"
    if not target.is_dir():
        raise FileExistsError(f"{target} is a file, expected a folder; {remedy}")
    present = {child.name for child in target.iterdir()}
    if not present:
        return False
    try:
        manifest = _read_manifest(target)
        listed, held = manifest["files"], manifest["metadata"].get("kind")
    except DamagedFolderError as error:
        raise FileExistsError(
            f"{target} is not empty and not a readable stored folder ({error}); {remedy}"
        ) from error
    if foreign := present - {MANIFEST, *listed}:
        raise FileExistsError(
            f"{target} holds {', '.join(sorted(foreign))} beside its stored files; {remedy}"
        )
    if held != kind:
        raise FileExistsError(f"{target} is a folder of kind {held!r}, not {kind!r}; {remedy}")
    return True


def _require_plain_names(path: Path, files: Mapping[str, bytes]) -> None:
    # Case-insensitive file systems would take Manifest.json for the manifest.
    bad = [
        name
        for name in files
        if name in ("", ".", "..") or name.casefold() == MANIFEST or set(name) & set("/\\\0")
    ]
    if bad:
        raise ValueError(
            f"cannot write {path}: {', '.join(map(repr, bad))} cannot be used as file names; "
            f"expected plain names without separators, and not {MANIFEST!r}"
        )


def require_json(value: object, where: str) -> None:
    """Refuse what JSON cannot hold unchanged, with a ValueError or TypeError that names its place.

    Parameters
    ----------
    value
        What is to be written as JSON.
    where
        How the error calls `value`.
    """
    if isinstance(value, dict):
        for name, part in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{where} has the key {name!r}; expected text, as JSON requires")
            require_json(part, f"{where}[{name!r}]")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            require_json(part, f"{where}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}; expected a finite number, as JSON requires")
    elif value is not None and not isinstance(value, bool | int | str):
        raise TypeError(
            f"{where} is {value!r} of type {type(value).__name__}; "
            "expected None, a bool, int, float, str, list, tuple or dict"
        )


# Reading


def read_folder(path: Path) -> StoredFolder:
    """Read a folder that `write_folder` wrote, and verify every checksum.

    Files that the manifest does not list are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    DamagedFolderError
        If a file is missing or changed, or the manifest is missing, changed or of another version.
    """
    return _unless_replaced(path.resolve(), _read_whole)


def read_metadata(path: Path) -> Mapping[str, JSON]:
    """Read the metadata of a stored folder, and verify its manifest but not its files.

    Raises what `read_folder` raises.
    """
    metadata: Mapping[str, JSON] = _unless_replaced(path.resolve(), _read_manifest)["metadata"]
    return metadata


def _read_whole(folder: Path) -> StoredFolder:
    manifest = _read_manifest(folder)
    files = {name: _read_file(folder / name, entry) for name, entry in manifest["files"].items()}
    return StoredFolder(folder, manifest["metadata"], files)


def _read_file(place: Path, entry: Mapping[str, Any]) -> bytes:
    try:
        data = place.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DamagedFolderError(f"{place} is missing, but the manifest lists it") from error
    if len(data) != entry["size"]:
        raise DamagedFolderError(
            f"{place} holds {len(data)} bytes, but {entry['size']} were written: it is damaged"
        )
    if _sha256(data) != entry["sha256"]:
        raise DamagedFolderError(f"{place} does not match its checksum: it is damaged")
    return data


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Return the verified content of a manifest: ``format``, ``metadata`` and ``files``."""
    place = folder / MANIFEST
    if not folder.exists():
        raise FileNotFoundError(f"there is no stored folder at {folder}: check the path")
    try:
        raw = place.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedFolderError(
            f"{place} is missing: the folder is damaged, or was not written by this store"
        ) from error
    try:
        content: dict[str, Any] = json.loads(raw)["content"]
        version = content["format"]
        intact = raw == _encode(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedFolderError(f"{place} is damaged: it cannot be read ({error})") from error
    if version != FORMAT:
        raise DamagedFolderError(
            f"{place} has the unknown format version {version!r}, expected {FORMAT}: "
            "it is damaged, or was written by another version of this program"
        )
    if not intact:
        raise DamagedFolderError(f"{place} is damaged: it does not match its own checksum")
    return content


def _encode(content: dict[str, Any]) -> bytes:
    """Return the manifest's bytes; reading compares them whole, so that no byte can change."""
    checksum = _sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode())
    manifest = {"checksum": checksum, "content": content}
    return (json.dumps(manifest, sort_keys=True, indent=2) + "\n").encode()


def _unless_replaced(path: Path, look: Callable[[Path], _T]) -> _T:
    """Look at the current version of a folder, again if another process replaced it meanwhile."""
    while True:
        seen = _identity(path)
        try:
            return look(locate_folder(path))
        except (DamagedFolderError, OSError):
            if _identity(path) == seen:
                raise


def _identity(path: Path) -> tuple[Path, int, int] | None:
    """Return what changes when a folder is moved aside, replaced or being removed."""
    place = locate_folder(path)
    try:
        status = place.stat()
    except OSError:
        return None
    return place, status.st_ino, status.st_mtime_ns


# Finding and removing


def locate_folder(path: Path) -> Path:
    """Return `path`, or where its last version lies aside while there is no `path`."""
    return path if path.exists() else max(_set_aside(path), default=path)


def folder_names(parent: Path) -> set[str]:
    """Return the names of all that lies in `parent`; what lies aside goes by its own name."""
    return {_name_in_place(child) for child in _children(parent)}


def remove_folder(path: Path) -> None:
    """Take away the folder at `path`, damaged or not; an absent one is no error."""
    for folder in (*_set_aside(path), path):
        trash = _sibling(path, "tmp")
        with suppress(FileNotFoundError):
            folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def leftovers(parent: Path, older_than: float = 3600.0) -> tuple[Path, ...]:
    """Return what killed writers left in `parent`, the newest of one name first.

    Parameters
    ----------
    parent
        The folder whose children were written by `write_folder`.
    older_than
        Age in seconds below which a left-over does not count, since its writer may still be at
        work.
    """
    limit = time.time_ns() - int(older_than * 1e9)
    found = ((f, _LEFTOVER.fullmatch(f.name)) for f in sorted(_children(parent), reverse=True))
    return tuple(folder for folder, match in found if match and int(match["born"]) <= limit)


def clean_leftovers(parent: Path, older_than: float = 3600.0) -> tuple[Path, ...]:
    """Clear `parent` of `leftovers`; a folder that only lies aside is put back.

    Returns
    -------
    tuple of Path
        The left-over folders that are gone.
    """
    gone = []
    for folder in leftovers(parent, older_than):
        target = folder.with_name(_name_in_place(folder))
        if target != folder and not target.exists():
            with suppress(OSError):  # its writer lives after all, or another cleaner was faster
                folder.rename(target)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            gone.append(folder)
    return tuple(gone)


def _set_aside(target: Path) -> list[Path]:
    return [
        folder
        for folder in _children(target.parent)
        if folder.name != target.name and _name_in_place(folder) == target.name
    ]


def _name_in_place(folder: Path) -> str:
    """Return the name that a folder lying aside had; any other folder's own name."""
    match = _LEFTOVER.fullmatch(folder.name)
    return match["name"] if match and match["kind"] == "old" else folder.name


def _sibling(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{time.time_ns():020d}-{secrets.token_hex(8)}.{kind}")


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _sync(place: Path) -> None:
    """Return when a file or a folder has reached the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
