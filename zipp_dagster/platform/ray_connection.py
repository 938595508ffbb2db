"""Reaching a Ray cluster, and what has room on it. Fails before any work is begun."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from typing import Any

from zipp_dagster.fanout import Need
from zipp_dagster.platform.config import ComputeSettings

NAMESPACE = "zipp"


class ComputeError(Exception):
    """The engine of the settings cannot be used; the message names the setting and what to do."""


@dataclass(frozen=True)
class Room:
    """What an item asks of Ray, and how many such items the cluster has room for now."""

    options: dict[str, Any]
    items: int


def ensure_connected(settings: ComputeSettings) -> None:
    """Connects this process, once.

    Raises:
        ComputeError: Ray is missing, or no cluster answers at `compute.address`.
    """
    try:
        import ray
    except ImportError as error:
        raise ComputeError(
            "compute.engine is ray, but Ray is not installed: pip install 'zipp_dagster[ray]', "
            "or set ZIPP_COMPUTE__ENGINE=local"
        ) from error
    if ray.is_initialized():
        return
    options: dict[str, Any] = {"address": settings.address}
    if settings.address == "local":
        options |= {"num_cpus": settings.workers, "include_dashboard": False}
        options |= {"object_store_memory": settings.object_store_mib * 2**20}
    elif settings.address != "auto":
        _answers(settings)
    try:
        ray.init(**options, namespace=NAMESPACE, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise unreachable(settings, str(error)) from error


def _answers(settings: ComputeSettings) -> None:
    """Whether a gRPC server is at host:port: Ray itself would go on trying for two minutes."""
    import grpc

    host, _, port = settings.address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), settings.connect_seconds).close()
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            with grpc.insecure_channel(settings.address) as channel:
                grpc.channel_ready_future(channel).result(settings.connect_seconds)
    except OSError as error:
        raise unreachable(settings, str(error)) from error
    except grpc.FutureTimeoutError as error:
        reason = f"something listens, but no answer in {settings.connect_seconds:g} s"
        raise unreachable(settings, reason) from error


def unreachable(settings: ComputeSettings, reason: str) -> ComputeError:
    """The one error of a cluster that does not answer."""
    return ComputeError(
        f"no Ray cluster can be used at compute.address={settings.address!r} "
        f"(ZIPP_COMPUTE__ADDRESS): {reason}. Start one with `ray start --head` and join this machine "
        "to it, name the host:port of its head, or set ZIPP_COMPUTE__ENGINE=local"
    )


def room_for(need: Need, settings: ComputeSettings) -> Room:
    """How an item is asked for. More cores than any machine has become those of a whole machine.

    Raises:
        ComputeError: no machine has the GPUs or the memory, and none will come.
    """
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = max((machine.get("CPU", 0) for machine in machines), default=0)
    wanted = {"CPU": min(need.cpus, cores) if cores else need.cpus}
    wanted |= {"GPU": need.gpus} if need.gpus else {}
    wanted |= {"memory": need.memory_bytes} if need.memory_bytes else {}
    items = sum(_fits(wanted, machine) for machine in machines)
    if not items and not settings.autoscaling:
        asked = ", ".join(f"{name} {amount:g}" for name, amount in wanted.items())
        best = {name: max(m.get(name, 0) for m in machines) for name in wanted} if machines else {}
        raise ComputeError(
            f"an item needs {asked}, but no machine of the Ray cluster at "
            f"{settings.address} has that (most on one: {best}): add a machine, ask for less, or "
            "set compute.autoscaling where machines come by themselves"
        )
    options = {"num_cpus": wanted["CPU"], "num_gpus": need.gpus}
    options |= {"memory": need.memory_bytes} if need.memory_bytes else {}
    return Room(options, max(1, items))


def _fits(wanted: dict[str, float], machine: dict[str, float]) -> int:
    counts = [int(machine.get(name, 0) // amount) for name, amount in wanted.items() if amount]
    return min(counts, default=1)
