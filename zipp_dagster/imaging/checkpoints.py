"""Training states turned into standard model directories, with a model card.

`generator/` is a `StableDiffusionPipeline`, `clip/` a `CLIPModel` with tokenizer and image
preparation, `evaluation_encoder/` and `factor_classifier/` are small convolutional networks
(`convnet.py`). All fp16.
"""

# ruff: noqa: TID253  (torch and diffusers: this module's subject)
from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
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

SIZE_LIMIT = 20 * 2**20
_STAGES = ("text", "vision", "vae", "unet", "evaluation_encoder", "factor_classifier")


def export_models(training: Path, models: Path, settings: TrainingSettings) -> dict[str, int]:
    """Writes every model whose training state exists under `training` to `models`.

    Returns bytes by model. Replaces each model directory as a whole. Raises ValueError when all
    together exceed `SIZE_LIMIT`.
    """
    models.mkdir(parents=True, exist_ok=True)
    have = {stage for stage in _STAGES if (training / stage / "state.safetensors").exists()}
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
    if sum(sizes.values()) > SIZE_LIMIT:
        raise ValueError(f"the models take {sum(sizes.values())} bytes, more than {SIZE_LIMIT}")
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
        scheduler=DPMSolverMultistepScheduler(**{**schedule, "steps_offset": 1}),
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


def write_model_card(
    training: Path,
    models: Path,
    settings: TrainingSettings,
    judged: Mapping[str, Mapping[str, float]],
) -> Path:
    """Writes MODEL_CARD.md: what the models are, how they were trained, how good, which bytes."""
    lines = [
        "# The packaged small models",
        "",
        "Trained by `python -m zipp_dagster.imaging.train` on pictures and captions of the sample",
        "world's renderer alone: no photograph, no artwork, no text of any person. They draw the",
        "sample world's 14 subjects, 8 palettes, 6 media and 4 moods at 64 x 64, and exist so that",
        "every asset runs offline. Scores on them are synthetic and say nothing of real images.",
        "",
        "| model | what it is | use |",
        "|---|---|---|",
        "| generator | StableDiffusionPipeline: CLIP text 3 x 128, UNet (96, 128) on 8 x 8 x 32"
        " latents, AutoencoderKL | draws images |",
        "| clip | CLIPModel: the same text tower, vision 3 x 128, 96 dimensions | image features |",
        "| evaluation_encoder | small ConvNet, SimCLR, own seed, no captions or labels | clip_i |",
        "| factor_classifier | small ConvNet, supervised by factors, own seed | quality judge |",
        "",
        "## Training",
        "",
        f"Seed {settings.seed}; judges from {settings.judge_seed}. {settings.precision} on a CPU.",
        "",
        "| stage | steps | samples | hours of wall time | loss at ¼, ½, ¾ and the end |",
        "|---|---|---|---|---|",
    ]
    for stage in _STAGES:
        history = _history(training / stage / "history.jsonl")
        if history:
            last = history[-1]
            quarters = [history[min(len(history) - 1, len(history) * q // 4)] for q in (1, 2, 3, 4)]
            curve = ", ".join(f"{row['loss']:.4f}" for row in quarters)
            hours = last["seconds"] / 3600
            lines.append(
                f"| {stage} | {last['step']:.0f} | {last['samples']:.0f} | {hours:.2f} | {curve} |"
            )
    lines += ["", "## Judged by the factor classifier", ""]
    names = ("subject", "palette", "medium", "mood")
    lines += ["| images | subject | palette | medium | mood |", "|---|---|---|---|---|"]
    for what, numbers in judged.items():
        if all(name in numbers for name in names):
            cells = " | ".join(f"{numbers[name]:.3f}" for name in names)
            lines.append(f"| {what} | {cells} |")
    others = {
        f"{what}: {key}": value
        for what, numbers in judged.items()
        for key, value in numbers.items()
        if key not in names
    }
    lines += ["", *(f"- {key} {value:.3f}" for key, value in sorted(others.items()))]
    lines += ["", "## Files", "", "| file | bytes | SHA-256 |", "|---|---|---|"]
    for path in sorted(models.rglob("*.safetensors")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name = path.relative_to(models).as_posix()
        lines.append(f"| {name} | {path.stat().st_size} | `{digest}` |")
    card = models / "MODEL_CARD.md"
    card.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return card


def write_cards(
    training: Path,
    models: Path,
    settings: TrainingSettings,
    judged: Mapping[str, Mapping[str, float]],
) -> None:
    """Writes `card.json` into each model directory: flat facts for the asset's metadata."""
    stages = {
        "generator": ("text", "vae", "unet"),
        "clip": ("text", "vision"),
        "evaluation_encoder": ("evaluation_encoder",),
        "factor_classifier": ("factor_classifier",),
    }
    names = {
        "generator": ("generated", "generated, held-out combinations"),
        "evaluation_encoder": ("evaluation encoder, pairs of pictures",),
        "factor_classifier": ("real pictures",),
    }
    for model, parts in stages.items():
        if not (models / model).is_dir():
            continue
        facts: dict[str, float | int] = {"training_seed": settings.seed}
        if model in ("evaluation_encoder", "factor_classifier"):
            facts["training_seed"] = settings.judge_seed
        for stage in parts:
            history = _history(training / stage / "history.jsonl")
            if history:
                facts[f"{stage}_steps"] = int(history[-1]["step"])
                facts[f"{stage}_samples"] = int(history[-1]["samples"])
        for what in names.get(model, ()):
            for key, value in judged.get(what, {}).items():
                facts[f"{what.replace(', ', '_').replace(' ', '_')}_{key}"] = round(value, 4)
        text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
        (models / model / "card.json").write_text(text, encoding="utf-8")


def _history(path: Path) -> list[dict[str, float]]:
    """The rows of a training history, in order of steps; a resumed run's later rows win."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [row for _, row in sorted({row["step"]: row for row in rows}.items())]
