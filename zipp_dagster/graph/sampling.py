"""Training batches: blocks of users with some of their links taken out as targets.

What lives here: which users and edges make a batch. What does not: negatives and losses.

A target leaves the batch's messages, and so everything that is computed from them: the user's
mean text and degree included (rule 2 of the design).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int

from zipp_dagster.graph.store import InteractionGraph


@dataclass(frozen=True)
class Messages:
    """A bipartite edge list that an encoder reads; user numbers are local to it (0…users-1)."""

    users: int
    user: Int[np.ndarray, " messages"]
    subreddit: Int[np.ndarray, " messages"]
    features: Float32[np.ndarray, "messages 4"]


@dataclass(frozen=True)
class LinkBatch:
    """Messages, the targets taken out of them, and the links that are no negatives."""

    user_index: Int[np.ndarray, " users"]
    messages: Messages
    target_user: Int[np.ndarray, " targets"]
    target_subreddit: Int[np.ndarray, " targets"]
    known_user: Int[np.ndarray, " known"]
    known_subreddit: Int[np.ndarray, " known"]


class UserBlockSampler:
    """Draws batches of users from CSR; every draw depends on (seed, epoch, step) alone.

    So a resumed run draws what the killed one would have drawn. With `world_size` > 1, rank r
    takes every world_size-th batch.
    """

    def __init__(
        self,
        graph: InteractionGraph,
        allowed: Bool[np.ndarray, " edges"],
        *,
        users_per_batch: int,
        max_edges: int,
        target_share: float,
        seed: int,
        epoch_users: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.graph, self.allowed, self.seed = graph, allowed, seed
        self.users_per_batch, self.max_edges = users_per_batch, max_edges
        self.target_share = target_share
        self.rank, self.world_size = rank, world_size
        # One message must be left when a target is taken out.
        self.candidates = np.flatnonzero(graph.user_counts(allowed) >= 2)
        if len(self.candidates) == 0:
            raise ValueError(
                "No user has two training links: nothing can be a target. Check the split "
                "(graph.unseen_share) and the interactions table."
            )
        self.epoch_users = min(epoch_users or len(self.candidates), len(self.candidates))
        self.batches = max(1, self.epoch_users // (users_per_batch * world_size))
        self._order: tuple[int, Int[np.ndarray, " users"]] | None = None

    def batch(self, epoch: int, step: int) -> LinkBatch:
        """The batch of one step, `0 <= step < batches`."""
        order, parts = self._users_of(epoch), self.batches * self.world_size
        # The remainder is spread as by array_split, so that no batch is tiny.
        size, larger = divmod(len(order), parts)
        part = step * self.world_size + self.rank
        start = part * size + min(part, larger)
        users = np.sort(order[start : start + size + (part < larger)])
        rng = np.random.default_rng([self.seed, 12, epoch, step, self.rank])
        return self._sample(users, rng)

    def _users_of(self, epoch: int) -> Int[np.ndarray, " users"]:
        """An epoch's users in its order; kept, because drawing it takes seconds for millions."""
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.seed, 11, epoch]).permutation(self.candidates)
            self._order = epoch, order[: self.epoch_users]
        return self._order[1]

    def _sample(self, users: Int[np.ndarray, " users"], rng: np.random.Generator) -> LinkBatch:
        owner, edges = edges_of(self.graph, users)
        allowed = self.allowed[edges]
        owner, edges = owner[allowed], edges[allowed]
        subreddit = self.graph.subreddit[edges].astype(np.int64)
        shuffled = np.lexsort((rng.random(len(edges)), owner))
        lengths = np.bincount(owner, minlength=len(users))
        position = np.arange(len(edges)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        taken = np.minimum(lengths, self.max_edges)
        targets = np.clip(np.round(self.target_share * taken).astype(np.int64), 1, taken - 1)
        is_target = position < targets[owner]
        is_message = ~is_target & (position < taken[owner])
        target = shuffled[is_target]
        message = np.sort(shuffled[is_message])
        return LinkBatch(
            user_index=users,
            messages=Messages(
                users=len(users),
                user=owner[message],
                subreddit=subreddit[message],
                features=self.graph.features[edges[message]].astype(np.float32),
            ),
            target_user=owner[target],
            target_subreddit=subreddit[target],
            known_user=owner,
            known_subreddit=subreddit,
        )


def edges_of(
    graph: InteractionGraph, users: Int[np.ndarray, " users"]
) -> tuple[Int[np.ndarray, " edges"], Int[np.ndarray, " edges"]]:
    """For each edge of the given users: the user's position in `users`, and the edge's index."""
    starts, lengths = graph.indptr[users], graph.degrees[users]
    owner = np.repeat(np.arange(len(users)), lengths)
    first = np.cumsum(lengths) - lengths
    return owner, np.arange(len(owner)) - first[owner] + starts[owner]


def messages_of(
    graph: InteractionGraph,
    users: Int[np.ndarray, " users"],
    allowed: Bool[np.ndarray, " edges"],
) -> Messages:
    """All allowed edges of the given users as one edge list (small graphs and user samples)."""
    owner, edges = edges_of(graph, users)
    keep = allowed[edges]
    owner, edges = owner[keep], edges[keep]
    return Messages(
        users=len(users),
        user=owner,
        subreddit=graph.subreddit[edges].astype(np.int64),
        features=graph.features[edges].astype(np.float32),
    )
