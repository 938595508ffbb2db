"""The same tuning for every encoder: variants × popularity weights, judged on validation links.

What lives here: the grid, the search and its record. What does not: what the variants are (ranks of
an SVD in `rivals`, settings of a training in `ablation`), and the scores on test links
(`evaluation`).

An encoder's final score is own / σ + w · ln(1 + degree), with σ the deviation of its own scores over
random users, and w from the grid. Whatever an encoder has learned of popularity itself, it may
thus add, so that none loses for a wrong share of it. A run is one point of the grid; all encoders of a
comparison have the same number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int

from zipp_dagster.encoder.evaluation import LinkTask, Scorer
from zipp_dagster.graph.sampling import edges_of
from zipp_dagster.graph.split import VALIDATION, LinkSplit
from zipp_dagster.graph.store import InteractionGraph

POPULARITY_WEIGHTS = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
# Enough to tell the grid's points apart.
TUNING_LINKS = 5_000
SCALE_USERS = 500
SCORES_AT_ONCE = 8_000_000

TuningRun = dict[str, float | str]


@dataclass(frozen=True)
class Mixed:
    """An encoder's own scores with a share of popularity."""

    own: Scorer
    popularity: Float32[np.ndarray, " subreddits"]
    scale: float
    weight: float

    @property
    def name(self) -> str:
        """That of the encoder."""
        return self.own.name

    def scores(self, users: Int[np.ndarray, " users"]) -> Float32[np.ndarray, "users subreddits"]:
        """See the module's formula."""
        return (self.own.scores(users) / self.scale + self.weight * self.popularity).astype(
            np.float32
        )


@dataclass(frozen=True)
class Tuned:
    """What a search chose: the scorer, which variant it is, and all runs."""

    scorer: Mixed
    variant: int
    description: str
    runs: list[TuningRun]

    def refitted(self, own: Scorer, graph: InteractionGraph, split: LinkSplit) -> Mixed:
        """The chosen weight on the same variant, fitted again on another split's messages."""
        return replace(mixed(own, graph, split), weight=self.scorer.weight)


def mixed(own: Scorer, graph: InteractionGraph, split: LinkSplit) -> Mixed:
    """An encoder with weight 0 of popularity."""
    sample = np.sort(np.random.default_rng(0).permutation(graph.users)[:SCALE_USERS])
    scale = float(own.scores(sample).std()) or 1.0
    return Mixed(own, log_degree(graph, split), scale, 0.0)


def tune(
    variants: Iterable[tuple[str, Scorer]],
    graph: InteractionGraph,
    split: LinkSplit,
    task: LinkTask | None = None,
) -> Tuned:
    """Try every variant with every popularity weight; the best mean reciprocal rank wins.

    Args:
        variants: a description and a scorer each.
        graph: what they score.
        split: its messages count popularity; its validation links of seen users are ranked.
        task: other links to rank; by default a sample of those.
    """
    task = task or validation_links(graph, split)
    runs: list[TuningRun] = []
    best: tuple[float, Tuned] | None = None
    for number, (description, own) in enumerate(variants):
        base = mixed(own, graph, split)
        for weight, value in zip(POPULARITY_WEIGHTS, _reciprocal_ranks(base, task)):
            runs.append(
                {
                    "encoder": own.name,
                    "variant": description,
                    "popularity_weight": weight,
                    "validation_mrr": value,
                }
            )
            if best is None or value > best[0]:
                text = f"{description}, popularity weight {weight:g}"
                best = (value, Tuned(replace(base, weight=weight), number, text, runs))
        # Everybody's vectors: while the next variant is made, only the best are kept beside it.
        del own, base
    if best is None:
        raise ValueError("There is no variant to tune.")
    return best[1]


def validation_links(graph: InteractionGraph, split: LinkSplit) -> LinkTask:
    """A fixed sample of the validation links of seen users."""
    task = LinkTask.of(graph, split, VALIDATION)
    links = np.flatnonzero(task.seen)
    if len(links) == 0:
        raise ValueError("No training user has a validation link: nothing can be tuned.")
    return task.subset(np.sort(np.random.default_rng(0).permutation(links)[:TUNING_LINKS]))


def log_degree(graph: InteractionGraph, split: LinkSplit) -> Float32[np.ndarray, " subreddits"]:
    """ln(1 + message degree)."""
    return np.log1p(graph.subreddit_counts(split.messages)).astype(np.float32)


def _reciprocal_ranks(base: Mixed, task: LinkTask) -> list[float]:
    """Mean reciprocal rank with each popularity weight; the own scores are computed once."""
    sums = np.zeros(len(POPULARITY_WEIGHTS))
    for block in task.blocks(max(16, SCORES_AT_ONCE // task.graph.subreddits)):
        user, target = task.user[block], task.target[block]
        scores = base.scores(user)
        owner, edges = edges_of(task.graph, user)
        known = task.known[edges]
        rows = np.arange(len(user))
        own = scores[rows, target]
        scores[owner[known], task.graph.subreddit[edges[known]]] = -np.inf
        for place, weight in enumerate(POPULARITY_WEIGHTS):
            boost = np.float32(weight) * base.popularity
            total = scores + boost
            mine = (own + boost[target])[:, None]
            total[rows, target] = -np.inf
            rank = 1.0 + (total > mine).sum(axis=1) + 0.5 * (total == mine).sum(axis=1)
            sums[place] += (1.0 / rank).sum()
    return (sums / len(task.user)).tolist()
