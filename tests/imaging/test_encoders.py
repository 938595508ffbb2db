from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.imaging.convnet import ConvNet, save_convnet
from zipp_dagster.imaging.encoders import (
    CLASSIFIER_KIND,
    EVALUATION_KIND,
    load_evaluation_encoder,
    load_factor_classifier,
    load_vision_encoder,
)
from zipp_dagster.imaging.image_files import encode_png
from zipp_dagster.imaging.judge import judge_evaluation_pairs
from zipp_dagster.imaging.models_path import MODELS
from zipp_dagster.imaging.train_factor_classifier import SIZES
from zipp_dagster.sampleworld.render import render
from zipp_dagster.sampleworld.vocabulary import Factors

IMAGES = [
    encode_png(render(Factors(subject, "neon", "vector", "sunny"), 1))
    for subject in ("cat", "castle", "tree")
]


def test_a_clip_directory_embeds_images_and_texts_in_one_space(clip_directory):
    encoder = load_vision_encoder(clip_directory, device="cpu")
    images, texts = encoder.embed_images(IMAGES), encoder.embed_texts(["a cat", "a castle"])
    assert images.dtype == texts.dtype == np.float32
    assert (images.shape, texts.shape, encoder.dim) == ((3, 12), (2, 12), 12)
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)


def test_batches_do_not_change_embeddings(clip_directory):
    encoder = load_vision_encoder(clip_directory, device="cpu")
    whole = encoder.embed_images(IMAGES)
    encoder.batch = 2
    assert np.allclose(encoder.embed_images(IMAGES), whole, atol=1e-6)


def test_the_evaluation_encoder_may_be_a_clip(clip_directory):
    assert load_evaluation_encoder(clip_directory, device="cpu").embed_images(IMAGES).shape == (
        3,
        12,
    )


def test_our_evaluation_encoder_round_trips(tmp_path):
    save_convnet(ConvNet(5, (8, 8)), tmp_path, EVALUATION_KIND, seed=1)
    encoder = load_evaluation_encoder(tmp_path, device="cpu")
    assert encoder.embed_images(IMAGES).shape == (3, 5)
    assert encoder.embed_images([]).shape == (0, 5)


def test_a_classifier_is_not_an_evaluation_encoder(tmp_path):
    # One output besides the factors' says whether the picture has been mangled.
    save_convnet(ConvNet(sum(SIZES) + 1, (8, 8)), tmp_path, CLASSIFIER_KIND)
    judged = load_factor_classifier(tmp_path, device="cpu").predict(IMAGES)
    assert judged["subject"].shape == (3, 14)
    assert np.allclose(judged["mood"].sum(1), 1, atol=1e-5)
    with pytest.raises((ValueError, OSError)):
        load_evaluation_encoder(tmp_path, device="cpu")


def test_bytes_that_are_no_image_name_their_position(clip_directory):
    encoder = load_vision_encoder(clip_directory, device="cpu")
    with pytest.raises(ValueError, match="image 1"):
        encoder.embed_images([IMAGES[0], b"nonsense"])


def test_a_missing_model_names_the_setting():
    with pytest.raises(FileNotFoundError, match=r"imaging\.vision_model"):
        load_vision_encoder("/no/such/clip")


@pytest.mark.skipif(not (MODELS / "evaluation_encoder").is_dir(), reason="nothing packaged yet")
def test_the_packaged_evaluation_encoder_separates_same_from_different_factors():
    judged = judge_evaluation_pairs(load_evaluation_encoder(device="cpu"), 60)
    assert judged["separated"] >= 0.98
