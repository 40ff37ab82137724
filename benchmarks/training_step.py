"""How fast a step of training is, beside stock GPT-2, and of several small models at once.

    .venv/bin/python benchmarks/training_step.py [--json]

A step is everything: prompts are drawn, then forward, loss, backward and Adam, as `TrainingRun`
takes it. The peer is a plain loop around stock `transformers.GPT2Model` with sdpa attention and
`torch.optim.Adam` as it comes, with a read-in, a read-out and prompts of the same law. The model
is that of pathak2023: 12 layers, 8 heads, 256 wide, d = 20, 121 tokens, batches of 64, float32.
Then a laptop's model, one and three of them: one after the other, and stacked by vmap. Medians
over repetitions that take turns, in this process, on one thread, in seconds of processor time,
which another busy process hardly stretches. Exit code 1 if a step of the paper's model takes
longer than stock GPT-2's.
"""

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model

from simulations.transformers import (
    MixturePrompts,
    ModelConfig,
    Steps,
    TrainingRun,
    TransformerTraining,
)
from simulations.transformers.copies import StackedCopies
from simulations.transformers.models import new_model

#: The least ratio of stock GPT-2's time to ours.
RATIO = 1.0

PAPER = TransformerTraining(
    MixturePrompts(num_components=20, dim=20, num_examples=60),
    ModelConfig(layers=12, heads=8, width=256),
    Steps(count=1000, step_size=1e-4, warm_up=0, decay="none"),
)
SMALL = MixturePrompts(num_components=5, dim=5, num_examples=15)


def laptop(seeds: int) -> TransformerTraining:
    """The small model: 3 layers, 4 heads, 64 wide, 31 tokens."""
    return TransformerTraining(SMALL, ModelConfig(), Steps(), seeds=tuple(range(seeds)))


class Stock(nn.Module):
    """Stock GPT-2 with a read-in and a read-out."""

    def __init__(self, config: TransformerTraining) -> None:
        super().__init__()
        own = config.model
        self.read_in = nn.Linear(config.prompts.dim, own.width)
        self.gpt2 = GPT2Model(
            GPT2Config(
                vocab_size=1,
                n_positions=config.num_positions,
                n_embd=own.width,
                n_layer=own.layers,
                n_head=own.heads,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                attn_implementation="sdpa",
                use_cache=False,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        self.read_out = nn.Linear(own.width, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Answer in every column of a covariate."""
        last = self.gpt2(inputs_embeds=self.read_in(tokens)).last_hidden_state
        return self.read_out(last)[:, ::2, 0]


def stock_step(config: TransformerTraining) -> Callable[[], None]:
    """Return a step of a plain loop, which draws its prompts anew each time."""
    model, rng = Stock(config).train(), np.random.default_rng(0)
    adam = torch.optim.Adam(model.parameters(), lr=config.steps.step_size)

    def step() -> None:
        xs, ys, _ = config.prompts.sample(config.steps.batch_size, rng)
        tokens = torch.zeros(len(xs), 2 * xs.shape[1] - 1, xs.shape[2])
        tokens[:, ::2] = torch.from_numpy(xs)
        tokens[:, 1::2, 0] = torch.from_numpy(ys[:, :-1])
        adam.zero_grad()
        loss = (model(tokens) - torch.from_numpy(ys).float()).square().mean()
        loss.backward()
        adam.step()

    return step


def our_step(config: TransformerTraining, *, stacked: bool = False) -> Callable[[], None]:
    """Return a step of a new training; `stacked` as on a GPU, whatever the device."""
    run = TrainingRun(config)
    if stacked:
        run._copies = StackedCopies([new_model(config, seed) for seed in config.seeds])
        run._parameters = list(run._copies.parameters())
        run._forward = run._copies
        run._optimiser = torch.optim.Adam(run._parameters, fused=True)
    return lambda: run.advance(run.step + 1)


def seconds(repetitions: int, **calls: Callable[[], None]) -> dict[str, list[float]]:
    """Return the seconds of each call; the calls take turns, and the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repetition in range(repetitions + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if repetition:
                times[name].append(time.process_time() - start)
    return times


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description="Steps of training, beside stock GPT-2's.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of the paper's model")
    arguments = parser.parse_args()
    # vmap says on a CPU that it has no batching rule for attention, and loops.
    warnings.filterwarnings("ignore", message=".*batching rule")
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    paper = seconds(arguments.rounds, ours=our_step(PAPER), stock=stock_step(PAPER))
    small = seconds(
        10,
        stock=stock_step(laptop(1)),
        one=our_step(laptop(1)),
        three=our_step(laptop(3)),
        stacked=our_step(laptop(3), stacked=True),
    )
    median = {name: statistics.median(found) for name, found in paper.items()}
    each = {name: statistics.median(found) for name, found in small.items()}
    ratio = median["stock"] / median["ours"]
    # Neighbours in time, so that other work on the machine hits both.
    pairs = sorted(b / a for a, b in zip(paper["ours"], paper["stock"], strict=True))
    if arguments.json:
        data = {"passes": ratio >= RATIO, "ratio": ratio, "pairs": pairs, "load": before}
        print(json.dumps(data | {"paper_s": median, "laptop_s": each}, indent=2))
    else:
        print(f"load before {before:.1f}\n")
        print(f"{'one step: draw, forward, backward, Adam':48} seconds  stock / ours")
        print(f"{'paper (12 layers, 256 wide, 64 x 121), ours':48} {median['ours']:7.3f}")
        told = f"{ratio:.2f} (limit {RATIO:g}; pairs {pairs[0]:.2f} to {pairs[-1]:.2f})"
        print(f"{'  stock GPT2Model, sdpa':48} {median['stock']:7.3f}  {told}")
        rows = {
            "one": "laptop (3 layers, 64 wide, 64 x 31), ours",
            "stock": "  stock GPT2Model, sdpa",
            "three": "  three seeds, one after the other",
            "stacked": "  three seeds, stacked by vmap",
        }
        for name, label in rows.items():
            note = f"{each['stock'] / each['one']:.2f}" if name == "stock" else ""
            if name in ("three", "stacked"):
                note = f"{each[name] / each['one']:.2f} times one seed"
            print(f"{label:48} {each[name]:7.4f}  {note}")
    sys.exit(0 if ratio >= RATIO else 1)


if __name__ == "__main__":
    main()
