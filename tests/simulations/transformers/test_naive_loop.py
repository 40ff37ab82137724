"""The trainer against a plain loop around stock transformers.GPT2Model.

The loop shares the prompts and the weights of the start with the trainer, and nothing else: tokens,
losses, gradients, clipping, step sizes and Adam are its own, the model is stock.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch

from simulations.transformers import Curriculum, ModelConfig, Steps, TrainingRun, TrainingSet, train
from simulations.transformers.batches import Batches
from tests.constructions.stock_gpt2 import stock_of
from tests.simulations.transformers.cases import QUICK

BASE = dataclasses.replace(
    QUICK,
    model=ModelConfig(layers=2, heads=2, width=16),
    steps=Steps(20, 16, 0.01, (0.8, 0.95), warm_up=4),
    records=5,
    seeds=(3,),
)


def with_steps(**changes):
    return dataclasses.replace(BASE, steps=dataclasses.replace(BASE.steps, **changes))


CONFIGS = {
    "plain": BASE,
    "constant step": with_steps(decay="none", warm_up=0),
    "clip": with_steps(clip=2.0),
    "uneven records": dataclasses.replace(BASE, records=7),
    "curriculum": dataclasses.replace(BASE, curriculum=Curriculum(dim=1, points=2, every=5)),
    "training set": dataclasses.replace(BASE, training_set=TrainingSet(20)),
    "without positions": dataclasses.replace(
        BASE, model=dataclasses.replace(BASE.model, positions="none")
    ),
    "spare positions": dataclasses.replace(
        BASE, model=dataclasses.replace(BASE.model, max_examples=9)
    ),
}


def naive(config, start, folder):
    """Losses and norms of gradients of every step, and the last model's answers."""
    gpt2 = stock_of(start, folder, "eager")
    gpt2.wpe.weight.requires_grad_(start.positions is not None)
    read_in, read_out = (
        torch.nn.Linear(m.in_features, m.out_features) for m in (start.read_in, start.read_out)
    )
    read_in.load_state_dict(start.read_in.state_dict())
    read_out.load_state_dict(start.read_out.state_dict())
    parts = [*gpt2.parameters(), *read_in.parameters(), *read_out.parameters()]
    parameters = [p for p in parts if p.requires_grad and p is not gpt2.wte.weight]
    adam = torch.optim.Adam(parameters, lr=1.0, betas=config.steps.betas, foreach=False)
    batches, seen = Batches(config), []

    def answer(xs, ys):
        tokens = torch.zeros(len(xs), 2 * xs.shape[1] - 1, xs.shape[2])
        for n in range(xs.shape[1]):
            tokens[:, 2 * n] = torch.from_numpy(xs[:, n]).float()
            if n + 1 < xs.shape[1]:
                tokens[:, 2 * n + 1, 0] = torch.from_numpy(ys[:, n]).float()
        last = gpt2(inputs_embeds=read_in(tokens)).last_hidden_state
        return torch.cat([read_out(last[:, 2 * n]) for n in range(xs.shape[1])], dim=1)

    for step in range(config.steps.count):
        xs, ys = batches(config.seeds[0], step)
        loss = torch.nn.functional.mse_loss(answer(xs, ys), torch.from_numpy(ys).float())
        adam.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(p.grad.double().square().sum().item() for p in parameters))
        if config.steps.clip is not None and norm > config.steps.clip:
            for p in parameters:
                p.grad *= config.steps.clip / norm
        share = (step + 1) / config.steps.warm_up if step < config.steps.warm_up else 1.0
        if config.steps.decay == "cosine":
            share *= math.cos(0.5 * math.pi * step / config.steps.count) ** 2
        adam.param_groups[0]["lr"] = config.steps.step_size * share
        adam.step()
        seen.append((loss.item(), norm))
    return np.array(seen), answer


@pytest.mark.parametrize("name", CONFIGS)
def test_records_are_those_of_a_plain_loop(tmp_path, name):
    """Means of losses and of norms since the last record, to 1e-6 relatively (1.3e-7 was seen)."""
    config = CONFIGS[name]
    run = TrainingRun(config)
    seen, answer = naive(config, run.models()[0], tmp_path)
    records = train(run).records()
    assert records.steps[-1] == 20
    starts = [0, *records.steps[:-1]]
    expected = np.array(
        [seen[i:j].mean(axis=0) for i, j in zip(starts, records.steps, strict=True)]
    )
    found = np.stack([records.losses[:, 0], records.gradient_norms[:, 0]], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not np.allclose(expected[0], expected[-1], rtol=0.01)
    # What it learned answers alike, too.
    xs, ys, _ = config.prompts.sample(50, np.random.default_rng(0))
    (model,) = run.models()
    tokens = np.zeros((50, 9, 3), dtype=np.float32)
    tokens[:, ::2], tokens[:, 1::2, 0] = xs, ys[:, :-1]
    with torch.no_grad():
        mine, theirs = model(torch.from_numpy(tokens))[:, ::2, 0], answer(xs, ys)
    assert (mine - theirs).abs().max() <= 1e-4 * theirs.abs().max()
    if name == "clip":
        assert 0 < np.sum(seen[:, 1] > 2.0) < 20


@pytest.mark.parametrize(
    ("name", "change"), [("plain", {"step_size": 0.0101}), ("clip", {"clip": 2.2})]
)
def test_the_comparison_can_fail(name, change):
    """Another step size or another clip is a hundred times as far away as the tolerance."""
    config = CONFIGS[name]
    other = dataclasses.replace(config, steps=dataclasses.replace(config.steps, **change))
    first, second = (train(TrainingRun(c)).records().losses for c in (config, other))
    assert np.abs(second / first - 1).max() > 1e-4
