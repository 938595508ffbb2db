"""The encoder ablation: every encoder × metric on one split, tuned alike, over several seeds.

What lives here: which encoders are compared, and in which order. What does not: training and tuning
those that train (`trained_rivals`), the table and its intervals (`comparison`), the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from zipp_dagster.encoder import rivals
from zipp_dagster.encoder.comparison import Ablation, Comparison, model_scorer
from zipp_dagster.encoder.config import Architecture, EncoderSettings
from zipp_dagster.encoder.model_io import load_model
from zipp_dagster.encoder.trained_rivals import Bench, TrainedEncoder
from zipp_dagster.encoder.variants import training_variants
from zipp_dagster.fanout import IN_LINE, FanOut
from zipp_dagster.progress import Progress, silent

# Name → (architecture, with ImageAlign).
TRAINED: dict[str, tuple[Architecture, bool]] = {
    "gatv2_imagealign": ("gatv2", True),
    "gatv2": ("gatv2", False),
    "graphsage_imagealign": ("graphsage", True),
    "graphsage": ("graphsage", False),
    "lightgcn_imagealign": ("lightgcn", True),
    "lightgcn": ("lightgcn", False),
}
# What ImageAlign changes, and what attention does.
VERSUS = {
    "gatv2_imagealign": "gatv2",
    "graphsage_imagealign": "graphsage",
    "lightgcn_imagealign": "lightgcn",
}


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
    data = Comparison(graph_dir, split_dir, features_dir, visual, settings)
    data.add(rivals.popularity(data.graph, data.split))
    model = load_model(model_dir)
    scorer = model_scorer(name, model, data.graph, data.split, data.text, settings)
    data.add(scorer)
    data.add_model(name, model, scorer)
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
    users: np.ndarray | None = None,
    fan_out: FanOut = IN_LINE,
) -> Ablation:
    """Fit or train every encoder on one split, tune them alike, and compare them.

    Each has `tuning_variants` variants × popularity weights of tuning runs. Trained encoders train
    the chosen variant `ablation_seeds` times in all, by seeds that follow the settings' own.

    Args:
        graph_dir: a graph directory.
        split_dir: its split.
        features_dir: its community features.
        visual: `image_embeddings`, or None: ImageAlign variants are then left out, with a note.
        settings: for all trained encoders alike.
        scratch_dir: an existing directory; models are trained below it, and a killed run goes on
            with those that it finds there.
        trained: model directories by name (keys of `TRAINED`) that need no training again; they
            must come from the same split and settings.
        progress: told encoders and trainings.
        users: people (ids, uint64) whose own communities each encoder ranks, for `rankings`.
        fan_out: trainings are its items.

    Raises:
        ValueError: an unknown name in `trained`.
    """
    trained = dict(trained or {})
    if unknown := sorted(set(trained) - set(TRAINED)):
        raise ValueError(f"Unknown encoders {unknown}; the ablation knows {sorted(TRAINED)}.")
    data = Comparison(graph_dir, split_dir, features_dir, visual, settings, users)
    direct = rivals.all_rivals(data.graph, data.split, data.text, settings.tuning_variants)
    compared: dict[str, TrainedEncoder] = {}
    for name, (architecture, align) in TRAINED.items():
        if align and (data.images is None or settings.image_align_weight == 0):
            data.notes.append(f"{name} is left out: ImageAlign is off or there are no images.")
            continue
        weight = settings.image_align_weight if align else 0.0
        aligned = settings.model_copy(update={"image_align_weight": weight})
        variants = training_variants(aligned, settings.tuning_variants, architecture)
        compared[name] = TrainedEncoder(name, architecture, variants, trained.get(name))
    bench = Bench((graph_dir, split_dir, features_dir), visual, scratch_dir, fan_out, progress)
    first = [training for encoder in compared.values() for training in encoder.first(bench)]
    seeds = range(settings.seed + 1, settings.seed + settings.ablation_seeds)
    total = bench.total = 1 + len(direct) + len(first) + len(compared) * len(seeds)
    data.add(rivals.popularity(data.graph, data.split))
    progress(1, total, "popularity")
    for place, (name, fit) in enumerate(direct.items()):
        tuned = fit()
        data.add(tuned.scorer)
        data.tuning += tuned.runs
        data.notes.append(f"{name}: {tuned.description}.")
        own = tuned.scorer.own
        if isinstance(own, rivals.Rival) and (vectors := own.vectors()) is not None:
            data.add_retrieval(name, vectors)
        progress(2 + place, total, name)
    bench.done = 1 + len(direct)
    bench.train(first)
    for encoder in compared.values():
        encoder.tune(data, bench)
    bench.train([e.training(seed, bench) for e in compared.values() for seed in seeds])
    for encoder in compared.values():
        for seed in seeds:
            encoder.add_seed(seed, data, bench)
    result = data.finish(baselines=("popularity", "gatv2"), versus=VERSUS)
    best = ", ".join(f"{metric} {encoder}" for metric, encoder in result.winners().items())
    result.notes.append(f"Best over all links: {best}.")
    return result
