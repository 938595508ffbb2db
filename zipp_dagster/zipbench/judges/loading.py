"""From the settings to a judge: by kind, from a directory or a hub id."""

from __future__ import annotations

from pathlib import Path

from zipp_dagster.zipbench.config import JudgeSettings
from zipp_dagster.zipbench.judges.base import ComparingJudge, JudgeError, RewardModel

HUB = {
    "pickscore": "yuvalkirstain/PickScore_v1",
    "hpsv2": "xswu/HPSv2",
    "imagereward": "THUDM/ImageReward",
}
"""Where each kind is published; PIGReward and other comparing models are named in the settings."""


def load_judge(settings: JudgeSettings) -> RewardModel | ComparingJudge:
    """The configured judge. JudgeError names the setting and the file that is missing or broken."""
    if settings.kind is None:
        raise JudgeError("no judge is configured: set judge.kind")
    model = settings.model or HUB.get(settings.kind, "")
    if not model:
        raise JudgeError(f"judge.kind={settings.kind!r} needs judge.model")
    try:
        if settings.kind == "pickscore":
            from zipp_dagster.zipbench.judges.pickscore import PickScore

            return PickScore(model, settings)
        if settings.kind == "hpsv2":
            from zipp_dagster.zipbench.judges.hpsv2 import Hpsv2

            return Hpsv2(model, settings)
        if settings.kind == "imagereward":
            from zipp_dagster.zipbench.judges.imagereward import ImageReward

            return ImageReward(model, settings)
        from zipp_dagster.zipbench.judges.vlm import VisionLanguageJudge

        return VisionLanguageJudge(model, settings)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise JudgeError(
            f"judge.kind={settings.kind!r}, judge.model={model!r} cannot be loaded: {error}"
        ) from error


def checkpoint_file(model: str, revision: str | None, name: str) -> Path:
    """A file of a model's directory, or of its hub repository. OSError where there is none."""
    from transformers.utils import cached_file

    if Path(model).is_file():
        return Path(model)
    return Path(str(cached_file(model, name, revision=revision)))
