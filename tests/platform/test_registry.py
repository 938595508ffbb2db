from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zipp_dagster.platform.registry import (
    CHALLENGER,
    CHAMPION,
    ERASURE,
    OUTSIDE,
    PREVIOUS,
    TRAINED_ON_ERASED,
    ModelVersion,
    Registry,
    RegistryConflict,
    RegistryError,
)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A model name of the test's own: the store is shared."""
    return re.sub(r"\W+", "-", request.node.name)


@pytest.fixture
def register(registry: Registry, name: str, tmp_path: Path):
    """`register("lake-1")` registers a version with one file."""

    def make(lake_version: str, file: str = "weights.safetensors", **options) -> ModelVersion:
        folder = tmp_path / lake_version
        folder.mkdir()
        (folder / file).write_bytes(b"12")
        fields = {"asset": "encoder", "metrics": {"mrr": 0.5}, "tags": {}} | options
        with registry.run("encoder", {"hidden": 8}, {}) as tracker:
            return registry.register(tracker, name, folder, lake_version=lake_version, **fields)

    return make


def test_the_newest_registered_version_is_the_challenger(registry, register, name):
    first, second = register("lake-1"), register("lake-2")
    assert (first.version, second.version) == (1, 2)
    assert [v.aliases for v in registry.versions(name)] == [(), (CHALLENGER,)]
    assert registry.by_alias(name, CHAMPION) is None
    assert registry.by_lake_version(name, "lake-1").version == 1
    assert registry.by_lake_version(name, "lake-9") is None
    assert name in registry.names()


def test_a_promotion_makes_a_champion_and_keeps_the_one_before_with_who_and_why(
    registry, register, name
):
    register("lake-1"), register("lake-2")
    registry.promote(name, 1, who="ann", why="first")
    champion = registry.promote(name, 2, who="bob", why="better")
    assert champion.version == 2 == registry.by_alias(name, CHAMPION).version
    assert registry.by_alias(name, PREVIOUS).version == 1
    assert champion.tags["zipp.promoted.who"] == "bob"
    assert champion.tags["zipp.promoted.why"] == "better"


def test_promoting_the_champion_again_changes_nothing(registry, register, name):
    register("lake-1"), register("lake-2")
    registry.promote(name, 1, who="ann", why="first")
    registry.promote(name, 2, who="ann", why="better")
    again = registry.promote(name, 2, who="bob", why="again")
    assert again.tags["zipp.promoted.who"] == "ann"
    assert registry.by_alias(name, PREVIOUS).version == 1


def test_a_rollback_swaps_champion_and_previous(registry, register, name):
    register("lake-1"), register("lake-2")
    registry.promote(name, 1, who="ann", why="first")
    registry.promote(name, 2, who="ann", why="better")
    champion = registry.rollback(name, who="eve", why="worse after all")
    assert champion.version == 1
    assert champion.tags["zipp.promoted.why"] == "rollback: worse after all"
    assert registry.by_alias(name, PREVIOUS).version == 2


def test_a_rollback_without_a_previous_champion_is_an_error(registry, register, name):
    register("lake-1")
    registry.promote(name, 1, who="ann", why="first")
    with pytest.raises(RegistryError, match="no previous champion"):
        registry.rollback(name, who="ann", why="?")


def test_promoting_what_is_not_there_lists_what_is(registry, register, name):
    register("lake-1")
    with pytest.raises(RegistryError, match="has no version 7; it has: 1"):
        registry.promote(name, 7, who="ann", why="?")
    with pytest.raises(RegistryError, match="unheard-of has no version 1; it has: none"):
        registry.promote("unheard-of", 1, who="ann", why="?")


def test_every_move_of_the_champion_is_in_the_history_with_who_and_why(registry, register, name):
    register("lake-1"), register("lake-2")
    registry.promote(name, 1, who="ann", why="first")
    registry.promote(name, 2, who="bob", why="better")
    registry.rollback(name, who="eve", why="worse after all")
    assert [(m.before, m.after, m.who, m.why) for m in registry.moves(name)] == [
        (None, 1, "ann", "first"),
        (1, 2, "bob", "better"),
        (2, 1, "eve", "rollback: worse after all"),
    ]
    assert registry.moves("unheard-of") == []


def test_of_two_promotions_against_the_same_champion_one_wins_and_the_other_is_told_whose(
    registry, register, name
):
    for number in (1, 2, 3):
        register(f"lake-{number}")
    registry.promote(name, 1, who="ann", why="first", against=0)
    registry.promote(name, 2, who="ann", why="better", against=1)
    with pytest.raises(RegistryConflict) as told:
        registry.promote(name, 3, who="bob", why="better", against=1)
    assert "3 was compared with version 1, but version 2 is champion now (ann at " in str(
        told.value
    )
    assert registry.by_alias(name, CHAMPION).version == 2


def test_two_promotions_at_once_leave_one_champion_and_one_conflict(registry, register, name):
    for number in (1, 2, 3):
        register(f"lake-{number}")
    registry.promote(name, 1, who="ann", why="first")

    def attempt(version: int) -> bool:
        try:
            registry.promote(name, version, who=f"thread {version}", why="better", against=1)
        except RegistryConflict:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        won = dict(zip((2, 3), threads.map(attempt, (2, 3))))
    assert sorted(won.values()) == [False, True]
    winner = next(version for version, first in won.items() if first)
    assert registry.by_alias(name, CHAMPION).version == winner
    assert registry.moves(name)[-1].who == f"thread {winner}"


