"""The examples of docs/flow.md run as written, and the page says what is true."""

import importlib
import re

from tests.test_readme import ROOT, blocks, run_together

PAGE = (ROOT / "docs" / "flow.md").read_text()


def test_the_examples_run_one_after_the_other(tmp_path):
    found = blocks(PAGE, "python")
    assert len(found) == 5
    run_together(found, tmp_path)


def test_every_statement_that_is_named_exists():
    named = set(re.findall(r"`(?:iclproof verify )?(beyond/[a-z0-9-]+)`", PAGE))
    modules = (
        "conserved_quantity",
        "full_loss",
        "initialisation",
        "layer_minimum",
        "one_dimension",
        "other_minima",
    )
    loaded = [importlib.import_module(f"papers.beyond.{name}") for name in modules]
    assert named <= {statement.id for module in loaded for statement in module.STATEMENTS}
    assert len(named) >= 9


def test_every_name_of_the_library_exists():
    for path in set(re.findall(r"`(theory(?:\.\w+)+)`", PAGE)):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path
