"""Killed at any moment, in any part, and started again: a sweep ends as if nothing had happened."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulations.store import Store

ROOT = Path(__file__).parents[2]

SWEEP = """
experiment = "toy-walk"
base.pause = 0.004
[grid]
steps = [80, 100]
seed = [1, 2]
"""

# One process imports everything once and forks; each child leads a group of its own and sweeps
# with two workers. What is killed is drawn: the whole group, its leader only, or one worker only.
KILLED_AND_STARTED_AGAIN = """
import os, random, signal, sys, time
from itertools import count
from pathlib import Path
from simulations.experiments import catalogue
from simulations.runs import Runs
from simulations.store import Store
from simulations.sweep import read_sweep
from tests.simulations.runs.toys import WALK

folder, seed, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
catalogue.experiments = lambda: {WALK.name: WALK}
requests = [(point.experiment, point.config) for point in read_sweep(folder / "sweep.toml")]

def start(root):
    child = os.fork()
    if child == 0:
        os.setsid()
        report = Runs(Store(root)).execute(requests, jobs=2)
        print(*report.failed, *report.notes, file=sys.stderr)
        os._exit(len(report.failed) + len(report.notes))
    return child

def workers(leader):
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    commands = {int(c): Path(f"/proc/{c}/cmdline").read_bytes() for c in children}
    return [child for child, command in commands.items() if b"popen_loky" in command]

def is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False

def end(leader):
    _, status = os.waitpid(leader, 0)
    deadline = time.monotonic() + 20
    while not is_gone(leader):  # workers and all
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return status

begin = time.perf_counter()
status = end(start(folder / "undisturbed"))
assert status == 0, status
whole = time.perf_counter() - begin

draw = random.Random(seed)
plan = ["group", "leader", "worker"] * (number // 3 + 1)
plan = draw.sample(plan[:number], number)
kills = []
for root in (folder / f"killed-{i}" for i in count()):
    leader = start(root)
    while len(kills) < number:
        time.sleep(draw.uniform(0.1, 0.6) * whole)
        kind = plan[len(kills)]
        if kind == "worker":
            if alive := workers(leader):
                os.kill(draw.choice(alive), signal.SIGKILL)
                kills.append(kind)
                continue
            kind = "leader"
        os.killpg(leader, signal.SIGKILL) if kind == "group" else os.kill(leader, signal.SIGKILL)
        status = end(leader)
        if os.WIFEXITED(status):
            assert status == 0, status
            leader = None
            break
        kills.append(kind)
        leader = start(root)
    if leader is not None:
        assert (status := end(leader)) == 0, status
    if len(kills) == number:
        break
print(*kills)
"""


def loky_files() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("*loky*")}


@pytest.mark.parametrize("number", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_of_a_sweep_lose_nothing_and_leave_nothing(tmp_path, number):
    (tmp_path / "sweep.toml").write_text(SWEEP)
    before = loky_files()
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AND_STARTED_AGAIN, tmp_path, "0", str(number)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    kills = done.stdout.split()
    assert len(kills) == number
    assert number < 10 or set(kills) == {"group", "leader", "worker"}
    assert loky_files() <= before
    undisturbed = Store(tmp_path / "undisturbed")
    assert len(undisturbed.addresses()) == 4
    killed = [Store(path) for path in sorted(tmp_path.glob("killed-*"))]
    for store in killed:
        store.clean(older_than=0.0)
        assert sorted(path.name for path in store.root.iterdir()) == undisturbed.addresses()
        for address in undisturbed.addresses():
            for name in ("config.json", "result.safetensors"):
                content = (store.root / address / name).read_bytes()
                assert content == (undisturbed.root / address / name).read_bytes()
