"""Training speed and quality of all encoders on a planted graph, tuned alike.

    python benchmarks/encoder_training.py [--users N] [--unseen-users N] [--subreddits N] [--epochs N]
                                          [--json]

The planted world (`zipp_dagster.graph.planted`) is synthetic: the figures say how well planted
interests are found, nothing about real communities. Each encoder has the same number of tuning runs,
which are listed, as is every encoder's score; `best_encoder_…` names the winner, whoever it is.

Whether users that training never saw are served as well is asked in a larger world (`--unseen-users`),
where GATv2 alone is trained: with 2,000 unseen users the ratio of hits@50 moves by ±.03 from seed to
seed.

`taste_…` is how well a user's own communities are ranked by planted interest (AUC of the upper half
against the lower, mean over users): by attention, by dot product, by TF-IDF, and by mere counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from zipp_dagster.encoder.ablation import TRAINED, evaluate_model, run_ablation
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.evaluation import LinkTask, evaluate
from zipp_dagster.encoder.inference import GraphInference
from zipp_dagster.encoder.model_io import load_model
from zipp_dagster.encoder.training import train
from zipp_dagster.graph.csr import InteractionGraph, build_csr
from zipp_dagster.graph.features import build_subreddit_features, load_subreddit_text
from zipp_dagster.graph.planted import PlantedWorld, planted_world
from zipp_dagster.graph.split import LinkSplit, temporal_split

# Interests strong enough that knowing them is worth three times popularity.
STRENGTH = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--unseen-users", type=int, default=40_000, help="of the larger world")
    parser.add_argument("--subreddits", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", type=int, default=2, help="tuning variants of each encoder")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each encoder")
    parser.add_argument("--only-speed", action="store_true", help="no rivals")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    settings = EncoderSettings(
        epochs=options.epochs,
        users_per_batch=1_024,
        validation_every=1,
        validation_k=50,
        patience=5,
        seed=options.seed,
        threads=options.threads,
        tuning_variants=options.variants,
        ablation_seeds=options.seeds,
    )
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        world, graph, dirs = planted(root, options.users, options)
        images = world.image_embeddings
        began, curve = time.process_time(), []
        report = train(
            *dirs, images, settings, root / "model", root / "scratch",
            log=lambda row: curve.append((time.process_time() - began, row["validation_hits50"])),
        )  # fmt: skip
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        enough = 0.95 * max(hits for _, hits in curve)
        results = [
            row("target_edges_per_cpu_s", report.target_edges_per_cpu_second, "edges/s", 25_000),
            row(
                "target_edges_per_cpu_s_with_validation",
                report.target_edges_per_cpu_second_validated,
                "edges/s",
            ),
            row("cpu_s_to_95_percent", next(s for s, h in curve if h >= enough), "s"),
            row("train_cpu_s", curve[-1][0], "s"),
            row("train_epochs", report.epochs, "epochs"),
            row("peak_rss_gib", peak, "GiB"),
        ]
        document: dict[str, object] = {
            "benchmark": "encoder_training",
            "machine": {
                "cpus": len(os.sched_getaffinity(0)),
                "python": platform.python_version(),
                "load": os.getloadavg()[0],
                "users": graph.users,
                "edges": graph.edges,
                "subreddits": graph.subreddits,
            },
            "results": results,
        }
        if not options.only_speed:
            trained = {"gatv2_imagealign": root / "model"}
            ablation = run_ablation(*dirs, images, settings, root / "ablation", trained)
            truth = planted_truth(world, graph)
            split = LinkSplit.open(root / "split", graph)
            oracle = evaluate(_Truth(truth), LinkTask.of(graph, split))

            def of(encoder: str, metric: str, group: str = "all") -> float:
                return ablation.value(encoder, metric, group)

            floor = of("popularity", "hits50")
            best = ablation.winners()
            results += [
                row("unseen_vs_seen_hits50", unseen_vs_seen(settings, options), "ratio", 0.97),
                row("vs_popularity_hits50", of("gatv2", "hits50") / floor, "ratio", 2),
                row("oracle_hits50", oracle.mean("hits50"), "share"),
                *(row(f"best_encoder_{m}", of(best[m], m), best[m]) for m in ("hits50", "mrr")),
            ]
            for name in TRAINED:
                if name.endswith("_imagealign"):
                    plain = name.removesuffix("_imagealign")
                    for metric, group in (("hits50", "all"), ("image_auc", "unseen")):
                        gain = ablation.value(name, metric, group, baseline=plain)
                        results.append(row(f"image_align_{plain}_{metric}", gain, "difference"))
            for key, directory in (
                ("gatv2_imagealign", root / "model"),
                ("gatv2", root / "ablation" / "gatv2.0"),
            ):
                for kind, value in taste_ranking(directory, dirs, graph, truth).items():
                    results.append(row(f"taste_{key}_{kind}", value, "AUC"))
            document["encoders"] = encoder_rows(ablation.table.to_pylist())
            document["tuning"] = ablation.tuning
    if options.json:
        print(json.dumps(document))
        return
    for result in results:
        print(f"{result['name']:>34} {result['value']:.5g} {result['unit']}")
    for line in document.get("encoders", []):  # type: ignore[attr-defined]
        print(line)


def planted(
    root: Path, users: int, options: argparse.Namespace
) -> tuple[PlantedWorld, InteractionGraph, tuple[Path, Path, Path]]:
    """A planted world below `root`, ready to train on: with its graph, split and features."""
    for part in ("graph", "split", "features", "model", "scratch", "ablation"):
        (root / part).mkdir()
    world = planted_world(users, options.subreddits, strength=STRENGTH, seed=options.seed)
    pq.write_table(world.interactions, root / "interactions.parquet")
    build_csr([root / "interactions.parquet"], root / "graph", duckdb.connect())
    graph = InteractionGraph.open(root / "graph")
    temporal_split(graph, root / "split", seed=options.seed, unseen_share=0.2)
    build_subreddit_features(graph, world.subreddit_names, world.subreddit_text, root / "features")
    return world, graph, (root / "graph", root / "split", root / "features")


def unseen_vs_seen(settings: EncoderSettings, options: argparse.Namespace) -> float:
    """hits@50 of GATv2 for users that training never saw, relative to those that it saw."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _, _, dirs = planted(root, options.unseen_users, options)
        plain = settings.model_copy(update={"image_align_weight": 0.0})
        train(*dirs, None, plain, root / "model", root / "scratch")
        scored = evaluate_model(root / "model", *dirs, None, plain)
        seen, unseen = (scored.value("candidate", "hits50", group) for group in ("seen", "unseen"))
        return unseen / seen


