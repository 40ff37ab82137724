"""The examples of docs/em.md run as written, and so does the script that it names."""

import re
import shutil
import subprocess
import sys

from papers import pathak2023
from simulations import baselines
from tests.test_readme import ROOT, blocks, run_together

PAGE = (ROOT / "docs" / "em.md").read_text()
EXAMPLE = ROOT / "examples" / "grouped_em.py"


def test_the_examples_run_one_after_the_other(tmp_path):
    found = blocks(PAGE, "python")
    assert len(found) == 4
    shutil.copy(ROOT / "examples" / "grouped.csv", tmp_path)
    run_together(found, tmp_path)


def test_the_statements_and_names_of_the_page_exist():
    named = set(re.findall(r"iclproof verify (pathak2023/[a-z0-9-]+)", PAGE))
    assert len(named) == 1
    assert named <= {statement.id for statement in pathak2023.STATEMENTS}
    assert set(baselines.__all__) <= set(re.findall(r"\w+", PAGE))


def test_the_table_is_as_the_page_says():
    table = baselines.read_grouped_csv(ROOT / "examples" / "grouped.csv")
    assert (len(table), table.dim) == (80, 2)
    assert (table.sizes.min(), table.sizes.max()) == (2, 12)


def test_the_script_finds_three_components(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 components, noise level 0.8" in done.stdout
    # What the table was drawn from: y = 1 + 2 x1 - x2 and two more, with noise 0.9.
    weights = [float(w) for w in re.findall(r"weight (\S+):", done.stdout)]
    lines = [
        [float(number) for number in found]
        for found in re.findall(r"y = (\S+) (\S+) x1 (\S+) x2", done.stdout)
    ]
    for expected in ([1, 2, -1], [0, -1, 0.5], [-2, 0.5, 1.5]):
        assert min(max(abs(a - b) for a, b in zip(w, expected, strict=True)) for w in lines) < 0.15
    assert abs(sum(weights) - 1) < 0.02
