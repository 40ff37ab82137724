"""`iclproof new-paper`: a folder for a paper of one's own."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from papers.commands.console import AsJson, print_json


def new_paper(
    key: Annotated[
        str, typer.Argument(help="What the ids of its statements begin with, such as smith2025.")
    ],
    title: Annotated[str, typer.Option(help="The title of the paper.")] = "Title of the paper",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default KEY. It must not exist.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a small project for your own paper, with one worked statement and its test.

    Once it is installed, its statements are checked and listed with all others
    (docs/your-own-paper.md).
    """
    from papers import collection
    from papers.new_paper import check_key, project_files, write_project

    check_key(key, collection.keys())
    folder = Path(key) if out is None else out
    contents = project_files(key, title)
    write_project(folder, contents)
    commands = [
        [sys.executable, "-m", "pip", "install", *_from_here(), "--editable", str(folder)],
        [_program(), "verify", "--paper", key],
    ]
    if as_json:
        written = [str(name) for name in contents]
        print_json(
            {"key": key, "title": title, "out": str(folder), "files": written, "next": commands}
        )
        return
    typer.echo(f"{folder}: the paper {key} with one statement, {key}/one-step. Next:")
    for command in commands:
        typer.echo(f"  {shlex.join(command)}")
    typer.echo(f"and then {folder / 'README.md'}")


def _from_here() -> list[str]:
    """Return the option by which pip builds with the hatchling that is there, if it is."""
    from importlib.util import find_spec

    return ["--no-build-isolation"] if find_spec("hatchling") is not None else []


def _program() -> str:
    """Return how this program is called: it may not be on the path."""
    beside = Path(sys.executable).with_name("iclproof")
    return str(beside) if beside.exists() else "iclproof"
