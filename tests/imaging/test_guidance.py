from __future__ import annotations

import numpy as np
import pydantic
import pytest

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.generation import draw
from zipp_dagster.imaging.image_files import encode_png
from zipp_dagster.imaging.personal.base import History
from zipp_dagster.imaging.personal.fabric import Fabric
from zipp_dagster.imaging.pipelines import denoiser, load_pipeline

ALWAYS = ImagingSettings(
    device="cpu", dtype="float32", steps=6, image_size=16, guidance_rest=(1.0, 1.0)
)
RESTING = ALWAYS.model_copy(update={"guidance_rest": (0.1, 0.8)})
PROMPTS, SEEDS = ["a cat", "an owl"], [1, 2]
CLASSES = ["sd_directory", "sdxl_directory", "sd3_directory"]


def rows_of_each_call(loaded, monkeypatch):
    """The first tensor's rows (images × branches) of every denoiser call, as they come."""
    model, rows = denoiser(loaded.pipeline), []
    plain = model.forward

    def forward(*given, **named):
        sample = given[0] if given else named["hidden_states"]
        rows.append(len(sample))
        return plain(*given, **named)

    monkeypatch.setattr(model, "forward", forward)
    return rows


@pytest.mark.parametrize("fixture", CLASSES)
def test_a_step_at_rest_runs_the_prompts_branch_alone(fixture, request, monkeypatch):
    loaded = load_pipeline(request.getfixturevalue(fixture), None, RESTING)
    rows = rows_of_each_call(loaded, monkeypatch)
    resting = draw(loaded, PROMPTS, SEEDS, RESTING)
    assert rows == [4, 2, 2, 2, 2, 4]
    rows.clear()
    always = draw(loaded, PROMPTS, SEEDS, ALWAYS)
    assert rows == [4] * 6
    assert (resting != always).any()


@pytest.mark.parametrize("fixture", CLASSES)
def test_images_do_not_depend_on_their_batch(fixture, request):
    loaded = load_pipeline(request.getfixturevalue(fixture), None, RESTING)
    both = draw(loaded, PROMPTS, SEEDS, RESTING).astype(int)
    for place, prompt in enumerate(PROMPTS):
        alone = draw(loaded, [prompt], SEEDS[place : place + 1], RESTING)[0]
        assert np.abs(alone - both[place]).max() <= 1


def test_at_rest_to_the_end_is_the_unguided_model_but_for_the_first_step(sd_directory):
    loaded = load_pipeline(sd_directory, None, ALWAYS)
    one = {"steps": 1}
    first_alone = draw(loaded, PROMPTS, SEEDS, ALWAYS.model_copy(update=one))
    rested = draw(
        loaded, PROMPTS, SEEDS, ALWAYS.model_copy(update={**one, "guidance_rest": (0.0, 1.0)})
    )
    np.testing.assert_array_equal(first_alone, rested)


def test_a_model_without_a_second_branch_draws_the_same(flux_directory):
    loaded = load_pipeline(flux_directory, None, ALWAYS)
    np.testing.assert_array_equal(
        draw(loaded, PROMPTS, SEEDS, ALWAYS), draw(loaded, PROMPTS, SEEDS, RESTING)
    )


@pytest.mark.parametrize("fixture", CLASSES[:2])
def test_fabric_feeds_the_branch_that_is_there(fixture, request):
    loaded = load_pipeline(request.getfixturevalue(fixture), None, RESTING)
    liked, disliked = (
        [encode_png(image)] for image in draw(loaded, PROMPTS, SEEDS, RESTING)
    )  # any two pictures
    method = Fabric()
    for history in (History(liked_images=liked), History(disliked_images=disliked)):
        fitted = method.fit(loaded, history, RESTING)
        both = method.draw(loaded, fitted, PROMPTS, SEEDS, RESTING).astype(int)
        alone = method.draw(loaded, fitted, PROMPTS[:1], SEEDS[:1], RESTING)[0]
        assert np.abs(alone - both[0]).max() <= 1
        assert (both != draw(loaded, PROMPTS, SEEDS, RESTING)).any()


def test_fabric_without_guidance_says_what_to_set(sd_directory):
    settings = ALWAYS.model_copy(update={"guidance": 1.0})
    loaded = load_pipeline(sd_directory, None, settings)
    picture = encode_png(draw(loaded, PROMPTS[:1], SEEDS[:1], settings)[0])
    method = Fabric()
    fitted = method.fit(loaded, History(liked_images=[picture]), settings)
    with pytest.raises(ValueError, match=r"imaging\.guidance above 1"):
        method.draw(loaded, fitted, PROMPTS, SEEDS, settings)


@pytest.mark.parametrize("rest", [(0.8, 0.1), (-0.1, 0.5), (0.5, 1.1)])
def test_a_rest_that_is_no_interval_is_refused(rest):
    with pytest.raises(pydantic.ValidationError, match="guidance_rest"):
        ImagingSettings(guidance_rest=rest)
