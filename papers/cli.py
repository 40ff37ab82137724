"""The command line `iclproof`: the commands, and errors as one line.

Results go to standard output (tables, or JSON with --json), progress and errors to standard error.
Exit codes: 0 all is well, 1 a check failed, 2 the input or the call was wrong.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from papers.commands.accuracy import accuracy
from papers.commands.attack import attack
from papers.commands.build import build_posterior_mean
from papers.commands.check import check
from papers.commands.compare import compare
from papers.commands.cost import cost
from papers.commands.errata import list_errata
from papers.commands.export import export
from papers.commands.figures import figures
from papers.commands.flow import flow
from papers.commands.impact import impact
from papers.commands.listing import list_open, list_statements
from papers.commands.new_paper import new_paper
from papers.commands.predict import predict
from papers.commands.report import report
from papers.commands.runs import runs
from papers.commands.show import mutants, show
from papers.commands.status import status
from papers.commands.sweep import sweep
from papers.commands.train import train
from papers.commands.verify import verify

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
build = typer.Typer(help="Build a transformer with explicit weights.")
app.add_typer(build, name="build")
build.command("posterior-mean")(build_posterior_mean)
app.command()(verify)
app.command("list")(list_statements)
app.command()(show)
app.command()(status)
app.command("open")(list_open)
app.command()(impact)
app.command("errata")(list_errata)
app.command()(mutants)
app.command("new-paper")(new_paper)
app.command()(report)
app.command()(predict)
app.command()(accuracy)
app.command()(check)
app.command()(figures)
app.command()(export)
app.command()(cost)
app.command()(attack)
app.command()(flow)
app.command()(sweep)
app.command()(train)
app.command()(compare)
app.add_typer(runs, name="runs")


def main() -> None:
    """Run the command line; bad input becomes one line on standard error and exit code 2."""
    try:
        # Not standalone: errors of the call come here too, and get the same one line.
        sys.exit(app(args=sys.argv[1:] or ["--help"], standalone_mode=False))
    except typer.TyperException as error:
        _complain(f"{getattr(error, 'format_message', error.__str__)()} (see iclproof --help)")
    except (ValueError, OSError, KeyError, OverflowError) as error:
        _complain(_one_line(error))
    except MemoryError:
        _complain("not enough memory for these sizes: use fewer examples or components")
    except typer.Abort:
        _complain("interrupted")
    sys.exit(2)


def _print_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"iclproof {version('iclproof')}")
        raise typer.Exit
    return asked


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and exit."
        ),
    ] = False,
) -> None:
    """Papers on in-context learning of regression mixtures, as running, checked code."""


def _complain(message: str) -> None:
    # soft_wrap: one error is one line, however wide the terminal.
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    console.print(f"iclproof: {' '.join(message.split())}", style="bold red")


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror is not None and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
