"""How good the small generator is, in the eyes of the independent factor classifier.

Real pictures and the autoencoder's reconstructions are judged beside the generated ones: they are
the ceilings. Metrics of personalisation are not here but in `zipbench`.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.dataset import (
    draw_factors,
    draw_images,
    held_out_factors,
    labels,
    to_model_range,
    training_factors,
)
from zipp_dagster.imaging.encoders import FactorClassifier, ImageEncoder
from zipp_dagster.imaging.generation import draw
from zipp_dagster.imaging.image_files import encode_png
from zipp_dagster.imaging.lanes import in_lanes, lane_count
from zipp_dagster.imaging.pipelines import LoadedPipeline
from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.captions import caption
from zipp_dagster.sampleworld.vocabulary import FACTOR_NAMES, Factors, all_factors


def accuracies(
    classifier: FactorClassifier, images: np.ndarray, factors: Sequence[Factors]
) -> dict[str, float]:
    """Share of images whose judged value is the wanted one, by factor."""
    seen, wanted = classifier.predict_pixels(images), labels(factors)
    return {
        name: float((seen[name].argmax(1) == wanted[:, i]).mean())
        for i, name in enumerate(FACTOR_NAMES)
    }


def draw_prompts(
    loaded: LoadedPipeline,
    prompts: Sequence[str],
    settings: ImagingSettings,
    seed: int = 0,
    progress: Progress = silent,
) -> np.ndarray:
    """Images of prompts in batches, uint8 [n, size, size, 3]; seeds count up from `seed`."""
    starts = range(0, len(prompts), settings.batch_size)

    def work(lane: LoadedPipeline, start: int) -> np.ndarray:
        part = prompts[start : start + settings.batch_size]
        return draw(lane, part, range(seed + start, seed + start + len(part)), settings)

    out: list[np.ndarray] = []
    for images in in_lanes(loaded, lane_count(loaded, settings), starts, work):
        out.append(images)
        progress(sum(map(len, out)), len(prompts), "judged images")
    return np.concatenate(out)


def judge_generator(
    loaded: LoadedPipeline,
    classifier: FactorClassifier,
    settings: ImagingSettings,
    prompts: int = 1000,
    seed: int = 0,
    held_out: bool = False,
    paraphrase: bool = False,
    progress: Progress = silent,
) -> dict[str, float]:
    """Judged accuracies on fresh captions of seen or held-out combinations."""
    rng = np.random.default_rng([seed, 8])
    pool = held_out_factors() if held_out else training_factors()
    factors = draw_factors(pool, rng, prompts)
    texts = [caption(f, rng, paraphrase=paraphrase) for f in factors]
    images = draw_prompts(loaded, texts, settings, seed=seed, progress=progress)
    return accuracies(classifier, images, factors)


@torch.no_grad()
def judge_ceilings(
    loaded: LoadedPipeline | None,
    classifier: FactorClassifier,
    pictures: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Judged accuracies of real pictures and, given a pipeline, of its autoencoder's copies."""
    rng = np.random.default_rng([seed, 9])
    factors = draw_factors(training_factors(), rng, pictures)
    images = draw_images(factors, rng)
    out = {"real": accuracies(classifier, images, factors)}
    if loaded is not None:
        vae, copies, error = loaded.pipeline.vae, [], 0.0
        for start in range(0, pictures, 64):
            pixels = torch.from_numpy(to_model_range(images[start : start + 64])).to(
                vae.device, vae.dtype
            )
            back = vae.decode(vae.encode(pixels).latent_dist.mean).sample.float().clamp(-1, 1)
            error += float((back - pixels.float()).pow(2).mean()) * len(pixels) / pictures
            copies.append(((back + 1) * 127.5).round().byte().cpu().numpy().transpose(0, 2, 3, 1))
        out["vae"] = accuracies(classifier, np.concatenate(copies), factors)
        out["vae"]["psnr"] = float(10 * np.log10(4 / error))
    return out


def judge_evaluation_pairs(
    encoder: ImageEncoder, pairs: int = 500, seed: int = 0
) -> dict[str, float]:
    """How well an encoder separates pictures of the same factors from pictures that share none.

    `separated` is the share of (same, different) pairs in which the same one is nearer.
    """
    rng = np.random.default_rng([seed, 10])
    pool = all_factors()
    factors = draw_factors(pool, rng, pairs)
    others = []
    for f in factors:
        while True:
            other = draw_factors(pool, rng, 1)[0]
            if all(a != b for a, b in zip(f.indices(), other.indices(), strict=True)):
                break
        others.append(other)
    groups = []
    for chosen in (factors, factors, others):
        groups.append(encoder.embed_images([encode_png(i) for i in draw_images(chosen, rng)]))
    near, far = (groups[0] * groups[1]).sum(1), (groups[0] * groups[2]).sum(1)
    return {
        "same": float(near.mean()),
        "different": float(far.mean()),
        "separated": float((near[:, None] > far[None, :]).mean()),
    }
