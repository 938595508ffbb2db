"""Generated events as dump files: `RC_YYYY-MM.zst` and `RS_YYYY-MM.zst` with lines of 2023.

Lines have the fields and types of the archives (`zipp_dagster.sampleworld.layouts`), in one frame
with the archives' 2 GiB window. What an archive does wrong is not in them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import zstandard

from zipp_dagster.sampleworld.communities import Community
from zipp_dagster.sampleworld.journal import Comment, Submission
from zipp_dagster.sampleworld.layouts import comment_record, submission_record

ERA = "2023"
WINDOW_LOG = 31


def write_month(events: Path, month: str, out: Path) -> tuple[int, int]:
    """Writes a month of events as its two dump files; returns their lines and bytes of JSON."""
    options = zstandard.ZstdCompressionParameters.from_level(3, window_log=WINDOW_LOG)
    encode, lines, size = msgspec.json.Encoder().encode, 0, 0
    for kind, prefix, record in (("comments", "RC", _comment), ("submissions", "RS", _submission)):
        rng = random.Random(f"{month} {kind}")
        with (
            (out / f"{prefix}_{month}.zst").open("wb") as file,
            zstandard.ZstdCompressor(compression_params=options).stream_writer(file) as stream,
        ):
            for row in _rows(events / kind / month):
                line = encode(record(row, rng)) + b"\n"
                stream.write(line)
                lines, size = lines + 1, size + len(line)
    return lines, size


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("part-*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(20_000):
            yield from batch.to_pylist()


def _community(row: dict[str, Any]) -> Community:
    index = int(row["subreddit"].rsplit("_", 1)[1])
    return Community(index, row["subreddit"], "", "", None, None, False, 0.0)


def _comment(row: dict[str, Any], rng: random.Random) -> dict[str, object]:
    comment = Comment(
        author=f"user_{row['user_id']:x}",
        community=0,
        created=int(row["created_at"].timestamp()),
        body=row["body"],
        score=row["score"],
        id=row["id"],
        link_id=row["link_id"],
        parent_id=row["parent_id"],
    )
    return comment_record(comment, _community(row), ERA, rng)


def _submission(row: dict[str, Any], rng: random.Random) -> dict[str, object]:
    post = Submission(
        author=f"user_{row['user_id']:x}",
        community=0,
        created=int(row["created_at"].timestamp()),
        title=row["title"],
        selftext="",
        url=f"https://i.redd.it/{row['id']}.png" if row["is_image"] else "",
        score=row["score"],
        over_18=row["over_18"],
        num_comments=row["num_comments"],
        id=row["id"],
    )
    return submission_record(post, _community(row), ERA, rng)
