"""Training of the factor classifier: the judge that says what a generated picture shows.

Supervised by the renderer's factors, on all combinations, with a seed and a run of its own; it
never sees a generated picture, a caption or the generator. Mild blur, noise and shifts keep it from
reading the renderer's exact edges.

A classifier of real pictures names a subject where an eye sees a smear: colours and a few strokes
give it away. So one more output says whether the picture is whole: real pictures against mangled
ones, made from real pictures alone: what a generator that averages or pieces together would draw.
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
_WIDTHS = (16, 32, 56, 64)  # 0.4 MB in fp16: all packaged models together may take 20 MB
_MANGLED_SHARE = 3  # one mangled picture for every three whole ones


def new_classifier(seed: int) -> ConvNet:
    """An untrained classifier: one output a value of each factor, and one for "whole"."""
    torch.manual_seed(seed)
    return ConvNet(sum(SIZES) + 1, _WIDTHS)


def mangle(pixels: Tensor, twins: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures whose colours and textures are right and whose shapes are not, [n, 3, h, w].

    `twins` are other pictures of the same factors, one each.
    """
    kinds = (_ghost, _patch, _warp, _scramble_phase)
    chosen = rng.integers(len(kinds), size=len(pixels))
    out = pixels.clone()
    for kind, make in enumerate(kinds):
        rows = np.flatnonzero(chosen == kind)
        if len(rows):
            out[rows] = make(pixels[rows], twins[rows], rng)
    return out


def _ghost(pixels: Tensor, twins: Tensor, rng: np.random.Generator) -> Tensor:
    """The mean of two pictures, the second mirrored: what averaging over poses gives."""
    share = torch.from_numpy(rng.uniform(0.35, 0.5, (len(pixels), 1, 1, 1))).float()
    return torch.lerp(pixels, twins.flip(-1), share)


def _patch(pixels: Tensor, twins: Tensor, rng: np.random.Generator) -> Tensor:
    """A third to a half of the 8 x 8 tiles come from the mirrored twin: patches that do not agree."""
    count, _, height, width = pixels.shape
    share = rng.uniform(0.33, 0.5, (count, 1, 1, 1))
    chosen = torch.from_numpy(rng.random((count, 1, height // 8, width // 8)) < share).float()
    return torch.where(F.interpolate(chosen, (height, width)) > 0.5, twins.flip(-1), pixels)


def _warp(pixels: Tensor, twins: Tensor, rng: np.random.Generator) -> Tensor:
    """Smooth displacements of 4 to 9 pixels."""
    count, _, height, width = pixels.shape
    coarse = torch.from_numpy(rng.standard_normal((count, 2, 6, 6))).float()
    strength = torch.from_numpy(rng.uniform(4, 9, (count, 1, 1, 1))).float() * (2 / width)
    move = F.interpolate(coarse * strength, (height, width), mode="bicubic", align_corners=True)
    still = torch.eye(2, 3).expand(count, 2, 3)
    grid = F.affine_grid(still, list(pixels.shape), align_corners=False) + move.permute(0, 2, 3, 1)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _scramble_phase(pixels: Tensor, twins: Tensor, rng: np.random.Generator) -> Tensor:
    """The same spectrum with disturbed phases: texture without a shape."""
    spectrum = torch.fft.rfft2(pixels)
    strength = rng.uniform(0.4, 1.2, (len(pixels), 1, 1, 1))
    shape = (len(pixels), 1, *spectrum.shape[2:])
    phase = torch.from_numpy(strength * rng.standard_normal(shape)).float()
    phase[..., 0, 0] = 0.0  # the mean colour stays
    out = torch.fft.irfft2(
        spectrum * torch.polar(torch.ones_like(phase), phase), s=pixels.shape[2:]
    )
    return out.clamp(-1, 1)


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
        drawn = torch.from_numpy(to_model_range(draw_images(factors, rng)))
        some = max(1, len(drawn) // _MANGLED_SHARE)
        twins = torch.from_numpy(to_model_range(draw_images(factors[:some], rng)))
        broken = mangle(drawn[:some], twins, rng)
        pixels = _degrade(torch.cat([drawn, broken]), rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            out = net(pixels).float()
        whole = (torch.arange(len(pixels)) < len(drawn)).float()
        seen_whole = F.binary_cross_entropy_with_logits(out[:, -1], whole)
        target = torch.from_numpy(labels(factors))
        parts = out[: len(drawn), :-1].split(SIZES, 1)
        terms = [
            F.cross_entropy(part, target[:, i], label_smoothing=0.03)
            for i, part in enumerate(parts)
        ]
        right = {
            name: float((part.argmax(1) == target[:, i]).float().mean())
            for i, (name, part) in enumerate(zip(FACTOR_NAMES, parts, strict=True))
        }
        right["whole"] = float(((out[:, -1] > 0) == (whole > 0)).float().mean())
        return torch.stack(terms).mean() + 0.5 * seen_whole, right

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
