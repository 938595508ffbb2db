"""Tiny dumps: a comment, a submission, a file of given lines, and an ingest of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from zipp_dagster.reddit.dumps import DumpFile, dump_file
from zipp_dagster.reddit.erasure import NO_TOMBSTONES
from zipp_dagster.reddit.ingest import IngestReport, dump_to_parquet
from zipp_dagster.reddit.pseudonyms import Pseudonymizer

KEY = b"a key for tests only, 32 bytes.."


@pytest.fixture
def pseudonymizer() -> Pseudonymizer:
    return Pseudonymizer(KEY)


@pytest.fixture
def comment() -> Callable[..., dict]:
    def make(**changes: object) -> dict:
        record = {
            "id": "c1",
            "author": "alice",
            "subreddit": "pics",
            "body": "a fox",
            "score": 3,
            "created_utc": 1_700_000_000,
            "link_id": "t3_s1",
            "parent_id": "t3_s1",
            "edited": False,
        }
        return {k: v for k, v in (record | changes).items() if v != "<missing>"}

    return make


@pytest.fixture
def submission() -> Callable[..., dict]:
    def make(**changes: object) -> dict:
        record = {
            "id": "s1",
            "author": "bob",
            "subreddit": "pics",
            "title": "a fox",
            "selftext": "",
            "url": "https://i.redd.it/fox.png",
            "domain": "i.redd.it",
            "score": 9,
            "num_comments": 1,
            "over_18": False,
            "is_self": False,
            "created_utc": 1_700_000_000,
        }
        return {k: v for k, v in (record | changes).items() if v != "<missing>"}

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., DumpFile]:
    """Writes lines (dicts or raw bytes) as a dump; `frames` cuts it into so many zstd frames."""

    def make(
        lines: list, name: str = "RC_2023-11.zst", frames: int = 1, end: bytes = b"\n"
    ) -> DumpFile:
        raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        data = b"\n".join(raw) + (end if raw else b"")
        path = tmp_path / name
        if path.suffix == ".zst":
            step = max(1, -(-len(data) // frames))
            pieces = [data[i : i + step] for i in range(0, len(data), step)] or [b""]
            data = b"".join(zstandard.ZstdCompressor().compress(piece) for piece in pieces)
        path.write_bytes(data)
        return dump_file(path)

    return make


@pytest.fixture
def ingest(
    tmp_path: Path, pseudonymizer: Pseudonymizer
) -> Callable[..., tuple[IngestReport, list[dict], list[dict]]]:
    """Ingests a dump and returns the report, the kept rows and the rejected lines."""
    import pyarrow.parquet as pq

    def run(dump: DumpFile, tombstones=NO_TOMBSTONES, **options):
        out = tmp_path / "out" / dump.path.name
        out.mkdir(parents=True, exist_ok=True)
        report = dump_to_parquet(dump, out, pseudonymizer, tombstones, **options)
        kept = [r for p in sorted(out.glob("part-*")) for r in pq.read_table(p).to_pylist()]
        return report, kept, pq.read_table(out / "rejected.parquet").to_pylist()

    return run
