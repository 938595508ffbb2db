from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from zipp_dagster.operation import launcher
from zipp_dagster.operation.launcher import LOST_TAG, CodeServerRunLauncher, mark_lost_runs

STARTED = dg.DagsterRunStatus.STARTED


@pytest.fixture
def instance():
    ours = {"module": CodeServerRunLauncher.__module__, "class": CodeServerRunLauncher.__name__}
    with dg.instance_for_test(overrides={"run_launcher": ours}) as instance:
        yield instance


@pytest.fixture
def listening() -> Iterator[int]:
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port that is taken, and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def run_of(
    instance: dg.DagsterInstance,
    server: dict[str, object] | None,
    status: dg.DagsterRunStatus = STARTED,
) -> dg.DagsterRun:
    @dg.job
    def nothing():
        pass

    tags = {} if server is None else {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", **server})}
    return instance.create_run_for_job(nothing, status=status, tags=tags)


def again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    return instance.get_run_by_id(run.run_id)


def test_runs_of_a_code_server_that_is_not_there_are_marked_once(instance, refusing):
    run, cleared = run_of(instance, {"port": refusing}), []
    assert mark_lost_runs(instance, cleared.append) == cleared == [run.run_id]
    assert again(instance, run).tags[LOST_TAG] == run.run_id
    assert mark_lost_runs(instance, cleared.append) == []


def test_runs_that_may_live_are_not_marked(instance, listening, refusing):
    run_of(instance, {"port": listening})
    run_of(instance, {"host": "no-such-host.invalid", "port": refusing})
    run_of(instance, {"socket": "/tmp/a-server-of-zipp-ui"})
    run_of(instance, None)
    run_of(instance, {"port": refusing}, dg.DagsterRunStatus.STARTING)
    assert mark_lost_runs(instance) == []


def test_a_lost_run_is_dead_once_its_server_answers_again(instance, refusing, monkeypatch):
    run = run_of(instance, {"port": refusing})
    check = instance.run_launcher.check_run_worker_health
    assert instance.run_launcher.supports_check_run_worker_health
    assert check(run).status is WorkerStatus.RUNNING
    mark_lost_runs(instance)
    waits = check(again(instance, run))
    assert waits.status is WorkerStatus.RUNNING and "waiting for the code server" in waits.msg
    monkeypatch.setattr(launcher, "_answers", lambda server: True)
    assert check(again(instance, run)).status is WorkerStatus.FAILED


def test_a_retry_inherits_the_mark_and_is_not_taken_for_lost(instance, refusing, monkeypatch):
    monkeypatch.setattr(launcher, "_answers", lambda server: True)
    lost = run_of(instance, {"port": refusing})
    mark_lost_runs(instance)
    retry = run_of(instance, {"port": refusing})
    instance.add_run_tags(retry.run_id, {LOST_TAG: lost.run_id})
    health = instance.run_launcher.check_run_worker_health
    assert health(again(instance, retry)).status is WorkerStatus.RUNNING


def test_a_run_without_a_server_is_not_this_launcher_s_to_judge(instance):
    assert (
        instance.run_launcher.check_run_worker_health(run_of(instance, None)).status
        is WorkerStatus.RUNNING
    )
