from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from zipp_dagster.reddit import config, name_lists
from zipp_dagster.reddit.bots import known_bots
from zipp_dagster.reddit.config import RedditSettings
from zipp_dagster.reddit.name_lists import packaged_categories
from zipp_dagster.reddit.warehouse_config import WarehouseSettings


def test_the_packaged_lists_are_lower_case_and_without_repeats():
    settings = RedditSettings()
    for names in (settings.bots, settings.sensitive_communities):
        assert names and list(names) == [name.lower() for name in names]
        assert len(set(names)) == len(names)
        assert not any(" " in name or "#" in name for name in names)
    assert "automoderator" in known_bots() >= set(settings.bots)
    assert settings.sensitive_communities["depression"] == "health"
    assert settings.sensitive_communities["trees"] == "drugs"
    assert settings.sensitive_communities["gonewild"] == "adult"


def test_every_category_of_sensitive_communities_has_its_reason_in_the_list():
    text = (Path(config.__file__).parent / "sensitive_communities.txt").read_text()
    explained = re.findall(r"^# (\w+): .{15,}", text, re.MULTILINE)
    used = list(dict.fromkeys(RedditSettings().sensitive_communities.values()))
    assert explained == used and len(used) > 10


def test_a_line_without_a_category_or_a_name_twice_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(name_lists, "__file__", str(tmp_path / "name_lists.py"))
    for text in ("depression", "depression health sad", "pics health\nPics drugs"):
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(ValueError, match=r"list\.txt: .* is not one new name and its category"):
            packaged_categories("list.txt")


def test_the_key_does_not_show_when_settings_are_printed():
    assert "hunter2" not in repr(RedditSettings(pseudonym_key="hunter2hunter2hunter2"))


def test_a_value_out_of_range_is_an_error():
    with pytest.raises(ValidationError, match="half_life_days"):
        WarehouseSettings(half_life_days=0)
    with pytest.raises(ValidationError, match="memory_limit"):
        WarehouseSettings(memory_limit="lots")
