"""ZIPBench at the paper's size: 1,500 users and 40,000 images, from a generated world to the report.

    python benchmarks/zipbench_full.py --home DIR [--share 1.0] [--json]

Generates a sample world that is large enough, and runs the whole platform over it with `zipp run`, as
anybody would. `--share 0.05` does a twentieth: as many people, users and images less, and so an
upper bound of the whole (`projected_minutes`), because what is fixed is multiplied too. Without a
folder it does a fiftieth in a temporary one.

Killed, the same command goes on: finished assets are not made again, drawn images are not drawn
again. What each attempt took is kept in `DIR/attempts.json` and added up. Give an empty folder for a
fresh run. Asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as parquet
from sample_home import PREFIX, machine

USERS, IMAGES = 1_500, 40_000
PERSONAL_USERS = 20
DEVELOPMENT_USERS = 100
PEOPLE = 4_000
SMALL = 0.02
WANTED = (
    *("no_persona", "mismatched", "shuffled", "tailored_visions"),
    *("zipp_0shot", "zipp_1shot", "zipp_3shot", "zipp_5shot", "oracle"),
)
PERSONAL = ("fabric", "viper", "drum", "lora")
SAMPLE_EVERY_S = 1.0
ATTEMPTS = "attempts.json"
MINUTES, GIB = 90, 6


def methods() -> tuple[list[str], list[str]]:
    """Those of the wanted methods that can run here: drawn for everybody, and for some people."""
    from zipp_dagster.zipbench.methods.run import chosen_methods

    able = chosen_methods()[0]
    return [m for m in WANTED if m in able], [m for m in PERSONAL if m in able]


def environment(home: Path, share: float) -> dict[str, str]:
    """The settings of the run, as environment; the caller's own ZIPP_ variables are left out."""
    everybody, some = methods()
    users = max(20, round(USERS * share))
    values: dict[str, Any] = {
        "home": home,
        "sampleworld.people": max(60, round(PEOPLE * share)),
        "sampleworld.creators_share": 0.6,
        "sampleworld.image_posts_per_person": 10,
        "reddit.pseudonym_key": "zipbench-full-size-benchmark",
        "zipbench.users": users,
        "zipbench.development_users": max(2, round(DEVELOPMENT_USERS * share)),
        "zipbench.holdout_posts": max(2, round(IMAGES / USERS / len(everybody))),
        "methods.run": json.dumps([*everybody, *some]),
        "methods.personal_users": max(2, round(PERSONAL_USERS * share)),
        "methods.lora_steps": 150,
        "encoder.ablation_seeds": 1,
        "encoder.tuning_variants": 1,
        "warehouse.memory_limit": "1GB",
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "DAGSTER_"))}
    ours = {PREFIX + k.upper().replace(".", "__"): str(v) for k, v in values.items()}
    return inherited | ours


def read_attempts(home: Path) -> list[dict[str, float]]:
    """What earlier attempts took."""
    path = home / ATTEMPTS
    return json.loads(path.read_text()) if path.is_file() else []


def attempt(home: Path, variables: dict[str, str]) -> int:
    """One `zipp run`; what it takes is written down as it goes. Returns its exit status.

    Memory is the resident size of the process and everything below it, added up: pages that they
    share count more than once.
    """
    before = read_attempts(home)
    command = [sys.executable, "-m", "zipp_dagster.cli", "run"]
    # What the run says goes beside the document, not into it.
    process = psutil.Popen(command, env=variables, stdout=sys.stderr)
    started, peak, times = time.perf_counter(), 0, {}
    while True:
        for member in _tree(process):
            try:
                used = member.cpu_times()
                times[member.pid, member.create_time()] = used.user + used.system
            except psutil.Error:
                continue
        peak = max(peak, sum(_resident(member) for member in _tree(process)))
        taken = {
            "wall_s": time.perf_counter() - started,
            "cpu_s": sum(times.values()),
            "peak_rss_gib": peak / 2**30,
        }
        fresh = home / f"{ATTEMPTS}.new"
        fresh.write_text(json.dumps([*before, taken], indent=1))
        fresh.replace(home / ATTEMPTS)
        try:
            return int(process.wait(SAMPLE_EVERY_S))
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            continue


def _tree(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def summary(home: Path, share: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The results of the document, and the leaderboard's rows."""
    from zipp_dagster.platform.lake import Lake

    lake = Lake(home / "lake")
    images = lake.current("generated_images")
    scores = parquet.read_table(lake.current("benchmark_scores").files())
    board = parquet.read_table(lake.current("leaderboard").files()).to_pylist()
    attempts = read_attempts(home)
    wall, cpu = (sum(one[name] for one in attempts) for name in ("wall_s", "cpu_s"))
    found = images.manifest.metadata
    results = [
        ("attempts", len(attempts), "runs", None),
        ("wall_minutes", wall / 60, "min", MINUTES if share == 1 else None),
        ("cpu_s", cpu, "s", None),
        ("peak_rss_gib", max(one["peak_rss_gib"] for one in attempts), "GiB", GIB),
        ("users", len(set(scores["user_id"].to_pylist())), "users", round(USERS * share)),
        ("images", scores.num_rows, "images", round(IMAGES * share)),
        ("images_for_some_people", found["personal_requests"], "images", None),
        ("drawing_seconds", images.manifest.seconds, "s", None),
    ]
    if share < 1:
        results.append(("projected_minutes", wall / share / 60, "min", MINUTES))
    rows = [{"name": n, "value": v, "unit": u, "target": t} for n, v, u, t in results]
    keys = ("method", "metric", "baseline", "value", "low", "high", "p_holm", "cases", "users")
    shown = [
        {key: row[key] for key in keys}
        for row in board
        if row["split"] == "all" and row["metric"] in ("clip_i", "lift", "fit_seconds")
    ]
    return rows, shown


def main() -> None:
    """Run what is missing and print the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, help="folder of the run; the same goes on")
    parser.add_argument("--share", type=float, help="of the paper's size; 1 with a folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zipp-benchmark-") as scratch:
        home = (options.home or Path(scratch)).absolute()
        run(home, options.share or (1.0 if options.home else SMALL), options.json)


def run(home: Path, share: float, as_json: bool) -> None:
    """One attempt in a folder, and the document once everything is made."""
    home.mkdir(parents=True, exist_ok=True)
    status = attempt(home, environment(home, share))
    if status:
        sys.exit(f"zipp run ended with {status}; the same command goes on from there")
    results, board = summary(home, share)
    if as_json:
        about = {**machine(), "share": share}
        document = {"benchmark": "zipbench_full", "machine": about, "results": results}
        print(json.dumps(document | {"leaderboard": board}))
        return
    for entry in results:
        wanted = "" if entry["target"] is None else f"  (target {entry['target']})"
        print(f"{entry['name']:>24} {entry['value']:.4g} {entry['unit']}{wanted}")
    for row in board:
        against = f" minus {row['baseline']}" if row["baseline"] else ""
        interval = "" if row["low"] is None else f" [{row['low']:.4f}, {row['high']:.4f}]"
        print(
            f"{row['metric']:>12} {row['method'] + against:<40} {row['value']:.4f}{interval}"
            f"  {row['cases']} cases, {row['users']} users"
        )


if __name__ == "__main__":
    main()