def test_a_champion_moved_in_mlflow_itself_is_written_down_once(registry, register, name):
    register("lake-1"), register("lake-2")
    registry.promote(name, 1, who="ann", why="first")
    assert registry.audit(name) is None
    registry.client.set_registered_model_alias(name, CHAMPION, "2")
    move = registry.audit(name)
    assert (move.before, move.after, move.who) == (1, 2, OUTSIDE)
    assert registry.audit(name) is None
    registry.client.delete_registered_model_alias(name, CHAMPION)
    assert registry.audit(name).after is None


def test_the_lake_versions_behind_any_alias_are_protected(registry, register, name):
    for number in (1, 2, 3):
        register(f"{name}-lake-{number}")
    registry.promote(name, 1, who="ann", why="first")
    protected = {v for v in registry.protected_lake_versions() if v.startswith(name)}
    assert protected == {f"{name}-lake-1", f"{name}-lake-3"}


@pytest.mark.parametrize("file", ["model.pkl", "model.pt", "model.bin", "deep/model.ckpt"])
def test_a_pickle_is_refused_and_nothing_is_registered(registry, register, name, tmp_path, file):
    folder = tmp_path / "lake-1"
    if "/" in file:
        (tmp_path / "files" / "deep").mkdir(parents=True)
        (tmp_path / "files" / file).write_bytes(b"x")
        with pytest.raises(RegistryError, match="safetensors"), registry.run("e", {}, {}) as run:
            registry.register(
                run, name, tmp_path / "files", asset="e", lake_version="x", metrics={}, tags={}
            )
    else:
        with pytest.raises(RegistryError, match=f"{folder / file} is not registered"):
            register("lake-1", file)
    assert registry.versions(name) == [] and name not in registry.names()


def test_a_run_that_fails_is_marked_as_failed(registry):
    with pytest.raises(RuntimeError), registry.run("broken", {}, {}) as tracker:
        raise RuntimeError("no")
    assert registry.client.get_run(tracker.run_id).info.status == "FAILED"


def test_the_open_runs_of_a_killed_dagster_run_are_closed_and_no_others(registry):
    make = registry.client.create_run
    dead, alive = (
        make(registry.experiment_id, tags={"dagster.run_id": run}).info.run_id
        for run in ("dead-run", "living-run")
    )
    assert registry.close_runs_of("dead-run") == [dead]
    assert registry.close_runs_of("dead-run") == []
    assert registry.client.get_run(dead).info.status == "KILLED"
    assert registry.client.get_run(alive).info.status == "RUNNING"


def test_long_histories_and_many_settings_are_logged_completely(registry):
    settings = {"section": {f"key{number}": number for number in range(150)}}
    rows = [{"epoch": epoch, "loss": 1.0 / (epoch + 1)} for epoch in range(600)]
    with registry.run("long", settings, {"tag": "value"}) as tracker:
        tracker.log_history(rows, step_key="epoch")
        tracker.tag({"more": "x" * 9000})
    run = registry.client.get_run(tracker.run_id)
    assert len(run.data.params) == 150 and run.data.params["section.key149"] == "149"
    history = registry.client.get_metric_history(tracker.run_id, "loss")
    assert [(p.step, p.value) for p in history] == [(r["epoch"], r["loss"]) for r in rows]
    assert len(run.data.tags["more"]) == 5000


def test_the_local_store_is_a_sqlite_file_unless_a_server_is_named(tmp_path):
    local = Registry.local(tmp_path, None, "zipp")
    assert local.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert local.artifact_root == tmp_path / "artifacts"
    assert Registry.local(tmp_path, "http://mlflow", "zipp").tracking_uri == "http://mlflow"


def test_a_retired_model_is_flagged_and_neither_champion_nor_a_way_back(registry, register, name):
    register("lake-1"), register("lake-2")
    registry.promote(name, 1, who="ann", why="first")
    registry.promote(name, 2, who="bob", why="better")
    for version in registry.versions(name):
        retired = registry.retire(version, "receipt-1")
        assert retired.aliases == () and retired.tags[TRAINED_ON_ERASED] == "receipt-1"
    assert registry.by_alias(name, CHAMPION) is None
    with pytest.raises(RegistryError, match="no previous champion"):
        registry.rollback(name, who="ann", why="worse")
    third = register("lake-3")
    registry.promote(name, third.version, who="ann", why="retrained")
    assert registry.by_alias(name, PREVIOUS) is None


def test_an_erasure_of_the_champion_is_in_its_history_and_is_not_somebody_outside(
    registry, register, name
):
    register("lake-1"), register("lake-2")
    registry.promote(name, 1, who="ann", why="first")
    registry.promote(name, 2, who="bob", why="better")
    for version in registry.versions(name):
        registry.retire(version, "receipt-1")
        registry.retire(version, "receipt-1")  # as after a kill before the aliases were taken
    assert registry.audit(name) is None
    move = registry.moves(name)[-1]
    assert (move.before, move.after, move.who) == (2, None, ERASURE)
    assert "receipt-1" in move.why and len(registry.moves(name)) == 3


def test_the_files_of_a_version_are_deleted_and_its_entry_stays(registry, register, name):
    one, two = register("lake-1"), register("lake-2")
    files = set(registry.artifact_root.rglob("weights.safetensors"))
    assert registry.delete_files(one) and not registry.delete_files(one)
    left = set(registry.artifact_root.rglob("weights.safetensors"))
    assert len(files) - len(left) == 1
    assert [v.version for v in registry.versions(name)] == [1, 2]
    assert registry.delete_files(two)
