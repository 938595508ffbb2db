"""The compiled scan against the strict decoder: whatever the line, both say the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zipp_dagster.reddit.blocks import BlockDecoder
from zipp_dagster.reddit.identifiers import id_number
from zipp_dagster.reddit.lines import Block
from zipp_dagster.reddit.records import LineDecoder, RecordError
from zipp_dagster.reddit.scanner import FLAG, NOTES, TEXT, wanted_keys


def block_of(lines: list[bytes], end: bytes = b"\n") -> Block:
    return Block(memoryview(b"\n".join(lines) + end), 1, len(lines), 0, 0)


def by_scan(kind: str, lines: list[bytes], end: bytes = b"\n") -> tuple[list, int]:
    """What the block decoder says of each line, and how many it asked the strict decoder about."""
    import numpy as np

    rows, rejected = BlockDecoder(kind).rows(block_of(lines, end))
    assert rows is not None
    usable = np.flatnonzero(rows.usable)
    columns: dict[str, list] = {
        "deleted": rows.deleted[usable].tolist(),
        "id_number": rows.id_numbers[usable].tolist(),
    }
    for name, field in rows.keys.items():
        if field == TEXT:
            columns[name] = rows.text(name, usable).to_pylist()
        elif field == FLAG:
            columns[name] = rows.flag(name, usable).tolist()
        elif field != NOTES:
            columns[name] = rows.number(name, usable).to_pylist()
    said: list = [None] * len(lines)
    for place, values in zip(usable.tolist(), zip(*columns.values())):
        said[place] = dict(zip(columns, values))
    for line, offset, data, reason in rejected:
        assert (offset, data) == (sum(len(one) + 1 for one in lines[: line - 1]), lines[line - 1])
        said[line - 1] = reason
    return said, int(rows.strict.sum())


def strictly(kind: str, lines: list[bytes]) -> list:
    decoder, said = LineDecoder(kind), []
    for line in lines:
        try:
            record = decoder.line(line)
        except RecordError as error:
            said.append(str(error))
            continue
        names = BlockDecoder(kind)._names
        values = {"deleted": record.deleted, "id_number": id_number(record.id)}
        for name, field in names.items():
            if field != NOTES:
                value = getattr(record, name)
                values[name] = bool(value) if field == FLAG else value
        said.append(values)
    return said


strings = st.one_of(
    st.text(max_size=6).map(
        lambda text: json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ),
    st.text(max_size=6).map(lambda text: json.dumps(text).encode()),
    st.sampled_from(
        [
            *(b'"%b"' % text for text in (b"[deleted]", b"[removed]", b"[ removed by reddit ]")),
            *(b'"%b"' % text for text in (b"[Deleted scene](x)", b"[", b"[]", b"[ ", b"[a](b)")),
            *(b'"%b"' % text for text in (b"\\u005bdeleted]", b"\\n[removed]", b"[\\tremoved]")),
            *(b'"%b"' % text for text in (b"[removed]\\n", b"\\/u\\/somebody", b"u/some_one")),
            *(
                b'"%b"' % text
                for text in (b"\\ud83d\\ude00", b"\\ud83d", b"\\ude00", b"\\ud83d\\n")
            ),
            *(b'"%b"' % text for text in (b"\\ud83d\\ud83d", b"\\u00e9", b"\\u0000", b"\\uZZ00")),
            *(b'"%b"' % text for text in (b"\\x", b"\\", b"\t", b"\0", b"\x1f", b"\x7f", b"\xff")),
            *(b'"%b"' % text for text in (b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80")),
            *(b'"%b"' % text for text in (b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\xe2\x82\xac")),
            b'"' + b"long " * 30 + b'"',
            b'"' + b"a" * 31 + b'\\"' + b"b" * 31 + b'"',
            b'"' + b"x" * 120 + b'"',
            b'"unfinished',
        ]
    ),
)
numbers = st.one_of(
    st.integers().map(lambda n: b"%d" % n),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda n: json.dumps(n).encode()),
    st.sampled_from(
        b"0 -0 01 -01 1. .5 -.5 1.0 -1.5 1e3 1E+3 1e999 - + NaN Infinity 1430438400 "
        b"1430438400.0 1430438399.9999999 1430438399.99999 9223372036854775807 "
        b"-9223372036854775808 9223372036854775808 999999999999999999 1000000000000000000 "
        b"123456789012345678901234567890 12a 0x1".split()
    ),
)
times = numbers.map(lambda n: b'"%b"' % n) | st.sampled_from([b'" 1430438400"', b'"1_430_438_400"'])
words = st.sampled_from(b"true false null True nul nulll falsee".split())
keys = st.sampled_from(
    b"id author subreddit body link_id parent_id created_utc score _meta title selftext url domain "
    b"removed_by_category over_18 is_self num_comments was_deleted_later removal_type x "
    b"\\u0069d a\xc3\xa9 \xff i\\n".split()
    + [b"", b"k" * 40]
)
blanks = st.sampled_from([b"", b"", b"", b" ", b"  ", b"\t"])


def objects(values: st.SearchStrategy) -> st.SearchStrategy:
    member = st.tuples(blanks, keys, blanks, values, blanks).map(lambda m: b'%b"%b":%b%b%b' % m)
    joined = st.lists(member, max_size=4).map(b",".join)
    return st.one_of(joined.map(b"{%b}".__mod__), joined.map(b"{%b,}".__mod__))


scalars = st.one_of(strings, numbers, times, words)
values = st.recursive(
    scalars,
    lambda inner: (
        objects(inner) | st.lists(inner, max_size=3).map(lambda v: b"[%b]" % b",".join(v))
    ),
    max_leaves=6,
)
GOOD = {
    "id": b'"c1x"',
    "author": b'"Alice_9"',
    "subreddit": b'"pics"',
    "body": b'"a fox"',
    "title": b'"a fox"',
    "selftext": b'""',
    "link_id": b'"t3_s1"',
    "created_utc": b"1430438400",
    "score": b"-3",
    "_meta": b'{"was_deleted_later": false, "other": [1, {"a": []}], "removal_type": null}',
    "over_18": b"true",
}


@st.composite
def near_records(draw: st.DrawFn) -> bytes:
    """A good record with some members changed, added, repeated or torn: where the scan decides."""
    members = [(name.encode(), value) for name, value in GOOD.items()]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(members) - 1))
        name = draw(st.just(members[place][0]) | keys)
        change = (name, draw(values))
        members = [*members[:place], change, *members[place + draw(st.integers(0, 1)) :]]
    colon, comma = (
        draw(st.sampled_from([b":", b": ", b" : "])),
        draw(st.sampled_from([b",", b", "])),
    )
    line = b"{" + comma.join(b'"%b"%b%b' % (k, colon, v) for k, v in members) + b"}"
    line = draw(st.sampled_from([b"", b"", b"", b"\0\0", b" ", b"\xef\xbb\xbf"])) + line
    line += draw(st.sampled_from([b"", b"", b"", b"\r", b" ", b"}", b",", b"{}", b"x"]))
    return line[: draw(st.just(len(line)) | st.integers(0, len(line)))].replace(b"\n", b"")


soup = st.lists(
    near_records() | st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=4
)


@pytest.mark.parametrize("kind", ["comments", "submissions"])
@settings(max_examples=250, deadline=None)
@given(lines=soup.filter(bool), end=st.sampled_from([b"\n", b""]))
@example(
    lines=[b"{" + b", ".join(b'"%b": %b' % (k.encode(), v) for k, v in GOOD.items()) + b"}"],
    end=b"",
)
def test_the_scan_says_of_every_line_what_the_strict_decoder_says(kind, lines, end):
    if not end and not lines[-1]:
        return  # an empty last line without a newline is no line
    assert by_scan(kind, lines, end)[0] == strictly(kind, lines)


SIBLING = {
    "a_key_that_nobody_wants": b'"and its value, which is longer than one step"',
    "author": b'"Alice_9"',
    "body": b'"a fox"',
    "created_utc": b"1430438400",
    "gildings": b'{"gid_1":0,"gid_2":[{"deep":"}"}],"gid_3":null}',
    "id": b'"c1x"',
    "locked": b"false",
    "permalink": b'"\\/r\\/pics\\/comments\\/s1\\/a_fox\\/c1x\\/"',
    "score": b"3",
    "subreddit": b'"pics"',
    "title": b'"a fox"',
    "total": b"1",
}


@st.composite
def siblings(draw: st.DrawFn) -> list[bytes]:
    """Lines that repeat one another but for a few members: what the scan passes over unparsed."""
    lines = []
    for _ in range(draw(st.integers(2, 6))):
        members = list(SIBLING.items())
        for _ in range(draw(st.integers(0, 2))):
            place = draw(st.integers(0, len(members) - 1))
            name, old = members[place]
            value = draw(values | st.just(old + b"0") | st.just(old[:-1]) | st.just(b" " + old))
            change = draw(
                st.sampled_from(
                    [[(name, value)], [(name + "2", old)], [], [(name, old), (name, value)]]
                )
            )
            members = members[:place] + change + members[place + 1 :]
        comma = draw(st.sampled_from([b",", b",", b",", b", "]))
        line = b"{" + comma.join(b'"%b":%b' % (k.encode(), v) for k, v in members) + b"}"
        tear = draw(st.sampled_from([0, 0, 0, 0, draw(st.integers(0, len(line)))]))
        lines.append((line[:tear] + line[tear + 1 :] if tear else line).replace(b"\n", b""))
    return lines


@pytest.mark.parametrize("kind", ["comments", "submissions"])
@settings(max_examples=250, deadline=None)
@given(lines=siblings())
def test_what_a_line_repeats_of_the_line_before_is_judged_as_if_it_stood_alone(kind, lines):
    assert by_scan(kind, lines)[0] == strictly(kind, lines)


def test_a_value_that_goes_on_where_that_of_the_line_before_ended_is_not_taken_for_it():
    first = b"{%b}" % b",".join(b'"%b":%b' % (k.encode(), v) for k, v in SIBLING.items())
    after = [
        first[:-1] + b"2}",  # a longer last number
        first[:-1] + b"}}",
        first.replace(b"false", b"falsey"),
        first.replace(b"null}", b"null]"),
        first.replace(b'"score":3', b'"score":3,"score":4'),
        first.replace(b'"locked":false', b'"locked":false,"id":"other"'),
        first.replace(b'"score":3', b'"score":31'),
    ]
    lines = [line for other in after for line in (first, other)]
    said, asked = by_scan("comments", lines)
    assert said == strictly("comments", lines)
    assert asked == 5
    assert said[-1]["score"] == 31


def test_a_line_of_more_keys_than_are_remembered_is_left_to_the_strict_decoder():
    line = first = b'{"id":"c1x","author":"a","subreddit":"b","body":"c","created_utc":1430438400'
    line += b"".join(b',"k%d":1' % k for k in range(300)) + b"}"
    extra = first + b"".join(b',"x%d":1' % k for k in range(100))
    extra += b"".join(b',"k%d":1' % k for k in range(200)) + b"}"
    short = first + b"".join(b',"k%d":1' % k for k in range(200)) + b"}"
    lines = [line, short, extra, short]
    assert by_scan("comments", lines) == (strictly("comments", lines), 2)


def test_usual_records_of_every_era_do_not_need_the_strict_decoder(comment, submission):
    usual = [
        comment(),
        comment(created_utc="1430438400"),
        comment(created_utc=1430438400.0),
        comment(score=None),
        comment(body='she said: "hi"\n\\o/ é 😀 [link](http://x)', author="[deleted]"),
        comment(body="[deleted]", _meta={"was_deleted_later": True, "removal_type": "deleted"}),
        comment(body="[removed]", gildings={"gid_1": 0}, all_awardings=[{"a": [1.5, -2]}]),
        comment(parent_id=None, link_id="<missing>", edited=1430438400.0),
    ]
    for ascii_only in (True, False):
        lines = [json.dumps(record, ensure_ascii=ascii_only).encode() for record in usual]
        said, asked = by_scan("comments", lines)
        assert (said, asked) == (strictly("comments", lines), 0)
    posts = [submission(), submission(url=None, url_overridden_by_dest="https://i.redd.it/a.png")]
    posts += [submission(selftext="[removed]"), submission(removed_by_category="moderator")]
    lines = [json.dumps(post, separators=(",", ":")).encode() for post in posts]
    assert by_scan("submissions", lines) == (strictly("submissions", lines), 0)


def test_two_keys_in_one_place_of_the_lookup_are_an_error_when_it_is_made():
    with pytest.raises(ValueError, match="collide"):
        wanted_keys({"aXb": TEXT, "aYb": TEXT})
