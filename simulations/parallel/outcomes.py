"""What becomes of a task: a value, or why there is none."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from joblib.externals.loky.backend.reduction import dumps

__all__ = [
    "Done",
    "Failed",
    "Outcome",
    "answered",
    "attempt",
    "died",
    "failure",
    "read_answer",
    "request",
]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Done(Generic[Value]):
    """A task that returned.

    Attributes
    ----------
    value
        What it returned.
    """

    value: Value


@dataclass(frozen=True)
class Failed:
    """A task that raised, or whose worker died each time.

    Attributes
    ----------
    message
        One line: the type of the exception and its text.
    traceback
        The traceback where the task ran; empty if its worker died.
    """

    message: str
    traceback: str = ""


Outcome: TypeAlias = Done[Value] | Failed


def attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome[Any]:
    """Call a function; an exception becomes a `Failed`."""
    try:
        return Done(function(*arguments))
    except Exception as error:  # one task's error, whatever it is, ends no other
        return failure(error)


def failure(error: BaseException) -> Failed:
    """Return an exception as a `Failed`."""
    lines = "".join(traceback.format_exception_only(error)).split()
    return Failed(" ".join(lines), "".join(traceback.format_exception(error)))


def died(how: str) -> Failed:
    """Return what becomes of a task whose worker died each time."""
    return Failed(
        f"its worker died each time: {how}; it may have run out of memory: use fewer jobs, or a"
        " smaller config"
    )


# To another process and back, as bytes: whatever cannot be pickled ends its own task only


def request(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes | Failed:
    """Pickle a task; functions of a script or a notebook travel by value."""
    try:
        return bytes(dumps((function, arguments)))
    except Exception as error:  # pickling runs code of any kind
        return failure(error)


def answered(pickled: bytes) -> bytes:
    """Do, in the other process, what a request asks for; return its outcome, pickled."""
    outcome = attempt(_call, (pickled,))
    try:
        return bytes(dumps(outcome))
    except Exception as error:  # pickling runs code of any kind
        return bytes(dumps(failure(error)))


def read_answer(pickled: bytes) -> Outcome[Any]:
    """Return the outcome in an answer."""
    try:
        outcome: Outcome[Any] = pickle.loads(pickled)
    except Exception as error:  # unpickling runs code of any kind
        return failure(error)
    return outcome


def _call(pickled: bytes) -> Any:
    function, arguments = pickle.loads(pickled)
    return function(*arguments)
