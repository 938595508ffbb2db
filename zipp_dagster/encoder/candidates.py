"""Per-user test scores of a trained encoder: what promotion compares on one split.

What lives here: one number a user and metric. What does not: the decision (`zipbench.promotion`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipp_dagster.encoder import rivals
from zipp_dagster.encoder.comparison import model_scorer
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.evaluated import evaluated_links
from zipp_dagster.encoder.evaluation import LinkResults, Scorer, evaluate
from zipp_dagster.encoder.model_io import load_model
from zipp_dagster.graph.features import load_subreddit_text
from zipp_dagster.graph.split import LinkSplit
from zipp_dagster.graph.store import InteractionGraph


@dataclass(frozen=True)
class UserScores:
    """Metric → user id → score, and in words how many of all users those are."""

    by_metric: dict[str, dict[int, float]]
    evaluated: str


def user_scores(
    model_dir: Path | None,
    graph_dir: Path,
    split_dir: Path,
    features_dir: Path,
    metrics: Sequence[str],
    settings: EncoderSettings,
) -> UserScores:
    """Mean test-link score of each evaluated user for some metrics; popularity without a model.

    Raises:
        ModelError: the model is damaged, or does not fit these features.
    """
    graph = InteractionGraph.open(graph_dir)
    split = LinkSplit.open(split_dir, graph)
    scorer: Scorer
    if model_dir is None:
        scorer = rivals.popularity(graph, split)
    else:
        text = load_subreddit_text(features_dir, graph)
        scorer = model_scorer("model", load_model(model_dir), graph, split, text, settings)
    task, evaluated = evaluated_links(graph, split, settings)
    results = evaluate(scorer, task, seed=settings.seed)
    ids = np.asarray(graph.user_ids)
    return UserScores({metric: _by_user(results, metric, ids) for metric in metrics}, evaluated)


def _by_user(results: LinkResults, metric: str, ids: np.ndarray) -> dict[int, float]:
    users, position = np.unique(results.user, return_inverse=True)
    sums = np.bincount(position, weights=results.values[metric])
    counts = np.bincount(position)
    return {int(ids[u]): float(s / c) for u, s, c in zip(users, sums, counts)}
