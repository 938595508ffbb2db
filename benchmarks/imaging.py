"""How good and how fast the packaged generator is.

    python benchmarks/imaging.py [--prompts N] [--steps N] [--dtype NAME] [--threads N] [--json]

Judged by the packaged factor classifier on fresh captions of the sample world; the autoencoder's
copies of real pictures are the ceiling. The world is synthetic, and so are the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time

import numpy as np
import torch

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.dataset import draw_factors, training_factors
from zipp_dagster.imaging.encoders import load_evaluation_encoder, load_factor_classifier
from zipp_dagster.imaging.generation import draw
from zipp_dagster.imaging.judge import judge_ceilings, judge_evaluation_pairs, judge_generator
from zipp_dagster.imaging.pipelines import effective_dtype, load_pipeline
from zipp_dagster.sampleworld.captions import caption

TARGETS = {"subject": 0.85, "palette": 0.90, "medium": 0.80, "mood": 0.95}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = ImagingSettings(dtype=options.dtype)
    if options.steps:
        settings = settings.model_copy(update={"steps": options.steps})
    loaded = load_pipeline(None, None, settings)
    classifier = load_factor_classifier()

    def progress(done: int, total: int, note: str = "") -> None:
        if not options.json:
            print(f"\r{done}/{total} {note}", end="", file=sys.stderr, flush=True)

    results: list[dict[str, object]] = []

    def add(name: str, value: float, unit: str, target: float | None = None) -> None:
        results.append({"name": name, "value": round(value, 4), "unit": unit, "target": target})

    seen = judge_generator(loaded, classifier, settings, options.prompts, options.seed)
    for factor, target in TARGETS.items():
        add("setting" if factor == "mood" else factor, seen[factor], "accuracy", target)
    few = max(64, options.prompts // 4)
    held = judge_generator(loaded, classifier, settings, few, options.seed, held_out=True)
    add("heldout_gap", max(seen[name] - held[name] for name in seen), "accuracy", 0.05)
    other = judge_generator(loaded, classifier, settings, few, options.seed, paraphrase=True)
    add("paraphrase_subject", other["subject"], "accuracy", 0.70)
    add("paraphrase_palette", other["palette"], "accuracy", 0.70)
    ceilings = judge_ceilings(loaded, classifier, options.prompts, options.seed)
    for what, numbers in ceilings.items():
        for factor, value in numbers.items():
            unit = "dB" if factor == "psnr" else "accuracy"
            add(f"{what}_{'setting' if factor == 'mood' else factor}", value, unit)
    pairs = judge_evaluation_pairs(load_evaluation_encoder(), 300, options.seed)
    add("evaluation_pairs_separated", pairs["separated"], "share", 0.99)
    add("clip_i_same_factors", pairs["same"], "cosine")
    add("clip_i_different_factors", pairs["different"], "cosine")
    wall, cpu = rate(loaded, settings, progress)
    add("images_per_s", wall, "images/s", 25.0)
    add("images_per_cpu_s", cpu, "images/CPU-s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    add("peak_rss_gib", peak, "GiB", 1.5)
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
    document = {"benchmark": "imaging", "machine": machine, "results": results}
    if options.json:
        print(json.dumps(document, indent=2))
        return
    print(file=sys.stderr)
    for row in results:
        wanted = "" if row["target"] is None else f"  (target {row['target']})"
        print(f"{row['name']:28} {row['value']:>9} {row['unit']}{wanted}")


def rate(loaded, settings, progress) -> tuple[float, float]:
    """Images a second of wall time and of processor time, the first batch left out."""
    rng = np.random.default_rng(1)
    prompts = [caption(f, rng) for f in draw_factors(training_factors(), rng, settings.batch_size)]
    draw(loaded, prompts, range(len(prompts)), settings)
    batches = 4
    wall, cpu = time.perf_counter(), time.process_time()
    for i in range(batches):
        draw(loaded, prompts, range(i, i + len(prompts)), settings)
        progress(i + 1, batches, "batches timed")
    count = batches * len(prompts)
    return count / (time.perf_counter() - wall), count / (time.process_time() - cpu)


if __name__ == "__main__":
    main()
