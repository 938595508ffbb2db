"""Another pseudonym key makes every month again, unless there are tombstones of the old one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import zstandard

from assets.catalogue import catalogue
from zipp_dagster import runner
from zipp_dagster.erasing.apply import apply
from zipp_dagster.erasing.record import record
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.plan import select
from zipp_dagster.reddit.erasure import Request, add_tombstones
from zipp_dagster.reddit.pseudonyms import Pseudonymizer, key_from_text

MONTHS = ("2024-01", "2024-02")


class Errors:
    """An observer that remembers what failed."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def started(self, asset: str, partition: str | None) -> None:
        pass

    def progressed(self, done: int, total: int, note: str = "") -> None:
        pass

    def finished(self, outcome: object) -> None:
        pass

    def failed(self, asset: str, partition: str | None, error: BaseException) -> None:
        self.errors.append(f"{asset}[{partition}]: {error}")


@pytest.fixture
def ingest(environment, mlflow_store, tmp_path, comment) -> Callable[[str], tuple]:
    """Ingests a comment of one person in each of two months under a key: (made, users, errors)."""
    dumps, home = tmp_path / "dumps", tmp_path / "home"
    dumps.mkdir()
    for month in MONTHS:
        written = int(datetime.fromisoformat(f"{month}-15T00:00:00+00:00").timestamp())
        line = json.dumps(comment(id=f"c{month[-1]}", created_utc=written)).encode() + b"\n"
        (dumps / f"RC_{month}.zst").write_bytes(zstandard.ZstdCompressor().compress(line))
    mlflow_store(home / "mlflow")

    def under(key: str) -> tuple[list[str], set[int], list[str]]:
        watch = Errors()
        with environment(
            ZIPP_HOME=home, ZIPP_REDDIT__DUMPS_DIR=dumps, ZIPP_REDDIT__PSEUDONYM_KEY=key
        ):
            platform = runner.local_platform()
            result = runner.run(platform, select(catalogue(), "+comments"), observer=watch)
        assert bool(result.failed) == bool(watch.errors)
        made = [name for name in result.made if name.startswith("comments")]
        return sorted(made), users(home), watch.errors

    return under


def users(home: Path) -> set[int]:
    lake, found = Lake(home / "lake"), set()
    for month in MONTHS:
        for path in lake.current("comments", month).files():
            found.update(parquet.read_table(path)["user_id"].to_pylist())
    return found


EVERY_MONTH = [f"comments[{month}]" for month in MONTHS]


def test_a_new_key_ingests_every_month_again_under_new_pseudonyms(ingest):
    made, old, _ = ingest("the first secret key")
    assert (made, len(old)) == (EVERY_MONTH, 1)  # one person, one pseudonym in all months
    assert ingest("the first secret key") == ([], old, [])
    made, new, _ = ingest("the second secret key")
    assert (made, len(new)) == (EVERY_MONTH, 1)
    assert not old & new


def test_an_ingest_under_another_key_than_that_of_the_tombstones_is_refused(ingest, tmp_path):
    _, old, _ = ingest("the first secret key")
    first = Pseudonymizer(key_from_text("the first secret key"))
    add_tombstones(tmp_path / "home" / "erasures.jsonl", first, users=["somebody_else"])
    made, current, errors = ingest("the second secret key")
    assert (made, current) == ([], old), "what was published under the old key stays as it is"
    assert [error.partition(":")[0] for error in errors] == EVERY_MONTH
    assert all("was written under another pseudonym key" in error for error in errors)
    assert ingest("the first secret key") == (EVERY_MONTH, old, [])


@pytest.mark.slow
def test_after_a_rotation_requests_are_recorded_again_and_carried_out(
    ingest, environment, tmp_path, comment
):
    """The steps of docs/ingest.md."""
    for month in MONTHS:
        with (tmp_path / "dumps" / f"RC_{month}.zst").open("ab") as dump:
            written = int(datetime.fromisoformat(f"{month}-16T00:00:00+00:00").timestamp())
            stays = comment(id=f"d{month[-1]}", author="carol", created_utc=written)
            line = json.dumps(stays).encode() + b"\n"
            dump.write(zstandard.ZstdCompressor().compress(line))
    ingest("the first secret key")
    ingest("the second secret key")
    home = tmp_path / "home"
    with environment(
        ZIPP_HOME=home,
        ZIPP_REDDIT__DUMPS_DIR=tmp_path / "dumps",
        ZIPP_REDDIT__PSEUDONYM_KEY="the second secret key",
    ):
        platform = runner.local_platform()
        found = record(platform, Request.of(users=["alice"]))
        assert (found.added, found.unknown, found.rows) == (1, 0, len(MONTHS))
        receipt = apply(platform)
    assert receipt is not None
    second = Pseudonymizer(key_from_text("the second secret key"))
    assert users(home) == {second.user("carol")}
    lake = Lake(home / "lake")
    kept = [v for v in lake.every_version() if v.asset == "comments" and v.kept]
    assert [version.partition for version in kept] == list(MONTHS), "versions of both keys are gone"
