"""Every check of the dump tables and of the warehouse catches a planted fault; most pass without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets import reddit_checks, warehouse_checks
from assets.catalogue import catalogue
from zipp_dagster.platform.artifacts import CheckOutcome, Input, Inputs
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.versions import Version
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.reddit.warehouse_config import WarehouseSettings

JANUARY = datetime(2024, 1, 9)
REPORT = {"lines": 100, "kept": 97, "deleted": 2, "erased": 0, "duplicates": 1, "rejected": 0}
FIELDS: dict[str, Any] = {
    "code_version": "c",
    "config_hash": "c",
    "config": {},
    "inputs": (),
    "run_id": None,
    "seconds": 0.1,
}
Run = Callable[..., CheckOutcome]


@pytest.fixture
def platform(tmp_path: Path) -> SimpleNamespace:
    reddit = SimpleNamespace(dumps_dir=tmp_path)
    return SimpleNamespace(
        settings=SimpleNamespace(reddit=reddit, warehouse=WarehouseSettings()),
        lake=Lake(tmp_path / "lake"),
        warehouse=Warehouse("256MB", 1, tmp_path / "spill"),
    )


@pytest.fixture
def publish(platform) -> Callable[..., Version]:
    """A version with rows and a report; `month=None` for a whole table."""

    def make(asset: str, month: str | None, rows: list[dict], report: Any = None) -> Version:
        with platform.lake.draft(asset, month, f"{asset}{month}") as draft:
            table = (
                pa.Table.from_pylist(rows) if rows else pa.table({"user_id": pa.array([], "u8")})
            )
            pq.write_table(table, draft.path("part-0.parquet"))
            draft.path("report.json").write_text(json.dumps(report or REPORT))
            metadata = {"source": "dump folder"}
            data = {"data_version": f"{asset}{month}" * 3, "rows": len(rows), "metadata": metadata}
            return platform.lake.publish(draft, **(FIELDS | data))

    return make


@pytest.fixture
def run(platform, publish) -> Run:
    """Runs a check on a draft with some rows, a report or an inventory, and inputs."""

    def on(
        check: Any,
        rows: list[dict] = (),
        *,
        asset: str = "comments",
        month: str | None = "2024-02",
        report: dict | None = None,
        inventory: list[dict] | None = None,
        inputs: dict[str, list[dict]] | None = None,
        rejected: int = 0,
    ) -> CheckOutcome:
        entries = {}
        for name, given in (inputs or {}).items():
            version = publish(name, month, list(given), REPORT | {"rejected": rejected})
            entries[name] = Input(name, [version])
        with platform.lake.draft(asset, month, "key") as draft:
            table = pa.Table.from_pylist(list(rows)) if rows else pa.table({"id": []})
            pq.write_table(table, draft.path("part-0.parquet"))
            draft.path("report.json").write_text(json.dumps(REPORT | (report or {})))
            draft.path("inventory.json").write_text(json.dumps(inventory or []))
            return check.run(draft, Inputs(entries), platform)

    return on


def times(count: int, moment: datetime = JANUARY, **columns: object) -> list[dict]:
    return [{"id": str(n), "created_at": moment} | columns for n in range(count)]


def severity(outcome: CheckOutcome) -> str | None:
    """What a check says: None where it passed."""
    return None if outcome.passed else outcome.severity


def test_a_dump_that_does_not_inflate_is_caught(run, tmp_path):
    path = tmp_path / "RC_2024-02.zst"
    path.write_bytes(b"not zstd at all")
    outcome = run(reddit_checks.files_readable, inventory=[{"path": str(path)}])
    assert severity(outcome) == "error" and path.name in outcome.description


@pytest.mark.parametrize(
    ("kinds", "found"),
    [(["comments", "submissions"], None), (["comments"], "warn"), (["comments"] * 2, "warn")],
)
def test_a_month_without_one_of_its_dumps_or_with_two_warns(run, kinds, found):
    inventory = [{"kind": kind} for kind in kinds]
    assert severity(run(reddit_checks.both_kinds_present, inventory=inventory)) == found


@pytest.mark.parametrize(
    ("report", "found"),
    [({}, None), ({"kept": 96}, "error"), ({"rejected": 10, "kept": 87}, "error")],
    ids=["adds up", "a line is lost", "too many are rejected"],
)
def test_lines_that_do_not_add_up_or_are_rejected_block(run, report, found):
    assert severity(run(reddit_checks.lines_accounted_for, report=report)) == found


def test_many_duplicates_warn(run):
    assert run(reddit_checks.few_duplicates).passed
    assert severity(run(reddit_checks.few_duplicates, report={"duplicates": 3})) == "warn"


@pytest.mark.parametrize(
    ("outside", "found"), [(0, None), (1, "warn"), (20, "error")], ids=["none", "few", "many"]
)
def test_records_of_another_month_warn_and_many_of_them_block(run, outside, found):
    rows = times(400 - outside) + times(outside, datetime(2024, 2, 1))
    outcome = run(reddit_checks.written_in_the_month, rows, month="2024-01")
    assert severity(outcome) == found and outcome.metadata["outside"] == outside


@pytest.mark.parametrize(
    ("count", "found"), [(100, None), (60, None), (40, "warn"), (300, "warn"), (0, "error")]
)
def test_a_month_of_another_size_warns_and_an_empty_one_blocks(run, publish, count, found):
    for month, rows in (("2023-11", 90), ("2023-12", 100), ("2024-01", 110), ("2024-03", 9)):
        publish("reddit_dumps", month, [])
        publish("comments", month, times(rows))
    assert severity(run(reddit_checks.volume_like_before, times(count))) == found


def test_the_first_month_has_nothing_to_be_compared_with(run):
    assert run(reddit_checks.volume_like_before, times(3)).passed
    assert run(reddit_checks.nulls_like_before, times(3)).passed


def test_a_column_that_suddenly_is_null_warns_and_is_named(run, publish):
    publish("reddit_dumps", "2024-01", [])
    publish("comments", "2024-01", times(10, score=1, link_id="t3_a"))
    rows = times(6, score=1, link_id="t3_a") + times(4, score=None, link_id="t3_a")
    outcome = run(reddit_checks.nulls_like_before, rows)
    assert severity(outcome) == "warn" and outcome.description == "score: 40% null, 0% before"
    assert run(reddit_checks.nulls_like_before, times(10, score=1, link_id="t3_a")).passed


def test_a_rejected_line_that_is_not_listed_blocks(run):
    lines = {"comments": times(1), "submissions": times(1)}
    check = reddit_checks.rejections_complete
    assert run(check, times(4), asset="rejected_lines", inputs=lines, rejected=2).passed
    lost = run(check, times(3), asset="rejected_lines", inputs=lines, rejected=2)
    assert severity(lost) == "error" and lost.description == "3 lines are listed, 4 were rejected"


@pytest.mark.parametrize(("kept", "found"), [(9, None), (4, "warn"), (0, "error"), (11, "error")])
def test_staging_that_loses_most_rows_warns_and_none_or_too_many_block(run, kept, found):
    check = warehouse_checks.most_rows_staged
    outcome = run(check, times(kept), asset="stg_comments", inputs={"comments": times(10)})
    assert severity(outcome) == found


def test_thresholds_that_call_everybody_a_bot_warn(run):
    people = [{"events": 70, "bot_reason": None}, {"events": 20, "bot_reason": "listed"}]
    check = warehouse_checks.few_bots_by_their_habits
    assert run(check, [*people, {"events": 10, "bot_reason": "rate"}]).passed
    assert severity(run(check, [*people, {"events": 90, "bot_reason": "rate"}])) == "warn"


MONTHLY = [
    {"user_id": 1, "posts": 1, "comments": 4},
    {"user_id": 2, "posts": 0, "comments": 3},
    {"user_id": 9, "posts": 5, "comments": 5},
]
BOTS = [{"user_id": 9}]
PICTURES = [{"user_id": 1}, {"user_id": 9}]


@pytest.mark.parametrize(
    ("posts", "comments", "found"),
    [(2, 7, None), (2, 6, "error"), (3, 7, "error"), (7, 12, "error")],
    ids=["as they are", "a comment is lost", "a post counts twice", "a bot is in it"],
)
def test_an_event_that_is_lost_or_counted_twice_blocks(run, posts, comments, found):
    inputs = {"int_activity_monthly": MONTHLY, "int_bots": BOTS, "image_posts": PICTURES}
    rows = [{"posts": posts, "comments": comments}]
    check = warehouse_checks.every_event_counted_once
    outcome = run(check, rows, asset="interactions", month=None, inputs=inputs)
    assert severity(outcome) == found


def test_profiles_that_do_not_add_up_to_the_interactions_block(run):
    inputs = {"interactions": MONTHLY}
    check = warehouse_checks.interactions_add_up
    assert run(check, MONTHLY, asset="users", month=None, inputs=inputs).passed
    assert severity(run(check, MONTHLY[:2], asset="users", month=None, inputs=inputs)) == "error"


def test_every_check_of_these_stages_has_a_test_here():
    tested = Path(__file__).read_text()
    stages = {"assets.reddit_checks", "assets.warehouse_checks"}
    found = {
        check.function.__name__
        for artifact in catalogue().values()
        for check in artifact.checks
        if check.function.__module__ in stages
    }
    assert len(found) >= 12
    assert [name for name in found if f"_checks.{name}" not in tested] == []
