"""The command line: `iclproof verify`, `build`, `predict`, `accuracy`, `figures`.

Results go to standard output (tables, or JSON with --json), progress and errors to standard error.
Exit codes: 0 all is well, 1 a check failed, 2 the input or the call was wrong.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

app = typer.Typer(
    help="Papers on in-context learning of regression mixtures, as running, checked code.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
build = typer.Typer(help="Build a transformer with explicit weights.")
app.add_typer(build, name="build")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]


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


def _complain(message: str) -> None:
    # soft_wrap: one error is one line, however wide the terminal.
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    console.print(f"iclproof: {' '.join(message.split())}", style="bold red")


def _one_thread() -> None:
    """Let torch use one thread: on small matrices more of them wait rather than work.

    Where another process is busy, two threads took up to ten times as long as one.
    """
    import torch

    torch.set_num_threads(1)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror is not None and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _output() -> Console:
    # A pipe has no width: give tables room instead of cutting them at 80 characters.
    return Console() if sys.stdout.isatty() else Console(width=160)


def _progress() -> Progress:
    """A progress bar on a terminal, nothing in a pipe."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


@app.command()
def verify(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Statements to check; all if none are given.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Check the statements of the papers: readings, evidence, mutants. Exit code 1 on failure."""
    from papers import pathak2023
    from papers.runner import run, select
    from papers.verdicts import summary, table

    chosen = select(pathak2023.STATEMENTS, ids or [])
    _one_thread()
    with _progress() as progress:
        task = progress.add_task("checking", total=len(chosen))
        results = run(chosen, seed, lambda result: progress.advance(task))
    passes = all(result.verdict.passes for result in results)
    if as_json:
        statements = [result.as_dict() for result in results]
        _print_json({"seed": seed, "passes": passes, "statements": statements})
    else:
        console = _output()
        console.print(table(results))
        console.print(summary(results), highlight=False)
    raise typer.Exit(0 if passes else 1)


@build.command("posterior-mean")
def build_posterior_mean(
    out: Annotated[Path, typer.Option(help="Folder to write; a model that is there is replaced.")],
    noise_std: Annotated[float, typer.Option(help="sigma > 0 of the mixture.")],
    max_examples: Annotated[int, typer.Option(help="Most examples a prompt may have.")],
    components: Annotated[
        Path | None,
        typer.Option(help="File with W* and, if you like, weights (.npz, .csv, .json)."),
    ] = None,
    num_components: Annotated[
        int | None, typer.Option(help="Instead of a file: this many random components.")
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Dimension of random components.")] = None,
    seed: Seed = 0,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    box_covariate_norm: Annotated[
        float | None, typer.Option(help="Largest |x_i| of a prompt; default from the mixture.")
    ] = None,
    box_label: Annotated[
        float | None, typer.Option(help="Largest |y_i| of a prompt; default from the mixture.")
    ] = None,
    softmax: Annotated[
        str, typer.Option(help="head, or sigmoids: the route of Lemma 2, for small scores.")
    ] = "head",
    as_json: AsJson = False,
) -> None:
    """Build the transformer of Theorem 1, whose weights compute f*_pi."""
    import torch

    from constructions import Box, compile_posterior_mean
    from constructions.library.posterior_mean import SoftmaxRoute
    from simulations.built_models import save_model

    dtypes = {"float64": torch.float64, "float32": torch.float32}
    if dtype not in dtypes:
        raise ValueError(f"--dtype is {dtype!r}, expected float64 or float32")
    if softmax not in get_args(SoftmaxRoute):
        raise ValueError(f"--softmax is {softmax!r}, expected head or sigmoids")
    mixture = _mixture(components, num_components, dim, noise_std, seed)
    default = Box.for_mixture(mixture)
    box = Box(
        default.covariate_norm if box_covariate_norm is None else box_covariate_norm,
        default.label if box_label is None else box_label,
    )
    route = cast(SoftmaxRoute, softmax)
    network = compile_posterior_mean(mixture, max_examples, box, dtypes[dtype], softmax=route)
    save_model(out, network)
    report = network.report().as_dict()
    if as_json:
        _print_json({"out": str(out), "box": asdict(box), "dtype": dtype, "report": report})
        return
    table = Table("figure", "value", title=f"posterior mean transformer in {out}")
    for name, value in report.items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    table.add_row("box", f"|x| <= {box.covariate_norm:.4g}, |y| <= {box.label:.4g}")
    _output().print(table)


def _mixture(
    components: Path | None,
    num_components: int | None,
    dim: int | None,
    noise_std: float,
    seed: int,
) -> Any:
    from simulations.prompt_files import read_components
    from theory import RegressionMixture

    if components is not None:
        if num_components is not None or dim is not None:
            raise ValueError("give either --components or --num-components with --dim, not both")
        found = read_components(components)
        return RegressionMixture(found.components, noise_std, found.weights)
    if num_components is None or dim is None:
        raise ValueError("give --components FILE, or --num-components and --dim for random ones")
    return RegressionMixture.random(num_components, dim, noise_std, np.random.default_rng(seed))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder that `iclproof build` has written.")],
    prompts: Annotated[
        Path,
        typer.Argument(
            help="Prompts: .csv (prompt,x1,...,xd,y; no y in a prompt's last row), .json or .npz."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Answer prompts with a built transformer, beside the exact posterior mean f*_pi."""
    from simulations.built_models import load_model
    from simulations.prompt_files import read_prompts

    network, file = load_model(model), read_prompts(prompts)
    problems = []
    for group in file.groups:
        names = [file.names[position] for position in group.positions]
        for i, problem in network.problems(group.prompts):
            problems.append(f"{', '.join(names) if i is None else names[i]}: {problem}")
    if problems:
        raise ValueError(f"{prompts}: prompts do not fit the model: {'; '.join(problems)}")
    answers, exact = (
        file.assemble([predictor(group.prompts) for group in file.groups])
        for predictor in (network.predict, network.mixture.posterior_mean)
    )
    rows = [
        {"prompt": name, "transformer": float(a), "posterior_mean": float(b), "error": abs(a - b)}
        for name, a, b in zip(file.names, answers.tolist(), exact.tolist(), strict=True)
    ]
    if as_json:
        _print_json({"model": str(model), "answers": rows})
        return
    table = Table("prompt", "transformer", "posterior mean f*_pi", "|difference|")
    for row in rows:
        table.add_row(
            str(row["prompt"]),
            *(f"{row[key]:.12g}" for key in ("transformer", "posterior_mean")),
            f"{row['error']:.1e}",
        )
    _output().print(table)


@app.command()
def accuracy(
    num_prompts: Annotated[int, typer.Option(min=1, help="Random prompts for each size.")] = 100,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Print the error of the hand-built transformer on the grid of sizes (exit code 1 if large).

    Separated components are uniform on the sphere of radius sqrt(d); undecided ones lie so close
    together that every example matters.
    """
    from papers.pathak2023.theorem_1 import KINDS, TOLERANCE
    from simulations.experiments.accuracy import SIZES, Accuracy, largest_error

    _one_thread()
    configs = [
        Accuracy(*size, kind, precision, num_prompts, seed)
        for size in SIZES
        for precision in TOLERANCE
        for kind in KINDS
    ]
    with _progress() as progress:
        errors = [largest_error(config) for config in progress.track(configs, description="sizes")]
    worst = {
        precision: max(e for c, e in zip(configs, errors, strict=True) if c.precision == precision)
        for precision in TOLERANCE
    }
    passes = all(worst[precision] <= TOLERANCE[precision] for precision in TOLERANCE)
    if as_json:
        rows = [asdict(c) | {"error": e} for c, e in zip(configs, errors, strict=True)]
        _print_json({"passes": passes, "worst": worst, "limits": TOLERANCE, "rows": rows})
    else:
        columns = [f"{precision}, {kind}" for precision in TOLERANCE for kind in KINDS]
        table = Table("d", "m", "k", "sigma", *columns, title="max |TF(P) - f*_pi(P)|")
        for i, size in enumerate(SIZES):
            found = errors[i * len(columns) : (i + 1) * len(columns)]
            table.add_row(*(f"{s:g}" for s in size), *(f"{error:.1e}" for error in found))
        console = _output()
        console.print(table)
        for precision, error in worst.items():
            console.print(f"worst in {precision}: {error:.2e} (limit {TOLERANCE[precision]:g})")
    raise typer.Exit(0 if passes else 1)


@app.command()
def figures(
    out: Annotated[Path, typer.Option(help="Folder for the SVG and PNG files.")],
    dim: Annotated[int, typer.Option(help="d")] = 2,
    num_components: Annotated[int, typer.Option(help="m")] = 3,
    num_examples: Annotated[int, typer.Option(help="k")] = 2,
    noise_std: Annotated[float, typer.Option(help="sigma")] = 1.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Draw the proof figures: the circuit, the matrices H^(0)..H^(9), the error by layer."""
    from papers.pathak2023.figures import draw_all

    paths = draw_all(
        out,
        dim=dim,
        num_components=num_components,
        num_examples=num_examples,
        noise_std=noise_std,
        seed=seed,
    )
    if as_json:
        _print_json({"figures": [str(path) for path in paths]})
        return
    for path in paths:
        typer.echo(path)
