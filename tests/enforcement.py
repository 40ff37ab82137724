"""What tests enforce in every signature: types everywhere, shapes where there are arrays.

To hold the shapes of a call together, jaxtyping binds its arguments and checks them twice, which
takes many times as long as the call of a small function. Most take no arrays, and have beartype
alone.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook

__all__ = ["enforce_signatures"]

_SHAPED = jaxtyping.jaxtyped
#: Raises what jaxtyping raises.
_TYPED = beartype(conf=BeartypeConf(violation_type=TypeError))


def enforce_signatures(*packages: str) -> None:
    """Check arguments and results of all functions of packages that are imported from now on."""
    # The import hook writes `@jaxtyping.jaxtyped(typechecker=...)` over each function and class.
    jaxtyping.jaxtyped = _enforced
    install_import_hook(packages, "beartype.beartype")


def _enforced(fn: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    if fn is None:
        return functools.partial(_enforced, typechecker=typechecker)
    if inspect.isfunction(fn) and not _has_arrays(fn):
        return _TYPED(fn)
    return _SHAPED(fn, typechecker=typechecker)


def _has_arrays(fn: Callable[..., Any]) -> bool:
    try:
        hints = inspect.get_annotations(fn, eval_str=True).values()
    except (NameError, TypeError):  # a class that is still being defined: that is for jaxtyping
        return True
    return any(_is_array(hint) for hint in hints)


def _is_array(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    if isinstance(hint, typing.TypeVar):
        return _is_array(hint.__bound__)
    # The arguments of a Callable are a list.
    parts = hint if isinstance(hint, list) else typing.get_args(hint)
    return any(_is_array(part) for part in parts)
