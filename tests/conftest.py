"""Shapes and types of every public signature are enforced while tests run, and only then."""

import torch
from hypothesis import settings
from jaxtyping import install_import_hook

# The matrices are small, and the workers of pytest-xdist run side by side.
torch.set_num_threads(1)

# What CI says of a commit does not change from run to run; --hypothesis-profile=default draws anew,
# and twice as much.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)

install_import_hook(["theory", "constructions", "simulations", "papers"], "beartype.beartype")
