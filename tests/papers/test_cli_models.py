"""What can be chosen when a transformer is built, and its answers at every prefix."""

import json
from pathlib import Path

import pytest

from simulations.built_models import load_model
from theory import PromptBatch, RegressionMixture

COMPONENTS = "w1,w2,weight\n1.0,0.5,0.5\n-1.0,2.0,0.25\n0.0,1.0,0.25\n"
MIXTURE = RegressionMixture([[1.0, 0.5], [-1.0, 2.0], [0.0, 1.0]], 0.5, [0.5, 0.25, 0.25])
PROMPTS = {
    "long": ([[1.0, 0.5], [-0.3, 0.8], [0.4, 0.4], [0.2, 0.1]], [2.1, 0.4, 0.5]),
    "none": ([[0.7, -1.2]], []),
    "two": ([[1.0, 1.0], [0.5, 0.0], [0.0, 2.0]], [0.0, 1.0]),
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("components.csv").write_text(COMPONENTS)
    prompts = [
        {
            "name": name,
            "examples": [{"x": x, "y": y} for x, y in zip(xs, ys, strict=False)],
            "query": xs[-1],
        }
        for name, (xs, ys) in PROMPTS.items()
    ]
    Path("prompts.json").write_text(json.dumps(prompts))
    return tmp_path


def build(iclproof, *options: object):
    return iclproof(
        *("build", "posterior-mean", "--components", "components.csv", "--noise-std", 0.5),
        *("--max-examples", 5, "--out", "model", *options),
    )


def exact(name: str) -> list[float]:
    """f*_pi of the first k examples of a prompt, one prompt a prefix, k = 0..K."""
    xs, ys = PROMPTS[name]
    prefixes = [PromptBatch([xs[: k + 1]], [ys[:k]]) for k in range(len(xs))]
    return [MIXTURE.posterior_mean(prefix).item() for prefix in prefixes]


def shown(out: str) -> list[list[str]]:
    lines = [line for line in out.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


@pytest.mark.parametrize(("layers", "heads"), [(3, [1, 1, 1]), (2, [10, 1])])
def test_the_number_of_layers_is_chosen(files, iclproof, layers, heads):
    built = build(iclproof, "--layers", layers, "--json")
    assert (built.code, built.err) == (0, "")
    report = json.loads(built.out)["report"]
    assert (report["layers"], report["heads"]) == (layers, heads)
    assert len(load_model(Path("model")).layers) == layers
    table = build(iclproof, "--layers", layers)
    assert ["heads of each layer", ", ".join(map(str, heads)), ""] in shown(table.out)
    assert ["layers", str(layers), "10 operators"] in shown(table.out)


BOXES = {
    "nothing given": ([], (2**0.5 + 8, 8.0)),
    "entries": (["--box-covariate", 3], (3 * 2**0.5, 3.0)),
    "norm": (["--box-covariate-norm", 3], (3.0, 3.0)),
    "both": (["--box-covariate-norm", 3, "--box-covariate", 2.5], (3.0, 2.5)),
}


@pytest.mark.parametrize("name", BOXES)
def test_the_box_is_what_was_given(files, iclproof, name):
    options, (norm, entry) = BOXES[name]
    built = build(iclproof, *options, "--box-label", 7, "--json")
    box = json.loads(built.out)["box"]
    assert box["covariate_norm"] == pytest.approx(norm, abs=1e-15)
    assert (box["covariate"], box["label"]) == (entry, 7.0)
    assert load_model(Path("model")).box.covariate == entry


def test_entries_beyond_the_box_are_refused(files, iclproof):
    assert build(iclproof, "--box-covariate", 1.5).code == 0
    refused = iclproof("predict", "model", "prompts.json")
    assert (refused.code, refused.out) == (2, "")
    assert "two: largest entry of x_3: 2 exceeds 1.5" in refused.err


@pytest.mark.parametrize("layers", [3, 2])
def test_every_prefix_is_answered_beside_its_posterior_mean(files, iclproof, layers):
    assert build(iclproof, "--layers", layers).code == 0
    done = iclproof("predict", "model", "prompts.json", "--all-prefixes", "--json")
    assert (done.code, done.err) == (0, "")
    rows = json.loads(done.out)["answers"]
    expected = [(name, k, value) for name in PROMPTS for k, value in enumerate(exact(name))]
    assert [(row["prompt"], row["num_examples"]) for row in rows] == [e[:2] for e in expected]
    means = [value for *_, value in expected]
    assert [row["posterior_mean"] for row in rows] == pytest.approx(means, abs=1e-14)
    assert [row["transformer"] for row in rows] == pytest.approx(means, abs=1e-12)
    assert all(row["error"] == abs(row["transformer"] - row["posterior_mean"]) for row in rows)
    whole = iclproof("predict", "model", "prompts.json", "--json")
    last = {row["prompt"]: row["transformer"] for row in rows}
    for row in json.loads(whole.out)["answers"]:
        assert row["transformer"] == pytest.approx(last[row["prompt"]], abs=1e-13)
    table = shown(iclproof("predict", "model", "prompts.json", "--all-prefixes").out)
    assert [(row[0], int(row[1])) for row in table] == [e[:2] for e in expected]
    assert [float(row[2]) for row in table] == pytest.approx(means, abs=1e-10)


def test_without_prefix_columns_short_prefixes_have_no_answer(files, iclproof):
    built = build(iclproof, "--no-prefix-columns", "--json")
    report = json.loads(built.out)["report"]
    assert (report["columns"], report["extra_columns"]) == (11, 0)
    refused = iclproof("predict", "model", "prompts.json", "--all-prefixes")
    assert (refused.code, refused.out) == (2, "")
    assert "none: 0 examples, a model without prefix columns needs at least 2" in refused.err
    given = json.loads(Path("prompts.json").read_text())
    Path("prompts.json").write_text(json.dumps([p for p in given if p["examples"]]))
    call = ("predict", "model", "prompts.json", "--all-prefixes")
    rows = json.loads(iclproof(*call, "--json").out)["answers"]
    for name in ("long", "two"):
        mine = [row for row in rows if row["prompt"] == name]
        found, means = [row["transformer"] for row in mine], exact(name)
        assert found[:2] == [row["error"] for row in mine][:2] == [None, None]
        assert found[2:] == pytest.approx(means[2:], abs=1e-12)
        assert [row["posterior_mean"] for row in mine] == pytest.approx(means, abs=1e-14)
    table = shown(iclproof(*call).out)
    unanswered = [(row[0], row[1]) for row in table if row[2] == "too few examples"]
    assert unanswered == [("long", "0"), ("long", "1"), ("two", "0"), ("two", "1")]
