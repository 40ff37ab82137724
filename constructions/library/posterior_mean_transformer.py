"""f*_pi at every prefix in one forward pass: three layers with one head, or two with many."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float

from constructions.box import Box
from constructions.certificate.bounds import Certificate, CertificateError
from constructions.circuit import Circuit, Prompt
from constructions.compiled import machine_epsilon
from constructions.compiled_circuit import CompiledCircuit, LayerState
from constructions.gadgets import SquareGadget
from constructions.library.certified import (
    certify_box,
    certify_prompts,
    check_within,
    gadget_within,
    plan_for,
    wings_for,
    within_reach,
)
from constructions.library.posterior_mean import posterior_mean_program
from constructions.library.resolution import check_resolution
from constructions.passes.lift import AT_LABELS, lift
from constructions.reports import CircuitReport, PaperBudget
from constructions.values import Array, Value
from constructions.winged import WingedSquare, fitted_square
from theory import PromptBatch, RegressionMixture

#: How many layers: three with one head each, or two, the first with a head for every token.
NumLayers = Literal[2, 3]


def posterior_mean_circuit(mixture: RegressionMixture, max_examples: int, box: Box) -> Circuit:
    """Return the circuit of f*_pi: the program of Appendix B.2, corrected, at every prefix.

    Components of weight 0 are left out. Source: pathak2023, Appendix B.2.

    Raises
    ------
    ValueError
        If sigma = 0 (no finite network exists), or max_examples is negative.
    """
    possible = mixture.weights > 0
    uniform = bool(np.all(mixture.weights[possible] == mixture.weights[possible][0]))
    if max_examples < 0:
        raise ValueError(f"num_examples is {max_examples}, expected 0 or more")
    # A program for no examples has no lines to lift; its answer is the first of one for one.
    held = max(max_examples, 1)
    program = posterior_mean_program(
        mixture.components[possible],
        mixture.noise_std,
        held,
        log_weights=None if uniform else np.log(mixture.weights[possible]),
        box=box,
    )
    lifted = lift(program, Prompt(mixture.dim, held, box), program.num_rows)
    return replace(lifted, names=_telling(lifted.names, mixture.components[possible]))


def _telling(names: dict[str, Value], components: Array) -> dict[str, Value]:
    """Names for the registers' values, and for the maps W x and W' p that folding makes wires."""
    squares, copied = f"s{AT_LABELS}", f"x{AT_LABELS}"
    told = {f"squared r{AT_LABELS}" if name == squares else name: v for name, v in names.items()}
    return told | {f"W x{AT_LABELS}": components @ names[copied], "W' p": components.T @ names["p"]}


@dataclass(frozen=True)
class Answers:
    """Answers with what is known of their error.

    Parameters
    ----------
    values
        The network's f*_pi(P) (batch,).
    error_bounds
        Certified bounds on |values - f*_pi(P)| (batch,); infinite where there is none.
    inside_box
        Whether each prompt lies in the model's box (batch,); only there are bounds finite.
    """

    values: Float[np.ndarray, " batch"]
    error_bounds: Float[np.ndarray, " batch"]
    inside_box: Bool[np.ndarray, " batch"]


class PosteriorMeanTransformer(CompiledCircuit):
    """A transformer of Section 1.2 that computes f*_pi at every prefix of up to K examples.

    The nine operators of Appendix B.2 are scheduled into three layers of one head each, or into
    two, the first of which has a head for each of the 2K tokens.
    Source: pathak2023, Theorem 1 and Appendix B.2 as corrected.

    Parameters
    ----------
    mixture
        W*, sigma > 0 and the prior; components of weight 0 are left out.
    max_examples
        K >= 0, the most examples that a prompt may have.
    box
        The prompts it answers; by default `Box.for_mixture`.
    dtype
        torch.float64 or torch.float32.
    layers
        3 or 2.
    square
        The gadget for products; by default the one that suits the float type.
    prefix_columns
        Whether constant columns stand before the prompt. Without them prefixes of fewer than
        `min_examples` = ceil(m / 2) examples are not answered.
    winged
        The gadget for squared residuals, if they are to have wings; see `CompiledCircuit`.

    Raises
    ------
    ValueError
        If sigma = 0 (no finite network exists), if the float type is too coarse for sigma and
        the box, or if an argument is out of its range.
    """

    def __init__(
        self,
        mixture: RegressionMixture,
        max_examples: int,
        box: Box | None = None,
        dtype: torch.dtype = torch.float64,
        *,
        layers: NumLayers = 3,
        square: SquareGadget | None = None,
        prefix_columns: bool = True,
        winged: WingedSquare | None = None,
    ) -> None:
        if layers not in (2, 3):
            raise ValueError(
                f"layers is {layers}, expected 3 (one head each) or 2 (2K heads); "
                "compile_line_by_line gives one layer for every operator of the paper"
            )
        built_for = Box.for_mixture(mixture) if box is None else box
        circuit = posterior_mean_circuit(mixture, max_examples, built_for)
        check_resolution(mixture, built_for, machine_epsilon(dtype))
        super().__init__(
            circuit,
            dtype,
            square,
            wide=layers == 2,
            prefix_columns=prefix_columns,
            winged=winged,
        )
        self.mixture = mixture
        self.max_examples = max_examples
        self.box = built_for

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Return the network's f*_pi(P) for every prompt, float64.

        Raises
        ------
        ValueError
            If prompts have another dimension, too many (or too few) examples, or leave the box.
        """
        self._refuse(self.problems(prompts))
        answers: Float[np.ndarray, " batch"] = self.run_tokens(prompts.interleaved())[:, 0, -1]
        return answers

    def answer(self, prompts: PromptBatch, *, allow_outside_box: bool = False) -> Answers:
        """Return answers with certified error bounds, for each prompt at hand.

        Parameters
        ----------
        prompts
            The prompts.
        allow_outside_box
            Answer prompts outside the box, too, which `predict` refuses: without any certificate,
            marked by ``inside_box`` and an infinite bound.

        Raises
        ------
        ValueError
            If prompts have another dimension, too many (or too few) examples, or leave the box
            and are to be refused.
        CertificateError
            If the network has no certificate.
        """
        self._refuse(self._misfits(prompts) if allow_outside_box else self.problems(prompts))
        inside = np.ones(len(prompts), dtype=bool)
        inside[[i for i, _ in self.box.problems(prompts)]] = False
        bounds = np.full(len(prompts), np.inf)
        for i in np.flatnonzero(inside):
            bounds[i] = certify_prompts(self, prompts[int(i) : int(i) + 1])[0]
        answers = self.run_tokens(prompts.interleaved(), allow_outside_box=True)
        return Answers(answers[:, 0, -1], bounds, inside)

    def certificate(self) -> Certificate:
        """Return the certified bounds on |TF(P) - f*_pi(P)| for all prompts of the box.

        Raises
        ------
        CertificateError
            If a step of the argument fails; the message says which, and what to relax.
        """
        return certify_box(self)

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Return the network's answers at k = 0, ..., K in one forward pass, (batch, K + 1).

        Entry [b, k] is f*_pi of (x_1, y_1, ..., x_k, y_k, x_{k+1}). Prefixes shorter than
        `min_examples` (only without prefix columns) are NaN.

        Raises
        ------
        ValueError
            As `predict`.
        """
        self._refuse(self.problems(prompts))
        answers = self.run_tokens(prompts.interleaved())[:, 0, ::2]
        answers[:, : self.min_examples] = np.nan
        return answers

    def trace(self, prompts: PromptBatch) -> list[LayerState]:
        """Return the labelled states of the residual stream: the input, and after every layer.

        Raises
        ------
        ValueError
            As `predict`.
        """
        self._refuse(self.problems(prompts))
        return self.trace_tokens(prompts.interleaved())

    def report(self) -> CircuitReport:
        """Return the sizes of the network and of its weights, beside the paper's budget."""
        possible = self.mixture.weights[self.mixture.weights > 0]
        budget = PaperBudget.for_posterior_mean(
            self.mixture.dim,
            len(possible),
            self.max_examples,
            prior=bool(np.any(possible != possible[0])),
        )
        return replace(super().report(), budget=budget)

    def problems(self, prompts: PromptBatch) -> list[tuple[int | None, str]]:
        """Return why prompts cannot be answered: (prompt from 0, or None for all, and reason)."""
        advice = "the model's box; build one with a larger box"
        outside = [(i, f"{problem}, {advice}") for i, problem in self.box.problems(prompts)]
        return [*self._misfits(prompts), *outside]

    def _misfits(self, prompts: PromptBatch) -> list[tuple[int | None, str]]:
        found: list[tuple[int | None, str]] = []
        if prompts.dim != self.mixture.dim:
            found.append((None, f"covariates have dimension {prompts.dim}, not {self.mixture.dim}"))
        if prompts.num_examples > self.max_examples:
            found.append(
                (
                    None,
                    f"{prompts.num_examples} examples, the model holds at most "
                    f"{self.max_examples}; build one with a larger max_examples",
                )
            )
        if prompts.num_examples < self.min_examples:
            found.append(
                (
                    None,
                    f"{prompts.num_examples} examples, a model without prefix columns needs at "
                    f"least {self.min_examples}; build one with prefix columns",
                )
            )
        return found

    def _refuse(self, problems: list[tuple[int | None, str]]) -> None:
        if problems:
            listed = "; ".join(
                f"every prompt: {reason}" if i is None else f"prompt {i + 1}: {reason}"
                for i, reason in problems[:4]
            )
            more = f" (and {len(problems) - 4} more)" if len(problems) > 4 else ""
            raise ValueError(f"prompts do not fit the model: {listed}{more}")


