"""`iclproof flow`: the gradient flow of a linear self-attention layer, beside its theory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.table import Table

from papers.commands.console import AsJson, Seed, output, print_json, progress
from simulations.matrix_files import read_matrix

if TYPE_CHECKING:
    from theory import FlowProblem, FlowSolution
    from theory.gradient_flow import PrintedBounds, SharpBounds

#: Points of the trajectory in JSON: the start, and times evenly spaced on a logarithmic scale.
_POINTS = 64
_DECADES = 6


def flow(
    prompt_length: Annotated[int, typer.Option(help="N, the examples of a training prompt.")],
    covariance: Annotated[
        Path | None,
        typer.Option(help="File with Lambda, d rows of d numbers: text, .json or .npy."),
    ] = None,
    eigenvalues: Annotated[
        str | None, typer.Option(help="Instead of a file: Lambda's eigenvalues, such as 1,2,5.")
    ] = None,
    task_covariance: Annotated[
        Path | None, typer.Option(help="File with S, the second moments of w; default I.")
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
        tasks = np.eye(len(lam)) if task_covariance is None else read_matrix(task_covariance)
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
    figures = _figures(problem, solution)
    bounds = _bounds(problem, solution)
    if as_json:
        given = {"seed": seed, "scale": scale, "prompt_length": prompt_length, "theta": theta}
        given |= {"covariance": lam, "noise_std": noise_std}
        if task_covariance is not None:
            given["task_covariance"] = tasks
        print_json(
            {
                **{name: np.asarray(value).tolist() for name, value in given.items()},
                **figures,
                "bounds": bounds,
                "trajectory": _trajectory(solution),
            }
        )
    else:
        _print_tables(problem, prompt_length, figures, bounds)
    if not solution.converged:
        raise ValueError(
            f"the flow has not converged at t = {solution.horizon:.6g}: this start needs a scale"
            " nearer to that of the limit"
        )


def _figures(problem: "FlowProblem", solution: "FlowSolution") -> dict[str, Any]:
    from theory.gradient_flow import excited_rate

    final, limit = solution.final, problem.limit()
    gap = np.hypot(np.linalg.norm(final.U - limit.U), final.u - limit.u)
    return {
        "u": final.u,
        "u_of_the_theorem": limit.u,
        "norm_of_U": float(np.linalg.norm(final.U)),
        "norm_of_U_of_the_theorem": float(np.linalg.norm(limit.U)),
        "relative_distance_to_the_theorem": float(gap / limit.u),
        "converged": solution.converged,
        "loss_at_start": float(solution.loss(0.0)[0]),
        "minimal_loss": problem.minimal_loss,
        "exact_rate": excited_rate(problem, solution.start, solution.balance),
        "horizon": solution.horizon,
        "steps": solution.num_steps,
        "balance_drift": solution.balance_drift,
        "error_estimate": solution.error_estimate,
        "U": final.U.tolist(),
        "U_of_the_theorem": limit.U.tolist(),
    }


def _bounds(problem: "FlowProblem", solution: "FlowSolution") -> dict[str, dict[str, float]]:
    """Return the paper's constants, where it has any for the problem, beside ours."""
    from theory import printed_bounds, sharp_bounds
    from theory.gradient_flow.settings import GeneralTasks

    start = solution.start
    found: dict[str, PrintedBounds | SharpBounds] = {}
    if not isinstance(problem.setting, GeneralTasks):
        found["paper"] = printed_bounds(problem, start)
    found["ours"] = sharp_bounds(problem, start)
    return {
        name: {
            "scale_squared_over_threshold": start.u**2 / bounds.threshold,
            "rate_by_the_PL_inequality": bounds.pl_constant / 2,
        }
        for name, bounds in found.items()
    }


def _print_tables(
    problem: "FlowProblem",
    prompt_length: int,
    figures: dict[str, Any],
    bounds: dict[str, dict[str, float]],
) -> None:
    table = Table("figure", "value", title=f"gradient flow, d = {problem.dim}, N = {prompt_length}")
    for name, value in figures.items():
        if not isinstance(value, list):
            shown = ("yes" if value else "no") if isinstance(value, bool) else f"{value:.12g}"
            table.add_row(name.replace("_", " "), shown)
    for name in bounds["ours"]:
        for source, constants in bounds.items():
            # Beyond the paper's threshold its bound is negative, and says nothing.
            value = constants[name]
            shown = f"{value:.6g}" if value > 0 else "none at this scale"
            table.add_row(f"{name.replace('_', ' ')}, {source}", shown)
    output().print(table)


def _trajectory(solution: "FlowSolution") -> dict[str, list[Any]]:
    times = np.append(0.0, np.geomspace(10.0**-_DECADES, 1.0, _POINTS - 1) * solution.horizon)
    return {
        "times": times.tolist(),
        "u": solution.u(times).tolist(),
        "U": [solution(t).U.tolist() for t in times],
        "excess_loss": solution.excess_loss(times).tolist(),
    }


def _covariance(file: Path | None, eigenvalues: str | None) -> npt.NDArray[np.float64]:
    if (file is None) == (eigenvalues is None):
        raise ValueError(
            "give Lambda once: as --covariance FILE, or as --eigenvalues 1,2,5 (a diagonal matrix)"
        )
    if file is not None:
        return read_matrix(file)
    try:
        return np.diag([float(part) for part in (eigenvalues or "").split(",")])
    except ValueError as error:
        raise ValueError(
            f"--eigenvalues is {eigenvalues!r}; expected numbers with commas, such as 1,2,5"
        ) from error
