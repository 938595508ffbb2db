from __future__ import annotations

import json
import socket

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.storage.tags import GRPC_INFO_TAG

from zipp_dagster.cli import cli
from zipp_dagster.dead_runs import LOCK_TAG, RUNNING
from zipp_dagster.operation.instance import instance_folder, open_instance, set_pools
from zipp_dagster.operation.launcher import LOST_TAG
from zipp_dagster.platform.dagster_assets import MONTHS
from zipp_dagster.platform.registry import Registry


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def test_pools_get_their_limits_once_and_again_when_the_settings_change(instance):
    assert set_pools(instance, {"gpu": 1, "llm": 4}) == {"gpu": 1, "llm": 4}
    assert set_pools(instance, {"gpu": 1, "llm": 4}) == {}
    assert set_pools(instance, {"gpu": 2, "llm": 4}) == {"gpu": 2}
    limits = {p.name: p.limit for p in instance.event_log_storage.get_pool_limits()}
    assert limits == {"gpu": 2, "llm": 4}


def test_a_dagster_yaml_of_the_users_stays_as_it_is(tmp_path):
    file = instance_folder(tmp_path) / "dagster.yaml"
    assert "telemetry" in file.read_text()
    file.write_text("# mine")
    instance_folder(tmp_path)
    assert file.read_text() == "# mine"


def test_bootstrap_sets_pools_adds_the_months_of_the_dump_folder_and_may_be_run_again(
    tmp_path, environment
):
    dumps = tmp_path / "dumps"
    dumps.mkdir()
    for month in ("2024-01", "2024-02"):
        (dumps / f"RC_{month}.zst").write_bytes(b"x")
    with environment(ZIPP_HOME=tmp_path / "home", ZIPP_REDDIT__DUMPS_DIR=dumps):
        first, second = (
            json.loads(
                CliRunner().invoke(cli, ["bootstrap", "--json"], catch_exceptions=False).output
            )
            for _ in range(2)
        )
        with open_instance(tmp_path / "home") as instance:
            assert set(instance.get_dynamic_partitions(MONTHS.name)) == {"2024-01", "2024-02"}
    assert first["pools_set"] == {"gpu": 1, "decode": 2, "llm": 4}
    assert first["months_added"] == ["2024-01", "2024-02"]
    assert second["pools_set"] == {} and second["months_added"] == []


def bootstrap() -> dict[str, object]:
    done = CliRunner().invoke(cli, ["bootstrap", "--json"], catch_exceptions=False)
    return json.loads(done.output)


def test_bootstrap_closes_killed_runs_and_marks_those_that_died_with_the_code_server(
    tmp_path, environment, mlflow_store
):
    @dg.job
    def nothing():
        pass

    home = tmp_path / "home"
    registry = Registry.local(mlflow_store(home / "mlflow"), None, "zipp")
    started = dg.DagsterRunStatus.STARTED
    with (
        environment(ZIPP_HOME=home, ZIPP_MLFLOW__EXPERIMENT="zipp"),
        socket.socket() as refusing,
        open_instance(home) as instance,
    ):
        refusing.bind(("127.0.0.1", 0))
        server = json.dumps({"host": "127.0.0.1", "port": refusing.getsockname()[1]})
        by_hand = {LOCK_TAG: str(instance_folder(home) / RUNNING / "gone.lock")}
        killed = instance.create_run_for_job(nothing, status=started, tags=by_hand).run_id
        tags = {GRPC_INFO_TAG: server}
        lost = instance.create_run_for_job(nothing, status=started, tags=tags).run_id
        open_runs = [
            registry.client.create_run(registry.experiment_id, tags={"dagster.run_id": run})
            for run in (killed, lost)
        ]
        first, second = bootstrap(), bootstrap()
        assert instance.get_run_by_id(killed).status is dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(lost).tags[LOST_TAG] == lost
    assert (first["runs_closed"], first["runs_lost"]) == ([killed], [lost])
    assert (second["runs_closed"], second["runs_lost"]) == ([], [])
    assert {registry.client.get_run(run.info.run_id).info.status for run in open_runs} == {"KILLED"}


def test_a_deployment_s_own_instance_is_used_where_dagster_home_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with open_instance(tmp_path / "home") as instance:
        assert instance.root_directory == str(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME")
    with open_instance(tmp_path / "home") as instance:
        assert instance.root_directory == str(tmp_path / "home" / "dagster")
