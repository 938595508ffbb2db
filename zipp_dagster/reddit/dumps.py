"""Finds dump files and reads them in line-aligned blocks. What a line means is in `records`.

A block carries the number of its first line and its offset in the uncompressed stream, so that
every later complaint can name the exact place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zstandard

Kind = Literal["comments", "submissions"]

MAX_WINDOW = 2**31  # monthly dumps are compressed with --long=31
READ_BYTES = 256 * 1024  # compressed bytes a step: bounds what one step can inflate to
BLOCK_BYTES = 8 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024  # longer than any record; a lost newline must not fill memory
HEAD_BYTES = 200

_MONTHLY = re.compile(r"^(RC|RS)_(\d{4}-(?:0[1-9]|1[0-2]))\.(zst|ndjson)$")
_BY_SUBREDDIT = re.compile(r"^(.+)_(comments|submissions)\.(zst|ndjson)$")


class DumpError(ValueError):
    """A dump folder or file cannot be used; the message names the file, the byte and a remedy."""


@dataclass(frozen=True)
class DumpFile:
    """One dump: its kind, its month (`YYYY-MM`; None for a file of one subreddit) and size."""

    path: Path
    kind: Kind
    month: str | None
    size: int


@dataclass(frozen=True)
class DumpFolder:
    """What a folder holds: monthly dumps in the order of month and kind, and ignored names."""

    dumps: list[DumpFile]
    ignored: list[str]


@dataclass(frozen=True)
class Block:
    """Whole lines of a dump: `data`, the number of its first line (from 1), its byte offset.

    `read` counts the compressed bytes up to here, for progress. `oversized` is the length of a
    single line that was too long to keep: `data` then holds only its first bytes.
    """

    data: bytes
    first_line: int
    lines: int
    byte_offset: int
    read: int
    oversized: int = 0


def dump_file(path: Path) -> DumpFile:
    """Describes a dump by its name: `RC_2015-01.zst`, `RS_2015-01.ndjson`, `pics_comments.zst`."""
    monthly, single = _MONTHLY.match(path.name), _BY_SUBREDDIT.match(path.name)
    if not path.is_file():
        raise DumpError(f"{path} is not a file")
    size = path.stat().st_size
    if monthly:
        kind: Kind = "comments" if monthly[1] == "RC" else "submissions"
        return DumpFile(path, kind, monthly[2], size)
    if single:
        return DumpFile(path, "comments" if single[2] == "comments" else "submissions", None, size)
    raise DumpError(
        f"{path.name} is no dump name: expected RC_YYYY-MM.zst (comments), RS_YYYY-MM.zst "
        "(submissions) or <subreddit>_comments.zst; .ndjson for uncompressed files"
    )


def scan_dumps(folder: Path) -> DumpFolder:
    """Monthly dumps in `folder` or its `comments/` and `submissions/`, and what was ignored.

    Raises:
        DumpError: no folder, no monthly dump in it, or two files for one month and kind.
    """
    if not folder.is_dir():
        raise DumpError(f"dump folder {folder} does not exist; set reddit.dumps_dir to the folder")
    places = [folder, *(folder / name for name in ("comments", "submissions"))]
    files = sorted(p for place in places if place.is_dir() for p in place.iterdir() if p.is_file())
    dumps: dict[tuple[str, Kind], DumpFile] = {}
    ignored = []
    for path in files:
        if not _MONTHLY.match(path.name):
            ignored.append(str(path.relative_to(folder)))
            continue
        dump = dump_file(path)
        assert dump.month is not None
        other = dumps.setdefault((dump.month, dump.kind), dump)
        if other is not dump:
            raise DumpError(
                f"{other.path} and {path} are both {dump.kind} of {dump.month}; keep one"
            )
    if not dumps:
        found = f"; it holds {', '.join(ignored[:5])}" if ignored else "; it is empty"
        raise DumpError(f"no RC_YYYY-MM or RS_YYYY-MM .zst or .ndjson file in {folder}{found}")
    return DumpFolder([dumps[key] for key in sorted(dumps)], ignored)


def find_dumps(folder: Path) -> list[DumpFile]:
    """The monthly dumps of a folder, by month and kind; see `scan_dumps` for the errors."""
    return scan_dumps(folder).dumps


def read_blocks(
    path: Path, *, block_bytes: int = BLOCK_BYTES, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Block]:
    """Reads a dump as line-aligned blocks in bounded memory; a last line without newline counts.

    Raises:
        DumpError: the file is empty, truncated or damaged; names the compressed byte.
    """
    if path.stat().st_size == 0:
        raise DumpError(f"{path} is empty (0 bytes); download it again")
    chunks = _inflate(path) if path.suffix == ".zst" else _plain(path)
    return _cut_lines(chunks, block_bytes, max_line_bytes)


def _plain(path: Path) -> Iterator[tuple[bytes, int]]:
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            done += len(chunk)
            yield chunk, done


def _inflate(path: Path) -> Iterator[tuple[bytes, int]]:
    """Uncompressed chunks of all frames, with the compressed bytes read so far.

    A frame that does not end is an error.
    """
    total, done, inflated = path.stat().st_size, 0, 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    frame = decompressor.decompressobj()
    open_frame = False
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            start, done = done, done + len(chunk)
            while chunk:
                try:
                    out = frame.decompress(chunk)
                except zstandard.ZstdError as error:
                    raise DumpError(
                        f"{path} is damaged between bytes {start:,} and {done:,} of {total:,} "
                        f"(byte {inflated:,} of the uncompressed stream): {error}. "
                        "Download it again; nothing of it was published."
                    ) from error
                inflated += len(out)
                if out:
                    yield out, done
                open_frame = not frame.eof
                chunk = frame.unused_data if frame.eof else b""
                if frame.eof:
                    frame = decompressor.decompressobj()
    if open_frame:
        raise DumpError(
            f"{path} is truncated: its last zstd frame does not end at byte {total:,} "
            f"(byte {inflated:,} of the uncompressed stream). Download it again; nothing of it "
            "was published."
        )


def _cut_lines(
    chunks: Iterator[tuple[bytes, int]], block_bytes: int, max_line_bytes: int
) -> Iterator[Block]:
    line, offset, read = 1, 0, 0
    held: list[bytes] = []
    held_bytes = 0
    skipped = 0  # bytes of an oversized line seen so far; its head is in `held`
    for chunk, read in chunks:
        if skipped:
            end = chunk.find(b"\n")
            if end < 0:
                skipped += len(chunk)
                continue
            yield Block(held[0], line, 1, offset, read, skipped + end)
            line, offset = line + 1, offset + skipped + end + 1
            chunk, held, held_bytes, skipped = chunk[end + 1 :], [], 0, 0
        end = chunk.rfind(b"\n") + 1
        if end and held_bytes + end >= block_bytes:
            data = b"".join((*held, memoryview(chunk)[:end]))
            lines = data.count(b"\n")
            yield Block(data, line, lines, offset, read)
            line, offset = line + lines, offset + len(data)
            chunk, held, held_bytes = chunk[end:], [], 0
        held.append(chunk)
        held_bytes += len(chunk)
        if held_bytes > max_line_bytes:
            data = b"".join(held)
            end = data.rfind(b"\n") + 1
            if end:
                lines = data.count(b"\n", 0, end)
                yield Block(data[:end], line, lines, offset, read)
                line, offset, data = line + lines, offset + end, data[end:]
            held, held_bytes = [data], len(data)
            if held_bytes > max_line_bytes:
                skipped, held = held_bytes, [data[:HEAD_BYTES]]
    data = b"".join(held)
    if skipped:
        yield Block(data, line, 1, offset, read, skipped)
    elif data:
        yield Block(data, line, data.count(b"\n") + (not data.endswith(b"\n")), offset, read)
