"""The one store: folders that are written atomically, checksummed and found again by their key.

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
_ADDRESS = re.compile(r"[0-9a-f]{64}")
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
    listed = {name: {"sha256": _sha256(data), "size": len(data)} for name, data in files.items()}
    _require_json(dict(metadata), "metadata")
    manifest = _encode({"format": FORMAT, "metadata": dict(metadata), "files": listed})
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = _sibling(target, "tmp")
    try:
        fresh.mkdir()
        for name, data in {**files, MANIFEST: manifest}.items():
            _write_durably(fresh / name, data)
        _sync_folder(fresh)
        _swap_in(fresh, target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _sync_folder(target.parent)
    return path


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
    return _unless_replaced(path.resolve(), _read_as_it_is)


def clean_leftovers(parent: Path, older_than: float = 3600.0) -> tuple[Path, ...]:
    """Clear `parent` of what killed writers left; a folder that only lies aside is put back.

    Parameters
    ----------
    parent
        The folder whose children were written by `write_folder`.
    older_than
        Age in seconds below which a left-over stays, since its writer may still be at work.

    Returns
    -------
    tuple of Path
        The left-over folders that are gone.
    """
    limit = time.time_ns() - int(older_than * 1e9)
    gone = []
    for folder in sorted(_children(parent), reverse=True):  # the newest of one name first
        match = _LEFTOVER.fullmatch(folder.name)
        if match is None or int(match["born"]) > limit:
            continue
        target = parent / match["name"]
        if match["kind"] == "old" and not target.exists():
            with suppress(OSError):  # its writer lives after all, or another cleaner was faster
                folder.rename(target)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            gone.append(folder)
    return tuple(gone)


@dataclass(frozen=True)
class Store:
    """Stored folders under one root, each at the address of its key.

    Attributes
    ----------
    root
        The folder that holds the entries; it is made by the first `put`. See `default_root`.
    """

    root: Path

    @staticmethod
    def address(key: JSON) -> str:
        """Return the SHA-256 (hex) of the key's canonical JSON, blind to the order of its keys.

        The numbers ``1`` and ``1.0`` are two keys; a tuple and an equal list are one.

        Raises
        ------
        ValueError
            If a number is not finite.
        TypeError
            If the key holds something that JSON cannot.
        """
        _require_json(key, "key")
        return _sha256(json.dumps(key, sort_keys=True, separators=(",", ":")).encode())

    def put(self, key: JSON, files: Mapping[str, bytes]) -> Path:
        """Store files under a key, atomically, replacing what was there; return their folder.

        Raises what `write_folder` and `address` raise: a damaged entry is not overwritten, but
        can be taken away with `remove`.
        """
        return write_folder(self._path(key), files, {"key": key})

    def get(self, key: JSON) -> StoredFolder | None:
        """Return what is stored under a key, verified, or None if nothing is.

        Raises
        ------
        DamagedFolderError
            If the entry is there but is not as it was written.
        """
        try:
            return _read_entry(self._path(key))
        except FileNotFoundError:
            return None

    def __contains__(self, key: JSON) -> bool:
        return _current(self._path(key)).exists()

    def keys(self) -> list[JSON]:
        """Return the key of every entry, in the order of addresses.

        Raises
        ------
        DamagedFolderError
            If a manifest does not tell the key; `verify` lists all such entries.
        """
        found = []
        for path in self._entries():
            with suppress(FileNotFoundError):  # removed by another process since it was listed
                found.append(_key_at(path, _unless_replaced(path, _read_manifest)["metadata"]))
        return found

    def verify(self) -> list[str]:
        """Read every entry whole and return what is wrong, one sentence for a damaged entry."""
        problems = []
        for path in self._entries():
            try:
                _read_entry(path)
            except DamagedFolderError as error:
                problems.append(str(error))
            except FileNotFoundError:  # removed by another process since it was listed
                continue
        return problems

    def remove(self, key: JSON) -> None:
        """Take away what is stored under a key, damaged or not; an absent key is no error."""
        target = self._path(key)
        for folder in (*_set_aside(target), target):
            trash = _sibling(target, "tmp")
            with suppress(FileNotFoundError):
                folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)

    def clean(self, older_than: float = 3600.0) -> tuple[Path, ...]:
        """Clear the root of what killed writers left; see `clean_leftovers`."""
        return clean_leftovers(self.root, older_than)

    def _path(self, key: JSON) -> Path:
        return self.root / self.address(key)

    def _entries(self) -> list[Path]:
        names = {_name_in_place(folder) for folder in _children(self.root)}
        return sorted(self.root / name for name in names if _ADDRESS.fullmatch(name))


def default_root() -> Path:
    """Return ``$ICLPROOF_STORE``, else ``$XDG_CACHE_HOME/iclproof``, else ``~/.cache/iclproof``."""
    if chosen := os.environ.get("ICLPROOF_STORE"):
        return Path(chosen).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification tells programs to ignore a relative path.
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "iclproof"


def _read_entry(path: Path) -> StoredFolder:
    stored = read_folder(path)
    _key_at(path, stored.metadata)
    return stored


def _key_at(path: Path, metadata: Mapping[str, JSON]) -> JSON:
    key = metadata.get("key")
    if "key" not in metadata or Store.address(key) != path.name:
        raise DamagedFolderError(
            f"{path / MANIFEST} holds the key {key!r}, which does not belong at this address; "
            "the folder was renamed or put there by hand: take it out of the store"
        )
    return key


def _read_as_it_is(path: Path) -> StoredFolder:
    content = _read_manifest(path)
    files = {name: _read_file(path / name, entry) for name, entry in content["files"].items()}
    return StoredFolder(path, content["metadata"], files)


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
        content = json.loads(raw)["content"]
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
    return dict(content)


def _encode(content: dict[str, Any]) -> bytes:
    """Return the manifest's bytes; reading compares them whole, so that no byte can change."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    manifest = {"checksum": _sha256(text.encode()), "content": content}
    return (json.dumps(manifest, sort_keys=True, indent=2) + "\n").encode()


