"""The encoder ablation: every encoder × metric on one split, tuned alike, over several seeds.

What lives here: which encoders are compared, and the training of those that train. What does not:
the table and its intervals (`comparison`), the metrics, and the encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from zipp_dagster.encoder import rivals
from zipp_dagster.encoder.comparison import Ablation, Comparison, model_scorer
from zipp_dagster.encoder.config import Architecture, EncoderSettings
from zipp_dagster.encoder.evaluation import DotScorer
from zipp_dagster.encoder.model_io import load_model
from zipp_dagster.encoder.tuning import tune
from zipp_dagster.encoder.variants import training_variants
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
        progress: told encoders.
        users: people (ids, uint64) whose own communities each encoder ranks, for `rankings`.

    Raises:
        ValueError: an unknown name in `trained`.
    """
    trained = dict(trained or {})
    if unknown := sorted(set(trained) - set(TRAINED)):
        raise ValueError(f"Unknown encoders {unknown}; the ablation knows {sorted(TRAINED)}.")
    data = Comparison(graph_dir, split_dir, features_dir, visual, settings, users)
    direct = rivals.all_rivals(data.graph, data.split, data.text, settings.tuning_variants)
    total = 1 + len(direct) + len(TRAINED)
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
    for place, (name, (architecture, align)) in enumerate(TRAINED.items()):
        if align and (data.images is None or settings.image_align_weight == 0):
            data.notes.append(f"{name} is left out: ImageAlign is off or there are no images.")
        else:
            weight = settings.image_align_weight if align else 0.0
            own_settings = settings.model_copy(update={"image_align_weight": weight})

            def fitted(
                key: str,
                chosen: EncoderSettings,
                architecture: Architecture = architecture,
            ) -> Path:
                return _train(
                    (graph_dir, split_dir, features_dir),
                    visual, chosen, architecture, scratch_dir, key,
                )  # fmt: skip

            _add_trained(data, name, own_settings, fitted, trained.get(name))
        progress(2 + len(direct) + place, total, name)
    best = ", ".join(f"{metric} {encoder}" for metric, encoder in data_winners(data).items())
    data.notes.append(f"Best over all links: {best}.")
    return data.finish(baselines=("popularity", "gatv2"), versus=VERSUS)


def data_winners(data: Comparison) -> dict[str, str]:
    """The best encoder by metric, before the table is written."""
    return data.finish(baselines=()).winners()


def _add_trained(
    data: Comparison,
    name: str,
    settings: EncoderSettings,
    fitted: Callable[[str, EncoderSettings], Path],
    given: Path | None,
) -> None:
    """Tune one trained encoder on the settings' seed, then add it for every seed."""
    variants = training_variants(settings, settings.tuning_variants)

    def scorer(directory: Path) -> DotScorer:
        model = load_model(directory)
        return model_scorer(name, model, data.graph, data.split, data.text, settings)

    directories = [
        given if given and number == 0 else fitted(f"{name}.{number}", chosen)
        for number, (_, chosen) in enumerate(variants)
    ]
    scorers = [scorer(directory) for directory in directories]
    described = [description for description, _ in variants]
    tuned = tune(zip(described, scorers), data.graph, data.split)
    data.tuning += tuned.runs
    data.notes.append(f"{name}: {tuned.description}.")
    data.add(tuned.scorer)
    data.add_model(name, load_model(directories[tuned.variant]), scorers[tuned.variant])
    for extra in range(1, settings.ablation_seeds):
        seed = settings.seed + extra
        again = variants[tuned.variant][1].model_copy(update={"seed": seed})
        directory = fitted(f"{name}.seed{seed}", again)
        another = scorer(directory)
        data.add(tuned.refitted(another, data.graph, data.split))
        data.add_model(name, load_model(directory), another)


def _train(
    dirs: tuple[Path, Path, Path],
    visual: pa.Table | None,
    settings: EncoderSettings,
    architecture: Architecture,
    scratch_dir: Path,
    key: str,
) -> Path:
    from zipp_dagster.encoder.training import train

    out, scratch = scratch_dir / key, scratch_dir / f"{key}.unfinished"
    # They may be there already: a killed run left its checkpoint to resume from.
    out.mkdir(exist_ok=True)
    scratch.mkdir(exist_ok=True)
    train(*dirs, visual, settings, out, scratch, architecture=architecture)
    return out
