from __future__ import annotations

import fcntl
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from zipp_dagster.dead_runs import LOCK_TAG, close_dead_runs
from zipp_dagster.platform.locks import in_use, locked, remove_unused


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def started_run(
    instance: dg.DagsterInstance,
    lock: Path | None,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED,
) -> str:
    """A run in the middle of its work, with a place in a pool."""

    @dg.job
    def nothing():
        pass

    tags = {} if lock is None else {LOCK_TAG: str(lock)}
    run = instance.create_run_for_job(nothing, status=status, tags=tags)
    instance.event_log_storage.set_concurrency_slots("decode", 2)
    instance.event_log_storage.claim_concurrency_slot("decode", run.run_id, "comments")
    return run.run_id


def places_taken(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_concurrency_info("decode").active_slot_count


def test_a_run_whose_process_is_gone_is_closed_and_gives_its_place_back(instance, tmp_path):
    run = started_run(instance, tmp_path / "gone.lock")
    assert places_taken(instance) == 1
    assert close_dead_runs(instance, tmp_path) == [run]
    assert instance.get_run_by_id(run).status is dg.DagsterRunStatus.FAILURE
    assert places_taken(instance) == 0
    assert close_dead_runs(instance, tmp_path) == []


def test_a_kill_while_a_dead_run_is_closed_leaves_one_that_is_found_again(instance, tmp_path):
    run = started_run(instance, tmp_path / "gone.lock")

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        close_dead_runs(instance, tmp_path, killed)
    cleared: list[str] = []
    assert close_dead_runs(instance, tmp_path, cleared.append) == cleared == [run]
    assert places_taken(instance) == 0


def test_a_process_that_died_before_its_first_step_leaves_nothing(instance, tmp_path):
    early, earlier = tmp_path / "early.lock", tmp_path / "earlier.lock"
    early.touch()
    earlier.touch()  # of a process that had made no run yet
    run = started_run(instance, early, dg.DagsterRunStatus.NOT_STARTED)
    with locked(tmp_path / "alive.lock"):
        assert close_dead_runs(instance, tmp_path) == [run]
        assert [path.name for path in tmp_path.glob("*.lock")] == ["alive.lock"]


def test_a_lock_file_that_is_taken_away_while_it_is_opened_is_made_again(tmp_path, monkeypatch):
    path, lock_it = tmp_path / "a.lock", fcntl.flock
    taken = []

    def flock(stream, how):
        if not taken:  # another process removes what looks unused
            taken.append(path.unlink())
        lock_it(stream, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(path):
        assert in_use(path) and not remove_unused(path)
    assert not path.exists()


def test_living_runs_and_those_of_others_are_left_alone(instance, tmp_path):
    started_run(instance, None)
    started_run(instance, tmp_path / "another home" / "gone.lock")
    with locked(tmp_path / "alive.lock"):
        started_run(instance, tmp_path / "alive.lock")
        assert close_dead_runs(instance, tmp_path) == []


def test_a_run_that_dagster_started_again_with_the_tags_of_before_is_left_alone(instance, tmp_path):
    run = started_run(instance, tmp_path / "gone.lock")
    instance.add_run_tags(run, {GRPC_INFO_TAG: '{"host": "code", "port": 4000}'})
    assert close_dead_runs(instance, tmp_path) == []


def test_a_lock_is_in_use_while_it_is_held_and_gone_afterwards(tmp_path):
    lock = tmp_path / "folder" / "a.lock"
    assert not in_use(lock)
    with pytest.raises(RuntimeError), locked(lock):
        assert in_use(lock)
        raise RuntimeError("ends")
    assert not in_use(lock) and not lock.exists()
    lock.write_text("left by a killed process")
    assert not in_use(lock)
