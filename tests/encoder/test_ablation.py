"""The ablation compares every encoder on the same links, and shows what ImageAlign is for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from zipp_dagster.encoder.ablation import TRAINED, evaluate_model, run_ablation
from zipp_dagster.encoder.comparison import BOOTSTRAP_USERS, Comparison, mean_interval
from zipp_dagster.encoder.retrieval import image_retrieval
from zipp_dagster.encoder.rivals import text_content, tfidf_nmi, tfidf_svd
from zipp_dagster.encoder.visual import align_images


@pytest.fixture(scope="module")
def ablation(data, settings, trained, tmp_path_factory):
    tables, finish = [], Comparison.finish

    def counted(self, *args, **kwargs):
        tables.append(self)
        return finish(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Comparison, "finish", counted)
        result = run_ablation(
            *data.dirs, data.world.image_embeddings,
            settings.model_copy(update={"tuning_variants": 1}), tmp_path_factory.mktemp("ablation"),
            trained={"gatv2_imagealign": trained.directory},
        )  # fmt: skip
    # Its intervals are the slow part of a large comparison.
    assert len(tables) == 1, "the table is made more than once"
    return result


def test_every_encoder_is_in_the_table_with_an_interval(ablation, data):
    rows = [row for row in ablation.table.to_pylist() if row["baseline"] is None]
    direct = {"popularity", "tfidf_svd", "tfidf_nmi", "text"}
    assert {row["encoder"] for row in rows} >= {*TRAINED, *direct}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    links = {row["links"] for row in rows if (row["group"], row["metric"]) == ("all", "hits10")}
    assert len(links) == 1


def test_graph_encoders_beat_popularity_by_more_than_chance(ablation):
    rows = ablation.table.to_pylist()
    for name in ("gatv2", "gatv2_imagealign", "text", "tfidf_svd"):
        (row,) = [
            row for row in rows
            if (row["encoder"], row["metric"], row["baseline"]) == (name, "mrr", "popularity")
        ]  # fmt: skip
        assert row["low"] > 0, name


def test_unseen_users_are_nearly_as_well_served_as_seen_ones(ablation):
    seen, unseen = (ablation.value("gatv2", "auc_matched", group) for group in ("seen", "unseen"))
    assert unseen > 0.85 * seen


def test_users_find_their_own_images(ablation):
    assert ablation.value("gatv2_imagealign:head", "image_auc", "unseen") > 0.7


def test_every_encoder_has_the_same_number_of_listed_tuning_runs(ablation):
    counts = Counter(run["encoder"] for run in ablation.tuning)
    assert set(counts) == {*TRAINED, "tfidf_svd", "tfidf_nmi", "text"}
    assert set(counts.values()) == {6}
    assert any(note.startswith("tfidf_svd: rank") for note in ablation.notes)


def test_trained_encoders_have_two_seeds_and_say_how_far_they_differ(ablation):
    for row in ablation.table.to_pylist():
        trained = row["encoder"].removesuffix(":head") in TRAINED
        assert row["seeds"] == (2 if trained else 1)
        assert (row["seed_deviation"] is not None) == trained


def test_each_encoder_is_paired_with_itself_without_image_align(ablation):
    for name in ("gatv2", "graphsage", "lightgcn"):
        with_images, without = (ablation.value(n, "mrr") for n in (f"{name}_imagealign", name))
        difference = ablation.value(f"{name}_imagealign", "mrr", baseline=name)
        assert difference == pytest.approx(with_images - without)


def test_the_notes_name_the_winner_whoever_it_is(ablation):
    winner = ablation.winners()["mrr"]
    assert f"mrr {winner}" in ablation.notes[-1]


def test_without_images_the_notes_say_what_is_left_out(data, settings, trained):
    result = evaluate_model(trained.directory, *data.dirs, None, settings)
    assert result.notes[1:] == ["There are no images: image retrieval is not measured."]
    assert result.value("candidate", "mrr") > result.value("popularity", "mrr")


def test_an_unknown_encoder_name_is_refused(data, settings, tmp_path):
    with pytest.raises(ValueError, match=r"Unknown encoders \['gat'\]"):
        run_ablation(*data.dirs, None, settings, tmp_path, trained={"gat": tmp_path})


def test_rivals_do_not_read_held_out_edges(data):
    from dataclasses import replace

    held = ~data.split.messages
    counts = np.array(data.graph.counts)
    counts[held] = 10_000
    changed = replace(data.graph, counts=counts)
    users = np.arange(50)
    fits = (tfidf_svd, tfidf_nmi, lambda g, s: text_content(g, s, data.text))
    for fit in fits:
        before, after = (
            [scorer.scores(users) for _, scorer in fit(graph, data.split)]
            for graph in (data.graph, changed)
        )
        assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_retrieval_without_signal_is_near_one_half_and_perfect_with_the_answer(data):
    images = align_images(data.graph, data.world.image_embeddings)
    posters, profiles = images.profiles()
    noise = np.random.default_rng(0).normal(size=(data.graph.users, 8))
    answer = np.zeros((data.graph.users, images.dim))
    answer[posters] = profiles
    blind = image_retrieval("noise", noise, images, data.split)
    told = image_retrieval("answer", answer, images, data.split)
    assert blind.values()["image_auc"].mean() == pytest.approx(0.5, abs=0.15)
    assert told.values()["image_hits10"].mean() > 0.95


def test_retrieval_with_too_few_posters_says_so(data):
    table = data.world.image_embeddings.slice(0, 3)
    reason = image_retrieval(
        "any", np.zeros((data.graph.users, 2)), align_images(data.graph, table), data.split
    )
    assert "retrieval needs 5 of each" in reason


def test_intervals_of_a_mean_cover_it():
    values = np.random.default_rng(0).normal(1.0, 1.0, 400)
    low, high = mean_interval(values, 500, 0)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert mean_interval(np.array([]), 500, 0) == (None, None)


@pytest.mark.parametrize("users", [400, BOOTSTRAP_USERS + 1])
def test_a_paired_interval_draws_the_trainings_of_both_sides(users):
    """A baseline whose trainings differ by .1 says little about a difference of .01."""
    person = np.random.default_rng(0).normal(0.0, 0.3, users)
    encoder = np.stack([person + 0.21, person + 0.21])
    baseline = np.stack([person + 0.15, person + 0.25])
    low, high = mean_interval(encoder, 500, 0, baseline)
    # The baseline's mean is .15, .20 or .25, by which two trainings are drawn.
    assert low < -0.03 and high > 0.05
    swapped = mean_interval(baseline, 500, 0, encoder)
    assert swapped == pytest.approx((-high, -low), abs=1e-3)


def test_a_paired_interval_shares_the_people():
    person = np.random.default_rng(0).normal(0.0, 0.3, 400)
    low, high = mean_interval(person + 0.01, 500, 0, person)
    assert (low, high) == pytest.approx((0.01, 0.01))
