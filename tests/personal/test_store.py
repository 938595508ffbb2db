"""Looking up, keeping, importing and exporting personas."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assets.sources import pseudonymizer
from tests.personal.people import (
    ANA,
    ANA_HEX,
    BEN,
    BEN_HEX,
    NEVER,
    QUARANTINED,
    SAID,
    a_persona,
    a_platform,
    document,
    people,
    publish,
)
from zipp_dagster.personal import PersonaError, PersonaStore, UnknownUser
from zipp_dagster.personal.entries import user_names
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.versions import NotMaterialised
from zipp_dagster.reddit.config import RedditSettings
from zipp_dagster.reddit.erasure import add_tombstones
from zipp_dagster.settings import Settings
from zipp_dagster.zipbench.config import ZipbenchSettings


@pytest.mark.parametrize("user", [BEN, str(BEN), BEN_HEX, BEN_HEX.upper(), f" {BEN_HEX}\n"])
def test_a_user_is_found_by_number_and_by_hex_and_shown_as_hex(store: PersonaStore, user: Any):
    assert store.get(user).user == BEN_HEX
    assert store.get(user).persona == a_persona("pixel art")


def test_sixteen_decimal_digits_may_be_either_form():
    assert user_names(str(BEN)) == (str(BEN), BEN_HEX)
    assert user_names(BEN) == (BEN_HEX,)
    assert user_names("7") == ("0000000000000007",)


@pytest.mark.parametrize("user", ["", "../up", "a/b", ".hidden", str(2**64), -1, "x" * 65])
def test_what_is_neither_pseudonym_nor_name_is_refused(user: Any):
    with pytest.raises(PersonaError, match="is no user"):
        user_names(user)


def test_an_unknown_user_is_told_how_to_list_them(store: PersonaStore):
    with pytest.raises(UnknownUser, match="zipp personas show"):
        store.get(NEVER)
    with pytest.raises(UnknownUser, match="zipp personas edit"):
        store.get("nobody")


def test_without_a_personas_table_a_pseudonym_asks_for_a_run_and_a_name_works(tmp_path: Path):
    platform = SimpleNamespace(settings=Settings(), lake=Lake(tmp_path / "lake"), home=tmp_path)
    store = PersonaStore(platform)
    with pytest.raises(NotMaterialised, match="zipp run --select"):
        store.get(ANA)
    store.save("bob", document())
    assert [entry.user for entry in store.list(5)] == ["bob"]


def test_an_edited_persona_wins_and_outlives_a_new_table(platform: Any, store: PersonaStore):
    edited = store.save(ANA, document(summary="I only like ink drawings of animals."))
    publish(platform.lake, "personas", people())
    again = PersonaStore(platform).get(ANA_HEX)
    assert again == edited
    assert (again.origin, again.usable) == ("edited", True)
    assert [e.origin for e in store.list(9)] == ["edited", "mined", "mined"]
    assert [path.name for path in (platform.home / "personas").iterdir()] == [f"{ANA_HEX}.json"]


def test_a_persona_written_by_hand_needs_no_evidence_and_stays_by_hand(store: PersonaStore):
    assert store.save("Ana Two", document()).origin == "by hand"
    assert store.save("Ana Two", document(summary="I like quiet pictures of foxes.")).usable
    assert store.get("Ana Two").origin == "by hand"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"summary": "Write to me: ana@example.org"}, "e-mail in the text"),
        ({"summary": "short"}, "summary has 5 characters"),
        ({"summary": f"I think of how {SAID}."}, "quotes 8 or more words"),
        ({"mood": "x"}, "persona.mood: Extra inputs"),
        ({"preferences": [{"context": "a", "facet": "b", "phrase": "c"}]}, "preferences.0.facet"),
    ],
)
def test_schema_and_guards_hold_for_what_is_saved(
    store: PersonaStore, changes: dict[str, Any], message: str
):
    with pytest.raises(PersonaError, match=message):
        store.save(ANA, document(**changes))
    assert store.get(ANA).origin == "mined"


def test_a_quarantined_persona_shows_its_reason_and_can_be_replaced(store: PersonaStore):
    entry = store.get(QUARANTINED)
    assert (entry.persona, entry.quarantined) == (None, "e-mail in the text")
    assert entry.to_json()["persona_id"] is None
    assert store.save(QUARANTINED, document()).usable


def test_a_kept_file_that_was_damaged_is_named(platform: Any, store: PersonaStore):
    store.save("bob", document())
    file = platform.home / "personas" / "bob.json"
    file.write_text(file.read_text().replace("medium", "MEDIUM"))
    with pytest.raises(PersonaError, match=r"bob\.json .*persona\.preferences\.0\.facet"):
        store.get("bob")


def test_what_is_exported_can_be_imported_elsewhere(tmp_path: Path, store: PersonaStore):
    store.save("bob", document())
    file = tmp_path / "out" / "personas.json"
    assert store.export(file) == 3
    other = PersonaStore(a_platform(tmp_path / "other"))
    assert other.load(file) == 3
    assert [entry.origin for entry in other.list(9)] == ["imported"] * 3 + ["mined"]
    assert other.get(BEN).persona == store.get(BEN).persona


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("x", "entry 2: expected an object"),
        ({"persona": {}}, "entry 2, field user: it is missing"),
        ({"user": "eve"}, "entry 2, field persona: it is missing"),
        ({"user": "eve", "persona": {}, "note": 1}, "entry 2, field note"),
        ({"user": True, "persona": {}}, "entry 2, field user: expected a text"),
        ({"user": "e/ve", "persona": {}}, "entry 2, field user: .* is no user"),
        ({"user": "bob", "persona": {}}, "entry 2, field user: entry 1 is bob too"),
        ({"user": "eve", "persona": {}}, r"entry 2 \(user eve\): persona.summary: Field required"),
        (
            {"user": "eve", "persona": {"summary": "see www.example.org for me"}},
            r"entry 2 \(user eve\): it is refused: URL",
        ),
    ],
)
def test_one_wrong_entry_is_named_and_nothing_is_imported(
    tmp_path: Path, store: PersonaStore, entry: Any, message: str
):
    file = tmp_path / "in.json"
    file.write_text(json.dumps([{"user": "bob", "persona": document()}, entry]))
    with pytest.raises(PersonaError, match=rf"in\.json, {message}"):
        store.load(file)
    assert not (tmp_path / "personas").exists()


@pytest.mark.parametrize("text", ["{", '{"user": 1}'])
def test_a_file_that_is_no_json_list_is_named(tmp_path: Path, store: PersonaStore, text: str):
    file = tmp_path / "in.json"
    file.write_text(text)
    with pytest.raises(PersonaError, match=r"in\.json (is no JSON|holds no list)"):
        store.load(file)


def test_real_people_are_shown_by_name_but_not_listed(tmp_path: Path):
    store = PersonaStore(a_platform(tmp_path, real=True))
    store.save(BEN, document())
    store.save("bob", document())
    assert store.get(ANA).usable
    assert [entry.user for entry in store.list(9)] == ["bob"]
    assert store.export(tmp_path / "out.json") == 1
    assert ANA_HEX not in (tmp_path / "out.json").read_text()
    assert store.export_dataset(tmp_path / "hub") == 1
    card = (tmp_path / "hub/README.md").read_text()
    assert "Inferred from posts of real people" in card and "license: other" in card


def test_a_setting_lets_real_people_into_lists(tmp_path: Path):
    allowed = ZipbenchSettings(show_real_personas=True)
    store = PersonaStore(a_platform(tmp_path, real=True, zipbench=allowed))
    assert [entry.user for entry in store.list(9)] == [ANA_HEX, "0000000000000003", BEN_HEX]
    assert store.export(tmp_path / "out.json") == 2


def test_personas_of_real_people_stay_hidden_after_a_sample_world_was_made(tmp_path: Path):
    platform = a_platform(tmp_path, real=True)
    publish(platform.lake, "sample_world")
    assert PersonaStore(platform).hides_people
    publish(platform.lake, "personas", people(), (platform.lake.current("sample_world").ref(),))
    assert not PersonaStore(platform).hides_people


def test_a_dump_folder_in_the_settings_means_real_people(tmp_path: Path):
    reddit = RedditSettings(dumps_dir=tmp_path)
    assert PersonaStore(a_platform(tmp_path, reddit=reddit)).hides_people


def test_erased_people_have_no_persona_any_more(platform: Any, store: PersonaStore):
    names = pseudonymizer(platform)
    user = names.user("ana")
    store.save(user, document())
    store.save("bob", document())
    add_tombstones(platform.home / "erasures.jsonl", names, users=["ana"])
    after = PersonaStore(platform)
    with pytest.raises(UnknownUser, match="was erased"):
        after.get(user)
    with pytest.raises(PersonaError, match="was erased"):
        after.save(user, document())
    assert f"{user:016x}" not in [entry.user for entry in after.list(9)]
    assert after.forget_erased() == 1
    assert [path.name for path in (platform.home / "personas").iterdir()] == ["bob.json"]
