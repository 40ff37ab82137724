"""f*_pi line by line: one layer for every operator of the program of Appendix B.2."""

import numpy as np
import torch
from jaxtyping import Float

from constructions.box import Box
from constructions.compiled import Activation, CompiledProgram, machine_epsilon
from constructions.library.posterior_mean import (
    SoftmaxRoute,
    initial_matrix,
    posterior_mean_program,
)
from constructions.library.resolution import check_resolution
from theory import PromptBatch, RegressionMixture

#: Prompts that go through the network at once: more fall out of the processor's cache.
CHUNK = 16


class LineByLineTransformer(CompiledProgram):
    """A transformer of Section 1.2 that computes f*_pi for up to k examples.

    It is built for prompts of exactly ``max_examples``; shorter ones are filled up with examples
    (0, 0), whose residual is 0 under every component, so that f*_pi does not change.
    Source: pathak2023, Theorem 1 and Appendix B.2 as corrected.

    Parameters
    ----------
    mixture
        W*, sigma > 0 and the prior; components of weight 0 are left out.
    max_examples
        k >= 0, the most examples that a prompt may have.
    box
        The prompts it answers; by default `Box.for_mixture`.
    dtype
        torch.float64 or torch.float32.
    softmax
        "head", one attention head, or "sigmoids", the route of Lemma 2, which is refused unless
        the scores in the box stay within its range.

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
        softmax: SoftmaxRoute = "head",
    ) -> None:
        possible = mixture.weights > 0
        uniform = bool(np.all(mixture.weights[possible] == mixture.weights[possible][0]))
        built_for = Box.for_mixture(mixture) if box is None else box
        program = posterior_mean_program(
            mixture.components[possible],
            mixture.noise_std,
            max_examples,
            log_weights=None if uniform else np.log(mixture.weights[possible]),
            box=built_for,
            softmax=softmax,
            epsilon=machine_epsilon(dtype),
        )
        check_resolution(mixture, built_for, machine_epsilon(dtype))
        super().__init__(program, dtype)
        self.mixture = mixture
        self.max_examples = max_examples
        self.box = built_for
        self.softmax: SoftmaxRoute = softmax

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Return the network's f*_pi(P) for every prompt, float64.

        Raises
        ------
        ValueError
            If prompts have another dimension, are longer than ``max_examples`` or leave the box.
        """
        matrices = self._matrices(prompts)
        chunks = range(0, len(matrices), CHUNK)
        return np.concatenate(
            [self.run_matrices(matrices[i : i + CHUNK])[:, -1, -1] for i in chunks]
        )

    def trace(self, prompts: PromptBatch) -> list[Activation]:
        """Return the labelled activations of the input and after every layer.

        Raises
        ------
        ValueError
            As `predict`.
        """
        return self.trace_matrices(self._matrices(prompts))

    def problems(self, prompts: PromptBatch) -> list[tuple[int | None, str]]:
        """Return why prompts cannot be answered: (prompt from 0, or None for all, and reason)."""
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
        advice = "the model's box; build one with a larger box"
        return [*found, *((i, f"{problem}, {advice}") for i, problem in self.box.problems(prompts))]

    def _matrices(self, prompts: PromptBatch) -> Float[np.ndarray, "batch p q"]:
        if problems := self.problems(prompts):
            listed = "; ".join(
                f"every prompt: {reason}" if i is None else f"prompt {i + 1}: {reason}"
                for i, reason in problems[:4]
            )
            more = f" (and {len(problems) - 4} more)" if len(problems) > 4 else ""
            raise ValueError(f"prompts do not fit the model: {listed}{more}")
        tokens = prompts.pad(self.max_examples).interleaved()
        return initial_matrix(tokens, self.program.num_rows)


def compile_line_by_line(
    mixture: RegressionMixture,
    max_examples: int,
    box: Box | None = None,
    dtype: torch.dtype = torch.float64,
    *,
    softmax: SoftmaxRoute = "head",
) -> LineByLineTransformer:
    """Return a transformer with explicit weights that computes f*_pi; see the class.

    >>> import numpy as np
    >>> from theory import RegressionMixture
    >>> mixture = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
    >>> compile_line_by_line(mixture, max_examples=4).report().layers
    9
    """
    return LineByLineTransformer(mixture, max_examples, box, dtype, softmax=softmax)
