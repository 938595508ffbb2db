"""What Ray costs: one CPU-bound stage by local threads and on a cluster of two machines, two cores each way.

An item runs a kernel of whole-graph inference over random edges, again and again. Seconds are of the second
of two calls, as a cluster's processes live on. The target is one for stages over half a minute: raise --rounds
until local_s is that long. Prints one JSON document with --json.
"""

from __future__ import annotations

import argparse
import json
import os
import time

from sample_home import machine

from zipp_dagster.fanout import FanOut, Local
from zipp_dagster.platform.config import ComputeSettings
from zipp_dagster.progress import Progress


def burn(item: tuple[int, int], progress: Progress) -> float:
    """The kernel, `rounds` times: it releases the lock, reads nothing and writes nothing."""
    import numpy as np

    from zipp_dagster.encoder import kernels

    seed, rounds = item
    rng = np.random.default_rng(seed)
    users, degree, width, communities = 4_000, 12, 64, 2_000
    indptr = np.arange(0, users * degree + 1, degree, dtype=np.int64)
    subreddit = rng.integers(0, communities, users * degree).astype(np.uint16)
    text = rng.standard_normal((communities, width)).astype(np.float32)
    weight, bias = (rng.standard_normal(width).astype(np.float32) for _ in range(2))
    out, total = np.empty((users, width), dtype=np.float32), 0.0
    for number in range(rounds):
        kernels.mean_inputs(indptr, subreddit, text, weight, bias, out)
        total += float(out[number % users, 0])
        progress(number + 1, rounds)
    return total


def measure(engine: FanOut, items: int, rounds: int) -> tuple[float, list[float]]:
    """Wall seconds of a call after one that warms processes and kernels; and its results."""
    work = [(seed, rounds) for seed in range(items)]
    engine.map_reporting(burn, [(seed, 2) for seed in range(4)])
    began = time.perf_counter()
    found = engine.map_reporting(burn, work)
    return time.perf_counter() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=300, help="work of an item")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    # As on macOS and Windows: all processes of the cluster find one another on loopback.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    from zipp_dagster.platform.ray_engine import connect

    local, expected = measure(Local(2), arguments.items, arguments.rounds)
    each = {
        "node_ip_address": "127.0.0.1",
        "num_cpus": 1,
        "object_store_memory": 100 * 2**20,
        "include_dashboard": False,
    }
    cluster = Cluster(initialize_head=True, head_node_args=each)
    cluster.add_node(**each)
    try:
        began = time.perf_counter()
        engine = connect(ComputeSettings(engine="ray", address=cluster.address))
        connected = time.perf_counter() - began
        spread, found = measure(engine, arguments.items, arguments.rounds)
    finally:
        ray.shutdown()
        cluster.shutdown()
    if found != expected:
        raise SystemExit("the engines disagree")
    results = [
        {"name": "local_s", "value": local, "unit": "s", "target": None},
        {"name": "ray_s", "value": spread, "unit": "s", "target": None},
        {"name": "overhead", "value": spread / local - 1, "unit": "share", "target": 0.2},
        {"name": "connect_s", "value": connected, "unit": "s", "target": None},
    ]
    report = {"benchmark": "ray_overhead", "machine": machine(), "results": results}
    if arguments.json:
        print(json.dumps(report))
        return
    for result in results:
        print(f"{result['name']:12} {result['value']:8.2f} {result['unit']}")


if __name__ == "__main__":
    main()
