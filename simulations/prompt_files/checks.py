"""Checks that several formats share; each notes what is wrong, and where, in `Problems`."""

import math
from collections.abc import Iterable
from reprlib import repr as brief

from theory.validation import Problems


def refuse(problem: str, problems: Problems) -> None:
    """Raise at once, for a problem that leaves nothing else to look at."""
    problems.add(problem)
    problems.raise_if_any()


def check_number(value: str | int | float, place: str, problems: Problems) -> float:
    """Return `value`, a text or a number, as a float, which must be finite."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        problems.add(f"{place} is {brief(value)}; expected a finite number")
    return number


def check_keys(
    found: Iterable[str], place: str, required: set[str], optional: set[str], problems: Problems
) -> None:
    """Require some keys, and none but these and the optional ones."""
    if missing := required - set(found):
        problems.add(f"{place} lacks {', '.join(sorted(missing))}")
    if unknown := set(found) - required - optional:
        known = ", ".join(sorted(required | optional))
        problems.add(f"{place} has the unknown {', '.join(sorted(unknown))}; expected {known}")


def check_weight_count(weights: int, components: int, problems: Problems) -> None:
    """Require one weight for each component."""
    if weights != components:
        problems.add(f"weights: {weights} for {components} components; expected one for each")
