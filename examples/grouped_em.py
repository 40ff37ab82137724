"""A mixture of linear regressions with grouped data, by EM, from a CSV file.

    .venv/bin/python examples/grouped_em.py [FILE]

Each group (a patient, a shop, a prompt) follows one of a few unknown regressions in all its rows.
How many there are, which they are, how noisy, and which group follows which: all of it is
estimated. FILE has the columns group, x1, ..., xd and y; by default it is grouped.csv beside this
script: 80 groups of 2 to 12 rows.
"""

import sys
from pathlib import Path

import numpy as np

from simulations.baselines import BatchEM, GroupedExamples, read_grouped_csv, spread_start

LARGEST_M = 4


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


def main() -> None:
    """Choose m, fit, and say what was found."""
    default = Path(__file__).with_name("grouped.csv")
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    table = read_grouped_csv(path, intercept=True)
    print(table)

    training, held_out = split(table, 0.3)
    print("\n m      BIC  score of held-out groups")
    chosen, lowest = 1, np.inf
    for m in range(1, LARGEST_M + 1):
        bic = fit(m, table).bic(table)
        print(f"{m:2} {bic:8.1f} {fit(m, training).score(held_out):8.3f}")
        if bic < lowest:
            chosen, lowest = m, bic

    em = fit(chosen, table)
    print(f"\n{chosen} components, noise level {em.noise_std_:.3f}, {em.n_iter_} iterations")
    for weight, w in zip(em.weights_, em.components_, strict=True):
        slopes = "".join(f" {c:+.2f} x{i}" for i, c in enumerate(w[1:], 1))
        print(f"  weight {weight:.2f}: y = {w[0]:.2f}{slopes}")

    gamma = em.responsibilities(table)
    doubtful = [str(name) for name in table.names[gamma.max(axis=1) < 0.9]]
    print(f"\ngroups that are not clear (below 90 %): {', '.join(doubtful) or 'none'}")
    first = str(table.names[0])
    (answer,) = em.predict_rows([[1.0] + [0.5] * (table.dim - 1)], [first], table)
    print(f"a new row of group {first}, all covariates 0.5: y is about {answer:.2f}")


if __name__ == "__main__":
    main()
