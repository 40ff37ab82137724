"""What compiled circuits refuse, and what bounds hold for circuits other than f*_pi."""

import numpy as np
import pytest

from constructions import (
    Box,
    Circuit,
    CompiledCircuit,
    Prompt,
    certify_circuit,
    compile_posterior_mean,
    previous,
    softmax,
    total,
)
from constructions.evaluate import evaluate
from constructions.gadgets import SquareGadget, square_gadget
from constructions.values import Fetch, Value
from theory import RegressionMixture

PROMPT = Prompt(2, 5, Box.entrywise(2, 1.0, 1.0))
W = np.array([[1.0, -1.0], [0.5, 2.0], [-1.0, 0.3]])


def tokens(count: int, rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    found = np.zeros((count, 2, 11))
    found[:, :, 0::2] = rng.uniform(-scale, scale, (count, 2, 6))
    found[:, 0, 1::2] = rng.uniform(-scale, scale, (count, 5))
    return found


def mixed(sign: float, rate: float) -> Value:
    """W' softmax(sign * rate * sum of squared residuals)."""
    residual = W @ previous(PROMPT.covariate) - np.ones((3, 1)) @ PROMPT.label
    return W.T @ softmax(sign * rate * total(residual * residual))


OUTPUTS = {
    "mean * x, a vector": lambda mean: mean * PROMPT.covariate,
    "mean squared": lambda mean: np.ones((1, 2)) @ (mean * mean),
    "two terms": lambda mean: (
        np.ones((1, 2)) @ (mean * PROMPT.covariate) + np.ones((1, 2)) @ (mean * mean)
    ),
    "<mean, x>": lambda mean: np.ones((1, 2)) @ (mean * PROMPT.covariate),
}


@pytest.mark.parametrize("square", [square_gadget(3, 1e-5), square_gadget(10, 1e-15)])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", OUTPUTS)
def test_errors_of_a_mixture_count_wherever_it_is_used(
    name: str, sign: float, square: SquareGadget
) -> None:
    """Coarse gadgets make the scores' errors large: forgotten ones would show."""
    model = CompiledCircuit(Circuit(name, PROMPT, OUTPUTS[name](mixed(sign, 2.0))), square=square)
    bound = certify_circuit(model).value
    prompts = tokens(300, np.random.default_rng(0))
    errors = np.abs(model.run_tokens(prompts) - evaluate(model.circuit, prompts))[:, :, ::2]
    assert 1e-5 * bound < errors.max() <= bound


def test_prompts_outside_the_box_are_refused() -> None:
    model = CompiledCircuit(
        Circuit("sum", PROMPT, total(previous(PROMPT.covariate)[0:1] * PROMPT.label))
    )
    far = tokens(3, np.random.default_rng(0), scale=2.0)
    with pytest.raises(ValueError, match=r"outside the box of circuit 'sum'.*allow_outside_box"):
        model.run_tokens(far)
    assert model.run_tokens(far, allow_outside_box=True).shape == (3, 1, 11)
    odd = tokens(1, np.random.default_rng(0))
    odd[0, 1, 1] = 0.5
    with pytest.raises(ValueError, match=r"expected \(y, 0, ..., 0\)"):
        model.run_tokens(odd)


WITHOUT_A_SINK = {
    "a sum over covariates": total(PROMPT.covariate * PROMPT.covariate),
    "a sum of tokens": total(PROMPT.label) * PROMPT.covariate[0:1],
    "a fetch that is shifted": (Fetch(PROMPT.covariate, 3) + 1.0) * PROMPT.covariate,
    "fetches that come one after the other": (
        (Fetch(PROMPT.covariate, 3) + Fetch(PROMPT.covariate, 7)) * PROMPT.covariate
    ),
}


@pytest.mark.parametrize("name", WITHOUT_A_SINK)
def test_what_needs_a_sink_that_holds_nothing_needs_prefix_columns(name: str) -> None:
    circuit = Circuit(name, PROMPT, WITHOUT_A_SINK[name])
    with pytest.raises(ValueError, match="compile with prefix_columns=True"):
        CompiledCircuit(circuit, prefix_columns=False)
    prompts = tokens(20, np.random.default_rng(0))
    errors = np.abs(CompiledCircuit(circuit).run_tokens(prompts) - evaluate(circuit, prompts))
    assert errors[:, :, ::2].max() < 1e-12


@pytest.mark.parametrize("max_examples", [0, 3])
@pytest.mark.parametrize("layers", [2, 3])
def test_prompts_without_examples_have_a_bound(layers: int, max_examples: int) -> None:
    mixture = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
    model = compile_posterior_mean(mixture, max_examples, layers=layers)
    prompts = mixture.sample_prompts(20, 0, np.random.default_rng(1))
    answers = model.answer(prompts)
    errors = np.abs(answers.values - mixture.posterior_mean(prompts))
    assert (errors <= answers.error_bounds).all()
    assert answers.error_bounds.max() < 1e-9
