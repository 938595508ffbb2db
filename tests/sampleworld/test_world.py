from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import mutual_info_score

from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.render import render
from zipp_dagster.sampleworld.truth import read_truth
from zipp_dagster.sampleworld.vocabulary import FACTOR_VALUES, SUBJECT_CONTEXTS, Factors
from zipp_dagster.sampleworld.world import generate_world

from .conftest import MakeWorld, World
from .test_dumps import records


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_settings_give_the_same_bytes(tiny: World, make_world: MakeWorld) -> None:
    assert digests(make_world().folder) == digests(tiny.folder)


def test_another_seed_gives_another_world(tiny: World, make_world: MakeWorld) -> None:
    other = make_world(seed=8)
    assert (
        digests(other.folder)["dumps/RC_2024-01.zst"]
        != digests(tiny.folder)["dumps/RC_2024-01.zst"]
    )
    assert set(other.truth.people["author"].to_pylist()) != set(
        tiny.truth.people["author"].to_pylist()
    )


def test_a_small_world_has_all_its_parts(tiny: World) -> None:
    report = tiny.report
    assert (report.people, report.communities) == (30, 12)
    assert sorted(path.name for path in tiny.folder.iterdir()) == ["dumps", "media", "truth"]
    assert len(list((tiny.folder / "media").iterdir())) == report.media_files > 20
    assert report.comments > 500


def test_a_folder_that_holds_a_world_is_refused(tiny: World) -> None:
    with pytest.raises(FileExistsError, match="dumps is not empty"):
        generate_world(tiny.settings, tiny.folder)


def test_progress_names_files_and_ends_with_all_pictures(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    settings = WorldSettings(people=20, communities=12, months=1, image_size=16)
    generate_world(
        settings, tmp_path, lambda done, total, note="": seen.append((done, total, note))
    )
    assert (1, 2, "RC_2024-01.zst") in seen
    assert seen[-1][0] == seen[-1][1] and seen[-1][2] == "pictures"


def test_pictures_are_drawn_from_the_factors_that_truth_names(tiny: World) -> None:
    rows = [row for row in tiny.truth.posts.to_pylist() if row["has_media"]]
    contents = [(tiny.folder / "media" / row["media_key"]).read_bytes() for row in rows]
    assert len(set(contents)) == len(contents)
    for row, content in list(zip(rows, contents))[:10]:
        factors = Factors(row["subject"], row["palette"], row["medium"], row["mood"])
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        assert np.array_equal(pixels, render(factors, row["seed"], 32))


def test_titles_are_prompts_of_the_same_factors(tiny: World) -> None:
    for row in tiny.truth.posts.to_pylist():
        for factor in ("subject", "palette", "medium", "mood"):
            assert any(word in row["title"] for word in FACTOR_VALUES[factor][row[factor]])


def test_some_urls_point_to_files_that_are_missing(make_world: MakeWorld) -> None:
    world = make_world(missing_media_share=0.5)
    rows = world.truth.posts.to_pylist()
    for row in rows:
        assert (world.folder / "media" / row["media_key"]).exists() == row["has_media"]
    assert 0.3 < sum(not row["has_media"] for row in rows) / len(rows) < 0.7


def test_image_posts_in_the_dumps_are_those_of_the_truth(tiny: World) -> None:
    urls = {}
    for month in (1, 2):
        for record in records(tiny, f"RS_2024-0{month}.zst"):
            urls[record["id"]] = record["url"]
    for row in tiny.truth.posts.to_pylist():
        assert urls[row["post_id"]].rsplit("/", 1)[1] == row["media_key"]


def test_posts_follow_the_taste_for_their_context_as_often_as_set(coupled: World) -> None:
    rows = coupled.truth.posts.to_pylist()
    share = sum(row["on_taste"] for row in rows) / len(rows)
    assert 0.8 < share < 0.9
    for row in rows:
        assert row["context"] == SUBJECT_CONTEXTS[row["subject"]]
        if row["on_taste"]:
            own = coupled.truth_taste(row["author"], row["context"])
            assert own == {name: row[name] for name in ("palette", "medium", "mood")}


def test_most_comments_reveal_nothing(coupled: World) -> None:
    signals = coupled.truth.comments["signal"].to_pylist()
    assert 0.65 < signals.count("noise") / len(signals) < 0.85
    assert signals.count("taste") / len(signals) > 0.08


def test_truth_is_complete_and_says_that_its_target_is_synthetic(tiny: World) -> None:
    truth = tiny.truth
    assert truth.people.num_rows == 30
    assert truth.tastes.num_rows == 30 * 4
    assert truth.communities.num_rows == 12
    assert truth.settings["people"] == 30
    target = truth.target_population
    assert target["label"] == "synthetic"
    for dimension, shares in target["marginals"].items():
        assert sum(shares.values()) == pytest.approx(1.0)
        assert set(truth.people[dimension].to_pylist()) <= set(shares)


def test_an_incomplete_truth_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"people\.parquet is missing"):
        read_truth(tmp_path)


