"""Erasure through Dagster, on dump files of a world of forty people, up to the monthly aggregates."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from assets.catalogue import catalogue
from tests.traces import Person, Search, records_of
from zipp_dagster import runner
from zipp_dagster.cli import cli
from zipp_dagster.erasing import apply as applying
from zipp_dagster.erasing import receipts
from zipp_dagster.erasing.apply import RebuildFailed, must_be_rebuilt
from zipp_dagster.erasing.holding import pending
from zipp_dagster.erasing.record import record
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.dagster_history import forget_steps
from zipp_dagster.platform.lineage import verify
from zipp_dagster.platform.locks import locked
from zipp_dagster.platform.plan import select
from zipp_dagster.platform.work_locks import making
from zipp_dagster.reddit.erasure import ErasureError, Request, read_tombstones
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.world import generate_world

WORLD = {"people": 40, "communities": 12, "image_size": 16, "bad_lines_per_file": 0, "months": 1}
SELECTION = "+int_activity_monthly,rejected_lines"
MONTH = "2024-01"


@dataclass
class Place:
    """A home with one month ingested from a folder of the user's."""

    platform: Platform
    records: list[dict[str, Any]]

    def current(self) -> dict[tuple[str, str | None], str]:
        lake = self.platform.lake
        return {
            (name, part): lake.current(name, part).id
            for name in lake.assets()
            for part in lake.partitions(name)
        }

    def person(self, name: str) -> Person:
        from assets.sources import pseudonymizer

        mine = [r for r in self.records if r["author"] == name]
        others = "\n".join(_text(r) for r in self.records if r["author"] != name)
        texts = {t for r in mine for t in _text(r).split("\n") if len(t) >= 25 and t not in others}
        words = {name} | {r["id"] for r in mine}
        words |= {("t3_" if "title" in r else "t1_") + r["id"] for r in mine}
        token = pseudonymizer(self.platform).user(name)
        return Person(frozenset(texts), frozenset(words), frozenset({token}), frozenset())

    def traces(self, person: Person) -> list[str]:
        return Search(person).folder(self.platform.home, leave_out=Path("/nowhere")).found


def _text(record: dict[str, Any]) -> str:
    return "\n".join(str(record.get(key) or "") for key in ("title", "selftext", "body"))


def call(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.output[result.output.index("{\n") :])


@pytest.fixture(scope="module")
def template(tmp_path_factory, environment, mlflow_store) -> tuple[Path, Path]:
    """A home on which everything was made once, and the dump folder."""
    folder = tmp_path_factory.mktemp("template")
    generate_world(WorldSettings.model_validate(WORLD), folder)
    home = folder / "home"
    mlflow_store(home / "mlflow")
    with settings(environment, home, folder / "dumps"):
        platform = runner.local_platform()
        result = runner.run(platform, select(catalogue(), SELECTION))
        assert result.failed == []
    return home, folder / "dumps"


def settings(environment, home: Path, dumps: Path, **more: object):
    small = {"ZIPP_WAREHOUSE__THREADS": 1, "ZIPP_WAREHOUSE__MEMORY_LIMIT": "512MB"}
    return environment(ZIPP_HOME=home, ZIPP_REDDIT__DUMPS_DIR=dumps, **small, **more)


@contextmanager
def copied(template: tuple[Path, Path], environment, folder: Path):
    """A copy of the template: a home of one's own."""
    template_home, dumps = template
    shutil.copytree(template_home, folder / "home")
    records = [r for path in sorted(dumps.glob("*.zst")) for r in records_of(path)]
    with settings(environment, folder / "home", dumps):
        yield Place(runner.local_platform(), records)


@pytest.fixture
def place(template, environment, tmp_path):
    with copied(template, environment, tmp_path) as place:
        yield place


@pytest.fixture
def somebody(place) -> str:
    return most_active(place)


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


def most_active(place: Place, but: str = "") -> str:
    """The person with the most records; no bot, nobody deleted."""
    bots = {name.lower() for name in place.platform.settings.reddit.bots} | {"[deleted]"}
    counts = Counter(r["author"] for r in place.records if r["author"].lower() not in bots)
    counts.pop(but, None)
    return max(counts, key=lambda name: (counts[name], name))


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


def test_it_waits_for_a_run_that_is_at_work(place, somebody):
    record(place.platform, Request.of([somebody]))
    lock = runner.instance_folder(place.platform.home) / runner.RUNNING / "other.lock"
    with locked(lock), pytest.raises(ErasureError, match="a run is at work"):
        applying.apply(place.platform)
    assert receipts.open_receipt(place.platform) is None


