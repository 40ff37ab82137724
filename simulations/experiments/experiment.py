"""What an experiment is: a pure function of a frozen config, in parts that can run apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

from simulations.stored_folder import JSON

__all__ = ["Arrays", "Checkpoint", "Experiment", "NoCheckpoint", "Preset"]

#: What a part and an experiment return: arrays of numbers by name, float64, float32, int64 or bool.
Arrays: TypeAlias = Mapping[str, np.ndarray]

#: "smoke" takes seconds, "laptop" minutes on two cores, "paper" has the paper's sizes.
Preset: TypeAlias = Literal["smoke", "laptop", "paper"]

Config = TypeVar("Config")


@runtime_checkable
class Checkpoint(Protocol):
    """Where a long part keeps its state, so that it goes on after a kill."""

    def load(self) -> bytes | None:
        """Return the last state that was saved, or None."""
        ...

    def save(self, state: bytes) -> None:
        """Keep a state, atomically, in place of the one before."""
        ...


class NoCheckpoint:
    """A checkpoint that keeps nothing: for a part that runs in memory."""

    def load(self) -> bytes | None:
        """Return None."""
        return None

    def save(self, state: bytes) -> None:
        """Forget the state."""


@dataclass(frozen=True)
class Experiment(Generic[Config]):
    """An experiment: how its configs look, what its parts are and what they compute.

    Everything that a result depends on is in the config, its seed included; two runs of one config
    on one machine are bitwise equal, whatever their parts ran on.

    Parameters
    ----------
    name
        As in ``iclproof runs start NAME``: ``pathak2023-figure-7``.
    title
        What it shows, one line.
    source
        Paper and place.
    config_type
        A frozen dataclass that raises a `ValueError` naming every field out of range.
    parts
        The names of the parts of a config: independent of one another, each worth a process of its
        own (seconds to minutes).
    compute
        Compute one part of a config. A long one saves its state in the checkpoint, and goes on from
        there with bitwise the same result.
    combine
        Make the result out of the parts, all of them, by name.
    presets
        Configs by preset and label. An experiment may lack a preset.
    encode, decode
        The config as JSON, and back; by default those of `simulations.experiments.config_files`.
    """

    name: str
    title: str
    source: str
    config_type: type[Config]
    parts: Callable[[Config], tuple[str, ...]]
    compute: Callable[[Config, str, Checkpoint], Arrays]
    combine: Callable[[Config, Mapping[str, Arrays]], Arrays]
    presets: Mapping[Preset, Mapping[str, Config]]
    encode: Callable[[Config], dict[str, JSON]] | None = None
    decode: Callable[[Mapping[str, Any]], Config] | None = None

    def run(self, config: Config) -> Arrays:
        """Compute a config here and now, in memory and on one core, without a store."""
        names = self.parts(config)
        return self.combine(config, {n: self.compute(config, n, NoCheckpoint()) for n in names})
