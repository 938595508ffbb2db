"""`zipp ui`: Dagster, MLflow and the report, started together and stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel

if TYPE_CHECKING:
    from zipp_dagster.settings import Settings

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 10.0


@click.command()
@click.option("--no-daemon", is_flag=True, help="Without the daemon: no schedules, no sensors.")
def ui(no_daemon: bool) -> None:
    """Dagster, MLflow and the report in the browser, until Ctrl-C."""
    from zipp_dagster.operation.instance import instance_folder
    from zipp_dagster.settings import settings

    chosen = settings()
    home, server = chosen.home_directory, chosen.server
    environment = {**os.environ, **absolute_paths(chosen)}
    environment.setdefault("DAGSTER_HOME", str(instance_folder(home)))
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    environment.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    (home / "mlflow").mkdir(parents=True, exist_ok=True)
    (home / "reports").mkdir(parents=True, exist_ok=True)
    store = chosen.mlflow.tracking_uri or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"
    python = sys.executable
    ports = {
        "Dagster": server.dagster_port,
        "MLflow": server.mlflow_port,
        "report": server.report_port,
    }
    for name, port in ports.items():
        if _listening(server.host, port):
            raise click.ClickException(
                f"port {port} for {name} is in use: stop what listens there, or set "
                f"ZIPP_SERVER__{name.upper()}_PORT"
            )
    workspace = ["-m", "zipp_dagster.definitions"]
    commands = {
        "Dagster": [python, "-m", "dagster_webserver", *workspace]
        + ["-h", server.host, "-p", str(server.dagster_port)],
        "MLflow": [python, "-m", "mlflow", "server", "--backend-store-uri", store]
        + ["--default-artifact-root", (home / "mlflow" / "artifacts").as_uri()]
        + ["--host", server.host, "--port", str(server.mlflow_port), "--workers", "1"],
        "report": [python, "-m", "http.server", str(server.report_port)]
        + ["--bind", server.host, "--directory", str(home / "reports")],
    }
    if not no_daemon:
        commands["daemon"] = [python, "-m", "dagster._daemon", "run", *workspace]
    logs = home / "logs"
    logs.mkdir(exist_ok=True)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        for name, command in commands.items():
            log = (logs / f"{name.lower()}.log").open("wb")
            processes[name] = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                start_new_session=True,
            )
        for name, port in ports.items():
            _wait(server.host, port, processes[name], name, logs)
        base = f"http://{server.host}"
        click.echo(f"Dagster  {base}:{server.dagster_port}  assets, runs, lineage, checks")
        click.echo(f"MLflow   {base}:{server.mlflow_port}  training runs, models, aliases")
        click.echo(f"report   {base}:{server.report_port}/zipbench/  the benchmark")
        click.echo(f"logs in {logs}; Ctrl-C stops everything")
        while all(process.poll() is None for process in processes.values()):
            time.sleep(0.5)
        ended = [name for name, process in processes.items() if process.poll() is not None]
        raise click.ClickException(f"{ended[0]} ended: read {logs / (ended[0].lower() + '.log')}")
    except KeyboardInterrupt:
        click.echo("stopping")
    finally:
        _end(list(processes.values()))


def absolute_paths(chosen: Settings) -> dict[str, str]:
    """The settings that are paths as variables, from here: the servers start in another folder."""
    profile = chosen.profile
    if profile.endswith(".toml"):
        profile = str(Path(profile).expanduser().absolute())
    return {"ZIPP_PROFILE": profile, **dict(_paths("ZIPP", chosen))}


def _paths(variable: str, model: BaseModel) -> Iterator[tuple[str, str]]:
    for key in type(model).model_fields:
        value, name = getattr(model, key), f"{variable}_{key.upper()}"
        if isinstance(value, Path):
            yield name, str(value.expanduser().absolute())
        elif isinstance(value, BaseModel):
            yield from _paths(f"{name}_", value)


def _stop(number: int, frame: object) -> None:
    """Also under a parent that ignores Ctrl-C, as a shell's background jobs do."""
    raise KeyboardInterrupt


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ends the servers with everything that they started: each leads a session of its own."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _listening(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def _wait(host: str, port: int, process: subprocess.Popen[bytes], name: str, logs: Path) -> None:
    deadline = time.monotonic() + 120
    while not _listening(host, port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise click.ClickException(
                f"{name} did not start: read {logs / (name.lower() + '.log')}"
            )
        time.sleep(0.3)