def test_who_is_recorded_during_an_erasure_waits_for_the_next_one(place, somebody, monkeypatch):
    other = most_active(place, but=somebody)
    persons = {name: place.person(name) for name in (somebody, other)}
    clean = applying.clean_leftovers

    def meanwhile(*arguments: Any) -> dict[str, int]:
        record(place.platform, Request.of([other]))
        return clean(*arguments)

    record(place.platform, Request.of([somebody]))
    with monkeypatch.context() as patch:
        patch.setattr(applying, "clean_leftovers", meanwhile)
        first = applying.apply(place.platform)
    assert (first.erased["users"], first.marks) == (1, [])
    assert place.traces(persons[somebody]) == [] and place.traces(persons[other]) != []
    assert pending(place.platform), "the second person still waits"
    second = applying.apply(place.platform)
    assert second.receipt != first.receipt and second.erased["users"] == 1
    assert place.traces(persons[other]) == [] and pending(place.platform) == []


def test_a_month_that_is_being_ingested_while_somebody_is_recorded_is_made_again(
    place, somebody, tmp_path
):
    lake, person = place.platform.lake, place.person(somebody)
    folder = lake.current("comments", MONTH).folder.parent
    with making(lake.root, "comments", MONTH, lambda reason: None):
        # The tombstones were read, and nothing is published yet.
        folder.rename(tmp_path / "ingested")
        record(place.platform, Request.of([somebody]))
        (tmp_path / "ingested").rename(folder)
    assert f"comments[{MONTH}]" in must_be_rebuilt(place.platform)
    applying.apply(place.platform)
    assert place.traces(person) == []


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


def test_a_version_that_another_run_publishes_meanwhile_does_not_outlive_the_erasure(
    place, somebody, monkeypatch
):
    lake, person = place.platform.lake, place.person(somebody)
    old, wait = lake.current("int_activity_monthly", MONTH), applying.nobody_at_work
    rounds = []

    def others_end(root: Path, told: Any):
        rounds.append(root)
        if len(rounds) == 1:
            lake.point(old)  # a run that had begun before
        return wait(root, told)

    monkeypatch.setattr(applying, "nobody_at_work", others_end)
    record(place.platform, Request.of([somebody]))
    receipt = applying.apply(place.platform)
    assert len(rounds) == 2 and old.id in {e["version"] for e in receipt.erased_versions}
    assert place.traces(person) == [] and verify(lake).passed


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


def test_the_nightly_job_carries_out_what_was_recorded_and_shows_the_receipt(place, somebody):
    import dagster as dg

    from resources import default_resources
    from zipp_dagster.definitions import defs
    from zipp_dagster.operation.instance import open_instance

    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("daily_erasures")
    instance = open_instance(place.platform.home)

    def evaluate():
        night = datetime(2024, 3, 3, 2, tzinfo=UTC)
        with dg.build_schedule_context(
            instance, night, repository_def=repository, resources=default_resources()
        ) as context:
            return schedule.evaluate_tick(context)

    def night() -> dict[str, Any]:
        done = repository.get_job("carry_out_erasures").execute_in_process(instance=instance)
        (output,) = [e for e in done.all_node_events if e.is_successful_output]
        return output.step_output_data.metadata

    assert "no recorded erasure waits" in evaluate().skip_message
    assert night()["erased"].value == "nothing waits"
    person = place.person(somebody)
    record(place.platform, Request.of([somebody]))
    (request,) = evaluate().run_requests
    assert request.run_key == "erasures-2024-03-03" and "tombstones wait" in str(request.tags)
    shown = night()
    receipt = receipts.read(receipts.folder_of(place.platform) / f"{shown['receipt'].value}.json")
    assert receipt.state == "complete" and shown["whole receipt"].value == receipt.to_json()
    assert shown["versions erased"].value == len(receipt.erased_versions) > 4
    assert place.traces(person) == [] and verify(place.platform.lake).passed
    assert "no recorded erasure waits" in evaluate().skip_message


def test_the_nightly_job_waits_for_runs_that_may_read_what_goes(place, somebody, monkeypatch):
    import dagster as dg

    from zipp_dagster.definitions import defs
    from zipp_dagster.operation import erasures
    from zipp_dagster.operation.instance import open_instance

    monkeypatch.setattr(erasures, "WAITS", 1)
    monkeypatch.setattr(erasures, "WAIT_SECONDS", 0)
    record(place.platform, Request.of([somebody]))
    instance = open_instance(place.platform.home)
    instance.add_run(dg.DagsterRun("full_pipeline", status=dg.DagsterRunStatus.STARTED))
    done = defs.resolve_job_def("carry_out_erasures").execute_in_process(
        instance=instance, raise_on_error=False
    )
    kinds = [event.event_type_value for event in done.all_events]
    assert not done.success and "STEP_UP_FOR_RETRY" in kinds
    assert receipts.open_receipt(place.platform) is None  # nothing was begun
