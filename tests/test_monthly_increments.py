"""A thirteenth month in a warehouse of twelve: the lake's versions say what was made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assets.catalogue import catalogue
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.materialise import materialise
from zipp_dagster.platform.plan import plan
from zipp_dagster.runner import known_months, local_platform

YEAR = [f"2023-{month:02}" for month in range(1, 13)]
THIRTEENTH = "2024-01"
CHOSEN = [name for name, entry in catalogue().items() if entry.group in ("reddit", "warehouse")]
MONTHLY = {name for name in CHOSEN if catalogue()[name].partitioned}
SOURCES = {"sample_world", "erasures"}
Versions = dict[tuple[str, str | None], list[str]]


def write_month(folder: Path, month: str) -> None:
    """Two comments and two posts by two people, in plain ndjson."""
    common = {"subreddit": "pics", "score": 3}
    rows = {
        "RC": [{"body": "a comment", "link_id": "t3_x", "parent_id": "t3_x"}] * 2,
        "RS": [
            {"title": "a fox", "selftext": "", "url": f"https://i.redd.it/{month}.png"},
            {"title": "a question", "selftext": "why", "is_self": True},
        ],
    }
    folder.mkdir(exist_ok=True)
    for kind, records in rows.items():
        lines = [
            json.dumps(
                common
                | record
                | {
                    "id": f"{kind}{month}{number}".lower().replace("-", ""),
                    "author": f"person_{number}",
                    "created_utc": seconds(month) + number,
                }
            )
            for number, record in enumerate(records)
        ]
        (folder / f"{kind}_{month}.ndjson").write_text("\n".join(lines) + "\n")


def seconds(month: str) -> int:
    """The fifth day of a month, in seconds since 1970."""
    return int(datetime.fromisoformat(f"{month}-05").replace(tzinfo=UTC).timestamp())


class NoTracking:
    """A registry that keeps nothing: a hundred runs in MLflow would only take time here."""

    class _Tracker:
        def tag(self, values: object) -> None: ...
        def log_metrics(self, values: object) -> None: ...

    def run(self, *_: object):
        return nullcontext(self._Tracker())


@pytest.fixture(scope="module")
def platform(tmp_path_factory, environment) -> Iterator[Platform]:
    """A platform over a folder with the dumps of a year, everything of it made."""
    home = tmp_path_factory.mktemp("increments")
    for month in YEAR:
        write_month(home / "dumps", month)
    limits = {"ZIPP_WAREHOUSE__THREADS": 1, "ZIPP_WAREHOUSE__MEMORY_LIMIT": "512MB"}
    with environment(ZIPP_HOME=home, ZIPP_REDDIT__DUMPS_DIR=home / "dumps", **limits):
        place = replace(local_platform(), registry=NoTracking())
        with pytest.MonkeyPatch.context() as patch:
            # What is made again does not depend on contracts; they take most of the time.
            patch.setattr("zipp_dagster.platform.materialise.run_checks", lambda *_: ())
            assert make_all(place) == set(CHOSEN)
            yield place


def make_all(platform: Platform) -> set[str]:
    """Makes what is not up to date, as `zipp run` does; the names of what was made."""
    entries = catalogue()
    made = set()
    for part in (SOURCES, MONTHLY, set(CHOSEN) - MONTHLY - SOURCES):
        months = known_months(entries, platform)
        for step in plan(entries, platform, months, part):
            if step.state != "fresh":
                outcome = materialise(entries[step.asset], step.partition, platform, entries)
                assert outcome.status in ("made", "skipped")
                made.add(step.asset)
    return made


def versions(platform: Platform) -> Versions:
    lake = platform.lake
    return {
        (asset, partition): [version.id for version in lake.versions(asset, partition)]
        for asset in lake.assets()
        for partition in lake.partitions(asset)
    }


def test_a_thirteenth_month_makes_itself_and_what_is_made_of_all_months(platform):
    before = versions(platform)
    assert {month for _, month in before if month} == set(YEAR)
    assert all(len(ids) == 1 for ids in before.values())
    write_month(platform.settings.reddit.dumps_dir, THIRTEENTH)
    make_all(platform)
    after = versions(platform)
    new = {place for place in after if place not in before}
    again = {place for place in before if after[place] != before[place]}
    assert new == {(name, THIRTEENTH) for name in MONTHLY}
    assert again == {(name, None) for name in CHOSEN if name not in MONTHLY | SOURCES}
    assert all(len(after[place]) == 2 for place in again)
    assert before == {place: ids[:1] for place, ids in after.items() if place in before}
    (rows,) = {platform.lake.current("interactions").manifest.rows}
    assert rows == 2


def test_a_corrected_month_makes_itself_and_what_is_made_of_all_months(platform):
    make_all(platform)
    before = versions(platform)
    dumps = platform.settings.reddit.dumps_dir
    path = dumps / f"RC_{YEAR[4]}.ndjson"
    path.write_text(path.read_text().replace("a comment", "another comment"))
    make_all(platform)
    again = {place for place, ids in versions(platform).items() if ids != before[place]}
    assert {month for _, month in again} == {YEAR[4], None}
    assert make_all(platform) == set()
