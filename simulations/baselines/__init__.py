"""Predictors that are fitted to prompts, without a network."""

from simulations.baselines.batch_em import BatchEM, random_start, spread_start
from simulations.baselines.subspace import SubspaceAlgorithm

__all__ = ["BatchEM", "SubspaceAlgorithm", "random_start", "spread_start"]
