"""One of the small models from scratch, as a model directory: what the setting `retrain` does."""

from __future__ import annotations

from pathlib import Path

from zipp_dagster.imaging.checkpoints import export_models
from zipp_dagster.imaging.config import TrainingSettings
from zipp_dagster.imaging.train import train_models
from zipp_dagster.progress import Progress, silent

STAGES = {
    "clip": ("text", "vision"),
    "generator": ("text", "vae", "unet"),
    "evaluation_encoder": ("evaluation_encoder",),
    "factor_classifier": ("factor_classifier",),
}


def train_model(
    name: str, scratch: Path, settings: TrainingSettings, progress: Progress = silent
) -> Path:
    """Train a packaged model's stages below `scratch` and return its exported directory.

    A killed training resumes from what lies in `scratch`. The text tower, which CLIP and the
    generator share, is trained from the same seed for both: the same weights.
    """
    train_models(scratch / "training", settings, STAGES[name], progress=progress)
    export_models(scratch / "training", scratch / "models", settings)
    return scratch / "models" / name
