from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.platform.bakery import CATALOGUE
from zipp_dagster.platform.artifacts import Summary
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.materialise import materialise
from zipp_dagster.platform.work_locks import being_made, making, nobody_at_work

PATIENCE_SECONDS = 30


def silent(reason: str) -> None:
    pass


class Oven:
    """An artifact whose body goes on when the test says so."""

    def __init__(self) -> None:
        self.begun, self.may_end, self.times = threading.Event(), threading.Event(), 0
        self.artifact = dataclasses.replace(CATALOGUE["flour"], function=self.bake)
        object.__setattr__(self.artifact, "parameters", {"out": Draft})

    def bake(self, out: Draft) -> Summary:
        self.times += 1
        self.begun.set()
        assert self.may_end.wait(PATIENCE_SECONDS)
        out.path("flour.txt").write_text("rye")
        return Summary()


@pytest.fixture
def oven():
    return Oven()


def test_of_two_runs_that_would_make_the_same_one_waits_and_finds_it_made(bakery, oven):
    told = threading.Event()
    patient = dataclasses.replace(bakery, progress=lambda done, total, note="": told.set())
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(materialise, oven.artifact, None, bakery, CATALOGUE)
        assert oven.begun.wait(PATIENCE_SECONDS)
        second = threads.submit(materialise, oven.artifact, None, patient, CATALOGUE)
        assert told.wait(PATIENCE_SECONDS), "a person is told that it waits"
        oven.may_end.set()
        statuses = [first.result().status, second.result().status]
    assert statuses == ["made", "unchanged"] and oven.times == 1


def test_other_partitions_and_other_assets_are_made_at_the_same_time(tmp_path):
    with making(tmp_path, "comments", "2024-01", silent):
        with making(tmp_path, "comments", "2024-02", silent), making(tmp_path, "x", None, silent):
            assert being_made(tmp_path, "comments") == ["2024-01", "2024-02"]
            assert being_made(tmp_path, "x") == [None]
        assert being_made(tmp_path, "comments") == ["2024-01"]
    assert being_made(tmp_path, "comments") == []


def test_what_removes_waits_for_those_at_work_and_who_comes_meanwhile_waits_outside(
    bakery, oven, tmp_path
):
    order: list[str] = []
    told, root = threading.Event(), bakery.lake.root

    def removes() -> None:
        with nobody_at_work(root, lambda reason: told.set()):
            order.append("removed")

    def comes_later() -> None:
        with making(root, "another", None, silent):
            order.append("made later")

    with ThreadPoolExecutor(3) as threads:
        working = threads.submit(materialise, oven.artifact, None, bakery, CATALOGUE)
        assert oven.begun.wait(PATIENCE_SECONDS)
        removing = threads.submit(removes)
        assert told.wait(PATIENCE_SECONDS)
        later = threads.submit(comes_later)
        order.append("made")
        oven.may_end.set()
        for future in (working, removing, later):
            future.result()
    assert order == ["made", "removed", "made later"]


def test_a_failure_leaves_no_lock(bakery, oven):
    def fails(out: Draft) -> Summary:
        raise RuntimeError("no gas")

    broken = dataclasses.replace(oven.artifact, function=fails)
    object.__setattr__(broken, "parameters", {"out": Draft})
    with pytest.raises(RuntimeError, match="no gas"):
        materialise(broken, None, bakery, CATALOGUE)
    oven.may_end.set()
    assert materialise(oven.artifact, None, bakery, CATALOGUE).status == "made"
    with nobody_at_work(bakery.lake.root, silent):
        assert being_made(bakery.lake.root, "flour") == []


def test_locks_of_killed_processes_go_when_the_lake_is_swept(bakery, tmp_path):
    root = bakery.lake.root
    dead = root / ".locks" / "bread" / "2024-01.lock"
    dead.parent.mkdir(parents=True)
    dead.touch()
    with making(root, "flour", None, silent):
        bakery.lake.prune(1)
        assert not dead.exists() and being_made(root, "flour") == [None]
