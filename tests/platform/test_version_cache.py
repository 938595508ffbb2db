"""Copies of versions on the disk: verified, bounded, never taken from a process that reads them."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from tests.platform.conftest import OBJECT_STORAGE
from zipp_dagster.platform.versions import LakeError

pytestmark = pytest.mark.parametrize("lake", [OBJECT_STORAGE], indirect=True)

KIB = "x" * 1024


def cached(lake) -> set[str]:
    """The assets of which a file lies on the disk."""
    return {path.relative_to(lake.root).parts[0] for path in lake.root.glob("[!.]*/_/*/data.txt")}


@pytest.fixture
def loaves(publish) -> list[str]:
    """Names of three assets of one KiB each."""
    for name in ("rye", "spelt", "wheat"):
        publish(name, text=KIB)
    return ["rye", "spelt", "wheat"]


def read(lake, asset: str) -> str:
    return (lake.current(asset).directory / "data.txt").read_text()


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_text("tampered with"),
        lambda path: path.write_text(KIB.replace("x", "y")),
        lambda path: path.write_text(""),
        lambda path: path.unlink(),
    ],
)
def test_a_cached_file_that_is_not_as_it_was_verified_is_fetched_again(machine, loaves, harm):
    read(machine("one"), "rye")
    machine("one").cache.release()
    harm(next((machine("one").root / "rye").glob("_/*/data.txt")))
    assert read(machine("one"), "rye") == KIB


def test_a_file_touched_but_the_same_is_not_fetched_again(machine, loaves, s3):
    read(machine("one"), "rye")
    machine("one").cache.release()
    next((machine("one").root / "rye").glob("_/*/data.txt")).touch()
    s3.requests.clear()
    assert read(machine("one"), "rye") == KIB
    assert not any(path.endswith("data.txt") for _, path in s3.requests)


def test_bytes_that_are_damaged_in_the_store_are_refused(lake, machine, loaves):
    version = lake.current("rye")
    lake.store.write(f"rye/_/{version.id}/data.txt", KIB.replace("x", "y").encode())
    with pytest.raises(LakeError, match=r"data.txt of rye .* is damaged in the store"):
        read(machine("one"), "rye")
    assert not list(machine("one").root.rglob("*data.txt*"))


def test_what_was_not_used_for_the_longest_time_goes_first(machine, loaves):
    for name in ("rye", "spelt", "wheat", "rye"):
        one = machine("one", cache_bytes=2500)
        read(one, name)
        one.cache.release()
    assert cached(machine("one")) == {"wheat", "rye"}
    assert machine("one").cache.size == 2048
    assert machine("one").current("spelt").manifest.size == 1024, "manifests stay"
    assert read(machine("one"), "spelt") == KIB


READ_AND_WAIT = """
import sys
from pathlib import Path
from zipp_dagster.platform.object_lake import ObjectLake
from zipp_dagster.platform.object_store import ObjectStore
path = ObjectLake(ObjectStore(sys.argv[1]), Path(sys.argv[2]), 0).current("rye").directory
print("ready", flush=True)
sys.stdin.read()
print(len((path / "data.txt").read_text()))
"""


def test_what_another_process_reads_stays_though_the_cache_is_full(machine, loaves):
    one = machine("one", cache_bytes=0)
    command = [sys.executable, "-c", READ_AND_WAIT, one.store.url, str(one.root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout.readline() == "ready\n"
        read(one, "spelt")
        one.cache.release()
        assert one.cache.shrink() == 1024 and cached(one) == {"rye"}
        assert reader.communicate()[0] == "1024\n"
    assert one.cache.shrink() == 1024 and cached(one) == set() and one.cache.size == 0


def test_a_fetch_that_was_killed_counts_and_goes_on(machine, loaves, monkeypatch):
    one = machine("one")

    def killed(version, entry, path):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(one.cache, "bring", killed)
    with pytest.raises(KeyboardInterrupt):
        read(one, "rye")
    assert machine("one").cache.size == 1024
    assert read(machine("one"), "rye") == KIB


def full(after: int, bring):
    """A disk that is full the first so many times."""
    left = [after]

    def write(version, entry, path):
        if left[0]:
            left[0] -= 1
            path.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return bring(version, entry, path)

    return write


def test_a_full_disk_is_emptied_of_what_nobody_uses_before_it_is_an_error(machine, loaves):
    one = machine("one")
    read(one, "rye")
    one.cache.release()
    one.cache.bring = full(1, one.cache.bring)
    assert read(one, "spelt") == KIB and cached(one) == {"spelt"}


def test_a_disk_that_stays_full_is_one_clear_error_and_the_lake_is_as_it_was(lake, machine, loaves):
    one = machine("one")
    one.cache.bring = full(9, one.cache.bring)
    with pytest.raises(LakeError, match=r"is full \(.* MiB free\) while rye .* was fetched"):
        read(one, "rye")
    assert not list(one.root.rglob("*data.txt*"))
    assert read(lake, "rye") == KIB
    assert read(machine("one"), "rye") == KIB
