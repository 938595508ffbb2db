"""Compiled steps over bytes: find the end of a JSON string, check UTF-8, resolve escapes, copy.

What lives here: loops over single strings, 32 bytes at a time (`vectors` has the instructions).
What a line means is in `scanner`.
All of it runs without the interpreter lock. Compiled code is cached beside this file, or where
NUMBA_CACHE_DIR says.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zipp_dagster.reddit.vectors import (
    BACKSLASH,
    NEWLINE,
    QUOTE,
    SLASH,
    SPACE,
    STEP,
    borrowed,
    copy,
    copy_step,
    differing,
    first_bit,
    newlines,
    slashes,
    stops,
)

ZERO, NINE, LETTER_U = ord("0"), ord("9"), ord("u")

PLAIN, ESCAPED, DOUBT = 1, 2, -1
"""How a string is written: as it is, with escapes; or not to be judged here."""

_ESCAPES = np.zeros(256, dtype=np.uint8)
for _letter, _meaning in zip('"\\/bfnrt', '"\\/\b\f\n\r\t'):
    _ESCAPES[ord(_letter)] = ord(_meaning)


@njit(cache=True, nogil=True)
def next_stop(data, at):  # type: ignore[no-untyped-def]
    """Position of the next quote, backslash or control byte, and whether non-ASCII lies before.

    `data` must end with a control byte (a newline), else the search would leave the array.
    """
    high = False
    size = len(data)
    while at + STEP <= size:
        mask = stops(data, at)
        stop, above = mask & np.uint64(0xFFFFFFFF), mask >> np.uint64(STEP)
        if stop != 0:
            place = first_bit(stop)
            if above & ((np.uint64(1) << place) - np.uint64(1)) != 0:
                high = True
            return at + np.int64(place), high
        if above != 0:
            high = True
        at += STEP
    while data[at] >= SPACE and data[at] != QUOTE and data[at] != BACKSLASH:
        high |= data[at] >= 128
        at += 1
    return at, high


@njit(cache=True, nogil=True)
def same_bytes(data, one, other, count):  # type: ignore[no-untyped-def]
    """How many bytes, up to `count`, are the same from two places on; `other` lies before `one`."""
    size, same = len(data), 0
    while same < count and one + same + STEP <= size:
        found = differing(data, one + same, other + same)
        if found != 0:
            return min(count, same + np.int64(first_bit(found)))
        same += STEP
    if same >= count:
        return count
    while same < count and one + same < size and data[one + same] == data[other + same]:
        same += 1
    return same


@njit(cache=True, nogil=True)
def next_slash(data, at, end):  # type: ignore[no-untyped-def]
    """Position of the next slash before `end`; `end` where there is none."""
    while at + STEP <= len(data) and at < end:
        found = slashes(data, at)
        if found != 0:
            return min(end, at + np.int64(first_bit(found)))
        at += STEP
    while at < end and data[at] != SLASH:
        at += 1
    return min(at, end)


@njit(cache=True, nogil=True)
def count_newlines(data):  # type: ignore[no-untyped-def]
    """The number of newlines."""
    data = borrowed(data)
    count, at = 0, 0
    while at + STEP <= len(data):
        count += newlines(data, at)
        at += STEP
    while at < len(data):
        count += data[at] == NEWLINE
        at += 1
    return count


@njit(cache=True, nogil=True)
def line_end(data, at):  # type: ignore[no-untyped-def]
    """Position of the next newline."""
    while data[at] != NEWLINE:
        at, _ = next_stop(data, at + 1)
    return at


@njit(cache=True, nogil=True)
def hex4(data, at):  # type: ignore[no-untyped-def]
    """The value of four hexadecimal digits; -1 where one of them is something else."""
    value = 0
    for place in range(at, at + 4):
        byte = data[place]
        if ZERO <= byte <= NINE:
            value = value * 16 + byte - ZERO
        elif 97 <= byte | 32 <= 102:
            value = value * 16 + (byte | 32) - 87
        else:
            return -1
    return value


@njit(cache=True, nogil=True)
def string_end(data, at):  # type: ignore[no-untyped-def]
    """End of the JSON string that begins after a quote: (position after it, form, non-ASCII).

    The form is PLAIN, ESCAPED, or DOUBT for control bytes, bad escapes and lone surrogates.
    """
    form, high = PLAIN, False
    while True:
        at, above = next_stop(data, at)
        high |= above
        if data[at] == QUOTE:
            return at + 1, form, high
        if data[at] != BACKSLASH:
            return at, DOUBT, high
        form = ESCAPED
        if data[at + 1] == LETTER_U:
            code = hex4(data, at + 2)
            if code < 0:
                return at, DOUBT, high
            at += 6
            if 0xD800 <= code < 0xE000:
                if code >= 0xDC00 or data[at] != BACKSLASH or data[at + 1] != LETTER_U:
                    return at, DOUBT, high
                low = hex4(data, at + 2)
                if low < 0xDC00 or low >= 0xE000:
                    return at, DOUBT, high
                at += 6
        elif _ESCAPES[data[at + 1]] != 0:
            at += 2
        else:
            return at, DOUBT, high


@njit(cache=True, nogil=True)
def is_utf8(data, at, end):  # type: ignore[no-untyped-def]
    """True where the bytes are UTF-8 (Unicode 15, table 3-7), as Python's decoder has it."""
    size = len(data)
    while at < end:
        byte = data[at]
        if byte < 0x80:
            above = stops(data, at) >> np.uint64(STEP) if at + STEP <= size else np.uint64(1)
            if above == 0:
                at += STEP
            else:
                at += max(1, np.int64(first_bit(above)))
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= byte <= 0xDF:
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False
        if at + more >= end or not low <= data[at + 1] <= high:
            return False
        for place in range(at + 2, at + more + 1):
            if data[place] & 0xC0 != 0x80:
                return False
        at += more + 1
    return True


