"""`iclproof export`, and the ten lines of docs/export.md that use what it writes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from papers.cli import app, main
from tests.test_readme import blocks
from theory import PromptBatch, RegressionMixture

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text()


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["iclproof", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main()
    out, err = capsys.readouterr()
    return done.value.code or 0, out, err


@pytest.fixture
def built(tmp_path, monkeypatch, capsys):
    """Folders with a model in each float type, and its components."""
    rng = np.random.default_rng(0)
    components = rng.normal(size=(3, 2))
    rows = "\n".join(",".join(map(repr, row)) for row in components.tolist())
    (tmp_path / "components.csv").write_text(f"w1,w2\n{rows}\n")
    for dtype in ("float64", "float32"):
        options = ["--noise-std", 0.5, "--max-examples", 6, "--dtype", dtype]
        code, _, err = call(
            monkeypatch, capsys, "build", "posterior-mean", *options,
            "--components", tmp_path / "components.csv", "--out", tmp_path / dtype,
        )  # fmt: skip
        assert (code, err) == (0, "")
    return tmp_path, RegressionMixture(components, 0.5)


@pytest.mark.parametrize("shape", [[], ["--shape", "pathak2023"]], ids=["smallest", "pathak2023"])
def test_the_ten_lines_need_nothing_of_ours(built, monkeypatch, capsys, shape):
    folder, mixture = built
    out = folder / "gpt2"
    code, shown, err = call(
        monkeypatch, capsys, "export", folder / "float64", "--to", "gpt2", "--out", out, *shape
    )
    assert (code, err) == (0, "")
    assert "model.safetensors" in shown
    prompts = mixture.sample_prompts(20, 6, np.random.default_rng(1))
    np.savez(folder / "prompts.npz", xs=prompts.xs, ys=prompts.ys)
    (lines,) = blocks(PAGE, "python")
    assert len([line for line in lines.splitlines() if line]) == 10
    ours = "{'theory', 'constructions', 'simulations', 'papers'}"
    script = (
        f"{lines}\nimport sys\nnp.save('answers', answers)\nassert not {ours} & {{*sys.modules}}"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", script],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = np.load(folder / "answers.npy")
    assert answers.shape == (20, 7)
    assert np.abs(answers - mixture.posterior_mean_all_prefixes(prompts)).max() < 1e-10


def test_onnx_and_safetensors(built, monkeypatch, capsys):
    import onnxruntime

    folder, mixture = built
    for to, dtype in (("onnx", "float32"), ("safetensors", "float64")):
        arguments = ["export", folder / dtype, "--to", to, "--out", folder / to, "--json"]
        code, shown, err = call(monkeypatch, capsys, *arguments)
        assert (code, err) == (0, "")
        files = json.loads(shown)["files"]
        assert {n: (folder / to / n).stat().st_size for n in files} == files
    prompts = mixture.sample_prompts(20, 6, np.random.default_rng(1))
    prompts = PromptBatch(prompts.xs.astype(np.float32), prompts.ys.astype(np.float32))
    given = prompts.interleaved().transpose(0, 2, 1).astype(np.float32)
    session = onnxruntime.InferenceSession(
        folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"tokens": given})
    assert np.abs(found[:, :, 0] - mixture.posterior_mean_all_prefixes(prompts)).max() < 2e-4


@pytest.mark.parametrize(
    ("call_of", "words"),
    [
        (["float64", "--to", "gpt3"], "--to is 'gpt3', expected gpt2, onnx or safetensors"),
        (["float64", "--to", "gpt2", "--shape", "large"], "smallest or pathak2023"),
        (["float32", "--to", "onnx", "--shape", "smallest"], "only gpt2 has shapes"),
        (["float64", "--to", "onnx"], "build it in float32"),
        (["float32", "--to", "gpt2"], "build it in float64"),
        (["absent", "--to", "gpt2"], "absent"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(built, monkeypatch, capsys, call_of, words):
    folder, _ = built
    out = folder / "out"
    code, shown, err = call(
        monkeypatch, capsys, "export", folder / call_of[0], *call_of[1:], "--out", out
    )
    assert (code, shown, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not out.exists()


def test_a_folder_that_is_no_export_is_left_alone(built, monkeypatch, capsys):
    folder, _ = built
    mine = folder / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    arguments = ["export", folder / "float64", "--to", "safetensors", "--out", mine]
    code, _, err = call(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "mine" in err
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]


def test_the_page_shows_options_that_exist():
    (command,) = (c for c in app.registered_commands if c.callback.__name__ == "export")
    assert command.callback.__doc__
    from papers.commands.export import FORMATS, SHAPES

    assert all(f"`{name}`" in PAGE for name in FORMATS)
    assert all(f"`--shape {name}`" in PAGE for name in SHAPES)
    assert set(re.findall(r"--to (\w+)", PAGE)) <= set(FORMATS)
