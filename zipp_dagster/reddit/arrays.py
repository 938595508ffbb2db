"""Arrow arrays around memory that is there already, without a copy or a look at each value.

`pyarrow.array` would import pandas first: half a second of every process that reads a dump.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def fixed(
    values: NDArray[Any], kind: pa.DataType, valid: NDArray[np.bool_] | None = None
) -> pa.Array:
    """Numbers of one width; `valid` bool [n] is false for nulls."""
    buffers = [_nulls(valid), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def booleans(values: NDArray[np.bool_]) -> pa.Array:
    """Truth values, bool [n]."""
    bits = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])


def texts(
    offsets: NDArray[np.int32],
    values: NDArray[np.uint8],
    valid: NDArray[np.bool_] | None = None,
) -> pa.Array:
    """Strings from their bytes one behind the other: offsets int32 [n + 1], valid bool [n]."""
    buffers = [_nulls(valid), pa.py_buffer(offsets), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)


def strings(values: Sequence[str]) -> pa.Array:
    """Strings from Python's."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return texts(offsets, np.frombuffer(b"".join(encoded), dtype=np.uint8))


def _nulls(valid: NDArray[np.bool_] | None) -> pa.Buffer | None:
    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))
