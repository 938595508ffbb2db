"""Where everybody is too many, the same sample of people is evaluated for every encoder."""

from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.encoder import retrieval, visual
from zipp_dagster.encoder.ablation import evaluate_model
from zipp_dagster.encoder.candidates import user_scores
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.evaluated import evaluated_links, evaluated_posters, sample_users
from zipp_dagster.encoder.evaluation import LinkTask
from zipp_dagster.encoder.retrieval import image_retrieval
from zipp_dagster.encoder.visual import align_images

FEW = EncoderSettings(evaluation_users=40)


def test_everybody_is_evaluated_where_they_are_not_too_many(data):
    task, note = evaluated_links(data.graph, data.split, EncoderSettings())
    whole = LinkTask.of(data.graph, data.split)
    assert (task.user == whole.user).all() and (task.target == whole.target).all()
    users = len(np.unique(whole.user))
    assert note == f"Evaluated: {users} of {users} users with a held-out link."


def test_a_sample_is_of_the_set_size_and_its_links_are_theirs(data):
    task, note = evaluated_links(data.graph, data.split, FEW)
    whole = LinkTask.of(data.graph, data.split)
    links = dict(zip(whole.user.tolist(), whole.target.tolist(), strict=True))
    assert len(np.unique(task.user)) == 40
    assert all(links[u] == t for u, t in zip(task.user.tolist(), task.target.tolist(), strict=True))
    assert note.startswith("Evaluated: 40 of ")


def test_further_people_move_few_out_of_the_sample(data):
    graph = data.graph
    some = sample_users(graph, np.arange(0, graph.users, 2), FEW)
    more = sample_users(graph, np.arange(graph.users), FEW)
    assert set(more[more % 2 == 0].tolist()) <= set(some.tolist())
    assert (more % 2 == 0).sum() > 10
    other = sample_users(graph, np.arange(graph.users), FEW.model_copy(update={"seed": 1}))
    assert set(other.tolist()) != set(more.tolist())


def test_the_table_the_notes_and_promotion_say_who_was_evaluated(data, settings, trained):
    few = settings.model_copy(update={"evaluation_users": 40})
    images = data.world.image_embeddings
    result = evaluate_model(trained.directory, *data.dirs, images, few)
    rows = {(r["metric"], r["group"]): r for r in result.table.to_pylist() if not r["baseline"]}
    assert rows["mrr", "all"]["links"] == 40
    assert rows["image_mrr", "unseen"]["links"] <= 40
    assert result.notes[0].startswith("Evaluated: 40 of ")
    for directory in (trained.directory, None):
        scores = user_scores(directory, *data.dirs, ["mrr", "hits10"], few)
        assert scores.evaluated == result.notes[0]
        assert [len(by_user) for by_user in scores.by_metric.values()] == [40, 40]
    assert scores.by_metric["mrr"].keys() == scores.by_metric["hits10"].keys()


def test_posters_are_as_many_unseen_ones_and_as_many_seen(data):
    images = align_images(data.graph, data.world.image_embeddings)
    few = EncoderSettings(evaluation_users=12)
    posters = evaluated_posters(data.graph, data.split, images, few)
    assert (np.diff(posters) > 0).all() and (images.count[posters] > 0).all()
    assert [data.split.seen[posters].sum(), (~data.split.seen[posters]).sum()] == [12, 12]
    everybody = evaluated_posters(data.graph, data.split, images, EncoderSettings())
    assert everybody.tolist() == images.profiles()[0].tolist()


def test_profiles_of_some_are_those_of_all(data, monkeypatch):
    images = align_images(data.graph, data.world.image_embeddings)
    posters, profiles = images.profiles()
    monkeypatch.setattr(visual, "POSTERS_AT_ONCE", 7)
    some, theirs = images.profiles(posters[::3])
    assert (some == posters[::3]).all()
    assert (theirs == profiles[::3]).all()


@pytest.mark.parametrize("at_once", [1, 1_000, 10**9])
def test_ranks_by_blocks_of_rows_are_those_of_the_whole_matrix(data, monkeypatch, at_once):
    images = align_images(data.graph, data.world.image_embeddings)
    rng = np.random.default_rng(1)
    # Few values, so that there are ties.
    vectors = rng.integers(0, 2, (data.graph.users, 3)).astype(np.float64)
    head = (rng.integers(-1, 2, (images.dim, 3)).astype(np.float64), np.zeros(images.dim))
    posters, profiles = images.profiles()
    seen = data.split.seen[posters]
    predicted = vectors[posters][~seen] @ head[0].T
    wanted = profiles[~seen] - profiles[seen].mean(axis=0)
    similarity = retrieval._unit(predicted) @ retrieval._unit(wanted).T
    own = np.diagonal(similarity)[:, None]
    expected = 1.0 + (similarity > own).sum(axis=1) + 0.5 * ((similarity == own).sum(axis=1) - 1)
    monkeypatch.setattr(retrieval, "SIMILARITIES_AT_ONCE", at_once)
    found = image_retrieval("any", vectors, images, data.split, head)
    assert found.rank.tolist() == expected.tolist()
