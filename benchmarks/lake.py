"""Publishing and reading versions: on a disk, and in object storage on loopback beside bare obstore.

    python benchmarks/lake.py [--json] [--mib 128] [--without-s3]

A version of 16 files of random bytes is published and its files are read back whole. In object
storage (moto's S3 server, a process of its own, which is no fast one) the first read fetches and
verifies, the second finds the cache; `raw` is the same files through obstore alone, without
manifest, hashes, cache and pointer. `small` is one file of 10 bytes: what every publication pays.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from sample_home import machine

from zipp_dagster.platform.lake import Lake

FILES = 16
SMALL = 20
BUCKET = "benchmark"
FIELDS: dict[str, Any] = {
    "code_version": "code",
    "config_hash": "config",
    "config": {},
    "inputs": (),
    "run_id": None,
    "seconds": 0.0,
}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def publish(lake: Lake, asset: str, contents: list[bytes]) -> None:
    with lake.draft(asset, None, secrets.token_hex(16)) as draft:
        for number, content in enumerate(contents):
            draft.path(f"part-{number:03}.parquet").write_bytes(content)
        lake.publish(draft, data_version=secrets.token_hex(16), **FIELDS)


def read(lake: Lake, asset: str) -> None:
    for path in lake.current(asset).files():
        path.read_bytes()


def measure(lake: Lake, name: str, contents: list[bytes]) -> Iterator[dict[str, Any]]:
    """Rates of one lake; the bytes to write are in memory."""
    mib = sum(map(len, contents)) / 2**20
    yield from rate(f"{name}_publish", mib, timed(lambda: publish(lake, "large", contents)))
    yield from rate(f"{name}_read", mib, timed(lambda: read(lake, "large")))
    publish(lake, "small", [b"0123456789"])  # makes folders
    small = timed(lambda: [publish(lake, "small", [b"0123456789"]) for _ in range(SMALL)])
    yield from each(f"{name}_publish_small", small)
    yield from each(
        f"{name}_read_small", timed(lambda: [read(lake, "small") for _ in range(SMALL)])
    )


def rate(name: str, mib: float, took: tuple[float, float]) -> Iterator[dict[str, Any]]:
    yield result(f"{name}_mib_per_s", mib / took[0], "MiB/s")
    yield result(f"{name}_mib_per_cpu_s", mib / took[1], "MiB/CPU-s")


def each(name: str, took: tuple[float, float]) -> Iterator[dict[str, Any]]:
    yield result(f"{name}_ms", 1000 * took[0] / SMALL, "ms")
    yield result(f"{name}_cpu_ms", 1000 * took[1] / SMALL, "CPU-ms")


def result(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 2), "unit": unit, "target": None}


def in_object_storage(folder: Path, contents: list[bytes]) -> Iterator[dict[str, Any]]:
    import obstore

    from zipp_dagster.platform.object_lake import ObjectLake
    from zipp_dagster.platform.object_store import ObjectStore

    mib = sum(map(len, contents)) / 2**20
    store = ObjectStore(f"s3://{BUCKET}/raw")
    files = []
    for number, content in enumerate(contents):
        files.append(folder / f"raw-{number}")
        files[-1].write_bytes(content)

    def put() -> None:
        for path in files:
            obstore.put(store._store, path.name, path)

    def get() -> None:
        for path in files:
            for _ in obstore.get(store._store, path.name).stream():
                pass

    yield from rate("raw_put", mib, timed(put))
    yield from rate("raw_get", mib, timed(get))
    store = ObjectStore(f"s3://{BUCKET}/lake")
    yield from measure(ObjectLake(store, folder / "one", 2**40), "s3", contents)
    other = ObjectLake(store, folder / "other", 2**40)
    yield from rate("s3_fetch", mib, timed(lambda: read(other, "large")))
    yield from rate("s3_cached_read", mib, timed(lambda: read(other, "large")))


@contextmanager
def s3_server() -> Iterator[None]:
    """Moto's server on a free port; AWS's variables point to it meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    try:
        for _ in range(300):
            try:
                urlopen(Request(f"{endpoint}/{BUCKET}", method="PUT")).close()
                break
            except URLError:
                if server.poll() is not None:
                    raise
                time.sleep(0.2)
        yield
    finally:
        server.terminate()
        server.wait()
        os.environ.clear()
        os.environ.update(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--mib", type=int, default=128, help="size of the large version")
    parser.add_argument("--without-s3", action="store_true", help="only the lake on disk")
    arguments = parser.parse_args()
    contents = [os.urandom(arguments.mib * 2**20 // FILES) for _ in range(FILES)]
    with tempfile.TemporaryDirectory(prefix="zipp-benchmark-") as name:
        folder = Path(name)
        results = list(measure(Lake(folder / "disk"), "disk", contents))
        if not arguments.without_s3:
            with s3_server():
                results += in_object_storage(folder, contents)
    if arguments.json:
        document = {"benchmark": "lake", "machine": machine(), "results": results}
        print(json.dumps(document, indent=1))
        return
    for entry in results:
        print(f"{entry['name']:34} {entry['value']:10} {entry['unit']}")


if __name__ == "__main__":
    main()
