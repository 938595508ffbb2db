"""Rates of reading a monthly comment dump: ours to Parquet beside the routes that people take.

Generates its dump of over 1 GB (2 GiB window, like the archives') unless `--file` names one, and
dumps ten times as long for the memory. Every route runs in a process of its own, so that each peak
of memory is its own; compiled code is made before anything is measured. Asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

from zipp_dagster.reddit import Pseudonymizer, dump_file, dump_to_parquet
from zipp_dagster.reddit.blocks import BlockDecoder
from zipp_dagster.reddit.lines import MAX_WINDOW, read_blocks
from zipp_dagster.reddit.prefetch import prefetch

WORDS = tuple(
    str.split(
        "the a to of and i it is that you in was for on not have but they with be this are just "
        "like what people my so me do if can about there one time know think would get right also "
        "out good game really never always because thing picture music water light paint friend"
    )
)
CHUNK = 128 * 1024 * 1024


def generate(path: Path, lines: int, window_log: int) -> None:
    """Writes comments of about 1.2 KB a line, with the fields of the late 2010s."""
    rng = random.Random(7)
    options = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    authors = [f"user_{rng.randrange(10**9)}" for _ in range(max(10, lines // 12))]
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor(compression_params=options).stream_writer(file) as stream,
    ):
        for number in range(lines):
            stream.write(json.dumps(_comment(rng, number, rng.choice(authors))).encode() + b"\n")


def generate_long(path: Path, lines: int, window_log: int) -> None:
    """Writes so many comments quickly: 20,000 bodies in turn, ids and authors their own."""
    rng = random.Random(8)
    pool = []
    for _ in range(20_000):
        text = json.dumps(_comment(rng, 0, "@author@") | {"id": "@id@"}).encode()
        pool.append(text.replace(b"@author@", b"user_%(author)d").replace(b"@id@", b"%(id)b"))
    options = zstandard.ZstdCompressionParameters.from_level(1, window_log=window_log)
    compressor = zstandard.ZstdCompressor(compression_params=options)
    with path.open("wb") as file, compressor.stream_writer(file) as stream:
        for start in range(0, lines, len(pool)):
            count = min(len(pool), lines - start)
            filled = [
                pool[n] % {b"id": b"e%07x" % (start + n), b"author": hash((start + n) // 12)}
                for n in range(count)
            ]
            stream.write(b"\n".join(filled) + b"\n")


def _comment(rng: random.Random, number: int, author: str) -> dict[str, object]:
    identifier = f"e{number:06x}"
    created = 1_546_300_800 + number * 2_000_000 // (number + 1_000_000)
    return {
        "all_awardings": [],
        "archived": True,
        "associated_award": None,
        "author": author,
        "author_created_utc": created - 10_000_000,
        "author_flair_background_color": None,
        "author_flair_css_class": None,
        "author_flair_richtext": [],
        "author_flair_text": None,
        "author_flair_type": "text",
        "author_fullname": f"t2_{number:x}",
        "author_premium": False,
        "body": " ".join(rng.choices(WORDS, k=min(400, int(rng.expovariate(1 / 35)) + 2))),
        "can_gild": True,
        "collapsed": False,
        "collapsed_reason": None,
        "controversiality": 0,
        "created_utc": created,
        "distinguished": None,
        "edited": False,
        "gilded": 0,
        "gildings": {"gid_1": 0, "gid_2": 0, "gid_3": 0},
        "id": identifier,
        "is_submitter": False,
        "link_id": f"t3_a{number // 40:05x}",
        "locked": False,
        "no_follow": True,
        "parent_id": f"t1_e{max(0, number - 3):06x}",
        "permalink": f"/r/community_{number % 997}/comments/a{number // 40:05x}/a/{identifier}/",
        "removal_reason": None,
        "retrieved_on": created + 3_000_000,
        "score": rng.randrange(-5, 90),
        "send_replies": True,
        "stickied": False,
        "subreddit": f"community_{number % 997}",
        "subreddit_id": f"t5_{number % 997:x}",
        "subreddit_name_prefixed": f"r/community_{number % 997}",
        "subreddit_type": "public",
        "total_awards_received": 0,
        "treatment_tags": [],
    }


def zstd_alone(path: Path) -> int:
    """Decompression and nothing else; the limit of every route. The command, where there is one."""
    if shutil.which("zstd"):
        subprocess.run(
            ["zstd", "--long=31", "-dcq", str(path)], stdout=subprocess.DEVNULL, check=True
        )
        return 0
    return uncompressed_bytes(path)


def uncompressed_bytes(path: Path) -> int:
    frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(256 * 1024):
            size += len(frame.decompress(chunk))
    return size


def stdlib_json(path: Path) -> int:
    """The customary script: 128 MB chunks, decode, split, json.loads of every line."""
    lines = 0
    with path.open("rb") as file:
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(file)
        rest = ""
        while chunk := reader.read(CHUNK):
            pieces = (rest + chunk.decode("utf-8", "ignore")).split("\n")
            for line in pieces[:-1]:
                record = json.loads(line)
                lines += bool(record["author"] and record["body"])
            rest = pieces[-1]
    return lines


def parse_only(path: Path) -> int:
    """Ours without columns and files: every line checked, its needed fields found."""
    decoder, usable = BlockDecoder("comments"), 0
    for block in prefetch(read_blocks(path)):
        rows, _ = decoder.rows(block)
        usable += 0 if rows is None else int(rows.usable.sum())
        block.release()
    return usable


def to_parquet(path: Path) -> int:
    """Ours, complete: pseudonyms, filters, Parquet with bodies."""
    with tempfile.TemporaryDirectory(dir=path.parent) as out:
        report = dump_to_parquet(dump_file(path), Path(out), Pseudonymizer(bytes(32)))
    return report.kept


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _peak_mib() -> float:
    """The peak of this process alone: `ru_maxrss` would begin with that of the process before it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _measured(route: Callable[[Path], int], path: Path, results: multiprocessing.Queue) -> None:
    wall, cpu = time.perf_counter(), _cpu_seconds()
    route(path)
    results.put((time.perf_counter() - wall, _cpu_seconds() - cpu, _peak_mib()))


