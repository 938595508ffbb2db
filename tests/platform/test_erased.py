from __future__ import annotations

import json

import pytest

from tests.platform.conftest import BOTH
from zipp_dagster.platform.erased import erased_versions, holders
from zipp_dagster.platform.lineage import diff, lineage_tree, verify
from zipp_dagster.platform.versions import ERASED, LakeError

pytestmark = pytest.mark.parametrize("lake", BOTH, indirect=True)

MOMENT = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def bakery(publish):
    """Two versions each of flour and of bread made from it, the second ones current."""
    old = publish("flour", text="with a hair in it", metadata={"baker": "Ann"}, rows=3)
    old_bread = publish("bread", inputs=[old], text="rye")
    new = publish("flour", text="clean")
    return {"old": old, "old_bread": old_bread, "new": new, "bread": publish("bread", inputs=[new])}


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_erased_version_leaves_its_record_and_nothing_that_came_from_the_data(lake, bakery):
    old = bakery["old"]
    lake.erase(old, "receipt-1", MOMENT)
    assert names(old.folder) == [ERASED]
    text = (old.folder / ERASED).read_text()
    assert "hair" not in text and "Ann" not in text
    (record,) = erased_versions(lake.root)
    assert (record.asset, record.version, record.rows) == ("flour", old.id, 3)
    assert (record.receipt, record.erased_at) == ("receipt-1", MOMENT)


def test_verification_reports_erased_versions_as_erased_and_stays_green(lake, bakery):
    lake.erase(bakery["old"], "receipt-1", MOMENT)
    result = verify(lake)
    assert result.passed and result.damages == ()
    assert [(e.asset, e.version) for e in result.erased] == [("flour", bakery["old"].id)]
    assert result.versions == 3


def test_a_version_whose_manifest_is_damaged_can_be_erased_too(lake, bakery):
    (bakery["old"].directory / "manifest.json").write_text("{")
    lake.erase(bakery["old"], "receipt-1", MOMENT)
    assert verify(lake).passed


def test_what_is_current_cannot_be_erased_before_it_is_withdrawn(lake, bakery):
    with pytest.raises(LakeError, match="is current and cannot be erased"):
        lake.erase(bakery["new"], "receipt-1", MOMENT)
    lake.withdraw("flour")
    lake.erase(bakery["new"], "receipt-1", MOMENT)
    assert lake.find("flour") is None and lake.partitions("flour") == []
    lake.withdraw("flour")


def test_erased_versions_are_neither_listed_nor_found_nor_pruned(lake, bakery):
    old = bakery["old"]
    lake.erase(old, "receipt-1", MOMENT)
    assert lake.versions("flour") == [bakery["new"]]
    with pytest.raises(LakeError, match=rf"was erased on {MOMENT[:10]}.* \(receipt receipt-1\)"):
        lake.version("flour", old.id)
    lake.prune(1)
    assert names(old.folder) == [ERASED]


def test_the_tree_of_a_version_shows_what_was_erased_and_goes_on_below_it(lake, publish):
    wheat = publish("wheat")
    flour = publish("flour", inputs=[wheat])
    bread = publish("bread", inputs=[flour])
    publish("flour", text="new")
    lake.erase(flour, "receipt-1", MOMENT)
    tree = lineage_tree(lake, "bread")
    (node,) = tree.inputs
    assert node.erased == {"at": MOMENT, "receipt": "receipt-1"} and not node.kept
    assert [below.version for below in node.inputs] == [wheat.id]
    assert json.loads(json.dumps(tree.to_json()))["inputs"][0]["erased"]["receipt"] == "receipt-1"
    assert lineage_tree(lake, "flour", version=flour.id).erased == node.erased
    assert lineage_tree(lake, "bread", version=bread.id).version == bread.id
    with pytest.raises(LakeError, match="has no version nonsense"):
        lineage_tree(lake, "flour", version="nonsense")


def test_a_difference_to_a_version_made_from_an_erased_one_names_the_input(lake, bakery):
    lake.erase(bakery["old"], "receipt-1", MOMENT)
    (found,) = diff(lake, bakery["old_bread"], bakery["bread"])
    assert (found.kind, found.what, found.before) == ("input", "flour", bakery["old"].id)


def test_all_that_was_made_from_a_version_holds_it_also_through_erased_ones(lake, publish, bakery):
    crumbs = publish("crumbs", inputs=[bakery["old_bread"]])
    held = {bakery["old"].id, bakery["old_bread"].id, crumbs.id}
    assert holders(lake.root, [bakery["old"].id]) == held
    lake.withdraw("bread")
    lake.erase(bakery["old_bread"], "receipt-1", MOMENT)
    assert holders(lake.root, [bakery["old"].id]) == held


def test_where_a_version_in_between_was_pruned_the_caller_decides_whether_it_held_something(
    lake, publish, bakery
):
    crumbs = publish("crumbs", inputs=[bakery["old_bread"]])
    lake._discard(bakery["old_bread"])
    seed = [bakery["old"].id]
    assert crumbs.id not in holders(lake.root, seed)
    assert crumbs.id in holders(lake.root, seed, lambda ref: ref.asset == "bread")


def test_partial_work_of_killed_runs_is_discarded(lake):
    for asset in ("bread", "salt"):
        folder = lake.root / ".scratch" / asset / "_" / "key"
        folder.mkdir(parents=True)
        (folder / "half").write_text("dough")
    draft = lake.root / ".drafts" / "bread-1"
    draft.mkdir(parents=True)
    with lake.draft("salt", None, "alive"):
        assert lake.discard_partial_work(["bread"]) == 2
        assert [p.name for p in (lake.root / ".scratch").glob("*/*/key")] == ["key"]
        assert len(list((lake.root / ".drafts").glob("salt-*"))) == 2, "the living draft, its lock"
    assert not draft.exists()
