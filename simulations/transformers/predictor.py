"""A model as a predictor of labels, beside those of theory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from simulations.transformers.models import tokens_of
from theory import PromptBatch

__all__ = ["ModelPredictor"]

#: Tokens that go through a model at once.
_TOKENS = 2**17


@dataclass(frozen=True, eq=False)
class ModelPredictor:
    """A model on tokens (batch, columns, d) as a `theory.Predictor`; it answers in its own dtype.

    Parameters
    ----------
    model
        What it says in a column of a covariate, its first output, is the prediction.
    name
        What figures and tables call it.
    constant_columns
        Columns of zeros that stand before a prompt.
    """

    model: nn.Module
    name: str = "transformer"
    constant_columns: int = 0

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict y_{k+1} of every prompt, shape (batch,), float64.

        Raises
        ------
        ValueError
            If the prompts are longer than the model's positions.
        """
        return self.predict_all_prefixes(prompts)[:, -1]

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Predict y_{n+1} from the first n examples, n = 0..k, shape (batch, k+1), float64.

        Raises
        ------
        ValueError
            As `predict`.
        """
        dtype = next(self.model.parameters()).dtype
        tokens = tokens_of(prompts.xs, prompts.ys).to(dtype)
        before = torch.zeros(len(tokens), self.constant_columns, prompts.dim, dtype=dtype)
        tokens = torch.cat([before, tokens], dim=1)
        size = max(1, _TOKENS // tokens.shape[1])
        with torch.no_grad():
            answers = torch.cat([self._answers(part) for part in torch.split(tokens, size)])
        return np.asarray(answers.double().numpy())

    def _answers(self, tokens: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.model(tokens)[:, self.constant_columns :: 2, 0]
        return found
