from __future__ import annotations

import shutil

import numpy as np
import pytest

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.generation import draw
from zipp_dagster.imaging.pipelines import directory_version, is_truncated, load_pipeline
from zipp_dagster.imaging.stored_models import StoredModelError, store_model

SETTINGS = ImagingSettings(device="cpu", dtype="float32", steps=2, image_size=16, batch_size=4)
WITH_T5 = ("StableDiffusion3Pipeline", "FluxPipeline")


CLASSES = [
    ("sd_directory", "StableDiffusionPipeline"),
    ("sdxl_directory", "StableDiffusionXLPipeline"),
    ("sd3_directory", "StableDiffusion3Pipeline"),
    ("flux_directory", "FluxPipeline"),
]


@pytest.mark.parametrize(("fixture", "kind"), CLASSES)
def test_one_loader_and_one_sampler_take_every_class(fixture, kind, request):
    directory = request.getfixturevalue(fixture)
    loaded = load_pipeline(str(directory), None, SETTINGS)
    assert type(loaded.pipeline).__name__ == kind
    assert loaded.version == directory_version(directory)
    images = draw(loaded, ["a cat", "an owl"], [1, 2], SETTINGS)
    assert (images.shape, images.dtype) == ((2, 16, 16, 3), np.uint8)
    assert (images[0] != images[1]).any()
    alone = draw(loaded, ["a cat"], [1], SETTINGS)[0].astype(int)
    assert np.abs(alone - images[0]).max() <= 1


@pytest.mark.parametrize(("fixture", "kind"), CLASSES)
def test_a_prompt_beyond_all_text_encoders_is_reported(fixture, kind, request):
    pipeline = load_pipeline(request.getfixturevalue(fixture), None, SETTINGS).pipeline
    assert not is_truncated(pipeline, "a cat, watercolor")
    beyond_clip_alone = "a cat, " * 20
    assert is_truncated(pipeline, beyond_clip_alone) == (kind not in WITH_T5)
    assert is_truncated(pipeline, "a cat, " * 200)


def test_the_denoiser_compiles_by_the_chosen_backend(sd_directory):
    settings = SETTINGS.model_copy(update={"compile": "eager"})
    plain = draw(load_pipeline(sd_directory, None, SETTINGS), ["a cat"], [1], SETTINGS)
    compiled = load_pipeline(sd_directory, None, settings)
    assert compiled.pipeline.unet._compiled_call_impl is not None
    assert np.abs(draw(compiled, ["a cat"], [1], settings).astype(int) - plain).max() <= 1


@pytest.mark.parametrize(
    ("attention", "processor"),
    [("plain", "AttnProcessor"), ("sdpa", "AttnProcessor2_0"), ("sliced", "SlicedAttnProcessor")],
)
def test_attention_is_a_setting(sd_directory, attention, processor):
    settings = SETTINGS.model_copy(update={"attention": attention})
    unet = load_pipeline(sd_directory, None, settings).pipeline.unet
    assert {type(p).__name__ for p in unet.attn_processors.values()} == {processor}


def test_a_transformer_cannot_take_plain_attention(flux_directory):
    settings = SETTINGS.model_copy(update={"attention": "plain"})
    with pytest.raises(ValueError, match=r"imaging\.attention"):
        load_pipeline(flux_directory, None, settings)


def test_scheduler_options_are_passed_on_and_unknown_ones_are_named(sd_directory):
    chosen = {"scheduler": "DPMSolverMultistepScheduler"}
    stochastic = {"scheduler_options": {"algorithm_type": "sde-dpmsolver++"}}
    loaded = load_pipeline(sd_directory, None, SETTINGS.model_copy(update=chosen | stochastic))
    assert loaded.pipeline.scheduler.config.algorithm_type == "sde-dpmsolver++"
    wrong = {"scheduler_options": {"algorithm": "sde"}}
    with pytest.raises(ValueError, match="no option algorithm"):
        load_pipeline(sd_directory, None, SETTINGS.model_copy(update=chosen | wrong))


def test_a_chosen_scheduler_never_clips_latents(sd_directory):
    settings = SETTINGS.model_copy(update={"scheduler": "DDPMScheduler"})
    assert not load_pipeline(sd_directory, None, settings).pipeline.scheduler.config.clip_sample


def test_a_missing_directory_names_the_setting():
    with pytest.raises(FileNotFoundError, match=r"imaging\.model"):
        load_pipeline("/no/such/model", None, SETTINGS)


def test_an_unknown_scheduler_names_the_setting(sd_directory):
    settings = SETTINGS.model_copy(update={"scheduler": "NoSuchScheduler"})
    with pytest.raises(ValueError, match=r"imaging\.scheduler"):
        load_pipeline(sd_directory, None, settings)


def test_a_pickle_checkpoint_is_refused_and_named(sd_directory, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(sd_directory, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(
        StoredModelError, match=r"diffusion_pytorch_model\.bin is a pickle.*imaging"
    ):
        load_pipeline(copy, None, SETTINGS)


def test_a_pickle_beside_safetensors_weights_is_neither_read_nor_kept(sd_directory, tmp_path):
    copy, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(sd_directory, copy)
    out.mkdir()
    (copy / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not even a pickle")
    load_pipeline(copy, None, SETTINGS)
    store_model(copy, None, out, setting="imaging.model", packaged=False)
    assert not list(out.rglob("*.bin"))
    assert (out / "model" / "unet" / "diffusion_pytorch_model.safetensors").is_file()


def test_the_scheduler_is_a_setting(sd_directory):
    settings = SETTINGS.model_copy(update={"scheduler": "EulerDiscreteScheduler"})
    loaded = load_pipeline(sd_directory, None, settings)
    assert type(loaded.pipeline.scheduler).__name__ == "EulerDiscreteScheduler"
