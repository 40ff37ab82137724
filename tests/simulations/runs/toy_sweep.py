"""A few runs of several parts, for the test that kills them."""

from tests.simulations.runs.toys import WALK, Walk

KILLED = [(WALK, Walk(num_walkers=4, steps=30, seed=seed, pause=0.002)) for seed in (0, 1)]
