"""After an erasure nothing below ZIPP_HOME shows the person any more, but the source itself."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from PIL import Image

from tests.traces import Person, Search, pixel_hashes, records_of
from zipp_dagster.platform.erased import erased_versions
from zipp_dagster.platform.lake import Lake
from zipp_dagster.reddit.pseudonyms import Pseudonymizer, load_or_create_key

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]

SMALL = {
    "ZIPP_SAMPLEWORLD__PEOPLE": 200,
    "ZIPP_SAMPLEWORLD__COMMUNITIES": 24,
    "ZIPP_SAMPLEWORLD__IMAGE_POSTS_PER_PERSON": 8,
    "ZIPP_SAMPLEWORLD__IMAGE_SIZE": 64,
    "ZIPP_ZIPBENCH__USERS": 12,
}


@dataclass
class Place:
    """A home on which everything was made, one of its benchmark users, and an item of another."""

    home: Path
    zipp: Callable[..., Any]
    user: str
    item: str
    person: Person

    @property
    def source(self) -> Path:
        return self.home / "lake" / "sample_world"

    def start(self, *arguments: str) -> Any:
        return self.zipp(self.home, *arguments, **SMALL)

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        output, errors = process.communicate()
        assert process.returncode == code, errors
        return output

    def traces(self) -> Search:
        return Search(self.person).folder(self.home, leave_out=self.source)

    def kill_when(self, pattern: str, *arguments: str) -> None:
        """Kills a command as soon as something matches below the lake."""
        process = self.start(*arguments)
        while process.poll() is None:
            if next((self.home / "lake").glob(pattern), None):
                break
            time.sleep(0.005)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def place(tmp_path_factory, zipp, mlflow_store) -> Place:
    home = tmp_path_factory.mktemp("erasure")
    mlflow_store(home / "mlflow")
    process = zipp(home, "run", **SMALL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    hidden = Pseudonymizer(load_or_create_key(home / "pseudonym.key"))
    lake = Lake(home / "lake")
    folder = lake.current("sample_world").directory
    records = [r for path in sorted(folder.glob("dumps/*.zst")) for r in records_of(path)]
    names = {hidden.user(record["author"]): record["author"] for record in records}
    user = min(_column(lake, "benchmark_holdout", "SELECT user_id FROM {}"))
    # One of the pictures that the thumbnails on the page of `media` show.
    shown = _column(lake, "media", "SELECT 't3_' || post_id FROM {} LIMIT 24", "2024-01")
    theirs = _column(
        lake,
        "submissions",
        f"SELECT 't3_' || id FROM {{}} WHERE is_image AND NOT is_bot AND user_id <> {user}",
        "2024-01",
    )
    item = next(name for name in shown if name in set(theirs))
    person = _person(folder, records, names[user], item, hidden)
    return Place(home, zipp, names[user], item, person)


def _column(lake: Lake, asset: str, query: str, partition: str | None = None) -> list[Any]:
    files = [str(path) for path in lake.current(asset, partition).files()]
    return [row[0] for row in duckdb.sql(query.format(f"read_parquet({files})")).fetchall()]


def _person(
    world: Path, records: list[dict], user: str, item: str, hidden: Pseudonymizer
) -> Person:
    """What the source shows of a user and of an item, without what others show as well."""

    def erased(record: dict) -> bool:
        return record["author"] == user or ("title" in record and f"t3_{record['id']}" == item)

    gone = [record for record in records if erased(record)]
    others = "\n".join(_texts(record) for record in records if not erased(record))
    texts = {t for r in gone for t in _texts(r).split("\n") if len(t) >= 25 and t not in others}
    words = {user} | {record["id"] for record in gone}
    words |= {("t3_" if "title" in record else "t1_") + record["id"] for record in gone}
    keys = {_key(record) for record in gone if "title" in record}
    theirs = {_key(record) for record in records if not erased(record)}
    pictures = [p for k in keys - theirs if (p := world / "media" / k).is_file()]
    shared = {h for p in (world / "media").iterdir() if p.name in theirs for h in _pixels(p)}
    pixels = {h for path in pictures for h in _pixels(path)} - shared
    assert len(texts) > 20 and len(pixels) > 3, "too little to look for"
    return Person(
        frozenset(texts), frozenset(words), frozenset({hidden.user(user)}), frozenset(pixels)
    )


def _texts(record: dict) -> str:
    return "\n".join(str(record.get(key) or "") for key in ("title", "selftext", "body"))


def _key(record: dict) -> str:
    return str(record.get("url") or "").rsplit("/", 1)[-1] or "-"


def _pixels(path: Path) -> list[str]:
    try:
        return list(pixel_hashes(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")))
    except OSError:
        return []


def test_an_erasure_that_is_killed_twice_leaves_no_trace_of_the_person(place):
    before = place.traces()
    kinds = {Path(found.split(":")[0]).suffix for found in before.found}
    assert {".parquet", ".db", ".npy"} <= kinds, "the search must find what is there"
    metadata = [f for f in before.found if "manifest.json" in f or f.endswith(": text")]
    assert [f for f in metadata if ".parquet" not in f and "zipbench" not in f] == []
    assert any(found.endswith(": picture") for found in before.found)
    command = ["erase", place.user, place.item, "--apply"]
    place.kill_when(".drafts/benchmark_holdout-*", *command)
    assert json.loads(place.run("lineage", "verify", "--json"))["passed"]
    assert list(erased_versions(place.home / "lake")) == [], "nothing goes before the rebuild"
    place.kill_when("*/*/*/erased.json", *command)
    document = json.loads(place.run(*command, "--json"))
    assert (document["recorded"], document["known_before"], document["unknown"]) == (0, 2, 0)
    after = place.traces()
    assert after.found == []
    assert after.files[".parquet"] > 50 and after.files[".db"] > 4 and after.files["images"] > 1000
    _check_receipt(place, document["receipt"])
    _check_registry(place, document["receipt"])
    verification = json.loads(place.run("lineage", "verify", "--json"))
    assert verification["passed"] and verification["damages"] == []
    assert {e["receipt"] for e in verification["erased"]} == {document["receipt"]["receipt"]}
    assert {e["asset"] for e in verification["erased"]} >= {
        *("comments", "submissions", "media", "interactions", "gat_checkpoint", "personas"),
        *("generated_images", "zipbench_report"),
    }
    again = json.loads(place.run(*command, "--json"))
    assert again["receipt"] is None
    assert again["receipts_before"] == [document["receipt"]["receipt"]]
    assert json.loads(place.run("run", "--json"))["made"] == []


def _check_receipt(place: Place, receipt: dict[str, Any]) -> None:
    assert receipt["state"] == "complete"
    assert (receipt["erased"]["users"], receipt["erased"]["items"]) == (1, 1)
    lake = Lake(place.home / "lake")
    lines = {(e["asset"], e["partition"]): e for e in receipt["removed"]}
    for asset in ("comments", "submissions"):
        for month in ("2024-01", "2024-02"):
            line = lines[asset, month]
            assert line["new_version"] == lake.current(asset, month).id != line["old_version"]
            assert line["rows_removed"] == line["rows_before"] - line["rows_after"] > 0
    for line in receipt["removed"]:
        assert (line["new_version"] or "") > line["old_version"]
    assert any("RC_2024-01.zst" in path for path in receipt["source_files"])
    kept = place.home / "reports" / "erasures" / f"{receipt['receipt']}.json"
    assert json.loads(kept.read_text()) == receipt


def _check_registry(place: Place, receipt: dict[str, Any]) -> None:
    listed = json.loads(place.run("models", "list", "--json"))
    flagged = {entry["model"] for entry in receipt["models"]}
    assert flagged == {"zipp-encoder", "zipp-text-encoder"}
    champion = [e for e in listed if "champion" in e["aliases"]]
    old = {entry["lake_version"] for entry in receipt["models"]}
    assert champion and not old & {entry["lake_version"] for entry in champion}