def _swap_in(fresh: Path, target: Path) -> None:
    """Rename `fresh` to `target`, setting aside and then removing what is there."""
    while True:
        if _unless_replaced(target, _is_ours):
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


def _is_ours(target: Path) -> bool:
    """Tell whether a stored folder is at `target`; refuse all else but an empty folder."""
    if not target.exists():
        return False
    remedy = "nothing was written: choose another path, or move it away yourself"
    if not target.is_dir():
        raise FileExistsError(f"{target} is a file, expected a folder; {remedy}")
    present = {child.name for child in target.iterdir()}
    if not present:
        return False
    try:
        listed = _read_manifest(target)["files"]
    except DamagedFolderError as error:
        raise FileExistsError(
            f"{target} is not empty and not a readable stored folder ({error}); {remedy}"
        ) from error
    if foreign := present - {MANIFEST, *listed}:
        raise FileExistsError(
            f"{target} holds {', '.join(sorted(foreign))} beside its stored files; {remedy}"
        )
    return True


def _unless_replaced(path: Path, look: Callable[[Path], _T]) -> _T:
    """Look at the current version of a folder, again if another process replaced it meanwhile."""
    while True:
        seen = _identity(path)
        try:
            return look(_current(path))
        except (DamagedFolderError, OSError):
            if _identity(path) == seen:
                raise


def _identity(path: Path) -> tuple[Path, int, int] | None:
    """Return what changes when a folder is moved aside, replaced or being removed."""
    place = _current(path)
    try:
        status = place.stat()
    except OSError:
        return None
    return place, status.st_ino, status.st_mtime_ns


def _current(path: Path) -> Path:
    """Return `path`, or where its last version lies aside while there is no `path`."""
    if path.exists():
        return path
    return max(_set_aside(path), default=path)


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


def _write_durably(place: Path, data: bytes) -> None:
    with place.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _require_plain_names(path: Path, files: Mapping[str, bytes]) -> None:
    bad = [name for name in files if not _is_plain(name)]
    if bad:
        raise ValueError(
            f"cannot write {path}: {', '.join(map(repr, bad))} cannot be used as file names; "
            f"expected plain names without separators, and not {MANIFEST!r}"
        )


def _is_plain(name: str) -> bool:
    # Case-insensitive file systems would take Manifest.json for the manifest.
    special = name in ("", ".", "..") or name.casefold() == MANIFEST
    return not special and not set(name) & set("/\\\0")


def _require_json(value: object, where: str) -> None:
    """Refuse what JSON cannot hold unchanged, naming its place."""
    if isinstance(value, dict):
        for name, part in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{where} has the key {name!r}; expected text, as JSON requires")
            _require_json(part, f"{where}[{name!r}]")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _require_json(part, f"{where}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}; expected a finite number, as JSON requires")
    elif value is not None and not isinstance(value, bool | int | str):
        raise TypeError(
            f"{where} is {value!r} of type {type(value).__name__}; "
            "expected None, a bool, int, float, str, list, tuple or dict"
        )
