"""Batches side by side: the same images in the same order, and no lane meets another's scheduler."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.generation import draw, generate
from zipp_dagster.imaging.image_files import ImageRequest
from zipp_dagster.imaging.judge import draw_prompts
from zipp_dagster.imaging.lanes import in_lanes, lane_count
from zipp_dagster.imaging.pipelines import load_pipeline

SETTINGS = ImagingSettings(
    device="cpu", dtype="float32", steps=3, image_size=16, batch_size=2, shard_size=3
)
PROMPTS = ["a cat", "an owl, watercolor", "a castle, night", "a tree", "a fish", "a boat", "a fox"]


@pytest.fixture(scope="module")
def loaded(sd_directory):
    return load_pipeline(sd_directory, None, SETTINGS)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_images_are_the_same_in_any_number_of_lanes(loaded, tmp_path):
    one = draw_prompts(loaded, PROMPTS, SETTINGS.model_copy(update={"lanes": 1}))
    three = draw_prompts(loaded, PROMPTS, SETTINGS.model_copy(update={"lanes": 3}))
    assert np.array_equal(one, three)
    requests = [ImageRequest(f"c{i}", "m", p, i) for i, p in enumerate(PROMPTS)]
    files = [
        generate(
            requests,
            loaded,
            SETTINGS.model_copy(update={"lanes": lanes}),
            tmp_path / f"out{lanes}",
            tmp_path / f"scratch{lanes}",
        ).files
        for lanes in (1, 3)
    ]
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]


def test_results_come_in_order_and_lanes_do_not_share_a_scheduler(loaded, three_threads):
    together = threading.Barrier(3, timeout=30)

    def work(lane, number):
        together.wait()
        kept = lane.pipeline.scheduler, lane.pipeline.tokenizer, lane.pipeline.unet
        return number, *map(id, kept)

    numbers, schedulers, tokenizers, denoisers = zip(*in_lanes(loaded, 3, range(6), work))
    assert len({*tokenizers, id(loaded.pipeline.tokenizer)}) == 4
    assert numbers == tuple(range(6))
    assert len(set(schedulers)) == 3
    assert id(loaded.pipeline.scheduler) not in schedulers
    assert set(denoisers) == {id(loaded.pipeline.unet)}
    assert torch.get_num_threads() == 3


def test_an_error_in_one_lane_is_raised_and_threads_are_given_back(loaded, three_threads):
    def work(lane, number):
        if number == 2:
            raise ValueError("the third batch")
        return number

    with pytest.raises(ValueError, match="the third batch"):
        list(in_lanes(loaded, 2, range(9), work))
    assert torch.get_num_threads() == 3
    assert draw(loaded, ["a cat"], [1], SETTINGS).shape == (1, 16, 16, 3)


def test_small_models_on_a_cpu_have_a_lane_for_each_thread(loaded, three_threads):
    assert lane_count(loaded, SETTINGS) == 3
    assert lane_count(loaded, SETTINGS.model_copy(update={"lanes": 2})) == 2
