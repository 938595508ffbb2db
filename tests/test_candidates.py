"""Candidate generators and rewriters: promoted, or kept with the reason, and no run fails for it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from assets import candidates
from assets.candidates import GENERATOR, REWRITER
from assets.catalogue import catalogue
from tests.personal.people import publish
from zipp_dagster.persona.schema import Persona, Preference
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.materialise import materialise
from zipp_dagster.platform.registry import CHALLENGER, CHAMPION, PREVIOUS

USERS = range(1, 13)
# One table of pictures instead of one a month.
CATALOGUE = Catalogue(
    [replace(e, partitioned=False) if e.name == "media" else e for e in catalogue().values()],
    lambda _: [],
)
GENERATOR_ASSETS = ("diffusion_model", "diffusion_decision", "champion_diffusion_model")
REWRITER_ASSETS = ("rewriter", "rewriter_decision", "champion_rewriter")


@pytest.fixture(scope="module")
def world() -> SimpleNamespace:
    """Twelve people's held-out titles, the pictures that they posted, and their tastes."""
    from zipp_dagster.imaging.dataset import draw_factors, draw_images, training_factors
    from zipp_dagster.imaging.image_files import encode_png
    from zipp_dagster.sampleworld.captions import caption
    from zipp_dagster.sampleworld.vocabulary import MEDIA

    rng = np.random.default_rng(3)
    factors = draw_factors(training_factors(), rng, len(USERS))
    posted = [encode_png(image) for image in draw_images(factors, rng)]
    return SimpleNamespace(
        titles=[caption(f, rng) for f in factors],
        posted=posted,
        media=[MEDIA[f.medium][0] for f in factors],
    )


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    """The packaged generator with the weights of its first day."""
    torch = pytest.importorskip("torch")
    from diffusers import UNet2DConditionModel

    from zipp_dagster.imaging.config import ImagingSettings
    from zipp_dagster.imaging.pipelines import load_pipeline

    torch.manual_seed(0)
    pipeline = load_pipeline(None, None, ImagingSettings(steps=2)).pipeline
    pipeline.unet = UNet2DConditionModel.from_config(pipeline.unet.config)
    folder = tmp_path_factory.mktemp("untrained")
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def home(tmp_path, environment, mlflow_store, world) -> Path:
    """A ZIPP_HOME that holds all that candidates are judged by."""
    from zipp_dagster.runner import local_platform

    mlflow_store(tmp_path / "mlflow")
    shas = [f"{user:064x}" for user in USERS]
    profiles = [
        Persona(
            summary="I like pictures as I describe them.",
            preferences=(Preference(context="general", facet="medium", phrase=medium),),
        ).model_dump_json()
        for medium in world.media
    ]
    users = pa.array(USERS, pa.uint64())
    holdout = pa.table(
        {
            "user_id": users,
            "post_id": [f"p{user}" for user in USERS],
            "title": world.titles,
            "sha256": shas,
            "created_at": pa.array([datetime(2024, 1, 1)] * len(USERS), pa.timestamp("us")),
            "split": ["development"] * len(USERS),
        }
    )
    personas = pa.table(
        {"user_id": users, "quarantined": pa.nulls(len(USERS), pa.string()), "profile": profiles,
         "persona_id": [f"id{user}" for user in USERS]}
    )  # fmt: skip
    media = pa.table({"sha256": shas, "image": pa.array(world.posted, pa.binary())})
    with environment(ZIPP_HOME=tmp_path):
        platform = local_platform()
        for asset, table in (
            ("benchmark_holdout", holdout), ("personas", personas), ("media", media)
        ):  # fmt: skip
            publish(platform.lake, asset, table)
        assert materialise(CATALOGUE["evaluation_encoder"], None, platform, CATALOGUE)
    return tmp_path


@pytest.fixture
def make(home, environment):
    """`make(assets, ZIPP_…=…)`: materialises in order; no run fails; the platform."""
    from zipp_dagster.runner import local_platform

    few = {"ZIPP_PROMOTION__MINIMUM_USERS": 10, "ZIPP_IMAGING__STEPS": 2, "ZIPP_HOME": home}
    few |= {"ZIPP_ZIPBENCH__BOOTSTRAP_REPLICATES": 200}

    def made(names, **variables):
        with environment(**few, **variables):
            platform = local_platform()
            for name in names:
                outcome = materialise(CATALOGUE[name], None, platform, CATALOGUE)
                assert outcome.status in ("made", "unchanged"), (name, outcome.checks)
            return platform

    return made


