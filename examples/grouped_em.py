"""A mixture of linear regressions with grouped data, by EM, from a CSV file.

    .venv/bin/python examples/grouped_em.py [FILE] [--group A] [--label B] [--covariates C,D...]

Each group (a patient, a shop, a prompt) follows one of a few unknown regressions in all its rows.
How many there are, which they are, how noisy, and which group follows which: all of it is
estimated. FILE is a CSV file with a header; by default grouped.csv beside this script, which has
the columns group, x1, x2 and y: 80 groups of 2 to 12 rows. An intercept is added.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simulations.baselines import (
    BatchEM,
    GroupedExamples,
    read_csv_columns,
    read_grouped_csv,
    spread_start,
)

LARGEST_M = 4


def read() -> tuple[GroupedExamples, str, list[str]]:
    """Read the columns that the command line names; return these names, label first, too."""
    default = Path(__file__).with_name("grouped.csv")
    parser = argparse.ArgumentParser(
        description="A mixture of linear regressions with grouped data, by EM, from a CSV file."
    )
    parser.add_argument("file", nargs="?", type=Path, default=default, metavar="FILE")
    parser.add_argument("--group", default="group", help="column of the groups (%(default)s)")
    parser.add_argument("--label", default="y", help="column of the labels (%(default)s)")
    parser.add_argument(
        "--covariates",
        metavar="NAME,NAME...",
        type=lambda text: next(csv.reader([text], skipinitialspace=True), []),
        help="columns of the covariates, as in a line of CSV (all others)",
    )
    given = parser.parse_args()
    try:
        columns = read_csv_columns(given.file)
        others = [name for name in columns if name not in (given.group, given.label)]
        names = others if given.covariates is None else given.covariates
        table = read_grouped_csv(
            given.file, group=given.group, label=given.label, covariates=names, intercept=True
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return table, given.label, names


def fit(m: int, table: GroupedExamples) -> BatchEM:
    """Fit m components and the noise level: the best of 5 starts."""
    return BatchEM(m, None, start=spread_start, n_init=5, tol=1e-3).fit(table)


def split(table: GroupedExamples, share: float) -> tuple[GroupedExamples, GroupedExamples]:
    """Split off a share of the groups, as wholes."""
    drawn = np.random.default_rng(0).random(len(table)) < share
    held = drawn[table.codes]
    names = table.names[table.codes]
    first, second = (
        GroupedExamples(table.xs[rows], table.ys[rows], names[rows]) for rows in (~held, held)
    )
    return first, second


def choose(table: GroupedExamples) -> int:
    """Print the scores of 1 to `LARGEST_M` components, and return the number of lowest BIC."""
    training, held_out = split(table, 0.3)
    print("\n m      BIC  score of held-out groups")
    chosen, lowest = 1, np.inf
    for m in range(1, LARGEST_M + 1):
        bic = fit(m, table).bic(table)
        print(f"{m:2} {bic:8.1f} {fit(m, training).score(held_out):8.3f}")
        if bic < lowest:
            chosen, lowest = m, bic
    return chosen


def tell(em: BatchEM, label: str, names: Sequence[str]) -> None:
    """Print the regressions."""
    print(
        f"\n{len(em.weights_)} components, noise level {em.noise_std_:.3f}, {em.n_iter_} iterations"
    )
    for weight, w in zip(em.weights_, em.components_, strict=True):
        slopes = "".join(f" {c:+.2f} {name}" for name, c in zip(names, w[1:], strict=True))
        print(f"  weight {weight:.2f}: {label} = {w[0]:.2f}{slopes}")


def main() -> None:
    """Choose m, fit, and say what was found."""
    table, label, names = read()
    print(table)
    em = fit(choose(table), table)
    tell(em, label, names)

    gamma = em.responsibilities(table)
    doubtful = [str(name) for name in table.names[gamma.max(axis=1) < 0.9]]
    print(f"\ngroups that are not clear (below 90 %): {', '.join(doubtful) or 'none'}")
    first = str(table.names[0])
    (answer,) = em.predict_rows([[1.0] + [0.5] * (table.dim - 1)], [first], table)
    print(f"a new row of group {first}, all covariates 0.5: {label} is about {answer:.2f}")


if __name__ == "__main__":
    main()
