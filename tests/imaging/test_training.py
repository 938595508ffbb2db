from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from zipp_dagster.imaging.basis import fit_basis
from zipp_dagster.imaging.checkpoints import export_models
from zipp_dagster.imaging.config import ImagingSettings, TrainingSettings
from zipp_dagster.imaging.dataset import (
    draw_factors,
    draw_images,
    held_out_factors,
    to_model_range,
    training_factors,
)
from zipp_dagster.imaging.generation import draw
from zipp_dagster.imaging.loop import Plan
from zipp_dagster.imaging.pipelines import load_pipeline
from zipp_dagster.imaging.train import train_models

TINY = TrainingSettings(
    text_steps=2, vision_steps=2, vae_steps=2, unet_steps=4, evaluation_steps=2,
    classifier_steps=2, text_batch=4, vision_batch=4, vae_batch=2, unet_batch=4, judge_batch=4,
    pool_blocks=2, pool_block=8, pool_growth=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("training")
    outcomes = train_models(out, TINY)
    return out, outcomes


def test_every_stage_trains_and_leaves_a_state_and_a_history(trained):
    out, outcomes = trained
    assert all(outcome.finished for outcome in outcomes.values())
    for stage in outcomes:
        assert (out / stage / "state.safetensors").exists()
        last = (out / stage / "history.jsonl").read_text().splitlines()[-1]
        assert json.loads(last)["step"] == outcomes[stage].step


def test_a_run_stopped_midway_ends_with_the_weights_of_an_unbroken_run(trained, tmp_path):
    import shutil

    out, _ = trained
    for name in ("tokenizer", "text"):
        shutil.copytree(out / name, tmp_path / name)
    shutil.copy(out / "basis.safetensors", tmp_path / "basis.safetensors")
    resumed = []
    # A deadline in the past stops each call after one step.
    for _ in range(10):
        outcome = train_models_one_step(tmp_path)
        resumed.append(outcome.step)
        if outcome.finished:
            break
    assert resumed == [1, 2, 3, 4]
    whole = load_file(out / "unet" / "state.safetensors")
    pieces = load_file(tmp_path / "unet" / "state.safetensors")
    assert whole.keys() == pieces.keys()
    assert all(torch.equal(whole[key], pieces[key]) for key in whole)


def train_models_one_step(out):
    from transformers import CLIPTokenizer

    from zipp_dagster.imaging.basis import LatentBasis
    from zipp_dagster.imaging.train_clip import load_text
    from zipp_dagster.imaging.train_unet import train_unet

    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    basis = LatentBasis.load(out / "basis.safetensors")
    text = load_text(tokenizer, out / "text")
    return train_unet(tokenizer, text, basis, out / "unet", TINY, deadline=0.0)[1]


def test_what_is_exported_is_drawn_by_the_standard_pipeline(trained, tmp_path):
    out, _ = trained
    sizes = export_models(out, tmp_path, TINY)
    assert set(sizes) == {"generator", "clip", "evaluation_encoder", "factor_classifier"}
    assert sum(sizes.values()) <= 20 * 2**20
    settings = ImagingSettings(device="cpu", steps=2)
    loaded = load_pipeline(tmp_path / "generator", None, settings)
    assert draw(loaded, ["a cat"], [1], settings).shape == (1, 64, 64, 3)


def test_an_unknown_stage_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="unknown stages"):
        train_models(tmp_path, TINY, ["unett"])


def test_held_out_combinations_never_meet_training():
    held, seen = set(held_out_factors()), set(training_factors())
    assert not held & seen
    assert 0.03 < len(held) / (len(held) + len(seen)) < 0.07
    for name in ("subject", "palette", "medium", "mood"):
        assert {getattr(f, name) for f in seen} == {getattr(f, name) for f in held | seen}


def test_the_basis_is_centred_and_its_linear_picture_close():
    import numpy as np

    basis = fit_basis(0, samples=64)
    rng = np.random.default_rng(1)
    images = draw_images(draw_factors(training_factors(), rng, 16), rng)
    pixels = torch.from_numpy(to_model_range(images))
    codes = basis.encode(pixels)
    assert codes.shape == (16, 32, 8, 8)
    assert float(codes.mean().abs()) < 0.3
    assert 0.5 < float(codes.var()) < 2
    assert float((basis.decode(codes) - pixels).pow(2).mean()) < 0.05


def test_the_learning_rate_warms_up_and_ends_at_zero():
    plan = Plan(steps=100, batch=1, rate=1.0, warmup=10, decay=0.5)
    assert plan.rate_at(0) == pytest.approx(0.1)
    assert plan.rate_at(30) == 1.0
    assert plan.rate_at(99) == pytest.approx(0.02)
