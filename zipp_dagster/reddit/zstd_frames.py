"""Follows the frames of a zstd file while its bytes pass by, to know whether the last one ends.

python-zstandard's stream reader fills a given buffer, so that memory is bounded and nothing is
copied twice; but it ends silently where a file is truncated. The structure of a frame is told by
a few bytes (RFC 8878, section 3.1): they are followed here, the rest is skipped.
"""

from __future__ import annotations

from typing import BinaryIO

_MAGIC = 0xFD2FB528
_SKIPPABLE = 0x184D2A50  # and the 15 numbers behind it
_DICTIONARY_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)


class FollowedFile:
    """A compressed file to read from; `done` counts its bytes, `complete` tells of its frames."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.start = self.done = 0
        self._skip = 0  # bytes to pass over before the next header
        self._head = bytearray()
        self._read_header, self._wanted = self._magic, 4
        self._checksum = 0

    def read(self, size: int) -> bytes:
        """The next bytes of the file, as its `read` gives them."""
        chunk = self._file.read(size)
        self.start, self.done = self.done, self.done + len(chunk)
        at = 0
        while at < len(chunk):
            if self._skip:
                step = min(self._skip, len(chunk) - at)
                self._skip -= step
            else:
                step = min(self._wanted - len(self._head), len(chunk) - at)
                self._head += chunk[at : at + step]
                if len(self._head) == self._wanted:
                    head, self._head = int.from_bytes(self._head, "little"), bytearray()
                    self._read_header(head)
            at += step
        return chunk

    @property
    def complete(self) -> bool:
        """True where the bytes read so far end with a whole frame."""
        return self._read_header == self._magic and not self._head and not self._skip

    def _next(self, reader: object, wanted: int, skip: int = 0) -> None:
        self._read_header, self._wanted, self._skip = reader, wanted, skip  # type: ignore[assignment]

    def _magic(self, head: int) -> None:
        if head & ~15 == _SKIPPABLE:
            self._next(self._skippable, 4)
        elif head == _MAGIC:
            self._next(self._frame, 1)
        # Anything else is no zstd: the decompressor says so.

    def _skippable(self, head: int) -> None:
        self._next(self._magic, 4, head)

    def _frame(self, head: int) -> None:
        single = head >> 5 & 1  # such a frame names its size instead of a window
        self._checksum = 4 * (head >> 2 & 1)
        size = _SIZE_BYTES[head >> 6] or single
        self._next(self._block, 3, (not single) + _DICTIONARY_BYTES[head & 3] + size)

    def _block(self, head: int) -> None:
        last, repeated, size = head & 1, head >> 1 & 3 == 1, head >> 3
        content = 1 if repeated else size
        if last:
            self._next(self._magic, 4, content + self._checksum)
        else:
            self._next(self._block, 3, content)
