"""Two processes of torchrun train what one does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from simulations.transformers import Curriculum, Steps, TrainingRun, TrainingSet, train
from simulations.transformers.processes import ALONE, Processes, joined_processes
from tests.simulations.transformers.cases import DROPPED, PLAIN, QUICK, changed

ROOT = Path(__file__).parents[3]

SHARED = {
    "plain": QUICK,
    "seeds and clip": changed(steps=Steps(13, 6, warm_up=3, clip=0.5), seeds=(3, 0)),
    "set and curriculum": changed(
        training_set=TrainingSet(20), curriculum=Curriculum(dim=3, points=2, every=4)
    ),
    "section 1.2": changed(model=PLAIN),
}

TRAINED_TOGETHER = """
import sys
from pathlib import Path
import torch
from simulations.transformers import TrainingRun, train
from simulations.transformers.processes import joined_processes
from tests.simulations.transformers.test_processes import SHARED

torch.set_num_threads(1)
with joined_processes("cpu") as processes:
    assert processes.count == 2
    for name, config in SHARED.items():
        run = TrainingRun(config, processes)
        run.advance(8)
        # Saved and resumed on the way.
        run = train(TrainingRun.restored(config, run.save(), processes))
        Path(sys.argv[1], f"{name}-{processes.rank}").write_bytes(run.save())
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    script = folder / "train.py"
    script.write_text(TRAINED_TOGETHER)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, script, folder],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", SHARED)
def test_two_processes_train_what_one_does(together, name):
    """Losses, norms and weights to 1e-6 of their scale; both processes have the same weights."""
    config = SHARED[name]
    first, second = (
        TrainingRun.restored(config, (together / f"{name}-{rank}").read_bytes()) for rank in (0, 1)
    )
    alone = train(TrainingRun(config))
    for field in ("losses", "gradient_norms"):
        mine, theirs = getattr(alone.records(), field), getattr(first.records(), field)
        assert mine.shape == (4, len(config.seeds))
        np.testing.assert_allclose(theirs, mine, rtol=1e-6)
        assert np.array_equal(theirs, getattr(second.records(), field))
    for mine, theirs, others in zip(
        alone.weights(), first.weights(), second.weights(), strict=True
    ):
        assert all(torch.equal(theirs[key], others[key]) for key in theirs)
        for key, weights in mine.items():
            if not key.endswith("attend.bias"):  # softmax does not see the bias of keys
                assert (weights - theirs[key]).abs().max() <= 1e-6, key


def test_shares_of_a_batch_are_all_of_it():
    run, parts = TrainingRun(QUICK), []
    whole, _ = run._prompts()
    for rank in range(3):
        run.processes = Processes(rank, 3)
        parts.append(run._prompts()[0])
    assert {part.shape[1] for part in parts} == {2}
    found = torch.cat(parts, dim=1)[0]
    assert sorted(map(str, found.tolist())) == sorted(map(str, whole[0].tolist()))


def test_dropout_is_drawn_anew_for_every_seed_step_and_process():
    run, drawn = TrainingRun(changed(model=DROPPED, seeds=(3, 0))), []
    for step in range(3):
        for rank in range(2):
            run.step, run.processes = step, Processes(rank, 2)
            drawn += run._dropout_seeds()
    assert len(set(drawn)) == len(drawn) == 12


def test_a_batch_without_equal_shares_is_refused():
    with pytest.raises(
        ValueError, match=r"batch_size is 6, and there are 4 processes; expected a mu"
    ):
        TrainingRun(QUICK, Processes(0, 4))


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with joined_processes("cpu") as processes:
        assert processes == ALONE
        values = torch.ones(2)
        assert processes.mean(values) is values


def test_a_damaged_environment_is_told(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "0")
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="RANK"), joined_processes("cpu"):
        pass
