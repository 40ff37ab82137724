"""Builds the wheel, installs it into an empty environment, and uses it from another folder."""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROMPTS = "prompt,x1,x2,y\na,1.0,0.5,2.1\na,0.2,0.1,\nb,0.7,-1.2,\n"

EXAMPLE = """
import numpy as np, theory, constructions
mixture = theory.RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
transformer = constructions.compile_posterior_mean(mixture, max_examples=4)
prompts = mixture.sample_prompts(10, 4, np.random.default_rng(1))
answers = transformer.predict_all_prefixes(prompts)
assert abs(answers - mixture.posterior_mean_all_prefixes(prompts)).max() < 5e-12
"""


def run(*command: object, cwd: Path) -> str:
    """Run a command and return its output; a failure ends the program."""
    shown = [str(part) for part in command]
    print("$", " ".join(shown), flush=True)
    return subprocess.run(shown, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Build, install, use."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=ROOT)
        (wheel,) = folder.glob("iclproof-*.whl")
        venv.create(folder / "env", with_pip=True)
        binaries = folder / "env" / "bin"
        constraints = ROOT / "constraints.txt"
        pip = (binaries / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints)
        run(*pip, "--disable-pip-version-check", wheel, cwd=folder)
        run(binaries / "python", "-c", EXAMPLE, cwd=folder)
        (folder / "prompts.csv").write_text(PROMPTS)
        iclproof = binaries / "iclproof"
        sizes = ("--num-components", 3, "--dim", 2, "--noise-std", 0.5, "--max-examples", 4)
        run(iclproof, "build", "posterior-mean", *sizes, "--out", "model", cwd=folder)
        answers = json.loads(run(iclproof, "predict", "model", "prompts.csv", "--json", cwd=folder))
        assert [row["prompt"] for row in answers["answers"]] == ["a", "b"]
        assert all(row["error"] < 1e-11 for row in answers["answers"])
        run(iclproof, "verify", "pathak2023/program-line-3", cwd=folder)
        only = ("--only", "pathak2023-figure-8")  # from results in the wheel
        run(iclproof, "figures", *only, "--out", "figures", cwd=folder)
    print("the wheel works in an empty environment")


if __name__ == "__main__":
    main()
