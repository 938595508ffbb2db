from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.reddit.config import RedditSettings
from zipp_dagster.section import Section
from zipp_dagster.settings import (
    PROFILES,
    Settings,
    SettingsError,
    described,
    load_settings,
    settings,
)

PROFILE_NAMES = sorted(path.stem for path in PROFILES.glob("*.toml"))


@pytest.fixture
def profile(tmp_path: Path):
    """Writes a TOML profile and loads it."""

    def load(text: str) -> Settings:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load_settings(str(path))

    return load


class Keyed(Section):
    """A section whose outcome depends on a secret."""

    key: SecretStr


def error_of(load, *arguments: object) -> str:
    with pytest.raises(SettingsError) as error:
        load(*arguments)
    return str(error.value)


def test_three_profiles_are_packaged():
    assert PROFILE_NAMES == ["cluster", "paper", "sample"]


def test_the_cluster_profile_is_the_paper_on_ray():
    cluster, paper = load_settings("cluster"), load_settings("paper")
    assert cluster.compute.engine == "ray" and paper.compute.engine == "local"
    assert cluster.imaging.model == paper.imaging.model
    assert cluster.imaging.device == "cuda"
    assert cluster.zipbench == paper.zipbench


def test_a_profile_that_extends_itself_is_an_error(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f'extends = "{path}"\n')
    with pytest.raises(SettingsError, match="mine.toml extends itself"):
        load_settings(str(path))


def test_the_engine_can_be_named_alone(environment):
    with environment(ZIPP_COMPUTE="ray", ZIPP_COMPUTE__ADDRESS="head:6379"):
        assert (load_settings().compute.engine, load_settings().compute.address) == (
            "ray",
            "head:6379",
        )
    with environment(ZIPP_COMPUTE='{"workers": 7}'):
        assert load_settings().compute.workers == 7
    with environment(ZIPP_COMPUTE="abacus"), pytest.raises(SettingsError, match="compute.engine"):
        load_settings()


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_every_packaged_profile_loads_and_knows_its_name(name):
    assert load_settings(name).profile == name


def test_the_default_profile_is_the_sample_and_has_the_sections_defaults():
    loaded = load_settings()
    assert loaded.profile == "sample"
    assert loaded.encoder == EncoderSettings()


def test_a_profile_named_by_argument_keeps_its_name_whatever_the_environment_says(environment):
    with environment(ZIPP_PROFILE="paper"):
        assert load_settings("sample").profile == "sample"
        assert load_settings().profile == "paper"


def test_the_environment_overrides_the_file_and_the_file_the_defaults(profile, environment):
    text = "[encoder]\nhidden = 32\nheads = 2\n"
    assert profile(text).encoder.hidden == 32
    with environment(ZIPP_ENCODER__HIDDEN=16):
        loaded = profile(text)
    assert (loaded.encoder.hidden, loaded.encoder.heads) == (16, 2)


def test_lists_and_whole_sections_can_be_set_as_json(environment):
    with environment(ZIPP_REDDIT__BOTS='["one", "two"]', ZIPP_LAKE='{"keep_versions": 9}'):
        loaded = load_settings()
    assert loaded.reddit.bots == ("one", "two") and loaded.lake.keep_versions == 9


def test_an_empty_variable_leaves_the_default(environment):
    with environment(ZIPP_REDDIT__DUMPS_DIR="", ZIPP_HOME=""):
        loaded = load_settings()
    assert loaded.reddit.dumps_dir is None and loaded.home == Path(".zipp")


def test_settings_are_read_once_a_process(environment):
    with environment(ZIPP_ENCODER__HIDDEN=16):
        assert settings() is settings()
        assert settings().encoder.hidden == 16


def test_an_unknown_key_in_the_file_names_the_file_and_suggests_the_near_one(profile, tmp_path):
    message = error_of(profile, "[encoder]\nhiden = 3\n")
    assert f"setting encoder.hiden (file {tmp_path}/mine.toml) does not exist" in message
    assert "did you mean hidden?" in message
    assert "allowed keys of [encoder]: " in message and "users_per_batch" in message


def test_an_unknown_section_in_the_file_suggests_the_near_one(profile):
    message = error_of(profile, "[encodr]\nhidden = 3\n")
    assert "setting encodr (file" in message and "did you mean encoder?" in message
    assert "allowed sections and keys: ablation, compute, encoder" in message


def test_all_mistakes_of_a_file_are_reported_at_once(profile):
    message = error_of(profile, "[encoder]\nhiden = 3\n[sampleworld]\npeople = 3\n")
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("ZIPP_ENCODER__HIDEN", "3", ["setting encoder.hiden", "did you mean hidden?"]),
        ("ZIPP_ENCODR__HIDDEN", "3", ["'encodr'", "did you mean ZIPP_ENCODER?", "Allowed: "]),
        ("ZIPP_ENCODER_HIDDEN", "3", ["'encoder_hidden'", "did you mean ZIPP_ENCODER__HIDDEN?"]),
        ("ZIPP_SAMPLEWORLD__PEOPLE", "3", ["sampleworld.people", "given: '3'", "≥ 20 ≤ 200000"]),
        ("ZIPP_SAMPLEWORLD__PEOPLE", "many", ["given: 'many'", "allowed: integer"]),
        ("ZIPP_SAMPLEWORLD__MEDIA_FORMAT", "gif", ["given: 'gif'", "one of ['png', 'jpg']"]),
        ("ZIPP_COMPUTE__ENGINE", "abacus", ["compute.engine", "given: 'abacus'", "local"]),
        ("ZIPP_SAMPLEWORLD__START_MONTH", "June", ["given: 'June'", "matching ^20"]),
        ("ZIPP_REDDIT__BOTS", "one,two", ["written as JSON"]),
        ("ZIPP_REDDIT__BOTS", '["one", 2]', ["setting reddit.bots.1", "given: 2"]),
        ("ZIPP_LAKE", '{"keep_versions": 0}', ["setting lake.keep_versions", "≥ 1"]),
        ("ZIPP_LAKE", "{", ["written as JSON"]),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_allowed(environment, variable, value, parts):
    with environment(**{variable: value}):
        message = error_of(load_settings)
    assert f"environment variable {variable}" in message
    assert [part for part in parts if part not in message] == []


