"""Labelled examples in groups of any sizes, as they stand in a long table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Int, Shaped

from theory.validation import Problems

__all__ = ["GroupedExamples"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class GroupedExamples:
    """Rows (x, y) of a table, each of a group; a group has one regressor for all its rows.

    What a `PromptBatch` is without queries, and with prompts of different lengths.

    Parameters
    ----------
    xs
        Covariates, shape (rows, d), rows >= 1 and d >= 1. For an intercept, add a column of ones.
    ys
        Labels, shape (rows,).
    groups
        Which group each row is of, shape (rows,): integers or strings, in any order.

    Attributes
    ----------
    names
        The names of the n groups, sorted, shape (n,). Whatever is said of groups (of
        responsibilities, for example) is in this order.
    codes
        For each row, the place of its group in `names`, shape (rows,).
    sizes
        The number k_i of rows of each group, shape (n,).

    Raises
    ------
    ValueError
        If the shapes do not fit each other, an entry is not a finite real number, or a group has no
        name. All problems are listed at once.
    """

    xs: npt.NDArray[np.float64]
    ys: npt.NDArray[np.float64]
    names: Shaped[np.ndarray, " n"]
    codes: Int[np.ndarray, " rows"]
    sizes: Int[np.ndarray, " n"]

    def __init__(self, xs: npt.ArrayLike, ys: npt.ArrayLike, groups: npt.ArrayLike) -> None:
        problems = Problems("GroupedExamples(xs, ys, groups)")
        covariates = problems.array("xs", xs, ("rows", "d"))
        labels = problems.array("ys", ys, ("rows",))
        given = np.asarray(groups)
        if given.ndim != 1 or given.dtype.kind not in "iuUSO":
            problems.add(
                f"groups has shape {given.shape} and dtype {given.dtype}; expected the name of each"
                " row's group, integers or strings of shape (rows,)"
            )
        else:
            _check_names(given, problems)
        if covariates is not None and covariates.size == 0:
            problems.add(f"xs has shape {covariates.shape}; expected rows >= 1 and d >= 1")
        if covariates is not None and labels is not None:
            lengths = len(covariates), len(labels), given.shape[0] if given.ndim else 0
            if len(set(lengths)) > 1:
                told = "{} rows in xs, {} in ys and {} in groups".format(*lengths)
                problems.add(f"{told}; expected as many in all three")
        problems.raise_if_any()
        names, codes = np.unique(given, return_inverse=True)
        for name, value in (
            ("xs", covariates),
            ("ys", labels),
            ("names", names),
            ("codes", codes),
            ("sizes", np.bincount(codes)),
        ):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        sizes = f"{self.sizes.min()} to {self.sizes.max()}"
        return f"GroupedExamples({len(self)} groups of {sizes} rows, dim={self.dim})"

    def __len__(self) -> int:
        """Return the number n of groups."""
        return len(self.names)

    @property
    def dim(self) -> int:
        """The dimension d of the covariates."""
        return int(self.xs.shape[1])


def _check_names(groups: Shaped[np.ndarray, " rows"], problems: Problems) -> None:
    """Note names that cannot be sorted: missing ones (None, NaN), and kinds that are mixed."""
    if groups.dtype.kind == "O":
        kinds = sorted({type(name).__name__ for name in groups})
        if kinds not in (["str"], ["int"]):
            problems.add(
                f"groups holds names of the types {', '.join(kinds)}; expected integers only or"
                " strings only: give the rows without a group one, or drop them"
            )
    elif groups.dtype.kind in "US" and np.any(groups == groups.dtype.type()):
        problems.add(
            f"groups[{int(np.argmax(groups == groups.dtype.type()))}] is empty; expected a name"
        )
