"""Experiments that compute nothing of interest, quickly."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulations.experiments.experiment import Arrays, Checkpoint, Experiment
from theory.validation import Problems


@dataclass(frozen=True)
class Walk:
    """Random walks of some lengths; a walker named in `fails` stumbles."""

    num_walkers: int = 3
    steps: int = 40
    scale: float = 1.0
    seed: int = 0
    fails: tuple[int, ...] = ()
    diary: str | None = None
    pause: float = 0.0

    def __post_init__(self) -> None:
        problems = Problems("Walk")
        problems.count("num_walkers", self.num_walkers, 1)
        problems.count("steps", self.steps, 1)
        problems.number("scale", self.scale, 0.0, strict=True)
        problems.raise_if_any()


def walkers(config: Walk) -> tuple[str, ...]:
    return tuple(f"walker-{i}" for i in range(config.num_walkers))


def walk(config: Walk, part: str, checkpoint: Checkpoint) -> Arrays:
    """Walk, saving the place every few steps; leave a line in the diary for each beginning."""
    number = int(part.removeprefix("walker-"))
    state = checkpoint.load()
    begun, place = (0, 0.0) if state is None else np.frombuffer(state)
    if config.diary is not None:
        with Path(config.diary).open("a") as diary:
            diary.write(f"{part} {int(begun)}\n")
    if number in config.fails:
        raise RuntimeError(f"{part} stumbled\nover two lines")
    path = float(place)
    for step in range(int(begun), config.steps):
        stream = np.random.default_rng(
            np.random.SeedSequence(config.seed, spawn_key=(number, step))
        )
        path += config.scale * float(stream.standard_normal(1000).sum())
        time.sleep(config.pause)
        if step % 20 == 9:
            checkpoint.save(np.array([step + 1.0, path]).tobytes())
    return {
        "end": np.array(path),
        "number": np.array([number]),
        "even": np.array([number % 2 == 0]),
    }


def gather(config: Walk, parts: Mapping[str, Arrays]) -> Arrays:
    numbers = np.concatenate([parts[name]["number"] for name in walkers(config)])
    ends = np.stack([parts[name]["end"] for name in walkers(config)])
    return {"walkers/end": ends, "numbers": numbers, "mean": np.array(ends.mean())}


WALK = Experiment(
    "toy-walk",
    "Random walks",
    "nowhere",
    Walk,
    walkers,
    walk,
    gather,
    {"smoke": {"short": Walk(), "long": Walk(steps=60)}, "laptop": {"two": Walk(2)}},
)


def pid_of(config: Walk, part: str, checkpoint: Checkpoint) -> Arrays:
    return {"pid": np.array(os.getpid()), "number": np.array([0]), "end": np.array(0.0)}
