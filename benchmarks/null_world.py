"""Does the benchmark find nothing where there is nothing? And something where there is something?

    python benchmarks/null_world.py [--seeds 20] [--control-seeds 3] [--people 800] [--users 100]
                                    [--state FILE] [--json]

Each seed is a small sample world of its own, taken through the whole platform up to the
leaderboard, once for each seed with a taste coupling of 0, then for the control's seeds with 1. At 0
people's text and communities say nothing about their tastes: the interval of ZIPP 0-shot with the own
persona minus a mismatched persona (clip_i, paired, over users) should cover zero for about 95 % of
the seeds. At 1, the positive control, it should lie above zero: a benchmark that finds nothing
anywhere would pass the first test too.

With `--state`, finished seeds are kept as JSON lines, and the same command goes on with the rest.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from sample_home import Errors, machine, sample_home

METHOD, BASELINE, METRIC = "zipp_0shot", "mismatched", "clip_i"
# The share of seeds whose interval must cover zero (or, coupled, exclude it): 18 of 20.
SHARE = 0.9


def small_world(seed: int, coupling: float, options: argparse.Namespace) -> dict[str, object]:
    """Settings of one seed: small, but every stage has enough to work with."""
    return {
        "sampleworld.seed": seed,
        "sampleworld.taste_coupling": coupling,
        "sampleworld.people": options.people,
        "sampleworld.communities": 60,
        "sampleworld.months": 1,
        # A fixed key: the choice of benchmark users depends on the pseudonyms.
        "reddit.pseudonym_key": f"null-world-key-{seed:04d}",
        "zipbench.users": options.users,
        "zipbench.seed": seed,
        "persona.seed": seed,
        "imaging.seed": seed,
        "encoder.seed": seed,
        "encoder.hidden": 16,
        "encoder.epochs": 40,
        # With the default, a world this small is one batch an epoch.
        "encoder.users_per_batch": 32,
        "encoder.bootstrap": 100,
        # Only two methods are compared: the others would be drawn for nothing.
        "methods.run": json.dumps(["no_persona", BASELINE, METHOD]),
    }


def run_seed(seed: int, coupling: float, options: argparse.Namespace) -> dict[str, Any]:
    """Take one world to its leaderboard; the row of the comparison.

    Raises:
        RuntimeError: an asset failed, or the leaderboard lacks the row; the message has the reasons.
    """
    from assets.catalogue import catalogue
    from zipp_dagster.platform.plan import select
    from zipp_dagster.runner import run

    started, errors = time.perf_counter(), Errors()
    settings = small_world(seed, coupling, options)
    with sample_home(settings) as platform:
        result = run(platform, select(catalogue(), "+leaderboard"), observer=errors)
        if not result.succeeded:
            raise RuntimeError(
                f"seed {seed}: {', '.join(result.failed)} not made: {'; '.join(errors.messages)}"
            )
        rows = parquet.read_table(platform.lake.current("leaderboard").files()).to_pylist()
    wanted = (METHOD, METRIC, BASELINE)
    row = next((r for r in rows if (r["method"], r["metric"], r["baseline"]) == wanted), None)
    if row is None or row["low"] is None:
        raise RuntimeError(f"seed {seed}: the leaderboard has no interval for {' '.join(wanted)}")
    return {
        "seed": seed,
        "coupling": coupling,
        **settings_key(options),
        **{name: row[name] for name in ("value", "low", "high", "cases", "users")},
        "seconds": round(time.perf_counter() - started, 1),
    }


def settings_key(options: argparse.Namespace) -> dict[str, Any]:
    """What a finished seed must have in common with this run to be used again."""
    return {"people": options.people, "asked_users": options.users}


def finished_seeds(options: argparse.Namespace) -> dict[tuple[float, int], dict[str, Any]]:
    """The (coupling, seed) rows of the state file that were run with the same sizes."""
    if options.state is None or not options.state.exists():
        return {}
    key = settings_key(options)
    rows = [json.loads(line) for line in options.state.read_text().splitlines() if line.strip()]
    return {
        (r["coupling"], r["seed"]): r
        for r in rows
        if all(r[name] == value for name, value in key.items())
    }


def summary(rows: list[dict[str, Any]], coupling: float) -> list[dict[str, Any]]:
    """The results of one coupling; the control's names begin with `coupled_`."""
    if not rows:
        return []
    low, high = (np.array([row[name] for row in rows]) for name in ("low", "high"))
    value = np.array([row["value"] for row in rows])
    covers = int(((low <= 0) & (high >= 0)).sum())
    needed = math.ceil(SHARE * len(rows))
    results = [
        ("seeds", len(rows), "seeds", None),
        ("covers_zero", covers, "seeds", needed if coupling == 0 else None),
        ("above_zero", int((low > 0).sum()), "seeds", needed if coupling == 1 else None),
        ("below_zero", int((high < 0).sum()), "seeds", None),
        ("mean_difference", float(value.mean()), METRIC, None),
        ("mean_interval_width", float((high - low).mean()), METRIC, None),
        ("users_per_seed", float(np.mean([row["users"] for row in rows])), "users", None),
        ("cases_per_seed", float(np.mean([row["cases"] for row in rows])), "cases", None),
        ("seconds_per_seed", float(np.mean([row["seconds"] for row in rows])), "s", None),
    ]
    # Over the seeds, the mean difference itself has an interval; with one seed there is none.
    if len(rows) > 1:
        half = 1.96 * float(value.std(ddof=1)) / math.sqrt(len(rows))
        results.insert(5, ("mean_difference_half_interval", half, METRIC, None))
    start = "coupled_" if coupling else ""
    return [{"name": start + n, "value": v, "unit": u, "target": t} for n, v, u, t in results]


def main() -> None:
    """Run what is missing and print the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="null worlds")
    parser.add_argument("--control-seeds", type=int, default=3, help="fully coupled worlds")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--people", type=int, default=800)
    parser.add_argument("--users", type=int, default=100, help="benchmark users of a seed, at most")
    parser.add_argument("--state", type=Path, help="JSON lines of finished seeds; resumable")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    first = options.first_seed
    wanted = [(0.0, first + place) for place in range(options.seeds)]
    wanted += [(1.0, first + place) for place in range(options.control_seeds)]
    done = finished_seeds(options)
    for coupling, seed in wanted:
        if (coupling, seed) in done:
            continue
        row = run_seed(seed, coupling, options)
        done[coupling, seed] = row
        if options.state is not None:
            with options.state.open("a") as file:
                file.write(json.dumps(row) + "\n")
        ready = sum(key in done for key in wanted)
        interval = f"{row['value']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        print(
            f"{ready}/{len(wanted)} coupling {coupling:g} seed {seed}: {interval} {row['users']} users, "
            f"{row['seconds']} s; about {row['seconds'] * (len(wanted) - ready) / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
    results = []
    for coupling in (0.0, 1.0):
        results += summary([done[key] for key in wanted if key[0] == coupling], coupling)
    document = {
        "benchmark": "null_world",
        "machine": {**machine(), **settings_key(options)},
        "results": results,
    }
    if options.json:
        print(json.dumps(document))
        return
    for entry in document["results"]:
        wanted_text = "" if entry["target"] is None else f"  (target ≥ {entry['target']})"
        print(f"{entry['name']:>30} {entry['value']:.4g} {entry['unit']}{wanted_text}")


if __name__ == "__main__":
    main()
