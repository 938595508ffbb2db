"""Whole-graph GATv2 inference on a heavy-tailed synthetic graph, beside PyG on a part of it.

    python benchmarks/encoder_inference.py [--users N] [--edges N] [--graph DIR] [--json]

Random weights and random edges: only time, memory and agreement are measured. With --graph the
graph is kept there, and a later run (or one after an interruption) goes on with it; it takes some
14 bytes an edge, the results as much again for the time of the run, below --directory.

`wall_s` and `cpu_s` are embeddings and rankings together. `vs_pyg` is PyG's CPU-seconds over ours
on the first users' subgraph, one thread each. `growth` is the CPU time an edge of the whole graph
over that of a graph of a 22nd of its size: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from costs import PeakMemory

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.embedding_files import embed_all
from zipp_dagster.encoder.inference import GraphInference
from zipp_dagster.encoder.model_io import ModelConfig, load_model, save_model
from zipp_dagster.encoder.models import build, embed_with_torch
from zipp_dagster.encoder.ranking_check import check_rankings
from zipp_dagster.encoder.rankings import write_rankings
from zipp_dagster.fanout import Local
from zipp_dagster.graph.sampling import messages_of
from zipp_dagster.graph.store import InteractionGraph
from zipp_dagster.graph.synthetic import write_heavy_tailed_graph

TEXT_DIM = 64
# The paper's scale: 22 million users, where growth is measured from a million on.
SMALL_SHARE = 22
# Below this the fixed costs would be what is compared.
LEAST_SMALL_EDGES = 1_000_000


@dataclass(frozen=True)
class Measured:
    """One run over a graph: seconds of embeddings and rankings, and peak memory."""

    embed_wall: float
    embed_cpu: float
    rank_wall: float
    rank_cpu: float
    anonymous: int
    total: int
    ranking_faults: int


def write_model(directory: Path, subreddits: int, settings: EncoderSettings) -> None:
    config = ModelConfig(
        "gatv2", subreddits, TEXT_DIM, settings.hidden, settings.heads, settings.layers, None,
        "off: benchmark", {},
    )  # fmt: skip
    torch.manual_seed(0)
    tensors = {name: value.numpy() for name, value in build(config).state_dict().items()}
    save_model(directory, config, tensors, [f"s{i:06d}" for i in range(subreddits)], [])


def write_features(directory: Path, subreddits: int) -> np.ndarray:
    text = np.random.default_rng(1).normal(size=(subreddits, TEXT_DIM))
    text = (text / np.linalg.norm(text, axis=1, keepdims=True)).astype(np.float32)
    np.save(directory / "subreddit_text.npy", text)
    meta = {"subreddits": subreddits, "dimensions": TEXT_DIM}
    (directory / "features.json").write_text(json.dumps(meta))
    return text


def compare_with_pyg(
    graph: InteractionGraph, model_dir: Path, text: np.ndarray, users: int
) -> tuple[float, float]:
    """CPU-seconds of PyG over ours on the first users' subgraph, one thread; largest difference."""
    model = load_model(model_dir)
    last = int(graph.indptr[users])
    # `keep` of the first users only: `messages_of` reads no further.
    messages = messages_of(graph, np.arange(users), np.ones(last, dtype=bool))
    began = time.process_time()
    expected, _ = embed_with_torch(model, messages, text)
    pyg = time.process_time() - began
    small = InteractionGraph(
        graph.directory, graph.user_ids[:users], graph.indptr[: users + 1],
        graph.subreddit[:last], graph.features[:last], graph.counts[:last], graph.first_seen[:last],
        graph.subreddit_names, np.bincount(messages.subreddit, minlength=graph.subreddits),
    )  # fmt: skip
    found = np.zeros_like(expected)

    def sink(block, embeddings, alpha):  # type: ignore[no-untyped-def]
        found[block.start : block.stop] = embeddings

    began = time.process_time()
    GraphInference(model, small, text, lanes=1).run(sink)
    return pyg / (time.process_time() - began), float(np.abs(found - expected).max())


