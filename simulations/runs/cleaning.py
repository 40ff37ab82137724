"""What can be taken out of a store: left-overs of kills, and on request more."""

from __future__ import annotations

from dataclasses import dataclass

from simulations.runs.listing import Key, current_code, damage, run_key, stored_keys
from simulations.store import Store
from simulations.stored_folder import leftovers

__all__ = ["Litter", "clean", "litter"]

_OLD = "by other code than the present"


@dataclass(frozen=True)
class Litter:
    """A folder that can go.

    Attributes
    ----------
    name
        Its name in the store: an address, unless it is the left-over of a write.
    what
        What lies in it, in words.
    reason
        Why it can go.
    """

    name: str
    what: str
    reason: str


def clean(
    store: Store, *, unfinished: bool = False, old_code: bool = False, damaged: bool = False
) -> list[Litter]:
    """Take the `litter` away, and return it."""
    found = litter(store, unfinished=unfinished, old_code=old_code, damaged=damaged)
    addresses = set(store.addresses())
    for piece in found:
        if piece.name in addresses:
            store.remove_at(piece.name)
    store.clean()
    return found


def litter(
    store: Store, *, unfinished: bool = False, old_code: bool = False, damaged: bool = False
) -> list[Litter]:
    """Return what can go: what killed writers left an hour ago or more, and parts of finished runs.

    Parameters
    ----------
    store
        Where to look.
    unfinished
        Also parts and checkpoints of runs that are not finished: these then start anew.
    old_code
        Also runs and parts by code that is not the present one. Those of experiments that the
        catalogue does not have are left: what their present code is, is not known here.
    damaged
        Also runs and parts that are damaged, and folders whose manifest nobody can read.
    """
    found = {
        f.name: Litter(f.name, "left-over", "of a killed write") for f in leftovers(store.root)
    }
    if damaged:
        for address, problem in damage(store).items():
            found[address] = Litter(address, "damaged folder", problem)
    runs = stored_keys(store, "run")
    kept = {**stored_keys(store, "part"), **stored_keys(store, "checkpoint")}
    for address, key in kept.items():
        reason = _reason(key, Store.address(run_key(key)) in runs, unfinished, old_code)
        if reason:
            found.setdefault(address, Litter(address, _words(key), reason))
    if old_code:
        for address, key in runs.items():
            if _is_old(key):
                found.setdefault(address, Litter(address, _words(key), _OLD))
    return list(found.values())


def _reason(key: Key, is_finished: bool, unfinished: bool, old_code: bool) -> str:
    if is_finished:
        return "of a run that is finished"
    if old_code and _is_old(key):
        return _OLD
    return "of a run that is not finished" if unfinished else ""


def _is_old(key: Key) -> bool:
    return current_code(key["experiment"]) not in (None, key["code"])


def _words(key: Key) -> str:
    told = f"{key['kind']} of {key['experiment']}"
    return f"{told}: {key['part']}" if "part" in key else told
