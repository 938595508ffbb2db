from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from zipp_dagster.reddit.erasure import (
    NO_TOMBSTONES,
    ErasureError,
    Request,
    add_tombstones,
    bury,
    load_tombstones,
    read_tombstones,
    tombstone_table,
    tombstones_fingerprint,
    write_tombstones,
)
from zipp_dagster.reddit.pseudonyms import Pseudonymizer

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
    found = load_tombstones(path, pseudonymizer)
    assert found.users == {pseudonymizer.user("alice")}
    assert found.items == {pseudonymizer.item(i) for i in ("t1_c1", "t1_xyz", "t3_xyz")}
    rows = tombstone_table(path).to_pylist()
    assert rows[0] == {
        "kind": "user",
        "token": bury(pseudonymizer, "alice"),
        "recorded_at": datetime(2026, 1, 2, 3, 4, 5),
        "reason": "asked by mail",
        "key": pseudonymizer.fingerprint,
    }


def test_a_tombstone_is_not_the_pseudonym_and_leads_back_to_it_with_the_key_alone(
    tmp_path, pseudonymizer
):
    path = tmp_path / "erasures.jsonl"
    names = [f"somebody{number}" for number in range(50)]
    add_tombstones(path, pseudonymizer, users=names)
    pseudonyms = {pseudonymizer.user(name) for name in names}
    assert load_tombstones(path, pseudonymizer).users == pseudonyms
    assert not pseudonyms & {stone.mark.token for stone in read_tombstones(path)}
    other = Pseudonymizer(b"another key for tests, 32 bytes.")
    assert bury(other, "somebody1") != bury(pseudonymizer, "somebody1")


def test_no_file_means_no_tombstones(tmp_path, pseudonymizer):
    assert load_tombstones(tmp_path / "none", pseudonymizer) == NO_TOMBSTONES
    assert load_tombstones(None, pseudonymizer) == NO_TOMBSTONES
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
    report, kept, rejected = ingest(write(lines), load_tombstones(path, pseudonymizer))
    assert [r["id"] for r in kept] == ["c2"]
    assert [r["line"] for r in rejected] == [6]
    assert (report.erased, report.deleted, report.rejected) == (3, 1, 1)
    assert report.conserved


def test_a_submission_with_the_id_of_an_erased_comment_stays(
    tmp_path, write, ingest, submission, pseudonymizer
):
    path = tmp_path / "erasures.jsonl"
    add_tombstones(path, pseudonymizer, items=["t1_s1"])
    report, _, _ = ingest(
        write([submission()], name="RS_2023-11.zst"), load_tombstones(path, pseudonymizer)
    )
    assert (report.kept, report.erased) == (1, 0)


def test_a_damaged_tombstone_file_stops_everything(tmp_path, pseudonymizer):
    path = tmp_path / "erasures.jsonl"
    path.write_text('{"kind": "user", "token": "zz"}\n')
    with pytest.raises(ErasureError, match="line 1 is no tombstone"):
        load_tombstones(path, pseudonymizer)


def test_another_key_is_an_error_for_who_reads_and_for_who_writes(tmp_path, pseudonymizer):
    path = tmp_path / "erasures.jsonl"
    add_tombstones(path, pseudonymizer, users=["alice"])
    other = Pseudonymizer(b"another key for tests, 32 bytes.")
    with pytest.raises(ErasureError, match="another pseudonym key.*Set reddit.pseudonym_key"):
        load_tombstones(path, other)
    with pytest.raises(ErasureError, match="another pseudonym key"):
        add_tombstones(path, other, users=["bob"])
    assert load_tombstones(path, pseudonymizer).users == {pseudonymizer.user("alice")}


@pytest.mark.parametrize("key", ["null", '""', None])
def test_a_tombstone_that_does_not_say_its_key_stops_everything(tmp_path, pseudonymizer, key):
    path = tmp_path / "erasures.jsonl"
    said = "" if key is None else f'"key": {key}, '
    path.write_text(
        f'{{{said}"kind": "item", "token": "1f", "recorded_at": "2026-01-02", "reason": ""}}\n'
    )
    with pytest.raises(ErasureError, match="line 1 is no tombstone"):
        load_tombstones(path, pseudonymizer)


def test_a_table_depends_on_those_tombstones_that_concern_it(tmp_path, pseudonymizer):
    path = tmp_path / "erasures.jsonl"
    january, february = "comments[2024-01]", "comments[2024-02]"
    nothing = tombstones_fingerprint(path, january)
    add_tombstones(path, pseudonymizer, users=["alice"])
    unknown = tombstones_fingerprint(path, february)
    assert unknown != nothing, "before somebody has looked, it may lie anywhere"
    (stone,) = read_tombstones(path)
    write_tombstones(path, [replace(stone, partitions=(january,))])
    assert tombstones_fingerprint(path, february) == nothing
    assert tombstones_fingerprint(path, january) == unknown
    whole = tombstones_fingerprint(path)
    write_tombstones(path, [replace(stone, partitions=(january,), receipt="r")])
    assert tombstones_fingerprint(path) == whole, "a receipt makes nothing stale"


def test_a_request_is_names_in_lower_case_and_full_ids():
    request = Request.of(["/u/Alice", "u/alice", " Bob "], ["T1_C1", "xyz"])
    assert request == Request(("alice", "bob"), ("t1_c1", "t1_xyz", "t3_xyz"))
    with pytest.raises(ErasureError, match="user name to erase is empty"):
        Request.of(["u/"])
    with pytest.raises(ErasureError, match="item id to erase is empty"):
        Request.of([], [" "])
