"""Checkpoints in the store: the state of a part that is being computed."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulations.store import Store
from simulations.stored_folder import JSON, DamagedFolderError

__all__ = ["DISK_IS_FULL", "StoredCheckpoint"]

#: What a write fails with when there is no room: on the disk, or in the user's share of it.
DISK_IS_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_STATE = "state.bin"


@dataclass
class StoredCheckpoint:
    """A `simulations.experiments.experiment.Checkpoint` in a store: atomic and checksummed.

    A state saves time and nothing else: the result without it is the same. So a state that is
    damaged is taken away, and one that does not fit on the disk is not kept; `notes` says so, and
    the part goes on.

    Parameters
    ----------
    store
        The store.
    key
        The key of the state: of experiment, config, code and part.
    notes
        What the user should know.
    """

    store: Store
    key: Mapping[str, JSON]
    notes: list[str] = field(default_factory=list)

    def load(self) -> bytes | None:
        """Return the last state that was saved, or None."""
        try:
            stored = self.store.get(dict(self.key))
        except DamagedFolderError as error:
            self.notes.append(f"{error}; it was taken away, and the part began anew")
            self.store.remove(dict(self.key))
            return None
        return None if stored is None else stored.files.get(_STATE)

    def save(self, state: bytes) -> None:
        """Keep a state in place of the one before, unless the disk is full."""
        try:
            self.store.put(dict(self.key), {_STATE: state})
        except FileExistsError:  # damaged since it was loaded
            self.store.remove(dict(self.key))
            self.store.put(dict(self.key), {_STATE: state})
        except OSError as error:
            if error.errno not in DISK_IS_FULL:
                raise
            note = f"{self.store.root}: {error.strerror}, so a checkpoint was not kept"
            if note not in self.notes:
                self.notes.append(note)
