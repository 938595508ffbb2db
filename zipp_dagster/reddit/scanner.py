"""Finds the needed fields of a block of lines without decoding it: where they lie, what they say.

What lives here: the compiled scan. It knows one narrow form of a record, which nearly all lines
have, and answers *doubt* to everything else: the strict decoder of `records` judges those. A line
that the scan accepts is valid JSON, means the same to that decoder, and needs no normalising.
Columns are made in `blocks` and `columns`.

A line mostly repeats the line before: the same keys in the same order, and half of the values. Both
are compared from one key to another, 32 bytes at a time: keys and values that nobody wants and that
were valid a line ago are valid where the same bytes stand again, and need no parsing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from zipp_dagster.reddit.bytescan import (
    DOUBT,
    NINE,
    PLAIN,
    ZERO,
    is_utf8,
    line_end,
    same_bytes,
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
from zipp_dagster.reddit.vectors import NEWLINE, QUOTE, borrowed

TEXT, NUMBER, TIME, FLAG, NOTES = range(5)
"""What a field may hold: a string; an integer; seconds; true or false; the archive's `_meta`."""

_MOST_KEYS = 256  # of a line that the next one is compared with
_FAR = 8  # so many keys may be missing in a line before the comparison ends

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
def _text(data, at):  # type: ignore[no-untyped-def]
    # (end or DOUBT, form, 0 for null)
    if data[at] != QUOTE:
        at, word = word_at(data, at)
        return at if word == NULL else DOUBT, 0
    end, form, high = string_end(data, at + 1)
    if form == DOUBT or (high and not is_utf8(data, at + 1, end - 1)):
        return DOUBT, 0
    return end, form


@njit(cache=True, nogil=True)
def _integer(data, at, kind):  # type: ignore[no-untyped-def]
    # (end or DOUBT, value, not null)
    quoted = data[at] == QUOTE and kind == TIME  # text of digits, in the files of 2015
    at += quoted
    if data[at] == MINUS or ZERO <= data[at] <= NINE:
        first = at
        at, value, exact = number(data, at)
        if at < 0 or not exact or (quoted and (data[at] != QUOTE or at - first > EXACT_DIGITS)):
            return DOUBT, value, False
        return at + quoted, value, True
    at, word = word_at(data, at)
    return at if word == NULL and not quoted else DOUBT, np.int64(0), False


@njit(cache=True, nogil=True)
def _find(data, start, end, names, lengths, lookup):  # type: ignore[no-untyped-def]
    # The place of a key among the wanted ones, or -1.
    length = end - start
    if length <= 0 or length > names.shape[1]:
        return -1
    place = lookup[_index(length, data[start], data[end - 1])]
    if place < 0 or lengths[place] != length:
        return -1
    for k in range(length):
        if data[start + k] != names[place, k]:
            return -1
    return place


@njit(cache=True, nogil=True)
def _again(data, at, end, begins, first, count):  # type: ignore[no-untyped-def]
    # Where the line before has the key that lies from `at` to `end`, a little ahead; else -1.
    for k in range(first, min(first + _FAR, count)):
        if same_bytes(data, at, begins[k], end - at) == end - at:
            return k
    return -1


