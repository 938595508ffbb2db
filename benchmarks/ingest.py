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
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import zstandard
from comment_dumps import generate, generate_long

from zipp_dagster.reddit import Pseudonymizer, dump_file, dump_to_parquet
from zipp_dagster.reddit.blocks import BlockDecoder
from zipp_dagster.reddit.lines import MAX_WINDOW, read_blocks
from zipp_dagster.reddit.prefetch import prefetch

CHUNK = 128 * 1024 * 1024


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
    """The customary script, as published: 128 MB chunks, decode, split, json.loads of every line.

    Like the loop over one file in Watchful1/PushshiftDumps, with the time and the field that it reads;
    its chunks are read on where one ends within a character.
    """
    lines = 0
    for line, _ in _customary_lines(path):
        record = json.loads(line)
        created = datetime.fromtimestamp(int(record["created_utc"]), UTC)
        lines += record["subreddit"] != "" and created.year > 2004
    return lines


def _customary_lines(path: Path) -> Iterator[tuple[str, int]]:
    with path.open("rb") as file:
        rest = ""
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(file)
        while chunk := _customary_chunk(reader):
            lines = (rest + chunk).split("\n")
            for line in lines[:-1]:
                yield line, file.tell()
            rest = lines[-1]


def _customary_chunk(reader: zstandard.ZstdDecompressionReader, before: bytes = b"") -> str:
    chunk = before + reader.read(CHUNK)
    try:
        return chunk.decode()
    except UnicodeDecodeError:
        return _customary_chunk(reader, chunk)


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
