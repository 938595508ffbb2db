from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from zipp_dagster.reddit.erasure import (
    NO_TOMBSTONES,
    ErasureError,
    add_tombstones,
    load_tombstones,
    tombstone_table,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_tombstones_are_hashes_and_are_added_once(tmp_path, pseudonymizer):
    path = tmp_path / "erasures.jsonl"
    add = {"users": ["u/Alice", "alice"], "items": ["t1_c1", "xyz"], "recorded_at": MOMENT}
    assert add_tombstones(path, pseudonymizer, reason="asked by mail", **add) == 4
    assert add_tombstones(path, pseudonymizer, **add) == 0
    text = path.read_text()
    assert "alice" not in text.lower() and "c1" not in [
        json.loads(x)["token"] for x in text.split("\n") if x
    ]
    found = load_tombstones(path)
    assert found.users == {pseudonymizer.user("alice")}
    assert found.items == {pseudonymizer.item(i) for i in ("t1_c1", "t1_xyz", "t3_xyz")}
    rows = tombstone_table(path).to_pylist()
    assert rows[0] == {
        "kind": "user",
        "token": pseudonymizer.user("alice"),
        "recorded_at": datetime(2026, 1, 2, 3, 4, 5),
        "reason": "asked by mail",
    }


def test_no_file_means_no_tombstones(tmp_path):
    assert load_tombstones(tmp_path / "none") == load_tombstones(None) == NO_TOMBSTONES
    assert tombstone_table(None).num_rows == 0


def test_erased_users_and_items_are_left_out_and_counted(
    tmp_path, write, ingest, comment, pseudonymizer
):
    path = tmp_path / "erasures.jsonl"
    add_tombstones(path, pseudonymizer, users=["ALICE"], items=["t1_c3"])
    lines = [
        comment(),
        comment(id="c2", author="bob"),
        comment(id="c3", author="bob"),
        comment(id="c4", author="[deleted]"),
        json.dumps(comment(id="c5")).encode()[:-1],
        b'{"id": "c6", "author": "bob"',
    ]
    report, kept, rejected = ingest(write(lines), load_tombstones(path))
    assert [r["id"] for r in kept] == ["c2"]
    assert [r["line"] for r in rejected] == [6]
    assert (report.erased, report.deleted, report.rejected) == (3, 1, 1)
    assert report.conserved


def test_a_submission_with_the_id_of_an_erased_comment_stays(
    tmp_path, write, ingest, submission, pseudonymizer
):
    path = tmp_path / "erasures.jsonl"
    add_tombstones(path, pseudonymizer, items=["t1_s1"])
    report, _, _ = ingest(write([submission()], name="RS_2023-11.zst"), load_tombstones(path))
    assert (report.kept, report.erased) == (1, 0)


def test_a_damaged_tombstone_file_stops_everything(tmp_path):
    path = tmp_path / "erasures.jsonl"
    path.write_text('{"kind": "user", "token": "zz"}\n')
    with pytest.raises(ErasureError, match="line 1 is no tombstone"):
        load_tombstones(path)
