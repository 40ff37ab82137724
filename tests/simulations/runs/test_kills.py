"""Killed at any moment and started again, a run ends bitwise as if nothing had happened.

One process imports everything once and forks; its children run, and are killed with SIGKILL.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from simulations.runs import Runs
from simulations.store import Store

ROOT = Path(__file__).parents[3]

KILLED_AND_STARTED_AGAIN = """
import os, random, signal, sys, time
from pathlib import Path
from simulations.runs import Runs
from simulations.store import Store
from tests.simulations.runs.{module} import KILLED as requests

undisturbed, root, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def start(root):
    child = os.fork()
    if child == 0:
        report = Runs(Store(root)).execute(requests, jobs=1)
        print(*report.failed, *report.notes, file=sys.stderr)
        os._exit(len(report.failed) + len(report.notes))
    return child

begin = time.perf_counter()
_, status = os.waitpid(start(undisturbed), 0)
assert status == 0, status
whole = time.perf_counter() - begin

draw = random.Random(seed)
kills = 0
while True:
    child = start(root)
    if kills < 10:
        time.sleep(draw.uniform(0.0, 0.3) * whole)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert status == 0, status
        break
    kills += 1
print(kills)
"""


@pytest.mark.parametrize("module", ["toy_sweep", "toy_training"])
def test_ten_kills_lose_nothing(tmp_path, module):
    undisturbed, root = tmp_path / "undisturbed", tmp_path / "killed"
    program = KILLED_AND_STARTED_AGAIN.replace("{module}", module)
    done = subprocess.run(
        [sys.executable, "-c", program, undisturbed, root, "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert int(done.stdout) >= 5
    killed, wanted = Store(root), Store(undisturbed)
    killed.clean(older_than=0.0)
    assert sorted(path.name for path in root.iterdir()) == wanted.addresses()
    assert Runs(killed).verify() == {}
    for address in wanted.addresses():
        for name in ("config.json", "result.safetensors"):
            content = (root / address / name).read_bytes()
            assert content == (undisturbed / address / name).read_bytes(), (address, name)
