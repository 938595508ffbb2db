"""Which links are held out: temporal or random, and users that training never sees.

What lives here: the roles of edges and users, written and read. What does not: the sampling of
training targets among the message edges (`sampling`).

Layout of a split directory: `roles.npy` uint8 [E] (`MESSAGE`, `VALIDATION`, `TEST`),
`user_roles.npy` uint8 [U] (`SEEN`, `UNSEEN`), `split.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from zipp_dagster.graph.store import BLOCK_USERS, InteractionGraph, load_array

MESSAGE, VALIDATION, TEST = 0, 1, 2
SEEN, UNSEEN = 0, 1


@dataclass(frozen=True)
class SplitSummary:
    """How many links and users have which role."""

    kind: str
    messages: int
    validation: int
    test: int
    seen_users: int
    unseen_users: int
    seen_test_users: int
    unseen_test_users: int


@dataclass(frozen=True)
class LinkSplit:
    """The roles of a graph's edges and users."""

    roles: UInt8[np.ndarray, " edges"]
    user_roles: UInt8[np.ndarray, " users"]

    @classmethod
    def open(cls, directory: Path, graph: InteractionGraph) -> LinkSplit:
        """Memory-map a split of this graph.

        Raises:
            GraphError: a file is missing, cut short, or belongs to another graph.
        """
        return cls(
            roles=load_array(directory / "roles.npy", (np.uint8,), (graph.edges,)),
            user_roles=load_array(directory / "user_roles.npy", (np.uint8,), (graph.users,)),
        )

    @property
    def messages(self) -> Bool[np.ndarray, " edges"]:
        """Edges that an encoder may read: neither validation nor test."""
        return np.asarray(self.roles) == MESSAGE

    @property
    def seen(self) -> Bool[np.ndarray, " users"]:
        """Users that training may read."""
        return np.asarray(self.user_roles) == SEEN

    def training_messages(self, graph: InteractionGraph) -> Bool[np.ndarray, " edges"]:
        """Message edges of seen users: all that training and community states may read."""
        return self.messages & np.repeat(self.seen, graph.degrees)


def temporal_split(
    graph: InteractionGraph,
    out_dir: Path,
    *,
    seed: int,
    min_communities: int = 3,
    unseen_share: float = 0.1,
) -> SplitSummary:
    """Hold out each user's last-joined community for the test, and the one before for validation.

    Users with fewer than `min_communities` keep all edges as messages. Ties in time are broken by
    a seeded hash, not by community order, so that no community gathers the held-out links.
    """
    return _split(graph, out_dir, "temporal", seed, min_communities, unseen_share)


def random_split(
    graph: InteractionGraph,
    out_dir: Path,
    *,
    seed: int,
    min_communities: int = 3,
    unseen_share: float = 0.1,
) -> SplitSummary:
    """Hold out one random community of each user for the test, and one for validation."""
    return _split(graph, out_dir, "random", seed, min_communities, unseen_share)


def _split(
    graph: InteractionGraph,
    out_dir: Path,
    kind: Literal["temporal", "random"],
    seed: int,
    min_communities: int,
    unseen_share: float,
) -> SplitSummary:
    edge_rng, user_rng = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    roles = np.full(graph.edges, MESSAGE, dtype=np.uint8)
    for start, stop in graph.blocks(BLOCK_USERS):
        low, high = int(graph.indptr[start]), int(graph.indptr[stop])
        # Drawn block by block in order, these are the numbers that one draw for all edges gives.
        tie = edge_rng.random(high - low)
        age = np.zeros(high - low) if kind == "random" else -graph.first_seen[low:high].astype(int)
        roles[low:high] = _block_roles(graph.degrees[start:stop], age, tie, min_communities)
    user_roles = np.full(graph.users, SEEN, dtype=np.uint8)
    unseen = user_rng.permutation(graph.users)[: round(unseen_share * graph.users)]
    user_roles[unseen] = UNSEEN

    tested = graph.degrees >= min_communities
    summary = SplitSummary(
        kind=kind,
        messages=int((roles == MESSAGE).sum()),
        validation=int((roles == VALIDATION).sum()),
        test=int((roles == TEST).sum()),
        seen_users=int((user_roles == SEEN).sum()),
        unseen_users=int((user_roles == UNSEEN).sum()),
        seen_test_users=int((tested & (user_roles == SEEN)).sum()),
        unseen_test_users=int((tested & (user_roles == UNSEEN)).sum()),
    )
    np.save(out_dir / "roles.npy", roles)
    np.save(out_dir / "user_roles.npy", user_roles)
    (out_dir / "split.json").write_text(
        json.dumps({"seed": seed} | asdict(summary), indent=1) + "\n"
    )
    return summary


def _block_roles(
    degrees: Int[np.ndarray, " users"],
    age: Int[np.ndarray, " edges"] | Float[np.ndarray, " edges"],
    tie: Float[np.ndarray, " edges"],
    min_communities: int,
) -> UInt8[np.ndarray, " edges"]:
    """The roles of one block's edges: of each user, the first by age and tie are held out."""
    owner = np.repeat(np.arange(len(degrees)), degrees)
    latest_first = np.lexsort((tie, age, owner))
    position = np.empty(len(owner), dtype=np.int64)
    position[latest_first] = np.arange(len(owner)) - np.repeat(
        np.cumsum(degrees) - degrees, degrees
    )
    eligible = np.repeat(degrees >= min_communities, degrees)
    roles = np.full(len(owner), MESSAGE, dtype=np.uint8)
    roles[eligible & (position == 0)] = TEST
    roles[eligible & (position == 1)] = VALIDATION
    return roles
