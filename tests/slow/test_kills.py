"""A run killed at any moment leaves what was current, current and readable."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.lineage import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SELECTION = "+link_split"
PATIENCE_SECONDS = 240
KILLED_WHILE_WRITING = (
    "sample_world",
    # As often as the pool of decoding assets has places: a dead run must not keep its place.
    *("comments", "comments"),
    "stg_comments",
    "benchmark_holdout",
    "link_split",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory, zipp, mlflow_store) -> Path:
    """A home on which everything selected has been made once."""
    home = tmp_path_factory.mktemp("kills")
    mlflow_store(home / "mlflow")
    finish(zipp(home, "run", "--select", SELECTION))
    return home


def finish(process, code: int = 0) -> str:
    """Waits for the end; returns standard output."""
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code, errors
    return output


def current_versions(lake: Lake) -> dict[tuple[str, str | None], str]:
    return {
        (asset, partition): lake.current(asset, partition).id
        for asset in lake.assets()
        for partition in lake.partitions(asset)
    }


def kill_while_writing(process, lake: Lake, asset: str, chance: random.Random) -> bool:
    """Kills a run soon after a draft of an asset has appeared; False where the run ended before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if list(lake.root.glob(f".drafts/{asset}-*")):
            time.sleep(chance.choice([0, 0.02, 0.1, 0.3]))
            break
        time.sleep(0.002)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return True


def test_kills_at_many_points_lose_nothing_and_the_next_run_completes(home, zipp):
    lake, chance = Lake(home / "lake"), random.Random(7)
    before = current_versions(lake)
    killed = 0
    for number, asset in enumerate(KILLED_WHILE_WRITING):
        changed = {"ZIPP_SAMPLEWORLD__SEED": 100 + number}  # everything is to be made anew
        process = zipp(home, "run", "--select", SELECTION, **changed)
        killed += kill_while_writing(process, lake, asset, chance)
        assert set(current_versions(lake)) == set(before), f"killed while writing {asset}"
        assert verify(lake).passed, f"killed while writing {asset}"
    assert killed >= len(KILLED_WHILE_WRITING) - 2
    result = json.loads(finish(zipp(home, "run", "--select", SELECTION, "--json", **changed)))
    assert result["succeeded"] and result["failed"] == []
    after = current_versions(lake)
    assert set(after) == set(before)
    assert after["sample_world", None] != before["sample_world", None]
    again = json.loads(finish(zipp(home, "run", "--select", SELECTION, "--json", **changed)))
    assert again["made"] == []


def test_kills_at_random_moments_leave_a_lake_that_the_tools_can_read(home, zipp):
    chance = random.Random(11)
    changed = {"ZIPP_SAMPLEWORLD__SEED": 9}
    for _ in range(3):
        process = zipp(home, "run", "--select", SELECTION, **changed)
        time.sleep(chance.uniform(0.5, 6))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert json.loads(finish(zipp(home, "lineage", "verify", "--json")))["passed"]
    finish(zipp(home, "run", "--select", SELECTION, **changed))


def test_prune_leaves_no_draft_of_a_killed_run(home, zipp):
    process = zipp(home, "run", "--select", SELECTION, ZIPP_SAMPLEWORLD__SEED=10)
    assert kill_while_writing(process, Lake(home / "lake"), "sample_world", random.Random(0))
    assert list((home / "lake").glob(".drafts/*"))
    finish(zipp(home, "prune", ZIPP_LAKE__KEEP_VERSIONS=1))
    assert list((home / "lake").glob(".drafts/*")) == []
    assert verify(Lake(home / "lake")).passed