def row(name: str, value: float, unit: str, target: float | None = None) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "target": target}


def encoder_rows(rows: list[dict]) -> list[dict[str, object]]:  # type: ignore[type-arg]
    """One row an encoder: link metrics over all links, image metrics over unseen users."""
    found: dict[str, dict[str, object]] = {}
    for each in rows:
        image = each["metric"].startswith("image_")
        if each["baseline"] is None and each["group"] == ("unseen" if image else "all"):
            entry = found.setdefault(each["encoder"], {"encoder": each["encoder"]})
            entry[each["metric"]] = round(each["value"], 4)
            if each["metric"] in ("hits50", "mrr", "image_auc"):
                entry[f"{each['metric']}_interval"] = [round(each[k], 4) for k in ("low", "high")]
    return list(found.values())


def planted_truth(world: PlantedWorld, graph: InteractionGraph) -> dict[str, np.ndarray]:
    """The planted affinity and popularity in the order of the graph."""
    column = np.searchsorted(world.subreddit_names, graph.subreddit_names)
    by_id = np.argsort(world.user_ids)
    user = by_id[np.searchsorted(world.user_ids[by_id], graph.user_ids)]
    return {
        "affinity": world.affinity[user][:, column],
        "log_popularity": world.log_popularity[column],
    }


def taste_ranking(
    model_dir: Path,
    dirs: tuple[Path, Path, Path],
    graph: InteractionGraph,
    truth: dict[str, np.ndarray],
) -> dict[str, float]:
    """AUC of rankings of users' own communities against planted interest."""
    attention = np.zeros(graph.edges, dtype=np.float32)
    text = load_subreddit_text(dirs[2], graph)
    inference = GraphInference(load_model(model_dir), graph, text)
    users = np.zeros((graph.users, inference.hidden), dtype=np.float32)

    def sink(block, embeddings, alpha):  # type: ignore[no-untyped-def]
        users[block.start : block.stop] = embeddings
        attention[block.edges] = alpha

    subreddits = inference.run(sink)
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    index = np.asarray(graph.subreddit).astype(np.int64)
    rarity = np.log((1.0 + graph.users) / (1.0 + graph.subreddit_degree))
    product = users[owner] * subreddits[index]
    scores = {
        "attention": attention,
        "dot": product.sum(axis=1),
        "dot_without_popularity": product[:, :-1].sum(axis=1),
        "tfidf": np.log1p(graph.counts) * rarity[index],
        "count": np.asarray(graph.counts, dtype=np.float64),
    }
    wanted = truth["affinity"][owner, index]
    return {name: _mean_auc(graph.indptr, wanted, value) for name, value in scores.items()}


def _mean_auc(indptr: np.ndarray, wanted: np.ndarray, scores: np.ndarray) -> float:
    found = []
    for low, high in pairwise(indptr):
        if high - low < 4:
            continue
        top = wanted[low:high] > np.median(wanted[low:high])
        if top.any() and not top.all():
            mine, other = scores[low:high][top][:, None], scores[low:high][~top][None, :]
            found.append(((mine > other) + 0.5 * (mine == other)).mean())
    return float(np.mean(found))


class _Truth:
    """Scores by what was planted: what no encoder can beat on average."""

    name = "oracle"

    def __init__(self, truth: dict[str, np.ndarray]) -> None:
        self.truth = truth["affinity"] + truth["log_popularity"]

    def scores(self, users: np.ndarray) -> np.ndarray:
        return self.truth[users].astype(np.float32)


if __name__ == "__main__":
    main()
