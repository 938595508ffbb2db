"""The processes of a deployment on loopback, and a way to ask the webserver. No tests here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

LAUNCH = """
mutation ($location: String!, $job: String!, $assets: [AssetKeyInput!], $config: RunConfigData) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: $location, repositoryName: "__repository__",
               jobName: $job, assetSelection: $assets}
    mode: "default"
    runConfigData: $config
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


LOOK_SECONDS = 0.5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, condition: Callable[[], Any], seconds: float = 180) -> Any:
    """The condition's first true value; exceptions of a server that is not up yet count as no.

    Looks are counted, not the clock: a machine that stands still for a while fails no test.
    """
    for _ in range(round(seconds / LOOK_SECONDS)):
        try:
            if found := condition():
                return found
        except (requests.RequestException, KeyError, TypeError):
            pass
        time.sleep(LOOK_SECONDS)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class Topology:
    """Processes that log into a folder; `location` is the code location's name in the workspace."""

    def __init__(self, folder: Path, environment: dict[str, str], location: str = "zipp") -> None:
        self.folder, self.environment, self.name = folder, environment, location
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

    def kill(self, name: str) -> None:
        """As the kernel does it: the process and everything that it started."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def stop(self) -> None:
        """Kills what still runs, the last one first."""
        for name in reversed(self.processes):
            if self.processes[name].poll() is None:
                self.kill(name)

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

    def launch(
        self, job: str, assets: list[Any] | None = None, config: dict[str, Any] | None = None
    ) -> str:
        """Launches a run by GraphQL; its id. `config` is that of a job's ops."""
        ops = {"ops": {name: {"config": values} for name, values in (config or {}).items()}}
        result = self.ask(LAUNCH, location=self.name, job=job, assets=assets, config=ops)[
            "launchRun"
        ]
        assert result["__typename"] == "LaunchRunSuccess", result
        return str(result["run"]["runId"])

    def status(self, run: str) -> str:
        """The state of a run."""
        query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        return str(self.ask(query, id=run)["runOrError"]["status"])

    def ended(self, run: str, seconds: float = 180) -> dict[str, Any]:
        """Waits for the end of a run; what the page knows of it."""

        def found() -> dict[str, Any] | None:
            now = self.status(run)
            return {"status": now} if now in ("SUCCESS", "FAILURE", "CANCELED") else None

        return dict(until(f"the end of run {run}", found, seconds))

    def why(self, run: str) -> str:
        """What a failed run says of itself."""
        query = """query ($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events {
          __typename
          ... on ExecutionStepFailureEvent { stepKey error { message cause { message } } }
          ... on RunFailureEvent { message error { message } }
          ... on EngineEvent { message error { message } } } } } } }"""
        events = self.ask(query, id=run)["runOrError"]["eventConnection"]["events"]
        told = [event for event in events if event.get("error") or "Failure" in event["__typename"]]
        return "\n".join(str(event)[:1500] for event in told)

    def steps(self, run: str) -> dict[str, str]:
        """Step → status of a run."""
        query = """query ($id: ID!) { runOrError(runId: $id) { ... on Run {
          stepStats { stepKey status } } } }"""
        stats = self.ask(query, id=run)["runOrError"]["stepStats"]
        return {entry["stepKey"]: entry["status"] for entry in stats}

    def materialise(self, asset: str) -> str:
        """Launches a run by GraphQL and waits for its end; the status."""
        run = self.launch("full_pipeline", [{"path": [asset]}])
        return str(self.ended(run)["status"])


def python(module: str) -> list[str]:
    return [sys.executable, "-m", module]
