"""The lake in object storage, seen from two machines. What both kinds of lake do: `test_lake`."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.object_storage import unavailable
from tests.platform.conftest import FIELDS, OBJECT_STORAGE
from zipp_dagster.platform import lake as lake_module
from zipp_dagster.platform import partial_work
from zipp_dagster.platform.lineage import verify
from zipp_dagster.platform.object_lake import ObjectLake
from zipp_dagster.platform.object_store import (
    Conflict,
    ObjectStore,
    StoreError,
    StoreUnreachable,
)
from zipp_dagster.platform.transient import is_transient
from zipp_dagster.platform.versions import ERASED, LakeError

pytestmark = pytest.mark.parametrize("lake", [OBJECT_STORAGE], indirect=True)

LONG = "x" * 9 * 2**20  # two parts of a multipart upload


def put(lake: ObjectLake, text: str, **options):
    """A version of `bread` with that text."""
    with lake.draft("bread", None, text) as draft:
        draft.path("data.txt").write_text(text)
        return lake.publish(draft, data_version=text * 12, **FIELDS, **options)


def text_of(lake: ObjectLake) -> str:
    return (lake.current("bread").directory / "data.txt").read_text()


def sent(s3, method: str) -> list[str]:
    """The last parts of the keys that were asked for, in their order."""
    return [path.rpartition("/")[2] for asked, path in s3.requests if asked == method]


class Clock(datetime):
    """An hour late."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - timedelta(hours=1)


class FastClock(datetime):
    """Two days ahead."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(days=2)


# --- publishing and reading ---------------------------------------------------------------------


def test_the_manifest_goes_up_after_the_files_and_the_pointer_after_the_manifest(lake, publish, s3):
    publish("bread")
    assert sent(s3, "PUT") == ["data.txt", "manifest.json", "current"]


def test_another_machine_reads_what_was_published_and_fetches_files_only_to_read_them(
    lake, publish, machine, s3
):
    version = publish("bread", "2024-01", text=LONG)
    other = machine("other", cache_bytes=2**30)
    s3.requests.clear()
    found = other.current("bread", "2024-01")
    assert found.manifest == version.manifest and other.versions("bread", "2024-01") == [found]
    assert "data.txt" not in sent(s3, "GET")
    assert (found.directory / "data.txt").read_text() == LONG
    s3.requests.clear()
    assert found.files("*.txt") == [found.folder / "data.txt"] and s3.requests == []


def test_what_is_current_is_asked_for_each_time(lake, publish, machine):
    publish("bread", text="old")
    other = machine("other")
    assert text_of(other) == "old"
    publish("bread", text="new")
    assert text_of(other) == "new"


def test_a_lake_goes_to_another_process(lake, publish):
    publish("bread", text="rye")
    assert text_of(pickle.loads(pickle.dumps(lake))) == "rye"


# --- two publications at once -------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
def test_of_two_that_publish_at_once_one_wins_and_one_is_told(lake, machine, before):
    if before:
        put(lake, "old")
    mine, yours = machine("mine"), machine("yours")
    with mine.draft("bread", None, "mine") as draft:
        draft.path("data.txt").write_text("mine")
        winner = put(yours, "yours")
        with pytest.raises(Conflict, match=f"published by somebody else .* {winner.id} is curr"):
            mine.publish(draft, data_version="mine" * 12, **FIELDS)
    assert mine.current("bread").id == lake.current("bread").id == winner.id
    assert len(lake.versions("bread")) == 2 + before
    assert text_of(lake) == "yours" and verify(lake).passed
    put(mine, "mine again")
    assert text_of(yours) == "mine again"


def test_of_many_that_publish_at_once_exactly_one_wins(lake, machine):
    machines = [machine(str(number)) for number in range(5)]
    barrier, ends = threading.Barrier(len(machines)), []

    def work(number: int) -> None:
        with machines[number].draft("bread", None, "key") as draft:
            draft.path("data.txt").write_text(str(number))
            barrier.wait()
            try:
                machines[number].publish(draft, data_version="x" * 12, **FIELDS)
                ends.append(number)
            except Conflict:
                ends.append(None)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(machines))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [end for end in ends if end is not None]
    assert len(ends) == len(machines) and text_of(lake) == str(winner)


def test_a_lost_race_is_worth_another_try(lake):
    assert is_transient(Conflict("bread")) and not is_transient(StoreError("denied"))


def test_clocks_an_hour_apart_change_neither_the_order_nor_what_is_pruned(
    lake, machine, monkeypatch
):
    first = put(lake, "first")
    late = machine("late")
    monkeypatch.setattr(lake_module, "datetime", Clock)
    second = put(late, "second")
    assert late.versions("bread") == [late.version("bread", first.id), second]
    monkeypatch.undo()
    assert text_of(lake) == "second"
    third = put(lake, "third")
    assert [v.id for v in lake.prune(keep=1)] == [first.id, second.id]
    assert lake.versions("bread") == [third]
    assert [v.id for v in late.versions("bread")] == [third.id]
    with pytest.raises(LakeError, match="not kept any more"):
        _ = second.directory


# --- kills --------------------------------------------------------------------------------------

PUBLISH_AND_DIE = """
import json, os, sys
from pathlib import Path
from zipp_dagster.platform.object_lake import ObjectLake
from zipp_dagster.platform.object_store import ObjectStore
url, root, victim, fields = sys.argv[1:]
lake = ObjectLake(ObjectStore(url), Path(root), 2**20)
def die(*_): os.kill(os.getpid(), 9)
write = lake.store.write
if victim == "swap":
    lake.store.swap = die
