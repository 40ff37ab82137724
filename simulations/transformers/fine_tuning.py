"""Training that begins at given weights: all of them, or changes relative to what they are.

A built network holds weights of size 10^10 beside ones of size 1. A step of Adam moves all by the
same amount, which is too much for what multiplies rows of that size and too little for the rest. So
`RelativeChanges` trains delta in w = w0 (1 + delta), on the weights that are not zero: one step
size suits all. Attention that picks out a column does so by differences of logits that are large
themselves, so that a small relative change sends it elsewhere: `ADDRESSES` names the weights that
make logits and positions, to be left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from constructions.architecture import LayerWeights
from simulations.transformers.config import Steps
from simulations.transformers.models import tokens_of
from simulations.transformers.section_1_2 import Section12

__all__ = ["ADDRESSES", "Draw", "RelativeChanges", "between", "fine_tune", "redrawn"]

#: What a `Section12` finds columns by: W^Q, W^K, E and the constants of the columns.
ADDRESSES = ("query", "key", "embedding", "constants")

#: Draws a batch: covariates (batch, k+1, d), labels (batch, k+1), the query's included.
Draw: TypeAlias = Callable[
    [], tuple[Float[np.ndarray, "batch points d"], Float[np.ndarray, "batch points"]]
]


class RelativeChanges(nn.Module):
    """A model with weights w0 (1 + share delta), of which delta is trained.

    Parameters
    ----------
    model
        Whose weights are w0; it is not changed.
    kept
        Weights whose names end so stay w0, as do all zeros.

    Raises
    ------
    ValueError
        If nothing is left to train.

    Attributes
    ----------
    share
        How much of the change is made, 1 unless set: 0 is the model as it was.
    """

    def __init__(self, model: nn.Module, kept: Collection[str] = ()) -> None:
        super().__init__()
        self.share = 1.0
        # Not as an attribute: its parameters are not those that are trained.
        self._model = (model,)
        self._first = {name: p.detach().clone() for name, p in model.named_parameters()}
        self._nonzero = {
            name: weights != 0
            for name, weights in self._first.items()
            if name.rpartition(".")[2] not in kept and bool((weights != 0).any())
        }
        if not self._nonzero:
            raise ValueError(
                f"there is nothing to train: all weights but {sorted(kept)} are zero; expected a"
                " model with others"
            )
        self.deltas = nn.ParameterList(
            [
                nn.Parameter(torch.zeros(int(where.sum()), dtype=self._first[name].dtype))
                for name, where in self._nonzero.items()
            ]
        )

    def weights(self) -> dict[str, Tensor]:
        """Return w0 (1 + share delta), by the names of the model."""
        found = dict(self._first)
        for (name, where), delta in zip(self._nonzero.items(), self.deltas, strict=True):
            factors = torch.ones_like(found[name]).masked_scatter(where, 1 + self.share * delta)
            found[name] = found[name] * factors
        return found

    def forward(
        self, tokens: Float[Tensor, "batch columns dim"]
    ) -> Float[Tensor, "batch columns outputs"]:
        """Answer as the model does with these weights."""
        answers: Tensor = functional_call(self._model[0], self.weights(), (tokens,))
        return answers


def fine_tune(
    model: nn.Module,
    draw: Draw,
    steps: Steps,
    watch: Callable[[nn.Module], float],
    watched: Sequence[int],
) -> Float[np.ndarray, " watched"]:
    """Train all parameters of a model by Adam on the mean squared error at every covariate.

    Parameters
    ----------
    model
        It is changed; its parameters have one dtype.
    draw
        Where batches come from.
    steps
        Step sizes, and how many steps; the size of batches is for `draw` to know.
    watch
        Evaluated after 0 and more steps.
    watched
        After how many steps, ascending, from 0 to `steps.count`.

    Returns
    -------
    numpy.ndarray
        What was watched, float64; infinite from where it, or the loss, was not finite: there
        training ends.
    """
    parameters = [p for p in model.parameters() if p.numel() > 0]
    optimiser = torch.optim.Adam(parameters, steps.step_size, steps.betas)
    found, due = np.full(len(watched), np.inf), {step: i for i, step in enumerate(watched)}
    for step in range(steps.count + 1):
        if step in due:
            with torch.no_grad():
                value = watch(model)
            if not np.isfinite(value):
                break
            found[due[step]] = value
        if step == steps.count:
            break
        xs, ys = draw()
        tokens = tokens_of(xs, ys[:, :-1]).to(parameters[0].dtype)
        for group in optimiser.param_groups:
            group["lr"] = steps.step_size_at(step)
        optimiser.zero_grad()
        answers: Tensor = model(tokens)[:, ::2, 0]
        loss = (answers - torch.tensor(ys, dtype=answers.dtype)).square().mean()
        if not bool(torch.isfinite(loss)):
            break
        loss.backward()  # type: ignore[no-untyped-call]
        if steps.clip is not None:
            nn.utils.clip_grad_norm_(parameters, steps.clip)
        optimiser.step()
    return found


def redrawn(model: Section12, generator: torch.Generator) -> Section12:
    """Return a model of the same shapes and dtype with the weights of `Section12.random`.

    Entries are normal of standard deviation 1 / sqrt(p), divided by sqrt(2 layers) for W^C and
    W^out.

    Parameters
    ----------
    model
        Whose shapes; it is not changed.
    generator
        Where the entries are drawn from.
    """
    layers = model.transformer.layers
    std = model.embedding.shape[0] ** -0.5

    def drawn(like: Tensor, std: float = std) -> Tensor:
        return torch.empty_like(like).normal_(0.0, std, generator=generator)

    added = std / (2 * len(layers)) ** 0.5
    weights = [
        LayerWeights(
            query=drawn(own.query),
            key=drawn(own.key),
            value=drawn(own.value),
            output=drawn(own.output, added),
            inward=drawn(own.inward),
            outward=drawn(own.outward, added),
        )
        for own in (layer.weights() for layer in layers)
    ]
    embedding, constants, read_out = (
        drawn(p.detach()) for p in (model.embedding, model.constants, model.read_out)
    )
    return Section12(weights, embedding, constants, read_out, model.constant_columns)


def between(first: nn.Module, second: nn.Module, share: float) -> dict[str, Tensor]:
    """Return the weights (1 - share) first + share second of two models of equal shapes.

    Parameters
    ----------
    first, second
        The ends of the line.
    share
        0 is the first, 1 the second, exactly.

    Raises
    ------
    ValueError
        If the models differ in names or shapes of their weights.
    """
    ends = [{name: p.detach() for name, p in model.named_parameters()} for model in (first, second)]
    shapes = [{name: tuple(p.shape) for name, p in end.items()} for end in ends]
    if shapes[0] != shapes[1]:
        differ = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))
        raise ValueError(
            f"there is no line between models of other shapes: {differ[0][0]} differs; expected"
            " equal names and shapes"
        )
    return {name: (1 - share) * p + share * ends[1][name] for name, p in ends[0].items()}
