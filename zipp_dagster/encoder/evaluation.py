"""How well links are found: ranks of held-out links, the same way for every encoder.

What lives here: the `Scorer` interface, the tasks, and per-link results. What does not: intervals
and the table over encoders (`ablation`), and images (`retrieval`).

A held-out link (u, t) is ranked among all communities that u is not known to have. Ties count half,
so that a constant score earns nothing.

- hits@k: share of links with rank ≤ k. MRR: mean of 1/rank.
- AUC, uniform: share of the other communities scored below t. It flatters popularity.
- AUC, matched: the same over the communities nearest to t in popularity: half of it over those
  just more popular, half over those just less popular, so that popularity alone scores 0.5.
  Links with no such neighbour on one side (the most popular community) have no matched score.
- posting accuracy: share of links scored above *one* popularity-matched negative, drawn from
  either side by a coin. The paper names the measure and does not define it; this is our reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from zipp_dagster.graph.sampling import edges_of
from zipp_dagster.graph.split import MESSAGE, TEST, VALIDATION, LinkSplit
from zipp_dagster.graph.store import InteractionGraph

METRICS = ("hits10", "hits50", "mrr", "auc_uniform", "auc_matched", "posting_accuracy")


class Scorer(Protocol):
    """Anything that scores communities for users: the one interface of encoders and rivals."""

    @property
    def name(self) -> str:
        """What the results are called."""
        ...

    def scores(self, users: Int[np.ndarray, " users"]) -> Float32[np.ndarray, "users subreddits"]:
        """Higher is likelier, for these users (graph indices) and all communities."""
        ...


@dataclass(frozen=True)
class DotScorer:
    """Scores by dot product of embeddings."""

    name: str
    users: Float[np.ndarray, "users dim"]
    subreddits: Float[np.ndarray, "subreddits dim"]

    def scores(self, users: Int[np.ndarray, " users"]) -> Float32[np.ndarray, "users subreddits"]:
        """z_u · z_s."""
        return (self.users[users] @ self.subreddits.T).astype(np.float32)


@dataclass(frozen=True)
class LinkTask:
    """Held-out links to rank, and the edges that are known while they are ranked."""

    graph: InteractionGraph
    user: Int[np.ndarray, " links"]
    target: Int[np.ndarray, " links"]
    known: Bool[np.ndarray, " edges"]
    seen: Bool[np.ndarray, " links"]
    popularity: Int[np.ndarray, " subreddits"]
    degree: Int[np.ndarray, " links"]

    @classmethod
    def of(cls, graph: InteractionGraph, split: LinkSplit, role: int = TEST) -> LinkTask:
        """The validation or test links of all users. For the test, validation links are known too.

        Popularity is counted over the message edges, as everything that encoders read.
        """
        roles = np.asarray(split.roles)
        known = roles == MESSAGE if role == VALIDATION else roles != TEST
        edges = np.flatnonzero(roles == role)
        user = np.searchsorted(graph.indptr, edges, side="right") - 1
        messages = roles == MESSAGE
        return cls(
            graph=graph,
            user=user,
            target=graph.subreddit[edges].astype(np.int64),
            known=known,
            seen=split.seen[user],
            popularity=graph.subreddit_counts(messages),
            degree=graph.user_counts(messages)[user],
        )

    def subset(self, links: Int[np.ndarray, " chosen"]) -> LinkTask:
        """The same task on some of its links."""
        return replace(
            self,
            user=self.user[links],
            target=self.target[links],
            seen=self.seen[links],
            degree=self.degree[links],
        )

    def blocks(self, links: int) -> Iterator[slice]:
        """Slices over the links."""
        for start in range(0, len(self.user), links):
            yield slice(start, min(start + links, len(self.user)))


@dataclass(frozen=True)
class LinkResults:
    """One value per held-out link and metric; averages are taken over any subset of links."""

    scorer: str
    user: Int[np.ndarray, " links"]
    seen: Bool[np.ndarray, " links"]
    degree: Int[np.ndarray, " links"]
    values: dict[str, Float[np.ndarray, " links"]]

    def mean(self, metric: str, where: Bool[np.ndarray, " links"] | None = None) -> float:
        """Mean of a metric; NaN where no link has it (an empty subset has no score)."""
        values = self.values[metric] if where is None else self.values[metric][where]
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else float("nan")

    def groups(self) -> dict[str, Bool[np.ndarray, " links"]]:
        """Subsets to report: all, seen and unseen users, and buckets of message degree."""
        degree = self.degree
        return {
            "all": np.ones(len(degree), dtype=bool),
            "seen": self.seen,
            "unseen": ~self.seen,
            "degree 1-2": degree <= 2,
            "degree 3-5": (degree >= 3) & (degree <= 5),
            "degree 6-15": (degree >= 6) & (degree <= 15),
            "degree 16+": degree >= 16,
        }


def evaluate(
    scorer: Scorer, task: LinkTask, *, seed: int = 0, block_links: int = 2_048
) -> LinkResults:
    """Rank every held-out link of a task. The drawn negatives are the same for every scorer.

    Raises:
        ValueError: no link to rank, or scores of a wrong shape or not finite.
    """
    if len(task.user) == 0:
        raise ValueError("No link is held out: no user has graph.min_communities communities.")
    order = np.argsort(-task.popularity, kind="stable")
    rng = np.random.default_rng([seed, 21])
    parts: list[dict[str, np.ndarray]] = []
    for block in task.blocks(block_links):
        user, target = task.user[block], task.target[block]
        scores = scorer.scores(user)
        if scores.shape != (len(user), task.graph.subreddits) or not np.isfinite(scores).all():
            raise ValueError(
                f"{scorer.name}: scores of shape {list(scores.shape)} (expected "
                f"{[len(user), task.graph.subreddits]}) or not finite."
            )
        owner, edges = edges_of(task.graph, user)
        is_known = task.known[edges]
        possible = np.ones(scores.shape, dtype=bool)
        possible[owner[is_known], task.graph.subreddit[edges[is_known]]] = False
        possible[np.arange(len(user)), target] = False
        parts.append(_link_values(scores, target, possible, order, rng))
    values = {name: np.concatenate([part[name] for part in parts]) for name in METRICS}
    return LinkResults(scorer.name, task.user, task.seen, task.degree, values)


def target_ranks(
    scores: Float32[np.ndarray, "links subreddits"],
    target: Int[np.ndarray, " links"],
    possible: Bool[np.ndarray, "links subreddits"],
) -> Float[np.ndarray, " links"]:
    """1 + possible communities above the target + half of those level with it.

    The target is no rival of itself, whether or not `possible` has it.
    """
    rows = np.arange(len(target))
    rivals = possible.copy()
    rivals[rows, target] = False
    own = scores[rows, target][:, None]
    above = ((scores > own) & rivals).sum(axis=1)
    level = ((scores == own) & rivals).sum(axis=1)
    return 1.0 + above + 0.5 * level


def _link_values(
    scores: np.ndarray,
    target: np.ndarray,
    possible: np.ndarray,
    popularity_order: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    links, subreddits = scores.shape
    rank = target_ranks(scores, target, possible)
    others = possible.sum(axis=1)
    rows = np.arange(links)

    place = np.empty(subreddits, dtype=np.int64)
    place[popularity_order] = np.arange(subreddits)
    # Neighbours in popularity: 2 % of the communities on each side, but 5 to 50 of them.
    steps = np.arange(1, int(np.clip(round(0.02 * subreddits), 5, 50)) + 1)
    own = scores[rows, target][:, None]
    sides = []
    for direction in (-1, 1):
        window = place[target][:, None] + direction * steps
        inside = (window >= 0) & (window < subreddits)
        matched = popularity_order[np.clip(window, 0, subreddits - 1)]
        valid = inside & possible[rows[:, None], matched]
        rival = scores[rows[:, None], matched]
        wins = ((own > rival) + 0.5 * (own == rival)) * valid
        drawn = np.argmax(np.where(valid, rng.random(valid.shape), -1.0), axis=1)
        sides.append((valid.sum(axis=1), wins.sum(axis=1), wins[rows, drawn]))
    (more, more_wins, more_drawn), (less, less_wins, less_drawn) = sides
    coin = rng.random(links) < 0.5
    # Without neighbours on both sides there is no matched score: NaN, never a zero.
    both = (more > 0) & (less > 0)
    matched_wins = 0.5 * (more_wins / np.maximum(more, 1) + less_wins / np.maximum(less, 1))
    nothing = np.nan
    return {
        "hits10": (rank <= 10).astype(np.float64),
        "hits50": (rank <= 50).astype(np.float64),
        "mrr": 1.0 / rank,
        "auc_uniform": np.where(others > 0, 1.0 - (rank - 1.0) / np.maximum(others, 1), nothing),
        "auc_matched": np.where(both, matched_wins, nothing),
        "posting_accuracy": np.where(both, np.where(coin, more_drawn, less_drawn), nothing),
    }
