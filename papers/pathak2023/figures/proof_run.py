"""What the figures show: one prompt, and the matrix after every line of the proof's program."""

from dataclasses import dataclass

import numpy as np

from constructions.interpreter import run
from constructions.library.posterior_mean import initial_matrix, posterior_mean_program
from constructions.matrices import Matrix
from constructions.program import Program
from theory import PromptBatch, RegressionMixture

#: The largest sizes whose numbers and cells can still be read on a page.
MAX_DIM = 6
MAX_COMPONENTS = 6
MAX_EXAMPLES = 4


@dataclass(frozen=True, eq=False)
class ProofRun:
    """One prompt through the program of Appendix B.2, as the interpreter runs it.

    Parameters
    ----------
    mixture
        W* (m, d) and sigma > 0, with equal weights, as the paper has them.
    prompt
        A batch of one prompt, of k examples.
    program
        The program's nine lines.
    stages
        H^(0), ..., H^(9), each (2d + 4m + 2, 2k + 1), float64.
    """

    mixture: RegressionMixture
    prompt: PromptBatch
    program: Program
    stages: tuple[Matrix, ...]

    @classmethod
    def of(cls, mixture: RegressionMixture, prompt: PromptBatch) -> "ProofRun":
        """Run the program on a batch of one prompt.

        Raises
        ------
        ValueError
            If there is not exactly one prompt, dimensions differ, sigma = 0 or the weights of the
            mixture are not equal.
        """
        if prompt.batch_size != 1:
            raise ValueError(f"got {prompt.batch_size} prompts, expected a batch of one")
        if prompt.dim != mixture.dim:
            raise ValueError(f"covariates have dimension {prompt.dim}, components {mixture.dim}")
        require_equal_weights(mixture)
        program = posterior_mean_program(mixture.components, mixture.noise_std, prompt.num_examples)
        start = initial_matrix(prompt.interleaved()[0], program.num_rows)
        return cls(mixture, prompt, program, tuple(run(program, start)))

    def block(self, stage: int, register: str) -> Matrix:
        """Return the rows of a register in H^(stage), shape (rows of the register, 2k + 1)."""
        rows = self.program.register(register)
        values: Matrix = self.stages[stage][rows.first - 1 : rows.last]
        return values


def require_equal_weights(mixture: RegressionMixture) -> None:
    """Refuse a mixture with another prior than the paper's, which would need a tenth line.

    Raises
    ------
    ValueError
        If the weights are not all equal.
    """
    if not np.all(mixture.weights == mixture.weights[0]):
        raise ValueError(
            f"the mixture has weights {mixture.weights.tolist()}; the figures show the paper's "
            "program, whose prior is uniform: expected equal weights"
        )


def require_legible(*, dim: int, num_components: int, num_examples: int) -> None:
    """Refuse sizes that do not fit a page, all at once.

    Raises
    ------
    ValueError
        If a size is below 1 or above what can be read; the message says the limits.
    """
    sizes = (
        ("dim (d)", dim, MAX_DIM),
        ("num_components (m)", num_components, MAX_COMPONENTS),
        ("num_examples (k)", num_examples, MAX_EXAMPLES),
    )
    if problems := [
        f"{name} is {size}, expected 1 to {most}"
        for name, size, most in sizes
        if not 1 <= size <= most
    ]:
        raise ValueError("a figure of this size could not be read: " + "; ".join(problems))
