from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from assets.catalogue import catalogue
from zipp_dagster.automation import automation
from zipp_dagster.definitions import defs
from zipp_dagster.platform.config import OperationSettings
from zipp_dagster.platform.dagster_assets import MONTHS


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def test_the_schedule_runs_the_newest_month_and_says_so_where_there_is_none(instance):
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("monthly_refresh")
    third_of_march = datetime(2024, 3, 3, tzinfo=UTC)

    def evaluate():
        with dg.build_schedule_context(
            instance, third_of_march, repository_def=repository
        ) as context:
            return schedule.evaluate_tick(context)

    assert "no month of dumps is known yet" in evaluate().skip_message
    instance.add_dynamic_partitions(MONTHS.name, ["2024-02", "2024-01"])
    (request,) = evaluate().run_requests
    assert (request.partition_key, request.run_key) == ("2024-02", "monthly-2024-03-03")


def test_everything_starts_switched_off_and_with_watch_switched_on():
    for watch, name in ((False, "STOPPED"), (True, "RUNNING")):
        found = automation(catalogue(), OperationSettings(watch=watch))
        states = {s.default_status.name for s in [*found.sensors, *found.schedules]}
        assert states == {name}


def test_the_weekly_benchmark_makes_prompts_images_scores_and_report_and_no_model():
    job = defs.resolve_job_def("zipbench")
    made = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert {"benchmark_prompts", "generated_images", "benchmark_scores", "zipbench_report"} <= made
    assert made.isdisjoint({"gat_checkpoint", "comments", "personas"})


def test_what_is_made_from_all_months_is_expected_to_be_fresh_and_monthly_tables_are_not():
    nodes = defs.resolve_asset_graph()
    policy = {k.to_user_string(): nodes.get(k).freshness_policy for k in nodes.get_all_asset_keys()}
    assert policy["zipbench_report"] is not None and policy["user_embeddings"] is not None
    assert policy["comments"] is None and policy["sample_world"] is None
