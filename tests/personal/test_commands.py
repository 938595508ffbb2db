"""`zipp personas`, `zipp personalize`, and the package's own name for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.personal.people import (
    ANA,
    ANA_HEX,
    BEN_HEX,
)
from zipp_dagster.personal import PersonaStore


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


def test_a_folder_becomes_a_data_set_that_the_datasets_library_loads(
    zipp: Any, platform: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset

    out = tmp_path / "hub"
    for _ in range(2):  # written over
        said = json.loads(zipp("personas", "export", "--out", str(out), "--json").stdout)
        assert said == {"exported": 2, "file": str(out), "real_people_hidden": False}
    loaded = load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["user"] == [ANA_HEX, BEN_HEX]  # the third one is quarantined
    ana = PersonaStore(platform).get(ANA).persona
    row = loaded[0]
    assert (row["summary"], row["persona_id"]) == (ana.summary, ana.persona_id)
    assert row["preferences"] == [p.model_dump(exclude={"evidence"}) for p in ana.preferences]
    assert row["gender"] == "unknown" and row["confidence"]["gender"] == 0
    card = (out / "README.md").read_text()
    assert card.startswith("---\npretty_name: ZIPP personas (synthetic)") and "2 personas" in card


def test_a_folder_that_holds_something_else_is_left_alone(zipp: Any, tmp_path: Path):
    (tmp_path / "letter.txt").write_text("mine")
    result = zipp("personas", "export", "--out", str(tmp_path))
    assert result.exit_code == 1 and "is not empty, and no data set" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --user, --persona, or a form"),
        (["--user", "1", "--persona", "x"], "give either --user, --persona, or a form"),
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
