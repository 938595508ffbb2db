"""The development benchmark: who is in it, what it measures, and that broken models clearly lose."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tests.zipbench.worlds import cases_table, embed, picture
from zipp_dagster.zipbench.config import PromotionSettings, ZipbenchSettings
from zipp_dagster.zipbench.development import (
    DevelopmentResult,
    development_benchmark,
    development_cases,
)
from zipp_dagster.zipbench.promotion import decide_promotion

SETTINGS = ZipbenchSettings(bootstrap_replicates=400)
USERS = range(30)
CASES = cases_table([(f"c{u}", u, f"sha{u}") for u in USERS])
POSTED = {f"sha{u}": picture(1.0, 0.0, 0.1 * u) for u in USERS}


def drawn(*offset: float) -> dict[str, bytes]:
    x, y, z = offset
    return {f"c{u}": picture(1.0 + x, y, 0.1 * u + z) for u in USERS}


def compare(candidate, champion, **options) -> DevelopmentResult:
    return development_benchmark(CASES, POSTED, candidate, champion, embed, SETTINGS, **options)


def decide(result: DevelopmentResult):
    return decide_promotion(
        "candidate 2",
        "champion 1",
        [result.comparison()],
        PromotionSettings(),
        SETTINGS,
        invalid=result.invalid,
    )


def test_the_gain_is_the_paired_difference_over_the_users_of_both_sides():
    result = compare(drawn(0.0, 0.2, 0.0), drawn(0.0, 0.6, 0.0))
    assert (result.cases, result.users, result.invalid) == (30, 30, ())
    row = result.scores.to_pylist()[0]
    assert row["candidate"] == pytest.approx(1 / np.hypot(1, 0.2))
    assert row["champion"] == pytest.approx(1 / np.hypot(1, 0.6))
    assert result.gain is not None and result.gain.low is not None and result.gain.low > 0
    assert decide(result).outcome == "promoted"
    assert decide(compare(drawn(0.0, 0.6, 0.0), drawn(0.0, 0.2, 0.0))).outcome == "kept"


def test_a_user_s_cases_count_as_one_user():
    cases = cases_table([(f"c{u}", u // 3, f"sha{u}") for u in USERS])
    result = development_benchmark(
        cases, POSTED, drawn(0, 0.2, 0), drawn(0, 0.6, 0), embed, SETTINGS
    )
    assert (result.cases, result.users) == (30, 10)
    assert len(result.comparison().candidate) == 10


def test_cases_without_a_posted_picture_or_one_of_the_champion_are_left_out():
    champion = {case: image for case, image in drawn(0, 0, 0).items() if case != "c3"}
    references = {sha: image for sha, image in POSTED.items() if sha != "sha5"}
    result = development_benchmark(CASES, references, drawn(0, 0, 0), champion, embed, SETTINGS)
    assert result.cases == 28 and not result.invalid
    nothing = development_benchmark(CASES, {}, drawn(0, 0, 0), champion, embed, SETTINGS)
    assert nothing.cases == 0 and nothing.gain is None
    assert decide(nothing).outcome == "kept" and "0 users are too few" in decide(nothing).reasons[0]


def test_a_candidate_that_draws_nothing_or_nothing_readable_is_invalid_and_no_error():
    champion = drawn(0, 0.6, 0)
    some = {case: image for case, image in drawn(0, 0, 0).items() if case > "c2"}
    result = compare(some, champion)
    assert "drew no picture for" in result.invalid[0] and decide(result).outcome == "kept"
    broken = compare(drawn(0, 0, 0) | {"c4": picture(float("nan"), 0.0, 0.0)}, champion)
    assert "c4" in broken.invalid[0] and broken.cases == 0
    assert decide(broken).outcome == "kept" and "cannot be judged" in decide(broken).reasons[0]


def test_a_benchmark_user_among_the_cases_is_an_error():
    with pytest.raises(ValueError, match="benchmark users too"):
        compare(drawn(0, 0, 0), drawn(0, 0, 0), benchmark_users={4, 99})


def test_development_cases_are_the_held_out_posts_of_development_users_only(tmp_path):
    from zipp_dagster.persona.schema import Persona

    held_out = pa.table(
        {
            "user_id": pa.array([1, 2, 3], pa.uint64()),
            "post_id": ["a", "b", "c"],
            "title": ["a fox, watercolor", "an owl, oil painting", "a boat, ink drawing"],
            "sha256": ["0" * 64] * 3,
            "created_at": pa.array([datetime(2024, 1, 1)] * 3, pa.timestamp("us")),
            "split": ["benchmark", "development", "development"],
        }
    )
    profile = Persona(summary="I paint.").model_dump_json()
    personas = pa.table(
        {
            "user_id": pa.array([1, 2, 3], pa.uint64()),
            "quarantined": pa.nulls(3, pa.string()),
            "profile": [profile] * 3,
        }
    )
    parquet.write_table(held_out, tmp_path / "holdout.parquet")
    parquet.write_table(personas, tmp_path / "personas.parquet")
    cases, report = development_cases(
        [tmp_path / "holdout.parquet"], [tmp_path / "personas.parquet"], 0, tmp_path / "scratch"
    )
    assert sorted(cases["case_id"].to_pylist()) == ["b", "c"] and report.users == 2
    assert set(cases["mismatched_user_id"].to_pylist()) == {2, 3}


@pytest.fixture(scope="module")
def studio():
    """Thirty people's posted pictures, and a way to draw prompts with the packaged generator."""
    torch = pytest.importorskip("torch")
    from zipp_dagster.imaging.config import ImagingSettings
    from zipp_dagster.imaging.dataset import draw_factors, draw_images, training_factors
    from zipp_dagster.imaging.encoders import load_evaluation_encoder
    from zipp_dagster.imaging.image_files import encode_png
    from zipp_dagster.imaging.personal.base import draw_batches
    from zipp_dagster.imaging.pipelines import load_pipeline
    from zipp_dagster.sampleworld.captions import caption

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng(3)
    factors = draw_factors(training_factors(), rng, len(USERS))
    posted = draw_images(factors, rng)
    settings = ImagingSettings(steps=4)
    loaded = load_pipeline(None, None, settings)
    encoder = load_evaluation_encoder()

    def pictures(prompts, pipeline=loaded):
        images = draw_batches(pipeline, prompts, list(USERS), settings)
        return {f"c{u}": encode_png(image) for u, image in zip(USERS, images, strict=True)}

    prompts = [caption(f, rng) for f in factors]
    references = {f"sha{u}": encode_png(posted[u]) for u in USERS}
    yield pictures, prompts, references, encoder.embed_images, load_pipeline, settings
    torch.set_num_threads(threads)


def test_a_rewriter_that_returns_noise_and_an_untrained_generator_clearly_lose(studio):
    from diffusers import UNet2DConditionModel

    pictures, prompts, references, embedder, load_pipeline, settings = studio
    champion = pictures(prompts)
    letters = np.random.default_rng(1).choice(list("bcdfghjklmnpqrtvwxz"), size=(len(USERS), 24))
    noise = pictures(["".join(row) for row in letters])
    untrained = load_pipeline(None, None, settings)
    untrained.pipeline.unet = UNet2DConditionModel.from_config(untrained.pipeline.unet.config)
    scribbles = pictures(prompts, untrained)
    for broken in (noise, scribbles):
        result = development_benchmark(CASES, references, broken, champion, embedder, SETTINGS)
        assert result.cases == 30 and result.gain is not None
        assert result.gain.high is not None and result.gain.high < -0.1
        decision = decide(result)
        assert decision.outcome == "kept" and "below the gain" in decision.reasons[0]
    same = development_benchmark(CASES, references, champion, champion, embedder, SETTINGS)
    assert decide(same).outcome == "promoted"
