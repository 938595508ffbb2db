from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from zipp_dagster.cli import cli
from zipp_dagster.operation.instance import open_instance
from zipp_dagster.operation.retention import forget_history, kept_versions
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.registry import Registry

NOW = datetime.now(UTC)
FIELDS = {"code_version": "1", "config_hash": "c", "config": {}, "inputs": (), "seconds": 0.1}


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def publish(lake: Lake, asset: str, run_id: str | None, text: str = "x"):
    with lake.draft(asset, None, text) as draft:
        draft.path("data.txt").write_text(text)
        return lake.publish(draft, **FIELDS, data_version=text, run_id=run_id)


@dg.asset
def bread():
    return 1


def a_run(instance: dg.DagsterInstance) -> str:
    return dg.materialize([bread], instance=instance).run_id


def test_old_runs_go_unless_a_kept_version_was_made_by_them(instance, tmp_path):
    lake = Lake(tmp_path / "lake")
    old, needed = a_run(instance), a_run(instance)
    publish(lake, "bread", needed)
    kept = kept_versions(lake)
    would = forget_history(instance, kept, 0, dry_run=True)
    assert would.runs == (old,) and instance.has_run(old)
    assert forget_history(instance, kept, 0, dry_run=False).runs == (old,)
    assert instance.has_run(needed) and not instance.has_run(old)
    assert instance.get_latest_materialization_event(dg.AssetKey("bread")).run_id == needed
    # Of days that have not passed nothing goes.
    young = a_run(instance)
    assert forget_history(instance, kept, 1, dry_run=False).runs == ()
    assert instance.has_run(young)


def test_a_run_at_work_stays_however_old(instance):
    instance.add_run(dg.DagsterRun("job", status=dg.DagsterRunStatus.STARTED))
    assert forget_history(instance, [], 0, dry_run=False).runs == ()


def test_old_ticks_go_and_the_latest_stays(instance):
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import (
        InstigatorState,
        InstigatorStatus,
        SensorInstigatorData,
        TickData,
        TickStatus,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    where = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="m"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(where, "r"), "dump_folder")
    data = SensorInstigatorData()
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
    )
    moments = [(NOW - timedelta(days=days)).timestamp() for days in (200, 100, 2)]
    for moment in moments:
        instance.create_tick(
            TickData(
                instigator_origin_id=origin.get_id(),
                instigator_name="dump_folder",
                instigator_type=InstigatorType.SENSOR,
                status=TickStatus.SKIPPED,
                timestamp=moment,
                selector_id=origin.get_selector().get_id(),
            )
        )

    def left():
        ticks = instance.get_ticks(origin.get_id(), origin.get_selector().get_id())
        return sorted(tick.timestamp for tick in ticks)

    assert forget_history(instance, [], 90, dry_run=True).ticks == 2 and len(left()) == 3
    assert forget_history(instance, [], 90, dry_run=False).ticks == 2
    assert left() == pytest.approx(moments[2:])
    assert forget_history(instance, [], 0, dry_run=False).ticks == 0 and len(left()) == 1


@pytest.fixture
def registry(tmp_path: Path, mlflow_store) -> Registry:
    return Registry.local(mlflow_store(tmp_path / "mlflow"), None, "zipp")


def tracked(registry: Registry, version: str | None, file: Path | None = None) -> str:
    with registry.run("bread", {}, {}) as tracker:
        if version:
            tracker.tag({"zipp.lake_version": version})
        if file:
            registry.client.log_artifact(tracker.run_id, str(file))
    return tracker.run_id


def all_runs(registry: Registry) -> set[str]:
    from mlflow.entities import ViewType

    found = registry.client.search_runs([registry.experiment_id], run_view_type=ViewType.ALL)
    return {run.info.run_id for run in found}


def test_mlflow_forgets_runs_of_pruned_versions_with_their_files_and_no_registered_one(
    registry, tmp_path
):
    picture = tmp_path / "curve.txt"
    picture.write_text("0.1")
    kept, pruned, failed = (tracked(registry, v, picture) for v in ("v-kept", "v-pruned", None))
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.safetensors").write_bytes(b"12")
    with registry.run("encoder", {}, {}) as tracker:
        registry.register(tracker, "zipp-encoder", model, asset="gat", lake_version="v-gone",
                          metrics={}, tags={})  # fmt: skip
        tracker.tag({"zipp.lake_version": "v-gone"})
    soon = datetime.now(UTC) + timedelta(seconds=1)
    assert set(registry.prune_runs({"v-kept"}, soon, dry_run=True)) == {pruned, failed}
    assert all_runs(registry) == {kept, pruned, failed, tracker.run_id}
    assert set(registry.prune_runs({"v-kept"}, soon)) == {pruned, failed}
    assert all_runs(registry) == {kept, tracker.run_id}
    assert len(list(registry.artifact_root.rglob("curve.txt"))) == 1
    assert list(registry.artifact_root.rglob("weights.safetensors"))  # registered: stays
    assert registry.prune_runs(set(), soon - timedelta(days=1)) == []


def test_the_command_says_first_what_would_go(tmp_path, environment, mlflow_store):
    home = tmp_path / "home"
    mlflow_store(home / "mlflow")
    lake = Lake(home / "lake")
    with environment(ZIPP_HOME=home, ZIPP_LAKE__KEEP_VERSIONS=1, ZIPP_LAKE__KEEP_DAYS=0):
        with open_instance(home) as instance:
            runs = [a_run(instance), a_run(instance)]
        registry = Registry.local(home / "mlflow", None, "zipp")
        versions = [publish(lake, "bread", run, run) for run in runs]
        mlflow_runs = [tracked(registry, version.id) for version in versions]
        time.sleep(0.01)

        def prune(*options: str):
            result = CliRunner().invoke(cli, ["prune", "--json", *options], catch_exceptions=False)
            return json.loads(result.output)

        would, did = prune("--dry-run"), prune()
        for said in (would, did):
            assert said["removed"] == [f"bread/{versions[0].id}"]
            assert said["dagster_runs"] == runs[:1] and said["mlflow_runs"] == mlflow_runs[:1]
        assert (would["dry_run"], did["dry_run"]) == (True, False)
        again = prune()
        assert (again["removed"], again["dagster_runs"], again["mlflow_runs"]) == ([], [], [])
        with open_instance(home) as instance:
            assert instance.has_run(runs[1]) and not instance.has_run(runs[0])
        assert all_runs(registry) == set(mlflow_runs[1:])
    assert "DAGSTER_HOME" not in os.environ
