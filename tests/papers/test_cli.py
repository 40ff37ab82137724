import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from papers import cli, pathak2023
from papers.runner import select
from theory import PromptBatch, RegressionMixture

PROMPTS = (
    "prompt,x1,x2,y\na,1.0,0.5,2.1\na,-0.3,0.8,0.4\na,0.2,0.1,\nb,0.7,-1.2,\nc,1,1,0\nc,0,2,\n"
)
COMPONENTS = "w1,w2,weight\n1.0,0.5,0.5\n-1.0,2.0,0.25\n0.0,1.0,0.25\n"
MIXTURE = RegressionMixture([[1.0, 0.5], [-1.0, 2.0], [0.0, 1.0]], 0.5, [0.5, 0.25, 0.25])

#: f*_pi of the three prompts of PROMPTS, by the mixture itself.
ANSWERS = [
    MIXTURE.posterior_mean(PromptBatch([xs], [ys])).item()
    for xs, ys in (
        ([[1.0, 0.5], [-0.3, 0.8], [0.2, 0.1]], [2.1, 0.4]),
        ([[0.7, -1.2]], []),
        ([[1.0, 1.0], [0.0, 2.0]], [0.0]),
    )
]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "components.csv").write_text(COMPONENTS)
    (tmp_path / "prompts.csv").write_text(PROMPTS)
    return tmp_path


def build(iclproof, folder: Path, *options: object):
    return iclproof(
        *("build", "posterior-mean", "--components", folder / "components.csv"),
        *("--noise-std", 0.5, "--max-examples", 4, "--out", folder / "model", *options),
    )


# verify


def test_verify_json_says_everything_about_a_statement(iclproof):
    done = iclproof("verify", "pathak2023/program-line-3", "pathak2023/program-line-1", "--json")
    assert (done.code, done.err) == (0, "")
    data = json.loads(done.out)
    assert (data["seed"], data["passes"]) == (0, True)
    third, first = data["statements"]
    assert third["id"] == "pathak2023/program-line-3"
    assert third["verdict"] == "refuted as printed, holds as corrected"
    assert (third["reading"], first["reading"]) == ("as corrected", "as printed")
    assert (third["grade"], third["passes"], third["error"]) == ("proved", True, "")
    assert third["correction"]["fault"] == "typing slip"
    assert data["tier"] == "quick"
    assert first["correction"] is None
    assert first["evidence"]["as corrected"] is None
    printed, corrected = (third["evidence"][f"as {which}"] for which in ("printed", "corrected"))
    assert (printed["holds"], corrected["holds"]) == (False, True)
    assert "entry" in printed["counterexample"]
    assert {"comparison", "scope", "measured", "tolerance", "grade"} <= set(printed)
    for statement in (first, third):
        assert statement["title"]
        assert statement["source"]
        assert statement["seconds"] >= 0
        assert statement["mutants"]
        assert all(m["killed"] and m["name"] and m["reason"] for m in statement["mutants"])


def test_the_seed_is_used(iclproof):
    call = ("verify", "pathak2023/proposition-1-aff", "--json", "--seed")
    runs = [json.loads(iclproof(*call, seed).out) for seed in (1, 1, 6)]
    measured = [run["statements"][0]["evidence"]["as corrected"]["measured"] for run in runs]
    assert [run["seed"] for run in runs] == [1, 1, 6]
    assert measured[0] == measured[1] != measured[2]


def test_tables_are_not_cut_in_a_pipe(iclproof):
    done = iclproof("verify", "pathak2023/program-line-3")
    assert (done.code, done.err) == (0, "")
    assert "refuted as printed, holds as corrected" in done.out
    assert "3/3" in done.out
    assert "\x1b" not in done.out


# build and predict


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_built_model_answers_prompts_of_several_lengths(iclproof, files, dtype):
    built = build(iclproof, files, "--dtype", dtype, "--json")
    assert (built.code, built.err) == (0, "")
    data = json.loads(built.out)
    assert (data["report"]["dtype"], data["out"]) == (dtype, str(files / "model"))
    assert data["report"]["layers"] == 3
    assert data["report"]["budget"]["operators"] == 10  # nine lines, and one for the prior
    assert data["box"]["covariate_norm"] == pytest.approx(2**0.5 + 8)
    done = iclproof("predict", files / "model", files / "prompts.csv", "--json")
    assert (done.code, done.err) == (0, "")
    rows = json.loads(done.out)["answers"]
    assert [row["prompt"] for row in rows] == ["a", "b", "c"]
    assert [row["posterior_mean"] for row in rows] == pytest.approx(ANSWERS, abs=1e-14)
    limit = 1e-12 if dtype == "float64" else 1e-4
    assert [row["transformer"] for row in rows] == pytest.approx(ANSWERS, abs=limit)
    assert all(row["error"] == abs(row["transformer"] - row["posterior_mean"]) for row in rows)


