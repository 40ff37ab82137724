"""Prompts on grids of Gauss and Hermite, on which means of squared predictions are exact.

A prediction of linear self-attention is a polynomial: its square has degree 4 in every entry of an
example, of the task and of the noise, and 6 in every entry of the query. Three and four nodes are
exact for that. Nothing is derived: the layer itself answers every prompt.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from theory import LinearAttention, PromptBatch


class Cloud(NamedTuple):
    """Points, shape (n, k), and their weights, of sum 1."""

    points: np.ndarray
    weights: np.ndarray


class PromptGrid(NamedTuple):
    """Prompts, targets w'x_query, and weights."""

    prompts: PromptBatch
    targets: np.ndarray
    weights: np.ndarray

    def loss(self, *blocks: np.ndarray | float) -> float:
        """L = 1/2 E (yhat - w'x_query)^2 of the layer with these blocks."""
        answers = LinearAttention.from_blocks(*blocks).predict(self.prompts)
        return float(self.weights @ (answers - self.targets) ** 2) / 2


def gaussian(root: np.ndarray, nodes: int) -> Cloud:
    """N(0, root root')."""
    line, weights = hermegauss(nodes)
    one = Cloud(line[:, None], weights / weights.sum())
    standard = reduce(product, [one] * len(root))
    return Cloud(standard.points @ root.T, standard.weights)


def product(left: Cloud, right: Cloud) -> Cloud:
    """Independent points side by side."""
    i, j = (axis.ravel() for axis in np.indices((len(left.weights), len(right.weights))))
    points = np.hstack([left.points[i], right.points[j]])
    return Cloud(points, left.weights[i] * right.weights[j])


def prompt_grid(root: np.ndarray, tasks: Cloud, N: int, noise_std: float) -> PromptGrid:
    """Prompts of N examples x ~ N(0, root root') with labels w'x + e, w of a given law."""
    d = len(root)
    noise = gaussian(noise_std * np.eye(N), 3)
    parts: Sequence[Cloud] = [gaussian(root, 3)] * N + [gaussian(root, 4), tasks, noise]
    points, weights = reduce(product, parts)
    xs, ws, es = np.split(points, [d * (N + 1), d * (N + 2)], axis=1)
    xs = xs.reshape(-1, N + 1, d)
    labels = np.einsum("nid,nd->ni", xs, ws)
    return PromptGrid(PromptBatch(xs, labels[:, :-1] + es), labels[:, -1], weights)
