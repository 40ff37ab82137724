"""Shapes and types of every public signature are enforced while tests run, and only then."""

import torch
from jaxtyping import install_import_hook

# The matrices are small, and the workers of pytest-xdist run side by side.
torch.set_num_threads(1)

install_import_hook(["theory", "constructions", "simulations", "papers"], "beartype.beartype")
