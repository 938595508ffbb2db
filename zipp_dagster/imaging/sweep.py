"""The sampler's trade-off: scheduler, steps, guidance and precision against quality and speed.

Quality is what the independent classifier reads, and the Fréchet distance of the evaluation
encoder's embeddings to real pictures': accuracies saturate long before shapes are right. Speed is
images a second of processor time, which other work on the machine hardly changes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.linalg

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.dataset import draw_factors, draw_images, training_factors
from zipp_dagster.imaging.encoders import FactorClassifier, ImageEncoder
from zipp_dagster.imaging.image_files import encode_png
from zipp_dagster.imaging.judge import accuracies, draw_prompts
from zipp_dagster.imaging.pipelines import effective_dtype, load_pipeline
from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.captions import caption

_DPM = "DPMSolverMultistepScheduler"
_SDE = {"scheduler": _DPM, "scheduler_options": {"algorithm_type": "sde-dpmsolver++"}}
_ODE = {"scheduler": _DPM, "scheduler_options": {"algorithm_type": "dpmsolver++"}}

# One thing at a time is varied around SDE, 12 steps, guidance 3 at every step, rescale 0.7, bf16;
# then the steps that guidance rests for, at 6 steps.
_ALWAYS = {"guidance_rest": (1.0, 1.0)}
_RESTS = ((1.0, 1.0), (0.1, 0.8), (0.1, 0.6), (0.3, 0.8), (0.1, 1.0), (0.5, 1.0))
VARIANTS: tuple[dict[str, Any], ...] = (
    *({**_ODE, **_ALWAYS, "steps": n} for n in (4, 6, 10, 20)),
    *({**_SDE, **_ALWAYS, "steps": n} for n in (6, 8, 10, 12, 16, 24)),
    {"scheduler": "EulerAncestralDiscreteScheduler", **_ALWAYS, "steps": 12},
    {"scheduler": "DDIMScheduler", **_ALWAYS, "steps": 12},
    *({**_SDE, **_ALWAYS, "steps": 12, "guidance": g} for g in (1.5, 5.0)),
    {**_SDE, **_ALWAYS, "steps": 12, "guidance_rescale": 0.0},
    {**_SDE, **_ALWAYS, "steps": 12, "dtype": "float32"},
    *({**_SDE, "steps": 6, "guidance_rest": rest} for rest in _RESTS),
)


def embed_pixels(encoder: ImageEncoder, images: np.ndarray) -> np.ndarray:
    """Unit-norm embeddings of uint8 [n, h, w, 3], float32 [n, dim]."""
    return encoder.embed_images([encode_png(image) for image in images])


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance between the Gaussians of two sets of embeddings [n, dim] (Heusel et al.).

    On unit-norm embeddings it lies between 0 and 4. Biased upwards by few samples: compare equal
    numbers, and give that of two sets of real pictures beside it.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    # The trace of the root of a product of two covariances, by its real, non-negative spectrum.
    values = scipy.linalg.eigvals(cov_a @ cov_b).real.clip(0)
    apart = float(((a.mean(0) - b.mean(0)) ** 2).sum())
    return max(0.0, apart + float(np.trace(cov_a) + np.trace(cov_b)) - 2 * np.sqrt(values).sum())


def sweep(
    base: ImagingSettings,
    classifier: FactorClassifier,
    encoder: ImageEncoder,
    prompts: int = 256,
    seed: int = 0,
    variants: Sequence[Mapping[str, Any]] = VARIANTS,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """One row a variant (settings that differ from `base`): judged accuracies, distance, speed.

    All variants draw the same prompts with the same seeds. The first row is real pictures.
    """
    rng = np.random.default_rng([seed, 13])
    factors = draw_factors(training_factors(), rng, prompts)
    texts = [caption(f, rng) for f in factors]
    real, other = draw_images(factors, rng), draw_images(factors, rng)
    reference = embed_pixels(encoder, real)

    def judged(images: np.ndarray) -> dict[str, Any]:
        return {
            **accuracies(classifier, images, factors),
            "whole": float((classifier.whole_pixels(images) > 0.5).mean()),
            "frechet": 1000 * frechet_distance(reference, embed_pixels(encoder, images)),
        }

    rows: list[dict[str, Any]] = [{"sampler": "real pictures", **judged(other)}]
    for done, variant in enumerate(variants):
        settings = base.model_copy(update=dict(variant))
        loaded = load_pipeline(settings.model, settings.revision, settings)
        draw_prompts(loaded, texts[:1], settings)  # what happens once is not counted
        started = time.process_time()
        images = draw_prompts(loaded, texts, settings, seed=seed)
        spent = time.process_time() - started
        options = " ".join(str(value) for value in settings.scheduler_options.values())
        rows.append(
            {
                "sampler": f"{settings.scheduler or 'saved'} {options}".strip(),
                "steps": settings.steps,
                "guidance": settings.guidance,
                "rescale": settings.guidance_rescale,
                "rest": "{}-{}".format(*settings.guidance_rest),
                "dtype": effective_dtype(settings),
                **judged(images),
                "images_per_cpu_s": prompts / spent,
            }
        )
        progress(done + 1, len(variants), "samplers")
    return rows
