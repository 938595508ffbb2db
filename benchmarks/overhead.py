"""What the platform adds to the work itself: per materialization, per run, and when nothing changed.

    python benchmarks/overhead.py [--json]

Runs `zipp run` on a tiny sample world, as a person would: a process of its own each time. What a
manifest calls seconds is the work (body, checks, hashing, publishing); the rest of a run's wall
time is overhead. A run of one asset and a run of all others tell the part that every run pays
(start, imports, plan: `fixed_seconds`) from the part of each materialization.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sample_home import machine, manifests, sample_home

TINY = {
    "sampleworld.people": 300,
    "sampleworld.communities": 60,
    "sampleworld.months": 2,
    "zipbench.users": 10,
    # Enough for the encoder's checks: with the default batch a tiny world is one batch an epoch.
    "encoder.hidden": 16,
    "encoder.epochs": 40,
    "encoder.users_per_batch": 32,
    "encoder.bootstrap": 100,
}
FIRST = "sample_world"


@dataclass(frozen=True)
class Timing:
    """One `zipp run`: its wall time, what it made, and the seconds that their manifests record."""

    wall: float
    made: int
    work: float

    @property
    def overhead(self) -> float:
        """Wall time that no manifest accounts for."""
        return self.wall - self.work


def timed_run(lake: Path, *arguments: str) -> Timing:
    """`zipp run` in a process of its own.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    before = set(manifests(lake))
    command = [sys.executable, "-c", "from zipp_dagster.cli import main; main()"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "run", "--json", *arguments], capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"zipp run {' '.join(arguments)} failed: {done.stderr[-3000:]}")
    new = [path for path in manifests(lake) if path not in before]
    work = sum(json.loads(path.read_text())["seconds"] for path in new)
    return Timing(wall, len(new), work)


def measure() -> list[tuple[str, float, str, float | None]]:
    """The results: name, value, unit, target."""
    with sample_home(TINY) as platform:
        lake = platform.lake.root
        runs = []
        for name, arguments in (("one asset", ("--select", FIRST)), ("all", ()), ("again", ())):
            runs.append(timed_run(lake, *arguments))
            last = runs[-1]
            print(
                f"{name}: {last.wall:.1f} s, {last.made} made, {last.work:.1f} s of work",
                file=sys.stderr,
            )
    one, rest, again = runs
    slope = (rest.overhead - one.overhead) / (rest.made - one.made)
    return [
        ("seconds_per_materialization", slope, "s", None),
        ("fixed_seconds", one.overhead - one.made * slope, "s", None),
        ("second_run_seconds", again.wall, "s", 30),
        ("second_run_made", again.made, "materializations", None),
        ("materializations", one.made + rest.made, "materializations", None),
        ("work_seconds", one.work + rest.work, "s", None),
        ("run_seconds", one.wall + rest.wall, "s", None),
    ]


def main() -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = measure()
    if not options.json:
        for name, value, unit, target in results:
            wanted = "" if target is None else f"  (target {target})"
            print(f"{name:>28} {value:.4g} {unit}{wanted}")
        return
    rows = [{"name": n, "value": v, "unit": u, "target": t} for n, v, u, t in results]
    print(json.dumps({"benchmark": "overhead", "machine": machine(), "results": rows}))


if __name__ == "__main__":
    main()
