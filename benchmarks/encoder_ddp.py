"""Two processes that train together against one, at the same number of samples: validation hits@50.

A planted world; the same epochs and batch for both, so the same steps; several seeds. `gap` is the mean
difference, `noise` the standard deviation of one process over the seeds. Prints one JSON document with --json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from sample_home import machine

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.together import TrainingTask, train_alone, train_together
from zipp_dagster.graph.csr import InteractionGraph, build_csr
from zipp_dagster.graph.features import build_subreddit_features
from zipp_dagster.graph.planted import planted_world
from zipp_dagster.graph.split import temporal_split


def make_world(root: Path, users: int, communities: int) -> TrainingTask:
    """Graph, split and features of a planted world; settings and directories of runs come later."""
    folders = [root / name for name in ("graph", "split", "features")]
    for folder in folders:
        folder.mkdir()
    world = planted_world(
        users=users, subreddits=communities, mean_communities=8, topics=12, seed=3
    )
    pq.write_table(world.interactions, root / "interactions.parquet")
    build_csr([root / "interactions.parquet"], folders[0], duckdb.connect())
    graph = InteractionGraph.open(folders[0])
    temporal_split(graph, folders[1], seed=0, unseen_share=0.2)
    build_subreddit_features(graph, world.subreddit_names, world.subreddit_text, folders[2])
    return TrainingTask(*folders, None, EncoderSettings(), root, root)


def run(
    world: TrainingTask, root: Path, seed: int, epochs: int, processes: int
) -> tuple[float, float]:
    """Best validation hits@50, and wall seconds."""
    name = f"{seed}-{processes}"
    out, scratch = root / f"model-{name}", root / f"scratch-{name}"
    out.mkdir()
    scratch.mkdir()
    settings = EncoderSettings(
        hidden=32, heads=4, users_per_batch=128, epochs=epochs, patience=epochs, seed=seed,
        device="cpu", threads=1, validation_k=50,
    )  # fmt: skip
    task = TrainingTask(
        world.graph_dir, world.split_dir, world.features_dir, None, settings, out, scratch
    )
    began = time.perf_counter()
    report = train_alone(task) if processes == 1 else train_together(task, processes)
    return report.validation_hits, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--communities", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    hits: dict[int, list[float]] = {1: [], 2: []}
    seconds: dict[int, float] = {1: 0.0, 2: 0.0}
    with tempfile.TemporaryDirectory(prefix="zipp-ddp-") as name:
        root = Path(name)
        world = make_world(root, arguments.users, arguments.communities)
        for seed in range(arguments.seeds):
            for processes in hits:
                found, took = run(world, root, seed, arguments.epochs, processes)
                hits[processes].append(found)
                seconds[processes] += took
    gap = statistics.mean(hits[2]) - statistics.mean(hits[1])
    noise = statistics.stdev(hits[1]) if arguments.seeds > 1 else float("nan")
    results = [
        {"name": "one_hits50", "value": statistics.mean(hits[1]), "unit": "share", "target": None},
        {"name": "two_hits50", "value": statistics.mean(hits[2]), "unit": "share", "target": None},
        {"name": "gap", "value": gap, "unit": "share", "target": None},
        {"name": "noise", "value": noise, "unit": "share", "target": None},
        {"name": "one_s", "value": seconds[1], "unit": "s", "target": None},
        {"name": "two_s", "value": seconds[2], "unit": "s", "target": None},
    ]
    report = {"benchmark": "encoder_ddp", "machine": machine(), "results": results}
    if arguments.json:
        print(json.dumps(report))
        return
    for result in results:
        print(f"{result['name']:12} {result['value']:8.4f} {result['unit']}")


if __name__ == "__main__":
    main()
