"""The paper profile through every asset, with tiny checkpoints of the classes that it names.

Dump files and media of a small world lie in folders, as anybody's would; models are directories; the
language model is an endpoint on loopback. Environment variables alone say so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from assets.catalogue import catalogue
from tests.imaging import tiny_models as images
from tests.persona.tiny_models import tiny_language_model
from tests.slow.chat_server import ChatServer, chat_server
from zipp_dagster.platform.lake import Lake
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.world import generate_world

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

WORLD = WorldSettings(
    people=90,
    communities=20,
    months=2,
    creators_share=0.9,
    image_posts_per_person=30,
    comments_per_person=100,
    image_size=16,
    bad_lines_per_file=1,
)
SIZES = {
    # The machine, not the method: what is left out here is the paper profile's own.
    "ZIPP_WAREHOUSE__MEMORY_LIMIT": "1GB",
    "ZIPP_WAREHOUSE__THREADS": "1",
    "ZIPP_ENCODER__HIDDEN": "16",
    "ZIPP_ENCODER__EPOCHS": "4",
    "ZIPP_ENCODER__USERS_PER_BATCH": "32",
    "ZIPP_ENCODER__INFERENCE_LANES": "1",
    "ZIPP_ENCODER__ABLATION_SEEDS": "1",
    "ZIPP_ENCODER__TUNING_VARIANTS": "1",
    "ZIPP_IMAGING__IMAGE_SIZE": "16",
    "ZIPP_IMAGING__STEPS": "2",
    "ZIPP_IMAGING__BATCH_SIZE": "32",
    "ZIPP_ZIPBENCH__USERS": "30",
    "ZIPP_ZIPBENCH__DEVELOPMENT_USERS": "4",
    "ZIPP_ZIPBENCH__HOLDOUT_POSTS": "2",
    "ZIPP_METHODS__PERSONAL_USERS": "2",
    "ZIPP_METHODS__LORA_STEPS": "2",
    "ZIPP_METHODS__DRUM_STEPS": "2",
    "ZIPP_ABLATION__USERS": "4",
}


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, server: ChatServer) -> dict[str, str]:
    """The environment of a paper-profile run: everything is a path or a number."""
    folder = tmp_path_factory.mktemp("paper")
    generate_world(WORLD, folder / "world")
    instruct = tiny_language_model(folder / "instruct")
    second = {"kind": "transformers", "model": str(instruct), "max_new_tokens": 16}
    return SIZES | {
        "ZIPP_PROFILE": "paper",
        "ZIPP_HOME": str(folder / "home"),
        "ZIPP_REDDIT__DUMPS_DIR": str(folder / "world" / "dumps"),
        "ZIPP_REDDIT__MEDIA_DIR": str(folder / "world" / "media"),
        "ZIPP_REDDIT__PSEUDONYM_KEY": "a-key-of-the-paper-profile-test",
        "ZIPP_IMAGING__MODEL": str(images.tiny_sdxl(folder / "sdxl" / "model")),
        "ZIPP_IMAGING__VISION_MODEL": str(images.tiny_clip(folder / "clip")),
        "ZIPP_IMAGING__EVALUATION_MODEL": str(images.tiny_dino(folder / "dino")),
        "ZIPP_IMAGING__TEXT_MODEL": str(images.tiny_sentence_encoder(folder / "sentences")),
        "ZIPP_PERSONA__LANGUAGE_MODEL__KIND": "http",
        "ZIPP_PERSONA__LANGUAGE_MODEL__BASE_URL": server.url,
        "ZIPP_PERSONA__LANGUAGE_MODEL__MODEL": "instruct",
        "ZIPP_PERSONA__LANGUAGE_MODEL__TOKENIZER": str(instruct),
        # Ablations: a second language model, in process, and a second generator.
        "ZIPP_ABLATION__LANGUAGE_MODELS": json.dumps([second]),
        "ZIPP_ABLATION__GENERATORS": json.dumps([str(images.tiny_sd(folder / "sd" / "model"))]),
    }


def zipp(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ZIPP_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, "-m", "zipp_dagster.cli", *arguments],
        env=inherited | settings,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def made(settings: dict[str, str]) -> dict[str, str]:
    done = zipp(settings, "run")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return settings


@pytest.fixture(scope="module")
def lake(made: dict[str, str]) -> Lake:
    return Lake(Path(made["ZIPP_HOME"]) / "lake")


SKIPPED = {
    "sample_world": "reddit.dumps_dir is set",
    "persona_quality": "no ground truth",
    "persona_ablation": "no ground truth",
    "simulated_votes": "no ground truth",
    "judge_preferences": "judge",
}
"""What has nothing to do with real dumps, or was not asked for, and words of the stated reason."""


def test_every_asset_has_a_current_version_or_says_why_there_is_none(made, lake):
    rows = json.loads(zipp(made, "status", "--json").stdout)
    assert {row["asset"] for row in rows} == set(catalogue())
    assert [row["name"] for row in rows if row["state"] != "fresh" or not row["version"]] == []
    skipped = {row["asset"]: row["skipped"] for row in rows if row["skipped"]}
    assert skipped.keys() == SKIPPED.keys()
    for asset, words in SKIPPED.items():
        assert words in skipped[asset], (asset, skipped[asset])


def test_models_are_of_the_classes_that_the_profile_names(lake):
    index = json.loads(
        (lake.current("diffusion_model").directory / "model/model_index.json").read_text()
    )
    assert index["_class_name"] == "StableDiffusionXLPipeline"
    kinds = {
        asset: json.loads((lake.current(asset).directory / "model/config.json").read_text())
        for asset in ("vision_encoder", "evaluation_encoder", "text_encoder")
    }
    assert {asset: kind["model_type"] for asset, kind in kinds.items()} == {
        "vision_encoder": "clip",
        "evaluation_encoder": "dinov2",
        "text_encoder": "bert",
    }
    encoders = set(rows(lake, "benchmark_scores", "encoder"))
    assert len(encoders) == 1 and "model" in encoders.pop()


def rows(lake: Lake, asset: str, *columns: str) -> list[Any]:
    """All rows as dicts, or the values of one column."""
    table = parquet.read_table(lake.current(asset).files())
    return table[columns[0]].to_pylist() if columns else table.to_pylist()


def test_personas_and_prompts_are_the_endpoint_s(server, lake):
    assert server.asked["Persona"] > 0 and server.asked["RewrittenPrompt"] > 0
    personas = [row for row in rows(lake, "personas") if row["quarantined"] is None]
    assert len(personas) > 40 and all(row["model"].startswith("http:instruct") for row in personas)
    names = set(rows(lake, "rewritten_prompts", "language_model")) - {"none"}
    assert len(names) == 1 and names.pop().startswith("http:instruct@127.0.0.1")


def test_every_method_has_its_pictures_and_a_row_in_the_report_s_leaderboard(made, lake):
    drawn: dict[str, int] = {}
    for method in rows(lake, "generated_images", "method"):
        drawn[method] = drawn.get(method, 0) + 1
    assert {"no_persona", "zipp_0shot", "mismatched", "oracle"} <= drawn.keys()
    assert {name: drawn[name] for name in ("fabric", "viper", "drum", "lora")} == dict.fromkeys(
        ("fabric", "viper", "drum", "lora"), 4
    )
    assert drawn.keys() == set(rows(lake, "rewritten_prompts", "method"))
    assert drawn["no_persona"] == len(rows(lake, "benchmark_prompts")) >= 40
    page = Path(made["ZIPP_HOME"]) / "reports/zipbench"
    scores = json.loads((page / "scores.json").read_text())
    board = {row["method"]: row["scores"]["clip_i"] for row in scores["leaderboard"]["rows"]}
    assert board.keys() == drawn.keys()
    assert all(row["low"] <= row["value"] <= row["high"] for row in board.values())
    assert board["lora"]["users"] == 2 and board["zipp_0shot"]["users"] >= 20
    # Nobody of these dumps is shown: they count as real people.
    assert "<h2>Leaderboard</h2>" in (page / "index.html").read_text()
    assert scores["private"] and not scores["gallery"]["cases"]


def test_the_ablations_compare_what_is_configured(lake):
    table = rows(lake, "downstream_ablation")
    of = {kind: [r["variant"] for r in table if r["dimension"] == kind] for kind in KINDS}
    assert all(len(variants) > 1 for variants in of.values()), of
    assert {"gatv2_imagealign", "lightgcn", "graphsage", "tfidf_nmi"} <= set(of["encoder"])
    models = {row["language_model"]: row for row in rows(lake, "llm_ablation")}
    assert len(models) == 2 and all(row["cases"] > 0 for row in models.values())


KINDS = ("encoder", "ranking", "budget", "evidence", "shots", "language model", "generator")


def test_real_people_are_weighted_to_the_united_nations_population(lake):
    population = set(rows(lake, "demographic_scores", "population"))
    assert population == {"UN World Population Prospects 2024"}
