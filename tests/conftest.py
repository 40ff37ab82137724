"""Shapes and types of every public signature are enforced while tests run, and only then."""

import os

from hypothesis import settings

from tests.enforcement import enforce_signatures

# The matrices are small, and the workers of pytest-xdist run side by side. The libraries read it
# when they load, and so do those of the programs that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

# What CI says of a commit does not change from run to run; --hypothesis-profile=default draws anew,
# and twice as much.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)

enforce_signatures("theory", "constructions", "simulations", "papers")
