"""Where statements stand in the source, and the pages that show it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from papers.description import Description
from papers.places import place_of
from papers.report.names import source_page
from simulations.runs.source_code import source_file


@dataclass(frozen=True)
class Place:
    """A line of a source file.

    Attributes
    ----------
    file
        Where it lies on this machine.
    path
        Its path from the folder that its package is in, such as ``papers/zhang2024/balance.py``.
    line
        From 1.
    """

    file: Path
    path: str
    line: int


@dataclass(frozen=True)
class SourceFile:
    """A source file with the statements in it, for its page.

    Attributes
    ----------
    path
        As of `Place`.
    lines
        Its text.
    statements
        ``(line, id)``, in the order of lines.
    """

    path: str
    lines: Sequence[str]
    statements: Sequence[tuple[int, str]]


def find_place(said: Description) -> Place | None:
    """Return where a statement stands; None if there is no source file."""
    file, line = place_of(said)
    for module in (said.module, said.check_module):
        if file is not None and module and source_file(module) == file:
            depth = len(module.split(".")) + (file.stem == "__init__")
            return Place(file, "/".join(file.parts[-depth:]), line)
    return None


def source_files(places: Iterable[tuple[str, Place | None]]) -> list[SourceFile]:
    """Return the files that statements stand in, by path; `places` has ids with their places."""
    listed = [(name, place) for name, place in places if place is not None]
    files = {place.path: place.file for _, place in listed}
    return [
        SourceFile(
            path,
            file.read_text(encoding="utf-8").splitlines(),
            sorted((place.line, name) for name, place in listed if place.path == path),
        )
        for path, file in sorted(files.items())
    ]


def linker(source_url: str | None) -> Callable[[Place], str]:
    """Return what gives the link to a place: a page of the report, or one of a host's.

    Parameters
    ----------
    source_url
        Such as ``https://HOST/iclproof/blob/main/{path}#L{line}``; None for pages of the report.

    Raises
    ------
    ValueError
        If it does not begin with http:// or https://, or lacks {path}.
    """
    if source_url is None:
        return lambda place: f"{source_page(place.path)}#L{place.line}"
    if not source_url.startswith(("https://", "http://")) or "{path}" not in source_url:
        raise ValueError(
            f"--source-url is {source_url!r}; expected the address of a file on a host, with"
            " {path} and {line} in place of a file's path and a line, such as"
            " https://HOST/iclproof/blob/main/{path}#L{line}"
        )
    return lambda place: source_url.replace("{path}", place.path).replace("{line}", str(place.line))
