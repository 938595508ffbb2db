"""What makes personas and rewriters stale: texts of templates and weights under the same path."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from assets.persona import personas
from zipp_dagster.persona import model_files as subject
from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.model_files import MEMORY, folder_hash, model_files
from zipp_dagster.persona.rewriter import (
    FILE,
    rewriter_fingerprint,
    settings_of_rewriter,
    write_rewriter,
)

TEMPLATE = "[system]\nWrite. $schema\n[user]\n$evidence\n[shots]\n$shots\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's directory, as far as hashes care."""
    (tmp_path / "instruct" / "parts").mkdir(parents=True)
    (tmp_path / "instruct" / "config.json").write_text("{}")
    (tmp_path / "instruct" / "parts" / "model.safetensors").write_bytes(b"old weights")
    return tmp_path / "instruct"


def other_weights(folder: Path) -> None:
    """As many bytes, later."""
    path = folder / "parts" / "model.safetensors"
    path.write_bytes(b"new weights")
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))


def local(folder: Path, **changes: object) -> PersonaSettings:
    model = LanguageModelSettings(kind="transformers", model=str(folder))
    return PersonaSettings(language_model=model, **changes)


def state(settings: PersonaSettings, home: Path) -> str:
    platform = SimpleNamespace(settings=SimpleNamespace(persona=settings), home=home)
    return personas.external_state(platform, None)


def test_other_weights_of_the_same_size_make_personas_and_the_rewriter_stale(folder, tmp_path):
    home = tmp_path / "home"
    settings = local(folder)
    before = state(settings, home), rewriter_fingerprint(settings, home)
    assert before == (state(settings, home), rewriter_fingerprint(settings, home))
    other_weights(folder)
    after = state(settings, home), rewriter_fingerprint(settings, home)
    assert before[0] != after[0] and before[1] != after[1]


def test_another_text_of_a_template_makes_personas_stale_in_the_same_process(tmp_path):
    template = tmp_path / "mine.txt"
    template.write_text(TEMPLATE)
    settings = PersonaSettings(template=str(template))
    before = state(settings, tmp_path)
    template.write_text(TEMPLATE.replace("Write.", "Guess."))
    assert state(settings, tmp_path) != before
    template.unlink()
    assert state(settings, tmp_path) == "no template"  # planning goes on; making says which


def test_the_kept_rewriter_says_which_files_it_was_and_can_be_used(folder, tmp_path):
    settings = local(folder)
    write_rewriter(settings, tmp_path, tmp_path / "home")
    kept = json.loads((tmp_path / FILE).read_text())
    assert kept["model_files"] == model_files(settings.language_model)
    assert settings_of_rewriter(tmp_path, settings).language_model == settings.language_model


def test_files_are_read_once_and_again_only_when_they_change(folder, tmp_path, monkeypatch):
    read: list[str] = []
    real = subject._sha256
    monkeypatch.setattr(subject, "_sha256", lambda path: read.append(path.name) or real(path))
    memory = tmp_path / "home" / MEMORY
    first = folder_hash(folder, memory)
    assert folder_hash(folder, memory) == first and read == ["config.json", "model.safetensors"]
    other_weights(folder)
    assert folder_hash(folder, memory) != first and read[2:] == ["model.safetensors"]
    assert len(json.loads(memory.read_text())) == 2  # what changed is forgotten
    memory.write_text("{half")
    folder_hash(folder, memory)
    assert len(read) == 5 and not list(memory.parent.glob("*.new"))


def test_names_count_hidden_files_and_the_place_do_not(folder, tmp_path):
    first = folder_hash(folder)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("x")
    assert folder_hash(folder.rename(tmp_path / "moved")) == first
    (tmp_path / "moved" / "config.json").rename(tmp_path / "moved" / "other.json")
    assert folder_hash(tmp_path / "moved") != first


def test_nothing_is_hashed_of_word_lists_endpoints_and_hub_models(folder, tmp_path):
    for kind, model in (("lexical", ""), ("http", str(folder)), ("transformers", "org/instruct")):
        settings = LanguageModelSettings(kind=kind, model=model)
        assert model_files(settings, tmp_path / "home") == ""
    assert state(PersonaSettings(), tmp_path / "home").startswith("persona-v2@")
    assert not (tmp_path / "home").exists()