def decision(platform, asset: str) -> dict:
    return json.loads((platform.lake.current(asset).directory / "decision.json").read_text())


def aliases(platform, model: str) -> dict[str, int]:
    found = {name: platform.registry.by_alias(model, name) for name in (CHAMPION, PREVIOUS)}
    return {name: entry.version for name, entry in found.items() if entry}


def nothing_drawn(*_):
    raise AssertionError("a picture was drawn")


def test_a_broken_generator_is_kept_from_promotion_with_the_reason(make, untrained, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(candidates, "drawn_prompts", nothing_drawn)
        platform = make(GENERATOR_ASSETS)  # the first candidate: nothing is drawn
    assert decision(platform, "diffusion_decision")["outcome"] == "promoted"
    assert aliases(platform, GENERATOR) == {CHAMPION: 1}
    pinned = platform.lake.current("champion_diffusion_model")
    assert pinned.manifest.metadata["lake_version"] == platform.lake.current("diffusion_model").id

    platform = make(GENERATOR_ASSETS, ZIPP_IMAGING__MODEL=untrained)
    said = decision(platform, "diffusion_decision")
    assert said["outcome"] == "kept" and said["candidate"] == "candidate 2"
    assert "clip_i on the development benchmark: gain -" in said["reasons"][0]
    assert "below the gain" in said["reasons"][0] and said["verdicts"][0]["users"] == len(USERS)
    assert aliases(platform, GENERATOR) == {CHAMPION: 1}
    assert platform.registry.by_alias(GENERATOR, CHALLENGER).version == 2
    # What is drawn with stays as it was, to the version.
    assert platform.lake.current("champion_diffusion_model").id == pinned.id

    # By hand it can be promoted all the same; then the good one wins against it.
    platform.registry.promote(GENERATOR, 2, who="ann", why="to see it")
    platform = make(GENERATOR_ASSETS[2:], ZIPP_IMAGING__MODEL=untrained)
    assert platform.lake.current("champion_diffusion_model").id != pinned.id
    platform = make(GENERATOR_ASSETS)
    assert decision(platform, "diffusion_decision")["outcome"] == "promoted"
    assert aliases(platform, GENERATOR) == {CHAMPION: 3, PREVIOUS: 2}
    assert platform.registry.rollback(GENERATOR, who="ann", why="again").version == 2


def test_a_copy_of_the_champion_is_no_rival_and_nothing_is_drawn(make, tmp_path, monkeypatch):
    import shutil

    platform = make(GENERATOR_ASSETS)
    kept = platform.lake.current("diffusion_model").directory / "model"
    shutil.copytree(kept, tmp_path / "copy")
    monkeypatch.setattr(candidates, "drawn_prompts", nothing_drawn)
    platform = make(GENERATOR_ASSETS, ZIPP_IMAGING__MODEL=tmp_path / "copy")
    assert decision(platform, "diffusion_decision")["reasons"] == [
        "its files are the champion's own"
    ]
    assert aliases(platform, GENERATOR) == {CHAMPION: 1}


def test_a_generator_whose_files_cannot_be_loaded_is_kept_from_promotion(make, untrained, tmp_path):
    import shutil

    make(GENERATOR_ASSETS)
    broken = tmp_path / "without-scheduler"
    shutil.copytree(untrained, broken)
    (broken / "model_index.json").unlink()
    platform = make(GENERATOR_ASSETS, ZIPP_IMAGING__MODEL=broken)
    said = decision(platform, "diffusion_decision")
    assert said["outcome"] == "kept" and "is not valid" in said["reasons"][0]
    assert aliases(platform, GENERATOR) == {CHAMPION: 1}


class Noise:
    """A language model that answers with letters."""

    name, sees = "noise", False

    def generate(self, conversations, schema=None):
        letters = np.random.default_rng(0).choice(list("bcdfghjk"), size=(len(conversations), 40))
        return [
            json.dumps({"prompt": f"{c[-1].data.prompt if c[-1].data else ''}, {''.join(row)}"})
            for c, row in zip(conversations, letters, strict=True)
        ]


def test_a_broken_rewriter_is_kept_from_promotion_with_the_reason(make, tmp_path, monkeypatch):
    make(GENERATOR_ASSETS)
    with monkeypatch.context() as patch:
        patch.setattr(candidates, "drawn_prompts", nothing_drawn)
        platform = make(REWRITER_ASSETS)
    assert decision(platform, "rewriter_decision")["outcome"] == "promoted"
    pinned = platform.lake.current("champion_rewriter")

    template = tmp_path / "mine.txt"
    template.write_text("[system]\n$nobody_gives_this\n[shots]\n$shots\n[user]\n$prompt\n")
    platform = make(REWRITER_ASSETS, ZIPP_PERSONA__REWRITE_TEMPLATE=template)
    said = decision(platform, "rewriter_decision")
    assert said["outcome"] == "kept"
    assert "KeyError: 'nobody_gives_this'" in said["reasons"][0]
    assert aliases(platform, REWRITER) == {CHAMPION: 1}
    assert platform.lake.current("champion_rewriter").id == pinned.id

    # Another text under the same name is another candidate.
    template.write_text(template.read_text().replace("$nobody_gives_this", "$persona"))
    platform = make(REWRITER_ASSETS, ZIPP_PERSONA__REWRITE_TEMPLATE=template)
    said = decision(platform, "rewriter_decision")
    # The lexical model reads no template: equal pictures, and nothing speaks against it.
    assert said["outcome"] == "promoted" and aliases(platform, REWRITER)[CHAMPION] == 3


def test_a_rewriter_of_noise_loses_on_the_development_people(make, monkeypatch):
    from zipp_dagster.persona import language_models

    make(GENERATOR_ASSETS)
    make(REWRITER_ASSETS)
    real = language_models.load_language_model

    def load(settings, home=None):
        return Noise() if settings.kind == "http" else real(settings, home)

    monkeypatch.setattr(language_models, "load_language_model", load)
    noise = {"ZIPP_PERSONA__LANGUAGE_MODEL__KIND": "http"}
    noise |= {"ZIPP_PERSONA__LANGUAGE_MODEL__MODEL": "noise"}
    platform = make(REWRITER_ASSETS, **noise)
    said = decision(platform, "rewriter_decision")
    assert said["outcome"] == "kept"
    assert said["reasons"][0].startswith("clip_i on the development benchmark")
    kept = platform.lake.current("champion_rewriter").directory / "rewriter.json"
    assert json.loads(kept.read_text())["language_model"]["kind"] == "lexical"


def test_without_posted_pictures_nothing_replaces_a_champion_and_the_reason_is_given(
    make, untrained
):
    platform = make(GENERATOR_ASSETS)
    publish(platform.lake, "media", skipped="no pictures")
    platform = make(GENERATOR_ASSETS, ZIPP_IMAGING__MODEL=untrained)
    said = decision(platform, "diffusion_decision")
    assert said["outcome"] == "kept" and "0 users are too few" in said["reasons"][0]


def test_an_error_that_may_pass_is_no_verdict_on_a_candidate(make, untrained, monkeypatch):
    make(GENERATOR_ASSETS)
    drawn = candidates.drawn_prompts

    def unreachable(model, *rest):
        if "candidate" in str(rest[-1]):
            raise ConnectionError("the hub does not answer")
        return drawn(model, *rest)

    monkeypatch.setattr(candidates, "drawn_prompts", unreachable)
    with pytest.raises(ConnectionError):
        make(GENERATOR_ASSETS, ZIPP_IMAGING__MODEL=untrained)


def test_a_kept_rewriter_holds_no_key_and_no_endpoint(make):
    platform = make(
        ["rewriter"],
        ZIPP_PERSONA__LANGUAGE_MODEL__KIND="http",
        ZIPP_PERSONA__LANGUAGE_MODEL__MODEL="m",
        ZIPP_PERSONA__LANGUAGE_MODEL__API_KEY="sk-planted",
        ZIPP_PERSONA__LANGUAGE_MODEL__BASE_URL="http://10.0.0.9/v1",
    )
    files = [p for p in platform.home.rglob("*") if p.is_file()]
    assert files and not [p for p in files if b"sk-planted" in p.read_bytes()]
    kept = (platform.lake.current("rewriter").directory / "rewriter.json").read_text()
    assert "10.0.0.9" not in kept and '"model": "m"' in kept
