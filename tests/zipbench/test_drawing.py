"""Methods that change the generator for each person: drawn once, resumed, timed, or left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from assets.imaging import images_valid
from tests.imaging import tiny_models
from zipp_dagster.platform.lake import Draft
from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import PastPicture
from zipp_dagster.zipbench.methods.drawing import draw_personal, with_image_step
from zipp_dagster.zipbench.methods.drum import caption_groups

METHODS = ("fabric", "viper", "drum", "lora")
OPTIONS = MethodSettings(lora_steps=2, drum_steps=2)
STYLES = ("neon colors, watercolor", "muted gray tones, oil painting", "pastel colors, ink drawing")
SUBJECTS = (
    "a cat",
    "an owl",
    "a boat",
    "a castle",
    "a fox",
    "a tree",
    "a car",
    "a horse",
    "a fish",
)
TITLES = [f"{subject}, {style}" for subject in SUBJECTS for style in STYLES]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A tiny pipeline of Stable Diffusion's class, two people's pictures, and `draw(folder)`."""
    from zipp_dagster.imaging.config import ImagingSettings
    from zipp_dagster.imaging.image_files import ImageRequest, encode_png
    from zipp_dagster.imaging.pipelines import load_pipeline

    settings = ImagingSettings(device="cpu", dtype="float32", steps=2, image_size=16, batch_size=2)
    model = tiny_models.tiny_sd(tmp_path_factory.mktemp("sd") / "model")
    loaded = load_pipeline(model, None, settings)
    pixels = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3)).astype(np.uint8)
    histories = {
        user: [
            PastPicture(TITLES[3 * n + user], encode_png(pixels[3 * user + n])) for n in range(3)
        ]
        for user in (0, 1)
    }
    requests = [
        (user, ImageRequest(f"c{user}{n}", method, f"a dog {n}", 10 * user + n))
        for method in METHODS
        for user in (0, 1)
        for n in (0, 1)
    ]

    def draw(
        folder,
        pairs=None,
        people=histories,
        existing=(),
        options=OPTIONS,
        pipeline=loaded,
        titles=TITLES,
    ):
        for name in ("out", "scratch"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return draw_personal(
            requests if pairs is None else pairs,
            people,
            titles,
            pipeline,
            settings,
            options,
            folder / "out",
            folder / "scratch",
            existing=existing,
        )

    draw.requests, draw.histories, draw.loaded = requests, histories, loaded
    return draw


def images(summary) -> dict[tuple[str, str], bytes]:
    rows = parquet.read_table(summary.files).to_pylist()
    return {(row["case_id"], row["method"]): row["image"] for row in rows}


def test_every_method_draws_its_people_s_cases_and_says_what_a_person_cost(studio, tmp_path):
    done = studio(tmp_path)
    assert with_image_step(["no_persona", *METHODS]) == set(METHODS)
    assert (done.requests, done.drawn, done.reused, done.left_out) == (16, 16, 0, {})
    found = images(done)
    assert len(found) == 16 and len({found["c00", method] for method in METHODS}) == 4
    costs = done.cost_table().to_pylist()
    assert len(costs) == 8 and all(row["images"] == 2 and row["draw_seconds"] > 0 for row in costs)
    assert all(row["fit_seconds"] > 0 for row in costs if row["method"] == "lora")
    assert done.per_method()["lora"]["people"] == 2 and done.prepare_seconds["drum"] > 0


def test_pictures_are_drawn_once_and_again_only_where_the_history_or_an_option_changed(
    studio, tmp_path
):
    lora = [pair for pair in studio.requests if pair[1].method == "lora"]
    first = studio(tmp_path / "a", lora)
    again = studio(tmp_path / "b", lora, existing=first.files)
    assert (again.drawn, again.reused) == (0, 4) and images(again) == images(first)
    killed = studio(tmp_path / "a", lora)  # the scratch folder is that of the killed run
    assert (killed.drawn, killed.reused) == (0, 4)
    other = studio.histories | {1: studio.histories[1][:2]}
    changed = studio(tmp_path / "c", lora, people=other, existing=first.files)
    assert (changed.drawn, changed.reused) == (2, 2)
    longer = MethodSettings(lora_steps=3, drum_steps=2)
    assert studio(tmp_path / "d", lora, existing=first.files, options=longer).drawn == 4


def test_pictures_are_drawn_again_where_what_a_method_learned_from_others_changed(studio, tmp_path):
    drum, lora = ([p for p in studio.requests if p[1].method == m] for m in ("drum", "lora"))
    first = studio(tmp_path / "a", drum + lora)
    fewer = TITLES[:-3]  # somebody was erased, say
    again = studio(tmp_path / "b", drum + lora, existing=first.files, titles=fewer)
    assert (again.drawn, again.reused) == (4, 4)
    before, after = images(first), images(again)
    assert before["c00", "lora"] == after["c00", "lora"]
    assert before["c00", "drum"] != after["c00", "drum"]
    turned = studio(tmp_path / "c", drum, existing=first.files, titles=TITLES[::-1] + TITLES[:2])
    assert (turned.drawn, turned.reused) == (0, 4)  # the captions are the same


def test_viper_s_pictures_are_drawn_again_where_the_vocabulary_reads_another_style(
    studio, tmp_path, monkeypatch
):
    from zipp_dagster.persona import aesthetics

    viper, lora = ([p for p in studio.requests if p[1].method == m] for m in ("viper", "lora"))
    first = studio(tmp_path / "a", viper + lora)
    read = aesthetics.style_of_prompt

    def known(text):
        return {facet: phrase for facet, phrase in read(text).items() if "neon" not in phrase}

    assert any(known(title) != read(title) for title in TITLES)
    monkeypatch.setattr(aesthetics, "style_of_prompt", known)
    again = studio(tmp_path / "b", viper + lora, existing=first.files)
    assert (again.drawn, again.reused) == (2, 6)  # one of two people likes neon


@pytest.mark.parametrize(
    "module",
    [
        "zipp_dagster.imaging.personal.text_states",
        "zipp_dagster.imaging.personal.base",
        "zipp_dagster.imaging.personal.viper",
        "zipp_dagster.zipbench.methods.viper",
    ],
)
def test_a_method_s_version_covers_the_modules_that_it_is_made_of(module, tmp_path, monkeypatch):
    from zipp_dagster.zipbench.methods import personal
    from zipp_dagster.zipbench.registry import METHODS

    step, find = METHODS["viper"].image, personal.find_spec
    before = step.version(OPTIONS, TITLES)
    assert step.version(OPTIONS, TITLES) == before
    edited = tmp_path / "edited.py"
    edited.write_bytes(Path(find(module).origin).read_bytes() + b"#")
    monkeypatch.setattr(
        personal,
        "find_spec",
        lambda name: SimpleNamespace(origin=str(edited)) if name == module else find(name),
    )
    assert step.version(OPTIONS, TITLES) != before


def test_a_person_without_a_recurring_style_gets_the_bare_generator_s_picture_from_viper(
    studio, tmp_path
):
    from zipp_dagster.imaging.checks import pixels_of
    from zipp_dagster.imaging.config import ImagingSettings
    from zipp_dagster.imaging.generation import draw

    viper = [pair for pair in studio.requests if pair[1].method == "viper"]
    plain = {user: [PastPicture("a cat", b"")] * 3 for user in (0, 1)}
    found = images(studio(tmp_path, viper, people=plain))
    settings = ImagingSettings(device="cpu", dtype="float32", steps=2, image_size=16)
    bare = draw(studio.loaded, ["a dog 0", "a dog 1"], [0, 1], settings)
    assert (pixels_of(found["c00", "viper"]) == bare[0]).all()


def test_a_generator_without_a_u_net_leaves_out_what_needs_one(studio, tmp_path):
    class Transformer:
        """What a pipeline of another class looks like from outside."""

        tokenizer = studio.loaded.pipeline.tokenizer

        def encode_prompt(self, prompt): ...

        def __call__(self, prompt): ...

    other = replace(studio.loaded, pipeline=Transformer())
    done = studio(tmp_path, pipeline=other)
    assert done.requests == 0 and done.files == [] and set(done.left_out) == set(METHODS)
    assert done.left_out["lora"] == "it changes a U-Net, and Transformer has none"
    assert done.left_out["viper"] == "it needs an unconditional branch, and Transformer has none"


def test_a_person_who_does_not_fit_into_memory_is_left_out_alone(studio, tmp_path, monkeypatch):
    import torch

    from zipp_dagster.imaging.personal.lora import Lora

    fit, theirs = Lora.fit, studio.histories[1][0].image

    def bounded(self, loaded, history, settings, seed=0):
        if theirs in history.liked_images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit(self, loaded, history, settings, seed)

    monkeypatch.setattr(Lora, "fit", bounded)
    done = studio(tmp_path / "a")
    assert done.people_left_out == {"lora": {1: "out of memory: CUDA out of memory"}}
    assert (done.requests, done.drawn, done.left_out) == (14, 14, {})
    drawn = {case for case, method in images(done) if method == "lora"}
    assert drawn == {"c00", "c01"}
    out = Draft("generated_images", None, tmp_path / "a" / "out", tmp_path)
    methods = pa.table({"method": [request.method for _, request in studio.requests]})
    inputs = {"rewritten_prompts": SimpleNamespace(table=methods.select)}
    for count, passes in ((2, True), (0, False)):
        left_out = {"methods": {}, "images": {"lora": count}}
        out.path("left-out.json").write_text(json.dumps(left_out))
        outcome = images_valid.function(out, inputs)
        assert outcome.description.startswith(f"14 of {16 - count} images")
        assert outcome.passed is passes, outcome.description
    pairs = [pair for pair in studio.requests if pair[1].method == "lora" and pair[0] == 1]
    alone = studio(tmp_path / "b", pairs)
    assert alone.files == [] and alone.left_out == {"lora": "out of memory: CUDA out of memory"}
    monkeypatch.setattr(Lora, "fit", lambda *args: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):  # another error is nobody's memory
        studio(tmp_path / "c", pairs)


def test_drum_s_captions_pair_several_subjects_with_one_style():
    groups = caption_groups(TITLES)
    assert len(groups) == 3 and all(len(set(group)) == 8 for group in groups)
    for group in groups:
        assert len({caption.split(", ", 1)[1] for caption in group}) == 1
        assert {caption.split(", ", 1)[0] for caption in group} <= set(SUBJECTS)
    assert caption_groups(["a cat", "a dog"]) == []