def revealed_information(world: World, factor: str) -> tuple[float, float]:
    """Mutual information (nats) of the style that taste comments name and the true one; chance.

    Chance is the largest of 20 shuffles of the people: finite samples never give zero.
    """
    truth = world.truth
    told = {
        row["comment_id"]: (row["author"], row["context"])
        for row in truth.comments.to_pylist()
        if row["signal"] == "taste"
    }
    said, true = [], []
    for month in (1, 2, 3):
        for record in records(world, f"RC_2024-0{month}.zst"):
            if record["id"] not in told:
                continue
            body = record["body"].lower()
            values = [
                value
                for value, words in FACTOR_VALUES[factor].items()
                if any(word in body for word in words)
            ]
            if len(values) == 1:
                said.append(values[0])
                true.append(told.pop(record["id"]))
    tastes = {key: world.truth_taste(*key)[factor] for key in set(true)}
    observed = mutual_info_score(said, [tastes[key] for key in true])
    rng, keys = np.random.default_rng(0), sorted(tastes)
    chances = []
    for _ in range(20):
        shuffled = dict(zip(keys, rng.permutation([tastes[key] for key in keys])))
        chances.append(mutual_info_score(said, [shuffled[key] for key in true]))
    return observed, float(np.max(chances))


@pytest.mark.parametrize("factor", ["palette", "medium", "mood"])
def test_text_reveals_the_true_taste_in_the_coupled_world(coupled: World, factor: str) -> None:
    observed, _ = revealed_information(coupled, factor)
    assert observed > 0.8 * np.log(len(FACTOR_VALUES[factor]))


@pytest.mark.parametrize("factor", ["palette", "medium", "mood"])
def test_text_reveals_nothing_of_the_true_taste_in_the_null_world(null: World, factor: str) -> None:
    observed, chance = revealed_information(null, factor)
    assert observed < 1.3 * chance


def community_fit(world: World) -> float:
    """How often image posts in communities with a style have that style."""
    style = {
        row["subreddit"]: (row["factor"], row["value"])
        for row in world.truth.communities.to_pylist()
        if row["factor"]
    }
    rows = [row for row in world.truth.posts.to_pylist() if row["subreddit"] in style]
    chance = [1 / len(FACTOR_VALUES[style[row["subreddit"]][0]]) for row in rows]
    fits = [row[style[row["subreddit"]][0]] == style[row["subreddit"]][1] for row in rows]
    return float(np.mean(fits) / np.mean(chance))


def test_communities_fit_the_pictures_in_the_coupled_world_only(
    coupled: World, null: World
) -> None:
    assert community_fit(coupled) > 2.5
    assert 0.5 < community_fit(null) < 1.6


def test_the_null_world_differs_in_nothing_that_is_counted(coupled: World, null: World) -> None:
    assert coupled.truth.counts == null.truth.counts
    for column in ("author", "age_band", "country", "profession", "comments", "image_posts"):
        assert coupled.truth.people[column] == null.truth.people[column]
    for column in ("title", "subject", "palette", "medium", "mood", "media_key"):
        assert coupled.truth.posts[column] == null.truth.posts[column]
    names = {path.name for path in (coupled.folder / "media").iterdir()}
    assert names == {path.name for path in (null.folder / "media").iterdir()}
