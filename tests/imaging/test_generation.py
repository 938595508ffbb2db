from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zipp_dagster.imaging import generation
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.generation import (
    TABLE,
    ImageRequest,
    draw,
    encode_png,
    generate,
    request_key,
)
from zipp_dagster.imaging.pipelines import load_pipeline

SETTINGS = ImagingSettings(
    device="cpu", dtype="float32", steps=2, image_size=16, batch_size=4, shard_size=3
)
PROMPTS = ["a cat", "an owl, watercolor", "a castle, night", "a tree", "a fish, pixel art"]
REQUESTS = [ImageRequest(f"c{i}", "zipp_0shot", p, i) for i, p in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def loaded(sd_directory):
    return load_pipeline(sd_directory, None, SETTINGS)


def rows(summary):
    return [row for file in summary.files for row in pq.read_table(file).to_pylist()]


def test_the_key_covers_model_prompt_seed_and_sampler():
    base = request_key("m", "a cat", 1, SETTINGS)
    assert len(base) == 64
    others = {
        request_key("n", "a cat", 1, SETTINGS),
        request_key("m", "a dog", 1, SETTINGS),
        request_key("m", "a cat", 2, SETTINGS),
        request_key("m", "a cat", 1, SETTINGS.model_copy(update={"steps": 3})),
    }
    assert base not in others
    assert len(others) == 4
    assert base == request_key("m", "a cat", 1, SETTINGS.model_copy(update={"batch_size": 9}))


def test_images_do_not_depend_on_their_batch(loaded):
    together = draw(loaded, PROMPTS, range(5), SETTINGS).astype(int)
    alone = np.concatenate([draw(loaded, [p], [i], SETTINGS) for i, p in enumerate(PROMPTS)])
    assert np.abs(together - alone).max() <= 1


def test_the_xl_class_draws_by_the_same_function(sdxl_directory):
    xl = load_pipeline(sdxl_directory, None, SETTINGS)
    images = draw(xl, PROMPTS[:2], [1, 2], SETTINGS)
    assert images.shape == (2, 16, 16, 3)


def test_rows_follow_the_requests_in_shards(loaded, tmp_path):
    summary = generate(REQUESTS, loaded, SETTINGS, tmp_path / "out", tmp_path / "scratch")
    assert [file.name for file in summary.files] == ["part-00000.parquet", "part-00001.parquet"]
    assert pq.read_schema(summary.files[0]).equals(TABLE)
    assert [row["case_id"] for row in rows(summary)] == [r.case_id for r in REQUESTS]
    assert (summary.drawn, summary.reused, summary.resumed, summary.truncated) == (5, 0, 0, 0)


def test_equal_requests_are_drawn_once(loaded, tmp_path):
    twice = [REQUESTS[0], ImageRequest("other", "no_persona", "a cat", 0)]
    summary = generate(twice, loaded, SETTINGS, tmp_path / "out", tmp_path / "scratch")
    assert (summary.requests, summary.distinct, summary.drawn) == (2, 1, 1)
    first, second = rows(summary)
    assert first["image"] == second["image"]


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(loaded, tmp_path, monkeypatch):
    whole = generate(REQUESTS, loaded, SETTINGS, tmp_path / "a", tmp_path / "scratch-a")
    real, calls = generation.draw, []

    def dies_at_the_second_batch(*args):
        calls.append(len(args[1]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(generation, "draw", dies_at_the_second_batch)
    with pytest.raises(KeyboardInterrupt):
        generate(REQUESTS, loaded, SETTINGS, tmp_path / "b", tmp_path / "scratch-b")
    again = generate(REQUESTS, loaded, SETTINGS, tmp_path / "b", tmp_path / "scratch-b")
    assert calls == [4, 1, 1]
    assert (again.resumed, again.drawn) == (4, 1)
    assert [r["image"] for r in rows(again)] == [r["image"] for r in rows(whole)]


def test_earlier_images_are_reused_and_none_is_drawn(loaded, tmp_path):
    before = generate(REQUESTS, loaded, SETTINGS, tmp_path / "a", tmp_path / "sa")
    after = generate(
        REQUESTS, loaded, SETTINGS, tmp_path / "b", tmp_path / "sb", existing=before.files
    )
    assert (after.drawn, after.reused) == (0, 5)
    assert rows(after) == rows(before)


def test_out_of_memory_halves_the_batch(loaded, tmp_path, monkeypatch):
    real, sizes = generation.draw, []

    def small_machine(*args):
        sizes.append(len(args[1]))
        if len(args[1]) > 2:
            raise MemoryError
        return real(*args)

    monkeypatch.setattr(generation, "draw", small_machine)
    summary = generate(REQUESTS, loaded, SETTINGS, tmp_path / "a", tmp_path / "s")
    assert (sizes, summary.drawn) == ([4, 2, 2, 1], 5)


def test_long_prompts_are_counted(loaded, tmp_path):
    long = ImageRequest("long", "m", "a cat, " * 40, 1)
    summary = generate([REQUESTS[0], long], loaded, SETTINGS, tmp_path / "a", tmp_path / "s")
    assert summary.truncated == 1
    assert [row["truncated"] for row in rows(summary)] == [False, True]


def test_no_requests_give_one_empty_file(loaded, tmp_path):
    summary = generate([], loaded, SETTINGS, tmp_path / "a", tmp_path / "s")
    assert (summary.drawn, rows(summary), len(summary.files)) == (0, [], 1)


def test_png_bytes_are_lossless_and_carry_their_provenance():
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    image = Image.open(io.BytesIO(encode_png(pixels, {"seed": "7"})))
    assert (np.asarray(image) == pixels).all()
    assert image.text == {"zipp:seed": "7"}
