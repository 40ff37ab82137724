"""`iclproof predict`: prompts answered by a built transformer, beside f*_pi."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from papers.commands.console import AsJson, output, print_json

if TYPE_CHECKING:
    from constructions import PosteriorMeanTransformer
    from simulations.prompt_files import PromptFile


def predict(
    model: Annotated[Path, typer.Argument(help="Folder that `iclproof build` has written.")],
    prompts: Annotated[
        Path,
        typer.Argument(
            help="Prompts: .csv (prompt,x1,...,xd,y; no y in a prompt's last row), .json or .npz."
        ),
    ],
    all_prefixes: Annotated[
        bool,
        typer.Option("--all-prefixes", help="Answer every prefix: its first k examples, k = 0..K."),
    ] = False,
    certify: Annotated[
        bool, typer.Option("--certify", help="Bound the error of each answer, rounding included.")
    ] = False,
    allow_outside_box: Annotated[
        bool,
        typer.Option(
            "--allow-outside-box",
            help="With --certify: answer prompts outside the model's box, too, marked uncertified.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer prompts with a built transformer, beside the exact posterior mean f*_pi."""
    from simulations.built_models import load_model
    from simulations.prompt_files import read_prompts

    if all_prefixes and certify:
        raise ValueError("give --all-prefixes or --certify, not both")
    if allow_outside_box and not certify:
        raise ValueError("--allow-outside-box goes with --certify, which marks such answers")
    network, file = load_model(model), read_prompts(prompts)
    problems = []
    for group in file.groups:
        names = [file.names[position] for position in group.positions]
        for i, problem in network.problems(group.prompts):
            if i is None or not allow_outside_box:
                problems.append(f"{', '.join(names) if i is None else names[i]}: {problem}")
    if problems:
        raise ValueError(f"{prompts}: prompts do not fit the model: {'; '.join(problems)}")
    if certify:
        rows = list(_certified_answers(network, file, allow_outside_box))
    else:
        rows = list((_prefix_answers if all_prefixes else _answers)(network, file))
    if as_json:
        print_json({"model": str(model), "answers": rows})
        return
    output().print(_table(rows))


def _answers(network: "PosteriorMeanTransformer", file: "PromptFile") -> Iterator[dict[str, Any]]:
    found, exact = (
        file.assemble([predictor(group.prompts) for group in file.groups])
        for predictor in (network.predict, network.mixture.posterior_mean)
    )
    for name, a, b in zip(file.names, found.tolist(), exact.tolist(), strict=True):
        yield {"prompt": name, "transformer": a, "posterior_mean": b, "error": abs(a - b)}


def _certified_answers(
    network: "PosteriorMeanTransformer", file: "PromptFile", allow_outside_box: bool
) -> Iterator[dict[str, Any]]:
    """One row for every prompt, with the bound on its error; none outside the box."""
    answers = [
        network.answer(group.prompts, allow_outside_box=allow_outside_box) for group in file.groups
    ]
    exact = file.assemble([network.mixture.posterior_mean(group.prompts) for group in file.groups])
    found = file.assemble([answer.values for answer in answers])
    bounds = file.assemble([answer.error_bounds for answer in answers])
    for name, a, b, bound in zip(
        file.names, found.tolist(), exact.tolist(), bounds.tolist(), strict=True
    ):
        yield {
            "prompt": name,
            "transformer": a,
            "posterior_mean": b,
            "error": abs(a - b),
            "certified_error": bound if bound < float("inf") else None,
        }


def _prefix_answers(
    network: "PosteriorMeanTransformer", file: "PromptFile"
) -> Iterator[dict[str, Any]]:
    """One row for every prefix, prompts in the order of the file; short ones may have no answer."""
    pairs: dict[int, list[tuple[float, float]]] = {}
    for group in file.groups:
        found = network.predict_all_prefixes(group.prompts).tolist()
        exact = network.mixture.posterior_mean_all_prefixes(group.prompts).tolist()
        for position, a, b in zip(group.positions.tolist(), found, exact, strict=True):
            pairs[position] = list(zip(a, b, strict=True))
    for position, name in enumerate(file.names):
        for k, (a, b) in enumerate(pairs[position]):
            answered = k >= network.min_examples
            yield {
                "prompt": name,
                "num_examples": k,
                "transformer": a if answered else None,
                "posterior_mean": b,
                "error": abs(a - b) if answered else None,
            }


def _table(rows: list[dict[str, Any]]) -> Table:
    by_prefix = "num_examples" in rows[0]
    headings = ["prompt", *(["k"] if by_prefix else [])]
    certified = "certified_error" in rows[0]
    bound = ["certified error"] if certified else []
    table = Table(*headings, "transformer", "posterior mean f*_pi", "|difference|", *bound)
    for row in rows:
        answered = row["transformer"] is not None
        table.add_row(
            str(row["prompt"]),
            *([str(row["num_examples"])] if by_prefix else []),
            f"{row['transformer']:.12g}" if answered else "too few examples",
            f"{row['posterior_mean']:.12g}",
            f"{row['error']:.1e}" if answered else "",
            *([_shown(row["certified_error"])] if certified else []),
        )
    return table


def _shown(bound: float | None) -> str:
    return "outside the box: none" if bound is None else f"{bound:.1e}"
