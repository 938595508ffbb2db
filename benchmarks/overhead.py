"""What the platform adds to the work itself: per materialization, per run, and when nothing changed.

    python benchmarks/overhead.py [--json] [--full]

The work is the bare stage functions, run in one process without anything around them
(`bare_run.py`). `zipp run` of the same, as a person starts it, takes longer: start and imports,
plan, Dagster's events, MLflow, contracts and checks, hashes, publication. A run of the first assets
and a run of all tell the part that every run pays (`fixed_seconds`) from the part of each
materialization. The sample profile at small sizes, where the noise of the work itself hides nothing;
`--full` takes the sample profile as it is (some minutes twice).

Each figure is there twice: in wall seconds, and as `cpu_…` in CPU-seconds of all processes, which
compare between machines that do other work beside.
"""

from __future__ import annotations

import argparse
import json
import resource
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
FIRST = "+stg_comments"
"""Assets of each kind, Python and SQL, with contracts: their run pays all that every run pays."""


@dataclass(frozen=True)
class Timing:
    """One `zipp run`, or the bare functions: seconds, and how many artifacts were made."""

    wall: float
    cpu: float
    made: int


def timed_run(lake: Path, *arguments: str) -> Timing:
    """`zipp run` in a process of its own.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    before = set(manifests(lake))
    _, wall, cpu = _process(
        "-c", "from zipp_dagster.cli import main; main()", "run", "--json", *arguments
    )
    return Timing(wall, cpu, len([path for path in manifests(lake) if path not in before]))


def timed_functions(*selection: str) -> Timing:
    """The bare stage functions in a process of their own, from its start to its end."""
    done, wall, cpu = _process(str(Path(__file__).with_name("bare_run.py")), *selection)
    return Timing(wall, cpu, int(json.loads(done)["made"]))


def _process(*arguments: str) -> tuple[str, float, float]:
    """What a process said, its wall seconds, and the CPU-seconds of it and of all that it started."""
    started, used = time.perf_counter(), _cpu_of_children()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr[-3000:]}")
    return done.stdout, time.perf_counter() - started, _cpu_of_children() - used


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(sizes: dict[str, object]) -> list[tuple[str, float, str, float | None]]:
    """The results: name, value, unit, target."""
    runs, functions = {}, {}
    for name, arguments in (("first", (FIRST,)), ("all", ())):
        with sample_home(sizes) as platform:
            functions[name] = timed_functions(*arguments)
        with sample_home(sizes) as platform:
            lake = platform.lake.root
            options = ("--select", *arguments) if arguments else ()
            runs[name] = timed_run(lake, *options)
            again = timed_run(lake, *options)
        print(
            f"{name}: {runs[name].wall:.1f} s ({runs[name].cpu:.1f} of CPU) for {runs[name].made} "
            f"materializations; the functions alone {functions[name].wall:.1f} s "
            f"({functions[name].cpu:.1f}) for {functions[name].made}",
            file=sys.stderr,
        )
    return [
        *_overhead("", {n: (runs[n].wall, functions[n].wall, runs[n].made) for n in runs}),
        *_overhead("cpu_", {n: (runs[n].cpu, functions[n].cpu, runs[n].made) for n in runs}),
        ("second_run_seconds", again.wall, "s", 30.0),
        ("second_run_made", again.made, "materializations", 0.0),
        ("materializations", runs["all"].made, "materializations", None),
        ("functions_seconds", functions["all"].wall, "s", None),
        ("run_seconds", runs["all"].wall, "s", None),
        ("cpu_functions_seconds", functions["all"].cpu, "s", None),
        ("cpu_run_seconds", runs["all"].cpu, "s", None),
    ]


def _overhead(
    prefix: str, taken: dict[str, tuple[float, float, int]]
) -> list[tuple[str, float, str, float | None]]:
    """The line through both runs' overheads; `taken` is the run, the functions, how many were made."""
    over = {name: run - alone for name, (run, alone, _) in taken.items()}
    made = {name: count for name, (_, _, count) in taken.items()}
    slope = (over["all"] - over["first"]) / (made["all"] - made["first"])
    return [
        (f"{prefix}seconds_per_materialization", slope, "s", 1.0),
        (f"{prefix}fixed_seconds", over["first"] - made["first"] * slope, "s", 25.0),
    ]


def main() -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--full", action="store_true", help="The sample profile as it is.")
    options = parser.parse_args()
    results = measure({} if options.full else TINY)
    if not options.json:
        for name, value, unit, target in results:
            wanted = "" if target is None else f"  (target {target})"
            print(f"{name:>28} {value:.4g} {unit}{wanted}")
        return
    rows = [{"name": n, "value": v, "unit": u, "target": t} for n, v, u, t in results]
    print(json.dumps({"benchmark": "overhead", "machine": machine(), "results": rows}))


if __name__ == "__main__":
    main()