@njit(cache=True, nogil=True)
def _put_code(target, to, code):  # type: ignore[no-untyped-def]
    if code < 0x80:
        target[to] = code
        return to + 1
    if code < 0x800:
        target[to] = 0xC0 | code >> 6
        target[to + 1] = 0x80 | code & 63
        return to + 2
    if code < 0x10000:
        target[to] = 0xE0 | code >> 12
        target[to + 1] = 0x80 | code >> 6 & 63
        target[to + 2] = 0x80 | code & 63
        return to + 3
    target[to] = 0xF0 | code >> 18
    target[to + 1] = 0x80 | code >> 12 & 63
    target[to + 2] = 0x80 | code >> 6 & 63
    target[to + 3] = 0x80 | code & 63
    return to + 4


@njit(cache=True, nogil=True)
def put_text(target, to, source, at, count, form):  # type: ignore[no-untyped-def]
    """Copies a string that `string_end` accepted, escapes resolved; returns the new end.

    An escaped string must be followed by its quote in `source`, as it is in a line. A short one is
    copied in one step: `target` may be written to behind the string, as far as it has room.
    """
    if form == PLAIN:
        if count <= STEP and to + STEP <= len(target) and at + STEP <= len(source):
            copy_step(target, to, source, at)
        else:
            copy(target, to, source, at, count)
        return to + count
    end = at + count
    while at < end:
        stop, _ = next_stop(source, at)
        copy(target, to, source, at, stop - at)
        to += stop - at
        at = stop
        if at >= end:
            break
        if source[at + 1] != LETTER_U:
            target[to] = _ESCAPES[source[at + 1]]
            to += 1
            at += 2
            continue
        code = hex4(source, at + 2)
        at += 6
        if 0xD800 <= code < 0xDC00:
            code = 0x10000 + ((code - 0xD800) << 10) + hex4(source, at + 2) - 0xDC00
            at += 6
        to = _put_code(target, to, code)
    return to
