"""A place from which images are fetched of a server that misbehaves; its fixtures are in conftest."""

from __future__ import annotations

import pyarrow.parquet as pq

from tests.reddit.rude_server import RudeServer
from zipp_dagster.reddit.media import (
    fetch_media,
)

QUICK = {
    "attempts": 3,
    "backoff_s": 0.01,
    "longest_wait_s": 5,
    "read_s": 20,
    "connect_s": 20,
    "total_s": 60,
}
ADDRESSES = {
    "images.test": ["127.0.0.1"],
    "new.test": ["127.0.0.1"],
    "plain.test": ["127.0.0.1"],  # listed like a host of the settings: no loopback
    "cloud.test": ["169.254.169.254"],
    "both.test": ["93.184.216.34", "10.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "sink.test": ["0.0.0.0"],
    "127.0.0.1": ["127.0.0.1"],  # an address in the url itself
}
LIMITS = {"max_bytes": 200_000, "max_pixels": 1_000_000}


def url(server: RudeServer, path: str, host: str = "images.test") -> str:
    return f"http://{host}:{server.port}/{path}"


def one(place, server, path: str, **settings):
    address = url(server, path)
    return place(**settings).fetch([address])[address]


def fetched(place, files, folder, **options):
    folder.mkdir()
    report = fetch_media(files, place(), place.cache, folder, **options)
    rows = pq.read_table(folder / "part-00000.parquet").to_pylist()
    return report, rows, pq.read_table(folder / "failures.parquet").to_pylist()
