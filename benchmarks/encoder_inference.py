"""Whole-graph GATv2 inference on a heavy-tailed synthetic graph, beside PyG on a part of it.

    python benchmarks/encoder_inference.py [--users N] [--edges N] [--subreddits N] [--json]

Random weights and random edges: only time, memory and agreement are measured. Arrays are written
to --directory (default: a temporary one), about 14 bytes an edge.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.lib.format import open_memmap

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.inference import GraphInference, embed_all
from zipp_dagster.encoder.model_io import ModelConfig, load_model, save_model
from zipp_dagster.encoder.models import build, embed_with_torch
from zipp_dagster.encoder.rankings import write_rankings
from zipp_dagster.graph.sampling import messages_of
from zipp_dagster.graph.store import FEATURES, FORMAT, InteractionGraph

TEXT_DIM = 64
CHUNK = 200_000


def write_graph(directory: Path, users: int, edges: int, subreddits: int, seed: int = 0) -> None:
    """Negative-binomial user degrees, skewed communities, the layout of `graph.store`."""
    rng = np.random.default_rng(seed)
    mean = edges / users
    degree = 1 + rng.negative_binomial(0.8, 0.8 / (0.8 + max(mean - 1, 0.1)), users)
    degree = np.minimum(degree, subreddits // 4).astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    total = int(indptr[-1])
    index_type = np.uint16 if subreddits <= 2**16 else np.uint32
    arrays = {
        "subreddit": (index_type, (total,)),
        "features": (np.float16, (total, 4)),
        "counts": (np.uint32, (total,)),
        "first_seen": (np.uint32, (total,)),
    }
    files = {
        name: open_memmap(directory / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        for name, (dtype, shape) in arrays.items()
    }
    counted = np.zeros(subreddits, dtype=np.int64)
    for start in range(0, users, CHUNK):
        stop = min(start + CHUNK, users)
        low, high = int(indptr[start]), int(indptr[stop])
        # A power of a uniform number: few communities hold most edges. Repeats are kept: the
        # kernels do not mind, and drawing without them would take longer than the measurement.
        drawn = (subreddits * rng.random(high - low) ** 3).astype(np.int64)
        owner = np.repeat(np.arange(stop - start), degree[start:stop])
        drawn = drawn[np.lexsort((drawn, owner))]
        counted += np.bincount(drawn, minlength=subreddits)
        files["subreddit"][low:high] = drawn
        files["features"][low:high] = rng.normal(size=(high - low, 4))
        files["counts"][low:high] = rng.integers(1, 50, high - low)
    np.save(directory / "indptr.npy", indptr)
    np.save(directory / "user_ids.npy", np.arange(1, users + 1, dtype=np.uint64))
    names = pa.table(
        {
            "index": np.arange(subreddits),
            "subreddit": [f"s{i:06d}" for i in range(subreddits)],
            "degree": counted,
            "total_count": counted,
        }
    )
    pq.write_table(names, directory / "subreddits.parquet")
    meta = {"format": FORMAT, "users": users, "subreddits": subreddits, "edges": total}
    (directory / "graph.json").write_text(json.dumps(meta | {"features": FEATURES}))


def write_model(directory: Path, subreddits: int, settings: EncoderSettings) -> None:
    config = ModelConfig(
        "gatv2", subreddits, TEXT_DIM, settings.hidden, settings.heads, settings.layers, None,
        "off: benchmark", {},
    )  # fmt: skip
    torch.manual_seed(0)
    tensors = {name: value.numpy() for name, value in build(config).state_dict().items()}
    save_model(directory, config, tensors, [f"s{i:06d}" for i in range(subreddits)], [])


def compare_with_pyg(
    graph: InteractionGraph, model_dir: Path, text: np.ndarray, users: int
) -> tuple[float, float]:
    """CPU-seconds of PyG over ours on the first users' subgraph, one thread; largest difference."""
    model = load_model(model_dir)
    part = np.arange(users)
    keep = np.zeros(graph.edges, dtype=bool)
    keep[: graph.indptr[users]] = True
    messages = messages_of(graph, part, keep)
    began = time.process_time()
    expected, _ = embed_with_torch(model, messages, text)
    pyg = time.process_time() - began
    small = InteractionGraph(
        graph.directory, graph.user_ids[:users], graph.indptr[: users + 1],
        graph.subreddit[: graph.indptr[users]], graph.features[: graph.indptr[users]],
        graph.counts[: graph.indptr[users]], graph.first_seen[: graph.indptr[users]],
        graph.subreddit_names,
        np.bincount(messages.subreddit, minlength=graph.subreddits),
    )  # fmt: skip
    found = np.zeros_like(expected)

    def sink(block, embeddings, alpha):  # type: ignore[no-untyped-def]
        found[block.start : block.stop] = embeddings

    began = time.process_time()
    GraphInference(model, small, text, lanes=1).run(sink)
    return pyg / (time.process_time() - began), float(np.abs(found - expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_100_000)
    parser.add_argument("--subreddits", type=int, default=10_000)
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--pyg-users", type=int, default=100_000)
    parser.add_argument("--rankings", action="store_true", help="also write community_rankings")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = EncoderSettings(inference_lanes=options.lanes)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        root = Path(name)
        for part in ("graph", "features", "model", "out"):
            (root / part).mkdir()
        write_graph(root / "graph", options.users, options.edges, options.subreddits)
        write_model(root / "model", options.subreddits, settings)
        text = np.random.default_rng(1).normal(size=(options.subreddits, TEXT_DIM))
        text = (text / np.linalg.norm(text, axis=1, keepdims=True)).astype(np.float32)
        np.save(root / "features" / "subreddit_text.npy", text)
        meta = {"subreddits": options.subreddits, "dimensions": TEXT_DIM}
        (root / "features" / "features.json").write_text(json.dumps(meta))
        graph = InteractionGraph.open(root / "graph")
        # First, so that compilation is over before the whole graph is timed.
        ratio, error = compare_with_pyg(
            graph, root / "model", text, min(options.pyg_users, graph.users)
        )
        ratio, error = compare_with_pyg(
            graph, root / "model", text, min(options.pyg_users, graph.users)
        )
        process, peak = psutil.Process(), [0]

        def watch(done: int, total: int, note: str = "") -> None:
            memory = process.memory_info()
            peak[0] = max(peak[0], memory.rss - memory.shared)

        wall, cpu = time.perf_counter(), time.process_time()
        embed_all(root / "model", root / "graph", root / "features", root / "out", settings, watch)
        if options.rankings:
            write_rankings(root / "graph", root / "out", root / "r.parquet", progress=watch)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        document = {
            "benchmark": "encoder_inference",
            "machine": {
                "cpus": len(os.sched_getaffinity(0)),
                "python": platform.python_version(),
                "load": os.getloadavg()[0],
                "users": graph.users,
                "edges": graph.edges,
                "subreddits": graph.subreddits,
                "rankings": options.rankings,
            },
            "results": [
                row("wall_s", wall, "s", 360 if options.users >= 22_000_000 else None),
                row("cpu_s", cpu, "s", None),
                row("edges_per_cpu_s", graph.edges / cpu, "edges/s", None),
                row("anonymous_gib", peak[0] / 2**30, "GiB", 4),
                row("vs_pyg", ratio, "ratio", 6),
                row("max_abs_error", error, "", 1e-5),
            ],
        }
    if options.json:
        print(json.dumps(document))
    else:
        for result in document["results"]:
            print(f"{result['name']:>20} {result['value']:.6g} {result['unit']}")


def row(name: str, value: float, unit: str, target: float | None) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "target": target}


if __name__ == "__main__":
    main()
