"""One compiled pass over many texts: their tokens, and the marks of what cleaning takes out.

Cleaning and counting by regular expressions was most of the cost of snippets; most texts hold nothing
to clean, and a pass over their bytes says so. What is done with marks is in `snippets_sql.py`.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray


class Mark(IntFlag):
    """What a text holds that a pattern of cleaning could match."""

    QUOTE = 1  # > or an entity
    LINK = 2  # ](
    ADDRESS = 4  # http or www.
    AT = 8  # @
    SPELLED_AT = 16  # [at, (at, {at, with blanks between or not
    NAME = 32  # u/
    LONG_NUMBER = 64  # seven digits in all
    ENTITY = 128  # &
    MARKUP = 256  # one of * _ ` ~ # | ^ \
    SPACES = 512  # two together, or one that is no blank
    HOUSE = 1024  # a number before a word, or after what a German street's name ends in


def count_tokens(texts: Any) -> pa.Array:
    r"""Words (letters, digits and _ of ASCII) and marks of each text, int32; a null counts 0.

    As many as `\w+|[^\w\s]` matches: every character that is neither a word's nor white space is
    a mark. `texts` is a string array of Arrow.
    """
    data, offsets = _buffers(texts)
    counts = np.empty(len(offsets) - 1, np.int32)
    _count(data, offsets, counts)
    return pa.array(counts)


def find_marks(texts: Any) -> pa.Array:
    """The `Mark`s of each text, int32; a null has none."""
    data, offsets = _buffers(texts)
    marks = np.empty(len(offsets) - 1, np.int32)
    _scan(data, offsets, marks)
    return pa.array(marks)


def _buffers(texts: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The UTF-8 bytes of an Arrow string array, and where each text starts in them."""
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    whole = whole.cast(pa.large_string())
    if len(whole) == 0:
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    _, offsets, data = whole.buffers()
    starts = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    return np.frombuffer(data or b"", np.uint8), starts


@njit(cache=True, nogil=True)
def _count(data, offsets, counts):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        found = 0
        inside = False
        for i in range(offsets[row], offsets[row + 1]):
            b = data[i]
            word = 97 <= b <= 122 or 65 <= b <= 90 or 48 <= b <= 57 or b == 95
            if word:
                if not inside:
                    found += 1
            elif not (b == 32 or b == 9 or b == 10 or b == 12 or b == 13 or (b & 0xC0) == 0x80):
                found += 1
            inside = word
        counts[row] = found


@njit(cache=True, nogil=True)
def _scan(data, offsets, marks):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        found = 0
        digits = 0
        start, end = offsets[row], offsets[row + 1]
        for i in range(start, end):
            b = data[i]
            if 97 <= b <= 122:  # letters: most of a text
                if b == 117:  # u/
                    if i + 1 < end and data[i + 1] == 47:
                        found |= 32
                elif b == 104:  # http
                    if (
                        i + 3 < end
                        and data[i + 1] == 116
                        and data[i + 2] == 116
                        and data[i + 3] == 112
                    ):
                        found |= 4
                elif b == 119 and (
                    i + 3 < end and data[i + 1] == 119 and data[i + 2] == 119 and data[i + 3] == 46
                ):  # www.
                    found |= 4
            elif b == 32:
                if i + 1 < end:
                    after = data[i + 1]
                    if after == 32:
                        found |= 512
                    elif i - 2 >= start and 48 <= after <= 57:  # …ße 1, …se 1, …eg 1, …tz 1
                        a, z = data[i - 2] | 32, data[i - 1] | 32
                        if (
                            (z == 101 and (data[i - 2] == 0x9F or a == 115))
                            or (z == 103 and a == 101)
                            or (z == 122 and a == 116)
                        ):
                            found |= 1024
            elif 48 <= b <= 57:
                digits += 1
                j = i + 1
                if j < end and 97 <= data[j] | 32 <= 122:
                    j += 1
                if j + 1 < end and data[j] == 32 and 97 <= data[j + 1] | 32 <= 122:
                    found |= 1024
            elif b == 62:  # >
                found |= 1
            elif b == 38:  # &
                found |= 129
            elif b == 64:  # @
                found |= 8
            elif b == 91 or b == 40 or b == 123:  # [ ( {
                j = i + 1
                while j < end and (data[j] == 32 or 9 <= data[j] <= 13):
                    j += 1
                if j + 1 < end and data[j] | 32 == 97 and data[j + 1] | 32 == 116:
                    found |= 16
            elif b == 93:  # ](
                if i + 1 < end and data[i + 1] == 40:
                    found |= 2
            elif b == 9 or b == 10 or b == 12 or b == 13:
                found |= 512
            elif (
                b == 42
                or b == 95
                or b == 96
                or b == 126
                or b == 35
                or b == 124
                or b == 94
                or b == 92
            ):
                found |= 256
        if digits >= 7:
            found |= 64
        marks[row] = found
