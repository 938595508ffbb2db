"""Dagster's steps as jobs of a Ray cluster; the run launcher of the deployment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
RUN = """
import dagster as dg
import ray
from ray.cluster_utils import Cluster
from tests.slow.ray.dagster_job import make_job

head = dict(node_ip_address="127.0.0.1", num_cpus=2, object_store_memory=100 * 2**20)
head |= dict(include_dashboard=True, dashboard_port=0)
cluster = Cluster(initialize_head=True, head_node_args=head)
import os
os.environ["RAY_API_SERVER_ADDRESS"] = "http://" + cluster.webui_url
instance = dg.DagsterInstance.get()
with dg.execute_job(dg.reconstructable(make_job), instance=instance) as result:
    assert result.success
    lines = [e.user_message for e in instance.all_logs(result.run_id) if "first ran in" in e.user_message]
    print("LOGGED", len(lines))
cluster.shutdown()
"""


def test_steps_are_jobs_of_the_cluster_and_their_logs_come_back(tmp_path):
    pytest.importorskip("dagster_ray", reason="pip install 'zipp_dagster[ray]'")
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    # The cluster's machines call `dagster` by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": path}
    environment = os.environ | own
    done = subprocess.run(
        [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "LOGGED 1" in done.stdout


def test_the_run_launcher_of_the_deployment_is_one_that_dagster_loads(tmp_path, monkeypatch):
    dagster_ray = pytest.importorskip("dagster_ray", reason="pip install 'zipp_dagster[ray]'")
    monkeypatch.setenv("RAY_JOBS", "http://head:8265")
    ours = yaml.safe_load((ROOT / "deploy/dagster-ray.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(ours | {"telemetry": {"enabled": False}}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, dagster_ray.RayRunLauncher)
        assert instance.run_launcher.address == "http://head:8265"
