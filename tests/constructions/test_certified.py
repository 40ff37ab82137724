"""Certificates of f*_pi: the stated sizes, tolerances, prompts at hand, and the box."""

import json

import numpy as np
import pytest
import torch

from constructions import Box, compile_posterior_mean
from constructions.certificate.bounds import Bound, CertificateError
from constructions.library.certified import ROOM, certificate_document, certify_prompts
from theory import PromptBatch, RegressionMixture


def mixture(dim: int, components: int, noise_std: float = 1.0) -> RegressionMixture:
    return RegressionMixture.random(components, dim, noise_std, np.random.default_rng(0))


def kept(prompts: PromptBatch, box: Box) -> PromptBatch:
    outside = {i for i, _ in box.problems(prompts)}
    inside = [i for i in range(len(prompts)) if i not in outside]
    return PromptBatch(prompts.xs[inside], prompts.ys[inside])


@pytest.mark.slow
def test_the_stated_size() -> None:
    """D = m = 20, K = 60, sigma = 1, |x_il| <= 5, |y| <= 30."""
    model = compile_posterior_mean(mixture(20, 20), 60, Box.entrywise(20, 5.0, 30.0))
    certificate = model.certificate()
    assert certificate.box.value <= 1e-5
    assert certificate.explained.value <= 2e-8
    prompts = kept(model.mixture.sample_prompts(20, 60, np.random.default_rng(1)), model.box)
    assert certify_prompts(model, prompts).max() <= 4e-9


def test_the_stated_tolerance_at_the_stated_size() -> None:
    """The same box, to 1e-9 for explained prompts; ten times the plain network's neurons."""
    box = Box.entrywise(20, 5.0, 30.0)
    model = compile_posterior_mean(mixture(20, 20), 60, box, tolerance=1e-9)
    certificate = model.certificate()
    assert certificate.explained.value <= 9.1e-10
    assert certificate.box.value <= 1.3e-6
    assert certificate_document(model)["bounds"]["explained"] <= 1e-9
    assert model.layers[0].weights().inward.shape[0] <= 4500
    prompts = kept(model.mixture.sample_prompts(20, 60, np.random.default_rng(1)), model.box)
    bounds = certify_prompts(model, prompts)
    errors = np.abs(model.predict(prompts) - model.mixture.posterior_mean(prompts))
    assert (errors <= bounds).all()
    assert bounds.max() <= certificate.explained.value


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8, 1e-9])
def test_a_tolerance_is_met_and_certified(tolerance: float) -> None:
    box = Box.entrywise(5, 4.0, 15.0)
    model = compile_posterior_mean(mixture(5, 5), 20, box, tolerance=tolerance)
    certificate = model.certificate()
    assert certificate.explained.value <= tolerance
    prompts = kept(model.mixture.sample_prompts(200, 20, np.random.default_rng(1)), box)
    answers = model.answer(prompts)
    errors = np.abs(answers.values - model.mixture.posterior_mean(prompts))
    assert (errors <= answers.error_bounds).all()
    assert answers.error_bounds.max() <= certificate.box.value
    assert answers.inside_box.all()


def test_smaller_tolerances_take_wider_networks() -> None:
    box = Box.entrywise(5, 4.0, 15.0)
    widths = [
        compile_posterior_mean(mixture(5, 5), 20, box, tolerance=tolerance)
        .layers[0]
        .inward.shape[0]
        for tolerance in (1e-4, 1e-8, 1e-9)
    ]
    assert widths == sorted(set(widths))


@pytest.mark.parametrize("layers", [2, 3])
def test_an_unreachable_tolerance_says_what_to_relax(layers: int) -> None:
    with pytest.raises(CertificateError, match=r"come from: [a-z ]+; try a larger tolerance"):
        compile_posterior_mean(
            mixture(2, 2), 4, Box.entrywise(2, 4.0, 15.0), layers=layers, tolerance=1e-14
        )
    with pytest.raises(CertificateError, match="try float64"):
        compile_posterior_mean(
            mixture(2, 2),
            4,
            Box.entrywise(2, 4.0, 15.0),
            torch.float32,
            layers=layers,
            tolerance=1e-8,
        )


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_tolerances_that_make_no_sense(tolerance: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        compile_posterior_mean(mixture(2, 2), 4, tolerance=tolerance)


def test_prompts_outside_the_box_are_answered_only_when_asked() -> None:
    model = compile_posterior_mean(mixture(3, 4), 5, Box.entrywise(3, 3.0, 10.0))
    prompts = model.mixture.sample_prompts(4, 5, np.random.default_rng(0))
    xs = np.clip(prompts.xs, -2.9, 2.9)
    xs[2, 1, 0] = 3.5
    mixed = PromptBatch(xs, np.clip(prompts.ys, -9, 9))
    with pytest.raises(ValueError, match=r"prompt 3: largest entry of x_2"):
        model.answer(mixed)
    answers = model.answer(mixed, allow_outside_box=True)
    assert answers.inside_box.tolist() == [True, True, False, True]
    assert np.isinf(answers.error_bounds).tolist() == [False, False, True, False]
    np.testing.assert_allclose(answers.values, model.mixture.posterior_mean(mixed), atol=1e-9)


def test_the_document_is_json_and_sums_up() -> None:
    model = compile_posterior_mean(mixture(3, 4), 5)
    document = json.loads(json.dumps(certificate_document(model)))
    assert document["bounds"]["box"] == ROOM * model.certificate().box.value
    rows = [
        row for name in ("image", "square", "score", "answer") for row in document["layout"][name]
    ]
    assert len(rows) == 3 * 4 + 1 == len(set(rows))

    def check(tree: dict[str, object]) -> None:
        parts = tree["parts"]
        assert isinstance(parts, list)
        if tree["rule"] == "sum":
            assert tree["value"] >= sum(part["value"] for part in parts)
        for part in parts:
            check(part)

    check(document["tree"]["box"])


def test_bounds_print_as_trees() -> None:
    tree = Bound.sum("answer", Bound("small", 1.0), Bound("large", 2.0))
    assert tree.lines() == ["3.00e+00  answer", "  2.00e+00  large", "  1.00e+00  small"]


def test_weights_of_the_prior_count() -> None:
    """A component of small weight explains a prompt at the price of ln 1/pi."""
    base = mixture(3, 2)
    box = Box.entrywise(3, 3.0, 10.0)
    rare = RegressionMixture(base.components, 1.0, [1e-6, 1 - 1e-6])
    bounds = [
        compile_posterior_mean(m, 10, box).certificate().explained.value for m in (base, rare)
    ]
    assert bounds[0] < bounds[1] < 3 * bounds[0]
