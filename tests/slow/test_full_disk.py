"""A disk that fills up in the middle of a run: one clear error, and nothing half-published."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.lineage import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MIB = 2**20


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all but so many bytes."""
    status = os.statvfs(folder)
    path = folder / "somebody-else's-file"
    path.write_bytes(b"\0" * max(status.f_bavail * status.f_frsize - leave, 0))
    return path


def run(zipp, home: Path, *arguments: str, **settings: object) -> tuple[int, str]:
    process = zipp(home, "run", *arguments, **settings)
    _, errors = process.communicate(timeout=240)
    return process.returncode, errors


def test_a_disk_that_fills_up_while_an_asset_is_written_is_one_clear_error(
    small_disk, zipp, mlflow_store
):
    home = small_disk / "home"
    mlflow_store(home / "mlflow")
    # Pictures enough to fill what is left after the databases.
    big = {"ZIPP_SAMPLEWORLD__PEOPLE": 400, "ZIPP_SAMPLEWORLD__IMAGE_SIZE": 256}
    code, errors = run(zipp, home, "--select", "sample_world", **big)
    assert code == 1
    assert "sample_world: LakeError:" in errors
    words = " ".join(errors.split())
    assert words.count("is full") == 1
    assert "while sample_world was being written; nothing was published" in words
    assert "Traceback" not in errors
    lake = Lake(home / "lake")
    assert lake.assets() == [] and list(lake.root.glob(".drafts/*")) == []
    code, errors = run(zipp, home, "--select", "sample_world")
    assert code == 0, errors


def test_a_disk_without_a_free_byte_keeps_what_was_published(small_disk, zipp, mlflow_store):
    home = small_disk / "home"
    mlflow_store(home / "mlflow")
    code, errors = run(zipp, home, "--select", "+reddit_dumps")
    assert code == 0, errors
    lake = Lake(home / "lake")
    before = lake.current("sample_world")
    filler = fill(small_disk, leave=0)
    code, errors = run(zipp, home, "--select", "+comments")
    assert code == 1
    words = " ".join(errors.split())
    assert "is full" in words and "Traceback" not in errors
    assert lake.current("sample_world") == before and lake.find("comments", "2024-01") is None
    filler.unlink()
    assert verify(lake).passed
    code, errors = run(zipp, home, "--select", "+comments")
    assert code == 0, errors
    assert lake.current("comments", "2024-01").manifest.rows
