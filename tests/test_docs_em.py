"""The examples of docs/em.md run as written, and so does the script that it names."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

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


def run_script(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_finds_three_components(tmp_path):
    done = run_script(tmp_path)
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


def shops(folder):
    """Write the same table with the columns of the page's call, and one that is no number."""
    header, *lines = (ROOT / "examples" / "grouped.csv").read_text().splitlines()
    assert header == "group,x1,x2,y"
    rows = ["adverts,note,price,sales,shop"]
    for line in lines:
        group, x1, x2, y = line.split(",")
        rows.append(",".join([x2, "none", x1, y, group]))
    (folder / "shops.csv").write_text("\n".join(rows))


def test_the_script_takes_the_columns_by_name(tmp_path):
    shops(tmp_path)
    (call,) = re.findall(r"examples/grouped_em\.py (shops\.csv .*)", PAGE)
    done = run_script(tmp_path, *shlex.split(call))
    assert (done.returncode, done.stderr) == (0, "")
    same = run_script(tmp_path).stdout
    for own, new in (("x1", "price"), ("x2", "adverts"), ("y", "sales")):
        same = re.sub(rf"\b{own}\b", new, same)
    assert done.stdout == same
    assert "sales = " in same
    # All others, in the order of the file, if none are named: the note is no number.
    assert (
        "column note is 'none'; expected a number"
        in run_script(tmp_path, "shops.csv", "--group=shop", "--label=sales").stderr
    )
    turned = run_script(tmp_path, *shlex.split(call.replace("price,adverts", "adverts,price")))
    assert re.search(r"sales = \S+ \S+ adverts \S+ price\n", turned.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shops.csv"], "expected exactly one that is called 'group'"),
        (["shops.csv", "--group=shop", "--label=sale"], "'sale': did you mean 'sales'"),
        (["shops.csv", "--group=shop", "--label=sales", "--covariates="], "at least one covar"),
        (["nowhere.csv"], "nowhere.csv"),
    ],
)
def test_the_script_says_what_is_wrong_with_columns(tmp_path, arguments, message):
    shops(tmp_path)
    done = run_script(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_columns_of_a_file_are_read(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('\ufeff"a, b", c \n1,2\n', encoding="utf-8")
    assert baselines.read_csv_columns(path) == ["a, b", "c"]
    path.write_text("")
    assert baselines.read_csv_columns(str(path)) == []
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"table\.csv is not CSV in UTF-8"):
        baselines.read_csv_columns(path)


def test_the_page_has_the_ratios_of_the_benchmark():
    """Rows of the table beside flexmix: (n, k, ...), then both times and their ratio."""
    text = (ROOT / "benchmarks" / "README.md").read_text()
    rows = [
        tuple(float(number.replace(",", "")) for number in found)
        for found in re.findall(
            r"^\| ([\d,]+), (\d+), \d+, \d+, \d+ \| ([\d,]+) \| ([\d,]+) \| (\d+) \|", text, re.M
        )
    ]
    assert {k for _, k, *_ in rows} >= {1, 2, 20}
    for _, _, ours, theirs, ratio in rows:  # times are rounded to milliseconds
        assert (theirs - 0.5) / (ours + 0.5) - 0.5 <= ratio <= (theirs + 0.5) / (ours - 0.5) + 0.5
    long, short = (
        [ratio for _, k, *_, ratio in rows if (k >= 20) is wanted] for wanted in (True, False)
    )
    words = " ".join(PAGE.split())
    assert (
        f"{min(long):.0f} to {max(long):.0f} times faster for groups of 20 rows and more" in words
    )
    assert f"{min(short):.0f} to {max(short):.0f} times for groups of one or two rows" in words
