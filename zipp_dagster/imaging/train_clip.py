"""Training of the small CLIP: the text tower first, then the vision tower against it.

The text tower learns which factors a caption names (cross-entropy), over a wide vocabulary that
includes words which the generator's captions never use. The vision tower then learns to meet the
frozen text embeddings (soft-target InfoNCE). Trained jointly from scratch the subject stays near
chance.
"""

# ruff: noqa: TID253  (torch and transformers: this module's subject)
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from zipp_dagster.imaging.config import TrainingSettings
from zipp_dagster.imaging.dataset import (
    FILLERS,
    IMAGE_SIZE,
    draw_captions,
    draw_factors,
    draw_images,
    labels,
    to_model_range,
)
from zipp_dagster.imaging.loop import Outcome, Plan, restore, train
from zipp_dagster.imaging.tokenizer import MAX_TOKENS, encode
from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.captions import caption, phrase
from zipp_dagster.sampleworld.vocabulary import FACTOR_NAMES, FACTOR_VALUES, Factors, all_factors

PROJECTION = 96
WIDTH = 128
_TEMPERATURE = 0.07


def clip_config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    """Shapes of the small CLIP: text 3 x 128, vision 3 x 128 on patches of 8 pixels."""
    common = {"hidden_size": WIDTH, "num_attention_heads": 4, "projection_dim": PROJECTION}
    end = tokenizer.eos_token_id
    return CLIPConfig(
        text_config={
            **common,
            "vocab_size": len(tokenizer),
            "intermediate_size": 512,
            "num_hidden_layers": 3,
            "max_position_embeddings": MAX_TOKENS,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        vision_config={
            **common,
            "intermediate_size": 384,
            "num_hidden_layers": 3,
            "image_size": IMAGE_SIZE,
            "patch_size": 8,
        },
        projection_dim=PROJECTION,
        logit_scale_init_value=float(np.log(1 / _TEMPERATURE)),
    )


def new_clip(tokenizer: CLIPTokenizer, seed: int) -> CLIPModel:
    """An untrained small CLIP."""
    torch.manual_seed(seed)
    return CLIPModel(clip_config(tokenizer))


class TextTower(nn.Module):
    """CLIP's text half with one linear head a factor, which training alone uses."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.text_model = clip.text_model
        self.text_projection = clip.text_projection
        self.heads = nn.ModuleDict(
            {name: nn.Linear(PROJECTION, len(v)) for name, v in FACTOR_VALUES.items()}
        )

    def embed(self, ids: Tensor) -> Tensor:
        """Unit-norm text embeddings, float32 [n, PROJECTION]."""
        pooled = self.text_model(input_ids=ids).pooler_output
        return F.normalize(self.text_projection(pooled).float(), dim=-1)

    def logits(self, ids: Tensor) -> dict[str, Tensor]:
        """Scores of each factor's values; the gain lets a unit-norm embedding be certain."""
        embedding = self.embed(ids)
        return {name: 12.0 * head(embedding) for name, head in self.heads.items()}


def _text_example(f: Factors, rng: np.random.Generator) -> tuple[str, list[int]]:
    """A caption in usual or unusual words, perhaps with noise, and the factors that it names."""
    target = list(f.indices())
    kind = rng.random()
    if kind < 0.25:  # single phrases and pairs: what a word means must not hang on its neighbours
        names = [FACTOR_NAMES[int(i)] for i in rng.permutation(4)[: int(rng.integers(1, 3))]]
        words = [phrase(n, getattr(f, n), rng, paraphrase=bool(rng.random() < 0.4)) for n in names]
    else:
        names, words = list(FACTOR_NAMES), [caption(f, rng, paraphrase=bool(kind < 0.5))]
    if rng.random() < 0.35:
        words.insert(int(rng.integers(len(words) + 1)), FILLERS[int(rng.integers(len(FILLERS)))])
    target = [t if n in names else -100 for n, t in zip(FACTOR_NAMES, target, strict=True)]
    return ", ".join(words), target


def train_text(
    tokenizer: CLIPTokenizer,
    directory: Path,
    settings: TrainingSettings,
    deadline: float | None = None,
    progress: Progress = silent,
) -> tuple[TextTower, Outcome]:
    """Trains the text tower; its state lies under `directory`."""
    tower = TextTower(new_clip(tokenizer, settings.seed))
    pool = all_factors()

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([settings.seed, 1, step])
        examples = [_text_example(f, rng) for f in draw_factors(pool, rng, settings.text_batch)]
        ids = torch.from_numpy(encode(tokenizer, [text for text, _ in examples]))
        target = torch.tensor([t for _, t in examples])
        logits = tower.logits(ids)
        terms = [
            F.cross_entropy(logits[name], target[:, i], label_smoothing=0.02)
            for i, name in enumerate(FACTOR_NAMES)
        ]
        named = target[:, 0] >= 0
        right = (logits["subject"].argmax(1) == target[:, 0])[named].float().mean()
        return torch.stack(terms).mean(), {"subject": float(right)}

    plan = Plan(settings.text_steps, settings.text_batch, 1e-3, warmup=100, weight_decay=0.05)
    outcome = train(
        "clip text",
        tower,
        step_loss,
        plan,
        directory,
        seed=settings.seed + 1,
        save_every_s=settings.save_every_s,
        deadline=deadline,
        progress=progress,
    )
    return tower, outcome


def load_text(tokenizer: CLIPTokenizer, directory: Path) -> TextTower:
    """The text tower of a saved state, frozen."""
    tower = TextTower(new_clip(tokenizer, 0))
    restore(directory / "state.safetensors", tower)
    return tower.eval().requires_grad_(False)


class VisionTower(nn.Module):
    """CLIP's vision half."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.vision_model = clip.vision_model
        self.visual_projection = clip.visual_projection

    def embed(self, pixels: Tensor) -> Tensor:
        """Unit-norm image embeddings of pixels in -1..1, float32 [n, PROJECTION]."""
        pooled = self.vision_model(pixel_values=pixels).pooler_output
        return F.normalize(self.visual_projection(pooled).float(), dim=-1)


def train_vision(
    tokenizer: CLIPTokenizer,
    text: TextTower,
    directory: Path,
    settings: TrainingSettings,
    deadline: float | None = None,
    progress: Progress = silent,
) -> tuple[VisionTower, Outcome]:
    """Trains the vision tower against the frozen text tower."""
    tower = VisionTower(new_clip(tokenizer, settings.seed))
    pool = all_factors()

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([settings.seed, 2, step])
        factors = draw_factors(pool, rng, settings.vision_batch)
        pixels = torch.from_numpy(to_model_range(draw_images(factors, rng)))
        captions = draw_captions(factors, rng, drop=0.0, filler=0.1)
        with torch.no_grad():
            words = text.embed(torch.from_numpy(encode(tokenizer, captions)))
            soft = (words @ words.T / _TEMPERATURE).softmax(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            seen = tower.embed(pixels)
        scores = seen @ words.T / _TEMPERATURE
        contrast = F.cross_entropy(scores, soft) + F.cross_entropy(scores.T, soft)
        nearness = 1 - (seen * words).sum(1).mean()
        target = torch.from_numpy(labels(factors))
        heads = {name: 12.0 * head(seen) for name, head in text.heads.items()}
        named = [F.cross_entropy(heads[n], target[:, i]) for i, n in enumerate(FACTOR_NAMES)]
        right = (heads["subject"].argmax(1) == target[:, 0]).float().mean()
        loss = 0.5 * contrast + 2.0 * nearness + torch.stack(named).mean()
        return loss, {"nearness": float(nearness.detach()), "subject": float(right)}

    plan = Plan(settings.vision_steps, settings.vision_batch, 1e-3, warmup=100, weight_decay=0.05)
    outcome = train(
        "clip vision",
        tower,
        step_loss,
        plan,
        directory,
        seed=settings.seed + 2,
        save_every_s=settings.save_every_s,
        deadline=deadline,
        progress=progress,
    )
    return tower, outcome


def assemble_clip(tokenizer: CLIPTokenizer, text_dir: Path, vision_dir: Path) -> CLIPModel:
    """A `CLIPModel` of both towers' saved states."""
    text = load_text(tokenizer, text_dir)
    clip = new_clip(tokenizer, 0)
    vision = VisionTower(clip)
    restore(vision_dir / "state.safetensors", vision)
    clip.text_model.load_state_dict(text.text_model.state_dict())
    clip.text_projection.load_state_dict(text.text_projection.state_dict())
    return clip.eval().requires_grad_(False)
