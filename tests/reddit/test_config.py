from __future__ import annotations

import pytest
from pydantic import ValidationError

from zipp_dagster.reddit.bots import known_bots
from zipp_dagster.reddit.config import RedditSettings
from zipp_dagster.reddit.warehouse_config import WarehouseSettings


def test_the_packaged_lists_are_lower_case_and_without_repeats():
    settings = RedditSettings()
    for names in (settings.bots, settings.sensitive_communities):
        assert names and list(names) == [name.lower() for name in names]
        assert len(set(names)) == len(names)
        assert not any(" " in name or "#" in name for name in names)
    assert "automoderator" in known_bots() >= set(settings.bots)
    assert "depression" in settings.sensitive_communities


def test_the_key_does_not_show_when_settings_are_printed():
    assert "hunter2" not in repr(RedditSettings(pseudonym_key="hunter2hunter2hunter2"))


def test_a_value_out_of_range_is_an_error():
    with pytest.raises(ValidationError, match="half_life_days"):
        WarehouseSettings(half_life_days=0)
    with pytest.raises(ValidationError, match="memory_limit"):
        WarehouseSettings(memory_limit="lots")
