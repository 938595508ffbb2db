"""Personas in use: the store, free texts, and a prompt personalised and drawn."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.language_models import load_language_model
from zipp_dagster.persona.schema import Persona, Preference
from zipp_dagster.personal import PersonaError, Personalizer, PersonaStore, UnknownUser
from zipp_dagster.personal.entries import user_names
from zipp_dagster.personal.free_text import NOTHING_RECOGNISED, first_person, persona_of_text
from zipp_dagster.platform.lake import InputRef, Lake, NotMaterialised, Version
from zipp_dagster.reddit.config import RedditSettings
from zipp_dagster.reddit.erasure import add_tombstones
from zipp_dagster.reddit.pseudonyms import Pseudonymizer
from zipp_dagster.settings import Settings
from zipp_dagster.zipbench.config import ZipbenchSettings

ANA, BEN, QUARANTINED, NEVER = 1, 2463378207570249, 3, 99
ANA_HEX, BEN_HEX = "0000000000000001", "0008c06def027949"
SAID = "my grandmother kept eleven green parrots in a house by the sea"


def a_persona(medium: str = "watercolor painting", summary: str = "") -> Persona:
    return Persona(
        summary=summary or f"In pictures of animals I like {medium}.",
        preferences=(Preference(context="animals", facet="medium", phrase=medium),),
    )


def document(**changes: Any) -> dict[str, Any]:
    return a_persona().model_dump(mode="json") | changes


def publish(
    lake: Lake,
    asset: str,
    table: pa.Table | None = None,
    inputs: tuple[InputRef, ...] = (),
    skipped: str | None = None,
) -> Version:
    with lake.draft(asset, None, "0" * 32) as draft:
        if table is not None:
            pq.write_table(table, draft.path("part-0.parquet"))
        return lake.publish(
            draft,
            data_version=f"{asset}-0000000",
            code_version="c",
            config_hash="h",
            config={},
            inputs=inputs,
            run_id=None,
            seconds=0.0,
            skipped=skipped,
        )


def people() -> pa.Table:
    rows = [
        (ANA, a_persona("watercolor painting"), None),
        (QUARANTINED, None, "e-mail in the text"),
        (BEN, a_persona("pixel art"), None),
    ]
    return pa.table(
        {
            "user_id": pa.array([user for user, _, _ in rows], pa.uint64()),
            "profile": [p.to_json() if p else "{}" for _, p, _ in rows],
            "quarantined": pa.array([reason for _, _, reason in rows], pa.string()),
        }
    )


def a_platform(home: Path, *, real: bool = False, **settings: Any) -> Any:
    """Three mined people: one of them with past prompts, one quarantined."""
    lake = Lake(home / "lake")
    world = publish(lake, "sample_world", skipped="real dumps are read" if real else None)
    publish(lake, "personas", people(), inputs=(world.ref(),))
    said = pa.table({"user_id": pa.array([ANA], pa.uint64()), "text": [f"I said {SAID}."]})
    publish(lake, "persona_evidence", said)
    posts = {
        "post_id": ["p1", "p2"],
        "user_id": pa.array([BEN, ANA], pa.uint64()),
        "title": ["an owl, warm autumn colors", "a fox, charcoal drawing"],
        "created_at": [datetime(2024, 1, 1), datetime(2024, 1, 2)],
    }
    publish(lake, "image_posts", pa.table(posts))
    return SimpleNamespace(settings=Settings(**settings), lake=lake, home=home)


@pytest.fixture
def platform(tmp_path: Path) -> Any:
    return a_platform(tmp_path)


@pytest.fixture
def store(platform: Any) -> PersonaStore:
    return PersonaStore(platform)


# --- users -----------------------------------------------------------------------------------


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


# --- keeping ---------------------------------------------------------------------------------


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


# --- import and export -----------------------------------------------------------------------


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


# --- real and erased people ------------------------------------------------------------------


def test_real_people_are_shown_by_name_but_not_listed(tmp_path: Path):
    store = PersonaStore(a_platform(tmp_path, real=True))
    store.save(BEN, document())
    store.save("bob", document())
    assert store.get(ANA).usable
    assert [entry.user for entry in store.list(9)] == ["bob"]
    assert store.export(tmp_path / "out.json") == 1
    assert ANA_HEX not in (tmp_path / "out.json").read_text()


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
    names = Pseudonymizer(b"k" * 32)
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


# --- free texts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tastes"),
    [
        (
            "A retired sailor who loves watercolor and muted blues.",
            [("watercolor painting", "like"), ("muted colors", "like")],
        ),
        ("She avoids oil painting.", [("oil painting", "dislike")]),
        (
            "He doesn't like pixel art; he enjoys stained glass",
            [("stained glass", "like"), ("pixel art", "dislike")],
        ),
        ("woodcut print", [("woodcut print", "like")]),
    ],
)
def test_a_description_becomes_tastes(text: str, tastes: list[tuple[str, str]]):
    settings = PersonaSettings()
    persona, flags = persona_of_text(text, load_language_model(settings.language_model), settings)
    assert [(taste.phrase, taste.polarity) for taste in persona.preferences] == tastes
    assert text in persona.summary
    assert flags == ()


def test_where_a_taste_holds_stays_in_its_sentence():
    assert first_person("For landscapes, prefers oil painting") == [
        "I like for landscapes, prefer oil painting"
    ]
    assert first_person("a cook who likes foxes") == ["I'm a cook who", "I like foxes"]
    assert first_person("In pictures of dogs I like ink") == ["In pictures of dogs I like ink"]


def test_a_text_without_a_taste_is_kept_as_the_summary_and_flagged():
    settings = PersonaSettings()
    persona, flags = persona_of_text("tea", load_language_model(settings.language_model), settings)
    assert (persona.preferences, flags) == ((), (NOTHING_RECOGNISED,))
    assert persona.summary.endswith("tea")


def test_other_models_read_the_text_itself():
    settings = PersonaSettings(language_model=LanguageModelSettings(kind="http", model="m"))
    persona, flags = persona_of_text("I love woodcut prints.", None, settings)
    assert (persona, flags) == (Persona(summary="I love woodcut prints."), ())


@pytest.mark.parametrize("text", [" ", "I am a catholic who loves ink", "call me: 555 123 4567 !"])
def test_the_guards_apply_to_texts(text: str):
    settings = PersonaSettings()
    with pytest.raises(PersonaError, match="the persona text"):
        persona_of_text(text, load_language_model(settings.language_model), settings)


# --- drawing ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def personalizer(tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    import torch

    from zipp_dagster.imaging.models_path import packaged
    from zipp_dagster.imaging.stored_models import store_model

    torch.set_num_threads(1)
    platform = a_platform(tmp_path_factory.mktemp("home"))
    with platform.lake.draft("diffusion_model", None, "0" * 32) as draft:
        store_model(packaged("generator"), None, draft.directory, setting="s", packaged=True)
        platform.lake.publish(
            draft,
            data_version="diffusion-000",
            code_version="c",
            config_hash="h",
            config={},
            inputs=(),
            run_id=None,
            seconds=0.0,
        )
    return Personalizer(platform)


def test_a_prompt_becomes_a_generic_and_a_personal_image(
    personalizer: Personalizer, tmp_path: Path
):
    result = personalizer.personalize("a fox", user=ANA, seed=3, out_dir=tmp_path / "new")
    json.dumps(result)
    assert result["personalized"]["prompt"] == "a fox, watercolor painting"
    assert result["generic"]["prompt"].startswith("a fox, highly detailed")
    assert (result["user"], result["persona_id"]) == (ANA_HEX, a_persona().persona_id)
    assert result["models"]["language_model"] == "lexical-1"
    for name in ("generic", "personalized"):
        path = Path(result[name]["image"])
        assert path == tmp_path / "new" / f"{name}.png"
        assert Image.open(path).size == (64, 64)
    again = personalizer.personalize("a fox", user=ANA, seed=3, out_dir=tmp_path / "again")
    other = personalizer.personalize("a fox", user=ANA, seed=4, out_dir=tmp_path / "other")
    pictures = [Path(r["personalized"]["image"]).read_bytes() for r in (result, again, other)]
    assert pictures[0] == pictures[1] != pictures[2]


def test_models_are_loaded_once_and_a_call_takes_under_two_seconds(
    personalizer: Personalizer, tmp_path: Path
):
    personalizer.personalize("a fox", user=ANA, out_dir=tmp_path)
    loaded = personalizer._loaded
    started = time.process_time()
    personalizer.personalize("a castle", user=BEN, out_dir=tmp_path)
    assert personalizer._loaded is loaded
    assert time.process_time() - started < 2


def test_shots_are_the_users_own_past_prompts(personalizer: Personalizer, tmp_path: Path):
    result = personalizer.personalize("a fox", user=BEN, shots=3, out_dir=tmp_path)
    assert result["shots"] == 1
    assert result["personalized"]["prompt"] == "a fox, pixel art, warm autumn colors"


def test_a_text_is_a_person_too(personalizer: Personalizer, tmp_path: Path):
    result = personalizer.personalize(
        "a castle", persona_text="A sailor who loves woodcut prints", out_dir=tmp_path
    )
    assert result["personalized"]["prompt"] == "a castle, woodcut print"
    assert Persona.model_validate(result["persona"]).persona_id == result["persona_id"]


def test_a_person_without_a_taste_for_the_subject_is_flagged(
    personalizer: Personalizer, tmp_path: Path
):
    result = personalizer.personalize("a castle", persona_text="likes tea", out_dir=tmp_path)
    assert result["flags"] == [NOTHING_RECOGNISED, "no_known_taste"]
    assert result["personalized"]["prompt"] == result["generic"]["prompt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": " ", "user": ANA}, "the prompt is empty"),
        ({"prompt": "a fox"}, "either a user or a persona text"),
        ({"prompt": "a fox", "user": ANA, "persona_text": "x"}, "either a user or a persona text"),
        ({"prompt": "a fox", "user": ANA, "seed": -1}, "seed -1"),
        ({"prompt": "a fox", "user": ANA, "shots": -1}, "shots=-1"),
        ({"prompt": "a fox", "user": QUARANTINED}, "quarantined .e-mail in the text.: write"),
    ],
)
def test_unusable_arguments_are_named(
    personalizer: Personalizer, tmp_path: Path, arguments: dict[str, Any], message: str
):
    with pytest.raises(PersonaError, match=message):
        personalizer.personalize(**arguments, out_dir=tmp_path)


def test_without_a_diffusion_model_the_run_that_makes_it_is_named(platform: Any, tmp_path: Path):
    with pytest.raises(NotMaterialised, match=r"zipp run --select \+diffusion_model"):
        Personalizer(platform).personalize("a fox", user=ANA, out_dir=tmp_path / "out")


# --- the command line and the package --------------------------------------------------------


@pytest.fixture
def zipp(platform: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from zipp_dagster import runner
    from zipp_dagster.cli import cli

    monkeypatch.setattr(runner, "local_platform", lambda: platform)
    return lambda *arguments, **options: CliRunner().invoke(cli, arguments, **options)


def test_personas_are_listed_as_json_and_as_text(zipp: Any):
    assert [entry["user"] for entry in json.loads(zipp("personas", "show", "--json").stdout)] == [
        ANA_HEX,
        "0000000000000003",
        BEN_HEX,
    ]
    text = zipp("personas", "show", "3").stdout
    assert text.startswith("0000000000000003  mined  quarantined: e-mail in the text")


def test_an_edit_that_a_guard_refuses_can_be_mended(
    zipp: Any, platform: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    editor = tmp_path / "editor"
    editor.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\npath = pathlib.Path(sys.argv[1])\n"
        "text = path.read_text()\n"
        "path.write_text(text.replace('a@b.org', 'ink drawings') if 'a@b.org' in text\n"
        "    else text.replace('watercolor painting.', 'a@b.org.'))\n"
    )
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    refused = zipp("personas", "edit", str(ANA), input="n\n")
    assert refused.exit_code == 1 and "e-mail in the text" in refused.stderr
    mended = zipp("personas", "edit", str(ANA), "--json", input="y\n")
    assert json.loads(mended.stdout)["origin"] == "edited"
    summary = "In pictures of animals I like ink drawings."
    assert PersonaStore(platform).get(ANA).persona.summary == summary


def test_import_and_export_say_how_many(zipp: Any, tmp_path: Path):
    out = tmp_path / "out.json"
    exported = json.loads(zipp("personas", "export", "--out", str(out), "--json").stdout)
    assert exported == {"exported": 2, "file": str(out), "real_people_hidden": False}
    assert json.loads(zipp("personas", "import", str(out), "--json").stdout) == {"imported": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --user or --persona"),
        (["--user", "1", "--persona", "x"], "give either --user or --persona"),
        (["--persona", "x", "--shots", "1"], "--shots needs --user"),
    ],
)
def test_personalize_says_which_options_go_together(
    zipp: Any, tmp_path: Path, arguments: list[str], message: str
):
    result = zipp("personalize", "--prompt", "a fox", "--out", str(tmp_path), *arguments)
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_the_package_offers_the_personalizer_and_imports_nothing_for_it():
    code = (
        "import sys, zipp_dagster; heavy = {'torch', 'pydantic', 'pyarrow', 'dagster'};"
        "assert not heavy & set(sys.modules); from zipp_dagster import Personalizer;"
        "assert 'torch' not in sys.modules; print(Personalizer.__module__)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "zipp_dagster.personal.personalizer"
