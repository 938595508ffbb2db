from __future__ import annotations

import pytest

from zipp_dagster.sampleworld.communities import (
    KIND_SHARES,
    kind_counts,
    make_communities,
    memberships,
)
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import CONTEXTS, make_people


@pytest.mark.parametrize("total", [12, 13, 40, 120, 700])
def test_communities_of_every_kind_and_context_with_distinct_names(total: int) -> None:
    communities = make_communities(WorldSettings(communities=total))
    assert len(communities) == total
    assert len({community.name.lower() for community in communities}) == total
    assert {community.kind for community in communities} == set(KIND_SHARES)
    assert {c.topic for c in communities if c.kind == "context"} == set(CONTEXTS)
    assert any(c.over_18 for c in communities) and any(c.sensitive for c in communities)


def test_too_few_communities_for_the_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="communities=11 is below 12"):
        kind_counts(11)


def test_creators_take_part_in_every_context_and_shares_sum_to_one() -> None:
    settings = WorldSettings(people=60, communities=40)
    people, communities = make_people(settings), make_communities(settings)
    for person, shares in zip(people, memberships(settings, people, communities)):
        assert sum(shares.values()) == pytest.approx(1.0)
        if person.creator:
            joined = {communities[i].topic for i in shares if communities[i].kind == "context"}
            assert joined == set(CONTEXTS)


def test_people_join_style_communities_that_suit_the_taste_they_show() -> None:
    settings = WorldSettings(people=400, communities=120)
    people, communities = make_people(settings), make_communities(settings)
    suits = others = suited = unsuited = 0
    for person, shares in zip(people, memberships(settings, people, communities)):
        for community in (c for c in communities if c.kind == "style"):
            liked = {getattr(t, str(community.factor)) for t in person.shown.values()}
            if community.value in liked:
                suits, suited = suits + 1, suited + (community.index in shares)
            else:
                others, unsuited = others + 1, unsuited + (community.index in shares)
    assert suited / suits > 3 * unsuited / others
