"""A training that can be stopped after any step and goes on from bytes, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import safetensors
import safetensors.torch
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from simulations.transformers.batches import Batches
from simulations.transformers.config import TransformerTraining
from simulations.transformers.copies import copies
from simulations.transformers.models import new_model, tokens_of
from simulations.transformers.processes import ALONE, Processes

__all__ = ["DivergedError", "Progress", "Records", "TrainingRun", "train"]

#: The version of what `TrainingRun.save` writes.
FORMAT = 1

_STATE = "state"

#: Key of the stream of a seed that dropout is drawn from.
_DROPOUT = 4


class DivergedError(ArithmeticError):
    """Losses or weights are no longer finite."""


@dataclass(frozen=True, eq=False)
class Records:
    """What was recorded along a training, one row a record.

    Attributes
    ----------
    steps
        The number of steps taken, shape (records,).
    losses
        Mean squared error over the batches since the record before, noise included, shape
        (records, seeds).
    gradient_norms
        Mean norm of the gradient of all weights since then, before clipping, (records, seeds).
    """

    steps: Int[np.ndarray, " records"]
    losses: Float[np.ndarray, "records seeds"]
    gradient_norms: Float[np.ndarray, "records seeds"]


class TrainingRun:
    """A training, somewhere between its first step and its last.

    Parameters
    ----------
    config
        What to train, and how.
    processes
        If there are several, each takes its share of the batches; all have the same weights.

    Raises
    ------
    ValueError
        If the config asks for a GPU and there is none, or the batch has no equal shares.

    Attributes
    ----------
    config, processes
        The same.
    step
        Steps taken so far.
    """

    def __init__(self, config: TransformerTraining, processes: Processes = ALONE) -> None:
        _check_device(config)
        if config.steps.batch_size % processes.count:
            raise ValueError(
                f"steps.batch_size is {config.steps.batch_size}, and there are {processes.count}"
                " processes; expected a multiple, so that each has an equal share"
            )
        self.config, self.processes, self.step = config, processes, 0
        self._device = torch.device(config.device)
        self._copies = copies([new_model(config, seed) for seed in config.seeds], self._device)
        self._parameters = list(self._copies.parameters())
        self._forward: nn.Module = self._copies
        if config.compiled:
            self._copies.compile()
        if processes.count > 1:
            self._forward = nn.parallel.DistributedDataParallel(self._copies)
        self._optimiser = torch.optim.Adam(
            self._parameters, config.steps.step_size, config.steps.betas, fused=True
        )
        self._batches = Batches(config)
        # Sums since the last record, of losses and of gradient norms.
        self._sums = torch.zeros(2, len(config.seeds), dtype=torch.float64, device=self._device)
        self._records = torch.zeros(config.records, 2, len(config.seeds), dtype=torch.float64)

    def advance(self, until: int) -> None:
        """Take steps until `step` is `until`.

        Raises
        ------
        ValueError
            If `until` is not between `step` and the config's `steps.count`.
        DivergedError
            If losses or weights are not finite: at the next record, so before the next checkpoint.
        """
        if not self.step <= until <= self.config.steps.count:
            raise ValueError(
                f"advance({until}): expected a number from {self.step}, the steps taken so far, to"
                f" {self.config.steps.count}, those of the config"
            )
        records = {step: number for number, step in enumerate(self.config.record_steps)}
        self._copies.train()
        while self.step < until:
            self._take_step()
            if self.step in records:
                self._record(records[self.step])

    def weights(self) -> list[dict[str, Tensor]]:
        """Return the weights of each model, in the order of seeds, on the CPU."""
        return [
            {name: tensor.cpu().clone() for name, tensor in own.items()}
            for own in self._copies.weights()
        ]

    def models(self) -> list[nn.Module]:
        """Return each model as it is now, in the order of seeds, on the CPU and in float32."""
        made = []
        for seed, weights in zip(self.config.seeds, self.weights(), strict=True):
            model = new_model(self.config, seed)
            model.load_state_dict(weights)
            made.append(model.eval())
        return made

    def records(self) -> Records:
        """Return what was recorded so far."""
        done = [step for step in self.config.record_steps if step <= self.step]
        rows = self._records[: len(done)].numpy()
        return Records(np.array(done, dtype=np.int64), rows[:, 0].copy(), rows[:, 1].copy())

    def save(self) -> bytes:
        """Return all that the rest of the training depends on: safetensors, JSON in its header.

        Random numbers depend on seeds and the number of the step only, so that `step` is their
        state.
        """
        state = {"format": FORMAT, "config": _as_json(self.config), "step": self.step}
        tensors = {name: t.detach().cpu().contiguous() for name, t in self._tensors().items()}
        return safetensors.torch.save(tensors, {_STATE: json.dumps(state)})

    @classmethod
    def restored(
        cls, config: TransformerTraining, saved: bytes, processes: Processes = ALONE
    ) -> TrainingRun:
        """Return the training that `save` described.

        Raises
        ------
        ValueError
            If the bytes are damaged, or are those of another config.
        """
        try:
            tensors = safetensors.torch.load(saved)
            length = int.from_bytes(saved[:8], "little")
            state = json.loads(json.loads(saved[8 : 8 + length])["__metadata__"][_STATE])
            found, step, version = state["config"], int(state["step"]), state["format"]
        except (safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
            raise _damaged(error) from error
        _check_config(config, found, version)
        if not 0 <= step <= config.steps.count:
            raise _damaged(f"step is {step}, of {config.steps.count}")
        run = cls(config, processes)
        run.step = step
        run._load(tensors)
        return run

    def _take_step(self) -> None:
        """One step of the optimiser, for all models."""
        steps = self.config.steps
        for group in self._optimiser.param_groups:
            group["lr"] = steps.step_size_at(self.step)
        tokens, labels = self._prompts()
        self._optimiser.zero_grad()
        with self._autocast():
            answers = self._forward(tokens, self._dropout_seeds())
        losses = (answers[..., 0::2].float() - labels).square().mean(dim=(1, 2))
        # The sum: the gradient of each model is that of its own loss.
        losses.sum().backward()
        norms = self._copies.gradient_norms()
        if steps.clip is not None:
            self._copies.scale_gradients((steps.clip / norms).clamp(max=1.0))
        self._optimiser.step()
        self._sums += torch.stack([losses.detach(), norms])
        self.step += 1

    def _prompts(self) -> tuple[Float[Tensor, "seeds batch columns d"], Float[Tensor, "s b n"]]:
        """Draw the share of the batch of each model that is for this process."""
        rank, count = self.processes.rank, self.processes.count
        drawn = [self._batches(seed, self.step) for seed in self.config.seeds]
        xs = np.stack([xs[rank::count] for xs, _ in drawn])
        ys = np.stack([ys[rank::count] for _, ys in drawn])
        tokens = tokens_of(xs, ys[..., :-1]).to(self._device, torch.float32)
        return tokens, torch.from_numpy(ys).to(self._device, torch.float32)

    def _dropout_seeds(self) -> tuple[int, ...]:
        if self.config.model.dropout == 0:
            return ()
        keys = (_DROPOUT, self.step, self.processes.rank)
        states = (
            np.random.SeedSequence(seed, spawn_key=keys).generate_state(1, np.uint64)[0]
            for seed in self.config.seeds
        )
        return tuple(int(state >> np.uint64(1)) for state in states)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)

    def _record(self, number: int) -> None:
        """Note the means since the last record; refuse what is not finite."""
        before = (0, *self.config.record_steps)[number]
        means = self.processes.mean(self._sums / (self.step - before)).cpu()
        finite = bool(torch.isfinite(means).all()) and all(
            bool(torch.isfinite(p).all()) for p in self._parameters
        )
        if not finite:
            raise DivergedError(
                f"training diverged between steps {before} and {self.step}: mean losses"
                f" {means[0].tolist()} for seeds {list(self.config.seeds)}; expected finite losses"
                f" and weights: take a smaller steps.step_size than {self.config.steps.step_size:g}"
                " or set steps.clip"
            )
        self._records[number] = means
        self._sums.zero_()

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name."""
        tensors = {"records": self._records, "sums": self._sums}
        tensors |= {f"weights.{i}": p for i, p in enumerate(self._parameters)}
        for i, moments in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{name}": moment for name, moment in moments.items()}
        return tensors

    def _load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the tensors of `_tensors`."""
        mine = self._tensors()
        shapes = {name: tensor.shape for name, tensor in mine.items()} | self._moment_shapes()
        for name, shape in shapes.items():
            if name not in tensors or tensors[name].shape != shape:
                found = tuple(tensors[name].shape) if name in tensors else "missing"
                raise _damaged(f"{name} is {found}, expected shape {tuple(shape)}")
        moments: dict[int, dict[str, Tensor]] = {}
        for name in self._moment_shapes():
            _, number, moment = name.split(".")
            moments.setdefault(int(number), {})[moment] = tensors[name]
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": moments})
        with torch.no_grad():
            for name, tensor in mine.items():
                tensor.copy_(tensors[name])

    def _moment_shapes(self) -> dict[str, torch.Size]:
        """The shapes of the optimiser's tensors by name: none before the first step."""
        shapes: dict[str, torch.Size] = {}
        for i, p in enumerate(self._parameters if self.step else ()):
            shapes |= {f"optimiser.{i}.{name}": p.shape for name in ("exp_avg", "exp_avg_sq")}
            shapes[f"optimiser.{i}.step"] = torch.Size()
        return shapes


