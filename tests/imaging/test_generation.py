from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from zipp_dagster.imaging import generation
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.generation import draw, generate, request_key
from zipp_dagster.imaging.image_files import TABLE, ImageRequest, encode_png
from zipp_dagster.imaging.pipelines import load_pipeline

SETTINGS = ImagingSettings(
    device="cpu", dtype="float32", steps=2, image_size=16, batch_size=4, lanes=1, shard_size=3
)
PROMPTS = ["a cat", "an owl, watercolor", "a castle, night", "a tree", "a fish, pixel art"]
REQUESTS = [ImageRequest(f"c{i}", "zipp_0shot", p, i) for i, p in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def loaded(sd_directory):
    return load_pipeline(sd_directory, None, SETTINGS)


@pytest.fixture
def count_draws(monkeypatch):
    """Sizes of the batches that were drawn."""
    real, sizes = generation.draw, []

    def counted(*args):
        sizes.append(len(args[1]))
        return real(*args)

    monkeypatch.setattr(generation, "draw", counted)
    return sizes


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
    names = ["part-zipp_0shot-00000.parquet", "part-zipp_0shot-00001.parquet"]
    assert [file.name for file in summary.files] == names
    assert pq.read_schema(summary.files[0]).equals(TABLE)
    assert [row["case_id"] for row in rows(summary)] == [r.case_id for r in REQUESTS]
    assert (summary.drawn, summary.reused, summary.resumed, summary.truncated) == (5, 0, 0, 0)


def test_a_shard_holds_one_method_and_never_one_user(loaded, tmp_path):
    mixed = [ImageRequest(f"c{i}", m, PROMPTS[i], i) for i in range(4) for m in ("a", "b")]
    summary = generate(mixed, loaded, SETTINGS, tmp_path / "out", tmp_path / "scratch")
    held = {
        f.name: pq.read_table(f).select(["method", "case_id"]).to_pydict() for f in summary.files
    }
    assert list(held) == [f"part-{m}-0000{n}.parquet" for m in "ab" for n in (0, 1)]
    assert held["part-b-00000.parquet"] == {"method": ["b"] * 3, "case_id": ["c0", "c1", "c2"]}
    assert (summary.requests, summary.distinct, summary.drawn) == (8, 4, 4)


def test_methods_that_would_share_a_file_are_an_error(loaded, tmp_path):
    alike = [ImageRequest("c", m, "a cat", 1) for m in ("a/b", "a b")]
    with pytest.raises(ValueError, match="share the file name"):
        generate(alike, loaded, SETTINGS, tmp_path / "out", tmp_path / "scratch")


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


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_halves_the_batch(loaded, tmp_path, monkeypatch, error):
    real, sizes = generation.draw, []

    def small_machine(*args):
        sizes.append(len(args[1]))
        if len(args[1]) > 2:
            raise error
        return real(*args)

    monkeypatch.setattr(generation, "draw", small_machine)
    summary = generate(REQUESTS, loaded, SETTINGS, tmp_path / "a", tmp_path / "s")
    assert (sizes, summary.drawn) == ([4, 2, 2, 1], 5)


def test_one_image_that_does_not_fit_names_the_settings(loaded, tmp_path, monkeypatch):
    def no_memory(*args):
        raise MemoryError

    monkeypatch.setattr(generation, "draw", no_memory)
    with pytest.raises(MemoryError, match=r"imaging\.offload"):
        generate(REQUESTS, loaded, SETTINGS, tmp_path / "a", tmp_path / "s")


def test_another_error_is_no_reason_to_try_again(loaded, tmp_path, monkeypatch):
    calls = []

    def broken(*args):
        calls.append(1)
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(generation, "draw", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        generate(REQUESTS, loaded, SETTINGS, tmp_path / "a", tmp_path / "s")
    assert len(calls) == 1


def test_weights_that_are_not_numbers_stop_the_drawing(sd_directory):
    broken = load_pipeline(sd_directory, None, SETTINGS)
    with torch.no_grad():
        broken.pipeline.unet.conv_out.bias[0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"imaging\.dtype=float32"):
        draw(broken, ["a cat"], [1], SETTINGS)


def test_a_changed_seed_prompt_or_model_is_drawn_and_nothing_else(
    loaded, sd_directory, tmp_path, count_draws
):
    first = generate(REQUESTS, loaded, SETTINGS, tmp_path / "a", tmp_path / "sa")
    changed = [
        ImageRequest("c0", "zipp_0shot", REQUESTS[0].prompt, 99),
        ImageRequest("c1", "zipp_0shot", "an owl, oil painting", REQUESTS[1].seed),
        *REQUESTS[2:],
    ]
    count_draws.clear()
    second = generate(
        changed, loaded, SETTINGS, tmp_path / "b", tmp_path / "sb", existing=first.files
    )
    assert (sum(count_draws), second.drawn, second.reused) == (2, 2, 3)
    other = load_pipeline(sd_directory, None, SETTINGS)
    other.version = "another model"
    count_draws.clear()
    third = generate(
        changed, other, SETTINGS, tmp_path / "c", tmp_path / "sc", existing=first.files
    )
    assert (sum(count_draws), third.reused) == (5, 0)
    count_draws.clear()
    files = [*first.files, *second.files, *third.files]
    fourth = generate(REQUESTS, loaded, SETTINGS, tmp_path / "d", tmp_path / "sd", existing=files)
    assert (sum(count_draws), fourth.reused) == (0, 5)


def test_long_prompts_are_counted(loaded, tmp_path):
    long = ImageRequest("long", "m", "a cat, " * 40, 1)
    summary = generate([REQUESTS[0], long], loaded, SETTINGS, tmp_path / "a", tmp_path / "s")
    assert summary.truncated == 1
    assert [row["truncated"] for row in rows(summary)] == [False, True]


def test_an_image_says_where_it_came_from(loaded, tmp_path):
    summary = generate(REQUESTS[:1], loaded, SETTINGS, tmp_path / "a", tmp_path / "s")
    (row,) = rows(summary)
    said = Image.open(io.BytesIO(row["image"])).text
    assert said["zipp:request"] == row["request_key"]
    assert said["zipp:model"] == loaded.version
    assert (said["zipp:seed"], said["zipp:steps"]) == ("0", "2")
    assert REQUESTS[0].prompt not in "".join(said.values())


def test_no_requests_give_one_empty_file(loaded, tmp_path):
    summary = generate([], loaded, SETTINGS, tmp_path / "a", tmp_path / "s")
    assert (summary.drawn, rows(summary), len(summary.files)) == (0, [], 1)


def test_png_bytes_are_lossless_and_carry_their_provenance():
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    image = Image.open(io.BytesIO(encode_png(pixels, {"seed": "7"})))
    assert (np.asarray(image) == pixels).all()
    assert image.text == {"zipp:seed": "7"}
