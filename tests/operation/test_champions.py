from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from resources import default_resources
from zipp_dagster.definitions import defs
from zipp_dagster.platform.registry import CHAMPION, OUTSIDE, Registry

MODEL = "persona-encoder"


@pytest.fixture
def registry(tmp_path: Path, environment, mlflow_store):
    """The registry of a ZIPP_HOME, with two versions of a model; the first is champion."""
    home = tmp_path / "home"
    with environment(ZIPP_HOME=home):
        registry = Registry.local(mlflow_store(home / "mlflow"), None, "zipp")
        for number in (1, 2):
            folder = tmp_path / f"v{number}"
            folder.mkdir()
            (folder / "config.json").write_text("{}")
            with registry.run("encoder", {}, {}) as tracker:
                registry.register(
                    tracker,
                    MODEL,
                    folder,
                    asset="encoder",
                    lake_version=f"lake-{number}",
                    metrics={},
                    tags={},
                )
        registry.promote(MODEL, 1, who="ann", why="first")
        yield registry


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def tick(instance: dg.DagsterInstance, cursor: str | None = None):
    repository = defs.get_repository_def()
    with dg.build_sensor_context(
        instance, cursor=cursor, repository_def=repository, resources=default_resources()
    ) as context:
        return repository.get_sensor_def("champion_moved").evaluate_tick(context)


def run(job: str, op: str, instance: dg.DagsterInstance, **config):
    return defs.resolve_job_def(job).execute_in_process(
        run_config={"ops": {op: {"config": config}}}, instance=instance, raise_on_error=False
    )


def test_the_first_tick_only_remembers_who_is_champion(registry, instance):
    found = tick(instance)
    assert found.run_requests == [] and found.cursor == f"{MODEL}=1"
    assert tick(instance, found.cursor).run_requests == []


def test_a_promotion_asks_for_what_follows_from_the_champion(registry, instance):
    cursor = tick(instance).cursor
    registry.promote(MODEL, 2, who="bob", why="better")
    found = tick(instance, cursor)
    (request,) = found.run_requests
    assert request.tags["zipp/champions"] == f"{MODEL}=2" and request.tags["zipp/moved"] == ""
    assert tick(instance, found.cursor).run_requests == []


def test_an_alias_moved_by_hand_is_seen_and_written_into_the_history(registry, instance):
    cursor = tick(instance).cursor
    registry.client.set_registered_model_alias(MODEL, CHAMPION, "2")
    (request,) = tick(instance, cursor).run_requests
    assert request.tags["zipp/moved"] == f"{MODEL}: 1 → 2 by hand"
    assert registry.moves(MODEL)[-1].who == OUTSIDE


def test_the_jobs_promote_and_roll_back_as_the_command_line_does(registry, instance):
    done = run("promote_model", "promote_version", instance, model=MODEL, version=2, why="better")
    assert done.success and registry.by_alias(MODEL, CHAMPION).version == 2
    assert run("roll_back_model", "roll_back_version", instance, model=MODEL, why="worse").success
    assert registry.by_alias(MODEL, CHAMPION).version == 1
    assert [(m.after, m.who) for m in registry.moves(MODEL)][1:] == [
        (2, "Dagster job"),
        (1, "Dagster job"),
    ]


def test_a_promotion_of_what_is_not_there_fails_its_run_and_moves_nothing(registry, instance):
    done = run("promote_model", "promote_version", instance, model=MODEL, version=9, why="?")
    assert not done.success and registry.by_alias(MODEL, CHAMPION).version == 1
