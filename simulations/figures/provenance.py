"""Where the runs of a figure come from: config, seed, address, code, versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulations.experiments.catalogue import find_experiment
from simulations.experiments.config_files import config_as_json
from simulations.runs import code_version
from simulations.runs.stored_run import StoredRun

__all__ = ["is_current", "preset_of", "provenance"]

#: Entries of a list that are printed; of a longer one the first, the second and the last.
LISTED = 6

#: Hexadecimal digits of an address and of a code version in a caption.
DIGITS = 12


def is_current(run: StoredRun) -> bool:
    """Tell whether the code as it is now made the run."""
    return run.code == code_version(find_experiment(run.experiment))


def preset_of(run: StoredRun) -> str | None:
    """Return the preset that has the config of a run, or None: it was started from a file."""
    for preset, configs in find_experiment(run.experiment).presets.items():
        if run.config in configs.values():
            return preset
    return None


def provenance(runs: Mapping[str, StoredRun]) -> str:
    """Return a line for each run: label, preset, config, address, code, versions.

    A run that other code made than the present one says so.
    """
    return "\n".join(_line(label, run) for label, run in runs.items())


def _line(label: str, run: StoredRun) -> str:
    preset = preset_of(run)
    named = f"{run.experiment}, {label}" + (f" ({preset} preset)" if preset else "")
    earlier = "" if is_current(run) else " (made by earlier code)"
    versions = ", ".join(
        f"{name} {run.made[name]}" for name in ("numpy", "scipy", "torch") if run.made.get(name)
    )
    config = config_as_json(find_experiment(run.experiment), run.config)
    parts = [f"config {_short(config)}", f"address {run.address[:DIGITS]}",
             f"code {run.code[:DIGITS]}{earlier}"]  # fmt: skip
    return f"{named}: {', '.join([*parts, versions] if versions else parts)}."


def _short(config: Mapping[str, Any]) -> str:
    """Print a config in a line, long lists and matrices cut short: the address has all of it."""
    return " ".join(f"{name}={_value(value)}" for name, value in config.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_short(value)})"
    if isinstance(value, list | tuple):
        if any(isinstance(entry, list | tuple) for entry in value):
            return f"[{len(value)} rows]"
        if len(value) > LISTED:
            return f"[{_value(value[0])}, {_value(value[1])}, ..., {_value(value[-1])}]"
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
