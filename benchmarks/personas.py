"""Evidence and lexical personas at two sizes: users a second, memory, and what 22 M users would take.

    python benchmarks/personas.py [--users N N] [--personas N] [--json]

Synthetic users with the paper's activity (30 comments each, heavy-tailed, in months of dump order),
as Parquet. Every size runs in a process of its own, so that its peak memory is its own. Snippets are
cleaned, scored and counted once; a second selection with another ranking and budget reads the counts.
Personas are written by two processes, their start included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sample_home import machine
from sentences import sentences

PAPER_USERS = 22_000_000
COMMENTS, COMMUNITIES, MONTHS = 30, 2_000, 3


def write_world(folder: Path, users: int, seed: int = 0) -> None:
    """Comments by month, community_rankings and subreddits, as the lake would hold them."""
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.integers(0, 2**64 - 1, users, dtype=np.uint64))
    names = np.array([f"community{i:04d}" for i in range(COMMUNITIES)])
    texts, weight = sentences()
    counts = 5 + rng.negative_binomial(0.6, 0.6 / (0.6 + COMMENTS - 5), users)
    homes = (COMMUNITIES * rng.random((users, 6)) ** 2).astype(np.int64)
    start = np.datetime64("2020-01-01", "us")
    for month in range(MONTHS):
        mine = rng.binomial(counts, 1 / MONTHS) if month < MONTHS - 1 else counts // MONTHS
        row = np.repeat(np.arange(users), mine)
        row = row[rng.permutation(len(row))]
        total = len(row)
        first, second = rng.choice(len(texts), size=(2, total), p=weight)
        number = rng.integers(10**6, size=total)
        body = pa.array(
            [f"{texts[a]} (take {n}). {texts[b]}." for a, b, n in zip(first, second, number)]
        )
        table = pa.table(
            {
                "id": pa.array([f"m{month}c{i}" for i in range(total)]),
                "user_id": pa.array(ids[row], pa.uint64()),
                "subreddit": names[homes[row, rng.integers(6, size=total)]],
                "link_id": pa.array([f"t3_{n}" for n in number]),
                "body": body,
                "score": pa.array(rng.geometric(0.2, total) - 1, pa.int64()),
                "created_at": start + (rng.integers(31 * 86_400, size=total) * 10**6),
            }
        )
        pq.write_table(table, folder / f"comments-{month}.parquet", compression="zstd")
    owner = np.repeat(np.arange(users), 6)
    rankings = pa.table(
        {
            "user_id": pa.array(ids[owner], pa.uint64()),
            "subreddit": names[homes.ravel()],
            "attention": rng.random(len(owner)),
            "dot": rng.normal(size=len(owner)),
            "tfidf": rng.random(len(owner)),
            "count": rng.integers(1, 30, len(owner)),
        }
    )
    unique = rankings.group_by(["user_id", "subreddit"], use_threads=False).aggregate(
        [(name, "max") for name in ("attention", "dot", "tfidf", "count")]
    )
    unique = unique.rename_columns([n.removesuffix("_max") for n in unique.column_names])
    pq.write_table(
        unique.sort_by([("user_id", "ascending"), ("subreddit", "ascending")]),
        folder / "rankings.parquet", compression="zstd", row_group_size=100_000,
    )  # fmt: skip
    pq.write_table(
        pa.table(
            {
                "subreddit": names,
                "sensitive": np.zeros(len(names), bool),
                "over_18_share": np.zeros(len(names)),
            }
        ),
        folder / "subreddits.parquet",
    )


def measure(users: int, personas: int) -> dict[str, float]:
    """Figures of one size, in this process."""
    import duckdb

    from zipp_dagster.fanout import Local, given, loaded
    from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
    from zipp_dagster.persona.evidence import EvidenceInputs, collect_evidence
    from zipp_dagster.persona.loading import load_writer, need_of
    from zipp_dagster.persona.personas import write_personas
    from zipp_dagster.persona.snippets import SnippetInputs, write_snippets

    with tempfile.TemporaryDirectory(prefix="zipp-personas-") as name:
        folder = Path(name)
        # In a child: what making the world takes is not what is measured.
        subprocess.run(
            [sys.executable, __file__, "--make", str(folder), "--users", str(users)], check=True
        )
        connection = duckdb.connect(
            ":memory:",
            config={"memory_limit": "2GB", "threads": 2, "temp_directory": str(folder / "spill")},
        )
        subreddits = [folder / "subreddits.parquet"]
        clock = Clock()
        snippets = write_snippets(
            given(connection),
            SnippetInputs(sorted(folder.glob("comments-*.parquet")), subreddits),
            SnippetSettings(),
            folder / "snippets",
        )
        first = clock.lap()
        inputs = EvidenceInputs(snippets.files, [folder / "rankings.parquet"], subreddits)
        report = collect_evidence(
            given(connection), inputs, PersonaSettings(), SnippetSettings(), folder / "evidence"
        )
        second = clock.lap()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        figures = {
            "users": report.users,
            "snippets": report.snippets,
            "snippets_wall_s": first[0],
            "snippets_cpu_s": first[1],
            "evidence_wall_s": second[0],
            "evidence_cpu_s": second[1],
            "peak_rss_gib": peak,
        }
        if personas:
            some = inputs.snippets[:1]
            low = (
                pq.read_table(list(some), columns=["user_id"])["user_id"]
                .unique()
                .to_pylist()[:personas]
            )
            part = collect_evidence(
                given(connection),
                EvidenceInputs(some, inputs.rankings, subreddits),
                PersonaSettings(), SnippetSettings(), folder / "part", users=low,
            )  # fmt: skip
            clock.lap()
            settings = PersonaSettings()
            built = write_personas(
                part.files, partial(loaded, load_writer, settings, folder, [], []), settings,
                folder / "personas", fan_out=Local(2), need=need_of(settings.language_model),
            )  # fmt: skip
            third = clock.lap()
            figures |= {
                "personas": built.users,
                "personas_wall_s": third[0],
                "personas_cpu_s": third[1],
                "personas_quarantined": built.quarantined,
            }
    return figures


class Clock:
    """Wall and CPU seconds since the last lap, of this process and those that it started and ended."""

    def __init__(self) -> None:
        self._last = (time.perf_counter(), _cpu_seconds())

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap."""
        now = (time.perf_counter(), _cpu_seconds())
        wall, cpu = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        return wall, cpu


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def run(sizes: list[int], personas: int) -> dict[str, object]:
    found = []
    for i, users in enumerate(sizes):
        last = i == len(sizes) - 1
        command = [sys.executable, __file__, "--measure", str(users)]
        command += ["--personas", str(personas if last else 0)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found.append(json.loads(output.splitlines()[-1]))
    small, large = found[0], found[-1]
    both_wall = large["snippets_wall_s"] + large["evidence_wall_s"]
    both_cpu = large["snippets_cpu_s"] + large["evidence_cpu_s"]
    users = large["users"]
    rows: list[tuple[str, float, str, float | None]] = [
        ("evidence_users_per_s", users / both_wall, "users/s", 2000),
        ("evidence_users_per_cpu_s", users / both_cpu, "users/CPU-s", None),
        ("evidence_again_users_per_s", users / large["evidence_wall_s"], "users/s", None),
        ("evidence_again_users_per_cpu_s", users / large["evidence_cpu_s"], "users/CPU-s", None),
        ("evidence_cpu_hours_23m", PAPER_USERS * both_cpu / users / 3600, "CPU-h", None),
        ("evidence_hours_23m", PAPER_USERS * both_wall / users / 3600, "h", None),
        ("lexical_personas_per_s", large["personas"] / large["personas_wall_s"], "personas/s", 500),
        ("lexical_personas_per_cpu_s", large["personas"] / large["personas_cpu_s"], "personas/CPU-s",
         None),
        ("peak_rss_gib_small", small["peak_rss_gib"], f"GiB at {small['users']} users", None),
        ("peak_rss_gib_large", large["peak_rss_gib"], f"GiB at {users} users", None),
        ("peak_rss_ratio", large["peak_rss_gib"] / small["peak_rss_gib"],
         f"for {users / small['users']:.1f} times the users", 1.2),
    ]  # fmt: skip
    return {
        "benchmark": "personas",
        "machine": machine(),
        "results": [
            {"name": n, "value": round(float(v), 4), "unit": u, "target": t} for n, v, u, t in rows
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, nargs="+", default=[40_000, 160_000])
    parser.add_argument("--personas", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        write_world(options.make, options.users[0])
    elif options.measure:
        print(json.dumps(measure(options.measure, options.personas)))
    else:
        document = run(options.users, options.personas)
        if options.json:
            print(json.dumps(document, indent=1))
        else:
            for row in document["results"]:  # type: ignore[attr-defined]
                print(f"{row['name']:32} {row['value']:>12} {row['unit']}")


if __name__ == "__main__":
    main()
