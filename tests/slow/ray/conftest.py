"""A Ray cluster of two machines on this one, small enough for two cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zipp_dagster.platform.config import ComputeSettings

# As on macOS and Windows: all processes of the cluster find one another on loopback. Ray reads it when
# it is imported.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
MACHINE = {
    "node_ip_address": "127.0.0.1",
    "num_cpus": 1,
    "object_store_memory": 100 * 2**20,
    "include_dashboard": False,
}
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def cluster() -> Iterator[object]:
    ray = pytest.importorskip("ray", reason="pip install 'zipp_dagster[ray]'")
    from ray.cluster_utils import Cluster

    # The cluster's processes import the tests' functions, wherever pytest was started.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"
    cluster = Cluster()
    try:
        for _ in range(2):
            add_machine(cluster)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def add_machine(cluster: Any) -> Any:
    """Ray gives a machine 30 seconds to start, which a busy one may not keep to: so several tries."""
    for left in reversed(range(5)):
        try:
            return cluster.add_node(**MACHINE)
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise


@pytest.fixture
def compute(cluster) -> ComputeSettings:
    return ComputeSettings(engine="ray", address=cluster.address)
