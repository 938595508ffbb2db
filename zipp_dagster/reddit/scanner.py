"""Finds the needed fields of a block of lines without decoding it: where they lie, what they say.

What lives here: the compiled scan. It knows one narrow form of a record, which nearly all lines
have, and answers *doubt* to everything else: the strict decoder of `records` judges those. A line
that the scan accepts is valid JSON, means the same to that decoder, and needs no normalising.
Columns are made in `blocks` and `columns`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from zipp_dagster.reddit.bytescan import (
    DOUBT,
    NEWLINE,
    NINE,
    PLAIN,
    QUOTE,
    ZERO,
    is_utf8,
    line_end,
    string_end,
)
from zipp_dagster.reddit.jsonscan import (
    CLOSE,
    COMMA,
    EXACT_DIGITS,
    MINUS,
    NULL,
    OPEN,
    TRUE,
    is_text,
    key,
    number,
    skip_spaces,
    skip_value,
    word_at,
)
from zipp_dagster.reddit.records import EARLIEST, LATEST

TEXT, NUMBER, TIME, FLAG, NOTES = range(5)
"""What a field may hold: a string; an integer; seconds; true or false; the archive's `_meta`."""

_DELETED_LATER = np.frombuffer(b"was_deleted_later", dtype=np.uint8)
_REMOVAL_TYPE = np.frombuffer(b"removal_type", dtype=np.uint8)


class Keys(NamedTuple):
    """The wanted keys: names (uint8 [k, 24]), their lengths, kinds and rows in the output.

    `lookup` int16 [256] leads from a key's length, first and last byte to its place, or to -1.
    """

    names: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.int64]
    slots: NDArray[np.int64]
    lookup: NDArray[np.int16]


class Scan(NamedTuple):
    """What a scan writes, for n lines.

    Shapes:
        starts, lengths int32 and forms uint8 [texts, n] (form 0: null or missing);
        numbers int64 and present bool [numbers, n]; flags bool [flags, n];
        removed bool [n] by `_meta`; doubt bool [n]; lines int64 [n], each line's first byte.
    """

    starts: NDArray[np.int32]
    lengths: NDArray[np.int32]
    forms: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    present: NDArray[np.bool_]
    flags: NDArray[np.bool_]
    removed: NDArray[np.bool_]
    doubt: NDArray[np.bool_]
    lines: NDArray[np.int64]


def wanted_keys(kinds: dict[str, int]) -> Keys:
    """The lookup of field names; slots count within texts, numbers (times too) and flags."""
    count = {TEXT: 0, NUMBER: 0, FLAG: 0, NOTES: 0}
    names = np.zeros((len(kinds), 24), dtype=np.uint8)
    lookup = np.full(256, -1, dtype=np.int16)
    slots = []
    for place, (name, kind) in enumerate(kinds.items()):
        raw = np.frombuffer(name.encode(), dtype=np.uint8)
        names[place, : len(raw)] = raw
        index = _index(len(raw), int(raw[0]), int(raw[-1]))
        if lookup[index] >= 0:
            raise ValueError(f"the keys {name} and {list(kinds)[lookup[index]]} collide")
        lookup[index] = place
        group = NUMBER if kind == TIME else kind
        slots.append(count[group])
        count[group] += 1
    lengths = np.array([len(name) for name in kinds])
    return Keys(names, lengths, np.array(list(kinds.values())), np.array(slots), lookup)


def empty_scan(keys: Keys, lines: int) -> Scan:
    """Arrays for a scan of so many lines, all fields null."""
    kinds = keys.kinds.tolist()
    texts, flags = kinds.count(TEXT), kinds.count(FLAG)
    numbers = kinds.count(NUMBER) + kinds.count(TIME)
    return Scan(
        np.zeros((texts, lines), dtype=np.int32),
        np.zeros((texts, lines), dtype=np.int32),
        np.zeros((texts, lines), dtype=np.uint8),
        np.zeros((numbers, lines), dtype=np.int64),
        np.zeros((numbers, lines), dtype=bool),
        np.zeros((flags, lines), dtype=bool),
        np.zeros(lines, dtype=bool),
        np.zeros(lines, dtype=bool),
        np.zeros(lines, dtype=np.int64),
    )


@njit(cache=True, nogil=True)
def _index(length, first, last):  # type: ignore[no-untyped-def]
    return (length * 29 + first * 7 + last * 13) & 255


