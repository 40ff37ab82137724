import signal
import subprocess
import sys
import time
from pathlib import Path

from simulations.stored_folder import clean_leftovers, read_folder, write_folder

ROOT = Path(__file__).parents[2]

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from simulations.stored_folder import write_folder

root, step = sys.argv[1], int(sys.argv[2])
seen = 0

def kill(event, arguments):
    global seen
    if any(str(argument).startswith(root) for argument in arguments):
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
write_folder(Path(root, "f"), {"a": b"new", "b": b"new"}, {})
"""

KILLED_SOME_TIME = """
import sys
from itertools import count
from pathlib import Path
from simulations.stored_folder import write_folder

for version in count(1):
    content = str(version).encode() * 100_000
    write_folder(Path(sys.argv[1], "f"), {str(i): content for i in range(20)}, {"v": version})
    print(version, flush=True)
"""


def left_over(kind: str) -> str:
    return f".f.{time.time_ns():020d}-0123456789abcdef.{kind}"


def python(script, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT, **options)


def test_a_kill_at_any_step_of_a_replacement_loses_nothing(tmp_path):
    old, new = {"a": b"old", "b": b"old"}, {"a": b"new", "b": b"new"}
    outcomes = []
    lay_aside = 0
    for step in range(1, 100):
        parent = tmp_path / str(step)
        write_folder(parent / "f", old, {})
        code = python(KILLED_AT, str(parent), str(step)).wait(timeout=30)
        outcomes.append(read_folder(parent / "f").files)
        lay_aside += not (parent / "f").exists()
        clean_leftovers(parent, older_than=0.0)
        assert [child.name for child in parent.iterdir()] == ["f"]
        assert read_folder(parent / "f").files == outcomes[-1]
        if code == 0:
            break
        assert code == -signal.SIGKILL
    switch = outcomes.index(new)
    assert outcomes == [old] * switch + [new] * (len(outcomes) - switch)
    assert lay_aside > 0, "no kill fell between the two renames"
    assert switch > 5
    assert len(outcomes) > switch + 1, "no kill fell after the second rename"


def test_a_kill_at_some_time_leaves_one_whole_version(tmp_path):
    for delay in (0.0, 0.013, 0.05, 0.09, 0.17):
        child = python(KILLED_SOME_TIME, str(tmp_path), stdout=subprocess.PIPE)
        with child:
            child.stdout.readline()
            time.sleep(delay)
            child.kill()
            last = int((child.stdout.read().split() or [b"1"])[-1])
        stored = read_folder(tmp_path / "f")
        assert stored.metadata["v"] >= last
        assert set(stored.files.values()) == {str(stored.metadata["v"]).encode() * 100_000}
    clean_leftovers(tmp_path, older_than=0.0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert read_folder(tmp_path / "f").metadata == stored.metadata


def test_the_next_write_supersedes_what_lies_aside(tmp_path):
    write_folder(tmp_path / "f", {"a": b"old"}, {})
    aside = (tmp_path / "f").rename(tmp_path / left_over("old"))
    assert read_folder(tmp_path / "f").path == aside
    write_folder(tmp_path / "f", {"a": b"new"}, {})
    assert [child.name for child in tmp_path.iterdir()] == ["f"]


def test_young_left_overs_and_other_files_are_not_cleaned(tmp_path):
    young = tmp_path / left_over("tmp")
    young.mkdir()
    (tmp_path / ".bashrc.tmp").mkdir()
    assert clean_leftovers(tmp_path) == ()
    assert clean_leftovers(tmp_path, older_than=0.0) == (young,)
    assert [child.name for child in tmp_path.iterdir()] == [".bashrc.tmp"]
    assert clean_leftovers(tmp_path / "nowhere") == ()
