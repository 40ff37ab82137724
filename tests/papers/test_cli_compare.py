"""`iclproof compare`: every kind of model; tables, JSON and figures; one error for a bad call."""

import json

import numpy as np
import pytest

from simulations.prompt_files import write_prompts
from simulations.transformers.folder import train_in_folder
from tests.simulations.transformers.cases import RUNS
from theory import LeastSquares, PosteriorMean, RegressionMixture

LAW = ("--num-components", 3, "--dim", 3, "--noise-std", 0.5, "--max-examples", 4)
FEW = ("--num-prompts", 40)
RIDGE = """
import numpy as np

def ridge(xs, ys):
    A = np.einsum("bkd,bke->bde", xs[:, :-1], xs[:, :-1]) + 0.25 * np.eye(xs.shape[2])
    b = np.einsum("bkd,bk->bd", xs[:, :-1], ys)
    return np.einsum("bd,bd->b", np.linalg.solve(A, b[..., None])[..., 0], xs[:, -1])

def nothing(xs, ys):
    return None
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of trainings by the names of their runs."""
    root = tmp_path_factory.mktemp("trained")
    for name in ("plain", "gaussian"):
        train_in_folder(root / name, RUNS[name])
    return root


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    (tmp_path / "my_ridge.py").write_text(RIDGE)
    yield tmp_path
    import sys

    sys.modules.pop("my_ridge", None)


def data_of(done):
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def test_a_trained_model_is_compared_on_its_own_law(iclproof, trained, tmp_path):
    seed = trained / "plain" / "seed-0"
    figure = tmp_path / "figure.svg"
    data = data_of(iclproof("compare", seed, *FEW, "--figure", figure, "--json"))
    law = RUNS["plain"].prompts
    assert np.array_equal(data["components"], law.mixture.components)
    assert (data["noise_std"], data["dim"], data["num_prompts"]) == (0.5, 3, 40)
    assert data["candidates"] == [
        "posterior mean", "argmin", "prior mean", "ridge", "least squares", "zero",
    ]  # fmt: skip
    assert [row["num_examples"] for row in data["prefixes"]] == [0, 1, 2, 3, 4]
    curves = data["curves"]
    for n, row in enumerate(data["prefixes"]):
        excess = row["error"] - row["error_of_reference"]
        assert abs(excess - row["excess"]) < 1e-12
        assert row["error"] == curves["error/model/mean"][n]
        nearest = min(curves[f"distance/{name}/mean"][n] for name in data["candidates"])
        assert abs(row["distance"] - nearest) <= 1e-12
    # The zero predictor errs by |w|^2 = d on average.
    assert 0.7 < np.mean(curves["error/zero/mean"]) < 1.4
    assert figure.read_bytes().startswith(b"<?xml")
    assert (
        iclproof("compare", seed, *FEW, "--json").out
        == iclproof("compare", seed, *FEW, "--json").out
    )
    table = iclproof("compare", seed, *FEW).out
    for word in ("error of posterior mean", "excess", "closest", "margin / s.e.", "40 prompts"):
        assert word in table


def test_options_change_the_law(iclproof, trained):
    seed = trained / "plain" / "seed-0"
    data = data_of(iclproof("compare", seed, *FEW, "--noise-std", 0, "--max-examples", 2, "--json"))
    assert data["candidates"] == ["posterior mean", "prior mean", "least squares", "zero"]
    assert len(data["prefixes"]) == 3
    more = data_of(iclproof("compare", seed, *FEW, "--estimated-from", 50, "--json"))
    assert more["candidates"][-4:] == [
        "posterior mean, EM", "argmin, EM", "posterior mean, SA", "argmin, SA",
    ]  # fmt: skip
    gaussian = data_of(iclproof("compare", trained / "gaussian" / "seed-0", *FEW, "--json"))
    assert (gaussian["components"], gaussian["reference"]) == (None, "ridge")


@pytest.mark.parametrize("kind", ["built", "exported"])
def test_hand_built_models_are_the_posterior_mean(iclproof, tmp_path, kind):
    built = tmp_path / "built"
    own = ("--num-components", 3, "--dim", 3, "--noise-std", 0.5)
    assert iclproof("build", "posterior-mean", *own, "--max-examples", 4, "--out", built).code == 0
    model, law = built, ()
    if kind == "exported":
        model, law = tmp_path / "gpt2", LAW
        assert iclproof("export", built, "--to", "gpt2", "--out", model).code == 0
    data = data_of(iclproof("compare", model, *law, *FEW, "--json"))
    mixture = RegressionMixture.random(3, 3, 0.5, np.random.default_rng(0))
    assert np.array_equal(data["components"], mixture.components)
    assert all(row["closest"][0] == "posterior mean" for row in data["prefixes"])
    assert max(data["curves"]["distance/posterior mean/mean"]) ** 0.5 < 1e-11
    assert min(data["curves"]["distance/ridge/mean"][1:]) > 1e-3


