import pytest

from tests.simulations.parallel.local_cluster import LocalCluster


@pytest.fixture(scope="session")
def local_cluster(tmp_path_factory):
    """A dask cluster that starts once, with the first test that asks for it."""
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture
def two_workers(local_cluster):
    """A cluster with two worker processes alive, whatever was done to it before."""
    local_cluster.fill()
    return local_cluster