@njit(cache=True, nogil=True)
def _notes(data, at):  # type: ignore[no-untyped-def]
    # The archive's `_meta`: (end or DOUBT, deleted or removed after the first crawl).
    if data[at] != OPEN:
        at, word = word_at(data, at)
        return (at, False) if at >= 0 and word == NULL else (DOUBT, False)
    removed = told_deleted = told_removal = False
    at = skip_spaces(data, at + 1)
    if data[at] == CLOSE:
        return at + 1, False
    while True:
        value, end = key(data, at)
        if value < 0:
            return DOUBT, False
        if end - at - 1 == 17 and is_text(data, at + 1, _DELETED_LATER):
            at, word = word_at(data, value)
            if at < 0 or told_deleted:
                return DOUBT, False
            told_deleted = True
            removed |= word == TRUE
        elif end - at - 1 == 12 and is_text(data, at + 1, _REMOVAL_TYPE):
            if told_removal:
                return DOUBT, False
            told_removal = True
            if data[value] == QUOTE:
                at, form, high = string_end(data, value + 1)
                if form == DOUBT or high:
                    return DOUBT, False
                removed = True
            else:
                at, word = word_at(data, value)
                if at < 0 or word != NULL:
                    return DOUBT, False
        else:
            at = skip_value(data, value)
            if at < 0:
                return DOUBT, False
        at = skip_spaces(data, at)
        if data[at] == CLOSE:
            return at + 1, removed
        if data[at] != COMMA:
            return DOUBT, False
        at = skip_spaces(data, at + 1)


@njit(cache=True, nogil=True)
def _text(data, at, row, slot, scan):  # type: ignore[no-untyped-def]
    if data[at] != QUOTE:
        at, word = word_at(data, at)
        return at if at >= 0 and word == NULL else DOUBT
    end, form, high = string_end(data, at + 1)
    if form == DOUBT or (high and not is_utf8(data, at + 1, end - 1)):
        return DOUBT
    scan.starts[slot, row] = at + 1
    scan.lengths[slot, row] = end - at - 2
    scan.forms[slot, row] = form
    return end


@njit(cache=True, nogil=True)
def _number(data, at, row, slot, kind, scan):  # type: ignore[no-untyped-def]
    quoted = data[at] == QUOTE and kind == TIME  # text of digits, in the files of 2015
    at += quoted
    if data[at] == MINUS or ZERO <= data[at] <= NINE:
        first = at
        at, value, exact = number(data, at)
        if at < 0 or not exact or (quoted and (data[at] != QUOTE or at - first > EXACT_DIGITS)):
            return DOUBT
        scan.numbers[slot, row] = value
        scan.present[slot, row] = True
        return at + quoted
    if quoted:
        return DOUBT
    at, word = word_at(data, at)
    return at if at >= 0 and word == NULL else DOUBT


@njit(cache=True, nogil=True)
def _line(data, at, row, keys, scan):  # type: ignore[no-untyped-def]
    # One line into row `row`; the position of its newline, or DOUBT.
    seen = 0
    if data[at] != OPEN:
        return DOUBT
    at += 1
    while True:
        value, end = key(data, at)
        if value < 0:
            return DOUBT
        length = end - at - 1
        place = -1
        if 0 < length <= 24:
            place = keys.lookup[_index(length, data[at + 1], data[end - 1])]
            if place >= 0 and (
                keys.lengths[place] != length
                or not is_text(data, at + 1, keys.names[place, :length])
            ):
                place = -1
        if place < 0:
            at = skip_value(data, value)
        else:
            if seen >> place & 1:
                return DOUBT
            seen |= 1 << place
            kind, slot = keys.kinds[place], keys.slots[place]
            if kind == TEXT:
                at = _text(data, value, row, slot, scan)
            elif kind == FLAG:
                at, word = word_at(data, value)
                scan.flags[slot, row] = word == TRUE
            elif kind == NOTES:
                at, scan.removed[row] = _notes(data, value)
            else:
                at = _number(data, value, row, slot, kind, scan)
                if kind == TIME and not EARLIEST <= scan.numbers[slot, row] < LATEST:
                    return DOUBT
        if at < 0:
            return DOUBT
        at = skip_spaces(data, at)
        if data[at] == CLOSE:
            return at + 1 if data[at + 1] == NEWLINE else DOUBT
        if data[at] != COMMA:
            return DOUBT
        at = skip_spaces(data, at + 1)


@njit(cache=True, nogil=True)
def _needed(row, needed_texts, scan):  # type: ignore[no-untyped-def]
    # Fields that a record cannot be without; an empty text or body is a text, an empty id is not.
    for k in range(len(needed_texts)):
        slot = needed_texts[k]
        if scan.forms[slot, row] == 0 or (k < 3 and scan.lengths[slot, row] == 0):
            return False
    return scan.present[0, row] and scan.forms[0, row] == PLAIN and scan.forms[1, row] == PLAIN


@njit(cache=True, nogil=True)
def scan_lines(data, keys, needed_texts, longest, scan):  # type: ignore[no-untyped-def]
    """Scans all lines of `data`, which ends with a newline, into the arrays of `scan`."""
    at = 0
    for row in range(len(scan.doubt)):
        scan.lines[row] = at
        end = _line(data, at, row, keys, scan)
        if end < 0 or end - at > longest or not _needed(row, needed_texts, scan):
            scan.doubt[row] = True
            end = line_end(data, at)
        at = end + 1