#: Told the training at every record; it may save it, and stop it by raising.
Progress: TypeAlias = Callable[[TrainingRun], None]


def train(run: TrainingRun, on_progress: Progress | None = None) -> TrainingRun:
    """Take the steps that are left, and return the same run.

    Parameters
    ----------
    run
        A new training, or a restored one.
    on_progress
        Called at every record.

    Raises
    ------
    DivergedError
        As in `TrainingRun.advance`.
    """
    for step in run.config.record_steps:
        if step > run.step:
            run.advance(step)
            if on_progress is not None:
                on_progress(run)
    return run


def _as_json(config: TransformerTraining) -> Any:
    return json.loads(json.dumps(asdict(config)))


def _check_device(config: TransformerTraining) -> None:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device is 'cuda', and torch finds no GPU here; expected device 'cpu', or a machine"
            " with a GPU, its driver and a torch that was built for it"
        )


def _damaged(reason: object) -> ValueError:
    return ValueError(
        f"the saved state of a training is damaged ({reason}); expected the bytes of"
        " TrainingRun.save: start again, or from an older state"
    )


def _check_config(config: TransformerTraining, found: object, version: object) -> None:
    if version != FORMAT:
        raise ValueError(
            f"the saved state of a training has format {version!r}; expected {FORMAT}: it was"
            " written by another version of iclproof, which can resume it"
        )
    if found != (wanted := _as_json(config)):
        raise ValueError(
            f"the saved state is that of another config: {_difference(found, wanted)}; resume with"
            " the config it was saved with, or train anew elsewhere"
        )


def _difference(found: Any, wanted: Any, where: str = "config") -> str:
    """Name the first field that differs."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in wanted:
            if found.get(name) != wanted[name]:
                return _difference(found.get(name), wanted[name], f"{where}.{name}")
    return f"{where} is {found!r} there, and {wanted!r} was asked for"
