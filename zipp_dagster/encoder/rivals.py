"""Encoders without gradient training: popularity, TF-IDF + SVD, text content.

What lives here: rivals that are fitted directly, and tuned on validation links over a small grid,
so that the comparison with trained encoders is fair. What does not: LightGCN, which trains like
GATv2.

All read message edges only. Each mixes its own score with popularity: score / σ + w · ln(1 + d),
with w from the grid (σ: the score's deviation over random users).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32, Int
from scipy import sparse
from scipy.sparse.linalg import svds

from zipp_dagster.encoder.evaluation import LinkTask, evaluate
from zipp_dagster.graph.sampling import edges_of
from zipp_dagster.graph.split import VALIDATION, LinkSplit
from zipp_dagster.graph.store import InteractionGraph

POPULARITY_WEIGHTS = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
RANKS = (8, 16, 32, 64)
# A tuning run ranks at most this many links: enough to tell the grid's points apart.
TUNING_LINKS = 5_000


@dataclass(frozen=True)
class Rival:
    """A user's profile over communities, through a table: profile [u, S] · right [S, k] · leftᵀ.

    `description` says what the tuning chose.
    """

    name: str
    profiles: sparse.csr_matrix | None
    right: Float32[np.ndarray, "subreddits k"]
    left: Float32[np.ndarray, "subreddits k"]
    popularity: Float32[np.ndarray, " subreddits"]
    scale: float
    popularity_weight: float
    description: str = ""
    tuning: list[dict[str, float]] = field(default_factory=list)

    def vectors(self) -> Float32[np.ndarray, "users k"]:
        """User embeddings (for image retrieval): the profile in the k dimensions."""
        if self.profiles is None:
            raise ValueError(f"{self.name} has no user embeddings.")
        return np.asarray(self.profiles @ self.right, dtype=np.float32)

    def scores(self, users: Int[np.ndarray, " users"]) -> Float32[np.ndarray, "users subreddits"]:
        """See the module's formula."""
        boost = self.popularity_weight * self.popularity
        if self.profiles is None:
            return np.tile(boost, (len(users), 1)).astype(np.float32)
        own = np.asarray(self.profiles[users] @ self.right) @ self.left.T
        return (own / self.scale + boost).astype(np.float32)


def popularity(graph: InteractionGraph, split: LinkSplit) -> Rival:
    """The same score for every user: message degree. The floor of every comparison."""
    empty = np.zeros((graph.subreddits, 1), dtype=np.float32)
    return Rival("popularity", None, empty, empty, _log_degree(graph, split), 1.0, 1.0)


def tfidf_svd(graph: InteractionGraph, split: LinkSplit) -> Rival:
    """TF-IDF of communities by user, reconstructed from the top singular vectors.

    tf = ln(1 + count), idf = ln((1 + U) / (1 + degree)), rows of unit length; the factors are
    fitted on seen users. Tuned: the rank and the popularity weight.
    """
    return _tuned(graph, split, _svd_variants(graph, split, RANKS))


def refitted_svd(tuned: Rival, graph: InteractionGraph, split: LinkSplit) -> Rival:
    """A tuned TF-IDF + SVD, fitted again on another split's message edges, without tuning."""
    (variant,) = _svd_variants(graph, split, (tuned.right.shape[1],))
    return replace(
        variant,
        scale=_scale(graph, variant),
        popularity_weight=tuned.popularity_weight,
        description=tuned.description,
        tuning=tuned.tuning,
    )


def _svd_variants(graph: InteractionGraph, split: LinkSplit, ranks: tuple[int, ...]) -> list[Rival]:
    profiles = _tfidf(graph, split)
    seen = profiles[np.flatnonzero(split.seen)]
    largest = min(max(ranks), min(seen.shape) - 1)
    # A fixed start makes ARPACK deterministic.
    _, _, right = svds(seen, k=largest, v0=np.ones(min(seen.shape)))
    basis = np.ascontiguousarray(right[::-1].T, dtype=np.float32)
    variants = []
    for rank in sorted({min(rank, largest) for rank in ranks}):
        factors = basis[:, :rank]
        rival = Rival(
            "tfidf_svd", profiles, factors, factors, _log_degree(graph, split), 1.0, 0.0,
            f"rank {rank}",
        )  # fmt: skip
        variants.append(rival)
    return variants


