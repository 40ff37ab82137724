"""How the house is built: sizes, floors, docstrings, pins."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("theory", "constructions", "simulations", "papers")
FILES = [path for folder in (*PACKAGES, "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_no_file_is_longer_than_400_lines():
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert len(sizes) > 60
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_no_function_is_longer_than_60_lines():
    """Signature and docstring are not counted: they are tables, not steps."""
    long = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and node.body[1:] else node.body
                size = node.end_lineno - body[0].lineno + 1
                if size > 60:
                    long[f"{path.relative_to(ROOT)}: {node.name}"] = size
    assert long == {}


def modules() -> Iterator[str]:
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield name
        yield from (m.name for m in pkgutil.walk_packages(package.__path__, f"{name}."))


MODULES = sorted(modules())


def public(name: str) -> Iterator[tuple[str, object]]:
    """Everything public that a module defines: classes, their methods, functions."""
    module = importlib.import_module(name)
    yield name, module
    for label, thing in vars(module).items():
        if label.startswith("_") or getattr(thing, "__module__", None) != name:
            continue
        if inspect.isclass(thing):
            yield f"{name}.{label}", thing
            for member in vars(thing):
                found = inspect.getattr_static(thing, member)
                is_code = isinstance(found, staticmethod | classmethod | property)
                if not member.startswith("_") and (is_code or inspect.isfunction(found)):
                    yield f"{name}.{label}.{member}", getattr(thing, member)
        elif inspect.isfunction(thing):
            yield f"{name}.{label}", thing


def is_documented(thing: object) -> bool:
    doc = inspect.getdoc(thing)
    # A dataclass without a docstring is given its signature; object's own says nothing.
    generated = inspect.isclass(thing) and (doc or "").startswith(f"{thing.__name__}(")
    return bool(doc) and not generated and doc != inspect.getdoc(object)


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name):
    assert [label for label, thing in public(name) if not is_documented(thing)] == []


def test_the_walk_sees_methods_and_functions():
    labels = {label for name in ("papers.runner", "theory.mixture") for label, _ in public(name)}
    assert {
        "papers.runner",
        "papers.runner.select",
        "papers.runner.Result.as_dict",
        "theory.mixture.RegressionMixture.random",
        "theory.mixture.RegressionMixture.dim",
    } <= labels


def test_imports_only_go_down_the_floors():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: 3 kept, 0 broken", done.stdout)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("theory", ("torch", "constructions", "simulations", "papers", "matplotlib")),
        ("constructions", ("simulations", "papers", "matplotlib")),
        ("simulations", ("papers", "matplotlib")),
        ("papers.cli", ("torch", "sympy", "matplotlib")),
    ],
)
def test_what_an_import_does_not_bring_along(module, absent):
    code = f"import sys, {module}; print([n for n in {absent!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_module_of_theory_is_free_of_torch():
    names = [name for name in MODULES if name.split(".")[0] == "theory"]
    code = f"import sys, {', '.join(names)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# Versions


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def direct() -> list[str]:
    extras = PROJECT["optional-dependencies"].values()
    return [*PROJECT["dependencies"], *(name for extra in extras for name in extra)]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def test_torch_is_pinned():
    assert pins()["torch"] == "2.13.0"


@pytest.mark.parametrize("requirement", direct())
def test_every_direct_dependency_is_pinned_above_its_floor(requirement):
    name, floor = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
    assert name in pins()
    assert version(pins()[name]) >= version(floor)


def test_nothing_is_pinned_that_is_not_asked_for():
    assert set(pins()) == {re.split(r"[^\w-]", name)[0] for name in direct()}


def test_the_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(rf'^version: "?{re.escape(PROJECT["version"])}"?$', citation, re.MULTILINE)
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()
