"""What is said of the small models: MODEL_CARD.md for people, card.json for an asset's metadata.

A card is written anew at each export; of models that were not trained this time it keeps what the
card before said about their training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from zipp_dagster.imaging.config import ImagingSettings, TrainingSettings

Judged = Mapping[str, Mapping[str, float]]

MODEL_STAGES = {
    "generator": ("text", "vae", "unet"),
    "clip": ("text", "vision"),
    "evaluation_encoder": ("evaluation_encoder",),
    "factor_classifier": ("factor_classifier",),
}
_STAGES = ("text", "vision", "vae", "unet", "evaluation_encoder", "factor_classifier")
_FACTORS = ("subject", "palette", "medium", "mood")
_JUDGED_IN = {
    "generator": (
        "generated",
        "generated, held-out combinations",
        "generated, paraphrased prompts",
    ),
    "evaluation_encoder": ("evaluation encoder, pairs of pictures",),
    "factor_classifier": ("real pictures",),
}


def write_model_card(
    training: Path, models: Path, settings: ImagingSettings, judged: Judged
) -> Path:
    """Writes MODEL_CARD.md: what the models are, how they were trained, how good, which bytes."""
    card = models / "MODEL_CARD.md"
    plan = settings.training
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
        f"Seed {plan.seed}; judges from {plan.judge_seed}. {plan.precision} on a CPU. The loss is the",
        "mean of the ten readings around each point.",
        "",
        "| stage | steps | samples | hours of wall time | loss at ¼, ½, ¾ and the end |",
        "|---|---|---|---|---|",
        *_stage_rows(training, card),
        "",
        "## Judged by the factor classifier",
        "",
        f"{settings.steps} steps of the saved scheduler, guidance {settings.guidance}, which rests from "
        f"{settings.guidance_rest[0]} to {settings.guidance_rest[1]} of the steps.",
        "",
        "| images | subject | palette | medium | mood |",
        "|---|---|---|---|---|",
    ]
    for what, numbers in judged.items():
        if all(name in numbers for name in _FACTORS):
            cells = " | ".join(f"{numbers[name]:.3f}" for name in _FACTORS)
            lines.append(f"| {what} | {cells} |")
    others = {
        f"{what}: {key}": value
        for what, numbers in judged.items()
        for key, value in numbers.items()
        if key not in _FACTORS
    }
    lines += ["", *(f"- {key} {value:.3f}" for key, value in sorted(others.items()))]
    lines += ["", "## Files", "", "| file | bytes | SHA-256 |", "|---|---|---|"]
    for path in sorted(models.rglob("*.safetensors")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name = path.relative_to(models).as_posix()
        lines.append(f"| {name} | {path.stat().st_size} | `{digest}` |")
    card.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return card


def _stage_rows(training: Path, earlier: Path) -> list[str]:
    """A table row a stage: from this training's history, else as the earlier card has it."""
    old = earlier.read_text(encoding="utf-8").splitlines() if earlier.exists() else []
    rows = []
    for stage in _STAGES:
        history = history_of(training / stage)
        if history:
            last = history[-1]
            curve = ", ".join(f"{loss:.4f}" for loss in _curve(history))
            hours = last["seconds"] / 3600
            rows.append(
                f"| {stage} | {last['step']:.0f} | {last['samples']:.0f} | {hours:.2f} | {curve} |"
            )
        else:
            # Stages have five cells, models three: the names of two are the same.
            rows += [r for r in old if r.startswith(f"| {stage} |") and r.count("|") == 6]
    return rows


def _curve(history: Sequence[Mapping[str, float]]) -> list[float]:
    """The loss at a quarter, half, three quarters and the end, each over ten readings."""
    losses = [row["loss"] for row in history]
    ends = [max(1, len(losses) * quarter // 4) for quarter in (1, 2, 3, 4)]
    parts = [losses[max(0, end - 10) : end] for end in ends]
    return [sum(part) / len(part) for part in parts]


def write_cards(training: Path, models: Path, plan: TrainingSettings, judged: Judged) -> None:
    """Writes `card.json` into each model directory: flat facts for the asset's metadata."""
    for model, stages in MODEL_STAGES.items():
        if not (models / model).is_dir():
            continue
        path = models / model / "card.json"
        facts: dict[str, float | int] = {}
        if path.exists():
            facts = json.loads(path.read_text(encoding="utf-8"))
        judge = model in ("evaluation_encoder", "factor_classifier")
        facts["training_seed"] = plan.judge_seed if judge else plan.seed
        for stage in stages:
            history = history_of(training / stage)
            if history:
                facts[f"{stage}_steps"] = int(history[-1]["step"])
                facts[f"{stage}_samples"] = int(history[-1]["samples"])
        for what in _JUDGED_IN.get(model, ()):
            for key, value in judged.get(what, {}).items():
                facts[f"{what.replace(', ', '_').replace(' ', '_')}_{key}"] = round(value, 4)
        text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
        path.write_text(text, encoding="utf-8")


def history_of(stage: Path) -> list[dict[str, float]]:
    """The rows of a stage's training history, in order of steps; a resumed run's later rows win.

    A kill may have cut the last line short; that reading is left out.
    """
    path = stage / "history.jsonl"
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.endswith("}"):
            rows.append(json.loads(line))
    return [row for _, row in sorted({row["step"]: row for row in rows}.items())]
