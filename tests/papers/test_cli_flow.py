"""`iclproof flow`, beside the paper's limit worked out here."""

import json

import numpy as np
import pytest

LAMBDA = np.array([[2.0, 0.5], [0.5, 1.0]])


@pytest.fixture
def matrix(tmp_path):
    def write(rows: str, name: str = "matrix.csv"):
        (tmp_path / name).write_text(rows)
        return tmp_path / name

    return write


def test_the_flow_of_a_matrix_ends_at_theorem_4(iclproof, matrix):
    file = matrix("2.0, 0.5\n0.5, 1.0\n\n")
    done = iclproof("flow", "--covariance", file, "--prompt-length", 5, "--scale", 0.2, "--json")
    assert (done.code, done.err) == (0, "")
    data = json.loads(done.out)
    gamma = (1 + 1 / 5) * LAMBDA + np.trace(LAMBDA) / 5 * np.eye(2)
    inverse = np.linalg.inv(gamma)
    size = np.linalg.norm(inverse)
    for name in ("", "_of_the_theorem"):
        assert data["u" + name] == pytest.approx(size**0.5, rel=1e-13)
        np.testing.assert_allclose(data["U" + name], inverse / size**0.5, rtol=1e-12)
    least = (np.trace(LAMBDA) - np.trace(LAMBDA @ LAMBDA @ inverse)) / 2
    assert data["minimal_loss"] == pytest.approx(least, rel=1e-12)
    assert data["converged"] is True
    assert data["relative_distance_to_the_theorem"] < 1e-12
    assert data["covariance"] == LAMBDA.tolist()
    assert np.linalg.norm(np.array(data["theta"]) @ np.transpose(data["theta"])) == pytest.approx(1)
    trajectory = data["trajectory"]
    assert trajectory["u"][0] == 0.2
    assert trajectory["u"][-1] == pytest.approx(data["u"], rel=1e-12)
    assert trajectory["U"][-1] == data["U"]
    assert np.all(np.diff(trajectory["excess_loss"]) <= 0)
    assert data["loss_at_start"] == pytest.approx(least + trajectory["excess_loss"][0], rel=1e-12)


def test_eigenvalues_are_a_diagonal_matrix(iclproof, matrix):
    file = matrix("1,0\n0,3\n")
    by_file = iclproof("flow", "--covariance", file, "--prompt-length", 4, "--json")
    by_list = iclproof("flow", "--eigenvalues", "1,3", "--prompt-length", 4, "--json")
    assert by_file == by_list
    table = iclproof("flow", "--eigenvalues", "1,3", "--prompt-length", 4).out
    assert f"{json.loads(by_list.out)['exact_rate']:.6g}" in table


def test_tasks_and_noise(iclproof, matrix):
    tasks = matrix("1,0\n0,0\n", "tasks.csv")
    options = ("--eigenvalues", "1,3", "--prompt-length", 4, "--task-covariance", tasks)
    done = iclproof("flow", *options, "--noise-std", 0.5, "--json")
    # Only the first task direction is ever asked for: A = 1 / (1 + 1/N + c/N), c = 1 + s^2.
    expected = 1 / (1 + 1 / 4 + 1.25 / 4)
    data = json.loads(done.out)
    product = data["u"] * np.array(data["U"])
    assert set(data["bounds"]) == {"ours"}
    np.testing.assert_allclose(product, [[expected, 0], [0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,2\n2,1\n", "positive definite"),
        ("1,2\n3\n", "line 2 has 1 numbers"),
        ("1,2\n", "expected a square matrix"),
        ("1,x\n0,1\n", "could not convert string to float: 'x'; expected rows"),
        ("", "holds an array of shape (0,)"),
        ("1,0.5\n0.1,1\n", "not symmetric"),
    ],
)
def test_bad_matrices_are_one_line(iclproof, matrix, rows, message):
    done = iclproof("flow", "--covariance", matrix(rows), "--prompt-length", 5)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give Lambda once"),
        (("--eigenvalues", "1,2", "--covariance", "x.csv"), "give Lambda once"),
        (("--eigenvalues", "1,b"), "expected numbers with commas"),
        (("--eigenvalues", "1,-2"), "positive definite"),
        (("--eigenvalues", "1,2", "--scale", "0"), "scale (sigma) is 0.0"),
        (("--eigenvalues", "1,2", "--scale", "1e160"), "beyond float64"),
        (("--eigenvalues", "1,2", "--scale", "1e-200"), "squares underflow"),
        (("--eigenvalues", "1e160,2e160"), "give the covariates in other units"),
        (("--covariance", "missing.csv"), "missing.csv: No such file"),
    ],
)
def test_bad_calls_are_one_line(iclproof, options, message):
    done = iclproof("flow", "--prompt-length", 5, *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_theorem_is_reached_from_every_scale(iclproof, scale):
    done = iclproof(
        "flow", "--eigenvalues", "1,2,5", "--prompt-length", 20, "--scale", scale, "--json"
    )
    data = json.loads(done.out)
    assert data["relative_distance_to_the_theorem"] < 1e-13
    threshold = data["bounds"]["paper"]["scale_squared_over_threshold"]
    assert (threshold < 1) == (scale < 0.4)


def test_the_bounds_of_the_paper_stand_beside_ours(iclproof):
    done = iclproof("flow", "--eigenvalues", "1,2,5", "--prompt-length", 20, "--scale", 3)
    assert done.code == 0
    rows = [line for line in done.out.splitlines() if "PL inequality" in line]
    assert "paper" in rows[0]
    assert "none at this scale" in rows[0]
    assert "ours" in rows[1]
    assert "none" not in rows[1]