@njit(cache=True, nogil=True)
def _scan(  # type: ignore[no-untyped-def]
    data, longest, names, name_lengths, kinds, slots, lookup, needed, layout, starts, lengths,
    forms, numbers, present, flags, removed, doubt, lines,
):  # fmt: skip
    # Arrays one by one: an array that is taken out of a tuple costs a reference count each time.
    data, names, name_lengths = borrowed(data), borrowed(names), borrowed(name_lengths)
    lookup, layout = borrowed(lookup), borrowed(layout)
    line, keys_before = 0, 0
    for row in range(len(doubt)):
        # Of each key: where it begins, how far its value is, its place among the wanted ones, and
        # the next key that the comparison must not pass over. One half of them is the line before.
        half = row & 1
        begins, values, places, _ = layout[half]
        old_begins, old_values, old_places, old_stops = layout[1 - half]
        lines[row] = line
        at, seen, keys, old = line, 0, 0, 0
        more = data[at] == OPEN
        at = at + 1 if more else DOUBT
        while more:
            value, place = np.int64(DOUBT), np.int64(-1)
            if old < keys_before:
                first, stop = old_begins[old], old_stops[old]
                ahead = old_begins[stop] - first + old_values[stop]
                same = same_bytes(data, at, first, ahead)
                while old < stop and old_begins[old + 1] - first <= same and keys < _MOST_KEYS:
                    begins[keys], values[keys] = at + old_begins[old] - first, old_values[old]
                    places[keys] = -1
                    keys += 1
                    old += 1
                passed = old_begins[old] - first
                at += passed
                if same - passed >= old_values[old]:
                    value, place = skip_spaces(data, at + old_values[old]), old_places[old]
                    old += 1
            if value < 0:
                value, key_end = key(data, at)
                if value < 0:
                    at = DOUBT
                    break
                place = _find(data, at + 1, key_end, names, name_lengths, lookup)
                old = max(old, _again(data, at, key_end + 1, old_begins, old, keys_before) + 1)
            if keys == _MOST_KEYS:
                at = DOUBT
                break
            begins[keys], values[keys], places[keys] = at, value - at, place
            keys += 1
            if place < 0:
                at = skip_value(data, value)
            elif seen >> place & 1:
                at = DOUBT
            else:
                seen |= 1 << place
                kind, slot = kinds[place], slots[place]
                if kind == TEXT:
                    at, form = _text(data, value)
                    forms[slot, row] = form
                    starts[slot, row] = value + 1
                    lengths[slot, row] = at - value - 2
                elif kind == FLAG:
                    at, word = word_at(data, value)
                    flags[slot, row] = word == TRUE
                elif kind == NOTES:
                    at, removed[row] = _notes(data, value)
                else:
                    at, numbers[slot, row], present[slot, row] = _integer(data, value, kind)
            if at < 0:
                break
            at = skip_spaces(data, at)
            more = data[at] == COMMA
            if more:
                at = skip_spaces(data, at + 1)
            else:
                at = at + 1 if data[at] == CLOSE and data[at + 1] == NEWLINE else DOUBT
        good = 0 <= at - line <= longest and EARLIEST <= numbers[0, row] < LATEST
        for k in range(len(needed)):  # an empty text is a text, an empty id is none
            slot = needed[k]
            good &= forms[slot, row] != 0 and (k == len(needed) - 1 or lengths[slot, row] > 0)
        # Nobody writes ids and names with escapes.
        if not good or forms[0, row] != PLAIN or forms[1, row] != PLAIN:
            doubt[row] = True
            at = line_end(data, line)
            keys = 0
        keys_before = keys
        stop = keys - 1  # what follows the last key is never passed over
        for k in range(keys - 1, -1, -1):
            if places[k] >= 0:
                stop = k
            layout[half, 3, k] = stop
        line = at + 1


def scan_lines(
    data: NDArray[np.uint8], keys: Keys, n: int, needed: NDArray[np.int64], longest: int
) -> Scan:
    """Scans the `n` lines of `data`, each with its newline; lines over `longest` bytes are doubt.

    `needed` int64: the texts that a record cannot be without; the last one may be empty.
    """
    kinds = keys.kinds.tolist()
    texts, flags = kinds.count(TEXT), kinds.count(FLAG)
    whole = kinds.count(NUMBER) + kinds.count(TIME)
    scan = Scan(
        np.zeros((texts, n), dtype=np.int32),
        np.zeros((texts, n), dtype=np.int32),
        np.zeros((texts, n), dtype=np.uint8),
        np.zeros((whole, n), dtype=np.int64),
        np.zeros((whole, n), dtype=bool),
        np.zeros((flags, n), dtype=bool),
        np.zeros(n, dtype=bool),
        np.zeros(n, dtype=bool),
        np.zeros(n, dtype=np.int64),
    )
    layout = np.zeros((2, 4, _MOST_KEYS), dtype=np.int64)
    _scan(data, longest, *keys, needed, layout, *scan)
    return scan
