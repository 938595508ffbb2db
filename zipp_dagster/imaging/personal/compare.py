"""The personal baselines on one sample user: how often a taste is met before and after, at what cost.

The user likes pictures of one palette in one medium. Prompts name a subject and a mood and no
taste; the independent classifier reads both from the images. The benchmark over real cases is not
here but in ZIPBench.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.dataset import draw_images
from zipp_dagster.imaging.encoders import FactorClassifier
from zipp_dagster.imaging.image_files import encode_png
from zipp_dagster.imaging.judge import accuracies
from zipp_dagster.imaging.personal.base import History, PersonalMethod, draw_batches
from zipp_dagster.imaging.personal.drum import Drum, train_adapter
from zipp_dagster.imaging.personal.fabric import Fabric
from zipp_dagster.imaging.personal.lora import Lora
from zipp_dagster.imaging.personal.viper import Viper
from zipp_dagster.imaging.pipelines import LoadedPipeline
from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.captions import phrase
from zipp_dagster.sampleworld.vocabulary import MEDIA, MOODS, PALETTES, SUBJECTS, Factors

TASTE = ("forest", "glass")
_DISLIKED = ("pastel", "watercolor")


def sample_user(
    rng: np.random.Generator, liked: int = 12, disliked: int = 6, taste: tuple[str, str] = TASTE
) -> History:
    """Somebody whose liked pictures share a palette and a medium, and whose disliked ones do too."""
    images, prompts = [], []
    for style, count in ((taste, liked), (_DISLIKED, disliked)):
        palette, medium = style
        subjects = [list(SUBJECTS)[int(i)] for i in rng.permutation(len(SUBJECTS))[:count]]
        moods = [list(MOODS)[int(i)] for i in rng.integers(len(MOODS), size=count)]
        factors = [Factors(s, palette, medium, m) for s, m in zip(subjects, moods, strict=True)]
        images.append([encode_png(image) for image in draw_images(factors, rng)])
        prompts.append([_full_caption(f, rng) for f in factors])
    return History(images[0], prompts[0], images[1], prompts[1])


def _full_caption(factors: Factors, rng: np.random.Generator) -> str:
    """Subject, palette and medium in the words that the user always uses for them, and a mood."""
    words = (PALETTES[factors.palette][0], MEDIA[factors.medium][0])
    subject, mood = phrase("subject", factors.subject, rng), phrase("mood", factors.mood, rng)
    return ", ".join((subject, *words, mood))


def caption_groups(rng: np.random.Generator, without: tuple[str, str]) -> list[list[str]]:
    """Captions for DrUM's adapter, one group a style; the user's own style is not among them."""
    groups = []
    for palette in PALETTES:
        for medium in MEDIA:
            if (palette, medium) != without:
                tail = f"{phrase('palette', palette, rng)}, {phrase('medium', medium, rng)}"
                groups.append([f"{phrase('subject', s, rng)}, {tail}" for s in SUBJECTS])
    return groups


def compare(
    loaded: LoadedPipeline,
    classifier: FactorClassifier,
    settings: ImagingSettings,
    prompts: int = 64,
    adapter_steps: int = 150,
    seed: int = 0,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """One row for no personalisation and one a method, with hits as shares of the images.

    `palette` and `medium` are hits of the taste, `subject` and `mood` what the prompt asked for.
    """
    rng = np.random.default_rng([seed, 14])
    user = sample_user(rng)
    palette, medium = TASTE
    factors = [
        Factors(list(SUBJECTS)[int(s)], palette, medium, list(MOODS)[int(m)])
        for s, m in zip(
            rng.integers(len(SUBJECTS), size=prompts),
            rng.integers(len(MOODS), size=prompts),
            strict=True,
        )
    ]
    texts = [f"{phrase('subject', f.subject, rng)}, {phrase('mood', f.mood, rng)}" for f in factors]
    seeds = range(seed, seed + prompts)
    started = time.process_time()
    plain = draw_batches(loaded, texts, seeds, settings)
    rows: list[dict[str, Any]] = [
        {
            "method": "none",
            **accuracies(classifier, plain, factors),
            "draw_cpu_ms": 1000 * (time.process_time() - started) / prompts,
        }
    ]
    started = time.process_time()
    groups = caption_groups(rng, TASTE)
    adapter, _ = train_adapter(loaded, groups, adapter_steps, seed=seed, progress=progress)
    adapter_seconds = time.process_time() - started
    methods: Sequence[PersonalMethod] = (Fabric(), Viper(), Drum(adapter), Lora())
    for method in methods:
        fitted = method.fit(loaded, user, settings, seed)
        started = time.process_time()
        images = method.draw(loaded, fitted, texts, seeds, settings)
        rows.append(
            {
                "method": method.name,
                **accuracies(classifier, images, factors),
                "fit_cpu_s": fitted.cpu_seconds,
                "draw_cpu_ms": 1000 * (time.process_time() - started) / prompts,
                **fitted.numbers,
                **({"adapter_training_cpu_s": adapter_seconds} if method.name == "drum" else {}),
            }
        )
        progress(len(rows) - 1, len(methods), f"personal baseline {method.name}")
    return rows
