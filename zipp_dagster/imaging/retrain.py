"""One of the small models from scratch, as a model directory: what the setting `retrain` does."""

from __future__ import annotations

from pathlib import Path

from zipp_dagster.imaging.checkpoints import export_models
from zipp_dagster.imaging.config import TrainingSettings
from zipp_dagster.imaging.model_card import MODEL_STAGES, history_of
from zipp_dagster.imaging.train import train_models
from zipp_dagster.progress import Progress, silent


def train_model(
    name: str, scratch: Path, settings: TrainingSettings, progress: Progress = silent
) -> Path:
    """Train a packaged model's stages below `scratch` and return its exported directory.

    A killed training resumes from what lies in `scratch`. The text tower, which CLIP and the
    generator share, is trained from the same seed for both: the same weights.
    """
    train_models(scratch / "training", settings, MODEL_STAGES[name], progress=progress)
    export_models(scratch / "training", scratch / "models", settings)
    return scratch / "models" / name


def training_curves(name: str, scratch: Path) -> dict[str, list[dict[str, float]]]:
    """The readings (step, loss and more) of each stage that `train_model` ran below `scratch`."""
    stages = {stage: history_of(scratch / "training" / stage) for stage in MODEL_STAGES[name]}
    return {stage: rows for stage, rows in stages.items() if rows}
