"""One circuit through every stage: which stage, and which value in it, is the first to be wrong."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from constructions.circuit import Circuit, names_of
from constructions.compiled_circuit import CompiledCircuit
from constructions.layer_plan import apply
from constructions.values import Attention, Mixture, Value
from tests.constructions.judges import Matrix
from tests.constructions.loops import Meaning

SMALLEST = float(np.finfo(float).tiny)

#: Allowed errors of every value, in units of epsilon times the largest magnitude of its range;
#: softmaxes may be off by epsilon times the range of their logits more. Measured on the list, with
#: eight prompts each: 1 (plans) and 70 (weights, both float types; a chain of products).
PLAN, WEIGHTS = 8.0, {torch.float64: 2.0**8, torch.float32: 2.0**8}


@dataclass(frozen=True)
class Use:
    """How much of its allowed error a value uses, in a stage: "fold", "plan 2", "weights 1"."""

    stage: str
    value: str
    use: float


def uses(circuit: Circuit, model: CompiledCircuit, tokens: Matrix) -> Iterator[Use]:
    """Every stage of a model, in order; ``circuit`` is what it should compute, in plain loops."""
    for prompt in tokens:
        yield from _folded(circuit, model, prompt)
    for stage, streams in (("plan", planned), ("weights", weighted)):
        for prompt in tokens:
            meaning = Meaning(model.folded, prompt)
            epsilon = 2.0**-52 if stage == "plan" else torch.finfo(model.dtype).eps
            base = PLAN if stage == "plan" else WEIGHTS[model.dtype]
            for number, stream in enumerate(streams(model, prompt), start=1):
                for name, wire in written(model, number):
                    held = stream[model.allocation[wire]][:, model.stream.before :]
                    allowed = base + _largest_logit(model, wire)
                    limit = allowed * epsilon * model.ranges[wire].largest
                    use = _use(held, meaning.matrix(wire), max(limit, SMALLEST))
                    yield Use(f"{stage} {number}", name, use)


def first_failure(circuit: Circuit, model: CompiledCircuit, tokens: Matrix) -> tuple[str, str]:
    """The first stage that leaves its allowed error, and the value; ("", "") if none does."""
    # A value that is not a number is as wrong as can be.
    found = next((use for use in uses(circuit, model, tokens) if not use.use <= 1), None)
    return ("", "") if found is None else (found.stage, found.value)


def written(model: CompiledCircuit, layer: int) -> list[tuple[str, Value]]:
    """The wires that a layer (from 1) writes, with their names."""
    scheduled = model.schedule[layer - 1]
    wires = [*scheduled.attended, *scheduled.multiplied]
    names = dict(zip(map(id, model.wires), names_of(model.folded, model.wires), strict=True))
    return [(names[id(wire)], wire) for wire in wires]


def planned(model: CompiledCircuit, prompt: Matrix) -> Iterator[Matrix]:
    """The stream after every plan."""
    stream = model.stream.embed(prompt)
    for plan in model.plans:
        stream = apply(plan, stream)
        yield stream


def weighted(model: CompiledCircuit, prompt: Matrix) -> Iterator[Matrix]:
    """The stream after every layer of the network."""
    state = model.embed(prompt[None])
    for layer in model.layers:
        with torch.no_grad():
            state = layer(state)
        yield model.stream_of(state)[0]


def _largest_logit(model: CompiledCircuit, wire: Value) -> float:
    """The largest logit on the box of a softmax; 0 for what is none."""
    match wire:
        case Mixture():
            return model.ranges[wire.logits].largest
        case Attention():
            return float(model.ranges[wire.query].bound @ model.ranges[wire.key].bound)
    return 0.0


def _folded(circuit: Circuit, model: CompiledCircuit, prompt: Matrix) -> Iterator[Use]:
    """The answer, and every named value that folding has kept."""
    wanted, found = Meaning(circuit, prompt), Meaning(model.folded, prompt)
    pairs = [("output", circuit.output, model.folded.output)]
    pairs += [
        (name, circuit.names[name], value)
        for name, value in model.folded.names.items()
        if name in circuit.names
    ]
    for name, before, after in pairs:
        limit = PLAN * 2.0**-52 * model.ranges[after].largest
        use = _use(found.matrix(after), wanted.matrix(before), max(limit, SMALLEST))
        yield Use("fold", name, use)


def _use(computed: Matrix, wanted: Matrix, limit: float) -> float:
    """The largest error over its limit where the value is defined; infinite if not a number.

    Without examples labels have no columns; what is 0 on the whole box must be 0.
    """
    defined = ~np.isnan(wanted)
    error = np.abs(computed - wanted)[defined]
    if not np.isfinite(error).all():
        return float("inf")
    largest = float(error.max(initial=0.0))
    return largest / limit if largest else 0.0