def test_all_formats_give_the_same_answers(iclproof, files):
    components, weights = MIXTURE.components, MIXTURE.weights
    np.savez(files / "c.npz", components=components, weights=weights)
    text = json.dumps({"components": components.tolist(), "weights": weights.tolist()})
    (files / "c.json").write_text(text)
    xs = np.array([[[1.0, 0.5], [-0.3, 0.8], [0.2, 0.1]]])
    np.savez(files / "p.npz", xs=xs, ys=np.array([[2.1, 0.4]]))
    examples = [{"x": [1.0, 0.5], "y": 2.1}, {"x": [-0.3, 0.8], "y": 0.4}]
    prompts = [{"name": "é", "examples": examples, "query": [0.2, 0.1]}]
    (files / "p.json").write_text(json.dumps([*prompts, {"examples": [], "query": [0.7, -1.2]}]))
    sizes = ("--noise-std", 0.5, "--max-examples", 2)
    for model, suffix in (("m1", "npz"), ("m2", "json")):
        given = ("--components", files / f"c.{suffix}", "--out", files / model)
        assert iclproof("build", "posterior-mean", *given, *sizes).code == 0
    found = {}
    for model, file in (("m1", "p.npz"), ("m2", "p.npz"), ("m2", "p.json")):
        done = iclproof("predict", files / model, files / file, "--json")
        rows = json.loads(done.out)["answers"]
        found[model, file] = [row["transformer"] for row in rows]
        names = [row["prompt"] for row in rows]
    assert names == ["é", "2"]
    assert found["m1", "p.npz"] == found["m2", "p.npz"] == pytest.approx(ANSWERS[:1], abs=1e-12)
    assert found["m2", "p.json"] == pytest.approx(ANSWERS[:2], abs=1e-12)


def test_tables_show_the_same_as_json(iclproof, files):
    built = build(iclproof, files)
    assert (built.code, built.err) == (0, "")
    shown = {
        line.split("│")[1].strip(): line.split("│")[2].strip()
        for line in built.out.splitlines()
        if line.startswith("│")
    }
    assert (shown["layers"], shown["heads of each layer"]) == ("3", "1, 1, 1")
    done = iclproof("predict", files / "model", files / "prompts.csv")
    assert (done.code, done.err) == (0, "")
    rows = [line.split("│") for line in done.out.splitlines() if line.startswith("│")]
    shown = [(row[1].strip(), float(row[2]), float(row[3])) for row in rows]
    assert [name for name, *_ in shown] == ["a", "b", "c"]
    for _, transformer, exact in shown:
        assert transformer == pytest.approx(exact, abs=1e-10)
    assert [exact for *_, exact in shown] == pytest.approx(ANSWERS, abs=1e-10)


def test_random_components_depend_on_the_seed(iclproof, files):
    drawn = []
    for seed in (3, 3, 4):
        sizes = ("--num-components", 3, "--dim", 2, "--noise-std", 0.5, "--max-examples", 4)
        out = ("--out", files / "model", "--seed", seed)
        assert iclproof("build", "posterior-mean", *sizes, *out).code == 0
        done = iclproof("predict", files / "model", files / "prompts.csv", "--json")
        drawn.append([row["posterior_mean"] for row in json.loads(done.out)["answers"]])
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_given_box_is_kept_and_a_model_is_rebuilt_in_place(iclproof, files):
    assert build(iclproof, files, "--box-label", 2.0).code == 0
    refused = iclproof("predict", files / "model", files / "prompts.csv")
    assert refused.code == 2
    assert "|y_1| = 2.1 exceeds 2" in refused.err
    assert build(iclproof, files, "--box-label", 2.2, "--box-covariate-norm", 3).code == 0
    assert iclproof("predict", files / "model", files / "prompts.csv").code == 0


# The wrapper


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  - lines"), "iclproof: two - lines"),
        (FileNotFoundError(2, "No such file", "a.csv"), "iclproof: a.csv: No such file"),
        (FileNotFoundError("there is no a.csv"), "iclproof: there is no a.csv"),
        (OverflowError("too large [red]"), "iclproof: too large [red]"),
        (ValueError("x" * 500), "iclproof: " + "x" * 500),
    ],
)
def test_an_error_is_one_line_and_code_2(monkeypatch, iclproof, error, line):
    def fail(args: list[str], standalone_mode: bool) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    assert iclproof() == (2, "", line + "\n")


def test_the_version_is_that_of_the_project(iclproof):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert iclproof("--version") == (0, f"iclproof {project['version']}\n", "")


def test_a_programming_error_is_not_hidden(monkeypatch):
    def fail(args: list[str], standalone_mode: bool) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(AssertionError, match="a bug"):
        cli.main()


def test_the_console_script_in_a_pipe(files):
    program = Path(sys.executable).with_name("iclproof")

    def call(*arguments: str) -> subprocess.CompletedProcess:
        command = [program, *arguments]
        return subprocess.run(command, cwd=files, capture_output=True, text=True, check=False)

    done = call("verify", "pathak2023/program-line-9", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["passes"]
    done = call("predict", "nowhere", "prompts.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("iclproof: there is no stored folder")
    assert done.stderr.count("\n") == 1


def test_every_statement_can_be_asked_for_by_id():
    ids = [statement.id for statement in pathak2023.STATEMENTS]
    assert [statement.id for statement in select(pathak2023.STATEMENTS, ids[::-1])] == ids[::-1]
