"""Training of the evaluation encoder: self-supervised, apart from everything that it will judge.

Two views of the same rendered picture attract each other and repel all other pictures of the batch
(SimCLR's loss). Views differ in crop, mirror image, sharpness and noise, never in colour or
texture, because those are what an artwork is judged by. No caption and no factor label is read:
pictures are drawn from all combinations, and their factors are thrown away.
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
from zipp_dagster.imaging.dataset import draw_factors, draw_images, to_model_range
from zipp_dagster.imaging.loop import Outcome, Plan, restore, train
from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.vocabulary import all_factors

DIM = 96
_WIDTHS = (16, 32, 64, 96)
_TEMPERATURE = 0.15


def new_evaluation_encoder(seed: int) -> ConvNet:
    """An untrained encoder of `DIM` outputs."""
    torch.manual_seed(seed)
    return ConvNet(DIM, _WIDTHS)


def view(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """A random view of each picture: crop and scale, mirror, slight blur, noise and brightness."""
    count = len(pixels)
    scale = torch.from_numpy(rng.uniform(0.78, 1.12, count)).float()
    flip = torch.from_numpy(np.where(rng.random(count) < 0.5, -1.0, 1.0)).float()
    turn = torch.from_numpy(0.1 * rng.standard_normal(count)).float()
    shift = torch.from_numpy(rng.uniform(-0.14, 0.14, (count, 2))).float()
    cos, sin = turn.cos() * scale, turn.sin() * scale
    rows = torch.stack(
        [
            torch.stack([cos * flip, -sin, shift[:, 0]], 1),
            torch.stack([sin * flip, cos, shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(rows, list(pixels.shape), align_corners=False)
    out = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    blurred = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = torch.from_numpy(rng.random(count) * (rng.random(count) < 0.3) * 0.6).float()
    out = torch.lerp(out, blurred, share.view(-1, 1, 1, 1))
    gain = torch.from_numpy(1 + 0.05 * rng.standard_normal((count, 1, 1, 1))).float()
    return out * gain + 0.04 * torch.randn_like(out)


def train_evaluation_encoder(
    directory: Path,
    settings: TrainingSettings,
    deadline: float | None = None,
    progress: Progress = silent,
) -> tuple[ConvNet, Outcome]:
    """Trains the encoder; its state lies under `directory`."""
    seed = settings.judge_seed + 1
    net = new_evaluation_encoder(seed)
    pool = all_factors()
    count = settings.judge_batch
    target = torch.cat([torch.arange(count) + count, torch.arange(count)])
    itself = torch.eye(2 * count, dtype=torch.bool)

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([seed, 6, step])
        pixels = torch.from_numpy(to_model_range(draw_images(draw_factors(pool, rng, count), rng)))
        both = torch.cat([view(pixels, rng), view(pixels, rng)])
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            out = net(both)
        unit = F.normalize(out.float(), dim=1)
        scores = (unit @ unit.T / _TEMPERATURE).masked_fill(itself, -1e4)
        right = (scores.argmax(1) == target).float().mean()
        return F.cross_entropy(scores, target), {"matched": float(right)}

    plan = Plan(settings.evaluation_steps, count, 2e-3, warmup=50, weight_decay=0.05)
    outcome = train(
        "evaluation encoder",
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


def load_trained_evaluation_encoder(directory: Path) -> ConvNet:
    """The encoder of a saved state, frozen."""
    net = new_evaluation_encoder(0)
    restore(directory / "state.safetensors", net)
    return net.eval().requires_grad_(False)
