from __future__ import annotations

import json
import os
import time
from pathlib import Path

import dagster as dg
import pytest

from resources import default_resources
from zipp_dagster.definitions import defs
from zipp_dagster.operation.dump_folder import SETTLED_SECONDS, Seen, month_requests
from zipp_dagster.platform.dagster_assets import MONTHS

NOW = 1_000_000.0
QUIET = NOW - SETTLED_SECONDS - 1
JANUARY = {
    "/dumps/RC_2024-01.zst": Seen("2024-01", 10, QUIET),
    "/dumps/RS_2024-01.zst": Seen("2024-01", 5, QUIET),
}
FEBRUARY = {"/dumps/RC_2024-02.zst": Seen("2024-02", 7, QUIET)}


def months_of(result: dg.SensorResult) -> list[str]:
    return [request.partition_key for request in result.run_requests]


def settled(files, cursor=None, known=frozenset(), now=NOW):
    """Two ticks with the same files: the second finds that nothing grows any more."""
    first = month_requests(files, cursor, set(known), now)
    return month_requests(files, first.cursor, set(known), now)


def test_a_new_month_is_added_and_asked_for_once_all_its_files_have_settled():
    first = month_requests(JANUARY, None, set(), NOW)
    assert (
        months_of(first) == []
        and "waiting until the files of 2024-01" in first.skip_reason.skip_message
    )
    result = month_requests(JANUARY, first.cursor, set(), NOW)
    assert months_of(result) == ["2024-01"]
    (added,) = result.dynamic_partitions_requests
    assert (added.partitions_def_name, added.partition_keys) == (MONTHS.name, ["2024-01"])


def test_unchanged_files_ask_for_nothing():
    cursor = settled(JANUARY).cursor
    result = month_requests(JANUARY, cursor, {"2024-01"}, NOW + 3600)
    assert (
        months_of(result) == [] and result.skip_reason.skip_message == "no new or changed dump file"
    )


@pytest.mark.parametrize("changed", [Seen("2024-01", 11, QUIET), Seen("2024-01", 10, QUIET - 5)])
def test_a_file_of_another_size_or_time_asks_for_its_month_again_with_another_key(changed):
    first = settled(JANUARY | FEBRUARY)
    files = JANUARY | FEBRUARY | {"/dumps/RC_2024-01.zst": changed}
    second = settled(files, first.cursor, {"2024-01", "2024-02"})
    again = month_requests(files, first.cursor, {"2024-01", "2024-02"}, NOW)
    assert set(months_of(again) + months_of(second)) == {"2024-01"}
    (request,) = again.run_requests + second.run_requests
    assert second.dynamic_partitions_requests == []
    assert request.run_key not in {r.run_key for r in first.run_requests}


def test_a_copy_that_keeps_the_time_of_the_original_waits_until_it_stops_growing():
    cursor, sizes = None, [3, 6, 10, 10]
    asked = []
    for size in sizes:
        files = {"/dumps/RC_2024-02.zst": Seen("2024-02", size, QUIET)}
        result = month_requests(files, cursor, set(), NOW)
        cursor, asked = result.cursor, [*asked, months_of(result)]
    assert asked == [[], [], [], ["2024-02"]]


def test_a_month_whose_file_is_still_being_copied_waits_and_holds_up_no_other():
    copying = JANUARY | {"/dumps/RS_2024-01.zst": Seen("2024-01", 2, NOW - 1)}
    first = settled(copying | FEBRUARY)
    assert months_of(first) == ["2024-02"]
    later = settled(JANUARY | FEBRUARY, first.cursor, {"2024-02"})
    assert months_of(later) == ["2024-01"]


def test_a_second_file_of_a_known_month_asks_for_it_again():
    only_comments = {k: v for k, v in JANUARY.items() if "RC_" in k}
    first = settled(only_comments)
    assert months_of(settled(JANUARY, first.cursor, {"2024-01"})) == ["2024-01"]


def test_a_month_that_was_ingested_by_hand_is_asked_for_but_not_added_again():
    result = settled(JANUARY, known={"2024-01"})
    assert months_of(result) == ["2024-01"] and result.dynamic_partitions_requests == []


@pytest.fixture
def instance():
    """A Dagster instance as the daemon has one: with a store for partitions."""
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def dumps(tmp_path: Path, environment):
    """A folder of the user's that the settings name."""
    folder = tmp_path / "dumps"
    folder.mkdir()
    with environment(ZIPP_HOME=tmp_path / "home", ZIPP_REDDIT__DUMPS_DIR=folder):
        yield folder


def tick(instance: dg.DagsterInstance, cursor: str | None = None):
    repository = defs.get_repository_def()
    sensor = repository.get_sensor_def("dump_folder")
    # As the daemon makes it: build_sensor_context cannot look up partitions that a tick adds.
    with dg.SensorEvaluationContext(
        instance_ref=instance.get_ref(),
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=cursor,
        repository_name=repository.name,
        repository_def=repository,
        resources=default_resources(),
    ) as context:
        return sensor.evaluate_tick(context)


def test_the_sensor_asks_for_the_months_of_the_dump_folder(dumps, instance):
    for name in ("RC_2024-01.zst", "RS_2024-01.zst", "notes.txt"):
        (dumps / name).write_bytes(b"x")
        quiet = time.time() - SETTLED_SECONDS - 5
        os.utime(dumps / name, (quiet, quiet))
    found = tick(instance, tick(instance).cursor)
    assert [request.partition_key for request in found.run_requests] == ["2024-01"]
    assert list(json.loads(found.cursor)["asked"]) == ["2024-01"]
    assert tick(instance, found.cursor).run_requests == []


def test_the_sensor_says_why_it_waits_where_the_folder_is_empty(dumps, instance):
    found = tick(instance)
    assert found.run_requests == [] and "it is empty" in found.skip_message
