"""The figures of experiments, in the order in which they are drawn."""

from __future__ import annotations

from simulations.figures.covariate_laws import COVARIATE_LAWS
from simulations.figures.em_recovery import EM_RECOVERY
from simulations.figures.experiment_figure import ExperimentFigure
from simulations.figures.fine_tuned_networks import FINE_TUNED_NETWORKS
from simulations.figures.fitted_mixtures import FITTED_MIXTURES
from simulations.figures.gaussian_transformers import GAUSSIAN_TRANSFORMERS
from simulations.figures.linear_attention_shifts import LINEAR_ATTENTION_SHIFTS
from simulations.figures.mixture_prediction import MIXTURE_PREDICTION
from simulations.figures.mixture_transformers import MIXTURE_TRANSFORMERS
from simulations.figures.open_questions import OPEN_QUESTIONS
from simulations.figures.posterior_mean_shifts import POSTERIOR_MEAN_SHIFTS
from simulations.figures.prediction_distances import PREDICTION_DISTANCES
from simulations.figures.random_covariances import RANDOM_COVARIANCES
from simulations.figures.step_sizes import STEP_SIZES
from simulations.figures.trained_and_built import TRAINED_AND_BUILT
from simulations.figures.trained_attention import TRAINED_ATTENTION
from simulations.figures.trained_predictions import TRAINED_PREDICTIONS
from simulations.figures.trained_step_size import TRAINED_STEP_SIZE
from simulations.figures.transformer_distances import TRANSFORMER_DISTANCES
from simulations.figures.transformer_shifts import TRANSFORMER_SHIFTS
from simulations.figures.transformer_training_sets import TRANSFORMER_TRAINING_SETS

__all__ = ["FIGURES", "find_figure"]

FIGURES: tuple[ExperimentFigure, ...] = (
    MIXTURE_PREDICTION,
    FITTED_MIXTURES,
    PREDICTION_DISTANCES,
    *POSTERIOR_MEAN_SHIFTS,
    EM_RECOVERY,
    COVARIATE_LAWS,
    LINEAR_ATTENTION_SHIFTS,
    RANDOM_COVARIANCES,
    TRAINED_ATTENTION,
    TRAINED_STEP_SIZE,
    TRAINED_PREDICTIONS,
    MIXTURE_TRANSFORMERS,
    TRANSFORMER_TRAINING_SETS,
    TRANSFORMER_DISTANCES,
    *TRANSFORMER_SHIFTS,
    GAUSSIAN_TRANSFORMERS,
    OPEN_QUESTIONS,
    STEP_SIZES,
    TRAINED_AND_BUILT,
    FINE_TUNED_NETWORKS,
)


def find_figure(name: str) -> ExperimentFigure:
    """Return the figure of this name.

    Raises
    ------
    ValueError
        If there is none; the message has all names.
    """
    for figure in FIGURES:
        if figure.name == name:
            return figure
    names = ", ".join(figure.name for figure in FIGURES)
    raise ValueError(f"there is no figure {name!r} of experiments; expected one of {names}")
