"""The encoder ablation: every encoder × metric on one split, with intervals over users.

What lives here: which encoders are compared, and the table. What does not: the metrics
(`evaluation`, `retrieval`) and the encoders. All trained variants get the settings' full budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from zipp_dagster.encoder import rivals
from zipp_dagster.encoder.config import Architecture, EncoderSettings
from zipp_dagster.encoder.evaluation import METRICS, DotScorer, LinkResults, LinkTask, evaluate
from zipp_dagster.encoder.inference import GraphInference, embed_graph
from zipp_dagster.encoder.model_io import StoredModel, load_model
from zipp_dagster.encoder.retrieval import RetrievalResults, image_retrieval
from zipp_dagster.encoder.visual import UserImages, align_images
from zipp_dagster.graph.features import load_subreddit_text
from zipp_dagster.graph.split import LinkSplit
from zipp_dagster.graph.store import InteractionGraph
from zipp_dagster.progress import Progress, silent

# Name → (architecture, with ImageAlign).
TRAINED: dict[str, tuple[Architecture, bool]] = {
    "gatv2_imagealign": ("gatv2", True),
    "gatv2": ("gatv2", False),
    "lightgcn_imagealign": ("lightgcn", True),
    "lightgcn": ("lightgcn", False),
}
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
    ]
)


@dataclass(frozen=True)
class Ablation:
    """The table (`SCHEMA`), notes and tuning runs. Rows with a baseline are paired differences."""

    table: pa.Table
    notes: list[str] = field(default_factory=list)
    tuning: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def value(self, encoder: str, metric: str, group: str = "all") -> float:
        """One score of the table.

        Raises:
            KeyError: it is not there.
        """
        for row in self.table.to_pylist():
            wanted = (row["encoder"], row["metric"], row["group"], row["baseline"])
            if wanted == (encoder, metric, group, None):
                return row["value"]
        raise KeyError((encoder, metric, group))


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
    from zipp_dagster.encoder.models import embed_with_torch
    from zipp_dagster.graph.sampling import messages_of

    messages = messages_of(graph, np.arange(graph.users), split.messages)
    return DotScorer(name, *embed_with_torch(model, messages, text))


def evaluate_model(
    model_dir: Path,
    graph_dir: Path,
    split_dir: Path,
    features_dir: Path,
    visual: pa.Table | None,
    settings: EncoderSettings,
    name: str = "candidate",
) -> Ablation:
    """One encoder beside popularity: the table of `gat_evaluation`, and what promotion reads."""
    data = _Data(graph_dir, split_dir, features_dir, visual, settings)
    data.add_scorer(rivals.popularity(data.graph, data.split))
    data.add_model(name, load_model(model_dir))
    return data.finish(baselines=("popularity",))


def run_ablation(
    graph_dir: Path,
    split_dir: Path,
    features_dir: Path,
    visual: pa.Table | None,
    settings: EncoderSettings,
    scratch_dir: Path,
    trained: Mapping[str, Path] | None = None,
    progress: Progress = silent,
) -> Ablation:
    """Fit or train every encoder on one split and compare them.

    Args:
        graph_dir: a graph directory.
        split_dir: its split.
        features_dir: its community features.
        visual: `image_embeddings`, or None: ImageAlign variants are then left out, with a note.
        settings: for all trained encoders alike.
        scratch_dir: an existing directory; models are trained below it.
        trained: model directories by name (keys of `TRAINED`) that need no training again; they
            must come from the same split and settings.
        progress: told encoders.

    Raises:
        ValueError: an unknown name in `trained`.
    """
    trained = dict(trained or {})
    if unknown := sorted(set(trained) - set(TRAINED)):
        raise ValueError(f"Unknown encoders {unknown}; the ablation knows {sorted(TRAINED)}.")
    data = _Data(graph_dir, split_dir, features_dir, visual, settings)
    total = len(TRAINED) + 3
    for index, rival in enumerate(rivals.all_rivals(data.graph, data.split, data.text)):
        data.add_scorer(rival)
        progress(index + 1, total, rival.name)
    for index, (name, (architecture, align)) in enumerate(TRAINED.items()):
        if name not in trained:
            if align and (data.images is None or settings.image_align_weight == 0):
                data.notes.append(f"{name} is left out: ImageAlign is off or there are no images.")
                continue
            from zipp_dagster.encoder.training import train

            out, scratch = scratch_dir / name, scratch_dir / f"{name}.unfinished"
            # They may be there already: a killed run left its checkpoint to resume from.
            out.mkdir(exist_ok=True)
            scratch.mkdir(exist_ok=True)
            weight = settings.image_align_weight if align else 0.0
            own = settings.model_copy(update={"image_align_weight": weight})
            train(
                graph_dir, split_dir, features_dir, visual, own, out, scratch,
                architecture=architecture,
            )  # fmt: skip
            trained[name] = out
        data.add_model(name, load_model(trained[name]))
        progress(4 + index, total, name)
    return data.finish(baselines=("popularity", "gatv2"))


class _Data:
    """One split's data, and the results so far."""

    def __init__(
        self,
        graph_dir: Path,
        split_dir: Path,
        features_dir: Path,
        visual: pa.Table | None,
        settings: EncoderSettings,
    ) -> None:
        self.settings = settings
        self.graph = InteractionGraph.open(graph_dir)
        self.split = LinkSplit.open(split_dir, self.graph)
        self.text = load_subreddit_text(features_dir, self.graph)
        has_images = visual is not None and visual.num_rows > 0
        self.images: UserImages | None = None
        if has_images:
            assert visual is not None
            self.images = align_images(self.graph, visual)
        self.task = LinkTask.of(self.graph, self.split)
        self.links: dict[str, LinkResults] = {}
        self.retrieval: dict[str, RetrievalResults] = {}
        self.tuning: dict[str, list[dict[str, float]]] = {}
        self.notes: list[str] = []
        if self.images is None:
            self.notes.append("There are no images: image retrieval is not measured.")

    def add_scorer(self, rival: rivals.Rival) -> None:
        self.links[rival.name] = evaluate(rival, self.task, seed=self.settings.seed)
        if rival.description:
            self.notes.append(f"{rival.name}: {rival.description}.")
            self.tuning[rival.name] = rival.tuning
        if rival.profiles is not None:
            self._add_retrieval(rival.name, rival.vectors())

    def add_model(self, name: str, model: StoredModel) -> None:
        scorer = model_scorer(name, model, self.graph, self.split, self.text, self.settings)
        self.links[name] = evaluate(scorer, self.task, seed=self.settings.seed)
        self._add_retrieval(name, scorer.users)
        if head := model.image_head():
            self._add_retrieval(f"{name}:head", scorer.users, head)

    def _add_retrieval(
        self, name: str, vectors: np.ndarray, head: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        if self.images is None:
            return
        results = image_retrieval(name, vectors, self.images, self.split, head)
        if isinstance(results, str):
            self.notes.append(f"{name}: image retrieval is not measured, {results}.")
        else:
            self.retrieval[name] = results

    def finish(self, baselines: tuple[str, ...]) -> Ablation:
        rows: list[dict[str, object]] = []
        for name, results in self.links.items():
            for group, where in results.groups().items():
                for metric in METRICS:
                    values = results.values[metric][where]
                    rows.append(self._row(name, group, metric, None, values))
                    # Differences for all users only: the same links, so they are paired.
                    for base in baselines if group == "all" else ():
                        if base in self.links and base != name:
                            paired = values - self.links[base].values[metric][where]
                            rows.append(self._row(name, group, metric, base, paired))
        for name, found in self.retrieval.items():
            for metric, values in found.values().items():
                rows.append(self._row(name, "unseen", metric, None, values))
                for base in baselines:
                    if base in self.retrieval and base != name:
                        paired = values - self.retrieval[base].values()[metric]
                        rows.append(self._row(name, "unseen", metric, base, paired))
        kept = [row for row in rows if row["links"]]
        return Ablation(pa.Table.from_pylist(kept, SCHEMA), self.notes, self.tuning)

    def _row(
        self, encoder: str, group: str, metric: str, baseline: str | None, values: np.ndarray
    ) -> dict[str, object]:
        values = values[np.isfinite(values)]
        low, high = mean_interval(values, self.settings.bootstrap, self.settings.seed)
        return {
            "encoder": encoder,
            "group": group,
            "metric": metric,
            "baseline": baseline,
            "value": float(values.mean()) if len(values) else None,
            "low": low,
            "high": high,
            "links": len(values),
        }


def mean_interval(
    values: Float[np.ndarray, " users"], resamples: int, seed: int
) -> tuple[float | None, float | None]:
    """95 % bootstrap interval of a mean over users (normal for very many); None without values."""
    if len(values) == 0:
        return None, None
    if len(values) > BOOTSTRAP_USERS:
        half = 1.96 * float(values.std()) / len(values) ** 0.5
        return float(values.mean()) - half, float(values.mean()) + half
    rng = np.random.default_rng([seed, 41])
    means = np.empty(resamples)
    for start in range(0, resamples, 50):
        size = (min(50, resamples - start), len(values))
        means[start : start + size[0]] = values[rng.integers(0, len(values), size)].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
