"""Predictors that are fitted to prompts or to grouped tables, without a network.

`BatchEM` is also a grouped mixture of linear regressions for data of any origin: see docs/em.md.
"""

from simulations.baselines.batch_em import BatchEM, ConvergenceWarning
from simulations.baselines.fitted_mixture import NotFittedError
from simulations.baselines.grouped_csv import read_csv_columns, read_grouped_csv
from simulations.baselines.starts import random_start, spread_start
from simulations.baselines.subspace import SubspaceAlgorithm
from simulations.baselines.subspace_clustering import SubspaceClustering
from theory.grouped_examples import GroupedExamples

__all__ = [
    "BatchEM",
    "ConvergenceWarning",
    "GroupedExamples",
    "NotFittedError",
    "SubspaceAlgorithm",
    "SubspaceClustering",
    "random_start",
    "read_csv_columns",
    "read_grouped_csv",
    "spread_start",
]