def test_a_callable_of_the_current_directory(iclproof, mine):
    data = data_of(iclproof("compare", "my_ridge:ridge", *LAW, *FEW, "--json"))
    assert [row["closest"] for row in data["prefixes"][1:]] == [["ridge"]] * 4
    assert data["prefixes"][0]["closest"] == ["ridge", "least squares", "zero"]


@pytest.mark.parametrize("name", ["w.csv", "w.txt", "w.npy"])
def test_components_from_files(iclproof, mine, name):
    components = np.array([[2.0, 0.5], [-1.0, 1.5]])
    if name == "w.npy":
        np.save(name, components)
    else:
        header = "w1,w2\n" if name == "w.csv" else ""
        (mine / name).write_text(header + "2.0,0.5\n-1.0,1.5\n")
    law = ("--components", name, "--noise-std", 1, "--max-examples", 3)
    data = data_of(iclproof("compare", "my_ridge:ridge", *law, *FEW, "--json"))
    assert np.array_equal(data["components"], components)


def test_prompts_of_ones_own_have_distances_only(iclproof, trained, mine):
    law = RUNS["plain"].prompts
    prompts = law.mixture.sample_prompts(30, 3, np.random.default_rng(5))
    write_prompts(mine / "p.npz", prompts)
    seed = trained / "plain" / "seed-0"
    data = data_of(iclproof("compare", seed, "--prompts", "p.npz", "--json"))
    assert (data["num_prompts"], len(data["prefixes"])) == (30, 4)
    assert "error" not in data["prefixes"][0]
    assert not [name for name in data["curves"] if name.startswith(("error", "excess"))]
    apart = (
        PosteriorMean(law.mixture).predict_all_prefixes(prompts)
        - LeastSquares().predict_all_prefixes(prompts)
    ) ** 2
    found = data["curves"]["apart/least squares/mean"]
    np.testing.assert_allclose(found, apart.mean(axis=0) / 3, rtol=1e-12)
    # A callable of which nothing is known; with the noise there is ridge, too.
    data = data_of(
        iclproof("compare", "my_ridge:ridge", "--prompts", "p.npz", "--noise-std", 0.5, "--json")
    )
    assert data["candidates"] == ["ridge", "least squares", "zero"]
    assert data["prefixes"][2]["closest"] == ["ridge"]


BAD = [
    (
        ["{seed}", "--max-examples", "5"],
        "have 5 examples, and the model has positions for 4",
    ),
    (["{seed}", "--prompts", "two.csv"], "prompts have 1, 2 examples; expected one length"),
    (["{seed}", "--prompts", "one.csv"], "holds one prompt; expected at least 2"),
    (["{seed}", "--prompts", "flat.csv"], "prompts have dimension 1, and the model 3"),
    (["{seed}", "--prompts", "flat.csv"], "prompts have dimension 1, and components 3"),
    (["{seed}", "--num-components", "3", "--dim", "2"], "dimension 2, and the model 3"),
    (["{seed}", "--num-components", "3"], "--num-components and --dim go together"),
    (["{seed}", "--components", "w.csv", "--num-components", "1", "--dim", "2"], "not both"),
    (["{seed}", "--figure", "a.pdf"], "suffix '.pdf'; expected .svg or .png"),
    (["{seed}", "--estimated-from", "2"], "expected at least 3 prompts"),
    (["{gaussian}", "--estimated-from", "9"], "prompts of a mixture, and none is known"),
    (["{out}"], "holds a training of several models, seed-0"),
    (["my_ridge:ridge"], "which prompts to compare on is not known"),
    (["my_ridge:ridge", "--num-components", "2", "--dim", "2"], "give --noise-std"),
    (
        ["my_ridge:ridge", "--num-components", "2", "--dim", "2", "--noise-std", "1"],
        "give --max-examples",
    ),
    (["my_ridge:nothing", "--prompts", "flat.csv"], "my_ridge:nothing"),
    (["my_ridge:rigde", "--prompts", "flat.csv"], "did you mean 'ridge'?"),
    (["nowhere"], "there is no model nowhere"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_bad_calls_are_one_line(iclproof, trained, mine, options, words):
    (mine / "flat.csv").write_text("prompt,x1,y\na,1,\nb,2,\n")
    (mine / "one.csv").write_text("prompt,x1,x2,x3,y\na,1,2,3,\n")
    (mine / "two.csv").write_text(
        "prompt,x1,x2,x3,y\na,1,2,3,1\na,1,2,3,\nb,1,2,3,1\nb,1,2,3,1\nb,1,2,3,\n"
    )
    places = {
        "seed": trained / "plain" / "seed-0",
        "gaussian": trained / "gaussian" / "seed-0",
        "out": trained / "plain",
    }
    done = iclproof("compare", *(option.format(**places) for option in options))
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert words in done.err
