"""Training of the factor classifier: the judge that says what a generated picture shows.

Supervised by the renderer's factors, on all combinations, with a seed and a run of its own; it
never sees a generated picture, a caption or the generator. Mild blur, noise and shifts keep it from
reading the renderer's exact edges.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zipp_dagster.imaging.config import TrainingSettings
from zipp_dagster.imaging.convnet import ConvNet
from zipp_dagster.imaging.dataset import draw_factors, draw_images, labels, to_model_range
from zipp_dagster.imaging.loop import Outcome, Plan, restore, train
from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.vocabulary import FACTOR_NAMES, FACTOR_VALUES, all_factors

SIZES = [len(FACTOR_VALUES[name]) for name in FACTOR_NAMES]


def new_classifier(seed: int) -> ConvNet:
    """An untrained classifier: one output a value of each factor, 32 in all."""
    torch.manual_seed(seed)
    return ConvNet(sum(SIZES))


def _degrade(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur of half the pictures, noise and a shift of up to 3 pixels."""
    blurred = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = torch.from_numpy(rng.random(len(pixels)) * (rng.random(len(pixels)) < 0.5)).float()
    pixels = torch.lerp(pixels, blurred, share.view(-1, 1, 1, 1))
    noise = torch.from_numpy(rng.random(len(pixels)) * 0.12).float().view(-1, 1, 1, 1)
    pixels = pixels + noise * torch.randn_like(pixels)
    dy, dx = (int(v) for v in rng.integers(-3, 4, size=2))
    padded = F.pad(pixels, (3, 3, 3, 3), mode="replicate")
    return padded[:, :, 3 + dy : 3 + dy + 64, 3 + dx : 3 + dx + 64]


def train_factor_classifier(
    directory: Path,
    settings: TrainingSettings,
    deadline: float | None = None,
    progress: Progress = silent,
) -> tuple[ConvNet, Outcome]:
    """Trains the classifier; its state lies under `directory`."""
    seed = settings.judge_seed + 2
    net = new_classifier(seed)
    pool = all_factors()

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([seed, 7, step])
        factors = draw_factors(pool, rng, settings.judge_batch)
        pixels = _degrade(torch.from_numpy(to_model_range(draw_images(factors, rng))), rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            out = net(pixels)
        target = torch.from_numpy(labels(factors))
        parts = out.float().split(SIZES, 1)
        terms = [
            F.cross_entropy(part, target[:, i], label_smoothing=0.03)
            for i, part in enumerate(parts)
        ]
        right = {
            name: float((part.argmax(1) == target[:, i]).float().mean())
            for i, (name, part) in enumerate(zip(FACTOR_NAMES, parts, strict=True))
        }
        return torch.stack(terms).mean(), right

    plan = Plan(settings.classifier_steps, settings.judge_batch, 2e-3, warmup=50, weight_decay=0.05)
    outcome = train(
        "factor classifier",
        net,
        step_loss,
        plan,
        directory,
        seed=seed,
        save_every_s=settings.save_every_s,
        deadline=deadline,
        progress=progress,
    )
    return net, outcome


def load_trained_classifier(directory: Path) -> ConvNet:
    """The classifier of a saved state, frozen."""
    net = new_classifier(0)
    restore(directory / "state.safetensors", net)
    return net.eval().requires_grad_(False)
