"""Which links are held out: temporal or random, and users that training never sees.

What lives here: the roles of edges and users, written and read. What does not: the sampling of
training targets among the message edges (`sampling`).

Layout of a split directory: `roles.npy` uint8 [E] (`MESSAGE`, `VALIDATION`, `TEST`),
`user_roles.npy` uint8 [U] (`SEEN`, `UNSEEN`), `split.json`.

Every draw is a hash of the seed, the user's id and the community's name (`hashing`), never of a
position: when users, communities or links come or go, everybody else keeps role and held-out links.
So a champion and a later candidate were both kept from the links that they are compared on. New
links of a user may take the place of held-out ones, which then become messages; a message becomes
held out only where the user lost a link that was, or came to have `min_communities`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt64

from zipp_dagster.graph.hashing import RANGE, mix, name_keys, user_keys
from zipp_dagster.graph.store import BLOCK_USERS, InteractionGraph, load_array

MESSAGE, VALIDATION, TEST = 0, 1, 2
SEEN, UNSEEN = 0, 1
USER_STREAM, EDGE_STREAM = 61, 62
DRAW = "hash 1"
"""How splits are drawn; another name where the same settings give other roles."""


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
    a seeded hash of user and community, not by community order, so that no community gathers the
    held-out links. A user is unseen by a seeded hash too: the share of them is `unseen_share` up to
    chance.
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
    """Hold out one random community of each user for the test, and one for validation.

    Random is: the smallest hashes of user and community. Else as `temporal_split`.
    """
    return _split(graph, out_dir, "random", seed, min_communities, unseen_share)


def split_rule(directory: Path) -> str:
    """How a split was drawn, in words.

    Two splits with the same words give users and links that both have the same roles, as far as
    `min_communities` and newer links allow. One of before hashes has words of its own.
    """
    facts = json.loads((directory / "split.json").read_text())
    if "draw" not in facts:
        return f"{facts['kind']} by position, seed {facts['seed']}"
    return (
        f"{facts['kind']} by {facts['draw']}, seed {facts['seed']}, from "
        f"{facts['min_communities']} communities, {facts['unseen_share']:g} of the users unseen"
    )


def _split(
    graph: InteractionGraph,
    out_dir: Path,
    kind: Literal["temporal", "random"],
    seed: int,
    min_communities: int,
    unseen_share: float,
) -> SplitSummary:
    communities = name_keys(graph.subreddit_names)
    roles = np.full(graph.edges, MESSAGE, dtype=np.uint8)
    for start, stop in graph.blocks(BLOCK_USERS):
        low, high = int(graph.indptr[start]), int(graph.indptr[stop])
        users = user_keys(graph.user_ids[start:stop], seed, EDGE_STREAM)
        tie = mix(
            np.repeat(users, graph.degrees[start:stop]) ^ communities[graph.subreddit[low:high]]
        )
        age = np.zeros(high - low) if kind == "random" else -graph.first_seen[low:high].astype(int)
        roles[low:high] = _block_roles(graph.degrees[start:stop], age, tie, min_communities)
    user_roles = np.full(graph.users, SEEN, dtype=np.uint8)
    user_roles[user_keys(graph.user_ids, seed, USER_STREAM) < unseen_share * RANGE] = UNSEEN

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
    rule = {
        "draw": DRAW,
        "seed": seed,
        "min_communities": min_communities,
        "unseen_share": unseen_share,
    }
    (out_dir / "split.json").write_text(json.dumps(rule | asdict(summary), indent=1) + "\n")
    return summary


def _block_roles(
    degrees: Int[np.ndarray, " users"],
    age: Int[np.ndarray, " edges"] | Float[np.ndarray, " edges"],
    tie: UInt64[np.ndarray, " edges"],
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
