"""Tiny dumps: a comment, a submission, a file of given lines, and an ingest of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.reddit.rude_place import ADDRESSES, LIMITS, QUICK
from tests.reddit.rude_server import RudeServer
from zipp_dagster.reddit.dumps import DumpFile, dump_file
from zipp_dagster.reddit.erasure import NO_TOMBSTONES
from zipp_dagster.reddit.ingest import IngestReport, dump_to_parquet
from zipp_dagster.reddit.media_addresses import AllowedHost
from zipp_dagster.reddit.media_cache import MediaCache
from zipp_dagster.reddit.media_config import FetchSettings
from zipp_dagster.reddit.media_fetch import Fetcher
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


@pytest.fixture(scope="module")
def server():
    server = RudeServer()
    yield server
    server.stop()


@pytest.fixture
def place(server, tmp_path):
    """`place(**settings)` makes a fetcher that may ask the rude server, under `images.test`."""

    async def resolve(name: str) -> list[str]:
        if name not in ADDRESSES:
            raise socket.gaierror(f"{name} is not known")
        return ADDRESSES[name]

    server.requests.clear()
    server.moments.clear()
    server.most_in_work = 0
    port = server.port
    hosts = [AllowedHost("images.test", "http", port, loopback=True)]
    hosts += [
        AllowedHost(n, "http", port) for n in ADDRESSES if n not in ("images.test", "new.test")
    ]
    hosts += [AllowedHost("unknown.test", "http", port)]
    hosts += [AllowedHost("new.test", "http", port, loopback=True)]
    with MediaCache(tmp_path / "cache") as cache:

        def make(*, but: tuple[str, ...] = (), **changes: object) -> Fetcher:
            """Changes of limits and settings; `but` names hosts that are not listed."""
            limits = {name: changes.pop(name, limit) for name, limit in LIMITS.items()}
            settings = FetchSettings.model_validate(QUICK | changes)
            listed = [host for host in hosts if host.name not in but]
            return Fetcher(settings, cache, hosts=listed, resolve=resolve, seed=1, **limits)

        make.cache = cache
        yield make


@pytest.fixture
def submissions(tmp_path):
    def write(*rows: tuple[str, str, bool]):
        path = tmp_path / "part-00000.parquet"
        table = [
            {
                "id": post,
                "media_key": address.rsplit("/", 1)[-1],
                "is_image": True,
                "is_bot": False,
                "url": address,
                "over_18": adult,
            }
            for post, address, adult in rows
        ]
        pq.write_table(pa.Table.from_pylist(table), path)
        return [path]

    return write


@pytest.fixture
def as_they_are(monkeypatch):
    """The rude server speaks http: addresses are taken as the posts have them."""
    monkeypatch.setattr("zipp_dagster.reddit.media.image_address", lambda url, key: url)