def measure(root: Path, graph_dir: Path, settings: EncoderSettings) -> Measured:
    """Embed and rank everybody in a graph, below a temporary directory of `root`."""
    with tempfile.TemporaryDirectory(dir=root) as name:
        out, scratch = Path(name) / "out", Path(name) / "scratch"
        out.mkdir()
        scratch.mkdir()
        with PeakMemory() as peak:
            wall, cpu = time.perf_counter(), time.process_time()
            embed_all(root / "model", graph_dir, root / "features", out, scratch, settings)
            middle_wall, middle_cpu = time.perf_counter(), time.process_time()
            write_rankings(
                graph_dir, out, out / "rankings.parquet",
                kept=settings.rankings_kept, fan_out=Local(settings.inference_lanes),
            )  # fmt: skip
            end_wall, end_cpu = time.perf_counter(), time.process_time()
        faults = check_rankings(out / "rankings.parquet", InteractionGraph.open(graph_dir))
    return Measured(
        middle_wall - wall, middle_cpu - cpu, end_wall - middle_wall, end_cpu - middle_cpu,
        peak.anonymous, peak.total, sum(faults.values()),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_100_000)
    parser.add_argument("--subreddits", type=int, help="40,000 from a million users on, else 4,000")
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--pyg-users", type=int, default=100_000)
    parser.add_argument("--graph", type=Path, help="where the graph is kept, or made")
    parser.add_argument("--directory", type=Path, help="for temporary files")
    parser.add_argument("--only-graph", action="store_true", help="make the graph, measure nothing")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    subreddits = options.subreddits or (40_000 if options.users >= 1_000_000 else 4_000)
    settings = EncoderSettings(inference_lanes=options.lanes)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        root = Path(name)
        graph_dir = options.graph or root / "graph"
        graph_dir.mkdir(parents=True, exist_ok=True)
        write_heavy_tailed_graph(graph_dir, options.users, options.edges, subreddits)
        if options.only_graph:
            return
        for part in ("features", "model"):
            (root / part).mkdir()
        write_model(root / "model", subreddits, settings)
        text = write_features(root / "features", subreddits)
        graph = InteractionGraph.open(graph_dir)
        sample = min(options.pyg_users, graph.users)
        # Twice: compilation is then over before anything is timed.
        for _ in range(2):
            ratio, error = compare_with_pyg(graph, root / "model", text, sample)
        small_edges = options.edges // SMALL_SHARE
        small = None
        if small_edges >= LEAST_SMALL_EDGES:
            (root / "small").mkdir()
            write_heavy_tailed_graph(
                root / "small", options.users // SMALL_SHARE, small_edges, subreddits, seed=1
            )
            small = measure(root, root / "small", settings)
        whole = measure(root, graph_dir, settings)
    cpu, wall = whole.embed_cpu + whole.rank_cpu, whole.embed_wall + whole.rank_wall
    goal = 360 if options.users >= 22_000_000 else None
    results = [
        row("wall_s", wall, "s", goal),
        row("cpu_s", cpu, "s", goal and 2 * goal),
        row("embeddings_wall_s", whole.embed_wall, "s"),
        row("embeddings_cpu_s", whole.embed_cpu, "s"),
        row("rankings_wall_s", whole.rank_wall, "s"),
        row("rankings_cpu_s", whole.rank_cpu, "s"),
        row("edges_per_cpu_s", graph.edges / whole.embed_cpu, "edges/s"),
        row("anonymous_gib", whole.anonymous / 2**30, "GiB", 4),
        row("peak_rss_gib", whole.total / 2**30, "GiB"),
        row("vs_pyg", ratio, "ratio", 6),
        row("max_abs_error", error, "", 1e-5),
        row("ranking_faults", whole.ranking_faults, "users", 0),
    ]
    if small:
        per_edge = (small.embed_cpu + small.rank_cpu) / small_edges
        results.append(row("growth", cpu / graph.edges / per_edge, "ratio", 1.25))
    document = {
        "benchmark": "encoder_inference",
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
            "users": graph.users,
            "edges": graph.edges,
            "subreddits": graph.subreddits,
            "largest_degree": int(graph.degrees.max()),
        },
        "results": results,
    }
    if options.json:
        print(json.dumps(document))
    else:
        for result in results:
            print(f"{result['name']:>20} {result['value']:.6g} {result['unit']}")


def row(name: str, value: float, unit: str, target: float | None = None) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "target": target}


if __name__ == "__main__":
    main()
