"""A block of lines becomes rows: fields found by the scan, the doubtful lines by the strict decoder.

A row's texts stay where they lie in the block until the rows to keep are known. What the strict
decoder found is put behind the block, so that from here on all rows are alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from zipp_dagster.reddit.arrays import fixed, texts
from zipp_dagster.reddit.bytescan import PLAIN, hex4, put_text
from zipp_dagster.reddit.dumps import Kind
from zipp_dagster.reddit.identifiers import base36_value, id_number
from zipp_dagster.reddit.jsonscan import is_text
from zipp_dagster.reddit.lines import MAX_LINE_BYTES, Block
from zipp_dagster.reddit.records import LineDecoder, Record, RecordError
from zipp_dagster.reddit.scanner import (
    FLAG,
    NOTES,
    NUMBER,
    TEXT,
    TIME,
    Keys,
    Scan,
    scan_lines,
    wanted_keys,
)
from zipp_dagster.reddit.vectors import NEWLINE, STEP, borrowed, prefetch

# The first three texts are those that may not be empty, the first number is the time.
_COMMENT_KEYS = {
    **dict.fromkeys(("id", "author", "subreddit", "body", "link_id", "parent_id"), TEXT),
    "created_utc": TIME,
    "score": NUMBER,
    "_meta": NOTES,
}
_SUBMISSION_KEYS = {
    **dict.fromkeys(("id", "author", "subreddit", "title", "selftext", "url"), TEXT),
    **dict.fromkeys(("url_overridden_by_dest", "domain", "post_hint"), TEXT),
    "removed_by_category": TEXT,
    "created_utc": TIME,
    **dict.fromkeys(("score", "num_comments"), NUMBER),
    **dict.fromkeys(("over_18", "is_self"), FLAG),
    "_meta": NOTES,
}
_ID, _AUTHOR, _BODY, _TITLE, _SELFTEXT, _REMOVED_BY = 0, 1, 3, 3, 4, 9
_LONGEST_AUTHOR = 100  # one block of the pseudonyms' hash; names have 20 characters

_DELETED = np.frombuffer(b"[deleted]", dtype=np.uint8)
_REMOVED = np.frombuffer(b"[removed]", dtype=np.uint8)
AHEAD = 8  # so many rows earlier the memory of a text is asked for: it lies a line away
_NO, _YES, _UNSURE = range(3)

Rejected = list[tuple[int, int, bytes, str]]
"""Lines that are no records: (number, byte offset, bytes, reason)."""


@dataclass
class Rows:
    """The usable rows of a block among all its lines.

    Shapes:
        data, extra uint8: texts begin in `data`, or behind it in `extra`; usable, deleted, strict
        bool [n], strict where the strict decoder was asked; numbers uint64 [n], the ids'.
    """

    keys: dict[str, int]
    data: NDArray[np.uint8]
    extra: NDArray[np.uint8]
    scan: Scan
    usable: NDArray[np.bool_]
    deleted: NDArray[np.bool_]
    strict: NDArray[np.bool_]
    id_numbers: NDArray[np.uint64]

    def slot(self, name: str) -> int:
        """The row of a field in the arrays of its kind."""
        kinds = {TIME: NUMBER}
        group = kinds.get(self.keys[name], self.keys[name])
        same = [n for n, kind in self.keys.items() if kinds.get(kind, kind) == group]
        return same.index(name)

    def text(self, name: str, rows: NDArray[np.int64]) -> pa.Array:
        """A text field of some rows as an Arrow string array, escapes resolved."""
        at, scan = self.slot(name), self.scan
        places = scan.starts[at], scan.lengths[at], scan.forms[at], rows
        # Made here and lent to the compiled function: see `borrowed`.
        offsets, valid = np.empty(len(rows) + 1, dtype=np.int32), np.empty(len(rows), dtype=bool)
        values = np.empty(_room(*places[1:]) + STEP, dtype=np.uint8)
        _gather(self.data, self.extra, *places, offsets, values, valid)
        return texts(offsets, values[: offsets[-1]], valid)

    def number(self, name: str, rows: NDArray[np.int64]) -> pa.Array:
        """A number field of some rows, int64."""
        at = self.slot(name)
        return fixed(self.scan.numbers[at][rows], pa.int64(), self.scan.present[at][rows])

    def time(self, name: str, rows: NDArray[np.int64]) -> pa.Array:
        """A field of seconds since 1970 of some rows, as timestamps."""
        return fixed(self.scan.numbers[self.slot(name)][rows] * 1_000_000, pa.timestamp("us"))

    def flag(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """A true-or-false field of some rows, false where it is missing."""
        return self.scan.flags[self.slot(name)][rows]


class BlockDecoder:
    """Decodes blocks into rows; what it says of a line is what `LineDecoder.line` says of it."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._names = _COMMENT_KEYS if kind == "comments" else _SUBMISSION_KEYS
        self._keys: Keys = wanted_keys(self._names)
        self._lines = LineDecoder(kind)
        self._needed = np.arange(4)  # id, author, subreddit, and the body or the title

    def rows(self, block: Block) -> tuple[Rows | None, Rejected]:
        """The rows of a block and its rejected lines; no rows for a line too long to keep."""
        if block.oversized:
            head = bytes(block.data)
            return None, [(block.first_line, block.byte_offset, head, "line_too_long")]
        # Only the last line of a dump may lack its newline; the scan relies on it.
        raw = block.data if block.data[-1] == NEWLINE else memoryview(bytes(block.data) + b"\n")
        data = np.frombuffer(raw, dtype=np.uint8)
        data.flags.writeable = False  # a block may be either: the scan is compiled for one of them
        scan = scan_lines(data, self._keys, block.lines, self._needed, MAX_LINE_BYTES)
        deleted = scan.removed.copy()
        numbers = np.zeros(block.lines, dtype=np.uint64)
        _judge(data, scan, self._kind == "comments", deleted, numbers)
        rows = Rows(
            self._names, data, data[:0], scan, ~scan.doubt, deleted, scan.doubt.copy(), numbers
        )
        return rows, self._ask_strict_decoder(block, raw, rows)

    def _ask_strict_decoder(self, block: Block, raw: memoryview, rows: Rows) -> Rejected:
        rejected: Rejected = []
        extra = bytearray()
        starts = rows.scan.lines
        for row in np.flatnonzero(rows.scan.doubt).tolist():
            start = int(starts[row])
            end = int(starts[row + 1]) if row + 1 < len(starts) else len(raw)
            line = bytes(raw[start : end - 1])
            try:
                record = self._lines.line(line)
            except RecordError as error:
                place = block.first_line + row, block.byte_offset + start
                rejected.append((*place, line, str(error)))
                continue
            self._put(rows, row, record, extra)
        rows.extra = np.frombuffer(bytes(extra), dtype=np.uint8)
        return rejected

    def _put(self, rows: Rows, row: int, record: Record, extra: bytearray) -> None:
        scan = rows.scan
        scan.forms[:, row], scan.present[:, row] = 0, False
        rows.usable[row], rows.deleted[row] = True, record.deleted
        rows.id_numbers[row] = id_number(record.id)
        for name, kind in self._names.items():
            if kind == NOTES:
                continue
            value, at = getattr(record, name), rows.slot(name)
            if kind == TEXT and value is not None:
                encoded = value.encode()
                scan.starts[at, row] = len(rows.data) + len(extra)
                scan.lengths[at, row], scan.forms[at, row] = len(encoded), PLAIN
                extra += encoded
            elif kind in (NUMBER, TIME) and value is not None:
                scan.numbers[at, row], scan.present[at, row] = cast(int, value), True
            elif kind == FLAG:
                scan.flags[at, row] = bool(value)