else:
    lake.store.write = lambda key, content: die() if key.endswith(victim) else write(key, content)
with lake.draft("bread", None, "key") as draft:
    draft.path("data.txt").write_text("half")
    lake.publish(draft, data_version="half" * 12, **json.loads(fields))
"""


def killed(lake: ObjectLake, root, victim: str) -> None:
    """A process of another machine that dies before its first write of something."""
    arguments = [lake.store.url, str(root), victim, json.dumps(FIELDS)]
    command = [sys.executable, "-c", PUBLISH_AND_DIE, *arguments]
    process = subprocess.run(command, capture_output=True, check=False)
    assert process.returncode == -9, process.stderr.decode()


def test_a_kill_between_upload_and_swap_leaves_what_was_current(lake, tmp_path):
    before = put(lake, "before")
    killed(lake, tmp_path / "dead", "swap")
    assert lake.current("bread") == before and verify(lake).passed
    orphan = lake.versions("bread")[-1]
    assert orphan != before
    after = put(lake, "after")
    assert lake.prune(keep=1) == [before, orphan] and lake.versions("bread") == [after]
    assert all(after.id in key or "current" in key for key in lake.store.listing("bread"))


def test_a_killed_upload_is_no_version_and_goes_after_a_day_of_the_stores_clock(
    lake, tmp_path, monkeypatch
):
    before = put(lake, "before")
    killed(lake, tmp_path / "dead", "manifest.json")
    assert lake.versions("bread") == [before] and verify(lake).passed
    half = [key for key in lake.store.listing("bread") if before.id not in key]
    assert len(half) == 2  # the pointer is the other one
    monkeypatch.setattr(lake_module, "datetime", FastClock)
    lake.prune(keep=1)
    assert set(half) <= lake.store.listing("bread").keys(), "this machine's clock judged"
    monkeypatch.setattr(partial_work, "ABANDONED_AFTER_SECONDS", 0)
    lake.prune(keep=1)
    assert [key for key in lake.store.listing("bread") if before.id not in key] == [
        "bread/_/current"
    ]
    assert lake.current("bread") == before


# --- errors of the store ------------------------------------------------------------------------


def test_a_burst_of_errors_is_waited_out(lake, s3):
    left = {"PUT": 2, "GET": 2, "POST": 2}

    def fault(environ, start_response, answer):
        method = environ["REQUEST_METHOD"]
        if left.get(method):
            left[method] -= 1
            return unavailable(environ, start_response)
        return answer(environ, start_response)

    s3.fault = fault
    put(lake, "rye")
    lake.prune(keep=1)
    assert text_of(lake) == "rye" and left["PUT"] == left["GET"] == 0


@pytest.mark.parametrize("what", ["data.txt", "manifest.json", "current"])
def test_a_long_burst_is_one_clear_error_and_nothing_becomes_current(lake, s3, what):
    before = put(lake, "before")

    def fault(environ, start_response, answer):
        if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(what):
            return unavailable(environ, start_response)
        return answer(environ, start_response)

    s3.fault = fault
    with pytest.raises(StoreUnreachable, match="did not answer properly, in 4 tries") as caught:
        put(lake, "after")
    assert lake.store.url in str(caught.value) and is_transient(caught.value)
    s3.fault = None
    assert lake.current("bread") == before and verify(lake).passed
    put(lake, "after")
    assert text_of(lake) == "after"


def test_a_lost_answer_to_the_swap_is_no_lost_race(lake, s3):
    put(lake, "before")
    lost = []

    def fault(environ, start_response, answer):
        swap = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith("current")
        if swap and not lost:
            lost.append(answer(environ, lambda *_: None))
            return unavailable({"wsgi.input": environ["wsgi.input"]}, start_response)
        return answer(environ, start_response)

    s3.fault = fault
    put(lake, "after")
    assert lost and text_of(lake) == "after"


def test_a_read_that_finds_no_server_says_where_and_what_to_do(lake, s3):
    put(lake, "rye")
    s3.fault = lambda environ, start_response, _: unavailable(environ, start_response)
    with pytest.raises(StoreUnreachable, match=r"bread/_/current .* check AWS_ENDPOINT_URL"):
        lake.current("bread")


def test_a_missing_bucket_and_a_refusal_are_told_apart_from_a_missing_asset(lake, s3):
    nowhere = ObjectStore("s3://nobody-made-this/lake", lake.store.retries)
    with pytest.raises(StoreError, match="the bucket of s3://nobody-made-this/lake does not exist"):
        nowhere.read("bread/_/current")
    with pytest.raises(LakeError, match="write s3://bucket/prefix"):
        ObjectStore("bucket/prefix")

    def denied(environ, start_response, answer):
        start_response("403 Forbidden", [])
        return [b"<Error><Code>AccessDenied</Code></Error>"]

    s3.fault = denied
    with pytest.raises(StoreError, match="access denied. Set AWS_ACCESS_KEY_ID"):
        lake.current("bread")

    def skewed(environ, start_response, answer):
        start_response("403 Forbidden", [])
        return [b"<Error><Code>RequestTimeTooSkewed</Code></Error>"]

    s3.fault = skewed
    with pytest.raises(StoreError, match="refuses this machine's clock. Set it"):
        lake.current("bread")


def test_the_check_passes_and_finds_a_store_that_ignores_conditions(lake, s3):
    assert "answers, with conditional writes; clocks" in lake.check()
    assert lake.assets() == []

    def careless(environ, start_response, answer):
        environ.pop("HTTP_IF_MATCH", None)
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return answer(environ, start_response)

    s3.fault = careless
    with pytest.raises(StoreError, match="ignores the condition of a write"):
        lake.check()


# --- damage and erasure -------------------------------------------------------------------------


def test_verify_reads_the_stores_bytes_and_not_the_copies(lake, publish):
    damaged, short, more, broken = (publish(name) for name in ("a", "b", "c", "d"))

    def key(version, name: str) -> str:
        return f"{version.asset}/_/{version.id}/{name}"

    assert verify(lake).passed
    lake.store.write(key(damaged, "data.txt"), b"bleed")
    lake.store.delete([key(short, "data.txt")])
    lake.store.write(key(more, "extra.txt"), b"smuggled in")
    lake.store.write(key(broken, "manifest.json"), b"{")
    found = verify(lake)
    assert sorted((d.asset, d.file, d.state) for d in found.damages) == [
        ("a", "data.txt", "changed"),
        ("b", "data.txt", "missing"),
        ("c", "extra.txt", "unlisted"),
        ("d", "manifest.json", "damaged"),
    ]


def test_a_pointer_that_leads_nowhere_is_damage_and_not_a_missing_asset(lake, publish):
    version = publish("bread")
    lake.store.delete([f"bread/_/{version.id}/manifest.json"])
    assert [(d.file, d.state) for d in verify(lake).damages] == [("current", "missing")]
    with pytest.raises(LakeError, match="is the current version of bread and is not there"):
        lake.current("bread")


def test_an_erasure_reaches_the_copies_of_other_machines_when_they_look(lake, machine):
    old = put(lake, "with a hair in it")
    other = machine("other")
    copy = other.current("bread").directory / "data.txt"
    put(lake, "clean")
    lake.erase(old, "receipt-1", datetime.now(UTC).isoformat())
    assert copy.is_file()
    assert [v.id for v in other.versions("bread")] == [lake.current("bread").id]
    assert [path.name for path in copy.parent.iterdir()] == [ERASED]
    assert [key for key in lake.store.listing("bread") if old.id in key] == [
        f"bread/_/{old.id}/{ERASED}"
    ]


def test_an_interrupted_erasure_is_damage_until_it_is_repeated(lake, monkeypatch):
    old = put(lake, "with a hair in it")
    put(lake, "clean")

    def killed_here(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(lake, "_delete", killed_here)
    with pytest.raises(KeyboardInterrupt):
        lake.erase(old, "receipt-1", "2026-01-02T03:04:05+00:00")
    monkeypatch.undo()
    assert {(d.file, d.state) for d in verify(lake).damages} == {
        ("data.txt", "not erased"),
        ("manifest.json", "not erased"),
    }
    lake.erase(old, "receipt-2", "later")
    (erased,) = verify(lake).erased
    assert verify(lake).passed and erased.receipt == "receipt-1"
