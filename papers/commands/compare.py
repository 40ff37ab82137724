"""`iclproof compare`: a model of the user's beside every candidate predictor, at every prefix."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from papers.commands.console import AsJson, Seed, one_thread, output, print_json

if TYPE_CHECKING:
    from jaxtyping import Float

    from simulations.model_comparison import ModelComparison
    from simulations.transformers.prompts import Prompts
    from simulations.user_models import UserModel
    from theory import PromptBatch, RegressionMixture


class _Law(NamedTuple):
    """The law of the prompts, as far as it is known."""

    mixture: "RegressionMixture | None"
    noise_std: float | None
    num_examples: int | None
    #: Of a trained model, where it is no mixture.
    other: "Prompts | None" = None


#: Streams of the seed.
_PROMPTS, _BANDS, _ESTIMATION = 0, 1, 2


def compare(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder that `iclproof train`, `build` or `export --to gpt2` has written, or of "
            "a stock GPT-2 with prompts.npz; or package.module:callable."
        ),
    ],
    components: Annotated[
        Path | None,
        typer.Option(help="File of w_1, ..., w_m: as for build, or rows of numbers (.txt, .npy)."),
    ] = None,
    num_components: Annotated[
        int | None, typer.Option(min=1, help="Instead of a file: draw m random components.")
    ] = None,
    dim: Annotated[int | None, typer.Option(min=1, help="With --num-components: d.")] = None,
    components_seed: Annotated[
        int, typer.Option(min=0, help="With --num-components: as --seed of build.")
    ] = 0,
    noise_std: Annotated[
        float | None, typer.Option(help="sigma; the model's own if not given.")
    ] = None,
    max_examples: Annotated[
        int | None, typer.Option(min=0, help="K; the model's own if not given.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Compare on your own prompts, all of one length: .csv, .json or .npz."),
    ] = None,
    estimated_from: Annotated[
        int | None,
        typer.Option(
            min=1, help="Also candidates with components estimated from so many fresh prompts."
        ),
    ] = None,
    num_prompts: Annotated[int, typer.Option(min=2, help="Prompts to draw.")] = 1024,
    seed: Seed = 0,
    figure: Annotated[
        Path | None, typer.Option(help="Also draw errors and distances: .svg or .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a model with posterior mean, argmin, ridge, least squares and more, at every prefix.

    All answer the same prompts: drawn from the law that the model's folder tells, or that options
    give. All squares are divided by d.
    """
    from simulations.model_comparison import compare_model
    from simulations.user_models import load_user_model

    if figure is not None:
        from simulations.figures.comparison import require_figure_suffix, write_comparison

        require_figure_suffix(figure)
    one_thread()
    loaded = load_user_model(model)
    mixture = _mixture(components, num_components, dim, components_seed, noise_std, loaded)
    law = _law(loaded, mixture, noise_std, max_examples)
    # Keys of their own: components are drawn from key 0 of their seed.
    keys = [np.random.SeedSequence(seed, spawn_key=(20, i)) for i in range(3)]
    streams = [np.random.default_rng(key) for key in keys]
    batch, exact = _prompts(law, prompts, num_prompts, streams[_PROMPTS])
    _require_fit(model, loaded, law, batch)
    candidates = _candidates(law, estimated_from, batch.num_examples, streams[_ESTIMATION])
    found = compare_model(loaded.predictor, candidates, batch, exact, streams[_BANDS])
    if figure is not None:
        write_comparison(figure, found)
    if as_json:
        print_json(_data(model, law, found) | {"seed": seed})
    else:
        _print_table(model, found)


# What is compared on what


def _mixture(
    file: Path | None,
    num_components: int | None,
    dim: int | None,
    seed: int,
    noise_std: float | None,
    loaded: "UserModel",
) -> "RegressionMixture | None":
    """The mixture that the options give, else that of the model with the noise of the options."""
    from theory import RegressionMixture

    if (num_components is None) != (dim is None):
        raise ValueError("--num-components and --dim go together: they give random components")
    if file is not None and dim is not None:
        raise ValueError("give either --components or --num-components with --dim, not both")
    own = loaded.mixture
    if file is None and (num_components is None or dim is None):
        return own if own is None or noise_std is None else own.with_noise_std(noise_std)
    if noise_std is None and own is not None:
        noise_std = own.noise_std
    if noise_std is None:
        raise ValueError("give --noise-std, the sigma of the mixture")
    if file is not None:
        found, weights = _components(file)
        return RegressionMixture(found, noise_std, weights)
    rng = np.random.default_rng(seed)
    return RegressionMixture.random(num_components or 1, dim or 1, noise_std, rng)


def _components(file: Path) -> "tuple[Float[np.ndarray, 'm d'], Float[np.ndarray, ' m'] | None]":
    """Components, with weights if the file has any."""
    if file.suffix.lower() in (".csv", ".json", ".npz"):
        from simulations.prompt_files import read_components

        found = read_components(file)
        return found.components, found.weights
    from simulations.matrix_files import read_matrix

    return read_matrix(file), None


def _law(
    loaded: "UserModel",
    mixture: "RegressionMixture | None",
    noise_std: float | None,
    max_examples: int | None,
) -> _Law:
    length = loaded.num_examples if max_examples is None else max_examples
    if mixture is not None:
        return _Law(mixture, mixture.noise_std, length)
    if loaded.law is None:
        return _Law(None, noise_std, length)
    sigma = loaded.law.noise_std if noise_std is None else noise_std
    own = loaded.law.num_examples if max_examples is None else max_examples
    return _Law(None, sigma, own, replace(loaded.law, noise_std=sigma, num_examples=own))