@njit(cache=True, nogil=True)
def _placeholder(data, start, length, form, word):  # type: ignore[no-untyped-def]
    return length == len(word) and form == PLAIN and is_text(data, start, word)


@njit(cache=True, nogil=True)
def _gone(data, start, length, form):  # type: ignore[no-untyped-def]
    # `is_gone` for the two usual placeholders; _UNSURE for what could be another one.
    if form == 0 or length == 0:
        return _NO
    if data[start] == ord("\\") and data[start + 1] == ord("u"):
        return _UNSURE if hex4(data, start + 2) == ord("[") else _NO
    if data[start] != ord("["):
        return _NO
    if _placeholder(data, start, length, form, _DELETED):
        return _YES
    if _placeholder(data, start, length, form, _REMOVED):
        return _YES
    at = start + 1
    while at < start + length and data[at] == ord(" "):
        at += 1
    if at == start + length:
        return _NO
    first = data[at] | 32
    if first == ord("d") or first == ord("r") or data[at] == ord("\\") or data[at] >= 128:
        return _UNSURE
    return _NO


@njit(cache=True, nogil=True)
def _judge(data, scan, comments, deleted, numbers):  # type: ignore[no-untyped-def]
    starts, lengths, forms = scan.starts, scan.lengths, scan.forms
    data, doubts, last = borrowed(data), scan.doubt, len(deleted) - 1
    for row in range(len(deleted)):
        for slot in (_ID, _AUTHOR, _BODY):
            prefetch(data, starts[slot, min(row + AHEAD, last)])
        if doubts[row]:
            continue
        value = base36_value(data, starts[_ID, row], lengths[_ID, row])
        start, length = starts[_AUTHOR, row], lengths[_AUTHOR, row]
        doubt = value < 0 or length > _LONGEST_AUTHOR
        for k in range(start, start + length):
            doubt |= data[k] >= 128
        gone = _gone(data, start, length, forms[_AUTHOR, row])
        doubt |= gone == _UNSURE
        deleted[row] |= gone == _YES
        for slot in range(_BODY, _BODY + 1 if comments else _SELFTEXT + 1):
            start, length, form = starts[slot, row], lengths[slot, row], forms[slot, row]
            gone = _gone(data, start, length, form)
            doubt |= gone == _UNSURE
            # A typed [deleted] below a living name stays, see `is_taken_down`.
            typed = comments and _placeholder(data, start, length, form, _DELETED)
            deleted[row] |= gone == _YES and not typed
        if not comments:
            deleted[row] |= forms[_REMOVED_BY, row] != 0
        doubts[row] = doubt
        numbers[row] = max(value, 0)


@njit(cache=True, nogil=True)
def _room(lengths, forms, rows):  # type: ignore[no-untyped-def]
    # The bytes of the texts of some rows, escapes unresolved.
    room = 0
    for row in rows:
        room += lengths[row] if forms[row] != 0 else 0
    return room


@njit(cache=True, nogil=True)
def _gather(  # type: ignore[no-untyped-def]
    data, extra, starts, lengths, forms, rows, offsets, values, valid
):  # fmt: skip
    data, extra, values = borrowed(data), borrowed(extra), borrowed(values)
    to, own = 0, len(data)
    for k in range(len(rows)):
        prefetch(data, starts[rows[min(k + AHEAD, len(rows) - 1)]])
        row = rows[k]
        offsets[k] = to
        start, count, form = starts[row], lengths[row], forms[row]
        valid[k] = form != 0
        if form == 0:
            continue
        if start < own:
            to = put_text(values, to, data, start, count, form)
        else:
            to = put_text(values, to, extra, start - own, count, form)
    offsets[len(rows)] = to
