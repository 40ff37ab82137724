import dataclasses

import pytest

from simulations.experiments import catalogue
from simulations.runs import Runs, listing
from simulations.store import Store
from tests.simulations.runs.toys import WALK


@pytest.fixture(autouse=True)
def toy_catalogue(monkeypatch):
    """The catalogue has toys only: the real experiments take seconds to import."""
    toys = {toy.name: toy for toy in (WALK, dataclasses.replace(WALK, name="toy-wander"))}
    monkeypatch.setattr(catalogue, "experiments", lambda: toys)
    listing._labels.cache_clear()
    yield toys
    listing._labels.cache_clear()


@pytest.fixture
def runs(tmp_path):
    return Runs(Store(tmp_path / "store"))
