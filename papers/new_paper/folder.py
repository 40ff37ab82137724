"""The files of a new paper, from the templates beside this module, and a folder of them."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

#: Templates end so, for no tool to take them for code.
_SUFFIX = ".in"


def project_files(key: str, title: str) -> dict[PurePosixPath, str]:
    """Return the contents of the files of a new paper, by path within its folder.

    Parameters
    ----------
    key
        A key that `papers.new_paper.check_key` accepts.
    title
        The title of the paper.

    Raises
    ------
    ValueError
        If the title is empty, or not one line of printable text.
    """
    if not title.strip() or not title.isprintable():
        raise ValueError(
            f"the title is {title!r}; expected one line of printable text, such as the paper's"
        )
    # A string of JSON is one of Python and of TOML as well.
    quoted = json.dumps(title, ensure_ascii=False)
    values = {"KEY": key, "TITLE": title, "QUOTED_TITLE": quoted}
    return {
        PurePosixPath(*(key if part == "KEY" else part for part in place)): _filled(text, values)
        for place, text in _templates(files("papers.new_paper") / "template")
    }


def write_project(folder: Path, contents: Mapping[PurePosixPath, str]) -> None:
    """Write a folder that is not there yet, whole or not at all.

    Parameters
    ----------
    folder
        Where; the folders around it are made if need be.
    contents
        The text of every file, by path within the folder.

    Raises
    ------
    FileExistsError
        If there is something already; it is left as it is.
    """
    target = folder.absolute()
    if os.path.lexists(target):
        raise FileExistsError(
            f"{folder} is there already, and was left as it is; choose another folder with --out,"
            " or move it away"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        fresh.mkdir()
        for name, text in contents.items():
            place = fresh / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode())
            _sync(place)
        fresh.rename(target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _sync(target.parent)


def _templates(folder: Traversable, *above: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path, in parts and without the suffix, and the text of each template."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, *above, entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield (*above, entry.name.removesuffix(_SUFFIX)), entry.read_text(encoding="utf-8")


def _filled(text: str, values: Mapping[str, str]) -> str:
    # In one pass: a title may contain what looks like a place to fill.
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


def _sync(place: Path) -> None:
    """Return when a file or a folder has reached the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
