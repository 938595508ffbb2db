"""Training states turned into standard model directories (cards are in `model_card.py`).

`generator/` is a `StableDiffusionPipeline`, `clip/` a `CLIPModel` with tokenizer and image
preparation, `evaluation_encoder/` and `factor_classifier/` are small convolutional networks
(`convnet.py`). All fp16.
"""

# ruff: noqa: TID253  (torch and diffusers: this module's subject)
from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from transformers import CLIPTextModel, CLIPTokenizer

from zipp_dagster.imaging.config import TrainingSettings
from zipp_dagster.imaging.convnet import save_convnet
from zipp_dagster.imaging.encoders import CLASSIFIER_KIND, EVALUATION_KIND
from zipp_dagster.imaging.train_clip import assemble_clip, load_text
from zipp_dagster.imaging.train_evaluation_encoder import load_trained_evaluation_encoder
from zipp_dagster.imaging.train_factor_classifier import load_trained_classifier
from zipp_dagster.imaging.train_unet import SCHEDULE, load_unet
from zipp_dagster.imaging.train_vae import load_vae

SIZE_LIMIT = 20_000_000  # bytes of all packaged models together
STAGES = ("text", "vision", "vae", "unet", "evaluation_encoder", "factor_classifier")


def export_models(training: Path, models: Path, settings: TrainingSettings) -> dict[str, int]:
    """Writes every model whose training state exists under `training` to `models`.

    Returns bytes by model. Replaces each model directory as a whole. Raises ValueError when the
    folder then exceeds `SIZE_LIMIT`.
    """
    models.mkdir(parents=True, exist_ok=True)
    have = {stage for stage in STAGES if (training / stage / "state.safetensors").exists()}
    sizes: dict[str, int] = {}
    if {"text", "vae", "unet"} <= have:
        sizes["generator"] = _replace(
            models / "generator", lambda d: _export_generator(training, d)
        )
    if {"text", "vision"} <= have:
        sizes["clip"] = _replace(models / "clip", lambda d: _export_clip(training, d))
    if "evaluation_encoder" in have:
        net = load_trained_evaluation_encoder(training / "evaluation_encoder")
        seed = settings.judge_seed + 1
        sizes["evaluation_encoder"] = _replace(
            models / "evaluation_encoder",
            lambda d: save_convnet(net, d, EVALUATION_KIND, seed=seed),
        )
    if "factor_classifier" in have:
        judge = load_trained_classifier(training / "factor_classifier")
        seed = settings.judge_seed + 2
        sizes["factor_classifier"] = _replace(
            models / "factor_classifier",
            lambda d: save_convnet(judge, d, CLASSIFIER_KIND, seed=seed),
        )
    total = sum(path.stat().st_size for path in models.rglob("*") if path.is_file())
    if total > SIZE_LIMIT:
        raise ValueError(f"the models in {models} take {total} bytes, more than {SIZE_LIMIT}")
    return sizes


def _replace(target: Path, write: Callable[[Path], None]) -> int:
    """Writes a directory beside the target, then swaps it in."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        fresh = Path(scratch) / target.name
        write(fresh)
        if target.exists():
            shutil.rmtree(target)
        fresh.replace(target)
    return sum(p.stat().st_size for p in target.rglob("*") if p.is_file())


def _export_generator(training: Path, directory: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(training / "tokenizer")
    clip_text = load_text(tokenizer, training / "text")
    text = CLIPTextModel(clip_text.text_model.config)
    # `CLIPTextModel` may or may not nest its weights one level deeper.
    getattr(text, "text_model", text).load_state_dict(clip_text.text_model.state_dict())
    unet, _ = load_unet(training / "unet")
    schedule = {k: v for k, v in SCHEDULE.items() if k not in ("clip_sample", "set_alpha_to_one")}
    pipeline: Any = StableDiffusionPipeline(
        vae=load_vae(training / "vae"),
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        # Stochastic: noise put back at each step lets the small U-Net correct itself. The
        # deterministic solver of the same order smears shapes however many steps it takes.
        scheduler=DPMSolverMultistepScheduler(
            **{**schedule, "steps_offset": 1, "algorithm_type": "sde-dpmsolver++"}
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(directory, safe_serialization=True)


def _export_clip(training: Path, directory: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(training / "tokenizer")
    clip: Any = assemble_clip(tokenizer, training / "text", training / "vision")
    clip.half().save_pretrained(directory, safe_serialization=True)
    tokenizer.save_pretrained(directory)
    side = int(clip.config.vision_config.image_size)
    preparation = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side},
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
        "resample": 3,
    }
    text = json.dumps(preparation, indent=2) + "\n"
    (directory / "preprocessor_config.json").write_text(text, encoding="utf-8")
