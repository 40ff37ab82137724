"""`iclproof flow`: the gradient flow of a linear self-attention layer, beside its theory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.table import Table

from papers.commands.console import AsJson, Seed, output, print_json, progress

if TYPE_CHECKING:
    from theory import FlowProblem, FlowSolution, FlowState

#: Points of the trajectory in JSON: the start, and times evenly spaced on a logarithmic scale.
_POINTS = 64
_DECADES = 6


def flow(
    prompt_length: Annotated[int, typer.Option(help="N, the examples of a training prompt.")],
    covariance: Annotated[
        Path | None, typer.Option(help="CSV file with the matrix Lambda, d rows of d numbers.")
    ] = None,
    eigenvalues: Annotated[
        str | None, typer.Option(help="Instead of a file: Lambda's eigenvalues, such as 1,2,5.")
    ] = None,
    task_covariance: Annotated[
        Path | None, typer.Option(help="CSV file with S, the second moments of w; default I.")
    ] = None,
    noise_std: Annotated[float, typer.Option(help="Of the labels of the examples.")] = 0.0,
    scale: Annotated[
        float, typer.Option(help="sigma: U(0) = sigma Theta Theta', u(0) = sigma, Theta drawn.")
    ] = 0.1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Solve the gradient flow of Zhang et al. from Assumption 3: limit, exact rate, bounds."""
    from theory import FlowProblem, random_theta, solve_flow

    lam = _covariance(covariance, eigenvalues)
    if task_covariance is None and noise_std == 0:
        problem = FlowProblem.fixed(lam, prompt_length)
    else:
        tasks = np.eye(len(lam)) if task_covariance is None else _matrix(task_covariance)
        problem = FlowProblem.general(lam, tasks, noise_std, prompt_length)
    theta = random_theta(problem.dim, np.random.default_rng(seed))
    with progress() as bar:
        task = bar.add_task("solving", total=100)
        solution = solve_flow(
            problem,
            theta,
            scale,
            on_progress=lambda part: bar.update(task, completed=round(100 * part)),
        )
    figures = _figures(problem, solution, problem.limit(problem.balance(solution.start)))
    if as_json:
        print_json({"seed": seed, **figures, "trajectory": _trajectory(solution)})
        return
    table = Table("figure", "value", title=f"gradient flow, d = {problem.dim}, N = {prompt_length}")
    for name, value in figures.items():
        if not isinstance(value, list):
            table.add_row(name.replace("_", " "), f"{value:.6g}")
    output().print(table)


def _figures(
    problem: "FlowProblem", solution: "FlowSolution", limit: "FlowState"
) -> dict[str, Any]:
    from theory import convergence_rate, sharp_bounds

    final, bounds = solution.final, sharp_bounds(problem, solution.start)
    gap = np.linalg.norm(final.u * final.U - problem.minimiser) / np.linalg.norm(problem.minimiser)
    return {
        "limit_u": limit.u,
        "limit_norm_of_U": float(np.linalg.norm(limit.U)),
        "loss_at_start": float(solution.loss(0.0)[0]),
        "minimal_loss": problem.minimal_loss,
        "exact_rate": convergence_rate(problem),
        "rate_by_the_PL_inequality": bounds.pl_constant / 2,
        "scale_squared_over_threshold": solution.start.u**2 / bounds.threshold,
        "horizon": solution.horizon,
        "steps": solution.num_steps,
        "distance_to_limit": float(gap),
        "balance_drift": solution.balance_drift,
        "error_estimate": solution.error_estimate,
        "limit_U": limit.U.tolist(),
    }


def _trajectory(solution: "FlowSolution") -> dict[str, list[float]]:
    times = np.append(0.0, np.geomspace(10.0**-_DECADES, 1.0, _POINTS - 1) * solution.horizon)
    return {
        "times": times.tolist(),
        "u": solution.u(times).tolist(),
        "excess_loss": solution.excess_loss(times).tolist(),
    }


def _covariance(file: Path | None, eigenvalues: str | None) -> npt.NDArray[np.float64]:
    if (file is None) == (eigenvalues is None):
        raise ValueError(
            "give Lambda once: as --covariance FILE, or as --eigenvalues 1,2,5 (a diagonal matrix)"
        )
    if file is not None:
        return _matrix(file)
    try:
        return np.diag([float(part) for part in (eigenvalues or "").split(",")])
    except ValueError as error:
        raise ValueError(
            f"--eigenvalues is {eigenvalues!r}; expected numbers with commas, such as 1,2,5"
        ) from error


def _matrix(file: Path) -> npt.NDArray[np.float64]:
    rows = [line.split(",") for line in file.read_text().splitlines() if line.strip()]
    try:
        numbers = [[float(entry) for entry in row] for row in rows]
    except ValueError as error:
        raise ValueError(f"{file}: {error}; expected d rows of d numbers with commas") from error
    if not rows or any(len(row) != len(rows) for row in rows):
        sizes = sorted({len(row) for row in rows})
        raise ValueError(
            f"{file}: {len(rows)} row(s) of {sizes} numbers; expected a square matrix, d rows of d"
        )
    return np.array(numbers)