def measure(route: Callable[[Path], int], path: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MiB of a route, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_measured, args=(route, path, results))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{route.__name__} on {path} ended with exit code {process.exitcode}")
    return results.get()


def run(lines: int, factor: int, file: Path | None) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        long, small = file or folder / "RC_2019-01.zst", folder / "RC_2019-02.zst"
        generate(small, 20_000, 23)
        measure(to_parquet, small)  # compiles what is not compiled yet
        if file is None:
            generate(long, lines, 31)
        generate(small, lines, 23)
        megabytes = uncompressed_bytes(long) / 1e6
        seconds, cpu, peak = {}, {}, {}
        for route in (zstd_alone, stdlib_json, parse_only, to_parquet):
            name = route.__name__
            seconds[name], cpu[name], peak[name] = measure(route, long)
        peaks = {"long": peak["to_parquet"], "small": measure(to_parquet, small)[2]}
        if factor:
            for name, window_log in (("long", 31), ("small", 23)):
                path = folder / "RC_2019-03.zst"
                generate_long(path, lines * factor, window_log)
                peaks[f"{name}_{factor}x"] = measure(to_parquet, path)[2]
    results = [
        _result(
            "parquet_vs_stdlib_parse", seconds["stdlib_json"] / seconds["to_parquet"], "x", ">= 4"
        ),
        _result("parse_vs_zstd", seconds["zstd_alone"] / seconds["parse_only"], "x", None),
    ]
    for name, value in peaks.items():
        limit = "<= 2662" if name.startswith("long") else "<= 600"
        results.append(_result(f"peak_rss_mib_{name}", value, "MiB", limit))
    results += [
        # Both cores busy with nothing else would give twice this ratio.
        _result("parquet_vs_stdlib_cpu", cpu["stdlib_json"] / cpu["to_parquet"], "x", None),
        _result("json_mb", megabytes, "MB", None),
    ]
    for name in seconds:
        results.append(_result(f"{name}_mb_per_s", megabytes / seconds[name], "MB/s", None))
        results.append(_result(f"{name}_cpu_s", cpu[name], "s", None))
    machine = {
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    return {"benchmark": "ingest", "machine": machine, "results": results}


def _result(name: str, value: float, unit: str, target: str | None) -> dict[str, object]:
    return {"name": name, "value": round(value, 3), "unit": unit, "target": target}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=900_000, help="lines of the generated dump")
    parser.add_argument(
        "--factor", type=int, default=10, help="how much longer the dumps for memory are; 0: none"
    )
    parser.add_argument("--file", type=Path, help="a monthly comment dump to measure instead")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    document = run(arguments.lines, arguments.factor, arguments.file)
    if arguments.json:
        print(json.dumps(document, indent=1))
        return
    for row in document["results"]:  # type: ignore[attr-defined]
        print(f"{row['name']:28} {row['value']:>12,} {row['unit']:6} {row['target'] or ''}")


if __name__ == "__main__":
    main()
