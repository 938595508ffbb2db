"""Encoders without gradient training: popularity, TF-IDF + SVD, TF-IDF + NMI, text content.

What lives here: rivals that are fitted directly, and the variants that their tuning may choose from.
What does not: the tuning, which is that of all encoders (`tuning`), and rivals that train like
GATv2 (`lightgcn`, `graphsage`).

All read message edges only. TF-IDF of a user's community: tf = ln(1 + count), idf = ln((1 + U) /
(1 + degree)), rows of unit length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int
from scipy import sparse
from scipy.sparse.linalg import svds

from zipp_dagster.encoder.tuning import Tuned, log_degree, tune
from zipp_dagster.graph.sampling import edges_of
from zipp_dagster.graph.split import LinkSplit
from zipp_dagster.graph.store import InteractionGraph

# In the order in which they are tried: the first two suit small and large sets of communities.
RANKS = (8, 64, 16, 32)
NEIGHBOURS = (50, 200, 20, 1_000)
# Pairs of communities are counted over so many users at most; more change little and cost memory.
NMI_USERS = 200_000

Variants = list[tuple[str, "Rival"]]


@dataclass(frozen=True)
class Rival:
    """A user's profile over communities through a table: profile [u, S] · right [S, k] · leftᵀ."""

    name: str
    profiles: sparse.csr_matrix
    right: Float32[np.ndarray, "subreddits k"] | sparse.csr_matrix
    left: Float32[np.ndarray, "subreddits k"] | None

    def vectors(self) -> Float32[np.ndarray, "users k"] | None:
        """User embeddings (for image retrieval): the profile in the k dimensions, if there are."""
        if self.left is None:
            return None
        return np.asarray(self.profiles @ self.right, dtype=np.float32)

    def scores(self, users: Int[np.ndarray, " users"]) -> Float32[np.ndarray, "users subreddits"]:
        """See the class's formula; without `left`, `right` is communities × communities."""
        own = self.profiles[users] @ self.right
        if self.left is None:
            return np.asarray(own.toarray(), dtype=np.float32)
        return np.asarray(own @ self.left.T, dtype=np.float32)


@dataclass(frozen=True)
class Popularity:
    """The same score for every user: ln(1 + message degree). The floor of every comparison."""

    log_degree: Float32[np.ndarray, " subreddits"]
    name: str = "popularity"

    def scores(self, users: Int[np.ndarray, " users"]) -> Float32[np.ndarray, "users subreddits"]:
        """One row, repeated."""
        return np.tile(self.log_degree, (len(users), 1))


def popularity(graph: InteractionGraph, split: LinkSplit) -> Popularity:
    """Popularity among the message edges."""
    return Popularity(log_degree(graph, split))


def tfidf_svd(
    graph: InteractionGraph, split: LinkSplit, ranks: tuple[int, ...] = RANKS
) -> Variants:
    """TF-IDF profiles, reconstructed from the top singular vectors of seen users' profiles."""
    profiles = tfidf_profiles(graph, split)
    basis = svd_basis(profiles[np.flatnonzero(split.seen)], max(ranks))
    variants: Variants = []
    for rank in ranks:
        factors = np.ascontiguousarray(basis[:, :rank])
        variants.append((f"rank {rank}", Rival("tfidf_svd", profiles, factors, factors)))
    return variants


def tfidf_nmi(
    graph: InteractionGraph, split: LinkSplit, neighbours: tuple[int, ...] = NEIGHBOURS
) -> Variants:
    """TF-IDF profiles through communities alike by normalised mutual information.

    NMI(s, t) = I(s; t) / √(H(s) H(t)) of "is active in s" and "is active in t" over seen users, for
    pairs that occur together more often than by chance; the nearest communities of each are kept.
    The paper names TF-IDF + NMI and does not define it; this is our reading.
    """
    profiles = tfidf_profiles(graph, split)
    similarity = normalised_mutual_information(_binary(graph, split)[np.flatnonzero(split.seen)])
    return [
        (f"{count} neighbours", Rival("tfidf_nmi", profiles, _nearest(similarity, count), None))
        for count in neighbours
    ]


def text_content(
    graph: InteractionGraph, split: LinkSplit, text: Float32[np.ndarray, "subreddits dim"]
) -> Variants:
    """Cosine between a community's text and a mean text of the user's communities.

    The variants weight the mean by TF-IDF, equally, by rarity, or by activity.
    """
    length = np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-6)
    unit = (text / length).astype(np.float32)
    variants: Variants = []
    for name, profiles in (
        ("TF-IDF mean", tfidf_profiles(graph, split)),
        ("mean", _binary(graph, split)),
        ("rarity mean", _weighted(graph, split, counts=False, rarity=True)),
        ("activity mean", _weighted(graph, split, counts=True, rarity=False)),
    ):
        norms = np.maximum(np.linalg.norm(np.asarray(profiles @ unit), axis=1), 1e-6)
        scaled = (sparse.diags(1.0 / norms) @ profiles).tocsr().astype(np.float32)
        variants.append((name, Rival("text", scaled, unit, unit)))
    return variants