def compile_posterior_mean(
    mixture: RegressionMixture,
    max_examples: int,
    box: Box | None = None,
    dtype: torch.dtype = torch.float64,
    *,
    layers: NumLayers = 3,
    tolerance: float | None = None,
    prefix_columns: bool = True,
) -> PosteriorMeanTransformer:
    """Return a transformer with explicit weights that computes f*_pi; see the class.

    With a ``tolerance``, its products take as few neurons as a certificate allows: on prompts of
    the box that some component explains (a residual sum of at most 2 k sigma^2) the answers are
    within the tolerance of f*_pi, rounding included. Where plain squares do not meet it, three
    layers take squares with wings (`constructions.winged`), for ten times the neurons in float64.
    In float32 these are the default.

    Raises
    ------
    CertificateError
        If the tolerance cannot be certified: the message says what fails, and what to relax.
    ValueError
        As the class.

    >>> import numpy as np
    >>> from theory import RegressionMixture
    >>> mixture = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
    >>> len(compile_posterior_mean(mixture, max_examples=4).layers)
    3
    """
    build = partial(
        PosteriorMeanTransformer,
        mixture,
        max_examples,
        box,
        dtype,
        layers=layers,
        prefix_columns=prefix_columns,
    )
    model = build()
    winged = wings_for(model, mixture.noise_std)
    if tolerance is None and (winged is None or dtype == torch.float64):
        return model
    if tolerance is not None and (winged is None or within_reach(model, tolerance)):
        try:
            return build(square=gadget_within(model, tolerance))
        except CertificateError:
            if winged is None:
                raise
    model = build(square=fitted_square(plan_for(dtype)), winged=winged)
    if tolerance is not None:
        check_within(model, tolerance)
    return model
