"""Models that see, read and draw: packaged, the user's own, or trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.tracking import Tracker
from zipp_dagster.progress import Progress

OWNER = "team:imaging"


@check("embeds_documents")
def embeds_documents(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Two unlike documents get finite, unlike vectors."""
    import numpy as np

    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.imaging.text_encoder import load_text_encoder

    stored = stored_model(draft.directory)
    documents = inputs["subreddit_documents"].table()["document"].to_pylist()[:64]
    vectors = load_text_encoder(stored.model, stored.revision).embed(documents)
    finite = bool(np.isfinite(vectors).all())
    spread = float(np.asarray(vectors).std(axis=0).mean())
    return CheckOutcome(
        finite and spread > 0,
        f"{vectors.shape[1]} dimensions, finite: {finite}, spread {spread:.3f}",
    )


@artifact(
    group="imaging",
    kinds={"scikitlearn"},
    owner=OWNER,
    inputs=["subreddit_documents"],
    checks=[embeds_documents],
    model_name="zipp-text-encoder",
)
def text_encoder(inputs: Inputs, out: Draft, settings: ImagingSettings) -> Summary:
    """Documents to vectors: TF-IDF and SVD fitted on the communities, or a sentence encoder.

    Gives communities, and through them new users, features that need no training.
    """
    from zipp_dagster.imaging.pipelines import resolve_model
    from zipp_dagster.imaging.stored_models import store_model
    from zipp_dagster.imaging.text_encoder import fit_text_encoder

    if settings.text_model:
        setting = "imaging.text_model"
        source = resolve_model(settings.text_model, "", setting)
        store_model(source, settings.text_revision, out.directory, setting=setting, packaged=False)
        return Summary(metadata={"kind": "sentence encoder", "model": settings.text_model})
    documents = inputs["subreddit_documents"].table()["document"].to_pylist()
    out.path("model").mkdir()
    fit_text_encoder(documents, out.path("model"), settings.text_dim)
    return Summary(metadata={"kind": "TF-IDF and SVD", "documents": len(documents)})


def _keep(
    name: str,
    chosen: str | None,
    revision: str | None,
    setting: str,
    out: Draft,
    settings: ImagingSettings,
    tracker: Tracker,
    progress: Progress,
) -> Summary:
    """One of the small models: the packaged one, the user's, or a freshly trained one."""
    import json

    from zipp_dagster.imaging.pipelines import resolve_model
    from zipp_dagster.imaging.stored_models import store_model

    plots: dict[str, bytes] = {}
    if settings.retrain and chosen is None:
        from zipp_dagster.imaging.retrain import train_model, training_curves
        from zipp_dagster.platform.previews import curves

        source: str | Path = train_model(name, out.scratch, settings.training, progress)
        for stage, rows in training_curves(name, out.scratch).items():
            tracker.log_history([_of_stage(stage, row) for row in rows])
            losses = [(row["step"], row["loss"]) for row in rows]
            plots[f"training of {stage}"] = curves({"loss": losses}, "step")
    else:
        source = resolve_model(chosen, name, setting)
    packaged = chosen is None and not settings.retrain
    size = store_model(source, revision, out.directory, setting=setting, packaged=packaged)
    card = Path(source) / "card.json" if isinstance(source, Path) else None
    facts: dict[str, Any] = {"source": "packaged" if packaged else str(source), "model_bytes": size}
    if card is not None and card.is_file():
        facts |= json.loads(card.read_text())
    return Summary(metadata=facts, images=plots)


def _of_stage(stage: str, row: dict[str, float]) -> dict[str, float]:
    """A reading with its stage in the metrics' names: a model's stages share one MLflow run."""
    return {key if key == "step" else f"{stage}.{key}": value for key, value in row.items()}


@check("model_files_safe")
def model_files_safe(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Weights are safetensors with finite numbers, or a hub revision is pinned; there is no pickle."""
    import numpy as np
    from safetensors.numpy import load_file

    from zipp_dagster.imaging.stored_models import PICKLES, stored_model

    stored = stored_model(draft.directory)
    if isinstance(stored.model, str):
        return CheckOutcome(bool(stored.revision), f"{stored.model} at {stored.revision}")
    files = [path for path in Path(stored.model).rglob("*") if path.is_file()]
    pickles = [path.name for path in files if path.suffix in PICKLES]
    weights = [path for path in files if path.suffix == ".safetensors"]
    broken = [
        path.name
        for path in weights
        if not all(np.isfinite(array).all() for array in load_file(path).values())
    ]
    return CheckOutcome(
        bool(weights) and not pickles and not broken,
        f"{len(weights)} weight files; pickles: {pickles or 'none'}; not finite: {broken or 'none'}",
    )


@artifact(
    group="imaging",
    kinds={"transformers", "safetensors"},
    owner=OWNER,
    checks=[model_files_safe],
    model_name="zipp-vision-encoder",
)
def vision_encoder(
    out: Draft, settings: ImagingSettings, tracker: Tracker, progress: Progress
) -> Summary:
    """The CLIP-class model that turns people's images into the vectors of ImageAlign.

    It shares its training with the generator, so the benchmark never judges by it.
    """
    return _keep(
        "clip",
        settings.vision_model,
        settings.vision_revision,
        "imaging.vision_model",
        out,
        settings,
        tracker,
        progress,
    )


@artifact(
    group="imaging",
    kinds={"torch", "safetensors"},
    owner=OWNER,
    checks=[model_files_safe],
    model_name="zipp-evaluation-encoder",
)
def evaluation_encoder(
    out: Draft, settings: ImagingSettings, tracker: Tracker, progress: Progress
) -> Summary:
    """The judge of likeness in the benchmark: an image encoder of its own training run.

    Self-supervised on pictures alone: no captions, no labels, nothing shared with the generator.
    """
    return _keep(
        "evaluation_encoder",
        settings.evaluation_model,
        settings.evaluation_revision,
        "imaging.evaluation_model",
        out,
        settings,
        tracker,
        progress,
    )


@artifact(
    group="imaging",
    kinds={"torch", "safetensors"},
    owner=OWNER,
    checks=[model_files_safe],
    model_name="zipp-factor-classifier",
)
def factor_classifier(
    out: Draft, settings: ImagingSettings, tracker: Tracker, progress: Progress
) -> Summary:
    """The judge of the small generator: which subject, palette, medium and mood a picture shows.

    Trained apart from everything that it judges. Only the sample world has such factors.
    """
    return _keep("factor_classifier", None, None, "imaging", out, settings, tracker, progress)


@artifact(
    group="imaging",
    kinds={"diffusers", "safetensors"},
    owner=OWNER,
    checks=[model_files_safe],
    model_name="zipp-diffusion-model",
)
def diffusion_model(
    out: Draft, settings: ImagingSettings, tracker: Tracker, progress: Progress
) -> Summary:
    """The frozen generator: the packaged small Stable Diffusion, a directory, or a hub revision.

    Every method of the benchmark draws with it, with the same seeds and sampler.
    """
    return _keep(
        "generator",
        settings.model,
        settings.revision,
        "imaging.model",
        out,
        settings,
        tracker,
        progress,
    )


ARTIFACTS = (
    text_encoder,
    vision_encoder,
    evaluation_encoder,
    factor_classifier,
    diffusion_model,
)
