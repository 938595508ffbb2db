"""Sets of 64-bit identifiers too large for Python sets: seen record ids, distinct pseudonyms."""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

Identifiers = NDArray[np.uint64]

_CHUNK_BITS = 16
_DENSE_FROM = 4096  # sorted uint16 entries that need as many bytes as a bitmap of 2^16 bits
_MAX_BASE36 = 12  # 36^12 < 2^63


@njit(cache=True, nogil=True)
def base36_value(data, start, length):  # type: ignore[no-untyped-def]
    """The number that an id within uint8 `data` counts in base 36; -1 for any other text."""
    if not 0 < length <= _MAX_BASE36 or data[start] == ord("0"):
        return -1
    value = 0
    for k in range(start, start + length):
        byte = data[k]
        if ord("0") <= byte <= ord("9"):
            value = value * 36 + byte - ord("0")
        elif ord("a") <= byte <= ord("z"):
            value = value * 36 + byte - ord("a") + 10
        else:
            return -1
    return value


def id_number(text: str) -> int:
    """64 bits for an id: its base-36 value, as Reddit counts; a hash for any other text."""
    counted = text.isascii() and text.isalnum() and text == text.lower()
    if counted and len(text) <= _MAX_BASE36 and text[0] != "0":
        return int(text, 36)
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") | 1 << 63  # counted ids never reach the highest bit


class SeenIds:
    """The ids of a file so far: compressed by the fact that Reddit counts its ids upwards.

    Ids are grouped by their high bits; a group is a sorted array while it is sparse and a bitmap
    when dense. A month of 300 M ids takes about 100 MB.
    """

    def __init__(self) -> None:
        self._sparse: dict[int, NDArray[np.uint16]] = {}
        self._bitmaps: dict[int, NDArray[np.uint8]] = {}

    def add(self, numbers: Identifiers) -> NDArray[np.bool_]:
        """Adds ids in order; True where an id was there before, or earlier in `numbers`."""
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        repeated = np.zeros(len(numbers), dtype=bool)
        repeated[1:] = ordered[1:] == ordered[:-1]
        high = ordered >> np.uint64(_CHUNK_BITS)
        low = (ordered & np.uint64((1 << _CHUNK_BITS) - 1)).astype(np.uint16)
        bounds = [0, *(np.flatnonzero(high[1:] != high[:-1]) + 1).tolist(), len(high)]
        for start, end in pairwise(bounds):
            if start == end:
                continue
            repeated[start:end] |= self._add_chunk(int(high[start]), low[start:end])
        result = np.zeros(len(numbers), dtype=bool)
        result[order] = repeated
        return result

    def _add_chunk(self, key: int, low: NDArray[np.uint16]) -> NDArray[np.bool_]:
        bitmap = self._bitmaps.get(key)
        if bitmap is not None:
            byte, bit = low >> 3, np.left_shift(1, low & 7).astype(np.uint8)
            known = (bitmap[byte] & bit) != 0
            np.bitwise_or.at(bitmap, byte, bit)
            return known
        held = self._sparse.get(key)
        if held is None:
            known = np.zeros(len(low), dtype=bool)
            held = np.unique(low)
        else:
            place = np.minimum(np.searchsorted(held, low), len(held) - 1)
            known = held[place] == low
            held = np.union1d(held, low)
        if len(held) < _DENSE_FROM:
            self._sparse[key] = held
        else:
            self._sparse.pop(key, None)
            bits = np.zeros(1 << _CHUNK_BITS, dtype=np.uint8)
            bits[held] = 1
            self._bitmaps[key] = np.packbits(bits, bitorder="little")
        return known


class DistinctIds:
    """Counts distinct 64-bit identifiers: 8 bytes each, merged now and then."""

    def __init__(self, merge_at: int = 2_000_000) -> None:
        self._merged: Identifiers = np.empty(0, dtype=np.uint64)
        self._waiting: list[Identifiers] = []
        self._held = 0
        self._merge_at = merge_at

    def add(self, numbers: Identifiers) -> None:
        """Adds identifiers, repeated ones as well."""
        self._waiting.append(numbers)
        self._held += len(numbers)
        if self._held >= self._merge_at:
            self._merge()

    def _merge(self) -> None:
        # One sort of what is new: sorting everything again would cost more with every merge.
        fresh = np.sort(np.concatenate(self._waiting)) if self._waiting else self._merged[:0]
        merged = np.empty(len(self._merged) + len(fresh), dtype=np.uint64)
        self._merged = merged[: _union(self._merged, fresh, merged)].copy()
        self._waiting, self._held = [], 0

    def __len__(self) -> int:
        self._merge()
        return len(self._merged)


@njit(cache=True, nogil=True)
def _union(one, other, merged):  # type: ignore[no-untyped-def]
    # The distinct values of two sorted arrays into a third, in order; returns how many.
    i, j, count = 0, 0, 0
    while i < len(one) or j < len(other):
        if j == len(other) or (i < len(one) and one[i] <= other[j]):
            value = one[i]
            i += 1
        else:
            value = other[j]
            j += 1
        if count == 0 or merged[count - 1] != value:
            merged[count] = value
            count += 1
    return count
