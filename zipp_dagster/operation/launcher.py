"""The run launcher of a deployment: Dagster's own, and it tells of runs that died with their server.

Runs are processes of the code server. One that dies alone is reported by the server; those that
die with it (its container is replaced, the machine restarts) nobody reports, and Dagster's launcher
cannot be asked. `zipp bootstrap` marks them before the server starts again; run monitoring asks here.
"""

import json
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient

LOST_TAG = "zipp/lost"
"""Marks a run that died with its server. It holds the run's id: a retry inherits the tag."""
CONNECT_SECONDS = 5.0


class Server(NamedTuple):
    """Where the code server listens that a run is a process of."""

    host: str
    port: int


class CodeServerRunLauncher(DefaultRunLauncher):
    """Launches runs in a code server, and knows those that were lost with it.

    A lost run counts as dead once the server answers again: told earlier, Dagster would try to
    start it once more with no server there, and give it up.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Of a run that has started: whether it was lost."""
        server = server_of(run)
        if server is None or run.tags.get(LOST_TAG) != run.run_id:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if not _answers(server):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "waiting for the code server")
        return CheckRunHealthResult(
            WorkerStatus.FAILED, "The code server of this run was stopped, and the run with it."
        )


def server_of(run: dg.DagsterRun) -> Server | None:
    """The code server of a run; None for runs of other processes, and of servers on a socket."""
    told: dict[str, Any] = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    port = told.get("port")
    return Server(told["host"], int(port)) if port else None


def mark_lost_runs(
    instance: dg.DagsterInstance, clear: Callable[[str], object] = lambda run_id: None
) -> list[str]:
    """Marks the started runs of a code server that is not there; returns their ids.

    It is not there where its machine refuses a connection. A server that is too busy to answer, or a
    machine that cannot be reached, says nothing of the runs. `clear` is told each such run before, to
    close what it left open elsewhere.
    """
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    lost = []
    for run in instance.get_runs(started):
        server = server_of(run)
        if server is None or run.tags.get(LOST_TAG) == run.run_id or not _refused(server):
            continue
        clear(run.run_id)
        instance.add_run_tags(run.run_id, {LOST_TAG: run.run_id})
        lost.append(run.run_id)
    return lost


def _refused(server: Server) -> bool:
    try:
        socket.create_connection(server, timeout=CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _answers(server: Server) -> bool:
    from dagster._core.errors import DagsterUserCodeUnreachableError

    try:
        DagsterGrpcClient(host=server.host, port=server.port).ping("zipp")
    except DagsterUserCodeUnreachableError:
        return False
    return True
