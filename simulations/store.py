"""The one store: built models, runs and the ledger's cache, each found again by its key."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from simulations.stored_folder import (
    JSON,
    MANIFEST,
    DamagedFolderError,
    StoredFolder,
    clean_leftovers,
    folder_names,
    locate_folder,
    read_folder,
    read_metadata,
    remove_folder,
    require_json,
    write_folder,
)

_ADDRESS = re.compile(r"[0-9a-f]{64}")


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
        require_json(key, "key")
        canonical = json.dumps(key, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

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
        return locate_folder(self._path(key)).exists()

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
                found.append(_key_at(path, read_metadata(path)))
        return found

    def addresses(self) -> list[str]:
        """Return the address of every entry, damaged or not, in order."""
        return [path.name for path in self._entries()]

    def key_at(self, address: str) -> JSON:
        """Return the key of the entry at an address; its files are not read.

        Raises
        ------
        FileNotFoundError
            If there is none.
        DamagedFolderError
            If the manifest does not tell the key.
        """
        path = self.root / address
        return _key_at(path, read_metadata(path))

    def remove_at(self, address: str) -> None:
        """Take away the entry at an address, damaged or not; an absent one is no error."""
        remove_folder(self.root / address)

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
        remove_folder(self._path(key))

    def clean(self, older_than: float = 3600.0) -> tuple[Path, ...]:
        """Clear the root of what killed writers left; see `clean_leftovers`."""
        return clean_leftovers(self.root, older_than)

    def _path(self, key: JSON) -> Path:
        return self.root / self.address(key)

    def _entries(self) -> list[Path]:
        names = sorted(folder_names(self.root))
        return [self.root / name for name in names if _ADDRESS.fullmatch(name)]


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
