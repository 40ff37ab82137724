"""Names of what stands in the stream: every value that a trace names is that value."""

import numpy as np
import pytest
from jaxtyping import Float

from constructions.box import Box
from constructions.circuit import Circuit, Prompt
from constructions.library.posterior_mean_transformer import (
    NumLayers,
    PosteriorMeanTransformer,
    compile_posterior_mean,
)
from constructions.passes.fold_linear import fold_linear
from constructions.passes.unroll import unroll
from constructions.values import previous, softmax, total
from theory import PromptBatch, RegressionMixture

Array = Float[np.ndarray, "..."]
K = 3


def built(
    d: int, m: int, layers: NumLayers, prior: bool
) -> tuple[PosteriorMeanTransformer, PromptBatch]:
    rng = np.random.default_rng([d, m])
    mixture = RegressionMixture.random(m, d, 0.7, rng)
    if prior:
        weights = np.arange(1.0, m + 1)
        mixture = RegressionMixture(mixture.components, 0.7, weights / weights.sum())
    return compile_posterior_mean(mixture, K, layers=layers), mixture.sample_prompts(3, K, rng)


def expected(model: PosteriorMeanTransformer, prompts: PromptBatch, name: str) -> Array:
    """What a name means, (batch, dim, q), from the prompts alone; 0 where it is not defined."""
    W, sigma = model.mixture.components, model.mixture.noise_std
    batch, q = prompts.batch_size, 2 * K + 1
    xs, ys = prompts.xs, prompts.ys
    base, _, number = name.partition("_")
    if number:  # what is fetched from example i stands in the later columns of covariates
        i = int(number)
        held = {
            "x": xs[:, i - 1],
            "W x": xs[:, i - 1] @ W.T,
            "y": ys[:, i - 1 : i],
            "map of y": -ys[:, i - 1 : i],  # one component reads the label with a minus
        }[base]
        result = np.zeros((batch, held.shape[1], q))
        result[:, :, 2 * i :: 2] = held[:, :, None]
        return result
    images = xs @ W.T
    residuals = images[:, :K] - ys[:, :, None]
    scores = -np.cumsum(residuals**2, axis=1) / (2 * sigma**2)
    scores = np.concatenate([np.zeros((batch, 1, len(W))), scores], axis=1)
    powers = model.mixture.weights * np.exp(scores - scores.max(axis=2, keepdims=True))
    posterior = powers / powers.sum(axis=2, keepdims=True)
    values, first = {
        "x": (xs, 0),
        "y": (ys[:, :, None], 1),
        "x at labels": (xs[:, :K], 1),
        "W x at labels": (images[:, :K], 1),
        "squared r at labels": (residuals**2, 1),
        "s": (scores, 0),
        "p": (posterior, 0),
        "W' p": (posterior @ W, 0),
        "f": ((posterior * images).sum(axis=2, keepdims=True), 0),
    }[name]
    result = np.zeros((batch, values.shape[2], q))
    result[:, :, first::2] = values.transpose(0, 2, 1)
    return result


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize(("d", "m"), [(3, 3), (2, 5), (5, 2), (1, 1)])
def test_every_named_value_of_a_trace_is_that_value(
    d: int, m: int, layers: NumLayers, prior: bool
) -> None:
    model, prompts = built(d, m, layers, prior)
    last = model.trace(prompts)[-1]
    for name, value in last.values.items():
        wanted = expected(model, prompts, name)
        np.testing.assert_allclose(
            value, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max(), err_msg=name
        )


def test_three_layers_show_the_lines_of_the_program_in_turn() -> None:
    model, prompts = built(3, 3, 3, prior=True)
    added = [list(state.values) for state in model.trace(prompts)]
    assert added[0] == ["x", "y"]
    assert added[1] == [*added[0], "W x at labels", "squared r at labels"]
    assert added[2] == [*added[1], "s"]
    assert added[3] == [*added[2], "W' p", "f"]


@pytest.mark.parametrize(
    ("d", "m", "fetched"),
    [
        (2, 5, ["x_1", "y_1", "x_2", "y_2", "x_3", "y_3"]),
        (5, 2, ["W x_1", "y_1", "W x_2", "y_2", "W x_3", "y_3"]),
    ],
)
def test_two_layers_name_the_examples_that_they_fetch(d: int, m: int, fetched: list[str]) -> None:
    model, prompts = built(d, m, 2, prior=False)
    assert list(model.trace(prompts)[1].values) == ["x", "y", *fetched, "s"]


def test_row_labels_are_the_same_names() -> None:
    model, _ = built(5, 2, 3, prior=False)
    labels = [row.label for row in model.stream.rows]
    assert labels[:5] == ["token"] * 5
    assert labels[5:12] == [
        *["W x at labels | p"] * 2,
        *["squared r at labels"] * 2,
        *["s"] * 2,
        "f",
    ]


def circuit(**names: float) -> Circuit:
    """Two scalar residuals a x - y, squared, summed and mixed; names for some maps of x."""
    prompt = Prompt(1, K, Box.entrywise(1, 2.0, 3.0))
    carried = previous(prompt.covariate)
    slopes = np.array([[2.0], [3.0]])
    residual = slopes @ carried - np.ones((2, 1)) @ prompt.label
    scores = -0.25 * total(residual * residual)
    output = np.array([[2.0, 3.0]]) @ softmax(scores)
    told = {name: (factor * slopes) @ carried for name, factor in names.items()}
    return Circuit("example", prompt, output, {"residual": residual, "scores": scores, **told})


def names_after(folded: Circuit) -> dict[str, str]:
    return {name: type(value).__name__ for name, value in folded.names.items()}


def test_a_name_stays_with_the_value_that_folding_makes_and_with_no_other() -> None:
    # The matrix has moved into `Previous`, and -1/4 into `Sum`: both are what their names say.
    assert names_after(fold_linear(circuit(image=1.0))) == {
        "residual": "Affine",
        "scores": "Sum",
        "image": "Previous",
    }
    # Twice the image is nowhere in the folded circuit.
    twice = names_after(fold_linear(circuit(image=2.0, copy=0.5)))
    assert set(twice) == {"residual", "scores"}


def test_a_wire_that_no_name_equals_is_told_by_its_source() -> None:
    prompt = Prompt(1, K, Box.entrywise(1, 2.0, 3.0))
    carried = previous(prompt.covariate)
    shifted = 3.0 * carried - prompt.label
    output = total(shifted * shifted)
    folded = fold_linear(Circuit("example", prompt, output, {"carried": carried}))
    assert names_after(folded) == {"map of carried": "Previous"}


def test_unrolled_values_are_numbered_by_example() -> None:
    names = fold_linear(unroll(circuit())).names
    assert {"x_1", "y_1", "residual_1", "x_3", "y_3", "residual_3"} <= set(names)
    assert "x_4" not in names


def test_names_change_no_weight() -> None:
    plain, named = (fold_linear(circuit(**told)) for told in ({}, {"image": 1.0}))
    kinds = [[type(value).__name__ for value in c.values()] for c in (plain, named)]
    assert kinds[0] == kinds[1]