def _prompts(
    law: _Law, file: Path | None, size: int, rng: np.random.Generator
) -> "tuple[PromptBatch, Float[np.ndarray, 'batch prefixes'] | None]":
    """The prompts, and the labels without noise where they are known."""
    from simulations.model_comparison import sample_mixture
    from theory import PromptBatch

    if file is not None:
        return _prompts_of(file), None
    if law.mixture is None and law.other is None:
        raise ValueError(
            "which prompts to compare on is not known: give --components FILE, or --num-components"
            " and --dim, with --noise-std and --max-examples; or --prompts FILE"
        )
    if law.num_examples is None:
        raise ValueError("give --max-examples, the number of examples of a prompt")
    if law.mixture is not None:
        return sample_mixture(law.mixture, size, law.num_examples, rng)
    xs, ys, exact = law.other.sample(size, rng)  # type: ignore[union-attr]
    return PromptBatch(xs, ys[:, :-1]), exact


def _prompts_of(file: Path) -> "PromptBatch":
    from simulations.prompt_files import read_prompts

    groups = read_prompts(file).groups
    if len(groups) > 1:
        lengths = ", ".join(str(group.prompts.num_examples) for group in groups)
        raise ValueError(
            f"{file}: prompts have {lengths} examples; expected one length: compare them in one"
            " file for each"
        )
    if len(groups[0].prompts) < 2:
        raise ValueError(f"{file} holds one prompt; expected at least 2")
    return groups[0].prompts


def _require_fit(where: str, loaded: "UserModel", law: _Law, prompts: "PromptBatch") -> None:
    """Refuse prompts that are too long for the model, or of another dimension."""
    from theory.validation import Problems

    problems = Problems(where)
    longest, k = loaded.max_examples, prompts.num_examples
    if longest is not None and k > longest:
        problems.add(
            f"prompts have {k} examples, and the model has positions for {longest}; expected at"
            " most as many: shorten the prompts (--max-examples), or train a model with more"
            " positions (model.max_examples)"
        )
    if loaded.dim is not None and prompts.dim != loaded.dim:
        problems.add(f"prompts have dimension {prompts.dim}, and the model {loaded.dim}")
    if law.mixture is not None and prompts.dim != law.mixture.dim:
        problems.add(f"prompts have dimension {prompts.dim}, and components {law.mixture.dim}")
    problems.raise_if_any()


def _candidates(
    law: _Law, estimated_from: int | None, num_examples: int, rng: np.random.Generator
) -> dict[str, Any]:
    from simulations.model_comparison import estimated_candidates, known_candidates

    known = known_candidates(law.mixture, law.noise_std)
    if estimated_from is None:
        return known
    if law.mixture is None:
        raise ValueError("--estimated-from draws prompts of a mixture, and none is known")
    return known | estimated_candidates(law.mixture, estimated_from, num_examples, rng)


# What is printed


def _rows(found: "ModelComparison") -> list[dict[str, Any]]:
    """One row a prefix, squares divided by d; None where there is no finite number."""
    c, d = found.comparison, found.dim
    reference, rows = c.candidates[0], []
    for n, closest in enumerate(found.closest):
        margin = float(found.margins[n])
        row: dict[str, Any] = {"num_examples": n}
        if c.errors:
            row["error"] = float(c.errors[c.model].mean[n] / d)
            row["error_of_reference"] = float(c.errors[reference].mean[n] / d)
            row["excess"] = float(c.excess[reference].mean[n] / d)
            row["excess_standard_error"] = float(c.excess[reference].standard_error[n] / d)
        rows.append(
            row
            | {
                "closest": list(closest),
                "distance": float(c.distances[closest[0]].mean[n] / d),
                "next": found.next_closest[n],
                "margin_in_standard_errors": margin if np.isfinite(margin) else None,
            }
        )
    return rows


def _data(where: str, law: _Law, found: "ModelComparison") -> dict[str, Any]:
    c = found.comparison
    mixture = law.mixture
    return {
        "model": where,
        "num_prompts": c.num_prompts,
        "dim": found.dim,
        "noise_std": law.noise_std,
        "components": None if mixture is None else mixture.components.tolist(),
        "weights": None if mixture is None else mixture.weights.tolist(),
        "candidates": list(c.candidates),
        "reference": c.candidates[0],
        "squares_are_divided_by": found.dim,
        "bands": "low and high: 90 % of the means of resampled prompts (bootstrap)",
        "prefixes": _rows(found),
        "curves": {name: _finite(a / found.dim) for name, a in c.as_arrays().items()},
    }


def _finite(values: "Float[np.ndarray, ' n']") -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _print_table(where: str, found: "ModelComparison") -> None:
    c = found.comparison
    reference = c.candidates[0]
    errors = ["error", f"error of {reference}", "excess"] if c.errors else []
    table = Table(
        "k", *errors, "closest", "its distance", "next", "margin / s.e.",
        title=f"{where} on {c.num_prompts:,} prompts; squares divided by d = {found.dim}",
    )  # fmt: skip
    for row in _rows(found):
        cells = [str(row["num_examples"])]
        if errors:
            # Adding 0.0 turns -0.0 into 0.0.
            excess = f"{round(row['excess'], 4) + 0.0:.4f} ± {row['excess_standard_error']:.4f}"
            cells += [f"{row['error']:.4f}", f"{row['error_of_reference']:.4f}", excess]
        margin = row["margin_in_standard_errors"]
        cells += [
            " = ".join(row["closest"]),
            f"{row['distance']:.3g}",
            row["next"] or "",
            "" if margin is None else f"{margin:.1f}",
        ]
        table.add_row(*map(Text, cells))
    output().print(table)
