"""The engine on a cluster of two machines: order, losses, poison, back-pressure, reports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.slow.ray import work
from tests.slow.ray.conftest import add_machine
from zipp_dagster.fanout import ItemError, Need, QuarantinedItems
from zipp_dagster.platform.compute import engine_of
from zipp_dagster.platform.config import ComputeSettings
from zipp_dagster.platform.ray_connection import ComputeError, Room
from zipp_dagster.platform.ray_lanes import Actors
from zipp_dagster.platform.ray_reports import Reports

pytestmark = pytest.mark.ray


@pytest.fixture
def engine(compute):
    return engine_of(compute)


def test_results_are_those_of_the_local_engine_in_the_same_order(engine):
    local = engine_of(ComputeSettings())
    assert engine.map(work.square, range(30)) == local.map(work.square, range(30))
    assert engine.map(work.square, []) == []


def test_both_machines_work(engine):
    nodes = {node for node, _ in engine.map(work.where, range(6))}
    assert len(nodes) == 2


def test_progress_counts_every_item(engine):
    seen = []
    engine.map(work.square, range(3), lambda *report: seen.append(report[:2]))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_failure_ends_the_map_with_the_functions_own_error_and_its_place(engine):
    with pytest.raises(ItemError, match="item 1 of 500: item 1 is burnt") as error:
        engine.map(work.poison, range(500))
    assert type(error.value.__cause__) is ValueError
    assert "work.py" in error.value.__cause__.__notes__[0]


def test_an_error_that_cannot_travel_is_told_in_words(engine):
    with pytest.raises(ItemError, match="Stubborn: no way"):
        engine.map(work.stubborn, [0])


def test_a_poison_item_is_quarantined_and_the_rest_completes(engine):
    with pytest.raises(QuarantinedItems, match="item 1: item 1 is burnt; item 4: ") as error:
        engine.map(work.poison, range(6), on_error="quarantine")
    assert error.value.results == [0, None, 2, 3, None, 5]


def test_killed_workers_lose_nothing(engine, tmp_path, caplog):
    found = engine.map(work.die_once, [(tmp_path, x) for x in range(4)])
    assert found == [0, 10, 20, 30]
    assert sum("lost its worker, try 2 of 4" in line for line in caplog.messages) == 4


def test_an_item_that_kills_its_worker_each_time_is_quarantined(compute):
    engine = engine_of(compute.model_copy(update={"max_retries": 1}))
    with pytest.raises(QuarantinedItems, match="lost 2 times .compute.max_retries=1") as error:
        engine.map(work.always_die, range(3), on_error="quarantine")
    assert error.value.results == [0, None, 2]


def test_a_machine_that_is_lost_with_its_items_loses_nothing(cluster, engine, tmp_path):
    import ray

    before = {node["NodeID"] for node in ray.nodes()}
    machine = add_machine(cluster)
    (third,) = {node["NodeID"] for node in ray.nodes()} - before

    def remove() -> None:
        while not list(tmp_path.glob(f"*-{third}")):
            time.sleep(0.05)
        cluster.remove_node(machine, allow_graceful=False)

    killer = threading.Thread(target=remove)
    killer.start()
    found = engine.map(work.marked, [(tmp_path, x) for x in range(9)])
    killer.join()
    assert [x for x, _ in found] == list(range(9))
    begun = {path.name.split("-")[0] for path in tmp_path.glob(f"*-{third}")}
    again = {path.name.split("-")[0] for path in tmp_path.iterdir() if third not in path.name}
    assert begun & again, "no item was begun on the lost machine and then somewhere else"
    # Ray itself notices some seconds later; until then it may give the machine work.
    while any(node["Alive"] for node in ray.nodes() if node["NodeID"] == third):
        time.sleep(0.2)


def test_a_full_disk_is_the_machines_fault_not_the_items(engine, compute, tmp_path):
    assert engine.map(work.full_once, [(tmp_path, x) for x in range(2)]) == [0, 1]
    never = engine_of(compute.model_copy(update={"max_retries": 0}))
    with pytest.raises(ItemError, match="No space left"):
        never.map(work.full_once, [(tmp_path, 2)])


def test_items_report_their_own_units(engine):
    seen = []
    assert engine.map_reporting(work.crumbs, [10, 11], lambda *r: seen.append(r)) == [10, 11]
    assert seen[-1] == (21, 21, "crumbs")
    assert len(seen) > 2


def test_a_lost_progress_board_costs_no_result(engine, monkeypatch):
    import ray

    poll, killed = Reports.poll, []

    def killing(reports: Reports, wait_seconds: float = 0.0) -> None:
        if not killed:
            killed.append(ray.kill(reports.board, no_restart=False))
        poll(reports, wait_seconds)

    monkeypatch.setattr(Reports, "poll", killing)
    assert engine.map_reporting(work.crumbs, [3, 4], lambda *_: None) == [3, 4]
    assert killed


def test_a_stream_keeps_its_states_and_the_order(engine):
    baked: dict[int, int] = {}

    def items():
        """Until both have worked: on a busy machine the second actor takes its time to start."""
        for item in range(400):
            if item >= 40 and len(baked) == 2:
                return
            yield item

    for position, (item, pid, count) in enumerate(engine.stream(work.oven, work.bake, items())):
        assert item == position
        baked[pid] = max(count, baked.get(pid, 0))
    assert len(baked) == 2 and sum(baked.values()) == position + 1


def test_a_stream_has_no_more_actors_than_allowed_and_frees_its_cores(compute, engine):
    one = engine_of(compute.model_copy(update={"max_actors": 1}))
    assert len({pid for _, pid, _ in one.stream(work.oven, work.bake, range(10))}) == 1
    assert len({node for node, _ in engine.map(work.where, range(6))}) == 2


def test_actors_that_a_pool_no_longer_needs_while_they_start_free_their_cores(engine, monkeypatch):
    """Killed at the wrong moment they would keep them: the worker does not know yet who it is."""
    import ray

    lanes = Actors(work.oven, work.bake, Room({"num_cpus": 1}, 2), fewest=2, most=2)
    lanes.has_room()
    pending = list(lanes._starting)
    assert len(pending) == 2
    monkeypatch.setattr(ray, "kill", lambda actor: pytest.fail(f"{actor} is killed"))
    lanes.close()
    assert len(ray.wait(pending, num_returns=2, timeout=120)[0]) == 2, "they end before they begin"
    until = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0) < 2:
        assert time.monotonic() < until, f"still taken: {ray.available_resources()}"
        time.sleep(0.2)


def test_a_stream_takes_few_items_ahead_of_its_caller(compute):
    taken = []

    def items():
        for item in range(200):
            taken.append(item)
            yield item

    engine = engine_of(compute.model_copy(update={"max_actors": 2, "in_flight": 4}))
    stream = engine.stream(work.oven, work.bake, items())
    assert next(stream)[0] == 0
    time.sleep(1.0)
    assert len(taken) <= 8
    stream.close()


def test_a_stream_whose_actors_are_killed_loses_nothing(engine, tmp_path):
    items = [(tmp_path, x) for x in range(5)]
    assert list(engine.stream(work.oven, work.bake_and_die_once, items)) == [0, 10, 20, 30, 40]


def test_a_state_that_cannot_be_opened_ends_the_stream_with_its_error(engine):
    with pytest.raises(ItemError, match="item 0: no gas"):
        list(engine.stream(work.broken_oven, work.bake, range(3)))


def test_more_cores_than_a_machine_has_are_a_whole_machine_but_a_gpu_must_be_there(engine):
    assert engine.map(work.square, [2], need=Need(cpus=64)) == [4]
    with pytest.raises(ComputeError, match="needs CPU 1, GPU 1, but no machine"):
        engine.map(work.square, [2], need=Need(gpus=1))


UNREACHABLE = """
from zipp_dagster.platform.compute import engine_of
from zipp_dagster.settings import settings
engine_of(settings().compute)
"""


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_cluster_that_does_not_answer_is_one_clear_error(kind, tmp_path):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    if kind == "silent":
        listener.listen()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    outside = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = outside | {
        "ZIPP_COMPUTE__ENGINE": "ray",
        "ZIPP_COMPUTE__ADDRESS": address,
        "ZIPP_COMPUTE__CONNECT_SECONDS": "3",
        "ZIPP_HOME": str(tmp_path),
        "RAY_TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", UNREACHABLE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    listener.close()
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "no Ray cluster can be used at compute.address" in last and "ZIPP_COMPUTE__" in last
