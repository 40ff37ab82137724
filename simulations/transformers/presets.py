"""Trainings with names: `smoke` takes seconds, `laptop` minutes on two cores, `paper` a GPU.

`laptop`: Adam at 3e-3 with 100 steps of warm-up and a cosine, three layers of width 64 with 8
heads, weights of standard deviation 1/sqrt(width) at the start. With 0.02, as in the stock model, a
model of this width stays where it predicts the prior mean. In trials (d = m = 5, sigma = 1, one
seed) the largest excess over the posterior mean at any prefix was .050, .040 and .033 after 3,500,
5,000 and 7,000 steps with 4 heads, and .030 after 5,000 steps with 8; four layers gain nothing.

`paper`: the transformer of pathak2023, Section 4, by the recipe of Garg et al. 2022, which its
experiments follow: d = 20, K = 60, 12 layers, 8 heads, width 256, batches of 64, Adam at a constant
1e-4 without warm-up, its betas 0.9 and 0.999, weights of standard deviation 0.02. (The "0.1" that
the paper prints as step size trains no such model.) The curriculum adds a dimension and two
covariates every 2,000 steps, from 5 and 11: covariates reach K + 1 = 61 in the 26th phase, the
last, which with the 250,000 steps of the paper's "final stage" makes 26 * 2,000 + 250,000 =
302,000 steps. Precision is float32, as there: bfloat16 rounds by 2^-9, and labels of size
sqrt(d) so by an error that is no longer small beside the differences of predictors for sigma = 0.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from simulations.transformers.config import Curriculum, ModelConfig, Steps, TransformerTraining
from simulations.transformers.prompts import MixturePrompts

__all__ = ["find_training", "presets"]


def presets(name: str) -> Mapping[str, TransformerTraining]:
    """Return the trainings of a preset by their labels.

    Parameters
    ----------
    name
        "smoke", "laptop" or "paper".

    Raises
    ------
    ValueError
        If there is no preset of this name; the message has one that is near.
    """
    known = {"smoke": _smoke, "laptop": _laptop, "paper": _paper}
    if name not in known:
        raise ValueError(f"there is no preset {name!r}: {_advice(name, known)}")
    return MappingProxyType(known[name]())


def find_training(preset: str, label: str | None) -> TransformerTraining:
    """Return one training of a preset.

    Parameters
    ----------
    preset
        As for `presets`.
    label
        Which; None if the preset has one only.

    Raises
    ------
    ValueError
        If there is no such preset or label, with one that is near, or a label is needed.
    """
    found = presets(preset)
    if label is None and len(found) > 1:
        raise ValueError(f"the preset {preset!r} has several labels: expected {_listed(found)}")
    label = next(iter(found)) if label is None else label
    if label not in found:
        raise ValueError(f"the preset {preset!r} has no label {label!r}: {_advice(label, found)}")
    return found[label]


def _advice(given: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected {_listed(known)}"


def _listed(labels: Mapping[str, object]) -> str:
    return f"one of {', '.join(map(repr, labels))}"


def _smoke() -> dict[str, TransformerTraining]:
    small = TransformerTraining(
        # Of other seeds the two components are close to each other.
        MixturePrompts(2, 2, 0.5, num_examples=6, components_seed=3),
        ModelConfig(layers=2, heads=4, width=32),
        Steps(count=800, batch_size=32, step_size=5e-3, warm_up=20),
        seeds=(0, 1),
        records=16,
    )
    section_1_2 = replace(small.model, architecture="section-1.2")
    return {"m=2": small, "m=2, section 1.2": replace(small, model=section_1_2)}


def _laptop() -> dict[str, TransformerTraining]:
    def training(
        prompts: MixturePrompts, layers: int, steps: int, seeds: tuple[int, ...] = (0, 1, 2)
    ) -> TransformerTraining:
        return TransformerTraining(
            prompts,
            ModelConfig(layers=layers, heads=8, width=64),
            Steps(
                count=steps,
                batch_size=64,
                step_size=3e-3,
                betas=(0.9, 0.98),
                warm_up=100,
                decay="cosine",
            ),
            seeds=seeds,
            records=50,
        )

    return {
        "m=5, sigma=1": training(MixturePrompts(5, 5, 1.0, 15), 3, 5000),
        "m=2, sigma=1": training(MixturePrompts(2, 5, 1.0, 15), 2, 2000),
        "m=5, sigma=0": training(MixturePrompts(5, 5, 0.0, 15), 3, 4000, (0,)),
        "d=10, m=5, sigma=1": training(MixturePrompts(5, 10, 1.0, 20), 3, 4000, (0,)),
    }


def _paper() -> dict[str, TransformerTraining]:
    return {
        f"m={m}, sigma={sigma}": TransformerTraining(
            MixturePrompts(m, 20, float(sigma), 60),
            ModelConfig(layers=12, heads=8, width=256, init_std=0.02),
            Steps(
                count=302_000,
                batch_size=64,
                step_size=1e-4,
                betas=(0.9, 0.999),
                warm_up=0,
                decay="none",
            ),
            Curriculum(dim=5, points=11, dim_increment=1, points_increment=2, every=2000),
            seeds=(0,),
            device="cuda",
            records=302,
        )
        for m in (5, 20)
        for sigma in (0, 1)
    }
