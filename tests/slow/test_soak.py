"""Two hundred small materialisations under random kills: nothing is lost, damaged, stuck or left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest

from zipp_dagster.operation.instance import open_instance
from zipp_dagster.platform.files import sha256_of
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.lineage import verify
from zipp_dagster.platform.registry import Registry

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

MATERIALISATIONS = 200
SELECTION = "+link_split"
# Of the CPU time of a whole run: on a fast machine as on a slow one, a run dies at any point of its work.
KILLED_AFTER = (0.1, 0.9)
KILLS = 5
MOST_RUNS = 80


def manifests(lake: Lake) -> dict[Path, str]:
    """Every published version's manifest, with its hash."""
    return {path: sha256_of(path) for path in lake.root.glob("[!.]*/*/*/manifest.json")}


def pointers(lake: Lake) -> dict[str, str]:
    return {
        path.relative_to(lake.root).as_posix(): path.read_text().strip()
        for path in lake.root.glob("[!.]*/*/current")
    }


def finish(process) -> str:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def cpu_seconds_of(process) -> float:
    """CPU-seconds of a process that runs to its end, with its children's."""
    before = os.times()
    finish(process)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def kill_after(process, seconds: float) -> bool:
    """Kills a process once it has used so many CPU-seconds; False where it ended before."""
    used = psutil.Process(process.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.poll() is None and sum(used.cpu_times()[:2]) < seconds:
            time.sleep(0.01)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return alive


def test_a_soak_of_two_hundred_materialisations_with_random_kills(
    tmp_path_factory, zipp, mlflow_store
):
    home = tmp_path_factory.mktemp("soak")
    mlflow_store(home / "mlflow")
    lake, chance = Lake(home / "lake"), random.Random(20)
    killed = runs = 0
    whole_run = 0.0
    kept: dict[Path, str] = {}
    while len(manifests(lake)) < MATERIALISATIONS or killed < KILLS:
        runs += 1
        made = len(manifests(lake))
        assert runs < MOST_RUNS, f"{made} versions, {killed} kills after {runs} runs: it is stuck"
        # Another world each time, so that everything is to be made anew.
        seed = {"ZIPP_SAMPLEWORLD__SEED": runs}
        process = zipp(home, "run", "--select", SELECTION, **seed)
        if not whole_run:
            whole_run = cpu_seconds_of(process)
        elif chance.random() < 0.7:
            killed += kill_after(process, whole_run * chance.uniform(*KILLED_AFTER))
        else:
            finish(process)
        now = manifests(lake)
        assert {path: now.get(path) for path in kept} == kept, "a version was lost or changed"
        for pointer, version in pointers(lake).items():
            assert (lake.root / pointer).with_name(version).is_dir(), f"{pointer} leads nowhere"
        kept = now
    assert verify(lake).passed
    print(f"{len(kept)} materialisations in {runs} runs, {killed} of them killed")

    # Nothing is stuck: the next run completes, and nobody believes a dead one to be at work.
    last = {"ZIPP_SAMPLEWORLD__SEED": runs + 1}
    done = json.loads(finish(zipp(home, "run", "--select", SELECTION, "--json", **last)))
    assert done["succeeded"] and done["failed"] == []
    with open_instance(home) as instance:
        open_runs = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
        assert instance.get_runs(dg.RunsFilter(statuses=open_runs)) == []
        for pool in instance.event_log_storage.get_concurrency_keys():
            assert instance.event_log_storage.get_concurrency_info(pool).claimed_slots == []
    registry = Registry.local(home / "mlflow", None, "zipp")
    found = registry.client.search_runs([registry.experiment_id], "attributes.status = 'RUNNING'")
    assert list(found) == []

    # Nothing is left: pruned to one version each, the lake holds versions and pointers, and the two
    # empty files by which processes wait for each other.
    finish(zipp(home, "prune", ZIPP_LAKE__KEEP_VERSIONS=1, ZIPP_LAKE__KEEP_DAYS=0, **last))
    strangers = [
        path.relative_to(lake.root).as_posix()
        for path in lake.root.rglob("*")
        if path.is_file() and path.relative_to(lake.root).parts[0].startswith(".")
    ]
    assert set(strangers) <= {".locks/gate", ".locks/work"}
    assert list(lake.root.glob("*/*/.current-*")) == []
    assert list((home / "dagster" / "running").glob("*")) == []
    assert verify(lake).passed
    again = json.loads(finish(zipp(home, "run", "--select", SELECTION, "--json", **last)))
    assert again["made"] == [] and again["succeeded"]
