"""Training speed and quality of the encoders on a planted graph.

    python benchmarks/encoder_training.py [--users N] [--subreddits N] [--epochs N] [--json]

The planted world (`zipp_dagster.graph.planted`) is synthetic: the figures say how well planted
interests are found, nothing about real communities.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from zipp_dagster.encoder import rivals
from zipp_dagster.encoder.comparison import model_scorer
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.evaluation import LinkTask, evaluate
from zipp_dagster.encoder.model_io import load_model
from zipp_dagster.encoder.training import train
from zipp_dagster.graph.csr import InteractionGraph, build_csr
from zipp_dagster.graph.features import build_subreddit_features, load_subreddit_text
from zipp_dagster.graph.planted import planted_world
from zipp_dagster.graph.split import LinkSplit, temporal_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--subreddits", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    settings = EncoderSettings(
        epochs=options.epochs, users_per_batch=512, seed=options.seed, threads=options.threads
    )
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for part in ("graph", "split", "features", "model", "scratch"):
            (root / part).mkdir()
        world = planted_world(options.users, options.subreddits, seed=options.seed)
        pq.write_table(world.interactions, root / "interactions.parquet")
        build_csr([root / "interactions.parquet"], root / "graph", duckdb.connect())
        graph = InteractionGraph.open(root / "graph")
        temporal_split(graph, root / "split", seed=options.seed, unseen_share=0.2)
        split = LinkSplit.open(root / "split", graph)
        build_subreddit_features(
            graph, world.subreddit_names, world.subreddit_text, root / "features"
        )
        report = train(
            root / "graph", root / "split", root / "features", world.image_embeddings,
            settings, root / "model", root / "scratch",
        )  # fmt: skip
        text = load_subreddit_text(root / "features", graph)
        task = LinkTask.of(graph, split)
        scorer = model_scorer("gatv2", load_model(root / "model"), graph, split, text, settings)
        found = evaluate(scorer, task)
        floor = evaluate(rivals.popularity(graph, split), task)
        column = np.searchsorted(world.subreddit_names, graph.subreddit_names)
        order = np.searchsorted(np.sort(world.user_ids), graph.user_ids)
        truth = (world.affinity + world.log_popularity)[np.argsort(world.user_ids)][order]
        oracle = evaluate(_Truth(truth[:, column]), task)
    seen, unseen = found.mean("hits50", found.seen), found.mean("hits50", ~found.seen)
    epochs = [row["epoch"] for row in report.history]
    hits = [row["validation_hits10"] for row in report.history]
    reached = next(e for e, h in zip(epochs, hits) if h >= 0.95 * max(hits))
    results = [
        ("target_edges_per_cpu_s", report.target_edges_per_cpu_second, "edges/s", 25_000),
        ("unseen_vs_seen_hits50", unseen / seen, "ratio", 0.97),
        ("vs_popularity_hits50", found.mean("hits50") / floor.mean("hits50"), "ratio", 2),
        ("hits50", found.mean("hits50"), "share", None),
        ("popularity_hits50", floor.mean("hits50"), "share", None),
        ("oracle_hits50", oracle.mean("hits50"), "share", None),
        ("train_s", report.seconds, "s", None),
        ("epochs_to_95_percent", reached, "epochs", None),
        ("peak_rss_gib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "GiB", None),
    ]
    document = {
        "benchmark": "encoder_training",
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
            "users": graph.users,
            "edges": graph.edges,
            "subreddits": graph.subreddits,
        },
        "results": [
            {"name": name, "value": value, "unit": unit, "target": target}
            for name, value, unit, target in results
        ],
    }
    if options.json:
        print(json.dumps(document))
    else:
        for name, value, unit, _ in results:
            print(f"{name:>26} {value:.5g} {unit}")


class _Truth:
    """Scores by the planted affinity: what no encoder can beat on average."""

    name = "oracle"

    def __init__(self, truth: np.ndarray) -> None:
        self.truth = truth

    def scores(self, users: np.ndarray) -> np.ndarray:
        return self.truth[users].astype(np.float32)


if __name__ == "__main__":
    main()
