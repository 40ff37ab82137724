"""Several processes, on one machine or more, that train one model together (torchrun)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

__all__ = ["ALONE", "Processes", "joined_processes"]


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is; each takes an equal share of every batch.

    Parameters
    ----------
    rank, count
        0 <= rank < count.
    """

    rank: int = 0
    count: int = 1

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, in each of them."""
        if self.count == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.count


#: One process.
ALONE = Processes()


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, if it did; leave them at the end.

    Parameters
    ----------
    device
        "cpu" (they talk through gloo) or "cuda" (through nccl, each on a GPU of its own).

    Raises
    ------
    ValueError
        If the environment that torchrun sets is damaged, or a process has no GPU of its own.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    if device == "cuda":
        number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= there:
            raise ValueError(
                f"device is 'cuda', and process {number} of this machine (from 0) has no GPU:"
                f" torch finds {there}; start at most one process a GPU, or take device 'cpu'"
            )
        torch.cuda.set_device(number)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
