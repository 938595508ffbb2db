"""How good and how fast the packaged generator is, and what personal baselines do for one user.

    python benchmarks/imaging.py [--prompts N] [--sweep] [--sheet FILE] [--threads N] [--json]

Judged by the packaged factor classifier on fresh captions of the sample world, with real pictures
and the autoencoder's copies as ceilings. `--sweep` measures the sampler's trade-off instead,
`--sheet` draws subjects (columns) by styles (rows) for the eye. The world is synthetic, and so are
the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.dataset import draw_factors, draw_images, training_factors
from zipp_dagster.imaging.encoders import load_evaluation_encoder, load_factor_classifier
from zipp_dagster.imaging.generation import draw
from zipp_dagster.imaging.image_files import encode_png
from zipp_dagster.imaging.judge import (
    draw_prompts,
    judge_ceilings,
    judge_evaluation_pairs,
    judge_generator,
)
from zipp_dagster.imaging.models_path import MODELS
from zipp_dagster.imaging.personal.compare import compare
from zipp_dagster.imaging.pipelines import LoadedPipeline, effective_dtype, load_pipeline
from zipp_dagster.imaging.sweep import embed_pixels, frechet_distance, sweep
from zipp_dagster.sampleworld.captions import caption
from zipp_dagster.sampleworld.vocabulary import MEDIA, MOODS, PALETTES, SUBJECTS, Factors

TARGETS = {"subject": 0.85, "palette": 0.90, "medium": 0.80, "mood": 0.95}
# The benchmark's names; the code calls a picture's setting its mood.
NAMES = {"mood": "setting"}
Result = dict[str, object]


class Figures:
    """The rows of the document."""

    def __init__(self) -> None:
        self.rows: list[Result] = []

    def add(self, name: str, value: float, unit: str, target: float | None = None) -> None:
        """One figure; accuracies and shares are rounded to four digits, as all are."""
        self.rows.append({"name": name, "value": round(value, 4), "unit": unit, "target": target})

    def add_all(self, prefix: str, numbers: dict[str, float], unit: str = "share") -> None:
        """Several figures of one kind."""
        for key, value in numbers.items():
            self.add(f"{prefix}{NAMES.get(key, key)}", value, "dB" if key == "psnr" else unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--sweep", action="store_true", help="print the sampler's trade-off")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this PNG file")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = ImagingSettings()

    def progress(done: int, total: int, note: str = "") -> None:
        if not options.json:
            print(f"\r{done}/{total} {note:<40}", end="", file=sys.stderr, flush=True)

    if options.sweep:
        rows = sweep(
            settings,
            load_factor_classifier(),
            load_evaluation_encoder(),
            prompts=min(256, options.prompts),
            seed=options.seed,
            progress=progress,
        )
        show_table(rows, as_json=options.json)
        return
    loaded = load_pipeline(None, None, settings)
    if options.sheet:
        options.sheet.write_bytes(contact_sheet(loaded, settings, options.seed))
        return
    figures = Figures()
    measure_speed(figures, loaded, settings)
    measure_quality(figures, loaded, settings, options.prompts, options.seed, progress)
    measure_personal(figures, loaded, settings, options.prompts, options.seed, progress)
    figures.add("packaged_mb", packaged_bytes() / 1e6, "MB (10^6 bytes)", 20.0)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "torch": torch.__version__,
        "dtype": effective_dtype(settings),
        "steps": settings.steps,
        "model": loaded.version,
        "prompts": options.prompts,
    }
    document = {"benchmark": "imaging", "machine": machine, "results": figures.rows}
    if options.json:
        print(json.dumps(document, indent=2))
        return
    print(file=sys.stderr)
    for row in figures.rows:
        wanted = "" if row["target"] is None else f"  (target {row['target']})"
        print(f"{row['name']:36} {row['value']:>10} {row['unit']}{wanted}")


def measure_speed(figures: Figures, loaded: LoadedPipeline, settings: ImagingSettings) -> None:
    """The default sampler's images a second, the first batch left out, and memory so far."""
    rng = np.random.default_rng(1)
    prompts = [caption(f, rng) for f in draw_factors(training_factors(), rng, settings.batch_size)]
    draw(loaded, prompts, range(len(prompts)), settings)
    batches = 16
    wall, cpu = time.perf_counter(), time.process_time()
    draw_prompts(loaded, prompts * batches, settings)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = batches * len(prompts)
    figures.add("images_per_s", count / wall, "images/s", 25.0)
    figures.add("images_per_cpu_s", count / cpu, "images/CPU-s")
    figures.add("cores_used", cpu / wall, "CPU-s/s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures.add("peak_rss_gib", peak, "GiB", 1.5)


def measure_quality(figures, loaded, settings, prompts, seed, progress) -> None:
    """Judged accuracies of the generator, its ceilings, and the evaluation encoder."""
    classifier, encoder = load_factor_classifier(), load_evaluation_encoder()
    seen = judge_generator(loaded, classifier, settings, prompts, seed, progress=progress)
    for factor, target in TARGETS.items():
        figures.add(NAMES.get(factor, factor), seen[factor], "share", target)
    few = max(64, prompts // 2)
    held = judge_generator(loaded, classifier, settings, few, seed, held_out=True)
    figures.add("heldout_gap", max(seen[n] - held[n] for n in TARGETS), "share", 0.05)
    figures.add_all("heldout_", held)
    other = judge_generator(loaded, classifier, settings, few, seed, paraphrase=True)
    figures.add("paraphrase_subject", other["subject"], "share", 0.70)
    figures.add("paraphrase_palette", other["palette"], "share", 0.70)
    for what, numbers in judge_ceilings(loaded, classifier, prompts, seed).items():
        figures.add_all(f"{what}_", numbers)
    rng = np.random.default_rng([seed, 13])
    factors = draw_factors(training_factors(), rng, few)
    real, again = (embed_pixels(encoder, draw_images(factors, rng)) for _ in range(2))
    texts = [caption(f, rng) for f in factors]
    drawn = embed_pixels(encoder, draw_prompts(loaded, texts, settings, seed))
    figures.add("frechet_1000", 1000 * frechet_distance(real, drawn), "1000 x distance")
    figures.add("frechet_1000_real", 1000 * frechet_distance(real, again), "1000 x distance")
    pairs = judge_evaluation_pairs(encoder, 500, seed)
    figures.add("evaluation_pairs_separated", pairs["separated"], "share", 0.99)
    figures.add("clip_i_same_factors", pairs["same"], "cosine")
    figures.add("clip_i_different_factors", pairs["different"], "cosine")


def measure_personal(figures, loaded, settings, prompts, seed, progress) -> None:
    """The personal baselines on one sample user: hits before and after, seconds a user."""
    rows = compare(
        loaded,
        load_factor_classifier(),
        settings,
        prompts=min(64, prompts),
        seed=seed,
        progress=progress,
    )
    shares = ("palette", "medium", "subject", "mood")
    for row in rows:
        name = f"personal_{row['method']}_"
        figures.add_all(name, {key: row[key] for key in shares})
        figures.add(f"{name}draw_cpu_ms", row["draw_cpu_ms"], "CPU-ms/image")
        for key, unit in (
            ("fit_cpu_s", "CPU-s/user"),
            ("parameters", "weights"),
            ("bytes", "bytes/user"),
            ("adapter_training_cpu_s", "CPU-s, once"),
        ):
            if key in row:
                figures.add(f"{name}{key}", row[key], unit)


def packaged_bytes() -> int:
    """Bytes of everything in the package's model folder."""
    return sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file())


def contact_sheet(loaded: LoadedPipeline, settings: ImagingSettings, seed: int) -> bytes:
    """PNG: all subjects side by side, eight rows of palettes, media and moods; prompts as people type."""
    rng = np.random.default_rng([seed, 15])
    palettes, media, moods = list(PALETTES), list(MEDIA), list(MOODS)
    factors = [
        Factors(s, palettes[(r + c) % 8], media[(r + 2 * c) % 6], moods[(r + c) % 4])
        for r in range(8)
        for c, s in enumerate(SUBJECTS)
    ]
    images = draw_prompts(loaded, [caption(f, rng) for f in factors], settings, seed)
    grid = images.reshape(8, len(SUBJECTS), *images.shape[1:]).transpose(0, 2, 1, 3, 4)
    sheet = grid.reshape(8 * images.shape[1], len(SUBJECTS) * images.shape[2], 3)
    return encode_png(sheet.repeat(2, 0).repeat(2, 1))


def show_table(rows: list[dict[str, object]], *, as_json: bool) -> None:
    """The trade-off as a Markdown table or as JSON."""
    if as_json:
        print(json.dumps({"benchmark": "imaging-sampler", "results": rows}, indent=2))
        return
    print(file=sys.stderr)
    columns = list(rows[-1])
    print("| " + " | ".join(NAMES.get(c, c) for c in columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        cells = (row.get(c, "") for c in columns)
        print(
            "| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |"
        )


if __name__ == "__main__":
    main()
