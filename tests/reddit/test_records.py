from __future__ import annotations

import json
from datetime import datetime

import pytest

from zipp_dagster.reddit.blocks import BlockDecoder
from zipp_dagster.reddit.images import media_key
from zipp_dagster.reddit.lines import Block
from zipp_dagster.reddit.records import LineDecoder, RecordError, is_gone


def decoded_by_scan_alone(kind, record):
    line = json.dumps(record).encode() + b"\n"
    rows, rejected = BlockDecoder(kind).rows(Block(memoryview(line), 1, 1, 0, 0))
    return not rejected and rows.usable.tolist() == [True] and not rows.strict.any()


def decode(kind, record):
    line = record if isinstance(record, bytes) else json.dumps(record).encode()
    return LineDecoder(kind).line(line)


ERAS = {
    "2005: no score hidden, ups and downs": {"ups": 1, "downs": 0, "name": "t1_c1"},
    "2015: time is text": {"created_utc": "1430438400"},
    "now and then: time is a float": {"created_utc": 1430438400.0},
    "text of a float": {"created_utc": "1430438400.0"},
    "edited is a float": {"edited": 1430438400.0},
    "2017-10: no score": {"score": None},
    "a score is a float": {"score": 12.0},
    "2018: author_fullname": {"author_fullname": "t2_ab"},
    "no name": {"name": "<missing>"},
    "2020: awards": {"all_awardings": [{"a": 1}], "gildings": {}},
    "2023-11: archive's own notes": {"_meta": {"retrieved_2nd_on": 1, "is_edited": True}},
    "parent missing": {"parent_id": None, "link_id": "<missing>"},
}


@pytest.mark.parametrize("changes", ERAS.values(), ids=ERAS.keys())
def test_every_era_of_comments_decodes_to_the_same_types(comment, changes):
    record = decode("comments", comment(**changes))
    assert type(record.created_utc) is int
    assert record.score is None or type(record.score) is int
    assert not record.deleted
    assert decoded_by_scan_alone("comments", comment(**changes))


SUBMISSION_ERAS = {
    "2008: no self text": {"selftext": None},
    "2011: no post_hint": {"post_hint": "<missing>"},
    "2015: time is text": {"created_utc": "1430438400"},
    "2017-10: no counts": {"score": None, "num_comments": None},
    "2022-08: url elsewhere": {"url": None, "url_overridden_by_dest": "https://i.redd.it/fox.png"},
    "2019-09: removed_by_category is there": {"removed_by_category": None},
    "over_18 is null": {"over_18": None},
}


@pytest.mark.parametrize("changes", SUBMISSION_ERAS.values(), ids=SUBMISSION_ERAS.keys())
def test_every_era_of_submissions_decodes(submission, changes):
    record = decode("submissions", submission(**changes))
    assert type(record.created_utc) is int
    assert media_key(record) == "fox.png"
    assert not record.deleted
    assert decoded_by_scan_alone("submissions", submission(**changes))


GONE_COMMENTS = [
    {"author": "[deleted]"},
    {"author": "[deleted]", "body": "[deleted]"},
    {"body": "[removed]"},
    {"body": "[ Removed by Reddit ]"},
    {"_meta": {"was_deleted_later": True}},
    {"_meta": {"removal_type": "removed"}},
]
GONE_SUBMISSIONS = [
    {"author": "[deleted]"},
    {"selftext": "[removed]"},
    {"selftext": "[deleted]"},
    {"title": "[deleted by user]"},
    {"removed_by_category": "moderator"},
    {"_meta": {"was_deleted_later": True}},
]


@pytest.mark.parametrize("changes", GONE_COMMENTS)
def test_deleted_and_removed_comments_are_recognised(comment, changes):
    assert decode("comments", comment(**changes)).deleted


@pytest.mark.parametrize("changes", GONE_SUBMISSIONS)
def test_deleted_and_removed_submissions_are_recognised(submission, changes):
    assert decode("submissions", submission(**changes)).deleted


def test_text_that_only_looks_like_a_placeholder_is_not_gone(comment):
    assert not is_gone("[deleted scene] from the film")
    assert not is_gone("they were [removed]")
    assert not decode("comments", comment(body="[deleted]")).deleted  # typed below a living name


