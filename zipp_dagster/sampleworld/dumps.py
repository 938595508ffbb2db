"""Real dump files: `RC_YYYY-MM.zst` and `RS_YYYY-MM.zst`, with everything that real ones do wrong.

ndjson in zstd frames that declare the 2 GiB window of the monthly archives; repeated ids; lines
that are no records. What a file holds is counted while it is written: the counts are ground truth.
Fields are in `layouts.py`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import zstandard

from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.activity import Month
from zipp_dagster.sampleworld.communities import Community
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.journal import Comment, Journal, Submission
from zipp_dagster.sampleworld.layouts import Record, comment_record, era_of, submission_record
from zipp_dagster.sampleworld.people import text_stream

_MAGIC = b"\x28\xb5\x2f\xfd"
# Window descriptor (RFC 8878, 3.1.1.1.2): exponent 21 in the high five bits is 2^(10+21) = 2 GiB.
_WINDOW_2_GIB = 21 << 3
_SINGLE_SEGMENT = 0x20


@dataclass
class FileCounts:
    """What one dump file holds: lines = kept + deleted + duplicates + rejected; bots are kept."""

    lines: int = 0
    kept: int = 0
    deleted: int = 0
    duplicates: int = 0
    rejected: int = 0
    bots: int = 0


def write_dumps(
    journal: Journal,
    communities: list[Community],
    months: list[Month],
    settings: WorldSettings,
    folder: Path,
    progress: Progress = silent,
) -> dict[str, FileCounts]:
    """Writes a pair of dump files a month; returns each file's counts by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, FileCounts] = {}
    for index, month in enumerate(months):
        for kind in ("RC", "RS"):
            name = f"{kind}_{month.label}.zst"
            lines, counts[name] = _lines(journal, communities, month, index, kind, settings)
            # Odd months: two frames, and no newline after the last line.
            odd = index % 2 == 1
            content = b"\n".join(lines) + (b"" if odd or not lines else b"\n")
            cut = content.find(b"\n", len(content) // 2) + 1 if odd else 0
            frames = [content[:cut], content[cut:]] if cut else [content]
            (folder / name).write_bytes(b"".join(map(long_window_frame, frames)))
            progress(len(counts), 2 * len(months), name)
    return counts


def long_window_frame(content: bytes, level: int = 6) -> bytes:
    """One zstd frame that declares a 2 GiB window and no content size, as the archives' do.

    A frame may declare a larger window than its encoder used, so the byte in the header is set
    afterwards: compressing with the real window would take gigabytes of memory for nothing.
    """
    encoder = zstandard.ZstdCompressor(
        level=level, write_content_size=False, write_checksum=True
    ).compressobj()
    frame = bytearray(encoder.compress(content) + encoder.flush())
    if frame[:4] != _MAGIC or frame[4] & _SINGLE_SEGMENT:
        raise RuntimeError(
            "zstandard wrote a frame without a window descriptor: check its version (tested: 0.25)"
        )
    frame[5] = _WINDOW_2_GIB
    return bytes(frame)


def counts_document(counts: dict[str, FileCounts], authors: int) -> dict[str, object]:
    """The counts of all files and the distinct authors of kept records that are no bots."""
    return {**{name: asdict(counts[name]) for name in sorted(counts)}, "authors": authors}


def _lines(
    journal: Journal,
    communities: list[Community],
    month: Month,
    index: int,
    kind: str,
    settings: WorldSettings,
) -> tuple[list[bytes], FileCounts]:
    rng = text_stream(settings.seed, "dump", kind, month.label)
    era = era_of(index)
    encode = _encoder(era)
    records: list[tuple[Record, Comment | Submission]] = []
    if kind == "RC":
        for comment in journal.comments:
            if month.start <= comment.created < month.end:
                place = communities[comment.community]
                records.append((comment_record(comment, place, era, rng), comment))
    else:
        for post in journal.submissions:
            if month.start <= post.created < month.end:
                place = communities[post.community]
                records.append((submission_record(post, place, era, rng), post))
    counts = FileCounts(
        kept=sum(item.deleted is None for _, item in records),
        deleted=sum(item.deleted is not None for _, item in records),
        bots=sum(item.bot for _, item in records),
    )
    keyed = [(float(position), encode(record)) for position, (record, _) in enumerate(records)]
    if era == "2015":
        # Archives before 2023-04 are not sorted by time.
        keyed = [(position + rng.uniform(0, 40), line) for position, line in keyed]
    extra = _repeated(records, encode, settings, rng)
    counts.duplicates = len(extra)
    bad = _bad_lines(records, encode, settings.bad_lines_per_file, rng)
    counts.rejected = len(bad)
    keyed += extra
    keyed += [(rng.uniform(0, max(1, len(records))), line) for line in bad]
    keyed.sort(key=lambda pair: pair[0])
    counts.lines = len(keyed)
    return [line for _, line in keyed], counts


def _repeated(
    records: list[tuple[Record, Comment | Submission]],
    encode: Callable[[Record], bytes],
    settings: WorldSettings,
    rng: random.Random,
) -> list[tuple[float, bytes]]:
    """Second copies of kept records, some retrieved later, with their places in the file."""
    kept = [i for i, (_, item) in enumerate(records) if item.deleted is None]
    repeated = []
    for position in rng.sample(kept, round(len(kept) * settings.duplicate_share)):
        record = records[position][0]
        if rng.random() < 0.5:
            record = {**record, "retrieved_on": int(str(record["retrieved_on"])) + 86_400}
        repeated.append((rng.uniform(position, len(records)) + 100, encode(record)))
    return repeated


def _bad_lines(
    records: list[tuple[Record, Comment | Submission]],
    encode: Callable[[Record], bytes],
    count: int,
    rng: random.Random,
) -> list[bytes]:
    """Lines that no reader can accept: cut, not UTF-8, NULs within, or not a record at all."""
    bad: list[bytes] = []
    faults = (_cut, _not_utf8, _nul_within, _not_an_object)
    for number in range(count):
        # With an id of its own: were it repaired, it would show as one record too many.
        record: Record = dict(rng.choice(records)[0]) if records else {}
        record["id"] = f"bad{number}"
        bad.append(faults[number % len(faults)](encode(record), rng))
    return bad


def _cut(line: bytes, rng: random.Random) -> bytes:
    return line[: rng.randint(2, max(3, len(line) - 2))]


def _not_utf8(line: bytes, rng: random.Random) -> bytes:
    return line.replace(b'"bad', b'"\xff\xfe\xc3bad', 1)


def _nul_within(line: bytes, rng: random.Random) -> bytes:
    return line.replace(b'"bad', b'"\x00\x00bad', 1)


def _not_an_object(line: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"<html><body>502 Bad Gateway</body></html>", b"null", b'["t1_bad"]'))


def _encoder(era: str) -> Callable[[Record], bytes]:
    """JSON as the era's archives have it: escaped to ASCII at first, raw UTF-8 later."""
    if era == "2015":
        return lambda record: json.dumps(record).encode("ascii")
    return msgspec.json.Encoder().encode
