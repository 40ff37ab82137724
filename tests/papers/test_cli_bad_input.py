"""Every bad call or file gives one line on standard error, no traceback, and exit code 2."""

import json
from pathlib import Path

import numpy as np
import pytest

COMPONENTS = "w1,w2\n1.0,0.5\n-1.0,2.0\n"
PROMPTS = "prompt,x1,x2,y\na,1.0,0.5,2.1\na,0.2,0.1,\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("components.csv").write_text(COMPONENTS)
    Path("prompts.csv").write_text(PROMPTS)
    return tmp_path


@pytest.fixture
def model(files, iclproof):
    assert iclproof(*build()).code == 0
    return files / "model"


def build(**changed: object) -> list[object]:
    """The arguments of a good call, with options changed, or left out for None."""
    options = {
        "components": "components.csv",
        "noise_std": 0.5,
        "max_examples": 3,
        "out": "model",
    } | changed
    given = [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", value)
    ]
    return ["build", "posterior-mean", *given]


def refused(done, *words: str) -> None:
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("iclproof: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


BUILDS = {
    "sigma < 0": ({"noise_std": -0.5}, "noise_std is -0.5; expected a finite number"),
    "sigma = 0": ({"noise_std": 0}, "no finite network has sigma = 0"),
    "sigma NaN": ({"noise_std": "nan"}, "noise_std is nan"),
    "sigma infinite": ({"noise_std": "inf"}, "noise_std is inf"),
    "float16": ({"dtype": "float16"}, "--dtype is 'float16', expected float64 or float32"),
    "four layers": ({"layers": 4}, "--layers is 4, expected 3 (one head each) or 2 (2K heads)"),
    "k < 0": ({"max_examples": -1}, "num_examples is -1, expected 0 or more"),
    "k too large": ({"max_examples": 4000, "dtype": "float32"}, "use fewer examples or float64"),
    "both kinds of components": ({"num_components": 2, "dim": 2}, "not both"),
    "no components": ({"components": None}, "give --components FILE, or"),
    "no dimension": ({"components": None, "num_components": 2}, "--num-components and --dim"),
    "m = 0": ({"components": None, "num_components": 0, "dim": 2}, "num_components is 0"),
    "d = 0": ({"components": None, "num_components": 2, "dim": 0}, "dim is 0"),
    "box < 0": ({"box_label": -1}, "box: label is -1"),
    "box NaN": ({"box_covariate_norm": "nan"}, "box: covariate_norm is nan"),
    "entries < 0": ({"box_covariate": -2}, "box: covariate"),
    "entries of 0": ({"box_covariate": 0, "box_covariate_norm": 1}, "box: covariate is 0"),
    "entries NaN": ({"box_covariate": "nan", "box_covariate_norm": 1}, "box: covariate is nan"),
    "box too large for float32": ({"box_label": 1e6, "dtype": "float32"}, "use float64 or a"),
    "no file": ({"components": "nowhere.csv"}, "there is no file nowhere.csv"),
    "unknown format": ({"components": "components.txt"}, "has the suffix '.txt'; expected one of"),
    "onto a file": ({"out": "prompts.csv"}, "prompts.csv is a file, expected a folder"),
    "onto other files": ({"out": "."}, "is not empty", "nothing was written"),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_bad_build_is_refused(files, iclproof, name):
    changed, *words = BUILDS[name]
    before = sorted(path.name for path in files.iterdir())
    refused(iclproof(*build(**changed)), *words)
    assert sorted(path.name for path in files.iterdir()) == before


def test_files_beside_a_model_keep_it_from_being_replaced(model, iclproof):
    (model / "notes.txt").write_text("mine")
    refused(iclproof(*build()), "notes.txt")
    assert (model / "notes.txt").read_text() == "mine"


COMPONENT_FILES = {
    "ragged": ("csv", "w1,w2\n1,2\n3\n", "line 3"),
    "NaN": ("csv", "w1,w2\n1,nan\n", "expected a finite number"),
    "infinite": ("csv", "w1,w2\n1,2\ninf,0\n", "expected a finite number"),
    "not a number": ("csv", "w1,w2\n1,two\n", "'two'"),
    "empty": ("csv", ""),
    "no rows": ("csv", "w1,w2\n"),
    "other header": ("csv", "x1,x2\n1,2\n", "w1"),
    "weights do not sum to 1": ("csv", "w1,weight\n1,0.5\n2,0.4\n", "weights sum to 0.9"),
    "negative weight": ("csv", "w1,weight\n1,1.5\n2,-0.5\n", "no negative weight"),
    "ragged JSON": ("json", '{"components": [[1, 2], [3]]}'),
    "no JSON": ("json", "{"),
    "too few weights": ("json", '{"components": [[1], [2]], "weights": [1]}', "2 components"),
    "no npz": ("npz", "not an archive"),
}


@pytest.mark.parametrize("name", COMPONENT_FILES)
def test_a_bad_components_file_is_refused(files, iclproof, name):
    suffix, content, *words = COMPONENT_FILES[name]
    Path(f"c.{suffix}").write_text(content)
    refused(iclproof(*build(components=f"c.{suffix}")), *words)
    assert not Path("model").exists()


@pytest.mark.parametrize("shape", [(2,), (0, 2), (2, 0), (1, 2, 2)])
def test_components_of_a_wrong_shape_are_refused(files, iclproof, shape):
    np.savez("c.npz", components=np.ones(shape))
    refused(iclproof(*build(components="c.npz")), "components")


HEADER = "prompt,x1,x2,y\n"
PROMPT_FILES = {
    "NaN": (HEADER + "a,nan,1,1\na,0,0,\n", "expected a finite number"),
    "infinite label": (HEADER + "a,1,1,inf\na,0,0,\n", "expected a finite number"),
    "ragged": (HEADER + "a,1,1\na,0,0,\n", "line 2"),
    "no query": (HEADER + "a,1,1,1\n", "a"),
    "nothing": (HEADER,),
    "wrong dimension": ("prompt,x1,y\na,1,1\na,0,\n", "dimension 1, not 2"),
    "too long": (HEADER + "a,0,0,0\n" * 4 + "a,0,0,\n", "4 examples", "at most 3"),
    "covariate outside the box": (HEADER + "a,100,0,0\na,0,0,\n", "|x_1| = 100 exceeds"),
    "query outside the box": (HEADER + "a,0,0,0\na,0,-50,\n", "|x_2| = 50 exceeds"),
    "label outside the box": (HEADER + "a,0,0,1000\na,0,0,\n", "|y_1| = 1000 exceeds"),
    "rows of a prompt apart": (HEADER + "a,0,0,\nb,0,0,\na,1,1,\n", "a"),
    "huge label": (HEADER + "a,1,1,1e308\na,1,1,\n", "|y_1| = 1e+308 exceeds"),
}


@pytest.mark.parametrize("name", PROMPT_FILES)
def test_bad_prompts_are_refused(model, iclproof, name):
    content, *words = PROMPT_FILES[name]
    Path("bad.csv").write_text(content)
    for options in ([], ["--json"], ["--all-prefixes"]):
        refused(iclproof("predict", "model", "bad.csv", *options), *words)


@pytest.mark.parametrize(
    ("xs", "ys"),
    [
        ((2, 3, 2), (2, 1)),
        ((2, 3, 2), (2, 3)),
        ((2, 3, 2), (1, 2)),
        ((3, 2), (3,)),
        ((0, 3, 2), (0, 2)),
        ((2, 0, 2), (2, 0)),
        ((2, 3, 0), (2, 2)),
    ],
)
def test_prompts_of_a_wrong_shape_are_refused(model, iclproof, xs, ys):
    np.savez("bad.npz", xs=np.ones(xs), ys=np.ones(ys))
    refused(iclproof("predict", "model", "bad.npz"))


def test_prompts_that_are_not_numbers_are_refused(model, iclproof):
    np.savez("bad.npz", xs=np.array([[["a", "b"]]]), ys=np.ones((1, 0)))
    refused(iclproof("predict", "model", "bad.npz"), "xs")
    np.savez("pickled.npz", xs=np.array([[[None, {}]]], dtype=object), ys=np.ones((1, 0)))
    refused(iclproof("predict", "model", "pickled.npz"))


@pytest.mark.parametrize(
    ("prompts", "word"),
    [("nowhere.csv", "there is no file"), ("prompts.xlsx", "'.xlsx'"), ("model", "suffix")],
)
def test_prompts_that_are_no_file_are_refused(model, iclproof, prompts, word):
    refused(iclproof("predict", "model", prompts), word)


# Models


FILES = ("weights.safetensors", "mixture.safetensors", "manifest.json")


@pytest.mark.parametrize("place", [0, 0.5, 0.999])
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_of_a_model_is_named(model, iclproof, name, place):
    path = model / name
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    refused(iclproof("predict", "model", "prompts.csv"), name, "damaged")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_cut_file_of_a_model_is_named(model, iclproof, name):
    path = model / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    refused(iclproof("predict", "model", "prompts.csv"), name)
    path.unlink()
    refused(iclproof("predict", "model", "prompts.csv"), name, "missing")


def test_a_folder_that_is_no_model_is_refused(files, iclproof):
    Path("other").mkdir()
    Path("other", "a.txt").write_text("mine")
    refused(iclproof("predict", "other", "prompts.csv"), "manifest.json is missing")
    refused(iclproof("predict", "prompts.csv", "prompts.csv"), "prompts.csv")
    refused(
        iclproof("predict", "nowhere", "prompts.csv"), "there is no stored folder at", "nowhere"
    )


def test_a_stored_folder_of_another_kind_is_refused(files, iclproof):
    from simulations.stored_folder import write_folder

    write_folder(Path("run"), {"a.txt": b"mine"}, {"kind": "run"})
    refused(iclproof("predict", "run", "prompts.csv"), "a folder of kind 'run'")


# Calls


def test_an_unknown_statement_is_named_with_those_like_it(iclproof):
    done = iclproof("verify", "pathak2023/program-line-1", "program-line-2", "x")
    refused(done, "no statement program-line-2, x among", "did you mean pathak2023/program-line-2?")


CALLS = {
    "unknown subcommand": (["frobnicate"], "frobnicate"),
    "unknown network": (["build", "argmin"], "argmin"),
    "unknown option": (["verify", "--fast"], "--fast"),
    "negative seed of verify": (["verify", "--seed", "-1"], "--seed"),
    "negative seed of build": (build(seed=-1), "--seed"),
    "seed that is no number": (["verify", "--seed", "one"], "--seed"),
    "missing argument": (["predict", "model"], "prompts"),
    "missing option": (build(out=None), "--out"),
    "layers that are no number": (build(layers="lines"), "--layers"),
    "no softmax to choose": (build(softmax="head"), "--softmax"),
    "unknown design": (
        ["accuracy", "--layers", "4"],
        "--layers is '4', expected one of 3, 2, lines",
    ),
    "no prompts": (["accuracy", "--num-prompts", "0"], "--num-prompts"),
    "sigma that is no number": (build(noise_std="half"), "--noise-std"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_cannot_be_read_is_refused(files, iclproof, name):
    arguments, word = CALLS[name]
    done = iclproof(*arguments)
    assert (done.code, done.out) == (2, "")
    assert word in done.err
    assert "Traceback" not in done.err


def test_no_arguments_print_the_help(iclproof):
    done = iclproof()
    assert (done.code, done.err) == (0, "")
    assert "Usage" in done.out
    assert iclproof("build") == (2, "", "iclproof: Missing command. (see iclproof --help)\n")


@pytest.mark.parametrize(
    "options", [{"noise_std": 0}, {"dim": 0}, {"num_components": 0}, {"num_examples": 0}]
)
def test_figures_of_impossible_sizes_are_refused(files, iclproof, options):
    given = [part for name, v in options.items() for part in (f"--{name.replace('_', '-')}", v)]
    refused(iclproof("figures", "--out", "figures", *given), "0")
    assert not list(Path("figures").glob("*"))


def test_refusals_are_one_line_with_json_too(files, iclproof):
    refused(iclproof(*build(noise_std=-1), "--json"), "noise_std is -1.0")
    refused(iclproof("verify", "x", "--json"), "no statement x")
    assert json.loads(iclproof(*build(), "--json").out)["out"] == "model"
