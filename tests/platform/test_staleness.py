from __future__ import annotations

from zipp_dagster.platform.staleness import Outdated, staleness


def test_a_lake_whose_versions_follow_from_one_another_is_consistent(lake, publish):
    publish("bread", inputs=[publish("flour", "2024-01")])
    report = staleness(lake)
    assert report.consistent and report.versions == 2 and report.affected == ()


def test_an_input_made_anew_makes_its_reader_outdated_and_what_follows_affected(lake, publish):
    old = publish("flour", "2024-01")
    bread = publish("bread", inputs=[old])
    publish("toast", inputs=[bread])
    new = publish("flour", "2024-01", text="rye")
    report = staleness(lake)
    assert report.outdated == (
        Outdated("bread", None, bread.id, "flour", "2024-01", old.id, new.id),
    )
    assert report.affected == ("toast",) and not report.consistent
    assert report.outdated[0].sentence == (
        f"bread was made from flour[2024-01] {old.id}; now {new.id} is current"
    )


def test_an_input_made_again_with_the_same_data_version_is_not_outdated(lake, publish):
    publish("bread", inputs=[publish("flour", data_version="same")])
    publish("flour", data_version="same")
    assert staleness(lake).consistent


def test_an_input_that_has_gone_is_outdated(lake, publish):
    flour = publish("flour")
    publish("bread", inputs=[flour])
    (lake.root / "flour" / "_" / "current").unlink()
    (entry,) = staleness(lake).outdated
    assert entry.current is None and entry.sentence.endswith("now it has no current version")


def test_an_older_version_that_is_not_current_is_nobodys_problem(lake, publish):
    publish("bread", inputs=[publish("flour", text="old")])
    publish("bread", inputs=[publish("flour", text="new")], text="new bread")
    assert staleness(lake).consistent


def test_an_asset_that_follows_content_outside_the_lake_is_left_out(lake, publish):
    for by_content in (False, True):
        publish("inventory", inputs=[publish("world", text="old")], by_content=by_content)
        publish("world", text="new")
        assert staleness(lake).consistent == by_content


def test_only_what_some_versions_were_made_from_is_judged_if_asked(lake, publish):
    bread = publish("bread", inputs=[publish("flour", text="old")])
    toast, soup = publish("toast", inputs=[bread]), publish("soup", inputs=[publish("water")])
    publish("flour", text="new")
    assert staleness(lake, [soup]).consistent
    report = staleness(lake, [toast])
    assert [entry.asset for entry in report.outdated] == ["bread"] and report.versions == 3
