"""A Ray cluster of two machines on this one, small enough for two cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from zipp_dagster.platform.config import ComputeSettings

MACHINE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def cluster() -> Iterator[object]:
    ray = pytest.importorskip("ray", reason="pip install 'zipp_dagster[ray]'")
    from ray.cluster_utils import Cluster

    # The cluster's processes import the tests' functions, wherever pytest was started.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args=MACHINE)
    cluster.add_node(**MACHINE)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def compute(cluster) -> ComputeSettings:
    return ComputeSettings(engine="ray", address=cluster.address)
