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
    table = Table(*headings, "transformer", "posterior mean f*_pi", "|difference|")
    for row in rows:
        answered = row["transformer"] is not None
        table.add_row(
            str(row["prompt"]),
            *([str(row["num_examples"])] if by_prefix else []),
            f"{row['transformer']:.12g}" if answered else "too few examples",
            f"{row['posterior_mean']:.12g}",
            f"{row['error']:.1e}" if answered else "",
        )
    return table
