"""Whole runs with the lake in object storage: two machines, a killed run, a full cache disk."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_storage import BUCKET, S3Server, serving
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.lineage import verify
from zipp_dagster.platform.object_lake import open_lake
from zipp_dagster.platform.versions import LakeError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SELECTION = "+interactions"
URL = f"s3://{BUCKET}/zipp"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> dict[str, object]:
    """The settings of all machines: the lake, and the key that pseudonyms are made with."""
    key = tmp_path_factory.mktemp("shared") / "pseudonym.key"
    return {"ZIPP_LAKE__URL": URL, "ZIPP_REDDIT__PSEUDONYM_KEY_FILE": key}


@pytest.fixture(scope="module")
def home(tmp_path_factory, mlflow_store) -> Path:
    home = tmp_path_factory.mktemp("one")
    mlflow_store(home / "mlflow")
    return home


def finish(process, code: int = 0) -> str:
    output, errors = process.communicate(timeout=1200)
    assert process.returncode == code, errors
    return output


def data_versions(lake: Lake) -> dict[tuple[str, str | None], tuple[str, int | None]]:
    return {
        (name, part): (version.manifest.data_version, version.manifest.rows)
        for name in lake.assets()
        for part in lake.partitions(name)
        if (version := lake.current(name, part))
    }


def test_a_run_makes_the_same_as_on_a_disk_and_another_machine_finds_it_made(
    s3, zipp, home, shared, tmp_path, mlflow_store
):
    command = ("run", "--select", SELECTION, "--json")
    made = json.loads(finish(zipp(home, *command, **shared)))
    assert made["succeeded"] and "interactions" in made["made"]
    assert not (home / "lake").exists()
    mlflow_store(tmp_path / "disk" / "mlflow")
    finish(zipp(tmp_path / "disk", *command, **shared | {"ZIPP_LAKE__URL": ""}))
    lake = open_lake(URL, home, 50)
    assert data_versions(lake) == data_versions(Lake(tmp_path / "disk" / "lake"))
    other = tmp_path / "other"
    mlflow_store(other / "mlflow")
    again = json.loads(finish(zipp(other, *command, **shared)))
    assert again["made"] == [] and again["failed"] == []
    told = json.loads(finish(zipp(other, "lineage", "verify", "--json", **shared)))
    assert told["passed"] and told["versions"] == len(made["made"])
    findings = json.loads(finish(zipp(other, "doctor", "--json", **shared)))
    (found,) = [entry for entry in findings if entry["what"] == "lake"]
    assert found["state"] == "ok" and "conditional writes" in found["detail"]


def test_a_run_killed_while_it_uploads_leaves_what_was_current(s3, zipp, home, shared):
    lake = open_lake(URL, home, 50)
    before = data_versions(lake)
    seen = len(s3.requests)
    changed = shared | {"ZIPP_SAMPLEWORLD__SEED": 5}
    process = zipp(home, "run", "--select", SELECTION, **changed)
    while not any(m == "PUT" and "/sample_world/" in p for m, p in s3.requests[seen:]):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert data_versions(lake) == before and verify(lake).passed
    result = json.loads(finish(zipp(home, "run", "--select", SELECTION, "--json", **changed)))
    assert result["succeeded"] and data_versions(lake).keys() == before.keys()
    pruned = json.loads(
        finish(zipp(home, "prune", "--json", **changed, ZIPP_LAKE__KEEP_VERSIONS=1))
    )
    assert pruned["removed"] and verify(lake).passed


def test_a_full_cache_disk_is_one_clear_error_and_the_lake_stays_whole(s3, home, small_disk):
    cramped = small_disk / "home"
    status = os.statvfs(small_disk)
    filler = small_disk / "somebody-else's-file"
    filler.write_bytes(b"\0" * (status.f_bavail * status.f_frsize - 50_000))
    lake = open_lake(URL, cramped, 50)
    with pytest.raises(LakeError, match="is full .* was fetched; the lake is as it was"):
        _ = lake.current("sample_world").directory
    filler.unlink()
    assert lake.current("sample_world").directory.is_dir() and verify(lake).passed
