"""Shapes and types of every public signature are enforced while tests run, and only then."""

from jaxtyping import install_import_hook

install_import_hook(["theory", "constructions", "simulations", "papers"], "beartype.beartype")
