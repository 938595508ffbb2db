"""Encoders beside each other on one split: scores with intervals over users and seeds.

What lives here: the table and its intervals. What does not: the metrics (`evaluation`,
`retrieval`), and which encoders are compared (`ablation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.evaluated import evaluated_links, evaluated_posters
from zipp_dagster.encoder.evaluation import (
    METRICS,
    DotScorer,
    LinkResults,
    Scorer,
    evaluate,
)
from zipp_dagster.encoder.inference import GraphInference, embed_graph
from zipp_dagster.encoder.model_io import StoredModel
from zipp_dagster.encoder.own_communities import own_communities
from zipp_dagster.encoder.retrieval import RetrievalResults, image_retrieval
from zipp_dagster.encoder.tuning import TuningRun
from zipp_dagster.encoder.visual import UserImages, align_images
from zipp_dagster.graph.features import load_subreddit_text
from zipp_dagster.graph.split import LinkSplit
from zipp_dagster.graph.store import InteractionGraph

# Above this many users the normal interval is the same, and the bootstrap is slow.
BOOTSTRAP_USERS = 100_000

SCHEMA = pa.schema(
    [
        ("encoder", pa.string()),
        ("group", pa.string()),
        ("metric", pa.string()),
        ("baseline", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("links", pa.int64()),
        ("seeds", pa.int64()),
        ("seed_deviation", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Ablation:
    """The table (`SCHEMA`), notes and tuning runs. Rows with a baseline are paired differences.

    `rankings` is how each encoder ranks some people's own communities (`own_communities.SCHEMA`).
    """

    table: pa.Table
    notes: list[str] = field(default_factory=list)
    tuning: list[TuningRun] = field(default_factory=list)
    rankings: pa.Table | None = None

    def value(
        self, encoder: str, metric: str, group: str = "all", baseline: str | None = None
    ) -> float:
        """One score of the table.

        Raises:
            KeyError: it is not there.
        """
        wanted = (encoder, metric, group, baseline)
        for row in self.table.to_pylist():
            if (row["encoder"], row["metric"], row["group"], row["baseline"]) == wanted:
                return row["value"]
        raise KeyError(wanted)

    def winners(self) -> dict[str, str]:
        """The encoder with the best value over all links, by metric."""
        rows = [r for r in self.table.to_pylist() if r["baseline"] is None and r["group"] == "all"]
        best = {metric: [r for r in rows if r["metric"] == metric] for metric in METRICS}
        return {
            metric: max(found, key=lambda row: row["value"])["encoder"]
            for metric, found in best.items()
            if found
        }


class Comparison:
    """One split's data, and the results so far: a list over seeds for each encoder."""

    def __init__(
        self,
        graph_dir: Path,
        split_dir: Path,
        features_dir: Path,
        visual: pa.Table | None,
        settings: EncoderSettings,
        users: np.ndarray | None = None,
    ) -> None:
        self.settings = settings
        self.users = users
        self.rankings: list[pa.Table] = []
        self.graph = InteractionGraph.open(graph_dir)
        self.split = LinkSplit.open(split_dir, self.graph)
        self.text = load_subreddit_text(features_dir, self.graph)
        self.images: UserImages | None = None
        if visual is not None and visual.num_rows > 0:
            self.images = align_images(self.graph, visual)
        self.task, evaluated = evaluated_links(self.graph, self.split, settings)
        self.links: dict[str, list[LinkResults]] = {}
        self.retrieval: dict[str, list[RetrievalResults]] = {}
        self.tuning: list[TuningRun] = []
        self.notes: list[str] = [evaluated]
        if self.images is None:
            self.notes.append("There are no images: image retrieval is not measured.")

    def add(self, scorer: Scorer) -> None:
        """Score the test links; a name that comes again is another seed of the same encoder."""
        results = evaluate(scorer, self.task, seed=self.settings.seed)
        if self.users is not None and scorer.name not in self.links:
            self.rankings.append(own_communities(scorer, self.graph, self.users))
        self.links.setdefault(scorer.name, []).append(results)

    def add_retrieval(
        self, name: str, vectors: np.ndarray, head: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        """Let user vectors find the users' own images, by a ridge fit or by the model's head."""
        if self.images is None:
            return
        posters = evaluated_posters(self.graph, self.split, self.images, self.settings)
        results = image_retrieval(name, vectors, self.images, self.split, head, posters)
        if isinstance(results, str):
            self.notes.append(f"{name}: image retrieval is not measured, {results}.")
        else:
            self.retrieval.setdefault(name, []).append(results)

    def add_model(self, name: str, model: StoredModel, scorer: DotScorer) -> None:
        """Image retrieval of a trained encoder, and of its image head where it has one."""
        self.add_retrieval(name, scorer.users)
        if head := model.image_head():
            self.add_retrieval(f"{name}:head", scorer.users, head)

    def finish(self, baselines: Sequence[str], versus: Mapping[str, str] | None = None) -> Ablation:
        """The table.

        Args:
            baselines: encoders that all others are compared with, link by link.
            versus: further pairs, encoder → baseline.
        """
        rows: list[dict[str, object]] = []
        pairs = dict(versus or {})
        for name, results in self.links.items():
            bases = [*baselines, *([pairs[name]] if pairs.get(name) else [])]
            for group, where in results[0].groups().items():
                for metric in METRICS:
                    values = np.stack([result.values[metric][where] for result in results])
                    rows.append(self._row(name, group, metric, None, values))
                    # Differences for all users only: the same links, so they are paired.
                    for base in dict.fromkeys(bases) if group == "all" else ():
                        if base in self.links and base != name:
                            other = np.stack([r.values[metric][where] for r in self.links[base]])
                            rows.append(self._row(name, group, metric, base, values, other))
        for name, found in self.retrieval.items():
            bases = [*baselines, *([pairs[name]] if pairs.get(name) else [])]
            for metric in found[0].values():
                values = np.stack([result.values()[metric] for result in found])
                rows.append(self._row(name, "unseen", metric, None, values))
                for base in dict.fromkeys(bases):
                    if base in self.retrieval and base != name:
                        other = np.stack([r.values()[metric] for r in self.retrieval[base]])
                        rows.append(self._row(name, "unseen", metric, base, values, other))
        kept = [row for row in rows if row["links"]]
        rankings = pa.concat_tables(self.rankings) if self.rankings else None
        return Ablation(pa.Table.from_pylist(kept, SCHEMA), self.notes, self.tuning, rankings)

    def _row(
        self,
        encoder: str,
        group: str,
        metric: str,
        baseline: str | None,
        values: Float[np.ndarray, "seeds links"],
        other: Float[np.ndarray, "others links"] | None = None,
    ) -> dict[str, object]:
        finite = np.isfinite(values).all(axis=0)
        if other is not None:
            finite &= np.isfinite(other).all(axis=0)
            other = other[:, finite]
        values = values[:, finite]
        low, high = mean_interval(values, self.settings.bootstrap, self.settings.seed, other)
        if other is not None:
            values = values - other.mean(axis=0)
        by_seed = values.mean(axis=1) if values.shape[1] else np.array([])
        return {
            "encoder": encoder,
            "group": group,
            "metric": metric,
            "baseline": baseline,
            "value": float(values.mean()) if values.size else None,
            "low": low,
            "high": high,
            "links": values.shape[1],
            "seeds": len(values),
            "seed_deviation": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
        }


def model_scorer(
    name: str,
    model: StoredModel,
    graph: InteractionGraph,
    split: LinkSplit,
    text: np.ndarray,
    settings: EncoderSettings,
) -> DotScorer:
    """Embed all users, seen or not, from their message edges, with a stored encoder."""
    if model.config.architecture == "gatv2":
        inference = GraphInference(
            model,
            graph,
            text,
            keep=split.messages,
            block_users=settings.inference_block_users,
            lanes=settings.inference_lanes,
        )
        return DotScorer(name, *embed_graph(inference))
    from zipp_dagster.encoder.torch_inference import embed_in_blocks

    block_users = settings.inference_block_users
    return DotScorer(name, *embed_in_blocks(model, graph, text, split.messages, block_users))


def mean_interval(
    values: Float[np.ndarray, "seeds users"] | Float[np.ndarray, " users"],
    resamples: int,
    seed: int,
    other: Float[np.ndarray, "others users"] | None = None,
) -> tuple[float | None, float | None]:
    """95 % bootstrap interval of a mean over users and, where there are several, over seeds.

    With `other`, of the mean difference from it. Each resample draws users, the same of both sides,
    and seeds of either side by itself: two encoders' trainings have nothing to do with each other.
    With two or three seeds that is a rough share of the uncertainty of training, but not none.
    Normal over users for very many; None without values.
    """
    values = np.atleast_2d(values)
    users = values.shape[1]
    if users == 0:
        return None, None
    sides = [values] if other is None else [values, -np.atleast_2d(other)]
    rng = np.random.default_rng([seed, 41])
    if users > BOOTSTRAP_USERS:
        mean = float(sum(side.mean() for side in sides))
        errors = [sum(side.mean(axis=0) for side in sides).std() / users**0.5]
        for side in sides:
            if len(side) > 1:
                errors.append(side.mean(axis=1).std(ddof=1) / len(side) ** 0.5)
        error = float(np.linalg.norm(errors))
        return mean - 1.96 * error, mean + 1.96 * error
    means = np.zeros(resamples)
    for start in range(0, resamples, 50):
        count = min(50, resamples - start)
        chosen = rng.integers(0, users, (count, users))
        for side in sides:
            sample = np.stack([row[chosen].mean(axis=1) for row in side], axis=1)
            if len(side) > 1:
                drawn = rng.integers(0, len(side), (count, len(side)))
                sample = np.take_along_axis(sample, drawn, axis=1)
            means[start : start + count] += sample.mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
