from __future__ import annotations

import hashlib
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
from zipp_dagster.imaging.model_card import history_of, write_cards, write_model_card
from zipp_dagster.imaging.models_path import MODELS
from zipp_dagster.imaging.pipelines import load_pipeline
from zipp_dagster.imaging.train import train_models
from zipp_dagster.imaging.train_factor_classifier import mangle

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
    assert sum(sizes.values()) <= 20_000_000
    settings = ImagingSettings(device="cpu", steps=2)
    loaded = load_pipeline(tmp_path / "generator", None, settings)
    assert draw(loaded, ["a cat"], [1], settings).shape == (1, 64, 64, 3)


def test_the_exported_sampler_puts_noise_back(trained, tmp_path):
    export_models(trained[0], tmp_path, TINY)
    loaded = load_pipeline(tmp_path / "generator", None, ImagingSettings(device="cpu"))
    assert loaded.pipeline.scheduler.config.algorithm_type == "sde-dpmsolver++"


def test_cards_tell_of_this_training_and_keep_what_was_said_of_models_not_trained(
    trained, tmp_path
):
    out, _ = trained
    export_models(out, tmp_path, TINY)
    settings = ImagingSettings(training=TINY)
    judged = {"generated": dict.fromkeys(("subject", "palette", "medium", "mood"), 0.5)}
    write_cards(out, tmp_path, TINY, judged)
    first = write_model_card(out, tmp_path, settings, judged).read_text()
    assert "| unet | 4 | 16 |" in first
    assert "| generated | 0.500 | 0.500 | 0.500 | 0.500 |" in first
    empty = tmp_path / "no training"
    write_cards(empty, tmp_path, TINY, {})
    again = write_model_card(empty, tmp_path, settings, {}).read_text()
    assert "| unet | 4 | 16 |" in again
    assert again.count("| evaluation_encoder |") == first.count("| evaluation_encoder |") == 2
    facts = json.loads((tmp_path / "generator" / "card.json").read_text())
    assert (facts["unet_steps"], facts["generated_subject"]) == (4, 0.5)


def test_a_reading_that_a_kill_cut_short_is_left_out(tmp_path):
    whole = '{"step": 25, "loss": 1.0}\n'
    (tmp_path / "history.jsonl").write_text(whole + '{"step": 50, "lo')
    assert history_of(tmp_path) == [{"step": 25, "loss": 1.0}]


def test_the_packaged_models_fit_and_their_card_names_their_bytes():
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20_000_000
    card = (MODELS / "MODEL_CARD.md").read_text()
    weights = [path for path in files if path.suffix == ".safetensors"]
    assert len(weights) == 6
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() in card for path in weights)


def test_mangled_pictures_keep_their_colours_and_lose_their_shapes():
    import numpy as np

    rng = np.random.default_rng(1)
    factors = draw_factors(training_factors(), rng, 40)
    pixels, twins = (torch.from_numpy(to_model_range(draw_images(factors, rng))) for _ in range(2))
    out = mangle(pixels, twins, rng)
    assert out.shape == pixels.shape
    assert float(out.abs().max()) <= 1
    assert float((out - pixels).pow(2).mean((1, 2, 3)).min()) > 1e-4
    assert float((out.mean((2, 3)) - pixels.mean((2, 3))).abs().mean()) < 0.15


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
