"""Which accounts are automatic: the packaged list. Rate heuristics belong to the SQL models."""

from __future__ import annotations

from zipp_dagster.reddit.name_lists import packaged_names

AUTO_MODERATOR = "automoderator"


def known_bots() -> frozenset[str]:
    """Lower-case names of the packaged bot list; AutoModerator is always among them."""
    return frozenset(packaged_names("bots.txt")) | {AUTO_MODERATOR}