def text_content(
    graph: InteractionGraph, split: LinkSplit, text: Float32[np.ndarray, "subreddits dim"]
) -> Rival:
    """Cosine between a community's text and the mean text of the user's communities.

    Tuned: the weights of the mean (equal or TF-IDF) and the popularity weight.
    """
    length = np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-6)
    unit = (text / length).astype(np.float32)
    log_degree = _log_degree(graph, split)
    variants = []
    for name, profiles in (("mean", _binary(graph, split)), ("TF-IDF mean", _tfidf(graph, split))):
        vectors = np.asarray(profiles @ unit)
        norms = np.maximum(np.linalg.norm(vectors, axis=1), 1e-6)
        scaled = sparse.diags(1.0 / norms) @ profiles
        variants.append(Rival("text", scaled.tocsr(), unit, unit, log_degree, 1.0, 0.0, name))
    return _tuned(graph, split, variants)


def _tuned(graph: InteractionGraph, split: LinkSplit, variants: list[Rival]) -> Rival:
    task = _validation(graph, split)
    runs: list[dict[str, float]] = []
    best: tuple[float, Rival] | None = None
    for variant in _grid(graph, variants):
        results = evaluate(variant, task)
        hits = results.mean("hits10")
        runs.append(
            {
                "setting": float(len(runs)),
                "popularity_weight": variant.popularity_weight,
                "validation_hits10": hits,
            }
        )
        if best is None or hits > best[0]:
            best = (hits, variant)
    assert best is not None
    return replace(best[1], tuning=runs)


def _grid(graph: InteractionGraph, variants: list[Rival]) -> Iterator[Rival]:
    for variant in variants:
        scale = _scale(graph, variant)
        for weight in POPULARITY_WEIGHTS:
            description = f"{variant.description}, popularity weight {weight}"
            yield replace(variant, scale=scale, popularity_weight=weight, description=description)


def _scale(graph: InteractionGraph, variant: Rival) -> float:
    """The deviation of a variant's own scores over random users."""
    sample = np.sort(np.random.default_rng(0).permutation(graph.users)[:500])
    return float(variant.scores(sample).std()) or 1.0


def _validation(graph: InteractionGraph, split: LinkSplit) -> LinkTask:
    task = LinkTask.of(graph, split, VALIDATION)
    links = np.flatnonzero(task.seen)
    rng = np.random.default_rng(0)
    return task.subset(np.sort(rng.permutation(links)[:TUNING_LINKS]))


def _log_degree(graph: InteractionGraph, split: LinkSplit) -> np.ndarray:
    degree = np.bincount(graph.subreddit[split.messages], minlength=graph.subreddits)
    return np.log1p(degree).astype(np.float32)


def _message_matrix(
    graph: InteractionGraph, split: LinkSplit
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Counts of message edges, users × communities, and the communities' message degree."""
    owner, edges = edges_of(graph, np.arange(graph.users))
    keep = split.messages[edges]
    columns = graph.subreddit[edges[keep]].astype(np.int64)
    counts = graph.counts[edges[keep]].astype(np.float32)
    matrix = sparse.csr_matrix(
        (counts, (owner[keep], columns)), shape=(graph.users, graph.subreddits)
    )
    return matrix, np.bincount(columns, minlength=graph.subreddits)


def _tfidf(graph: InteractionGraph, split: LinkSplit) -> sparse.csr_matrix:
    matrix, degree = _message_matrix(graph, split)
    matrix.data = np.log1p(matrix.data)
    idf = np.log((1.0 + graph.users) / (1.0 + degree)).astype(np.float32)
    weighted = sparse.csr_matrix(matrix @ sparse.diags(idf))
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1))).ravel()
    return (sparse.diags((1.0 / np.maximum(norms, 1e-6)).astype(np.float32)) @ weighted).tocsr()


def _binary(graph: InteractionGraph, split: LinkSplit) -> sparse.csr_matrix:
    matrix, _ = _message_matrix(graph, split)
    matrix.data = np.ones_like(matrix.data)
    return matrix


def all_rivals(
    graph: InteractionGraph, split: LinkSplit, text: Float32[np.ndarray, "subreddits dim"]
) -> list[Rival]:
    """Every rival that is fitted directly."""
    return [popularity(graph, split), tfidf_svd(graph, split), text_content(graph, split, text)]
