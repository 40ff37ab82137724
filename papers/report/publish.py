"""Writes a report: a whole folder at once, or none."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

from simulations.stored_folder import DamagedFolderError, leftovers, read_metadata, write_folder
from simulations.write_errors import naming

#: What marks a folder as a report of ours, which may be replaced.
KIND = "report"


def require_replaceable(out: Path) -> None:
    """Refuse a folder that `publish` would refuse, before the work is done.

    That something lies beside a report's files is left to `publish`.

    Raises
    ------
    FileExistsError
        If `out` is a file, or a folder that is neither empty nor a report.
    OSError
        If nothing can be written there.
    """
    target = out.resolve()
    with naming(out):
        target.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=target.parent).close()  # it has no name that a kill could leave
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        kind = read_metadata(target).get("kind")
    except DamagedFolderError:
        kind = None
    if kind != KIND:
        raise FileExistsError(
            f"{out} is there and is not a report of ours; nothing was written: choose another"
            " path, or move it away yourself"
        )


def publish(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write the files of a report into a folder, and return their paths, sorted.

    They are written into a hidden folder beside it, which is then renamed: at any moment, and after
    a kill, there is the old report or the new one. What a kill left more than an hour ago is taken
    away.

    Parameters
    ----------
    out
        The folder. One that is there is replaced if it is empty or a report.
    files
        Their contents by name.

    Raises
    ------
    FileExistsError
        If `out` is a file, or holds something else than a report; it is left as it was.
    """
    write_folder(out, files, {"kind": KIND})
    target = out.resolve()
    for folder in leftovers(target.parent):
        if folder.name.startswith(f".{target.name}.") and folder.suffix == ".tmp":
            shutil.rmtree(folder, ignore_errors=True)
    return sorted(out / name for name in files)
