"""Training configs as JSON, and back."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from simulations.stored_folder import JSON
from simulations.training.config import TrainingConfig
from simulations.training.starts import Assumption3Start, DenseStart, UnbalancedStart
from simulations.training.tasks import FixedCovarianceTasks, MixtureTasks, RandomDiagonalTasks
from theory.laws import (
    Deterministic,
    DistributedLaw,
    Exponential,
    Gamma,
    LogNormal,
    TwoPoint,
    Uniform,
)
from theory.validation import Problems

__all__ = ["config_as_json", "config_from_json"]

_TASKS: Mapping[str, type[Any]] = {
    kind.kind: kind for kind in (FixedCovarianceTasks, RandomDiagonalTasks, MixtureTasks)
}
_STARTS: Mapping[str, type[Any]] = {
    kind.kind: kind for kind in (Assumption3Start, UnbalancedStart, DenseStart)
}

#: The laws by name, with the parameters that make one.
_LAWS: Mapping[str, tuple[type[Any], tuple[str, ...]]] = {
    "exponential": (Exponential, ("scale",)),
    "gamma": (Gamma, ("shape", "scale")),
    "uniform": (Uniform, ("low", "high")),
    "two points": (TwoPoint, ("low", "high", "probability")),
    "log-normal": (LogNormal, ("mean_log", "std_log")),
    "deterministic": (Deterministic, ("value",)),
}


def config_as_json(config: TrainingConfig) -> dict[str, JSON]:
    """Return a config as what JSON can hold; equal configs give equal JSON.

    Raises
    ------
    ValueError
        If a law is none of `theory.laws`, and so has no name.
    """
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def config_from_json(document: Mapping[str, Any]) -> TrainingConfig:
    """Return the config of a JSON document; fields with defaults may be left out.

    Raises
    ------
    ValueError
        If a key is unknown or missing, or a value is not as `TrainingConfig` says. All problems
        are listed at once.
    """
    problems = Problems("TrainingConfig from JSON")
    fields = dict(document)
    for name, kinds in (("tasks", _TASKS), ("start", _STARTS)):
        if name in fields:
            fields[name] = _part(problems, name, kinds, fields[name])
    _check_keys(problems, "config", TrainingConfig, fields)
    problems.raise_if_any()
    return TrainingConfig(**fields)


def _plain(value: Any) -> JSON:
    """One value of a config."""
    if isinstance(value, DistributedLaw):
        return _law_as_json(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {"kind": getattr(value, "kind", None), **own}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    plain: JSON = value
    return plain


def _law_as_json(law: DistributedLaw) -> JSON:
    for name, (kind, parameters) in _LAWS.items():
        if type(law) is kind:
            return {"law": name, **{key: float(getattr(law, key)) for key in parameters}}
    raise ValueError(
        f"the law {law!r} has no name in JSON; expected one of theory.laws: {', '.join(_LAWS)}"
    )


def _part(
    problems: Problems, name: str, kinds: Mapping[str, type[Any]], document: object
) -> object:
    """Make the tasks or the start; None, and a problem noted, if that fails."""
    if not isinstance(document, Mapping) or document.get("kind") not in kinds:
        given = document.get("kind") if isinstance(document, Mapping) else document
        problems.add(f"{name} is of kind {given!r}; expected one of {', '.join(map(repr, kinds))}")
        return None
    kind = kinds[document["kind"]]
    fields = {key: _frozen(value) for key, value in document.items() if key != "kind"}
    if not _check_keys(problems, name, kind, fields):
        return None
    try:
        if "laws" in fields:
            fields["laws"] = tuple(_law_from_json(law) for law in document["laws"])
        made: object = kind(**fields)
    except (TypeError, ValueError) as error:
        problems.add(f"{name}: {error}")
        return None
    return made


def _law_from_json(document: Mapping[str, Any]) -> DistributedLaw:
    fields = dict(document)
    name = fields.pop("law", None)
    if name not in _LAWS:
        raise ValueError(f"law is {name!r}; expected one of {', '.join(map(repr, _LAWS))}")
    kind, parameters = _LAWS[name]
    if unknown := sorted(set(fields) - set(parameters)):
        raise ValueError(f"law {name!r} has no parameter {unknown[0]!r}; expected {parameters}")
    law: DistributedLaw = kind(**fields)
    return law


def _check_keys(
    problems: Problems, where: str, kind: type[Any], fields: Mapping[str, object]
) -> bool:
    """Note keys that the dataclass has not, and those that it needs."""
    known = {field.name: field for field in dataclasses.fields(kind)}
    wrong = [key for key in fields if key not in known]
    for key in wrong:
        close = difflib.get_close_matches(key, known, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"expected some of {', '.join(known)}"
        problems.add(f"{where} has no field {key!r}: {advice}")
    missing = [
        key
        for key, field in known.items()
        if key not in fields and field.default is dataclasses.MISSING
    ]
    for key in missing:
        problems.add(f"{where} lacks the field {key!r}")
    return not wrong and not missing


def _frozen(value: object) -> object:
    """Turn the lists of JSON into the tuples of a config."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
