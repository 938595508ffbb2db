"""Trains the small models from scratch, one resumable stage after the other, and exports them.

`python -m zipp_dagster.imaging.train --out DIR [--minutes N] [--only …] [--export DIR]`. The stages
themselves are in the `train_*.py` modules; the command line of the platform calls `train_models`.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from zipp_dagster.imaging.basis import LatentBasis, fit_basis
from zipp_dagster.imaging.checkpoints import export_models
from zipp_dagster.imaging.config import ImagingSettings, TrainingSettings
from zipp_dagster.imaging.encoders import load_evaluation_encoder, load_factor_classifier
from zipp_dagster.imaging.judge import (
    judge_ceilings,
    judge_evaluation_pairs,
    judge_generator,
)
from zipp_dagster.imaging.loop import Outcome
from zipp_dagster.imaging.model_card import write_cards, write_model_card
from zipp_dagster.imaging.pipelines import load_pipeline
from zipp_dagster.imaging.tokenizer import train_tokenizer
from zipp_dagster.imaging.train_clip import load_text, train_text, train_vision
from zipp_dagster.imaging.train_evaluation_encoder import train_evaluation_encoder
from zipp_dagster.imaging.train_factor_classifier import train_factor_classifier
from zipp_dagster.imaging.train_unet import train_unet
from zipp_dagster.imaging.train_vae import train_vae
from zipp_dagster.progress import Progress, silent

# `clip` stands for text and vision. The judges come before the U-Net, so that it can be judged
# early.
STAGES = ("text", "vision", "vae", "factor_classifier", "evaluation_encoder", "unet")


def train_models(
    out: Path,
    settings: TrainingSettings,
    stages: Sequence[str] = STAGES,
    minutes: float | None = None,
    progress: Progress = silent,
) -> dict[str, Outcome]:
    """Trains the stages in order, each from where its state under `out` stands.

    `minutes` bounds the whole call; an unfinished stage resumes at the next call.
    """
    unknown = set(stages) - set(STAGES)
    if unknown:
        raise ValueError(f"unknown stages {sorted(unknown)}: choose from {', '.join(STAGES)}")
    deadline = None if minutes is None else time.time() + 60 * minutes
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    outcomes: dict[str, Outcome] = {}
    try:
        for stage in STAGES:
            if stage in stages and (deadline is None or time.time() < deadline):
                outcomes[stage] = _train_stage(stage, out, settings, deadline, progress)
    finally:
        torch.set_num_threads(threads)
    return outcomes


def _train_stage(
    stage: str, out: Path, settings: TrainingSettings, deadline: float | None, progress: Progress
) -> Outcome:
    if stage == "factor_classifier":
        return train_factor_classifier(out / stage, settings, deadline, progress)[1]
    if stage == "evaluation_encoder":
        return train_evaluation_encoder(out / stage, settings, deadline, progress)[1]
    if stage == "vae":
        return train_vae(_basis(out, settings), out / stage, settings, deadline, progress)[1]
    tokenizer = _tokenizer(out, settings)
    if stage == "text":
        return train_text(tokenizer, out / stage, settings, deadline, progress)[1]
    text = load_text(tokenizer, out / "text")
    if stage == "vision":
        return train_vision(tokenizer, text, out / stage, settings, deadline, progress)[1]
    basis = _basis(out, settings)
    return train_unet(tokenizer, text, basis, out / stage, settings, deadline, progress)[1]


def _tokenizer(out: Path, settings: TrainingSettings) -> CLIPTokenizer:
    directory = out / "tokenizer"
    if (directory / "tokenizer_config.json").exists():
        return CLIPTokenizer.from_pretrained(directory)
    return train_tokenizer(directory, settings.seed)


def _basis(out: Path, settings: TrainingSettings) -> LatentBasis:
    path = out / "basis.safetensors"
    if not path.exists():
        fit_basis(settings.seed).save(path)
    return LatentBasis.load(path)


def judge_and_describe(
    training: Path,
    models: Path,
    settings: ImagingSettings,
    prompts: int = 500,
    progress: Progress = silent,
) -> dict[str, dict[str, float]]:
    """Judges the exported models, writes their cards; returns the judged numbers."""
    judged: dict[str, dict[str, float]] = {}
    if (models / "factor_classifier").is_dir():
        classifier = load_factor_classifier(models / "factor_classifier")
        loaded = None
        if (models / "generator").is_dir():
            loaded = load_pipeline(models / "generator", None, settings)
        ceilings = judge_ceilings(loaded, classifier, prompts)
        judged["real pictures"] = ceilings["real"]
        if loaded is not None:
            judged["autoencoder's copies"] = ceilings["vae"]
            for name, options in (
                ("generated", {}),
                ("generated, held-out combinations", {"held_out": True}),
                ("generated, paraphrased prompts", {"paraphrase": True}),
            ):
                judged[name] = judge_generator(
                    loaded, classifier, settings, prompts, seed=77, progress=progress, **options
                )
    if (models / "evaluation_encoder").is_dir():
        encoder = load_evaluation_encoder(models / "evaluation_encoder")
        judged["evaluation encoder, pairs of pictures"] = judge_evaluation_pairs(encoder, prompts)
    write_cards(training, models, settings.training, judged)
    write_model_card(training, models, settings, judged)
    return judged


def _print_progress(done: int, total: int, note: str = "") -> None:
    sys.stderr.write(f"\r{done}/{total} {note:<60}")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of training states")
    parser.add_argument(
        "--minutes", type=float, help="stop after this long; resume by the same call"
    )
    parser.add_argument("--only", help=f"comma-separated stages ({', '.join(STAGES)}, clip)")
    parser.add_argument("--export", type=Path, help="export and judge into this folder at the end")
    parser.add_argument("--export-only", action="store_true", help="train nothing")
    parser.add_argument(
        "--judge-only",
        action="store_true",
        help="only judge what lies in --export, after new settings",
    )
    parser.add_argument("--unet-steps", type=int, help="length of the U-Net's plan")
    parser.add_argument("--prompts", type=int, default=500, help="prompts that the judge draws")
    options = parser.parse_args(arguments)
    only = (options.only or ",".join(STAGES)).replace("clip", "text,vision")
    settings = TrainingSettings()
    if options.unet_steps:
        settings = TrainingSettings(unet_steps=options.unet_steps)
    if not (options.export_only or options.judge_only):
        stages = [stage.strip() for stage in only.split(",")]
        train_models(options.out, settings, stages, options.minutes, _print_progress)
    if options.export:
        imaging = ImagingSettings(training=settings)
        if not options.judge_only:
            export_models(options.out, options.export, settings)
        judged = judge_and_describe(
            options.out, options.export, imaging, options.prompts, _print_progress
        )
        for what, numbers in judged.items():
            print(what, {key: round(value, 3) for key, value in numbers.items()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
