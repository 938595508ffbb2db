from __future__ import annotations

import pytest

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.pipelines import directory_version, is_truncated, load_pipeline

SETTINGS = ImagingSettings(device="cpu", dtype="float32", steps=2, image_size=16, batch_size=4)


def test_a_stable_diffusion_directory_is_loaded_with_a_version_of_its_bytes(sd_directory):
    loaded = load_pipeline(sd_directory, None, SETTINGS)
    assert type(loaded.pipeline).__name__ == "StableDiffusionPipeline"
    assert loaded.version == directory_version(sd_directory)


def test_the_same_loader_takes_an_xl_directory(sdxl_directory):
    loaded = load_pipeline(str(sdxl_directory), None, SETTINGS)
    assert type(loaded.pipeline).__name__ == "StableDiffusionXLPipeline"


def test_a_missing_directory_names_the_setting():
    with pytest.raises(FileNotFoundError, match=r"imaging\.model"):
        load_pipeline("/no/such/model", None, SETTINGS)


def test_an_unknown_scheduler_names_the_setting(sd_directory):
    settings = SETTINGS.model_copy(update={"scheduler": "NoSuchScheduler"})
    with pytest.raises(ValueError, match=r"imaging\.scheduler"):
        load_pipeline(sd_directory, None, settings)


def test_weights_other_than_safetensors_are_refused(sd_directory, tmp_path):
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(sd_directory, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(OSError, match=r"imaging\.model"):
        load_pipeline(copy, None, SETTINGS)


def test_the_scheduler_is_a_setting(sd_directory):
    settings = SETTINGS.model_copy(update={"scheduler": "EulerDiscreteScheduler"})
    loaded = load_pipeline(sd_directory, None, settings)
    assert type(loaded.pipeline.scheduler).__name__ == "EulerDiscreteScheduler"


def test_a_prompt_beyond_the_text_encoder_is_reported(sd_directory):
    pipeline = load_pipeline(sd_directory, None, SETTINGS).pipeline
    assert not is_truncated(pipeline, "a cat, watercolor")
    assert is_truncated(pipeline, "a cat, " * 40)
