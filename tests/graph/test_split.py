"""Held-out links: the last joined, once per user, and users wholly left out."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from zipp_dagster.graph.split import (
    MESSAGE,
    TEST,
    UNSEEN,
    VALIDATION,
    LinkSplit,
    random_split,
    split_rule,
    temporal_split,
)
from zipp_dagster.graph.store import GraphError, InteractionGraph


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
    # Chosen by hash, so up to chance: its deviation is .023.
    assert (split.user_roles == UNSEEN).mean() == pytest.approx(0.2, abs=0.06)
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    training = split.training_messages(graph)
    assert split.seen[owner[training]].all()
    assert (split.roles[training] == MESSAGE).all()


def test_ties_in_time_do_not_favour_a_community(build, world):
    table = world.interactions
    same = table.column("first_at").to_numpy().min()
    column = table.schema.get_field_index("first_at")
    tied = table.set_column(column, "first_at", [np.full(table.num_rows, same)])
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


def roles_by_name(make, graph, out, **options):
    """(user id, community) → role, and user id → role."""
    out.mkdir()
    make(graph, out, **{"seed": 4, "unseen_share": 0.3, **options})
    split = LinkSplit.open(out, graph)
    owner = np.repeat(np.asarray(graph.user_ids), graph.degrees)
    names = np.array(graph.subreddit_names)[graph.subreddit]
    links = dict(zip(zip(owner.tolist(), names.tolist()), split.roles.tolist(), strict=True))
    return links, dict(zip(graph.user_ids.tolist(), split.user_roles.tolist(), strict=True))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("make", [temporal_split, random_split])
def test_new_users_links_and_communities_leave_everybody_elses_roles(
    build, world, tmp_path, make, tied
):
    """A draw by position gave everybody other roles when one user was added."""
    table = world.interactions
    if tied:
        column = table.schema.get_field_index("first_at")
        first = table.column("first_at").to_numpy().min()
        table = table.set_column(column, "first_at", [np.full(table.num_rows, first)])
    # New ids and names come first, so that every later position moves.
    ids, names = table.column("user_id").to_numpy(), table.column("subreddit").to_pylist()
    fewer = np.sort(np.unique(ids))[7:]
    old = table.filter(np.isin(ids, fewer))
    joiner = next(int(user) for user in fewer[50:] if (ids == user).sum() >= 5)
    new = table.filter(ids == joiner).slice(0, 1)
    new = new.set_column(new.schema.get_field_index("subreddit"), "subreddit", [["aaa_new"]])
    assert min(names) > "aaa_new"
    found = [
        roles_by_name(make, InteractionGraph.open(build(part, name)), tmp_path / f"split-{name}")
        for name, part in (("old", old), ("new", pa.concat_tables([table, new])))
    ]
    (links, users), (more_links, more_users) = found
    assert len(more_users) == len(users) + 7
    assert all(more_users[user] == role for user, role in users.items())
    kept = {link: role for link, role in links.items() if link[0] != joiner}
    assert len(kept) > 1_000
    assert all(more_links[link] == role for link, role in kept.items())
    # The joiner's messages stay messages: the champion that learned from them is not tested on them.
    learned = [link for link, role in links.items() if link[0] == joiner and role == MESSAGE]
    assert all(more_links[link] == MESSAGE for link in learned)


@pytest.mark.parametrize("make", [temporal_split, random_split])
def test_another_seed_is_another_split_of_the_same_shares(graph, tmp_path, make):
    draws = [
        roles_by_name(make, graph, tmp_path / str(seed), seed=seed, unseen_share=0.5)
        for seed in (0, 1)
    ]
    (_, users), (_, others) = draws
    same = np.mean([users[user] == others[user] for user in users])
    assert same == pytest.approx(0.5, abs=0.12)
    if make is random_split:
        (links, _), (other_links, _) = draws
        assert links != other_links


def test_random_roles_do_not_favour_a_community(build, world, tmp_path):
    graph = InteractionGraph.open(build(world.interactions))
    random_split(graph, tmp_path, seed=0)
    roles = LinkSplit.open(tmp_path, graph).roles
    owner = np.repeat(graph.degrees, graph.degrees)
    eligible = owner >= 3
    expected = np.bincount(graph.subreddit[eligible], 1 / owner[eligible], graph.subreddits)
    tested = np.bincount(graph.subreddit[roles == TEST], minlength=graph.subreddits)
    deviation = (tested - expected) / np.sqrt(np.maximum(expected, 1))
    assert np.abs(deviation).max() < 3.5


def test_a_split_says_how_it_was_drawn(graph, tmp_path):
    temporal_split(graph, tmp_path, seed=4, unseen_share=0.25)
    words = "temporal by hash 1, seed 4, from 3 communities, 0.25 of the users unseen"
    assert split_rule(tmp_path) == words
    (tmp_path / "split.json").write_text(json.dumps({"kind": "random", "seed": 0}))
    assert split_rule(tmp_path) == "random by position, seed 0"


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
