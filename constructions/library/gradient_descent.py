"""T steps of gradient descent for least squares, at every prefix: T + 1 layers of one head or none.

The examples enter through A = sum_j x_j x_j' and b = sum_j x_j y_j alone, and a step is
w <- (I - eta A) w + eta b, which is d^2 products within the query's column.
"""

from constructions.box import Box
from constructions.circuit import Circuit, Prompt
from constructions.library.moments import Moments, inner, times
from constructions.values import Value


def gradient_descent_circuit(
    dim: int, max_examples: int, box: Box, *, steps: int, step_size: float
) -> Circuit:
    """Return the circuit of <w_T, x_{k+1}> after T steps from w_0 = 0.

    w_{t+1} = w_t - eta sum_{j <= k} x_j (<w_t, x_j> - y_j), a step of gradient descent on
    (1/2) sum_j (<w, x_j> - y_j)^2, for every k = 0..K at once. The first step is free (w_1 is
    eta b); T steps take T + 1 layers, two of them with one head, the others with none.

    The ranges that the compiler infers for w_t are those of interval arithmetic: they grow by the
    factor max_i sum_l |(I - eta A)_il| a step, up to 1 + eta d K X^2 for |x_il| <= X, whether or
    not w_t itself grows; the error of the network grows with them. Up to the step size
    `safe_step_size` the factor is below 2.
    Source: von Oswald et al. 2023 (arXiv 2212.07677) for the idea of a step per layer.

    Parameters
    ----------
    dim
        d >= 1.
    max_examples
        K >= 0.
    box
        Bounds on covariates and labels.
    steps
        T >= 1.
    step_size
        eta > 0.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    if steps < 1 or not 0 < step_size < float("inf"):
        raise ValueError(
            f"gradient descent: {steps} steps of size {step_size}; expected at least one step, of "
            "a finite positive size"
        )
    prompt = Prompt(dim, max_examples, box)
    moments = Moments.of(prompt)
    contraction = moments.matrix(1.0, -step_size)
    weights: Value = step_size * moments.with_labels
    names = {"sums": moments.sums}
    for t in range(2, steps + 1):
        moved = times(contraction, weights)
        names[f"w_{t} - w_1"] = moved
        weights = moved + step_size * moments.with_labels
    answer = inner(weights, prompt.covariate)
    return Circuit(f"{steps} steps of gradient descent", prompt, answer, names)


def safe_step_size(max_examples: int, box: Box) -> float:
    """Return 1 / (K R^2), R bounding |x|: gradient descent converges on every prompt of the box.

    The largest eigenvalue of A is at most K R^2, so that no step moves away from a minimiser.
    """
    return 1.0 / (max(max_examples, 1) * box.covariate_norm**2)
