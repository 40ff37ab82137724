"""Predictors that are fitted to prompts, without a network."""

from simulations.baselines.batch_em import BatchEM

__all__ = ["BatchEM"]
