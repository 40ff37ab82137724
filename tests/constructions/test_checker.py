"""The checker accepts what holds: its own bounds against measured errors and other arithmetic."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from flint import arb

from constructions import Box, PosteriorMeanTransformer, compile_posterior_mean
from constructions.checker import check
from constructions.checker.layer_norm import normalise
from constructions.checker.rounding import ROUNDING, dot_error, multiply
from constructions.checker.series import truncation
from constructions.gadgets import square_gadget
from tests.constructions.stored_certificates import (
    arrays_of,
    change_arrays,
    change_certificate,
    claim,
    write,
)
from theory import PromptBatch, RegressionMixture

CHECKER = Path(__file__).parents[2] / "constructions" / "checker"
ALLOWED = {"flint", "jaxtyping", "numpy", "safetensors"}


def undecided(m, d, noise, seed=0):
    """Components so close together that posteriors are spread."""
    components = 1 + 0.1 * np.random.default_rng(seed).normal(size=(m, d))
    return RegressionMixture(components, noise)


def random(m, d, noise):
    return RegressionMixture.random(m, d, noise, np.random.default_rng(0))


CASES = {
    "small": (random(3, 2, 0.5), 4, None),
    "smallest": (random(1, 1, 1.0), 1, None),
    "no examples": (random(2, 3, 1.0), 0, None),
    "fewer components than entries": (random(2, 5, 0.3), 6, None),
    "many components": (random(40, 3, 1.0), 5, None),
    "a prior": (RegressionMixture(random(3, 4, 0.7).components, 0.7, [0.6, 0.0, 0.4]), 6, None),
    "a prior of nearly one": (
        RegressionMixture(random(2, 2, 1.0).components, 1.0, [1 - 1e-12, 1e-12]),
        5,
        None,
    ),
    "undecided": (undecided(5, 3, 1.0), 10, None),
    "d = m = 20": (random(20, 20, 1.0), 60, Box.entrywise(20, 5.0, 30.0)),
}


def box_corners(mixture, box, k, rng, count=200):
    """Prompts at the edge of the box, with labels that no component explains."""
    xs = np.sign(rng.normal(size=(count, k + 1, mixture.dim)))
    xs *= min(box.covariate, box.covariate_norm / mixture.dim**0.5)
    return PromptBatch(xs, box.label * np.sign(rng.normal(size=(count, k))))


def measured(network, mixture, k):
    """The largest errors: at corners of the box, and on prompts of the mixture within it."""
    rng = np.random.default_rng(2)
    prompts = mixture.sample_prompts(400, k, rng)
    outside = {i for i, _ in network.box.problems(prompts)}
    kept = [i for i in range(400) if i not in outside]
    inside = PromptBatch(prompts.xs[kept], prompts.ys[kept])
    corners = box_corners(mixture, network.box, k, rng)
    return [
        float(abs(network.predict(p) - mixture.posterior_mean(p)).max()) for p in (corners, inside)
    ]


@pytest.mark.parametrize("name", CASES)
def test_an_honest_certificate_is_accepted_and_holds(tmp_path, name):
    mixture, k, box = CASES[name]
    network = compile_posterior_mean(mixture, k, box)
    folder = write(tmp_path / "m", network)
    found = check(folder)
    assert found.problems == ()
    corners, explained = measured(network, mixture, k)
    assert corners <= found.derived.box
    assert explained <= found.derived.box
    for claimed in ("box", "explained"):
        sources = found.derived.sources[claimed]
        total = sum(sources.values())
        assert total <= getattr(found.derived, claimed) <= total * (1 + 1e-8)


def test_the_bounds_at_the_size_of_the_issue(tmp_path):
    mixture, k, box = CASES["d = m = 20"]
    derived = check(write(tmp_path / "m", compile_posterior_mean(mixture, k, box))).derived
    assert derived.box <= 1e-5
    assert derived.explained <= 2e-8


@pytest.mark.slow
def test_the_bounds_at_the_size_of_the_issue_with_wings(tmp_path):
    mixture, k, box = CASES["d = m = 20"]
    network = compile_posterior_mean(mixture, k, box, tolerance=1e-9)
    found = check(write(tmp_path / "m", network, claimed=1.2e-6))
    assert found.problems == ()
    assert found.derived.explained <= 1e-9
    assert all(e <= found.derived.box for e in measured(network, mixture, k))
    ours = network.certificate()
    for name in ("box", "explained"):
        # Two derivations that share nothing: neither is far from the other.
        assert 0.7 < getattr(found.derived, name) / getattr(ours, name).value < 1.1


def test_float32_is_bounded_too(tmp_path):
    mixture = random(2, 2, 1.0)
    network = compile_posterior_mean(mixture, 4, dtype=torch.float32)
    found = check(write(tmp_path / "m", network))
    assert found.problems == ()
    corners, explained = measured(network, mixture, 4)
    assert max(corners, explained) <= found.derived.box < 1
    # A bound is worth something only if rounding could come near it.
    assert found.derived.box < 1e4 * max(corners, explained)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_bound_is_nearly_attained_where_squares_are_coarse(tmp_path, order):
    """There the error is that of the squares, and not of rounding that never adds up."""
    mixture = RegressionMixture(np.array([[1.0], [-1.0]]), 1.0)
    gadget = square_gadget(order, 1e-3)
    network = PosteriorMeanTransformer(mixture, 3, Box(3.0, 6.0), square=gadget)
    found = check(write(tmp_path / "m", network))
    assert found.problems == ()
    # sum_j x_j y_j = 0: both components are equally likely, but one has its residuals spread.
    xs = np.full((1, 4, 1), 3.0)
    ys = np.array([[6.0, -3.0, -3.0]])
    prompts = PromptBatch(xs, ys)
    error = float(abs(network.predict(prompts) - mixture.posterior_mean(prompts)).max())
    assert found.derived.box / 50 <= error <= found.derived.box


@pytest.mark.parametrize("name", ["box", "explained"])
@pytest.mark.parametrize("share", [0.5, 1 - 1e-6])
def test_a_claim_below_the_checkers_own_is_rejected(tmp_path, name, share):
    mixture, k, box = CASES["small"]
    folder = write(tmp_path / "m", compile_posterior_mean(mixture, k, box))
    own = getattr(check(folder).derived, name)

    def lower(certificate):
        certificate["bounds"][name] = share * own
        certificate["tree"][name] |= claim(share * own)["tree"][name]

    change_certificate(folder, lower)
    (problem,) = check(folder).problems
    assert problem.startswith(f"the bound {name} is claimed to be")


@pytest.mark.parametrize(("layers", "prefix"), [(2, True), (3, False)])
def test_other_networks_are_not_checked(tmp_path, layers, prefix):
    """And are not accepted either."""
    other = compile_posterior_mean(random(3, 2, 0.5), 4, layers=layers, prefix_columns=prefix)
    if layers == 3:
        found = check(write(tmp_path / "m", other))
    else:  # whatever a certificate for it would look like
        folder = write(tmp_path / "m", compile_posterior_mean(random(3, 2, 0.5), 4))
        change_arrays(folder, lambda arrays: (arrays.clear(), arrays.update(arrays_of(other))))
        found = check(folder)
    assert not found.accepted
    assert found.problems[-1].startswith("not checked:")
    assert found.derived is None
    assert json.loads(json.dumps(found.as_dict()))["derived"] is None


# The pieces, against other arithmetic


def psi(x):
    return x * mpmath.erf(x / mpmath.sqrt(2))


@pytest.mark.parametrize(
    ("scales", "factors"),
    [
        (square_gadget(2, 1e-6).scales, square_gadget(2, 1e-6).coefficients),
        (square_gadget(10, 1e-15).scales, square_gadget(10, 1e-15).coefficients),
        (np.array([0.5, 3.0, 9.0]), np.array([4.0, 0.1, -0.01])),
        (np.array([21.0]), np.array([0.04])),
    ],
)
def test_the_taylor_models_enclose_psi(scales, factors):
    """The largest difference is found, and no more than a few percent are added."""
    balls = [[arb(float(v)) for v in values] for values in (scales, factors)]
    found = truncation(*balls, arb(1), arb(1))
    with mpmath.workdps(40):
        worst = max(
            abs(sum(float(c) * psi(float(s) * r) for s, c in zip(scales, factors, strict=True))
                / r**2 - 1)
            for r in map(mpmath.mpf, np.linspace(0, 1, 801)[1:].tolist())
        )  # fmt: skip
    assert worst <= found <= 1.05 * worst


def test_sums_in_any_order_stay_within_the_bound_of_a_dot_product():
    rng, rounding = np.random.default_rng(0), ROUNDING["float32"]
    weights = rng.normal(size=40).astype(np.float32)
    x = np.where(rng.normal(size=40) > 0, 1, -1).astype(np.float32) * np.float32(0.7)
    exact = float(weights.astype(float) @ x.astype(float))
    bound = dot_error(weights.astype(float), 0.7000001, np.inf, rounding)
    worst = 0.0
    for _ in range(300):
        total = np.float32(0)
        for i in rng.permutation(40):
            total += weights[i] * x[i]
        worst = max(worst, abs(float(total) - exact))
    assert bound / 100 < worst <= bound


def test_matrix_products_are_exact_only_where_they_are():
    zeros = np.zeros((1, 2))
    rounding = ROUNDING["float64"]
    for left, right, exact in (
        ([[2.0, 0.0]], [[0.1], [5.0]], True),
        ([[0.3, 0.0]], [[0.1], [5.0]], False),
        ([[2.0, 1.0]], [[0.1], [5.0]], False),
        ([[0.0, 0.0]], [[0.1], [5.0]], True),
    ):
        found = multiply((np.array(left), zeros), (np.array(right), zeros.T), rounding)
        assert (found[1][0, 0] == 0) == exact


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layer_norm_is_the_scaling_it_is_said_to_be(dtype):
    rng = np.random.default_rng(0)
    size = 2.0**30 if dtype == np.float64 else 2.0**16
    constants = np.array([size, -size, 1.0, 1.0, -2.0, 0.25, 0.0, 0.0, 0.0, 0.0])
    computed = np.array([0.0] * 6 + [0.5, 0.125, 1e-6, 0.0])
    found = normalise(constants, computed, size, ROUNDING[np.dtype(dtype).name])
    p = len(constants)
    for _ in range(200):
        v = (constants + computed * rng.uniform(-1, 1, p)).astype(dtype)
        order = rng.permutation(p)
        mean = dtype(0)
        for i in order:
            mean += v[i]
        mean /= dtype(p)
        centred = v - mean
        squares = dtype(0)
        for i in order:
            squares += centred[i] * centred[i]
        scale = dtype(np.sqrt(dtype(p))) / np.sqrt(squares)
        assert abs(float(mean)) <= found.mean
        assert abs(float(scale) / (np.sqrt(p / 2) / size) - 1) <= found.scale_error + 4e-16


# What it shares


def test_the_checker_imports_nothing_but_arithmetic_and_files():
    for path in CHECKER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module]
            else:
                continue
            for name in names:
                top = name.split(".")[0]
                inside = name.startswith("constructions.checker.")
                assert inside or top in ALLOWED or top in sys.stdlib_module_names, (path.name, name)


def run(*arguments):
    program = Path(sys.executable).with_name("iclproof")
    return subprocess.run(
        [program, "check", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_tells_by_its_exit_code(tmp_path):
    network = compile_posterior_mean(random(3, 2, 0.5), 4)
    folder = write(tmp_path / "m", network)
    done = run(str(folder), "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["accepted"], found["problems"]) == (0, True, [])
    assert found["derived"]["box"] == check(folder).derived.box
    low = write(tmp_path / "low", network, claimed=1e-15)
    done = run(str(low))
    assert done.returncode == 1
    assert "rejected: the bound box is claimed to be 1e-15" in done.stdout
    (folder / "certificate.json").unlink()
    done = run(str(folder))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "certificate.json cannot be read" in done.stderr