REASONS = [
    (b"", "blank_line"),
    (b"\0\0\0", "blank_line"),
    (b'{"id": "c1"', "not_json"),
    (b"{'id': 1}", "not_json"),
    (b'{"id": "c1", "body": "a\x00b"}', "not_json"),
    (b'{"id": "c1", "body": "\xff"}', "invalid_utf8"),
    (b'{"id": "c1", "body": "\\ud83d alone"}', "lone_surrogate"),
    (b'{"id": "c1", "body": "\\ude00"}', "lone_surrogate"),
    (b"[1, 2]", "not_an_object"),
    (b"null", "not_an_object"),
    (b'{"body": "x"}', "no_id"),
    (b'{"id": 17}', "wrong_type"),
    (b'{"id": "c1"} {"id": "c2"}', "not_json"),
    (b'{"id": "c1", "x": ' + b"[" * 100_000, "not_json"),
    ({"id": ""}, "no_id"),
    ({"author": None}, "no_author"),
    ({"subreddit": "<missing>"}, "no_subreddit"),
    ({"body": None}, "no_text"),
    ({"body": 5}, "wrong_type"),
    ({"created_utc": None}, "bad_time"),
    ({"created_utc": "yesterday"}, "bad_time"),
    ({"created_utc": "nan"}, "bad_time"),
    ({"created_utc": 12}, "bad_time"),
    ({"created_utc": True}, "wrong_type"),
    ({"score": 10**30}, "bad_number"),
]


@pytest.mark.parametrize(("line", "reason"), REASONS)
def test_every_fault_has_its_reason(comment, line, reason):
    with pytest.raises(RecordError, match=f"^{reason}$"):
        decode("comments", comment(**line) if isinstance(line, dict) else line)


def test_nuls_before_a_record_and_duplicate_keys_do_no_harm():
    line = b'\0\0\0{"id": "x", "id": "c1", "author": "a", "subreddit": "s", "body": "b",'
    line += b' "created_utc": 1700000000}\r'
    assert decode("comments", line).id == "c1"


def test_lines_that_run_into_one_another_are_told_apart(comment):
    good = json.dumps(comment()).encode()
    # Read as one text, the first two lines are a single record, and the third is two of them.
    lines = [good[:-1] + b",", b'"x": 1}', good + good, good]
    data = b"\n".join(lines) + b"\n"
    records, rejected = LineDecoder("comments").block(Block(memoryview(data), 10, 4, 1000, 0))
    assert [r.id for r in records] == ["c1"]
    assert [(line, offset, reason) for line, offset, _, reason in rejected] == [
        (10, 1000, "not_json"),
        (11, 1000 + len(lines[0]) + 1, "not_an_object"),
        (12, 1000 + len(lines[0]) + len(lines[1]) + 2, "not_json"),
    ]


def test_a_clean_block_and_its_single_lines_decode_alike(submission):
    raw = [json.dumps(submission(id=f"s{n}", num_comments=n)).encode() for n in range(20)]
    decoder = LineDecoder("submissions")
    records, rejected = decoder.block(Block(memoryview(b"\n".join(raw) + b"\n"), 1, 20, 0, 0))
    assert (records, rejected) == ([decoder.line(line) for line in raw], [])


def test_image_posts_are_found_by_host_suffix_page_and_hint(submission):
    def key(**changes):
        return media_key(decode("submissions", submission(**changes)))

    assert key(url="https://i.redd.it/abc.png") == "abc.png"
    assert key(url="http://i.imgur.com/ltueB71.jpg?1") == "ltueB71.jpg"
    assert key(url="http://imgur.com/PXBpcm6") == "PXBpcm6.jpg"
    assert key(url="https://preview.redd.it/abc.png?width=9&amp;s=1") == "abc.png"
    assert key(url="https://example.org/pictures/a.JPEG") == "a.JPEG"
    assert key(url="https://example.org/show/17", post_hint="image") == "17"
    assert key(url="https://example.org/show/17") is None
    assert key(url="http://imgur.com/a/PXBpc") is None
    assert key(url="https://i.imgur.com/abc.gifv") is None
    assert key(url="https://i.redd.it/moving.gif", post_hint="image") is None
    assert key(url="https://www.reddit.com/gallery/abc") is None
    assert key(url="https://i.redd.it/..%2F..png") is None
    assert key(url="https://[broken/a.png") is None
    assert key(url=None) is None


def test_times_are_utc(comment, write, ingest):
    _, kept, _ = ingest(write([comment(created_utc="1356998404")]))
    assert kept[0]["created_at"] == datetime(2013, 1, 1, 0, 0, 4)
