"""Which code an experiment runs: a hash of the sources that it can reach, found without a run.

A module's imports are read from its syntax tree, those inside functions too, so that nothing is
imported to find them. What no import statement names (``import_module``, data files) is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from simulations.experiments.experiment import Experiment

__all__ = ["code_version", "modules_of", "source_file", "sources", "stamps"]

#: The packages whose sources count, beside the experiment's own.
_OURS = frozenset({"theory", "constructions", "simulations", "papers"})

#: The libraries whose versions count: the first two always, torch where some source imports it.
_LIBRARIES = ("numpy", "scipy", "torch")


def code_version(experiment: Experiment[Any]) -> str:
    """Return the SHA-256 (hex) of the code that an experiment runs.

    It covers the sources of the experiment's modules and of all modules of ours that they import,
    directly or not, inside functions too, by name and content, and the versions of Python, numpy,
    scipy and, if one of them imports it, torch. Comments, docstrings and layout do not count, nor
    does where the files lie. Modules of ours are those of iclproof and of the experiment's own
    top-level package or script. It is computed once a process: what is edited afterwards was not
    imported.

    Raises
    ------
    ValueError
        If the experiment is defined where there is no source file, such as a notebook.
    """
    return _version(modules_of(experiment))


def modules_of(experiment: Experiment[Any]) -> tuple[str, ...]:
    """Return the names of the modules that define an experiment's functions and config type."""
    functions = (
        experiment.parts,
        experiment.compute,
        experiment.combine,
        experiment.encode,
        experiment.decode,
        experiment.config_type,
    )
    return tuple(sorted({name for f in functions if f is not None for name in _modules_of(f)}))


def stamps(experiment: Experiment[Any]) -> dict[str, tuple[int, int] | None]:
    """Return size and time (ns) of the last change of each source file that `code_version` covers.

    None for a file that has gone. Whoever finds them other than they were has no right to the
    version of before.
    """
    return {str(path): _stamp(path) for path in _files(modules_of(experiment))}


@cache
def _files(roots: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(path for path in map(source_file, sources(roots)[0]) if path is not None)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@cache
def _version(roots: tuple[str, ...]) -> str:
    # Trees are written as source in another way by another Python.
    digest = hashlib.sha256(f"python {sys.version_info[0]}.{sys.version_info[1]}\n".encode())
    found, libraries = sources(roots)
    for library in libraries:
        digest.update(f"{library} {version(library)}\n".encode())
    for name, source in found.items():
        # Length first, so that no text can pass for the boundary between two.
        digest.update(f"{name} {len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()


def sources(
    roots: tuple[str, ...], uncounted: frozenset[str] = frozenset()
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the code that some modules reach, by module in order, and the libraries that count.

    The code is the source without comments, docstrings and layout.

    Parameters
    ----------
    roots
        Names of modules, where to begin.
    uncounted
        Modules that are passed over, unless they are roots: packages that only list what is in
        them, so that a module does not reach all that stands beside it.

    Raises
    ------
    ValueError
        If a root has no source file.
    """
    ours = _OURS | {root.split(".")[0] for root in roots}
    found: dict[str, bytes] = {}
    libraries = set(_LIBRARIES[:2])
    waiting = [name for root in roots for name in _with_parents(root)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        top = name.split(".")[0]
        libraries |= {top} & set(_LIBRARIES)
        if name in seen or top not in ours or (name in uncounted and name not in roots):
            continue
        seen.add(name)
        module = _read(name)
        if module is not None:
            found[name], imported = module
            waiting += imported
    for root in roots:
        if root not in found:
            raise ValueError(
                f"the code version of an experiment in {root}: it has no source file; expected a"
                " module or a script: move the experiment into a file"
            )
    return dict(sorted(found.items())), tuple(sorted(libraries))


def _modules_of(function: Any) -> Iterator[str]:
    """Yield the module of a function; of a partial one, also those of functions that it holds."""
    if not isinstance(function, partial):
        yield _module_of(function)
        return
    yield from _modules_of(function.func)
    for held in (*function.args, *function.keywords.values()):
        if callable(held):
            yield from (name for name in _modules_of(held) if source_file(name) is not None)


def _module_of(function: Any) -> str:
    name: str = function.__module__
    specification = getattr(sys.modules.get(name), "__spec__", None)
    # Of `python -m package.module` the name is __main__, but not that of the specification.
    return name if specification is None else specification.name


@cache
def _read(name: str) -> tuple[bytes, tuple[str, ...]] | None:
    """Return the code of a module and the names that it imports; None if it is no module."""
    place = source_file(name)
    if place is None:  # a namespace package, or a name that was imported from a module
        return None
    source = place.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # what imports it fails, and says so
        return source, ()
    imported = tuple(_imports(name, place.name == "__init__.py", tree))
    return _without_docstrings(tree).encode(), imported


def _without_docstrings(tree: ast.Module) -> str:
    """Return the source of a tree without its docstrings, in one layout."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [] if len(node.body) > 1 or node is tree else [ast.Pass()]
    return ast.unparse(tree)


def source_file(name: str) -> Path | None:
    """Return where the source of a module is, without an import; None if there is none."""
    top, *rest = name.split(".")
    module = sys.modules.get(top)
    if module is not None and module.__spec__ is None:  # a script
        given = getattr(module, "__file__", None)
        return Path(given) if given and not rest else None
    specification = importlib.util.find_spec(top)
    if specification is None:
        return None
    if specification.submodule_search_locations is None:
        place = specification.origin if specification.has_location else None  # not built in
        return Path(place) if place and not rest else None
    for location in specification.submodule_search_locations:
        package = Path(location, *rest)
        if (not rest or rest[-1] in _names(package.parent)) and "__init__.py" in _names(package):
            return package / "__init__.py"
        if rest and f"{rest[-1]}.py" in _names(package.parent):
            return package.with_name(f"{rest[-1]}.py")
    return None


@cache
def _names(folder: Path) -> frozenset[str]:
    """The names in a folder as they are spelt: where case is ignored, a class can name a file."""
    return frozenset(entry.name for entry in folder.iterdir()) if folder.is_dir() else frozenset()


def _imports(name: str, is_package: bool, tree: ast.Module) -> Iterator[str]:
    """Yield the modules that a source imports, with their parents; some names are no modules."""
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = name.split(".")[: None if is_package else -1]
                kept = parents[: len(parents) - (node.level - 1)]
                base = ".".join([*kept, *([base] if base else [])])
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, but not into what only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield from _executed(other)
        else:
            yield from _executed(child)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _with_parents(name: str) -> Iterator[str]:
    """Yield a module and the packages around it, whose ``__init__`` an import runs first."""
    parts = name.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
