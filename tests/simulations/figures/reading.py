"""What is drawn, read off the axes, beside what is stored."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from simulations.runs import StoredRun


def lines(axes: Axes) -> dict[str, np.ndarray]:
    """The y-values of the lines of a panel by gid."""
    return {line.get_gid(): np.asarray(line.get_ydata()) for line in axes.lines}


def edges(axes: Axes) -> set[float]:
    """All heights of the edges of the bands of a panel."""
    return {y for band in axes.collections for p in band.get_paths() for y in p.vertices[:, 1]}


def assert_curve(axes: Axes, gid: str, run: StoredRun, key: str) -> None:
    np.testing.assert_array_equal(lines(axes)[gid], run.arrays[f"{key}/mean"])
    for end in ("low", "high"):
        assert set(run.arrays[f"{key}/{end}"].tolist()) <= edges(axes)


def assert_some_of(values: np.ndarray, array: np.ndarray) -> None:
    assert len(values) > 0
    assert set(values.tolist()) <= set(np.atleast_1d(array).tolist())
