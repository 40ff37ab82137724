"""A full disk gives one clear error, leaves nothing half written, and the run goes on later."""

import errno
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from simulations.runs import Runs
from simulations.store import Store
from tests.simulations.runs.toys import WALK, Walk


def is_whole(store: Store) -> bool:
    """Whether there are sound entries only."""
    names = {path.name for path in store.root.glob("*") if path.name != "ballast"}
    return store.verify() == [] and names == set(store.addresses())


@pytest.fixture
def wanted(tmp_path):
    runs = Runs(Store(tmp_path / "undisturbed"))
    (run,) = runs.execute([(WALK, Walk())], jobs=1).finished
    return runs.store.root / run.address / "result.safetensors"


@pytest.mark.parametrize("call", ["fsync", "mkdir", "write"])
def test_no_room_at_any_write(tmp_path, monkeypatch, wanted, call):
    """The disk is full from the n-th write on, for n = 0, 1, ... until the run is through."""
    runs = Runs(Store(tmp_path / "store"))
    errors, whole = [], []
    for n in range(0, 200, 3):
        with monkeypatch.context() as patch:
            fill_after(patch, call, n)
            try:
                report = runs.execute([(WALK, Walk())], jobs=1)
                break
            except OSError as error:
                errors.append(error)
        whole.append(is_whole(runs.store))
    assert len(errors) > 1
    assert all(whole)
    assert {(e.errno, e.filename) for e in errors} == {(errno.ENOSPC, str(runs.store.root))}
    assert "finished parts are kept; make room, and start the run again" in str(errors[0])
    place = runs.store.root / report.finished[0].address / "result.safetensors"
    assert place.read_bytes() == wanted.read_bytes()
    assert len(runs.store.addresses()) == 1


def fill_after(patch: pytest.MonkeyPatch, call: str, times: int) -> None:
    """Let a system call succeed so many times, and then find the disk full."""
    owner, name = {"fsync": (os, "fsync"), "mkdir": (os, "mkdir"), "write": (Path, "write_bytes")}[
        call
    ]
    real = getattr(owner, name)
    left = iter(range(times))

    def full(*arguments, **options):
        if next(left, None) is None:
            if call == "write":
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    patch.setattr(owner, name, full)


def test_checkpoints_that_do_not_fit_are_told_and_the_part_goes_on(tmp_path, monkeypatch, wanted):
    runs = Runs(Store(tmp_path / "store"))
    real = Store.put

    def put(store, key, files):
        if key["kind"] == "checkpoint":
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return real(store, key, files)

    monkeypatch.setattr(Store, "put", put)
    report = runs.execute([(WALK, Walk())], jobs=1)
    assert (
        report.notes
        == (f"{runs.store.root}: Disk quota exceeded, so a checkpoint was not kept",) * 3
    )
    place = runs.store.root / report.finished[0].address / "result.safetensors"
    assert place.read_bytes() == wanted.read_bytes()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KB."""
    place = tmp_path / "small"
    place.mkdir()
    program = shutil.which("mount")
    if program is None:
        pytest.skip("there is no mount here")
    made = subprocess.run(
        [program, "-t", "tmpfs", "-o", "size=256k", "tmpfs", place],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here: it takes the rights of root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_really_full(small_disk, wanted):
    runs = Runs(Store(small_disk))
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    with pytest.raises(OSError, match="make room, and start the run again") as full:
        runs.execute([(WALK, Walk())], jobs=1)
    assert full.value.filename == str(small_disk)
    assert is_whole(runs.store)
    os.truncate(ballast, 0)
    report = runs.execute([(WALK, Walk())], jobs=1)
    place = small_disk / report.finished[0].address / "result.safetensors"
    assert place.read_bytes() == wanted.read_bytes()
    np.testing.assert_equal(runs.verify(), {})
