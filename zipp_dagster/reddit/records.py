"""What a line of a dump means: typed records of the needed fields, for every era of 2005–2026.

Decoding is strict where a wrong value would poison what follows, and lenient where Reddit or the
archives changed a type. Columns and files are made in `columns` and `ingest`.
"""

from __future__ import annotations

import re
from operator import attrgetter

import msgspec
import numpy as np

from zipp_dagster.reddit.dumps import Kind
from zipp_dagster.reddit.lines import MAX_LINE_BYTES, Block

# Reddit opened in June 2005; a date outside these years is a damaged record.
EARLIEST = 1_104_537_600  # 2005-01-01
LATEST = 4_102_444_800  # 2100-01-01

_GONE = re.compile(r"\[\s*(?:deleted|removed)(?:\s+by\s+[^\n\]]{1,160})?\s*\]\s*", re.IGNORECASE)
_TYPED = re.compile(r"\[deleted\]\s*", re.IGNORECASE)
_INT64 = 2**63


class RecordError(ValueError):
    """A line is no usable record; the message is the short reason that is counted."""


class Afterwards(msgspec.Struct, gc=False):
    """What the archive learnt after the first crawl (Arctic Shift files since 2023-11)."""

    was_deleted_later: bool | None = None
    removal_type: str | None = None


class Comment(msgspec.Struct, gc=False):
    """The needed fields of a comment, in the types that the eras used."""

    id: str
    author: str | None = None
    subreddit: str | None = None
    body: str | None = None
    created_utc: int | float | str | None = None  # text in 2015, now and then a float
    score: int | float | None = None  # null in 2017-10 and 2017-11
    link_id: str | int | None = None
    parent_id: str | int | None = None
    meta: Afterwards | None = msgspec.field(name="_meta", default=None)

    @property
    def deleted(self) -> bool:
        """True where the user or Reddit took the comment or its author away."""
        return (
            is_gone(self.author)
            or is_taken_down(self.body)
            or (self.meta is not None and was_removed(self.meta))
        )


class Submission(msgspec.Struct, gc=False):
    """The needed fields of a submission, in the types that the eras used."""

    id: str
    author: str | None = None
    subreddit: str | None = None
    title: str | None = None
    selftext: str | None = None
    url: str | None = None  # null in 2022-08 and 2022-09
    url_overridden_by_dest: str | None = None
    domain: str | None = None
    post_hint: str | None = None  # on 30–40 % of the submissions only
    created_utc: int | float | str | None = None
    score: int | float | None = None
    num_comments: int | float | None = None
    over_18: bool | None = None
    is_self: bool | None = None
    removed_by_category: str | None = None  # since 2019-09
    meta: Afterwards | None = msgspec.field(name="_meta", default=None)

    @property
    def deleted(self) -> bool:
        """True where the user or Reddit took the submission, its text or its author away."""
        return (
            self.removed_by_category is not None
            or is_gone(self.author)
            or is_gone(self.selftext)
            or is_gone(self.title)
            or (self.meta is not None and was_removed(self.meta))
        )


Record = Comment | Submission


def is_gone(text: str | None) -> bool:
    """True for the placeholders that stand for deleted or removed content."""
    return text is not None and text[:1] == "[" and _GONE.fullmatch(text) is not None


def is_taken_down(body: str | None) -> bool:
    """True for a comment's body that stands for a removal, whoever its author is.

    A deletion by the user always blanks the author as well, so a bare `[deleted]` below a living
    name was typed by a person (a popular joke): such a comment is kept here, and dropped by the
    staging model because it says nothing.
    """
    return is_gone(body) and _TYPED.fullmatch(str(body)) is None


def was_removed(meta: Afterwards) -> bool:
    """True where the archive saw the record deleted or removed after its first crawl."""
    return bool(meta.was_deleted_later) or meta.removal_type is not None


def to_integer(value: int | float | str | None, reason: str) -> int | None:
    """A whole number within 64 bits, from any of the types that the dumps use for numbers."""
    if value is None:
        return None
    try:
        number = int(float(value)) if isinstance(value, str) else int(value)
    except (ValueError, OverflowError):
        raise RecordError(reason) from None
    if not -_INT64 <= number < _INT64:
        raise RecordError(reason)
    return number


