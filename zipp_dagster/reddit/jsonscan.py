"""Steps over JSON values, compiled: numbers, words, keys, and whole values that are not needed.

All of it checks the grammar (RFC 8259) as it goes. What is rare or unclear is DOUBT, never a guess:
exponents, keys with escapes or non-ASCII, white space other than blanks, nesting beyond 60 levels.
The data must end with a newline: no valid value goes beyond it, so that no step leaves the array.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zipp_dagster.reddit.bytescan import DOUBT, NINE, ZERO, next_stop, string_end
from zipp_dagster.reddit.vectors import QUOTE, SPACE

COMMA, COLON, OPEN, CLOSE = ord(","), ord(":"), ord("{"), ord("}")
LIST, LIST_END, MINUS, POINT = ord("["), ord("]"), ord("-"), ord(".")
TRUE, FALSE, NULL = range(3)

_DEEPEST = 60  # one bit a level in 64; the strict decoder goes deeper
EXACT_DIGITS = 15  # a float of so many digits is never rounded across a whole number


@njit(cache=True, nogil=True)
def skip_spaces(data, at):  # type: ignore[no-untyped-def]
    """Position of the next byte that is no blank."""
    while data[at] == SPACE:
        at += 1
    return at


@njit(cache=True, nogil=True)
def is_text(data, at, text):  # type: ignore[no-untyped-def]
    """True where `text` stands at a position."""
    same = True
    for k in range(len(text)):
        same = same and data[at + k] == text[k]
    return same


@njit(cache=True, nogil=True)
def word_at(data, at):  # type: ignore[no-untyped-def]
    """(end or DOUBT, TRUE, FALSE or NULL)."""
    if data[at] == ord("n"):
        if data[at + 1] == ord("u") and data[at + 2] == ord("l") and data[at + 3] == ord("l"):
            return at + 4, NULL
    elif data[at] == ord("t"):
        if data[at + 1] == ord("r") and data[at + 2] == ord("u") and data[at + 3] == ord("e"):
            return at + 4, TRUE
    elif data[at] == ord("f"):
        rest = data[at + 1] == ord("a") and data[at + 2] == ord("l") and data[at + 3] == ord("s")
        if rest and data[at + 4] == ord("e"):
            return at + 5, FALSE
    return DOUBT, NULL


@njit(cache=True, nogil=True)
def number(data, at):  # type: ignore[no-untyped-def]
    """(end or DOUBT, value cut to a whole number, exact): a JSON number without exponent."""
    negative = data[at] == MINUS
    at += negative
    first, value = at, np.int64(0)
    while ZERO <= data[at] <= NINE:
        if at - first < 18:
            value = value * 10 + (data[at] - ZERO)
        at += 1
    digits = at - first
    if digits == 0 or (data[first] == ZERO and digits > 1):
        return DOUBT, value, False
    exact = digits <= 18
    if data[at] == POINT:
        point = at
        at += 1
        while ZERO <= data[at] <= NINE:
            at += 1
        if at == point + 1:
            return DOUBT, value, False
        exact = at - first - 1 <= EXACT_DIGITS
    if data[at] | 32 == ord("e"):
        return DOUBT, value, False
    return at, -value if negative else value, exact


@njit(cache=True, nogil=True)
def key(data, at):  # type: ignore[no-untyped-def]
    """(position of the value behind a key and its colon or DOUBT, position of the closing quote)."""
    if data[at] != QUOTE:
        return DOUBT, at
    end, high = next_stop(data, at + 1)
    if high or data[end] != QUOTE:
        return DOUBT, at
    value = skip_spaces(data, end + 1)
    if data[value] != COLON:
        return DOUBT, at
    return skip_spaces(data, value + 1), end


@njit(cache=True, nogil=True)
def _skip_scalar(data, at):  # type: ignore[no-untyped-def]
    if data[at] == QUOTE:
        at, form, _ = string_end(data, at + 1)
        return DOUBT if form == DOUBT else at
    if data[at] == MINUS or ZERO <= data[at] <= NINE:
        at, _, _ = number(data, at)
        return at
    at, _ = word_at(data, at)
    return at


@njit(cache=True, nogil=True)
def skip_value(data, at):  # type: ignore[no-untyped-def]
    """Position after any JSON value, checked as it is skipped; DOUBT where it is no such value."""
    stack, depth = np.uint64(0), 0
    while True:
        opened = False
        if data[at] == OPEN or data[at] == LIST:
            is_object = data[at] == OPEN
            at = skip_spaces(data, at + 1)
            if data[at] == (CLOSE if is_object else LIST_END):
                at += 1
            else:
                stack = (stack << np.uint64(1)) | np.uint64(is_object)
                depth += 1
                opened = True
                if depth > _DEEPEST:
                    return DOUBT
        else:
            at = _skip_scalar(data, at)
            if at < 0:
                return DOUBT
        while not opened:  # a value has ended: close what ends with it, or go to the next one
            if depth == 0:
                return at
            at = skip_spaces(data, at)
            in_object = stack & np.uint64(1) == np.uint64(1)
            if data[at] == COMMA:
                at = skip_spaces(data, at + 1)
                opened = True
            elif data[at] == (CLOSE if in_object else LIST_END):
                stack >>= np.uint64(1)
                depth -= 1
                at += 1
            else:
                return DOUBT
        if stack & np.uint64(1) == np.uint64(1):
            at, _ = key(data, at)
            if at < 0:
                return DOUBT
