"""Wrong calls of the estimators are told what was given, what was expected and what to do.

Tests enforce the types of all signatures, and users do not: another process makes the calls.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from simulations.baselines import BatchEM, NotFittedError, SubspaceAlgorithm
from tests.simulations.baselines.wrong_calls import PROMPTS, cases
from tests.test_readme import ROOT

CASES = cases()


@pytest.fixture(scope="module")
def raised():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.simulations.baselines.wrong_calls"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_a_wrong_call(raised, name):
    error, message = raised[name]
    assert error == CASES[name].error
    for part in CASES[name].parts:
        assert part in message


def test_before_fit_the_error_is_what_scikit_learn_and_hasattr_expect():
    assert issubclass(NotFittedError, ValueError)
    assert issubclass(NotFittedError, AttributeError)
    em = SubspaceAlgorithm(2, 0.5)
    assert not any(hasattr(em, name) for name in ("components_", "weights_", "noise_std_"))


def test_all_parameters_are_told_at_once():
    with pytest.raises(ValueError, match=r"BatchEM: 4 problem\(s\)") as caught:
        BatchEM(0, -1.0, -1, tol=-1.0).fit(PROMPTS)
    for name in ("n_components", "noise_std", "random_state", "tol"):
        assert f"- {name} is " in str(caught.value)


def test_to_check_a_generator_does_not_draw_from_it():
    drawn = []

    def start(_statistics, _m, _noise_std, rng):
        drawn.append(rng.integers(2**60))
        return PLAIN

    BatchEM(2, 0.5, np.random.default_rng(3), start=start).fit(PROMPTS)
    assert drawn == [np.random.default_rng(3).integers(2**60)]


PLAIN = BatchEM(2, 0.5).fit(PROMPTS).mixture_
