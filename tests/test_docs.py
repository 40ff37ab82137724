"""The example of "Write your own circuit" runs as written, and the page says what is true."""

import re
import subprocess
import sys

from tests.test_readme import ROOT, blocks

PAGE = (ROOT / "docs" / "circuits.md").read_text()


def example() -> str:
    (found,) = blocks(PAGE, "python")
    return found


def test_the_example_is_short_and_prints_a_small_number(tmp_path):
    assert len(example().splitlines()) <= 30
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 <= float(done.stdout) < 1e-12


def test_layers_and_heads_come_out_as_the_page_says(capsys):
    scope: dict[str, object] = {}
    exec(example(), scope)
    network = scope["network"]
    kinds = [
        ([type(v).__name__ for v in layer.attended], [type(v).__name__ for v in layer.multiplied])
        for layer in network.schedule
    ]
    assert kinds == [(["Previous"], ["ProductSum"]), (["Attention", "Sum"], [])]
    assert scope["answers"].shape == (5, 9)
    capsys.readouterr()


def test_every_word_of_the_table_exists():
    from constructions import values

    rows = re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE)
    words = set(re.findall(r"`(\w+)\(", "".join(rows))) | {"Mixture"}
    assert words == {"previous", "total", "Fetch", "softmax", "attention", "Mixture"}
    assert all(hasattr(values, word) for word in words)