def normalise(record: Record) -> None:
    """Brings a record to canonical types in place: whole seconds, whole scores, present keys.

    Raises:
        RecordError: `no_id`, `no_author`, `no_subreddit`, `no_text`, `bad_time`, `bad_number`.
    """
    for field, value in (
        ("id", record.id),
        ("author", record.author),
        ("subreddit", record.subreddit),
    ):
        if not value:
            raise RecordError(f"no_{field}")
    created = to_integer(record.created_utc, "bad_time")
    if created is None or not EARLIEST <= created < LATEST:
        raise RecordError("bad_time")
    record.created_utc = created
    record.score = to_integer(record.score, "bad_number")
    if isinstance(record, Comment):
        if record.body is None:
            raise RecordError("no_text")
        record.link_id = record.link_id if isinstance(record.link_id, str) else None
        record.parent_id = record.parent_id if isinstance(record.parent_id, str) else None
    else:
        if record.title is None:
            raise RecordError("no_text")
        record.num_comments = to_integer(record.num_comments, "bad_number")


def _canonical(records: list[Record]) -> bool:
    """True where no record needs `normalise`; column by column, as a call a record is dear."""
    for name in ("id", "author", "subreddit"):
        if not all(map(attrgetter(name), records)):
            return False
    is_comments = isinstance(records[0], Comment)
    whole = ["created_utc", "score"] if is_comments else ["created_utc", "score", "num_comments"]
    for name in whole:
        values = list(map(attrgetter(name), records))
        if set(map(type, values)) != {int}:
            return False
        low, high = (EARLIEST, LATEST) if name == "created_utc" else (-_INT64, _INT64)
        if min(values) < low or max(values) >= high:
            return False
    texts = ["body", "link_id", "parent_id"] if is_comments else ["title"]
    return all(set(map(type, map(attrgetter(name), records))) == {str} for name in texts)


class LineDecoder:
    """Decodes blocks of lines into normalised records, and says which lines it rejects and why."""

    def __init__(self, kind: Kind) -> None:
        self.record_type: type[Comment] | type[Submission]
        self.record_type = Comment if kind == "comments" else Submission
        self._decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(self.record_type)

    def block(self, block: Block) -> tuple[list[Record], list[tuple[int, int, bytes, str]]]:
        """Records of a block in order, and rejected lines as (line, byte offset, bytes, reason).

        A clean block is decoded in one call; any doubt sends it through `line`, line by line.
        """
        if block.oversized:
            head = bytes(block.data)
            return [], [(block.first_line, block.byte_offset, head, "line_too_long")]
        data = bytes(block.data)
        records = self._all_at_once(data, block.lines)
        if records is not None:
            return records, []
        records, rejected = [], []
        offset = block.byte_offset
        lines = data.split(b"\n")
        for number, line in enumerate(lines[: block.lines], block.first_line):
            try:
                records.append(self.line(line))
            except RecordError as error:
                rejected.append((number, offset, line, str(error)))
            offset += len(line) + 1
        return records, rejected

    def _all_at_once(self, data: bytes, lines: int) -> list[Record] | None:
        # Lines that all begin with { and end with } cannot run into one another while decoding:
        # after a closing brace no JSON continues with an opening one. Two records in one line
        # show in the count.
        if len(data) > MAX_LINE_BYTES or data[:1] != b"{" or data[-2:] != b"}\n":
            return None
        codes = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(codes == ord("\n"))
        if (codes[ends - 1] != ord("}")).any() or (codes[ends[:-1] + 1] != ord("{")).any():
            return None
        try:
            records = self._decoder.decode_lines(data)
            if len(records) != lines:
                return None
            if not _canonical(records):
                for record in records:
                    normalise(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RecordError):
            return None
        return records

    def line(self, line: bytes) -> Record:
        """The normalised record of one line.

        Raises:
            RecordError: with one of the reasons of `normalise`, or `blank_line`, `line_too_long`,
                `invalid_utf8`, `lone_surrogate`, `wrong_type`, `not_an_object`, `not_json`.
        """
        if len(line) > MAX_LINE_BYTES:
            raise RecordError("line_too_long")
        # Runs of NULs come before whole records in some archives: holes of a preallocated file.
        text = line.strip(b"\0 \t\r")
        if not text:
            raise RecordError("blank_line")
        try:
            record = self._decoder.decode(text)
        except msgspec.ValidationError as error:
            told = str(error)
            if told.startswith("Expected `object`"):
                raise RecordError("not_an_object") from None
            raise RecordError("no_id" if "field `id`" in told else "wrong_type") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RecordError(_why_undecodable(text)) from None
        normalise(record)
        return record


def _why_undecodable(text: bytes) -> str:
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        return "invalid_utf8"
    try:
        # Without its surrogates a line is valid JSON exactly if they were all that was wrong.
        msgspec.json.decode(re.sub(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", "", decoded))
    except (msgspec.DecodeError, RecursionError):
        return "not_json"
    return "lone_surrogate"
