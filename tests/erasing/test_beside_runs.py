"""Erasures while other runs are at work, and those of the night."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.erasing.place import MONTH, most_active
from zipp_dagster import runner
from zipp_dagster.erasing import apply as applying
from zipp_dagster.erasing import receipts
from zipp_dagster.erasing.apply import must_be_rebuilt
from zipp_dagster.erasing.holding import pending
from zipp_dagster.erasing.record import record
from zipp_dagster.platform.lineage import verify
from zipp_dagster.platform.locks import locked
from zipp_dagster.platform.work_locks import making
from zipp_dagster.reddit.erasure import ErasureError, Request


def test_it_waits_for_a_run_that_is_at_work(place, somebody):
    record(place.platform, Request.of([somebody]))
    lock = runner.instance_folder(place.platform.home) / runner.RUNNING / "other.lock"
    with locked(lock), pytest.raises(ErasureError, match="a run is at work"):
        applying.apply(place.platform)
    assert receipts.open_receipt(place.platform) is None


def test_who_is_recorded_during_an_erasure_waits_for_the_next_one(place, somebody, monkeypatch):
    other = most_active(place, but=somebody)
    persons = {name: place.person(name) for name in (somebody, other)}
    clean = applying.clean_leftovers

    def meanwhile(*arguments: Any) -> dict[str, int]:
        record(place.platform, Request.of([other]))
        return clean(*arguments)

    record(place.platform, Request.of([somebody]))
    with monkeypatch.context() as patch:
        patch.setattr(applying, "clean_leftovers", meanwhile)
        first = applying.apply(place.platform)
    assert (first.erased["users"], first.marks) == (1, [])
    assert place.traces(persons[somebody]) == [] and place.traces(persons[other]) != []
    assert pending(place.platform), "the second person still waits"
    second = applying.apply(place.platform)
    assert second.receipt != first.receipt and second.erased["users"] == 1
    assert place.traces(persons[other]) == [] and pending(place.platform) == []


def test_a_month_that_is_being_ingested_while_somebody_is_recorded_is_made_again(
    place, somebody, tmp_path
):
    lake, person = place.platform.lake, place.person(somebody)
    folder = lake.current("comments", MONTH).folder.parent
    with making(lake.root, "comments", MONTH, lambda reason: None):
        # The tombstones were read, and nothing is published yet.
        folder.rename(tmp_path / "ingested")
        record(place.platform, Request.of([somebody]))
        (tmp_path / "ingested").rename(folder)
    assert f"comments[{MONTH}]" in must_be_rebuilt(place.platform)
    applying.apply(place.platform)
    assert place.traces(person) == []


def test_a_version_that_another_run_publishes_meanwhile_does_not_outlive_the_erasure(
    place, somebody, monkeypatch
):
    lake, person = place.platform.lake, place.person(somebody)
    old, wait = lake.current("int_activity_monthly", MONTH), applying.nobody_at_work
    rounds = []

    def others_end(root: Path, told: Any):
        rounds.append(root)
        if len(rounds) == 1:
            lake.point(old)  # a run that had begun before
        return wait(root, told)

    monkeypatch.setattr(applying, "nobody_at_work", others_end)
    record(place.platform, Request.of([somebody]))
    receipt = applying.apply(place.platform)
    assert len(rounds) == 2 and old.id in {e["version"] for e in receipt.erased_versions}
    assert place.traces(person) == [] and verify(lake).passed


def test_the_nightly_job_carries_out_what_was_recorded_and_shows_the_receipt(place, somebody):
    import dagster as dg

    from resources import default_resources
    from zipp_dagster.definitions import defs
    from zipp_dagster.operation.instance import open_instance

    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("daily_erasures")
    instance = open_instance(place.platform.home)

    def evaluate():
        night = datetime(2024, 3, 3, 2, tzinfo=UTC)
        with dg.build_schedule_context(
            instance, night, repository_def=repository, resources=default_resources()
        ) as context:
            return schedule.evaluate_tick(context)

    def night() -> dict[str, Any]:
        done = repository.get_job("carry_out_erasures").execute_in_process(instance=instance)
        (output,) = [e for e in done.all_node_events if e.is_successful_output]
        return output.step_output_data.metadata

    assert "no recorded erasure waits" in evaluate().skip_message
    assert night()["erased"].value == "nothing waits"
    person = place.person(somebody)
    record(place.platform, Request.of([somebody]))
    (request,) = evaluate().run_requests
    assert request.run_key == "erasures-2024-03-03" and "tombstones wait" in str(request.tags)
    shown = night()
    receipt = receipts.read(receipts.folder_of(place.platform) / f"{shown['receipt'].value}.json")
    assert receipt.state == "complete" and shown["whole receipt"].value == receipt.to_json()
    assert shown["versions erased"].value == len(receipt.erased_versions) > 4
    assert place.traces(person) == [] and verify(place.platform.lake).passed
    assert "no recorded erasure waits" in evaluate().skip_message


def test_the_nightly_job_waits_for_runs_that_may_read_what_goes(place, somebody, monkeypatch):
    import dagster as dg

    from zipp_dagster.definitions import defs
    from zipp_dagster.operation import erasures
    from zipp_dagster.operation.instance import open_instance

    monkeypatch.setattr(erasures, "WAITS", 1)
    monkeypatch.setattr(erasures, "WAIT_SECONDS", 0)
    record(place.platform, Request.of([somebody]))
    instance = open_instance(place.platform.home)
    instance.add_run(dg.DagsterRun("full_pipeline", status=dg.DagsterRunStatus.STARTED))
    done = defs.resolve_job_def("carry_out_erasures").execute_in_process(
        instance=instance, raise_on_error=False
    )
    kinds = [event.event_type_value for event in done.all_events]
    assert not done.success and "STEP_UP_FOR_RETRY" in kinds
    assert receipts.open_receipt(place.platform) is None  # nothing was begun
