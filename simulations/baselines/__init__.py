"""Predictors that are fitted to prompts, without a network."""

from simulations.baselines.batch_em import BatchEM, random_start, spread_start
from simulations.baselines.subspace import SubspaceAlgorithm
from simulations.baselines.subspace_clustering import SubspaceClustering

__all__ = ["BatchEM", "SubspaceAlgorithm", "SubspaceClustering", "random_start", "spread_start"]
