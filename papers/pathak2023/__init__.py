"""Pathak, Sen, Kong, Das 2023: Transformers can optimally learn regression mixture models."""

from papers.ledger import AnyStatement
from papers.pathak2023 import (
    algorithm_1,
    algorithm_1_stops,
    budget,
    displays_9,
    experiments_figure_2,
    experiments_limits,
    experiments_shifts,
    figure_3,
    lemma_2,
    program_lines,
    proposition_1,
    section_1_2,
    theorem_1,
    three_layers,
)

STATEMENTS: tuple[AnyStatement, ...] = (
    *section_1_2.STATEMENTS,
    *program_lines.STATEMENTS,
    *proposition_1.STATEMENTS,
    *displays_9.STATEMENTS,
    *lemma_2.STATEMENTS,
    *budget.STATEMENTS,
    *theorem_1.STATEMENTS,
    *three_layers.STATEMENTS,
    *experiments_figure_2.STATEMENTS,
    *experiments_shifts.STATEMENTS,
    *experiments_limits.STATEMENTS,
    *algorithm_1.STATEMENTS,
    *algorithm_1_stops.STATEMENTS,
    *figure_3.STATEMENTS,
)
