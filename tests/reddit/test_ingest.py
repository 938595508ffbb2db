from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zipp_dagster.reddit.columns import COMMENTS_SCHEMA, SUBMISSIONS_SCHEMA
from zipp_dagster.reddit.dumps import DumpError, dump_file, find_dumps
from zipp_dagster.reddit.ingest import dump_to_parquet, iter_records
from zipp_dagster.reddit.pseudonyms import Pseudonymizer

SAMPLE = Path(__file__).parents[3] / "shared" / "reddit-sample"


def test_a_comment_arrives_with_pseudonym_and_types(write, ingest, comment, pseudonymizer):
    report, kept, _ = ingest(write([comment()]))
    assert kept[0]["user_id"] == pseudonymizer.user("Alice")
    assert list(kept[0]) == COMMENTS_SCHEMA.names
    assert (report.lines, report.kept, report.authors, report.bots) == (1, 1, 1, 0)
    assert (report.file, report.kind, report.month) == ("RC_2023-11.zst", "comments", "2023-11")


def test_a_submission_arrives_with_its_media_key(write, ingest, submission):
    lines = [submission(), submission(id="s2", url="https://example.org", is_self=True)]
    _, kept, _ = ingest(write(lines, name="RS_2023-11.zst"))
    assert list(kept[0]) == SUBMISSIONS_SCHEMA.names
    assert [(r["media_key"], r["is_image"]) for r in kept] == [("fox.png", True), (None, False)]


def test_every_line_is_counted_once(write, ingest, comment):
    report, kept, rejected = ingest(
        write(
            [
                comment(),
                comment(id="c2", author="[deleted]"),
                comment(id="c3", body="[removed]"),
                comment(),
                comment(id="c4", author="AutoModerator"),
                b'{"id": "c5", "body": "\xff"}',
                comment(id="c6", created_utc="soon"),
                b'{"id": "c7", "auth',
            ],
            end=b"",
        )
    )
    assert report.conserved
    assert (report.lines, report.kept, report.deleted, report.duplicates, report.rejected) == (
        8,
        2,
        2,
        1,
        3,
    )
    assert (report.bots, report.authors) == (1, 1)
    assert report.rejected_reasons == {"bad_time": 1, "invalid_utf8": 1, "not_json": 1}
    assert [r["id"] for r in kept] == ["c1", "c4"]
    assert [(r["line"], r["reason"]) for r in rejected] == [
        (6, "invalid_utf8"),
        (7, "bad_time"),
        (8, "not_json"),
    ]


def test_a_rejected_line_is_kept_with_its_place_and_without_its_author(write, ingest, comment):
    broken = json.dumps(comment(author="alice", pad="x" * 300)).encode()[:-1]
    report, _, rejected = ingest(write([comment(id="c0"), broken, comment(id="c9")]))
    row = rejected[0]
    assert (row["file"], row["line"]) == ("RC_2023-11.zst", 2)
    assert row["byte_offset"] == len(json.dumps(comment(id="c0"))) + 1
    assert len(row["head"]) == 200
    assert b"alice" not in row["head"] and b'"author": "***"' in row["head"]
    assert report.rejected_reasons == {"not_json": 1}


def test_the_last_line_counts_without_a_newline(write, ingest, comment):
    report, kept, _ = ingest(write([comment(), comment(id="c2")], end=b""))
    assert (report.lines, [r["id"] for r in kept]) == (2, ["c1", "c2"])


def test_concatenated_frames_are_one_dump(write, ingest, comment):
    report, kept, _ = ingest(write([comment(id=f"c{n}") for n in range(100)], frames=5))
    assert report.kept == len(kept) == 100


def test_plain_ndjson_gives_the_same_rows(write, ingest, comment):
    lines = [comment(id=f"c{n}") for n in range(5)]
    assert ingest(write(lines, name="pics_comments.ndjson"))[1] == ingest(write(lines))[1]


def test_a_truncated_dump_fails(write, ingest, comment):
    dump = write([comment(id=f"c{n}", body=str(n)) for n in range(500)])
    dump.path.write_bytes(dump.path.read_bytes()[:-20])
    with pytest.raises(DumpError, match="is truncated"):
        ingest(dump)


def test_a_later_deleted_copy_takes_the_record_out_again(write, ingest, comment):
    lines = [comment(), comment(id="c2"), comment(body="[removed]")]
    report, kept, _ = ingest(write(lines))
    assert [r["id"] for r in kept] == ["c2"]
    assert report.conserved
    assert (report.kept, report.deleted, report.duplicates, report.authors) == (1, 1, 1, 1)


def test_user_names_in_texts_and_profile_pages_are_masked(write, ingest, comment, pseudonymizer):
    lines = [
        comment(body="thanks /u/Some_One, see https://reddit.com/user/some_one and r/pics"),
        comment(id="c2", subreddit="u_Some_One"),
    ]
    _, kept, _ = ingest(write(lines))
    assert kept[0]["body"] == "thanks u/[user], see https://reddit.com/u/[user] and r/pics"
    assert kept[1]["subreddit"] == f"u_{pseudonymizer.user('some_one'):016x}"