def all_rivals(
    graph: InteractionGraph,
    split: LinkSplit,
    text: Float32[np.ndarray, "subreddits dim"],
    variants: int,
) -> dict[str, Callable[[], Tuned]]:
    """Every rival that is fitted directly but popularity, tuned over so many variants each."""
    return {
        "tfidf_svd": lambda: tune(tfidf_svd(graph, split, RANKS[:variants]), graph, split),
        "tfidf_nmi": lambda: tune(tfidf_nmi(graph, split, NEIGHBOURS[:variants]), graph, split),
        "text": lambda: tune(text_content(graph, split, text)[:variants], graph, split),
    }


def svd_basis(profiles: sparse.csr_matrix, rank: int) -> Float32[np.ndarray, "subreddits rank"]:
    """The top right singular vectors, strongest first; zero columns beyond what there is."""
    largest = min(rank, min(profiles.shape) - 1)
    basis = np.zeros((profiles.shape[1], rank), dtype=np.float32)
    if largest >= 1:
        # A fixed start makes ARPACK deterministic.
        _, _, right = svds(profiles, k=largest, v0=np.ones(min(profiles.shape)))
        basis[:, :largest] = right[::-1].T
    return basis


def normalised_mutual_information(active: sparse.csr_matrix) -> sparse.csr_matrix:
    """NMI of positively associated pairs of columns of a 0/1 matrix; the diagonal is left out."""
    if active.shape[0] > NMI_USERS:
        rows = np.random.default_rng(0).choice(active.shape[0], NMI_USERS, replace=False)
        active = active[np.sort(rows)]
    users = active.shape[0]
    together = (active.T @ active).tocoo()
    pair = together.row != together.col
    s, t, both = together.row[pair], together.col[pair], together.data[pair].astype(np.float64)
    degree = np.asarray(active.sum(axis=0), dtype=np.float64).ravel()
    p, q, joint = degree[s] / users, degree[t] / users, both / users
    mutual = np.zeros(len(joint))
    for cell, margin in (
        (joint, p * q),
        (p - joint, p * (1 - q)),
        (q - joint, (1 - p) * q),
        (1 - p - q + joint, (1 - p) * (1 - q)),
    ):
        inside = (cell > 1e-12) & (margin > 1e-12)
        mutual[inside] += cell[inside] * np.log(cell[inside] / margin[inside])
    share = np.clip(degree / users, 1e-12, 1 - 1e-12)
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    value = mutual / np.sqrt(entropy[s] * entropy[t])
    keep = (joint > p * q) & (value > 0)
    shape = (active.shape[1], active.shape[1])
    return sparse.csr_matrix((value[keep].astype(np.float32), (s[keep], t[keep])), shape=shape)


def _nearest(similarity: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The largest `count` values of each row."""
    row = np.repeat(np.arange(similarity.shape[0]), np.diff(similarity.indptr))
    order = np.lexsort((similarity.indices, -similarity.data, row))
    place = np.arange(len(order)) - similarity.indptr[row[order]]
    chosen = np.sort(order[place < count])
    return sparse.csr_matrix(
        (similarity.data[chosen], (row[chosen], similarity.indices[chosen])),
        shape=similarity.shape,
    )


def _weighted(
    graph: InteractionGraph, split: LinkSplit, *, counts: bool, rarity: bool
) -> sparse.csr_matrix:
    """Message edges, users × communities, weighted by ln(1 + count), idf, both or neither."""
    owner, edges = edges_of(graph, np.arange(graph.users))
    keep = split.messages[edges]
    columns = graph.subreddit[edges[keep]].astype(np.int64)
    values = np.ones(len(columns), dtype=np.float32)
    if counts:
        values = np.log1p(graph.counts[edges[keep]].astype(np.float32))
    if rarity:
        degree = np.bincount(columns, minlength=graph.subreddits)
        values = values * np.log((1.0 + graph.users) / (1.0 + degree[columns])).astype(np.float32)
    shape = (graph.users, graph.subreddits)
    return sparse.csr_matrix((values, (owner[keep], columns)), shape=shape)


def tfidf_profiles(graph: InteractionGraph, split: LinkSplit) -> sparse.csr_matrix:
    """Unit-length TF-IDF rows of the message edges, users × communities."""
    weighted = _weighted(graph, split, counts=True, rarity=True)
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1))).ravel()
    return (sparse.diags((1.0 / np.maximum(norms, 1e-6)).astype(np.float32)) @ weighted).tocsr()


def _binary(graph: InteractionGraph, split: LinkSplit) -> sparse.csr_matrix:
    return _weighted(graph, split, counts=False, rarity=False)