def test_values_that_do_not_fit_together_name_the_variables_that_set_them(environment):
    with environment(ZIPP_SAMPLEWORLD__MONTHS=30, ZIPP_SAMPLEWORLD__START_MONTH="2099-11"):
        message = error_of(load_settings)
    assert "ZIPP_SAMPLEWORLD__MONTHS, ZIPP_SAMPLEWORLD__START_MONTH" in message
    assert "start_month 2099-11 plus 30 months passes 2100" in message


@pytest.mark.parametrize("name", ["nope", "/no/such/file.toml", "../sample"])
def test_an_unknown_profile_lists_the_packaged_ones(name):
    assert "neither a packaged profile (cluster, paper, sample) nor a .toml file" in error_of(
        load_settings, name
    )


def test_a_file_that_is_no_toml_is_named(profile, tmp_path):
    assert f"{tmp_path}/mine.toml cannot be read" in error_of(profile, "[encoder\n")


def test_secrets_are_masked_wherever_settings_are_shown(environment, profile):
    secret = "correct horse battery"
    with environment(ZIPP_REDDIT__PSEUDONYM_KEY=secret):
        loaded = load_settings()
    assert secret not in repr(loaded) + str(loaded.model_dump(mode="json"))
    assert Keyed(key=secret).outcome_values() == {"key": "**********"}
    assert loaded.reddit.pseudonym_key.get_secret_value() == secret
    assert "123456789" not in error_of(profile, "[reddit]\npseudonym_key = 123456789\n")


def test_what_only_says_where_and_how_fast_is_left_out_of_the_outcome_values():
    for name, field in Settings.model_fields.items():
        section = getattr(load_settings(), name)
        operational = getattr(field.annotation, "operational", frozenset())
        if operational:
            assert operational <= set(field.annotation.model_fields), name
            assert not operational & set(section.outcome_values())


def test_of_a_list_of_sections_only_what_matters_is_in_the_outcome_values(environment):
    models = '[{"kind": "http", "model": "one", "base_url": "http://a/v1", "api_key": "s3cret"}]'
    with environment(ZIPP_ABLATION__LANGUAGE_MODELS=models):
        (found,) = load_settings().ablation.outcome_values()["language_models"]
    assert found["model"] == "one" and not {"base_url", "api_key"} & set(found)


def test_a_section_is_found_by_its_class_and_a_value_by_its_dotted_name():
    loaded = load_settings()
    assert loaded.section(RedditSettings) is loaded.reddit
    assert loaded.value("sampleworld.people") == loaded.sampleworld.people
    with pytest.raises(SettingsError, match="no setting is called 'sampleworld.peeple'"):
        loaded.value("sampleworld.peeple")
    with pytest.raises(SettingsError, match="no setting is called 'sampleworld.people.x'"):
        loaded.value("sampleworld.people.x")


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        load_settings().encoder.hidden = 3
    with pytest.raises(ValueError, match="frozen"):
        load_settings().profile = "paper"


def test_every_setting_of_every_section_is_described():
    def undescribed(model: type, prefix: str = "") -> list[str]:
        found = []
        for name, field in getattr(model, "model_fields", {}).items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                found += undescribed(field.annotation, f"{prefix}{name}.")
            elif not field.description:
                found.append(prefix + name)
        return found

    assert undescribed(Settings) == []


def test_settings_are_described_with_who_set_them(profile, monkeypatch):
    monkeypatch.setenv("ZIPP_IMAGING__STEPS", "9")
    monkeypatch.setenv("ZIPP_PERSONA__LANGUAGE_MODEL__API_KEY", "a secret")
    monkeypatch.setenv("ZIPP_STUDIO__DATABASE_URL", "postgresql://me:pass@word@host/name")
    loaded = profile('extends = "sample"\n[encoder]\nhidden = 48\n')
    facts = {fact.name: fact for fact in described(loaded)}
    assert (facts["imaging.steps"].value, facts["imaging.steps"].source) == (9, "environment")
    assert (facts["encoder.hidden"].value, facts["encoder.hidden"].source) == (48, "profile")
    assert facts["encoder.hidden"].default == EncoderSettings().hidden
    assert facts["zipbench.users"].source == "default" and facts["zipbench.users"].meaning
    assert facts["persona.language_model.kind"].value == "lexical"
    shown = repr(facts.values())
    assert "a secret" not in shown and "pass" not in facts["studio.database_url"].value
    assert facts["studio.database_url"].value.endswith("@host/name")
