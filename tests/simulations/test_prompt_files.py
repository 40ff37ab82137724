import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from simulations.prompt_files import read_components, read_prompts, write_prompts
from theory.prompts import PromptBatch

ROOT = Path(__file__).parents[2]
SUFFIXES = (".npz", ".csv", ".json")
PROMPTS = PromptBatch(np.ones((2, 3, 1)), np.ones((2, 2)))
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def prompt_arrays(draw):
    size, k, d = draw(st.integers(1, 4)), draw(st.integers(0, 3)), draw(st.integers(1, 3))
    xs = draw(arrays(np.float64, (size, k + 1, d), elements=finite))
    return xs, draw(arrays(np.float64, (size, k), elements=finite))


# Round trips


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=40)
@given(drawn=prompt_arrays())
def test_prompts_read_back_exactly(suffix, drawn):
    prompts = PromptBatch(*drawn)
    with TemporaryDirectory() as parent:
        path = Path(parent, "prompts" + suffix)
        write_prompts(path, prompts)
        found = read_prompts(path)
    assert found.names == tuple(str(i + 1) for i in range(prompts.batch_size))
    (group,) = found.groups
    assert group.positions.tolist() == list(range(prompts.batch_size))
    assert group.prompts.xs.tobytes() == prompts.xs.tobytes()
    assert group.prompts.ys.tobytes() == prompts.ys.tobytes()
    assert group.prompts.ys.shape == prompts.ys.shape


def components_as(suffix, path, components, weights):
    if suffix == ".npz":
        given = {} if weights is None else {"weights": weights}
        np.savez(path, components=components, **given)
    elif suffix == ".json":
        given = {} if weights is None else {"weights": weights.tolist()}
        path.write_text(json.dumps({"components": components.tolist(), **given}))
    else:
        header = [f"w{i + 1}" for i in range(components.shape[1])]
        rows = components.tolist()
        if weights is not None:
            header = [*header, "weight"]
            rows = [[*row, weight] for row, weight in zip(rows, weights.tolist(), strict=True)]
        lines = [header, *([repr(value) for value in row] for row in rows)]
        path.write_text("\n".join(map(",".join, lines)))


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), m=st.integers(1, 4), d=st.integers(1, 3), weighted=st.booleans())
def test_components_read_back_exactly(suffix, data, m, d, weighted):
    components = data.draw(arrays(np.float64, (m, d), elements=finite))
    weights = data.draw(arrays(np.float64, m, elements=finite)) if weighted else None
    with TemporaryDirectory() as parent:
        path = Path(parent, "components" + suffix)
        components_as(suffix, path, components, weights)
        found = read_components(path)
    assert found.components.dtype == np.float64
    assert found.components.tobytes() == components.tobytes()
    if weighted:
        assert found.weights.tobytes() == weights.tobytes()
    else:
        assert found.weights is None


# Answers


@pytest.mark.parametrize("shapes", [[1, 2], [1, 1, 1], [2, 1, 1, 1]])
def test_answers_that_do_not_fit_the_groups_are_refused(tmp_path, shapes):
    path = tmp_path / "p.csv"
    path.write_text("prompt,x1,y\nb,1,2\nb,3,\na,4,\nc,5,6\nc,7,\nd,8,9\nd,1,2\nd,3,\n")
    found = read_prompts(path)
    with pytest.raises(ValueError, match=r"expected \[\(1,\), \(2,\), \(1,\)\]: one array for"):
        found.assemble([np.zeros(size) for size in shapes])


# Bad input and failures


@pytest.mark.parametrize("name", ["p", "p.txt"])
def test_an_unknown_format_is_refused(tmp_path, name):
    path = tmp_path / name
    for act in (read_prompts, read_components, lambda path: write_prompts(path, PROMPTS)):
        with pytest.raises(
            ValueError, match=r"has the suffix .*; expected one of \.npz, \.csv, \.js"
        ):
            act(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path, suffix):
    for read in (read_prompts, read_components):
        with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere\."):
            read(tmp_path / f"nowhere{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes(suffix, data):
    with TemporaryDirectory() as parent:
        path = Path(parent, "p" + suffix)
        write_prompts(path, PROMPTS)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        with suppress(ValueError):
            read_prompts(path)


# Writing is atomic


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix):
    def full(descriptor):
        raise OSError("disk full")

    path = tmp_path / f"p{suffix}"
    write_prompts(path, PROMPTS)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_prompts(path, PROMPTS.prefix(0))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "link.csv").symlink_to("real.csv")
    write_prompts(tmp_path / "link.csv", PROMPTS)
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read_prompts(tmp_path / "real.csv").names) == 2


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from simulations.prompt_files import write_prompts
from theory.prompts import PromptBatch

path, step = sys.argv[1], int(sys.argv[2])
prompts = PromptBatch([[[7.0]]], [[]])
seen = 0

def kill(event, arguments):
    global seen
    if any(os.path.dirname(path) in str(argument) for argument in arguments):
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
write_prompts(Path(path), prompts)
"""


def test_a_kill_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path):
    codes = []
    for step in range(1, 20):
        path = tmp_path / str(step) / "p.csv"
        path.parent.mkdir()
        write_prompts(path, PROMPTS)
        script = [sys.executable, "-c", KILLED_AT, str(path), str(step)]
        codes.append(subprocess.run(script, cwd=ROOT, check=False, timeout=60).returncode)
        killed = codes[-1] == -signal.SIGKILL
        assert len(read_prompts(path).names) == (2 if killed else 1)
        if not killed:
            break
    assert len(codes) > 2, "no kill fell between the writing and the renaming"
    assert codes[-1] == 0