def test_ids_that_reddit_never_counted_are_still_told_apart(write, ingest, comment):
    ids = ["a", "0a", "A", "a_1", "ä", "zzzzzzzzzzzzz", "a"]
    report, kept, _ = ingest(write([comment(id=name) for name in ids]))
    assert ([r["id"] for r in kept], report.duplicates) == (ids[:-1], 1)


def test_the_same_dump_gives_the_same_bytes(write, comment, tmp_path, pseudonymizer):
    dump = write([comment(id=f"c{n}", author=f"user{n % 7}") for n in range(300)])
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        dump_to_parquet(dump, tmp_path / name, pseudonymizer)
    one, two = tmp_path / "one", tmp_path / "two"
    assert [p.read_bytes() for p in sorted(one.iterdir())] == [
        p.read_bytes() for p in sorted(two.iterdir())
    ]


def test_progress_is_told_in_compressed_bytes(write, comment, ingest):
    dump = write([comment(id=f"c{n}") for n in range(50)])
    seen = []
    ingest(dump, progress=lambda done, total, note="": seen.append((done, total)))
    assert seen[-1] == (dump.size, dump.size)


def test_records_stream_without_files_and_tell_of_rejected_lines(write, comment):
    dump = write([comment(), b"{", comment(id="c3")])
    bad = []
    ids = [r.id for r in iter_records(dump.path, on_rejected=lambda *place: bad.append(place))]
    assert ids == ["c1", "c3"]
    assert [(line, reason) for line, _, _, reason in bad] == [(2, "not_json")]


def test_a_reader_that_stops_early_leaves_no_thread(write, comment):
    import threading

    dump = write([comment(id=f"c{n}") for n in range(50)])
    before = threading.active_count()
    records = iter_records(dump.path)
    next(records)
    records.close()
    assert threading.active_count() == before


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["[deleted]", "[removed]", "1430438400", 1_500_000_000, "c1", "c2"]),
)
records = st.dictionaries(
    st.sampled_from(
        ["id", "author", "body", "subreddit", "created_utc", "score", "link_id", "_meta"]
    ),
    values,
)
usable = st.builds(
    lambda id, author, body, meta: {
        "id": id,
        "author": author,
        "body": body,
        "subreddit": "s",
        "created_utc": 1_500_000_000,
        "_meta": meta,
    },
    st.sampled_from(["c1", "c2", "c3", "0c3"]),
    st.sampled_from(["a", "b", "AutoModerator", "[deleted]"]),
    st.sampled_from(["x", "[removed]", "[deleted]"]),
    st.sampled_from([None, {"was_deleted_later": True}]),
)
lines = st.one_of(
    st.one_of(records, usable).map(lambda r: json.dumps(r).encode()),
    usable.map(lambda r: json.dumps(r).encode()[:-3]),
    st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")),
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(soup=st.lists(lines, max_size=25), end=st.sampled_from([b"\n", b""]))
def test_whatever_the_lines_are_none_is_lost(write, ingest, soup, end):
    report, kept, rejected = ingest(write(soup, end=end))
    text = b"\n".join(soup) + (end if soup else b"")
    assert report.lines == text.count(b"\n") + (bool(text) and not text.endswith(b"\n"))
    assert report.conserved and report.erased == 0
    assert (report.kept, report.rejected) == (len(kept), len(rejected))
    assert len({r["id"] for r in kept}) == len(kept)
    assert not any(r["body"] == "[removed]" for r in kept)
    assert report.authors == len({r["user_id"] for r in kept if not r["is_bot"]})


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of real dumps is not on this machine")
def test_the_counts_of_the_real_sample_equal_its_truth(tmp_path, pseudonymizer):
    import duckdb

    truth = json.loads((SAMPLE / "truth.json").read_text())
    authors = truth.pop("authors")
    for dump in find_dumps(SAMPLE):
        out = tmp_path / dump.path.stem
        out.mkdir()
        report = dump_to_parquet(dump, out, pseudonymizer)
        assert {k: getattr(report, k) for k in truth[dump.path.name]} == truth[dump.path.name]
    people = duckdb.sql(
        f"SELECT count(DISTINCT user_id) FROM read_parquet('{tmp_path}/*/part-*.parquet', "
        f"union_by_name = true) WHERE user_id <> {pseudonymizer.user('AutoModerator')}"
    )
    assert people.fetchall() == [(authors,)]


def test_reading_imports_neither_dagster_nor_the_platform():
    import subprocess

    code = (
        "import sys, zipp_dagster.reddit.ingest, zipp_dagster.reddit.media; "
        "heavy = ('dagster', 'mlflow', 'zipp_dagster.platform'); "
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_another_key_gives_other_pseudonyms(write, comment, tmp_path):
    dump = dump_file(write([comment()]).path)
    users = []
    for key in (b"1" * 32, b"2" * 32):
        out = tmp_path / key.decode()
        out.mkdir()
        dump_to_parquet(dump, out, Pseudonymizer(key))
        import pyarrow.parquet as pq

        users += pq.read_table(out / "part-00000.parquet")["user_id"].to_pylist()
    assert users[0] != users[1]
