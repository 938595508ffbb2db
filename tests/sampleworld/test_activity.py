from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.sampleworld.activity import event_times, make_months, make_volume, only
from zipp_dagster.sampleworld.communities import make_communities
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import make_people


def test_months_follow_one_another_over_the_new_year() -> None:
    months = make_months(WorldSettings(start_month="2023-12", months=3))
    assert [month.label for month in months] == ["2023-12", "2024-01", "2024-02"]
    assert [(month.end - month.start) // 86_400 for month in months] == [31, 31, 29]
    assert months[0].end == months[1].start


def test_event_times_are_sorted_and_within_the_world() -> None:
    months = make_months(WorldSettings())
    times = event_times(months, 500, np.random.default_rng(0))
    assert times == sorted(times)
    assert months[0].start <= times[0] and times[-1] < months[-1].end


def test_the_default_world_has_enough_people_for_a_benchmark() -> None:
    settings = WorldSettings()
    volume = make_volume(settings, make_people(settings))
    assert ((volume.image_posts >= 6) & (volume.comments >= 15)).sum() >= 200
    assert volume.comments.mean() == pytest.approx(settings.comments_per_person, rel=0.05)
    assert volume.image_posts.mean() == pytest.approx(settings.image_posts_per_person, rel=0.05)
    # Heavy-tailed: the busiest tenth writes several times its share.
    busiest = np.sort(volume.comments)[-200:].sum() / volume.comments.sum()
    assert busiest > 0.3


def test_shares_of_allowed_communities_are_renormalised() -> None:
    communities = make_communities(WorldSettings(communities=12))
    shares = {0: 0.2, 1: 0.2, 5: 0.6}
    assert only(shares, communities[:2]) == {0: 0.5, 1: 0.5}
    assert only(shares, communities[2:4]) == {}
