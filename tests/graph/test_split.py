"""Held-out links: the last joined, once per user, and users wholly left out."""

from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.graph.split import (
    MESSAGE,
    TEST,
    UNSEEN,
    VALIDATION,
    LinkSplit,
    random_split,
    temporal_split,
)
from zipp_dagster.graph.store import GraphError


@pytest.fixture(params=[temporal_split, random_split])
def split(request, graph, tmp_path):
    (tmp_path / "split").mkdir()
    request.param(graph, tmp_path / "split", seed=0, unseen_share=0.2)
    return LinkSplit.open(tmp_path / "split", graph)


def per_user(graph, values):
    for user in range(graph.users):
        yield values[graph.indptr[user] : graph.indptr[user + 1]]


def test_users_with_three_communities_have_one_test_and_one_validation_link(graph, split):
    for roles in per_user(graph, split.roles):
        expected = (1, 1) if len(roles) >= 3 else (0, 0)
        assert ((roles == TEST).sum(), (roles == VALIDATION).sum()) == expected


def test_the_temporal_split_holds_out_what_was_joined_last(graph, tmp_path):
    temporal_split(graph, tmp_path, seed=0)
    roles = LinkSplit.open(tmp_path, graph).roles
    for role, joined in zip(per_user(graph, roles), per_user(graph, graph.first_seen), strict=True):
        if len(role) >= 3:
            assert joined[role == TEST][0] >= joined[role == VALIDATION][0]
            assert joined[role == VALIDATION][0] >= joined[role == MESSAGE].max()


def test_the_share_of_unseen_users_is_kept_and_no_edge_of_theirs_trains(graph, split):
    assert (split.user_roles == UNSEEN).sum() == round(0.2 * graph.users)
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    training = split.training_messages(graph)
    assert split.seen[owner[training]].all()
    assert (split.roles[training] == MESSAGE).all()


def test_ties_in_time_do_not_favour_a_community(build, world):
    table = world.interactions
    same = table.column("first_at").to_numpy().min()
    column = table.schema.get_field_index("first_at")
    tied = table.set_column(column, "first_at", [np.full(table.num_rows, same)])
    from zipp_dagster.graph.store import InteractionGraph

    graph = InteractionGraph.open(build(tied, "tied"))
    out = graph.directory.parent / "tied_split"
    out.mkdir()
    temporal_split(graph, out, seed=0)
    roles = LinkSplit.open(out, graph).roles
    starts = np.asarray(graph.indptr[:-1])[graph.degrees >= 3]
    # If ties followed the community order, the first edge of every user would be held out.
    assert 0.05 < (roles[starts] == TEST).mean() < 0.6


def test_the_same_seed_gives_the_same_bytes(graph, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        temporal_split(graph, tmp_path / name, seed=4)
    for file in ("roles.npy", "user_roles.npy", "split.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("make", [temporal_split, random_split])
def test_the_size_of_a_block_changes_nothing(graph, tmp_path, monkeypatch, make):
    for name in ("one_block", "many"):
        (tmp_path / name).mkdir()
        make(graph, tmp_path / name, seed=4)
        monkeypatch.setattr("zipp_dagster.graph.store.BLOCK_USERS", 7)
        monkeypatch.setattr("zipp_dagster.graph.split.BLOCK_USERS", 7)
    one, many = (tmp_path / name / "roles.npy" for name in ("one_block", "many"))
    assert one.read_bytes() == many.read_bytes()


def test_a_split_of_another_graph_is_refused(graph, tmp_path):
    np.save(tmp_path / "roles.npy", np.zeros(5, dtype=np.uint8))
    np.save(tmp_path / "user_roles.npy", np.zeros(graph.users, dtype=np.uint8))
    with pytest.raises(GraphError, match="belongs to another graph"):
        LinkSplit.open(tmp_path, graph)
