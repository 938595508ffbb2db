"""Erasure through Dagster, on dump files of a world of forty people, up to the monthly aggregates."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from assets.catalogue import catalogue
from tests.erasing.place import MONTH, SELECTION, WORLD, Place, call, copied, most_active, settings
from tests.traces import Person
from zipp_dagster import runner
from zipp_dagster.cli import cli
from zipp_dagster.erasing import apply as applying
from zipp_dagster.erasing import receipts
from zipp_dagster.erasing.apply import RebuildFailed, must_be_rebuilt
from zipp_dagster.erasing.record import record
from zipp_dagster.platform.dagster_history import forget_steps
from zipp_dagster.platform.lineage import verify
from zipp_dagster.platform.plan import select
from zipp_dagster.reddit.erasure import ErasureError, Request, read_tombstones
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.world import generate_world


@dataclass
class Erased:
    """An erasure of one person that went through."""

    place: Place
    name: str
    person: Person
    before: dict[tuple[str, str | None], str]
    document: dict[str, Any]


@pytest.fixture(scope="module")
def erased(template, environment, tmp_path_factory):
    with copied(template, environment, tmp_path_factory.mktemp("erased")) as place:
        name = most_active(place)
        person, before = place.person(name), place.current()
        document = call("erase", name, "--apply")
        yield Erased(place, name, person, before, document)


def test_names_and_texts_of_people_are_in_tables_and_nowhere_else(place, somebody):
    listed = {"[deleted]", *place.platform.settings.reddit.bots}  # a setting, and so in manifests
    names = {r["author"] for r in place.records if r["author"].lower() not in listed}
    everybody = Person(frozenset(), frozenset(names), frozenset(), frozenset())
    assert place.traces(everybody) == [], "no name passes the ingest"
    found = place.traces(place.person(somebody))
    home = place.platform.home
    assert found and {Path(f.rsplit(": ", 1)[0]).suffix for f in found} == {".parquet"}
    outside = [f for f in found if not Path(f).is_relative_to(home / "lake")]
    assert outside == [], "events, logs, MLflow, pages and caches hold no text and no id"


def test_an_erasure_removes_every_trace_and_says_what_went_where(erased):
    place, person, before, document = erased.place, erased.person, erased.before, erased.document
    assert (document["recorded"], document["unknown"]) == (1, 0)
    assert document["items_of_users"] > 3
    assert place.traces(person) == []
    receipt = document["receipt"]
    lines = {(line["asset"], line["partition"]): line for line in receipt["removed"]}
    for (asset, month), line in lines.items():
        assert line["old_version"] == before[asset, month]
        assert line["new_version"] == place.current()[asset, month]
    seen = [r for r in place.records if r["author"] == erased.name]
    gone = sum(lines[asset, MONTH]["rows_removed"] for asset in ("comments", "submissions"))
    assert 0 < gone <= len(seen)
    assert receipt["erased"]["users"] == 1 and receipt["models"] == []
    assert {Path(p).name[:3] for p in receipt["source_files"]} == {"RC_", "RS_"}
    assert "Source files are yours to delete" in receipt["note"]
    result = verify(place.platform.lake)
    assert result.passed
    assert len(result.erased) == len(receipt["erased_versions"]) >= len(lines)
    kept = receipts.folder_of(place.platform) / f"{receipt['receipt']}.json"
    text = kept.read_text()
    assert json.loads(text) == receipt
    assert not [word for word in person.all_words if word in text.split('"')]


def test_what_was_not_made_from_the_person_stays_as_it_is(erased):
    before, after = erased.before, erased.place.current()
    changed = {key for key in before if before[key] != after[key]}
    assert ("reddit_dumps", MONTH) not in changed and ("sample_world", None) not in changed
    result = runner.run(erased.place.platform, select(catalogue(), SELECTION))
    assert result.made == []


def test_the_same_erasure_twice_changes_nothing(erased):
    place, stones = erased.place, read_tombstones(erased.place.platform.home / "erasures.jsonl")
    before = place.current()
    again = call("erase", erased.name.upper(), "--apply")
    assert (again["recorded"], again["known_before"], again["receipt"]) == (0, 1, None)
    assert again["receipts_before"] == [erased.document["receipt"]["receipt"]]
    assert place.current() == before
    assert read_tombstones(place.platform.home / "erasures.jsonl") == stones
    assert len(list(receipts.folder_of(place.platform).iterdir())) == 1


def test_an_unknown_name_is_said_to_be_unknown_and_not_repeated(place):
    before = place.current()
    result = CliRunner().invoke(cli, ["erase", "Nobody_Of_That_Name", "--apply"])
    assert result.exit_code == 0
    assert "1 of those named are unknown: nothing of theirs is kept here" in result.output
    assert "nobody" not in result.output.lower().replace("nobody else", "")
    changed = {key[0] for key, version in place.current().items() if before.get(key) != version}
    assert changed == {"erasures"}, "nothing else is made again for somebody who is not there"
    text = "".join(p.read_text() for p in receipts.folder_of(place.platform).iterdir())
    assert "nobody_of" not in text.lower()


def test_without_apply_it_says_what_must_be_rebuilt_and_a_later_apply_completes_it(place, somebody):
    person = place.person(somebody)
    document = call("erase", somebody)
    assert document["must_be_rebuilt"][0] == "erasures"
    assert {"comments[2024-01]", "int_activity_monthly[2024-01]"} <= set(
        document["must_be_rebuilt"]
    )
    assert place.traces(person) != []
    runner.run(place.platform, select(catalogue(), SELECTION))
    assert must_be_rebuilt(place.platform) == []
    assert place.traces(person) != [], "the old versions are still there"
    assert call("erase", "--apply")["receipt"]["erased_versions"]
    assert place.traces(person) == []


def test_one_item_goes_and_answers_to_it_lose_the_reference(place):
    import pyarrow.parquet as pq

    lake = place.platform.lake
    rows = pq.read_table(lake.current("comments", "2024-01").files()).to_pylist()
    answered = Counter(row["link_id"] for row in rows)
    posts = pq.read_table(lake.current("submissions", "2024-01").files(), columns=["id"])
    item = max(("t3_" + i for i in posts["id"].to_pylist()), key=lambda name: answered[name])
    document = call("erase", item, "--apply")
    assert (document["unknown"], document["receipt"]["erased"]["items"]) == (0, 1)
    word = Person(frozenset(), frozenset({item, item[3:]}), frozenset(), frozenset())
    assert place.traces(word) == []
    after = pq.read_table(lake.current("comments", "2024-01").files()).to_pylist()
    assert len(after) == len(rows) and answered[item] > 0
    assert sum(row["link_id"] is None for row in after) == answered[item]


def test_the_wrong_key_is_an_error_and_records_nothing(place, somebody, environment, template):
    key = {"ZIPP_REDDIT__PSEUDONYM_KEY": "not the key of the ingest"}
    with settings(environment, place.platform.home, template[1], **key):
        with pytest.raises(ErasureError, match=r"comments\[2024-01\] was made with another .* key"):
            record(runner.local_platform(), Request.of([somebody]))
    assert not (place.platform.home / "erasures.jsonl").exists()


def test_a_failed_rebuild_removes_nothing_and_the_same_command_goes_on(
    place, somebody, template, tmp_path
):
    dump = template[1] / "RC_2024-01.zst"
    before = place.current()
    record(place.platform, Request.of([somebody]))
    shutil.copy2(dump, tmp_path)
    try:
        dump.unlink()
        with pytest.raises(RebuildFailed, match="Nothing was removed yet"):
            applying.apply(place.platform)
    finally:
        shutil.copy2(tmp_path / dump.name, dump)
    assert verify(place.platform.lake).erased == ()
    assert set(before) == set(place.current())
    first = receipts.open_receipt(place.platform)
    done = applying.apply(place.platform)
    assert done.receipt == first.receipt and done.state == "complete"
    assert place.traces(place.person(somebody)) == []


def test_an_erasure_that_ends_half_way_is_completed_by_the_same_command(
    place, somebody, monkeypatch
):
    person = place.person(somebody)
    record(place.platform, Request.of([somebody]))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    for step in ("clean_leftovers", "_close"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(applying, step, killed)
            applying.apply(place.platform)
    before = receipts.open_receipt(place.platform)
    receipt = call("erase", somebody, "--apply")["receipt"]
    assert receipt["receipt"] == before.receipt
    assert len(receipt["removed"]) == len(before.before) >= 5
    assert receipt["erased_versions"] and receipt["state"] == "complete"
    assert place.traces(person) == [] and receipts.open_receipt(place.platform) is None


def test_what_a_later_search_finds_is_carried_out_though_the_erasure_was_complete(
    place, somebody, tmp_path
):
    lake, person = place.platform.lake, place.person(somebody)
    folder = lake.current("submissions", MONTH).folder.parent
    shutil.copytree(folder, tmp_path / "backup")
    call("erase", somebody, "--apply")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)  # somebody restored an old copy
    assert place.traces(person) != []
    again = call("erase", somebody, "--apply")
    assert (again["recorded"], again["known_before"], again["unknown"]) == (0, 1, 0)
    assert place.traces(person) == []


def test_a_registered_model_whose_version_was_pruned_counts_as_trained_with_it(
    place, somebody, tmp_path
):
    registry = place.platform.registry
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"12")
    made_from_people, not_from_people = "gat_checkpoint", "sample_world"
    for asset in (made_from_people, not_from_people):
        fields = {"asset": asset, "lake_version": "20240101-pruned", "metrics": {}, "tags": {}}
        with registry.run(asset, {}, {}) as tracker:
            registry.register(tracker, f"zipp-{asset}", folder, **fields)
    record(place.platform, Request.of([somebody]))
    receipt = applying.apply(place.platform)
    assert [m["model"] for m in receipt.models] == [f"zipp-{made_from_people}"]
    assert receipt.also_cleaned["model files in the registry"] == 1
    assert registry.versions(f"zipp-{not_from_people}")[0].aliases == ("challenger",)


def test_current_versions_of_a_month_that_no_run_makes_any_more_lose_their_pointer(
    place, somebody, template, environment, tmp_path
):
    person = place.person(somebody)
    later = WORLD | {"start_month": "2024-06", "seed": 3}
    generate_world(WorldSettings.model_validate(later), tmp_path / "other")
    lake = place.platform.lake
    lake.withdraw("reddit_dumps", MONTH)
    with settings(environment, place.platform.home, tmp_path / "other" / "dumps"):
        platform = runner.local_platform()
        record(platform, Request.of([somebody]))
        receipt = applying.apply(platform)
    lines = {(line["asset"], line["partition"]): line for line in receipt.removed}
    assert lines["comments", "2024-01"]["new_version"] is None
    assert lake.find("comments", "2024-01") is None
    assert place.traces(person) == [] and verify(lake).passed


def test_the_events_of_a_step_are_forgotten_and_others_stay(place):
    import dagster as dg

    instance = dg.DagsterInstance.from_config(str(runner.instance_folder(place.platform.home)))
    run_id = place.platform.lake.current("comments", MONTH).manifest.run_id
    key, other = dg.AssetKey("comments"), dg.AssetKey("submissions")
    assert instance.get_latest_materialization_event(key)
    assert forget_steps(instance, [(run_id, "comments")]) > 3
    steps = {entry.step_key for entry in instance.all_logs(run_id)}
    assert "comments" not in steps and "submissions" in steps
    assert instance.fetch_materializations(key, limit=5).records == []
    assert len(instance.fetch_materializations(other, limit=5).records) == 1
