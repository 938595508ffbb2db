from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from assets.catalogue import catalogue
from resources import default_resources
from zipp_dagster.automation import automation
from zipp_dagster.definitions import defs
from zipp_dagster.platform.config import OperationSettings
from zipp_dagster.platform.dagster_assets import MONTHS


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def monthly_refresh(instance: dg.DagsterInstance):
    """A tick on the third of March."""
    repository = defs.get_repository_def()
    with dg.build_schedule_context(
        instance,
        datetime(2024, 3, 3, tzinfo=UTC),
        repository_def=repository,
        resources=default_resources(),
    ) as context:
        return repository.get_schedule_def("monthly_refresh").evaluate_tick(context)


def test_the_schedule_runs_the_newest_month_and_says_so_where_there_is_none(
    instance, tmp_path, environment
):
    for month in ("2024-01", "2024-02", "2024-03"):
        (tmp_path / f"RC_{month}.zst").write_bytes(b"x")
    with environment(ZIPP_HOME=tmp_path / "home", ZIPP_REDDIT__DUMPS_DIR=tmp_path):
        assert "no month of dumps is known yet" in monthly_refresh(instance).skip_message
        instance.add_dynamic_partitions(MONTHS.name, ["2024-02", "2024-01"])
        (request,) = monthly_refresh(instance).run_requests
    assert (request.partition_key, request.run_key) == ("2024-02", "monthly-2024-03-03")


def test_months_of_another_source_and_of_deleted_dumps_are_not_refreshed(
    instance, tmp_path, environment
):
    instance.add_dynamic_partitions(MONTHS.name, ["2015-01", "2015-02", "2024-01"])
    only = tmp_path / "RC_2015-01.zst"
    only.write_bytes(b"x")
    with environment(ZIPP_HOME=tmp_path / "home", ZIPP_REDDIT__DUMPS_DIR=tmp_path):
        (request,) = monthly_refresh(instance).run_requests
        assert request.partition_key == "2015-01"
        only.rename(tmp_path / "RC_2014-12.zst")
        told = monthly_refresh(instance).skip_message
        assert "none of the known months (2015-01 to 2024-01)" in told
        (tmp_path / "RC_2014-12.zst").unlink()
        assert "it is empty" in monthly_refresh(instance).skip_message
    with environment(ZIPP_HOME=tmp_path / "home"):  # back to the sample world, which was not made
        assert "sample_world" in monthly_refresh(instance).skip_message


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
