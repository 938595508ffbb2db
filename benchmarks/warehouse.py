"""From events to interactions: seconds, memory and growth of the project's own SQL models.

Generates events in the schema of the comments and submissions tables (users and communities
heavy-tailed, texts cheap), and runs every model between them and `interactions` through the
platform's warehouse, each size in a process of its own. Extrapolates to the 682 million events of
the paper. Asserts nothing.

`--folder F --generate-only` prepares the events ahead; `--folder F` then uses them.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from costs import peak_rss
from reddit_events import CHEAP, COMMUNITIES, EVENTS_A_USER, Year, months
from sql_chain import SqlChain

from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.settings import load_settings

PAPER_EVENTS = 682_000_000
REPORTED_EVENTS = 200_000_000
MONTHS = months(12)
MONTHLY = ("stg_accounts", "stg_comments", "stg_submissions", "int_activity_monthly")
MONTHLY += ("int_image_posts",)
WHOLE = ("int_bots", "benchmark_holdout", "image_posts", "int_newest_event", "interactions")


def generate(folder: Path, events: int) -> None:
    """Writes a year of events, a Parquet file a month and kind; finished folders are kept."""
    done = folder / "done"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    year = Year(events, max(1, events // EVENTS_A_USER), COMMUNITIES, MONTHS, CHEAP)
    for month in MONTHS:
        year.write(month, folder)
    done.touch()


class Chain:
    """The models between events and interactions over one folder of events."""

    def __init__(self, events: Path, out: Path, memory_limit: str, threads: int) -> None:
        settings = load_settings("sample")
        warehouse = Warehouse(memory_limit, threads, out / "spill", settings.warehouse.row_bytes)
        self.chain = SqlChain([events, out], warehouse, settings)
        self.name = events.name
        self.costs: dict[str, dict[str, float]] = {}
        self.rows: dict[str, int] = {}
        self.ranges: dict[str, int] = {}

    def run(self) -> None:
        """All models in the order of their inputs."""
        for month in MONTHS:
            for name in MONTHLY:
                self._materialise(name, month)
            self._report(month)
        for name in WHOLE:
            self._materialise(name, None)
            self._report(name)

    def _report(self, what: str) -> None:
        """Progress for the one who waits: some minutes at the larger sizes."""
        totals = (sum(c[key] for c in self.costs.values()) for key in ("seconds", "cpu_s"))
        seconds, cpu = totals
        print(f"{self.name}: {what} ({seconds:.0f} s, {cpu:.0f} CPU-s)", file=sys.stderr)

    def _materialise(self, name: str, month: str | None) -> None:
        with self._timed(name):
            ran = self.chain.run(name, month)
        self.rows[name] = self.rows.get(name, 0) + ran.rows
        self.ranges[name] = max(self.ranges.get(name, 0), ran.ranges)

    @contextmanager
    def _timed(self, name: str) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        cost = self.costs.setdefault(name, {"seconds": 0.0, "cpu_s": 0.0})
        cost["seconds"] += time.perf_counter() - wall
        cost["cpu_s"] += time.process_time() - cpu


def _measured(
    events: Path, memory_limit: str, threads: int, results: multiprocessing.Queue
) -> None:
    with tempfile.TemporaryDirectory(dir=events.parent) as out:
        chain = Chain(events, Path(out), memory_limit, threads)
        before = time.process_time()
        chain.run()
        cpu = time.process_time() - before
    results.put((chain.costs, chain.rows, chain.ranges, cpu, peak_rss() / 2**30))


def measure(events: Path, memory_limit: str, threads: int) -> dict[str, Any]:
    """Costs of every model, rows, ranges, and the peak of memory, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_measured, args=(events, memory_limit, threads, results))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"the models on {events} ended with exit code {process.exitcode}")
    costs, rows, ranges, cpu, peak = results.get()
    seconds = sum(cost["seconds"] for cost in costs.values())
    return {
        "costs": costs,
        "rows": rows,
        "ranges": ranges,
        "cpu_s": cpu,
        "peak": peak,
        "seconds": seconds,
    }


def run(sizes: list[int], folder: Path, memory_limit: str, threads: int) -> dict[str, Any]:
    """Measures every size, and draws the line to the paper's."""
    found = {}
    for size in sizes:
        generate(folder / str(size), size)
        found[size] = measure(folder / str(size), memory_limit, threads)
    small, large = min(sizes), max(sizes)
    growth = 1.0
    if small < large:
        growth = math.log(found[large]["seconds"] / found[small]["seconds"]) / math.log(
            large / small
        )

    def projected(events: int) -> float:
        """Along the measured growth, and never below a straight line."""
        return found[large]["seconds"] * (events / large) ** max(1.0, growth)

    peak = max(entry["peak"] for entry in found.values())
    reported = found.get(REPORTED_EVENTS)
    results = [
        _result(
            "seconds_200m",
            reported["seconds"] if reported else projected(REPORTED_EVENTS),
            "s" if reported else "s, extrapolated",
            None,
        ),
        _result("peak_rss_gib", peak, "GiB", "<= 8"),
        _result("projected_minutes_682m", projected(PAPER_EVENTS) / 60, "min", "<= 15"),
        _result("growth_exponent", growth, "", "about 1"),
    ]
    for size, entry in found.items():
        results.append(_result(f"seconds_{size}", entry["seconds"], "s", None))
        results.append(_result(f"cpu_s_{size}", entry["cpu_s"], "s", None))
        results.append(_result(f"peak_rss_gib_{size}", entry["peak"], "GiB", None))
        results.append(_result(f"interactions_{size}", entry["rows"]["interactions"], "rows", None))
        for name, cost in entry["costs"].items():
            results.append(_result(f"{name}_seconds_{size}", cost["seconds"], "s", None))
            results.append(_result(f"{name}_cpu_s_{size}", cost["cpu_s"], "s", None))
            results.append(_result(f"{name}_ranges_{size}", entry["ranges"][name], "", None))
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "memory_limit": memory_limit,
        "threads": threads,
    }
    return {"benchmark": "warehouse", "machine": machine, "results": results}


def _result(name: str, value: float, unit: str, target: str | None) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "target": target}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--events",
        type=int,
        default=2_000_000,
        help="measures this many events and a quarter of it",
    )
    parser.add_argument("--sizes", type=int, nargs="+", help="measures these numbers of events")
    parser.add_argument("--folder", type=Path, help="where generated events are, and stay")
    parser.add_argument("--generate-only", action="store_true", help="generate events and end")
    parser.add_argument(
        "--memory-limit", default="6GB", help="DuckDB's; the process may have 8 GiB"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    sizes = arguments.sizes or [max(1, arguments.events // 4), arguments.events]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if arguments.generate_only:
            for size in sizes:
                generate(folder / str(size), size)
            return
        document = run(sizes, folder, arguments.memory_limit, arguments.threads)
    if arguments.json:
        print(json.dumps(document, indent=1))
        return
    for row in document["results"]:
        print(f"{row['name']:40} {row['value']:>14,} {row['unit']:8} {row['target'] or ''}")


if __name__ == "__main__":
    main()
